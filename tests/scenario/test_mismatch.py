from typing import Any

import numpy as np
import pytest

import edgesim
from edgesim.controllers.slots import OffloadingObservation, OffloadingOutcome, Setting, Target
from edgesim.core.recorder import Recorder
from edgesim.scenario import world as world_module
from edgesim.scenario.load import load_scenario
from edgesim.scenario.world import World

PHONES = ("galaxy_s10e", "mi_8_pro", "moto_x_force")


class Watcher:
    """Remembers all that a controller is ever shown."""

    needs_what_if = False
    learns = True

    def __init__(self, index: int = 0) -> None:
        self.index = index
        self.observations: list[OffloadingObservation] = []
        self.outcomes: list[OffloadingOutcome] = []

    def decide(self, observation: OffloadingObservation) -> Target:
        self.observations.append(observation)
        return observation.options[self.index % len(observation.options)].target

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> None:
        self.outcomes.append(outcome)


def play(
    watcher: Any, mismatch: dict[str, Any] | None, **changes: Any
) -> tuple[World, dict[str, Any]]:
    overrides = {
        "duration_s": 60,
        "jobs": {
            "camera": {
                "kind": "inference",
                "model": "mobilenet_v1",
                "arrivals": {"kind": "poisson", "rate_per_s": 0.2},
            }
        },
        "controllers": {"offloading": "random"},
        **changes,
    }
    if mismatch is not None:
        overrides["mismatch"] = mismatch
    loaded = load_scenario("quickstart", list(overrides.items()))
    recorder = Recorder(None, ["requests", "energy", "devices"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world_module, "make_controller", lambda name, setting: watcher)
        world = World(loaded, recorder)
        world.run()
        world.finish()
    return world, {name: table.to_pylist() for name, table in recorder.finish().items()}


def truths(world: World) -> dict[str, Any]:
    return {group.name: group.truth(0) for group in world.fleet.groups}


def numbers_in(thing: Any) -> list[float]:
    """Every number within an observation, however deep."""
    if isinstance(thing, float):
        return [thing]
    if isinstance(thing, tuple):
        return [number for part in thing for number in numbers_in(part)]
    return []


def test_no_observation_carries_a_drawn_factor() -> None:
    as_published, drawn = Watcher(), Watcher()
    play(as_published, None)
    world, _ = play(drawn, {})
    # What the meters of the world say of the phone's state (its temperature and charge) may differ;
    # everything that speaks of processors is word for word that of the profiles.
    for before, after in zip(as_published.observations, drawn.observations, strict=True):
        assert after.options == before.options
        assert after._replace(
            charge=0, skin_c=0, options=(), is_ready=before.is_ready, what_if=None
        ) == before._replace(charge=0, skin_c=0, options=(), what_if=None)
        assert after.what_if is None
    # And no number in it is a factor, or a promise multiplied by one.
    factors = [
        factor
        for truth in truths(world).values()
        for table in (truth.slower, truth.hungrier)
        for factor in table.values()
    ]
    assert len(set(factors)) == len(factors) > 10
    promised = {option.compute_s for o in as_published.observations for option in o.options}
    forbidden = np.array(factors + [f * p for f in factors for p in promised])
    for observation in drawn.observations:
        for number in numbers_in(observation._replace(what_if=None)):
            if number:
                assert not np.isclose(number, forbidden, rtol=1e-12, atol=0).any()


def test_the_world_runs_by_the_drawn_factors() -> None:
    published, drawn = Watcher(), Watcher()
    _, before = play(published, None, networks={}, sites={}, phones={"p": {"profile": "mi_8_pro"}})
    world, after = play(drawn, {}, networks={}, sites={}, phones={"p": {"profile": "mi_8_pro"}})
    truth = truths(world)["p"]
    name = published.observations[0].options[0].target.processor
    assert abs(np.log(truth.slower[name])) > 1e-3
    for one, other in zip(before["requests"], after["requests"], strict=True):
        assert other["latency_s"] == pytest.approx(one["latency_s"] * truth.slower[name], rel=1e-9)

    def compute_j(tables: dict[str, Any]) -> float:
        return sum(r["energy_j"] for r in tables["energy"] if r["activity"] == "compute")

    expected = compute_j(before) * truth.slower[name] * truth.hungrier[name]
    assert compute_j(after) == pytest.approx(expected, rel=1e-9)


def test_the_factors_are_lognormal_with_the_cost_models_own_error() -> None:
    loaded = load_scenario(
        "quickstart",
        [
            ("phones", {"p": {"profile": "mi_8_pro", "count": 2000}}),
            ("mismatch", {}),
            ("duration_s", 0.001),
            ("jobs.camera.sites", []),
            ("controllers", {"offloading": "edge_cpu"}),
        ],
    )
    world = World(loaded, Recorder(None, []))
    (group,) = world.fleet.groups
    for name, processor in group.spec.processors.items():
        assert processor.sigma > 0
        for what in ("slower", "hungrier"):
            logs = np.log([getattr(group.truth(place), what)[name] for place in range(2000)])
            assert logs.std() == pytest.approx(processor.sigma, rel=0.06)
            assert abs(logs.mean()) < 4 * processor.sigma / 2000**0.5
    slower = [group.truth(place).slower["gpu"] for place in range(2000)]
    hungrier = [group.truth(place).hungrier["gpu"] for place in range(2000)]
    assert abs(np.corrcoef(np.log(slower), np.log(hungrier))[0, 1]) < 0.1


def test_a_device_keeps_its_factors_whatever_else_there_is() -> None:
    alone, _ = play(Watcher(), {}, phones={"p": {"profile": "mi_8_pro"}})
    others = {"p": {"profile": "mi_8_pro", "count": 3}, "q": {"profile": "pixel_3"}}
    crowd, _ = play(Watcher(1), {}, phones=others)
    assert truths(alone)["p"] == truths(crowd)["p"]
    seeded, _ = play(Watcher(), {}, phones={"p": {"profile": "mi_8_pro"}}, seed=7)
    assert truths(seeded)["p"] != truths(alone)["p"]


def test_meters_err_and_tables_do_not() -> None:
    watcher = Watcher()
    _, tables = play(watcher, {"spread": 0, "meter_noise": 0.07}, duration_s=2000)
    rows = [row for row in tables["requests"] if row["status"] == "done"]
    true_j = sorted(row["energy_j"] for row in rows)
    told_j = [outcome.energy_j for outcome in watcher.outcomes]
    assert len(told_j) == len(rows) > 300
    assert not set(told_j) & set(true_j)
    # Outcomes come in the order of their ends; on the phone alone that is nearly that of arrival.
    silent = Watcher()
    play(silent, {"spread": 0, "meter_noise": 0.0}, duration_s=2000)
    errors = np.array(told_j) / np.array([outcome.energy_j for outcome in silent.outcomes]) - 1
    assert errors.std() == pytest.approx(0.07, rel=0.15)
    assert abs(errors.mean()) < 4 * 0.07 / len(errors) ** 0.5


def test_without_mismatch_devices_are_as_published_and_meters_exact() -> None:
    watcher = Watcher()
    world, tables = play(watcher, None)
    assert all(not truth.slower and not truth.hungrier for truth in truths(world).values())
    told = sorted(outcome.energy_j for outcome in watcher.outcomes)
    done = sorted(row["energy_j"] for row in tables["requests"] if row["status"] == "done")
    assert told == done


def test_the_oracle_knows_the_factors() -> None:
    overrides = {
        "duration_s": 100,
        "mismatch": {"spread": 3.0},
        "compare": {"offloading": ["edge_best", "oracle"]},
    }
    energy = edgesim.compare("quickstart", overrides=overrides).summary().energy_per_request_j
    assert energy["oracle"] < energy["edge_best"]


def test_a_controller_is_never_told_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: list[Setting] = []
    make = world_module.make_controller

    def spy(name: str, setting: Setting) -> Any:
        settings.append(setting)
        return make(name, setting)

    monkeypatch.setattr(world_module, "make_controller", spy)
    World(
        load_scenario("quickstart", [("mismatch", {}), ("controllers", {"offloading": "random"})]),
        Recorder(None, []),
    )
    assert {type(part) for s in settings for part in (s.job, s.slot)} == {str}
