"""Running a sweep: cells side by side, each in a run folder of its own; what is finished stays."""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.core.errors import ConfigError, EdgesimError, Problem, did_you_mean
from edgesim.core.recorder import write_atomically, write_parquet
from edgesim.results.result import Result, load_result
from edgesim.scenario.load import LoadedScenario
from edgesim.scenario.run import learners_of, run_loaded
from edgesim.scenario.schema import TRAINING_APART
from edgesim.scenario.training import fingerprint, train, training_ground
from edgesim.sweep.plan import COMMAND_LINE, Cell, Plan, make_plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ENGINES", "SweepResult", "load_sweep", "run_plan", "sweep"]

ENGINES = ("loky", "multiprocessing", "threading", "sequential", "ray")
"""Backends of joblib by name; ``loky``: processes of its own, ``ray``: with the extra ``ray``."""

COMPLETE, FAILED, INTERRUPTED, NOT_RUN = "complete", "failed", "interrupted", "not_run"

Report = Callable[[str, str], None]


@dataclass(frozen=True)
class SweepResult:
    """What came of a sweep.

    Attributes:
        frame: one row per cell: its dimensions, ``seed``, ``status``, ``error``, and all of its
            summary.
        pairs: the paired comparison; see :func:`edgesim.sweep.pairs.compare_pairs`.
        dimensions: values by name, in order.
        folder: where it is.
        found: how many cells were there already.
        is_interrupted: whether it was stopped before its end.
    """

    frame: pd.DataFrame
    pairs: pd.DataFrame
    dimensions: Mapping[str, tuple[str, ...]]
    folder: Path
    found: int = 0
    is_interrupted: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every cell came to its end."""
        return bool((self.frame.status == COMPLETE).all())

    def results(self) -> Iterable[tuple[dict[str, Any], Result]]:
        """Dimensions and seed of each complete cell, and its run."""
        columns = [*self.dimensions, "seed"]
        for row in self.frame[self.frame.status == COMPLETE].to_dict("records"):
            yield {name: row[name] for name in columns}, load_result(self.folder / row["folder"])

    def table(self, name: str) -> pd.DataFrame:
        """A table of all complete cells together, with a column per dimension and ``seed``."""
        import pandas as pd

        parts = [result.table(name).assign(**cell) for cell, result in self.results()]
        return pd.concat(parts, ignore_index=True)


def sweep(
    scenario: str | Path,
    vary: Mapping[str, Sequence[Any]],
    seeds: Iterable[int] = (),
    *,
    out: str | Path,
    overrides: Mapping[str, Any] | None = None,
    controllers: Mapping[str, str] | None = None,
    jobs: int | None = None,
    engine: str = "loky",
) -> SweepResult:
    """Run a scenario for every combination of values, and compare in pairs.

    Args:
        scenario: a path, or the name of one that ships with edgesim.
        vary: values by slot, axis of the matrix or dotted key:
            ``{"offloading": ["cloud", "oracle"], "phones.*.count": [1, 10]}``.
        seeds: by default the scenario's own.
        out: the folder; cells that an earlier sweep has finished there are not run again.
        overrides: other keys, by dotted path.
        controllers: who sits in the slots that are not varied.
        jobs: how many run at once; by default as many as there are cores to use.
        engine: one of :data:`ENGINES`.

    Raises:
        ConfigError: if anything is wrong with the plan, before anything runs.
        EdgesimError: if the folder is something else's.
    """
    plan = make_plan(
        scenario, vary, seeds, overrides=list((overrides or {}).items()), controllers=controllers
    )
    return run_plan(plan, Path(out), jobs=jobs, engine=engine)


def run_plan(
    plan: Plan,
    folder: Path,
    *,
    jobs: int | None = None,
    engine: str = "loky",
    report: Report | None = None,
) -> SweepResult:
    """Run what is not finished yet of a plan, then write the tables of all of it.

    Args:
        plan: what to run.
        folder: as ``out`` of :func:`sweep`.
        jobs: likewise.
        engine: likewise.
        report: told of each cell that has ended: its name, and its status.

    Raises:
        ConfigError: if the engine is not known, or not installed.
        EdgesimError: if the folder is something else's.
    """
    _check_engine(engine)
    started = time.perf_counter()
    manifest = _claim(plan, folder)
    loaded = {cell.number: cell.load(plan.scenario) for cell in plan.cells}
    open_cells = [cell for cell in plan.cells if not _is_finished(folder, cell, loaded)]
    is_interrupted = False
    tell = report or (lambda name, status: None)
    try:
        for number in _parallel(
            _training_tasks(plan.scenario, open_cells, loaded, folder), jobs, engine
        ):
            tell(f"training {number + 1}", "done")
        tasks = [(_run_cell, (plan.scenario, cell, folder)) for cell in open_cells]
        for number, status in _parallel(tasks, jobs, engine):
            tell(plan.cells[number].name, status)
            if status == INTERRUPTED:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        is_interrupted = True
    result = _gather(plan, folder, len(plan.cells) - len(open_cells), is_interrupted)
    failed = result.frame[result.frame.status == FAILED]
    manifest |= {
        "status": INTERRUPTED if is_interrupted else FAILED if len(failed) else COMPLETE,
        "cells": len(plan.cells),
        "errors": dict(zip(failed.folder, failed.error, strict=True)),
        "wall_s": time.perf_counter() - started,
    }
    write_atomically(folder / "sweep.json", json.dumps(manifest, indent=2) + "\n")
    return result


def load_sweep(folder: str | Path) -> SweepResult:
    """Open the folder of an earlier sweep.

    Raises:
        EdgesimError: if it is not one, or damaged.
    """
    import pandas as pd

    folder = Path(folder)
    manifest = _read_manifest(folder)
    try:
        frame = pd.read_parquet(folder / "sweep.parquet")
        pairs = pd.read_csv(folder / "pairs.csv")
    except (OSError, ValueError) as error:
        raise EdgesimError(f"{folder}: damaged: {error}") from None
    dimensions = {key: tuple(labels) for key, labels in manifest["vary"].items()}
    is_interrupted = manifest["status"] == INTERRUPTED
    return SweepResult(frame, pairs, dimensions, folder, is_interrupted=is_interrupted)


# -- cells ----------------------------------------------------------------------------------------


def _run_cell(scenario: str, cell: Cell, folder: Path) -> tuple[int, str]:
    """Run one cell; says how it ended. What went wrong stands in its folder."""
    here = folder / "cells" / cell.name
    try:
        if here.exists():
            shutil.rmtree(here)  # unfinished, or of something else
        loaded = cell.load(scenario)
        result = run_loaded(loaded, out=here, learned=folder / "learned")
        return cell.number, COMPLETE if result.is_complete else INTERRUPTED
    except KeyboardInterrupt:
        return cell.number, INTERRUPTED
    except Exception as error:
        # One cell must not stop the others: whatever it is, it is written down beside the cell.
        text = str(error) if isinstance(error, EdgesimError) else f"{type(error).__name__}: {error}"
        with suppress(OSError):
            here.mkdir(parents=True, exist_ok=True)
            write_atomically(here / "error.txt", text + "\n")
            if not isinstance(error, EdgesimError):
                write_atomically(here / "traceback.txt", traceback.format_exc())
        return cell.number, FAILED


def _is_finished(folder: Path, cell: Cell, loaded: Mapping[int, LoadedScenario]) -> bool:
    """Whether an earlier sweep has run just this."""
    here = folder / "cells" / cell.name
    try:
        manifest = json.loads((here / "run.json").read_text(encoding="utf-8"))
        is_whole = manifest["status"] == COMPLETE and (here / "summary.json").is_file()
        return bool(is_whole and manifest["fingerprint"] == fingerprint(loaded[cell.number]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _train(number: int, scenario: str, cell: Cell, cache: Path) -> int:
    """Train what cells will need. What goes wrong here goes wrong there again, and is told there."""
    with suppress(Exception):
        train(cell.load(scenario), cache=cache)
    return number


def _training_tasks(
    scenario: str, cells: Sequence[Cell], loaded: Mapping[int, LoadedScenario], folder: Path
) -> list[tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Whatever several cells would have to train, once."""
    needed: dict[str, Cell] = {}
    for cell in cells:
        each = loaded[cell.number]
        if isinstance(each.scenario.training, TRAINING_APART) and learners_of(each):
            needed.setdefault(fingerprint(training_ground(each)), cell)
    cache = folder / "learned"
    missing = [cell for name, cell in needed.items() if not (cache / f"{name}.json").is_file()]
    return [(_train, (number, scenario, cell, cache)) for number, cell in enumerate(missing)]


