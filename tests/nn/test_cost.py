"""The cost model against hand calculation; processors and models here are made up."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import inf, isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.hardware.catalogue import shipped
from edgesim.nn.cost import (
    MAC_TERMS,
    TERMS,
    CostTable,
    Efficiency,
    Level,
    Optimiser,
    ProcessorSpec,
    Work,
    core_set,
    inference_energy_j,
    inference_s,
    is_supported,
    load_s,
    power_w,
    resident_bytes,
    spread,
    term_seconds,
    training_bytes,
    training_energy_j,
    training_s,
    training_work,
    work,
)
from edgesim.nn.model import Accuracy, Layer, LayerKind, ModelCost, StateCounts
from edgesim.nn.zoo import ZOO

SHARES = (0.1, 1.5, 0.5, 0.6, 0.2, 0.25, 0.4)
FIT = Efficiency(
    runtime="ours",
    macs=dict(zip(MAC_TERMS, SHARES, strict=True)),
    exchange=8.0,
    move=4.0,
    function=2.0,
    weights=0.5,
    dispatch_s=20e-6,
    parallel=0.75,
    parallel_weights=0.25,
    parallel_dispatch=-0.5,
)
CPU = ProcessorSpec(
    name="cpu",
    kind="cpu",
    family="armv8_0_cpu",
    levels=(Level(0.5e9, 0.125), Level(1e9, 0.25), Level(2e9, 1.0)),
    cores=4,
    macs_per_cycle={"fp32": 4.0, "fp16": 8.0, "int8": 16.0},
    memory_bps=10e9,
    efficiency={"fp32": FIT, "fp16": FIT, "int8": FIT},
)
GPU = replace(
    CPU,
    name="gpu",
    kind="gpu",
    family="mobile_gpu",
    cores=1,
    levels=(Level(0.25e9, 0.5), Level(0.5e9, 2.0)),
    efficiency={"fp32": FIT, "fp16": FIT},
)
"""Two that round to nothing simple, so that a term in the wrong place shows."""


def conv(name: str = "conv") -> Layer:
    """5 x 5, 64 to 32 channels, 14 x 14 outputs."""
    return Layer(
        name=name,
        kind="conv",
        macs=25 * 64 * 32 * 196,
        parameters=25 * 64 * 32 + 32,
        inputs=64 * 196,
        outputs=32 * 196,
        kernel=(5, 5),
    )


def dense(inputs: int = 512, outputs: int = 100) -> Layer:
    return Layer("dense", "dense", inputs * outputs, (inputs + 1) * outputs, inputs, outputs)


def model(*layers: Layer, name: str = "mine", **more: Any) -> ModelCost:
    return ModelCost(
        name=name,
        task="a test",
        input="1 number",
        layers=layers,
        input_bytes=1,
        output_bytes=1,
        accuracy={"fp32": Accuracy(0.5, "of nothing", "a test")},
        state_counts=StateCounts(0, 0, 0, "a test"),
        source="a test",
        **more,
    )


def amounts(**given: float) -> Work:
    total = np.zeros(len(TERMS))
    for term, amount in given.items():
        total[TERMS.index(term)] = amount
    return total


def seconds(*args: Any, **options: Any) -> float:
    found = inference_s(*args, **options)
    assert found is not None
    return found


def close(found: Work, wanted: Work) -> bool:
    return bool(np.allclose(found, wanted, rtol=1e-12, atol=0))


# --- work ----------------------------------------------------------------------------------------

NARROW_CONV = 1 + 24 / (25 * 64) + 24 / 32
"""Idle multipliers of :func:`conv`: 1600 inputs per output, 32 channels, against 24."""


def test_the_work_of_a_convolution_is_what_one_counts_by_hand() -> None:
    layer = conv()
    assert layer.macs / layer.parameters == pytest.approx(196, rel=1e-3)  # but for the biases
    # A bias per channel makes positions, and with them channels, a tenth of a percent less exact.
    positions = layer.macs / layer.parameters
    narrow = 1 + 24 / 1600 + 24 / (layer.outputs / positions)
    assert narrow == pytest.approx(NARROW_CONV, rel=1e-3)
    wanted = amounts(
        conv=layer.macs * narrow,
        exchange=4 * 96 * 196,
        weights=4 * (51_200 + 32),
        dispatch=1,
    )
    assert close(work(model(layer), "fp32"), wanted)


@pytest.mark.parametrize(("precision", "width"), [("fp32", 4), ("fp16", 2), ("int8", 1)])
def test_a_precision_sets_the_bytes_and_nothing_else(precision: str, width: int) -> None:
    pool = Layer("pool", "pool", 0, 0, 100, 25)
    softmax = Layer("softmax", "softmax", 0, 0, 10, 10)
    found, single = (work(model(conv(), pool, softmax), p) for p in (precision, "fp32"))
    in_bytes = np.array([term in ("exchange", "move", "function", "weights") for term in TERMS])
    assert close(found[in_bytes], single[in_bytes] * width / 4)
    assert close(found[~in_bytes], single[~in_bytes])
    assert found[TERMS.index("move")] == width * 125
    assert found[TERMS.index("function")] == width * 20


def layer_of(kind: LayerKind, **changes: Any) -> Layer:
    """64 to 64 channels on 10 x 10 positions."""
    plain = Layer("layer", kind, 64 * 64 * 100, 64 * 64, 6400, 6400)
    return replace(plain, **changes)


BOTH_64 = 1 + 24 / 64 + 24 / 64


@pytest.mark.parametrize(
    ("layer", "term", "amount"),
    [
        pytest.param(layer_of("pointwise"), "pointwise", 409_600 * BOTH_64, id="pointwise"),
        pytest.param(
            layer_of("conv", macs=9 * 409_600, parameters=9 * 4096, kernel=(3, 3)),
            *("winograd", 9 * 409_600 * BOTH_64),
            id="3 x 3 of step 1: the depth is the channels'",
        ),
        pytest.param(
            layer_of("conv", macs=9 * 409_600, parameters=9 * 4096, kernel=(3, 3), stride=2),
            *("conv", 9 * 409_600 * (1 + 24 / 576 + 24 / 64)),
            id="3 x 3 of step 2",
        ),
        pytest.param(
            layer_of("conv", macs=27 * 6400, parameters=27 * 64, kernel=(3, 3), inputs=30_000),
            *("stem", 27 * 6400 * (1 + 24 / 27 + 24 / 64)),
            id="three channels of an image",
        ),
        pytest.param(
            layer_of("conv", macs=4 * 9 * 6400, parameters=4 * 9 * 64, kernel=(3, 3)),
            *("stem", 4 * 9 * 6400 * (1 + 24 / 36 + 24 / 64)),
            id="four channels",
        ),
        pytest.param(
            layer_of("conv", macs=5 * 9 * 6400, parameters=5 * 9 * 64, kernel=(3, 3)),
            *("winograd", 5 * 9 * 6400 * (1 + 24 / 5 + 24 / 64)),
            id="five channels are a layer like any other",
        ),
        pytest.param(
            layer_of("depthwise", macs=9 * 6400, parameters=9 * 64, kernel=(3, 3), groups=64),
            *("depthwise", 9 * 6400),
            id="depthwise has its own share",
        ),
        pytest.param(
            layer_of("grouped", macs=409_600 // 4, parameters=1024, groups=4),
            *("grouped", 102_400 * (1 + 24 / 16 + 24 / 16)),
            id="16 of 64 channels in each of four groups",
        ),
        pytest.param(layer_of("matmul", parameters=0), "pointwise", 409_600, id="attention"),
        pytest.param(
            layer_of("dense", macs=4096, inputs=64, outputs=64), "dense", 4096, id="a vector"
        ),
        pytest.param(layer_of("dense"), "pointwise", 409_600 * BOTH_64, id="a hundred rows"),
        pytest.param(layer_of("recurrent"), "dense", 409_600, id="recurrent"),
    ],
)
def test_each_kind_of_layer_does_its_own_kind_of_multiplying(
    layer: Layer, term: str, amount: float
) -> None:
    values = 4 * (layer.inputs + layer.outputs)
    wanted = amounts(**{term: amount}, exchange=values, weights=4 * layer.parameters, dispatch=1)
    assert close(work(model(layer), "fp32"), wanted)


@pytest.mark.parametrize("kind", ["pool", "elementwise", "shuffle", "resize", "embedding"])
def test_layers_that_only_move_values_are_bytes(kind: LayerKind) -> None:
    layer = Layer("layer", kind, 0, 0, 300, 200)
    assert close(work(model(layer), "fp32"), amounts(move=2000, dispatch=1))


@pytest.mark.parametrize("kind", ["activation", "normalisation", "softmax"])
def test_functions_are_bytes_of_their_own_for_every_value_of_the_window(kind: LayerKind) -> None:
    layer = Layer("layer", kind, 0, 0, 300, 200, kernel=(5, 1))
    assert close(work(model(layer), "fp32"), amounts(function=2000 * 5, dispatch=1))


@pytest.mark.parametrize("kind", ["batchnorm", "relu"])
def test_what_is_folded_away_costs_nothing_at_inference(kind: LayerKind) -> None:
    layer = Layer("layer", kind, 0, 64, 6400, 6400)
    assert close(work(model(conv(), layer), "fp32"), work(model(conv()), "fp32"))


def test_of_an_embedding_only_the_rows_looked_up_are_read() -> None:
    layer = Layer("layer", "embedding", 0, 30_000 * 128, 128, 128 * 128)
    assert close(work(model(layer), "fp32"), amounts(move=4 * (128 + 128 * 128), dispatch=1))


def test_work_adds_up_over_layers() -> None:
    pool = Layer("pool", "pool", 0, 0, 100, 25)
    alone = sum((work(model(layer), "int8") for layer in (conv(), dense(), pool)), amounts())
    assert close(work(model(conv(), dense(), pool), "int8"), alone)


def test_a_batch_multiplies_all_but_weights_and_launches() -> None:
    pool = Layer("pool", "pool", 0, 0, 100, 25)
    softmax = Layer("softmax", "softmax", 0, 0, 10, 10)
    mine = model(conv(), dense(), pool, softmax)
    one, eight = work(mine, "fp32"), work(mine, "fp32", 8)
    once = np.array([term in ("weights", "dispatch") for term in TERMS])
    assert close(eight[~once], 8 * one[~once])
    assert close(eight[once], one[once])
    with pytest.raises(ValueError, match="batch must be at least 1; found 0"):
        work(mine, "fp32", 0)


def test_work_that_is_changed_by_its_owner_is_not_changed_for_others() -> None:
    mine = model(conv())
    work(mine, "fp32")[:] = 7
    assert work(mine, "fp32")[TERMS.index("dispatch")] == 1


# --- seconds -------------------------------------------------------------------------------------


def test_a_convolution_takes_what_one_calculates_by_hand() -> None:
    layer, at = conv(), {"level": -1, "threads": 1}
    macs = work(model(layer), "fp32")[TERMS.index("conv")]
    by_hand = {
        "conv": macs / (2e9 * 4 * 0.5),
        "exchange": 4 * 96 * 196 / (2e9 * 8),
        "weights": 4 * 51_232 / (10e9 * 0.5),
        "dispatch": 20e-6 / 2,  # stated at 1 GHz, and this is 2
    }
    found = term_seconds(work(model(layer), "fp32"), CPU, "fp32", **at)
    assert close(found, amounts(**by_hand))
    assert seconds(model(layer), CPU, "fp32", **at) == pytest.approx(sum(by_hand.values()))


@pytest.mark.parametrize("index", range(len(TERMS)), ids=TERMS)
def test_every_kind_of_work_has_a_rate_of_its_own(index: int) -> None:
    rates = [
        *(2e9 * 4 * share for share in SHARES),
        *(2e9 * 8, 2e9 * 4, 2e9 * 2, 10e9 * 0.5, 2 / 20e-6),
    ]
    one = np.zeros(len(TERMS))
    one[index] = 1e6
    found = term_seconds(one, CPU, "fp32")
    assert found[index] == pytest.approx(1e6 / rates[index])
    assert np.count_nonzero(found) == 1


@given(factor=st.floats(0.01, 1000), threads=st.integers(1, 6), level=st.integers(0, 2))
@settings(derandomize=True, deadline=None, max_examples=50)
def test_seconds_are_linear_in_work(factor: float, threads: int, level: int) -> None:
    one = work(ZOO["mobilenet_v1"], "fp32")
    once = term_seconds(one, CPU, "fp32", level=level, threads=threads)
    scaled = term_seconds(factor * one, CPU, "fp32", level=level, threads=threads)
    assert np.allclose(scaled, factor * once, rtol=1e-12)


def terms(spec: ProcessorSpec, **at: int) -> dict[str, float]:
    """Seconds of a million of each kind of work."""
    found = term_seconds(np.full(len(TERMS), 1e6), spec, "fp32", **at)
    return dict(zip(TERMS, found.tolist(), strict=True))


@pytest.mark.parametrize("spec", [CPU, GPU], ids=["cpu", "gpu"])
def test_the_clock_speeds_up_all_but_the_memory_and_a_gpus_launches(spec: ProcessorSpec) -> None:
    slow, fast = terms(spec, level=0), terms(spec, level=1)  # at twice the clock
    for term in TERMS:
        stays = term == "weights" or (term == "dispatch" and spec.kind == "gpu")
        assert slow[term] / fast[term] == pytest.approx(1.0 if stays else 2.0), term


@pytest.mark.parametrize("threads", [2, 3, 4])
def test_threads_help_by_the_powers_that_were_fitted(threads: int) -> None:
    alone, together = terms(CPU), terms(CPU, threads=threads)
    for term in TERMS:
        power = {"weights": 0.25, "dispatch": -0.5}.get(term, 0.75)
        assert alone[term] / together[term] == pytest.approx(threads**power), term


@pytest.mark.parametrize("threads", [5, 8])
def test_more_threads_than_cores_do_not_help(threads: int) -> None:
    assert terms(CPU, threads=threads) == terms(CPU, threads=4)


def test_less_than_one_thread_runs_nothing() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1; found 0"):
        inference_s(model(conv()), CPU, "fp32", threads=0)


def test_all_cores_and_the_top_level_are_meant_unless_others_are_named() -> None:
    mine = model(conv())
    assert seconds(mine, CPU, "int8") == seconds(mine, CPU, "int8", threads=4, level=2)
    assert seconds(mine, CPU, "int8") != seconds(mine, CPU, "int8", threads=3)
    assert seconds(mine, CPU, "int8") != seconds(mine, CPU, "int8", level=1)


@given(
    name=st.sampled_from(sorted(ZOO)),
    chip=st.sampled_from(shipped().names("phone")),
    precision=st.sampled_from(["fp32", "fp16", "int8"]),
    data=st.data(),
)
@settings(derandomize=True, deadline=None, max_examples=60)
def test_a_higher_level_is_never_slower(name: str, chip: str, precision: str, data: Any) -> None:
    spec = data.draw(st.sampled_from(sorted(shipped().phone(chip).processors.values(), key=str)))
    threads = data.draw(st.integers(1, spec.cores + 2)) if spec.kind == "cpu" else 1
    if precision not in spec.efficiency or not is_supported(ZOO[name], spec):
        assert inference_s(ZOO[name], spec, precision) is None
        return
    at_levels = [
        seconds(ZOO[name], spec, precision, level=level, threads=threads)
        for level in range(len(spec.levels))
    ]
    assert all(before > after > 0 for before, after in pairwise(at_levels))


# --- what cannot run -----------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["gpu", "mobile_gpu"])
def test_what_a_kind_or_family_of_processor_cannot_run_costs_nothing_there(sort: str) -> None:
    mine = model(conv(), unsupported_on=frozenset({sort}))
    assert not is_supported(mine, GPU)
    assert is_supported(mine, CPU)
    assert inference_s(mine, GPU, "fp32") is None
    assert inference_energy_j(mine, GPU, "fp32") is None
    assert training_s(mine, GPU, 1) is None
    assert training_energy_j(mine, GPU, 1) is None
    assert inference_s(mine, replace(GPU, latency_s={("mine", "fp32"): 1.0}), "fp32") is None
    assert inference_s(mine, CPU, "fp32") is not None


def test_another_family_of_the_same_kind_can() -> None:
    mine = model(conv(), unsupported_on=frozenset({"server_gpu", "dsp"}))
    assert inference_s(mine, GPU, "fp32") is not None


def test_nothing_runs_in_a_precision_of_which_nothing_is_known() -> None:
    assert inference_s(model(conv()), GPU, "int8") is None
    assert inference_energy_j(model(conv()), GPU, "int8") is None
    assert training_s(model(conv()), replace(CPU, efficiency={"int8": FIT}), 1) is None


# --- measured latencies --------------------------------------------------------------------------


def test_a_measured_latency_takes_the_place_of_the_estimate_and_scales_as_it_does() -> None:
    mine, plain = model(conv()), CPU
    spec = replace(plain, latency_s={("mine", "fp32"): 0.123})
    assert seconds(mine, spec, "fp32") == pytest.approx(0.123)
    assert seconds(mine, spec, "fp32", level=2, threads=4) == pytest.approx(0.123)
    top = seconds(mine, plain, "fp32")
    at: dict[str, int]
    for at in ({"level": 0}, {"level": 1, "threads": 2}, {"threads": 1}, {"batch": 4}):
        assert seconds(mine, spec, "fp32", **at) == pytest.approx(
            0.123 * seconds(mine, plain, "fp32", **at) / top
        )
    assert seconds(mine, spec, "int8") == seconds(mine, plain, "int8")
    other = model(conv(), name="other")
    assert seconds(other, spec, "fp32") == seconds(other, plain, "fp32")


def test_a_measured_latency_alone_is_known_only_as_it_was_measured() -> None:
    spec = replace(CPU, efficiency={}, latency_s={("mine", "fp32"): 0.123})
    mine = model(conv())
    for at in ({}, {"level": 2}, {"level": -1}, {"threads": 4}, {"threads": 9}):
        assert inference_s(mine, spec, "fp32", **at) == 0.123
    for at in ({"level": 0}, {"threads": 3}, {"batch": 2}):
        assert inference_s(mine, spec, "fp32", **at) is None


# --- joules --------------------------------------------------------------------------------------


def test_joules_are_watts_of_the_busy_cores_times_seconds() -> None:
    mine = model(conv())
    for level, watts in enumerate((0.125, 0.25, 1.0)):
        for threads, cores in ((1, 1), (3, 3), (4, 4), (7, 4), (None, 4)):
            at = {"level": level, "threads": threads}
            joules = inference_energy_j(mine, CPU, "fp32", **at)  # type: ignore[arg-type]
            assert joules == pytest.approx(watts * cores * seconds(mine, CPU, "fp32", **at))
            trained = training_energy_j(mine, CPU, 2, **at)  # type: ignore[arg-type]
            busy_s = training_s(mine, CPU, 2, **at)  # type: ignore[arg-type]
            assert busy_s is not None
            assert trained == pytest.approx(watts * cores * busy_s)
    assert CPU.busy_power_w == power_w(CPU) == 4.0
    assert GPU.busy_power_w == 2.0


def test_one_job_pays_for_its_slot() -> None:
    mine, shared = model(conv()), replace(GPU, slots=4)
    alone = inference_energy_j(mine, GPU, "fp32")
    assert alone is not None
    assert inference_energy_j(mine, shared, "fp32") == pytest.approx(alone / 4)
    assert power_w(shared, 0) == 0.125


# --- threads across clusters ---------------------------------------------------------------------

BIG = replace(CPU, name="big", levels=(Level(1e9, 0.5), Level(3e9, 2.0)), cores=2)
LITTLE = replace(
    CPU,
    name="little",
    levels=(Level(0.5e9, 0.125), Level(1.5e9, 0.25)),
    macs_per_cycle={"fp32": 2.0},
    efficiency={"fp32": FIT},
    latency_s={("mine", "fp32"): 0.5},
)


def test_threads_take_the_fastest_cores_first() -> None:
    for clusters in ([BIG, LITTLE], [LITTLE, BIG]):
        assert spread(clusters, 1) == [(BIG, 1)]
        assert spread(clusters, 2) == [(BIG, 2)]
        assert spread(clusters, 5) == [(BIG, 2), (LITTLE, 3)]
        assert spread(clusters, 9) == [(BIG, 2), (LITTLE, 4)]


def test_what_a_core_does_in_a_cycle_counts_as_much_as_its_clock() -> None:
    wide = replace(BIG, name="wide", levels=(Level(1e9, 1.0),), macs_per_cycle={"fp32": 16.0})
    assert spread([BIG, wide], 2) == [(wide, 2)]


def test_a_set_of_cores_waits_for_its_slowest() -> None:
    found = core_set([LITTLE, BIG], 5)
    assert (found.name, found.cores, found.kind) == ("big+little", 5, "cpu")
    assert [level.frequency_hz for level in found.levels] == [1.5e9]
    assert found.macs_per_cycle == {"fp32": 2.0}
    assert found.busy_power_w == pytest.approx(2 * 2.0 + 3 * 0.25)
    assert found.latency_s == {}  # it was measured on the little cores alone
    alike = replace(LITTLE, cores=5, latency_s={})
    for term, value in terms(found, threads=5).items():
        assert value == pytest.approx(terms(alike, threads=5)[term]), term


def test_a_set_within_one_cluster_is_a_part_of_it() -> None:
    found = core_set([LITTLE, BIG], 2)
    assert (found.name, found.cores, found.busy_power_w) == ("big", 2, 4.0)
    assert terms(found, threads=2) == terms(BIG, threads=2)
    assert terms(core_set([LITTLE], 6), threads=6) == terms(LITTLE, threads=6)


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("phone", shipped().names("phone"))
@pytest.mark.parametrize("name", ["mobilenet_v1", "inception_v3", "mobilebert", "shufflenet_v1"])
def test_the_table_says_bit_for_bit_what_single_estimates_say(phone: str, name: str) -> None:
    processors = shipped().phone(phone).processors
    table = CostTable(list(processors.values()))
    levels = sum(len(p.efficiency) * len(p.levels) for p in processors.values())
    assert len(set(table.targets)) == len(table.targets) == levels
    s, j = table.seconds(ZOO[name]), table.energy_j(ZOO[name])
    known = 0
    for index, (processor, precision, level) in enumerate(table.targets):
        assert table.index(processor, precision, level) == index
        single_s = inference_s(ZOO[name], processors[processor], precision, level=level)
        single_j = inference_energy_j(ZOO[name], processors[processor], precision, level=level)
        found = table.estimate(ZOO[name], processor, precision, level)
        if single_s is None:
            assert isnan(s[index])
            assert isnan(j[index])
            assert isnan(found.seconds)
        else:
            assert (s[index], j[index]) == found == (single_s, single_j)
            known += 1
    least = 8 if phone.startswith("autofl_") else 20  # whose tiers are one CPU each, in fp32
    assert known >= least


def test_the_table_knows_what_was_measured() -> None:
    measured = replace(GPU, latency_s={("mine", "fp16"): 0.25})
    table, mine = CostTable([CPU, measured]), model(conv())
    assert table.estimate(mine, "gpu", "fp16", 1).seconds == 0.25
    for level in (0, 1):
        index = table.index("gpu", "fp16", level)
        assert table.seconds(mine)[index] == inference_s(mine, measured, "fp16", level=level)
    assert table.seconds(mine)[table.index("gpu", "fp32", 1)] == seconds(mine, GPU, "fp32")


def test_an_estimate_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table, mine = CostTable([CPU, GPU]), model(conv())
    first = table.estimate(mine, "cpu", "fp32", 0)
    monkeypatch.setattr(CostTable, "seconds", None)  # a call would fail
    assert table.estimate(mine, "cpu", "fp32", 0) is first
    assert table.estimate(mine, "gpu", "fp16", 1).seconds == seconds(mine, GPU, "fp16")


def test_a_table_of_nothing_is_empty() -> None:
    table = CostTable([])
    assert table.targets == ()
    assert table.seconds(model(conv())).size == 0


def test_a_target_that_is_none_is_not_found() -> None:
    table = CostTable([CPU, GPU])
    with pytest.raises(KeyError):
        table.index("gpu", "int8", 0)
    with pytest.raises(KeyError):
        table.estimate(model(conv()), "gpu", "fp32", 2)


# --- training ------------------------------------------------------------------------------------


def test_training_a_small_model_is_what_one_counts_by_hand() -> None:
    relu = Layer("relu", "relu", 0, 0, 6272, 6272)
    batchnorm = Layer("batchnorm", "batchnorm", 0, 64, 6272, 6272)
    softmax = Layer("softmax", "softmax", 0, 0, 100, 100)
    first, last = conv(), dense()
    mine = model(first, batchnorm, relu, last, softmax)
    ahead = work(model(first, last, softmax), "fp32")
    weights = first.parameters + 64 + last.parameters
    wanted = amounts(
        conv=2 * 8 * ahead[TERMS.index("conv")],  # no gradient of the image is wanted
        dense=3 * 8 * last.macs,
        exchange=4 * 8 * (2 * 96 * 196 + 3 * 612),
        move=4 * 8 * 3 * (2 * 2 * 6272),
        function=4 * 8 * 3 * 200,
        weights=4 * weights * (3 + 3),
        dispatch=2 + 3 + 3 * 2,
    )
    assert close(training_work(mine, 8), wanted)


@pytest.mark.parametrize("name", sorted(ZOO))
def test_a_step_multiplies_about_three_times_as_much_as_an_inference(name: str) -> None:
    """But for the first layer, and for 3 x 3 convolutions, which count their depth in another way."""
    plain = tuple(
        replace(layer, stride=2) if layer.kind == "conv" else layer for layer in ZOO[name].layers
    )
    ahead = work(replace(ZOO[name], layers=plain), "fp32")[: len(MAC_TERMS)].sum()
    step = training_work(ZOO[name], 5)[: len(MAC_TERMS)].sum()
    assert 2.0 * 5 * ahead <= step <= 3.0 * 5 * ahead * (1 + 1e-12)
    assert step >= 2.4 * 5 * ahead


def test_training_does_without_winograd() -> None:
    layer = Layer("conv", "conv", 9 * 409_600, 9 * 4096, 6400, 6400, kernel=(3, 3))
    found = training_work(model(dense(), layer), 1)
    assert found[TERMS.index("winograd")] == 0
    assert found[TERMS.index("conv")] == pytest.approx(3 * 9 * 409_600 * (1 + 24 / 576 + 24 / 64))


@given(name=st.sampled_from(sorted(ZOO)), batch=st.integers(2, 512))
@settings(derandomize=True, deadline=None, max_examples=40)
def test_a_step_is_linear_in_its_batch_but_for_weights_and_launches(name: str, batch: int) -> None:
    one, many = training_work(ZOO[name], 1), training_work(ZOO[name], batch)
    for term, before, after in zip(TERMS, one, many, strict=True):
        factor = 1 if term in ("weights", "dispatch") else batch
        assert after == pytest.approx(factor * before), term


def test_the_more_an_optimiser_remembers_the_more_it_moves() -> None:
    mine = model(conv(), dense())
    optimisers: list[Optimiser] = ["sgd", "momentum", "adam"]
    found = [training_work(mine, 4, optimiser) for optimiser in optimisers]
    weights = [one[TERMS.index("weights")] for one in found]
    for before, after in pairwise(weights):
        assert after - before == pytest.approx(4 * 2 * mine.parameters)  # read and written
    for one in found[1:]:
        assert close(
            np.delete(one, TERMS.index("weights")), np.delete(found[0], TERMS.index("weights"))
        )
    took = [training_s(mine, CPU, 4, optimiser=optimiser) or inf for optimiser in optimisers]
    assert took[0] < took[1] < took[2] < inf
    held = [training_bytes(mine, 4, optimiser) for optimiser in optimisers]
    assert held[1] - held[0] == held[2] - held[1] == 4 * mine.parameters


def test_a_step_takes_the_seconds_of_its_work() -> None:
    mine = model(conv(), dense())
    for at in ({}, {"level": 0}, {"threads": 2}):
        by_terms = term_seconds(
            training_work(mine, 3, "adam"), CPU, "fp32", **{"threads": 4, **at}
        ).sum()
        assert training_s(mine, CPU, 3, optimiser="adam", **at) == pytest.approx(by_terms)


def test_a_step_of_no_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="batch must be at least 1; found 0"):
        training_work(model(conv()), 0)


# --- memory and loading --------------------------------------------------------------------------


def test_memory_is_what_one_counts_by_hand() -> None:
    mine = model(conv(), dense())
    weights = 51_232 + 51_300
    assert mine.parameters == weights
    # The convolution holds the larger pair: 64 + 32 channels of 14 x 14.
    assert resident_bytes(mine, "fp32") == 4 * (weights + 96 * 196)
    assert resident_bytes(mine, "int8") == weights + 96 * 196
    outputs = 32 * 196 + 100
    assert training_bytes(mine, 1) == 4 * (2 * weights + outputs)
    assert training_bytes(mine, 16, "momentum") == 4 * (3 * weights + 16 * outputs)
    assert training_bytes(mine, 16, "adam") == 4 * (4 * weights + 16 * outputs)


def test_loading_is_reading_laying_out_and_launching_once() -> None:
    mine = model(conv(), Layer("relu", "relu", 0, 0, 9, 9), dense())
    size = 2 * (51_232 + 51_300)
    by_hand = size / 500e6 + 2 * size / (10e9 * 0.5) + 2 * 20e-6 / 2
    assert load_s(mine, CPU, "fp16", 500e6) == pytest.approx(by_hand)
    on_gpu = size / 500e6 + 2 * size / (10e9 * 0.5) + 2 * 20e-6
    assert load_s(mine, GPU, "fp16", 500e6) == pytest.approx(on_gpu)


@pytest.mark.parametrize(
    "make",
    [
        lambda: inference_s(model(conv()), CPU, "float32"),
        lambda: inference_s(model(conv()), CPU, "fp32", batch=0),
        lambda: training_work(model(conv()), 0),
        lambda: training_work(model(conv()), 1, "lion"),
        lambda: training_bytes(model(conv()), -8),
        lambda: load_s(model(conv()), CPU, "fp32", 0.0),
    ],
)
def test_what_makes_no_sense_is_refused_and_not_computed(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must be|unknown"):
        make()


def test_a_processor_known_by_measured_latencies_alone_has_targets() -> None:
    mine = model(conv())
    spec = replace(CPU, efficiency={}, latency_s={(mine.name, "int8"): 0.05})
    table = CostTable([spec])
    assert table.targets == (("cpu", "int8", len(CPU.levels) - 1),)
    assert table.seconds(mine).tolist() == [0.05]
    other = replace(mine, name="another")
    assert isnan(table.seconds(other)[0])


def test_a_batch_costs_joules_in_proportion_to_its_seconds() -> None:
    mine = model(conv())
    one, many = (inference_energy_j(mine, CPU, "fp32", batch=batch) for batch in (1, 16))
    assert one is not None
    assert many is not None
    assert one < many < 16 * one  # weights are read, and kernels launched, once
