"""Slot ``local_training``: HeteroSwitch, what it is made of for everybody, and what is left without parts.

====================  ==========================================================================
controller            each client
====================  ==========================================================================
``heteroswitch``      jitters its pictures, and averages its weights, if it finds the model good
``isp_transform``     jitters its pictures
``isp_transform_swad``  jitters its pictures and averages its weights
``random_switch``     jitters and averages by chance, as often as it is told to
====================  ==========================================================================

Source: Kim et al., "HeteroSwitch: characterizing and taming system-induced data heterogeneity in
federated learning", MLSys 2024, section 5, equations 1 to 3 and algorithm 1. Where the paper can be
read in more than one way, a parameter says which is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, isnan, nan
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgesim.controllers.federated import (
    LocalTraining,
    LocalTrainingObservation,
    ParticipantOutcome,
)
from edgesim.controllers.slots import Lesson, Setting
from edgesim.core.documents import Schema
from edgesim.learning.program import Jitter

__all__ = ["HeteroSwitch", "IspTransform", "RandomSwitch"]

Degree = Annotated[float, Field(ge=0, le=0.99)]
Share = Annotated[float, Field(ge=0, le=1)]


class JitterParameters(Schema):
    """How pictures are changed, and whether weights are averaged: parameters of :class:`IspTransform`."""

    white_balance: Degree = 0.001
    """Degree d of random white balance: gains are uniform in [1 - d, 1 + d]. 0.001 is what the paper
    selected (its appendix A.2); it moves no value by a third of an 8-bit step."""
    gamma: Degree = 0.9
    """Degree of random gamma, likewise (appendix A.2)."""
    drawn_per: Literal["picture", "batch", "client"] = "picture"
    """What the numbers are drawn for: each picture once a round, each batch, or all pictures of a client
    once a round. Algorithm 1, line 7, changes the data once, before batches; it does not say more."""
    averages: bool = False
    """Whether the update is the mean of the weights after each step (dense averaging, SWAD without its
    window)."""
    averages_start: bool = False
    """Whether the weights that came are part of that mean. In algorithm 1, line 13, they have weight 0."""

    @property
    def jitter(self) -> Jitter | None:
        """The transformation; ``None`` if both degrees are 0."""
        if not (self.white_balance or self.gamma):
            return None
        return Jitter(self.white_balance, self.gamma, self.drawn_per)


class SwitchParameters(JitterParameters):
    """Parameters of :class:`HeteroSwitch`."""

    averages: bool = True
    """Whether weights are averaged at all."""
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Weight of the newest loss in the running mean (section 5.2)."""
    criterion: Literal["training_loss", "initial_loss", "test_loss"] = "training_loss"
    """What losses are compared with: the running mean of what clients reported of their training
    (algorithm 1); that of their initial losses; or the loss of the present model on the scenes to test
    with, in place of the validation data that section 5.2 allows. The last peeks at them: for study."""
    weighed_by: Literal["clients", "samples"] = "clients"
    """How the losses of a round become one: their mean by clients, or by samples."""
    first_round: Literal["off", "on"] = "off"
    """Both switches while there is no loss to compare with."""
    second_switch: bool = True
    """Whether a client that averaged gives the mean back only if its training loss was low, too; else in
    any case."""


class RandomParameters(JitterParameters):
    """Parameters of :class:`RandomSwitch`."""

    averages: bool = True
    """Whether weights are averaged at all."""
    rate: Share = 0.9
    """How often a client jitters and averages."""
    averages_rate: Share = 0.6
    """How often one that does gives the mean back."""


