import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import edgesim.core.recorder as recorder_module
from edgesim.core.errors import EdgesimError
from edgesim.core.recorder import PART_ROWS, Recorder, Table, write_atomically, write_parquet
from edgesim.core.tables import TABLES
from edgesim.results.result import load_result

ALL = list(TABLES)


def table_of(recorder: Recorder, name: str = "states", **extra: str) -> Table:
    table = recorder.table(name, extra or None)
    assert table is not None
    return table


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def state(time_s: float, device: str = "pixel", value: float | None = 1.0) -> tuple[Any, ...]:
    return (time_s, device, "charge", value)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PART_ROWS", 4)


# --- which tables --------------------------------------------------------------------------------


def test_a_table_that_is_not_wanted_is_not_there() -> None:
    recorder = Recorder(None, ["requests"])
    assert recorder.table("states") is None
    assert recorder.table("requests") is not None
    assert list(recorder.finish()) == ["requests"]


def test_the_same_name_gives_the_same_table() -> None:
    recorder = Recorder(None, ALL)
    assert recorder.table("states") is recorder.table("states")


def test_an_unknown_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(EdgesimError, match=r"unknown tables \['requets'\]; known: .*'requests'"):
        Recorder(None, ["requets", "states"])


@pytest.mark.parametrize("spec", TABLES.values(), ids=list(TABLES))
def test_every_table_has_known_types_and_a_key_among_its_columns(spec: Any) -> None:
    assert set(spec.columns.values()) <= {"text", "real", "whole", "truth"}
    assert spec.key
    assert set(spec.key) <= set(spec.columns)


# --- rows ----------------------------------------------------------------------------------------


def test_rows_come_back_with_the_types_of_their_columns_and_their_nulls() -> None:
    recorder = Recorder(None, ALL)
    decisions = table_of(recorder, "decisions")
    decisions.add((1, "camera", "offloading", "cloud", "pixel", "x", None, False, "evaluation"))
    decisions.add((2.5, "camera", "offloading", "cloud", None, "y", 0.5, True, "evaluation"))
    table = recorder.finish()["decisions"]
    assert table.column_names == list(TABLES["decisions"].columns)
    types = {"text": pa.string(), "real": pa.float64(), "whole": pa.int64(), "truth": pa.bool_()}
    assert table.schema.types == [types[kind] for kind in TABLES["decisions"].columns.values()]
    assert table["time_s"].to_pylist() == [1.0, 2.5]
    assert table["reward"].to_pylist() == [None, 0.5]
    assert table["subject"].to_pylist() == ["pixel", None]
    assert table["explored"].to_pylist() == [False, True]


def test_an_empty_table_has_its_columns_all_the_same(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, ALL)
    table_of(recorder)
    recorder.finish()
    table = pq.read_table(tmp_path / "states.parquet")
    assert table.num_rows == 0
    assert table.column_names == list(TABLES["states"].columns)
    assert table.schema.types == [pa.float64(), pa.string(), pa.string(), pa.float64()]


def test_a_run_may_add_columns_of_its_own() -> None:
    recorder = Recorder(None, ALL)
    devices = table_of(recorder, "devices", busy_cpu_s="real")
    row = dict.fromkeys(TABLES["devices"].columns) | {"device": "pixel", "kind": "phone"}
    devices.add((*row.values(), 0.25))
    table = recorder.finish()["devices"]
    assert table.column_names == [*TABLES["devices"].columns, "busy_cpu_s"]
    assert table["busy_cpu_s"].to_pylist() == [0.25]


@pytest.mark.parametrize("row", [(1.0, "pixel", "charge"), (1.0, "pixel", "charge", 1.0, 2.0)])
def test_rows_of_the_wrong_width_are_refused(row: tuple[Any, ...]) -> None:
    recorder = Recorder(None, ALL)
    table_of(recorder).add(row)
    message = rf"table 'states' has 4 columns, a row has {len(row)}"
    with pytest.raises(EdgesimError, match=message):
        recorder.finish()


def test_one_row_of_the_wrong_width_among_others_is_refused() -> None:
    recorder = Recorder(None, ALL)
    table = table_of(recorder)
    table.add(state(1.0))
    table.add(state(2.0)[:3])
    with pytest.raises((EdgesimError, ValueError)):
        recorder.finish()


def test_rows_are_sorted_by_the_tables_key() -> None:
    recorder = Recorder(None, ALL)
    table_of(recorder).add_all(
        [
            (2.0, "b", "charge", 1.0),
            (1.0, "b", "charge", 2.0),
            (2.0, "a", "power_w", 3.0),
            (2.0, "a", "charge", 4.0),
            (1.0, "c", "charge", 5.0),
        ]
    )
    assert recorder.finish()["states"]["value"].to_pylist() == [2.0, 5.0, 4.0, 3.0, 1.0]


