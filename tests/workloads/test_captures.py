"""Pictures before requests and training, against hand calculation, forecasts and the same run without."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesim.scenario.world as world_module
from edgesim.controllers.federated import (
    Participant,
    ParticipantOutcome,
    RoundOutcome,
    SelectionObservation,
)
from edgesim.controllers.slots import (
    Forecast,
    Lesson,
    OffloadingObservation,
    OffloadingOutcome,
    Setting,
    Target,
)
from edgesim.core.recorder import Recorder
from edgesim.hardware.catalogue import shipped
from edgesim.results.result import Result
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run
from edgesim.scenario.world import World
from edgesim.workloads.menu import Menu

LG = shipped().phone("lg_g7")
assert LG.camera is not None
CAMERA = LG.camera
BIG = LG.processors["cpu_big"]
TAKING_S = CAMERA.open_s + CAMERA.frame_s
ISP_S = CAMERA.pixels / CAMERA.isp_pixels_per_s
CPU_S = CAMERA.pixels * 174 / (BIG.macs_per_cycle["fp32"] * BIG.levels[-1].frequency_hz * BIG.cores)
CPU_J = BIG.busy_power_w * CPU_S


class Chooser:
    """Chooses what it is told, and remembers what it saw."""

    needs_what_if = True
    learns = True

    def __init__(self, choose: Callable[[OffloadingObservation], Target]) -> None:
        self.choose = choose
        self.forecasts: list[Forecast] = []
        self.observations: list[OffloadingObservation] = []
        self.outcomes: list[OffloadingOutcome] = []

    def decide(self, observation: OffloadingObservation) -> Target:
        target = self.choose(observation)
        assert observation.what_if is not None
        self.forecasts.append(observation.what_if(target))
        self.observations.append(observation)
        return target

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> None:
        self.outcomes.append(outcome)


def play(
    choose: Callable[[OffloadingObservation], Target] | str,
    capture: dict[str, Any] | None,
    *,
    rssi: Any = -60.0,
    charge: float = 1.0,
    phone: Mapping[str, Any] | None = None,
    duration_s: float = 60.0,
    arrivals: Mapping[str, Any] | None = None,
    seed: int = 0,
    **job: Any,
) -> tuple[Chooser, list[dict[str, Any]], list[dict[str, Any]]]:
    """One LG G7; what the chooser saw, the rows of its requests, and the energy table."""
    if isinstance(choose, str):
        chosen = Target(*choose.split("/"))
        choose = lambda _: chosen  # noqa: E731
    spec = {
        "kind": "inference",
        "model": "mobilenet_v1",
        "arrivals": arrivals or {"kind": "periodic", "period_ms": 1e9, "offset_ms": 1000.0},
        **job,
    }
    if capture is not None:
        spec["capture"] = capture
    own = {"profile": "lg_g7", "network": "home", "rssi_dbm": rssi, "charge": charge}
    loaded = load_scenario(
        "quickstart",
        [
            ("phones", {"phone": {**own, **(phone or {})}}),
            ("jobs", {"job": spec}),
            ("controllers", {"offloading": "random"}),
            ("duration_s", duration_s),
            ("seed", seed),
        ],
    )
    chooser = Chooser(choose)
    recorder = Recorder(None, ["requests", "energy", "devices"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_module, "make_controller", lambda name, setting: chooser)
        world = World(loaded, recorder)
        world.run()
        world.finish()
    tables = recorder.finish()
    rows = tables["requests"].to_pylist()
    energy = [each for each in tables["energy"].to_pylist() if each["device"] == "phone"]
    booked_j = sum(each["energy_j"] for each in energy if each["job"] == "job")
    assert booked_j == pytest.approx(sum(row["energy_j"] for row in rows), rel=1e-9)
    return chooser, rows, energy


# --- one request ---------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["device/gpu/fp16", "cloud/gpu/fp32"])
def test_a_picture_adds_what_its_camera_takes(where: str) -> None:
    _, (bare,), _ = play(where, None)
    chooser, (row,), energy = play(where, {})
    capture_s = TAKING_S + ISP_S
    assert bare["capture_s"] is bare["capture_energy_j"] is None
    assert row["status"] == "done"
    assert row["capture_s"] == pytest.approx(capture_s, rel=1e-9)
    assert row["capture_energy_j"] == pytest.approx(CAMERA.power_w * capture_s, rel=1e-9)
    assert row["latency_s"] == pytest.approx(bare["latency_s"] + capture_s, rel=1e-9)
    assert row["energy_j"] == pytest.approx(
        bare["energy_j"] + (CAMERA.power_w + LG.awake_w) * capture_s, rel=1e-9
    )
    assert chooser.outcomes[0].energy_j == row["energy_j"]
    camera = {e["activity"]: e["energy_j"] for e in energy if e["component"] == "camera"}
    assert camera == {
        "open": pytest.approx(CAMERA.power_w * CAMERA.open_s),
        "capture": pytest.approx(CAMERA.power_w * CAMERA.frame_s),
        "isp": pytest.approx(CAMERA.power_w * ISP_S),
    }


def test_a_picture_of_fewer_megapixels_is_developed_sooner() -> None:
    _, (row,), _ = play("device/gpu/fp16", {"megapixels": 4})
    assert row["capture_s"] == pytest.approx(TAKING_S + 4e6 / CAMERA.isp_pixels_per_s, rel=1e-9)


def test_a_cpu_develops_after_the_camera_and_pays_for_itself() -> None:
    _, (bare,), _ = play("device/gpu/fp16", None)
    _, (row,), energy = play("device/gpu/fp16", {"develop": "cpu"})
    assert row["capture_s"] == pytest.approx(TAKING_S + CPU_S, rel=1e-9)
    assert row["capture_energy_j"] == pytest.approx(CAMERA.power_w * TAKING_S + CPU_J, rel=1e-9)
    assert row["latency_s"] == pytest.approx(bare["latency_s"] + TAKING_S + CPU_S, rel=1e-9)
    assert row["energy_j"] == pytest.approx(
        bare["energy_j"] + CAMERA.power_w * TAKING_S + CPU_J + LG.awake_w * (TAKING_S + CPU_S),
        rel=1e-9,
    )
    (compute,) = [e["energy_j"] for e in energy if e["component"] == "cpu_big"]
    assert compute == pytest.approx(CPU_J, rel=1e-9)


@pytest.mark.parametrize("where", ["device/cpu_big/fp32", "cloud/gpu/fp32"])
@pytest.mark.parametrize("keep_open_s", [0.01, 5.0])
def test_what_keeps_the_camera_open_is_the_requests_and_no_part_of_its_picture(
    where: str, keep_open_s: float
) -> None:
    _, (closed,), _ = play(where, {})
    _, (row,), _ = play(where, {"keep_open_s": keep_open_s})
    assert row["latency_s"] == closed["latency_s"]
    assert row["capture_energy_j"] == closed["capture_energy_j"]
    assert row["energy_j"] == pytest.approx(
        closed["energy_j"] + CAMERA.power_w * keep_open_s, rel=1e-9
    )


def test_the_end_of_the_run_settles_a_camera_that_is_kept_open() -> None:
    _, (closed,), _ = play("device/gpu/fp16", {}, duration_s=10.0)
    _, (row,), _ = play("device/gpu/fp16", {"keep_open_s": 1e6}, duration_s=10.0)
    open_s = 10.0 - 1.0 - TAKING_S - ISP_S
    assert row["status"] == "done"
    assert row["energy_j"] == pytest.approx(closed["energy_j"] + CAMERA.power_w * open_s, rel=1e-9)


def test_the_controller_sees_what_is_when_the_picture_is_there() -> None:
    steps = [[0, -60.0], [1.3, -70.0]]
    rssi = {"kind": "schedule", "period_s": 1000, "steps": steps}
    chooser, (row,), _ = play("device/gpu/fp16", {}, rssi=rssi, deadline_ms=2000)
    (seen,) = chooser.observations
    capture_s = TAKING_S + ISP_S
    assert (row["time_s"], row["rssi_dbm"]) == (1.0, -60.0)
    assert seen.time_s == pytest.approx(1.0 + capture_s, rel=1e-9)
    assert seen.rssi_dbm == -70.0
    assert seen.elapsed_s == pytest.approx(capture_s, rel=1e-9)
    assert seen.left_s == pytest.approx(2.0 - capture_s, rel=1e-9)
    bare = play("device/gpu/fp16", None, rssi=rssi, deadline_ms=2000)[0].observations[0]
    assert (bare.time_s, bare.elapsed_s, bare.left_s) == (1.0, 0.0, 2.0)


def test_requests_at_once_take_their_pictures_in_turn_with_one_opening() -> None:
    arrivals = {"kind": "periodic", "period_ms": 100.0, "offset_ms": 1000.0}
    _, rows, _ = play("device/gpu/fp16", {}, arrivals=arrivals, duration_s=1.35)
    assert [row["status"] for row in rows] == ["unfinished"] * 4
    _, rows, _ = play("device/gpu/fp16", {}, arrivals=arrivals, duration_s=2.05)
    third = rows[2]
    assert third["capture_s"] == pytest.approx(
        CAMERA.open_s + 3 * (CAMERA.frame_s + ISP_S) - 0.2, rel=1e-9
    )
    assert third["capture_energy_j"] == pytest.approx(
        CAMERA.power_w * (CAMERA.frame_s + ISP_S), rel=1e-9
    )


# --- what was foreseen ---------------------------------------------------------------------------

CAPTURES = st.fixed_dictionaries(
    {
        "develop": st.sampled_from(["isp", "cpu"]),
        "keep_open_s": st.sampled_from([0.0, 0.05, 3.0]),
        "megapixels": st.sampled_from([0.5, 12.0, 16.0]),
    }
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    capture=CAPTURES,
    pick=st.integers(0, 1000),
    seed=st.integers(0, 2**32),
    std=st.floats(0, 8),
    overhead_ms=st.sampled_from([0.0, 3.0]),
    app=st.sampled_from(["none", "web_browser"]),
)
def test_a_forecast_equals_what_happens_in_an_idle_world(
    capture: dict[str, Any], pick: int, seed: int, std: float, overhead_ms: float, app: str
) -> None:
    rssi = {
        "kind": "gauss_markov",
        "mean": -65,
        "std": std,
        "step_s": 0.01,
        "correlation_time_s": 0.5,
    }
    chooser, (row,), _ = play(
        lambda observation: observation.options[pick % len(observation.options)].target,
        capture,
        rssi=rssi,
        seed=seed,
        phone={"app": app},
        decision_overhead_ms=overhead_ms,
    )
    forecast = chooser.forecasts[0]
    assert row["status"] == "done"
    assert forecast.latency_s == pytest.approx(row["latency_s"], rel=1e-9)
    assert forecast.energy_j == pytest.approx(row["energy_j"], rel=1e-9)


@pytest.mark.parametrize("develop", ["isp", "cpu"])
def test_a_forecast_knows_what_has_been_shared_so_far(develop: str) -> None:
    # The second comes while the first takes its picture, and is awake until the first is done.
    arrivals = {"kind": "turns", "visits": 2, "spacing_s": 0.2, "of": 1000}
    chooser, rows, _ = play("device/dsp/int8", {"develop": develop}, arrivals=arrivals)
    assert [row["status"] for row in rows] == ["done"] * 2
    row, forecast = rows[0], chooser.forecasts[0]
    assert row["time_s"] + row["latency_s"] < rows[1]["time_s"] + rows[1]["capture_s"]
    assert forecast.latency_s == pytest.approx(row["latency_s"], rel=1e-9)
    assert forecast.energy_j == pytest.approx(row["energy_j"], rel=1e-9)
    alone_j = row["capture_energy_j"] + LG.awake_w * 0.2
    assert row["energy_j"] > alone_j + 0.5 * LG.awake_w * (row["latency_s"] - 0.2)


@pytest.mark.parametrize("keep_open_s", [0.0, 2.0])
def test_the_oracle_is_asked_when_the_picture_is_there(keep_open_s: float) -> None:
    result = run(
        "quickstart",
        controllers={"offloading": "oracle"},
        overrides={
            "phones": {"phone": {"profile": "lg_g7", "network": "home", "rssi_dbm": -60}},
            "jobs": {
                "job": {
                    "kind": "inference",
                    "model": "inception_v3",
                    "arrivals": {"kind": "periodic", "period_ms": 10_000, "offset_ms": 0},
                    "deadline_ms": 800,
                    "capture": {"keep_open_s": keep_open_s},
                }
            },
            "check.oracle": True,
            "duration_s": 100,
        },
    )
    rows = result.requests
    assert len(rows) == 10
    assert result.summary["oracle_agreement_action"] == 1.0
    assert rows.latency_s.tolist() == pytest.approx(rows.forecast_latency_s.tolist(), rel=1e-9)
    assert rows.energy_j.tolist() == pytest.approx(rows.forecast_energy_j.tolist(), rel=1e-9)


# --- what may go wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("develop", "timeout_s", "camera_s", "cpu_s"),
    [
        ("isp", 0.3, 0.3, 0.0),
        ("isp", CAMERA.open_s + 0.01, CAMERA.open_s + 0.01, 0.0),
        ("isp", TAKING_S + 0.01, TAKING_S + 0.01, 0.0),
        ("cpu", TAKING_S + 0.02, TAKING_S, 0.02),
    ],
)
def test_a_request_given_up_over_its_picture_has_paid_so_far(
    develop: str, timeout_s: float, camera_s: float, cpu_s: float
) -> None:
    chooser, (row,), _ = play(
        "device/gpu/fp16",
        {"develop": develop},
        timeout_ms=1e3 * timeout_s,
        deadline_ms=10_000,
    )
    assert row["status"] == "failed:timeout"
    assert row["target"] is row["capture_s"] is row["latency_s"] is row["attempts"] is None
    assert row["deadline_met"] is False
    spent_j = CAMERA.power_w * camera_s + BIG.busy_power_w * cpu_s
    assert row["capture_energy_j"] == pytest.approx(spent_j, rel=1e-9)
    assert row["energy_j"] == pytest.approx(spent_j + LG.awake_w * timeout_s, rel=1e-9)
    assert chooser.observations == chooser.outcomes == []


def test_a_timeout_counts_from_the_arrival() -> None:
    capture_s = TAKING_S + ISP_S
    chooser, (row,), _ = play("device/gpu/fp16", {}, timeout_ms=1e3 * (capture_s + 1e-4))
    assert row["status"] == "failed:timeout"
    assert row["capture_s"] == pytest.approx(capture_s, rel=1e-9)
    assert chooser.forecasts == [Forecast(inf, inf)]


def test_what_the_run_cuts_off_over_its_picture_is_unfinished() -> None:
    _, (row,), _ = play("device/gpu/fp16", {}, duration_s=1.5)
    assert row["status"] == "unfinished"
    assert row["capture_s"] is None
    assert row["capture_energy_j"] == pytest.approx(CAMERA.power_w * 0.5, rel=1e-9)


def test_a_phone_that_dies_over_a_picture_fails_its_request() -> None:
    arrivals = {"kind": "periodic", "period_ms": 500.0, "offset_ms": 1000.0}
    _, rows, _ = play("device/gpu/fp16", {}, arrivals=arrivals, charge=0.0005, duration_s=30.0)
    statuses = [row["status"] for row in rows]
    assert set(statuses) == {"done", "failed:battery_empty"}
    died = statuses.index("failed:battery_empty")
    assert set(statuses[died:]) == {"failed:battery_empty"}
    # Those that came later have not even begun.
    assert rows[-1]["capture_energy_j"] is None
    assert rows[-1]["energy_j"] == 0.0


def test_nowhere_to_run_is_found_out_when_the_picture_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Menu, "offer", lambda self, places: ())
    _, (row,), _ = play("device/gpu/fp16", {})
    assert row["status"] == "failed:no_target"
    assert row["capture_s"] == pytest.approx(TAKING_S + ISP_S, rel=1e-9)
    assert row["energy_j"] == pytest.approx(
        (CAMERA.power_w + LG.awake_w) * (TAKING_S + ISP_S), rel=1e-9
    )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    capture=CAPTURES,
    rate_per_s=st.floats(0.2, 4.0),
    timeout_s=st.floats(0.3, 5.0),
    charge=st.sampled_from([0.001, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_every_joule_is_in_one_row(
    capture: dict[str, Any], rate_per_s: float, timeout_s: float, charge: float, seed: int
) -> None:
    _, rows, energy = play(
        lambda observation: observation.options[int(observation.time_s * 1e3) % 3].target,
        capture,
        arrivals={"kind": "poisson", "rate_per_s": rate_per_s},
        timeout_ms=1e3 * timeout_s,
        charge=charge,
        seed=seed,
        duration_s=20.0,
    )
    for row in rows:
        if row["capture_energy_j"] is not None:
            assert 0.0 <= row["capture_energy_j"] <= row["energy_j"] * (1.0 + 1e-9)
    nobodys = [e for e in energy if e["component"] == "camera" and e["job"] == "none"]
    assert nobodys == []


# --- collecting ----------------------------------------------------------------------------------

FORESEEN: list[tuple[float, float]] = []
OUTCOMES: list[ParticipantOutcome] = []
PROMISED_S: list[float] = []
KNOWN: list[list[float]] = []


class OneByOne:
    """Selects one client at a time, in turn, and notes what was foreseen."""

    needs_what_if = True
    learns = True

    def __init__(self, setting: Setting) -> None:
        FORESEEN.clear()
        OUTCOMES.clear()
        PROMISED_S.clear()
        KNOWN.clear()

    def decide(self, observation: SelectionObservation) -> Sequence[Participant]:
        client = int(observation.eligible[observation.round % len(observation.eligible)])
        target = observation.clients.options(client, observation.batch_size)[0].target
        assert observation.what_if is not None
        forecast = observation.what_if([Participant(client, target)])
        FORESEEN.append((forecast.finish_s[0], forecast.client_j[0]))
        assert observation.clients.collect_s is not None
        PROMISED_S.append(float(observation.clients.collect_s[client]))
        KNOWN.append(observation.clients.duration_s.tolist())
        return (Participant(client, target),)

    def learn(self, observation: Any, decision: Any, outcome: RoundOutcome) -> Lesson | None:
        OUTCOMES.extend(outcome.participants)
        return None

    def freeze(self) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def learn(collect: dict[str, Any] | None, selection: str = "random", **more: Any) -> Result:
    """Three LG G7 that learn together in an otherwise idle world."""
    job = {
        "kind": "federated",
        "site": "cloud",
        "mode": "timing_only",
        "model": "mobilenet_v1",
        "samples_per_client": 20,
        "clients_per_round": 1,
        "stop": {"rounds": 9},
        **more,
    }
    if collect is not None:
        job["collect"] = collect
    return run(
        "federated_digits",
        controllers={"selection": selection},
        overrides={
            "networks.home.shared": False,
            "phones": {
                "phone": {
                    "profile": "lg_g7",
                    "count": 3,
                    "network": "home",
                    "rssi_dbm": {"kind": "gauss_markov", "mean": -60, "std": 4},
                    "app": {
                        "kind": "markov",
                        "values": ["none", "web_browser"],
                        "mean_dwell_s": [20, 10],
                    },
                }
            },
            "jobs": {"digits": job},
            "mismatch": None,
        },
    )


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    return "mine:OneByOne"


@pytest.mark.parametrize("when", ["once", "every_round"])
@pytest.mark.parametrize("develop", ["isp", "cpu"])
@pytest.mark.parametrize("keep_open_s", [0.0, 0.7])
def test_a_client_that_collects_does_what_was_foreseen(
    when: str, develop: str, keep_open_s: float, mine: str
) -> None:
    collect = {"when": when, "develop": develop, "keep_open_s": keep_open_s}
    result = learn(collect, mine)
    rows = result.participants
    assert set(rows.status) == {"done"}
    collected = rows.collect_s.notna()
    expected = [k < 3 or when == "every_round" for k in range(9)]
    assert collected.tolist() == expected
    assert rows.collect_energy_j.notna().tolist() == expected
    parts = ["collect_energy_j", "download_j", "training_j", "upload_j"]
    assert rows[parts].sum(axis=1).tolist() == pytest.approx(rows.energy_j.tolist(), rel=1e-12)
    for k, (finish_s, energy_j) in enumerate(FORESEEN):
        assert result.rounds.duration_s.iloc[k] == pytest.approx(finish_s, rel=1e-9)
        assert rows.energy_j.iloc[k] == pytest.approx(energy_j, rel=1e-9)
    # By hand, pictures as many as samples.
    if develop == "isp":
        taken_s = CAMERA.open_s + 20 * (CAMERA.frame_s + ISP_S)
        assert rows.collect_s[collected].tolist() == pytest.approx([taken_s] * sum(expected))
        spent_j = (CAMERA.power_w + LG.awake_w) * taken_s + CAMERA.power_w * keep_open_s
        assert rows.collect_energy_j[collected].tolist() == pytest.approx([spent_j] * sum(expected))
    else:
        taken_s = CAMERA.open_s + 20 * (CAMERA.frame_s + CPU_S)
        assert (rows.collect_s[collected] >= taken_s * (1 - 1e-9)).all()
    assert pytest.approx([taken_s * each for each in expected]) == PROMISED_S
    # Controllers see what they know, and collecting beside it.
    for outcome, row in zip(OUTCOMES, rows.itertuples(), strict=True):
        assert outcome.training_s == row.training_s
        assert outcome.collect_s == (row.collect_s if row.collect_s == row.collect_s else 0.0)
        assert outcome.duration_s > outcome.collect_s + outcome.training_s


def test_pictures_and_megapixels_may_be_given() -> None:
    rows = learn({"pictures": 7, "megapixels": 2}).participants
    taken_s = CAMERA.open_s + 7 * (CAMERA.frame_s + 2e6 / CAMERA.isp_pixels_per_s)
    assert rows.collect_s.dropna().tolist() == pytest.approx([taken_s] * rows.collect_s.count())


def test_without_collecting_there_is_none() -> None:
    rows = learn(None).participants
    assert rows.collect_s.isna().all()
    assert rows.collect_energy_j.isna().all()


def test_collecting_that_was_interrupted_begins_anew() -> None:
    # Clients go away in the middle of the first one's collecting.
    result = learn(
        {"pictures": 100},
        available={"kind": "schedule", "period_s": 8, "steps": [[0, True], [4, False], [6, True]]},
        check_in_s=0.5,
        stop={"rounds": 12},
    )
    rows = result.participants
    taken_s = CAMERA.open_s + 100 * (CAMERA.frame_s + ISP_S)
    assert taken_s > 4.0  # so that the first of each is interrupted
    first_row = rows.iloc[0]
    assert first_row.status == "failed:offline"
    assert first_row.collect_s == pytest.approx(4.0)
    assert rows.download_s.isna().iloc[0]
    for _, own in rows.groupby("client"):
        whole = (own.collect_s >= taken_s * (1 - 1e-9)).to_numpy()
        first = whole.argmax() if whole.any() else len(own)
        assert own.collect_s.iloc[: first + 1].notna().all()
        assert own.collect_s.iloc[first + 1 :].isna().all()
    energy = result.energy
    camera_j = energy[energy.component == "camera"].energy_j.sum()
    assert camera_j == pytest.approx(CAMERA.power_w * rows.collect_s.sum(), rel=1e-9)


@pytest.mark.parametrize("duration_s", [0.3, 1.0])
def test_collecting_that_the_run_cuts_off_is_unfinished_and_paid_for(duration_s: float) -> None:
    result = run(
        "federated_digits",
        controllers={"selection": "random"},
        overrides={
            "phones": {"phone": {"profile": "lg_g7", "network": "home", "rssi_dbm": -50}},
            "jobs.digits.clients_per_round": 1,
            "jobs.digits.mode": "timing_only",
            "jobs.digits.stop": {"rounds": 1},
            "jobs.digits.collect": {"pictures": 1000, "keep_open_s": 9},
            "duration_s": duration_s,
        },
    )
    (row,) = result.participants.itertuples()
    assert row.status == "unfinished"
    assert row.collect_s == pytest.approx(duration_s)
    spent_j = (CAMERA.power_w + LG.awake_w) * duration_s
    assert row.energy_j == row.collect_energy_j == pytest.approx(spent_j, rel=1e-9)


def test_a_deadline_by_ratio_has_room_for_collecting() -> None:
    rounds = {"kind": "synchronous", "deadline_ratio": 3.0}
    bare = learn(None, rounds=rounds).rounds.deadline_s.iloc[0]
    taken_s = CAMERA.open_s + 20 * (CAMERA.frame_s + ISP_S)
    for when in ("once", "every_round"):
        found = learn({"when": when}, rounds=rounds).rounds.deadline_s
        assert found.iloc[0] == pytest.approx(bare + 3.0 * taken_s, rel=1e-9)


@pytest.mark.parametrize("when", ["once", "every_round"])
def test_a_deadline_by_percentile_has_room_for_collecting_where_it_is_due(when: str) -> None:
    rounds = {"kind": "synchronous", "deadline_percentile": 100}
    more = {"clients_per_round": 3, "rounds": rounds, "stop": {"rounds": 2}}
    found = learn({"when": when}, **more)
    taken_s = CAMERA.open_s + 20 * (CAMERA.frame_s + ISP_S)
    first, second = found.rounds.deadline_s
    bare = learn(None, **more).rounds.deadline_s
    assert first == pytest.approx(bare.iloc[0] + taken_s, rel=1e-9)
    assert (second > bare.max() + 0.5 * taken_s) == (when == "every_round" or second > first)


@pytest.mark.parametrize("when", ["once", "every_round"])
def test_a_client_is_known_by_what_it_takes_without_collecting_that_is_over(
    when: str, mine: str
) -> None:
    result = learn({"when": when}, mine)
    took_s: dict[int, float] = {}
    for client, collect_s, duration_s, known in zip(
        result.participants.client,
        result.participants.collect_s.fillna(0.0),
        result.rounds.duration_s,
        KNOWN,
        strict=True,
    ):
        for other, own_s in took_s.items():
            assert known[other] == pytest.approx(own_s, rel=1e-12)
        took_s[client] = duration_s - (collect_s if when == "once" else 0.0)


# --- the same world twice ------------------------------------------------------------------------


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    overrides: dict[str, Any] = {
        "phones": {
            "phone": {
                "profile": "lg_g7",
                "count": 2,
                "network": "home",
                "rssi_dbm": {"kind": "gauss_markov", "mean": -68, "std": 9},
            }
        },
        "jobs": {
            "camera": {
                "kind": "inference",
                "model": "mobilenet_v1",
                "arrivals": {"kind": "poisson", "rate_per_s": 1.0},
                "timeout_ms": 3000,
                "deadline_ms": 1000,
                "capture": {"develop": "cpu", "keep_open_s": 0.5},
            },
            "learning": {
                "kind": "federated",
                "site": "cloud",
                "mode": "timing_only",
                "model": "mobilenet_v1_128",
                "samples_per_client": 10,
                "clients_per_round": 2,
                "collect": {"when": "every_round", "pictures": 30},
            },
        },
        "duration_s": 60,
    }
    controllers = {"offloading": "oracle", "selection": "random"}
    for name in ("one", "two"):
        result = run(
            "quickstart", controllers=controllers, overrides=overrides, out=tmp_path / name
        )
        assert len(result.requests) > 50
        assert result.participants.collect_s.notna().any()
    files = sorted((tmp_path / "one").glob("*.parquet"))
    assert len(files) >= 6
    for file in files:
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
