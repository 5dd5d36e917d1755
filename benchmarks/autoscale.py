"""AutoScale's claims, and what they hang on, measured: the numbers of docs/reproduction.md.

    python benchmarks/autoscale.py [PART ...] [--seeds 0-4] [--out DIR] [--jobs N]

Parts (all by default; about 25 minutes on two cores):

    claims      energy against every baseline: three averages, by environment, with and without parts
    mechanisms  what the CPU baseline, the radio's tail, idle watts and environments do to them
    agreement   with the oracle in three senses, per phone and environment, beside the ceiling of tables
    variants    the learner's own parameters: reward, energy, discount
    live        learning from a shuffled stream of requests, as a curve
    left_out    nine models trained, the tenth learned online
    transfer    a table carried over to another phone, in requests saved
    rivals      LinUCB and the predictors beside it, with the predictors' errors

Everything is simulated anew by the shipped scenario ``autoscale``; nothing is read but its profiles.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import yaml
from study_tables import show

from edgesim.controllers.autoscale import EDGES, FEATURES, features
from edgesim.controllers.learned import dump_state
from edgesim.controllers.qlearning import Binning
from edgesim.nn.zoo import ZOO
from edgesim.results.offloading import KEY, agrees, ceiling, means_of_ratios, paired, regret
from edgesim.scenario.load import axes, find_scenario, load_scenario
from edgesim.scenario.run import run_loaded
from edgesim.scenario.training import train
from edgesim.sweep import sweep
from edgesim.sweep.plan import parse_seeds

SCENARIO = "autoscale"
BASELINES = ("edge_cpu", "edge_best", "cloud", "connected_edge")
PHONES = ("mi_8_pro", "galaxy_s10e", "moto_x_force")
ENVIRONMENTS = tuple(axes(SCENARIO)["environment"])
CELL = ["environment", "device", "model"]


# --- running -------------------------------------------------------------------------------------


def requests_of(
    scenario: str,
    environment: str,
    controller: str,
    seed: int,
    learned: str | None,
    overrides: Sequence[tuple[str, Any]] = (),
    forecasts: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Table ``requests`` of one run, and ``forecasts`` if asked for, marked with where they are from."""
    changes = [("environment", environment), *overrides, ("seed", seed)]
    if forecasts:
        changes.append(("record.forecasts", True))
    loaded = load_scenario(scenario, changes, {"offloading": controller})
    result = run_loaded(loaded, learned=None if learned is None else Path(learned))
    marks: dict[str, Any] = {"environment": environment, "controller": controller, "seed": seed}
    table = result.table("forecasts").assign(**marks) if forecasts else None
    return result.requests.assign(**marks), table


def run_all(
    jobs: int, calls: Iterable[tuple[Any, ...]], function: Callable[..., Any] = requests_of
) -> list[Any]:
    """Many runs side by side, in order."""
    found: list[Any] = joblib.Parallel(n_jobs=jobs)(joblib.delayed(function)(*c) for c in calls)
    return found


def energies(requests: pd.DataFrame) -> pd.Series:
    """Mean joules per request, by environment, phone and model."""
    done = requests[(requests.phase == "evaluation") & (requests.status == "done")]
    return done.groupby(CELL).energy_j.mean()


def averages(base: pd.Series, other: pd.Series) -> dict[str, float]:
    """The three averages of the ratios of cells that both have."""
    both = pd.concat([base, other], axis=1, keys=["base", "other"]).dropna()
    means = means_of_ratios(both.base, both.other)
    return {"arithmetic": means.arithmetic, "geometric": means.geometric, "of sums": means.of_sums}


# --- parts ---------------------------------------------------------------------------------------


