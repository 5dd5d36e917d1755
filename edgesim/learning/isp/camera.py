"""What a camera is: a sensor and an image signal processor (ISP), as plain numbers.

The six stages of an ISP and the three options of each are those of Kim et al., "HeteroSwitch", MLSys
2024, section 3.4 and table 3; where no maintained library has the option of that name, the nearest
one stands in under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from types import MappingProxyType

from edgesim.core.errors import EdgesimError, did_you_mean

__all__ = ["BASELINE", "CFAS", "RAW", "STAGES", "Camera", "Isp", "Sensor"]

STAGES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "denoise": ("impulse", "none", "bayes_shrink"),
        "demosaic": ("malvar2004", "binning", "menon2007"),
        "white_balance": ("gray_world", "none", "white_patch", "illuminant"),
        "gamut": ("srgb", "none", "prophoto"),
        "tone": ("srgb_gamma", "none", "equalised"),
        "compression": ("jpeg_85", "none", "jpeg_50"),
    }
)
"""The stages in their order, each with the paper's baseline, option 1, option 2, and what is ours.

========  ============  ==========================================================================
stage     paper         here
========  ============  ==========================================================================
denoise   FBDD          ``impulse``: its first step, a value is kept within the range of its
                        neighbours of the same colour
demosaic  PPG           ``malvar2004``: gradient-corrected interpolation
demosaic  AHD           ``menon2007``: directional filtering with a posteriori decision
tone      equalisation  ``equalised``: of the histogram of the luma
========  ============  ==========================================================================

