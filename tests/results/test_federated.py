"""Measures of federated jobs, from tables made by hand."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pandas as pd
import pytest

from edgesim.results.federated import (
    late_share,
    participants_by_profile,
    reward_by_round,
    rounds_until_settled,
)


def test_who_took_part_and_who_was_late() -> None:
    rows = pd.DataFrame(
        {"profile": ["high", "low", "low", "mid"], "status": ["done", "late", "done", "failed:x"]}
    )
    assert participants_by_profile(rows).to_dict() == {"high": 0.25, "low": 0.5, "mid": 0.25}
    assert late_share(rows) == 0.25
    assert late_share(rows[:0]) != late_share(rows[:0])


def test_rewards_are_means_of_rounds_in_order() -> None:
    rows = pd.DataFrame(
        {
            "time_s": [3.0, 1.0, 1.0, 2.0, 3.0],
            "slot": ["selection", "selection", "selection", "parameters", "selection"],
            "reward": [5.0, 1.0, 3.0, 100.0, nan],
        }
    )
    assert reward_by_round(rows).to_dict() == {1.0: 2.0, 3.0: 5.0}


@pytest.mark.parametrize("seed", range(5))
def test_a_reward_settles_where_its_mean_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean = np.concatenate([np.linspace(-50, 0, 60), np.zeros(240)])
    found = rounds_until_settled(pd.Series(mean + rng.normal(0, 1, 300)), band=2.0)
    assert 50 <= found <= 120


def test_a_reward_that_goes_on_rising_never_settles() -> None:
    assert rounds_until_settled(pd.Series(np.arange(100.0)), band=1.0) == inf
    assert rounds_until_settled(pd.Series(np.ones(39))) == inf
    assert rounds_until_settled(pd.Series(np.ones(40))) == 10.0
