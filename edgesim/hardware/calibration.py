"""Fitting efficiencies to published latencies: one hierarchy for all chips, not one fit per row.

The cost model predicts a latency as a sum of terms (:data:`~edgesim.nn.cost.TERMS`). With the
efficiencies of :data:`PRIOR` it is off; the fit finds the factor on each term's time as the
exponential of a sum of effects: of the term, of the kind of processor, of the runtime, of int8, of
the chip, of the chip in this term, and of the number of threads. Every effect is drawn to 0 with a
stated strength (:data:`SPREAD`), so that a chip with few rows takes after the others, and one never
measured equals their mean: maximum a posteriori under normal priors, with errors in the logarithm of
the latency and outliers held in check (soft L1), by damped Gauss-Newton steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.hardware.catalogue import Catalogue, processor_specs
from edgesim.hardware.measurements import (
    Measurement,
    Setting,
    UnknownMeasurementError,
    setting,
)
from edgesim.hardware.profiles import ServerProfile, SocProfile
from edgesim.nn.cost import MAC_TERMS, TERMS, Efficiency, ProcessorSpec

__all__ = [
    "PRIOR",
    "SPREAD",
    "Fit",
    "Row",
    "calibrate",
    "leave_one_chip_out",
    "leave_one_model_out",
    "prepare",
    "scatter",
    "unit_of",
]

Vector = NDArray[np.float64]
Effect = tuple[str, ...]


def _prior(
    macs: Sequence[float], *, on_chip: tuple[float, float, float], weights: float, dispatch_s: float
) -> Efficiency:
    exchange, move, function = on_chip
    return Efficiency(
        runtime="",
        macs=MappingProxyType(dict(zip(MAC_TERMS, macs, strict=True))),
        exchange=exchange,
        move=move,
        function=function,
        weights=weights,
        dispatch_s=dispatch_s,
        parallel=0.8,
        parallel_weights=0.2,
        parallel_dispatch=-0.2,
    )


PRIOR: Final[Mapping[str, Efficiency]] = MappingProxyType(
    {
        # Well-blocked matrix products reach half to two thirds of a core's peak, Winograd's
        # algorithm needs 2.25 times fewer multiplications or better, and depthwise layers leave
        # multipliers idle. Values pass through the second-level cache at a few bytes per cycle.
        # A kernel costs some ten thousand cycles to start.
        "cpu": _prior(
            (0.4, 1.3, 0.5, 0.6, 0.4, 0.25, 0.5),
            on_chip=(4.0, 4.0, 1.0),
            weights=0.4,
            dispatch_s=15e-6,
        ),
        # Mobile GPUs reach a few percent of their peak under portable shaders.
        "mobile_gpu": _prior(
            (0.08, 0.15, 0.10, 0.10, 0.05, 0.03, 0.05),
            on_chip=(20.0, 20.0, 10.0),
            weights=0.3,
            dispatch_s=50e-6,
        ),
        "server_gpu": _prior(
            (0.08, 0.30, 0.15, 0.10, 0.05, 0.03, 0.10),
            on_chip=(200.0, 200.0, 100.0),
            weights=0.5,
            dispatch_s=10e-6,
        ),
        "dsp": _prior(
            (0.10, 0.25, 0.25, 0.25, 0.10, 0.10, 0.10),
            on_chip=(16.0, 16.0, 4.0),
            weights=0.4,
            dispatch_s=20e-6,
        ),
    }
)
"""Efficiencies before any measurement: orders of magnitude, stated and then corrected by the fit."""

SPREAD: Final[Mapping[str, float]] = MappingProxyType(
    {
        "term": 0.7,
        "family term": 0.4,
        "half term": 0.25,
        "chip": 1.0,
        "chip term": 0.2,
        "gpu chip term": 0.35,
        "grouped chip term": 0.05,
        "in order": 0.4,
        "int8 term": 0.5,
        "int8 family term": 0.4,
        "int8 chip": 0.3,
        "int8 chip term": 0.35,
        "runtime": 0.5,
        "runtime term": 0.25,
        "runtime chip": 0.25,
        "runtime int8": 0.3,
        "threads": 0.3,
        "threads chip": 0.12,
    }
)
"""Standard deviation of each kind of effect, in ln(time): how far it may stray without evidence.

