"""Layers of AlexNet, VGG-16, SqueezeNet, the Inceptions, the ResNets and RegNetY."""

from __future__ import annotations

from collections.abc import Iterator

from edgesim.nn.build import Net, Shape
from edgesim.nn.model import Layer

__all__ = [
    "alexnet_layers",
    "inception_v1_layers",
    "inception_v3_layers",
    "regnety_400m_layers",
    "resnet_layers",
    "squeezenet_fires",
    "squeezenet_layers",
    "vgg16_layers",
]


def alexnet_layers() -> list[Layer]:
    """Krizhevsky et al., NeurIPS 2012, as released with Caffe: two groups, 227 x 227."""
    net = Net(batchnorm=False)
    x = net.conv(Shape(3, 227, 227), 96, 11, 4, padding=0)
    x = net.max_pool(net.normalise(x, window=5), 3, 2, padding=0)
    x = net.conv(x, 256, 5, groups=2)
    x = net.max_pool(net.normalise(x, window=5), 3, 2, padding=0)
    x = net.conv(x, 384, 3)
    x = net.conv(x, 384, 3, groups=2)
    x = net.conv(x, 256, 3, groups=2)
    x = net.max_pool(x, 3, 2, padding=0)
    x = net.dense(x, 4096, activation="relu")
    x = net.dense(x, 4096, activation="relu")
    net.softmax(net.dense(x, 1000))
    return net.layers


def vgg16_layers() -> list[Layer]:
    """Simonyan and Zisserman, ICLR 2015 (arXiv 1409.1556), configuration D, 224 x 224."""
    net = Net(batchnorm=False)
    x = Shape(3, 224, 224)
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = net.conv(x, channels, 3)
        x = net.max_pool(x, 2, 2, padding=0)
    x = net.dense(x, 4096, activation="relu")
    x = net.dense(x, 4096, activation="relu")
    net.softmax(net.dense(x, 1000))
    return net.layers


def squeezenet_fires(net: Net, x: Shape) -> Iterator[Shape]:
    """The outputs of SqueezeNet 1.1's three stages of fire modules."""
    x = net.conv(x, 64, 3, 2, padding=0, batchnorm=False)
    for squeezed in ((16, 16), (32, 32), (48, 48, 64, 64)):
        x = net.max_pool(x, 3, 2, padding=0, ceil=True)
        for squeeze in squeezed:
            x = fire(net, x, squeeze)
        yield x


def fire(net: Net, x: Shape, squeeze: int, *, batchnorm: bool = False) -> Shape:
    """SqueezeNet's module: squeeze, then expand fourfold by 1 x 1 and by 3 x 3, side by side."""
    y = net.conv(x, squeeze, batchnorm=batchnorm, bias=True)
    return net.concat(
        net.conv(y, 4 * squeeze, batchnorm=batchnorm, bias=True),
        net.conv(y, 4 * squeeze, 3, batchnorm=batchnorm, bias=True),
    )


def squeezenet_layers() -> list[Layer]:
    """SqueezeNet 1.1: Iandola et al., 2016 (arXiv 1602.07360), its repository; 227 x 227."""
    net = Net(batchnorm=False)
    *_, x = squeezenet_fires(net, Shape(3, 227, 227))
    net.softmax(net.global_pool(net.conv(x, 1000)))
    return net.layers


