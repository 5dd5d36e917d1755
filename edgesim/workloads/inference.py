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
from edgesim.core.random import normals
from edgesim.core.recorder import Table
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.hardware.memory import Memory
from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import (
    PERFORMANCE,
    Execution,
    Governor,
    InferenceTask,
)
from edgesim.hardware.server import Server, Tenant
from edgesim.hardware.specs import PhoneSpec
from edgesim.nn.cost import (
    ProcessorSpec,
    inference_energy_j,
    inference_s,
    layout_s,
    resident_bytes,
)
from edgesim.nn.model import ModelCost
from edgesim.workloads.arrivals import Arrivals
from edgesim.workloads.what_if import forecast_local, forecast_remote

__all__ = ["InferenceJob", "Plan", "Request", "Site"]

OffloadingSlot = Slot[OffloadingObservation, Target, OffloadingOutcome]

DONE = "done"
UNFINISHED = "unfinished"
FAILED = "failed:"
FAILED_NO_TARGET = FAILED + "no_target"
FAILED_NO_MEMORY = FAILED + "out_of_memory"
FAILED_REJECTED = FAILED + "rejected"
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
        label: the target as text, a level by its clock.
        processor: on the phone, or at the other place.
        remote: the server at another place; ``None`` for the phone.
        tenant: the job's account there.
        half_rtt_s: the way to it, and back again.
        task: what the processor does.
        level: at which level, if that is the controller's choice.
        accuracy: of the result.
        resident_bytes: memory that the model holds there.
        read_s: seconds to read it from storage when it is not in memory,
        layout_s: and seconds of the processor, at the top level, to make it ready.
    """

    label: str
    processor: str
    remote: Server | None
    tenant: Tenant | None
    half_rtt_s: float
    task: InferenceTask
    level: int | None
    accuracy: float
    resident_bytes: float = 0.0
    read_s: float = 0.0
    layout_s: float = 0.0

    @property
    def memory_key(self) -> tuple[str, str, str]:
        """What the phone's memory knows its model by."""
        return self.task.model.name, self.processor, self.task.precision


class Menu:
    """What phones of one kind can choose from for one model."""

    __slots__ = ("connected", "offline", "plans")

    def __init__(
        self,
        job: str,
        spec: PhoneSpec,
        governors: Mapping[str, Governor],
        model: ModelCost,
        sites: Mapping[str, Site],
    ) -> None:
        self.plans: dict[Target, Plan] = {}
        local, remote = [], []
        tasks = {precision: InferenceTask(model, precision) for precision in sorted(model.accuracy)}
        for name, processor in sorted(spec.processors.items()):
            governor = governors.get(name, PERFORMANCE)
            for precision, task in tasks.items():
                for level, chosen in _levels(governor, processor):
                    work_s = inference_s(model, processor, precision, level=level)
                    compute_j = inference_energy_j(model, processor, precision, level=level)
                    if work_s is None or compute_j is None:
                        continue
                    target = Target(DEVICE, name, precision, chosen)
                    clock_hz = processor.levels[level].frequency_hz
                    at = "" if chosen is None else f"@{clock_hz / 1e6:g}MHz"
                    accuracy = model.accuracy[precision].value
                    self.plans[target] = Plan(
                        f"{DEVICE}/{name}/{precision}{at}",
                        name,
                        None,
                        None,
                        0.0,
                        task,
                        chosen,
                        accuracy,
                        resident_bytes(model, precision),
                        model.weight_bytes(precision) / spec.storage_bps,
                        layout_s(model, processor, precision) if spec.storage_bps < inf else 0.0,
                    )
                    energy_j = compute_j + spec.awake_w * work_s
                    local.append(
                        Option(target, processor.kind, accuracy, work_s, energy_j, clock_hz)
                    )
        for place, site in sorted(sites.items()):
            tenant, half_rtt_s = site.server.tenant(job), 0.5 * site.rtt_s
            tasks = {precision: InferenceTask(model, precision) for precision in tasks}
            for name, running in sorted(site.server.processors.items()):
                for precision, task in tasks.items():
                    work_s = inference_s(model, running.spec, precision)
                    if work_s is None:
                        continue
                    target = Target(place, name, precision)
                    accuracy = model.accuracy[precision].value
                    self.plans[target] = Plan(
                        str(target), name, site.server, tenant, half_rtt_s, task, None, accuracy
                    )
                    energy_j = spec.awake_w * work_s
                    clock_hz = running.spec.levels[-1].frequency_hz
                    remote.append(
                        Option(target, running.spec.kind, accuracy, work_s, energy_j, clock_hz)
                    )
        self.offline = tuple(local)
        self.connected = tuple(local + remote)

    def preload(self, memory: Memory) -> None:
        """Put the model into a phone's memory for as many targets as fit, cheapest promise first."""
        for option in sorted(self.offline, key=lambda option: option.compute_energy_j):
            plan = self.plans[option.target]
            memory.put(plan.memory_key, plan.resident_bytes)


