"""How far the cost model's latencies are from published ones.

    python benchmarks/fidelity.py [--measurements FILE ...] [--json]
                                  [--leave-one-model-out | --leave-one-chip-out]
                                  [--profiles FOLDER ...] [--plot FILE] [--rows FILE]
    python benchmarks/fidelity.py --training

Every row of the measurement files (the two formats of ``edgesim.hardware.measurements``) is
predicted from the shipped profiles, by the code that the simulator uses, and compared: the absolute
error in percent of the measurement. Rows of unknown models or chips are listed, not guessed. Without
files it takes those the efficiencies were fitted to.

With ``--leave-one-model-out`` the efficiencies are fitted anew for each model to the rows of all
other models: what to expect of a model that was never measured; ``--leave-one-chip-out`` says the
same of chips.

With ``--training`` the predicted seconds of training steps are compared with the published ones of
``benchmarks/training.csv``, none of which went into the fit.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from calibrate import DEFAULT_FILES, catalogue_with, read_files

from edgesim.core.errors import EdgesimError
from edgesim.hardware.calibration import (
    Fit,
    Row,
    calibrate,
    leave_one_chip_out,
    leave_one_model_out,
    prepare,
)
from edgesim.hardware.catalogue import Catalogue, processor_specs
from edgesim.hardware.measurements import (
    Measurement,
    Setting,
    UnknownMeasurementError,
    setting,
)
from edgesim.nn.cost import Optimiser, training_s
from edgesim.nn.zoo import ZOO

TRAINING_FILE = Path(__file__).with_name("training.csv")


@dataclass(frozen=True, slots=True)
class Compared:
    """One row, measured and predicted."""

    measurement: Measurement
    setting: Setting
    predicted_s: float

    @property
    def error_pct(self) -> float:
        """Signed, in percent of the measurement."""
        return 100.0 * (self.predicted_s / self.measurement.seconds - 1.0)


Unknown = list[tuple[Measurement, str]]


def compare(
    measurements: Iterable[Measurement], catalogue: Catalogue
) -> tuple[list[Compared], Unknown]:
    """Predict every row from the profiles as they are."""
    compared, unknown = [], []
    for measurement in measurements:
        try:
            found = setting(measurement, catalogue)
        except UnknownMeasurementError as error:
            unknown.append((measurement, str(error)))
            continue
        compared.append(Compared(measurement, found, found.predicted_s()))
    return compared, unknown


def compare_held_out(
    measurements: Iterable[Measurement],
    catalogue: Catalogue,
    leave_out: Callable[[Sequence[Row], Fit], dict[int, float]] = leave_one_model_out,
) -> tuple[list[Compared], Unknown]:
    """Predict every row by a fit to the rows of all other models, or chips."""
    rows, unknown = prepare(measurements, catalogue)
    predicted = leave_out(rows, calibrate(rows))
    return (
        [Compared(row.measurement, row.setting, predicted[i]) for i, row in enumerate(rows)],
        unknown,
    )


def statistics(rows: Sequence[Compared]) -> dict[str, Any]:
    """Errors of some rows."""
    errors = sorted(abs(row.error_pct) for row in rows)
    return {
        "n": len(rows),
        "median_ape_pct": round(median(errors), 2) if errors else None,
        "p90_ape_pct": round(percentile(errors, 0.9), 2) if errors else None,
        "median_error_pct": round(median(row.error_pct for row in rows), 2) if errors else None,
    }


def percentile(ordered: Sequence[float], share: float) -> float:
    """Linear between the two nearest ranks."""
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def print_training(catalogue: Catalogue) -> None:
    """Predicted against published training steps."""
    errors = []
    print(f"{'':<40}{'measured':>12}{'predicted':>12}{'error':>9}")
    with TRAINING_FILE.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            specs = processor_specs(catalogue.chip(row["soc"]), row["runtime"])
            batch = int(row["batch"])
            optimiser: Optimiser = "momentum" if row["optimiser"] == "momentum" else "sgd"
            predicted_s = training_s(
                ZOO[row["network"]], specs[row["processor"]], batch, optimiser=optimiser
            )
            assert predicted_s is not None
            measured_s = batch / float(row["images_per_s"])
            errors.append(100.0 * (predicted_s / measured_s - 1.0))
            label = f"{row['soc']} {row['network']} x {batch}"
            print(
                f"{label:<40}{measured_s * 1e3:>9.1f} ms{predicted_s * 1e3:>9.1f} ms"
                f"{errors[-1]:>+7.0f} %"
            )
    print(f"median |error| {median(map(abs, errors)):.1f} % of {len(errors)} rows")


GROUPS: dict[str, Callable[[Compared], str]] = {
    "processor": lambda row: " ".join(
        (row.setting.runtime, row.setting.processor.kind, row.setting.precision)
    ),
    "chip": lambda row: row.setting.chip.name,
    "model": lambda row: row.setting.model.name,
}


def report(rows: Sequence[Compared], unknown: Unknown) -> dict[str, Any]:
    """Everything there is to say, as plain data."""
    groups = []
    for by, key in GROUPS.items():
        for name in sorted({key(row) for row in rows}):
            chosen = [row for row in rows if key(row) == name]
            groups.append({"by": by, "group": name, **statistics(chosen)})
    overall = statistics(rows)
    return {
        "overall": {
            "n": overall["n"],
            "n_unknown": len(unknown),
            **{key: value for key, value in overall.items() if key != "n"},
        },
        "groups": groups,
        "unknown": [
            {"file": m.file, "line": m.line, "row": m.label, "reason": reason}
            for m, reason in unknown
        ],
    }


def print_report(data: dict[str, Any]) -> None:
    """The same for people."""
    print(f"{'':<40}{'rows':>6}{'median |error|':>16}{'90th pct':>10}{'median error':>14}")
    overall = data["overall"]
    for label, row in [("all", overall), *((g["group"], g) for g in data["groups"])]:
        if row["n"]:
            print(
                f"{label:<40}{row['n']:>6}{row['median_ape_pct']:>14.1f} %"
                f"{row['p90_ape_pct']:>8.1f} %{row['median_error_pct']:>+12.1f} %"
            )
    if overall["n_unknown"]:
        print(f"\nunknown, not predicted: {overall['n_unknown']}")
        for row in data["unknown"]:
            print(f"  {row['file']}:{row['line']}: {row['row']}: {row['reason']}")


def write_rows(rows: Sequence[Compared], file: Path) -> None:
    """Every row with its prediction, as CSV."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("measurement", "measured_ms", "predicted_ms", "error_pct"))
        for row in rows:
            ms = (row.measurement.seconds * 1e3, row.predicted_s * 1e3, row.error_pct)
            writer.writerow((row.measurement.label, *(f"{value:.4g}" for value in ms)))