class Study:
    """What the parts share: where runs go, which seeds, and runs that several parts need."""

    def __init__(self, out: Path, seeds: Sequence[int], jobs: int) -> None:
        self.out = out
        self.seeds = seeds
        self.jobs = jobs
        self._main: pd.DataFrame | None = None

    @property
    def learned(self) -> str:
        """Where trained controllers are kept."""
        return str(self.out / "learned")

    @property
    def main(self) -> pd.DataFrame:
        """Requests of all controllers in all environments."""
        if self._main is None:
            controllers = [*BASELINES, "autoscale", "oracle"]
            result = sweep(
                SCENARIO,
                {"offloading": controllers},
                self.seeds,
                out=self.out / "sweep",
                jobs=self.jobs,
            )
            self._main = result.table("requests").rename(columns={"offloading": "controller"})
        return self._main

    def claims(self) -> None:
        """Energy against every baseline."""
        by = {str(name): energies(rows) for name, rows in self.main.groupby("controller")}
        without = {n: e[e.index.get_level_values("model") != "mobilebert"] for n, e in by.items()}
        rows = []
        for base in BASELINES:
            for name in ("autoscale", "oracle"):
                row: dict[str, Any] = {"energy of": base, "over": name}
                row |= averages(by[base], by[name])
                less = averages(without[base], without[name])
                rows.append(row | {f"{k}, no MobileBERT": v for k, v in less.items()})
        show("Energy of baselines over AutoScale's and the oracle's", pd.DataFrame(rows))
        cpu = by["edge_cpu"]
        table = {}
        for environment in ENVIRONMENTS:
            table[environment] = {
                name: averages(cpu.xs(environment), e.xs(environment))["geometric"]
                for name, e in by.items()
                if name != "edge_cpu"
            }
        show(
            "Geometric mean against edge_cpu, by environment",
            pd.DataFrame(table).T.rename_axis("env"),
        )
        late = self.main[self.main.phase == "evaluation"]
        missed = 100 * (1 - late.groupby(["environment", "controller"]).deadline_met.mean())
        table_late = missed.astype(float).unstack()
        table_late.loc["all"] = table_late.mean()
        show("Missed deadlines, %", table_late, 1)
        runs = {str(name): rows for name, rows in self.main.groupby("controller")}
        both = paired(runs["autoscale"], runs["oracle"], by=(*KEY, "model", "environment", "seed"))
        geometric = {"all": means_of_ratios(both.energy_j_base, both.energy_j_other).geometric} | {
            e: means_of_ratios(r.energy_j_base, r.energy_j_other).geometric
            for e, r in both.groupby("environment")
        }
        frame = pd.DataFrame([geometric])
        show("AutoScale's energy over the oracle's (geometric mean of paired requests)", frame, 3)

    def mechanisms(self) -> None:
        """What moves the ratios."""
        seed = self.seeds[0]
        variants: dict[str, tuple[str, list[tuple[str, Any]]]] = {"as it is": (SCENARIO, [])}
        for name, change in {
            "no tail of the radio": lambda text: re.sub(
                r"(tail_w: \{value: )[\d.]+", r"\g<1>0", text
            ),
            "0.3 W more while awake": lambda text: re.sub(
                r"(awake_w: \{value: )([\d.]+)",
                lambda found: f"{found[1]}{float(found[2]) + 0.3:g}",
                text,
            ),
        }.items():
            variants[name] = (str(_altered(self.out / name.replace(" ", "_"), change)), [])
        variants["80 ms to the cloud"] = (SCENARIO, [("sites.cloud.rtt_ms", 80)])
        variants["JPEG pictures"] = (
            SCENARIO,
            [(f"jobs.{job}.payload", "jpeg") for job in _jobs() if job != "mobilebert"],
        )
        controllers = ("edge_cpu", "cloud", "autoscale", "oracle")
        rows = []
        for name, (scenario, overrides) in variants.items():
            calls = [
                (scenario, e, c, seed, self.learned, overrides)
                for c in controllers
                for e in ENVIRONMENTS
            ]
            found = pd.concat([r for r, _ in run_all(self.jobs, calls)])
            by = {str(c): energies(r) for c, r in found.groupby("controller")}
            for base, other in (
                ("edge_cpu", "autoscale"),
                ("edge_cpu", "oracle"),
                ("cloud", "autoscale"),
            ):
                rows.append(
                    {"variant": name, "of": base, "over": other} | averages(by[base], by[other])
                )
            if name == "as it is":
                halved = {
                    "variant": "half the CPU's watts in the baseline",
                    "of": "edge_cpu",
                    "over": "autoscale",
                }
                rows.append(halved | averages(0.5 * by["edge_cpu"], by["autoscale"]))
                best = self._best_cpu(seed)
                for other in ("autoscale", "oracle"):
                    row = {
                        "variant": "CPU at its best level in time",
                        "of": "CPU FP32",
                        "over": other,
                    }
                    rows.append(row | averages(best, by[other]))
        show(f"What moves the ratios (seed {seed})", pd.DataFrame(rows))

    def _best_cpu(self, seed: int) -> pd.Series:
        """Joules of the CPU in FP32 at the level of least energy that is in time, else the fastest."""
        calls: list[Any]
        calls = [(SCENARIO, e, "oracle", seed, None, [], True) for e in ENVIRONMENTS]
        parts = []
        for requests, forecasts in run_all(self.jobs, calls):
            on_cpu = forecasts[forecasts.target.str.contains("^device/cpu_.*/fp32")]
            keys = [*KEY, "environment"]
            rows = on_cpu.merge(requests[[*keys, "model", "deadline_s"]], on=keys)
            late = rows.latency_s > rows.deadline_s
            rows["key"] = np.where(late, 1e6 + rows.latency_s, rows.energy_j)
            parts.append(rows.loc[rows.groupby(list(KEY)).key.idxmin()])
        means: pd.Series = pd.concat(parts).groupby(CELL).energy_j.mean()
        return means

    def agreement(self) -> None:
        """With the oracle, and how far any table could get."""
        mine = self.main[(self.main.controller == "autoscale") & self.main.oracle_target.notna()]
        mine = mine.assign(
            action=mine.target == mine.oracle_target,
            place=[
                _place(a) == _place(b) for a, b in zip(mine.target, mine.oracle_target, strict=True)
            ],
            within=agrees(mine),
        )
        calls: list[Any] = [
            (SCENARIO, e, "oracle", seed, None, [], True)
            for seed in self.seeds
            for e in ENVIRONMENTS
        ]
        runs = run_all(self.jobs, calls)
        binning = Binning([EDGES[name] for name in FEATURES])
        capped = []
        for seed in self.seeds:
            # One table per phone for all environments; what time it is tells the requests apart.
            several = [(r, f) for r, f in runs if r.seed.iloc[0] == seed]
            shift = {e: 1e6 * k for k, e in enumerate(ENVIRONMENTS)}
            requests = pd.concat(
                [r.assign(time_s=r.time_s + r.environment.map(shift)) for r, _ in several]
            )
            forecasts = pd.concat(
                [f.assign(time_s=f.time_s + f.environment.map(shift)) for _, f in several]
            )
            requests = requests.reset_index(drop=True)
            known = requests[["co_cpu", "co_mem", "rssi_dbm", "nearby_rssi_dbm"]].fillna(-np.inf)
            states = [
                binning.state(features(ZOO[model], *conditions))
                for model, conditions in zip(
                    requests.model, known.itertuples(index=False), strict=True
                )
            ]
            capped.append(requests.assign(ceiling=ceiling(requests, forecasts, states)))
        caps = pd.concat(capped)
        for key in ("device", "environment"):
            table = mine.groupby(key)[["action", "place", "within"]].mean()
            table["ceiling"] = caps.groupby(key).ceiling.mean()
            table.loc["all"] = [
                *mine[["action", "place", "within"]].mean(),
                caps.ceiling.mean(),
            ]
            show(f"Agreement with the oracle, by {key}, %", 100 * table, 1)
        table = 100 * mine.pivot_table(index="environment", columns="device", values="within")
        show("Within 5 %, by phone and environment, %", table, 1)
        worst = mine[~mine.within].groupby(["device", "model", "target", "oracle_target"]).size()
        top = worst.sort_values(ascending=False).head(12).rename("requests").reset_index()
        show("Where it differs most", top)

    def variants(self) -> None:
        """The learner's own parameters."""
        settings: dict[str, dict[str, Any]] = {
            "default": {},
            "reward as recalled": {"reward": "recalled"},
            "metered energy": {"energy": "metered"},
            "metered, recalled": {"energy": "metered", "reward": "recalled"},
            "discount 0": {"discount": 0.0},
            "rate 0.3": {"learning_rate": 0.3},
            "initial -60 to 0": {"initial": [-60.0, 0.0]},
            "four-byte table": {"dtype": "float32"},
        }
        rows = []
        seed = self.seeds[0]
        oracle = pd.concat(
            [
                r
                for r, _ in run_all(
                    self.jobs, [(SCENARIO, e, "oracle", seed, None) for e in ENVIRONMENTS]
                )
            ]
        )
        cases: list[tuple[str, list[tuple[str, Any]]]]
        cases = [(name, [("settings.autoscale", own)]) for name, own in settings.items()]
        cases += [
            ("devices as published", [("mismatch", None)]),
            ("300 visits", [("training.visits", 300)]),
        ]
        for name, overrides in cases:
            # The first trains; the others find what it has learned.
            first = requests_of(SCENARIO, "S1", "autoscale", seed, self.learned, overrides)
            rest = run_all(
                self.jobs,
                [
                    (SCENARIO, e, "autoscale", seed, self.learned, overrides)
                    for e in ENVIRONMENTS[1:]
                ],
            )
            found = pd.concat([r for r, _ in [first, *rest]])
            other = oracle
            if name == "devices as published":
                calls = [(SCENARIO, e, "oracle", seed, None, overrides) for e in ENVIRONMENTS]
                other = pd.concat([r for r, _ in run_all(self.jobs, calls)])
            both = paired(found, other, by=(*KEY, "model", "environment"))
            rows.append(
                {
                    "variant": name,
                    "energy / oracle's": means_of_ratios(
                        both.energy_j_base, both.energy_j_other
                    ).geometric,
                    "late, more % points": 100
                    * float(other.deadline_met.mean() - found.deadline_met.mean()),
                    "same action %": 100 * float((found.target == found.oracle_target).mean()),
                    "within 5 %": 100 * float(agrees(found).mean()),
                    "away %": 100 * float((~found.target.str.startswith("device/")).mean()),
                }
            )
        show(f"AutoScale's own parameters (seed {seed}, all environments)", pd.DataFrame(rows))

    def live(self) -> None:
        """Learning from the scenario's own requests as they come."""
        calls = []
        names = []
        for name, own in {
            "discount 0.1": {},
            "discount 0": {"discount": 0.0},
            "discount 0, metered": {"discount": 0.0, "energy": "metered"},
        }.items():
            overrides = [
                ("training", None),
                ("duration_s", 150_000),
                ("phones.*.plugged_in", True),
                ("settings.autoscale", own),
            ]
            calls.append((SCENARIO, "S1", "autoscale", self.seeds[0], None, overrides))
            names.append(name)
        ends = (100, 300, 1000, 3000, 10_000, 30_000)
        table: dict[str, dict[str, float]] = {}
        for name, (requests, _) in zip(names, run_all(self.jobs, calls), strict=True):
            for phone, rows in requests.groupby("device"):
                number = np.arange(len(rows))
                for begin, end in zip((0, *ends), ends, strict=False):
                    part = rows[(number >= begin) & (number < end)]
                    key = f"{begin}-{end}"
                    column = table.setdefault(f"{name}, {phone}", {})
                    column[f"within 5 %, {key}"] = 100 * float(agrees(part).mean())
                    column[f"E/Eopt, {key}"] = float(
                        np.exp(np.log(regret(part)).replace(np.inf, np.nan).mean())
                    )
        show(
            "A shuffled stream in S1, by request of a phone",
            pd.DataFrame(table).T.rename_axis("learner"),
        )

    def left_out(self) -> None:
        """Nine models trained, the tenth learned online."""
        jobs = _jobs()
        rows = run_all(self.jobs, [(job, self.seeds[0]) for job in jobs], _left_out)
        show(
            "Nine trained, the tenth alone (S1): energy over the oracle's, geometric mean",
            pd.DataFrame(rows),
        )

    def transfer(self) -> None:
        """A table carried over."""
        seed = self.seeds[0]
        loaded = load_scenario(SCENARIO, [("seed", seed)], {"offloading": "autoscale"})
        states = train(loaded, cache=Path(self.learned))
        file = self.out / "trained.json"
        file.write_text(dump_state(states), encoding="utf-8")
        rows = run_all(
            self.jobs,
            [
                (source, target, str(file), seed)
                for target in PHONES
                for source in ("", *(p for p in PHONES if p != target))
            ],
            _transferred,
        )
        table = pd.DataFrame(rows)
        scratch = table[table["table from"] == "scratch"].set_index("phone").logs
        settled = {phone: 1.1 * np.exp(logs.iloc[-3000:].mean()) for phone, logs in scratch.items()}
        table["level"] = table.phone.map(settled)
        table["requests"] = [
            _reached(logs, level) for logs, level in zip(table.logs, table.level, strict=True)
        ]
        first = table[table["table from"] == "scratch"].set_index("phone").requests
        table["saved"] = table.phone.map(first) - table.requests
        show(
            "A table carried over (S1, ten models): energy over the oracle's, and requests until it "
            "is within 10 % of where learning from scratch ends",
            table.drop(columns="logs"),
        )

    def rivals(self) -> None:
        """LinUCB and the predictors."""
        seed = self.seeds[0]
        controllers = ("autoscale", "linucb", "linear_regression", "svr", "knn")
        rows = run_all(self.jobs, [(c, seed, self.learned) for c in controllers], _rival)
        show(f"Rivals (seed {seed}, all environments)", pd.DataFrame(rows))


