"""A battery in joules, and the exact moment at which it runs empty."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.power import Meter

__all__ = ["OVERDRAFT_J", "Battery"]

_EXACT_WITHIN_S = 1.0
_EMPTY_J = 1e-6

OVERDRAFT_J = 1e-5
"""Joules by which rounding may let a battery be overdrawn: a microsecond at full power."""


class Battery:
    """Charge kept in joules; what the meter draws, it gives.

    The moment it runs empty is computed, not polled. While much is left, one wake-up stands at the
    earliest moment that could be: as if the phone drew its peak power from now on. Only when that
    moment is less than a second away does every change of power move the wake-up to the exact
    moment. So the battery costs an active phone one event in an hour, not one per request.

    Args:
        clock: the clock.
        meter: the phone's meter.
        capacity_j: joules when full.
        charge: at the start, in [0, 1].
        peak_w: no state of the phone draws more.
        is_resting: whether the phone's power can only fall until :meth:`power_rises` is called.
        on_empty: called once, at the moment it runs empty.

    Attributes:
        is_guarded: whether the wake-up comes before any draw could have emptied it; if not, and
            the phone is about to draw more, :meth:`power_rises` must be called.
    """

    __slots__ = (
        "_clock",
        "_exact",
        "_is_resting",
        "_meter",
        "_on_empty",
        "_peak_w",
        "_start_j",
        "_timer",
        "capacity_j",
        "is_guarded",
    )

    def __init__(
        self,
        clock: Clock,
        meter: Meter,
        capacity_j: float,
        charge: float,
        peak_w: float,
        is_resting: Callable[[], bool],
        on_empty: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._meter = meter
        self.capacity_j = capacity_j
        self._start_j = capacity_j * charge
        self._peak_w = peak_w
        self._is_resting = is_resting
        self._on_empty = on_empty
        self._timer = Timer(clock, Order.SUPPLY, self._wake)
        self.is_guarded = False
        self._exact = False  # every change of power moves the wake-up
        if self.left_j > _EMPTY_J:
            self._aim()

    @property
    def left_j(self) -> float:
        """Joules left."""
        return max(self._start_j - self._meter.drawn_j, 0.0)

    @property
    def overdrawn_j(self) -> float:
        """Joules drawn that were not there; rounding apart, none."""
        return max(self._meter.drawn_j - self._start_j, 0.0)

    @property
    def charge(self) -> float:
        """State of charge, in [0, 1]."""
        left_j = self._start_j - self._meter.drawn_j
        return left_j / self.capacity_j if left_j > 0.0 else 0.0

    def power_rises(self) -> None:
        """Tell it that the phone rests no more."""
        self._aim(resting=False)

    def _aim(self, *, resting: bool = True) -> None:
        left_j, power_w, now_s = self.left_j, self._meter.power_w, self._clock._now
        bound_s = left_j / self._peak_w
        if (bound_s < _EXACT_WITHIN_S) != self._exact:
            self._exact = not self._exact
            (self._meter.watch if self._exact else self._meter.unwatch)(self._power_changed)
        self.is_guarded = not (resting or self._exact)
        if self.is_guarded:
            self._timer.set(now_s + bound_s)
        else:
            self._timer.set(now_s + left_j / power_w if power_w else inf)

    def _power_changed(self) -> None:
        self._aim(resting=False)

    def _wake(self) -> None:
        if self.left_j > _EMPTY_J:
            self._aim(resting=self._is_resting())
            return
        if self._exact:
            self._meter.unwatch(self._power_changed)
        self.is_guarded = True  # nothing left to look out for
        self._on_empty()
