"""The networks of a scenario."""

from __future__ import annotations

from edgesim.core.clock import Clock
from edgesim.network.lte import cell
from edgesim.network.radio import Network
from edgesim.network.wifi import access_point
from edgesim.scenario.schema import LteSpec, NetworkSpec, WifiSpec

__all__ = ["build_network"]


def build_network(clock: Clock, name: str, spec: NetworkSpec) -> Network:
    """A network as a scenario has it; its routes are still to be added."""
    if isinstance(spec, LteSpec):
        return cell(
            clock,
            name,
            spec.bandwidth_mhz,
            spec.layers,
            interference_db=spec.interference_db,
            enodeb_dbm=spec.tx_power_dbm,
            lost_after_s=spec.connection_lost_after_s,
        )
    return access_point(
        clock,
        name,
        spec.bandwidth_mhz,
        spec.streams,
        spec.goodput_ratio,
        kind=spec.kind,
        lost_after_s=spec.connection_lost_after_s,
        roaming=spec.roaming or "" if isinstance(spec, WifiSpec) else "",
    )
