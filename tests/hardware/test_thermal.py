from math import exp, inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from edgesim.hardware.specs import ThermalSpec
from edgesim.hardware.thermal import Thermal

CHECK = settings(derandomize=True, deadline=None, max_examples=100)

PHONE = ThermalSpec(
    die_j_per_k=4.0, die_to_skin_k_per_w=4.5, skin_j_per_k=76.0, skin_to_ambient_k_per_w=5.5
)
SPECS = st.builds(
    ThermalSpec, st.floats(1, 10), st.floats(1, 8), st.floats(20, 200), st.floats(2, 10)
)
SENSORS = st.sampled_from(["die", "skin"])
STRETCHES = st.tuples(st.floats(0, 8), st.floats(0, 4), st.floats(0.1, 900))
"""Watts in the die, watts elsewhere, seconds."""


def integrated(
    spec: ThermalSpec,
    start_c: tuple[float, float],
    ambient_c: float,
    die_w: float,
    power_w: float,
    times_s: list[float],
) -> np.ndarray:
    """Die and skin at some moments, by numerical integration of the two equations."""

    def slope(_: float, y: np.ndarray) -> list[float]:
        die_c, skin_c = y
        across_w = (die_c - skin_c) / spec.die_to_skin_k_per_w
        out_w = (skin_c - ambient_c) / spec.skin_to_ambient_k_per_w
        return [
            (die_w - across_w) / spec.die_j_per_k,
            (power_w - die_w + across_w - out_w) / spec.skin_j_per_k,
        ]

    found = solve_ivp(
        slope,
        (0.0, max(times_s)),
        start_c,
        t_eval=times_s,
        rtol=1e-11,
        atol=1e-11,
        method="DOP853",
    )
    return found.y


def test_a_step_of_power_is_what_the_two_equations_say() -> None:
    times_s = [0.0, 1, 5, 20, 60, 200, 600, 3000]
    die, skin = integrated(PHONE, (25.0, 25.0), 25.0, 3.0, 4.0, times_s)
    for time_s, die_c, skin_c in zip(times_s, die, skin, strict=True):
        thermal = Thermal(PHONE, 25.0, 0.0)
        thermal.elapse(3.0, 4.0, time_s)
        assert thermal.at("die") == thermal.die_c == pytest.approx(die_c, abs=1e-6)
        assert thermal.at("skin") == thermal.skin_c == pytest.approx(skin_c, abs=1e-6)


def test_in_the_end_each_resistance_carries_its_watts() -> None:
    thermal = Thermal(PHONE, 25.0, 0.0)
    thermal.elapse(3.0, 4.0, 1e6)
    assert thermal.skin_c == pytest.approx(25 + 4.0 * 5.5)
    assert thermal.die_c == pytest.approx(25 + 4.0 * 5.5 + 3.0 * 4.5)


def test_it_begins_in_balance_with_what_it_has_always_drawn() -> None:
    thermal = Thermal(PHONE, 10.0, 2.0)
    assert thermal.skin_c == pytest.approx(10 + 2.0 * 5.5)
    assert thermal.die_c == pytest.approx(10 + 2.0 * 5.5)
    thermal.elapse(0.0, 2.0, 777.0)
    assert thermal.skin_c == pytest.approx(21.0, abs=1e-9)
    assert thermal.peak_skin_c == pytest.approx(21.0, abs=1e-9)


def test_with_almost_nothing_between_them_both_are_one_mass() -> None:
    spec = ThermalSpec(4.0, 1e-6, 76.0, 5.5)
    for seconds in (10.0, 440.0, 2000.0):
        thermal = Thermal(spec, 25.0, 0.0)
        thermal.elapse(3.0, 3.0, seconds)
        analytic_c = 25 + 3.0 * 5.5 * (1 - exp(-seconds / (80.0 * 5.5)))
        assert thermal.skin_c == pytest.approx(analytic_c, abs=1e-4)
        assert thermal.die_c == pytest.approx(analytic_c, abs=1e-4)


def test_a_die_on_an_endless_skin_is_one_mass_too() -> None:
    spec = ThermalSpec(4.0, 4.5, 1e12, 5.5)
    thermal = Thermal(spec, 25.0, 0.0)
    thermal.elapse(2.0, 2.0, 18.0)  # its time constant
    assert thermal.die_c == pytest.approx(25 + 2.0 * 4.5 * (1 - exp(-1)), abs=1e-6)
    assert thermal.skin_c == pytest.approx(25, abs=1e-6)


