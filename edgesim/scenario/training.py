"""Training before a scenario begins, in a world of its own that is made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from importlib.metadata import version
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

from edgesim.controllers.learned import dump_state, load_state
from edgesim.core.documents import Document, check
from edgesim.core.errors import ConfigError
from edgesim.core.random import Streams
from edgesim.core.recorder import Recorder, write_atomically
from edgesim.results.summary import federated_summary
from edgesim.scenario.load import LoadedScenario, without_nulls
from edgesim.scenario.schema import (
    BlockTrainingSpec,
    EarlierJobsSpec,
    Scenario,
    WifiDirectSpec,
)
from edgesim.scenario.world import World

__all__ = ["STATES", "fingerprint", "train", "training_ground", "training_scenario"]

SHARES = (0.0, 0.125, 0.5, 0.875)
"""CPU and memory use by other apps: none, and the middle of each of the paper's bins."""

STATES = tuple(product(SHARES, SHARES, (False, True), (False, True)))
"""CPU use, memory use, whether Wi-Fi is weak, whether the phone nearby is: 64 states."""


def training_scenario(loaded: LoadedScenario) -> LoadedScenario:
    """The scenario that controllers are trained in: ``training: {kind: blocks}`` spelled out.

    It is an ordinary scenario, with the same seed, so that each phone differs from its profile as it
    will when it is judged.
    """
    scenario = loaded.scenario
    spec = scenario.training
    assert isinstance(spec, BlockTrainingSpec)
    data = scenario.model_dump(mode="json")
    hosts = {n.to for n in scenario.networks.values() if isinstance(n, WifiDirectSpec)}
    turn_s = spec.visits * spec.spacing_s
    state_s = turn_s * len(scenario.inference_jobs)
    duration_s = state_s * len(STATES)

    def schedule(of: Callable[[tuple[float, float, bool, bool]], Any]) -> dict[str, Any]:
        steps = [[k * state_s, of(state)] for k, state in enumerate(STATES)]
        return {"kind": "schedule", "period_s": duration_s, "steps": steps}

    def dbm(is_weak: bool) -> float:
        return spec.weak_dbm if is_weak else spec.regular_dbm

    apps = {
        _app(cpu, memory): {"cpu": cpu, "memory": memory} for cpu, memory in product(SHARES, SHARES)
    }
    for name, group in data["phones"].items():
        # What owners and weather do in the scenario itself has no part in it.
        group |= {"count": 1, "plugged_in": True, "cooled": True}
        group |= dict.fromkeys(("mobility", "ambient_c", "app", "screen_on"))
        if name in hosts:
            continue
        group["app"] = schedule(lambda state: _app(state[0], state[1]))
        kinds = {n: each.kind for n, each in scenario.networks.items()}
        group["networks"] = {
            network: {
                "rssi_dbm": schedule(
                    (lambda s: dbm(s[3]))
                    if kinds[network] == "wifi_direct"
                    else lambda s: dbm(s[2])
                )
            }
            for network in scenario.phones[name].attachments
        }
        group |= {"network": None, "rssi_dbm": None}
    data["jobs"] = {name: data["jobs"][name] for name in scenario.inference_jobs}
    for turn, (_, job) in enumerate(sorted(data["jobs"].items())):
        job["arrivals"] = {
            "kind": "turns",
            "visits": spec.visits,
            "spacing_s": spec.spacing_s,
            "turn": turn,
            "of": len(data["jobs"]),
        }
        job["warmup_s"] = 0.0
    data |= {
        "name": f"{scenario.name}-training"[:64],
        "duration_s": duration_s,
        "apps": apps,
        "training": {"kind": "live", "duration_s": duration_s, "is_frozen": False},
        "compare": {},
        "check": {},
        "record": {"decisions": False, "forecasts": False, "states": None},
        "limits": {"requests": 1e12, "signal_changes": 1e15},
    }
    found, problems = check(Document(str(loaded.path), without_nulls(data)), Scenario)
    if found is None:
        raise ConfigError(problems)
    return replace(loaded, scenario=found)


def training_ground(loaded: LoadedScenario) -> LoadedScenario:
    """The scenario that controllers are trained in apart, on which all depends that they learn."""
    is_blocks = isinstance(loaded.scenario.training, BlockTrainingSpec)
    return training_scenario(loaded) if is_blocks else loaded


