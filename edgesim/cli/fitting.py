"""``edgesim fit-curve``: a learning curve from recorded runs, and how far it is off."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path

from edgesim.cli.showing import console
from edgesim.cli.tables import plain_table
from edgesim.core.errors import EdgesimError
from edgesim.scenario.curve_files import curve_of_runs, write_curve

__all__ = ["fit"]


def fit(folders: Sequence[Path], out: Path, job: str | None) -> None:
    """Fit a curve, write it, and print what it says.

    Raises:
        EdgesimError: if the file is there already, or nothing can be fitted.
    """
    if out.exists():
        raise EdgesimError(f"{out} is there already; choose another file with --out")
    curve, about = curve_of_runs(_runs(folders), job)
    write_curve(out, curve, about)
    screen = console()
    table = plain_table(f"{about['dataset']}, {about['model']}", ["effect", "from", "to"])
    for name, effect in curve.effects.items():
        least, most = curve.fit.ranges[name]
        shown = "held" if name in curve.fit.held else f"{effect:.3f}"
        table.add_row(name, shown, f"{least:g}", f"{most:g}")
    screen.print(table)
    left_out = curve.fit.left_out_rmse
    apart = "" if isnan(left_out) else f", {100 * left_out:.1f} points for runs left out"
    screen.print(
        f"accuracy from {curve.start:.3f} to {curve.limit:.3f}; {curve.fit.rounds} rounds of "
        f"{curve.fit.runs} runs; off by {100 * curve.fit.rmse:.1f} points (RMS){apart}",
        markup=False,
        soft_wrap=True,
    )
    screen.print(f"written to {out}", markup=False, soft_wrap=True)


def _runs(folders: Sequence[Path]) -> list[Path]:
    """The runs in these folders: themselves, or the cells of comparisons and sweeps."""
    found: list[Path] = []
    for folder in folders:
        cells = sorted(path.parent for path in folder.glob("cells/*/run.json"))
        found += cells or [folder]
    return found
