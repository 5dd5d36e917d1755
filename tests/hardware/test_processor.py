from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.power import Meter
from edgesim.hardware.processor import Execution, Processor
from edgesim.nn.cost import Level, ProcessorSpec

CHECK = settings(derandomize=True, deadline=None, max_examples=80)


@dataclass(eq=False)
class Someone:
    job: str = "camera"
    energy_j: float = 0.0


@dataclass
class Bench:
    """A processor of 6 W on a device of its own, and when its executions ended."""

    slots: int | None = None
    clock: Clock = field(default_factory=Clock)
    ends: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.meter = Meter(self.clock, "phone")
        spec = ProcessorSpec("gpu", "gpu", (Level(1e9, 6.0),), slots=self.slots)
        self.processor = Processor(self.clock, self.meter, spec)

    def run(self, user: Someone, work_s: float, name: str = "") -> Execution:
        return self.processor.run(
            user, work_s, lambda: self.ends.__setitem__(name or user.job, self.clock.now)
        )

    def at(self, time_s: float, function: Callable[[], Any]) -> None:
        self.clock.call_at(time_s, Order.ARRIVAL, lambda _: function())


def test_one_execution_takes_its_time_at_full_power() -> None:
    bench, ann = Bench(), Someone()
    bench.at(1, lambda: bench.run(ann, 2.5))
    bench.clock.run_until(10)
    assert bench.ends == {"camera": 3.5}
    assert ann.energy_j == 6.0 * 2.5
    assert bench.processor.busy_s == 2.5
    assert bench.meter.drawn_j == 15.0
    assert bench.meter.bookings() == [("gpu", "compute", "camera", 15.0)]
    bench.meter.audit()


def test_two_that_share_take_longer_and_pay_half_each_while_both_are_there() -> None:
    bench, ann, bob = Bench(), Someone("a"), Someone("b")
    bench.run(ann, 3)
    bench.at(1, lambda: bench.run(bob, 1))
    bench.clock.run_until(10)
    # a alone for 1 s, both for 2 s, a alone again for the last of its three.
    assert bench.ends == {"b": 3.0, "a": 4.0}
    assert (ann.energy_j, bob.energy_j) == (6.0 * 1 + 6.0 * 2 / 2 + 6.0 * 1, 6.0 * 2 / 2)
    assert bench.processor.busy_s == 4.0
    bench.meter.audit()


def test_slots_serve_at_full_speed_each_for_its_part_of_the_power() -> None:
    bench = Bench(slots=3)
    ann, bob = Someone("a"), Someone("b")
    bench.run(ann, 2)
    bench.run(bob, 1)
    assert bench.meter.power_w == 4.0
    bench.clock.run_until(1.5)
    assert bench.meter.power_w == 2.0
    bench.clock.run_until(10)
    assert bench.ends == {"a": 2.0, "b": 1.0}
    assert (ann.energy_j, bob.energy_j) == (4.0, 2.0)
    bench.meter.audit()


def test_without_a_free_slot_one_waits_in_line_and_costs_nothing() -> None:
    bench = Bench(slots=2)
    users = [Someone(name) for name in "abcd"]
    for user, work_s in zip(users, (4.0, 1.0, 2.0, 1.0), strict=True):
        bench.run(user, work_s)
    bench.clock.run_until(0.5)
    assert (bench.processor.capacity.in_service, bench.processor.capacity.waiting) == (2, 2)
    bench.clock.run_until(10)
    assert bench.ends == {"a": 4.0, "b": 1.0, "c": 3.0, "d": 4.0}
    assert [user.energy_j for user in users] == [12.0, 3.0, 6.0, 3.0]
    assert bench.meter.drawn_j == 24.0
    assert bench.processor.busy_s == 4.0
    bench.meter.audit()


def test_cancelling_books_the_cost_so_far_and_speeds_up_the_others() -> None:
    bench, ann, bob = Bench(), Someone("a"), Someone("b")
    execution = bench.run(ann, 3)
    bench.run(bob, 3)
    bench.at(2, lambda: bench.processor.cancel(execution))
    bench.clock.run_until(10)
    assert bench.ends == {"b": 4.0}
    assert (ann.energy_j, bob.energy_j) == (6.0, 6.0 + 12.0)
    bench.meter.audit()


def test_cancelling_one_that_waits_costs_nothing() -> None:
    bench = Bench(slots=1)
    ann, bob, eve = (Someone(name) for name in "abe")
    bench.run(ann, 2)
    waiting = bench.run(bob, 2)
    bench.run(eve, 2)
    bench.at(1, lambda: bench.processor.cancel(waiting))
    bench.clock.run_until(10)
    assert bench.ends == {"a": 2.0, "e": 4.0}
    assert bob.energy_j == 0
    assert bench.meter.drawn_j == 24.0
    bench.meter.audit()


def test_cancelling_the_last_one_leaves_the_processor_idle() -> None:
    bench, ann = Bench(), Someone()
    execution = bench.run(ann, 3)
    bench.at(1, lambda: bench.processor.cancel(execution))
    bench.clock.run_until(2)
    assert bench.meter.power_w == 0
    bench.processor.cancel(execution)  # once more changes nothing
    bench.clock.run_until(10)
    assert bench.processor.busy_s == 1.0
    assert bench.ends == {}
    assert ann.energy_j == 6.0
    bench.meter.audit()


