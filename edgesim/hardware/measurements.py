"""Published latencies: reading them from files, and predicting each with the cost model.

Two formats, told apart by their header:

- ncnn's ``soc,threads,powersave,gpu_device,network,min_ms,avg_ms`` (an explanation in brackets
  after a name is ignored);
- TensorFlow Lite's ``soc,phone,processor,threads,precision,network,latency_ms,source``, with the
  optional columns ``runtime``, for other software measured the same way, and ``batch``.

The runtime belongs to the measurement, and so does what it does with a precision: ncnn stores and
computes float models in half precision wherever the processor can, as TensorFlow Lite's GPU
delegate does; ncnn's int8 models run on the CPU even where a GPU was asked for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.hardware.catalogue import Catalogue, processor_specs
from edgesim.hardware.profiles import ServerProfile, SocProfile
from edgesim.nn.cost import (
    ProcessorSpec,
    core_set,
    is_supported,
    term_seconds,
    work,
)
from edgesim.nn.model import PRECISIONS, ModelCost
from edgesim.nn.zoo import UnknownModelError, measured_model

__all__ = [
    "Measurement",
    "Setting",
    "UnknownMeasurementError",
    "read_measurements",
    "resolve",
    "setting",
]

_NCNN: Final = ("soc", "threads", "powersave", "gpu_device", "network", "min_ms", "avg_ms")
_TFLITE: Final = (
    "soc",
    "phone",
    "processor",
    "threads",
    "precision",
    "network",
    "latency_ms",
    "source",
)
_OPTIONAL: Final = ("runtime", "batch")
_PROCESSORS: Final = ("cpu", "gpu", "dsp", "nnapi")
_BUILT_WITHOUT_HALF: Final = ("snapdragon_675",)
"""Chips whose ncnn rows come from a build without half precision on the CPU, as far as one can tell:
float models reach 5 multiply-accumulates per cycle of its 2 GHz Cortex-A76, as single precision does
elsewhere, and half of what the same cores reach in other rows; int8 is no faster."""
_SHORTEST_MS, _LONGEST_MS = 0.01, 600_000.0
"""Outside of these, a latency is a slip of the unit: microseconds or seconds for milliseconds."""

Cores = Literal["all", "little", "big"]
_CORES: Final[tuple[Cores, ...]] = ("all", "little", "big")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of a measurement file.

    Attributes:
        file: where it stands.
        line: on which line.
        soc: the chip or server, as the file calls it.
        runtime: the software.
        processor: ``cpu``, ``gpu``, ``dsp`` or ``nnapi`` (wherever the driver puts it).
        threads: on a CPU; 1 elsewhere.
        cores: which cores of a CPU it may use.
        precision: of the model's file: ``fp32`` or ``int8``, or ``fp16`` where it says so.
        network: the model, as the file calls it, without a suffix for its precision.
        seconds: measured (an average where the file has one), for the whole batch.
        batch: inputs at once.
        phone: of which it is the chip, where the file says.
    """

    file: str
    line: int
    soc: str
    runtime: str
    processor: str
    threads: int
    cores: Cores
    precision: str
    network: str
    seconds: float
    batch: int = 1
    phone: str = ""

    @property
    def label(self) -> str:
        """The row in words, without the measured time."""
        threads = f" x {self.threads} {self.cores}" if self.processor == "cpu" else ""
        batch = f" x {self.batch}" if self.batch > 1 else ""
        return (
            f"{self.soc} {self.processor}{threads} {self.runtime} {self.precision} "
            f"{self.network}{batch}"
        )


class UnknownMeasurementError(Exception):
    """A row that the cost model has nothing to say about, and why."""


def read_measurements(files: Sequence[Path]) -> list[Measurement]:
    """Read measurement files.

    Raises:
        ConfigError: with every problem found: a file that cannot be read, a wrong header, a value
            that is not a number, a time in another unit, the same measurement twice.
    """
    problems: list[Problem] = []
    rows: list[Measurement] = []
    for file in files:
        rows += _read(file, problems)
    first: dict[tuple[object, ...], Measurement] = {}
    for row in rows:
        key = (row.soc, row.runtime, row.processor, row.threads, row.cores, row.precision)
        before = first.setdefault((*key, row.network, row.batch, row.phone), row)
        if before is not row:
            where = f"{before.file}:{before.line}" if before.file != row.file else before.line
            problems.append(
                Problem(
                    row.file,
                    row.line,
                    "network",
                    f"{row.label} is measured twice, first on line {where}; keep one of them",
                )
            )
    if problems:
        raise ConfigError(problems)
    return rows


