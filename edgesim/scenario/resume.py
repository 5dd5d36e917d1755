"""Going on with a run that was cut short, to the same tables as if it had not been."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgesim.core.errors import EdgesimError
from edgesim.results.result import Comparison, Result, load_result
from edgesim.scenario.journal import origin_of
from edgesim.scenario.load import load_resolved
from edgesim.scenario.run import run_loaded
from edgesim.scenario.training import fingerprint

__all__ = ["resume"]

Progress = Callable[[str, float], None]


def resume(folder: str | Path, *, progress: Progress | None = None) -> Result | Comparison:
    """Go on with a run, or with a comparison, that was cut short at whatever moment.

    Everything is simulated again, but what real training gave is read from the journal; training goes on
    where that ends. The tables come out byte for byte as those of a run that was never interrupted.

    Args:
        folder: of the run, or of the comparison.
        progress: told which controller is at work and which share of its run is over.

    Raises:
        EdgesimError: if it is complete already, is no run's folder, has no journal, or what it was
            made from has changed since.
    """
    folder = Path(folder)
    if (folder / "cells").is_dir():
        return _resume_comparison(folder, progress)
    earlier = load_result(folder)
    if earlier.is_complete:
        raise EdgesimError(f"{folder} is complete: there is nothing to resume")
    return _resume_run(folder, earlier.manifest, _report(progress, earlier.name))


def _resume_run(folder: Path, manifest: Any, progress: Callable[[float], None] | None) -> Result:
    loaded = load_resolved(origin_of(folder), manifest["scenario"])
    if fingerprint(loaded) != manifest["fingerprint"]:
        raise EdgesimError(
            f"{folder} cannot be resumed: its scenario, a file it names, or edgesim itself has changed "
            "since; run it again"
        )
    return run_loaded(loaded, out=folder, progress=progress, is_resumed=True)


def _resume_comparison(folder: Path, progress: Progress | None) -> Comparison:
    cells = sorted(path for path in folder.glob("cells/*=*") if (path / "run.json").is_file())
    if not cells:
        raise EdgesimError(f"{folder} cannot be resumed: not one of its runs had begun")
    slot = cells[0].name.partition("=")[0]
    first = load_result(cells[0]).manifest
    results: dict[str, Result] = {}
    names = first["scenario"]["compare"][slot]
    if all((folder / "cells" / f"{slot}={name}") in cells for name in names) and all(
        load_result(cell).is_complete for cell in cells
    ):
        raise EdgesimError(f"{folder} is complete: there is nothing to resume")
    for name in names:
        cell = folder / "cells" / f"{slot}={name}"
        report = _report(progress, name)
        if cell in cells:
            earlier = load_result(cell)
            if earlier.is_complete:
                results[name] = earlier
            else:
                results[name] = _resume_run(cell, earlier.manifest, report)
        else:
            data = _with(first["scenario"], slot, name)
            results[name] = run_loaded(
                load_resolved(origin_of(cells[0]), data), out=cell, progress=report
            )
        if not results[name].is_complete:
            break
    return Comparison(slot, results)


def _with(scenario: Any, slot: str, name: str) -> dict[str, Any]:
    """A scenario with another controller in a slot, wherever somebody is named there."""
    jobs = {
        job: {**spec, "controllers": {**spec["controllers"], slot: name}}
        if slot in spec["controllers"]
        else spec
        for job, spec in scenario["jobs"].items()
    }
    return {**scenario, "jobs": jobs, "controllers": {**scenario["controllers"], slot: name}}


def _report(progress: Progress | None, name: str) -> Callable[[float], None] | None:
    return None if progress is None else lambda share: progress(name, share)
