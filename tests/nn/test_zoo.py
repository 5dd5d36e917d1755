import csv
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from edgesim.core.errors import EdgesimError
from edgesim.nn.model import PRECISIONS
from edgesim.nn.zoo import ALIASES, ZOO, UnknownModelError, Zoo, find_model, measured_model
from edgesim.nn.zoo.entries import ENTRIES, count_layers

NAMES = [
    "inception_v1",
    "inception_v3",
    "mobilenet_v1",
    "mobilenet_v1_128",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "resnet_18",
    "resnet_50",
    "ssd_mobilenet_v1",
    "ssd_mobilenet_v2",
    "ssd_mobilenet_v3",
    "mobilebert",
    "squeezenet",
    "alexnet",
    "vgg_16",
    "mnasnet",
    "efficientnet_b0",
    "shufflenet_v1",
    "shufflenet_v2",
    "proxylessnas",
    "regnety_400m",
    "blazeface",
    "squeezenet_ssd",
    "mobilenet_ssd",
]
DETECTORS = [name for name in NAMES if "ssd" in name]
UNPUBLISHED = {"blazeface", "squeezenet_ssd"}
MEASUREMENTS = Path(__file__).parents[3] / "shared" / "data" / "measurements"

each_model = pytest.mark.parametrize("name", NAMES)


def test_the_zoo_holds_its_models_by_their_names() -> None:
    assert list(ZOO) == NAMES
    assert len(ZOO) == len(NAMES)
    assert all(ZOO[name].name == name for name in NAMES)


@each_model
def test_a_model_says_what_it_does_and_where_its_numbers_come_from(name: str) -> None:
    model = ZOO[name]
    assert model.task
    assert len(model.source) > 20
    assert len(model.state_counts.source) > 20
    assert {"fp32"} <= set(model.accuracy) <= set(PRECISIONS)
    for accuracy in model.accuracy.values():
        assert len(accuracy.source) > 20
        assert accuracy.metric
    if model.published is not None:
        assert len(model.published.source) > 20


@each_model
def test_no_model_gains_by_losing_bits(name: str) -> None:
    accuracies = [ZOO[name].accuracy[p] for p in PRECISIONS if p in ZOO[name].accuracy]
    values = [accuracy.value for accuracy in accuracies]
    assert values == sorted(values, reverse=True)
    assert all(0.5 < value < 1 for value in values)
    assert len({accuracy.metric for accuracy in accuracies}) == 1


def test_all_detectors_of_objects_are_measured_in_one_way() -> None:
    metrics = {a.metric for name in DETECTORS for a in ZOO[name].accuracy.values()}
    assert metrics == {"mAP at overlap 0.5 on PASCAL VOC 2007 test"}


@each_model
def test_layers_add_up_to_the_published_counts(name: str) -> None:
    model = ZOO[name]
    assert (model.published is None) == (name in UNPUBLISHED)
    if model.published is None:
        return
    # what the paper counted beside multiply-accumulates is not known; see the source
    tolerance = 0.06 if name == "mobilebert" else 0.03
    assert model.macs == pytest.approx(model.published.macs, rel=tolerance)
    assert model.parameters == pytest.approx(model.published.parameters, rel=0.03)


@pytest.mark.parametrize(
    ("name", "million_macs", "parameters"),
    [  # torchvision prints the first to three decimals of a billion, and the second exactly
        ("inception_v3", 5713, 27_161_264 - 3_326_696),  # its auxiliary head is not run
        ("mobilenet_v2", 301, 3_504_872),
        ("mobilenet_v3_large", 217, 5_483_032),
        ("resnet_18", 1814, 11_689_512),
        ("resnet_50", 4089, 25_557_032),
        ("vgg_16", 15470, 138_357_544),
        ("mnasnet", 314, 4_383_312),
        ("efficientnet_b0", 386, 5_288_548),
        ("shufflenet_v2", 145, 2_278_604),
        ("regnety_400m", 402, 4_344_144),
    ],
)
def test_torchvisions_models_agree_to_the_last_parameter(
    name: str, million_macs: int, parameters: int
) -> None:
    assert ZOO[name].macs / 1e6 == pytest.approx(million_macs, abs=0.51)
    assert ZOO[name].parameters == parameters


