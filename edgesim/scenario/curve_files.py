"""Learning curves as files: written by ``edgesim fit-curve``, read by jobs with ``mode: fitted``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isnan, nan
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from edgesim.core.documents import Schema, read_document, validate
from edgesim.core.errors import EdgesimError
from edgesim.core.recorder import write_atomically
from edgesim.learning.curves import (
    FACTORS,
    CurveFit,
    LearningCurve,
    RoundRecord,
    effective_epochs,
    fit_curve,
)
from edgesim.results.result import Result, load_result

__all__ = ["curve_of_runs", "read_curve", "write_curve"]

Accuracy = Annotated[float, Field(ge=0, le=1)]


class _FitSpec(Schema):
    """How well it fits."""

    runs: Annotated[int, Field(ge=1)]
    rounds: Annotated[int, Field(ge=1)]
    rmse: Annotated[float, Field(ge=0)]
    left_out_rmse: Annotated[float, Field(ge=0)] | None = None
    held: list[str] = []
    ranges: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = {}


class _CurveSpec(Schema):
    """A learning curve; see :mod:`edgesim.learning.curves` for its formula."""

    kind: Literal["learning_curve"]
    dataset: str
    model: str
    start: Accuracy
    limit: Accuracy
    rate: Annotated[float, Field(gt=0)]
    shape: Annotated[float, Field(gt=0)]
    effects: dict[str, float]
    fit: _FitSpec
    sources: list[str] = []
    """Fingerprints of the runs."""


def read_curve(file: Path) -> LearningCurve:
    """Read a curve.

    Raises:
        ConfigError: naming file, line and key of what is wrong.
    """
    spec = validate(read_document(file), _CurveSpec)
    missing = set(FACTORS) - set(spec.effects)
    if missing:
        raise EdgesimError(f"{file}: effects: {', '.join(sorted(missing))} missing")
    fit = CurveFit(
        spec.fit.runs,
        spec.fit.rounds,
        spec.fit.rmse,
        nan if spec.fit.left_out_rmse is None else spec.fit.left_out_rmse,
        tuple(spec.fit.held),
        {name: (least, most) for name, (least, most) in spec.fit.ranges.items()},
    )
    return LearningCurve(spec.start, spec.limit, spec.rate, spec.shape, spec.effects, fit)


def curve_of_runs(
    folders: Sequence[Path], job: str | None = None, factors: Sequence[str] = FACTORS
) -> tuple[LearningCurve, dict[str, Any]]:
    """Fit a curve to the federated job of recorded runs.

    Args:
        folders: of the runs.
        job: its name, if they have several.
        factors: those that are to be fitted; see :func:`~edgesim.learning.curves.fit_curve`.

    Returns:
        The curve, and what its file says besides: data set, model, fingerprints.

    Raises:
        EdgesimError: if a run has no such job, was not really trained, or learned something else than
            the others.
    """
    runs, subjects, prints = [], [], []
    for folder in folders:
        result = load_result(folder)
        name = _job_of(result, folder, job)
        described = result.manifest["scenario"]["jobs"][name]
        if described["mode"] != "trained":
            raise EdgesimError(f"{folder}: job {name!r} was not really trained; a curve needs that")
        subjects.append((described["dataset"], described["model"]))
        if subjects[-1] != subjects[0]:
            raise EdgesimError(
                f"{folder}: job {name!r} learns {_shown(subjects[-1])}, but {folders[0]} "
                f"{_shown(subjects[0])}; a curve is of one of them"
            )
        prints.append(str(result.manifest["fingerprint"]))
        runs.append(_records(result, name))
    dataset, model = subjects[0]
    curve = fit_curve(runs, factors)
    return curve, {"dataset": _text(dataset), "model": _text(model), "sources": prints}


def write_curve(file: Path, curve: LearningCurve, about: dict[str, Any]) -> None:
    """Write a curve down.

    Raises:
        OSError: if it cannot be written.
    """
    fit = curve.fit
    data = {
        "kind": "learning_curve",
        "dataset": about["dataset"],
        "model": about["model"],
        "start": curve.start,
        "limit": curve.limit,
        "rate": curve.rate,
        "shape": curve.shape,
        "effects": dict(curve.effects),
        "fit": {
            "runs": fit.runs,
            "rounds": fit.rounds,
            "rmse": fit.rmse,
            **({} if isnan(fit.left_out_rmse) else {"left_out_rmse": fit.left_out_rmse}),
            "held": list(fit.held),
            "ranges": {name: list(limits) for name, limits in fit.ranges.items()},
        },
        "sources": about["sources"],
    }
    write_atomically(file, yaml.safe_dump(data, sort_keys=False))


def _job_of(result: Result, folder: Path, wanted: str | None) -> str:
    jobs = result.manifest["scenario"]["jobs"]
    federated = sorted(name for name, job in jobs.items() if job["kind"] == "federated")
    if wanted is None and len(federated) == 1:
        return str(federated[0])
    if wanted in federated:
        return str(wanted)
    known = ", ".join(federated) or "none"
    hint = "name one with --job" if federated else "a curve needs one"
    raise EdgesimError(f"{folder}: federated jobs: {known}; {hint}")


def _records(result: Result, job: str) -> tuple[float, list[RoundRecord]]:
    """Accuracy of the first model, and the rounds that made another."""
    import pandas as pd

    evaluations = result.evaluations
    first = evaluations[
        (evaluations.job == job) & (evaluations["round"] == 0) & (evaluations.group == "all")
    ]
    if first.empty:
        raise EdgesimError(f"{result.folder}: the first model of job {job!r} was not judged")
    rounds = result.rounds[(result.rounds.job == job) & (result.rounds.status == "done")]
    part = result.participants
    part = part[(part.job == job) & part.steps.notna()]
    # What those did whose updates count, on average, as a fitted job will measure it.
    did = pd.DataFrame(
        {
            "round": part["round"],
            "batch_size": part.batch_size,
            "epochs": [
                effective_epochs(epochs, int(steps), samples, batch_size)
                for epochs, steps, samples, batch_size in zip(
                    part.epochs, part.steps, part.samples, part.batch_size, strict=True
                )
            ],
        }
    )
    rounds = rounds.drop(columns=["batch_size", "epochs"]).join(
        did.groupby("round").mean(), "round"
    )
    records = [
        RoundRecord(
            row["batch_size"],
            row["epochs"],
            row["completed"],
            row["completed"] / row["cohort_size"],
            row["client_skew"],
            row["cohort_skew"],
            row["accuracy"],
        )
        for row in rounds.sort_values("round").astype(float, errors="ignore").to_dict("records")
    ]
    return float(first.accuracy.iloc[0]), records


def _text(named: dict[str, Any]) -> str:
    parameters = named["parameters"]
    return str(named["name"]) + (f" {json.dumps(parameters, sort_keys=True)}" if parameters else "")


def _shown(subject: tuple[dict[str, Any], dict[str, Any]]) -> str:
    return f"{_text(subject[0])} with {_text(subject[1])}"
