"""LinUCB: a linear bandit over conditions, a rival of AutoScale without states.

Source: Li, Chu, Langford, Schapire, "A contextual-bandit approach to personalized news article
recommendation", WWW 2010, Algorithm 1 (disjoint linear models): for each action a ridge regression of
the reward on features x, and of all actions the one whose theta . x + alpha sqrt(x A^-1 x) is highest.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan, log
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.controllers.actions import Actions
from edgesim.controllers.rewards import RewardParameters, reward
from edgesim.controllers.slots import (
    Lesson,
    OffloadingObservation,
    OffloadingOutcome,
    Setting,
    Target,
)
from edgesim.core.errors import EdgesimError
from edgesim.network.radio import LinkState

__all__ = ["FEATURES", "LinUcb", "context"]

FEATURES = (
    "one",
    "log_macs",
    "conv",
    "fc",
    "rc",
    "co_cpu",
    "co_mem",
    "slowness",
    "nearby_slowness",
)
"""What :func:`context` gives."""

_LARGEST_MJ = 10_000.0
"""Rewards below this are cut: a linear model would follow nothing but penalties."""


class LinUcb:
    """LinUCB over the targets of a phone, with AutoScale's reward.

    Rewards are learned as -log(1 + cost in mJ): linear models of costs that span four orders of
    magnitude would see only the largest.
    """

    needs_what_if = False
    learns = True

    class Parameters(RewardParameters):
        """What a scenario may set."""

        exploration: Annotated[float, Field(ge=0)] = 0.5
        """The algorithm's alpha: how many standard deviations of optimism, in units of the logarithm
        of the cost."""
        ridge: Annotated[float, Field(gt=0)] = 1.0
        """Weight of the prior; the algorithm has 1."""

    def __init__(self, setting: Setting) -> None:
        self.parameters: LinUcb.Parameters = setting.parameters or self.Parameters()
        self._setting = setting
        self._is_frozen = False
        self._models: dict[str, _Disjoint] = {}
        self._actions = {p: Actions(options) for p, options in sorted(setting.options.items())}

    def decide(self, observation: OffloadingObservation) -> Target:
        """The target with the highest upper bound of its reward."""
        actions, model = self._model(observation)
        columns = actions.columns(observation.options)
        exploration = 0.0 if self._is_frozen else self.parameters.exploration
        bounds = model.bounds(context(observation), exploration)
        return actions.targets[int(columns[bounds.take(columns).argmax()])]

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> Lesson | None:
        """Update the regression of the target that was chosen."""
        actions, model = self._model(observation)
        option = actions.option(observation, decision)
        awake_w = self._setting.phones[observation.profile].awake_w
        worth = reward(self.parameters, awake_w, observation, option, outcome)
        if not self._is_frozen:
            cost = min(max(-worth, 0.0), _LARGEST_MJ)
            model.update(actions.number(decision), context(observation), -log(1.0 + cost))
        return Lesson(worth, False)

    def freeze(self) -> None:
        """Explore and learn no more."""
        self._is_frozen = True

    def state_dict(self) -> dict[str, Any]:
        """Its regressions, with the actions that they are of."""
        return {
            "controller": "linucb",
            "is_frozen": self._is_frozen,
            "models": {
                profile: {
                    "inverse": model.inverse.copy(),
                    "b": model.b.copy(),
                    "actions": self._actions[profile].described(),
                }
                for profile, model in sorted(self._models.items())
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            EdgesimError: if it is of other actions or features.
        """
        self._is_frozen = bool(state["is_frozen"])
        for profile, saved in state["models"].items():
            if profile not in self._actions:
                continue
            actions = self._actions[profile]
            model = _Disjoint(len(actions.targets), self.parameters.ridge)
            same = [row[0] for row in saved["actions"]] == [row[0] for row in actions.described()]
            if saved["inverse"].shape != model.inverse.shape or not same:
                raise EdgesimError(
                    f"the saved regressions for {profile} are of shape {saved['inverse'].shape} "
                    f"(actions, features, features), but {model.inverse.shape} is needed here"
                )
            model.inverse[...] = saved["inverse"]
            model.b[...] = saved["b"]
            model.theta[...] = np.einsum("aij,aj->ai", model.inverse, model.b)
            self._models[profile] = model

    def _model(self, observation: OffloadingObservation) -> tuple[Actions, _Disjoint]:
        profile = observation.profile
        model = self._models.get(profile)
        if model is None:
            if profile not in self._actions:
                self._actions[profile] = Actions(observation.options)
            size = len(self._actions[profile].targets)
            model = self._models[profile] = _Disjoint(size, self.parameters.ridge)
        return self._actions[profile], model


class _Disjoint:
    """One ridge regression per action.

    Attributes:
        inverse: of A, shape ``(actions, d, d)``.
        b: shape ``(actions, d)``.
        theta: A^-1 b.
    """

    __slots__ = ("_flat", "b", "inverse", "theta")

    def __init__(self, actions: int, ridge: float) -> None:
        d = len(FEATURES)
        self.inverse = np.repeat(np.eye(d)[None] / ridge, actions, axis=0)
        self._flat = self.inverse.reshape(actions, d * d)  # the same memory
        self.b = np.zeros((actions, d))
        self.theta = np.zeros((actions, d))

    def bounds(self, x: NDArray[np.float64], exploration: float) -> NDArray[np.float64]:
        """The upper bound of each action's reward."""
        means: NDArray[np.float64] = self.theta @ x
        if exploration:
            # x A^-1 x for all actions at once, as one product with the outer square of x.
            means = means + exploration * np.sqrt(self._flat @ np.outer(x, x).ravel())
        return means

    def update(self, action: int, x: NDArray[np.float64], reward: float) -> None:
        """Take one more observation up (Sherman and Morrison, 1950)."""
        inverse, b = self.inverse[action], self.b[action]
        along = inverse @ x
        inverse -= np.outer(along, along) / (1.0 + float(x @ along))
        b += reward * x
        self.theta[action] = inverse @ b


def context(observation: OffloadingObservation) -> NDArray[np.float64]:
    """The features of a request, :data:`FEATURES`, each of order 1.

    Layers in hundreds and tens; shares of CPU and memory in use; the slowness of each network as the
    logarithm of 100 Mb/s over its uplink at this signal, 10 without a connection.
    """
    model = observation.model
    counts = model.state_counts
    return np.array(
        (
            1.0,
            log(model.macs / 1e9),
            counts.conv / 100.0,
            counts.fc / 10.0,
            counts.rc / 10.0,
            _known(observation.co_cpu),
            _known(observation.co_mem),
            _slowness(observation.link),
            _slowness(observation.nearby_link),
        )
    )


_OUT_OF_REACH = 10.0


def _slowness(link: LinkState | None) -> float:
    if link is None or not link.up_bps:
        return _OUT_OF_REACH
    return log(1e8 / link.up_bps)


def _known(share: float) -> float:
    return 0.0 if isnan(share) else share
