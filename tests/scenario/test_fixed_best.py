"""The best of a grid of whole jobs, from search to evaluation; what tables say of K and B that cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.controllers.learned import dump_state, load_state
from edgesim.results.result import Result
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run, run_loaded
from edgesim.scenario.training import train

JOB = "jobs.digits."
FEW: dict[str, Any] = {
    "phones.high.count": 2,
    "phones.mid.count": 2,
    "phones.low.count": 4,
    f"{JOB}clients_per_round": 4,
}
GRID = {"batch_sizes": [8, 400], "epochs": [1], "clients_per_round": [2, 8]}
SEARCH: dict[str, Any] = {
    **FEW,
    f"{JOB}stop": {"accuracy": 0.6, "rounds": 12},
    "training": {"kind": "earlier_jobs", "jobs": 1},
    "settings.fixed_best": GRID,
}
SLOT = "parameters"
SEAT = f"digits.{SLOT}"


def loaded(**changes: Any) -> Any:
    return load_scenario("fedgpo_small", list({**SEARCH, **changes}.items()), {SLOT: "fixed_best"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return run_loaded(loaded(), out=folder / "run", learned=folder / "cache")


@pytest.fixture(scope="module")
def searched(result: Result, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = load_state(folder / "run" / "learned.json")[SEAT]
    return found


def test_the_job_is_run_once_with_every_point(result: Result, searched: dict[str, Any]) -> None:
    told = result.manifest["training"]
    assert told["runs"] == 4
    assert told["jobs"] == 1
    assert 4 <= told["rounds"] <= 4 * 12
    assert told["energy_j"] > 0
    assert sorted(searched["points"]) == [[8, 1, 2], [8, 1, 8], [400, 1, 2], [400, 1, 8]]
    assert len(searched["costs"]) == 4
    assert np.isfinite(searched["costs"]).any()
    assert np.isinf(searched["costs"]).any()  # a whole batch a round is too little


def test_the_best_point_is_used_in_the_evaluation(result: Result, searched: dict[str, Any]) -> None:
    batch_size, epochs, clients = searched["points"][int(np.argmin(searched["costs"]))]
    rounds = result.rounds
    assert len(rounds) > 2
    assert set(rounds.batch_size) == {batch_size}
    assert set(rounds.epochs) == {epochs}
    # The first round has the job's own K.
    assert rounds.clients_per_round.tolist() == [4] + [clients] * (len(rounds) - 1)
    assert rounds.cohort_size.tolist() == rounds.clients_per_round.tolist()
    assert set(result.participants.batch_size) == {batch_size}
    rows = result.decisions[result.decisions.slot == SLOT]
    assert set(rows.decision) == {f"B={batch_size} E={epochs} K={clients}"}
    assert result.summary["target_reached"] == 1


def test_the_evaluation_adds_no_costs(searched: dict[str, Any]) -> None:
    learned = train(loaded())
    assert dump_state(learned[SEAT]) == dump_state(searched)


def test_the_same_seed_finds_the_same(
    result: Result, searched: dict[str, Any], folder: Path
) -> None:
    again = run_loaded(loaded(), out=folder / "again")
    kept = run_loaded(loaded(), out=folder / "kept", learned=folder / "cache")
    for other in (again, kept):
        assert other.rounds.equals(result.rounds)
        assert other.participants.equals(result.participants)
        assert other.decisions.equals(result.decisions)
        assert other.manifest["training"] == result.manifest["training"]
    texts = [(folder / name / "learned.json").read_bytes() for name in ("run", "again", "kept")]
    assert texts[0] == texts[1] == texts[2]
    assert train(loaded(seed=2))[SEAT]["costs"] != searched["costs"]


def test_costs_are_those_of_whole_runs_with_the_point(searched: dict[str, Any]) -> None:
    by_time = train(loaded(**{"settings.fixed_best": {**GRID, "minimise": "time"}}), cache=None)[
        SEAT
    ]
    assert by_time["points"] == searched["points"]
    in_both = np.isfinite(by_time["costs"]) & np.isfinite(searched["costs"])
    assert in_both.any()
    # Joules and seconds of one and the same run: watts of eight phones.
    watts = np.array(searched["costs"])[in_both] / np.array(by_time["costs"])[in_both]
    assert (watts > 0.05).all()
    assert (watts < 50.0).all()


def test_a_second_job_is_searched_too() -> None:
    jobs = {"kind": "earlier_jobs", "jobs": 2}
    learned = train(loaded(training=jobs, **{f"{JOB}stop": {"accuracy": 0.1, "rounds": 2}}))
    costs = learned[SEAT]["costs"]
    assert learned["training"]["runs"] == len(costs) == 8
    assert len(set(costs[:4])) > 1
    assert len(set(costs[4:])) > 1


def test_a_run_as_good_as_the_best_is_not_cut_short() -> None:
    stop: dict[str, Any] = {"accuracy": 0.6, "rounds": 12}

    def found(stop: dict[str, Any]) -> Any:
        changes = {"training": None, f"{JOB}epochs": 1, f"{JOB}stop": stop}
        return run("fedgpo_small", controllers={SLOT: "fixed"}, overrides=changes).summary

    whole = found(stop)
    limit_j = 1.02 * whole["energy_global_to_target_j"]  # of a point that is a little worse
    assert whole["target_reached"] == 1
    assert found({**stop, "energy_global_j": limit_j})["target_reached"] == 1


# --- what tables say -----------------------------------------------------------------------------


def fixed(**changes: Any) -> Result:
    own = {"training": None, f"{JOB}stop": {"rounds": 4}, f"{JOB}mode": "timing_only", **changes}
    return run("fedgpo_small", controllers={SLOT: "fixed"}, overrides={**FEW, **own})


def test_a_batch_that_a_client_has_is_no_whole_one() -> None:
    result = fixed(**{f"{JOB}batch_size": 8})
    assert (result.participants.samples >= 8).all()
    assert result.rounds.whole_batch.tolist() == [0] * 4
    assert result.summary["whole_batches"] == 0


def test_tables_say_when_a_batch_is_more_than_clients_have() -> None:
    result = fixed(**{f"{JOB}batch_size": 180, f"{JOB}epochs": 3})
    rows = result.participants
    is_whole = rows.batch_size > rows.samples
    assert is_whole.any()
    assert not is_whole.all()
    by_round = is_whole.groupby(rows["round"]).sum()
    assert result.rounds.whole_batch.tolist() == by_round.tolist()
    assert result.summary["whole_batches"] == is_whole.sum()
    assert (rows.steps == 3).all()  # those who are not among them have just as many


def test_a_batch_of_just_what_a_client_has_is_no_whole_one() -> None:
    just: dict[str, Any] = {f"{JOB}samples_per_client": 40, f"{JOB}dataset": "digits"}
    found = [fixed(**just, **{f"{JOB}batch_size": size}).summary for size in (40, 41)]
    assert [each["whole_batches"] for each in found] == [0, 16]


def test_tables_say_when_k_is_more_than_are_eligible() -> None:
    comes_and_goes = {"kind": "markov", "values": [True, False], "mean_dwell_s": [0.5, 0.5]}
    result = fixed(
        **{
            f"{JOB}available": comes_and_goes,
            f"{JOB}check_in_s": 0.05,
            f"{JOB}stop": {"rounds": 25},
        }
    )
    rounds = result.rounds
    assert (rounds.clients_per_round == 4).all()
    is_short = rounds.eligible < 4
    assert is_short.any()
    assert not is_short.all()
    assert rounds.cohort_size.tolist() == np.minimum(rounds.eligible, 4).tolist()
    assert result.summary["rounds_short"] == is_short.sum()


def test_k_that_can_be_had_is_never_short() -> None:
    result = fixed()
    assert result.rounds.clients_per_round.tolist() == [4] * 4
    assert result.summary["rounds_short"] == 0


def test_more_than_k_are_not_short_of_it() -> None:
    result = fixed(**{f"{JOB}rounds": {"kind": "synchronous", "over_selection": 1.5}})
    assert result.rounds.clients_per_round.tolist() == [4] * 4
    assert result.rounds.cohort_size.tolist() == [6] * 4
    assert result.summary["rounds_short"] == 0


def test_k_of_an_asynchronous_job_is_whoever_is_there() -> None:
    result = run(
        "fedgpo_small",
        controllers={SLOT: "fixed", "aggregation": "fedbuff"},
        overrides={
            **FEW,
            f"{JOB}rounds": "asynchronous",
            f"{JOB}mode": "timing_only",
            f"{JOB}stop": {"rounds": 3},
        },
    )
    assert result.rounds.clients_per_round.tolist() == result.rounds.cohort_size.tolist()
    assert result.summary["rounds_short"] == 0
