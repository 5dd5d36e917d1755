"""One client after another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from edgesim.learning.jitter import jittered
from edgesim.learning.tasks import Layout, Task, Tensors, Update, made_update, schedule

__all__ = ["initial_loss", "train_one"]

_AT_ONCE = 500


def initial_loss(
    layout: Layout, data: Tensors, weights: torch.Tensor, rows: NDArray[np.int64]
) -> float:
    """Mean loss of weights on samples, before any training: what a client's first pass finds.

    Args:
        layout: of the model, into which the weights are written.
        data: what rows point into.
        weights: flat.
        rows: the samples, at least one.
    """
    module = layout.module
    was_training = module.training
    layout.write(weights)
    module.eval()
    total = 0.0
    with torch.no_grad():
        for begin in range(0, len(rows), _AT_ONCE):
            some = torch.from_numpy(rows[begin : begin + _AT_ONCE])
            scores = module(data.inputs[some])
            losses = cross_entropy(scores, data.labels[some], reduction="none")
            total += float(losses.double().sum())
    module.train(was_training)
    return total / len(rows)


def train_one(layout: Layout, data: Tensors, task: Task) -> Update:
    """Train at one client, with torch's own gradients; serves every model and program."""
    program, module = task.program, layout.module
    first = task.initial_loss
    if first is None and program.needs_initial_loss:
        first = initial_loss(layout, data, task.start, task.rows)
    if first is not None:
        program = program.switched(first)
    jitter = program.jitter
    if jitter is not None and jitter.per != "batch":
        # Its own copy of its samples, changed once: rows point into that.
        assert task.jitter_rng is not None
        own = torch.from_numpy(task.rows)
        data = Tensors(jittered(data.inputs[own], jitter, task.jitter_rng), data.labels[own])
        task = replace(task, rows=np.arange(len(own)))
    module.train()
    layout.write(task.start)
    weights: list[torch.Tensor] = list(module.parameters())
    begin = layout.split(task.start)
    extra = None if task.correction is None else layout.split(task.correction)
    speeds = [torch.zeros_like(w) for w in weights] if program.momentum else []
    means = [w.detach().clone() for w in weights] if program.averages else []
    averaged = int(program.averages_start)  # so many weights are in the means
    losses = []
    batches = schedule(task)
    with torch.random.fork_rng(devices=[], enabled=layout.is_random):
        if layout.is_random:
            torch.manual_seed(int(task.rng.integers(2**63)))
        for batch in batches:
            rows = torch.from_numpy(batch)
            inputs = data.inputs[rows]
            if jitter is not None and jitter.per == "batch":
                assert task.jitter_rng is not None
                inputs = jittered(inputs, jitter, task.jitter_rng)
            loss = cross_entropy(module(inputs), data.labels[rows])
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
                if means:
                    averaged += 1
                    torch._foreach_lerp_(means, weights, 1.0 / averaged)
    every = torch.stack(losses)
    gives_mean = bool(means) and (
        program.averages_below is None or float(every.mean()) < program.averages_below
    )
    if gives_mean:
        with torch.no_grad():
            torch._foreach_copy_(weights, means)
    update = made_update(task, layout.read() - task.start, every)
    if first is None and program.is_plain:
        return update
    return replace(
        update,
        initial_loss=np.nan if first is None else first,
        is_switched=not program.is_plain,
        is_averaged=gives_mean,
    )
