"""FedGPO's claims, and what they hang on, measured: the numbers of docs/reproduction.md.

    python benchmarks/fedgpo.py [PART ...] [--seeds 0-4] [--workload NAME] [--cases NAME,...]
        [--parameters NAME,...] [--no-grid] [--out DIR] [--jobs N]

Parts (all by default):

    progress    what B, E and K are worth, by real training with every point of the grid; curves fitted to it
    cases       every condition in turn: the grid searched for the best fixed point, then all controllers
    variants    FedGPO without its parts, and what is recalled with some
    pair        FedGPO and AutoFL, each alone and both
    choices     what B, E and K were chosen by phones of each tier, in tenths of the job

Everything is simulated anew by the shipped scenarios ``fedgpo_small`` (digits) and ``fedgpo_study``, which
really train; the latter reads MNIST and Shakespeare from where it has them. What is done is kept in DIR and not done
again. The best fixed point of a condition is found with one seed that is not among those it is judged with.
Energy is AutoFL's global energy to the target; where a run does not reach it, its energy at the last round
counts, so that its ratio is a bound (the column *reached* tells).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import study_tables
from study_tables import conditions, show

from edgesim.controllers.fedgpo import BATCH_SIZES, CLIENTS_PER_ROUND, EPOCHS
from edgesim.scenario.curve_files import curve_of_runs
from edgesim.scenario.load import axes
from edgesim.sweep import SweepResult, sweep
from edgesim.sweep.plan import parse_seeds

SCENARIO = "fedgpo_study"
JOB = "jobs.learning"
RIVALS = ("fixed", "adaptive_batch", "bayesian", "genetic", "fedgpo_paper", "fedgpo")
VARIANTS = (
    "fixed",
    "fedgpo",
    "fedgpo_waits",
    "fedgpo_random_start",
    "fedgpo_credits_each",
    "fedgpo_paper_masked",
    "fedgpo_paper",
)
GRID = {"batch_size": BATCH_SIZES, "epochs": EPOCHS, "clients_per_round": CLIENTS_PER_ROUND}
COARSE = {"batch_size": (2, 8, 32), "epochs": (1, 5, 10), "clients_per_round": (1, 5, 20)}
SEARCHED_WITH = 1000
"""The seed that best fixed points are found with."""

TO_TARGET = {"speed": "time_to_target_s", "energy": "energy_global_to_target_j"}
FITTED = ("batch_size", "epochs", "updates")


def name_of(case: Mapping[str, str]) -> str:
    """A case in words."""
    return study_tables.name_of(SCENARIO, case)


class Study:
    """What the parts share: where runs go, which seeds, which workload, which of its cases and controllers."""

    def __init__(
        self,
        out: Path,
        seeds: Sequence[int],
        jobs: int,
        workload: str,
        only: Sequence[str] = (),
        rivals: Sequence[str] = RIVALS,
        *,
        searches: bool = True,
    ) -> None:
        self.out = out
        self.seeds = seeds
        self.jobs = jobs
        self.workload = workload
        self.only = only
        self.rivals = rivals
        self.searches = searches

    def conditions(self) -> Iterable[dict[str, str]]:
        """Every point of each axis in turn, of this workload."""
        return conditions(SCENARIO, self.workload, self.only)

    def run(
        self,
        part: str,
        case: Mapping[str, str],
        vary: Mapping[str, Sequence[Any]],
        seeds: Sequence[int] | None = None,
        overrides: Mapping[str, Any] | None = None,
        controllers: Mapping[str, str] | None = None,
    ) -> SweepResult:
        """Variants in one case, side by side; the first is the base."""
        return sweep(
            SCENARIO,
            vary,
            self.seeds if seeds is None else seeds,
            out=self.out / "-".join([part, *case.values()]),
            overrides={**case, **(overrides or {})},
            controllers=controllers,
            jobs=self.jobs,
        )

    def grid(self, case: Mapping[str, str]) -> pd.DataFrame:
        """What every fixed point takes to the target; indexed by B, E and K."""
        points = GRID if self.workload == "cnn_mnist" else COARSE
        done = self.run(
            "grid",
            case,
            {f"{JOB}.{name}": values for name, values in points.items()},
            [SEARCHED_WITH],
            {"training": None},
            {"parameters": "fixed"},
        )
        keys = [f"{JOB}.{name}" for name in points]
        return done.frame.set_index(keys)

    # -- parts ------------------------------------------------------------------------------------

    def progress(self) -> None:
        """Curves fitted to real training with every point of the grid."""
        rows = []
        for scenario, job, case, rates in (
            ("fedgpo_small", "jobs.digits", {}, (0.1, 0.03)),
            (SCENARIO, JOB, {"workload": "cnn_mnist", "variance": "none"}, (0.1,)),
        ):
            rest = {"data": "non_iid_50", "stragglers": "wait"} if case else {}
            for rate in rates:
                for share in (0.0, 0.5, 1.0):
                    done = sweep(
                        scenario,
                        {f"{job}.{name}": values for name, values in GRID.items()},
                        self.seeds[:2],
                        out=self.out / f"progress-{job.split('.')[1]}-{rate}-{share}",
                        overrides={
                            **case,
                            **rest,
                            f"{job}.learning_rate": rate,
                            f"{job}.partition.parameters.share": share,
                            f"{job}.stop": {"rounds": 30},
                            "training": None,
                        },
                        controllers={"parameters": "fixed"},
                        jobs=self.jobs,
                    )
                    row: dict[str, Any] = {
                        "data": "MNIST" if case else "digits",
                        "learning rate": rate,
                        "non-IID, %": round(100 * share),
                    }
                    rows.append(row | _exponents(done))
        show(
            "Progress = rate x B^b x E^e x K^k, each exponent as mean and half range of seeds",
            pd.DataFrame(rows),
        )

    def cases_(self) -> None:
        """Every condition in turn."""
        frames = []
        for case in self.conditions():
            best: dict[str, tuple[int, int, int]] = {}
            if self.searches:
                grid = self.grid(case)
                for name, quantity in (
                    ("energy", TO_TARGET["energy"]),
                    ("time", TO_TARGET["speed"]),
                ):
                    best[f"best, {name}"] = _best(grid, quantity)
                took_kj = float(grid.energy_global_j.sum()) / 1e3
                print(f"\nthe grid's {len(grid)} runs took {took_kj:.1f} kJ of all phones")
            base = self.run("cases", case, {"parameters": self.rivals})
            runs = {
                name: base.frame[base.frame.parameters == name].set_index("seed")
                for name in self.rivals
            }
            for name, point in best.items():
                fixed = dict(zip((f"{JOB}.{each}" for each in GRID), point, strict=True))
                done = self.run(
                    f"{name.replace(', ', '_')}",
                    case,
                    {"parameters": ["fixed"]},
                    overrides={"training": None, **fixed},
                )
                runs[f"{name} {point}"] = done.frame.set_index("seed")
            frames.append(_compared(name_of(case), runs))
            show(f"{self.workload}: {name_of(case)}; times better than the first", frames[-1])
        show(f"{self.workload}: all cases", pd.concat(frames))

    def variants(self) -> None:
        """FedGPO without its parts."""
        for case in self.conditions():
            if name_of(case) in ("default", "none", "non_iid_100"):
                done = self.run("variants", case, {"parameters": VARIANTS})
                runs = {
                    name: done.frame[done.frame.parameters == name].set_index("seed")
                    for name in VARIANTS
                }
                show(f"{self.workload}: FedGPO's parts, {name_of(case)}", _compared("", runs))

    def pair(self) -> None:
        """FedGPO and AutoFL."""
        frames = []
        for case in self.conditions():
            if name_of(case) not in ("default", "none", "network", "non_iid_100"):
                continue
            runs = {}
            for selection in ("random", "autofl"):
                done = self.run(
                    f"pair-{selection}",
                    case,
                    {"parameters": ("fixed", "fedgpo")},
                    controllers={"selection": selection},
                )
                for name in ("fixed", "fedgpo"):
                    own = done.frame[done.frame.parameters == name]
                    runs[f"{selection} + {name}"] = own.set_index("seed")
            frames.append(_compared(name_of(case), runs))
        if frames:
            title = f"{self.workload}: AutoFL and FedGPO, times better than neither"
            show(title, pd.concat(frames))

    def choices(self) -> None:
        """What was chosen, by tier."""
        case = next(iter(self.conditions()))
        done = self.run("cases", case, {"parameters": self.rivals})
        part = done.table("participants").query("parameters == 'fedgpo'")
        last = part.groupby("seed")["round"].transform("max")
        part = part.assign(tenth=10 * (part["round"] - 1) // last)
        rows = []
        for tenth, own in part.groupby("tenth"):
            row: dict[str, Any] = {"tenth": tenth}
            for profile, some in own.groupby("profile"):
                tier = str(profile).removeprefix("autofl_")
                row[f"B {tier}"] = float(some.batch_size.mean())
                row[f"E {tier}"] = float(some.epochs.mean())
            row["K"] = float(own.groupby(["seed", "round"]).size().mean())
            rows.append(row)
        show("Mean B and E by tier, and K, in tenths of the job", pd.DataFrame(rows), 1)


def _exponents(done: SweepResult) -> dict[str, Any]:
    """Of B, E and K, fitted to each seed's runs alone."""
    fits = []
    for _, own in done.frame.groupby("seed"):
        curve, _ = curve_of_runs([done.folder / folder for folder in own.folder], None, FITTED)
        fits.append(curve)
    row: dict[str, Any] = {}
    for name, factor in zip("bek", FITTED, strict=True):
        values = [curve.effects[factor] for curve in fits]
        row[name] = f"{np.mean(values):.2f} ± {np.ptp(values) / 2:.2f}"
    row["error, points"] = float(np.mean([100 * curve.fit.left_out_rmse for curve in fits]))
    row["runs"] = sum(curve.fit.runs for curve in fits)
    return row


