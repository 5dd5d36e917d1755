"""Compiled or not, the simulator gives the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = """
import sys, edgesim
from edgesim.core import capacity
out = sys.argv[1]
edgesim.compare("quickstart", overrides={"phones.mi_8_pro.charge": 0.0005}, out=out + "/quickstart")
edgesim.run("commute", controllers={"offloading": "oracle"}, out=out + "/commute")
print(capacity.__file__)
"""


def hot_modules() -> list[str]:
    listed = re.search(
        r"HOT := .*?addprefix edgesim/,(.*?)\)", (ROOT / "Makefile").read_text(), re.S
    )
    assert listed is not None
    return [f"edgesim/{name}" for name in listed[1].replace("\\", " ").split()]


def run(folder: Path, out: Path) -> tuple[str, dict[str, str]]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", RUN, str(out)]
    ran = subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
    files = [*out.rglob("*.parquet"), *out.rglob("summary.json")]
    digests = {str(f.relative_to(out)): sha256(f.read_bytes()).hexdigest() for f in files}
    return ran.stdout.decode().strip(), digests


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_compiled_modules_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("edgesim", "device_profiles", "scenarios"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name)
    copy = tmp_path / "copy"
    plain_file, plain = run(copy, tmp_path / "plain")
    (copy / "mypy.ini").write_text("[mypy]\nignore_missing_imports = True\n")
    mypyc = Path(sys.executable).parent / "mypyc"
    subprocess.run([mypyc, *hot_modules()], check=True, cwd=copy, capture_output=True)
    compiled_file, compiled = run(copy, tmp_path / "compiled")
    assert plain_file.endswith("capacity.py")
    assert not compiled_file.endswith(".py")
    assert len(plain) == 5 * 6 + 5
    assert plain == compiled
