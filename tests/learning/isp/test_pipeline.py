"""Photographs: what they are made of, and that each is what it would be if it were taken alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.hardware.catalogue import shipped
from edgesim.learning.isp import (
    BASELINE,
    CFAS,
    RAW,
    STAGES,
    Camera,
    Isp,
    Sensor,
    develop,
    develop_by_stage,
    photograph,
    pipeline,
    take_raw,
    to_scene,
)
from edgesim.learning.isp.pipeline import check_pictures
from edgesim.learning.isp.sensor import Pixels

CHECK = settings(derandomize=True, deadline=None, max_examples=20)
PHONES = (
    *("galaxy_s22", "galaxy_s9", "galaxy_s6", "lg_velvet", "lg_g7", "lg_g4"),
    *("pixel_5", "pixel_2", "nexus_5x"),
)
NOISY = Sensor(
    ((0.6, 0.2, 0.05), (0.15, 0.7, 0.1), (0.02, 0.25, 0.4)),
    *("GBRG", 0.9, 0.3, 0.5, 800.0, 4.0, 10),
)
NOTHING = Isp("none", "binning", "none", "none", "none", "none")
CAMERAS = {
    "baseline": Camera(NOISY, BASELINE),
    "option 1": Camera(NOISY, RAW),
    "option 2": Camera(
        NOISY,
        Isp(*("bayes_shrink", "menon2007", "white_patch", "prophoto", "equalised", "jpeg_50")),
    ),
    "fine": Camera(NOISY, Isp(compression="none"), oversampling=4),
    "coarse": Camera(NOISY, BASELINE, oversampling=1),
}


@cache
def of_phone(name: str) -> Camera:
    spec = shipped().phone(name).camera
    assert spec is not None
    assert spec.optics is not None
    return spec.optics


def camera_of(name: str) -> Camera:
    return CAMERAS[name] if name in CAMERAS else of_phone(name)


def pictures(count: int, height: int = 16, width: int = 16, seed: int = 0) -> Pixels:
    """Waves in colour with a little grain, so that they are neither flat nor noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    fy, fx = rng.uniform(-9, 9, (2, count, 3, 1, 1))
    waves = 0.5 + 0.35 * np.sin(fy * y + fx * x + rng.uniform(0, 6, (count, 3, 1, 1)))
    grain = 0.05 * rng.standard_normal((count, 3, height, width))
    return np.asarray((waves + grain).clip(0, 1), np.float32)


