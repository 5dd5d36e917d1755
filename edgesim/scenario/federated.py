"""A federated job built from what a scenario says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgesim.controllers.slots import Slot
from edgesim.core.clock import Clock
from edgesim.core.errors import ConfigError, EdgesimError, Problem
from edgesim.core.random import Streams
from edgesim.core.recorder import Recorder
from edgesim.core.signals import SignalBank
from edgesim.hardware.catalogue import Catalogue
from edgesim.hardware.fleet import Fleet, PhoneGroup
from edgesim.learning.isp.camera import RAW
from edgesim.learning.program import LocalProgram
from edgesim.nn.model import BYTES_PER_VALUE, ModelCost
from edgesim.nn.zoo import ZOO
from edgesim.scenario.camera_schema import CaptureSpec, CollectSpec
from edgesim.scenario.curve_files import read_curve
from edgesim.scenario.federated_schema import (
    CamerasSpec,
    CompressionSpec,
    FederatedJobSpec,
    NightsSpec,
    SynchronousSpec,
)
from edgesim.scenario.journal import Journal
from edgesim.workloads.availability import NightsBank
from edgesim.workloads.captures import CaptureTerms
from edgesim.workloads.eligibility import Eligibility, Requirement
from edgesim.workloads.federated import FederatedJob, FederatedSlots
from edgesim.workloads.learners import Fitted, Learner, Trained, Untrained
from edgesim.workloads.roster import Collecting, Roster
from edgesim.workloads.rounds import FederatedTables, FederatedTerms, Stop

if TYPE_CHECKING:
    from edgesim.learning.data import Dataset
    from edgesim.learning.partition import Partition

__all__ = ["Subject", "build_federated", "capture_terms", "study"]

_BYTES_PER_VALUE = BYTES_PER_VALUE["fp32"]


@dataclass(frozen=True)
class Subject:
    """What a job learns, and what that costs.

    Attributes:
        model: the cost of what is trained.
        samples: of each client; shape ``(clients,)``,
        labels: by label; without columns where nothing is known.
        learner: makes what keeps the model, given the aggregation and a journal.
        digests: of the data, for the manifest.
        dataset: what is learned, as each client has it; ``None``: nothing is.
    """

    model: ModelCost
    samples: NDArray[np.int64]
    labels: NDArray[np.int64]
    learner: Callable[[Any, Journal], Learner]
    digests: Mapping[str, str]
    dataset: Dataset | None = None


def study(
    spec: FederatedJobSpec,
    job: str,
    phones: Sequence[str],
    catalogue: Catalogue,
    path: Path,
    streams: Streams,
) -> Subject:
    """Read the data of a job, deal it out, and make its model.

    Args:
        spec: what the scenario says.
        job: the job's name.
        phones: the profile of each client's phone.
        catalogue: of profiles.
        path: of the scenario.
        streams: the run's random streams.

    Raises:
        ConfigError: naming the key of what cannot be had.
    """
    clients = len(phones)

    def wrong(key: str, error: EdgesimError) -> ConfigError:
        return ConfigError([Problem(str(path), None, f"jobs.{job}.{key}", str(error))])

    costed = spec.cost_model or spec.model
    if spec.samples_per_client is not None and costed.name in ZOO:
        return _unlearned(spec, ZOO[costed.name], clients)
    from edgesim.learning.catalogue import build_dataset, build_partition

    try:
        dataset = build_dataset(spec.dataset.name, spec.dataset.parameters, path.parent)
    except EdgesimError as error:
        raise wrong("dataset", error) from None
    if spec.mode == "timing_only" and costed.name in ZOO:
        model, module = ZOO[costed.name], None
    else:
        from edgesim.learning.models import build_model, cost_of

        seed = streams.key("model", job) % 2**31
        try:
            key = "model"
            module = build_model(spec.model.name, dataset, seed, spec.model.parameters)
            key = "cost_model"
            if costed.name in ZOO:
                model = ZOO[costed.name]
            else:
                meant = module
                if spec.cost_model is not None:
                    meant = build_model(costed.name, dataset, seed, costed.parameters)
                model = cost_of(meant, dataset, costed.name)
        except EdgesimError as error:
            raise wrong(key, error) from None
    if spec.samples_per_client is not None:
        return _unlearned(spec, model, clients)
    try:
        partition = build_partition(
            spec.partition.name,
            dataset,
            clients,
            spec.partition.parameters,
            streams.key("partition", job) % 2**63,
        )
    except EdgesimError as error:
        raise wrong("partition", error) from None
    if spec.cameras is not None:
        try:
            dataset = _taken_by_phones(dataset, partition, spec.cameras, phones, catalogue)
        except EdgesimError as error:
            raise wrong("cameras", error) from None
    labels = partition.histogram(dataset.train.labels, len(dataset.classes))
    curve = None
    if spec.curve is not None:
        try:
            curve = read_curve(path.parent / spec.curve)
        except EdgesimError as error:
            raise wrong("curve", error) from None

    def learner(aggregation: Any, journal: Journal) -> Learner:
        if spec.mode == "timing_only":
            return Untrained()
        if curve is not None:
            return Fitted(curve, labels)
        assert module is not None
        return Trained(
            dataset,
            partition,
            lambda: module,
            aggregation,
            _compression(spec.compression),
            streams=streams,
            job=job,
            journal=journal,
            evaluate_every=spec.evaluate_every,
        )

    digests = {job: dataset.digest}
    return Subject(model, partition.sizes, labels, learner, digests, dataset)


def _taken_by_phones(
    dataset: Dataset,
    partition: Partition,
    spec: CamerasSpec,
    phones: Sequence[str],
    catalogue: Catalogue,
) -> Dataset:
    """The data as each client's camera takes it."""
    from edgesim.learning.devices import by_device_type

    cameras = {}
    for name in sorted({*phones, *spec.held_out}):
        camera = catalogue.phone(name).camera
        optics = None if camera is None else camera.optics
        if optics is not None:
            isp = RAW if spec.output == "raw" else optics.isp.with_look(spec.look)
            cameras[name] = replace(optics, isp=isp)
    return by_device_type(
        dataset, partition, phones, cameras, held_out=spec.held_out, seed=spec.seed
    )


