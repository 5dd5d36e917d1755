"""``edgesim run``: progress while it runs, a closing table when it is over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgesim.cli.evenness import print_evenness
from edgesim.cli.tables import plain_table
from edgesim.core.errors import ConfigError, Problem
from edgesim.results.audit import audit
from edgesim.results.result import Comparison, Result
from edgesim.scenario.load import OVERRIDE_FILE, axes, load_scenario, parse_override
from edgesim.scenario.run import compare, run_loaded

__all__ = ["Output", "next_free", "refuse_repeated", "resume", "run"]

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
    refuse_repeated("-c", [key for key, _ in controllers])
    refuse_repeated("--set", [key for key, _ in overrides])
    loaded = load_scenario(scenario, overrides, dict(controllers))
    folder = next_free(loaded.scenario.name) if out is None else out
    console = Console(highlight=False)
    chosen = {key.rpartition(".")[2] for key, _ in controllers}
    # A controller on the command line, for the slot that is compared, overrides the comparison.
    is_comparison = bool(loaded.scenario.compare) and not chosen & set(loaded.scenario.compare)
    results: Mapping[str, Result]
    if is_comparison:
        with _reporting(console, output) as report:
            results = compare(scenario, overrides=dict(overrides), out=folder, progress=report)
    else:
        # Called by its controller, as in a comparison, if one sits everywhere.
        alone = len(controllers) == 1 and "." not in controllers[0][0]
        name = controllers[0][1] if alone else loaded.scenario.name
        with _reporting(console, output) as report:
            result = run_loaded(loaded, out=folder, progress=lambda share: report(name, share))
        results = {name: result}
    _print_results(console, results, folder, output, is_comparison=is_comparison)
    if output == "text":
        _print_case(console, scenario, loaded.case)
    if check:
        for name, result in results.items():
            for line in audit(result):
                if output == "text":
                    console.print(f"checked {name}: {line}", soft_wrap=True, markup=False)
    return all(result.is_complete for result in results.values())


def resume(folder: Path, output: Output) -> bool:
    """Go on with a run and print what came of it; says whether it came to its end."""
    from edgesim.scenario.resume import resume as go_on

    console = Console(highlight=False)
    with _reporting(console, output) as report:
        found = go_on(folder, progress=report)
    is_comparison = isinstance(found, Comparison)
    results: Mapping[str, Result] = found if isinstance(found, Comparison) else {found.name: found}
    _print_results(console, results, folder, output, is_comparison=is_comparison)
    return all(result.is_complete for result in results.values())


def _print_results(
    console: Console,
    results: Mapping[str, Result],
    folder: Path,
    output: Output,
    *,
    is_comparison: bool,
) -> None:
    if output == "json":
        summaries = {name: dict(result.summary) for name, result in results.items()}
        shown = summaries if is_comparison else next(iter(summaries.values()))
        typer.echo(json.dumps(shown, indent=2, sort_keys=True))
    elif output == "text":
        _print_closing(console, results, folder)


def refuse_repeated(option: str, keys: Sequence[str]) -> None:
    """Refuse a key that an option is given twice for.

    Raises:
        ConfigError: naming the first such key.
    """
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise ConfigError([Problem(OVERRIDE_FILE, None, option, f"{key} is given twice")])


def next_free(name: str) -> Path:
    """Make the next folder of its name that is not there yet; whoever makes it has it."""
    Path("runs").mkdir(exist_ok=True)
    for number in count(1):
        folder = Path("runs") / f"{name}-{number:03d}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError


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
    first = next(iter(results.values()))
    jobs = first.manifest["scenario"]["jobs"]
    kinds = {kind: [k for k, job in jobs.items() if job["kind"] == kind] for kind in _KINDS}
    if kinds["inference"]:
        console.print(_overview(results))
        console.print(f"[dim]{_LEGEND}[/dim]\n")
    for job in kinds["federated"]:
        prefix = f"{job}." if len(kinds["federated"]) > 1 else ""
        console.print(_federated(results, job, prefix))
        console.print(f"[dim]{_FEDERATED_LEGEND}[/dim]\n")
        print_evenness(console, results, job, prefix)
    for name, result in results.items():
        for reasons in _failures(result):
            console.print(f"{name}: {reasons}", markup=False)
    if len(kinds["inference"]) > 1:
        console.print(_by_job(results))
    console.print(f"tables in {folder}", soft_wrap=True, markup=False)


def _print_case(console: Console, scenario: str, case: Mapping[str, str]) -> None:
    """Which case of the scenario's matrix it was, and how to run another."""
    for axis, points in axes(scenario).items():
        if axis in case:
            message = (
                f"{axis}={case[axis]}, one of {len(points)} ({', '.join(points)}): another with "
                f"--set {axis}=NAME, all with edgesim sweep"
            )
            console.print(message, soft_wrap=True, markup=False)


