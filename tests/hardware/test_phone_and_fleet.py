from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.errors import SimulationError
from edgesim.core.signals import ConstantBank
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.hardware.phone import BATTERY_EMPTY, Attachment, Phone
from edgesim.hardware.specs import PhoneSpec, ideal_battery
from edgesim.network.radio import Ether, Network, Route
from edgesim.network.wifi import WifiPower, access_point
from edgesim.nn.cost import Level, ProcessorSpec

CHECK = settings(derandomize=True, deadline=None, max_examples=60)

WIFI = WifiPower(
    streams=1,
    idle_w=0.02,
    receive_w=0.8,
    transmit_w=((-80.0, 2.0), (-60.0, 1.0)),
    tail_w=0.4,
    tail_s=0.5,
)
SPEC = PhoneSpec(
    profile="test_phone",
    battery=ideal_battery(100.0),
    suspend_w=0.03,
    awake_w=0.5,
    wifi=WIFI,
    processors={
        name: ProcessorSpec(name, name, (Level(1e9, watts),))
        for name, watts in (("cpu", 4.0), ("gpu", 2.0))
    },
)
SECOND_BYTES = 78e6 / 8
"""What the radio carries in a second at -50 dBm, 20 MHz, one stream, all of it payload."""


@dataclass(eq=False)
class Task:
    """Something that keeps a phone awake and gives up everything when it goes off."""

    phone: Phone
    job: str = "camera"
    energy_j: float = 0.0
    went_off_s: list[float] = field(default_factory=list)
    executions: list[tuple[str, Any]] = field(default_factory=list)

    def phone_went_off(self, reason: str) -> None:
        assert reason == self.phone.off_reason == BATTERY_EMPTY
        self.went_off_s.append(self.phone._clock.now)
        self.give_up()

    def give_up(self) -> None:
        for name, execution in self.executions:
            self.phone.processor(name).cancel(execution)
        self.phone.wifi.abort(self)
        self.phone.end(self)

    def tail_ended(self) -> None:
        pass

    def transferred(self) -> None:
        self.sent()

    def connection_lost(self) -> None:
        raise AssertionError("nothing is lost here")

    def send(
        self, size_bytes: float, sent: Callable[[], None] = lambda: None, *, up: bool = True
    ) -> None:
        self.sent = sent
        assert self.phone.connection is not None
        link = self.phone.connection.links[0]
        (link.send if up else link.receive)(self, size_bytes, "cloud")

    def run(self, processor: str, work_s: float, done: Callable[[], None] = lambda: None) -> None:
        execution = self.phone.processor(processor).run(self, work_s, done)
        self.executions.append((processor, execution))


def make_phone(clock: Clock, charge: float = 1.0, spec: PhoneSpec = SPEC) -> Phone:
    home = Attachment(home_of(clock, 1.0), ConstantBank([-50.0]).signal(0))
    return Phone(Ether(clock), "phone_0", spec, charge, [home])


def home_of(clock: Clock, goodput_ratio: float = 0.65) -> Network:
    network = access_point(clock, "home", 20, 1, goodput_ratio)
    network.routes["cloud"] = Route((), (), 0.0)
    return network


def booked(phone: Phone) -> dict[tuple[str, str, str], float]:
    phone.meter.audit()
    return {
        (component, activity, job): joules
        for component, activity, job, joules in phone.meter.bookings()
    }


def at(clock: Clock, time_s: float, function: Callable[[], Any]) -> None:
    clock.call_at(time_s, Order.ARRIVAL, lambda _: function())


# --- one phone -----------------------------------------------------------------------------------


def test_a_phone_sleeps_until_it_has_something_to_do() -> None:
    clock = Clock()
    phone = make_phone(clock)
    ann, bob = Task(phone, "a"), Task(phone, "b")
    assert phone.meter.power_w == pytest.approx(0.05)
    assert phone.base_power_share_w == 0.03
    at(clock, 1, lambda: phone.begin(ann))
    at(clock, 3, lambda: phone.begin(bob))
    at(clock, 4, lambda: phone.end(ann))
    at(clock, 6, lambda: phone.end(bob))
    clock.run_until(3.5)
    assert phone.meter.power_w == pytest.approx(0.52)
    assert phone.base_power_share_w == 0.25
    assert list(phone.active) == [ann, bob]
    clock.run_until(10)
    assert ann.energy_j == pytest.approx(0.5 * 2 + 0.5 * 1 / 2)
    assert bob.energy_j == pytest.approx(0.5 * 1 / 2 + 0.5 * 2)
    assert booked(phone) == {
        ("base", "awake", "a"): pytest.approx(1.25),
        ("base", "awake", "b"): pytest.approx(1.25),
        ("base", "suspend", "none"): pytest.approx(5 * 0.03),
        ("wifi", "idle", "none"): pytest.approx(10 * 0.02),
    }


