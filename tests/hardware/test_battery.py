from copy import deepcopy
from dataclasses import fields
from math import inf, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.hardware.battery import EDGE_J, Battery
from edgesim.hardware.specs import SEGMENTS, BatterySpec, ChargingBand, ThermalSpec, ideal_battery
from edgesim.hardware.thermal import Thermal

CHECK = settings(derandomize=True, deadline=None, max_examples=150)

VOLTS = tuple(3.3 + 0.01 * (k + 0.5) for k in range(SEGMENTS))
SLOPING = BatterySpec(VOLTS, charge_c=10_000.0, resistance_ohm=0.1)
"""From 3.3 to 4.3 V; 100 C in each segment."""

STEPS = ((4.0, 2.0), (4.2, 1.0))
"""2 A up to 4.0 V at the terminals, 1 A up to 4.2 V."""
PLATEAUS = BatterySpec(
    volts=tuple(volts for volts in (3.7, 3.85, 3.95, 4.15, 4.195) for _ in range(20)),
    charge_c=10_000.0,
    resistance_ohm=0.1,
    resistance_factor=((-20.0, 10.0), (0.0, 2.0), (25.0, 1.0)),
    charging=(ChargingBand(0.0, ()), ChargingBand(45.0, STEPS), ChargingBand(50.0, ((4.0, 0.5),))),
    end_current_a=0.1,
    charger_w=100.0,
)
"""2000 C at each of five voltages."""


def seconds_left(battery: Battery, load_w: float) -> float:
    """After how long a constant load ends it, edge by edge, as a phone foresees it; or infinity."""
    battery, seconds = deepcopy(battery), 0.0
    while not (battery.is_empty or battery.is_too_weak(load_w)):
        edge_s = battery.seconds_to_edge(load_w)
        if edge_s == inf or battery.flow(load_w).stored_w > 0.0:
            return inf
        carry(battery, load_w, edge_s)
        battery.pass_edge(load_w)
        seconds += edge_s
        if battery.left_j <= EDGE_J:
            break
    return seconds


def carry(battery: Battery, load_w: float, seconds: float, die_w: float = 0.0) -> None:
    """Have it carry a load for so long, as the meter of a phone does."""
    battery.elapse((load_w - die_w, 0.0, 0.0, 0.0, 0.0, die_w), load_w, seconds)


def amperes(volts: float, ohms: float, watts: float) -> float:
    """The smaller root of V I - R I^2 = P, as in a textbook."""
    return (volts - sqrt(volts * volts - 4 * ohms * watts)) / (2 * ohms)


def plugged(spec: BatterySpec, charge: float, celsius: float = 25.0) -> Battery:
    battery = Battery(spec, charge, celsius)
    battery.plug(True)
    return battery


# --- what it holds -------------------------------------------------------------------------------


@pytest.mark.parametrize("charge", [0.0, 1e-9, 0.005, 0.37, 0.5, 0.999, 1.0])
def test_a_new_battery_holds_what_it_was_given(charge: float) -> None:
    battery = Battery(SLOPING, charge, 25.0)
    assert battery.charge == pytest.approx(charge, abs=1e-15)
    # The integral of 3.3 V + 1 V x charge, up to half a segment's curvature.
    joules = 10_000.0 * (3.3 * charge + charge * charge / 2)
    assert battery.left_j == pytest.approx(joules, abs=0.2)
    assert battery.is_empty == (charge == 0)
    assert (battery.loss_j, battery.charged_j, battery.overdrawn_j) == (0, 0, 0)


def test_the_capacity_is_the_voltage_summed_over_the_charge() -> None:
    assert SLOPING.capacity_j == pytest.approx(3.8 * 10_000.0)
    assert Battery(SLOPING, 1.0, 25.0).left_j == pytest.approx(SLOPING.capacity_j)
    assert ideal_battery(100.0).capacity_j == pytest.approx(100.0)
    assert ideal_battery(100.0, 4.0).charge_c == 25.0


