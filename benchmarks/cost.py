"""What an estimate costs: one from a warm table, and all targets of a phone at once.

    python benchmarks/cost.py [--json]

Bounds: one (model, target) from a warm table in at most 3 microseconds; and one numpy pass over all
targets of a phone (every processor, precision and level) in less time than half of them one by one.
Each figure is the median of rounds that take turns; the loop around it is subtracted.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from statistics import median

from edgesim.hardware.catalogue import shipped
from edgesim.nn.cost import CostTable, inference_energy_j, inference_s
from edgesim.nn.zoo import ZOO

ROUNDS = 15
BOUND_US = 3.0
PHONE = "mi_8_pro"


def seconds_per_call(call: Callable[[], object], repeats: int) -> float:
    """Seconds of one call, without the loop around it."""
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    full = time.perf_counter() - started
    started = time.perf_counter()
    for _ in range(repeats):
        pass
    return (full - (time.perf_counter() - started)) / repeats


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    phone = shipped().phone(PHONE)
    processors = list(phone.processors.values())
    table = CostTable(processors)
    model = ZOO["mobilenet_v2"]
    by_name = {processor.name: processor for processor in processors}
    name, precision, level = table.targets[-3]
    table.seconds(model)

    def one_by_one() -> None:
        for target, precise, step in table.targets:
            inference_s(model, by_name[target], precise, level=step)
            inference_energy_j(model, by_name[target], precise, level=step)

    cases = {
        "one, warm table": (lambda: table.estimate(model, name, precision, level), 20_000),
        "all targets, numpy": (lambda: (table.seconds(model), table.energy_j(model)), 500),
        "all targets, one by one": (one_by_one, 5),
        "a table for the phone": (lambda: CostTable(processors), 10),
    }
    rounds: dict[str, list[float]] = {case: [] for case in cases}
    for _ in range(ROUNDS):
        for case, (call, repeats) in cases.items():
            rounds[case].append(seconds_per_call(call, repeats))
    found = {case: median(times) * 1e6 for case, times in rounds.items()}
    ratio = found["all targets, numpy"] / found["all targets, one by one"]
    held = found["one, warm table"] <= BOUND_US and ratio <= 0.5
    if arguments.json:
        data = {"microseconds": found, "numpy_over_one_by_one": ratio, "held": held}
        print(json.dumps(data, indent=2))
        return 0 if held else 1
    print(
        f"{PHONE}: {len(table.targets)} targets; {platform.machine()}, {platform.python_version()}"
    )
    for case, microseconds in found.items():
        low, high = min(rounds[case]) * 1e6, max(rounds[case]) * 1e6
        print(f"{case:<26}{microseconds:>10.2f} us   ({low:.2f} to {high:.2f})")
    print(
        f"bounds: warm <= {BOUND_US} us, numpy <= 0.5 of one by one ({ratio:.4f}): "
        f"{'held' if held else 'BROKEN'}"
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