def test_a_task_pays_for_all_that_it_uses() -> None:
    clock = Clock()
    phone = make_phone(clock)
    task = Task(phone)
    phone.begin(task)
    task.run("gpu", 2.0, lambda: task.send(SECOND_BYTES, lambda: phone.end(task)))
    clock.run_until(20)
    # 2 s on the GPU, 1 s on the air, awake for both; the tail after it costs no wakefulness.
    assert booked(phone) == {
        ("base", "awake", "camera"): pytest.approx(3 * 0.5),
        ("base", "suspend", "none"): pytest.approx(17 * 0.03),
        ("gpu", "compute", "camera"): pytest.approx(2 * 2.0),
        ("wifi", "transmit", "camera"): pytest.approx(1 * 1.0),
        ("wifi", "tail", "camera"): pytest.approx(0.5 * 0.4),
        ("wifi", "idle", "none"): pytest.approx(18.5 * 0.02),
    }
    assert task.energy_j == pytest.approx(1.5 + 4.0 + 1.0 + 0.2)
    phone.look()
    assert phone.battery.charge == pytest.approx(1 - phone.meter.drawn_j / 100)


def test_processors_work_side_by_side() -> None:
    clock = Clock()
    phone = make_phone(clock)
    ann, bob = Task(phone, "a"), Task(phone, "b")
    for task, processor in ((ann, "cpu"), (bob, "gpu")):
        phone.begin(task)
        task.run(processor, 2.0, lambda task=task: phone.end(task))
    clock.run_until(1)
    assert phone.meter.power_w == pytest.approx(0.5 + 4.0 + 2.0 + 0.02)
    clock.run_until(5)
    assert ann.energy_j == pytest.approx(2 * 4.0 + 2 * 0.25)
    assert bob.energy_j == pytest.approx(2 * 2.0 + 2 * 0.25)
    assert phone.end_of_run(1.0).busy_s == {"cpu": 2.0, "gpu": 2.0}


def test_a_processor_first_asked_for_late_has_been_idle_so_far() -> None:
    clock = Clock()
    phone = make_phone(clock)
    task = Task(phone)
    at(clock, 5, lambda: phone.begin(task))
    at(clock, 10, lambda: task.run("gpu", 1.0, lambda: phone.end(task)))
    clock.run_until(20)
    assert phone.processor("gpu") is phone.processor("gpu")
    assert booked(phone)["gpu", "compute", "camera"] == pytest.approx(2.0)
    assert booked(phone)["base", "awake", "camera"] == pytest.approx(6 * 0.5)
    assert phone.meter.drawn_j == pytest.approx(2.0 + 3.0 + 14 * 0.03 + 20 * 0.02)
    assert phone.end_of_run(1.0).busy_s == {"cpu": 0.0, "gpu": 1.0}


def test_nothing_that_a_phone_does_draws_more_than_its_peak() -> None:
    clock = Clock()
    phone = make_phone(clock)
    task = Task(phone)
    phone.begin(task)
    task.send(SECOND_BYTES)
    for name in SPEC.processors:
        task.run(name, 1.0)
    assert 0.8 * SPEC.peak_w < phone.meter.power_w <= SPEC.peak_w


