"""Where phones are, and how strong a signal is there.

A :class:`Position` is exact at any time and depends on its own stream only, so that it is the same
however it is asked. :class:`DistanceSignal` turns it into the strength of a signal, sampled and
held, which is a :class:`~edgesim.core.signals.Signal` like any other.

=========================  ====================================================================
:class:`FixedPosition`     one place
:class:`RandomWaypoint`    from one random place to the next, with pauses
:class:`TracePosition`     recorded points, straight lines between them
=========================  ====================================================================
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from math import hypot, inf, log10, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import ConfigError, Problem
from edgesim.core.random import uniforms
from edgesim.core.signals import Signal, SignalBank, TraceBank, step_number
from edgesim.network.traces import read_text

__all__ = [
    "LTE_AT_1M_DB",
    "LTE_EXPONENT",
    "LTE_SHADOWING_STD_DB",
    "WIFI_AT_1M_DB",
    "WIFI_EXPONENT",
    "WIFI_SHADOWING_STD_DB",
    "Area",
    "DistanceSignal",
    "FixedPosition",
    "LazyBank",
    "Position",
    "PositionTrace",
    "RandomWaypoint",
    "TracePosition",
    "path_loss_db",
    "read_positions",
]

WIFI_AT_1M_DB = 46.8
"""Path loss at 1 m in free space at 5.2 GHz: 20 log10(4 pi f / c)."""
WIFI_EXPONENT = 3.0
"""Indoors at 5.2 GHz: recommendation ITU-R P.1238 has distance power loss coefficients of 28 to 31
there, in dwellings and offices; ten times the exponent."""
WIFI_SHADOWING_STD_DB = 4.0
"""Shadow fading of a dwelling beyond the breakpoint: model B of IEEE 802.11-03/940r4 (TGn)."""
LTE_AT_1M_DB = 15.3
"""Urban macro cell at 2 GHz: 128.1 + 37.6 log10(km) dB, written from 1 m on.

