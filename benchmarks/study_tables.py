"""Tables of studies, as Markdown."""

from __future__ import annotations

import sys

import pandas as pd

__all__ = ["show"]


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
