"""A phone's radios are components of its board: what they draw does not heat its processors."""

from __future__ import annotations

import pytest

from edgesim.core.clock import Clock
from edgesim.hardware.battery import BOARD
from edgesim.hardware.catalogue import shipped
from edgesim.hardware.phone import Phone
from edgesim.network.radio import Ether


@pytest.mark.parametrize("profile", ["pixel_5", "galaxy_tab_s6"])
def test_the_board_is_all_that_a_new_phone_has(profile: str) -> None:
    phone = Phone(Ether(Clock()), "phone", shipped().phone(profile), 1.0)
    assert len(phone.meter.watts) == BOARD
    phone.processor("gpu")
    assert len(phone.meter.watts) == BOARD + 1


def test_watts_of_the_board_warm_the_skin_and_not_the_die() -> None:
    phone = Phone(Ether(Clock()), "phone", shipped().phone("pixel_5"), 1.0)
    assert phone.thermal is not None
    before_c = phone.thermal.die_c - phone.thermal.skin_c
    for component in range(BOARD):
        watts = [0.0] * BOARD
        watts[component] = 3.0
        phone.battery.elapse(watts, 3.0, 60.0)
        # The die follows the skin, a little behind; 3 W in it would be some 13 K ahead.
        assert phone.thermal.die_c - phone.thermal.skin_c < before_c + 0.1
