"""Inference requests: they arrive, a controller places them, they run here or elsewhere.

A request is a small state machine driven by callbacks; there is no process per request. Its way:

    arrival -> decision -> processor -> done
                        -> uplink -> half RTT -> server's queue and processor -> half RTT
                           -> downlink -> done (-> radio tail)

Its row is written when its last joule is booked: for one that used the radio, when the tail after
its transfer ends or the next transfer begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan

from edgesim.controllers.slots import (
    DEVICE,
    Forecast,
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Slot,
    Target,
)
from edgesim.core.clock import Clock, Order
from edgesim.core.recorder import Table
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import Execution, Processor
from edgesim.hardware.server import Server, Tenant
from edgesim.hardware.specs import PhoneSpec
from edgesim.nn.cost import inference_energy_j, inference_s
from edgesim.nn.model import ModelCost
from edgesim.workloads.arrivals import Arrivals
from edgesim.workloads.what_if import forecast_local, forecast_remote

__all__ = ["InferenceJob", "Plan", "Request", "Site"]

OffloadingSlot = Slot[OffloadingObservation, Target, OffloadingOutcome]

DONE = "done"
UNFINISHED = "unfinished"
FAILED_OFF = "failed:battery_empty"
FAILED_NO_TARGET = "failed:no_target"
EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class Site:
    """A place that a phone can send requests to.

    Attributes:
        server: what stands there.
        rtt_s: round-trip time between an access point and the site, without transfer times.
    """

    server: Server
    rtt_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a target is carried out.

    Attributes:
        label: the target as text.
        processor: on the phone; empty for another place.
        remote: the processor at another place; ``None`` for the phone.
        tenant: the job's account there.
        half_rtt_s: the way to it, and back again.
        work_s: seconds on the processor alone.
        accuracy: of the result.
    """

    label: str
    processor: str
    remote: Processor | None
    tenant: Tenant | None
    half_rtt_s: float
    work_s: float
    accuracy: float


class Menu:
    """What phones of one kind can choose from for one model."""

    __slots__ = ("connected", "offline", "plans")

    def __init__(
        self, job: str, spec: PhoneSpec, model: ModelCost, sites: Mapping[str, Site]
    ) -> None:
        self.plans: dict[Target, Plan] = {}
        local, remote = [], []
        for name, processor in sorted(spec.processors.items()):
            for precision, accuracy in sorted(model.accuracy.items()):
                work_s = inference_s(model, processor, precision)
                compute_j = inference_energy_j(model, processor, precision)
                if work_s is None or compute_j is None:
                    continue
                target = Target(DEVICE, name, precision)
                self.plans[target] = Plan(
                    str(target), name, None, None, 0.0, work_s, accuracy.value
                )
                energy_j = compute_j + spec.awake_w * work_s
                local.append(Option(target, processor.kind, accuracy.value, work_s, energy_j))
        for place, site in sorted(sites.items()):
            tenant, half_rtt_s = site.server.tenant(job), 0.5 * site.rtt_s
            for name, running in sorted(site.server.processors.items()):
                for precision, accuracy in sorted(model.accuracy.items()):
                    work_s = inference_s(model, running.spec, precision)
                    if work_s is None:
                        continue
                    target = Target(place, name, precision)
                    self.plans[target] = Plan(
                        str(target), "", running, tenant, half_rtt_s, work_s, accuracy.value
                    )
                    energy_j = spec.awake_w * work_s
                    remote.append(
                        Option(target, running.spec.kind, accuracy.value, work_s, energy_j)
                    )
        self.offline = tuple(local)
        self.connected = tuple(local + remote)


class InferenceJob:
    """One stream of requests on each of its phones.

    Args:
        clock: the clock.
        fleet: all phones.
        name: the job's name.
        rows: the numbers of its phones, in order; row i of ``arrivals`` is the i-th of them.
        model: what each request runs.
        arrivals: when they come.
        deadline_s: how long each may take; infinity for no deadline.
        accuracy_min: the least accuracy that will do; 0 for no requirement.
        decision_overhead_s: simulated time that each decision takes.
        sites: where requests can be sent, by name.
        slot: who decides.
        horizon_s: the end of the run; no request arrives at or after it.
        requests, decisions: tables to fill, if wanted.
    """

    def __init__(
        self,
        clock: Clock,
        fleet: Fleet,
        name: str,
        rows: Sequence[int],
        model: ModelCost,
        arrivals: Arrivals,
        *,
        deadline_s: float,
        accuracy_min: float,
        decision_overhead_s: float,
        sites: Mapping[str, Site],
        slot: OffloadingSlot,
        horizon_s: float,
        requests: Table | None,
        decisions: Table | None,
    ) -> None:
        self.clock = clock
        self.name = name
        self.model = model
        self.deadline_s = deadline_s
        self.accuracy_min = accuracy_min
        self.decision_overhead_s = decision_overhead_s
        self.slot = slot
        self.requests = requests
        self.decisions = decisions
        self._fleet = fleet
        self._horizon_s = horizon_s
        menus: dict[str, Menu] = {}
        for index, row in enumerate(rows):
            group, _ = fleet.group_of(row)
            if group.name not in menus:
                menus[group.name] = self._menu(group, sites)
            source = _Source(row, menus[group.name], arrivals.times(index))
            time_s = next(source.times)
            if time_s < horizon_s:
                clock.call_at(time_s, Order.ARRIVAL, self._arrive, source)

    def _menu(self, group: PhoneGroup, sites: Mapping[str, Site]) -> Menu:
        return Menu(self.name, group.spec, self.model, sites if group.access_point else {})

    def _arrive(self, source: _Source) -> None:
        time_s = next(source.times)
        if time_s < self._horizon_s:
            self.clock.call_at(time_s, Order.ARRIVAL, self._arrive, source)
        phone = source.phone
        if phone is None:
            phone = source.phone = self._fleet.phone(source.row)
        Request(self, phone, source.menu).start()


