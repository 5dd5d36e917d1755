from math import inf, nan, sqrt

import numpy as np
import pandas as pd
import pytest

from edgesim.results.offloading import agrees, ceiling, means_of_ratios, paired, regret


def requests(rows: int, **columns: object) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "job": "camera",
            "device": "pixel",
            "time_s": np.arange(float(rows)),
            "model": "mobilenet_v1",
            "phase": "evaluation",
            "status": "done",
            "energy_j": 1.0,
            "latency_s": 0.04,
            "deadline_met": True,
            "deadline_s": 0.05,
            "accuracy_min": nan,
            "oracle_energy_j": 1.0,
            "oracle_latency_s": 0.04,
            "forecast_energy_j": 1.0,
            "forecast_latency_s": 0.04,
        }
    )
    return frame.assign(**columns)


def test_three_averages_of_the_same_ratios_differ() -> None:
    means = means_of_ratios(pd.Series([8.0, 1.0]), pd.Series([1.0, 0.5]))
    assert means.arithmetic == 5.0
    assert means.geometric == pytest.approx(sqrt(16))
    assert means.of_sums == 6.0


def test_only_what_both_have_done_is_paired() -> None:
    base = requests(4, status=["done", "failed:timeout", "done", "done"])
    other = requests(4, phase=["evaluation", "evaluation", "training", "evaluation"], energy_j=2.0)
    both = paired(base, other)
    assert both.time_s.tolist() == [0.0, 3.0]
    assert both.energy_j_other.tolist() == [2.0, 2.0]


def test_as_well_as_the_oracle_is_in_time_if_that_is_and_for_little_more() -> None:
    rows = requests(
        5,
        forecast_energy_j=[1.05, 1.06, 0.5, nan, 0.9],
        forecast_latency_s=[0.05, 0.04, 0.06, nan, 0.04],
        oracle_latency_s=[0.04, 0.04, 0.04, 0.04, 0.06],
    )
    assert agrees(rows).tolist() == [True, False, False, False, False]
    assert regret(rows).tolist() == [1.05, 1.06, 0.5, inf, 0.9]


def test_the_ceiling_is_what_the_best_target_per_state_reaches() -> None:
    # In state 0 target a is right twice and b once; in state 1 each is right once.
    right = ["a", "a", "b", "a", "b"]
    rows = requests(5, deadline_s=nan)
    forecasts = pd.DataFrame(
        [
            ("camera", "pixel", float(k), target, 0.7, 0.04, 1.0 if target == right[k] else 2.0)
            for k in range(5)
            for target in ("a", "b")
        ],
        columns=["job", "device", "time_s", "target", "accuracy", "latency_s", "energy_j"],
    )
    does = ceiling(rows, forecasts, [0, 0, 0, 1, 1])
    assert does.tolist() == [True, True, False, True, False]
    poor = forecasts.assign(accuracy=np.where(forecasts.target == "a", 0.2, 0.9))
    does = ceiling(rows.assign(accuracy_min=0.5), poor, [0, 0, 0, 1, 1])
    assert does.tolist() == [False, False, True, False, True]
