"""LTE: from signal strength to bits per second and output power; watts of a modem by state.

Downlink: RSSI -> signal to interference and noise -> channel quality indicator (CQI) -> bits per
resource element -> payload. Uplink: RSSI -> path loss -> the output power that open-loop power
control asks for -> the same chain at the base station (eNodeB). All rates are those of one phone
with the cell to itself; a phone that gets a share of the resource blocks gets that share of them.

RSSI is here the power of the phone's own cell over its whole bandwidth, at one antenna. What other
cells add is a noise rise of a fixed size (:data:`INTERFERENCE_DB`). So it is a cell among quiet
neighbours: in a busy network strong signals come with strong interference and rates no longer rise
with RSSI, and a phone at a cell's edge may hear the next cell as loud as its own.

Left out: fading faster than the RSSI given, mobility, carrier aggregation, 256-QAM, and the closed
loop of power control, which adds up to a few decibels of correction.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite, log10, nextafter

from edgesim.core.clock import Clock
from edgesim.network.flows import Air
from edgesim.network.radio import LinkState, LinkTable, Network, RadioPower, TailPhase

__all__ = [
    "DOWN_OVERHEAD",
    "ENODEB_DBM",
    "INTERFERENCE_DB",
    "PATH_LOSS_ALPHA",
    "RESOURCE_BLOCKS",
    "UP_OVERHEAD",
    "UP_P0_DBM",
    "LtePower",
    "LteRates",
    "cell",
]

RESOURCE_BLOCKS: Mapping[float, int] = {1.4: 6, 3: 15, 5: 25, 10: 50, 15: 75, 20: 100}
"""Resource blocks by nominal MHz of a cell. 3GPP TS 36.101, Table 5.6-1 (recalled)."""

BLOCK_HZ = 180e3
"""Width of a resource block: 12 subcarriers of 15 kHz. TS 36.211, Table 6.2.3-1 (recalled)."""

ELEMENTS_PER_S = 12 * 14 * 1000
"""Resource elements of a block in a second: 12 subcarriers x 14 symbols a millisecond with the
normal cyclic prefix. TS 36.211 (recalled)."""

CQI_EFFICIENCY: Sequence[float] = (
    0.1523, 0.2344, 0.3770, 0.6016, 0.8770, 1.1758, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223,
    3.9023, 4.5234, 5.1152, 5.5547,
)  # fmt: skip
"""Bits per resource element at CQI 1 to 15: modulation order x code rate. TS 36.213, Table
7.2.3-1; as in ns-3's lte-amc.cc."""

CQI_SINR_DB: Sequence[float] = (
    -6.7, -4.7, -2.3, 0.2, 2.4, 4.3, 5.9, 8.1, 10.3, 11.7, 14.1, 16.3, 18.7, 21.0, 22.7,
)  # fmt: skip
"""Signal to interference and noise, dB, from which a CQI has at most 10 % block errors with one
antenna: the list common to link-level studies and public simulators; no original was found."""

UP_HIGHEST_CQI = 9
"""Of the uplink: the highest with 16-QAM, all that categories 3 and 4 send (TS 36.306, Table
4.1-2, recalled). A little low: the uplink's own table goes on to 16-QAM at 0.74 (3 bits)."""

NOISE_DBM_PER_HZ = -174.0
"""Thermal noise at 290 K: 10 log10(kT / 1 mW)."""

UE_NOISE_FIGURE_DB = 9.0
"""Of a phone. 3GPP TR 36.942, simulation assumptions (recalled); default of ns-3's LteUePhy."""

ENODEB_NOISE_FIGURE_DB = 5.0
"""Of a base station. As above; default of ns-3's LteEnbPhy."""

ENODEB_DBM = 46.0
"""Output power of a macro cell of 10 MHz, 40 W. TR 36.942, simulation assumptions (recalled). It is
taken for every bandwidth and with the antennas' gains left to the path loss."""

INTERFERENCE_DB = 3.0
"""What the cells around add to the noise: as much power again. A usual margin of link budgets
(r.MaxPower of RaPlaT, LTE_INTERFERENCE_MARGIN, has 3 dB); of a loaded network it is low."""

