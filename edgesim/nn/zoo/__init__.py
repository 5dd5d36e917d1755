"""The neural networks that scenarios name, and what one inference of each costs, layer by layer.

Layers come from the dimensions in the models' papers and releases; sums are checked against
published counts, named with each model. Latencies are not here: they belong to a processor.

A model is built when it is first asked for by name. Nothing is built by importing this package, by
listing the names or by asking whether one is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Final

from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.nn.model import Layer, ModelCost
from edgesim.nn.zoo.detectors import blazeface_layers
from edgesim.nn.zoo.entries import ENTRIES, ZooEntry
from edgesim.nn.zoo.mobilenets import mobilenet_v3_large_layers, proxylessnas_layers
from edgesim.nn.zoo.shufflenets import shufflenet_v1_layers

__all__ = ["ALIASES", "ZOO", "UnknownModelError", "Zoo", "find_model", "measured_model"]


class UnknownModelError(EdgesimError, KeyError):
    """A name that is neither a model's nor an alias."""

    __str__ = EdgesimError.__str__  # a KeyError would show its message in quotes


class Zoo(Mapping[str, ModelCost]):
    """Models by name, each built at its first use and kept; cannot be changed.

    Args:
        entries: what they are built from.
    """

    __slots__ = ("_built", "_entries")

    def __init__(self, entries: Mapping[str, ZooEntry]) -> None:
        self._entries = entries
        self._built: dict[str, ModelCost] = {}

    def __getitem__(self, name: str) -> ModelCost:
        model = self._built.get(name)
        if model is None:
            model = self._built[name] = self._entries[name].build(name)
        return model

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Zoo({', '.join(self._entries)})"


ZOO: Final[Mapping[str, ModelCost]] = Zoo(ENTRIES)
"""Every model, by name."""

ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # ncnn's benchmark
        "mobilenet": "mobilenet_v1",
        "mobilenet_v3": "mobilenet_v3_large",
        "shufflenet": "shufflenet_v1",
        "proxylessnasnet": "proxylessnas",
        "googlenet": "inception_v1",
        "resnet18": "resnet_18",
        "resnet50": "resnet_50",
        "vgg16": "vgg_16",
        # TensorFlow Lite
        "mobilenet_v1_1.0_224": "mobilenet_v1",
        "mobilenet_v2_1.0_224": "mobilenet_v2",
        "mnasnet_1.0_224": "mnasnet",
        "v3-large_224_1.0": "mobilenet_v3_large",
        "ssd_mobilenet": "ssd_mobilenet_v1",
        "ssd_mobilenet_v1_coco": "ssd_mobilenet_v1",
        "ssdlite_mobilenet_v2": "ssd_mobilenet_v2",
        "ssdlite_mobilenet_v2_coco": "ssd_mobilenet_v2",
        "ssd_mobilenet_v3_large_coco": "ssd_mobilenet_v3",
        # torchvision and timm
        "mobilenet_v3_large_100": "mobilenet_v3_large",
        "mnasnet1_0": "mnasnet",
        "squeezenet1_1": "squeezenet",
        "shufflenet_v2_x1_0": "shufflenet_v2",
        "regnet_y_400mf": "regnety_400m",
    }
)
"""Names that others give to the zoo's models, in lists of measurements above all.

Only where the network is the same: ``resnet_v1_50`` has its stride elsewhere, and
``ssd_mobilenet_v2_coco`` is not the lite variant.
"""

_AS_MEASURED: Final[Mapping[str, Callable[[], list[Layer]]]] = MappingProxyType(
    {
        "mobilenet_v3": lambda: mobilenet_v3_large_layers(as_in_ncnn=True),
        "blazeface": lambda: blazeface_layers(as_in_ncnn=True),
        "shufflenet": lambda: shufflenet_v1_layers(as_in_ncnn=True),
        "proxylessnasnet": lambda: proxylessnas_layers(as_in_ncnn=True),
    }
)


def find_model(name: str) -> ModelCost:
    """A model by its name or by an alias.

    Raises:
        UnknownModelError: if there is none.
    """
    known = ALIASES.get(name, name)
    if known not in ZOO:
        raise UnknownModelError(
            f"no model is called {name!r}: {did_you_mean(name, [*ZOO, *ALIASES])}"
        )
    return ZOO[known]


@cache
def measured_model(network: str) -> ModelCost:
    """The model that a list of measurements calls ``network``, with the layers that were measured.

    It is :func:`find_model`'s but for four networks of ncnn's benchmark, whose dimensions are not
    the published ones: ``mobilenet_v3`` follows the paper's first version (13 % more
    multiply-accumulates), ``proxylessnasnet`` has a first block twice as wide (5 % more),
    ``shufflenet`` has narrower first units (7 % less), and ``blazeface`` ends before the heads (5 %
    less).

    Raises:
        UnknownModelError: if there is none.
    """
    model = find_model(network)
    layers = _AS_MEASURED.get(network)
    if layers is None:
        return model
    return replace(
        model,
        layers=tuple(layers()),
        published=None,
        source=f"{model.source}; layers as in ncnn's benchmark/{network}.param",
    )
