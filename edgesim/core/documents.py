"""Users' YAML files: read with the place of every key, checked against a schema, refused in full.

:func:`read_document` keeps where each value stands; :func:`validate` checks it against a
:class:`Schema` and turns *all* that is wrong into located :class:`~edgesim.core.errors.Problem`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from edgesim.core.errors import ConfigError, Problem, did_you_mean

__all__ = [
    "EVERY",
    "NAME_PATTERN",
    "POINT_PATTERN",
    "PROFILE_NAME_PATTERN",
    "Document",
    "KeyPath",
    "Schema",
    "check",
    "parse_document",
    "read_document",
    "validate",
]

KeyPath = tuple[str | int, ...]

EVERY = "*"
"""The part of a path to :meth:`Document.put` that stands for every entry there."""

_LARGEST_BYTES = 10_000_000
_MOST_NODES = 500_000
_DEEPEST = 50


class Schema(BaseModel):
    """Base of every file's schema: no unknown keys, no coercion, no NaN, no infinity."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


@dataclass(slots=True)
class Document:
    """A YAML file as plain data, with the place of every key.

    Attributes:
        file: what to call it in messages.
        data: dictionaries, lists and scalars.
        places: file and 1-based line of each key path.
    """

    file: str
    data: Any
    places: dict[KeyPath, tuple[str, int | None]] = field(default_factory=dict)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem with the value at ``path``, at the nearest place known."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.places:
                file, line = self.places[path[:end]]
                return Problem(file, line, dotted(path), message)
        return Problem(self.file, None, dotted(path), message)

    def put(self, path: KeyPath, value: Any, file: str, line: int | None = None) -> None:
        """Set the value at ``path``, making mappings on the way.

        A part ``*`` of the path stands for every entry of the mapping or list there.

        Args:
            path: where to.
            value: what; each place has its own copy.
            file: where it comes from, for messages.
            line: and the line there.

        Raises:
            ConfigError: if something on the way is neither a mapping nor a list with that entry, or
                has no entries for a ``*`` to stand for.
        """
        place = (file, line)
        for each in self._every(path, place):
            self._put_one(each, deepcopy(value), place)

    def _every(self, path: KeyPath, place: tuple[str, int | None]) -> list[KeyPath]:
        """The paths that a path with ``*`` in it stands for."""
        found: list[tuple[KeyPath, Any]] = [((), self.data)]
        for depth, key in enumerate(path):
            further: list[tuple[KeyPath, Any]] = []
            for before, here in found:
                if key != EVERY:
                    further.append(((*before, key), _entry(here, key)))
                elif isinstance(here, dict) and here:
                    further += [((*before, own), value) for own, value in here.items()]
                elif isinstance(here, list) and here:
                    further += [((*before, own), value) for own, value in enumerate(here)]
                else:
                    what = dotted(before) or "the file"
                    message = f"{what} has no entries that {EVERY!r} could stand for"
                    raise ConfigError([Problem(*place, dotted(path[: depth + 1]), message)])
            found = further
        return [each for each, _ in found]

    def _put_one(self, path: KeyPath, value: Any, place: tuple[str, int | None]) -> None:
        here = self.data
        for depth, key in enumerate(path):
            is_last = depth == len(path) - 1
            if isinstance(here, dict):
                if key not in here and not is_last:
                    here[key] = {}
                    self.places[path[: depth + 1]] = place
            elif not (isinstance(here, list) and isinstance(key, int) and key < len(here)):
                message = f"{dotted(path[:depth]) or 'the file'} has no entry {key!r}"
                raise ConfigError([Problem(*place, dotted(path), message)])
            if is_last:
                here[key] = value
            else:
                here = here[key]
        for known in [known for known in self.places if known[: len(path)] == path]:
            del self.places[known]
        self.places[path] = place


def _entry(here: Any, key: str | int) -> Any:
    """What stands at a key of a mapping or list; ``None`` if nothing does."""
    if isinstance(here, dict):
        return here.get(key)
    is_there = isinstance(here, list) and isinstance(key, int) and key < len(here)
    return here[key] if is_there else None


