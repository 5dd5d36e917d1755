"""Layers of the MobileNets and of their descendants by architecture search."""

from __future__ import annotations

from typing import Literal, NamedTuple

from edgesim.nn.build import Net, Shape
from edgesim.nn.model import Layer

__all__ = [
    "efficientnet_b0_layers",
    "mnasnet_layers",
    "mobilenet_v1_blocks",
    "mobilenet_v1_layers",
    "mobilenet_v2_layers",
    "mobilenet_v2_rows",
    "mobilenet_v3_large_layers",
    "mobilenet_v3_rows",
    "proxylessnas_layers",
]


def mobilenet_v1_blocks() -> tuple[tuple[int, int], ...]:
    """Channels and stride of MobileNet v1's separable convolutions."""
    return (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *5 * ((512, 1),),
        (1024, 2),
        (1024, 1),
    )


def mobilenet_v1_layers(side: int = 224) -> list[Layer]:
    """Howard et al., 2017 (arXiv 1704.04861), table 1; width 1.0, ``side`` x ``side`` pixels."""
    net = Net()
    x = net.conv(Shape(3, side, side), 32, 3, 2)
    for channels, stride in mobilenet_v1_blocks():
        x = net.separable(x, channels, 3, stride)
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def mobilenet_v2_rows() -> tuple[tuple[int, int, int, int], ...]:
    """Expansion, channels, repetitions and first stride of MobileNet v2's stages."""
    return (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )


def mobilenet_v2_layers() -> list[Layer]:
    """Sandler et al., CVPR 2018 (arXiv 1801.04381), table 2; width 1.0, 224 x 224."""
    net = Net()
    x = net.conv(Shape(3, 224, 224), 32, 3, 2)
    for expansion, channels, count, stride in mobilenet_v2_rows():
        for index in range(count):
            x = net.inverted_residual(
                x, channels, 3, stride if index == 0 else 1, hidden=expansion * x.channels
            )
    x = net.conv(x, 1280)
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def mnasnet_layers() -> list[Layer]:
    """MnasNet-B1 1.0: Tan et al., CVPR 2019 (arXiv 1807.11626), without squeeze-and-excite."""
    net = Net()
    x = net.conv(Shape(3, 224, 224), 32, 3, 2)
    x = net.separable(x, 16, linear=True)
    for expansion, channels, count, stride, kernel in (
        (3, 24, 3, 2, 3),
        (3, 40, 3, 2, 5),
        (6, 80, 3, 2, 5),
        (6, 96, 2, 1, 3),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ):
        for index in range(count):
            x = net.inverted_residual(
                x, channels, kernel, stride if index == 0 else 1, hidden=expansion * x.channels
            )
    x = net.conv(x, 1280)
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


class V3Row(NamedTuple):
    """One block of MobileNet v3, in the order of the paper's table."""

    kernel: int
    hidden: int
    channels: int
    squeezes: bool
    activation: Literal["relu", "hard_swish"]
    stride: int


def mobilenet_v3_rows(*, tail: int = 1, first_version: bool = False) -> tuple[V3Row, ...]:
    """MobileNet v3 large, table 1 of Howard et al., ICCV 2019 (arXiv 1905.02244).

    Args:
        tail: divides the channels after the last stride; detectors halve them (section 6.3).
        first_version: the table of the first arXiv version, in which the last stride came one
            block later.
    """
    last = 160 // tail
    rows = (
        V3Row(3, 16, 16, False, "relu", 1),
        V3Row(3, 64, 24, False, "relu", 2),
        V3Row(3, 72, 24, False, "relu", 1),
        V3Row(5, 72, 40, True, "relu", 2),
        V3Row(5, 120, 40, True, "relu", 1),
        V3Row(5, 120, 40, True, "relu", 1),
        V3Row(3, 240, 80, False, "hard_swish", 2),
        V3Row(3, 200, 80, False, "hard_swish", 1),
        V3Row(3, 184, 80, False, "hard_swish", 1),
        V3Row(3, 184, 80, False, "hard_swish", 1),
        V3Row(3, 480, 112, True, "hard_swish", 1),
        V3Row(3, 672, 112, True, "hard_swish", 1),
    )
    if first_version:
        return (
            *rows,
            V3Row(5, 672, 160, True, "hard_swish", 1),
            V3Row(5, 672, 160, True, "hard_swish", 2),
            V3Row(5, 960, 160, True, "hard_swish", 1),
        )
    return (
        *rows,
        V3Row(5, 672, last, True, "hard_swish", 2),
        V3Row(5, 6 * last, last, True, "hard_swish", 1),
        V3Row(5, 6 * last, last, True, "hard_swish", 1),
    )


