"""A phone's radios: what they transfer over which link, what they draw meanwhile, and for whom.

A radio is in one state at a time and draws that state's watts for as long as it is in it:

    idle -> (promotion) -> active: transmits, receives, listens -> tail -> idle

While it is active it sends or receives during its share of the air and listens otherwise, so

    watts = listen + (send - listen) x airtime sending + (receive - listen) x airtime receiving,

the form of Huang et al.'s model ("A close examination of performance and power characteristics of 4G
LTE networks", MobiSys 2012, sec. 5), where watts grow linearly with the throughput. A phone alone in
the air sends all the time.

A tail has one or more phases; a promotion is what LTE needs before the first bit. In an LTE modem's
tail and in its idle state the network reaches a phone only once per cycle: what comes down then waits
half a cycle, the mean.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from math import inf, nan
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.power import Meter, PowerState, User
from edgesim.core.signals import Signal
from edgesim.core.units import BITS_PER_BYTE
from edgesim.network.flows import Air, Flow, Lane, Wire

__all__ = [
    "Ether",
    "Link",
    "LinkState",
    "LinkTable",
    "Network",
    "Partner",
    "Radio",
    "RadioPower",
    "Route",
    "TailPhase",
    "Transfer",
    "TransferUser",
    "Use",
    "drawing_w",
    "tail_j",
]


class TailPhase(NamedTuple):
    """A part of a radio's tail.

    Attributes:
        seconds: how long it lasts.
        power_w: what the radio draws.
        wait_s: how long something that comes down waits for the radio to listen, on average.
    """

    seconds: float
    power_w: float
    wait_s: float = 0.0


def tail_j(tail: Sequence[TailPhase], seconds: float) -> float:
    """Joules of the first so many seconds of a tail."""
    energy_j, left_s = 0.0, seconds
    for phase in tail:
        energy_j += phase.power_w * min(phase.seconds, left_s)
        left_s = max(left_s - phase.seconds, 0.0)
    return energy_j


class RadioPower(Protocol):
    """What a radio's states cost, whatever its kind.

    Attributes:
        component: what the energy ledger calls it.
        idle_w: watts with nothing to do.
        tail: its tail, phase by phase.
        promotion_s, promotion_w: what it takes to get from idle to active.
        idle_wait_s: how long something that comes down waits for an idle radio, on average.
        peak_w: the most it can draw.
    """

    @property
    def component(self) -> str: ...  # noqa: D102
    @property
    def idle_w(self) -> float: ...  # noqa: D102
    @property
    def tail(self) -> tuple[TailPhase, ...]: ...  # noqa: D102
    @property
    def promotion_s(self) -> float: ...  # noqa: D102
    @property
    def promotion_w(self) -> float: ...  # noqa: D102
    @property
    def idle_wait_s(self) -> float: ...  # noqa: D102
    @property
    def peak_w(self) -> float: ...  # noqa: D102


class LinkState(NamedTuple):
    """What a signal strength means for a phone at one network.

    Attributes:
        up_bps, down_bps: payload bits per second with the air to itself; 0: no connection.
        send_w, receive_w: watts while it sends or receives all the time.
        listen_w: watts while it has something to transfer and the air is somebody else's.
    """

    up_bps: float
    down_bps: float
    send_w: float
    receive_w: float
    listen_w: float


class LinkTable:
    """Rates and watts of one kind of phone at one network, by signal strength.

    Args:
        edges_dbm: where anything changes.
        state: what holds at a signal strength; with rates (up and down, bits per second) given, they
            take the place of those that the signal would allow.
    """

    __slots__ = ("_edges_dbm", "_rates", "_state", "_states")

    def __init__(
        self,
        edges_dbm: Sequence[float],
        state: Callable[[float, tuple[float, float] | None], LinkState],
    ) -> None:
        self._rates: NDArray[np.float64] | None = None
        self._edges_dbm = sorted(set(edges_dbm))
        self._state = state
        self._states = [state(rssi_dbm, None) for rssi_dbm in (-inf, *self._edges_dbm)]

    def at(self, rssi_dbm: float) -> LinkState:
        """What holds at this signal strength."""
        return self._states[bisect_right(self._edges_dbm, rssi_dbm)]

    def rates_at(self, rssi_dbm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rates up and down at many signal strengths at once; shape ``(2, len(rssi_dbm))``."""
        if self._rates is None:
            self._rates = np.array([(state.up_bps, state.down_bps) for state in self._states]).T
        found: NDArray[np.float64] = self._rates[
            :, np.searchsorted(self._edges_dbm, rssi_dbm, "right")
        ]
        return found

    def at_rates(self, rssi_dbm: float, up_bps: float, down_bps: float) -> LinkState:
        """What holds at this signal strength if the rates are known."""
        edge = bisect_right(self._edges_dbm, rssi_dbm) - 1
        return self._state(self._edges_dbm[edge] if edge >= 0 else -inf, (up_bps, down_bps))


