"""``edgesim sweep`` on the command line: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest

import edgesim.sweep.run as run_module
from edgesim.cli.main import _guard, app
from edgesim.controllers.offloading import Cloud
from edgesim.scenario.run import run_loaded

SHORT = ("--set", "duration_s=20", "--engine", "sequential", "--out", "out")
VARY = ("--vary", "offloading=edge_best,cloud")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """The command ``edgesim``, called in this process as its entry point calls it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str) -> Ran:
        self._monkeypatch.setattr(sys, "argv", ["edgesim", *arguments])
        self._capsys.readouterr()
        try:
            code = _guard(app)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Ran(code, *self._capsys.readouterr())


@pytest.fixture
def edgesim(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return Command(capsys, monkeypatch)


def test_it_prints_means_and_pairs_and_writes_tables(edgesim: Command) -> None:
    ran = edgesim("sweep", "quickstart", *VARY, "--seeds", "0-2", *SHORT)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count(": complete") == 6
    for expected in ("Means by offloading", "edge_best", "in pairs", "over 3 seeds", " to "):
        assert expected in ran.out
    assert len(pd.read_parquet("out/sweep.parquet")) == 6
    assert len(pd.read_csv("out/summary.csv")) == 6
    assert set(pd.read_csv("out/pairs.csv").offloading) == {"cloud"}


def test_one_seed_has_no_interval_and_says_so(edgesim: Command) -> None:
    ran = edgesim("sweep", "quickstart", *VARY, *SHORT)
    assert ran.code == 0
    assert "one seed: no intervals" in ran.out


def test_what_is_finished_is_not_run_again_and_it_says_so(edgesim: Command) -> None:
    edgesim("sweep", "quickstart", *VARY, *SHORT)
    ran = edgesim("sweep", "quickstart", "--vary", "offloading=edge_best,cloud,edge_cpu", *SHORT)
    assert ran.code == 0
    assert "2 of 3 cells were there already" in ran.out


def test_json_is_a_row_per_cell_and_nothing_else(edgesim: Command) -> None:
    ran = edgesim("sweep", "quickstart", *VARY, *SHORT, "--json")
    rows = json.loads(ran.out)
    assert [row["offloading"] for row in rows] == ["edge_best", "cloud"]
    assert all(row["status"] == "complete" for row in rows)


def test_a_cell_that_fails_exits_with_1_and_the_rest_is_there(
    edgesim: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Cloud, observation: Any) -> Any:
        raise RuntimeError("lost my way")

    monkeypatch.setattr(Cloud, "decide", failing)
    ran = edgesim("sweep", "quickstart", *VARY, *SHORT)
    assert (ran.code, "Traceback" in ran.out + ran.err) == (1, False)
    assert "lost my way" in ran.out
    frame = pd.read_parquet("out/sweep.parquet").set_index("offloading")
    assert frame.status.to_dict() == {"edge_best": "complete", "cloud": "failed"}
    assert "lost my way" in frame.error["cloud"]


def test_an_interrupted_sweep_exits_with_130_and_keeps_what_is_finished(
    edgesim: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_loaded

    def interrupting(loaded: Any, **more: Any) -> Any:
        if loaded.scenario.controllers["offloading"] == "cloud":
            raise KeyboardInterrupt
        return run(loaded, **more)

    monkeypatch.setattr(run_module, "run_loaded", interrupting)
    ran = edgesim("sweep", "quickstart", *VARY, *SHORT)
    assert ran.code == 130
    assert "Traceback" not in ran.out + ran.err
    frame = pd.read_parquet("out/sweep.parquet").set_index("offloading")
    assert frame.status["edge_best"] == "complete"
    assert frame.status["cloud"] != "complete"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--vary", "offloading=cloud,clod"), "did you mean 'cloud'"),
        (("--vary", "offloadin=cloud"), "did you mean 'offloading'"),
        (("--vary", "offloading"), "KEY=VALUE"),
        ((*VARY, *VARY), "--vary"),
        ((*VARY, "--seeds", "4-1"), "--seeds"),
        ((*VARY, "--set", "duration_s=-1"), "duration_s"),
        ((*VARY, "--engine", "loki"), "did you mean 'loky'"),
    ],
)
def test_a_mistake_exits_with_2_before_anything_is_made(
    edgesim: Command, arguments: tuple[str, ...], expected: str
) -> None:
    ran = edgesim("sweep", "quickstart", *arguments, "--out", "out")
    assert ran.code == 2
    assert expected in ran.err
    assert "Traceback" not in ran.err
    assert not Path("out").exists()


def test_a_controller_is_shown_with_its_parameters(edgesim: Command) -> None:
    ran = edgesim("show", "autoscale")
    assert ran.code == 0
    for expected in ("learning_rate", "0.9", "discount", "epsilon", "miss_penalty_mj", "bins_from"):
        assert expected in ran.out
