"""What a profile may say of a phone's camera, what of it ships, and how it is refused what cannot be."""

from __future__ import annotations

import re
from math import inf
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml

from edgesim.core.errors import ConfigError
from edgesim.hardware.catalogue import Catalogue, catalogue_folder
from edgesim.hardware.profiles import CameraProfile, IspProfile, PhoneProfile, SensorProfile
from edgesim.learning.isp import CFAS, STAGES, Isp, Sensor

NINE = (
    *("galaxy_s22", "galaxy_s9", "galaxy_s6", "lg_velvet", "lg_g7", "lg_g4"),
    *("pixel_5", "pixel_2", "nexus_5x"),
)
"""Those of Kim et al., "HeteroSwitch", MLSys 2024."""
COSTS = """\
camera:
  megapixels: {value: 12, source: label}
  power_w: {value: 1.5, source: measured}
  open_ms: {value: 500, source: measured}
  frame_ms: {value: 40, source: measured}
  isp_mpixels_per_s: {value: 600, source: data sheet}
"""
SENSOR = """\
  sensor:
    response: [[0.6, 0.2, 0.05], [0.15, 0.7, 0.1], [0.02, 0.25, 0.4]]
    cfa: GBRG
    exposure: 0.8
    vignetting: 0.2
    blur_px: 0.5
    full_well_e: 2000
    read_noise_e: 3
    bits: 10
    source: synthetic
"""
ISP = """\
  isp:
    denoise: impulse
    demosaic: menon2007
    white_balance: illuminant
    gamut: prophoto
    tone: equalised
    compression: jpeg_50
    cast: [0.1, -0.2]
    saturation: 1.1
    tone_exponent: -0.3
    s_curve: 0.2
    source: synthetic
"""


@pytest.fixture
def phone(tmp_path: Path) -> str:
    """The text of a phone that has no camera; it is to be called ``mine``."""
    shipped = catalogue_folder("device_profiles") / "lg_g7.yaml"
    data = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    data["name"] = "mine"
    del data["camera"]
    return str(yaml.safe_dump(data, sort_keys=False))


def written(folder: Path, text: str) -> Catalogue:
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    return Catalogue([folder])


# --- the schema ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_profile_has_the_options_of_every_stage_and_no_others(stage: str) -> None:
    assert get_args(IspProfile.model_fields[stage].annotation) == STAGES[stage]


def test_a_profile_has_the_keys_of_the_classes_and_its_source() -> None:
    assert get_args(SensorProfile.model_fields["cfa"].annotation) == CFAS
    for schema, made in ((SensorProfile, Sensor), (IspProfile, Isp)):
        assert set(schema.model_fields) == {*made.__dataclass_fields__, "source"}


def test_a_look_is_optional_and_everything_else_is_said(tmp_path: Path, phone: str) -> None:
    bare = re.sub(r"    (cast|saturation|tone_exponent|s_curve): .*\n", "", ISP)
    assert len(bare.splitlines()) == len(ISP.splitlines()) - 4
    spec = written(tmp_path, phone + COSTS + SENSOR + bare).phone("mine").camera
    assert spec is not None
    assert spec.optics is not None
    isp = spec.optics.isp
    assert (isp.cast, isp.saturation, isp.tone_exponent, isp.s_curve) == ((0.0, 0.0), 1.0, 0.0, 0.0)


