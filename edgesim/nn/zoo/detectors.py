"""Layers of the detectors."""

from __future__ import annotations

from collections.abc import Sequence

from edgesim.nn.build import Net, Shape
from edgesim.nn.model import Layer
from edgesim.nn.zoo.classics import fire, squeezenet_fires
from edgesim.nn.zoo.mobilenets import (
    mobilenet_v1_blocks,
    mobilenet_v2_rows,
    mobilenet_v3_rows,
    v3_block,
)

__all__ = [
    "blazeface_layers",
    "mobilenet_ssd_layers",
    "squeezenet_ssd_layers",
    "ssd_mobilenet_v1_layers",
    "ssd_mobilenet_v2_layers",
    "ssd_mobilenet_v3_layers",
]

_COCO = 91
"""Classes of COCO's labels with the background."""
_VOC = 21
"""Classes of PASCAL VOC with the background."""


def _head(
    net: Net,
    features: Sequence[Shape],
    anchors: Sequence[int],
    classes: int,
    *,
    kernel: int = 1,
    lite: bool = False,
    caffe: bool = False,
) -> None:
    """SSD's predictors: Liu et al., ECCV 2016 (arXiv 1512.02325); their boxes are not suppressed.

    Args:
        net: the model.
        features: the feature maps to look at.
        anchors: boxes per place, for each of them.
        classes: with the background.
        kernel: of the predictors.
        lite: whether a predictor is a depthwise convolution and a pointwise one.
        caffe: whether values are permuted, so that boxes are outermost, and scored by softmax;
            TensorFlow has them in order, and scores by a sigmoid.
    """
    boxes = sum(
        count * feature.height * feature.width
        for feature, count in zip(features, anchors, strict=True)
    )
    for feature, count in zip(features, anchors, strict=True):
        for values in (4, classes):
            x = net.depthwise(feature) if lite else feature
            x = net.conv(
                x, count * values, 1 if lite else kernel, activation="none", batchnorm=False
            )
            if caffe:
                net.shuffle(x)
    net.shuffle(Shape(4, boxes))
    scores = net.shuffle(Shape(classes, boxes))
    if caffe:
        net.softmax(scores)
    else:
        net.activation(scores, "swish")


