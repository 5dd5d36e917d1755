from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.core.errors import EdgesimError
from edgesim.learning.catalogue import MODELS
from edgesim.learning.data import Dataset, Samples, digits, photo_patches
from edgesim.learning.models import build_model, cost_of
from edgesim.nn.cost import training_bytes, training_work
from edgesim.nn.zoo import ZOO


def pictures(side: int = 28, classes: int = 10) -> Dataset:
    samples = Samples(np.zeros((classes, 1, side, side), np.float32), np.arange(classes))
    return Dataset("pictures", samples, samples, tuple(map(str, range(classes))))


def text() -> Dataset:
    samples = Samples(np.zeros((80, 20), np.int64), np.arange(80))
    return Dataset("text", samples, samples, tuple(map(str, range(80))), tokens=80)


def parameters_of(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_cnn_has_the_papers_parameters() -> None:
    assert parameters_of(build_model("cnn", pictures())) == 1_663_370


def test_the_2nn_has_the_papers_parameters() -> None:
    found = build_model("mlp", pictures(), parameters={"hidden": [200, 200]})
    assert parameters_of(found) == 199_210


def test_the_lstm_has_the_papers_shape() -> None:
    # Embedding, two LSTM layers with two biases each, output.
    layers = 4 * 256 * (8 + 256 + 2) + 4 * 256 * (256 + 256 + 2)
    assert parameters_of(build_model("lstm", text())) == 80 * 8 + layers + 257 * 80


@pytest.mark.parametrize(
    "name", ["logistic", "mlp", "cnn", "mobilenet", "mobilenet_v3", "squeezenet_small"]
)
def test_a_model_fits_pictures_of_any_size(name: str) -> None:
    for dataset in (digits(), photo_patches(2, 1), pictures()):
        module = build_model(name, dataset)
        inputs = torch.from_numpy(dataset.test.inputs[:3])
        assert module(inputs).shape == (len(inputs), len(dataset.classes))


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build_model("mlp", digits(), 4)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn
    other, third = build_model("mlp", digits(), 4), build_model("mlp", digits(), 5)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all((a == b).all() for a, b in pairs)
    assert any((a != b).any() for a, b in zip(one.parameters(), third.parameters(), strict=True))


@pytest.mark.parametrize(
    "name", ["logistic", "mlp", "cnn", "mobilenet", "mobilenet_v3", "squeezenet_small", "lstm"]
)
def test_every_model_has_a_cost(name: str) -> None:
    dataset = text() if name == "lstm" else pictures()
    module = build_model(name, dataset)
    cost = cost_of(module, dataset, name)
    assert sum(layer.parameters for layer in cost.layers) == parameters_of(module)
    assert cost.macs >= parameters_of(module) / 2 or name == "lstm"
    one, eight = (float(training_work(cost, batch).sum()) for batch in (1, 8))
    assert eight > one > 0
    assert training_bytes(cost, 8) > 2 * 4 * parameters_of(module)


def test_ones_own_module_is_found_by_its_path() -> None:
    found = build_model("torch.nn:Flatten", _flat(), parameters={})
    assert isinstance(found, nn.Flatten)


def _flat() -> Dataset:
    samples = Samples(np.zeros((4, 4), np.float32), np.arange(4))
    return Dataset("flat", samples, samples, ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("cn", {}, "there is no model 'cn'; did you mean 'cnn'"),
        ("mlp", {"hiden": [3]}, "parameter 'hiden': is not known"),
        ("mlp", {"hidden": [0]}, "at least 1"),
        ("lstm", {}, "needs sequences of tokens"),
        ("mobilenet", {"width": 9}, "multiple of 8"),
        ("mobilenet_v3", {"width": 9}, "multiple of 8"),
        ("squeezenet_small", {"width": 3}, "at least 4"),
        ("torch.nn:Nothing", {}, "cannot be imported"),
        ("nowhere.at_all:Net", {}, "cannot be imported"),
        ("torch.nn:Linear", {"in_features": 8, "out_features": 3}, "which has 10 classes"),
        ("torch.nn:Linear", {"in_features": 5, "out_features": 10}, "cannot take inputs of shape"),
        ("math:sqrt", {}, "cannot be made"),
        ("builtins:dict", {}, "made a dict, not a torch.nn.Module"),
    ],
)
def test_what_cannot_be_is_said(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        build_model(name, digits(), 0, parameters)


def test_small_inputs_are_told() -> None:
    with pytest.raises(EdgesimError, match="at least 4 x 4 pixels"):
        build_model("cnn", _flat())


def test_no_model_that_learns_has_the_name_of_one_that_only_costs() -> None:
    assert not set(MODELS) & set(ZOO)  # time and energy would be the other's