def test_a_phone_at_work_goes_off_at_the_moment_its_battery_is_empty() -> None:
    clock = Clock()
    phone = make_phone(clock, charge=0.5)
    ann, bob = Task(phone, "a"), Task(phone, "b")
    ends: list[float] = []

    def begin() -> None:
        phone.begin(ann)
        ann.run("cpu", 100.0, lambda: ends.append(clock.now))
        phone.begin(bob)
        bob.send(100 * SECOND_BYTES, lambda: ends.append(clock.now), up=False)

    at(clock, 100, begin)
    clock.run_until(200)
    # 5 J in 100 s of sleep; then 0.5 + 4 + 0.8 W.
    off_s = 100 + 45 / 5.3
    assert ann.went_off_s == bob.went_off_s == [pytest.approx(off_s, rel=1e-9)]
    assert ends == []
    assert (phone.is_on, phone.meter.power_w, phone.active) == (False, 0, {})
    assert phone.meter.drawn_j == pytest.approx(50)
    assert phone.battery.charge == pytest.approx(0, abs=1e-8)
    seconds = 45 / 5.3
    assert ann.energy_j == pytest.approx(seconds * (4.0 + 0.25))
    assert bob.energy_j == pytest.approx(seconds * (0.8 + 0.25))
    assert booked(phone)["base", "suspend", "none"] == pytest.approx(3.0)


def test_a_phone_that_only_sleeps_goes_off_in_the_end() -> None:
    clock = Clock()
    phone = make_phone(clock, charge=0.01)  # 1 J at 0.05 W
    clock.run_until(20 - 1e-6)
    phone.look()
    assert phone.is_on
    clock.run_until(20 + 1e-6)
    phone.look()
    assert (phone.is_on, phone.off_reason) == (False, BATTERY_EMPTY)
    clock.run_until(1000)
    assert phone.meter.drawn_j == pytest.approx(1.0)
    assert booked(phone) == {
        ("base", "suspend", "none"): pytest.approx(0.6),
        ("wifi", "idle", "none"): pytest.approx(0.4),
    }


def test_a_phone_goes_off_in_the_tail_of_its_last_transfer() -> None:
    clock = Clock()
    phone = make_phone(clock, charge=0.0165)  # 1.65 J: 1.5 for a second's transfer
    task = Task(phone)
    phone.begin(task)
    task.send(SECOND_BYTES, lambda: phone.end(task))
    clock.run_until(10)
    assert not phone.is_on
    assert task.went_off_s == []
    tail_s = 0.15 / (0.4 + 0.03)
    assert booked(phone)["wifi", "tail", "camera"] == pytest.approx(0.4 * tail_s)
    assert phone.meter.drawn_j == pytest.approx(1.65)


def test_a_phone_built_after_it_would_have_died_of_idling_is_off() -> None:
    clock = Clock()
    clock.run_until(1000)
    phone = make_phone(clock, charge=0.01)
    phone.look()
    assert not phone.is_on
    assert (phone.meter.drawn_j, phone.meter.power_w) == (pytest.approx(1.0), 0)
    assert phone.battery.charge == pytest.approx(0, abs=1e-8)
    clock.run_until(2000)
    assert booked(phone) == {
        ("base", "suspend", "none"): pytest.approx(0.6),
        ("wifi", "idle", "none"): pytest.approx(0.4),
    }


def test_a_phone_built_late_has_idled_since_the_start() -> None:
    clock = Clock()
    clock.run_until(1000)
    phone = make_phone(clock)
    phone.look()
    assert phone.is_on
    assert phone.battery.charge == pytest.approx(0.5)
    task = Task(phone)
    phone.begin(task)
    task.run("cpu", 1.0, lambda: phone.end(task))
    clock.run_until(1001)
    clock.run_until(10_000)
    phone.look()
    # 50 J were left, 4.52 of them went into the task.
    assert not phone.is_on
    assert task.energy_j == pytest.approx(4.5)
    assert phone.meter.drawn_j == pytest.approx(100)


def test_a_phone_without_a_network_idles_its_wifi_all_the_same() -> None:
    clock = Clock()
    phone = Phone(Ether(clock), "phone_0", SPEC, 1.0)
    assert phone.connection is None
    clock.run_until(10)
    assert booked(phone)["wifi", "idle", "none"] == pytest.approx(0.2)


def test_a_phone_that_draws_nothing_asleep_never_dies_of_it() -> None:
    clock = Clock()
    spec = replace(SPEC, suspend_w=0.0, wifi=replace(WIFI, idle_w=0.0))
    phone = make_phone(clock, 1e-6, spec)
    clock.run_until(1e9)
    phone.look()
    assert phone.is_on
    assert phone.battery.charge == pytest.approx(1e-6)


