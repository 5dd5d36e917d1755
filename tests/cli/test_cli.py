import json
import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import edgesim
from edgesim.cli import running
from edgesim.cli.main import _guard, app
from edgesim.controllers.offloading import EdgeCpu
from edgesim.controllers.registry import CONTROLLERS
from edgesim.core.recorder import Recorder
from edgesim.core.tables import TABLES
from edgesim.hardware.catalogue import catalogue_folder
from edgesim.learning.catalogue import DATASETS, MODELS, PARTITIONS
from edgesim.nn.zoo import ZOO
from edgesim.results.result import load_result
from edgesim.scenario.load import find_scenario, scenario_names

SHORT = ("--set", "duration_s=20")
FEDERATED = ("evaluations", "participants", "rounds")
RECORDED = sorted(set(TABLES) - {"forecasts", *FEDERATED})
FILES = ["run.json", "summary.json", *(f"{name}.parquet" for name in RECORDED)]
PROFILES = sorted(file.stem for file in catalogue_folder("device_profiles").glob("*.yaml"))


class Ran:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def edgesim_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> "Command":
    return Command(capsys, monkeypatch)


class Command:
    """The command ``edgesim``, called in this process as its entry point calls it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str | Path) -> Ran:
        self._monkeypatch.setattr(sys, "argv", ["edgesim", *map(str, arguments)])
        self._capsys.readouterr()
        try:
            code = _guard(app)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        printed = self._capsys.readouterr()
        return Ran(code, printed.out, printed.err)


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a user calls it."""
    return subprocess.run(
        [sys.executable, "-c", "from edgesim.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- help ----------------------------------------------------------------------------------------


def test_help_names_every_command(edgesim_command: Command) -> None:
    ran = edgesim_command("--help")
    assert ran.code == 0
    for command in ("run", "validate", "list", "show", "schema"):
        assert re.search(rf"\b{command}\b", ran.out)


def test_no_arguments_at_all_give_help_too(edgesim_command: Command) -> None:
    ran = edgesim_command()
    assert "Usage" in ran.out + ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("command", ["run", "validate", "list", "show", "schema"])
def test_every_command_has_help(command: str, edgesim_command: Command) -> None:
    ran = edgesim_command(command, "--help")
    assert ran.code == 0
    assert "Usage" in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("rnu",),
        ("run",),
        ("run", "quickstart", "--sed", "1"),
        ("run", "quickstart", "--seed", "x"),
        ("list",),
        ("validate",),
    ],
    ids=" ".join,
)
def test_a_command_line_that_is_not_in_order_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = in_a_process(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


# --- run -----------------------------------------------------------------------------------------


def test_run_compares_the_controllers_of_quickstart(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "--out", "out")
    assert ran.code == 0
    assert ran.err == ""
    names = ["edge_cpu", "edge_best", "cloud", "random", "oracle"]
    assert all(f"{name}: done" in ran.out for name in names)
    assert "tables in out" in ran.out
    cells = Path("out", "cells")
    assert sorted(path.name for path in cells.iterdir()) == sorted(
        f"offloading={name}" for name in names
    )
    for cell in cells.iterdir():
        assert sorted(contents(cell)) == sorted(FILES)
        assert load_result(cell).is_complete


def test_run_prints_a_line_per_controller_and_one_per_job(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "--out", "out")
    result = load_result(Path("out", "cells", "offloading=cloud"))
    (cells, _) = (line.split() for line in ran.out.splitlines() if line.startswith(" cloud "))
    assert cells[1] == f"{result.summary['energy_j']:.1f}"
    assert cells[-1] == f"{result.summary['energy_servers_j'] / 1e3:.1f}"
    for job in ("camera", "photo_tags", "shelf_scan", "assistant"):
        assert job in ran.out


def test_a_controller_on_the_command_line_takes_the_place_of_the_comparison(
    edgesim_command: Command,
) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "-c", "offloading=cloud", "--out", "out")
    assert ran.code == 0
    assert sorted(contents(Path("out"))) == sorted(FILES)
    result = load_result("out")
    assert set(result.decisions.controller) == {"cloud"}
    assert ran.out.startswith("cloud: done\n")


