"""A finished run in Python: its tables as DataFrames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim.core.errors import EdgesimError
from edgesim.core.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["Comparison", "Result", "load", "load_result"]


class Result:
    """What came of a run.

    Args:
        manifest: what ``run.json`` holds.
        summary: what ``summary.json`` holds.
        tables: the tables by name.
        folder: where it is written; ``None`` if it is only in memory.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        summary: Mapping[str, Any],
        tables: Mapping[str, pa.Table],
        folder: Path | None,
    ) -> None:
        self.manifest = manifest
        self.summary = summary
        self.folder = folder
        self._tables = tables

    @property
    def name(self) -> str:
        """The name of the scenario."""
        return str(self.manifest["scenario"]["name"])

    @property
    def is_complete(self) -> bool:
        """Whether the run came to its end; an interrupted one has what happened before."""
        return bool(self.manifest["status"] == "complete")

    @property
    def tables(self) -> list[str]:
        """The names of the tables that were recorded."""
        return sorted(self._tables)

    def arrow(self, name: str) -> pa.Table:
        """A table as :class:`pyarrow.Table`.

        Raises:
            EdgesimError: if it was not recorded.
        """
        if name not in self._tables:
            if name not in TABLES:
                hint = "no such table is known"
            elif self.is_complete:
                hint = "it was not recorded"
            else:
                hint = "it was not recorded, or lost when the run was cut short"
            raise EdgesimError(f"no table {name!r}: {hint}; recorded: {', '.join(self.tables)}")
        return self._tables[name]

    def table(self, name: str) -> pd.DataFrame:
        """A table as :class:`pandas.DataFrame`; columns and units are in :mod:`edgesim.core.tables`.

        Truth values are of pandas' ``boolean`` type, which knows missing ones.
        """
        import pandas as pd
        import pyarrow as pa

        nullable = {pa.bool_(): pd.BooleanDtype()}
        frame: pd.DataFrame = self.arrow(name).to_pandas(types_mapper=nullable.get)
        return frame

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row per request that arrived."""
        return self.table("requests")

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One row per decision."""
        return self.table("decisions")

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row per federated round."""
        return self.table("rounds")

    @cached_property
    def participants(self) -> pd.DataFrame:
        """One row per client in a round."""
        return self.table("participants")

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """One row per model and group of test samples."""
        return self.table("evaluations")

    @cached_property
    def energy(self) -> pd.DataFrame:
        """Joules by device, component, activity and job."""
        return self.table("energy")

    @cached_property
    def devices(self) -> pd.DataFrame:
        """One row per device."""
        return self.table("devices")

    @cached_property
    def states(self) -> pd.DataFrame:
        """Changes of the recorded quantities."""
        return self.table("states")

    def __repr__(self) -> str:
        where = f", folder={str(self.folder)!r}" if self.folder else ""
        return f"<Result of {self.name!r}, {self.manifest['status']}{where}>"


class Comparison(Mapping[str, Result]):
    """One result per controller, on the same world.

    Args:
        slot: the slot in which they sat.
        results: by the controller's name.
    """

    def __init__(self, slot: str, results: Mapping[str, Result]) -> None:
        self.slot = slot
        self._results = dict(results)

    def __getitem__(self, name: str) -> Result:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"<Comparison of {self.slot}: {', '.join(self._results)}>"

    def summary(self) -> pd.DataFrame:
        """One row per controller, one column per key of the summaries."""
        import pandas as pd

        rows = {name: result.summary for name, result in self._results.items()}
        frame = pd.DataFrame.from_dict(rows, orient="index")
        frame.index.name = self.slot
        return frame


def load(folder: str | Path) -> Result | Comparison:
    """Open the folder of an earlier run, or of a comparison.

    Raises:
        EdgesimError: if it is neither, or damaged.
    """
    cells = sorted(path for path in Path(folder).glob("cells/*=*") if path.is_dir())
    if not cells:
        return load_result(folder)
    slot = cells[0].name.partition("=")[0]
    results = {path.name.partition("=")[2]: load_result(path) for path in cells}
    first = next(iter(results.values()))
    order = first.manifest["scenario"]["compare"].get(slot, sorted(results))
    return Comparison(slot, {name: results[name] for name in order if name in results})


def load_result(folder: str | Path) -> Result:
    """Open the folder of an earlier run.

    Raises:
        EdgesimError: if it is not the folder of a run, or damaged.
    """
    folder = Path(folder)
    manifest = _read_json(folder / "run.json")
    summary_file = folder / "summary.json"
    summary = _read_json(summary_file) if summary_file.exists() else {}
    return Result(manifest, summary, _read_tables(folder), folder)


def _read_tables(folder: Path) -> dict[str, pa.Table]:
    """Whole tables, or the parts that were written before the run was killed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = {}
    for name in TABLES:
        whole = folder / f"{name}.parquet"
        parts = sorted((folder / "parts").glob(f"{name}-*.parquet"))
        files = [whole] if whole.exists() else parts
        try:
            pieces = [pq.read_table(file) for file in files]
        except (pa.ArrowException, OSError) as error:
            raise EdgesimError(f"{folder}: table {name!r} is damaged: {error}") from None
        if pieces:
            tables[name] = pa.concat_tables(pieces)
    return tables


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise EdgesimError(
            f"{file.parent} is not the folder of a run: {file.name}: {error.strerror}"
        ) from None
    except ValueError as error:
        raise EdgesimError(f"{file}: damaged: {error}") from None
    if not isinstance(data, dict):
        raise EdgesimError(f"{file}: damaged: not a JSON object")
    return data
