"""A camera's seconds and joules, against hand calculation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.errors import SimulationError
from edgesim.hardware.camera import (
    MACS_PER_PIXEL,
    Capture,
    Development,
    developing_cpu,
)
from edgesim.hardware.catalogue import shipped
from edgesim.hardware.phone import BATTERY_EMPTY, Phone
from edgesim.hardware.processor import Governor
from edgesim.hardware.specs import CameraSpec, PhoneSpec, ideal_battery
from edgesim.network.radio import Ether
from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import Level, ProcessorSpec

CHECK = settings(derandomize=True, deadline=None, max_examples=100)
OPTICS = shipped().phone("lg_g7").camera.optics  # type: ignore[union-attr]
CAMERA = CameraSpec(
    pixels=10e6, power_w=2.0, open_s=0.5, frame_s=0.25, isp_pixels_per_s=80e6, optics=OPTICS
)
ISP_S = 0.125
"""What the ISP takes for one picture of 10 megapixels."""
SPEC = PhoneSpec(
    profile="test_phone",
    battery=ideal_battery(1000.0),
    suspend_w=0.03,
    awake_w=0.5,
    wifi=WifiPower(1, 0.02, 0.8, ((-80.0, 2.0), (-60.0, 1.0)), 0.4, 0.5),
    processors={
        "big": ProcessorSpec(
            "big",
            "cpu",
            (Level(1e9, 0.5), Level(2e9, 2.0)),
            cores=4,
            macs_per_cycle={"fp32": 8.0},
            cluster_power_w=0.4,
        ),
        "gpu": ProcessorSpec("gpu", "gpu", (Level(5e9, 2.0),), macs_per_cycle={"fp32": 64.0}),
    },
    camera=CAMERA,
)


@dataclass(eq=False)
class Person:
    """Somebody who has pictures taken."""

    phone: Phone
    job: str
    energy_j: float = 0.0
    done_s: list[float] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    captures: list[Capture] = field(default_factory=list)
    went_off_s: float = inf

    def take(self, pictures: int = 1, **how: Any) -> None:
        if self not in self.phone.active:
            self.phone.begin(self)
        self.captures.append(self.phone.camera.take(self, pictures, self._done, **how))

    def _done(self) -> None:
        self.done_s.append(self.phone.clock.now)
        self.phone.end(self)

    def tail_ended(self) -> None:
        self.ended_s.append(self.phone.clock.now)

    def give_up(self) -> None:
        self.captures[-1].cancel()
        self.phone.end(self)

    def phone_went_off(self, reason: str) -> None:
        assert reason == BATTERY_EMPTY
        self.went_off_s = self.phone.clock.now
        self.give_up()


def new(spec: PhoneSpec = SPEC, charge: float = 1.0) -> tuple[Clock, Phone]:
    clock = Clock()
    return clock, Phone(Ether(clock), "phone", spec, charge)


def at(clock: Clock, time_s: float, function: Callable[[], Any]) -> None:
    clock.call_at(time_s, Order.ARRIVAL, lambda _: function())


def of_camera(phone: Phone) -> dict[tuple[str, str], float]:
    """What has been booked to the camera; all books must balance."""
    phone.camera.settle()
    end = phone.end_of_run(1.0)
    assert sum(joules for *_, joules in end.bookings) == pytest.approx(end.energy_drawn_j, rel=1e-9)
    return {
        (activity, job): joules
        for component, activity, job, joules in end.bookings
        if component == "camera"
    }


def test_a_single_picture_from_a_closed_camera() -> None:
    clock, phone = new()
    ann = Person(phone, "a")
    at(clock, 1.0, ann.take)
    clock.run_until(1.2)
    assert phone.meter.power_w == pytest.approx(2.0 + 0.5 + 0.02)
    clock.run_until(10.0)
    assert ann.done_s == [pytest.approx(1.0 + 0.5 + 0.25 + ISP_S)]
    assert ann.ended_s == []
    assert phone.camera.tail_user is None
    assert of_camera(phone) == {
        ("open", "a"): pytest.approx(2.0 * 0.5),
        ("capture", "a"): pytest.approx(2.0 * 0.25),
        ("isp", "a"): pytest.approx(2.0 * ISP_S),
    }
    assert ann.captures[0].energy_j == pytest.approx(2.0 * (0.75 + ISP_S))
    assert ann.energy_j == pytest.approx(2.5 * (0.75 + ISP_S))


def test_without_the_isp_it_is_free_after_its_frames_and_pixels_are_the_isps_business() -> None:
    clock, phone = new()
    raw, small = Person(phone, "raw"), Person(phone, "small")
    at(clock, 0.0, lambda: raw.take(3, on_isp=False, pixels=1e9))
    at(clock, 5.0, lambda: small.take(2, pixels=1e6))
    clock.run_until(10.0)
    assert raw.done_s == [pytest.approx(0.5 + 3 * 0.25)]
    assert small.done_s == [pytest.approx(5.0 + 0.5 + 2 * 0.25 + 2 / 80)]
    assert of_camera(phone)["capture", "raw"] == pytest.approx(2.0 * 0.75)


def test_two_in_line_are_served_one_after_another_and_each_pays_for_its_own() -> None:
    clock, phone = new()
    ann, bob = Person(phone, "a"), Person(phone, "b")
    at(clock, 0.0, lambda: ann.take(2, keep_open_s=9.0))
    at(clock, 0.1, bob.take)
    clock.run_until(20.0)
    ann_s = 0.5 + 2 * (0.25 + ISP_S)
    assert ann.done_s == [pytest.approx(ann_s)]
    assert bob.done_s == [pytest.approx(ann_s + 0.25 + ISP_S)]
    assert of_camera(phone) == {
        ("open", "a"): pytest.approx(2.0 * 0.5),
        ("capture", "a"): pytest.approx(2.0 * 2 * 0.25),
        ("isp", "a"): pytest.approx(2.0 * 2 * ISP_S),
        ("capture", "b"): pytest.approx(2.0 * 0.25),
        ("isp", "b"): pytest.approx(2.0 * ISP_S),
    }


def test_a_series_is_one_chain_of_events() -> None:
    events = []
    for pictures in (1, 1000):
        clock, phone = new(replace(SPEC, battery=ideal_battery(1e6)))
        ann = Person(phone, "a")
        at(clock, 0.0, lambda ann=ann, n=pictures: ann.take(n))
        clock.run_until(400.0)
        assert ann.done_s == [pytest.approx(0.5 + pictures * (0.25 + ISP_S))]
        events.append(clock.events)
    assert events[0] == events[1]


def test_a_camera_kept_open_needs_no_opening_and_costs_whoever_wanted_that() -> None:
    clock, phone = new()
    ann, bob = Person(phone, "a"), Person(phone, "b")
    at(clock, 0.0, lambda: ann.take(keep_open_s=3.0))
    at(clock, 2.0, lambda: bob.take(keep_open_s=1.5))
    clock.run_until(2.1)
    assert ann.ended_s == [2.0]
    assert phone.camera.tail_user is None
    clock.run_until(3.0)
    assert phone.camera.tail_user is bob
    assert phone.camera.tail_left_j(bob) == pytest.approx(2.0 * 1.5)
    assert phone.camera.tail_left_j(ann) == 0.0
    clock.run_until(20.0)
    took_s = 0.25 + ISP_S
    assert bob.done_s == [pytest.approx(2.0 + took_s)]
    assert bob.ended_s == [pytest.approx(2.0 + took_s + 1.5)]
    assert of_camera(phone) == {
        ("open", "a"): pytest.approx(2.0 * (0.5 + (2.0 - 0.5 - took_s))),
        ("capture", "a"): pytest.approx(2.0 * 0.25),
        ("isp", "a"): pytest.approx(2.0 * ISP_S),
        ("open", "b"): pytest.approx(2.0 * 1.5),
        ("capture", "b"): pytest.approx(2.0 * 0.25),
        ("isp", "b"): pytest.approx(2.0 * ISP_S),
    }
    assert ann.captures[0].energy_j == pytest.approx(2.0 * (0.5 + took_s))


def test_its_own_tail_goes_on_paying() -> None:
    clock, phone = new()
    ann = Person(phone, "a")
    at(clock, 0.0, lambda: ann.take(on_isp=False, keep_open_s=3.0))
    at(clock, 2.0, lambda: ann.take(on_isp=False))
    clock.run_until(20.0)
    assert ann.done_s == [0.75, 2.25]
    assert ann.ended_s == []
    assert of_camera(phone) == {
        ("open", "a"): pytest.approx(2.0 * (0.5 + 1.25)),
        ("capture", "a"): pytest.approx(2.0 * 0.5),
    }


def test_a_tail_that_nobody_ends_closes_the_camera_and_the_next_opens_it_again() -> None:
    clock, phone = new()
    ann, bob = Person(phone, "a"), Person(phone, "b")
    at(clock, 0.0, lambda: ann.take(on_isp=False, keep_open_s=1.0))
    at(clock, 4.0, lambda: bob.take(on_isp=False))
    clock.run_until(1.5)
    assert phone.meter.power_w == pytest.approx(2.0 + 0.03 + 0.02)  # the phone itself may sleep
    clock.run_until(3.0)
    assert ann.ended_s == [1.75]
    assert phone.meter.power_w == pytest.approx(0.05)
    clock.run_until(20.0)
    assert bob.done_s == [4.75]
    assert of_camera(phone)["open", "a"] == pytest.approx(2.0 * (0.5 + 1.0))


def test_the_end_of_the_run_settles_a_tail() -> None:
    clock, phone = new()
    ann = Person(phone, "a")
    at(clock, 0.0, lambda: ann.take(on_isp=False, keep_open_s=100.0))
    clock.run_until(10.0)
    phone.camera.settle()
    assert ann.ended_s == [10.0]
    assert of_camera(phone)["open", "a"] == pytest.approx(2.0 * (10.0 - 0.25))


@pytest.mark.parametrize(
    ("gives_up_s", "booked"),
    [
        (0.2, {("open", "a"): 0.4}),
        (0.6, {("open", "a"): 1.0, ("capture", "a"): 0.2}),
        (0.8, {("open", "a"): 1.0, ("capture", "a"): 0.5, ("isp", "a"): 0.1}),
    ],
)
def test_who_gives_up_has_paid_so_far_and_the_camera_closes(
    gives_up_s: float, booked: dict[tuple[str, str], float]
) -> None:
    clock, phone = new()
    ann = Person(phone, "a")
    at(clock, 0.0, lambda: ann.take(keep_open_s=5.0))
    at(clock, gives_up_s, ann.give_up)
    clock.run_until(gives_up_s + 0.01)
    assert phone.meter.power_w == pytest.approx(0.05)
    assert phone.camera.tail_user is None
    clock.run_until(20.0)
    assert ann.done_s == []
    assert of_camera(phone) == {key: pytest.approx(joules) for key, joules in booked.items()}
    assert ann.captures[0].energy_j == pytest.approx(sum(booked.values()))


@pytest.mark.parametrize(("gives_up_s", "bob_s"), [(0.2, 0.75), (0.6, 0.85)])
def test_the_next_in_line_takes_over_an_open_camera_or_one_that_opens(
    gives_up_s: float, bob_s: float
) -> None:
    clock, phone = new()
    ann, bob, cid = (Person(phone, name) for name in "abc")
    at(clock, 0.0, ann.take)
    at(clock, 0.1, cid.take)
    at(clock, 0.1, lambda: bob.take(on_isp=False))
    at(clock, 0.15, cid.give_up)  # from the middle of the line
    at(clock, gives_up_s, ann.give_up)
    clock.run_until(20.0)
    assert cid.done_s == []
    assert bob.done_s == [pytest.approx(bob_s)]
    found = of_camera(phone)
    assert sum(found.values()) == pytest.approx(2.0 * bob_s)
    assert sum(joules for (_, job), joules in found.items() if job == "b") == pytest.approx(
        2.0 * (bob_s - gives_up_s)
    )
    assert not any(job == "c" for _, job in found)


def test_a_phone_that_dies_closes_its_camera_and_everybody_has_paid() -> None:
    spec = replace(SPEC, battery=ideal_battery(2.52))
    clock, phone = new(spec)
    ann, bob = Person(phone, "a"), Person(phone, "b")
    at(clock, 0.0, lambda: ann.take(100))
    at(clock, 0.0, lambda: bob.take(keep_open_s=1.0))
    clock.run_until(50.0)
    # Empty after a second: camera 2 W, awake 0.5 W, Wi-Fi 0.02 W.
    assert ann.went_off_s == bob.went_off_s == pytest.approx(1.0)
    assert ann.done_s == bob.done_s == []
    assert phone.meter.power_w == 0.0
    assert of_camera(phone) == {
        ("open", "a"): pytest.approx(1.0),
        ("capture", "a"): pytest.approx(1.0),
        ("capture", "b"): pytest.approx(0.0, abs=1e-12),
    }


def test_a_phone_that_dies_in_a_tail_books_it() -> None:
    spec = replace(SPEC, battery=ideal_battery(2.0))
    clock, phone = new(spec)
    ann = Person(phone, "a")
    at(clock, 0.0, lambda: ann.take(on_isp=False, keep_open_s=100.0))
    clock.run_until(50.0)
    off_s = 0.75 + (2.0 - 0.75 * 2.52) / 2.05
    assert ann.ended_s == [pytest.approx(off_s)]
    assert phone.meter.power_w == 0.0
    assert sum(of_camera(phone).values()) == pytest.approx(2.0 * off_s)


def test_a_phone_without_a_camera_says_so() -> None:
    _, phone = new(replace(SPEC, camera=None))
    with pytest.raises(SimulationError, match="has no camera"):
        Person(phone, "a").take()


# --- on the CPU ----------------------------------------------------------------------------------


def test_developing_on_a_cpu_takes_what_its_formula_says() -> None:
    big = SPEC.processors["big"]
    task = Development(2 * 10e6)
    assert task.seconds(big, 1, 4) == (pytest.approx(20e6 * 174 / (8 * 2e9 * 4)), 0.0)
    assert task.seconds(big, 0, 2) == (pytest.approx(20e6 * 174 / (8 * 1e9 * 2)), 0.0)
    assert task.traffic_bytes == 20e6 * 5
    assert task.seconds(replace(big, macs_per_cycle={}), 1, 4)[0] == inf


def test_the_formula_gives_the_n900_what_its_authors_measured() -> None:
    cortex_a8 = ProcessorSpec("cpu", "cpu", (Level(600e6, 0.5),), macs_per_cycle={"fp32": 2.0})
    seconds, _ = Development(2592 * 1968).seconds(cortex_a8, 0, 1)
    assert seconds == pytest.approx(0.741, rel=0.01)
    assert MACS_PER_PIXEL == 174


def test_the_cluster_that_develops_is_the_one_of_the_highest_clock() -> None:
    big = SPEC.processors["big"]
    little = replace(big, name="little", levels=(Level(1.5e9, 0.2),))
    blind = replace(big, name="prime", levels=(Level(3e9, 3.0),), macs_per_cycle={"int8": 32.0})
    processors = {"big": big, "gpu": SPEC.processors["gpu"], "little": little, "prime": blind}
    assert developing_cpu(processors, {}) == "big"
    assert developing_cpu(processors, {"big": Governor("powersave")}) == "little"
    assert developing_cpu(processors, {"big": Governor("fixed", 1)}) == "big"
    assert developing_cpu({"prime": blind, "gpu": processors["gpu"]}, {}) == ""


# --- whatever happens ----------------------------------------------------------------------------

DEMANDS = st.lists(
    st.tuples(
        st.floats(0.0, 5.0),  # when
        st.integers(1, 4),  # pictures
        st.booleans(),  # on the ISP
        st.sampled_from([0.0, 0.3, 2.0]),  # kept open
        st.one_of(st.none(), st.floats(0.0, 2.0)),  # given up after
    ),
    max_size=6,
)


@CHECK
@given(demands=DEMANDS)
def test_whatever_happens_the_books_balance_and_pictures_come_in_turn(demands: list[Any]) -> None:
    clock, phone = new()
    people = []
    for number, (time_s, *_, patience_s) in enumerate(demands):
        person = Person(phone, f"job_{number}")
        people.append(person)

        def take(person: Person = person, demand: Any = demands[number]) -> None:
            person.take(demand[1], on_isp=demand[2], keep_open_s=demand[3])

        def give_up(person: Person = person) -> None:
            if not person.done_s:
                person.give_up()

        at(clock, time_s, take)
        if patience_s is not None:
            at(clock, time_s + patience_s, give_up)
    clock.run_until(60.0)
    found = of_camera(phone)
    by_job = {person.job: 0.0 for person in people}
    for (_, job), joules in found.items():
        by_job[job] += joules  # nobody's joules there would be a KeyError
    assert phone.meter.power_w == pytest.approx(0.05)
    order = sorted(range(len(demands)), key=lambda k: demands[k][0])
    done = [people[k].done_s[0] for k in order if people[k].done_s]
    assert done == sorted(done)
    for person, (_, pictures, on_isp, *_) in zip(people, demands, strict=True):
        if person.done_s:
            least_j = 2.0 * pictures * (0.25 + ISP_S * on_isp)
            assert person.captures[0].energy_j >= least_j * (1.0 - 1e-9)
            assert by_job[person.job] >= person.captures[0].energy_j * (1.0 - 1e-9)


@CHECK
@given(demands=DEMANDS, pictures=st.integers(1, 3), on_isp=st.booleans())
def test_a_forecast_is_what_comes_of_it_if_nobody_comes_later(
    demands: list[Any], pictures: int, on_isp: bool
) -> None:
    clock, phone = new()
    for number, (time_s, n, isp, keep_open_s, _) in enumerate(demands):
        person = Person(phone, f"job_{number}")
        at(
            clock,
            time_s,
            lambda p=person, n=n, i=isp, k=keep_open_s: p.take(n, on_isp=i, keep_open_s=k),
        )
    last = Person(phone, "last")
    foreseen = []

    def ask() -> None:
        foreseen.append(phone.camera.forecast(pictures, on_isp=on_isp, pixels=5e6, keep_open_s=0.7))
        last.take(pictures, on_isp=on_isp, pixels=5e6, keep_open_s=0.7)

    at(clock, 5.5, ask)
    clock.run_until(60.0)
    found = of_camera(phone)
    assert last.done_s == [pytest.approx(foreseen[0][0], rel=1e-12)]
    spent_j = sum(joules for (_, job), joules in found.items() if job == "last")
    assert spent_j == pytest.approx(foreseen[0][1], rel=1e-9)


def test_a_phone_whose_camera_is_kept_open_is_not_at_rest() -> None:
    spec = replace(SPEC, battery=ideal_battery(20.0))
    clock, phone = new(spec)
    ann = Person(phone, "a")
    at(clock, 0.0, lambda: ann.take(on_isp=False, keep_open_s=1000.0))
    clock.run_until(500.0)
    assert not phone.is_on
    assert ann.ended_s == [pytest.approx(0.75 + (20.0 - 0.75 * 2.52) / 2.05)]
