"""The recorder: append-only columns, written in atomic parts and merged at the end.

Rows are appended as tuples. Every 65,536 rows a part is written to ``parts/`` under a temporary
name and renamed, so that whatever ends the process, everything before the last part is there and
whole. :meth:`Recorder.finish` merges the parts, sorts them by the table's key and removes them.
Without a folder everything stays in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.core.errors import EdgesimError
from edgesim.core.tables import TABLES, TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PART_ROWS", "Recorder", "Table", "write_atomically"]

PART_ROWS = 65_536
"""Rows in a part."""


class Table:
    """One table being filled; made by :meth:`Recorder.table`."""

    __slots__ = ("_folder", "_memory", "_parts", "_rows", "extra", "spec")

    def __init__(self, spec: TableSpec, folder: Path | None, extra: Mapping[str, str]) -> None:
        self.spec = spec
        self.extra = extra
        self._folder = folder
        self._rows: list[tuple[Any, ...]] = []
        self._parts: list[Path] = []
        self._memory: list[pa.Table] = []

    def add(self, row: tuple[Any, ...]) -> None:
        """Append one row: a value per column, ``None`` for null."""
        rows = self._rows
        rows.append(row)
        if len(rows) >= PART_ROWS:
            self._write_part()

    def add_all(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Append rows."""
        for row in rows:
            self.add(row)

    def _write_part(self) -> None:
        part = self._to_arrow()
        self._rows.clear()
        if self._folder is None:
            self._memory.append(part)
            return
        path = self._folder / "parts" / f"{self.spec.name}-{len(self._parts):06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_parquet(part, path)
        self._parts.append(path)

    def _to_arrow(self) -> pa.Table:
        import pyarrow as pa

        types = {
            "text": pa.string(),
            "real": pa.float64(),
            "whole": pa.int64(),
            "truth": pa.bool_(),
        }
        columns = {**self.spec.columns, **self.extra}
        values = list(zip(*self._rows, strict=True)) if self._rows else [()] * len(columns)
        if len(values) != len(columns):
            raise EdgesimError(
                f"table {self.spec.name!r} has {len(columns)} columns, a row has {len(values)}"
            )
        return pa.table(
            {
                name: pa.array(value, types[kind])
                for (name, kind), value in zip(columns.items(), values, strict=True)
            }
        )

    def finish(self) -> pa.Table:
        """All rows, sorted by the key; written to its file if there is a folder."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        pieces = [pq.read_table(path) for path in self._parts]
        table = pa.concat_tables([*pieces, *self._memory, self._to_arrow()])
        table = table.sort_by([(name, "ascending") for name in self.spec.key]).combine_chunks()
        if self._folder is not None:
            write_parquet(table, self._folder / f"{self.spec.name}.parquet")
            for path in self._parts:
                path.unlink()
        return table


class Recorder:
    """The tables of one run.

    Args:
        folder: where they are written; ``None`` keeps them in memory.
        tables: which are wanted.

    Attributes:
        folder: likewise.

    Raises:
        EdgesimError: for an unknown table.
    """

    def __init__(self, folder: Path | None, tables: Iterable[str]) -> None:
        self.folder = self._folder = folder
        self._wanted = frozenset(tables)
        unknown = self._wanted - set(TABLES)
        if unknown:
            raise EdgesimError(f"unknown tables {sorted(unknown)}; known: {sorted(TABLES)}")
        self._tables: dict[str, Table] = {}

    def table(self, name: str, extra: Mapping[str, str] | None = None) -> Table | None:
        """The table called ``name``, or ``None`` if it is not wanted.

        Args:
            name: one of :data:`~edgesim.core.tables.TABLES`.
            extra: further columns, by type, that depend on the run.
        """
        if name not in self._wanted:
            return None
        if name not in self._tables:
            self._tables[name] = Table(TABLES[name], self._folder, extra or {})
        return self._tables[name]

    def finish(self) -> dict[str, pa.Table]:
        """Every table, merged, sorted and written."""
        finished = {name: table.finish() for name, table in sorted(self._tables.items())}
        if self._folder is not None:
            parts = self._folder / "parts"
            if parts.is_dir() and not any(parts.iterdir()):
                parts.rmdir()
        return finished


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table so that the file is there whole or not at all."""
    import pyarrow.parquet as pq

    unfinished = path.with_name(path.name + ".unfinished")
    pq.write_table(table, unfinished, compression="zstd")
    unfinished.replace(path)


def write_atomically(path: Path, text: str) -> None:
    """Write text so that the file is there whole or not at all."""
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
