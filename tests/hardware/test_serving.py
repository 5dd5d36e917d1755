"""How servers take requests: batches, full lines, other tenants; against naive copies of the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock
from edgesim.core.errors import SimulationError
from edgesim.core.random import Streams
from edgesim.core.signals import GaussMarkovBank, Signal, TraceBank
from edgesim.hardware.batching import Batching
from edgesim.hardware.catalogue import shipped
from edgesim.hardware.processor import InferenceTask
from edgesim.hardware.server import Server, Service
from edgesim.hardware.specs import ServerSpec
from edgesim.nn.cost import Level, ProcessorSpec, inference_s
from edgesim.nn.zoo import ZOO

CHECK = settings(derandomize=True, deadline=None, max_examples=80)
BUSY_W = 80.0
CURVE = ((0.5, 0.7), (1.0, 1.0))
MODELS = ("mobilenet_v1", "inception_v3", "mobilenet_v2")


def never() -> None:
    raise AssertionError("rejected")


def plain(
    slots: int = 1, curve: tuple[tuple[float, float], ...] = (), **options: Any
) -> tuple[Clock, Server]:
    """A server without idle power or building, and one GPU of 80 W."""
    clock = Clock()
    gpu = ProcessorSpec("gpu", "gpu", (Level(1e9, BUSY_W),), slots=slots, load_curve=curve)
    return clock, Server(clock, "cloud", ServerSpec("test", 1.0, 0.0, {"gpu": gpu}), **options)


def steps(*pieces: tuple[float, float], period_s: float | None = None) -> Signal:
    """A signal with these (start, value) pieces."""
    times_s, values = zip(*pieces, strict=True)
    return TraceBank(times_s, values, period_s=period_s).signal(0)


def p100(slots: int = 1) -> ProcessorSpec:
    return replace(shipped().server("xeon_e5_2640_p100").processors["gpu"], slots=slots)


def batching(
    size: int, wait_s: float, slots: int = 1, load: Signal | None = None, limit: int | None = None
) -> tuple[Clock, Server]:
    """The GPU of a real profile, whose costs of batches are known, and nothing else."""
    clock = Clock()
    service = Service(Batching(size, wait_s), load)
    spec = ServerSpec("test", 1.0, 0.0, {"gpu": p100(slots)})
    return clock, Server(clock, "cloud", spec, services={"gpu": service}, queue_limit=limit)


TASKS = {name: InferenceTask(ZOO[name], "fp32") for name in MODELS}


def batch_s(model: str, size: int) -> float:
    seconds = inference_s(ZOO[model], p100(), "fp32", batch=size)
    assert seconds
    return seconds


def at(clock: Clock, time_s: float, function: Callable[[], Any]) -> None:
    clock.call_at(time_s, 5, lambda _: function())


# --- batches -------------------------------------------------------------------------------------


def reference(
    arrivals: Sequence[tuple[float, str]], size: int, wait_s: float, slots: int
) -> list[float]:
    """When each request ends, by looking at everybody at every moment at which anything happens."""
    ends = [inf] * len(arrivals)
    waiting: list[int] = []
    running: list[float] = []
    moments = {time_s for time_s, _ in arrivals} | {time_s + wait_s for time_s, _ in arrivals}
    come = 0
    while moments:
        now_s = min(moments)
        moments.remove(now_s)
        running = [end_s for end_s in running if end_s > now_s]
        while come < len(arrivals) and arrivals[come][0] <= now_s:
            waiting.append(come)
            come += 1
        while len(running) < slots:
            for first in waiting:  # the oldest request whose batch may start
                model = arrivals[first][1]
                mates = [i for i in waiting if arrivals[i][1] == model]
                if len(mates) >= size or arrivals[mates[0]][0] + wait_s <= now_s:
                    break
            else:
                break
            batch = mates[:size]
            end_s = now_s + batch_s(model, len(batch))
            running.append(end_s)
            moments.add(end_s)
            for i in batch:
                ends[i] = end_s
                waiting.remove(i)
    return ends


@given(
    gaps_ms=st.lists(
        st.tuples(st.floats(0.001, 12.0), st.sampled_from(MODELS)), min_size=1, max_size=40
    ),
    size=st.integers(1, 6),
    wait_ms=st.sampled_from([0.0, 0.7, 3.1, 20.3]),
    slots=st.integers(1, 3),
)
@CHECK
def test_batches_form_as_in_a_naive_simulation_of_the_same_rules(
    gaps_ms: list[tuple[float, str]], size: int, wait_ms: float, slots: int
) -> None:
    clock, server = batching(size, wait_ms / 1e3, slots)
    arrivals: list[tuple[float, str]] = []
    time_s = 0.0
    for gap_ms, model in gaps_ms:
        time_s += gap_ms / 1e3
        arrivals.append((time_s, model))
    ends = [inf] * len(arrivals)
    tenant = server.tenant("job")

    def submit(i: int) -> None:
        done = lambda: ends.__setitem__(i, clock.now)  # noqa: E731
        server.submit("gpu", tenant, TASKS[arrivals[i][1]], done, never)

    for i, (come_s, _) in enumerate(arrivals):
        at(clock, come_s, partial(submit, i))
    clock.run_until(100.0)
    assert ends == pytest.approx(reference(arrivals, size, wait_ms / 1e3, slots), rel=1e-9)
    end = server.end()
    assert sum(row[3] for row in end.bookings) == pytest.approx(end.energy_drawn_j, rel=1e-9)


def test_a_lone_request_waits_and_then_takes_what_it_takes_without_batches() -> None:
    clock, server = batching(8, 0.005)
    ends: list[float] = []
    server.submit(
        "gpu", server.tenant("a"), TASKS["mobilenet_v1"], lambda: ends.append(clock.now), never
    )
    clock.run_until(1.0)
    assert ends == [pytest.approx(0.005 + batch_s("mobilenet_v1", 1), rel=1e-12)]
    assert batch_s("mobilenet_v1", 1) == inference_s(ZOO["mobilenet_v1"], p100(), "fp32")


def test_a_batch_is_cheaper_than_its_requests_one_by_one_and_they_pay_even_parts() -> None:
    clock, server = batching(4, 0.005)
    jobs = [server.tenant(name) for name in ("a", "a", "b", "c")]
    ends: list[float] = []
    for job in jobs:
        server.submit("gpu", job, TASKS["mobilenet_v1"], lambda: ends.append(clock.now), never)
    clock.run_until(0.5 * batch_s("mobilenet_v1", 4))
    assert server.end().energy_drawn_j > 0.0  # looking meanwhile changes nothing
    clock.run_until(1.0)
    seconds = batch_s("mobilenet_v1", 4)
    assert seconds < 4 * batch_s("mobilenet_v1", 1)
    assert ends == [pytest.approx(seconds)] * 4
    joules = p100().busy_power_w * seconds
    assert [job.energy_j for job in jobs] == pytest.approx(
        [joules / 2, joules / 2, joules / 4, joules / 4]
    )
    assert server.end().bookings == [
        ("gpu", "compute", "a", pytest.approx(joules / 2)),
        ("gpu", "compute", "b", pytest.approx(joules / 4)),
        ("gpu", "compute", "c", pytest.approx(joules / 4)),
    ]


def test_while_no_slot_is_free_a_batch_goes_on_growing_up_to_its_size() -> None:
    clock, server = batching(3, 0.0)
    first_s = batch_s("inception_v3", 1)
    ends: list[float] = []
    submit = partial(
        server.submit,
        "gpu",
        server.tenant("a"),
        TASKS["inception_v3"],
        lambda: ends.append(clock.now),
    )
    submit(never)
    for i in range(5):
        at(clock, first_s * (i + 1) / 8, partial(submit, never))
    clock.run_until(10.0)
    second_s = first_s + batch_s("inception_v3", 3)
    third_s = second_s + batch_s("inception_v3", 2)
    assert ends == pytest.approx([first_s, *[second_s] * 3, *[third_s] * 2])


def test_what_is_withdrawn_in_line_steps_out_and_in_a_batch_it_changes_nothing() -> None:
    clock, server = batching(2, 0.005)
    told: list[tuple[str, float]] = []

    def submit(name: str) -> Any:
        done = lambda: told.append((name, clock.now))  # noqa: E731
        return server.submit("gpu", server.tenant(name), TASKS["mobilenet_v1"], done, never)

    gone = submit("gone")
    clock.run_until(0.001)
    gone.withdraw()
    gone.withdraw()
    submit("a")
    clock.run_until(0.005)
    assert server.meter.power_w == 0.0  # nobody has waited for so long
    b = submit("b")  # makes two with a
    b.withdraw()
    clock.run_until(1.0)
    seconds = batch_s("mobilenet_v1", 2)
    assert told == [("a", pytest.approx(0.005 + seconds))]
    assert server.tenant("b").energy_j == pytest.approx(p100().busy_power_w * seconds / 2)
    assert server.tenant("gone").energy_j == 0.0
    b.withdraw()


def test_what_is_withdrawn_on_its_own_stops_and_makes_room() -> None:
    clock, server = plain()
    ends: list[float] = []
    tenant = server.tenant("a")
    first = server.submit("gpu", tenant, 10.0, never, never)
    second = server.submit("gpu", tenant, 10.0, never, never)
    server.submit("gpu", tenant, 1.0, lambda: ends.append(clock.now), never)
    assert first is not None
    assert second is not None
    clock.run_until(2.0)
    second.withdraw()
    first.withdraw()
    clock.run_until(50.0)
    first.withdraw()
    assert ends == [3.0]
    assert tenant.energy_j == pytest.approx(3.0 * BUSY_W)


def test_where_only_latencies_are_known_nothing_is_batched() -> None:
    clock = Clock()
    known = {("mobilenet_v1", "fp32"): 0.01}
    gpu = ProcessorSpec("gpu", "gpu", (Level(1e9, BUSY_W),), slots=1, latency_s=known)
    service = Service(Batching(8, 1.0))
    server = Server(
        clock, "cloud", ServerSpec("t", 1.0, 0.0, {"gpu": gpu}), services={"gpu": service}
    )
    task = InferenceTask(ZOO["mobilenet_v1"], "fp32")
    ends: list[float] = []
    for _ in range(3):
        server.submit("gpu", server.tenant("a"), task, lambda: ends.append(clock.now), never)
    assert server.forecast_s("gpu", task, 0.0, 0.0) == pytest.approx(0.04)
    clock.run_until(1.0)
    assert ends == pytest.approx([0.01, 0.02, 0.03])


def test_requests_that_only_ever_wait_for_company_wait_as_long_as_theory_says() -> None:
    """Poisson arrivals, room for every batch: the i-th of n waits for n - i more to come."""
    size, rate_per_s, requests = 5, 200.0, 40_000
    clock, server = batching(size, 1e6, slots=1000)
    random, waits_s = Random(1), []
    time_s, work_s = 0.0, batch_s("mobilenet_v1", size)

    def come() -> None:
        start_s = clock.now
        done = lambda: waits_s.append(clock.now - start_s - work_s)  # noqa: E731
        server.submit("gpu", server.tenant("a"), TASKS["mobilenet_v1"], done, never)

    for _ in range(requests):
        time_s += random.expovariate(rate_per_s)
        at(clock, time_s, come)
    clock.run_until(time_s + 1)
    assert len(waits_s) == requests
    assert sum(waits_s) / requests == pytest.approx((size - 1) / 2 / rate_per_s, rel=0.02)


def test_batches_of_one_are_an_m_d_1_queue() -> None:
    work_s = batch_s("mobilenet_v1", 1)
    load, requests = 0.7, 60_000
    clock, server = batching(1, 5.0)
    random, waits_s = Random(2), []
    time_s = 0.0

    def come() -> None:
        start_s = clock.now
        done = lambda: waits_s.append(clock.now - start_s - work_s)  # noqa: E731
        server.submit("gpu", server.tenant("a"), TASKS["mobilenet_v1"], done, never)

    for _ in range(requests):
        time_s += random.expovariate(load / work_s)
        at(clock, time_s, come)
    clock.run_until(time_s + 10)
    expected_s = load * work_s / (2 * (1 - load))  # Pollaczek and Khinchine
    assert sum(waits_s) / requests == pytest.approx(expected_s, rel=0.05)


def test_at_most_one_wake_up_is_pending() -> None:
    clock, server = batching(50, 0.01, slots=2)
    random = Random(3)
    for _ in range(20):
        server.submit("gpu", server.tenant("a"), TASKS[random.choice(MODELS)], lambda: None, never)
    assert len(clock._queue) == 1
    clock.run_until(5.0)
    assert clock.events <= 1 + 2 * 3  # the wait, and the end of three batches


# --- full lines ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("slots", "limit"), [(1, 0), (1, 3), (3, 2)])
def test_as_many_are_turned_away_as_theory_says(slots: int, limit: int) -> None:
    """M/M/c/K by its balance equations."""
    rate_per_s, requests = 1.3 * slots, 150_000
    clock, server = plain(slots, queue_limit=limit)
    random = Random(4)
    rejected: list[float] = []
    done: list[float] = []
    time_s = 0.0

    def come(work_s: float) -> None:
        taken = server.submit(
            "gpu",
            server.tenant("a"),
            work_s,
            lambda: done.append(clock.now),
            lambda: rejected.append(clock.now),
        )
        assert (taken is None) == (bool(rejected) and rejected[-1] == clock.now)

    for _ in range(requests):
        time_s += random.expovariate(rate_per_s)
        at(clock, time_s, partial(come, random.expovariate(1.0)))
    clock.run_until(time_s + 100)
    weights = [1.0]
    for n in range(1, slots + limit + 1):
        weights.append(weights[-1] * rate_per_s / min(n, slots))
    assert len(done) + len(rejected) == requests
    assert len(rejected) / requests == pytest.approx(weights[-1] / sum(weights), rel=0.03)


def test_a_line_of_batches_is_full_when_so_many_wait() -> None:
    clock, server = batching(2, 0.005, limit=2)
    rejected: list[float] = []
    served: list[float] = []

    def submit() -> None:
        server.submit(
            "gpu",
            server.tenant("a"),
            TASKS["inception_v3"],
            lambda: served.append(clock.now),
            lambda: rejected.append(clock.now),
        )

    for _ in range(5):  # two run, two wait, one too many
        submit()
    assert len(rejected) == 1
    assert server.forecast_s("gpu", TASKS["inception_v3"], 0.0, 0.0) == inf
    later_s = 1.01 * batch_s("inception_v3", 2)
    assert server.forecast_s("gpu", TASKS["inception_v3"], later_s, 0.0) < inf
    clock.run_until(5.0)
    assert len(served) == 4


# --- other tenants -------------------------------------------------------------------------------


def test_tenants_leave_the_rest_of_the_capacity_and_pay_their_part_of_the_watts() -> None:
    # 2 slots; 30 % are theirs until 1 s, then 80 %.
    load = steps((0.0, 0.3), (1.0, 0.8))
    clock, server = plain(2, CURVE, services={"gpu": Service(load=load)})
    ends: list[float] = []
    for work_s in (1.5, 1.5):
        server.submit("gpu", server.tenant("a"), work_s, lambda: ends.append(clock.now), never)
    clock.run_until(0.5)
    # 2 x 0.7 = 1.4 slots for two: each at 0.7; the processor is full.
    assert server.power_w == BUSY_W
    clock.run_until(20.0)
    # 0.7 done by 1 s; then 0.2 per second each, 0.8 to go.
    assert ends == [pytest.approx(5.0), pytest.approx(5.0)]
    end = server.end()
    ours_j = BUSY_W * 0.7 * 1.0 + BUSY_W * 0.2 * 4.0
    idle_w = BUSY_W * (0.7 + 0.3 * (0.8 - 0.5) / 0.5)
    theirs_j = BUSY_W * 0.3 * 1.0 + BUSY_W * 0.8 * 4.0 + idle_w * 15.0
    assert {row[:3]: row[3] for row in end.bookings} == {
        ("gpu", "compute", "a"): pytest.approx(ours_j, rel=1e-12),
        ("gpu", "tenants", "none"): pytest.approx(theirs_j, rel=1e-12),
    }
    assert end.energy_drawn_j == pytest.approx(ours_j + theirs_j, rel=1e-12)


def test_a_job_alone_is_not_slowed_while_a_slot_is_left() -> None:
    clock, server = plain(4, services={"gpu": Service(load=steps((0.0, 0.74)))})
    ends: list[float] = []
    server.submit("gpu", server.tenant("a"), 1.5, lambda: ends.append(clock.now), never)
    clock.run_until(10.0)
    assert ends == [1.5]


def hourly(seed: int = 0, step_s: float = 1.0) -> GaussMarkovBank:
    keys = Streams(seed).keys("load", [("cloud", 0)])
    return GaussMarkovBank(keys, 0.4, 0.3, step_s, 600.0, 0.0, 0.99)


def test_a_server_that_nobody_asks_for_anything_costs_no_events_and_its_joules_are_exact() -> None:
    day_s = 86_400.0
    clock, server = plain(2, CURVE, services={"gpu": Service(load=hourly().signal(0))})
    clock.run_until(day_s)
    assert clock.events == 0
    assert not clock._queue
    spec = server.processors["gpu"].spec
    expected_j = sum(
        spec.load_w(rho) * (to_s - from_s)
        for from_s, to_s, rho in hourly().signal(0).segments(0.0, day_s)
    )
    end = server.end()
    assert clock.now == day_s
    assert end.energy_drawn_j == pytest.approx(expected_j, rel=1e-9)
    assert [row for row in end.bookings if row[0] == "gpu"] == [
        ("gpu", "tenants", "none", pytest.approx(expected_j, rel=1e-9))
    ]


def integrate(
    jobs: Sequence[tuple[float, float]], load: Signal, slots: int, until_s: float
) -> tuple[list[float], float, float]:
    """Ends, our joules and theirs, by going from change to change with everybody in view."""
    spec = plain(slots, CURVE)[1].processors["gpu"].spec
    left = {i: work_s for i, (_, work_s) in enumerate(jobs)}
    ends = [inf] * len(jobs)
    time_s = ours_j = theirs_j = 0.0
    while time_s < until_s:
        _, change_s, rho = load.segment(time_s)
        here = [i for i, (come_s, _) in enumerate(jobs) if come_s <= time_s and ends[i] == inf]
        served = here[:slots]
        speed = min(slots * (1 - rho) / max(len(served), 1), 1.0)
        next_s = min(
            [change_s, until_s]
            + [come_s for come_s, _ in jobs if come_s > time_s]
            + [time_s + left[i] / speed for i in served]
        )
        seconds = next_s - time_s
        own = speed * len(served) / slots
        watts = spec.load_w(min(own + rho, 1.0))
        if own + rho:
            ours_j += watts * own / (own + rho) * seconds
            theirs_j += watts * rho / (own + rho) * seconds
        for i in served:
            left[i] -= speed * seconds
            if left[i] < 1e-12:
                ends[i] = next_s
        time_s = next_s
    return ends, ours_j, theirs_j


@given(
    jobs=st.lists(st.tuples(st.floats(0.01, 20.0), st.floats(0.01, 6.0)), max_size=12),
    slots=st.integers(1, 3),
    seed=st.integers(0, 1000),
    looks=st.lists(st.floats(0.0, 60.0), max_size=4),
)
@CHECK
def test_beside_tenants_everything_goes_as_in_a_naive_simulation(
    jobs: list[tuple[float, float]], slots: int, seed: int, looks: list[float]
) -> None:
    jobs = sorted(jobs)
    clock, server = plain(
        slots, CURVE, services={"gpu": Service(load=hourly(seed, 0.37).signal(0))}
    )
    ends = [inf] * len(jobs)
    for i, (come_s, work_s) in enumerate(jobs):
        done = partial(lambda i: ends.__setitem__(i, clock.now), i)
        at(clock, come_s, partial(server.submit, "gpu", server.tenant("a"), work_s, done, never))
    for look_s in looks:
        at(clock, look_s, server.end)
    clock.run_until(60.0)
    end = server.end()
    expected, ours_j, theirs_j = integrate(jobs, hourly(seed, 0.37).signal(0), slots, 60.0)
    assert ends == pytest.approx(expected, rel=1e-9)
    booked = {row[:3]: row[3] for row in end.bookings}
    assert booked.get(("gpu", "compute", "a"), 0.0) == pytest.approx(ours_j, rel=1e-9)
    assert booked.get(("gpu", "tenants", "none"), 0.0) == pytest.approx(theirs_j, rel=1e-9)
    assert sum(booked.values()) == pytest.approx(end.energy_drawn_j, rel=1e-9)


def test_the_building_comes_on_top_of_what_tenants_draw_too() -> None:
    clock = Clock()
    specs = {
        name: ProcessorSpec(name, name, (Level(1e9, BUSY_W),), slots=1) for name in ("cpu", "gpu")
    }
    services = {"gpu": Service(load=steps((0.0, 0.5), (3.0, 0.25)))}
    server = Server(clock, "cloud", ServerSpec("t", 1.5, 10.0, specs), services=services)
    server.submit("cpu", server.tenant("a"), 2.0, lambda: None, never)
    clock.run_until(5.0)
    assert server.drawn_j == pytest.approx(1.5 * (50 + 160 + 40 * 3 + 20 * 2))
    end = server.end()
    booked = {row[:3]: row[3] for row in end.bookings}
    assert booked["gpu", "tenants", "none"] == pytest.approx(160.0)
    assert booked["facility", "overhead", "none"] == pytest.approx(0.5 * (50 + 160))
    assert end.bookings == sorted(end.bookings[:-2]) + end.bookings[-2:]
    assert sum(booked.values()) == pytest.approx(end.energy_drawn_j, rel=1e-12)


def test_tenants_need_slots_to_share() -> None:
    with pytest.raises(SimulationError, match="slots"):
        plain(None, services={"gpu": Service(load=steps((0.0, 0.5)))})  # type: ignore[arg-type]


# --- forecasts -----------------------------------------------------------------------------------


@given(
    before=st.lists(
        st.tuples(st.floats(0.0, 60.0), st.sampled_from(MODELS)), min_size=0, max_size=25
    ),
    after_ms=st.floats(0.0, 80.0),
    model=st.sampled_from(MODELS),
    size=st.integers(0, 5),
    wait_ms=st.sampled_from([0.0, 1.3, 9.1]),
    slots=st.integers(1, 3),
    limit=st.sampled_from([None, 1, 5, 8]),
    has_tenants=st.booleans(),
    seed=st.integers(0, 100),
)
@CHECK
def test_a_forecast_is_what_happens_if_nobody_else_comes(
    before: list[tuple[float, str]],
    after_ms: float,
    model: str,
    size: int,
    wait_ms: float,
    slots: int,
    limit: int | None,
    has_tenants: bool,
    seed: int,
) -> None:
    clock = Clock()
    rule = Batching(size, wait_ms / 1e3) if size else None
    service = Service(rule, hourly(seed, 0.007).signal(0) if has_tenants else None)
    server = Server(
        clock,
        "cloud",
        ServerSpec("test", 1.0, 0.0, {"gpu": p100(slots)}),
        services={"gpu": service},
        queue_limit=limit,
    )
    for come_ms, other in before:
        submit = partial(server.submit, "gpu", server.tenant("o"), TASKS[other])
        at(clock, come_ms / 1e3, partial(submit, lambda: None, lambda: None))
    clock.run_until(0.0601)
    arrive_s = clock.now + after_ms / 1e3
    forecast_s = server.forecast_s("gpu", TASKS[model], arrive_s, clock.now)
    assert forecast_s == server.forecast_s("gpu", TASKS[model], arrive_s, clock.now)
    ends: list[float] = []
    at(
        clock,
        arrive_s,
        lambda: server.submit(
            "gpu",
            server.tenant("a"),
            TASKS[model],
            lambda: ends.append(clock.now),
            lambda: ends.append(inf),
        ),
    )
    clock.run_until(60.0)
    assert forecast_s == pytest.approx(ends[0], rel=1e-9)
