from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock
from edgesim.core.errors import SimulationError
from edgesim.core.power import NOBODY, Meter, PowerState

CHECK = settings(derandomize=True, deadline=None, max_examples=100)


@dataclass(eq=False)
class Someone:
    job: str = "camera"
    energy_j: float = 0.0


def booked(meter: Meter) -> dict[tuple[str, str, str], float]:
    return {
        (component, activity, job): joules for component, activity, job, joules in meter.bookings()
    }


def make(power_w: float = 0.0) -> tuple[Clock, Meter, PowerState]:
    clock = Clock()
    meter = Meter(clock, "phone")
    return clock, meter, meter.component("cpu", power_w, "idle")


def test_power_is_integrated_exactly_between_changes() -> None:
    clock, meter, cpu = make(0.5)
    radio = meter.component("wifi", 0.25, "idle")
    assert meter.power_w == 0.75
    clock.run_until(2)
    cpu.set(3.0, "compute")
    clock.run_until(3)
    assert meter.drawn_j == 1.5 + 3.25
    radio.set(1.0, "transmit")
    radio.set(2.0, "receive")  # at the same moment: the first one cost nothing
    clock.run_until(7)
    cpu.set(0.5, "idle")
    clock.run_until(8)
    assert meter.power_w == 2.5
    assert meter.drawn_j == 1.5 + 3.25 + 4 * 5.0 + 2.5
    meter.audit()
    assert booked(meter) == {
        ("cpu", "idle", NOBODY): 0.5 * 2 + 0.5 * 1,
        ("cpu", "compute", NOBODY): 3.0 * 5,
        ("wifi", "idle", NOBODY): 0.25 * 3,
        ("wifi", "receive", NOBODY): 2.0 * 5,
    }


def test_users_share_the_joules_evenly_while_they_are_there() -> None:
    clock, meter, cpu = make(0.5)
    ann, bob = Someone("a"), Someone("b")
    clock.run_until(1)
    ann_mark = cpu.join()
    cpu.set(4.0, "compute")
    clock.run_until(3)
    bob_mark = cpu.join()
    clock.run_until(6)
    cpu.leave(ann, ann_mark, "compute")
    clock.run_until(7)
    cpu.leave(bob, bob_mark, "compute")
    cpu.set(0.5, "idle")
    clock.run_until(9)
    assert ann.energy_j == 4.0 * 2 + 4.0 * 3 / 2
    assert bob.energy_j == 4.0 * 3 / 2 + 4.0
    meter.audit()
    assert booked(meter) == {
        ("cpu", "compute", "a"): 14.0,
        ("cpu", "compute", "b"): 10.0,
        ("cpu", "idle", NOBODY): 0.5 + 1.0,
    }


def test_a_user_that_books_midway_goes_on_as_a_user() -> None:
    clock, meter, cpu = make(2.0)
    ann, bob = Someone("a"), Someone("b")
    ann_mark, bob_mark = cpu.join(), cpu.join()
    clock.run_until(1)
    ann_mark = cpu.book(ann, ann_mark, "upload")
    assert ann.energy_j == 1.0
    clock.run_until(4)
    cpu.leave(ann, ann_mark, "tail")
    cpu.leave(bob, bob_mark, "compute")
    assert (ann.energy_j, bob.energy_j) == (4.0, 4.0)
    assert booked(meter) == {
        ("cpu", "upload", "a"): 1.0,
        ("cpu", "tail", "a"): 3.0,
        ("cpu", "compute", "b"): 4.0,
    }
    meter.audit()


def test_what_a_user_owes_can_be_asked_without_booking_it() -> None:
    clock, meter, cpu = make()
    ann, bob = Someone("a"), Someone("b")
    mark = cpu.join(4.0, "compute")
    assert cpu.due_j(mark) == 0.0
    clock.run_until(2)
    assert cpu.due_j(mark) == 8.0
    bobs = cpu.join()
    clock.run_until(3)
    assert (cpu.due_j(mark), cpu.due_j(bobs)) == (10.0, 2.0)
    assert (ann.energy_j, bob.energy_j, booked(meter)) == (0.0, 0.0, {})
    cpu.leave(ann, mark, "compute")
    assert ann.energy_j == 10.0
    cpu.leave(bob, bobs, "compute", 0.0, "idle")
    meter.audit()