@pytest.mark.parametrize(
    ("name", "million_macs", "million_parameters"),
    [
        ("inception_v1", 1550, 6.8),
        ("mobilenet_v1", 569, 4.2),
        ("mobilenet_v1_128", 186, 4.24),
        ("alexnet", 720, 60),
        ("squeezenet", 392.5, 1.236),
        ("shufflenet_v1", 138, 1.9),
        ("proxylessnas", 320, 4.1),
        ("ssd_mobilenet_v1", 1247, 6.807),
        ("ssd_mobilenet_v2", 762.5, 4.475),
        ("ssd_mobilenet_v3", 510, 3.22),
        ("mobilenet_ssd", 1158, 5.783),
        ("mobilebert", 2693, 25.3),
        ("blazeface", 30.8, 0.1014),
    ],
)
def test_other_models_agree_within_three_per_cent(
    name: str, million_macs: float, million_parameters: float
) -> None:
    assert ZOO[name].macs == pytest.approx(million_macs * 1e6, rel=0.03)
    assert ZOO[name].parameters == pytest.approx(million_parameters * 1e6, rel=0.03)


def test_mobileberts_macs_add_up_from_its_layers() -> None:
    tokens, inner, outer = 128, 128, 512
    bottlenecks = 3 * outer * inner  # in; in, shared by query and key; out
    attention = 3 * inner * inner + outer * inner  # query, key, output; value
    feed_forward = 4 * 2 * inner * outer
    over_the_tokens = 2 * tokens * inner  # scores, and the weighted sum of values
    layer = bottlenecks + attention + feed_forward + over_the_tokens
    embedding = 3 * inner * outer
    answer = 2 * outer
    assert ZOO["mobilebert"].macs == tokens * (24 * layer + embedding + answer)


def test_squeezenet_ssd_has_the_weights_that_ncnn_loads() -> None:
    weights = [1728, *2 * (1024, 9216), 1024, 2048, *2 * (4096, 36864), 4096, 8192]
    weights += [12288, 18432, *2 * (9216, 82944), 24576, 32768, *2 * (16384, 147456)]
    weights += [49152, 73728, *2 * (36864, 331776), 98304, 294912, 16384, 73728]
    weights += [36864, 193536, 110592, 580608, *2 * (165888, 870912), 55296, 290304, 18432, 96768]
    fires = [(s, 4 * s, 4 * s) for s in (16, 16, 32, 32, 48, 48, 64, 64, 96, 96)]
    heads = [16, 84, *4 * (24, 126), 16, 84]
    biases = 64 + sum(map(sum, fires)) + sum(heads)
    batchnorm = 2 * (sum(map(sum, fires[-2:])) + 128 + 256 + 64 + 128 + 256)
    model = ZOO["squeezenet_ssd"]
    assert model.parameters == sum(weights) + biases + batchnorm
    assert model.parameters * 4 / 2**20 == pytest.approx(21.1, abs=0.05)  # as its file
    assert max(layer.macs for layer in model.layers) == 193_536 * 37 * 37


@pytest.mark.parametrize(
    ("name", "boxes", "classes"),
    [
        ("ssd_mobilenet_v1", 1917, 91),
        ("ssd_mobilenet_v2", 1917, 91),
        ("ssd_mobilenet_v3", 2034, 91),
        ("mobilenet_ssd", 1917, 21),
    ],
)
def test_a_detector_scores_every_class_for_every_box(name: str, boxes: int, classes: int) -> None:
    last = ZOO[name].layers[-1]
    assert last.kind in ("softmax", "activation")
    assert last.outputs == boxes * classes


