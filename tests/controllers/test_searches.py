"""Rivals of FedGPO: a grid of whole jobs, searches round by round, batch sizes fitted to phones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from math import inf, log, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgesim.controllers.federated import (
    Clients,
    Reports,
    RoundOutcome,
    RoundParameters,
)
from edgesim.controllers.learned import dump_state, load_state
from edgesim.controllers.registry import controller_class, entry_of, names_in, parameters_of
from edgesim.controllers.searches import (
    AdaptiveBatch,
    AdaptiveBatchParameters,
    FixedBest,
    FixedBestParameters,
    Point,
    Search,
    SearchParameters,
)
from edgesim.controllers.slots import Setting
from edgesim.core.errors import EdgesimError
from tests.controllers.test_fedgpo import asked, fleet, promised_s

GRID: dict[str, Any] = {"batch_sizes": [4, 16], "epochs": [1, 5], "clients_per_round": [2, 8]}
POINTS = list(product([4, 16], [1, 5], [2, 8]))


def made(kind: Any, seed: int = 1, **parameters: Any) -> Any:
    schema = parameters_of(kind)
    assert schema is not None
    rng = np.random.default_rng(seed)
    return kind(Setting("fl", "parameters", rng, schema(**parameters)))


def summary(joules: float = 10.0, seconds: float = 100.0, reached: int = 1) -> dict[str, Any]:
    return {
        "target_reached": reached,
        "energy_global_to_target_j": joules,
        "time_to_target_s": seconds,
    }


def outcome(accuracy: float, before: float, joules: float = 1.0) -> RoundOutcome:
    return RoundOutcome(1, 3.0, False, accuracy, before, (), joules, joules, ())


def point_of(told: RoundParameters) -> Point:
    assert not told.own
    return Point(told.batch_size, told.epochs, told.clients_per_round)


def through_a_file(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "learned.json").write_text(dump_state(state))
    return load_state(folder / "learned.json")


@pytest.mark.parametrize("name", ["fixed_best", "bayesian", "genetic", "adaptive_batch"])
def test_they_sit_in_slot_parameters(name: str) -> None:
    assert name in names_in("parameters")
    entry = entry_of(name, "parameters")
    assert entry is not None
    own = made(controller_class(name, "parameters"), **entry.settings)
    if name == "fixed_best":
        own.search()
    assert isinstance(own.decide(asked()), RoundParameters)


@pytest.mark.parametrize("schema", [FixedBestParameters, SearchParameters])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_sizes": []}, "nothing to choose of"),
        ({"epochs": [5, 5]}, "the same number is there twice"),
        ({"clients_per_round": [0]}, "greater than or equal to 1"),
    ],
)
def test_a_grid_must_have_points(schema: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        schema(**given)


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        (FixedBestParameters, {"minimise": "joules"}),
        (SearchParameters, {"optimiser": "grid"}),
        (SearchParameters, {"trials": 0}),
        (SearchParameters, {"rounds_per_trial": 0}),
        (SearchParameters, {"population": 1}),
        (AdaptiveBatchParameters, {"batch_sizes": [0, 8]}),
    ],
)
def test_what_cannot_be_is_refused(schema: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schema(**given)


# --- the grid ------------------------------------------------------------------------------------


def searched(own: Any, costs: Sequence[dict[str, Any]]) -> list[Point]:
    """One run after the other, each concluded with one of these; the points that were tried."""
    found = []
    for each in costs:
        own.search()
        told = own.decide(asked())
        assert own.decide(asked()) == told  # all through the run
        assert own.learn(asked(), told, outcome(0.5, 0.4)) is None
        found.append(point_of(told))
        own.conclude(each)
    own.freeze()
    return found


def test_every_point_is_run_once_the_cheapest_first() -> None:
    own = made(FixedBest, **GRID)
    assert own.runs_per_job == 8
    found = searched(own, [summary(10.0 + k) for k in range(8)])
    assert Counter(found) == Counter(Point(*each) for each in POINTS)
    assert found[0] == Point(16, 1, 2)
    assert found[-1] == Point(4, 5, 8)
    assert [k for _, _, k in found] == [2] * 4 + [8] * 4
    assert own.best == found[0]


def test_the_papers_grid_has_so_many_points() -> None:
    assert made(FixedBest).runs_per_job == 150


@pytest.mark.parametrize("best", range(8))
def test_after_the_search_the_best_is_used(best: int) -> None:
    own = made(FixedBest, **GRID)
    costs = [summary(20.0 + k) for k in range(8)]
    costs[best] = summary(5.0)
    found = searched(own, costs)
    assert own.best == found[best]
    for _ in range(3):
        assert point_of(own.decide(asked())) == found[best]
    own.freeze()
    assert point_of(own.decide(asked())) == found[best]


@pytest.mark.parametrize(("minimise", "expected"), [("energy", 0), ("time", 1), ("energy_time", 2)])
def test_what_is_least_can_be_chosen(minimise: str, expected: int) -> None:
    own = made(
        FixedBest, batch_sizes=[1], epochs=[1], clients_per_round=[1, 2, 3], minimise=minimise
    )
    found = searched(own, [summary(1.0, 100.0), summary(100.0, 1.0), summary(5.0, 5.0)])
    assert own.best == found[expected]


def test_over_several_jobs_the_geometric_mean_counts() -> None:
    own = made(FixedBest, batch_sizes=[8], epochs=[5], clients_per_round=[1, 2])
    for joules in (10.0, 1.0, 10.0, 30.0):  # sums are 20 and 31, products 100 and 30
        own.conclude(summary(joules))
    assert own.best == Point(8, 5, 2)


def test_a_point_that_missed_its_target_in_one_job_is_not_the_best() -> None:
    own = made(FixedBest, batch_sizes=[8], epochs=[5], clients_per_round=[1, 2])
    own.conclude(summary(1.0))
    own.conclude(summary(50.0))
    own.conclude(summary(1.0, reached=0))
    own.conclude(summary(50.0))
    assert own.best == Point(8, 5, 2)


def test_an_unfinished_grid_does_not_count() -> None:
    own = made(FixedBest, batch_sizes=[8], epochs=[5], clients_per_round=[1, 2])
    for joules in (5.0, 9.0, 100.0):
        own.conclude(summary(joules))
    assert own.best == Point(8, 5, 1)


def test_every_job_is_run_with_every_point() -> None:
    own = made(FixedBest, batch_sizes=[8], epochs=[5], clients_per_round=[1, 2, 3])
    first = searched(own, [summary(5.0), summary(6.0), summary(7.0)])
    assert searched(own, [summary(5.0), summary(6.0), summary(7.0)]) == first


def test_without_training_it_says_what_it_needs() -> None:
    own = made(FixedBest, **GRID)
    for _ in range(2):
        with pytest.raises(EdgesimError, match=r"run no grid; .*training: \{kind: earlier_jobs"):
            own.best  # noqa: B018
        own.freeze()
        with pytest.raises(EdgesimError, match="run no grid"):
            own.decide(asked())


def test_if_no_point_reached_the_target_it_says_so() -> None:
    own = made(FixedBest, batch_sizes=[8], epochs=[5], clients_per_round=[1, 2])
    searched(own, [summary(reached=0), summary(reached=0)])
    with pytest.raises(EdgesimError, match=r"no point of the grid .*lower stop\.accuracy"):
        own.decide(asked())


def test_a_job_without_a_target_is_refused() -> None:
    with pytest.raises(EdgesimError):
        made(FixedBest, **GRID).conclude({"target_reached": None, "energy_global_j": 5.0})


def test_a_run_need_not_spend_much_more_than_the_best_so_far() -> None:
    own = made(FixedBest, **GRID)
    found = []
    for each in [summary(9.0, reached=0), summary(20.0), summary(12.0), summary(15.0)]:
        found.append(own.energy_limit_j)
        own.conclude(each)
    assert [*found, own.energy_limit_j] == [inf, inf, 60.0, 36.0, 36.0]
    for _ in range(4):
        own.conclude(summary(30.0))
    assert own.energy_limit_j == inf  # the grid is done
    own.conclude(summary(1.0))
    assert own.energy_limit_j == 3.0  # a second job has a best of its own


@pytest.mark.parametrize("minimise", ["time", "energy_time"])
def test_joules_are_no_limit_where_time_counts(minimise: str) -> None:
    own = made(FixedBest, **GRID, minimise=minimise)
    own.conclude(summary())
    assert own.energy_limit_j == inf


def test_a_search_goes_on_from_a_file(tmp_path: Path) -> None:
    own = made(FixedBest, **GRID)
    first = searched(own, [summary(9.0), summary(1.0, reached=0), summary(7.0)])
    other = made(FixedBest, **GRID)
    other.load_state_dict(through_a_file(own.state_dict(), tmp_path))
    assert other.energy_limit_j == 21.0
    rest = searched(other, [summary(8.0 + k) for k in range(5)])
    assert Counter(first + rest) == Counter(Point(*each) for each in POINTS)
    assert other.best == first[2]
    with pytest.raises(EdgesimError, match="another grid; search anew"):
        made(FixedBest, **{**GRID, "epochs": [1, 4]}).load_state_dict(own.state_dict())


# --- searches round by round ---------------------------------------------------------------------


def rounds_of(
    own: Any,
    rounds: int,
    worth: Callable[[Point], float],
    of: Clients | None = None,
    over_selection: float = 1.0,
) -> list[tuple[Point, bool]]:
    """Rounds in which progress per joule is what it is worth; points, and whether they were tried."""
    everybody = fleet() if of is None else of
    n = len(everybody)
    k, found = 5, []
    for _ in range(rounds):
        cohort = range(min(int(np.ceil(k * over_selection)), n))
        seen = asked(everybody, cohort, clients_per_round=k)
        told = own.decide(seen)
        error = 0.6 * np.exp(-worth(point_of(told)))
        lesson = own.learn(seen, told, outcome(1.0 - error, 0.4))
        assert lesson is not None
        assert lesson.reward == pytest.approx(worth(point_of(told)))
        found.append((point_of(told), lesson.is_explored))
        k = told.clients_per_round
    return found


def worth_of(point: Point) -> float:
    batch_size, epochs, clients = point
    return 0.1 * epochs / batch_size - 0.001 * clients


@pytest.mark.parametrize("optimiser", ["tpe", "genetic"])
def test_so_many_points_are_tried_then_the_best_is_used(optimiser: str) -> None:
    own = made(Search, **GRID, optimiser=optimiser, trials=12, rounds_per_trial=2, population=4)
    found = rounds_of(own, 60, worth_of)
    explored = [is_explored for _, is_explored in found]
    count = explored.index(False)
    assert 12 * 2 <= count <= 12 * 3
    assert not any(explored[count:])
    tried = {point for point, _ in found[:count]}
    assert tried <= {Point(*each) for each in POINTS}
    assert len(tried) > 3
    assert {point for point, _ in found[count:]} == {max(tried, key=worth_of)}
    assert own.best == max(tried, key=worth_of)
    assert len(own.state_dict()["trials"]) == 12


@pytest.mark.parametrize("optimiser", ["tpe", "genetic"])
def test_the_same_stream_tries_the_same(optimiser: str) -> None:
    one, same, other = (
        rounds_of(made(Search, seed, **GRID, optimiser=optimiser, population=4), 40, worth_of)
        for seed in (1, 1, 2)
    )
    assert one == same != other


@pytest.mark.parametrize("optimiser", ["tpe", "genetic"])
def test_it_looks_where_it_was_good(optimiser: str) -> None:
    parameters: dict[str, Any] = {"clients_per_round": [5], "rounds_per_trial": 1, "trials": 60}
    means = []
    for seed in range(4):
        own = made(Search, seed, optimiser=optimiser, population=8, **parameters)
        found = rounds_of(own, 60, lambda point: 0.1 * point.epochs / point.batch_size)
        worth = [0.1 * point.epochs / point.batch_size for point, _ in found]
        means.append((np.mean(worth[:10]), np.mean(worth[40:])))
    early, late = np.mean(means, axis=0)
    assert late > 1.5 * early


def test_a_point_is_judged_over_all_its_rounds_but_not_by_the_last_points_cohort() -> None:
    own = made(Search, batch_sizes=[8], epochs=[5], clients_per_round=[3], rounds_per_trial=2)
    for k, before, after in ((5, 0.1, 0.5), (3, 0.5, 0.6), (3, 0.6, 0.8)):
        seen = asked(chosen=range(k), clients_per_round=k)
        told = own.decide(seen)
        own.learn(seen, told, outcome(after, before, joules=2.0 * k))
    ((point, worth, _),) = own.state_dict()["trials"]
    assert point == [8, 5, 3]
    assert worth == pytest.approx(log(0.5 / 0.2) / 12.0)


def test_what_unjudged_rounds_spend_counts() -> None:
    own = made(Search, batch_sizes=[8], epochs=[5], clients_per_round=[3], rounds_per_trial=1)
    seen = asked(chosen=range(3), clients_per_round=3)
    told = own.decide(seen)
    for _ in range(4):
        assert own.learn(seen, told, outcome(nan, 0.4, joules=3.0)) is None
    assert own.state_dict()["trials"] == []
    own.learn(seen, told, outcome(0.5, 0.4, joules=3.0))
    ((_, worth, _),) = own.state_dict()["trials"]
    assert worth == pytest.approx(log(0.6 / 0.5) / 15.0)


def test_a_point_tried_twice_is_worth_its_mean() -> None:
    own = made(Search, batch_sizes=[1, 2], epochs=[1], clients_per_round=[1])
    axes = own.state_dict()["axes"]
    trials = [[[1, 1, 1], 9.0, {}], [[1, 1, 1], 1.0, {}], [[2, 1, 1], 6.0, {}]]
    own.load_state_dict({"axes": axes, "trials": trials})
    assert own.best == Point(2, 1, 1)


@pytest.mark.parametrize(
    ("of", "over_selection"), [(fleet((1, 1, 2)), 1.0), (fleet(), 1.5)], ids=["K", "over-selection"]
)
def test_points_are_judged_however_large_their_cohorts(of: Clients, over_selection: float) -> None:
    own = made(Search, batch_sizes=[8], epochs=[1, 5], clients_per_round=[6], trials=3)
    rounds_of(own, 20, lambda point: 0.1, of, over_selection)
    assert len(own.state_dict()["trials"]) == 3


def test_frozen_before_a_point_was_tried_it_says_what_it_needs() -> None:
    own = made(Search, **GRID)
    own.decide(asked())
    own.freeze()
    with pytest.raises(EdgesimError, match="frozen before it had tried a point"):
        own.decide(asked())


def test_frozen_it_uses_the_best() -> None:
    own = made(Search, **GRID, rounds_per_trial=1)
    found = rounds_of(own, 12, worth_of)
    own.freeze()
    tried = [Point(*point) for point, _, _ in own.state_dict()["trials"]]
    assert set(tried) <= {point for point, _ in found}
    later = rounds_of(own, 5, worth_of)
    assert later == [(max(tried, key=worth_of), False)] * 5
    assert len(own.state_dict()["trials"]) == len(tried)


@pytest.mark.parametrize("optimiser", ["tpe", "genetic"])
def test_trials_go_through_a_file(optimiser: str, tmp_path: Path) -> None:
    parameters = {**GRID, "optimiser": optimiser, "trials": 9, "population": 3}
    own = made(Search, **parameters, rounds_per_trial=1)
    rounds_of(own, 10, worth_of)
    state = through_a_file(own.state_dict(), tmp_path)
    count = len(state["trials"])
    assert 0 < count < 9
    other = made(Search, 2, **parameters, rounds_per_trial=1)
    other.load_state_dict(state)
    assert dump_state(other.state_dict()) == dump_state(own.state_dict())
    assert other.best == own.best
    rounds_of(other, 30, worth_of)
    after = other.state_dict()["trials"]
    assert len(after) == 9  # earlier ones included
    assert dump_state({"x": after[:count]}) == dump_state({"x": state["trials"]})
    with pytest.raises(EdgesimError, match="search anew"):
        made(Search, **{**parameters, "epochs": [1]}).load_state_dict(state)


def test_generations_go_through_a_file(tmp_path: Path) -> None:
    parameters: dict[str, Any] = {
        "optimiser": "genetic",
        "population": 4,
        "rounds_per_trial": 1,
        "clients_per_round": [5],
    }
    own = made(Search, **parameters)
    rounds_of(own, 10, worth_of)
    key = "NSGAIISampler:generation"
    state = through_a_file(own.state_dict(), tmp_path)
    assert [notes[key] for _, _, notes in state["trials"]] == [0] * 4 + [1] * 4 + [2] * 2
    other = made(Search, 2, **parameters)
    other.load_state_dict(state)
    rounds_of(other, 4, worth_of)
    after = [notes[key] for _, _, notes in other.state_dict()["trials"]]
    assert after == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 2


# --- batch sizes for phones ----------------------------------------------------------------------


def test_slow_clients_get_larger_batches_and_are_in_time() -> None:
    own = made(AdaptiveBatch)
    of = fleet((4, 4, 4))
    seen = asked(of, batch_size=4, epochs=3, clients_per_round=7)
    told = own.decide(seen)
    assert (told.batch_size, told.epochs, told.clients_per_round) == (4, 3, 7)
    assert sorted(told.own) == list(range(12))
    assert {epochs for _, epochs in told.own.values()} == {3}
    sizes = [{told.own[c][0] for c in range(12) if of.group[c] == group} for group in range(3)]
    assert all(len(each) == 1 for each in sizes)
    fast, medium, slow = (min(each) for each in sizes)
    assert fast < medium == 4 < slow
    limit_s = promised_s(1, 50, (4, 3))  # the median
    for group, batch_size in enumerate((fast, medium)):
        assert promised_s(group, 50, (batch_size, 3)) <= limit_s * (1.0 + 1e-9)
        assert promised_s(group, 50, (batch_size // 2, 3)) > limit_s
    # Nothing helps the slowest: it does what is fastest.
    assert promised_s(2, 50, (slow, 3)) > limit_s
    assert slow == min(own._batch_sizes, key=lambda b: promised_s(2, 50, (b, 3)))


def test_nobody_is_slower_than_the_median_where_that_can_be() -> None:
    rng = np.random.default_rng(5)
    own = made(AdaptiveBatch)
    for _ in range(30):
        chosen = sorted(rng.choice(10, 5, replace=False).tolist())
        job = (int(rng.choice([1, 2, 4, 8, 16])), int(rng.integers(1, 4)))
        of = fleet(samples=rng.integers(5, 90, 10))
        seen = asked(of, chosen, batch_size=job[0], epochs=job[1])
        told = own.decide(seen)

        def seconds(client: int, work: tuple[int, int], of: Clients = of) -> float:
            return promised_s(int(of.group[client]), int(of.samples[client]), work)

        limit_s = float(np.median([seconds(client, job) for client in chosen])) * (1.0 + 1e-6)
        for client in chosen:
            in_time = [b for b in own._batch_sizes if seconds(client, (b, job[1])) <= limit_s]
            if in_time:
                assert told.own[client] == (min(in_time), job[1])
            else:
                fastest = min(own._batch_sizes, key=lambda b: seconds(client, (b, job[1])))
                assert seconds(client, told.own[client]) == seconds(client, (fastest, job[1]))


def test_who_is_slowed_by_apps_gets_larger_batches() -> None:
    def reports(asked_about: np.ndarray[Any, Any]) -> Reports:
        n = len(asked_about)
        co_cpu = np.where(asked_about == 0, 0.2, 0.0)
        return Reports(
            *(np.full(n, 50e6) for _ in range(2)), co_cpu, np.zeros(n), np.full(n, 0.04), np.ones(n)
        )

    told = made(AdaptiveBatch).decide(asked(fleet((5,), reports=reports), batch_size=4, epochs=2))
    assert [told.own[client][0] for client in range(5)] == [8, 4, 4, 4, 4]


def test_batch_sizes_may_be_in_any_order() -> None:
    found = [
        made(AdaptiveBatch, batch_sizes=sizes).decide(asked(batch_size=4))
        for sizes in ([1, 4, 32], [32, 1, 4])
    ]
    assert found[0] == found[1]
    assert {batch_size for batch_size, _ in found[0].own.values()} <= {1, 4, 32}


def test_there_is_nothing_to_learn_about_batches() -> None:
    own = made(AdaptiveBatch)
    told = own.decide(asked())
    assert own.learn(asked(), told, outcome(0.5, 0.4)) is None
    assert own.state_dict() == {}
    own.freeze()
    own.load_state_dict({})
    assert own.decide(asked()) == told


def test_there_must_be_batch_sizes() -> None:
    with pytest.raises(ValidationError):
        AdaptiveBatchParameters(batch_sizes=())
