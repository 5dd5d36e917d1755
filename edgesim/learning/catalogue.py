"""Data sets, partitions and models by name, with their parameters; nothing of them is imported before use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import ValidationError, create_model

from edgesim.core.documents import Schema
from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.core.random import Streams

if TYPE_CHECKING:
    from edgesim.learning.data import Dataset
    from edgesim.learning.partition import Partition

__all__ = [
    "DATASETS",
    "MODELS",
    "PARTITIONS",
    "Entry",
    "build_dataset",
    "build_partition",
    "checked",
    "function_of",
    "parameters_of",
    "shown_parameters",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something with a name.

    Attributes:
        path: ``module:function`` within this package.
        summary: what it is, in a line.
        given: how many arguments do not come from the user.
        files: which parameters are files or folders.
        extra: which extra of edgesim it needs.
    """

    path: str
    summary: str
    given: int = 0
    files: tuple[str, ...] = ()
    extra: str = ""


DATASETS: Mapping[str, Entry] = {
    "digits": Entry("data:digits", "1,797 digits of 8 x 8 (scikit-learn); the default"),
    "synthetic": Entry(
        "data:synthetic", "the FedProx paper's Synthetic(alpha, beta), for any number of clients"
    ),
    "photo_patches": Entry(
        "data:photo_patches", "32 x 32 patches of ten photographs (scikit-learn, scikit-image)"
    ),
    "idx": Entry("files:idx_folder", "a folder with MNIST's four files", files=("folder",)),
    "characters": Entry(
        "files:next_characters", "the next character of a text (Shakespeare)", files=("file",)
    ),
    "sentences": Entry(
        "files:sentences", "two files of SENTENCE<tab>LABEL", files=("train", "test")
    ),
    "hub": Entry(
        "files:from_hub", "Parquet, a folder of pictures, or a name of the hub", extra="data"
    ),
}
"""Data sets."""

PARTITIONS: Mapping[str, Entry] = {
    "iid": Entry("partition:iid", "as many samples for each client, drawn from all", 2),
    "dirichlet": Entry(
        "partition:by_dirichlet", "labels of each client in shares from Dirichlet(alpha)", 2
    ),
    "classes": Entry("partition:by_classes", "so many classes per client", 2),
    "quantity": Entry("partition:by_quantity", "lognormal numbers of samples, labels IID", 2),
    "source": Entry("partition:by_source", "by writer, speaker or device", 2),
    "partly_dirichlet": Entry(
        "partition:partly_dirichlet", "AutoFL's: a share of the clients non-IID, the rest IID", 2
    ),
}
"""Partitions among clients."""

MODELS: Mapping[str, Entry] = {
    "logistic": Entry("models:logistic", "multinomial logistic regression", 1),
    "mlp": Entry("models:mlp", "multi-layer perceptron with ReLU", 1),
    "cnn": Entry("models:cnn", "the CNN of CNN-MNIST", 1),
    "strided_cnn": Entry("models:strided_cnn", "a small CNN of strided convolutions", 1),
    "mobilenet": Entry("models:mobilenet", "a small MobileNet with group normalisation", 1),
    "mobilenet_v3": Entry("models:mobilenet_v3", "a small MobileNetV3 with group normalisation", 1),
    "squeezenet_small": Entry("models:squeezenet_small", "a small SqueezeNet", 1),
    "lstm": Entry("models:lstm", "the LSTM of LSTM-Shakespeare", 1),
}
"""Models that can be trained."""


def function_of(what: str, name: str, entries: Mapping[str, Entry]) -> Callable[..., Any]:
    """The function or class called ``name``: one of these, or ``package.module:NAME``.

    Args:
        what: what it is, for messages: ``data set``.
        name: see above.
        entries: those that have names.

    Raises:
        EdgesimError: if there is none, or it cannot be imported.
    """
    entry = entries.get(name)
    if entry is None and ":" not in name:
        raise EdgesimError(f"there is no {what} {name!r}; {did_you_mean(name, entries)}")
    path = name if entry is None else f"edgesim.learning.{entry.path}"
    module_name, _, attribute = path.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise EdgesimError(f"{what} {name!r} cannot be imported: {error}") from error
    if not callable(found):
        raise EdgesimError(f"{what} {name!r} is neither a function nor a class")
    return found  # type: ignore[no-any-return]