def test_a_phone_that_runs_requests_with_long_rests_costs_the_battery_no_event_each() -> None:
    clock = Clock()
    spec = replace(SPEC, battery=ideal_battery(1e5))
    phone = make_phone(clock, spec=spec)
    for k in range(200):
        task = Task(phone)
        clock.run_until(10.0 * k)
        phone.begin(task)
        task.run("cpu", 0.01, lambda task=task: phone.end(task))
    clock.run_until(3000)
    assert clock.events <= 200 + 5


STEPS = st.tuples(
    st.integers(0, 60),
    st.one_of(
        st.tuples(st.sampled_from(["cpu", "gpu"]), st.integers(1, 40)),
        st.tuples(st.sampled_from(["send", "receive"]), st.integers(1, 40)),
        st.tuples(st.just("give up"), st.integers(0, 10)),
    ),
)


def _play(
    script: list[tuple[int, tuple[str, int]]], capacity_j: float
) -> tuple[Clock, Phone, list[Task], list[tuple[float, float, float]]]:
    """Run a script on a phone; also its changes of power: moment, joules so far and watts."""
    clock = Clock()
    phone = make_phone(clock, spec=replace(SPEC, battery=ideal_battery(capacity_j)))
    changes = [(0.0, 0.0, phone.meter.power_w)]
    phone.meter.watch(lambda: changes.append((clock.now, phone.meter.drawn_j, phone.meter.power_w)))
    tasks: list[Task] = []
    for gap, (what, number) in script:
        clock.run_until(clock.now + gap * 0.0713)
        if not phone.is_on:
            break
        if what == "give up":
            if number < len(tasks) and tasks[number] in phone.active:
                tasks[number].give_up()
            continue
        task = Task(phone, f"job_{len(tasks) % 2}")
        tasks.append(task)
        phone.begin(task)
        done = lambda task=task: phone.end(task)  # noqa: E731
        if what in ("cpu", "gpu"):
            task.run(what, number / 7, done)
        else:
            task.send(number / 7 * SECOND_BYTES, done, up=what == "send")
    clock.run_until(clock.now + 300)
    phone.look()
    return clock, phone, tasks, changes


@given(script=st.lists(STEPS, max_size=20), capacity_j=st.floats(0.5, 60))
@CHECK
def test_a_phone_goes_off_when_its_battery_says_and_its_books_are_in_order(
    script: list[tuple[int, tuple[str, int]]], capacity_j: float
) -> None:
    clock, phone, tasks, _ = _play(script, capacity_j)
    _, rich, _, changes = _play(script, 1e9)
    assert rich.is_on
    # On a battery that never ends, the joules reach the capacity at this moment.
    off_s = inf
    for (from_s, drawn_j, power_w), (to_s, _, _) in zip(
        changes, [*changes[1:], (inf, 0.0, 0.0)], strict=True
    ):
        if power_w and drawn_j + power_w * (to_s - from_s) > capacity_j:
            off_s = from_s + (capacity_j - drawn_j) / power_w
            break
    assert 0 <= phone.battery.charge <= 1
    rows = booked(phone)
    assert sum(rows.values()) == pytest.approx(phone.meter.drawn_j)
    if off_s < clock.now:
        assert not phone.is_on
        assert phone.meter.drawn_j == pytest.approx(capacity_j, abs=2e-6)
        for task in tasks:
            assert task.went_off_s in ([], [pytest.approx(off_s, rel=1e-9)])
    else:
        assert phone.is_on
        assert phone.meter.drawn_j <= capacity_j
    assert not phone.active
    for job in ("job_0", "job_1"):
        of_tasks = sum(task.energy_j for task in tasks if task.job == job)
        of_rows = sum(joules for (_, _, owner), joules in rows.items() if owner == job)
        assert of_rows == pytest.approx(of_tasks, abs=1e-9)


# --- the end of the battery ----------------------------------------------------------------------

PEAK_W = 10.0


