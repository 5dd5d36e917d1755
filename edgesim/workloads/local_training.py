"""What local training costs on a phone: steps as a task for a processor, and where it can run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from edgesim.controllers.federated import TrainingOption, TrainingTarget
from edgesim.hardware.processor import Governor, Task, alone_level
from edgesim.hardware.specs import PhoneSpec
from edgesim.nn.cost import (
    ProcessorSpec,
    power_w,
    training_bytes,
    training_memory_share,
    training_s,
    training_traffic_bytes,
)
from edgesim.nn.model import ModelCost

__all__ = ["PartOfTask", "StepTimes", "TrainingCosts", "TrainingTask"]


class StepTimes:
    """How long one step of a model takes, worked out once for each processor, batch, level and cores.

    Args:
        model: what is trained.
    """

    __slots__ = ("_found", "_specs", "model")

    def __init__(self, model: ModelCost) -> None:
        self.model = model
        self._found: dict[tuple[int, int, int, int], tuple[float, float]] = {}
        self._specs: dict[int, ProcessorSpec] = {}  # so that no other can have the identity of one

    def of(self, spec: ProcessorSpec, size: int, level: int, cores: int) -> tuple[float, float]:
        """Seconds of a step with so many samples, and the share of them at the memory."""
        key = (id(spec), size, level, cores)
        found = self._found.get(key)
        if found is None:
            step_s = training_s(self.model, spec, size, level=level, threads=cores)
            share = 0.0
            if step_s is not None:
                share = training_memory_share(self.model, spec, size, level=level, threads=cores)
            found = self._found[key] = (inf if step_s is None else step_s, share)
            self._specs[id(spec)] = spec
        return found


class TrainingTask:
    """So many steps of training: epochs over a client's samples, the last batch of each being smaller.

    Args:
        times: of a step.
        samples: how many the client has.
        batch_size: samples of a step.
        epochs: passes over the samples.
        steps: it ends after so many, if the epochs have not ended before; ``None``: never.

    Attributes:
        steps: how many there are.
        traffic_bytes: what they read and write in memory.
    """

    __slots__ = ("_full", "_per_epoch", "_rest", "_sizes", "_times", "steps", "traffic_bytes")

    def __init__(
        self,
        times: StepTimes,
        samples: int,
        batch_size: int,
        epochs: int,
        steps: int | None = None,
    ) -> None:
        self._times = times
        self._full, self._rest = divmod(samples, batch_size)
        self._per_epoch = self._full + (self._rest > 0)
        every = epochs * self._per_epoch
        self.steps = every if steps is None else min(every, steps)
        done, left = divmod(self.steps, self._per_epoch) if self._per_epoch else (0, 0)
        # By batch size: how many steps there are of it.
        self._sizes = {
            batch_size: done * self._full + min(left, self._full),
            self._rest: (done if self._rest else 0) + max(left - self._full, 0),
        }
        self.traffic_bytes = sum(
            number * training_traffic_bytes(times.model, size)
            for size, number in self._sizes.items()
            if number
        )

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """Alone on so many cores at a level: seconds of arithmetic, seconds at the memory."""
        arithmetic_s = memory_s = 0.0
        for size, number in self._sizes.items():
            if number:
                step_s, share = self._times.of(spec, size, level, cores)
                arithmetic_s += number * step_s * (1.0 - share)
                memory_s += number * step_s * share
        return arithmetic_s, memory_s

    def steps_in(self, spec: ProcessorSpec, share: float) -> int:
        """How many steps are whole when this share of the work has been done."""
        (full, _), (rest, _) = (
            (self._times.of(spec, size, -1, spec.cores) if size else (0.0, 0.0))
            for size in (max(self._sizes), self._rest)
        )
        epoch_s = self._full * full + (rest if self._rest else 0.0)
        total_s = sum(self.seconds(spec, -1, spec.cores))
        epochs, left_s = divmod(share * total_s * (1.0 + 1e-12), epoch_s)
        steps = int(epochs) * self._per_epoch + min(int(left_s / full if full else 0), self._full)
        return min(steps, self.steps)


class PartOfTask:
    """The first share of a task: that of a client which then breaks down.

    Args:
        whole: the task.
        share: of it, in [0, 1].
    """

    __slots__ = ("_share", "_whole", "traffic_bytes")

    def __init__(self, whole: Task, share: float) -> None:
        self._whole = whole
        self._share = share
        self.traffic_bytes = share * whole.traffic_bytes

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """Alone on so many cores at a level: seconds of arithmetic, seconds at the memory."""
        arithmetic_s, memory_s = self._whole.seconds(spec, level, cores)
        return self._share * arithmetic_s, self._share * memory_s


class TrainingCosts:
    """What training a model costs on one kind of phone.

    Args:
        times: of a step of what is trained.
        phone: the kind of phone.
        governors: who sets the clocks, by processor; levels can be chosen where it is the controller.
    """

    def __init__(
        self, times: StepTimes, phone: PhoneSpec, governors: Mapping[str, Governor]
    ) -> None:
        self._times = times
        self._phone = phone
        self._levels: dict[str, list[tuple[int, int | None]]] = {}
        for name, processor in sorted(phone.processors.items()):
            if training_s(times.model, processor, 1) is None:
                continue
            governor = governors.get(name, Governor("performance"))
            if governor.kind == "controller":
                self._levels[name] = [(k, k) for k in range(len(processor.levels))]
            else:
                self._levels[name] = [(alone_level(processor, governor), None)]
        self._options: dict[int, tuple[TrainingOption, ...]] = {}
        self._targets = {
            TrainingTarget(name, chosen)
            for name, levels in self._levels.items()
            for _, chosen in levels
        }

    @property
    def is_possible(self) -> bool:
        """Whether such a phone can train the model at all."""
        return bool(self._levels)

    def has(self, target: TrainingTarget) -> bool:
        """Whether it can train there."""
        return target in self._targets

    def options(self, batch_size: int) -> Sequence[TrainingOption]:
        """Where it can train, with the promises for one step."""
        found = self._options.get(batch_size)
        if found is None:
            options = []
            for name, levels in self._levels.items():
                spec = self._phone.processors[name]
                for level, chosen in levels:
                    step_s, _ = self._times.of(spec, batch_size, level, spec.cores)
                    options.append(
                        TrainingOption(
                            TrainingTarget(name, chosen),
                            spec.kind,
                            spec.levels[level].frequency_hz,
                            step_s,
                            power_w(spec, level),
                        )
                    )
            found = self._options[batch_size] = tuple(options)
        return found

    def resident_bytes(self, batch_size: int) -> int:
        """Memory that training takes."""
        return training_bytes(self._times.model, batch_size)
