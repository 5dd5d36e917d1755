"""benchmarks/radio.py: its arithmetic against a few transfers by hand."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgesim.hardware.catalogue import shipped
from edgesim.network.lte import LteRates

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "radio.py"


@pytest.fixture(scope="module")
def radio() -> ModuleType:
    spec = importlib.util.spec_from_file_location("radio", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["radio"] = module
    spec.loader.exec_module(module)
    return module


def test_a_transfer_on_the_published_handset_by_hand(radio: ModuleType) -> None:
    # 8 Mb at 6 Mb/s are 1.333 s at 3.918 W; 0.315 J of promotion and 12.271 J of tail.
    assert radio.huang_j("lte", "up", 1e6) == pytest.approx(5.2245 + 0.3149 + 12.2706, abs=1e-3)
    # 0.6154 s at 1.914 W; 9.8 and 28.4 mJ.
    assert radio.huang_j("wifi", "down", 1e6) == pytest.approx(1.1778 + 0.0098 + 0.0284, abs=1e-3)


def test_a_transfer_of_a_phone_by_hand(radio: ModuleType) -> None:
    """The Pixel 5 at -70 dBm: 8 Mb at 8.348 Mb/s are 0.958 s at 1.743 W, the tail is 0.0577 J and
    11.476 s at 0.475 W."""
    power = shipped().phone("pixel_5").lte
    assert power is not None
    rates = LteRates(10, 2)
    by_hand_j = 0.2601 * 0.5425 + 0.9583 * 1.743 + 0.0577 + 11.476 * 0.475
    assert radio.lte_j(power, rates, "up", 1e6, -70) == pytest.approx(by_hand_j, rel=1e-3)
    assert radio.lte_j(power, rates, "up", 1e6, -120) == float("inf")


def test_it_runs_with_and_without_logs(
    radio: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert radio.main(["--traces", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "no logs in" in printed.err
    rows = [{"duration_ms": 1000, "bandwidth_kbps": 1000 * n} for n in range(1, 101)]
    (tmp_path / "log.json").write_text(json.dumps(rows))
    assert radio.main(["--traces", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "| 1 logs of 4G in Ghent | 5.0 | 25.0 | 50.0 | 75.0 | 95.0 |" in out
    for title in ("LTE: watts by state", "LTE, 10 MHz: joules", "Wi-Fi: Mb/s", "Wi-Fi, 20 MHz"):
        assert title in out
