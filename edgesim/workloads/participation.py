"""One client's part in a round: it collects its data, the model comes, it trains, its update goes.

A client is a SimPy process on its phone. Each of its phases keeps the phone awake and answers for the
joules spent on it, the tail of its radio included. Whatever befalls the phone meanwhile (it goes off,
its connection is lost, other apps need the memory, its owner takes it into use) ends its part.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import nan
from typing import Any

import simpy

from edgesim.controllers.federated import Participant
from edgesim.core.clock import Clock, Order
from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import Execution
from edgesim.network.radio import Link
from edgesim.workloads.captures import Photography, Pictures
from edgesim.workloads.local_training import PartOfTask, TrainingTask

__all__ = ["Assignment", "Part", "Phase"]

DONE = "done"
PARTIAL = "partial"
FAILED = "failed:"
UNFINISHED = "unfinished"

Waiting = Generator[simpy.Event, Any, None]


class Lost(Exception):  # noqa: N818 - it is the end of a part, not an error
    """A client's part has ended before its update came."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a client is told.

    Attributes:
        round: which it takes part in,
        participant: who, and where it trains,
        batch_size, epochs: with what.
        task: the work of it.
        downlink_bytes, uplink_bytes: what is sent to it, and back.
        resident_bytes: memory that training takes.
        site: where the coordinator is.
        breaks_down_at: it breaks down after this share of its training; 1: it does not.
        offline_s: its owner takes it away, or into use, at this moment; infinity: never,
        offline_reason: and which of both.
        collects: how it takes its pictures first, and how many; ``None``: its data is there already.
    """

    round: int
    participant: Participant
    batch_size: int
    epochs: int
    task: TrainingTask
    downlink_bytes: float
    uplink_bytes: float
    resident_bytes: int
    site: str
    breaks_down_at: float
    offline_s: float
    offline_reason: str
    collects: tuple[Photography, int] | None = None


class Phase:
    """A phase of a client's part: what keeps its phone awake, and what joules are booked to.

    Attributes:
        name: ``collect``, ``download``, ``training`` or ``upload``.
        job: the job's name.
        energy_j: what has been booked so far.
        start_s: when it began,
        end_s: and ended; NaN before.
    """

    __slots__ = ("_part", "end_s", "energy_j", "job", "name", "start_s")

    def __init__(self, part: Part, name: str, start_s: float) -> None:
        self._part = part
        self.name = name
        self.job = part.job
        self.energy_j = 0.0
        self.start_s = start_s
        self.end_s = nan

    @property
    def seconds(self) -> float:
        """How long it has lasted; 0 while it goes on."""
        return 0.0 if self.end_s != self.end_s else self.end_s - self.start_s

    def phone_went_off(self, reason: str) -> None:
        """The phone has gone off."""
        self._part.lose(FAILED + reason)

    def transferred(self) -> None:
        """Its transfer has ended."""
        self._part.proceed()

    def connection_lost(self) -> None:
        """Its connection is lost."""
        self._part.lose(FAILED + "connection_lost")

    def tail_ended(self) -> None:
        """The radio has left the tail after its transfer, or the camera is not kept open for it."""
        self._part.settled()

    # -- as a session of the phone's connection, and as a tenant of its memory ---------------------

    def moved(self, link: Link) -> None:
        """It goes on over another link."""
        self._part.moved(link)

    def load_model(self) -> None:
        """Nothing to load: the weights have just come."""

    def model_is_loaded(self) -> None:
        """Likewise."""

    def ran_out_of_memory(self) -> None:
        """Other apps need the memory."""
        self._part.lose(FAILED + "out_of_memory")


class Part:
    """One client's part in one round.

    Args:
        clock: the clock.
        job: the job's name.
        phone: the client's.
        given: what it is told.
        over: called when its part is over, whatever came of it.
        written: called when the last joule of it has been booked.

    Attributes:
        status: empty while it goes on; then ``done``, ``partial``, or why no update came.
        steps: how many it did, or was to do.
        phases: so far.
        compute_j: what the profile's watts make of its processor's busy time.
        transmit_w: watts of sending at the signal when its upload began.
        rssi_dbm: signal when it began; NaN without a network.
        start_s, end_s: when it began, and when it was over; NaN before.
        has_collected: whether it has taken all of its pictures.
    """

    __slots__ = (
        "_doom",
        "_execution",
        "_is_hurried",
        "_is_sent",
        "_is_settled",
        "_link",
        "_next",
        "_over",
        "_phone",
        "_pictures",
        "_written",
        "clock",
        "co_cpu",
        "compute_j",
        "end_s",
        "given",
        "has_collected",
        "job",
        "phases",
        "rssi_dbm",
        "start_s",
        "status",
        "steps",
        "transmit_w",
    )

    def __init__(
        self,
        clock: Clock,
        job: str,
        phone: Phone,
        given: Assignment,
        over: Callable[[Part], None],
        written: Callable[[Part], None],
    ) -> None:
        self.clock = clock
        self.job = job
        self.given = given
        self.status = ""
        self.steps = given.task.steps
        self.phases: list[Phase] = []
        self.compute_j = 0.0
        self.transmit_w = 0.0
        self.rssi_dbm = nan
        self.co_cpu = 0.0
        self.start_s = clock.now
        self.end_s = nan
        self.has_collected = False
        self._phone = phone
        self._over = over
        self._written = written
        self._next: simpy.Event | None = None
        self._execution: Execution | None = None
        self._link: Link | None = None
        self._pictures: Pictures | None = None
        self._doom = ""  # why it has ended, while its process does not know yet
        self._is_hurried = False
        self._is_sent = False
        self._is_settled = False

    @property
    def device(self) -> str:
        """The name of its phone."""
        return self._phone.name

    @property
    def energy_j(self) -> float:
        """What has been booked to it so far."""
        return sum(phase.energy_j for phase in self.phases)

    def phase(self, name: str) -> Phase | None:
        """One of its phases, if it has come to it."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def begin(self) -> None:
        """Let it begin at this moment."""
        offline_s = self.given.offline_s
        self.clock.process(self._run())
        self.clock.call_at(offline_s, Order.WEATHER, self._taken_away)

    # -- its way ----------------------------------------------------------------------------------

    def _run(self) -> Waiting:
        given, phone = self.given, self._phone
        try:
            self._check()
            phone.look()
            self.co_cpu = phone.app.cpu
            if not phone.is_on:
                raise Lost(FAILED + phone.off_reason)
            if given.collects is not None:
                yield from self._collect(*given.collects)
            yield from self._transfer("download", given.downlink_bytes, is_up=False)
            yield from self._train()
            yield from self._transfer("upload", given.uplink_bytes, is_up=True)
            assert self._link is not None
            self._is_sent = True  # what befalls the phone from now on does not matter
            yield from self._wait(self._link.network.routes[given.site].half_rtt_s)
            self._close(DONE if self.steps == given.task.steps else PARTIAL)
        except Lost as lost:
            self._close(str(lost))

    def _collect(self, how: Photography, pictures: int) -> Waiting:
        phase = self._enter("collect")
        self._pictures = Pictures(self._phone, phase, how, pictures, self.proceed)
        yield self._pause()
        self._check()
        self._pictures = None
        self.has_collected = True
        self._leave()

    def _transfer(self, name: str, size_bytes: float, *, is_up: bool) -> Waiting:
        phone, site = self._phone, self.given.site
        connection = phone.connection
        link = None if connection is None else connection.link()
        if link is None or site not in link.network.routes:
            raise Lost(FAILED + "no_connection")
        assert connection is not None
        self._link = link
        phase = self._enter(name)
        state = link.look()
        if is_up:
            self.transmit_w = state.send_w
        else:
            self.rssi_dbm = link.rssi_dbm
        connection.open(phase, link)
        if is_up:
            link.send(phase, size_bytes, site)
        else:
            yield from self._wait(link.network.routes[site].half_rtt_s)
            self._link.receive(phase, size_bytes, site)
        yield self._pause()
        self._check()
        connection.close(phase)
        self._leave()

    def _wait(self, seconds: float) -> Waiting:
        """Let time pass, unless the part ends meanwhile."""
        pause = self._pause()
        now_s = self.clock.now
        self.clock.call_at(now_s + seconds, Order.COMPLETION, self._time_is_up, pause)
        yield pause
        self._check()

    def _time_is_up(self, pause: simpy.Event) -> None:
        if pause is self._next:
            self.proceed()

    def _train(self) -> Waiting:
        given, phone = self.given, self._phone
        phase = self._enter("training")
        key = (f"{self.job} is training", str(given.round), "fp32")
        if phone.memory.claim(phase, key, given.resident_bytes) is None:
            raise Lost(FAILED + "out_of_memory")
        target = given.participant.target
        processor = phone.processor(target.processor)
        breaks_down = given.breaks_down_at < 1.0
        task = PartOfTask(given.task, given.breaks_down_at) if breaks_down else given.task
        self._execution = processor.run(phase, task, self.proceed, target.level)
        yield self._pause()
        self._check()
        if breaks_down and not self._is_hurried:
            raise Lost(FAILED + "crash")
        self._give_back_processor()
        self._leave()

    def _taken_away(self, _: None) -> None:
        if not self._is_sent:
            self.lose(FAILED + self.given.offline_reason)

    # -- what may happen meanwhile ----------------------------------------------------------------

    def proceed(self) -> None:
        """What it waits for has happened."""
        event, self._next = self._next, None
        if event is not None:
            event.succeed()

    def lose(self, reason: str) -> None:
        """Its part is over: give everything back at once."""
        if self.status or self._doom:
            return
        self._doom = reason
        self._give_back()
        self.proceed()

    def cut_off(self) -> None:
        """The run is over."""
        if not self.status:
            self._close(UNFINISHED)

    def hurry(self) -> bool:
        """Send what has been trained so far; says whether there is anything to send, or on its way.

        Without a whole step yet, nothing changes.
        """
        if self.status or not self.phases:
            return False
        phase = self.phases[-1]
        if phase.name == "upload":
            return True
        execution = self._execution
        if phase.name != "training" or execution is None or self._next is None:
            return phase.name == "training"  # it is about to go over to its upload
        spec = execution.place.spec
        share = (1.0 - execution.share_left) * self.given.breaks_down_at
        steps = self.given.task.steps_in(spec, share)
        if not steps:
            return False
        self.steps = steps
        self._is_hurried = True
        self.proceed()
        return True

    def moved(self, link: Link) -> None:
        """The phone has gone over to another network."""
        if self.given.site in link.network.routes:
            self._link = link
        else:
            self.lose(FAILED + "connection_lost")

    def settled(self) -> None:
        """Perhaps its last joule has been booked."""
        if not self.status or self._is_settled:
            return
        phone, phases = self._phone, self.phases
        if phone.camera.tail_user in phases or any(r.tail_user in phases for r in phone.radios):
            return
        self._is_settled = True
        self._written(self)

    # -- inside -----------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._doom:
            raise Lost(self._doom)

    def _pause(self) -> simpy.Event:
        self._next = event = self.clock.event()
        return event

    def _enter(self, name: str) -> Phase:
        phase = Phase(self, name, self.clock.now)
        self.phases.append(phase)
        self._phone.begin(phase)
        return phase

    def _leave(self) -> None:
        phase = self.phases[-1]
        if phase in self._phone.active:
            self._phone.end(phase)
            phase.end_s = self.clock.now

    def _give_back_processor(self) -> None:
        execution, self._execution = self._execution, None
        if execution is not None:
            if execution.is_running or execution.share_left:
                execution.cancel()
            self.compute_j += execution.profile_j
        self._phone.memory.release(self.phases[-1])

    def _give_back(self) -> None:
        """Give back what the present phase holds."""
        if not self.phases:
            return
        phase, phone = self.phases[-1], self._phone
        if self._pictures is not None:
            self._pictures.cancel()
            self._pictures = None
        if phone.connection is not None:
            phone.connection.close(phase)
        for radio in phone.radios:
            radio.abort(phase)
        self._give_back_processor()
        self._leave()

    def _close(self, status: str) -> None:
        if not self._doom:
            self._give_back()
        self.status = status
        self.end_s = self.clock.now
        self._over(self)
        self.settled()
