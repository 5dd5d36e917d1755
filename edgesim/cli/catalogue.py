"""``edgesim list``, ``show``, ``schema`` and ``validate``: what there is, and where numbers come from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from edgesim.controllers.registry import CONTROLLERS
from edgesim.core.documents import read_document
from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.hardware.catalogue import shipped
from edgesim.hardware.profiles import Profile, profile_schema, read_profile
from edgesim.nn.model import LAYER_KINDS, ModelCost
from edgesim.nn.table import read_model
from edgesim.nn.zoo import ZOO
from edgesim.scenario.load import find_scenario, load_scenario, scenario_names
from edgesim.scenario.schema import Scenario

__all__ = ["json_schema", "print_item", "print_list", "validate_file"]

_LISTS = ("scenarios", "profiles", "controllers", "models")


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
    load_scenario(file)
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
        _fill(table, ("name", "jobs", "description"), map(_scenario_row, scenario_names()))
    elif what == "profiles":
        catalogue = shipped()
        profiles = (catalogue.profile(name) for name, _ in catalogue.files())
        _fill(
            table,
            ("name", "kind", "description"),
            ((p.name, p.kind, p.description) for p in profiles),
        )
    elif what == "controllers":
        rows = ((name, entry.slot, entry.summary) for name, entry in CONTROLLERS.items())
        _fill(table, ("name", "slot", "description"), rows)
    else:
        rows = ((m.name, m.task, f"{m.input}; {m.macs / 1e9:.2f} GMAC") for m in ZOO.values())
        _fill(table, ("name", "task", "description"), rows)
    _console().print(table)


def print_item(name: str) -> None:
    """Print one scenario, profile, controller or model in full."""
    profiles = dict(shipped().files())
    if name in profiles:
        _show_profile(shipped().profile(name))
    elif name in ZOO:
        _show_model(ZOO[name])
    elif name in CONTROLLERS:
        _show_controller(name)
    elif name in scenario_names() or Path(name).suffix in (".yaml", ".yml"):
        path = find_scenario(name)
        data = read_document(path).data
        if isinstance(data, dict) and data.get("kind") == "model":
            _show_model(read_model(path))
        elif isinstance(data, dict) and "kind" in data:
            _show_profile(read_profile(path)[1])
        else:
            text = path.read_text(encoding="utf-8")
            _console().print(Syntax(text, "yaml", background_color="default", word_wrap=True))
    else:
        everything = [*scenario_names(), *profiles, *ZOO, *CONTROLLERS]
        raise _unknown(name, everything, "show")


def _show_profile(profile: Profile) -> None:
    console = _console()
    data = profile.model_dump()
    calibration = data.pop("calibration", None)
    console.print(f"[bold]{profile.name}[/bold]  {profile.kind}: {escape(profile.description)}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("quantity", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("source", overflow="fold")
    for key, value, source in _quantities(data, ""):
        table.add_row(escape(key), value, escape(source))
    console.print(table)
    if calibration is not None:
        _show_calibration(calibration)


def _show_calibration(calibration: dict[str, Any]) -> None:
    """How well each runtime on each kind of processor is known."""
    console = _console()
    console.print(f"\n[bold]calibration[/bold]  {escape(calibration.pop('source'))}")
    console.print("sigma: of ln(measured / predicted) for a model that was not in the fit")
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = (
        (kind, runtime, precision, f"{row['sigma']:.2f}", str(row["rows"]))
        for kind, runtimes in calibration.items()
        for runtime, precisions in runtimes.items()
        for precision, row in precisions.items()
    )
    _fill(table, ("processor", "runtime", "precision", "sigma", "rows of its own"), rows)
    console.print(table)


def _quantities(data: Any, path: str) -> Iterable[tuple[str, str, str]]:
    """Every number of a profile with its source, depth first."""
    if isinstance(data, dict) and "source" in data and "value" in data:
        labels = [str(data[key]) for key in ("model", "precision", "rssi_dbm") if key in data]
        yield " ".join([path, *labels]), f"{data['value']:g}", data["source"]
    elif isinstance(data, dict) and "source" in data and "values" in data:
        values = data["values"]
        shown = f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"
        yield path, f"{shown} in {len(values)}" if len(values) > 1 else shown, data["source"]
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _quantities(value, f"{path}.{key}" if path else key)
    elif isinstance(data, list):
        for value in data:
            yield from _quantities(value, path)


def _show_model(model: ModelCost) -> None:
    console = _console()
    console.print(f"[bold]{model.name}[/bold]  {model.task}")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("input", model.input)
    table.add_row("multiply-accumulates", f"{model.macs:,}")
    table.add_row("parameters", f"{model.parameters:,}")
    if model.published is not None:
        published = model.published
        text = f"{published.macs / 1e6:,g} M, {published.parameters / 1e6:,g} M; {published.source}"
        table.add_row("published", text)
    counts = model.state_counts
    text = f"{counts.conv} CONV, {counts.fc} FC, {counts.rc} RC; {counts.source}"
    table.add_row("AutoScale's counts", text)
    if model.unsupported_on:
        table.add_row("does not run on", ", ".join(sorted(model.unsupported_on)))
    table.add_row("sent / returned", f"{model.input_bytes:,} / {model.output_bytes:,} bytes")
    for precision, accuracy in model.accuracy.items():
        text = f"{accuracy.value:.1%} {accuracy.metric}; {accuracy.source}"
        table.add_row(f"accuracy in {precision}", text)
    table.add_row("source", model.source)
    console.print(table)
    _show_layers(model)


def _show_layers(model: ModelCost) -> None:
    """What the model is made of, by kind of layer."""
    layers = Table(box=None, pad_edge=False, header_style="bold")
    layers.add_column("layers of kind", no_wrap=True)
    for title in ("how many", "M MACs", "M parameters", "M values out"):
        layers.add_column(title, justify="right", no_wrap=True)
    for kind in LAYER_KINDS:
        chosen = [layer for layer in model.layers if layer.kind == kind]
        if chosen:
            sums = [sum(getattr(x, key) for x in chosen) for key in _SHOWN_SUMS]
            layers.add_row(kind, str(len(chosen)), *(f"{total / 1e6:,.2f}" for total in sums))
    _console().print("", layers)


_SHOWN_SUMS = ("macs", "parameters", "outputs")


def _show_controller(name: str) -> None:
    from importlib import import_module
    from inspect import getdoc

    entry = CONTROLLERS[name]
    module, _, class_name = entry.path.partition(":")
    console = _console()
    console.print(f"[bold]{name}[/bold]  slot {entry.slot}, class {entry.path}")
    text = getdoc(getattr(import_module(module), class_name)) or ""
    # Leave the mark-up of the documentation out: :class:`Name` and ``code``.
    plain = re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")
    paragraphs = (" ".join(part.split()) for part in plain.split("\n\n"))
    console.print("\n\n".join(paragraphs), markup=False)


def _scenario_row(name: str) -> tuple[str, str, str]:
    data = read_document(find_scenario(name)).data
    return name, str(len(data.get("jobs", {}))), str(data.get("description", ""))


def _fill(table: Table, header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    for index, title in enumerate(header):
        table.add_column(title, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))


def _console() -> Console:
    return Console(highlight=False)


def _unknown(name: str, known: Iterable[str], what: str) -> ConfigError:
    message = f"nothing of that name; {did_you_mean(name, known)}"
    return ConfigError([Problem(f"edgesim {what}", None, name, message)])
