"""Training in blocks and on the live stream, settings of controllers, the matrix: through whole runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from edgesim.controllers.learned import load_state
from edgesim.core.errors import ConfigError
from edgesim.core.recorder import Recorder
from edgesim.scenario.load import check_every_case, load_scenario
from edgesim.scenario.run import run_loaded
from edgesim.scenario.training import STATES, fingerprint, train, training_scenario
from edgesim.scenario.world import World
from edgesim.workloads.arrivals import TurnsArrivals

SCENARIO = """
name: small
seed: 3
duration_s: 60
networks:
  home: {kind: wifi, bandwidth_mhz: 20, streams: 2}
sites:
  cloud: {server: xeon_e5_2640_p100, rtt_ms: 10}
phones:
  mi: {profile: mi_8_pro, governor: controller, networks: {home: {rssi_dbm: -60}}}
matrix:
  signal:
    strong: {}
    weak: {phones.*.networks.home.rssi_dbm: -81}
  load:
    idle: {}
    busy: {phones.*.app: cpu_heavy}
jobs:
  net: &job
    kind: inference
    model: mobilenet_v1
    targets: autoscale
    arrivals: {kind: poisson, rate_per_s: 0.5}
    deadline_ms: 50
  other: {<<: *job, model: resnet_50}
controllers: {offloading: autoscale}
training: {kind: blocks, visits: 3, spacing_s: 2}
mismatch: {}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def problems_of(file: Path, *changes: tuple[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        run_loaded(load_scenario(file, changes))
    return str(caught.value)


# --- blocks --------------------------------------------------------------------------------------


def test_blocks_are_sixty_four_states_each_visited_by_each_model_so_often(file: Path) -> None:
    ground = training_scenario(load_scenario(file))
    assert len(STATES) == 64
    assert ground.scenario.duration_s == 64 * 2 * 3 * 2
    rows = run_loaded(ground).requests
    counts = rows.groupby("model").size()
    assert counts.to_dict() == {"mobilenet_v1": 192, "resnet_50": 192}
    rows = rows.assign(block=(rows.time_s // 12).astype(int))
    for name in ("co_cpu", "co_mem", "rssi_dbm"):
        assert (rows.groupby("block")[name].nunique() == 1).all()
    seen = rows.groupby("block")[["co_cpu", "co_mem", "rssi_dbm"]].first().drop_duplicates()
    assert len(seen) == 4 * 4 * 2
    assert sorted(rows.co_cpu.unique()) == pytest.approx([0, 0.125, 0.5, 0.875])
    # One model after the other within a state, as the paper trains.
    assert (
        rows.groupby("block").model.apply(lambda names: (names != names.shift()).sum()).eq(2).all()
    )


def test_turns_come_one_after_another() -> None:
    arrivals = TurnsArrivals(phones=2, visits=2, spacing_s=4.0, turn=1, of=3)
    assert list(islice(arrivals.times(0), 5)) == [9, 13, 33, 37, 57]
    assert list(islice(arrivals.times(1), 3)) == [11, 15, 35]


def test_what_is_learned_depends_on_no_weather_of_the_scenario_itself(file: Path) -> None:
    calm = train(load_scenario(file))
    rough = train(load_scenario(file, [("signal", "weak"), ("load", "busy")]))
    for one, other in zip(_tables(calm), _tables(rough), strict=True):
        assert (one == other).all()


def _tables(states: dict[str, Any]) -> list[np.ndarray[Any, Any]]:
    return [each["values"] for each in states["offloading"]["tables"].values()]


def test_a_trained_controller_is_frozen_and_its_training_is_told_apart(file: Path) -> None:
    result = run_loaded(load_scenario(file))
    assert set(result.requests.phase) == {"evaluation"}
    assert not result.decisions.explored.any()
    told = result.manifest["training"]
    assert told["requests"] == 64 * 2 * 3
    assert told["energy_j"] > 0
    assert told["simulated_s"] == 64 * 2 * 3 * 2
    # 24 clocks of the CPU and 8 of the GPU in two precisions; the DSP; two processors in the cloud.
    actions = 2 * 24 + 2 * 8 + 1 + 2
    assert result.manifest["tables_bytes"] == {"offloading": {"mi_8_pro": 2 * 3072 * actions}}


def test_training_changes_no_weather(file: Path) -> None:
    loaded = load_scenario(file)
    mine = run_loaded(loaded).requests
    other = run_loaded(load_scenario(file, (), {"offloading": "edge_cpu"})).requests
    same = ["time_s", "device", "job", "model", "rssi_dbm", "co_cpu", "co_mem"]
    pd.testing.assert_frame_equal(mine[same], other[same])


def test_what_has_been_learned_is_kept_and_found_again(file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = train(load_scenario(file), cache=cache)
    (kept,) = cache.iterdir()
    assert kept.name == f"{fingerprint(training_scenario(load_scenario(file)))}.json"
    marked = json.loads(kept.read_text())
    marked["training"]["requests"] = -1
    kept.write_text(json.dumps(marked))
    assert train(load_scenario(file), cache=cache)["training"]["requests"] == -1
    other = train(
        load_scenario(file, [("settings.autoscale", {"learning_rate": 0.5})]), cache=cache
    )
    assert other["training"]["requests"] == 384
    assert any((a != b).any() for a, b in zip(_tables(one), _tables(other), strict=True))
    assert len(list(cache.iterdir())) == 2


def test_a_scenario_in_which_nobody_learns_needs_no_training(file: Path) -> None:
    assert train(load_scenario(file, (), {"offloading": "cloud"})) == {}
    result = run_loaded(load_scenario(file, (), {"offloading": "cloud"}))
    assert result.manifest.get("training") is None


def test_learned_json_is_the_same_whatever_the_hash_seed(file: Path, tmp_path: Path) -> None:
    texts = []
    for seed in ("1", "2"):
        out = tmp_path / f"run{seed}"
        subprocess.run(
            [sys.executable, "-m", "edgesim", "run", str(file), "--quiet", "--out", str(out)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        texts.append((out / "learned.json").read_bytes())
    assert texts[0] == texts[1]


def test_a_table_learned_in_one_run_serves_another(file: Path, tmp_path: Path) -> None:
    first = run_loaded(load_scenario(file), out=tmp_path / "first")
    own = {"table": "first/learned.json", "is_frozen": True}
    again = run_loaded(load_scenario(file, [("training", None), ("settings.autoscale", own)]))
    assert (again.requests.target == first.requests.target).all()
    states = load_state(tmp_path / "first" / "learned.json")
    assert set(states["offloading"]["tables"]) == {"mi_8_pro"}


# --- the live stream -----------------------------------------------------------------------------


def test_on_the_live_stream_requests_say_which_phase_they_are_of(file: Path) -> None:
    live = {"kind": "live", "duration_s": 40}
    result = run_loaded(load_scenario(file, [("training", live)]))
    rows, decisions = result.requests, result.decisions
    assert (rows.phase == np.where(rows.time_s < 40, "training", "evaluation")).all()
    assert decisions[decisions.time_s < 40].explored.any()
    assert not decisions[decisions.time_s >= 40].explored.any()


COLUMNS = (
    *("oracle_target", "oracle_energy_j", "oracle_latency_s"),
    *("forecast_energy_j", "forecast_latency_s"),
)

# --- the oracle beside it ------------------------------------------------------------------------


def test_asking_the_oracle_changes_nothing_else(file: Path) -> None:
    plain = run_loaded(load_scenario(file))
    asked = run_loaded(load_scenario(file, [("check", {"oracle": True})]))
    own = [name for name in COLUMNS if name in asked.requests.columns]
    assert own == list(COLUMNS)
    kept = [name for name in plain.requests.columns if name not in own]
    pd.testing.assert_frame_equal(plain.requests[kept], asked.requests[kept])
    assert plain.requests[own].isna().all(axis=None)
    same = (asked.requests.target == asked.requests.oracle_target).mean()
    assert asked.summary["oracle_agreement_action"] == pytest.approx(same)


# --- who sits there ------------------------------------------------------------------------------


def test_variants_of_a_controller_have_names(file: Path) -> None:
    variants = {"eager": {"of": "autoscale", "epsilon": 0.5}}
    loaded = load_scenario(file, [("settings", variants)], {"offloading": "eager"})
    result = run_loaded(loaded)
    assert result.manifest["controllers"]["net"]["offloading"] == "eager"
    world = World(loaded, Recorder(None, []))
    assert world.learners["offloading"].parameters.epsilon == 0.5


def test_somebody_elses_controller_sits_by_its_import_path(file: Path) -> None:
    name = "edgesim.controllers.offloading:Cloud"
    mine = run_loaded(load_scenario(file, (), {"offloading": name})).requests
    assert mine.target.str.startswith("cloud/").all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("controllers.offloading", "autoscal")], "did you mean 'autoscale'"),
        ([("settings.autoscale", {"epsilom": 0.1})], "settings.autoscale.epsilom"),
        ([("settings.autoscale", {"epsilon": 2})], "settings.autoscale.epsilon"),
        ([("settings.autoscale", {"is_frozen": True})], "is_frozen needs table"),
        ([("settings.autoscale", {"table": "nowhere.json"})], "cannot be read"),
        ([("settings.cloud", {"epsilon": 1})], "controller 'cloud' has no parameters"),
        ([("settings.mine", {"of": "autoscal"})], "settings.mine.of"),
        ([("settings.nobody", {"epsilon": 1})], "there is no controller 'nobody'"),
        ([("controllers.offloading", "edgesim.nowhere:Cloud")], "cannot be imported"),
        ([("controllers.offloading", "edgesim.controllers.offloading:Nobody")], "Nobody"),
    ],
)
def test_what_is_wrong_with_controllers_is_said_where_it_stands(
    file: Path, changes: list[tuple[str, Any]], expected: str
) -> None:
    assert expected in problems_of(file, *changes)


def test_a_table_for_another_phone_is_refused_before_anything_runs(
    file: Path, tmp_path: Path
) -> None:
    run_loaded(load_scenario(file), out=tmp_path / "first")
    message = problems_of(
        file,
        ("phones.mi.profile", "moto_x_force"),
        ("training", None),
        ("settings.autoscale", {"table": "first/learned.json", "is_frozen": True}),
    )
    assert "settings.autoscale" in message
    assert "none for 'moto_x_force'" in message


# --- the matrix ----------------------------------------------------------------------------------


def test_a_point_of_an_axis_puts_its_values(file: Path) -> None:
    loaded = load_scenario(file, [("signal", "weak")])
    assert loaded.case == {"signal": "weak", "load": "idle"}
    rows = run_loaded(loaded).requests
    assert (rows.rssi_dbm == -81).all()
    assert (run_loaded(load_scenario(file)).requests.rssi_dbm == -60).all()


def test_an_override_prevails_over_a_point(file: Path) -> None:
    changes = [("phones.mi.networks.home.rssi_dbm", -70), ("signal", "weak")]
    rows = run_loaded(load_scenario(file, changes)).requests
    assert (rows.rssi_dbm == -70).all()


def test_names_that_a_matrix_does_not_have(file: Path) -> None:
    assert "signal has no point 'week'; did you mean 'weak'" in problems_of(
        file, ("signal", "week")
    )
    assert "no such axis; did you mean 'signal'" in problems_of(file, ("signl", "weak"))


def test_every_case_of_a_matrix_is_checked(file: Path) -> None:
    check_every_case(file)
    data = yaml.safe_load(SCENARIO)
    data["matrix"]["signal"]["weak"] = {"phones.*.networks.home.rssi_dbm": "low"}
    data["matrix"]["load"]["busy"] = {"phones.nobody.app": "cpu_heavy"}
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError) as caught:
        check_every_case(file)
    text = str(caught.value)
    assert "signal=weak" in text
    assert "nobody" in text
