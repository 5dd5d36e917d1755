"""A battery: charge kept in joules, segment by segment of its open-circuit curve.

Within each of the :data:`~edgesim.hardware.specs.SEGMENTS` segments of equal charge the resting
voltage V and the resistance R are constant. A load of P watts then draws the current I that solves
P = V I - R I^2, and the battery gives up V I watts, of which R I^2 heat it: at a constant load the
charge falls on a straight line, and the moment at which it crosses into the next segment is exact.
Crossings are found when the load changes next; they are no events.

Plugged in, the phone is fed by its charger first. What the charger has left charges the battery
with the most current that its vendor allows at this temperature and terminal voltage: of the steps
(up to V_k volts: I_k amperes) the best min(I_k, (V_k - V) / R), which is a constant-current phase
per step with constant-voltage phases between. A load beyond the charger's watts drains the battery.

The open-circuit curve is that of its cell profile; the resistance is taken anew at each segment,
with the factor of that moment's temperature.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import inf, sqrt
from typing import NamedTuple

from edgesim.hardware.specs import SEGMENTS, BatterySpec
from edgesim.hardware.thermal import Thermal

__all__ = ["BOARD", "EDGE_J", "OVERDRAFT_J", "Battery", "Flow"]

BOARD = 5
"""A phone's components outside the die, which come first: base, screen, Wi-Fi, LTE, camera."""

OVERDRAFT_J = 1e-5
"""Joules by which rounding may let a battery be overdrawn: a microsecond at full power."""

EDGE_J = 1e-6
"""Rounding may leave a battery so far this side of an edge between segments."""

_HYSTERESIS_K = 1.0
"""A battery must be so much colder before a colder band's limits hold again; assumed, chargers have
one or two."""


class Flow(NamedTuple):
    """Where watts go at one load.

    Attributes:
        loss_w: heat in the battery's resistance.
        stored_w: what the battery takes up; negative: gives up.
        charger_w: what the charger gives.
    """

    loss_w: float
    stored_w: float
    charger_w: float


