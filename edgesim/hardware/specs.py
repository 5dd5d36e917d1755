"""Phones and servers in SI units, ready to be built; from :mod:`edgesim.hardware.catalogue`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan

from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import ProcessorSpec

__all__ = ["PhoneSpec", "ServerSpec"]


@dataclass(frozen=True, slots=True)
class PhoneSpec:
    """A phone in SI units, ready to be built; from :meth:`Catalogue.phone`.

    Attributes:
        profile: the name of its profile.
        capacity_j: a full battery.
        suspend_w: base power with nothing active.
        awake_w: base power with something active, the processors' idle power included.
        wifi: its Wi-Fi.
        processors: by name.
        ram_bytes: memory, system and all; NaN if the profile does not say.
        storage_bps: bytes per second read from storage; NaN if the profile does not say.
    """

    profile: str
    capacity_j: float
    suspend_w: float
    awake_w: float
    wifi: WifiPower
    processors: Mapping[str, ProcessorSpec]
    ram_bytes: float = nan
    storage_bps: float = nan

    @property
    def peak_w(self) -> float:
        """No state of the phone draws more than this."""
        return (
            max(self.suspend_w, self.awake_w)
            + self.wifi.peak_w
            + sum(processor.busy_power_w for processor in self.processors.values())
        )

    @property
    def idle_w(self) -> float:
        """What it draws when nothing is active and the radio sleeps."""
        return self.suspend_w + self.wifi.idle_w


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server in SI units; from :meth:`Catalogue.server`."""

    profile: str
    pue: float
    idle_power_w: float
    processors: Mapping[str, ProcessorSpec]
