"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

__all__ = ["plain_table"]


def plain_table(title: str, columns: Sequence[str]) -> Table:
    """A table whose first column gives way if the terminal is narrow; numbers are never cut."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("", overflow="fold")
    for column in columns:
        width = max(9 if "," in column else 6, *(len(line) for line in column.splitlines()))
        table.add_column(column, justify="right", no_wrap=True, min_width=width)
    return table