def dotted(path: KeyPath) -> str:
    """``("phones", 0, "name")`` as ``phones[0].name``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f".{key}" if text else str(key)
    return text


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, that also takes 1e3 and 5e-3 for numbers."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def read_document(path: Path, name: str | None = None) -> Document:
    """Read a YAML file.

    Args:
        path: the file.
        name: what to call it in messages; by default its path.

    Raises:
        ConfigError: if it cannot be read, is not UTF-8, or is not YAML.
    """
    file = str(path) if name is None else name
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ConfigError([Problem(file, None, "", f"larger than {_LARGEST_BYTES} bytes")])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            [Problem(file, None, "", f"cannot be read: {error.strerror or error}")]
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem(file, None, "", f"is not UTF-8 text (byte {error.start})")]
        ) from None
    except ValueError:
        raise ConfigError([Problem(repr(file), None, "", "no file can have that name")]) from None
    return parse_document(text, file)


def parse_document(text: str, file: str) -> Document:
    """Parse YAML text; ``file`` is what to call it in messages.

    Raises:
        ConfigError: with every duplicate key and every problem of syntax.
    """
    loader = None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        builder = _Builder(loader, file)
        data = builder.build(root, (), ()) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        parts = [part for part in (error.context, error.problem) if part]
        if mark:
            parts.append(f"(column {mark.column + 1})")
        message = "not valid YAML: " + " ".join(parts)
        raise ConfigError([Problem(file, mark.line + 1 if mark else None, "", message)]) from None
    except yaml.YAMLError as error:
        message = str(error).splitlines()[0] if str(error) else "unreadable"
        raise ConfigError([Problem(file, None, "", f"not valid YAML: {message}")]) from None
    except RecursionError:
        raise ConfigError([Problem(file, None, "", "nested too deeply")]) from None
    finally:
        if loader is not None:
            loader.dispose()
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(file, data, builder.places)


class _Builder:
    """Turns YAML nodes into plain data, noting the line of each."""

    def __init__(self, loader: _Loader, file: str) -> None:
        self._loader = loader
        self._file = file
        self._nodes = 0
        self.places: dict[KeyPath, tuple[str, int | None]] = {}
        self.problems: list[Problem] = []

    def build(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        line = node.start_mark.line + 1
        self.places.setdefault(path, (self._file, line))
        self._nodes += 1
        if id(node) in parents or len(parents) > _DEEPEST or self._nodes > _MOST_NODES:
            why = "refers to itself" if id(node) in parents else "is nested too deeply or too large"
            raise yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark)
        parents = (*parents, id(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, parents)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, i), parents) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except yaml.YAMLError:
            raise
        except Exception:  # PyYAML raises whatever comes when a value does not fit its tag
            kind = str(node.tag).rpartition(":")[2]
            problem = f"{_shown(node.value)} is not a valid {kind}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None

    def _mapping(
        self, node: yaml.MappingNode, path: KeyPath, parents: tuple[int, ...]
    ) -> dict[str, Any]:
        own: dict[str, int] = {}
        for key_node, _ in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key in own and key != "<<":
                message = f"given twice; it stands in line {own[key]} already"
                self.problems.append(Problem(self._file, line, dotted((*path, key)), message))
            own.setdefault(key, line)
        self._nodes += _merged_pairs(node, _MOST_NODES)
        if self._nodes > _MOST_NODES:
            raise yaml.MarkedYAMLError(problem="is too large", problem_mark=node.start_mark)
        # Puts what "<<" merges in before the mapping's own keys, which so override it.
        self._loader.flatten_mapping(node)
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = None
            if isinstance(key_node, yaml.ScalarNode):
                key = self._scalar(key_node)
            if not isinstance(key, str):
                shown = key_node.value if isinstance(key_node.value, str) else "a collection"
                message = f"the key {shown} is not text; quote it"
                self.problems.append(Problem(self._file, line, dotted(path), message))
                continue
            self.places[(*path, key)] = (self._file, line)
            data[key] = self.build(value_node, (*path, key), parents)
        return data


def _merged_pairs(node: yaml.Node, most: int) -> int:
    """How many pairs "<<" would bring into a mapping, all levels together; more than ``most`` is enough."""
    pairs = 0
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "<<":
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in sources:
                    if isinstance(source, yaml.MappingNode):
                        pairs += len(source.value) + _merged_pairs(source, most - pairs)
                    if pairs > most:
                        return pairs
    return pairs


SchemaT = TypeVar("SchemaT", bound=Schema)


def check(document: Document, schema: type[SchemaT]) -> tuple[SchemaT | None, list[Problem]]:
    """Check a document against a schema: what it says, or ``None`` and every problem found."""
    if not isinstance(document.data, dict):
        found = "nothing" if document.data is None else _shown(document.data)
        message = f"expected keys and values at the top of the file, found {found}"
        return None, [document.problem((), message)]
    try:
        return schema.model_validate(document.data), []
    except ValidationError as error:
        problems = []
        for detail in error.errors(include_url=False):
            path, types, known = _resolve(document.data, schema, detail["loc"])
            if detail["type"] == "union_tag_invalid":
                path = (*path, "kind")
            problems.append(document.problem(path, _message(detail, path, types, known)))
        return None, list(dict.fromkeys(problems))


def validate(document: Document, schema: type[SchemaT]) -> SchemaT:
    """Check a document against a schema.

    Raises:
        ConfigError: with every problem found, each at its place.
    """
    found, problems = check(document, schema)
    if found is None:
        raise ConfigError(problems)
    return found


def _message(detail: Any, path: KeyPath, types: list[Any], known: list[str]) -> str:
    """What to tell a user about one of pydantic's findings."""
    type_, found = detail["type"], detail["input"]
    schemas = [t for t in types if _is_schema(t)]
    kinds = [kind for t in schemas for kind in _kinds(t)] if len(schemas) > 1 else []
    if type_ == "extra_forbidden":
        return f"unknown key; {did_you_mean(path[-1] if path else '', known)}"
    if type_ == "missing":
        return "this key is required and missing"
    if type_ == "union_tag_not_found":
        return f"needs a key 'kind', one of {', '.join(kinds)}"
    if type_ == "union_tag_invalid":
        tag = found.get("kind") if isinstance(found, dict) else None
        if isinstance(tag, str):
            return f"unknown kind {tag!r}; {did_you_mean(tag, kinds)}"
        return f"it should be one of {', '.join(kinds)}; found {_shown(tag)}"
    if type_ == "literal_error":
        pairs = re.findall(r"'([^']*)'|(-?\d+)", str(detail["ctx"]["expected"]))
        names = [text or number for text, number in pairs]
        if isinstance(found, str):
            return f"found {_shown(found)}; {did_you_mean(found, names)}"
        return f"it should be one of {', '.join(names)}; found {_shown(found)}"
    if type_ == "value_error":
        return _lower(str(detail["msg"]).removeprefix("Value error, "))
    if type_ == "model_type" and set(schemas[0].model_fields) == {"source", "value"}:
        return f"write {{value: {_shown(found)}, source: ...}} and say where the number comes from"
    if type_ in ("model_type", "model_attributes_type", "dict_type"):
        what = "expected keys and values" + (
            f" or a number; kinds: {', '.join(kinds)}" if kinds else ""
        )
        return f"{what}; found {_shown(found)}"
    if type_ == "string_pattern_mismatch":
        what = _PATTERNS.get(detail["ctx"]["pattern"], "it is not of the right form")
        return f"{what}; found {_shown(found)}"
    if type_ == "too_short":
        least = detail["ctx"]["min_length"]
        return (
            f"needs at least {least} {'entry' if least == 1 else 'entries'}; found {_shown(found)}"
        )
    message = _lower(str(detail["msg"])).replace("input should", "it should")
    return f"{message.replace(' after validation', '')}; found {_shown(found)}"


