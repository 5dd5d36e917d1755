"""The recordings that a scenario names: signals, arrivals, bandwidths, ways; read and checked."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path

from edgesim.core.documents import Document, KeyPath
from edgesim.core.errors import ConfigError, Problem
from edgesim.network.mobility import PositionTrace, read_positions
from edgesim.network.traces import (
    BandwidthTrace,
    UserSpeed,
    bandwidth_files,
    read_bandwidth,
    read_user_speeds,
)
from edgesim.scenario.quantities import LOAD_RANGE, RANGES, quantity, signals
from edgesim.scenario.schema import (
    ArrivalTraceSpec,
    AttachmentSpec,
    BandwidthTraceSpec,
    BandwidthUsersSpec,
    RouteSpec,
    Scenario,
)
from edgesim.scenario.signal_schema import (
    TraceSpec,
)

__all__ = ["Recordings", "read_recordings"]


@dataclass(frozen=True, slots=True)
class Recordings:
    """Everything that a scenario has from files of its own, by the names it gives them.

    Attributes:
        signals: times and values.
        arrivals_s: moments.
        bandwidths: by all names that one place in the scenario gives.
        speeds: measured users.
        courses: ways.
        files: all of these files.
    """

    signals: dict[str, tuple[list[float], list[float]]] = field(default_factory=dict)
    arrivals_s: dict[str, list[float]] = field(default_factory=dict)
    bandwidths: dict[tuple[str, ...], list[BandwidthTrace]] = field(default_factory=dict)
    speeds: dict[str, Sequence[UserSpeed]] = field(default_factory=dict)
    courses: dict[str, PositionTrace] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)


def read_recordings(
    document: Document, scenario: Scenario, folder: Path
) -> tuple[Recordings, list[Problem]]:
    """Read the recordings that a scenario names, relative to ``folder``; what is wrong with them."""
    found, problems = Recordings(), list[Problem]()
    for place, spec in _tables(scenario):
        path = folder / spec.file
        try:
            if isinstance(spec, TraceSpec):
                found.signals[spec.file] = _read_trace(path, spec, quantity(place))
            else:
                found.arrivals_s[spec.file] = _read_arrivals(path, spec)
            found.files.append(path)
        except ConfigError as error:
            problems += error.problems
        except (OSError, ValueError, csv.Error) as error:
            problems.append(document.problem((*place, "file"), _unreadable(spec.file, error)))
    for place, attachment in _attachments(scenario):
        problems += _read_bandwidth(document, place, attachment, folder, found)
    for name, group in scenario.phones.items():
        if isinstance(group.mobility, RouteSpec):
            problems += _read_course(document, name, group.mobility, folder, found)
    return found, problems


def _tables(scenario: Scenario) -> Iterator[tuple[KeyPath, TraceSpec | ArrivalTraceSpec]]:
    """Place and specification of everything that is read from a CSV file."""
    for path, _, spec in signals(scenario):
        if isinstance(spec, TraceSpec):
            yield path, spec
    for name, job in scenario.inference_jobs.items():
        if isinstance(job.arrivals, ArrivalTraceSpec):
            yield ("jobs", name, "arrivals"), job.arrivals


def _read_trace(path: Path, spec: TraceSpec, key: str) -> tuple[list[float], list[float]]:
    lowest, highest, unit = LOAD_RANGE if key == "load" else RANGES[key]
    problems: list[Problem] = []
    times_s: list[float] = []
    values: list[float] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != ["time_s", "value"]:
            raise ConfigError([Problem(str(path), 1, "", "the first line must be 'time_s,value'")])
        for line, row in enumerate(rows, start=2):
            if not row:
                continue
            try:
                time_s, value = (float(cell) for cell in row)
            except ValueError:
                problems.append(Problem(str(path), line, "", f"not two numbers: {_shown(row)}"))
                continue
            is_switch = unit.startswith("(")
            if not (isfinite(time_s) and lowest <= value <= highest) or (
                is_switch and value not in (0, 1)
            ):
                message = (
                    f"needs a finite time and {lowest} to {highest} {unit}, "
                    f"found {time_s:g},{value:g}"
                )
                problems.append(Problem(str(path), line, "", message))
            elif times_s and time_s < times_s[-1] + 1e-3:
                message = f"times must increase by 0.001 s at least; {time_s:g} s follows {times_s[-1]:g} s"
                problems.append(Problem(str(path), line, "", message))
            elif not times_s and time_s != 0:
                problems.append(Problem(str(path), line, "", "the first time must be 0"))
            else:
                times_s.append(time_s)
                values.append(value)
    if not problems and not times_s:
        problems.append(Problem(str(path), None, "", "holds no values"))
    if not problems and spec.period_s is not None and spec.period_s < times_s[-1] + 1e-3:
        message = f"period_s {spec.period_s:g} ends before its last time, {times_s[-1]:g} s"
        problems.append(Problem(str(path), None, "", message))
    if problems:
        raise ConfigError(problems)
    return times_s, values


def _shown(row: list[str]) -> str:
    """A row of a CSV file as it stands there, if that is short and printable."""
    text = ",".join(row)
    text = text if len(text) <= 60 else text[:57] + "..."
    return text if text.isprintable() else repr(text)


def _read_arrivals(path: Path, spec: ArrivalTraceSpec) -> list[float]:
    problems: list[Problem] = []
    times_s: list[float] = []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.reader(file)
        if next(rows, None) != ["time_s"]:
            raise ConfigError([Problem(str(path), 1, "", "the first line must be 'time_s'")])
        for line, row in enumerate(rows, start=2):
            if not row:
                continue
            try:
                (time_s,) = (float(cell) for cell in row)
            except ValueError:
                problems.append(Problem(str(path), line, "", f"not one number: {_shown(row)}"))
                continue
            if not 0 <= time_s < inf:
                message = f"needs a finite time of 0 s or later, found {time_s:g}"
                problems.append(Problem(str(path), line, "", message))
            elif times_s and time_s < times_s[-1]:
                message = f"times must not go back; {time_s:g} s follows {times_s[-1]:g} s"
                problems.append(Problem(str(path), line, "", message))
            else:
                times_s.append(time_s)
    if not problems and not times_s:
        problems.append(Problem(str(path), None, "", "holds no times"))
    if not problems and spec.period_s is not None and spec.period_s <= times_s[-1]:
        message = f"period_s {spec.period_s:g} must end after its last time, {times_s[-1]:g} s"
        problems.append(Problem(str(path), None, "", message))
    if problems:
        raise ConfigError(problems)
    return times_s


def _attachments(scenario: Scenario) -> Iterator[tuple[KeyPath, AttachmentSpec]]:
    for name, group in scenario.phones.items():
        for network, attachment in group.networks.items():
            yield ("phones", name, "networks", network), attachment


def _read_bandwidth(
    document: Document,
    path: KeyPath,
    attachment: AttachmentSpec,
    folder: Path,
    into: Recordings,
) -> list[Problem]:
    """Read the bandwidths that an attachment names; what is wrong with them."""
    spec, place = attachment.bandwidth, (*path, "bandwidth")
    problems: list[Problem] = []
    if isinstance(spec, BandwidthUsersSpec) and spec.file not in into.speeds:
        try:
            into.speeds[spec.file] = read_user_speeds(folder / spec.file)
            into.files.append(folder / spec.file)
        except ConfigError as error:
            problems += error.problems
        except (OSError, ValueError) as error:
            problems.append(document.problem((*place, "file"), _unreadable(spec.file, error)))
    if isinstance(spec, BandwidthTraceSpec) and tuple(spec.files) not in into.bandwidths:
        try:
            files = bandwidth_files(spec.files, folder)
        except ConfigError as error:
            return [document.problem((*place, "files"), str(one)) for one in error.problems]
        traces = []
        for file in files:
            try:
                traces.append(read_bandwidth(file))
            except ConfigError as error:
                problems += error.problems
            except (OSError, ValueError) as error:
                problems.append(document.problem((*place, "files"), _unreadable(str(file), error)))
        into.bandwidths[tuple(spec.files)] = traces
        into.files.extend(files)
    return problems


def _read_course(
    document: Document, group: str, spec: RouteSpec, folder: Path, into: Recordings
) -> list[Problem]:
    """Read the way that phones go; what is wrong with it."""
    place = ("phones", group, "mobility")
    try:
        trace = into.courses[spec.file] = read_positions(folder / spec.file)
        into.files.append(folder / spec.file)
    except ConfigError as error:
        return list(error.problems)
    except (OSError, ValueError) as error:
        return [document.problem((*place, "file"), _unreadable(spec.file, error))]
    if spec.period_s is not None and spec.period_s <= trace.times_s[-1]:
        message = f"must end after the last time of {spec.file}, {trace.times_s[-1]:g} s"
        return [document.problem((*place, "period_s"), message)]
    return []


def _unreadable(name: str, error: Exception) -> str:
    why = error.strerror if isinstance(error, OSError) else error
    return f"{name if name.isprintable() else repr(name)} cannot be read: {why}"
