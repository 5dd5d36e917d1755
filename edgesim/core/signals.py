"""Signals: piecewise-constant quantities of the world that no controller can move.

Signal strength, other people's load, the temperature outside: each is a function of time whose
path depends on the seed and the signal's own name only. A signal is generated lazily, may be asked
about the future, and gives the same path however it is asked.

Signals of one kind are made by a *bank*, which answers for one phone (:meth:`SignalBank.signal`,
cheap to ask again and again) or for all of them at one moment (:meth:`SignalBank.values`, one numpy
pass), with the same numbers bit for bit.

====================  ========================================================================
:class:`ConstantBank`     one value per row for ever
:class:`TraceBank`        recorded or scheduled values, looped or held, offset per row
:class:`MarkovBank`       a continuous-time Markov chain over named states
:class:`GaussMarkovBank`  a stationary Gauss-Markov (AR(1)) process sampled and held
====================  ========================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import exp, floor, inf, sqrt

import numpy as np
from numpy.typing import NDArray

from edgesim.core.random import exponentials, normals, uniforms

__all__ = [
    "ConstantBank",
    "GaussMarkovBank",
    "MarkovBank",
    "Signal",
    "SignalBank",
    "TraceBank",
    "step_number",
]

FloatArray = NDArray[np.float64]

# A signal generates its path in blocks that double up to this many values, so that one that is
# asked once stays cheap and one that is asked often costs a fraction of a microsecond per value.
_FIRST_BLOCK = 32
_LAST_BLOCK = 512


class Signal(ABC):
    """One piecewise-constant path; times are seconds from the start of the run, from 0 on."""

    __slots__ = ()

    @abstractmethod
    def segment(self, time_s: float) -> tuple[float, float, float]:
        """The piece that holds at ``time_s``: its start, its end (exclusive) and its value."""

    def value(self, time_s: float) -> float:
        """The value at ``time_s``."""
        return self.segment(time_s)[2]

    def next_change(self, time_s: float) -> float:
        """The end of the piece that holds at ``time_s``: infinity if it holds for ever.

        Two neighbouring pieces may have the same value.
        """
        return self.segment(time_s)[1]

    def segments(self, start_s: float, end_s: float) -> Iterator[tuple[float, float, float]]:
        """The pieces from ``start_s`` to ``end_s``, cut to that interval: (start, end, value)."""
        time_s = start_s
        while time_s < end_s:
            _, stop_s, value = self.segment(time_s)
            yield time_s, min(stop_s, end_s), value
            time_s = stop_s

    def forget(self, time_s: float) -> None:  # noqa: B027 - most signals hold nothing to free
        """Free what only times before ``time_s`` need; they must not be asked about again."""


class SignalBank(ABC):
    """Signals of one kind, one per row (for instance: per phone)."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def signal(self, row: int) -> Signal:
        """The signal of one row; each call gives a fresh one with the same path."""

    @abstractmethod
    def values(self, time_s: float) -> FloatArray:
        """The values of all rows at ``time_s``, shape ``(len(self),)``."""


# --- constant ------------------------------------------------------------------------------------


class _Constant(Signal):
    __slots__ = ("_value",)

    def __init__(self, value: float) -> None:
        self._value = value

    def segment(self, time_s: float) -> tuple[float, float, float]:
        return 0.0, inf, self._value

    def value(self, time_s: float) -> float:
        return self._value

    def next_change(self, time_s: float) -> float:
        return inf


class ConstantBank(SignalBank):
    """One value per row, for ever.

    Args:
        values: shape ``(rows,)``.
    """

    def __init__(self, values: Sequence[float] | FloatArray) -> None:
        self._values = np.asarray(values, np.float64)

    def __len__(self) -> int:
        return len(self._values)

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return _Constant(float(self._values[row]))

    def values(self, time_s: float) -> FloatArray:
        """The values of all rows at one moment."""
        return self._values.copy()


# --- trace and schedule --------------------------------------------------------------------------


class _Trace(Signal):
    __slots__ = ("_offset_s", "_period_s", "_times_s", "_values")

    def __init__(
        self, times_s: list[float], values: list[float], period_s: float, offset_s: float
    ) -> None:
        self._times_s = times_s
        self._values = values
        self._period_s = period_s
        self._offset_s = offset_s

    def segment(self, time_s: float) -> tuple[float, float, float]:
        times_s, period_s, last = self._times_s, self._period_s, len(self._times_s) - 1
        looped = period_s != inf
        cycle = floor((time_s + self._offset_s) / period_s) if looped else 0
        index = max(bisect_right(times_s, time_s - self._moment(cycle, 0.0)) - 1, 0)
        # Rounding may leave the moment one piece off its place; the edges below decide.
        while True:
            start_s = self._moment(cycle, times_s[index])
            if index < last:
                end_s = self._moment(cycle, times_s[index + 1])
            else:
                end_s = self._moment(cycle + 1, 0.0) if looped else inf
            if time_s >= end_s:
                cycle, index = (cycle, index + 1) if index < last else (cycle + 1, 0)
            elif time_s < start_s and (index or looped):
                cycle, index = (cycle, index - 1) if index else (cycle - 1, last)
            else:
                return start_s, end_s, self._values[index]

    def _moment(self, cycle: int, local_s: float) -> float:
        base_s = cycle * self._period_s if cycle else 0.0
        return base_s + local_s - self._offset_s