NAME_PATTERN = "^[A-Za-z][A-Za-z0-9_-]*$"
"""What users may call things."""

POINT_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What users may call the points of a matrix; they become names of folders."""

PROFILE_NAME_PATTERN = "^[a-z][a-z0-9_]*$"
"""What profiles and their parts are called."""

_PATTERNS = {
    NAME_PATTERN: "a name begins with a letter and holds only letters, digits, _ and -",
    POINT_PATTERN: "a name begins with a letter or digit and holds only these and . _ -",
    PROFILE_NAME_PATTERN: "this name begins with a-z and holds only a-z, digits and _",
}


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: Any) -> str:
    """A value as it might stand in the file."""
    words: dict[Any, str] = {True: "true", False: "false", None: "nothing"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _resolve(data: Any, schema: Any, loc: tuple[Any, ...]) -> tuple[KeyPath, list[Any], list[str]]:
    """What a pydantic location means: the path in the user's data, types there, keys beside it.

    Pydantic puts the tags of unions into its locations; the user's file does not have them.
    """
    path: list[str | int] = []
    types = list(_options(schema))
    known: list[str] = []
    for key in loc:
        known = sorted({name for t in types if _is_schema(t) for name in t.model_fields})
        chosen = [t for t in types if _is_schema(t) and _has_tag(t, key)]
        if chosen and len(types) > 1:
            types = chosen  # the tag of a union, which says which of its schemas is meant
            continue
        if key == "[key]":
            continue  # pydantic means the key before it
        path.append(key)
        here = isinstance(data, dict) and key in data
        here = here or (isinstance(data, list) and isinstance(key, int) and key < len(data))
        data = data[key] if here else None
        types = [option for t in types for option in _inside(t, key)]
    return tuple(path), types, known


def _is_schema(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, BaseModel)


def _kinds(type_: Any) -> tuple[str, ...]:
    kind = type_.model_fields.get("kind")
    return get_args(kind.annotation) if kind is not None else ()


def _has_tag(type_: Any, tag: Any) -> bool:
    return tag in _kinds(type_)


def _inside(type_: Any, key: Any) -> Iterator[Any]:
    if _is_schema(type_):
        info = type_.model_fields.get(key)
        if info is not None:
            yield from _options(info.annotation)
    elif get_origin(type_) is dict:
        yield from _options(get_args(type_)[1])
    elif get_origin(type_) in (list, tuple):
        yield from _options(get_args(type_)[0])


def _options(annotation: Any) -> Iterator[Any]:
    """The alternatives of a type: unions taken apart, annotations and None dropped."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    elif annotation is not NoneType and origin is not Literal:
        yield annotation