def test_a_camera_is_what_its_profile_says_in_si_units(tmp_path: Path, phone: str) -> None:
    spec = written(tmp_path, phone + COSTS + SENSOR + ISP).phone("mine").camera
    assert spec is not None
    assert (spec.pixels, spec.power_w) == (12e6, 1.5)
    assert (spec.open_s, spec.frame_s) == pytest.approx((0.5, 0.04))
    assert spec.isp_pixels_per_s == pytest.approx(600e6)
    assert spec.optics is not None
    assert spec.optics.sensor == Sensor(
        response=((0.6, 0.2, 0.05), (0.15, 0.7, 0.1), (0.02, 0.25, 0.4)),
        cfa="GBRG",
        exposure=0.8,
        vignetting=0.2,
        blur_px=0.5,
        full_well_e=2000,
        read_noise_e=3,
        bits=10,
    )
    assert spec.optics.isp == Isp(
        *("impulse", "menon2007", "illuminant", "prophoto", "equalised", "jpeg_50"),
        cast=(0.1, -0.2),
        saturation=1.1,
        tone_exponent=-0.3,
        s_curve=0.2,
    )


def test_a_camera_without_sensor_and_isp_costs_and_shows_nothing(
    tmp_path: Path, phone: str
) -> None:
    spec = written(tmp_path, phone + COSTS).phone("mine").camera
    assert spec is not None
    assert spec.optics is None
    assert written(tmp_path, phone).phone("mine").camera is None


def test_watts_of_a_camera_are_scaled_as_all_of_a_phones(tmp_path: Path, phone: str) -> None:
    data = yaml.safe_load(phone + COSTS)
    data["power_scale"] = {"value": 2, "source": "assumed"}
    spec = written(tmp_path, yaml.safe_dump(data)).phone("mine").camera
    assert spec is not None
    assert spec.power_w == pytest.approx(3.0)


# --- what ships ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NINE)
def test_the_nine_phones_of_the_paper_have_cameras_whose_pictures_are_known(name: str) -> None:
    catalogue = Catalogue()
    profile, spec = catalogue.profile(name), catalogue.phone(name).camera
    assert isinstance(profile, PhoneProfile)
    assert isinstance(profile.camera, CameraProfile)
    assert spec is not None
    assert spec.optics is not None
    assert profile.camera.sensor is not None
    assert "synthetic" in profile.camera.sensor.source
    sensor, isp = spec.optics.sensor, spec.optics.isp
    assert np.array(sensor.response) == pytest.approx(np.array(profile.camera.sensor.response))
    white = sensor.exposure * np.array(sensor.response).sum(axis=1)
    # White saturates none of its filters, or white balance could not make it white again.
    assert white.max() <= 1.0 + 1e-9
    assert sensor.full_well_e < inf
    assert isp.white_balance == "illuminant"


def test_the_nine_phones_all_differ() -> None:
    optics = {repr(Catalogue().phone(name).camera.optics) for name in NINE}  # type: ignore[union-attr]
    assert len(optics) == 9


