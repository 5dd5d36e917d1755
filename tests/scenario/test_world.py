"""The promises of a run: same weather for everyone, every joule owned, repeatable to the byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import edgesim
from edgesim.core.errors import SimulationError
from edgesim.core.power import LEDGER_TOLERANCE
from edgesim.core.recorder import Recorder
from edgesim.hardware.battery import Battery
from edgesim.hardware.catalogue import catalogue_folder
from edgesim.results.audit import audit
from edgesim.scenario.load import load_scenario
from edgesim.scenario.world import World

CONTROLLERS = ["edge_cpu", "edge_best", "cloud", "random", "oracle"]
QUICKSTART = catalogue_folder("scenarios") / "quickstart.yaml"
WEATHER = ["job", "device", "time_s", "model", "deadline_s", "rssi_dbm", "co_cpu", "co_mem"]


def quickstart(**changes: Any) -> dict[str, Any]:
    scenario: dict[str, Any] = yaml.safe_load(QUICKSTART.read_text())
    return {**scenario, "duration_s": 60, "controllers": {"offloading": "oracle"}, **changes}


def digests(folder: Path) -> dict[str, str]:
    files = [*folder.rglob("*.parquet"), *folder.rglob("summary.json")]
    return {str(f.relative_to(folder)): sha256(f.read_bytes()).hexdigest() for f in files}


def run_elsewhere(scenario: Path, out: Path, hash_seed: str) -> dict[str, str]:
    code = f"import edgesim; edgesim.compare({str(scenario)!r}, out={str(out)!r})"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return digests(out)


def test_two_runs_give_the_same_bytes_whatever_the_hash_seed_and_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    scenario = quickstart()
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(scenario, sort_keys=False))
    for key in ("phones", "jobs", "networks", "sites"):
        scenario[key] = dict(reversed(scenario[key].items()))
    scenario = dict(reversed(scenario.items()))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(scenario, sort_keys=False))
    first = run_elsewhere(tmp_path / "a.yaml", tmp_path / "1", "1")
    again = run_elsewhere(tmp_path / "a.yaml", tmp_path / "2", "2")
    turned = run_elsewhere(tmp_path / "b.yaml", tmp_path / "3", "3")
    assert len(first) == 5 * 6
    assert first == again
    assert first == turned


def test_the_weather_is_the_same_under_every_controller() -> None:
    runs = [
        edgesim.run("quickstart", controllers={"offloading": c}, overrides={"duration_s": 120})
        for c in CONTROLLERS
    ]
    for other in runs[1:]:
        pd.testing.assert_frame_equal(runs[0].requests[WEATHER], other.requests[WEATHER])
    assert len({tuple(run.requests.target) for run in runs}) == len(runs)


def test_one_more_phone_or_job_does_not_change_the_weather_of_the_others() -> None:
    scenario = quickstart()
    alone = edgesim.run("quickstart", controllers={"offloading": "random"}).requests
    more = edgesim.run(
        "quickstart",
        controllers={"offloading": "random"},
        overrides={
            "phones.another": scenario["phones"]["mi_8_pro"],
            "jobs.another": scenario["jobs"]["camera"],
        },
    ).requests
    rest = more[(more.device != "another") & (more.job != "another")].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone[WEATHER], rest[WEATHER])


@pytest.mark.parametrize("count", [2, 11, 101])
def test_a_group_that_grows_keeps_the_weather_of_the_phones_it_had(count: int) -> None:
    one, many = (
        edgesim.run(
            "quickstart",
            controllers={"offloading": "edge_best"},
            overrides={"duration_s": 20, "phones.mi_8_pro.count": n},
        ).requests
        for n in (1, count)
    )
    first = f"mi_8_pro_{0:0{len(str(count - 1))}d}"
    columns = ["job", "time_s", "rssi_dbm"]
    before = one.loc[one.device == "mi_8_pro", columns].reset_index(drop=True)
    after = many.loc[many.device == first, columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, after)


def test_another_seed_is_another_world() -> None:
    one, other = (
        edgesim.run(QUICKSTART, controllers={"offloading": "cloud"}, seed=s) for s in (1, 2)
    )
    assert not one.requests.time_s.equals(other.requests.time_s)


@pytest.mark.parametrize("controller", CONTROLLERS)
@pytest.mark.parametrize("count", [1, 25])
def test_every_joule_drawn_is_booked_once(controller: str, count: int) -> None:
    overrides: dict[str, Any] = {f"phones.{p}.count": count for p in quickstart()["phones"]}
    overrides |= {"duration_s": 60, "jobs.camera.arrivals.rate_per_s": 2.0}
    result = edgesim.run(QUICKSTART, controllers={"offloading": controller}, overrides=overrides)
    booked = result.energy.groupby("device").energy_j.sum()
    drawn = result.devices.set_index("device").energy_drawn_j
    assert len(drawn) == 3 * count + 1
    assert ((booked - drawn).abs() <= LEDGER_TOLERANCE * drawn).all()
    assert not result.energy.duplicated(["device", "component", "activity", "job"]).any()
    # And once more by request: what is booked to a job on phones is what its requests say.
    on_phones = result.energy[result.energy.device != "cloud"].groupby("job").energy_j.sum()
    by_request = result.requests.groupby("job").energy_j.sum()
    pd.testing.assert_series_equal(on_phones.drop("none"), by_request, rtol=1e-9)


def test_what_is_recorded_changes_no_result() -> None:
    much, little = (
        edgesim.run(QUICKSTART, controllers={"offloading": "oracle"}, overrides=overrides)
        for overrides in ({}, {"record": {"decisions": False}})
    )
    assert set(much.tables) - set(little.tables) == {"decisions", "states"}
    assert much.summary == little.summary
    for name in little.tables:
        assert much.arrow(name).equals(little.arrow(name))


def test_recorded_charge_and_power_agree() -> None:
    result = edgesim.run(QUICKSTART, controllers={"offloading": "cloud"})
    for device, rows in result.states.groupby("device"):
        power = rows[rows.quantity == "power_w"]
        charge = rows[rows.quantity == "charge"]
        end = result.devices.set_index("device").loc[device]
        # What was drawn at the terminals, and what was lost in the battery on top of it.
        spent_j = (power.value * power.time_s.diff().shift(-1)).sum()
        of_device = result.energy[result.energy.device == device]
        lost_j = of_device[of_device.activity == "loss"].energy_j.sum()
        given_j = end.stored_start_j - end.stored_end_j
        assert 0 < lost_j < 0.1 * spent_j
        assert spent_j + lost_j == pytest.approx(given_j, rel=1e-3)
        # The charge is by coulombs, the joules depend on the voltage at which they are given.
        assert charge.value.iloc[0] - charge.value.iloc[-1] == pytest.approx(
            end.charge_start - end.charge_end, rel=1e-3
        )


def test_of_several_changes_at_one_moment_the_last_is_recorded() -> None:
    states = edgesim.run(QUICKSTART, controllers={"offloading": "random"}).states
    assert not states.duplicated(["time_s", "device", "quantity"]).any()


def test_a_phone_that_draws_more_than_it_holds_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So that nobody looks out.
    monkeypatch.setattr(Battery, "seconds_to_edge", lambda self, load_w: inf)
    monkeypatch.setattr(Battery, "seconds_surely_left", lambda self, peak_w, coldest_c: inf)
    with pytest.raises(
        SimulationError, match=r"mi_8_pro: .* more were drawn than the battery held"
    ):
        edgesim.run(
            QUICKSTART,
            controllers={"offloading": "edge_cpu"},
            overrides={"phones.mi_8_pro.charge": 0.0005},
        )


def test_a_scheduler_that_terminates_a_run_leaves_it_interrupted_and_sound() -> None:
    def terminate(share: float) -> None:
        if share == 0.5:
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    result = edgesim.run(QUICKSTART, controllers={"offloading": "cloud"}, progress=terminate)
    assert not result.is_complete
    assert 300 <= result.summary["simulated_s"] < 310
    assert len(list(audit(result))) == 4
    assert signal.getsignal(signal.SIGTERM) == before


def test_looking_at_the_progress_changes_nothing() -> None:
    seen: list[float] = []
    watched = edgesim.run(QUICKSTART, controllers={"offloading": "cloud"}, progress=seen.append)
    alone = edgesim.run(QUICKSTART, controllers={"offloading": "cloud"})
    assert seen[-1] == 1.0
    assert watched.summary == alone.summary


def world(**changes: Any) -> World:
    overrides = list(quickstart(**changes).items())
    return World(load_scenario(QUICKSTART, overrides), Recorder(None, ["requests"]))


def test_idle_phones_cost_no_events_and_are_settled_in_closed_form() -> None:
    scenario = quickstart()
    busy = {"busy": scenario["phones"]["mi_8_pro"]}
    camera = {"camera": {**scenario["jobs"]["camera"], "phones": ["busy"]}}
    alone = world(phones=busy, jobs=camera)
    crowded = world(phones={**busy, "idle": {"profile": "mi_8_pro", "count": 5000}}, jobs=camera)
    for each in (alone, crowded):
        each.run()
        each.finish()
    assert alone.clock.events == crowded.clock.events > 0
    spec = crowded.fleet.group_of(1)[0].spec
    end = next(end for end in crowded.fleet.ends() if end.device.startswith("idle"))
    idle_w = spec.suspend_w + spec.wifi.idle_w
    lost_j = sum(row[3] for row in end.bookings if row[1] == "loss")
    assert 0 < lost_j < 0.01 * end.energy_drawn_j
    assert end.energy_drawn_j - lost_j == pytest.approx(60 * idle_w, rel=1e-12)


def test_a_phone_that_runs_empty_fails_what_it_was_doing_and_everything_after() -> None:
    overrides = {"phones.mi_8_pro.charge": 0.0005, "jobs.camera.arrivals.rate_per_s": 20.0}
    result = edgesim.run(QUICKSTART, controllers={"offloading": "edge_cpu"}, overrides=overrides)
    device = result.devices.set_index("device").loc["mi_8_pro"]
    battery = load_scenario(QUICKSTART).catalogue.phone("mi_8_pro").battery
    stored_j = battery.volts[0] * 0.0005 * battery.charge_c
    assert device.charge_end == pytest.approx(0.0, abs=1e-9)
    assert device.energy_drawn_j == pytest.approx(stored_j, rel=1e-6)
    assert device.off_s > 0
    rows = result.requests[result.requests.device == "mi_8_pro"]
    failed = rows.status == "failed:battery_empty"
    assert 0 < failed.sum() < len(rows)
    # Those under way had a target; the first without one arrived after the end.
    dead_from_s = rows.time_s[failed & rows.target.isna()].min()
    assert (rows.status[rows.time_s >= dead_from_s] == "failed:battery_empty").all()
    assert (rows.status[rows.time_s < dead_from_s] == "done").any()
    assert (rows.energy_j[failed & rows.target.isna()] == 0.0).all()
    assert (rows.energy_j[failed & rows.target.notna()] > 0.0).all()
    assert not rows.deadline_met[failed].astype(bool).any()


# --- arrivals ------------------------------------------------------------------------------------


def test_every_kind_of_arrivals_reaches_its_phones(tmp_path: Path) -> None:
    def job(**arrivals: Any) -> dict[str, Any]:
        return {"kind": "inference", "model": "mobilenet_v1", "arrivals": arrivals}

    (tmp_path / "asked.csv").write_text("time_s\n0.5\n2\n2\n3\n")
    phone = {"profile": "mi_8_pro", "count": 3}
    scenario = {
        "name": "all_kinds",
        "duration_s": 10,
        "phones": {"phone": phone},
        "jobs": {
            "video": job(kind="periodic", fps=4, offset_ms=0),
            "replayed": job(kind="trace", file="asked.csv", period_s=4),
            "once": job(kind="trace", file="asked.csv"),
            "shifted": job(kind="trace", file="asked.csv", period_s=4, random_offset=True),
            "evening": job(kind="diurnal", period_s=5, steps=[[0, 0], [2, 6], [4, 0]]),
        },
        "controllers": {"offloading": "edge_cpu"},
    }
    file = tmp_path / "all_kinds.yaml"
    file.write_text(yaml.safe_dump(scenario, sort_keys=False))
    result = edgesim.run(file)
    requests = result.requests
    times_s = {
        job: [rows.time_s.tolist() for _, rows in of_job.sort_values("time_s").groupby("device")]
        for job, of_job in requests.groupby("job")
    }
    assert times_s["video"] == [[k / 4 for k in range(40)]] * 3
    assert times_s["replayed"] == [[0.5, 2, 2, 3, 4.5, 6, 6, 7, 8.5]] * 3
    assert times_s["once"] == [[0.5, 2, 2, 3]] * 3
    for shifted in times_s["shifted"]:
        assert 9 <= len(shifted) <= 11
        assert [round(time_s - 4, 9) for time_s in shifted[4:]] == [
            round(time_s, 9) for time_s in shifted[:-4]
        ]
    assert len({shifted[0] for shifted in times_s["shifted"]}) == 3
    evening = [time_s % 5 for of_phone in times_s["evening"] for time_s in of_phone]
    assert 40 <= len(evening) <= 105
    assert 2 <= min(evening) <= max(evening) <= 4
    assert set(result.manifest["trace_sha256"]) == {"asked.csv"}
