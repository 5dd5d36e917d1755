"""Scenario ``autoscale``: the shapes of the paper's characterisation, and the learner beside its oracle."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from edgesim.nn.cost import inference_s
from edgesim.results.offloading import KEY, agrees, means_of_ratios, paired
from edgesim.scenario.load import axes, find_scenario, load_scenario
from edgesim.scenario.run import run_loaded

CONV_HEAVY = ["inception_v1", "mobilenet_v1", "mobilenet_v2", "resnet_50"]
HIGH_END = ["mi_8_pro", "galaxy_s10e"]
ENVIRONMENTS = ["S1", "S2", "S3", "S4", "S5", "D1", "D2", "D3", "D4"]


@cache
def best(environment: str) -> pd.DataFrame:
    """The best target of each request, and the best one on the phone itself; devices as published."""
    changes = [
        ("environment", environment),
        ("mismatch", None),
        ("duration_s", 150),
        ("record.forecasts", True),
    ]
    result = run_loaded(load_scenario("autoscale", changes, {"offloading": "oracle"}))
    keys = list(KEY)
    rows = result.table("forecasts").merge(
        result.requests[[*keys, "model", "deadline_s"]], on=keys, validate="m:1"
    )
    is_late = ~(rows.latency_s <= rows.deadline_s)
    rows["rank"] = np.where(is_late, 1e6 + rows.latency_s.fillna(1e9), rows.energy_j)
    rows["place"] = rows.target.str.split("/").str[0]
    rows["processor"] = rows.target.str.split("/").str[1].str.split("_").str[0]
    own = rows[rows.place == "device"]
    everywhere = rows.loc[rows.groupby(keys)["rank"].idxmin()]
    here = own.loc[own.groupby(keys)["rank"].idxmin()]
    return everywhere.merge(here[[*keys, "processor"]], on=keys, suffixes=("", "_here"))


def usual(environment: str, column: str, device: str, model: str) -> str:
    """What is best for most requests of a model on a phone."""
    rows = best(environment)
    found = rows[(rows.device == device) & (rows.model == model)][column]
    return str(found.mode().iloc[0])


@pytest.mark.parametrize("device", HIGH_END)
@pytest.mark.parametrize("model", CONV_HEAVY)
def test_convolutions_go_to_a_co_processor_on_a_high_end_phone(device: str, model: str) -> None:
    assert usual("S1", "processor_here", device, model) in ("gpu", "dsp")


def test_a_gpu_gains_least_over_the_cpu_where_layers_are_fully_connected() -> None:
    # As far as the shape goes here: the GPU is still the better of both (docs/reproduction.md), and
    # on the Galaxy S10e MobileNet v1 gains even less.
    loaded = load_scenario("autoscale", controllers={"offloading": "oracle"})
    spec = loaded.catalogue.phone("mi_8_pro")
    cpu = max(
        (p for p in spec.processors.values() if p.kind == "cpu"),
        key=lambda p: p.levels[-1].frequency_hz,
    )
    gain = {}
    for model in [*CONV_HEAVY, "mobilenet_v3_large"]:
        on_cpu = inference_s(loaded.models[model], cpu, "fp32")
        on_gpu = inference_s(loaded.models[model], spec.processors["gpu"], "fp32")
        assert on_cpu is not None
        assert on_gpu is not None
        gain[model] = on_cpu / on_gpu
    assert min(gain, key=gain.__getitem__) == "mobilenet_v3_large"


@pytest.mark.parametrize("device", [*HIGH_END, "moto_x_force"])
def test_recurrent_layers_go_to_the_cloud(device: str) -> None:
    assert usual("S1", "place", device, "mobilebert") == "cloud"


def test_a_mid_end_phone_sends_more_away() -> None:
    away = best("S1").assign(away=lambda rows: rows.place != "device").groupby("device").away.mean()
    assert away["moto_x_force"] > max(away[device] for device in HIGH_END)


def test_weak_wifi_brings_pictures_back_from_the_cloud() -> None:
    strong, weak = best("S1"), best("S4")
    pictures = strong.model != "mobilebert"
    assert (strong[pictures].place == "cloud").mean() > 0.2
    assert (weak[weak.model != "mobilebert"].place == "cloud").mean() < 0.02


def test_a_co_runner_on_the_cpu_moves_work_to_co_processors() -> None:
    before, after = best("S1"), best("S2")
    assert (after.processor_here == "cpu").mean() < (before.processor_here == "cpu").mean()
    assert usual("S1", "processor_here", "moto_x_force", "resnet_50") == "cpu"
    assert usual("S2", "processor_here", "moto_x_force", "resnet_50") == "gpu"


def test_a_co_runner_on_the_memory_moves_work_off_the_device() -> None:
    before, after = best("S1"), best("S3")
    on_moto = [rows[rows.device == "moto_x_force"] for rows in (before, after)]
    away = [(rows.place != "device").mean() for rows in on_moto]
    assert away[1] > away[0]


# --- the learner ---------------------------------------------------------------------------------


def test_the_matrix_has_the_nine_environments() -> None:
    assert axes("autoscale") == {"environment": ENVIRONMENTS}


def test_ten_models_and_three_deadlines() -> None:
    jobs = load_scenario("autoscale", controllers={"offloading": "oracle"}).scenario.jobs
    assert len({job.model for job in jobs.values()}) == 10
    assert {job.deadline_ms for job in jobs.values()} == {50, 33.3, 100}


def test_actions_are_those_of_each_phone() -> None:
    # Clocks of the CPU and the GPU in two precisions each, DSP; two processors in the cloud, three of
    # the tablet.
    actions = {"mi_8_pro": 2 * 24 + 2 * 8 + 1 + 5, "galaxy_s10e": 2 * 21 + 2 * 9 + 5}
    actions["moto_x_force"] = 2 * 14 + 2 * 4 + 5
    loaded = load_scenario(
        "autoscale", [("training", None), ("duration_s", 100)], {"offloading": "autoscale"}
    )
    tables = run_loaded(loaded).manifest["tables_bytes"]["offloading"]
    assert tables == {phone: 2 * 3072 * n for phone, n in actions.items()}


def beside_the_oracle(
    environments: list[str], tmp_path: Path, *changes: tuple[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    both: list[pd.DataFrame] = []
    for controller in ("autoscale", "oracle"):
        rows = []
        for environment in environments:
            loaded = load_scenario(
                "autoscale", [("environment", environment), *changes], {"offloading": controller}
            )
            result = run_loaded(loaded, learned=tmp_path / "learned")
            rows.append(result.requests.assign(environment=environment))
        both.append(pd.concat(rows))
    return both[0], both[1]


def assert_near_the_oracle(mine: pd.DataFrame, best: pd.DataFrame) -> None:
    pairs = paired(mine, best, by=(*KEY, "model", "environment"))
    ratio = means_of_ratios(pairs.energy_j_base, pairs.energy_j_other).geometric
    assert 0.98 < ratio <= 1.3
    missed = [1 - rows.deadline_met.astype(float).mean() for rows in (mine, best)]
    assert missed[0] - missed[1] <= 0.03


def test_after_training_in_blocks_it_comes_near_the_oracle(tmp_path: Path) -> None:
    data = yaml.safe_load(find_scenario("autoscale").read_text())
    jobs = {
        name: {**data["jobs"][name], "phones": ["mi_8_pro"]}
        for name in ("mobilenet_v1", "resnet_50", "mobilebert")
    }
    mine, best = beside_the_oracle(["S1", "S4"], tmp_path, ("jobs", jobs), ("duration_s", 2000))
    assert_near_the_oracle(mine, best)
    assert agrees(mine).mean() > 0.7
    assert agrees(best).all()


@pytest.mark.slow
def test_so_it_does_with_all_models_phones_and_environments(tmp_path: Path) -> None:
    mine, best = beside_the_oracle(ENVIRONMENTS, tmp_path)
    assert_near_the_oracle(mine, best)
