"""Data sets in memory, and those that need no download.

Inputs and labels are numpy arrays, so that partitions and plots need no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.core.random import Streams

__all__ = ["Dataset", "Samples", "digits", "photo_patches", "synthetic"]


@dataclass(frozen=True)
class Samples:
    """Inputs and what belongs to each.

    Attributes:
        inputs: shape ``(n, ...)``: float32 for pictures (channels first, in [0, 1]) and vectors, int64
            for sequences of tokens.
        labels: shape ``(n,)``, int64 from 0 on.
        sources: shape ``(n,)``, int64: who each comes from by nature (writer, speaker, device); empty
            if nobody knows.

    Raises:
        ValueError: if they do not belong together.
    """

    inputs: NDArray[np.float32] | NDArray[np.int64]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or len(self.inputs) != len(self.labels):
            raise ValueError(f"{len(self.inputs)} inputs, but labels of shape {self.labels.shape}")
        if len(self.sources) not in (0, len(self.labels)):
            raise ValueError(f"{len(self.labels)} samples, but {len(self.sources)} sources")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> Samples:
        """Some of them, in this order."""
        sources = self.sources[rows] if len(self.sources) else self.sources
        return Samples(self.inputs[rows], self.labels[rows], sources)


@dataclass(frozen=True)
class Dataset:
    """A data set for classification; predicting the next character is classification too.

    Attributes:
        name: what it is called.
        train: what clients learn from.
        test: what models are judged by; never given to a client.
        classes: their names, by label.
        tokens: of sequences, how many different tokens there are; 0 for all else.
        source: where it is from.
        source_names: what the samples' ``sources`` are called, by their numbers; empty if they have no
            names.
    """

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    tokens: int = 0
    source: str = ""
    source_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part, samples in {"train": self.train, "test": self.test}.items():
            if not len(samples):
                raise EdgesimError(f"data set {self.name!r} has no samples to {part}")
            if samples.labels.min() < 0 or samples.labels.max() >= len(self.classes):
                raise EdgesimError(
                    f"data set {self.name!r} has {len(self.classes)} classes, but its {part} labels "
                    f"go from {samples.labels.min()} to {samples.labels.max()}"
                )
        if self.train.inputs.shape[1:] != self.test.inputs.shape[1:]:
            raise EdgesimError(
                f"data set {self.name!r} has inputs of shape {self.train.inputs.shape[1:]} to train, "
                f"but {self.test.inputs.shape[1:]} to test"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.train.inputs.shape[1:])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it holds."""
        named = (self.source_names,) if self.source_names else ()
        found = hashlib.sha256(repr((self.classes, self.tokens, *named)).encode())
        for samples in (self.train, self.test):
            for array in (samples.inputs, samples.labels, samples.sources):
                found.update(f"{array.dtype.str}{array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


def split(
    labels: NDArray[np.int64], test_share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train and to test with, class by class; at least one of each class to test with.

    Args:
        labels: shape ``(n,)``.
        test_share: in (0, 1).
        rng: chooses.
    """
    test: list[NDArray[np.int64]] = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        test.append(rows[: max(1, round(test_share * len(rows)))])
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate(test)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def digits(seed: int = 0) -> Dataset:
    """The 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn, a fifth to test with.

    Source: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI, 1998.

    Args:
        seed: of the split.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    inputs = (found.images[:, None] / 16).astype(np.float32)
    every = Samples(inputs, found.target.astype(np.int64))
    train, test = split(every.labels, 0.2, Streams(seed).generator("digits", "split"))
    names = tuple(str(k) for k in range(10))
    source = "UCI, by way of scikit-learn"
    return Dataset("digits", every.take(train), every.take(test), names, source=source)


def synthetic(
    alpha: float = 1.0,
    beta: float = 1.0,
    clients: int = 30,
    seed: int = 0,
    *,
    iid: bool = False,
    samples: tuple[float, float, int] = (4.0, 2.0, 50),
    test_share: float = 0.2,
) -> Dataset:
    """Synthetic(alpha, beta): every client has a linear model and inputs of its own.

    Source: Li et al., "Federated optimization in heterogeneous networks", MLSys 2020, section 5.1:
    ``y = argmax(softmax(W x + b))`` for 60 features and 10 classes; ``W`` and ``b`` of client k are
    normal around ``u_k ~ N(0, alpha)``; inputs around ``v_k``, whose entries are normal around
    ``B_k ~ N(0, beta)``, with variances ``j^-1.2``. As in the authors' code alpha and beta are standard
    deviations, and the number of samples is lognormal(4, 2) plus 50.

    Args:
        alpha: how much the models of clients differ.
        beta: how much their inputs differ.
        clients: how many there are; they are the ``sources`` of the samples.
        seed: of everything.
        iid: one model and one distribution for all clients.
        samples: mean and deviation of the logarithm of a client's samples, and what is added.
        test_share: of each client's samples.

    Raises:
        ValueError: for parameters that make no sense.
    """
    if alpha < 0 or beta < 0 or clients < 1 or not 0 < test_share < 1:
        raise ValueError("alpha and beta are at least 0, clients at least 1, test_share in (0, 1)")
    features, classes = 60, 10
    deviations = np.arange(1, features + 1) ** -0.6
    streams = Streams(seed)
    common = streams.generator("synthetic", "common")
    w_all, b_all = common.normal(size=(features, classes)), common.normal(size=classes)
    mu, sigma, least = samples
    parts: list[Samples] = []
    tests: list[Samples] = []
    for client in range(clients):
        # One stream per client: others' samples are the same however many there are.
        rng = streams.generator("synthetic", client)
        n = int(rng.lognormal(mu, sigma)) + least
        u, mean_of_means = rng.normal(0, alpha), rng.normal(0, beta)
        means = rng.normal(mean_of_means, 1, features)
        w, b = rng.normal(u, 1, (features, classes)), rng.normal(u, 1, classes)
        if iid:
            means, w, b = np.zeros(features), w_all, b_all
        x = rng.normal(means, deviations, (n, features))
        y = np.argmax(x @ w + b, axis=1)
        tested = max(1, round(test_share * n))
        source = np.full(n, client)
        every = Samples(x.astype(np.float32), y.astype(np.int64), source)
        rows = np.arange(n)
        tests.append(every.take(rows[:tested]))
        parts.append(every.take(rows[tested:]))
    name = "synthetic_iid" if iid else f"synthetic_{alpha:g}_{beta:g}"
    names = tuple(str(k) for k in range(classes))
    return Dataset(name, joined(parts), joined(tests), names, source="generated")


def joined(parts: Sequence[Samples]) -> Samples:
    """Samples one after another."""
    return Samples(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.sources for part in parts]),
    )