def _read(file: Path, problems: list[Problem]) -> Iterator[Measurement]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        problems.append(Problem(str(file), None, "", f"cannot be read: {error.strerror or error}"))
        return
    except UnicodeDecodeError as error:
        problems.append(Problem(str(file), None, "", f"is not UTF-8 text (byte {error.start})"))
        return
    lines = _lines(text, str(file), problems)
    first = next(lines, None)
    header = tuple(name.split("(")[0].strip() for name in (first[1] if first else []))
    is_ncnn = header == _NCNN
    if not is_ncnn and (
        tuple(name for name in header if name not in _OPTIONAL) != _TFLITE
        or len(set(header)) < len(header)
    ):
        problems.append(Problem(str(file), 1, "", _header_message(header)))
        return
    for number, values in lines:
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(header):
            message = f"has {len(values)} columns where the header has {len(header)}"
            problems.append(Problem(str(file), number, "", message))
            continue
        cells = dict(zip(header, (value.strip() for value in values), strict=True))
        row = _Row(str(file), number, cells, problems)
        found = row.ncnn() if is_ncnn else row.tflite()
        if found is not None:
            yield found


def _lines(text: str, file: str, problems: list[Problem]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV with the line each begins on; ends at what is not CSV."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            message = f"cannot be read as CSV from here on: {error}; look for an unclosed quote"
            problems.append(Problem(file, line, "", message))
            return
        yield line, values


def _header_message(header: tuple[str, ...]) -> str:
    for wanted in (_NCNN, _TFLITE):
        wrong = [name for name in header if name not in (*wanted, *_OPTIONAL)]
        times = [name for name in wrong if name.endswith(("_s", "_us", "_ns", "_sec"))]
        if times and len(wrong) == len(times):
            return f"column {times[0]!r}: times must be in milliseconds; convert and rename it"
    return (
        "unknown header; wanted "
        f"{','.join(_NCNN)} or {','.join(_TFLITE)}; found {','.join(header) or 'an empty file'}"
    )


@dataclass(slots=True)
class _Row:
    file: str
    line: int
    cells: Mapping[str, str]
    problems: list[Problem]

    def ncnn(self) -> Measurement | None:
        before = len(self.problems)
        threads = self._whole("threads", 1, 1024)
        powersave = self._whole("powersave", 0, 2)
        gpu = self._whole("gpu_device", -1, 64)
        best_ms, mean_ms = self._milliseconds("min_ms"), self._milliseconds("avg_ms")
        network = self._text("network")
        if network == "_int8":
            self._wrong("network", "names no model")
        if mean_ms < best_ms:
            self._wrong("avg_ms", f"the mean, {mean_ms:g} ms, is below the minimum, {best_ms:g} ms")
        soc = self._text("soc")
        if len(self.problems) > before:
            return None
        is_int8 = network.endswith("_int8")
        on_gpu = gpu >= 0 and not is_int8
        return Measurement(
            self.file,
            self.line,
            soc,
            "ncnn_vulkan" if gpu >= 0 and is_int8 else "ncnn",
            "gpu" if on_gpu else "cpu",
            1 if on_gpu else threads,
            "all" if on_gpu else _CORES[powersave],
            "int8" if is_int8 else "fp32",
            network.removesuffix("_int8"),
            mean_ms * 1e-3,
        )

    def tflite(self) -> Measurement | None:
        before = len(self.problems)
        processor = self._one_of("processor", _PROCESSORS)
        precision = self._one_of("precision", PRECISIONS)
        is_cpu = processor == "cpu"
        threads = self._whole("threads", 1, 1024) if is_cpu or self.cells["threads"] else 1
        measured_ms = self._milliseconds("latency_ms")
        batch = self._whole("batch", 1, 100_000) if self.cells.get("batch") else 1
        network, soc = self._text("network"), self._text("soc")
        if len(self.problems) > before:
            return None
        return Measurement(
            self.file,
            self.line,
            soc,
            self.cells.get("runtime") or "tflite",
            processor,
            threads if is_cpu else 1,
            "all",
            precision,
            network,
            measured_ms * 1e-3,
            batch,
            self.cells["phone"],
        )

    def _text(self, key: str) -> str:
        if not self.cells[key]:
            self._wrong(key, "is empty")
        return self.cells[key]

    def _one_of(self, key: str, known: Sequence[str]) -> str:
        value = self.cells[key].lower()
        if value not in known:
            self._wrong(key, f"unknown {key} {value!r}; {did_you_mean(value, known)}")
        return value

    def _whole(self, key: str, least: int, most: int) -> int:
        try:
            value = int(_plain(self.cells[key]))
        except ValueError:
            self._wrong(key, f"must be a whole number; found {self.cells[key]!r}")
            return least
        if not least <= value <= most:
            self._wrong(key, f"must be from {least} to {most}; found {value}")
        return value

    def _milliseconds(self, key: str) -> float:
        try:
            value = float(_plain(self.cells[key]))
        except ValueError:
            self._wrong(key, f"must be milliseconds as a plain number; found {self.cells[key]!r}")
            return _SHORTEST_MS
        if not _SHORTEST_MS <= value <= _LONGEST_MS:
            self._wrong(
                key,
                f"must be milliseconds from {_SHORTEST_MS:g} to {_LONGEST_MS:g}; found "
                f"{self.cells[key]}: another unit?",
            )
            return _SHORTEST_MS
        return value

    def _wrong(self, key: str, message: str) -> None:
        self.problems.append(Problem(self.file, self.line, key, message))


def _plain(text: str) -> str:
    """The text of a number, if it is one in any spreadsheet and not in Python alone."""
    if not text.isascii() or "_" in text:
        raise ValueError
    return text


@dataclass(frozen=True, slots=True)
class Setting:
    """What a measurement ran on, in the terms of the cost model.

    Attributes:
        model: what was run.
        chip: the profile of the chip or server.
        processor: the cores or the unit that it ran on, as one processor.
        precision: in which it was computed.
        runtime: by which software.
        threads: how many.
        batch: inputs at once.
    """

    model: ModelCost
    chip: SocProfile | ServerProfile
    processor: ProcessorSpec
    precision: str
    runtime: str
    threads: int
    batch: int

    def term_seconds(self) -> list[float]:
        """Predicted seconds of each kind of work."""
        amounts = work(self.model, self.precision, self.batch)
        terms: list[float] = term_seconds(
            amounts, self.processor, self.precision, threads=self.threads
        ).tolist()
        return terms

    def predicted_s(self) -> float:
        """Predicted latency."""
        return sum(self.term_seconds())


Specs = Callable[[SocProfile | ServerProfile, str], Mapping[str, ProcessorSpec]]


def setting(
    measurement: Measurement, catalogue: Catalogue, specs: Specs = processor_specs
) -> Setting:
    """What a measurement ran on.

    Args:
        measurement: the row.
        catalogue: where chips are looked up.
        specs: the processors of a chip with the efficiencies of a runtime.

    Raises:
        UnknownMeasurementError: if the model, the chip or the way it ran is not known.
        ConfigError: if a profile is not in order.
    """
    try:
        model = measured_model(measurement.network)
    except UnknownModelError as error:
        raise UnknownMeasurementError(str(error)) from None
    chips = catalogue.chips()
    if measurement.soc not in chips:
        hint = did_you_mean(measurement.soc, chips)
        raise UnknownMeasurementError(f"there is no such chip; {hint}")
    chip = catalogue.chip(measurement.soc)
    kind, runtime, precision = resolve(measurement, chip)
    units = [spec for spec in specs(chip, runtime).values() if spec.kind == kind]
    if not units:
        raise UnknownMeasurementError(f"{chip.name} has no {kind}")
    if not is_supported(model, units[0]):
        raise UnknownMeasurementError(f"{model.name} does not run on a {kind}")
    processor = units[0]
    if kind == "cpu":
        allowed = _allowed(units, measurement.cores)
        processor = core_set(allowed, measurement.threads)
    found = processor.efficiency.get(precision)
    if found is None or found.runtime != runtime:
        raise UnknownMeasurementError(
            f"nothing is known of {chip.name}'s {kind} in {precision} under {runtime}"
        )
    return Setting(
        model, chip, processor, precision, runtime, measurement.threads, measurement.batch
    )


def resolve(measurement: Measurement, chip: SocProfile | ServerProfile) -> tuple[str, str, str]:
    """Processor kind, runtime and precision in which a measurement was really computed.

    TensorFlow Lite through NNAPI goes where the driver puts it: taken to be the DSP for int8 and
    the GPU, in half precision, for float models, as is usual on the Qualcomm phones measured.
    """
    kind, runtime, precision = measurement.processor, measurement.runtime, measurement.precision
    if kind == "nnapi":
        kind, runtime = ("dsp" if precision == "int8" else "gpu"), "nnapi"
    elif kind == "dsp" and runtime == "tflite":
        runtime = "nnapi"
    if precision == "fp32":
        peaks = [
            processor.macs_per_cycle
            for processor in chip.processors.values()
            if processor.kind == kind
        ]
        if kind == "cpu":
            halves = runtime in ("ncnn", "ncnn_vulkan") and chip.name not in _BUILT_WITHOUT_HALF
        else:
            halves = runtime != "mxnet"
        if halves and any(peak.fp16 for peak in peaks):
            precision = "fp16"
    return kind, runtime, precision


def _allowed(clusters: Sequence[ProcessorSpec], cores: Cores) -> list[ProcessorSpec]:
    """The clusters that ncnn's ``powersave`` allows: big ones reach the middle of the top clocks."""
    tops = [cluster.levels[-1].frequency_hz for cluster in clusters]
    if cores == "all" or min(tops) == max(tops):
        return list(clusters)
    middle = (min(tops) + max(tops)) / 2
    return [c for c, top in zip(clusters, tops, strict=True) if (top >= middle) == (cores == "big")]
