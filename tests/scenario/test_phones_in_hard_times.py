"""Worlds that once hung, broke the books or depended on who looked."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import edgesim
from edgesim.core.errors import ConfigError
from edgesim.results.audit import audit
from edgesim.results.result import Result


def inference(period_ms: float, model: str = "inception_v3", **more: Any) -> dict[str, Any]:
    arrivals = {"kind": "periodic", "period_ms": period_ms, "offset_ms": 0}
    return {"kind": "inference", "model": model, "arrivals": arrivals, **more}


IDLE = {
    "never": {
        "kind": "inference",
        "model": "mobilenet_v1",
        "arrivals": {"kind": "periodic", "period_ms": 1e9, "offset_ms": 1e9},
    }
}


def steps(*pairs: tuple[float, object]) -> dict[str, Any]:
    return {"kind": "schedule", "period_s": 1e6, "steps": [list(pair) for pair in pairs]}


def play(
    folder: Path,
    phone: dict[str, Any],
    jobs: dict[str, Any],
    duration_s: float,
    controller: str = "edge_cpu",
) -> Result:
    scenario = {
        "name": "hard_times",
        "duration_s": duration_s,
        "phones": {"phone": phone},
        "jobs": jobs,
        "controllers": {"offloading": controller},
    }
    file = folder / "hard_times.yaml"
    file.write_text(yaml.safe_dump(scenario))
    return edgesim.run(file)


@pytest.mark.parametrize(
    ("phone", "jobs", "duration_s"),
    [
        pytest.param(
            {"profile": "pixel_4", "charge": 0.01, "ambient_c": -25, "screen_on": True},
            IDLE,
            600,
            id="the next segment is too weak",
        ),
        pytest.param(
            {
                "profile": "nexus_5x",
                "charge": 0.0642,
                "screen_on": True,
                "app": steps((0, "cpu_heavy"), (500, "none")),
            },
            IDLE,
            40_000,
            id="it cools while it runs empty",
        ),
        pytest.param(
            {
                "profile": "moto_x_force",
                "charge": 0.03,
                "screen_on": True,
                "ambient_c": steps((0, 25), (700, -25)),
            },
            IDLE,
            4000,
            id="it is carried into the cold",
        ),
        pytest.param(
            {"profile": "moto_x_force", "ambient_c": 41.5, "app": "cpu_heavy"},
            {"job": inference(300)},
            300,
            id="a cluster is unplugged under several jobs",
        ),
        pytest.param(
            {
                "profile": "moto_x_force",
                "ambient_c": 41,
                "governor": {"cpu_big": "controller"},
            },
            {"one": inference(700), "other": inference(700, "resnet_50")},
            900,
            id="a cluster is unplugged under a controller's levels",
        ),
        pytest.param(
            {"profile": "pixel_3", "charge": 0.0, "plugged_in": True},
            {"job": inference(5000, models_loaded="on_demand")},
            1200,
            id="it starts empty at the charger",
        ),
    ],
)
def test_the_books_balance(
    phone: dict[str, Any], jobs: dict[str, Any], duration_s: float, tmp_path: Path
) -> None:
    assert len(list(audit(play(tmp_path, phone, jobs, duration_s)))) == 4


def test_apps_take_nothing_from_a_cluster_that_is_unplugged(tmp_path: Path) -> None:
    phone = {"profile": "moto_x_force", "ambient_c": 45, "app": "cpu_heavy"}
    energy = play(tmp_path, phone, IDLE, 3000).energy
    assert set(energy.component[energy.activity == "background"]) == {"cpu_little"}


def test_models_are_there_from_the_start_and_not_after_a_power_cut(tmp_path: Path) -> None:
    phone = {
        "profile": "moto_x_force",
        "charge": 0.0,
        "plugged_in": steps((0, False), (200, True)),
    }
    late = inference(10_000, "mobilenet_v1")
    late["arrivals"]["offset_ms"] = 900_000
    cold = []
    for other_ms in (450_000, 1_000_000):
        jobs = {"a_other": inference(other_ms), "b_late": late}
        rows = play(tmp_path, phone, jobs, 1000).requests
        cold.append(bool(rows.cold_start[rows.job == "b_late"].iloc[0]))
    assert cold == [True, True]


def test_what_the_owner_does_is_seen_alike_while_the_phone_is_off(tmp_path: Path) -> None:
    phone = {"profile": "pixel_3", "charge": 0.0, "app": "web_browser"}
    rows = play(tmp_path, phone, {"job": inference(5000)}, 60).requests
    assert set(rows.status) == {"failed:battery_empty"}
    assert set(rows.co_cpu) == {0.3}


def test_a_gauss_markov_mean_outside_its_limits_is_told(tmp_path: Path) -> None:
    signal = {"kind": "gauss_markov", "mean": 25, "std": 5, "min": 70}
    with pytest.raises(ConfigError, match=r"phones\.phone\.ambient_c\.mean: the mean of 25"):
        play(tmp_path, {"profile": "pixel_3", "ambient_c": signal}, IDLE, 60)