def test_joining_booking_and_leaving_may_change_the_power_from_then_on() -> None:
    clock, meter, cpu = make(0.5)
    ann, bob = Someone("a"), Someone("b")
    clock.run_until(1)
    ann_mark = cpu.join(2.0, "receive")
    assert (meter.power_w, cpu.activity) == (2.0, "receive")
    clock.run_until(3)
    bob_mark = cpu.join(6.0, "transmit")
    clock.run_until(4)
    ann_mark = cpu.book(ann, ann_mark, "receive", 4.0, "both")
    assert (meter.power_w, cpu.activity, ann.energy_j) == (4.0, "both", 2 * 2.0 + 6.0 / 2)
    clock.run_until(5)
    cpu.leave(bob, bob_mark, "transmit", 1.0, "tail")
    assert (meter.power_w, cpu.activity, bob.energy_j) == (1.0, "tail", 6.0 / 2 + 4.0 / 2)
    clock.run_until(7)
    cpu.leave(ann, ann_mark, "tail", 0.5, "idle")
    clock.run_until(8)
    meter.audit()
    assert booked(meter) == {
        ("cpu", "idle", NOBODY): 1.0,
        ("cpu", "receive", "a"): 7.0,
        ("cpu", "tail", "a"): 2.0 + 2 * 1.0,
        ("cpu", "transmit", "b"): 5.0,
    }
    assert meter.drawn_j == 17.0


def test_a_small_part_keeps_its_digits_after_large_ones() -> None:
    clock, _, cpu = make(1e9)
    giant, dwarf = Someone("giant"), Someone("dwarf")
    mark = cpu.join()
    clock.run_until(3)
    cpu.leave(giant, mark, "compute", 0.0, "idle")
    mark = cpu.join(1e-9, "listen")
    clock.run_until(4)
    cpu.leave(dwarf, mark, "listen", 0.0, "idle")
    assert (giant.energy_j, dwarf.energy_j) == (3e9, 1e-9)


def test_one_job_is_booked_in_one_row_however_many_of_its_users_leave() -> None:
    clock, meter, cpu = make(1.0)
    users = [Someone("x") for _ in range(5)]
    for end_s, user in enumerate(users, start=1):
        mark = cpu.join()
        clock.run_until(end_s)
        cpu.leave(user, mark, "compute")
    assert booked(meter) == {("cpu", "compute", "x"): 5.0}
    assert [user.energy_j for user in users] == [1.0] * 5


def test_what_nobody_asked_for_belongs_to_nobody_under_the_present_activity() -> None:
    clock, meter, cpu = make(1.0)
    clock.run_until(2)
    cpu.set(1.0, "spin")  # the watts stay, the name changes
    clock.run_until(5)
    meter.settle()
    assert NOBODY == "none"
    assert booked(meter) == {("cpu", "idle", "none"): 2.0, ("cpu", "spin", "none"): 3.0}


def test_a_component_that_draws_nothing_is_not_in_the_ledger() -> None:
    clock, meter, _ = make(0.0)
    clock.run_until(5)
    meter.audit()
    assert meter.bookings() == []
    assert meter.drawn_j == 0


def test_bookings_are_sorted_by_name() -> None:
    clock, meter, _ = make(1.0)
    for name in ("wifi", "base"):
        meter.component(name, 1.0, "idle")
    clock.run_until(1)
    meter.settle()
    assert [row[0] for row in meter.bookings()] == ["base", "cpu", "wifi"]


def test_a_component_draws_from_when_it_is_added_also_in_a_past_that_is_revisited() -> None:
    clock = Clock()
    clock.run_until(10)
    clock.revisit(4.0, 10.0)
    meter = Meter(clock, "phone", since_s=4.0)
    meter.component("base", 1.0, "suspend")
    meter.component("wifi", 0.5, "idle")
    clock.revisit(10.0, 10.0)
    assert meter.drawn_j == 9.0
    assert meter.since_s == 4.0
    clock.run_until(12)
    assert meter.drawn_j == 12.0
    meter.component("late", 100.0, "idle")
    assert meter.since_s == 12.0
    assert meter.drawn_j == 12.0
    meter.audit()
    assert booked(meter) == {("base", "suspend", "none"): 8.0, ("wifi", "idle", "none"): 4.0}


