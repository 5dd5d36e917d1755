"""Learning curves fitted to recorded training: accuracy without training, with its error beside it.

Progress of a round is

    rate x B^b x E^e x K^k x kept^l x exp(-c x client skew - d x cohort skew)

for batch size B, epochs E, K updates that count, the share of the cohort that they are (kept), and how far
labels are from those of all: of the clients one by one, and of the cohort as a whole (total variation
distance, 0 to 1). After progress x in all, accuracy is

    limit - (limit - start) x exp(-x^shape).

The form is a convenience, not a law: it says nothing outside the ranges it was fitted in, and knows no noise
from round to round. What none of the runs varies is not fitted but held at no effect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError

__all__ = [
    "FACTORS",
    "CurveFit",
    "LabelSkews",
    "LearningCurve",
    "RoundRecord",
    "effective_epochs",
    "fit_curve",
    "label_skew",
]

FACTORS = ("batch_size", "epochs", "updates", "kept_share", "client_skew", "cohort_skew")
"""What progress depends on; the first four by a power, the last two exponentially."""

_POWERS = FACTORS[:4]
_FOLDS = 10
_MOST = 5.0  # an exponent beyond it is not believed

Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round of a recorded run.

    Attributes:
        batch_size: B, the mean of those whose updates count,
        epochs: and E likewise, as passes over the samples that were really made.
        updates: that counted.
        kept_share: of the cohort.
        client_skew: mean over those clients.
        cohort_skew: of all of them together.
        accuracy: of the model after it; NaN if it was not judged.
    """

    batch_size: float
    epochs: float
    updates: float
    kept_share: float
    client_skew: float
    cohort_skew: float
    accuracy: float

    def factors(self) -> list[float]:
        """In the order of :data:`FACTORS`, powers as logarithms."""
        powers = [log(max(getattr(self, name), 1e-9)) for name in _POWERS]
        return [*powers, -self.client_skew, -self.cohort_skew]


