"""The stages of an image signal processor, each with its options.

All take and give float32 in [0, 1]; RAW has shape ``(n, height, width)`` with even sides, pictures
have ``(n, height, width, 3)``. Option ``none`` gives back what it was given.

References: the list of stages and options is Kim et al., "HeteroSwitch", MLSys 2024, table 3; each
function names the source of what it does.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from edgesim.learning.isp.camera import Matrix, Sensor
from edgesim.learning.isp.sensor import Pixels, cfa_planes

__all__ = [
    "LUMA",
    "PROPHOTO",
    "colour_matrix",
    "compress",
    "decode_srgb",
    "demosaic",
    "denoise",
    "encode_srgb",
    "map_gamut",
    "map_tones",
    "white_balance",
]

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Weights of linear red, green and blue in luminance (ITU-R BT.709, whose primaries sRGB has)."""

PROPHOTO = np.array(
    [[0.52928, 0.33015, 0.14057], [0.09837, 0.87346, 0.02817], [0.01688, 0.11767, 0.86545]],
    np.float32,
)
"""Linear sRGB to linear ProPhoto RGB (ROMM, ISO 22028-2), from D65 to D50 by Bradford."""

# --- sRGB -----------------------------------------------------------------------------------------


def encode_srgb(linear: Pixels) -> Pixels:
    """Linear light as sRGB values (IEC 61966-2-1)."""
    curved = np.float32(1.055) * _power(linear, 1.0 / 2.4) - np.float32(0.055)
    return np.where(linear <= 0.0031308, np.float32(12.92) * linear, curved)


def decode_srgb(values: Pixels) -> Pixels:
    """SRGB values as linear light (IEC 61966-2-1)."""
    curved = _power((values + np.float32(0.055)) / np.float32(1.055), 2.4)
    return np.where(values <= 0.04045, values / np.float32(12.92), curved)


def _power(base: Pixels, exponent: float) -> Pixels:
    """As ``base ** exponent`` for bases of at least 0 and exponents above 0, three times as fast."""
    with np.errstate(divide="ignore"):  # black: minus infinity, whose exponential is black again
        found = np.log(base)
    found *= np.float32(exponent)
    np.exp(found, out=found)
    return found


# --- denoise --------------------------------------------------------------------------------------


def denoise(raw: Pixels, option: str, cfa: str) -> Pixels:
    """Take noise out of RAW.

    ``impulse`` holds each value within the range of the eight around it of the same filter: so hot and
    dead pixels vanish. It is the first step of FBDD ("fake before demosaicing denoising", LibRaw), whose
    further steps are not in a maintained library. ``bayes_shrink`` thresholds wavelets of each filter's
    plane (Chang et al., IEEE TIP 2000; scikit-image).
    """
    if option == "none":
        return raw
    found = np.empty_like(raw)
    if option == "impulse":
        for row, column, _ in cfa_planes(cfa):
            found[:, row::2, column::2] = _within_neighbours(raw[:, row::2, column::2])
        return found
    for row, column, _ in cfa_planes(cfa):
        for index, plane in enumerate(raw[:, row::2, column::2]):
            found[index, row::2, column::2] = _bayes_shrink(plane)
    return found.clip(0.0, 1.0)


_DETAIL = 0.6744897501960817
"""Median of the absolute value of a standard normal number: from wavelets' details to their noise."""


def _bayes_shrink(plane: Pixels) -> Pixels:
    """One plane, its noise taken from the finest diagonal details; those that are 0 tell nothing."""
    from pywt import dwt2
    from skimage.restoration import denoise_wavelet

    if min(plane.shape) < 2:
        return plane
    details = np.abs(dwt2(plane, "db1")[1][2])
    details = details[details > 0.0]
    if not details.size:
        return plane
    sigma = float(np.median(details)) / _DETAIL
    found = denoise_wavelet(plane, sigma=sigma, method="BayesShrink")
    return np.asarray(found, np.float32)


