"""Learning curves: what is fitted is what made the data, and the error is told."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.learning.curves import (
    CurveFit,
    LearningCurve,
    RoundRecord,
    fit_curve,
    label_skew,
)

TRUE = LearningCurve(
    0.1,
    0.93,
    0.05,
    0.8,
    {
        "batch_size": -0.5,
        "epochs": 0.6,
        "updates": 0.4,
        "kept_share": 0.3,
        "client_skew": 1.0,
        "cohort_skew": 2.0,
    },
    CurveFit(0, 0, 0.0, 0.0, ()),
)


def made(
    rng: np.random.Generator, noise: float, **fixed: float
) -> list[tuple[float, list[RoundRecord]]]:
    runs = []
    for _ in range(14):
        progress, rounds = 0.0, []
        setting = {
            "batch_size": float(rng.choice([1, 4, 16])),
            "epochs": float(rng.choice([1, 5, 10])),
            "updates": float(rng.choice([5, 10, 20])),
            "kept_share": float(rng.uniform(0.5, 1.0)),
            "client_skew": float(rng.uniform(0.0, 0.8)),
            **fixed,
        }
        for _ in range(40):
            record = RoundRecord(**setting, cohort_skew=float(rng.uniform(0, 0.4)), accuracy=nan)
            progress += TRUE.progress(record)
            accuracy = TRUE.accuracy(progress) + float(rng.normal(0, noise))
            rounds.append(RoundRecord(**setting, cohort_skew=record.cohort_skew, accuracy=accuracy))
        runs.append((0.1, rounds))
    return runs


def test_without_noise_the_curve_comes_back() -> None:
    found = fit_curve(made(np.random.default_rng(1), 0.0))
    assert found.fit.rmse < 1e-4
    assert found.fit.left_out_rmse < 1e-3
    assert found.limit == pytest.approx(0.93, abs=0.005)
    for name, effect in TRUE.effects.items():
        assert found.effects[name] == pytest.approx(effect, abs=0.05), name
    assert found.fit.held == ()


def test_the_error_told_is_that_of_the_noise() -> None:
    found = fit_curve(made(np.random.default_rng(2), 0.02))
    assert found.fit.rmse == pytest.approx(0.02, rel=0.1)
    assert found.fit.left_out_rmse >= 0.9 * found.fit.rmse


def test_what_no_run_varies_is_held_and_said() -> None:
    found = fit_curve(made(np.random.default_rng(3), 0.0, batch_size=8.0, kept_share=1.0))
    assert found.fit.held == ("batch_size", "kept_share")
    assert found.effects["batch_size"] == found.effects["kept_share"] == 0.0
    assert found.fit.ranges["batch_size"] == (8.0, 8.0)


def test_too_little_to_fit_is_said() -> None:
    runs = made(np.random.default_rng(1), 0.0)[:1]
    with pytest.raises(EdgesimError, match="4 judged rounds are too few"):
        fit_curve([(0.1, runs[0][1][:4])])


def test_rounds_that_were_not_judged_count_as_progress_only() -> None:
    whole = made(np.random.default_rng(1), 0.0)
    thinned = [
        (
            first,
            [
                r if k % 3 == 0 else RoundRecord(*list(_values(r))[:-1], nan)
                for k, r in enumerate(rounds)
            ],
        )
        for first, rounds in whole
    ]
    assert fit_curve(thinned).limit == pytest.approx(0.93, abs=0.01)


def _values(record: RoundRecord) -> list[float]:
    return [getattr(record, name) for name in RoundRecord.__slots__]


def test_a_curve_starts_and_ends_where_it_says() -> None:
    assert TRUE.accuracy(0.0) == pytest.approx(0.1)
    assert TRUE.accuracy(1e6) == pytest.approx(0.93)
    assert TRUE.accuracy(1.0) < TRUE.accuracy(2.0) < inf


def test_skew_is_total_variation_distance() -> None:
    labels = np.array([[10, 10], [20, 0], [0, 5], [0, 0]])
    of_all = np.array([50, 50])
    assert label_skew(labels, of_all).tolist() == [0.0, 0.5, 0.5, 0.0]
    assert label_skew(labels.sum(axis=0), np.array([30, 15])) == pytest.approx(0.0)
    assert label_skew(np.zeros((3, 0), np.int64), np.zeros(0, np.int64)).tolist() == [0.0] * 3


def test_what_is_not_to_be_fitted_is_held() -> None:
    runs = made(np.random.default_rng(4), 0.0, kept_share=1.0, client_skew=0.0)
    found = fit_curve(runs, ("batch_size", "epochs", "updates"))
    assert found.effects["cohort_skew"] == 0.0
    assert found.effects["epochs"] == pytest.approx(0.6, abs=0.1)
    assert found.effects["batch_size"] == pytest.approx(-0.5, abs=0.1)
    assert found.fit.held == ("kept_share", "client_skew", "cohort_skew")


def test_with_many_runs_a_tenth_is_left_out_at_a_time() -> None:
    rng = np.random.default_rng(5)
    runs = made(rng, 0.01) + made(rng, 0.01)
    found = fit_curve(runs)
    assert found.fit.runs == 28
    assert 0.8 * found.fit.rmse < found.fit.left_out_rmse < 2.0 * found.fit.rmse
