"""Photographs that are kept: the same bits from the disk, and never somebody else's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.learning.isp import BASELINE, RAW, Camera, Sensor, album, photograph
from edgesim.learning.isp.album import album_folder, kept_photographs
from edgesim.learning.isp.sensor import Pixels

CAMERA = Camera(Sensor(full_well_e=500.0, read_noise_e=2.0), BASELINE)


def pictures(count: int = 3, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).random((count, 3, 8, 6), dtype=np.float32)


def keys(count: int = 3, first: int = 5) -> NDArray[np.uint64]:
    return np.arange(first, first + count, dtype=np.uint64)


def files(folder: Path) -> list[Path]:
    """What is kept; there is nothing else in the folder."""
    found = sorted(folder.iterdir())
    assert all(file.suffix == ".npy" for file in found), found
    return found


@pytest.fixture
def nobody_takes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, nothing can be photographed any more."""

    def refuse(*_: Any) -> Pixels:
        raise AssertionError("photographed once more")

    return lambda: monkeypatch.setattr(album, "photograph", refuse)


@pytest.mark.parametrize("camera", [CAMERA, Camera(Sensor(), RAW)])
def test_pictures_come_from_the_disk_to_the_same_bits(
    camera: Camera, tmp_path: Path, nobody_takes: Callable[[], None]
) -> None:
    wanted = photograph(pictures(), camera, keys())
    first = kept_photographs(pictures(), camera, keys(), tmp_path)
    nobody_takes()
    second = kept_photographs(pictures(), camera, keys(), tmp_path)
    for found in (first, second):
        assert found.dtype == wanted.dtype
        assert found.tobytes() == wanted.tobytes()
    assert len(files(tmp_path)) == 1


def test_what_comes_from_the_disk_may_be_written_to(tmp_path: Path) -> None:
    for _ in range(2):
        found = kept_photographs(pictures(), CAMERA, keys(), tmp_path)
        assert found.max() > 0.0
        found[:] = 0.0


def test_whatever_makes_a_difference_makes_another_file(tmp_path: Path) -> None:
    other = pictures()
    other[2, 1, 3, 3] = np.nextafter(other[2, 1, 3, 3], np.float32(0))
    sensor, isp = CAMERA.sensor, CAMERA.isp
    cases: list[tuple[Pixels, Camera, NDArray[np.uint64]]] = [
        (pictures(), CAMERA, keys()),
        (other, CAMERA, keys()),
        (pictures()[::-1], CAMERA, keys()),
        (pictures().transpose(0, 1, 3, 2), CAMERA, keys()),
        (pictures(), CAMERA, keys(first=6)),
        (pictures(), CAMERA, keys()[::-1]),
        (pictures(), replace(CAMERA, oversampling=4), keys()),
        (pictures(), replace(CAMERA, sensor=replace(sensor, exposure=0.999)), keys()),
        (pictures(), replace(CAMERA, sensor=replace(sensor, cfa="BGGR")), keys()),
        (pictures(), replace(CAMERA, sensor=replace(sensor, bits=15)), keys()),
        (pictures(), replace(CAMERA, isp=replace(isp, tone="equalised")), keys()),
        (pictures(), replace(CAMERA, isp=replace(isp, cast=(1e-3, 0.0))), keys()),
        (pictures(), replace(CAMERA, isp=replace(isp, cast=(0.0, 1e-3))), keys()),
    ]
    for count, (given, camera, noise) in enumerate(cases, start=1):
        found = kept_photographs(given, camera, noise, tmp_path)
        assert (found == photograph(given, camera, noise)).all()
        assert len(files(tmp_path)) == count


def test_how_an_array_lies_in_memory_makes_none(
    tmp_path: Path, nobody_takes: Callable[[], None]
) -> None:
    given = pictures()
    first = kept_photographs(given, CAMERA, keys(), tmp_path)
    nobody_takes()
    strided = np.asfortranarray(given)
    assert strided.strides != given.strides
    assert (kept_photographs(strided, CAMERA, keys(), tmp_path) == first).all()


# --- damage --------------------------------------------------------------------------------------