@dataclass(frozen=True)
class CurveFit:
    """How well a curve tells what happened.

    Attributes:
        runs: how many it was fitted to,
        rounds: of so many judged rounds in all.
        rmse: root mean square error of accuracy there.
        left_out_rmse: likewise for each run by a curve fitted to others: to all others, or with more than
            ten runs to those not in its tenth; NaN with fewer than three.
        held: factors that no run varies, or that were not to be fitted.
        ranges: of each factor, least and most.
    """

    runs: int
    rounds: int
    rmse: float
    left_out_rmse: float
    held: tuple[str, ...]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy as a function of what was done.

    Attributes:
        start: accuracy of the first model,
        limit: and what it tends to.
        rate: progress of a round with all factors at 1 and no skew.
        shape: see the module's formula.
        effects: b, e, k, l, c, d by factor.
        fit: how well it fits.
    """

    start: float
    limit: float
    rate: float
    shape: float
    effects: Mapping[str, float]
    fit: CurveFit

    def progress(self, record: RoundRecord) -> float:
        """Of one round; its accuracy is not looked at."""
        pairs = zip(FACTORS, record.factors(), strict=True)
        return self.rate * exp(sum(self.effects[name] * value for name, value in pairs))

    def accuracy(self, progress: float) -> float:
        """After so much progress."""
        return self.limit - (self.limit - self.start) * exp(-(progress**self.shape))


def label_skew(labels: NDArray[np.int64], of_all: NDArray[np.int64]) -> Real:
    """Total variation distance of label histograms from that of all, in [0, 1].

    Args:
        labels: shape ``(..., classes)``.
        of_all: shape ``(classes,)``.

    Returns:
        Shape ``(...)``; 0 where there are no labels.
    """
    totals = labels.sum(axis=-1, keepdims=True)
    if not labels.shape[-1]:
        return np.zeros(labels.shape[:-1])
    shares = labels / np.maximum(totals, 1)
    distance: Real = 0.5 * np.abs(shares - of_all / max(int(of_all.sum()), 1)).sum(axis=-1)
    return np.where(totals[..., 0] > 0, distance, 0.0)


class LabelSkews:
    """How far the labels of clients are from those of all; see :func:`label_skew`.

    Args:
        labels: samples of each client (rows) and label (columns).

    Attributes:
        own: skew of each client, shape ``(clients,)``.
    """

    def __init__(self, labels: NDArray[np.int64]) -> None:
        self._labels = labels
        self._of_all = labels.sum(axis=0)
        self.own: Real = label_skew(labels, self._of_all)

    def of(self, clients: Sequence[int]) -> tuple[float, float]:
        """Of these clients: the mean of their own, and that of all together; NaN of nobody."""
        if not len(clients) or not self._labels.shape[1]:
            return float("nan"), float("nan")
        chosen = list(clients)
        together = self._labels[chosen].sum(axis=0)
        return float(self.own[chosen].mean()), float(label_skew(together, self._of_all))


def effective_epochs(epochs: float, steps: int, samples: int, batch_size: int) -> float:
    """Passes over its samples of a client that did so many steps, perhaps fewer than its epochs have."""
    per_epoch = -(-samples // batch_size)
    return min(steps / per_epoch, epochs) if per_epoch else 0.0


def fit_curve(
    runs: Sequence[tuple[float, Sequence[RoundRecord]]], factors: Sequence[str] = FACTORS
) -> LearningCurve:
    """Fit a curve to recorded runs of one model on one data set.

    Args:
        runs: of each, accuracy of its first model, and its rounds in order.
        factors: those that are to be fitted; the others are held at no effect.

    Raises:
        EdgesimError: if there is too little to fit.
    """
    judged = sum(np.isfinite([r.accuracy for r in rounds]).sum() for _, rounds in runs)
    columns = np.array([record.factors() for _, rounds in runs for record in rounds])
    if judged < 10:
        raise EdgesimError(
            f"{judged} judged rounds are too few to fit a curve; at least 10 are needed"
        )
    varied = [
        name in factors and bool(np.ptp(columns[:, k]) > 1e-9) for k, name in enumerate(FACTORS)
    ]
    curve = _fitted(runs, varied)
    errors = _errors(curve, runs)
    left_out = float("nan")
    if len(runs) >= 3:
        found = []
        folds = min(len(runs), _FOLDS)
        for k in range(folds):
            others = [run for number, run in enumerate(runs) if number % folds != k]
            found.append(_errors(_fitted(others, varied), runs[k::folds]))
        left_out = _rms(np.concatenate(found))
    plain = {
        name: [float(getattr(record, name)) for _, rounds in runs for record in rounds]
        for name in FACTORS
    }
    fit = CurveFit(
        len(runs),
        int(judged),
        _rms(errors),
        left_out,
        tuple(name for name, is_varied in zip(FACTORS, varied, strict=True) if not is_varied),
        {name: (min(values), max(values)) for name, values in plain.items()},
    )
    return replace(curve, fit=fit)


def _fitted(
    runs: Sequence[tuple[float, Sequence[RoundRecord]]], varied: Sequence[bool]
) -> LearningCurve:
    """The curve of least squares."""
    from scipy.optimize import least_squares

    start = float(np.mean([first for first, _ in runs]))
    names = [name for name, is_varied in zip(FACTORS, varied, strict=True) if is_varied]

    def curve_of(values: Sequence[float]) -> LearningCurve:
        limit, log_rate, log_shape, *effects = (float(v) for v in values)
        every = dict.fromkeys(FACTORS, 0.0) | dict(zip(names, effects, strict=True))
        nothing = CurveFit(0, 0, 0.0, 0.0, ())
        return LearningCurve(start, limit, exp(log_rate), exp(log_shape), every, nothing)

    best = max(r.accuracy for _, rounds in runs for r in rounds if r.accuracy == r.accuracy)
    guess = [min(best + 0.02, 0.999), log(0.05), 0.0, *([0.0] * len(names))]
    low = [start + 1e-3, log(1e-6), log(0.2), *([-_MOST] * len(names))]
    high = [1.0, log(1e3), log(5.0), *([_MOST] * len(names))]
    guess = [min(max(g, lo + 1e-6), hi - 1e-6) for g, lo, hi in zip(guess, low, high, strict=True)]
    # All rounds at once, which is the same as _errors and a hundred times faster.
    columns = np.array([record.factors() for _, rounds in runs for record in rounds])
    columns = columns[:, [FACTORS.index(name) for name in names]]
    accuracy = np.array([record.accuracy for _, rounds in runs for record in rounds])
    is_judged = np.isfinite(accuracy)
    ends = np.cumsum([len(rounds) for _, rounds in runs])
    first = np.concatenate([[0], ends[:-1]])
    run_of = np.repeat(np.arange(len(runs)), np.diff(np.concatenate([[0], ends])))

    def errors(values: Real) -> Real:
        limit, log_rate, log_shape = (float(v) for v in values[:3])
        steps = np.exp(log_rate + columns @ values[3:])
        total = np.cumsum(steps)
        progress = total - (total - steps)[first[run_of]]
        found = limit - (limit - start) * np.exp(-(np.minimum(progress, 1e9) ** exp(log_shape)))
        off: Real = (found - accuracy)[is_judged]
        return off

    found = least_squares(errors, guess, bounds=(low, high))
    return curve_of(found.x)


def _errors(curve: LearningCurve, runs: Sequence[tuple[float, Sequence[RoundRecord]]]) -> Real:
    """Accuracy by the curve less that recorded, of every judged round."""
    errors = []
    for _, rounds in runs:
        progress = 0.0
        for record in rounds:
            progress += curve.progress(record)
            if record.accuracy == record.accuracy:
                errors.append(curve.accuracy(min(progress, 1e9)) - record.accuracy)
    return np.array(errors)


def _rms(errors: Real) -> float:
    return float(np.sqrt(np.mean(errors**2)))
