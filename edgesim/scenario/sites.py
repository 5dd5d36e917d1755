"""The server of a site, as a scenario has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edgesim.core.clock import Clock
from edgesim.core.signals import Signal, SignalBank
from edgesim.core.units import ms_to_s
from edgesim.hardware.batching import Batching
from edgesim.hardware.server import Server, Service
from edgesim.hardware.specs import ServerSpec
from edgesim.hardware.truth import Truth
from edgesim.scenario.schema import (
    SiteSpec,
)
from edgesim.scenario.signal_schema import (
    ConstantSpec,
)

__all__ = ["build_server"]

Banks = Callable[[Any, str, str, int], SignalBank]
"""Specification, quantity, whose and how many: a bank of signals with streams of their own."""


def build_server(
    clock: Clock, name: str, site: SiteSpec, spec: ServerSpec, truth: Truth, banks: Banks
) -> Server:
    """The server of a site.

    Args:
        clock: the clock.
        name: the site's name.
        site: what the scenario says of it.
        spec: the server's profile.
        truth: how it differs from its profile.
        banks: makes signals.
    """
    processors = {
        key: replace(processor, slots=site.concurrency.get(key, processor.slots))
        for key, processor in spec.processors.items()
    }
    services = {
        key: Service(_batching(site, key), _load(name, site, key, banks)) for key in processors
    }
    return Server(
        clock,
        name,
        replace(spec, processors=processors),
        truth,
        services=services,
        queue_limit=site.queue_limit,
    )


def _batching(site: SiteSpec, processor: str) -> Batching | None:
    spec = site.batching.get(processor) or site.batching.get("default")
    return None if spec is None else Batching(spec.size, ms_to_s(spec.wait_ms))


def _load(name: str, site: SiteSpec, processor: str, banks: Banks) -> Signal | None:
    """Other tenants' share of a processor: a path of its own only where the site says so."""
    what, spec = f"load {processor}", site.load.get(processor)
    if spec is None:
        what, spec = "load", site.load.get("default")
    if spec is None or (isinstance(spec, ConstantSpec) and not spec.value):
        return None
    return banks(spec, what, name, 1).signal(0)
