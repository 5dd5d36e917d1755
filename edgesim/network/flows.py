"""Flows that share hops: airtime at an access point, bits per second on a wire.

A flow goes through the air of one network and then over any number of wires. Each hop divides what
it has evenly among the flows that could use more there: airtime in the air, whatever their rates
(:mod:`edgesim.network.wifi`), bits per second on a wire. Nothing is left unused that some flow could
use, and every flow is held back by exactly one hop, its *bottleneck*, where nobody has more than it.
That is max-min fairness (Bertsekas, Gallager, "Data Networks", 2nd ed., 1992, sec. 6.5.2) with each
hop's own measure: "bottleneck max fairness" (Bonald, Roberts, "Multi-resource fairness", ACM
SIGMETRICS 2015). With equal rates it is plain max-min.

As long as no wire is full, airs know nothing of each other and a change concerns one air alone. When
a wire is full, the airs that share it are worked out together (:func:`share_out`). Work done is kept
whenever a speed changes; each air has one wake-up pending, for the first of its flows to end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.errors import SimulationError

__all__ = ["Air", "Flow", "Wire", "share_out", "water_level"]

_TOLERANCE = 1e-12
_MOST_SWEEPS = 500


class Flow:
    """A transfer in progress. Derive from it what it is for.

    Attributes:
        air: whose air it goes through; set when it is added.
        wires: what it goes over besides.
        rate_bps: bits per second with the air to itself; 0: it waits, and its share goes to others.
        left_bits: what was left when its account was last brought up to date.
        airtime: the share of the air that it has at present, in [0, 1].
        is_cancelled: whether it has been taken out.
    """

    air: Air
    airtime: float = 0.0
    is_cancelled: bool = False
    _speed_bps: float = 0.0
    _since_s: float = 0.0
    _end_s: float = inf

    def __init__(self, wires: tuple[Wire, ...], rate_bps: float, bits: float) -> None:
        self.wires = wires
        self.rate_bps = rate_bps
        self.left_bits = bits

    @property
    def speed_bps(self) -> float:
        """Bits per second at present."""
        return self._speed_bps

    def shared(self) -> None:
        """Its share of the air has changed."""

    def finished(self) -> None:
        """The last bit has been sent; it is out of the air already."""


class Wire:
    """One direction of a wire.

    Args:
        name: of the link, for messages.
        capacity_bps: what it carries.
    """

    __slots__ = ("_loads_bps", "airs", "capacity_bps", "is_full", "name")

    def __init__(self, name: str, capacity_bps: float) -> None:
        if not 0.0 < capacity_bps < inf:
            raise SimulationError(f"a wire of {capacity_bps!r} bit/s")
        self.name = name
        self.capacity_bps = capacity_bps
        self.is_full = False  # whether it held somebody back when last worked out
        self.airs: dict[Air, None] = {}  # with flows over it
        self._loads_bps: dict[Air, float] = {}

    @property
    def load_bps(self) -> float:
        """Bits per second on it."""
        return sum(self._loads_bps.values())

    def offer_bps(self) -> float:
        """What one more flow would get if nothing else held it back."""
        speeds = [flow._speed_bps for air in self.airs for flow in air.flows if self in flow.wires]
        return water_level(speeds, self.capacity_bps, 1)


class Air:
    """The air of one network, in one direction or in both: a second of airtime per second.

    Args:
        clock: the clock.
    """

    __slots__ = ("_clock", "_timer", "_wires", "flows")

    def __init__(self, clock: Clock) -> None:
        self.flows: dict[Flow, None] = {}  # those with a rate, in the order in which they came
        self._clock = clock
        self._wires: dict[Wire, None] = {}  # that its flows go over
        self._timer = Timer(clock, Order.COMPLETION, self._wake)

    # -- changes ----------------------------------------------------------------------------------

    def add(self, flow: Flow) -> None:
        """Let a flow begin; its ``finished()`` is called when it has ended."""
        flow.air = self
        flow._since_s = self._clock._now
        if flow.rate_bps:
            self.flows[flow] = None
            self._changed(flow)
        elif not flow.left_bits:
            flow.rate_bps = 1.0  # nothing to send: it ends at once, whatever the signal
            self.add(flow)

    def cancel(self, flow: Flow) -> None:
        """Take a flow out; ``left_bits`` is then what has not been sent."""
        flow.is_cancelled = True
        if flow in self.flows:
            self._settle(flow)
            del self.flows[flow]
            self._rest(flow)
            self._changed(flow)

    def set_rate(self, flow: Flow, rate_bps: float) -> None:
        """Let a flow have another rate from now on; what it has sent is kept."""
        if rate_bps == flow.rate_bps:
            return
        if flow in self.flows:
            self._settle(flow)
            flow.rate_bps = rate_bps
            if not rate_bps:
                del self.flows[flow]
                self._rest(flow)
            flow._end_s = inf
            self._changed(flow)
        else:
            flow.rate_bps = rate_bps
            self.add(flow)

    def offer(self) -> float:
        """The share of the air that one more flow would get at present."""
        held_back = [
            flow.airtime for flow in self.flows if any(wire.is_full for wire in flow.wires)
        ]
        free = len(self.flows) - len(held_back)
        return water_level(held_back, 1.0, free + 1)

    # -- inside -----------------------------------------------------------------------------------

    def _settle(self, flow: Flow) -> None:
        now_s = self._clock._now
        if now_s != flow._since_s:
            flow.left_bits = max(flow.left_bits - flow._speed_bps * (now_s - flow._since_s), 0.0)
            flow._since_s = now_s

    def _rest(self, flow: Flow) -> None:
        flow._speed_bps = flow.airtime = 0.0
        flow._end_s = inf

    def _changed(self, flow: Flow) -> None:
        """A flow has come, gone or changed its rate: divide the air anew."""
        if flow.wires or self._wires:
            _share_over_wires(self, flow)
            return
        flows = self.flows
        if flows:
            share = 1.0 / len(flows)
            for other in flows:
                self._give(other, share)
        self._aim()

    def _give(self, flow: Flow, airtime: float) -> None:
        """Let a flow have this share of the air from now on."""
        speed_bps = flow.rate_bps * airtime
        if speed_bps != flow._speed_bps or flow._end_s == inf:
            self._settle(flow)
            flow._speed_bps = speed_bps
            flow._end_s = flow._since_s + flow.left_bits / speed_bps
        if airtime != flow.airtime:
            flow.airtime = airtime
            flow.shared()

    def _aim(self) -> None:
        """Wake up when the first flow ends."""
        first_s = inf
        for flow in self.flows:
            if flow._end_s < first_s:
                first_s = flow._end_s
        self._timer.set(first_s)

    def _wake(self) -> None:
        now_s = self._clock._now
        ended = [flow for flow in self.flows if flow._end_s <= now_s]
        for flow in ended:
            flow.left_bits = 0.0
            del self.flows[flow]
            self._rest(flow)
        for flow in ended:
            self._changed(flow)
        for flow in ended:
            if not flow.is_cancelled:  # by the end of another one
                flow.finished()


def water_level(caps: Iterable[float], capacity: float, others: int = 0) -> float:
    """The level to which all must be filled so that ``capacity`` is used up.

    Args:
        caps: the most that each can take.
        capacity: what there is.
        others: how many more there are that can take any amount.

    Returns:
        The level; infinity if the caps are reached before the capacity is.
    """
    left, order = capacity, sorted(caps)
    for index, cap in enumerate(order):
        level = left / (len(order) - index + others)
        if cap >= level:
            return level
        left -= cap
    return left / others if others else inf


def share_out(
    flows: Sequence[tuple[int, tuple[int, ...], float]],
    airs: int,
    wires: Sequence[float],
) -> list[float]:
    """Bottleneck max fairness among flows over airs and wires.

    Args:
        flows: of each the number of its air, the numbers of its wires, and its rate in bits per
            second with the air to itself.
        airs: how many airs there are.
        wires: capacity of each wire, bits per second.

    Returns:
        The share of its air that each flow has.
    """
    hops = airs + len(wires)
    capacities = [1.0] * airs + list(wires)
    # What a flow takes of each of its hops per share of the air.
    takes: list[list[tuple[int, float]]] = [
        [(air, 1.0)] + [(airs + wire, rate_bps) for wire in path] for air, path, rate_bps in flows
    ]
    users: list[list[tuple[int, float]]] = [[] for _ in range(hops)]
    for number, taken in enumerate(takes):
        for hop, amount in taken:
            users[hop].append((number, amount))
    levels = [inf] * hops
    before: list[int] = []
    for _ in range(_MOST_SWEEPS):
        last = list(levels)
        for hop in range(hops):
            caps = [
                amount * min(levels[h] / a for h, a in takes[number] if h != hop)
                if len(takes[number]) > 1
                else inf
                for number, amount in users[hop]
            ]
            levels[hop] = water_level(caps, capacities[hop])
        if _agree(levels, last):
            break
        # Each flow's bottleneck. Once these stay the same, the levels follow from linear equations.
        bottlenecks = [min(taken, key=lambda one: levels[one[0]] / one[1])[0] for taken in takes]
        if bottlenecks == before:
            exact = _levels_of(bottlenecks, takes, users, capacities)
            if exact is not None:
                levels = exact
        before = bottlenecks
    shares = [min(levels[hop] / amount for hop, amount in taken) for taken in takes]
    for hop in range(hops):  # never more than there is, whatever rounding says
        used = sum(shares[number] * amount for number, amount in users[hop])
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
            row[place[limit]] += amount / dict(takes[number])[limit]
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


def _share_over_wires(air: Air, changed: Flow) -> None:
    """Divide an air anew whose flows go over wires, and whatever depends on it."""
    for wire in changed.wires:
        wire.airs[air] = None
        air._wires[wire] = None
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
    for one in airs:
        _tell(one, shares)
    for wire in joined:
        wire.is_full = wire.load_bps >= wire.capacity_bps * (1.0 - 1e-9)
    for one in airs:
        for flow in list(one.flows):
            one._give(flow, shares[flow])
        one._aim()


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


def _shares(airs: Sequence[Air], joined: dict[Wire, None]) -> dict[Flow, float]:
    if not joined:
        return {flow: 1.0 / len(air.flows) for air in airs for flow in air.flows}
    number = {wire: index for index, wire in enumerate(joined)}
    flows = [flow for air in airs for flow in air.flows]
    places = [index for index, air in enumerate(airs) for _ in air.flows]
    rows = [
        (place, tuple(number[wire] for wire in flow.wires if wire in number), flow.rate_bps)
        for place, flow in zip(places, flows, strict=True)
    ]
    shares = share_out(rows, len(airs), [wire.capacity_bps for wire in joined])
    return dict(zip(flows, shares, strict=True))


def _overfull(
    airs: dict[Air, None], joined: dict[Wire, None], shares: dict[Flow, float]
) -> Wire | None:
    """A wire that has not been joined but would have to carry more than it can."""
    for air in airs:
        for wire in air._wires:
            if wire not in joined:
                load_bps = sum(
                    _load_bps(one, wire, shares) if one in airs else wire._loads_bps.get(one, 0.0)
                    for one in wire.airs
                )
                if load_bps > wire.capacity_bps * (1.0 + _TOLERANCE):
                    return wire
    return None


def _load_bps(air: Air, wire: Wire, shares: dict[Flow, float]) -> float:
    return sum(flow.rate_bps * shares[flow] for flow in air.flows if wire in flow.wires)


def _tell(air: Air, shares: dict[Flow, float]) -> None:
    """Tell the wires of an air how much it puts on them, and forget those it has left."""
    for wire in list(air._wires):
        if any(wire in flow.wires for flow in air.flows):
            wire._loads_bps[air] = _load_bps(air, wire, shares)
        else:
            wire._loads_bps.pop(air, None)
            wire.airs.pop(air, None)
            del air._wires[wire]
