"""A federated job's rounds as data: what was agreed, what came of it, and the rows that tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isnan, nan
from typing import Any

from edgesim.controllers.federated import Clients, LocalTraining, LocalTrainingObservation
from edgesim.core.recorder import Table
from edgesim.learning.curves import LabelSkews
from edgesim.learning.program import LocalProgram
from edgesim.workloads.learners import UNKNOWN, Opening, Score
from edgesim.workloads.participation import DONE, PARTIAL, Part

__all__ = [
    "FederatedTables",
    "FederatedTerms",
    "Round",
    "Seat",
    "Stop",
    "participant_row",
    "round_row",
]


@dataclass(frozen=True, slots=True)
class Stop:
    """When a job ends. Whichever comes first.

    Attributes:
        rounds: after so many.
        accuracy: when the model has been at least so good,
        for_rounds: so many times in a row.
        simulated_s: after so long.
        energy_j: when the participants have spent so much,
        energy_global_j: or all, by AutoFL's equations.
        failed_rounds: after so many rounds in a row without an update.
    """

    rounds: float = inf
    accuracy: float = inf
    for_rounds: int = 1
    simulated_s: float = inf
    energy_j: float = inf
    energy_global_j: float = inf
    failed_rounds: float = inf


@dataclass(frozen=True, slots=True)
class FederatedTerms:
    """What a federated job is to do.

    Attributes:
        site: where its coordinator is.
        clients_per_round: K; of an asynchronous job, how many train at a time.
        program: what each client does with its samples.
        over_selection: so many times K are selected; the round is over when K updates have come.
        deadline_s: of a round; infinity for none.
        deadline_percentile: in its place, this percentile of the predicted times of the cohort.
        sends_partial: whether clients that train at the deadline send what they have.
        is_asynchronous: whether updates are taken as they come.
        least_clients: a round begins with at least so many.
        check_in_s: with fewer, the coordinator looks again after so long.
        dropout: probability that a client breaks down while it trains, at a random moment.
        stop: when it ends.
        uplink_bytes: of an update, as it is sent,
        downlink_bytes: and of the model.
        starts_s: when it begins.
        meter_noise: standard deviation of what phones' meters read, relative to the truth.
    """

    site: str
    clients_per_round: int
    program: LocalProgram
    over_selection: float = 1.0
    deadline_s: float = inf
    deadline_percentile: float | None = None
    sends_partial: bool = False
    is_asynchronous: bool = False
    least_clients: int = 1
    check_in_s: float = 60.0
    dropout: float = 0.0
    stop: Stop = Stop()
    uplink_bytes: float = 0.0
    downlink_bytes: float = 0.0
    starts_s: float = 0.0
    meter_noise: float = 0.0


@dataclass(frozen=True, slots=True)
class FederatedTables:
    """The tables to fill, if wanted."""

    rounds: Table | None = None
    participants: Table | None = None
    evaluations: Table | None = None
    decisions: Table | None = None


@dataclass(slots=True)
class Seat:
    """One client's place in a round.

    Attributes:
        part: what it does.
        asked: what slot ``local_training`` was asked,
        told: and what it answered.
        opening: how it began.
        version: of the model that it began with.
        staleness: versions of the model since.
        loss: mean of its training; NaN if it does not count.
        is_averaged: whether its update is the mean of its weights.
        final: its status, if that is not its part's own.
        is_written: whether its last joule has been booked.
        is_whole_batch: whether it has fewer samples than its batch size, and trains on all of them at once.
    """

    part: Part
    asked: LocalTrainingObservation
    told: LocalTraining
    opening: Opening
    version: int
    staleness: int = 0
    loss: float = nan
    is_averaged: bool = False
    final: str = ""
    is_written: bool = False
    is_whole_batch: bool = False

    @property
    def is_switched(self) -> bool:
        """Whether it jitters its pictures or averages its weights."""
        return not self.opening.program.is_plain

    @property
    def status(self) -> str:
        """What came of it; empty while it goes on."""
        return self.final or self.part.status

    @property
    def counts(self) -> bool:
        """Whether its update is of use."""
        return self.status in (DONE, PARTIAL)


@dataclass(slots=True)
class Round:
    """A round, from its selection until its last joule has been booked.

    Attributes:
        number: from 1 on.
        start_s: of its selection,
        end_s: and of its aggregation; NaN before.
        batch_size, epochs: as the job or its controller has them.
        seats: its cohort.
        wanted: how many clients were to be selected,
        eligible: of how many.
        needed: so many updates close it; more than its cohort: all of them.
        status: ``done``, ``failed`` or ``unfinished``; empty while it goes on.
        score: of the model that came of it.
        deadline_s: how long it may last; infinity for ever.
        is_concluded: whether all but the last joules is known.
        energy_local_j, energy_global_j: by AutoFL's equations.
    """

    number: int
    start_s: float
    batch_size: int = 0
    epochs: int = 0
    seats: list[Seat] = field(default_factory=list)
    wanted: int = 0
    needed: int = 0
    end_s: float = nan
    status: str = ""
    score: Score = UNKNOWN
    eligible: int = 0
    deadline_s: float = inf
    is_concluded: bool = False
    energy_local_j: float = nan
    energy_global_j: float = nan


def round_row(job: str, current: Round, skews: LabelSkews) -> tuple[Any, ...]:
    """A round's row in the table ``rounds``."""
    completed = [seat for seat in current.seats if seat.counts]
    ledger_j = sum(seat.part.energy_j for seat in current.seats)
    used_j = sum(seat.part.energy_j for seat in completed)
    sent = [seat for seat in current.seats if seat.part.phase("upload") is not None]
    return (
        job,
        current.number,
        current.start_s,
        current.end_s - current.start_s,
        current.status,
        current.eligible,
        current.needed or len(current.seats),
        len(current.seats),
        len(completed),
        len(current.seats) - len(completed),
        current.batch_size,
        current.epochs,
        sum(seat.is_whole_batch for seat in current.seats),
        None if current.deadline_s == inf else current.deadline_s,
        _known(current.score.accuracy),
        _known(current.score.loss),
        _known(current.energy_local_j),
        _known(current.energy_global_j),
        ledger_j,
        ledger_j - used_j,
        sum(seat.part.given.uplink_bytes for seat in sent),
        *map(_known, skews.of([seat.part.given.participant.client for seat in completed])),
    )


def participant_row(
    job: str, current: Round, seat: Seat, clients: Clients, *, is_asynchronous: bool
) -> tuple[Any, ...]:
    """A client's row in the table ``participants``."""
    part, given = seat.part, seat.part.given
    client = given.participant.client
    phases = {phase.name: phase for phase in part.phases}
    names = ("collect", "download", "training", "upload")
    seconds = [phases[n].seconds if n in phases else None for n in names]
    joules = [phases[n].energy_j if n in phases else None for n in names]
    return (
        job,
        current.number,
        part.device,
        client,
        clients.profiles[clients.group[client]],
        str(given.participant.target),
        seat.status,
        int(clients.samples[client]),
        given.batch_size,
        given.epochs,
        part.steps if seat.counts else None,
        seat.staleness if is_asynchronous else None,
        part.start_s,
        *seconds,
        *joules,
        part.energy_j,
        _known(seat.loss),
        _known(seat.opening.initial_loss),
        seat.is_switched,
        seat.is_averaged if seat.counts else None,
        _known(part.rssi_dbm),
        part.co_cpu,
    )


def _known(number: float) -> float | None:
    return None if isnan(number) else number