class TraceBank(SignalBank):
    """Recorded or scheduled values, the same for every row up to an offset.

    Args:
        times_s: when each value begins; the first is 0, each later than the one before.
        values: as many as ``times_s``; the last holds to the end of the period, or for ever.
        period_s: repeat after so long; later than the last time. ``None``: do not repeat.
        offsets_s: where in the trace each row starts, shape ``(rows,)``.

    Raises:
        ValueError: if times are empty, unsorted, do not begin at 0 or do not fit the period.
    """

    def __init__(
        self,
        times_s: Sequence[float],
        values: Sequence[float],
        *,
        period_s: float | None = None,
        offsets_s: Sequence[float] | FloatArray = (0.0,),
    ) -> None:
        if not times_s or len(times_s) != len(values):
            raise ValueError(f"{len(times_s)} times for {len(values)} values: one value per time")
        if times_s[0] != 0:
            raise ValueError(f"the first time is {times_s[0]!r} s: a trace begins at 0 s")
        for before_s, after_s in pairwise(times_s):
            if not after_s > before_s:
                raise ValueError(f"{after_s!r} s follows {before_s!r} s: times must increase")
        if period_s is not None and not period_s > times_s[-1]:
            raise ValueError(
                f"the period of {period_s!r} s ends before the last time, {times_s[-1]!r} s"
            )
        self._times_s = [float(t) for t in times_s]
        self._path = [float(v) for v in values]
        self._period_s = inf if period_s is None else float(period_s)
        self._offsets_s = np.asarray(offsets_s, np.float64)

    def __len__(self) -> int:
        return len(self._offsets_s)

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return _Trace(self._times_s, self._path, self._period_s, float(self._offsets_s[row]))

    def values(self, time_s: float) -> FloatArray:
        """The values of all rows at one moment."""
        offsets_s, rows = np.unique(self._offsets_s, return_inverse=True)
        path = [
            _Trace(self._times_s, self._path, self._period_s, float(offset_s)).value(time_s)
            for offset_s in offsets_s
        ]
        return np.array(path)[rows]


# --- Markov chain --------------------------------------------------------------------------------


class _Markov(Signal):
    """Pieces are generated from number 0 on; piece k needs the k-th dwell and the k-th jump."""

    __slots__ = ("_bank", "_dwell_key", "_ends_s", "_first", "_jump_key", "_path", "_start_s")

    def __init__(self, bank: MarkovBank, row: int) -> None:
        self._bank = bank
        self._dwell_key = int(bank._dwell_keys[row])
        self._jump_key = int(bank._jump_keys[row])
        self._first = 0  # number of the first piece held
        self._start_s = 0.0  # and when it begins
        self._ends_s: list[float] = []
        self._path: list[int] = []

    def segment(self, time_s: float) -> tuple[float, float, float]:
        if time_s < self._start_s:
            raise ValueError(f"{time_s!r} s has been forgotten: the past ends at {self._start_s!r}")
        ends_s = self._ends_s
        while not ends_s or ends_s[-1] <= time_s:
            self._extend()
        index = bisect_right(ends_s, time_s)
        start_s = ends_s[index - 1] if index else self._start_s
        return start_s, ends_s[index], self._bank._state_values[self._path[index]]

    def _extend(self) -> None:
        bank, done = self._bank, self._first + len(self._ends_s)
        block = min(max(len(self._ends_s), 8), _LAST_BLOCK)
        dwells = exponentials(self._dwell_key, done, block).tolist()
        jumps = uniforms(self._jump_key, done, block).tolist()
        end_s = self._ends_s[-1] if self._ends_s else self._start_s
        state = self._path[-1] if self._path else -1
        for dwell, jump in zip(dwells, jumps, strict=True):
            state = bisect_right(bank._cumulative[state], jump)
            end_s += dwell * bank._mean_dwell_s[state]
            self._path.append(state)
            self._ends_s.append(end_s)

    def forget(self, time_s: float) -> None:
        # The piece that holds at time_s and everything after it stay.
        index = min(bisect_right(self._ends_s, time_s), len(self._ends_s) - 1)
        if 2 * index > len(self._ends_s):
            self._first += index
            self._start_s = self._ends_s[index - 1]
            del self._ends_s[:index]
            del self._path[:index]


