"""What a coordinator is told would happen to a client equals what happens to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import numpy as np
import pytest

from edgesim.controllers.federated import (
    Participant,
    RoundForecast,
    RoundOutcome,
    SelectionObservation,
)
from edgesim.controllers.slots import Lesson, Setting
from edgesim.scenario.run import run

FORESEEN: list[tuple[int, str, float, float]] = []
TOGETHER: list[RoundForecast] = []


class Foreseeing:
    """Selects one client at a time, in turn, on every target, and notes what was foreseen."""

    needs_what_if = True
    learns = False

    def __init__(self, setting: Setting) -> None:
        FORESEEN.clear()

    def decide(self, observation: SelectionObservation) -> Sequence[Participant]:
        client = int(observation.eligible[observation.round % len(observation.eligible)])
        options = observation.clients.options(client, observation.batch_size)
        target = options[observation.round % len(options)].target
        assert observation.what_if is not None
        forecast = observation.what_if([Participant(client, target)])
        FORESEEN.append((client, str(target), forecast.finish_s[0], forecast.client_j[0]))
        return (Participant(client, target),)

    def learn(self, observation: Any, decision: Any, outcome: RoundOutcome) -> Lesson | None: ...

    def freeze(self) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class ForeseeingAll(Foreseeing):
    """Selects every third client, and notes what was foreseen of the cohort."""

    def decide(self, observation: SelectionObservation) -> Sequence[Participant]:
        clients = observation.eligible[observation.round % 3 :: 3].tolist()
        options = observation.clients.options(0, observation.batch_size)
        cohort = [Participant(client, options[0].target) for client in clients]
        assert observation.what_if is not None
        TOGETHER.append(observation.what_if(cohort))
        return cohort


def test_a_cohort_at_access_points_of_their_own_does_what_was_foreseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    TOGETHER.clear()
    overrides: dict[str, Any] = {
        "networks.home.shared": False,
        "phones.*.count": 4,
        "jobs.digits.clients_per_round": 4,
        "jobs.digits.mode": "timing_only",
        "jobs.digits.model": "mobilenet_v1_128",
        "jobs.digits.samples_per_client": 20,
        "jobs.digits.stop": {"rounds": 6},
        "jobs.digits.check_in_s": 100,
    }
    result = run(
        "federated_digits", controllers={"selection": "mine:ForeseeingAll"}, overrides=overrides
    )
    assert len(TOGETHER) == len(result.rounds) == 6
    for forecast, (number, duration_s, ledger_j) in zip(
        TOGETHER,
        result.rounds[["round", "duration_s", "energy_ledger_j"]].itertuples(index=False),
        strict=True,
    ):
        rows = result.participants[result.participants["round"] == number]
        assert len(rows) == 4
        assert duration_s == pytest.approx(forecast.duration_s, rel=1e-9)
        assert ledger_j == pytest.approx(forecast.energy_j, rel=1e-9)
        assert rows.energy_j.tolist() == pytest.approx(list(forecast.client_j), rel=1e-9)


@pytest.mark.parametrize("network", ["wifi", "lte"])
def test_a_client_alone_does_what_was_foreseen(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    overrides: dict[str, Any] = {
        "phones.high.count": 3,
        "phones.mid.count": 3,
        "phones.low.count": 3,
        "jobs.digits.clients_per_round": 1,
        "jobs.digits.mode": "timing_only",
        "jobs.digits.model": "mobilenet_v1",
        "jobs.digits.samples_per_client": 20,
        "jobs.digits.stop": {"rounds": 12},
        "jobs.digits.check_in_s": 100,
    }
    if network == "lte":
        overrides["networks.home"] = {"kind": "lte"}
        for name in ("high", "mid", "low"):
            overrides[f"phones.{name}.rssi_dbm"] = {
                "kind": "gauss_markov",
                "mean": -90,
                "std": 5,
                "step_s": 5,
                "correlation_time_s": 60,
            }
    result = run(
        "federated_digits", controllers={"selection": "mine:Foreseeing"}, overrides=overrides
    )
    rows = result.participants
    assert (rows.status == "done").sum() >= 10
    rounds = result.rounds
    for k, (client, target, finish_s, energy_j) in enumerate(FORESEEN):
        row = rows.iloc[k]
        assert (row.client, row.target) == (client, target)
        if row.status != "done":
            assert row.status == "failed:connection_lost"
            assert finish_s == inf
            continue
        assert rounds.duration_s.iloc[k] == pytest.approx(finish_s, rel=1e-9)
        assert row.energy_j == pytest.approx(energy_j, rel=1e-9)
    assert len(set(np.round(rounds.duration_s, 3))) > 6
