"""One client after another."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from edgesim.learning.tasks import Layout, Task, Tensors, Update, made_update, schedule

__all__ = ["train_one"]


def train_one(layout: Layout, data: Tensors, task: Task) -> Update:
    """Train at one client, with torch's own gradients; serves every model and program."""
    program, module = task.program, layout.module
    module.train()
    layout.write(task.start)
    weights: list[torch.Tensor] = list(module.parameters())
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
            loss = cross_entropy(module(data.inputs[rows]), data.labels[rows])
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
    return made_update(task, layout.read() - task.start, torch.stack(losses))
