"""Data sets from files: IDX (MNIST), text as next characters, sentences, and what ``datasets`` reads."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.core.random import Streams
from edgesim.learning.data import Dataset, Samples, split

__all__ = ["from_hub", "idx_folder", "next_characters", "sentences"]

_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def idx_folder(folder: str | Path, name: str = "") -> Dataset:
    """A folder with MNIST's four files, packed with gzip or not.

    Source of the format: LeCun, Cortes, Burges, "The MNIST database", http://yann.lecun.com/exdb/mnist.

    Args:
        folder: has ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and the same of ``t10k``,
            each with or without ``.gz``.
        name: of the data set; by default the folder's.

    Raises:
        EdgesimError: naming the file that is missing, truncated or of another form.
    """
    folder = Path(folder)
    parts = {}
    for part, prefix in {"train": "train", "test": "t10k"}.items():
        images = read_idx(_found(folder, f"{prefix}-images-idx3-ubyte"))
        file = _found(folder, f"{prefix}-labels-idx1-ubyte")
        labels = read_idx(file)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise EdgesimError(
                f"{file}: labels of shape {labels.shape} for images of shape {images.shape}"
            )
        inputs = (images[:, None] / np.float32(255)).astype(np.float32)
        parts[part] = Samples(inputs, labels.astype(np.int64))
    classes = 1 + max(int(each.labels.max(initial=0)) for each in parts.values())
    names = tuple(str(k) for k in range(classes))
    source = f"IDX files in {folder.name}"
    return Dataset(name or folder.name, parts["train"], parts["test"], names, source=source)


def read_idx(file: Path) -> NDArray[Any]:
    """The array in an IDX file.

    Raises:
        EdgesimError: if it cannot be read, or is not one.
    """
    content = _content(file)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise EdgesimError(f"{file}: not an IDX file")
    dtype, dimensions = np.dtype(_IDX_TYPES[content[2]]), content[3]
    begin = 4 + 4 * dimensions
    if len(content) < begin:
        raise EdgesimError(f"{file}: truncated within its head")
    shape = tuple(int(n) for n in np.frombuffer(content[4:begin], ">u4"))
    wanted = begin + prod(shape) * dtype.itemsize
    if len(content) != wanted:
        raise EdgesimError(
            f"{file}: {len(content):,} bytes, but its head promises {wanted:,}: truncated, or damaged"
        )
    return np.frombuffer(content[begin:], dtype).reshape(shape)


def next_characters(
    file: str | Path, length: int = 80, stride: int = 80, test_share: float = 0.1, name: str = ""
) -> Dataset:
    """A text: the characters before each character, and which it is.

    Who speaks is known where the text is a play in the form of the complete works of Shakespeare: a line
    that ends with a colon after an empty line names the speaker. The last share of each speaker's text
    is to test with, so that no character to be foretold was seen in training.

    Args:
        file: UTF-8.
        length: characters that are given.
        stride: from one sample of a speaker to the next; from ``length`` on samples do not overlap.
        test_share: of each speaker's text.
        name: of the data set; by default the file's.

    Raises:
        EdgesimError: if it cannot be read, or is too short.
    """
    path = Path(file)
    if min(length, stride) < 1 or not 0 < test_share < 1:
        raise EdgesimError("length and stride must be at least 1, test_share in (0, 1)")
    try:
        text = _content(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise EdgesimError(f"{path}: not UTF-8: {error}") from None
    speeches = _speeches(text)
    alphabet = sorted(set().union(*speeches.values()))
    code = {character: k for k, character in enumerate(alphabet)}
    parts: dict[bool, tuple[list[list[int]], list[int], list[int]]] = {
        False: ([], [], []),
        True: ([], [], []),
    }
    for number, said in enumerate(speeches.values()):
        coded = [code[character] for character in said]
        border = int(len(coded) * (1 - test_share))
        for is_test, chosen in ((False, coded[:border]), (True, coded[border:])):
            inputs, labels, sources = parts[is_test]
            for begin in range(0, len(chosen) - length, stride):
                inputs.append(chosen[begin : begin + length])
                labels.append(chosen[begin + length])
                sources.append(number)
    if not parts[False][0] or not parts[True][0]:
        raise EdgesimError(f"{path}: too short for samples of {length} characters")
    train, test = (
        Samples(np.array(inputs), np.array(labels), np.array(sources))
        for inputs, labels, sources in (parts[False], parts[True])
    )
    names = tuple(alphabet)
    return Dataset(name or path.stem, train, test, names, len(alphabet), f"text {path.name}")


def _speeches(text: str) -> dict[str, str]:
    """What each speaker says, one speech after another; one speaker where nobody is named."""
    found: dict[str, list[str]] = {}
    for block in text.split("\n\n"):
        head, newline, rest = block.strip("\n").partition("\n")
        if newline and head.endswith(":") and len(head) <= 60:
            found.setdefault(head[:-1], []).append(rest + "\n")
        elif block.strip():
            found.setdefault("", []).append(block + "\n")
    return {speaker: "".join(parts) for speaker, parts in found.items()}


def sentences(
    train: str | Path,
    test: str | Path,
    length: int = 32,
    words: int = 5000,
    name: str = "",
) -> Dataset:
    """Sentences and their labels, a line each: ``SENTENCE<tab>LABEL``; words in lower case as tokens.

    Args:
        train: UTF-8 file to learn from,
        test: and to test with.
        length: of a sentence in words; longer ones are cut, shorter ones filled up in front.
        words: the most frequent ones of ``train`` that have a token of their own; the others share one.
        name: of the data set; by default the folder's.

    Raises:
        EdgesimError: naming file and line of what is not of that form.
    """
    rows = [_read_tsv(Path(file)) for file in (train, test)]
    counts: dict[str, int] = {}
    for sentence, _ in rows[0]:
        for word in sentence:
            counts[word] = counts.get(word, 0) + 1
    known = sorted(counts, key=lambda word: (-counts[word], word))[:words]
    code = {word: k for k, word in enumerate(known, start=2)}  # 0 fills up, 1 is any other word
    classes = tuple(sorted({label for part in rows for _, label in part}))
    parts = []
    for part in rows:
        inputs = np.zeros((len(part), length), np.int64)
        for k, (sentence, _) in enumerate(part):
            coded = [code.get(word, 1) for word in sentence[:length]]
            inputs[k, length - len(coded) :] = coded
        parts.append(Samples(inputs, np.array([classes.index(label) for _, label in part])))
    title = name or Path(train).parent.name
    return Dataset(title, parts[0], parts[1], classes, len(known) + 2, f"sentences in {title}")


def _read_tsv(file: Path) -> list[tuple[list[str], str]]:
    found = []
    text = _content(file).decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        sentence, tab, label = line.rpartition("\t")
        if not (tab and sentence.strip() and label.strip()):
            raise EdgesimError(
                f"{file}:{number}: not of the form SENTENCE<tab>LABEL: {line[:60]!r}"
            )
        found.append((sentence.lower().split(), label.strip()))
    if not found:
        raise EdgesimError(f"{file}: no sentences")
    return found


def from_hub(
    name: str,
    *,
    config: str | None = None,
    input_column: str | None = None,
    label_column: str | None = None,
    test_share: float = 0.2,
    train_samples: int | None = None,
    test_samples: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Pictures that Hugging Face ``datasets`` can read: Parquet, a folder of pictures, a name of the hub.

    Args:
        name: a folder with ``train`` and, if there are any, ``test`` Parquet files; a folder with one folder
            of pictures per class; or a name of the hub, which is downloaded once.
        config: of a data set of the hub that has several.
        input_column: which column has the pictures; by default the only one that has,
        label_column: and which the labels; by default ``label``, or the only one with classes.
        test_share: where there are no samples to test with, so many are taken away.
        train_samples: so many of those to train with, at random; by default all,
        test_samples: and of those to test with.
        seed: chooses all of these.

    Raises:
        EdgesimError: if ``datasets`` is not installed, there is no such data set, or it has fewer samples.
    """
    try:
        import datasets
    except ModuleNotFoundError:
        raise EdgesimError(
            f"data set {name!r} needs the extra 'data': pip install 'edgesim[data]'"
        ) from None
    datasets.disable_progress_bars()
    folder = Path(name)
    try:
        if folder.is_dir():
            found: Any = _local(datasets, folder)
        else:
            found = datasets.load_dataset(name, config)
    except Exception as error:  # whatever the hub, the network or a file has to say
        raise EdgesimError(
            f"data set {name!r} cannot be had: {type(error).__name__}: {str(error).splitlines()[0]}; "
            "give a folder with Parquet files or pictures, or check name and connection"
        ) from error
    first = found["train"]
    picture = input_column or _only(
        [k for k, f in first.features.items() if isinstance(f, datasets.Image)], name, "pictures"
    )
    label = label_column or _only(
        [k for k, f in first.features.items() if isinstance(f, datasets.ClassLabel)]
        or [k for k in first.features if k == "label"],
        name,
        "labels",
    )
    for column in (picture, label):
        if column not in first.features:
            raise EdgesimError(
                f"data set {name!r} has no column {column!r}; {list(first.features)}"
            )
    other = next((found[k] for k in ("test", "validation") if k in found), None)
    if other is None:
        every = _pictures(first, picture, label, name)
        rows = split(every.labels, test_share, Streams(seed).generator("hub", name))
        train, test = (
            every.take(own[_some(len(own), wanted, name, part, seed)])
            for own, wanted, part in zip(
                rows, (train_samples, test_samples), ("train", "test"), strict=True
            )
        )
    else:
        # Chosen before they are decoded, which takes longest.
        train, test = (
            _pictures(own.select(_some(len(own), wanted, name, part, seed)), picture, label, name)
            for own, wanted, part in (
                (first, train_samples, "train"),
                (other, test_samples, "test"),
            )
        )
    names = getattr(first.features[label], "names", None)
    if names is None:
        names = [str(k) for k in range(1 + int(max(train.labels.max(), test.labels.max())))]
    return Dataset(folder.name, train, test, tuple(names), source=f"datasets: {name}")


