"""What a sweep runs: dimensions, their values, and every combination of them as a cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from pathlib import Path
from typing import Any

from edgesim.controllers.registry import SLOTS
from edgesim.core.documents import parse_document
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.scenario.load import LoadedScenario, Override, axes, load_scenario
from edgesim.scenario.schema import Scenario

__all__ = ["Cell", "Dimension", "Plan", "make_plan", "parse_seeds", "parse_vary"]

COMMAND_LINE = "command line"
_MOST_CELLS = 100_000
_LONGEST_NAME = 150


@dataclass(frozen=True, slots=True)
class Dimension:
    """Something that is varied.

    Attributes:
        key: a slot (``offloading``, ``camera.offloading``), an axis of the scenario's matrix, or a
            dotted key path.
        labels: its values as text, in order; they stand in tables and names of folders.
        values: its values.
    """

    key: str
    labels: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def is_slot(self) -> bool:
        """Whether controllers are varied."""
        return self.key.rpartition(".")[2] in SLOTS and "controllers" not in self.key


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of a sweep.

    Attributes:
        number: its place in the plan.
        labels: the value of each dimension, as text.
        overrides: what is put into the scenario,
        controllers: and who sits where.
        seed: its seed.
    """

    number: int
    labels: Mapping[str, str]
    overrides: tuple[Override, ...]
    controllers: Mapping[str, str]
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        parts = [*(f"{key}={label}" for key, label in self.labels.items()), f"seed={self.seed}"]
        text = ",".join(parts)
        safe = re.sub(r"[^A-Za-z0-9_.,=+-]", "_", text)
        if safe == text and len(safe) <= _LONGEST_NAME:
            return safe
        mark = blake2b(text.encode(), digest_size=4).hexdigest()
        return f"{safe[: _LONGEST_NAME - 9]}-{mark}"

    def load(self, scenario: str | Path) -> LoadedScenario:
        """Its scenario, checked.

        Raises:
            ConfigError: with every problem found.
        """
        return load_scenario(scenario, [*self.overrides, ("seed", self.seed)], self.controllers)


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep before it runs.

    Attributes:
        scenario: a path, or the name of one that ships with edgesim.
        name: what the scenario calls itself.
        dimensions: what is varied; values of the first are compared.
        seeds: each cell is repeated with these.
        cells: all of them, the seeds of one combination together.
    """

    scenario: str
    name: str
    dimensions: tuple[Dimension, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]


def make_plan(
    scenario: str | Path,
    vary: Mapping[str, Sequence[Any]],
    seeds: Iterable[int] = (),
    *,
    overrides: Sequence[Override] = (),
    controllers: Mapping[str, str] | None = None,
) -> Plan:
    """Every combination of what is varied; each is loaded and checked before any runs.

    Axes of the scenario's matrix that are neither varied nor chosen are varied over all of their
    points; so is the slot that it compares, over the controllers named there.

    Args:
        scenario: a path, or the name of one that ships with edgesim.
        vary: values by key; see :class:`Dimension`.
        seeds: by default the scenario's own.
        overrides: what else is put into the scenario.
        controllers: who sits in the slots that are not varied.

    Raises:
        ConfigError: with every problem found in the plan, or in the scenario of any combination.
    """
    fixed = dict(overrides)
    problems = [
        Problem(COMMAND_LINE, None, "--vary", f"{key} is also set to one value; remove one of both")
        for key in vary
        if key in fixed or key in (controllers or {})
    ]
    problems += [
        Problem(COMMAND_LINE, None, "--vary", "'seed' is varied by --seeds")
        for key in vary
        if key == "seed"
    ]
    points = axes(scenario, overrides)
    known = [*SLOTS, *points, *Scenario.model_fields]
    problems += [
        Problem(
            COMMAND_LINE,
            None,
            "--vary",
            f"there is no slot, axis or key {key!r}; {did_you_mean(key, known)}",
        )
        for key in vary
        if "." not in key and key not in known
    ]
    dimensions = [_dimension(key, values, problems) for key, values in vary.items()]
    if problems:
        raise ConfigError(problems)
    dimensions += [
        Dimension(axis, tuple(names), tuple(names))
        for axis, names in points.items()
        if axis not in vary and axis not in fixed
    ]
    first = load_scenario(
        scenario,
        [*overrides, *((d.key, d.values[0]) for d in dimensions if not d.is_slot)],
        {**(controllers or {}), **{d.key: d.values[0] for d in dimensions if d.is_slot}},
    )
    for slot, names in first.scenario.compare.items():
        if not any(d.is_slot for d in dimensions) and slot not in (controllers or {}):
            dimensions.insert(len(vary), Dimension(slot, tuple(names), tuple(names)))
    chosen = tuple(dict.fromkeys(int(seed) for seed in seeds)) or (first.scenario.seed,)
    cells = _cells(dimensions, chosen, overrides, controllers or {})
    for cell in cells[:: len(chosen)]:
        try:
            cell.load(scenario)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return Plan(str(scenario), first.scenario.name, tuple(dimensions), chosen, tuple(cells))


def _dimension(key: str, values: Sequence[Any], problems: list[Problem]) -> Dimension:
    labels = tuple(value if isinstance(value, str) else repr(value) for value in values)
    if not labels:
        problems.append(Problem(COMMAND_LINE, None, "--vary", f"{key} has no values"))
    problems += [
        Problem(COMMAND_LINE, None, "--vary", f"{key} has {label} twice")
        for label in dict.fromkeys(labels)
        if labels.count(label) > 1
    ]
    dimension = Dimension(key, labels, tuple(values))
    if dimension.is_slot:
        return dimension
    # Text from a command line is YAML, as in --set.
    read = (parse_document(v, COMMAND_LINE).data if isinstance(v, str) else v for v in values)
    return Dimension(key, labels, tuple(read))


def _cells(
    dimensions: Sequence[Dimension],
    seeds: Sequence[int],
    overrides: Sequence[Override],
    controllers: Mapping[str, str],
) -> list[Cell]:
    total = len(seeds)
    for dimension in dimensions:
        total *= len(dimension.values)
    if total > _MOST_CELLS:
        message = f"{total:,} runs are more than the {_MOST_CELLS:,} that a sweep may have"
        raise ConfigError([Problem(COMMAND_LINE, None, "--vary", message)])
    cells: list[Cell] = []
    places = [range(len(dimension.values)) for dimension in dimensions]
    for combination in product(*places):
        chosen = list(zip(dimensions, combination, strict=True))
        labels = {d.key: d.labels[place] for d, place in chosen}
        own = tuple((d.key, d.values[place]) for d, place in chosen if not d.is_slot)
        seats = {d.key: str(d.values[place]) for d, place in chosen if d.is_slot}
        for seed in seeds:
            cells.append(
                Cell(len(cells), labels, (*overrides, *own), {**controllers, **seats}, seed)
            )
    return cells


def parse_vary(text: str) -> tuple[str, list[str]]:
    """``KEY=v1,v2`` from a command line; commas within brackets, braces and quotes divide nothing.

    Raises:
        ConfigError: if it is not of that form.
    """
    key, equals, rest = text.partition("=")
    if not (key and equals and rest):
        message = f"{text!r} is not of the form KEY=VALUE,VALUE, such as offloading=cloud,oracle"
        raise ConfigError([Problem(COMMAND_LINE, None, "--vary", message)])
    values, depth, quote = [""], 0, ""
    for character in rest:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        depth += (not quote) * ((character in "[{(") - (character in ")}]"))
        if character == "," and not depth and not quote:
            values.append("")
        else:
            values[-1] += character
    values = [value.strip() for value in values]
    if not all(values):
        message = f"{text!r} has an empty value; write KEY=VALUE,VALUE"
        raise ConfigError([Problem(COMMAND_LINE, None, "--vary", message)])
    return key, values


def parse_seeds(text: str) -> list[int]:
    """``0-4``, ``1,3,7`` or a mixture, as numbers.

    Raises:
        ConfigError: if it is neither.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,18})(?:\s*-\s*(\d{1,18}))?\s*", part)
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not low <= high < low + _MOST_CELLS:
            message = f"{text!r} is not of the form 0-4 or 1,3,7"
            raise ConfigError([Problem(COMMAND_LINE, None, "--seeds", message)])
        seeds += range(low, high + 1)
    return list(dict.fromkeys(seeds))
