"""What a camera may be, and how it is refused what it cannot be."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.errors import EdgesimError
from edgesim.learning.isp import BASELINE, CFAS, RAW, STAGES, Camera, Isp, Sensor

CHECK = settings(derandomize=True, deadline=None, max_examples=50)
DOCS = Path(__file__).parents[3] / "docs" / "cameras.md"

looks = st.builds(
    Isp,
    cast=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    saturation=st.floats(0, 1.6),
    tone_exponent=st.floats(-1, 1),
    s_curve=st.floats(0, 1),
)


# --- stages --------------------------------------------------------------------------------------


def test_stages_and_options_are_those_of_the_documented_table() -> None:
    table: dict[str, list[str]] = {}
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        stage, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if stage.replace(" ", "_") in STAGES:
            table[stage.replace(" ", "_")] = [cell.split("`")[1] for cell in cells if "`" in cell]
    assert list(table) == list(STAGES)
    assert table == {stage: list(options) for stage, options in STAGES.items()}


def test_the_baseline_is_the_first_option_of_every_stage_and_raw_leaves_all_out() -> None:
    for stage, options in STAGES.items():
        assert getattr(BASELINE, stage) == options[0]
        assert getattr(RAW, stage) == ("binning" if stage == "demosaic" else "none")
    plain = ((0.0, 0.0), 1.0, 0.0, 0.0)
    for isp in (BASELINE, RAW):
        assert (isp.cast, isp.saturation, isp.tone_exponent, isp.s_curve) == plain


def test_every_array_has_two_greens_on_a_diagonal() -> None:
    assert len(set(CFAS)) == 4
    for cfa in CFAS:
        assert sorted(cfa) == sorted("RGGB")
        assert "GG" in (cfa[0] + cfa[3], cfa[1] + cfa[2])


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cfa": "RGBG"}, "no colour filter array 'RGBG'; did you mean '.{4}'.* Known: BGGR"),
        ({"cfa": "rggb"}, "no colour filter array 'rggb'"),
        ({"response": ((1, 0, 0), (0, 1, 0))}, "three rows of three numbers"),
        ({"response": ((1, 0), (0, 1), (0, 0))}, "three rows of three numbers"),
        ({"response": ((1, 0, 0), (0, nan, 0), (0, 0, 1))}, "three rows of three numbers"),
        ({"response": ((1, 0, 0), (0, inf, 0), (0, 0, 1))}, "three rows of three numbers"),
        ({"response": ((1, 0, 0), (0, 1, 0), (-1, 0, 1))}, "see white in every row"),
        ({"response": ((1, 0, 0), (0, 1, 0), (0, -2, 1))}, "see white in every row"),
        ({"response": ((1, 0, 0), (2, 0, 0), (0, 0, 1))}, "tell colours apart"),
        ({"response": ((1, 1, 1), (2, 2, 2), (3, 3, 3))}, "tell colours apart"),
        ({"exposure": 0}, r"exposure must be in \[0.001, 1000\]; found 0"),
        ({"exposure": -1}, "exposure must be in"),
        ({"exposure": nan}, "exposure must be in"),
        ({"exposure": inf}, "exposure must be in"),
        ({"vignetting": -0.1}, r"vignetting must be in \[0, 0.99\]; found -0.1"),
        ({"vignetting": 1.0}, "vignetting must be in"),
        ({"blur_px": -1}, r"blur_px must be in \[0, 100\]; found -1"),
        ({"blur_px": inf}, "blur_px must be in"),
        ({"full_well_e": 0.5}, "full_well_e must be in .*; found 0.5"),
        ({"full_well_e": nan}, "full_well_e must be in"),
        ({"read_noise_e": -1}, "read_noise_e must be in .*; found -1"),
        ({"bits": 0}, r"bits must be in \[1, 16\]; found 0"),
        ({"bits": 17}, r"bits must be in \[1, 16\]; found 17"),
    ],
)
def test_what_a_sensor_cannot_be_is_said(given: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        Sensor(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"denoise": "impuls"}, "stage denoise has no option 'impuls'; did you mean 'impulse'"),
        ({"denoise": "fbdd"}, "stage denoise has no option 'fbdd'; .*bayes_shrink, impulse, none"),
        ({"demosaic": "malvar2005"}, "demosaic has no option .*did you mean 'malvar2004'"),
        ({"demosaic": "none"}, "stage demosaic has no option 'none'"),
        ({"white_balance": "grey_world"}, "white_balance .*did you mean 'gray_world'"),
        ({"gamut": "prophot"}, "stage gamut has no option .*did you mean 'prophoto'"),
        ({"gamut": "illuminant"}, "stage gamut has no option 'illuminant'"),
        ({"tone": "equalized"}, "stage tone has no option .*did you mean 'equalised'"),
        ({"compression": "jpeg_58"}, "stage compression has no option .*did you mean 'jpeg_"),
        ({"cast": (3.1, 0)}, r"cast must be in \[-3, 3\]; found 3.1"),
        ({"cast": (0, -3.1)}, r"cast must be in \[-3, 3\]; found -3.1"),
        ({"cast": (0, nan)}, "cast must be in"),
        ({"saturation": -0.1}, r"saturation must be in \[0, 3\]; found -0.1"),
        ({"saturation": 3.1}, "saturation must be in"),
        ({"tone_exponent": 3.1}, r"tone_exponent must be in \[-3, 3\]; found 3.1"),
        ({"tone_exponent": nan}, "tone_exponent must be in"),
        ({"s_curve": -0.1}, r"s_curve must be in \[0, 1\]; found -0.1"),
        ({"s_curve": 1.1}, "s_curve must be in"),
    ],
)
def test_what_an_isp_cannot_be_is_said(given: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        Isp(**given)


@pytest.mark.parametrize("oversampling", [0, -1, 17])
def test_oversampling_has_bounds(oversampling: int) -> None:
    with pytest.raises(
        EdgesimError, match=rf"oversampling must be in \[1, 16\]; found {oversampling}"
    ):
        Camera(oversampling=oversampling)


@pytest.mark.parametrize(
    "given",
    [
        *({"exposure": value} for value in (1e-3, 1e3)),
        *({"vignetting": value} for value in (0.0, 0.99)),
        *({"full_well_e": value} for value in (1.0, inf)),
        *({"bits": value} for value in (1, 16)),
        *({"cfa": cfa} for cfa in CFAS),
    ],
)
def test_the_ends_of_every_range_can_be(given: dict[str, Any]) -> None:
    ((name, value),) = given.items()
    assert getattr(Sensor(**given), name) == value


# --- the look ------------------------------------------------------------------------------------


@CHECK
@given(looks)
def test_no_look_is_left_at_zero_and_its_own_at_one(isp: Isp) -> None:
    bare = isp.with_look(0.0)
    assert bare == replace(isp, cast=(0.0, 0.0), saturation=1.0, tone_exponent=0.0, s_curve=0.0)
    own = isp.with_look(1.0)
    assert own.cast == isp.cast
    assert own.saturation == pytest.approx(isp.saturation, abs=1e-15)
    assert (own.tone_exponent, own.s_curve) == (isp.tone_exponent, isp.s_curve)


@CHECK
@given(looks, st.floats(0, 3))
def test_a_look_is_scaled_about_none_at_all_and_held_in_its_range(
    isp: Isp, strength: float
) -> None:
    found = isp.with_look(strength)
    assert found.cast == pytest.approx([strength * gain for gain in isp.cast])
    assert found.tone_exponent == pytest.approx(strength * isp.tone_exponent)
    assert found.saturation >= 0.0
    if found.saturation > 0.0:
        assert found.saturation - 1.0 == pytest.approx(strength * (isp.saturation - 1.0), abs=1e-12)
    else:
        assert strength * (1.0 - isp.saturation) >= 1.0 - 1e-12
    assert found.s_curve == pytest.approx(min(strength * isp.s_curve, 1.0))


def test_stages_stay_whatever_the_look() -> None:
    isp = Isp("none", "menon2007", "white_patch", "prophoto", "equalised", "jpeg_50", (0.1, 0.2))
    for strength in (0.0, 0.4, 3.0):
        found = isp.with_look(strength)
        assert [getattr(found, stage) for stage in STAGES] == [
            *("none", "menon2007", "white_patch", "prophoto", "equalised", "jpeg_50"),
        ]


def test_saturation_and_contrast_stop_at_their_ends() -> None:
    found = Isp(saturation=0.2, s_curve=0.6).with_look(2.0)
    assert (found.saturation, found.s_curve) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("isp", "strength", "message"),
    [
        (Isp(), -0.1, r"strength of the look must be in \[0, 3\]; found -0.1"),
        (Isp(), 3.1, "strength of the look must be in"),
        (Isp(), nan, "strength of the look must be in"),
        (Isp(cast=(2.0, 0.0)), 2.0, "cast must be in .*; found 4"),
        (Isp(saturation=2.0), 3.0, "saturation must be in .*; found 4"),
        (Isp(tone_exponent=-2.0), 2.0, "tone_exponent must be in .*; found -4"),
    ],
)
def test_a_look_that_cannot_be_is_said(isp: Isp, strength: float, message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        isp.with_look(strength)
