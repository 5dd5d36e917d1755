"""Training on clients: one contract, several executors.

A :class:`Task` says what one client is to do, an :class:`Update` what came of it. How the tasks of a
cohort are carried out, one after another or as one batch, is a rule on their shapes (:func:`executor`)
and changes results by rounding only. Nothing here depends on time: clients that begin at different
moments from the same weights can be trained together.

Batches are drawn from a stream of each task's own, so that no client's batches depend on who else is
in the cohort or on the executor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.func import functional_call, vmap

from edgesim.core.errors import EdgesimError
from edgesim.learning.data import Samples

__all__ = [
    "Layout",
    "LocalProgram",
    "Task",
    "Tensors",
    "TrainingError",
    "Update",
    "as_tensors",
    "executor",
    "one_thread",
    "train",
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
class LocalProgram:
    """What a client does with its samples: stochastic gradient descent, and what is added to it.

    Attributes:
        learning_rate: above 0.
        batch_size: samples of a step; the last batch of an epoch has what is left.
        epochs: passes over the client's samples.
        momentum: of SGD, in [0, 1).
        weight_decay: times the weights is added to each gradient.
        proximal: FedProx's mu (Li et al., MLSys 2020, eq. 2): mu times the distance from where the client
            began is added to each gradient.
        clip_norm: gradients longer than this are cut to this length; ``None``: never.
        steps: it ends after so many, if the epochs have not ended before; ``None``: never.

    Raises:
        ValueError: for values that make no sense.
    """

    learning_rate: float
    batch_size: int
    epochs: int = 1
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal: float = 0.0
    clip_norm: float | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; found {self.learning_rate}")
        if min(self.batch_size, self.epochs) < 1 or (self.steps is not None and self.steps < 1):
            raise ValueError("batch_size, epochs and steps must be at least 1")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be in [0, 1); found {self.momentum}")
        if min(self.weight_decay, self.proximal) < 0:
            raise ValueError("weight_decay and proximal must be at least 0")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0; found {self.clip_norm}")

    def steps_for(self, samples: int) -> int:
        """How many steps a client with so many samples does."""
        every = self.epochs * ceil(samples / self.batch_size)
        return every if self.steps is None else min(every, self.steps)


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
    """

    client: int
    rows: NDArray[np.int64]
    program: LocalProgram
    start: torch.Tensor
    rng: np.random.Generator
    correction: torch.Tensor | None = None


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
    """

    client: int
    samples: int
    steps: int
    delta: torch.Tensor
    loss_first: float
    loss: float
    effective_steps: float


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
        module: the model; its own weights are used as scratch space by the loop.

    Attributes:
        module: the model.
        parameters: number of values that are trained.
        size: number of all values.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.names = [name for name, _ in module.named_parameters()]
        self._tensors = [p for _, p in module.named_parameters()]
        self._buffers = [b for _, b in module.named_buffers() if b.is_floating_point()]
        for tensor in self._tensors:
            if tensor.dtype != torch.float32 or not tensor.requires_grad:
                raise EdgesimError("a model's parameters must be float32 and trainable")
        self.shapes = [tuple(p.shape) for p in self._tensors]
        self.parameters = sum(p.numel() for p in self._tensors)
        self.size = self.parameters + sum(b.numel() for b in self._buffers)
        kinds = [type(m) for m in module.modules() if not list(m.children())]
        self.has_buffers = any(True for _ in module.buffers())
        self.is_random = any(issubclass(kind, nn.modules.dropout._DropoutNd) for kind in kinds)
        self.is_dense = all(kind in _DENSE for kind in kinds)
        self.is_recurrent = any(issubclass(kind, nn.RNNBase) for kind in kinds)

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
        parts = weights[..., : self.parameters].split([t.numel() for t in self._tensors], dim=-1)
        lead = weights.shape[:-1]
        return [part.view(*lead, *shape) for part, shape in zip(parts, self.shapes, strict=True)]


_DENSE = {nn.Linear, nn.ReLU, nn.Flatten, nn.Tanh, nn.Sigmoid, nn.GELU, nn.Identity, nn.Softplus}


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch use one thread: with more, sums may be taken in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    layout: Layout, data: Tensors, tasks: Sequence[Task], how: str | None = None
) -> list[Update]:
    """Carry out the tasks of a cohort.

    Args:
        layout: of the model; what the model holds afterwards is undefined.
        data: what rows point into.
        tasks: of the cohort, in any order; no two share a stream.
        how: ``loop`` or ``batched``; by default :func:`executor` says.

    Returns:
        Their updates, in the same order.

    Raises:
        TrainingError: naming the first client whose loss or weights are no longer finite.
        EdgesimError: if a client has no samples.
    """
    for task in tasks:
        if not len(task.rows):
            raise TrainingError(task.client, "has no samples to train with")
    chosen = how or executor(layout, tasks)
    with one_thread():
        if chosen == "loop":
            found = [_train_one(layout, data, task) for task in tasks]
        elif chosen == "batched":
            found = _train_batched(layout, data, tasks)
        else:
            raise ValueError(f"executor must be 'loop' or 'batched'; found {chosen!r}")
    for update in found:
        if not (np.isfinite(update.loss) and bool(torch.isfinite(update.delta).all())):
            raise TrainingError(
                update.client,
                f"loss {update.loss:g} after {update.steps} steps: training has diverged; lower "
                "learning_rate or set clip_norm",
            )
    return found


def executor(layout: Layout, tasks: Sequence[Task]) -> str:
    """Which executor serves a cohort: a rule on shapes, from ``benchmarks/federated_training.py``.

    A batch saves the fixed cost of small operations, per client and step; with large ones there is
    little to save, and convolutions of many clients at once are grouped ones, which are slow on CPUs.
    """
    if layout.has_buffers or layout.is_random or layout.is_recurrent or len(tasks) < 2:
        return "loop"
    if not layout.is_dense:
        return "loop"
    return "batched"


# --- one after another ---------------------------------------------------------------------------


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


def _train_one(layout: Layout, data: Tensors, task: Task) -> Update:
    program, module = task.program, layout.module
    module.train()
    layout.write(task.start)
    weights = list(module.parameters())
    begin = layout.split(task.start)
    extra = None if task.correction is None else layout.split(task.correction)
    speeds = [torch.zeros_like(w) for w in weights] if program.momentum else []
    losses = []
    batches = schedule(task)
    with torch.random.fork_rng(devices=[], enabled=layout.is_random):
        if layout.is_random:
            torch.manual_seed(int(task.rng.integers(2**63)))
        for batch in batches:
            rows = torch.from_numpy(batch)
            loss = F.cross_entropy(module(data.inputs[rows]), data.labels[rows])
            grads = list(torch.autograd.grad(loss, weights))
            losses.append(loss.detach())
            with torch.no_grad():
                if extra is not None:
                    torch._foreach_add_(grads, extra)
                if program.weight_decay:
                    torch._foreach_add_(grads, weights, alpha=program.weight_decay)
                if program.proximal:
                    torch._foreach_add_(grads, weights, alpha=program.proximal)
                    torch._foreach_sub_(grads, begin, alpha=program.proximal)
                if program.clip_norm is not None:
                    norm = torch.stack([g.square().sum() for g in grads]).sum().sqrt()
                    factor = (program.clip_norm / norm).clamp(max=1.0)
                    torch._foreach_mul_(grads, factor)
                if program.momentum:
                    torch._foreach_mul_(speeds, program.momentum)
                    torch._foreach_add_(speeds, grads)
                    grads = speeds
                torch._foreach_add_(weights, grads, alpha=-program.learning_rate)
    told = torch.stack(losses)
    delta = layout.read() - task.start
    return _update(task, len(batches), delta, told)


def _update(task: Task, steps: int, delta: torch.Tensor, losses: torch.Tensor) -> Update:
    return Update(
        task.client,
        len(task.rows),
        steps,
        delta,
        float(losses[0]),
        float(losses.mean()),
        effective_steps(task.program, steps),
    )


def effective_steps(program: LocalProgram, steps: int) -> float:
    """FedNova's ||a||_1: how often the first gradient's weight is in the update, summed over steps.

    For plain SGD the number of steps; with momentum rho ``(steps - rho (1 - rho^steps) / (1 - rho)) /
    (1 - rho)``; with a proximal term each earlier gradient decays by ``1 - learning_rate * proximal``
    (Wang et al., NeurIPS 2020, section 3 and table 1). Both together: by the recursion of the updates.
    """
    decay = 1 - program.learning_rate * program.proximal
    total = 0.0  # what a constant gradient of 1 makes of the weights, in learning rates
    speed = 0.0
    for _ in range(steps):
        grad = 1.0 - (1 - decay) * total
        speed = program.momentum * speed + grad
        total += speed
    return total


# --- all at once ---------------------------------------------------------------------------------


def _train_batched(layout: Layout, data: Tensors, tasks: Sequence[Task]) -> list[Update]:
    if layout.has_buffers or layout.is_random:
        raise EdgesimError("a model with buffers or dropout can only be trained one by one")
    found: dict[int, Update] = {}
    for group in _alike(tasks):
        chosen = [tasks[k] for k in group]
        for k, update in zip(group, _train_group(layout, data, chosen), strict=True):
            found[k] = update
    return [found[k] for k in range(len(tasks))]


def _alike(tasks: Sequence[Task]) -> Iterable[list[int]]:
    """Tasks that can be one batch: their programs differ in how long they take alone."""
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
        steps: of each client.
    """

    rows: torch.Tensor
    weights: torch.Tensor
    steps: list[int] = field(default_factory=list)