All others are what their names say: see :mod:`edgesim.learning.isp.stages`. Ours is the white balance
``illuminant``: what the automatic one of a phone strives for, with the light of the scene known. The
paper's two guess it from each picture, and in a picture of few pixels whatever colour prevails is taken
for the light's.
"""

CFAS = ("RGGB", "BGGR", "GRBG", "GBRG")
"""Colour filter arrays of Bayer: the two by two filters, row by row."""

Matrix = tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

_IDENTITY: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def determinant(matrix: Matrix) -> float:
    """Of three by three."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise EdgesimError(f"{name} must be in [{least:g}, {most:g}]; found {value:g}")


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor and the lens in front of it: from light to RAW.

    The noise is that of Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data", IEEE TIP 2008: electrons are Poisson, reading them out adds a Gaussian.

    Attributes:
        response: what red, green and blue of the sensor (rows) make of linear red, green and blue of
            sRGB (columns); its spectral response in three numbers per filter.
        cfa: one of :data:`CFAS`.
        exposure: the brightest grey of a scene, as a multiple of what saturates green.
        vignetting: share of the light that is lost in the corners, in [0, 1).
        blur_px: standard deviation of the lens's blur, in pixels of the sensor.
        full_well_e: electrons of a saturated pixel, gain included: the fewer, the stronger is shot
            noise; infinite for neither shot nor read noise.
        read_noise_e: standard deviation of reading out, in electrons.
        bits: of the converter.
    """

    response: Matrix = _IDENTITY
    cfa: str = "RGGB"
    exposure: float = 1.0
    vignetting: float = 0.0
    blur_px: float = 0.0
    full_well_e: float = inf
    read_noise_e: float = 0.0
    bits: int = 16

    def __post_init__(self) -> None:
        if self.cfa not in CFAS:
            hint = did_you_mean(self.cfa, CFAS)
            raise EdgesimError(f"there is no colour filter array {self.cfa!r}; {hint}")
        numbers = [value for row in self.response for value in row]
        if len(self.response) != 3 or len(numbers) != 9 or not all(map(isfinite, numbers)):
            raise EdgesimError("a sensor's response is three rows of three numbers")
        if any(sum(row) <= 0.0 for row in self.response) or abs(determinant(self.response)) < 1e-6:
            raise EdgesimError(
                "a sensor's response must see white in every row, and tell colours apart; found "
                f"{self.response}"
            )
        for name, least, most in (
            ("exposure", 1e-3, 1e3),
            ("vignetting", 0.0, 0.99),
            ("blur_px", 0.0, 100.0),
            ("full_well_e", 1.0, inf),
            ("read_noise_e", 0.0, 1e6),
            ("bits", 1, 16),
        ):
            _check_range(name, getattr(self, name), least, most)
        if self.full_well_e > 1e9 and self.full_well_e < inf:
            raise EdgesimError(
                f"full_well_e must be in [1, 1e9], or infinite for no noise; found {self.full_well_e:g}"
            )


@dataclass(frozen=True, slots=True)
class Isp:
    """An image signal processor: from RAW to the picture that a phone delivers.

    Besides an option per stage there is the look that a vendor gives its pictures. A stage that is
    left out (``none``) leaves its part of the look out.

    Attributes:
        denoise, demosaic, white_balance, gamut, tone, compression: one of :data:`STAGES` each.
        cast: natural logarithms of the gains of red and of blue that the white balance leaves: a warm
            look has more red and less blue.
        saturation: of the gamut stage: 1 leaves colours as they are, 0 makes them grey.
        tone_exponent: natural logarithm of the exponent that follows the tone curve: above 0 darker.
        s_curve: share of an S-shaped curve in the tone, in [0, 1]: contrast.
    """

    denoise: str = "impulse"
    demosaic: str = "malvar2004"
    white_balance: str = "gray_world"
    gamut: str = "srgb"
    tone: str = "srgb_gamma"
    compression: str = "jpeg_85"
    cast: tuple[float, float] = (0.0, 0.0)
    saturation: float = 1.0
    tone_exponent: float = 0.0
    s_curve: float = 0.0

    def __post_init__(self) -> None:
        for stage, options in STAGES.items():
            chosen = getattr(self, stage)
            if chosen not in options:
                raise EdgesimError(
                    f"stage {stage} has no option {chosen!r}; {did_you_mean(chosen, options)}"
                )
        if len(self.cast) != 2:
            raise EdgesimError(f"cast is two numbers, of red and of blue; found {self.cast}")
        for gain in self.cast:
            _check_range("cast", gain, -3.0, 3.0)
        _check_range("saturation", self.saturation, 0.0, 3.0)
        _check_range("tone_exponent", self.tone_exponent, -3.0, 3.0)
        _check_range("s_curve", self.s_curve, 0.0, 1.0)

    def with_look(self, strength: float) -> Isp:
        """The same stages, with so many times its look: 0 for none, 1 for its own.

        Raises:
            EdgesimError: if the strength is not in [0, 3], or takes the look out of its range.
        """
        _check_range("strength of the look", strength, 0.0, 3.0)
        if strength == 1.0:
            return self  # to the bit
        return replace(
            self,
            cast=(strength * self.cast[0], strength * self.cast[1]),
            saturation=max(1.0 + strength * (self.saturation - 1.0), 0.0),
            tone_exponent=strength * self.tone_exponent,
            s_curve=min(strength * self.s_curve, 1.0),
        )


BASELINE = Isp()
"""The paper's baseline of every stage, without any look."""

RAW = Isp("none", "binning", "none", "none", "none", "none")
"""What the sensor saw, as three channels: each two by two filters become one pixel, and that is all."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera.

    Attributes:
        sensor: its sensor.
        isp: its image signal processor.
        oversampling: pixels of the sensor per pixel of the picture, along each side. A phone takes
            twelve million pixels and a model is given few of them: with 2 or more, demosaicing smears
            less than what the model sees.
    """

    sensor: Sensor = Sensor()
    isp: Isp = BASELINE
    oversampling: int = 2

    def __post_init__(self) -> None:
        _check_range("oversampling", self.oversampling, 1, 16)
        if self.oversampling != int(self.oversampling):
            raise EdgesimError(f"oversampling must be whole; found {self.oversampling:g}")