def test_one_that_ends_may_cancel_another_that_ends_at_the_same_moment() -> None:
    bench, ann, bob = Bench(), Someone("a"), Someone("b")
    executions: list[Execution] = []
    bench.processor.run(ann, 1, lambda: bench.processor.cancel(executions[0]))
    executions.append(bench.run(bob, 1))
    bench.clock.run_until(3)
    assert bench.ends == {}
    # The books must be in order afterwards, too.
    eve = Someone("e")
    bench.run(eve, 1)
    bench.clock.run_until(10)
    assert bench.ends == {"e": 4.0}
    assert (ann.energy_j, bob.energy_j, eve.energy_j) == (6.0, 6.0, 6.0)
    bench.meter.audit()


def test_settling_books_midway_and_changes_nothing_else() -> None:
    bench, ann, bob = Bench(), Someone("a"), Someone("b")
    bench.run(ann, 3)
    bench.run(bob, 1)
    bench.clock.run_until(1)
    bench.processor.settle()
    assert (ann.energy_j, bob.energy_j) == (3.0, 3.0)
    bench.meter.audit()
    bench.clock.run_until(10)
    assert bench.ends == {"b": 2.0, "a": 4.0}
    assert (ann.energy_j, bob.energy_j) == (18.0, 6.0)
    bench.meter.audit()


def test_settling_leaves_out_those_that_wait() -> None:
    bench, ann, bob = Bench(slots=1), Someone("a"), Someone("b")
    bench.run(ann, 3)
    bench.run(bob, 1)
    bench.clock.run_until(1)
    bench.processor.settle()
    assert (ann.energy_j, bob.energy_j) == (6.0, 0.0)
    bench.meter.audit()


def test_the_next_in_line_takes_over_without_a_gap_in_the_power() -> None:
    bench = Bench(slots=1)
    heard: list[float] = []
    bench.meter.watch(lambda: heard.append(bench.meter.power_w))
    for name in "abc":
        bench.run(Someone(name), 1.0)
    bench.clock.run_until(10)
    assert heard == [6.0, 0.0]
    assert bench.processor.busy_s == 3.0


def test_a_new_execution_may_start_as_the_last_one_ends() -> None:
    bench, ann = Bench(), Someone("a")
    bench.processor.run(ann, 1, lambda: bench.run(ann, 2) and None)
    bench.clock.run_until(10)
    assert bench.ends == {"a": 3.0}
    assert ann.energy_j == 18.0
    assert bench.processor.busy_s == 3.0
    bench.meter.audit()


def test_the_busy_time_counts_up_to_now() -> None:
    bench = Bench()
    bench.at(1, lambda: bench.run(Someone(), 5))
    for time_s, busy_s in ((1, 0), (3, 2), (6, 5), (8, 5)):
        bench.clock.run_until(time_s)
        assert bench.processor.busy_s == busy_s


def test_no_work_is_done_at_once_and_for_nothing() -> None:
    bench, ann = Bench(), Someone()
    bench.run(ann, 0.0)
    bench.clock.run_until(1)
    assert bench.ends == {"camera": 0.0}
    assert (ann.energy_j, bench.meter.drawn_j, bench.meter.power_w) == (0, 0, 0)


STEPS = st.tuples(
    st.integers(0, 40),
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 50)),
        st.tuples(st.just("cancel"), st.integers(0, 15)),
        st.tuples(st.just("settle"), st.just(0)),
    ),
)


@given(script=st.lists(STEPS, max_size=30), slots=st.sampled_from([None, 1, 2, 3]))
@CHECK
def test_every_joule_belongs_to_who_was_served(
    script: list[tuple[int, tuple[str, int]]], slots: int | None
) -> None:
    bench = Bench(slots=slots)
    users: list[Someone] = []
    executions: list[Execution] = []
    busy_s = drawn_j = 0.0
    seen = [0.0, 0.0]  # moment and watts since the last change

    def changed() -> None:
        nonlocal busy_s, drawn_j
        now_s = bench.clock.now
        busy_s += (now_s - seen[0]) * (seen[1] > 0)
        drawn_j += (now_s - seen[0]) * seen[1]
        seen[:] = [now_s, bench.meter.power_w]

    bench.meter.watch(changed)
    for gap, (what, number) in script:
        bench.clock.run_until(bench.clock.now + gap * 0.1371)
        if what == "run":
            users.append(Someone(f"job_{len(users) % 3}"))
            executions.append(bench.run(users[-1], number / 9, str(len(users))))
        elif what == "cancel" and number < len(executions):
            bench.processor.cancel(executions[number])
        elif what == "settle":
            bench.processor.settle()
            bench.meter.audit()
        served = bench.processor.capacity.in_service
        assert bench.meter.power_w == pytest.approx(
            6.0 * (served > 0 if slots is None else served / slots)
        )
    bench.clock.run()
    assert bench.meter.power_w == 0
    bench.meter.audit()
    assert bench.meter.drawn_j == pytest.approx(drawn_j)
    assert bench.processor.busy_s == pytest.approx(busy_s)
    assert sum(user.energy_j for user in users) == pytest.approx(drawn_j)
    if slots is not None:
        for name, end_s in bench.ends.items():
            assert end_s >= 0
            work_s = [n for _, (what, n) in script if what == "run"][int(name) - 1] / 9
            assert users[int(name) - 1].energy_j == pytest.approx(6.0 / slots * work_s)