# Title of a column, key of the summary, factor.
_COLUMNS = (
    ("phones\nJ", "energy_j", 1.0),
    ("request\nmJ", "energy_per_request_j", 1e3),
    ("late\n%", "deadline_violation_ratio", 100.0),
    ("poor\n%", "accuracy_violation_ratio", 100.0),
    ("away\n%", "offloaded_ratio", 100.0),
    ("as the\noracle %", "oracle_agreement_within_5pct", 100.0),
    ("failed", "requests_failed", 1.0),
    ("cut off", "requests_unfinished", 1.0),
    ("p50\nms", "latency_p50_s", 1e3),
    ("p99\nms", "latency_p99_s", 1e3),
    ("server\nkJ", "energy_servers_j", 1e-3),
)
_ALWAYS = frozenset(
    {
        "energy_j",
        "energy_per_request_j",
        "deadline_violation_ratio",
        "latency_p50_s",
        "latency_p99_s",
    }
)
_LEGEND = (
    "request: all that arrived; late: after the deadline, or failed; poor: less accurate than "
    "required; away: run elsewhere; as the oracle: in time if that is, for at most 5 % more energy; "
    "cut off: by the end of the run"
)


_KINDS = ("inference", "federated")

_FEDERATED_COLUMNS = (
    ("rounds", "rounds", 1.0),
    ("failed", "rounds_failed", 1.0),
    ("lost", "updates_lost", 1.0),
    ("acc.\n%", "accuracy_final", 100.0),
    ("target\nround", "rounds_to_target", 1.0),
    ("target\ns", "time_to_target_s", 1.0),
    ("local\nJ", "energy_local_to_target_j", 1.0),
    ("global\nJ", "energy_global_to_target_j", 1.0),
    ("ledger\nJ", "energy_ledger_j", 1.0),
    ("wasted\nJ", "energy_wasted_j", 1.0),
)
_ONLY_IF_ANY = frozenset({"rounds_failed", "updates_lost", "energy_wasted_j"})
_FEDERATED_LEGEND = (
    "failed: rounds; lost: updates; target: where it was reached, else (>) the end; local, global: "
    "joules up to there by AutoFL's equations, of participants and everybody; ledger: booked to "
    "participants in all; wasted: on updates that do not count"
)


def _federated(results: Mapping[str, Result], job: str, prefix: str) -> Table:
    """What came of a federated job."""
    columns = [
        (title, key, factor)
        for title, key, factor in _FEDERATED_COLUMNS
        if any(
            result.summary.get(prefix + key)
            if key in _ONLY_IF_ANY
            else result.summary.get(prefix + key) is not None
            for result in results.values()
        )
    ]
    first = next(iter(results.values())).summary
    source = first.get(f"{prefix}accuracy_source")
    how = "nothing was trained" if source == "none" else f"accuracy is {source}"
    table = plain_table(f"Federated job {escape(job)}: {how}", [title for title, _, _ in columns])
    for name, result in results.items():
        shown = escape(name) if result.is_complete else f"{escape(name)} (interrupted)"
        missed = result.summary.get(f"{prefix}target_reached") == 0
        cells = [
            (
                ">"
                if (missed and key.endswith("to_target")) or (missed and "_to_target_" in key)
                else ""
            )
            + _number(result.summary.get(prefix + key), factor)
            for _, key, factor in columns
        ]
        table.add_row(shown, *cells)
    return table


def _overview(results: Mapping[str, Result]) -> Table:
    """Who spent what, and who was late; columns in which nothing happened are left out."""
    columns = [
        (title, key, factor)
        for title, key, factor in _COLUMNS
        if any(
            result.summary.get(key) or (key in _ALWAYS and result.summary.get(key) is not None)
            for result in results.values()
        )
    ]
    table = plain_table("Who spent what, and who was late", [title for title, _, _ in columns])
    for name, result in results.items():
        shown = escape(name) if result.is_complete else f"{escape(name)} (interrupted)"
        cells = (_number(result.summary.get(key), factor) for _, key, factor in columns)
        table.add_row(shown, *cells)
    return table


def _by_job(results: Mapping[str, Result]) -> Table:
    first = next(iter(results.values()))
    described = first.manifest["scenario"]["jobs"]
    jobs = sorted(job for job in described if described[job]["kind"] == "inference")
    if len(jobs) > _MOST_JOBS_ACROSS:
        table = plain_table("By job: millijoules per request", [escape(name) for name in results])
        for job in jobs:
            key = f"{job}.energy_per_request_j"
            cells = (_number(result.summary.get(key), 1e3) for result in results.values())
            table.add_row(escape(job), *cells)
        return table
    titles = [f"{escape(job)}\nmJ, late %" for job in jobs]
    table = plain_table(_BY_JOB, titles)
    for name, result in results.items():
        table.add_row(escape(name), *(_of_job(result, job) for job in jobs))
    return table


_BY_JOB = "By job: millijoules per request, share that was late"
_MOST_JOBS_ACROSS = 4


def _of_job(result: Result, job: str) -> str:
    energy = _number(result.summary.get(f"{job}.energy_per_request_j"), 1e3)
    late = _number(result.summary.get(f"{job}.deadline_violation_ratio"), 100)
    return f"{energy}, {late:>5}"


def _failures(result: Result) -> Iterator[str]:
    """How many requests failed, and how many updates were lost, by reason."""
    for table, what in (("requests", "failed"), ("participants", "updates lost")):
        if table not in result.tables:
            continue
        status = result.arrow(table)["status"].to_pylist()
        lost = [s for s in status if s.startswith("failed:") or s in ("late", "surplus")]
        reasons = Counter(s.removeprefix("failed:") for s in lost)
        if reasons:
            yield ", ".join(f"{n:,} {what}: {why}" for why, n in sorted(reasons.items()))


def _number(value: Any, scale: float) -> str:
    if value is None:
        return "-"
    scaled = value * scale
    if isinstance(value, int) and scale == 1:
        return f"{value:,}"
    return f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:.1f}"
