"""What running a model costs on a processor: pure functions of the two, in seconds, joules, bytes.

A roofline whose sides are added up, not the larger one taken: the seconds of a layer are its
multiply-accumulates at a share of the peak rate, plus the values it reads and writes at an on-chip
rate, plus its weights at a share of the memory's bandwidth, plus the launch of its kernel. On the
measurements that the efficiencies are fitted to, the sum predicts models left out of the fit a
little better than the maximum does, and it makes time linear in a model's work, so that a model
comes down to one short vector (:func:`work`) and an estimate to a few multiplications.

A higher clock speeds up arithmetic, on-chip traffic and (on a CPU) launches; it leaves the memory
as fast as it was. More threads speed up arithmetic by a power of their number.

What is known of the processor itself is in :class:`ProcessorSpec`; what a runtime makes of it, in
:class:`Efficiency`, fitted to published latencies (``docs/fidelity.md``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgesim.nn.model import BYTES_PER_VALUE, Layer, LayerKind, ModelCost

__all__ = [
    "MAC_TERMS",
    "TERMS",
    "CostTable",
    "Efficiency",
    "Estimate",
    "Level",
    "Optimiser",
    "ProcessorSpec",
    "averaging_work",
    "core_set",
    "inference_energy_j",
    "inference_s",
    "is_supported",
    "jitter_work",
    "layout_s",
    "load_s",
    "memory_share",
    "power_w",
    "resident_bytes",
    "split_s",
    "spread",
    "term_seconds",
    "traffic_bytes",
    "traffic_bytes_of",
    "training_bytes",
    "training_energy_j",
    "training_s",
    "training_traffic_bytes",
    "training_work",
    "work",
]

MAC_TERMS: Final = (
    "stem",
    "winograd",
    "conv",
    "pointwise",
    "depthwise",
    "grouped",
    "dense",
)
"""Kinds of multiply-accumulate, each with its own share of the peak rate.

