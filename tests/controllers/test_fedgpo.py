"""FedGPO: its states and actions, who does how much, what is learned of it, and what keeps it honest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgesim.controllers.autofl import reward
from edgesim.controllers.federated import (
    Clients,
    ParametersObservation,
    Participant,
    ParticipantOutcome,
    Reports,
    RoundOutcome,
    RoundParameters,
    TrainingOption,
    TrainingTarget,
)
from edgesim.controllers.fedgpo import (
    _LIMITS_TRIED,
    BATCH_SIZES,
    CLIENTS_PER_ROUND,
    EPOCHS,
    Choices,
    FedGPO,
    FedGPOParameters,
    Promises,
    best_work,
)
from edgesim.controllers.learned import dump_state, load_state
from edgesim.controllers.registry import CONTROLLERS
from edgesim.controllers.slots import Setting
from edgesim.core.errors import EdgesimError
from edgesim.nn.zoo import ZOO
from tests.controllers.test_selection import clients

BIG = TrainingTarget("big")
FASTNESS = (1.0, 2.0, 8.0)
WATTS = (5.0, 3.0, 0.25)
IDLE_W = 0.02


def step_s(group: int, batch_size: int) -> float:
    return FASTNESS[group] * (0.01 + 0.002 * batch_size)


def fleet(sizes: tuple[int, ...] = (2, 3, 5), **changes: Any) -> Clients:
    """Fast, medium and slow phones; a step costs something by itself, and something by sample."""
    group = np.repeat(np.arange(len(sizes)), sizes)

    def options(client: int, batch_size: int) -> Sequence[TrainingOption]:
        own = int(group[client])
        return [TrainingOption(BIG, "cpu", 2e9, step_s(own, batch_size), WATTS[own])]

    return clients(sizes, **{"options": options, **changes})


def asked(
    of: Clients | None = None, chosen: Sequence[int] | None = None, **changes: Any
) -> ParametersObservation:
    everybody = fleet() if of is None else of
    who = range(len(everybody)) if chosen is None else chosen
    cohort = tuple(Participant(client, BIG) for client in who)
    model = ZOO["mobilenet_v1"]
    found = ParametersObservation(
        0.0, "fl", 1, everybody, inf, 0.4, model, cohort, len(cohort), 8, 10, 1e3, 1e3
    )
    return found._replace(**changes)


def made(seed: int = 1, folder: Path = Path(), **parameters: Any) -> FedGPO:
    own = FedGPOParameters(**parameters)
    return FedGPO(Setting("fl", "parameters", np.random.default_rng(seed), own, folder=folder))


def promised_s(group: int, samples: int, work: tuple[int, int]) -> float:
    batch_size, epochs = work
    full, rest = divmod(samples, batch_size)
    return epochs * (full * step_s(group, batch_size) + (step_s(group, rest) if rest else 0.0))


def outcome(
    seen: ParametersObservation,
    told: RoundParameters,
    accuracy: float = 0.45,
    before: float = 0.4,
    joules: Callable[[int], float] = lambda client: 2.0,
    lost: Mapping[int, str] = {},
    **changes: Any,
) -> RoundOutcome:
    """What came of a round in which everything took as long as promised."""
    each = []
    for client, target in seen.cohort:
        batch_size, epochs = told.of(client)
        group, samples = int(seen.clients.group[client]), int(seen.clients.samples[client])
        training_s = promised_s(group, samples, (batch_size, epochs))
        status = lost.get(client, "done")
        each.append(
            ParticipantOutcome(
                client,
                target,
                status,
                training_s + 0.1 if status == "done" else nan,
                0.05,
                training_s,
                0.03 if status == "done" else 0.0,
                9.0,
                joules(client) - 0.5,
                0.5,
                nan,
                batch_size,
                epochs,
            )
        )
    found = RoundOutcome(
        1, 3.0, False, accuracy, before, tuple(each), 20.0, 30.0, (0.06, 0.07, 0.08)
    )
    return found._replace(**changes)


def played(own: FedGPO, seen: ParametersObservation, rounds: int = 12) -> list[RoundParameters]:
    found = []
    for number in range(rounds):
        told = own.decide(seen)
        found.append(told)
        after = 0.4 + 0.01 * (number % 3)
        own.learn(seen, told, outcome(seen, told, accuracy=after, before=0.405))
    return found


def tables(own: FedGPO) -> dict[str, np.ndarray[Any, Any]]:
    """A copy of the only table of each profile."""
    found = {}
    for tier in own._tiers:
        (values,) = tier.values.values()
        found[tier.profile] = values.copy()
    return found


# --- states and actions --------------------------------------------------------------------------


def test_there_are_as_many_states_and_actions_as_in_the_paper() -> None:
    own = made()
    assert own._global.states == 24
    assert own._local.states == 96
    assert len(BATCH_SIZES) * len(EPOCHS) == len(own.parameters.works) == 30
    assert len(CLIENTS_PER_ROUND) == 5
    own.decide(asked())
    assert {table.shape for table in tables(own).values()} == {(96, 30)}
    assert own.memory() == dict.fromkeys(("fast", "medium", "slow"), 96 * 30 * 4)


def test_choices_come_in_order_whatever_order_they_are_given_in() -> None:
    found = Choices(batch_sizes=[32, 4], epochs=[5, 1], clients_per_round=[3])  # type: ignore[arg-type]
    assert found.works == ((4, 1), (4, 5), (32, 1), (32, 5))


@pytest.mark.parametrize(
    ("given_parameters", "message"),
    [
        ({"batch_sizes": []}, r"batch_sizes\s.*nothing to choose of"),
        ({"epochs": []}, r"epochs\s.*nothing to choose of"),
        ({"clients_per_round": []}, r"clients_per_round\s.*nothing to choose of"),
        ({"batch_sizes": [8, 4, 8]}, "the same number is there twice"),
        ({"epochs": [0, 5]}, "greater than or equal to 1"),
        ({"batch_sizes": [0]}, "greater than or equal to 1"),
        ({"clients_per_round": [0, 20]}, "greater than or equal to 1"),
        ({"epochs": [1.5]}, "valid integer"),
        ({"is_frozen": True}, r"is_frozen needs table, the learned\.json of an earlier run"),
        ({"initial": [1.0, 0.0]}, "initial: the first value must not be above the second"),
        ({"class_edges": [0.9, 0.1]}, "class_edges: the first value must not be above"),
        ({"initial": "promise"}, "promised"),
        ({"learning_rate": 0.0}, "greater than 0"),
    ],
)
def test_what_is_wrong_with_parameters_is_said(
    given_parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        FedGPOParameters(**given_parameters)


def test_frozen_with_a_table_is_in_order() -> None:
    assert FedGPOParameters(is_frozen=True, table="learned.json").is_frozen


# --- promises ------------------------------------------------------------------------------------


def test_promises_are_of_full_batches_and_a_smaller_last_one() -> None:
    of = fleet(samples=np.full(10, 50))
    works = [(8, 1), (8, 3), (10, 2), (50, 1)]
    seconds, power_w, is_cpu = Promises(works).of(of, 3, BIG)
    assert seconds == pytest.approx(
        [
            6 * step_s(1, 8) + step_s(1, 2),
            3 * (6 * step_s(1, 8) + step_s(1, 2)),
            2 * 5 * step_s(1, 10),
            step_s(1, 50),
        ]
    )
    assert power_w == WATTS[1]
    assert is_cpu


def test_a_batch_of_more_than_a_client_has_takes_as_long_as_all_it_has() -> None:
    of = fleet(samples=np.array([50] * 9 + [7]))
    promises = Promises([(7, 1), (50, 2), (64, 2), (1000, 2)])
    seconds = promises.of(of, 0, BIG)[0]
    assert seconds[1:] == pytest.approx(2 * step_s(0, 50))
    assert promises.of(of, 9, BIG)[0] == pytest.approx(step_s(2, 7) * np.array([1, 2, 2, 2]))


def test_promises_tell_processors_apart() -> None:
    gpu = TrainingTarget("gpu")
    both = [TrainingOption(BIG, "cpu", 2e9, 0.2, 4.0), TrainingOption(gpu, "gpu", 1e9, 0.1, 2.0)]
    of = fleet(options=lambda *_: both)
    promises = Promises([(50, 1)])
    assert [promises.of(of, 0, target) for target in (BIG, gpu)] == [
        (pytest.approx([0.2]), 4.0, True),
        (pytest.approx([0.1]), 2.0, False),
    ]


# --- the best work of a cohort -------------------------------------------------------------------


def by_trying_all(
    values: np.ndarray[Any, Any],
    seconds: np.ndarray[Any, Any],
    waiting_cost: float,
    deadline_s: float,
) -> float:
    """The highest worth of any choice of those who can be in time."""
    rows = [
        [(own, own_s) for own, own_s in zip(*both, strict=True) if isfinite(own_s)]
        for both in zip(values.tolist(), seconds.tolist(), strict=True)
    ]
    in_time = [[each for each in row if each[1] <= deadline_s] for row in rows]
    able = [row for row in in_time if row]
    if not able:
        return 0.0
    if any(row and not timely for row, timely in zip(rows, in_time, strict=True)):
        return sum(max(own for own, _ in row) for row in able) - waiting_cost * deadline_s
    return max(
        sum(own for own, _ in picked) - waiting_cost * max(own_s for _, own_s in picked)
        for picked in product(*able)
    )


@given(st.data())
def test_the_best_work_is_what_trying_everything_finds(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4)))
    size = shape[0] * shape[1]
    times = st.sampled_from([0.0, 0.5, 1.0, 1.7, 2.0, 3.0, 10.0, inf])
    values = np.reshape(data.draw(st.lists(st.floats(-5, 5), min_size=size, max_size=size)), shape)
    seconds = np.reshape(data.draw(st.lists(times, min_size=size, max_size=size)), shape)
    waiting_cost = data.draw(st.sampled_from([0.0, 0.1, 1.0, 10.0]))
    deadline_s = data.draw(st.sampled_from([0.1, 1.7, 5.0, inf]))
    found = best_work(values, seconds, waiting_cost, deadline_s)
    assert found.worth == pytest.approx(by_trying_all(values, seconds, waiting_cost, deadline_s))
    # And it is the worth of what was picked.
    rows = np.arange(shape[0])
    took_s, own = seconds[rows, found.picked], values[rows, found.picked]
    is_able = (seconds <= min(deadline_s, 1e300)).any(axis=1)
    assert (took_s[is_able] <= deadline_s).all()
    assert (took_s[~is_able] == seconds[~is_able].min(axis=1)).all()
    assert (found.is_able == is_able).all()
    is_late = (~is_able & np.isfinite(seconds).any(axis=1)).any() and is_able.any()
    assert found.limit_s == (deadline_s if is_late else took_s[is_able].max(initial=0.0))
    assert own[is_able].sum() - waiting_cost * found.limit_s >= found.worth - 1e-9


def test_the_best_work_of_many_times_is_nearly_the_best() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        seconds = rng.uniform(1.0, 10.0, (8, 30))
        values = 3.0 * np.log(seconds) + rng.normal(0.0, 0.5, seconds.shape)
        assert len(np.unique(seconds)) > _LIMITS_TRIED
        limits = np.unique(seconds[seconds >= seconds.min(axis=1).max()])
        exact = max(
            np.where(seconds <= limit_s, values, -inf).max(axis=1).sum() - 2.0 * limit_s
            for limit_s in limits
        )
        found = best_work(values, seconds, 2.0).worth
        assert exact - 0.5 <= found <= exact + 1e-9


def test_for_who_cannot_be_in_time_all_wait_until_the_deadline() -> None:
    values = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 9.0]])
    seconds = np.array([[1.0, 4.0], [1.0, 4.0], [20.0, 50.0]])
    waited = best_work(values, seconds, 1.0)
    assert waited.limit_s >= 20.0
    found = best_work(values, seconds, 1.0, deadline_s=10.0)
    assert found.picked.tolist() == [1, 1, 0]  # the last does what is over soonest
    assert found.limit_s == 10.0
    assert found.worth == 4.0 - 10.0


def test_who_has_no_connection_holds_up_nobody() -> None:
    values = np.array([[1.0, 2.0], [5.0, 9.0]])
    seconds = np.array([[1.0, 1.5], [inf, inf]])
    found = best_work(values, seconds, 1.0)
    assert (found.picked[0], found.limit_s, found.worth) == (1, 1.5, 0.5)


def test_if_nobody_can_be_in_time_everybody_does_what_is_over_soonest() -> None:
    seconds = np.array([[5.0, 4.0], [6.0, 9.0]])
    found = best_work(np.ones((2, 2)), seconds, 1.0, deadline_s=3.0)
    assert (found.picked.tolist(), found.limit_s, found.worth) == ([1, 0], 0.0, 0.0)


# --- deciding ------------------------------------------------------------------------------------


def busy(asked_about: np.ndarray[Any, Any]) -> Reports:
    """Apps on some phones, some without a connection."""
    n = len(asked_about)
    rates = np.where(asked_about % 4 == 3, 0.0, 50e6)
    co_cpu = np.where(asked_about % 2 == 1, 0.5, 0.0)
    return Reports(rates, rates, co_cpu, co_cpu, np.full(n, 0.04), np.ones(n))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"epsilon": 0.0, "trial_rounds": 0},
        {"epsilon": 1.0},
        {"epsilon": 1.0, "masks_late": False},
        {"masks_late": False, "trial_rounds": 2},
        {"initial": [-1.0, 0.0]},
        {"credit": "each"},
        {"credit": "each", "masks_late": False, "trial_rounds": 0, "explore_rounds": None},
        {"credit": "each", "energies": "joules", "trial_rounds": 0},
    ],
)
def test_everybody_is_told_one_of_the_choices(parameters: dict[str, Any]) -> None:
    own = made(**parameters)
    rng = np.random.default_rng(2)
    of = fleet(reports=busy)
    for number in range(20):
        chosen = sorted(rng.choice(10, int(rng.integers(1, 11)), replace=False).tolist())
        seen = asked(of, chosen, deadline_s=(inf, 0.6, 1e-6)[number % 3])
        told = own.decide(seen)
        assert sorted(told.own) == chosen
        assert set(told.own.values()) <= set(own.parameters.works)
        assert (told.batch_size, told.epochs) in own.parameters.works
        assert told.clients_per_round in CLIENTS_PER_ROUND
        took = outcome(seen, told, accuracy=rng.uniform(0.3, 0.6))
        own.learn(seen, told, took._replace(accuracy=nan) if number % 7 == 6 else took)


@pytest.mark.parametrize("credit", ["work", "each"])
@pytest.mark.parametrize("job", [(8, 10), (32, 1), (2, 5)])
def test_exploring_takes_no_longer_than_the_jobs_own_work(
    credit: str, job: tuple[int, int]
) -> None:
    own = made(epsilon=1.0, explore_rounds=None, credit=credit)
    rng, of = np.random.default_rng(4), fleet()
    seen_works = set()
    for _ in range(60):
        chosen = sorted(rng.choice(10, 4, replace=False).tolist())
        told = own.decide(asked(of, chosen, batch_size=job[0], epochs=job[1]))
        groups = of.group[chosen].tolist()
        limit_s = max(promised_s(group, 50, job) for group in groups)
        for client, group in zip(chosen, groups, strict=True):
            assert promised_s(group, 50, told.of(client)) <= limit_s * (1.0 + 1e-9)
        seen_works |= set(told.own.values())
    assert len(seen_works) > 5


def test_a_tight_job_leaves_only_the_fastest_work_to_be_explored() -> None:
    own = made(epsilon=1.0, explore_rounds=None, batch_sizes=[1, 8], epochs=[5, 10])
    told = own.decide(asked(batch_size=50, epochs=1))  # whatever can be chosen is slower
    assert set(told.own.values()) == {(8, 5)}


def test_without_the_mask_exploring_takes_its_time() -> None:
    own = made(epsilon=1.0, explore_rounds=None, masks_late=False)
    works = {w for _ in range(200) for w in own.decide(asked(epochs=1)).own.values()}
    assert len(works) == 30


def test_exploring_ends() -> None:
    own, seen = made(epsilon=1.0, explore_rounds=6, trial_rounds=0), asked()
    explored = []
    for _ in range(10):
        told = own.decide(seen)
        lesson = own.learn(seen, told, outcome(seen, told))
        assert lesson is not None
        explored.append(lesson.is_explored)
    assert explored == [True] * 6 + [False] * 4


def test_the_first_rounds_are_trials_even_without_exploring() -> None:
    own, seen = made(epsilon=0.0, trial_rounds=3), asked()
    explored = []
    for _ in range(6):
        told = own.decide(seen)
        lesson = own.learn(seen, told, outcome(seen, told))
        assert lesson is not None
        explored.append(lesson.is_explored)
    assert explored == [True] * 3 + [False] * 3


@pytest.mark.parametrize("credit", ["work", "each"])
def test_the_same_stream_decides_the_same(credit: str) -> None:
    found = [played(made(seed, credit=credit), asked(), 25) for seed in (3, 3, 4)]
    assert found[0] == found[1] != found[2]


EAGER: dict[str, Any] = {"epsilon": 0.5, "explore_rounds": 40, "accuracy_noise": 0.005}


def settled(
    own: FedGPO, gain: Callable[[tuple[int, int], int], float], of: Clients | None = None
) -> list[RoundParameters]:
    """The last of sixty rounds in a world with such a gain of each update and K, and joules as promised."""
    everybody = fleet((20,)) if of is None else of
    rng, k, found = np.random.default_rng(11), 10, []
    for _ in range(60):
        chosen = sorted(rng.choice(len(everybody), k, replace=False).tolist())
        seen = asked(everybody, chosen, batch_size=8, epochs=20)
        told = own.decide(seen)
        found.append(told)
        each = [gain(told.of(client), k) for client in chosen]
        after = 0.4 + float(np.mean(each)) + rng.normal(0.0, 0.003)

        def joules(client: int, told: RoundParameters = told) -> float:
            group = int(everybody.group[client])
            return WATTS[group] * promised_s(group, 50, told.of(client)) + 0.5

        own.learn(seen, told, outcome(seen, told, accuracy=after, joules=joules))
        k = min(told.clients_per_round, len(everybody))
    return found[-10:]


def mean_epochs(late: Sequence[RoundParameters], who: Sequence[int]) -> float:
    return float(np.mean([e for told in late for c, (_, e) in told.own.items() if c in who]))


@pytest.mark.parametrize(("power", "epochs"), [(0.0, 1), (1.5, 20)])
def test_epochs_are_taken_if_they_bring_more_than_they_cost(power: float, epochs: int) -> None:
    own = made(batch_sizes=[8], epochs=[1, 5, 20], clients_per_round=[10], **EAGER)
    late = settled(own, lambda work, k: 0.1 * (work[1] / 20) ** power)
    assert {e for told in late for _, e in told.own.values()} == {epochs}


@pytest.mark.parametrize(("power", "batch_size"), [(0.0, 32), (-1.5, 2)])
def test_small_batches_are_taken_if_they_bring_more_than_they_cost(
    power: float, batch_size: int
) -> None:
    own = made(batch_sizes=[2, 8, 32], epochs=[5], clients_per_round=[10], **EAGER)
    late = settled(own, lambda work, k: 0.1 * (work[0] / 2) ** power)
    assert {b for told in late for b, _ in told.own.values()} == {batch_size}


@pytest.mark.parametrize(("power", "clients"), [(0.0, 1), (1.5, 20)])
def test_clients_are_asked_if_they_bring_more_than_they_cost(power: float, clients: int) -> None:
    own = made(batch_sizes=[8], epochs=[5], clients_per_round=[1, 5, 20], **EAGER)
    late = settled(own, lambda work, k: 0.1 * (k / 20) ** power)
    assert {told.clients_per_round for told in late} == {clients}


def test_who_is_slow_does_less_where_waiting_is_dear() -> None:
    slow, fast = {}, {}
    for idle_w in (0.0, 5.0):
        of = fleet((10, 0, 10), idle_w=np.full(3, idle_w))
        own = made(batch_sizes=[8], epochs=[1, 5, 20], clients_per_round=[10], **EAGER)
        late = settled(own, lambda work, k: 0.1 * work[1] / 20, of)
        fast[idle_w] = mean_epochs(late, range(10))
        slow[idle_w] = mean_epochs(late, range(10, 20))
    # They need fewer joules for the same, and eight times as long.
    assert slow[0.0] > 3 * fast[0.0]
    assert fast[5.0] > 3 * slow[5.0]


# --- learning: work ------------------------------------------------------------------------------


ONE: dict[str, Any] = {"batch_sizes": [8], "epochs": [5], "clients_per_round": [5]}
GREEDY: dict[str, Any] = {"epsilon": 0.0, "trial_rounds": 0}


def test_tables_begin_with_promised_joules() -> None:
    own = made(**GREEDY)
    own.decide(asked())
    for group, name in enumerate(("fast", "medium", "slow")):
        expected = [-WATTS[group] * promised_s(group, 50, work) for work in own.parameters.works]
        table = tables(own)[name]
        assert (table == table[0]).all()
        assert table[0] == pytest.approx(expected, rel=1e-6)


def test_a_cell_moves_to_the_joules_that_were_spent() -> None:
    own = made(**GREEDY, learning_rate=0.7, discount=0.5)
    seen = asked(chosen=[0, 3, 9])
    told = own.decide(seen)
    before = tables(own)
    own.learn(seen, told, outcome(seen, told, joules=lambda client: 2.0 + client))
    assert all((tables(own)[name] == before[name]).all() for name in before)  # not yet
    own.decide(seen)
    after = tables(own)
    for client, name in ((0, "fast"), (3, "medium"), (9, "slow")):
        (cell,) = np.argwhere(after[name] != before[name]).tolist()
        assert own.parameters.works[cell[1]] == told.of(client)
        old = before[name][tuple(cell)]
        assert after[name][tuple(cell)] == pytest.approx(old + 0.7 * (-(2.0 + client) - old))


def test_a_shared_cell_moves_once_to_the_mean() -> None:
    own = made(**GREEDY, **ONE, learning_rate=0.9, initial=[-1.0, -1.0])
    seen = asked(chosen=[5, 6, 7, 8])
    told = own.decide(seen)
    own.learn(seen, told, outcome(seen, told, joules=lambda client: float(client)))
    own.decide(seen)
    (cell,) = np.argwhere(tables(own)["slow"] != -1.0).tolist()
    assert tables(own)["slow"][tuple(cell)] == pytest.approx(-1.0 + 0.9 * (-6.5 + 1.0))


def test_states_have_cells_of_their_own() -> None:
    own = made(**GREEDY, **ONE, learning_rate=1.0, initial=[-1.0, -1.0])

    def reports(asked_about: np.ndarray[Any, Any]) -> Reports:
        n = len(asked_about)
        co_cpu = np.where(asked_about == 6, 0.5, 0.0)
        return Reports(
            *(np.full(n, 50e6) for _ in range(2)), co_cpu, np.zeros(n), np.full(n, 0.04), np.ones(n)
        )

    seen = asked(fleet(reports=reports), [5, 6])
    told = own.decide(seen)
    own.learn(seen, told, outcome(seen, told, joules=lambda client: float(client)))
    own.decide(seen)
    assert sorted(tables(own)["slow"][tables(own)["slow"] != -1.0]) == [-6.0, -5.0]


@pytest.mark.parametrize("status", ["late", "surplus", "failed:dropout"])
def test_who_was_cut_off_teaches_nothing(status: str) -> None:
    own = made(**GREEDY, **ONE, initial=[-1.0, -1.0])
    seen = asked(chosen=[0, 5, 6])
    told = own.decide(seen)
    own.learn(seen, told, outcome(seen, told, lost={0: status, 5: status}))
    assert own._progress._rows[-1][3] == pytest.approx(0.0)  # the work of one client
    own.decide(seen)
    assert (tables(own)["fast"] == -1.0).all()
    (cell,) = np.argwhere(tables(own)["slow"] != -1.0).tolist()
    assert tables(own)["slow"][tuple(cell)] == pytest.approx(-1.0 + 0.9 * (-2.0 + 1.0))


def test_who_sent_a_part_teaches_no_joules() -> None:
    own = made(**GREEDY, **ONE, initial=[-1.0, -1.0])
    seen = asked(chosen=[0])
    told = own.decide(seen)
    own.learn(seen, told, outcome(seen, told, lost={0: "partial"}))
    own.decide(seen)
    assert (tables(own)["fast"] == -1.0).all()


def test_accuracy_is_credited_to_the_batches_that_there_really_were() -> None:
    own = made(**GREEDY, batch_sizes=[200], epochs=[5], clients_per_round=[5])
    seen = asked(chosen=[0, 1])
    told = own.decide(seen)
    own.learn(seen, told, outcome(seen, told, accuracy=0.46))
    (row,) = own._progress._rows
    assert np.exp(row[1:4]) == pytest.approx([50.0, 5.0, 2.0])
    assert row[7] == pytest.approx(0.06)


@pytest.mark.parametrize("changes", [{"accuracy": nan}, {"before": nan}, {"is_failed": True}])
def test_a_round_of_unknown_gain_teaches_joules_alone(changes: dict[str, Any]) -> None:
    own = made(**GREEDY, **ONE, initial=[-1.0, -1.0])
    seen = asked(chosen=[0])
    told = own.decide(seen)
    assert own.learn(seen, told, outcome(seen, told, **changes)) is None
    assert len(own._progress) == 0
    own.decide(seen)
    assert (tables(own)["fast"] != -1.0).sum() == 1


def test_the_lesson_is_progress_at_its_price_less_joules() -> None:
    own, seen = made(**GREEDY, **ONE), asked()
    told = own.decide(seen)
    lesson = own.learn(seen, told, outcome(seen, told, accuracy=0.46))
    assert own._price > 0.0
    assert lesson == (pytest.approx(own._price * 0.06 - 30.0), False)


def test_the_price_is_the_joules_that_progress_costs() -> None:
    own, seen = made(**GREEDY, **ONE), asked(chosen=[0, 5])
    own.decide(seen)
    seconds = [promised_s(group, 50, (8, 5)) for group in (0, 2)]
    transfer_s = 8 * (2 * 1e3 / 40e6 + 1e3 / 20e6) + 0.04
    joules = WATTS[0] * seconds[0] + WATTS[2] * seconds[1]
    joules += 10 * IDLE_W * (seconds[1] + transfer_s)
    gain = float(own._progress.gains(0.4, [(8, 5)], 2)[0])
    assert own._price == pytest.approx(joules / gain, rel=1e-6)


# --- learning: each ------------------------------------------------------------------------------


def test_each_is_rewarded_as_autofl_does() -> None:
    own = made(**GREEDY, credit="each", alpha=0.2, beta=0.3, discount=0.1, initial=[0.5, 0.5])
    seen = asked(chosen=[0, 3, 9])
    told = own.decide(seen)
    local_j = np.array([2.0 + 0.06, 5.0 + 0.07, 11.0 + 0.08])
    lesson = own.learn(
        seen, told, outcome(seen, told, accuracy=0.45, joules=lambda client: 2.0 + client)
    )
    expected = [
        reward(each, 1.0, 45.0, 40.0, 0.2, 0.3) for each in (local_j / local_j.mean()).tolist()
    ]
    assert lesson == (pytest.approx(np.mean(expected)), False)
    own.decide(seen)
    for name, worth in zip(("fast", "medium", "slow"), expected, strict=True):
        (cell,) = np.argwhere(tables(own)[name] != 0.5).tolist()
        moved = 0.5 + 0.9 * (worth + 0.1 * 0.5 - 0.5)
        assert tables(own)[name][tuple(cell)] == pytest.approx(moved, rel=1e-6)


@pytest.mark.parametrize("accuracy", [0.4, 0.35])
def test_a_model_that_got_no_better_is_all_that_counts(accuracy: float) -> None:
    own = made(**GREEDY, credit="each", energies="joules", initial=[0.0, 0.0], discount=0.0)
    seen = asked(chosen=[0, 9])
    told = own.decide(seen)
    lesson = own.learn(seen, told, outcome(seen, told, accuracy=accuracy))
    assert lesson == (pytest.approx(100.0 * accuracy - 100.0), False)
    own.decide(seen)
    for name in ("fast", "slow"):
        assert tables(own)[name].min() == pytest.approx(0.9 * (100.0 * accuracy - 100.0))


def test_joules_can_be_what_they_are() -> None:
    own = made(**GREEDY, credit="each", energies="joules", alpha=0.0, beta=0.0)
    seen = asked(chosen=[0])
    told = own.decide(seen)
    lesson = own.learn(seen, told, outcome(seen, told))
    assert lesson == (pytest.approx(-30.0 - 2.06), False)


def test_the_table_of_k_moves_by_the_round_that_it_was_chosen_for() -> None:
    own = made(**GREEDY, credit="each", initial=[0.5, 0.5], discount=0.1, learning_rate=0.5)
    seen = asked(chosen=[0, 3])
    first = own.decide(seen)
    own.learn(seen, first, outcome(seen, first))
    (values,) = own._of_clients.values()
    assert values.tolist() == [0.5] * 5  # the job's own K
    values[3] = 0.6
    second = own.decide(seen)
    assert (first.clients_per_round, second.clients_per_round) == (1, 15)
    lesson = own.learn(seen, second, outcome(seen, second, accuracy=0.47))
    assert lesson is not None
    moved = 0.5 + 0.5 * (lesson.reward + 0.1 * 0.6 - 0.5)
    assert values == pytest.approx([moved, 0.5, 0.5, 0.6, 0.5])


def test_the_first_round_of_a_later_job_has_the_jobs_own_k() -> None:
    one = made(credit="each", initial=[0.5, 0.5])
    played(one, asked())
    own = made(credit="each", initial=[0.5, 0.5])
    own.load_state_dict(one.state_dict())
    before = {state: values.copy() for state, values in own._of_clients.items()}
    seen = asked()
    told = own.decide(seen)
    own.learn(seen, told, outcome(seen, told))
    assert [v.tolist() for v in own._of_clients.values()] == [v.tolist() for v in before.values()]


def test_an_unjudged_round_teaches_each_nothing() -> None:
    own, seen = made(**GREEDY, credit="each"), asked()
    told = own.decide(seen)
    before = tables(own)
    assert own.learn(seen, told, outcome(seen, told, accuracy=nan)) is None
    own.decide(seen)
    assert all((tables(own)[name] == before[name]).all() for name in before)


# --- freezing, and what has been learned ---------------------------------------------------------


@pytest.mark.parametrize("credit", ["work", "each"])
def test_frozen_it_neither_explores_nor_learns(credit: str) -> None:
    own, seen = made(credit=credit, epsilon=1.0, explore_rounds=None), asked()
    played(own, seen, 8)
    own.freeze()
    state = own.state_dict()
    for _ in range(6):
        told = own.decide(seen)
        lesson = own.learn(seen, told, outcome(seen, told, joules=lambda client: 50.0))
        assert lesson is not None
        assert not lesson.is_explored
    later = own.state_dict()
    for key in ("tiers", "of_clients"):
        assert dump_state({key: later[key]}) == dump_state({key: state[key]})
    assert later["progress"]["rounds"] == state["progress"]["rounds"]


def test_the_last_round_is_learned_before_freezing_and_writing() -> None:
    for ends in (FedGPO.freeze, FedGPO.state_dict):
        own = made(**GREEDY, **ONE, initial=[-1.0, -1.0])
        seen = asked(chosen=[0])
        told = own.decide(seen)
        own.learn(seen, told, outcome(seen, told))
        ends(own)
        assert tables(own)["fast"].min() == pytest.approx(-1.0 + 0.9 * (-2.0 + 1.0))
        ends(own)  # once is enough
        assert tables(own)["fast"].min() == pytest.approx(-1.9)


def continued(state: Mapping[str, Any], parameters: dict[str, Any]) -> list[RoundParameters]:
    own = made(9, **parameters)
    own.load_state_dict(state)
    return played(own, asked(), 15)


@pytest.mark.parametrize("parameters", [{}, {"credit": "each"}, {"masks_late": False}])
def test_it_goes_on_alike_from_a_file(parameters: dict[str, Any], tmp_path: Path) -> None:
    one = made(**parameters)
    played(one, asked(), 20)
    state = one.state_dict()
    file = tmp_path / "learned.json"
    file.write_text(dump_state({"parameters": state}))
    read = load_state(file)["parameters"]
    assert dump_state(read) == dump_state(state)
    expected = continued(state, parameters)
    assert continued(read, parameters) == expected
    # Naming the file is the same, whichever of its two names the seat has.
    for key in ("parameters", "fl.parameters"):
        file.write_text(dump_state({key: state}))
        own = made(9, tmp_path, table="learned.json", **parameters)
        assert dump_state(own.state_dict()) == dump_state(state)
        assert played(own, asked(), 15) == expected
    # Without it, it goes on otherwise.
    assert played(made(9, **parameters), asked(), 15) != expected


def test_who_goes_on_decides_the_same_as_who_never_stopped() -> None:
    one, seen = made(epsilon=0.0, accuracy_noise=0.001), asked()
    played(one, seen, 20)
    one.decide(seen)  # all that it has been taught is in use
    other = made(epsilon=0.0, accuracy_noise=0.001)
    other.load_state_dict(one.state_dict())
    assert other._price == one._price > 0.0
    assert one.decide(seen).own == other.decide(seen).own


def test_profiles_that_are_not_here_are_kept() -> None:
    one = made()
    played(one, asked(), 5)
    state = one.state_dict()
    own = made()
    own.load_state_dict(state)
    played(own, asked(chosen=[0, 1]), 5)
    tiers = own.state_dict()["tiers"]
    assert set(tiers) == {"fast", "medium", "slow"}
    assert dump_state(tiers["slow"]) == dump_state(state["tiers"]["slow"])
    assert dump_state(tiers["fast"]) != dump_state(state["tiers"]["fast"])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"batch_sizes": [4, 8]},
            "what was learned is with works: .* give this controller the same",
        ),
        ({"epochs": [1]}, "with works"),
        ({"clients_per_round": [3]}, r"with clients_per_round: \[1, 5, 10, 15, 20\], not \[3\]"),
        ({"credit": "each"}, "with credit: work, not each"),
    ],
)
def test_tables_of_other_choices_are_refused(parameters: dict[str, Any], message: str) -> None:
    one = made()
    played(one, asked(), 3)
    with pytest.raises(EdgesimError, match=message):
        made(**parameters).load_state_dict(one.state_dict())


def test_a_file_without_tables_is_refused(tmp_path: Path) -> None:
    for text in ("{}", '{"selection": {"works": []}}', '{"parameters": {"tiers": {}}}'):
        (tmp_path / "t.json").write_text(text)
        with pytest.raises(EdgesimError, match="holds no tables of fedgpo for slot 'parameters'"):
            made(folder=tmp_path, table="t.json")
    with pytest.raises(EdgesimError, match="cannot be read"):
        made(folder=tmp_path, table="none.json")


@pytest.mark.parametrize("missing", ["clients_per_round", "credit", "rounds", "progress", "pace"])
def test_a_file_that_lacks_something_is_refused(missing: str, tmp_path: Path) -> None:
    one = made()
    played(one, asked(), 3)
    state = one.state_dict()
    del state[missing]
    (tmp_path / "t.json").write_text(dump_state({"parameters": state}))
    with pytest.raises(EdgesimError, match=r"t\.json"):
        made(folder=tmp_path, table="t.json")


def test_a_frozen_table_is_used_as_it_is(tmp_path: Path) -> None:
    one, seen = made(), asked()
    played(one, seen, 20)
    (tmp_path / "t.json").write_text(dump_state({"parameters": one.state_dict()}))
    own = made(folder=tmp_path, table="t.json", is_frozen=True, epsilon=1.0, explore_rounds=None)
    played(own, seen, 5)
    assert not own._is_explored
    assert dump_state(own.state_dict()["tiers"]) == dump_state(one.state_dict()["tiers"])


# --- what it is made of --------------------------------------------------------------------------


def test_the_recalled_variant_has_parameters_that_exist() -> None:
    own = made(**CONTROLLERS["fedgpo_paper"].settings)
    assert own.parameters.credit == "each"
    assert len(played(own, asked(), 5)) == 5


def test_it_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, edgesim.controllers.fedgpo; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(played(made(), asked(), 15)) == 15


def test_what_is_judged_together_is_credited_together() -> None:
    own = made(**GREEDY, **ONE)
    seen = asked(chosen=[0, 1])
    learned: list[tuple[Any, ...]] = []
    own._progress.learn = lambda *told: learned.append(told)  # type: ignore[method-assign]
    for accuracy in (nan, nan, 0.7):
        told = own.decide(seen)
        own.learn(seen, told, outcome(seen, told, accuracy=accuracy, before=0.4))
    ((before, work, gain, clients),) = learned
    assert (before, len(work), clients) == (0.4, 6, 2.0)
    assert gain == pytest.approx(0.1)


def test_no_trial_is_late_that_need_not_be() -> None:
    seen = asked(deadline_s=5.0)
    for seed in range(10):
        own = made(seed=seed, trial_rounds=100)
        told = own.decide(seen)
        assert own._cohort is not None
        late = own._cohort.seconds[np.arange(len(told.own)), own._cohort.actions] > 5.0
        assert (own._cohort.seconds[late].min(axis=1) > 5.0).all()


def test_while_nothing_gains_it_does_as_the_job_says() -> None:
    own = made(**GREEDY, batch_sizes=[1, 8, 32], epochs=[1, 5, 10], clients_per_round=[1, 3, 9])
    seen = asked(batch_size=8, epochs=10, clients_per_round=3)
    for gained, works in ((0.0, 1), (0.0, 1), (0.5, 1), (0.0, 0)):
        told = own.decide(seen)
        stuck = {(8, 10)} == set(told.own.values()) and told.clients_per_round == 3
        own.learn(seen, told, outcome(seen, told, accuracy=0.1 + gained, before=0.1))
        if own._round > 1:  # before, nothing has been tried
            assert stuck == bool(works)
