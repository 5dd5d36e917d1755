"""Predictors of latency and energy, as AutoScale's comparison has them: LR, SVR and k-NN.

They gather what came of targets chosen at random, fit a regression of log latency and log energy, and
from then on take the target of least predicted energy among those predicted to be in time. Source of the
comparison: Kim and Wu, "AutoScale", MICRO 2020 (recalled: errors of 13.6 % for linear regression and
10.8 % for SVR, about twice that under variance). The regressions are scikit-learn's (Pedregosa et al.,
JMLR 12, 2011).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import isnan, log
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.controllers.linucb import context
from edgesim.controllers.offloading import accurate
from edgesim.controllers.rewards import estimated_j
from edgesim.controllers.slots import (
    Lesson,
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Setting,
    Target,
)
from edgesim.core.documents import Schema

__all__ = ["KNearest", "LinearRegression", "Predictor", "SupportVectors"]

FloatArray = NDArray[np.float64]


class Predictor(ABC):
    """Base of the predictors.

    One regression per kind of phone, for all targets together: its features are those of the request
    (:func:`edgesim.controllers.linucb.context`), the seconds that the profiles promise of the target
    and its relative clock, both as logarithms, each once per place, processor and precision
    (linear), or beside which of these it is (SVR, k-NN).

    What it predicts is what a target itself takes, from the decision on, and what a request costs in all.
    Until it is first fitted it chooses at random. It is fitted when training ends; without training,
    only if ``refit_every`` says after how many outcomes. With fewer than ten it goes on at random.
    """

    needs_what_if = False
    learns = True

    class Parameters(Schema):
        """What a scenario may set."""

        samples_max: Annotated[int, Field(ge=10, le=1_000_000)] = 4000
        """Outcomes kept per kind of phone, a random choice of all (SVR takes quadratic time)."""
        refit_every: Annotated[int, Field(ge=10)] | None = None
        """Outcomes from one fit to the next, while it learns. Default: it is fitted when training ends,
        and never before."""
        epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
        """Share of random decisions once it is fitted, while it learns."""
        energy: Literal["estimated", "metered"] = "metered"
        """Whose joules it learns: those of AutoScale's estimator, or of the phone's meter."""

    def __init__(self, setting: Setting) -> None:
        self.parameters: Predictor.Parameters = setting.parameters or self.Parameters()
        self._setting = setting
        self._rng = setting.rng
        self._is_frozen = False
        self._fleets: dict[str, _Fleet] = {}
        self._predicted: dict[int, tuple[float, float]] = {}

    @abstractmethod
    def _regression(self) -> Any:
        """A fresh scikit-learn regression of two outputs."""

    _is_linear = False

    # -- deciding ---------------------------------------------------------------------------------

    def decide(self, observation: OffloadingObservation) -> Target:
        """The best by prediction; at random until there is one."""
        fleet = self._fleet(observation.profile, observation.options)
        epsilon = 0.0 if self._is_frozen else self.parameters.epsilon
        pool = accurate(observation.options, observation.accuracy_min)
        if fleet.fitted is None or self._rng.random() < epsilon:
            return pool[int(self._rng.random() * len(pool))].target
        logs = fleet.fitted.predict(fleet.rows(context(observation), pool, self._is_linear))
        seconds, joules = np.exp(logs[:, 0]), np.exp(logs[:, 1])
        in_time = seconds <= observation.left_s
        if in_time.any():
            best = int(np.where(in_time, joules, np.inf).argmin())
        else:
            best = int(seconds.argmin())
        if self._is_frozen:
            self._predicted[id(observation)] = (float(seconds[best]), float(joules[best]))
        return pool[best].target

    # -- learning ---------------------------------------------------------------------------------

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> Lesson | None:
        """Keep the outcome; once frozen, only see how far off the prediction was."""
        predicted = self._predicted.pop(id(observation), None)
        if isnan(outcome.latency_s):
            return None
        fleet = self._fleet(observation.profile, observation.options)
        (option,) = [o for o in observation.options if o.target == decision]
        own_s, energy_j = outcome.latency_s - observation.elapsed_s, outcome.energy_j
        if self.parameters.energy == "estimated":
            awake_w = self._setting.phones[observation.profile].awake_w
            energy_j = estimated_j(awake_w, observation, option, outcome)
        if self._is_frozen:
            if predicted is not None and energy_j > 0:
                fleet.errors += (
                    1.0,
                    abs(predicted[0] / own_s - 1.0),
                    abs(predicted[1] / energy_j - 1.0),
                )
            return None
        x = fleet.features(context(observation), option)
        kept = fleet.keep(x, own_s, energy_j, self._rng, self.parameters.samples_max)
        every = self.parameters.refit_every
        if kept and every is not None and fleet.seen % every == 0:
            self._fit(fleet)
        return None

    def freeze(self) -> None:
        """Fit, and learn no more."""
        if not self._is_frozen:
            for _, fleet in sorted(self._fleets.items()):
                self._fit(fleet)
        self._is_frozen = True

    def errors(self) -> dict[str, tuple[float, float]]:
        """Mean absolute relative errors since it was frozen: of latency and energy, by profile."""
        return {
            profile: (float(fleet.errors[1] / n), float(fleet.errors[2] / n))
            for profile, fleet in sorted(self._fleets.items())
            if (n := fleet.errors[0])
        }

    def _fit(self, fleet: _Fleet) -> None:
        if len(fleet.x) >= _FEWEST:
            x = fleet.expand(np.array(fleet.x), self._is_linear)
            fleet.fitted = self._regression().fit(x, np.array(fleet.y))

    # -- what it has learned ----------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The outcomes that it keeps; it is fitted to them again."""
        return {
            "controller": type(self).__name__,
            "is_frozen": self._is_frozen,
            "rng": self._rng.bit_generator.state,
            "fleets": {
                profile: {
                    "x": np.array(fleet.x).reshape(len(fleet.x), -1),
                    "y": np.array(fleet.y).reshape(len(fleet.y), -1),
                    "groups": [list(group) for group in fleet.groups],
                    "seen": fleet.seen,
                    "errors": fleet.errors.copy(),
                    "is_fitted": fleet.fitted is not None,
                }
                for profile, fleet in sorted(self._fleets.items())
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._is_frozen = bool(state["is_frozen"])
        self._rng.bit_generator.state = state["rng"]
        self._fleets.clear()
        for profile, saved in state["fleets"].items():
            fleet = self._fleets[profile] = _Fleet([tuple(each) for each in saved["groups"]])
            fleet.x, fleet.y = saved["x"].tolist(), saved["y"].tolist()
            fleet.seen = int(saved["seen"])
            fleet.errors = np.array(saved["errors"], float)
            if saved["is_fitted"]:
                self._fit(fleet)

    def _fleet(self, profile: str, options: Sequence[Option]) -> _Fleet:
        fleet = self._fleets.get(profile)
        if fleet is None:
            every = self._setting.options.get(profile, options)
            groups = sorted({(o.target[0], o.target[1], o.target[2]) for o in every})
            fleet = self._fleets[profile] = _Fleet(groups)
        return fleet


_FEWEST = 10


class _Fleet:
    """What is known of the phones of one profile."""

    __slots__ = ("_numbers", "errors", "fitted", "groups", "seen", "x", "y")

    def __init__(self, groups: Sequence[tuple[str, ...]]) -> None:
        self.groups = list(groups)
        self._numbers = {group: number for number, group in enumerate(groups)}
        self.x: list[list[float]] = []  # group, then features
        self.y: list[list[float]] = []  # log seconds, log joules
        self.seen = 0
        self.errors = np.zeros(3)
        self.fitted: Any = None

    def features(self, x: FloatArray, option: Option) -> list[float]:
        """The group of a target, the features of the request, and those of the target."""
        group = self._numbers[option.target[0], option.target[1], option.target[2]]
        return [group, *x, log(option.compute_s), log(option.frequency_hz / 1e9)]

    def keep(
        self,
        x: list[float],
        latency_s: float,
        energy_j: float,
        rng: np.random.Generator,
        most: int,
    ) -> bool:
        """Keep an outcome, or not: in the end a random choice of all (Vitter 1985, Algorithm R)."""
        if energy_j <= 0:
            return False
        self.seen += 1
        y = [log(latency_s), log(energy_j)]
        if len(self.x) < most:
            self.x.append(x)
            self.y.append(y)
        elif (place := int(rng.random() * self.seen)) < most:
            self.x[place], self.y[place] = x, y
        return True

    def rows(self, x: FloatArray, options: Sequence[Option], is_linear: bool) -> FloatArray:
        """What to predict from, one row per option."""
        return self.expand(np.array([self.features(x, option) for option in options]), is_linear)

    def expand(self, x: FloatArray, is_linear: bool) -> FloatArray:
        """Features per group (linear), or beside an indicator of the group."""
        which: FloatArray = np.eye(len(self.groups))[x[:, 0].astype(int)]
        if is_linear:
            each: FloatArray = (which[:, :, None] * x[:, None, 1:]).reshape(len(x), -1)
            return each
        # Scaled to unit variance, an indicator sets its group apart the more, the rarer it is.
        return np.hstack([which, x[:, 1:]])


class LinearRegression(Predictor):
    """Ordinary least squares, one line per place, processor and precision."""

    _is_linear = True

    def _regression(self) -> Any:
        from sklearn.linear_model import Ridge

        # A feature that never changes within a group would leave least squares undetermined.
        return Ridge(alpha=1e-6, fit_intercept=False)


class SupportVectors(Predictor):
    """Support vector regression with a radial kernel."""

    class Parameters(Predictor.Parameters):
        """What a scenario may set."""

        penalty: Annotated[float, Field(gt=0)] = 10.0
        """scikit-learn's C."""
        tube: Annotated[float, Field(ge=0)] = 0.02
        """scikit-learn's epsilon, in units of the logarithm: 2 %."""

    def _regression(self) -> Any:
        from sklearn.multioutput import MultiOutputRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVR

        parameters = self.parameters
        assert isinstance(parameters, SupportVectors.Parameters)
        one = SVR(C=parameters.penalty, epsilon=parameters.tube)
        return make_pipeline(StandardScaler(), MultiOutputRegressor(one))


class KNearest(Predictor):
    """The mean of the nearest outcomes, nearer ones counting more."""

    class Parameters(Predictor.Parameters):
        """What a scenario may set."""

        neighbours: Annotated[int, Field(ge=1, le=100)] = 5

    def _regression(self) -> Any:
        from sklearn.neighbors import KNeighborsRegressor
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        parameters = self.parameters
        assert isinstance(parameters, KNearest.Parameters)
        one = KNeighborsRegressor(parameters.neighbours, weights="distance")
        return make_pipeline(StandardScaler(), one)