``stem`` is a convolution of an image's few channels, which no vector unit likes; ``winograd`` a
3 x 3 convolution of step 1, for which runtimes use Winograd's algorithm (Lavin and Gray, CVPR
2016), so that its share may exceed 1; ``conv`` any other full convolution.
"""

TERMS: Final = (*MAC_TERMS, "exchange", "move", "function", "weights", "dispatch")
"""All kinds of work: multiply-accumulates; bytes that multiplying layers read and write;
bytes that other layers do; bytes through an exponential, a root or a power; bytes of weights;
kernels launched."""

_EXCHANGE, _MOVE, _FUNCTION, _WEIGHTS, _DISPATCH = range(len(MAC_TERMS), len(TERMS))
_STEM_CHANNELS: Final = 4
_FOLDED: Final[frozenset[LayerKind]] = frozenset({"batchnorm", "relu"})

Work = NDArray[np.float64]
"""Amounts of work, in the order of :data:`TERMS`: multiply-accumulates (with the idle ones of
narrow layers), bytes, launches."""


@dataclass(frozen=True, slots=True)
class Efficiency:
    """What a runtime makes of a processor in one precision.

    Attributes:
        runtime: the software that was measured: ``ncnn``, ``tflite``.
        macs: for each of :data:`MAC_TERMS`, the share of the peak rate that it reaches.
        exchange: bytes per cycle (of a core; on a GPU or DSP of the whole) that multiplying layers
            read and write.
        move: the same for layers that only move, add, scale or pool values.
        function: the same for exponentials, roots and powers.
        weights: share of the memory's bandwidth at which weights are read.
        dispatch_s: seconds to launch one kernel; of a CPU, at a clock of 1 GHz, and in proportion
            less at a higher one; launches to a GPU or DSP come from elsewhere and keep their time.
        parallel: n threads do arithmetic and on-chip traffic n ** parallel times as fast as one.
        parallel_weights: and read weights n ** parallel_weights times as fast.
        parallel_dispatch: and launch kernels n ** parallel_dispatch times as fast (below 0: they
            wait for one another).
        sigma: standard deviation of ln(measured / predicted).
        rows: measurements of this very processor that went into it; 0: carried over from others.
    """

    runtime: str
    macs: Mapping[str, float]
    exchange: float
    move: float
    function: float
    weights: float
    dispatch_s: float
    parallel: float = 1.0
    parallel_weights: float = 0.0
    parallel_dispatch: float = 0.0
    sigma: float = 0.0
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Level:
    """One voltage and frequency step.

    Attributes:
        frequency_hz: the clock.
        busy_power_w: watts above idle of a CPU with one busy core, what the cluster draws once
            included; of the whole of a GPU or DSP.
    """

    frequency_hz: float
    busy_power_w: float


@dataclass(frozen=True, slots=True)
class ProcessorSpec:
    """A processor, as far as models are concerned.

    Attributes:
        name: its name within the device: ``cpu_big``, ``gpu``, ``dsp``.
        kind: ``cpu``, ``gpu`` or ``dsp``.
        family: the kind, narrowed to what shares instructions and software: ``mobile_gpu``.
        levels: its steps, slowest first.
        idle_power_w: watts while the device is awake and this processor has nothing to do.
        slots: how many inferences it serves at once, each at the full speed below, the others
            waiting in line; ``None``: all at once, sharing its time.
        cores: of a CPU; 1 for what is used as a whole.
        macs_per_cycle: peak multiply-accumulates per cycle of one core, or of the whole, by
            precision.
        memory_bps: peak bandwidth of the memory, bytes per second.
        efficiency: by precision; in what is not in it, nothing runs here.
        latency_s: measured seconds of one inference (batch 1, top level, all cores) by (model,
            precision). Where there is one it is used, and the efficiencies only scale it to other
            levels and threads.
        cluster_power_w: the part of a CPU's busy watts that further busy cores do not add again.
        unsupported_layers: kinds of layers; models with one of them cannot run here.
        load_curve: of a server, (share of full load, share of its busy watts above idle),
            increasing to (1, 1); empty: in proportion.
    """

    name: str
    kind: str
    levels: tuple[Level, ...]
    idle_power_w: float = 0.0
    family: str = ""
    slots: int | None = None
    cores: int = 1
    macs_per_cycle: Mapping[str, float] = field(default_factory=dict)
    memory_bps: float = 1e9
    efficiency: Mapping[str, Efficiency] = field(default_factory=dict)
    latency_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    cluster_power_w: float = 0.0
    unsupported_layers: frozenset[str] = frozenset()
    load_curve: tuple[tuple[float, float], ...] = ()

    @property
    def sigma(self) -> float:
        """Standard deviation of ln(measured / predicted); 0 if nothing is known of it."""
        return max((row.sigma for row in self.efficiency.values()), default=0.0)

    @property
    def busy_power_w(self) -> float:
        """Watts above idle with all of it at work at the top level."""
        return self.power_w(-1, self.cores)

    def power_w(self, level: int, cores: int) -> float:
        """Watts above idle with so many busy cores (1 for what is used as a whole) at a level."""
        if cores < 1:
            return 0.0
        one_core_w = self.levels[level].busy_power_w
        return one_core_w + (cores - 1) * (one_core_w - self.cluster_power_w)

    def load_w(self, load: float) -> float:
        """Watts above idle of a server's processor at a share of full load, in [0, 1]."""
        if not self.load_curve:
            return load * self.busy_power_w
        before = (0.0, 0.0)
        for point in self.load_curve:
            if load <= point[0]:
                share = (load - before[0]) / (point[0] - before[0])
                return (before[1] + share * (point[1] - before[1])) * self.busy_power_w
            before = point
        return before[1] * self.busy_power_w


class Estimate(NamedTuple):
    """What one job costs.

    Attributes:
        seconds: with the processor to itself.
        energy_j: above the processor's idle power.
    """

    seconds: float
    energy_j: float


def work(model: ModelCost, precision: str, batch: int = 1) -> Work:
    """The work of one inference.

    Args:
        model: what is run.
        precision: sets the bytes of a value.
        batch: inputs at once: as many times the arithmetic and the values, but weights are read and
            kernels launched once.

    Raises:
        ValueError: for a batch below 1.
    """
    return _work(model, precision, batch).copy()


@lru_cache(maxsize=512)
def _work(model: ModelCost, precision: str, batch: int = 1) -> Work:
    if batch < 1:
        raise ValueError(f"batch must be at least 1; found {batch}")
    total = np.zeros(len(TERMS))
    width = BYTES_PER_VALUE[precision]
    for layer in model.layers:
        if layer.kind in _FOLDED:
            continue
        term = _mac_term(layer)
        values = width * batch * (layer.inputs + layer.outputs)
        total[_DISPATCH] += 1
        if term is None:
            if _is_function(layer):
                total[_FUNCTION] += values * _window(layer)
            else:
                total[_MOVE] += values
        else:
            total[TERMS.index(term)] += batch * _effective_macs(layer, term)
            total[_EXCHANGE] += values
        if layer.kind != "embedding":  # only the rows looked up are read, and they are outputs
            total[_WEIGHTS] += width * layer.parameters
    return total


