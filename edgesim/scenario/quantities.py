"""The signals of a scenario, where they stand and what values they may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgesim.core.documents import KeyPath
from edgesim.scenario.federated_schema import NightsSpec
from edgesim.scenario.schema import Scenario

__all__ = ["LOAD_RANGE", "RANGES", "gauss_markov_limits", "quantity", "signals"]

RANGES = {
    "rssi_dbm": (-150, 0, "dBm"),
    "ambient_c": (-60, 80, "C"),
    "screen_on": (0, 1, "(1 is on)"),
    "plugged_in": (0, 1, "(1 is on)"),
    "available": (0, 1, "(1 is there)"),
}
"""What the values of a trace may be, by the key that it stands at."""


LOAD_RANGE = (0, 0.99, "as a share")
"""Likewise for other tenants' load, which may stand at any processor."""


def quantity(path: KeyPath) -> str:
    """What a signal is of, by its place."""
    return "load" if path[0] == "sites" else str(path[-1])


def signals(scenario: Scenario) -> Iterator[tuple[KeyPath, int, Any]]:
    """Place, phones (or 1) and specification of every signal that changes."""
    for name, site in scenario.sites.items():
        for processor, spec in site.load.items():
            yield ("sites", name, "load", processor), 1, spec
    for name, group in scenario.phones.items():
        for key in ("rssi_dbm", "ambient_c", "screen_on", "plugged_in", "app"):
            spec = getattr(group, key)
            if spec is not None:
                yield ("phones", name, key), group.count, spec
        for network, attachment in group.networks.items():
            if attachment.rssi_dbm is not None:
                path = ("phones", name, "networks", network, "rssi_dbm")
                yield path, group.count, attachment.rssi_dbm
    for name, job in scenario.federated_jobs.items():
        if job.available is not None and not isinstance(job.available, NightsSpec):
            clients = sum(scenario.phones[key].count for key in job.phones or scenario.phones)
            yield ("jobs", name, "available"), clients, job.available


def gauss_markov_limits(what: str) -> tuple[float, float]:
    """Between what a Gauss-Markov signal stays if the scenario does not say."""
    limits = {"rssi": (-110.0, -20.0), "ambient": (-30.0, 60.0), "load": (0.0, 0.99)}
    return limits[what.partition(" ")[0]]
