"""What a round's work is worth in accuracy, learned round by round.

A round gains

    rate x err^s x B^b x E^e x K^k,    b = b1 + b2 log B + b3 log err and so on,

for the error err = 1 - accuracy that it begins with, batch size B, epochs E (geometric means over the updates
that count) and K such updates: the form of :mod:`edgesim.learning.curves` for one round, with exponents that may
change along the way, since more of the same is worth less and less, and what a bad model learns from may only
unsettle a good one. Beside that, a model that has just come of
few clients or much work of each is worse than the road it is on, and the next one is better by as much again: a
jump for every change of log B, log E and log K from one round to the next, which is no progress. Everything is learned from a job's own
rounds; nothing is taken from runs made beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import Any

import numpy as np

from edgesim.controllers.federated import Real

__all__ = ["WorkProgress"]

_KEPT = 500
"""Rounds that are remembered; older ones are forgotten."""

_SPREAD = np.array([3.0, 0.5, *[1.0] * 3, *[0.5] * 3, *[0.5] * 3, *[0.1] * 3])
"""Standard deviations of what is believed beforehand of each coefficient: rate and s; for B, E and K in turn, from
the middle of the choices to their end, slope, curvature, and change of slope with the error's logarithm; jumps.
Assumed."""

_CENTRE = np.array([-3.0, 1.0, *[0.0] * 12])
"""And what is believed: a gain of 5 % of the error, whatever the work; no jumps."""

_OF_GAIN = 11
"""So many coefficients are those of the formula, the rest are jumps."""

_BELIEF_ROUNDS = 10
"""What is believed of the noise beforehand counts as so many rounds."""


_MOST_GAIN = 20.0
"""No fit may make more of a round; far above 1, so that it binds only on the way to a fit."""


def _capped_exp(values: Real) -> Real:
    found: Real = np.exp(np.minimum(values, log(_MOST_GAIN)))
    return found


def _log_error(accuracy: float) -> float:
    """0 where accuracy is not known."""
    return log(max(1.0 - accuracy, 1e-3)) if accuracy == accuracy else 0.0


class WorkProgress:
    """Fits the formula above to rounds by least squares, anew after each round.

    Args:
        choices: batch sizes, epochs and clients per round to choose of; they set the scale of logarithms.
        noise: how far a model's accuracy wanders from round to round by chance (standard deviation), as is
            believed before there are rounds to tell; it is weighed against what is believed beforehand.
    """

    def __init__(self, choices: Sequence[Sequence[int]], noise: float) -> None:
        ends = [(log(min(each)), log(max(each))) for each in choices]
        self._middle = np.array([(low + high) / 2.0 for low, high in ends])
        self._half = np.array([max((high - low) / 2.0, 1.0) for low, high in ends])
        self._believed = self._noise = noise
        self._rows: list[
            list[float]
        ] = []  # log of the error; B, E, K as logarithms; jumps of these; gain
        self._before: list[float] | None = None
        self._found: Real = _CENTRE.copy()
        self._is_stale = False

    def __len__(self) -> int:
        return len(self._rows)

    def learn(
        self,
        accuracy: float,
        work: Sequence[tuple[int, int]],
        gain: float,
        clients: float | None = None,
    ) -> None:
        """Take note of a round, or of the mean of some.

        Args:
            accuracy: before it, in [0, 1].
            work: batch size and epochs of the updates that count.
            gain: of accuracy in a round; negative where it fell.
            clients: updates in a round; by default, all of these.
        """
        if not work:
            return
        logs = [*np.log(np.array(work, float)).mean(axis=0).tolist(), log(clients or len(work))]
        jumps = [now - then for now, then in zip(logs, self._before or logs, strict=True)]
        self._rows.append([_log_error(accuracy), *logs, *jumps, gain])
        self._before = logs
        del self._rows[:-_KEPT]
        self._is_stale = True

    @property
    def total(self) -> float:
        """What all the rounds that it remembers have gained."""
        return sum(row[-1] for row in self._rows)

    def gains(self, accuracy: float, work: Sequence[tuple[int, int]], clients: int) -> Real:
        """What each kind of work should gain in a round; shape ``(work,)``, positive.

        Args:
            accuracy: of the present model.
            work: batch size and epochs,
            clients: and how many do it.
        """
        self._refresh()
        logs = np.empty((len(work), 3))
        logs[:, :2] = np.log(np.array(work, float))
        logs[:, 2] = log(clients)
        stage = np.full(len(work), _log_error(accuracy))
        return _capped_exp(self._features(stage, logs) @ self._found[:_OF_GAIN])

    def exponents(self, accuracy: float) -> dict[str, float]:
        """Of B, E and K in the middle of the choices, for a model so good."""
        self._refresh()
        slopes = (self._found[2:5] + _log_error(accuracy) * self._found[8:11]) / self._half
        return dict(
            zip(("batch_size", "epochs", "clients_per_round"), slopes.tolist(), strict=True)
        )

    def _features(self, stage: Real, logs: Real) -> Real:
        scaled = (logs - self._middle) / self._half
        ones = np.ones((len(logs), 1))
        return np.hstack([ones, stage[:, None], scaled, scaled**2, stage[:, None] * scaled])

    def _refresh(self) -> None:
        if not self._is_stale:
            return
        from scipy.optimize import least_squares

        rows = np.array(self._rows)
        features, gains = self._features(rows[:, 0], rows[:, 1:4]), rows[:, 7]
        jumps = rows[:, 4:7] / self._half

        def predicted(theta: Real) -> Real:
            return _capped_exp(features @ theta[:_OF_GAIN])

        def off(theta: Real) -> Real:
            errors = predicted(theta) + jumps @ theta[_OF_GAIN:] - gains
            return np.concatenate([errors / self._noise, (theta - _CENTRE) / _SPREAD])

        def slope(theta: Real) -> Real:
            gain = predicted(theta)
            own = np.hstack([np.where(gain < _MOST_GAIN, gain, 0.0)[:, None] * features, jumps])
            return np.concatenate([own / self._noise, np.diag(1.0 / _SPREAD)])

        self._found = least_squares(off, self._found, jac=slope, method="lm").x
        errors = predicted(self._found) + jumps @ self._found[_OF_GAIN:] - gains
        squares = _BELIEF_ROUNDS * self._believed**2 + float(errors @ errors)
        self._noise = sqrt(squares / (_BELIEF_ROUNDS + len(rows)))
        self._is_stale = False

    def state_dict(self) -> dict[str, Any]:
        """The rounds it remembers, and what it makes of them."""
        self._refresh()
        return {
            "rounds": [list(row) for row in self._rows],
            "found": self._found.tolist(),
            "noise": self._noise,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._rows = [list(row) for row in state["rounds"]]
        self._found = np.array(state["found"], float)
        self._noise = float(state["noise"])
        self._before, self._is_stale = None, False