def _rival(controller: str, seed: int, learned: str) -> dict[str, Any]:
    parts, others, errors = [], [], []
    for environment in ENVIRONMENTS:
        changes = [("environment", environment), ("seed", seed)]
        loaded = load_scenario(SCENARIO, changes, {"offloading": controller})
        with tempfile.TemporaryDirectory() as folder:
            result = run_loaded(loaded, out=Path(folder) / "run", learned=Path(learned))
            state = (Path(folder) / "run" / "learned.json").read_text(encoding="utf-8")
        parts.append(result.requests.assign(environment=environment))
        others.append(requests_of(SCENARIO, environment, "oracle", seed, None)[0])
        found = re.findall(r'"errors": \{"__array__": "([^"]*)"', state)
        for text in found:
            import base64

            errors.append(np.frombuffer(base64.b64decode(text)))
    requests, oracle = pd.concat(parts), pd.concat(others)
    both = paired(requests, oracle, by=(*KEY, "model", "environment"))
    total = np.sum(errors, axis=0) if errors else None
    return {
        "controller": controller,
        "energy / oracle's": means_of_ratios(both.energy_j_base, both.energy_j_other).geometric,
        "late, more % points": 100
        * float(oracle.deadline_met.mean() - requests.deadline_met.mean()),
        "within 5 %": 100 * float(agrees(requests).mean()),
        "error of latency %": float("nan") if total is None else 100 * total[1] / total[0],
        "error of energy %": float("nan") if total is None else 100 * total[2] / total[0],
    }


