"""Headline numbers of a run, from its tables alone. Units are in the names.

With several jobs of a kind each number is there once over all of them and once per job, prefixed
``JOB.``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from edgesim.controllers.slots import DEVICE

__all__ = [
    "LAST_EVALUATIONS",
    "device_accuracies",
    "federated_summary",
    "inference_summary",
    "variance_but_one",
]

Scalar = float | int | str | None


def inference_summary(requests: pa.Table, jobs: Sequence[str]) -> dict[str, Scalar]:
    """The numbers of the inference jobs, over rows with ``phase=evaluation``.

    Args:
        requests: the table ``requests``.
        jobs: the names of the inference jobs, those without requests too.

    Returns:
        ``requests``: rows; ``requests_failed``: those with a status ``failed:...``;
        ``requests_unfinished``: those that the end of the run cut off;
        ``energy_per_request_j``: joules booked to them on phones, per row, failed and
        unfinished ones included;
        ``offloaded_ratio``: share that ran elsewhere, of those for which a target was chosen;
        ``latency_p50_s``, ``latency_p99_s``: of those that are done (null if none is);
        ``deadline_violation_ratio``: share that was late or failed, of those with a deadline whose
        fate is known; ``accuracy_violation_ratio``: share answered less accurately than required,
        of those that are done and have a requirement (both null if there are none).
        And, if the oracle was asked: ``oracle_agreement_action``: share that ran on the very target
        that it would have chosen; ``oracle_agreement_place``: at the same place and processor, at
        whatever level and precision; ``oracle_agreement_within_5pct``: that needed, as foreseen, no
        more than 5 % more energy than its choice and was in time if that was.
    """
    evaluated = requests.filter(pc.equal(requests["phase"], "evaluation"))
    summary = _of_rows(evaluated)
    if len(jobs) > 1:
        for job in sorted(jobs):
            rows = evaluated.filter(pc.equal(evaluated["job"], job))
            summary |= {f"{job}.{key}": value for key, value in _of_rows(rows).items()}
    return summary


LAST_EVALUATIONS = 4
"""Accuracies by type of device are means over so many judgements: from one to the next they jump."""


def device_accuracies(
    evaluations: pa.Table,
) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """Accuracy on each type of device, judgement by judgement.

    Args:
        evaluations: the table ``evaluations``, of one job.

    Returns:
        The types, in the order of their names; the rounds that were judged, in order; accuracies in
        [0, 1], shape ``(rounds, types)``. All empty where nothing is judged by type of device.
    """
    rows = evaluations.filter(pc.starts_with(evaluations["group"], "device "))
    types, column = np.unique(np.array(rows["group"].to_pylist(), str), return_inverse=True)
    rounds, row = np.unique(rows["round"].to_numpy(), return_inverse=True)
    found = np.full((len(rounds), len(types)), np.nan)
    found[row, column] = rows["accuracy"].to_numpy()
    return [str(each).removeprefix("device ") for each in types], rounds, found


def federated_summary(
    tables: Mapping[str, pa.Table], stories: Mapping[str, Mapping[str, Scalar]]
) -> dict[str, Scalar]:
    """The numbers of the federated jobs.

    Args:
        tables: ``rounds`` and ``evaluations``; and ``participants``, if they were recorded.
        stories: by job, what it says of itself: ``stopped_by``, ``accuracy_source``,
            ``target_accuracy`` and ``for_rounds`` (null target for none).

    Returns:
        ``rounds``: those that ended with a new model; ``rounds_failed``; ``accuracy_final`` (null if
        nobody knows); ``rounds_short``: those with fewer eligible clients than K; ``whole_batches``: participations with
        fewer samples than the batch size; ``updates_lost``: clients whose update does not count; ``energy_local_j``,
        ``energy_global_j``: by AutoFL's equations, over all rounds; ``energy_ledger_j``,
        ``energy_wasted_j``; ``target_reached``: whether the accuracy to reach was held for as many rounds as
        asked (null without one); and, at the last of those rounds, or at the end where it was not
        reached, ``rounds_to_target``, ``time_to_target_s``, ``energy_local_to_target_j``,
        ``energy_global_to_target_j``. ``accuracy_source``, ``accuracy_rmse`` (where fitted),
        ``cost_model`` (where time and energy are another model's) and ``stopped_by`` as the job says. Where it is
        judged by type of device: ``device_accuracy_mean``, ``device_accuracy_worst`` and
        ``device_accuracy_variance_pp2``, the population variance over the types in squared percentage points;
        ``device_accuracy_variance_but_one_pp2``, that without the type that is farthest from the mean;
        each type's accuracy is its mean over the last :data:`LAST_EVALUATIONS` judgements.
        ``switched_ratio``: share of participations whose pictures were jittered or whose weights
        averaged; ``averaged_ratio``: whose update was the mean, of updates that count (both left out
        where nobody did). With several jobs, prefixed ``JOB.``.
    """
    rounds, evaluations = tables["rounds"], tables["evaluations"]
    summary: dict[str, Scalar] = {}
    for job, story in sorted(stories.items()):
        rows = rounds.filter(pc.equal(rounds["job"], job))
        judged = evaluations.filter(pc.equal(evaluations["job"], job))
        own = _of_rounds(rows, story) | _of_devices(judged)
        if "participants" in tables:
            taken = tables["participants"]
            own |= _of_switches(taken.filter(pc.equal(taken["job"], job)))
        prefix = f"{job}." if len(stories) > 1 else ""
        summary |= {f"{prefix}{key}": value for key, value in own.items()}
    return summary


def _of_rounds(rows: pa.Table, story: Mapping[str, Scalar]) -> dict[str, Scalar]:
    status = rows["status"]
    accuracy = rows["accuracy"].to_pylist()
    known = [value for value in accuracy if value is not None]
    found: dict[str, Scalar] = {
        "rounds": _count(pc.equal(status, "done")),
        "rounds_failed": _count(pc.equal(status, "failed")),
        "accuracy_final": known[-1] if known else None,
        "rounds_short": _count(pc.less(rows["cohort_size"], rows["clients_per_round"])),
        "whole_batches": int(pc.sum(rows["whole_batch"]).as_py() or 0),
        "updates_lost": int(pc.sum(rows["dropped"]).as_py() or 0),
        "accuracy_source": story["accuracy_source"],
        **{k: story[k] for k in ("accuracy_rmse", "cost_model") if story.get(k) is not None},
        "stopped_by": story["stopped_by"],
    }
    columns = ("energy_local_j", "energy_global_j", "energy_ledger_j", "energy_wasted_j")
    values = {name: pc.fill_null(rows[name], 0.0).to_numpy() for name in columns}
    found |= {name: float(np.sum(column)) for name, column in values.items()}
    target = story.get("target_accuracy")
    if target is None:
        return found | {"target_reached": None}
    held = _held(accuracy, float(target), int(story["for_rounds"] or 1))
    end = rows.num_rows if held is None else held + 1
    ends_s = rows["start_s"].to_numpy() + rows["duration_s"].to_numpy()
    first_s = float(rows["start_s"][0].as_py()) if rows.num_rows else 0.0
    return found | {
        "target_reached": int(held is not None),
        "rounds_to_target": end,
        "time_to_target_s": float(ends_s[end - 1]) - first_s if end else 0.0,
        "energy_local_to_target_j": float(np.sum(values["energy_local_j"][:end])),
        "energy_global_to_target_j": float(np.sum(values["energy_global_j"][:end])),
    }


def _of_devices(rows: pa.Table) -> dict[str, Scalar]:
    """How well each type of device is served, over the last judgements."""
    types, _, accuracy = device_accuracies(rows)
    if not types:
        return {}
    means = accuracy[-LAST_EVALUATIONS:].mean(axis=0)
    return {
        "device_accuracy_mean": float(np.mean(means)),
        "device_accuracy_variance_pp2": float(np.var(100.0 * means)),
        "device_accuracy_variance_but_one_pp2": variance_but_one(100.0 * means),
        "device_accuracy_worst": float(np.min(means)),
    }


def variance_but_one(values: NDArray[np.float64]) -> float | None:
    """Their population variance without the one that is farthest from the mean; ``None`` of one alone."""
    outlier = int(np.abs(values - values.mean()).argmax())
    return float(np.var(np.delete(values, outlier))) if len(values) > 1 else None


def _of_switches(rows: pa.Table) -> dict[str, Scalar]:
    """How often clients jittered, and averaged."""
    if not _count(rows["switched"]):
        return {}
    counted = rows["averaged"].drop_null()
    return {
        "switched_ratio": _count(rows["switched"]) / rows.num_rows,
        "averaged_ratio": _count(counted) / len(counted) if len(counted) else None,
    }


def _held(accuracy: Sequence[float | None], target: float, rounds: int) -> int | None:
    """The row at which a target has been held for so many rounds; those not judged are passed over."""
    streak = 0
    for index, value in enumerate(accuracy):
        if value is None:
            continue
        streak = streak + 1 if value >= target else 0
        if streak >= rounds:
            return index
    return None


def _of_rows(rows: pa.Table) -> dict[str, Scalar]:
    status = rows["status"]
    latency_s = rows["latency_s"].drop_null().to_numpy()
    met = rows["deadline_met"].drop_null()
    judged = rows.filter(pc.and_(pc.is_valid(rows["accuracy_min"]), pc.is_valid(rows["accuracy"])))
    poor = pc.less(judged["accuracy"], judged["accuracy_min"])
    target = rows["target"].drop_null()
    away = len(target) - _count(pc.starts_with(target, f"{DEVICE}/"))
    p50, p99 = np.quantile(latency_s, [0.5, 0.99]).tolist() if len(latency_s) else (None, None)
    return _agreement(rows) | {
        "requests": rows.num_rows,
        "requests_failed": _count(pc.starts_with(status, "failed")),
        "requests_unfinished": _count(pc.equal(status, "unfinished")),
        "energy_per_request_j": _total(rows["energy_j"]) / rows.num_rows if rows.num_rows else None,
        "offloaded_ratio": away / len(target) if len(target) else None,
        "latency_p50_s": p50,
        "latency_p99_s": p99,
        "deadline_violation_ratio": 1.0 - _count(met) / len(met) if len(met) else None,
        "accuracy_violation_ratio": _count(poor) / len(poor) if len(poor) else None,
    }


def _agreement(rows: pa.Table) -> dict[str, Scalar]:
    """How often the oracle's choice was made, of the requests about which it was asked."""
    asked = rows.filter(pc.and_(pc.is_valid(rows["oracle_target"]), pc.is_valid(rows["target"])))
    if not asked.num_rows:
        return {}
    chosen, best = asked["target"].to_pylist(), asked["oracle_target"].to_pylist()
    place = [_place(a) == _place(b) for a, b in zip(chosen, best, strict=True)]

    def foreseen(column: str) -> Any:
        return pc.fill_null(asked[column], np.inf).to_numpy()

    deadline_s = foreseen("deadline_s")
    in_time = foreseen("forecast_latency_s") <= deadline_s
    alike = in_time == (foreseen("oracle_latency_s") <= deadline_s)
    near = foreseen("forecast_energy_j") <= 1.05 * foreseen("oracle_energy_j")
    return {
        "oracle_agreement_action": float(
            np.mean([a == b for a, b in zip(chosen, best, strict=True)])
        ),
        "oracle_agreement_place": float(np.mean(place)),
        "oracle_agreement_within_5pct": float(np.mean(alike & near)),
    }


def _place(target: str) -> tuple[str, ...]:
    """Place and processor of a target."""
    return tuple(target.split("/")[:2])


def _count(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _total(column: Any) -> float:
    # math.fsum would be exact; numpy's pairwise sum is exact enough and repeatable.
    return float(np.sum(column.to_numpy()))
