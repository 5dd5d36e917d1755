"""FedGPO in whole runs: what it may set, what is written down, and that it is worth its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.results.result import Result
from edgesim.scenario.load import load_scenario
from edgesim.scenario.resume import resume
from edgesim.scenario.run import run

JOB = "jobs.digits."
SHORT: dict[str, Any] = {f"{JOB}stop": {"rounds": 25}, "training": None}


def short(name: str = "fedgpo", out: Path | None = None, **more: Any) -> Result:
    return run(
        "fedgpo_small", controllers={"parameters": name}, overrides={**SHORT, **more}, out=out
    )


@pytest.fixture(scope="module")
def result() -> Result:
    return short()


def test_what_each_was_told_is_what_each_did(result: Result) -> None:
    rows = result.participants
    assert rows.batch_size.isin([1, 2, 4, 8, 16, 32]).all()
    assert rows.epochs.isin([1, 5, 10, 15, 20]).all()
    assert (rows.groupby("round")[["batch_size", "epochs"]].nunique() > 1).any(axis=None)
    told = result.decisions.query("slot == 'parameters'")
    each = told[~told.subject.str.startswith("round")]
    times_s = result.rounds.set_index("round").start_s
    said = {(row.time_s, row.subject): row.decision for row in each.itertuples()}
    for row in rows.itertuples():
        assert said[times_s[row.round], row.device] == f"B={row.batch_size} E={row.epochs}"
    whole = told[told.subject.str.startswith("round")]
    next_k = whole.decision.str.extract(r"K=(\d+)")[0].astype(int).to_numpy()
    assert (result.rounds.cohort_size.to_numpy()[1:] == next_k[:-1]).all()


def test_the_first_rounds_are_trials(result: Result) -> None:
    whole = result.decisions[result.decisions.subject.str.startswith("round")]
    assert whole.explored.to_numpy()[:12].all()
    assert not whole.explored.to_numpy()[12:].all()


def test_no_trial_lasts_longer_than_the_jobs_own_work_would() -> None:
    quiet = {"phones.*.app": "none", "phones.*.rssi_dbm": -60, "mismatch": None}
    tried, own = (short(name, **quiet) for name in ("fedgpo", "fixed"))
    assert tried.rounds.duration_s.head(12).max() <= 1.05 * own.rounds.duration_s.max()


def test_the_same_seed_gives_the_same_tables(result: Result) -> None:
    again = short()
    for name in ("rounds", "participants", "decisions"):
        assert getattr(again, name).equals(getattr(result, name))


def test_it_spends_much_less_than_the_common_default() -> None:
    spent = {}
    for name in ("fixed", "fedgpo"):
        found = [
            run("fedgpo_small", controllers={"parameters": name}, seed=seed).summary
            for seed in (1, 2, 3)
        ]
        assert all(each["target_reached"] for each in found)
        spent[name] = np.mean([np.log(each["energy_global_to_target_j"]) for each in found])
    assert np.exp(spent["fixed"] - spent["fedgpo"]) > 2.0


def test_it_goes_on_from_a_table(tmp_path: Path) -> None:
    short(out=tmp_path / "first")
    table = str(tmp_path / "first" / "learned.json")
    later = short(**{"settings.fedgpo": {"table": table}})
    whole = later.decisions[later.decisions.subject.str.startswith("round")]
    assert not whole.explored.head(12).all()  # the trials are behind it
    other = {"table": table, "batch_sizes": [8]}
    with pytest.raises(EdgesimError, match="give this controller the same choices"):
        short(**{"settings.fedgpo": other})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": []}, "nothing to choose of"),
        ({"batch_sizes": [8, 8]}, "twice"),
        ({"clients_per_round": [0]}, "greater than or equal to 1"),
        ({"is_frozen": True}, "needs table"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgesimError, match=message) as error:
        load_scenario("fedgpo_small", [("settings.fedgpo", setting)])
    assert "settings.fedgpo" in str(error.value)


def test_more_clients_than_there_are_all_take_part() -> None:
    few = {f"phones.{tier}.count": 2 for tier in ("high", "mid", "low")}
    result = short(**few, **{f"{JOB}clients_per_round": 6})
    assert result.rounds.cohort_size.max() == 6
    assert result.summary["rounds_short"] == (result.rounds.clients_per_round > 6).sum() > 0


def test_it_is_not_for_asynchronous_jobs() -> None:
    with pytest.raises(EdgesimError, match="learns from rounds"):
        run(
            "fedgpo_small",
            controllers={"parameters": "fedgpo", "aggregation": "fedbuff"},
            overrides={**SHORT, f"{JOB}rounds": "asynchronous"},
        )


@pytest.mark.parametrize("name", ["bayesian", "genetic", "adaptive_batch", "fedgpo_paper"])
def test_its_rivals_run(name: str) -> None:
    result = short(name)
    assert len(result.rounds) == 25
    assert result.summary["accuracy_final"] > 0.5


def test_with_autofl_each_learns_its_part() -> None:
    result = run(
        "fedgpo_small",
        controllers={"selection": "autofl", "parameters": "fedgpo"},
        overrides=SHORT,
    )
    assert result.participants.target.str.contains("/").all()  # AutoFL's clocks
    assert result.participants.batch_size.nunique() > 1  # FedGPO's batches
    slots = result.decisions.dropna(subset="reward").slot.unique()
    assert set(slots) == {"selection", "parameters"}


def test_an_interrupted_run_goes_on(tmp_path: Path, result: Result) -> None:
    done = short(out=tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text(
        (tmp_path / "run" / "run.json").read_text().replace('"complete"', '"interrupted"')
    )
    again = resume(tmp_path / "run")
    assert again.rounds.equals(done.rounds)
    assert done.rounds.equals(result.rounds)
