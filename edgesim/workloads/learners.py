"""What a federated job learns by: real training, a fitted curve, or nothing.

=================  =============================================================================
:class:`Trained`   models are really trained; the update of a client is worked out when it counts
:class:`Fitted`    accuracy by a curve fitted to recorded training
:class:`Untrained` no accuracy: time and energy alone
=================  =============================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from edgesim.core.errors import EdgesimError
from edgesim.core.random import Streams
from edgesim.learning.program import LocalProgram

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from edgesim.learning.aggregation import Aggregation, AsyncAggregation
    from edgesim.learning.compression import Compression
    from edgesim.learning.curves import LearningCurve
    from edgesim.learning.data import Dataset
    from edgesim.learning.partition import Partition
    from edgesim.learning.tasks import Task, Update

__all__ = ["Fitted", "Learner", "Opening", "Progress", "Score", "Trained", "Untrained"]


class Score(NamedTuple):
    """How good a model is on some samples."""

    accuracy: float
    loss: float
    samples: int


UNKNOWN = Score(nan, nan, 0)


class Opening(NamedTuple):
    """How a client begins.

    Attributes:
        ticket: of its update.
        program: what it does, now that the received weights have been judged. A switch that nobody can
            judge, because nothing is trained, is as undecided as it was.
        initial_loss: of the received weights on its samples, if its program asks for that; else NaN.
    """

    ticket: int
    program: LocalProgram
    initial_loss: float = nan


@dataclass(frozen=True)
class Progress:
    """What has come of updates.

    Attributes:
        is_new: whether there is a new model.
        score: of the model on the test samples; NaN if nobody knows.
        groups: likewise of each group of them.
        losses: mean loss of training, by ticket.
        averaged: tickets of updates that are means of a client's weights.
        diverged: tickets of updates that were not finite, and have been left out.
    """

    is_new: bool
    score: Score = UNKNOWN
    groups: Mapping[str, Score] = field(default_factory=dict)
    losses: Mapping[int, float] = field(default_factory=dict)
    averaged: frozenset[int] = frozenset()
    diverged: frozenset[int] = frozenset()


class Journal(Protocol):
    """Where results of training are kept, and read back from; see :mod:`edgesim.scenario.journal`."""

    @property
    def is_replaying(self) -> bool: ...

    def peek(self) -> dict[str, Any]: ...

    def next(self) -> dict[str, Any]: ...

    def append(self, entry: dict[str, Any], state: Any) -> None: ...

    def state(self) -> Any: ...

    def keep_version(self, version: int, weights: Any) -> None: ...

    def version(self, version: int) -> Any: ...

    def forget_versions(self, needed: Iterable[int]) -> None: ...


class Learner(Protocol):
    """Keeps the model of a federated job.

    Attributes:
        source: where accuracies come from: ``trained``, ``fitted`` or ``none``.
        error: root mean square error of accuracies that are fitted; else ``None``.
    """

    source: str
    error: float | None

    def first(self) -> Progress:
        """How good the model is before any training."""

    def begin(
        self, client: int, round_number: int, program: LocalProgram, *, corrects: bool
    ) -> Opening:
        """A client begins with the present model."""

    def shorten(self, ticket: int, steps: int) -> None:
        """It ends after so many steps."""

    def withdraw(self, ticket: int) -> None:
        """Its update will never come."""

    def conclude(self, tickets: Sequence[int]) -> Progress:
        """Make of these updates the next model."""

    def receive(self, ticket: int) -> Progress:
        """An asynchronous update has come."""


class Untrained:
    """No learning at all: for time and energy alone."""

    source = "none"
    error: float | None = None

    def __init__(self) -> None:
        self._tickets = 0

    def first(self) -> Progress:
        """Nobody knows."""
        return Progress(True)

    def begin(
        self, client: int, round_number: int, program: LocalProgram, *, corrects: bool
    ) -> Opening:
        """It does as it was told."""
        self._tickets += 1
        return Opening(self._tickets, program)

    def shorten(self, ticket: int, steps: int) -> None:
        """Nothing depends on it."""

    def withdraw(self, ticket: int) -> None:
        """Nothing depends on it."""

    def conclude(self, tickets: Sequence[int]) -> Progress:
        """There is a new model, if there are updates."""
        return Progress(bool(tickets))

    def receive(self, ticket: int) -> Progress:
        """There is a new model."""
        return Progress(True)


class Fitted:
    """Accuracy by a curve that was fitted to recorded training.

    Args:
        curve: the curve.
        labels: samples of each client (rows) and label (columns).
    """

    source = "fitted"

    def __init__(self, curve: LearningCurve, labels: NDArray[np.int64]) -> None:
        from edgesim.learning.curves import LabelSkews

        self.error: float | None = curve.fit.rmse
        self._curve = curve
        self._samples = labels.sum(axis=1)
        self._skews = LabelSkews(labels)
        self._begun: dict[int, tuple[int, int, LocalProgram]] = {}
        self._cohorts: Counter[int] = Counter()  # clients that have begun, by round
        self._tickets = 0
        self._progress = 0.0

    def first(self) -> Progress:
        """Where the curve starts."""
        return Progress(True, Score(self._curve.start, nan, 0))

    def begin(
        self, client: int, round_number: int, program: LocalProgram, *, corrects: bool
    ) -> Opening:
        """It does as it was told."""
        self._tickets += 1
        self._begun[self._tickets] = (client, round_number, program)
        self._cohorts[round_number] += 1
        return Opening(self._tickets, program)

    def shorten(self, ticket: int, steps: int) -> None:
        """Part of its epochs have been done."""
        client, round_number, program = self._begun[ticket]
        self._begun[ticket] = (client, round_number, replace(program, steps=steps))

    def withdraw(self, ticket: int) -> None:
        """One update less."""
        self._begun.pop(ticket, None)

    def conclude(self, tickets: Sequence[int]) -> Progress:
        """Go on along the curve."""
        from edgesim.learning.curves import RoundRecord

        if not tickets:
            return Progress(False)
        begun = [self._begun.pop(ticket) for ticket in tickets]
        cohort = self._cohorts[begun[0][1]]
        self._cohorts.clear()
        record = RoundRecord(
            sum(program.batch_size for _, _, program in begun) / len(begun),
            sum(self._epochs(client, program) for client, _, program in begun) / len(begun),
            len(begun),
            len(begun) / cohort,
            *self._skews.of([client for client, _, _ in begun]),
            nan,
        )
        self._progress += self._curve.progress(record)
        return Progress(True, Score(self._curve.accuracy(self._progress), nan, 0))

    def receive(self, ticket: int) -> Progress:
        """Curves are of rounds."""
        raise EdgesimError("a fitted curve serves synchronous jobs only")

    def _epochs(self, client: int, program: LocalProgram) -> float:
        """Passes over its samples, also of a client that was cut short."""
        from edgesim.learning.curves import effective_epochs

        samples = int(self._samples[client])
        return effective_epochs(
            program.epochs, program.steps_for(samples), samples, program.batch_size
        )


@dataclass(frozen=True)
class _Begun:
    """What a ticket stands for."""

    client: int
    round_number: int
    program: LocalProgram
    corrects: bool
    version: int
    initial_loss: float


class Trained:
    """Real training.

    Args:
        dataset: what is learned.
        partition: which client has what.
        make_model: makes the model to begin with.
        aggregation: how updates become the next model.
        compression: how updates are sent.
        streams: the run's random streams.
        job: the job's name.
        journal: where results are kept, or read back from.
        evaluate_every: every so many versions are judged; the others have no score.
        workers: threads that train.
    """

    source = "trained"
    error: float | None = None

    def __init__(
        self,
        dataset: Dataset,
        partition: Partition,
        make_model: Callable[[], torch.nn.Module],
        aggregation: Aggregation | AsyncAggregation,
        compression: Compression,
        *,
        streams: Streams,
        job: str,
        journal: Journal,
        evaluate_every: int = 1,
        workers: int = 1,
    ) -> None:
        from edgesim.learning.federation import Scaffold
        from edgesim.learning.tasks import Layout, as_tensors
        from edgesim.learning.training import Waiting

        self._dataset = dataset
        self._partition = partition
        self._aggregation = aggregation
        self._compression = compression
        self._streams = streams
        self._job = job
        self._journal = journal
        self._every = evaluate_every
        self._layout = Layout(make_model())
        self._weights = self._layout.read()
        self._data = as_tensors(dataset.train)
        self._waiting = Waiting(self._layout, self._data, workers=workers)
        self._scaffold = Scaffold(len(partition), self._layout.size)
        self._begun: dict[int, _Begun] = {}
        self._tasks: dict[int, int] = {}  # tickets of the waiting room, by ours
        self._tickets = 0
        self._openings: list[float] = []  # initial losses since the journal's last entry
        self._version = 0
        self._starts: dict[int, torch.Tensor] = {}  # weights that clients under way began with
        self._is_live = not journal.is_replaying
        self._starts[0] = self._weights

    # -- as a learner -----------------------------------------------------------------------------

    def first(self) -> Progress:
        """How good the model is before any training."""
        if not self._is_live:
            return self._replayed({"call": "first"})
        return self._journalled({"call": "first"}, True, {}, frozenset())

    def begin(
        self, client: int, round_number: int, program: LocalProgram, *, corrects: bool
    ) -> Opening:
        """A client begins with the present model, and judges it first if it is told to."""
        self._tickets += 1
        found = self._initial_loss(client) if program.needs_initial_loss else nan
        begun = _Begun(client, round_number, program, corrects, self._version, found)
        self._begun[self._tickets] = begun
        if self._is_live:
            self._wait(self._tickets)
        return Opening(self._tickets, program.switched(found), found)

    def shorten(self, ticket: int, steps: int) -> None:
        """It ends after so many steps."""
        begun = self._begun[ticket]
        self._begun[ticket] = replace(begun, program=replace(begun.program, steps=steps))
        if self._is_live:
            self._waiting.withdraw(self._tasks.pop(ticket))
            self._wait(ticket)

    def withdraw(self, ticket: int) -> None:
        """Its update will never come."""
        self._begun.pop(ticket, None)
        if ticket in self._tasks:
            self._waiting.withdraw(self._tasks.pop(ticket))

    def conclude(self, tickets: Sequence[int]) -> Progress:
        """Make of these updates the next model."""
        call = {"call": "conclude", "clients": [self._begun[t].client for t in tickets]}
        if not self._is_live:
            return self._replayed(call, tickets)
        updates, diverged = self._updates(tickets)
        if updates:
            self._aggregate(updates)
        is_new = bool(updates)
        self._close(tickets, is_new)
        return self._journalled(call, is_new, updates, diverged)

    def receive(self, ticket: int) -> Progress:
        """An asynchronous update has come."""
        begun = self._begun[ticket]
        call = {"call": "receive", "clients": [begun.client], "version": begun.version}
        if not self._is_live:
            return self._replayed(call, [ticket])
        updates, diverged = self._updates([ticket])
        weights = None
        if updates:
            start = self._starts[begun.version]
            staleness = self._version - begun.version
            aggregation = cast("AsyncAggregation", self._aggregation)
            weights = aggregation.receive(self._weights, updates[ticket], start, staleness)
        if weights is not None:
            self._weights = weights
        self._close([ticket], weights is not None)
        return self._journalled(call, weights is not None, updates, diverged)

    # -- training ---------------------------------------------------------------------------------

    def _updates(self, tickets: Sequence[int]) -> tuple[dict[int, Update], frozenset[int]]:
        """The updates of these tickets, as the server has them; and those that diverged."""
        from edgesim.learning.tasks import TrainingError

        updates: dict[int, Update] = {}
        diverged: set[int] = set()
        for ticket in tickets:
            begun = self._begun[ticket]
            try:
                update = self._waiting.update(self._tasks.pop(ticket))
            except TrainingError:
                diverged.add(ticket)
                continue
            rng = self._streams.generator(
                "compression", self._job, begun.client, begun.round_number
            )
            delta = self._compression.compress(update.delta, rng)
            updates[ticket] = replace(update, delta=delta)
        return updates, frozenset(diverged)

    def _initial_loss(self, client: int) -> float:
        """Of the present model on a client's samples; read back where that has been found before."""
        from edgesim.learning.loop import initial_loss
        from edgesim.learning.training import one_thread

        if self._is_live:
            rows = self._partition.rows[client]
            with one_thread():
                found = initial_loss(self._layout, self._data, self._weights, rows)
        else:
            found = float(self._journal.peek()["initial_losses"][len(self._openings)])
        self._openings.append(found)
        return found

    def _aggregate(self, updates: Mapping[int, Update]) -> None:
        aggregation = cast("Aggregation", self._aggregation)
        losses = []
        if aggregation.needs_losses:
            losses = [update.initial_loss for update in updates.values()]
        self._weights = aggregation.aggregate(self._weights, list(updates.values()), losses)
        corrected = [ticket for ticket in updates if self._begun[ticket].corrects]
        if corrected:
            self._scaffold.absorb(
                [updates[t] for t in corrected], [self._begun[t].program for t in corrected]
            )

    def _wait(self, ticket: int) -> None:
        self._tasks[ticket] = self._waiting.add(self._task(self._begun[ticket]))

    def _task(self, begun: _Begun) -> Task:
        from edgesim.learning.tasks import Task

        program, whose = begun.program, (self._job, begun.client, begun.round_number)
        return Task(
            begun.client,
            self._partition.rows[begun.client],
            program,
            self._starts[begun.version],
            self._streams.generator("batches", *whose),
            self._scaffold.correction(begun.client) if begun.corrects else None,
            self._streams.generator("jitter", *whose) if program.jitter is not None else None,
            begun.initial_loss if program.needs_initial_loss else None,
        )

    def _close(self, tickets: Sequence[int], is_new: bool) -> None:
        """These tickets have been used; forget what nobody under way began with."""
        for ticket in tickets:
            del self._begun[ticket]
        if is_new:
            if any(begun.version == self._version for begun in self._begun.values()):
                # The state will hold the new weights; somebody still trains from these.
                self._journal.keep_version(self._version, self._starts[self._version])
            self._version += 1
            self._starts[self._version] = self._weights
        needed = {begun.version for begun in self._begun.values()} | {self._version}
        for version in set(self._starts) - needed:
            del self._starts[version]

    def _score(self) -> tuple[Score, dict[str, Score]]:
        from edgesim.learning.federation import evaluate

        if self._version % self._every:
            return UNKNOWN, {}
        data, test = self._dataset, self._dataset.test
        kinds: list[tuple[str, Sequence[str], NDArray[np.int64]]] = [
            ("class", data.classes, test.labels)
        ]
        if data.source_names:
            kinds.append(("device", data.source_names, test.sources))
        whole, parts = evaluate(
            self._layout, self._weights, test, [groups for _, _, groups in kinds]
        )
        by_name = {
            f"{kind} {names[k]}": Score(s.accuracy, s.loss, s.samples)
            for (kind, names, _), scores in zip(kinds, parts, strict=True)
            for k, s in scores.items()
        }
        return Score(whole.accuracy, whole.loss, whole.samples), by_name

    # -- the journal ------------------------------------------------------------------------------

    def _journalled(
        self,
        call: Mapping[str, Any],
        is_new: bool,
        updates: Mapping[int, Update],
        diverged: frozenset[int],
    ) -> Progress:
        """Judge the model, and write down what came of a call."""
        score, groups = self._score() if is_new else (UNKNOWN, {})
        losses = {ticket: update.loss for ticket, update in updates.items()}
        averaged = frozenset(ticket for ticket, update in updates.items() if update.is_averaged)
        entry = {
            **call,
            "is_new": is_new,
            "score": score,
            "groups": groups,
            "losses": list(losses.items()),
            "averaged": sorted(averaged),
            "diverged": sorted(diverged),
            "initial_losses": self._openings,
        }
        self._openings = []
        state = {
            "version": self._version,
            "weights": self._weights,
            "aggregation": self._aggregation.state_dict(),
            "scaffold": self._scaffold.state_dict(),
        }
        self._journal.append(entry, state)
        self._journal.forget_versions(self._starts)
        return Progress(is_new, score, groups, losses, averaged, diverged)

    def _replayed(self, call: Mapping[str, Any], tickets: Sequence[int] = ()) -> Progress:
        """Read back what came of a call, and go on by training after the last one."""
        entry = self._journal.next()
        found = {key: entry.get(key) for key in call}
        if found != call:
            raise EdgesimError(
                f"the journal of job {self._job!r} tells of another run: it has {found}, but now "
                f"came {dict(call)}; was the scenario or edgesim changed? Run it again"
            )
        self._openings = []
        for ticket in tickets:
            del self._begun[ticket]
        self._version += bool(entry["is_new"]) and call["call"] != "first"
        progress = Progress(
            entry["is_new"],
            Score(*entry["score"]),
            {name: Score(*score) for name, score in entry["groups"].items()},
            dict(entry["losses"]),
            frozenset(entry["averaged"]),
            frozenset(entry["diverged"]),
        )
        if not self._journal.is_replaying:
            self._go_live()
        return progress

    def _go_live(self) -> None:
        """The journal has been read back: take up the state after its last entry."""
        state = self._journal.state()
        self._is_live = True
        self._version, self._weights = state["version"], state["weights"]
        self._aggregation.load_state_dict(state["aggregation"])
        self._scaffold.load_state_dict(state["scaffold"])
        self._starts = {self._version: self._weights}
        for begun in self._begun.values():
            if begun.version not in self._starts:
                self._starts[begun.version] = self._journal.version(begun.version)
        for ticket in self._begun:
            self._wait(ticket)
