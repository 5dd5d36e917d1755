"""What a request can choose from, and how each choice is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from edgesim.controllers.slots import DEVICE, Option, Target
from edgesim.hardware.fleet import Fleet
from edgesim.hardware.memory import Memory
from edgesim.hardware.processor import PERFORMANCE, Governor, InferenceTask, alone_level
from edgesim.hardware.server import Server
from edgesim.hardware.specs import PhoneSpec
from edgesim.nn.cost import (
    ProcessorSpec,
    inference_energy_j,
    inference_s,
    layout_s,
    resident_bytes,
)
from edgesim.nn.model import ModelCost

__all__ = ["TARGETS", "Kind", "Menu", "Plan", "menus"]

TARGETS = ("all", "autoscale")
"""What requests may choose from: everything that can run their model; or what AutoScale chooses from
(facts, section 1.2): of each phone the CPU cluster with the highest clock in FP32 and, at home, INT8,
the GPU (FP32 and FP16 at home, FP16 on a phone nearby) and the DSP in INT8; of each site CPU and GPU
in FP32. The precisions of a phone nearby are assumed: the paper's are not known."""

_AT_HOME = {"cpu": ("fp32", "int8"), "gpu": ("fp32", "fp16"), "dsp": ("int8",)}
_NEARBY = {"cpu": ("fp32",), "gpu": ("fp16",), "dsp": ("int8",)}
_AT_SITES = {"cpu": ("fp32",), "gpu": ("fp32",)}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a target is carried out.

    Attributes:
        label: the target as text, a level by its clock.
        place: :data:`DEVICE`, the name of a site or that of another phone.
        processor: there.
        server: at a site; ``None`` on a phone.
        task: what the processor does.
        level: at which level, if that is the controller's choice.
        accuracy: of the result.
        resident_bytes: memory that the model holds on a phone.
        read_s: seconds to read it from storage when it is not in memory,
        layout_s: and seconds of the processor, at the top level, to make it ready.
    """

    label: str
    place: str
    processor: str
    server: Server | None
    task: InferenceTask
    level: int | None
    accuracy: float
    resident_bytes: float = 0.0
    read_s: float = 0.0
    layout_s: float = 0.0

    @property
    def memory_key(self) -> tuple[str, str, str]:
        """What a phone's memory knows its model by."""
        return self.task.model.name, self.processor, self.task.precision


@dataclass(frozen=True, slots=True)
class Kind:
    """Phones of one kind.

    Attributes:
        spec: their profile.
        governors: who sets their clocks, by processor.
    """

    spec: PhoneSpec
    governors: Mapping[str, Governor]


def menus(
    fleet: Fleet,
    groups: Iterable[str],
    model: ModelCost,
    servers: Mapping[str, Server],
    hosts: Mapping[str, int],
    targets: str = "all",
) -> dict[str, Menu]:
    """What the phones of each group can choose from for one model.

    Args:
        fleet: all phones.
        groups: names of theirs.
        model: the model.
        servers: where requests may be sent, by site,
        hosts: and to which phones, by name: their numbers.
        targets: one of :data:`TARGETS`.
    """
    found = {}
    for name in groups:
        group, _ = fleet.group_of(fleet.rows(name).start)
        reached = {place for network in group.networks for place in network.routes}
        kinds = {}
        for place, row in hosts.items():
            if place in reached:
                other, _ = fleet.group_of(row)
                kinds[place] = Kind(other.spec, other.governors)
        own = Kind(group.spec, group.governors)
        near = {place: server for place, server in servers.items() if place in reached}
        found[name] = Menu(own, model, near, kinds, targets)
    return found


