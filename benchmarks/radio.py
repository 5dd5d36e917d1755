"""What the radio models give, beside what was published: rates, watts, joules of a transfer.

    python benchmarks/radio.py [--traces FOLDER]

By arithmetic from the profiles and the models of the network alone; nothing is simulated. Joules are
of one transfer from standby to standby with the cell or access point to oneself, standby's own
watts not subtracted. With the 4G logs of van der Hooft et al. (2016) as JSON in FOLDER, they are
compared with the rate model over an assumed spread of signal strength.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from math import log10
from pathlib import Path
from statistics import NormalDist

from edgesim.core.units import BITS_PER_BYTE, mbps_to_bps
from edgesim.hardware.catalogue import shipped
from edgesim.network.lte import LtePower, LteRates
from edgesim.network.wifi import RateTable, WifiPower

PHONES = ("pixel_5", "galaxy_s10e", "mi_8_pro")
SIZES_B = (10e3, 100e3, 1e6, 10e6)
CELL_MHZ, LAYERS = 10, 2
STRENGTHS_DBM = (-50, -60, -70, -75, -80, -85, -90, -95, -100)
HUANG_DOWN_MBPS, HUANG_UP_MBPS = 13.0, 6.0
"""Medians of LTE in Huang et al., MobiSys 2012 (abstract)."""

HUANG = {
    "lte": {
        "up": (0.43839, 1.28804),
        "down": (0.05197, 1.28804),
        "promotion": (0.2601, 1.2107),
        "tail": (11.576, 1.060),
    },
    "wifi": {
        "up": (0.28317, 0.13286),
        "down": (0.13701, 0.13286),
        "promotion": (0.0791, 0.1244),
        "tail": (0.2381, 0.1193),
    },
}
"""Of the same paper, recalled but for LTE's alpha_u, beta and tail: (W per Mb/s, W) while it
transfers, (seconds, W) before and after."""

TRACES = Path(__file__).resolve().parents[2] / "shared" / "data" / "traces" / "ghent_4g"
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
SPREAD_DB = 10.0
"""Standard deviation of signal strength along a way through a town; assumed."""


def huang_j(radio: str, way: str, size_b: float) -> float:
    """Joules of a transfer on their handset, at their LTE medians on either radio."""
    slope, base_w = HUANG[radio][way]
    mbps = HUANG_UP_MBPS if way == "up" else HUANG_DOWN_MBPS
    seconds = size_b * BITS_PER_BYTE / mbps_to_bps(mbps)
    ends_j = sum(s * watts for s, watts in (HUANG[radio]["promotion"], HUANG[radio]["tail"]))
    return seconds * (slope * mbps + base_w) + ends_j


def lte_j(power: LtePower, rates: LteRates, way: str, size_b: float, rssi_dbm: float) -> float:
    """Joules of a transfer over LTE from RRC idle to RRC idle; infinity without a rate."""
    bps = rates.up_bps(rssi_dbm) if way == "up" else rates.down_bps(rssi_dbm)
    if not bps:
        return float("inf")
    if way == "up":
        watts = rates.transmitting_w(power, rssi_dbm)
    else:
        watts = power.active_w + power.receive_w_per_bps * bps
    drx_s = power.tail_s - power.inactivity_s
    return (
        power.promotion_s * power.promotion_w
        + size_b * BITS_PER_BYTE / bps * watts
        + power.inactivity_s * power.active_w
        + drx_s * power.tail_w
    )


def wifi_j(power: WifiPower, rates: RateTable, way: str, size_b: float, rssi_dbm: float) -> float:
    """Joules of a transfer over Wi-Fi, its tail included; infinity without a rate."""
    bps = rates.goodput_bps(rssi_dbm)
    if not bps:
        return float("inf")
    watts = max(power.transmitting_w(rssi_dbm), power.receive_w) if way == "up" else power.receive_w
    return size_b * BITS_PER_BYTE / bps * watts + power.tail_s * power.tail_w


def implied_alpha_u(power: LtePower, rates: LteRates, rssi_dbm: float) -> float:
    """Milliwatts per Mb/s by which sending at Huang's median rate exceeds being connected."""
    share = min(1.0, mbps_to_bps(HUANG_UP_MBPS) / rates.up_bps(rssi_dbm))
    added_w = share * (rates.transmitting_w(power, rssi_dbm) - power.active_w)
    return 1000 * added_w / HUANG_UP_MBPS


def modelled_mbps(mhz: float, median_rsrp_dbm: float) -> list[float]:
    """Quantiles of the downlink, Mb/s, if a phone's RSRP is normal around a median."""
    rates = LteRates(mhz, LAYERS)
    # RSRP is the power of one of 12 subcarriers a block; RSSI is here that of all of them.
    rssi = NormalDist(median_rsrp_dbm + 10 * log10(12 * rates.blocks), SPREAD_DB)
    return [rates.down_bps(rssi.inv_cdf(share)) / 1e6 for share in SHARES]


