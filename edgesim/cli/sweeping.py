"""``edgesim sweep``: progress while it runs, paired comparisons when it is over."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from edgesim.cli.running import Output, next_free, refuse_repeated
from edgesim.cli.tables import plain_table
from edgesim.scenario.load import find_scenario, parse_override
from edgesim.sweep.pairs import ALL
from edgesim.sweep.plan import make_plan, parse_seeds, parse_vary
from edgesim.sweep.run import Report, SweepResult, run_plan

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sweep"]


def sweep(
    scenario: str,
    *,
    vary: Sequence[str],
    seeds: str | None,
    controllers: Sequence[tuple[str, str]],
    changes: Sequence[str],
    jobs: int | None,
    engine: str,
    out: Path | None,
    output: Output,
) -> SweepResult:
    """Run a sweep and print what came of it."""
    varied = [parse_vary(text) for text in vary]
    overrides = [parse_override(text) for text in changes]
    refuse_repeated("--vary", [key for key, _ in varied])
    refuse_repeated("-c", [key for key, _ in controllers])
    refuse_repeated("--set", [key for key, _ in overrides])
    plan = make_plan(
        scenario,
        dict(varied),
        parse_seeds(seeds) if seeds is not None else (),
        overrides=overrides,
        controllers=dict(controllers),
    )
    folder = next_free(f"{find_scenario(scenario).stem}-sweep") if out is None else out
    console = Console(highlight=False)
    with _reporting(console, output, len(plan.cells)) as report:
        result = run_plan(plan, folder, jobs=jobs, engine=engine, report=report)
    if output == "json":
        rows = json.loads(result.frame.to_json(orient="records"))
        typer.echo(json.dumps(rows, indent=2))
    elif output == "text":
        _print_closing(console, result)
    return result


@contextmanager
def _reporting(console: Console, output: Output, cells: int) -> Iterator[Report]:
    """A bar with the time left on a terminal, a plain line per cell elsewhere, nothing if unwanted."""
    if output != "text":
        yield lambda name, status: None
        return
    if not console.is_terminal:
        yield lambda name, status: console.print(f"{name}: {status}", markup=False, soft_wrap=True)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("cells", total=cells)

        def advance(name: str, status: str) -> None:
            if name.startswith("training "):
                bar.update(task, description=f"{name} {status}")
            else:
                bar.update(task, advance=1, description=f"{name}: {status}"[-60:])

        yield advance


# Title of a column, key of the summary, factor.
_SHOWN = (
    ("request\nmJ", "energy_per_request_j", 1e3),
    ("late\n%", "deadline_violation_ratio", 100.0),
    ("poor\n%", "accuracy_violation_ratio", 100.0),
    ("away\n%", "offloaded_ratio", 100.0),
    ("as the\noracle %", "oracle_agreement_within_5pct", 100.0),
    ("p99\nms", "latency_p99_s", 1e3),
    ("rounds", "rounds", 1.0),
    ("acc.\n%", "accuracy_final", 100.0),
    ("target\nround", "rounds_to_target", 1.0),
    ("target\ns", "time_to_target_s", 1.0),
    ("global J\nto target", "energy_global_to_target_j", 1.0),
    ("ledger\nJ", "energy_ledger_j", 1.0),
)
# What is compared in pairs: energy, what it is called, and what it must not be bought with.
_PAIRED = (
    ("energy_per_request_j", "energy per request", "deadline_violation_ratio", "late, more"),
    ("energy_global_to_target_j", "global energy to target", "accuracy_final", "accuracy, more"),
    ("energy_ledger_j", "energy of participants", "accuracy_final", "accuracy, more"),
)


def _print_closing(console: Console, result: SweepResult) -> None:
    done = result.frame[result.frame.status == "complete"]
    if result.found:
        console.print(f"{result.found} of {len(result.frame)} cells were there already")
    if len(done) and result.dimensions:
        first = next(iter(result.dimensions))
        console.print(_overview(done, first, result))
        seeds = result.pairs.seeds.max() if len(result.pairs) else 0
        over = (
            f"95 % intervals over {seeds} seeds of paired differences"
            if seeds > 1
            else "one seed: no intervals; more with --seeds 0-4"
        )
        headline = next((each for each in _PAIRED if each[0] in done), None)
        if len(result.pairs) and headline is not None:
            console.print(_paired(first, result, headline))
            console.print(f"[dim]{headline[1]}, geometric mean of the ratios; {over}[/dim]\n")
        for name, points in list(result.dimensions.items())[1:]:
            if len(points) > 1 and len(result.pairs) and headline is not None:
                console.print(_by_point(result, first, name, headline[0]))
    _print_failures(console, result.frame)
    console.print(f"tables in {result.folder}", soft_wrap=True, markup=False)


def _overview(done: pd.DataFrame, first: str, result: SweepResult) -> Table:
    shown = [
        (title, key, factor)
        for title, key, factor in _SHOWN
        if key in done and done[key].notna().any()
    ]
    titles = [title for title, _, _ in shown]
    table = plain_table(f"Means by {escape(first)}", titles)
    for value in result.dimensions[first]:
        rows = done[done[first] == value]
        if not len(rows):
            continue
        table.add_row(
            escape(value), *(_number(rows[key].mean() * factor) for _, key, factor in shown)
        )
    return table


def _paired(first: str, result: SweepResult, headline: tuple[str, str, str, str]) -> Table:
    base, *others = result.dimensions[first]
    table = plain_table(
        f"Each against {escape(base)}, in pairs",
        ["times less\nenergy", "95 %\ninterval", f"{headline[3]}\n% points", "95 %\ninterval"],
    )
    for value in others:
        energy = _interval(result, first, value, headline[0], "ratio", 1.0)
        late = _interval(result, first, value, headline[2], "difference", 100.0)
        table.add_row(escape(value), *energy, *late)
    return table


def _interval(
    result: SweepResult, first: str, value: str, quantity: str, column: str, factor: float
) -> tuple[str, str]:
    """A paired number over all further dimensions, and its interval."""
    pairs = result.pairs
    found = pairs[(pairs.quantity == quantity) & (pairs[first] == value)]
    for name in list(result.dimensions)[1:]:
        found = found[found[name] == ALL]
    if not len(found):
        return "-", "-"
    row = found.iloc[0]
    ends = [_number(row[f"{column}_{end}"] * factor, 2) for end in ("low", "high")]
    return _number(row[column] * factor, 2), "-" if "-" in ends else " to ".join(ends)


def _by_point(result: SweepResult, first: str, name: str, energy: str) -> Table:
    """How many times less energy per point of a further dimension."""
    others = result.dimensions[first][1:]
    base = result.dimensions[first][0]
    title = f"Energy of {escape(base)} over theirs, by {escape(name)} (geometric mean)"
    table = plain_table(title, [escape(value) for value in others])
    pairs = result.pairs[result.pairs.quantity == energy]
    for further in list(result.dimensions)[1:]:
        if further != name:
            pairs = pairs[pairs[further] == ALL]
    for point in (*result.dimensions[name], ALL):
        rows = pairs[pairs[name] == point].set_index(first).ratio
        table.add_row(escape(point), *(_number(rows.get(value), 2) for value in others))
    return table


def _print_failures(console: Console, frame: pd.DataFrame) -> None:
    for row in frame[frame.status != "complete"].to_dict("records"):
        error = f": {row['error']}" if row["error"] else ""
        console.print(f"{row['folder']}: {row['status']}{error}", markup=False, soft_wrap=True)


def _number(value: Any, digits: int = 1) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}f}"
