"""Clients that jitter their pictures and average their weights, if they find the model good."""

from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np
import pytest
import torch

from edgesim.core.errors import EdgesimError
from edgesim.learning.aggregation import QFedAvg
from edgesim.learning.data import Dataset, digits, photo_patches
from edgesim.learning.federation import Federation, evaluate
from edgesim.learning.jitter import jittered
from edgesim.learning.models import build_model
from edgesim.learning.partition import iid
from edgesim.learning.program import Jitter, LocalProgram
from edgesim.learning.tasks import Layout, Task, Tensors, Update, as_tensors
from edgesim.learning.training import Waiting, train

PLAIN = LocalProgram(0.05, 8, 2)
JITTER = Jitter(0.1, 0.9)
ROWS = np.arange(7, 40)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return photo_patches(train_per_class=20, test_per_class=5, size=8)


def layout_of(data: Dataset, name: str = "strided_cnn") -> Layout:
    return Layout(build_model(name, data, 0))


def task(layout: Layout, program: LocalProgram, client: int = 0) -> Task:
    rngs = (np.random.default_rng([5, client]), np.random.default_rng([6, client]))
    return Task(client, ROWS, program, layout.read(), rngs[0], jitter_rng=rngs[1])


def one(data: Dataset, program: LocalProgram, name: str = "strided_cnn") -> Update:
    layout = layout_of(data, name)
    (found,) = train(layout, as_tensors(data.train), [task(layout, program)])
    return found


def same(first: Update, second: Update) -> bool:
    return bool((first.delta == second.delta).all()) and first.loss == second.loss


def test_the_average_is_the_mean_of_the_weights_after_each_step(data: Dataset) -> None:
    steps = PLAIN.steps_for(len(ROWS))
    after = [one(data, replace(PLAIN, steps=k)).delta.double() for k in range(1, steps + 1)]
    mean = torch.stack(after).mean(0)
    found = one(data, replace(PLAIN, averages=True))
    assert found.is_averaged
    np.testing.assert_allclose(found.delta.numpy(), mean.numpy(), atol=2e-7)
    with_start = one(data, replace(PLAIN, averages=True, averages_start=True))
    np.testing.assert_allclose(
        with_start.delta.numpy(), (mean * steps / (steps + 1)).numpy(), atol=2e-7
    )
    assert found.loss == one(data, PLAIN).loss  # the steps themselves are the same


def test_jitter_is_training_on_other_pictures(data: Dataset) -> None:
    layout, program = layout_of(data), replace(PLAIN, jitter=JITTER)
    tensors = as_tensors(data.train)
    inputs = tensors.inputs.clone()
    inputs[torch.from_numpy(ROWS)] = jittered(
        inputs[torch.from_numpy(ROWS)], JITTER, np.random.default_rng([6, 0])
    )
    (wanted,) = train(layout, Tensors(inputs, tensors.labels), [task(layout, PLAIN)])
    found = one(data, program)
    assert same(found, wanted)
    assert found.is_switched
    assert not same(found, one(data, PLAIN))
    assert not same(found, one(data, replace(program, jitter=Jitter(0.1, 0.9, "batch"))))
    assert not same(found, one(data, replace(program, jitter=Jitter(0.1, 0.9, "client"))))


def test_the_first_loss_is_that_of_the_received_weights_as_they_are(data: Dataset) -> None:
    layout = layout_of(data)
    scores, _ = evaluate(layout, layout.read(), data.train.take(ROWS))
    found = one(data, replace(PLAIN, tells_initial_loss=True))
    assert found.initial_loss == pytest.approx(scores.loss, rel=1e-12)
    assert not found.is_switched
    assert same(found, one(data, PLAIN))
    jittering = one(data, replace(PLAIN, jitter=JITTER, tells_initial_loss=True))
    assert jittering.initial_loss == found.initial_loss
    assert isnan(one(data, PLAIN).initial_loss)


