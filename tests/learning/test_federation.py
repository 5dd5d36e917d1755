from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgesim.core.errors import EdgesimError
from edgesim.learning.aggregation import FedYogi, QFedAvg
from edgesim.learning.catalogue import build_dataset, build_partition
from edgesim.learning.compression import Exact, Quantised, TopK
from edgesim.learning.data import Dataset, digits
from edgesim.learning.federation import Federation, evaluate
from edgesim.learning.files import idx_folder
from edgesim.learning.models import build_model
from edgesim.learning.partition import iid
from edgesim.learning.tasks import Layout, LocalProgram, TrainingError

MNIST = Path(__file__).parents[2] / "../shared/data/mnist"


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


def federation(data: Dataset, **more: Any) -> Federation:
    partition = iid(data.train.labels, 20, np.random.default_rng(0))
    program = more.pop("program", LocalProgram(0.1, 10, 2))
    return Federation(data, partition, build_model("mlp", data), program, **more)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scaffold": True},
        {"aggregation": QFedAvg(0.5, 0.1)},
        {"compression": Quantised(8)},
        {"compression": TopK(0.2)},
    ],
)
def test_a_federation_learns_digits(data: Dataset, more: dict[str, Any]) -> None:
    mine = federation(data, **more)
    before, _ = mine.evaluate()
    for _ in range(15):
        found = mine.run_round(mine.cohort(10))
    assert before.accuracy < 0.3
    assert found.scores.accuracy > 0.8
    assert found.scores.loss < before.loss


def test_speakers_learn_to_foretell_characters(tmp_path: Path) -> None:
    speech = "to be or not to be, that is the question. "
    text = "\n\n".join(f"{who}:\n{speech * 30}" for who in ("First", "Second", "Third"))
    (tmp_path / "play.txt").write_text(text)
    data = build_dataset("characters", {"file": "play.txt", "length": 12, "stride": 5}, tmp_path)
    partition = build_partition("source", data, 3)
    module = build_model("lstm", data, parameters={"hidden": 24, "layers": 1})
    program = LocalProgram(1.0, 16, 3, clip_norm=5.0)
    mine = Federation(data, partition, module, program)
    for _ in range(12):
        found = mine.run_round(range(3))
    assert found.scores.accuracy > 0.9


def test_it_goes_on_to_the_same_bits(data: Dataset) -> None:
    whole = federation(data, scaffold=True, aggregation=FedYogi(), compression=Quantised(6))
    halves = [
        federation(data, scaffold=True, aggregation=FedYogi(), compression=Quantised(6))
        for _ in range(2)
    ]
    for _ in range(6):
        whole.run_round(whole.cohort(5))
    for _ in range(3):
        halves[0].run_round(halves[0].cohort(5))
    halves[1].load_state_dict(halves[0].state_dict())
    for _ in range(3):
        halves[1].run_round(halves[1].cohort(5))
    assert (whole.weights == halves[1].weights).all()
    assert halves[1].rounds == 6


def test_the_order_of_a_cohort_changes_nothing(data: Dataset) -> None:
    one, other = federation(data), federation(data)
    one.run_round([3, 7, 11])
    other.run_round([11, 3, 7])
    assert (one.weights == other.weights).all()


def test_clients_may_have_programs_of_their_own(data: Dataset) -> None:
    found = federation(data).run_round([1, 2], {2: LocalProgram(0.1, 5, 1)})
    samples = [update.samples for update in found.updates]
    steps = [update.steps for update in found.updates]
    assert steps == [2 * -(-samples[0] // 10), -(-samples[1] // 5)]


def test_scores_of_groups_add_up(data: Dataset) -> None:
    mine = federation(data)
    mine.run_round(mine.cohort(10))
    scores, by_class = mine.evaluate(data.test.labels)
    assert sorted(by_class) == list(range(10))
    assert sum(each.samples for each in by_class.values()) == scores.samples == len(data.test)
    mean = sum(each.accuracy * each.samples for each in by_class.values()) / scores.samples
    assert mean == pytest.approx(scores.accuracy)


def test_judging_changes_no_model(data: Dataset) -> None:
    module = build_model("mlp", data)
    layout = Layout(module)
    held = layout.read()
    module.train()
    evaluate(layout, torch.zeros(layout.size), data.test, batch=7)
    assert (layout.read() == held).all()
    assert module.training


# --- compression ---------------------------------------------------------------------------------


def test_bytes_of_updates() -> None:
    assert Exact().bytes_for(1000) == 4000
    assert Quantised(8).bytes_for(1000) == 1004
    assert Quantised(3).bytes_for(1000) == 379
    assert TopK(0.01).bytes_for(1000) == 80
    assert TopK(0.0001).bytes_for(1000) == 8


def test_quantised_updates_are_unbiased_and_near() -> None:
    rng = np.random.default_rng(1)
    delta = torch.from_numpy(rng.normal(size=2000).astype(np.float32))
    every = torch.stack([Quantised(4).compress(delta, rng) for _ in range(400)])
    step = float(delta.abs().max()) / 7
    assert float((every - delta).abs().max()) <= step * (1 + 1e-5)
    assert float((every.mean(0) - delta).abs().max()) < 5 * step / 2 / 20
    assert len(set(every.flatten().tolist())) <= 15
    zeros = torch.zeros(5)
    assert Quantised(4).compress(zeros, rng).tolist() == [0] * 5


def test_the_largest_values_are_kept() -> None:
    delta = torch.tensor([1.0, -5.0, 0.5, 3.0, -3.0])
    found = TopK(0.4).compress(delta, np.random.default_rng(1))
    assert found.tolist() == [0, -5, 0, 3, 0]


@pytest.mark.parametrize("make", [lambda: Quantised(1), lambda: TopK(0.0), lambda: TopK(1.1)])
def test_what_cannot_compress(make: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()


# --- what goes wrong -----------------------------------------------------------------------------


def test_more_clients_than_there_are(data: Dataset) -> None:
    with pytest.raises(EdgesimError, match="cohort of 21 cannot be had of 20 clients"):
        federation(data).cohort(21)


@pytest.mark.parametrize(
    ("cohort", "message"),
    [([1, 1], "each once"), ([], "at least one"), ([20], "no client 20; there are 20")],
)
def test_cohorts_that_cannot_be(cohort: list[int], message: str, data: Dataset) -> None:
    with pytest.raises(EdgesimError, match=message):
        federation(data).run_round(cohort)


def test_training_that_diverges_names_round_and_client_and_keeps_what_was(data: Dataset) -> None:
    mine = federation(data)
    mine.run_round([1, 2])
    held = mine.weights.clone()
    with pytest.raises(TrainingError, match=r"^round 2, client 5: training has diverged") as caught:
        mine.run_round([4, 5], {5: LocalProgram(1e30, 10, 5)})
    assert caught.value.client == 5
    assert (mine.weights == held).all()
    assert mine.rounds == 1
    mine.run_round([4, 5])


# --- a real data set -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason="shared/data/mnist is not there")
def test_fedavg_on_mnist_reaches_97_percent() -> None:
    data = idx_folder(MNIST)
    partition = iid(data.train.labels, 50, np.random.default_rng(0))
    module = build_model("cnn", data, parameters={"channels": [16, 32], "dense": 64})
    mine = Federation(data, partition, module, LocalProgram(0.1, 10, 5, momentum=0.5))
    best = 0.0
    for _ in range(22):
        best = max(best, mine.run_round(mine.cohort(10)).scores.accuracy)
    assert best >= 0.97
