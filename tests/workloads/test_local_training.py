"""What local training costs: steps, their seconds, and where they can run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.hardware.catalogue import shipped
from edgesim.hardware.processor import Governor
from edgesim.learning.program import Jitter, LocalProgram
from edgesim.nn.cost import (
    averaging_work,
    inference_s,
    jitter_work,
    split_s,
    traffic_bytes,
    training_bytes,
    training_s,
)
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


EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tells": {"tells_initial_loss": True},
    "switches": {"jitter": Jitter(0.0, 0.9), "averages": True, "jitters_below": 1.0},
    "jitters batches": {"jitter": Jitter(0.0, 0.9, "batch")},
}


@given(
    st.integers(1, 60),
    st.integers(1, 20),
    st.integers(1, 4),
    st.floats(0, 1),
    st.sampled_from(list(EXTRAS)),
)
@settings(max_examples=120, deadline=None)
def test_whole_steps_in_a_share_of_the_work(
    samples: int, batch: int, epochs: int, share: float, extra: str
) -> None:
    more = EXTRAS[extra]
    task = task_of(samples, batch, epochs, **more)
    done = task.steps_in(CPU, share)
    assert 0 <= done <= task.steps
    assert task.steps_in(CPU, 1.0) == task.steps
    if done:
        shorter = task_of(samples, batch, epochs, steps=done, **more)
        assert total_s(shorter) <= share * total_s(task) * (1 + 1e-9)
    if done < task.steps:
        longer = task_of(samples, batch, epochs, steps=done + 1, **more)
        assert total_s(longer) > share * total_s(task) * (1 - 1e-9)


def extra_s(amounts: Any) -> float:
    return sum(split_s(amounts, CPU, threads=CPU.cores))


def test_a_first_loss_costs_a_pass_over_all_samples_and_no_more() -> None:
    plain, tells = task_of(25, 10, 3), task_of(25, 10, 3, tells_initial_loss=True)
    passes = 2 * inference_s(MODEL, CPU, "fp32", batch=10) + inference_s(  # type: ignore[operator]
        MODEL, CPU, "fp32", batch=5
    )
    measured = CPU.latency_s.get((MODEL.name, "fp32"))
    assert measured is None  # else inference would be as measured, and training is not
    assert total_s(tells) - total_s(plain) == pytest.approx(passes, rel=1e-9)
    assert tells.steps == plain.steps
    more = tells.traffic_bytes - plain.traffic_bytes
    one = traffic_bytes(MODEL, "fp32", 10)
    assert more == pytest.approx(2 * one + traffic_bytes(MODEL, "fp32", 5))


def test_jitter_costs_once_a_round_or_with_every_batch() -> None:
    values = MODEL.layers[0].inputs
    plain = task_of(25, 10, 3)
    once = task_of(25, 10, 3, jitter=Jitter(0.001, 0.9))
    each = task_of(25, 10, 3, jitter=Jitter(0.001, 0.9, "batch"))
    wanted = 2 * extra_s(jitter_work(10 * values)) + extra_s(jitter_work(5 * values))
    assert total_s(once) - total_s(plain) == pytest.approx(wanted, rel=1e-6)
    assert total_s(each) - total_s(plain) == pytest.approx(3 * wanted, rel=1e-6)


def test_averaging_costs_with_every_step_and_takes_as_much_memory_as_the_weights() -> None:
    plain, averages = task_of(25, 10, 3), task_of(25, 10, 3, averages=True)
    wanted = 9 * extra_s(averaging_work(MODEL))
    assert total_s(averages) - total_s(plain) == pytest.approx(wanted, rel=1e-6)
    costs = TrainingCosts(TIMES, PHONE, {})
    more = costs.resident_bytes(8, averages=True) - costs.resident_bytes(8)
    assert more == 4 * MODEL.parameters


def test_a_switch_that_is_off_costs_its_pass_alone() -> None:
    program = LocalProgram(0.1, 10, 3, jitter=Jitter(0.0, 0.9), averages=True, jitters_below=1.0)
    off, on = (TrainingTask(TIMES, 25, program.switched(loss)) for loss in (2.0, 0.5))
    undecided = TrainingTask(TIMES, 25, program)
    assert total_s(off) == pytest.approx(total_s(task_of(25, 10, 3, tells_initial_loss=True)))
    assert total_s(on) == total_s(undecided) > total_s(off)


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
