"""A run that was cut short goes on to the same bytes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.scenario import journal as journals
from edgesim.scenario.journal import Journal
from edgesim.scenario.resume import resume
from edgesim.scenario.run import compare, run

SMALL: dict[str, Any] = {
    "phones.high.count": 6,
    "phones.mid.count": 14,
    "phones.low.count": 20,
    "jobs.digits.model": "mlp",
    "jobs.digits.stop": {"rounds": 6},
}
PHOTOS: dict[str, Any] = {
    "phones.high.profile": "galaxy_s22",
    "phones.mid.profile": "galaxy_s9",
    "phones.low.profile": "lg_g4",
    "jobs.digits.dataset": {
        "name": "photo_patches",
        "parameters": {"train_per_class": 40, "test_per_class": 2},
    },
    "jobs.digits.cameras": {},
}
KINDS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "synchronous": ({"selection": "oort"}, {}),
    "scaffold": (
        {"local_training": "scaffold", "aggregation": "fedadam"},
        {"jobs.digits.compression": {"bits": 6}},
    ),
    "partial": (
        {},
        {
            "jobs.digits.rounds": {"kind": "synchronous", "deadline_s": 0.05, "late": "partial"},
            "jobs.digits.epochs": 30,
        },
    ),
    "asynchronous": ({"aggregation": "fedbuff"}, {"jobs.digits.rounds": "asynchronous"}),
    "heteroswitch": ({"local_training": "heteroswitch", "aggregation": "qfedavg"}, PHOTOS),
    "heteroswitch_asynchronous": (
        {"local_training": "heteroswitch", "aggregation": "fedbuff"},
        {**PHOTOS, "jobs.digits.rounds": "asynchronous"},
    ),
}


def contents(folder: Path) -> dict[str, bytes]:
    files = [*folder.glob("*.parquet"), folder / "summary.json"]
    return {file.name: file.read_bytes() for file in files}


class Killed(BaseException):
    """As good as SIGKILL: nothing is tidied up after it."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_run_that_was_killed_ends_with_the_same_bytes(
    kind: str, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controllers, changes = KINDS[kind]
    given: dict[str, Any] = {"controllers": controllers, "overrides": {**SMALL, **changes}}
    run("federated_digits", **given, out=tmp_path / "whole")
    append = Journal.append

    def fatal(self: Journal, entry: dict[str, Any], state: Any) -> None:
        if self.length == after:
            raise Killed
        append(self, entry, state)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", fatal)
        with pytest.raises(Killed):
            run("federated_digits", **given, out=tmp_path / "cut")
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["status"] == "interrupted"
    found = resume(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert found.summary == json.loads((tmp_path / "whole" / "summary.json").read_text())  # type: ignore[union-attr]


def test_what_was_trained_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cut"
    run("federated_digits", overrides=SMALL, out=out)
    manifest = json.loads((out / "run.json").read_text())
    manifest["status"] = "interrupted"
    (out / "run.json").write_text(json.dumps(manifest))
    before = contents(out)
    from edgesim.learning import training

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "_carried_out", refuse)
    resume(out)
    assert contents(out) == before


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "fl")
    for number in range(3):
        journal.append({"number": number}, {"weights": number})
    with (tmp_path / "fl.jsonl").open("a") as file:
        file.write('{"number": 3, "half')
    again = Journal(tmp_path, "fl")
    assert again.length == 3
    assert [again.next()["number"] for _ in range(3)] == [0, 1, 2]
    assert not again.is_replaying
    assert again.state() == {"weights": 2}
    assert (tmp_path / "fl.jsonl").read_text().count("\n") == 3


def test_only_the_two_newest_states_are_kept(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "fl")
    for number in range(5):
        journal.append({"number": number}, {"weights": number})
    names = sorted(file.name for file in tmp_path.glob("*.pt"))
    assert names == ["fl.state-000004.pt", "fl.state-000005.pt"]