@given(
    spec=SPECS,
    stretches=st.lists(STRETCHES, min_size=1, max_size=4),
    ambients=st.lists(st.floats(-20, 45), min_size=4, max_size=4),
)
@settings(parent=CHECK, max_examples=30)
def test_any_script_is_what_the_two_equations_say(
    spec: ThermalSpec, stretches: list[tuple[float, float, float]], ambients: list[float]
) -> None:
    thermal = Thermal(spec, 25.0, 0.0)
    state = (25.0, 25.0)
    for (die_w, board_w, seconds), ambient_c in zip(stretches, ambients, strict=False):
        before = thermal.die_c, thermal.skin_c
        thermal.set_ambient(ambient_c)
        # What is warm does not jump when the air does.
        assert (thermal.die_c, thermal.skin_c) == pytest.approx(before, abs=1e-9)
        thermal.elapse(die_w, die_w + board_w, seconds)
        y = integrated(spec, state, ambient_c, die_w, die_w + board_w, [seconds])
        state = (float(y[0, -1]), float(y[1, -1]))
        assert (thermal.die_c, thermal.skin_c) == pytest.approx(state, abs=1e-6)


@given(spec=SPECS, one=STRETCHES, other=STRETCHES)
@CHECK
def test_responses_add_up(
    spec: ThermalSpec, one: tuple[float, float, float], other: tuple[float, float, float]
) -> None:
    seconds = one[2]
    rises = []
    for die_w, board_w in ((one[0], one[1]), (other[0], other[1])):
        thermal = Thermal(spec, 0.0, 0.0)
        thermal.elapse(die_w, die_w + board_w, seconds)
        rises.append((thermal.die_c, thermal.skin_c))
    both = Thermal(spec, 0.0, 0.0)
    die_w, board_w = one[0] + other[0], one[1] + other[1]
    both.elapse(die_w, die_w + board_w, seconds)
    assert both.die_c == pytest.approx(rises[0][0] + rises[1][0], abs=1e-9)
    assert both.skin_c == pytest.approx(rises[0][1] + rises[1][1], abs=1e-9)


@given(
    spec=SPECS,
    first=STRETCHES,
    second=STRETCHES,
    cuts=st.lists(st.floats(0, 1), max_size=6),
)
@CHECK
def test_splitting_a_stretch_changes_nothing(
    spec: ThermalSpec,
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    cuts: list[float],
) -> None:
    whole, split = Thermal(spec, 25.0, 0.1), Thermal(spec, 25.0, 0.1)
    for die_w, board_w, seconds in (first, second):
        whole.elapse(die_w, die_w + board_w, seconds)
        ends = [*sorted(cut * seconds for cut in cuts), seconds]
        for start_s, end_s in zip([0.0, *ends], ends, strict=False):
            split.elapse(die_w, die_w + board_w, end_s - start_s)
    for name in ("die_c", "skin_c", "peak_die_c", "peak_skin_c"):
        assert getattr(split, name) == pytest.approx(getattr(whole, name), abs=1e-9)


def sampled(
    spec: ThermalSpec,
    before: tuple[float, float, float],
    after: tuple[float, float],
    times_s: np.ndarray,
) -> tuple[Thermal, dict[str, np.ndarray]]:
    """A phone after a first stretch, and its temperatures at some moments of a second one."""

    def fresh() -> Thermal:
        thermal = Thermal(spec, 25.0, 0.0)
        thermal.elapse(before[0], before[0] + before[1], before[2])
        return thermal

    rows = []
    for time_s in times_s:
        thermal = fresh()
        thermal.elapse(after[0], after[0] + after[1], float(time_s))
        rows.append((thermal.die_c, thermal.skin_c))
    die, skin = np.array(rows).T
    return fresh(), {"die": die, "skin": skin}