def test_components_of_one_name_keep_books_of_what_each_does() -> None:
    clock, meter, cpu = make(1.0)
    other = meter.component("cpu", 0.0, "background")
    clock.run_until(1)
    cpu.set(2.0, "compute")
    other.set(0.5, "background")
    clock.run_until(3)
    assert list(meter.watts) == [2.0, 0.5]
    meter.audit()
    assert booked(meter) == {
        ("cpu", "idle", "none"): 1.0,
        ("cpu", "compute", "none"): 4.0,
        ("cpu", "background", "none"): 1.0,
    }


def test_the_supply_hears_of_every_stretch_of_constant_watts_once_and_in_order() -> None:
    clock = Clock()
    told: list[tuple[list[float], float, float]] = []

    class Told:
        def elapse(self, watts: Sequence[float], power_w: float, seconds: float) -> None:
            told.append((list(watts), power_w, seconds))

    meter = Meter(clock, "phone", supply=Told())
    cpu = meter.component("cpu", 1.0, "idle")
    wifi = meter.component("wifi", 0.25, "idle")
    clock.run_until(2)
    cpu.set(3.0, "compute")
    cpu.set(3.5, "compute")  # at the same moment: no stretch
    clock.run_until(5)
    wifi.set(0.25, "idle")  # the same watts: no change
    meter.bring_up_to_date()
    meter.bring_up_to_date()
    clock.run_until(6)
    meter.switch_off()
    clock.run_until(7)
    meter.bring_up_to_date()
    assert told == [
        ([1.0, 0.25], 1.25, 2.0),
        ([3.5, 0.25], 3.75, 3.0),
        ([3.5, 0.25], 3.75, 1.0),
        ([0.0, 0.0], 0.0, 1.0),
    ]
    assert meter.drawn_j == 2.5 + 4 * 3.75


def test_watchers_hear_every_change_of_the_total_until_they_are_let_go() -> None:
    clock, meter, cpu = make(1.0)
    heard: list[float] = []

    def watcher() -> None:
        heard.append(meter.power_w)

    meter.watch(watcher)
    cpu.set(2.0, "compute")
    cpu.set(2.0, "spin")  # the same watts: no change
    clock.run_until(1)
    cpu.set(3.0, "compute")
    meter.switch_off()
    assert heard == [2.0, 3.0, 0.0]
    meter.unwatch(watcher)
    cpu.set(1.0, "idle")
    assert heard == [2.0, 3.0, 0.0]


def test_a_device_switched_off_draws_nothing_more() -> None:
    clock, meter, cpu = make(1.0)
    meter.component("wifi", 0.5, "idle")
    clock.run_until(2)
    cpu.set(3.0, "compute")
    clock.run_until(4)
    meter.switch_off()
    clock.run_until(100)
    assert (meter.power_w, meter.drawn_j) == (0, 2.0 + 6.0 + 2.0)
    meter.audit()
    assert sum(booked(meter).values()) == 10.0


def test_the_audit_names_the_device_that_has_unbooked_joules() -> None:
    clock, meter, cpu = make(2.0)
    user = Someone()
    mark = cpu.join()
    clock.run_until(1)
    with pytest.raises(SimulationError, match=r"phone: 2\.0 J were drawn, but 0.* J were booked"):
        meter.audit()
    cpu.leave(user, mark, "compute")
    meter.audit()


@pytest.mark.parametrize("lost_j", [2e-6, -2e-6])
def test_the_audit_sees_a_billionth(lost_j: float) -> None:
    clock, meter, cpu = make(1.0)
    clock.run_until(1000)
    user = Someone()
    cpu.leave(user, cpu.join() - lost_j, "compute")  # a false mark
    with pytest.raises(SimulationError):
        meter.audit()


USERS = 4
STEPS = st.tuples(
    st.integers(0, 300),
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 2), st.integers(0, 40)),
        st.tuples(
            st.sampled_from(["toggle", "book"]), st.integers(0, 2), st.integers(0, USERS - 1)
        ),
        st.tuples(st.just("settle"), st.just(0), st.just(0)),
    ),
)


