"""Tables of action values, shared by all tabular controllers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.controllers.actions import Columns

__all__ = ["DTYPES", "Binning", "QTable"]

DTYPES = ("float16", "float32", "float64")
"""How values can be kept. AutoScale's table of 0.4 MB has two bytes each."""


class Binning:
    """Numbers states by the bins that their features fall into.

    Args:
        edges: of each feature, the values at which the next bin begins, increasing; a value that
            equals an edge is in the upper bin.

    Attributes:
        sizes: bins of each feature.
        states: how many states there are.
    """

    __slots__ = ("_features", "sizes", "states")

    def __init__(self, edges: Sequence[Sequence[float]]) -> None:
        self.sizes = tuple(len(each) + 1 for each in edges)
        self.states = int(np.prod(self.sizes))
        strides = np.cumprod([1, *self.sizes[:0:-1]])[::-1]
        self._features = [(tuple(each), int(n)) for each, n in zip(edges, strides, strict=True)]

    def state(self, values: Sequence[float]) -> int:
        """The number of the state with these feature values; NaN falls into the lowest bin."""
        number = 0
        for value, (edges, stride) in zip(values, self._features, strict=True):
            for edge in edges:
                if value >= edge:
                    number += stride
                else:
                    break
        return number

    def states_of(self, columns: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
        """Likewise of many at once: one array of values per feature."""
        numbers = np.zeros(len(columns[0]), np.int64)
        for values, (edges, stride) in zip(columns, self._features, strict=True):
            found = np.searchsorted(edges, values, side="right")
            numbers += stride * np.where(np.isnan(values), 0, found)
        return numbers


class QTable:
    """The learned value of every action in every state (Watkins and Dayan, 1992).

    Args:
        states, actions: its shape.
        rng: draws the initial values,
        initial: uniformly between these two. Above what any action is really worth, they make a
            greedy learner try every action once; below, they make it stay with the first.
        dtype: one of :data:`DTYPES`.

    Attributes:
        values: shape ``(states, actions)``.
    """

    __slots__ = ("_limit", "values")

    def __init__(
        self,
        states: int,
        actions: int,
        rng: np.random.Generator,
        initial: tuple[float, float] = (-1.0, 0.0),
        dtype: str = "float32",
    ) -> None:
        drawn = rng.uniform(*initial, size=(states, actions))
        self.values: NDArray[Any] = drawn.astype(dtype)
        self._limit = float(np.finfo(dtype).max)

    @property
    def nbytes(self) -> int:
        """Memory of the values."""
        return int(self.values.nbytes)

    def best(self, state: int, columns: Columns) -> int:
        """Of these actions the one of highest value; the first of equals."""
        return int(columns[self.values[state].take(columns).argmax()])

    def highest(self, state: int, columns: Columns) -> float:
        """The highest value of these actions."""
        return float(self.values[state].take(columns).max())

    def update(self, state: int, action: int, worth: float, rate: float) -> None:
        """Move a value towards ``worth`` by the share ``rate``."""
        row = self.values[state]
        before = float(row[action])
        after = before + rate * (worth - before)
        # A compact number holds no more than so much.
        row[action] = min(max(after, -self._limit), self._limit)

    def state_dict(self) -> dict[str, Any]:
        """Its values."""
        return {"values": self.values.copy()}

    def adopt(self, source: NDArray[Any], nearest: Callable[[int], int | None]) -> int:
        """Take over columns of another table with the same states.

        Args:
            source: its values.
            nearest: the source's column for a column here, or ``None`` for one that has none there.

        Returns:
            How many columns were taken over.

        Raises:
            ValueError: if it has another number of states.
        """
        if len(source) != len(self.values):
            raise ValueError(f"{len(source)} states, not {len(self.values)}")
        taken = 0
        for column in range(self.values.shape[1]):
            other = nearest(column)
            if other is not None:
                self.values[:, column] = source[:, other]
                taken += 1
        return taken