def v3_block(net: Net, x: Shape, row: V3Row, *, divisor: int = 8) -> Shape:
    """One block; the squeezed width is a quarter, rounded to a multiple of ``divisor``."""
    return net.inverted_residual(
        x,
        row.channels,
        row.kernel,
        row.stride,
        hidden=row.hidden,
        squeeze=_round(row.hidden / 4, divisor) if row.squeezes else None,
        activation=row.activation,
        gate="hard_swish",
    )


def mobilenet_v3_large_layers(*, as_in_ncnn: bool = False) -> list[Layer]:
    """MobileNet v3 large, 224 x 224: Howard et al., ICCV 2019 (arXiv 1905.02244), table 1.

    Args:
        as_in_ncnn: the dimensions of ncnn's ``benchmark/mobilenet_v3.param`` instead, which
            follow the paper's first version: the last stride one block later, and squeezed widths
            of exactly a quarter.
    """
    net = Net()
    x = net.conv(Shape(3, 224, 224), 16, 3, 2, activation="hard_swish")
    for row in mobilenet_v3_rows(first_version=as_in_ncnn):
        x = v3_block(net, x, row, divisor=1 if as_in_ncnn else 8)
    x = net.conv(x, 960, activation="hard_swish")
    x = net.dense(net.global_pool(x), 1280, activation="hard_swish")
    net.softmax(net.dense(x, 1000))
    return net.layers


def efficientnet_b0_layers() -> list[Layer]:
    """Tan and Le, ICML 2019 (arXiv 1905.11946), table 1; 224 x 224, swish throughout."""
    net = Net()
    x = net.conv(Shape(3, 224, 224), 32, 3, 2, activation="swish")
    for expansion, channels, count, stride, kernel in (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ):
        for index in range(count):
            x = net.inverted_residual(
                x,
                channels,
                kernel,
                stride if index == 0 else 1,
                hidden=expansion * x.channels,
                squeeze=x.channels // 4,
                activation="swish",
                squeeze_activation="swish",
            )
    x = net.conv(x, 1280, activation="swish")
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def proxylessnas_layers(*, as_in_ncnn: bool = False) -> list[Layer]:
    """ProxylessNAS (Mobile): Cai et al., ICLR 2019 (arXiv 1812.00332), figure 4; 224 x 224.

    Args:
        as_in_ncnn: the dimensions of ncnn's ``benchmark/proxylessnasnet.param`` instead, whose
            first block is 32 channels wide in place of 16.
    """
    net = Net()
    x = net.conv(Shape(3, 224, 224), 32, 3, 2)
    x = net.separable(x, 32 if as_in_ncnn else 16, linear=True)
    first = True
    for channels, stride, blocks in (
        (32, 2, ((5, 3), (3, 3))),
        (40, 2, ((7, 3), (3, 3), (5, 3), (5, 3))),
        (80, 2, ((7, 6), (5, 3), (5, 3), (5, 3))),
        (96, 1, ((5, 6), (5, 3), (5, 3), (5, 3))),
        (192, 2, ((7, 6), (7, 6), (7, 3), (7, 3))),
        (320, 1, ((7, 6),)),
    ):
        for index, (kernel, expansion) in enumerate(blocks):
            # 48 = 3 x 16 in both: ncnn widened the block's input, not its inside
            hidden = 48 if first else expansion * x.channels
            x = net.inverted_residual(
                x, channels, kernel, stride if index == 0 else 1, hidden=hidden
            )
            first = False
    x = net.conv(x, 1280)
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def _round(value: float, divisor: int) -> int:
    """The nearest multiple, but never less than nine tenths of the value (TensorFlow's rule)."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded
