"""What an outcome is worth to a controller that learns: AutoScale's reward, and its energy estimator.

Source: Kim and Wu, "AutoScale", MICRO 2020, recalled and not re-read; see docs/reproduction.md.
Energies are in millijoules, times in milliseconds and accuracies in percent wherever the reward adds
them up: its weights mean something only for one choice of units.
"""

from __future__ import annotations

from math import isnan
from typing import Annotated, Literal

from pydantic import Field

from edgesim.controllers.slots import DEVICE, OffloadingObservation, OffloadingOutcome, Option
from edgesim.core.documents import Schema

__all__ = ["RewardParameters", "estimated_j", "reward"]

_INACCURATE = -30_000.0
_LATEST = -20_000.0
"""With ``penalised`` no outcome that is accurate enough is worth as little as one that is not."""


class RewardParameters(Schema):
    """What a scenario may set about the reward."""

    reward: Literal["recalled", "penalised"] = "penalised"
    """As recalled from the paper, or with penalties that order outcomes as the paper means them to be
    ordered: what is accurate enough before what is not, and in time before late."""
    alpha: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the latency in the reward as recalled, per millisecond; low to medium
    confidence."""
    beta: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the accuracy, per percent; likewise."""
    miss_penalty_mj: Annotated[float, Field(ge=0)] = 2000.0
    """With ``penalised``: what a missed deadline costs, times latency over deadline. More than a
    phone can spend within the deadlines of the paper (10 W x 0.1 s = 1000 mJ)."""
    energy: Literal["estimated", "metered"] = "estimated"
    """Where the reward has its joules from: the paper's estimator, or the phone's meter."""


def reward(
    parameters: RewardParameters,
    awake_w: float,
    observation: OffloadingObservation,
    option: Option,
    outcome: OffloadingOutcome,
) -> float:
    """The reward R.

    With energy E in millijoules, latency L and the deadline in milliseconds, accuracy A in percent:

    ``recalled``, of medium confidence:

        A below what is required        A - 100
        in time                         -E + alpha L + beta A
        late                            -E + beta A

    It gives a late outcome up no more than alpha L, a few units among hundreds, so that deadlines are
    hardly kept; and an inaccurate one may be worth more than a dear one.

    ``penalised``, ours and the default, orders outcomes as the paper says that they are meant to be:

        A below what is required        -30000 + 100 A
        late                            -miss_penalty_mj L / deadline, at least -20000
        in time                         -E + beta A

    What has failed has an accuracy of 0 and is late.

    Args:
        parameters: weights, and which of both.
        awake_w: watts of the phone being awake, for the estimator.
        observation: what the request met.
        option: where it ran.
        outcome: what came of it.
    """
    is_recalled = parameters.reward == "recalled"
    if isnan(outcome.latency_s):
        return -100.0 if is_recalled else _INACCURATE
    percent = 100.0 * outcome.accuracy
    if outcome.accuracy < observation.accuracy_min:
        return percent - 100.0 if is_recalled else _INACCURATE + 100.0 * percent
    late = outcome.latency_s / observation.deadline_s  # 0 without a deadline
    if late > 1.0 and not is_recalled:
        return max(-parameters.miss_penalty_mj * late, _LATEST)
    if parameters.energy == "metered":
        energy_j = outcome.energy_j
    else:
        energy_j = estimated_j(awake_w, observation, option, outcome)
    worth = -1e3 * energy_j + parameters.beta * percent
    if is_recalled and late <= 1.0:
        worth += parameters.alpha * 1e3 * outcome.latency_s
    return worth


def estimated_j(
    awake_w: float,
    observation: OffloadingObservation,
    option: Option,
    outcome: OffloadingOutcome,
) -> float:
    """The joules that the paper's estimator makes of an outcome: the phone's alone.

    On the phone, sum over f of P_busy(f) t_busy(f), and P_idle times the latency; elsewhere

        P_send(signal) t_send + P_receive t_receive + P_idle (latency - t_send - t_receive)

    with watts of the profile and measured times. It knows nothing of the radio's tail, of a battery's
    losses, or of how this phone differs from its profile (recalled: its error is 7.3 % on average).

    Args:
        awake_w: P_idle, watts of the phone being awake.
        observation: what the request met.
        option: the target that it ran on.
        outcome: what was measured.
    """
    if option.target.place == DEVICE:
        return outcome.compute_j + awake_w * outcome.latency_s
    link = observation.nearby_link if option.is_nearby else observation.link
    assert link is not None
    idle_s = outcome.latency_s - outcome.send_s - outcome.receive_s
    return (
        link.send_w * outcome.send_s
        + link.receive_w * outcome.receive_s
        + awake_w * max(idle_s, 0.0)
    )
