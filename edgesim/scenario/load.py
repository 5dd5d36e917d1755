"""Loading a scenario: found, read, overridden, checked; every problem of it reported at once."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, NamedTuple

from edgesim.controllers.registry import CONTROLLERS, SLOTS, unknown_controller
from edgesim.core.documents import (
    Document,
    KeyPath,
    check,
    parse_document,
    read_document,
)
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.hardware.catalogue import Catalogue, catalogue_folder
from edgesim.hardware.phone import NO_APP
from edgesim.hardware.profiles import PhoneProfile
from edgesim.network.mobility import PositionTrace, read_positions
from edgesim.network.traces import (
    BandwidthTrace,
    UserSpeed,
    bandwidth_files,
    read_bandwidth,
    read_user_speeds,
)
from edgesim.nn.cost import ProcessorSpec
from edgesim.nn.model import ModelCost
from edgesim.nn.table import read_model
from edgesim.nn.zoo import ZOO
from edgesim.scenario.schema import (
    ArrivalsSpec,
    ArrivalTraceSpec,
    AttachmentSpec,
    BandwidthTraceSpec,
    BandwidthUsersSpec,
    DiurnalSpec,
    GaussMarkovSpec,
    MarkovSpec,
    PeriodicSpec,
    PoissonSpec,
    RouteSpec,
    Scenario,
    ScheduleSpec,
    TraceSpec,
    batching_by_processor,
    load_by_processor,
)
from edgesim.scenario.topology import disconnected
from edgesim.workloads.arrivals import integrated_rate, traced_arrivals

__all__ = [
    "LoadedScenario",
    "Override",
    "device_names",
    "find_scenario",
    "fixed_level",
    "gauss_markov_limits",
    "load_scenario",
    "parse_override",
    "scenario_names",
]

OVERRIDE_FILE = "command line"


Traces = dict[str, tuple[list[float], list[float]]]


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario that is in order.

    Attributes:
        scenario: what it says.
        path: its file.
        catalogue: the profiles it may use.
        traces: times and values of each trace file it names.
        models: the models that its jobs run, by name.
        arrivals_s: the moments in each file of arrivals it names.
        bandwidths: the recorded bandwidths that it names, by the names of their files,
        bandwidth_files: and these files.
        speeds: the measured users in each file that it names.
        courses: the recorded ways in each file that it names.
    """

    scenario: Scenario
    path: Path
    catalogue: Catalogue
    traces: Traces
    models: Mapping[str, ModelCost]
    arrivals_s: Mapping[str, Sequence[float]]
    bandwidths: Mapping[tuple[str, ...], Sequence[BandwidthTrace]]
    bandwidth_files: Sequence[Path]
    speeds: Mapping[str, Sequence[UserSpeed]]
    courses: Mapping[str, PositionTrace]


Override = tuple[str, Any]
"""A dotted key path and the value to put there."""


def scenario_names() -> list[str]:
    """The scenarios that ship with edgesim."""
    return sorted(file.stem for file in catalogue_folder("scenarios").glob("*.yaml"))