PHOTOS = (
    ("sklearn", "china.jpg"),
    ("sklearn", "flower.jpg"),
    ("skimage", "astronaut.png"),
    ("skimage", "chelsea.png"),
    ("skimage", "coffee.png"),
    ("skimage", "hubble_deep_field.jpg"),
    ("skimage", "ihc.png"),
    ("skimage", "motorcycle_left.png"),
    ("skimage", "retina.jpg"),
    ("skimage", "rocket.jpg"),
)
"""Colour photographs by the package that they come with."""


def photo_patches(
    train_per_class: int = 200, test_per_class: int = 50, seed: int = 0, size: int = 32
) -> Dataset:
    """Colour patches of photographs that come with scikit-learn and scikit-image; class = photograph.

    Patches to train and to test with are cut from different blocks of each photograph, so that no pixel
    is in both. They are of the same photographs: how well a model does says nothing of others.

    Args:
        train_per_class: how many patches of each photograph to train with,
        test_per_class: and to test with.
        seed: chooses blocks and patches.
        size: pixels of a side.

    Raises:
        EdgesimError: if a photograph is not there: with some only it would be another data set.
    """
    found = _photographs()
    streams = Streams(seed)
    parts: dict[bool, list[Samples]] = {False: [], True: []}
    for label, (name, picture) in enumerate(found.items()):
        rng = streams.generator("photo_patches", name)
        side = 3 * size if min(picture.shape[:2]) >= 12 * size else (3 * size) // 2
        rows, columns = picture.shape[0] // side, picture.shape[1] // side
        blocks = rng.permutation(rows * columns)
        tested = max(1, len(blocks) // 5)
        for is_test, chosen, wanted in (
            (False, blocks[tested:], train_per_class),
            (True, blocks[:tested], test_per_class),
        ):
            block = rng.choice(chosen, wanted)
            top = block // columns * side + rng.integers(0, side - size + 1, wanted)
            left = block % columns * side + rng.integers(0, side - size + 1, wanted)
            patches = [picture[t : t + size, x : x + size] for t, x in zip(top, left, strict=True)]
            pixels = np.stack(patches).transpose(0, 3, 1, 2)
            inputs = (pixels / 255).astype(np.float32)
            parts[is_test].append(Samples(inputs, np.full(wanted, label, np.int64)))
    names = tuple(name.partition(".")[0] for name in found)
    source = "photographs of scikit-learn and scikit-image"
    return Dataset("photo_patches", joined(parts[False]), joined(parts[True]), names, source=source)


def _photographs() -> dict[str, NDArray[np.uint8]]:
    """The photographs by name; nothing is downloaded."""
    from importlib.resources import files

    from PIL import Image

    folders = {"sklearn": "sklearn.datasets.images", "skimage": "skimage.data"}
    found: dict[str, NDArray[np.uint8]] = {}
    for package, name in PHOTOS:
        file = files(folders[package]).joinpath(name)
        if not file.is_file():
            raise EdgesimError(
                f"photo_patches needs {name}, which this version of {package} does not bring; "
                "install the versions that constraints.txt names"
            )
        with file.open("rb") as stream, Image.open(stream) as picture:
            found[name] = np.asarray(picture.convert("RGB"))
    return found