def _cut(data: bytes, share: float) -> bytes:
    return data[: int(share * len(data))]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "a byte": lambda data: data[:1],
    "cut in its header": lambda data: data[:40],
    "cut in its values": lambda data: _cut(data, 0.7),
    "a byte short": lambda data: data[:-1],
    "something else": lambda data: b"these are no pictures" * 50,
    "zeros": lambda data: bytes(len(data)),
    "no magic": lambda data: b"\0" + data[1:],
    "length of the header": lambda data: data[:8] + b"\x01" + data[9:],
    "no quote in the header": lambda data: data.replace(b"'descr'", b"'descr ", 1),
    "no comma in the header": lambda data: data.replace(b", 'fortran", b"  'fortran", 1),
    "no bracket in the header": lambda data: data.replace(b"}", b" ", 1),
    "another shape": lambda data: data.replace(b"(3, 3, 8, 6)", b"(3, 3, 6, 8)", 1),
    "another type": lambda data: data.replace(b"<u2", b"<i2", 1),
    "a pickle": lambda data: data.replace(b"'<u2'", b"'|O' ", 1),
    "an archive": lambda data: b"PK\x03\x04" + data[4:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_photographed_again_and_repaired(
    damage: str, tmp_path: Path, nobody_takes: Callable[[], None]
) -> None:
    wanted = kept_photographs(pictures(), CAMERA, keys(), tmp_path)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    damaged = DAMAGES[damage](whole)
    assert damaged != whole
    file.write_bytes(damaged)
    assert (kept_photographs(pictures(), CAMERA, keys(), tmp_path) == wanted).all()
    assert files(tmp_path) == [file]
    assert file.read_bytes() == whole
    nobody_takes()
    assert (kept_photographs(pictures(), CAMERA, keys(), tmp_path) == wanted).all()


# --- where nothing can be kept -------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_told_and_pictures_come_all_the_same(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    folder = blocked / "photographs"
    with pytest.warns(RuntimeWarning, match="photographs cannot be kept in .*photographs: "):
        found = kept_photographs(pictures(), CAMERA, keys(), folder)
    assert (found == photograph(pictures(), CAMERA, keys())).all()
    assert blocked.read_text() == "in the way"


def test_a_full_disk_is_told_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.warns(RuntimeWarning, match="photographs cannot be kept in .*No space left"):
        found = kept_photographs(pictures(), CAMERA, keys(), tmp_path)
    assert (found == photograph(pictures(), CAMERA, keys())).all()
    assert list(tmp_path.iterdir()) == []


def test_what_a_camera_cannot_take_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(EdgesimError, match=r"in \[0, 1\]"):
        kept_photographs(2.0 * pictures(), CAMERA, keys(), tmp_path)
    assert files(tmp_path) == []


# --- the folder ----------------------------------------------------------------------------------


def test_the_folder_is_the_one_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESIM_CACHE", str(tmp_path / "mine"))
    assert album_folder() == tmp_path / "mine" / "photographs"
    kept_photographs(pictures(), CAMERA, keys())
    assert len(files(tmp_path / "mine" / "photographs")) == 1


@pytest.mark.parametrize("named", ["", None])
def test_by_default_it_is_the_users_own(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from platformdirs import user_cache_path

    if named is None:
        monkeypatch.delenv("EDGESIM_CACHE", raising=False)
    else:
        monkeypatch.setenv("EDGESIM_CACHE", named)
    assert album_folder() == user_cache_path("edgesim") / "photographs"


def _aged(file: Path, hours: float) -> None:
    """As if it had last been used so many hours ago."""
    then = file.stat().st_mtime - 3600 * hours
    os.utime(file, (then, then))


def test_what_was_not_used_for_longest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []

    def keep(first: int) -> Path:
        kept_photographs(pictures(), CAMERA, keys(first=first), tmp_path)
        (new,) = set(files(tmp_path)) - set(kept)
        kept.append(new)
        return new

    oldest, older, old = keep(0), keep(10), keep(20)
    size = oldest.stat().st_size
    for file, hours in ((oldest, 30), (older, 20), (old, 10)):
        _aged(file, hours)
    monkeypatch.setattr(album, "MOST_BYTES", 3 * size)
    kept_photographs(pictures(), CAMERA, keys(first=0), tmp_path)  # so that it is in use again
    newest = keep(30)
    assert set(files(tmp_path)) == {oldest, old, newest}
    monkeypatch.setattr(album, "MOST_BYTES", 2 * size)
    last = keep(40)
    assert set(files(tmp_path)) == {newest, last}


def test_as_long_as_there_is_room_nothing_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_photographs(pictures(), CAMERA, keys(), tmp_path)
    (file,) = files(tmp_path)
    _aged(file, 1e4)
    monkeypatch.setattr(album, "MOST_BYTES", 2 * file.stat().st_size)
    kept_photographs(pictures(), CAMERA, keys(first=50), tmp_path)
    assert len(files(tmp_path)) == 2


def test_only_photographs_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "notes.txt"
    own.write_text("mine")
    monkeypatch.setattr(album, "MOST_BYTES", 0)
    found = kept_photographs(pictures(), CAMERA, keys(), tmp_path)
    assert (found == photograph(pictures(), CAMERA, keys())).all()
    assert list(tmp_path.iterdir()) == [own]