class Route(NamedTuple):
    """The way from a network to a place and back.

    Attributes:
        up, down: the wires there and back.
        half_rtt_s: seconds one way, without transfer times.
    """

    up: tuple[Wire, ...]
    down: tuple[Wire, ...]
    half_rtt_s: float


class Network:
    """A network that phones attach to: an access point, an LTE cell, a Wi-Fi Direct group.

    Args:
        name: in the scenario.
        kind: ``wifi``, ``wifi_direct`` or ``lte``.
        up, down: its air, in both directions; the same where they share it.
        table: rates and watts of a phone with such a radio.
        lost_after_s: after so long without any rate, connections are lost.
        roaming: networks of one name here keep a phone's connections when it goes from one to the
            other.
        is_shared: whether all phones share its air; else each has air of its own, as with an access point
            in every home.

    Attributes:
        routes: the ways to the places that can be reached.
    """

    __slots__ = (
        "_own",
        "_places",
        "_table",
        "_tables",
        "down",
        "is_shared",
        "kind",
        "lost_after_s",
        "name",
        "roaming",
        "routes",
        "up",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        up: Air,
        down: Air,
        table: Callable[[RadioPower], LinkTable],
        lost_after_s: float = inf,
        roaming: str = "",
        is_shared: bool = True,
    ) -> None:
        self.name = name
        self.kind = kind
        self.is_shared = is_shared
        self.up = up
        self.down = down
        self.lost_after_s = lost_after_s
        self.roaming = roaming or name
        self.routes: dict[str, Route] = {}
        self._places: tuple[str, ...] = ()
        self._table = table
        self._tables: dict[RadioPower, LinkTable] = {}
        self._own: dict[Radio, Air] = {}  # where it is not shared

    def air(self, radio: Radio, is_up: bool) -> Air:
        """What a radio sends or receives through."""
        if self.is_shared:
            return self.up if is_up else self.down
        air = self._own.get(radio)
        if air is None:
            air = self._own[radio] = Air(self.up.clock)
        return air

    @property
    def places(self) -> tuple[str, ...]:
        """The places that can be reached."""
        if len(self._places) != len(self.routes):
            self._places = tuple(self.routes)
        return self._places

    def table(self, power: RadioPower) -> LinkTable:
        """Rates and watts of a phone with such a radio."""
        table = self._tables.get(power)
        if table is None:
            table = self._tables[power] = self._table(power)
        return table


class Follower(Protocol):
    """Whoever wants to know when a signal changes."""

    def signal_changed(self) -> None:
        """The moment has come."""