def _play(
    script: list[tuple[int, tuple[str, int, int]]], extra_settles: bool
) -> tuple[Meter, list[Someone], list[float], float]:
    """Play a script; beside the meter: the users, their joules and the total by plain sums."""
    clock = Clock()
    meter = Meter(clock, "phone")
    states = [meter.component(name, 0.1 * i, "idle") for i, name in enumerate(["a", "b", "c"])]
    users = [Someone(f"job_{i % 3}") for i in range(USERS)]
    marks: dict[tuple[int, int], float] = {}
    owed, total = [0.0] * USERS, 0.0
    for gap, (what, component, number) in script:
        gap_s = gap / 7
        for i, state in enumerate(states):
            present = [u for u in range(USERS) if (i, u) in marks]
            total += state.power_w * gap_s
            for u in present:
                owed[u] += state.power_w * gap_s / len(present)
        if extra_settles:
            clock.run_until(clock.now + gap_s / 3)
            meter.settle()
            clock.run_until(clock.now + gap_s / 3)
            meter.settle()
            clock.run_until(clock.now + gap_s / 3)
        else:
            clock.run_until(clock.now + gap_s)
        state, key = states[component], (component, number)
        if what == "set":
            state.set(number / 9, f"level_{number % 3}")
        elif what == "settle":
            meter.settle()
        elif what == "book" and key in marks:
            marks[key] = state.book(users[number], marks[key], "part")
        elif what == "toggle" and key in marks:
            state.leave(users[number], marks.pop(key), "whole")
        elif what == "toggle":
            marks[key] = state.join()
    for (component, number), mark in marks.items():
        states[component].leave(users[number], mark, "whole")
    return meter, users, owed, total


@given(script=st.lists(STEPS, max_size=40))
@CHECK
def test_every_joule_drawn_is_booked_to_whoever_was_there(
    script: list[tuple[int, tuple[str, int, int]]],
) -> None:
    meter, users, owed, total = _play(script, extra_settles=False)
    meter.audit()
    rows = booked(meter)
    assert meter.drawn_j == pytest.approx(total, rel=1e-11, abs=1e-11)
    assert sum(rows.values()) == pytest.approx(total, rel=1e-11, abs=1e-11)
    assert [user.energy_j for user in users] == pytest.approx(owed, rel=1e-9, abs=1e-9)
    for job in ("job_0", "job_1", "job_2"):
        of_users = sum(user.energy_j for user in users if user.job == job)
        of_rows = sum(joules for (_, _, owner), joules in rows.items() if owner == job)
        assert of_rows == pytest.approx(of_users, rel=1e-11, abs=1e-11)


@given(script=st.lists(STEPS, max_size=40))
@CHECK
def test_settling_in_between_changes_nothing(
    script: list[tuple[int, tuple[str, int, int]]],
) -> None:
    plain, users, _, _ = _play(script, extra_settles=False)
    settled, same_users, _, _ = _play(script, extra_settles=True)
    plain.audit()
    settled.audit()
    assert settled.drawn_j == pytest.approx(plain.drawn_j, rel=1e-11, abs=1e-11)
    energies = [user.energy_j for user in users]
    assert [user.energy_j for user in same_users] == pytest.approx(energies, rel=1e-9, abs=1e-9)
    assert booked(settled).keys() == booked(plain).keys()
    for key, joules in booked(plain).items():
        assert booked(settled)[key] == pytest.approx(joules, rel=1e-9, abs=1e-9)


def test_several_who_are_one_user_to_the_rest_pay_even_parts_of_its_share() -> None:
    clock, meter, cpu = make()
    ann, bob, cleo = Someone("a"), Someone("b"), Someone("c")
    together, alone = cpu.join(6.0, "compute"), cpu.join()
    clock.run_until(2)
    together = cpu.book_among([ann, bob, bob], together, "compute")
    clock.run_until(3)
    cpu.book_among([ann, bob, bob], together, "compute")
    cpu.leave(cleo, alone, "compute")
    assert (ann.energy_j, bob.energy_j, cleo.energy_j) == (3.0, 6.0, 9.0)
    assert booked(meter)["cpu", "compute", "b"] == 6.0
    assert meter.drawn_j == 18.0
