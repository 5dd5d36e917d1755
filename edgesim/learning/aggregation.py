"""How clients' updates become the next model.

Synchronous aggregations take the updates of a round; asynchronous ones (:class:`FedBuff`,
:class:`FedAsync`) one at a time, with its staleness: how many versions of the model there have been
since the client began. All have state as plain data, and give the same bits for the same updates in
the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Protocol

import torch

from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.learning.tasks import Update

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "AsyncAggregation",
    "FedAdam",
    "FedAsync",
    "FedAvg",
    "FedBuff",
    "FedNova",
    "FedYogi",
    "QFedAvg",
    "make_aggregation",
]


class Aggregation(Protocol):
    """Makes of a round's updates the next model.

    Attributes:
        needs_losses: whether it wants each participant's loss, over all of its samples, at the weights
            that the round began with: an extra pass that has to be paid for.
    """

    needs_losses: bool

    def aggregate(
        self, weights: torch.Tensor, updates: Sequence[Update], losses: Sequence[float] = ()
    ) -> torch.Tensor:
        """The next weights; those given stay as they are. Without updates nothing changes."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers from round to round."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


class AsyncAggregation(Protocol):
    """Makes of updates, as they come, now and then a next model."""

    def receive(
        self, weights: torch.Tensor, update: Update, start: torch.Tensor, staleness: int
    ) -> torch.Tensor | None:
        """The next weights, or ``None`` if it waits for more.

        Args:
            weights: the present ones.
            update: of a client,
            start: that began with these weights,
            staleness: so many versions ago.
        """

    def state_dict(self) -> dict[str, Any]:
        """What it holds back."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


def _shares(updates: Sequence[Update]) -> list[float]:
    """The share of each client in the samples of all."""
    total = sum(update.samples for update in updates)
    return [update.samples / total for update in updates]


def mean_delta(updates: Sequence[Update]) -> torch.Tensor:
    """The mean of the updates, by samples."""
    total = torch.zeros_like(updates[0].delta)
    for update, share in zip(updates, _shares(updates), strict=True):
        total.add_(update.delta, alpha=share)
    return total


@dataclass
class FedAvg:
    """The mean of the updates, by samples, times the server's learning rate.

    Source: McMahan et al., AISTATS 2017, algorithm 1.
    """

    server_rate: float = 1.0
    needs_losses = False

    def aggregate(
        self, weights: torch.Tensor, updates: Sequence[Update], losses: Sequence[float] = ()
    ) -> torch.Tensor:
        """See :class:`Aggregation`."""
        return weights + self.server_rate * mean_delta(updates) if updates else weights

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


@dataclass
class FedNova:
    """Updates divided by their clients' steps, so that who does more steps does not pull harder.

    Source: Wang et al., "Tackling the objective inconsistency problem in heterogeneous federated
    optimization", NeurIPS 2020, eq. 9, with the effective steps tau_eff = sum p_i ||a_i||_1.
    """

    needs_losses = False

    def aggregate(
        self, weights: torch.Tensor, updates: Sequence[Update], losses: Sequence[float] = ()
    ) -> torch.Tensor:
        """See :class:`Aggregation`."""
        if not updates:
            return weights
        shares = _shares(updates)
        steps = sum(s * u.effective_steps for s, u in zip(shares, updates, strict=True))
        direction = torch.zeros_like(weights)
        for update, share in zip(updates, shares, strict=True):
            direction.add_(update.delta, alpha=share / update.effective_steps)
        return weights + steps * direction

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


@dataclass
class QFedAvg:
    """Clients of higher loss pull harder.

    Source: Li et al., "Fair resource allocation in federated learning", ICLR 2020, algorithm 2:
    with ``D_k = L (w - w_k)``, the next weights are ``w - sum F_k^q D_k / sum(q F_k^(q-1) |D_k|^2 +
    L F_k^q)``.

    Attributes:
        q: 0 weighs all clients alike, however many samples they have.
        learning_rate: of the clients; L is its inverse.
    """

    q: float = 1.0
    learning_rate: float = 0.1
    needs_losses = True

    def aggregate(
        self, weights: torch.Tensor, updates: Sequence[Update], losses: Sequence[float] = ()
    ) -> torch.Tensor:
        """See :class:`Aggregation`.

        Raises:
            ValueError: without a loss for each update.
        """
        if len(losses) != len(updates):
            raise ValueError(f"{len(updates)} updates, but {len(losses)} losses")
        if not updates:
            return weights
        lipschitz = 1 / self.learning_rate
        total, size = torch.zeros_like(weights), 0.0
        for update, found in zip(updates, losses, strict=True):
            loss = found + 1e-10  # the authors' guard against 0 to a negative power
            squared = lipschitz**2 * float(update.delta.double().square().sum())
            total.add_(update.delta, alpha=loss**self.q * lipschitz)
            size += self.q * loss ** (self.q - 1) * squared + lipschitz * loss**self.q
        return weights + total / size

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


@dataclass
class FedAdam:
    """Adam at the server, the mean update in the gradient's place.

    Source: Reddi et al., "Adaptive federated optimization", ICLR 2021, algorithm 2; without correction
    of the bias, as there.

    Attributes:
        server_rate: eta of the server.
        beta_1: of the first moment,
        beta_2: of the second.
        tau: adaptivity; the second moment begins at its square.
    """

    server_rate: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3
    needs_losses = False
    _first: torch.Tensor | None = field(default=None, repr=False)
    _second: torch.Tensor | None = field(default=None, repr=False)

    def aggregate(
        self, weights: torch.Tensor, updates: Sequence[Update], losses: Sequence[float] = ()
    ) -> torch.Tensor:
        """See :class:`Aggregation`."""
        if not updates:
            return weights
        delta = mean_delta(updates)
        first = torch.zeros_like(weights) if self._first is None else self._first
        second = torch.full_like(weights, self.tau**2) if self._second is None else self._second
        self._first = self.beta_1 * first + (1 - self.beta_1) * delta
        self._second = self._moved(second, delta.square())
        return weights + self.server_rate * self._first / (self._second.sqrt() + self.tau)

    def _moved(self, second: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return self.beta_2 * second + (1 - self.beta_2) * square

    def state_dict(self) -> dict[str, Any]:
        """The moments."""
        return {"first": self._first, "second": self._second}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these moments."""
        self._first, self._second = state["first"], state["second"]


