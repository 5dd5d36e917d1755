from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgesim.core.errors import EdgesimError
from edgesim.learning.files import from_hub, idx_folder, next_characters, read_idx, sentences

SHARED = Path(__file__).parents[2] / "../shared/data"


def needs(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"shared/data/{name} is not there")
    return SHARED / name


# --- IDX -----------------------------------------------------------------------------------------


def idx(array: np.ndarray[Any, Any]) -> bytes:
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(">u1").tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for prefix, n in (("train", 20), ("t10k", 8)):
        images = rng.integers(0, 256, (n, 6, 5))
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 4))
    return tmp_path


def test_a_folder_of_idx_files_packed_or_not(folder: Path) -> None:
    found = idx_folder(folder, "mine")
    assert (found.name, found.shape, found.classes) == ("mine", (1, 6, 5), ("0", "1", "2", "3"))
    assert (len(found.train), len(found.test)) == (20, 8)
    first = np.random.default_rng(1).integers(0, 256, (20, 6, 5))[0]
    assert found.train.inputs[0, 0] == pytest.approx(first / 255)


def test_a_truncated_file_is_named(folder: Path) -> None:
    packed = folder / "train-images-idx3-ubyte.gz"
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-40])
    with pytest.raises(EdgesimError, match=r"train-images-idx3-ubyte\.gz: truncated"):
        idx_folder(folder)
    packed.write_bytes(gzip.compress(gzip.decompress(whole)[:-7]))
    with pytest.raises(EdgesimError, match="609 bytes, but its head promises 616: truncated"):
        idx_folder(folder)