def find_scenario(name: str | Path) -> Path:
    """The file of a scenario: a path, or the name of one that ships with edgesim.

    Raises:
        ConfigError: if there is neither.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or _is_file(path):
        return path
    shipped = catalogue_folder("scenarios") / f"{name}.yaml"
    if str(name) in scenario_names():
        return shipped
    message = f"no such file, and no such scenario ships with edgesim; {did_you_mean(name, scenario_names())}"
    raise ConfigError([Problem(str(name), None, "", message)])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def load_scenario(
    name: str | Path,
    overrides: Iterable[Override] = (),
    controllers: Mapping[str, str] | None = None,
) -> LoadedScenario:
    """Read a scenario and check it in full.

    Args:
        name: a path, or the name of a scenario that ships with edgesim.
        overrides: values put in place of the file's, such as ``("phones.pixel.count", 3)``.
        controllers: who sits where, in place of the file's: by ``SLOT`` for all jobs, or by
            ``JOB.SLOT`` for one.

    Raises:
        ConfigError: with every problem found.
    """
    path = find_scenario(name)
    document = read_document(path)
    problems = _put(document, overrides)
    problems += _put(document, _seats(document, controllers or {}, problems))
    folder = path.parent / "device_profiles"
    catalogue = Catalogue([folder] if folder.is_dir() else [])
    scenario, found = check(document, Scenario)
    problems += found
    own_models = _own_models(path)
    problems += _dangling(document, catalogue, own_models)
    traces: Traces = {}
    arrivals_s: dict[str, list[float]] = {}
    if scenario is not None and not problems:
        problems += _out_of_limits(document, scenario)
        problems += _never_full(document, scenario)
        problems += disconnected(document, scenario, catalogue)
        problems += _not_pictures(document, scenario, own_models)
        for place, spec in _traces(scenario):
            try:
                if isinstance(spec, TraceSpec):
                    traces[spec.file] = _read_trace(path.parent / spec.file, spec, _quantity(place))
                else:
                    arrivals_s[spec.file] = _read_arrivals(path.parent / spec.file, spec)
            except ConfigError as error:
                problems += error.problems
            except (OSError, ValueError, csv.Error) as error:
                problems.append(document.problem((*place, "file"), _unreadable(spec.file, error)))
        air = _Recordings({}, [], {}, {})
        for place, attachment in _attachments(scenario):
            problems += _read_bandwidth(document, place, attachment, path.parent, air)
        for name, group in scenario.phones.items():
            if isinstance(group.mobility, RouteSpec):
                problems += _read_course(document, name, group.mobility, path.parent, air)
        if not problems:
            problems += _too_much(document, scenario, traces, arrivals_s)
    if problems or scenario is None:
        raise ConfigError(problems)
    models = _models(scenario, own_models)
    return LoadedScenario(
        scenario,
        path,
        catalogue,
        traces,
        models,
        arrivals_s,
        air.bandwidths,
        air.files,
        air.speeds,
        air.courses,
    )


class _Recordings(NamedTuple):
    """What has been read of bandwidths and ways so far."""

    bandwidths: dict[tuple[str, ...], list[BandwidthTrace]]
    files: list[Path]
    speeds: dict[str, Sequence[UserSpeed]]
    courses: dict[str, PositionTrace]


def _attachments(scenario: Scenario) -> Iterator[tuple[KeyPath, AttachmentSpec]]:
    for name, group in scenario.phones.items():
        for network, attachment in group.networks.items():
            yield ("phones", name, "networks", network), attachment


def _read_bandwidth(
    document: Document,
    path: KeyPath,
    attachment: AttachmentSpec,
    folder: Path,
    into: _Recordings,
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
    document: Document, group: str, spec: RouteSpec, folder: Path, into: _Recordings
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


def parse_override(text: str) -> Override:
    """``path.to.key=value`` from a command line; the value is YAML.

    Raises:
        ConfigError: if there is no ``=``, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        message = f"{text!r} is not of the form path.to.key=value"
        raise ConfigError([Problem(OVERRIDE_FILE, None, "--set", message)])
    return key, parse_document(value, OVERRIDE_FILE).data


def _key_path(text: str) -> KeyPath:
    return tuple(int(part) if _INDEX.fullmatch(part) else part for part in text.split("."))


_INDEX = re.compile("[0-9]{1,6}")


def _put(document: Document, overrides: Iterable[Override]) -> list[Problem]:
    problems: list[Problem] = []
    for key, value in overrides:
        try:
            document.put(_key_path(key), value, OVERRIDE_FILE)
        except ConfigError as error:
            problems += error.problems
    return problems


