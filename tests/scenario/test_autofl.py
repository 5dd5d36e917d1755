"""AutoFL in jobs: reports of phones, tables kept from earlier jobs, what it may not do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.controllers.learned import dump_state, load_state
from edgesim.core.errors import ConfigError
from edgesim.core.recorder import Recorder
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run, run_loaded
from edgesim.scenario.training import train
from edgesim.scenario.world import World

JOB = "jobs.digits."
SHORT: dict[str, Any] = {f"{JOB}stop": {"rounds": 12}, f"{JOB}epochs": 5}


def short(controllers: dict[str, str] | None = None, **more: Any) -> Any:
    return load_scenario("autofl_small", list({**SHORT, **more}.items()), controllers)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"phones.low.rssi_dbm": -89},
        {
            "phones.low.network": None,
            "phones.low.rssi_dbm": None,
            "phones.low.networks": {"home": {"rssi_dbm": -60}},
        },
    ],
)
def test_reports_of_many_are_those_of_each(changes: dict[str, Any]) -> None:
    world = World(
        load_scenario("autofl_small", list(changes.items()), {"selection": "random"}),
        Recorder(None, []),
    )
    (job,) = world.federated.values()
    clients = job._clients
    for time_s in (0.0, 0.7, 2.0):
        world.clock.run_until(time_s)
        asked = np.arange(0, len(clients), 3)
        reports = clients.reports(asked)
        for place, client in enumerate(asked.tolist()):
            one = clients.conditions(client)
            rates = (0.0, 0.0) if one.link is None else one.link[:2]
            found = (reports.up_bps[place], reports.down_bps[place])
            assert found == rates
            assert (reports.co_cpu[place], reports.co_mem[place]) == (one.co_cpu, one.co_mem)
            if one.link is not None:
                assert reports.rtt_s[place] == one.rtt_s


def test_tables_are_kept_from_one_job_to_the_next(tmp_path: Path) -> None:
    loaded = short()
    learned = train(loaded)
    assert learned["training"]["jobs"] == 2
    assert learned["training"]["rounds"] == 24
    assert learned["training"]["energy_j"] > 0
    (seat,) = set(learned) - {"training"}
    assert learned[seat]["rounds"] == 24
    result = run_loaded(loaded, out=tmp_path / "run")
    assert result.manifest["training"]["rounds"] == 24
    state = load_state(tmp_path / "run" / "learned.json")
    assert state[seat]["rounds"] == 36
    assert set(result.manifest["tables_bytes"][seat]) == {"autofl_high", "autofl_mid", "autofl_low"}
    # Once more from the cache: the same bytes.
    for number in range(2):
        again = run_loaded(loaded, out=tmp_path / f"again{number}", learned=tmp_path / "cache")
        assert again.rounds.equals(result.rounds)
        assert again.decisions.equals(result.decisions)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["training"]["jobs"] == 2


def test_earlier_jobs_have_seeds_of_their_own() -> None:
    one, other = (train(short(seed=seed)) for seed in (1, 2))
    assert one["training"] != other["training"]
    assert dump_state(one) == dump_state(train(short(seed=1)))


def test_earlier_jobs_are_on_the_same_phones() -> None:
    worlds = [
        World(short(seed=seed), Recorder(None, []), phones_seed=phones_seed)
        for seed, phones_seed in ((1, None), (2, 1), (2, None))
    ]
    slower = [[w.fleet.phone(row)._truth.slower for row in (0, 20, 59)] for w in worlds]
    assert slower[0] == slower[1] != slower[2]


def test_frozen_tables_stay(tmp_path: Path) -> None:
    loaded = short(training={"kind": "earlier_jobs", "jobs": 1, "is_frozen": True})
    learned = train(loaded)
    (seat,) = set(learned) - {"training"}
    run_loaded(loaded, out=tmp_path / "run")
    tiers = load_state(tmp_path / "run" / "learned.json")[seat]["tiers"]
    assert dump_state(tiers) == dump_state(learned[seat]["tiers"])


def test_a_table_of_an_earlier_run_can_be_named(tmp_path: Path) -> None:
    run("autofl_small", overrides={**SHORT, "training": None}, out=tmp_path / "first")
    table = str(tmp_path / "first" / "learned.json")
    result = run(
        "autofl_small",
        overrides={
            **SHORT,
            "training": None,
            f"{JOB}batch_size": 16,
            "settings.autofl.table": table,
            "settings.autofl.transfer": True,
        },
        out=tmp_path / "second",
    )
    assert len(result.rounds) == 12
    state = load_state(tmp_path / "second" / "learned.json")
    (own,) = [each for seat, each in state.items() if seat != "training"]
    assert own["rounds"] == 24
    assert all(len(tier["values"]) == 2 for tier in own["tiers"].values())


def test_every_decision_has_its_reward(tmp_path: Path) -> None:
    result = run("autofl_small", overrides={**SHORT, "training": None})
    rows = result.decisions[result.decisions.slot == "selection"]
    assert rows.reward.notna().all()
    assert len(rows) == len(result.participants)


def test_selection_does_not_change_the_weather_under_autofl() -> None:
    wide = {"training": None, "jobs.digits.clients_per_round": 40}
    results = [
        run("autofl_small", controllers={"selection": name}, overrides={**SHORT, **wide})
        for name in ("autofl", "random")
    ]
    first = [r.participants[r.participants["round"] == 1].set_index("client") for r in results]
    both = first[0].index.intersection(first[1].index)
    assert len(both)
    assert first[0].co_cpu[both].equals(first[1].co_cpu[both])
    assert first[0].rssi_dbm[both].equals(first[1].rssi_dbm[both])


@pytest.mark.parametrize(
    ("scenario", "changes", "message"),
    [
        (
            "autofl_small",
            {f"{JOB}rounds": "asynchronous", f"{JOB}controllers": {"aggregation": "fedbuff"}},
            "learns from rounds, which an asynchronous job does not have",
        ),
        ("autofl_small", {"training": {"kind": "blocks"}}, "use earlier_jobs"),
        ("quickstart", {"training": {"kind": "earlier_jobs"}}, "of which there is none"),
        ("autofl_small", {"settings.autofl.alpha": -1}, "settings.autofl.alpha"),
        ("autofl_small", {"settings.autofl.is_frozen": True}, "is_frozen needs table"),
        ("autofl_small", {"settings.autofl.table": "none.json"}, "cannot be read"),
    ],
)
def test_what_it_may_not_do(scenario: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        World(load_scenario(scenario, list(changes.items())), Recorder(None, []))
