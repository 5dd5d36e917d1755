"""Deadlines that go with what is trained: so many times what the slowest kind of phone needs undisturbed."""

from __future__ import annotations

from typing import Any

import pytest

from edgesim.core.errors import ConfigError
from edgesim.core.recorder import Recorder
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run
from edgesim.scenario.world import World

JOB = "jobs.digits."
QUIET: dict[str, Any] = {
    "phones.*.count": 2,
    "phones.*.rssi_dbm": -40,
    "phones.*.app": "none",
    "networks.home.shared": False,
    "mismatch": None,
    "training": None,
    f"{JOB}partition": "iid",
    f"{JOB}clients_per_round": 6,
    f"{JOB}stop": {"rounds": 2},
    f"{JOB}mode": "timing_only",
}


def rounds_with(ratio: float, **more: Any) -> Any:
    changes = {**QUIET, f"{JOB}rounds": {"kind": "synchronous", "deadline_ratio": ratio}, **more}
    return run("autofl_small", controllers={"selection": "random"}, overrides=changes)


def test_one_is_what_the_slowest_takes() -> None:
    in_time = rounds_with(1.001)
    assert set(in_time.participants.status) == {"done"}
    slowest_s = in_time.rounds.duration_s.max()
    assert in_time.rounds.deadline_s.iloc[0] == pytest.approx(1.001 * slowest_s, rel=2e-3)
    late = rounds_with(0.999).participants
    assert set(late[late.status == "late"].profile) == {"autofl_low"}


def test_it_goes_with_the_work_and_with_who_shares_the_air() -> None:
    base, more, shared = (
        rounds_with(1.0, **changes).rounds.deadline_s.iloc[0]
        for changes in ({}, {f"{JOB}epochs": 40}, {"networks.home.shared": True})
    )
    assert 1.5 * base < more < 2.0 * base
    assert shared > base


def test_there_is_none_without_a_way_to_the_coordinator() -> None:
    changes = [*QUIET.items(), (f"{JOB}rounds", {"kind": "synchronous", "deadline_ratio": 1.0})]
    world = World(load_scenario("autofl_small", changes), Recorder(None, []))
    (job,) = world.federated.values()
    assert job.terms.deadline_s < 10
    assert job._roster.nominal_s(5, 1, (0.0, 0.0), 6) > 0.034  # the round trip
    job._roster._site = "nowhere"
    assert job._roster.nominal_s(5, 1, (0.0, 0.0), 6) == float("inf")


def test_one_deadline_only() -> None:
    given = {"kind": "synchronous", "deadline_ratio": 1.0, "deadline_s": 3}
    with pytest.raises(ConfigError, match="give one of deadline_s"):
        load_scenario("autofl_small", [(f"{JOB}rounds", given)])
