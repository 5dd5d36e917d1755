from __future__ import annotations

from math import log, nan

import numpy as np
import pytest

from edgesim.controllers.learned import dump_state, load_state
from edgesim.controllers.linucb import FEATURES, LinUcb, _Disjoint, context
from edgesim.controllers.slots import (
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Setting,
    Target,
)
from edgesim.core.errors import EdgesimError
from edgesim.hardware.catalogue import shipped
from edgesim.nn.zoo import ZOO

CPU = Option(Target("device", "cpu_big", "fp32"), "cpu", 0.7, 0.05, 0.2, 1e9)
GPU = Option(Target("device", "gpu", "fp16"), "gpu", 0.7, 0.03, 0.05, 1e9)
OPTIONS = (CPU, GPU)


def seen(co_cpu: float = 0.0, options: tuple[Option, ...] = OPTIONS) -> OffloadingObservation:
    return OffloadingObservation(
        0.0, "camera", "pixel", "mi_8_pro", ZOO["mobilenet_v1"], 0.05, 0.5, "", nan, nan, None,
        None, co_cpu, 0.0, 1.0, False, nan, options, lambda _: True, None,
    )  # fmt: skip


def learner(options: tuple[Option, ...] = OPTIONS, **parameters: float) -> LinUcb:
    chosen = LinUcb.Parameters.model_validate({"energy": "metered", **parameters})
    phones = {"mi_8_pro": shipped().phone("mi_8_pro")}
    rng = np.random.default_rng(1)
    return LinUcb(Setting("", "offloading", rng, chosen, phones, {"mi_8_pro": options}))


def outcome(energy_j: float) -> OffloadingOutcome:
    return OffloadingOutcome("done", 0.04, energy_j, True, 0.7)


def test_updates_are_those_of_inverting_the_matrix() -> None:
    rng = np.random.default_rng(3)
    model, d = _Disjoint(2, ridge=2.0), len(FEATURES)
    a, b = np.eye(d) * 2.0, np.zeros(d)
    for _ in range(50):
        x, r = rng.normal(size=d), float(rng.normal())
        model.update(1, x, r)
        a += np.outer(x, x)
        b += r * x
    np.testing.assert_allclose(model.inverse[1], np.linalg.inv(a), atol=1e-12)
    np.testing.assert_allclose(model.theta[1], np.linalg.solve(a, b), atol=1e-12)
    assert not model.theta[0].any()
    x = rng.normal(size=d)
    expected = np.linalg.solve(a, b) @ x + 0.7 * np.sqrt(x @ np.linalg.inv(a) @ x)
    assert model.bounds(x, 0.7)[1] == pytest.approx(expected)


def test_it_learns_what_is_better_under_which_condition() -> None:
    bandit, rng = learner(), np.random.default_rng(1)
    for _ in range(300):
        busy = float(rng.integers(2)) * 0.8
        observation = seen(busy)
        target = bandit.decide(observation)
        cheap = GPU.target if busy else CPU.target
        bandit.learn(observation, target, outcome(0.02 if target == cheap else 0.2))
    bandit.freeze()
    assert bandit.decide(seen(0.8)) == GPU.target
    assert bandit.decide(seen(0.0)) == CPU.target


def test_what_is_not_among_the_options_is_not_chosen() -> None:
    bandit = learner()
    only = (GPU,)
    assert {bandit.decide(seen(0.1 * k, only)) for k in range(5)} == {GPU.target}


def test_it_comes_back_from_a_file_and_once_frozen_stays_as_it_is(tmp_path: object) -> None:
    from pathlib import Path

    bandit = learner()
    for k in range(20):
        observation = seen(0.05 * k)
        bandit.learn(observation, bandit.decide(observation), outcome(0.01 * k + 0.01))
    file = Path(str(tmp_path)) / "learned.json"
    file.write_text(dump_state(bandit.state_dict()))
    again = learner()
    again.load_state_dict(load_state(file))
    again.freeze()
    before = dump_state(again.state_dict())
    for k in range(20):
        observation = seen(0.05 * k)
        again.learn(observation, again.decide(observation), outcome(5.0))
    assert dump_state(again.state_dict()) == before
    bandit.freeze()
    assert [bandit.decide(seen(c)) for c in (0.0, 0.4, 0.8)] == [
        again.decide(seen(c)) for c in (0.0, 0.4, 0.8)
    ]


def test_regressions_of_other_actions_are_refused() -> None:
    bandit = learner()
    bandit.decide(seen())
    with pytest.raises(EdgesimError, match="saved regressions"):
        learner((GPU,)).load_state_dict(bandit.state_dict())


def test_features_are_known_without_any_network() -> None:
    x = dict(zip(FEATURES, context(seen(0.25)), strict=True))
    assert x["one"] == 1
    assert x["log_macs"] == pytest.approx(log(ZOO["mobilenet_v1"].macs / 1e9))
    assert (x["co_cpu"], x["slowness"], x["nearby_slowness"]) == (0.25, 10, 10)