@pytest.mark.parametrize("power_w", [0.01, 1.0, 3.0, 10.0])
@pytest.mark.parametrize("charge", [1.0, 0.37, 1e-3])
def test_an_ideal_battery_lasts_as_long_as_its_joules(power_w: float, charge: float) -> None:
    battery = Battery(ideal_battery(100.0), charge, 25.0)
    end_s = 100 * charge / power_w
    assert seconds_left(battery, power_w) == pytest.approx(end_s, rel=1e-12)
    assert battery.seconds_surely_left(power_w, 25.0) == pytest.approx(end_s, rel=1e-12)
    carry(battery, power_w, 0.999 * end_s)
    assert battery.left_j == pytest.approx(0.1 * charge, rel=1e-6)
    carry(battery, power_w, 0.002 * end_s)
    assert battery.is_empty
    assert (battery.charge, battery.left_j, battery.loss_j) == (0, 0, 0)
    assert battery.overdrawn_j == pytest.approx(0.001 * 100 * charge)


def test_without_load_it_lasts_for_ever() -> None:
    battery = Battery(SLOPING, 0.5, 25.0)
    assert seconds_left(battery, 0.0) == inf
    carry(battery, 0.0, 1e9)
    assert (battery.charge, battery.loss_j) == (0.5, 0)


# --- the circuit ---------------------------------------------------------------------------------