def _pad(schedules: Sequence[list[NDArray[np.int64]]]) -> _Batches:
    steps = [len(each) for each in schedules]
    most = max(len(batch) for each in schedules for batch in each)
    rows = np.zeros((len(schedules), max(steps), most), np.int64)
    weights = np.zeros(rows.shape, np.float32)
    for c, each in enumerate(schedules):
        rows[c] = each[0][0]
        for t, batch in enumerate(each):
            rows[c, t, : len(batch)] = batch
            weights[c, t, : len(batch)] = 1 / len(batch)
    return _Batches(torch.from_numpy(rows), torch.from_numpy(weights), steps)


def _train_group(layout: Layout, data: Tensors, tasks: Sequence[Task]) -> list[Update]:
    program, names, module = tasks[0].program, layout.names, layout.module
    module.train()
    schedules = [schedule(task) for task in tasks]
    order = sorted(range(len(tasks)), key=lambda c: -len(schedules[c]))
    batches = _pad([schedules[c] for c in order])
    start = torch.stack([tasks[c].start for c in order])
    flat = start.clone()
    weights, begin = layout.split(flat), layout.split(start)
    extra: list[torch.Tensor] | None = None
    if tasks[0].correction is not None:
        extra = layout.split(torch.stack([_correction(tasks[c]) for c in order]))
    speeds = [torch.zeros_like(w) for w in weights] if program.momentum else []
    losses = torch.zeros(len(tasks), max(batches.steps))

    def one(parameters: Sequence[torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = functional_call(
            module, dict(zip(names, parameters, strict=True)), (inputs,)
        )
        return output

    forward = vmap(one)
    for step in range(max(batches.steps)):
        active = sum(each > step for each in batches.steps)
        leaves = [w[:active].detach().requires_grad_() for w in weights]
        rows, shares = batches.rows[:active, step], batches.weights[:active, step]
        output = forward(leaves, data.inputs[rows])
        each = F.cross_entropy(output.flatten(0, 1), data.labels[rows].flatten(), reduction="none")
        # No client's loss depends on another's weights: the gradient of the sum is that of each.
        by_client = (each.view_as(shares) * shares).sum(1)
        grads = list(torch.autograd.grad(by_client.sum(), leaves))
        losses[:active, step] = by_client.detach()
        with torch.no_grad():
            now = [w[:active] for w in weights]
            if extra is not None:
                torch._foreach_add_(grads, [e[:active] for e in extra])
            if program.weight_decay:
                torch._foreach_add_(grads, now, alpha=program.weight_decay)
            if program.proximal:
                torch._foreach_add_(grads, now, alpha=program.proximal)
                torch._foreach_sub_(grads, [b[:active] for b in begin], alpha=program.proximal)
            if program.clip_norm is not None:
                squares = torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0)
                factor = (program.clip_norm / squares.sqrt()).clamp(max=1.0)
                grads = [g * factor.view(-1, *(1,) * (g.ndim - 1)) for g in grads]
            if program.momentum:
                moved = [s[:active] for s in speeds]
                torch._foreach_mul_(moved, program.momentum)
                torch._foreach_add_(moved, grads)
                grads = moved
            torch._foreach_add_(now, grads, alpha=-program.learning_rate)
    delta = flat - start
    updates = {
        c: _update(tasks[c], batches.steps[k], delta[k], losses[k, : batches.steps[k]])
        for k, c in enumerate(order)
    }
    return [updates[c] for c in range(len(tasks))]


def _correction(task: Task) -> torch.Tensor:
    assert task.correction is not None
    return task.correction
