"""What a request can choose from, and how each choice is carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from edgesim.controllers.slots import DEVICE, Option, Target
from edgesim.hardware.memory import Memory
from edgesim.hardware.processor import PERFORMANCE, Governor, InferenceTask
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

__all__ = ["Kind", "Menu", "Plan"]


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


class Menu:
    """What phones of one kind can choose from for one model.

    Args:
        own: the kind.
        model: the model.
        servers: those that can be reached at all, by site.
        hosts: the kinds of the phones that can be reached at all, by their names.

    Attributes:
        plans: by target.
    """

    __slots__ = ("_by_place", "_offers", "plans")

    def __init__(
        self,
        own: Kind,
        model: ModelCost,
        servers: Mapping[str, Server],
        hosts: Mapping[str, Kind],
    ) -> None:
        self.plans: dict[Target, Plan] = {}
        self._offers: dict[tuple[str, ...], tuple[Option, ...]] = {}
        self._by_place: dict[str, list[Option]] = {DEVICE: self._on_phone(DEVICE, own, own, model)}
        for place, kind in sorted(hosts.items()):
            self._by_place[place] = self._on_phone(place, kind, own, model)
        for place, server in sorted(servers.items()):
            self._by_place[place] = self._at_server(place, server, own, model)

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


def _levels(governor: Governor, processor: ProcessorSpec) -> Sequence[tuple[int, int | None]]:
    """The levels that a single job may run at, and each as its target names it."""
    levels = range(len(processor.levels))
    if governor.kind == "controller":
        return [(level, level) for level in levels]
    alone = {"powersave": 0, "fixed": governor.level}
    return [(alone.get(governor.kind, levels[-1]), None)]