def _mac_term(layer: Layer) -> str | None:
    """What kind of multiplying this layer does; ``None`` if it does none to speak of."""
    if layer.kind == "conv":
        channels = layer.macs / (layer.outputs * layer.kernel[0] * layer.kernel[1])
        if channels <= _STEM_CHANNELS:
            return "stem"
        return "winograd" if layer.kernel == (3, 3) and layer.stride == 1 else "conv"
    if layer.kind == "dense":  # on many rows at once, a matrix product like any other
        return "pointwise" if layer.macs >= 2 * layer.parameters else "dense"
    if layer.kind == "matmul":
        return "pointwise"
    if layer.kind == "recurrent":
        return "dense"
    return layer.kind if layer.kind in ("pointwise", "depthwise", "grouped") else None


_NARROW: Final = 24.0
"""Inputs per output, and output channels, at which a layer keeps half of the multipliers busy.

The inner loop of a matrix product runs over a layer's inputs and its tiles over the output
channels; the start and end of each cost time whatever their length. Of 0, 16, 24, 32 and 48, the
value that best predicted the models of the calibration files left out of the fit, when it was
chosen; without it their median error was 18 % in place of 14 %.
"""


def _effective_macs(layer: Layer, term: str) -> float:
    """Multiply-accumulates, and the idle ones of narrow layers."""
    if term in ("depthwise", "dense") or not layer.macs or not layer.parameters:
        return layer.macs
    depth = layer.macs / layer.outputs
    if term == "winograd":
        depth /= 9  # its products run over the channels alone
    positions = max(layer.macs / layer.parameters, 1.0)
    channels = layer.outputs / positions / layer.groups
    return layer.macs * (1.0 + _NARROW / depth + _NARROW / max(channels, 1.0))


def _is_function(layer: Layer) -> bool:
    return layer.kind in ("activation", "normalisation", "softmax")


def _window(layer: Layer) -> int:
    """Values that go into one: local response normalisation looks at its neighbours."""
    return layer.kernel[0] * layer.kernel[1]


Optimiser = Literal["sgd", "momentum", "adam"]
_OPTIMISER_TRAFFIC: Final[Mapping[str, int]] = {"sgd": 3, "momentum": 5, "adam": 7}
"""Reads and writes of one 4-byte value per parameter: weight and gradient are read, the weight is
written; each running average is read and written besides."""
_OPTIMISER_STATE: Final[Mapping[str, int]] = {"sgd": 0, "momentum": 1, "adam": 2}


def _check_step(batch: int, optimiser: str) -> None:
    if batch < 1:
        raise ValueError(f"batch must be at least 1; found {batch}")
    if optimiser not in _OPTIMISER_STATE:
        known = ", ".join(_OPTIMISER_STATE)
        raise ValueError(f"unknown optimiser {optimiser!r}; one of {known}")


def training_work(model: ModelCost, batch: int, optimiser: Optimiser = "sgd") -> Work:
    """The work of one training step in fp32: forward, backward, update.

    Backward multiplies twice as much as forward (gradients of inputs and of weights; the first
    layer needs only the latter). It reads what forward wrote and writes as much again. Batch
    normalisation and ReLU, folded away at inference, are layers of their own. Frameworks do not use
    Winograd's algorithm to train on these processors, as far as is known: such convolutions count
    as others do. Weights are read twice and their gradients written once per step, whatever the
    batch (of an embedding only the rows looked up are read, but its gradient is as large as it is); the
    optimiser passes over all parameters.

    Args:
        model: what is trained.
        batch: samples per step.
        optimiser: which state is kept per parameter.

    Raises:
        ValueError: for a batch below 1 or an unknown optimiser.
    """
    _check_step(batch, optimiser)
    total = np.zeros(len(TERMS))
    width = BYTES_PER_VALUE["fp32"]
    is_first = True
    for layer in model.layers:
        term = _mac_term(layer)
        values = width * batch * (layer.inputs + layer.outputs)
        total[_DISPATCH] += 2
        if term is None:
            if _is_function(layer):
                total[_FUNCTION] += 3 * values * _window(layer)
            else:
                total[_MOVE] += 3 * values
        else:
            term = "conv" if term == "winograd" else term
            passes = 2 if is_first else 3
            is_first = False
            total[TERMS.index(term)] += passes * batch * _effective_macs(layer, term)
            total[_EXCHANGE] += passes * values
            total[_DISPATCH] += passes - 2
        reads_and_writes = 1 if layer.kind == "embedding" else 3
        total[_WEIGHTS] += reads_and_writes * width * layer.parameters
    total[_WEIGHTS] += _OPTIMISER_TRAFFIC[optimiser] * width * model.parameters
    return total


