"""What deciding and learning cost, and what tables take: controllers of slot ``offloading``.

    python benchmarks/controllers.py [--json]

Bounds: AutoScale decides in at most 25 microseconds and learns in at most 25 (the paper: about 7 once
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

from edgesim.controllers.offloading import Random
from edgesim.controllers.registry import make_controller
from edgesim.controllers.slots import OffloadingObservation, OffloadingOutcome, Setting, Target
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


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    setting, heard = listen()
    rows = [measure(name, setting, heard) for name in NAMES]
    actions = {profile: len(options) for profile, options in setting.options.items()}
    machine = f"{platform.machine()}, CPython {platform.python_version()}"
    if arguments.json:
        print(json.dumps({"machine": machine, "actions": actions, "rows": rows}, indent=2))
    else:
        print(f"{machine}; {len(heard)} requests; actions: {actions}")
        print(f"{'':20}{'decide us':>12}{'learn us':>12}{'frozen us':>12}")
        for row in rows:
            times = (row["decide_us"], row["learn_us"], row["decide_frozen_us"])
            print(f"{row['controller']:20}" + "".join(f"{each:12.1f}" for each in times))
            for profile, size in row.get("table_mb", {}).items():
                print(f"    table of {profile}: {size:.2f} MB (paper: 0.4 MB)")
    (bound,) = [row for row in rows if row["controller"] == BOUND_FOR]
    worst = max(bound["decide_us"], bound["learn_us"], bound["decide_frozen_us"])
    print(
        f"{BOUND_FOR}: {worst:.1f} us, bound {BOUND_US:g}: {'ok' if worst <= BOUND_US else 'BROKEN'}"
    )
    return 0 if worst <= BOUND_US else 1


if __name__ == "__main__":
    sys.exit(main())
