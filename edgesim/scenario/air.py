"""The networks of a scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgesim.core.clock import Clock
from edgesim.core.random import Streams
from edgesim.core.signals import GaussMarkovBank, Signal, SignalBank
from edgesim.network.lte import cell
from edgesim.network.mobility import (
    LTE_AT_1M_DB,
    LTE_EXPONENT,
    LTE_SHADOWING_STD_DB,
    WIFI_AT_1M_DB,
    WIFI_EXPONENT,
    WIFI_SHADOWING_STD_DB,
    Area,
    DistanceSignal,
    FixedPosition,
    LazyBank,
    Position,
    PositionTrace,
    RandomWaypoint,
    TracePosition,
)
from edgesim.network.radio import Network
from edgesim.network.wifi import access_point
from edgesim.scenario.schema import (
    FixedSpec,
    LteSpec,
    MobilitySpec,
    NetworkSpec,
    RandomWaypointSpec,
    RouteSpec,
    WifiSpec,
)

__all__ = ["build_network", "rssi_by_distance"]


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
            roaming=f"lte {spec.roaming or ''}",
        )
    roaming, is_shared = (spec.roaming, spec.shared) if isinstance(spec, WifiSpec) else (None, True)
    return access_point(
        clock,
        name,
        spec.bandwidth_mhz,
        spec.streams,
        spec.goodput_ratio,
        kind=spec.kind,
        lost_after_s=spec.connection_lost_after_s,
        roaming=f"{spec.kind} {roaming}" if roaming else "",
        is_shared=is_shared,
    )


def rssi_by_distance(
    name: str,
    network: WifiSpec | LteSpec,
    mobility: MobilitySpec,
    courses: Mapping[str, PositionTrace],
    streams: Streams,
    phones: Sequence[tuple[str, int]],
) -> SignalBank:
    """How strong a network is where phones are.

    Args:
        name: the network's name.
        network: what the scenario says of it.
        mobility: where the phones are.
        courses: recorded ways, by file.
        streams: of the run.
        phones: their names in streams.
    """
    assert network.x_m is not None
    assert network.y_m is not None
    anchor_m, loss = (network.x_m, network.y_m), network.path_loss
    if isinstance(network, WifiSpec):
        defaults = (WIFI_AT_1M_DB, WIFI_EXPONENT, WIFI_SHADOWING_STD_DB)
    else:
        defaults = (LTE_AT_1M_DB, LTE_EXPONENT, LTE_SHADOWING_STD_DB)
    asked = (loss.at_1m_db, loss.exponent, loss.shadowing_db)
    at_1m_db, exponent, shadowing_db = (
        default if value is None else value for value, default in zip(asked, defaults, strict=True)
    )
    keys = streams.keys("place", phones).tolist()
    shadows: GaussMarkovBank | None = None
    if shadowing_db:
        shadows = GaussMarkovBank(
            streams.keys(f"shadowing {name}", phones),
            0.0,
            shadowing_db,
            mobility.step_s,
            loss.correlation_time_s,
        )

    def signal(row: int) -> Signal:
        return DistanceSignal(
            _position(mobility, courses, keys[row]),
            anchor_m,
            network.tx_power_dbm,
            at_1m_db,
            exponent,
            mobility.step_s,
            None if shadows is None else shadows.signal(row),
        )

    return LazyBank(len(phones), signal)


def _position(spec: MobilitySpec, courses: Mapping[str, PositionTrace], key: int) -> Position:
    match spec:
        case FixedSpec():
            return FixedPosition(spec.x_m, spec.y_m)
        case RandomWaypointSpec():
            area = Area(0.0, 0.0, spec.width_m, spec.height_m)
            return RandomWaypoint(key, area, spec.speed_mps, spec.pause_s)
        case RouteSpec():
            return TracePosition(courses[spec.file], spec.period_s)
