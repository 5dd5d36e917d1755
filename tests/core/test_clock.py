from collections.abc import Generator
from math import inf, nan
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.errors import SimulationError

CHECK = settings(derandomize=True, deadline=None, max_examples=100)
ORDERS = [Order.WEATHER, Order.SUPPLY, Order.COMPLETION, Order.ARRIVAL]


def test_the_orders_are_weather_supply_completion_arrival_after_simpys_own() -> None:
    assert sorted(ORDERS) == ORDERS
    assert len(set(ORDERS)) == 4
    assert simpy.events.NORMAL < Order.WEATHER


@given(calls=st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.2, 7.0]), st.sampled_from(ORDERS))))
@CHECK
def test_calls_come_by_time_then_order_then_as_scheduled(calls: list[tuple[float, int]]) -> None:
    clock = Clock()
    seen: list[int] = []
    for index, (time_s, order) in enumerate(calls):
        clock.call_at(time_s, order, seen.append, index)
    clock.run_until(10)
    assert seen == sorted(range(len(calls)), key=lambda i: (*calls[i], i))


def test_a_simpy_process_sees_the_world_before_anything_of_that_moment() -> None:
    clock = Clock()
    seen: list[str] = []

    def process() -> Generator[simpy.Event, Any, None]:
        yield clock.timeout(1)
        seen.append("process")
        yield clock.timeout(0)
        seen.append("process again")

    for order in reversed(ORDERS):
        clock.call_at(1, order, seen.append, str(order))
    clock.process(process())
    clock.run_until(2)
    assert seen == ["process", "process again", *map(str, ORDERS)]


def test_what_a_call_schedules_for_the_same_moment_still_happens_in_order() -> None:
    clock = Clock()
    seen: list[str] = []

    def first(_: object) -> None:
        clock.call_at(1, Order.ARRIVAL, seen.append, "arrival")
        clock.call_at(1, Order.WEATHER, seen.append, "late weather")
        clock.call_at(1, Order.COMPLETION, seen.append, "completion")

    clock.call_at(1, Order.SUPPLY, first)
    clock.call_at(1, Order.COMPLETION, seen.append, "earlier completion")
    clock.run_until(1.5)
    assert seen == ["late weather", "earlier completion", "completion", "arrival"]


def test_a_process_that_a_call_wakes_goes_before_other_calls_of_that_moment() -> None:
    clock = Clock()
    seen: list[str] = []
    gate = clock.event()

    def process() -> Generator[simpy.Event, Any, None]:
        yield gate
        seen.append("process")

    def first(_: object) -> None:
        clock.call_at(1, Order.WEATHER, seen.append, "weather")
        gate.succeed()

    clock.process(process())
    clock.call_at(1, Order.WEATHER, first)
    clock.run_until(2)
    assert seen == ["process", "weather"]


def test_a_call_comes_at_exactly_the_moment_asked_for() -> None:
    clock = Clock()
    times = [k * 0.1 for k in range(1, 200)] + [1 / 3, 1e-300, 123456.789]
    seen: list[float] = []
    for time_s in times:
        clock.call_at(time_s, Order.ARRIVAL, lambda _: seen.append(clock.now))
    clock.run_until(1e6)
    assert seen == sorted(times)


def test_run_until_leaves_the_events_of_its_end_to_the_next_run() -> None:
    clock = Clock()
    seen: list[float] = []
    for time_s in (0.0, 1.0, 2.0):
        clock.call_at(time_s, Order.WEATHER, seen.append, time_s)
    clock.run_until(1)
    assert (seen, clock.now) == ([0.0], 1.0)
    clock.run_until(1)
    assert seen == [0.0]
    clock.run_until(1.5)
    assert (seen, clock.now) == ([0.0, 1.0], 1.5)
    clock.run_until(3)
    assert (seen, clock.now) == ([0.0, 1.0, 2.0], 3.0)


def test_simpy_processes_and_calls_share_the_clock() -> None:
    clock = Clock()
    log: list[tuple[float, str]] = []
    gate = clock.event()

    def sleeper() -> Generator[simpy.Event, Any, None]:
        yield clock.timeout(1)
        log.append((clock.now, "slept"))
        value = yield gate
        log.append((clock.now, value))
        yield clock.timeout(5) | clock.timeout(2)
        log.append((clock.now, "woke"))

    clock.process(sleeper())
    clock.call_at(1.5, Order.ARRIVAL, lambda _: log.append((clock.now, "call")))
    clock.call_at(3, Order.ARRIVAL, gate.succeed, "open")
    clock.run_until(10)
    assert log == [(1.0, "slept"), (1.5, "call"), (3.0, "open"), (5.0, "woke")]


def test_simpys_own_run_handles_calls_too() -> None:
    clock = Clock()
    seen: list[float] = []
    for time_s in (1.0, 2.0):
        clock.call_at(time_s, Order.WEATHER, seen.append, time_s)
    clock.run(until=2)
    assert (seen, clock.now) == ([1.0], 2)
    clock.run()
    assert seen == [1.0, 2.0]


@pytest.mark.parametrize("time_s", [0.999, -inf, nan])
def test_the_past_and_nan_are_refused(time_s: float) -> None:
    clock = Clock()
    clock.run_until(1)
    timer = Timer(clock, Order.WEATHER, lambda: None)
    with pytest.raises(SimulationError, match=r"the clock is at 1 s"):
        clock.call_at(time_s, Order.WEATHER, print)
    with pytest.raises(SimulationError, match=r"the clock is at 1 s"):
        timer.set(time_s)
    with pytest.raises(SimulationError, match=r"the clock is at 1 s"):
        clock.run_until(time_s)
    assert timer.due_s == inf
    assert clock.now == 1