# -- side by side ---------------------------------------------------------------------------------


def _parallel(
    tasks: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], jobs: int | None, engine: str
) -> Iterable[Any]:
    """The results of tasks, as they come."""
    if not tasks:
        return
    workers = min(jobs or _cores(), len(tasks))
    if workers == 1 or engine == "sequential":
        for function, arguments in tasks:
            yield function(*arguments)
        return
    import joblib

    if engine == "ray":
        from ray.util.joblib import register_ray

        register_ray()
    # One thread of BLAS per worker: they share the cores already.
    inner = {"inner_max_num_threads": 1} if engine == "loky" else {}
    with joblib.parallel_config(backend=engine, n_jobs=workers, **inner):
        calls = (joblib.delayed(function)(*arguments) for function, arguments in tasks)
        yield from joblib.Parallel(return_as="generator_unordered", pre_dispatch=2 * workers)(calls)


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check_engine(engine: str) -> None:
    message = None
    if engine not in ENGINES:
        message = f"there is no engine {engine!r}; {did_you_mean(engine, ENGINES)}"
    elif engine == "ray":
        try:
            import ray.util.joblib  # noqa: F401
        except ImportError:
            message = "ray is not installed; install it with: pip install 'edgesim[ray]'"
    if message is not None:
        raise ConfigError([Problem(COMMAND_LINE, None, "--engine", message)])