def averaging_work(model: ModelCost) -> Work:
    """The work of taking a model's fp32 weights into a running mean: both are read, one is written."""
    total = np.zeros(len(TERMS))
    total[_WEIGHTS] = 3 * BYTES_PER_VALUE["fp32"] * model.parameters
    return total


def jitter_work(values: float) -> Work:
    """The work of random white balance and gamma in fp32: a product and a power of so many values."""
    total = np.zeros(len(TERMS))
    total[_MOVE] = total[_FUNCTION] = 2 * BYTES_PER_VALUE["fp32"] * values
    total[_DISPATCH] = 2
    return total


def split_s(
    amounts: Work, processor: ProcessorSpec, *, level: int = -1, threads: int = 1
) -> tuple[float, float]:
    """Seconds of work in fp32: those that others at the memory do not lengthen, and those that they do.

    Arguments as for :func:`term_seconds`.
    """
    seconds = term_seconds(amounts, processor, "fp32", level=level, threads=threads).tolist()
    memory_s = float(seconds[_EXCHANGE] + seconds[_MOVE] + seconds[_WEIGHTS])
    return float(sum(seconds)) - memory_s, memory_s


def traffic_bytes_of(amounts: Work) -> float:
    """Bytes that work reads and writes, caches left aside."""
    return float(amounts[_EXCHANGE] + amounts[_MOVE] + amounts[_WEIGHTS])


def term_seconds(
    amounts: Work, processor: ProcessorSpec, precision: str, *, level: int = -1, threads: int = 1
) -> Work:
    """Seconds of each kind of work, in the order of :data:`TERMS`; their sum is the latency.

    Args:
        amounts: from :func:`work` or :func:`training_work`.
        processor: where.
        precision: in which of its precisions.
        level: index into its levels.
        threads: on a CPU; more than it has cores do not help.

    Raises:
        KeyError: if the processor has no efficiency in that precision.
        ValueError: for less than one thread.
    """
    seconds: Work = amounts * _seconds_per_unit(processor, precision, level, threads)
    return seconds


def _seconds_per_unit(processor: ProcessorSpec, precision: str, level: int, threads: int) -> Work:
    if threads < 1:
        raise ValueError(f"threads must be at least 1; found {threads}")
    if processor.kind != "cpu":
        threads = processor.cores  # used as a whole, by one stream of kernels
    efficiency = processor.efficiency[precision]
    clock_hz = processor.levels[level].frequency_hz
    cores = min(threads, processor.cores)
    cycles_per_s = clock_hz * cores**efficiency.parallel
    macs_per_s = cycles_per_s * processor.macs_per_cycle[precision]
    slower = 1e9 / clock_hz if processor.kind == "cpu" else 1.0
    per_unit = np.empty(len(TERMS))
    for index, term in enumerate(MAC_TERMS):
        per_unit[index] = 1.0 / (macs_per_s * efficiency.macs[term])
    per_unit[_EXCHANGE] = 1.0 / (cycles_per_s * efficiency.exchange)
    per_unit[_MOVE] = 1.0 / (cycles_per_s * efficiency.move)
    per_unit[_FUNCTION] = 1.0 / (cycles_per_s * efficiency.function)
    per_unit[_WEIGHTS] = 1.0 / (
        processor.memory_bps * efficiency.weights * cores**efficiency.parallel_weights
    )
    per_unit[_DISPATCH] = efficiency.dispatch_s * slower / cores**efficiency.parallel_dispatch
    return per_unit


def spread(clusters: Sequence[ProcessorSpec], threads: int) -> list[tuple[ProcessorSpec, int]]:
    """The clusters that ``threads`` threads run on, fastest first, with the cores used of each.

    Args:
        clusters: the clusters they may use, in any order.
        threads: how many; a thread takes a core of its own while there is one.
    """
    used = []
    left = threads
    for cluster in sorted(clusters, key=_core_speed, reverse=True):
        if left > 0:
            used.append((cluster, min(left, cluster.cores)))
            left -= cluster.cores
    return used


