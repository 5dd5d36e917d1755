"""What clients are asked to do with their samples, and what comes of it.

Batches are drawn from a stream of each task's own, so that no client's batches depend on who else is
in the cohort, or on how the cohort is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgesim.core.errors import EdgesimError
from edgesim.learning.data import Samples
from edgesim.learning.program import LocalProgram, effective_steps

__all__ = [
    "Layout",
    "LocalProgram",
    "Task",
    "Tensors",
    "TrainingError",
    "Update",
    "as_tensors",
    "effective_steps",
    "made_update",
    "schedule",
]


class TrainingError(EdgesimError):
    """Training went wrong at a client.

    Attributes:
        client: at which.
    """

    def __init__(self, client: int, message: str) -> None:
        super().__init__(f"client {client}: {message}")
        self.client = client


@dataclass(frozen=True, slots=True)
class Task:
    """What one client is to do.

    Attributes:
        client: its number.
        rows: its samples.
        program: what it does with them.
        start: the weights that it begins with, flat: see :class:`Layout`.
        rng: draws its batches; nobody else's.
        correction: added to each of its gradients, flat (SCAFFOLD's control variates); ``None``: nothing.
        jitter_rng: draws how its pictures are changed; nobody else's. Needed by programs that do.
        initial_loss: of ``start`` on all of its samples, if that is known; ``None``: it is worked out where
            the program needs it.
    """

    client: int
    rows: NDArray[np.int64]
    program: LocalProgram
    start: torch.Tensor
    rng: np.random.Generator
    correction: torch.Tensor | None = None
    jitter_rng: np.random.Generator | None = None
    initial_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """What came of a task.

    Attributes:
        client: whose.
        samples: how many it has.
        steps: how many it did.
        delta: final weights less those it began with, flat.
        loss_first: mean loss of its first batch, before any step,
        loss: and mean over all of its batches, each before its step.
        effective_steps: FedNova's length of the accumulation vector, ||a||_1 (Wang et al., NeurIPS 2020,
            section 3): the number of steps, weighed by what momentum and proximal term make of each.
        initial_loss: of the weights it began with, on all of its samples; NaN if nobody asked for it.
        is_switched: whether it jittered its pictures or averaged its weights,
        is_averaged: and whether ``delta`` is that of the mean.
    """

    client: int
    samples: int
    steps: int
    delta: torch.Tensor
    loss_first: float
    loss: float
    effective_steps: float
    initial_loss: float = nan
    is_switched: bool = False
    is_averaged: bool = False


@dataclass(frozen=True)
class Tensors:
    """Inputs and labels as tensors; see :func:`as_tensors`."""

    inputs: torch.Tensor
    labels: torch.Tensor


def as_tensors(samples: Samples) -> Tensors:
    """Samples for torch, sharing their memory."""
    return Tensors(torch.from_numpy(samples.inputs), torch.from_numpy(samples.labels))


class Layout:
    """Where each parameter of a model lies in its flat weights.

    Floating-point buffers (running means of normalisations) follow the parameters: they are averaged
    among clients but not trained.

    Args:
        module: the model.

    Attributes:
        module: the model.
        parameters: number of values that are trained.
        size: number of all values.
        is_random: whether training it draws random numbers (dropout).
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._tensors = [p for _, p in module.named_parameters()]
        self._buffers = [b for _, b in module.named_buffers() if b.is_floating_point()]
        for tensor in self._tensors:
            if tensor.dtype != torch.float32 or not tensor.requires_grad:
                raise EdgesimError("a model's parameters must be float32 and trainable")
        self.parameters = sum(p.numel() for p in self._tensors)
        self.size = self.parameters + sum(b.numel() for b in self._buffers)
        self.is_random = any(
            isinstance(each, nn.modules.dropout._DropoutNd) for each in module.modules()
        )

    def read(self) -> torch.Tensor:
        """The module's weights, flat."""
        with torch.no_grad():
            return torch.cat([t.reshape(-1) for t in (*self._tensors, *self._buffers)])

    def write(self, weights: torch.Tensor) -> None:
        """Put flat weights into the module."""
        with torch.no_grad():
            begin = 0
            for tensor in (*self._tensors, *self._buffers):
                end = begin + tensor.numel()
                tensor.copy_(weights[begin:end].view_as(tensor))
                begin = end

    def split(self, weights: torch.Tensor) -> list[torch.Tensor]:
        """Views of flat weights, shape ``(..., size)``, as parameters."""
        sizes = [t.numel() for t in self._tensors]
        parts = torch.split(weights[..., : self.parameters], sizes, dim=-1)
        lead = weights.shape[:-1]
        return [
            part.view(*lead, *each.shape) for part, each in zip(parts, self._tensors, strict=True)
        ]


def schedule(task: Task) -> list[NDArray[np.int64]]:
    """The rows of each of a task's batches."""
    program, rows = task.program, task.rows
    wanted = program.steps_for(len(rows))
    found: list[NDArray[np.int64]] = []
    while len(found) < wanted:
        order = task.rng.permutation(rows)
        found += [
            order[k : k + program.batch_size] for k in range(0, len(order), program.batch_size)
        ]
    return found[:wanted]


def made_update(task: Task, delta: torch.Tensor, losses: torch.Tensor) -> Update:
    """The update of a task.

    Args:
        task: the task.
        delta: final weights less those it began with.
        losses: of its batches, each before its step.
    """
    steps = len(losses)
    return Update(
        task.client,
        len(task.rows),
        steps,
        delta,
        float(losses[0]),
        float(losses.mean()),
        effective_steps(task.program, steps),
    )
