"""What one inference costs on one processor: pure functions of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesim.nn.model import ModelCost

__all__ = ["ProcessorSpec", "inference_energy_j", "inference_s"]


@dataclass(frozen=True, slots=True)
class ProcessorSpec:
    """A processor at a fixed level, as far as models are concerned.

    Attributes:
        name: its name within the device: ``cpu_big``, ``gpu``, ``dsp``.
        kind: ``cpu``, ``gpu`` or ``dsp``.
        busy_power_w: watts above idle while all of it is at work.
        idle_power_w: watts while the device is awake and this processor has nothing to do.
        slots: how many inferences it serves at once, each at the full speed below, the others
            waiting in line; ``None``: all at once, sharing its time.
        latency_s: seconds of one inference (batch 1, nothing else running), by (model, precision);
            what is not in it cannot run here.
    """

    name: str
    kind: str
    busy_power_w: float
    idle_power_w: float
    slots: int | None
    latency_s: Mapping[tuple[str, str], float]


def inference_s(model: ModelCost, processor: ProcessorSpec, precision: str) -> float | None:
    """Seconds of one inference with the processor to itself; ``None`` if it cannot run there."""
    return processor.latency_s.get((model.name, precision))


def inference_energy_j(model: ModelCost, processor: ProcessorSpec, precision: str) -> float | None:
    """Joules of one inference above the processor's idle power; ``None`` if it cannot run there.

    A processor of several slots is charged for one of them.
    """
    seconds = inference_s(model, processor, precision)
    if seconds is None:
        return None
    return processor.busy_power_w / (processor.slots or 1) * seconds
