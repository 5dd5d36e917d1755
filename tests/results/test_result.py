import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import edgesim
from edgesim.core.errors import ConfigError, EdgesimError
from edgesim.core.tables import TABLES
from edgesim.results.audit import audit
from edgesim.results.result import Comparison, Result, load, load_result
from edgesim.scenario.run import compare, run
from edgesim.scenario.world import World

FEDERATED = ("evaluations", "participants", "rounds")
SHORT: dict[str, Any] = {"duration_s": 20}


def made_up(name: str = "small", status: str = "complete", **summary: Any) -> Result:
    manifest = {"scenario": {"name": name, "jobs": {}}, "status": status}
    tables = {"energy": pa.table({"device": ["pixel"], "energy_j": [1.5]})}
    return Result(manifest, summary, tables, None)


# --- a result ------------------------------------------------------------------------------------


def test_a_result_gives_its_tables_as_frames() -> None:
    result = made_up()
    assert result.tables == ["energy"]
    assert isinstance(result.energy, pd.DataFrame)
    assert result.energy.energy_j.tolist() == [1.5]
    assert result.energy is result.energy
    assert result.arrow("energy").num_rows == 1


@pytest.mark.parametrize("name", ["requests", "decisions", "devices", "states"])
def test_a_table_that_was_not_recorded_is_refused_with_those_that_were(name: str) -> None:
    with pytest.raises(EdgesimError) as caught:
        getattr(made_up(), name)
    assert str(caught.value) == f"no table {name!r}: it was not recorded; recorded: energy"


def test_a_table_that_nobody_knows_is_refused() -> None:
    with pytest.raises(EdgesimError, match="no table 'requets': no such table is known"):
        made_up().table("requets")


@pytest.mark.parametrize(("status", "is_complete"), [("complete", True), ("interrupted", False)])
def test_a_result_knows_whether_it_is_complete(status: str, is_complete: bool) -> None:
    assert made_up(status=status).is_complete is is_complete


def test_a_result_shows_its_name_its_status_and_its_folder(tmp_path: Path) -> None:
    assert repr(made_up()) == "<Result of 'small', complete>"
    result = run("quickstart", controllers={"offloading": "cloud"}, overrides=SHORT, out=tmp_path)
    assert repr(result) == f"<Result of 'quickstart', complete, folder={str(tmp_path)!r}>"


# --- a run in memory and on disk -----------------------------------------------------------------


def test_a_run_without_a_folder_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("quickstart", controllers={"offloading": "cloud"}, overrides=SHORT)
    assert result.folder is None
    assert list(tmp_path.iterdir()) == []
    assert result.tables == sorted(set(TABLES) - {"forecasts", *FEDERATED})


