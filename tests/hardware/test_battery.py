from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.power import Meter, PowerState
from edgesim.hardware.battery import Battery

CHECK = settings(derandomize=True, deadline=None, max_examples=150)
PEAK_W = 10.0


class Device:
    """A load on a battery of 100 J, and when it ran empty."""

    def __init__(self, power_w: float, *, charge: float = 1.0, resting: bool = False) -> None:
        self.clock = Clock()
        self.meter = Meter(self.clock, "phone")
        self.load: PowerState = self.meter.component("load", power_w, "on")
        self.resting = resting
        self.empty: list[float] = []
        self.battery = Battery(
            self.clock,
            self.meter,
            100.0,
            charge,
            PEAK_W,
            is_resting=lambda: self.resting,
            on_empty=self._ran_empty,
        )
        if not resting:
            self.rouse()

    def _ran_empty(self) -> None:
        self.empty.append(self.clock.now)
        self.load.set(0.0, "off")
        self.meter.switch_off(self.clock.now)

    def at(self, time_s: float, function: Callable[[], Any]) -> None:
        self.clock.call_at(time_s, Order.ARRIVAL, lambda _: function())

    def rouse(self) -> None:
        """Tell the battery that the power may rise, if it wants to know."""
        if not self.battery.is_guarded:
            self.battery.power_rises()

    def draw(self, power_w: float) -> None:
        if not self.empty:
            self.load.set(power_w, "on")


@pytest.mark.parametrize("power_w", [0.01, 1.0, 3.0, PEAK_W])
@pytest.mark.parametrize("charge", [1.0, 0.37, 1e-3])
@pytest.mark.parametrize("resting", [True, False])
def test_a_constant_load_empties_it_after_charge_over_watts(
    power_w: float, charge: float, resting: bool
) -> None:
    device = Device(power_w, charge=charge, resting=resting)
    end_s = 100 * charge / power_w
    device.clock.run_until(0.999 * end_s)
    assert device.empty == []
    assert device.battery.left_j == pytest.approx(0.1 * charge, rel=1e-6)
    device.clock.run_until(2 * end_s)
    assert device.empty == [pytest.approx(end_s, rel=1e-9)]
    assert device.meter.drawn_j == pytest.approx(100 * charge, rel=1e-9)
    assert device.battery.left_j == pytest.approx(0, abs=1e-6)
    assert device.battery.charge == pytest.approx(0, abs=1e-8)


def test_a_changing_load_empties_it_when_the_joules_have_added_up() -> None:
    device = Device(1.0)
    for time_s, power_w in ((10, 5.0), (20, 0.5), (30, 10.0), (33, 2.0)):
        device.at(time_s, lambda power_w=power_w: device.draw(power_w))
    device.clock.run_until(1000)
    # 10 + 50 + 5 + 30 J by 33 s, and 5 J more at 2 W.
    assert device.empty == [pytest.approx(35.5, rel=1e-9)]


def test_a_load_that_ceases_just_before_the_end_lets_it_live() -> None:
    device = Device(PEAK_W)
    device.at(9.999, lambda: device.draw(0.0))
    device.clock.run_until(1e6)
    assert device.empty == []
    assert device.battery.left_j == pytest.approx(0.01)
    device.draw(0.1)
    device.clock.run_until(2e6)
    assert device.empty == [pytest.approx(1e6 + 0.1)]


def test_a_load_that_rises_in_the_last_second_brings_the_end_forward() -> None:
    device = Device(0.1, charge=0.09)  # 9 J: less than a second at the peak
    device.at(5, lambda: device.draw(PEAK_W))
    device.at(5.5, lambda: device.draw(1.0))
    device.clock.run_until(1000)
    assert device.empty == [pytest.approx(5.5 + (9 - 0.5 - 5.0) / 1.0)]


