"""The clock: a thin layer over :class:`simpy.Environment`.

Everything SimPy offers (processes, timeouts, conditions) works on a :class:`Clock`. What it adds is
what the hot path needs: callbacks at an *absolute* moment, without a process, a generator or an
event object around them, and one re-armable :class:`Timer` per component, so that a shared
capacity never has more than one wake-up pending.

Event order
-----------
Events are handled in the order of ``(time, order, sequence)``. ``sequence`` is the order in which
they were scheduled. ``order`` is one of :class:`Order`, so that at one and the same moment the
weather changes first, then batteries run empty, then work completes, then new work arrives:

====================  ==========================================================================
``Order.WEATHER``     an exogenous signal takes a new value
``Order.SUPPLY``      a battery runs empty
``Order.COMPLETION``  a job on a processor, a transfer or a radio phase ends
``Order.ARRIVAL``     a request arrives
====================  ==========================================================================

SimPy's own events use its priorities 0 (urgent) and 1 (normal) and so come before all of these at
equal times; a process that waits on the clock therefore sees the world as it was before anything
of that moment happened. :meth:`Clock.run_until` handles the half-open interval ``[now, until)``.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any

import simpy

from edgesim.core.errors import SimulationError

__all__ = ["Clock", "Order", "Timer"]


class Order:
    """Who goes first at equal times; see the module's docstring."""

    WEATHER = 2
    SUPPLY = 3
    COMPLETION = 4
    ARRIVAL = 5


class Clock(simpy.Environment):
    """Simulated seconds since the start of the run.

    Attributes:
        events: how many events have been handled so far, not counting wake-ups that had been
            moved meanwhile.
    """

    def __init__(self) -> None:
        super().__init__(initial_time=0.0)
        self.events = 0
        self._left_s: float | None = None  # the present, while somebody revisits the past

    def call_at(
        self, time_s: float, order: int, function: Callable[[Any], None], argument: Any = None
    ) -> None:
        """Call ``function(argument)`` at the absolute moment ``time_s``.

        There is no way to take a call back; a :class:`Timer` can be moved and stopped.

        Args:
            time_s: not before the present moment; infinity means never.
            order: one of :class:`Order`.
            function: what to call.
            argument: what to call it with.

        Raises:
            SimulationError: if ``time_s`` lies in the past or is not a number.
        """
        if not time_s >= self._now:
            raise SimulationError(
                f"a call was scheduled at {time_s!r} s, but the clock is at {self._now!r} s"
            )
        if time_s != inf:
            entry: Any = (time_s, order, next(self._eid), function, argument)
            heappush(self._queue, entry)

    def revisit(self, time_s: float, present_s: float) -> None:
        """Show ``time_s`` as the present, for a component that lives through a stretch of its own.

        Nothing else happens meanwhile, nothing may be scheduled, and whoever went back must return:
        ``revisit(present_s, present_s)``.
        """
        self._left_s = present_s if time_s < present_s else None
        self._now = time_s

    def interrupt(self) -> None:
        """Raise :class:`KeyboardInterrupt` out of the run before the next event.

        Safe to call from a signal handler: the event that is being handled is brought to its end.
        """
        now_s = self._now if self._left_s is None else self._left_s
        entry: Any = (now_s, -1, next(self._eid), _raise_interrupt, None)
        heappush(self._queue, entry)

    def schedule(self, event: simpy.Event, priority: int = 1, delay: float = 0.0) -> None:
        """Put a SimPy event into the queue; SimPy's own classes call this."""
        # All entries have one form: when, order, sequence (which never ties), what to call.
        entry: Any = (self._now + delay, priority, next(self._eid), _handle, event)
        heappush(self._queue, entry)

    def step(self) -> None:
        """Handle the next event, as SimPy's own ``run`` asks for.

        Raises:
            simpy.core.EmptySchedule: if there is none.
        """
        try:
            entry: Any = heappop(self._queue)
        except IndexError:
            raise simpy.core.EmptySchedule from None
        self._now, _, _, function, argument = entry
        self.events += 1
        function(argument)

    def run_until(self, until_s: float) -> None:
        """Handle every event before ``until_s``, then set the clock to ``until_s``.

        Raises:
            SimulationError: if ``until_s`` lies in the past.
        """
        if not until_s >= self._now:
            raise SimulationError(
                f"run until {until_s!r} s was asked for, but the clock is at {self._now!r} s"
            )
        queue: list[Any] = self._queue
        handled = 0
        try:
            while queue and queue[0][0] < until_s:
                self._now, _, _, function, argument = heappop(queue)
                handled += 1
                function(argument)
        finally:
            self.events += handled
        self._now = until_s


def _raise_interrupt(_: None) -> None:
    raise KeyboardInterrupt


def _handle(event: Any) -> None:
    """Do what SimPy does with an event whose moment has come."""
    callbacks, event.callbacks = event.callbacks, None
    for callback in callbacks:
        callback(event)
    if not event._ok and not hasattr(event, "_defused"):
        raise event._value


class Timer:
    """One wake-up that can be moved at will: ``function()`` is called at the moment last asked for.

    Moving it later costs nothing until the old moment comes; moving it earlier leaves the old
    entry in the queue, where it is skipped.
    """

    __slots__ = ("_clock", "_due_s", "_function", "_order", "_pending", "_pending_s")

    def __init__(self, clock: Clock, order: int, function: Callable[[], None]) -> None:
        self._clock = clock
        self._order = order
        self._function = function
        self._due_s = inf
        self._pending_s = inf
        self._pending = -1  # the sequence number of the entry in the queue that counts

    @property
    def due_s(self) -> float:
        """When it will go off; infinity if it is stopped."""
        return self._due_s

    def set(self, time_s: float) -> None:
        """Go off at ``time_s`` (absolute; infinity stops the timer) instead of at any other time.

        Raises:
            SimulationError: if ``time_s`` lies in the past or is not a number.
        """
        if time_s >= self._pending_s:
            self._due_s = time_s  # the entry that is pending will find out
            return
        clock = self._clock
        if not time_s >= clock._now:
            raise SimulationError(
                f"a timer was set to {time_s!r} s, but the clock is at {clock._now!r} s"
            )
        self._due_s = self._pending_s = time_s
        self._pending = sequence = next(clock._eid)
        entry: Any = (time_s, self._order, sequence, self._wake, sequence)
        heappush(clock._queue, entry)

    def stop(self) -> None:
        """Do not go off."""
        self._due_s = inf

    def _wake(self, sequence: int) -> None:
        due_s = self._due_s
        if sequence == self._pending:
            self._pending_s = inf
            if due_s <= self._clock._now:
                self._due_s = inf
                self._function()
                return
            if due_s != inf:
                self.set(due_s)
        self._clock.events -= 1  # it has been moved since, and nothing happens