UP_DIVERSITY_DB = 3.0
"""Two antennas of the base station gather twice the power: 10 log10(2), combined without loss."""

UE_MAX_DBM = 23.0
"""Most that a phone sends: power class 3. TS 36.101, Table 6.2.2-1 (recalled)."""

UP_P0_DBM = -67.0
"""Cell's target power per block at no path loss, p0-NominalPUSCH of TS 36.331: what an operator's
script sets at a Huawei eNodeB (MOD CELLULPCCOMM ... P0NOMINALPUSCH=-67), recalled to be that
vendor's default. srsRAN, a laboratory's eNodeB, has -85: 18 dB less wherever a phone is not at its
limit, an uplink of low power and low rate."""

PATH_LOSS_ALPHA = 0.7
"""Share of the path loss that a phone makes up for: srsRAN's sib.conf.example; recalled to be
Huawei's default too."""

DOWN_CONTROL_SHARE = (2 * 12 + 12) / 168
"""Of a block's 168 elements a millisecond, two of 14 symbols carry control (assumed: 1 to 3 are
possible), and 12 further ones are reference signals of two antennas (16 in all, of which four lie
in the first symbol). Synchronisation and broadcast, 0.7 % at 10 MHz, are left out."""

UP_REFERENCE_SHARE = 2 / 14
"""Two of 14 symbols are demodulation reference signals. TS 36.211, 5.5.2.1 (recalled)."""

UP_CONTROL_SHARE = 0.1
"""Blocks at the edges for control (PUCCH), and what is lost because a single-carrier allocation is
contiguous and a multiple of 2, 3 and 5 only: assumed, 45 of 50 are left."""

RETRANSMISSION_SHARE = 0.1
"""A CQI is chosen for at most 10 % block errors (TS 36.213, 7.2.3): so many are sent again."""

HEADER_SHARE = 0.03
"""IP and TCP 40 bytes, PDCP, RLC and MAC about 6, of 1500 (derived). Acknowledgements of the other
direction are left out."""

DOWN_OVERHEAD = 1 - (1 - DOWN_CONTROL_SHARE) * (1 - RETRANSMISSION_SHARE) * (1 - HEADER_SHARE)
"""Share of the downlink's bits that is no payload: 0.314."""

UP_OVERHEAD = 1 - (
    (1 - UP_REFERENCE_SHARE)
    * (1 - UP_CONTROL_SHARE)
    * (1 - RETRANSMISSION_SHARE)
    * (1 - HEADER_SHARE)
)
"""Share of the uplink's bits that is no payload: 0.327."""

PEAK_BPS_PER_LAYER = CQI_EFFICIENCY[-1] * RESOURCE_BLOCKS[20] * ELEMENTS_PER_S
"""No cell of this model gives more to a layer."""