def train(
    loaded: LoadedScenario,
    *,
    cache: Path | None = None,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Train the controllers of a scenario that learn.

    Args:
        loaded: the scenario, with ``training`` of a kind that happens apart.
        cache: a folder where what has been learned is kept by what it was learned from; what is
            there already is not learned again.
        progress: told now and then which share is over.

    Returns:
        What each of them has learned, by where it sits; empty if none learns.
    """
    spec = loaded.scenario.training
    ground = training_ground(loaded)
    file = None if cache is None else cache / f"{fingerprint(ground)}.json"
    if file is not None and file.is_file():
        return load_state(file)
    if isinstance(spec, EarlierJobsSpec):
        learned = _in_earlier_jobs(loaded, spec.jobs, progress)
    else:
        learned = _in_blocks(ground, progress)
    if file is not None and learned:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, dump_state(learned))
    return learned


def _in_blocks(ground: LoadedScenario, progress: Callable[[float], None] | None) -> dict[str, Any]:
    """What controllers learn in a scenario made for that."""
    world = World(ground, Recorder(None, []))
    if not world.learners:
        return {}
    world.run(progress)
    summary = world.finish()
    learned = {seat: each.state_dict() for seat, each in sorted(world.learners.items())}
    learned["training"] = {
        "energy_j": summary["energy_j"],
        "requests": _requests(ground.scenario),
        "simulated_s": summary["simulated_s"],
    }
    return learned


def _in_earlier_jobs(
    loaded: LoadedScenario, jobs: int, progress: Callable[[float], None] | None
) -> dict[str, Any]:
    """What controllers learn in runs of the scenario with other seeds, one after the other, on the same phones."""
    streams = Streams(loaded.scenario.seed)
    spent = {"runs": 0, "energy_j": 0.0, "rounds": 0, "simulated_s": 0.0}
    learned: dict[str, Any] = {}
    limit_j = inf
    for number in range(jobs):
        seed = streams.key("earlier job", str(number)) % 2**62
        begun_with, run, runs = learned, 0, 1
        while run < runs:
            scenario = _earlier(loaded.scenario, seed, limit_j)
            tables = Recorder(None, ["rounds", "evaluations"])
            world = World(
                replace(loaded, scenario=scenario), tables, phones_seed=loaded.scenario.seed
            )
            controllers = world.learners
            if not controllers:
                return {}
            # Who searches wants the same job again and again (see FixedBest); all others begin each of
            # these runs with what they knew before the job, so that its points are judged alike.
            searching = {
                seat: each
                for seat, each in controllers.items()
                if run < getattr(each, "runs_per_job", 0)
            }
            for seat, controller in sorted(controllers.items()):
                known = learned if hasattr(controller, "runs_per_job") else begun_with
                if seat in known:
                    controller.load_state_dict(known[seat])
                if seat in searching:
                    controller.search()
            runs = max(getattr(each, "runs_per_job", 1) for each in controllers.values())
            begun, share = number + run / runs, 1.0 / runs
            world.run(_shifted(progress, begun / jobs, share / jobs))
            summary = world.finish()
            finished = tables.finish()
            stories = {k: j.story() for k, j in world.federated.items()}
            told = federated_summary(finished, stories)
            for seat, controller in searching.items():
                controller.conclude(_of_job(told, seat))
            learned = {seat: each.state_dict() for seat, each in sorted(controllers.items())}
            # A limit is one job's; with several jobs there is none.
            limits_j = [each.energy_limit_j for each in searching.values()]
            limit_j = limits_j[0] if len(world.federated) == len(limits_j) == 1 else inf
            spent["runs"] += 1
            spent["energy_j"] += summary["energy_j"]
            spent["rounds"] += finished["rounds"].num_rows
            spent["simulated_s"] += summary["simulated_s"]
            run += 1
    return {**learned, "training": {"jobs": jobs, **spent}}


def _shifted(
    progress: Callable[[float], None] | None, begun: float, share: float
) -> Callable[[float], None] | None:
    """Tells of a part as a share of the whole."""
    return None if progress is None else lambda done: progress(begun + share * done)


def _earlier(scenario: Scenario, seed: int, limit_j: float) -> Scenario:
    """An earlier job, which ends when all have spent so much, if not before."""
    found = scenario.model_copy(update={"seed": seed, "training": None})
    if limit_j == inf:
        return found
    jobs: dict[str, Any] = dict(scenario.jobs)
    for name, job in scenario.federated_jobs.items():
        most_j = min(job.stop.energy_global_j or inf, limit_j)
        stop = job.stop.model_copy(update={"energy_global_j": most_j})
        jobs[name] = job.model_copy(update={"stop": stop})
    return found.model_copy(update={"jobs": jobs})


def _of_job(summary: Mapping[str, Any], seat: str) -> dict[str, Any]:
    """A summary as the controller of one job sees it: that job's own numbers under plain names."""
    prefix = f"{seat.split('.')[0]}." if "." in seat else ""
    own = {k.removeprefix(prefix): v for k, v in summary.items() if prefix and k.startswith(prefix)}
    return {**summary, **own}


def fingerprint(loaded: LoadedScenario) -> str:
    """A digest of all that a run of this scenario depends on."""
    content = {
        "edgesim": version("edgesim"),
        "scenario": loaded.scenario.model_dump(mode="json"),
        "profiles": loaded.catalogue.digests(loaded.profiles),
        "models": {name: _plain(model) for name, model in sorted(loaded.models.items())},
        "settings": {name: each.model_dump_json() for name, each in loaded.settings.items()},
        "files": [
            hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(set(loaded.recordings.files))
        ],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A data class, and all that is in it, as what JSON knows."""
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return sorted(value) if isinstance(value, frozenset) else value


def _requests(scenario: Scenario) -> int:
    hosts = {n.to for n in scenario.networks.values() if isinstance(n, WifiDirectSpec)}
    total = 0
    for job in scenario.inference_jobs.values():
        phones = len([g for g in job.phones or scenario.phones if g not in hosts or job.phones])
        total += phones * job.arrivals.visits * len(STATES)  # type: ignore[union-attr]
    return total


def _app(cpu: float, memory: float) -> str:
    return f"cpu_{cpu * 1000:.0f}_memory_{memory * 1000:.0f}"
