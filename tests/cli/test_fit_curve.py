"""``edgesim fit-curve``, and jobs that follow a curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgesim.cli.fitting import fit
from edgesim.core.errors import ConfigError, EdgesimError
from edgesim.scenario.curve_files import read_curve
from edgesim.scenario.run import run

SMALL: dict[str, Any] = {
    "phones.high.count": 6,
    "phones.mid.count": 14,
    "phones.low.count": 20,
    "jobs.digits.model": "mlp",
    "jobs.digits.stop": {"rounds": 15},
}


@pytest.fixture(scope="module")
def curve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    runs = []
    for epochs in (1, 5, 10):
        runs.append(folder / f"epochs-{epochs}")
        run("federated_digits", overrides={**SMALL, "jobs.digits.epochs": epochs}, out=runs[-1])
    fit(runs, folder / "curve.yaml", None)
    return folder / "curve.yaml"


def fitted(curve: Path, **changes: Any) -> dict[str, Any]:
    own = {f"jobs.digits.{key}": value for key, value in changes.items()}
    return {**SMALL, "jobs.digits.mode": "fitted", "jobs.digits.curve": str(curve), **own}


def test_a_curve_says_how_far_it_is_off_and_what_it_knows_nothing_of(curve: Path) -> None:
    found = read_curve(curve)
    assert found.fit.runs == 3
    assert found.fit.rounds == 45
    assert 0 < found.fit.rmse < 0.15
    assert {"batch_size", "updates", "kept_share"} <= set(found.fit.held)
    assert found.fit.ranges["epochs"] == (1.0, 10.0)


def test_a_job_follows_the_curve_and_says_so(curve: Path) -> None:
    result = run("federated_digits", overrides=fitted(curve, epochs=5))
    real = run("federated_digits", overrides={**SMALL, "jobs.digits.epochs": 5})
    summary = result.summary
    assert summary["accuracy_source"] == "fitted"
    assert summary["accuracy_rmse"] == read_curve(curve).fit.rmse
    difference = (result.rounds.accuracy - real.rounds.accuracy).abs()
    assert difference.mean() < 3 * read_curve(curve).fit.rmse
    # Seconds and joules are those of the trained run.
    assert result.rounds.duration_s.equals(real.rounds.duration_s)
    assert result.participants.energy_j.equals(real.participants.energy_j)


def test_lost_updates_slow_it_down(curve: Path) -> None:
    whole, half = (
        run("federated_digits", overrides=fitted(curve, dropout=share)) for share in (0.0, 0.6)
    )
    assert half.summary["updates_lost"] > 50
    assert half.rounds.cohort_skew.mean() > whole.rounds.cohort_skew.mean()


def test_what_cannot_be_fitted_is_said(curve: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgesimError, match="is there already"):
        fit([curve.parent / "epochs-1"], curve, None)
    with pytest.raises(EdgesimError, match="is not the folder of a run"):
        fit([tmp_path], tmp_path / "curve.yaml", None)
    timing = tmp_path / "timing"
    overrides = {**SMALL, "jobs.digits.mode": "timing_only"}
    run("federated_digits", overrides=overrides, out=timing)
    with pytest.raises(EdgesimError, match="was not really trained"):
        fit([timing], tmp_path / "curve.yaml", None)
    other = tmp_path / "other"
    run("federated_digits", overrides={**SMALL, "jobs.digits.model": "logistic"}, out=other)
    with pytest.raises(EdgesimError, match=r"digits with logistic, but .* digits with mlp"):
        fit([curve.parent / "epochs-1", other], tmp_path / "curve.yaml", None)
    with pytest.raises(EdgesimError, match="federated jobs: digits; name one"):
        fit([other], tmp_path / "curve.yaml", "nothing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curve": None}, "mode: fitted needs a curve"),
        ({"rounds": "asynchronous"}, "synchronous jobs only"),
        ({"curve": "nowhere.yaml"}, r"nowhere\.yaml.*cannot be read"),
    ],
)
def test_a_curve_that_cannot_serve(change: dict[str, Any], message: str, curve: Path) -> None:
    own = {f"jobs.digits.{key}": value for key, value in change.items()}
    with pytest.raises(ConfigError, match=message):
        run("federated_digits", overrides={**fitted(curve), **own})


def test_a_damaged_curve_is_placed(curve: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(curve.read_text().replace("limit: 0", "limit: 7"))
    with pytest.raises(ConfigError, match=r"broken\.yaml:5: limit: it should be less than"):
        run("federated_digits", overrides=fitted(broken))
