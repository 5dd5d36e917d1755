"""Photographs that are kept: what a camera has once made of pictures is read from the disk.

A file's name is a hash of the pictures, the camera, the streams of noise, the code that developed them
and the libraries under it: nothing else can change them. The folder is ``EDGESIM_CACHE``, or else the
user's own for caches; it holds :data:`MOST_BYTES` at most, and may be deleted at any time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from math import prod
from pathlib import Path
from tempfile import NamedTemporaryFile
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from edgesim.learning.isp.camera import Camera
from edgesim.learning.isp.pipeline import check_pictures, photograph

__all__ = ["MOST_BYTES", "album_folder", "kept_photographs"]

MOST_BYTES = 4_000_000_000
"""Beyond so much, the pictures that were not used for longest are deleted."""

_LIBRARIES = ("colour-demosaicing", "numpy", "pillow", "PyWavelets", "scikit-image", "scipy")


def album_folder() -> Path:
    """Where pictures are kept."""
    from platformdirs import user_cache_path

    named = os.environ.get("EDGESIM_CACHE")
    return (Path(named) if named else user_cache_path("edgesim")) / "photographs"


def kept_photographs(
    pictures: NDArray[np.float32],
    camera: Camera,
    keys: NDArray[np.uint64],
    folder: Path | None = None,
) -> NDArray[np.float32]:
    """As :func:`~edgesim.learning.isp.pipeline.photograph`, to the same bits, from the disk if they are there.

    Args:
        pictures: sRGB in [0, 1], shape ``(n, 3, height, width)``.
        camera: the camera.
        keys: of the streams of their noise, shape ``(n,)``.
        folder: where they are kept; by default :func:`album_folder`.

    Raises:
        EdgesimError: as there.
    """
    check_pictures(pictures)
    folder = album_folder() if folder is None else folder
    file = folder / f"{_name(pictures, camera, keys)}.npy"
    kept = _read(file, pictures.shape)
    if kept is not None:
        return kept
    found = photograph(pictures, camera, keys)
    try:
        _write(file, np.rint(found * 65535.0).astype(np.uint16))
    except OSError as error:
        warn(f"photographs cannot be kept in {folder}: {error}", RuntimeWarning, stacklevel=2)
    return found


def _name(pictures: NDArray[np.float32], camera: Camera, keys: NDArray[np.uint64]) -> str:
    found = sha256(f"{pictures.shape} {camera!r} {_edition()}".encode())
    for array in (pictures, keys):
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


@cache
def _edition() -> str:
    """What developed them: this package's own sources, and the libraries under it."""
    sources = sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(file.read_bytes())
    return " ".join([sources.hexdigest(), *(f"{name}={version(name)}" for name in _LIBRARIES)])


def _read(file: Path, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """What is kept there; ``None`` if nothing is, or it is damaged."""
    header, count = _header(shape), prod(shape)
    try:
        content = file.read_bytes()
    except OSError:
        return None
    if not content.startswith(header) or len(content) != len(header) + 2 * count:
        return None
    with suppress(OSError):
        os.utime(file)  # it is in use
    values = np.frombuffer(content, "<u2", count, len(header)).reshape(shape)
    return np.asarray(values.astype(np.float32) / np.float32(65535.0), np.float32)


def _write(file: Path, values: NDArray[np.uint16]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path()
    try:
        with NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as stream:
            unfinished = Path(stream.name)
            stream.write(_header(values.shape))
            stream.write(values.astype("<u2").tobytes())
        unfinished.replace(file)
    except OSError:
        if unfinished.name:
            unfinished.unlink(missing_ok=True)
        raise
    _make_room(file.parent)


def _header(shape: tuple[int, ...]) -> bytes:
    """How NumPy's files of such values begin."""
    stream = BytesIO()
    about = {"descr": "<u2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()


def _make_room(folder: Path) -> None:
    """Delete what was not used for longest, as long as there is too much."""
    files = []
    for each in folder.glob("*.npy"):
        with suppress(FileNotFoundError):  # another process has made room
            about = each.stat()
            files.append((about.st_mtime, each, about.st_size))
    left = sum(size for _, _, size in files)
    for _, each, size in sorted(files):
        if left <= MOST_BYTES:
            return
        left -= size
        each.unlink(missing_ok=True)
