"""Dynamic batching: requests for one model on one processor wait for each other and run as one.

As inference servers do it (Triton's dynamic batcher; Crankshaw et al., "Clipper", NSDI'17): requests
for one (model, precision) form a queue. A batch starts when a slot is free and either ``size``
requests are there or the oldest has waited ``wait_s``; while no slot is free it goes on growing, up
to ``size``. Of several queues that are ready, the one with the oldest request goes first.

A batch takes what the cost model says of so many inputs at once, and its joules are those of its
slot, in even parts for its requests. Where the model knows nothing of batches (a processor of which
only measured latencies are known), and for whatever is not an inference, requests run one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.power import User
from edgesim.hardware.foresight import Queue, Waiting
from edgesim.hardware.processor import Arithmetic, InferenceTask, Processor, Task
from edgesim.nn.cost import inference_s

__all__ = ["BatchedRequest", "Batcher", "Batching"]


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests are put together.

    Attributes:
        size: the most that run as one, at least 1.
        wait_s: after so long the oldest waits for no more of them.
    """

    size: int
    wait_s: float


class BatchedRequest:
    """A request in line at a :class:`Batcher`, or in a batch; made by :meth:`Batcher.submit`."""

    __slots__ = ("_batcher", "_done", "_line", "due_s", "number", "task", "user")

    def __init__(
        self, batcher: Batcher, line: _Line, user: User, task: Task, done: Callable[[], None]
    ) -> None:
        self._batcher = batcher
        self._line: _Line | None = line  # None once its batch has started
        self._done: Callable[[], None] | None = done
        self.user = user
        self.task = task
        self.number = 0
        self.due_s = inf

    def withdraw(self) -> None:
        """Nobody waits for its result any more: ``done`` is not called.

        In line it steps out. In a batch that has started nothing changes for the others: it is
        computed all the same, and answers for its part.
        """
        self._done = None
        if self._line is not None:
            self._batcher._step_out(self, self._line)
            self._line = None

    def _ended(self) -> None:
        if self._done is not None:
            self._done()


class _Line:
    """Requests that may run as one."""

    __slots__ = ("_tasks", "size", "waiting")

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting: deque[BatchedRequest] = deque()
        self._tasks: dict[int, Task] = {}

    def task(self, first: Task, requests: int) -> Task:
        """What the processor does for so many of them."""
        if requests == 1:
            return first
        found = self._tasks.get(requests)
        if found is None:
            assert isinstance(first, InferenceTask)
            found = InferenceTask(first.model, first.precision, requests)
            self._tasks[requests] = found
        return found


class Batcher:
    """The line before one processor that serves batches.

    All that the processor does comes through it.

    Args:
        clock: the clock.
        processor: it has slots.
        rule: how requests are put together.

    Attributes:
        rule: the same.
        waiting: requests in line.
    """

    __slots__ = (
        "_clock",
        "_lines",
        "_number",
        "_processor",
        "_running",
        "_slots",
        "_timer",
        "rule",
        "waiting",
    )

    def __init__(self, clock: Clock, processor: Processor, rule: Batching) -> None:
        assert processor.spec.slots is not None
        self._clock = clock
        self._processor = processor
        self._slots = processor.spec.slots
        self._lines: dict[tuple[str, str] | None, _Line] = {}
        self._number = 0
        self._running = 0  # batches in service
        self._timer = Timer(clock, Order.COMPLETION, self._start)
        self.rule = rule
        self.waiting = 0

    def starts_at_once(self, task: Task) -> bool:
        """Whether a request that came now would not have to wait."""
        if self._running >= self._slots:
            return False
        line = self._line(task)
        return self.rule.wait_s <= 0.0 or len(line.waiting) + 1 >= line.size

    def submit(self, user: User, task: Task, done: Callable[[], None]) -> BatchedRequest:
        """Put a request in line.

        Args:
            user: who answers for its joules.
            task: what it needs.
            done: called when its batch has ended.
        """
        line = self._line(task)
        request = BatchedRequest(self, line, user, task, done)
        self._number = request.number = self._number + 1
        request.due_s = self._clock._now + self.rule.wait_s
        line.waiting.append(request)
        self.waiting += 1
        self._start()
        return request

    def queues(self, task: Task) -> tuple[list[Queue], Queue]:
        """All lines as they are, and the one that a request for ``task`` would join."""
        own = self._line(task)
        found = {id(line): self._queue(line) for line in self._lines.values()}
        return list(found.values()), found[id(own)]

    def _queue(self, line: _Line) -> Queue:
        work_s = self._processor.work_s

        def batch_s(first: Task, requests: int) -> float:
            return work_s(line.task(first, requests))

        return Queue(
            line.size,
            [Waiting(each.number, each.due_s, each.task) for each in line.waiting],
            batch_s,
        )

    def _line(self, task: Task) -> _Line:
        key = _key(task)
        line = self._lines.get(key)
        if line is None:
            size = 1
            if key is not None and self.rule.size > 1:
                assert isinstance(task, InferenceTask)
                spec = self._processor.spec
                if inference_s(task.model, spec, task.precision, batch=2) is not None:
                    size = self.rule.size
            line = self._lines[key] = _Line(size)
        return line

    def _step_out(self, request: BatchedRequest, line: _Line) -> None:
        line.waiting.remove(request)
        self.waiting -= 1
        self._start()  # the next to be due is another one

    def _start(self) -> None:
        """Start every batch that may start now; be woken when the next one is due."""
        now_s = self._clock._now
        while self._running < self._slots:
            ready: _Line | None = None
            next_s = inf
            for line in self._lines.values():
                if not line.waiting:
                    continue
                first = line.waiting[0]
                if len(line.waiting) < line.size and first.due_s > now_s:
                    next_s = min(next_s, first.due_s)
                elif ready is None or first.number < ready.waiting[0].number:
                    ready = line
            if ready is None:
                self._timer.set(next_s)
                return
            self._run(ready)
        self._timer.stop()

    def _run(self, line: _Line) -> None:
        batch = [line.waiting.popleft() for _ in range(min(len(line.waiting), line.size))]
        self.waiting -= len(batch)
        self._running += 1
        for request in batch:
            request._line = None
        task = line.task(batch[0].task, len(batch))
        users = [request.user for request in batch]
        self._processor.run_together(users, task, partial(self._ended, batch))

    def _ended(self, batch: list[BatchedRequest]) -> None:
        self._running -= 1
        self._start()
        for request in batch:
            request._ended()


def _key(task: Task) -> tuple[str, str] | None:
    """What may run as one has one key; ``None`` for what runs alone."""
    if isinstance(task, InferenceTask) and task.batch == 1:
        return task.model.name, task.precision
    return None


def as_task(task: Task | float) -> Task:
    """A number stands for so many seconds of arithmetic at the top level."""
    return Arithmetic(task) if isinstance(task, float | int) else task
