"""When a request will have been served, if nobody else comes: a processor's line played forward.

The same rules as those that :mod:`~edgesim.hardware.processor`, :mod:`~edgesim.hardware.batching` and
:mod:`~edgesim.hardware.tenants` go by, on a copy of their state: those in service, those in line, and
the share of other tenants as it will really be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

from edgesim.hardware.processor import Task

__all__ = ["Queue", "Waiting", "served_at_s"]

Segments = Callable[[float, float], Iterator[tuple[float, float, float]]]
"""The share of other tenants between two moments: (start, end, share)."""


class Waiting(NamedTuple):
    """A request in line.

    Attributes:
        number: smaller if it came earlier.
        due_s: from then on it waits for no others to join it.
        task: what it needs.
    """

    number: float
    due_s: float
    task: Task


@dataclass(slots=True)
class Queue:
    """Requests that may run as one.

    Attributes:
        size: the most that do.
        waiting: they, in the order in which they came.
        batch_s: seconds, alone and at full speed, of so many of them, the first of which is given.
    """

    size: int
    waiting: list[Waiting]
    batch_s: Callable[[Task, int], float]


def served_at_s(
    now_s: float,
    slots: int,
    segments: Segments,
    in_service_s: Sequence[float],
    queues: Sequence[Queue],
    own: Queue,
    arrive_s: float,
    wait_s: float,
    task: Task,
    queue_limit: float,
) -> float:
    """The end of a request that comes at ``arrive_s``; infinity if it will be turned away.

    Args:
        now_s: the moment of which the rest is told; not after ``arrive_s``.
        slots: how many batches are in service at once.
        segments: the share of other tenants to come.
        in_service_s: what is left of each batch in service, in seconds at full speed.
        queues: everybody in line; they are used up.
        own: the one of them that the request will join.
        arrive_s: when it comes.
        wait_s: how long it waits for others to join it.
        task: what it needs.
        queue_limit: how many may wait.
    """
    # As in SharedCapacity: v is what each batch in service has done, so each ends at a fixed v.
    ends = [(left_s, False) for left_s in in_service_s]
    heapify(ends)
    time_s, v = now_s, 0.0
    has_come = False
    while True:
        next_s = inf
        while len(ends) < slots:
            ready, next_s = _ready(queues, time_s)
            if ready is None:
                break
            batch, ready.waiting = ready.waiting[: ready.size], ready.waiting[ready.size :]
            is_ours = any(each.number == inf for each in batch)
            heappush(ends, (v + ready.batch_s(batch[0].task, len(batch)), is_ours))
            next_s = inf
        until_s = next_s if has_come else min(next_s, arrive_s)
        time_s, done, has_ended = _advance(segments, slots, ends, v, time_s, until_s)
        if has_ended:
            v, is_ours = heappop(ends)
            if is_ours:
                return time_s
            continue
        v += done
        if not has_come and time_s >= arrive_s:
            has_come = True
            waiting = sum(len(queue.waiting) for queue in queues)
            starts = len(ends) < slots and (wait_s <= 0.0 or len(own.waiting) + 1 >= own.size)
            if waiting >= queue_limit and not starts:
                return inf
            own.waiting.append(Waiting(inf, arrive_s + wait_s, task))


def _ready(queues: Sequence[Queue], time_s: float) -> tuple[Queue | None, float]:
    """The queue whose batch may start; and when the next one will be due."""
    ready: Queue | None = None
    next_s = inf
    for queue in queues:
        if not queue.waiting:
            continue
        first = queue.waiting[0]
        if len(queue.waiting) < queue.size and first.due_s > time_s:
            next_s = min(next_s, first.due_s)
        elif ready is None or first.number < ready.waiting[0].number:
            ready = queue
    return ready, next_s


def _advance(
    segments: Segments,
    slots: int,
    ends: Sequence[tuple[float, bool]],
    v: float,
    time_s: float,
    until_s: float,
) -> tuple[float, float, bool]:
    """Go on until the first one in service ends, or until ``until_s``.

    Returns:
        The moment, what each in service has done by then, and whether one has ended.
    """
    if not ends:
        return until_s, 0.0, False
    need_s, done_s = ends[0][0] - v, 0.0
    for from_s, to_s, rho in segments(time_s, until_s):
        speed = min(slots * (1.0 - rho) / len(ends), 1.0)
        if (need_s - done_s) <= (to_s - from_s) * speed:
            return from_s + max(need_s - done_s, 0.0) / speed, need_s, True
        done_s += (to_s - from_s) * speed
    # At one moment those who end come before those who arrive.
    return until_s, done_s, done_s >= need_s