def test_a_comparison_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    changes = {**SMALL, "compare": {"selection": ["random", "round_robin"]}}
    compare("federated_digits", overrides=changes, out=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut" / "cells" / "selection=round_robin")
    found = resume(tmp_path / "cut")
    assert list(found) == ["random", "round_robin"]  # type: ignore[call-overload]
    for name in ("random", "round_robin"):
        cell = f"cells/selection={name}"
        assert contents(tmp_path / "cut" / cell) == contents(tmp_path / "whole" / cell)
    with pytest.raises(EdgesimError, match="complete: there is nothing to resume"):
        resume(tmp_path / "cut")


# --- what cannot be resumed ----------------------------------------------------------------------


def interrupted(out: Path, **changes: Any) -> Path:
    run("federated_digits", overrides={**SMALL, **changes}, out=out)
    manifest = json.loads((out / "run.json").read_text())
    manifest["status"] = "interrupted"
    (out / "run.json").write_text(json.dumps(manifest))
    return out


def test_a_complete_run_is_left_alone(tmp_path: Path) -> None:
    run("federated_digits", overrides=SMALL, out=tmp_path / "whole")
    with pytest.raises(EdgesimError, match="complete"):
        resume(tmp_path / "whole")


def test_a_run_of_another_scenario_is_refused(tmp_path: Path) -> None:
    out = interrupted(tmp_path / "cut")
    manifest = json.loads((out / "run.json").read_text())
    manifest["scenario"]["seed"] = 77
    (out / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(EdgesimError, match="has changed since"):
        resume(out)


def test_a_journal_that_tells_of_another_run_is_refused(tmp_path: Path) -> None:
    out = interrupted(tmp_path / "cut")
    file = out / "journal" / "digits.jsonl"
    lines = file.read_text().splitlines()
    entry = json.loads(lines[2])
    entry["clients"][0] += 1
    lines[2] = json.dumps(entry)
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(EdgesimError, match="tells of another run"):
        resume(out)


def test_a_damaged_journal_is_said(tmp_path: Path) -> None:
    out = interrupted(tmp_path / "cut")
    (out / "journal" / "digits.jsonl").write_text("{]\n{}\n")
    with pytest.raises(EdgesimError, match=r"digits\.jsonl: damaged"):
        resume(out)


def test_without_a_journal_there_is_nothing_to_take_up(tmp_path: Path) -> None:
    out = interrupted(tmp_path / "cut")
    (out / "journal" / journals.ORIGIN).unlink()
    with pytest.raises(EdgesimError, match="has no journal"):
        resume(out)
    with pytest.raises(EdgesimError, match="is not the folder of a run"):
        resume(tmp_path / "nowhere")


# --- really killed -------------------------------------------------------------------------------


def wait_for_entries(journal: Path, wanted: int, process: subprocess.Popen[bytes]) -> None:
    """Until so many results have been written down, or the run has ended."""
    while process.poll() is None:
        if journal.exists() and journal.read_text().count("\n") >= wanted:
            return
        if not wanted and (journal.parents[1] / "run.json").exists():
            return
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["synchronous", "asynchronous"])
def test_killed_at_ten_random_moments(kind: str, tmp_path: Path) -> None:
    controllers, changes = KINDS[kind]
    arguments = [sys.executable, "-m", "edgesim", "run", "federated_digits", "--quiet"]
    every = {"jobs.digits.stop": "{rounds: 25}", **{k: json.dumps(v) for k, v in changes.items()}}
    for key, value in every.items():
        arguments += ["--set", f"{key}={value}"]
    for slot, name in controllers.items():
        arguments += ["-c", f"{slot}={name}"]
    subprocess.run([*arguments, "--out", str(tmp_path / "whole")], check=True)
    entries = (tmp_path / "whole" / "journal" / "digits.jsonl").read_text().count("\n")
    rng = np.random.default_rng(4)
    killed = 0
    for number in range(10):
        out = tmp_path / f"cut-{number}"
        process = subprocess.Popen([*arguments, "--out", str(out)])
        wait_for_entries(out / "journal" / "digits.jsonl", int(rng.integers(0, entries)), process)
        time.sleep(float(rng.uniform(0.0, 0.03)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if json.loads((out / "run.json").read_text())["status"] == "interrupted":
            killed += 1
            resume_arguments = [sys.executable, "-m", "edgesim", "resume", str(out), "--quiet"]
            subprocess.run(resume_arguments, check=True)
        assert contents(out) == contents(tmp_path / "whole")
    assert killed >= 5