def mobilenet_ssd_layers(classes: int = _VOC, *, caffe: bool = True) -> list[Layer]:
    """MobileNet-SSD, 300 x 300, as in ncnn's ``benchmark/mobilenet_ssd.param``.

    Which is chuanqi305's port to Caffe, for PASCAL VOC, of TensorFlow's ssd_mobilenet_v1.

    Args:
        classes: with the background.
        caffe: how boxes are ordered and scored (see the head).
    """
    net = Net()
    x = net.conv(Shape(3, 300, 300), 32, 3, 2)
    features = []
    for index, (channels, stride) in enumerate(mobilenet_v1_blocks(), start=1):
        x = net.separable(x, channels, 3, stride)
        if index in (11, 13):
            features.append(x)
    for channels in (512, 256, 256, 128):
        x = net.conv(net.conv(x, channels // 2), channels, 3, 2)
        features.append(x)
    _head(net, features, (3, 6, 6, 6, 6, 6), classes, caffe=caffe)
    return net.layers


def ssd_mobilenet_v1_layers() -> list[Layer]:
    """ssd_mobilenet_v1_coco of TensorFlow's object detection API, 300 x 300."""
    return mobilenet_ssd_layers(_COCO, caffe=False)


def ssd_mobilenet_v2_layers() -> list[Layer]:
    """ssdlite_mobilenet_v2_coco of TensorFlow's object detection API, 300 x 300.

    Sandler et al., CVPR 2018 (arXiv 1801.04381), section 6.2: the first map is the expansion of
    the block with the last stride.
    """
    net = Net()
    x = net.conv(Shape(3, 300, 300), 32, 3, 2)
    features = []
    for expansion, channels, count, stride in mobilenet_v2_rows():
        for index in range(count):
            hidden = expansion * x.channels
            if channels == 160 and index == 0:
                x = net.expand(x, hidden)
                features.append(x)
            x = net.inverted_residual(x, channels, 3, stride if index == 0 else 1, hidden=hidden)
    x = net.conv(x, 1280)
    _lite(net, x, features)
    return net.layers


def ssd_mobilenet_v3_layers() -> list[Layer]:
    """ssd_mobilenet_v3_large_coco of TensorFlow's object detection API, 320 x 320, SSDLite.

    Howard et al., ICCV 2019 (arXiv 1905.02244), section 6.3: channels after the last stride
    halved; the first map is the expansion of the block with that stride.
    """
    net = Net()
    x = net.conv(Shape(3, 320, 320), 16, 3, 2, activation="hard_swish")
    features = []
    for row in mobilenet_v3_rows(tail=2):
        if row.channels == 80 and row.stride == 2 and row.squeezes:
            x = net.expand(x, row.hidden, activation="hard_swish")
            features.append(x)
        x = v3_block(net, x, row)
    x = net.conv(x, 480, activation="hard_swish")
    _lite(net, x, features)
    return net.layers


def _lite(net: Net, x: Shape, features: list[Shape]) -> None:
    """SSDLite from the last of the backbone on: four more maps, and the predictors."""
    features.append(x)
    for channels in (512, 256, 256, 128):
        x = net.separable(net.conv(x, channels // 2), channels, 3, 2)
        features.append(x)
    _head(net, features, (3, 6, 6, 6, 6, 6), _COCO, lite=True)


def squeezenet_ssd_layers() -> list[Layer]:
    """SqueezeNet-SSD, 300 x 300, as in ncnn's ``benchmark/squeezenet_ssd.param``.

    Which is chuanqi305's model for PASCAL VOC: two fire modules and two pairs of convolutions
    after SqueezeNet 1.1, and predictors of 3 x 3.
    """
    net = Net()
    _, fire5, x = squeezenet_fires(net, Shape(3, 300, 300))
    features = [x]
    for _ in range(2):
        x = fire(net, net.max_pool(x, 3, 2, padding=0, ceil=True), 96, batchnorm=True)
        features.append(x)
    for channels in (256, 128):
        x = net.conv(net.conv(x, channels // 2), channels, 3, 2)
        features.append(x)
    # no convolution before it, into which it could be folded
    features.insert(0, net.normalise(fire5, parameters=2 * fire5.channels))
    _head(net, features, (4, 6, 6, 6, 6, 4), _VOC, kernel=3, caffe=True)
    return net.layers


def blazeface_layers(*, as_in_ncnn: bool = False) -> list[Layer]:
    """Bazarevsky et al., 2019 (arXiv 1907.05047), front camera, 128 x 128, single BlazeBlocks.

    As MediaPipe released it: 16 single blocks and two feature maps with 2 and 6 anchors.
    """
    net = Net(batchnorm=False)
    x = net.conv(Shape(3, 128, 128), 24, 5, 2, padding="same")
    maps = []
    for channels, stride in (
        (24, 1),
        (28, 1),
        (32, 2),
        (36, 1),
        (42, 1),
        (48, 2),
        (56, 1),
        (64, 1),
        (72, 1),
        (80, 1),
        (88, 1),
        (96, 2),
        (96, 1),
        (96, 1),
        (96, 1),
        (96, 1),
    ):
        if as_in_ncnn and stride == 2:
            net.shuffle(x)  # padded by itself
        y = net.depthwise(x, 3, stride, padding="same", activation="none")
        y = net.conv(y, channels, activation="none")
        if stride == 2:
            maps.append(x)
            x = net.max_pool(x, 2, 2, padding=0)
        if channels > x.channels:
            x = net.shuffle(x)._replace(channels=channels)
        x = net.add(x, y, activation="relu")
    for feature, anchors in () if as_in_ncnn else ((maps[-1], 2), (x, 6)):
        net.conv(feature, anchors, activation="none")
        net.conv(feature, 16 * anchors, activation="none")
    return net.layers
