"""Wi-Fi: from signal strength to bits per second, airtime shared at an access point, radio power.

The chain is RSSI -> modulation and coding scheme -> physical rate -> goodput. Rates and minimum
sensitivities are those of IEEE 802.11ac (Tables 21-25 and 21-30 ff., long guard interval).

Stations with traffic share the access point's *airtime* evenly, each at its own rate: the airtime
fairness of present Linux drivers (Hoeiland-Joergensen et al., "Ending the anomaly", USENIX ATC'17).
Up and down use the same air.

A radio that has something to transfer listens while the air is somebody else's, at the watts of
receiving: carrier sense needs the receiver. A transfer that is stalled for lack of signal listens for
the network at the watts of the tail.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from edgesim.core.clock import Clock
from edgesim.core.units import mbps_to_bps
from edgesim.network.flows import Air
from edgesim.network.radio import LinkState, LinkTable, Network, RadioPower, TailPhase

__all__ = ["DEFAULT_GOODPUT_RATIO", "RateTable", "WifiPower", "access_point"]

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

    component = "wifi"
    promotion_s = 0.0
    promotion_w = 0.0
    idle_wait_s = 0.0

    @property
    def tail(self) -> tuple[TailPhase, ...]:
        """Its one phase."""
        return (TailPhase(self.tail_s, self.tail_w),)

    @property
    def peak_w(self) -> float:
        """The most it can draw."""
        return max(
            self.idle_w, self.receive_w, self.tail_w, *(watts for _, watts in self.transmit_w)
        )


def access_point(
    clock: Clock,
    name: str,
    bandwidth_mhz: int,
    streams: int,
    goodput_ratio: float = DEFAULT_GOODPUT_RATIO,
    *,
    kind: str = "wifi",
    lost_after_s: float = inf,
    roaming: str = "",
    is_shared: bool = True,
) -> Network:
    """Air shared by the phones that are associated with an access point, or are a Wi-Fi Direct group.

    Args:
        clock: the clock.
        name: of the network.
        bandwidth_mhz: 20, 40 or 80.
        streams: spatial streams of its antennas.
        goodput_ratio: see :data:`DEFAULT_GOODPUT_RATIO`.
        kind: ``wifi`` or ``wifi_direct``.
        lost_after_s: as for :class:`Network`.
        roaming: likewise.
        is_shared: likewise.
    """

    def table(power: RadioPower) -> LinkTable:
        assert isinstance(power, WifiPower)
        rates = RateTable(bandwidth_mhz, min(power.streams, streams), goodput_ratio)
        edges = [*rates.thresholds_dbm, *(from_dbm for from_dbm, _ in power.transmit_w)]

        def state(rssi_dbm: float, known_bps: tuple[float, float] | None) -> LinkState:
            up_bps, down_bps = known_bps or (rates.goodput_bps(rssi_dbm),) * 2
            if not (up_bps or down_bps):
                return LinkState(0.0, 0.0, power.tail_w, power.tail_w, power.tail_w)
            send_w = max(power.transmitting_w(rssi_dbm), power.receive_w)
            return LinkState(up_bps, down_bps, send_w, power.receive_w, power.receive_w)

        return LinkTable(edges, state)

    air = Air(clock)
    return Network(name, kind, air, air, table, lost_after_s, roaming, is_shared)
