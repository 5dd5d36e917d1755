"""What a controller that learns can choose from: one number per target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.controllers.slots import OffloadingObservation, Option, Target

__all__ = ["Actions", "Columns"]

Columns = NDArray[np.intp]


class Actions:
    """The actions of one kind of phone, each with a number: the column of a table.

    Args:
        options: everything that it can ever choose, a target once.

    Attributes:
        targets: by number.
    """

    __slots__ = ("_by_option", "_columns", "_numbers", "_options", "targets")

    def __init__(self, options: Sequence[Option]) -> None:
        self._options = list(options)
        self.targets = [option.target for option in options]
        self._numbers = {target: number for number, target in enumerate(self.targets)}
        # The options are kept, so that their identity is not used again.
        self._columns: dict[int, tuple[Columns, tuple[Option, ...]]] = {}
        self._by_option: dict[int, dict[Target, Option]] = {}

    def columns(self, options: tuple[Option, ...]) -> Columns:
        """The columns of these options."""
        known = self._columns.get(id(options))
        if known is None:
            columns = np.array([self._numbers[option.target] for option in options], np.intp)
            self._columns[id(options)] = known = (columns, options)
            self._by_option[id(options)] = {option.target: option for option in options}
        return known[0]

    def number(self, target: Target) -> int:
        """The number of a target."""
        return self._numbers[target]

    def option(self, observation: OffloadingObservation, target: Target) -> Option:
        """What the profiles promised of a target that was chosen."""
        self.columns(observation.options)
        return self._by_option[id(observation.options)][target]

    def described(self) -> list[list[Any]]:
        """Target, place, kind of processor, precision and relative clock of each."""
        top: dict[tuple[str, str], float] = {}
        for option in self._options:
            key = option.target[:2]
            top[key] = max(top.get(key, 0.0), option.frequency_hz)
        return [
            [
                str(option.target),
                option.target.place,
                option.kind,
                option.target.precision,
                option.frequency_hz / top[option.target[:2]],
            ]
            for option in self._options
        ]

    def nearest(self, others: Sequence[Sequence[Any]]) -> Any:
        """A function from a column here to the nearest one among ``others``, or ``None``."""
        found: list[int | None] = []
        for _, *what, clock in self.described():
            alike = [k for k, other in enumerate(others) if list(other[1:4]) == what]
            found.append(min(alike, key=lambda k: abs(others[k][4] - clock), default=None))
        return found.__getitem__