@pytest.mark.parametrize("name", ["strided_cnn", "mlp"])
def test_switches(data: Dataset, name: str) -> None:
    everything = replace(PLAIN, jitter=JITTER, averages=True)
    first = one(data, replace(PLAIN, tells_initial_loss=True), name).initial_loss
    jittered_loss = one(data, everything, name).loss

    def switched(below: float, averages_below: float) -> Update:
        program = replace(everything, jitters_below=below, averages_below=averages_below)
        return one(data, program, name)

    off = switched(first, 1e9)  # not below it
    assert not off.is_switched
    assert not off.is_averaged
    wanted = one(data, replace(PLAIN, tells_initial_loss=True), name)  # by the same executor
    assert same(off, wanted)
    second_off = switched(np.nextafter(first, 9), jittered_loss)
    assert second_off.is_switched
    assert not second_off.is_averaged
    assert same(second_off, one(data, replace(PLAIN, jitter=JITTER), name))
    both = switched(np.nextafter(first, 9), np.nextafter(jittered_loss, 9))
    assert both.is_averaged
    assert same(both, one(data, everything, name))


def test_a_loss_that_is_known_is_not_looked_for_again(data: Dataset) -> None:
    layout, program = layout_of(data), replace(PLAIN, jitter=JITTER, jitters_below=1.0)
    tensors = as_tensors(data.train)
    (off,) = train(layout, tensors, [replace(task(layout, program), initial_loss=1.0)])
    (on,) = train(layout, tensors, [replace(task(layout, program), initial_loss=0.5)])
    assert (off.is_switched, on.is_switched) == (False, True)
    assert on.initial_loss == 0.5


@pytest.mark.parametrize("name", ["strided_cnn", "mlp"])
def test_a_mixed_cohort_is_what_each_client_is_alone(data: Dataset, name: str) -> None:
    programs = [
        PLAIN,
        replace(PLAIN, jitter=JITTER),
        replace(PLAIN, jitter=JITTER, averages=True, jitters_below=9.0, averages_below=9.0),
        PLAIN,
        replace(PLAIN, averages=True),
    ]
    layout, tensors = layout_of(data, name), as_tensors(data.train)
    alone = [train(layout, tensors, [task(layout, p, k)])[0] for k, p in enumerate(programs)]
    for workers in (1, 3):
        cohort = [task(layout, p, k) for k, p in enumerate(programs)]
        together = train(layout, tensors, cohort, workers=workers)
        assert [u.client for u in together] == [0, 1, 2, 3, 4]
        for first, second in zip(together, alone, strict=True):
            np.testing.assert_allclose(first.delta, second.delta, atol=1e-6)
            assert first.is_averaged == second.is_averaged


def test_stacked_training_says_what_it_cannot_do(data: Dataset) -> None:
    layout = layout_of(data, "mlp")
    with pytest.raises(ValueError, match="stacked training has neither jitter nor averaging"):
        train(
            layout, as_tensors(data.train), [task(layout, replace(PLAIN, averages=True))], "stacked"
        )


def test_inputs_that_are_no_pictures_are_refused() -> None:
    data = digits()
    layout, tensors = Layout(build_model("mlp", data, 0)), as_tensors(data.train)
    with pytest.raises(EdgesimError, match="are for colour pictures"):
        train(layout, tensors, [task(layout, replace(PLAIN, jitter=JITTER))])
    waiting = Waiting(layout, tensors)
    ticket = waiting.add(task(layout, replace(PLAIN, jitter=JITTER)))
    with pytest.raises(EdgesimError, match="are for colour pictures"):
        waiting.update(ticket)


def test_an_aggregation_that_wants_losses_has_those_of_the_received_model(data: Dataset) -> None:
    seen: list[list[float]] = []

    class Looking(QFedAvg):
        def aggregate(self, weights, updates, losses=()):  # type: ignore[no-untyped-def]
            seen.append(list(losses))
            return super().aggregate(weights, updates, losses)

    partition = iid(data.train.labels, 4, np.random.default_rng(0))
    module = build_model("strided_cnn", data, 0)
    federation = Federation(data, partition, module, PLAIN, aggregation=Looking(1.0, 0.05))
    start = federation.weights
    federation.run_round([0, 2])
    wanted = [
        evaluate(federation.layout, start, data.train.take(partition.rows[k]))[0].loss
        for k in (0, 2)
    ]
    assert seen[0] == pytest.approx(wanted, rel=1e-12)


def test_a_federation_of_clients_that_switch_is_repeatable(data: Dataset) -> None:
    program = replace(PLAIN, jitter=JITTER, averages=True, jitters_below=2.2, averages_below=2.2)

    def weights() -> torch.Tensor:
        module = build_model("strided_cnn", data, 0)
        federation = Federation(
            data, iid(data.train.labels, 5, np.random.default_rng(0)), module, program, seed=3
        )
        for _ in range(3):
            federation.run_round(federation.cohort(3))
        return federation.weights

    assert bool((weights() == weights()).all())