def _levels(governor: Governor, processor: ProcessorSpec) -> list[tuple[int, int | None]]:
    """The levels that a single job may run at, and each as its target names it."""
    levels = range(len(processor.levels))
    if governor.kind == "controller":
        return [(level, level) for level in levels]
    alone = {"powersave": 0, "fixed": governor.level}
    return [(alone.get(governor.kind, levels[-1]), None)]


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
        is_preloaded: whether its models are in the phones' memory when it begins, as far as they fit.
        meter_noise: standard deviation of what the phones' meters read, relative to the truth.
        noise_keys: stream keys of that noise, one per phone.
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
        is_preloaded: bool = True,
        meter_noise: float = 0.0,
        noise_keys: Sequence[int] = (),
    ) -> None:
        self.clock = clock
        self.name = name
        self.model = model
        self.deadline_s = deadline_s
        self.accuracy_min = accuracy_min
        self.decision_overhead_s = decision_overhead_s
        self.slot = slot
        self.meter_noise = meter_noise
        self._is_preloaded = is_preloaded
        self.requests = requests
        self.decisions = decisions
        self._fleet = fleet
        self._horizon_s = horizon_s
        self._menus = menus = dict[str, Menu]()
        for index, row in enumerate(rows):
            group, _ = fleet.group_of(row)
            if group.name not in menus:
                menus[group.name] = self._menu(group, sites)
            noise_key = noise_keys[index] if meter_noise else 0
            source = _Source(row, menus[group.name], arrivals.times(index), noise_key)
            time_s = next(source.times)
            if time_s < horizon_s:
                clock.call_at(time_s, Order.ARRIVAL, self._arrive, source)

    def preload(self, group: str, memory: Memory) -> None:
        """Put the model into the memory of a phone of ``group`` that begins its life."""
        if self._is_preloaded and group in self._menus:
            self._menus[group].preload(memory)

    def _menu(self, group: PhoneGroup, sites: Mapping[str, Site]) -> Menu:
        reachable = sites if group.access_point else {}
        return Menu(self.name, group.spec, group.governors, self.model, reachable)

    def _arrive(self, source: _Source) -> None:
        time_s = next(source.times)
        if time_s < self._horizon_s:
            self.clock.call_at(time_s, Order.ARRIVAL, self._arrive, source)
        phone = source.phone
        if phone is None:
            phone = source.phone = self._fleet.phone(source.row)
        source.requests += 1
        Request(self, phone, source).start()


