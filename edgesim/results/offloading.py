"""How well requests were placed: paired energies, three averages of ratios, ceilings of tables.

Everything here works on the tables of finished runs, as DataFrames.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["Means", "agrees", "ceiling", "means_of_ratios", "paired", "regret"]

KEY = ("job", "device", "time_s")
"""What makes a request the same one under every controller."""


class Means(NamedTuple):
    """Three averages of the same ratios; they may differ by an order of magnitude.

    Attributes:
        arithmetic: of the ratios: led by the few largest.
        geometric: of the ratios: each counts alike.
        of_sums: ratio of the sums: led by whoever spends most.
    """

    arithmetic: float
    geometric: float
    of_sums: float


def means_of_ratios(base_j: pd.Series, other_j: pd.Series) -> Means:
    """The averages of ``base_j / other_j``: how many times less energy the other one needs.

    Args:
        base_j: joules of some things, all above 0.
        other_j: joules of the same things, in the same order.
    """
    ratios = base_j.to_numpy() / other_j.to_numpy()
    return Means(
        float(np.mean(ratios)),
        float(np.exp(np.mean(np.log(ratios)))),
        float(base_j.sum() / other_j.sum()),
    )


def paired(
    base: pd.DataFrame, other: pd.DataFrame, by: Sequence[str] = (*KEY, "model")
) -> pd.DataFrame:
    """Requests of two runs of one world side by side: those in phase ``evaluation`` that both did.

    Args:
        base: a table ``requests``, with any further columns of ``by``.
        other: another one.
        by: what makes a request the same.

    Returns:
        Columns of ``by``, and ``energy_j``, ``latency_s``, ``deadline_met`` of each, with the endings
        ``_base`` and ``_other``; requests that failed or were cut off in either run are left out.
    """
    columns = [*by, "energy_j", "latency_s", "deadline_met"]
    done = [
        frame.loc[(frame.phase == "evaluation") & (frame.status == "done"), columns]
        for frame in (base, other)
    ]
    return done[0].merge(done[1], on=list(by), suffixes=("_base", "_other"), validate="1:1")


def agrees(requests: pd.DataFrame, tolerance: float = 0.05) -> pd.Series:
    """Whether each request ran as well as where the oracle would have sent it, as foreseen.

    Args:
        requests: a table ``requests`` of a run with ``check.oracle``.
        tolerance: more energy than this share is not as well; nor is late, if it need not have been.
    """
    deadline_s = requests.deadline_s.fillna(np.inf)
    in_time = requests.forecast_latency_s.fillna(np.inf) <= deadline_s
    could = requests.oracle_latency_s.fillna(np.inf) <= deadline_s
    near = requests.forecast_energy_j.fillna(np.inf) <= (1 + tolerance) * requests.oracle_energy_j
    return (in_time == could) & near


def regret(requests: pd.DataFrame) -> pd.Series:
    """Energy of each request's target over that of the oracle's, as foreseen; infinite if hopeless."""
    return requests.forecast_energy_j.fillna(np.inf) / requests.oracle_energy_j


def ceiling(
    requests: pd.DataFrame,
    forecasts: pd.DataFrame,
    states: Sequence[Hashable],
    tolerance: float = 0.05,
) -> pd.Series:
    """Whether the best table over these states would have done as well as the oracle.

    A table has one target per phone and state. The best one, found in hindsight, has the target that
    does as well as the oracle (see :func:`agrees`) most often in that state.

    Args:
        requests: a table ``requests`` of a run with ``record.forecasts``.
        forecasts: its table ``forecasts``.
        states: of each of the requests, its state.
        tolerance: as for :func:`agrees`.

    Returns:
        One truth value per request.
    """
    asked = requests.assign(
        state=pd.Series(states, index=requests.index), row=np.arange(len(requests))
    )
    keys = [*KEY, "state", "row", "deadline_s", "accuracy_min"]
    wide = forecasts.merge(
        asked[[*keys, "oracle_energy_j", "oracle_latency_s"]], on=list(KEY), validate="m:1"
    )
    deadline_s = wide.deadline_s.fillna(np.inf)
    in_time = wide.latency_s.fillna(np.inf) <= deadline_s
    could = wide.oracle_latency_s.fillna(np.inf) <= deadline_s
    near = wide.energy_j.fillna(np.inf) <= (1 + tolerance) * wide.oracle_energy_j
    wide["does"] = (in_time == could) & near & (wide.accuracy >= wide.accuracy_min.fillna(0.0))
    often = wide.groupby(["device", "state", "target"], sort=True).does.sum()
    best = often.groupby(level=["device", "state"]).idxmax()
    chosen = pd.DataFrame(best.tolist(), columns=["device", "state", "target"])
    hits = wide.merge(chosen, on=["device", "state", "target"])
    does = hits.set_index("row").does
    return pd.Series(
        does.reindex(range(len(requests)), fill_value=False).to_numpy(), index=requests.index
    )