def parameters_of(what: str, name: str, entries: Mapping[str, Entry]) -> type[Schema] | None:
    """The schema of what the user may set; ``None`` for a function of the user's own.

    Raises:
        EdgesimError: as :func:`function_of`.
    """
    function = function_of(what, name, entries)
    entry = entries.get(name)
    if entry is None:
        return None
    hints = get_type_hints(function)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(function).parameters.values())[entry.given :]:
        if parameter.name != "rng":
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    return create_model(f"{name}_parameters", __base__=Schema, **fields)


def shown_parameters(what: str, name: str, entries: Mapping[str, Entry]) -> str:
    """What the user may set, with defaults, in a line."""
    schema = parameters_of(what, name, entries)
    fields = {} if schema is None else schema.model_fields
    return ", ".join(
        key if field.is_required() else f"{key}={field.default!r}" for key, field in fields.items()
    )


def checked(
    what: str, name: str, entries: Mapping[str, Entry], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters, if they are in order.

    Raises:
        EdgesimError: naming the first that is not.
    """
    schema = parameters_of(what, name, entries)
    if schema is None:
        return dict(given)
    try:
        schema.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        hint = f" {first['msg'].lower()}"
        if first["type"] == "extra_forbidden":
            hint = f" is not known; {did_you_mean(key, schema.model_fields)}"
        elif first["type"] == "missing":
            hint = " is missing"
        raise EdgesimError(f"{what} {name!r}: parameter {key!r}:{hint}") from None
    return dict(given)


def build_dataset(
    name: str = "digits", parameters: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Dataset:
    """A data set by name.

    Args:
        name: one of :data:`DATASETS`, or ``package.module:NAME`` of the user's own, which makes a
            :class:`~edgesim.learning.data.Dataset`.
        parameters: keyword arguments for it.
        folder: where relative files are; by default the working directory.

    Raises:
        EdgesimError: if there is none, or it cannot be had, with what to do.
    """
    from edgesim.learning.data import Dataset

    given = checked("data set", name, DATASETS, parameters or {})
    entry = DATASETS.get(name)
    for key in () if entry is None or folder is None else entry.files:
        if key in given:
            given[key] = str(folder / given[key])
    if name == "hub" and folder is not None and "name" in given:
        beside = folder / given["name"]
        given["name"] = str(beside) if beside.is_dir() else given["name"]
    try:
        found = function_of("data set", name, DATASETS)(**given)
    except (TypeError, ValueError) as error:
        raise EdgesimError(f"data set {name!r} cannot be made: {error}") from error
    if not isinstance(found, Dataset):
        raise EdgesimError(f"{name!r} made a {type(found).__name__}, not a Dataset")
    return found


def build_partition(
    name: str,
    dataset: Dataset,
    clients: int,
    parameters: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Partition:
    """Who has which samples of a data set to train with.

    Args:
        name: one of :data:`PARTITIONS`, or ``package.module:NAME`` of the user's own, which is called
            with labels, number of clients and ``rng``.
        dataset: what is dealt out.
        clients: among how many.
        parameters: keyword arguments for it.
        seed: of who gets what.

    Raises:
        EdgesimError: if there is none, or there are too few samples.
    """
    from edgesim.learning.partition import Partition

    given = checked("partition", name, PARTITIONS, parameters or {})
    rng = Streams(seed).generator("partition")
    kind = dataset.train.sources if name == "source" else dataset.train.labels
    try:
        found = function_of("partition", name, PARTITIONS)(kind, clients, rng=rng, **given)
    except (TypeError, ValueError) as error:
        raise EdgesimError(f"partition {name!r} cannot be made: {error}") from error
    if not isinstance(found, Partition):
        raise EdgesimError(f"{name!r} made a {type(found).__name__}, not a Partition")
    return found
