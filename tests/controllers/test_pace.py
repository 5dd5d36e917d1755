"""What an honest predictor makes of past rounds."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from edgesim.controllers.federated import ParticipantOutcome, Reports, TrainingTarget
from edgesim.controllers.pace import Pace, promised_transfer_s

DEVICES = [f"phone_{k}" for k in range(10)]
EVERYBODY = np.arange(10)
TARGET = TrainingTarget("cpu", 3)


def took(client: int, training_s: float, *, status: str = "done") -> ParticipantOutcome:
    is_done = status == "done"
    return ParticipantOutcome(
        client,
        TARGET,
        status,
        training_s + 1.0 if is_done else nan,
        0.5,
        training_s,
        0.4 if is_done else 0.0,
        1.0,
        1.0,
        0.1,
        nan,
        10,
        1,
    )


def predicted(pace: Pace, promised_s: float = 2.0) -> np.ndarray:
    own = pace.device_factors(DEVICES, EVERYBODY)
    return promised_s * pace.training_factors("tier", [TARGET])[0] * own


def test_a_promise_is_believed_at_first() -> None:
    assert predicted(Pace(1.0)).tolist() == [2.0] * 10


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_tiers_and_devices_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.exp(0.3 * rng.normal(size=10))
    pace = Pace(0.0)
    for _ in range(60):
        for client in rng.choice(8, 4, replace=False).tolist():  # two are never seen
            training_s = 2.0 * 1.5 * truth[client] * np.exp(0.05 * rng.normal())
            pace.learn(DEVICES[client], "tier", took(client, training_s), 2.0, 1.0, is_bad=False)
    found = predicted(pace)
    assert found[:8] == pytest.approx(3.0 * truth[:8], rel=0.25)
    assert np.corrcoef(found[:8], truth[:8])[0, 1] > 0.98
    # Of those never seen the tier's pace is expected, not more caution than of others.
    assert found[8] == found[9]
    assert np.exp(np.log(found[:8]).mean()) == pytest.approx(found[8], rel=0.2)


def test_caution_is_about_rounds_of_one_device_not_about_others() -> None:
    found = []
    for noise in (0.0, 0.4):
        pace, rng = Pace(1.0), np.random.default_rng(1)
        for number in range(200):
            client = number % 10
            slow = 1.0 if client < 5 else 2.0
            training_s = 2.0 * slow * np.exp(noise * rng.normal())
            pace.learn(DEVICES[client], "tier", took(client, training_s), 2.0, 1.0, is_bad=False)
        found.append(predicted(pace))
    assert found[0][:5] == pytest.approx(2.0, rel=0.1)
    assert found[0][5:] == pytest.approx(4.0, rel=0.1)
    assert found[1].mean() > 1.2 * found[0].mean()


def test_who_was_cut_off_has_taken_at_least_so_long() -> None:
    pace = Pace(0.0)
    pace.learn(DEVICES[0], "tier", took(0, 1.0, status="late"), 2.0, 1.0, is_bad=False)
    assert predicted(pace).tolist() == [2.0] * 10  # says nothing: 2 s were promised
    for _ in range(5):
        pace.learn(DEVICES[0], "tier", took(0, 5.0, status="late"), 2.0, 1.0, is_bad=False)
    assert predicted(pace)[0] > 4.0


def test_it_goes_through_a_file() -> None:
    one, rng = Pace(1.0), np.random.default_rng(2)
    for number in range(50):
        client = number % 10
        outcome = took(client, float(2.0 * np.exp(0.2 * rng.normal())))
        one.learn(DEVICES[client], "tier", outcome, 2.0, 0.9, is_bad=bool(number % 2))
    other = Pace(1.0)
    other.load_state_dict(one.state_dict())
    assert predicted(other).tolist() == predicted(one).tolist()
    is_bad = np.array([True, False])
    assert other.transfer_factors(is_bad).tolist() == one.transfer_factors(is_bad).tolist()


def test_models_come_at_once_only_where_the_air_is_shared() -> None:
    n = np.array([1e6, 1e6, 0.0])
    reports = Reports(n, n, n * 0, n * 0, n * 0 + 0.1, np.array([1.0, 0.0, 0.0]))
    found = promised_transfer_s(reports, (1e5, 1e5), 5)
    assert found.tolist() == [pytest.approx(0.8 * 6 + 0.1), pytest.approx(0.8 * 2 + 0.1), inf]


def test_collecting_teaches_nothing_about_transfers_or_training() -> None:
    plain, collecting = Pace(0.0), Pace(0.0)
    for k in range(20):
        outcome = took(k % 10, 3.0)
        plain.learn(DEVICES[k % 10], "tier", outcome, 2.0, 0.5, is_bad=False)
        more = outcome._replace(duration_s=outcome.duration_s + 7.0, collect_s=7.0)
        collecting.learn(DEVICES[k % 10], "tier", more, 2.0, 0.5, is_bad=False)
    assert predicted(collecting).tolist() == predicted(plain).tolist()
    fine = np.array([False])
    assert collecting.transfer_factors(fine) == pytest.approx(plain.transfer_factors(fine))
    assert plain.transfer_factors(fine)[0] == pytest.approx(2.0)
