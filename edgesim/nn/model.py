"""A neural network as a table of costs. It is always called a *model*; a *network* carries bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["PRECISIONS", "Accuracy", "ModelCost"]

PRECISIONS = ("fp32", "fp16", "int8")
"""Numeric formats in which a model can run."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a model achieves, as published.

    Attributes:
        value: a fraction in [0, 1].
        metric: what is measured, and on what: ``top-1 on ImageNet``.
        source: where the number comes from.
    """

    value: float
    metric: str
    source: str


@dataclass(frozen=True, slots=True)
class ModelCost:
    """One model, as far as its cost is concerned.

    Attributes:
        name: the name scenarios use.
        task: what it does: ``image classification``.
        input: shape and type of one input: ``224 x 224 x 3 uint8``.
        macs: multiply-accumulate operations of one inference.
        parameters: number of weights.
        input_bytes: what is sent to run it elsewhere (raw, uncompressed).
        output_bytes: what comes back.
        accuracy: by precision; a precision without an entry is not offered.
        source: where macs, parameters and sizes come from.
    """

    name: str
    task: str
    input: str
    macs: int
    parameters: int
    input_bytes: int
    output_bytes: int
    accuracy: Mapping[str, Accuracy]
    source: str
