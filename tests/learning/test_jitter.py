"""Random white balance and gamma."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.errors import EdgesimError
from edgesim.learning.jitter import check_pictures, jittered
from edgesim.learning.program import DRAWS, Jitter


def pictures(count: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, 3, 4, 6), np.float32))


@given(
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.sampled_from(DRAWS),
    st.integers(0, 2**32),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_pictures_stay_pictures(
    white_balance: float, gamma: float, per: str, seed: int, has_extremes: bool
) -> None:
    given_ = pictures(seed=seed)
    if has_extremes:
        given_[0], given_[1] = 0.0, 1.0
    before = given_.clone()
    found = jittered(given_, Jitter(white_balance, gamma, per), np.random.default_rng(seed))
    assert found.shape == given_.shape
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    assert found.min() >= 0
    assert found.max() <= 1
    assert bool((given_ == before).all())


def test_degrees_of_zero_change_nothing() -> None:
    given_ = pictures()
    assert bool((jittered(given_, Jitter(), np.random.default_rng(1)) == given_).all())


def test_black_stays_black_and_without_white_balance_white_stays_white() -> None:
    given_ = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    found = jittered(given_, Jitter(0.0, 0.99), np.random.default_rng(2))
    assert bool((found == given_).all())


@pytest.mark.parametrize("per", DRAWS)
def test_what_the_equations_say(per: str) -> None:
    given_, jitter = pictures(), Jitter(0.3, 0.9, per)
    count = len(given_) if per == "picture" else 1
    draws = np.random.default_rng(3).uniform(-1, 1, (count, 4))
    gains, exponents = 1 + 0.3 * draws[:, :3], 1 + 0.9 * draws[:, 3]
    balanced = np.clip(given_.numpy().astype(float) * gains[:, :, None, None], 0, 1)
    wanted = balanced ** exponents[:, None, None, None]
    found = jittered(given_, jitter, np.random.default_rng(3))
    np.testing.assert_allclose(found.numpy(), wanted, atol=2e-6)


def test_one_draw_for_all_or_one_for_each() -> None:
    same = pictures(1).expand(4, 3, 4, 6)
    each = jittered(same, Jitter(0.0, 0.9, "picture"), np.random.default_rng(0))
    once = jittered(same, Jitter(0.0, 0.9, "client"), np.random.default_rng(0))
    assert len({float(picture.sum()) for picture in each}) == 4
    assert len({float(picture.sum()) for picture in once}) == 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 1, 8, 8), "colour pictures"),
        (torch.zeros(2, 64), "colour pictures"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "colour pictures"),
        (torch.full((2, 3, 8, 8), 1.5), r"\[0, 1\].*leave normalisation to the model"),
        (torch.full((2, 3, 8, 8), -0.5), r"\[0, 1\]"),
        (torch.full((2, 3, 8, 8), torch.nan), r"\[0, 1\]"),
    ],
)
def test_what_is_no_picture_is_refused(inputs: torch.Tensor, message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        check_pictures(inputs)