@dataclass(frozen=True, slots=True)
class LtePower:
    """Watts of a phone's LTE modem in each state (Huang et al., MobiSys 2012).

    Sending with a share of the cell's resource blocks draws that share of ``transmit_w`` and the
    rest of ``active_w``; receiving comes on top. That takes the place of Huang's watts per sent bit
    per second, which know no output power.

    Attributes:
        layers: spatial layers of its antennas.
        idle_w: RRC idle, averaged over its paging cycle.
        active_w: connected, neither sending nor receiving (Huang's beta).
        receive_w_per_bps: what each received bit per second adds (alpha_d).
        transmit_w: rows (from this output power in dBm on, watts in all while sending with all of
            the cell's resource blocks), weakest first.
        promotion_s, promotion_w: from RRC idle to connected.
        inactivity_s: after the last transfer the receiver stays on so long, at ``active_w``.
        tail_s, tail_w: then it listens now and then (DRX). ``tail_s`` counts from the last transfer
            to RRC idle, so that this lasts ``tail_s - inactivity_s``.
        drx_cycle_s: while in DRX the network reaches it only once per cycle.
        paging_cycle_s: likewise in RRC idle.

    Raises:
        ValueError: if rows are missing or out of order, or a number is none that a modem has.
    """

    layers: int
    idle_w: float
    active_w: float
    receive_w_per_bps: float
    transmit_w: tuple[tuple[float, float], ...]
    promotion_s: float
    promotion_w: float
    inactivity_s: float
    tail_s: float
    tail_w: float
    drx_cycle_s: float
    paging_cycle_s: float

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError("layers must be at least one")
        if not self.transmit_w or any(a >= b for (a, _), (b, _) in pairwise(self.transmit_w)):
            raise ValueError("transmit_w needs rows of increasing output power")
        numbers = (
            *(self.idle_w, self.active_w, self.receive_w_per_bps, self.promotion_w, self.tail_w),
            *(self.promotion_s, self.inactivity_s, self.tail_s),
            *(self.drx_cycle_s, self.paging_cycle_s, *(watts for _, watts in self.transmit_w)),
        )
        if not all(isfinite(number) and number >= 0 for number in numbers):
            raise ValueError("watts and seconds must be finite and not below 0")
        if self.tail_s < self.inactivity_s:
            raise ValueError("tail_s counts from the last transfer; not below inactivity_s")

    def transmitting_w(self, tx_dbm: float) -> float:
        """Watts while sending at this output power with all blocks; the first row serves below."""
        power_w = self.transmit_w[0][1]
        for from_dbm, row_w in self.transmit_w:
            if tx_dbm < from_dbm:
                break
            power_w = row_w
        return power_w

    @property
    def component(self) -> str:
        """What the energy ledger calls it."""
        return "lte"

    @property
    def tail(self) -> tuple[TailPhase, ...]:
        """Listening all the time, then discontinuously; there something waits for half a cycle."""
        listening = TailPhase(self.inactivity_s, self.active_w)
        dozing = TailPhase(self.tail_s - self.inactivity_s, self.tail_w, 0.5 * self.drx_cycle_s)
        return tuple(phase for phase in (listening, dozing) if phase.seconds) or (listening,)

    @property
    def idle_wait_s(self) -> float:
        """Half a paging cycle: how long something that comes down waits, on average."""
        return 0.5 * self.paging_cycle_s

    @property
    def peak_w(self) -> float:
        """The most it can draw: sending at its limit while it receives all of a 20 MHz cell."""
        connected_w = max(self.active_w, *(watts for _, watts in self.transmit_w))
        receiving_w = self.receive_w_per_bps * self.layers * PEAK_BPS_PER_LAYER
        return max(self.idle_w, self.promotion_w, self.tail_w, connected_w + receiving_w)