def test_what_is_not_there_or_not_idx_is_said(folder: Path, tmp_path: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(5)))
    with pytest.raises(EdgesimError, match=r"labels of shape \(5,\) for images of shape"):
        idx_folder(folder)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"hello")
    with pytest.raises(EdgesimError, match="not an IDX file"):
        idx_folder(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(EdgesimError, match="neither t10k-labels-idx1-ubyte nor"):
        idx_folder(folder)
    (folder / "short").write_bytes(b"\0\0\x08\x03\0\0")
    with pytest.raises(EdgesimError, match="truncated"):
        read_idx(folder / "short")


def test_mnist() -> None:
    found = idx_folder(needs("mnist"))
    assert found.shape == (1, 28, 28)
    assert len(found.classes) == 10


# --- text ----------------------------------------------------------------------------------------

PLAY = "Ann:\nabcabcabcabc\n\nBob:\nxyzxyzxyzxyz\n\nAnn:\nabcabcabcabc\n"


def test_samples_are_characters_and_what_comes_next(tmp_path: Path) -> None:
    file = tmp_path / "play.txt"
    file.write_text(PLAY)
    found = next_characters(file, length=3, stride=3, test_share=0.4)
    assert found.tokens == len(found.classes) == len("abcxyz\n")
    text = ["".join(found.classes[k] for k in row) for row in found.train.inputs]
    after = [found.classes[k] for k in found.train.labels]
    assert text[0] == "abc"
    assert after[0] == "a"
    assert set(found.train.sources.tolist()) == {0, 1}
    spoken = {
        "".join(sorted(set(t))) for t, s in zip(text, found.train.sources, strict=True) if s == 1
    }
    assert spoken == {"xyz"}


def test_a_text_without_speakers_is_one_source(tmp_path: Path) -> None:
    file = tmp_path / "prose.txt"
    file.write_text("once upon a time\n\nthere was a king\n" * 20)
    found = next_characters(file, length=10, stride=5)
    assert set(found.train.sources.tolist()) == {0}


def test_texts_that_cannot_serve(tmp_path: Path) -> None:
    file = tmp_path / "short.txt"
    file.write_text("abc")
    with pytest.raises(EdgesimError, match=r"short\.txt: too short"):
        next_characters(file)
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(EdgesimError, match="not UTF-8"):
        next_characters(file)
    with pytest.raises(EdgesimError, match="cannot be read"):
        next_characters(tmp_path / "nowhere.txt")
    with pytest.raises(EdgesimError, match="at least 1"):
        next_characters(file, length=0)


def test_shakespeare_has_many_speakers() -> None:
    found = next_characters(needs("shakespeare/input.txt"))
    assert len(found.classes) == 65
    assert len(np.unique(found.train.sources)) > 200


# --- sentences -----------------------------------------------------------------------------------


def test_sentences_become_tokens(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("A good film\tgood\na bad film\tbad\n\na film\tgood\n")
    (tmp_path / "dev.tsv").write_text("good , unheard of\tgood\n")
    found = sentences(tmp_path / "train.tsv", tmp_path / "dev.tsv", length=4, words=3)
    assert found.classes == ("bad", "good")
    assert found.tokens == 5
    # "a" and "film" thrice each, then "bad" before "good".
    assert found.train.inputs.tolist() == [[0, 2, 1, 3], [0, 2, 4, 3], [0, 0, 2, 3]]
    assert found.train.labels.tolist() == [1, 0, 1]
    assert found.test.inputs.tolist() == [[1, 1, 1, 1]]


def test_a_line_without_a_label_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("fine\t1\nno label here\n")
    with pytest.raises(EdgesimError, match=r"train\.tsv:2: not of the form SENTENCE<tab>LABEL"):
        sentences(tmp_path / "train.tsv", tmp_path / "train.tsv")
    (tmp_path / "train.tsv").write_text("\n\n")
    with pytest.raises(EdgesimError, match="no sentences"):
        sentences(tmp_path / "train.tsv", tmp_path / "train.tsv")


# --- Hugging Face datasets -----------------------------------------------------------------------


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_pictures(tmp_path: Path) -> None:
    pictures = tmp_path / "pets"
    for name, colour in {"cat": 40, "dog": 200}.items():
        (pictures / name).mkdir(parents=True)
        for k in range(10):
            Image.new("RGB", (8, 8), (colour, k, 0)).save(pictures / name / f"{k}.png")
    found = from_hub(str(pictures))
    assert found.classes == ("cat", "dog")
    assert found.shape == (3, 8, 8)
    assert (len(found.train), len(found.test)) == (16, 4)
    reds = found.train.inputs[:, 0, 0, 0] * 255
    assert reds == pytest.approx(np.where(found.train.labels == 0, 40, 200))
    few = from_hub(str(pictures), train_samples=5, test_samples=2)
    assert (len(few.train), len(few.test)) == (5, 2)
    for some, every in ((few.train, found.train), (few.test, found.test)):
        names = [picture.tobytes() for picture in every.inputs]
        places = [names.index(picture.tobytes()) for picture in some.inputs]
        assert places == sorted(places)
        assert (every.labels[places] == some.labels).all()
    other = from_hub(str(pictures), train_samples=5, test_samples=2, seed=1)
    assert (other.train.inputs != few.train.inputs).any()
    for given in ({"train_samples": 17}, {"train_samples": 0}, {"test_samples": 5}):
        (key,) = given
        with pytest.raises(EdgesimError, match=f"has .* samples to .*; {key} is"):
            from_hub(str(pictures), **given)


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("ignore")
def test_cifar10_as_parquet() -> None:
    found = from_hub(str(needs("cifar10/test.parquet").parent))
    assert (len(found.train), len(found.test)) == (20_000, 10_000)
    assert found.shape == (3, 32, 32)
    assert len(found.classes) == 10
    assert np.bincount(found.test.labels).tolist() == [1000] * 10
    assert 0.4 < found.train.inputs.mean() < 0.55
    few = from_hub(str(needs("cifar10")), train_samples=30, test_samples=20)
    assert (len(few.train), len(few.test)) == (30, 20)
    names = {picture.tobytes() for picture in found.train.inputs}
    assert all(picture.tobytes() in names for picture in few.train.inputs)


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_had_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EdgesimError, match=r"cannot be had.*give a folder"):
        from_hub("nobody/has_such_a_data_set")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "train.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(EdgesimError, match="broken' cannot be had"):
        from_hub(str(tmp_path / "broken"))


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(EdgesimError, match=r"pip install 'edgesim\[data\]'"):
        from_hub("cifar10")
