"""What jobs learn by: the fitted curve, call by call."""

from __future__ import annotations

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.learning.curves import FACTORS, CurveFit, LearningCurve, RoundRecord
from edgesim.learning.program import LocalProgram
from edgesim.workloads.learners import Fitted

LABELS = np.array([[20, 0], [0, 20], [10, 10], [20, 0]])
PROGRAM = LocalProgram(0.1, batch_size=5, epochs=4)


def learner(**effects: float) -> tuple[Fitted, LearningCurve]:
    every = {**dict.fromkeys(FACTORS, 0.0), **effects}
    curve = LearningCurve(0.1, 0.9, 0.05, 1.0, every, CurveFit(1, 1, 0.01, 0.01, ()))
    return Fitted(curve, LABELS), curve


def expected(curve: LearningCurve, *rounds: tuple[float, float, float, float]) -> float:
    """Accuracy after rounds of so many epochs, updates, share kept and client skew."""
    progress = sum(
        curve.progress(RoundRecord(5, epochs, updates, kept, skew, 0.0, float("nan")))
        for epochs, updates, kept, skew in rounds
    )
    return curve.accuracy(progress)


def test_a_round_goes_on_by_the_curve() -> None:
    fitted, curve = learner(epochs=0.5, updates=0.7)
    assert fitted.first().score.accuracy == pytest.approx(0.1)
    tickets = [fitted.begin(client, 1, PROGRAM, corrects=False).ticket for client in (1, 2)]
    assert fitted.conclude(tickets).score.accuracy == pytest.approx(expected(curve, (4, 2, 1, 0)))


def test_only_the_share_of_its_own_round_counts_as_lost() -> None:
    fitted, curve = learner(kept_share=0.8)
    for client in (0, 1):  # a round of which nothing came
        fitted.withdraw(fitted.begin(client, 1, PROGRAM, corrects=False).ticket)
    assert not fitted.conclude([]).is_new
    tickets = [fitted.begin(client, 2, PROGRAM, corrects=False).ticket for client in range(4)]
    fitted.withdraw(tickets.pop())
    assert fitted.conclude(tickets).score.accuracy == pytest.approx(
        expected(curve, (4, 3, 0.75, 0))
    )
    whole, _ = learner(kept_share=0.8)
    tickets = [whole.begin(client, 2, PROGRAM, corrects=False).ticket for client in range(3)]
    assert whole.conclude(tickets).score.accuracy > expected(curve, (4, 3, 0.75, 0))


def test_a_client_that_was_cut_short_did_fewer_epochs() -> None:
    fitted, curve = learner(epochs=1.0)
    tickets = [fitted.begin(client, 1, PROGRAM, corrects=False).ticket for client in (1, 2)]
    fitted.shorten(tickets[0], 6)  # of 16: one and a half of four epochs
    score = fitted.conclude(tickets).score
    assert score.accuracy == pytest.approx(expected(curve, ((1.5 + 4) / 2, 2, 1, 0)))


def test_clients_with_few_labels_slow_it_down() -> None:
    fitted, curve = learner(client_skew=2.0)
    ticket = fitted.begin(1, 1, PROGRAM, corrects=False).ticket
    # Labels of all are 50 and 30; those of the client 0 and 20.
    assert fitted.conclude([ticket]).score.accuracy == pytest.approx(
        expected(curve, (4, 1, 1, 50 / 80))
    )


def test_curves_are_of_rounds() -> None:
    fitted, _ = learner()
    with pytest.raises(EdgesimError, match="synchronous jobs only"):
        fitted.receive(fitted.begin(0, 1, PROGRAM, corrects=False).ticket)
