"""Loading a scenario: found, read, overridden, checked; every problem of it reported at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgesim.controllers.registry import SLOTS
from edgesim.core.documents import (
    Document,
    Schema,
    check,
    parse_document,
    read_document,
)
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.hardware.catalogue import Catalogue, catalogue_folder
from edgesim.nn.model import ModelCost
from edgesim.scenario.limits import never_full, not_federated, out_of_limits, too_much
from edgesim.scenario.matrix import Override, axes_of, cases, key_path, misnamed, put_case
from edgesim.scenario.recordings import Recordings, read_recordings
from edgesim.scenario.references import (
    dangling,
    entries,
    mapping,
    models_of,
    not_photographed,
    not_pictures,
    own_models,
)
from edgesim.scenario.schema import Scenario
from edgesim.scenario.seats import settings_of
from edgesim.scenario.topology import disconnected

__all__ = [
    "LoadedScenario",
    "Override",
    "axes",
    "check_every_case",
    "find_scenario",
    "load_resolved",
    "load_scenario",
    "parse_override",
    "scenario_names",
    "without_nulls",
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
        case: which point of each axis of its matrix it is.
    """

    scenario: Scenario
    path: Path
    catalogue: Catalogue
    models: Mapping[str, ModelCost]
    recordings: Recordings
    settings: Mapping[str, Schema]
    case: Mapping[str, str] = field(default_factory=dict)

    @property
    def profiles(self) -> set[str]:
        """The names of all profiles of phones and servers that a run depends on."""
        scenario = self.scenario
        found = {spec.profile for spec in scenario.phones.values()}
        found |= {spec.server for spec in scenario.sites.values()}
        for job in scenario.federated_jobs.values():
            found |= set(job.cameras.held_out if job.cameras is not None else ())
        return found


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
        overrides: values put in place of the file's, such as ``("phones.pixel.count", 3)``, or
            ``("phones.*.count", 3)`` for all groups; the name of an axis of its matrix chooses a
            point: ``("environment", "S4")``.
        controllers: who sits where, in place of the file's: by ``SLOT`` for all jobs, or by
            ``JOB.SLOT`` for one.

    Raises:
        ConfigError: with every problem found.
    """
    path = find_scenario(name)
    document = read_document(path)
    # What changes the matrix itself comes first, then what the matrix puts, then all the others.
    own_matrix, others = _split(overrides)
    problems = _put(document, own_matrix)
    case, others, found = put_case(document, others, OVERRIDE_FILE)
    problems += [*found, *misnamed(document)]
    problems += _put(document, others)
    problems += _put(document, _seats(document, controllers or {}, problems))
    return _checked(path, document, case, problems)


def load_resolved(path: Path, data: Mapping[str, Any]) -> LoadedScenario:
    """Check a scenario that was loaded and written down before, as a manifest has it.

    Args:
        path: of its file; relative files, models and profiles are looked for beside it.
        data: what the manifest has.

    Raises:
        ConfigError: with every problem found.
    """
    return _checked(path, Document(str(path), without_nulls(data)), {}, [])


def without_nulls(data: Any) -> Any:
    """Without keys that say nothing: a file would leave them out."""
    if isinstance(data, Mapping):
        return {key: without_nulls(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [without_nulls(value) for value in data]
    return data


def _checked(
    path: Path, document: Document, case: Mapping[str, str], problems: list[Problem]
) -> LoadedScenario:
    """A scenario that is in order, or every problem of it."""
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
        problems += not_federated(document, scenario)
        problems += disconnected(document, scenario, catalogue)
        problems += not_pictures(document, scenario, own)
        problems += not_photographed(document, scenario, catalogue)
        recordings, found = read_recordings(document, scenario, path.parent)
        problems += found
        if not problems:
            problems += too_much(document, scenario, recordings)
    if problems or scenario is None:
        raise ConfigError(problems)
    models = models_of(scenario, own)
    return LoadedScenario(scenario, path, catalogue, models, recordings, settings, case)


def axes(name: str | Path, overrides: Iterable[Override] = ()) -> dict[str, list[str]]:
    """The names of the points of each axis of a scenario's matrix.

    Args:
        name: as for :func:`load_scenario`.
        overrides: those of ``matrix...`` count, the others change no axis.

    Raises:
        ConfigError: if there is no such scenario, or it is not YAML.
    """
    document = read_document(find_scenario(name))
    _put(document, _split(overrides)[0])
    return axes_of(document)


def check_every_case(name: str | Path) -> None:
    """Check a scenario at every point of each axis of its matrix, the other axes at their first.

    Raises:
        ConfigError: with every distinct problem found.
    """
    problems: list[Problem] = []
    for number, case in enumerate(cases(axes(name))):
        try:
            load_scenario(name, case.items())
        except ConfigError as error:
            new = [problem for problem in error.problems if problem not in problems]
            problems += new if number == 0 else [_in_case(problem, case) for problem in new]
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


def _in_case(problem: Problem, case: Mapping[str, str]) -> Problem:
    """A problem that only one case has, and which."""
    where = ", ".join(f"{axis}={point}" for axis, point in case.items())
    return replace(problem, message=f"{problem.message} (with {where})")


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


def _split(overrides: Iterable[Override]) -> tuple[list[Override], list[Override]]:
    """The overrides of the matrix itself, and the others."""
    every = list(overrides)
    own = [each for each in every if each[0].partition(".")[0] == "matrix"]
    return own, [each for each in every if each not in own]


def _put(document: Document, overrides: Iterable[Override]) -> list[Problem]:
    problems: list[Problem] = []
    for key, value in overrides:
        try:
            document.put(key_path(key), value, OVERRIDE_FILE)
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
