"""The README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import edgesim
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run_loaded

README = Path(__file__).parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_scenario_of_the_readme_runs(tmp_path: Path) -> None:
    (scenario,) = blocks("yaml")
    (tmp_path / "two_phones.yaml").write_text(scenario, encoding="utf-8")
    result = run_loaded(load_scenario(tmp_path / "two_phones.yaml", [("duration_s", 20)]))
    assert result.summary["requests"] > 50


def test_the_mistakes_of_the_readme_are_reported_as_it_says(tmp_path: Path) -> None:
    (scenario,) = blocks("yaml")
    text = scenario.replace("mobilenet_v1 ", "mobilnet ").replace("deadline_ms", "deadline")
    (tmp_path / "two_phones.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(edgesim.ConfigError) as caught:
        load_scenario(tmp_path / "two_phones.yaml")
    shown = [line for line in README.read_text(encoding="utf-8").splitlines() if "error:" in line]
    assert len(caught.value.problems) == len(shown) == 2
    for problem, line in zip(caught.value.problems, shown, strict=True):
        said = line.removeprefix("error: two_phones.yaml:").partition(" Known:")[0]
        assert f"{problem.line}: {problem.key}: {problem.message}".startswith(said)


def test_the_code_of_the_readme_runs() -> None:
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["result"], edgesim.Result)


def test_the_table_of_the_readme_is_what_the_quickstart_gives() -> None:
    rows = re.findall(
        r"^\| (\w+)[^|]*\| ([\d.,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|",
        README.read_text(),
        re.M,
    )
    comparison = edgesim.compare("quickstart")
    assert [row[0] for row in rows] == list(comparison)
    for name, *cells in rows:
        s = comparison[name].summary
        ours = (
            s["energy_j"],
            1e3 * s["energy_per_request_j"],
            100 * s["deadline_violation_ratio"],
            1e3 * s["latency_p99_s"],
        )
        for cell, value in zip(cells, ours, strict=True):
            assert float(cell.replace(",", "")) == pytest.approx(
                value, abs=0.51 if "," in cell else 0.051
            )