class _Source:
    """Where requests of one job on one phone come from."""

    __slots__ = ("menu", "noise_key", "phone", "requests", "row", "times")

    def __init__(self, row: int, menu: Menu, times: Iterator[float], noise_key: int) -> None:
        self.row = row
        self.menu = menu
        self.times = times
        self.noise_key = noise_key
        self.phone: Phone | None = None
        self.requests = 0


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
        "_is_cold",
        "_latency_s",
        "_menu",
        "_number",
        "_observation",
        "_phone",
        "_plan",
        "_source",
        "_start_s",
        "_target",
        "energy_j",
        "job",
        "status",
    )

    def __init__(self, inference: InferenceJob, phone: Phone, source: _Source) -> None:
        self._inference = inference
        self._phone = phone
        self._source = source
        self._menu = source.menu
        self._number = source.requests
        self._is_cold = False
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
        phone.look()
        radio, thermal = phone.radio, phone.thermal
        app = phone.app if phone.is_on else phone.app_asked_for  # the weather is nobody's doing
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
            app.cpu,
            app.memory,
            phone.battery.charge,
            phone.battery.is_plugged,
            nan if thermal is None else thermal.skin_c,
            options,
            self.is_ready,
            self.what_if if inference.slot.needs_what_if else None,
        )
        if not phone.is_on:
            self._close(FAILED + phone.off_reason)
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
            resident = phone.memory.claim(self, plan.memory_key, plan.resident_bytes)
            if resident is None:
                self.ran_out_of_memory()
            elif resident.is_loaded:
                self._compute()
            elif next(iter(resident.tenants)) is self:
                self.load_model()
            else:
                self._is_cold = True  # somebody else is loading it
        else:
            assert phone.radio is not None
            phone.radio.send(self, self._inference.model.input_bytes, self._uploaded)

    def load_model(self) -> None:
        """The model is not in memory: read it from storage, then make it ready."""
        plan, clock = self._plan, self._inference.clock
        assert plan is not None
        self._is_cold = plan.read_s > 0.0
        if plan.read_s:
            clock.call_at(clock._now + plan.read_s, Order.COMPLETION, self._lay_out)
        else:
            self._loaded()

    def _lay_out(self, _: None) -> None:
        plan = self._plan
        assert plan is not None
        if not self.status:
            processor = self._phone.processor(plan.processor)
            self._execution = processor.run(self, plan.layout_s, self._loaded, plan.level)

    def _loaded(self) -> None:
        self._phone.memory.loaded(self)
        self._compute()

    def model_is_loaded(self) -> None:
        """Somebody else has loaded the model: go on."""
        self._compute()

    def _compute(self) -> None:
        plan = self._plan
        assert plan is not None
        processor = self._phone.processor(plan.processor)
        self._execution = processor.run(self, plan.task, self._completed, plan.level)

    def _uploaded(self) -> None:
        plan, clock = self._plan, self._inference.clock
        assert plan is not None
        clock.call_at(clock._now + plan.half_rtt_s, Order.COMPLETION, self._serve)

    def _serve(self, _: None) -> None:
        # Whether the phone is still on does not concern the server.
        plan = self._plan
        assert plan is not None
        assert plan.remote is not None
        assert plan.tenant is not None
        plan.remote.submit(plan.processor, plan.tenant, plan.task, self._served, self._rejected)

    def _served(self) -> None:
        plan, clock = self._plan, self._inference.clock
        assert plan is not None
        clock.call_at(clock._now + plan.half_rtt_s, Order.COMPLETION, self._returned)

    def _rejected(self) -> None:
        plan, clock = self._plan, self._inference.clock
        assert plan is not None
        clock.call_at(clock._now + plan.half_rtt_s, Order.COMPLETION, self._turned_away)

    def _turned_away(self, _: None) -> None:
        if not self.status:
            self._give_back()
            self._close(FAILED_REJECTED)

    def _returned(self, _: None) -> None:
        if not self.status:
            radio = self._phone.radio
            assert radio is not None
            radio.receive(self, self._inference.model.output_bytes, self._completed)

    def _completed(self) -> None:
        if self._execution is not None:
            self._execution = None
            self._phone.memory.release(self)
        self._latency_s = self._inference.clock._now - self._start_s
        self._phone.end(self)
        self._close(DONE)

    # -- its end ----------------------------------------------------------------------------------

    def phone_went_off(self, reason: str) -> None:
        """The phone has gone off: give everything back and fail."""
        self._give_back()
        self._close(FAILED + reason)

    def ran_out_of_memory(self) -> None:
        """There is no room for the model, or no more: give everything back and fail."""
        self._give_back()
        self._close(FAILED_NO_MEMORY)

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
        if self._execution is not None:
            self._execution.cancel()
            self._execution = None
        phone.memory.release(self)
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
                    observation.skin_c if observation.skin_c == observation.skin_c else None,
                    None if plan is None or plan.remote is not None else self._is_cold,
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
                self._metered_j(),
                in_time,
                plan.accuracy if status == DONE else nan,
            )
            inference.slot.learn(observation, target, outcome)

    def _metered_j(self) -> float:
        """What the phone's meter says it has cost: the same error under every controller."""
        noise = self._inference.meter_noise
        if not noise:
            return self.energy_j
        error = float(normals(self._source.noise_key, self._number, 1)[0])
        return max(self.energy_j * (1.0 + noise * error), 0.0)

    def is_ready(self, target: Target) -> bool:
        """Whether the model is in memory for this target."""
        plan = self._menu.plans.get(target)
        if plan is None or plan.remote is not None:
            return plan is not None
        return not plan.read_s or self._phone.memory.is_ready(plan.memory_key)

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
            resident_bytes = 0.0 if self.is_ready(target) else plan.resident_bytes
            if not phone.memory.has_room(resident_bytes):
                return Forecast(inf, inf)
            read_s, layout_s = (0.0, 0.0) if self.is_ready(target) else (plan.read_s, plan.layout_s)
            end_s, energy_j = forecast_local(
                phone, plan.processor, plan.task, plan.level, start_s, read_s, layout_s
            )
        else:
            assert phone.radio is not None
            model = inference.model
            end_s, energy_j = forecast_remote(
                phone.radio,
                plan.remote,
                plan.processor,
                plan.task,
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
