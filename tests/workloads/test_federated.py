"""Federated jobs in virtual time: what happens to clients, and what of it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.results.result import Result
from edgesim.scenario.run import run

SMALL: dict[str, Any] = {
    "phones.high.count": 6,
    "phones.mid.count": 14,
    "phones.low.count": 20,
    "jobs.digits.model": "mlp",
    "jobs.digits.stop": {"rounds": 5},
}
JOB = "jobs.digits."


def digits(
    controllers: Mapping[str, str] | None = None, seed: int | None = None, **changes: Any
) -> Result:
    """A short run; changes are keys of the job."""
    own = {f"{JOB}{key}": value for key, value in changes.items()}
    return run("federated_digits", controllers=controllers, seed=seed, overrides={**SMALL, **own})


def timing(controllers: Mapping[str, str] | None = None, **changes: Any) -> Result:
    """The same without training."""
    return digits(controllers, mode="timing_only", stop={"rounds": 5}, **changes)


@pytest.fixture(scope="module")
def plain() -> Result:
    return digits()


# --- every joule and every second ----------------------------------------------------------------


VARIANTS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "plain": ({}, {}),
    "deadline": ({}, {"rounds": {"kind": "synchronous", "deadline_s": 0.06}}),
    "partial": (
        {},
        {"rounds": {"kind": "synchronous", "deadline_s": 0.05, "late": "partial"}, "epochs": 50},
    ),
    "over-selection": ({}, {"rounds": {"kind": "synchronous", "over_selection": 1.5}}),
    "dropout": ({}, {"dropout": 0.4}),
    "asynchronous": ({"aggregation": "fedbuff"}, {"rounds": "asynchronous"}),
    "comes and goes": (
        {},
        {
            "available": {"kind": "markov", "values": [True, False], "mean_dwell_s": [0.1, 0.1]},
            "check_in_s": 0.01,
        },
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_joule_of_the_job_is_in_one_row_of_one_client(name: str) -> None:
    controllers, changes = VARIANTS[name]
    result = digits(controllers, **changes)
    energy = result.energy
    booked_j = energy[energy.job == "digits"].energy_j.sum()
    rows = result.participants
    assert len(rows) >= 10
    assert rows.energy_j.sum() == pytest.approx(booked_j, rel=1e-9)
    phases = rows[["download_j", "training_j", "upload_j"]].fillna(0.0).sum(axis=1)
    assert phases.to_numpy() == pytest.approx(rows.energy_j.to_numpy(), rel=1e-12, abs=1e-15)
    rounds = result.rounds
    assert rounds.energy_ledger_j.sum() == pytest.approx(booked_j, rel=1e-9)
    lost = ~rows.status.isin(["done", "partial"])
    assert rounds.energy_wasted_j.sum() == pytest.approx(rows[lost].energy_j.sum(), abs=1e-12)
    assert rounds.dropped.sum() == lost.sum() == result.summary["updates_lost"]


def test_no_phase_takes_no_time(plain: Result) -> None:
    rows = plain.participants
    assert (rows.status == "done").all()
    for phase in ("download_s", "training_s", "upload_s"):
        assert (rows[phase] > 0).all()
    assert (rows.steps == 5 * np.ceil(rows.samples / 5)).all()


def test_a_round_lasts_until_its_last_client_is_back(plain: Result) -> None:
    half_rtt_s = 0.017
    rows = plain.participants
    ends = rows.start_s + rows[["download_s", "training_s", "upload_s"]].sum(axis=1) + half_rtt_s
    last = ends.groupby(rows["round"]).max()
    rounds = plain.rounds.set_index("round")
    assert (rounds.start_s + rounds.duration_s).to_numpy() == pytest.approx(last.to_numpy())
    # The next one begins at once.
    assert rounds.start_s.iloc[1:].to_numpy() == pytest.approx(last.iloc[:-1].to_numpy())
    assert plain.summary["simulated_s"] < 2.0  # it ended with the job, not with the day


def test_local_and_global_energy_follow_autofls_equations() -> None:
    result = timing(idle_w=0.5)
    rows, rounds = result.participants, result.rounds
    for _, row in rounds.iterrows():
        others = 40 - row.cohort_size
        idle_j = 0.5 * row.duration_s
        assert row.energy_global_j - row.energy_local_j == pytest.approx(others * idle_j)
        own = rows[rows["round"] == row["round"]]
        # Compute and communication are below what was booked, which has base power and tails too.
        compute_and_send_j = row.energy_local_j - len(own) * idle_j
        assert 0 < compute_and_send_j < row.energy_ledger_j


def test_the_default_idle_power_is_that_of_a_suspended_phone() -> None:
    result = timing()
    from edgesim.hardware.catalogue import shipped

    watts = 0.0
    for name, count in {"mi_8_pro": 6, "galaxy_s10e": 14, "moto_x_force": 20}.items():
        spec = shipped().phone(name)
        watts += count * (spec.suspend_w + spec.wifi.idle_w)
    first = result.rounds.iloc[0]
    everybody = first.energy_global_j - first.energy_local_j
    assert 0.7 * watts < everybody / first.duration_s < watts


# --- the learning is that of the learning package ------------------------------------------------


def test_accuracy_is_that_of_the_same_cohorts_trained_without_a_simulator(plain: Result) -> None:
    from edgesim.core.random import Streams
    from edgesim.learning.aggregation import FedAvg
    from edgesim.learning.catalogue import build_dataset, build_partition
    from edgesim.learning.federation import evaluate
    from edgesim.learning.models import build_model
    from edgesim.learning.program import LocalProgram
    from edgesim.learning.tasks import Layout, Task, as_tensors
    from edgesim.learning.training import train

    streams = Streams(1)
    data = build_dataset("digits")
    dirichlet = {"alpha": 0.3}
    seed = streams.key("partition", "digits") % 2**63
    partition = build_partition("dirichlet", data, 40, dirichlet, seed)
    layout = Layout(build_model("mlp", data, streams.key("model", "digits") % 2**31))
    weights = layout.read()
    found = [evaluate(layout, weights, data.test)[0].accuracy]
    program = LocalProgram(0.1, 5, 5)
    for number, cohort in plain.participants.groupby("round").client:
        tasks = [
            Task(
                c,
                partition.rows[c],
                program,
                weights,
                streams.generator("batches", "digits", int(c), int(number)),
            )
            for c in cohort
        ]
        weights = FedAvg().aggregate(weights, train(layout, as_tensors(data.train), tasks))
        found.append(evaluate(layout, weights, data.test)[0].accuracy)
    table = plain.evaluations
    assert table[table.group == "all"].accuracy.tolist() == found
    assert plain.rounds.accuracy.tolist() == found[1:]
    assert found[-1] > found[0]


def test_classes_are_judged_apart(plain: Result) -> None:
    table = plain.evaluations
    for _, rows in table.groupby("round"):
        whole = rows[rows.group == "all"].iloc[0]
        classes = rows[rows.group != "all"]
        assert len(classes) == 10
        assert classes.samples.sum() == whole.samples
        mean = (classes.accuracy * classes.samples).sum() / whole.samples
        assert mean == pytest.approx(whole.accuracy)


def test_updates_that_are_not_finite_are_left_out_and_said() -> None:
    result = digits(learning_rate=1e6, weight_decay=1e6, epochs=20, stop={"rounds": 3})
    assert set(result.participants.status) == {"failed:diverged"}
    assert result.rounds.status.tolist() == ["failed"] * 3
    assert result.summary["rounds_failed"] == 3


def test_control_variates_are_sent_both_ways(plain: Result) -> None:
    corrected = digits({"local_training": "scaffold"})
    assert corrected.rounds.uplink_bytes.iloc[0] == 2 * plain.rounds.uplink_bytes.iloc[0]
    first, second = (r.participants[r.participants["round"] == 1] for r in (plain, corrected))
    assert second.upload_s.sum() > first.upload_s.sum()
    with pytest.raises(EdgesimError, match="asynchronous jobs do not have"):
        digits({"local_training": "scaffold", "aggregation": "fedbuff"}, rounds="asynchronous")


def test_compressed_updates_take_fewer_bytes(plain: Result) -> None:
    small = digits(compression={"bits": 4})
    ratio = small.rounds.uplink_bytes.iloc[0] / plain.rounds.uplink_bytes.iloc[0]
    assert ratio == pytest.approx(1 / 8, rel=0.01)
    assert small.participants.download_s.iloc[0] == plain.participants.download_s.iloc[0]


# --- who is late ---------------------------------------------------------------------------------


def test_clients_at_work_at_the_deadline_are_left_out() -> None:
    whole = timing(epochs=60)
    times = whole.rounds.duration_s
    deadline_s = 0.6 * float(times.iloc[0])
    result = timing(epochs=60, rounds={"kind": "synchronous", "deadline_s": deadline_s})
    assert (result.rounds.duration_s <= deadline_s * (1 + 1e-9)).all()
    rows = result.participants
    assert {"done", "late"} == set(rows.status)
    late = rows[rows.status == "late"]
    assert (late.energy_j > 0).all()
    assert result.rounds.energy_wasted_j.sum() == pytest.approx(late.energy_j.sum())


def test_clients_send_the_steps_that_they_have_done() -> None:
    rounds = {"kind": "synchronous", "deadline_s": 0.05, "late": "partial"}
    result = digits(epochs=50, rounds=rounds, stop={"rounds": 4})
    rows = result.participants
    partial = rows[rows.status == "partial"]
    assert len(partial) > 20
    every = 50 * np.ceil(partial.samples / 5)
    assert (partial.steps >= 1).all()
    assert (partial.steps < every).all()
    assert (partial.download_s + partial.training_s <= 0.05 + 1e-9).all()
    assert result.summary["accuracy_final"] > 0.3


def test_a_deadline_that_nobody_can_meet() -> None:
    rounds = {"kind": "synchronous", "deadline_s": 0.001}
    result = digits(rounds=rounds, stop={"failed_rounds": 3})
    assert result.rounds.status.tolist() == ["failed"] * 3
    assert result.summary["stopped_by"] == "failed_rounds"
    assert result.summary["accuracy_final"] is None
    assert set(result.participants.status) == {"late"}


def test_a_deadline_by_predicted_times_leaves_some_out() -> None:
    result = timing(rounds={"kind": "synchronous", "deadline_percentile": 50})
    assert result.rounds.deadline_s.notna().all()
    assert 0 < (result.participants.status == "late").sum() < len(result.participants)


def test_a_round_of_more_clients_than_needed_is_over_when_enough_are_back() -> None:
    result = timing(rounds={"kind": "synchronous", "over_selection": 1.5})
    rows = result.participants
    for _, own in rows.groupby("round"):
        assert len(own) == 15
        assert (own.status == "done").sum() == 10
        assert (own.status == "surplus").sum() == 5


def test_enough_are_k_even_where_fewer_can_be_selected_in_excess() -> None:
    rounds = {"kind": "synchronous", "over_selection": 1.5}
    few = {"phones.high.count": 4, "phones.mid.count": 4, "phones.low.count": 4}
    result = run(
        "federated_digits",
        overrides={**SMALL, **few, f"{JOB}mode": "timing_only", f"{JOB}rounds": rounds},
    )
    assert (result.rounds.cohort_size == 12).all()
    assert (result.rounds.completed == 10).all()


@pytest.mark.parametrize("rounds", ["synchronous", "asynchronous"])
def test_phones_that_are_lost_at_once_do_not_stop_the_clock(rounds: str) -> None:
    empty = {f"phones.{name}.charge": 0.0 for name in ("high", "mid", "low")}
    result = run(
        "federated_digits",
        controllers={"aggregation": "fedbuff"} if rounds == "asynchronous" else {},
        overrides={
            **SMALL,
            **empty,
            f"{JOB}mode": "timing_only",
            f"{JOB}rounds": rounds,
            f"{JOB}stop": {"rounds": 5},
            "duration_s": 600,
        },
    )
    assert set(result.participants.status) == {"failed:battery_empty"}
    assert 1 <= len(result.rounds) <= 11  # once a minute
    assert result.summary["stopped_by"] == "end of run" or len(result.rounds) == 5


def test_a_budget_of_time_ends_the_round_that_is_going_on() -> None:
    result = digits(stop={"simulated_s": 0.3})
    ends = result.rounds.start_s + result.rounds.duration_s
    assert ends.iloc[-1] == pytest.approx(0.3)
    assert result.summary["stopped_by"] == "simulated_s"


@pytest.mark.parametrize(
    ("stop", "by"),
    [
        ({"energy_j": 2.0}, "energy_j"),
        ({"energy_global_j": 2.0}, "energy_global_j"),
        ({"accuracy": 0.3, "for_rounds": 2}, "accuracy"),
    ],
)
def test_a_job_ends_by_its_rules(stop: dict[str, Any], by: str) -> None:
    result = digits(stop={**stop, "rounds": 40})
    assert result.summary["stopped_by"] == by
    rounds = result.rounds
    if by == "accuracy":
        assert (rounds.accuracy.tail(2) >= 0.3).all()
        assert result.summary["target_reached"] == 1
        assert result.summary["rounds_to_target"] == len(rounds)
    elif by == "energy_global_j":
        spent_j = rounds.energy_global_j.cumsum()
        assert spent_j.iloc[-1] >= 2.0 > spent_j.iloc[-2]
    else:
        spent_j = rounds.energy_ledger_j.cumsum()
        assert spent_j.iloc[-1] >= 2.0
        assert spent_j.iloc[-2] < 2.0 + 0.5  # tails that end after their round are in the table


def test_a_target_that_is_not_reached_is_censored_at_the_end() -> None:
    summary = digits(stop={"accuracy": 0.999, "rounds": 4}).summary
    assert summary["target_reached"] == 0
    assert summary["rounds_to_target"] == 4
    assert summary["stopped_by"] == "rounds"


# --- who is there --------------------------------------------------------------------------------


def test_a_client_that_goes_away_is_lost_at_that_moment_not_at_the_end() -> None:
    available = {"kind": "schedule", "period_s": 1000, "steps": [[0, True], [0.2, False]]}
    result = digits(mode="timing_only", epochs=200, available=available, stop={"rounds": 1})
    rows = result.participants
    assert set(rows.status) == {"failed:offline"}
    spent = rows[["download_s", "training_s", "upload_s"]].fillna(0.0).sum(axis=1)
    assert (rows.start_s + spent).to_numpy() == pytest.approx(0.2)
    assert (rows.energy_j > 0).all()
    # With nobody there, it waits, and looks again once a minute.
    assert result.rounds.iloc[0].status == "failed"


def test_a_job_begins_when_somebody_is_there() -> None:
    available = {"kind": "schedule", "period_s": 1000, "steps": [[0, False], [100, True]]}
    result = timing(available=available)
    assert result.rounds.start_s.iloc[0] == 120.0  # it looks once a minute
    assert (result.participants.status == "done").all()


@pytest.mark.parametrize("what", ["charging", "idle"])
def test_only_eligible_phones_take_part(what: str) -> None:
    group = {"charging": "plugged_in", "idle": "screen_on"}[what]
    holds = what == "charging"
    steps = [[0, holds], [0.25, not holds]]
    overrides = {
        **SMALL,
        f"{JOB}mode": "timing_only",
        f"{JOB}eligibility": {what: True},
        f"{JOB}epochs": 20,
        "phones.high.app": "none",
        "phones.mid.app": "none",
        "phones.low.app": "none",
        **{
            f"phones.{name}.{group}": {"kind": "schedule", "period_s": 1e6, "steps": steps}
            for name in ("high", "low")
        },
        f"phones.mid.{group}": not holds,
        "duration_s": 100,
    }
    result = run("federated_digits", overrides=overrides)
    rows = result.participants
    assert len(rows)
    assert not rows.device.str.startswith("mid").any()
    reason = {"charging": "failed:unplugged", "idle": "failed:in_use"}[what]
    assert set(rows.status) <= {"done", reason}
    assert (rows.status == reason).any()


def test_who_breaks_down_does_not_depend_on_the_controller() -> None:
    tables = [
        timing({"selection": name}, dropout=0.5).participants.set_index(["round", "client"]).status
        for name in ("random", "round_robin", "power")
    ]
    for one, other in pairwise(tables):
        both = one.index.intersection(other.index)
        assert one[both].equals(other[both])


@pytest.mark.parametrize("processor", ["fastest", "thriftiest"])
def test_so_many_break_down_as_the_scenario_says_wherever_they_train(processor: str) -> None:
    result = run(
        "federated_digits",
        overrides={
            **SMALL,
            f"{JOB}mode": "timing_only",
            f"{JOB}dropout": 0.3,
            f"{JOB}stop": {"rounds": 100},
            "settings": {"random": {"train_on": processor}},
        },
    )
    crashed = result.participants.status == "failed:crash"
    assert len(crashed) == 1000
    assert crashed.mean() == pytest.approx(0.3, abs=3 * np.sqrt(0.3 * 0.7 / 1000))
    # On average half of their training, and no upload.
    rows = result.participants
    times = rows.groupby(["profile", crashed]).training_s.mean().unstack()
    assert (times[True] / times[False]).to_numpy() == pytest.approx(0.5, abs=0.15)
    assert rows[crashed].upload_s.isna().all()


def test_decisions_of_asynchronous_jobs_are_written_down() -> None:
    result = digits(
        {"aggregation": "fedasync"}, rounds="asynchronous", stop={"rounds": 5}, mode="timing_only"
    )
    chosen = result.decisions[result.decisions.slot == "selection"]
    assert len(chosen) == len(result.participants)


def test_training_needs_memory() -> None:
    result = digits(
        mode="timing_only",
        model="mobilenet_v1",
        samples_per_client=100_000,
        batch_size=50_000,
        stop={"rounds": 1},
    )
    assert set(result.participants.status) == {"failed:out_of_memory"}
    assert result.rounds.status.tolist() == ["failed"]


# --- asynchronous --------------------------------------------------------------------------------


def test_updates_are_taken_as_they_come() -> None:
    result = run(
        "federated_digits",
        controllers={"aggregation": "fedbuff"},
        overrides={
            **SMALL,
            f"{JOB}rounds": "asynchronous",
            f"{JOB}stop": {"rounds": 6},
            "settings": {"fedbuff": {"buffer": 4}},
        },
    )
    rounds, rows = result.rounds, result.participants
    done = rounds[rounds.status == "done"]
    assert len(done) == 6
    assert (done.completed == 4).all()
    used = rows[rows.status == "done"]
    assert (used.staleness >= 0).all()
    assert used.staleness.max() >= 1
    # As many as K are at work at a time, never more.
    spent = rows[["download_s", "training_s", "upload_s"]].fillna(0.0).sum(axis=1)
    events = [(t, 1) for t in rows.start_s] + [(t, -1) for t in rows.start_s + spent]
    level = np.cumsum([step for _, step in sorted(events)])
    assert level.max() == 10


def test_asynchronous_versions_follow_each_update() -> None:
    result = digits({"aggregation": "fedasync"}, rounds="asynchronous", stop={"rounds": 25})
    done = result.rounds[result.rounds.status == "done"]
    assert len(done) == 25
    assert (done.completed == 1).all()
    ends = done.start_s + done.duration_s
    assert (ends.diff().dropna() >= 0).all()
    assert result.summary["accuracy_final"] > 0.2


# --- the same world ------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, second, other = digits(), digits(), digits(seed=9)
    for name in first.tables:
        assert first.arrow(name).equals(second.arrow(name)), name
    assert not first.arrow("participants").equals(other.arrow("participants"))


def test_selection_does_not_change_the_weather() -> None:
    tables = [
        timing({"selection": name}).participants.query("round == 1").set_index("client")
        for name in ("random", "round_robin", "performance")
    ]
    for one in tables:
        for other in tables:
            both = one.index.intersection(other.index)
            for column in ("rssi_dbm", "co_cpu", "samples"):
                assert one.loc[both, column].equals(other.loc[both, column])


def test_timing_is_that_of_the_trained_run(plain: Result) -> None:
    result = timing()
    assert result.summary["accuracy_source"] == "none"
    assert result.summary["accuracy_final"] is None
    columns = ["client", "start_s", "download_s", "training_s", "upload_s", "energy_j"]
    assert result.participants[columns].equals(plain.participants[columns])


# --- beside other jobs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loads() -> dict[str, Result]:
    changes = {"duration_s": 100}
    return {
        load: run("busy_phones", overrides={**changes, "load": load})
        for load in ("both", "camera_alone", "learning_alone")
    }


def test_inference_and_training_slow_each_other(loads: dict[str, Result]) -> None:
    both, camera, learning = loads.values()
    assert both.requests.latency_s.mean() > 1.1 * camera.requests.latency_s.mean()
    assert both.participants.training_s.mean() > 1.1 * learning.participants.training_s.mean()


def test_neither_changes_the_weather_of_the_other(loads: dict[str, Result]) -> None:
    both, camera, learning = loads.values()
    for column in ("time_s", "device", "rssi_dbm"):
        assert both.requests[column].equals(camera.requests[column])
    first, alone = (
        r.participants.query("round == 1").set_index("client") for r in (both, learning)
    )
    assert first.rssi_dbm.equals(alone.rssi_dbm)
    assert first.index.equals(alone.index)


def test_energy_is_conserved_with_both_at_once(loads: dict[str, Result]) -> None:
    from edgesim.results.audit import audit

    both = loads["both"]
    assert len(list(audit(both))) == 4
    energy = both.energy.groupby("job").energy_j.sum()
    assert energy["camera"] == pytest.approx(both.requests.energy_j.sum(), rel=1e-9)
    assert energy["learning"] == pytest.approx(both.participants.energy_j.sum(), rel=1e-9)


# --- odd clients ---------------------------------------------------------------------------------


def test_clients_without_samples_are_never_asked() -> None:
    partition = {"name": "dirichlet", "parameters": {"alpha": 0.02, "least": 0}}
    result = timing(partition=partition, clients_per_round=5)
    assert (result.participants.samples > 0).all()
    assert (result.rounds.eligible < 40).all()


def test_availability_from_a_recording(tmp_path: Any) -> None:
    (tmp_path / "there.csv").write_text("time_s,value\n0,1\n0.2,0\n5,1\n")
    scenario = tmp_path / "digits.yaml"
    from edgesim.scenario.load import find_scenario

    scenario.write_text(find_scenario("federated_digits").read_text())
    available = {"kind": "trace", "file": "there.csv", "period_s": 10.0}
    overrides = {
        **SMALL,
        f"{JOB}mode": "timing_only",
        f"{JOB}available": available,
        f"{JOB}check_in_s": 1.0,
        f"{JOB}stop": {"rounds": 8},
    }
    rows = run(scenario, overrides=overrides).participants
    assert "failed:offline" in set(rows.status)
    starts = rows.start_s.to_numpy() % 10.0
    assert ((starts < 0.2) | (starts >= 5.0)).all()


def test_what_a_job_cannot_ask_for() -> None:
    with pytest.raises(EdgesimError, match="cannot be had of 40 phones"):
        timing(clients_per_round=41)
    with pytest.raises(EdgesimError, match="for synchronous jobs, which this is not"):
        timing(rounds="asynchronous")


# --- the host has no part in it ------------------------------------------------------------------


def test_a_slow_host_changes_nothing(plain: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    # Plato's clock ran with the training's own seconds, and with whatever was batched with it.
    import time

    from edgesim.learning import training

    carried_out = training._carried_out

    def slowly(*args: Any) -> Any:
        time.sleep(0.05)
        return carried_out(*args)

    monkeypatch.setattr(training, "_carried_out", slowly)
    result = digits()
    for name in plain.tables:
        assert result.arrow(name).equals(plain.arrow(name)), name


def test_hash_seed_and_threads_change_no_byte(tmp_path: Any) -> None:
    import os
    import subprocess
    import sys

    arguments = [sys.executable, "-m", "edgesim", "run", "federated_digits", "--quiet"]
    changes = {
        "phones.high.count": "4",
        "phones.mid.count": "8",
        "phones.low.count": "8",
        "jobs.digits.stop": "{rounds: 3}",
    }
    for key, value in changes.items():
        arguments += ["--set", f"{key}={value}"]
    found = []
    for number in ("1", "2"):
        out = tmp_path / number
        environment = {**os.environ, "PYTHONHASHSEED": number, "OMP_NUM_THREADS": number}
        subprocess.run([*arguments, "--out", str(out)], check=True, env=environment)
        files = [*out.glob("*.parquet"), out / "summary.json"]
        found.append({file.name: file.read_bytes() for file in files})
    assert found[0] == found[1]
    assert len(found[0]) == 7
