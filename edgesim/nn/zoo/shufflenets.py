"""Layers of the ShuffleNets."""

from __future__ import annotations

from edgesim.nn.build import Net, Shape
from edgesim.nn.model import Layer

__all__ = ["shufflenet_v1_layers", "shufflenet_v2_layers"]


def shufflenet_v1_layers(*, as_in_ncnn: bool = False) -> list[Layer]:
    """Zhang et al., CVPR 2018 (arXiv 1707.01083), table 1; width 1.0, three groups, 224 x 224.

    The bottleneck of the very first unit is a quarter of what that unit adds.

    Args:
        as_in_ncnn: the dimensions of ncnn's ``benchmark/shufflenet.param`` instead, where that is
            so in the first unit of every stage (7 % fewer multiply-accumulates).
    """
    groups = 3
    net = Net()
    x = net.conv(Shape(3, 224, 224), 24, 3, 2)
    x = net.max_pool(x, 3, 2, padding=0, ceil=True)
    for channels, count in ((240, 4), (480, 8), (960, 4)):
        for index in range(count):
            first = index == 0
            added = channels - x.channels if first else channels
            if x.channels == 24:  # too few channels to divide them into groups
                y = net.conv(x, added // 4)
            else:
                narrow = (added if as_in_ncnn else channels) // 4
                y = net.shuffle(net.conv(x, narrow, groups=groups))
            y = net.depthwise(y, 3, 2 if first else 1, activation="none")
            y = net.conv(y, added, groups=groups, activation="none")
            if first:
                x = net.concat(net.max_pool(x, 3, 2, padding=0, ceil=True), y)
                net.activation(x, "relu")
            else:
                x = net.add(x, y, activation="relu")
    net.dense(net.global_pool(x), 1000)
    return net.layers


def shufflenet_v2_layers() -> list[Layer]:
    """Ma et al., ECCV 2018 (arXiv 1807.11164), table 5; width 1.0, 224 x 224."""
    net = Net()
    x = net.conv(Shape(3, 224, 224), 24, 3, 2)
    x = net.max_pool(x, 3, 2)
    for half, count in ((58, 4), (116, 8), (232, 4)):
        for index in range(count):
            if index == 0:
                left = net.conv(net.depthwise(x, 3, 2, activation="none"), half)
                right, stride = x, 2
            else:
                net.shuffle(x)  # split in two
                left = right = x._replace(channels=half)
                stride = 1
            y = net.depthwise(net.conv(right, half), 3, stride, activation="none")
            x = net.shuffle(net.concat(left, net.conv(y, half)))
    x = net.conv(x, 1024)
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers
