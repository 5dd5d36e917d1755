"""Who selects whom: baselines and their proportions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import inf, nan
from typing import Any

import numpy as np
import pytest

from edgesim.controllers.federated import (
    Clients,
    Conditions,
    Reports,
    SelectionObservation,
    TrainingOption,
    TrainingTarget,
)
from edgesim.controllers.registry import controller_class, names_in, parameters_of
from edgesim.controllers.selection import (
    Fedl,
    FixedMix,
    Oort,
    Performance,
    Power,
    RandomSelection,
    RoundRobin,
    predicted_s,
)
from edgesim.controllers.slots import Setting
from edgesim.network.radio import LinkState
from edgesim.nn.zoo import ZOO

# Three groups: fast and hungry, in between, slow and thrifty.
OPTIONS = [
    [
        TrainingOption(TrainingTarget("big"), "cpu", 2.8e9, 0.1, 5.6),
        TrainingOption(TrainingTarget("gpu"), "gpu", 0.7e9, 0.05, 2.8),
    ],
    [TrainingOption(TrainingTarget("big"), "cpu", 2.3e9, 0.2, 3.6)],
    [
        TrainingOption(TrainingTarget("big"), "cpu", 1.9e9, 0.3, 3.0),
        TrainingOption(TrainingTarget("little"), "cpu", 1.5e9, 0.9, 0.5),
    ],
]
LINK = LinkState(20e6, 40e6, 0.3, 1.0, 0.8)


def reports(asked: np.ndarray[Any, Any]) -> Reports:
    """Everybody at the same good network, nobody busy."""
    n = len(asked)
    return Reports(
        np.full(n, LINK.up_bps),
        np.full(n, LINK.down_bps),
        np.zeros(n),
        np.zeros(n),
        np.full(n, 0.04),
        np.ones(n),
    )


def clients(sizes: Sequence[int] = (30, 70, 100), **changes: Any) -> Clients:
    group = np.repeat(np.arange(len(sizes)), sizes)
    n = len(group)
    labels = np.zeros((n, 10), np.int64)
    labels[np.arange(n), np.arange(n) % 10] = 50
    conditions = Conditions(True, "home", -60.0, LINK, 0.0, 0.0, 0.8, False, nan, 0.04, True)
    found = Clients(
        [f"phone_{k}" for k in range(n)],
        ["fast", "medium", "slow"],
        group,
        np.full(n, 50),
        labels,
        np.full(n, nan),
        np.zeros(n, np.int64),
        np.full(n, nan),
        lambda client, batch: OPTIONS[group[client]],
        lambda client: conditions,
        reports,
        np.array([0.02, 0.02, 0.02])[: len(sizes)],
    )
    return replace(found, **changes)


def observation(
    wanted: int = 20, of: Clients | None = None, **changes: Any
) -> SelectionObservation:
    everybody = clients() if of is None else of
    found = SelectionObservation(
        0.0,
        "fl",
        1,
        wanted,
        np.arange(len(everybody)),
        everybody,
        10,
        2,
        inf,
        nan,
        ZOO["mobilenet_v1"],
        1e6,
        2e6,
    )
    return found._replace(**changes)


def made(kind: Any, seed: int = 1, **parameters: Any) -> Any:
    schema = parameters_of(kind)
    given = None if schema is None else schema(**parameters)
    return kind(Setting("fl", "selection", np.random.default_rng(seed), given))


@pytest.mark.parametrize(
    "name", [name for name in names_in("selection") if not name.startswith("oracle")]
)
def test_every_selection_chooses_as_many_as_asked_each_once(name: str) -> None:
    controller = made(controller_class(name, "selection"))
    eligible = np.arange(5, 190, 3)
    for wanted in (1, 7, len(eligible)):
        chosen = controller.decide(observation(wanted, eligible=eligible))
        numbers = [client for client, _ in chosen]
        assert len(set(numbers)) == wanted
        assert set(numbers) <= set(eligible.tolist())
        assert numbers == sorted(numbers)


def test_random_selection_reaches_everybody() -> None:
    controller = made(RandomSelection)
    seen = [c for _ in range(200) for c, _ in controller.decide(observation())]
    counts = np.bincount(seen, minlength=200)
    assert counts.min() >= 5
    assert counts.max() <= 40


def test_in_turn_those_come_who_have_waited_longest() -> None:
    last = np.arange(200)[::-1].copy()
    chosen = made(RoundRobin).decide(observation(3, clients(last_round=last)))
    assert [c for c, _ in chosen] == [197, 198, 199]


def test_power_and_performance_take_the_ends_of_the_fleet() -> None:
    assert all(c >= 100 for c, _ in made(Power).decide(observation()))
    assert all(c < 30 for c, _ in made(Performance).decide(observation()))
    # When the best do not suffice, the next best follow.
    more = made(Performance).decide(observation(35))
    assert sum(c < 30 for c, _ in more) == 30
    assert sum(30 <= c < 100 for c, _ in more) == 5


@pytest.mark.parametrize(
    ("mix", "wanted", "expected"),
    [
        ("C1", 20, (20, 0, 0)),
        ("C3", 20, (10, 5, 5)),
        ("C4", 20, (5, 10, 5)),
        ("C6", 20, (0, 5, 15)),
        ("C3", 10, (5, 3, 2)),
        ("C2", 4, (3, 1, 0)),
    ],
)
def test_a_mix_has_so_many_of_each_tier(
    mix: str, wanted: int, expected: tuple[int, int, int]
) -> None:
    chosen = np.array([c for c, _ in made(FixedMix, mix=mix).decide(observation(wanted))])
    tiers = np.searchsorted([30, 100], chosen, side="right")
    assert tuple(np.bincount(tiers, minlength=3)) == expected


def test_a_tier_that_is_too_small_is_made_up_for_by_others() -> None:
    eligible = np.r_[np.arange(4), np.arange(30, 200)]
    chosen = made(FixedMix, mix="C1").decide(observation(eligible=eligible))
    numbers = [c for c, _ in chosen]
    assert len(set(numbers)) == 20
    assert set(range(4)) <= set(numbers)


@pytest.mark.parametrize(
    ("how", "processor"), [("cpu", "big"), ("fastest", "gpu"), ("thriftiest", "gpu")]
)
def test_clients_train_where_the_parameters_say(how: str, processor: str) -> None:
    chosen = made(Performance, train_on=how).decide(observation(3))
    assert {target.processor for _, target in chosen} == {processor}


# --- Oort ----------------------------------------------------------------------------------------


def test_oort_explores_first_and_exploits_later() -> None:
    n = 200
    loss = np.full(n, nan)
    loss[:50] = np.linspace(0.1, 5.0, 50)
    durations = np.where(np.isfinite(loss), 1.0, nan)
    known = clients(loss=loss, duration_s=durations, last_round=np.ones(n, np.int64))
    first = made(Oort).decide(observation(of=known))
    assert sum(c >= 50 for c, _ in first) == 18
    later = made(Oort).decide(observation(of=known, round=300))
    seen = [c for c, _ in later if c < 50]
    assert len(seen) == 16
    assert min(seen) > 25  # those of high loss


def test_oort_passes_over_the_slow() -> None:
    n = 200
    durations = np.where(np.arange(n) % 2, 100.0, 1.0)
    known = clients(loss=np.ones(n), duration_s=durations, last_round=np.ones(n, np.int64))
    chosen = made(Oort, percentile=40.0).decide(observation(of=known, round=300))
    assert all(c % 2 == 0 for c, _ in chosen)


# --- promises ------------------------------------------------------------------------------------


def test_predicted_times_are_transfers_and_steps() -> None:
    everybody = clients()
    option = OPTIONS[0][0]
    found = predicted_s(everybody, 0, option, (10, 2), (1e6, 2e6))
    assert found == pytest.approx(8e6 / 40e6 + 10 * 0.1 + 16e6 / 20e6 + 0.04)
    shared = predicted_s(everybody, 0, option, (10, 2), (1e6, 2e6), 4)
    assert shared == pytest.approx(found + 3 * 8e6 / 40e6)
    offline = clients(
        conditions=lambda _: Conditions(True, "", nan, None, 0, 0, 1, False, nan, nan, False)
    )
    assert predicted_s(offline, 0, option, (10, 2), (1e6, 2e6)) == inf


# --- FEDL ----------------------------------------------------------------------------------------


def test_fedl_slows_those_down_who_would_wait() -> None:
    levels = [
        TrainingOption(TrainingTarget("cpu", k), "cpu", hz, 0.1 / hz * 1e9, watts)
        for k, (hz, watts) in enumerate([(0.5e9, 0.3), (1e9, 1.0), (2e9, 4.0)])
    ]
    of = replace(clients((2, 0, 0)), options=lambda *_: levels, samples=np.array([10, 100]))
    seen = observation(2, of)
    # Without a price on time everybody takes the clock of least joules; time alone: the highest.
    slow, fast = (made(Fedl, joules_per_s=price).decide(seen) for price in (0.0, 1e6))
    assert {target.level for _, target in slow} == {0}
    # The one with ten times the samples runs as fast as it can; the other just keeps up.
    assert [target.level for _, target in fast] == [0, 2]


def test_fedl_finds_what_trying_everything_finds() -> None:
    rng = np.random.default_rng(5)
    options = [
        TrainingOption(TrainingTarget("cpu", k), "cpu", 1e9 * (k + 1), 0.3 / (k + 1), watts)
        for k, watts in enumerate([0.5, 1.6, 4.0])
    ]
    of = replace(clients((4, 0, 0)), options=lambda *_: options, samples=rng.integers(10, 90, 4))
    seen = observation(4, of)
    chosen = made(Fedl, joules_per_s=2.0).decide(seen)

    def worth(picked: Sequence[int]) -> float:
        times, joules = [], 0.0
        for client, k in enumerate(picked):
            times.append(predicted_s(of, client, options[k], (10, 2), (1e6, 2e6), 4))
            joules += options[k].power_w * options[k].step_s * of.steps(client, 10, 2)
        return joules + 2.0 * max(times)

    own = worth([target.level for _, target in chosen])
    assert own == pytest.approx(min(map(worth, product(range(3), repeat=4))))