class _Source:
    """Where requests of one job on one phone come from."""

    __slots__ = ("menu", "phone", "row", "times")

    def __init__(self, row: int, menu: Menu, times: Iterator[float]) -> None:
        self.row = row
        self.menu = menu
        self.times = times
        self.phone: Phone | None = None


class Request:
    """One inference request. It is what joules on the phone are booked to.

    Attributes:
        job: the name of its job.
        energy_j: what has been booked to it so far.
        status: empty while it is under way.
    """

    __slots__ = (
        "_execution",
        "_inference",
        "_latency_s",
        "_menu",
        "_observation",
        "_phone",
        "_plan",
        "_start_s",
        "_target",
        "energy_j",
        "job",
        "status",
    )

    def __init__(self, inference: InferenceJob, phone: Phone, menu: Menu) -> None:
        self._inference = inference
        self._phone = phone
        self._menu = menu
        self._start_s = inference.clock._now
        self._target: Target | None = None
        self._plan: Plan | None = None
        self._execution: Execution | None = None  # on the phone
        self._latency_s = nan
        self._observation: OffloadingObservation | None = None
        self.job = inference.name
        self.energy_j = 0.0
        self.status = ""

    # -- its way ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Arrive: look around and ask the controller."""
        inference, phone, now_s = self._inference, self._phone, self._start_s
        radio = phone.radio
        if radio is None:
            rssi_dbm, options = nan, self._menu.offline
        else:
            rssi_dbm, connected = radio.look()
            options = self._menu.connected if connected else self._menu.offline
        self._observation = observation = OffloadingObservation(
            now_s,
            self.job,
            phone.name,
            phone.spec.profile,
            inference.model,
            inference.deadline_s,
            inference.accuracy_min,
            rssi_dbm,
            0.0,
            0.0,
            phone.battery.charge,
            options,
            self.what_if if inference.slot.needs_what_if else None,
        )
        if not phone.is_on:
            self._close(FAILED_OFF)
        elif not options:
            self._close(FAILED_NO_TARGET)
        else:
            phone.begin(self)
            inference.slot.ask(observation, self._decided)

    def _decided(self, target: Target) -> None:
        inference = self._inference
        self._plan = self._plan_of(target)
        self._target = target
        if inference.decision_overhead_s:
            clock = inference.clock
            clock.call_at(clock._now + inference.decision_overhead_s, Order.COMPLETION, self._begin)
        else:
            self._begin()

    def _begin(self, _: None = None) -> None:
        if self.status:
            return  # the phone went off meanwhile
        plan, phone = self._plan, self._phone
        assert plan is not None
        if plan.remote is None:
            processor = phone.processor(plan.processor)
            self._execution = processor.run(self, plan.work_s, self._completed)
        else:
            assert phone.radio is not None
            phone.radio.send(self, self._inference.model.input_bytes, self._uploaded)

    def _uploaded(self) -> None:
        plan, clock = self._plan, self._inference.clock
        assert plan is not None
        assert plan.remote is not None
        assert plan.tenant is not None
        # Whether the phone is still on then does not concern the server.
        execution = Execution(plan.remote, plan.tenant, plan.work_s, self._served)
        clock.call_at(
            clock._now + plan.half_rtt_s, Order.COMPLETION, plan.remote.capacity.add, execution
        )

    def _served(self) -> None:
        plan, clock = self._plan, self._inference.clock
        assert plan is not None
        clock.call_at(clock._now + plan.half_rtt_s, Order.COMPLETION, self._returned)

    def _returned(self, _: None) -> None:
        if not self.status:
            radio = self._phone.radio
            assert radio is not None
            radio.receive(self, self._inference.model.output_bytes, self._completed)

    def _completed(self) -> None:
        self._execution = None
        self._latency_s = self._inference.clock._now - self._start_s
        self._phone.end(self)
        self._close(DONE)

    # -- its end ----------------------------------------------------------------------------------

    def phone_went_off(self) -> None:
        """The battery is empty: give everything back and fail."""
        self._give_back()
        self._close(FAILED_OFF)

    def tail_ended(self) -> None:
        """The radio has left the tail after a transfer of this request."""
        if self.status:
            self._write()

    def cut_off(self) -> None:
        """The run is over: give everything back and be recorded as unfinished."""
        self._give_back()
        self._close(UNFINISHED)

    def _give_back(self) -> None:
        phone = self._phone
        if self._execution is not None and self._plan is not None:
            phone.processor(self._plan.processor).cancel(self._execution)
            self._execution = None
        if phone.radio is not None:
            phone.radio.abort(self)
        phone.end(self)

    def _close(self, status: str) -> None:
        """Nothing but a radio tail can be booked to it any more."""
        self.status = status
        radio = self._phone.radio
        if radio is None or radio.tail_user is not self:
            self._write()

    def _write(self) -> None:
        inference, status, target, plan = self._inference, self.status, self._target, self._plan
        done = status == DONE
        latency_s, deadline_s = self._latency_s, inference.deadline_s
        in_time = latency_s <= deadline_s if done else False
        observation = self._observation
        assert observation is not None
        if inference.requests is not None:
            met: bool | None = in_time
            if deadline_s == inf or (
                # The run has ended before the deadline: nobody knows.
                status == UNFINISHED and inference.clock._now - self._start_s <= deadline_s
            ):
                met = None
            rssi_dbm = observation.rssi_dbm
            inference.requests.add(
                (
                    self.job,
                    self._phone.name,
                    self._start_s,
                    inference.model.name,
                    None if plan is None else plan.label,
                    status,
                    latency_s if done else None,
                    self.energy_j,
                    deadline_s if deadline_s < inf else None,
                    met,
                    plan.accuracy if done and plan is not None else None,
                    inference.accuracy_min or None,
                    rssi_dbm if rssi_dbm == rssi_dbm else None,
                    observation.co_cpu,
                    observation.co_mem,
                    EVALUATION,
                )
            )
        if target is not None and plan is not None:
            self._report(observation, target, plan, in_time)
        self._observation = None  # its what_if leads back here: do not leave a cycle behind

    def _report(
        self, observation: OffloadingObservation, target: Target, plan: Plan, in_time: bool
    ) -> None:
        """Write the decision down, and tell the controller what came of it."""
        inference, status = self._inference, self.status
        if inference.decisions is not None:
            inference.decisions.add(
                (
                    self._start_s,
                    self.job,
                    inference.slot.name,
                    inference.slot.controller_name,
                    self._phone.name,
                    plan.label,
                    None,
                    False,
                    EVALUATION,
                )
            )
        if inference.slot.learns and status != UNFINISHED:
            outcome = OffloadingOutcome(
                status,
                self._latency_s,
                self.energy_j,
                in_time,
                plan.accuracy if status == DONE else nan,
            )
            inference.slot.learn(observation, target, outcome)

    # -- what the oracle may ask ------------------------------------------------------------------

    def what_if(self, target: Target) -> Forecast:
        """What would come of running this request on ``target``, decided at this moment.

        Raises:
            ControllerError: if it is not one of the options.
        """
        plan = self._plan_of(target)
        inference, phone = self._inference, self._phone
        start_s = inference.clock._now + inference.decision_overhead_s
        if plan.remote is None:
            processor = phone.processor(plan.processor)
            end_s, energy_j = forecast_local(processor, plan.work_s, start_s)
        else:
            assert phone.radio is not None
            model = inference.model
            end_s, energy_j = forecast_remote(
                phone.radio,
                plan.remote,
                plan.work_s,
                plan.half_rtt_s,
                model.input_bytes,
                model.output_bytes,
                inference.clock._now,
                start_s,
            )
        latency_s = end_s - self._start_s
        return Forecast(latency_s, energy_j + phone.base_power_share_w * latency_s)

    def _plan_of(self, target: Target) -> Plan:
        """How a target is carried out; refuses what is not one of the options."""
        menu, observation = self._menu, self._observation
        assert observation is not None
        plan = menu.plans.get(target) if isinstance(target, tuple) else None
        if plan is None or (plan.remote is not None and observation.options is menu.offline):
            known = ", ".join(str(option.target) for option in observation.options)
            raise self._inference.slot.error(
                f"chose {target!s} for a request on {self._phone.name} at {self._start_s:g} s; "
                f"possible: {known}"
            )
        return plan
