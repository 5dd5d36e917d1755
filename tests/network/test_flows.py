"""Sharing of airtime and wires, against references written out here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.errors import SimulationError
from edgesim.network.flows import Air, Flow, Lane, Wire, share_out, water_level

CHECK = settings(derandomize=True, deadline=None, max_examples=150)

Kind = tuple[int, tuple[int, ...], float, int]
"""Air, wires, rate, how many."""


@st.composite
def kinds(draw: Any, rates: Sequence[float]) -> tuple[list[Kind], int, list[float]]:
    airs, wires = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    capacities = draw(st.lists(st.floats(0.5, 200.0), min_size=wires, max_size=wires))
    one = st.tuples(
        st.integers(0, airs - 1),
        st.sets(st.integers(0, max(wires - 1, 0)), max_size=min(wires, 3)).map(
            lambda some: tuple(sorted(some)) if wires else ()
        ),
        st.sampled_from(rates),
        st.integers(1, 4),
    )
    return draw(st.lists(one, min_size=1, max_size=8)), airs, capacities


# --- shares --------------------------------------------------------------------------------------


def progressive_filling(flows: Sequence[Kind], airs: int, wires: Sequence[float]) -> list[float]:
    """Max-min rates where all have one rate: everybody rises together until a hop is full."""
    rate = flows[0][2]
    capacities = [rate] * airs + list(wires)
    paths = [[air, *(airs + wire for wire in path)] for air, path, _, _ in flows]
    speeds, rising = [0.0] * len(flows), set(range(len(flows)))
    while rising:
        room = {
            hop: (capacity - sum(speeds[k] * flows[k][3] for k, p in enumerate(paths) if hop in p))
            / users
            for hop, capacity in enumerate(capacities)
            if (users := sum(flows[k][3] for k in rising if hop in paths[k]))
        }
        step = min(room.values())
        for k in rising:
            speeds[k] += step
        full = {hop for hop, left in room.items() if left <= step * (1 + 1e-12)}
        rising = {k for k in rising if not full & set(paths[k])}
    return speeds


@given(world=kinds([50.0]))
@CHECK
def test_with_equal_rates_it_is_plain_max_min(
    world: tuple[list[Kind], int, list[float]],
) -> None:
    flows, airs, wires = world
    speeds = [50.0 * share for share in share_out(flows, airs, wires)]
    assert speeds == pytest.approx(progressive_filling(flows, airs, wires), rel=1e-9)


@given(world=kinds([6.5, 13.0, 52.0, 78.0, 78.5]))
@CHECK
def test_everybody_has_a_bottleneck_and_no_hop_carries_too_much(
    world: tuple[list[Kind], int, list[float]],
) -> None:
    flows, airs, wires = world
    shares = share_out(flows, airs, wires)
    uses: list[dict[int, float]] = [{} for _ in range(airs + len(wires))]
    for number, ((air, path, rate, _), share) in enumerate(zip(flows, shares, strict=True)):
        uses[air][number] = share
        for wire in path:
            uses[airs + wire][number] = share * rate
    capacities = [1.0] * airs + wires
    loads = [sum(use * flows[k][3] for k, use in hop.items()) for hop in uses]
    assert all(load <= c * (1 + 1e-9) for load, c in zip(loads, capacities, strict=True))
    for number in range(len(flows)):
        assert any(
            number in hop
            and load >= c * (1 - 1e-9)
            and hop[number] >= max(hop.values()) * (1 - 1e-9)
            for hop, load, c in zip(uses, loads, capacities, strict=True)
        )


@given(world=kinds([6.5, 52.0, 78.0]))
@CHECK
def test_so_many_of_a_kind_are_so_many_flows(
    world: tuple[list[Kind], int, list[float]],
) -> None:
    flows, airs, wires = world
    one_by_one = [(air, path, rate, 1) for air, path, rate, count in flows for _ in range(count)]
    single = iter(share_out(one_by_one, airs, wires))
    for share, (*_, count) in zip(share_out(flows, airs, wires), flows, strict=True):
        for _ in range(count):
            assert next(single) == pytest.approx(share, rel=1e-9)


def test_a_slow_phone_behind_a_full_wire_gets_as_many_bits_as_a_fast_one() -> None:
    # 10 Mbit/s for two phones of 13 and 78 Mbit/s: 5 each; for one of 6.5 at a busy air, what it gets.
    shares = share_out([(0, (0,), 13e6, 1), (0, (0,), 78e6, 1)], 1, [10e6])
    assert [shares[0] * 13e6, shares[1] * 78e6] == pytest.approx([5e6, 5e6])
    # And with the air full first, airtime is even: 3.25 and 39 Mbit/s.
    shares = share_out([(0, (0,), 6.5e6, 1), (0, (0,), 78e6, 1)], 1, [1e9])
    assert shares == pytest.approx([0.5, 0.5])


@given(
    caps=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), max_size=6),
    capacity=st.floats(0.1, 50),
    others=st.integers(0, 3),
)
@CHECK
def test_water_rises_to_where_everything_is_used(
    caps: list[tuple[float, int]], capacity: float, others: int
) -> None:
    level = water_level(caps, capacity, others)
    used = sum(min(cap, level) * count for cap, count in caps) + (others * level if others else 0)
    if level == inf:
        assert sum(cap * count for cap, count in caps) <= capacity * (1 + 1e-12)
    else:
        assert used == pytest.approx(capacity, rel=1e-9)


def test_a_wire_without_capacity_is_refused() -> None:
    for capacity_bps in (0.0, -1.0, inf):
        with pytest.raises(SimulationError, match="wire"):
            Wire("dsl", capacity_bps)


# --- in time -------------------------------------------------------------------------------------


@dataclass(eq=False)
class Watch:
    lanes: dict[Lane, int] = field(default_factory=dict)

    def entered(self, lane: Lane) -> None:
        self.lanes[lane] = self.lanes.get(lane, 0) + 1

    def left(self, lane: Lane) -> None:
        self.lanes[lane] -= 1

    def shares_changed(self) -> None:
        pass


class Noted(Flow):
    """A flow that notes when it ends."""

    def __init__(
        self,
        clock: Clock,
        ends: dict[int, float],
        number: int,
        wires: tuple[Wire, ...],
        *rest: float,
    ) -> None:
        super().__init__(wires, *rest)
        self.number = number
        self._clock, self._ends = clock, ends
        self._watch = Watch()

    def watchers(self) -> Sequence[Watch]:
        return (self._watch,)

    def finished(self) -> None:
        assert all(count == 0 for count in self._watch.lanes.values())
        self._ends[self.number] = self._clock.now


@dataclass(frozen=True)
class Step:
    """A flow comes, gets another rate, or goes."""

    time_s: float
    what: str
    flow: int
    rate_bps: float = 0.0


@st.composite
def stories(draw: Any) -> tuple[int, list[float], list[Any], list[Step]]:
    airs, wires = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    capacities = draw(st.lists(st.floats(3.0, 60.0), min_size=wires, max_size=wires))
    flows, steps = [], []
    times = st.integers(0, 40).map(lambda tenth: tenth * 0.137)
    rates = st.sampled_from([0.0, 6.5, 13.0, 52.0, 78.0])
    for number in range(draw(st.integers(1, 7))):
        path: tuple[int, ...] = ()
        if wires:
            path = tuple(sorted(draw(st.sets(st.integers(0, wires - 1), max_size=2))))
        air, bits = draw(st.integers(0, airs - 1)), draw(st.floats(0.1, 200))
        flows.append((air, path, bits))
        start_s = draw(times)
        steps.append(Step(start_s, "come", number, draw(rates)))
        steps += [
            Step(start_s + 0.05 + draw(times), "rate", number, draw(rates))
            for _ in range(draw(st.integers(0, 3)))
        ]
        if draw(st.booleans()):
            steps.append(Step(start_s + 0.07 + draw(times), "go", number))
    return airs, capacities, flows, sorted(steps, key=lambda step: step.time_s)


def by_brute_force(
    airs: int, wires: list[float], flows: list[Any], steps: list[Step], until_s: float
) -> tuple[dict[int, float], dict[int, float]]:
    """Ends, and what is left of the others: every flow is started anew at each change."""
    left: dict[int, float] = {}
    rates: dict[int, float] = {}
    ends: dict[int, float] = {}
    queue, now_s = list(steps), 0.0
    while True:
        going = [k for k in left if rates[k]]
        shares = share_out([(*flows[k][:2], rates[k], 1) for k in going], airs, wires)
        speeds = {k: share * rates[k] for k, share in zip(going, shares, strict=True)}
        ends_s = {k: now_s + left[k] / speed for k, speed in speeds.items()}
        first_s = min([*ends_s.values(), inf])
        step_s = queue[0].time_s if queue else inf
        next_s = min(first_s, step_s, until_s)
        for k, speed in speeds.items():
            left[k] -= speed * (next_s - now_s)
        now_s = next_s
        for k in [k for k, end_s in ends_s.items() if end_s <= now_s * (1 + 1e-13)]:
            ends[k] = now_s
            del left[k]
        if now_s >= until_s:
            return ends, left
        while queue and queue[0].time_s <= now_s:
            step = queue.pop(0)
            if step.what == "come":
                left[step.flow], rates[step.flow] = flows[step.flow][2], step.rate_bps
            elif step.flow in left and step.what == "rate":
                rates[step.flow] = step.rate_bps
            elif step.what == "go":
                left.pop(step.flow, None)


@given(story=stories())
@CHECK
def test_flows_end_when_brute_force_says(
    story: tuple[int, list[float], list[Any], list[Step]],
) -> None:
    airs, capacities, flows, steps = story
    until_s = 60.0
    expected, left = by_brute_force(airs, capacities, flows, steps, until_s)
    clock = Clock()
    air = [Air(clock) for _ in range(airs)]
    wires = [Wire(f"w{k}", capacity) for k, capacity in enumerate(capacities)]
    ends: dict[int, float] = {}
    made: dict[int, Noted] = {}

    def happen(step: Step) -> None:
        number, path, bits = flows[step.flow]
        if step.what == "come":
            flow = made[step.flow] = Noted(
                clock, ends, step.flow, tuple(wires[k] for k in path), step.rate_bps, bits
            )
            air[number].add(flow)
        elif step.flow not in ends and not made[step.flow].is_cancelled:
            if step.what == "rate":
                air[number].set_rate(made[step.flow], step.rate_bps)
            else:
                air[number].cancel(made[step.flow])

    for step in steps:
        clock.call_at(step.time_s, Order.WEATHER, happen, step)
    clock.run_until(until_s)
    assert set(ends) == set(expected)
    for number, end_s in expected.items():
        assert ends[number] == pytest.approx(end_s, rel=1e-9, abs=1e-9)
    for number, bits in left.items():
        flow = made[number]
        air[flows[number][0]].cancel(flow)
        assert flow.left_bits == pytest.approx(bits, rel=1e-7, abs=1e-7)
    for wire in wires:
        assert wire.load_bps == 0.0
        assert not wire.airs


def test_one_wake_up_is_pending_however_many_flows_there_are() -> None:
    clock = Clock()
    air, ends = Air(clock), dict[int, float]()
    for number in range(1000):
        air.add(Noted(clock, ends, number, (), 1e6, 1e6 + number))
    clock.run_until(5000)
    assert len(ends) == 1000
    assert clock.events == 1000


def test_flows_of_one_way_and_one_rate_share_a_lane() -> None:
    clock, wire = Clock(), Wire("dsl", 5e6)
    air, ends = Air(clock), dict[int, float]()
    for number in range(100):
        air.add(Noted(clock, ends, number, (wire,), 78e6 if number % 2 else 13e6, 1e9))
    assert len(air.lanes()) == 2
    assert wire.is_full
    assert wire.load_bps == pytest.approx(5e6)
    assert wire.offer_bps() == pytest.approx(5e6 / 101)