class IspTransform:
    """Every client jitters its pictures; with ``averages`` it gives back the mean of its weights.

    Source: the paper's "ISP transformation" and "ISP transformation + SWAD" (section 6).
    """

    Parameters: type[JitterParameters] = JitterParameters
    needs_what_if = False
    learns = False

    def __init__(self, setting: Setting) -> None:
        self._parameters: JitterParameters = setting.parameters or self.Parameters()
        self.changes_pictures = self._parameters.jitter is not None

    def decide(self, observation: LocalTrainingObservation) -> LocalTraining:
        """The job's own program, on other pictures."""
        own = self._parameters
        return LocalTraining(
            replace(
                observation.program,
                jitter=own.jitter,
                averages=own.averages,
                averages_start=own.averages_start,
            )
        )

    def learn(self, observation: Any, decision: Any, outcome: Any) -> Lesson | None:
        """Nothing to learn."""

    def freeze(self) -> None:
        """Nothing to freeze."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


class RandomSwitch(IspTransform):
    """Both switches by chance: what HeteroSwitch's losses are worth is what it is better than this.

    Each client of each round draws for itself, whoever else takes part.
    """

    Parameters = RandomParameters

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._rates: RandomParameters = setting.parameters or self.Parameters()
        self._key = int(setting.rng.integers(2**62))

    def decide(self, observation: LocalTrainingObservation) -> LocalTraining:
        """The job's own program, changed or not."""
        told = super().decide(observation)
        rng = np.random.default_rng((self._key, observation.round, observation.client))
        first, second = rng.random(2).tolist()
        is_on = first < self._rates.rate
        averages = told.program.averages and is_on
        return LocalTraining(
            replace(
                told.program,
                jitter=told.program.jitter if is_on else None,
                averages=averages,
                averages_below=None if second < self._rates.averages_rate else -inf,
            )
        )


class HeteroSwitch(IspTransform):
    """Clients that know the model's data already diversify it; those with rare cameras do not.

    A client first judges the model that it received, on its own samples. Below the running mean of losses
    that clients reported (Switch 1), it jitters its pictures and averages its weights after each step; if
    its training loss is below it, too (Switch 2), it gives the mean back, else its last weights.

    Source: algorithm 1. That mean compares losses during training with losses before it, and clients that
    jitter report inflated ones: so it is in the paper, and ``criterion`` offers what else there is.
    It is not something learned that could be frozen or carried to another job: each job begins anew.
    """

    Parameters = SwitchParameters
    learns = True
    goes_by_loss = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._own: SwitchParameters = setting.parameters or self.Parameters()
        self._mean = nan
        self._round = 0
        self._reported: list[tuple[float, int]] = []  # since the mean was last moved

    def decide(self, observation: LocalTrainingObservation) -> LocalTraining:
        """The job's own program, with both switches at what losses are now."""
        own = self._own
        if observation.round < self._round:  # another job: what its model loses is another matter
            self._mean, self._reported = nan, []
        elif observation.round > self._round:
            self._move()
        self._round = observation.round
        level = observation.loss if own.criterion == "test_loss" else self._mean
        if isnan(level):
            level = inf if own.first_round == "on" else -inf
        program = super().decide(observation).program
        return LocalTraining(
            replace(
                program,
                jitters_below=level,
                averages_below=level if own.second_switch else None,
            )
        )

    def learn(
        self,
        observation: LocalTrainingObservation,
        decision: LocalTraining,
        outcome: ParticipantOutcome,
    ) -> Lesson | None:
        """Take note of the loss that a client reported."""
        of_training = self._own.criterion == "training_loss"
        loss = outcome.loss if of_training else outcome.initial_loss
        if not (isnan(outcome.loss) or isnan(loss)):
            samples = int(observation.clients.samples[outcome.client])
            self._reported.append((loss, samples))
        return None

    def state_dict(self) -> dict[str, Any]:
        """The mean, and what has been reported since it last moved."""
        return {
            "mean": None if isnan(self._mean) else self._mean,
            "round": self._round,
            "reported": [list(each) for each in self._reported],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._mean = nan if state["mean"] is None else state["mean"]
        self._round = state["round"]
        self._reported = [(loss, samples) for loss, samples in state["reported"]]

    def _move(self) -> None:
        """Take what was reported into the running mean."""
        if not self._reported:
            return
        weights = [n if self._own.weighed_by == "samples" else 1 for _, n in self._reported]
        total = sum(w * loss for w, (loss, _) in zip(weights, self._reported, strict=True))
        newest = total / sum(weights)
        alpha = self._own.alpha
        self._mean = newest if isnan(self._mean) else alpha * newest + (1.0 - alpha) * self._mean
        self._reported = []
