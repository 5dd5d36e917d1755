"""What a request costs, in bare SimPy timeouts, measured side by side in one process.

    python benchmarks/kernel.py [--json] [--rounds N]

Each figure is a ratio of two loops that are timed in turn, round after round, so that a machine
that slows down slows both; the median over the rounds is reported with the extremes. A *bare
timeout* is one iteration of ``while True: yield env.timeout(1)`` in plain SimPy with as many
processes pending as the simulation has pending events.

The bounds are those the project holds itself to: a remote request at most 25 bare timeouts, a
local one at most 12; at 10,000 phones at most 1.6 times the cost per request at 100, both in bare
timeouts; cost per simulated second within 15 % when the horizon grows tenfold; a remote request over
LTE, or over wires behind the access point, at most 1.5 times one over Wi-Fi alone; no event at all for
a phone that is idle.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import simpy

from edgesim.core.clock import Clock
from edgesim.core.power import Meter
from edgesim.core.recorder import Recorder
from edgesim.core.signals import ConstantBank
from edgesim.hardware.catalogue import shipped
from edgesim.network.radio import Ether, Link, Radio, Route
from edgesim.network.wifi import access_point
from edgesim.scenario.load import Override, load_scenario
from edgesim.scenario.world import World

Figure = dict[str, Any]


def bare_timeout_s(pending: int, events: int) -> float:
    """Seconds of one bare SimPy timeout with so many processes waiting."""
    env = simpy.Environment()

    def tick(first: float) -> Any:
        yield env.timeout(first)
        while True:
            yield env.timeout(1.0)

    for index in range(pending):
        env.process(tick(index / pending))
    env.run(until=1.0)
    seconds = max(events // pending, 1)
    started = time.perf_counter()
    env.run(until=1.0 + seconds)
    return (time.perf_counter() - started) / (seconds * pending)


_PHONES_PER_CELL = 100
_RSSI = {"kind": "gauss_markov", "mean": -60, "std": 6, "step_s": 1.0}
_RATE_PER_S = 1.0
_WARM_UP_S = 5.0
_CONTROLLERS = {"local": "edge_best", "remote": "cloud"}
_AIR: dict[str, dict[str, Any]] = {
    "wifi": {"kind": "wifi", "bandwidth_mhz": 80},
    "lte": {"kind": "lte", "bandwidth_mhz": 20},
    "wires": {"kind": "wifi", "bandwidth_mhz": 80, "backhaul": ["dsl"]},
    "full wires": {"kind": "wifi", "bandwidth_mhz": 80, "backhaul": ["full"]},
}
"""What a cell's phones are attached to. One wire carries all that 100 phones ask for with ease, the
other 1.25 times as much as they do on average."""
_LINKS = {
    "dsl": {"uplink_mbps": 10_000, "downlink_mbps": 10_000},
    "full": {"uplink_mbps": 5, "downlink_mbps": 5},
    "core": {"uplink_mbps": 10_000, "downlink_mbps": 10_000},
}


def world_of(
    phones: int, duration_s: float, kind: str, idle_phones: int = 0, air: str = ""
) -> World:
    """Cells of up to 100 phones, each with a network and a server, under a varying signal.

    Every phone asks for MobileNet v1 once a second on average, as often as its signal changes.
    """
    size = min(phones, _PHONES_PER_CELL)
    cells = [f"cell{index}" for index in range(phones // size)]
    phone = {"profile": "mi_8_pro", "rssi_dbm": _RSSI}
    groups = {cell: phone | {"count": size, "network": cell} for cell in cells}
    if idle_phones:
        groups["idle"] = phone | {"count": idle_phones, "network": cells[0]}
    site = {"server": _SERVER, "rtt_ms": 34, "links": ["core"] if "wires" in air else []}
    job = {
        "kind": "inference",
        "model": "mobilenet_v1",
        "arrivals": {"kind": "poisson", "rate_per_s": _RATE_PER_S},
        "deadline_ms": 50,
        # As much as an LTE cell carries with ease: no air is to be full when airs are compared.
        "payload": 5000 if air else "raw",
    }
    changes: list[Override] = [
        ("links", _LINKS),
        ("networks", dict.fromkeys(cells, _AIR[air or "wifi"])),
        ("sites", {cell + "_server": site for cell in cells}),
        ("phones", groups),
        ("jobs", {f"{c}_job": job | {"phones": [c], "sites": [c + "_server"]} for c in cells}),
        ("controllers", {"offloading": _CONTROLLERS[kind]}),
        ("duration_s", duration_s),
        ("record", {}),
    ]
    loaded = load_scenario("quickstart", changes)
    return World(loaded, Recorder(None, ["requests", "decisions", "energy", "devices"]))


_SERVER = "xeon_e5_2640_p100"


def per_request_s(kind: str, phones: int, duration_s: float, air: str = "") -> float:
    """Seconds per request, recording included, once every phone has been built."""
    world = world_of(phones, _WARM_UP_S + duration_s, kind, air=air)
    world.clock.run_until(_WARM_UP_S)
    gc.collect()
    started = time.perf_counter()
    world.run()
    seconds = time.perf_counter() - started
    return seconds / (phones * _RATE_PER_S * duration_s)


def per_transfer_s(transfers: int) -> float:
    """Seconds per transfer of which so many are in the same air all the time, one phone each."""
    clock = Clock()
    ether, meter = Ether(clock), Meter(clock, "phones")
    network = access_point(clock, "air", 80, 2)
    network.routes["site"] = Route((), (), 0.0)
    power = shipped().phone("mi_8_pro").wifi
    signal = ConstantBank([-60.0]).signal(0)
    users = [
        _Sender(Link(ether, Radio(ether, meter, power), network, signal), 1e5 + 7.0 * number)
        for number in range(transfers)
    ]
    for user in users:
        user.transferred()
    done = clock.events
    started = time.perf_counter()
    while clock.events < done + 2 * transfers:
        clock.step()
    return (time.perf_counter() - started) / (2 * transfers)


class _Sender:
    """Sends one thing after the other."""

    def __init__(self, link: Link, size_bytes: float) -> None:
        self.job, self.energy_j = "job", 0.0
        self._link, self._size_bytes = link, size_bytes

    def transferred(self) -> None:
        self._link.send(self, self._size_bytes, "site")

    def connection_lost(self) -> None:
        raise AssertionError("the signal is good")

    def tail_ended(self) -> None:
        pass


def ratios(rounds: int, one: Callable[[], float], other: Callable[[], float]) -> list[float]:
    """one() / other(), round after round."""
    return [one() / other() for _ in range(rounds)]


def figure(name: str, values: list[float], bound: float | None) -> Figure:
    """A figure with its extremes and whether it keeps its bound."""
    middle = median(values)
    kept = None if bound is None else middle <= bound
    return {
        "name": name,
        "median": middle,
        "min": min(values),
        "max": max(values),
        "bound": bound,
        "kept": kept,
    }


def measure(rounds: int) -> list[Figure]:
    """Every figure."""
    figures = []
    for kind, bound in (("local", 12.0), ("remote", 25.0)):
        in_timeouts: dict[int, list[float]] = {}
        for phones, duration_s in ((100, 200.0), (10_000, 10.0)):
            pending = pending_events(kind, phones)
            one = partial(per_request_s, kind, phones, duration_s)
            in_timeouts[phones] = ratios(rounds, one, partial(bare_timeout_s, pending, 100_000))
            name = f"{kind} request, {phones:,} phones, in bare timeouts"
            figures.append(figure(name, in_timeouts[phones], bound))
        growth = [m / f for m, f in zip(in_timeouts[10_000], in_timeouts[100], strict=True)]
        figures.append(figure(f"{kind} request, 10,000 phones against 100", growth, 1.6))
    for kind in _CONTROLLERS:
        long, short = (partial(per_request_s, kind, 100, d) for d in (500.0, 50.0))
        name = f"{kind}, cost per simulated second, horizon x 10"
        figures.append(figure(name, ratios(rounds, long, short), 1.15))
    bounds: dict[str, float | None] = {"lte": 1.5, "wires": 1.5, "full wires": None}
    for air, most in bounds.items():
        one, other = (partial(per_request_s, "remote", 100, 100.0, each) for each in (air, "wifi"))
        figures.append(
            figure(f"remote over {air}, against Wi-Fi", ratios(rounds, one, other), most)
        )
    one, other = (partial(per_transfer_s, transfers) for transfers in (1000, 100))
    figures.append(figure("a transfer among 1,000, against 100", ratios(rounds, one, other), None))
    figures.append(figure("events of 10,000 idle phones in an hour", [float(idle_events())], 0.0))
    return figures


def pending_events(kind: str, phones: int) -> int:
    """How many events are pending while such a world runs."""
    world = world_of(phones, 3.0, kind)
    world.clock.run_until(1.5)
    return len(world.clock._queue)


def idle_events() -> int:
    """Events that 10,000 idle phones add to a world with one that is busy."""
    events = []
    for idle_phones in (0, 10_000):
        world = world_of(1, 3600.0, "remote", idle_phones)
        world.run()
        world.finish()
        events.append(world.clock.events)
    return events[1] - events[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each ratio")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds)
    machine = (
        f"{platform.machine()}, CPython {platform.python_version()}, SimPy {simpy.__version__}"
    )
    if arguments.json:
        print(json.dumps({"machine": machine, "figures": figures}, indent=2))
    else:
        print(machine)
        for f in figures:
            bound = "" if f["bound"] is None else f"  bound {f['bound']:g}"
            verdict = {None: "", True: "  kept", False: "  BROKEN"}[f["kept"]]
            print(
                f"{f['name']:<60} {f['median']:8.2f}  ({f['min']:.2f}-{f['max']:.2f}){bound}{verdict}"
            )
    return 0 if all(f["kept"] is not False for f in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
