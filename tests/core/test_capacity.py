from collections.abc import Callable
from math import factorial, inf, log, nan, sin, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.capacity import Job, SharedCapacity
from edgesim.core.clock import Clock, Order
from edgesim.core.errors import SimulationError

CHECK = settings(derandomize=True, deadline=None, max_examples=200)
CLOSE = {"rel": 1e-9, "abs": 1e-9}


class Naive:
    """Weighted processor sharing played from one completion to the next, job by job."""

    def __init__(self, capacity: float, slots: float, limit: float) -> None:
        self.capacity, self.slots, self.limit = capacity, slots, limit
        self.now_s = 0.0
        self.left: dict[int, float] = {}
        self.weight: dict[int, float] = {}
        self.rate: dict[int, float] = {}
        self.line: list[int] = []
        self.served: list[int] = []
        self.started: dict[int, float] = {}
        self.ended: dict[int, float] = {}

    def progress(self) -> dict[int, float]:
        """Work done per second, by job that does any."""
        active = [i for i in self.served if self.rate[i] > 0]
        total = sum(self.weight[i] for i in active)
        speed = min(self.capacity / total, self.limit) if total else 0.0
        return {i: speed * self.weight[i] * self.rate[i] for i in active if speed > 0}

    def admit(self) -> None:
        while self.line and len(self.served) < self.slots:
            self.served.append(self.line.pop(0))
            self.started[self.served[-1]] = self.now_s

    def run_until(self, until_s: float) -> None:
        while True:
            progress = self.progress()
            wait_s, first = min(
                ((self.left[i] / progress[i], i) for i in progress), default=(inf, -1)
            )
            step_s = min(wait_s, until_s - self.now_s)
            for i in progress:
                self.left[i] = max(self.left[i] - progress[i] * step_s, 0.0)
            if self.now_s + wait_s >= until_s:
                self.now_s = until_s
                return
            self.now_s += step_s
            self.left[first] = 0.0
            self.ended[first] = self.now_s
            self.served.remove(first)
            self.admit()

    def submit(self, i: int, work: float, weight: float, rate: float) -> None:
        self.left[i], self.weight[i], self.rate[i] = work, weight, rate
        self.line.append(i)
        self.admit()

    def cancel(self, i: int) -> float:
        left = self.left[i]
        if i in self.line:
            self.line.remove(i)
        if i in self.served:
            self.served.remove(i)
        self.left[i] = 0.0
        self.admit()
        return left


# No two of these happen at one moment: works and gaps are multiples of unlike numbers.
GAPS = st.integers(0, 60).map(lambda n: n * 0.1371)
WORKS = st.integers(1, 60)
WEIGHTS = st.sampled_from([1.0, 2.0, 0.3])
RATES = st.sampled_from([1.0, 2.5, 0.4, 0.0])
STEPS = st.tuples(
    GAPS,
    st.one_of(
        st.tuples(st.just("submit"), WORKS, WEIGHTS, RATES),
        st.tuples(st.just("submit"), WORKS, WEIGHTS, st.just(1.0)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("rate"), st.integers(0, 30), RATES),
        st.tuples(st.just("capacity"), st.sampled_from([0.0, 0.7, 1.0, 3.0])),
        st.tuples(st.just("look")),
    ),
)


def _work(units: int, job: int) -> float:
    return units * (0.2 + 0.0173 * sin(job + 1))


@given(
    script=st.lists(STEPS, min_size=8, max_size=60),
    capacity=st.sampled_from([1.0, 2.0, 0.6]),
    slots=st.sampled_from([None, None, 1, 2, 3]),
    limit=st.sampled_from([inf, inf, 1.0, 0.5]),
)
@CHECK
def test_completions_and_remaining_work_are_those_of_the_naive_simulation(
    script: list[Any], capacity: float, slots: int | None, limit: float
) -> None:
    clock = Clock()
    shared = SharedCapacity(clock, capacity, slots=slots, share_limit=limit)
    naive = Naive(capacity, slots or inf, limit)
    jobs: list[Job] = []
    ended: dict[int, float] = {}
    started: dict[int, float] = {}
    for gap_s, (what, *arguments) in [*script, (500.0, ("look",))]:
        time_s = clock.now + gap_s
        clock.run_until(time_s)
        naive.run_until(time_s)
        if what == "submit":
            units, weight, rate = arguments
            i, work = len(jobs), _work(units, len(jobs))
            jobs.append(
                shared.submit(
                    work,
                    lambda i: ended.__setitem__(i, clock.now),
                    i,
                    weight=weight,
                    rate=rate,
                    started=lambda i: started.__setitem__(i, clock.now),
                )
            )
            naive.submit(i, work, weight, rate)
        elif what == "cancel" and arguments[0] < len(jobs):
            left = shared.cancel(jobs[arguments[0]])
            assert left == pytest.approx(naive.cancel(arguments[0]), **CLOSE)
        elif what == "rate" and arguments[0] < len(jobs):
            shared.set_rate(jobs[arguments[0]], arguments[1])
            naive.rate[arguments[0]] = arguments[1]
        elif what == "capacity":
            shared.set_capacity(arguments[0])
            naive.capacity = arguments[0]
        assert [shared.remaining(job) for job in jobs] == pytest.approx(
            [naive.left[i] for i in range(len(jobs))], **CLOSE
        )
        active = [i for i in naive.served if naive.rate[i] > 0]
        assert shared.in_service == len(active)
        assert shared.waiting == len(naive.line)
        assert shared.total_weight == pytest.approx(sum(naive.weight[i] for i in active))
        assert shared.jobs() == [jobs[i] for i in sorted(active)]
    assert ended == pytest.approx(naive.ended, **CLOSE)
    assert started == pytest.approx(naive.started, **CLOSE)