def core_set(clusters: Sequence[ProcessorSpec], threads: int) -> ProcessorSpec:
    """The cores that ``threads`` threads of one inference run on, as one processor at top level.

    Threads take the fastest cores first. Runtimes split a layer evenly among them, so that all wait
    for the slowest: across clusters the set is as fast as that many of its slowest cores. Its watts
    are those of its cores.

    Args:
        clusters: the clusters they may use, in any order.
        threads: how many.
    """
    used = spread(clusters, threads)
    slowest = used[-1][0]
    cores = sum(count for _, count in used)
    power_w = sum(cluster.power_w(-1, count) for cluster, count in used)
    return replace(
        slowest,
        name="+".join(cluster.name for cluster, _ in used),
        levels=(replace(slowest.levels[-1], busy_power_w=power_w / cores),),
        cores=cores,
        cluster_power_w=0.0,
        latency_s=MappingProxyType({}),
    )


def _core_speed(processor: ProcessorSpec) -> float:
    return processor.levels[-1].frequency_hz * processor.macs_per_cycle.get("fp32", 1.0)


def is_supported(model: ModelCost, processor: ProcessorSpec) -> bool:
    """Whether this kind and family of processor can run the model, and all its kinds of layers."""
    if {processor.kind, processor.family} & model.unsupported_on:
        return False
    return not (processor.unsupported_layers and processor.unsupported_layers & _kinds(model))


@lru_cache(maxsize=512)
def _kinds(model: ModelCost) -> frozenset[str]:
    return frozenset(layer.kind for layer in model.layers)


def inference_s(
    model: ModelCost,
    processor: ProcessorSpec,
    precision: str,
    *,
    level: int = -1,
    threads: int | None = None,
    batch: int = 1,
) -> float | None:
    """Seconds of one inference with the processor to itself; ``None`` if it cannot run there.

    Args:
        model: what is run.
        processor: where.
        precision: one of :data:`~edgesim.nn.model.PRECISIONS`.
        level: index into the processor's levels; the top one by default.
        threads: on a CPU, as many as it has cores by default.
        batch: inputs at once.

    Raises:
        ValueError: for a precision that does not exist, or less than one input or thread.
    """
    if precision not in BYTES_PER_VALUE:
        raise ValueError(f"unknown precision {precision!r}; one of {', '.join(BYTES_PER_VALUE)}")
    if not is_supported(model, processor):
        return None
    threads = processor.cores if threads is None else threads
    measured_s = processor.latency_s.get((model.name, precision))
    if precision not in processor.efficiency:
        is_top = level in (-1, len(processor.levels) - 1)
        is_as_measured = is_top and threads >= processor.cores and batch == 1
        return measured_s if is_as_measured else None
    seconds = _total(_work(model, precision, batch), processor, precision, level, threads)
    if measured_s is None:
        return seconds
    return measured_s * (
        seconds / _total(_work(model, precision), processor, precision, -1, processor.cores)
    )


def memory_share(
    model: ModelCost,
    processor: ProcessorSpec,
    precision: str,
    *,
    level: int = -1,
    threads: int | None = None,
    batch: int = 1,
) -> float:
    """The share of an inference's time that goes into moving values and weights, in [0, 1].

    That much of it waits longer when others use the memory. Arguments as for :func:`inference_s`;
    0 for a processor that is known by measured latencies alone.
    """
    if precision not in processor.efficiency:
        return 0.0
    threads = processor.cores if threads is None else threads
    amounts = _work(model, precision, batch)
    seconds = term_seconds(amounts, processor, precision, level=level, threads=threads).tolist()
    total = float(sum(seconds))
    return (seconds[_EXCHANGE] + seconds[_MOVE] + seconds[_WEIGHTS]) / total if total else 0.0


def traffic_bytes(model: ModelCost, precision: str, batch: int = 1) -> float:
    """Bytes of weights and values that an inference reads and writes, caches left aside."""
    return traffic_bytes_of(_work(model, precision, batch))