def _left_out(job: str, seed: int) -> dict[str, Any]:
    every = _jobs()
    nine = {name: spec for name, spec in every.items() if name != job}
    loaded = load_scenario(SCENARIO, [("jobs", nine), ("seed", seed)], {"offloading": "autoscale"})
    row: dict[str, Any] = {"left out": job}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nine.json"
        file.write_text(dump_state(train(loaded)), encoding="utf-8")
        alone = {job: every[job]}
        for name, own in {
            "frozen": {"table": str(file), "is_frozen": True},
            "online": {"table": str(file)},
        }.items():
            overrides = [
                ("jobs", alone),
                ("training", None),
                ("duration_s", 30_000),
                ("phones.*.plugged_in", True),
                ("settings.autoscale", own),
            ]
            requests, _ = requests_of(SCENARIO, "S1", "autoscale", seed, None, overrides)
            number = requests.groupby("device").cumcount()
            logs = np.log(regret(requests)).replace(np.inf, np.nan)
            if name == "frozen":
                row["frozen"] = float(np.exp(logs.mean()))
            else:
                for begin, end in ((0, 50), (50, 100), (100, 200), (200, 400)):
                    part = logs[(number >= begin) & (number < end)]
                    row[f"online, {begin}-{end}"] = float(np.exp(part.mean()))
    return row


