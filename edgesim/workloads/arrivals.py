"""When requests arrive: exogenous, from each phone's own stream, the same under every controller.

=========================  ====================================================================
:class:`PoissonArrivals`   independent, at one rate
:class:`PeriodicArrivals`  one per period: a camera, a sensor
:class:`DiurnalArrivals`   independent, at a rate that follows a daily (or any other) schedule
:class:`TraceArrivals`     recorded moments, repeated or once
:class:`TurnsArrivals`     so many in a row, then it is the turn of others
=========================  ====================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count, pairwise, repeat
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from edgesim.core.random import exponentials, uniforms

__all__ = [
    "Arrivals",
    "DiurnalArrivals",
    "PeriodicArrivals",
    "PoissonArrivals",
    "TraceArrivals",
    "TurnsArrivals",
    "integrated_rate",
    "traced_arrivals",
]

FloatArray = NDArray[np.float64]

_LARGEST_BLOCK = 256


class Arrivals(ABC):
    """Moments of arrival at each of several phones, from time 0 on."""

    @abstractmethod
    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end: infinity where there are no more."""


class _Sums:
    """Running sums of exponential gaps, by phone: the epochs of Poisson processes.

    Args:
        keys: stream keys, one per phone.
        rate: of the processes.
        expected: how many of one phone's will be asked for; only speed depends on it.
    """

    def __init__(self, keys: NDArray[np.uint64], rate: float, expected: float) -> None:
        self._keys = keys
        self._rate = rate
        # Enough for most phones at once, all of them in one numpy pass; the rest one by one.
        self._block = int(min(max(expected * 1.2 + 4, 4), _LARGEST_BLOCK))
        self._first = np.cumsum(exponentials(keys, 0, self._block) / rate, axis=1)

    def blocks(self, row: int) -> Iterator[FloatArray]:
        """One phone's, block by block; where blocks end changes no number."""
        sums: FloatArray = self._first[row]
        done = self._block
        while True:
            yield sums
            gaps = exponentials(int(self._keys[row]), done, _LARGEST_BLOCK) / self._rate
            sums = np.cumsum(np.r_[sums[-1], gaps])[1:]
            done += _LARGEST_BLOCK


class PoissonArrivals(Arrivals):
    """Independent Poisson processes.

    Args:
        keys: stream keys, one per phone.
        rate_per_s: mean arrivals per second at each phone.
        horizon_s: how far they will be asked for; only speed depends on it.
    """

    def __init__(self, keys: NDArray[np.uint64], rate_per_s: float, horizon_s: float) -> None:
        self._times_s = _Sums(keys, rate_per_s, rate_per_s * horizon_s)

    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end."""
        for times_s in self._times_s.blocks(row):
            yield from times_s.tolist()


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


class DiurnalArrivals(Arrivals):
    """Independent Poisson processes whose rate follows a schedule that repeats.

    Drawn by inversion: where a Poisson process of rate 1 has its k-th epoch at s, this one has it
    where the integral of the rate reaches s (Cinlar, Introduction to Stochastic Processes, 1975,
    section 4.7). That is exact, and each arrival costs one random number.

    Args:
        keys: stream keys, one per phone.
        times_s: when each rate begins; the first at 0, each later than the one before.
        rates_per_s: mean arrivals per second at each phone from then on; 0 is none for a while.
        period_s: the rates begin again after so long; later than the last time.
        horizon_s: how far they will be asked for; only speed depends on it.

    Raises:
        ValueError: if times or rates are not as above, or all rates are 0.
    """

    def __init__(
        self,
        keys: NDArray[np.uint64],
        times_s: Sequence[float],
        rates_per_s: Sequence[float],
        period_s: float,
        horizon_s: float,
    ) -> None:
        if not times_s or len(times_s) != len(rates_per_s) or times_s[0] != 0:
            raise ValueError("a schedule of rates begins at 0 s and has one time per rate")
        if not all(before < after for before, after in pairwise((*times_s, period_s))):
            raise ValueError("the times of rates must increase, and end before the period does")
        if not all(0 <= rate < inf for rate in rates_per_s) or not any(rates_per_s):
            raise ValueError("rates must be 0 or more, and one of them more")
        self._times_s = np.array(times_s, np.float64)
        self._ends_s = np.append(self._times_s[1:], period_s)
        self._rates_per_s = np.array(rates_per_s, np.float64)
        self._period_s = float(period_s)
        expected = self._rates_per_s * (self._ends_s - self._times_s)
        self._before = np.r_[0.0, np.cumsum(expected)]  # arrivals expected before each step
        horizon = integrated_rate(times_s, rates_per_s, period_s, horizon_s)
        self._epochs = _Sums(keys, 1.0, horizon)

    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end."""
        for epochs in self._epochs.blocks(row):
            cycles, rest = np.divmod(epochs, self._before[-1])
            # The last step that begins at or before the epoch: never one whose rate is 0.
            steps = np.searchsorted(self._before[:-1], rest, side="right") - 1
            into_s = (rest - self._before[steps]) / self._rates_per_s[steps]
            # Rounding must not carry an arrival into the next step, where there may be none.
            local_s = np.minimum(self._times_s[steps] + into_s, self._ends_s[steps])
            yield from (cycles * self._period_s + local_s).tolist()