class FedYogi(FedAdam):
    """Yogi at the server: the second moment moves by a step of the square, whichever way.

    Source: as for :class:`FedAdam`.
    """

    def _moved(self, second: torch.Tensor, square: torch.Tensor) -> torch.Tensor:
        return second - (1 - self.beta_2) * square * torch.sign(second - square)


@dataclass
class FedBuff:
    """Updates are held back until there are so many; each counts less the staler it is.

    Source: Nguyen et al., "Federated learning with buffered asynchronous aggregation", AISTATS 2022,
    algorithm 1, with the staleness weights ``1 / sqrt(1 + staleness)`` of its section 5.

    Attributes:
        buffer: so many updates make a version.
        server_rate: times their mean.
    """

    buffer: int = 10
    server_rate: float = 1.0
    _held: list[torch.Tensor] = field(default_factory=list, repr=False)

    def receive(
        self, weights: torch.Tensor, update: Update, start: torch.Tensor, staleness: int
    ) -> torch.Tensor | None:
        """See :class:`AsyncAggregation`."""
        self._held.append(update.delta / sqrt(1 + staleness))
        if len(self._held) < self.buffer:
            return None
        total = torch.zeros_like(weights)
        for each in self._held:
            total += each
        self._held = []
        return weights + self.server_rate / self.buffer * total

    def state_dict(self) -> dict[str, Any]:
        """The updates held back."""
        return {"held": list(self._held)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these."""
        self._held = list(state["held"])


@dataclass
class FedAsync:
    """Every update moves the model towards the client's weights, less the staler it is.

    Source: Xie, Koyejo, Gupta, "Asynchronous federated optimization", arXiv 1903.03934, algorithm 1 with
    polynomial staleness ``alpha (1 + staleness)^-a``.

    Attributes:
        alpha: how far, if it is not stale, in (0, 1].
        power: a.
    """

    alpha: float = 0.6
    power: float = 0.5

    def receive(
        self, weights: torch.Tensor, update: Update, start: torch.Tensor, staleness: int
    ) -> torch.Tensor | None:
        """See :class:`AsyncAggregation`."""
        mixed: float = self.alpha * (1 + staleness) ** -self.power
        return (1 - mixed) * weights + mixed * (start + update.delta)

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


AGGREGATIONS: Mapping[str, Callable[..., Aggregation]] = {
    "fedavg": FedAvg,
    "fednova": FedNova,
    "qfedavg": QFedAvg,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
}
"""Synchronous aggregations by name."""


def make_aggregation(name: str, **parameters: Any) -> Aggregation:
    """The aggregation called ``name``.

    Raises:
        EdgesimError: if there is none, or it has no such parameter.
    """
    if name not in AGGREGATIONS:
        raise EdgesimError(f"there is no aggregation {name!r}; {did_you_mean(name, AGGREGATIONS)}")
    try:
        return AGGREGATIONS[name](**parameters)
    except TypeError as error:
        raise EdgesimError(f"aggregation {name!r}: {error}") from error