QUEUED = st.lists(st.tuples(WORKS, WEIGHTS, RATES.filter(bool)), min_size=1, max_size=12)


def _fill(shared: SharedCapacity, jobs: list[tuple[int, float, float]]) -> None:
    for i, (units, weight, rate) in enumerate(jobs):
        shared.submit(_work(units, i), lambda _: None, weight=weight, rate=rate)


def _backlog_and_wait_s(clock: Clock, shared: SharedCapacity) -> tuple[float, float]:
    """What the backlog is said to be, and how long a job submitted now really waits."""
    backlog_s, now_s = shared.backlog_s(), clock.now
    starts: list[float] = []
    shared.submit(1.0, lambda _: None, started=lambda _: starts.append(clock.now - now_s))
    clock.run_until(now_s + 10_000)
    return backlog_s, starts[0] if starts else inf


@given(
    jobs=QUEUED,
    slots=st.integers(1, 4),
    capacity=st.sampled_from([1.0, 2.0, 0.6]),
    limit=st.sampled_from([inf, 1.0, 0.5]),
    after_s=GAPS,
)
@CHECK
def test_the_backlog_is_the_time_until_a_new_job_enters_service(
    jobs: list[tuple[int, float, float]], slots: int, capacity: float, limit: float, after_s: float
) -> None:
    clock = Clock()
    shared = SharedCapacity(clock, capacity, slots=slots, share_limit=limit)
    _fill(shared, jobs)
    clock.run_until(after_s)
    backlog_s, wait_s = _backlog_and_wait_s(clock, shared)
    assert backlog_s == pytest.approx(wait_s, **CLOSE)


@given(
    jobs=st.lists(st.tuples(WORKS, WEIGHTS, RATES), min_size=1, max_size=8),
    slots=st.integers(1, 4),
)
@CHECK
def test_the_backlog_counts_on_paused_jobs_keeping_their_slots(
    jobs: list[tuple[int, float, float]], slots: int
) -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=slots)
    _fill(shared, jobs)
    clock.run_until(0.5)
    backlog_s, wait_s = _backlog_and_wait_s(clock, shared)
    assert backlog_s == pytest.approx(wait_s, **CLOSE)


def test_the_backlog_is_unmoved_by_a_rate_that_changes_and_changes_back() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=2)
    jobs = [shared.submit(work, lambda _: None) for work in (2.0, 6.0, 5.0)]
    # The first leaves at 4 s; the second, by then 4 s from its end, shares with the third.
    assert shared.backlog_s() == 12.0
    shared.set_rate(jobs[0], 2.0)
    shared.set_rate(jobs[0], 1.0)
    assert shared.backlog_s() == 12.0
    assert shared.jobs() == jobs[:2]


@pytest.mark.parametrize("slots", [None, 3])
def test_there_is_no_backlog_while_a_slot_is_free(slots: int | None) -> None:
    shared = SharedCapacity(Clock(), slots=slots)
    for _ in range(2):
        assert shared.backlog_s() == 0
        shared.submit(9.0, lambda _: None)


def test_the_backlog_is_infinite_without_capacity() -> None:
    shared = SharedCapacity(Clock(), 0.0, slots=1)
    shared.submit(9.0, lambda _: None)
    assert shared.backlog_s() == inf


def _ends(shared: SharedCapacity, clock: Clock, *jobs: dict[str, float]) -> list[float]:
    """When jobs submitted together end."""
    ends = [inf] * len(jobs)
    for i, job in enumerate(jobs):
        shared.submit(done=lambda i: ends.__setitem__(i, clock.now), payload=i, **job)
    clock.run()
    return ends


