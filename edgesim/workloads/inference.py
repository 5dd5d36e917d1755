"""Inference requests: they arrive, a controller places them, they run here or elsewhere.

A request is a small state machine driven by callbacks; there is no process per request. Its way:

    arrival (-> picture) -> decision -> processor -> done
                                     -> errand: uplink -> elsewhere -> downlink -> done (-> radio tail)

An attempt elsewhere may fail, and be tried again; a request that takes too long may be given up. Its
row is written when its last joule is booked: for one that used a radio, when the tail after its
transfer ends or the next transfer begins; for one that took a picture, when the camera is no longer
kept open for it.

Where its job captures its inputs, its controller is asked when the picture is there, and observes what
is then; its row has the conditions at its arrival, as all rows, so that they are the same under every
controller.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan

from edgesim.controllers.offloading import accurate, best_forecast
from edgesim.controllers.slots import (
    DEVICE,
    Forecast,
    Lesson,
    OffloadingObservation,
    OffloadingOutcome,
    Slot,
    Target,
)
from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.random import normals
from edgesim.core.recorder import Table
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.hardware.phone import Phone
from edgesim.network.radio import Link, LinkState
from edgesim.nn.model import ModelCost
from edgesim.workloads.arrivals import Arrivals
from edgesim.workloads.captures import CaptureTerms, Photography, Pictures
from edgesim.workloads.computation import Computation
from edgesim.workloads.errand import CONNECTION_LOST, AtServer, Errand, OtherSide, Visit
from edgesim.workloads.menu import Menu, Plan
from edgesim.workloads.what_if import forecast_local, forecast_remote

__all__ = ["InferenceJob", "Request", "Terms"]

OffloadingSlot = Slot[OffloadingObservation, Target, OffloadingOutcome]

DONE = "done"
UNFINISHED = "unfinished"
FAILED = "failed:"
FAILED_NO_TARGET = FAILED + "no_target"
FAILED_NO_MEMORY = FAILED + "out_of_memory"
TIMEOUT = "timeout"
TRAINING = "training"
WARM_UP = "warmup"
EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of each request of a job.

    Attributes:
        deadline_s: how long it may take; infinity for no deadline.
        accuracy_min: the least accuracy that will do; 0 for no requirement.
        input_bytes, output_bytes: what is sent to run it elsewhere, and what comes back.
        decision_overhead_s: simulated time that each decision takes.
        timeout_s: it is given up after so long; infinity for never.
        retries: how many times an attempt elsewhere that has failed is repeated,
        retry_wait_s: each time after a pause of so long.
        warm_up_s: requests that arrive in the first so many seconds, after training, are in phase
            ``warmup``.
        training_s: requests that arrive before are in phase ``training``.
        capture: how each takes the picture that it is about; ``None``: its input is there already.
    """

    deadline_s: float
    accuracy_min: float
    input_bytes: float
    output_bytes: float
    decision_overhead_s: float = 0.0
    timeout_s: float = inf
    retries: int = 0
    retry_wait_s: float = 0.0
    warm_up_s: float = 0.0
    training_s: float = 0.0
    capture: CaptureTerms | None = None


