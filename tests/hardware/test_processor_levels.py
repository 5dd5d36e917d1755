"""A processor's levels, sharing and watts, by hand and against a naive simulation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.power import Meter
from edgesim.hardware.processor import Execution, Governor, MemoryBus, Processor
from edgesim.nn.cost import Level, ProcessorSpec

CHECK = settings(derandomize=True, deadline=None, max_examples=120)

CPU = ProcessorSpec(
    *("cpu", "cpu", (Level(1e9, 0.4), Level(1.5e9, 0.8), Level(2e9, 1.5))),
    cores=4,
    cluster_power_w=0.2,
)
WATTS = (4 * 0.4 - 3 * 0.2, 4 * 0.8 - 3 * 0.2, 4 * 1.5 - 3 * 0.2)
"""All four cores busy: n x busy - (n - 1) x cluster."""
LITTLE = ProcessorSpec("little", "cpu", (Level(1e9, 0.1),), cores=4)


@dataclass(eq=False)
class Someone:
    job: str = "camera"
    energy_j: float = 0.0


class MemoryTask:
    """So many seconds of arithmetic and so many at the memory, whatever the level."""

    def __init__(self, arithmetic_s: float, memory_s: float, traffic_bytes: float) -> None:
        self.arithmetic_s, self.memory_s = arithmetic_s, memory_s
        self.traffic_bytes = traffic_bytes

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        clock = spec.levels[-1].frequency_hz / spec.levels[level].frequency_hz
        return self.arithmetic_s * clock * spec.cores / max(cores, 1), self.memory_s


@dataclass
class Bench:
    governor: Governor = field(default_factory=lambda: Governor("performance"))
    spec: ProcessorSpec = CPU
    slower: float = 1.0
    hungrier: float = 1.0
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(1e9))

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.meter = Meter(self.clock, "phone")
        self.cpu = Processor(
            *(self.clock, self.meter, self.spec, self.governor, self.bus),
            self.slower,
            self.hungrier,
        )
        self.ends: dict[str, float] = {}

    def run(
        self, user: Someone, task: Any, level: int | None = None, on: Processor | None = None
    ) -> Execution:
        return (on or self.cpu).run(
            user, task, lambda: self.ends.__setitem__(user.job, self.clock.now), level
        )

    def at(self, time_s: float, function: Callable[[], Any]) -> None:
        self.clock.call_at(time_s, Order.ARRIVAL, lambda _: function())

    def booked(self) -> dict[tuple[str, str, str], float]:
        self.meter.audit()
        return {row[:3]: row[3] for row in self.meter.bookings() if row[3]}


@pytest.mark.parametrize(
    ("governor", "level"),
    [
        (Governor("performance"), 2),
        (Governor("powersave"), 0),
        (Governor("fixed", 1), 1),
        (Governor("schedutil"), 2),
        (Governor("controller"), 2),  # nobody wishes anything
    ],
)
def test_the_governor_sets_pace_and_watts(governor: Governor, level: int) -> None:
    bench, ann = Bench(governor), Someone()
    bench.run(ann, 3.0)
    assert bench.cpu.frequency_hz == CPU.levels[level].frequency_hz
    seconds = 3.0 * 2e9 / CPU.levels[level].frequency_hz
    bench.clock.run_until(100)
    assert bench.ends == {"camera": pytest.approx(seconds)}
    assert ann.energy_j == pytest.approx(WATTS[level] * seconds)
    assert bench.booked() == {("cpu", "compute", "camera"): pytest.approx(ann.energy_j)}


@pytest.mark.parametrize(
    ("cpu", "level"),
    [
        (0.0, 0),
        *((0.39, 0), (0.41, 1), (0.6, 1), (0.61, 2)),
    ],
)
def test_schedutil_keeps_a_quarter_of_headroom_above_apps(cpu: float, level: int) -> None:
    # 1.25 x use x 2 GHz: up to 0.4 fits 1 GHz, up to 0.6 1.5 GHz.
    bench = Bench(Governor("schedutil"))
    bench.cpu.set_apps(cpu)
    assert bench.cpu.frequency_hz == CPU.levels[level].frequency_hz
    bench.clock.run_until(10)
    used = cpu * 2e9 / CPU.levels[level].frequency_hz
    assert bench.meter.drawn_j == pytest.approx(10 * used * WATTS[level])


def test_the_controllers_wish_is_the_highest_of_those_present() -> None:
    bench = Bench(Governor("controller"))
    ann, bob = Someone("a"), Someone("b")
    bench.run(ann, 2.0, level=0)
    assert bench.cpu.frequency_hz == 1e9
    bench.at(1, lambda: bench.run(bob, 0.5, level=2))
    bench.clock.run_until(1.5)
    assert bench.cpu.frequency_hz == 2e9
    bench.clock.run_until(20)
    # By 1 s, Ann has done 0.5 of her 2 s; both share the top level until Bob's 0.5 s are done at
    # 2 s; Ann's last second takes two at the lowest level.
    assert bench.ends == {"b": pytest.approx(2.0), "a": pytest.approx(4.0)}
    assert bob.energy_j == pytest.approx(WATTS[2] / 2)
    assert ann.energy_j == pytest.approx(WATTS[0] + WATTS[2] / 2 + 2 * WATTS[0])


def test_heat_in_mid_job_keeps_the_work_done() -> None:
    bench, ann = Bench(), Someone()
    bench.run(ann, 4.0)
    bench.at(1, lambda: bench.cpu.limit(0, 4))
    bench.at(3, lambda: bench.cpu.limit(1, 2))
    bench.at(5, lambda: bench.cpu.limit(2, 4))
    bench.clock.run_until(100)
    # 1 s of 4; 2 s at half the clock: 1 more; 2 s at 3/4 of the clock on half the cores: 0.75 more;
    # the last 1.25 at full speed.
    assert bench.ends == {"camera": pytest.approx(6.25)}
    joules = WATTS[2] * 2.25 + WATTS[0] * 2 + (2 * 0.8 - 0.2) * 2
    assert ann.energy_j == pytest.approx(joules)
    assert bench.cpu.busy_s == pytest.approx(6.25)


def test_a_cluster_that_is_unplugged_hands_its_jobs_over_with_what_they_have_done() -> None:
    bench, ann, bob = Bench(), Someone("a"), Someone("b")
    little = Processor(bench.clock, bench.meter, LITTLE, bus=bench.bus)
    bench.cpu.stand_in = little
    bench.run(ann, 4.0)
    bench.at(1, lambda: bench.cpu.limit(2, 0))
    bench.at(2, lambda: bench.run(bob, 1.0))
    bench.at(8, lambda: bench.cpu.limit(2, 4))
    bench.clock.run_until(3)
    assert bench.cpu.place is little
    assert (bench.cpu.capacity.in_service, little.capacity.in_service) == (0, 2)
    bench.clock.run_until(9)
    assert bench.cpu.place is bench.cpu
    bench.clock.run_until(100)
    # Three quarters of Ann's are left: 3 s of the little cluster; she has it alone for 1 s, shares
    # it with Bob for 2 s, and is done a second after.
    assert bench.ends == {"b": pytest.approx(4.0), "a": pytest.approx(5.0)}
    assert ann.energy_j == pytest.approx(WATTS[2] + 0.4 + 0.4 + 0.4)
    assert bench.booked() == {
        ("cpu", "compute", "a"): pytest.approx(WATTS[2]),
        ("little", "compute", "a"): pytest.approx(1.2),
        ("little", "compute", "b"): pytest.approx(0.4),
    }


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("cpu", [0.1, 0.3, 0.5, 1.0])
def test_an_app_has_what_it_asks_for_but_no_more_than_an_even_part(jobs: int, cpu: float) -> None:
    bench = Bench()
    bench.cpu.set_apps(cpu)
    users = [Someone(str(k)) for k in range(jobs)]
    for user in users:
        bench.run(user, 1.0)
    part = min(cpu, 1 / (jobs + 1))
    end_s = jobs / (1 - part)
    bench.clock.run_until(end_s)
    bench.clock.run_until(end_s + 1e-9)
    assert list(bench.ends.values()) == [pytest.approx(end_s)] * jobs
    for user in users:
        assert user.energy_j == pytest.approx(WATTS[2] * (1 - part) * end_s / jobs)
    assert bench.booked()["cpu", "background", "none"] == pytest.approx(
        WATTS[2] * part * end_s, rel=1e-6
    )


@pytest.mark.parametrize("share", [0.25, 0.5, 0.95, 1.0])
def test_what_waits_for_the_memory_waits_longer_while_apps_use_it(share: float) -> None:
    bench, ann = Bench(), Someone()
    bench.run(ann, MemoryTask(1.0, 1.0, 0.0))

    def browse() -> None:
        bench.bus.apps = share
        bench.cpu.adjust()

    bench.at(1, browse)
    bench.clock.run_until(100)
    # Half is done; the rest takes 0.5 s, and 0.5 s / (1 - r), r being counted up to 0.95.
    end_s = 1 + 0.5 + 0.5 / (1 - min(share, 0.95))
    assert bench.ends == {"camera": pytest.approx(end_s)}
    assert ann.energy_j == pytest.approx(WATTS[2] * end_s)


def test_two_processors_slow_each_other_down_at_the_memory() -> None:
    bench, ann, bob = Bench(), Someone("a"), Someone("b")
    gpu = Processor(
        bench.clock,
        bench.meter,
        ProcessorSpec("gpu", "gpu", (Level(1e9, 2.0),)),
        bus=bench.bus,
    )
    bench.run(ann, MemoryTask(1.0, 1.0, 1e9))  # 0.5 of the bandwidth while it runs alone
    bench.run(bob, MemoryTask(2.0, 0.0, 0.5e9), on=gpu)  # 0.25 of it, and waits for none of it
    bench.clock.run_until(100)
    # While Bob is there, Ann's second at the memory takes 4/3.
    done = 2.0 / (1 + 4 / 3)
    assert bench.ends["b"] == pytest.approx(2.0)
    assert bench.ends["a"] == pytest.approx(2.0 + (1 - done) * 2.0)


def test_a_device_that_is_slower_and_hungrier_takes_longer_and_draws_more() -> None:
    bench, ann = Bench(slower=1.5, hungrier=1.2), Someone()
    bench.cpu.set_apps(0.25)
    bench.run(ann, MemoryTask(1.0, 1.0, 0.0))
    bench.clock.run_until(4.0)
    assert bench.ends == {}
    bench.clock.run_until(4.0 + 1e-6)
    # 2 s x 1.5 at three quarters of the processor's time.
    assert bench.ends == {"camera": pytest.approx(4.0)}
    assert ann.energy_j == pytest.approx(4.0 * 0.75 * WATTS[2] * 1.2)
    background_j = bench.booked()["cpu", "background", "none"]
    assert background_j == pytest.approx(4.0 * 0.25 * WATTS[2] * 1.2, rel=1e-5)


def test_without_any_cores_left_of_the_last_cluster_one_stays() -> None:
    bench, ann = Bench(), Someone()
    bench.cpu.limit(2, 0)
    assert bench.cpu.cores == 1
    bench.run(ann, 1.0)
    bench.clock.run_until(10)
    assert bench.ends == {"camera": pytest.approx(4.0)}
    assert ann.energy_j == pytest.approx(4.0 * 1.5)


STEPS = st.tuples(
    st.integers(1, 40),
    st.one_of(
        st.tuples(st.just("run"), st.integers(1, 30), st.sampled_from([None, 0, 1, 2])),
        st.tuples(st.just("apps"), st.integers(0, 10), st.integers(0, 10)),
        st.tuples(st.just("limit"), st.integers(0, 2), st.integers(1, 4)),
        st.tuples(st.just("cancel"), st.integers(0, 8), st.just(0)),
    ),
)


@given(
    script=st.lists(STEPS, max_size=25),
    kind=st.sampled_from(["performance", "powersave", "schedutil", "fixed", "controller"]),
    slower=st.sampled_from([1.0, 1.3]),
    hungrier=st.sampled_from([1.0, 0.8]),
)
@CHECK
def test_any_script_comes_to_what_a_naive_simulation_says(
    script: list[tuple[int, tuple[str, int, Any]]], kind: str, slower: float, hungrier: float
) -> None:
    bench = Bench(Governor(kind, 1), slower=slower, hungrier=hungrier)
    executions: list[Execution] = []
    users: list[Someone] = []
    # The naive side: share of each job left, its wish, who it is.
    left: dict[int, float] = {}
    tasks: dict[int, tuple[float, float]] = {}
    wishes: dict[int, int | None] = {}
    joules: dict[int, float] = {}
    ends: dict[int, float] = {}
    apps_cpu = apps_memory = background_j = 0.0
    top, cores = 2, 4

    def level() -> int:
        if kind in ("performance", "powersave", "fixed"):
            chosen = {"performance": 2, "powersave": 0, "fixed": 1}[kind]
        else:
            wished = [wish for wish in (wishes[k] for k in left) if wish is not None]
            of_apps = next(
                k for k in (0, 1, 2) if k == 2 or CPU.levels[k].frequency_hz >= 2.5e9 * apps_cpu
            )
            is_full = left and (kind == "schedutil" or not wished)
            chosen = 2 if is_full else max([of_apps, *wished])
        return min(chosen, top)

    def advance(now_s: float, until_s: float) -> None:
        nonlocal background_j
        while now_s < until_s:
            at_level = level()
            clock = 2e9 / CPU.levels[at_level].frequency_hz
            busy = CPU.levels[at_level].busy_power_w
            full_w = (cores * busy - (cores - 1) * 0.2) * hungrier
            apps = min(apps_cpu * clock, 1 / (len(left) + 1))
            stretch = 1 / (1 - min(apps_memory, 0.95))
            alone_s = {
                k: (tasks[k][0] * clock * 4 / cores + tasks[k][1] * stretch) * slower for k in left
            }
            rate = {k: (1 - apps) / len(left) / alone_s[k] for k in left}
            step_s = min([until_s - now_s, *(left[k] / rate[k] for k in left)])
            background_j += apps * full_w * step_s
            for k in list(left):
                joules[k] += (1 - apps) * full_w * step_s / len(left)
            for k in list(rate):
                left[k] -= rate[k] * step_s
            now_s += step_s
            for k in list(left):
                if left[k] <= 1e-11:
                    del left[k]
                    ends[k] = now_s

    for gap, (what, one, other) in [*script, (20_000, ("cancel", 99, 0))]:
        before_s = bench.clock.now
        now_s = before_s + gap * 0.13717
        bench.clock.run_until(now_s)
        advance(before_s, now_s)
        if what == "run":
            number = len(executions)
            users.append(Someone(str(number)))
            tasks[number] = (one / 9, (one % 4) / 8)
            left[number], wishes[number], joules[number] = 1.0, other, 0.0
            executions.append(bench.run(users[-1], MemoryTask(*tasks[number], 0.0), other))
        elif what == "apps":
            apps_cpu, apps_memory = one / 10, other / 10
            bench.bus.apps = apps_memory
            bench.cpu.set_apps(apps_cpu)
        elif what == "limit":
            top, cores = one, other
            bench.cpu.limit(top, cores)
        elif one < len(executions) and one in left:
            del left[one]
            bench.cpu.cancel(executions[one])
    assert not left
    assert bench.ends == {str(k): pytest.approx(end_s, rel=1e-7) for k, end_s in ends.items()}
    for number, user in enumerate(users):
        assert user.energy_j == pytest.approx(joules[number], rel=1e-7, abs=1e-9)
    rows = bench.booked()
    assert rows.get(("cpu", "background", "none"), 0.0) == pytest.approx(background_j, rel=1e-7)
    assert bench.meter.drawn_j == pytest.approx(sum(joules.values()) + background_j, rel=1e-7)
