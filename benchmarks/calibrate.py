"""Fit the cost model's efficiencies to published latencies, and write them into the profiles.

    python benchmarks/calibrate.py [--measurements FILE ...] [--dry-run]

Without files it takes ``../shared/data/measurements/*.csv`` and ``benchmarks/measurements.csv``. It
writes, with four significant digits, the block ``calibration`` at the end of every shipped chip and
server with rows of its own, and ``edgesim/hardware/efficiency.yaml`` with what is shared by all
processors of a family, which the others and users' own chips take.

``sigma`` is the robust scatter of ln(measured / predicted) by fits that saw no row of the model in
question: a chip's own rows, weighed against ten rows' worth of all that were measured the same way.
Where a family stands in for an unknown chip, the scatter between its chips is added.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

from edgesim.core.errors import EdgesimError
from edgesim.hardware.calibration import (
    Fit,
    Row,
    calibrate,
    leave_one_model_out,
    prepare,
    scatter,
    unit_of,
)
from edgesim.hardware.measurements import read_measurements
from edgesim.hardware.profiles import (
    ProcessorProfile,
    ServerProfile,
    SocProfile,
    calibration_unit,
    catalogue_folder,
    family,
    shipped,
)
from edgesim.nn.cost import MAC_TERMS, Efficiency
from edgesim.nn.model import PRECISIONS

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILES = (
    ROOT.parent / "shared/data/measurements/ncnn_latency.csv",
    ROOT.parent / "shared/data/measurements/tflite_latency.csv",
    ROOT / "benchmarks/measurements.csv",
)
SHARED_FILE = ROOT / "edgesim/hardware/efficiency.yaml"

RUNTIMES = {
    "armv8_0_cpu": ("tflite", "ncnn", "ncnn_vulkan", "tnn", "tnn_0_1"),
    "armv8_2_cpu": ("tflite", "ncnn", "ncnn_vulkan", "tnn", "tnn_0_1"),
    "armv8_0_in_order_cpu": ("tflite", "ncnn", "ncnn_vulkan", "tnn", "tnn_0_1"),
    "armv8_2_in_order_cpu": ("tflite", "ncnn", "ncnn_vulkan", "tnn", "tnn_0_1"),
    "server_cpu": ("mxnet", "ncnn", "ncnn_vulkan"),
    "mobile_gpu": ("tflite", "ncnn", "nnapi", "tnn", "tnn_0_1"),
    "server_gpu": ("mxnet", "ncnn"),
    "mobile_dsp": ("nnapi",),
}
"""By family, the one simulated by default first: what apps use, and frameworks on servers."""

FAMILY_PRECISIONS = {
    "armv8_0_cpu": ("fp32", "int8"),
    "armv8_2_cpu": ("fp32", "fp16", "int8"),
    "armv8_0_in_order_cpu": ("fp32", "int8"),
    "armv8_2_in_order_cpu": ("fp32", "fp16", "int8"),
    "server_cpu": ("fp32", "int8"),
    "mobile_gpu": ("fp32", "fp16"),
    "server_gpu": ("fp32", "fp16"),
    "mobile_dsp": ("int8",),
}

_POOL_ROWS = 10
_MARK = "# --- fitted by benchmarks/calibrate.py; not to be edited by hand "


class Scatters:
    """Scatter of predictions by fits that saw nothing of the model, pooled and by chip."""

    def __init__(self, rows: Sequence[Row], fit: Fit) -> None:
        self._rows = rows
        self._fit = fit
        self.held_out_s = leave_one_model_out(rows, fit)

    def count(self, chip: str, unit: str, runtime: str, precision: str) -> int:
        """Rows of this very processor."""
        return sum(
            (row.setting.chip.name, unit_of_row(row)) == (chip, unit)
            and (row.setting.runtime, row.setting.precision) == (runtime, precision)
            for row in self._rows
        )

    def sigma(self, chip: str, kind: str, runtime: str) -> float:
        """Of a chip with rows of its own."""
        alike = [
            index
            for index, row in enumerate(self._rows)
            if (row.setting.processor.kind, row.setting.runtime) == (kind, runtime)
        ] or [i for i, row in enumerate(self._rows) if row.setting.processor.kind == kind]
        own = [index for index in alike if self._rows[index].setting.chip.name == chip]
        pooled, alone = self._scatter(alike), self._scatter(own)
        return sqrt((_POOL_ROWS * pooled**2 + len(own) * alone**2) / (_POOL_ROWS + len(own)))

    def family_sigma(self, kind: str, runtime: str) -> float:
        """Of a chip that nothing was measured on."""
        between = [
            value for effect, value in self._fit.effects.items() if effect[:2] == ("chip", kind)
        ]
        spread = sqrt(sum(value**2 for value in between) / len(between)) if between else 0.0
        return sqrt(self.sigma("", kind, runtime) ** 2 + spread**2)

    def _scatter(self, indices: Sequence[int]) -> float:
        return scatter(
            [self.held_out_s[index] for index in indices],
            [self._rows[index].measurement.seconds for index in indices],
        )


def unit_of_row(row: Row) -> str:
    """What the chip's own effects on this row are kept under."""
    return unit_of(row.setting.processor.family, row.setting.processor.kind)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measurements", type=Path, nargs="+", default=list(DEFAULT_FILES))
    parser.add_argument("--dry-run", action="store_true", help="fit and report, write nothing")
    arguments = parser.parse_args()
    try:
        rows, unknown = prepare(read_measurements(arguments.measurements), shipped())
    except EdgesimError as error:
        print(error, file=sys.stderr)
        return 2
    for measurement, reason in unknown:
        print(f"left out: {measurement.label}: {reason}")
    fit = calibrate(rows)
    scatters = Scatters(rows, fit)
    fitted_s = [fit.predicted_s(row) for row in rows]
    measured_s = [row.measurement.seconds for row in rows]
    held_out_s = [scatters.held_out_s[index] for index in range(len(rows))]
    print(f"{len(rows)} rows, {len(fit.effects)} effects")
    print(
        f"scatter of ln(measured / predicted): {scatter(fitted_s, measured_s):.3f} fitted, "
        f"{scatter(held_out_s, measured_s):.3f} with the model left out"
    )
    if not arguments.dry_run:
        names = ", ".join(file.name for file in arguments.measurements)
        write_profiles(rows, fit, scatters, names)
        write_shared(fit, scatters, names)
    return 0


