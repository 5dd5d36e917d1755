"""The clients of a federated job: their phones, their data, what training costs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.controllers.federated import (
    Clients,
    Conditions,
    Participant,
    Real,
    Reports,
    TrainingOption,
)
from edgesim.controllers.pace import promised_transfer_s
from edgesim.core.errors import EdgesimError
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.hardware.phone import Phone
from edgesim.learning.program import LocalProgram
from edgesim.nn.model import ModelCost
from edgesim.workloads.captures import CaptureTerms, Photography
from edgesim.workloads.local_training import StepTimes, TrainingCosts, TrainingTask
from edgesim.workloads.what_if import forecast_part

__all__ = ["Collecting", "Roster"]


@dataclass(frozen=True, slots=True)
class Collecting:
    """How clients collect their data.

    Attributes:
        terms: how they want their pictures.
        pictures: how many each takes; ``None``: as many as it has samples.
        is_once: whether they do so only the first time that they take part, else each time.
    """

    terms: CaptureTerms
    pictures: int | None
    is_once: bool


class Roster:
    """All clients of a job. Client i is the i-th of its phones.

    Args:
        fleet: all phones.
        rows: the numbers of the job's phones.
        site: where the coordinator is.
        model: what is trained.
        samples: of each client; shape ``(clients,)``.
        labels: samples by client and label.
        idle_w: what a phone of each group draws that has nothing to do, by the group's name.
        collecting: how clients collect their data; ``None``: it is there already.

    Attributes:
        clients: as controllers see them.
        model: what is trained.
        idle_w: by number of group.

    Raises:
        EdgesimError: if the phones of a group cannot train the model at all.
    """

    def __init__(
        self,
        fleet: Fleet,
        rows: Sequence[int],
        site: str,
        model: ModelCost,
        samples: NDArray[np.int64],
        labels: NDArray[np.int64],
        idle_w: Mapping[str, float],
        collecting: Collecting | None = None,
    ) -> None:
        self.model = model
        self._collecting = collecting
        self._photography: list[Photography] = []  # by number of group
        self._fleet = fleet
        self._rows = rows
        self._row_numbers: NDArray[np.int64] = np.array(rows, np.int64)
        self._reporters: dict[int, _GroupReports | None] = {}
        self._site = site
        self._times = StepTimes(model)
        self._tasks: dict[tuple[object, ...], TrainingTask] = {}
        self._costs: list[TrainingCosts] = []
        n = len(rows)
        numbers: dict[str, int] = {}
        profiles: list[str] = []
        devices: list[str] = []
        group_of = np.zeros(n, np.int64)
        for client, row in enumerate(rows):
            group, place = fleet.group_of(row)
            if group.name not in numbers:
                numbers[group.name] = len(numbers)
                profiles.append(group.spec.profile)
                self._costs.append(TrainingCosts(self._times, group.spec, group.governors))
                if not self._costs[-1].is_possible:
                    raise EdgesimError(
                        f"{model.name} cannot be trained on any processor of phone group "
                        f"{group.name!r} ({group.spec.profile})"
                    )
                if collecting is not None:
                    self._photography.append(
                        Photography(group.spec, group.governors, collecting.terms)
                    )
            group_of[client] = numbers[group.name]
            devices.append(group.devices[place])
        self.idle_w: NDArray[np.float64] = np.array([idle_w[name] for name in numbers])
        self._loss: NDArray[np.float64] = np.full(n, nan)
        self._duration_s: NDArray[np.float64] = np.full(n, nan)
        self._last_round: NDArray[np.int64] = np.zeros(n, np.int64)
        self._collect_s: NDArray[np.float64] | None = None
        if collecting is not None:
            self._collect_s = np.array(
                [
                    self._photography[group].promised_s(collecting.pictures or count)
                    for group, count in zip(group_of.tolist(), samples.tolist(), strict=True)
                ]
            )
        self.clients = Clients(
            devices,
            profiles,
            _read_only(group_of),
            _read_only(samples),
            _read_only(labels),
            _read_only(self._loss),
            _read_only(self._last_round),
            _read_only(self._duration_s),
            self.options,
            self.conditions,
            self.reports,
            _read_only(self.idle_w),
            None if self._collect_s is None else _read_only(self._collect_s),
        )
        sizes = np.bincount(group_of, minlength=len(numbers))
        self._everybody_w = float(sizes @ self.idle_w)

    def __len__(self) -> int:
        return len(self._rows)

    def phone(self, client: int) -> Phone:
        """A client's phone."""
        return self._fleet.phone(self._rows[client])

    # -- what it costs ----------------------------------------------------------------------------

    def options(self, client: int, batch_size: int) -> Sequence[TrainingOption]:
        """Where a client can train, with the promises for a batch size."""
        return self._costs_of(client).options(batch_size)

    def option(self, participant: Participant, batch_size: int) -> TrainingOption:
        """The promise for where a participant trains."""
        options = self.options(participant.client, batch_size)
        return next(option for option in options if option.target == participant.target)

    def has(self, participant: Participant) -> bool:
        """Whether its phone can train there."""
        return self._costs_of(participant.client).has(participant.target)

    def resident_bytes(self, client: int, program: LocalProgram) -> int:
        """Memory that training takes on its phone."""
        samples = int(self.clients.samples[client])
        batch_size = min(program.batch_size, samples)
        return self._costs_of(client).resident_bytes(batch_size, averages=program.averages)

    def task(self, client: int, program: LocalProgram) -> TrainingTask:
        """What a program is for the client's processor."""
        samples = int(self.clients.samples[client])
        # All that its cost depends on: thresholds of loss change from round to round.
        key = (
            samples,
            program.batch_size,
            program.epochs,
            program.steps,
            program.needs_initial_loss,
            program.jitter,
            program.averages,
        )
        found = self._tasks.get(key)
        if found is None:
            found = self._tasks[key] = TrainingTask(self._times, samples, program)
        return found

    def nominal_s(
        self,
        batch_size: int,
        epochs: int,
        payload_bytes: tuple[float, float],
        clients_per_round: int,
    ) -> float:
        """What a round takes of the slowest kind of phone with nothing in its way.

        It has as many samples as phones of its group have on average, and trains on its fastest processor
        at full clock; the network is at its best, shared where that is how it is. It collects its data
        first where clients do that, be it only once: else those who have yet to do it would be late for ever.

        Args:
            batch_size: B.
            epochs: E.
            payload_bytes: what comes down, and what goes up.
            clients_per_round: K, who get the model at once.

        Returns:
            Seconds; infinity if no phone has a way to the coordinator.
        """
        groups, samples = self.clients.group, self.clients.samples
        found: list[float] = []
        for number, costs in enumerate(self._costs):
            members = np.flatnonzero((groups == number) & (samples > 0))
            connection = self.phone(int(members[0])).connection if len(members) else None
            steps = epochs * ceil(float(samples[members].mean()) / batch_size) if connection else 0
            links = [
                (
                    *link.rates_at(np.zeros(1))[:, 0],
                    0.0,
                    0.0,
                    2.0 * way.half_rtt_s,
                    link.network.is_shared,
                )
                for link in (() if connection is None else connection.links)
                if (way := link.network.routes.get(self._site)) is not None
            ]
            if links:
                at_best = Reports(*np.array(links, float).T)
                transfer_s = promised_transfer_s(at_best, payload_bytes, clients_per_round).min()
                step_s = min(option.step_s for option in costs.options(batch_size))
                collect_s = 0.0
                if self._collecting is not None:
                    pictures = self._collecting.pictures or float(samples[members].mean())
                    collect_s = self._photography[number].promised_s(pictures)
                found.append(steps * step_s + float(transfer_s) + collect_s)
        return max((each for each in found if each < inf), default=inf)

    def idle_w_of(self, client: int) -> float:
        """Watts of its phone with nothing to do."""
        return float(self.idle_w[self.clients.group[client]])

    def idle_w_but(self, clients: Sequence[int]) -> float:
        """Watts of all phones but these, with nothing to do."""
        return self._everybody_w - float(self.idle_w[self.clients.group[list(clients)]].sum())

    def _costs_of(self, client: int) -> TrainingCosts:
        return self._costs[int(self.clients.group[client])]

    # -- how it is --------------------------------------------------------------------------------

    def conditions(self, client: int) -> Conditions:
        """How a client's phone is now."""
        phone = self.phone(client)
        phone.look()
        link = None if phone.connection is None else phone.connection.link()
        state = None if link is None else link.look()
        way = None if link is None else link.network.routes.get(self._site)
        app = phone.app if phone.is_on else phone.app_asked_for
        thermal = phone.thermal
        return Conditions(
            phone.is_on,
            "" if link is None else link.network.name,
            nan if link is None else link.rssi_dbm,
            state,
            app.cpu,
            app.memory,
            phone.battery.charge,
            phone.battery.is_plugged,
            nan if thermal is None else thermal.skin_c,
            nan if way is None else 2.0 * way.half_rtt_s,
            link is not None and link.network.is_shared,
        )

    def reports(self, clients: NDArray[np.int64]) -> Reports:
        """How many phones are now; group by group where all that matters is known in arrays."""
        found = np.zeros((len(Reports._fields), len(clients)))
        groups = self.clients.group[clients]
        for number in range(len(self._costs)):
            places = np.flatnonzero(groups == number)
            if not len(places):
                continue
            asked = clients[places]
            at_once = self._at_once(number, int(asked[0]))
            if at_once is not None:
                found[:, places] = at_once.now(self._row_numbers[asked])
                continue
            for k, client in zip(places.tolist(), asked.tolist(), strict=True):
                now = self.conditions(client)
                rates = (0.0, 0.0) if now.link is None else now.link[:2]
                found[:, k] = (*rates, now.co_cpu, now.co_mem, now.rtt_s, now.is_air_shared)
        return Reports(*found)

    def _at_once(self, number: int, client: int) -> _GroupReports | None:
        """What tells of a whole group at once; ``None`` if only its phones themselves can."""
        if number not in self._reporters:
            row = self._rows[client]
            group, place = self._fleet.group_of(row)
            known = "rssi" in group.weather
            self._reporters[number] = (
                _GroupReports(group, self._fleet.phone(row), row - place, self._site)
                if known
                else None
            )
        return self._reporters[number]

    def forecast(
        self, participant: Participant, program: LocalProgram, payload_bytes: tuple[float, float]
    ) -> tuple[float, float]:
        """When a client would be back that begins now, and its joules; see :func:`forecast_part`."""
        client, target = participant
        phone = self.phone(client)
        phone.look()
        task = self.task(client, program)
        collects = self.collects(client)
        collected = None if collects is None else collects[0].forecast(phone, collects[1])
        return forecast_part(
            phone, self._site, target.processor, target.level, task, payload_bytes, collected
        )

    # -- what it has done -------------------------------------------------------------------------

    def collects(self, client: int) -> tuple[Photography, int] | None:
        """How a client takes the pictures that it has yet to take, and how many; ``None``: none."""
        collecting, collect_s = self._collecting, self._collect_s
        if collecting is None or collect_s is None or not collect_s[client]:
            return None
        pictures = collecting.pictures or int(self.clients.samples[client])
        return self._photography[int(self.clients.group[client])], pictures

    def has_collected(self, client: int) -> None:
        """It has all of its pictures."""
        if self._collecting is not None and self._collecting.is_once:
            assert self._collect_s is not None
            self._collect_s[client] = 0.0

    def takes_part(self, client: int, round_number: int) -> None:
        """It has been selected."""
        self._last_round[client] = round_number

    def has_trained(self, client: int, loss: float, took_s: float, collect_s: float) -> None:
        """Its update has come; so much of what it took went into collecting data."""
        self._loss[client] = loss
        is_once = self._collecting is not None and self._collecting.is_once
        self._duration_s[client] = took_s - collect_s if is_once else took_s


class _GroupReports:
    """Reports of phones that have one network each, from the signals of their group.

    Args:
        group: the group.
        phone: any phone of it.
        first_row: the number of its first phone.
        site: where the coordinator is.
    """

    def __init__(self, group: PhoneGroup, phone: Phone, first_row: int, site: str) -> None:
        assert phone.connection is not None
        (self._link,) = phone.connection.links
        self._clock = phone.clock
        self._rssi, self._app = group.weather["rssi"], group.weather["app"]
        self._first_row = first_row
        self._use = np.array([(app.cpu, app.memory) for app in phone.surroundings.apps]).T
        self._site = site

    def now(self, rows: NDArray[np.int64]) -> Real:
        """Of the phones with these numbers; shape ``(fields, len(rows))``, as :class:`Reports`."""
        now_s, places = self._clock.now, rows - self._first_row
        found = np.empty((len(Reports._fields), len(rows)))
        found[:2] = self._link.rates_at(self._rssi.values(now_s)[places])
        found[2:4] = self._use[:, self._app.values(now_s)[places].astype(np.int64)]
        way = self._link.network.routes.get(self._site)
        found[4] = nan if way is None else 2.0 * way.half_rtt_s
        found[5] = self._link.network.is_shared
        return found


def _read_only(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view
