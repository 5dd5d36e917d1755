"""What local training costs on a phone: steps as a task for a processor, and where it can run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from edgesim.controllers.federated import TrainingOption, TrainingTarget
from edgesim.hardware.processor import Governor, Task, alone_level
from edgesim.hardware.specs import PhoneSpec
from edgesim.learning.program import LocalProgram
from edgesim.nn.cost import (
    ProcessorSpec,
    Work,
    averaging_work,
    is_supported,
    jitter_work,
    power_w,
    split_s,
    traffic_bytes_of,
    training_bytes,
    training_s,
    training_work,
    work,
)
from edgesim.nn.model import BYTES_PER_VALUE, ModelCost

__all__ = ["PartOfTask", "StepTimes", "TrainingCosts", "TrainingTask"]


class StepTimes:
    """How long one step of a model takes, worked out once for each processor, batch, level and cores.

    And whatever else a program does once per step or per batch:

    =============  =====================================================================
    ``step``       forward, backward, update of a batch
    ``forward``    forward alone: the loss of a batch
    ``jitter``     random white balance and gamma of a batch
    ``averaging``  taking the weights into a mean, whatever the batch
    =============  =====================================================================

    Args:
        model: what is trained.
    """

    __slots__ = ("_amounts", "_found", "_specs", "model")

    def __init__(self, model: ModelCost) -> None:
        self.model = model
        self._amounts: dict[tuple[str, int], Work] = {}
        self._found: dict[tuple[str, int, int, int, int], tuple[float, float]] = {}
        self._specs: dict[int, ProcessorSpec] = {}  # so that no other can have the identity of one

    def of(
        self, spec: ProcessorSpec, size: int, level: int, cores: int, what: str = "step"
    ) -> tuple[float, float]:
        """Seconds of a step with so many samples: of arithmetic, and at the memory.

        The first are infinite where the model cannot be trained.
        """
        key = (what, id(spec), size, level, cores)
        found = self._found.get(key)
        if found is None:
            found = (inf, 0.0)
            if is_supported(self.model, spec) and "fp32" in spec.efficiency:
                found = split_s(self._work(what, size), spec, level=level, threads=cores)
            self._found[key] = found
            self._specs[id(spec)] = spec
        return found

    def traffic_bytes(self, what: str, size: int) -> float:
        """What that reads and writes in memory."""
        return traffic_bytes_of(self._work(what, size))

    def _work(self, what: str, size: int) -> Work:
        key = (what, size)
        found = self._amounts.get(key)
        if found is None:
            if what == "step":
                found = training_work(self.model, size)
            elif what == "forward":
                found = work(self.model, "fp32", size)
            elif what == "jitter":
                found = jitter_work(size * self.model.layers[0].inputs)
            else:
                found = averaging_work(self.model)
            self._amounts[key] = found
        return found


class TrainingTask:
    """A client's training: a pass that finds the first loss, if wanted, and steps.

    Epochs go over all of its samples, the last batch of each being smaller. Where a switch is yet
    undecided (:attr:`~LocalProgram.jitters_below`), it is taken to be on: the most that it can be.

    Args:
        times: of a step.
        samples: how many the client has.
        program: what it does with them.

    Attributes:
        steps: how many there are.
        traffic_bytes: what they read and write in memory.
    """

    __slots__ = (
        "_before",
        "_each",
        "_full",
        "_per_epoch",
        "_rest",
        "_sizes",
        "_times",
        "steps",
        "traffic_bytes",
    )

    def __init__(self, times: StepTimes, samples: int, program: LocalProgram) -> None:
        size = program.batch_size
        self._times = times
        self._full, self._rest = divmod(samples, size)
        self._per_epoch = self._full + (self._rest > 0)
        self.steps = program.steps_for(samples)
        done, left = divmod(self.steps, self._per_epoch) if self._per_epoch else (0, 0)
        # By batch size: how many steps there are of it.
        self._sizes = {
            size: done * self._full + min(left, self._full),
            self._rest: (done if self._rest else 0) + max(left - self._full, 0),
        }
        jitter = program.jitter
        # What is done once for each batch of its samples before the first step, and with every step.
        self._before: list[str] = ["forward"] if program.needs_initial_loss else []
        self._each = ["step"]
        if jitter is not None:
            (self._each if jitter.per == "batch" else self._before).append("jitter")
        if program.averages:
            self._each.append("averaging")
        self.traffic_bytes = sum(
            number * times.traffic_bytes(what, batch)
            for what, batch, number in self._pieces()
            if number
        )

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """Alone on so many cores at a level: seconds of arithmetic, seconds at the memory."""
        arithmetic_s = memory_s = 0.0
        for what, batch, number in self._pieces():
            if number:
                piece_s = self._times.of(spec, batch, level, cores, what)
                arithmetic_s += number * piece_s[0]
                memory_s += number * piece_s[1]
        return arithmetic_s, memory_s

    def steps_in(self, spec: ProcessorSpec, share: float) -> int:
        """How many steps are whole when this share of the work has been done."""
        times = self._times

        def took_s(whats: Sequence[str], batch: int) -> float:
            if not batch:
                return 0.0
            return sum(sum(times.of(spec, batch, -1, spec.cores, what)) for what in whats)

        size = max(self._sizes)
        full_s, rest_s = took_s(self._each, size), took_s(self._each, self._rest)
        before_s = self._full * took_s(self._before, size) + took_s(self._before, self._rest)
        total_s = sum(self.seconds(spec, -1, spec.cores))
        left_s = share * total_s * (1.0 + 1e-12) - before_s
        if left_s <= 0.0:
            return 0
        epochs, left_s = divmod(left_s, self._full * full_s + rest_s)
        steps = int(epochs) * self._per_epoch + min(int(left_s / full_s), self._full)
        return min(steps, self.steps)

    def _pieces(self) -> Iterator[tuple[str, int, int]]:
        """What is done, with batches of which size, and how often."""
        size = max(self._sizes)
        for batch, once in ((size, self._full), (self._rest, int(self._rest > 0))):
            for what in self._before:
                yield what, batch, once
        for batch, number in self._sizes.items():
            for what in self._each:
                yield what, batch, number


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
                    step_s = sum(self._times.of(spec, batch_size, level, spec.cores))
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

    def resident_bytes(self, batch_size: int, *, averages: bool = False) -> int:
        """Memory that training takes; a mean of the weights is as large as they are."""
        model = self._times.model
        mean_bytes = BYTES_PER_VALUE["fp32"] * model.parameters if averages else 0
        return training_bytes(model, batch_size) + mean_bytes
