from collections.abc import Callable

import pytest

from edgesim.nn.build import Net, Padding, Shape


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (224, 3, 2, None, 112),
        (224, 7, 2, None, 112),
        (224, 3, 1, None, 224),
        (300, 3, 2, "same", 150),
        (75, 3, 2, "same", 38),
        (75, 3, 2, None, 38),
        (299, 3, 2, "valid", 149),
        (299, 3, 2, 0, 149),
        (227, 11, 4, 0, 55),
        (7, 7, 1, 3, 7),
    ],
)
def test_a_window_takes_as_many_steps_as_fit(
    size: int, kernel: int, stride: int, padding: Padding | None, expected: int
) -> None:
    out = Net().conv(Shape(3, size, size), 8, kernel, stride, padding=padding)
    assert out == Shape(8, expected, expected)


@pytest.mark.parametrize(
    ("size", "ceil", "expected"),
    [(113, True, 56), (112, True, 56), (112, False, 55), (149, True, 74)],
)
def test_a_pool_may_round_up(size: int, ceil: bool, expected: int) -> None:
    out = Net().max_pool(Shape(64, size, size), 3, 2, padding=0, ceil=ceil)
    assert out == Shape(64, expected, expected)


def test_a_convolution_multiplies_its_window_by_its_channels_at_every_place() -> None:
    net = Net()
    net.conv(Shape(3, 224, 224), 64, 7, 2)
    conv, batchnorm, relu = net.layers
    assert (conv.kind, conv.kernel, conv.stride) == ("conv", (7, 7), 2)
    assert conv.macs == 7 * 7 * 3 * 64 * 112 * 112 == 118_013_952
    assert conv.parameters == 9408  # no bias before batch normalisation
    assert (conv.inputs, conv.outputs) == (150_528, 802_816)
    assert (batchnorm.kind, batchnorm.macs, batchnorm.parameters) == ("batchnorm", 0, 128)
    assert (relu.kind, relu.macs, relu.parameters) == ("relu", 0, 0)


@pytest.mark.parametrize(
    ("channels", "kernel", "groups", "kind", "macs", "parameters"),
    [
        (16, 1, 1, "pointwise", 8 * 16 * 100, 8 * 16 + 16),
        (8, 3, 8, "depthwise", 9 * 8 * 100, 9 * 8 + 8),
        (16, 3, 2, "grouped", 9 * 4 * 16 * 100, 9 * 4 * 16 + 16),
        (16, (1, 7), 1, "conv", 7 * 8 * 16 * 100, 7 * 8 * 16 + 16),
    ],
)
def test_groups_do_not_mix(
    channels: int,
    kernel: int | tuple[int, int],
    groups: int,
    kind: str,
    macs: int,
    parameters: int,
) -> None:
    net = Net(batchnorm=False)
    padding = (0, 3) if kernel == (1, 7) else None
    out = net.conv(
        Shape(8, 10, 10), channels, kernel, groups=groups, padding=padding, activation="none"
    )
    (layer,) = net.layers
    assert out == Shape(channels, 10, 10)
    assert (layer.kind, layer.macs, layer.parameters, layer.groups) == (
        kind,
        macs,
        parameters,
        groups,
    )


def test_a_dense_layer_takes_all_values_or_one_row_at_a_time() -> None:
    net = Net()
    assert net.dense(Shape(512, 7, 7), 4096) == Shape(4096)
    assert net.dense(Shape(512, 128), 128, rows=128) == Shape(128, 128)
    whole, rows = net.layers
    assert (whole.macs, whole.parameters) == (102_760_448, 102_764_544)
    assert (rows.macs, rows.parameters) == (128 * 512 * 128, 512 * 128 + 128)


def test_a_product_of_activations_has_no_parameters() -> None:
    net = Net()
    net.matmul(128, 32, 64, count=4)
    (layer,) = net.layers
    assert (layer.macs, layer.parameters) == (4 * 128 * 32 * 64, 0)
    assert (layer.inputs, layer.outputs) == (4 * 32 * (128 + 64), 4 * 128 * 64)


def test_an_inverted_residual_expands_filters_and_projects() -> None:
    net = Net()
    x = Shape(16, 8, 8)
    assert net.inverted_residual(x, 16, hidden=64, squeeze=16, activation="swish") == x
    kinds = [layer.kind for layer in net.layers if layer.kind not in ("batchnorm", "relu")]
    assert kinds == [
        "pointwise",
        "activation",
        "depthwise",
        "activation",
        "pool",
        "dense",
        "dense",
        "activation",
        "elementwise",
        "pointwise",
        "elementwise",
    ]
    assert sum(layer.macs for layer in net.layers) == (
        16 * 64 * 64 + 9 * 64 * 64 + 2 * 64 * 16 + 64 * 16 * 64
    )


def test_an_inverted_residual_without_expansion_or_with_a_stride_is_shorter() -> None:
    net = Net()
    assert net.inverted_residual(Shape(32, 8, 8), 16, 5, 2, hidden=32) == Shape(16, 4, 4)
    kinds = [layer.kind for layer in net.layers if layer.kind not in ("batchnorm", "relu")]
    assert kinds == ["depthwise", "pointwise"]


def test_parts_are_put_side_by_side() -> None:
    assert Net().concat(Shape(8, 5, 5), Shape(3, 5, 5)) == Shape(11, 5, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda net: net.conv(Shape(8, 5, 5), 9, groups=2),
        lambda net: net.conv(Shape(9, 5, 5), 8, groups=2),
        lambda net: net.add(Shape(8, 5, 5), Shape(8, 4, 4)),
        lambda net: net.concat(Shape(8, 5, 5), Shape(8, 4, 4)),
        lambda net: net.max_pool(Shape(8, 5, 5), 3, 2, padding="same", ceil=True),
        lambda net: net.conv(Shape(8, 2, 2), 8, 3, padding=0),
    ],
)
def test_what_does_not_fit_is_refused(wrong: Callable[[Net], object]) -> None:
    with pytest.raises(ValueError):
        wrong(Net())


def test_layers_have_different_names() -> None:
    net = Net()
    for _ in range(3):
        net.conv(Shape(8, 5, 5), 8)
    assert len({layer.name for layer in net.layers}) == len(net.layers) == 9
