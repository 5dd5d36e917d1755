"""Programs of clients as plain data."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from edgesim.learning.program import Jitter, LocalProgram

SWITCHED = LocalProgram(
    0.1, 10, jitter=Jitter(0.001, 0.9), averages=True, jitters_below=1.5, averages_below=1.5
)


@pytest.mark.parametrize(
    "given", [{"gamma": 1.0}, {"gamma": -0.1}, {"white_balance": 1.5}, {"per": "pixel"}]
)
def test_jitter_out_of_range_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        Jitter(**given)


def test_a_switch_needs_the_first_loss_and_steps_alone_do_not() -> None:
    plain = LocalProgram(0.1, 10)
    assert plain.is_plain
    assert not plain.needs_initial_loss
    assert SWITCHED.needs_initial_loss
    assert not SWITCHED.is_plain
    assert replace(plain, tells_initial_loss=True).needs_initial_loss
    assert replace(plain, tells_initial_loss=True).is_plain


@pytest.mark.parametrize(
    ("loss", "is_on"), [(1.49, True), (1.5, False), (2.0, False), (nan, False)]
)
def test_the_first_switch(loss: float, is_on: bool) -> None:
    found = SWITCHED.switched(loss)
    assert found.is_plain is not is_on
    assert found.averages is is_on
    assert (found.jitter is not None) is is_on
    assert found.needs_initial_loss  # the pass is still to be paid for
    assert found.switched(inf) == found


def test_without_a_switch_it_is_what_it_is() -> None:
    program = replace(SWITCHED, jitters_below=None)
    assert program.switched(nan) == program
    assert program.switched(9.0) == program
