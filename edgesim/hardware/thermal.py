"""Temperatures of a phone: die and skin, each a mass that warms up, advanced in closed form.

    C_d dT_d/dt = P_d - (T_d - T_s) / R_ds
    C_s dT_s/dt = P - P_d + (T_d - T_s) / R_ds - (T_s - T_a) / R_sa

with P_d the watts in the processors and P all watts. Between changes of power or ambient the
solution is two exponentials; the state is kept as their two amplitudes ("modes"), each of which
decays towards its own target:

    T_d - T_a = y_1 + y_2,   T_s - T_a = k_1 y_1 + k_2 y_2,   y_i -> e_i + (y_i - e_i) exp(-l_i t)

A lumped network of few resistances and capacitances is how phones are modelled where more is known
of them (Xie et al., "Therminator", ISLPED 2014); two masses are what published constants allow.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, sqrt

from edgesim.hardware.specs import ThermalSpec

__all__ = ["Thermal"]


class Thermal:
    """Die and skin of one phone.

    Args:
        spec: its constants.
        ambient_c: the air's temperature at the start.
        load_w: what it has drawn, outside its processors, for so long that it is in balance.

    Attributes:
        ambient_c: the air's temperature.
        peak_die_c, peak_skin_c: the highest temperatures so far.
    """

    __slots__ = (
        "_board_1",
        "_board_2",
        "_die_1",
        "_die_2",
        "_fast",
        "_shape_1",
        "_shape_2",
        "_slow",
        "_y_1",
        "_y_2",
        "ambient_c",
        "peak_die_c",
        "peak_skin_c",
    )

    def __init__(self, spec: ThermalSpec, ambient_c: float, load_w: float) -> None:
        a = 1.0 / (spec.die_j_per_k * spec.die_to_skin_k_per_w)
        b = 1.0 / (spec.skin_j_per_k * spec.die_to_skin_k_per_w)
        c = 1.0 / (spec.skin_j_per_k * spec.skin_to_ambient_k_per_w)
        root = sqrt((a + b + c) ** 2 - 4.0 * a * c)
        self._fast = 0.5 * (a + b + c + root)
        self._slow = a * c / self._fast
        self._shape_1 = 1.0 - self._fast / a
        self._shape_2 = 1.0 - self._slow / a
        # Targets of the modes per watt: a watt anywhere warms both by R_sa, and one in the die
        # warms the die by R_ds more.
        ambient = spec.skin_to_ambient_k_per_w
        self._board_1, self._board_2 = self._modes(ambient, ambient)
        self._die_1, self._die_2 = self._modes(spec.die_to_skin_k_per_w, 0.0)
        self.ambient_c = ambient_c
        self._y_1, self._y_2 = self._board_1 * load_w, self._board_2 * load_w
        self.peak_die_c, self.peak_skin_c = self.die_c, self.skin_c

    def _modes(self, die_k: float, skin_k: float) -> tuple[float, float]:
        first = (skin_k - self._shape_2 * die_k) / (self._shape_1 - self._shape_2)
        return first, die_k - first

    @property
    def die_c(self) -> float:
        """Of the processors, as last brought up to date."""
        return self.ambient_c + self._y_1 + self._y_2

    @property
    def skin_c(self) -> float:
        """Of the rest of the phone, as last brought up to date."""
        return self.ambient_c + self._shape_1 * self._y_1 + self._shape_2 * self._y_2

    def at(self, sensor: str) -> float:
        """The temperature of sensor ``die`` or ``skin``."""
        return self.die_c if sensor == "die" else self.skin_c

    def set_ambient(self, ambient_c: float) -> None:
        """Let the air have this temperature from now on; the masses keep theirs."""
        warmer_1, warmer_2 = self._modes(1.0, 1.0)
        self._y_1 += (self.ambient_c - ambient_c) * warmer_1
        self._y_2 += (self.ambient_c - ambient_c) * warmer_2
        self.ambient_c = ambient_c

    def elapse(self, die_w: float, power_w: float, seconds: float) -> None:
        """Take up heat at a constant rate for so long.

        Args:
            die_w: watts in the processors.
            power_w: watts in all.
            seconds: how long.
        """
        e_1 = self._board_1 * power_w + self._die_1 * die_w
        e_2 = self._board_2 * power_w + self._die_2 * die_w
        m_1, m_2 = self._y_1 - e_1, self._y_2 - e_2
        left_1, left_2 = m_1 * exp(-self._fast * seconds), m_2 * exp(-self._slow * seconds)
        self._y_1, self._y_2 = e_1 + left_1, e_2 + left_2
        # A peak lies at the end, or where a temperature that rises at first falls in the end: of the
        # die only if the modes have opposite signs, of the skin (k_1 < 0 < k_2) only if they do not.
        k_1, k_2, ambient_c = self._shape_1, self._shape_2, self.ambient_c
        die_c = ambient_c + self._y_1 + self._y_2
        skin_c = ambient_c + k_1 * self._y_1 + k_2 * self._y_2
        fast, slow = self._fast, self._slow
        if m_1 * m_2 < 0.0:
            if fast * m_1 + slow * m_2 < 0.0 < fast * left_1 + slow * left_2:
                die_c = max(die_c, self._turn_c(e_1 + e_2, m_1, m_2))
        elif fast * k_1 * m_1 + slow * k_2 * m_2 < 0.0 < fast * k_1 * left_1 + slow * k_2 * left_2:
            skin_c = max(skin_c, self._turn_c(k_1 * e_1 + k_2 * e_2, k_1 * m_1, k_2 * m_2))
        if die_c > self.peak_die_c:
            self.peak_die_c = die_c
        if skin_c > self.peak_skin_c:
            self.peak_skin_c = skin_c

    def _turn_c(self, target_k: float, c_1: float, c_2: float) -> float:
        """Ambient + target_k + c_1 exp(-fast t) + c_2 exp(-slow t) at its extreme."""
        turn_s = self._turn_s(c_1, c_2)
        above_k = c_1 * exp(-self._fast * turn_s) + c_2 * exp(-self._slow * turn_s)
        return self.ambient_c + target_k + above_k

    def _turn_s(self, c_1: float, c_2: float) -> float:
        """When c_1 exp(-fast t) + c_2 exp(-slow t) is at its extreme; below 0 or infinite: never."""
        if c_1 * c_2 >= 0.0:
            return inf
        return log(-self._fast * c_1 / (self._slow * c_2)) / (self._fast - self._slow)

    def course(self, die_w: float, power_w: float) -> Callable[[float], tuple[float, float]]:
        """Die and skin, Celsius, after any number of seconds at constant power from now on."""
        e_1 = self._board_1 * power_w + self._die_1 * die_w
        e_2 = self._board_2 * power_w + self._die_2 * die_w
        m_1, m_2, ambient_c = self._y_1 - e_1, self._y_2 - e_2, self.ambient_c

        def at(seconds: float) -> tuple[float, float]:
            y_1 = e_1 + m_1 * exp(-self._fast * seconds)
            y_2 = e_2 + m_2 * exp(-self._slow * seconds)
            return ambient_c + y_1 + y_2, ambient_c + self._shape_1 * y_1 + self._shape_2 * y_2

        return at

    def crossing_s(
        self, sensor: str, celsius: float, rising: bool, die_w: float, power_w: float
    ) -> float:
        """After how long a sensor first reaches a temperature from below (or above), at this power.

        Args:
            sensor: ``die`` or ``skin``.
            celsius: the temperature.
            rising: whether it is reached from below.
            die_w: watts in the processors.
            power_w: watts in all.

        Returns:
            Seconds from the moment to which it was last brought; 0 if it is there already;
            infinity if it never gets there.
        """
        k_1, k_2 = (1.0, 1.0) if sensor == "die" else (self._shape_1, self._shape_2)
        e_1 = self._board_1 * power_w + self._die_1 * die_w
        e_2 = self._board_2 * power_w + self._die_2 * die_w
        sign = 1.0 if rising else -1.0
        base = sign * (self.ambient_c + k_1 * e_1 + k_2 * e_2 - celsius)
        c_1, c_2 = sign * k_1 * (self._y_1 - e_1), sign * k_2 * (self._y_2 - e_2)
        # From here on: when does base + c_1 exp(-fast t) + c_2 exp(-slow t) first reach 0 from below?
        if base + c_1 + c_2 >= 0.0:
            return 0.0

        def above(time_s: float) -> float:
            return base + c_1 * exp(-self._fast * time_s) + c_2 * exp(-self._slow * time_s)

        turn_s = self._turn_s(c_1, c_2)
        low_s = 0.0
        if 0.0 < turn_s < inf:
            if above(turn_s) >= 0.0:
                return _root(above, 0.0, turn_s)
            low_s = turn_s
        if base <= 0.0:
            return inf  # it is not even reached in the end
        high_s = low_s + 1.0 / self._slow
        while above(high_s) < 0.0:
            low_s, high_s = high_s, 2.0 * high_s
            if high_s > _LATEST_S:
                return inf
        return _root(above, low_s, high_s)


_LATEST_S = 1e9


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that is below 0 at ``low`` and not at ``high`` crosses 0, to the last bit.

    The Illinois variant of regula falsi (Dowell and Jarratt, BIT 11, 1971) comes near it in a few
    steps; bisection does the rest.
    """
    at_low, at_high = function(low), function(high)
    last, before = 0, low
    for _ in range(_SECANTS):
        middle = high - at_high * (high - low) / (at_high - at_low)
        if not low < middle < high:
            break
        value = function(middle)
        if value < 0.0:
            # The end that stays twice counts half, so that the next secant overshoots it.
            low, at_low, at_high, last = middle, value, at_high * (0.5 if last < 0 else 1.0), -1
        else:
            high, at_high, at_low, last = middle, value, at_low * (0.5 if last > 0 else 1.0), 1
        step, before, near = abs(middle - before), middle, _NEAR * middle
        if step > _CLOSE * middle:
            continue
        if value < 0.0 and middle + near < high and function(middle + near) >= 0.0:
            high = middle + near
            break
        if value >= 0.0 and low < middle - near and function(middle - near) < 0.0:
            low = middle - near
            break
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return high
        if function(middle) < 0.0:
            low = middle
        else:
            high = middle


_SECANTS = 30
_CLOSE = 2.0**-24  # the next step would be as near as numbers are
_NEAR = 2.0**-49
