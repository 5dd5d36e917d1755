"""From light to RAW, against the model of its noise and the geometry of its lens."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesim.learning.isp import CFAS, Sensor
from edgesim.learning.isp.sensor import Pixels, cfa_planes, expose, read_out, rounded

CHECK = settings(derandomize=True, deadline=None, max_examples=40)
RESPONSE = ((0.6, 0.2, 0.05), (0.15, 0.7, 0.1), (0.02, 0.25, 0.4))
COLOUR = (0.2, 0.5, 0.8)

sensors = st.builds(
    Sensor,
    response=st.sampled_from([Sensor().response, RESPONSE]),
    cfa=st.sampled_from(CFAS),
    exposure=st.floats(0.01, 100),
    vignetting=st.floats(0, 0.99),
    blur_px=st.sampled_from([0.0, 0.3, 2.0]),
    full_well_e=st.floats(1, 1e5) | st.just(inf),
    read_noise_e=st.floats(0, 50),
    bits=st.integers(1, 16),
)


def keys(count: int, first: int = 0) -> NDArray[np.uint64]:
    return np.arange(first, first + count, dtype=np.uint64)


def scenes(count: int, height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).random((count, height, width, 3), dtype=np.float32)


def flat(colour: tuple[float, float, float], height: int = 8, width: int = 12) -> Pixels:
    return np.broadcast_to(np.array(colour, np.float32), (1, height, width, 3)).copy()


@CHECK
@given(sensors, st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1000))
def test_raw_is_float32_in_its_range_and_as_large_as_the_sensor(
    sensor: Sensor, half_height: int, half_width: int, oversampling: int, seed: int
) -> None:
    height, width = 2 * half_height, 2 * half_width
    light = expose(scenes(2, height, width, seed), sensor, oversampling)
    raw = read_out(light, sensor, keys(2, seed))
    for each in (light, raw):
        assert each.shape == (2, oversampling * height, oversampling * width)
        assert each.dtype == np.float32
        assert each.min() >= 0.0
    assert raw.max() <= 1.0
    assert len(np.unique(raw)) <= 2**sensor.bits


# --- noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("full_well_e", "read_noise_e", "bits"),
    [(1000.0, 0.0, 16), (2400.0, 12.0, 12), (1500.0, 5.0, 6), (400.0, 0.0, 10), (1e5, 300.0, 14)],
)
@pytest.mark.parametrize("level", [0.15, 0.4, 0.75])
def test_mean_and_variance_are_those_of_electrons_reading_and_converter(
    level: float, full_well_e: float, read_noise_e: float, bits: int
) -> None:
    sensor = Sensor(full_well_e=full_well_e, read_noise_e=read_noise_e, bits=bits)
    raw = read_out(np.full((4, 200, 200), level, np.float32), sensor, keys(4)).astype(np.float64)
    step = 1.0 / (2**bits - 1)
    variance = level / full_well_e + (read_noise_e / full_well_e) ** 2 + step**2 / 12.0
    assert raw.mean() == pytest.approx(level, abs=5.0 * np.sqrt(variance / raw.size))
    # A sample variance of so many has a relative deviation of sqrt(2 / n), a third of a per cent.
    assert raw.var() == pytest.approx(variance, rel=0.02)


def test_the_noise_of_pixels_has_nothing_to_do_with_their_neighbours() -> None:
    sensor = Sensor(full_well_e=1000.0, read_noise_e=5.0)
    raw = read_out(np.full((2, 200, 200), 0.5, np.float32), sensor, keys(2)).astype(np.float64)
    noise = (raw - raw.mean()) / raw.std()
    for one, other in (
        (noise[:, 1:], noise[:, :-1]),
        (noise[:, :, 1:], noise[:, :, :-1]),
        (noise[0], noise[1]),
    ):
        assert abs(float((one * other).mean())) < 5.0 / np.sqrt(one.size)


def test_without_a_full_well_there_is_no_noise_at_all() -> None:
    light = np.linspace(0.0, 1.0, 16, dtype=np.float32).reshape(1, 4, 4)
    raw = read_out(light, Sensor(full_well_e=inf, read_noise_e=100.0), keys(1))
    assert np.abs(raw - light).max() <= 0.5 / 65535 + 1e-7


def test_electrons_are_whole() -> None:
    light = np.full((1, 40, 40), 0.5, np.float32)
    electrons = 100.0 * read_out(light, Sensor(full_well_e=100.0), keys(1))
    assert np.abs(electrons - np.rint(electrons)).max() <= 100.0 * 0.5 / 65535 + 1e-4
    assert len(np.unique(np.rint(electrons))) > 10


def test_full_wells_clip_and_dark_stays_dark_but_for_reading() -> None:
    sensor = Sensor(full_well_e=1000.0)
    bright, dark = (np.full((1, 8, 8), value, np.float32) for value in (3.0, 0.0))
    assert (read_out(bright, sensor, keys(1)) == 1.0).all()
    assert (read_out(dark, sensor, keys(1)) == 0.0).all()
    read = read_out(dark, replace(sensor, read_noise_e=10.0), keys(1))
    # Half of a Gaussian about black falls below it.
    assert 0.25 < (read > 0.0).mean() < 0.75


def test_noise_depends_on_the_pictures_key_alone() -> None:
    sensor = Sensor(full_well_e=500.0, read_noise_e=3.0)
    light = expose(scenes(5, 8, 8), sensor)
    together = read_out(light, sensor, keys(5, 7))
    for k in range(5):
        alone = read_out(light[k : k + 1], sensor, keys(1, 7 + k))
        assert (alone[0] == together[k]).all()
    order = np.array([3, 0, 4, 1, 2])
    assert (read_out(light[order], sensor, keys(5, 7)[order]) == together[order]).all()
    assert (read_out(light, sensor, keys(5, 100)) != together).any(axis=(1, 2)).all()


# --- converter -----------------------------------------------------------------------------------


@CHECK
@given(st.integers(1, 16), st.integers(0, 1000))
def test_rounding_gives_the_nearest_of_so_many_levels(bits: int, seed: int) -> None:
    values = np.random.default_rng(seed).random(500, dtype=np.float32)
    found = rounded(values, bits)
    steps = 2**bits - 1
    levels = np.float64(found) * steps
    assert np.abs(levels - np.rint(levels)).max() < 1e-2
    assert np.abs(found - values).max() <= 0.5 / steps + 1e-7
    assert (rounded(found, bits) == found).all()


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_a_ramp_takes_all_levels_of_the_converter(bits: int) -> None:
    ramp = np.linspace(0.0, 1.0, 64 * 64, dtype=np.float32).reshape(1, 64, 64)
    raw = read_out(ramp, Sensor(bits=bits), keys(1))
    assert np.unique(raw) == pytest.approx(np.arange(2**bits) / (2**bits - 1), abs=1e-6)


# --- lens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [0.1, 0.5, 0.99])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (8, 30)])
def test_corners_lose_exactly_that_share_and_the_middle_nothing(
    lost: float, height: int, width: int
) -> None:
    white = flat((1.0, 1.0, 1.0), height, width)
    light = expose(white, Sensor(vignetting=lost))[0]
    corners = light[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners == pytest.approx(np.full(4, 1.0 - lost), abs=1e-6)
    assert light[0, width // 2] == pytest.approx(1.0 - lost / 2.0, abs=lost / width**2 + 1e-6)
    # With even sides the middle lies between pixels; those around it are that near.
    middle = light[height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1]
    away = ((1.0 / (height - 1)) ** 2 + (1.0 / (width - 1)) ** 2) / 2.0
    assert middle == pytest.approx(np.full((2, 2), 1.0 - lost * away), abs=1e-6)
    assert (light <= 1.0).all()
    assert light == pytest.approx(light[::-1, ::-1], abs=1e-6)


@pytest.mark.parametrize("blur_px", [0.3, 1.0, 4.0])
def test_blur_keeps_a_flat_field(blur_px: float) -> None:
    light = expose(flat((0.4, 0.4, 0.4), 12, 20), Sensor(blur_px=blur_px))
    assert light == pytest.approx(np.full((1, 12, 20), 0.4), abs=1e-6)


@pytest.mark.parametrize("blur_px", [0.7, 1.5, 3.0])
def test_a_blurred_point_keeps_its_light_and_is_as_wide_as_said(blur_px: float) -> None:
    scene = np.zeros((1, 48, 48, 3), np.float32)
    scene[0, 24, 24] = 1.0
    light = expose(scene, Sensor(blur_px=blur_px))[0].astype(np.float64)
    assert light.sum() == pytest.approx(1.0, abs=1e-5)
    away = np.arange(48) - 24.0
    for share in (light.sum(axis=0), light.sum(axis=1)):
        assert share @ away == pytest.approx(0.0, abs=1e-5)
        # The Gaussian ends at three deviations, and so has a little less than its variance.
        assert np.sqrt(share @ away**2) == pytest.approx(blur_px, rel=0.03)


# --- filters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cfa", CFAS)
def test_each_filter_sees_its_own_channel(cfa: str) -> None:
    light = expose(flat(COLOUR, 4, 6), Sensor(cfa=cfa))[0]
    for y, x in np.ndindex(4, 6):
        letter = cfa[2 * (y % 2) + x % 2]
        assert light[y, x] == pytest.approx(COLOUR["RGB".index(letter)])


@pytest.mark.parametrize("cfa", CFAS)
def test_planes_are_where_the_letters_stand(cfa: str) -> None:
    found = [
        (y, x, "RGB"[channel]) for y, x, channel in cfa_planes(cfa)
    ]  # first row, first column, whose
    assert found == [(0, 0, cfa[0]), (0, 1, cfa[1]), (1, 0, cfa[2]), (1, 1, cfa[3])]


@pytest.mark.parametrize("cfa", CFAS)
def test_a_filter_sees_what_its_row_of_the_response_says(cfa: str) -> None:
    light = expose(flat(COLOUR, 4, 4), Sensor(response=RESPONSE, cfa=cfa))[0]
    for k, letter in enumerate(cfa):
        row = RESPONSE["RGB".index(letter)]
        seen = sum(weight * value for weight, value in zip(row, COLOUR, strict=True))
        assert light[k // 2 :: 2, k % 2 :: 2] == pytest.approx(np.full((2, 2), seen))


def test_no_filter_passes_negative_light() -> None:
    response = ((1.0, -0.4, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    light = expose(flat((0.1, 1.0, 0.5), 4, 4), Sensor(response=response))[0]
    assert (light[::2, ::2] == 0.0).all()


@CHECK
@given(st.floats(0.001, 1000), st.floats(0, 1))
def test_exposure_multiplies_light_and_raw_clips(exposure: float, grey: float) -> None:
    sensor = Sensor(exposure=exposure)
    light = expose(flat((grey, grey, grey), 2, 2), sensor)
    assert light == pytest.approx(np.full((1, 2, 2), exposure * grey), rel=1e-5, abs=1e-9)
    raw = read_out(light, sensor, keys(1))
    clipped = min(exposure * grey, 1.0)
    assert raw == pytest.approx(np.full((1, 2, 2), clipped), abs=0.5 / 65535 + 1e-6)


@pytest.mark.parametrize("oversampling", [1, 2, 3])
def test_a_pixel_of_the_scene_falls_on_a_square_of_the_sensors(oversampling: int) -> None:
    scene = scenes(1, 4, 6)
    scene[...] = scene[..., :1]  # greys, so that filters do not matter
    light = expose(scene, Sensor(), oversampling)[0]
    for y, x in np.ndindex(*light.shape):
        assert light[y, x] == scene[0, y // oversampling, x // oversampling, 0]