def _seats(
    document: Document, controllers: Mapping[str, str], problems: list[Problem]
) -> list[Override]:
    """The overrides that put controllers into slots; what is wrong with them goes to ``problems``."""
    data = document.data if isinstance(document.data, dict) else {}
    jobs = _mapping(data, "jobs")
    overrides: list[Override] = []
    # Those for all jobs first, so that one for a single job prevails.
    for key, name in sorted(controllers.items(), key=lambda item: "." in item[0]):
        job, _, slot = key.rpartition(".")
        if slot not in SLOTS:
            message = f"there is no slot {slot!r}; {did_you_mean(slot, SLOTS)}"
            problems.append(Problem(OVERRIDE_FILE, None, key, message))
        elif job and job not in jobs:
            message = f"there is no job {job!r}; {did_you_mean(job, jobs)}"
            problems.append(Problem(OVERRIDE_FILE, None, key, message))
        else:
            own = [j for j, spec in _entries(jobs) if slot in _mapping(spec, "controllers")]
            if not job:
                overrides.append((f"controllers.{slot}", name))
            overrides += [(f"jobs.{j}.controllers.{slot}", name) for j in ([job] if job else own)]
    return overrides


# --- references ----------------------------------------------------------------------------------


def _own_models(scenario: Path) -> dict[str, Path]:
    """Layer tables beside a scenario, by the names of their files."""
    return {file.stem: file for file in sorted((scenario.parent / "models").glob("*.yaml"))}


def _models(scenario: Scenario, own: Mapping[str, Path]) -> dict[str, ModelCost]:
    names = sorted({job.model for job in scenario.jobs.values()})
    return {name: read_model(own[name]) if name in own else ZOO[name] for name in names}


def _dangling(
    document: Document, catalogue: Catalogue, own_models: Mapping[str, Path]
) -> list[Problem]:
    """Every name in the file that names nothing. Works on the raw file, however broken the rest."""
    data = document.data
    if not isinstance(data, dict):
        return []
    problems = []

    def look(path: KeyPath, name: object, known: Iterable[str], what: str) -> None:
        known = list(known)
        if isinstance(name, str) and name not in known:
            hint = did_you_mean(name, known)
            problems.append(document.problem(path, f"there is no {what} {name!r}; {hint}"))

    profiles = [name for name, _ in catalogue.files()]
    networks, sites, phones = (_mapping(data, key) for key in ("networks", "sites", "phones"))
    links = _mapping(data, "links")
    for key, network in _entries(networks):
        path = ("networks", key)
        for index, link in enumerate(_list(network, "backhaul")):
            look((*path, "backhaul", index), link, links, "link")
        look((*path, "to"), network.get("to"), phones, "phone group")
    for key, group in _entries(phones):
        path = ("phones", key)
        if group.get("profile") not in profiles:
            look((*path, "profile"), group.get("profile"), catalogue.names("phone"), "profile")
        look((*path, "network"), group.get("network"), networks, "network")
        for index, name in enumerate(_list(group, "networks")):
            look((*path, "networks", index), name, networks, "network")
        for name in _mapping(group, "networks"):
            look((*path, "networks", name), name, networks, "network")
        problems += _unloadable(document, (*path, "profile"), group, catalogue)
        problems += _unknown_runtime(document, (*path, "runtime"), group, catalogue)
        problems += _unknown_apps(document, (*path, "app"), group.get("app"), catalogue)
        problems += _not_in_phone(document, path, group, catalogue)
    for key, site in _entries(sites):
        path = ("sites", key)
        if site.get("server") not in profiles:
            look((*path, "server"), site.get("server"), catalogue.names("server"), "profile")
        for index, link in enumerate(_list(site, "links")):
            look((*path, "links", index), link, links, "link")
        for index, network in enumerate(_list(site, "networks")):
            look((*path, "networks", index), network, networks, "network")
        look((*path, "at"), site.get("at"), networks, "network")
        problems += _unloadable(document, (*path, "server"), site, catalogue)
        problems += _not_in_server(document, path, site, catalogue)
        if key == "device":
            problems.append(document.problem(path, "'device' means the phone itself; rename it"))
    for key, job in _entries(_mapping(data, "jobs")):
        path = ("jobs", key)
        look((*path, "model"), job.get("model"), [*ZOO, *own_models], "model")
        problems += _unreadable_model(job.get("model"), own_models)
        for index, name in enumerate(_list(job, "phones")):
            look((*path, "phones", index), name, phones, "phone group")
        hosts = [str(one.get("to")) for _, one in _entries(networks) if "to" in one]
        for index, name in enumerate(_list(job, "sites")):
            look((*path, "sites", index), name, [*sites, *hosts], "site")
        for list_key in ("phones", "sites"):
            names = [str(name) for name in _list(job, list_key)]
            for index, name in enumerate(names):
                if name in names[:index]:
                    message = f"{name!r} is given twice"
                    problems.append(document.problem((*path, list_key, index), message))
        problems += _unknown_controllers(document, (*path, "controllers"), job.get("controllers"))
        problems += _empty_slots(document, path, job, data)
        if key == "none":
            problems.append(document.problem(path, "'none' means no job; rename it"))
    problems += _unknown_controllers(document, ("controllers",), data.get("controllers"))
    for slot, names in _mapping(data, "compare").items():
        for index, name in enumerate(names if isinstance(names, list) else ()):
            problems += _unknown_controllers(document, ("compare",), {slot: name}, (index,))
        if isinstance(names, list) and len({str(name) for name in names}) < len(names):
            problems.append(document.problem(("compare", slot), "a name is given twice"))
    devices: dict[str, str] = dict.fromkeys(sites, "a site")
    for key, group in _entries(phones):
        for name in _names_of(key, group):
            if name in devices:
                message = f"its phone {name!r} has the name of {devices[name]}; rename one"
                problems.append(document.problem(("phones", key), message))
            devices[name] = f"a phone of group {key!r}"
    states = _mapping(_mapping(data, "record"), "states")
    for index, name in enumerate(_list(states, "devices")):
        look(("record", "states", "devices", index), name, set(devices) - set(sites), "phone")
    return problems