def test_what_a_run_returns_can_be_opened_again(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run("quickstart", controllers={"offloading": "random"}, overrides=SHORT, out=out)
    opened = load_result(out)
    assert opened.folder == out
    assert opened.name == result.name == "quickstart"
    assert opened.is_complete
    assert opened.summary == result.summary
    assert opened.manifest == json.loads(json.dumps(result.manifest))
    assert opened.tables == result.tables
    for name in result.tables:
        assert opened.arrow(name).equals(result.arrow(name))


def test_a_run_in_memory_and_one_in_a_folder_give_the_same(tmp_path: Path) -> None:
    chosen = {"offloading": "oracle"}
    in_memory = run("quickstart", controllers=chosen, overrides=SHORT)
    on_disk = run("quickstart", controllers=chosen, overrides=SHORT, out=tmp_path)
    assert in_memory.summary == on_disk.summary
    for name in in_memory.tables:
        assert in_memory.arrow(name).equals(on_disk.arrow(name))


def test_tables_have_the_promised_columns_and_are_sorted_by_their_keys() -> None:
    every_table = {**SHORT, "record.forecasts": True}
    result = run("quickstart", controllers={"offloading": "cloud"}, overrides=every_table)
    for name, spec in TABLES.items():
        if name in FEDERATED:
            continue
        frame = result.table(name)
        assert list(frame.columns[: len(spec.columns)]) == list(spec.columns)
        key = list(spec.key)
        assert frame[key].equals(frame[key].sort_values(key, ignore_index=True))
    more = list(result.devices.columns[len(TABLES["devices"].columns) :])
    assert more
    assert all(column.startswith("busy_") and column.endswith("_s") for column in more)


def test_the_manifest_holds_what_is_needed_to_repeat_the_run() -> None:
    overrides = {**SHORT, "phones.mi_8_pro.charge": 0.5}
    result = run("quickstart", controllers={"camera.offloading": "cloud", "offloading": "oracle"},
                 seed=7, overrides=overrides)  # fmt: skip
    manifest = result.manifest
    assert manifest["seed"] == manifest["scenario"]["seed"] == 7
    assert manifest["scenario"]["duration_s"] == 20
    assert manifest["scenario"]["phones"]["mi_8_pro"]["charge"] == 0.5
    assert manifest["controllers"]["camera"] == {"offloading": "cloud"}
    assert manifest["controllers"]["assistant"] == {"offloading": "oracle"}
    assert manifest["versions"]["edgesim"] == edgesim.__version__
    used = {"mi_8_pro", "snapdragon_845", "xeon_e5_2640_p100"}
    assert used <= set(manifest["profile_sha256"])
    assert all(len(digest) == 64 for digest in manifest["profile_sha256"].values())


def test_what_is_recorded_can_be_chosen_and_changes_no_result() -> None:
    chosen = {"offloading": "cloud"}
    everything = run("quickstart", controllers=chosen, overrides=SHORT)
    little = {**SHORT, "record.states": None, "record.decisions": False}
    result = run("quickstart", controllers=chosen, overrides=little)
    assert result.tables == ["devices", "energy", "requests"]
    assert result.summary == everything.summary
    assert result.requests.equals(everything.requests)


def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(EdgesimError, match="in use already"):
        run("quickstart", controllers={"offloading": "cloud"}, overrides=SHORT, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_can_be_used(tmp_path: Path) -> None:
    run("quickstart", controllers={"offloading": "cloud"}, overrides=SHORT, out=tmp_path)
    assert (tmp_path / "run.json").is_file()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgesimError, match="cannot be made"):
        run("quickstart", controllers={"offloading": "cloud"}, out=tmp_path / "file" / "run")


def test_a_scenario_that_only_compares_cannot_be_run_without_a_choice() -> None:
    with pytest.raises(ConfigError, match="nobody decides for job"):
        run("quickstart", overrides=SHORT)


# --- opening what is not in order ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not the folder of a run: run.json: No such file"),
        ("{", "run.json: damaged"),
        ("[]", "run.json: damaged: not a JSON object"),
    ],
)
def test_a_folder_that_holds_no_run_is_refused(
    content: str | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(EdgesimError, match=message):
        load_result(tmp_path)


def test_the_folder_of_a_comparison_is_not_taken_for_a_run(tmp_path: Path) -> None:
    overrides = {**SHORT, "compare.offloading": ["cloud"]}
    compare("quickstart", overrides=overrides, out=tmp_path)
    with pytest.raises(EdgesimError, match="is not the folder of a run"):
        load_result(tmp_path)
    assert load_result(tmp_path / "cells" / "offloading=cloud").is_complete


def test_a_damaged_table_is_refused_by_its_name(tmp_path: Path) -> None:
    run("quickstart", controllers={"offloading": "cloud"}, overrides=SHORT, out=tmp_path)
    (tmp_path / "requests.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(EdgesimError, match=r"requests\.parquet"):
        load_result(tmp_path)


# --- interruption --------------------------------------------------------------------------------


def interrupt_after(share: float) -> Any:
    def progress(done: float) -> None:
        if done >= share:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_run_keeps_what_happened_before(tmp_path: Path) -> None:
    chosen = {"offloading": "cloud"}
    whole = run("quickstart", controllers=chosen, overrides=SHORT)
    result = run(
        "quickstart",
        controllers=chosen,
        overrides=SHORT,
        out=tmp_path,
        progress=interrupt_after(0.5),
    )
    assert result.manifest["status"] == "interrupted"
    assert result.summary["simulated_s"] == 10.0
    opened = load_result(tmp_path)
    assert not opened.is_complete
    assert opened.tables == sorted(set(TABLES) - {"forecasts", *FEDERATED})
    assert not (tmp_path / "parts").exists()
    arrived = whole.requests[whole.requests.time_s < 10.0]
    assert opened.requests.time_s.tolist() == arrived.time_s.tolist()
    # All but those whose radio tail the interruption has cut short.
    finished = (opened.requests.status == "done") & (opened.requests.time_s < 9.5)
    assert finished.sum() > 10
    assert opened.requests[finished].equals(arrived.reset_index(drop=True)[finished])


@pytest.mark.parametrize("calls", range(500, 12_000, 719))
def test_ctrl_c_at_any_moment_leaves_books_that_balance(
    calls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may come in the middle of anything, not only between two events."""
    made = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal made
        if event == "call" and "edgesim" in frame.f_code.co_filename:
            made += 1
            if made == calls:
                signal.raise_signal(signal.SIGINT)

    simulate = World.run

    def watched(self: World, progress: Any = None) -> None:
        sys.setprofile(count)
        try:
            simulate(self, progress)
        finally:
            sys.setprofile(None)

    monkeypatch.setattr(World, "run", watched)
    result = run(
        "quickstart",
        controllers={"offloading": "random"},
        overrides={"duration_s": 200},
        out=tmp_path,
    )
    assert made >= calls
    assert result.manifest["status"] == "interrupted"
    assert 0 < result.summary["simulated_s"] < 200
    assert len(list(audit(load_result(tmp_path)))) == 4


def test_an_interrupted_comparison_ends_with_the_run_that_was_interrupted() -> None:
    def progress(name: str, done: float) -> None:
        if name == "random" and done >= 0.5:
            raise KeyboardInterrupt

    overrides = {**SHORT, "compare.offloading": ["cloud", "random", "oracle"]}
    results = compare("quickstart", overrides=overrides, progress=progress)
    assert list(results) == ["cloud", "random"]
    assert [result.is_complete for result in results.values()] == [True, False]


# --- a comparison --------------------------------------------------------------------------------


def test_a_comparison_is_a_mapping_in_the_order_of_its_scenario() -> None:
    one, two = made_up("b", energy_j=1.0), made_up("a", energy_j=2.0, requests=3)
    comparison = Comparison("offloading", {"random": one, "cloud": two})
    assert list(comparison) == ["random", "cloud"]
    assert len(comparison) == 2
    assert comparison["cloud"] is two
    assert "oracle" not in comparison
    with pytest.raises(KeyError):
        comparison["oracle"]


def test_the_summary_of_a_comparison_has_a_row_per_controller() -> None:
    comparison = Comparison(
        "offloading", {"random": made_up(energy_j=1.0), "cloud": made_up(energy_j=2.0, late=3)}
    )
    frame = comparison.summary()
    assert frame.index.name == "offloading"
    assert frame.index.tolist() == ["random", "cloud"]
    assert frame.energy_j.tolist() == [1.0, 2.0]
    assert frame.late.isna().tolist() == [True, False]


def test_a_comparison_puts_its_controller_into_every_job_even_one_with_its_own() -> None:
    overrides = {
        **SHORT,
        "compare.offloading": ["edge_cpu", "cloud"],
        "jobs.camera.controllers.offloading": "random",
    }
    for name, result in compare("quickstart", overrides=overrides).items():
        assert {slots["offloading"] for slots in result.manifest["controllers"].values()} == {name}
        assert set(result.decisions.controller) == {name}


def test_a_scenario_with_nothing_to_compare_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no 'compare' to run"):
        compare("quickstart", overrides={"compare": {}, "controllers.offloading": "cloud"})


# --- the public names ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", edgesim.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(edgesim, name) is not None
    assert name in dir(edgesim)


def test_a_name_that_is_not_public_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="module 'edgesim' has no attribute 'runn'"):
        edgesim.runn  # noqa: B018


def test_the_folder_of_a_comparison_opens_as_one_in_the_order_of_the_scenario(
    tmp_path: Path,
) -> None:
    names = ["random", "cloud", "edge_cpu"]
    made = compare(
        "quickstart", overrides={**SHORT, "compare.offloading": names}, out=tmp_path / "out"
    )
    opened = load(tmp_path / "out")
    assert isinstance(opened, Comparison)
    assert (opened.slot, list(opened)) == ("offloading", names)
    assert opened.summary().equals(made.summary())
    assert isinstance(load(tmp_path / "out" / "cells" / "offloading=cloud"), Result)


def test_truth_values_can_be_negated_though_some_are_missing() -> None:
    rows = run("quickstart", controllers={"offloading": "cloud"}, overrides=SHORT).requests
    late = ~rows.deadline_met
    assert 0 < late.mean() < 1
