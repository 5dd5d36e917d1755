"""Running a scenario, into a run folder or in memory."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgesim.controllers.learned import dump_state
from edgesim.controllers.registry import FEDERATED_SLOTS, controller_class
from edgesim.core.errors import ConfigError, EdgesimError, Problem
from edgesim.core.recorder import Recorder, write_atomically
from edgesim.results.result import Comparison, Result
from edgesim.results.summary import federated_summary, inference_summary
from edgesim.scenario.federated_schema import FederatedJobSpec
from edgesim.scenario.journal import remember_origin
from edgesim.scenario.load import LoadedScenario, Override, load_scenario
from edgesim.scenario.schema import TRAINING_APART, InferenceJobSpec, Scenario
from edgesim.scenario.seats import class_name_of
from edgesim.scenario.training import fingerprint, train
from edgesim.scenario.world import World

__all__ = ["compare", "learners_of", "run", "run_loaded"]

_LIBRARIES = ("edgesim", "numpy", "pyarrow", "simpy")

Progress = Callable[[float], None]


def run(
    scenario: str | Path,
    *,
    controllers: Mapping[str, str] | None = None,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run one scenario with one set of controllers; its ``compare`` is left aside.

    Args:
        scenario: a path, or the name of a scenario that ships with edgesim.
        controllers: who sits where: ``{"offloading": "cloud"}`` for all jobs,
            ``{"camera.offloading": "cloud"}`` for one. They override the file's.
        seed: in place of the file's.
        overrides: any other keys, by dotted path: ``{"phones.mi_8_pro.count": 10}``.
        out: the run folder to make; by default nothing is written.
        progress: told now and then which share of the simulated time is over.

    Returns:
        The result, its tables as DataFrames. After an interruption (Ctrl-C) it holds what
        happened before, its ``manifest["status"]`` is ``interrupted``.

    Raises:
        ConfigError: if the scenario is not in order, with every problem found.
        EdgesimError: if ``out`` is in use already.
    """
    changes = _changes(overrides, seed)
    return run_loaded(load_scenario(scenario, changes, controllers), out=out, progress=progress)