SOURCE: 3GPP TR 36.942, section 4.5.2. Fitted from some tens of metres on; nearer the mast it gives
too little loss.
"""
LTE_EXPONENT = 3.76
"""See :data:`LTE_AT_1M_DB`."""
LTE_SHADOWING_STD_DB = 8.0
"""SOURCE: 3GPP TR 36.814, annex A.2.1.1, with the same path loss; TR 36.942 itself has 10 dB."""

_LEGS = 16


# --- positions -----------------------------------------------------------------------------------


class Position(ABC):
    """Where something is, in metres, from time 0 on.

    Give each signal a position of its own: what one signal forgets, another may still need. Two
    made alike go the same way.
    """

    __slots__ = ()

    @abstractmethod
    def position(self, time_s: float) -> tuple[float, float]:
        """X and y at ``time_s``."""

    @abstractmethod
    def rest(self, time_s: float) -> tuple[float, float] | None:
        """The rest at ``time_s``: when it began, and when it ends; ``None``: it is moving.

        One rest may follow another in the same place.
        """

    def forget(self, time_s: float) -> None:  # noqa: B027 - some hold nothing to free
        """Free what only times before ``time_s`` need; they must not be asked about again."""


class FixedPosition(Position):
    """One place for ever."""

    __slots__ = ("_place",)

    def __init__(self, x_m: float, y_m: float) -> None:
        self._place = (x_m, y_m)

    def position(self, time_s: float) -> tuple[float, float]:
        """That place."""
        return self._place

    def rest(self, time_s: float) -> tuple[float, float] | None:
        """For ever."""
        return 0.0, inf


def _between(
    before: tuple[float, float, float], after: tuple[float, float, float], time_s: float
) -> tuple[float, float]:
    """Where something is on the straight way between two points (time, x, y)."""
    start_s, x_m, y_m = before
    end_s, x_end_m, y_end_m = after
    share = (time_s - start_s) / (end_s - start_s)
    return x_m + share * (x_end_m - x_m), y_m + share * (y_end_m - y_m)


@dataclass(frozen=True, slots=True)
class Area:
    """A rectangle.

    Raises:
        ValueError: if a side is shorter than a millimetre.
    """

    x_min_m: float
    y_min_m: float
    x_max_m: float
    y_max_m: float

    def __post_init__(self) -> None:
        width_m, height_m = self.x_max_m - self.x_min_m, self.y_max_m - self.y_min_m
        if not (1e-3 <= width_m < inf and 1e-3 <= height_m < inf):
            raise ValueError(f"an area has sides of 1 mm or more, not {width_m!r}, {height_m!r} m")


class RandomWaypoint(Position):
    """Straight to a random place at a random speed, a random pause, and on to the next.

    Begins in a place that is uniform in the area, on its way. In the long run places near the middle
    are more frequent, and low speeds, since slow ways take longer; the first minutes are not yet like
    that. A least speed of 0 is refused: then the mean speed falls for ever towards 0.

    Reference: Johnson, Maltz, "Dynamic source routing in ad hoc wireless networks", 1996; Yoon, Liu,
    Noble, "Random waypoint considered harmful", INFOCOM 2003.

    Args:
        key: stream key.
        area: where it goes.
        speed_m_per_s: least and greatest speed; each way has one, uniform between them.
        pause_s: least and greatest pause; uniform between them.

    Raises:
        ValueError: if the least speed is not above 0, the greatest above 10 km/s, or a range is
            upside down or not finite.
    """

    __slots__ = ("_area", "_key", "_legs", "_pause_s", "_points", "_speed_m_per_s", "_times_s")

    def __init__(
        self,
        key: int,
        area: Area,
        speed_m_per_s: tuple[float, float],
        pause_s: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        if not 0 < speed_m_per_s[0] <= speed_m_per_s[1] <= 1e4:
            raise ValueError(
                "speeds go from a least one above 0 to a greatest one of up to 1e4 m/s, not from "
                f"{speed_m_per_s[0]!r} to {speed_m_per_s[1]!r} m/s"
            )
        if not 0 <= pause_s[0] <= pause_s[1] < inf:
            raise ValueError(f"pauses cannot last from {pause_s[0]!r} to {pause_s[1]!r} s")
        self._key = key
        self._area = area
        self._speed_m_per_s = speed_m_per_s
        self._pause_s = pause_s
        self._legs = 0  # generated so far
        # Where it turns, comes to rest and sets off; times increase.
        u, v = uniforms(key, 0, 2).tolist()
        self._points = [(0.0, *self._place(u, v))]
        self._times_s = [0.0]

    def position(self, time_s: float) -> tuple[float, float]:
        """X and y at ``time_s``."""
        index = self._index(time_s)
        return _between(self._points[index], self._points[index + 1], time_s)

    def rest(self, time_s: float) -> tuple[float, float] | None:
        """The pause at ``time_s``, if there is one."""
        index = self._index(time_s)
        before, after = self._points[index], self._points[index + 1]
        return (before[0], after[0]) if before[1:] == after[1:] else None

    def forget(self, time_s: float) -> None:
        """Free the ways before the present one."""
        index = min(bisect_right(self._times_s, time_s), len(self._times_s)) - 1
        # Only when that halves it: shortening a list moves what stays.
        if 2 * index > len(self._times_s):
            del self._points[:index]
            del self._times_s[:index]

    def _index(self, time_s: float) -> int:
        times_s = self._times_s
        if time_s < times_s[0]:
            raise ValueError(f"{time_s!r} s has been forgotten: the past ends at {times_s[0]!r} s")
        while times_s[-1] <= time_s:
            self._extend()
        return bisect_right(times_s, time_s) - 1

    def _place(self, u: float, v: float) -> tuple[float, float]:
        area = self._area
        return (
            area.x_min_m + u * (area.x_max_m - area.x_min_m),
            area.y_min_m + v * (area.y_max_m - area.y_min_m),
        )

    def _extend(self) -> None:
        numbers = uniforms(self._key, 2 + 4 * self._legs, 4 * _LEGS).reshape(_LEGS, 4).tolist()
        self._legs += _LEGS
        (slow, fast), (short_s, long_s) = self._speed_m_per_s, self._pause_s
        for u, v, w, z in numbers:
            time_s, x_m, y_m = self._points[-1]
            place = self._place(u, v)
            way_m = hypot(place[0] - x_m, place[1] - y_m)
            self._add(time_s + way_m / (slow + w * (fast - slow)), place)
            self._add(self._times_s[-1] + short_s + z * (long_s - short_s), place)

    def _add(self, time_s: float, place: tuple[float, float]) -> None:
        if time_s > self._times_s[-1]:
            self._times_s.append(time_s)
            self._points.append((time_s, *place))


@dataclass(frozen=True, slots=True)
class PositionTrace:
    """Recorded places.

    Attributes:
        times_s: when it was there; the first at 0, each later than the one before.
        x_m, y_m: where.
    """

    times_s: tuple[float, ...]
    x_m: tuple[float, ...]
    y_m: tuple[float, ...]


def read_positions(path: Path) -> PositionTrace:
    """Read a CSV file with the header ``time_s,x_m,y_m``.

    Raises:
        ConfigError: if it cannot be read or used, with every line at fault.
    """
    file, problems = str(path), list[Problem]()
    rows = csv.reader(read_text(path).splitlines())
    points: list[tuple[float, float, float]] = []
    try:
        if next(rows, None) != ["time_s", "x_m", "y_m"]:
            raise ConfigError([Problem(file, 1, "", "the first line must be 'time_s,x_m,y_m'")])
        for row in rows:
            if not row:
                continue
            try:
                time_s, x_m, y_m = (float(cell) for cell in row)
            except ValueError:
                time_s = x_m = y_m = nan
            message = ""
            if not (abs(time_s) <= 1e10 and abs(x_m) <= 1e9 and abs(y_m) <= 1e9):
                message = "needs three numbers, a time up to 1e10 s and two of up to 1e9 m"
            elif not points and time_s != 0:
                message = f"the first time must be 0, found {time_s:g}"
            elif points and time_s < points[-1][0] + 1e-3:
                message = (
                    f"times must increase by 0.001 s at least; {time_s:g} s follows "
                    f"{points[-1][0]:g} s"
                )
            if message:
                problems.append(Problem(file, rows.line_num, "", message))
            else:
                points.append((time_s, x_m, y_m))
    except csv.Error as error:
        problems.append(Problem(file, rows.line_num, "", f"cannot be read: {error}"))
    if not problems and not points:
        problems.append(Problem(file, None, "", "holds no points"))
    if problems:
        raise ConfigError(problems)
    return PositionTrace(*zip(*points, strict=True))


class TracePosition(Position):
    """Recorded places, straight at a constant speed from each to the next.

    Args:
        trace: the places.
        period_s: from the last place straight back to the first until then, and so on; later than
            the last time. ``None``: stay in the last place.
        offset_s: where in the trace it begins, from 0 to the period.

    Raises:
        ValueError: if the trace is not as said there, or the period or offset do not fit it.
    """

    __slots__ = ("_pieces", "_places")

    def __init__(
        self, trace: PositionTrace, period_s: float | None = None, offset_s: float = 0.0
    ) -> None:
        if not 0 <= offset_s <= (1e10 if period_s is None else period_s):
            raise ValueError(f"an offset of {offset_s!r} s does not lie in the trace")
        numbers = range(len(trace.times_s))
        # Which piece of the trace holds is a looped or held signal itself.
        self._pieces = TraceBank(
            trace.times_s, numbers, period_s=period_s, offsets_s=[offset_s]
        ).signal(0)
        places = list(zip(trace.x_m, trace.y_m, strict=True))
        self._places = [*places, places[-1] if period_s is None else places[0]]

    def position(self, time_s: float) -> tuple[float, float]:
        """X and y at ``time_s``."""
        start_s, end_s, number = self._pieces.segment(time_s)
        before, after = self._places[int(number)], self._places[int(number) + 1]
        if before == after:
            return before
        return _between((start_s, *before), (end_s, *after), time_s)

    def rest(self, time_s: float) -> tuple[float, float] | None:
        """The stay at ``time_s``, if it does not move."""
        start_s, end_s, number = self._pieces.segment(time_s)
        before, after = self._places[int(number)], self._places[int(number) + 1]
        return (max(start_s, 0.0), end_s) if before == after else None


# --- signals -------------------------------------------------------------------------------------


def path_loss_db(distance_m: float, at_1m_db: float, exponent: float) -> float:
    """Log-distance path loss; a distance below 1 m counts as 1 m."""
    return at_1m_db + 10.0 * exponent * log10(max(distance_m, 1.0))


class DistanceSignal(Signal):
    """The strength, in dBm, of a transmitter's signal where something is.

    Its place is looked at every ``step_s``, and the value holds until the next time; at rest it
    holds for as long as the rest lasts, so that what stands still changes nothing.

    Args:
        position: where it is; its own, since this signal frees what it needs no longer.
        anchor_m: x and y of the transmitter.
        tx_power_dbm: what it sends with, gains of antennas included.
        at_1m_db: path loss at 1 m, such as :data:`WIFI_AT_1M_DB`.
        exponent: of the path loss, such as :data:`WIFI_EXPONENT`.
        step_s: from one look to the next.
        shadowing: decibels to add, such as a row of a
            :class:`~edgesim.core.signals.GaussMarkovBank` of mean 0 and standard deviation
            :data:`WIFI_SHADOWING_STD_DB`. It is a function of time here, so it also goes on changing
            around what stands still, as people and doors move.
        low_dbm, high_dbm: values beyond these are clipped to them.

    Raises:
        ValueError: if the step is not positive, or the limits are upside down.
    """

    __slots__ = (
        "_anchor_m",
        "_at_1m_db",
        "_exponent",
        "_high_dbm",
        "_low_dbm",
        "_position",
        "_shadowing",
        "_step_s",
        "_tx_power_dbm",
    )

    def __init__(
        self,
        position: Position,
        anchor_m: tuple[float, float],
        tx_power_dbm: float,
        at_1m_db: float,
        exponent: float,
        step_s: float,
        shadowing: Signal | None = None,
        low_dbm: float = -150.0,
        high_dbm: float = 0.0,
    ) -> None:
        if not (0 < step_s < inf and low_dbm <= high_dbm):
            raise ValueError(
                f"needs a step above 0 s and low_dbm <= high_dbm; got step_s {step_s!r}, low_dbm "
                f"{low_dbm!r}, high_dbm {high_dbm!r}"
            )
        self._position = position
        self._anchor_m = anchor_m
        self._tx_power_dbm = tx_power_dbm
        self._at_1m_db = at_1m_db
        self._exponent = exponent
        self._step_s = step_s
        self._shadowing = shadowing
        self._low_dbm = low_dbm
        self._high_dbm = high_dbm

    def segment(self, time_s: float) -> tuple[float, float, float]:
        """The piece that holds at ``time_s``: its start, its end (exclusive) and its value."""
        step_s, position = self._step_s, self._position
        number = step_number(time_s, step_s)
        look_s = number * step_s
        rest = position.rest(look_s)
        if rest is None:
            start_s, end_s = look_s, (number + 1) * step_s
        else:
            # All looks that fall into the rest see the same.
            start_s, end_s = (self._next_look(moment_s) for moment_s in rest)
        x_m, y_m = position.position(look_s)
        distance_m = hypot(x_m - self._anchor_m[0], y_m - self._anchor_m[1])
        value = self._tx_power_dbm - path_loss_db(distance_m, self._at_1m_db, self._exponent)
        if self._shadowing is not None:
            from_s, to_s, shadow_db = self._shadowing.segment(time_s)
            start_s, end_s, value = max(start_s, from_s), min(end_s, to_s), value + shadow_db
        return start_s, end_s, min(max(value, self._low_dbm), self._high_dbm)

    def _next_look(self, time_s: float) -> float:
        """The first look at ``time_s`` or later."""
        if time_s == inf:
            return inf
        number = step_number(time_s, self._step_s)
        if number * self._step_s < time_s:
            number += 1
        return number * self._step_s

    def forget(self, time_s: float) -> None:
        """Free what only times before ``time_s`` need; they must not be asked about again."""
        # What holds now may have been seen before now.
        self._position.forget(step_number(time_s, self._step_s) * self._step_s)
        if self._shadowing is not None:
            self._shadowing.forget(time_s)


class LazyBank(SignalBank):
    """Signals that are made one by one when they are asked for.

    Args:
        rows: how many.
        make: gives a fresh signal of a row; always with the same path.
    """

    def __init__(self, rows: int, make: Callable[[int], Signal]) -> None:
        self._rows = rows
        self._make = make
        self._time_s = inf
        self._signals: list[Signal] = []

    def __len__(self) -> int:
        return self._rows

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return self._make(range(self._rows)[row])

    def values(self, time_s: float) -> NDArray[np.float64]:
        """The values of all rows at one moment; cheaper if it is not before the last one."""
        if time_s < self._time_s:
            self._signals = [self._make(row) for row in range(self._rows)]
        self._time_s = time_s
        values = np.empty(self._rows)
        for row, signal in enumerate(self._signals):
            signal.forget(time_s)
            values[row] = signal.value(time_s)
        return values
