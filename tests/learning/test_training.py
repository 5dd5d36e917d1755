"""Local training: both executors against torch's own optimiser, and against each other."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgesim.learning import training
from edgesim.learning.data import Dataset, digits
from edgesim.learning.models import build_model
from edgesim.learning.stacked import can_stack
from edgesim.learning.tasks import (
    Layout,
    LocalProgram,
    Task,
    TrainingError,
    Update,
    as_tensors,
    effective_steps,
    schedule,
)
from edgesim.learning.training import Waiting, executor, train

PROGRAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decay": {"weight_decay": 0.01},
    "momentum": {"momentum": 0.9},
    "proximal": {"proximal": 0.5},
    "clipped": {"clip_norm": 0.5},
    "everything": {"momentum": 0.5, "weight_decay": 0.01, "proximal": 0.1, "clip_norm": 1.0},
    "cut short": {"steps": 3},
}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


def program(**given: Any) -> LocalProgram:
    return LocalProgram(**{"learning_rate": 0.1, "batch_size": 8, "epochs": 2, **given})


def tasks(
    layout: Layout, sizes: list[int], what: LocalProgram, *, corrected: bool = False
) -> list[Task]:
    start = layout.read()
    rng = np.random.default_rng(5)
    found = []
    for client, size in enumerate(sizes):
        rows = rng.choice(1400, size, replace=False)
        noise = rng.normal(0, 0.01, layout.size).astype(np.float32)
        correction = torch.from_numpy(noise) if corrected else None
        own = np.random.default_rng([7, client])
        found.append(Task(client, rows, what, start, own, correction))
    return found


def reference(module: nn.Module, data: Dataset, task: Task) -> torch.Tensor:
    """The same by torch.optim.SGD: final weights less those at the beginning."""
    p = task.program
    own = copy.deepcopy(module)
    Layout(own).write(task.start)
    began = [w.detach().clone() for w in own.parameters()]
    correction = None if task.correction is None else Layout(own).split(task.correction)
    optimiser = torch.optim.SGD(own.parameters(), lr=p.learning_rate, momentum=p.momentum)
    for batch in schedule(task):
        optimiser.zero_grad()
        inputs = torch.from_numpy(data.train.inputs[batch])
        loss = nn.functional.cross_entropy(own(inputs), torch.from_numpy(data.train.labels[batch]))
        loss = loss + p.weight_decay / 2 * sum(w.square().sum() for w in own.parameters())
        pairs = zip(own.parameters(), began, strict=True)
        loss = loss + p.proximal / 2 * sum((w - b).square().sum() for w, b in pairs)
        if correction is not None:
            pairs = zip(own.parameters(), correction, strict=True)
            loss = loss + sum((w * c).sum() for w, c in pairs)
        loss.backward()  # type: ignore[no-untyped-call]
        if p.clip_norm is not None:
            nn.utils.clip_grad_norm_(own.parameters(), p.clip_norm)
        optimiser.step()
    return Layout(own).read() - task.start


@pytest.mark.parametrize("how", ["loop", "stacked"])
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_program_does_what_torchs_optimiser_does(
    name: str, corrected: bool, how: str, data: Dataset
) -> None:
    module = build_model("mlp", data, parameters={"hidden": [16, 12]})
    layout = Layout(module)
    given = tasks(layout, [30, 7, 21], program(**PROGRAMS[name]), corrected=corrected)
    fresh = tasks(layout, [30, 7, 21], program(**PROGRAMS[name]), corrected=corrected)
    found = train(layout, as_tensors(data.train), given, how)
    for task, update in zip(fresh, found, strict=True):
        torch.testing.assert_close(
            update.delta, reference(module, data, task), atol=1e-6, rtol=1e-5
        )
        assert update.steps == task.program.steps_for(len(task.rows))
        assert update.samples == len(task.rows)


@pytest.mark.parametrize("name", ["cnn", "mobilenet"])
def test_the_loop_serves_convolutions(name: str, data: Dataset) -> None:
    small: dict[str, Any] = {"cnn": {"channels": [4, 8], "dense": 16}, "mobilenet": {"width": 8}}
    module = build_model(name, data, parameters=small[name])
    layout = Layout(module)
    (given,), (fresh,) = (tasks(layout, [20], program()) for _ in range(2))
    (update,) = train(layout, as_tensors(data.train), [given])
    torch.testing.assert_close(update.delta, reference(module, data, fresh), atol=1e-5, rtol=1e-4)


SIZES = [5, 8, 16, 17, 64, 1, 40, 33, 9, 12, 80, 3]


def test_stacked_equals_the_loop_for_clients_of_all_sizes(data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    both = [
        train(layout, as_tensors(data.train), tasks(layout, SIZES, program()), how)
        for how in ("loop", "stacked")
    ]
    for one, other in zip(*both, strict=True):
        assert (one.client, one.samples, one.steps) == (other.client, other.samples, other.steps)
        assert float((one.delta - other.delta).abs().max()) < 1e-6
        assert one.loss == pytest.approx(other.loss, abs=1e-5)
        assert one.loss_first == pytest.approx(other.loss_first, abs=1e-5)


def test_programs_may_differ_from_client_to_client(data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    programs = [program(batch_size=2**k, epochs=1 + k % 3) for k in range(5)]

    def mixed() -> list[Task]:
        found = tasks(layout, [30, 12, 25, 8, 40], program())
        return [
            Task(t.client, t.rows, own, t.start, t.rng)
            for t, own in zip(found, programs, strict=True)
        ]

    both = [train(layout, as_tensors(data.train), mixed(), how) for how in ("loop", "stacked")]
    for one, other in zip(*both, strict=True):
        assert one.steps == other.steps
        assert float((one.delta - other.delta).abs().max()) < 1e-6


@pytest.mark.parametrize("how", ["loop", "stacked"])
def test_the_same_tasks_give_the_same_bits_whatever_the_threads(how: str, data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    before = torch.get_num_threads()

    def once() -> list[Update]:
        return train(layout, as_tensors(data.train), tasks(layout, SIZES, program()), how)

    try:
        first = once()
        torch.set_num_threads(before % 4 + 1)
        second = once()
        assert torch.get_num_threads() == before % 4 + 1
    finally:
        torch.set_num_threads(before)
    for one, other in zip(first, second, strict=True):
        assert (one.delta == other.delta).all()
        assert one.loss == other.loss


def test_a_clients_batches_do_not_depend_on_the_cohort(data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    alone = train(layout, as_tensors(data.train), tasks(layout, SIZES, program())[3:4], "loop")
    among = train(layout, as_tensors(data.train), tasks(layout, SIZES, program()), "loop")
    assert (alone[0].delta == among[3].delta).all()


def test_clients_may_begin_with_different_weights(data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))

    def apart() -> list[Task]:
        return [
            Task(t.client, t.rows, t.program, t.start * (1 + 0.1 * t.client), t.rng)
            for t in tasks(layout, [20, 20, 20], program(proximal=0.3))
        ]

    both = [train(layout, as_tensors(data.train), apart(), how) for how in ("loop", "stacked")]
    for one, other in zip(*both, strict=True):
        assert float((one.delta - other.delta).abs().max()) < 1e-6


def test_dropout_draws_from_the_tasks_own_stream(data: Dataset) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.5), nn.Linear(16, 10))
    layout = Layout(module)
    start = layout.read()

    def once(*clients: int) -> list[Update]:
        layout.write(start)
        given = tasks(layout, [20, 20], program())
        return train(layout, as_tensors(data.train), [given[c] for c in clients])

    torch.manual_seed(1)
    both = once(0, 1)
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    alone = once(1)
    assert (both[1].delta == alone[0].delta).all()
    assert torch.rand(1) == drawn  # the user's own stream is where it was


def test_running_means_are_part_of_an_update(data: Dataset) -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 10))
    layout = Layout(module)
    assert layout.size == layout.parameters + 8
    (update,) = train(layout, as_tensors(data.train), tasks(layout, [20], program()))
    assert update.delta[layout.parameters :].abs().max() > 0


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)), True),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 10)), True),
        (nn.Sequential(nn.Linear(64, 10)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 10)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU()), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout()), False),
    ],
)
def test_only_chains_of_dense_layers_are_stacked(module: nn.Module, expected: bool) -> None:
    assert can_stack(module) is expected
    assert executor(Layout(module)) == ("stacked" if expected else "loop")


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("mlp", {"hidden": [1200, 300]}),
        ("cnn", {"channels": [4, 8], "dense": 16}),
        ("mobilenet", {"width": 8}),
    ],
)
def test_any_number_of_workers_gives_the_same_bits(
    model: str, given: dict[str, Any], data: Dataset
) -> None:
    layout = Layout(build_model(model, data, parameters=given))
    held = layout.read()
    sizes = [*SIZES, 11, 22]
    runs = [
        train(layout, as_tensors(data.train), tasks(layout, sizes, program()), workers=workers)
        for workers in (1, 2, 3)
    ]
    assert (layout.read() == held).all()
    for other in runs[1:]:
        for one, same in zip(runs[0], other, strict=True):
            assert one.client == same.client
            assert (one.delta == same.delta).all()
            assert one.loss == same.loss


# --- training that is put off --------------------------------------------------------------------


@pytest.mark.parametrize(("model", "within"), [("mlp", 1e-6), ("cnn", 0.0)])
def test_clients_that_begin_at_different_times_are_trained_as_one_batch(
    model: str, within: float, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(build_model(model, data))
    alone = [
        train(layout, as_tensors(data.train), [task])[0]
        for task in tasks(layout, [20, 30, 10, 25], program())
    ]
    batches: list[int] = []
    carried_out = training._carried_out

    def counted(*args: Any) -> list[Update]:
        batches.append(len(args[2]))
        return carried_out(*args)

    monkeypatch.setattr(training, "_carried_out", counted)
    waiting = Waiting(layout, as_tensors(data.train))
    given = tasks(layout, [20, 30, 10, 25], program())
    tickets = [waiting.add(task) for task in given[:3]]
    waiting.withdraw(tickets[1])
    second = waiting.update(tickets[2])
    tickets.append(waiting.add(given[3]))
    assert len(waiting) == 1
    found = {0: waiting.update(tickets[0]), 2: second, 3: waiting.update(tickets[3])}
    assert batches == [2, 1]
    for k, update in found.items():
        assert update.client == alone[k].client
        assert float((update.delta - alone[k].delta).abs().max()) <= within
    with pytest.raises(KeyError):
        waiting.update(tickets[0])


def test_the_divergence_of_one_is_not_blamed_on_another(data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    good, bad = tasks(layout, [30, 30], program())
    wild = program(learning_rate=1e30, epochs=9)
    waiting = Waiting(layout, as_tensors(data.train))
    first = waiting.add(good)
    second = waiting.add(Task(8, bad.rows, wild, bad.start, bad.rng))
    assert np.isfinite(waiting.update(first).loss)
    with pytest.raises(TrainingError, match="client 8: training has diverged"):
        waiting.update(second)
    empty = Task(5, good.rows[:0], program(), good.start, good.rng)
    with pytest.raises(TrainingError, match="client 5: has no samples"):
        waiting.add(empty)


# --- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["loop", "stacked"])
def test_training_that_diverges_names_the_client(how: str, data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    given = tasks(layout, [30, 30], program())
    given[1] = Task(
        8, given[1].rows, program(learning_rate=1e30, epochs=9), given[1].start, given[1].rng
    )
    with pytest.raises(TrainingError, match="client 8: training has diverged") as caught:
        train(layout, as_tensors(data.train), given, how)
    assert caught.value.client == 8


def test_a_client_without_samples_is_named(data: Dataset) -> None:
    layout = Layout(build_model("mlp", data))
    with pytest.raises(TrainingError, match="client 1: has no samples"):
        train(layout, as_tensors(data.train), tasks(layout, [5, 0], program()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"batch_size": 0},
        {"epochs": 0},
        {"momentum": 1.0},
        {"proximal": -1.0},
        {"clip_norm": 0.0},
        {"steps": 0},
    ],
)
def test_programs_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"found|at least"):
        program(**wrong)


# --- FedNova's steps -----------------------------------------------------------------------------


def test_effective_steps_are_those_of_the_paper() -> None:
    assert effective_steps(program(), 7) == 7
    rho = 0.9
    by_hand = (7 - rho * (1 - rho**7) / (1 - rho)) / (1 - rho)
    assert effective_steps(program(momentum=rho), 7) == pytest.approx(by_hand)
    decay = 1 - 0.1 * 0.5
    assert effective_steps(program(proximal=0.5), 7) == pytest.approx((1 - decay**7) / (1 - decay))