def _some(count: int, wanted: int | None, name: str, part: str, seed: int) -> NDArray[np.int64]:
    """So many of the samples, in their order; all if it does not matter."""
    if wanted is None:
        return np.arange(count)
    if not 1 <= wanted <= count:
        raise EdgesimError(
            f"data set {name!r} has {count} samples to {part} with; {part}_samples is {wanted}"
        )
    rng = Streams(seed).generator("hub", part)
    return np.sort(rng.permutation(count)[:wanted])


def _local(datasets: Any, folder: Path) -> Any:
    parquet = {
        part: sorted(str(file) for file in folder.glob(f"{part}*.parquet"))
        for part in ("train", "test", "validation")
    }
    files = {part: some for part, some in parquet.items() if some}
    if not files:
        return datasets.load_dataset("imagefolder", data_dir=str(folder))
    if "train" not in files:
        raise EdgesimError(f"{folder}: no train*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files)
    for column, feature in loaded["train"].features.items():
        # A picture as bytes, as the hub's Parquet files have it without its own description.
        if isinstance(feature, dict) and {"bytes"} <= set(feature):
            loaded = loaded.cast_column(column, datasets.Image())
    return loaded


def _only(names: Sequence[str], dataset: str, what: str) -> str:
    if len(names) != 1:
        has = ", ".join(names) or "none"
        raise EdgesimError(f"data set {dataset!r}: which column has the {what}? There are: {has}")
    return names[0]


def _pictures(rows: Any, picture: str, label: str, name: str) -> Samples:
    arrays = [np.asarray(each.convert("RGB")) for each in rows[picture]]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise EdgesimError(
            f"data set {name!r} has pictures of {len(shapes)} sizes; scale them first"
        )
    pixels = np.stack(arrays).transpose(0, 3, 1, 2)
    return Samples((pixels / np.float32(255)).astype(np.float32), np.array(rows[label], np.int64))


def _found(folder: Path, name: str) -> Path:
    for file in (folder / f"{name}.gz", folder / name):
        if file.is_file():
            return file
    raise EdgesimError(
        f"{folder}: there is neither {name} nor {name}.gz; MNIST is at https://ossci-datasets.s3."
        "amazonaws.com/mnist"
    )


def _content(file: Path) -> bytes:
    try:
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except OSError as error:
        raise EdgesimError(f"{file}: cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error):
        raise EdgesimError(f"{file}: truncated, or damaged") from None
