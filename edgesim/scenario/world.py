"""A world: a scenario built, ready to run once."""

from __future__ import annotations

import gc
import itertools
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import fsum, inf
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.controllers.registry import FEDERATED_SLOTS, make_controller
from edgesim.controllers.slots import Option, Setting, Slot, Target
from edgesim.core.clock import Clock, Order
from edgesim.core.errors import ConfigError, EdgesimError, Problem, SimulationError
from edgesim.core.power import check_books
from edgesim.core.random import Streams, normals, uniforms
from edgesim.core.recorder import Recorder, Table
from edgesim.core.signals import (
    ConstantBank,
    GaussMarkovBank,
    MarkovBank,
    SignalBank,
    TraceBank,
)
from edgesim.core.units import mbps_to_bps, ms_to_s
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.hardware.phone import NO_APP, Attachment, Phone, Surroundings
from edgesim.hardware.processor import Governor
from edgesim.hardware.server import Server
from edgesim.hardware.specs import AppSpec, PhoneSpec
from edgesim.hardware.truth import AS_PUBLISHED, Truth
from edgesim.network.flows import Wire
from edgesim.network.radio import Ether, Network, Route
from edgesim.network.roaming import RoamingRules
from edgesim.network.traces import bandwidth_banks, speed_banks
from edgesim.nn.cost import ProcessorSpec
from edgesim.nn.model import ModelCost
from edgesim.scenario.air import build_network, rssi_by_distance
from edgesim.scenario.federated import Subject, build_federated, capture_terms, study
from edgesim.scenario.federated_schema import FederatedJobSpec
from edgesim.scenario.journal import Journal
from edgesim.scenario.load import LoadedScenario
from edgesim.scenario.quantities import gauss_markov_limits
from edgesim.scenario.references import device_names, fixed_level
from edgesim.scenario.schema import (
    ArrivalsSpec,
    ArrivalTraceSpec,
    AttachmentSpec,
    BandwidthSpec,
    BandwidthTraceSpec,
    BandwidthUsersSpec,
    DiurnalSpec,
    GovernorSpec,
    InferenceJobSpec,
    JobSpec,
    LiveTrainingSpec,
    PeriodicSpec,
    PhoneGroupSpec,
    PoissonSpec,
    SiteSpec,
    StatesSpec,
    TurnsSpec,
    WifiDirectSpec,
)
from edgesim.scenario.seats import class_name_of, parameters, seat_of
from edgesim.scenario.signal_schema import (
    ConstantSpec,
    GaussMarkovSpec,
    MarkovSpec,
    ScheduleSpec,
    TraceSpec,
)
from edgesim.scenario.sites import build_server
from edgesim.scenario.topology import ways
from edgesim.workloads.arrivals import (
    Arrivals,
    DiurnalArrivals,
    PeriodicArrivals,
    PoissonArrivals,
    TraceArrivals,
    TurnsArrivals,
)
from edgesim.workloads.errand import Visit
from edgesim.workloads.federated import FederatedJob
from edgesim.workloads.inference import InferenceJob, Request, Terms
from edgesim.workloads.menu import menus

if TYPE_CHECKING:
    from edgesim.learning.data import Dataset

__all__ = ["World"]

_SLICES = 200


