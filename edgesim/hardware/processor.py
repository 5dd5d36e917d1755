"""A processor at work: its time shared among jobs, its watts booked to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgesim.core.capacity import Job, SharedCapacity
from edgesim.core.clock import Clock
from edgesim.core.power import Meter, User
from edgesim.nn.cost import ProcessorSpec

__all__ = ["Execution", "Processor"]


class Execution:
    """Work in progress on a :class:`Processor`."""

    __slots__ = ("done", "job", "mark", "running", "user")

    def __init__(self, user: User, done: Callable[[], None]) -> None:
        self.user = user
        self.done = done
        self.mark = 0.0
        self.running = False
        self.job: Job


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

    __slots__ = ("_busy_since_s", "_busy_s", "_clock", "_per_job_w", "_state", "capacity", "spec")

    def __init__(self, clock: Clock, meter: Meter, spec: ProcessorSpec) -> None:
        self._clock = clock
        self.spec = spec
        self._state = meter.component(spec.name, 0.0, "idle")
        if spec.slots is None:
            self.capacity = SharedCapacity(clock)
            self._per_job_w = None
        else:
            self.capacity = SharedCapacity(clock, spec.slots, slots=spec.slots, share_limit=1.0)
            self._per_job_w = spec.busy_power_w / spec.slots
        self._busy_s = 0.0
        self._busy_since_s = 0.0

    @property
    def busy_s(self) -> float:
        """Seconds with at least one job, up to now."""
        if not self.capacity.in_service:
            return self._busy_s
        return self._busy_s + self._clock.now - self._busy_since_s

    def run(self, user: User, work_s: float, done: Callable[[], None]) -> Execution:
        """Do ``work_s`` seconds of work (alone, at full speed) for ``user``, then call ``done()``."""
        execution = Execution(user, done)
        execution.job = self.capacity.submit(
            work_s, self._finished, execution, started=self._started
        )
        return execution

    def cancel(self, execution: Execution) -> None:
        """Stop an execution, booking what it has cost so far; its ``done`` is not called."""
        self.capacity.cancel(execution.job)
        if execution.running:
            self._leave(execution)

    def settle(self) -> None:
        """Book what every execution has cost up to now; all go on."""
        for execution in self.capacity.payloads():
            execution.mark = self._state.book(execution.user, execution.mark, "compute")

    def _started(self, execution: Any) -> None:
        execution.running = True
        execution.mark = self._state.join()
        self._update()

    def _finished(self, execution: Any) -> None:
        self._leave(execution)
        execution.done()

    def _leave(self, execution: Execution) -> None:
        execution.running = False
        self._state.leave(execution.user, execution.mark, "compute")
        self._update()

    def _update(self) -> None:
        """Follow the number of jobs in service with the watts."""
        in_service = self.capacity.in_service
        state = self._state
        if in_service:
            if state.activity == "idle":
                self._busy_since_s = self._clock._now
            per_job_w = self._per_job_w
            state.set(
                self.spec.busy_power_w if per_job_w is None else per_job_w * in_service, "compute"
            )
        elif state.activity != "idle":
            self._busy_s += self._clock._now - self._busy_since_s
            state.set(0.0, "idle")