def keys(count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(9).integers(0, 2**64, count, np.uint64)


# --- what is refused -----------------------------------------------------------------------------

ONE = np.zeros((1, 3, 4, 4), np.float32)


def holding(value: float) -> Pixels:
    found = ONE.copy()
    found[0, 1, 2, 3] = value
    return found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ONE[:, :1], r"colour pictures of shape \(n, 3, height, width\); .*\(1, 1, 4, 4\)"),
        (ONE[0], r"colour pictures of shape \(n, 3, height, width\); .*\(3, 4, 4\)"),
        (ONE.transpose(0, 2, 3, 1), r"colour pictures of shape .*\(1, 4, 4, 3\)"),
        (np.zeros((5, 60), np.float32), r"colour pictures of shape .*\(5, 60\)"),
        (ONE[:, :, :1], r"at least 2 x 2; .*\(1, 3, 1, 4\)"),
        (ONE[:, :, :, :0], r"at least 2 x 2; .*\(1, 3, 4, 0\)"),
        (holding(-0.1), r"in \[0, 1\]; .* from -0.1 to 0: .*leave normalisation to the model"),
        (holding(255), r"in \[0, 1\]; .* from 0 to 255: divide them by their largest value"),
        (holding(1.0001), r"in \[0, 1\]"),
        (holding(np.nan), r"in \[0, 1\]"),
        (holding(np.inf), r"in \[0, 1\]"),
    ],
)
def test_what_a_camera_cannot_take_is_said_with_what_to_do(given: Pixels, message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        check_pictures(given)
    with pytest.raises(EdgesimError, match=message):
        photograph(given, Camera(), keys(len(given)))
    with pytest.raises(EdgesimError, match=message):
        to_scene(given)


def test_whose_pictures_they_are_is_said() -> None:
    with pytest.raises(EdgesimError, match="test pictures of 'digits' are of shape"):
        check_pictures(ONE[:, :1], "test pictures of 'digits'")


def test_a_sensor_has_whole_two_by_two_filters() -> None:
    odd = pictures(1, 5, 6)
    with pytest.raises(EdgesimError, match=r"5 x 6 pixels .* even oversampling, or .* even sides"):
        photograph(odd, Camera(oversampling=1), keys(1))
    assert photograph(odd, Camera(oversampling=2), keys(1)).shape == odd.shape


@pytest.mark.parametrize("count", [0, 2, 4])
def test_there_is_one_key_for_each_picture(count: int) -> None:
    with pytest.raises(EdgesimError, match="key"):
        photograph(pictures(3), Camera(NOISY), keys(count))


def test_no_pictures_become_no_photographs() -> None:
    none = np.empty((0, 3, 8, 8), np.float32)
    assert photograph(none, Camera(), keys(0)).shape == (0, 3, 8, 8)


# --- the scene -----------------------------------------------------------------------------------


@CHECK
@given(st.integers(0, 1000))
def test_a_scene_is_what_srgb_would_make_the_picture_of(seed: int) -> None:
    given = np.random.default_rng(seed).random((2, 3, 4, 6), dtype=np.float32)
    found = to_scene(given)
    assert found.shape == (2, 4, 6, 3)
    assert found.dtype == np.float32
    assert found.min() >= 0.0
    assert found.max() <= 1.0
    linear = found.astype(np.float64)
    # IEC 61966-2-1, forwards.
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert encoded.transpose(0, 3, 1, 2) == pytest.approx(given, abs=5e-6)


# --- an ideal camera -----------------------------------------------------------------------------


@pytest.mark.parametrize("cfa", CFAS)
@pytest.mark.parametrize("oversampling", [2, 4])
def test_raw_of_an_ideal_sensor_is_the_scene(cfa: str, oversampling: int) -> None:
    given = pictures(3)
    found = photograph(given, Camera(Sensor(cfa=cfa), RAW, oversampling), keys(3))
    scene = to_scene(given).transpose(0, 3, 1, 2)
    # The converter rounds to 16 bits, and so does the photograph.
    assert np.abs(found - scene).max() <= 1.01 / 65535


def test_raw_without_oversampling_is_what_two_by_two_pixels_saw_together() -> None:
    given = pictures(1, 6, 8)
    found = photograph(given, Camera(Sensor(), RAW, 1), keys(1))[0]
    scene = to_scene(given)[0]
    for y, x in np.ndindex(3, 4):
        block = scene[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        greens = (block[0, 1, 1] + block[1, 0, 1]) / 2
        wanted = [block[0, 0, 0], greens, block[1, 1, 2]]
        for dy, dx in np.ndindex(2, 2):
            seen = found[:, 2 * y + dy, 2 * x + dx]
            assert seen == pytest.approx(np.array(wanted), abs=1.01 / 65535)


@pytest.mark.parametrize("cfa", CFAS)
def test_an_ideal_camera_gives_back_the_picture(cfa: str) -> None:
    given = pictures(3)
    isp = replace(NOTHING, white_balance="illuminant", gamut="srgb", tone="srgb_gamma")
    found = photograph(given, Camera(Sensor(cfa=cfa), isp), keys(3))
    # In the dark, half a step of the converter is 12.92 times as much in the picture.
    assert np.abs(found - given).max() <= 0.5 * 12.92 / 65535 + 1e-4


def test_what_a_sensor_mixes_and_underexposes_its_isp_undoes() -> None:
    given = 0.1 + 0.8 * pictures(3)
    isp = replace(NOTHING, white_balance="illuminant", gamut="srgb", tone="srgb_gamma")
    found = photograph(
        given, Camera(replace(Sensor(), response=NOISY.response, exposure=0.5), isp), keys(3)
    )
    assert found == pytest.approx(given, abs=1e-3)


# --- each is what it would be alone --------------------------------------------------------------

EVERY = (*CAMERAS, *PHONES)


@pytest.mark.parametrize("name", EVERY)
def test_photographs_do_not_depend_on_how_many_are_worked_on_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, camera = pictures(7), camera_of(name)
    found = []
    for pixels in (1 << 30, 1, 3 * (16 * camera.oversampling) ** 2):
        monkeypatch.setattr(pipeline, "_AT_ONCE", pixels)
        found.append(photograph(given, camera, keys(7)))
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()


@pytest.mark.parametrize("name", EVERY)
def test_photographs_do_not_depend_on_their_order(name: str) -> None:
    given, camera = pictures(6), camera_of(name)
    order = np.array([4, 2, 0, 5, 1, 3])
    found = photograph(given, camera, keys(6))
    assert (photograph(given[order], camera, keys(6)[order]) == found[order]).all()


@pytest.mark.parametrize("name", ["baseline", "option 2", "coarse"])
@pytest.mark.parametrize("side", [2, 4, 6])
def test_small_photographs_do_not_see_their_neighbours(name: str, side: int) -> None:
    given, camera = pictures(5, side, side), CAMERAS[name]
    together = photograph(given, camera, keys(5))
    for k in range(5):
        alone = photograph(given[k : k + 1], camera, keys(5)[k : k + 1])
        assert (alone[0] == together[k]).all()


def test_the_same_scene_is_other_data_with_another_key() -> None:
    given = np.repeat(pictures(1), 4, axis=0)
    found = photograph(given, CAMERAS["fine"], keys(4))
    assert len({picture.tobytes() for picture in found}) == 4


# --- stage by stage ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_a_photograph_is_its_raw_developed_and_averaged(name: str) -> None:
    given, camera = pictures(4), camera_of(name)
    size = camera.oversampling
    raw = take_raw(to_scene(given), camera, keys(4))
    assert raw.shape == (4, 16 * size, 16 * size)
    assert raw.dtype == np.float32
    large = develop(raw, camera).astype(np.float64)
    mean = np.zeros((4, 16, 16, 3))
    for dy, dx in np.ndindex(size, size):
        mean += large[:, dy::size, dx::size] / size**2
    found = photograph(given, camera, keys(4))
    assert np.abs(found - mean.transpose(0, 3, 1, 2)).max() <= 0.51 / 65535 + 1e-6
    levels = 65535 * found.astype(np.float64)
    assert levels == pytest.approx(np.rint(levels), abs=0.01)


@pytest.mark.parametrize("name", EVERY)
def test_the_last_stage_is_what_is_developed_and_all_have_their_names(name: str) -> None:
    camera = camera_of(name)
    raw = take_raw(to_scene(pictures(2)), camera, keys(2))
    before = raw.copy()
    found = list(develop_by_stage(raw, camera))
    assert [stage for stage, _ in found] == list(STAGES)
    assert found[0][1].shape == raw.shape
    assert {picture.shape for _, picture in found[1:]} == {(*raw.shape, 3)}
    assert (found[-1][1] == develop(raw, camera)).all()
    assert (raw == before).all()


def test_stages_that_are_left_out_leave_the_picture_and_their_part_of_the_look() -> None:
    look = replace(NOTHING, cast=(0.5, -0.5), saturation=2.0, tone_exponent=0.5, s_curve=0.5)
    raw = take_raw(to_scene(pictures(2)), Camera(NOISY), keys(2))
    stages = dict(develop_by_stage(raw, Camera(NOISY, look)))
    assert (stages["denoise"] == raw).all()
    for stage in list(STAGES)[2:]:
        assert (stages[stage] == stages["demosaic"]).all()


def test_each_part_of_the_look_shows_in_its_own_stage() -> None:
    plain = replace(BASELINE, white_balance="illuminant")
    camera = Camera(NOISY, plain)
    raw = take_raw(to_scene(0.1 + 0.3 * pictures(2)), camera, keys(2))
    looks = {
        "white_balance": {"cast": (0.2, -0.3)},
        "gamut": {"saturation": 0.5},
        "tone": {"tone_exponent": 0.4, "s_curve": 0.6},
    }
    bare = dict(develop_by_stage(raw, camera))
    for stage, look in looks.items():
        found = dict(develop_by_stage(raw, replace(camera, isp=replace(plain, **look))))  # type: ignore[arg-type]
        changed = [name for name in STAGES if (found[name] != bare[name]).any()]
        assert changed == list(STAGES)[list(STAGES).index(stage) :]
        if stage == "white_balance":
            wanted = bare[stage] * np.exp([0.2, 0.0, -0.3])
        elif stage == "gamut":
            luma = bare[stage] @ np.array([0.2126, 0.7152, 0.0722])
            wanted = (bare[stage] + luma[..., None]) / 2
        else:
            curved = bare[stage].astype(np.float64) ** np.exp(0.4)
            wanted = curved + 0.6 * (3 * curved**2 - 2 * curved**3 - curved)
        inside = (bare[stage] > 0.0) & (bare[stage] < 1.0) & (wanted < 1.0)
        assert inside.mean() > 0.8
        # What gamut has clipped has lost its luminance, too.
        whole = np.all(inside, axis=3)
        assert found[stage][whole] == pytest.approx(wanted[whole], abs=1e-4)


# --- cameras of phones ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_photographs_are_pictures_of_the_same_size(name: str) -> None:
    given = pictures(4, 12, 20)
    given[0], given[1, :, 4:] = 0.0, 1.0
    found = photograph(given, camera_of(name), keys(4))
    assert found.shape == given.shape
    assert found.dtype == np.float32
    check_pictures(found)


@pytest.mark.parametrize("name", PHONES)
def test_a_phones_photographs_still_show_the_scene(name: str) -> None:
    given = pictures(6)
    found = photograph(given, of_phone(name), keys(6))
    for one, other in zip(found, given, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.8


def test_no_two_phones_take_the_same_picture() -> None:
    given = pictures(3)
    found = {name: photograph(given, of_phone(name), keys(3)) for name in PHONES}
    for one in PHONES:
        for other in PHONES:
            if one < other:
                assert np.abs(found[one] - found[other]).mean() > 0.01, (one, other)