def inception_v1_layers() -> list[Layer]:
    """GoogLeNet: Szegedy et al., CVPR 2015 (arXiv 1409.4842), table 1; 224 x 224, no heads aside."""
    net = Net(batchnorm=False)
    x = net.conv(Shape(3, 224, 224), 64, 7, 2)
    x = net.normalise(net.max_pool(x, 3, 2, padding="same"), window=5)
    x = net.conv(net.conv(x, 64), 192, 3)
    x = net.max_pool(net.normalise(x, window=5), 3, 2, padding="same")
    for row in (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        None,
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        None,
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ):
        if row is None:
            x = net.max_pool(x, 3, 2, padding="same")
            continue
        one, reduce3, three, reduce5, five, pool = row
        x = net.concat(
            net.conv(x, one),
            net.conv(net.conv(x, reduce3), three, 3),
            net.conv(net.conv(x, reduce5), five, 5),
            net.conv(net.max_pool(x, 3), pool),
        )
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def resnet_layers(depth: int) -> list[Layer]:
    """He et al., CVPR 2016 (arXiv 1512.03385), table 1, depth 18 or 50, 224 x 224.

    The stride of a bottleneck is at its 3 x 3 convolution, as in torchvision.
    """
    blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
    net = Net()
    x = net.conv(Shape(3, 224, 224), 64, 7, 2)
    x = net.max_pool(x, 3, 2)
    for stage, count in enumerate(blocks):
        width = 64 * 2**stage
        for index in range(count):
            stride = 2 if index == 0 and stage > 0 else 1
            if depth == 18:
                channels = width
                y = net.conv(x, width, 3, stride)
                y = net.conv(y, width, 3, activation="none")
            else:
                channels = 4 * width
                y = net.conv(net.conv(x, width), width, 3, stride)
                y = net.conv(y, channels, activation="none")
            if x != y:
                x = net.conv(x, channels, 1, stride, activation="none")
            x = net.add(x, y, activation="relu")
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def inception_v3_layers() -> list[Layer]:
    """Szegedy et al., CVPR 2016 (arXiv 1512.00567), 299 x 299, without the auxiliary head.

    Channels as TensorFlow-slim and torchvision have them.
    """
    net = Net()
    x = net.conv(Shape(3, 299, 299), 32, 3, 2, padding=0)
    x = net.conv(net.conv(x, 32, 3, padding=0), 64, 3)
    x = net.max_pool(x, 3, 2, padding=0)
    x = net.conv(net.conv(x, 80), 192, 3, padding=0)
    x = net.max_pool(x, 3, 2, padding=0)
    for pooled in (32, 64, 64):
        double = net.conv(net.conv(x, 64), 96, 3)
        x = net.concat(
            net.conv(x, 64),
            net.conv(net.conv(x, 48), 64, 5),
            net.conv(double, 96, 3),
            net.conv(net.max_pool(x, 3), pooled),
        )
    double = net.conv(net.conv(x, 64), 96, 3)
    x = net.concat(
        net.conv(x, 384, 3, 2, padding=0),
        net.conv(double, 96, 3, 2, padding=0),
        net.max_pool(x, 3, 2, padding=0),
    )
    row, column = (1, 7), (7, 1)
    for width in (128, 160, 160, 192):
        single = net.conv(net.conv(x, width), width, row, padding=(0, 3))
        double = net.conv(net.conv(x, width), width, column, padding=(3, 0))
        double = net.conv(double, width, row, padding=(0, 3))
        double = net.conv(double, width, column, padding=(3, 0))
        x = net.concat(
            net.conv(x, 192),
            net.conv(single, 192, column, padding=(3, 0)),
            net.conv(double, 192, row, padding=(0, 3)),
            net.conv(net.max_pool(x, 3), 192),
        )
    double = net.conv(net.conv(x, 192), 192, row, padding=(0, 3))
    double = net.conv(double, 192, column, padding=(3, 0))
    x = net.concat(
        net.conv(net.conv(x, 192), 320, 3, 2, padding=0),
        net.conv(double, 192, 3, 2, padding=0),
        net.max_pool(x, 3, 2, padding=0),
    )
    for _ in range(2):
        single = net.conv(x, 384)
        double = net.conv(net.conv(x, 448), 384, 3)
        x = net.concat(
            net.conv(x, 320),
            *(
                net.conv(y, 384, kernel, padding=padding)
                for y in (single, double)
                for kernel, padding in (((1, 3), (0, 1)), ((3, 1), (1, 0)))
            ),
            net.conv(net.max_pool(x, 3), 192),
        )
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers


def regnety_400m_layers() -> list[Layer]:
    """RegNetY-400MF: Radosavovic et al., CVPR 2020 (arXiv 2003.13678), table 5; 224 x 224."""
    net = Net()
    x = net.conv(Shape(3, 224, 224), 32, 3, 2)
    for width, depth in ((48, 1), (104, 3), (208, 6), (440, 6)):
        for index in range(depth):
            stride = 2 if index == 0 else 1
            y = net.conv(x, width)
            y = net.conv(y, width, 3, stride, groups=width // 8)
            y = net.squeeze_excite(y, x.channels // 4)
            y = net.conv(y, width, activation="none")
            if x != y:
                x = net.conv(x, width, 1, stride, activation="none")
            x = net.add(x, y, activation="relu")
    net.softmax(net.dense(net.global_pool(x), 1000))
    return net.layers