def test_a_controller_can_be_chosen_for_one_job(edgesim_command: Command) -> None:
    ran = edgesim_command(
        "run", "quickstart", *SHORT, "--out", "out",
        "-c", "offloading=edge_cpu", "-c", "camera.offloading=edge_best",
    )  # fmt: skip
    assert ran.code == 0
    decisions = load_result("out").decisions
    by_job = decisions.groupby("job").controller.unique().map(list).to_dict()
    assert by_job == {
        "assistant": ["edge_cpu"],
        "camera": ["edge_best"],
        "photo_tags": ["edge_cpu"],
        "shelf_scan": ["edge_cpu"],
    }


def test_a_controller_for_one_job_alone_is_not_silently_lost_in_the_comparison(
    edgesim_command: Command,
) -> None:
    # The other jobs have nobody but the comparison: run the comparison, or say what is missing.
    ran = edgesim_command(
        "run", "quickstart", *SHORT, "--out", "out", "-c", "camera.offloading=edge_best"
    )
    if ran.code == 0:
        for cell in Path("out", "cells").iterdir():
            manifest = load_result(cell).manifest
            assert manifest["controllers"]["camera"]["offloading"] == "edge_best"
    else:
        assert ran.code == 2
        assert "nobody decides" in ran.err
        assert not Path("out").exists()


def test_the_seed_can_be_chosen(edgesim_command: Command) -> None:
    chosen = ("-c", "offloading=cloud", "--quiet")
    for seed in ("3", "4"):
        ran = edgesim_command(
            "run", "quickstart", *SHORT, *chosen, "--seed", seed, "--out", f"out{seed}"
        )
        assert ran.code == 0
    three, four = load_result("out3"), load_result("out4")
    assert (three.summary["seed"], four.summary["seed"]) == (3, 4)
    assert three.requests.time_s.tolist() != four.requests.time_s.tolist()


def test_any_key_can_be_set(edgesim_command: Command) -> None:
    ran = edgesim_command(
        "run", "quickstart", *SHORT, "-c", "offloading=cloud", "--out", "out",
        "--set", "phones.mi_8_pro.charge=0.25", "--set", "jobs.camera.deadline_ms=1e3",
    )  # fmt: skip
    assert ran.code == 0
    result = load_result("out")
    start = result.devices.set_index("device").charge_start
    assert start.dropna().to_dict() == {"galaxy_s10e": 0.8, "mi_8_pro": 0.25, "moto_x_force": 0.8}
    assert set(result.requests[result.requests.job == "camera"].deadline_s) == {1.0}
    assert result.summary["simulated_s"] == 20.0


def test_json_is_alone_on_standard_output(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "--json", "--check", "--out", "out")
    assert ran.code == 0
    assert ran.err == ""
    printed = json.loads(ran.out)
    assert sorted(printed) == ["cloud", "edge_best", "edge_cpu", "oracle", "random"]
    for name, summary in printed.items():
        assert summary == load_result(Path("out", "cells", f"offloading={name}")).summary


def test_json_of_a_single_run_is_its_summary(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "--json", "-c", "offloading=cloud")
    assert json.loads(ran.out) == json.loads(Path("runs/quickstart-001/summary.json").read_text())


def test_json_of_a_comparison_of_one_has_the_form_of_a_comparison(
    edgesim_command: Command,
) -> None:
    one = "compare={offloading: [cloud]}"
    ran = edgesim_command("run", "quickstart", *SHORT, "--json", "--set", one)
    assert list(json.loads(ran.out)) == ["cloud"]


def test_quiet_prints_nothing_at_all(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "--quiet", "--check", "--out", "out")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert Path("out", "cells").is_dir()


def test_quiet_still_prints_errors(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "qickstart", "--quiet")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'quickstart'" in ran.err


def test_check_prints_what_was_checked(edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *SHORT, "--check", "--out", "out")
    assert ran.code == 0
    lines = [line for line in ran.out.splitlines() if line.startswith("checked ")]
    assert len(lines) == 5 * 4
    assert "checked cloud: energy booked equals energy drawn on 4 devices" in lines


