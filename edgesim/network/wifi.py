"""Wi-Fi: from signal strength to bits per second, airtime shared at an access point, radio power.

The chain is RSSI -> modulation and coding scheme -> physical rate -> goodput. Rates and minimum
sensitivities are those of IEEE 802.11ac (Tables 21-25 and 21-30 ff., long guard interval).

Stations with traffic share the access point's *airtime* evenly, each at its own rate: the airtime
fairness of present Linux drivers (Hoeiland-Joergensen et al., "Ending the anomaly", USENIX ATC'17).
Up and down use the same air.

A radio is in one state at a time and draws that state's watts for as long as it is in it: idle
(associated, power save), transmit (by signal strength), receive, or tail. A transfer that waits for
its share of the air counts as transmitting or receiving all the while, as Android's power profiles
and AutoScale's estimator count it (P_TX^S * t_TX): under contention that is an upper bound.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise
from math import inf, nan
from typing import NamedTuple, Protocol

from edgesim.core.capacity import Job, SharedCapacity
from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.power import Meter, PowerState, User
from edgesim.core.signals import Signal
from edgesim.core.units import BITS_PER_BYTE, mbps_to_bps

__all__ = [
    "DEFAULT_GOODPUT_RATIO",
    "AccessPoint",
    "Flow",
    "LinkState",
    "LinkTable",
    "RateTable",
    "TransferUser",
    "WifiPower",
    "WifiRadio",
    "transfer_end_s",
]

SENSITIVITY_20MHZ_DBM: Sequence[float] = (-82, -79, -77, -74, -70, -66, -65, -64, -59, -57)
"""Minimum sensitivity of MCS 0-9 at 20 MHz, dBm. IEEE 802.11ac-2013, Table 22-25 (21-25 in 2016)."""

SENSITIVITY_STEP_DB = 3.0
"""Each doubling of the bandwidth needs 3 dB more, same table."""

PHY_RATE_MBPS: Mapping[int, Sequence[float | None]] = {
    20: (6.5, 13.0, 19.5, 26.0, 39.0, 52.0, 58.5, 65.0, 78.0, None),
    40: (13.5, 27.0, 40.5, 54.0, 81.0, 108.0, 121.5, 135.0, 162.0, 180.0),
    80: (29.3, 58.5, 87.8, 117.0, 175.5, 234.0, 263.3, 292.5, 351.0, 390.0),
}
"""Rate of MCS 0-9 with one stream and 800 ns guard interval, by MHz; None is not allowed.
IEEE 802.11ac-2013, Tables 22-30, 22-38 and 22-46."""

DEFAULT_GOODPUT_RATIO = 0.65
"""Share of the physical rate left to the payload after preambles, acknowledgements and back-off:
0.6-0.7 with frame aggregation is usual; an assumption, visible as ``goodput_ratio``."""


class RateTable:
    """Goodput by signal strength for one bandwidth and number of streams.

    Args:
        bandwidth_mhz: 20, 40 or 80.
        streams: spatial streams, the fewer of phone and access point.
        goodput_ratio: see :data:`DEFAULT_GOODPUT_RATIO`.

    Attributes:
        thresholds_dbm: where the goodput changes, weakest first.
    """

    __slots__ = ("_rates_bps", "thresholds_dbm")

    def __init__(
        self, bandwidth_mhz: int, streams: int, goodput_ratio: float = DEFAULT_GOODPUT_RATIO
    ) -> None:
        shift_db = SENSITIVITY_STEP_DB * {20: 0, 40: 1, 80: 2}[bandwidth_mhz]
        self.thresholds_dbm = []
        self._rates_bps = [0.0]
        for sensitivity_dbm, rate_mbps in zip(
            SENSITIVITY_20MHZ_DBM, PHY_RATE_MBPS[bandwidth_mhz], strict=True
        ):
            if rate_mbps is not None:
                self.thresholds_dbm.append(sensitivity_dbm + shift_db)
                self._rates_bps.append(mbps_to_bps(rate_mbps) * streams * goodput_ratio)

    def goodput_bps(self, rssi_dbm: float) -> float:
        """Payload bits per second with the air to oneself; 0 below the lowest sensitivity."""
        return self._rates_bps[bisect_right(self.thresholds_dbm, rssi_dbm)]


@dataclass(frozen=True, slots=True)
class WifiPower:
    """Watts of a phone's Wi-Fi in each state.

    Attributes:
        streams: spatial streams of the phone's antennas.
        idle_w: associated, in power save.
        receive_w: receiving.
        transmit_w: transmitting, as rows (from this RSSI in dBm on, watts), weakest first.
        tail_w: awake after a transfer.
        tail_s: how long it stays so.
    """

    streams: int
    idle_w: float
    receive_w: float
    transmit_w: tuple[tuple[float, float], ...]
    tail_w: float
    tail_s: float

    def __post_init__(self) -> None:
        if not self.transmit_w or any(a >= b for (a, _), (b, _) in pairwise(self.transmit_w)):
            raise ValueError("transmit_w needs rows of increasing RSSI")

    def transmitting_w(self, rssi_dbm: float) -> float:
        """Watts while transmitting at this signal strength; the first row also serves below it."""
        power_w = self.transmit_w[0][1]
        for from_dbm, row_w in self.transmit_w:
            if rssi_dbm < from_dbm:
                break
            power_w = row_w
        return power_w

    @property
    def peak_w(self) -> float:
        """The most it can draw."""
        return max(
            self.idle_w, self.receive_w, self.tail_w, *(watts for _, watts in self.transmit_w)
        )


class LinkState(NamedTuple):
    """What a signal strength means for a phone.

    Attributes:
        goodput_bps: payload bits per second with the air to oneself; 0: no connection.
        send_w: watts of the radio while it has something to send.
        receive_w: watts while it only receives.
    """

    goodput_bps: float
    send_w: float
    receive_w: float


class LinkTable:
    """Rates and watts of one kind of phone at one access point, by signal strength.

    A transfer that is stalled for lack of signal listens, at the tail's watts. A radio that sends
    and receives at once draws the more of the two.
    """

    __slots__ = ("_edges_dbm", "_states")

    def __init__(self, power: WifiPower, rates: RateTable) -> None:
        edges = {*rates.thresholds_dbm, *(from_dbm for from_dbm, _ in power.transmit_w)}
        self._edges_dbm = sorted(edges)
        self._states = [
            self._state(power, rates, rssi_dbm) for rssi_dbm in (-inf, *self._edges_dbm)
        ]

    @staticmethod
    def _state(power: WifiPower, rates: RateTable, rssi_dbm: float) -> LinkState:
        goodput_bps = rates.goodput_bps(rssi_dbm)
        if not goodput_bps:
            return LinkState(0.0, power.tail_w, power.tail_w)
        send_w = max(power.transmitting_w(rssi_dbm), power.receive_w)
        return LinkState(goodput_bps, send_w, power.receive_w)

    def at(self, rssi_dbm: float) -> LinkState:
        """What holds at this signal strength."""
        return self._states[bisect_right(self._edges_dbm, rssi_dbm)]


class AccessPoint:
    """Air shared by the phones that are associated with it.

    Args:
        clock: the clock.
        name: the network's name in the scenario.
        bandwidth_mhz: 20, 40 or 80.
        streams: spatial streams of its antennas.
        goodput_ratio: see :data:`DEFAULT_GOODPUT_RATIO`.

    Attributes:
        air: seconds of airtime per second, shared by the transfers in progress.
    """

    __slots__ = (
        "_bandwidth_mhz",
        "_clock",
        "_fade",
        "_fading",
        "_goodput_ratio",
        "_sequence",
        "_streams",
        "_tables",
        "_tails",
        "air",
        "name",
    )

    def __init__(
        self,
        clock: Clock,
        name: str,
        bandwidth_mhz: int,
        streams: int,
        goodput_ratio: float = DEFAULT_GOODPUT_RATIO,
    ) -> None:
        self.name = name
        self.air = SharedCapacity(clock)
        self._clock = clock
        self._bandwidth_mhz = bandwidth_mhz
        self._streams = streams
        self._goodput_ratio = goodput_ratio
        self._tables: dict[WifiPower, LinkTable] = {}
        # Radios with transfers, by the moment at which their signal changes next: one wake-up for
        # all of them, because signals of one kind tend to change at the same moments.
        self._fading: list[tuple[float, int, WifiRadio]] = []
        self._fade = Timer(clock, Order.WEATHER, self._signals_change)
        self._sequence = 0
        self._tails: dict[float, TailQueue] = {}

    def link(self, power: WifiPower) -> LinkTable:
        """Rates and watts of phones with such a Wi-Fi."""
        table = self._tables.get(power)
        if table is None:
            streams = min(power.streams, self._streams)
            rates = RateTable(self._bandwidth_mhz, streams, self._goodput_ratio)
            table = self._tables[power] = LinkTable(power, rates)
        return table

    def follow(self, radio: WifiRadio, change_s: float) -> None:
        """Tell ``radio`` when its signal changes, at ``change_s``."""
        if change_s == inf:
            return
        self._sequence += 1
        fading = self._fading
        heappush(fading, (change_s, self._sequence, radio))
        if fading[0][0] != self._fade._due_s:
            self._fade.set(fading[0][0])

    def tails(self, tail_s: float) -> TailQueue:
        """The tails of so many seconds that are in progress."""
        if tail_s not in self._tails:
            self._tails[tail_s] = TailQueue(self._clock, tail_s)
        return self._tails[tail_s]

    def _signals_change(self) -> None:
        now_s, fading = self._clock._now, self._fading
        while fading and fading[0][0] <= now_s:
            heappop(fading)[2].signal_changed()
        if fading:
            self._fade.set(fading[0][0])


class TailQueue:
    """Radio tails of one length: they end in the order in which they began.

    So one wake-up serves all of them, and a tail that a new transfer cuts short, as most do, is
    dropped without having one.

    Args:
        clock: the clock.
        tail_s: the length.
    """

    __slots__ = ("_clock", "_queue", "_tail_s", "_timer")

    def __init__(self, clock: Clock, tail_s: float) -> None:
        self._clock = clock
        self._tail_s = tail_s
        self._queue: deque[tuple[float, WifiRadio, int]] = deque()
        self._timer = Timer(clock, Order.COMPLETION, self._wake)

    def begin(self, radio: WifiRadio, number: int) -> None:
        """Settle ``radio`` when its tail ``number`` has lasted its time, if it is still in it."""
        end_s = self._clock._now + self._tail_s
        if not self._queue:
            self._timer.set(end_s)
        self._queue.append((end_s, radio, number))

    def _wake(self) -> None:
        queue, now_s = self._queue, self._clock._now
        while queue:
            end_s, radio, number = queue[0]
            if radio.tail_number == number:
                if end_s > now_s:
                    self._timer.set(end_s)
                    return
                radio.settle()
            queue.popleft()


class TransferUser(User, Protocol):
    """Whoever transfers: told when the tail after its last transfer is over and booked."""

    def tail_ended(self) -> None:
        """The radio has left the tail; every joule of the transfer has been booked."""


class Flow(Job):
    """A transfer in progress; its work is in bits."""

    def __init__(
        self,
        radio: WifiRadio,
        user: TransferUser,
        activity: str,
        size_bytes: float,
        rate_bps: float,
        done: Callable[[], None],
    ) -> None:
        self.work = size_bytes * BITS_PER_BYTE
        self.rate = rate_bps
        self.user = user
        self.activity = activity
        self.mark = 0.0
        self._radio = radio
        self._done = done

    def finished(self) -> None:
        """The last bit has been sent."""
        self._radio._finish(self)
        self._done()


class WifiRadio:
    """The Wi-Fi of one phone.

    Args:
        clock: the clock.
        meter: the phone's meter; the radio is its component ``wifi``.
        power: watts by state.
        access_point: the one it is associated with.
        rssi: the strength of its signal there, dBm.

    Attributes:
        link: what each signal strength means for it.
        tail_user: who pays for the tail now in progress, if any.
        tail_number: counts the tails that are over.
    """

    __slots__ = (
        "_change_s",
        "_clock",
        "_flows",
        "_followed_s",
        "_looks",
        "_now",
        "_rssi_dbm",
        "_sending",
        "_state",
        "_tail_mark",
        "_tails",
        "access_point",
        "link",
        "power",
        "rssi",
        "tail_number",
        "tail_user",
    )

    def __init__(
        self, clock: Clock, meter: Meter, power: WifiPower, access_point: AccessPoint, rssi: Signal
    ) -> None:
        self.access_point = access_point
        self.power = power
        self.link = access_point.link(power)
        self.rssi = rssi
        self.tail_user: TransferUser | None = None
        self._clock = clock
        self._state = meter.component("wifi", power.idle_w, "idle")
        self._flows: list[Flow] = []
        self._sending = 0
        self._rssi_dbm = nan
        self._now: LinkState
        self._change_s = -inf  # until when the two above hold
        self._followed_s = -inf  # the change of signal that the access point will tell of
        self._looks = 0
        self._tail_mark = 0.0
        self._tails = access_point.tails(power.tail_s)
        self.tail_number = 0

    @property
    def state(self) -> PowerState:
        """What it draws."""
        return self._state

    @property
    def flows(self) -> int:
        """Transfers in progress."""
        return len(self._flows)

    @property
    def is_sending(self) -> bool:
        """Whether one of them goes to the access point."""
        return self._sending > 0

    def look(self) -> tuple[float, bool]:
        """Signal strength in dBm at this moment, and whether it is enough for any rate."""
        if self._clock._now >= self._change_s:
            self._look()
        return self._rssi_dbm, self._now.goodput_bps > 0.0

    def send(self, user: TransferUser, size_bytes: float, done: Callable[[], None]) -> None:
        """Transfer ``size_bytes`` to the access point for ``user``, then call ``done()``."""
        self._sending += 1
        self._begin(user, "transmit", size_bytes, done)

    def receive(self, user: TransferUser, size_bytes: float, done: Callable[[], None]) -> None:
        """Transfer ``size_bytes`` from the access point for ``user``, then call ``done()``."""
        self._begin(user, "receive", size_bytes, done)

    def abort(self, user: TransferUser) -> None:
        """Give up the transfers of ``user``, booking what they have cost; no tail follows."""
        for flow in [flow for flow in self._flows if flow.user is user]:
            self.access_point.air.cancel(flow)
            self._leave(flow)

    def stop(self) -> None:
        """Give up every transfer and draw nothing more: the phone has gone off."""
        while self._flows:
            self.abort(self._flows[0].user)
        self.settle()
        self._state.set(0.0, "off")

    def settle(self) -> None:
        """End the tail, if there is one, and book it."""
        if self.tail_user is not None:
            self._close_tail(self.power.idle_w, "idle")

    def signal_changed(self) -> None:
        """The signal has taken its next value; called by the access point."""
        if not self._flows:
            return
        self._look()
        for flow in self._flows:
            self.access_point.air.set_rate(flow, self._now.goodput_bps)
        self._state.set(*self._drawing())
        self._follow()

    # -- inside -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Take note of the signal at this moment, and of how long it holds."""
        now_s = self._clock._now
        _, self._change_s, rssi_dbm = self.rssi.segment(now_s)
        self._rssi_dbm = rssi_dbm
        self._now = self.link.at(rssi_dbm)
        self._looks += 1
        if not self._looks & 63:
            self.rssi.forget(now_s)

    def _follow(self) -> None:
        self._followed_s = self._change_s
        self.access_point.follow(self, self._change_s)

    def _drawing(self) -> tuple[float, str]:
        """Watts and activity with transfers in progress."""
        if self._sending:
            return self._now.send_w, "transmit"
        return self._now.receive_w, "receive"

    def _begin(
        self, user: TransferUser, activity: str, size_bytes: float, done: Callable[[], None]
    ) -> None:
        if self._clock._now >= self._change_s:
            self._look()
        if self._followed_s != self._change_s:
            self._follow()
        link = self._now
        flow = Flow(self, user, activity, size_bytes, link.goodput_bps, done)
        self._flows.append(flow)
        power_w = link.send_w if self._sending else link.receive_w
        drawing = "transmit" if self._sending else "receive"
        if self.tail_user is user:  # its own tail: it goes on paying
            flow.mark = self._state.book(user, self._tail_mark, "tail", power_w, drawing)
            self.tail_user = None
            self.tail_number += 1
        else:
            if self.tail_user is not None:
                self._close_tail(power_w, drawing)
            flow.mark = self._state.join(power_w, drawing)
        self.access_point.air.add(flow)

    def _leave(self, flow: Flow) -> None:
        """Take a transfer out and book it; no tail follows."""
        self._flows.remove(flow)
        if flow.activity == "transmit":
            self._sending -= 1
        power_w, activity = self._drawing() if self._flows else (self.power.idle_w, "idle")
        self._state.leave(flow.user, flow.mark, flow.activity, power_w, activity)

    def _finish(self, flow: Flow) -> None:
        """Take a transfer out that has ended; after the last one comes the tail."""
        if len(self._flows) > 1:
            self._leave(flow)
            return
        self._flows.clear()
        self._sending = 0
        user, power = flow.user, self.power
        self._tail_mark = self._state.book(user, flow.mark, flow.activity, power.tail_w, "tail")
        self.tail_user = user
        self._tails.begin(self, self.tail_number)

    def _close_tail(self, power_w: float, next_activity: str) -> None:
        """Book the tail to its user, who leaves; draw ``power_w`` for ``next_activity`` after it."""
        user = self.tail_user
        assert user is not None
        self._state.leave(user, self._tail_mark, "tail", power_w, next_activity)
        self.tail_user = None
        self.tail_number += 1
        user.tail_ended()


def transfer_end_s(
    radio: WifiRadio, start_s: float, size_bytes: float, share: float, give_up_s: float
) -> tuple[float, list[tuple[float, LinkState]]]:
    """When a transfer begun at ``start_s`` would end along the realised signal.

    Args:
        radio: whose signal and rates.
        start_s: the moment it begins, now or later.
        size_bytes: payload.
        share: the airtime it gets, held as it is.
        give_up_s: do not look further than this.

    Returns:
        The end (infinity if it lies beyond ``give_up_s``) and what the radio goes through
        meanwhile, as pairs of seconds and link state.
    """
    left_bits = size_bytes * BITS_PER_BYTE
    seen: list[tuple[float, LinkState]] = []
    for from_s, to_s, rssi_dbm in radio.rssi.segments(start_s, give_up_s):
        link = radio.link.at(rssi_dbm)
        rate_bps = link.goodput_bps * share
        if rate_bps * (to_s - from_s) >= left_bits:
            need_s = left_bits / rate_bps if left_bits else 0.0
            seen.append((need_s, link))
            return from_s + need_s, seen
        seen.append((to_s - from_s, link))
        left_bits -= rate_bps * (to_s - from_s)
    return inf, seen