# --- parts ---------------------------------------------------------------------------------------


def test_a_part_holds_65536_rows() -> None:
    assert PART_ROWS == 65_536


def test_nothing_is_written_before_a_part_is_full(tmp_path: Path, small_parts: None) -> None:
    table = table_of(Recorder(tmp_path, ALL))
    table.add_all(state(float(i)) for i in range(3))
    assert files(tmp_path) == []
    table.add(state(3.0))
    assert files(tmp_path) == ["parts/states-000000.parquet"]
    assert pq.read_table(tmp_path / "parts" / "states-000000.parquet").num_rows == 4


def test_parts_are_merged_in_order_and_removed(tmp_path: Path, small_parts: None) -> None:
    recorder = Recorder(tmp_path, ALL)
    states, energy = table_of(recorder), table_of(recorder, "energy")
    states.add_all(state(float(i)) for i in reversed(range(10)))
    energy.add_all(("pixel", "wifi", "idle", f"job {i}", float(i)) for i in range(9))
    assert files(tmp_path) == [
        "parts/energy-000000.parquet",
        "parts/energy-000001.parquet",
        "parts/states-000000.parquet",
        "parts/states-000001.parquet",
    ]
    finished = recorder.finish()
    assert finished["states"]["time_s"].to_pylist() == [float(i) for i in range(10)]
    assert finished["energy"]["energy_j"].to_pylist() == [float(i) for i in range(9)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["energy.parquet", "states.parquet"]
    assert pq.read_table(tmp_path / "states.parquet").equals(finished["states"])


def test_a_table_that_ends_with_a_full_part_loses_and_repeats_nothing(
    tmp_path: Path, small_parts: None
) -> None:
    recorder = Recorder(tmp_path, ALL)
    table_of(recorder).add_all(state(float(i)) for i in range(8))
    assert recorder.finish()["states"]["time_s"].to_pylist() == [float(i) for i in range(8)]


def test_without_a_folder_everything_stays_in_memory(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorder = Recorder(None, ALL)
    table_of(recorder).add_all(state(float(i)) for i in reversed(range(10)))
    assert recorder.finish()["states"]["time_s"].to_pylist() == [float(i) for i in range(10)]
    assert files(tmp_path) == []


def test_parts_or_not_the_table_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [state(float(i % 7), f"phone {i % 5}", float(i)) for i in range(35)]
    finished = []
    for number, (part_rows, folder) in enumerate(
        [(65_536, None), (4, None), (4, tmp_path / "a"), (1, tmp_path / "b")]
    ):
        monkeypatch.setattr(recorder_module, "PART_ROWS", part_rows)
        if folder is not None:
            folder.mkdir()
        recorder = Recorder(folder, ALL)
        table_of(recorder).add_all(rows)
        finished.append(recorder.finish()["states"])
        assert finished[number].equals(finished[0])


def test_columns_that_are_null_throughout_one_part_merge_with_others(
    tmp_path: Path, small_parts: None
) -> None:
    recorder = Recorder(tmp_path, ALL)
    table_of(recorder).add_all(state(float(i), value=None if i < 4 else 2.0) for i in range(6))
    values = recorder.finish()["states"]["value"].to_pylist()
    assert values == [None, None, None, None, 2.0, 2.0]


# --- whatever ends the run -----------------------------------------------------------------------


def test_the_parts_of_a_killed_run_can_be_read(tmp_path: Path, small_parts: None) -> None:
    (tmp_path / "run.json").write_text(
        json.dumps({"scenario": {"name": "small"}, "status": "interrupted"})
    )
    table = table_of(Recorder(tmp_path, ALL))
    table.add_all(state(float(i)) for i in range(10))
    # Killed here: two rows were still in memory, and a third part half on disk.
    (tmp_path / "parts" / "states-000002.parquet.unfinished").write_bytes(b"PAR1 and no more")
    result = load_result(tmp_path)
    assert not result.is_complete
    assert result.tables == ["states"]
    assert result.states.time_s.tolist() == [float(i) for i in range(8)]
    assert result.summary == {}


def test_parquet_that_cannot_be_written_whole_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "states.parquet"
    write_parquet(pa.table({"a": [1]}), file)

    def half(table: pa.Table, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"PAR1")
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="no space"):
        write_parquet(pa.table({"a": [2]}), file)
    monkeypatch.undo()
    assert pq.read_table(file)["a"].to_pylist() == [1]


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_atomically(file, "é" * 1000)
    write_atomically(file, "short\n")
    assert file.read_text(encoding="utf-8") == "short\n"
    assert files(tmp_path) == ["run.json"]


def test_text_that_cannot_be_written_whole_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    write_atomically(file, "before\n")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "x" * 100_000 + "\ud800")
    assert file.read_text(encoding="utf-8") == "before\n"
