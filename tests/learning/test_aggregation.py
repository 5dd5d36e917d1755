"""Aggregations and whole rounds against straightforward reference implementations."""

from __future__ import annotations

import copy
from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from edgesim.core.errors import EdgesimError
from edgesim.learning.aggregation import (
    FedAdam,
    FedAsync,
    FedAvg,
    FedBuff,
    FedNova,
    FedYogi,
    QFedAvg,
    make_aggregation,
)
from edgesim.learning.data import Dataset, digits
from edgesim.learning.federation import Federation
from edgesim.learning.models import build_model
from edgesim.learning.partition import Partition, by_dirichlet
from edgesim.learning.tasks import LocalProgram, Update, schedule

ROUNDS = 4
RATE = 0.05


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


@pytest.fixture(scope="module")
def partition(data: Dataset) -> Partition:
    return by_dirichlet(data.train.labels, 12, 0.5, np.random.default_rng(1), least=0)


def federation(data: Dataset, partition: Partition, **more: Any) -> Federation:
    given = {"learning_rate": RATE, "batch_size": 10, "epochs": 2, **more.pop("program", {})}
    return Federation(data, partition, build_model("mlp", data), LocalProgram(**given), **more)


Vector = list[torch.Tensor]


def local(
    data: Dataset,
    start: Vector,
    module: nn.Module,
    batches: list[np.ndarray[Any, Any]],
    mu: float = 0.0,
    momentum: float = 0.0,
    correction: Vector | None = None,
) -> Vector:
    """A client's weights after its batches, the plain way."""
    own = copy.deepcopy(module)
    with torch.no_grad():
        for p, s in zip(own.parameters(), start, strict=True):
            p.copy_(s)
    speed = [torch.zeros_like(s) for s in start]
    for batch in batches:
        inputs = torch.from_numpy(data.train.inputs[batch])
        loss = cross_entropy(own(inputs), torch.from_numpy(data.train.labels[batch]))
        grads = torch.autograd.grad(loss, list(own.parameters()))
        with torch.no_grad():
            for k, p in enumerate(own.parameters()):
                g: torch.Tensor = grads[k] + mu * (p - start[k])
                if correction is not None:
                    g = g + correction[k]
                speed[k] = momentum * speed[k] + g
                p.sub_(RATE * speed[k])
    return [p.detach().clone() for p in own.parameters()]


def flat(parts: Vector) -> torch.Tensor:
    return torch.cat([p.reshape(-1) for p in parts])


def check_rounds(
    data: Dataset, partition: Partition, name: str, tolerance: float = 2e-6, **more: Any
) -> None:
    mine = federation(data, partition, **more)
    module = build_model("mlp", data)
    weights = [p.detach().clone() for p in module.parameters()]
    program = mine.program
    variate = [torch.zeros_like(w) for w in weights]
    own = {c: [torch.zeros_like(w) for w in weights] for c in range(len(partition))}
    for _ in range(ROUNDS):
        cohort = [c for c in mine.cohort(6) if len(partition.rows[c])]
        batches = {c: schedule(mine.task(c)) for c in cohort}
        total = sum(len(partition.rows[c]) for c in cohort)
        ends = {}
        for c in cohort:
            correction = None
            if name == "scaffold":
                correction = [a - b for a, b in zip(variate, own[c], strict=True)]
            ends[c] = local(
                data, weights, module, batches[c], program.proximal, program.momentum, correction
            )
        share = {c: len(partition.rows[c]) / total for c in cohort}
        before = weights
        if name == "fednova":
            steps = {c: len(batches[c]) for c in cohort}
            effective = sum(share[c] * steps[c] for c in cohort)
            weights = [
                w
                + effective
                * sum((share[c] / steps[c] * (ends[c][k] - w) for c in cohort), torch.tensor(0.0))
                for k, w in enumerate(before)
            ]
        else:
            weights = [
                sum((share[c] * ends[c][k] for c in cohort), torch.tensor(0.0))
                for k in range(len(before))
            ]
        if name == "scaffold":
            change = [torch.zeros_like(w) for w in before]
            for c in cohort:
                for k, w in enumerate(before):
                    new = own[c][k] - variate[k] + (w - ends[c][k]) / (len(batches[c]) * RATE)
                    change[k] += new - own[c][k]
                    own[c][k] = new
            variate = [v + d / len(partition) for v, d in zip(variate, change, strict=True)]
        mine.run_round(cohort)
        torch.testing.assert_close(mine.weights, flat(weights), atol=tolerance, rtol=1e-5)


def test_fedavg_round_by_round(data: Dataset, partition: Partition) -> None:
    check_rounds(data, partition, "fedavg")


def test_fedprox_round_by_round(data: Dataset, partition: Partition) -> None:
    check_rounds(data, partition, "fedprox", program={"proximal": 0.3})


