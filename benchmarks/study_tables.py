"""What studies share: their cases, and their tables as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from edgesim.scenario.load import axes
from edgesim.scenario.matrix import cases

__all__ = ["conditions", "name_of", "show"]


def show(title: str, frame: pd.DataFrame, digits: int = 2) -> None:
    """Print a table as Markdown."""
    print(f"\n### {title}\n")
    shown = frame.reset_index() if frame.index.names != [None] else frame
    print("| " + " | ".join(str(c) for c in shown.columns) + " |")
    print("|" + "---|" * len(shown.columns))
    for row in shown.itertuples(index=False):
        cells = (f"{v:.{digits}f}" if isinstance(v, float) else str(v) for v in row)
        print("| " + " | ".join(cells) + " |")
    sys.stdout.flush()


def name_of(scenario: str, case: Mapping[str, str]) -> str:
    """A case in words: the points that are not the first of their axis, but for the workload."""
    points = axes(scenario)
    other = [p for axis, p in case.items() if axis != "workload" and p != points[axis][0]]
    return ", ".join(other) or "default"


def conditions(scenario: str, workload: str, only: Sequence[str] = ()) -> Iterable[dict[str, str]]:
    """Every point of each axis in turn, of a workload; if ``only`` names some, these."""
    points = {axis: names for axis, names in axes(scenario).items() if axis != "workload"}
    for case in cases(points):
        full = {"workload": workload, **case}
        if not only or name_of(scenario, full) in only:
            yield full
