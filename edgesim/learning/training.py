"""Training on clients: one contract, two executors, and the rule by which one of them serves.

Nothing here depends on time: clients that begin at different moments can be trained together, and a
:class:`Waiting` room puts off training until somebody needs an update.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue

import numpy as np
import torch

from edgesim.learning.jitter import check_pictures
from edgesim.learning.loop import train_one
from edgesim.learning.stacked import can_stack, portions, train_together
from edgesim.learning.tasks import Layout, Task, Tensors, TrainingError, Update

__all__ = ["EXECUTORS", "Waiting", "executor", "one_thread", "train"]

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

    Whatever it says, clients that do more than steps (:attr:`~LocalProgram.is_plain`) go one by one.

    Chains of dense layers are stacked, for any number of clients: it is faster even for one. All
    others go one by one: batched convolutions of many clients are grouped ones, which took 0.95 to 2.1
    times as long as the loop on CPUs, and recurrent layers are fast only as whole modules.
    """
    return "stacked" if can_stack(layout.module) else "loop"


def train(
    layout: Layout,
    data: Tensors,
    tasks: Sequence[Task],
    how: str | None = None,
    *,
    workers: int = 1,
) -> list[Update]:
    """Carry out the tasks of a cohort.

    Args:
        layout: of the model, whose own weights stay as they are.
        data: what rows point into.
        tasks: of the cohort, in any order; no two share a stream.
        how: one of :data:`EXECUTORS`; by default :func:`executor` says.
        workers: threads that share the work. Models that draw random numbers (dropout) have one: torch
            has a single stream for all threads.

    Returns:
        Their updates, in the same order. The same tasks give the same bits, for any number of workers;
        the executors differ by rounding.

    Raises:
        TrainingError: naming the first client that has no samples, or whose loss or weights are no
            longer finite.
        ValueError: for an executor that does not exist, or cannot serve this model.
    """
    found = _carried_out(layout, data, tasks, how, workers)
    for update in found:
        _check(update)
    return found


class Waiting:
    """Tasks that have begun, and whose updates nobody has asked for yet.

    The first to be asked for is trained together with all others that wait, whenever they began and
    whichever weights they began with.

    Args:
        layout: of the model.
        data: what rows point into.
        workers: see :func:`train`.
    """

    def __init__(self, layout: Layout, data: Tensors, *, workers: int = 1) -> None:
        self._layout, self._data, self._workers = layout, data, workers
        self._tasks: dict[int, Task] = {}
        self._updates: dict[int, Update] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._tasks)

    def add(self, task: Task) -> int:
        """Take in a task; gives the ticket to ask with.

        Raises:
            TrainingError: if its client has no samples.
        """
        _check_samples(task)
        ticket, self._next = self._next, self._next + 1
        self._tasks[ticket] = task
        return ticket

    def withdraw(self, ticket: int) -> None:
        """Forget a task or its update: the client is lost."""
        self._tasks.pop(ticket, None)
        self._updates.pop(ticket, None)

    def update(self, ticket: int) -> Update:
        """The update of a task; to be had once.

        Raises:
            TrainingError: if this client's training has diverged. That of others is theirs to tell.
            KeyError: if there is no such ticket, or no longer.
        """
        if ticket in self._tasks:
            tasks, self._tasks = self._tasks, {}
            found = _carried_out(
                self._layout, self._data, list(tasks.values()), None, self._workers
            )
            self._updates |= zip(tasks, found, strict=True)
        update = self._updates.pop(ticket)
        _check(update)
        return update


def _carried_out(
    layout: Layout, data: Tensors, tasks: Sequence[Task], how: str | None, workers: int
) -> list[Update]:
    chosen = how or executor(layout)
    if chosen not in EXECUTORS:
        raise ValueError(f"executor must be one of {', '.join(EXECUTORS)}; found {chosen!r}")
    if workers < 1:
        raise ValueError(f"there must be at least 1 worker; found {workers}")
    for task in tasks:
        _check_samples(task)
        if task.program.jitter is not None:
            check_pictures(data.inputs[torch.from_numpy(task.rows)])
    apart = [k for k, task in enumerate(tasks) if not _is_simple(task)]
    if how == "stacked" and apart:
        raise ValueError("stacked training has neither jitter nor averaging nor initial losses")
    if chosen == "loop" or not apart:
        return _by_one(layout, data, tasks, chosen, workers)
    together = [k for k in range(len(tasks)) if k not in set(apart)]
    found: dict[int, Update] = {}
    for places, kind in ((together, "stacked"), (apart, "loop")):
        some = [tasks[k] for k in places]
        found |= zip(places, _by_one(layout, data, some, kind, workers), strict=True)
    return [found[k] for k in range(len(tasks))]


def _by_one(
    layout: Layout, data: Tensors, tasks: Sequence[Task], chosen: str, workers: int
) -> list[Update]:
    """All of them by one executor."""

    def stacked(own: Layout, portion: list[int]) -> list[Update]:
        return train_together(own, data, [tasks[k] for k in portion])

    def one_by_one(own: Layout, portion: list[int]) -> list[Update]:
        return [train_one(own, data, tasks[k]) for k in portion]

    if chosen == "stacked":
        parts, work = portions(layout, tasks), stacked
    else:
        parts, work = [[k] for k in range(len(tasks))], one_by_one
    some = _shared(layout, parts, work, 1 if layout.is_random else min(workers, len(parts)))
    found = {
        k: each
        for part, done in zip(parts, some, strict=True)
        for k, each in zip(part, done, strict=True)
    }
    return [found[k] for k in range(len(tasks))]


def _is_simple(task: Task) -> bool:
    """Whether all that it asks for are steps."""
    return task.program.is_plain and not task.program.needs_initial_loss


def _shared(
    layout: Layout,
    parts: Sequence[list[int]],
    work: Callable[[Layout, list[int]], list[Update]],
    workers: int,
) -> list[list[Update]]:
    """Do the parts by so many threads, each with a module of its own; in the order of the parts."""
    if workers <= 1:
        held = layout.read()
        with one_thread():
            found = [work(layout, part) for part in parts]
        layout.write(held)
        return found
    spare: SimpleQueue[Layout] = SimpleQueue()
    for _ in range(workers):
        spare.put(Layout(copy.deepcopy(layout.module)))

    def one(part: list[int]) -> list[Update]:
        own = spare.get()
        found = work(own, part)
        spare.put(own)
        return found

    # torch keeps the number of its threads per thread.
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(one, parts))


def _check_samples(task: Task) -> None:
    if not len(task.rows):
        raise TrainingError(task.client, "has no samples to train with")


def _check(update: Update) -> None:
    if not (np.isfinite(update.loss) and np.isfinite(float(update.delta.sum()))):
        raise TrainingError(
            update.client,
            f"training has diverged (mean loss {update.loss:g} over {update.steps} steps); lower "
            "learning_rate, or set clip_norm",
        )
