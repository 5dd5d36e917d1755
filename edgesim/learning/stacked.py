"""Many clients at once: models that are chains of dense layers, their weights stacked.

A step of all clients is a handful of batched matrix products, and for plain SGD (with weight decay,
proximal term and correction) the product that gives the gradient is added to the weights as it is
made: no gradient is ever written to memory. Where clients have unequal samples or steps, the missing
rows weigh nothing, and those who are done are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgesim.learning.tasks import (
    Layout,
    LocalProgram,
    Task,
    Tensors,
    Update,
    made_update,
    schedule,
)

__all__ = ["can_stack", "portions", "train_together"]

_VALUES_AT_ONCE = 600_000
_LEAST_AT_ONCE = 8
"""Clients are stacked up to so many weights, or so many clients: what stays in a core's cache. By
``benchmarks/federated_training.py``; a rule on shapes, so that results do not depend on timing."""


def can_stack(module: nn.Module) -> bool:
    """Whether a model is a chain that begins with flattening: dense layers, ReLU between them."""
    return _chain(module) is not None


def _chain(module: nn.Module) -> list[bool] | None:
    """Of each dense layer whether ReLU follows it; ``None`` for any other model."""
    if not isinstance(module, nn.Sequential) or not len(module):
        return None
    parts = list(module)
    if type(parts[0]) is not nn.Flatten or (parts[0].start_dim, parts[0].end_dim) != (1, -1):
        return None
    found: list[bool] = []
    for part in parts[1:]:
        if type(part) is nn.Linear and part.bias is not None:
            found.append(False)
        elif type(part) is nn.ReLU and found and not found[-1]:
            found[-1] = True
        else:
            return None
    return found if found and not found[-1] else None


def portions(layout: Layout, tasks: Sequence[Task]) -> list[list[int]]:
    """Which tasks are trained together, by their places; decided by their shapes alone.

    Args:
        layout: of a model that :func:`can_stack`.
        tasks: in any order.
    """
    at_once = max(_LEAST_AT_ONCE, _VALUES_AT_ONCE // layout.parameters)
    found: list[list[int]] = []
    for group in _alike(tasks):
        # Those with as many steps together, so that few are left out at the end.
        group.sort(key=lambda k: -tasks[k].program.steps_for(len(tasks[k].rows)))
        found += [group[k : k + at_once] for k in range(0, len(group), at_once)]
    return found


def _alike(tasks: Sequence[Task]) -> Iterable[list[int]]:
    """Tasks that can be stacked: their programs differ in nothing but how long they take."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for k, task in enumerate(tasks):
        p = task.program
        key = (
            *(p.learning_rate, p.batch_size, p.momentum, p.weight_decay, p.proximal, p.clip_norm),
            task.correction is None,
        )
        groups.setdefault(key, []).append(k)
    return groups.values()


@dataclass(slots=True)
class _Batches:
    """The batches of several clients, those with most steps first.

    Attributes:
        rows: shape ``(clients, steps, batch)``; padded with each client's first row.
        weights: likewise; 1 over the size of a batch where there is a row, else 0.
        steps: of each client, decreasing.
    """

    rows: torch.Tensor
    weights: torch.Tensor
    steps: list[int]


def _padded(schedules: Sequence[list[NDArray[np.int64]]]) -> _Batches:
    steps = [len(each) for each in schedules]
    widest = max(len(batch) for each in schedules for batch in each)
    rows = np.zeros((len(schedules), max(steps), widest), np.int64)
    weights = np.zeros(rows.shape, np.float32)
    for c, each in enumerate(schedules):
        rows[c] = each[0][0]
        for t, batch in enumerate(each):
            rows[c, t, : len(batch)] = batch
            weights[c, t, : len(batch)] = 1 / len(batch)
    return _Batches(torch.from_numpy(rows), torch.from_numpy(weights), steps)


