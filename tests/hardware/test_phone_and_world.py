"""A phone in its surroundings: heat, throttling, screen, apps, charger, cold; looked at or not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.signals import ConstantBank, Signal, TraceBank
from edgesim.hardware.catalogue import Catalogue
from edgesim.hardware.phone import (
    BATTERY_EMPTY,
    NO_APP,
    OVERHEATED,
    RESTART_CHARGE,
    Phone,
    Surroundings,
)
from edgesim.hardware.processor import Execution, Governor
from edgesim.hardware.profiles import PhoneProfile
from edgesim.hardware.specs import (
    SEGMENTS,
    AppSpec,
    BatterySpec,
    ChargingBand,
    PhoneSpec,
    ThermalSpec,
    Trip,
    ideal_battery,
)
from edgesim.hardware.truth import Truth
from edgesim.network.radio import Ether
from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import Level, ProcessorSpec

CHECK = settings(
    derandomize=True, deadline=None, max_examples=30, phases=(Phase.explicit, Phase.generate)
)

QUIET_WIFI = WifiPower(1, 0.0, 0.0, ((-80.0, 0.0),), 0.0, 0.1)


def shipped_phone(name: str) -> PhoneSpec:
    return _catalogue().phone(name)


@cache
def _catalogue() -> Catalogue:
    return Catalogue()


def steps(*rows: tuple[float, float], period_s: float | None = None) -> Signal:
    times_s, values = zip(*rows, strict=True)
    return TraceBank(times_s, values, period_s=period_s).signal(0)


def constant(value: float) -> Signal:
    return ConstantBank([value]).signal(0)


def around(
    app: Signal | float = 0.0,
    screen: Signal | float = 0.0,
    plugged: Signal | float = 0.0,
    ambient_c: Signal | float = 25.0,
    **more: Any,
) -> Surroundings:
    signals = [
        constant(each) if isinstance(each, int | float) else each
        for each in (app, screen, plugged, ambient_c)
    ]
    return Surroundings(*signals, **more)


@dataclass(eq=False)
class Task:
    """Something that keeps a phone awake, over and over again if it is asked to."""

    phone: Phone
    job: str = "camera"
    energy_j: float = 0.0
    went_off: list[tuple[float, str]] = field(default_factory=list)
    execution: Execution | None = None
    ended_s: float | None = None

    def phone_went_off(self, reason: str) -> None:
        self.went_off.append((self.phone._clock.now, reason))
        if self.execution is not None:
            self.phone.processor("cpu_big").cancel(self.execution)
        self.phone.end(self)

    def tail_ended(self) -> None:
        pass

    def run(self, work_s: float, processor: str = "cpu_big") -> None:
        self.phone.begin(self)
        self.execution = self.phone.processor(processor).run(self, work_s, self._done)

    def _done(self) -> None:
        self.ended_s = self.phone._clock.now
        self.phone.end(self)


def build(
    spec: PhoneSpec,
    surroundings: Surroundings | None = None,
    charge: float = 1.0,
    governors: Mapping[str, Governor] | None = None,
    truth: Truth | None = None,
) -> tuple[Clock, Phone]:
    clock = Clock()
    phone = Phone(
        *(Ether(clock), "phone", spec, charge, (), surroundings or around()),
        governors or {},
        truth or Truth(),
    )
    return clock, phone


def at(clock: Clock, time_s: float, function: Callable[[], Any]) -> None:
    clock.call_at(time_s, Order.ARRIVAL, lambda _: function())


def booked(phone: Phone) -> dict[tuple[str, str], float]:
    rows: dict[tuple[str, str], float] = {}
    for component, activity, _, joules in phone.end_of_run(1.0).bookings:
        rows[component, activity] = rows.get((component, activity), 0.0) + joules
    return rows


# --- the phone with a Snapdragon 810 ---------------------------------------------------------------

VENDOR = Path(__file__).parents[2] / "../shared/data/phones/thermal/motoxforce_thermal-engine.conf"


@dataclass
class Throttling:
    """Each change of a processor's limits, with the temperatures at that moment."""

    phone: Phone
    processor: str
    changes: list[tuple[float, float, float, float, int]] = field(default_factory=list)

    def note(self) -> None:
        unit, thermal = self.phone.processor(self.processor), self.phone.thermal
        assert thermal is not None
        mhz = unit.spec.levels[unit.top].frequency_hz / 1e6
        row = (self.phone._clock.now, thermal.die_c, thermal.skin_c, mhz, unit.cores)
        if not self.changes or self.changes[-1][3:] != row[3:]:
            self.changes.append(row)


