"""The bounds: nothing that exhaustive search of the same objective finds is better."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from math import inf, isfinite
from typing import Any

import numpy as np
import pytest

from edgesim.controllers.federated import (
    Clients,
    Participant,
    Reports,
    RoundForecast,
    TrainingOption,
    TrainingTarget,
)
from edgesim.controllers.oracle import Oracle, unevenness
from tests.controllers.test_selection import clients, made, observation

TARGETS = [TrainingTarget("big", level) for level in range(3)]
IDLE_W = 0.02


def fleet(
    seed: int, labels_known: bool = True
) -> tuple[Clients, dict[tuple[int, TrainingTarget], tuple[float, float]]]:
    """Seven clients at random, and what would come of each at each target: seconds, joules."""
    rng = np.random.default_rng(seed)
    options = [TrainingOption(t, "cpu", 1e9, 1.0 / (t.level + 1), 1.0) for t in TARGETS]  # type: ignore[operator]
    known = clients(
        (3, 2, 2),
        labels=rng.integers(0, 20, (7, 4)) if labels_known else np.zeros((7, 0), np.int64),
        options=lambda *_: options,
        reports=lambda asked: Reports(*np.full((2, len(asked)), 1e15), *np.zeros((4, len(asked)))),
    )
    futures = {}
    for client, target in product(range(7), TARGETS):
        took_s = rng.uniform(1.0, 3.0) / (1 + target.level)  # type: ignore[operator]
        futures[client, target] = (took_s, rng.uniform(1.0, 5.0))
    return known, futures


def foreseen(futures: dict[tuple[int, TrainingTarget], tuple[float, float]]) -> Any:
    def what_if(cohort: Sequence[Participant]) -> RoundForecast:
        found = [futures[tuple(each)] for each in cohort]  # type: ignore[index]
        finish_s, joules = zip(*found, strict=True)
        return RoundForecast(max(finish_s), sum(joules), (), finish_s, joules)

    return what_if


@pytest.mark.parametrize("minimise", ["energy", "energy_time"])
@pytest.mark.parametrize("labels_known", [True, False])
@pytest.mark.parametrize("seed", range(8))
def test_exhaustive_search_finds_nothing_better(
    seed: int, labels_known: bool, minimise: str
) -> None:
    known, futures = fleet(seed, labels_known)
    deadline_s, wanted = 2.0, 3

    def worth(cohort: Sequence[tuple[int, TrainingTarget]]) -> tuple[float, float]:
        took_s = max(futures[each][0] for each in cohort)
        if took_s > deadline_s:
            return inf, inf
        energy_j = sum(futures[each][1] for each in cohort) + (7 - wanted) * IDLE_W * took_s
        labels = known.labels[[client for client, _ in cohort]].sum(axis=0)
        return unevenness(labels, known.labels.sum(axis=0)), energy_j * (
            took_s if minimise == "energy_time" else 1.0
        )

    every = (
        tuple(zip(cohort, targets, strict=True))
        for cohort in combinations(range(7), wanted)
        for targets in product(TARGETS, repeat=wanted)
    )
    best = min(map(worth, every))
    oracle = made(Oracle, minimise=minimise, exhaustive=100_000, considers=1.0)
    asked = observation(
        wanted, known, deadline_s=deadline_s, what_if=foreseen(futures), downlink_bytes=0.0
    )
    own = worth([tuple(each) for each in oracle.decide(asked)])  # type: ignore[misc]
    assert own == pytest.approx(best, rel=1e-9)
    assert isfinite(own[1])


def test_exchanges_come_near_to_exhaustive_search() -> None:
    gaps = []
    for seed in range(20):
        known, futures = fleet(seed)
        asked = observation(3, known, deadline_s=2.5, what_if=foreseen(futures), downlink_bytes=0.0)
        evenness = []
        for limit in (0, 100_000):
            chosen = made(Oracle, exhaustive=limit, considers=1.0).decide(asked)
            of_cohort = known.labels[[c for c, _ in chosen]].sum(axis=0)
            evenness.append(unevenness(of_cohort, known.labels.sum(axis=0)))
        gaps.append(evenness[0] - evenness[1])
    assert min(gaps) >= 0.0
    assert np.mean(gaps) < 0.03


def test_without_labels_only_energy_counts() -> None:
    known, futures = fleet(1)
    asked = observation(3, known, deadline_s=9.0, what_if=foreseen(futures), downlink_bytes=0.0)
    joules = []
    for balances in (True, False):
        chosen = made(Oracle, balances_labels=balances, exhaustive=100_000, considers=1.0).decide(
            asked
        )
        joules.append(sum(futures[tuple(each)][1] for each in chosen))  # type: ignore[index]
    assert joules[1] < joules[0]


def test_an_oracle_of_participants_leaves_targets_alone() -> None:
    known, futures = fleet(2)
    asked = observation(3, known, deadline_s=9.0, what_if=foreseen(futures), downlink_bytes=0.0)
    chosen = made(Oracle, chooses_targets=False, considers=1.0).decide(asked)
    assert {target.level for _, target in chosen} == {2}  # the fastest


def test_the_late_come_only_if_there_are_too_few_others() -> None:
    known, futures = fleet(3)
    asked = observation(5, known, deadline_s=0.0, what_if=foreseen(futures), downlink_bytes=0.0)
    chosen = made(Oracle, considers=1.0).decide(asked)
    fastest = sorted(range(7), key=lambda c: min(futures[c, t][0] for t in TARGETS))
    assert {client for client, _ in chosen} == set(fastest[:5])


def test_those_in_time_are_thrifty_even_if_others_are_late() -> None:
    known, futures = fleet(3)
    fastest_s = sorted(min(futures[c, t][0] for t in TARGETS) for c in range(7))
    deadline_s = 0.5 * (fastest_s[3] + fastest_s[4])  # four of seven are in time
    asked = observation(
        7, known, deadline_s=deadline_s, what_if=foreseen(futures), downlink_bytes=0.0
    )
    for client, target in made(Oracle, considers=1.0).decide(asked):
        own = {t: futures[client, t] for t in TARGETS}
        in_time = [joules for took_s, joules in own.values() if took_s <= deadline_s]
        if in_time:
            assert own[target][1] == min(in_time)
        else:
            assert own[target][0] == min(took_s for took_s, _ in own.values())


def test_some_are_considered() -> None:
    known, futures = fleet(4)
    asked = observation(2, known, what_if=foreseen(futures), downlink_bytes=0.0)
    oracle = made(Oracle, considers=0.4)
    assert len({oracle.decide(asked) for _ in range(30)}) > 3


def test_those_whose_connection_would_be_lost_are_left_out() -> None:
    known, futures = fleet(5)
    for client in (0, 2, 4):
        for target in TARGETS:
            futures[client, target] = (inf, inf)
    futures[1, TARGETS[0]] = (inf, inf)
    for exhaustive in (0, 100_000):
        oracle = made(Oracle, exhaustive=exhaustive, considers=1.0)
        three, six = (
            oracle.decide(observation(wanted, known, what_if=foreseen(futures), downlink_bytes=0.0))
            for wanted in (3, 6)
        )
        assert {client for client, _ in three} <= {1, 3, 5, 6}
        assert all(futures[tuple(each)][0] < inf for each in three)  # type: ignore[index]
        assert {1, 3, 5, 6} < {client for client, _ in six}  # somebody has to


def test_labels_are_balanced_as_those_of_all_are() -> None:
    of_all = np.array([60, 30, 10])
    assert unevenness(np.array([6, 3, 1]), of_all) == 0.0
    assert unevenness(np.array([5, 5, 5]), of_all) == pytest.approx(0.27)
    assert unevenness(np.zeros(3, np.int64), of_all) == 0.5
    assert unevenness(np.zeros((4, 0), np.int64), np.zeros(0)).tolist() == [0.0] * 4