class LteRates:
    """Rates and output power by signal strength for one cell and number of layers.

    A phone that already sends all it may reaches further with fewer blocks, on which its power is
    concentrated: of all blocks, half of them, a quarter and so on, those with the best rate are
    used. What it leaves is not given to others: a share of the uplink is a share of the time.

    Of n antennas a phone needs all but one to tell n layers from each other, and combines what it
    does not need: k layers have each 1/k of the base station's power, gathered by n - k + 1
    antennas (zero forcing, antennas independent). With two, one layer gains 3 dB and two lose 3 dB
    each; the number with the best rate is taken, two from about 10 dB on.

    With the defaults, 10 MHz and two layers, payload is 64 Mb/s at the most down, 52 at -70 dBm, 22
    at -80 and 7 at -90 dBm; up 13.6 at the most, 8.3 at -70, 1.3 at -80 and 0.2 at -90 dBm. Medians
    measured in a young network were 13 down and 6 up (Huang et al., MobiSys 2012).

    Args:
        bandwidth_mhz: of the cell, a key of :data:`RESOURCE_BLOCKS`; the uplink has as much.
        layers: the fewer of the phone's and the cell's; the uplink has one.
        down_overhead: see :data:`DOWN_OVERHEAD`.
        up_overhead: see :data:`UP_OVERHEAD`.
        interference_db: see :data:`INTERFERENCE_DB`; of both directions.
        enodeb_dbm: see :data:`ENODEB_DBM`.
        p0_dbm: see :data:`UP_P0_DBM`.
        alpha: see :data:`PATH_LOSS_ALPHA`, in [0, 1].
        up_diversity_db: see :data:`UP_DIVERSITY_DB`.

    Attributes:
        blocks: resource blocks of the cell.

    Raises:
        ValueError: if there is no such bandwidth, or a share is not within 0 and 1.
    """

    __slots__ = (
        "_alpha",
        "_down_bps",
        "_down_edges_dbm",
        "_enodeb_dbm",
        "_full_dbm",
        "_up_bps",
        "_up_edges_dbm",
        "blocks",
    )

    def __init__(
        self,
        bandwidth_mhz: float,
        layers: int,
        *,
        down_overhead: float = DOWN_OVERHEAD,
        up_overhead: float = UP_OVERHEAD,
        interference_db: float = INTERFERENCE_DB,
        enodeb_dbm: float = ENODEB_DBM,
        p0_dbm: float = UP_P0_DBM,
        alpha: float = PATH_LOSS_ALPHA,
        up_diversity_db: float = UP_DIVERSITY_DB,
    ) -> None:
        if bandwidth_mhz not in RESOURCE_BLOCKS:
            known = ", ".join(f"{mhz:g}" for mhz in RESOURCE_BLOCKS)
            raise ValueError(f"no LTE cell has {bandwidth_mhz:g} MHz; known: {known}")
        if layers < 1:
            raise ValueError("layers must be at least one")
        if not 0 <= alpha <= 1 or not 0 <= down_overhead < 1 or not 0 <= up_overhead < 1:
            raise ValueError("alpha and overheads are shares")
        self.blocks = RESOURCE_BLOCKS[bandwidth_mhz]
        self._alpha = alpha
        self._enodeb_dbm = enodeb_dbm
        self._full_dbm = p0_dbm + 10 * log10(self.blocks)
        floor_dbm = NOISE_DBM_PER_HZ + 10 * log10(self.blocks * BLOCK_HZ) + interference_db
        elements_per_s = self.blocks * ELEMENTS_PER_S
        self._down_edges_dbm, self._down_bps = _steps(
            (
                sinr_db + floor_dbm + UE_NOISE_FIGURE_DB + 10 * log10(used / (layers - used + 1)),
                used * bits * elements_per_s * (1 - down_overhead),
            )
            for sinr_db, bits in zip(CQI_SINR_DB, CQI_EFFICIENCY, strict=True)
            for used in range(1, layers + 1)
        )
        floor_dbm += ENODEB_NOISE_FIGURE_DB - up_diversity_db
        self._up_edges_dbm, self._up_bps = _steps(
            (
                self._rssi_of_arrival(sinr_db + floor_dbm, 10 * log10(self.blocks / used)),
                used * bits * ELEMENTS_PER_S * (1 - up_overhead),
            )
            for sinr_db, bits in list(zip(CQI_SINR_DB, CQI_EFFICIENCY, strict=True))[
                :UP_HIGHEST_CQI
            ]
            for used in (self.blocks >> halvings for halvings in range(self.blocks.bit_length()))
        )

    def down_bps(self, rssi_dbm: float) -> float:
        """Payload bits per second received with the cell to oneself; 0 below CQI 1."""
        return self._down_bps[bisect_right(self._down_edges_dbm, rssi_dbm)]

    def up_bps(self, rssi_dbm: float) -> float:
        """Payload bits per second sent with the cell to oneself; 0 below CQI 1."""
        return self._up_bps[bisect_right(self._up_edges_dbm, rssi_dbm)]

    def tx_dbm(self, rssi_dbm: float) -> float:
        """Output power while sending with all blocks: TS 36.213, 5.1.1.1, without corrections."""
        if not self._alpha:  # no part of an infinite loss either
            return min(UE_MAX_DBM, self._full_dbm)
        return min(UE_MAX_DBM, self._full_dbm + self._alpha * (self._enodeb_dbm - rssi_dbm))

    def transmitting_w(self, power: LtePower, rssi_dbm: float) -> float:
        """Watts of this modem while sending with all blocks at this signal strength."""
        return power.transmitting_w(self.tx_dbm(rssi_dbm))

    def below_tx_dbm(self, tx_dbm: float) -> float:
        """The weakest RSSI from which on the output power is below ``tx_dbm``.

        Infinity if it never is; minus infinity if it always is.
        """
        if tx_dbm > UE_MAX_DBM:
            return -inf
        if not self._alpha:
            return inf if self._full_dbm >= tx_dbm else -inf
        edge_dbm = self._enodeb_dbm - (tx_dbm - self._full_dbm) / self._alpha
        # Rounding may have put it a digit to one side or the other.
        while self.tx_dbm(edge_dbm) >= tx_dbm:
            edge_dbm = nextafter(edge_dbm, inf)
        while self.tx_dbm(before_dbm := nextafter(edge_dbm, -inf)) < tx_dbm:
            edge_dbm = before_dbm
        return edge_dbm

    def edges_dbm(self, power: LtePower) -> list[float]:
        """Every RSSI at which a rate or the watts of sending change, weakest first.

        From one to just below the next, ``down_bps``, ``up_bps`` and ``transmitting_w`` are
        constant, and are what they are at the first of the two; minus infinity stands for what is
        below the first.
        """
        rows = {self.below_tx_dbm(from_dbm) for from_dbm, _ in power.transmit_w[1:]}
        edges = {*self._down_edges_dbm, *self._up_edges_dbm, *rows}
        return sorted(edge for edge in edges if isfinite(edge))

    def _rssi_of_arrival(self, dbm: float, fewer_db: float) -> float:
        """The weakest RSSI at which the base station receives a power density of the phone.

        Args:
            dbm: the density, as power over all blocks.
            fewer_db: by how much fewer blocks the phone sends with.
        """
        at_limit_dbm = self._enodeb_dbm - (UE_MAX_DBM + fewer_db - dbm)
        spare_db = self._full_dbm - dbm
        if self._alpha == 1:
            return at_limit_dbm if spare_db >= 0 else inf
        return max(at_limit_dbm, self._enodeb_dbm - spare_db / (1 - self._alpha))


