"""What work is worth in accuracy: found again in rounds of its own formula, jumps and all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import log, nan
from pathlib import Path

import numpy as np
import pytest

from edgesim.controllers.learned import dump_state, load_state
from edgesim.controllers.progress import _KEPT, WorkProgress

CHOICES = [(1, 2, 4, 8, 16, 32), (1, 5, 10, 15, 20), (1, 5, 10, 15, 20)]
WORKS = list(product(CHOICES[0], CHOICES[1]))
ACCURACY = 0.6

Work = list[tuple[int, int]]


def made(noise: float = 0.01) -> WorkProgress:
    return WorkProgress(CHOICES, noise)


def worth(work: Work, powers: tuple[float, float, float], rate: float = 0.05) -> float:
    """Rate x B^b x E^e x K^k, relative to the middle of the choices."""
    logs = [*np.log(np.array(work, float)).mean(axis=0), log(len(work))]
    middles = [(log(min(each)) + log(max(each))) / 2.0 for each in CHOICES]
    off = [power * (own - middle) for power, own, middle in zip(powers, logs, middles, strict=True)]
    return float(rate * np.exp(sum(off)))


def drawn(rng: np.random.Generator, rounds: int) -> Iterator[Work]:
    """Rounds of everybody the same work, anything that can be chosen."""
    for _ in range(rounds):
        batch_size, epochs, clients = (int(rng.choice(each)) for each in CHOICES)
        yield [(batch_size, epochs)] * clients


def taught(
    own: WorkProgress, powers: tuple[float, float, float], rounds: int = 150, noise: float = 0.01
) -> WorkProgress:
    rng = np.random.default_rng(7)
    for work in drawn(rng, rounds):
        own.learn(ACCURACY, work, worth(work, powers) + rng.normal(0.0, noise))
    return own


def test_with_nothing_learned_all_work_gains_the_same() -> None:
    found = made().gains(ACCURACY, WORKS, 5)
    assert found.shape == (30,)
    assert found == pytest.approx(0.05 * (1.0 - ACCURACY), rel=0.01)
    assert made().gains(ACCURACY, WORKS, 20).tolist() == found.tolist()
    assert set(made().exponents(ACCURACY).values()) == {0.0}


@pytest.mark.parametrize("powers", [(-0.4, 0.3, 0.5), (0.2, -0.2, 0.0), (0.0, 0.6, -0.3)])
def test_exponents_are_found_again(powers: tuple[float, float, float]) -> None:
    found = taught(made(), powers).exponents(ACCURACY)
    assert list(found) == ["batch_size", "epochs", "clients_per_round"]
    assert list(found.values()) == pytest.approx(powers, abs=0.1)


def test_gains_are_found_again() -> None:
    powers = (-0.4, 0.3, 0.5)
    own = taught(made(), powers)
    for clients in (1, 10, 20):
        expected = [worth([work] * clients, powers) for work in WORKS]
        found = own.gains(ACCURACY, WORKS, clients)
        assert (found > 0.0).all()
        assert np.corrcoef(np.log(found), np.log(expected))[0, 1] > 0.97
        assert np.median(np.abs(np.log(found / expected))) < 0.15


def test_gains_shrink_with_the_error_that_is_left() -> None:
    own, rng = made(), np.random.default_rng(2)
    for number in range(120):
        accuracy = 0.1 + 0.8 * (number % 12) / 11
        own.learn(accuracy, [(8, 5)] * 5, 0.2 * (1.0 - accuracy) ** 2 + rng.normal(0.0, 0.002))
    found = [float(own.gains(accuracy, [(8, 5)], 5)[0]) for accuracy in (0.2, 0.5, 0.8)]
    expected = [0.2 * (1.0 - accuracy) ** 2 for accuracy in (0.2, 0.5, 0.8)]
    assert found == pytest.approx(expected, rel=0.2)


def test_exponents_may_change_along_the_way() -> None:
    own, rng = made(0.002), np.random.default_rng(3)
    for number, work in enumerate(drawn(rng, 300)):
        accuracy = (0.1, 0.5, 0.9)[number % 3]
        power = 0.4 + 0.3 * log(1.0 - accuracy)  # more epochs help a bad model only
        own.learn(accuracy, work, worth(work, (0.0, power, 0.0)) + rng.normal(0.0, 0.002))
    early, late = (own.exponents(accuracy)["epochs"] for accuracy in (0.1, 0.9))
    assert early == pytest.approx(0.37, abs=0.1)
    assert late == pytest.approx(-0.29, abs=0.1)


@pytest.mark.parametrize("period", [1, 3])
def test_jumps_are_no_progress(period: int) -> None:
    # Each update is worth as much, whatever K. But a model that has just come of one client is worse by 0.15 than
    # the road it is on, which the next one of twenty makes good again.
    own, rng, k_before = made(), np.random.default_rng(5), 20
    for number in range(120):
        clients = 1 if number // period % 2 else 20
        jump = 0.15 * (log(clients) - log(k_before)) / log(20)
        own.learn(ACCURACY, [(8, 5)] * clients, 0.03 + jump + rng.normal(0.0, 0.005))
        k_before = clients
    few, many = (float(own.gains(ACCURACY, [(8, 5)], clients)[0]) for clients in (1, 20))
    assert few == pytest.approx(0.03, abs=0.01)
    assert many == pytest.approx(0.03, abs=0.01)


def test_slower_progress_of_few_clients_is_told_from_jumps() -> None:
    own, rng, k_before = made(), np.random.default_rng(5), 20
    for number in range(120):
        clients = 1 if number // 3 % 2 else 20
        jump = 0.15 * (log(clients) - log(k_before)) / log(20)
        gain = 0.02 if clients == 1 else 0.06
        own.learn(ACCURACY, [(8, 5)] * clients, gain + jump + rng.normal(0.0, 0.005))
        k_before = clients
    few, many = (float(own.gains(ACCURACY, [(8, 5)], clients)[0]) for clients in (1, 20))
    assert few == pytest.approx(0.02, abs=0.008)
    assert many == pytest.approx(0.06, abs=0.012)


def test_the_noisier_rounds_are_believed_to_be_the_less_they_say() -> None:
    powers = (0.0, 0.6, 0.0)
    sure, unsure = (
        taught(made(noise), powers, rounds=6).exponents(ACCURACY)["epochs"] for noise in (0.01, 1.0)
    )
    assert abs(unsure) < 0.05
    assert sure > unsure + 0.2


def test_a_round_without_updates_says_nothing() -> None:
    own = made()
    own.learn(ACCURACY, [], 0.3)
    assert len(own) == 0
    assert own.gains(ACCURACY, WORKS, 5).tolist() == made().gains(ACCURACY, WORKS, 5).tolist()


def test_an_accuracy_that_nobody_knows_is_that_of_a_model_that_knows_nothing() -> None:
    own, told = made(), made()
    for work in drawn(np.random.default_rng(4), 20):
        own.learn(nan, work, worth(work, (-0.4, 0.3, 0.5)))
        told.learn(0.0, work, worth(work, (-0.4, 0.3, 0.5)))
    found = own.gains(nan, WORKS, 5)
    assert np.isfinite(found).all()
    assert found.tolist() == told.gains(0.0, WORKS, 5).tolist()
    assert own.exponents(nan) == told.exponents(0.0)


def test_a_perfect_model_can_be_asked_about() -> None:
    own = taught(made(), (0.0, 0.3, 0.0), rounds=10)
    assert np.isfinite(own.gains(1.0, WORKS, 5)).all()


def test_losses_keep_gains_positive() -> None:
    own = made()
    for work in drawn(np.random.default_rng(6), 40):
        own.learn(ACCURACY, work, -0.1)
    found = own.gains(ACCURACY, WORKS, 5)
    assert (found > 0.0).all()
    assert (found < 0.01).all()


def test_what_is_long_past_is_forgotten() -> None:
    own, fresh, rng = made(), made(), np.random.default_rng(8)
    for work in drawn(rng, 30):
        own.learn(ACCURACY, work, worth(work, (0.5, 0.5, 0.5)))
    for work in drawn(rng, _KEPT):
        gain = worth(work, (0.0, 0.3, 0.0)) + rng.normal(0.0, 0.01)
        own.learn(ACCURACY, work, gain)
        fresh.learn(ACCURACY, work, gain)
    assert len(own) == len(fresh) == _KEPT == 500
    assert own.gains(ACCURACY, WORKS, 5) == pytest.approx(fresh.gains(ACCURACY, WORKS, 5), rel=0.01)


def again(own: WorkProgress, folder: Path) -> WorkProgress:
    file = folder / "progress.json"
    file.write_text(dump_state(own.state_dict()))
    other = made()
    other.load_state_dict(load_state(file))
    return other


def test_what_was_learned_goes_through_a_file(tmp_path: Path) -> None:
    own = taught(made(), (-0.4, 0.3, 0.5), rounds=40)
    own.gains(ACCURACY, WORKS, 5)
    other = again(own, tmp_path)
    assert len(other) == 40
    for accuracy in (0.2, nan):
        found = other.gains(accuracy, WORKS, 5)
        assert found.tolist() == own.gains(accuracy, WORKS, 5).tolist()
    assert other.exponents(0.2) == own.exponents(0.2)
    assert dump_state(other.state_dict()) == dump_state(own.state_dict())


def test_the_last_round_before_a_file_is_written_counts(tmp_path: Path) -> None:
    own = taught(made(), (-0.4, 0.3, 0.5), rounds=3)  # nobody has asked since
    other = again(own, tmp_path)
    found, expected = other.gains(ACCURACY, WORKS, 5), own.gains(ACCURACY, WORKS, 5)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_new_job_begins_without_a_jump(tmp_path: Path) -> None:
    own, rng, k_before = made(), np.random.default_rng(5), 20
    for number in range(60):
        clients = 1 if number % 2 else 20
        jump = 0.15 * (log(clients) - log(k_before)) / log(20)
        own.learn(ACCURACY, [(8, 5)] * clients, 0.03 + jump + rng.normal(0.0, 0.005))
        k_before = clients
    own.gains(ACCURACY, WORKS, 5)
    other = again(own, tmp_path)
    other.learn(ACCURACY, [(8, 5)] * 20, 0.03)  # after one of K = 1 in the job before
    assert float(other.gains(ACCURACY, [(8, 5)], 20)[0]) == pytest.approx(0.03, abs=0.01)
    assert other._rows[-1][4:7] == [0.0, 0.0, 0.0]