def test_a_resting_device_is_told_of_when_its_power_rises() -> None:
    device = Device(0.01, resting=True)

    def wake() -> None:
        device.resting = False
        device.rouse()
        device.draw(5.0)

    device.at(1000, wake)
    device.clock.run_until(10_000)
    assert device.empty == [pytest.approx(1000 + 90 / 5)]


def test_a_device_that_goes_back_to_rest_lasts_as_long_as_its_rest_allows() -> None:
    device = Device(0.01, resting=True)

    def wake() -> None:
        device.resting = False
        device.rouse()
        device.draw(5.0)

    def rest() -> None:
        device.draw(0.01)
        device.resting = True

    device.at(1000, wake)
    device.at(1010, rest)
    device.clock.run_until(100_000)
    assert device.empty == [pytest.approx(1010 + 40 / 0.01)]


def test_without_load_it_lasts_for_ever() -> None:
    device = Device(0.0, resting=True)
    assert device.battery._timer.due_s == inf
    device.clock.run()
    assert device.empty == []
    assert device.clock.events == 0


def test_a_device_that_starts_empty_is_not_told_so() -> None:
    device = Device(1.0, charge=0.0, resting=True)
    device.clock.run_until(10)
    assert device.empty == []
    assert device.battery.charge == 0


def test_an_empty_battery_never_runs_empty_again() -> None:
    device = Device(5.0)
    device.clock.run_until(1000)
    device.rouse()
    device.load.set(3.0, "ghost")
    device.clock.run_until(2000)
    assert len(device.empty) == 1


def test_a_resting_device_costs_one_event_in_its_life() -> None:
    device = Device(0.001, resting=True)
    device.clock.run_until(200_000)
    assert device.empty == [pytest.approx(100_000)]
    assert device.clock.events == 1


def test_a_busy_device_costs_few_events_however_often_its_power_changes() -> None:
    device = Device(0.0)
    for k in range(2000):
        device.clock.run_until(k * 0.01)
        device.draw(PEAK_W * (k % 2) * 0.5)
    assert device.empty == []
    assert device.battery.left_j == pytest.approx(50, abs=0.1)
    assert device.clock.events <= 10


@given(
    steps=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)), max_size=40),
    charge=st.floats(0.001, 1),
    awake=st.lists(st.booleans(), min_size=40, max_size=40),
)
@CHECK
def test_it_runs_empty_exactly_when_the_integral_says(
    steps: list[tuple[int, int]], charge: float, awake: list[bool]
) -> None:
    device = Device(0.05, charge=charge, resting=True)
    left_j, power_w, expected = 100 * charge, 0.05, inf
    for (gap, tenths), is_awake in zip([*steps, (10**6, 0)], [*awake, True], strict=False):
        gap_s, now_s = gap * 0.01371, device.clock.now
        if expected == inf and power_w * gap_s > left_j:
            expected = now_s + left_j / power_w
        left_j -= power_w * gap_s
        device.clock.run_until(now_s + gap_s)
        assert bool(device.empty) == (expected < inf)
        assert 0 <= device.battery.charge <= 1
        assert device.battery.left_j == pytest.approx(max(left_j, 0.0), abs=2e-6)
        # Resting, it draws no more than before; awake, anything up to the peak.
        device.resting = not is_awake and tenths / 10 <= power_w
        power_w = tenths / 10
        if not device.resting:
            device.rouse()
        device.draw(power_w)
    assert device.empty == ([pytest.approx(expected, rel=1e-9)] if expected < inf else [])


@given(charge=st.floats(0, 1), power_w=st.floats(0, PEAK_W), time_s=st.floats(0, 1e5))
@CHECK
def test_the_charge_stays_between_empty_and_full(
    charge: float, power_w: float, time_s: float
) -> None:
    device = Device(power_w, charge=charge)
    assert 0 <= device.battery.charge <= 1
    device.clock.run_until(time_s)
    assert 0 <= device.battery.charge <= charge * (1 + 1e-12)