def inference_energy_j(
    model: ModelCost,
    processor: ProcessorSpec,
    precision: str,
    *,
    level: int = -1,
    threads: int | None = None,
    batch: int = 1,
) -> float | None:
    """Joules of one inference above the processor's idle power; ``None`` if it cannot run there.

    A processor of several slots is charged for one of them. Arguments as for :func:`inference_s`.
    """
    seconds = inference_s(model, processor, precision, level=level, threads=threads, batch=batch)
    if seconds is None:
        return None
    return power_w(processor, level, threads) * seconds


def training_s(
    model: ModelCost,
    processor: ProcessorSpec,
    batch: int,
    *,
    optimiser: Optimiser = "sgd",
    level: int = -1,
    threads: int | None = None,
) -> float | None:
    """Seconds of one training step of ``batch`` samples in fp32; ``None`` if it cannot train there.

    Efficiencies were fitted to inference; nothing published of training went into them.
    """
    if not is_supported(model, processor) or "fp32" not in processor.efficiency:
        return None
    threads = processor.cores if threads is None else threads
    return _total(training_work(model, batch, optimiser), processor, "fp32", level, threads)


def training_energy_j(
    model: ModelCost,
    processor: ProcessorSpec,
    batch: int,
    *,
    optimiser: Optimiser = "sgd",
    level: int = -1,
    threads: int | None = None,
) -> float | None:
    """Joules of one training step above the processor's idle power, as :func:`training_s`."""
    seconds = training_s(model, processor, batch, optimiser=optimiser, level=level, threads=threads)
    return None if seconds is None else power_w(processor, level, threads) * seconds


def training_traffic_bytes(model: ModelCost, batch: int, optimiser: Optimiser = "sgd") -> float:
    """Bytes of weights and values that a training step reads and writes, caches left aside."""
    return traffic_bytes_of(training_work(model, batch, optimiser))


def power_w(processor: ProcessorSpec, level: int = -1, threads: int | None = None) -> float:
    """Watts above idle while one job runs on it, on one of its slots if it has several."""
    cores = processor.cores if threads is None else min(threads, processor.cores)
    return processor.power_w(level, cores) / (processor.slots or 1)


def _total(
    amounts: Work, processor: ProcessorSpec, precision: str, level: int, threads: int
) -> float:
    # Added in a fixed order: numpy's own sums may depend on the machine.
    seconds = term_seconds(amounts, processor, precision, level=level, threads=threads)
    return float(sum(seconds.tolist()))


def resident_bytes(model: ModelCost, precision: str) -> int:
    """Memory that a loaded model holds: its weights and its largest pair of activations.

    Runtimes reuse the memory of activations that are no longer needed, so that a layer's input and
    output together are what must be there at once.
    """
    width = BYTES_PER_VALUE[precision]
    largest = max((layer.inputs + layer.outputs for layer in model.layers), default=0)
    return model.weight_bytes(precision) + width * largest


def training_bytes(model: ModelCost, batch: int, optimiser: Optimiser = "sgd") -> int:
    """Memory of one training step in fp32: weights, gradients, optimiser state, activations.

    Every layer's output is kept for the backward pass (no recomputation), for each sample.
    """
    _check_step(batch, optimiser)
    width = BYTES_PER_VALUE["fp32"]
    kept = sum(layer.outputs for layer in model.layers)
    copies = 2 + _OPTIMISER_STATE[optimiser]
    return width * (copies * model.parameters + batch * kept)


def load_s(model: ModelCost, processor: ProcessorSpec, precision: str, storage_bps: float) -> float:
    """Seconds to make a model ready that is not in memory: read, lay out, launch once.

    The weights are read from storage, then written through memory in the order the processor wants
    (read and written once each, at the rate of weights), and every kernel is set up, which takes as
    long as launching it. Shader compilation on a GPU is not included: no published figure was found.

    Args:
        model: what is loaded.
        processor: for which.
        precision: in which.
        storage_bps: sequential read rate of the storage, bytes per second.

    Raises:
        ValueError: for a rate that is not above zero.
    """
    if not storage_bps > 0:
        raise ValueError(f"storage_bps must be above 0; found {storage_bps}")
    return model.weight_bytes(precision) / storage_bps + layout_s(model, processor, precision)


def layout_s(model: ModelCost, processor: ProcessorSpec, precision: str) -> float:
    """The part of :func:`load_s` in which the processor is at work; 0 where only latencies are known."""
    if precision not in processor.efficiency:
        return 0.0
    layout = np.zeros(len(TERMS))
    layout[_WEIGHTS] = 2 * model.weight_bytes(precision)
    layout[_DISPATCH] = _work(model, precision)[_DISPATCH]
    return _total(layout, processor, precision, -1, 1)


