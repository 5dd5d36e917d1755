"""How evenly a federated model serves types of device, what that costs, and who pays for it.

Everything here works on finished runs whose models were judged by type of device (``cameras``). Metrics
are those of Kim et al., "HeteroSwitch", MLSys 2024, section 6; where the paper does not define them, the
definition is here. A type's accuracy is its mean over the last judgements: from one to the next it jumps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.results.result import Result
from edgesim.results.summary import LAST_EVALUATIONS, device_accuracies, variance_but_one

__all__ = ["device_table", "fairness", "switching"]


def device_table(results: Mapping[str, Result], last: int = LAST_EVALUATIONS) -> pd.DataFrame:
    """Accuracy on each type of device.

    Args:
        results: by name, each of one federated job.
        last: mean over so many judgements.

    Returns:
        A row per type, a column per result; in [0, 1].

    Raises:
        EdgesimError: if a model was not judged by type of device.
    """
    columns = {}
    for name, result in results.items():
        types, _, accuracy = device_accuracies(result.arrow("evaluations"))
        if not types:
            raise EdgesimError(f"{name}: its model was not judged by type of device: set cameras")
        columns[name] = pd.Series(accuracy[-last:].mean(axis=0), pd.Index(types, name="type"))
    return pd.DataFrame(columns)


def switching(participants: pd.DataFrame) -> pd.DataFrame:
    """How often each switch was on, by type of device.

    Args:
        participants: a table ``participants``.

    Returns:
        By profile: ``participations``, ``switched`` (share that jittered or averaged: Switch 1),
        ``averaged`` (share, of those that count, whose update was the mean: Switch 2), ``initial_loss``
        (its mean).
    """
    rows = participants[["profile", "switched", "averaged", "initial_loss"]]
    shares = rows.set_index("profile").astype(float).groupby(level=0).mean()
    shares.insert(0, "participations", rows.profile.value_counts())
    return shares


def fairness(
    results: Mapping[str, Result], base: str, last: int = LAST_EVALUATIONS
) -> pd.DataFrame:
    """What each run made of the differences between types of device, beside one of them.

    Args:
        results: by name, each of one federated job, over the same rounds.
        base: the name of that to compare with.
        last: judgements that count.

    Returns:
        A row per result: ``mean``, ``worst`` and ``best`` accuracy over the types, per cent; ``variance``
        over the types (population, squared percentage points) and ``variance_but_one``, without the type
        that is farthest from the mean; ``mean_change``, ``worst_change``, ``variance_change``: relative
        to the base's, per cent; ``gain_worst``, ``gain_best``: of the types that are the base's worst and
        best, percentage points; ``gained``: how many types are better off; ``joules``, ``seconds``: more
        than the base's; ``joules_per_pp2``, ``seconds_per_pp2``: those for each point of variance removed
        (NaN where none was).

    A fall of the variance with ``gain_worst`` of at most 0 is levelling down: nobody is better served.

    Raises:
        EdgesimError: as :func:`device_table`, or if there is no result of that name.
    """
    if base not in results:
        raise EdgesimError(f"there is no result {base!r}; {did_you_mean(base, list(results))}")
    shares = device_table(results, last)
    table = {name: 100.0 * shares[name].to_numpy(float) for name in results}
    own, baseline = table[base], results[base].summary
    least, most = int(own.argmin()), int(own.argmax())
    rows = {}
    for name, found in table.items():
        summary = results[name].summary
        removed = float(own.var() - found.var())
        joules = summary["energy_ledger_j"] - baseline["energy_ledger_j"]
        seconds = summary["simulated_s"] - baseline["simulated_s"]
        rows[name] = {
            "mean": found.mean(),
            "worst": found.min(),
            "best": found.max(),
            "variance": found.var(),
            "variance_but_one": variance_but_one(found),
            "mean_change": 100.0 * (found.mean() / own.mean() - 1.0),
            "worst_change": 100.0 * (found.min() / own.min() - 1.0),
            "variance_change": 100.0 * (found.var() / own.var() - 1.0),
            "gain_worst": found[least] - own[least],
            "gain_best": found[most] - own[most],
            "gained": (found > own).sum(),
            "joules": joules,
            "seconds": seconds,
            "joules_per_pp2": joules / removed if removed > 0.0 else np.nan,
            "seconds_per_pp2": seconds / removed if removed > 0.0 else np.nan,
        }
    return pd.DataFrame(rows).T
