"""Requests that run elsewhere: over every kind of network, and what can go wrong on the way."""

from __future__ import annotations

from copy import deepcopy
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
from edgesim.results.audit import audit
from edgesim.results.result import Result
from edgesim.scenario import references
from edgesim.scenario.load import load_scenario

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
        patch.setattr(references, "CONTROLLERS", known)
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
