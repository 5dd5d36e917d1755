from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import edgesim.sweep.run as run_module
from edgesim.core.errors import ConfigError, EdgesimError
from edgesim.scenario.load import find_scenario
from edgesim.sweep import load_sweep, sweep

VARY = {"offloading": ["edge_best", "cloud"]}
SHORT = {"duration_s": 20}


def tables(folder: Path) -> dict[str, str]:
    files = [*folder.rglob("*.parquet"), *folder.rglob("*.csv"), *folder.rglob("summary.json")]
    return {str(f.relative_to(folder)): sha256(f.read_bytes()).hexdigest() for f in files}


def quick(out: Path, **more: Any) -> run_module.SweepResult:
    settings: dict[str, Any] = {"overrides": SHORT, "engine": "sequential"} | more
    return sweep("quickstart", settings.pop("vary", VARY), [0, 1], out=out, **settings)


def test_the_tables_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    one = quick(tmp_path / "one")
    two = quick(tmp_path / "two", engine="loky", jobs=2)
    quick(tmp_path / "three", engine="threading", jobs=2)
    assert one.is_complete
    assert two.frame.offloading.tolist() == ["edge_best"] * 2 + ["cloud"] * 2
    assert tables(tmp_path / "one") == tables(tmp_path / "two") == tables(tmp_path / "three")


def test_what_is_written_can_be_read_again(tmp_path: Path) -> None:
    done = quick(tmp_path)
    again = load_sweep(tmp_path)
    pd.testing.assert_frame_equal(done.frame, again.frame, check_dtype=False)
    pd.testing.assert_frame_equal(done.pairs, again.pairs, check_dtype=False)
    assert again.dimensions == {"offloading": ("edge_best", "cloud")}
    requests = again.table("requests")
    assert set(requests.offloading) == {"edge_best", "cloud"}
    assert set(requests.seed) == {0, 1}
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary.columns[:4].tolist() == ["offloading", "seed", "status", "error"]
    assert summary.energy_per_request_j.tolist() == done.frame.energy_per_request_j.tolist()


def test_a_finished_cell_is_not_run_again(tmp_path: Path) -> None:
    quick(tmp_path)
    before = {f: f.stat().st_mtime_ns for f in tmp_path.glob("cells/*/run.json")}
    more = quick(tmp_path, vary={"offloading": ["edge_best", "cloud", "edge_cpu"]})
    assert more.found == 4
    assert len(more.frame) == 6
    assert all(f.stat().st_mtime_ns == ns for f, ns in before.items())


def test_a_cell_of_another_scenario_is_run_again(tmp_path: Path) -> None:
    quick(tmp_path)
    longer = quick(tmp_path, overrides={"duration_s": 25})
    assert longer.found == 0
    assert set(longer.frame.simulated_s) == {25.0}


def test_an_unfinished_cell_is_run_again(tmp_path: Path) -> None:
    quick(tmp_path)
    file = tmp_path / "cells" / "offloading=cloud,seed=1" / "run.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "status": "interrupted"}))
    assert quick(tmp_path).found == 3
    assert json.loads(file.read_text())["status"] == "complete"


class Broken:
    """A controller that fails after a while."""

    needs_what_if = False
    learns = False

    def __init__(self, setting: object) -> None:
        del setting

    def decide(self, observation: Any) -> Any:
        if observation.time_s > 5:
            raise RuntimeError("out of ideas")
        return observation.options[0].target

    def learn(self, *_: object) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: object) -> None: ...


def test_a_cell_that_fails_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    name = f"{__name__}:Broken"
    done = quick(tmp_path, vary={"offloading": ["edge_best", name, "cloud"]})
    assert not done.is_complete
    status = done.frame.groupby("offloading").status.agg(set).to_dict()
    assert status == {"edge_best": {"complete"}, name: {"failed"}, "cloud": {"complete"}}
    assert all("out of ideas" in error for error in done.frame.error.dropna())
    assert set(done.pairs.offloading) == {"cloud"}
    assert json.loads((tmp_path / "sweep.json").read_text())["status"] == "failed"
    # Run again, it is tried again, and only that.
    assert quick(tmp_path, vary={"offloading": ["edge_best", name, "cloud"]}).found == 4


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = run_module.run_loaded, []

    def interrupting(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(run_module, "run_loaded", interrupting)
    stopped = quick(tmp_path)
    assert stopped.is_interrupted
    assert stopped.frame.status.tolist() == ["complete", "complete", "not_run", "not_run"]
    assert load_sweep(tmp_path).is_interrupted
    monkeypatch.undo()
    assert quick(tmp_path).found == 2


def test_an_unknown_engine_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'threading'"):
        quick(tmp_path, engine="threads")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(EdgesimError, match="not the folder of a sweep"):
        quick(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_of_a_sweep_of_another_scenario_is_refused(tmp_path: Path) -> None:
    quick(tmp_path)
    data = yaml.safe_load(find_scenario("quickstart").read_text())
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({**data, "name": "other"}))
    with pytest.raises(EdgesimError, match="'quickstart', not of 'other'"):
        sweep(tmp_path / "other.yaml", VARY, out=tmp_path)


def test_trained_controllers_are_trained_once_per_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = yaml.safe_load(find_scenario("autoscale").read_text())
    job = {**data["jobs"]["mobilenet_v1"], "phones": ["moto_x_force"]}
    changes = {
        "jobs": {"one": job},
        "duration_s": 100,
        "training.visits": 2,
        "environment": "S1",
    }
    vary = {"offloading": ["cloud", "autoscale"], "jobs.one.deadline_ms": [50, 50.0001]}
    done = sweep("autoscale", vary, [0, 1], out=tmp_path, overrides=changes, engine="sequential")
    assert done.is_complete
    # Two seeds, two deadlines; the baseline needs none.
    assert len(list((tmp_path / "learned").glob("*.json"))) == 4
    monkeypatch.setattr(run_module, "_train", None)  # a call would fail
    shorter = {**changes, "duration_s": 90}
    again = sweep("autoscale", vary, [0, 1], out=tmp_path, overrides=shorter, engine="sequential")
    assert again.is_complete
    assert again.found == 0