class World:
    """Everything that exists in one run.

    Args:
        loaded: the scenario.
        recorder: what is to be written down, and where.
        phones_seed: decides how each phone differs from its profile; by default the scenario's seed. Another
            run with its own weather can so have the same phones.

    Attributes:
        clock: the clock.
        fleet: the phones.
        servers: by site.
        jobs: by name.
        controllers: who sits where: by job, then slot.
        learners: the controllers that learn, by where they sit: ``SLOT``, or ``JOB.SLOT``.
    """

    def __init__(
        self, loaded: LoadedScenario, recorder: Recorder, *, phones_seed: int | None = None
    ) -> None:
        scenario = loaded.scenario
        self._scenario = scenario
        self._loaded = loaded
        self._recorder = recorder
        self._streams = Streams(scenario.seed)
        self._of_phones = Streams(scenario.seed if phones_seed is None else phones_seed)
        self._finished = False
        self._state_writers: list[_StateWriter] = []
        self.clock = Clock()
        self.ether = Ether(self.clock)
        self.networks = self._networks()
        self.servers = {
            name: self._server(name, spec) for name, spec in sorted(scenario.sites.items())
        }
        self.fleet = Fleet(self.ether, [self._group(name) for name in scenario.phones], self._watch)
        self.controllers: dict[str, dict[str, str]] = {}
        self.learners: dict[str, Any] = {}
        self._shared: dict[str, Any] = {}
        self._menus = {
            name: menus(
                self.fleet,
                sorted(spec.phones or scenario.phones),
                loaded.models[spec.model],
                self._servers_of(spec),
                self._hosts_of(spec),
                spec.targets,
            )
            for name, spec in sorted(scenario.inference_jobs.items())
        }
        self.jobs = {
            name: self._inference(name, spec)
            for name, spec in sorted(scenario.inference_jobs.items())
        }
        self.data_sha256: dict[str, str] = {}
        self.federated = {
            name: self._federated(name, spec)
            for name, spec in sorted(scenario.federated_jobs.items())
        }
        self._going_on = set(self.federated)
        training = scenario.training
        if isinstance(training, LiveTrainingSpec) and training.is_frozen:
            self.clock.call_at(training.duration_s, Order.WEATHER, self._freeze)

    # -- building ---------------------------------------------------------------------------------

    def _server(self, name: str, site: SiteSpec) -> Server:
        spec = self._loaded.catalogue.server(site.server)
        truth = self._truth(name, 1, spec.processors)(0)
        return build_server(self.clock, name, site, spec, truth, self._bank)

    def _networks(self) -> dict[str, Network]:
        """Networks, each with its ways to all places."""
        scenario, clock = self._scenario, self.clock
        wires = {
            name: (
                Wire(name, mbps_to_bps(link.uplink_mbps)),
                Wire(name, mbps_to_bps(link.downlink_mbps)),
            )
            for name, link in sorted(scenario.links.items())
        }
        networks = {}
        for name, spec in sorted(scenario.networks.items()):
            networks[name] = network = build_network(clock, name, spec)
            for way in ways(scenario, name):
                up = tuple(wires[link][0] for link in way.links)
                down = tuple(wires[link][1] for link in reversed(way.links))
                network.routes[way.place] = Route(up, down, 0.5 * way.rtt_s)
        return networks

    def _group(self, name: str) -> PhoneGroup:
        spec = self._scenario.phones[name]
        phone = self._loaded.catalogue.phone(spec.profile, spec.runtime)
        if spec.cooled:
            phone = replace(phone, thermal=None)
        surroundings, weather = self._surroundings(name, spec)
        alone = [
            (network, attached)
            for network, attached in spec.attachments.items()
            if attached.bandwidth is None
            and len(spec.attachments) == 1
            and self.networks[network].kind != "wifi_direct"
        ]
        for network, attached in alone:
            weather = {**weather, "rssi": self._rssi(name, spec, network, attached)}
        return PhoneGroup(
            name=name,
            devices=device_names(name, spec.count),
            spec=phone,
            charge=np.full(spec.count, spec.charge),
            attachments=self._attachments(name, spec),
            networks=[self.networks[network] for network in spec.attachments],
            surroundings=surroundings,
            weather=weather,
            governors={
                processor: _governor(spec.governor, cost)
                for processor, cost in phone.processors.items()
            },
            truth=self._truth(name, spec.count, phone.processors),
            roaming=RoamingRules(
                spec.roaming.join_dbm,
                spec.roaming.margin_db,
                ms_to_s(spec.roaming.gap_ms),
                ms_to_s(spec.roaming.switch_gap_ms),
            ),
        )

    def _attachments(
        self, group: str, spec: PhoneGroupSpec
    ) -> Callable[[int], Sequence[Attachment]]:
        """The networks of each phone of a group."""
        makers = [
            self._attachment(group, spec, network, attached)
            for network, attached in spec.attachments.items()
        ]
        return lambda place: [make(place) for make in makers]

    def _attachment(
        self, group: str, spec: PhoneGroupSpec, name: str, attached: AttachmentSpec
    ) -> Callable[[int], Attachment]:
        """One network of each phone of a group."""
        network, count = self.networks[name], spec.count
        rssi = self._rssi(group, spec, name, attached)
        bandwidth = self._bandwidth(group, count, attached.bandwidth)
        host: Callable[[], Phone] | None = None
        if network.kind == "wifi_direct":
            (place,) = network.routes
            host = lambda: self.fleet.phone(self.fleet.rows(place).start)  # noqa: E731

        def of(place: int) -> Attachment:
            known = None
            if bandwidth is not None:
                down, up = bandwidth
                known = (up.signal(place), down.signal(place))
            return Attachment(network, rssi.signal(place), known, host)

        return of

    def _rssi(
        self, group: str, spec: PhoneGroupSpec, name: str, attached: AttachmentSpec
    ) -> SignalBank:
        """How strong a network is at each phone of a group."""
        if attached.rssi_dbm is not None:
            what = "rssi" if spec.network is not None else f"rssi {name}"
            return self._bank(attached.rssi_dbm, what, group, spec.count)
        station = self._scenario.networks[name]
        assert spec.mobility is not None
        assert not isinstance(station, WifiDirectSpec)
        courses, phones = self._loaded.recordings.courses, _stream_names(group, spec.count)
        return rssi_by_distance(name, station, spec.mobility, courses, self._streams, phones)

    def _bandwidth(
        self, group: str, count: int, spec: BandwidthSpec | None
    ) -> tuple[SignalBank, SignalBank] | None:
        """Measured rates of each phone of a group, down and up."""
        phones = _stream_names(group, count)
        match spec:
            case BandwidthTraceSpec():
                return bandwidth_banks(
                    self._loaded.recordings.bandwidths[tuple(spec.files)],
                    self._streams,
                    phones,
                    uplink_ratio=spec.uplink_ratio,
                    has_random_offset=spec.random_offset,
                )
            case BandwidthUsersSpec():
                return speed_banks(
                    self._loaded.recordings.speeds[spec.file],
                    self._streams,
                    phones,
                    step_s=spec.step_s,
                    correlation_time_s=spec.correlation_time_s,
                )
        return None

    def _surroundings(
        self, name: str, spec: PhoneGroupSpec
    ) -> tuple[Callable[[int], Surroundings], dict[str, SignalBank]]:
        """What the world does to each phone of a group, and the signals of that."""
        count = spec.count
        apps = [
            NO_APP,
            *(self._app(app) for app in sorted(_app_names(spec.app) - {NO_APP.name})),
        ]
        number = {app.name: float(index) for index, app in enumerate(apps)}
        banks = {
            what: self._bank(signal, what, name, count, value)
            for signal, what, value in (
                (spec.app or _constant(NO_APP.name), "app", number.__getitem__),
                (spec.screen_on or _constant(0.0), "screen", float),
                (spec.plugged_in or _constant(0.0), "plugged", float),
                (spec.ambient_c or _constant(_AMBIENT_C), "ambient", float),
            )
        }

        def of(place: int) -> Surroundings:
            app, screen, plugged, ambient_c = (bank.signal(place) for bank in banks.values())
            return Surroundings(app, screen, plugged, ambient_c, tuple(apps), spec.brightness)

        return of, banks

    def _app(self, name: str) -> AppSpec:
        own = self._scenario.apps.get(name)
        if own is None:
            return self._loaded.catalogue.app(name)
        return AppSpec(name, own.cpu, own.memory, own.ram_mb * 1e6)

    def _truth(
        self, device: str, count: int, processors: Mapping[str, ProcessorSpec]
    ) -> Callable[[int], Truth]:
        """How each device of a group really differs from its profile."""
        mismatch = self._scenario.mismatch
        if mismatch is None or not mismatch.spread:
            return lambda _: AS_PUBLISHED
        names = _stream_names(device, count)
        factors: dict[str, list[Mapping[str, float]]] = {}
        for what in ("slower", "hungrier"):
            columns = {}
            for name, processor in sorted(processors.items()):
                keys = self._of_phones.keys(f"{what} {name}", names)
                sigma = mismatch.spread * processor.sigma
                columns[name] = np.exp(sigma * normals(keys, 0, 1)[:, 0]).tolist()
            factors[what] = [
                {name: column[place] for name, column in columns.items()} for place in range(count)
            ]
        return lambda place: Truth(factors["slower"][place], factors["hungrier"][place])

    def _bank(
        self,
        spec: Any,
        what: str,
        group: str,
        count: int,
        number: Callable[[Any], float] = float,
    ) -> SignalBank:
        """One signal per phone of a group, each from streams of its own.

        Args:
            spec: what the scenario says.
            what: the quantity; names the streams.
            group: the group.
            count: how many phones.
            number: turns its values into numbers.
        """
        streams = self._streams
        phones = _stream_names(group, count)
        match spec:
            case ConstantSpec():
                return ConstantBank(np.full(count, number(spec.value)))
            case ScheduleSpec():
                times_s, steps = zip(*spec.steps, strict=True)
                values = [number(value) for value in steps]
                offsets_s = np.zeros(count)
                return TraceBank(times_s, values, period_s=spec.period_s, offsets_s=offsets_s)
            case TraceSpec():
                times, path = self._loaded.recordings.signals[spec.file]
                offsets_s = np.zeros(count)
                if spec.random_offset and spec.period_s is not None:
                    offsets_s = (
                        spec.period_s * uniforms(streams.keys(f"{what} offset", phones), 0, 1)[:, 0]
                    )
                return TraceBank(times, path, period_s=spec.period_s, offsets_s=offsets_s)
            case MarkovSpec():
                return MarkovBank(
                    streams.keys(f"{what} dwell", phones),
                    streams.keys(f"{what} jump", phones),
                    [number(value) for value in spec.values],
                    spec.mean_dwell_s,
                    spec.jumps,
                )
            case GaussMarkovSpec():
                lowest, highest = gauss_markov_limits(what)
                return GaussMarkovBank(
                    streams.keys(what, phones),
                    spec.mean,
                    spec.std,
                    spec.step_s,
                    spec.correlation_time_s,
                    lowest if spec.min is None else spec.min,
                    highest if spec.max is None else spec.max,
                )
        raise SimulationError(f"unknown signal {spec!r}")

    def _inference(self, name: str, spec: InferenceJobSpec) -> InferenceJob:
        scenario, fleet = self._scenario, self.fleet
        # In the order of phone numbers, however the job lists its groups.
        groups = sorted(spec.phones or scenario.phones)
        rows = [row for group in groups for row in fleet.rows(group)]
        phones = [
            phone
            for group in groups
            for phone in _stream_names(group, scenario.phones[group].count)
        ]
        arrivals = self._arrivals(name, spec.arrivals, phones)
        return InferenceJob(
            self.clock,
            fleet,
            name,
            rows,
            self._loaded.models[spec.model],
            self._menus[name],
            arrivals,
            self._terms(spec),
            hosts=self._hosts_of(spec),
            slot=self._slot("offloading", name, spec),
            horizon_s=scenario.duration_s,
            is_preloaded=spec.models_loaded == "at_start",
            meter_noise=scenario.mismatch.meter_noise if scenario.mismatch else 0.0,
            noise_keys=self._streams.keys(f"meter {name}", phones).tolist(),
            requests=self._recorder.table("requests"),
            decisions=self._recorder.table("decisions"),
            forecasts=self._recorder.table("forecasts"),
            asks_oracle=scenario.check.oracle or scenario.record.forecasts,
        )

    def _federated(self, name: str, spec: FederatedJobSpec) -> FederatedJob:
        scenario, fleet = self._scenario, self.fleet
        groups = sorted(spec.phones or scenario.phones)
        loaded = self._loaded
        phones = [scenario.phones[group].profile for group in groups for _ in fleet.rows(group)]
        subject = study(spec, name, phones, loaded.catalogue, loaded.path, self._streams)
        self.data_sha256 |= subject.digests
        models = [subject.model]
        slots = {
            slot: self._slot(slot, name, spec, models, groups)
            for slot in FEDERATED_SLOTS
            if slot != "aggregation"
        }
        self._check_local_training(slots["local_training"], spec, subject)
        aggregation = self._aggregation(name, spec)
        try:
            return build_federated(
                name,
                spec,
                clock=self.clock,
                fleet=fleet,
                groups=groups,
                subject=subject,
                aggregation=aggregation,
                slots=slots,
                bank=self._bank,
                streams=self._streams,
                recorder=self._recorder,
                journal=Journal(self._recorder.folder and self._recorder.folder / "journal", name),
                meter_noise=scenario.mismatch.meter_noise if scenario.mismatch else 0.0,
                ended=lambda: self._job_has_ended(name),
            )
        except EdgesimError as error:
            if isinstance(error, ConfigError):
                raise
            problem = Problem(str(self._loaded.path), None, f"jobs.{name}", str(error))
            raise ConfigError([problem]) from None

    def _check_local_training(
        self, slot: Slot[Any, Any, Any], spec: FederatedJobSpec, subject: Subject
    ) -> None:
        """See whether what a job learns from is of use to who decides about training."""
        name, controller = slot.controller_name, slot.controller
        goes_by_loss = getattr(controller, "goes_by_loss", False)
        message = ""
        if spec.mode != "trained":
            if goes_by_loss:
                message = (
                    f"{name!r} goes by losses, which mode {spec.mode!r} does not have; use trained"
                )
        else:
            assert subject.dataset is not None
            if getattr(controller, "changes_pictures", False):
                message = _not_pictures(name, subject.dataset)
            if not message and goes_by_loss and len(np.unique(subject.dataset.train.sources)) < 2:
                message = (
                    f"{name!r} evens out what types of device see, but all clients' samples are of "
                    "one type; add 'cameras: {}' and phones of at least two profiles with cameras, "
                    "or use isp_transform"
                )
        if message:
            key = f"jobs.{slot.job}.controllers.local_training"
            raise ConfigError([Problem(str(self._loaded.path), None, key, message)])

    def _aggregation(self, job: str, spec: FederatedJobSpec) -> Any:
        """How updates become the next model of a job."""
        scenario, loaded = self._scenario, self._loaded
        name = seat_of("aggregation", spec, scenario)
        self.controllers.setdefault(job, {})["aggregation"] = name
        base = class_name_of(name, scenario.settings)
        given = parameters(name, base, "aggregation", loaded.settings)
        made = make_controller(
            base, Setting(job, "aggregation", self._streams.generator("aggregation", job), given)
        )
        is_asynchronous = getattr(made, "is_asynchronous", hasattr(made, "receive"))
        if is_asynchronous != (spec.rounds.kind == "asynchronous"):
            kind = "asynchronous" if is_asynchronous else "synchronous"
            others = "fedavg and others are" if is_asynchronous else "fedbuff and fedasync are"
            message = f"aggregation {name!r} is for {kind} jobs, which this is not: {others} for this kind"
            raise ConfigError([Problem(str(loaded.path), None, f"jobs.{job}.rounds", message)])
        return made.build() if spec.mode == "trained" and hasattr(made, "build") else made

    def _job_has_ended(self, name: str) -> None:
        """A federated job is over; with the last of them, if there are no others, so is the run."""
        self._going_on.discard(name)
        if not self._going_on and not self.jobs:
            # After this event, so that everything that happens with it has happened.
            self.clock.call_at(self.clock.now, -1, _stop)

    def _servers_of(self, spec: InferenceJobSpec) -> dict[str, Server]:
        """Where requests of a job can be sent."""
        return {
            site: server
            for site, server in self.servers.items()
            if spec.sites is None or site in spec.sites
        }

    def _hosts_of(self, spec: InferenceJobSpec) -> dict[str, int]:
        """And to which phones: their numbers."""
        return {
            network.to: self.fleet.rows(network.to).start
            for network in self._scenario.networks.values()
            if isinstance(network, WifiDirectSpec)
            and (spec.sites is None or network.to in spec.sites)
        }

    def _terms(self, spec: InferenceJobSpec) -> Terms:
        """What is asked of each request of a job."""
        training = self._scenario.training
        model = self._loaded.models[spec.model]
        payload = {"raw": model.input_bytes, "jpeg": model.jpeg_bytes}.get(
            str(spec.payload), spec.payload
        )
        assert isinstance(payload, int)
        return Terms(
            deadline_s=inf if spec.deadline_ms is None else ms_to_s(spec.deadline_ms),
            accuracy_min=spec.accuracy_min or 0.0,
            input_bytes=payload,
            output_bytes=model.output_bytes,
            decision_overhead_s=ms_to_s(spec.decision_overhead_ms),
            timeout_s=inf if spec.timeout_ms is None else ms_to_s(spec.timeout_ms),
            retries=spec.retries,
            retry_wait_s=ms_to_s(spec.retry_wait_ms),
            warm_up_s=spec.warmup_s,
            training_s=training.duration_s if isinstance(training, LiveTrainingSpec) else 0.0,
            capture=None if spec.capture is None else capture_terms(spec.capture),
        )

    def _arrivals(self, job: str, spec: ArrivalsSpec, phones: list[tuple[str, int]]) -> Arrivals:
        """When requests of a job arrive at each of ``phones``, given by their names in streams."""
        keys = self._streams.keys(f"arrivals {job}", phones)
        duration_s = self._scenario.duration_s
        match spec:
            case PoissonSpec():
                return PoissonArrivals(keys, spec.rate_per_s, duration_s)
            case PeriodicSpec():
                offset_s = None if spec.offset_ms is None else ms_to_s(spec.offset_ms)
                return PeriodicArrivals(keys, spec.period_s, offset_s)
            case DiurnalSpec():
                times_s, rates_per_s = zip(*spec.steps, strict=True)
                return DiurnalArrivals(keys, times_s, rates_per_s, spec.period_s, duration_s)
            case TurnsSpec():
                return TurnsArrivals(len(phones), spec.visits, spec.spacing_s, spec.turn, spec.of)
            case ArrivalTraceSpec():
                offsets_s = np.zeros(len(phones))
                if spec.random_offset and spec.period_s is not None:
                    offsets_s = spec.period_s * uniforms(keys, 0, 1)[:, 0]
                return TraceArrivals(
                    self._loaded.recordings.arrivals_s[spec.file], spec.period_s, offsets_s.tolist()
                )

    def _slot(
        self,
        slot: str,
        job: str,
        spec: JobSpec,
        models: Sequence[ModelCost] = (),
        groups: Sequence[str] = (),
    ) -> Slot[Any, Any, Any]:
        name = seat_of(slot, spec, self._scenario)
        self.controllers.setdefault(job, {})[slot] = name
        if slot in spec.controllers:
            controller = self._controller(slot, name, [job], job, models, groups)
        elif slot in FEDERATED_SLOTS:
            # Clients are numbered job by job: each job has a controller of its own.
            controller = self._controller(slot, name, [job], job, models, groups)
        else:
            controller = self._shared.get(slot)
            if controller is None:
                # One for all jobs that name no other: it learns from each for all of them.
                jobs = [
                    each
                    for each, other in sorted(self._scenario.inference_jobs.items())
                    if slot not in other.controllers
                ]
                controller = self._shared[slot] = self._controller(slot, name, jobs)
        if (
            isinstance(spec, FederatedJobSpec)
            and spec.rounds.kind == "asynchronous"
            and controller.learns
            and slot != "local_training"
        ):
            message = f"{slot} {name!r} learns from rounds, which an asynchronous job does not have"
            path = str(self._loaded.path)
            raise ConfigError([Problem(path, None, f"jobs.{job}.rounds", message)])
        return Slot(slot, job, name, controller)

    def _controller(
        self,
        slot: str,
        name: str,
        jobs: Sequence[str],
        owner: str = "",
        models: Sequence[ModelCost] = (),
        groups: Sequence[str] = (),
    ) -> Any:
        """The controller that decides for these jobs."""
        loaded, scenario = self._loaded, self._scenario
        of_jobs = [self._menus.get(job, {}) for job in jobs]
        groups = groups or sorted({group for menus in of_jobs for group in menus})
        options: dict[str, dict[Target, Option]] = {}
        for menus_of_job in of_jobs:
            for menu in menus_of_job.values():
                known = options.setdefault(menu.profile, {})
                for option in menu.options:
                    known.setdefault(option.target, option)
        base = class_name_of(name, scenario.settings)
        setting = Setting(
            owner,
            slot,
            self._streams.generator("controller", owner, slot),
            parameters(name, base, slot, loaded.settings),
            phones={spec.profile: spec for spec in map(self._spec_of, groups)},
            options={profile: tuple(known.values()) for profile, known in options.items()},
            models=models or [loaded.models[scenario.inference_jobs[job].model] for job in jobs],
            folder=loaded.path.parent,
        )
        try:
            controller = make_controller(base, setting)
        except EdgesimError as error:
            key = f"settings.{name}" if name in scenario.settings else f"controllers.{slot}"
            raise ConfigError([Problem(str(loaded.path), None, key, str(error))]) from None
        if controller.learns:
            self.learners[setting.seat] = controller
        return controller

    def _spec_of(self, group: str) -> PhoneSpec:
        return self.fleet.group_of(self.fleet.rows(group).start)[0].spec

    def _freeze(self, _: None = None) -> None:
        """Training is over."""
        for _seat, controller in sorted(self.learners.items()):
            controller.freeze()

    def _watch(self, phone: Phone, group: str) -> None:
        """Load what jobs have in a phone's memory; write its changes down, if that is wanted."""
        if phone.is_on:
            for _, job in sorted(self.jobs.items()):
                job.preload(phone, group)
        spec = self._scenario.record.states
        table = self._recorder.table("states")
        if spec is None or table is None or not self._is_recorded(phone.name):
            return
        watcher = _StateWriter(self.clock, phone, spec, table)
        phone.watch(watcher.note)
        self._state_writers.append(watcher)

    def _is_recorded(self, device: str) -> bool:
        spec = self._scenario.record.states
        return spec is not None and (spec.devices is None or device in spec.devices)

    # -- running ----------------------------------------------------------------------------------

    def run(self, progress: Callable[[float], None] | None = None) -> None:
        """Run to the end of the scenario.

        Args:
            progress: told now and then which share of the simulated time is over.

        Raises:
            KeyboardInterrupt: if Ctrl-C is pressed; the world can be finished all the same.
        """
        duration_s = self._scenario.duration_s
        with (
            _rare_garbage_collection(),
            _interrupts_between_events(self.clock),
            suppress(_AllJobsOver),
        ):
            for part in range(1, _SLICES + 1):
                until_s = duration_s * part / _SLICES if part < _SLICES else duration_s
                if until_s >= self.clock.now:
                    self.clock.run_until(until_s)
                if progress is not None:
                    progress(part / _SLICES)

    def finish(self) -> dict[str, Any]:
        """Cut off what is under way, settle every account, and fill the last tables. Call it once.

        Returns:
            What belongs to any run in the summary: ``simulated_s``, ``events``, ``seed``,
            ``energy_j`` of all phones, ``energy_servers_j``.

        Raises:
            SimulationError: if a device's ledger and what it drew disagree.
        """
        if self._finished:
            raise SimulationError("a world can be finished only once")
        self._finished = True
        for _, job in sorted(self.federated.items()):
            job.cut_off()
        for phone in self.fleet.built():
            for activity in list(phone.active):
                assert isinstance(activity, Request | Visit)
                activity.cut_off()
        for phone in self.fleet.built():
            phone.camera.settle()
            for radio in phone.radios:
                radio.settle()
            phone.look()
        if self._scenario.record.states is not None:
            # Those that have not acted have lived all the same.
            for row in range(len(self.fleet)):
                if self._is_recorded(self.fleet.device(row)):
                    self.fleet.phone(row).look()
        for writer in self._state_writers:
            writer.write()
        ends = [("phone", end) for end in self.fleet.ends()]
        ends += [("server", server.end()) for server in self.servers.values()]
        names = sorted({key for _, end in ends for key in end.busy_s})
        energy = self._recorder.table("energy")
        devices = self._recorder.table("devices", {f"busy_{key}_s": "real" for key in names})
        for kind, end in ends:
            check_books(end.device, end.energy_drawn_j, end.bookings)
            if energy is not None:
                energy.add_all((end.device, *booking) for booking in end.bookings)
            if devices is not None:
                phone_only = kind == "phone"
                devices.add(
                    (
                        end.device,
                        kind,
                        end.profile,
                        end.charge_start if phone_only else None,
                        end.charge_end if phone_only else None,
                        end.energy_drawn_j,
                        *(None if number != number else number for number in _of_phone(end)),
                        *(end.busy_s.get(key) for key in names),
                    )
                )
        return {
            "simulated_s": self.clock.now,
            "events": self.clock.events,
            "seed": self._scenario.seed,
            "energy_j": fsum(end.energy_drawn_j for kind, end in ends if kind == "phone"),
            "energy_servers_j": fsum(end.energy_drawn_j for kind, end in ends if kind == "server"),
        }