def _unloadable(
    document: Document, path: KeyPath, entry: Mapping[str, Any], catalogue: Catalogue
) -> list[Problem]:
    """What is wrong inside a profile that the entry names rightly."""
    wanted, load = (
        ("phone", catalogue.phone) if path[-1] == "profile" else ("server", catalogue.server)
    )
    name = entry.get(str(path[-1]))
    if not isinstance(name, str) or name not in dict(catalogue.files()):
        return []
    try:
        kind = catalogue.profile(name).kind
        if kind != wanted:
            hint = did_you_mean(name, catalogue.names(wanted))
            return [document.problem(path, f"{name!r} is a {kind}, not a {wanted}; {hint}")]
        load(name)
    except ConfigError as error:
        return list(error.problems)
    return []


def _unreadable_model(name: object, own: Mapping[str, Path]) -> list[Problem]:
    """What is wrong inside a layer table that a job names rightly."""
    if not isinstance(name, str) or name not in own:
        return []
    try:
        model = read_model(own[name])
    except ConfigError as error:
        return list(error.problems)
    if model.accuracy:
        return []
    message = "no precision is offered without its accuracy, so that no request could run; add it"
    return [Problem(str(own[name]), None, "accuracy", message)]


def _not_pictures(
    document: Document, scenario: Scenario, own_models: Mapping[str, Path]
) -> list[Problem]:
    """Jobs that would send as a JPEG picture what is none."""
    models = _models(scenario, own_models)
    return [
        document.problem(
            ("jobs", name, "payload"),
            f"the input of {job.model} is no colour picture ({models[job.model].input}); use raw, "
            "or give the bytes",
        )
        for name, job in scenario.jobs.items()
        if job.payload == "jpeg" and models[job.model].jpeg_bytes is None
    ]


def _unknown_runtime(
    document: Document, path: KeyPath, group: Mapping[str, Any], catalogue: Catalogue
) -> list[Problem]:
    runtime, name = group.get("runtime"), group.get("profile")
    if not isinstance(runtime, str) or not isinstance(name, str):
        return []
    try:
        known = catalogue.runtimes(name)
    except ConfigError:
        return []  # told of already
    if runtime in known:
        return []
    message = f"nothing is known of {runtime!r} on {name}; {did_you_mean(runtime, known)}"
    return [document.problem(path, message)]


