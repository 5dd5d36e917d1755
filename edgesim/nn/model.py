"""A neural network as a table of costs. It is always called a *model*; a *network* carries bits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

__all__ = [
    "JPEG_BITS_PER_PIXEL",
    "LAYER_KINDS",
    "PRECISIONS",
    "PROCESSORS",
    "Accuracy",
    "Layer",
    "LayerKind",
    "ModelCost",
    "Published",
    "StateCounts",
]

JPEG_BITS_PER_PIXEL = 2.3
"""Of a small colour picture at quality 85 with halved colour resolution; assumed: a portrait scaled to
224 x 224 (matplotlib's sample picture, written by Pillow) takes 2.34, 1.74 at quality 75, 4.24 at 95."""

PRECISIONS = ("fp32", "fp16", "int8")
"""Numeric formats in which a model can run."""

BYTES_PER_VALUE: Final[Mapping[str, int]] = {"fp32": 4, "fp16": 2, "int8": 1}
"""Bytes of one weight or activation, by precision."""

Processors = Literal[
    "cpu",
    "gpu",
    "dsp",
    "armv8_0_cpu",
    "armv8_2_cpu",
    "armv8_0_in_order_cpu",
    "armv8_2_in_order_cpu",
    "server_cpu",
    "mobile_gpu",
    "server_gpu",
    "mobile_dsp",
]
PROCESSORS: Final[tuple[Processors, ...]] = get_args(Processors)
"""Kinds of processor, then their families: a family is what shares instructions and software."""

LayerKind = Literal[
    "conv",
    "pointwise",
    "depthwise",
    "grouped",
    "dense",
    "matmul",
    "recurrent",
    "embedding",
    "pool",
    "elementwise",
    "activation",
    "normalisation",
    "softmax",
    "shuffle",
    "resize",
    "batchnorm",
    "relu",
]
"""What a layer does, as far as its cost is concerned.

``conv`` mixes all channels over a window, ``pointwise`` is a 1 x 1 convolution, ``grouped`` a
convolution in more than one group of several channels each, ``dense`` a fully connected layer,
``matmul`` a product of two activations (attention), ``shuffle`` whatever only moves values
(concatenate, split, permute). ``batchnorm`` and ``relu`` are folded into the layer before them at
inference and cost time only in training; ``activation`` is any other non-linearity.
"""
LAYER_KINDS: Final[tuple[LayerKind, ...]] = get_args(LayerKind)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, for a batch of one.

    Attributes:
        name: its name within the model.
        kind: what it does.
        macs: multiply-accumulate operations.
        parameters: number of trainable weights.
        inputs: activation values read.
        outputs: activation values written.
        kernel: height and width of its window.
        stride: step of the window.
        groups: groups of channels that do not mix.

    Raises:
        ValueError: for a kind that does not exist, or a size that is negative or zero where it
            cannot be.
    """

    name: str
    kind: LayerKind
    macs: int
    parameters: int
    inputs: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        if self.kind not in LAYER_KINDS:
            raise ValueError(
                f"layer {self.name!r}: unknown kind {self.kind!r}; one of {', '.join(LAYER_KINDS)}"
            )
        for key in ("macs", "parameters"):
            if getattr(self, key) < 0:
                raise ValueError(
                    f"layer {self.name!r}: {key} must not be negative; found {getattr(self, key)}"
                )
        for key in ("inputs", "outputs", "stride", "groups"):
            if getattr(self, key) < 1:
                raise ValueError(
                    f"layer {self.name!r}: {key} must be at least 1; found {getattr(self, key)}"
                )
        if min(self.kernel) < 1:
            raise ValueError(
                f"layer {self.name!r}: kernel must be at least 1 x 1; found {self.kernel}"
            )


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a model achieves, as published.

    Attributes:
        value: a fraction in [0, 1].
        metric: what is measured, and on what: ``top-1 on ImageNet``.
        source: where the number comes from.

    Raises:
        ValueError: for a value that is no fraction.
    """

    value: float
    metric: str
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"an accuracy is a fraction from 0 to 1; found {self.value}")


@dataclass(frozen=True, slots=True)
class Published:
    """What the model's authors, or a well-known zoo, count; the layers are checked against it.

    Attributes:
        macs: multiply-accumulate operations of one inference.
        parameters: number of trainable weights.
        source: where the two come from.
    """

    macs: float
    parameters: float
    source: str


@dataclass(frozen=True, slots=True)
class StateCounts:
    """Layer counts as AutoScale counts them (MICRO 2020, table of workloads).

    They are what its state is made of and are not the number of layers in the table: MobileBERT
    counts as recurrent, and the squeeze-and-excite layers of MobileNet v3 as fully connected.

    Attributes:
        conv: convolutional layers.
        fc: fully connected layers.
        rc: recurrent layers.
        source: where the counts come from.
    """

    conv: int
    fc: int
    rc: int
    source: str


@dataclass(frozen=True, slots=True)
class ModelCost:
    """One model, as far as its cost is concerned.

    Attributes:
        name: the name scenarios use.
        task: what it does: ``image classification``.
        input: shape and type of one input: ``224 x 224 x 3 uint8``.
        layers: in the order they run.
        input_bytes: what is sent to run it elsewhere (raw, uncompressed).
        output_bytes: what comes back.
        accuracy: by precision; a precision without an entry is not offered.
        state_counts: layer counts for AutoScale's state.
        published: the counts that the layers agree with, if any are known.
        unsupported_on: kinds or families of processor (:data:`PROCESSORS`) that cannot run it.
        source: where layers and sizes come from.
        macs: multiply-accumulate operations of one inference; the sum over the layers.
        parameters: number of weights; the sum over the layers.

    Raises:
        ValueError: for bytes below 0 or an accuracy that is none.
    """

    name: str
    task: str
    input: str
    layers: tuple[Layer, ...]
    input_bytes: int
    output_bytes: int
    accuracy: Mapping[str, Accuracy]
    state_counts: StateCounts
    source: str
    published: Published | None = None
    unsupported_on: frozenset[str] = frozenset()
    macs: int = field(init=False)
    parameters: int = field(init=False)

    def __post_init__(self) -> None:
        for key in ("input_bytes", "output_bytes"):
            value = getattr(self, key)
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{key} must be a whole number of at least 0; found {value}")
        for precision, accuracy in self.accuracy.items():
            if precision not in PRECISIONS or not isinstance(accuracy, Accuracy):
                raise ValueError(
                    f"accuracy must be Accuracy(value, metric, source) by precision, one of "
                    f"{', '.join(PRECISIONS)}; found {precision!r}: {accuracy!r}"
                )
        object.__setattr__(self, "macs", sum(layer.macs for layer in self.layers))
        object.__setattr__(self, "parameters", sum(layer.parameters for layer in self.layers))

    def __hash__(self) -> int:
        return hash((self.name, self.macs, self.parameters))

    @property
    def jpeg_bytes(self) -> int | None:
        """Size of its input as a JPEG picture; ``None`` if the input is not a colour picture.

        See :data:`JPEG_BITS_PER_PIXEL`.
        """
        found = re.match(r"(\d+) x (\d+) x 3 uint8", self.input)
        if found is None:
            return None
        return round(int(found[1]) * int(found[2]) * JPEG_BITS_PER_PIXEL / 8)

    def weight_bytes(self, precision: str) -> int:
        """Bytes of its weights in this precision."""
        return self.parameters * BYTES_PER_VALUE[precision]