def _of_phone(end: DeviceEnd) -> tuple[float, ...]:
    return (
        end.energy_charged_j,
        end.stored_start_j,
        end.stored_end_j,
        end.peak_die_c,
        end.peak_skin_c,
        end.throttled_s,
        end.off_s,
    )


_AMBIENT_C = 25.0


def _constant(value: object) -> ConstantSpec[Any]:
    return ConstantSpec(kind="constant", value=value)


def _app_names(spec: Any) -> set[str]:
    """The names that a signal of apps may take."""
    match spec:
        case ConstantSpec():
            return {spec.value}
        case ScheduleSpec():
            return {name for _, name in spec.steps}
        case MarkovSpec():
            return set(spec.values)
    return set()


def _governor(chosen: Mapping[str, GovernorSpec], processor: ProcessorSpec) -> Governor:
    spec = chosen.get(processor.name) or chosen.get("default")
    if spec is None:
        return Governor("schedutil")
    if spec.mhz is None:
        return Governor(spec.kind)
    level = fixed_level(processor, spec.mhz)
    assert level is not None
    return Governor(spec.kind, level)


def _stream_names(group: str, count: int) -> list[tuple[str, int]]:
    """What the phones of a group are called in their streams.

    Unlike the name of a device, this does not change when the group grows.
    """
    return [(group, index) for index in range(count)]


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Look for cycles rarely: a run makes many objects and no cycles of its own.

    That saves a fifth of the time; what a user's controller leaves behind is still found.
    """
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], 500_000), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _interrupts_between_events(clock: Clock) -> Iterator[None]:
    """Let Ctrl-C, or a scheduler's SIGTERM, end the run after the present event.

    So the books balance. A second one interrupts at once: a controller may be caught in an endless
    loop. Only the main thread hears of them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True
        clock.interrupt()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _not_pictures(controller: str, dataset: Dataset) -> str:
    """Why a controller cannot change a data set's pictures; empty if it can."""
    from edgesim.learning.jitter import check_pictures
    from edgesim.learning.tasks import as_tensors

    try:
        check_pictures(as_tensors(dataset.train).inputs)
    except EdgesimError as error:
        return f"{controller!r} cannot learn from {dataset.name!r}: {error}"
    return ""


