"""Training on clients: one contract, two executors, and the rule by which one of them serves.

Nothing here depends on time: clients that begin at different moments from the same weights can be
trained together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from edgesim.learning.loop import train_one
from edgesim.learning.stacked import can_stack, train_stacked
from edgesim.learning.tasks import Layout, Task, Tensors, TrainingError, Update

__all__ = ["EXECUTORS", "executor", "one_thread", "train"]

EXECUTORS = ("loop", "stacked")
"""How a cohort can be trained: client by client, or with stacked weights."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch use one thread: with more, sums may be taken in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def executor(layout: Layout) -> str:
    """Which executor serves a model: a rule on its shape, never on timing.

    Chains of dense layers are stacked, for any number of clients: it is faster even for one. All
    others go one by one: batched convolutions of many clients are grouped ones, which took 0.95 to 2.1
    times as long as the loop on CPUs, and recurrent layers are fast only as whole modules.
    """
    return "stacked" if can_stack(layout.module) else "loop"


def train(
    layout: Layout, data: Tensors, tasks: Sequence[Task], how: str | None = None
) -> list[Update]:
    """Carry out the tasks of a cohort.

    Args:
        layout: of the model, whose own weights stay as they are.
        data: what rows point into.
        tasks: of the cohort, in any order; no two share a stream.
        how: one of :data:`EXECUTORS`; by default :func:`executor` says.

    Returns:
        Their updates, in the same order. The same tasks give the same bits; the executors differ by
        rounding.

    Raises:
        TrainingError: naming the first client that has no samples, or whose loss or weights are no
            longer finite.
        ValueError: for an executor that does not exist, or cannot serve this model.
    """
    chosen = how or executor(layout)
    if chosen not in EXECUTORS:
        raise ValueError(f"executor must be one of {', '.join(EXECUTORS)}; found {chosen!r}")
    for task in tasks:
        if not len(task.rows):
            raise TrainingError(task.client, "has no samples to train with")
    with one_thread():
        if chosen == "stacked":
            found = train_stacked(layout, data, tasks)
        else:
            held = layout.read()
            found = [train_one(layout, data, task) for task in tasks]
            layout.write(held)
    for update in found:
        if not (np.isfinite(update.loss) and np.isfinite(float(update.delta.sum()))):
            raise TrainingError(
                update.client,
                f"training has diverged (mean loss {update.loss:g} over {update.steps} steps); lower "
                "learning_rate, or set clip_norm",
            )
    return found