def test_fedavg_with_momentum_round_by_round(data: Dataset, partition: Partition) -> None:
    check_rounds(data, partition, "fedavg", program={"momentum": 0.9}, tolerance=1e-5)


def test_fednova_round_by_round(data: Dataset, partition: Partition) -> None:
    check_rounds(data, partition, "fednova", aggregation=FedNova())


def test_scaffold_round_by_round(data: Dataset, partition: Partition) -> None:
    check_rounds(data, partition, "scaffold", scaffold=True)


# --- by hand -------------------------------------------------------------------------------------


def update(*delta: float, samples: int = 1, steps: float = 1.0) -> Update:
    return Update(0, samples, int(steps), torch.tensor(delta), 0.0, 0.0, steps)


def test_fedavg_weighs_by_samples() -> None:
    found = FedAvg().aggregate(torch.tensor([1.0]), [update(1.0, samples=3), update(5.0)])
    assert found.tolist() == [1 + 0.75 * 1 + 0.25 * 5]
    half = FedAvg(0.5).aggregate(torch.tensor([0.0]), [update(4.0)])
    assert half.tolist() == [2.0]


def test_fednova_makes_one_step_of_many_steps() -> None:
    found = FedNova().aggregate(torch.tensor([0.0]), [update(10.0, steps=10), update(2.0, steps=2)])
    assert found.tolist() == pytest.approx([6.0])


def test_qfedavg_by_hand() -> None:
    # L = 10, F = (1, 2), q = 1: D = (10, 20) * delta; h = |10 delta|^2 + 10 F.
    found = QFedAvg(1.0, 0.1).aggregate(torch.tensor([0.0]), [update(0.1), update(0.3)], [1.0, 2.0])
    expected = (1 * 1.0 + 2 * 3.0) / ((1 + 10) + (9 + 20))
    assert found.tolist() == pytest.approx([expected], rel=1e-6)


def test_qfedavg_with_q_0_is_the_plain_mean() -> None:
    found = QFedAvg(0.0, 0.1).aggregate(
        torch.tensor([1.0]), [update(1.0, samples=9), update(3.0)], [5.0, 0.1]
    )
    assert found.tolist() == pytest.approx([3.0])
    with pytest.raises(ValueError, match="2 updates, but 1 losses"):
        QFedAvg().aggregate(torch.tensor([1.0]), [update(1.0), update(1.0)], [1.0])


@pytest.mark.parametrize("kind", [FedAdam, FedYogi])
def test_adaptive_servers_by_hand(kind: type[FedAdam]) -> None:
    server = kind(0.1, 0.9, 0.99, 0.01)
    weights, m, v = 1.0, 0.0, 0.01**2
    for delta in (0.5, -0.2, 0.1):
        m = 0.9 * m + 0.1 * delta
        if kind is FedAdam:
            v = 0.99 * v + 0.01 * delta**2
        else:
            v = v - 0.01 * delta**2 * float(np.sign(v - delta**2))
        expected = weights + 0.1 * m / (sqrt(v) + 0.01)
        again = kind(0.1, 0.9, 0.99, 0.01)
        again.load_state_dict(server.state_dict())
        for each in (again, server):
            found = each.aggregate(torch.tensor([weights]), [update(delta)])
            assert found.tolist() == pytest.approx([expected], rel=1e-5)
        weights = expected


def test_nothing_changes_without_updates() -> None:
    for name in ("fedavg", "fednova", "qfedavg", "fedadam", "fedyogi"):
        assert make_aggregation(name).aggregate(torch.tensor([3.0]), []).tolist() == [3.0]


def test_fedbuff_waits_and_minds_staleness() -> None:
    server, weights = FedBuff(buffer=2), torch.tensor([0.0])
    assert server.receive(weights, update(1.0), weights, 0) is None
    other = FedBuff(buffer=2)
    other.load_state_dict(server.state_dict())
    for each in (server, other):
        found = each.receive(weights, update(4.0), weights, 3)
        assert found is not None
        assert found.tolist() == [(1.0 + 4.0 / 2) / 2]
    assert server.receive(weights, update(1.0), weights, 0) is None


def test_fedasync_moves_towards_the_client_less_if_stale() -> None:
    server = FedAsync(alpha=0.5, power=0.5)
    weights, start = torch.tensor([2.0]), torch.tensor([1.0])
    fresh = server.receive(weights, update(3.0), start, 0)
    stale = server.receive(weights, update(3.0), start, 3)
    assert fresh is not None
    assert stale is not None
    assert fresh.tolist() == [0.5 * 2 + 0.5 * 4]
    assert stale.tolist() == [0.75 * 2 + 0.25 * 4]


def test_an_unknown_aggregation_names_the_nearest() -> None:
    with pytest.raises(EdgesimError, match="did you mean 'fednova'"):
        make_aggregation("fednov")
    with pytest.raises(EdgesimError, match="rate"):
        make_aggregation("fedavg", rate=1)