def test_without_out_each_run_has_the_next_free_folder(edgesim_command: Command) -> None:
    for _ in range(2):
        edgesim_command("run", "quickstart", *SHORT, "-c", "offloading=cloud", "--quiet")
    assert sorted(path.name for path in Path("runs").iterdir()) == [
        "quickstart-001",
        "quickstart-002",
    ]
    assert load_result("runs/quickstart-002").is_complete


@pytest.mark.parametrize("arguments", [(), ("-c", "offloading=cloud")], ids=["compare", "one"])
def test_a_folder_in_use_is_refused_and_not_touched(
    arguments: tuple[str, ...], edgesim_command: Command
) -> None:
    Path("out").mkdir()
    Path("out", "notes.txt").write_text("mine")
    before = contents(Path("out"))
    ran = edgesim_command("run", "quickstart", *SHORT, *arguments, "--out", "out")
    assert ran.code in (1, 2)
    assert ran.out == ""
    assert ran.err.startswith("error: out is in use already")
    assert contents(Path("out")) == before


def test_a_folder_may_have_brackets_in_its_name(edgesim_command: Command) -> None:
    ran = edgesim_command(
        "run", "quickstart", *SHORT, "-c", "offloading=cloud", "--out", "a [bold] and [/b]"
    )
    assert ran.code == 0
    assert "tables in a [bold] and [/b]" in ran.out