def test_capacity_is_shared_by_weight() -> None:
    clock = Clock()
    # 3 to 1 of 8 units a second: 6 and 2; the second goes on with all 8 from 2 s on.
    ends = _ends(SharedCapacity(clock, 8.0), clock, {"work": 12, "weight": 3}, {"work": 12})
    assert ends == [2.0, 3.0]


def test_a_rate_turns_a_share_into_work() -> None:
    clock = Clock()
    ends = _ends(SharedCapacity(clock), clock, {"work": 10, "rate": 20}, {"work": 10, "rate": 10})
    assert ends == [1.0, 1.5]


def test_a_share_limit_leaves_capacity_idle() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, 4.0, share_limit=1.0)
    assert _ends(shared, clock, {"work": 2}, {"work": 3, "weight": 2}) == [2.0, 1.5]
    clock = Clock()
    shared = SharedCapacity(clock, 4.0, share_limit=1.0)
    assert _ends(shared, clock, *[{"work": 1}] * 8) == [2.0] * 8


def test_one_slot_is_first_come_first_served() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=1)
    ends = _ends(shared, clock, {"work": 3}, {"work": 1, "weight": 9}, {"work": 2})
    assert ends == [3.0, 4.0, 6.0]


def test_jobs_that_end_together_are_told_in_the_order_of_their_submission() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    told: list[int] = []
    for i in range(20):
        shared.submit(1.0, told.append, i)
    clock.run()
    assert told == list(range(20))
    assert clock.now == 20


def test_jobs_that_end_together_take_nobody_with_them() -> None:
    clock = Clock()
    ends = _ends(SharedCapacity(clock), clock, *[{"work": work} for work in (50, 80, 50, 90)])
    assert ends == [200.0, 260.0, 200.0, 270.0]


def test_work_is_done_at_once_where_there_is_none() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=1)
    told: list[str] = []
    shared.submit(0.0, told.append, "nothing")
    shared.submit(2.0, told.append, "something")
    shared.submit(0.0, told.append, "nothing in line")
    clock.run_until(1)
    assert told == ["nothing"]
    clock.run_until(3)
    assert told == ["nothing", "something", "nothing in line"]


@pytest.mark.parametrize("others", [0, 1])
def test_no_work_needs_no_capacity(others: int) -> None:
    clock = Clock()
    shared = SharedCapacity(clock, 0.0)
    _fill(shared, [(5, 1.0, 1.0)] * others)
    ends: list[float] = []
    clock.run_until(1)
    shared.submit(0.0, lambda _: ends.append(clock.now))
    clock.run_until(2)
    assert ends == [1.0]


@pytest.mark.parametrize("what", ["capacity", "rate"])
def test_work_that_is_done_ends_even_as_the_means_for_more_vanish(what: str) -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    ends: list[float] = []
    job = shared.submit(2.0, lambda _: ends.append(clock.now))

    def vanish(_: object) -> None:
        assert shared.remaining(job) == 0
        if what == "capacity":
            shared.set_capacity(0)
        else:
            shared.set_rate(job, 0)

    clock.call_at(2, Order.WEATHER, vanish)
    clock.run_until(9)
    assert ends == [2.0]


def test_a_job_submitted_by_another_ones_end_starts_then() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    ends: list[float] = []

    def again(left: int) -> None:
        ends.append(clock.now)
        if left:
            shared.submit(1.5, again, left - 1)

    shared.submit(1.0, again, 3)
    clock.run()
    assert ends == [1.0, 2.5, 4.0, 5.5]


def test_a_slot_is_refilled_before_the_job_that_left_it_is_told() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=1)
    log: list[str] = []
    shared.submit(1.0, log.append, "a ended", started=lambda _: log.append("a started"))
    shared.submit(1.0, log.append, "b ended", started=lambda _: log.append("b started"))
    clock.run()
    assert log == ["a started", "b started", "a ended", "b ended"]


def test_a_paused_job_keeps_its_slot_and_its_work_but_not_its_share() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=2)
    ends: dict[str, float] = {}
    jobs = [shared.submit(4.0, lambda n: ends.__setitem__(n, clock.now), n) for n in "abc"]
    clock.run_until(2)
    shared.set_rate(jobs[0], 0)
    assert shared.remaining(jobs[0]) == 3.0
    assert (shared.in_service, shared.waiting) == (1, 1)
    clock.run_until(6)  # b had 3 left and the whole capacity: it ended at 5, and c came in
    assert ends == {"b": 5.0}
    assert shared.remaining(jobs[2]) == 3.0
    shared.set_rate(jobs[0], 1)
    clock.run()
    assert ends == {"b": 5.0, "a": 12.0, "c": 12.0}


