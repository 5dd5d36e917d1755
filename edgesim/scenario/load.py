"""Loading a scenario: found, read, overridden, checked; every problem of it reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.controllers.registry import SLOTS
from edgesim.core.documents import (
    Document,
    KeyPath,
    Schema,
    check,
    parse_document,
    read_document,
)
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.hardware.catalogue import Catalogue, catalogue_folder
from edgesim.nn.model import ModelCost
from edgesim.scenario.limits import never_full, out_of_limits, too_much
from edgesim.scenario.recordings import Recordings, read_recordings
from edgesim.scenario.references import (
    dangling,
    entries,
    mapping,
    models_of,
    not_pictures,
    own_models,
)
from edgesim.scenario.schema import Scenario
from edgesim.scenario.seats import settings_of
from edgesim.scenario.topology import disconnected

__all__ = [
    "LoadedScenario",
    "Override",
    "find_scenario",
    "load_scenario",
    "parse_override",
    "scenario_names",
]

OVERRIDE_FILE = "command line"


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario that is in order.

    Attributes:
        scenario: what it says.
        path: its file.
        catalogue: the profiles it may use.
        models: the models that its jobs run, by name.
        recordings: what it has from files of its own.
        settings: parameters of controllers, by name.
    """

    scenario: Scenario
    path: Path
    catalogue: Catalogue
    models: Mapping[str, ModelCost]
    recordings: Recordings
    settings: Mapping[str, Schema]


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
    data = document.data if isinstance(document.data, dict) else {}
    settings, found = settings_of(document, mapping(data, "settings"))
    problems += found
    own = own_models(path)
    problems += dangling(document, catalogue, own)
    recordings = Recordings()
    if scenario is not None and not problems:
        problems += out_of_limits(document, scenario)
        problems += never_full(document, scenario)
        problems += disconnected(document, scenario, catalogue)
        problems += not_pictures(document, scenario, own)
        recordings, found = read_recordings(document, scenario, path.parent)
        problems += found
        if not problems:
            problems += too_much(document, scenario, recordings)
    if problems or scenario is None:
        raise ConfigError(problems)
    models = models_of(scenario, own)
    return LoadedScenario(scenario, path, catalogue, models, recordings, settings)


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
    jobs = mapping(data, "jobs")
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
            own = [j for j, spec in entries(jobs) if slot in mapping(spec, "controllers")]
            if not job:
                overrides.append((f"controllers.{slot}", name))
            overrides += [(f"jobs.{j}.controllers.{slot}", name) for j in ([job] if job else own)]
    return overrides
