"""A processor at work: its time shared among jobs, its watts booked to them."""

from __future__ import annotations

from collections.abc import Callable

from edgesim.core.capacity import Job, SharedCapacity
from edgesim.core.clock import Clock
from edgesim.core.power import Meter, User
from edgesim.nn.cost import ProcessorSpec

__all__ = ["Execution", "Processor"]


class Execution(Job):
    """Work for a :class:`Processor`: add it to the processor's ``capacity``.

    Args:
        processor: where it is to run.
        user: who answers for its joules.
        work_s: seconds it takes alone, at full speed.
        done: called when it has ended.

    Attributes:
        is_running: whether it is in service.
    """

    is_running = False

    def __init__(
        self, processor: Processor, user: User, work_s: float, done: Callable[[], None]
    ) -> None:
        self.work = work_s
        self._processor = processor
        self._user = user
        self._done = done
        self._mark = 0.0

    def started(self) -> None:
        """Answer for a share of the processor's watts from now on."""
        self.is_running = True
        processor = self._processor
        self._mark = processor._state.join(processor._follow(), "compute")

    def finished(self) -> None:
        """Book the share, and tell whoever waits for the result."""
        self._leave()
        self._done()

    def settle(self) -> None:
        """Book what it has cost up to now; it goes on."""
        self._mark = self._processor._state.book(self._user, self._mark, "compute")

    def _leave(self) -> None:
        self.is_running = False
        processor = self._processor
        power_w = processor._follow()
        processor._state.leave(
            self._user, self._mark, "compute", power_w, "compute" if power_w else "idle"
        )


class Processor:
    """One processor of one device.

    A processor without slots gives its time to all its jobs evenly and draws its busy power while
    there is any; one with slots serves that many at full speed, each for its part of the busy
    power, while the others wait in line.

    Args:
        clock: the clock.
        meter: the device's meter; the processor is one of its components.
        spec: its costs.

    Attributes:
        capacity: its time: one second per second and slot.
    """

    __slots__ = (
        "_busy_power_w",
        "_busy_s",
        "_busy_since_s",
        "_clock",
        "_is_busy",
        "_state",
        "capacity",
        "spec",
    )

    def __init__(self, clock: Clock, meter: Meter, spec: ProcessorSpec) -> None:
        self._clock = clock
        self.spec = spec
        self._busy_power_w = spec.busy_power_w
        self._state = meter.component(spec.name, 0.0, "idle")
        if spec.slots is None:
            self.capacity = SharedCapacity(clock)
        else:
            self.capacity = SharedCapacity(clock, spec.slots, slots=spec.slots, share_limit=1.0)
        self._is_busy = False
        self._busy_s = 0.0
        self._busy_since_s = 0.0

    @property
    def busy_s(self) -> float:
        """Seconds with at least one job, up to now."""
        return self._busy_s + (self._clock.now - self._busy_since_s if self._is_busy else 0.0)

    def run(self, user: User, work_s: float, done: Callable[[], None]) -> Execution:
        """Do ``work_s`` seconds of work (alone, at full speed) for ``user``, then call ``done()``."""
        execution = Execution(self, user, work_s, done)
        self.capacity.add(execution)
        return execution

    def cancel(self, execution: Execution) -> None:
        """Stop an execution, booking what it has cost so far; its ``done`` is not called."""
        self.capacity.cancel(execution)
        if execution.is_running:
            execution._leave()

    def settle(self) -> None:
        """Book what every execution has cost up to now; all go on."""
        for job in self.capacity.jobs():
            assert isinstance(job, Execution)
            job.settle()

    def _follow(self) -> float:
        """Watts for the jobs now in service; keeps the books of the time at work."""
        in_service = self.capacity._served
        if not in_service:
            if self._is_busy:
                self._is_busy = False
                self._busy_s += self._clock._now - self._busy_since_s
            return 0.0
        if not self._is_busy:
            self._is_busy = True
            self._busy_since_s = self._clock._now
        slots = self.spec.slots
        return self._busy_power_w if slots is None else self._busy_power_w / slots * in_service