def test_gains_that_make_white_white_are_those_that_the_documentation_gives() -> None:
    for name in NINE:
        spec = Catalogue().phone(name).camera
        assert spec is not None
        assert spec.optics is not None
        red, green, blue = np.array(spec.optics.sensor.response).sum(axis=1).tolist()
        for gain in (green / red, green / blue):
            assert 1.0 < gain <= 2.65, name
        assert 1200 <= spec.optics.sensor.full_well_e <= 3900, name


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "place", "key", "message"),
    [
        pytest.param(
            *("denoise: impulse", "denoise: impuls", "denoise:", "isp.denoise"),
            "did you mean 'impulse'",
            id="unknown option",
        ),
        pytest.param(
            *("demosaic: menon2007", "demosaic: none", "demosaic:", "isp.demosaic"),
            "Known: binning, malvar2004, menon2007",
            id="an option of other stages",
        ),
        pytest.param(
            *("cfa: GBRG", "cfa: GBGR", "cfa:", "sensor.cfa", "GBRG"),
            id="no filter array",
        ),
        pytest.param(
            *("saturation: 1.1", "saturasion: 1.1", "saturasion:", "isp.saturasion"),
            "unknown key; did you mean 'saturation'",
            id="unknown key",
        ),
        pytest.param(
            *("    cfa: GBRG\n", "", "sensor:", "sensor.cfa"),
            "this key is required and missing",
            id="no filters",
        ),
        pytest.param(
            *(ISP, "", "camera:", ""),
            "sensor and isp are given together or not at all",
            id="sensor without isp",
        ),
        pytest.param(
            *(SENSOR, "", "camera:", ""),
            "sensor and isp are given together or not at all",
            id="isp without sensor",
        ),
        pytest.param(
            *("[0.15, 0.7, 0.1]", "[0.6, 0.2, 0.05]", "sensor:", "sensor"),
            "tell colours apart",
            id="singular response",
        ),
        pytest.param(
            *("[0.02, 0.25, 0.4]", "[-0.6, 0.1, 0.4]", "sensor:", "sensor"),
            "see white in every row",
            id="a filter that is blind to white",
        ),
        pytest.param(
            *("[0.02, 0.25, 0.4]", "[0.02, 0.25]", "response:", "sensor.response[2]"),
            "3 entries",
            id="a row of two",
        ),
        pytest.param(
            *(", [0.02, 0.25, 0.4]", "", "response:", "sensor.response"),
            "3 entries",
            id="two rows",
        ),
        pytest.param(
            *("value: 1.5", "value: -1.5", "power_w:", "power_w.value"),
            "found -1.5",
            id="negative watts",
        ),
        pytest.param(
            *("value: 1.5", "value: 1500", "power_w:", "power_w.value"),
            "found 1500",
            id="milliwatts",
        ),
        pytest.param(
            *("value: 1.5, source: measured", "value: 1.5", "power_w:", "power_w.source"),
            "this key is required and missing",
            id="watts without source",
        ),
        pytest.param(
            *("value: 40", "value: 0", "frame_ms:", "frame_ms.value"),
            "greater than 0; found 0",
            id="no time for a frame",
        ),
        pytest.param(
            *("bits: 10", "bits: 20", "bits:", "sensor.bits"),
            "less than or equal to 16; found 20",
            id="too many bits",
        ),
        pytest.param(
            *("vignetting: 0.2", "vignetting: 1", "vignetting:", "sensor.vignetting"),
            "less than or equal to 0.99; found 1",
            id="no light in the corners",
        ),
        pytest.param(
            *("exposure: 0.8", "exposure: .nan", "exposure:", "sensor.exposure"),
            "finite number; found nan",
            id="not a number",
        ),
        pytest.param(
            *("s_curve: 0.2", "s_curve: 1.2", "s_curve:", "isp.s_curve"),
            "less than or equal to 1; found 1.2",
            id="more than an S",
        ),
        pytest.param(
            *("cast: [0.1, -0.2]", "cast: [0.1]", "cast:", "isp.cast"),
            "2 entries",
            id="a cast of one",
        ),
        pytest.param(
            *("cast: [0.1, -0.2]", "cast: [0.1, -4]", "cast:", "isp.cast[1]"),
            "greater than or equal to -3; found -4",
            id="a cast without measure",
        ),
    ],
)
def test_what_a_camera_cannot_be_is_one_error_where_it_stands(
    *, old: str, new: str, place: str, key: str, message: str, tmp_path: Path, phone: str
) -> None:
    whole = COSTS + SENSOR + ISP
    assert whole.count(old) == 1
    text = phone + whole.replace(old, new)
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, text).phone("mine")
    (line,) = str(caught.value).splitlines()
    number = text[: text.index(place, text.index("camera:"))].count("\n") + 1
    full = f"camera.{key}" if key else "camera"
    assert line.startswith(f"{tmp_path / 'mine.yaml'}:{number}: {full}: ")
    assert message in line


def test_all_that_is_wrong_with_a_camera_is_said_at_once(tmp_path: Path, phone: str) -> None:
    wrong = (COSTS + SENSOR + ISP).replace("impulse", "impuls").replace("bits: 10", "bits: 0")
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, phone + wrong).phone("mine")
    lines: list[Any] = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["camera.sensor.bits", "camera.isp.denoise"]
