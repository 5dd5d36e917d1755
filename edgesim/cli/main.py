"""``edgesim``: run, compare and check scenarios; list and show what there is.

Exit codes: 0 all is well; 1 the run failed; 2 the input is not in order; 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from edgesim.core.errors import ConfigError, EdgesimError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ScenarioArgument = Annotated[
    str, typer.Argument(metavar="SCENARIO", help="A file, or the name of a packaged scenario.")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"edgesim {version('edgesim')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """A discrete-event edge-cloud simulator: every joule booked."""


@app.command()
def run(
    scenario: ScenarioArgument,
    controller: Annotated[
        list[str] | None,
        typer.Option(
            "-c", "--controller", metavar="[JOB.]SLOT=NAME", help="Who sits in a slot; repeatable."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the scenario's.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Any other key; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to make. Default: runs/SCENARIO-NUMBER.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Audit the tables afterwards; print what was checked.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")
    ] = False,
) -> None:
    """Run a scenario; with 'compare' in it, once per controller, side by side."""
    from edgesim.cli import running

    complete = running.run(
        scenario,
        controllers=[_pair(text) for text in controller or []],
        seed=seed,
        changes=changes or [],
        out=out,
        check=check,
        output="json" if as_json else "quiet" if quiet else "text",
    )
    if not complete:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130)


@app.command()
def resume(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="Of a run or comparison that was cut short.")
    ],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, nothing else.")
    ] = False,
) -> None:
    """Go on with a run of federated jobs that was cut short."""
    from edgesim.cli import running

    complete = running.resume(folder, "json" if as_json else "quiet" if quiet else "text")
    if not complete:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130)


@app.command("fit-curve")
def fit_curve(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR...", help="Runs that were really trained.")
    ],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("curve.yaml"),
    job: Annotated[
        str | None, typer.Option(help="The federated job, if runs have several.")
    ] = None,
) -> None:
    """Fit a learning curve to recorded runs, for jobs with mode: fitted."""
    from edgesim.cli.fitting import fit

    fit(folders, out, job)


@app.command()
def sweep(
    scenario: Annotated[str, typer.Argument(help="A file, or the name of a shipped scenario.")],
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2,...",
            help="A slot and controllers, an axis of the scenario's matrix, or any key; repeatable. "
            "Values of the first are compared.",
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(help="Such as 0-4 or 1,3,7. Default: the scenario's own.")
    ] = None,
    controller: Annotated[
        list[str] | None,
        typer.Option("-c", "--controller", metavar="[JOB.]SLOT=NAME", help="Who sits where."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Any other key; repeatable."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at once. Default: one per core.")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="loky, multiprocessing, threading, sequential or ray.")
    ] = "loky",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder; what an earlier sweep has finished there is not run again. "
            "Default: runs/SCENARIO-sweep-NUMBER."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the cells as JSON, nothing else.")
    ] = False,
) -> None:
    """Run a scenario for every combination of values and seeds; compare in pairs."""
    from edgesim.cli import sweeping

    result = sweeping.sweep(
        scenario,
        vary=vary or [],
        seeds=seeds,
        controllers=[_pair(text) for text in controller or []],
        changes=changes or [],
        jobs=jobs,
        engine=engine,
        out=out,
        output="json" if as_json else "quiet" if quiet else "text",
    )
    if result.is_interrupted:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130)
    if not result.is_complete:
        raise typer.Exit(1)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Scenarios or profiles.")],
) -> None:
    """Check files; report every problem of every file at once."""
    from edgesim.cli.catalogue import validate_file

    problems = []
    for file in files:
        try:
            what = validate_file(file)
        except ConfigError as error:
            problems += error.problems
        else:
            typer.echo(f"{file}: a {what}, in order")
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="scenarios|profiles|controllers|models|datasets|partitions",
            help="What to list.",
        ),
    ],
) -> None:
    """List what there is."""
    from edgesim.cli.catalogue import print_list

    print_list(what)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(help="A scenario, profile, controller or model; or a profile's file.")
    ],
) -> None:
    """Show one thing in full, with the source of every number."""
    from edgesim.cli.catalogue import print_item

    print_item(name)


@app.command("import-phone")
def import_phone(
    file: Annotated[
        Path, typer.Argument(metavar="POWER_PROFILE.XML", help="An Android power profile.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Of the phone's profile. Default: after the file.")
    ] = None,
    soc: Annotated[
        str | None,
        typer.Option(help="Its chip; one that is not in the catalogue is drafted too."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the drafts into this folder, not to the screen.")
    ] = None,
) -> None:
    """Draft profiles of a phone and its chip; what the file does not say is left for you."""
    from edgesim.cli import importing

    importing.import_phone(file, name, soc, out)


@app.command()
def schema(
    what: Annotated[str, typer.Argument(metavar="scenario|profile", help="Of what.")],
) -> None:
    """Print the JSON schema of a file, for editors."""
    from edgesim.cli.catalogue import json_schema

    typer.echo(json.dumps(json_schema(what), indent=2))


def _pair(text: str) -> tuple[str, str]:
    from edgesim.core.errors import Problem

    key, equals, name = text.partition("=")
    if not (key and equals and name):
        message = f"{text!r} is not of the form [JOB.]SLOT=NAME, such as offloading=cloud"
        raise ConfigError([Problem("command line", None, "-c", message)])
    return key, name


def _guard(command: Callable[[], Any]) -> int:
    """Run a command; turn every error a user can cause into a message and an exit code."""
    try:
        command()
    except ConfigError as error:
        _complain(error)
        return 2
    except EdgesimError as error:
        _complain(error)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        sys.stderr.close()
        return 1
    except OSError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    return 0


def _complain(error: EdgesimError) -> None:
    for line in str(error).splitlines():
        typer.echo(f"error: {line}", err=True)


def main() -> NoReturn:
    """The entry point of the console script."""
    sys.exit(_guard(app))