Only one of the models measured has grouped convolutions, AlexNet: what is odd about it on one chip
must not become that chip's way with all others, so that chips may hardly differ there. Halving or
doubling any other moved the median error of models left out by less than a point, when it was tried
(before the last few changes to the effects).
"""

_NOISE: Final = 0.08
"""Standard deviation of ln(latency) that no effect explains: run to run, build to build."""
_OUTLIER: Final = 2.0
"""Residuals beyond so many standard deviations count in proportion, not squared."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement, ready to be fitted.

    Attributes:
        measurement: as read.
        setting: what it ran on.
        term_s: seconds of each term under the prior.
        effects: for each term, the effects on it and their weights.
    """

    measurement: Measurement
    setting: Setting
    term_s: tuple[float, ...]
    effects: tuple[tuple[tuple[Effect, float], ...], ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """Effects found.

    Attributes:
        effects: ln(factor on time) by effect; 0 for any other.
    """

    effects: Mapping[Effect, float]

    def predicted_s(self, row: Row) -> float:
        """The latency of a row, whether it was part of the fit or not."""
        return sum(
            seconds * exp(sum(weight * self.effects.get(effect, 0.0) for effect, weight in effects))
            for seconds, effects in zip(row.term_s, row.effects, strict=True)
        )

    def efficiency(
        self, chip: str, group: str, kind: str, runtime: str, precision: str
    ) -> Efficiency:
        """The efficiency of a processor; of its family at large if the chip is not in the fit.

        Args:
            chip: name of the profile.
            group: its family.
            kind: ``cpu``, ``gpu``, ``dsp``.
            runtime: whose.
            precision: in which.
        """
        prior = PRIOR[_prior_name(group, kind)]
        factors = [
            exp(
                sum(
                    self.effects.get(e, 0.0)
                    for e in _effects(term, chip, group, kind, runtime, precision)
                )
            )
            for term in TERMS
        ]
        by_term = dict(zip(TERMS, factors, strict=True))
        thread = {
            part: sum(
                self.effects.get(effect, 0.0)
                for effect in (
                    ("threads", part),
                    ("threads chip", part, unit_of(group, kind), chip),
                )
            )
            for part in ("compute", "weights", "dispatch")
        }
        return replace(
            prior,
            runtime=runtime,
            macs=MappingProxyType({term: prior.macs[term] / by_term[term] for term in MAC_TERMS}),
            exchange=prior.exchange / by_term["exchange"],
            move=prior.move / by_term["move"],
            function=prior.function / by_term["function"],
            weights=prior.weights / by_term["weights"],
            dispatch_s=prior.dispatch_s * by_term["dispatch"],
            parallel=prior.parallel - thread["compute"],
            parallel_weights=prior.parallel_weights - thread["weights"],
            parallel_dispatch=prior.parallel_dispatch - thread["dispatch"],
        )


def prepare(
    measurements: Iterable[Measurement], catalogue: Catalogue
) -> tuple[list[Row], list[tuple[Measurement, str]]]:
    """The rows that can be fitted, and those that cannot with the reason."""
    rows, unknown = [], []
    for measurement in measurements:
        try:
            found = setting(measurement, catalogue, _with_prior)
        except UnknownMeasurementError as error:
            unknown.append((measurement, str(error)))
            continue
        rows.append(_row(measurement, found))
    return rows, unknown


def calibrate(rows: Sequence[Row], start: Fit | None = None) -> Fit:
    """Find the effects.

    Steps are Levenberg and Marquardt's, with the weights of soft L1 (SciPy's ``least_squares``
    finds the same minimum, but takes ten times as long over the many effects).

    Args:
        rows: what was measured.
        start: where to begin, for instance the fit to almost the same rows.

    Raises:
        EdgesimError: without a row.
    """
    from scipy.linalg import solve

    if not rows:
        raise EdgesimError("there is no row to fit to")
    known: dict[Effect, int] = {}
    for row in rows:
        for effects in row.effects:
            for effect, _ in effects:
                known.setdefault(effect, len(known))
    spread = np.array([SPREAD[effect[0]] for effect in known])
    design = np.zeros((len(rows), len(TERMS), len(known)))
    for at, row in enumerate(rows):
        for term, effects in enumerate(row.effects):
            for effect, weight in effects:
                design[at, term, known[effect]] += weight
    base_s = np.array([row.term_s for row in rows])
    measured = np.log([row.measurement.seconds for row in rows])

    def terms(values: Vector) -> Vector:
        found: Vector = base_s * np.exp(np.clip(design @ values, -20.0, 20.0))
        return found

    def residuals(seconds: Vector) -> Vector:
        found: Vector = (np.log(seconds.sum(axis=1)) - measured) / _NOISE
        return found

    def loss(raw: Vector, values: Vector) -> float:
        soft = 2.0 * _OUTLIER**2 * (np.sqrt(1.0 + (raw / _OUTLIER) ** 2) - 1.0)
        return float(soft.sum() + ((values / spread) ** 2).sum())

    values = np.zeros(len(known))
    if start is not None:
        values = np.array([start.effects.get(effect, 0.0) for effect in known])
    damping = 1e-3
    seconds = terms(values)
    raw = residuals(seconds)
    least = loss(raw, values)
    for _ in range(_MOST_STEPS):
        total_s: Vector = seconds.sum(axis=1, keepdims=True)
        share = seconds / total_s
        slope: Vector = np.matmul(share[:, None, :], design)[:, 0, :] / _NOISE
        robust: Vector = 1.0 / np.sqrt(1.0 + (raw / _OUTLIER) ** 2)
        curvature = (slope * robust[:, None]).T @ slope + np.diag(spread**-2)
        downhill = -(slope.T @ (robust * raw) + values / spread**2)
        before = least
        while damping < _MOST_DAMPING:
            damped = curvature + damping * np.diag(np.diag(curvature))
            tried = values + solve(damped, downhill, assume_a="pos")
            tried_s = terms(tried)
            tried_raw = residuals(tried_s)
            if (tried_loss := loss(tried_raw, tried)) <= least:
                values, seconds, raw, least = tried, tried_s, tried_raw, tried_loss
                damping = max(damping / 5.0, 1e-7)
                break
            damping *= 5.0
        if before - least <= 1e-7 * before:
            break
    return Fit(MappingProxyType(dict(zip(known, values.tolist(), strict=True))))


_MOST_STEPS: Final = 300
_MOST_DAMPING: Final = 1e8


def leave_one_out(rows: Sequence[Row], fit: Fit, key: Callable[[Row], str]) -> dict[int, float]:
    """Predictions of every row by fits that saw no row alike, by place in ``rows``.

    Args:
        rows: all rows.
        fit: the fit to all of them: where each of the others starts from.
        key: rows with the same are left out together.

    Raises:
        EdgesimError: if nothing would remain.
    """
    predicted = {}
    groups = sorted({key(row) for row in rows})
    if len(groups) < 2:
        raise EdgesimError("leaving one out takes rows of at least two models, or chips")
    for left_out in groups:
        without = calibrate([row for row in rows if key(row) != left_out], fit)
        for index, row in enumerate(rows):
            if key(row) == left_out:
                predicted[index] = without.predicted_s(row)
    return predicted


def leave_one_model_out(rows: Sequence[Row], fit: Fit) -> dict[int, float]:
    """Predictions of every row by fits that saw nothing of its model."""
    return leave_one_out(rows, fit, lambda row: row.setting.model.name)


def leave_one_chip_out(rows: Sequence[Row], fit: Fit) -> dict[int, float]:
    """Predictions of every row by fits that saw nothing of its chip."""
    return leave_one_out(rows, fit, lambda row: row.setting.chip.name)


def scatter(predicted_s: Sequence[float], measured_s: Sequence[float]) -> float:
    """A robust standard deviation of ln(measured / predicted): 1.4826 times the median distance."""
    if not predicted_s:
        return 0.0
    distances = sorted(abs(log(p / m)) for p, m in zip(predicted_s, measured_s, strict=True))
    middle = len(distances) // 2
    median = (distances[middle] + distances[~middle]) / 2
    return 1.4826 * median


def _row(measurement: Measurement, found: Setting) -> Row:
    processor, threads = found.processor, found.threads
    chip = found.chip.name
    group = processor.family
    cores = min(threads, processor.cores)
    effects = []
    for term in TERMS:
        of_term = [
            (effect, 1.0)
            for effect in _effects(
                term, chip, group, processor.kind, found.runtime, found.precision
            )
        ]
        if cores > 1:
            part = term if term in ("weights", "dispatch") else "compute"
            weight = log(cores)
            of_term += [
                (("threads", part), weight),
                (("threads chip", part, unit_of(group, processor.kind), chip), weight),
            ]
        effects.append(tuple(of_term))
    return Row(measurement, found, tuple(found.term_seconds()), tuple(effects))


def _effects(
    term: str, chip: str, group: str, kind: str, runtime: str, precision: str
) -> list[Effect]:
    """What bears on the time of a term, but for threads."""
    unit = unit_of(group, kind)
    alike = group.replace("_in_order", "")
    device = _prior_name(group, kind)
    of_chip = "chip term" if kind == "cpu" else "gpu chip term"
    if term == "grouped":
        of_chip = "grouped chip term"
    effects: list[Effect] = [
        ("term", device, term),
        ("chip", unit, chip),
        (of_chip, kind, term, chip),
    ]
    if unit == "cpu_in_order":
        effects.append(("in order",))
    if kind == "cpu":
        effects.append(("family term", alike, term))
        if precision == "fp16" and term != "grouped":
            effects.append(("half term", alike, term))
    if precision == "int8" and kind == "cpu":
        effects += [
            ("int8 term", kind, term),
            ("int8 family term", alike, term),
            ("int8 chip", kind, chip),
            ("int8 chip term", kind, term, chip),
        ]
    if runtime != "ncnn":
        effects += [
            ("runtime", runtime, kind),
            ("runtime chip", runtime, kind, chip),
        ]
        if runtime != "ncnn_vulkan":
            effects.append(("runtime term", runtime, kind, term))
            if precision == "int8":
                effects.append(("runtime int8", runtime, kind))
    return effects


def unit_of(group: str, kind: str) -> str:
    """What chips' own speeds are kept apart for: the kind, and in-order cores by themselves.

    How a chip's build of a runtime treats a kind of work or int8 is common to all its cores.
    """
    return "cpu_in_order" if "_in_order" in group else kind


def _prior_name(group: str, kind: str) -> str:
    return group if kind == "gpu" else kind


def _with_prior(chip: SocProfile | ServerProfile, runtime: str) -> Mapping[str, ProcessorSpec]:
    specs = {}
    for name, spec in processor_specs(chip).items():
        prior = PRIOR[_prior_name(spec.family, spec.kind)]
        specs[name] = replace(
            spec,
            efficiency=MappingProxyType(
                {precision: replace(prior, runtime=runtime) for precision in spec.macs_per_cycle}
            ),
        )
    return specs