def _best(grid: pd.DataFrame, quantity: str) -> tuple[int, int, int]:
    """The point of least, of those that reach the target (of all if none does)."""
    able = grid[grid.target_reached == 1]
    found: Any = (able if len(able) else grid)[quantity].idxmin()
    return tuple(int(value) for value in found)  # type: ignore[return-value]


def _compared(title: str, runs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Each against the first, seed by seed."""
    base = next(iter(runs.values()))
    rows = []
    for name, own in runs.items():
        row: dict[str, Any] = {"case": title, "parameters": name}
        for what, quantity in TO_TARGET.items():
            row[what] = _ratio((base[quantity] / own[quantity]).dropna())
        row["seconds"] = float(own.time_to_target_s.mean())
        row["joules"] = float(own.energy_global_to_target_j.mean())
        row["rounds"] = f"{own.rounds_to_target.mean():.0f}"
        row["reached"] = f"{int(own.target_reached.sum())}/{len(own)}"
        row["accuracy, %"] = f"{100 * own.accuracy_final.mean():.1f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _ratio(ratios: pd.Series) -> str:
    """The geometric mean, and its 95 % interval over seeds."""
    from scipy.stats import t

    logs = np.log(ratios.to_numpy(float))
    mean = float(logs.mean())
    if len(logs) < 2 or not logs.any():
        return f"{np.exp(mean):.2f}"
    half = float(t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    return f"{np.exp(mean):.2f} ({np.exp(mean - half):.2f}-{np.exp(mean + half):.2f})"


PARTS: Mapping[str, Callable[[Study], None]] = {
    "progress": Study.progress,
    "cases": Study.cases_,
    "variants": Study.variants,
    "pair": Study.pair,
    "choices": Study.choices,
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--workload", default="cnn_mnist", choices=axes(SCENARIO)["workload"])
    parser.add_argument("--cases", default="", help="some of them only, divided by commas")
    parser.add_argument("--parameters", default=",".join(RIVALS), help="in part cases")
    parser.add_argument("--no-grid", action="store_true", help="no best fixed point in part cases")
    parser.add_argument("--out", type=Path, default=Path("runs/fedgpo-study"))
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    arguments = parser.parse_args()
    only = [name for name in arguments.cases.split(",") if name]
    known = [name_of(case) for case in Study(arguments.out, (), 1, arguments.workload).conditions()]
    if not set(only) <= set(known):
        parser.error(f"--cases: there are {', '.join(known)}")
    study = Study(
        arguments.out,
        parse_seeds(arguments.seeds),
        arguments.jobs,
        arguments.workload,
        only,
        arguments.parameters.split(","),
        searches=not arguments.no_grid,
    )
    for name in arguments.parts or PARTS:
        PARTS[name](study)
    return 0


if __name__ == "__main__":
    sys.exit(main())
