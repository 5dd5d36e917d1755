"""AutoFL's claims, and what they hang on, measured: the numbers of docs/reproduction.md.

    python benchmarks/autofl.py [PART ...] [--seeds 0-4] [--workload NAME] [--cases NAME,...]
        [--selections NAME,...] [--out DIR] [--jobs N]

Parts (all by default):

    targets     the accuracy to reach, from the same world without variance
    cases       every condition in turn, all controllers: speed-up, performance per watt, accuracy, who took part
    rivals      FedProx and FedNova, with random selection and with AutoFL's
    oracles     what each liberty is worth to an oracle: the gain by mechanism
    variants    AutoFL without its parts, and with the paper's
    clusters    C1 to C7 under S1 to S4, for models of three sizes
    settling    rounds until the reward settles, from scratch, tables per tier and per device
    transfer    tables carried over to another workload's model, B and K

Everything is simulated anew by the shipped scenario ``autofl_study``, which really trains; it reads MNIST
and Shakespeare from where that scenario has them. What is done is kept in DIR and not done again.
Performance per watt is the inverse of the energy to reach the target; where a run does not reach it, its energy
at the last round counts, so that its ratio is a bound (the column *reached* tells).
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

from edgesim.results.federated import (
    late_share,
    participants_by_profile,
    reward_by_round,
    rounds_until_settled,
)
from edgesim.results.result import load_result
from edgesim.scenario.load import axes
from edgesim.sweep import SweepResult, sweep
from edgesim.sweep.plan import parse_seeds

SCENARIO = "autofl_study"
JOB = "jobs.learning"
RIVALS = (
    "random",
    "power",
    "performance",
    "oort",
    "fedl",
    "autofl",
    "autofl_paper",
    "oracle_participants",
    "oracle_fl",
)
ORACLES = (
    "random",
    "oracle_targets",
    "oracle_energy",
    "oracle_time",
    "oracle_participants",
    "oracle_fl",
    "oracle_fl_time",
)
VARIANTS = (
    "random",
    "autofl",
    "autofl_impatient",
    "autofl_waits",
    "autofl_credits_each",
    "autofl_per_device",
    "autofl_joules",
    "autofl_four_levels",
    "autofl_tier_tables",
    "autofl_paper",
)
CLUSTERS = ("c1", "c2", "c3", "c4", "c5", "c6", "c7")
TO_TARGET = {
    "speed": "time_to_target_s",
    "PPW local": "energy_local_to_target_j",
    "PPW global": "energy_global_to_target_j",
}
BY_ROUND = 40
"""The target is what random selection has held for three rounds by this one, without variance."""


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
    ) -> None:
        self.out = out
        self.seeds = seeds
        self.jobs = jobs
        self.workload = workload
        self.only = only
        self.selections = rivals

    def cases(self) -> Iterable[dict[str, str]]:
        """Every point of each axis in turn, of this workload."""
        return conditions(SCENARIO, self.workload, self.only)

    def run(
        self,
        part: str,
        case: Mapping[str, str],
        selections: Sequence[str],
        seeds: Sequence[int] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> SweepResult:
        """Controllers in one case, side by side; the first is the base."""
        name = "-".join([part, *case.values()])
        return sweep(
            SCENARIO,
            {"selection": selections},
            self.seeds if seeds is None else seeds,
            out=self.out / name,
            overrides={**case, **(overrides or {})},
            jobs=self.jobs,
        )

    def compared(self, title: str, done: SweepResult) -> pd.DataFrame:
        """Each controller against the first, to the target."""
        rows = []
        tables = {
            name: (
                done.table("participants").query(f"selection == '{name}'"),
                done.frame[done.frame.selection == name],
            )
            for name in done.dimensions["selection"]
        }
        for name, (participants, cells) in tables.items():
            mix = participants_by_profile(participants)
            row: dict[str, Any] = {"case": title, "selection": name}
            for what, quantity in TO_TARGET.items():
                row[what] = _ratio(done.pairs, name, quantity)
            row["rounds"] = f"{cells.rounds_to_target.mean():.0f}"
            row["reached"] = f"{int(cells.target_reached.sum())}/{len(cells)}"
            row["accuracy, %"] = f"{100 * cells.accuracy_final.mean():.1f}"
            row["H/M/L, %"] = "/".join(
                f"{100 * mix.get(f'autofl_{tier}', 0.0):.0f}" for tier in ("high", "mid", "low")
            )
            row["late, %"] = f"{100 * late_share(participants):.0f}"
            rows.append(row)
        return pd.DataFrame(rows)

    # -- parts ------------------------------------------------------------------------------------

    def targets(self) -> None:
        """What random selection reaches without variance."""
        case = {
            "workload": self.workload,
            "variance": "none",
            "data": "non_iid_50",
            "work": "s3",
            "stragglers": "wait",
        }
        stop: dict[str, Any] = {f"{JOB}.stop": {"rounds": BY_ROUND}}
        done = self.run("targets", case, ["random"], overrides=stop)
        rows = []
        for seed, own in done.table("rounds").groupby("seed"):
            accuracy = own.sort_values("round").accuracy.to_numpy()
            held = max(accuracy[k : k + 3].min() for k in range(len(accuracy) - 2))
            took_s = float(own.duration_s.sum())
            rows.append({"seed": seed, "held, %": 100 * float(held), "seconds": took_s})
        frame = pd.DataFrame(rows)
        show(f"{self.workload}: held for three rounds by round {BY_ROUND}, no variance", frame, 1)
        mean = float(frame["held, %"].mean())
        print(f"\ntarget: {int(mean)} % (mean {mean:.1f}, to the whole percent below)")

    def cases_(self) -> None:
        """Every condition in turn."""
        frames = []
        for case in self.cases():
            done = self.run("cases", case, self.selections)
            frames.append(self.compared(name_of(case), done))
            show(f"{self.workload}: {name_of(case)}; times better than random", frames[-1])
        show(f"{self.workload}: all cases", pd.concat(frames))

    def rivals(self) -> None:
        """What clients do and how updates are averaged, in place of who trains."""
        rows = []
        for case in self.cases():
            if name_of(case) not in ("default", "deadline"):
                continue
            for slot, values in (
                ("local_training", ("sgd", "fedprox")),
                ("aggregation", ("fedavg", "fednova")),
            ):
                for selection in ("random", "autofl"):
                    done = sweep(
                        SCENARIO,
                        {slot: values},
                        self.seeds,
                        out=self.out / "-".join(["rivals", slot, selection, *case.values()]),
                        overrides=case,
                        controllers={"selection": selection},
                        jobs=self.jobs,
                    )
                    row = {"case": name_of(case), "with": selection, "in place of": values[0]}
                    row["is"] = values[1]
                    for what, quantity in TO_TARGET.items():
                        row[what] = _ratio(done.pairs, values[1], quantity, slot)
                    rows.append(row)
        show(f"{self.workload}: times better", pd.DataFrame(rows))

    def oracles(self) -> None:
        """What each liberty is worth."""
        for case in self.cases():
            if case["work"] == "s3" and case["stragglers"] != "budget":
                done = self.run("oracles", case, ORACLES)
                show(f"{self.workload}: oracles, {name_of(case)}", self.compared("", done))

    def variants(self) -> None:
        """AutoFL without its parts."""
        for case in self.cases():
            if name_of(case) in ("default", "deadline", "non_iid_75"):
                done = self.run("variants", case, VARIANTS)
                show(f"{self.workload}: AutoFL's parts, {name_of(case)}", self.compared("", done))

    def clusters(self) -> None:
        """Fixed mixes under S1 to S4; what is learned does not depend on the mix, so nothing is."""
        models: dict[str, Any] = {
            "mlp 784-32-10": {"name": "mlp", "parameters": {"hidden": [32]}},
            "cnn": {"name": "cnn", "parameters": {"channels": [16, 32], "dense": 64}},
            "mobilenet_v1_128": "mobilenet_v1_128",
        }
        rows = []
        for name, model in models.items():
            for work in axes(SCENARIO)["work"]:
                case = {"variance": "none", "data": "iid", "work": work, "stragglers": "wait"}
                overrides: dict[str, Any] = {
                    f"{JOB}.mode": "timing_only",
                    f"{JOB}.cost_model": model,
                    f"{JOB}.stop": {"rounds": 20},
                    "training": None,
                }
                part = f"clusters-{name.replace(' ', '_')}"
                done = self.run(part, case, CLUSTERS, self.seeds[:3], overrides)
                joules = done.frame.groupby("selection").energy_global_j.mean()
                seconds = done.frame.groupby("selection").simulated_s.mean()
                row: dict[str, Any] = {"model": name, "work": work}
                row |= {c.upper(): float(joules.min() / joules[c]) for c in CLUSTERS}
                rows.append(
                    {
                        **row,
                        "thriftiest": str(joules.idxmin()).upper(),
                        "fastest": str(seconds.idxmin()).upper(),
                    }
                )
        show("Clusters: least joules of a round over each one's", pd.DataFrame(rows))

    def settling(self) -> None:
        """Rounds until the reward settles."""
        rows = []
        for case in self.cases():
            if case["work"] != "s3" or case["stragglers"] != "wait":
                continue
            names = ("autofl", "autofl_per_device", "autofl_tier_tables", "autofl_paper")
            overrides = {f"{JOB}.stop": {"rounds": 200}, "training": None}
            done = self.run("settling", case, names, self.seeds[:3], overrides)
            row: dict[str, Any] = {"case": name_of(case)}
            for name in names:
                found = [
                    rounds_until_settled(reward_by_round(result.decisions))
                    for cell, result in done.results()
                    if cell["selection"] == name
                ]
                row[name] = " ".join("-" if np.isinf(n) else f"{n:.0f}" for n in found)
            rows.append(row)
        show(f"{self.workload}: rounds until the reward settled, by seed", pd.DataFrame(rows))

    def transfer(self) -> None:
        """Tables of one workload used for another."""
        case = next(iter(self.cases()))
        source = self.run("transfer", case, ["autofl"], overrides={"training": None})
        rows = []
        other = {
            f"{JOB}.cost_model": "mobilenet_v1_128",
            f"{JOB}.batch_size": 32,
            f"{JOB}.clients_per_round": 10,
        }
        for (cell, _), folder in zip(source.results(), source.frame.folder, strict=True):
            seed = cell["seed"]
            table = str((source.folder / folder / "learned.json").resolve())
            base = {"training": None, **other}
            for name, setting in {
                "scratch": {},
                "carried over": {"table": table, "transfer": True},
            }.items():
                done = sweep(
                    SCENARIO,
                    {"selection": ["autofl"]},
                    [seed],
                    out=self.out / f"transfer-{name.replace(' ', '_')}-{seed}",
                    overrides={
                        **case,
                        **base,
                        "settings.autofl": {"class_edges": [0.25, 0.85], **setting},
                    },
                    jobs=1,
                )
                found = load_result(done.folder / done.frame.folder[0]).summary
                rows.append(
                    {"table": name, "seed": seed} | {k: found[k] for k in TO_TARGET.values()}
                )
        frame = pd.DataFrame(rows).set_index(["table", "seed"]).unstack("table")
        ratios = {
            what: float(np.exp(np.log(frame[key]["scratch"] / frame[key]["carried over"]).mean()))
            for what, key in TO_TARGET.items()
        }
        show("Scratch over a table carried over to another model, B and K", pd.DataFrame([ratios]))


def _ratio(pairs: pd.DataFrame, name: str, quantity: str, slot: str = "selection") -> str:
    """Times better than the base, with its interval over seeds."""
    rows = pairs[(pairs.quantity == quantity) & (pairs[slot] == name)]
    if not len(rows):
        return "1"
    row = rows.iloc[0]
    if np.isnan(row.ratio_low):
        return f"{row.ratio:.2f}"
    return f"{row.ratio:.2f} ({row.ratio_low:.2f}-{row.ratio_high:.2f})"


PARTS: Mapping[str, Callable[[Study], None]] = {
    "targets": Study.targets,
    "cases": Study.cases_,
    "rivals": Study.rivals,
    "oracles": Study.oracles,
    "variants": Study.variants,
    "clusters": Study.clusters,
    "settling": Study.settling,
    "transfer": Study.transfer,
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--workload", default="cnn_mnist", choices=axes(SCENARIO)["workload"])
    parser.add_argument("--cases", default="", help="some of them only, divided by commas")
    parser.add_argument("--selections", default=",".join(RIVALS), help="in part cases")
    parser.add_argument("--out", type=Path, default=Path("runs/autofl-study"))
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    arguments = parser.parse_args()
    seeds = parse_seeds(arguments.seeds)
    study = Study(
        arguments.out,
        seeds,
        arguments.jobs,
        arguments.workload,
        [name for name in arguments.cases.split(",") if name],
        arguments.selections.split(","),
    )
    for name in arguments.parts or PARTS:
        PARTS[name](study)
    return 0


if __name__ == "__main__":
    sys.exit(main())
