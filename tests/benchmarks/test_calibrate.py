"""benchmarks/calibrate.py, as a user runs it on a chip of their own."""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from edgesim.hardware.catalogue import catalogue_folder, processor_specs
from edgesim.hardware.profiles import SocProfile, read_profile

ROOT = Path(__file__).resolve().parents[2]
CHIP = """kind: soc
name: my_chip
description: mine
memory_bandwidth_gbps: {value: 15, source: data sheet}
processors:
  cpu_big:
    kind: cpu
    description: "4 cores"
    cores: {value: 4, source: data sheet}
    macs_per_cycle: {fp32: {value: 8, source: data sheet}}
    frequency_mhz: {values: [1000, 2000], source: data sheet}
    busy_power_w: {values: [0.3, 1.0], source: my own meter}
    idle_power_w: {value: 0, source: assumed}
"""
ROWS = """soc,phone,processor,threads,precision,network,latency_ms,source
my_chip,mine,cpu,4,fp32,mobilenet_v1,60,my own run
my_chip,mine,cpu,4,fp32,resnet_18,150,my own run
sdm845,pixel_3,cpu,4,fp32,mobilenet_v1,23.9,published
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "benchmarks" / "calibrate.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def shipped_files() -> dict[Path, str]:
    files = [*catalogue_folder("device_profiles").glob("*.yaml")]
    files.append(ROOT / "edgesim" / "hardware" / "efficiency.yaml")
    return {file: sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_chip_of_ones_own_is_fitted_and_nothing_that_ships_is_touched(tmp_path: Path) -> None:
    (tmp_path / "my_chip.yaml").write_text(CHIP)
    (tmp_path / "rows.csv").write_text(ROWS)
    before = shipped_files()
    plain = read_profile(tmp_path / "my_chip.yaml")[1]
    done = run("--measurements", tmp_path / "rows.csv", "--profiles", tmp_path)
    assert done.returncode == 0, done.stderr
    assert shipped_files() == before
    fitted = read_profile(tmp_path / "my_chip.yaml")[1]
    assert isinstance(plain, SocProfile)
    assert isinstance(fitted, SocProfile)
    assert plain.calibration is None
    assert fitted.calibration is not None
    found = processor_specs(fitted)["cpu_big"].efficiency["fp32"]
    assert (found.runtime, found.rows) == ("tflite", 2)
    again = run("--measurements", tmp_path / "rows.csv", "--profiles", tmp_path)
    assert again.returncode == 0  # the block is replaced, not repeated
    assert read_profile(tmp_path / "my_chip.yaml")[1] == fitted


def test_other_files_never_overwrite_what_ships(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS.replace("my_chip", "sm8150"))
    before = shipped_files()
    done = run("--measurements", tmp_path / "rows.csv")
    assert done.returncode == 0, done.stderr
    assert "nothing written" in done.stdout
    assert shipped_files() == before


def test_mistakes_are_told_in_a_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text(ROWS.splitlines()[0] + "\n")
    for arguments, said in (
        (("--measurements", empty), "no measurement in"),
        (("--measurements", tmp_path / "none.csv"), "cannot be read"),
        (("--profiles", tmp_path / "nowhere"), "is not a folder"),
    ):
        done = run(*arguments, "--dry-run")
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