def write_profiles(rows: Sequence[Row], fit: Fit, scatters: Scatters, names: str) -> None:
    """Replace the calibration of every chip and server that has rows."""
    for chip in {row.setting.chip.name: row.setting.chip for row in rows}.values():
        own = [row for row in rows if row.setting.chip.name == chip.name]
        kinds = {row.setting.processor.kind for row in own}
        lines = [
            f"{_MARK:-<100}",
            "calibration:",
            f'  source: "fitted by benchmarks/calibrate.py to {names}: {len(own)} rows of this chip, '
            f'{len(rows)} in all"',
        ]
        for unit in ("cpu", "cpu_in_order", "gpu", "dsp"):
            alike = [p for p in chip.processors.values() if calibration_unit(p) == unit]
            if not alike or alike[0].kind not in kinds:
                continue
            lines.append(f"  {unit}:")
            processor = alike[0]
            lines += _runtimes(chip, processor, fit, scatters, indent="    ")
        file = catalogue_folder("device_profiles") / f"{chip.name}.yaml"
        kept = file.read_text(encoding="utf-8").split(_MARK)[0].rstrip("\n")
        file.write_text(kept + "\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _runtimes(
    chip: SocProfile | ServerProfile,
    processor: ProcessorProfile,
    fit: Fit,
    scatters: Scatters,
    indent: str,
) -> list[str]:
    lines = []
    group = family(chip, processor)
    kind = processor.kind
    peaks = processor.macs_per_cycle.by_precision()
    for runtime in RUNTIMES[group]:
        precisions = [p for p in _precisions(group, runtime) if p in peaks]
        if precisions:
            lines.append(f"{indent}{runtime}:")
        for precision in precisions:
            efficiency = fit.efficiency(chip.name, group, kind, runtime, precision)
            sigma = scatters.sigma(chip.name, kind, runtime)
            rows = scatters.count(chip.name, calibration_unit(processor), runtime, precision)
            lines.append(f"{indent}  {precision}: {_flow(efficiency, sigma, rows)}")
    return lines


def write_shared(fit: Fit, scatters: Scatters, names: str) -> None:
    """Write what a family has in common."""
    lines = [
        "# What runtimes make of a processor that nothing was measured on, by family.",
        f"{_MARK:-<100}",
        f'source: "fitted by benchmarks/calibrate.py to {names}"',
        "families:",
    ]
    for group, runtimes in RUNTIMES.items():
        kind = group.split("_")[-1]
        lines.append(f"  {group}:")
        for runtime in runtimes:
            lines.append(f"    {runtime}:")
            for precision in _precisions(group, runtime):
                efficiency = fit.efficiency("", group, kind, runtime, precision)
                sigma = scatters.family_sigma(kind, runtime)
                lines.append(f"      {precision}: {_flow(efficiency, sigma, 0)}")
    SHARED_FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _precisions(group: str, runtime: str) -> list[str]:
    """Ncnn's int8 models leave the GPU for the CPU: nothing else runs so."""
    offered = FAMILY_PRECISIONS[group]
    return [p for p in PRECISIONS if p in offered and (runtime != "ncnn_vulkan" or p == "int8")]


def _flow(efficiency: Efficiency, sigma: float, rows: int) -> str:
    macs = ", ".join(f"{term}: {efficiency.macs[term]:.4g}" for term in MAC_TERMS)
    parts = [
        f"macs: {{{macs}}}",
        f"exchange: {efficiency.exchange:.4g}",
        f"move: {efficiency.move:.4g}",
        f"function: {efficiency.function:.4g}",
        f"weights: {efficiency.weights:.4g}",
        f"dispatch_us: {efficiency.dispatch_s * 1e6:.4g}",
        f"parallel: {efficiency.parallel:.4g}",
        f"parallel_weights: {efficiency.parallel_weights:.4g}",
        f"parallel_dispatch: {efficiency.parallel_dispatch:.4g}",
        f"sigma: {sigma:.3g}",
        f"rows: {rows}",
    ]
    return "{" + ", ".join(parts) + "}"


if __name__ == "__main__":
    sys.exit(main())