@pytest.mark.parametrize("power_w", [0.05, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("segments", [100, 37, 1])
def test_time_to_empty_is_charge_over_current_added_up_over_the_curve(
    power_w: float, segments: int
) -> None:
    battery = Battery(SLOPING, segments / 100, 25.0)
    stored_j = battery.left_j
    currents_a = [amperes(volts, 0.1, power_w) for volts in VOLTS[:segments]]
    end_s = sum(100.0 / each_a for each_a in currents_a)
    assert seconds_left(battery, power_w) == pytest.approx(end_s, rel=1e-9)
    carry(battery, power_w, end_s * (1 - 1e-8))
    assert not battery.is_empty
    assert battery.charge < 1e-6
    carry(battery, power_w, end_s * 2e-8)
    assert battery.is_empty
    # The loss is R I^2, and everything it held went into load and loss.
    loss_j = sum(0.1 * each_a**2 * 100.0 / each_a for each_a in currents_a)
    assert battery.loss_j == pytest.approx(loss_j, rel=1e-6)
    assert stored_j == pytest.approx(power_w * end_s + loss_j, rel=1e-9)


def test_half_a_segment_lasts_half_as_long() -> None:
    battery = Battery(SLOPING, 0.505, 25.0)
    assert seconds_left(battery, 4.0) == pytest.approx(
        50.0 / amperes(VOLTS[50], 0.1, 4.0)
        + sum(100.0 / amperes(volts, 0.1, 4.0) for volts in VOLTS[:50]),
        rel=1e-12,
    )


def test_the_flow_is_that_of_the_textbooks_circuit() -> None:
    battery = Battery(PLATEAUS, 0.1, 25.0)  # 3.7 V, 0.1 ohm
    flow = battery.flow(3.0)
    # 3.7 I - 0.1 I^2 = 3 at I = 0.82940 A.
    assert flow.loss_w == pytest.approx(0.1 * 0.82940**2, rel=1e-4)
    assert flow.stored_w == pytest.approx(-3.7 * 0.82940, rel=1e-4)
    assert flow.charger_w == 0


@pytest.mark.parametrize(
    ("celsius", "ohms"), [(-40, 1.0), (-20, 1.0), (-10, 0.6), (0, 0.2), (12.5, 0.15), (60, 0.1)]
)
def test_resistance_follows_the_temperature(celsius: float, ohms: float) -> None:
    flow = Battery(PLATEAUS, 0.1, celsius).flow(2.0)
    assert flow.loss_w == pytest.approx(ohms * amperes(3.7, ohms, 2.0) ** 2)


def test_in_the_cold_the_voltage_breaks_down_under_a_load() -> None:
    # At most V^2 / 4R: 3.7^2 / 0.4 = 34.2 W when warm, 3.42 W at -20 degrees.
    warm, cold = Battery(PLATEAUS, 0.1, 25.0), Battery(PLATEAUS, 0.1, -20.0)
    assert not warm.is_too_weak(34.2)
    assert warm.is_too_weak(34.3)
    assert not cold.is_too_weak(3.42)
    assert cold.is_too_weak(3.43)
    assert seconds_left(cold, 3.43) == 0
    assert seconds_left(cold, 3.42) > 0
    cold.plug(True)
    assert not cold.is_too_weak(100 + 3.42)
    assert cold.is_too_weak(100 + 3.43)


def test_it_ends_in_the_segment_in_which_its_voltage_breaks_down() -> None:
    battery = Battery(PLATEAUS, 1.0, -20.0)  # 1 ohm
    # 4.0 W: 4.195^2/4 = 4.40, 4.15^2/4 = 4.31, 3.95^2/4 = 3.90: the last three plateaus are too low.
    end_s = 2000 / amperes(4.195, 1.0, 4.0) + 2000 / amperes(4.15, 1.0, 4.0)
    assert seconds_left(battery, 4.0) == pytest.approx(end_s, rel=1e-12)
    carry(battery, 4.0, end_s * (1 + 1e-9))
    assert battery.charge == pytest.approx(0.6)
    assert battery.is_too_weak(4.0)
    assert not battery.is_too_weak(3.9)


# --- charging ------------------------------------------------------------------------------------


def test_charging_follows_the_vendors_steps() -> None:
    battery = plugged(PLATEAUS, 0.0)
    # 3.7 V: 2 A, and 0.1 ohm leaves the terminals at 3.9 V. 3.85 V: 1.5 A up to 4.0 V, better than
    # 1 A up to 4.2 V. 3.95 V: only 0.5 A up to 4.0 V, so 1 A. 4.15 V: 0.5 A up to 4.2 V. 4.195 V:
    # 0.05 A, which is below the current at which charging ends.
    for number, (volts, current_a) in enumerate(
        ((3.7, 2.0), (3.85, 1.5), (3.95, 1.0), (4.15, 0.5), (4.195, 0.0))
    ):
        assert battery.charge == pytest.approx(0.2 * number)
        flow = battery.flow(0.0)
        loss_w = 0.1 * current_a**2
        assert flow == pytest.approx((loss_w, volts * current_a, volts * current_a + loss_w))
        if current_a:
            carry(battery, 0.0, 2000 / current_a + 1e-6)
    assert battery.charge == pytest.approx(0.8)
    before_j = battery.left_j
    carry(battery, 0.0, 1e6)
    assert battery.left_j == before_j
    assert battery.loss_j == pytest.approx(0.1 * 2000 * (2.0 + 1.5 + 1.0 + 0.5))
    assert battery.charged_j == pytest.approx(2000 * (3.7 + 3.85 + 3.95 + 4.15) + battery.loss_j)


def test_one_long_charge_is_the_same_as_its_phases() -> None:
    battery = plugged(PLATEAUS, 0.0)
    seconds = 2000 * (1 / 2 + 1 / 1.5 + 1 / 1 + 1 / 0.5)
    carry(battery, 0.0, seconds - 1.0)
    assert battery.charge == pytest.approx(0.8 - 0.5 / 10_000, rel=1e-9)
    carry(battery, 0.0, 1e6)
    assert battery.charge == pytest.approx(0.8)


def test_a_battery_that_is_full_takes_up_no_more_but_feeds_the_phone_from_the_charger() -> None:
    spec = BatterySpec(
        (3.8,) * SEGMENTS, 1000.0, 0.1, charging=(ChargingBand(60.0, ((4.4, 1.0),)),), charger_w=9.0
    )
    battery = plugged(spec, 0.999)
    carry(battery, 2.0, 2.0)  # 1 C is missing: full after a second
    assert battery.charge == 1.0
    assert battery.charged_j == pytest.approx(2 * 2.0 + 3.8 + 0.1)
    assert battery.flow(2.0) == (0, 0, 2.0)
    assert seconds_left(battery, 2.0) == inf
    battery.plug(False)
    assert seconds_left(battery, 2.0) == pytest.approx(1000 / amperes(3.8, 0.1, 2.0))


@pytest.mark.parametrize("celsius", [-30.0, -0.1, 50.0, 80.0])
def test_nothing_charges_below_freezing_or_above_the_last_band(celsius: float) -> None:
    battery = plugged(PLATEAUS, 0.5, celsius)
    assert battery.flow(1.5) == (0, 0, 1.5)
    assert battery.seconds_to_edge(1.5) == inf
    carry(battery, 1.5, 1e5)
    assert battery.charge == 0.5
    assert battery.charged_j == pytest.approx(1.5e5)


def test_the_limits_are_those_of_the_band_and_change_with_it() -> None:
    battery = plugged(PLATEAUS, 0.1, 44.9)
    assert (battery.band, battery.band_edges_c()) == (1, (-1.0, 45.0))
    assert battery.flow(0.0).stored_w == pytest.approx(3.7 * 2.0)
    battery.set_band(battery.band + 1, 45.0)
    assert battery.band_edges_c() == (44.0, 50.0)  # it must be a degree colder to go back
    assert battery.flow(0.0).stored_w == pytest.approx(3.7 * 0.5)
    battery.set_band(battery.band + 1, 50.0)
    assert battery.band_edges_c() == (49.0, inf)
    assert battery.flow(0.0).stored_w == 0
    battery.set_band(0, -1.0)
    assert battery.band_edges_c() == (-inf, 0.0)
    assert battery.flow(0.0).stored_w == 0
    assert [battery.band_at(celsius) for celsius in (-1, 0, 44, 45, 49, 50, 99)] == [
        *(0, 1, 1, 2, 2, 3, 3)
    ]


def test_a_weak_charger_feeds_the_phone_first_and_the_battery_with_what_is_left() -> None:
    spec = BatterySpec(**{**_as_dict(PLATEAUS), "charger_w": 5.0})
    battery = plugged(spec, 0.1)
    # 2 W are left: 3.7 I + 0.1 I^2 = 2.
    current_a = (-3.7 + sqrt(3.7**2 + 4 * 0.1 * 2.0)) / (2 * 0.1)
    assert battery.flow(3.0) == pytest.approx((0.1 * current_a**2, 3.7 * current_a, 5.0))
    assert battery.flow(5.0) == (0, 0, 5.0)
    # 2 W are wanting: the battery gives them.
    current_a = amperes(3.7, 0.1, 2.0)
    loss_w = 0.1 * current_a**2
    assert battery.flow(7.0) == pytest.approx((loss_w, -2.0 - loss_w, 5.0))
    assert seconds_left(battery, 7.0) == pytest.approx(1000 / current_a)
    carry(battery, 7.0, 100.0)
    assert battery.charge == pytest.approx(0.1 - 100 * current_a / 10_000)
    assert battery.charged_j == pytest.approx(500.0)


def _as_dict(spec: BatterySpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in (field.name for field in fields(spec))}


def test_a_battery_without_bands_cannot_be_charged() -> None:
    battery = plugged(ideal_battery(100.0), 0.5)
    assert battery.flow(0.0) == (0, 0, 0)
    carry(battery, 0.0, 1e6)
    assert battery.charge == 0.5


def test_an_empty_battery_can_be_charged_again() -> None:
    battery = Battery(PLATEAUS, 0.001, 25.0)
    carry(battery, 1.0, seconds_left(battery, 1.0))
    assert battery.left_j == pytest.approx(0, abs=1e-9)
    battery.plug(True)
    assert battery.seconds_to_edge(0.0) == pytest.approx(100 / 2.0)
    carry(battery, 0.0, 100.0)
    assert battery.charge == pytest.approx(0.02)


def test_heat_of_the_battery_warms_the_phone() -> None:
    constants = ThermalSpec(4.0, 4.5, 76.0, 5.5)
    with_loss, by_hand = Thermal(constants, 25.0, 0.0), Thermal(constants, 25.0, 0.0)
    battery = Battery(PLATEAUS, 0.105, 25.0, with_loss)
    carry(battery, 5.0, 30.0, die_w=2.0)  # within one segment, so of one resistance
    loss_w = 0.1 * amperes(3.7, 0.1, 5.0) ** 2
    by_hand.elapse(2.0, 5.0 + loss_w, 30.0)
    assert battery.charge > 0.1
    assert with_loss.skin_c == pytest.approx(by_hand.skin_c, abs=1e-9)
    assert with_loss.die_c == pytest.approx(by_hand.die_c, abs=1e-9)


# --- whatever happens ----------------------------------------------------------------------------

MOMENTS = st.lists(
    st.tuples(st.booleans(), st.floats(0, 12), st.floats(0, 8000)), min_size=1, max_size=25
)
SPECS = st.sampled_from(
    [
        SLOPING,
        PLATEAUS,
        ideal_battery(38_000.0),
        BatterySpec(**{**_as_dict(PLATEAUS), "charger_w": 5.0}),
        BatterySpec(**{**_as_dict(SLOPING), "charging": PLATEAUS.charging, "charger_w": 10.0}),
    ]
)


@given(
    spec=SPECS, charge=st.floats(0, 1), celsius=st.sampled_from([-5.0, 10, 25, 47]), script=MOMENTS
)
@CHECK
def test_no_joule_is_lost_and_the_charge_stays_between_empty_and_full(
    spec: BatterySpec, charge: float, celsius: float, script: list[tuple[bool, float, float]]
) -> None:
    battery = Battery(spec, charge, celsius)
    start_j, drawn_j = battery.left_j, 0.0
    for is_plugged, load_w, seconds in script:
        battery.plug(is_plugged)
        carry(battery, load_w, seconds)
        drawn_j += load_w * seconds
        assert 0 <= battery.charge <= 1
        assert 0 <= battery.left_j <= spec.capacity_j * (1 + 1e-12)
        given_j = start_j + battery.charged_j + battery.overdrawn_j
        # Overdrawn, the loss that goes with it is not booked either.
        if battery.overdrawn_j == 0:
            taken_j = drawn_j + battery.loss_j + battery.left_j
            assert given_j == pytest.approx(taken_j, rel=1e-9, abs=1e-6)


@given(
    spec=SPECS,
    charge=st.floats(0.001, 1),
    load_w=st.floats(0.01, 12),
    celsius=st.sampled_from([-20.0, -5.0, 25]),
    is_plugged=st.booleans(),
)
@CHECK
def test_it_lasts_exactly_as_long_as_foretold(
    spec: BatterySpec, charge: float, load_w: float, celsius: float, is_plugged: bool
) -> None:
    battery = Battery(spec, charge, celsius)
    battery.plug(is_plugged)
    end_s = seconds_left(battery, load_w)
    if end_s == inf:
        carry(battery, load_w, 1e6)
        assert not battery.is_empty
        return
    if end_s == 0:
        assert battery.is_too_weak(load_w)
        return
    carry(battery, load_w, end_s * (1 - 1e-6))
    assert not battery.is_empty
    assert not battery.is_too_weak(load_w)
    assert seconds_left(battery, load_w) == pytest.approx(end_s * 1e-6, rel=1e-3)
    carry(battery, load_w, end_s * 2e-6)
    assert battery.is_empty or battery.is_too_weak(load_w)


@given(
    spec=SPECS,
    charge=st.floats(0.001, 1),
    celsius=st.sampled_from([-20.0, -5.0, 25]),
    peak_w=st.floats(0.5, 12),
    shares=st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 0.3)), min_size=1, max_size=20),
)
@CHECK
def test_it_is_never_over_before_it_surely_may_be(
    spec: BatterySpec,
    charge: float,
    celsius: float,
    peak_w: float,
    shares: list[tuple[float, float]],
) -> None:
    battery = Battery(spec, charge, celsius)
    surely_s = battery.seconds_surely_left(peak_w, celsius)
    assert surely_s >= 0
    left_s = surely_s * (1 - 1e-9)
    for share, part in [*shares, (1.0, 1.0)]:
        seconds = min(part * surely_s, left_s)
        load_w = share * peak_w
        assert seconds_left(battery, load_w) >= seconds
        carry(battery, load_w, seconds)
        left_s -= seconds
    assert battery.overdrawn_j == 0
    assert surely_s == 0 or not battery.is_too_weak(peak_w)


@given(
    spec=SPECS,
    charge=st.floats(0, 1),
    celsius=st.sampled_from([-5.0, 25]),
    is_plugged=st.booleans(),
    load_w=st.floats(0, 12),
    parts=st.lists(st.floats(0, 3000), min_size=1, max_size=10),
)
@CHECK
def test_splitting_a_stretch_of_time_changes_nothing(
    spec: BatterySpec,
    charge: float,
    celsius: float,
    is_plugged: bool,
    load_w: float,
    parts: list[float],
) -> None:
    whole, split = Battery(spec, charge, celsius), Battery(spec, charge, celsius)
    for battery in (whole, split):
        battery.plug(is_plugged)
    carry(whole, load_w, sum(parts))
    for part in parts:
        carry(split, load_w, part)
    assert split.charge == pytest.approx(whole.charge, abs=1e-9)
    for name in ("left_j", "loss_j", "charged_j", "overdrawn_j"):
        assert getattr(split, name) == pytest.approx(getattr(whole, name), rel=1e-9, abs=1e-6)
