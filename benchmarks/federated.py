"""What federated jobs cost without training: cost follows participants, not the fleet.

    python benchmarks/federated.py [--json] [--large]

200 phones x 1,000 rounds of K = 20, and the same rounds with ten times the fleet: the ratio says what a
phone costs that does not take part. ``--large`` adds 100,000 phones, K = 100, 100 rounds, with the
largest resident size of the process.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from edgesim.scenario.run import run

TIERS = {"high": 0.15, "mid": 0.35, "low": 0.5}


def measure(phones: int, clients_per_round: int, rounds: int) -> dict[str, float]:
    """Seconds of a run, events and simulated seconds."""
    overrides: dict[str, Any] = {
        **{f"phones.{name}.count": round(share * phones) for name, share in TIERS.items()},
        "jobs.digits.mode": "timing_only",
        "jobs.digits.samples_per_client": 300,
        "jobs.digits.model": "mlp",
        "jobs.digits.clients_per_round": clients_per_round,
        "jobs.digits.stop": {"rounds": rounds},
        "record.decisions": False,
    }
    began = time.perf_counter()
    summary = run("federated_digits", overrides=overrides).summary
    seconds = time.perf_counter() - began
    events, simulated_s = summary["events"], summary["simulated_s"]
    return {
        "phones": phones,
        "clients_per_round": clients_per_round,
        "rounds": rounds,
        "seconds": seconds,
        "ms_per_participation": 1e3 * seconds / (clients_per_round * rounds),
        "events": events,
        "simulated_s": simulated_s,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--large", action="store_true")
    given = parser.parse_args(arguments)
    measure(40, 5, 5)  # imports, and caches of profiles
    rows: list[Mapping[str, float]] = [measure(200, 20, 1000), measure(2000, 20, 1000)]
    if given.large:
        rows.append(measure(100_000, 100, 100))
    ratio = rows[1]["seconds"] / rows[0]["seconds"]
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    if given.json:
        found = {"machine": machine, "rows": rows, "ten_times_the_fleet": ratio, "peak_gb": peak_gb}
        print(json.dumps(found, indent=2))
        return 0
    print(machine)
    for row in rows:
        print(
            f"{row['phones']:8,} phones, K = {row['clients_per_round']:3}, {row['rounds']:5,} rounds: "
            f"{row['seconds']:6.1f} s, {row['ms_per_participation']:.2f} ms per participation"
        )
    print(f"ten times the fleet takes {ratio:.2f} times as long; peak {peak_gb:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
