"""Plots of federated jobs show what the tables say."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from edgesim import plots
from edgesim.core.errors import EdgesimError
from edgesim.results.result import Result
from edgesim.scenario.run import run

mpl.use("Agg")

SMALL: dict[str, Any] = {
    "phones.high.count": 6,
    "phones.mid.count": 14,
    "phones.low.count": 20,
    "jobs.digits.model": "mlp",
    "jobs.digits.dropout": 0.3,
    "jobs.digits.stop": {"rounds": 6},
}


@pytest.fixture(scope="module")
def result() -> Result:
    return run("federated_digits", overrides=SMALL)


@pytest.mark.parametrize("what", ["rounds", "seconds", "ledger", "local", "global"])
def test_accuracy_over_whatever_was_spent(what: str, result: Result) -> None:
    ax = plots.accuracy_over(result, what)  # type: ignore[arg-type]
    (line,) = ax.get_lines()
    assert line.get_ydata() == pytest.approx(100 * result.rounds.accuracy.to_numpy())
    x = np.asarray(line.get_xdata(), float)
    assert (np.diff(x) > 0).all()
    if what == "ledger":
        assert x[-1] == pytest.approx(result.rounds.energy_ledger_j.sum())


def test_bars_of_a_round_add_up_to_its_ledger(result: Result) -> None:
    ax = plots.energy_per_round(result)
    heights: dict[int, float] = {}
    for bar in ax.patches:
        number = round(bar.get_x() + bar.get_width() / 2)  # type: ignore[attr-defined]
        heights[number] = heights.get(number, 0.0) + bar.get_height()  # type: ignore[attr-defined]
    ledger = result.rounds.set_index("round").energy_ledger_j.to_dict()
    assert heights == pytest.approx(ledger)


def test_bars_of_a_profile_are_its_phases(result: Result) -> None:
    ax = plots.energy_by_profile(result)
    total = sum(bar.get_height() for bar in ax.patches)  # type: ignore[attr-defined]
    means = result.participants.groupby("profile").energy_j.mean()
    assert total == pytest.approx(means.sum())


def test_the_timeline_of_a_round_has_everybodys_phases(result: Result) -> None:
    ax = plots.client_timeline(result, 2)
    rows = result.participants[result.participants["round"] == 2]
    seconds = rows[["download_s", "training_s", "upload_s"]].fillna(0.0).to_numpy().sum()
    assert sum(b.get_width() for b in ax.patches) == pytest.approx(seconds)  # type: ignore[attr-defined]
    assert len(ax.get_yticks()) == len(rows)
    lost = rows.status[rows.status != "done"].str.removeprefix("failed:").tolist()
    assert sorted(text.get_text().strip() for text in ax.texts) == sorted(lost)


def test_what_cannot_be_drawn_is_said(result: Result) -> None:
    with pytest.raises(EdgesimError, match="there is no round 99; there are 6"):
        plots.client_timeline(result, 99)
    with pytest.raises(EdgesimError, match="no federated job 'nothing'"):
        plots.energy_per_round(result, job="nothing")
    with pytest.raises(EdgesimError, match="did you mean 'seconds'"):
        plots.accuracy_over(result, "second")  # type: ignore[arg-type]
    timing = run("federated_digits", overrides={**SMALL, "jobs.digits.mode": "timing_only"})
    with pytest.raises(EdgesimError, match="nothing was trained"):
        plots.accuracy_over(timing)
