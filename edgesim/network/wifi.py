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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, Protocol

from edgesim.core.capacity import Job, SharedCapacity
from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.power import Meter, User
from edgesim.core.signals import Signal
from edgesim.core.units import BITS_PER_BYTE, mbps_to_bps

__all__ = [
    "DEFAULT_GOODPUT_RATIO",
    "AccessPoint",
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
    """

    __slots__ = ("_rates_bps", "_thresholds_dbm")

    def __init__(
        self, bandwidth_mhz: int, streams: int, goodput_ratio: float = DEFAULT_GOODPUT_RATIO
    ) -> None:
        shift_db = SENSITIVITY_STEP_DB * {20: 0, 40: 1, 80: 2}[bandwidth_mhz]
        self._thresholds_dbm = []
        self._rates_bps = [0.0]
        for sensitivity_dbm, rate_mbps in zip(
            SENSITIVITY_20MHZ_DBM, PHY_RATE_MBPS[bandwidth_mhz], strict=True
        ):
            if rate_mbps is not None:
                self._thresholds_dbm.append(sensitivity_dbm + shift_db)
                self._rates_bps.append(mbps_to_bps(rate_mbps) * streams * goodput_ratio)

    def goodput_bps(self, rssi_dbm: float) -> float:
        """Payload bits per second with the air to oneself; 0 below the lowest sensitivity."""
        return self._rates_bps[bisect_right(self._thresholds_dbm, rssi_dbm)]


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

    __slots__ = ("_bandwidth_mhz", "_goodput_ratio", "_streams", "_tables", "air", "name")

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
        self._bandwidth_mhz = bandwidth_mhz
        self._streams = streams
        self._goodput_ratio = goodput_ratio
        self._tables: dict[int, RateTable] = {}

    def rates(self, phone_streams: int) -> RateTable:
        """The rates of a phone with so many streams."""
        streams = min(phone_streams, self._streams)
        if streams not in self._tables:
            self._tables[streams] = RateTable(self._bandwidth_mhz, streams, self._goodput_ratio)
        return self._tables[streams]


class TransferUser(User, Protocol):
    """Whoever transfers: told when the tail after its last transfer is over and booked."""

    def tail_ended(self) -> None:
        """The radio has left the tail; every joule of the transfer has been booked."""


class _Flow:
    """One transfer in progress."""

    __slots__ = ("activity", "done", "job", "mark", "user")

    def __init__(
        self, user: TransferUser, activity: str, mark: float, done: Callable[[], None]
    ) -> None:
        self.user = user
        self.activity = activity
        self.mark = mark
        self.done = done
        self.job: Job


class WifiRadio:
    """The Wi-Fi of one phone.

    Args:
        clock: the clock.
        meter: the phone's meter; the radio is its component ``wifi``.
        power: watts by state.
        access_point: the one it is associated with.
        rssi: the strength of its signal there, dBm.

    Attributes:
        tail_user: who pays for the tail now in progress, if any.
    """

    __slots__ = (
        "_clock",
        "_fade",
        "_flows",
        "_rssi_dbm",
        "_sending",
        "_state",
        "_tail_end",
        "_tail_mark",
        "access_point",
        "power",
        "rates",
        "rssi",
        "tail_user",
    )

    def __init__(
        self, clock: Clock, meter: Meter, power: WifiPower, access_point: AccessPoint, rssi: Signal
    ) -> None:
        self.access_point = access_point
        self.power = power
        self.rates = access_point.rates(power.streams)
        self.rssi = rssi
        self.tail_user: TransferUser | None = None
        self._clock = clock
        self._state = meter.component("wifi", power.idle_w, "idle")
        self._flows: list[_Flow] = []
        self._sending = 0
        self._rssi_dbm = 0.0
        self._tail_mark = 0.0
        self._tail_end = Timer(clock, Order.COMPLETION, self._end_tail)
        self._fade = Timer(clock, Order.WEATHER, self._signal_changed)

    @property
    def flows(self) -> int:
        """Transfers in progress."""
        return len(self._flows)

    @property
    def is_sending(self) -> bool:
        """Whether one of them goes to the access point."""
        return self._sending > 0

    def send(self, user: TransferUser, size_bytes: float, done: Callable[[], None]) -> None:
        """Transfer ``size_bytes`` to the access point for ``user``, then call ``done()``."""
        self._sending += 1
        self._begin(user, size_bytes, "transmit", done)

    def receive(self, user: TransferUser, size_bytes: float, done: Callable[[], None]) -> None:
        """Transfer ``size_bytes`` from the access point for ``user``, then call ``done()``."""
        self._begin(user, size_bytes, "receive", done)

    def power_w(self, rssi_dbm: float, *, sending: bool) -> float:
        """Watts with a transfer in progress; one that is stalled for lack of signal listens."""
        if self.rates.goodput_bps(rssi_dbm) == 0:
            return self.power.tail_w
        if not sending:
            return self.power.receive_w
        return max(self.power.transmitting_w(rssi_dbm), self.power.receive_w)

    def stop(self) -> None:
        """Give up every transfer and draw nothing more: the phone has gone off."""
        while self._flows:
            self.abort(self._flows[0].user)
        self._end_tail()
        self._state.set(0.0, "off")

    def abort(self, user: TransferUser) -> None:
        """Give up the transfers of ``user``, booking what they have cost; no tail follows."""
        for flow in [flow for flow in self._flows if flow.user is user]:
            self.access_point.air.cancel(flow.job)
            self._leave(flow)
        if not self._flows and self.tail_user is None:
            self._state.set(self.power.idle_w, "idle")

    def settle(self) -> None:
        """End the tail, if there is one, and book it."""
        self._end_tail()

    # -- inside -----------------------------------------------------------------------------------

    def _begin(
        self, user: TransferUser, size_bytes: float, activity: str, done: Callable[[], None]
    ) -> None:
        if self.tail_user is not None:
            self._close_tail()
        now_s = self._clock._now
        flows = self._flows
        if not flows:
            self._rssi_dbm = self.rssi.value(now_s)
            self._fade.set(self.rssi.next_change(now_s))
        flow = _Flow(user, activity, self._state.join(), done)
        flows.append(flow)
        self._state.set(self.power_w(self._rssi_dbm, sending=self._sending > 0), activity)
        flow.job = self.access_point.air.submit(
            size_bytes * BITS_PER_BYTE,
            self._finished,
            flow,
            rate=self.rates.goodput_bps(self._rssi_dbm),
        )

    def _leave(self, flow: _Flow) -> None:
        self._state.leave(flow.user, flow.mark, flow.activity)
        self._flows.remove(flow)
        if flow.activity == "transmit":
            self._sending -= 1
        if self._flows:
            sending = self._sending > 0
            self._state.set(
                self.power_w(self._rssi_dbm, sending=sending), "transmit" if sending else "receive"
            )

    def _finished(self, flow: Any) -> None:
        self._leave(flow)
        if not self._flows:
            self._state.set(self.power.tail_w, "tail")
            self.tail_user = flow.user
            self._tail_mark = self._state.join()
            self._tail_end.set(self._clock._now + self.power.tail_s)
        flow.done()

    def _end_tail(self) -> None:
        if self.tail_user is not None:
            self._close_tail()
            self._state.set(self.power.idle_w, "idle")

    def _close_tail(self) -> None:
        """Book the tail to its user; the next state is the caller's to set."""
        user = self.tail_user
        assert user is not None
        self._state.leave(user, self._tail_mark, "tail")
        self.tail_user = None
        self._tail_end.stop()
        user.tail_ended()

    def _signal_changed(self) -> None:
        if not self._flows:
            return
        now_s = self._clock._now
        self._rssi_dbm = rssi_dbm = self.rssi.value(now_s)
        rate_bps = self.rates.goodput_bps(rssi_dbm)
        for flow in self._flows:
            self.access_point.air.set_rate(flow.job, rate_bps)
        self._state.set(self.power_w(rssi_dbm, sending=self._sending > 0), self._state.activity)
        self._fade.set(self.rssi.next_change(now_s))


def transfer_end_s(
    radio: WifiRadio, start_s: float, size_bytes: float, share: float, give_up_s: float = inf
) -> tuple[float, list[tuple[float, float]]]:
    """When a transfer begun at ``start_s`` would end along the realised signal.

    Args:
        radio: whose signal and rates.
        start_s: the moment it begins, now or later.
        size_bytes: payload.
        share: the airtime it gets, held as it is.
        give_up_s: do not look further than this.

    Returns:
        The end (infinity if it lies beyond ``give_up_s``) and what the radio sees meanwhile, as
        pairs (seconds, RSSI in dBm).
    """
    left_bits = size_bytes * BITS_PER_BYTE
    seen: list[tuple[float, float]] = []
    for from_s, to_s, rssi_dbm in radio.rssi.segments(start_s, give_up_s):
        rate_bps = radio.rates.goodput_bps(rssi_dbm) * share
        if rate_bps * (to_s - from_s) >= left_bits:
            need_s = left_bits / rate_bps if left_bits else 0.0
            seen.append((need_s, rssi_dbm))
            return from_s + need_s, seen
        seen.append((to_s - from_s, rssi_dbm))
        left_bits -= rate_bps * (to_s - from_s)
    return inf, seen
