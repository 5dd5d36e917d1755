"""When requests arrive: exogenous, from each phone's own stream, the same under every controller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgesim.core.random import exponentials, uniforms

__all__ = ["Arrivals", "PeriodicArrivals", "PoissonArrivals"]

_LARGEST_BLOCK = 256


class Arrivals(ABC):
    """Moments of arrival at each of several phones, from time 0 on."""

    @abstractmethod
    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end."""


class PoissonArrivals(Arrivals):
    """Independent Poisson processes.

    Args:
        keys: stream keys, one per phone.
        rate_per_s: mean arrivals per second at each phone.
        horizon_s: how far they will be asked for; only speed depends on it.
    """

    def __init__(self, keys: NDArray[np.uint64], rate_per_s: float, horizon_s: float) -> None:
        self._keys = keys
        self._rate_per_s = rate_per_s
        expected = rate_per_s * horizon_s
        # Enough for most phones at once, all of them in one numpy pass; the rest one by one.
        self._block = int(min(max(expected * 1.2 + 4, 4), _LARGEST_BLOCK))
        self._first = np.cumsum(exponentials(keys, 0, self._block) / rate_per_s, axis=1)

    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end."""
        times_s = self._first[row].tolist()
        done = self._block
        while True:
            yield from times_s
            gaps_s = exponentials(int(self._keys[row]), done, _LARGEST_BLOCK) / self._rate_per_s
            times_s = np.cumsum(np.r_[times_s[-1], gaps_s])[1:].tolist()
            done += _LARGEST_BLOCK


class PeriodicArrivals(Arrivals):
    """One request every ``period_s``.

    Args:
        keys: stream keys, one per phone, for the phase.
        period_s: seconds from one request to the next.
        offset_s: when the first one arrives; ``None``: uniform in the first period, by phone, so
            that phones do not all ask in the same instant.
    """

    def __init__(
        self, keys: NDArray[np.uint64], period_s: float, offset_s: float | None = None
    ) -> None:
        self._period_s = period_s
        if offset_s is None:
            self._offsets_s = uniforms(keys, 0, 1)[:, 0] * period_s
        else:
            self._offsets_s = np.full(len(keys), offset_s)

    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end."""
        offset_s, period_s, k = float(self._offsets_s[row]), self._period_s, 0
        while True:
            yield offset_s + k * period_s
            k += 1