def _unknown_apps(
    document: Document, path: KeyPath, spec: object, catalogue: Catalogue
) -> list[Problem]:
    """Apps that are named but not known, wherever the signal names them; and broken ones."""
    names: list[tuple[KeyPath, object]] = [(path, spec)]
    if isinstance(spec, dict):
        names = [((*path, "value"), spec.get("value"))]
        names += [((*path, "values", k), name) for k, name in enumerate(_list(spec, "values"))]
        names += [
            ((*path, "steps", k, 1), step[1])
            for k, step in enumerate(_list(spec, "steps"))
            if isinstance(step, list) and len(step) == 2
        ]
    known = [NO_APP.name, *catalogue.names("app")]
    problems = []
    for place, name in names:
        if not isinstance(name, str) or name == NO_APP.name:
            continue
        if name not in known:
            message = f"there is no app {name!r}; {did_you_mean(name, known)}"
            problems.append(document.problem(place, message))
            continue
        try:
            catalogue.app(name)
        except ConfigError as error:
            problems += error.problems
    return problems


def _not_in_phone(
    document: Document, path: KeyPath, group: Mapping[str, Any], catalogue: Catalogue
) -> list[Problem]:
    """What a group asks of its phones that they do not have."""
    name = group.get("profile")
    try:
        spec = catalogue.phone(name) if isinstance(name, str) else None
        profile = catalogue.profile(name) if isinstance(name, str) else None
    except ConfigError:
        return []  # told of already
    if spec is None or not isinstance(profile, PhoneProfile):
        return []
    problems = []
    for key, section, has in (
        ("screen_on", "screen", profile.screen is not None),
        ("plugged_in", "battery.cell", profile.battery.cell is not None),
    ):
        if key in group and not has:
            message = f"the profile {name} has no {section}; add it there, or leave {key} out"
            problems.append(document.problem((*path, key), message))
    governor = group.get("governor")
    if not isinstance(governor, dict):
        return problems
    by_processor = {"default": governor} if "kind" in governor else governor
    for processor, chosen in by_processor.items():
        place: KeyPath = (*path, "governor")
        if by_processor is governor:
            place = (*place, processor)
        if processor != "default" and processor not in spec.processors:
            known = ["default", *spec.processors]
            message = f"{name} has no processor {processor!r}; {did_you_mean(processor, known)}"
            problems.append(document.problem(place, message))
            continue
        mhz = chosen.get("mhz") if isinstance(chosen, dict) else None
        if not isinstance(mhz, int | float):
            continue
        if processor == "default":
            message = "a fixed level is one processor's own; name the processor: {gpu: {...}}"
            problems.append(document.problem(place, message))
        elif fixed_level(spec.processors[processor], mhz) is None:
            levels = ", ".join(
                f"{k.frequency_hz / 1e6:g}" for k in spec.processors[processor].levels
            )
            message = f"{processor} of {name} has no level of {mhz:g} MHz; it has {levels}"
            problems.append(document.problem((*place, "mhz"), message))
    return problems


def _not_in_server(
    document: Document, path: KeyPath, site: Mapping[str, Any], catalogue: Catalogue
) -> list[Problem]:
    """Processors that a site names and its server does not have."""
    name = site.get("server")
    try:
        spec = catalogue.server(name) if isinstance(name, str) else None
    except ConfigError:
        return []  # told of already
    if spec is None:
        return []
    problems = []
    for key, split, further in (
        ("concurrency", dict, ()),
        ("batching", batching_by_processor, ("default",)),
        ("load", load_by_processor, ("default",)),
    ):
        value = site.get(key)
        for processor in split(value) if isinstance(value, dict) else ():
            known = [*further, *spec.processors]
            if processor not in known:
                message = f"{name} has no processor {processor!r}; {did_you_mean(processor, known)}"
                problems.append(document.problem((*path, key, processor), message))
    return problems


