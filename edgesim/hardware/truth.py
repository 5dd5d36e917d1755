"""What is really so, where profiles are only estimates; known to the world and its oracles alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["AS_PUBLISHED", "Truth"]


@dataclass(frozen=True, slots=True)
class Truth:
    """How one device really differs from its profile; no controller may know.

    Attributes:
        slower: multiples of the profile's seconds, by processor.
        hungrier: multiples of the profile's watts, by processor.
    """

    slower: Mapping[str, float] = field(default_factory=dict)
    hungrier: Mapping[str, float] = field(default_factory=dict)


AS_PUBLISHED = Truth()
"""As its profile says."""