@torch.no_grad()
def train_together(layout: Layout, data: Tensors, tasks: Sequence[Task]) -> list[Update]:
    """Train at several clients at once.

    Args:
        layout: of a model that :func:`can_stack`.
        data: what rows point into.
        tasks: one of :func:`portions`.

    Returns:
        Their updates, in the same order.

    Raises:
        ValueError: for another model.
    """
    chain = _chain(layout.module)
    if chain is None:
        raise ValueError("only chains of dense layers can be stacked")
    program = tasks[0].program
    batches = _padded([schedule(task) for task in tasks])
    start = torch.stack([task.start for task in tasks])
    flat = start.clone()
    corrections = [task.correction for task in tasks if task.correction is not None]
    extra = torch.stack(corrections) if corrections else None
    inputs = data.inputs.flatten(1)
    stack = _Stack(layout, chain, flat)
    is_plain = not program.momentum and program.clip_norm is None
    grads = None if is_plain else _Stack(layout, chain, torch.zeros_like(flat))
    speed = torch.zeros_like(flat) if program.momentum else None
    losses = torch.zeros(batches.rows.shape[:2])
    for step in range(batches.rows.shape[1]):
        active = sum(each > step for each in batches.steps)
        rows, shares = batches.rows[:active, step], batches.weights[:active, step]
        taken = inputs.index_select(0, rows.flatten()).view(*rows.shape, -1)
        passed = stack.forward(taken)
        labels = data.labels[rows].unsqueeze(2)
        logs = torch.log_softmax(passed[-1], 2)
        losses[:active, step] = -(logs.gather(2, labels).squeeze(2) * shares).sum(1)
        # The derivative of the cross entropy by what went into the softmax.
        error = logs.exp_()
        error.scatter_add_(2, labels, torch.full(labels.shape, -1.0))
        error *= shares.unsqueeze(2)
        if grads is None:
            _descend(program, stack, passed, error, (start, flat, extra), active)
        else:
            stack.backward(passed, error, grads, 0.0, 1.0)
            _apply(program, grads.flat, (start, flat, extra), speed, active)
    flat -= start
    return [
        made_update(task, flat[c], losses[c, :steps])
        for c, (task, steps) in enumerate(zip(tasks, batches.steps, strict=True))
    ]


_Weights = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Where clients began, where they are, and what is added to their gradients; all stacked."""


def _descend(
    program: LocalProgram,
    stack: _Stack,
    passed: list[torch.Tensor],
    error: torch.Tensor,
    weights: _Weights,
    active: int,
) -> None:
    """A step of plain SGD, the gradient added to the weights as it is made."""
    rate, (start, flat, extra) = program.learning_rate, weights
    keep = 1 - rate * (program.weight_decay + program.proximal)
    stack.backward(passed, error, stack, keep, -rate)
    if program.proximal:
        flat[:active].add_(start[:active], alpha=rate * program.proximal)
    if extra is not None:
        flat[:active].sub_(extra[:active], alpha=rate)


def _apply(
    program: LocalProgram,
    grads: torch.Tensor,
    weights: _Weights,
    speed: torch.Tensor | None,
    active: int,
) -> None:
    """A step of SGD with whatever its program has."""
    start, flat, extra = (None if each is None else each[:active] for each in weights)
    assert start is not None
    assert flat is not None
    grad = grads[:active]
    if extra is not None:
        grad += extra
    if program.weight_decay:
        grad.add_(flat, alpha=program.weight_decay)
    if program.proximal:
        grad.add_(flat, alpha=program.proximal).sub_(start, alpha=program.proximal)
    if program.clip_norm is not None:
        grad *= (program.clip_norm / grad.norm(dim=1, keepdim=True)).clamp(max=1.0)
    if speed is not None:
        grad = speed[:active].mul_(program.momentum).add_(grad)
    flat.sub_(grad, alpha=program.learning_rate)


class _Stack:
    """The layers of several clients as views of their flat weights.

    Args:
        layout: of the model.
        chain: of each layer whether ReLU follows it.
        flat: shape ``(clients, values)``.
    """

    def __init__(self, layout: Layout, chain: Sequence[bool], flat: torch.Tensor) -> None:
        parts = layout.split(flat)
        self.flat = flat
        self._weights = parts[0::2]  # (clients, out, in)
        self._biases = [bias.unsqueeze(1) for bias in parts[1::2]]
        self._chain = chain

    def forward(self, inputs: torch.Tensor) -> list[torch.Tensor]:
        """What goes into each layer of the first so many clients, and what comes out of the last.

        Args:
            inputs: shape ``(clients, batch, features)``.
        """
        passed, active = [inputs], len(inputs)
        layers = zip(self._weights, self._biases, self._chain, strict=True)
        for weight, bias, has_relu in layers:
            weighted = torch.baddbmm(bias[:active], passed[-1], weight[:active].transpose(1, 2))
            passed.append(weighted.relu_() if has_relu else weighted)
        return passed

    def backward(
        self,
        passed: list[torch.Tensor],
        error: torch.Tensor,
        into: _Stack,
        keep: float,
        factor: float,
    ) -> None:
        """Put ``keep`` times what is there plus ``factor`` times the gradient into another stack.

        Args:
            passed: what :meth:`forward` gave.
            error: derivative of the loss by what came out of the last layer.
            into: the other stack, or this one.
            keep: see above,
            factor: likewise.
        """
        active = len(error)
        for k in reversed(range(len(self._weights))):
            weight = self._weights[k][:active]
            # What comes before a layer must be known before its weights move.
            before = torch.bmm(error, weight) if k else None
            if before is not None and self._chain[k - 1]:
                before *= passed[k] > 0
            into._weights[k][:active].baddbmm_(
                error.transpose(1, 2), passed[k], beta=keep, alpha=factor
            )
            bias = into._biases[k][:active]
            if keep != 1.0:
                bias *= keep
            bias.add_(error.sum(1, keepdim=True), alpha=factor)
            if before is not None:
                error = before
