"""HeteroSwitch in whole runs: who switches, what it costs, and how it is refused what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from edgesim.cli.evenness import print_evenness
from edgesim.core.errors import ConfigError, EdgesimError
from edgesim.results.fairness import device_table, fairness, switching
from edgesim.results.result import Result
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run, run_loaded

SMALL = """\
name: small
seed: 3
duration_s: 86400
networks:
  home: {kind: wifi, bandwidth_mhz: 40, streams: 2}
sites:
  cloud: {server: xeon_e5_2640_p100, rtt_ms: 34}
phones:
  s9: {profile: galaxy_s9, count: 4, network: home, rssi_dbm: &signal {kind: gauss_markov, mean: -60, std: 6, step_s: 10, correlation_time_s: 60}}
  g7: {profile: lg_g7, count: 2, network: home, rssi_dbm: *signal}
  nexus: {profile: nexus_5x, count: 2, network: home, rssi_dbm: *signal}
jobs:
  photos:
    kind: federated
    site: cloud
    dataset: {name: photo_patches, parameters: {train_per_class: 16, test_per_class: 4, size: 8}}
    cameras: {}
    model: strided_cnn
    clients_per_round: 4
    batch_size: 5
    learning_rate: 0.1
    stop: {rounds: 8}
mismatch: {}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def results(file: Path) -> dict[str, Result]:
    names = ("sgd", "isp_transform", "isp_transform_swad", "heteroswitch", "random_switch")
    return {name: run(file, controllers={"local_training": name}) for name in names}


def seconds(result: Result) -> pd.Series:
    return result.participants.set_index(["round", "client"]).training_s


def test_who_switches_goes_by_the_loss_that_is_told(results: dict[str, Result]) -> None:
    rows = results["heteroswitch"].participants
    assert rows.initial_loss.notna().all()
    assert not rows[rows["round"] == 1].switched.any()
    later = rows[rows["round"] > 1]
    assert later.switched.any()
    mean = None
    for _number, own in rows.groupby("round"):
        wanted = pd.Series(False, own.index) if mean is None else own.initial_loss < mean
        assert (own.switched.astype(bool) == wanted).all()
        if mean is not None:
            assert (own.averaged.astype(bool) == (wanted & (own.loss < mean))).all()
        newest = own.loss.mean()
        mean = newest if mean is None else 0.9 * newest + 0.1 * mean


def test_tables_say_who_switched(results: dict[str, Result]) -> None:
    plain = results["sgd"].participants
    assert plain.initial_loss.isna().all()
    assert not plain[["switched", "averaged"]].any(axis=None)
    everybody = results["isp_transform"].participants
    assert everybody.switched.all()
    assert not everybody.averaged.any()
    assert everybody.initial_loss.isna().all()
    assert results["isp_transform_swad"].participants.averaged.all()
    assert "switched_ratio" not in results["sgd"].summary
    assert results["isp_transform"].summary["switched_ratio"] == 1.0


def test_cohorts_and_weather_are_those_of_plain_training(results: dict[str, Result]) -> None:
    columns = ["round", "client", "target", "samples"]
    for result in results.values():
        assert result.participants[columns].equals(results["sgd"].participants[columns])


def test_every_part_takes_time_and_energy(results: dict[str, Result]) -> None:
    plain, transform, both, hetero = (
        seconds(results[name])
        for name in ("sgd", "isp_transform", "isp_transform_swad", "heteroswitch")
    )
    assert (plain < transform).all()
    assert (transform < both).all()
    # Its first pass costs everybody, switched or not; switched ones pay for the rest, too.
    rows = results["heteroswitch"].participants.set_index(["round", "client"])
    is_on = rows.switched.astype(bool)
    assert (hetero > plain).all()
    assert (hetero[is_on] > both[is_on]).all()
    assert (
        results["heteroswitch"].summary["energy_ledger_j"]
        > (results["isp_transform_swad"].summary["energy_ledger_j"])
    )


def test_q_fedavg_pays_for_the_losses_that_it_asks_for(
    file: Path, results: dict[str, Result]
) -> None:
    found = run(file, controllers={"aggregation": "qfedavg"})
    rows = found.participants
    assert rows.initial_loss.notna().all()
    assert not rows.switched.any()
    assert (seconds(found) > seconds(results["sgd"])).all()