class Load:
    """A phone on a battery of 100 J that draws what it is told to, and when it ran empty."""

    def __init__(self, power_w: float, *, charge: float = 1.0, resting: bool = False) -> None:
        self.clock = Clock()
        spec = PhoneSpec(
            profile="load",
            battery=ideal_battery(100.0),
            suspend_w=0.0,
            awake_w=0.0,
            wifi=replace(WIFI, idle_w=0.0, receive_w=0.0, transmit_w=((-80.0, 0.0),), tail_w=0.0),
            processors={"cpu": ProcessorSpec("cpu", "cpu", (Level(1e9, PEAK_W),))},
        )
        self.phone = Phone(Ether(self.clock), "phone", spec, charge)
        self.load = self.phone.meter.component("load", power_w, "on")
        self.task = Task(self.phone)
        self.empty: list[float] = []
        self.phone.watch(self._note)
        self.rest(resting)

    def _note(self) -> None:
        if not self.phone.is_on and not self.empty:
            self.empty.append(self.clock.now)

    def at(self, time_s: float, function: Callable[[], Any]) -> None:
        at(self.clock, time_s, function)

    def rest(self, resting: bool) -> None:
        self.phone.look()
        if self.phone.is_on and resting == bool(self.phone.active):
            (self.phone.end if resting else self.phone.begin)(self.task)

    def draw(self, power_w: float) -> None:
        self.phone.look()
        if self.phone.is_on:
            self.load.set(power_w, "on")

    def run_until(self, time_s: float) -> None:
        self.clock.run_until(time_s)
        self.phone.look()


@pytest.mark.parametrize("power_w", [0.01, 1.0, 3.0, PEAK_W])
@pytest.mark.parametrize("charge", [1.0, 0.37, 1e-3])
@pytest.mark.parametrize("resting", [True, False])
def test_a_constant_load_empties_a_phone_after_charge_over_watts(
    power_w: float, charge: float, resting: bool
) -> None:
    device = Load(power_w, charge=charge, resting=resting)
    end_s = 100 * charge / power_w
    device.run_until(0.999 * end_s)
    assert device.empty == []
    assert device.phone.battery.left_j == pytest.approx(0.1 * charge, rel=1e-6)
    device.run_until(2 * end_s)
    assert device.empty == [pytest.approx(end_s, rel=1e-9)]
    assert device.task.went_off_s == ([] if resting else device.empty)
    assert device.phone.meter.drawn_j == pytest.approx(100 * charge, rel=1e-9)
    assert device.phone.battery.left_j == pytest.approx(0, abs=1e-6)
    assert device.phone.off_s == pytest.approx(end_s)


def test_a_changing_load_empties_a_phone_when_the_joules_have_added_up() -> None:
    device = Load(1.0)
    for time_s, power_w in ((10, 5.0), (20, 0.5), (30, 10.0), (33, 2.0)):
        device.at(time_s, lambda power_w=power_w: device.draw(power_w))
    device.run_until(1000)
    # 10 + 50 + 5 + 30 J by 33 s, and 5 J more at 2 W.
    assert device.empty == [pytest.approx(35.5, rel=1e-9)]


def test_a_load_that_ceases_just_before_the_end_lets_it_live() -> None:
    device = Load(PEAK_W)
    device.at(9.999, lambda: device.draw(0.0))
    device.run_until(1e6)
    assert device.empty == []
    assert device.phone.battery.left_j == pytest.approx(0.01)
    device.draw(0.1)
    device.run_until(2e6)
    assert device.empty == [pytest.approx(1e6 + 0.1)]


def test_a_load_that_rises_in_the_last_second_brings_the_end_forward() -> None:
    device = Load(0.1, charge=0.09)  # 9 J: less than a second at the peak
    device.at(5, lambda: device.draw(PEAK_W))
    device.at(5.5, lambda: device.draw(1.0))
    device.run_until(1000)
    assert device.empty == [pytest.approx(5.5 + (9 - 0.5 - 5.0) / 1.0)]


def test_a_resting_phone_that_wakes_lasts_as_long_as_its_work_allows() -> None:
    device = Load(0.01, resting=True)
    device.at(1000, lambda: (device.rest(False), device.draw(5.0)))
    device.run_until(10_000)
    assert device.empty == [pytest.approx(1000 + 90 / 5)]


def test_a_phone_that_goes_back_to_rest_lasts_as_long_as_its_rest_allows() -> None:
    device = Load(0.01, resting=True)
    device.at(1000, lambda: (device.rest(False), device.draw(5.0)))
    device.at(1010, lambda: (device.draw(0.01), device.rest(True)))
    device.run_until(100_000)
    assert device.empty == [pytest.approx(1010 + 40 / 0.01)]


