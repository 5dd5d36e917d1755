"""Random white balance and gamma of pictures: HeteroSwitch's transformations of what a client learns from."""

from __future__ import annotations

import numpy as np
import torch

from edgesim.core.errors import EdgesimError
from edgesim.learning.program import Jitter

__all__ = ["check_pictures", "jittered"]


def check_pictures(inputs: torch.Tensor) -> None:
    """See whether these can be jittered.

    Raises:
        EdgesimError: if they are not colour pictures in [0, 1].
    """
    if inputs.ndim != 4 or inputs.shape[1] != 3 or not inputs.is_floating_point():
        raise EdgesimError(
            "random white balance and gamma are for colour pictures of shape (n, 3, height, width); "
            f"these inputs are of shape {tuple(inputs.shape)}"
        )
    if len(inputs) and not (float(inputs.min()) >= 0.0 and float(inputs.max()) <= 1.0):
        raise EdgesimError(
            f"random white balance and gamma are for pictures in [0, 1]; these go from "
            f"{float(inputs.min()):g} to {float(inputs.max()):g}: leave normalisation to the model"
        )


def jittered(pictures: torch.Tensor, jitter: Jitter, rng: np.random.Generator) -> torch.Tensor:
    """Pictures after random white balance and gamma; those given stay as they are.

    Args:
        pictures: in [0, 1], shape ``(n, 3, height, width)``.
        jitter: how far; every picture has numbers of its own if it says so, else all have the same.
        rng: draws them: four for each, whatever the degrees.

    Returns:
        Same shape, in [0, 1].
    """
    count = len(pictures) if jitter.per == "picture" else 1
    draws = rng.uniform(-1.0, 1.0, (count, 4))
    gains = torch.from_numpy((1.0 + jitter.white_balance * draws[:, :3]).astype(np.float32))
    found = (pictures * gains.view(count, 3, 1, 1)).clamp_(0.0, 1.0)
    if not jitter.gamma:
        return found
    exponents = torch.from_numpy((1.0 + jitter.gamma * draws[:, 3]).astype(np.float32))
    # As ``found ** exponents``, three times as fast; the logarithm of 0 is minus infinity, and its
    # exponential 0 again.
    return found.log_().mul_(exponents.view(count, 1, 1, 1)).exp_()
