"""What all plots share: colours, axes, and one result or several by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgesim.results.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "Results", "axes_or_new", "clean", "named"]

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")


Results = Result | Mapping[str, Result]


def named(results: Results) -> Mapping[str, Result]:
    """Results by name; one by that of its scenario."""
    return {results.name: results} if isinstance(results, Result) else results


def axes_or_new(ax: Axes | None, height: float) -> Axes:
    """The axes given, or those of a new figure so many inches high."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(7.0, height), layout="constrained")
    return ax


def clean(ax: Axes) -> Axes:
    """Without the frame's upper and right side."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax
