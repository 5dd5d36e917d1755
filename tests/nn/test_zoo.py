from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from edgesim.nn import ModelCost, ProcessorSpec, inference_energy_j, inference_s
from edgesim.nn.model import PRECISIONS
from edgesim.nn.zoo import INCEPTION_V3, MOBILEBERT, MOBILENET_V1, RESNET_50, ZOO

each_model = pytest.mark.parametrize("model", ZOO.values(), ids=list(ZOO))
BERT_TOKENS = 128


def test_the_zoo_holds_the_four_models_by_their_names() -> None:
    assert list(ZOO) == ["mobilenet_v1", "inception_v3", "resnet_50", "mobilebert"]
    assert all(name == model.name for name, model in ZOO.items())


@each_model
def test_every_number_of_a_model_has_a_source(model: ModelCost) -> None:
    assert len(model.source) > 20
    for accuracy in model.accuracy.values():
        assert len(accuracy.source) > 20
        assert accuracy.metric


@each_model
def test_every_model_is_offered_in_known_precisions_and_none_gains_by_losing_bits(
    model: ModelCost,
) -> None:
    assert {"fp32", "int8"} <= set(model.accuracy) <= set(PRECISIONS)
    values = [model.accuracy[p].value for p in PRECISIONS if p in model.accuracy]
    assert values == sorted(values, reverse=True)
    assert all(0.5 < value < 1 for value in values)
    assert len({accuracy.metric for accuracy in model.accuracy.values()}) == 1


@pytest.mark.parametrize(
    ("model", "gmacs", "million_parameters"),
    [
        (MOBILENET_V1, 0.569, 4.24),
        (INCEPTION_V3, 5.713, 23.8),
        (RESNET_50, 4.089, 25.557),
        (MOBILEBERT, 2.69, 25.3),
    ],
)
def test_macs_and_parameters_are_the_published_ones(
    model: ModelCost, gmacs: float, million_parameters: float
) -> None:
    assert model.macs == pytest.approx(gmacs * 1e9, rel=2e-3)
    assert model.parameters == pytest.approx(million_parameters * 1e6, rel=2e-3)


def test_images_are_sent_as_raw_pixels_and_scores_come_back_as_floats() -> None:
    for model, side, classes in ((MOBILENET_V1, 224, 1001), (INCEPTION_V3, 299, 1001)):
        assert model.input_bytes == side * side * 3
        assert model.output_bytes == classes * 4
    assert (RESNET_50.input_bytes, RESNET_50.output_bytes) == (150_528, 4000)


def test_the_language_model_reads_three_rows_of_tokens_and_writes_two_of_scores() -> None:
    assert MOBILEBERT.input == f"{BERT_TOKENS} tokens"
    assert (MOBILEBERT.input_bytes, MOBILEBERT.output_bytes) == (1536, 1024)


def test_mobileberts_macs_add_up_from_its_layers() -> None:
    inner, outer = 128, 512
    bottlenecks = 3 * outer * inner  # in; in, shared by query and key; out
    attention = 3 * inner * inner + outer * inner  # query, key, output; value
    feed_forward = 4 * 2 * inner * outer
    over_the_tokens = 2 * BERT_TOKENS * inner  # scores, and the weighted sum of values
    layer = bottlenecks + attention + feed_forward + over_the_tokens
    embedding = 3 * inner * outer
    answer = 2 * outer
    assert MOBILEBERT.macs == BERT_TOKENS * (24 * layer + embedding + answer)


def test_a_model_cannot_be_changed() -> None:
    zoo: Any = ZOO
    with pytest.raises(TypeError):
        zoo["mine"] = RESNET_50
    with pytest.raises(FrozenInstanceError):
        RESNET_50.macs = 1
    accuracy: Any = RESNET_50.accuracy
    with pytest.raises(TypeError):
        accuracy["fp32"] = None


def processor(slots: int | None = None) -> ProcessorSpec:
    return ProcessorSpec(
        name="gpu",
        kind="gpu",
        busy_power_w=6.0,
        idle_power_w=0.5,
        slots=slots,
        latency_s={("resnet_50", "fp32"): 0.25, ("resnet_50", "fp16"): 0.125},
    )


def test_an_inference_takes_what_the_processors_table_says() -> None:
    assert inference_s(RESNET_50, processor(), "fp32") == 0.25
    assert inference_s(RESNET_50, processor(), "fp16") == 0.125


@pytest.mark.parametrize(("slots", "joules"), [(None, 1.5), (1, 1.5), (4, 0.375)])
def test_an_inference_costs_its_part_of_the_busy_power(slots: int | None, joules: float) -> None:
    assert inference_energy_j(RESNET_50, processor(slots), "fp32") == joules


@pytest.mark.parametrize(("model", "precision"), [(RESNET_50, "int8"), (MOBILEBERT, "fp32")])
def test_what_is_not_in_the_table_cannot_run(model: ModelCost, precision: str) -> None:
    assert inference_s(model, processor(), precision) is None
    assert inference_energy_j(model, processor(), precision) is None