class MarkovBank(SignalBank):
    """A continuous-time Markov chain per row, begun in its stationary distribution.

    Args:
        dwell_keys, jump_keys: stream keys, shape ``(rows,)`` each.
        values: what the signal is worth in each state.
        mean_dwell_s: mean of the exponential time spent in each state at a stretch.
        jumps: ``jumps[i][j]`` is the probability that state j follows state i; rows sum to 1 and
            the diagonal is 0. ``None``: every other state is equally likely.

    Raises:
        ValueError: if there are fewer than two states, a dwell is not positive, or the jumps are
            not probabilities.
    """

    def __init__(
        self,
        dwell_keys: NDArray[np.uint64],
        jump_keys: NDArray[np.uint64],
        values: Sequence[float],
        mean_dwell_s: Sequence[float],
        jumps: Sequence[Sequence[float]] | None = None,
    ) -> None:
        n = len(values)
        if n < 2 or len(mean_dwell_s) != n:
            raise ValueError("a Markov signal has at least two states, each with a mean dwell time")
        if not all(0 < dwell < inf for dwell in mean_dwell_s):
            raise ValueError(f"mean dwell times must be positive, not {list(mean_dwell_s)!r}")
        matrix = np.full((n, n), 1.0 / (n - 1)) if jumps is None else np.array(jumps, np.float64)
        if jumps is None:
            np.fill_diagonal(matrix, 0.0)
        if (
            matrix.shape != (n, n)
            or (matrix < 0).any()
            or np.diagonal(matrix).any()
            or not np.allclose(matrix.sum(axis=1), 1.0)
        ):
            raise ValueError(
                "each row of the jump probabilities must sum to 1, with 0 on the diagonal"
            )
        self._dwell_keys = np.asarray(dwell_keys, np.uint64)
        self._jump_keys = np.asarray(jump_keys, np.uint64)
        self._state_values = [float(v) for v in values]
        self._mean_dwell_s = [float(d) for d in mean_dwell_s]
        # Row -1 (the last) is where the chain begins: the share of time spent in each state.
        table = np.vstack([matrix, _stationary(matrix) * self._mean_dwell_s])
        table /= table.sum(axis=1, keepdims=True)
        cumulative = np.cumsum(table, axis=1)
        cumulative[:, -1] = 1.0
        self._cumulative = cumulative.tolist()
        self._cursor = _MarkovCursor(self)

    def __len__(self) -> int:
        return len(self._dwell_keys)

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return _Markov(self, row)

    def values(self, time_s: float) -> FloatArray:
        """The values of all rows at one moment."""
        if time_s < self._cursor.time_s:
            self._cursor = _MarkovCursor(self)
        return self._cursor.advance(time_s)


class _MarkovCursor:
    """All rows of a Markov bank at one moment that moves forward."""

    def __init__(self, bank: MarkovBank) -> None:
        self._bank = bank
        self._cumulative = np.array(bank._cumulative)
        self._mean_dwell_s = np.array(bank._mean_dwell_s)
        rows = len(bank._dwell_keys)
        self.time_s = 0.0
        self._piece = np.zeros(rows, np.int64)
        self._state = np.full(rows, -1)
        self._end_s = np.zeros(rows)

    def advance(self, time_s: float) -> FloatArray:
        bank = self._bank
        self.time_s = time_s
        late = np.flatnonzero(self._end_s <= time_s)
        while len(late):
            piece = self._piece[late]
            # One counter per row: shift each key so that output 0 is the one that is wanted.
            shift = piece.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            dwell = exponentials(bank._dwell_keys[late] + shift, 0, 1)[:, 0]
            jump = uniforms(bank._jump_keys[late] + shift, 0, 1)[:, 0]
            rows = self._cumulative[self._state[late]]
            state = (rows <= jump[:, None]).sum(axis=1)
            self._state[late] = state
            self._end_s[late] += dwell * self._mean_dwell_s[state]
            self._piece[late] += 1
            late = late[self._end_s[late] <= time_s]
        values: FloatArray = np.array(bank._state_values)[self._state]
        return values


def _stationary(matrix: FloatArray) -> FloatArray:
    """The stationary distribution of a chain's jumps, by least squares on pi P = pi, sum pi = 1."""
    n = len(matrix)
    system = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    solution = np.linalg.lstsq(system, np.r_[np.zeros(n), 1.0], rcond=None)[0]
    return np.clip(solution, 0.0, None)


# --- Gauss-Markov --------------------------------------------------------------------------------