def test_without_capacity_everything_waits() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    ends: list[float] = []
    shared.submit(2.0, lambda _: ends.append(clock.now))
    clock.run_until(1)
    shared.set_capacity(0)
    assert shared.capacity == 0
    clock.run_until(100)
    assert ends == []
    shared.set_capacity(0.5)
    clock.run()
    assert ends == [102.0]


def test_a_cancelled_job_leaves_its_share_to_the_others_and_is_not_told() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    told: list[tuple[str, float]] = []
    a, b = (shared.submit(3.0, lambda n: told.append((n, clock.now)), n) for n in "ab")
    clock.run_until(2)
    assert shared.cancel(a) == 2.0
    assert shared.remaining(a) == 0
    assert shared.cancel(a) == 0
    clock.run()
    assert told == [("b", 4.0)]
    assert shared.cancel(b) == 0


def test_a_job_cancelled_by_one_that_ends_at_the_same_moment_is_not_told() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    told: list[str] = []
    jobs: list[Job] = []

    def first_ended(_: object) -> None:
        told.append("a")
        shared.cancel(jobs[1])

    jobs.append(shared.submit(1.0, first_ended))
    jobs.append(shared.submit(1.0, told.append, "b"))
    clock.run()
    assert told == ["a"]


def test_the_change_of_a_job_that_has_ended_changes_nothing() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    job = shared.submit(1.0, lambda _: None)
    clock.run()
    shared.set_rate(job, 5)
    assert (shared.in_service, shared.remaining(job)) == (0, 0)


@given(jobs=st.lists(st.tuples(WORKS, WEIGHTS), max_size=6), weight=WEIGHTS)
@CHECK
def test_what_one_more_job_would_get_is_what_it_gets(
    jobs: list[tuple[int, float]], weight: float
) -> None:
    clock = Clock()
    shared = SharedCapacity(clock, 2.0, share_limit=0.9)
    _fill(shared, [(units, other, 1.0) for units, other in jobs])
    promised = shared.capacity_for(weight)
    job = shared.submit(1e6, lambda _: None, weight=weight, rate=3.0)
    clock.run_until(0.01)  # too soon for any to end
    assert 1e6 - shared.remaining(job) == pytest.approx(0.01 * promised * 3.0, abs=1e-8)


def test_one_wake_up_is_pending_however_many_jobs_there_are() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    n = 1000
    for i in range(n):
        shared.submit(50.0 + (i * 377) % n, lambda _: None)
    jobs_queued = len(clock._queue)
    for capacity in (2.0, 0.5, 3.0, 1.0):
        shared.set_capacity(capacity)
    assert jobs_queued <= 2 + log(n)
    assert len(clock._queue) <= jobs_queued + 4
    clock.run()
    assert clock.events <= n + 2 + log(n) + 4


def test_an_unbroken_busy_period_costs_no_accuracy() -> None:
    clock = Clock()
    shared = SharedCapacity(clock)
    shared.submit(1e9, lambda _: None)
    ends: list[float] = []
    for k in range(1, 2000):
        clock.run_until(100.0 * k)
        shared.submit(0.3, lambda _: ends.append(clock.now))
    clock.run_until(1e6)
    assert ends == pytest.approx([100.0 * k + 0.6 for k in range(1, 2000)], rel=0, abs=1e-8)


def test_a_job_without_a_slot_goes_out_of_the_line_when_cancelled() -> None:
    clock = Clock()
    shared = SharedCapacity(clock, slots=1)
    told: list[int] = []
    jobs = [shared.submit(1.0, told.append, i) for i in range(3)]
    assert shared.cancel(jobs[1]) == 1.0
    assert shared.waiting == 1
    clock.run()
    assert (told, clock.now) == ([0, 2], 2.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"capacity": -1.0},
        {"capacity": inf},
        {"capacity": nan},
        {"slots": 0},
        {"share_limit": 0.0},
        {"share_limit": nan},
    ],
)
def test_a_capacity_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(SimulationError):
        SharedCapacity(Clock(), **bad)


@pytest.mark.parametrize(
    "bad",
    [
        {"work": -1.0},
        {"work": nan},
        {"work": inf},
        {"weight": 0.0},
        {"weight": -1.0},
        {"weight": nan},
        {"weight": inf},
        {"rate": -1.0},
        {"rate": nan},
        {"rate": inf},
    ],
)
def test_a_job_that_cannot_be_is_refused_and_leaves_no_trace(bad: dict[str, float]) -> None:
    shared = SharedCapacity(Clock())
    with pytest.raises(SimulationError):
        shared.submit(**({"work": 1.0} | bad), done=lambda _: None)
    assert shared.in_service == 0