def _unlearned(spec: FederatedJobSpec, model: ModelCost, clients: int) -> Subject:
    """A job without data."""
    assert spec.samples_per_client is not None
    samples = np.full(clients, spec.samples_per_client, np.int64)
    labels = np.zeros((clients, 0), np.int64)
    return Subject(model, samples, labels, lambda _aggregation, _journal: Untrained(), {})


def _compression(spec: CompressionSpec | None) -> Any:
    from edgesim.learning.compression import Exact, Quantised, TopK

    if spec is None:
        return Exact()
    return TopK(spec.top_share or 1.0) if spec.bits is None else Quantised(spec.bits)


def _uplink_bytes(spec: FederatedJobSpec, values: int) -> float:
    if spec.compression is None:
        return _BYTES_PER_VALUE * values
    return float(_compression(spec.compression).bytes_for(values))


def build_federated(
    name: str,
    spec: FederatedJobSpec,
    *,
    clock: Clock,
    fleet: Fleet,
    groups: Sequence[str],
    subject: Subject,
    aggregation: Any,
    slots: Mapping[str, Slot[Any, Any, Any]],
    bank: Callable[[Any, str, str, int], SignalBank],
    streams: Streams,
    recorder: Recorder,
    journal: Journal,
    meter_noise: float,
    ended: Callable[[], None],
) -> FederatedJob:
    """A federated job.

    Args:
        name: its name.
        spec: what the scenario says.
        clock: the clock.
        fleet: all phones.
        groups: those that take part, in the order of their phones.
        subject: what it learns.
        aggregation: how updates become the next model.
        slots: who decides, by slot.
        bank: makes one signal per phone of a group: specification, name, group, number of phones.
        streams: the run's random streams.
        recorder: of tables.
        journal: of training.
        meter_noise: of phones' meters.
        ended: called when it is over.
    """
    rounds, stop = spec.rounds, spec.stop
    is_synchronous = isinstance(rounds, SynchronousSpec)
    values = subject.model.parameters
    program = LocalProgram(
        spec.learning_rate,
        spec.batch_size,
        spec.epochs,
        spec.momentum,
        spec.weight_decay,
        clip_norm=spec.clip_norm,
        # Of the aggregation: q-FedAvg weighs clients by it.
        tells_initial_loss=getattr(aggregation, "needs_losses", False),
    )
    members = [_group(fleet, group) for group in groups]
    rows = [row for group in groups for row in fleet.rows(group)]
    tables = FederatedTables(
        recorder.table("rounds"),
        recorder.table("participants"),
        recorder.table("evaluations"),
        recorder.table("decisions"),
    )
    roster = Roster(
        fleet,
        rows,
        spec.site,
        subject.model,
        subject.samples,
        subject.labels,
        {g.name: spec.idle_w if spec.idle_w is not None else _idle_w(g) for g in members},
        None if spec.collect is None else _collecting(spec.collect),
    )
    synchronous = (
        rounds if isinstance(rounds, SynchronousSpec) else SynchronousSpec(kind="synchronous")
    )
    payload_bytes = (_BYTES_PER_VALUE * values, _uplink_bytes(spec, values))
    deadline_s = _or_never(synchronous.deadline_s)
    if synchronous.deadline_ratio is not None:
        nominal_s = roster.nominal_s(
            spec.batch_size, spec.epochs, payload_bytes, spec.clients_per_round
        )
        deadline_s = synchronous.deadline_ratio * nominal_s
    terms = FederatedTerms(
        spec.site,
        spec.clients_per_round,
        program,
        over_selection=synchronous.over_selection,
        deadline_s=deadline_s,
        deadline_percentile=synchronous.deadline_percentile,
        sends_partial=synchronous.late == "partial",
        is_asynchronous=not is_synchronous,
        least_clients=synchronous.least_clients,
        check_in_s=spec.check_in_s,
        dropout=spec.dropout,
        stop=Stop(
            _or_never(stop.rounds),
            _or_never(stop.accuracy),
            stop.for_rounds,
            _or_never(stop.simulated_s),
            _or_never(stop.energy_j),
            _or_never(stop.energy_global_j),
            _or_never(stop.failed_rounds),
        ),
        uplink_bytes=payload_bytes[1],
        downlink_bytes=payload_bytes[0],
        starts_s=spec.starts_s,
        meter_noise=meter_noise,
    )
    return FederatedJob(
        clock,
        name,
        terms,
        roster,
        subject.learner(aggregation, journal),
        FederatedSlots(slots["selection"], slots["parameters"], slots["local_training"]),
        tables,
        _eligibility(name, spec, members, bank, streams),
        streams,
        ended,
    )


