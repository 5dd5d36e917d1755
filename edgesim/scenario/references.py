"""What a scenario names, and whether it is there: profiles, models, networks, apps, controllers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesim.controllers.registry import FEDERATED_SLOTS, SLOTS
from edgesim.core.documents import Document, KeyPath
from edgesim.core.errors import ConfigError, EdgesimError, Problem, did_you_mean
from edgesim.hardware.camera import developing_cpu
from edgesim.hardware.catalogue import Catalogue
from edgesim.hardware.phone import NO_APP
from edgesim.hardware.profiles import PhoneProfile
from edgesim.learning.catalogue import DATASETS, MODELS, PARTITIONS, Entry, checked
from edgesim.nn.cost import ProcessorSpec
from edgesim.nn.model import ModelCost
from edgesim.nn.table import read_model
from edgesim.nn.zoo import ZOO
from edgesim.scenario.camera_schema import CaptureSpec
from edgesim.scenario.federated_schema import FederatedJobSpec
from edgesim.scenario.schema import Scenario, batching_by_processor, load_by_processor
from edgesim.scenario.seats import unknown_controllers

__all__ = [
    "dangling",
    "device_names",
    "entries",
    "fixed_level",
    "mapping",
    "models_of",
    "not_photographed",
    "not_pictures",
    "own_models",
]


def own_models(scenario: Path) -> dict[str, Path]:
    """Layer tables beside a scenario, by the names of their files."""
    return {file.stem: file for file in sorted((scenario.parent / "models").glob("*.yaml"))}


def models_of(scenario: Scenario, own: Mapping[str, Path]) -> dict[str, ModelCost]:
    """The models that a scenario's jobs run, by name."""
    names = sorted({job.model for job in scenario.inference_jobs.values()})
    return {name: read_model(own[name]) if name in own else ZOO[name] for name in names}