class CostTable:
    """Seconds and joules of many models on every target of a device, worked out once.

    A target is a processor in one precision at one level with all its cores.

    Args:
        processors: the device's processors.

    Attributes:
        targets: (processor, precision, level) of every target, in a fixed order.

    >>> table = CostTable([processor])                              # doctest: +SKIP
    >>> table.seconds(ZOO["mobilenet_v1"])[table.index("gpu", "fp16", 6)]   # doctest: +SKIP
    """

    __slots__ = (
        "_blocks",
        "_estimates",
        "_index",
        "_measured",
        "_power_w",
        "_processors",
        "_rows_of_processor",
        "targets",
    )

    def __init__(self, processors: Sequence[ProcessorSpec]) -> None:
        per_unit: list[Work] = []
        watts: list[float] = []
        targets: list[tuple[str, str, int]] = []
        self._processors = {processor.name: processor for processor in processors}
        for processor in processors:
            for precision in processor.efficiency:
                for level in range(len(processor.levels)):
                    targets.append((processor.name, precision, level))
                    per_unit.append(_seconds_per_unit(processor, precision, level, processor.cores))
                    watts.append(power_w(processor, level))
            measured_only = {p for _, p in processor.latency_s} - processor.efficiency.keys()
            for precision in sorted(measured_only):  # known at the top level alone
                targets.append((processor.name, precision, len(processor.levels) - 1))
                per_unit.append(np.full(len(TERMS), np.nan))
                watts.append(power_w(processor))
        self.targets = tuple(targets)
        by_term = np.array(per_unit).reshape(len(targets), len(TERMS)).T
        self._power_w = np.array(watts)
        self._index = {target: index for index, target in enumerate(targets)}
        self._blocks = {
            precision: (rows, np.ascontiguousarray(by_term[:, rows]))
            for precision, rows in _places(precision for _, precision, _ in targets).items()
        }
        self._rows_of_processor = _places(name for name, _, _ in targets)
        self._measured = {key for processor in processors for key in processor.latency_s}
        self._estimates: dict[tuple[ModelCost, str, str, int], Estimate] = {}

    def index(self, processor: str, precision: str, level: int) -> int:
        """The place of a target in :attr:`targets`."""
        return self._index[processor, precision, level]

    def seconds(self, model: ModelCost) -> NDArray[np.float64]:
        """Seconds of one inference on every target; NaN where it cannot run."""
        total = np.zeros(len(self.targets))
        for precision, (rows, block) in self._blocks.items():
            amounts = _work(model, precision).tolist()
            of_precision = np.zeros(len(rows))
            # Term by term, in the order that a single estimate is added up in: the same bits.
            for amount, per_unit in zip(amounts, block, strict=True):
                of_precision += amount * per_unit
            total[rows] = of_precision
        for name, rows in self._rows_of_processor.items():
            if not is_supported(model, self._processors[name]):
                total[rows] = np.nan
        if self._measured:
            self._take_measured(model, total)
        return total

    def _take_measured(self, model: ModelCost, total: NDArray[np.float64]) -> None:
        for index, (name, precision, level) in enumerate(self.targets):
            processor = self._processors[name]
            if (model.name, precision) in processor.latency_s:
                seconds = inference_s(model, processor, precision, level=level)
                total[index] = np.nan if seconds is None else seconds

    def energy_j(self, model: ModelCost) -> NDArray[np.float64]:
        """Joules above idle of one inference on every target; NaN where it cannot run."""
        joules: NDArray[np.float64] = self.seconds(model) * self._power_w
        return joules

    def estimate(self, model: ModelCost, processor: str, precision: str, level: int) -> Estimate:
        """Seconds and joules of one inference on one target, remembered."""
        key = (model, processor, precision, level)
        found = self._estimates.get(key)
        if found is None:
            seconds = self.seconds(model)
            joules = seconds * self._power_w
            for target, s, j in zip(self.targets, seconds.tolist(), joules.tolist(), strict=True):
                self._estimates[model, *target] = Estimate(s, j)
            found = self._estimates[key]
        return found


def _places(names: Iterable[str]) -> dict[str, NDArray[np.intp]]:
    """The places of each name in a list, by name."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(name, []).append(index)
    return {name: np.array(places, dtype=np.intp) for name, places in found.items()}