class InferenceJob:
    """One stream of requests on each of its phones.

    Args:
        clock: the clock.
        fleet: all phones.
        name: the job's name.
        rows: the numbers of its phones, in order; row i of ``arrivals`` is the i-th of them.
        model: what each request runs.
        menus: what they can choose from, by phone group.
        arrivals: when they come.
        terms: what is asked of each of them.
        hosts: names of the phones where they can be sent.
        slot: who decides.
        horizon_s: the end of the run; no request arrives at or after it.
        requests, decisions, forecasts: tables to fill, if wanted.
        asks_oracle: whether the oracle is asked about every request, whoever decides.
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
        menus: Mapping[str, Menu],
        arrivals: Arrivals,
        terms: Terms,
        *,
        hosts: Container[str],
        slot: OffloadingSlot,
        horizon_s: float,
        requests: Table | None,
        decisions: Table | None,
        forecasts: Table | None = None,
        asks_oracle: bool = False,
        is_preloaded: bool = True,
        meter_noise: float = 0.0,
        noise_keys: Sequence[int] = (),
    ) -> None:
        self.clock = clock
        self.name = name
        self.model = model
        self.terms = terms
        self.slot = slot
        self.meter_noise = meter_noise
        self._is_preloaded = is_preloaded
        self.requests = requests
        self.decisions = decisions
        self.forecasts = forecasts
        self.asks_oracle = asks_oracle
        self._fleet = fleet
        self._menus = menus
        self._horizon_s = horizon_s
        self._hosts = hosts
        self._under_way: deque[Request] = deque()  # those that may be given up, in order
        self._photography: dict[str, Photography] = {}  # by phone group
        self._patience = Timer(clock, Order.COMPLETION, self._lose_patience)
        for index, row in enumerate(rows):
            group, _ = fleet.group_of(row)
            noise_key = noise_keys[index] if meter_noise else 0
            photography = self._photography_of(group)
            source = _Source(row, menus[group.name], arrivals.times(index), noise_key, photography)
            time_s = next(source.times)
            if time_s < horizon_s:
                clock.call_at(time_s, Order.ARRIVAL, self._arrive, source)

    def _photography_of(self, group: PhoneGroup) -> Photography | None:
        """How the phones of a group take pictures, if that is what the job wants."""
        if self.terms.capture is None:
            return None
        found = self._photography.get(group.name)
        if found is None:
            found = Photography(group.spec, group.governors, self.terms.capture)
            self._photography[group.name] = found
        return found

    def preload(self, phone: Phone, group: str) -> None:
        """Put the model into the memory of a phone of ``group`` that begins its life."""
        if not self._is_preloaded:
            return
        if group in self._menus:
            self._menus[group].preload(phone.memory)
        elif phone.name in self._hosts:
            for menu in self._menus.values():
                menu.preload(phone.memory, phone.name)

    def give_up_after(self, request: Request) -> None:
        """Give ``request`` up when it has lasted too long."""
        if not self._under_way:
            self._patience.set(self.clock._now + self.terms.timeout_s)
        self._under_way.append(request)

    def _lose_patience(self) -> None:
        # All are as patient, so they are due in the order in which they came.
        queue, timeout_s = self._under_way, self.terms.timeout_s
        while queue:
            request = queue[0]
            if not request.status:
                due_s = request.start_s + timeout_s
                if due_s > self.clock._now:
                    self._patience.set(due_s)
                    return
                request.give_up(TIMEOUT)
            queue.popleft()

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

    __slots__ = ("menu", "noise_key", "phone", "photography", "requests", "row", "times")

    def __init__(
        self,
        row: int,
        menu: Menu,
        times: Iterator[float],
        noise_key: int,
        photography: Photography | None,
    ) -> None:
        self.row = row
        self.menu = menu
        self.times = times
        self.noise_key = noise_key
        self.photography = photography
        self.phone: Phone | None = None
        self.requests = 0


class Request:
    """One inference request. It is what joules on its phone are booked to.

    Attributes:
        job: the name of its job.
        energy_j: what has been booked to it so far.
        start_s: when it arrived.
        status: empty while it is under way.
    """

    __slots__ = (
        "_at_arrival",
        "_attempts",
        "_capture_s",
        "_computation",
        "_errand",
        "_forecasts",
        "_inference",
        "_is_cold",
        "_is_written",
        "_latency_s",
        "_menu",
        "_number",
        "_observation",
        "_phone",
        "_pictures",
        "_places",
        "_plan",
        "_profile_j",
        "_receive_s",
        "_send_s",
        "_source",
        "_target",
        "_visit",
        "energy_j",
        "job",
        "start_s",
        "status",
    )

    def __init__(self, inference: InferenceJob, phone: Phone, source: _Source) -> None:
        self._inference = inference
        self._phone = phone
        self._source = source
        self._menu = source.menu
        self._number = source.requests
        self._attempts = 0
        self._is_cold = False
        self._is_written = False
        self._places: tuple[str, ...] = ()  # within reach when its controller was asked
        self._target: Target | None = None
        self._plan: Plan | None = None
        self._computation: Computation | None = None  # on the phone itself
        self._errand: Errand | None = None  # elsewhere
        self._visit: Visit | None = None  # on another phone
        self._pictures: Pictures | None = None
        self._capture_s = nan
        self._latency_s = nan
        self._send_s = self._receive_s = self._profile_j = 0.0
        self._at_arrival: OffloadingObservation | None = None
        self._observation: OffloadingObservation | None = None
        self._forecasts: dict[Target, Forecast] | None = None
        self.start_s = inference.clock._now
        self.job = inference.name
        self.energy_j = 0.0
        self.status = ""

    # -- its way ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Arrive: look around, take a picture if that is wanted, and ask the controller."""
        inference, phone, terms = self._inference, self._phone, self._inference.terms
        photography = self._source.photography
        phone.look()
        self._at_arrival = observation = self._observe()
        if not phone.is_on:
            self._close(FAILED + phone.off_reason)
        elif photography is None and not observation.options:
            self._close(FAILED_NO_TARGET)
        else:
            phone.begin(self)
            if terms.timeout_s < inf:
                inference.give_up_after(self)
            if photography is None:
                self._ask(observation)
            else:
                self._pictures = Pictures(phone, self, photography, 1, self._captured)

    def _captured(self) -> None:
        """The picture is there: look around anew and ask the controller."""
        self._capture_s = self._inference.clock._now - self.start_s
        self._phone.look()
        observation = self._observe()
        if observation.options:
            self._ask(observation)
        else:
            self._phone.end(self)
            self._close(FAILED_NO_TARGET)

    def _ask(self, observation: OffloadingObservation) -> None:
        inference = self._inference
        if inference.asks_oracle:
            self._foresee(observation)
        inference.slot.ask(observation, self._decided)

    def _observe(self) -> OffloadingObservation:
        """What a controller is told that is asked at this moment."""
        inference, phone, terms = self._inference, self._phone, self._inference.terms
        now_s = inference.clock._now
        thermal = phone.thermal
        app = phone.app if phone.is_on else phone.app_asked_for  # the weather is nobody's doing
        network, rssi_dbm, nearby_dbm, link, nearby_link, self._places = _within_reach(phone)
        self._observation = observation = OffloadingObservation(
            now_s,
            self.job,
            phone.name,
            phone.spec.profile,
            inference.model,
            terms.deadline_s,
            terms.accuracy_min,
            network,
            rssi_dbm,
            nearby_dbm,
            link,
            nearby_link,
            app.cpu,
            app.memory,
            phone.battery.charge,
            phone.battery.is_plugged,
            nan if thermal is None else thermal.skin_c,
            self._menu.offer(self._places),
            self.is_ready,
            self.what_if if inference.slot.needs_what_if else None,
            now_s - self.start_s,
        )
        return observation

    def _foresee(self, observation: OffloadingObservation) -> None:
        """Ask what would come of each target."""
        forecasts = {option.target: self.what_if(option.target) for option in observation.options}
        self._forecasts = forecasts
        table, plans = self._inference.forecasts, self._menu.plans
        if table is not None:
            for target, (latency_s, energy_j) in forecasts.items():
                plan = plans[target]
                table.add(
                    (
                        self.start_s,
                        self.job,
                        self._phone.name,
                        plan.label,
                        plan.accuracy,
                        _finite(latency_s),
                        _finite(energy_j),
                    )
                )

    def _foreseen(
        self,
    ) -> tuple[str | None, float | None, float | None, float | None, float | None]:
        """What the oracle would have chosen, and what was foreseen of that and of the choice."""
        forecasts, observation = self._forecasts, self._observation
        if forecasts is None or observation is None:
            return None, None, None, None, None
        pool = accurate(observation.options, observation.accuracy_min)
        best = best_forecast(
            ((option.target, forecasts[option.target]) for option in pool), observation.deadline_s
        )
        chosen = forecasts[self._target] if self._target is not None else Forecast(inf, inf)
        return (
            self._menu.plans[best].label,
            _finite(forecasts[best].latency_s),
            _finite(forecasts[best].energy_j),
            _finite(chosen.latency_s),
            _finite(chosen.energy_j),
        )

    def _decided(self, target: Target) -> None:
        inference = self._inference
        self._plan = self._plan_of(target)
        self._target = target
        overhead_s = inference.terms.decision_overhead_s
        if overhead_s:
            clock = inference.clock
            clock.call_at(clock._now + overhead_s, Order.COMPLETION, self._begin)
        else:
            self._begin()

    def _begin(self, _: None = None) -> None:
        if self.status:
            return  # the phone went off meanwhile
        plan, phone = self._plan, self._phone
        assert plan is not None
        self._attempts += 1
        if plan.place == DEVICE:
            self._computation = computation = Computation(
                phone, self, plan, self._completed, self._no_memory
            )
            computation.start()
            return
        link = self._link_to(plan.place)
        if link is None:
            self._attempt_failed(CONNECTION_LOST)
            return
        terms = self._inference.terms
        other_side, visit = self._other_side(plan)
        self._errand = errand = Errand(
            self, phone, link, plan, other_side, terms.input_bytes, terms.output_bytes
        )
        if visit is not None:
            visit.begin(errand.host_failed)
        errand.start()

    def _link_to(self, place: str) -> Link | None:
        """The link over which a place can be reached now, however weak it is."""
        phone = self._phone
        if place in phone.nearby:
            host = phone.hosts[place]()
            host.look()  # at rest, it may have run empty
            return phone.nearby[place] if host.is_on else None
        link = None if phone.connection is None else phone.connection.link()
        return link if link is not None and place in link.network.routes else None

    def _other_side(self, plan: Plan) -> tuple[OtherSide, Visit | None]:
        """Who does the work elsewhere."""
        if plan.server is not None:
            return AtServer(plan.server, plan.server.tenant(self.job)), None
        if self._visit is None:
            host = self._phone.hosts[plan.place]()
            self._visit = Visit(host, self.job, self._write_if_settled, self.cut_off)
        return self._visit, self._visit

    def transferred(self) -> None:
        """A transfer has ended."""
        assert self._errand is not None
        self._errand.transferred()

    def connection_lost(self) -> None:
        """The link has had no rate for too long."""
        assert self._errand is not None
        self._errand.connection_lost()

    def errand_done(self) -> None:
        """The result has come back from elsewhere."""
        errand = self._errand
        assert errand is not None
        self._send_s, self._receive_s = errand.send_s, errand.receive_s
        self._errand = None
        if self._visit is not None:
            self._visit.end()
        self._completed()

    def errand_failed(self, reason: str) -> None:
        """An attempt elsewhere has come to nothing."""
        self._errand = None
        if self._visit is not None:
            self._visit.end()
        self._attempt_failed(reason)

    def _attempt_failed(self, reason: str) -> None:
        """Try again after a pause, or fail."""
        terms, clock = self._inference.terms, self._inference.clock
        if self._attempts <= terms.retries:
            clock.call_at(clock._now + terms.retry_wait_s, Order.COMPLETION, self._begin)
        else:
            self._phone.end(self)
            self._close(FAILED + reason)

    def _completed(self) -> None:
        if self._computation is not None:
            self._is_cold = self._computation.is_cold
            self._profile_j = self._computation.profile_j
            self._computation = None
        self._latency_s = self._inference.clock._now - self.start_s
        self._phone.end(self)
        self._close(DONE)

    # -- its end ----------------------------------------------------------------------------------

    def phone_went_off(self, reason: str) -> None:
        """The phone has gone off: give everything back and fail."""
        self._give_back(tell=False)
        self._close(FAILED + reason)

    def give_up(self, reason: str) -> None:
        """It has taken too long: give everything back and fail."""
        self._give_back(tell=True)
        self._close(FAILED + reason)

    def tail_ended(self) -> None:
        """A radio of the phone has left the tail after a transfer of this request.

        Or its camera is no longer kept open for it.
        """
        self._write_if_settled()

    def cut_off(self) -> None:
        """The run is over: give everything back and be recorded as unfinished."""
        self._give_back(tell=False)
        self._close(UNFINISHED)

    def _no_memory(self) -> None:
        """There is no room for the model, or no more."""
        self._give_back(tell=False)
        self._close(FAILED_NO_MEMORY)

    def _give_back(self, *, tell: bool) -> None:
        if self._pictures is not None:
            self._pictures.cancel()
        if self._computation is not None:
            self._is_cold = self._computation.is_cold
            self._computation.cancel()
            self._computation = None
        if self._errand is not None:
            self._errand.abandon(tell=tell)
            self._errand = None
        if self._visit is not None:
            self._visit.end()
        self._phone.end(self)

    def _close(self, status: str) -> None:
        """Nothing but tails of radios and camera can be booked to it any more."""
        self.status = status
        self._write_if_settled()

    def _write_if_settled(self) -> None:
        """Write its row when its last joule has been booked, here and elsewhere."""
        if not self.status or self._is_written:
            return
        phone = self._phone
        if phone.camera.tail_user is self or any(r.tail_user is self for r in phone.radios):
            return
        if self._visit is None or not self._visit.is_open:
            self._write()

    def _write(self) -> None:
        self._is_written = True
        inference, status, target, plan = self._inference, self.status, self._target, self._plan
        terms, done = inference.terms, status == DONE
        latency_s, deadline_s = self._latency_s, terms.deadline_s
        in_time = latency_s <= deadline_s if done else False
        observation, at_arrival = self._observation, self._at_arrival
        assert observation is not None
        assert at_arrival is not None
        if inference.requests is not None:
            met: bool | None = in_time
            if deadline_s == inf or (
                # The run has ended before the deadline: nobody knows.
                status == UNFINISHED and inference.clock._now - self.start_s <= deadline_s
            ):
                met = None
            visit, is_cold = self._visit, None
            if plan is not None and plan.place == DEVICE:
                is_cold = self._is_cold
            elif visit is not None:
                is_cold = visit.is_cold
            inference.requests.add(
                (
                    self.job,
                    self._phone.name,
                    self.start_s,
                    inference.model.name,
                    None if plan is None else plan.label,
                    status,
                    latency_s if done else None,
                    self.energy_j,
                    None if visit is None else visit.energy_j,
                    deadline_s if deadline_s < inf else None,
                    met,
                    plan.accuracy if done and plan is not None else None,
                    terms.accuracy_min or None,
                    None if plan is None else self._attempts,
                    at_arrival.network or None,
                    _known(at_arrival.rssi_dbm),
                    _known(at_arrival.nearby_rssi_dbm),
                    at_arrival.co_cpu,
                    at_arrival.co_mem,
                    _known(at_arrival.skin_c),
                    is_cold,
                    _known(self._capture_s),
                    None if self._pictures is None else self._pictures.energy_j,
                    self._phase,
                    *self._foreseen(),
                )
            )
        if target is not None and plan is not None:
            self._report(observation, target, plan, in_time)
        # Their what_if leads back here, and so do the pictures: do not leave a cycle behind.
        self._observation = self._at_arrival = self._pictures = None
        self._forecasts = None
        self._visit = None

    @property
    def _phase(self) -> str:
        terms = self._inference.terms
        if self.start_s < terms.training_s:
            return TRAINING
        return WARM_UP if self.start_s < terms.training_s + terms.warm_up_s else EVALUATION

    def _report(
        self, observation: OffloadingObservation, target: Target, plan: Plan, in_time: bool
    ) -> None:
        """Tell the controller what came of its decision, and write both down."""
        inference, status = self._inference, self.status
        lesson: Lesson | None = None
        if inference.slot.learns and status != UNFINISHED:
            outcome = OffloadingOutcome(
                status,
                self._latency_s,
                self._metered_j(),
                in_time,
                plan.accuracy if status == DONE else nan,
                self._send_s,
                self._receive_s,
                self._profile_j,
            )
            lesson = inference.slot.learn(observation, target, outcome)
        if inference.decisions is not None:
            inference.decisions.add(
                (
                    self.start_s,
                    self.job,
                    inference.slot.name,
                    inference.slot.controller_name,
                    self._phone.name,
                    plan.label,
                    None if lesson is None else lesson.reward,
                    False if lesson is None else lesson.is_explored,
                    self._phase,
                )
            )

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
        if plan is None or plan.server is not None:
            return plan is not None
        phone = self._phone if plan.place == DEVICE else self._phone.hosts[plan.place]()
        return not plan.read_s or phone.memory.is_ready(plan.memory_key)

    # -- what the oracle may ask ------------------------------------------------------------------

    def what_if(self, target: Target) -> Forecast:
        """What would come of running this request on ``target``, decided at this moment.

        Raises:
            ControllerError: if it is not one of the options.
        """
        plan = self._plan_of(target)
        phone, terms = self._phone, self._inference.terms
        now_s = self._inference.clock._now
        start_s = now_s + terms.decision_overhead_s
        if plan.place == DEVICE:
            end_s, energy_j = forecast_local(phone, plan, start_s)
        else:
            end_s, energy_j = forecast_remote(
                phone, plan, terms.input_bytes, terms.output_bytes, now_s, start_s
            )
        if end_s == inf or end_s - self.start_s > terms.timeout_s:
            return Forecast(inf, inf)
        # What is booked already, or as good as spent, is the same whatever is chosen now.
        spent_j = self.energy_j + phone.awake_so_far_j(self) + phone.camera.tail_left_j(self)
        energy_j += phone.base_power_share_w * (end_s - now_s)
        return Forecast(end_s - self.start_s, spent_j + energy_j)

    def _plan_of(self, target: Target) -> Plan:
        """How a target is carried out; refuses what is not one of the options."""
        observation = self._observation
        assert observation is not None
        plan = self._menu.plans.get(target) if isinstance(target, tuple) else None
        if plan is None or (plan.place != DEVICE and plan.place not in self._places):
            known = ", ".join(str(option.target) for option in observation.options)
            raise self._inference.slot.error(
                f"chose {target!s} for a request on {self._phone.name} at {self.start_s:g} s; "
                f"possible: {known}"
            )
        return plan


def _within_reach(
    phone: Phone,
) -> tuple[str, float, float, LinkState | None, LinkState | None, tuple[str, ...]]:
    """Network, its signal and that of the strongest phone nearby, what both mean, and places."""
    network, rssi_dbm, nearby_dbm = "", nan, nan
    state: LinkState | None = None
    nearby_state: LinkState | None = None
    places: tuple[str, ...] = ()
    if phone.connection is not None:
        link = phone.connection.link()
        if link is not None:
            is_connected = link.is_connected
            network, rssi_dbm, state = link.network.name, link.rssi_dbm, link.state
            if is_connected:
                places = link.network.places
    for place, link in phone.nearby.items():
        is_connected = link.is_connected
        if not link.rssi_dbm <= nearby_dbm:  # NaN at first
            nearby_dbm, nearby_state = link.rssi_dbm, link.state
        host = phone.hosts[place]()
        host.look()
        if is_connected and host.is_on:
            places += (place,)
    return network, rssi_dbm, nearby_dbm, state, nearby_state, places


def _finite(number: float) -> float | None:
    return number if number < inf else None


def _known(number: float) -> float | None:
    return None if number != number else number
