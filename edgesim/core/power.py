"""Power states and the energy ledger: every joule integrated exactly and booked once.

A device's :class:`Meter` holds one :class:`PowerState` per component (base, a processor, a radio).
A power state is a number of watts, what it is doing (its *activity*), and the users on whose behalf
it does it. Whenever any of these changes, the joules since the last change are settled: there is no
sampling and no tick, so the sums are exact whatever is recorded.

Joules are shared evenly among the present users, by one running number per component (joules so far
per user): joining notes it, leaving takes the difference. That is O(1) however many users share, and
a user that leaves books its part to ``(component, activity, job)`` and to its own ``energy_j``.
Joules of moments without users belong to job ``none``.

The meter integrates the *total* power by itself, from the same changes, as what leaves the battery.
That the two agree to 1e-9 is checked at the end of every run (:meth:`Meter.audit`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from edgesim.core.clock import Clock
from edgesim.core.errors import SimulationError

__all__ = [
    "LEDGER_TOLERANCE",
    "NOBODY",
    "Booking",
    "Meter",
    "PowerState",
    "Supply",
    "User",
    "check_books",
]

NOBODY = "none"
"""The job that owns what nobody asked for."""

LEDGER_TOLERANCE = 1e-9
"""Relative difference allowed between what the ledger booked and what the battery gave."""


Booking = tuple[str, str, str, float]
"""Component, activity, job, joules."""


class User(Protocol):
    """Whoever energy is spent for: one request, one client's round, one fine-tuning step.

    Attributes:
        job: the name of the job it belongs to.
        energy_j: what has been booked to it so far.
    """

    job: str
    energy_j: float


class PowerState:
    """The watts of one component, and who answers for them; made by :meth:`Meter.component`.

    Attributes:
        name: the component.
        activity: what it is doing; moments without users are booked under this name.
        power_w: watts at present.
    """

    __slots__ = (
        "_booked",
        "_clock",
        "_index",
        "_meter",
        "_per_user_j",
        "_since_s",
        "_users",
        "activity",
        "name",
        "power_w",
    )

    def __init__(self, meter: Meter, index: int, name: str, power_w: float, activity: str) -> None:
        self._meter = meter
        self._clock = meter._clock
        self._index = index
        self._booked: dict[tuple[str, str], float] = {}  # by activity and job
        self._since_s = meter._since_s
        self._users = 0
        self._per_user_j = 0.0
        self.name = name
        self.activity = activity
        self.power_w = power_w

    def set(self, power_w: float, activity: str) -> None:
        """Draw ``power_w`` watts for ``activity`` from now on."""
        # Settling and the meter's part are written out here: this is the hottest code there is.
        now_s = self._clock._now
        if now_s != self._since_s:
            energy_j = self.power_w * (now_s - self._since_s)
            self._since_s = now_s
            if self._users:
                self._per_user_j += energy_j / self._users
            elif energy_j:
                key = (self.activity, NOBODY)
                self._booked[key] = self._booked.get(key, 0.0) + energy_j
        self.activity = activity
        if power_w != self.power_w:
            self.power_w = power_w
            meter = self._meter
            if now_s != meter._since_s:
                meter._elapse(now_s)
            meter._watts[self._index] = power_w
            if meter._watchers:
                for watcher in meter._watchers:
                    watcher()

    def join(self, power_w: float | None = None, activity: str = "") -> float:
        """Become one of the users who share the joules from now on.

        Args:
            power_w: draw so much from now on; by default as much as before.
            activity: for what, if ``power_w`` is given.

        Returns:
            The mark to hand to :meth:`book` or :meth:`leave`.
        """
        if power_w is None:
            self.set(self.power_w, self.activity)
        else:
            self.set(power_w, activity)
        if not self._users:
            # Nobody holds a mark: start from zero again, so that differences keep their digits.
            self._per_user_j = 0.0
        self._users += 1
        return self._per_user_j

    def book(
        self,
        user: User,
        mark: float,
        activity: str,
        power_w: float | None = None,
        next_activity: str = "",
    ) -> float:
        """Book to ``user`` its part since ``mark``, under ``activity``; it goes on as a user.

        Args:
            user: whoever joined.
            mark: what joining, or booking before, returned.
            activity: what the joules were spent on.
            power_w: draw so much from now on; by default as much as before.
            next_activity: for what, if ``power_w`` is given.

        Returns:
            The new mark.
        """
        if power_w is None:
            self.set(self.power_w, self.activity)
        else:
            self.set(power_w, next_activity)
        energy_j = self._per_user_j - mark
        key = (activity, user.job)
        booked = self._booked
        booked[key] = booked.get(key, 0.0) + energy_j
        user.energy_j += energy_j
        return self._per_user_j

    def due_j(self, mark: float) -> float:
        """What a user who got ``mark`` would be booked at this moment; nothing is."""
        now_s = self._clock._now
        each_j = self.power_w * (now_s - self._since_s) / self._users
        return self._per_user_j + each_j - mark

    def book_among(self, users: Sequence[User], mark: float, activity: str) -> float:
        """Book one user's part since ``mark`` in even shares to several, who are one to the rest.

        Args:
            users: they.
            mark: what the one who joined for all of them got, or booking before.
            activity: what the joules were spent on.

        Returns:
            The new mark.
        """
        self.set(self.power_w, self.activity)
        each_j = (self._per_user_j - mark) / len(users)
        booked = self._booked
        for user in users:
            key = (activity, user.job)
            booked[key] = booked.get(key, 0.0) + each_j
            user.energy_j += each_j
        return self._per_user_j

    def leave(
        self,
        user: User,
        mark: float,
        activity: str,
        power_w: float | None = None,
        next_activity: str = "",
    ) -> None:
        """Book to ``user`` its part since ``mark`` and stop being one; arguments as :meth:`book`."""
        self.book(user, mark, activity, power_w, next_activity)
        self._users -= 1


def check_books(device: str, drawn_j: float, bookings: Iterable[Booking]) -> None:
    """Check that what a device drew has been booked, neither more nor less.

    Raises:
        SimulationError: if the two differ by more than :data:`LEDGER_TOLERANCE`.
    """
    booked_j = sum(energy_j for *_, energy_j in bookings)
    if not abs(booked_j - drawn_j) <= LEDGER_TOLERANCE * max(abs(drawn_j), 1e-3):
        raise SimulationError(f"{device}: {drawn_j!r} J were drawn, but {booked_j!r} J were booked")


class Supply(Protocol):
    """What a device's power comes from: told of every stretch of time at constant watts."""

    def elapse(self, watts: Sequence[float], power_w: float, seconds: float) -> None:
        """Give so many watts (by component, and in all) for so long."""


