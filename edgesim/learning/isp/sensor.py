"""From a linear scene to RAW: lens, colour filter array, electrons and converter."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.learning.isp.camera import Sensor

__all__ = ["Pixels", "cfa_planes", "expose", "read_out", "rounded"]

Pixels = NDArray[np.float32]


def cfa_planes(cfa: str) -> list[tuple[int, int, int]]:
    """The four planes of a colour filter array: first row, first column, and channel of each."""
    return [(k // 2, k % 2, "RGB".index(letter)) for k, letter in enumerate(cfa)]


def expose(scenes: Pixels, sensor: Sensor, oversampling: int = 1) -> Pixels:
    """The light that falls on each pixel behind its filter, before any noise.

    Args:
        scenes: linear red, green and blue in [0, 1], shape ``(n, height, width, 3)``; both sides even
            once they are oversampled.
        sensor: its lens, response and filters.
        oversampling: pixels of the sensor per pixel of the scene, along each side.

    Returns:
        Shares of what saturates a pixel, at least 0 and unbounded above, shape
        ``(n, oversampling * height, oversampling * width)``.
    """
    from scipy.ndimage import gaussian_filter

    seen: Pixels = scenes @ np.array(sensor.response, np.float32).T
    np.maximum(seen, 0.0, out=seen)  # a filter passes no negative light, whatever its row says
    if oversampling > 1:
        seen = seen.repeat(oversampling, axis=1).repeat(oversampling, axis=2)
    if sensor.blur_px:
        blur = (0.0, sensor.blur_px, sensor.blur_px, 0.0)
        seen = gaussian_filter(seen, blur, mode="nearest", truncate=3.0)
    light: Pixels = np.empty(seen.shape[:3], np.float32)
    for row, column, channel in cfa_planes(sensor.cfa):
        light[:, row::2, column::2] = seen[:, row::2, column::2, channel]
    light *= np.float32(sensor.exposure)
    if sensor.vignetting:
        light *= _falloff(light.shape[1], light.shape[2], sensor.vignetting)
    return light


def _falloff(height: int, width: int, lost: float) -> Pixels:
    """What is left of the light at each pixel: all in the middle, ``1 - lost`` in the corners."""
    y = np.linspace(-1.0, 1.0, height)[:, None]
    x = np.linspace(-1.0, 1.0, width)[None, :]
    return (1.0 - lost * (x * x + y * y) / 2.0).astype(np.float32)


def read_out(light: Pixels, sensor: Sensor, keys: NDArray[np.uint64]) -> Pixels:
    """Count electrons: RAW.

    The variance of a value x in [0, 1], not near either end, is
    ``x / full_well_e + (read_noise_e / full_well_e)^2`` and a third of half a step squared for the
    converter.

    Args:
        light: as :func:`expose` gives it, shape ``(n, height, width)``.
        sensor: its noise and converter.
        keys: of the streams of the pictures' noise, shape ``(n,)``: each picture's noise is its own,
            whatever pictures are taken with it.

    Returns:
        RAW in [0, 1], rounded to the sensor's bits, same shape.

    Raises:
        EdgesimError: if there is not one key for each.
    """
    if len(keys) != len(light):
        raise EdgesimError(
            f"each picture has a key of its own noise; {len(light)}, but {len(keys)} keys"
        )
    raw = light
    if sensor.full_well_e < inf:
        raw = np.empty_like(light)
        mean = light * sensor.full_well_e
        for index, key in enumerate(keys.tolist()):
            rng = np.random.Generator(np.random.PCG64(key))
            electrons = rng.poisson(mean[index]).astype(np.float32)
            if sensor.read_noise_e:
                noise = rng.standard_normal(electrons.shape, np.float32)
                electrons += np.float32(sensor.read_noise_e) * noise
            raw[index] = electrons / np.float32(sensor.full_well_e)
    return rounded(raw.clip(0.0, 1.0), sensor.bits)


def rounded(values: Pixels, bits: int) -> Pixels:
    """Values in [0, 1], rounded to so many bits."""
    steps = np.float32(2**bits - 1)
    return np.asarray(np.rint(values * steps) / steps, np.float32)
