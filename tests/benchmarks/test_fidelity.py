"""The script that compares predictions with published latencies, as a user runs it."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from edgesim.hardware.catalogue import shipped
from edgesim.hardware.measurements import read_measurements, setting

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fidelity.py"
NCNN = "soc,threads,powersave(0=all 1=little 2=big),gpu_device(-1=cpu),network,min_ms,avg_ms"
TFLITE = "soc,phone,processor,threads,precision,network,latency_ms,source"
ROWS = (
    "sdm845,4,2,-1,squeezenet,20,21",
    "sdm845,4,2,-1,resnet50_int8,200,210",
    "sdm845,1,2,-1,mobilenet_v3,30,31",
    "kirin970,1,2,0,shufflenet_v2,30,31",
    "sm8350,8,2,-1,efficientnet_b0,30,31",
    "v100,1,0,0,regnety_400m,30,31",
)
UNKNOWN = ("sdm845,4,2,-1,yolov4-tiny,30,31", "sdm846,4,2,-1,squeezenet,20,21")


def fidelity(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def answer(*arguments: str | Path) -> dict[str, Any]:
    done = fidelity(*arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([NCNN, *ROWS, *UNKNOWN, ""]))
    return path


def errors_pct(file: Path) -> dict[str, float]:
    """Signed errors by model, predicted here."""
    found = {}
    for row in read_measurements([file])[: len(ROWS)]:
        at = setting(row, shipped())
        found[at.model.name] = 100 * (at.predicted_s() / row.seconds - 1)
    return found


def test_json_has_the_errors_overall_and_by_group(file: Path) -> None:
    found = answer("--measurements", file)
    errors = errors_pct(file)
    sizes = sorted(map(abs, errors.values()))
    overall = found["overall"]
    assert (overall["n"], overall["n_unknown"]) == (6, 2)
    assert overall["median_ape_pct"] == pytest.approx(median(sizes), abs=0.006)
    # Nine tenths of the way along five gaps: halfway between the last two.
    assert overall["p90_ape_pct"] == pytest.approx((sizes[-1] + sizes[-2]) / 2, abs=0.006)
    assert overall["median_error_pct"] == pytest.approx(median(errors.values()), abs=0.006)
    groups = {(group["by"], group["group"]): group for group in found["groups"]}
    assert len(groups) == len(found["groups"])
    for by in ("processor", "chip", "model"):
        assert sum(group["n"] for group in found["groups"] if group["by"] == by) == 6
    assert groups["chip", "snapdragon_845"]["n"] == 3
    assert groups["processor", "ncnn cpu int8"]["n"] == 1
    for name, error in errors.items():
        group = groups["model", name]
        assert group["median_ape_pct"] == pytest.approx(abs(error), abs=0.006)
        assert group["p90_ape_pct"] == group["median_ape_pct"]


def test_models_that_were_never_measured_are_predicted_all_the_same(file: Path) -> None:
    models = {
        group["group"]
        for group in answer("--measurements", file)["groups"]
        if group["by"] == "model"
    }
    assert models == {
        *("squeezenet", "resnet_50", "mobilenet_v3_large", "shufflenet_v2", "efficientnet_b0"),
        "regnety_400m",
    }


def test_rows_that_nothing_is_known_of_are_listed_and_not_guessed(file: Path) -> None:
    rows = answer("--measurements", file)["unknown"]
    assert [(row["file"], row["line"]) for row in rows] == [(str(file), 8), (str(file), 9)]
    assert rows[0]["row"] == "sdm845 cpu x 4 big ncnn fp32 yolov4-tiny"
    assert rows[0]["reason"].startswith("no model is called 'yolov4-tiny'")
    assert rows[1]["reason"].startswith("there is no such chip; did you mean 'sdm845'?")
    done = fidelity("--measurements", file)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    at = lines.index("unknown, not predicted: 2")
    for line, row in zip(lines[at + 1 :], rows, strict=True):
        assert line == f"  {row['file']}:{row['line']}: {row['row']}: {row['reason']}"


def test_people_are_told_the_same(file: Path) -> None:
    found = answer("--measurements", file)
    lines = fidelity("--measurements", file).stdout.splitlines()
    for label, row in [("all", found["overall"]), *((g["group"], g) for g in found["groups"])]:
        (line,) = (line for line in lines if line.startswith(label.ljust(40)))
        cells = line.removeprefix(label.ljust(40)).split()
        assert cells == [
            *(str(row["n"]), f"{row['median_ape_pct']:.1f}", "%", f"{row['p90_ape_pct']:.1f}"),
            *("%", f"{row['median_error_pct']:+.1f}", "%"),
        ]


def test_files_of_both_kinds_are_compared_together(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "tflite.csv"
    other.write_text(f"{TFLITE}\nsdm845,p,nnapi,,int8,inception_v3,50,here\n")
    found = answer("--measurements", file, other)
    assert (found["overall"]["n"], found["overall"]["n_unknown"]) == (7, 2)
    groups = {(group["by"], group["group"]) for group in found["groups"]}
    assert ("processor", "nnapi dsp int8") in groups


def test_nothing_that_can_be_predicted_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("\n".join([NCNN, *UNKNOWN]))
    found = answer("--measurements", file)
    assert found["overall"] == {
        "n": 0,
        "n_unknown": 2,
        "median_ape_pct": None,
        "p90_ape_pct": None,
        "median_error_pct": None,
    }
    assert found["groups"] == []
    assert fidelity("--measurements", file).returncode == 0


def test_every_row_can_be_written_with_its_prediction(file: Path, tmp_path: Path) -> None:
    answer("--measurements", file, "--rows", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 6
    for row, error in zip(rows, errors_pct(file).values(), strict=True):
        assert float(row["error_pct"]) == pytest.approx(error, rel=1e-3)
        ratio = float(row["predicted_ms"]) / float(row["measured_ms"])
        assert 100 * (ratio - 1) == pytest.approx(error, abs=0.2)


def test_chips_of_ones_own_are_looked_up_first(file: Path, tmp_path: Path) -> None:
    text = dict(shipped().files())["snapdragon_845"].read_text(encoding="utf-8")
    text = text.replace("aliases: [sdm845]", "aliases: [sdm846]")
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "mine.yaml").write_text(text.replace("name: snapdragon_845", "name: mine", 1))
    found = answer("--measurements", file, "--profiles", folder)
    assert (found["overall"]["n"], found["overall"]["n_unknown"]) == (7, 1)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        pytest.param(
            f"{NCNN}\n{ROWS[0]}\nsdm845,4,2,-1,mobilenet,20,-1\n", 3, "avg_ms: ", id="time"
        ),
        pytest.param(f"{NCNN}\n{ROWS[0]}\n{ROWS[0]}\n", 3, "network: ", id="twice"),
        pytest.param(TFLITE.replace("_ms", "_s"), 1, "column 'latency_s'", id="unit"),
        pytest.param("", 1, "unknown header", id="empty"),
        pytest.param(b"\xff\xfe", None, "is not UTF-8 text", id="bytes"),
        pytest.param(None, None, "cannot be read", id="missing"),
    ],
)
@pytest.mark.parametrize("arguments", [(), ("--json",), ("--leave-one-model-out",)], ids=" ".join)
def test_a_bad_file_is_refused_at_its_place(
    content: str | bytes | None,
    line: int | None,
    message: str,
    arguments: tuple[str, ...],
    tmp_path: Path,
) -> None:
    file = tmp_path / "rows.csv"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = fidelity("--measurements", file, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    place = file if line is None else f"{file}:{line}"
    assert done.stderr.startswith(f"{place}: {message}")
    assert "Traceback" not in done.stderr


def test_an_option_that_is_none_is_refused() -> None:
    done = fidelity("--leave-one-row-out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