def plot(panels: Sequence[tuple[str, Sequence[Compared]]], file: Path) -> None:
    """Predicted against measured, one panel each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(5.6 * len(panels), 5.4), sharex=True, sharey=True, squeeze=False
    )
    kinds = {"cpu": ("#1b6ca8", "o"), "gpu": ("#d1495b", "s"), "dsp": ("#3a7d44", "^")}
    for ax, (title, rows) in zip(axes[0], panels, strict=True):
        edge = (0.6, 3000.0)
        ax.plot(edge, edge, color="black", linewidth=0.8)
        ax.fill_between(edge, [0.75 * x for x in edge], [1.25 * x for x in edge], color="0.88")
        for kind, (colour, marker) in kinds.items():
            for int8 in (False, True):
                chosen = [
                    row
                    for row in rows
                    if row.setting.processor.kind == kind
                    and (row.setting.precision == "int8") == int8
                ]
                if chosen:
                    ax.scatter(
                        [row.measurement.seconds * 1e3 for row in chosen],
                        [row.predicted_s * 1e3 for row in chosen],
                        s=18,
                        marker=marker,
                        facecolors="none" if int8 else colour,
                        edgecolors=colour,
                        linewidths=0.8,
                        alpha=0.75,
                        label=f"{kind} {'int8' if int8 else 'float'}",
                    )
        stats = statistics(rows)
        ax.set(
            xscale="log",
            yscale="log",
            xlim=edge,
            ylim=edge,
            xlabel="measured latency (ms)",
            title=f"{title}\n{stats['n']} rows, median |error| {stats['median_ape_pct']:.1f} %, "
            f"90th percentile {stats['p90_ape_pct']:.0f} %",
        )
    axes[0][0].set_ylabel("predicted latency (ms)")
    axes[0][0].legend(frameon=False, loc="upper left", title="band: within 25 %")
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measurements", type=Path, nargs="+", default=list(DEFAULT_FILES))
    parser.add_argument("--json", action="store_true", help="print JSON")
    held_out = parser.add_mutually_exclusive_group()
    held_out.add_argument(
        "--leave-one-model-out", action="store_true", help="predict each model by the others"
    )
    held_out.add_argument(
        "--leave-one-chip-out", action="store_true", help="predict each chip by the others"
    )
    parser.add_argument(
        "--profiles", type=Path, nargs="+", default=[], help="folders with profiles of your own"
    )
    parser.add_argument("--rows", type=Path, help="write every row with its prediction here")
    parser.add_argument("--plot", type=Path, help="draw both kinds of prediction here")
    parser.add_argument("--training", action="store_true", help="check training steps instead")
    arguments = parser.parse_args()
    try:
        catalogue = catalogue_with(arguments.profiles)
        if arguments.training:
            print_training(catalogue)
            return 0
        measurements = read_files(arguments.measurements)
        if arguments.leave_one_model_out or arguments.leave_one_chip_out:
            leave_out = leave_one_model_out if arguments.leave_one_model_out else leave_one_chip_out
            rows, unknown = compare_held_out(measurements, catalogue, leave_out)
        else:
            rows, unknown = compare(measurements, catalogue)
        if arguments.rows:
            write_rows(rows, arguments.rows)
        if arguments.plot:
            panels = [
                ("as shipped", compare(measurements, catalogue)[0]),
                ("model left out of the fit", compare_held_out(measurements, catalogue)[0]),
            ]
            plot(panels, arguments.plot)
    except (EdgesimError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    data = report(rows, unknown)
    if arguments.json:
        print(json.dumps(data, indent=2))
    else:
        print_report(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
