"""Networks, sites and phones that do not fit together are refused where they stand."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgesim.core.errors import ConfigError
from edgesim.scenario.load import load_scenario
from edgesim.scenario.topology import ways

BASE: dict[str, Any] = {
    "name": "world",
    "duration_s": 100,
    "links": {
        "dsl": {"uplink_mbps": 10, "downlink_mbps": 50, "rtt_ms": 8},
        "core": {"uplink_mbps": 1000, "downlink_mbps": 1000, "rtt_ms": 2},
    },
    "networks": {
        "home": {"kind": "wifi", "backhaul": ["dsl"], "rtt_ms": 1},
        "macro": {"kind": "lte"},
        "beside": {"kind": "wifi_direct", "to": "tablet", "rtt_ms": 3},
    },
    "sites": {
        "cloud": {"server": "t4", "rtt_ms": 30, "links": ["core"]},
        "edge": {"server": "t4", "rtt_ms": 1, "at": "home"},
    },
    "phones": {
        "tablet": {"profile": "galaxy_tab_s6"},
        "pixel": {
            "profile": "pixel_5",
            "networks": {
                "home": {"rssi_dbm": -60},
                "macro": {"rssi_dbm": -70},
                "beside": {"rssi_dbm": -50},
            },
        },
    },
    "jobs": {
        "camera": {
            "kind": "inference",
            "model": "mobilenet_v1",
            "phones": ["pixel"],
            "arrivals": {"kind": "poisson", "rate_per_s": 1},
        }
    },
    "controllers": {"offloading": "cloud"},
}


def write(folder: Path, changes: dict[str, Any]) -> Path:
    data = deepcopy(BASE)
    for key, value in changes.items():
        *way, last = key.split(".")
        place = data
        for part in way:
            place = place.setdefault(part, {})
        if value is None:
            del place[last]
        else:
            place[last] = deepcopy(value)
    path = folder / "world.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def refusal(folder: Path, changes: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_scenario(write(folder, changes))
    return [str(problem).replace(str(folder) + "/", "") for problem in caught.value.problems]


def test_ways_lead_over_backhaul_and_links_and_add_up_their_round_trips(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, {})).scenario
    assert [tuple(way) for way in ways(scenario, "home")] == [
        ("cloud", ("dsl", "core"), pytest.approx(0.041)),
        ("edge", (), pytest.approx(0.002)),
    ]
    assert [tuple(way) for way in ways(scenario, "macro")] == [
        ("cloud", ("core",), pytest.approx(0.072))
    ]
    assert [tuple(way) for way in ways(scenario, "beside")] == [("tablet", (), 0.003)]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"networks.home.backhaul": ["dls"]}, "networks.home.backhaul[0]", "did you mean 'dsl'"),
        ({"networks.home.backhaul": ["dsl", "dsl"]}, "networks.home.backhaul[1]", "given twice"),
        ({"networks.beside.to": "tablett"}, "networks.beside.to", "no phone group 'tablett'"),
        ({"phones.tablet.count": 2}, "networks.beside.to", "is several phones"),
        ({"networks.macro.bandwidth_mhz": 12}, "networks.macro.bandwidth_mhz", "no LTE cell"),
        ({"networks.home.goodput_ratio": 0}, "networks.home.goodput_ratio", "0.001"),
        ({"networks.home.x_m": 3}, "networks.home", "x_m and y_m are given together"),
        ({"links.dsl.uplink_mbps": 0}, "links.dsl.uplink_mbps", "greater than 0"),
        ({"sites.cloud.networks": []}, "sites.cloud.networks", "cannot be reached"),
        ({"sites.cloud.networks": ["beside"]}, "sites.cloud.networks[0]", "leads to its phone"),
        ({"sites.cloud.networks": ["hom"]}, "sites.cloud.networks[0]", "did you mean 'home'"),
        ({"sites.edge.networks": ["macro"]}, "sites.edge.networks", "reached from there only"),
        ({"sites.edge.at": "beside"}, "sites.edge.at", "nothing can stand there"),
        ({"sites.cloud.links": ["core", "core"]}, "sites.cloud.links[1]", "given twice"),
        ({"sites.cloud.links": ["dsl"]}, "sites.cloud.links[0]", "already in the backhaul"),
        (
            {"networks.office": {"kind": "wifi"}, "sites.edge.at": "office"},
            "sites.edge",
            "no phone is attached to office",
        ),
        (
            {"phones.pixel.networks.home": None, "jobs.camera.sites": ["edge"], "sites.edge.at": None,
             "sites.edge.networks": ["home"], "phones.tablet.networks": {"home": {"rssi_dbm": -50}}},
            "jobs.camera.sites[0]",
            "no phone of the job is attached to home",
        ),
        (
            {"networks": {"beside": {"kind": "wifi_direct", "to": "tablet"}}, "links": {},
             "sites": {"cloud": {"server": "t4", "rtt_ms": 30}}, "jobs.camera.sites": ["cloud"],
             "phones.pixel.networks": {"beside": {"rssi_dbm": -50}}},
            "jobs.camera.sites[0]",
            "no network leads there; add one to 'networks'",
        ),
        (
            {"phones.tablet.networks": {"macro": {"rssi_dbm": -60}}},
            "phones.tablet.networks.macro",
            "galaxy_tab_s6 has no LTE",
        ),
        (
            {"phones.tablet.networks": {"beside": {"rssi_dbm": -60}}},
            "phones.tablet.networks.beside",
            "cannot connect to itself",
        ),
        ({"phones.pixel.networks.home": {}}, "phones.pixel.networks.home", "'mobility'"),
        (
            {
                "phones.pixel.networks.home": {},
                "phones.pixel.mobility": {"kind": "fixed", "x_m": 1, "y_m": 2},
            },
            "phones.pixel.networks.home",
            "x_m and y_m",
        ),
        (
            {"phones.pixel.networks.beside": {}, "phones.pixel.mobility": {"kind": "fixed", "x_m": 1, "y_m": 2}},
            "phones.pixel.networks.beside",
            "distance between two phones is not known",
        ),
        (
            {"phones.pixel.mobility": {"kind": "fixed", "x_m": 1, "y_m": 2}},
            "phones.pixel.mobility",
            "nothing depends on it",
        ),
        ({"phones.pixel.networks.hom": {}}, "phones.pixel.networks.hom", "did you mean 'home'"),
        (
            {"phones.pixel.network": "home", "phones.pixel.rssi_dbm": -60},
            "phones.pixel",
            "keep one of them",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_place(
    changes: dict[str, Any], place: str, message: str, tmp_path: Path
) -> None:
    found = refusal(tmp_path, changes)
    assert any(f": {place}: " in line and message in line for line in found), found
    assert all(line.startswith("world.yaml:") for line in found)


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        ("b.csv", "time_s,downlink_mbps\n0,5\n2,-3\n", 3, "found -3"),
        ("b.csv", "time_s,downlink_mbps\n0,5\n2,3\n1,4\n", 4, "increase"),
        ("b.json", '[{"duration_ms": 1000, "bandwidth_kbps": 5},\n {"duration_ms": -1,\n'
         ' "bandwidth_kbps": 5}]', 2, "duration_ms"),
        ("b.csv", "time_s,value\n0,5\n", 1, "time_s"),
    ],
)  # fmt: skip
def test_a_bandwidth_that_cannot_be_is_told_with_its_line(
    name: str, text: str, line: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    bandwidth = {"kind": "trace", "files": [name]}
    found = refusal(
        tmp_path, {"phones.pixel.networks.macro": {"rssi_dbm": -70, "bandwidth": bandwidth}}
    )
    assert any(one.startswith(f"{name}:{line}: ") and message in one for one in found), found


def test_files_that_are_not_there_are_told_where_they_are_named(tmp_path: Path) -> None:
    networks = {"rssi_dbm": -70, "bandwidth": {"kind": "trace", "files": ["nope*.json"]}}
    (one,) = refusal(tmp_path, {"phones.pixel.networks.macro": networks})
    assert ": phones.pixel.networks.macro.bandwidth.files: nope*.json" in one
    networks = {"rssi_dbm": -70, "bandwidth": {"kind": "users", "file": "nope.json"}}
    (one,) = refusal(tmp_path, {"phones.pixel.networks.macro": networks})
    assert "nope.json" in one
    changes = {
        "networks.home.x_m": 0,
        "networks.home.y_m": 0,
        "phones.pixel.networks.home": {},
        "phones.pixel.mobility": {"kind": "trace", "file": "way.csv"},
    }
    (one,) = refusal(tmp_path, changes)
    assert "way.csv" in one
    (tmp_path / "way.csv").write_text("time_s,x_m,y_m\n0,0,0\n5,1,1\n3,2,2\n")
    (one,) = refusal(tmp_path, changes)
    assert one.startswith("way.csv:4: ")
    (tmp_path / "way.csv").write_text("time_s,x_m,y_m\n0,0,0\n5,1,1\n")
    (one,) = refusal(tmp_path, changes | {"phones.pixel.mobility.period_s": 4})
    assert ": phones.pixel.mobility.period_s: must end after the last time" in one
    load_scenario(write(tmp_path, changes))
