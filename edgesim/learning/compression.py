"""Updates made smaller before they are sent, and how many bytes they take.

A compressed update is what the server gets: the loss of information is real, not only its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
import torch

__all__ = ["Compression", "Exact", "Quantised", "TopK"]


class Compression(Protocol):
    """Makes an update smaller."""

    def bytes_for(self, values: int) -> int:
        """Bytes that an update of so many values takes."""

    def compress(self, delta: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """What arrives of an update; that given stays as it is."""


@dataclass(frozen=True)
class Exact:
    """Four bytes per value."""

    def bytes_for(self, values: int) -> int:
        """See :class:`Compression`."""
        return 4 * values

    def compress(self, delta: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """See :class:`Compression`."""
        return delta


@dataclass(frozen=True)
class Quantised:
    """Every value as one of ``2^bits - 1`` multiples of one scale, rounded up or down at random.

    Unbiased. Source: Alistarh et al., "QSGD", NIPS 2017, section 3, with the largest value in place of
    the norm and without their coding of integers.

    Attributes:
        bits: per value, from 2 to 16.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"bits must be from 2 to 16; found {self.bits}")

    def bytes_for(self, values: int) -> int:
        """See :class:`Compression`; four bytes are the scale's."""
        return ceil(values * self.bits / 8) + 4

    def compress(self, delta: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """See :class:`Compression`."""
        levels = 2 ** (self.bits - 1) - 1
        largest = float(delta.abs().max()) if delta.numel() else 0.0
        if not largest > 0:
            return delta
        scaled = delta.double() * (levels / largest)
        draws = torch.from_numpy(rng.random(delta.numel()))
        rounded = torch.floor(scaled + draws).clamp(-levels, levels)
        found: torch.Tensor = (rounded * (largest / levels)).float()
        return found


@dataclass(frozen=True)
class TopK:
    """Only the values of largest magnitude, the others 0.

    Source: Aji and Heafield, "Sparse communication for distributed gradient descent", EMNLP 2017;
    without their memory of what was left out.

    Attributes:
        share: of the values that are sent, in (0, 1].
    """

    share: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be in (0, 1]; found {self.share}")

    def bytes_for(self, values: int) -> int:
        """See :class:`Compression`; four bytes for each value and four for where it belongs."""
        return 8 * self._kept(values)

    def compress(self, delta: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """See :class:`Compression`; of equal values the first."""
        order = torch.argsort(delta.abs(), descending=True, stable=True)[: self._kept(len(delta))]
        found = torch.zeros_like(delta)
        found[order] = delta[order]
        return found

    def _kept(self, values: int) -> int:
        return max(1, ceil(self.share * values)) if values else 0
