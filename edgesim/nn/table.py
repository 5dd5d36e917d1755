"""A user's own model as a file: one YAML mapping with its sizes and one row per layer.

:func:`read_model` and :func:`write_model` are inverse to each other; neither needs torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, StringConstraints

from edgesim.core.documents import (
    PROFILE_NAME_PATTERN,
    Document,
    Schema,
    check,
    parse_document,
    read_document,
)
from edgesim.core.errors import ConfigError, EdgesimError, Problem
from edgesim.nn.model import (
    Accuracy,
    Layer,
    LayerKind,
    ModelCost,
    Processors,
    Published,
    StateCounts,
)

__all__ = ["count_states", "read_model", "write_model"]

CONVOLUTIONS: tuple[LayerKind, ...] = ("conv", "pointwise", "depthwise", "grouped")


def _whole(value: Any) -> Any:
    """So that 1.5e9 may stand for a count."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**18)]
Size = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10**18)]


class _Row(Schema):
    name: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    kind: LayerKind
    macs: Count
    parameters: Count
    inputs: Size
    outputs: Size
    kernel: Annotated[list[Size], Field(min_length=2, max_length=2)] = [1, 1]
    stride: Size = 1
    groups: Size = 1


class _Accuracy(Schema):
    value: Annotated[float, Field(ge=0, le=1)]
    metric: Text
    source: Text


class _StateCounts(Schema):
    conv: Count
    fc: Count
    rc: Count
    source: Text = "the model's own file"


class _Published(Schema):
    macs: Annotated[float, Field(ge=0)]
    parameters: Annotated[float, Field(ge=0)]
    source: Text


class _Model(Schema):
    kind: Literal["model"]
    name: Annotated[str, StringConstraints(pattern=PROFILE_NAME_PATTERN, max_length=64)]
    task: Annotated[str, StringConstraints(max_length=2000)] = ""
    input: Text
    input_bytes: Count
    output_bytes: Count
    accuracy: dict[Literal["fp32", "fp16", "int8"], _Accuracy] = {}
    state_counts: _StateCounts | None = None
    published: _Published | None = None
    unsupported_on: list[Processors] = []
    source: Text
    layers: Annotated[list[_Row], Field(min_length=1)]


def count_states(layers: Iterable[Layer]) -> StateCounts:
    """Layer counts for AutoScale's state, from the kinds of a table's rows.

    Convolutions of every sort count as ``conv``, dense layers as ``fc``, recurrent ones as ``rc``.
    """
    kinds = [layer.kind for layer in layers]
    return StateCounts(
        conv=sum(kind in CONVOLUTIONS for kind in kinds),
        fc=kinds.count("dense"),
        rc=kinds.count("recurrent"),
        source="counted from the layers",
    )


def read_model(file: str | Path) -> ModelCost:
    """Read a model from its file, which is called after it: ``NAME.yaml``.

    Sizes are those of a batch of one: multiply-accumulates, numbers of values, and bytes where a
    key says so. ``accuracy`` may be left out, but then no precision of the model is offered;
    without ``state_counts`` they are counted (:func:`count_states`).

    Raises:
        ConfigError: with every problem found, each with file, line and key.
    """
    path = Path(file)
    return _model(read_document(path), path.stem)


def _model(document: Document, stem: str) -> ModelCost:
    found, problems = check(document, _Model)
    problems += _repeated_names(document)
    name = document.data.get("name") if isinstance(document.data, dict) else None
    if isinstance(name, str) and re.match(PROFILE_NAME_PATTERN, name) and name != stem:
        message = f"must be the file's own name; write {stem!r} or rename the file; found {name!r}"
        problems.append(document.problem(("name",), message))
    if found is None or problems:
        raise ConfigError(problems)
    layers = tuple(
        Layer(**{**row.model_dump(), "kernel": (row.kernel[0], row.kernel[1])})
        for row in found.layers
    )
    counts, published = found.state_counts, found.published
    return ModelCost(
        name=found.name,
        task=found.task,
        input=found.input,
        layers=layers,
        input_bytes=found.input_bytes,
        output_bytes=found.output_bytes,
        accuracy={key: Accuracy(**row.model_dump()) for key, row in found.accuracy.items()},
        state_counts=StateCounts(**counts.model_dump()) if counts else count_states(layers),
        source=found.source,
        published=Published(**published.model_dump()) if published else None,
        unsupported_on=frozenset(found.unsupported_on),
    )


