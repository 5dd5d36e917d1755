"""How a federated job was run: who took part, who was late, when a learner's reward settled.

Everything here works on the tables of finished runs, as DataFrames.
"""

from __future__ import annotations

from math import inf

import numpy as np
import pandas as pd

__all__ = ["late_share", "participants_by_profile", "reward_by_round", "rounds_until_settled"]


def participants_by_profile(participants: pd.DataFrame) -> pd.Series:
    """Share of each profile in all participations.

    Args:
        participants: a table ``participants``.

    Returns:
        By profile, summing to 1.
    """
    return participants.profile.value_counts(normalize=True, sort=False).sort_index()


def late_share(participants: pd.DataFrame) -> float:
    """Share of participations that ended late, in [0, 1]; NaN without any."""
    return float((participants.status == "late").mean())


def reward_by_round(decisions: pd.DataFrame, slot: str = "selection") -> pd.Series:
    """Mean reward of each round, in order; rounds without one are left out.

    Args:
        decisions: a table ``decisions`` of one job.
        slot: whose.

    Returns:
        By the moment of the decision, seconds.
    """
    own = decisions[(decisions.slot == slot) & decisions.reward.notna()]
    return own.groupby("time_s").reward.mean()


def rounds_until_settled(rewards: pd.Series, window: int = 10, band: float = 2.0) -> float:
    """After how many rounds a reward had settled.

    Its moving average is then within ``band`` standard errors (of a mean of ``window`` rewards, from the
    last half) of the mean of the last half, and stays there for a window.

    Args:
        rewards: round by round.
        window: of the moving average, rounds.
        band: as above; of windows that chance alone moves, one in twenty is further off than 2.

    Returns:
        Rounds from the first on; infinity if it never did, or there are fewer than four windows.
    """
    values = rewards.to_numpy(float)
    if len(values) < 4 * window:
        return inf
    tail = values[len(values) // 2 :]
    error = tail.std(ddof=1) / np.sqrt(window)
    moving = np.convolve(values, np.full(window, 1.0 / window), "valid")
    is_near = np.abs(moving - tail.mean()) <= band * max(error, 1e-12)
    run = np.convolve(is_near, np.ones(window), "valid")
    places = np.flatnonzero(run == window)
    return float(places[0] + window) if len(places) else inf