class Ether:
    """The wake-ups that all radios of a run share.

    Signals of one kind tend to change at the same moments, and tails of one length end in the order
    in which they began: so one wake-up serves all that wait for a signal, and one all tails of a
    length. A tail that a new transfer cuts short, as most do, is dropped without having one.

    Args:
        clock: the clock.
    """

    __slots__ = ("_changes", "_sequence", "_tails", "_timer", "clock")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._changes: list[tuple[float, int, Follower]] = []
        self._timer = Timer(clock, Order.WEATHER, self._signals_change)
        self._sequence = 0
        self._tails: dict[float, _TailQueue] = {}

    def follow(self, follower: Follower, change_s: float) -> None:
        """Tell ``follower`` when its signal changes, at ``change_s``."""
        if change_s == inf:
            return
        self._sequence += 1
        changes = self._changes
        heappush(changes, (change_s, self._sequence, follower))
        if changes[0][0] != self._timer._due_s:
            self._timer.set(changes[0][0])

    def tail(self, seconds: float) -> _TailQueue:
        """The tails, or phases of tails, of so many seconds that are in progress."""
        if seconds not in self._tails:
            self._tails[seconds] = _TailQueue(self.clock, seconds)
        return self._tails[seconds]

    def _signals_change(self) -> None:
        now_s, changes = self.clock._now, self._changes
        while changes and changes[0][0] <= now_s:
            heappop(changes)[2].signal_changed()
        if changes:
            self._timer.set(changes[0][0])


class _TailQueue:
    """Phases of one length, in the order of their ends."""

    __slots__ = ("_clock", "_queue", "_seconds", "_timer")

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._queue: deque[tuple[float, Radio, int]] = deque()
        self._timer = Timer(clock, Order.COMPLETION, self._wake)

    def begin(self, radio: Radio, number: int) -> None:
        """Tell ``radio`` when its phase ``number`` has lasted its time, if it is still in it."""
        end_s = self._clock._now + self._seconds
        if not self._queue:
            self._timer.set(end_s)
        self._queue.append((end_s, radio, number))

    def _wake(self) -> None:
        queue, now_s = self._queue, self._clock._now
        while queue:
            end_s, radio, number = queue[0]
            if radio._phase_number == number:
                if end_s > now_s:
                    self._timer.set(end_s)
                    return
                radio._phase_over()
            queue.popleft()


class TransferUser(User, Protocol):
    """Whoever transfers."""

    def transferred(self) -> None:
        """The transfer has ended."""

    def connection_lost(self) -> None:
        """The link has had no rate for too long; the transfer has been given up."""

    def tail_ended(self) -> None:
        """The radio has left the tail; every joule of the transfer has been booked."""


class Transfer(Flow):
    """A transfer in progress; made by :meth:`Link.send` and :meth:`Link.receive`."""

    def __init__(
        self,
        link: Link,
        user: TransferUser,
        is_up: bool,
        place: str,
        bits: float,
    ) -> None:
        route = link.network.routes[place]
        super().__init__(route.up if is_up else route.down, 0.0, bits)
        self.link = link
        self.user = user
        self.is_up = is_up
        self.place = place
        self.is_flowing = False  # not while it waits for a promotion or for the radio to listen
        self.activity = "transmit" if is_up else "receive"
        self.mark = 0.0
        self.dead_since_s = inf  # since when it has had no rate
        self.partner: _PartnerEnd | None = None

    @property
    def use(self) -> Use:
        """What it is part of at the phone's radio."""
        return self.link.up if self.is_up else self.link.down

    def watchers(self) -> Sequence[Use]:
        """The radios at both ends, whose watts depend on its share of the air."""
        if self.partner is None:
            return (self.use,)
        return (self.use, self.partner.use)

    def finished(self) -> None:
        """The last bit has been sent."""
        self.link._leave(self)
        self.user.transferred()


class _PartnerEnd:
    """The other phone's end of a transfer over Wi-Fi Direct."""

    __slots__ = ("activity", "mark", "radio", "transfer", "use", "user")

    def __init__(self, transfer: Transfer, partner: Partner, user: TransferUser) -> None:
        self.transfer = transfer
        self.radio = partner.radio
        self.user = user
        self.use = partner.down if transfer.is_up else partner.up
        self.activity = "receive" if transfer.is_up else "transmit"
        self.mark = 0.0


