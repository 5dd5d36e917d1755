"""What a federated job asks its controllers, and what they answer.

======================  ===========================================================================
slot                    decides, once per round
======================  ===========================================================================
``selection``           which clients take part, and on which processor and level each trains
``parameters``          batch size and epochs, for all or for each; clients of the next round
``local_training``      what each client does with its samples: a ``LocalProgram``
======================  ===========================================================================

How updates become the next model, slot ``aggregation``, is decided by the functions of
:mod:`edgesim.learning.aggregation`.

Clients are numbered from 0 in the order of phones. An observation holds what a coordinator could know:
sizes of data and labels that clients have told, what profiles promise, what earlier rounds measured.
Conditions of a phone (:meth:`Clients.conditions`) are what it would report if it were asked now.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesim.learning.program import LocalProgram
from edgesim.network.radio import LinkState
from edgesim.nn.model import ModelCost

__all__ = [
    "Clients",
    "Conditions",
    "LocalTraining",
    "LocalTrainingObservation",
    "ParametersObservation",
    "Participant",
    "ParticipantOutcome",
    "Reports",
    "RoundForecast",
    "RoundOutcome",
    "RoundParameters",
    "SelectionObservation",
    "TrainingOption",
    "TrainingTarget",
]

Whole = NDArray[np.int64]
Real = NDArray[np.float64]


class TrainingTarget(NamedTuple):
    """Where a client trains.

    Attributes:
        processor: the name of one of its phone's processors.
        level: number of its clock level, from the slowest on; ``None`` where that is its governor's
            business.
    """

    processor: str
    level: int | None = None

    def __str__(self) -> str:
        return self.processor if self.level is None else f"{self.processor}/{self.level}"


class TrainingOption(NamedTuple):
    """A target that can be chosen, and what the phone's profile promises of it.

    Attributes:
        target: the target.
        kind: of its processor: ``cpu``, ``gpu``.
        frequency_hz: the clock at that level.
        step_s: seconds of one training step, at the round's batch size, alone.
        power_w: watts of the processor meanwhile, above idle.
    """

    target: TrainingTarget
    kind: str
    frequency_hz: float
    step_s: float
    power_w: float


class Conditions(NamedTuple):
    """How a client's phone is at the moment.

    Attributes:
        is_on: whether it runs at all.
        network: the name of the network that serves it; empty if none does.
        rssi_dbm: strength of its signal; NaN without a network.
        link: what the phone's profile promises at this signal; ``None`` without a network.
        co_cpu, co_mem: share of CPU and memory bandwidth that apps use, in [0, 1].
        charge: of the battery, in [0, 1].
        is_plugged: whether the charger is connected.
        skin_c: temperature, Celsius; NaN if its profile knows nothing of heat.
        rtt_s: round-trip time to the coordinator, as the network promises; NaN without a way there.
        is_air_shared: whether others share its network's air.
    """

    is_on: bool
    network: str
    rssi_dbm: float
    link: LinkState | None
    co_cpu: float
    co_mem: float
    charge: float
    is_plugged: bool
    skin_c: float
    rtt_s: float
    is_air_shared: bool


class Reports(NamedTuple):
    """What many phones would report if they were asked now; all of shape ``(asked,)``.

    Attributes:
        up_bps, down_bps: what profiles promise at the present signals; 0 without a connection.
        co_cpu, co_mem: share of CPU and memory bandwidth that apps use, in [0, 1].
        rtt_s: round-trip time to the coordinator, as the network promises; NaN without a way there.
        is_air_shared: 1 where others share its network's air, else 0.
    """

    up_bps: Real
    down_bps: Real
    co_cpu: Real
    co_mem: Real
    rtt_s: Real
    is_air_shared: Real


@dataclass(frozen=True)
class Clients:
    """All clients of a job, as their coordinator knows them. Arrays are read-only.

    Attributes:
        devices: names of their phones.
        profiles: names of their profiles, by group,
        group: and which group each is of; shape ``(n,)``.
        samples: how many each has; shape ``(n,)``.
        labels: samples of each client (rows) and label (columns); no columns where nothing is trained.
        loss: mean loss of each client's last training; NaN before.
        last_round: in which each took part last; 0 for never.
        duration_s: how long that took it, until its update's arrival; NaN. Collecting its data is in it
            only where that is done each time.
        options: where a client could train, with promises for a batch size.
        conditions: how a client's phone is now. It costs a report of the phone; ask only about those who
            matter.
        reports: the part of it that can be had of many phones at once, given their numbers.
        idle_w: watts of a phone that has nothing to do, by group.
        collect_s: what its profile promises of collecting the data that each has yet to collect before
            it can train; 0 where that is there. Shape ``(n,)``; ``None``: nobody collects any.
    """

    devices: Sequence[str]
    profiles: Sequence[str]
    group: Whole
    samples: Whole
    labels: Whole
    loss: Real
    last_round: Whole
    duration_s: Real
    options: Callable[[int, int], Sequence[TrainingOption]]
    conditions: Callable[[int], Conditions]
    reports: Callable[[Whole], Reports]
    idle_w: Real
    collect_s: Real | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def collecting_s(self, chosen: Whole) -> Real:
        """What these have yet to spend on collecting, by promise; 0 where nobody collects."""
        return np.zeros(len(chosen)) if self.collect_s is None else self.collect_s[chosen]

    def steps(self, client: int, batch_size: int, epochs: int) -> int:
        """Training steps of a client."""
        return epochs * -(-int(self.samples[client]) // batch_size)


class Participant(NamedTuple):
    """One client of a cohort.

    Attributes:
        client: its number.
        target: where it trains.
    """

    client: int
    target: TrainingTarget


class RoundForecast(NamedTuple):
    """What would come of a cohort.

    Attributes:
        duration_s: of the round, until the last update that counts.
        energy_j: of all participants.
        late: those who would not be back in time.
        finish_s: of each participant, from the beginning of the round; infinite for never.
        client_j: joules of each.
    """

    duration_s: float
    energy_j: float
    late: tuple[int, ...]
    finish_s: tuple[float, ...]
    client_j: tuple[float, ...]


class SelectionObservation(NamedTuple):
    """What is known when a cohort is to be chosen.

    Attributes:
        time_s: now.
        job: the job.
        round: from 1 on; in an asynchronous job, how many selections there have been.
        wanted: how many clients to choose.
        eligible: who may be chosen, increasing; at least ``wanted``, unless the job allows fewer.
        clients: everything about them.
        batch_size, epochs: that clients will train with, unless slot ``parameters`` says otherwise.
        deadline_s: of the round; infinity for none.
        accuracy: of the present model, in [0, 1]; NaN if nobody knows.
        model: what is trained.
        downlink_bytes, uplink_bytes: of model and update.
        what_if: what would come of a cohort along the weather as it will really be, each client as if
            the others were not there. For classes with ``needs_what_if`` only; else ``None``.
    """

    time_s: float
    job: str
    round: int
    wanted: int
    eligible: Whole
    clients: Clients
    batch_size: int
    epochs: int
    deadline_s: float
    accuracy: float
    model: ModelCost
    downlink_bytes: float
    uplink_bytes: float
    what_if: Callable[[Sequence[Participant]], RoundForecast] | None = None


class ParticipantOutcome(NamedTuple):
    """What came of one client's part in a round.

    Attributes:
        client: who,
        target: and where.
        status: ``done``, ``partial``, ``late``, ``surplus`` or ``failed:REASON``.
        duration_s: from its selection to the update's arrival, collecting included; NaN if it did not
            arrive.
        download_s, training_s, upload_s: how long its phases took; 0 for those it did not come to.
        energy_j: booked to it on its phone so far, as its meter reads it. A radio's tail may follow.
        compute_j: what the profile's watts make of the time its processor was busy, at each clock.
        transmit_j: what the profile's sending watts make of the time of its upload.
        loss: mean over its batches; NaN if its update did not come or nothing is trained.
        batch_size, epochs: it was to train with.
        collect_s: how long it collected data first; 0 if it did not.
        initial_loss: of the weights that it received, on its samples; NaN if its program did not ask.
        is_switched: whether it jittered its pictures or averaged its weights,
        is_averaged: and whether its update was their mean.
    """

    client: int
    target: TrainingTarget
    status: str
    duration_s: float
    download_s: float
    training_s: float
    upload_s: float
    energy_j: float
    compute_j: float
    transmit_j: float
    loss: float
    batch_size: int
    epochs: int
    collect_s: float = 0.0
    initial_loss: float = nan
    is_switched: bool = False
    is_averaged: bool = False


class RoundOutcome(NamedTuple):
    """What came of a round.

    Attributes:
        round: from 1 on.
        duration_s: from selection to aggregation.
        is_failed: whether no update came, so that there is no new model.
        accuracy: of the model after it, in [0, 1]; NaN if that was not judged,
        accuracy_before: and of the last one judged before; NaN if there was none.
        participants: what came of each.
        energy_local_j: AutoFL's local energy of all participants,
        energy_global_j: and its global energy.
        idle_j: what one phone that did not take part spent meanwhile, by group.
    """

    round: int
    duration_s: float
    is_failed: bool
    accuracy: float
    accuracy_before: float
    participants: tuple[ParticipantOutcome, ...]
    energy_local_j: float
    energy_global_j: float
    idle_j: tuple[float, ...]


class ParametersObservation(NamedTuple):
    """What is known when a cohort has been chosen.

    Attributes:
        time_s, job, round, clients, deadline_s, accuracy, model: as in :class:`SelectionObservation`.
        cohort: the participants.
        clients_per_round: K at present.
        batch_size, epochs: the job's own.
        downlink_bytes, uplink_bytes: of model and update.
    """

    time_s: float
    job: str
    round: int
    clients: Clients
    deadline_s: float
    accuracy: float
    model: ModelCost
    cohort: tuple[Participant, ...]
    clients_per_round: int
    batch_size: int
    epochs: int
    downlink_bytes: float
    uplink_bytes: float


class RoundParameters(NamedTuple):
    """How much is trained.

    Attributes:
        clients_per_round: K of the next round.
        batch_size: B,
        epochs: and E, of all who are not in ``own``.
        own: B and E of single clients.
    """

    clients_per_round: int
    batch_size: int
    epochs: int
    own: Mapping[int, tuple[int, int]] = {}

    def of(self, client: int) -> tuple[int, int]:
        """Batch size and epochs of a client."""
        return self.own.get(client, (self.batch_size, self.epochs))


class LocalTrainingObservation(NamedTuple):
    """What is known when a client is told what to do.

    Attributes:
        time_s, job, round: as above.
        client: its number.
        program: what it would do by the job's own settings, with the round's parameters.
        clients: everything about all of them.
        loss: of the model when it was last judged, on the samples to test with; NaN if nobody knows.
    """

    time_s: float
    job: str
    round: int
    client: int
    program: LocalProgram
    clients: Clients
    loss: float = nan


class LocalTraining(NamedTuple):
    """What a client does.

    Attributes:
        program: with its samples.
        has_control_variate: whether it corrects its drift (SCAFFOLD), which doubles what is sent both
            ways.
    """

    program: LocalProgram
    has_control_variate: bool = False
