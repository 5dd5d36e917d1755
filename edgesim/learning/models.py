"""Models that learn, by name, and what they cost: every one is also a :class:`~edgesim.nn.model.ModelCost`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import nn

from edgesim.core.errors import EdgesimError
from edgesim.learning.catalogue import MODELS, checked, function_of
from edgesim.learning.data import Dataset
from edgesim.nn import from_module
from edgesim.nn.model import ModelCost

__all__ = [
    "build_model",
    "cnn",
    "cost_of",
    "example_input",
    "logistic",
    "lstm",
    "mlp",
    "mobilenet",
    "mobilenet_v3",
    "squeezenet_small",
    "strided_cnn",
]


def logistic(dataset: Dataset) -> nn.Module:
    """Multinomial logistic regression."""
    return nn.Sequential(nn.Flatten(), nn.Linear(prod(dataset.shape), len(dataset.classes)))


def mlp(dataset: Dataset, hidden: Sequence[int] = (32,)) -> nn.Module:
    """A multi-layer perceptron with ReLU.

    Args:
        dataset: whose inputs and classes it has.
        hidden: units of each hidden layer; (200, 200) is the "2NN" of McMahan et al., AISTATS 2017.
    """
    if any(units < 1 for units in hidden):
        raise EdgesimError(f"units of hidden layers must be at least 1; found {list(hidden)}")
    sizes = [prod(dataset.shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], len(dataset.classes)))


def cnn(dataset: Dataset, channels: Sequence[int] = (32, 64), dense: int = 512) -> nn.Module:
    """The CNN of CNN-MNIST: 5 x 5 convolutions, each with 2 x 2 pooling, and a dense layer.

    Source: McMahan et al., AISTATS 2017, section 3 (1,663,370 parameters for MNIST).

    Args:
        dataset: pictures of at least 4 x 4 pixels.
        channels: of each convolution.
        dense: units of the hidden dense layer.
    """
    size, height, width = _picture(dataset, 2 ** len(channels))
    layers: list[nn.Module] = []
    for number in channels:
        layers += [nn.Conv2d(size, number, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        size, height, width = number, height // 2, width // 2
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(size * height * width, dense),
        nn.ReLU(),
        nn.Linear(dense, len(dataset.classes)),
    )


def strided_cnn(dataset: Dataset, channels: Sequence[int] = (16, 32, 64)) -> nn.Module:
    """A small, fast CNN: 3 x 3 convolutions of stride 2 with ReLU, and a dense layer.

    Striding in place of pooling is that of Springenberg et al., "Striving for simplicity: the all
    convolutional net", ICLR 2015 workshop; without normalisation, so that colours and brightness count.

    Args:
        dataset: pictures whose sides are at least ``2 ** len(channels)``.
        channels: of each convolution.
    """
    if not channels or any(number < 1 for number in channels):
        raise EdgesimError(
            f"channels of model 'strided_cnn' must be above 0; found {list(channels)}"
        )
    size, height, width = _picture(dataset, 2 ** len(channels))
    layers: list[nn.Module] = []
    for number in channels:
        layers += [nn.Conv2d(size, number, 3, 2, padding=1), nn.ReLU()]
        size, height, width = number, (height + 1) // 2, (width + 1) // 2
    dense = nn.Linear(size * height * width, len(dataset.classes))
    return nn.Sequential(*layers, nn.Flatten(), dense)


def mobilenet(dataset: Dataset, width: int = 16) -> nn.Module:
    """A small MobileNet: depthwise-separable blocks, with group normalisation.

    Source: Howard et al., "MobileNets", arXiv 1704.04861, table 1, cut down to small pictures. Group in
    place of batch normalisation, because the statistics of a batch do not average among clients (Hsieh
    et al., "The non-IID data quagmire of decentralized machine learning", ICML 2020).

    Args:
        dataset: pictures of at least 4 x 4 pixels.
        width: channels of the first layer, a multiple of 8.
    """
    if width < 8 or width % 8:
        raise EdgesimError(f"width of model 'mobilenet' must be a multiple of 8; found {width}")
    size, _, _ = _picture(dataset, 4)
    layers: list[nn.Module] = [
        nn.Conv2d(size, width, 3, padding=1, bias=False),
        nn.GroupNorm(width // 8, width),
        nn.ReLU(),
    ]
    before = width
    for after, stride in ((2 * width, 1), (4 * width, 2), (4 * width, 1), (8 * width, 2)):
        layers += [
            nn.Conv2d(before, before, 3, stride, padding=1, groups=before, bias=False),
            nn.GroupNorm(before // 8, before),
            nn.ReLU(),
            nn.Conv2d(before, after, 1, bias=False),
            nn.GroupNorm(after // 8, after),
            nn.ReLU(),
        ]
        before = after
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, len(dataset.classes))
    )


class _Excite(nn.Module):
    """Squeeze and excite: channels weighed by what their means say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(channels // 4, 8)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        weighed: torch.Tensor = values * self.gate(values)
        return weighed


class _Bottleneck(nn.Module):
    """MobileNetV3's inverted residual: wider, depthwise, perhaps excited, narrow again."""

    def __init__(
        self, before: int, after: int, wide: int, kernel: int, stride: int, *, excites: bool
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(before, wide, 1, bias=False),
            nn.GroupNorm(wide // 8, wide),
            nn.Hardswish(),
            nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False),
            nn.GroupNorm(wide // 8, wide),
            nn.Hardswish(),
        ]
        if excites:
            layers.append(_Excite(wide))
        layers += [nn.Conv2d(wide, after, 1, bias=False), nn.GroupNorm(after // 8, after)]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and before == after

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layers(values)
        return values + found if self.is_residual else found


def mobilenet_v3(dataset: Dataset, width: int = 16) -> nn.Module:
    """A small MobileNetV3: inverted residuals, squeeze and excite, hard swish, group normalisation.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019, table 2 (Small), cut down to small
    pictures: four bottlenecks, two of stride 2. Group normalisation as for :func:`mobilenet`.

    Args:
        dataset: pictures of at least 8 x 8 pixels.
        width: channels of the first layer, a multiple of 8.
    """
    if width < 8 or width % 8:
        raise EdgesimError(f"width of model 'mobilenet_v3' must be a multiple of 8; found {width}")
    size, _, _ = _picture(dataset, 8)
    last = 6 * width
    return nn.Sequential(
        nn.Conv2d(size, width, 3, 2, 1, bias=False),
        nn.GroupNorm(width // 8, width),
        nn.Hardswish(),
        _Bottleneck(width, width, 2 * width, 3, 1, excites=True),
        _Bottleneck(width, 2 * width, 4 * width, 3, 2, excites=False),
        _Bottleneck(2 * width, 2 * width, 4 * width, 3, 1, excites=False),
        _Bottleneck(2 * width, 3 * width, 6 * width, 5, 2, excites=True),
        nn.Conv2d(3 * width, last, 1, bias=False),
        nn.GroupNorm(last // 8, last),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(last, len(dataset.classes)),
    )


class _Fire(nn.Module):
    """SqueezeNet's fire module: few channels, then 1 x 1 and 3 x 3 side by side."""

    def __init__(self, before: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(before, squeezed, 1)
        self.single = nn.Conv2d(squeezed, expanded, 1)
        self.triple = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        few = torch.relu(self.squeeze(values))
        return torch.relu(torch.cat([self.single(few), self.triple(few)], dim=1))


def squeezenet_small(dataset: Dataset, width: int = 16) -> nn.Module:
    """A small SqueezeNet: fire modules, pooling between them, a convolution in place of dense layers.

    Source: Iandola et al., "SqueezeNet", arXiv 1602.07360, table 1, cut down to small pictures: four fire
    modules, without dropout. It has no normalisation, as there, and begins with He et al.'s weights (ICCV
    2015), without which plain SGD hardly leaves the first loss.

    Args:
        dataset: pictures of at least 8 x 8 pixels.
        width: channels that the first fire module squeezes to, at least 4.
    """
    if width < 4:
        raise EdgesimError(f"width of model 'squeezenet_small' must be at least 4; found {width}")
    size, _, _ = _picture(dataset, 8)
    module = nn.Sequential(
        nn.Conv2d(size, 2 * width, 3, 2, 1),
        nn.ReLU(),
        _Fire(2 * width, width // 2, 2 * width),
        _Fire(4 * width, width // 2, 2 * width),
        nn.MaxPool2d(2),
        _Fire(4 * width, width, 4 * width),
        _Fire(8 * width, width, 4 * width),
        nn.Conv2d(8 * width, len(dataset.classes), 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return module


class _NextToken(nn.Module):
    """Embedding, LSTM, and a dense layer on what it says last."""

    def __init__(self, tokens: int, classes: int, embedding: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, classes)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        said, _ = self.lstm(self.embedding(tokens))
        last: torch.Tensor = self.output(said[:, -1])
        return last


def lstm(dataset: Dataset, embedding: int = 8, hidden: int = 256, layers: int = 2) -> nn.Module:
    """The LSTM of LSTM-Shakespeare.

    Source: McMahan et al., AISTATS 2017, section 3: characters embedded in 8 dimensions, two layers of
    256, softmax over the characters.

    Args:
        dataset: sequences of tokens.
        embedding: dimensions of a token.
        hidden: units of each layer.
        layers: how many.
    """
    if not dataset.tokens:
        raise EdgesimError(f"model 'lstm' needs sequences of tokens; {dataset.name!r} has none")
    return _NextToken(dataset.tokens, len(dataset.classes), embedding, hidden, layers)


def build_model(
    name: str, dataset: Dataset, seed: int = 0, parameters: Mapping[str, Any] | None = None
) -> nn.Module:
    """A model for a data set, with weights that the seed alone decides.

    Args:
        name: one of :data:`~edgesim.learning.catalogue.MODELS`, or ``package.module:NAME`` of a class or function of the user's own,
            which is called with ``parameters`` and makes a ``torch.nn.Module``.
        dataset: what it is to learn.
        seed: of its initial weights.
        parameters: keyword arguments for it.

    Raises:
        EdgesimError: if there is no such model, it cannot be made, or does not fit the data.
    """
    function = function_of("model", name, MODELS)
    given = checked("model", name, MODELS, parameters or {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = function(dataset, **given) if name in MODELS else function(**given)
        except (TypeError, ValueError, RuntimeError) as error:
            raise EdgesimError(f"model {name!r} cannot be made: {error}") from error
    if not isinstance(module, nn.Module):
        raise EdgesimError(f"{name!r} made a {type(module).__name__}, not a torch.nn.Module")
    _check_fit(name, module, dataset)
    return module


def example_input(dataset: Dataset) -> torch.Tensor:
    """A batch of one, all zeros, as the data set's inputs are."""
    dtype = torch.int64 if dataset.tokens else torch.float32
    return torch.zeros((1, *dataset.shape), dtype=dtype)


def cost_of(module: nn.Module, dataset: Dataset, name: str = "") -> ModelCost:
    """What the model costs to run and to train: see :mod:`edgesim.nn.cost`.

    Args:
        module: the model.
        dataset: what it learns.
        name: of the cost table; by default that of its class.
    """
    return from_module(
        module,
        example_input(dataset),
        name=name or None,
        task=dataset.name,
        input_bytes=prod(dataset.shape) if dataset.shape else 1,
    )


def _check_fit(name: str, module: nn.Module, dataset: Dataset) -> None:
    """Run it once, so that a model that does not fit is told before anything is trained."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            output = module(example_input(dataset))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise EdgesimError(
            f"model {name!r} cannot take inputs of shape {dataset.shape} of {dataset.name!r}: {error}"
        ) from error
    finally:
        module.train(was_training)
    wanted = (1, len(dataset.classes))
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != wanted:
        raise EdgesimError(
            f"model {name!r} gives {shape} for one input of {dataset.name!r}, which has "
            f"{len(dataset.classes)} classes; needed is {wanted}"
        )


def _picture(dataset: Dataset, least: int) -> tuple[int, int, int]:
    """Channels, height and width of pictures that are large enough."""
    if len(dataset.shape) != 3 or min(dataset.shape[1:]) < least or dataset.tokens:
        raise EdgesimError(
            f"this model needs pictures of at least {least} x {least} pixels; {dataset.name!r} has "
            f"inputs of shape {dataset.shape}"
        )
    channels, height, width = dataset.shape
    return channels, height, width
