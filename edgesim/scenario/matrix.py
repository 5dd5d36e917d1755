"""The matrix of a scenario: axes of named points, each of which puts values into the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgesim.controllers.registry import SLOTS
from edgesim.core.documents import Document, KeyPath, parse_document
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.scenario.schema import Scenario

__all__ = ["Override", "axes_of", "cases", "key_path", "misnamed", "put_case"]

Override = tuple[str, Any]
"""A dotted key path and the value to put there."""

_MATRIX = "matrix"


def key_path(text: str) -> KeyPath:
    """``phones.*.count`` as a path; parts of digits are places in lists."""
    return tuple(int(part) if _INDEX.fullmatch(part) else part for part in text.split("."))


_INDEX = re.compile("[0-9]{1,6}")


def axes_of(document: Document) -> dict[str, list[str]]:
    """The names of the points of each axis; whatever is malformed is left out."""
    data = document.data if isinstance(document.data, dict) else {}
    matrix = data.get(_MATRIX)
    axes = matrix.items() if isinstance(matrix, dict) else ()
    return {axis: list(points) for axis, points in axes if isinstance(points, dict) and points}


def put_case(
    document: Document, overrides: Iterable[Override], file: str
) -> tuple[dict[str, str], list[Override], list[Problem]]:
    """Put the values of the chosen points into a document; of several axes the later prevails.

    Args:
        document: with its matrix, which stays.
        overrides: among them those that choose a point: the name of an axis, and of a point.
        file: where the overrides come from, for messages.

    Returns:
        The point of each axis, the other overrides, and every problem found.
    """
    axes = axes_of(document)
    chosen: dict[str, Any] = {}
    others: list[Override] = []
    problems: list[Problem] = []
    known = [*Scenario.model_fields, *axes]
    for key, value in overrides:
        if key in axes:
            chosen[key] = value
        elif axes and "." not in key and key not in known:
            message = f"there is no such key and no such axis; {did_you_mean(key, known)}"
            problems.append(Problem(file, None, key, message))
        else:
            others.append((key, value))
    case: dict[str, str] = {}
    for axis, points in axes.items():
        point = _point(chosen[axis], points) if axis in chosen else points[0]
        if point is None:
            message = f"{axis} has no point {chosen[axis]!r}; {did_you_mean(chosen[axis], points)}"
            problems.append(Problem(file, None, axis, message))
            continue
        case[axis] = point
        problems += _put_point(document, axis, point)
    return case, others, problems


def _point(value: object, points: Sequence[str]) -> str | None:
    """The point that an override names: a point ``no`` is false to YAML, and ``1`` a number."""
    if isinstance(value, str):
        return value if value in points else None
    for point in points:
        try:
            read = parse_document(point, "").data
        except ConfigError:
            continue
        if type(read) is type(value) and read == value:
            return point
    return None


def _put_point(document: Document, axis: str, point: str) -> list[Problem]:
    values = document.data[_MATRIX][axis][point]
    problems: list[Problem] = []
    for key, value in values.items() if isinstance(values, dict) else ():
        place = (_MATRIX, axis, point, key)
        path = key_path(key)
        if path[0] == _MATRIX or key in document.data[_MATRIX]:
            message = "a point puts values in place of the file's, and cannot change the matrix"
            problems.append(document.problem(place, message))
            continue
        file, line = document.places.get(place, (document.file, None))
        try:
            document.put(path, value, file, line)
        except ConfigError as error:
            problems += error.problems
    return problems


def misnamed(document: Document) -> Iterator[Problem]:
    """Axes whose name means something else already."""
    for axis in axes_of(document):
        if axis in Scenario.model_fields or axis in SLOTS:
            what = "a slot" if axis in SLOTS else "a key of scenarios"
            message = f"{axis!r} is the name of {what}; rename the axis"
            yield document.problem((_MATRIX, axis), message)


def cases(axes: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every point of each axis in turn, the others at their first: the case of all firsts first."""
    first = {axis: points[0] for axis, points in axes.items()}
    yield first
    for axis, points in axes.items():
        for point in points[1:]:
            yield {**first, axis: point}
