"""HeteroSwitch's claims, and what they hang on, measured: the numbers of docs/reproduction.md.

    python benchmarks/heteroswitch.py [PART ...] [--seeds 0-2] [--out DIR] [--jobs N] [--cifar FOLDER]

Parts (all by default):

    cifar10     the paper's seven methods on CIFAR-10 (scenario heteroswitch_cifar10)
    rivals      the same on patches of photographs (heteroswitch)
    ablations   what is left of it without one of its parts, or with another
    looks       where phones' pictures differ as much as the paper's, and not more
    held_out    judged by each kind of phone when nobody trains on it (heteroswitch_study)
    models      a small MobileNetV3 and a small SqueezeNet in place of the CNN

Everything is simulated and trained anew by the shipped scenarios; what is done is kept in DIR and not done again.
Accuracies of a kind of phone are means over the last four judgements, five rounds apart; variances are of the
population of nine kinds, in squared percentage points. Numbers are means over seeds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from study_tables import show

from edgesim.results.fairness import device_table, fairness, switching
from edgesim.results.result import Result
from edgesim.scenario.load import axes
from edgesim.sweep import SweepResult, sweep
from edgesim.sweep.plan import parse_seeds

PAPER = {"variance_change": -79.5, "mean_change": 5.3, "worst_change": 5.8}
"""Kim et al., "HeteroSwitch", MLSys 2024: on its own pictures, relative to FedAvg, per cent; the worst case is
that of devices left out."""

METHODS: Mapping[str, Mapping[str, str]] = {
    "fedavg": {},
    "isp_transform": {"local_training": "isp_transform"},
    "isp_transform_swad": {"local_training": "isp_transform_swad"},
    "heteroswitch": {"local_training": "heteroswitch"},
    "qfedavg": {"aggregation": "qfedavg"},
    "fedprox": {"local_training": "fedprox"},
    "scaffold": {"local_training": "scaffold"},
}
ABLATIONS = (
    "sgd",
    "isp_transform",
    "heteroswitch",
    "heteroswitch_initial",
    "test_loss",
    "random_switch",
    "without_second_switch",
    "gamma_only",
    "white_balance_only",
    "strong_white_balance",
    "averaging_only",
    "transform_only",
)
COLUMNS = {
    "mean": "mean, %",
    "worst": "worst, %",
    "variance": "variance",
    "variance_but_one": "but one",
    "variance_change": "variance, change %",
    "mean_change": "mean, change %",
    "worst_change": "worst, change %",
    "gain_worst": "gain of worst, pp",
    "gain_best": "gain of best, pp",
    "gained": "types better off",
    "joules": "more J",
    "seconds": "more s",
    "joules_per_pp2": "J per point of variance",
}
CALIBRATED_LOOK = 0.375
"""With it a model of one phone loses as much on others' pictures as in the paper: ``benchmarks/cameras.py``."""
FEW = ("sgd", "isp_transform", "heteroswitch")


class Study:
    """What the parts share.

    Args:
        out: where runs go.
        seeds: of runs.
        jobs: runs at a time.
        cifar: the folder of CIFAR-10.
    """

    def __init__(self, out: Path, seeds: Sequence[int], jobs: int, cifar: Path) -> None:
        self.out = out
        self.seeds = seeds
        self.jobs = jobs
        self.cifar = cifar

    def run(
        self,
        part: str,
        scenario: str,
        vary: Mapping[str, Sequence[Any]],
        overrides: Mapping[str, Any] | None = None,
    ) -> SweepResult:
        """A sweep, whose cells are kept."""
        out = self.out / part
        return sweep(scenario, vary, self.seeds, out=out, overrides=overrides, jobs=self.jobs)

    def cifar10(self) -> None:
        """Seven methods on CIFAR-10."""
        if not self.cifar.is_dir():
            print(f"no CIFAR-10 at {self.cifar}: left out; give its folder with --cifar")
            return
        scenario, key = "heteroswitch_cifar10", "jobs.photos.dataset.parameters.name"
        methods = {"method": axes(scenario)["method"]}
        _tell("CIFAR-10", self.run("cifar10", scenario, methods, {key: str(self.cifar.resolve())}))

    def rivals(self) -> None:
        """Seven methods on patches of photographs."""
        found: dict[int, dict[str, Result]] = {}
        for name, controllers in METHODS.items():
            done = sweep(
                "heteroswitch",
                {},
                self.seeds,
                out=self.out / "rivals" / name,
                overrides={"settings.qfedavg": {"q": 1e-6, "learning_rate": 0.05}},
                controllers={"local_training": "sgd", **controllers},
                jobs=self.jobs,
            )
            for cell, result in done.results():
                found.setdefault(int(cell["seed"]), {})[name] = result
        _tell_seeds("Patches of photographs", found)

    def ablations(self) -> None:
        """HeteroSwitch without its parts."""
        done = self.run("ablations", "heteroswitch", {"local_training": ABLATIONS})
        _tell("Ablations", done)

    def looks(self) -> None:
        """Smaller differences between the phones: those of the paper's table 2."""
        key = "jobs.photos.cameras.look"
        done = self.run("looks", "heteroswitch", {"local_training": FEW}, {key: CALIBRATED_LOOK})
        _tell(f"Look x {CALIBRATED_LOOK}", done)

    def held_out(self) -> None:
        """Each kind of phone judged by models that never saw its pictures."""
        points = [each for each in axes("heteroswitch_study")["clients"] if each != "market"]
        vary = {"local_training": FEW, "clients": points}
        done = self.run("held_out", "heteroswitch_study", vary, {"model": "strided_cnn"})
        rows: dict[str, dict[str, list[float]]] = {}
        for cell, result in done.results():
            shares = 100 * device_table({"it": result}).it
            kind = str(cell["clients"]).removeprefix("without_")
            column = rows.setdefault(str(cell["local_training"]), {})
            if kind == "equal":
                for each, value in shares.items():
                    column.setdefault(f"{each}, taking part", []).append(float(value))
            else:
                column.setdefault(kind, []).append(float(shares[kind]))
        means = {
            name: {kind: float(np.mean(values)) for kind, values in column.items()}
            for name, column in rows.items()
        }
        kinds = [each.removeprefix("without_") for each in points if each != "equal"]
        table = pd.DataFrame(means)
        shown = pd.DataFrame(
            {
                f"{name}, {what}": [table[name][kind + ending] for kind in kinds]
                for name in FEW
                for what, ending in (("left out", ""), ("taking part", ", taking part"))
            },
            index=pd.Index(kinds, name="phone"),
        )
        shown.loc["worst"] = shown.min()
        show("Judged by phones that are left out, %", shown, 1)

    def models(self) -> None:
        """Other models."""
        for model in axes("heteroswitch_study")["model"]:
            if model == "strided_cnn":
                continue
            vary = {"local_training": FEW}
            only = {"model": model, "clients": "market"}
            _tell(model, self.run(model, "heteroswitch_study", vary, only))


