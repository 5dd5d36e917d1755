"""What local training costs: steps, their seconds, and where they can run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.hardware.catalogue import shipped
from edgesim.hardware.processor import Governor
from edgesim.learning.program import LocalProgram
from edgesim.nn.cost import training_bytes, training_s
from edgesim.nn.zoo import ZOO
from edgesim.workloads.local_training import StepTimes, TrainingCosts, TrainingTask

MODEL = ZOO["mobilenet_v1"]
PHONE = shipped().phone("mi_8_pro")
CPU = PHONE.processors["cpu_big"]
TIMES = StepTimes(MODEL)


def step_s(batch: int) -> float:
    found = training_s(MODEL, CPU, batch)
    assert found is not None
    return found


def total_s(task: TrainingTask) -> float:
    return sum(task.seconds(CPU, len(CPU.levels) - 1, CPU.cores))


def task_of(samples: int, batch_size: int, epochs: int, **more: Any) -> TrainingTask:
    return TrainingTask(TIMES, samples, LocalProgram(0.1, batch_size, epochs, **more))


def test_the_last_batch_of_an_epoch_is_smaller() -> None:
    task = task_of(25, 10, 3)
    assert task.steps == 9
    assert total_s(task) == pytest.approx(3 * (2 * step_s(10) + step_s(5)))


def test_fewer_samples_than_a_batch_make_one_step_of_them() -> None:
    task = task_of(4, 10, 2)
    assert task.steps == 2
    assert total_s(task) == pytest.approx(2 * step_s(4))


def test_it_may_end_before_its_epochs_do() -> None:
    task = task_of(25, 10, 3, steps=4)
    assert task.steps == 4
    assert total_s(task) == pytest.approx(3 * step_s(10) + step_s(5))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 4), st.floats(0, 1))
@settings(max_examples=80, deadline=None)
def test_whole_steps_in_a_share_of_the_work(
    samples: int, batch: int, epochs: int, share: float
) -> None:
    task = task_of(samples, batch, epochs)
    done = task.steps_in(CPU, share)
    assert 0 <= done <= task.steps
    assert task.steps_in(CPU, 1.0) == task.steps
    if done:
        shorter = task_of(samples, batch, epochs, steps=done)
        assert total_s(shorter) <= share * total_s(task) * (1 + 1e-9)
    if done < task.steps:
        longer = task_of(samples, batch, epochs, steps=done + 1)
        assert total_s(longer) > share * total_s(task) * (1 - 1e-9)


def test_only_processors_that_know_single_precision_train() -> None:
    costs = TrainingCosts(TIMES, PHONE, {})
    kinds = {option.kind for option in costs.options(8)}
    assert kinds == {"cpu", "gpu"}
    assert costs.is_possible
    assert costs.resident_bytes(8) == training_bytes(MODEL, 8)
    for option in costs.options(8):
        assert costs.has(option.target)
        assert option.target.level is None
        assert option.step_s > 0
        assert option.power_w > 0


def test_levels_can_be_chosen_where_the_controller_governs() -> None:
    costs = TrainingCosts(TIMES, PHONE, {"cpu_big": Governor("controller")})
    levels = [o for o in costs.options(8) if o.target.processor == "cpu_big"]
    assert [o.target.level for o in levels] == list(range(len(CPU.levels)))
    seconds = [o.step_s for o in levels]
    assert seconds == sorted(seconds, reverse=True)
    watts = [o.power_w for o in levels]
    assert watts[0] < 0.5 * watts[-1]
