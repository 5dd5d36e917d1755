"""A federated job whose time and energy are those of another model than the one that learns."""

from __future__ import annotations

from typing import Any

import pytest

from edgesim.core.errors import ConfigError
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run

JOB = "jobs.digits."
SHORT: dict[str, Any] = {f"{JOB}stop": {"rounds": 2}, "phones.*.count": 4}


def test_costs_are_the_other_models_and_accuracies_the_learners() -> None:
    own = run("federated_digits", overrides=SHORT)
    other = run("federated_digits", overrides={**SHORT, f"{JOB}cost_model": "mobilenet_v1_128"})
    assert other.rounds.accuracy.tolist() == own.rounds.accuracy.tolist()
    assert other.summary["cost_model"] == "mobilenet_v1_128"
    assert "cost_model" not in own.summary
    assert other.summary["accuracy_source"] == "trained"
    alone = run(
        "federated_digits",
        overrides={**SHORT, f"{JOB}mode": "timing_only", f"{JOB}model": "mobilenet_v1_128"},
    )
    same = run(
        "federated_digits",
        overrides={**SHORT, f"{JOB}mode": "timing_only", f"{JOB}cost_model": "mobilenet_v1_128"},
    )
    assert same.participants.equals(alone.participants)
    columns = ["client", "target", "download_s", "training_s", "upload_s", "energy_j"]
    assert other.participants[columns].equals(alone.participants[columns])


def test_a_trainable_model_can_be_what_is_costed() -> None:
    meant = {"name": "mlp", "parameters": {"hidden": [200, 200]}}
    small = run("federated_digits", overrides={**SHORT, f"{JOB}cost_model": meant})
    large = run("federated_digits", overrides={**SHORT, f"{JOB}model": meant})
    assert small.participants.energy_j.tolist() == large.participants.energy_j.tolist()
    assert small.rounds.accuracy.tolist() != large.rounds.accuracy.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cost_model": "mobilenet_v1_129"}, "did you mean 'mobilenet_v1_128'"),
        (
            {"cost_model": {"name": "mobilenet_v1", "parameters": {"width": 2}}},
            "without parameters; leave them out",
        ),
        ({"cost_model": {"name": "mlp", "parameters": {"widht": 2}}}, "'widht'"),
    ],
)
def test_what_is_wrong_with_it_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_scenario("federated_digits", [(f"{JOB}{key}", v) for key, v in changes.items()])


def test_an_access_point_of_ones_own_has_no_place() -> None:
    changes = [("networks.home.shared", False), ("networks.home.x_m", 1), ("networks.home.y_m", 1)]
    with pytest.raises(ConfigError, match="which then is shared"):
        load_scenario("federated_digits", changes)
