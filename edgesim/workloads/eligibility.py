"""Who may take part in federated training, and until when: pure functions of client and time.

Whether a client is there does not depend on who asks, how often, or in which order: everything follows
from signals, which may be asked about any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from edgesim.core.signals import Signal, SignalBank

__all__ = ["Eligibility", "Requirement"]

_LOOK_AHEAD = 100_000
"""So many pieces of a signal are looked through; one that holds for so long holds for ever."""


@dataclass(frozen=True)
class Requirement:
    """Something that must hold of a client.

    Attributes:
        reason: what a client is lost for when it does not hold any more.
        banks: a signal of every client, group by group,
        holds: and whether it will do at a value; of an array or of one number.
    """

    reason: str
    banks: Sequence[SignalBank]
    holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]]


class Eligibility:
    """All that must hold of the clients of a job.

    Args:
        clients: how many there are.
        starts: the first client of each group.
        requirements: that must hold of each.
        excluded: who may never take part, shape ``(clients,)``; ``None``: all may.
    """

    def __init__(
        self,
        clients: int,
        starts: Sequence[int],
        requirements: Sequence[Requirement],
        excluded: NDArray[np.bool_] | None = None,
    ) -> None:
        self._always = np.ones(clients, np.bool_) if excluded is None else ~excluded
        self._starts = np.array(starts, np.int64)
        self._requirements = requirements
        self._signals: dict[tuple[int, int], Signal] = {}

    def at(self, time_s: float) -> NDArray[np.bool_]:
        """Who may take part at this moment, shape ``(clients,)``."""
        found = self._always.copy()
        for requirement in self._requirements:
            values = [bank.values(time_s) for bank in requirement.banks]
            found &= requirement.holds(np.concatenate(values))
        return found

    def until(self, client: int, time_s: float) -> tuple[float, str]:
        """Until when a client may take part that may now, and what it will be lost for."""
        end_s, reason = inf, ""
        for number, requirement in enumerate(self._requirements):
            signal = self._signal(number, client)
            lost_s = _first_break(signal, requirement, time_s, end_s)
            if lost_s < end_s:
                end_s, reason = lost_s, requirement.reason
        return end_s, reason

    def _signal(self, number: int, client: int) -> Signal:
        key = (number, client)
        found = self._signals.get(key)
        if found is None:
            group = int(np.searchsorted(self._starts, client, side="right")) - 1
            bank = self._requirements[number].banks[group]
            found = self._signals[key] = bank.signal(client - int(self._starts[group]))
        return found


def _first_break(signal: Signal, requirement: Requirement, time_s: float, before_s: float) -> float:
    """When a requirement stops holding; infinity if not before ``before_s``."""
    for _ in range(_LOOK_AHEAD):
        _, end_s, value = signal.segment(time_s)
        if not requirement.holds(np.array([value]))[0]:
            return time_s
        if end_s >= before_s:
            break
        time_s = end_s
    return inf