def _steps(pairs: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Edges at which something better is to be had, and what it is before the first and from each."""
    edges: list[float] = []
    values = [0.0]
    for edge, value in sorted(pairs):
        if value <= values[-1] or edge == inf:
            continue
        if edges and edges[-1] == edge:
            values[-1] = value
            continue
        edges.append(edge)
        values.append(value)
    return edges, values


def cell(
    clock: Clock,
    name: str,
    bandwidth_mhz: float,
    layers: int,
    *,
    interference_db: float = INTERFERENCE_DB,
    enodeb_dbm: float = ENODEB_DBM,
    lost_after_s: float = inf,
    roaming: str = "",
) -> Network:
    """A cell whose resource blocks are shared evenly by the phones that have something to transfer.

    That is what a proportional fair scheduler does in the long run (Kushner, Whiting, IEEE Trans.
    Wireless Communications 3(4), 2004). Uplink and downlink are apart (FDD).

    Args:
        clock: the clock.
        name: of the network.
        bandwidth_mhz: as for :class:`LteRates`.
        layers: of its antennas; a phone uses the fewer of its own and these.
        interference_db: as for :class:`LteRates`.
        enodeb_dbm: as for :class:`LteRates`.
        lost_after_s: as for :class:`Network`.
        roaming: likewise.
    """

    def table(power: RadioPower) -> LinkTable:
        assert isinstance(power, LtePower)
        rates = LteRates(
            bandwidth_mhz,
            min(power.layers, layers),
            interference_db=interference_db,
            enodeb_dbm=enodeb_dbm,
        )

        def state(rssi_dbm: float, known_bps: tuple[float, float] | None) -> LinkState:
            up_bps, down_bps = known_bps or (rates.up_bps(rssi_dbm), rates.down_bps(rssi_dbm))
            active_w = power.active_w
            send_w = max(rates.transmitting_w(power, rssi_dbm), active_w) if up_bps else active_w
            receive_w = active_w + power.receive_w_per_bps * down_bps
            return LinkState(up_bps, down_bps, send_w, receive_w, active_w)

        return LinkTable(rates.edges_dbm(power), state)

    return Network(name, "lte", Air(clock), Air(clock), table, lost_after_s, roaming)