def test_hard_swish_and_squeezing_cost_time_of_their_own() -> None:
    kinds = [layer.kind for layer in ZOO["mobilenet_v3_large"].layers]
    assert kinds.count("dense") == 2 * 8 + 2
    # 9 blocks twice, stem, last convolution, classifier; 8 gates and the scaling by them; 10
    # additions: hard-swish and hard sigmoid take no exponential
    assert kinds.count("elementwise") == (2 * 9 + 3) + 2 * 8 + 10
    assert kinds.count("activation") == 0
    assert [x.kind for x in ZOO["efficientnet_b0"].layers].count("activation") > 16  # swish does
    assert "shuffle" in {layer.kind for layer in ZOO["shufflenet_v2"].layers}


@pytest.mark.parametrize(
    ("name", "values", "outputs"),
    [
        ("mobilenet_v1", 224 * 224 * 3, 1001 * 4),
        ("mobilenet_v1_128", 128 * 128 * 3, 1001 * 4),
        ("inception_v3", 299 * 299 * 3, 1001 * 4),
        ("resnet_50", 224 * 224 * 3, 1000 * 4),
        ("alexnet", 227 * 227 * 3, 1000 * 4),
        ("ssd_mobilenet_v1", 300 * 300 * 3, 2400),
        ("ssd_mobilenet_v3", 320 * 320 * 3, 2400),
        ("blazeface", 128 * 128 * 3, 60_928),
        ("mobilebert", 1536, 1024),
    ],
)
def test_images_are_sent_as_raw_pixels(name: str, values: int, outputs: int) -> None:
    assert (ZOO[name].input_bytes, ZOO[name].output_bytes) == (values, outputs)


@each_model
def test_an_image_model_reads_all_pixels_of_its_input(name: str) -> None:
    model = ZOO[name]
    if name == "mobilebert":
        assert model.input == "128 tokens"
        return
    height, width, channels = (int(word) for word in model.input.split()[:5:2])
    assert model.input.endswith("uint8")
    assert model.input_bytes == model.layers[0].inputs == height * width * channels


def test_only_the_language_model_is_bound_to_the_cpu_of_a_phone() -> None:
    assert {name for name in NAMES if ZOO[name].unsupported_on} == {"mobilebert"}
    assert ZOO["mobilebert"].unsupported_on == {"mobile_gpu", "mobile_dsp"}


@pytest.mark.parametrize(
    ("name", "conv", "fc", "rc"),
    [
        ("inception_v1", 49, 1, 0),
        ("inception_v3", 94, 1, 0),
        ("mobilenet_v1", 14, 1, 0),
        ("mobilenet_v2", 35, 1, 0),
        ("mobilenet_v3_large", 23, 20, 0),
        ("resnet_50", 53, 1, 0),
        ("ssd_mobilenet_v1", 19, 1, 0),
        ("ssd_mobilenet_v2", 52, 1, 0),
        ("ssd_mobilenet_v3", 28, 20, 0),
        ("mobilebert", 0, 1, 24),
    ],
)
def test_autoscales_counts_are_autoscales(name: str, conv: int, fc: int, rc: int) -> None:
    counts = ZOO[name].state_counts
    assert (counts.conv, counts.fc, counts.rc) == (conv, fc, rc)
    assert "AutoScale, MICRO 2020" in counts.source
    assert "recalled" in counts.source


@pytest.mark.parametrize("name", ["inception_v3", "mobilenet_v1", "mobilenet_v2", "resnet_50"])
def test_the_rule_for_the_others_gives_autoscales_counts(name: str) -> None:
    counted, published = count_layers(ZOO[name].layers), ZOO[name].state_counts
    assert (counted.conv, counted.fc, counted.rc) == (published.conv, published.fc, published.rc)


