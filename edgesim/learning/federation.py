"""Federated learning without a simulator: who trains is up to the caller, all else is here.

>>> from edgesim.learning.federation import Federation  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from edgesim.core.errors import EdgesimError
from edgesim.core.random import Streams
from edgesim.learning.aggregation import Aggregation, FedAvg
from edgesim.learning.compression import Compression, Exact
from edgesim.learning.data import Dataset, Samples
from edgesim.learning.partition import Partition, Rows
from edgesim.learning.tasks import Layout, LocalProgram, Task, Update, as_tensors
from edgesim.learning.training import one_thread, train

__all__ = ["Federation", "Round", "Scaffold", "Scores", "evaluate"]


@dataclass(frozen=True)
class Scores:
    """How good a model is.

    Attributes:
        accuracy: share of the samples whose label it gives the highest score.
        loss: mean cross entropy.
        samples: of how many.
    """

    accuracy: float
    loss: float
    samples: int


def evaluate(
    layout: Layout,
    weights: torch.Tensor,
    samples: Samples,
    groupings: Sequence[Rows] = (),
    *,
    batch: int = 500,
) -> tuple[Scores, list[dict[int, Scores]]]:
    """Judge a model.

    Args:
        layout: of the model, whose own weights stay as they are.
        weights: flat.
        samples: to judge it by.
        groupings: each of shape ``(n,)``: which group each sample is of (device type, class, client).
        batch: how many at once.

    Returns:
        The scores over all samples, and for each grouping those of its groups.
    """
    held, was_training = layout.read(), layout.module.training
    layout.write(weights)
    layout.module.eval()
    data = as_tensors(samples)
    hits, losses = [], []
    with torch.no_grad(), one_thread():
        for begin in range(0, len(samples), batch):
            scores = layout.module(data.inputs[begin : begin + batch])
            labels = data.labels[begin : begin + batch]
            hits.append((scores.argmax(1) == labels).numpy())
            losses.append(cross_entropy(scores, labels, reduction="none").double().numpy())
    layout.write(held)
    layout.module.train(was_training)
    hit, loss = np.concatenate(hits), np.concatenate(losses)

    def over(chosen: Any) -> Scores:
        return Scores(float(hit[chosen].mean()), float(loss[chosen].mean()), int(hit[chosen].size))

    parts = [{int(g): over(groups == g) for g in np.unique(groups)} for groups in groupings]
    return over(slice(None)), parts


class Scaffold:
    """SCAFFOLD's control variates: which way each client drifts, and all of them together.

    Source: Karimireddy et al., "SCAFFOLD", ICML 2020, algorithm 1 with option II: the client's next
    variate is ``c_i - c + (x - y_i) / (steps * learning_rate)``.

    Args:
        clients: how many there are in all.
        size: number of weights.
    """

    def __init__(self, clients: int, size: int) -> None:
        self._clients = clients
        self._common = torch.zeros(size)
        self._own: dict[int, torch.Tensor] = {}

    def correction(self, client: int) -> torch.Tensor:
        """What the client adds to each of its gradients: ``c - c_i``."""
        own = self._own.get(client)
        return self._common.clone() if own is None else self._common - own

    def absorb(self, updates: Sequence[Update], programs: Sequence[LocalProgram]) -> None:
        """Take note of a round's updates, and of what each client had been told to do."""
        moved = torch.zeros_like(self._common)
        for update, program in zip(updates, programs, strict=True):
            before = self._own.get(update.client, torch.zeros_like(self._common))
            drift = update.delta / (update.steps * program.learning_rate)
            after = before - self._common - drift
            moved += after - before
            self._own[update.client] = after
        self._common = self._common + moved / self._clients

    def state_dict(self) -> dict[str, Any]:
        """The variates."""
        return {"common": self._common, "own": dict(self._own)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these variates."""
        self._common, self._own = state["common"], dict(state["own"])


@dataclass(frozen=True)
class Round:
    """What came of a round.

    Attributes:
        number: from 1 on.
        updates: of the clients that took part, in their order.
        scores: on the data set's test samples, after the round.
        uplink_bytes: of each update.
    """

    number: int
    updates: tuple[Update, ...]
    scores: Scores
    uplink_bytes: int
    groups: Mapping[int, Scores] = field(default_factory=dict)


class Federation:
    """A model that clients learn together.

    Args:
        dataset: what they learn.
        partition: who has which of its samples.
        module: the model; its weights are those to begin with.
        program: what each client does, if a round does not say otherwise.
        aggregation: how updates become the next model.
        compression: how updates are sent.
        scaffold: whether clients correct their drift (SCAFFOLD).
        seed: of batches and compression.

    Attributes:
        weights: the present ones, flat.
        rounds: how many there have been.
    """

    def __init__(
        self,
        dataset: Dataset,
        partition: Partition,
        module: nn.Module,
        program: LocalProgram,
        *,
        aggregation: Aggregation | None = None,
        compression: Compression | None = None,
        scaffold: bool = False,
        seed: int = 0,
    ) -> None:
        self.dataset = dataset
        self.partition = partition
        self.program = program
        self.layout = Layout(module)
        self.weights = self.layout.read()
        self.rounds = 0
        self._data = as_tensors(dataset.train)
        self._aggregation: Aggregation = FedAvg() if aggregation is None else aggregation
        self._compression: Compression = Exact() if compression is None else compression
        self._scaffold = Scaffold(len(partition), self.layout.size) if scaffold else None
        self._streams = Streams(seed)

    def cohort(self, size: int) -> list[int]:
        """So many different clients at random; which ones depends on seed and round alone.

        Raises:
            EdgesimError: if there are not so many.
        """
        if not 1 <= size <= len(self.partition):
            raise EdgesimError(f"a cohort of {size} cannot be had of {len(self.partition)} clients")
        rng = self._streams.generator("cohort", self.rounds + 1)
        return sorted(rng.choice(len(self.partition), size, replace=False).tolist())

    def task(self, client: int, program: LocalProgram | None = None) -> Task:
        """What a client does in the next round.

        Raises:
            EdgesimError: if there is no such client.
        """
        if not 0 <= client < len(self.partition):
            raise EdgesimError(f"there is no client {client}; there are {len(self.partition)}")
        program = program or self.program
        if self._aggregation.needs_losses:
            program = replace(program, tells_initial_loss=True)
        return Task(
            client,
            self.partition.rows[client],
            program,
            self.weights,
            self._streams.generator("batches", client, self.rounds + 1),
            None if self._scaffold is None else self._scaffold.correction(client),
            None
            if program.jitter is None
            else self._streams.generator("jitter", client, self.rounds + 1),
        )

    def run_round(
        self, cohort: Sequence[int], programs: Mapping[int, LocalProgram] | None = None
    ) -> Round:
        """Train at these clients, aggregate, and judge the model.

        Args:
            cohort: different clients, in any order.
            programs: of clients that do not do as the others.

        Raises:
            TrainingError: naming the round and the client where training failed; the weights are those
                before the round.
            EdgesimError: if a client is not there, or there twice.
        """
        if len(set(cohort)) < len(cohort) or not cohort:
            raise EdgesimError("a cohort has at least one client, and each once")
        own = programs or {}
        tasks = [self.task(client, own.get(client)) for client in sorted(cohort)]
        try:
            updates = train(self.layout, self._data, tasks)
        except EdgesimError as error:
            error.args = (f"round {self.rounds + 1}, {error}",)
            raise
        updates = [self._sent(update) for update in updates]
        losses = []
        if self._aggregation.needs_losses:
            losses = [update.initial_loss for update in updates]
        self.weights = self._aggregation.aggregate(self.weights, updates, losses)
        if self._scaffold is not None:
            self._scaffold.absorb(updates, [task.program for task in tasks])
        self.rounds += 1
        scores, _ = self.evaluate()
        uplink = self._compression.bytes_for(self.layout.size) * (1 + (self._scaffold is not None))
        return Round(self.rounds, tuple(updates), scores, uplink)

    def evaluate(self, groups: Rows | None = None) -> tuple[Scores, dict[int, Scores]]:
        """Judge the present model on the test samples, and on each group of them."""
        groupings = [] if groups is None else [groups]
        scores, parts = evaluate(self.layout, self.weights, self.dataset.test, groupings)
        return scores, parts[0] if parts else {}

    def state_dict(self) -> dict[str, Any]:
        """All that changes from round to round."""
        return {
            "rounds": self.rounds,
            "weights": self.weights,
            "aggregation": self._aggregation.state_dict(),
            "scaffold": None if self._scaffold is None else self._scaffold.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there, to the same bits as if there had been no interruption."""
        self.rounds, self.weights = state["rounds"], state["weights"]
        self._aggregation.load_state_dict(state["aggregation"])
        if self._scaffold is not None:
            self._scaffold.load_state_dict(state["scaffold"])

    def _sent(self, update: Update) -> Update:
        rng = self._streams.generator("compression", update.client, self.rounds + 1)
        return replace(update, delta=self._compression.compress(update.delta, rng))
