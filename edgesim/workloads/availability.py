"""Clients that are there at night: a diurnal generator, as a signal like any other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgesim.core.random import normals
from edgesim.core.signals import Signal, SignalBank

__all__ = ["NightsBank"]

DAY_S = 86_400.0
_MOST_DEVIATIONS = 3.0
# A night may begin so many days from where it belongs, and last as long beyond its mean: with the
# largest spread of 12 h, 1.5 days each way, 1.5 days more in length, and a day of rounding.
_NIGHTS_AROUND = 5

Real = NDArray[np.float64]


class NightsBank(SignalBank):
    """1 during a night, else 0; each night of each row begins and lasts by numbers of its own.

    Night d begins at ``24 d + begin_h`` hours and lasts ``hours``, each plus a normal deviate, cut at
    three standard deviations; nights that overlap are one. Which numbers a night has depends on row and
    night alone, so that any moment may be asked about in any order.

    Args:
        keys: stream keys, one per row.
        begin_h: mean hour of the day.
        hours: mean length.
        spread_h: standard deviation of both.
    """

    def __init__(
        self, keys: NDArray[np.uint64], begin_h: float, hours: float, spread_h: float
    ) -> None:
        self._keys = keys
        self._begin_s = 3600.0 * begin_h
        self._length_s = 3600.0 * hours
        self._spread_s = 3600.0 * spread_h

    def __len__(self) -> int:
        return len(self._keys)

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return _Nights(self, row)

    def values(self, time_s: float) -> Real:
        """The values of all rows, shape ``(len(self),)``."""
        begins_s, ends_s = self.windows(self._keys, time_s)
        inside = (begins_s <= time_s) & (time_s < ends_s)
        found: Real = np.asarray(inside.any(axis=1), np.float64)
        return found

    def windows(self, keys: NDArray[np.uint64], time_s: float) -> tuple[Real, Real]:
        """Begins and ends of the nights around a moment, shape ``(rows, nights)``."""
        today = int(time_s // DAY_S)
        first = today - _NIGHTS_AROUND
        nights = np.arange(first, today + _NIGHTS_AROUND + 1)
        # Counted from the earliest night that can matter to a run, which begins at 0.
        start = 2 * (first + _NIGHTS_AROUND)
        plain = normals(keys, start, 2 * len(nights)).reshape(len(keys), len(nights), 2)
        drawn = self._spread_s * np.clip(plain, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)
        begins_s = nights * DAY_S + self._begin_s + drawn[:, :, 0]
        return begins_s, begins_s + np.maximum(self._length_s + drawn[:, :, 1], 0.0)


class _Nights(Signal):
    __slots__ = ("_bank", "_key", "_known")

    def __init__(self, bank: NightsBank, row: int) -> None:
        self._bank = bank
        self._key = bank._keys[row : row + 1]
        self._known: tuple[float, float, float] = (0.0, -1.0, 0.0)

    def segment(self, time_s: float) -> tuple[float, float, float]:
        start_s, end_s, _ = self._known
        if not start_s <= time_s < end_s:
            self._known = self._found(time_s)
        return self._known

    def _found(self, time_s: float) -> tuple[float, float, float]:
        begins, ends = self._bank.windows(self._key, time_s)
        edges = np.unique(np.concatenate([begins[0], ends[0], [0.0]]))
        # What is known around this moment ends where further nights might begin.
        today_s = time_s // DAY_S * DAY_S
        before = [float(edge) for edge in edges if today_s <= edge <= time_s]
        after = [float(edge) for edge in edges if time_s < edge < today_s + DAY_S]
        inside = bool(((begins[0] <= time_s) & (time_s < ends[0])).any())
        start_s = before[-1] if before else today_s
        end_s = after[0] if after else today_s + DAY_S
        return max(start_s, 0.0), end_s, float(inside)
