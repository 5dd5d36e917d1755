from pathlib import Path

import pytest

from edgesim.core.errors import ConfigError
from edgesim.sweep.plan import make_plan, parse_seeds, parse_vary


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("offloading=cloud", "offloading", ["cloud"]),
        ("offloading=cloud, oracle", "offloading", ["cloud", "oracle"]),
        ("phones.*.count=1,10", "phones.*.count", ["1", "10"]),
        ("x=[1,2],{a: 1, b: 2}", "x", ["[1,2]", "{a: 1, b: 2}"]),
        ("x='a,b',c", "x", ["'a,b'", "c"]),
        ("a.b=k=v,w", "a.b", ["k=v", "w"]),
    ],
)
def test_what_is_varied_is_read(text: str, key: str, values: list[str]) -> None:
    assert parse_vary(text) == (key, values)


@pytest.mark.parametrize("text", ["", "offloading", "=cloud", "offloading=", "offloading=cloud,,x"])
def test_what_is_not_of_that_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--vary"):
        parse_vary(text)


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("3", [3]), ("0-4", [0, 1, 2, 3, 4]), ("7,1-2,2", [7, 1, 2]), ("5-5", [5])],
)
def test_seeds_are_read(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "4-0", "-1", "a", "1-", "0-999999999999"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--seeds"):
        parse_seeds(text)


def test_every_combination_is_a_cell_and_seeds_come_together() -> None:
    vary = {"offloading": ["cloud", "oracle"], "duration_s": [10, 20]}
    plan = make_plan("quickstart", vary, [0, 1])
    assert [(c.labels["offloading"], c.labels["duration_s"], c.seed) for c in plan.cells] == [
        (controller, duration, seed)
        for controller in ("cloud", "oracle")
        for duration in ("10", "20")
        for seed in (0, 1)
    ]
    assert plan.cells[5].name == "offloading=oracle,duration_s=10,seed=1"
    loaded = plan.cells[7].load("quickstart")
    assert loaded.scenario.duration_s == 20
    assert loaded.scenario.seed == 1
    assert loaded.scenario.controllers == {"offloading": "oracle"}


def test_axes_that_nobody_chose_are_swept_and_so_is_what_the_scenario_compares() -> None:
    plan = make_plan("autoscale", {"duration_s": [10, 20]})
    assert [d.key for d in plan.dimensions] == ["duration_s", "offloading", "environment"]
    assert len(plan.cells) == 2 * 6 * 9
    chosen = make_plan(
        "autoscale", {"environment": ["S1", "S4"]}, controllers={"offloading": "cloud"}
    )
    assert len(chosen.cells) == 2
    fixed = make_plan("autoscale", {"offloading": ["cloud"]}, overrides=[("environment", "D3")])
    assert [cell.load("autoscale").case for cell in fixed.cells] == [{"environment": "D3"}]


def test_without_seeds_it_is_that_of_the_scenario() -> None:
    assert make_plan("quickstart", {"offloading": ["cloud"]}).seeds == (1,)


def test_a_name_of_a_folder_is_safe_and_different_for_different_values() -> None:
    vary = {"phones.mi_8_pro.rssi_dbm": [-60, "{kind: constant, value: -60}", "a/../b" * 60]}
    with pytest.raises(ConfigError):
        make_plan("quickstart", vary, overrides=[("controllers.offloading", "cloud")])
    vary = {"phones.mi_8_pro.rssi_dbm": [-60, "{kind: constant, value: -60}"]}
    plan = make_plan("quickstart", {"offloading": ["cloud"], **vary})
    names = [cell.name for cell in plan.cells]
    assert len(set(names)) == 2
    assert all("/" not in name and " " not in name for name in names)


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"offloading": ["clowd"]}, "did you mean 'cloud'"),
        ({"offloading": []}, "has no values"),
        ({"offloading": ["cloud", "cloud"]}, "has cloud twice"),
        ({"offloading": ["cloud"], "durationn_s": [1]}, "durationn_s"),
        ({"offloading": ["cloud"], "seed": [1]}, "--seeds"),
        ({"offloading": ["cloud"], "duration_s": [-5]}, "duration_s"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    vary: dict[str, list[object]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan("quickstart", vary)


def test_what_is_varied_cannot_be_set_as_well() -> None:
    with pytest.raises(ConfigError, match="also set to one value"):
        make_plan("quickstart", {"duration_s": [1, 2]}, overrides=[("duration_s", 3)])


def test_an_unknown_point_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"environment has no point 'S9'"):
        make_plan("autoscale", {"offloading": ["cloud"], "environment": ["S1", "S9"]})


def test_a_scenario_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        make_plan(tmp_path / "none.yaml", {"offloading": ["cloud"]})