def test_partial_updates_are_means_of_what_was_done(file: Path) -> None:
    late = {"kind": "synchronous", "deadline_s": 0.05, "late": "partial"}
    overrides = {"jobs.photos.rounds": late, "jobs.photos.epochs": 200}
    found = run(file, controllers={"local_training": "isp_transform_swad"}, overrides=overrides)
    rows = found.participants
    partial = rows[rows.status == "partial"]
    assert len(partial)
    assert partial.averaged.all()
    assert (partial.steps < 4 * 200).all()


def test_evenness_beside_a_baseline(results: dict[str, Result]) -> None:
    table = fairness(results, "sgd", last=2)
    shares = device_table(results, last=2)
    assert list(shares.index) == ["galaxy_s9", "lg_g7", "nexus_5x"]
    rows = results["heteroswitch"].evaluations
    rows = rows[rows["round"].isin([7, 8]) & (rows.group == "device lg_g7")]
    assert shares.heteroswitch["lg_g7"] == pytest.approx(rows.accuracy.mean())
    own, base = 100 * shares.heteroswitch, 100 * shares.sgd
    found = table.loc["heteroswitch"]
    assert found["mean"] == pytest.approx(own.mean())
    assert found.worst == pytest.approx(own.min())
    assert found.variance == pytest.approx(((own - own.mean()) ** 2).mean())
    outlier = (own - own.mean()).abs().idxmax()
    assert found.variance_but_one == pytest.approx(own.drop(outlier).var(ddof=0))
    assert found.gain_worst == pytest.approx(own[base.idxmin()] - base.min())
    assert found.gained == (own > base).sum()
    assert found.mean_change == pytest.approx(100 * (own.mean() / base.mean() - 1))
    more_j = (
        results["heteroswitch"].summary["energy_ledger_j"]
        - results["sgd"].summary["energy_ledger_j"]
    )
    assert found.joules == pytest.approx(more_j)
    removed = base.var(ddof=0) - own.var(ddof=0)
    if removed > 0:
        assert found.joules_per_pp2 == pytest.approx(more_j / removed)
    else:
        assert pd.isna(found.joules_per_pp2)
    assert table.loc["sgd", ["joules", "seconds", "variance_change"]].eq(0).all()


def test_what_cannot_be_compared_is_said(results: dict[str, Result], file: Path) -> None:
    with pytest.raises(EdgesimError, match="there is no result 'sgdd'; did you mean 'sgd'"):
        fairness(results, "sgdd")
    changes: list[tuple[str, Any]] = [
        ("jobs.photos.cameras", None),
        ("jobs.photos.stop.rounds", 1),
    ]
    plain = run_loaded(load_scenario(file, changes, {}))
    with pytest.raises(EdgesimError, match="plain: its model was not judged by type of device"):
        fairness({**results, "plain": plain}, "sgd")


def test_switches_by_type(results: dict[str, Result]) -> None:
    rows = results["heteroswitch"].participants
    found = switching(rows)
    assert list(found.index) == ["galaxy_s9", "lg_g7", "nexus_5x"]
    assert found.participations.sum() == len(rows)
    own = rows[rows.profile == "lg_g7"]
    assert found.switched["lg_g7"] == pytest.approx(own.switched.astype(float).mean())
    assert found.averaged["lg_g7"] == pytest.approx(own.averaged.astype(float).mean())


# --- what it cannot do ---------------------------------------------------------------------------


def refusal(file: Path, changes: dict[str, Any], controller: str = "heteroswitch") -> str:
    loaded = load_scenario(file, list(changes.items()), {"local_training": controller})
    with pytest.raises(ConfigError) as caught:
        run_loaded(loaded)
    return str(caught.value)


@pytest.mark.parametrize("controller", ["heteroswitch", "isp_transform", "random_switch"])
def test_inputs_that_are_no_colour_pictures(file: Path, controller: str) -> None:
    changes = {"jobs.photos.dataset": "digits", "jobs.photos.cameras": None}
    changes["jobs.photos.model"] = "mlp"
    message = refusal(file, changes, controller)
    assert "small.yaml" in message
    assert "jobs.photos.controllers.local_training" in message
    assert "cannot learn from 'digits'" in message
    assert "colour pictures of shape (n, 3, height, width)" in message