class Meter:
    """What one device draws, by component.

    Args:
        clock: the clock.
        device: its name, for messages.
        since_s: the moment from which it draws.
        supply: where the power comes from; ``None`` if nobody needs to know.
    """

    __slots__ = (
        "_clock",
        "_drawn_j",
        "_since_s",
        "_states",
        "_supply",
        "_watchers",
        "_watts",
        "device",
    )

    def __init__(
        self, clock: Clock, device: str, since_s: float = 0.0, supply: Supply | None = None
    ) -> None:
        self._clock = clock
        self._drawn_j = 0.0
        self._since_s = since_s
        self._supply = supply
        self._states: list[PowerState] = []
        self._watts: list[float] = []
        self._watchers: tuple[Callable[[], None], ...] = ()
        self.device = device

    @property
    def power_w(self) -> float:
        """Watts at present, all components together."""
        # Summed afresh rather than adjusted, so that no rounding is carried along.
        return sum(self._watts)

    @property
    def since_s(self) -> float:
        """The moment up to which everything has been integrated."""
        return self._since_s

    @property
    def watts(self) -> Sequence[float]:
        """Watts at present, by component."""
        return self._watts

    @property
    def drawn_j(self) -> float:
        """Joules drawn up to the present moment."""
        return self._drawn_j + sum(self._watts) * (self._clock._now - self._since_s)

    def component(self, name: str, power_w: float, activity: str) -> PowerState:
        """Add a component that draws ``power_w`` watts for ``activity`` from now on.

        Several may have one name, if what they do has different names.
        """
        self.bring_up_to_date()
        state = PowerState(self, len(self._states), name, power_w, activity)
        self._states.append(state)
        self._watts.append(power_w)
        return state

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher()`` after each change of the total power."""
        self._watchers = (*self._watchers, watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call it no more."""
        self._watchers = tuple(other for other in self._watchers if other != watcher)

    def _elapse(self, now_s: float) -> None:
        """Integrate up to now at the present watts."""
        seconds = now_s - self._since_s
        self._since_s = now_s
        power_w = sum(self._watts)
        self._drawn_j += power_w * seconds
        if self._supply is not None:
            self._supply.elapse(self._watts, power_w, seconds)

    def bring_up_to_date(self) -> None:
        """Integrate up to now: what the supply knows is of this moment."""
        if self._clock._now != self._since_s:
            self._elapse(self._clock._now)

    def switch_off(self) -> None:
        """Draw nothing from now on; every user has left."""
        for state in self._states:
            state.set(0.0, "off")

    def settle(self) -> None:
        """Book everything up to the present moment that has no user; users still hold theirs."""
        for state in self._states:
            state.set(state.power_w, state.activity)

    def bookings(self) -> list[Booking]:
        """What has been booked: (component, activity, job, joules), sorted by name."""
        return sorted(
            (state.name, activity, job, energy_j)
            for state in self._states
            for (activity, job), energy_j in state._booked.items()
        )

    def audit(self) -> None:
        """Check that everything drawn has been booked; users must have left, or booked just now.

        Raises:
            SimulationError: if ledger and battery differ by more than :data:`LEDGER_TOLERANCE`.
        """
        self.settle()
        check_books(self.device, self.drawn_j, self.bookings())
