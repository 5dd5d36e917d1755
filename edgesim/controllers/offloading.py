"""Where to run an inference: the baselines of AutoScale's comparison, and its bound.

Source: Kim and Wu, "AutoScale: energy efficiency optimization for stochastic edge inference using
reinforcement learning", MICRO 2020, section 5 (baselines Edge (CPU FP32), Edge (Best), Cloud,
Connected Edge, Opt).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from edgesim.controllers.slots import (
    DEVICE,
    Forecast,
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Setting,
    Target,
)

__all__ = [
    "Cloud",
    "ConnectedEdge",
    "EdgeBest",
    "EdgeCpu",
    "FixedRule",
    "Oracle",
    "ProfileRule",
    "Random",
    "accurate",
    "best_forecast",
]


class FixedRule:
    """Base of controllers that learn nothing."""

    needs_what_if = False
    learns = False

    def __init__(self, setting: Setting) -> None:
        del setting

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> None:
        """Take no note."""

    def freeze(self) -> None:
        """There is nothing to freeze."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing has been learned."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """There is nothing to go on from."""


class ProfileRule(FixedRule, ABC):
    """Base of controllers that go by the options and the request's needs alone.

    Their choice is the same whenever these are, so it is worked out once and remembered.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        # The options are kept with the choice, so that their identity is not used again.
        self._choices: dict[tuple[int, float, float], tuple[Target, tuple[Option, ...]]] = {}

    def decide(self, observation: OffloadingObservation) -> Target:
        """The choice for these options, what is left of this deadline, and this accuracy."""
        options = observation.options
        if observation.elapsed_s:  # hardly ever the same twice: nothing to remember
            return self._choose(options, observation.left_s, observation.accuracy_min)
        key = (id(options), observation.deadline_s, observation.accuracy_min)
        known = self._choices.get(key)
        if known is None:
            target = self._choose(options, observation.deadline_s, observation.accuracy_min)
            self._choices[key] = known = (target, options)
        return known[0]

    @abstractmethod
    def _choose(
        self, options: tuple[Option, ...], deadline_s: float, accuracy_min: float
    ) -> Target:
        """Choose by these alone."""


class EdgeCpu(ProfileRule):
    """The phone's CPU in FP32: AutoScale's baseline Edge (CPU FP32).

    On the fastest CPU cluster that can run the model; if none can in FP32, in the precision in
    which the phone's CPU is fastest.
    """

    def _choose(
        self, options: tuple[Option, ...], deadline_s: float, accuracy_min: float
    ) -> Target:
        on_cpu = [o for o in _local(options) if o.kind == "cpu"]
        pool = [o for o in on_cpu if o.target.precision == "fp32"] or on_cpu
        return min(pool or options, key=lambda o: o.compute_s).target


class EdgeBest(ProfileRule):
    """The phone's own processor that should need the least energy: AutoScale's Edge (Best).

    By the profiles alone, blind to present conditions: of those that should meet accuracy and what
    is left of the deadline, the one of least energy; if none should, the fastest that is accurate enough.
    """

    def _choose(
        self, options: tuple[Option, ...], deadline_s: float, accuracy_min: float
    ) -> Target:
        pool = accurate(_local(options) or options, accuracy_min)
        in_time = [o for o in pool if o.compute_s <= deadline_s]
        if in_time:
            return min(in_time, key=lambda o: (o.compute_energy_j, o.compute_s)).target
        return min(pool, key=lambda o: o.compute_s).target


class Cloud(EdgeBest):
    """A site, on its fastest processor: AutoScale's baseline Cloud.

    Without a connection (no network, no site, or a signal below the lowest rate) there is no such
    option; then the phone does what :class:`EdgeBest` does. The summary's ``offloaded_ratio`` says
    how often that was not so.
    """

    _is_nearby = False

    def _choose(
        self, options: tuple[Option, ...], deadline_s: float, accuracy_min: float
    ) -> Target:
        elsewhere = [
            o for o in options if o.target.place != DEVICE and o.is_nearby == self._is_nearby
        ]
        if not elsewhere:
            return super()._choose(options, deadline_s, accuracy_min)
        return min(accurate(elsewhere, accuracy_min), key=lambda o: o.compute_s).target


class ConnectedEdge(Cloud):
    """Another phone nearby, on its fastest processor: AutoScale's baseline Connected Edge.

    While there is none in reach, the phone does what :class:`EdgeBest` does.
    """

    _is_nearby = True


class Random(FixedRule):
    """Any option with equal probability."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._rng = setting.rng

    def decide(self, observation: OffloadingObservation) -> Target:
        """One of the options."""
        options = observation.options
        return options[int(self._rng.integers(len(options)))].target

    def state_dict(self) -> dict[str, Any]:
        """Where its random stream stands."""
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in that stream."""
        self._rng.bit_generator.state = state["rng"]


class Oracle(FixedRule):
    """The target that will need the least energy within deadline and accuracy: AutoScale's Opt.

    It asks ``what_if`` about every option, so it knows the weather to come, but not later arrivals:
    it is myopic, and under contention another choice may turn out better. If nothing meets the
    deadline it takes what is done first.
    """

    needs_what_if = True

    def decide(self, observation: OffloadingObservation) -> Target:
        """The option of least energy among those that will be in time."""
        what_if = observation.what_if
        assert what_if is not None
        pool = accurate(observation.options, observation.accuracy_min)
        return best_forecast(
            ((option.target, what_if(option.target)) for option in pool), observation.deadline_s
        )


def best_forecast(forecasts: Iterable[tuple[Target, Forecast]], deadline_s: float) -> Target:
    """The target of least energy among those in time; if none is, the one that is done first."""
    best: Target | None = None
    best_key = (2, inf, inf)
    for target, (latency_s, energy_j) in forecasts:
        if latency_s <= deadline_s and latency_s < inf:
            key = (0, energy_j, latency_s)
        else:
            key = (1, latency_s, energy_j)
        if best is None or key < best_key:
            best, best_key = target, key
    assert best is not None
    return best


def _local(options: tuple[Option, ...]) -> list[Option]:
    return [o for o in options if o.target.place == DEVICE]


def accurate(options: Sequence[Option], accuracy_min: float) -> Sequence[Option]:
    """The options that are accurate enough; if there are none, the most accurate ones."""
    enough = [o for o in options if o.accuracy >= accuracy_min]
    if enough:
        return enough
    most = max(o.accuracy for o in options)
    return [o for o in options if o.accuracy == most]