@cache
def _sustained() -> tuple[Throttling, Phone, Task]:
    clock, phone = build(shipped_phone("moto_x_force"), around(ambient_c=30.0))
    noted = Throttling(phone, "cpu_big")
    task = Task(phone)
    task.run(1e6)
    noted.note()
    phone.watch(noted.note)
    clock.run_until(3000)
    phone.look()
    return noted, phone, task


def test_sustained_load_loses_the_big_clusters_clock_as_the_vendors_table_says() -> None:
    noted, phone, _ = _sustained()
    assert phone.spec.thermal is not None
    profile = _catalogue().profile("moto_x_force")
    assert isinstance(profile, PhoneProfile)
    assert profile.thermal is not None
    mhz = [level.frequency_hz / 1e6 for level in phone.spec.processors["cpu_big"].levels]
    assert noted.changes[0][3:] == (pytest.approx(mhz[-1]), 4)
    rows = [row for row in profile.thermal.trips if row.processor == "cpu_big"]
    heating = [change for change in noted.changes[1:] if change[3] < mhz[-1]]
    assert len(heating) >= 1
    seen: set[float] = set()
    for before, after in zip(noted.changes, noted.changes[1:], strict=False):
        _, die_c, skin_c, top, cores = after
        if top > before[3] or cores > before[4]:
            continue
        reached = [
            row
            for row in rows
            if abs((skin_c if row.sensor == "skin" else die_c) - row.trip_c) < 1e-6
        ]
        assert reached, after
        for row in reached:
            if row.max_mhz is not None:
                assert top == max(each for each in mhz if each <= row.max_mhz)
                seen.add(row.trip_c)
            else:
                assert cores == row.max_cores
    assert 37 in seen
    assert phone.throttled_s > 0


def test_the_vendors_own_file_has_those_limits() -> None:
    if not VENDOR.exists():
        pytest.skip("the vendor's file is not part of the repository")
    blocks: dict[str, dict[str, list[str]]] = {}
    name = ""
    for line in VENDOR.read_text().splitlines():
        words = line.split("#")[0].split()
        if words and words[0].startswith("["):
            name = words[0].strip("[]")
            blocks[name] = {}
        elif words:
            blocks[name][words[0]] = words[1:]
    profile = _catalogue().profile("moto_x_force")
    assert isinstance(profile, PhoneProfile)
    assert profile.thermal is not None
    limits = {
        (int(trip) / 1000, int(clear) / 1000, int(info) / 1000)
        for block in blocks.values()
        if any("cluster1" in word.lower() for word in block.get("actions", []))
        for trip, clear, info in zip(
            block.get("thresholds", []),
            block.get("thresholds_clr", []),
            block.get("action_info", []),
            strict=False,
        )
    }
    ours = {
        (row.trip_c, row.clear_c, row.max_mhz)
        for row in profile.thermal.trips
        if row.processor == "cpu_big" and row.max_mhz is not None
    }
    assert ours
    assert ours <= limits


def test_throttling_ends_when_the_skin_has_cooled_to_where_the_table_says() -> None:
    clock, phone = build(shipped_phone("moto_x_force"), around(ambient_c=25.0))
    noted = Throttling(phone, "cpu_big")
    task = Task(phone)
    task.run(1e6)
    noted.note()
    phone.watch(noted.note)
    while phone.processor("cpu_big").top == len(phone.processor("cpu_big").spec.levels) - 1:
        clock.run_until(clock.now + 1.0)
        assert clock.now < 3000
    assert task.execution is not None
    phone.processor("cpu_big").cancel(task.execution)  # awake, but idle
    phone.look()
    throttled_from_s = noted.changes[-1][0]
    clock.run_until(clock.now + 3000)
    phone.look()
    end_s, _, skin_c, top, cores = noted.changes[-1]
    assert skin_c == pytest.approx(36.0, abs=1e-6)
    assert (top, cores) == (noted.changes[0][3], 4)
    assert phone.throttled_s == pytest.approx(end_s - throttled_from_s)
    phone.end(task)


