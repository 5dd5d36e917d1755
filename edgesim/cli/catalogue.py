"""``edgesim list``, ``show``, ``schema`` and ``validate``: what there is, and where numbers come from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.syntax import Syntax
from rich.table import Table

from edgesim.cli.showing import (
    console,
    fill,
    show_controller,
    show_learning,
    show_model,
    show_profile,
)
from edgesim.controllers.registry import CONTROLLERS
from edgesim.core.documents import read_document
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.hardware.catalogue import Catalogue, shipped
from edgesim.hardware.profiles import PROFILE_KINDS, profile_schema, read_profile
from edgesim.learning.catalogue import DATASETS, MODELS, PARTITIONS, shown_parameters
from edgesim.nn.table import read_model
from edgesim.nn.zoo import ZOO
from edgesim.scenario.load import check_every_case, find_scenario, scenario_names
from edgesim.scenario.schema import Scenario

__all__ = ["json_schema", "print_item", "print_list", "validate_file"]

_LISTS = ("scenarios", "profiles", "controllers", "models", "datasets", "partitions")
_LEARNING = {"model": MODELS, "data set": DATASETS, "partition": PARTITIONS}


def validate_file(file: Path) -> str:
    """Check a scenario, a profile or a model's layer table, whichever it is; says which.

    Raises:
        ConfigError: with every problem found.
    """
    data = read_document(find_scenario(file)).data
    if isinstance(data, dict) and "kind" in data:
        if data["kind"] == "model":
            read_model(file)
            return "model"
        _, profile = read_profile(file)
        return f"{profile.kind} profile"
    check_every_case(file)
    return "scenario"


def json_schema(what: str) -> dict[str, Any]:
    """The JSON schema of a ``scenario`` or a ``profile``."""
    schemas = {"scenario": Scenario.model_json_schema, "profile": profile_schema}
    if what not in schemas:
        raise _unknown(what, schemas, "schema")
    return dict(schemas[what]())


def print_list(what: str) -> None:
    """Print a table of everything of one sort."""
    if what not in _LISTS:
        raise _unknown(what, _LISTS, "list")
    table = Table(box=None, pad_edge=False, header_style="bold")
    if what == "scenarios":
        fill(table, ("name", "jobs", "description"), map(_scenario_row, scenario_names()))
    elif what == "profiles":
        catalogue = shipped()
        kinds = (map(catalogue.profile, catalogue.names(kind)) for kind in PROFILE_KINDS)
        groups: list[list[tuple[str, ...]]] = [
            [(p.name, p.kind, p.description) for p in profiles] for profiles in kinds
        ]
        fill(table, ("name", "kind", "description"), _spaced(groups))
    elif what == "controllers":
        rows = ((name, entry.slot, entry.summary) for name, entry in CONTROLLERS.items())
        fill(table, ("name", "slot", "description"), rows)
    elif what == "models":
        zoo = [(m.name, m.task, f"{m.input}; {m.macs / 1e9:.2f} GMAC") for m in ZOO.values()]
        learners = [(name, "to be trained", entry.summary) for name, entry in MODELS.items()]
        models: list[list[tuple[str, ...]]] = [[*zoo], [*learners]]
        fill(table, ("name", "task", "description"), _spaced(models))
    else:
        kind, entries = ("data set", DATASETS) if what == "datasets" else ("partition", PARTITIONS)
        listed = (
            (name, entry.summary, shown_parameters(kind, name, entries))
            for name, entry in entries.items()
        )
        fill(table, ("name", "description", "parameters"), listed)
    console().print(table)


def print_item(name: str) -> None:
    """Print one scenario, profile, controller or model in full."""
    profiles = dict(shipped().files())
    if name in profiles:
        show_profile(shipped().profile(name), shipped())
    elif name in ZOO:
        show_model(ZOO[name])
    elif name in CONTROLLERS:
        show_controller(name)
    elif what := [kind for kind, entries in _LEARNING.items() if name in entries]:
        show_learning(what[0], name, _LEARNING[what[0]])
    elif name in scenario_names() or Path(name).suffix in (".yaml", ".yml"):
        path = find_scenario(name)
        data = read_document(path).data
        if isinstance(data, dict) and data.get("kind") == "model":
            show_model(read_model(path))
        elif isinstance(data, dict) and "kind" in data:
            show_profile(read_profile(path)[1], Catalogue([path.parent]))
        else:
            text = path.read_text(encoding="utf-8")
            console().print(Syntax(text, "yaml", background_color="default", word_wrap=True))
    else:
        everything = [*scenario_names(), *profiles, *ZOO, *CONTROLLERS]
        everything += [name for entries in _LEARNING.values() for name in entries]
        raise _unknown(name, everything, "show")


def _spaced(groups: Iterable[list[tuple[str, ...]]]) -> Iterable[tuple[str, ...]]:
    """The rows of all groups that have any, with an empty row between two groups."""
    for index, group in enumerate(group for group in groups if group):
        if index:
            yield ("",) * len(group[0])
        yield from group


def _scenario_row(name: str) -> tuple[str, str, str]:
    data = read_document(find_scenario(name)).data
    return name, str(len(data.get("jobs", {}))), str(data.get("description", ""))


def _unknown(name: str, known: Iterable[str], what: str) -> ConfigError:
    message = f"nothing of that name; {did_you_mean(name, known)}"
    return ConfigError([Problem(f"edgesim {what}", None, name, message)])
