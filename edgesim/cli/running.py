"""``edgesim run``: progress while it runs, a closing table when it is over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgesim.results.audit import audit
from edgesim.results.result import Result
from edgesim.scenario.load import load_scenario, parse_override
from edgesim.scenario.run import compare, run_loaded

__all__ = ["run"]

Output = Literal["text", "quiet", "json"]


def run(
    scenario: str,
    *,
    controllers: Sequence[tuple[str, str]],
    seed: int | None,
    changes: Sequence[str],
    out: Path | None,
    check: bool,
    output: Output,
) -> bool:
    """Run a scenario and print what came of it; says whether it came to its end."""
    overrides = [parse_override(text) for text in changes]
    if seed is not None:
        overrides.append(("seed", seed))
    loaded = load_scenario(scenario, overrides, dict(controllers))
    folder = _next_free(loaded.scenario.name) if out is None else out
    console = Console(highlight=False)
    chosen = {key.rpartition(".")[2] for key, _ in controllers}
    # A controller on the command line, for the slot that is compared, overrides the comparison.
    is_comparison = bool(loaded.scenario.compare) and not chosen & set(loaded.scenario.compare)
    results: Mapping[str, Result]
    if is_comparison:
        with _reporting(console, output) as report:
            results = compare(scenario, overrides=dict(overrides), out=folder, progress=report)
    else:
        name = ", ".join(f"{key}={value}" for key, value in controllers) or loaded.scenario.name
        with _reporting(console, output) as report:
            result = run_loaded(loaded, out=folder, progress=lambda share: report(name, share))
        results = {name: result}
    if output == "json":
        summaries = {name: dict(result.summary) for name, result in results.items()}
        shown = summaries if is_comparison else next(iter(summaries.values()))
        typer.echo(json.dumps(shown, indent=2, sort_keys=True))
    elif output == "text":
        _print_closing(console, results, folder)
    if check:
        for name, result in results.items():
            for line in audit(result):
                if output == "text":
                    console.print(f"checked {name}: {line}", soft_wrap=True, markup=False)
    return all(result.is_complete for result in results.values())


def _next_free(name: str) -> Path:
    number = 1
    while (folder := Path("runs") / f"{name}-{number:03d}").exists():
        number += 1
    return folder


@contextmanager
def _reporting(console: Console, output: Output) -> Iterator[Callable[[str, float], None]]:
    """A progress bar on a terminal, a plain line per run elsewhere, nothing if not wanted."""
    if output != "text":
        yield lambda name, share: None
        return
    if not console.is_terminal:

        def line(name: str, share: float) -> None:
            if share >= 1.0:
                console.print(f"{name}: done", markup=False)

        yield line
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, Any] = {}
    with bar:

        def advance(name: str, share: float) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=1.0)
            bar.update(tasks[name], completed=share)

        yield advance


def _print_closing(console: Console, results: Mapping[str, Result], folder: Path) -> None:
    console.print(_overview(results))
    first = next(iter(results.values()))
    if len(first.manifest["scenario"]["jobs"]) > 1:
        console.print(_by_job(results))
    console.print(f"tables in {folder}", soft_wrap=True, markup=False)


def _overview(results: Mapping[str, Result]) -> Table:
    table = Table(title="Who spent what, and who was late", title_justify="left")
    table.add_column("", no_wrap=True)
    for title in (
        "phones J",
        "mJ/request",
        "late %",
        "too inaccurate %",
        "failed",
        "p50 ms",
        "p99 ms",
        "servers J",
    ):
        table.add_column(title, justify="right")
    for name, result in results.items():
        s = result.summary
        table.add_row(
            name if result.is_complete else f"{name} (interrupted)",
            _number(s["energy_j"], 1),
            _number(s["energy_per_request_j"], 1e3),
            _number(s["deadline_violation_ratio"], 100),
            _number(s["accuracy_violation_ratio"], 100),
            str(s["requests_failed"]),
            _number(s["latency_p50_s"], 1e3),
            _number(s["latency_p99_s"], 1e3),
            _number(s["energy_servers_j"], 1),
        )
    return table


def _by_job(results: Mapping[str, Result]) -> Table:
    first = next(iter(results.values()))
    jobs = sorted(first.manifest["scenario"]["jobs"])
    table = Table(title="By job: mJ/request, late %", title_justify="left")
    table.add_column("", no_wrap=True)
    for job in jobs:
        table.add_column(job, justify="right")
    for name, result in results.items():
        cells = []
        for job in jobs:
            energy = _number(result.summary.get(f"{job}.energy_per_request_j"), 1e3)
            late = _number(result.summary.get(f"{job}.deadline_violation_ratio"), 100)
            cells.append(f"{energy}, {late}")
        table.add_row(name, *cells)
    return table


def _number(value: Any, scale: float) -> str:
    if value is None:
        return "-"
    scaled = value * scale
    return f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.1f}"
