"""Each stage of an image signal processor, against what its name says, worked out here once more."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesim.learning.isp import CFAS, STAGES, Sensor
from edgesim.learning.isp.sensor import Pixels, expose, read_out
from edgesim.learning.isp.stages import (
    LUMA,
    PROPHOTO,
    colour_matrix,
    compress,
    decode_srgb,
    demosaic,
    denoise,
    encode_srgb,
    map_gamut,
    map_tones,
    white_balance,
)

CHECK = settings(derandomize=True, deadline=None, max_examples=15)
OPTIONS = [(stage, option) for stage, options in STAGES.items() for option in options]
each_option = pytest.mark.parametrize(("stage", "option"), OPTIONS)
RESPONSE = ((0.6, 0.2, 0.05), (0.15, 0.7, 0.1), (0.02, 0.25, 0.4))
SENSOR = Sensor(response=RESPONSE, cfa="GRBG", exposure=0.8)
COLOUR = (0.2, 0.5, 0.8)

# Rows that differ enough to tell colours apart, and see white.
responses = st.tuples(*[st.floats(-0.2, 0.4)] * 6, *[st.floats(0.5, 1.5)] * 3).map(
    lambda v: ((v[6], v[0], v[1]), (v[2], v[7], v[3]), (v[4], v[5], v[8]))
)
gains = st.floats(-0.3, 0.3)


def develop(stage: str, option: str, given: Pixels, sensor: Sensor = SENSOR) -> Pixels:
    """What a stage makes of RAW, or of a picture."""
    if stage == "denoise":
        return denoise(given, option, sensor.cfa)
    if stage == "demosaic":
        return demosaic(given, option, sensor.cfa)
    if stage == "white_balance":
        return white_balance(given, option, sensor, (0.1, -0.1))
    if stage == "gamut":
        return map_gamut(given, option, sensor.response, 1.2)
    if stage == "tone":
        return map_tones(given, option, 0.2, 0.3)
    return compress(given, option)


def some(stage: str, height: int, width: int, seed: int = 0, count: int = 2) -> Pixels:
    """RAW or pictures at random, as the stage takes them."""
    shape = (count, height, width, *(() if stage in ("denoise", "demosaic") else (3,)))
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def flat(colour: tuple[float, float, float], height: int = 8, width: int = 12) -> Pixels:
    return np.broadcast_to(np.array(colour, np.float32), (1, height, width, 3)).copy()


def mosaic(picture: Pixels, cfa: str) -> Pixels:
    """One value per pixel, behind its filter."""
    found = np.empty(picture.shape[:3], np.float32)
    for y, x in np.ndindex(2, 2):
        found[:, y::2, x::2] = picture[:, y::2, x::2, "RGB".index(cfa[2 * y + x])]
    return found


def srgb(x: float) -> float:
    """IEC 61966-2-1."""
    return 12.92 * x if x <= 0.0031308 else 1.055 * x ** (1 / 2.4) - 0.055


# --- of every stage ------------------------------------------------------------------------------


@each_option
@CHECK
@given(st.integers(2, 8), st.integers(2, 8), st.integers(0, 1000))
def test_a_stage_gives_float32_in_its_range_and_of_the_same_size(
    stage: str, option: str, half_height: int, half_width: int, seed: int
) -> None:
    height, width = 2 * half_height, 2 * half_width
    given = some(stage, height, width, seed)
    before = given.copy()
    found = develop(stage, option, given)
    assert found.shape == ((2, height, width) if stage == "denoise" else (2, height, width, 3))
    assert found.dtype == np.float32
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    assert (given == before).all()


@pytest.mark.parametrize("stage", [stage for stage, options in STAGES.items() if "none" in options])
def test_none_changes_nothing(stage: str) -> None:
    given = some(stage, 8, 6)
    before = given.tobytes()
    assert develop(stage, "none", given).tobytes() == before


@each_option
def test_a_picture_becomes_what_it_would_become_alone(stage: str, option: str) -> None:
    given = some(stage, 16, 12, count=3)
    together = develop(stage, option, given)
    for k in range(3):
        assert (develop(stage, option, given[k : k + 1])[0] == together[k]).all()


@each_option
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("side", [4, 16])
def test_a_picture_of_one_grey_stays_a_picture(
    stage: str, option: str, value: float, side: int
) -> None:
    given = np.full_like(some(stage, side, side), value)
    found = develop(stage, option, given)
    assert np.isfinite(found).all()
    assert np.ptp(found.reshape(2, side * side, -1), axis=1).max() <= 2 / 255


@each_option
@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 6), (6, 2), (4, 4)])
def test_the_smallest_pictures_can_be_developed(
    stage: str, option: str, height: int, width: int
) -> None:
    found = develop(stage, option, some(stage, height, width))
    assert found.shape[1:3] == (height, width)
    assert ((found >= 0.0) & (found <= 1.0)).all()


@pytest.mark.parametrize(
    ("stage", "option"), [each for each in OPTIONS if each[0] not in ("denoise", "demosaic")]
)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (7, 4)])
def test_pictures_may_have_odd_sides(stage: str, option: str, height: int, width: int) -> None:
    found = develop(stage, option, some(stage, height, width))
    assert found.shape == (2, height, width, 3)
    assert ((found >= 0.0) & (found <= 1.0)).all()


# --- denoise -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cfa", CFAS)
@pytest.mark.parametrize(("y", "x"), [(6, 6), (7, 4), (5, 9), (8, 5)])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_hot_or_dead_pixel_is_held_within_its_neighbours(
    cfa: str, y: int, x: int, value: float
) -> None:
    raw = 0.3 + 0.2 * some("denoise", 16, 16, 3, count=1)
    raw[0, y, x] = value
    around = [
        raw[0, y + dy, x + dx] for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0)
    ]
    assert denoise(raw, "impulse", cfa)[0, y, x] == (max(around) if value else min(around))


def test_impulse_is_what_its_definition_says_away_from_the_border() -> None:
    raw = some("denoise", 12, 14, 5, count=1)
    found = denoise(raw, "impulse", "RGGB")[0]
    for y, x in np.ndindex(8, 10):
        block = raw[0, y : y + 5 : 2, x : x + 5 : 2]
        others = np.delete(block.ravel(), 4)
        assert found[y + 2, x + 2] == np.clip(block[1, 1], others.min(), others.max())


def test_impulse_leaves_a_smooth_field_as_it_is() -> None:
    y, x = np.mgrid[0:16, 0:20].astype(np.float32)
    raw = (0.1 + 0.02 * y + 0.015 * x)[None]
    found = denoise(raw, "impulse", "RGGB")
    inner = np.s_[:, 2:-2, 2:-2]
    assert (found[inner] == raw[inner]).all()
    # Corners are the extremes of their neighbourhood; they move by a step of their plane at most.
    assert np.abs(found - raw).max() <= 2 * (0.02 + 0.015) + 1e-6


def test_bayes_shrink_lowers_the_noise_of_a_flat_field_and_keeps_its_level() -> None:
    rng = np.random.default_rng(1)
    raw = np.clip(0.4 + 0.03 * rng.standard_normal((3, 64, 64)), 0, 1).astype(np.float32)
    found = denoise(raw, "bayes_shrink", "RGGB")
    assert (found.std(axis=(1, 2)) < 0.5 * raw.std(axis=(1, 2))).all()
    assert found.mean(axis=(1, 2)) == pytest.approx(raw.mean(axis=(1, 2)), abs=2e-3)


def test_bayes_shrink_keeps_an_edge() -> None:
    rng = np.random.default_rng(2)
    raw = np.where(np.arange(64) < 32, 0.2, 0.8)[None, None] + 0.02 * rng.standard_normal(
        (1, 64, 64)
    )
    found = denoise(raw.astype(np.float32), "bayes_shrink", "RGGB")
    assert found[0, :, :28].mean() == pytest.approx(0.2, abs=0.02)
    assert found[0, :, 36:].mean() == pytest.approx(0.8, abs=0.02)


def test_bayes_shrink_is_the_papers_threshold_of_haars_details() -> None:
    rng = np.random.default_rng(6)
    texture = 0.5 + 0.15 * (np.sin(0.9 * np.arange(16)) + np.sin(0.6 * np.arange(16))[:, None])
    raw = (texture + 0.03 * rng.standard_normal((16, 16))).clip(0, 1).astype(np.float32)
    found = denoise(raw[None], "bayes_shrink", "RGGB")[0]
    for y, x in np.ndindex(2, 2):
        plane = raw[y::2, x::2].astype(np.float64)
        a, b, c, d = plane[::2, ::2], plane[::2, 1::2], plane[1::2, ::2], plane[1::2, 1::2]
        # Haar's one level: what two by two have in common, and three ways in which they differ.
        bands = [(a + b + c + d) / 2, *((a + b - c - d) / 2, (a - b + c - d) / 2)]
        diagonal = (a - b - c + d) / 2
        noise = (np.median(np.abs(diagonal)) / 0.6744897501960817) ** 2
        whole, *details = [*bands, diagonal]
        kept, shares = [], []
        for band in details:
            threshold = noise / np.sqrt(max(np.mean(band**2) - noise, 1e-12))
            shares.append(float((np.abs(band) > threshold).mean()))
            kept.append(np.sign(band) * np.maximum(np.abs(band) - threshold, 0))
        across, along, both = kept
        assert 0.5 < max(shares) <= 1.0
        wanted = np.empty_like(plane)
        wanted[::2, ::2] = (whole + across + along + both) / 2
        wanted[::2, 1::2] = (whole + across - along - both) / 2
        wanted[1::2, ::2] = (whole - across + along - both) / 2
        wanted[1::2, 1::2] = (whole - across - along + both) / 2
        assert found[y::2, x::2] == pytest.approx(wanted.clip(0, 1), abs=1e-4)


@pytest.mark.parametrize("option", ["impulse", "bayes_shrink"])
def test_filters_of_other_colours_do_not_matter(option: str) -> None:
    raw = some("denoise", 16, 16, 4, count=1)
    others = raw.copy()
    others[:, 1::2] = 1.0 - others[:, 1::2]
    others[:, ::2, 1::2] = 1.0 - others[:, ::2, 1::2]
    one, other = (denoise(each, option, "RGGB")[:, ::2, ::2] for each in (raw, others))
    assert (one == other).all()


# --- demosaic ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cfa", CFAS)
@pytest.mark.parametrize("option", STAGES["demosaic"])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (4, 10), (16, 16)])
def test_a_flat_field_comes_back_from_its_mosaic(
    option: str, cfa: str, height: int, width: int
) -> None:
    picture = flat(COLOUR, height, width)
    assert demosaic(mosaic(picture, cfa), option, cfa) == pytest.approx(picture, abs=1e-6)


@pytest.mark.parametrize("cfa", CFAS)
@pytest.mark.parametrize("option", ["malvar2004", "menon2007"])
def test_a_pixel_keeps_what_its_own_filter_saw(option: str, cfa: str) -> None:
    raw = some("demosaic", 12, 16, 6, count=2)
    found = demosaic(raw, option, cfa)
    own = mosaic(found, cfa)
    if option == "malvar2004":
        assert own == pytest.approx(raw, abs=1e-6)
    else:  # refines its red and blue once more
        is_green = mosaic(np.broadcast_to(np.array([0, 1, 0], np.float32), found.shape), cfa) == 1.0
        assert own[is_green] == pytest.approx(raw[is_green], abs=1e-6)


@pytest.mark.parametrize("cfa", CFAS)
@pytest.mark.parametrize("option", ["malvar2004", "menon2007"])
def test_a_grey_ramp_comes_back_from_its_mosaic_away_from_the_border(option: str, cfa: str) -> None:
    ramp = np.broadcast_to((0.1 + 0.03 * np.arange(24, dtype=np.float32)), (24, 24))
    for field in (ramp, ramp.T):
        picture = np.repeat(field[None, ..., None], 3, axis=3).astype(np.float32)
        found = demosaic(mosaic(picture, cfa), option, cfa)
        assert found[:, 4:-4, 4:-4] == pytest.approx(picture[:, 4:-4, 4:-4], abs=1e-5)


@pytest.mark.parametrize("cfa", CFAS)
def test_binning_makes_of_two_by_two_filters_one_pixel_with_the_mean_of_its_greens(
    cfa: str,
) -> None:
    raw = some("demosaic", 6, 8, 7, count=1)
    found = demosaic(raw, "binning", cfa)[0]
    for y, x in np.ndindex(3, 4):
        block = raw[0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel()
        seen: dict[str, list[float]] = {"R": [], "G": [], "B": []}
        for letter, value in zip(cfa, block.tolist(), strict=True):
            seen[letter].append(value)
        wanted = [sum(values) / len(values) for values in seen.values()]
        for dy, dx in np.ndindex(2, 2):
            assert found[2 * y + dy, 2 * x + dx] == pytest.approx(wanted, abs=1e-6)


# --- white balance -------------------------------------------------------------------------------


@CHECK
@given(st.integers(0, 1000), st.tuples(*[st.floats(0.1, 0.4)] * 3))
def test_gray_world_makes_the_means_of_all_channels_that_of_green(
    seed: int, tint: tuple[float, float, float]
) -> None:
    given = np.array(tint, np.float32) * (0.5 + 0.5 * some("gamut", 12, 12, seed))
    # The brightest is at most twice the mean, and the mean of green is below 0.4.
    found = white_balance(given, "gray_world", SENSOR)
    greens = given[..., 1].mean(axis=(1, 2))
    assert found.max() < 1.0
    assert found.mean(axis=(1, 2)) == pytest.approx(np.repeat(greens[:, None], 3, 1), rel=1e-4)
    assert found[..., 1] == pytest.approx(given[..., 1], rel=1e-6)


@CHECK
@given(st.integers(0, 1000), st.tuples(*[st.floats(0.1, 0.4)] * 3))
def test_white_patch_makes_the_brightest_of_all_channels_that_of_green(
    seed: int, tint: tuple[float, float, float]
) -> None:
    given = np.array(tint, np.float32) * some("gamut", 12, 12, seed)
    found = white_balance(given, "white_patch", SENSOR)

    def brightest(pictures: Pixels) -> NDArray[np.float64]:
        # By hand: between the 142nd and the 143rd of 144 values in order, from 0 on.
        ordered = np.sort(pictures.reshape(2, -1, 3), axis=1).astype(np.float64)
        place = 0.99 * 143
        below, share = int(place), place % 1.0
        return np.asarray((1 - share) * ordered[:, below] + share * ordered[:, below + 1])

    greens = brightest(given)[:, 1]
    assert brightest(found) == pytest.approx(np.repeat(greens[:, None], 3, 1), rel=1e-4)


@CHECK
@given(responses, st.floats(0.05, 1.0), st.sampled_from(CFAS))
def test_illuminant_makes_white_white_whatever_the_sensor(
    response: Any, share: float, cfa: str
) -> None:
    brightest = max(sum(row) for row in response)
    if min(sum(row) for row in response) < 0.1 or abs(np.linalg.det(response)) < 0.01:
        return
    sensor = Sensor(response=response, cfa=cfa, exposure=share / brightest)  # nothing clips
    raw = read_out(expose(flat((1.0, 1.0, 1.0)), sensor), sensor, np.zeros(1, np.uint64))
    found = white_balance(demosaic(raw, "binning", cfa), "illuminant", sensor)
    assert found == pytest.approx(np.ones((1, 8, 12, 3)), abs=2e-3)


def test_illuminant_makes_white_white_even_where_the_sensor_is_overexposed() -> None:
    sensor = Sensor(response=((0.8, 0.1, 0.05), (0.2, 0.8, 0.1), (0.05, 0.1, 0.6)), exposure=1.3)
    raw = read_out(expose(flat((1.0, 1.0, 1.0)), sensor), sensor, np.zeros(1, np.uint64))
    found = white_balance(demosaic(raw, "binning", "RGGB"), "illuminant", sensor)
    assert found == pytest.approx(np.ones((1, 8, 12, 3)), abs=2e-3)


@pytest.mark.parametrize("option", ["gray_world", "white_patch", "illuminant"])
@CHECK
@given(gains, gains)
def test_a_cast_multiplies_red_and_blue_by_its_exponential(
    option: str, red: float, blue: float
) -> None:
    given = 0.05 + 0.1 * some("gamut", 8, 8)
    plain = white_balance(given, option, SENSOR)
    found = white_balance(given, option, SENSOR, (red, blue))
    assert found.max() < 1.0
    wanted = plain * np.array([np.exp(red), 1.0, np.exp(blue)])
    assert found == pytest.approx(wanted, rel=1e-4)


# --- gamut ---------------------------------------------------------------------------------------


@CHECK
@given(responses, st.floats(0.0, 3.0))
def test_white_stays_white_whatever_the_response_and_the_saturation(
    response: Any, saturation: float
) -> None:
    if min(sum(row) for row in response) < 0.1 or abs(np.linalg.det(response)) < 0.05:
        return
    for grey in (0.3, 0.8):
        found = map_gamut(flat((grey, grey, grey)), "srgb", response, saturation)
        assert found == pytest.approx(np.full((1, 8, 12, 3), grey), abs=1e-4)
    found = map_gamut(flat((0.7, 0.7, 0.7)), "prophoto", response, saturation)
    assert found == pytest.approx(np.full((1, 8, 12, 3), 0.7), abs=1e-4)


@CHECK
@given(responses, st.integers(0, 1000))
def test_what_a_sensor_mixes_is_told_apart_again(response: Any, seed: int) -> None:
    rows = np.array(response)
    if min(rows.sum(axis=1)) < 0.1 or abs(np.linalg.det(rows)) < 0.1:
        return
    colours = some("gamut", 4, 4, seed).astype(np.float64)
    balanced = (colours @ rows.T / rows.sum(axis=1)).astype(np.float32)
    assert map_gamut(balanced, "srgb", response) == pytest.approx(colours, abs=1e-4)


def test_the_matrix_of_a_sensor_that_sees_srgb_does_nothing() -> None:
    doubled = ((2.0, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 1.0))
    for response in (Sensor().response, doubled):
        assert colour_matrix(response) == pytest.approx(np.eye(3))


def test_prophoto_is_that_of_colour_science() -> None:
    import colour

    spaces = []
    for name in ("sRGB", "ProPhoto RGB"):
        space = colour.RGB_COLOURSPACES[name].copy()
        # From primaries and white, in place of the standards' rounded matrices, which lose white.
        space.use_derived_transformation_matrices(True)
        spaces.append(space)
    wanted = colour.matrix_RGB_to_RGB(spaces[0], spaces[1], "Bradford")
    assert pytest.approx(wanted, abs=2e-5) == PROPHOTO
    assert PROPHOTO.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-6)


def test_prophoto_makes_colours_pale() -> None:
    given = some("gamut", 8, 8)
    found = map_gamut(given, "prophoto", Sensor().response)
    assert found == pytest.approx(given @ PROPHOTO.T, abs=1e-6)
    assert (np.ptp(found, axis=3) <= np.ptp(given, axis=3)).all()


def test_luma_weighs_as_bt_709_does() -> None:
    assert pytest.approx([0.2126, 0.7152, 0.0722]) == LUMA


@CHECK
@given(st.integers(0, 1000), st.floats(0, 1))
def test_saturation_moves_colours_to_their_own_luminance(seed: int, saturation: float) -> None:
    given = some("gamut", 4, 4, seed)
    rows = Sensor().response
    grey = map_gamut(given, "srgb", rows, 0.0)
    luma = given @ np.array([0.2126, 0.7152, 0.0722])
    assert grey == pytest.approx(np.repeat(luma[..., None], 3, axis=3), abs=1e-5)
    found = map_gamut(given, "srgb", rows, saturation)
    wanted = luma[..., None] + saturation * (given - luma[..., None])
    assert found == pytest.approx(wanted, abs=1e-5)


def test_more_saturation_drives_channels_apart() -> None:
    given = flat((0.4, 0.5, 0.45))
    found = map_gamut(given, "srgb", Sensor().response, 2.0)
    assert np.ptp(found[0, 0, 0]) == pytest.approx(0.2, abs=1e-5)


# --- tone ----------------------------------------------------------------------------------------


@CHECK
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_srgb_is_encoded_by_the_standard_and_decoded_again(values: list[float]) -> None:
    linear = np.array(values, np.float32)
    found = encode_srgb(linear)
    assert found.dtype == np.float32
    assert found == pytest.approx([srgb(float(x)) for x in linear], abs=2e-6)
    assert decode_srgb(found) == pytest.approx(linear, abs=2e-6)
    assert encode_srgb(decode_srgb(linear)) == pytest.approx(linear, abs=5e-6)


def test_a_few_values_of_srgb_by_hand() -> None:
    # Middle grey; the end of the straight piece; 8-bit 188 is half the light.
    linear = np.array([0.0, 0.0031308, 0.18, 0.5, 1.0], np.float32)
    assert encode_srgb(linear) == pytest.approx([0, 0.04045, 0.46136, 0.73536, 1], abs=1e-5)
    halves = np.array([0.5, 188 / 255], np.float32)
    assert decode_srgb(halves) == pytest.approx([0.214041, 0.5029], abs=1e-4)


@CHECK
@given(st.floats(-1, 1), st.floats(0, 1))
def test_the_exponent_follows_the_curve_and_the_s_follows_both(
    exponent: float, s_curve: float
) -> None:
    given = some("tone", 6, 6)
    found = map_tones(given, "srgb_gamma", exponent, s_curve)
    for x, y in zip(given.ravel().tolist(), found.ravel().tolist(), strict=True):
        v = srgb(x) ** np.exp(exponent)
        assert y == pytest.approx((1 - s_curve) * v + s_curve * (3 * v**2 - 2 * v**3), abs=1e-5)


def test_black_and_white_stay_so_and_tones_keep_their_order() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32)
    given = np.repeat(ramp[None, None, :, None], 3, axis=3)
    for exponent, s_curve in ((0.0, 0.0), (0.5, 1.0), (-0.6, 0.5)):
        found = map_tones(given, "srgb_gamma", exponent, s_curve)[0, 0, :, 0]
        assert (np.diff(found) > 0).all()
        assert found[[0, -1]] == pytest.approx([0, 1], abs=1e-3)


@pytest.mark.parametrize("exponent", [-3.0, -1.5, -0.5, 0.5, 3.0])
def test_black_stays_black_whatever_the_exponent(exponent: float) -> None:
    assert (map_tones(flat((0, 0, 0)), "srgb_gamma", exponent) == 0.0).all()


def test_equalising_makes_the_histogram_of_the_luma_flat() -> None:
    rng = np.random.default_rng(1)
    grey = (rng.random((2, 64, 64, 1)) ** 3).astype(np.float32)
    found = map_tones(np.repeat(grey, 3, axis=3), "equalised")
    for picture in found:
        shares = np.histogram(picture[..., 0], bins=8, range=(0, 1))[0] / 64**2
        assert shares == pytest.approx(np.full(8, 1 / 8), abs=0.03)
    before = map_tones(np.repeat(grey, 3, axis=3), "srgb_gamma")
    assert np.abs(
        np.histogram(before[0, ..., 0], bins=8, range=(0, 1))[0] / 64**2 - 1 / 8
    ).max() > (0.05)


def test_channels_follow_the_equalised_luma_in_proportion() -> None:
    given = 0.05 + 0.2 * some("tone", 24, 24, 8)
    plain, found = (map_tones(given, option) for option in ("srgb_gamma", "equalised"))
    inside = (found < 1.0).all(axis=3)
    assert inside.mean() > 0.3
    ratios = (found / plain)[inside]
    assert ratios == pytest.approx(np.repeat(ratios[:, :1], 3, axis=1), rel=1e-4)
    assert ratios.min() < 0.9
    assert ratios.max() > 1.1


# --- compression ---------------------------------------------------------------------------------


def test_more_is_lost_the_lower_the_quality() -> None:
    y, x = np.mgrid[0:48, 0:48] / 48
    waves = 0.5 + 0.3 * np.sin(9 * x + 5 * y)[..., None] * np.array([1.0, 0.6, -0.4])
    noise = 0.02 * np.random.default_rng(3).standard_normal((48, 48, 1))
    given = np.clip(waves + noise, 0, 1)[None].astype(np.float32)
    lost = {
        option: np.abs(compress(given, option) - given).mean() for option in STAGES["compression"]
    }
    assert lost["none"] == 0.0
    assert 0.0 < 1.2 * lost["jpeg_85"] < lost["jpeg_50"] < 0.1


@pytest.mark.parametrize("option", ["jpeg_85", "jpeg_50"])
@pytest.mark.parametrize("colour", [(0, 0, 0), (1, 1, 1), (0.5, 0.5, 0.5), (0.3, 0.6, 0.4)])
def test_a_flat_field_survives_but_for_rounding(
    option: str, colour: tuple[float, float, float]
) -> None:
    given = flat(colour, 16, 24)
    found = compress(given, option)
    # A block's mean is rounded to an eighth of its quantiser: 16 or 5 for luma, and chroma counts 1.8
    # times in blue; values are rounded on their way there and back.
    steps = {"jpeg_85": 2, "jpeg_50": 4}[option]
    assert np.abs(found - given).max() <= steps / 255
    if len(set(colour)) == 1:
        assert np.abs(found - given).max() <= 1.51 / 255


def test_eight_bits_are_left() -> None:
    values = 255 * compress(some("compression", 16, 16), "jpeg_85").astype(np.float64)
    assert values == pytest.approx(np.rint(values), abs=1e-4)


def test_a_library_that_changes_how_numbers_are_written_is_undone() -> None:
    # In a process of its own: here it has long been imported.
    program = (
        "import numpy as np\n"
        "from edgesim.learning.isp.stages import demosaic\n"
        "before = np.get_printoptions()\n"
        "demosaic(np.zeros((1, 8, 8), np.float32), 'malvar2004', 'RGGB')\n"
        "assert np.get_printoptions() == before\n"
        "print(np.float64(0.12805921767513412))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "0.12805921767513412\n"