def test_a_model_cannot_be_changed() -> None:
    zoo: Any = ZOO
    with pytest.raises(TypeError):
        zoo["mine"] = ZOO["resnet_50"]
    model: Any = ZOO["resnet_50"]
    with pytest.raises(FrozenInstanceError):
        model.macs = 1
    with pytest.raises(TypeError):
        model.accuracy["fp32"] = None


def test_a_model_is_built_once_and_only_when_it_is_asked_for() -> None:
    zoo = Zoo(ENTRIES)
    assert "vgg_16" in zoo
    assert "vgg_17" not in zoo
    assert list(zoo) == NAMES
    assert len(zoo) == len(NAMES)
    assert "alexnet" in repr(zoo)
    assert zoo._built == {}
    assert zoo["vgg_16"] is zoo["vgg_16"]
    assert set(zoo._built) == {"vgg_16"}
    with pytest.raises(KeyError):
        zoo["vgg_17"]


def test_importing_the_zoo_builds_nothing() -> None:
    code = (
        "from edgesim.nn.build import Net\n"
        "def refuse(self, **options): raise AssertionError\n"
        "Net.__init__ = refuse\n"
        "from edgesim.nn.zoo import ALIASES, ZOO\n"
        "assert 'vgg_16' in ZOO and list(ZOO) and len(ZOO) and ALIASES\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_aliases_lead_to_models_and_hide_none() -> None:
    assert set(ALIASES.values()) <= set(ZOO)
    assert not set(ALIASES) & set(ZOO)
    assert find_model("googlenet") is find_model("inception_v1") is ZOO["inception_v1"]
    assert find_model("mobilenet_v1_1.0_224") is ZOO["mobilenet_v1"]


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'mobilenet_v2'") as caught:
        find_model("mobilenetv2")
    assert isinstance(caught.value, EdgesimError)
    assert isinstance(caught.value, KeyError)
    assert str(caught.value).startswith("no model is called 'mobilenetv2'")


@pytest.mark.parametrize("file", ["ncnn_latency.csv", "tflite_latency.csv"])
def test_every_measured_network_is_in_the_zoo(file: str) -> None:
    path = MEASUREMENTS / file
    if not path.is_file():
        pytest.skip(f"{file} is not part of the repository")
    with path.open(newline="") as lines:
        networks = {row["network"].removesuffix("_int8") for row in csv.DictReader(lines)}
    assert networks
    for network in networks:
        assert measured_model(network).layers


def test_blazeface_was_measured_without_its_heads() -> None:
    measured, whole = measured_model("blazeface"), ZOO["blazeface"]
    assert len(whole.layers) - len(measured.layers) == 4 - 3  # heads less, three paddings more
    assert measured.layers[-1].kind == "relu"
    assert measured.macs / whole.macs == pytest.approx(0.955, abs=0.002)


@pytest.mark.parametrize("network", ["mobilenet", "squeezenet_ssd", "resnet_50"])
def test_a_measured_model_is_the_published_one(network: str) -> None:
    assert measured_model(network) is find_model(network)


@pytest.mark.parametrize(
    ("network", "name", "ratio", "layer_macs"),
    [
        ("mobilenet_v3", "mobilenet_v3_large", 1.13, 160 * 672 * 14 * 14),
        ("proxylessnasnet", "proxylessnas", 1.05, 32 * 32 * 112 * 112),
        # by hand from ncnn's files: 60 and 120 channels in the first units of two stages
        ("shufflenet", "shufflenet_v1", 0.93, 60 * 80 * 28 * 28),
    ],
)
def test_some_measured_models_have_other_dimensions_than_the_published_ones(
    network: str, name: str, ratio: float, layer_macs: int
) -> None:
    measured, published = measured_model(network), ZOO[name]
    assert measured.name == name
    assert measured.published is None
    assert measured.macs / published.macs == pytest.approx(ratio, abs=0.005)
    assert sum(layer.macs == layer_macs for layer in measured.layers) > sum(
        layer.macs == layer_macs for layer in published.layers
    )