def _stop(_: None) -> None:
    raise _AllJobsOver


class _AllJobsOver(Exception):  # noqa: N818 - it is no error
    """Nothing will happen any more that anybody waits for."""


class _StateWriter:
    """Writes a phone's states down: the last of each moment, since one event may change several."""

    def __init__(self, clock: Clock, phone: Phone, spec: StatesSpec, table: Table) -> None:
        self._clock = clock
        self._phone = phone
        self._quantities = frozenset(spec.quantities)
        self._every_s = inf if spec.every_s is None else spec.every_s
        self._table = table
        self._course: Callable[[float], tuple[float, float]] | None = None
        self._noted: tuple[float, dict[str, float]] | None = None

    def note(self) -> None:
        """The power has changed."""
        now_s, thermal = self._clock.now, self._phone.thermal
        if self._noted is not None and self._noted[0] != now_s:
            self.write()
        if thermal is not None and self._every_s < inf:
            self._course = thermal.course(*self._phone.heat_w)
        self._noted = (now_s, self._states())

    def _states(self) -> dict[str, float]:
        phone = self._phone
        states = {"power_w": phone.meter.power_w, "charge": phone.battery.charge}
        if phone.thermal is not None:
            states |= {"die_c": phone.thermal.die_c, "skin_c": phone.thermal.skin_c}
        states |= {
            f"{name}_mhz": processor.frequency_hz / 1e6
            for name, processor in phone.processors.items()
        }
        return states

    def write(self) -> None:
        """Write down what was noted last."""
        if self._noted is not None:
            time_s, values = self._noted
            self._table.add_all(
                (time_s, self._phone.name, quantity, value)
                for quantity, value in sorted(values.items())
                if quantity in self._quantities
                or ("mhz" in self._quantities and quantity.endswith("_mhz"))
            )
            if self._course is not None:
                self._write_course(time_s, self._course)
            self._noted = None

    def _write_course(self, from_s: float, course: Callable[[float], tuple[float, float]]) -> None:
        """Write down how the temperatures have moved since the last change."""
        for step in itertools.count(1):
            after_s = step * self._every_s
            if from_s + after_s >= self._clock.now:
                return
            for quantity, celsius in zip(("die_c", "skin_c"), course(after_s), strict=True):
                if quantity in self._quantities:
                    self._table.add((from_s + after_s, self._phone.name, quantity, celsius))