def _repeated_names(document: Document) -> list[Problem]:
    rows = document.data.get("layers") if isinstance(document.data, dict) else None
    first: dict[str, int | None] = {}
    problems = []
    for index, row in enumerate(rows if isinstance(rows, list) else []):
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str):
            continue
        key = ("layers", index, "name")
        if name in first:
            message = f"{name!r} is the name of the layer in line {first[name]} already; rename one"
            problems.append(document.problem(key, message))
        else:
            first[name] = document.places[key][1]
    return problems


def write_model(model: ModelCost, file: str | Path, *, overwrite: bool = False) -> None:
    """Write a model to a file from which :func:`read_model` gives an equal one.

    Args:
        model: the model.
        file: where to; its name must be the model's with ``.yaml`` or another ending.
        overwrite: whether a file that exists may be replaced.

    Raises:
        EdgesimError: if the file exists and may not be replaced, if it cannot be written, or, as
            a :class:`~edgesim.core.errors.ConfigError`, if the model is one that a file cannot
            hold: layers of the same name, an empty source, a name other than the file's. Nothing
            is written then.
    """
    path = Path(file)
    text = _rendered(model)
    if _model(parse_document(text, str(path)), path.stem) != model:
        raise EdgesimError(f"{path}: the model would not come back from this file as it is")
    try:
        with path.open("w" if overwrite else "x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError:
        raise EdgesimError(f"{path} exists; pass overwrite=True to replace it") from None
    except OSError as error:
        raise EdgesimError(f"{path}: cannot be written: {error.strerror or error}") from None


class _Dumper(yaml.SafeDumper):
    """YAML's safe dumper, without anchors, that quotes all text that may be taken for a number."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Escaped, a line break does not break the row.
    style = '"' if not text.isprintable() else "'" if re.match(r"[-+.\d]", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _rendered(model: ModelCost) -> str:
    head: dict[str, Any] = {
        "kind": "model",
        "name": model.name,
        "task": model.task,
        "input": model.input,
        "input_bytes": model.input_bytes,
        "output_bytes": model.output_bytes,
        "accuracy": {key: _fields(row) for key, row in model.accuracy.items()},
        "state_counts": _fields(model.state_counts),
        "unsupported_on": sorted(model.unsupported_on),
        "source": model.source,
    }
    if model.published is not None:
        head["published"] = _fields(model.published)
    text = "".join(
        f"{key}: {_flow(value)}\n" if key != "accuracy" else _accuracy(value)
        for key, value in head.items()
    )
    rows = "".join(f"  - {_flow(_row(layer))}\n" for layer in model.layers)
    return f"{text}layers:\n{rows}" if rows else f"{text}layers: []\n"


def _accuracy(rows: dict[str, dict[str, Any]]) -> str:
    if not rows:
        return "accuracy: {}\n"
    return "accuracy:\n" + "".join(f"  {key}: {_flow(row)}\n" for key, row in rows.items())


def _row(layer: Layer) -> dict[str, Any]:
    """Without what a reader would put in anyway."""
    row = _fields(layer)
    row["kernel"] = list(layer.kernel)
    usual = {"kernel": [1, 1], "stride": 1, "groups": 1}
    return {key: value for key, value in row.items() if usual.get(key) != value}


def _fields(record: Layer | Accuracy | StateCounts | Published) -> dict[str, Any]:
    return {key: getattr(record, key) for key in record.__dataclass_fields__}


def _flow(value: Any) -> str:
    """A value on one line, whatever its length."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return str(text).removesuffix("\n").removesuffix("...").rstrip("\n")