@pytest.mark.parametrize("resting", [True, False])
def test_without_load_a_phone_lasts_for_ever(resting: bool) -> None:
    device = Load(0.0, resting=resting)
    device.run_until(1e6)
    assert device.empty == []
    assert device.clock.events <= 1e6 / (100 / PEAK_W) * (not resting)


def test_a_phone_that_starts_empty_is_off_from_the_start() -> None:
    device = Load(1.0, charge=0.0, resting=True)
    device.run_until(10)
    assert (device.phone.is_on, device.phone.off_reason) == (False, BATTERY_EMPTY)
    assert device.phone.battery.charge == 0
    assert device.phone.off_s == 10


def test_a_phone_that_is_off_and_draws_all_the_same_is_found_out() -> None:
    device = Load(5.0)
    device.run_until(1000)
    assert len(device.empty) == 1
    device.load.set(3.0, "ghost")
    device.run_until(2000)
    assert len(device.empty) == 1
    with pytest.raises(SimulationError, match=r"phone: .* J more were drawn than the battery held"):
        device.phone.end_of_run(1.0)


def test_a_phone_that_has_gone_back_to_rest_costs_one_event_in_all_its_life() -> None:
    device = Load(0.001)
    device.clock.run_until(1)
    device.rest(True)
    device.clock.run_until(200_000)
    device.phone.look()
    assert device.empty == [pytest.approx(100_000)]
    assert device.clock.events <= 1


def test_a_busy_phone_costs_few_events_however_often_its_power_changes() -> None:
    device = Load(0.0)
    for k in range(2000):
        device.clock.run_until(k * 0.01)
        device.load.set(PEAK_W * (k % 2) * 0.5, "on")
    device.phone.look()
    assert device.empty == []
    assert device.phone.battery.left_j == pytest.approx(50, abs=0.1)
    assert device.clock.events <= 10


@given(
    steps=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 100)), max_size=40),
    charge=st.floats(0.001, 1),
    awake=st.lists(st.booleans(), min_size=40, max_size=40),
)
@CHECK
def test_a_phone_runs_empty_exactly_when_the_integral_says(
    steps: list[tuple[int, int]], charge: float, awake: list[bool]
) -> None:
    device = Load(0.05, charge=charge, resting=True)
    left_j, power_w, expected = 100 * charge, 0.05, inf
    for (gap, tenths), is_awake in zip([*steps, (10**6, 0)], [*awake, True], strict=False):
        gap_s, now_s = gap * 0.01371, device.clock.now
        if expected == inf and power_w * gap_s > left_j:
            expected = now_s + left_j / power_w
        left_j -= power_w * gap_s
        device.run_until(now_s + gap_s)
        assert bool(device.empty) == (expected < inf)
        assert 0 <= device.phone.battery.charge <= 1
        assert device.phone.battery.left_j == pytest.approx(max(left_j, 0.0), abs=2e-6)
        power_w = tenths / 10
        device.rest(not is_awake)
        device.draw(power_w)
    assert device.empty == ([pytest.approx(expected, rel=1e-9)] if expected < inf else [])


# --- the fleet -----------------------------------------------------------------------------------


def group(
    clock: Clock, name: str, charges: Sequence[float], *, wifi: bool = True, spec: PhoneSpec = SPEC
) -> PhoneGroup:
    network = home_of(clock)
    signals = ConstantBank([-50.0 - i for i in range(len(charges))])
    return PhoneGroup(
        name=name,
        devices=[f"{name}_{i}" for i in range(len(charges))],
        spec=spec,
        charge=np.array(charges, np.float64),
        attachments=lambda i: [Attachment(network, signals.signal(i))] if wifi else [],
        networks=[network] if wifi else [],
    )


def test_phones_are_numbered_by_the_names_of_their_groups() -> None:
    clock = Clock()
    b, a, c = (group(clock, name, [1.0] * n) for name, n in (("b", 2), ("a", 3), ("c", 0)))
    fleet, shuffled = Fleet(Ether(clock), [b, a, c]), Fleet(Ether(clock), [c, a, b])
    assert len(fleet) == len(shuffled) == 5
    names = ["a_0", "a_1", "a_2", "b_0", "b_1"]
    assert [fleet.device(row) for row in range(5)] == names
    assert [shuffled.device(row) for row in range(5)] == names
    assert (fleet.rows("a"), fleet.rows("b"), fleet.rows("c")) == (
        *(range(3), range(3, 5)),
        range(5, 5),
    )
    assert fleet.group_of(4) == (b, 1)
    assert fleet.group_of(0) == (a, 0)


