"""AutoFL: its state, its reward, Algorithm 1, and what keeps it honest."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgesim.controllers.autofl import (
    GLOBAL_EDGES,
    LOCAL_EDGES,
    AutoFL,
    AutoFLParameters,
    _highest,
    classes_of,
    reward,
)
from edgesim.controllers.federated import (
    Clients,
    Participant,
    ParticipantOutcome,
    Reports,
    RoundOutcome,
    SelectionObservation,
    TrainingOption,
    TrainingTarget,
)
from edgesim.controllers.learned import dump_state
from edgesim.controllers.qlearning import Binning
from edgesim.controllers.slots import Setting
from edgesim.core.errors import EdgesimError
from edgesim.nn.zoo import ZOO
from tests.controllers.test_selection import clients, made, observation

LEVELS = [
    TrainingOption(TrainingTarget("cpu", k), "cpu", (k + 1) * 0.25e9, 0.4 / (k + 1), 0.2 * 2**k)
    for k in range(8)
]


def fleet(sizes: tuple[int, int, int] = (3, 7, 10), **changes: Any) -> Clients:
    return clients(sizes, options=lambda *_: LEVELS, **changes)


def outcome(
    decision: tuple[Participant, ...],
    accuracy: float = 0.5,
    before: float = 0.4,
    training_s: float = 1.0,
    **changes: Any,
) -> RoundOutcome:
    each = tuple(
        ParticipantOutcome(
            c, t, "done", training_s + 0.1, 0.05, training_s, 0.03, 2.0, 1.5, 0.1, nan, 10, 2
        )
        for c, t in decision
    )
    found = RoundOutcome(1, 3.0, False, accuracy, before, each, 20.0, 30.0, (0.06, 0.06, 0.06))
    return found._replace(**changes)


# --- state and reward (table 1, equations) -------------------------------------------------------


def test_there_are_as_many_states_as_in_the_paper() -> None:
    assert Binning(list(GLOBAL_EDGES.values())).states == 648
    assert Binning(list(LOCAL_EDGES.values())).states == 96


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        ("co_cpu", [0.0, 0.1, 0.25, 0.74, 0.75, 1.0]),
        ("network_bps", [1e6, 40e6, 41e6]),
        ("classes", [0.1, 0.25, 0.9, 1.0]),
    ],
)
def test_bins_begin_where_the_paper_has_them(feature: str, values: list[float]) -> None:
    expected = {"co_cpu": [0, 1, 2, 2, 3, 3], "network_bps": [0, 0, 1], "classes": [0, 1, 1, 2]}
    binning = Binning([LOCAL_EDGES[feature]])
    assert [binning.state([v]) for v in values] == expected[feature]
    assert binning.states_of([np.array(values)]).tolist() == expected[feature]


def test_states_of_many_are_those_of_each() -> None:
    rng = np.random.default_rng(1)
    binning = Binning(list(LOCAL_EDGES.values()))
    columns = [rng.random(200), rng.random(200), rng.uniform(0, 1e8, 200), rng.random(200)]
    columns[2][:5] = nan
    found = binning.states_of(columns).tolist()
    assert found == [binning.state(row) for row in zip(*columns, strict=True)]


def test_a_class_counts_with_a_share_of_samples() -> None:
    labels = np.array([[10, 10, 10, 10], [37, 1, 1, 1], [40, 0, 0, 0], [0, 0, 0, 0]])
    assert classes_of(labels, 0.3).tolist() == [1.0, 0.25, 0.25, 0.0]
    assert classes_of(labels, 0.0).tolist() == [1.0, 1.0, 0.25, 0.0]
    assert classes_of(np.zeros((2, 0), np.int64), 0.3).tolist() == [1.0, 1.0]


def test_the_reward_is_the_papers() -> None:
    assert reward(2.0, 3.0, 60.0, 60.0, 0.1, 0.5) == 60.0 - 100.0  # no better
    assert reward(2.0, 3.0, 59.0, 60.0, 0.1, 0.5) == 59.0 - 100.0
    assert reward(2.0, 3.0, 70.0, 60.0, 0.1, 0.5) == pytest.approx(-3.0 - 2.0 + 7.0 + 5.0)
    assert reward(2.0, 3.0, nan, nan, 0.1, 0.5) == -5.0  # nobody knows: energy alone


# --- Algorithm 1 ---------------------------------------------------------------------------------


def test_values_move_as_the_algorithm_says() -> None:
    own = made(
        AutoFL,
        epsilon=0.0,
        discount=0.1,
        learning_rate=0.9,
        initial=[0.5, 0.5],
        alpha=0.1,
        credit="each",
    )
    seen = observation(5, fleet())
    first = own.decide(seen)
    lesson = own.learn(seen, first, outcome(first))
    local = 1.5 + 0.1 + 0.06
    worth = -1.0 - 1.0 + 0.1 * 50.0 + 0.1 * 10.0  # energies relative to this, the first round
    assert lesson.reward == pytest.approx(worth)
    kept = own._chosen
    cells = set(zip(kept.tiers.tolist(), kept.states.tolist(), kept.actions.tolist(), strict=True))
    own.decide(seen)
    for tier, state, action in cells:
        (values,) = own._tiers[tier].values.values()
        # The best of the next state is the value that was there: 0.5, as everything.
        assert values[0, state, action] == pytest.approx(
            0.5 + 0.9 * (worth + 0.1 * 0.5 - 0.5), rel=1e-6
        )
    assert own._reference_j == pytest.approx((local, 30.0))


def mixed(**changes: Any) -> Any:
    """A fleet in which every other client has one class only."""
    labels = np.full((20, 10), 10)
    labels[1::2] = 0
    labels[1::2, 3] = 100
    return fleet(labels=labels, **changes)


def test_accuracy_is_credited_to_the_data_that_took_part() -> None:
    own = made(AutoFL, epsilon=0.0, initial=[0.5, 0.5], alpha=0.1, data_rate=0.1)
    seen = observation(5, mixed())
    chosen = own.decide(seen)
    few = np.array([client % 2 for client, _ in chosen], bool)
    shares = np.array([few.mean(), 0.0, 1.0 - few.mean()])
    lesson = own.learn(seen, chosen, outcome(chosen))
    worth = 0.1 * 50.0 + 0.1 * 10.0
    assert lesson.reward == pytest.approx(worth - 2.0)
    (known,) = own._data.values()
    assert known == pytest.approx(0.1 * worth * shares / (shares @ shares))
    own.decide(seen)  # tables know joules alone
    cells = [v for tier in own._tiers for values in tier.values.values() for v in values.ravel()]
    assert {round(float(v), 5) for v in cells} == {0.5, round(0.5 + 0.9 * (-2.0 + 0.05 - 0.5), 5)}


def test_updates_that_did_not_come_have_no_part_in_accuracy() -> None:
    own = made(AutoFL, epsilon=0.0)
    seen = observation(8, mixed())
    chosen = own.decide(seen)
    took = outcome(chosen)
    lost = tuple(
        p._replace(status="late") if p.client % 2 else p._replace(status="done")
        for p in took.participants
    )
    own.learn(seen, chosen, took._replace(participants=lost))
    assert own._chosen.worth.tolist() == [
        pytest.approx(-5.0 if client % 2 else -2.0) for client, _ in chosen
    ]
    (known,) = own._data.values()
    assert known[0] == 0.0
    assert known[2] > 0.0


def test_it_learns_whose_data_help() -> None:
    own = made(AutoFL, explore_rounds=None, patience=1e6)
    seen = observation(6, mixed())
    rng = np.random.default_rng(3)
    accuracy, good = 0.5, []
    for _ in range(150):
        chosen = own.decide(seen)
        share = np.mean([client % 2 == 0 for client, _ in chosen])
        good.append(share)
        better = rng.random() < 0.4 + 0.5 * share  # chance has its part
        after = accuracy + (0.002 if better else -0.002)
        own.learn(seen, chosen, outcome(chosen, accuracy=after, before=accuracy))
        accuracy = after
    assert np.mean(good[-50:]) > 0.85


def test_the_best_clients_are_taken_at_their_best_targets() -> None:
    own = made(AutoFL, epsilon=0.0, initial=[0.0, 0.0], levels=None, patience=1e6)
    seen = observation(7, fleet())
    own.decide(seen)
    for tier in own._tiers:
        for values in tier.values.values():
            values[:] = 0.0
            values[..., 3] = {"medium": 5.0, "fast": 1.0, "slow": 0.5}[tier.profile]
    chosen = own.decide(seen)
    assert [client for client, _ in chosen] == list(range(3, 10))  # the mid tier
    assert {target.level for _, target in chosen} == {3}


def test_equals_are_taken_at_random() -> None:
    own = made(AutoFL, epsilon=0.0, initial=[0.0, 0.0])
    seen = observation(4, fleet())
    chosen = [c for _ in range(300) for c, _ in own.decide(seen)]
    counts = np.bincount(chosen, minlength=20)
    assert counts.min() > 30
    assert counts.max() < 95


def test_values_within_a_width_are_equal() -> None:
    values = np.array([5.0, 4.8, 4.6, 4.4, 1.0, -np.inf])
    taken = {
        width: {
            tuple(sorted(_highest(values, ties, 3, width).tolist()))
            for ties in np.random.default_rng(1).random((50, 6))
        }
        for width in (0.0, 0.15, 0.25)
    }
    assert taken[0.0] == {(0, 1, 2)}
    assert taken[0.15] == {(0, 1, 2)}
    assert taken[0.25] == {(0, 1, 2), (0, 1, 3), (0, 2, 3)}  # the first is further above the third
    assert _highest(values, np.zeros(6), 6, 0.0).tolist() == [0, 1, 2, 3, 4]


def test_exploring_is_a_matter_of_whole_rounds_and_ends() -> None:
    own = made(AutoFL, epsilon=1.0, explore_rounds=30, patience=1e6)
    seen = observation(10, fleet())
    targets = set()
    for number in range(40):
        chosen = own.decide(seen)
        lesson = own.learn(seen, chosen, outcome(chosen, accuracy=0.5, before=0.4))
        assert lesson.is_explored == (number < 30)
        if number < 30:
            targets |= {target for _, target in chosen}
    assert len(targets) == 8
    own.freeze()
    assert not own._is_explored or own.decide(seen)


def test_levels_are_evenly_spaced_with_the_highest() -> None:
    for levels, expected in ((1, {7}), (2, {3, 7}), (4, {1, 3, 5, 7}), (None, set(range(8)))):
        own = made(AutoFL, epsilon=1.0, levels=levels, patience=1e6)
        seen = observation(20, fleet())
        found = {t.level for _ in range(30) for _, t in own.decide(seen)}
        assert found == expected


def test_an_unjudged_round_teaches_nothing_about_accuracy() -> None:
    own = made(AutoFL, epsilon=0.0)
    seen = observation(5, fleet())
    chosen = own.decide(seen)
    assert own.learn(seen, chosen, outcome(chosen, accuracy=nan, before=0.4)) is None
    before = [v.copy() for tier in own._tiers for v in tier.values.values()]
    own.decide(seen)
    after = [v for tier in own._tiers for v in tier.values.values()]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


# --- the deadline --------------------------------------------------------------------------------


def test_hopeless_targets_are_masked_by_promises_then_by_experience() -> None:
    own = made(AutoFL, epsilon=1.0, explore_rounds=None, levels=None, patience=1e6)
    seen = observation(20, fleet(), deadline_s=6.4)
    # Promised: 10 steps of 0.4 s / (level + 1), and 4.84 s for transfers shared by twenty.
    allowed = {t.level for _ in range(20) for _, t in own.decide(seen)}
    assert allowed == {2, 3, 4, 5, 6, 7}
    # Then training turns out to take three times as long as promised.
    for _ in range(30):
        chosen = own.decide(seen)
        took = outcome(chosen)
        slower = tuple(
            p._replace(
                training_s=3.0 * 10 * LEVELS[p.target.level].step_s,  # type: ignore[index]
                duration_s=3.0 * 10 * LEVELS[p.target.level].step_s + 4.0,  # type: ignore[index]
            )
            for p in took.participants
        )
        own.learn(seen, chosen, took._replace(participants=slower))
    tight = seen._replace(deadline_s=6.2)
    assert {t.level for _ in range(20) for _, t in own.decide(tight)} == {5, 6, 7}


def test_if_nobody_should_be_in_time_the_fastest_are_tried() -> None:
    own = made(AutoFL, epsilon=0.0)
    chosen = own.decide(observation(5, fleet(), deadline_s=1e-3))
    assert len(chosen) == 5
    assert {target.level for _, target in chosen} == {7}


def test_targets_that_would_make_the_others_wait_are_masked() -> None:
    # Promised: 10 steps of 0.4 s / (level + 1), and 4.84 s for transfers shared by twenty: 5.34 s at best.
    for patience, levels in ((1.0, {7}), (1.1, {3, 4, 5, 6, 7}), (2.0, set(range(8)))):
        own = made(AutoFL, epsilon=1.0, explore_rounds=None, levels=None, patience=patience)
        seen = observation(20, fleet())
        assert {t.level for _ in range(20) for _, t in own.decide(seen)} == levels


def test_as_printed_nothing_is_masked() -> None:
    own = made(AutoFL, epsilon=1.0, explore_rounds=None, levels=None, masks_late=False)
    seen = observation(20, fleet(), deadline_s=1e-3)
    assert {t.level for _ in range(20) for _, t in own.decide(seen)} == set(range(8))


def test_those_without_a_connection_are_left_out() -> None:
    def reports(asked: np.ndarray[Any, Any]) -> Reports:
        rates = np.where(asked < 5, 0.0, 50e6)
        still = np.zeros(len(asked))
        return Reports(rates, rates, still, still, np.full(len(asked), 0.04), still + 1)

    own = made(AutoFL, epsilon=0.0)
    chosen = own.decide(observation(16, fleet(reports=reports), deadline_s=1e6))
    assert [client for client, _ in chosen] == list(range(5, 20))  # at most K


def test_most_may_be_without_a_connection_and_nobody_is_waited_for() -> None:
    def reports(asked: np.ndarray[Any, Any]) -> Reports:
        rates = np.where(asked < 15, 0.0, 50e6)
        still = np.zeros(len(asked))
        return Reports(rates, rates, still, still, np.full(len(asked), 0.04), still + 1)

    own = made(AutoFL, epsilon=0.0)
    chosen = own.decide(observation(16, fleet(reports=reports)))
    assert [client for client, _ in chosen] == [15, 16, 17, 18, 19]


# --- tables --------------------------------------------------------------------------------------


def played(own: AutoFL, seen: SelectionObservation, rounds: int = 12) -> list[Any]:
    found = []
    for number in range(rounds):
        chosen = own.decide(seen)
        found.append(chosen)
        own.learn(seen, chosen, outcome(chosen, accuracy=0.4 + 0.01 * (number % 3), before=0.405))
    return found


@pytest.mark.parametrize("tables", ["per_tier", "per_device"])
def test_tables_go_through_a_file(tables: str, tmp_path: Any) -> None:
    seen = observation(5, fleet())
    one = made(AutoFL, tables=tables)
    played(one, seen)
    state = one.state_dict()
    file = tmp_path / "learned.json"
    file.write_text(dump_state({"selection": state}))
    parameters = AutoFLParameters(table="learned.json", tables=tables)  # type: ignore[arg-type]
    other = AutoFL(
        Setting("fl", "selection", np.random.default_rng(9), parameters, folder=tmp_path)
    )
    other.decide(seen)
    assert dump_state({"x": other.state_dict()["tiers"]}) == dump_state({"x": state["tiers"]})
    assert other.memory() == one.memory()
    assert all(size > 0 for size in one.memory().values())
    # The same table and the same stream go on in the same way.
    halves = []
    for _ in range(2):
        again = made(AutoFL, seed=4, tables=tables)
        again.load_state_dict(state)
        halves.append(played(again, seen))
    assert halves[0] == halves[1]


def test_another_model_begins_with_the_nearest_state(tmp_path: Any) -> None:
    seen = observation(5, fleet())
    one = made(AutoFL, initial=[0.0, 0.0])
    played(one, seen)
    (tmp_path / "t.json").write_text(dump_state({"selection": one.state_dict()}))
    other_model = seen._replace(model=ZOO["mobilebert"], batch_size=64)
    found = []
    for transfer in (True, False):
        parameters = AutoFLParameters(table="t.json", transfer=transfer, initial=(7.0, 7.0))
        own = AutoFL(
            Setting("fl", "selection", np.random.default_rng(1), parameters, folder=tmp_path)
        )
        own.decide(other_model)
        found.append(own._values(own._tiers[0], own._state))
    assert np.array_equal(found[0], next(iter(one._tiers[0].values.values())))
    assert (found[1] == 7.0).all()


def test_a_table_that_does_not_fit_is_refused(tmp_path: Any) -> None:
    seen = observation(5, fleet())
    one = made(AutoFL)
    played(one, seen)
    state = one.state_dict()
    (tmp_path / "t.json").write_text(dump_state({"selection": state}))

    def loaded(**parameters: Any) -> AutoFL:
        given = AutoFLParameters(table="t.json", **parameters)
        return AutoFL(Setting("fl", "selection", np.random.default_rng(1), given, folder=tmp_path))

    with pytest.raises(
        EdgesimError, match="with tables: per_tier, not per_device; set tables to that"
    ):
        loaded(tables="per_device")
    with pytest.raises(EdgesimError, match=r"are about cpu/0, .*here phones can train on cpu/3"):
        loaded(levels=2).decide(seen)
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(EdgesimError, match="holds no tables of autofl"):
        loaded()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"is_frozen": True}, "is_frozen needs table"),
        ({"transfer": True}, "transfer needs table"),
        ({"initial": [1, 0]}, "initial: the first value"),
        ({"class_edges": [0.9, 0.1]}, "class_edges: the first value"),
    ],
)
def test_parameters_that_contradict_each_other(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AutoFLParameters(**given)


def test_two_groups_of_one_profile_need_the_same_targets() -> None:
    of = fleet()
    of = replace(
        of,
        profiles=["same"] * 3,
        options=lambda client, _: LEVELS if client < 3 else LEVELS[:4],
    )
    with pytest.raises(EdgesimError, match="different targets in two groups"):
        made(AutoFL).decide(observation(5, of))