def compare(
    scenario: str | Path,
    *,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Comparison:
    """Run a scenario once per controller of its ``compare``, on the same world.

    Args:
        scenario: as for :func:`run`.
        seed: as for :func:`run`.
        overrides: as for :func:`run`.
        out: the folder to make, with a run folder ``cells/SLOT=NAME`` for each.
        progress: told which controller is at work and which share of its run is over.

    Raises:
        ConfigError: as :func:`run`, and if the scenario has nothing to compare.
        EdgesimError: if ``out`` is in use already.
    """
    changes = _changes(overrides, seed)
    loaded = load_scenario(scenario, changes)
    if not loaded.scenario.compare:
        message = "has no 'compare' to run; add 'compare: {offloading: [NAME, ...]}'"
        raise ConfigError([Problem(str(loaded.path), None, "", message)])
    ((slot, names),) = loaded.scenario.compare.items()
    folder = None if out is None else _claim(Path(out))
    results: dict[str, Result] = {}
    for name in names:
        cell = load_scenario(scenario, changes, {slot: name})
        cell_folder = None if folder is None else folder / "cells" / f"{slot}={name}"
        report = None if progress is None else _for_cell(progress, name)
        results[name] = run_loaded(cell, out=cell_folder, progress=report)
        if not results[name].is_complete:
            break
    return Comparison(slot, results)


def _for_cell(progress: Callable[[str, float], None], name: str) -> Progress:
    return lambda share: progress(name, share)


def _changes(overrides: Mapping[str, Any] | None, seed: int | None) -> list[Override]:
    seeds = [] if seed is None else [("seed", seed)]
    return [*(overrides or {}).items(), *seeds]


def run_loaded(
    loaded: LoadedScenario,
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
    learned: Path | None = None,
    is_resumed: bool = False,
) -> Result:
    """Run a scenario that has been loaded; arguments and result as for :func:`run`.

    Args:
        loaded: the scenario.
        out: as for :func:`run`.
        progress: as for :func:`run`; training beforehand is the first half.
        learned: a folder where what controllers learn in training is kept by what they learned it
            from, so that other runs need not train them again.
        is_resumed: ``out`` is the folder of a run of this scenario that was cut short: begin again, but
            take from its journal what training gave.
    """
    scenario = loaded.scenario
    missing = [
        job
        for job, spec in scenario.jobs.items()
        if isinstance(spec, InferenceJobSpec)
        and "offloading" not in {**scenario.controllers, **spec.controllers}
    ]
    if missing:
        names = [name for names in scenario.compare.values() for name in names]
        message = (
            f"nobody decides for job {missing[0]!r}; 'compare' names {', '.join(names)}: choose "
            "one with -c offloading=NAME, or compare them all"
        )
        raise ConfigError([Problem(str(loaded.path), None, "controllers", message)])
    started = time.perf_counter()
    if out is not None and is_resumed:
        folder: Path | None = _cleared(Path(out))
    else:
        folder = None if out is None else _claim(Path(out))
    if folder is not None and scenario.federated_jobs:
        remember_origin(folder, loaded)
    recorder = Recorder(folder, _tables(scenario))
    world = World(loaded, recorder)
    manifest = _manifest(loaded, world)
    trains = isinstance(scenario.training, TRAINING_APART) and bool(world.learners)
    halves = _halves(progress) if trains else (progress, progress)

    def write_manifest(status: str, **more: Any) -> None:
        manifest.update(status=status, **more)
        if folder is not None:
            write_atomically(folder / "run.json", _json(manifest))

    # Until the end is reached, what stands on disk says that it was not.
    write_manifest("interrupted", wall_s=None)
    status = "complete"
    try:
        try:
            if trains:
                manifest["training"] = _train(loaded, world, learned, halves[0])
            world.run(halves[1])
        except KeyboardInterrupt:
            status = "interrupted"
        summary = world.finish()
        finished = recorder.finish()
        if scenario.inference_jobs:
            summary |= inference_summary(finished["requests"], list(scenario.inference_jobs))
        if scenario.federated_jobs:
            summary |= federated_summary(
                finished,
                {
                    name: job.story() | {"cost_model": _cost_model(scenario.federated_jobs[name])}
                    for name, job in world.federated.items()
                },
            )
        if folder is not None:
            write_atomically(folder / "summary.json", _json(summary))
            if world.learners:
                state = {seat: each.state_dict() for seat, each in world.learners.items()}
                write_atomically(folder / "learned.json", dump_state(state))
        manifest["tables_bytes"] = {
            seat: controller.memory()
            for seat, controller in sorted(world.learners.items())
            if hasattr(controller, "memory")
        }
        write_manifest(status, wall_s=time.perf_counter() - started)
    except (EdgesimError, OSError) as error:
        _salvage(world, recorder)
        with suppress(OSError):
            write_manifest("interrupted", error=str(error), wall_s=time.perf_counter() - started)
        if isinstance(error, OSError):
            raise EdgesimError(f"{folder}: {error}") from error
        raise
    return Result(manifest, summary, finished, folder)


def learners_of(loaded: LoadedScenario) -> list[str]:
    """The names of the controllers of a scenario that learn."""
    scenario = loaded.scenario
    names: dict[str, str] = {}
    for spec in scenario.jobs.values():
        own = ("offloading",) if isinstance(spec, InferenceJobSpec) else tuple(FEDERATED_SLOTS)
        for slot, name in {**scenario.controllers, **spec.controllers}.items():
            if slot in own:
                names[str(name)] = str(slot)
    return [
        name
        for name, slot in names.items()
        if controller_class(class_name_of(name, scenario.settings), slot).learns  # type: ignore[attr-defined]
    ]


def _halves(progress: Progress | None) -> tuple[Progress | None, Progress | None]:
    """The progress of training, and of the run after it, as shares of both."""
    if progress is None:
        return None, None
    return (lambda share: progress(0.5 * share)), (lambda share: progress(0.5 + 0.5 * share))


def _train(
    loaded: LoadedScenario, world: World, learned: Path | None, progress: Progress | None
) -> dict[str, Any]:
    """Have the controllers of a world learn elsewhere first; says what that took."""
    states = train(loaded, cache=learned, progress=progress)
    training = loaded.scenario.training
    assert isinstance(training, TRAINING_APART)
    for seat, controller in sorted(world.learners.items()):
        controller.load_state_dict(states[seat])
        if training.is_frozen:
            controller.freeze()
    return dict(states["training"])


def _cost_model(spec: FederatedJobSpec) -> str | None:
    """What is costed in place of what learns, if anything."""
    return None if spec.cost_model is None else spec.cost_model.name


def _salvage(world: World, recorder: Recorder) -> None:
    """Keep what has happened before an error: settle what can be settled, write what can be."""
    with suppress(EdgesimError):
        world.finish()
    with suppress(EdgesimError, OSError):
        recorder.finish()


def _tables(scenario: Scenario) -> list[str]:
    optional = {
        "decisions": scenario.record.decisions,
        "forecasts": scenario.record.forecasts,
        "states": scenario.record.states,
    }
    always = ["energy", "devices"]
    if scenario.inference_jobs:
        always.append("requests")
    if scenario.federated_jobs:
        always += ["rounds", "participants", "evaluations"]
    return [*always, *(name for name, wanted in optional.items() if wanted)]


def _claim(folder: Path) -> Path:
    """Make a folder for a run, never on top of something else."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise EdgesimError(
                f"{folder} is in use already; choose another folder with --out, or remove it first"
            )
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgesimError(f"{folder} cannot be made: {error.strerror}") from None
    except ValueError:
        raise EdgesimError(f"{str(folder)!r} cannot be the name of a folder") from None
    return folder


def _cleared(folder: Path) -> Path:
    """The folder of a run that was cut short, without its tables."""
    for file in [*folder.glob("*.parquet*"), *folder.glob("parts/*"), folder / "summary.json"]:
        file.unlink(missing_ok=True)
    return folder


def _manifest(loaded: LoadedScenario, world: World) -> dict[str, Any]:
    return {
        "scenario_file": loaded.path.name,
        "scenario": loaded.scenario.model_dump(mode="json"),
        "case": dict(loaded.case),
        "seed": loaded.scenario.seed,
        "fingerprint": fingerprint(loaded),
        "controllers": world.controllers,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _LIBRARIES},
        },
        "data_sha256": dict(sorted(world.data_sha256.items())),
        "profile_sha256": loaded.catalogue.digests(loaded.profiles),
        "model_sha256": {
            name: hashlib.sha256(file.read_bytes()).hexdigest()
            for name in sorted(loaded.models)
            if (file := loaded.path.parent / "models" / f"{name}.yaml").is_file()
        },
        "trace_sha256": {
            _relative(file, loaded.path.parent): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(set(loaded.recordings.files))
        },
    }


def _relative(file: Path, folder: Path) -> str:
    """A file's name as seen from a folder: a manifest holds no path of a machine."""
    return file.relative_to(folder).as_posix() if file.is_relative_to(folder) else file.name


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=2, allow_nan=False) + "\n"
