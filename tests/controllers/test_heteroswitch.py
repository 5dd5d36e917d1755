"""HeteroSwitch's running mean of losses, its switches, and what it is made of."""

from __future__ import annotations

from math import inf, nan
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgesim.controllers.federated import (
    LocalTraining,
    LocalTrainingObservation,
    ParticipantOutcome,
    TrainingTarget,
)
from edgesim.controllers.heteroswitch import HeteroSwitch, IspTransform, RandomSwitch
from edgesim.controllers.registry import CONTROLLERS
from edgesim.controllers.slots import Setting
from edgesim.learning.program import Jitter, LocalProgram

SAMPLES = np.array([10, 30, 10, 50])
PLAIN = LocalProgram(0.1, 10)


def made(kind: type, **given: Any) -> Any:
    parameters = kind.Parameters(**given)  # type: ignore[attr-defined]
    return kind(Setting("photos", "local_training", np.random.default_rng(1), parameters))


def asked(round_number: int, client: int = 0, loss: float = nan) -> LocalTrainingObservation:
    clients: Any = SimpleNamespace(samples=SAMPLES)
    return LocalTrainingObservation(0.0, "photos", round_number, client, PLAIN, clients, loss)


def outcome(client: int, loss: float, initial_loss: float = nan) -> ParticipantOutcome:
    status = "late" if np.isnan(loss) else "done"
    numbers = (1.0, 0.1, 0.8, 0.1, 1.0, 0.5, 0.2, loss, 10, 1, 0.0, initial_loss)
    return ParticipantOutcome(client, TrainingTarget("cpu"), status, *numbers)


def level(controller: HeteroSwitch, round_number: int, loss: float = nan) -> float:
    program = controller.decide(asked(round_number, loss=loss)).program
    assert program.averages_below == program.jitters_below
    assert program.jitters_below is not None
    return program.jitters_below


def report(
    controller: HeteroSwitch, round_number: int, losses: dict[int, tuple[float, float]]
) -> None:
    for client, (loss, initial) in losses.items():
        told = controller.decide(asked(round_number, client))
        controller.learn(asked(round_number, client), told, outcome(client, loss, initial))


def test_without_a_loss_both_switches_are_off() -> None:
    assert level(made(HeteroSwitch), 1) == -inf
    assert level(made(HeteroSwitch, first_round="on"), 1) == inf


def test_the_running_mean_is_of_the_rounds_before() -> None:
    controller = made(HeteroSwitch)
    report(controller, 1, {0: (2.0, 2.4), 1: (1.0, 2.2)})
    assert level(controller, 1) == -inf  # the round goes on
    assert level(controller, 2) == pytest.approx(1.5)
    report(controller, 2, {2: (1.0, 2.0), 3: (nan, 2.0)})  # one was late
    assert level(controller, 3) == pytest.approx(0.9 * 1.0 + 0.1 * 1.5)
    assert level(controller, 9) == pytest.approx(1.05)  # nobody has told of more


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"alpha": 0.25}, 0.25 * 1.0 + 0.75 * 1.5),
        ({"weighed_by": "samples"}, 0.9 * 1.0 + 0.1 * (2.0 * 10 + 1.0 * 30) / 40),
        ({"criterion": "initial_loss"}, 0.9 * 2.0 + 0.1 * 2.3),
    ],
)
def test_what_else_the_paper_may_have_meant(given: dict[str, Any], wanted: float) -> None:
    controller = made(HeteroSwitch, **given)
    report(controller, 1, {0: (2.0, 2.4), 1: (1.0, 2.2)})
    report(controller, 2, {2: (1.0, 2.0)})
    assert level(controller, 3) == pytest.approx(wanted)


def test_the_loss_of_the_present_model_may_take_its_place() -> None:
    controller = made(HeteroSwitch, criterion="test_loss")
    assert level(controller, 1) == -inf
    report(controller, 1, {0: (2.0, 2.4)})
    assert level(controller, 2, loss=1.7) == 1.7


def test_programs() -> None:
    program = made(HeteroSwitch).decide(asked(1)).program
    assert program.jitter == Jitter(0.001, 0.9, "picture")
    assert program.averages
    assert not program.averages_start
    first_only = made(HeteroSwitch, second_switch=False).decide(asked(1)).program
    assert first_only.averages_below is None
    transform = made(IspTransform).decide(asked(1)).program
    assert (transform.jitter, transform.averages) == (Jitter(0.001, 0.9), False)
    assert not transform.needs_initial_loss
    averaging = made(IspTransform, white_balance=0, gamma=0, averages=True)
    assert averaging.decide(asked(1)).program.jitter is None
    assert not averaging.changes_pictures
    assert made(IspTransform).changes_pictures


def test_what_was_learned_can_be_taken_up_again() -> None:
    first, second = made(HeteroSwitch), made(HeteroSwitch)
    report(first, 1, {0: (2.0, 2.4)})
    report(first, 2, {0: (1.0, 2.4)})
    second.load_state_dict(first.state_dict())
    assert level(second, 3) == level(first, 3)
    fresh = made(HeteroSwitch)
    fresh.load_state_dict(made(HeteroSwitch).state_dict())
    assert level(fresh, 1) == -inf


def test_it_goes_by_the_losses_of_its_job_frozen_or_not() -> None:
    controller = made(HeteroSwitch)
    report(controller, 1, {0: (2.0, 2.4)})
    controller.freeze()
    report(controller, 2, {0: (1.0, 2.4)})
    assert level(controller, 3) == pytest.approx(0.9 * 1.0 + 0.1 * 2.0)


def test_another_job_begins_anew() -> None:
    earlier, controller = made(HeteroSwitch), made(HeteroSwitch)
    report(earlier, 7, {0: (0.3, 0.3)})
    controller.load_state_dict(earlier.state_dict())
    assert level(controller, 1) == -inf
    report(controller, 1, {0: (2.0, 2.4)})
    assert level(controller, 2) == 2.0


def test_chance_throws_the_switches_as_often_as_told_whoever_else_takes_part() -> None:
    controller = made(RandomSwitch, rate=0.7, averages_rate=0.4)
    told = {
        (r, k): controller.decide(asked(r, k)).program for r in range(1, 101) for k in range(20)
    }
    on = [program for program in told.values() if program.averages]
    assert len(on) / len(told) == pytest.approx(0.7, abs=0.035)
    assert all((program.jitter is not None) is program.averages for program in told.values())
    kept = [program.averages_below is None for program in on]
    assert np.mean(kept) == pytest.approx(0.4, abs=0.045)
    again = made(RandomSwitch, rate=0.7, averages_rate=0.4)
    assert all(again.decide(asked(*key)).program == told[key] for key in reversed(list(told)[::7]))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (IspTransform, {"gamma": 1.0}),
        (IspTransform, {"white_balance": -0.1}),
        (HeteroSwitch, {"alpha": 0.0}),
        (HeteroSwitch, {"criterion": "loss"}),
        (RandomSwitch, {"rate": 1.1}),
    ],
)
def test_parameters_out_of_range_are_refused(kind: type, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        made(kind, **given)


def test_variants_differ_as_they_say() -> None:
    assert CONTROLLERS["isp_transform_swad"].settings == {"averages": True}
    assert CONTROLLERS["heteroswitch_initial"].settings == {"criterion": "initial_loss"}
    told = made(IspTransform, **CONTROLLERS["isp_transform_swad"].settings).decide(asked(1))
    assert isinstance(told, LocalTraining)
    assert told.program.averages
    assert told.program.averages_below is None
