from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.controllers.learned import dump_state, load_state
from edgesim.controllers.predictors import KNearest, LinearRegression, Predictor, SupportVectors
from edgesim.controllers.slots import (
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Setting,
    Target,
)
from edgesim.hardware.catalogue import shipped
from edgesim.nn.zoo import ZOO

OPTIONS = tuple(
    Option(
        Target("device", processor, "fp32", level),
        kind,
        0.7,
        0.08 / (1 + level),
        0.1,
        (1 + level) * 1e9,
    )
    for processor, kind in (("cpu_big", "cpu"), ("gpu", "gpu"))
    for level in (0, 1)
)
KINDS = [LinearRegression, SupportVectors, KNearest]


def seen(
    co_cpu: float, deadline_s: float = 1.0, accuracy_min: float = 0.0
) -> OffloadingObservation:
    return OffloadingObservation(
        0.0, "camera", "pixel", "mi_8_pro", ZOO["mobilenet_v1"], deadline_s, accuracy_min, "", nan,
        nan, None, None, co_cpu, 0.0, 1.0, False, nan, OPTIONS, lambda _: True, None,
    )  # fmt: skip


def truth(target: Target, co_cpu: float) -> tuple[float, float]:
    """Seconds and joules: the CPU is cheap and fast until it is busy; a higher clock costs more."""
    assert target.level is not None
    busy = 3.0 * co_cpu if target.processor == "cpu_big" else 0.0
    seconds = (0.04 if target.processor == "cpu_big" else 0.06) * (1 + busy) / (1 + target.level)
    return seconds, seconds * (1.0 + target.level) * (1.0 if target.processor == "cpu_big" else 1.2)


def outcome(target: Target, co_cpu: float) -> OffloadingOutcome:
    seconds, joules = truth(target, co_cpu)
    return OffloadingOutcome("done", seconds, joules, True, 0.7)


def trained(kind: type[Predictor], outcomes: int = 400, **parameters: Any) -> Predictor:
    phones = {"mi_8_pro": shipped().phone("mi_8_pro")}
    setting = Setting(
        "", "offloading", np.random.default_rng(1), kind.Parameters.model_validate(parameters),
        phones, {"mi_8_pro": OPTIONS},
    )  # fmt: skip
    predictor, rng = kind(setting), np.random.default_rng(2)
    for _ in range(outcomes):
        observation = seen(float(rng.random()) * 0.9)
        target = predictor.decide(observation)
        predictor.learn(observation, target, outcome(target, observation.co_cpu))
    predictor.freeze()
    return predictor


def best(co_cpu: float, deadline_s: float) -> Target:
    found = {option.target: truth(option.target, co_cpu) for option in OPTIONS}
    in_time = {
        target: joules for target, (seconds, joules) in found.items() if seconds <= deadline_s
    }
    return min(in_time, key=in_time.__getitem__)


@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_what_needs_least_and_is_in_time(kind: type[Predictor]) -> None:
    predictor = trained(kind)
    for co_cpu, deadline_s in ((0.05, 1.0), (0.8, 1.0), (0.05, 0.025), (0.8, 0.04)):
        assert (
            predictor.decide(seen(co_cpu, deadline_s)).processor
            == best(co_cpu, deadline_s).processor
        )


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_how_far_off_it_was(kind: type[Predictor]) -> None:
    predictor = trained(kind)
    assert predictor.errors() == {}
    for co_cpu in np.linspace(0, 0.9, 20):
        observation = seen(float(co_cpu))
        target = predictor.decide(observation)
        predictor.learn(observation, target, outcome(target, observation.co_cpu))
    ((seconds, joules),) = predictor.errors().values()
    assert 0 < seconds < 0.15
    assert 0 < joules < 0.15


def test_until_it_is_fitted_it_chooses_at_random() -> None:
    predictor = trained(LinearRegression, outcomes=9)
    chosen = {predictor.decide(seen(0.0)) for _ in range(60)}
    assert len(chosen) == len(OPTIONS)


def test_without_training_it_is_fitted_when_it_is_told_to() -> None:
    predictor = trained(LinearRegression, outcomes=0, refit_every=50, epsilon=0.0)
    predictor._is_frozen = False
    rng = np.random.default_rng(2)
    for _ in range(50):
        observation = seen(float(rng.random()) * 0.9)
        target = predictor.decide(observation)
        predictor.learn(observation, target, outcome(target, observation.co_cpu))
    assert len({predictor.decide(seen(0.1)) for _ in range(30)}) == 1


def test_it_keeps_no_more_outcomes_than_it_may() -> None:
    state = trained(LinearRegression, outcomes=300, samples_max=40).state_dict()
    assert state["fleets"]["mi_8_pro"]["x"].shape[0] == 40
    assert state["fleets"]["mi_8_pro"]["seen"] == 300


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_from_a_file(kind: type[Predictor], tmp_path: Path) -> None:
    predictor = trained(kind)
    (tmp_path / "learned.json").write_text(dump_state(predictor.state_dict()))
    again = trained(kind, outcomes=0)
    again.load_state_dict(load_state(tmp_path / "learned.json"))
    for co_cpu in (0.0, 0.3, 0.6, 0.9):
        assert again.decide(seen(co_cpu)) == predictor.decide(seen(co_cpu))


def test_what_is_not_accurate_enough_is_left_out() -> None:
    predictor = trained(LinearRegression)
    poor = OPTIONS[0]._replace(accuracy=0.2)
    observation = seen(0.0, accuracy_min=0.5)._replace(options=(poor, *OPTIONS[1:]))
    assert predictor.decide(observation) != poor.target


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_picture_took_is_no_part_of_what_a_target_takes(kind: type[Predictor]) -> None:
    # Pictures take a second and more, far longer than any target; the deadline counts from the arrival.
    predictor = kind(
        Setting(
            "camera",
            "offloading",
            np.random.default_rng(1),
            parameters=kind.Parameters(),
            phones={"mi_8_pro": shipped().phone("mi_8_pro")},
        )
    )
    for k in range(400):
        asked = seen(0.0)._replace(elapsed_s=1.0 + 0.01 * (k % 100))
        chosen = predictor.decide(asked)
        seconds, joules = truth(chosen, 0.0)
        late = OffloadingOutcome("done", asked.elapsed_s + seconds, joules, True, 0.7)
        predictor.learn(asked, chosen, late)
    predictor.freeze()
    times_s = {option.target: truth(option.target, 0.0) for option in OPTIONS}
    for left_s in (0.025, 0.035, 0.05, 1.0):
        asked = seen(0.0, deadline_s=1.5 + left_s)._replace(elapsed_s=1.5)
        in_time = [t for t, (seconds, _) in times_s.items() if seconds <= left_s]
        best = min(in_time, key=lambda t: times_s[t][1])
        chosen = predictor.decide(asked)
        assert times_s[chosen][1] == pytest.approx(times_s[best][1], rel=0.05)
        assert times_s[chosen][0] <= left_s
        seconds, joules = times_s[chosen]
        predictor.learn(asked, chosen, OffloadingOutcome("done", 1.5 + seconds, joules, True, 0.7))
    (errors,) = predictor.errors().values()
    assert errors[0] < 0.1