def _transferred(source: str, target: str, file: str, seed: int) -> dict[str, Any]:
    own: dict[str, Any] = {"discount": 0.0}
    if source:
        own |= {"table": file, "transfer_from": source}
    overrides = [
        ("training", None),
        ("duration_s", 60_000),
        ("phones.*.plugged_in", True),
        ("jobs.*.phones", [target]),
        ("settings.autoscale", own),
    ]
    requests, _ = requests_of(SCENARIO, "S1", "autoscale", seed, None, overrides)
    logs = np.log(regret(requests)).replace(np.inf, np.nan)
    row: dict[str, Any] = {"phone": target, "table from": source or "scratch", "logs": logs}
    for begin, end in ((0, 50), (50, 200), (200, 1000), (1000, 4000)):
        row[f"E/Eopt, {begin}-{end}"] = float(np.exp(logs.iloc[begin:end].mean()))
    return row


def _reached(logs: pd.Series, level: float) -> int:
    """Requests until the geometric mean of 100 in a row is as low as this for the first time."""
    means = logs.reset_index(drop=True).rolling(100).mean()
    return int((means <= np.log(level)).to_numpy().argmax()) + 1


def _jobs() -> dict[str, Any]:
    """The jobs of the scenario, as its file has them."""
    data = yaml.safe_load(find_scenario(SCENARIO).read_text(encoding="utf-8"))
    jobs: dict[str, Any] = data["jobs"]
    return jobs