def test_a_phone_is_built_once_when_it_first_acts() -> None:
    clock = Clock()
    told: list[str] = []
    fleet = Fleet(
        Ether(clock),
        [group(clock, "a", [1.0, 0.5, 0.2])],
        lambda phone, group: told.append(phone.name),
    )
    assert list(fleet.built()) == []
    last, first = fleet.phone(2), fleet.phone(0)
    assert fleet.phone(2) is last
    assert list(fleet.built()) == [first, last]
    assert told == ["a_2", "a_0"]
    assert last.battery.charge == pytest.approx(0.2)
    assert last.connection is not None
    assert last.connection.links[0].rssi.value(0) == -52.0
    assert clock.events == 0


@pytest.mark.parametrize("wifi", [True, False])
@pytest.mark.parametrize("built_s", [0.0, 10.0, 450.0, 999.0])
@pytest.mark.parametrize("spec", [SPEC, replace(SPEC, suspend_w=0.0)], ids=["leaky", "tight"])
def test_an_idle_phone_comes_to_the_same_whether_it_was_built_or_not(
    wifi: bool, built_s: float, spec: PhoneSpec
) -> None:
    clock = Clock()
    charges = [1.0, 0.61, 0.3, 0.005, 1e-7, 0.0]
    fleets = [
        Fleet(Ether(clock), [group(clock, "a", charges, wifi=wifi, spec=spec)]) for _ in range(2)
    ]
    clock.run_until(built_s)
    for row in range(len(charges)):
        fleets[0].phone(row)
    for time_s in (1000.0, 5000.0):
        clock.run_until(time_s)
        for built, never in zip(fleets[0].ends(), fleets[1].ends(), strict=True):
            _assert_same(built, never)
            assert 0 <= never.charge_end <= never.charge_start
    assert len(list(fleets[1].built())) == 0


def _assert_same(one: DeviceEnd, other: DeviceEnd) -> None:
    assert (one.device, one.profile, one.charge_start) == (
        *(other.device, other.profile),
        other.charge_start,
    )
    assert one.busy_s == other.busy_s == {"cpu": 0.0, "gpu": 0.0}
    # Whoever runs empty does so within the battery's own microjoule.
    assert one.energy_drawn_j == pytest.approx(other.energy_drawn_j, rel=1e-9, abs=1.1e-6)
    assert one.charge_end == pytest.approx(other.charge_end, abs=1.1e-8)
    assert [row[:3] for row in one.bookings] == [row[:3] for row in other.bookings]
    assert [row[3] for row in one.bookings] == pytest.approx(
        [row[3] for row in other.bookings], rel=1e-9, abs=1.1e-6
    )
    for end in (one, other):
        assert sum(row[3] for row in end.bookings) == pytest.approx(end.energy_drawn_j)


def test_a_phone_that_never_acts_costs_no_event() -> None:
    clock = Clock()
    fleet = Fleet(Ether(clock), [group(clock, "a", [0.5] * 1000)])
    clock.run_until(1e6)
    ends = list(fleet.ends())
    assert clock.events == 0
    assert len(ends) == 1000
    assert all(end.charge_end == pytest.approx(0, abs=1e-12) for end in ends)
    assert ends[7].device == "a_7"


def test_the_ends_of_a_fleet_are_in_order_whoever_acted() -> None:
    clock = Clock()
    fleet = Fleet(Ether(clock), [group(clock, "a", [1.0] * 4)])
    phone = fleet.phone(2)
    task = Task(phone)
    phone.begin(task)
    task.run("cpu", 1.0, lambda: phone.end(task))
    clock.run_until(10)
    ends = list(fleet.ends())
    assert [end.device for end in ends] == ["a_0", "a_1", "a_2", "a_3"]
    assert [end.busy_s["cpu"] for end in ends] == [0, 0, 1, 0]
    assert ends[2].energy_drawn_j == pytest.approx(ends[1].energy_drawn_j + 4.0 + 0.47)
    assert ends[2].charge_end == pytest.approx(1 - ends[2].energy_drawn_j / 100)
