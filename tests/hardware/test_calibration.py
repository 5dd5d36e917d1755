"""The fit of efficiencies: to made-up measurements of known origin, and to the published ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import log, sqrt
from pathlib import Path
from statistics import median
from types import MappingProxyType

import pytest

from edgesim.hardware.calibration import (
    _NOISE,
    _OUTLIER,
    PRIOR,
    SPREAD,
    Fit,
    Row,
    calibrate,
    leave_one_chip_out,
    leave_one_model_out,
    prepare,
    scatter,
    unit_of,
)
from edgesim.hardware.catalogue import family, processor_specs, shared_efficiencies, shipped
from edgesim.hardware.measurements import Cores, Measurement, read_measurements, setting
from edgesim.hardware.profiles import ServerProfile, SocProfile
from edgesim.nn.cost import TERMS, Efficiency, ProcessorSpec

ROOT = Path(__file__).parents[2]
PUBLISHED = [
    ROOT.parent / "shared" / "data" / "measurements" / "ncnn_latency.csv",
    ROOT.parent / "shared" / "data" / "measurements" / "tflite_latency.csv",
    ROOT / "benchmarks" / "measurements.csv",
]

NETWORKS = (
    "alexnet",
    "efficientnet_b0",
    "inception_v1",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnet_18",
    "resnet_50",
    "shufflenet_v1",
    "squeezenet",
    "vgg_16",
)
CHIPS = ("kirin_970", "snapdragon_835", "snapdragon_845")
SPEED = {"kirin_970": 0.8, "snapdragon_835": 1.0, "snapdragon_845": 1.4, "snapdragon_660": 1.0}
"""How much better each chip is than its clock says, in the made-up world."""


def true_specs(chip: SocProfile | ServerProfile, runtime: str) -> Mapping[str, ProcessorSpec]:
    """The processors of a chip in a world where all efficiencies are known and unlike the prior."""
    specs = {}
    for name, spec in processor_specs(chip).items():
        prior = PRIOR["cpu" if spec.kind == "cpu" else "mobile_gpu"]
        speed = SPEED[chip.name] * (0.8 if runtime == "tflite" else 1.0)
        macs = {
            term: share * speed * {"conv": 1.5, "pointwise": 0.8, "depthwise": 1.6}.get(term, 1.0)
            for term, share in prior.macs.items()
        }
        true = replace(
            prior,
            runtime=runtime,
            macs=MappingProxyType(macs),
            exchange=prior.exchange * speed * 1.3,
            move=prior.move * speed,
            function=prior.function * speed,
            weights=prior.weights * speed * 0.7,
            dispatch_s=prior.dispatch_s / speed * 1.5,
            parallel=0.9,
            parallel_weights=0.3,
            parallel_dispatch=-0.1,
        )
        efficiency = dict.fromkeys(spec.macs_per_cycle, true)
        specs[name] = replace(spec, efficiency=MappingProxyType(efficiency))
    return specs


def made_up(
    soc: str,
    network: str,
    processor: str = "cpu",
    threads: int = 1,
    cores: Cores = "all",
    runtime: str = "ncnn",
) -> Measurement:
    """A measurement as it would be in that world."""
    row = Measurement(
        *("made_up.csv", 2, soc, runtime, processor, threads, cores, "fp32", network, 1.0)
    )
    return replace(row, seconds=setting(row, shipped(), true_specs).predicted_s())


def rows_of(measurements: Sequence[Measurement]) -> list[Row]:
    rows, unknown = prepare(measurements, shipped())
    assert unknown == []
    return rows


MADE_UP = [
    made_up(chip, network, processor, threads, "all", runtime)
    for chip in CHIPS
    for network in NETWORKS
    for processor, threads, runtime in (
        *(("cpu", 1, "ncnn"), ("cpu", 4, "ncnn"), ("gpu", 1, "ncnn")),
        *(("cpu", 4, "tflite"), ("cpu", 8, "ncnn"), ("cpu", 12, "ncnn")),
    )
]


def errors(fit: Fit, rows: Sequence[Row]) -> list[float]:
    return [abs(fit.predicted_s(row) / row.measurement.seconds - 1) for row in rows]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return rows_of(MADE_UP)


@pytest.fixture(scope="module")
def fit(rows: list[Row]) -> Fit:
    return calibrate(rows)


# --- made-up measurements ------------------------------------------------------------------------


def test_without_a_fit_the_made_up_world_is_far_from_what_is_assumed(rows: list[Row]) -> None:
    assert median(errors(Fit({}), rows)) > 0.15


def test_the_fit_finds_the_latencies_of_a_world_that_is_known(rows: list[Row], fit: Fit) -> None:
    found = errors(fit, rows)
    assert median(found) < 0.01
    assert max(found) < 0.05


def test_the_fit_predicts_what_it_has_not_seen(fit: Fit) -> None:
    models = rows_of([made_up(chip, "proxylessnas", "cpu", n) for chip in CHIPS for n in (1, 4)])
    assert max(errors(fit, models)) < 0.10
    threads = rows_of([made_up(chip, name, "cpu", 2) for chip in CHIPS for name in NETWORKS])
    assert max(errors(fit, threads)) < 0.05
    gpu = rows_of([made_up(chip, "inception_v3", "gpu") for chip in CHIPS])
    assert max(errors(fit, gpu)) < 0.10
    # Of a chip never seen, all but its own speed is known: it is as fast as the others' mean.
    chip = rows_of([made_up("snapdragon_660", name, "cpu", 4) for name in NETWORKS])
    assert max(errors(fit, chip)) < 0.20


def test_the_fit_is_the_same_every_time_whatever_the_order_of_its_rows(
    rows: list[Row], fit: Fit
) -> None:
    again = calibrate(rows_of(MADE_UP))
    assert dict(again.effects) == dict(fit.effects)
    backwards = calibrate(rows[::-1])
    for row in rows:
        assert backwards.predicted_s(row) == pytest.approx(fit.predicted_s(row), rel=1e-3)


def test_where_the_fit_starts_does_not_matter(rows: list[Row], fit: Fit) -> None:
    elsewhere = Fit(dict.fromkeys(fit.effects, -0.5))
    again = calibrate(rows, elsewhere)
    for row in rows:
        assert again.predicted_s(row) == pytest.approx(fit.predicted_s(row), rel=3e-3)


def test_one_outlier_hardly_moves_the_others(rows: list[Row], fit: Fit) -> None:
    at = next(
        index
        for index, row in enumerate(rows)
        if (row.measurement.soc, row.measurement.network) == ("snapdragon_845", "resnet_50")
    )
    spoilt = rows.copy()
    off = replace(rows[at].measurement, seconds=3 * rows[at].measurement.seconds)
    spoilt[at] = replace(rows[at], measurement=off)
    found = calibrate(spoilt)
    others = [row for index, row in enumerate(rows) if index != at]
    moved = [abs(found.predicted_s(row) / fit.predicted_s(row) - 1) for row in others]
    assert median(moved) < 0.005
    assert max(moved) < 0.15
    assert found.predicted_s(rows[at]) < 1.5 * fit.predicted_s(rows[at])


FEW = [
    row
    for row in MADE_UP
    if row.soc != "kirin_970"
    and (row.runtime, row.threads) in (("ncnn", 1), ("ncnn", 4))
    and row.network in ("inception_v1", "mobilenet_v1", "resnet_18", "resnet_50", "vgg_16")
]


def test_no_effect_alone_could_be_bettered() -> None:
    """The fit is a minimum of what it says it minimises, outliers included."""
    measurements = FEW.copy()
    for at in (3, 14):
        measurements[at] = replace(FEW[at], seconds=3 * FEW[at].seconds)
    rows = rows_of(measurements)
    fit = calibrate(rows)

    def loss(effects: Mapping[tuple[str, ...], float]) -> float:
        total = sum((value / SPREAD[effect[0]]) ** 2 for effect, value in effects.items())
        for row in rows:
            raw = log(Fit(effects).predicted_s(row) / row.measurement.seconds) / _NOISE
            total += 2 * _OUTLIER**2 * (sqrt(1 + (raw / _OUTLIER) ** 2) - 1)
        return total

    least = loss(fit.effects)
    assert least < 0.5 * loss(dict.fromkeys(fit.effects, 0.0))
    for effect, value in fit.effects.items():
        for step in (-0.02, 0.02):
            assert loss({**fit.effects, effect: value + step}) > least, effect


def test_nothing_measured_leaves_the_prior(rows: list[Row]) -> None:
    alone = rows_of([made_up("snapdragon_845", "resnet_50")])
    for row in alone:
        off_by = Fit({}).predicted_s(row) / row.measurement.seconds
        assert not 0.95 < off_by < 1.05
    found = calibrate(alone).efficiency("snapdragon_845", "mobile_gpu", "gpu", "ncnn", "fp16")
    assert found.macs == pytest.approx(PRIOR["mobile_gpu"].macs)
    assert found.dispatch_s == pytest.approx(PRIOR["mobile_gpu"].dispatch_s)


# --- what becomes of the effects -----------------------------------------------------------------

NUMBERS = (
    *("exchange", "move", "function", "weights", "dispatch_s", "parallel", "parallel_weights"),
    "parallel_dispatch",
)


def numbers(efficiency: Efficiency) -> dict[str, float]:
    return {**efficiency.macs, **{name: getattr(efficiency, name) for name in NUMBERS}}


def test_a_processor_with_the_fitted_efficiencies_takes_the_fitted_times(fit: Fit) -> None:
    """Two ways to the same number: effects on the terms of a row, and the efficiency of a chip."""

    def fitted(chip: SocProfile | ServerProfile, runtime: str) -> Mapping[str, ProcessorSpec]:
        return {
            name: replace(
                spec,
                efficiency={
                    precision: fit.efficiency(
                        *(chip.name, spec.family, spec.kind, runtime, precision)
                    )
                    for precision in spec.macs_per_cycle
                },
            )
            for name, spec in processor_specs(chip).items()
            if spec.kind != "dsp"
        }

    mixed = [
        made_up("snapdragon_845", "resnet_50", threads=8),  # on big and little cores
        made_up("snapdragon_845", "resnet_50", threads=12),  # and more threads than cores
        made_up("snapdragon_660", "resnet_50", threads=9),  # of a chip that was not in the fit
    ]
    for row in rows_of([*MADE_UP, *mixed]):
        again = setting(row.measurement, shipped(), fitted)
        assert again.predicted_s() == pytest.approx(fit.predicted_s(row), rel=1e-9)


def test_a_chip_without_rows_takes_exactly_after_its_family(fit: Fit) -> None:
    arguments = ("armv8_0_cpu", "cpu", "ncnn", "fp32")
    of_family = fit.efficiency("", *arguments)
    assert fit.efficiency("snapdragon_660", *arguments) == of_family
    assert fit.efficiency("kirin_970", *arguments) != of_family
    known = {e: value for e, value in fit.effects.items() if not set(e) & set(CHIPS)}
    assert numbers(Fit(known).efficiency("kirin_970", *arguments)) == numbers(of_family)


def test_each_effect_bears_on_what_it_says() -> None:
    """One effect of ln 2 at a time: what doubles its time, and what stays."""
    arguments = ("a_chip", "armv8_2_cpu", "cpu", "tflite", "int8")
    plain = numbers(Fit({}).efficiency(*arguments))
    assert plain == numbers(PRIOR["cpu"])
    cases: list[tuple[tuple[str, ...], dict[str, float]]] = [
        (("term", "cpu", "conv"), {"conv": 0.5}),
        (("term", "cpu", "dispatch"), {"dispatch_s": 2.0}),
        (("term", "mobile_gpu", "conv"), {}),
        (("family term", "armv8_2_cpu", "move"), {"move": 0.5}),
        (("family term", "armv8_0_cpu", "move"), {}),
        (("chip term", "cpu", "weights", "a_chip"), {"weights": 0.5}),
        (("chip term", "cpu", "weights", "another"), {}),
        (("int8 term", "cpu", "dense"), {"dense": 0.5}),
        (("runtime term", "tflite", "cpu", "stem"), {"stem": 0.5}),
        (("runtime term", "tnn", "cpu", "stem"), {}),
    ]
    for effect, factors in cases:
        found = numbers(Fit({effect: 0.6931471805599453}).efficiency(*arguments))
        for name, value in found.items():
            assert value == pytest.approx(plain[name] * factors.get(name, 1.0)), (effect, name)
    for effect in (("chip", "cpu", "a_chip"), ("runtime", "tflite", "cpu")):
        found = numbers(Fit({effect: 0.6931471805599453}).efficiency(*arguments))
        for term in TERMS:
            name = "dispatch_s" if term == "dispatch" else term
            factor = 2.0 if term == "dispatch" else 0.5
            assert found[name] == pytest.approx(plain[name] * factor), (effect, name)
    little = ("a_chip", "armv8_2_in_order_cpu", "cpu", "tflite", "int8")
    for effect in (("in order",), ("chip", "cpu_in_order", "a_chip")):
        one = Fit({effect: 0.6931471805599453})
        assert numbers(one.efficiency(*arguments)) == plain
        assert one.efficiency(*little).exchange == pytest.approx(plain["exchange"] / 2)
    threads = Fit({("threads", "compute"): 0.1, ("threads chip", "weights", "cpu", "a_chip"): 0.2})
    found = numbers(threads.efficiency(*arguments))
    assert found["parallel"] == pytest.approx(plain["parallel"] - 0.1)
    assert found["parallel_weights"] == pytest.approx(plain["parallel_weights"] - 0.2)
    assert found["parallel_dispatch"] == plain["parallel_dispatch"]


def test_every_effect_is_of_a_kind_whose_spread_is_stated(fit: Fit) -> None:
    assert {effect[0] for effect in fit.effects} <= set(SPREAD)
    assert all(0 < spread <= 1 for spread in SPREAD.values())


def test_a_row_that_cannot_be_predicted_is_left_out_with_its_reason() -> None:
    good, bad = MADE_UP[0], replace(MADE_UP[1], network="mobilenetv2")
    found, unknown = prepare([good, bad], shipped())
    assert [row.measurement for row in found] == [good]
    ((left_out, reason),) = unknown
    assert left_out is bad
    assert "did you mean" in reason


def test_scatter_is_a_standard_deviation_that_outliers_do_not_reach() -> None:
    assert scatter([], []) == 0
    assert scatter([1, 1, 1], [1, 1, 1]) == 0
    # |ln| of 0.1, 0.1 and 5: the middle one counts.
    factors = [1.1051709180756477, 1 / 1.1051709180756477, 148.4131591025766]
    assert scatter([1, 1, 1], factors) == pytest.approx(1.4826 * 0.1)
    assert scatter([1, 1], [1, 1.1051709180756477]) == pytest.approx(1.4826 * 0.05)


# --- models left out -----------------------------------------------------------------------------

LeaveOut = Callable[[Sequence[Row], Fit], dict[int, float]]


@pytest.mark.parametrize(
    ("leave_out", "poisoned", "off_by"),
    [
        (leave_one_model_out, lambda row: row.setting.model.name == "resnet_50", 0.15),
        (leave_one_chip_out, lambda row: row.setting.chip.name == "snapdragon_845", 0.5),
    ],
    ids=["model", "chip"],
)
def test_what_is_left_out_is_predicted_by_the_others_alone(
    leave_out: LeaveOut, poisoned: Callable[[Row], bool], off_by: float
) -> None:
    clean = rows_of(FEW)
    spoilt = [
        replace(row, measurement=replace(row.measurement, seconds=5 * row.measurement.seconds))
        if poisoned(row)
        else row
        for row in clean
    ]
    start = Fit({})
    before, after = leave_out(clean, start), leave_out(spoilt, start)
    assert sorted(before) == sorted(after) == list(range(len(clean)))
    # Each fit may start from the one to all rows: no more than a head start must come of it.
    headed = leave_out(spoilt, calibrate(spoilt))
    moved = []
    for index, row in enumerate(clean):
        if poisoned(row):
            assert after[index] == before[index]
            assert before[index] == pytest.approx(row.measurement.seconds, rel=off_by)
            assert headed[index] == pytest.approx(before[index], rel=0.005)
        else:
            moved.append(abs(after[index] / before[index] - 1))
    assert max(moved) > 0.05  # the poison is in the others' fits


# --- the published measurements ------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> list[Measurement]:
    missing = [file.name for file in PUBLISHED if not file.is_file()]
    if missing:
        pytest.skip(f"not part of the repository: {', '.join(missing)}")
    return read_measurements(PUBLISHED)


@pytest.fixture(scope="module")
def published_rows(published: list[Measurement]) -> list[Row]:
    rows, _ = prepare(published, shipped())
    return rows


@pytest.fixture(scope="module")
def published_fit(published_rows: list[Row]) -> Fit:
    return calibrate(published_rows)


def test_the_shipped_profiles_predict_published_latencies(published: list[Measurement]) -> None:
    rows, unknown = prepare(published, shipped())
    assert unknown == []
    assert len(rows) >= 390
    found = [
        abs(setting(row.measurement, shipped()).predicted_s() / row.measurement.seconds - 1)
        for row in rows
    ]
    assert median(found) <= 0.15


def test_every_chip_that_was_measured_says_by_how_many_rows(published: list[Measurement]) -> None:
    rows = rows_of(published)
    counted: dict[tuple[str, str, str, str], int] = {}
    for row in rows:
        s = row.setting
        unit = unit_of(s.processor.family, s.processor.kind)
        key = (s.chip.name, unit, s.runtime, s.precision)
        counted[key] = counted.get(key, 0) + 1
    for (name, unit, runtime, precision), count in counted.items():
        chip = shipped().chip(name)
        assert chip.calibration is not None, name
        fitted = getattr(chip.calibration, unit)[runtime][precision]
        assert fitted.rows == count, (name, unit, runtime, precision)
        assert 0 < fitted.sigma < 1.5
    names = [*shipped().names("soc"), *shipped().names("server")]
    claimed = {
        (name, unit, runtime, precision)
        for name in names
        if (calibration := shipped().chip(name).calibration)
        for unit in ("cpu", "cpu_in_order", "gpu", "dsp")
        for runtime, by_precision in getattr(calibration, unit).items()
        for precision, one in by_precision.items()
        if one.rows
    }
    assert claimed == set(counted)


@pytest.mark.slow
def test_the_shipped_profiles_are_those_that_the_fit_gives(
    published_rows: list[Row], published_fit: Fit
) -> None:
    for row in published_rows:
        shipped_s = setting(row.measurement, shipped()).predicted_s()
        fitted_s = published_fit.predicted_s(row)
        assert shipped_s == pytest.approx(fitted_s, rel=0.005), row.measurement.label


@pytest.mark.slow
def test_the_shipped_families_are_those_that_the_fit_gives(published_fit: Fit) -> None:
    families = {
        family(chip, processor)
        for name in [*shipped().names("soc"), *shipped().names("server")]
        for chip in [shipped().chip(name)]
        for processor in chip.processors.values()
    }
    assert families == set(shared_efficiencies())
    for group, runtimes in shared_efficiencies().items():
        for runtime, by_precision in runtimes.items():
            for precision, row in by_precision.items():
                kind = group.split("_")[-1]
                fitted = published_fit.efficiency("", group, kind, runtime, precision)
                found = numbers(row.efficiency(runtime))
                assert found == pytest.approx(numbers(fitted), rel=0.005, abs=0.002), group


@pytest.mark.slow
def test_models_left_out_of_the_fit_are_predicted_well_enough(
    published_rows: list[Row], published_fit: Fit
) -> None:
    predicted_s = leave_one_model_out(published_rows, published_fit)
    found = [
        abs(predicted_s[index] / row.measurement.seconds - 1)
        for index, row in enumerate(published_rows)
    ]
    assert len(found) >= 390
    assert median(found) <= 0.25