def test_the_same_command_gives_the_same_bytes(edgesim_command: Command) -> None:
    for out in ("one", "two"):
        edgesim_command("run", "quickstart", *SHORT, "-c", "offloading=random", "--out", out)
    one, two = contents(Path("one")), contents(Path("two"))
    assert {name for name in one if one[name] != two[name]} == {"run.json"}  # its wall seconds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ("qickstart",),
            "error: qickstart: no such file, and no such scenario ships with edgesim; "
            "did you mean 'quickstart'?",
            id="scenario",
        ),
        pytest.param(
            ("quickstart", "-c", "offloading=clod"),
            "error: command line: controllers.offloading: there is no controller 'clod' for slot "
            "'offloading'; did you mean 'cloud'?",
            id="controller",
        ),
        pytest.param(
            ("quickstart", "-c", "cloud"),
            "error: command line: -c: 'cloud' is not of the form [JOB.]SLOT=NAME",
            id="form of a controller",
        ),
        pytest.param(
            ("quickstart", "--set", "duration_s"),
            "error: command line: --set: 'duration_s' is not of the form path.to.key=value",
            id="form of a key",
        ),
        pytest.param(
            ("quickstart", "--set", "duration=5"),
            "error: command line: duration: unknown key; did you mean 'duration_s'?",
            id="key",
        ),
        pytest.param(
            ("quickstart", "--seed", "-1"),
            "error: command line: seed: it should be greater than or equal to 0; found -1",
            id="seed",
        ),
        pytest.param(("quickstart", "--set", "a=[1"), "error: command line", id="yaml"),
        pytest.param(
            ("nowhere.yaml",),
            "error: nowhere.yaml: cannot be read: No such file or directory",
            id="file",
        ),
    ],
)
def test_a_run_that_is_not_in_order_is_refused_before_anything_is_made(
    arguments: tuple[str, ...], message: str, edgesim_command: Command, tmp_path: Path
) -> None:
    ran = edgesim_command("run", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_slot_on_the_command_line_is_told_with_the_nearest_one(
    edgesim_command: Command,
) -> None:
    ran = edgesim_command("run", "quickstart", "-c", "ofloading=cloud")
    assert ran.code == 2
    assert "did you mean 'offloading'" in ran.err
    assert "no controller 'cloud'" not in ran.err


def test_an_unknown_job_on_the_command_line_is_told_with_the_nearest_one(
    edgesim_command: Command,
) -> None:
    ran = edgesim_command("run", "quickstart", "-c", "camrea.offloading=cloud")
    assert ran.code == 2
    assert "did you mean 'camera'" in ran.err


# --- a run that does not come to its end ---------------------------------------------------------


def interrupt_halfway(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Press Ctrl-C, as it were, in the middle of the run that is reported under this name."""
    reporting = running._reporting

    def interrupting(*arguments: object) -> object:
        report = reporting(*arguments).__enter__()  # type: ignore[arg-type]

        class Manager:
            def __enter__(self) -> object:
                return self.advance

            def __exit__(self, *_: object) -> None:
                pass

            def advance(self, running_name: str, share: float) -> None:
                report(running_name, share)
                if running_name == name and share >= 0.5:
                    raise KeyboardInterrupt

        return Manager()

    monkeypatch.setattr(running, "_reporting", interrupting)


def test_an_interrupted_run_exits_with_130_and_leaves_readable_tables(
    edgesim_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_halfway(monkeypatch, "cloud")
    ran = edgesim_command("run", "quickstart", *SHORT, "-c", "offloading=cloud", "--out", "out")
    assert ran.code == 130
    assert ran.err == "interrupted\n"
    assert "(interrupted)" in ran.out
    result = load_result("out")
    assert result.manifest["status"] == "interrupted"
    assert result.summary["simulated_s"] == 10.0
    assert result.tables == RECORDED
    assert len(result.requests) == result.summary["requests"] > 0


def test_an_interrupted_comparison_exits_with_130_and_keeps_the_runs_before(
    edgesim_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_halfway(monkeypatch, "edge_best")
    ran = edgesim_command("run", "quickstart", *SHORT, "--out", "out")
    assert ran.code == 130
    cells = Path("out", "cells")
    assert sorted(path.name for path in cells.iterdir()) == [
        "offloading=edge_best",
        "offloading=edge_cpu",
    ]
    assert load_result(cells / "offloading=edge_cpu").is_complete
    assert not load_result(cells / "offloading=edge_best").is_complete


def test_a_controller_that_fails_exits_with_1_and_leaves_what_happened_before(
    edgesim_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = EdgeCpu.decide

    def failing(self: EdgeCpu, observation: object) -> object:
        if observation.time_s > 10:  # type: ignore[attr-defined]
            raise RuntimeError("lost my way")
        return decide(self, observation)  # type: ignore[arg-type]

    monkeypatch.setattr(EdgeCpu, "decide", failing)
    ran = edgesim_command("run", "quickstart", *SHORT, "-c", "offloading=edge_cpu", "--out", "out")
    assert (ran.code, "Traceback" in ran.err) == (1, False)
    assert ran.err.startswith("error: controller 'edge_cpu' in slot 'offloading' of job ")
    assert "RuntimeError: lost my way" in ran.err
    result = load_result("out")
    assert result.manifest["status"] == "interrupted"
    assert "lost my way" in result.manifest["error"]
    *before, last = result.requests.itertuples()
    assert max(row.time_s for row in before) <= 10 < last.time_s
    assert (last.status, last.energy_j) == ("unfinished", 0.0)
    assert result.devices.energy_drawn_j.sum() > 0


def test_a_disk_that_is_full_exits_with_1_and_an_error(
    edgesim_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Recorder) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Recorder, "finish", full)
    ran = edgesim_command("run", "quickstart", *SHORT, "-c", "offloading=cloud", "--out", "out")
    assert ran.code == 1
    assert "No space left on device" in ran.err
    assert ran.err.startswith("error: ")


# --- validate ------------------------------------------------------------------------------------


def test_validate_tells_of_each_file_what_it_is(edgesim_command: Command) -> None:
    scenario = find_scenario("quickstart")
    profiles = sorted(catalogue_folder("device_profiles").glob("*.yaml"))
    ran = edgesim_command("validate", scenario, *profiles)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == f"{scenario}: a scenario, in order"
    assert len(lines) == 1 + len(profiles)
    assert all(
        re.search(r": a (phone|soc|cell|app|server) profile, in order$", line) for line in lines[1:]
    )


def test_validate_takes_the_name_of_a_packaged_scenario(edgesim_command: Command) -> None:
    ran = edgesim_command("validate", "quickstart")
    assert (ran.code, ran.out) == (0, "quickstart: a scenario, in order\n")


def test_validate_tells_every_problem_of_every_file(edgesim_command: Command) -> None:
    text = find_scenario("quickstart").read_text(encoding="utf-8")
    Path("one.yaml").write_text(text.replace("seed: 1", "sead: 1").replace("600", "-600"))
    Path("two.yaml").write_text("kind: toaster\n")
    Path("three.yaml").write_text(text)
    Path("four.yaml").write_text("a: [\n")
    ran = edgesim_command("validate", "one.yaml", "two.yaml", "three.yaml", "four.yaml", "5.yaml")
    assert ran.code == 2
    assert ran.out == "three.yaml: a scenario, in order\n"
    places = [line.split(": ")[1:3] for line in ran.err.splitlines()]
    assert [place for place, _ in places] == [
        "5.yaml",
        "four.yaml:2",
        "one.yaml:8",
        "one.yaml:9",
        "two.yaml:1",
    ]
    assert [key for place, key in places if place.startswith("one")] == ["sead", "duration_s"]


# --- list, show, schema --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("scenarios", scenario_names()),
        ("profiles", PROFILES),
        ("controllers", list(CONTROLLERS)),
        ("models", [*ZOO, *MODELS]),
        ("datasets", list(DATASETS)),
        ("partitions", list(PARTITIONS)),
    ],
)
def test_list_names_everything_there_is(
    what: str, names: list[str], edgesim_command: Command
) -> None:
    ran = edgesim_command("list", what)
    assert (ran.code, ran.err) == (0, "")
    first = [line.split()[0] for line in ran.out.splitlines() if not line.startswith(" ")]
    assert first[0] == "name"
    assert sorted(first[1:]) == sorted(names)


def test_list_of_something_else_is_refused_with_what_can_be_listed(
    edgesim_command: Command,
) -> None:
    ran = edgesim_command("list", "controler")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'controllers'" in ran.err
    assert "controllers, datasets, models, partitions, profiles, scenarios" in ran.err


@pytest.mark.parametrize(
    "name",
    [*scenario_names(), *PROFILES, *CONTROLLERS, *ZOO, *MODELS, *DATASETS, *PARTITIONS],
)
def test_everything_that_is_listed_can_be_shown(name: str, edgesim_command: Command) -> None:
    ran = edgesim_command("show", name)
    assert (ran.code, ran.err) == (0, "")
    assert name in ran.out
    assert len(ran.out.splitlines()) >= 2


def test_a_shown_profile_has_a_source_for_every_number(edgesim_command: Command) -> None:
    ran = edgesim_command("show", "mi_8_pro")
    assert re.search(r"battery\.capacity_mah +3000 +\S", ran.out)
    assert re.search(r"wifi\.tail_ms +238\.1 +\S", ran.out)
    assert re.search(r"transmit_w -80\S* +0\.7177 +derived", ran.out)


def test_a_shown_scenario_is_its_file(edgesim_command: Command) -> None:
    ran = edgesim_command("show", "quickstart")
    text = find_scenario("quickstart").read_text(encoding="utf-8")
    assert [line.rstrip() for line in ran.out.splitlines() if line.strip()] == [
        line.rstrip() for line in text.splitlines() if line.strip()
    ]


def test_a_file_can_be_shown(edgesim_command: Command) -> None:
    profile = catalogue_folder("device_profiles") / "mi_8_pro.yaml"
    assert edgesim_command("show", profile).out == edgesim_command("show", "mi_8_pro").out
    Path("mine.yaml").write_text("name: mine\nduration_s: 5\n")
    assert "duration_s: 5" in edgesim_command("show", "mine.yaml").out


def test_brackets_in_a_users_own_texts_are_shown_as_they_are(edgesim_command: Command) -> None:
    text = (catalogue_folder("device_profiles") / "mi_8_pro.yaml").read_text(encoding="utf-8")
    text = text.replace("name: mi_8_pro", "name: mine")
    text = re.sub(r"description: .*", 'description: "mine [bold] and [/red]"', text)
    text = text.replace('source: "assumed: usual', 'source: "[3] and [/bold] assumed: usual')
    Path("mine.yaml").write_text(text, encoding="utf-8")
    ran = edgesim_command("show", "mine.yaml")
    assert ran.code == 0
    assert "mine [bold] and [/red]" in ran.out
    assert "[3] and [/bold] assumed" in ran.out


@pytest.mark.parametrize("name", ["quikstart", "mi_8_por", "clod", "mobilenetv1"])
def test_an_unknown_name_cannot_be_shown_and_the_nearest_one_is_told(
    name: str, edgesim_command: Command
) -> None:
    ran = edgesim_command("show", name)
    assert (ran.code, ran.out) == (2, "")
    assert re.search(r"did you mean '(quickstart|mi_8_pro|cloud|mobilenet_v1)'", ran.err)


@pytest.mark.parametrize("what", ["scenario", "profile"])
def test_a_schema_is_json_and_names_the_keys(what: str, edgesim_command: Command) -> None:
    ran = edgesim_command("schema", what)
    assert (ran.code, ran.err) == (0, "")
    schema = json.loads(ran.out)
    text = json.dumps(schema)
    expected = {
        "scenario": ["duration_s", "rssi_dbm", "rate_per_s", "Simulated seconds."],
        "profile": ["capacity_mah", "latency_ms", "tail_w"],
    }
    assert all(word in text for word in expected[what])


def test_the_schema_of_a_scenario_allows_what_a_scenario_may_say(
    edgesim_command: Command,
) -> None:
    schema = json.loads(edgesim_command("schema", "scenario").out)
    assert schema["required"] == ["name", "duration_s", "phones", "jobs"]
    # A bare number stands for a constant signal; an editor must not underline it.
    options = schema["$defs"]["PhoneGroupSpec"]["properties"]["rssi_dbm"]["anyOf"]
    assert any("number" in json.dumps(option.get("type", "")) for option in options)


def test_a_schema_of_something_else_is_refused(edgesim_command: Command) -> None:
    ran = edgesim_command("schema", "scenarios")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'scenario'" in ran.err


# --- what is imported, and pipes -----------------------------------------------------------------

HEAVY = {"torch", "pandas", "matplotlib", "gymnasium", "sklearn", "scipy", "pyarrow"}


@pytest.mark.parametrize(
    "code",
    [
        "import edgesim",
        "import edgesim; dir(edgesim); edgesim.__version__",
        "from edgesim.cli.main import app\ntry:\n    app(['--help'])\nexcept SystemExit: pass",
        "from edgesim.cli.main import app\ntry:\n    app(['run', '--help'])\nexcept SystemExit: pass",
    ],
    ids=["import", "dir", "help", "run help"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    loaded = "import sys; print('loaded', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{loaded}"], capture_output=True, text=True, check=True
    )
    modules = set(done.stdout.splitlines()[-1].split())
    assert "edgesim" in modules
    assert modules & HEAVY == set()


def test_the_console_script_runs_as_the_module_does() -> None:
    script = Path(sys.executable).with_name("edgesim")
    done = subprocess.run(
        [script, "list", "scenarios"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "quickstart" in done.stdout


def test_a_reader_that_goes_away_gives_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from edgesim.cli.main import main; main()",
                "schema",
                "scenario",
            ],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr


def test_the_version_is_the_packages_own() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", edgesim.__version__)


def test_no_number_is_cut_on_a_narrow_terminal(
    edgesim_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for options in ([], ["-c", "offloading=cloud"], ["-c", "camera.offloading=cloud"]):
        chosen = [*options, "--set", "controllers={offloading: edge_cpu}", "--set"]
        ran = edgesim_command("run", "quickstart", *SHORT, *chosen, "phones.mi_8_pro.charge=0.0001")
        assert ran.code == 0
        assert "…" not in ran.out
        assert max(map(len, ran.out.splitlines())) <= 80


def test_the_version_is_told(edgesim_command: Command) -> None:
    assert edgesim_command("--version").out == f"edgesim {edgesim.__version__}\n"


@pytest.mark.parametrize(
    "options",
    [
        ["-c", "offloading=cloud", "-c", "offloading=random"],
        ["--set", "duration_s=5", "--set", "duration_s=6"],
    ],
)
def test_what_is_given_twice_is_refused(options: list[str], edgesim_command: Command) -> None:
    ran = edgesim_command("run", "quickstart", *options)
    assert ran.code == 2
    assert "given twice" in ran.err