def dangling(
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
    networks, sites, phones = (mapping(data, key) for key in ("networks", "sites", "phones"))
    links, settings = mapping(data, "links"), mapping(data, "settings")
    for key, network in entries(networks):
        path = ("networks", key)
        for index, link in enumerate(_list(network, "backhaul")):
            look((*path, "backhaul", index), link, links, "link")
        look((*path, "to"), network.get("to"), phones, "phone group")
    for key, group in entries(phones):
        path = ("phones", key)
        if group.get("profile") not in profiles:
            look((*path, "profile"), group.get("profile"), catalogue.names("phone"), "profile")
        look((*path, "network"), group.get("network"), networks, "network")
        for index, name in enumerate(_list(group, "networks")):
            look((*path, "networks", index), name, networks, "network")
        for name in mapping(group, "networks"):
            look((*path, "networks", name), name, networks, "network")
        problems += _unloadable(document, (*path, "profile"), group, catalogue)
        problems += _unknown_runtime(document, (*path, "runtime"), group, catalogue)
        problems += _unknown_apps(
            document, (*path, "app"), group.get("app"), catalogue, mapping(data, "apps")
        )
        problems += _not_in_phone(document, path, group, catalogue)
    for key, site in entries(sites):
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
    problems += _untrainable(document, data)
    for key, job in entries(mapping(data, "jobs")):
        path = ("jobs", key)
        if job.get("kind") == "federated":
            problems += _not_in_federated(document, path, job)
            problems += _no_cameras(document, path, job, phones, catalogue)
            look((*path, "site"), job.get("site"), sites, "site")
        else:
            look((*path, "model"), job.get("model"), [*ZOO, *own_models], "model")
            problems += _unreadable_model(job.get("model"), own_models)
        for index, name in enumerate(_list(job, "phones")):
            look((*path, "phones", index), name, phones, "phone group")
        hosts = [str(one.get("to")) for _, one in entries(networks) if "to" in one]
        for index, name in enumerate(_list(job, "sites")):
            look((*path, "sites", index), name, [*sites, *hosts], "site")
        for list_key in ("phones", "sites"):
            names = [str(name) for name in _list(job, list_key)]
            for index, name in enumerate(names):
                if name in names[:index]:
                    message = f"{name!r} is given twice"
                    problems.append(document.problem((*path, list_key, index), message))
        problems += unknown_controllers(
            document, (*path, "controllers"), job.get("controllers"), settings
        )
        kind = job.get("kind")
        for slot in mapping(job, "controllers"):
            if slot in SLOTS and (slot in FEDERATED_SLOTS) is not (kind == "federated"):
                message = f"{kind} jobs have no slot {slot!r}; take it out"
                problems.append(document.problem((*path, "controllers", slot), message))
        problems += _empty_slots(document, path, job, data)
        if key == "none":
            problems.append(document.problem(path, "'none' means no job; rename it"))
    problems += unknown_controllers(document, ("controllers",), data.get("controllers"), settings)
    for slot, names in mapping(data, "compare").items():
        for index, name in enumerate(names if isinstance(names, list) else ()):
            problems += unknown_controllers(
                document, ("compare",), {slot: name}, settings, (index,)
            )
        if isinstance(names, list) and len({str(name) for name in names}) < len(names):
            problems.append(document.problem(("compare", slot), "a name is given twice"))
    devices: dict[str, str] = dict.fromkeys(sites, "a site")
    for key, group in entries(phones):
        for name in _names_of(key, group):
            if name in devices:
                message = f"its phone {name!r} has the name of {devices[name]}; rename one"
                problems.append(document.problem(("phones", key), message))
            devices[name] = f"a phone of group {key!r}"
    states = mapping(mapping(data, "record"), "states")
    for index, name in enumerate(_list(states, "devices")):
        look(("record", "states", "devices", index), name, set(devices) - set(sites), "phone")
    return problems


_NAMED: Mapping[str, tuple[str, Mapping[str, Entry]]] = {
    "dataset": ("data set", DATASETS),
    "partition": ("partition", PARTITIONS),
    "model": ("model", MODELS),
    "cost_model": ("model", MODELS),
}


def _untrainable(document: Document, data: Mapping[str, Any]) -> list[Problem]:
    """A kind of training for jobs that the scenario does not have."""
    kind = mapping(data, "training").get("kind")
    federated = [job.get("kind") == "federated" for _, job in entries(mapping(data, "jobs"))]
    if kind == "earlier_jobs" and not any(federated):
        message = "earlier_jobs are federated jobs, of which there is none; use blocks or live"
    elif kind in ("blocks", "live") and federated and all(federated):
        message = f"{kind} is for requests, of which there are none; use earlier_jobs"
    else:
        return []
    return [document.problem(("training", "kind"), message)]


def _not_in_federated(document: Document, path: KeyPath, job: Mapping[str, Any]) -> list[Problem]:
    """Data sets, partitions and models of a federated job that there are not, and their parameters."""
    problems = []
    for key, (what, known) in _NAMED.items():
        value = job.get(key)
        name = value.get("name") if isinstance(value, dict) else value
        place = (*path, key, "name") if isinstance(value, dict) else (*path, key)
        if not isinstance(name, str) or ":" in name:
            continue
        if name not in known:
            is_cost = key == "cost_model" or job.get("mode") == "timing_only"
            if key in ("model", "cost_model") and is_cost and name in ZOO:
                if mapping(mapping(job, key), "parameters"):
                    message = f"{name} of the zoo is as it is, without parameters; leave them out"
                    problems.append(document.problem((*path, key, "parameters"), message))
                continue
            hint = did_you_mean(name, [*known, *ZOO] if key == "cost_model" else known)
            problems.append(document.problem(place, f"there is no {what} {name!r}; {hint}"))
            continue
        given = value.get("parameters", {}) if isinstance(value, dict) else {}
        try:
            checked(what, name, known, given if isinstance(given, dict) else {})
        except EdgesimError as error:
            problems.append(document.problem((*path, key), str(error)))
    return problems


def _no_cameras(
    document: Document,
    path: KeyPath,
    job: Mapping[str, Any],
    phones: Mapping[str, Any],
    catalogue: Catalogue,
) -> list[Problem]:
    """Kinds of phones that are to take a job's pictures and cannot, or are not there."""
    spec = job.get("cameras")
    if not isinstance(spec, dict):
        return []
    problems = []
    clients = {}
    for name, group in entries(phones):
        if name in _list(job, "phones") or "phones" not in job:
            clients[str(group.get("profile"))] = name
    for profile, owner in clients.items():
        if not _has_optics(profile, catalogue):
            message = (
                f"what pictures of {owner!r} ({profile}) look like is not known; leave them out of the "
                "job, or add camera.sensor and camera.isp to their profile"
            )
            problems.append(document.problem((*path, "cameras"), message))
    for index, profile in enumerate(_list(spec, "held_out")):
        place = (*path, "cameras", "held_out", index)
        known = [p for p in catalogue.names("phone") if _has_optics(p, catalogue)]
        if profile not in catalogue.names("phone"):
            message = f"there is no phone {profile!r}; {did_you_mean(profile, known)}"
        elif not _has_optics(profile, catalogue):
            message = (
                f"what pictures of {profile} look like is not known; {did_you_mean(profile, known)}"
            )
        elif profile in clients:
            message = f"{profile} is not held out: the phones of {clients[profile]!r} are clients"
        else:
            continue
        problems.append(document.problem(place, message))
    return problems


def _has_optics(profile: str, catalogue: Catalogue) -> bool:
    """Whether its pictures are known; true of what cannot be read, which is told of elsewhere."""
    try:
        camera = catalogue.phone(profile).camera
    except ConfigError:
        return True
    return camera is not None and camera.optics is not None


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


def not_pictures(
    document: Document, scenario: Scenario, own_models: Mapping[str, Path]
) -> list[Problem]:
    """Jobs that would send as a JPEG picture what is none."""
    models = models_of(scenario, own_models)
    return [
        document.problem(
            ("jobs", name, "payload"),
            f"the input of {job.model} is no colour picture ({models[job.model].input}); use raw, "
            "or give the bytes",
        )
        for name, job in scenario.inference_jobs.items()
        if job.payload == "jpeg" and models[job.model].jpeg_bytes is None
    ]


def not_photographed(document: Document, scenario: Scenario, catalogue: Catalogue) -> list[Problem]:
    """Jobs whose pictures some of their phones cannot take, or not so."""
    problems = []
    wanted: CaptureSpec | None
    for name, job in scenario.jobs.items():
        if isinstance(job, FederatedJobSpec):
            key, wanted = "collect", job.collect
        else:
            key, wanted = "capture", job.capture
        if wanted is None:
            continue
        for group in sorted(job.phones or scenario.phones):
            profile = scenario.phones[group].profile
            spec = catalogue.phone(profile)
            whose = f"the phones of group {group!r} (profile {profile})"
            others = "name the other groups in the job's phones"
            if spec.camera is None:
                message = (
                    f"{whose} have no camera: add a section camera to the profile, or {others}"
                )
                problems.append(document.problem(("jobs", name, key), message))
            elif wanted.develop == "cpu" and not developing_cpu(spec.processors, {}):
                message = (
                    f"{whose} have no CPU whose fp32 peak is known, so that none can develop "
                    f"pictures: use isp, add macs_per_cycle.fp32 to a CPU of the chip, or {others}"
                )
                problems.append(document.problem(("jobs", name, key, "develop"), message))
    return problems


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
    document: Document,
    path: KeyPath,
    spec: object,
    catalogue: Catalogue,
    own: Mapping[str, Any],
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
    known = [NO_APP.name, *own, *catalogue.names("app")]
    problems = []
    for place, name in names:
        if not isinstance(name, str) or name == NO_APP.name or name in own:
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


def _empty_slots(
    document: Document, path: KeyPath, job: Mapping[str, Any], data: Mapping[str, Any]
) -> list[Problem]:
    if job.get("kind") != "inference":
        return []
    places = (
        mapping(job, "controllers"),
        mapping(data, "controllers"),
        mapping(data, "compare"),
    )
    if any("offloading" in place for place in places):
        return []
    message = (
        "nobody decides where its requests run; add 'controllers: {offloading: NAME}' to the job "
        "or to the scenario"
    )
    return [document.problem(path, message)]


def mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What stands at a key of a raw file, if that is a mapping; else an empty one."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _list(data: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = data.get(key)
    return value if isinstance(value, list) else ()


def entries(data: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those entries of a raw mapping that are mappings themselves."""
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