class Use:
    """What a radio sends, or receives, over one link: the transfers of one direction together.

    Args:
        radio: the radio.
        side: its end of the link.
        is_sending: whether it sends.

    Attributes:
        transfers: how many there are.
    """

    __slots__ = ("_lanes", "is_sending", "radio", "side", "transfers")

    def __init__(self, radio: Radio, side: Link | Partner, is_sending: bool) -> None:
        self.radio = radio
        self.side = side
        self.is_sending = is_sending
        self.transfers = 0
        self._lanes: dict[Lane, int] = {}  # and how many of its transfers are in them

    def entered(self, lane: Lane) -> None:
        """One of its transfers has entered a lane."""
        self._lanes[lane] = self._lanes.get(lane, 0) + 1

    def left(self, lane: Lane) -> None:
        """One of its transfers has left a lane."""
        if self._lanes[lane] == 1:
            del self._lanes[lane]
        else:
            self._lanes[lane] -= 1

    def shares_changed(self) -> None:
        """It has another share of the air."""
        self.radio.shares_changed()

    def power_w(self) -> tuple[float, float, float]:
        """Watts while the radio listens, watts while it does this, and the share of the air."""
        state, airtime = self.side.state, 0.0
        for lane, transfers in self._lanes.items():
            airtime += lane.share * transfers
        return state.listen_w, state.send_w if self.is_sending else state.receive_w, airtime


class Partner:
    """The phone at the other end of a Wi-Fi Direct link.

    Args:
        radio: its Wi-Fi.
        table: rates and watts of its Wi-Fi in that group.

    Attributes:
        state: what the link's present signal means for it.
    """

    __slots__ = ("down", "radio", "state", "table", "up")

    def __init__(self, radio: Radio, table: LinkTable) -> None:
        self.radio = radio
        self.table = table
        self.state = table.at(-inf)
        self.up = Use(radio, self, is_sending=True)
        self.down = Use(radio, self, is_sending=False)