# -- the folder -----------------------------------------------------------------------------------


def _claim(plan: Plan, folder: Path) -> dict[str, Any]:
    """Make the folder of a sweep, or go on in that of an earlier one of the same scenario."""
    manifest: dict[str, Any] = {
        "scenario": plan.name,
        "vary": {dimension.key: list(dimension.labels) for dimension in plan.dimensions},
        "seeds": list(plan.seeds),
        "versions": {name: version(name) for name in ("edgesim", "numpy", "pyarrow", "simpy")},
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            before = _read_manifest(folder)
            if before.get("scenario") != plan.name:
                raise EdgesimError(
                    f"{folder} is the folder of a sweep of {before.get('scenario')!r}, not of "
                    f"{plan.name!r}; choose another with --out"
                )
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**manifest, "status": INTERRUPTED}, indent=2) + "\n"
        write_atomically(folder / "sweep.json", text)
    except OSError as error:
        raise EdgesimError(f"{folder} cannot be made: {error.strerror}") from None
    return manifest


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        data = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise EdgesimError(f"{folder} is not the folder of a sweep; choose another") from None
    if not isinstance(data, dict) or "vary" not in data:
        raise EdgesimError(f"{folder}: sweep.json is damaged")
    return data


def _gather(plan: Plan, folder: Path, found: int, is_interrupted: bool) -> SweepResult:
    """Read every cell's summary, compare, and write the tables."""
    import pandas as pd
    import pyarrow as pa

    from edgesim.sweep.pairs import compare_pairs

    rows = []
    for cell in plan.cells:
        here = folder / "cells" / cell.name
        row: dict[str, Any] = {**cell.labels, "seed": cell.seed, "status": NOT_RUN, "error": None}
        row["folder"] = f"cells/{cell.name}"
        if (here / "error.txt").is_file():
            error = (here / "error.txt").read_text(encoding="utf-8").strip()
            row |= {"status": FAILED, "error": error}
        elif (here / "run.json").is_file():
            result = load_result(here)
            row["status"] = result.manifest["status"]
            if result.is_complete:
                row |= {key: v for key, v in result.summary.items() if key != "seed"}
        rows.append(row)
    frame = pd.DataFrame(rows)
    fixed = {*(d.key for d in plan.dimensions), "seed", "status", "error", "folder"}
    quantities = [
        name
        for name in frame.columns
        if name not in fixed and pd.api.types.is_numeric_dtype(frame[name])
    ]
    dimensions = {d.key: d.labels for d in plan.dimensions}
    pairs = compare_pairs(frame, dimensions, quantities)
    write_atomically(folder / "summary.csv", frame.to_csv(index=False))
    write_atomically(folder / "pairs.csv", pairs.to_csv(index=False))
    write_parquet(pa.Table.from_pandas(frame, preserve_index=False), folder / "sweep.parquet")
    return SweepResult(frame, pairs, dimensions, folder, found, is_interrupted)