class TurnsArrivals(Arrivals):
    """Turns of so many arrivals each; between two of them, others have as long a turn each.

    Args:
        phones: how many there are; within ``spacing_s`` they come one after the other.
        visits: arrivals in each turn.
        spacing_s: from one to the next.
        turn: which turn is this one's, from 0 on,
        of: of so many.
    """

    def __init__(self, phones: int, visits: int, spacing_s: float, turn: int, of: int) -> None:
        self._phones = phones
        self._visits = visits
        self._spacing_s = spacing_s
        self._turn = turn
        self._of = of

    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order, without end."""
        offset = (row + 0.5) / self._phones
        for turn in count(self._turn, self._of):
            first = turn * self._visits
            for visit in range(first, first + self._visits):
                yield (visit + offset) * self._spacing_s


def integrated_rate(
    times_s: Sequence[float], rates_per_s: Sequence[float], period_s: float, until_s: float
) -> float:
    """How many arrivals a schedule of rates lets expect from 0 to ``until_s``.

    Arguments are those of :class:`DiurnalArrivals`.
    """
    cycles, rest_s = divmod(until_s, period_s)
    whole = part = 0.0
    for (start_s, end_s), rate_per_s in zip(
        pairwise((*times_s, period_s)), rates_per_s, strict=True
    ):
        whole += rate_per_s * (end_s - start_s)
        part += rate_per_s * max(min(end_s, rest_s) - start_s, 0.0)
    return cycles * whole + part


class TraceArrivals(Arrivals):
    """Recorded moments, the same at every phone up to an offset.

    Args:
        times_s: the moments, none before the one before it; several may be the same.
        period_s: repeat after so long; later than the last moment. ``None``: do not repeat.
        offsets_s: where in the trace each phone starts, one per phone, within the period.

    Raises:
        ValueError: if the moments are not as above, or an offset is given without a period.
    """

    def __init__(
        self, times_s: Sequence[float], period_s: float | None, offsets_s: Sequence[float]
    ) -> None:
        if not times_s or not (times_s[0] >= 0 and isfinite(times_s[-1])):
            raise ValueError("a trace has a moment at least, and all are finite and 0 or later")
        if not all(before <= after for before, after in pairwise(times_s)):
            raise ValueError("the moments of a trace must not go back")
        if period_s is not None and not times_s[-1] < period_s < inf:
            raise ValueError(f"the period of {period_s!r} s must end after the last moment")
        if not all(0 <= offset_s <= (period_s or 0.0) for offset_s in offsets_s):
            raise ValueError("offsets lie within the period")
        self._times_s = [float(time_s) for time_s in times_s]
        self._period_s = period_s
        self._offsets_s = [float(offset_s) for offset_s in offsets_s]

    def times(self, row: int) -> Iterator[float]:
        """The moments at one phone, in order; then infinity without end, if they do not repeat."""
        times_s, period_s = self._times_s, self._period_s
        if period_s is None:
            yield from times_s
            yield from repeat(inf)
            return
        offset_s, last_s = self._offsets_s[row], 0.0
        first = bisect_left(times_s, offset_s)
        for cycle in count():
            start_s = cycle * period_s
            for index in range(first, len(times_s)):
                # Rounding must not set a moment before the one before it.
                last_s = max(last_s, start_s + times_s[index] - offset_s)
                yield last_s
            first = 0


def traced_arrivals(
    times_s: Sequence[float], period_s: float | None, until_s: float, *, has_offset: bool = False
) -> float:
    """How many arrivals a trace lets expect before ``until_s``.

    Args:
        times_s: the moments, none before the one before it.
        period_s: they repeat after so long; ``None``: they do not.
        until_s: the end.
        has_offset: whether it starts anywhere in its period, all places alike.
    """
    if period_s is None:
        return bisect_left(times_s, until_s)
    if has_offset:
        return until_s / period_s * len(times_s)
    cycles, rest_s = divmod(until_s, period_s)
    return cycles * len(times_s) + bisect_left(times_s, rest_s)
