"""Photographs: pictures of a data set, as a camera would have taken them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.learning.isp.camera import Camera
from edgesim.learning.isp.sensor import Pixels, expose, read_out, rounded
from edgesim.learning.isp.stages import (
    compress,
    decode_srgb,
    demosaic,
    denoise,
    map_gamut,
    map_tones,
    white_balance,
)

__all__ = ["check_pictures", "develop", "develop_by_stage", "photograph", "take_raw", "to_scene"]

_AT_ONCE = 1 << 15
"""Pixels of the sensor that are worked on at a time: their arrays stay in a processor's cache."""


def check_pictures(pictures: NDArray[np.float32], what: str = "pictures") -> None:
    """See whether a camera can take these.

    Raises:
        EdgesimError: if they are not colour pictures in [0, 1].
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise EdgesimError(
            f"a camera takes colour pictures of shape (n, 3, height, width); {what} are of shape "
            f"{pictures.shape}"
        )
    if min(pictures.shape[2:]) < 2:
        raise EdgesimError(
            f"a camera takes pictures of at least 2 x 2; {what} are {pictures.shape}"
        )
    if len(pictures) and not (pictures.min() >= 0.0 and pictures.max() <= 1.0):
        raise EdgesimError(
            f"a camera takes pictures in [0, 1]; {what} go from {pictures.min():g} to "
            f"{pictures.max():g}: divide them by their largest value, and leave normalisation to the model"
        )


def to_scene(pictures: Pixels) -> Pixels:
    """The linear scene of which these may be pictures.

    The curve of sRGB is undone, and nothing else: noise, compression and the look of the camera that
    really took them stay in the scene (after Brooks et al., "Unprocessing images for learned raw
    denoising", CVPR 2019, which undoes more of it).

    Args:
        pictures: sRGB in [0, 1], shape ``(n, 3, height, width)``.

    Returns:
        Linear light in [0, 1], shape ``(n, height, width, 3)``.

    Raises:
        EdgesimError: as :func:`check_pictures`.
    """
    check_pictures(pictures)
    return decode_srgb(np.ascontiguousarray(pictures.transpose(0, 2, 3, 1), np.float32))


def take_raw(scenes: Pixels, camera: Camera, keys: NDArray[np.uint64]) -> Pixels:
    """RAW of scenes.

    Args:
        scenes: as :func:`to_scene` gives them.
        camera: its sensor takes them.
        keys: of the streams of their noise, one for each.

    Returns:
        RAW in [0, 1], shape ``(n, oversampling * height, oversampling * width)``.

    Raises:
        EdgesimError: if there is no whole number of two by two filters.
    """
    sides = camera.oversampling * np.array(scenes.shape[1:3])
    if any(sides % 2):
        raise EdgesimError(
            f"a sensor of {sides[0]} x {sides[1]} pixels has no whole number of 2 x 2 filters; use an "
            "even oversampling, or pictures with even sides"
        )
    return read_out(expose(scenes, camera.sensor, camera.oversampling), camera.sensor, keys)


def develop_by_stage(raw: Pixels, camera: Camera) -> Iterator[tuple[str, Pixels]]:
    """What RAW looks like after each stage.

    Args:
        raw: as :func:`take_raw` gives it.
        camera: its ISP develops it.

    Yields:
        The stage's name, and what it gives: RAW after ``denoise``, pictures of shape
        ``(n, height, width, 3)`` after all others.
    """
    isp, sensor = camera.isp, camera.sensor
    clean = denoise(raw, isp.denoise, sensor.cfa)
    yield "denoise", clean
    picture = demosaic(clean, isp.demosaic, sensor.cfa)
    yield "demosaic", picture
    picture = white_balance(picture, isp.white_balance, sensor, isp.cast)
    yield "white_balance", picture
    picture = map_gamut(picture, isp.gamut, sensor.response, isp.saturation)
    yield "gamut", picture
    picture = map_tones(picture, isp.tone, isp.tone_exponent, isp.s_curve)
    yield "tone", picture
    yield "compression", compress(picture, isp.compression)


def develop(raw: Pixels, camera: Camera) -> Pixels:
    """Pictures of RAW, at the sensor's resolution; see :func:`develop_by_stage`."""
    *_, (_, picture) = develop_by_stage(raw, camera)
    return picture


def photograph(pictures: Pixels, camera: Camera, keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Pictures as a camera would have taken them.

    Args:
        pictures: sRGB in [0, 1], shape ``(n, 3, height, width)``.
        camera: the camera.
        keys: of the streams of their noise, shape ``(n,)``.

    Returns:
        Same shape, in [0, 1], rounded to 16 bits. Each is what it would be if it were taken alone.

    Raises:
        EdgesimError: as :func:`to_scene` and :func:`take_raw`, or if there is not one key for each.
    """
    check_pictures(pictures)
    if len(keys) != len(pictures):
        raise EdgesimError(
            f"each picture has a key of its own noise; {len(pictures)}, but {len(keys)} keys"
        )
    size = camera.oversampling
    height, width = pictures.shape[2:]
    at_once = max(1, _AT_ONCE // (size * size * height * width))
    found = np.empty(pictures.shape, np.float32)
    for begin in range(0, len(pictures), at_once):
        some = slice(begin, begin + at_once)
        developed = develop(take_raw(to_scene(pictures[some]), camera, keys[some]), camera)
        found[some] = _averaged(developed, size).transpose(0, 3, 1, 2)
    return rounded(found, 16)


def _averaged(pictures: Pixels, size: int) -> Pixels:
    """Means over blocks of so many pixels along each side."""
    rows: Pixels = np.add.reduce([pictures[:, k::size] for k in range(size)])
    found: Pixels = np.add.reduce([rows[:, :, k::size] for k in range(size)])
    found /= np.float32(size * size)
    return found.clip(0.0, 1.0)
