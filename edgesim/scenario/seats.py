"""Who sits in the slots: names, settings and parameters of controllers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgesim.controllers.registry import (
    CONTROLLERS,
    FEDERATED_SLOTS,
    SLOTS,
    controller_class,
    entry_of,
    names_in,
    parameters_of,
)
from edgesim.core.documents import Document, KeyPath, Schema, check
from edgesim.core.errors import EdgesimError, Problem, did_you_mean

__all__ = ["class_name_of", "parameters", "seat_of", "settings_of", "unknown_controllers"]

_OF = "of"


def class_name_of(name: str, settings: Mapping[str, Any]) -> str:
    """The controller that a name stands for: that of a variant, or its own."""
    own = settings.get(name)
    found = own.get(_OF, name) if isinstance(own, Mapping) else name
    return str(found)


def seat_of(slot: str, job: Any, scenario: Any) -> str:
    """The name of the controller in a slot of a job: its own, the scenario's, or the usual one.

    Args:
        slot: the slot.
        job: what the scenario says of the job.
        scenario: the scenario.
    """
    chosen = {**FEDERATED_SLOTS, **scenario.controllers, **job.controllers}
    return str(chosen[slot])


def unknown_controllers(
    document: Document,
    path: KeyPath,
    chosen: object,
    settings: Mapping[str, Any],
    end: KeyPath = (),
) -> list[Problem]:
    """Names of controllers that nobody has, or that sit in other slots.

    Args:
        document: the scenario.
        path: where the names stand.
        chosen: what stands there, names by slot.
        settings: the scenario's variants.
        end: what follows the slot's name in the place of each.
    """
    problems = []
    for slot, name in chosen.items() if isinstance(chosen, dict) else ():
        if slot not in SLOTS or not isinstance(name, str):
            continue  # the schema has told of it
        message = _wrong(class_name_of(name, settings), slot, settings)
        if message is not None:
            problems.append(document.problem((*path, slot, *end), message))
    return problems


def _wrong(name: str, slot: str, settings: Mapping[str, Any]) -> str | None:
    """What is wrong with the name of a controller for a slot."""
    if entry_of(name, slot) is not None:
        return None
    if name not in CONTROLLERS and ":" in name:
        try:
            controller_class(name, slot)
        except EdgesimError as error:
            return str(error)
        return None
    known = names_in(slot)
    known += [k for k in settings if k not in known and class_name_of(k, settings) in known]
    return f"there is no controller {name!r} for slot {slot!r}; {did_you_mean(name, known)}"


def settings_of(
    document: Document, settings: Mapping[str, Any]
) -> tuple[dict[str, Schema], list[Problem]]:
    """The parameters that ``settings`` gives to controllers, by name, and every problem of them."""
    found: dict[str, Schema] = {}
    problems: list[Problem] = []
    for name, own in settings.items():
        path = ("settings", name)
        if not isinstance(own, dict):
            continue  # the schema has told of it
        base = class_name_of(name, settings)
        slots = [slot for slot in SLOTS if _wrong(base, slot, {}) is None]
        if not slots:
            message = f"there is no controller {base!r}; {did_you_mean(base, CONTROLLERS)}"
            at = (*path, _OF) if _OF in own else path
            problems.append(document.problem(at, message))
            continue
        # A name may be that of controllers in several slots; settings are for the one that has any.
        schemas = {slot: parameters_of(controller_class(base, slot)) for slot in slots}
        slot = next((slot for slot in slots if schemas[slot] is not None), slots[0])
        entry, schema = entry_of(base, slot), schemas[slot]
        given = {key: value for key, value in own.items() if key != _OF}
        if schema is None:
            if given:
                message = f"controller {base!r} has no parameters"
                problems.append(document.problem((*path, next(iter(given))), message))
            continue
        part = Document(
            document.file,
            {**(entry.settings if entry is not None else {}), **given},
            {
                place[2:]: at
                for place, at in document.places.items()
                if place[:2] == path and len(place) > 2
            },
        )
        parameters, wrong = check(part, schema)
        problems += [
            Problem(p.file, p.line, f"settings.{name}.{p.key}", p.message)
            if p.key
            else document.problem(path, p.message)
            for p in wrong
        ]
        if parameters is not None:
            found[name] = parameters
    return found, problems


def parameters(name: str, base: str, slot: str, given: Mapping[str, Schema]) -> Schema | None:
    """The parameters of a controller: as set, or its defaults; ``None`` if it has none.

    Args:
        name: what the scenario calls it.
        base: the controller that this stands for.
        slot: where it sits.
        given: what :func:`settings_of` found.
    """
    if name in given:
        return given[name]
    schema = parameters_of(controller_class(base, slot))
    entry = entry_of(base, slot)
    return None if schema is None else schema(**(entry.settings if entry is not None else {}))
