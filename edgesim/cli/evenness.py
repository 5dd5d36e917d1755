"""How evenly a federated job serves types of device: bars, and what became of the variance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgesim.cli.tables import plain_table
from edgesim.results.result import Result
from edgesim.results.summary import LAST_EVALUATIONS, device_accuracies

__all__ = ["print_evenness"]

_Judged = Mapping[str, tuple[list[str], NDArray[np.int64], NDArray[np.float64]]]
"""By result: types of device, rounds, and accuracies; see ``device_accuracies``."""

_BAR = 12
_MOST_BARS = 4
_SPARK = 12
_LEGEND = (
    "accuracy: mean over the last four judgements; variance: over the types, squared percentage points; "
    "but one: without the type farthest from the mean; switched, averaged: share of participations"
)


def print_evenness(
    console: Console, results: Mapping[str, Result], job: str, prefix: str = ""
) -> None:
    """Accuracy by type of device, and its variance; nothing where no model is judged by type.

    Args:
        console: where.
        results: by name.
        job: which of their federated jobs.
        prefix: of its keys in summaries.
    """
    judged = {
        name: device_accuracies(_of_job(result.arrow("evaluations"), job))
        for name, result in results.items()
        if "evaluations" in result.tables
    }
    judged = {name: found for name, found in judged.items() if found[0]}
    if judged:
        console.print(_by_device(judged))
        console.print(_evenness(judged, results, prefix))
        console.print(f"[dim]{_LEGEND}[/dim]\n")


def _by_device(judged: _Judged) -> Table:
    """Bars: accuracy on each type of device."""
    last = {name: found[2][-LAST_EVALUATIONS:].mean(axis=0) for name, found in judged.items()}
    highest = max(float(means.max()) for means in last.values()) or 1.0
    table = plain_table(
        "Accuracy by type of device, %", [escape(name.partition("=")[2] or name) for name in judged]
    )
    types = list(dict.fromkeys(each for found in judged.values() for each in found[0]))
    for each in types:
        cells = []
        for name, (own, _, _) in judged.items():
            if each not in own:
                cells.append("-")
                continue
            value = float(last[name][own.index(each)])
            bar = "█" * round(_BAR * value / highest)
            number = f"{100 * value:.1f}"
            cells.append(f"{number} {bar:<{_BAR}}" if len(judged) <= _MOST_BARS else number)
        table.add_row(escape(each), *cells)
    return table


# Title of a column, key of the summary, factor.
_COLUMNS = (
    ("mean\n%", "device_accuracy_mean", 100.0),
    ("worst\n%", "device_accuracy_worst", 100.0),
    ("variance\n", "device_accuracy_variance_pp2", 1.0),
    ("but one\n", "device_accuracy_variance_but_one_pp2", 1.0),
    ("switched\n%", "switched_ratio", 100.0),
    ("averaged\n%", "averaged_ratio", 100.0),
)


def _evenness(judged: _Judged, results: Mapping[str, Result], prefix: str) -> Table:
    """How evenly types of device are served, and how that came about."""
    columns = [
        (title, prefix + key, factor)
        for title, key, factor in _COLUMNS
        if any(results[name].summary.get(prefix + key) is not None for name in judged)
    ]
    titles = [*(title for title, _, _ in columns), "variance\nover rounds"]
    table = plain_table("Evenness", titles)
    peak = max(float(np.var(100 * found[2], axis=1).max()) for found in judged.values())
    for name, (_, _, accuracy) in judged.items():
        values = [(results[name].summary.get(key), factor) for _, key, factor in columns]
        cells = ["-" if value is None else f"{value * factor:.1f}" for value, factor in values]
        table.add_row(escape(name), *cells, _sparkline(np.var(100 * accuracy, axis=1), peak))
    return table


def _sparkline(values: NDArray[np.float64], peak: float) -> str:
    """Means of so many stretches as characters of growing height."""
    stretches = np.array_split(values, min(_SPARK, len(values)))
    heights = [float(each.mean()) / peak if peak else 0.0 for each in stretches]
    return "".join("▁▂▃▄▅▆▇█"[min(int(8 * height), 7)] for height in heights)


def _of_job(rows: Any, job: str) -> Any:
    import pyarrow.compute as pc

    return rows.filter(pc.equal(rows["job"], job))