def _altered(folder: Path, change: Callable[[str], str]) -> Path:
    """The scenario in a folder of its own, beside phones whose profiles have been altered."""
    scenario = find_scenario(SCENARIO)
    profiles = scenario.parent.parent / "device_profiles"
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "device_profiles").mkdir(parents=True)
    for phone in PHONES:
        text = (profiles / f"{phone}.yaml").read_text(encoding="utf-8")
        altered = change(text)
        if altered == text:
            raise SystemExit(f"nothing in the profile of {phone} was altered")
        (folder / "device_profiles" / f"{phone}.yaml").write_text(altered, encoding="utf-8")
    shutil.copy(scenario, folder / scenario.name)
    return folder / scenario.name


def _place(target: str) -> tuple[str, ...]:
    return tuple(target.split("/")[:2])


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parts: Mapping[str, Callable[[Study], None]] = {
        name: getattr(Study, name)
        for name in (
            "claims",
            "mechanisms",
            "agreement",
            "variants",
            "live",
            "left_out",
            "transfer",
            "rivals",
        )
    }
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help="default: all")
    parser.add_argument("--seeds", default="0-4")
    parser.add_argument("--out", type=Path, default=Path("runs/autoscale-study"))
    parser.add_argument("--jobs", type=int, default=joblib.cpu_count())
    arguments = parser.parse_args()
    study = Study(arguments.out, parse_seeds(arguments.seeds), arguments.jobs)
    for name in arguments.parts or parts:
        parts[name](study)
    return 0


if __name__ == "__main__":
    sys.exit(main())