def test_a_call_at_infinity_is_never_made() -> None:
    clock = Clock()
    clock.call_at(inf, Order.WEATHER, lambda _: pytest.fail("called"))
    clock.run()
    assert clock.now == 0


def test_events_counts_what_was_handled_and_nothing_else() -> None:
    clock = Clock()

    def process() -> Generator[simpy.Event, Any, None]:
        yield clock.timeout(1)
        yield clock.timeout(1)

    clock.process(process())  # its start, two timeouts, its end
    clock.call_at(0.5, Order.ARRIVAL, lambda _: None)
    clock.call_at(inf, Order.ARRIVAL, lambda _: None)
    clock.call_at(7, Order.ARRIVAL, lambda _: None)
    clock.run_until(1)
    assert clock.events == 2
    clock.run_until(7)
    assert clock.events == 5
    clock.run()
    assert clock.events == 6


@pytest.mark.parametrize("times", [(5.0, 4.0, 3.0), (1.0, 2.0, 3.0), (2.0, 5.0, 3.0)])
def test_a_superseded_wake_up_is_no_event(times: tuple[float, ...]) -> None:
    clock = Clock()
    fired: list[float] = []
    timer = Timer(clock, Order.COMPLETION, lambda: fired.append(clock.now))
    for time_s in times:
        timer.set(time_s)
    clock.run_until(10)
    assert fired == [3.0]
    assert clock.events == 1


def _boom(_: object) -> None:
    raise LookupError("boom")


@pytest.mark.parametrize("run", [lambda c: c.run_until(5), lambda c: c.run(until=5)])
def test_an_exception_in_a_callback_reaches_the_caller(run: Any) -> None:
    clock = Clock()
    seen: list[int] = []
    clock.call_at(1, Order.WEATHER, seen.append, 1)
    clock.call_at(2, Order.WEATHER, _boom)
    clock.call_at(3, Order.WEATHER, seen.append, 3)
    with pytest.raises(LookupError, match="boom"):
        run(clock)
    assert clock.now == 2
    assert seen == [1]
    clock.run_until(5)
    assert seen == [1, 3]


def test_an_exception_in_a_process_reaches_the_caller_unless_somebody_takes_it() -> None:
    clock = Clock()
    caught: list[str] = []

    def failing() -> Generator[simpy.Event, Any, None]:
        yield clock.timeout(1)
        raise LookupError("boom")

    def careful() -> Generator[simpy.Event, Any, None]:
        try:
            yield clock.process(failing())
        except LookupError as error:
            caught.append(str(error))

    clock.process(careful())
    clock.run_until(2)
    assert caught == ["boom"]
    clock.process(failing())
    with pytest.raises(LookupError, match="boom"):
        clock.run_until(4)
    assert clock.now == 3


def test_a_timer_moved_later_goes_off_once_and_late() -> None:
    clock = Clock()
    fired: list[float] = []
    timer = Timer(clock, Order.COMPLETION, lambda: fired.append(clock.now))
    timer.set(1)
    timer.set(3)
    assert timer.due_s == 3
    clock.run_until(2)
    assert fired == []
    timer.set(4)
    clock.run_until(10)
    assert fired == [4]
    assert timer.due_s == inf


def test_a_timer_moved_earlier_goes_off_once_and_early() -> None:
    clock = Clock()
    fired: list[float] = []
    timer = Timer(clock, Order.COMPLETION, lambda: fired.append(clock.now))
    timer.set(3)
    timer.set(1)
    clock.run_until(10)
    assert fired == [1]


def test_a_stopped_timer_is_silent_until_set_again() -> None:
    clock = Clock()
    fired: list[float] = []
    timer = Timer(clock, Order.COMPLETION, lambda: fired.append(clock.now))
    timer.set(1)
    timer.stop()
    assert timer.due_s == inf
    clock.run_until(2)
    timer.set(3)
    timer.set(inf)
    clock.run_until(4)
    assert fired == []
    timer.set(5)
    clock.run_until(6)
    assert fired == [5]


def test_a_timer_can_set_itself_again_even_for_the_same_moment() -> None:
    clock = Clock()
    fired: list[float] = []

    def tick() -> None:
        fired.append(clock.now)
        if len(fired) < 4:
            timer.set(clock.now + (len(fired) % 2))

    timer = Timer(clock, Order.COMPLETION, tick)
    timer.set(1)
    clock.run_until(10)
    assert fired == [1, 2, 2, 3]


TIMER_ACTIONS = st.one_of(
    st.just("stop"), st.integers(0, 6), st.sampled_from([0.5, 1.25]), st.just(inf)
)


@given(script=st.lists(st.tuples(st.integers(0, 3), TIMER_ACTIONS), max_size=25))
@CHECK
def test_a_timer_goes_off_at_the_moment_last_asked_for_and_at_no_other(
    script: list[tuple[int, str | float]],
) -> None:
    clock = Clock()
    fired: list[float] = []
    timer = Timer(clock, Order.COMPLETION, lambda: fired.append(clock.now))
    expected: list[float] = []
    due_s = inf
    for gap_s, action in script:
        now_s = clock.now + gap_s
        if due_s < now_s:
            expected.append(due_s)
            due_s = inf
        clock.run_until(now_s)
        if isinstance(action, str):
            timer.stop()
            due_s = inf
        else:
            due_s = now_s + action
            timer.set(due_s)
        assert timer.due_s == due_s
    clock.run()
    assert fired == expected + [due_s] * (due_s < inf)