class Battery:
    """A battery of one phone.

    Args:
        spec: what it is.
        charge: at the start, in [0, 1].
        celsius: its temperature at the start.
        thermal: the phone's temperatures, brought forward together with the charge; ``None`` if
            they are not known.

    Attributes:
        spec: what it is.
        is_plugged: whether the charger is connected; set by :meth:`plug`.
        loss_j: heated away in its resistance so far.
        charged_j: what the charger has given so far, to the phone or the battery.
        overdrawn_j: what was drawn that was not there; rounding apart, nothing.
    """

    __slots__ = (
        "_band",
        "_below_j",
        "_celsius",
        "_flows",
        "_left_j",
        "_limit_w",
        "_resistance_ohm",
        "_segment",
        "_segment_j",
        "_thermal",
        "_voltage_v",
        "charged_j",
        "is_plugged",
        "loss_j",
        "overdrawn_j",
        "spec",
    )

    def __init__(
        self, spec: BatterySpec, charge: float, celsius: float, thermal: Thermal | None = None
    ) -> None:
        self.spec = spec
        self._thermal = thermal
        self.is_plugged = False
        self.loss_j = 0.0
        self.charged_j = 0.0
        self.overdrawn_j = 0.0
        self._flows: dict[float, Flow] = {}
        self._below_j = spec.below_j
        self._band = self.band_at(celsius)
        position = charge * SEGMENTS
        segment = min(int(position), SEGMENTS - 1)
        self._enter(segment, celsius)
        self._left_j = (position - segment) * self._segment_j

    # -- what it holds ----------------------------------------------------------------------------

    @property
    def charge(self) -> float:
        """State of charge by coulombs, in [0, 1]."""
        return (self._segment + self._left_j / self._segment_j) / SEGMENTS

    @property
    def left_j(self) -> float:
        """Joules left."""
        return self._below_j[self._segment] + self._left_j

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return self._segment == 0 and self._left_j <= 0.0

    def is_too_weak(self, load_w: float) -> bool:
        """Whether its voltage breaks down under this load: P > V^2 / 4R."""
        return load_w - (self.spec.charger_w if self.is_plugged else 0.0) > self._limit_w

    # -- what changes it --------------------------------------------------------------------------

    def plug(self, is_plugged: bool) -> None:
        """Connect the charger, or take it away."""
        self.is_plugged = is_plugged
        self._flows.clear()

    def band_at(self, celsius: float) -> int:
        """The number of the charging band at this temperature; ends belong to the warmer one."""
        return bisect_right([band.below_c for band in self.spec.charging], celsius)

    def set_band(self, band: int, celsius: float) -> None:
        """Charge by the limits of this band from now on; the resistance is taken anew, too."""
        self._band = band
        self._enter(self._segment, celsius)

    def band_edges_c(self) -> tuple[float, float]:
        """The temperatures at which the present band is left, to the cold and to the hot."""
        bands = self.spec.charging
        lower_c = bands[self._band - 1].below_c - _HYSTERESIS_K if self._band else -inf
        upper_c = bands[self._band].below_c if self._band < len(bands) else inf
        return lower_c, upper_c

    @property
    def band(self) -> int:
        """The number of the present charging band."""
        return self._band

    def flow(self, load_w: float) -> Flow:
        """Where the watts go at this load, in the present segment."""
        flow = self._flows.get(load_w)
        if flow is None:
            flow = self._solve(load_w)
            if not self.is_plugged or self._segment < SEGMENTS - 1:  # else fullness decides
                self._flows[load_w] = flow
        return flow

    def elapse(self, watts: Sequence[float], power_w: float, seconds: float) -> None:
        """Carry a constant load for so long; what it heats, the battery included, warms the phone.

        Args:
            watts: by component, the :data:`BOARD` first.
            power_w: of all of them.
            seconds: how long.
        """
        thermal, load_w = self._thermal, power_w
        die_w = power_w - watts[0] - watts[1] - watts[2] - watts[3] - watts[4]
        while True:
            flow = self._flows.get(load_w)
            if flow is None:
                flow = self.flow(load_w)
            loss_w, stored_w, charger_w = flow
            step_s, left_j = seconds, self._left_j + stored_w * seconds
            crosses = left_j <= 0.0 > stored_w or (left_j >= self._segment_j and stored_w > 0.0)
            if crosses:
                edge_j = 0.0 if stored_w < 0.0 else self._segment_j
                step_s = min((edge_j - self._left_j) / stored_w, seconds)
                left_j = edge_j
            self._left_j = left_j
            self.loss_j += loss_w * step_s
            self.charged_j += charger_w * step_s
            if thermal is not None:
                thermal.elapse(die_w, load_w + loss_w, step_s)
            if not crosses:
                return
            seconds -= step_s
            if not self._cross(stored_w):
                self.overdrawn_j -= stored_w * seconds
                return

    def _cross(self, stored_w: float, past_j: float = 0.0) -> bool:
        """Go on in the next segment, so much past its edge; false if there is none below."""
        celsius = self._celsius if self._thermal is None else self._thermal.skin_c
        if stored_w < 0.0:
            if self._segment == 0:
                return False
            self._enter(self._segment - 1, celsius)
            self._left_j = self._segment_j + past_j
        else:
            self._flows.clear()  # full: nothing more is taken up
            if self._segment < SEGMENTS - 1:
                self._enter(self._segment + 1, celsius)
                self._left_j = past_j
        return True

    def _enter(self, segment: int, celsius: float) -> None:
        spec = self.spec
        self._celsius = celsius
        self._segment = segment
        self._voltage_v = spec.volts[segment]
        self._segment_j = self._below_j[segment + 1] - self._below_j[segment]
        self._resistance_ohm = spec.resistance_ohm * _interpolated(spec.resistance_factor, celsius)
        if self._resistance_ohm:
            self._limit_w = self._voltage_v**2 / (4.0 * self._resistance_ohm)
        else:
            self._limit_w = inf
        self._flows.clear()

    # -- the circuit ------------------------------------------------------------------------------

    def _solve(self, load_w: float) -> Flow:
        spec, volts, ohms = self.spec, self._voltage_v, self._resistance_ohm
        charger_w = spec.charger_w if self.is_plugged else 0.0
        if load_w > charger_w or not self.is_plugged:
            from_battery_w = load_w - charger_w
            amperes = _current(volts, ohms, min(from_battery_w, self._limit_w))
            loss_w = ohms * amperes * amperes
            return Flow(loss_w, -(from_battery_w + loss_w), charger_w)
        amperes = min(self._allowed_a(), -_current(volts, ohms, load_w - charger_w))
        if amperes <= spec.end_current_a or self._is_full():
            return Flow(0.0, 0.0, load_w)
        loss_w = ohms * amperes * amperes
        stored_w = volts * amperes
        return Flow(loss_w, stored_w, load_w + stored_w + loss_w)

    def _is_full(self) -> bool:
        return self._segment == SEGMENTS - 1 and self._left_j >= self._segment_j - EDGE_J

    def _allowed_a(self) -> float:
        """The vendor's limit at this temperature and voltage."""
        bands = self.spec.charging
        if self._band >= len(bands):
            return 0.0
        volts, ohms = self._voltage_v, self._resistance_ohm
        best = 0.0
        for most_v, most_a in bands[self._band].steps:
            room_v = most_v - volts
            if room_v > 0.0:
                best = max(best, min(most_a, room_v / ohms) if ohms else most_a)
        return best

    # -- what comes next --------------------------------------------------------------------------

    def seconds_to_edge(self, load_w: float) -> float:
        """After how long a constant load crosses into the next segment, or ends it; or infinity."""
        stored_w = self.flow(load_w).stored_w
        if stored_w < 0.0:
            return self._left_j / -stored_w
        return (self._segment_j - self._left_j) / stored_w if stored_w > 0.0 else inf

    def pass_edge(self, load_w: float) -> None:
        """Enter the next segment if the present one is at its edge, whatever rounding says."""
        stored_w, left_j = self.flow(load_w).stored_w, self._left_j
        if stored_w < 0.0 and left_j <= EDGE_J:
            self._cross(stored_w, left_j)
        elif stored_w > 0.0 and left_j >= self._segment_j - EDGE_J and self._segment < SEGMENTS - 1:
            self._cross(stored_w, left_j - self._segment_j)

    def seconds_surely_left(self, peak_w: float, coldest_c: float) -> float:
        """For how long it holds out whatever the phone does.

        Args:
            peak_w: the phone draws no more than this,
            coldest_c: and the battery gets no colder meanwhile.
        """
        spec = self.spec
        ohms = spec.resistance_ohm * _interpolated(spec.resistance_factor, coldest_c)
        # No voltage breaks down above this segment.
        weakest = bisect_right(spec.volts, 2.0 * sqrt(ohms * peak_w)) if ohms else 0
        if weakest > self._segment:
            return 0.0
        loss_w = ohms * _current(spec.volts[weakest], ohms, peak_w) ** 2
        return (self.left_j - self._below_j[weakest]) / (peak_w + loss_w)


def _current(volts: float, ohms: float, watts: float) -> float:
    """Amperes out of a battery for so many watts at its terminals; negative: into it."""
    if not ohms:
        return watts / volts
    root = sqrt(max(volts * volts - 4.0 * ohms * watts, 0.0))
    return 2.0 * watts / (volts + root)  # the stable form of (V - root) / 2R


def _interpolated(rows: tuple[tuple[float, float], ...], at: float) -> float:
    """On straight lines between the rows, held beyond the first and the last; 1 without rows."""
    if not rows:
        return 1.0
    index = bisect_right(rows, (at, inf))
    if index == 0:
        return rows[0][1]
    if index == len(rows):
        return rows[-1][1]
    (x0, y0), (x1, y1) = rows[index - 1], rows[index]
    return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