def fixed_level(processor: ProcessorSpec, mhz: float) -> int | None:
    """The number of the level at so many megahertz, to within half of one; ``None``: there is none."""
    for index, level in enumerate(processor.levels):
        if abs(level.frequency_hz / 1e6 - mhz) <= 0.5:
            return index
    return None


def _unknown_controllers(
    document: Document, path: KeyPath, chosen: object, end: KeyPath = ()
) -> list[Problem]:
    problems = []
    for slot, name in chosen.items() if isinstance(chosen, dict) else ():
        if slot not in SLOTS or not isinstance(name, str):
            continue  # the schema has told of it
        entry = CONTROLLERS.get(name)
        if entry is None or entry.slot != slot:
            message = unknown_controller(name, str(slot))
            problems.append(document.problem((*path, slot, *end), message))
    return problems


def _empty_slots(
    document: Document, path: KeyPath, job: Mapping[str, Any], data: Mapping[str, Any]
) -> list[Problem]:
    if job.get("kind") != "inference":
        return []
    places = (
        _mapping(job, "controllers"),
        _mapping(data, "controllers"),
        _mapping(data, "compare"),
    )
    if any("offloading" in place for place in places):
        return []
    message = (
        "nobody decides where its requests run; add 'controllers: {offloading: NAME}' to the job "
        "or to the scenario"
    )
    return [document.problem(path, message)]


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = data.get(key)
    return value if isinstance(value, list) else ()


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((key, value) for key, value in data.items() if isinstance(value, dict))


def device_names(group: str, count: int) -> list[str]:
    """The names of a group's phones: the group's own for one, numbered for several."""
    if count == 1:
        return [group]
    width = len(str(count - 1))
    return [f"{group}_{index:0{width}d}" for index in range(count)]


def _names_of(group: str, spec: Mapping[str, Any]) -> list[str]:
    count = spec.get("count", 1)
    return device_names(group, count) if isinstance(count, int) and 0 < count <= 1_000_000 else []


# --- traces and size -----------------------------------------------------------------------------


_RANGES = {
    "rssi_dbm": (-150, 0, "dBm"),
    "ambient_c": (-60, 80, "C"),
    "screen_on": (0, 1, "(1 is on)"),
    "plugged_in": (0, 1, "(1 is on)"),
}
"""What the values of a trace may be, by the key that it stands at."""


_LOAD_RANGE = (0, 0.99, "as a share")


def _quantity(path: KeyPath) -> str:
    """What a signal is of, by its place."""
    return "load" if path[0] == "sites" else str(path[-1])


def _signals(scenario: Scenario) -> Iterator[tuple[KeyPath, int, Any]]:
    """Place, phones (or 1) and specification of every signal that changes."""
    for name, site in scenario.sites.items():
        for processor, spec in site.load.items():
            yield ("sites", name, "load", processor), 1, spec
    for name, group in scenario.phones.items():
        for key in (*_RANGES, "app"):
            spec = getattr(group, key)
            if spec is not None:
                yield ("phones", name, key), group.count, spec
        for network, attachment in group.networks.items():
            if attachment.rssi_dbm is not None:
                path = ("phones", name, "networks", network, "rssi_dbm")
                yield path, group.count, attachment.rssi_dbm


def gauss_markov_limits(what: str) -> tuple[float, float]:
    """Between what a Gauss-Markov signal stays if the scenario does not say."""
    limits = {"rssi": (-110.0, -20.0), "ambient": (-30.0, 60.0), "load": (0.0, 0.99)}
    return limits[what.partition(" ")[0]]