def capture_terms(spec: CaptureSpec) -> CaptureTerms:
    """How a job wants its pictures, from what the scenario says."""
    pixels = None if spec.megapixels is None else spec.megapixels * 1e6
    return CaptureTerms(pixels, spec.develop == "isp", spec.keep_open_s)


def _collecting(spec: CollectSpec) -> Collecting:
    return Collecting(capture_terms(spec), spec.pictures, spec.when == "once")


def _group(fleet: Fleet, name: str) -> PhoneGroup:
    return fleet.group_of(fleet.rows(name).start)[0]


def _or_never(value: float | None) -> float:
    return inf if value is None else value


def _idle_w(group: PhoneGroup) -> float:
    """What a phone draws that has nothing to do: suspended, its radios idle."""
    spec = group.spec
    watts = spec.suspend_w + spec.wifi.idle_w
    if spec.lte is not None and any(network.kind == "lte" for network in group.networks):
        watts += spec.lte.idle_w
    return watts


def _eligibility(
    job: str,
    spec: FederatedJobSpec,
    groups: Sequence[PhoneGroup],
    bank: Callable[[Any, str, str, int], SignalBank],
    streams: Streams,
) -> Eligibility:
    requirements = []
    if spec.available is not None:
        requirements.append(
            Requirement(
                "offline",
                [_availability(job, spec.available, group, bank, streams) for group in groups],
                lambda values: values > 0.0,
            )
        )
    wanted = spec.eligibility
    if wanted.charging:
        requirements.append(_of_weather("unplugged", groups, "plugged", lambda v: v > 0.0))
    if wanted.idle:
        requirements.append(_of_weather("in_use", groups, "screen", lambda v: v == 0.0))
        requirements.append(_of_weather("in_use", groups, "app", lambda v: v == 0.0))
    starts = np.cumsum([0, *(len(group.devices) for group in groups)])
    clients = int(starts[-1])
    metered = [
        any(network.kind == "lte" for network in group.networks)
        for group in groups
        for _ in group.devices
    ]
    excluded = np.array(metered, np.bool_) if wanted.unmetered else np.zeros(clients, np.bool_)
    return Eligibility(clients, starts[:-1].tolist(), requirements, excluded)


def _of_weather(
    reason: str,
    groups: Sequence[PhoneGroup],
    what: str,
    holds: Callable[[NDArray[np.float64]], NDArray[np.bool_]],
) -> Requirement:
    return Requirement(reason, [group.weather[what] for group in groups], holds)


def _availability(
    job: str,
    spec: Any,
    group: PhoneGroup,
    bank: Callable[[Any, str, str, int], SignalBank],
    streams: Streams,
) -> SignalBank:
    what, count = f"available {job}", len(group.devices)
    if isinstance(spec, NightsSpec):
        keys = streams.keys(what, [(group.name, index) for index in range(count)])
        return NightsBank(keys, spec.begin_h, spec.hours, spec.spread_h)
    return bank(spec, what, group.name, count)