def step_number(time_s: float, step_s: float) -> int:
    """The k with k * step_s <= time_s < (k + 1) * step_s, in floating point as written."""
    k = int(time_s / step_s)
    if (k + 1) * step_s <= time_s:
        return k + 1
    if k * step_s > time_s:
        return k - 1
    return k


class _GaussMarkov(Signal):
    __slots__ = ("_bank", "_first", "_key", "_path", "_step_s", "_x")

    def __init__(self, bank: GaussMarkovBank, row: int) -> None:
        self._bank = bank
        self._key = int(bank._keys[row])
        self._step_s = bank.step_s
        self._first = 0  # number of the first step held
        self._path: list[float] = []
        self._x = 0.0  # the deviation, in standard deviations, at the last step generated

    def segment(self, time_s: float) -> tuple[float, float, float]:
        step_s = self._step_s
        k = step_number(time_s, step_s)
        index = k - self._first
        if index < 0:
            raise ValueError(
                f"{time_s!r} s has been forgotten: the past ends at {self._first * step_s!r} s"
            )
        while index >= len(self._path):
            self._extend()
        return k * step_s, (k + 1) * step_s, self._path[index]

    def _extend(self) -> None:
        bank, done = self._bank, self._first + len(self._path)
        block = min(max(len(self._path), _FIRST_BLOCK), _LAST_BLOCK)
        noise = normals(self._key, done, block)
        x, keep = self._x, bank._keep
        if done:
            path = []
            fresh = (bank._fresh * noise).tolist()
        else:
            x = float(noise[0])
            path = [x]
            fresh = (bank._fresh * noise[1:]).tolist()
        for e in fresh:
            x = keep * x + e
            path.append(x)
        self._x = x
        self._path += bank._observed(np.array(path)).tolist()

    def forget(self, time_s: float) -> None:
        index = min(int(time_s / self._step_s) - 1 - self._first, len(self._path) - 1)
        # Only when that halves it: shortening a list moves what stays.
        if 2 * index > len(self._path):
            self._first += index
            del self._path[:index]


class GaussMarkovBank(SignalBank):
    """A stationary Gauss-Markov process per row, sampled every ``step_s`` and held between.

    The deviation from the mean follows x[k+1] = r x[k] + sqrt(1 - r^2) e[k] with standard normal e
    and r = exp(-step / correlation time): the AR(1) form of an Ornstein-Uhlenbeck process, the usual
    model of slow fading (Gudmundson, Electronics Letters 27(23), 1991).

    Args:
        keys: stream keys, shape ``(rows,)``.
        mean, std: of the stationary distribution.
        step_s: how long a value holds.
        correlation_time_s: after so long the correlation has fallen to 1/e.
        low, high: values beyond these are clipped to them; the process itself is not.

    Raises:
        ValueError: if ``std`` is negative or a time is not positive.
    """

    def __init__(
        self,
        keys: NDArray[np.uint64],
        mean: float,
        std: float,
        step_s: float,
        correlation_time_s: float,
        low: float = -inf,
        high: float = inf,
    ) -> None:
        if not (std >= 0 and step_s > 0 and correlation_time_s > 0 and low <= high):
            raise ValueError(
                "a Gauss-Markov signal needs std >= 0, step_s > 0, correlation_time_s > 0, "
                f"low <= high; got std {std!r}, step_s {step_s!r}, correlation_time_s "
                f"{correlation_time_s!r}, low {low!r}, high {high!r}"
            )
        self._keys = np.asarray(keys, np.uint64)
        self.mean, self.std, self.low, self.high = mean, std, low, high
        self.step_s = step_s
        self._keep = exp(-step_s / correlation_time_s)
        self._fresh = sqrt(1.0 - self._keep * self._keep)
        self._restart()

    def __len__(self) -> int:
        return len(self._keys)

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return _GaussMarkov(self, row)

    def values(self, time_s: float) -> FloatArray:
        """The values of all rows at one moment."""
        k = step_number(time_s, self.step_s)
        if k < self._done - 1:
            self._restart()
        while self._done <= k:
            block = min(k + 1 - self._done, _FIRST_BLOCK)
            noise = normals(self._keys, self._done, block)
            for column in range(block):
                if self._done == 0:
                    self._x = noise[:, 0].copy()
                else:
                    self._x = self._keep * self._x + self._fresh * noise[:, column]
                self._done += 1
        return self._observed(self._x)

    def _observed(self, x: FloatArray) -> FloatArray:
        """The signal of a process that is x standard deviations off its mean."""
        return np.clip(self.mean + self.std * x, self.low, self.high)

    def _restart(self) -> None:
        self._done = 0  # steps generated for all rows at once
        self._x = np.zeros(len(self._keys))
