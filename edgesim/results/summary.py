"""Headline numbers of a run, from its tables alone. Units are in the names.

With several jobs of a kind each number is there once over all of them and once per job, prefixed
``JOB.``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from edgesim.controllers.slots import DEVICE

__all__ = ["inference_summary"]

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