# --- looked at or not ----------------------------------------------------------------------------

SMALL = PhoneSpec(
    profile="small",
    battery=BatterySpec(
        volts=tuple(3.4 + 0.009 * k for k in range(SEGMENTS)),
        charge_c=4000.0,
        resistance_ohm=0.15,
        resistance_factor=((-20.0, 10.0), (0.0, 2.0), (25.0, 1.0), (60.0, 0.8)),
        charging=(
            ChargingBand(0.0, ()),
            ChargingBand(30.0, ((4.2, 2.0), (4.4, 1.0))),
            ChargingBand(45.0, ((4.2, 1.0),)),
        ),
        end_current_a=0.05,
        charger_w=8.0,
    ),
    suspend_w=0.03,
    awake_w=0.4,
    wifi=QUIET_WIFI,
    processors={
        "cpu_big": ProcessorSpec(
            *("cpu_big", "cpu", (Level(1e9, 0.5), Level(2e9, 1.5))), cores=4, cluster_power_w=0.2
        ),
        "gpu": ProcessorSpec("gpu", "gpu", (Level(5e8, 2.0),)),
    },
    screen_on_w=0.5,
    screen_full_w=1.0,
    ram_bytes=2e9,
    thermal=ThermalSpec(
        *(4.0, 4.5, 40.0, 7.0),
        trips=(
            Trip("skin", 40.0, 38.0, "cpu_big", level=0),
            Trip("skin", 48.0, 44.0),
            Trip("die", 70.0, 60.0, "cpu_big", cores=2),
        ),
    ),
    memory_bps=1e10,
)
GAME = AppSpec("game", 0.5, 0.2, 5e8)


def _world(*, cold: bool = False) -> Surroundings:
    return around(
        app=steps((0, 0), (700, 1), (2500, 0), (9000, 1), (9500, 0)),
        screen=steps((0, 0), (300, 1), (2000, 0), (5000, 1), (5600, 0)),
        plugged=steps((0, 0), (3000, 1), (6000, 0)),
        ambient_c=steps((0, 25), (1000, -20 if cold else 33), (4000, 10), (7000, 30)),
        apps=(NO_APP, GAME),
        brightness=0.4,
    )


def _life(world: Surroundings, charge: float, looks_s: Sequence[float], until_s: float) -> Phone:
    clock, phone = build(SMALL, world, charge)
    for time_s in looks_s:
        at(clock, time_s, phone.look)
    clock.run_until(until_s)
    phone.look()
    return phone


def _state(phone: Phone) -> dict[str, float]:
    assert phone.thermal is not None
    end = phone.end_of_run(1.0)
    return {
        "die_c": phone.thermal.die_c,
        "skin_c": phone.thermal.skin_c,
        "charge": phone.battery.charge,
        "drawn_j": end.energy_drawn_j,
        "charged_j": end.energy_charged_j,
        "stored_j": end.stored_end_j,
        "peak_die_c": end.peak_die_c,
        "peak_skin_c": end.peak_skin_c,
        "throttled_s": end.throttled_s,
        "off_s": end.off_s,
        "is_on": float(phone.is_on),
    }


FLAT = (3.8,) * SEGMENTS


@pytest.mark.parametrize(
    ("volts", "factor"),
    [
        pytest.param(FLAT, (), id="one voltage and one resistance"),
        pytest.param(
            SMALL.battery.volts,
            (),
            id="a sloping curve",
        ),
        pytest.param(
            FLAT,
            SMALL.battery.resistance_factor,
            id="resistance by temperature",
        ),
    ],
)
def test_a_shutdown_by_heat_comes_at_its_temperature_looked_at_or_not(
    volts: tuple[float, ...], factor: tuple[tuple[float, float], ...]
) -> None:
    battery = replace(SMALL.battery, volts=volts, resistance_factor=factor)
    spec = replace(SMALL, battery=battery, screen_full_w=2.2)
    ends = []
    for every_s in (1e6, 61.7):
        clock, phone = build(spec, around(screen=1.0, brightness=1.0, ambient_c=30.0))
        for time_s in np.arange(every_s, 4000.0, every_s).tolist():
            at(clock, time_s, phone.look)
        clock.run_until(4000)
        phone.look()
        ends.append(_state(phone))
    assert ends[0] == pytest.approx(ends[1], rel=1e-9, abs=1e-9)
    assert ends[0]["peak_skin_c"] == pytest.approx(48.0, abs=1e-6)
    assert ends[0]["off_s"] > 0


