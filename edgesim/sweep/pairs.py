"""Paired comparison under common random numbers.

Two runs with one seed have the same arrivals, signals and devices, so that their difference is the
controller's (or the key's) alone. What is independent is one seed of another: differences are averaged
within each seed first, and the interval is Student's over the seeds.

Reference: Law, Simulation Modeling and Analysis, 5th ed., 2015, sections 10.2.1 (paired-t confidence
intervals) and 11.2 (common random numbers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan, sqrt
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["ALL", "compare_pairs", "interval"]

ALL = "all"
"""Stands in a column of a further dimension for all of its points together."""

CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of independent values and the ends of its 95 % interval; NaN for the ends of one value."""
    from scipy.stats import t

    data = np.asarray(values, float)
    mean, n = float(data.mean()), len(data)
    if n < 2:
        return mean, nan, nan
    half = float(t.ppf(0.5 + CONFIDENCE / 2, n - 1) * data.std(ddof=1) / sqrt(n))
    return mean, mean - half, mean + half


def compare_pairs(
    cells: pd.DataFrame, dimensions: Mapping[str, Sequence[str]], quantities: Sequence[str]
) -> pd.DataFrame:
    """Differences from the first value of the first dimension, within pairs that agree in all else.

    Args:
        cells: one row per cell: a column per dimension, ``seed``, ``status`` and the quantities.
        dimensions: values by name, in order.
        quantities: numeric columns to compare.

    Returns:
        One row per quantity, other value, and point of each further dimension (or :data:`ALL`):
        ``pairs`` and ``seeds`` that count; ``base`` and ``mean``, averages of both; ``difference``
        (the value minus the base) with its 95 % interval ``difference_low``, ``difference_high``; and,
        where all values are above 0, ``ratio``: the geometric mean of base / value, how many times
        less it is, with ``ratio_low`` and ``ratio_high``.
    """
    (first, values), *further = dimensions.items() or [("", ())]
    columns = [name for name, _ in further]
    done = cells[cells.status == "complete"]
    base = done[done[first] == values[0]] if values else done
    rows: list[dict[str, Any]] = []
    for value in values[1:]:
        both = base.merge(
            done[done[first] == value], on=[*columns, "seed"], suffixes=("", " of other")
        )
        groups = [dict.fromkeys(columns, ALL)]
        groups += [{**groups[0], name: point} for name, points in further for point in points]
        for quantity in quantities:
            pairs = both.dropna(subset=[quantity, f"{quantity} of other"])
            for group in groups:
                chosen = pairs
                for name, point in group.items():
                    if point != ALL:
                        chosen = chosen[chosen[name] == point]
                if len(chosen):
                    row = {"quantity": quantity, first: value, **group}
                    rows.append(row | _compare(chosen, quantity))
    named = ["quantity", first, *columns]
    return pd.DataFrame(rows, columns=[*named, *_COLUMNS])


_COLUMNS = (
    "pairs",
    "seeds",
    "base",
    "mean",
    "difference",
    "difference_low",
    "difference_high",
    "ratio",
    "ratio_low",
    "ratio_high",
)


def _compare(pairs: pd.DataFrame, quantity: str) -> dict[str, Any]:
    before = pairs[quantity].astype(float)
    after = pairs[f"{quantity} of other"].astype(float)
    seeds = pairs["seed"]
    difference = (after - before).groupby(seeds).mean()
    row: dict[str, Any] = {
        "pairs": len(pairs),
        "seeds": len(difference),
        "base": float(before.mean()),
        "mean": float(after.mean()),
    }
    found = interval(difference.tolist())
    row |= dict(zip(("difference", "difference_low", "difference_high"), found, strict=True))
    ratio = (nan, nan, nan)
    if (before > 0).all() and (after > 0).all():
        ratios = pd.Series(np.log(before.to_numpy() / after.to_numpy()), before.index)
        logs = ratios.groupby(seeds).mean()
        low, middle, high = np.exp(interval(logs.tolist()))[[1, 0, 2]]
        ratio = (float(middle), float(low), float(high))
    row |= dict(zip(("ratio", "ratio_low", "ratio_high"), ratio, strict=True))
    return row
