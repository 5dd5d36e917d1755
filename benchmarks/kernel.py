"""What a request costs, in bare SimPy timeouts, measured side by side in one process.

    python benchmarks/kernel.py [--json] [--rounds N]

Each figure is a ratio of two loops that are timed in turn, round after round, so that a machine
that slows down slows both; the median over the rounds is reported with the extremes. A *bare
timeout* is one iteration of ``while True: yield env.timeout(1)`` in plain SimPy with as many
processes pending as the simulation has pending events.

The bounds are those the project holds itself to: a remote request at most 25 bare timeouts, a
local one at most 12; at 10,000 phones at most 1.6 times the cost per request at 100, both in bare
timeouts; cost per simulated second within 15 % when the horizon grows tenfold; no event at all for
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

from edgesim.core.recorder import Recorder
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


def world_of(phones: int, duration_s: float, kind: str, idle_phones: int = 0) -> World:
    """Cells of up to 100 phones, each with an access point and a server, under varying Wi-Fi.

    Every phone asks for MobileNet v1 once a second on average, as often as its signal changes.
    """
    size = min(phones, _PHONES_PER_CELL)
    cells = [f"cell{index}" for index in range(phones // size)]
    phone = {"profile": "mi_8_pro", "rssi_dbm": _RSSI}
    groups = {cell: phone | {"count": size, "network": cell} for cell in cells}
    if idle_phones:
        groups["idle"] = phone | {"count": idle_phones, "network": cells[0]}
    job = {
        "kind": "inference",
        "model": "mobilenet_v1",
        "arrivals": {"kind": "poisson", "rate_per_s": _RATE_PER_S},
        "deadline_ms": 50,
    }
    changes: list[Override] = [
        ("networks", {cell: {"kind": "wifi", "bandwidth_mhz": 80} for cell in cells}),
        ("sites", {cell + "_server": {"server": _SERVER, "rtt_ms": 34} for cell in cells}),
        ("phones", groups),
        ("jobs", {f"{c}_job": job | {"phones": [c], "sites": [c + "_server"]} for c in cells}),
        ("controllers", {"offloading": _CONTROLLERS[kind]}),
        ("duration_s", duration_s),
        ("record", {}),
    ]
    loaded = load_scenario("quickstart", changes)
    return World(loaded, Recorder(None, ["requests", "decisions", "energy", "devices"]))


_SERVER = "xeon_e5_2640_p100"


def per_request_s(kind: str, phones: int, duration_s: float) -> float:
    """Seconds per request, recording included, once every phone has been built."""
    world = world_of(phones, _WARM_UP_S + duration_s, kind)
    world.clock.run_until(_WARM_UP_S)
    gc.collect()
    started = time.perf_counter()
    world.run()
    seconds = time.perf_counter() - started
    return seconds / (phones * _RATE_PER_S * duration_s)


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
