"""Controllers by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple

from edgesim.controllers.slots import Setting
from edgesim.core.errors import EdgesimError, did_you_mean

__all__ = ["CONTROLLERS", "SLOTS", "Entry", "make_controller", "unknown_controller"]


class Entry(NamedTuple):
    """Where a controller's class is, and what it does in one line."""

    slot: str
    path: str
    summary: str


def _entry(slot: str, path: str, summary: str) -> Entry:
    return Entry(slot, f"edgesim.controllers.{path}", summary)


CONTROLLERS: Mapping[str, Entry] = MappingProxyType(
    {
        "edge_cpu": _entry("offloading", "offloading:EdgeCpu", "the phone's CPU in FP32"),
        "edge_best": _entry(
            "offloading",
            "offloading:EdgeBest",
            "the phone's processor of least promised energy that should be in time",
        ),
        "cloud": _entry(
            "offloading",
            "offloading:Cloud",
            "a site's fastest processor; without a connection as edge_best",
        ),
        "connected_edge": _entry(
            "offloading",
            "offloading:ConnectedEdge",
            "the fastest processor of a phone nearby (Wi-Fi Direct); without one as edge_best",
        ),
        "random": _entry("offloading", "offloading:Random", "any possible target"),
        "oracle": _entry(
            "offloading",
            "offloading:Oracle",
            "least energy in time, knowing the signal to come (myopic bound)",
        ),
    }
)
"""The controllers that ship with edgesim, by name. Modules are imported when first used."""

SLOTS = ("offloading",)
"""The slots there are."""


def make_controller(name: str, setting: Setting) -> Any:
    """Make the controller called ``name``.

    Raises:
        EdgesimError: if there is none for that slot.
    """
    entry = CONTROLLERS.get(name)
    if entry is None or entry.slot != setting.slot:
        raise EdgesimError(unknown_controller(name, setting.slot))
    module, _, class_name = entry.path.partition(":")
    return getattr(import_module(module), class_name)(setting)


def unknown_controller(name: str, slot: str) -> str:
    """What to tell a user who named a controller that the slot does not have."""
    known = [key for key, entry in CONTROLLERS.items() if entry.slot == slot]
    return f"there is no controller {name!r} for slot {slot!r}; {did_you_mean(name, known)}"