def test_a_phone_that_is_left_in_the_cold_draws_no_more_than_it_holds() -> None:
    spec = replace(SMALL, screen_full_w=2.2)
    world = around(screen=1.0, brightness=1.0, ambient_c=steps((0, 25), (100, -20)))
    clock, phone = build(spec, world, 0.5)
    clock.run_until(4000)
    assert phone.end_of_run(0.5).off_s == pytest.approx(1814.45, abs=0.1)


@pytest.mark.parametrize("charge", [1.0, 0.6, 0.12])
@pytest.mark.parametrize("until_s", [2600.0, 10_000.0])
def test_a_phone_comes_to_the_same_however_often_it_is_looked_at(
    charge: float, until_s: float
) -> None:
    never = _state(_life(_world(), charge, [], until_s))
    often = _state(_life(_world(), charge, np.arange(7.3, until_s, 61.7).tolist(), until_s))
    assert often == pytest.approx(never, rel=1e-9, abs=1e-9)
    assert never["peak_skin_c"] > 40


@pytest.mark.parametrize("charge", [1.0, 0.12])
def test_a_phone_in_the_cold_comes_to_the_same_however_often_it_is_looked_at(
    charge: float,
) -> None:
    never = _state(_life(_world(cold=True), charge, [], 10_000.0))
    often = _state(_life(_world(cold=True), charge, np.arange(7.3, 1e4, 61.7).tolist(), 10_000.0))
    assert often == pytest.approx(never, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("charge", [1.0, 0.5, 0.1])
def test_a_phone_kept_awake_by_nothing_comes_to_the_same_as_one_at_rest(
    cold: bool, charge: float
) -> None:
    # The same watts, once by events and once caught up with at the end.
    spec = replace(SMALL, suspend_w=0.4)
    ends = []
    for is_awake in (True, False):
        clock, phone = build(spec, _world(cold=cold), charge)
        task = Task(phone)
        if is_awake:
            phone.begin(task)
        clock.run_until(10_000)
        phone.look()
        if phone.active:
            phone.end(task)
        ends.append(_state(phone))
    assert ends[0] == pytest.approx(ends[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("is_awake", [False, True])
@pytest.mark.parametrize("charge", [1.0, 0.6, 0.12])
def test_with_one_voltage_and_one_resistance_looks_and_wakefulness_change_nothing(
    charge: float, is_awake: bool
) -> None:
    battery = replace(SMALL.battery, volts=FLAT, resistance_factor=())
    spec = replace(SMALL, battery=battery, suspend_w=0.4)
    ends = []
    for is_looked_at in (False, True):
        clock, phone = build(spec, _world(), charge)
        task = Task(phone)
        if is_awake and not is_looked_at:
            phone.begin(task)
        for k in range(160 * is_looked_at):
            at(clock, 7.3 + 61.7 * k, phone.look)
        clock.run_until(10_000)
        phone.look()
        if phone.active:
            phone.end(task)
        ends.append(_state(phone))
    assert ends[0] == pytest.approx(ends[1], rel=1e-7, abs=1e-6)


def test_whoever_watches_changes_nothing() -> None:
    ends = []
    for is_watched in (True, False):
        clock, phone = build(SMALL, _world(), 0.6)
        heard: list[float] = []
        if is_watched:
            phone.watch(lambda heard=heard, phone=phone: heard.append(phone.battery.charge))
        task = Task(phone)
        at(clock, 100, lambda task=task: task.run(500.0))
        clock.run_until(10_000)
        phone.look()
        assert bool(heard) == is_watched
        ends.append((_state(phone), task.ended_s, task.energy_j))
    assert ends[0] == ends[1]


# --- a day, by hand ------------------------------------------------------------------------------

PLAIN = replace(SMALL, battery=ideal_battery(1e5), thermal=None)


def test_screen_and_app_draw_what_they_do_while_they_do() -> None:
    day = around(
        app=steps((0, 0), (4000, 1), (5000, 0)),
        screen=steps((0, 0), (1000, 1), (3000, 0)),
        apps=(NO_APP, GAME),
        brightness=0.4,
    )
    clock, phone = build(PLAIN, day)
    clock.run_until(20_000)
    # An app that asks for half of the CPU's time at the top clock gets it: 4 cores of 1.5 W, of
    # which 0.2 W is drawn once: 4 x 1.3 + 0.2 = 5.4 W.
    assert booked(phone) == {
        ("base", "awake"): pytest.approx(0.4 * 3000),
        ("base", "suspend"): pytest.approx(0.03 * 17_000),
        ("screen", "on"): pytest.approx((0.5 + 0.4 * 1.0) * 2000),
        ("cpu_big", "background"): pytest.approx(0.5 * 5.4 * 1000),
    }


def test_a_day_repeats_itself() -> None:
    day = around(screen=steps((0, 0), (8 * 3600, 1), (9 * 3600, 0), period_s=86_400))
    clock, phone = build(replace(PLAIN, battery=ideal_battery(1e6)), day)
    clock.run_until(3 * 86_400)
    assert booked(phone)["screen", "on"] == pytest.approx(3 * 3600 * (0.5 + 0.5))
    assert clock.events == 0


def test_a_charger_feeds_the_phone_by_day() -> None:
    day = around(plugged=steps((0, 0), (1000, 1), (2000, 0)))
    spec = replace(
        PLAIN,
        battery=BatterySpec(
            *((4.0,) * SEGMENTS, 10_000.0),
            charging=(ChargingBand(60.0, ((4.4, 1.0),)),),
            charger_w=10.0,
        ),
    )
    clock, phone = build(spec, day, 0.5)
    clock.run_until(3000)
    end = phone.end_of_run(0.5)
    # 1 A for 1000 s at 4 V on top of 0.03 W of the phone.
    assert end.energy_charged_j == pytest.approx(1000 * (4.0 + 0.03))
    # Two thousand seconds at 0.03 W on battery.
    assert end.charge_end == pytest.approx(0.5 + 1000 / 10_000 - 2000 * 0.03 / 4.0 / 10_000)


# --- off and on again ----------------------------------------------------------------------------


def test_an_empty_phone_fails_what_it_does_and_returns_when_it_is_charged() -> None:
    world = around(plugged=steps((0, 0), (5000, 1)))
    battery = replace(SMALL.battery, resistance_ohm=0.0)
    spec = replace(SMALL, thermal=None, battery=battery)
    clock, phone = build(spec, world, 0.05)
    task, heard = Task(phone), []
    phone.watch(lambda: heard.append((clock.now, phone.is_on)))
    task.run(1e6)
    clock.run_until(4999)
    phone.look()
    # 0.4 W of base and 5.4 W of the cluster, from the five lowest segments of 40 C each.
    off_s = sum(40.0 * volts / 5.8 for volts in battery.volts[:5])
    assert task.went_off == [(pytest.approx(off_s, rel=1e-6), BATTERY_EMPTY)]
    assert (phone.is_on, phone.off_reason, phone.meter.power_w) == (False, BATTERY_EMPTY, 0.0)
    clock.run_until(6000)
    phone.look()
    assert phone.is_on
    assert phone.off_reason == ""
    # 2 A into 120 C: three segments.
    back_s = 5000 + RESTART_CHARGE * 4000 / 2.0
    on_again = min(time_s for time_s, is_on in heard if is_on and time_s > off_s)
    assert on_again == pytest.approx(back_s, abs=1e-3)
    assert phone.off_s == pytest.approx(back_s - off_s, abs=1e-3)
    assert phone.meter.power_w == pytest.approx(0.03)
    again = Task(phone)
    again.run(1.0)
    clock.run_until(6010)
    assert again.ended_s == pytest.approx(6001.0)


def test_an_overheated_phone_goes_off_and_returns_when_it_is_cool() -> None:
    spec = replace(
        SMALL,
        battery=ideal_battery(1e6),
        thermal=replace(SMALL.thermal, trips=(Trip("skin", 48.0, 44.0),)),
    )
    clock, phone = build(spec, around(ambient_c=30.0))
    seen: list[tuple[float, bool, float]] = []

    def note() -> None:
        assert phone.thermal is not None
        if not seen or seen[-1][1] != phone.is_on:
            seen.append((clock.now, phone.is_on, phone.thermal.skin_c))

    phone.watch(note)
    task = Task(phone)
    task.run(1e6)
    clock.run_until(5000)
    phone.look()
    (on, off, back) = seen[:3] if seen[0][1] else [(0.0, True, 0.0), *seen[:2]]
    assert off[1:] == (False, pytest.approx(48.0, abs=1e-6))
    assert back[1:] == (True, pytest.approx(44.0, abs=1e-6))
    assert task.went_off == [(off[0], OVERHEATED)]
    assert phone.off_s == pytest.approx(back[0] - off[0])
    assert phone.is_on
    assert on[1]


def test_an_off_phone_draws_nothing_whatever_is_around_it() -> None:
    world = around(app=steps((0, 0), (100, 1)), screen=steps((0, 0), (100, 1)), apps=(NO_APP, GAME))
    clock, phone = build(PLAIN, world, 0.0)
    clock.run_until(10_000)
    end = phone.end_of_run(0.0)
    assert end.energy_drawn_j == 0
    assert end.off_s == 10_000
    assert phone.app is NO_APP


@given(
    script=st.lists(
        st.tuples(st.integers(1, 900), st.booleans(), st.integers(1, 200)), min_size=1, max_size=8
    ),
    charge=st.floats(0.02, 1),
    cold=st.booleans(),
)
@CHECK
def test_looks_in_between_change_nothing_for_a_phone_at_work(
    script: list[tuple[int, bool, int]], charge: float, cold: bool
) -> None:
    ends = []
    for is_looked_at in (False, True):
        clock, phone = build(SMALL, _world(cold=cold), charge)
        tasks: list[Task] = []

        def begin(work_s: float, phone: Phone = phone, tasks: list[Task] = tasks) -> None:
            phone.look()
            if phone.is_on:
                tasks.append(Task(phone))
                tasks[-1].run(work_s)

        time_s = 0.0
        for gap, works, work in script:
            time_s += gap * 1.013
            if works:
                at(clock, time_s, lambda work=work, begin=begin: begin(float(work)))
        if is_looked_at:
            for k in range(90):
                at(clock, 13.7 + 111.0 * k, phone.look)
        clock.run_until(10_000)
        phone.look()
        for task in list(phone.active):
            assert isinstance(task, Task)
            task.phone_went_off("end")
        state = _state(phone)
        ends.append(([round(task.energy_j, 6) for task in tasks], state))
    (energies_a, a), (energies_b, b) = ends
    assert energies_a == pytest.approx(energies_b, rel=1e-6, abs=1e-5)
    assert a == pytest.approx(b, rel=1e-7, abs=1e-5)


def test_each_of_several_trips_ends_at_its_own_temperature() -> None:
    trips = (
        Trip("skin", 40.0, 38.5, "cpu_big", level=0),
        Trip("skin", 41.0, 39.0, "cpu_big", cores=2),
    )
    assert SMALL.thermal is not None
    spec = replace(SMALL, battery=ideal_battery(1e6), thermal=replace(SMALL.thermal, trips=trips))
    clock, phone = build(spec, around(ambient_c=steps((0, 45), (2000, 20))))
    noted = Throttling(phone, "cpu_big")
    noted.note()
    phone.watch(noted.note)
    clock.run_until(6000)
    phone.look()
    assert [(mhz, cores) for _, _, _, mhz, cores in noted.changes] == [
        *((1000, 2), (1000, 4), (2000, 4)),  # it is hot from the start
    ]
    assert [skin_c for _, _, skin_c, _, _ in noted.changes[1:]] == [
        *(pytest.approx(39.0, abs=1e-6), pytest.approx(38.5, abs=1e-6)),
    ]


def test_an_app_runs_again_on_a_phone_that_has_come_back() -> None:
    world = around(app=1.0, plugged=steps((0, 0), (5000, 1)), apps=(NO_APP, GAME))
    battery = replace(SMALL.battery, resistance_ohm=0.0)
    clock, phone = build(replace(SMALL, thermal=None, battery=battery), world, 0.05)
    clock.run_until(4000)
    phone.look()
    assert (phone.is_on, phone.app, phone.meter.power_w) == (False, NO_APP, 0.0)
    assert phone.memory.free_bytes == 2e9
    clock.run_until(6000)
    phone.look()
    assert phone.app is GAME
    assert phone.memory.free_bytes == 1.5e9
    assert phone.meter.power_w == pytest.approx(0.4 + 0.5 * 5.4)