def measured_mbps(files: Iterable[Path]) -> list[float]:
    """The same quantiles of logs, by time."""
    rows = sorted(
        (row["bandwidth_kbps"] / 1e3, row["duration_ms"] / 1e3)
        for file in files
        for row in json.loads(file.read_text(encoding="utf-8"))
    )
    total_s, passed_s, quantiles = sum(seconds for _, seconds in rows), 0.0, []
    left = list(SHARES)
    for mbps, seconds in rows:
        passed_s += seconds
        while left and passed_s >= left[0] * total_s:
            quantiles.append(mbps)
            left.pop(0)
    return quantiles


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print(f"\n{title}\n")
    print("| " + " | ".join(header) + " |")
    print("|---" + "|---:" * (len(header) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def _size(size_b: float) -> str:
    return f"{size_b / 1e6:g} MB" if size_b >= 1e6 else f"{size_b / 1e3:g} kB"


def _lte_rates() -> None:
    cells = [LteRates(mhz, LAYERS) for mhz in (CELL_MHZ, 20)]
    header = ["RSSI, dBm", "10 MHz down", "up", "output, dBm", "20 MHz down", "up", "output, dBm"]
    table(
        f"LTE, {LAYERS} layers: Mb/s by signal strength",
        header,
        [
            [
                f"{rssi_dbm}",
                *(
                    text
                    for rates in cells
                    for text in (
                        f"{rates.down_bps(rssi_dbm) / 1e6:.1f}",
                        f"{rates.up_bps(rssi_dbm) / 1e6:.2f}",
                        f"{rates.tx_dbm(rssi_dbm):.1f}",
                    )
                ),
            ]
            for rssi_dbm in STRENGTHS_DBM
        ],
    )


def _lte_watts() -> None:
    rates = LteRates(CELL_MHZ, LAYERS)
    rows = [["Huang's handset", "20.1", "1.288", "52.0", "-", "-", "-", "1.060", "438", "438"]]
    catalogue = shipped()
    for name in catalogue.names("phone"):
        power = catalogue.phone(name).lte
        if power is None:
            continue
        scale = power.active_w / HUANG["lte"]["up"][1]
        rows.append(
            [
                name,
                f"{power.idle_w * 1e3:.1f}",
                f"{power.active_w:.3f}",
                f"{power.receive_w_per_bps * 1e9:.1f}",
                *(f"{power.transmitting_w(dbm):.2f}" for dbm in (-10, 10, 23)),
                f"{power.tail_w:.3f}",
                f"{scale * 438.39:.0f}",
                " / ".join(f"{implied_alpha_u(power, rates, dbm):.0f}" for dbm in (-50, -60, -72)),
            ]
        )
    header = (
        *("LTE, W", "idle, mW", "connected", "per Mb/s down, mW", "sending at -10 dBm", "10", "23"),
        *("tail", "alpha_u x scale, mW per Mb/s", "ours at -50 / -60 / -72 dBm"),
    )
    table(f"LTE: watts by state; {HUANG_UP_MBPS:g} Mb/s up over {CELL_MHZ} MHz", header, rows)


def _joules(radio: str, strengths_dbm: Sequence[int]) -> None:
    catalogue = shipped()
    cell, air = LteRates(CELL_MHZ, LAYERS), RateTable(20, 2)
    rows = []
    for way in ("up", "down"):
        for size_b in SIZES_B:
            row = [f"{_size(size_b)} {way}", f"{huang_j(radio, way, size_b):.2f}"]
            for name in PHONES:
                phone = catalogue.phone(name)
                assert phone.lte is not None
                row += [
                    f"{lte_j(phone.lte, cell, way, size_b, rssi_dbm):.2f}"
                    if radio == "lte"
                    else f"{wifi_j(phone.wifi, air, way, size_b, rssi_dbm):.3f}"
                    for rssi_dbm in strengths_dbm
                ]
            rows.append(row)
    what = f"LTE, {CELL_MHZ} MHz" if radio == "lte" else "Wi-Fi, 20 MHz, 2 streams"
    header = ["J", f"Huang, {HUANG_UP_MBPS:g} up / {HUANG_DOWN_MBPS:g} down"]
    header += [f"{name} {dbm}" for name in PHONES for dbm in strengths_dbm]
    table(f"{what}: joules of a transfer", header, rows)


def _wifi_rates() -> None:
    tables = [RateTable(mhz, streams) for mhz, streams in ((20, 1), (20, 2), (80, 2))]
    table(
        "Wi-Fi: Mb/s by signal strength",
        ["RSSI, dBm", "20 MHz, 1 stream", "20 MHz, 2", "80 MHz, 2"],
        [
            [f"{dbm}", *(f"{rates.goodput_bps(dbm) / 1e6:.1f}" for rates in tables)]
            for dbm in (-50, -55, -60, -65, -70, -75, -80, -85)
        ],
    )


def _traces(folder: Path) -> None:
    rows = []
    files = sorted(folder.glob("*.json"))
    if files:
        quantiles = measured_mbps(files)
        rows.append([f"{len(files)} logs of 4G in Ghent", *(f"{mbps:.1f}" for mbps in quantiles)])
    else:
        print(f"\nno logs in {folder}: the model alone", file=sys.stderr)
    for mhz in (10, 20):
        for rsrp_dbm in (-95, -105):
            quantiles = modelled_mbps(mhz, rsrp_dbm)
            name = f"{mhz} MHz, median RSRP {rsrp_dbm} dBm"
            rows.append([name, *(f"{mbps:.1f}" for mbps in quantiles)])
    header = ["Mb/s down", *(f"{share:.0%}" for share in SHARES)]
    table(f"LTE: spread, RSRP normal with {SPREAD_DB:g} dB (assumed)", header, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--traces", type=Path, default=TRACES, help="folder of 4G logs")
    parsed = parser.parse_args(arguments)
    _lte_rates()
    _lte_watts()
    _joules("lte", (-70, -90))
    _traces(parsed.traces)
    _wifi_rates()
    _joules("wifi", (-60, -80))
    return 0


if __name__ == "__main__":
    sys.exit(main())