class Link:
    """A phone's end of one network.

    Args:
        ether: shared wake-ups.
        radio: the phone's radio.
        network: the network.
        rssi: the strength of its signal there, dBm.
        bandwidth: rates up and down that are known, bits per second; ``None``: those of the signal.
        partner: makes the phone at the other end of a Wi-Fi Direct link, when it is first needed.
        forgets: whether it frees the past of its signals by itself.

    Attributes:
        state: what the present signal means.
        rssi_dbm: the present signal.
    """

    __slots__ = (
        "_bandwidth",
        "_change_s",
        "_ether",
        "_followed_s",
        "_forgets",
        "_is_paused",
        "_looks",
        "_make_partner",
        "_partner",
        "_table",
        "down",
        "network",
        "radio",
        "rssi",
        "rssi_dbm",
        "state",
        "transfers",
        "up",
    )

    def __init__(
        self,
        ether: Ether,
        radio: Radio,
        network: Network,
        rssi: Signal,
        bandwidth: tuple[Signal, Signal] | None = None,
        partner: Callable[[], Partner] | None = None,
        forgets: bool = True,
    ) -> None:
        self.radio = radio
        self.network = network
        self.rssi = rssi
        self.rssi_dbm = nan
        self.state: LinkState
        self.transfers: list[Transfer] = []
        self.up = Use(radio, self, is_sending=True)
        self.down = Use(radio, self, is_sending=False)
        self._ether = ether
        self._table = network.table(radio.power)
        self._bandwidth = bandwidth
        self._make_partner = partner
        self._partner: Partner | None = None
        self._change_s = -inf  # until when the present state holds
        self._followed_s = -inf  # the change of signal that the ether will tell of
        self._looks = 0
        self._forgets = forgets
        self._is_paused = False  # in the gap of a handover

    @property
    def partner(self) -> Partner | None:
        """The phone at the other end of a Wi-Fi Direct link."""
        if self._partner is None and self._make_partner is not None:
            self._partner = self._make_partner()
        return self._partner

    def segment(self, time_s: float) -> tuple[float, float, float, LinkState]:
        """The piece that holds at ``time_s``: start, end (exclusive), RSSI in dBm, state."""
        start_s, end_s, rssi_dbm = self.rssi.segment(time_s)
        if self._bandwidth is None:
            return start_s, end_s, rssi_dbm, self._table.at(rssi_dbm)
        up_start_s, up_end_s, up_bps = self._bandwidth[0].segment(time_s)
        down_start_s, down_end_s, down_bps = self._bandwidth[1].segment(time_s)
        return (
            max(start_s, up_start_s, down_start_s),
            min(end_s, up_end_s, down_end_s),
            rssi_dbm,
            self._table.at_rates(rssi_dbm, up_bps, down_bps),
        )

    def rates_at(self, rssi_dbm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rates up and down that signals like these allow such a phone here; 0 without a connection.

        Args:
            rssi_dbm: shape ``(n,)``.

        Returns:
            Shape ``(2, n)``, bits per second.
        """
        rates = self._table.rates_at(rssi_dbm)
        return np.where((rates > 0.0).all(axis=0), rates, 0.0)

    def forget(self, time_s: float) -> None:
        """Free the past of its signals."""
        self.rssi.forget(time_s)
        if self._bandwidth is not None:
            for signal in self._bandwidth:
                signal.forget(time_s)

    def look(self) -> LinkState:
        """What the signal means at this moment."""
        if self._ether.clock._now >= self._change_s:
            self._look()
        return self.state

    @property
    def is_connected(self) -> bool:
        """Whether the signal is enough for any rate, both ways."""
        state = self.look()
        return state.up_bps > 0.0 and state.down_bps > 0.0

    def send(
        self,
        user: TransferUser,
        size_bytes: float,
        place: str,
        at_partner: TransferUser | None = None,
    ) -> None:
        """Transfer ``size_bytes`` to ``place`` for ``user``, who is told when it has ended.

        Args:
            user: who transfers.
            size_bytes: payload.
            place: one that the network has a route to.
            at_partner: who answers for it at the other end of a Wi-Fi Direct link.
        """
        self._begin(user, True, size_bytes, place, at_partner)

    def receive(
        self,
        user: TransferUser,
        size_bytes: float,
        place: str,
        at_partner: TransferUser | None = None,
    ) -> None:
        """Transfer ``size_bytes`` from ``place``; it may have to wait until the radio listens."""
        self._begin(user, False, size_bytes, place, at_partner)

    def pause(self) -> None:
        """Let no bit flow until the transfers are handed over."""
        self._is_paused = True
        for transfer in list(self.transfers):
            self._set_rate(transfer)
            transfer.dead_since_s = inf
        self.radio.shares_changed()

    def resume(self) -> None:
        """The link serves the phone again; nothing is left over from a gap."""
        self._is_paused = False

    def hand_over(self, other: Link) -> list[Transfer]:
        """Let the transfers go on over another link of the same radio, with what they have sent.

        Returns:
            Those whose place cannot be reached from there; they have been given up.
        """
        other.resume()
        self.resume()
        homeless = []
        for transfer in list(self.transfers):
            route = other.network.routes.get(transfer.place)
            if route is None:
                self.abort(transfer)
                homeless.append(transfer)
                continue
            if transfer.is_flowing:
                transfer.air.cancel(transfer)
                self.radio._uses_less(transfer.use)
            transfer.is_cancelled = False
            transfer.link = other
            transfer.wires = route.up if transfer.is_up else route.down
            self.transfers.remove(transfer)
            other.transfers.append(transfer)
            if transfer.is_flowing:
                other.radio._uses_more(transfer.use)
                other._flow(transfer)
        if other.transfers:
            other.look()
            other._follow()
        return homeless

    def signal_changed(self) -> None:
        """The signal has taken its next value."""
        if not self.transfers:
            return
        self._look()
        for transfer in list(self.transfers):
            self._set_rate(transfer)
        self.radio.shares_changed()
        if self._partner is not None:
            self._partner.radio.shares_changed()
        self._watch_for_death()
        self._follow()

    # -- inside -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take note of the signal at this moment, and of how long it holds."""
        now_s = self._ether.clock._now
        _, self._change_s, self.rssi_dbm, self.state = self.segment(now_s)
        if self._partner is not None:
            self._partner.state = self._partner.table.at(self.rssi_dbm)
        self._looks += 1
        if self._forgets and not self._looks & 63:
            self.forget(now_s)

    def _follow(self) -> None:
        self._followed_s = self._change_s
        self._ether.follow(self, self._change_s)

    def _begin(
        self,
        user: TransferUser,
        is_up: bool,
        size_bytes: float,
        place: str,
        at_partner: TransferUser | None,
    ) -> None:
        if self._ether.clock._now >= self._change_s:
            self._look()
        if self._followed_s != self._change_s:
            self._follow()
        transfer = Transfer(self, user, is_up, place, size_bytes * BITS_PER_BYTE)
        if at_partner is not None:
            partner = self.partner
            assert partner is not None
            partner.state = partner.table.at(self.rssi_dbm)
            transfer.partner = _PartnerEnd(transfer, partner, at_partner)
        self.transfers.append(transfer)
        self.radio._begin(transfer)

    def _flow(self, transfer: Transfer) -> None:
        """The radios are ready: let the bits flow."""
        transfer.is_flowing = True
        state, network = self.look(), self.network
        if self._is_paused:
            transfer.rate_bps = 0.0
        else:
            transfer.rate_bps = state.up_bps if transfer.is_up else state.down_bps
        network.air(self.radio, transfer.is_up).add(transfer)
        if not transfer.rate_bps:
            self.radio.shares_changed()
            self._watch_for_death()

    def _set_rate(self, transfer: Transfer) -> None:
        if transfer.is_flowing:
            state = self.state
            rate_bps = state.up_bps if transfer.is_up else state.down_bps
            transfer.air.set_rate(transfer, 0.0 if self._is_paused else rate_bps)

    def _watch_for_death(self) -> None:
        """Note since when transfers have no rate; after too long they are lost."""
        lost_after_s = self.network.lost_after_s
        if self._is_paused or lost_after_s == inf:
            return
        clock = self._ether.clock
        for transfer in self.transfers:
            if transfer.rate_bps or not transfer.is_flowing:
                transfer.dead_since_s = inf
            elif transfer.dead_since_s == inf:
                transfer.dead_since_s = now_s = clock._now
                clock.call_at(now_s + lost_after_s, Order.COMPLETION, _die, (transfer, now_s))

    def abort(self, transfer: Transfer) -> None:
        """Give a transfer up, booking what it has cost."""
        transfer.is_cancelled = True
        if transfer.is_flowing:
            transfer.air.cancel(transfer)
            self._leave(transfer)
        else:
            self.transfers.remove(transfer)
            self.radio._withdraw(transfer)

    def _leave(self, transfer: Transfer) -> None:
        """Take a transfer out and book it at both ends."""
        self.transfers.remove(transfer)
        self.radio._leave(transfer)
        if transfer.partner is not None:
            transfer.partner.radio._leave(transfer.partner)


def _die(since: tuple[Transfer, float]) -> None:
    """A transfer is lost unless it has had a rate meanwhile."""
    transfer, dead_since_s = since
    if transfer.dead_since_s == dead_since_s and not transfer.is_cancelled:
        transfer.link.abort(transfer)
        transfer.user.connection_lost()


def drawing_w(parts: Iterable[tuple[float, float, float]]) -> float:
    """Watts of a radio with several transfers in progress.

    Args:
        parts: of each, watts while listening, watts while it goes on, and its share of its air. One
            radio cannot do more than one thing at a time: shares of several airs that add up to more
            than 1 count in proportion.
    """
    listen_w = extra_w = airtime = 0.0
    for each_listen_w, power_w, share in parts:
        listen_w = max(listen_w, each_listen_w)
        extra_w += (power_w - each_listen_w) * share
        airtime += share
    return listen_w + (extra_w / airtime if airtime > 1.0 else extra_w)


class Radio:
    """One radio of one phone.

    Args:
        ether: shared wake-ups.
        meter: the phone's meter.
        power: watts by state.
        is_on: whether it is switched on at all.

    Attributes:
        state: what it draws.
        tail_user: who pays for the tail now in progress, if any.
    """

    __slots__ = (
        "_clock",
        "_ends",
        "_ether",
        "_phase",
        "_phase_end_s",
        "_phase_number",
        "_promoted_s",
        "_rising",
        "_tail",
        "_tail_mark",
        "_uses",
        "_waiting",
        "power",
        "state",
        "tail_user",
    )

    def __init__(self, ether: Ether, meter: Meter, power: RadioPower, is_on: bool = True) -> None:
        self.power = power
        self.state: PowerState = meter.component(
            power.component, power.idle_w if is_on else 0.0, "idle" if is_on else "off"
        )
        self.tail_user: TransferUser | None = None
        self._clock = ether.clock
        self._ether = ether
        self._ends: list[Transfer | _PartnerEnd] = []  # whose bits flow, or could
        self._uses: list[Use] = []  # these ends by link and direction
        self._rising: list[Transfer] = []  # those that wait for the promotion in progress
        self._waiting: list[Transfer] = []  # those that wait until the radio listens
        self._promoted_s = inf
        self._tail = power.tail
        self._tail_mark = 0.0
        self._phase = 0  # of the tail
        self._phase_end_s = 0.0
        self._phase_number = 0  # counts the phases that are over

    @property
    def transfers(self) -> int:
        """How many are in progress."""
        return len(self._ends)

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do, and no tail either."""
        return not self._ends and not self._rising and self.tail_user is None

    @property
    def wait_s(self) -> float:
        """How long something that comes down at this moment waits for the radio to listen."""
        if self._ends or self._rising:
            return 0.0
        if self.tail_user is not None:
            return self._tail[self._phase].wait_s
        return self.power.idle_wait_s

    def is_idle_at(self, time_s: float) -> bool:
        """Whether it will be idle then if nothing new begins."""
        if self._ends or self._rising:
            return False
        if self.tail_user is None:
            return True
        later = self._tail[self._phase + 1 :]
        return self._phase_end_s + sum(phase.seconds for phase in later) <= time_s

    def watts(self) -> Iterator[tuple[float, float, float]]:
        """Of each of its uses: watts while listening, watts while it goes on, share of the air."""
        return (use.power_w() for use in self._uses)

    def abort(self, user: TransferUser) -> None:
        """Give up the transfers of ``user``, booking what they have cost."""
        for transfer in [*self._rising, *self._waiting, *self._ends]:
            if isinstance(transfer, Transfer) and transfer.user is user:
                transfer.link.abort(transfer)

    def stop(self) -> None:
        """Give up every transfer and draw nothing more: the phone has gone off."""
        for end in [*self._rising, *self._waiting, *self._ends]:
            transfer = end if isinstance(end, Transfer) else end.transfer
            if not transfer.is_cancelled:
                transfer.link.abort(transfer)
        self.settle()
        self.state.set(0.0, "off")

    def start(self) -> None:
        """The phone has come back."""
        self.state.set(self.power.idle_w, "idle")

    def settle(self) -> None:
        """End the tail, if there is one, and book it."""
        if self.tail_user is not None:
            self._close_tail(self.power.idle_w, "idle")

    # -- inside -----------------------------------------------------------------------------------

    def _begin(self, transfer: Transfer) -> None:
        wait_s = 0.0 if transfer.is_up else self.wait_s
        if wait_s:
            self._waiting.append(transfer)
            clock = self._clock
            clock.call_at(clock._now + wait_s, Order.COMPLETION, self._listen, transfer)
        else:
            self._rise(transfer)

    def _listen(self, transfer: Transfer) -> None:
        if not transfer.is_cancelled:
            self._waiting.remove(transfer)
            self._rise(transfer)

    def _rise(self, transfer: Transfer) -> None:
        power = self.power
        if power.promotion_s and (self._rising or self.is_idle):
            transfer.mark = self.state.join(power.promotion_w, "promotion")
            if not self._rising:
                clock = self._clock
                self._promoted_s = clock._now + power.promotion_s
                clock.call_at(self._promoted_s, Order.COMPLETION, self._risen, self._promoted_s)
            self._rising.append(transfer)
            return
        self._enter(transfer)
        if transfer.partner is not None:
            transfer.partner.radio._enter(transfer.partner)
        transfer.link._flow(transfer)

    def _risen(self, promoted_s: float) -> None:
        if promoted_s != self._promoted_s or not self._rising:
            return  # given up meanwhile
        risen, self._rising = self._rising, []
        for transfer in risen:
            transfer.mark = self.state.book(transfer.user, transfer.mark, "promotion")
            self._ends.append(transfer)
            self._uses_more(transfer.use)
        for transfer in risen:
            transfer.link._flow(transfer)

    def _withdraw(self, transfer: Transfer) -> None:
        """A transfer that has not begun to flow is given up."""
        if transfer in self._waiting:
            self._waiting.remove(transfer)
            return
        self._rising.remove(transfer)
        if self._rising:
            self.state.leave(transfer.user, transfer.mark, "promotion")
        else:
            idle_w = self.power.idle_w
            self.state.leave(transfer.user, transfer.mark, "promotion", idle_w, "idle")

    def _enter(self, end: Transfer | _PartnerEnd) -> None:
        """Be active for one transfer more; its watts follow when its share of the air is known."""
        user = end.user
        if self.tail_user is user:  # its own tail: it goes on paying
            end.mark = self.state.book(user, self._tail_mark, "tail")
            self.tail_user = None
            self._phase_number += 1
        else:
            if self.tail_user is not None:
                self._close_tail(self.state.power_w, end.activity)
            end.mark = self.state.join(self.state.power_w, end.activity)
        self._ends.append(end)
        self._uses_more(end.use)

    def _uses_more(self, use: Use) -> None:
        if not use.transfers:
            self._uses.append(use)
        use.transfers += 1

    def _uses_less(self, use: Use) -> None:
        use.transfers -= 1
        if not use.transfers:
            self._uses.remove(use)

    def shares_changed(self) -> None:
        """Bring the watts into line with the shares of the air."""
        uses = self._uses
        if len(uses) == 1:
            use = uses[0]
            listen_w, power_w, airtime = use.power_w()
            if airtime != 1.0:
                power_w = listen_w + (power_w - listen_w) * airtime
            self.state.set(power_w, "transmit" if use.is_sending else "receive")
        elif uses:
            sends = any(use.is_sending for use in uses)
            power_w = drawing_w([use.power_w() for use in uses])
            self.state.set(power_w, "transmit" if sends else "receive")

    def _leave(self, end: Transfer | _PartnerEnd) -> None:
        """Take a transfer out and book it; after the last one comes the tail."""
        ends, state = self._ends, self.state
        ends.remove(end)
        self._uses_less(end.use)
        if ends:
            state.leave(end.user, end.mark, end.activity)
            self.shares_changed()
            return
        phase = self._tail[0]
        self._tail_mark = state.book(end.user, end.mark, end.activity, phase.power_w, "tail")
        self.tail_user = end.user
        self._phase = 0
        self._phase_end_s = self._clock._now + phase.seconds
        self._ether.tail(phase.seconds).begin(self, self._phase_number)

    def _phase_over(self) -> None:
        """A phase of the tail has lasted its time."""
        self._phase += 1
        if self._phase == len(self._tail):
            self.settle()
            return
        self._phase_number += 1
        phase = self._tail[self._phase]
        self.state.set(phase.power_w, "tail")
        self._phase_end_s = self._clock._now + phase.seconds
        self._ether.tail(phase.seconds).begin(self, self._phase_number)

    def _close_tail(self, power_w: float, next_activity: str) -> None:
        """Book the tail to its user, who leaves; draw ``power_w`` for ``next_activity`` after it."""
        user = self.tail_user
        assert user is not None
        self.state.leave(user, self._tail_mark, "tail", power_w, next_activity)
        self.tail_user = None
        self._phase_number += 1
        user.tail_ended()
