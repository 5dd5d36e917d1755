"""Fit the cost model's efficiencies to published latencies, and write them into the profiles.

    python benchmarks/calibrate.py [--dry-run]
    python benchmarks/calibrate.py --add my.csv --profiles my_folder     # chips of your own

It fits to ``../shared/data/measurements/*.csv`` (ncnn's and TensorFlow Lite's published rows,
transcribed) and ``benchmarks/measurements.csv``, or to ``--measurements``, and to the files of
``--add``. It writes, with four significant digits, the block ``calibration`` at the end of every
shipped chip and server with rows of its own, and ``edgesim/hardware/efficiency.yaml`` with what is
shared by all processors of a family, which the others and users' own chips take. With ``--profiles``
it writes those of the chips in these folders instead, and nothing that ships. What ships is only ever
written from the files it is documented with: other files without ``--profiles`` are fitted and reported.

``sigma`` is the robust scatter of ln(measured / predicted) by fits that saw no row of the model in
question: a chip's own rows, weighed against ten rows' worth of all that were measured the same way.
Where nothing was measured of the processor under that runtime, or of the processor at all, the scatter
between chips is added.
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
from edgesim.hardware.catalogue import Catalogue, calibration_unit, catalogue_folder, family
from edgesim.hardware.measurements import Measurement, read_measurements
from edgesim.hardware.profiles import ProcessorProfile, ServerProfile, SocProfile
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
"""By family, the one simulated by default first: what apps use, and frameworks on servers. A server
that was measured under another is simulated under that."""

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

    def measured(self, chip: str, unit: str, runtime: str) -> bool:
        """Whether float models ran on this very processor under this software."""
        return any(self.count(chip, unit, runtime, p) for p in ("fp32", "fp16"))

    def sigma(self, chip: str, unit: str, runtime: str) -> float:
        """Of a unit of a chip, or with an empty name of one that nothing was measured on.

        To the scatter of models left out come, where the unit was never measured under this
        runtime, how much builds of it differ from chip to chip, and where it was never measured at
        all, how much chips do.
        """
        kind = unit.split("_")[0]
        rows = [
            (index, row.setting.chip.name == chip and unit_of_row(row) == unit, row.setting.runtime)
            for index, row in enumerate(self._rows)
            if row.setting.processor.kind == kind
        ]
        alike = [index for index, _, used in rows if used == runtime]
        own = [index for index, is_own, used in rows if is_own and used == runtime]
        pooled = self._scatter(alike or [index for index, _, _ in rows])
        alone = self._scatter(own)
        variance = (_POOL_ROWS * pooled**2 + len(own) * alone**2) / (_POOL_ROWS + len(own))
        effects = self._fit.effects
        if not own:
            builds = [v for e, v in effects.items() if e[0] == "runtime chip" and e[2] == kind]
            variance += mean_square(builds)
        if not any(is_own for _, is_own, _ in rows):
            variance += mean_square([v for e, v in effects.items() if e[:2] == ("chip", unit)])
        return sqrt(variance)

    def _scatter(self, indices: Sequence[int]) -> float:
        return scatter(
            [self.held_out_s[index] for index in indices],
            [self._rows[index].measurement.seconds for index in indices],
        )


def mean_square(values: Sequence[float]) -> float:
    """The mean of the squares; 0 of nothing."""
    return sum(value**2 for value in values) / len(values) if values else 0.0


def unit_of_row(row: Row) -> str:
    """What the chip's own effects on this row are kept under."""
    return unit_of(row.setting.processor.family, row.setting.processor.kind)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measurements", type=Path, nargs="+", default=list(DEFAULT_FILES))
    parser.add_argument("--add", type=Path, nargs="+", default=[], help="measurements besides")
    parser.add_argument(
        "--profiles", type=Path, nargs="+", default=[], help="folders with chips of your own"
    )
    parser.add_argument("--dry-run", action="store_true", help="fit and report, write nothing")
    arguments = parser.parse_args()
    files = [*arguments.measurements, *arguments.add]
    try:
        catalogue = catalogue_with(arguments.profiles)
        rows, unknown = prepare(read_files(files), catalogue)
        fit = calibrate(rows)
        scatters = Scatters(rows, fit)
    except EdgesimError as error:
        print(error, file=sys.stderr)
        return 2
    for measurement, reason in unknown:
        print(f"left out: {measurement.label}: {reason}")
    fitted_s = [fit.predicted_s(row) for row in rows]
    measured_s = [row.measurement.seconds for row in rows]
    held_out_s = [scatters.held_out_s[index] for index in range(len(rows))]
    print(f"{len(rows)} rows, {len(fit.effects)} effects")
    print(
        f"scatter of ln(measured / predicted): {scatter(fitted_s, measured_s):.3f} fitted, "
        f"{scatter(held_out_s, measured_s):.3f} with the model left out"
    )
    names = ", ".join(file.name for file in files)
    if arguments.dry_run:
        print("nothing written (--dry-run)")
    elif arguments.profiles:
        write_profiles(rows, fit, scatters, names, arguments.profiles)
    elif tuple(files) == DEFAULT_FILES:
        write_profiles(rows, fit, scatters, names, [catalogue_folder("device_profiles")])
        write_shared(fit, scatters, names)
    else:
        print("nothing written: what ships is fitted to the default files alone; see --profiles")
    return 0


def catalogue_with(folders: Sequence[Path]) -> Catalogue:
    """The shipped profiles and those of these folders.

    Raises:
        EdgesimError: if one is no folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise EdgesimError(f"--profiles: {folder} is not a folder")
    return Catalogue(folders)


def read_files(files: Sequence[Path]) -> list[Measurement]:
    """All rows of some files.

    Raises:
        EdgesimError: if one is missing or not in order, or there is no row in any.
    """
    missing = [file for file in files if file in DEFAULT_FILES and not file.exists()]
    if missing:
        raise EdgesimError(
            f"{missing[0]} is missing: the published rows that the profiles were fitted to are not "
            "part of this repository; name files with --measurements (docs/fidelity.md has the format)"
        )
    rows = read_measurements(files)
    if not rows:
        raise EdgesimError(f"no measurement in {', '.join(map(str, files))}")
    return rows


def write_profiles(
    rows: Sequence[Row], fit: Fit, scatters: Scatters, names: str, folders: Sequence[Path]
) -> None:
    """Replace the calibration of every chip and server in these folders that has rows."""
    for chip in {row.setting.chip.name: row.setting.chip for row in rows}.values():
        file = next((f for d in folders if (f := d / f"{chip.name}.yaml").exists()), None)
        if file is None:
            continue
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
    runtimes = list(RUNTIMES[group])
    if isinstance(chip, ServerProfile):  # frameworks differ more there than machines do
        unit = calibration_unit(processor)
        runtimes.sort(key=lambda runtime: not scatters.measured(chip.name, unit, runtime))
    for runtime in runtimes:
        precisions = [p for p in _precisions(group, runtime) if p in peaks]
        if precisions:
            lines.append(f"{indent}{runtime}:")
        for precision in precisions:
            efficiency = fit.efficiency(chip.name, group, kind, runtime, precision)
            unit = calibration_unit(processor)
            sigma = scatters.sigma(chip.name, unit, runtime)
            rows = scatters.count(chip.name, unit, runtime, precision)
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
                sigma = scatters.sigma("", unit_of(group, kind), runtime)
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
