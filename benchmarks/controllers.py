"""What deciding and learning cost, and what tables take: slots ``offloading``, ``selection``, ``parameters``.

    python benchmarks/controllers.py [--json]

Slot ``selection``: a whole round of AutoFL (reading the state of the fleet, choosing, rewarding, updating)
for 200 clients takes at most 531 microseconds (the paper: 496.8 + 10.5 + 2.1 + 22.1; recalled, medium to
low confidence), for 100,000 clients with tables per tier at most 50 ms. Rounds are those of the shipped
scenario ``autofl_small`` with as many phones, without training; the median counts.

Slot ``parameters``: a whole round of FedGPO, in ``fedgpo_small`` as it ships, training included, since what it
learns of progress costs time too (the paper: below a millisecond; recalled, low confidence; no bound is set).

Slot ``offloading``: AutoScale decides in at most 25 microseconds and learns in at most 25 (the paper: about 7 once
trained, 10 to 25 while training; recalled). Observations and outcomes are those of a run of the shipped
scenario ``autoscale``, all of its phones and models; each figure is the median of rounds over all of
them, after each controller has been trained on them once.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from statistics import median
from typing import Any

import numpy as np

from edgesim.controllers.autofl import AutoFL
from edgesim.controllers.federated import (
    ParametersObservation,
    Participant,
    RoundOutcome,
    RoundParameters,
    SelectionObservation,
)
from edgesim.controllers.fedgpo import FedGPO
from edgesim.controllers.offloading import Random
from edgesim.controllers.registry import make_controller
from edgesim.controllers.slots import (
    Lesson,
    OffloadingObservation,
    OffloadingOutcome,
    Setting,
    Target,
)
from edgesim.core.recorder import Recorder
from edgesim.scenario.load import load_scenario
from edgesim.scenario.seats import parameters
from edgesim.scenario.world import World

NAMES = (
    "edge_best",
    "cloud",
    "random",
    "autoscale",
    "linucb",
    "linear_regression",
    "knn",
    "svr",
)
BOUND_US = 25.0
BOUND_FOR = "autoscale"
ROUNDS = 7
FLEETS = ((200, "per_tier", 300), (200, "per_device", 300), (100_000, "per_tier", 30))
AUTOFL_BOUND_US = {(200, "per_tier"): 531.0, (100_000, "per_tier"): 50_000.0}

Experience = tuple[OffloadingObservation, Target, OffloadingOutcome]


class Listener(Random):
    """Chooses at random and keeps what it sees."""

    learns = True
    heard: list[Experience] = []
    setting: Setting | None = None

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        Listener.setting = setting

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> None:
        """Keep it."""
        Listener.heard.append((observation, decision, outcome))


def listen() -> tuple[Setting, list[Experience]]:
    """What controllers are told and asked in a run in which a fifth of the signals are weak."""
    changes = [("environment", "D3"), ("duration_s", 1500), ("check.oracle", False)]
    loaded = load_scenario("autoscale", changes, {"offloading": f"{__name__}:Listener"})
    world = World(loaded, Recorder(None, []))
    world.run()
    world.finish()
    assert Listener.setting is not None
    return Listener.setting, Listener.heard


def microseconds(controller: Any, heard: list[Experience]) -> tuple[float, float]:
    """Of one decision, and of one lesson."""
    decided = learned = 0.0
    for observation, decision, outcome in heard:
        started = time.perf_counter()
        controller.decide(observation)
        middle = time.perf_counter()
        controller.learn(observation, decision, outcome)
        learned += time.perf_counter() - middle
        decided += middle - started
    return decided / len(heard) * 1e6, learned / len(heard) * 1e6


def measure(name: str, setting: Setting, heard: list[Experience]) -> dict[str, Any]:
    """Its times while it learns, and once it is frozen, and what it holds."""
    own = Setting(
        "",
        "offloading",
        np.random.default_rng(1),
        parameters(name, name, "offloading", {}),
        setting.phones,
        setting.options,
        setting.models,
        setting.folder,
    )
    controller = make_controller(name, own)
    microseconds(controller, heard)
    rounds = [microseconds(controller, heard) for _ in range(ROUNDS)]
    controller.freeze()
    slow = name in ("linear_regression", "knn", "svr")
    some = heard[:200] if slow else heard
    frozen = [microseconds(controller, some)[0] for _ in range(3 if slow else ROUNDS)]
    row: dict[str, Any] = {
        "controller": name,
        "decide_us": median(decide for decide, _ in rounds),
        "learn_us": median(learn for _, learn in rounds),
        "decide_frozen_us": median(frozen),
    }
    if hasattr(controller, "memory"):
        row["table_mb"] = {key: n / 1e6 for key, n in controller.memory().items()}
    return row


class Timed(AutoFL):
    """AutoFL with a watch."""

    seconds: list[float] = []
    last: AutoFL | None = None

    def decide(self, observation: SelectionObservation) -> tuple[Participant, ...]:
        """As AutoFL."""
        observation.clients.reports(
            observation.eligible
        )  # makes the weather, which is the world's work
        started = time.perf_counter()
        chosen = super().decide(observation)
        Timed.seconds.append(time.perf_counter() - started)
        Timed.last = self
        return chosen

    def learn(
        self,
        observation: SelectionObservation,
        decision: tuple[Participant, ...],
        outcome: RoundOutcome,
    ) -> Lesson | None:
        """As AutoFL."""
        started = time.perf_counter()
        lesson = super().learn(observation, decision, outcome)
        Timed.seconds[-1] += time.perf_counter() - started
        return lesson


def select(clients: int, tables: str, rounds: int) -> dict[str, Any]:
    """A fleet of three tiers, as AutoFL's: seconds per round, bytes of tables."""
    counts = {"high": 15 * clients // 100, "mid": 35 * clients // 100}
    counts["low"] = clients - sum(counts.values())
    changes = [
        *((f"phones.{name}.count", count) for name, count in counts.items()),
        ("jobs.digits.mode", "timing_only"),
        ("jobs.digits.samples_per_client", 24),
        ("jobs.digits.clients_per_round", 20),
        ("limits.signal_changes", 1e15),
        ("jobs.digits.rounds", "synchronous"),
        ("jobs.digits.stop", {"rounds": rounds}),
        ("training", None),
        ("settings", {"timed": {"of": f"{__name__}:Timed", "tables": tables}}),
    ]
    Timed.seconds = []
    world = World(
        load_scenario("autofl_small", changes, {"selection": "timed"}), Recorder(None, [])
    )
    world.run()
    assert Timed.last is not None
    return {
        "clients": clients,
        "tables": tables,
        "round_us": median(Timed.seconds) * 1e6,
        "table_mb": sum(Timed.last.memory().values()) / 1e6,
    }


class TimedFedGPO(FedGPO):
    """FedGPO with a watch."""

    seconds: list[float] = []
    last: FedGPO | None = None

    def decide(self, observation: ParametersObservation) -> RoundParameters:
        """As FedGPO."""
        started = time.perf_counter()
        chosen = super().decide(observation)
        TimedFedGPO.seconds.append(time.perf_counter() - started)
        TimedFedGPO.last = self
        return chosen

    def learn(
        self,
        observation: ParametersObservation,
        decision: RoundParameters,
        outcome: RoundOutcome,
    ) -> Lesson | None:
        """As FedGPO."""
        started = time.perf_counter()
        lesson = super().learn(observation, decision, outcome)
        TimedFedGPO.seconds[-1] += time.perf_counter() - started
        return lesson


def settle() -> dict[str, Any]:
    """FedGPO for 200 rounds: seconds per round, bytes of tables."""
    TimedFedGPO.seconds = []
    changes = [
        ("jobs.digits.stop", {"rounds": 200}),
        ("training", None),
        ("settings", {"timed": {"of": f"{__name__}:TimedFedGPO"}}),
    ]
    world = World(
        load_scenario("fedgpo_small", changes, {"parameters": "timed"}), Recorder(None, [])
    )
    world.run()
    assert TimedFedGPO.last is not None
    return {
        "round_us": median(TimedFedGPO.seconds) * 1e6,
        "table_mb": sum(TimedFedGPO.last.memory().values()) / 1e6,
    }


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    setting, heard = listen()
    rows = [measure(name, setting, heard) for name in NAMES]
    fleets = [select(*each) for each in FLEETS]
    settled = settle()
    actions = {profile: len(options) for profile, options in setting.options.items()}
    machine = f"{platform.machine()}, CPython {platform.python_version()}"
    if arguments.json:
        print(
            json.dumps(
                {
                    "machine": machine,
                    "actions": actions,
                    "rows": rows,
                    "autofl": fleets,
                    "fedgpo": settled,
                },
                indent=2,
            )
        )
    else:
        print(f"{machine}; {len(heard)} requests; actions: {actions}")
        print(f"{'':20}{'decide us':>12}{'learn us':>12}{'frozen us':>12}")
        for row in rows:
            times = (row["decide_us"], row["learn_us"], row["decide_frozen_us"])
            print(f"{row['controller']:20}" + "".join(f"{each:12.1f}" for each in times))
            for profile, size in row.get("table_mb", {}).items():
                print(f"    table of {profile}: {size:.2f} MB (paper: 0.4 MB)")
        print(f"{'autofl':20}{'clients':>12}{'round us':>12}{'tables MB':>12}")
        for each in fleets:
            print(
                f"{each['tables']:20}{each['clients']:12,}{each['round_us']:12.0f}"
                f"{each['table_mb']:12.3f}"
            )
        print(f"{'fedgpo':20}{60:12,}{settled['round_us']:12.0f}{settled['table_mb']:12.3f}")
    (bound,) = [row for row in rows if row["controller"] == BOUND_FOR]
    worst = max(bound["decide_us"], bound["learn_us"], bound["decide_frozen_us"])
    print(
        f"{BOUND_FOR}: {worst:.1f} us, bound {BOUND_US:g}: {'ok' if worst <= BOUND_US else 'BROKEN'}"
    )
    is_broken = worst > BOUND_US
    for each in fleets:
        limit_us = AUTOFL_BOUND_US.get((each["clients"], each["tables"]))
        if limit_us is not None:
            is_kept = each["round_us"] <= limit_us
            is_broken |= not is_kept
            print(
                f"autofl, {each['clients']:,} clients: {each['round_us']:.0f} us, bound "
                f"{limit_us:g}: {'ok' if is_kept else 'BROKEN'}"
            )
    return 1 if is_broken else 0


if __name__ == "__main__":
    sys.exit(main())