class Menu:
    """What phones of one kind can choose from for one model.

    Args:
        own: the kind.
        model: the model.
        servers: those that can be reached at all, by site.
        hosts: the kinds of the phones that can be reached at all, by their names.
        targets: one of :data:`TARGETS`.

    Attributes:
        plans: by target.
        profile: of the phones.
    """

    __slots__ = ("_by_place", "_offers", "plans", "profile")

    def __init__(
        self,
        own: Kind,
        model: ModelCost,
        servers: Mapping[str, Server],
        hosts: Mapping[str, Kind],
        targets: str = "all",
    ) -> None:
        self.profile = own.spec.profile
        self.plans: dict[Target, Plan] = {}
        self._offers: dict[tuple[str, ...], tuple[Option, ...]] = {}
        self._by_place: dict[str, list[Option]] = {DEVICE: self._on_phone(DEVICE, own, own, model)}
        for place, kind in sorted(hosts.items()):
            self._by_place[place] = self._on_phone(place, kind, own, model)
        for place, server in sorted(servers.items()):
            self._by_place[place] = self._at_server(place, server, own, model)
        if targets == "autoscale":
            self._by_place = {
                place: _autoscale_targets(options) for place, options in self._by_place.items()
            }
            offered = {option.target for option in self.options}
            self.plans = {t: plan for t, plan in self.plans.items() if t in offered}

    @property
    def options(self) -> list[Option]:
        """Everything that can be chosen while all places can be reached."""
        return [option for options in self._by_place.values() for option in options]

    def offer(self, places: tuple[str, ...]) -> tuple[Option, ...]:
        """What can be chosen while these places can be reached, besides the phone itself."""
        found = self._offers.get(places)
        if found is None:
            options = [
                option
                for place, some in self._by_place.items()
                if place == DEVICE or place in places
                for option in some
            ]
            found = self._offers[places] = tuple(options)
        return found

    def preload(self, memory: Memory, place: str = DEVICE) -> None:
        """Put the model into a phone's memory for as many targets as fit, cheapest promise first."""
        options = self._by_place.get(place, [])
        for option in sorted(options, key=lambda option: option.compute_energy_j):
            plan = self.plans[option.target]
            memory.put(plan.memory_key, plan.resident_bytes)

    def _on_phone(self, place: str, kind: Kind, own: Kind, model: ModelCost) -> list[Option]:
        """Options on a phone of some kind: one's own, or another nearby."""
        options, spec = [], kind.spec
        for name, processor in sorted(spec.processors.items()):
            governor = kind.governors.get(name, PERFORMANCE)
            for precision in sorted(model.accuracy):
                task = InferenceTask(model, precision)
                for level, chosen in _levels(governor, processor):
                    work_s = inference_s(model, processor, precision, level=level)
                    compute_j = inference_energy_j(model, processor, precision, level=level)
                    if work_s is None or compute_j is None:
                        continue
                    target = Target(place, name, precision, chosen)
                    clock_hz = processor.levels[level].frequency_hz
                    at = "" if chosen is None else f"@{clock_hz / 1e6:g}MHz"
                    accuracy = model.accuracy[precision].value
                    self.plans[target] = Plan(
                        f"{place}/{name}/{precision}{at}",
                        place,
                        name,
                        None,
                        task,
                        chosen,
                        accuracy,
                        resident_bytes(model, precision),
                        model.weight_bytes(precision) / spec.storage_bps,
                        layout_s(model, processor, precision) if spec.storage_bps < inf else 0.0,
                    )
                    energy_j = own.spec.awake_w * work_s + (compute_j if place == DEVICE else 0.0)
                    options.append(
                        Option(
                            target,
                            processor.kind,
                            accuracy,
                            work_s,
                            energy_j,
                            clock_hz,
                            is_nearby=place != DEVICE,
                        )
                    )
        return options

    def _at_server(self, place: str, server: Server, own: Kind, model: ModelCost) -> list[Option]:
        options = []
        for name, running in sorted(server.processors.items()):
            spec = running.spec
            for precision in sorted(model.accuracy):
                work_s = inference_s(model, spec, precision)
                if work_s is None:
                    continue
                target, accuracy = Target(place, name, precision), model.accuracy[precision].value
                task = InferenceTask(model, precision)
                self.plans[target] = Plan(str(target), place, name, server, task, None, accuracy)
                energy_j = own.spec.awake_w * work_s
                clock_hz = spec.levels[-1].frequency_hz
                options.append(Option(target, spec.kind, accuracy, work_s, energy_j, clock_hz))
        return options


def _autoscale_targets(options: Sequence[Option]) -> list[Option]:
    """Of the options at one place, those that AutoScale has."""
    clocks: dict[str, float] = {}
    for option in options:
        if option.kind == "cpu":
            name = option.target.processor
            clocks[name] = max(clocks.get(name, 0.0), option.frequency_hz)
    big = max(sorted(clocks), key=clocks.__getitem__, default="")

    def is_wanted(option: Option) -> bool:
        is_home = option.target.place == DEVICE
        precisions = _AT_HOME if is_home else _NEARBY if option.is_nearby else _AT_SITES
        is_little = option.kind == "cpu" and option.target.processor != big
        return not is_little and option.target.precision in precisions.get(option.kind, ())

    return [option for option in options if is_wanted(option)]


def _levels(governor: Governor, processor: ProcessorSpec) -> Sequence[tuple[int, int | None]]:
    """The levels that a single job may run at, and each as its target names it."""
    levels = range(len(processor.levels))
    if governor.kind == "controller":
        return [(level, level) for level in levels]
    return [(alone_level(processor, governor), None)]
