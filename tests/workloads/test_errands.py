"""Requests that run elsewhere: over every kind of network, and what can go wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import edgesim
from edgesim.controllers import offloading, registry
from edgesim.controllers.slots import Forecast, OffloadingObservation, Target
from edgesim.core.errors import ConfigError
from edgesim.hardware.catalogue import shipped
from edgesim.results.audit import audit
from edgesim.results.result import Result
from edgesim.scenario import seats
from edgesim.scenario.load import load_scenario
from edgesim.workloads import menu

CHECK = settings(derandomize=True, deadline=None, max_examples=12)

BASE: dict[str, Any] = {
    "name": "world",
    "duration_s": 100,
    "networks": {"home": {"kind": "wifi"}},
    "sites": {"cloud": {"server": "t4", "rtt_ms": 40}},
    "phones": {"pixel": {"profile": "pixel_5", "networks": {"home": {"rssi_dbm": -60}}}},
    "jobs": {
        "camera": {
            "kind": "inference",
            "model": "mobilenet_v1",
            "phones": ["pixel"],
            "arrivals": {"kind": "periodic", "period_ms": 10_000, "offset_ms": 1000},
        }
    },
    "controllers": {"offloading": "cloud"},
}


def scenario(tmp_path: Path, **changes: Any) -> Path:
    """The base with values at dotted keys."""
    data = deepcopy(BASE)
    for key, value in changes.items():
        *way, last = key.split("__")
        place = data
        for part in way:
            place = place.setdefault(part, {})
        place[last] = value
    path = tmp_path / "world.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def run(path: Path, controller: str = "cloud") -> Result:
    result = edgesim.run(path, controllers={"offloading": controller})
    list(audit(result))
    return result


DEAD = {"kind": "schedule", "period_s": 1000, "steps": [[0, -60], [1.01, -110], [30, -60]]}
BIG = 3_000_000


# --- what can go wrong ---------------------------------------------------------------------------


def test_a_lost_connection_fails_the_request(tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        networks__home__connection_lost_after_s=2.0,
        phones__pixel__networks={"home": {"rssi_dbm": DEAD}},
        jobs__camera__payload=BIG,
    )
    first = run(path).requests.iloc[0]
    assert (first.status, first.attempts) == ("failed:connection_lost", 1)
    assert first.energy_j > 0


def test_an_attempt_that_failed_is_repeated(tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        networks__home__connection_lost_after_s=2.0,
        phones__pixel__networks={"home": {"rssi_dbm": DEAD}},
        jobs__camera__payload=BIG,
        jobs__camera__retries=20,
        jobs__camera__retry_wait_ms=500,
    )
    first = run(path).requests.iloc[0]
    # Lost 2 s after 1.01, then every 2.5 s until there is a signal again at 30 s.
    assert first.status == "done"
    assert first.attempts == 2 + int((30 - 3.01 - 0.5) / 2.5)
    assert 29 < first.latency_s < 31


def test_a_request_that_takes_too_long_is_given_up_where_it_is(tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        phones__pixel__networks={"home": {"rssi_dbm": DEAD}},
        networks__home__connection_lost_after_s=1000.0,
        jobs__camera__payload=BIG,
        jobs__camera__timeout_ms=5000,
    )
    result = run(path)
    first = result.requests.iloc[0]
    assert first.status == "failed:timeout"
    assert set(result.requests.status[1:]) == {"done"}  # without a signal, on the phone itself
    local = run(scenario(tmp_path, jobs__camera__timeout_ms=1), "edge_cpu")
    assert set(local.requests.status) == {"failed:timeout"}


def test_a_full_server_says_no_and_may_be_asked_again(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "sites__cloud__queue_limit": 0,
        "sites__cloud__server": "t2_small",
        "phones__pixel__count": 3,
        "networks__home__bandwidth_mhz": 80,
    }
    refused = run(scenario(tmp_path, **changes))
    assert (refused.requests.status == "failed:rejected").sum() == 20
    patient = run(scenario(tmp_path, **changes, jobs__camera__retries=1000))
    assert set(patient.requests.status) == {"done"}
    assert patient.requests.attempts.max() > 1


HOSTED: dict[str, Any] = {
    "networks__beside": {"kind": "wifi_direct", "to": "tablet", "rtt_ms": 3},
    "phones__tablet": {"profile": "galaxy_tab_s6"},
    "phones__pixel__networks": {"home": {"rssi_dbm": -60}, "beside": {"rssi_dbm": -50}},
}


def test_a_phone_nearby_pays_for_its_guests(tmp_path: Path) -> None:
    result = run(scenario(tmp_path, **HOSTED), "connected_edge")
    assert set(result.requests.status) == {"done"}
    assert result.requests.target.str.startswith("tablet/").all()
    tablet = result.energy[(result.energy.device == "tablet") & (result.energy.job == "camera")]
    assert tablet.energy_j.sum() == pytest.approx(result.requests.host_energy_j.sum(), rel=1e-9)
    assert set(tablet.component) >= {"base", "wifi"}


def test_a_host_that_runs_empty_fails_its_guest(tmp_path: Path) -> None:
    tiny = {"profile": "galaxy_tab_s6", "charge": 1e-5}
    path = scenario(
        tmp_path, **HOSTED | {"phones__tablet": tiny}, jobs__camera__payload=200_000_000
    )
    result = run(path, "connected_edge")
    first = result.requests.iloc[0]
    assert first.status == "failed:host_battery_empty"
    assert first.host_energy_j > 0
    # From then on there is no such option.
    assert not result.requests.target.iloc[1:].str.startswith("tablet/").any()


ONCE = {"kind": "periodic", "period_ms": 1e9, "offset_ms": 1}


def test_a_host_that_runs_empty_while_the_phone_decides_is_out_of_reach(tmp_path: Path) -> None:
    tablet = {"profile": "galaxy_tab_s6", "charge": 1e-5}
    path = scenario(
        tmp_path,
        **HOSTED | {"phones__tablet": tablet},
        jobs__camera__decision_overhead_ms=40_000,
        jobs__camera__arrivals=ONCE,
    )
    (row,) = run(path, "connected_edge").requests.itertuples()
    assert (row.target.split("/")[0], row.status) == ("tablet", "failed:connection_lost")


def test_a_host_that_runs_empty_between_attempts_is_out_of_reach(tmp_path: Path) -> None:
    tablet = {"profile": "galaxy_tab_s6", "charge": 1.6e-5}
    path = scenario(
        tmp_path,
        **HOSTED
        | {
            "phones__tablet": tablet,
            "networks__beside__connection_lost_after_s": 0.5,
            "phones__pixel__networks": {
                "home": {"rssi_dbm": -60},
                "beside": {
                    "rssi_dbm": {
                        "kind": "schedule",
                        "period_s": 1000,
                        "steps": [[0, -50], [0.002, -120], [5, -50]],
                    }
                },
            },
        },
        jobs__camera__retries=1,
        jobs__camera__retry_wait_ms=60_000,
        jobs__camera__arrivals=ONCE,
    )
    (row,) = run(path, "connected_edge").requests.itertuples()
    assert (row.attempts, row.status) == (2, "failed:connection_lost")


def test_a_host_without_room_for_the_model_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(menu, "resident_bytes", lambda *_: 1e12)
    path = scenario(
        tmp_path, **HOSTED, jobs__camera__models_loaded="on_demand", jobs__camera__retries=1
    )
    requests = run(path, "connected_edge").requests
    assert set(requests.status) == {"failed:host_out_of_memory"}
    assert set(requests.attempts) == {2}
    assert (requests.host_energy_j > 0).all()
    own = run(path, "edge_cpu").requests
    assert set(own.status) == {"failed:out_of_memory"}
    assert set(own.attempts) == {1}  # what fails on the phone itself is not repeated


def test_what_jobs_cost_is_what_requests_cost_here_and_there(tmp_path: Path) -> None:
    path = scenario(
        tmp_path,
        **HOSTED,
        phones__pixel__count=3,
        jobs__other=BASE["jobs"]["camera"]
        | {"model": "mobilebert", "arrivals": {"kind": "poisson", "rate_per_s": 2}},
        jobs__camera__retries=2,
        jobs__camera__timeout_ms=600,
        jobs__camera__arrivals={"kind": "poisson", "rate_per_s": 3},
        sites__cloud__queue_limit=1,
        sites__cloud__server="t2_small",
    )
    result = run(path, "random")
    requests, energy = result.requests, result.energy
    assert requests.status.nunique() > 1
    for job in ("camera", "other"):
        rows = requests[requests.job == job]
        cost_j = rows.energy_j.sum() + rows.host_energy_j.sum()
        on_phones = energy[(energy.job == job) & (energy.device != "cloud")]
        assert cost_j == pytest.approx(on_phones.energy_j.sum(), rel=1e-9)
        own = on_phones[on_phones.device != "tablet"]
        assert rows.energy_j.sum() == pytest.approx(own.energy_j.sum(), rel=1e-9)


def test_warm_up_is_not_in_the_summary(tmp_path: Path) -> None:
    result = run(scenario(tmp_path, jobs__camera__warmup_s=25))
    assert list(result.requests.phase) == ["warmup"] * 3 + ["evaluation"] * 7
    assert result.summary["requests"] == 7


def test_a_picture_may_be_sent_as_it_is_or_compressed(tmp_path: Path) -> None:
    model = load_scenario(scenario(tmp_path)).models["mobilenet_v1"]
    assert (model.input_bytes, model.jpeg_bytes) == (224 * 224 * 3, round(224 * 224 * 2.3 / 8))
    raw, jpeg, given_bytes = (
        run(scenario(tmp_path, jobs__camera__payload=payload)).requests.latency_s[0]
        for payload in ("raw", "jpeg", model.jpeg_bytes)
    )
    assert jpeg == given_bytes < raw
    with pytest.raises(ConfigError, match=r"jobs\.camera\.payload: .* no colour picture"):
        load_scenario(
            scenario(tmp_path, jobs__camera__payload="jpeg", jobs__camera__model="mobilebert")
        )


# --- the forecast is the simulation --------------------------------------------------------------


class Picks(offloading.FixedRule):
    """Takes the n-th option, and notes what was foreseen of all of them."""

    needs_what_if = True
    number = 0
    foreseen: list[tuple[float, Target, Forecast]] = []

    def decide(self, observation: OffloadingObservation) -> Target:
        what_if = observation.what_if
        assert what_if is not None
        target = observation.options[self.number % len(observation.options)].target
        self.foreseen.append((observation.time_s, target, what_if(target)))
        return target


@pytest.fixture(scope="module", autouse=True)
def _picks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        entry = registry.Entry("offloading", f"{__name__}:Picks", "the n-th option")
        known = {**registry.CONTROLLERS, "picks": entry}
        patch.setattr(registry, "CONTROLLERS", known)
        patch.setattr(seats, "CONTROLLERS", known)
        yield


def fading(mean_dbm: float) -> dict[str, Any]:
    return {"kind": "gauss_markov", "mean": mean_dbm, "std": 9, "step_s": 1.0}


WORLDS: dict[str, dict[str, Any]] = {
    "LTE": {
        "networks__home": {"kind": "lte"},
        "phones__pixel__networks": {"home": {"rssi_dbm": fading(-75)}},
    },
    "LTE, a server that takes its time": {
        "networks__home": {"kind": "lte"},
        "phones__pixel__networks": {"home": {"rssi_dbm": fading(-70)}},
        "sites__cloud__rtt_ms": 25_000,
    },
    "wires": {
        "links": {
            "dsl": {"uplink_mbps": 2, "downlink_mbps": 10, "rtt_ms": 8},
            "core": {"uplink_mbps": 100, "downlink_mbps": 100},
        },
        "networks__home__backhaul": ["dsl"],
        "sites__cloud__links": ["core"],
        "phones__pixel__networks": {"home": {"rssi_dbm": fading(-70)}},
    },
    "two access points and a cell": {
        "networks": {
            "home": {"kind": "wifi", "roaming": "house"},
            "garden": {"kind": "wifi", "roaming": "house"},
            "macro": {"kind": "lte"},
        },
        "phones__pixel__networks": {
            "home": {"rssi_dbm": fading(-76)},
            "garden": {"rssi_dbm": fading(-76)},
            "macro": {"rssi_dbm": fading(-70)},
        },
    },
    "dead spots": {
        "networks__home__connection_lost_after_s": 1.5,
        "phones__pixel__networks": {
            "home": {
                "rssi_dbm": {"kind": "markov", "values": [-60, -110], "mean_dwell_s": [3, 1.5]}
            }
        },
    },
    "a phone nearby": HOSTED
    | {
        "phones__pixel__networks": {
            "home": {"rssi_dbm": fading(-70)},
            "beside": {"rssi_dbm": fading(-70)},
        }
    },
    "batches and other tenants": {
        "sites__cloud__batching": {"size": 4, "wait_ms": 7},
        "sites__cloud__load": {"kind": "markov", "values": [0.1, 0.8], "mean_dwell_s": [2, 2]},
    },
}


@pytest.mark.parametrize("kind", WORLDS)
@given(
    seed=st.integers(0, 1000), number=st.integers(0, 20), payload=st.sampled_from([150_000, BIG])
)
@CHECK
def test_what_is_foreseen_comes_true_in_an_idle_world(
    kind: str, seed: int, number: int, payload: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = scenario(
        tmp_path_factory.mktemp("world"),
        **WORLDS[kind],
        seed=seed,
        duration_s=400,
        jobs__camera__payload=payload,
        jobs__camera__arrivals={"kind": "periodic", "period_ms": 61_000, "offset_ms": 700},
        jobs__camera__decision_overhead_ms=seed % 2 * 15,
    )
    Picks.number = number
    Picks.foreseen.clear()
    requests = run(path, "picks").requests
    for (time_s, target, forecast), row in zip(Picks.foreseen, requests.itertuples(), strict=True):
        assert row.time_s == time_s
        if row.status == "failed:connection_lost":
            assert forecast.latency_s == float("inf"), target
        elif time_s + forecast.latency_s < 380:  # so that the tail is over before the run is
            assert row.status == "done"
            assert row.latency_s == pytest.approx(forecast.latency_s, rel=1e-9)
            assert row.energy_j == pytest.approx(forecast.energy_j, rel=1e-9)


def foreseen_and_done(
    tmp_path: Path, is_wanted: Callable[[Target], bool], **changes: Any
) -> tuple[Forecast, Any]:
    """What was foreseen of the only request, at the first target that is wanted, and its row."""
    path = scenario(tmp_path, **changes | {"jobs__camera__arrivals": ONCE | {"offset_ms": 1000}})
    first = run(path, "picks")  # to see what there is
    assert len(first.requests) == 1
    for number in range(40):
        Picks.number = number
        Picks.foreseen.clear()
        (row,) = run(path, "picks").requests.itertuples()
        ((_, target, forecast),) = Picks.foreseen
        if is_wanted(target):
            return forecast, row
    raise AssertionError("there is no such option")


def to_the_cloud(target: Target) -> bool:
    return target.place == "cloud"


def assert_true(forecast: Forecast, row: Any) -> None:
    if row.status == "failed:connection_lost":
        assert forecast.latency_s == inf
        return
    assert row.status == "done"
    assert row.latency_s == pytest.approx(forecast.latency_s, rel=1e-9)
    assert row.energy_j == pytest.approx(forecast.energy_j, rel=1e-9)


@pytest.mark.parametrize("dead_s", [1.9, 2.0, 2.1])
def test_a_dead_spot_as_long_as_patience_is_foreseen(dead_s: float, tmp_path: Path) -> None:
    steps = [[0, -60], [1.25, -110], [1.25 + dead_s, -60]]
    rssi = {"kind": "schedule", "period_s": 1000, "steps": steps}
    forecast, row = foreseen_and_done(
        tmp_path,
        to_the_cloud,
        networks__home__connection_lost_after_s=2.0,
        phones__pixel__networks={"home": {"rssi_dbm": rssi}},
        jobs__camera__payload=10_000_000,
    )
    assert_true(forecast, row)


@pytest.mark.parametrize(
    ("roaming", "change_s"),
    [
        pytest.param("house", 1.1, id="handed over meanwhile"),
        pytest.param("house", 1.4, id="in the gap of a handover"),
        pytest.param(None, 1.4, id="in the gap of a switch"),
        pytest.param(None, 1.05, id="switched meanwhile"),
    ],
)
def test_a_phone_that_changes_its_network_while_it_decides_is_foreseen(
    roaming: str | None, change_s: float, tmp_path: Path
) -> None:
    falls = {"kind": "schedule", "period_s": 1000, "steps": [[0, -50], [change_s, -75]]}
    same = {} if roaming is None else {"roaming": roaming}
    forecast, row = foreseen_and_done(
        tmp_path,
        to_the_cloud,
        networks={"home": {"kind": "wifi"} | same, "garden": {"kind": "wifi"} | same},
        phones__pixel__networks={"home": {"rssi_dbm": falls}, "garden": {"rssi_dbm": -55}},
        phones__pixel__roaming={"gap_ms": 200, "switch_gap_ms": 300},
        jobs__camera__decision_overhead_ms=500,
    )
    assert_true(forecast, row)


@pytest.mark.parametrize("kind", ["LTE", "wires", "dead spots", "a phone nearby"])
@given(seed=st.integers(0, 1000), number=st.integers(0, 20))
@settings(derandomize=True, deadline=None, max_examples=6)
def test_what_is_foreseen_comes_true_in_the_tail_of_the_request_before(
    kind: str, seed: int, number: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = scenario(
        tmp_path_factory.mktemp("world"),
        **WORLDS[kind],
        seed=seed,
        duration_s=120,
        jobs__camera__arrivals={"kind": "periodic", "period_ms": 2_300, "offset_ms": 700},
    )
    Picks.number = number
    Picks.foreseen.clear()
    rows = list(run(path, "picks").requests.sort_values("time_s").itertuples())
    is_free_s = 0.0
    for number, ((time_s, _, forecast), row) in enumerate(zip(Picks.foreseen, rows, strict=True)):
        assert row.time_s == time_s
        end_s = time_s + (row.latency_s if row.status == "done" else 12.0)  # or it has been lost
        next_s = rows[number + 1].time_s if number + 1 < len(rows) else inf
        if row.status == "done" and is_free_s <= time_s and end_s <= next_s:
            assert row.latency_s == pytest.approx(forecast.latency_s, rel=1e-9)
            # Its tail is the next one's to cut short.
            assert row.energy_j <= forecast.energy_j * (1 + 1e-9)
        is_free_s = max(is_free_s, end_s)


@pytest.mark.parametrize(("period_s", "is_over"), [(10, False), (14, True)])
def test_a_tail_that_ends_while_the_phone_decides_is_foreseen(
    period_s: float, is_over: bool, tmp_path: Path
) -> None:
    path = scenario(
        tmp_path,
        networks__home={"kind": "lte"},
        phones__pixel__networks={"home": {"rssi_dbm": -70}},
        jobs__camera__decision_overhead_ms=8_000,
        jobs__camera__arrivals={
            "kind": "periodic",
            "period_ms": 1000 * period_s,
            "offset_ms": 1000,
        },
        duration_s=50,
    )
    Picks.number = -1
    Picks.foreseen.clear()
    rows = list(run(path, "picks").requests.sort_values("time_s").itertuples())
    tail_s = shipped().phone("pixel_5").lte.tail_s  # type: ignore[union-attr]
    for row, after, (_, target, forecast) in zip(rows, rows[1:], Picks.foreseen, strict=False):
        assert (target.place, row.status) == ("cloud", "done")
        assert row.latency_s == pytest.approx(forecast.latency_s, rel=1e-9)
        tail_ends_s = row.time_s + row.latency_s + tail_s
        assert tail_ends_s > after.time_s  # it is in progress when the next one is decided on
        assert is_over == (tail_ends_s < after.time_s + 8)
        if is_over and after.status == "done":
            assert row.energy_j == pytest.approx(forecast.energy_j, rel=1e-9)