@pytest.mark.parametrize("value", [-1.0, inf, nan])
def test_a_change_that_cannot_be_is_refused(value: float) -> None:
    shared = SharedCapacity(Clock())
    job = shared.submit(1.0, lambda _: None)
    with pytest.raises(SimulationError):
        shared.set_capacity(value)
    with pytest.raises(SimulationError):
        shared.set_rate(job, value)
    assert (shared.capacity, job.rate) == (1.0, 1.0)


# --- queueing theory -----------------------------------------------------------------------------

CUSTOMERS = 40_000
BATCHES = 40


def _time_in_system(
    arrival_rate: float, services: np.ndarray, seed: int, **capacity: Any
) -> tuple[float, float]:
    """Mean seconds that customers of a Poisson stream stay, and its standard error."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1 / arrival_rate, len(services))).tolist()
    works = services.tolist()
    stays = np.empty(len(works))
    clock = Clock()
    shared = SharedCapacity(clock, **capacity)

    def leave(i: int) -> None:
        stays[i] = clock.now - arrivals[i]

    def arrive(i: int) -> None:
        shared.submit(works[i], leave, i)
        if i + 1 < len(works):
            clock.call_at(arrivals[i + 1], Order.ARRIVAL, arrive, i + 1)

    clock.call_at(arrivals[0], Order.ARRIVAL, arrive, 0)
    clock.run()
    settled = stays[len(stays) // 10 :]
    means = np.array([batch.mean() for batch in np.array_split(settled, BATCHES)])
    return float(means.mean()), float(means.std(ddof=1) / sqrt(BATCHES))


def _exponential(rng: np.random.Generator) -> np.ndarray:
    return rng.exponential(1.0, CUSTOMERS)


def _hyperexponential(rng: np.random.Generator) -> np.ndarray:
    """Mean 1; nine in ten last half as long on average, the tenth 5.5 times as long."""
    return rng.exponential(np.where(rng.random(CUSTOMERS) < 0.9, 0.5, 5.5))


def _deterministic(_: np.random.Generator) -> np.ndarray:
    return np.ones(CUSTOMERS)


def _agrees(found: tuple[float, float], expected: float) -> bool:
    mean, error = found
    assert error < 0.06 * expected  # else the comparison says little
    return abs(mean - expected) < 4 * error


def test_the_mean_time_in_an_mm1_queue_is_that_of_theory() -> None:
    works = _exponential(np.random.default_rng(1))
    assert _agrees(_time_in_system(0.6, works, 2, slots=1), 1 / (1 - 0.6))


@pytest.mark.parametrize(
    ("service", "squared_mean"), [(_hyperexponential, 6.5), (_deterministic, 1)]
)
def test_the_mean_time_in_an_mg1_queue_is_that_of_pollaczek_and_khinchine(
    service: Callable[[np.random.Generator], np.ndarray], squared_mean: float
) -> None:
    works = service(np.random.default_rng(3))
    expected = 1 + 0.5 * squared_mean / (2 * (1 - 0.5))
    assert _agrees(_time_in_system(0.5, works, 4, slots=1), expected)


@pytest.mark.parametrize("service", [_exponential, _hyperexponential, _deterministic])
def test_under_processor_sharing_only_the_mean_service_counts(
    service: Callable[[np.random.Generator], np.ndarray],
) -> None:
    works = service(np.random.default_rng(5))
    assert _agrees(_time_in_system(0.6, works, 6), 1 / (1 - 0.6))


@pytest.mark.parametrize("slots", [3, None], ids=["in line", "sharing"])
def test_the_mean_time_at_several_servers_is_that_of_erlang_c(slots: int | None) -> None:
    c, load = 3, 2.1
    waiting = load**c / factorial(c) * c / (c - load)
    waiting /= sum(load**k / factorial(k) for k in range(c)) + waiting
    works = _exponential(np.random.default_rng(7))
    found = _time_in_system(load, works, 8, capacity=float(c), slots=slots, share_limit=1.0)
    assert _agrees(found, 1 + waiting / (c - load))


def test_the_line_is_told_in_order() -> None:
    shared = SharedCapacity(Clock(), 1.0, slots=1)
    assert shared.line() == []
    jobs = [shared.submit(1.0, lambda _: None) for _ in range(3)]
    assert shared.line() == jobs[1:]
    shared.cancel(jobs[1])
    assert shared.line() == jobs[2:]
