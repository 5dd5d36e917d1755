"""A federated job: a coordinator, and its clients round by round, in virtual time.

    select (-> collect data) -> model down -> train -> update up -> aggregate -> evaluate -> ...

The coordinator is a SimPy process that waits for its clients (:mod:`edgesim.workloads.participation`).
Aggregation and evaluation take no simulated time: they are the server's, and of the order of a
millisecond for the models that phones train.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite, isnan, nan
from types import MappingProxyType
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from edgesim.controllers.federated import (
    LocalTraining,
    LocalTrainingObservation,
    ParametersObservation,
    Participant,
    ParticipantOutcome,
    RoundForecast,
    RoundOutcome,
    RoundParameters,
    SelectionObservation,
)
from edgesim.controllers.selection import predicted_s
from edgesim.controllers.slots import Lesson, Slot
from edgesim.core.clock import Clock, Order
from edgesim.core.random import Streams, normals, uniforms
from edgesim.learning.curves import LabelSkews
from edgesim.workloads.eligibility import Eligibility
from edgesim.workloads.learners import Learner, Progress
from edgesim.workloads.participation import DONE, FAILED, PARTIAL, UNFINISHED, Assignment, Part
from edgesim.workloads.roster import Roster
from edgesim.workloads.rounds import (
    FederatedTables,
    FederatedTerms,
    Round,
    Seat,
    participant_row,
    round_row,
)

__all__ = ["FederatedJob", "FederatedSlots"]

LATE = "late"
SURPLUS = "surplus"
FAILED_ROUND = "failed"

Waiting = Generator[simpy.Event, Any, None]


@dataclass(frozen=True, slots=True)
class FederatedSlots:
    """Who decides."""

    selection: Slot[SelectionObservation, tuple[Participant, ...], RoundOutcome]
    parameters: Slot[ParametersObservation, RoundParameters, RoundOutcome]
    local_training: Slot[LocalTrainingObservation, LocalTraining, ParticipantOutcome]


class FederatedJob:
    """One federated job.

    Args:
        clock: the clock.
        name: the job's name.
        terms: what it is to do.
        roster: its clients.
        learner: keeps the model.
        slots: who decides.
        tables: to fill.
        eligibility: who may take part.
        streams: the run's random streams.
        ended: called when everything of it is over.

    Attributes:
        stopped_by: why it has ended; empty while it goes on.
        version: how many models there have been after the first.
    """

    def __init__(
        self,
        clock: Clock,
        name: str,
        terms: FederatedTerms,
        roster: Roster,
        learner: Learner,
        slots: FederatedSlots,
        tables: FederatedTables,
        eligibility: Eligibility,
        streams: Streams,
        ended: Callable[[], None],
    ) -> None:
        self.clock = clock
        self.name = name
        self.terms = terms
        self.learner = learner
        self.stopped_by = ""
        self.version = 0
        self._roster = roster
        self._clients = roster.clients
        self._skews = LabelSkews(roster.clients.labels)
        self._slots = slots
        self._tables = tables
        self._eligibility = eligibility
        self._ended = ended
        self._clients_per_round = terms.clients_per_round
        self._rounds_begun = 0
        self._energy_j = 0.0
        self._energy_global_j = 0.0
        self._streak = 0
        self._failures = 0
        self._accuracy = nan
        self._loss = nan
        self._busy: dict[int, Seat] = {}
        self._open: dict[int, Round] = {}  # rounds with joules still to be booked
        self._has_ended = False
        self._wake: simpy.Event | None = None
        self._dropout_key = streams.key("dropout", name)
        self._noise_key = streams.key("meter", name)
        clock.call_at(terms.starts_s, Order.ARRIVAL, self._start)

    # -- the coordinator --------------------------------------------------------------------------

    def _start(self, _: None) -> None:
        first = self.learner.first()
        self._accuracy, self._loss = first.score[:2]
        self._evaluated(0, first)
        run = self._asynchronous if self.terms.is_asynchronous else self._synchronous
        self.clock.process(run())

    def _synchronous(self) -> Waiting:
        while not self._is_to_stop():
            eligible = self._eligible()
            current = self._open_round(len(eligible))
            if current is None:
                yield self.clock.timeout(self.terms.check_in_s)
                continue
            selection = self._observation(current, current.wanted, eligible)
            cohort = yield from self._ask_selection(selection)
            settled, parameters = self._settle_parameters(current, cohort)
            for participant in cohort:
                self._send_out(current, participant, parameters)
            self._set_deadline(current, cohort, parameters)
            while not current.status:
                self._wake = self.clock.event()
                yield self._wake
            self._conclude(current)
            self._teach(current, (selection, cohort), (settled, parameters))
            current.is_concluded = True
            self._write_if_settled(current)
            if self.clock.now == current.start_s and not self._is_to_stop():
                # Everybody was lost at once; the next cohort would be too, for ever.
                yield self.clock.timeout(self.terms.check_in_s)
        self._end_if_over()

    def _asynchronous(self) -> Waiting:
        current = Round(self._next_number(), self.clock.now)
        self._open[current.number] = current
        rests_until_s = -inf
        ends_s = self.terms.starts_s + self.terms.stop.simulated_s
        self.clock.call_at(ends_s, Order.COMPLETION, self._notify)
        while not self._is_to_stop():
            free = self._clients_per_round - len(self._busy)
            eligible = self._eligible()
            if free and len(eligible) and self.clock.now >= rests_until_s:
                current.eligible = len(eligible)
                observation = self._observation(current, min(free, len(eligible)), eligible)
                cohort = yield from self._ask_selection(observation)
                _, parameters = self._settle_parameters(current, cohort)
                self._write_decisions(current.number, cohort, parameters)
                for participant in cohort:
                    self._send_out(current, participant, parameters)
            elif free:
                is_resting = self.clock.now < rests_until_s
                wakes_s = rests_until_s if is_resting else self.clock.now + self.terms.check_in_s
                self.clock.call_at(wakes_s, Order.COMPLETION, self._notify)
            self._wake = self.clock.event()
            yield self._wake
            while arrived := [s for s in self._busy.values() if s.part.status]:
                seat = arrived[0]
                del self._busy[seat.part.given.participant.client]
                if not seat.counts and seat.part.start_s == self.clock.now:
                    # Lost at once: the next one might be too, for ever.
                    rests_until_s = self.clock.now + self.terms.check_in_s
                if self._take(seat, current):
                    current = self._next_version(current)
        for seat in list(self._busy.values()):
            seat.part.lose(SURPLUS)
        self._leave_off(current)
        self._end_if_over()

    def _leave_off(self, current: Round) -> None:
        """A round that will have no model."""
        if current.seats:
            current.status = current.status or UNFINISHED
            current.end_s = self.clock.now
            current.is_concluded = True
            self._write_if_settled(current)
        else:
            del self._open[current.number]

    def _next_number(self) -> int:
        self._rounds_begun += 1
        return self._rounds_begun

    def _is_to_stop(self) -> bool:
        stop = self.terms.stop
        reasons = {
            "accuracy": self._streak >= stop.for_rounds and isfinite(stop.accuracy),
            "rounds": self._rounds_begun - self.terms.is_asynchronous >= stop.rounds,
            "simulated_s": self.clock.now >= self.terms.starts_s + stop.simulated_s,
            "energy_j": self._energy_j >= stop.energy_j,
            "energy_global_j": self._energy_global_j >= stop.energy_global_j,
            "failed_rounds": self._failures >= stop.failed_rounds,
        }
        self.stopped_by = next((reason for reason, holds in reasons.items() if holds), "")
        return bool(self.stopped_by)

    # -- a round ----------------------------------------------------------------------------------

    def _eligible(self) -> NDArray[np.int64]:
        mask = self._eligibility.at(self.clock.now) & (self._clients.samples > 0)
        if self._busy:
            mask[list(self._busy)] = False
        return np.flatnonzero(mask)

    def _open_round(self, eligible: int) -> Round | None:
        """A round with so many clients to choose from, if they are enough."""
        wanted = ceil(self._clients_per_round * self.terms.over_selection - 1e-9)
        if eligible < max(min(self.terms.least_clients, wanted), 1):
            return None
        current = Round(self._next_number(), self.clock.now)
        current.eligible = eligible
        current.wanted = min(wanted, eligible)
        current.needed = self._clients_per_round
        self._open[current.number] = current
        return current

    def _observation(
        self, current: Round, wanted: int, eligible: NDArray[np.int64]
    ) -> SelectionObservation:
        terms = self.terms
        return SelectionObservation(
            self.clock.now,
            self.name,
            current.number,
            wanted,
            eligible,
            self._clients,
            terms.program.batch_size,
            terms.program.epochs,
            terms.deadline_s,
            self._accuracy,
            self._roster.model,
            terms.downlink_bytes,
            terms.uplink_bytes,
            self._what_if if self._slots.selection.needs_what_if else None,
        )

    def _ask_selection(
        self, observation: SelectionObservation
    ) -> Generator[simpy.Event, Any, tuple[Participant, ...]]:
        answered = self.clock.event()

        def reply(cohort: tuple[Participant, ...]) -> None:
            answered.succeed(cohort)

        self._slots.selection.ask(observation, reply)
        cohort = yield answered
        return self._checked(observation, cohort)

    def _checked(
        self, observation: SelectionObservation, cohort: Sequence[Participant]
    ) -> tuple[Participant, ...]:
        """A cohort that can be: eligible clients, each once, not too many, at targets they have."""
        slot = self._slots.selection
        eligible = set(observation.eligible.tolist())
        seen: set[int] = set()
        for client, target in cohort:
            if client not in eligible or client in seen:
                why = "twice" if client in seen else "who may not take part"
                raise slot.error(f"chose client {client} {why}, at {self.clock.now:g} s")
            seen.add(client)
            if not self._roster.has(Participant(client, target)):
                known = ", ".join(
                    str(o.target) for o in self._roster.options(client, observation.batch_size)
                )
                raise slot.error(
                    f"chose {target!s} for client {client} ({self._clients.devices[client]}); "
                    f"possible: {known}"
                )
        if not 1 <= len(cohort) <= observation.wanted:
            raise slot.error(
                f"chose {len(cohort)} clients where {observation.wanted} were asked for"
            )
        return tuple(sorted(cohort))

    def _settle_parameters(
        self, current: Round, cohort: tuple[Participant, ...]
    ) -> tuple[ParametersObservation, RoundParameters]:
        terms, slot = self.terms, self._slots.parameters
        observation = ParametersObservation(
            self.clock.now,
            self.name,
            current.number,
            self._clients,
            terms.deadline_s,
            self._accuracy,
            self._roster.model,
            cohort,
            self._clients_per_round,
            terms.program.batch_size,
            terms.program.epochs,
            terms.downlink_bytes,
            terms.uplink_bytes,
        )
        answers: list[RoundParameters] = []
        slot.ask(observation, answers.append)
        parameters = answers[0]
        pairs = [(parameters.batch_size, parameters.epochs), *parameters.own.values()]
        if parameters.clients_per_round < 1 or any(min(pair) < 1 for pair in pairs):
            raise slot.error(f"chose {parameters}: all of it must be at least 1")
        self._clients_per_round = parameters.clients_per_round
        current.batch_size, current.epochs = parameters.batch_size, parameters.epochs
        return observation, parameters

    def _send_out(
        self, current: Round, participant: Participant, parameters: RoundParameters
    ) -> None:
        """Tell a client what to do, and let it begin."""
        terms, client, slot = self.terms, participant.client, self._slots.local_training
        batch_size, epochs = parameters.of(client)
        base = replace(terms.program, batch_size=batch_size, epochs=epochs)
        answers: list[LocalTraining] = []
        asked = LocalTrainingObservation(
            self.clock.now, self.name, current.number, client, base, self._clients, self._loss
        )
        slot.ask(asked, answers.append)
        program, corrects = answers[0]
        if corrects and terms.is_asynchronous:
            raise slot.error("asks for control variates, which asynchronous jobs do not have")
        if base.tells_initial_loss:  # the aggregation wants it, whatever the controller does
            program = replace(program, tells_initial_loss=True)
        opening = self.learner.begin(client, current.number, program, corrects=corrects)
        phone = self._roster.phone(client)
        offline_s, reason = self._eligibility.until(client, self.clock.now)
        given = Assignment(
            current.number,
            participant,
            batch_size,
            epochs,
            self._roster.task(client, opening.program),
            terms.downlink_bytes * (1 + corrects),
            terms.uplink_bytes * (1 + corrects),
            self._roster.resident_bytes(client, opening.program),
            terms.site,
            self._breaks_down_at(current, client),
            offline_s,
            reason,
            self._roster.collects(client),
        )
        part = Part(self.clock, self.name, phone, given, self._part_over, self._part_written)
        seat = Seat(part, asked, answers[0], opening, self.version)
        seat.is_whole_batch = batch_size > int(self._clients.samples[client])
        current.seats.append(seat)
        self._busy[client] = seat
        self._roster.takes_part(client, current.number)
        part.begin()

    def _breaks_down_at(self, current: Round, client: int) -> float:
        """After which share of its training a client breaks down: the same under every controller."""
        if not self.terms.dropout:
            return 1.0
        draw = current.number * len(self._roster) + client
        chance, moment = uniforms(self._dropout_key, 2 * draw, 2).tolist()
        return float(moment) if chance < self.terms.dropout else 1.0

    def _set_deadline(
        self, current: Round, cohort: Sequence[Participant], parameters: RoundParameters
    ) -> None:
        terms = self.terms
        deadline_s = terms.deadline_s
        if terms.deadline_percentile is not None:
            networks = Counter(self._clients.conditions(each.client).network for each in cohort)
            predicted = [
                predicted_s(
                    self._clients,
                    each.client,
                    self._roster.option(each, parameters.of(each.client)[0]),
                    parameters.of(each.client),
                    (terms.downlink_bytes, terms.uplink_bytes),
                    networks[self._clients.conditions(each.client).network],
                )
                for each in cohort
            ]
            known = [each for each in predicted if isfinite(each)]
            if known:
                deadline_s = float(np.percentile(known, terms.deadline_percentile))
        # A budget of time ends the round that is going on.
        ends_s = min(current.start_s + deadline_s, terms.starts_s + terms.stop.simulated_s)
        current.deadline_s = min(deadline_s, ends_s - current.start_s)
        self.clock.call_at(ends_s, Order.COMPLETION, self._time_is_up, current)

    def _time_is_up(self, current: Round) -> None:
        """The deadline of a round has come."""
        if current.status:
            return
        for seat in list(current.seats):
            is_sending = self.terms.sends_partial and seat.part.hurry()
            if not seat.part.status and not is_sending:
                seat.part.lose(LATE)

    def _part_over(self, part: Part) -> None:
        """A client's part is over, whatever came of it."""
        if part.has_collected:
            self._roster.has_collected(part.given.participant.client)
        if self.terms.is_asynchronous:
            self._notify()
            return
        current = self._open[part.given.round]
        seat = next(each for each in current.seats if each.part is part)
        self._busy.pop(part.given.participant.client, None)
        if not seat.counts:
            self.learner.withdraw(seat.opening.ticket)
        elif part.status == PARTIAL:
            self.learner.shorten(seat.opening.ticket, part.steps)
        if current.status:
            return
        reported = sum(each.counts for each in current.seats)
        left = [each for each in current.seats if not each.part.status]
        is_enough = reported >= min(current.needed, len(current.seats))
        if is_enough or not left:
            current.status = DONE if reported else FAILED_ROUND
            for each in left:
                each.part.lose(SURPLUS)
            self._notify()

    def _notify(self, _: None = None) -> None:
        wake, self._wake = self._wake, None
        if wake is not None and not wake.triggered:
            wake.succeed()

    # -- its end ----------------------------------------------------------------------------------

    def _conclude(self, current: Round) -> None:
        """Make of a round's updates the next model."""
        current.end_s = self.clock.now
        seats = [seat for seat in current.seats if seat.counts]
        if seats:
            progress = self.learner.conclude([seat.opening.ticket for seat in seats])
            self._note(progress, seats)
            if progress.is_new:
                self.version += 1
            else:
                current.status = FAILED_ROUND  # no update was of any use
            self._judge(current, progress)
        self._failures = self._failures + 1 if current.status == FAILED_ROUND else 0
        self._account(current)

    def _take(self, seat: Seat, current: Round) -> bool:
        """Take in what came of a client of an asynchronous job; says whether there is a new model."""
        if not seat.counts:
            self.learner.withdraw(seat.opening.ticket)
            self._teach_local(seat)
            return False
        seat.staleness = self.version - seat.version
        progress = self.learner.receive(seat.opening.ticket)
        self._note(progress, [seat])
        self._teach_local(seat)
        if progress.is_new:
            self.version += 1
            current.status = DONE
            current.end_s = self.clock.now
            self._judge(current, progress)
        return progress.is_new

    def _teach_local(self, seat: Seat) -> None:
        """Tell who decided about a client's training what came of it."""
        slot = self._slots.local_training
        if slot.learns:
            slot.learn(seat.asked, seat.told, self._participant_outcome(seat))

    def _next_version(self, current: Round) -> Round:
        """Those still at work belong to the round that they will end in."""
        following = Round(self._next_number(), self.clock.now)
        self._open[following.number] = following
        busy = list(self._busy.values())
        current.seats, following.seats = (
            [seat for seat in current.seats if (seat in busy) is is_busy]
            for is_busy in (False, True)
        )
        following.eligible = current.eligible
        self._account(current)
        current.is_concluded = True
        self._write_if_settled(current)
        return following

    def _note(self, progress: Progress, seats: Sequence[Seat]) -> None:
        for seat in seats:
            client = seat.part.given.participant.client
            if seat.opening.ticket in progress.diverged:
                seat.final = FAILED + "diverged"
                continue
            seat.loss = progress.losses.get(seat.opening.ticket, nan)
            seat.is_averaged = seat.opening.ticket in progress.averaged
            part = seat.part
            collected = part.phase("collect")
            collect_s = 0.0 if collected is None else collected.seconds
            self._roster.has_trained(client, seat.loss, self.clock.now - part.start_s, collect_s)

    def _judge(self, current: Round, progress: Progress) -> None:
        current.score = progress.score
        if not isnan(progress.score.accuracy):
            self._accuracy, self._loss = progress.score[:2]
            is_good = self._accuracy >= self.terms.stop.accuracy
            self._streak = self._streak + 1 if is_good else 0
        self._evaluated(current.number, progress)

    def _evaluated(self, number: int, progress: Progress) -> None:
        table = self._tables.evaluations
        if table is None or isnan(progress.score.accuracy):
            return
        for group, score in {"all": progress.score, **progress.groups}.items():
            table.add((self.name, number, group, score.accuracy, score.loss, score.samples))

    def _account(self, current: Round) -> None:
        """AutoFL's local and global energy of a round (its equations of energy)."""
        lasted_s = current.end_s - current.start_s
        local_j = sum(self._by_equation_j(seat, lasted_s) for seat in current.seats)
        taking_part = [seat.part.given.participant.client for seat in current.seats]
        current.energy_local_j = float(local_j)
        others_w = self._roster.idle_w_but(taking_part)
        current.energy_global_j = float(local_j + others_w * lasted_s)
        self._energy_j += sum(seat.part.energy_j for seat in current.seats)
        self._energy_global_j += current.energy_global_j

    def _by_equation_j(self, seat: Seat, lasted_s: float) -> float:
        """Compute and communication by AutoFL's equations, as its profile has the watts.

        They know of no camera.
        """
        part = seat.part
        client = part.given.participant.client
        idle_j = self._roster.idle_w_of(client) * lasted_s
        upload = part.phase("upload")
        sending_j = 0.0 if upload is None else part.transmit_w * upload.seconds
        return part.compute_j + sending_j + idle_j

    def _teach(
        self,
        current: Round,
        selected: tuple[SelectionObservation, tuple[Participant, ...]],
        settled: tuple[ParametersObservation, RoundParameters],
    ) -> None:
        """Tell the controllers what came of a round, and write their decisions down."""
        outcome = self._outcome(current, selected[0].accuracy)
        slots = self._slots
        lessons: dict[str, Lesson | None] = {}
        if slots.selection.learns:
            lessons["selection"] = slots.selection.learn(*selected, outcome)
        if slots.parameters.learns:
            lessons["parameters"] = slots.parameters.learn(*settled, outcome)
        for seat in current.seats:
            self._teach_local(seat)
        self._write_decisions(current.number, selected[1], settled[1], lessons, current.start_s)

    def _write_decisions(
        self,
        number: int,
        cohort: tuple[Participant, ...],
        parameters: RoundParameters,
        lessons: Mapping[str, Lesson | None] = MappingProxyType({}),
        time_s: float | None = None,
    ) -> None:
        """One row for the parameters, one for each client that has its own; one for each client's target."""
        table, slots = self._tables.decisions, self._slots
        if table is None:
            return
        chosen = f"B={parameters.batch_size} E={parameters.epochs} K={parameters.clients_per_round}"
        rows = [("parameters", f"round {number}", chosen)]
        rows += [
            ("parameters", self._clients.devices[client], f"B={batch_size} E={epochs}")
            for client, (batch_size, epochs) in sorted(parameters.own.items())
        ]
        rows += [
            ("selection", self._clients.devices[client], str(target)) for client, target in cohort
        ]
        for name, subject, decision in rows:
            slot: Slot[Any, Any, Any] = getattr(slots, name)
            lesson = lessons.get(name)
            table.add(
                (
                    self.clock.now if time_s is None else time_s,
                    self.name,
                    name,
                    slot.controller_name,
                    subject,
                    decision,
                    None if lesson is None else lesson.reward,
                    False if lesson is None else lesson.is_explored,
                    "evaluation",
                )
            )

    def _outcome(self, current: Round, accuracy_before: float) -> RoundOutcome:
        lasted_s = current.end_s - current.start_s
        is_failed = current.status == FAILED_ROUND
        return RoundOutcome(
            current.number,
            lasted_s,
            is_failed,
            accuracy_before if is_failed else current.score.accuracy,
            accuracy_before,
            tuple(self._participant_outcome(seat) for seat in current.seats),
            current.energy_local_j,
            current.energy_global_j,
            tuple((self._roster.idle_w * lasted_s).tolist()),
        )

    def _participant_outcome(self, seat: Seat) -> ParticipantOutcome:
        part = seat.part
        given = part.given
        seconds = {phase.name: phase.seconds for phase in part.phases}
        upload_s = seconds.get("upload", 0.0)
        return ParticipantOutcome(
            given.participant.client,
            given.participant.target,
            seat.status,
            part.end_s - part.start_s if seat.counts else nan,
            seconds.get("download", 0.0),
            seconds.get("training", 0.0),
            upload_s,
            self._metered_j(part),
            part.compute_j,
            part.transmit_w * upload_s,
            seat.loss,
            given.batch_size,
            given.epochs,
            seconds.get("collect", 0.0),
            seat.opening.initial_loss,
            seat.is_switched,
            seat.is_averaged,
        )

    def _metered_j(self, part: Part) -> float:
        """What the phone's meter says: the same relative error under every controller."""
        noise = self.terms.meter_noise
        if not noise:
            return part.energy_j
        draw = part.given.round * len(self._roster) + part.given.participant.client
        error = float(normals(self._noise_key, draw, 1)[0])
        return max(part.energy_j * (1.0 + noise * error), 0.0)

    # -- what is written down ---------------------------------------------------------------------

    def _part_written(self, part: Part) -> None:
        """The last joule of a client's part has been booked."""
        current = next(
            each for each in self._open.values() if any(s.part is part for s in each.seats)
        )
        next(seat for seat in current.seats if seat.part is part).is_written = True
        self._write_if_settled(current)

    def _write_if_settled(self, current: Round) -> None:
        if current.is_concluded and all(seat.is_written for seat in current.seats):
            del self._open[current.number]
            self._write(current)
            self._end_if_over()

    def _end_if_over(self) -> None:
        """Say so, when the job has stopped and its last joule has been booked."""
        if self.stopped_by and not self._open and not self._has_ended:
            self._has_ended = True
            self._ended()

    def _write(self, current: Round) -> None:
        """The row of a round, and those of its clients."""
        rounds, participants = self._tables.rounds, self._tables.participants
        if rounds is not None:
            rounds.add(round_row(self.name, current, self._skews))
        if participants is not None:
            is_asynchronous = self.terms.is_asynchronous
            participants.add_all(
                participant_row(
                    self.name, current, seat, self._clients, is_asynchronous=is_asynchronous
                )
                for seat in current.seats
            )

    def cut_off(self) -> None:
        """The run is over: settle what is under way. Its radios must settle next."""
        self._has_ended = True
        self.stopped_by = self.stopped_by or "end of run"
        for current in list(self._open.values()):
            if not current.is_concluded:
                current.status = UNFINISHED
                current.end_s = self.clock.now
                current.is_concluded = True
            for seat in list(current.seats):
                seat.part.cut_off()
            if not current.seats:
                self._open.pop(current.number, None)
            elif current.number in self._open:
                self._write_if_settled(current)

    def story(self) -> dict[str, float | str | None]:
        """What the summary needs besides tables."""
        target = self.terms.stop.accuracy
        return {
            "accuracy_source": self.learner.source,
            "stopped_by": self.stopped_by,
            "target_accuracy": None if target == inf else target,
            "for_rounds": self.terms.stop.for_rounds,
            "accuracy_rmse": self.learner.error,
        }

    def _what_if(self, cohort: Sequence[Participant]) -> RoundForecast:
        """What would come of a cohort, each client as if the others were not there."""
        terms, now_s = self.terms, self.clock.now
        payload_bytes = (terms.downlink_bytes, terms.uplink_bytes)
        finish_s, joules, late = [], [], []
        for participant in cohort:
            end_s, energy_j = self._roster.forecast(participant, terms.program, payload_bytes)
            if end_s >= self._eligibility.until(participant.client, now_s)[0]:
                end_s = inf
            finish_s.append(end_s - now_s)
            joules.append(energy_j)
            if end_s - now_s > terms.deadline_s or end_s == inf:
                late.append(participant.client)
        back = [each for each in finish_s if each <= terms.deadline_s and each < inf]
        lasts_s = terms.deadline_s if late and terms.deadline_s < inf else max(back, default=inf)
        return RoundForecast(lasts_s, sum(joules), tuple(late), tuple(finish_s), tuple(joules))
