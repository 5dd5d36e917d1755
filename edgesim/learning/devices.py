"""Federated data by type of device: each client's pictures as its own camera takes them.

Source: Kim et al., "HeteroSwitch", MLSys 2024: the same scenes are other data on other phones. Here a
data set's pictures are the scenes. Clients get theirs from a partition as ever; then each client's go
through the camera of its type. The scenes to test with go through the cameras of all types, so that a
difference between types is the cameras' alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.core.random import Streams
from edgesim.learning.data import Dataset, Samples, joined
from edgesim.learning.isp.album import kept_photographs
from edgesim.learning.isp.camera import Camera
from edgesim.learning.partition import Partition, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["by_device_type", "degradations", "photographed", "plot_degradations"]


def photographed(
    samples: Samples,
    camera: Camera,
    device_type: str,
    part: str,
    *,
    rows: Rows | None = None,
    seed: int = 0,
    album: Path | None = None,
) -> Samples:
    """Samples as a camera takes them.

    Args:
        samples: colour pictures in [0, 1].
        camera: which takes them.
        device_type: whose noise it is: two types with one camera have other noise,
        part: and so have ``train`` and ``test``.
        rows: which of the samples; by default all. A sample's noise does not depend on what others are
            taken with it.
        seed: of the noise.
        album: where pictures are kept; see :mod:`edgesim.learning.isp.album`.

    Raises:
        EdgesimError: if the samples are no such pictures.
    """
    chosen = np.arange(len(samples)) if rows is None else rows
    taken = samples.take(chosen)
    names = [(device_type, part, row) for row in chosen.tolist()]
    keys = Streams(seed).keys("camera", names)
    inputs = np.asarray(taken.inputs, np.float32)
    return replace(taken, inputs=kept_photographs(inputs, camera, keys, album))


def by_device_type(
    dataset: Dataset,
    partition: Partition,
    types: Sequence[str],
    cameras: Mapping[str, Camera],
    *,
    held_out: Iterable[str] = (),
    seed: int = 0,
    album: Path | None = None,
) -> Dataset:
    """A data set whose pictures have been taken by the cameras of its clients.

    Args:
        dataset: colour pictures in [0, 1]; they are the scenes.
        partition: who has which.
        types: the type of device of each client.
        cameras: by type.
        held_out: types that no client is of, and whose cameras take the scenes to test with all the same.
        seed: of the noise.
        album: where pictures are kept; see :mod:`edgesim.learning.isp.album`.

    Returns:
        The same rows to train with, taken by their owners' cameras (rows that nobody owns stay as they
        are); to test with, all scenes once per type, in the order of the types' names. ``sources`` is the
        number of the type, ``source_names`` the types.

    Raises:
        EdgesimError: if a type has no camera, or no clients and is not held out, or the samples are no
            colour pictures in [0, 1].
    """
    if len(types) != len(partition):
        raise EdgesimError(f"{len(partition)} clients, but {len(types)} types of device")
    out = set(held_out)
    present = set(types)
    for name in sorted(present | out):
        if name not in cameras:
            known = ", ".join(sorted(cameras)) or "none"
            raise EdgesimError(f"device type {name!r} has no camera; cameras are known of: {known}")
    for name in sorted(out & present):
        raise EdgesimError(
            f"device type {name!r} is held out, but {list(types).count(name)} clients are of it"
        )
    for name in sorted(set(cameras) - present - out):
        raise EdgesimError(
            f"device type {name!r} has no clients; hold it out to judge models by its camera all the "
            "same, or leave its camera away"
        )
    names = tuple(sorted(present | out))
    train, owners = dataset.train, np.array([names.index(each) for each in types])
    inputs = np.array(train.inputs, np.float32)
    sources = np.zeros(len(train), np.int64)
    tests = []
    for number, name in enumerate(names):
        clients = np.flatnonzero(owners == number)
        if len(clients):
            rows = np.sort(np.concatenate([partition.rows[client] for client in clients]))
            taken = photographed(
                train, cameras[name], name, "train", rows=rows, seed=seed, album=album
            )
            inputs[rows], sources[rows] = taken.inputs, number
        taken = photographed(dataset.test, cameras[name], name, "test", seed=seed, album=album)
        tests.append(replace(taken, sources=np.full(len(taken), number, np.int64)))
    return replace(
        dataset,
        train=Samples(inputs, train.labels, sources),
        test=joined(tests),
        source_names=names,
        source=f"{dataset.source}, as the cameras of {len(names)} types of device take it",
    )


def degradations(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is lost on other devices, in per cent of a model's accuracy on its own.

    Args:
        accuracy: of the model trained on each device (rows) on each device (columns).

    Returns:
        ``100 (1 - accuracy / accuracy on its own)``, same shape; NaN on the diagonal.
    """
    own = np.diag(accuracy)
    found = 100.0 * (1.0 - accuracy / own[:, None])
    np.fill_diagonal(found, np.nan)
    return np.asarray(found, np.float64)


def plot_degradations(
    accuracy: NDArray[np.float64],
    names: Sequence[str],
    *,
    most: float = 60.0,
    ax: Axes | None = None,
) -> Axes:
    """Degradations from device to device as a table in colours, with the means of rows and columns.

    The form is that of Kim et al., "HeteroSwitch", MLSys 2024, table 2.

    Args:
        accuracy: see :func:`degradations`.
        names: of the devices.
        most: per cent that have the darkest colour.
        ax: where to draw; by default a new figure.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(7.2, 5.4), layout="constrained")
    inner = degradations(accuracy)
    shown = np.full((len(names) + 1, len(names) + 1), np.nan)
    shown[:-1, :-1] = inner
    shown[:-1, -1], shown[-1, :-1] = np.nanmean(inner, axis=1), np.nanmean(inner, axis=0)
    shown[-1, -1] = np.nanmean(inner)
    ax.imshow(shown, cmap="YlOrRd", vmin=0.0, vmax=most, aspect="auto")
    for (row, column), value in np.ndenumerate(shown):
        is_own = row == column < len(names)
        text = f"({100 * accuracy[row, column]:.0f})" if is_own else f"{value:.1f}"
        colour = "white" if value > 0.7 * most else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    for line in (ax.axhline, ax.axvline):
        line(len(names) - 0.5, color="black", linewidth=1.0)
    labels = [*names, "mean"]
    ax.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel="tested on pictures of", ylabel="trained on pictures of")
    ax.set_title("lost accuracy, % of that on its own device (in brackets, %)", fontsize=9)
    ax.spines[:].set_visible(False)
    return ax