def _tell(title: str, done: SweepResult) -> None:
    """Evenness beside the first of the first varied key."""
    first = next(iter(done.dimensions))
    found: dict[int, dict[str, Result]] = {}
    for cell, result in done.results():
        found.setdefault(int(cell["seed"]), {})[str(cell[first])] = result
    _tell_seeds(title, found)


def _tell_seeds(title: str, found: Mapping[int, Mapping[str, Result]]) -> None:
    base = next(iter(next(iter(found.values()))))
    tables = [fairness(results, base) for results in found.values()]
    every = pd.concat(tables, keys=list(found))
    mean = every.groupby(level=1, sort=False).mean()
    own = list(mean.index).index(base)
    # Of the means over seeds, not means of ratios.
    for key in ("variance", "mean", "worst"):
        values = mean[key].to_numpy(float)
        mean[f"{key}_change"] = 100 * (values / values[own] - 1)
    variance = mean["variance"].to_numpy(float)
    removed = variance[own] - variance
    joules = mean["joules"].to_numpy(float)
    mean["joules_per_pp2"] = joules / np.where(removed > 0, removed, np.nan)
    shown = mean[list(COLUMNS)].rename(columns=COLUMNS)
    shown.index.name = "method"
    show(f"{title}: evenness, mean of {len(found)} seeds", shown, 1)
    by_seed = every.variance.unstack(0)
    by_seed.columns = [f"seed {seed}" for seed in by_seed.columns]
    by_seed.index.name = "method"
    show(f"{title}: variance by seed", by_seed.loc[mean.index], 1)
    names = list(mean.index)
    accuracies = [100 * device_table(results) for results in found.values()]
    table = sum(accuracies[1:], accuracies[0]) / len(accuracies)
    show(f"{title}: accuracy by phone, %", table[names], 1)
    rates = {}
    for name in names:
        parts = [switching(results[name].participants) for results in found.values()]
        switched = pd.concat([each.switched for each in parts], axis=1).mean(axis=1)
        averaged = pd.concat([each.averaged for each in parts], axis=1).mean(axis=1)
        if switched.to_numpy(float).max() > 0:
            rates[f"{name}: 1"], rates[f"{name}: 2"] = 100 * switched, 100 * averaged
    if rates:
        show(f"{title}: switches 1 and 2 on, % of participations", pd.DataFrame(rates), 0)


PARTS: Mapping[str, Callable[[Study], None]] = {
    "cifar10": Study.cifar10,
    "rivals": Study.rivals,
    "ablations": Study.ablations,
    "looks": Study.looks,
    "held_out": Study.held_out,
    "models": Study.models,
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seeds", default="0-2")
    parser.add_argument("--out", type=Path, default=Path("runs/heteroswitch_study"))
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    parser.add_argument("--cifar", type=Path, default=Path("../shared/data/cifar10"))
    arguments = parser.parse_args()
    seeds = parse_seeds(arguments.seeds)
    study = Study(arguments.out, seeds, arguments.jobs, arguments.cifar)
    print(f"The paper, beside FedAvg: {PAPER}")
    for part in arguments.parts or PARTS:
        PARTS[part](study)
    return 0


if __name__ == "__main__":
    sys.exit(main())
