"""One request's way through the house, against hand calculation, its forecast and brute force."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesim.scenario.world as world_module
from edgesim.controllers.offloading import Oracle
from edgesim.controllers.slots import (
    ControllerError,
    Forecast,
    OffloadingObservation,
    OffloadingOutcome,
    Setting,
    Target,
)
from edgesim.core.recorder import Recorder
from edgesim.hardware.catalogue import shipped
from edgesim.nn.cost import inference_s
from edgesim.nn.model import ModelCost
from edgesim.nn.zoo import ZOO
from edgesim.scenario.load import load_scenario
from edgesim.scenario.world import World

RSSI_DBM = -60.0
RATE_BPS = 65e6 * 2 * 0.65  # MCS 7 at 20 MHz, two streams
RTT_S = 0.034


class Chooser:
    """Chooses what it is told, and remembers what it saw."""

    needs_what_if = True
    learns = True

    def __init__(self, choose: Callable[[OffloadingObservation], Target]) -> None:
        self.choose = choose
        self.forecasts: list[Forecast] = []
        self.decisions: list[Target] = []
        self.outcomes: list[OffloadingOutcome] = []
        self.observations: list[OffloadingObservation] = []

    def decide(self, observation: OffloadingObservation) -> Target:
        target = self.choose(observation)
        assert observation.what_if is not None
        self.forecasts.append(observation.what_if(target))
        self.decisions.append(target)
        self.observations.append(observation)
        return target

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> None:
        assert observation is self.observations[len(self.outcomes)]
        assert decision == self.decisions[len(self.outcomes)]
        self.outcomes.append(outcome)


def play(
    choose: Callable[[OffloadingObservation], Target],
    *,
    model: str = "mobilenet_v1",
    phone: str = "mi_8_pro",
    rssi: Any = RSSI_DBM,
    offset_ms: float = 1000.0,
    deadline_ms: float | None = 100.0,
    seed: int = 0,
    duration_s: float = 120.0,
    **job: Any,
) -> tuple[Chooser, World, dict[str, Any]]:
    """One phone, one request; what the chooser saw, the world afterwards, and its row."""
    spec = {
        "kind": "inference",
        "model": model,
        "arrivals": {"kind": "periodic", "period_ms": 1e9, "offset_ms": offset_ms},
        **({} if deadline_ms is None else {"deadline_ms": deadline_ms}),
        **job,
    }
    loaded = load_scenario(
        "quickstart",
        [
            ("phones", {"phone": {"profile": phone, "network": "home", "rssi_dbm": rssi}}),
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
    (row,) = recorder.finish()["requests"].to_pylist()
    return chooser, world, row


def target(text: str) -> Callable[[OffloadingObservation], Target]:
    return lambda observation: Target(*text.split("/"))


def on_the_servers_gpu_s(model: ModelCost) -> float:
    gpu = shipped().server("xeon_e5_2640_p100").processors["gpu"]
    seconds = inference_s(model, gpu, "fp32")
    assert seconds
    return seconds


def test_a_local_request_costs_what_its_profile_says() -> None:
    chooser, _, row = play(target("device/dsp/int8"))
    phone = shipped().phone("mi_8_pro")
    dsp = phone.processors["dsp"]
    latency_s = inference_s(ZOO["mobilenet_v1"], dsp, "int8")
    assert latency_s
    assert row["latency_s"] == pytest.approx(latency_s, rel=1e-9)
    assert row["energy_j"] == pytest.approx(
        (dsp.busy_power_w + phone.awake_w) * latency_s, rel=1e-9
    )
    assert row["status"] == "done"
    assert row["deadline_met"] is True
    assert row["accuracy"] == ZOO["mobilenet_v1"].accuracy["int8"].value
    assert chooser.outcomes[0].energy_j == row["energy_j"]


def test_a_remote_request_costs_transfers_waiting_and_one_whole_tail() -> None:
    _, world, row = play(target("cloud/gpu/fp32"))
    phone, model = shipped().phone("mi_8_pro"), ZOO["mobilenet_v1"]
    wifi = phone.wifi
    work_s = on_the_servers_gpu_s(model)
    up_s, down_s = (8 * size / RATE_BPS for size in (model.input_bytes, model.output_bytes))
    latency_s = up_s + RTT_S + work_s + down_s
    assert RTT_S + work_s < wifi.tail_s  # so that it waits in the tail all the while
    energy_j = (
        wifi.transmitting_w(RSSI_DBM) * up_s
        + wifi.tail_w * (RTT_S + work_s)
        + wifi.receive_w * down_s
        + wifi.tail_w * wifi.tail_s
        + phone.awake_w * latency_s
    )
    assert row["latency_s"] == pytest.approx(latency_s, rel=1e-9)
    assert row["energy_j"] == pytest.approx(energy_j, rel=1e-9)
    gpu = world.servers["cloud"].processors["gpu"]
    assert gpu.busy_s == pytest.approx(work_s, rel=1e-9)


gauss_markov = st.builds(
    lambda mean, std, tau: {
        "kind": "gauss_markov",
        "mean": mean,
        "std": std,
        "step_s": 0.01,
        "correlation_time_s": tau,
    },
    st.floats(-80, -50),
    st.floats(0, 12),
    st.floats(0.05, 2.0),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rssi=gauss_markov,
    seed=st.integers(0, 2**32),
    offset_ms=st.floats(0, 5000),
    pick=st.integers(0, 1000),
    model=st.sampled_from(sorted(ZOO)),
    phone=st.sampled_from(["mi_8_pro", "galaxy_s10e", "moto_x_force"]),
    overhead_ms=st.sampled_from([0.0, 3.0]),
)
def test_a_forecast_equals_what_happens_in_an_idle_world(
    rssi: dict[str, Any],
    seed: int,
    offset_ms: float,
    pick: int,
    model: str,
    phone: str,
    overhead_ms: float,
) -> None:
    chooser, _, row = play(
        lambda observation: observation.options[pick % len(observation.options)].target,
        rssi=rssi,
        seed=seed,
        offset_ms=offset_ms,
        model=model,
        phone=phone,
        decision_overhead_ms=overhead_ms,
    )
    forecast = chooser.forecasts[0]
    assert row["status"] == "done"
    assert forecast.latency_s == pytest.approx(row["latency_s"], rel=1e-9)
    assert forecast.energy_j == pytest.approx(row["energy_j"], rel=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    rssi=gauss_markov,
    seed=st.integers(0, 2**32),
    model=st.sampled_from(sorted(ZOO)),
    phone=st.sampled_from(["mi_8_pro", "galaxy_s10e", "moto_x_force"]),
    deadline_ms=st.floats(5, 500),
    accuracy_min=st.sampled_from([None, 0.7, 0.765, 0.9]),
)
def test_the_oracle_finds_what_trying_everything_finds(
    rssi: dict[str, Any],
    seed: int,
    model: str,
    phone: str,
    deadline_ms: float,
    accuracy_min: float | None,
) -> None:
    setup: dict[str, Any] = {
        "rssi": rssi,
        "seed": seed,
        "model": model,
        "phone": phone,
        "deadline_ms": deadline_ms,
        "accuracy_min": accuracy_min,
    }
    oracle = Oracle(Setting("job", "offloading", None))  # type: ignore[arg-type]
    chosen, _, _ = play(oracle.decide, **setup)
    options = chosen.observations[0].options
    rows = {o.target: play(lambda _, o=o: o.target, **setup)[2] for o in options}  # type: ignore[misc]
    need = accuracy_min or 0.0
    accurate = [o for o in options if o.accuracy >= need]
    if not accurate:
        most = max(o.accuracy for o in options)
        accurate = [o for o in options if o.accuracy == most]
    in_time = [o for o in accurate if rows[o.target]["deadline_met"]]
    if in_time:
        best = min(rows[o.target]["energy_j"] for o in in_time)
        assert rows[chosen.decisions[0]]["deadline_met"]
        assert rows[chosen.decisions[0]]["energy_j"] == pytest.approx(best, rel=1e-9)
    else:
        best = min(rows[o.target]["latency_s"] for o in accurate)
        assert rows[chosen.decisions[0]]["latency_s"] == pytest.approx(best, rel=1e-9)


def test_a_transfer_follows_the_signal_while_it_runs() -> None:
    # 268,203 bytes: at MCS 0 (2 x 6.5 Mbit/s x 0.65) until 1.1 s, then at MCS 7.
    size_bits = 8 * ZOO["inception_v3"].input_bytes
    steps = [[0.0, -81.0], [1.1, RSSI_DBM]]
    rssi = {"kind": "schedule", "period_s": 1000.0, "steps": steps}
    _, _, row = play(target("cloud/gpu/fp32"), model="inception_v3", rssi=rssi)
    slow_bps = 6.5e6 * 2 * 0.65
    up_s = 0.1 + (size_bits - 0.1 * slow_bps) / RATE_BPS
    work_s = on_the_servers_gpu_s(ZOO["inception_v3"])
    down_s = 8 * ZOO["inception_v3"].output_bytes / RATE_BPS
    assert row["latency_s"] == pytest.approx(up_s + RTT_S + work_s + down_s, rel=1e-9)


def test_without_a_connection_only_the_phone_itself_can_be_chosen() -> None:
    chooser, _, row = play(lambda observation: observation.options[0].target, rssi=-95.0)
    assert {option.target.place for option in chooser.observations[0].options} == {"device"}
    assert row["rssi_dbm"] == -95.0


def test_a_target_that_is_not_an_option_is_refused_by_name() -> None:
    with pytest.raises(ControllerError, match=r"'random' in slot 'offloading' of job 'job'.*moon"):
        play(target("moon/gpu/fp32"))
    with pytest.raises(ControllerError, match="cloud/gpu/fp32"):
        play(lambda observation: Target("cloud", "gpu", "fp32"), rssi=-95.0)


def test_a_request_without_a_deadline_is_neither_in_time_nor_late() -> None:
    chooser, _, row = play(target("device/gpu/fp16"), deadline_ms=None)
    assert row["deadline_s"] is None
    assert row["deadline_met"] is None
    assert chooser.observations[0].deadline_s == inf
    assert chooser.outcomes[0].deadline_met is True


@pytest.mark.parametrize(
    ("deadline_ms", "met"),
    [(10.0, False), (5000.0, None)],
    ids=["the deadline has passed", "the deadline is still to come"],
)
def test_what_the_run_cuts_off_is_unfinished(deadline_ms: float, met: bool | None) -> None:
    chooser, _, row = play(
        target("device/cpu_little/fp32"),
        model="inception_v3",
        duration_s=1.1,
        deadline_ms=deadline_ms,
    )
    phone = shipped().phone("mi_8_pro")
    power_w = phone.processors["cpu_little"].busy_power_w + phone.awake_w
    assert row["status"] == "unfinished"
    assert row["latency_s"] is None
    assert row["deadline_met"] is met
    assert row["energy_j"] == pytest.approx(0.1 * power_w, rel=1e-9)
    assert chooser.outcomes == []


def test_deciding_takes_the_time_it_is_said_to_take() -> None:
    _, _, quick = play(target("device/gpu/fp16"))
    _, _, slow = play(target("device/gpu/fp16"), decision_overhead_ms=7.0)
    awake_w = shipped().phone("mi_8_pro").awake_w
    assert slow["latency_s"] == pytest.approx(quick["latency_s"] + 0.007, rel=1e-9)
    assert slow["energy_j"] == pytest.approx(quick["energy_j"] + 0.007 * awake_w, rel=1e-9)


def test_a_forecast_counts_a_line_at_the_server_from_now_whatever_deciding_takes() -> None:
    """Others wait at the server; by the time a slow decision has arrived, the line is shorter."""
    model = ZOO["inception_v3"]
    spec = {
        "kind": "inference",
        "model": model.name,
        "arrivals": {"kind": "periodic", "period_ms": 1e9, "offset_ms": 1000.0},
        "deadline_ms": 100.0,
        "decision_overhead_ms": 40.0,
    }
    loaded = load_scenario(
        "quickstart",
        [
            ("phones", {"p": {"profile": "mi_8_pro", "network": "home", "rssi_dbm": RSSI_DBM}}),
            ("jobs", {"job": spec}),
            ("controllers", {"offloading": "random"}),
            ("duration_s", 60.0),
        ],
    )
    chooser = Chooser(target("cloud/gpu/fp32"))
    recorder = Recorder(None, ["requests"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_module, "make_controller", lambda name, setting: chooser)
        world = World(loaded, recorder)
    gpu = world.servers["cloud"].processors["gpu"]
    tenant = world.servers["cloud"].tenant("others")
    world.clock.run_until(0.999)
    for _ in range(3):
        gpu.run(tenant, 0.2, lambda: None)
    world.run()
    world.finish()
    (row,) = recorder.finish()["requests"].to_pylist()
    assert row["latency_s"] > 0.6
    assert chooser.forecasts[0].latency_s == pytest.approx(row["latency_s"], rel=1e-9)
    assert chooser.forecasts[0].energy_j == pytest.approx(row["energy_j"], rel=1e-9)


def test_what_a_controller_cannot_choose_it_cannot_ask_about_either() -> None:
    def ask(observation: OffloadingObservation) -> Target:
        assert observation.what_if is not None
        observation.what_if(Target("cloud", "gpu", "fp32"))
        return observation.options[0].target

    with pytest.raises(ControllerError, match="cloud/gpu/fp32"):
        play(ask, rssi=-95.0)


@pytest.mark.parametrize("nonsense", [None, 7, ["device", "gpu", "fp16"], "device/gpu/fp16"])
def test_a_decision_of_the_wrong_type_is_refused_as_any_other(nonsense: Any) -> None:
    chooser = Chooser(lambda observation: nonsense)
    chooser.decide = lambda observation: nonsense  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_module, "make_controller", lambda name, setting: chooser)
        changes = [("duration_s", 20), ("controllers", {"offloading": "random"})]
        world = World(load_scenario("quickstart", changes), Recorder(None, ["requests"]))
        with pytest.raises(ControllerError, match="chose"):
            world.run()