def _never_full(document: Document, scenario: Scenario) -> list[Problem]:
    """Sites where fewer requests may wait than make a batch."""
    problems = []
    for name, site in scenario.sites.items():
        largest = max((batching.size for batching in site.batching.values()), default=1)
        if site.queue_limit is not None and largest > 1 and site.queue_limit < largest:
            message = (
                f"no batch of {largest} can form where only {site.queue_limit} may wait; "
                "raise it, or lower batching.size"
            )
            problems.append(document.problem(("sites", name, "queue_limit"), message))
    return problems


def _out_of_limits(document: Document, scenario: Scenario) -> list[Problem]:
    """Gauss-Markov signals whose mean cannot be, or whose limits contradict each other."""
    problems = []
    for path, _, spec in _signals(scenario):
        if isinstance(spec, GaussMarkovSpec):
            default = gauss_markov_limits(_quantity(path).partition("_")[0])
            lowest = default[0] if spec.min is None else spec.min
            highest = default[1] if spec.max is None else spec.max
            if not lowest <= spec.mean <= highest:
                message = (
                    f"the mean of {spec.mean:g} is not between min and max, {lowest:g} and "
                    f"{highest:g} (in part the defaults); set min or max"
                )
                problems.append(document.problem((*path, "mean"), message))
    return problems


def _traces(scenario: Scenario) -> Iterator[tuple[KeyPath, TraceSpec | ArrivalTraceSpec]]:
    """Place and specification of everything that is read from a CSV file."""
    for path, _, spec in _signals(scenario):
        if isinstance(spec, TraceSpec):
            yield path, spec
    for name, job in scenario.jobs.items():
        if isinstance(job.arrivals, ArrivalTraceSpec):
            yield ("jobs", name, "arrivals"), job.arrivals


def _read_trace(path: Path, spec: TraceSpec, key: str) -> tuple[list[float], list[float]]:
    lowest, highest, unit = _LOAD_RANGE if key == "load" else _RANGES[key]
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


def _expected_arrivals(
    spec: ArrivalsSpec, arrivals_s: Mapping[str, Sequence[float]], duration_s: float
) -> float:
    """How many arrivals are to be expected at one phone."""
    match spec:
        case PoissonSpec():
            return spec.rate_per_s * duration_s
        case PeriodicSpec():
            return duration_s / spec.period_s
        case DiurnalSpec():
            times_s, rates_per_s = zip(*spec.steps, strict=True)
            return integrated_rate(times_s, rates_per_s, spec.period_s, duration_s)
        case ArrivalTraceSpec():
            return traced_arrivals(
                arrivals_s[spec.file], spec.period_s, duration_s, has_offset=spec.random_offset
            )


def _too_much(
    document: Document,
    scenario: Scenario,
    traces: Traces,
    arrivals_s: Mapping[str, Sequence[float]],
) -> list[Problem]:
    """Whether the scenario asks for more work than its own limits allow."""
    requests = 0.0
    for job in scenario.jobs.values():
        phones = sum(scenario.phones[name].count for name in job.phones or scenario.phones)
        requests += phones * _expected_arrivals(job.arrivals, arrivals_s, scenario.duration_s)
    changes = 0.0
    for _, phones, spec in _signals(scenario):
        if isinstance(spec, GaussMarkovSpec):
            changes += phones * scenario.duration_s / spec.step_s
        elif isinstance(spec, MarkovSpec):
            changes += phones * scenario.duration_s / min(spec.mean_dwell_s)
        elif isinstance(spec, ScheduleSpec):
            changes += phones * scenario.duration_s / spec.period_s * len(spec.steps)
        elif isinstance(spec, TraceSpec) and spec.period_s is not None:
            changes += phones * scenario.duration_s / spec.period_s * len(traces[spec.file][0])
    problems = []
    for key, count, limit in (
        ("requests", requests, scenario.limits.requests),
        ("signal_changes", changes, scenario.limits.signal_changes),
    ):
        if count > limit:
            message = (
                f"about {count:.3g} {key.replace('_', ' ')} are to be expected, more than the "
                f"{limit:.3g} allowed; shorten duration_s or raise limits.{key}"
            )
            problems.append(document.problem(("duration_s",), message))
    return problems
