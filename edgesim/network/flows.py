"""Flows that share hops: airtime at an access point, bits per second on a wire.

A flow goes through the air of one network and then over any number of wires. Each hop divides what
it has evenly among the flows that could use more there: airtime in the air, whatever their rates
(:mod:`edgesim.network.wifi`), bits per second on a wire. Nothing is left unused that some flow could
use, and every flow is held back by exactly one hop, its *bottleneck*, where nobody has more than it.
That is max-min fairness (Bertsekas, Gallager, "Data Networks", 2nd ed., 1992, sec. 6.5.2) with each
hop's own measure: "bottleneck max fairness" (Bonald, Roberts, "Multi-resource fairness", ACM
SIGMETRICS 2015). With equal rates it is plain max-min.

Flows that are bound to have the same share share a *lane*, which counts in virtual time: what each of
its flows has had of the air (:mod:`edgesim.core.capacity`). So a change costs as much as there are
lanes, not flows. In the air alone all flows are one lane; over wires, those with one way and one rate.

As long as no wire is full, airs know nothing of each other and a change concerns one air alone. When
a wire is full, the airs that share it are worked out together (:func:`share_out`). Each air has one
wake-up pending, for the first of its flows to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.errors import SimulationError

__all__ = ["Air", "Flow", "Lane", "Watcher", "Wire", "share_out", "water_level"]

_TOLERANCE = 1e-12
_MOST_SWEEPS = 500
_ROUNDING = 1e-12


class Watcher(Protocol):
    """Whoever must know how much of the air some flows have: a radio."""

    def entered(self, lane: Lane) -> None:
        """One of its flows has entered a lane."""

    def left(self, lane: Lane) -> None:
        """One of its flows has left a lane."""

    def shares_changed(self) -> None:
        """Lanes that its flows are in have another share."""


class Flow:
    """A transfer in progress. Derive from it what it is for.

    Args:
        wires: what it goes over behind the air.
        rate_bps: bits per second with the air to itself; 0: it waits, and its share goes to others.
        bits: how much it is.

    Attributes:
        air: whose air it goes through; set when it is added.
        lane: the lane that it is in; ``None`` while it waits.
        left_bits: what was left when it last entered or left a lane.
        is_cancelled: whether it has been taken out.
    """

    air: Air
    lane: Lane | None = None
    is_cancelled: bool = False
    _end_v: float = inf

    def __init__(self, wires: tuple[Wire, ...], rate_bps: float, bits: float) -> None:
        self.wires = wires
        self.rate_bps = rate_bps
        self.left_bits = bits

    @property
    def airtime(self) -> float:
        """The share of the air that it has at present, in [0, 1]."""
        return 0.0 if self.lane is None else self.lane.share

    def watchers(self) -> Sequence[Watcher]:
        """Who must know of its share."""
        return ()

    def finished(self) -> None:
        """The last bit has been sent; it is out of the air already."""


class Wire:
    """One direction of a wire.

    Args:
        name: of the link, for messages.
        capacity_bps: what it carries.

    Attributes:
        airs: those with flows over it.
        is_full: whether it held somebody back when last worked out.
    """

    __slots__ = ("_loads_bps", "airs", "capacity_bps", "is_full", "name")

    def __init__(self, name: str, capacity_bps: float) -> None:
        if not 0.0 < capacity_bps < inf:
            raise SimulationError(f"a wire of {capacity_bps!r} bit/s")
        self.name = name
        self.capacity_bps = capacity_bps
        self.is_full = False
        self.airs: dict[Air, None] = {}
        self._loads_bps: dict[Air, float] = {}

    @property
    def load_bps(self) -> float:
        """Bits per second on it."""
        return sum(self._loads_bps.values())

    def offer_bps(self) -> float:
        """What one more flow would get if nothing else held it back."""
        speeds = [
            (lane.share * lane.rate_bps, lane.flows)
            for air in self.airs
            for lane in air.lanes()
            if self in lane.wires
        ]
        return water_level(speeds, self.capacity_bps, 1)


class Lane:
    """Flows of one air that have the same share of it.

    Attributes:
        wires: what they go over.
        rate_bps: of each with the air to itself; without wires it does not matter, and is 0.
        share: of the air that each has at present.
        flows: how many there are.
    """

    __slots__ = ("_heap", "_since_s", "_v", "flows", "rate_bps", "share", "wires")

    def __init__(self, wires: tuple[Wire, ...], rate_bps: float) -> None:
        self.wires = wires
        self.rate_bps = rate_bps
        self.share = 0.0
        self.flows = 0
        self._heap: list[tuple[float, int, Flow]] = []  # entries of flows that have left go stale
        self._v = 0.0  # seconds of airtime that each has had
        self._since_s = 0.0

    def _advance(self, now_s: float) -> None:
        if now_s != self._since_s:
            self._v += (now_s - self._since_s) * self.share
            self._since_s = now_s

    def _first_end_s(self) -> float:
        """When the first of its flows ends; the account is up to date."""
        heap = self._heap
        while heap:
            end_v, _, flow = heap[0]
            if flow._end_v == end_v and flow.lane is self:
                ahead_v = end_v - self._v
                return self._since_s + ahead_v / self.share if ahead_v > 0.0 else self._since_s
            heappop(heap)
        return inf


class Air:
    """The air of one network, in one direction or in both: a second of airtime per second.

    Args:
        clock: the clock.
    """

    __slots__ = (
        "_lanes",
        "_plain",
        "_sequence",
        "_timer",
        "_watchers",
        "_wires",
        "clock",
        "flows",
    )

    def __init__(self, clock: Clock) -> None:
        self.flows = 0  # that are in some lane
        self.clock = clock
        self._plain = Lane((), 0.0)
        self._lanes: dict[tuple[tuple[Wire, ...], float], Lane] = {}  # of flows over wires
        self._watchers: dict[Watcher, int] = {}  # and how many flows each watches
        self._wires: dict[Wire, None] = {}  # that flows go over
        self._sequence = 0
        self._timer = Timer(clock, Order.COMPLETION, self._wake)

    def lanes(self) -> list[Lane]:
        """The lanes that have flows."""
        plain = [self._plain] if self._plain.flows else []
        return [*plain, *self._lanes.values()]

    # -- changes ----------------------------------------------------------------------------------

    def add(self, flow: Flow) -> None:
        """Let a flow begin; its ``finished()`` is called when it has ended."""
        flow.air = self
        if flow.rate_bps or not flow.left_bits:
            self._enter(flow)
            self._divide(flow.wires)

    def cancel(self, flow: Flow) -> None:
        """Take a flow out; ``left_bits`` is then what has not been sent."""
        flow.is_cancelled = True
        if flow.lane is not None:
            self._leave(flow)
            self._divide(flow.wires)

    def set_rate(self, flow: Flow, rate_bps: float) -> None:
        """Let a flow have another rate from now on; what it has sent is kept."""
        if rate_bps == flow.rate_bps:
            return
        if flow.lane is None:
            flow.rate_bps = rate_bps
            self.add(flow)
            return
        self._leave(flow)
        flow.rate_bps = rate_bps
        if rate_bps or not flow.left_bits:
            self._enter(flow)
        self._divide(flow.wires)

    def offer(self) -> float:
        """The share of the air that one more flow would get at present."""
        held_back, free = [], 1
        for lane in self.lanes():
            if any(wire.is_full for wire in lane.wires):
                held_back.append((lane.share, lane.flows))
            else:
                free += lane.flows
        return water_level(held_back, 1.0, free)

    # -- inside -----------------------------------------------------------------------------------

    def _enter(self, flow: Flow) -> None:
        """Put a flow into its lane."""
        if not flow.rate_bps:
            flow.rate_bps = 1.0  # it has nothing to send, and ends at once whatever the signal
        lane = self._plain
        if flow.wires:
            key = (flow.wires, flow.rate_bps)
            found = self._lanes.get(key)
            if found is None:
                found = self._lanes[key] = Lane(*key)
            lane = found
        if lane.flows:
            lane._advance(self.clock._now)
        else:  # nobody's end depends on V, so keep it small and exact
            lane._v = lane.share = 0.0
            lane._since_s = self.clock._now
            lane._heap.clear()
        lane.flows += 1
        self.flows += 1
        self._sequence += 1
        flow.lane = lane
        flow._end_v = end_v = lane._v + flow.left_bits / flow.rate_bps
        heappush(lane._heap, (end_v, self._sequence, flow))
        for watcher in flow.watchers():
            self._watchers[watcher] = self._watchers.get(watcher, 0) + 1
            watcher.entered(lane)

    def _leave(self, flow: Flow) -> None:
        """Take a flow out of its lane."""
        lane = flow.lane
        assert lane is not None
        lane._advance(self.clock._now)
        left_v = flow._end_v - lane._v
        # What is less than rounding has been sent: it was to end at this very moment.
        flow.left_bits = left_v * flow.rate_bps if left_v > _ROUNDING * flow._end_v else 0.0
        self._forget(flow, lane)

    def _forget(self, flow: Flow, lane: Lane) -> None:
        flow.lane = None
        flow._end_v = inf
        lane.flows -= 1
        self.flows -= 1
        if not lane.flows and lane is not self._plain:
            del self._lanes[lane.wires, lane.rate_bps]
        for watcher in flow.watchers():
            watcher.left(lane)
            left = self._watchers[watcher] - 1
            if left:
                self._watchers[watcher] = left
            else:
                del self._watchers[watcher]

    def _divide(self, wires: tuple[Wire, ...]) -> None:
        """A flow over these wires has come, gone or changed its rate: divide the air anew."""
        if wires or self._wires:
            _share_over_wires(self, wires)
        else:
            plain = self._plain
            share = 1.0 / plain.flows if plain.flows else 0.0
            if share != plain.share:
                plain._advance(self.clock._now)
                plain.share = share
                for watcher in self._watchers:
                    watcher.shares_changed()
            self._timer.set(plain._first_end_s())

    def _aim(self) -> None:
        """Wake up when the first flow ends."""
        self._timer.set(min([lane._first_end_s() for lane in self.lanes()], default=inf))

    def _wake(self) -> None:
        now_s = self.clock._now
        ended: list[tuple[int, Flow]] = []
        wires: dict[Wire, None] = {}
        for lane in self.lanes():
            is_due = lane._first_end_s() <= now_s  # before the account is moved on
            lane._advance(now_s)
            heap = lane._heap
            while heap and (is_due or heap[0][0] <= lane._v):
                end_v, sequence, flow = heappop(heap)
                if flow._end_v == end_v and flow.lane is lane:
                    is_due = False
                    if end_v > lane._v:
                        lane._v = end_v  # whatever rounding says
                    flow.left_bits = 0.0
                    self._forget(flow, lane)
                    ended.append((sequence, flow))
                    wires.update(dict.fromkeys(flow.wires))
        ended.sort()
        self._divide(tuple(wires))
        for _, flow in ended:
            if not flow.is_cancelled:  # by the end of another one
                flow.finished()


def water_level(caps: Iterable[tuple[float, int]], capacity: float, others: int = 0) -> float:
    """The level to which all must be filled so that ``capacity`` is used up.

    Args:
        caps: the most that each can take, and how many of them there are.
        capacity: what there is.
        others: how many more there are that can take any amount.

    Returns:
        The level; infinity if the caps are reached before the capacity is.
    """
    order = sorted(caps)
    left, hungry = capacity, sum(count for _, count in order) + others
    for cap, count in order:
        if cap * hungry >= left:
            return left / hungry
        left -= cap * count
        hungry -= count
    return left / others if others else inf


def share_out(
    flows: Sequence[tuple[int, tuple[int, ...], float, int]],
    airs: int,
    wires: Sequence[float],
) -> list[float]:
    """Bottleneck max fairness among flows over airs and wires.

    Args:
        flows: of each kind the number of its air, the numbers of its wires, its rate in bits per
            second with the air to itself, and how many there are.
        airs: how many airs there are.
        wires: capacity of each wire, bits per second.

    Returns:
        The share of its air that each flow of each kind has.
    """
    hops = airs + len(wires)
    capacities = [1.0] * airs + list(wires)
    # What a flow takes of each of its hops per share of the air.
    takes: list[list[tuple[int, float]]] = [
        [(air, 1.0)] + [(airs + wire, rate_bps) for wire in path]
        for air, path, rate_bps, _ in flows
    ]
    users: list[list[tuple[int, float]]] = [[] for _ in range(hops)]
    for number, taken in enumerate(takes):
        for hop, amount in taken:
            users[hop].append((number, amount))
    counts = [count for *_, count in flows]
    levels = [inf] * hops
    before: list[int] = []
    for _ in range(_MOST_SWEEPS):
        last = list(levels)
        for hop in range(hops):
            caps = [
                (
                    min(
                        [amount * levels[h] / a for h, a in takes[number] if h != hop], default=inf
                    ),
                    counts[number],
                )
                for number, amount in users[hop]
            ]
            levels[hop] = water_level(caps, capacities[hop])
        if _agree(levels, last):
            break
        # Each flow's bottleneck. Once these stay the same, the levels follow from linear equations.
        bottlenecks = [min(taken, key=lambda one: levels[one[0]] / one[1])[0] for taken in takes]
        if bottlenecks == before:
            exact = _levels_of(bottlenecks, takes, users, counts, capacities)
            if exact is not None:
                levels = exact
        before = bottlenecks
    shares = [min(levels[hop] / amount for hop, amount in taken) for taken in takes]
    for hop in range(hops):  # never more than there is, whatever rounding says
        used = sum(shares[number] * amount * counts[number] for number, amount in users[hop])
        if used > capacities[hop] * (1.0 + _TOLERANCE):
            for number, _ in users[hop]:
                shares[number] *= capacities[hop] / used
    return shares


def _agree(levels: Sequence[float], others: Sequence[float]) -> bool:
    return all(
        a == b or abs(a - b) <= _TOLERANCE * min(a, b) for a, b in zip(levels, others, strict=True)
    )


def _levels_of(
    bottlenecks: Sequence[int],
    takes: Sequence[Sequence[tuple[int, float]]],
    users: Sequence[Sequence[tuple[int, float]]],
    counts: Sequence[int],
    capacities: Sequence[float],
) -> list[float] | None:
    """The levels at which every bottleneck is used up, by Gaussian elimination; others infinite."""
    active = sorted(set(bottlenecks))
    place = {hop: index for index, hop in enumerate(active)}
    rows = []
    for hop in active:
        row = [0.0] * len(active) + [capacities[hop]]
        for number, amount in users[hop]:
            limit = bottlenecks[number]
            row[place[limit]] += counts[number] * amount / dict(takes[number])[limit]
        rows.append(row)
    n = len(rows)
    for column in range(n):
        pivot = max(range(column, n), key=lambda index: abs(rows[index][column]))
        if not rows[pivot][column]:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        for index in range(n):
            if index != column:
                factor = rows[index][column] / rows[column][column]
                if factor:
                    rows[index] = [
                        a - factor * b for a, b in zip(rows[index], rows[column], strict=True)
                    ]
    found = [rows[index][n] / rows[index][index] for index in range(n)]
    if min(found) <= 0.0:
        return None
    levels = [inf] * len(capacities)
    for hop, level in zip(active, found, strict=True):
        levels[hop] = level
    return levels


def _share_over_wires(air: Air, changed: Iterable[Wire]) -> None:
    """Divide an air anew whose flows go over wires, and whatever depends on it."""
    for wire in changed:
        wire.airs[air] = None
        air._wires[wire] = None
    if _stays_calm(air):
        return
    # Airs that full wires join are worked out together; at first, only this one.
    airs: dict[Air, None] = {air: None}
    joined: dict[Wire, None] = {}
    for wire in air._wires:
        if wire.is_full:
            _join(wire, airs, joined)
    while True:
        shares = _shares(list(airs), joined)
        overfull = _overfull(airs, joined, shares)
        if overfull is None:
            break
        _join(overfull, airs, joined)
    now_s = air.clock._now
    for one in airs:
        has_changed = one is air
        for lane in one.lanes():
            share = shares[lane]
            if share != lane.share:
                lane._advance(now_s)
                lane.share = share
                has_changed = True
        if has_changed:
            _tell(one)
            one._aim()
            for watcher in one._watchers:
                watcher.shares_changed()
    for wire in joined:
        wire.is_full = wire.load_bps >= wire.capacity_bps * (1.0 - 1e-9)


def _stays_calm(air: Air) -> bool:
    """Divide an air evenly if no wire of it has been full or becomes so; else do nothing."""
    share = 1.0 / air.flows if air.flows else 0.0
    lanes = air.lanes()
    loads_bps = dict.fromkeys(air._wires, 0.0)
    for lane in lanes:
        for wire in lane.wires:
            loads_bps[wire] += lane.rate_bps * share * lane.flows
    for wire, load_bps in loads_bps.items():
        others_bps = wire.load_bps - wire._loads_bps.get(air, 0.0)
        if wire.is_full or load_bps + others_bps > wire.capacity_bps * (1.0 - 1e-6):
            return False
    now_s, first_s = air.clock._now, inf
    for lane in lanes:
        if share != lane.share:
            lane._advance(now_s)
            lane.share = share
        first_s = min(first_s, lane._first_end_s())
    for wire, load_bps in loads_bps.items():
        if load_bps:
            wire._loads_bps[air] = load_bps
        else:
            wire._loads_bps.pop(air, None)
            wire.airs.pop(air, None)
            del air._wires[wire]
    air._timer.set(first_s)
    for watcher in air._watchers:
        watcher.shares_changed()
    return True


def _join(wire: Wire, airs: dict[Air, None], joined: dict[Wire, None]) -> None:
    """Work out ``wire`` too, with the airs that use it and the full wires that these use."""
    waiting = [wire]
    while waiting:
        one = waiting.pop()
        if one in joined:
            continue
        joined[one] = None
        for air in one.airs:
            airs[air] = None
            waiting += [other for other in air._wires if other.is_full]


def _shares(airs: Sequence[Air], joined: dict[Wire, None]) -> dict[Lane, float]:
    if not joined:
        return {lane: 1.0 / air.flows for air in airs for lane in air.lanes()}
    number = {wire: index for index, wire in enumerate(joined)}
    lanes = [(place, lane) for place, air in enumerate(airs) for lane in air.lanes()]
    rows = [
        (
            place,
            tuple(number[wire] for wire in lane.wires if wire in number),
            lane.rate_bps,
            lane.flows,
        )
        for place, lane in lanes
    ]
    shares = share_out(rows, len(airs), [wire.capacity_bps for wire in joined])
    return {lane: share for (_, lane), share in zip(lanes, shares, strict=True)}


def _overfull(
    airs: dict[Air, None], joined: dict[Wire, None], shares: dict[Lane, float]
) -> Wire | None:
    """A wire that has not been joined but would have to carry more than it can."""
    for air in airs:
        for wire in air._wires:
            if wire not in joined:
                load_bps = 0.0
                for one in wire.airs:
                    if one in airs:
                        load_bps += sum(
                            lane.rate_bps * shares[lane] * lane.flows
                            for lane in one.lanes()
                            if wire in lane.wires
                        )
                    else:
                        load_bps += wire._loads_bps.get(one, 0.0)
                if load_bps > wire.capacity_bps * (1.0 + _TOLERANCE):
                    return wire
    return None


def _tell(air: Air) -> None:
    """Tell the wires of an air how much it puts on them, and forget those it has left."""
    lanes = air.lanes()
    for wire in list(air._wires):
        loads_bps = [
            lane.rate_bps * lane.share * lane.flows for lane in lanes if wire in lane.wires
        ]
        if loads_bps:
            wire._loads_bps[air] = sum(loads_bps)
        else:
            wire._loads_bps.pop(air, None)
            wire.airs.pop(air, None)
            del air._wires[wire]
