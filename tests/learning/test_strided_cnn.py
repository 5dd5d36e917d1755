"""The small CNN of strided convolutions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from edgesim.core.errors import EdgesimError
from edgesim.learning.data import Dataset, Samples, digits, photo_patches
from edgesim.learning.models import build_model, cost_of


def pictures(shape: tuple[int, ...] = (3, 32, 32), classes: int = 10) -> Dataset:
    samples = Samples(np.zeros((classes, *shape), np.float32), np.arange(classes))
    return Dataset("pictures", samples, samples, tuple(map(str, range(classes))))


def parameters_of(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def convolutions_of(module: nn.Module) -> list[nn.Conv2d]:
    return [each for each in module.modules() if isinstance(each, nn.Conv2d)]


@pytest.mark.parametrize("make", [digits, lambda: photo_patches(2, 1), pictures])
def test_it_takes_pictures_of_shipped_data_sets(make: Any) -> None:
    dataset = make()
    module = build_model("strided_cnn", dataset)
    inputs = torch.from_numpy(dataset.test.inputs[:3])
    assert module(inputs).shape == (len(inputs), len(dataset.classes))


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    st.integers(1, 4),
    st.integers(0, 12),
    st.integers(0, 12),
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.integers(2, 5),
)
def test_sides_are_halved_upwards_and_parameters_are_those_of_its_layers(
    colours: int, more_rows: int, more_columns: int, channels: list[int], classes: int
) -> None:
    least = 2 ** len(channels)
    height, width = least + more_rows, least + more_columns
    dataset = pictures((colours, height, width), classes)
    module = build_model("strided_cnn", dataset, parameters={"channels": channels})
    convolutions = sum(9 * a * b + b for a, b in pairwise([colours, *channels]))
    for _ in channels:
        height, width = -(-height // 2), -(-width // 2)
    dense = channels[-1] * height * width * classes + classes
    assert parameters_of(module) == convolutions + dense


def test_by_default_it_has_three_layers_of_stride_two_and_no_normalisation() -> None:
    module = build_model("strided_cnn", pictures())
    found = [
        (c.in_channels, c.out_channels, c.kernel_size, c.stride) for c in convolutions_of(module)
    ]
    assert found == [(a, b, (3, 3), (2, 2)) for a, b in pairwise([3, 16, 32, 64])]
    # 3 x 3 convolutions with biases, and ten classes from 64 channels of 4 x 4.
    assert parameters_of(module) == 27 * 16 + 16 + 144 * 32 + 32 + 288 * 64 + 64 + 10_240 + 10
    assert {type(each) for each in module.modules()} == {
        *(nn.Sequential, nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear),
    }


def test_colours_and_brightness_count() -> None:
    module = build_model("strided_cnn", pictures(), 3)
    inputs = torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, darker, swapped = (module(x) for x in (inputs, inputs / 2, inputs.flip(1)))
    assert (one - darker).abs().max() > 1e-3
    assert (one - swapped).abs().max() > 1e-3


def test_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build_model("strided_cnn", pictures(), 4)
    torch.manual_seed(2)
    same, other = (build_model("strided_cnn", pictures(), seed) for seed in (4, 5))
    for a, b in zip(one.parameters(), same.parameters(), strict=True):
        assert (a == b).all()
    assert any((a != b).any() for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_it_has_a_cost() -> None:
    dataset = pictures()
    module = build_model("strided_cnn", dataset)
    cost = cost_of(module, dataset, "strided_cnn")
    assert sum(layer.parameters for layer in cost.layers) == parameters_of(module)
    # Outputs times what each looks at, layer by layer.
    macs = 16 * 16**2 * 27 + 32 * 8**2 * 144 + 64 * 4**2 * 288 + 10 * 1024
    assert cost.macs == macs


@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        ((3, 7, 8), {}, "at least 8 x 8 pixels; 'pictures' has inputs of shape"),
        ((3, 8, 7), {}, "at least 8 x 8 pixels"),
        ((3, 3, 3), {"channels": [4, 4]}, "at least 4 x 4 pixels"),
        ((60,), {}, "needs pictures"),
        ((8, 8), {}, "needs pictures"),
        ((3, 32, 32), {"channels": []}, "channels of model 'strided_cnn' must be above 0"),
        ((3, 32, 32), {"channels": [8, 0]}, r"must be above 0; found \[8, 0\]"),
        ((3, 32, 32), {"channels": [-1]}, r"must be above 0; found \[-1\]"),
        ((3, 32, 32), {"chanels": [8]}, "'chanels': is not known; did you mean 'channels'"),
        ((3, 32, 32), {"channels": "many"}, "parameter 'channels': "),
    ],
)
def test_what_it_cannot_take_is_said(
    shape: tuple[int, ...], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(EdgesimError, match=message):
        build_model("strided_cnn", pictures(shape), 0, given)


def test_text_is_no_picture() -> None:
    samples = Samples(np.zeros((8, 20), np.int64), np.arange(8))
    text = Dataset("text", samples, samples, tuple("abcdefgh"), tokens=8)
    with pytest.raises(EdgesimError, match="needs pictures of at least 8 x 8 pixels; 'text'"):
        build_model("strided_cnn", text)


def test_pictures_as_small_as_its_strides_allow_can_be_had() -> None:
    module = build_model("strided_cnn", pictures((1, 8, 8)))
    assert module(torch.zeros((2, 1, 8, 8))).shape == (2, 10)