def _within_neighbours(plane: Pixels) -> Pixels:
    """Each value within the range of the eight around it."""
    _, height, width = plane.shape
    framed = np.pad(
        plane, ((0, 0), (1, 1), (1, 1)), mode="reflect" if min(height, width) > 1 else "edge"
    )
    around = [
        framed[:, dy : dy + height, dx : dx + width]
        for dy in range(3)
        for dx in range(3)
        if (dy, dx) != (1, 1)
    ]
    least, most = around[0].copy(), around[0].copy()
    for each in around[1:]:
        np.minimum(least, each, out=least)
        np.maximum(most, each, out=most)
    return plane.clip(least, most)


# --- demosaic -------------------------------------------------------------------------------------

_FRAMES = {"malvar2004": (2, 2), "menon2007": (8, 0)}
"""Rows and columns of its own mirror image around a picture, where the library does not see to it: as far
as a method reaches (Menon's mirrors columns itself), and even, so that filters fall on their like."""


def demosaic(raw: Pixels, option: str, cfa: str) -> Pixels:
    """Three channels for each pixel, from the one behind its filter.

    ``malvar2004``: Malvar, He, Cutler, "High-quality linear interpolation for demosaicing of
    Bayer-patterned color images", ICASSP 2004; ``menon2007``: Menon, Andriani, Calvagno,
    "Demosaicing with directional filtering and a posteriori decision", IEEE TIP 2007; both by
    colour-demosaicing. ``binning``: the two by two filters make one pixel, which is laid over all four.
    """
    count, height, width = raw.shape
    if option == "binning":
        halves = np.zeros((count, height // 2, width // 2, 3), np.float32)
        for row, column, channel in cfa_planes(cfa):
            weight = np.float32(0.5 if channel == 1 else 1.0)
            halves[..., channel] += weight * raw[:, row::2, column::2]
        return halves.repeat(2, axis=1).repeat(2, axis=2)
    with (
        np.printoptions()
    ):  # the library changes how all of NumPy's numbers are written: undone after
        from colour_demosaicing import (
            demosaicing_CFA_Bayer_Malvar2004,
            demosaicing_CFA_Bayer_Menon2007,
        )

    # All pictures in one column, each in a frame of its own mirror image: so the library works on many at
    # once, and none sees its neighbour.
    rows, columns = _FRAMES[option]
    framed = np.pad(raw, ((0, 0), (rows, rows), (columns, columns)), mode="reflect")
    in_a_column = framed.reshape(-1, width + 2 * columns)
    function = demosaicing_CFA_Bayer_Malvar2004
    if option == "menon2007":
        function = demosaicing_CFA_Bayer_Menon2007
    found = np.asarray(function(in_a_column, cfa), np.float32)
    found = found.reshape(*framed.shape, 3)
    inner: Pixels = found[:, rows : rows + height, columns : columns + width]
    return inner.clip(0.0, 1.0)


# --- white balance --------------------------------------------------------------------------------


def white_balance(
    picture: Pixels, option: str, sensor: Sensor, cast: tuple[float, float] = (0.0, 0.0)
) -> Pixels:
    """Make grey of what is taken to be grey, but for the vendor's cast.

    ``gray_world``: the mean of the picture is grey (Buchsbaum, "A spatial processor model for object
    colour perception", J. Franklin Institute 1980). ``white_patch``: its brightest, the 99th percentile
    of each channel so that one hot pixel does not decide, is white (Land and McCann, "Lightness and
    retinex theory", JOSA 1971). Both leave green as it is. ``illuminant``: the light is known, that of
    sRGB's white, and so is the exposure: white becomes white, and what is overexposed stays so.

    Args:
        picture: linear, in the sensor's colours.
        option: see above.
        sensor: which took it.
        cast: logarithms of the gains of red and blue that are left.
    """
    if option == "none":
        return picture
    if option == "illuminant":
        gains = 1.0 / (sensor.exposure * np.sum(sensor.response, axis=1))[None, :]
        gains /= min(1.0, gains.min())  # what a channel has clipped would turn grey, or coloured
    else:
        if option == "gray_world":
            greys = np.einsum("nhwc->nc", picture, dtype=np.float64)  # six times as fast as mean
            greys /= picture.shape[1] * picture.shape[2]
        else:
            flat = picture.reshape(len(picture), -1, 3)
            greys = np.percentile(flat, 99.0, axis=1).astype(np.float64)
        gains = greys[:, 1:2] / np.maximum(greys, 1e-6)
        gains[greys[:, 1] < 1e-6] = 1.0  # a black picture tells nothing
    gains = (gains * np.exp([cast[0], 0.0, cast[1]])).clip(0.0, 64.0).astype(np.float32)
    balanced: Pixels = picture * gains[:, None, None, :]
    return balanced.clip(0.0, 1.0)


# --- gamut ----------------------------------------------------------------------------------------


def colour_matrix(response: Matrix) -> NDArray[np.float64]:
    """From the sensor's balanced colours to linear sRGB: white stays white."""
    rows = np.asarray(response, np.float64)
    return np.asarray(np.linalg.inv(rows / rows.sum(axis=1, keepdims=True)), np.float64)


def map_gamut(picture: Pixels, option: str, response: Matrix, saturation: float = 1.0) -> Pixels:
    """Go from the sensor's colours to those of a standard.

    Args:
        picture: linear, in the sensor's colours, balanced.
        option: ``srgb``; or ``prophoto``, whose values look pale to whoever takes them for sRGB.
        response: of the sensor.
        saturation: of the colours, about their luminance.
    """
    if option == "none":
        return picture
    matrix = colour_matrix(response)
    grey = np.tile(LUMA.astype(np.float64), (3, 1))
    matrix = (saturation * np.eye(3) + (1.0 - saturation) * grey) @ matrix
    if option == "prophoto":
        matrix = PROPHOTO.astype(np.float64) @ matrix
    return np.asarray((picture @ matrix.T.astype(np.float32)).clip(0.0, 1.0), np.float32)


# --- tone -----------------------------------------------------------------------------------------


def map_tones(picture: Pixels, option: str, exponent: float = 0.0, s_curve: float = 0.0) -> Pixels:
    """From linear light to values for a screen.

    Args:
        picture: linear.
        option: ``srgb_gamma``: the curve of IEC 61966-2-1; ``equalised``: after it, the histogram of
            the luma is made flat (scikit-image), and the channels follow in proportion.
        exponent: logarithm of the exponent that follows the curve.
        s_curve: share of the S-shaped curve 3 x^2 - 2 x^3.
    """
    if option == "none":
        return picture
    found = encode_srgb(picture)
    if exponent:
        found = _power(found, float(np.exp(exponent)))
    if s_curve:
        share = np.float32(s_curve)
        found += share * (found * found * (3.0 - 2.0 * found) - found)
    if option == "equalised":
        from skimage.exposure import equalize_hist

        for index, each in enumerate(found):
            luma = each @ LUMA
            # One grey has no histogram to be made flat.
            if luma.min() < luma.max():
                flat = equalize_hist(luma).astype(np.float32)  # type: ignore[no-untyped-call]
                found[index] = each * (flat / np.maximum(luma, 1e-4))[..., None]
    return found.clip(0.0, 1.0)


# --- compression ----------------------------------------------------------------------------------


def compress(picture: Pixels, option: str) -> Pixels:
    """What is left after JPEG (ITU-T T.81; Pillow, with halved chroma) of the quality in the option's name."""
    if option == "none":
        return picture
    from PIL import Image

    quality = int(option.removeprefix("jpeg_"))
    values = np.rint(picture * 255.0).astype(np.uint8)
    found = np.empty(picture.shape, np.float32)
    for index, each in enumerate(values):
        buffer = BytesIO()
        Image.fromarray(each).save(buffer, "JPEG", quality=quality)
        buffer.seek(0)
        with Image.open(buffer) as image:
            found[index] = np.asarray(image)
    found /= np.float32(255.0)
    return found