def test_averaging_alone_is_for_any_inputs(file: Path) -> None:
    changes: list[tuple[str, Any]] = [
        ("jobs.photos.dataset", "digits"),
        ("jobs.photos.cameras", None),
        ("jobs.photos.model", "mlp"),
        ("jobs.photos.stop.rounds", 2),
        ("settings.isp_transform_swad", {"white_balance": 0, "gamma": 0}),
    ]
    loaded = load_scenario(file, changes, {"local_training": "isp_transform_swad"})
    assert run_loaded(loaded).participants.averaged.all()


@pytest.mark.parametrize(
    "changes",
    [
        {"jobs.photos.cameras": None},
        {"jobs.photos.phones": ["s9"]},
        {"phones.g7.profile": "galaxy_s9", "phones.nexus.profile": "galaxy_s9"},
        {"jobs.photos.phones": ["s9"], "jobs.photos.cameras": {"held_out": ["lg_g7"]}},
    ],
)
def test_fewer_than_two_types_of_device(file: Path, changes: dict[str, Any]) -> None:
    message = refusal(file, changes)
    assert "all clients' samples are of one type" in message
    assert "add 'cameras: {}' and phones of at least two profiles" in message


def test_nothing_to_go_by_where_nothing_is_trained(file: Path) -> None:
    changes = {"jobs.photos.mode": "timing_only", "jobs.photos.cameras": None}
    assert "goes by losses, which mode 'timing_only' does not have" in refusal(file, changes)


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ({"gamma": 1.5}, "settings.heteroswitch.gamma"),
        ({"white_balance": -1}, "settings.heteroswitch.white_balance"),
        ({"alpha": 2}, "settings.heteroswitch.alpha"),
        ({"drawn_per": "pixel"}, "settings.heteroswitch.drawn_per"),
        ({"gama": 0.5}, "settings.heteroswitch.gama"),
    ],
)
def test_parameters_out_of_range_name_line_and_key(
    tmp_path: Path, setting: dict[str, Any], key: str
) -> None:
    path = tmp_path / "small.yaml"
    (name, value), *_ = setting.items()
    path.write_text(SMALL + f"settings:\n  heteroswitch:\n    {name}: {value}\n", encoding="utf-8")
    with pytest.raises(EdgesimError) as caught:
        load_scenario(path, [], {"local_training": "heteroswitch"})
    line = 1 + SMALL.count("\n") + 2
    assert f"small.yaml:{line}: {key}" in str(caught.value)


# --- what is shown of it -------------------------------------------------------------------------


def test_the_variance_over_rounds_is_drawn(results: dict[str, Result]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from edgesim import plots

    ax = plots.device_variance_over({name: results[name] for name in ("sgd", "heteroswitch")})
    assert [line.get_label() for line in ax.lines] == ["sgd", "heteroswitch"]
    rows = results["heteroswitch"].evaluations
    rows = rows[rows.group.str.startswith("device ")]
    wanted = rows.groupby("round").accuracy.agg(lambda each: np.var(100 * each.to_numpy()))
    np.testing.assert_allclose(ax.lines[1].get_xydata()[:, 1], wanted)  # type: ignore[index]
    plt.close("all")


def test_a_run_ends_with_bars_by_device_and_the_variance(results: dict[str, Result]) -> None:
    console = Console(record=True, width=90)
    print_evenness(console, {name: results[name] for name in ("sgd", "heteroswitch")}, "photos")
    text = console.export_text()
    summary = results["heteroswitch"].summary
    own = device_table(results).heteroswitch["nexus_5x"]
    (bars,) = [line for line in text.splitlines() if "nexus_5x" in line]
    assert f"{100 * own:.1f} █" in bars
    (row,) = [line for line in text.splitlines() if line.lstrip().startswith("heteroswitch")]
    assert f"{summary['device_accuracy_variance_pp2']:.1f}" in row
    assert f"{100 * summary['switched_ratio']:.1f}" in row
    assert set(row.split()[-1]) <= set("▁▂▃▄▅▆▇█")


def test_a_run_that_is_not_judged_by_device_shows_nothing_of_it(file: Path) -> None:
    changes: list[tuple[str, Any]] = [
        ("jobs.photos.cameras", None),
        ("jobs.photos.stop.rounds", 1),
    ]
    found = run_loaded(load_scenario(file, changes, {}))
    console = Console(record=True, width=90)
    print_evenness(console, {"sgd": found}, "photos")
    assert console.export_text() == ""
