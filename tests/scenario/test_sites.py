"""Sites of a scenario: what they may say, what is refused, and that no controller moves them."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesim
import edgesim.scenario.world as world_module
from edgesim.controllers.slots import Forecast, OffloadingObservation, Target
from edgesim.core.errors import ConfigError
from edgesim.core.recorder import Recorder
from edgesim.results.audit import audit
from edgesim.scenario.load import LoadedScenario, load_scenario
from edgesim.scenario.world import World

TEXT = """\
name: small
duration_s: 5
networks:
  home: {kind: wifi}
sites:
  cloud:
    server: xeon_e5_2640_p100
    rtt_ms: 34
    EXTRA
phones:
  pixel:
    profile: mi_8_pro
    network: home
    rssi_dbm: -50
jobs:
  camera:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: poisson, rate_per_s: 1}
controllers:
  offloading: cloud
"""

WEATHER = {
    "constant": 0.4,
    "schedule": {"kind": "schedule", "period_s": 2, "steps": [[0, 0.1], [1, 0.7]]},
    "markov": {"kind": "markov", "values": [0.0, 0.9], "mean_dwell_s": [0.05, 0.02]},
    "gauss_markov": {
        "kind": "gauss_markov",
        "mean": 0.4,
        "std": 0.3,
        "step_s": 0.01,
        "correlation_time_s": 0.1,
    },
}


def load(folder: Path, extra: str = "", **changes: Any) -> LoadedScenario:
    file = folder / "world.yaml"
    file.write_text(TEXT.replace("    EXTRA\n", f"    {extra}\n" if extra else ""))
    return load_scenario(file, changes.items())


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "place", "message"),
    [
        (
            "concurrency: {npu: 2}",
            "concurrency.npu",
            "has no processor 'npu'; did you mean 'gpu'? Known: cpu, gpu",
        ),
        ("concurrency: {gpu: 0}", "concurrency.gpu", "greater than or equal to 1; found 0"),
        ("concurrency: 4", "concurrency", "expected keys and values; found 4"),
        ("queue_limit: -1", "queue_limit", "greater than or equal to 0; found -1"),
        ("queue_limit: 2.5", "queue_limit", "found 2.5"),
        ("batching: {size: 8, wait: 5}", "batching.default.wait", "did you mean 'wait_ms'?"),
        ("batching: {size: 0}", "batching.default.size", "greater than or equal to 1; found 0"),
        ("batching: {gpu: {size: 8, wait_ms: -1}}", "batching.gpu.wait_ms", "found -1"),
        ("batching: {gpv: {size: 8}}", "batching.gpv", "did you mean 'gpu'?"),
        ("batching: {size: 8}\n    queue_limit: 7", "queue_limit", "no batch of 8 can form"),
        ("load: 1", "load.default.value", "less than or equal to 0.99; found 1"),
        ("load: -0.1", "load.default.value", "greater than or equal to 0; found -0.1"),
        ("load: {npu: 0.5}", "load.npu", "Known: cpu, default, gpu"),
        ("load: {gpu: 2}", "load.gpu.value", "less than or equal to 0.99; found 2"),
        (
            "load: {kind: markov, values: [0, 1.5], mean_dwell_s: [1, 1]}",
            "load.default.values[1]",
            "less than or equal to 0.99; found 1.5",
        ),
        (
            "load: {kind: gauss_markov, mean: 0.5, std: 0.1, min: 0.6}",
            "load.default.mean",
            "not between min and max, 0.6 and 0.99",
        ),
        ("load: {kind: gaus_markov, mean: 0.5}", "load.default.kind", "did you mean"),
        ("load: {kind: trace, file: none.csv}", "load.default.file", "cannot be read"),
    ],
)
def test_what_a_site_cannot_do_is_refused_where_it_stands(
    extra: str, place: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, extra)
    (told,) = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    line = 9 + ("\n" in extra)
    assert told.startswith(f"world.yaml:{line}: sites.cloud.{place}: ")
    assert message in told


def test_a_trace_of_load_holds_shares(tmp_path: Path) -> None:
    extra = "load: {gpu: {kind: trace, file: load.csv, period_s: 10}}"
    (tmp_path / "load.csv").write_text("time_s,value\n0,0.5\n1,1.5\n")
    with pytest.raises(ConfigError, match=r"load\.csv:3: needs a finite time and 0 to 0\.99 as a"):
        load(tmp_path, extra)
    (tmp_path / "load.csv").write_text("time_s,value\n0,0.5\n1,0.7\n")
    world = World(load(tmp_path, extra), Recorder(None, []))
    others = world.servers["cloud"].processors["gpu"].others
    assert others is not None
    assert list(others.segments(0.5, 1.5)) == [(0.5, 1.0, 0.5), (1.0, 1.5, 0.7)]
    assert world.servers["cloud"].processors["cpu"].others is None


def test_the_limit_of_signal_changes_counts_load(tmp_path: Path) -> None:
    extra = "load: {kind: gauss_markov, mean: 0.4, std: 0.1, step_s: 0.5}"
    limit = "limits.signal_changes"
    assert load(tmp_path, extra, **{limit: 10})
    with pytest.raises(ConfigError, match="about 10 signal changes"):
        load(tmp_path, extra, **{limit: 9})


# --- what they do --------------------------------------------------------------------------------


def test_slots_batches_and_tenants_are_as_the_scenario_says(tmp_path: Path) -> None:
    extra = "concurrency: {cpu: 4}\n    batching: {gpu: {size: 8}}\n    load: {cpu: 0.3}"
    server = World(load(tmp_path, extra), Recorder(None, [])).servers["cloud"]
    cpu, gpu = server.processors["cpu"], server.processors["gpu"]
    assert (cpu.spec.slots, gpu.spec.slots) == (4, 1)
    assert cpu.others is not None
    assert gpu.others is None
    assert cpu.capacity.capacity == pytest.approx(4 * 0.7)
    assert list(server._batchers) == ["gpu"]
    assert server._batchers["gpu"].rule.wait_s == 0.0


def test_one_load_for_all_is_one_path_and_one_each_are_several(tmp_path: Path) -> None:
    signal = "{kind: gauss_markov, mean: 0.5, std: 0.2, step_s: 1}"

    def paths(extra: str) -> list[list[tuple[float, float, float]]]:
        server = World(load(tmp_path, extra), Recorder(None, [])).servers["cloud"]
        return [
            list(processor.others.segments(0.0, 20.0))
            for _, processor in sorted(server.processors.items())
            if processor.others is not None
        ]

    cpu, gpu = paths(f"load: {signal}")
    assert cpu == gpu
    apart = paths(f"load: {{cpu: {signal}, gpu: {signal}}}")
    assert apart[0] != apart[1]
    assert paths(f"load: {{gpu: {signal}, default: 0}}") == [apart[1]]


class Chooser:
    """Always chooses one target, and keeps what was foretold."""

    needs_what_if = True
    learns = False

    def __init__(self, target: Target) -> None:
        self.target = target
        self.forecasts: list[Forecast] = []

    def decide(self, observation: OffloadingObservation) -> Target:
        assert observation.what_if is not None
        self.forecasts.append(observation.what_if(self.target))
        return self.target


def play(
    target: str, site: dict[str, Any], offset_ms: float = 1000.0, seed: int = 0, **changes: Any
) -> tuple[Chooser, World, Any]:
    """One phone, one request, one site; the world is run by whoever asked for it."""
    job = {
        "kind": "inference",
        "model": "inception_v3",
        "arrivals": {"kind": "periodic", "period_ms": 1e9, "offset_ms": offset_ms},
    }
    phone = {"profile": "mi_8_pro", "network": "home", "rssi_dbm": -60}
    base = {"server": "xeon_e5_2640_p100", "rtt_ms": 34}
    loaded = load_scenario(
        "quickstart",
        {
            "phones": {"phone": phone},
            "sites": {"cloud": {**base, **site}},
            "jobs": {"job": job},
            "controllers": {"offloading": "random"},
            "duration_s": 60.0,
            "seed": seed,
            **changes,
        }.items(),
    )
    chooser = Chooser(Target(*target.split("/")))
    recorder = Recorder(None, ["requests", "energy", "devices"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_module, "make_controller", lambda name, setting: chooser)
        world = World(loaded, recorder)
    return chooser, world, recorder


def finish(world: World, recorder: Recorder) -> Any:
    world.run()
    world.finish()
    (row,) = recorder.finish()["requests"].to_pylist()
    return row


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    target=st.sampled_from(["cloud/gpu/fp32", "cloud/cpu/int8"]),
    weather=st.sampled_from([None, *WEATHER]),
    batching=st.sampled_from(
        [None, {"size": 1, "wait_ms": 7}, {"size": 8, "wait_ms": 5}, {"gpu": {"size": 3}}]
    ),
    limit=st.sampled_from([None, 10]),
    slots=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    offset_ms=st.floats(0, 5000),
)
def test_a_forecast_equals_what_happens_in_an_idle_world(
    target: str,
    weather: str | None,
    batching: dict[str, Any] | None,
    limit: int | None,
    slots: int,
    seed: int,
    offset_ms: float,
) -> None:
    site: dict[str, Any] = {"concurrency": {"cpu": slots, "gpu": slots}}
    if weather is not None:
        site["load"] = WEATHER[weather]
    if batching is not None:
        site["batching"] = batching
    if limit is not None:
        site["queue_limit"] = limit
    chooser, world, recorder = play(target, site, offset_ms, seed)
    row = finish(world, recorder)
    assert row["status"] == "done"
    assert chooser.forecasts[0].latency_s == pytest.approx(row["latency_s"], rel=1e-9)
    assert chooser.forecasts[0].energy_j == pytest.approx(row["energy_j"], rel=1e-9)


def test_a_request_that_is_turned_away_fails_when_the_answer_is_back() -> None:
    chooser, world, recorder = play("cloud/gpu/fp32", {"queue_limit": 1})
    server = world.servers["cloud"]
    world.clock.run_until(0.999)
    rejections: list[float] = []
    for _ in range(3):
        server.submit(
            "gpu",
            server.tenant("others"),
            30.0,
            lambda: None,
            lambda: rejections.append(world.clock.now),
        )
    assert rejections == [0.999]
    world.clock.run_until(1.5)
    (phone,) = world.fleet.built()
    assert not phone.active
    assert phone.meter.power_w < 1.0
    row = finish(world, recorder)
    assert row["status"] == "failed:rejected"
    assert row["latency_s"] is None
    # It was sent, and the phone waited for the answer in the radio's tail.
    assert row["energy_j"] > 0.0
    assert chooser.forecasts[0] == Forecast(inf, inf)


def test_an_idle_site_with_tenants_costs_no_events(tmp_path: Path) -> None:
    gauss = {**WEATHER["gauss_markov"], "step_s": 10.0}  # type: ignore[dict-item]

    def events(load: Any) -> tuple[int, float]:
        site = {"load": load}
        _, world, _ = play("device/dsp/int8", site, duration_s=86_400.0)
        world.run()
        summary = world.finish()
        return summary["events"], summary["energy_servers_j"]

    none, alone_j = events(0)
    some, together_j = events(gauss)
    assert none == some
    assert together_j > 1.5 * alone_j


BUSY_SITE = """concurrency: {cpu: 2}
    queue_limit: 3
    batching: {size: 3, wait_ms: 4}
    load: {kind: gauss_markov, mean: 0.8, std: 0.3, step_s: 0.02, correlation_time_s: 0.2}"""


@pytest.mark.parametrize("controller", ["edge_cpu", "cloud", "random", "oracle"])
def test_the_books_balance_and_nothing_depends_on_chance(controller: str, tmp_path: Path) -> None:
    changes = {
        "phones.pixel.count": 20,
        "jobs.camera.arrivals.rate_per_s": 6,
        "jobs.camera.model": "inception_v3",
        "controllers.offloading": controller,
    }

    def run() -> Any:
        load(tmp_path, BUSY_SITE)
        return edgesim.run(tmp_path / "world.yaml", overrides=changes)

    result, again = run(), run()
    assert len(list(audit(result))) == 4
    assert dict(result.summary) == dict(again.summary)
    if controller == "cloud":
        assert "failed:rejected" in set(result.requests.status)


def test_tenants_use_the_same_share_under_every_controller(tmp_path: Path) -> None:
    """The GPU draws in proportion to its load, so that theirs does not depend on ours."""
    joules = {}
    for controller in ("edge_cpu", "cloud", "random"):
        load(tmp_path, BUSY_SITE)
        changes = {"jobs.camera.arrivals.rate_per_s": 20, "controllers.offloading": controller}
        energy = edgesim.run(tmp_path / "world.yaml", overrides=changes).energy
        mine = (energy.component == "gpu") & (energy.device == "cloud")
        joules[controller] = float(energy[mine & (energy.activity == "tenants")].energy_j.sum())
        ours_j = float(energy[mine & (energy.activity == "compute")].energy_j.sum())
        assert (ours_j > 0.0) == (controller != "edge_cpu")
    assert joules["cloud"] == pytest.approx(joules["edge_cpu"], rel=1e-9)
    assert joules["random"] == pytest.approx(joules["edge_cpu"], rel=1e-9)