@given(
    spec=SPECS,
    before=STRETCHES,
    after=st.tuples(st.floats(0, 8), st.floats(0, 4)),
    sensor=SENSORS,
    share=st.floats(-0.2, 1.2),
    rising=st.booleans(),
)
@CHECK
def test_a_crossing_is_the_first_moment_at_which_the_temperature_is_reached(
    spec: ThermalSpec,
    before: tuple[float, float, float],
    after: tuple[float, float],
    sensor: str,
    share: float,
    rising: bool,
) -> None:
    times_s = np.concatenate([np.geomspace(1e-3, 2e4, 400), [1e6]])
    thermal, curves = sampled(spec, before, after, times_s)
    curve = np.concatenate([[thermal.at(sensor)], curves[sensor]])
    moments = np.concatenate([[0.0], times_s])
    low, high = curve.min(), curve.max()
    celsius = float(low + share * (high - low))  # also of an extreme in the middle, or beyond
    found_s = thermal.crossing_s(sensor, celsius, rising, after[0], after[0] + after[1])
    reached = curve >= celsius if rising else curve <= celsius
    first = int(reached.argmax()) if reached.any() else None
    if found_s == inf:
        # A sample may touch what the curve only comes infinitely near to.
        assert first is None or abs(curve[first] - celsius) < 1e-6
        return
    assert found_s >= 0
    if found_s > 0:
        thermal.elapse(after[0], after[0] + after[1], found_s)
        assert thermal.at(sensor) == pytest.approx(celsius, abs=1e-6)
    earlier = curve[moments < found_s * (1 - 1e-9)]
    assert not (earlier > celsius + 1e-9 if rising else earlier < celsius - 1e-9).any()
    if first is not None:
        assert found_s <= moments[first] * (1 + 1e-9) + 1e-9


def test_a_die_that_overshoots_is_caught_at_its_interior_peak() -> None:
    # Warm all over, then the work moves out of the die into the board: the skin goes on rising
    # while the die cools, or the other way round; here the skin of a hot die peaks later.
    thermal = Thermal(PHONE, 25.0, 0.0)
    thermal.elapse(8.0, 8.0, 30.0)
    at_end_c = thermal.skin_c
    grid_s = np.linspace(0.001, 300, 3000)
    _, curves = sampled(PHONE, (8.0, 0.0, 30.0), (0.0, 0.0), grid_s)
    highest_c = float(curves["skin"].max())
    assert highest_c > at_end_c + 1.0
    thermal.elapse(0.0, 0.0, 300.0)
    assert thermal.skin_c < highest_c - 1.0
    assert thermal.peak_skin_c == pytest.approx(highest_c, abs=1e-4)
    assert thermal.peak_skin_c >= highest_c - 1e-12


@given(spec=SPECS, stretches=st.lists(STRETCHES, min_size=1, max_size=4))
@settings(parent=CHECK, max_examples=40)
def test_peaks_are_those_of_a_dense_sample(
    spec: ThermalSpec, stretches: list[tuple[float, float, float]]
) -> None:
    whole, dense = Thermal(spec, 25.0, 0.0), Thermal(spec, 25.0, 0.0)
    highest = {"die": 25.0, "skin": 25.0}
    for die_w, board_w, seconds in stretches:
        whole.elapse(die_w, die_w + board_w, seconds)
        for _ in range(400):
            dense.elapse(die_w, die_w + board_w, seconds / 400)
            for sensor in highest:
                highest[sensor] = max(highest[sensor], dense.at(sensor))
    assert highest["die"] - 1e-9 <= whole.peak_die_c <= highest["die"] + 0.2
    assert highest["skin"] - 1e-9 <= whole.peak_skin_c <= highest["skin"] + 0.01


def test_a_threshold_that_is_passed_only_for_a_while_is_found() -> None:
    hot_die = Thermal(PHONE, 25.0, 0.0)
    hot_die.elapse(8.0, 8.0, 30.0)
    warmer_c = hot_die.skin_c + 0.5  # the die warms the skin, which cools in the end
    found_s = hot_die.crossing_s("skin", warmer_c, True, 0.0, 0.0)
    assert 0 < found_s < 60
    hot_die.elapse(0.0, 0.0, found_s)
    assert hot_die.skin_c == pytest.approx(warmer_c, abs=1e-9)
    # A hot die over a cool skin falls at first, and rises with the board that warms up.
    cooling = Thermal(PHONE, 25.0, 0.0)
    cooling.elapse(8.0, 8.0, 30.0)
    end_c = 25 + 8.0 * 5.5
    lowest_c = min(_die_after(seconds) for seconds in range(200))
    assert lowest_c < cooling.die_c < end_c
    found_s = cooling.crossing_s("die", lowest_c + 0.5, False, 0.0, 8.0)
    assert 0 < found_s < 60
    cooling.elapse(0.0, 8.0, found_s)
    assert cooling.die_c == pytest.approx(lowest_c + 0.5, abs=1e-9)


def _die_after(seconds: float) -> float:
    thermal = Thermal(PHONE, 25.0, 0.0)
    thermal.elapse(8.0, 8.0, 30.0)
    thermal.elapse(0.0, 8.0, seconds)
    return thermal.die_c
