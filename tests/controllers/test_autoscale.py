from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from edgesim.controllers.autoscale import EDGES, FEATURES, AutoScale, dbscan_edges
from edgesim.controllers.learned import dump_state
from edgesim.controllers.slots import (
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Setting,
    Target,
)
from edgesim.core.errors import EdgesimError
from edgesim.hardware.catalogue import shipped
from edgesim.nn.zoo import ZOO

CPU = Option(Target("device", "cpu_big", "fp32"), "cpu", 0.7, 0.05, 0.2, 1e9)
GPU = Option(Target("device", "gpu", "fp16"), "gpu", 0.7, 0.03, 0.05, 1e9)
CLOUD = Option(Target("cloud", "gpu", "fp32"), "gpu", 0.7, 0.01, 0.01, 1e9)
OPTIONS = (CPU, GPU, CLOUD)


def seen(
    co_cpu: float = 0.0,
    rssi_dbm: float = -60.0,
    options: tuple[Option, ...] = OPTIONS,
    device: str = "phone",
    profile: str = "mi_8_pro",
) -> OffloadingObservation:
    return OffloadingObservation(
        0.0, "camera", device, profile, ZOO["mobilenet_v1"], 0.05, 0.5, "home", rssi_dbm, nan, None,
        None, co_cpu, 0.0, 1.0, False, nan, options, lambda _: True, None,
    )  # fmt: skip


def learner(
    options: tuple[Option, ...] = OPTIONS,
    folder: Path = Path(),
    job: str = "",
    profiles: tuple[str, ...] = ("mi_8_pro", "galaxy_s10e"),
    **parameters: Any,
) -> AutoScale:
    given = {"energy": "metered", "epsilon": 0.0, "dtype": "float64", **parameters}
    return AutoScale(
        Setting(
            job,
            "offloading",
            np.random.default_rng(1),
            AutoScale.Parameters.model_validate(given),
            {name: shipped().phone(name) for name in profiles},
            dict.fromkeys(profiles, options),
            folder=folder,
        )
    )


def done(energy_j: float, accuracy: float = 0.7) -> OffloadingOutcome:
    return OffloadingOutcome("done", 0.04, energy_j, True, accuracy)


WORTH_OF_200_MJ = -200 + 0.1 * 70
"""The reward of :func:`done` with 0.2 J: -E + beta A."""


def values(controller: AutoScale, key: str = "mi_8_pro") -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = controller.state_dict()["tables"][key]["values"]
    return found


# --- states --------------------------------------------------------------------------------------


def test_there_are_3072_states() -> None:
    assert np.prod([len(EDGES[name]) + 1 for name in FEATURES]) == 3072


def test_a_state_tells_apart_what_the_paper_tells_apart() -> None:
    one = learner()
    states = [one.state(seen(co_cpu)) for co_cpu in (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)]
    assert states[2] == states[3]
    assert states[4] == states[5]
    assert len(set(states)) == 4
    weak, at_the_edge, regular = (one.state(seen(0, dbm)) for dbm in (-81.0, -80.0, -79.9))
    assert weak == at_the_edge != regular
    assert one.state(seen(0, nan)) == weak


# --- deciding ------------------------------------------------------------------------------------


def test_it_takes_the_best_of_what_there_is() -> None:
    one = learner(initial=(0.0, 0.0))
    observation = seen()
    assert one.decide(observation) == CPU.target  # the first of equals
    one.learn(observation, CPU.target, done(0.2))
    assert one.decide(seen()) == GPU.target
    assert one.decide(seen(options=(CLOUD,))) == CLOUD.target


def test_it_explores_as_often_as_it_is_told_among_what_there_is() -> None:
    one = learner(initial=(0.0, 0.0), epsilon=0.25)
    explored = 0
    for _ in range(2000):
        observation = seen(options=(GPU, CLOUD))
        target = one.decide(observation)
        assert target != CPU.target
        lesson = one.learn(observation, target, done(0.0))
        assert lesson is not None
        explored += lesson.is_explored
    assert 0.22 < explored / 2000 < 0.28


# --- learning ------------------------------------------------------------------------------------


def test_without_a_discount_a_value_moves_towards_the_reward_at_once() -> None:
    one = learner(initial=(0.0, 0.0), discount=0.0, learning_rate=0.9)
    observation = seen()
    one.decide(observation)
    lesson = one.learn(observation, CPU.target, done(0.2))
    assert lesson is not None
    assert lesson.reward == pytest.approx(WORTH_OF_200_MJ)
    assert values(one)[one.state(observation), 0] == pytest.approx(0.9 * WORTH_OF_200_MJ)


def test_with_a_discount_it_waits_for_the_next_state() -> None:
    one = learner(initial=(-50.0, -50.0), discount=0.1, learning_rate=0.5)
    first = seen(0.0)
    one.decide(first)
    one.learn(first, CPU.target, done(0.2))
    assert values(one)[one.state(first), 0] == -50
    one.decide(seen(0.5))
    expected = -50 + 0.5 * (WORTH_OF_200_MJ + 0.1 * -50 - -50)
    assert values(one)[one.state(first), 0] == pytest.approx(expected)


def test_requests_of_a_phone_may_overlap() -> None:
    # The second is decided, and done, before the first is: each is learned from once.
    one = learner(initial=(-50.0, -50.0), discount=0.1, learning_rate=0.5)
    first, second, third = seen(0.0), seen(0.3), seen(0.8)
    one.decide(first)
    one.decide(second)
    one.learn(second, CPU.target, done(0.1))
    before = values(one).copy()
    one.learn(first, CPU.target, done(0.2))
    after = values(one).copy()
    changed = np.argwhere(before != after).tolist()
    assert changed == [[one.state(first), 0]]
    expected = -50 + 0.5 * (WORTH_OF_200_MJ + 0.1 * -50 - -50)
    assert after[one.state(first), 0] == pytest.approx(expected)
    one.decide(third)
    assert np.argwhere(values(one) != after).tolist() == [[one.state(second), 0]]


def test_the_next_state_is_that_of_the_same_phone() -> None:
    one = learner(initial=(-50.0, -50.0))
    first = seen(0.0, device="a")
    one.decide(first)
    one.learn(first, CPU.target, done(0.2))
    before = values(one).copy()
    one.decide(seen(0.5, device="b"))
    assert (values(one) == before).all()
    one.decide(seen(0.5, device="a"))
    assert (values(one) != before).any()


def test_phones_of_a_profile_share_a_table_or_have_each_their_own() -> None:
    for tables, keys in {"per_profile": 1, "per_device": 2}.items():
        one = learner(tables=tables)
        for device in ("a", "b"):
            one.decide(seen(device=device))
        assert len(one.memory()) == keys
        assert sum(one.memory().values()) == keys * 3072 * 3 * 8


def test_once_frozen_it_changes_no_more_and_explores_no_more() -> None:
    one = learner(epsilon=1.0)
    one.decide(seen())
    one.freeze()
    before = dump_state(one.state_dict())
    for k in range(20):
        observation = seen()
        target = one.decide(observation)
        lesson = one.learn(observation, target, done(0.1 * k))
        assert lesson is not None
        assert not lesson.is_explored
    assert dump_state(one.state_dict()) == before


# --- saved, loaded, carried over -----------------------------------------------------------------


def trained(options: tuple[Option, ...] = OPTIONS, job: str = "", **parameters: Any) -> AutoScale:
    one = learner(options, job=job, epsilon=0.3, **parameters)
    for k in range(200):
        observation = seen(0.1 * (k % 10), options=options)
        one.learn(observation, one.decide(observation), done(0.01 * (k % 7)))
    return one


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "learned.json").write_text(dump_state({"offloading": trained().state_dict()}))
    return tmp_path


def test_it_goes_on_as_if_it_had_never_stopped() -> None:
    one = trained(discount=0.0)  # with a discount, what waits for the next state is not saved
    again = learner(epsilon=0.3, discount=0.0)
    again.load_state_dict(one.state_dict())
    for k in range(100):
        decisions = []
        for each in (one, again):
            observation = seen(0.1 * (k % 10))
            decisions.append(each.decide(observation))
            if k:  # what was in flight when it was saved is not saved
                each.learn(observation, decisions[-1], done(0.01 * (k % 7)))
        assert decisions[0] == decisions[1]


def test_it_begins_with_the_table_of_an_earlier_run(folder: Path) -> None:
    alone = ("mi_8_pro",)
    one = learner(folder=folder, profiles=alone, table="learned.json", is_frozen=True)
    one.decide(seen())
    assert (values(one) == values(trained())).all()


def test_a_table_of_one_job_is_found_under_its_own_name(tmp_path: Path) -> None:
    own = trained(job="camera").state_dict()
    (tmp_path / "learned.json").write_text(dump_state({"camera.offloading": own}))
    one = learner(folder=tmp_path, job="camera", table="learned.json")
    one.decide(seen())
    assert (values(one) == values(trained())).all()
    with pytest.raises(EdgesimError, match="holds no tables for slot 'offloading'"):
        learner(folder=tmp_path, table="learned.json")


def test_a_table_that_knows_more_actions_serves_too(folder: Path) -> None:
    one = learner((CLOUD, CPU), folder, table="learned.json")
    one.decide(seen(options=(CLOUD, CPU)))
    assert (values(one) == values(trained())[:, [2, 0]]).all()


def test_a_table_for_another_action_space_is_refused_with_both_shapes(folder: Path) -> None:
    dsp = Option(Target("device", "dsp", "int8"), "dsp", 0.7, 0.01, 0.01, 1e9)
    with pytest.raises(EdgesimError, match=r"3072 x 3 .* 3072 x 4 .* no device/dsp/int8"):
        learner((*OPTIONS, dsp), folder, table="learned.json")
    with pytest.raises(EdgesimError, match=r"3072 x 3 .* 3072 x 3 .* no device/dsp/int8"):
        learner((CPU, GPU, dsp), folder, table="learned.json")


def test_a_table_with_other_bins_is_refused_with_both_shapes(folder: Path) -> None:
    table = pa.table({name: [0.0, 0.5, 0.5] for name in FEATURES[4:]})
    pq.write_table(table, folder / "requests.parquet")
    with pytest.raises(EdgesimError, match=r"3072 x 3 .* 192 x 3 .* other bins"):
        learner(folder=folder, table="learned.json", bins="dbscan", bins_from="requests.parquet")


def test_a_table_is_carried_over_to_another_phone_by_what_its_actions_are(folder: Path) -> None:
    # The same place, kind of processor and precision, whatever the processor is called.
    named_otherwise = CPU._replace(target=Target("device", "cpu_prime", "fp32"))
    new = Option(Target("device", "dsp", "int8"), "dsp", 0.7, 0.01, 0.01, 1e9)
    options = (CLOUD, new, named_otherwise)
    one = learner(options, folder, table="learned.json", transfer_from="mi_8_pro")
    other = learner(options)
    for each in (one, other):
        each.decide(seen(options=options, profile="galaxy_s10e"))
    found, source = values(one, "galaxy_s10e"), values(trained())
    assert (found[:, [0, 2]] == source[:, [2, 0]]).all()
    assert (found[:, 1] == values(other, "galaxy_s10e")[:, 1]).all()  # as drawn


def test_a_clock_becomes_the_nearest_relative_clock(folder: Path) -> None:
    def levels(*clocks_hz: float) -> tuple[Option, ...]:
        return tuple(
            CPU._replace(target=Target("device", "cpu", "fp32", k), frequency_hz=hz)
            for k, hz in enumerate(clocks_hz)
        )

    (folder / "other.json").write_text(
        dump_state({"offloading": trained(levels(1e9, 2e9)).state_dict()})
    )
    options = levels(0.5e9, 1.0e9, 2.5e9, 3e9)
    one = learner(options, folder, table="other.json", transfer_from="mi_8_pro")
    one.decide(seen(options=options))
    source = values(trained(levels(1e9, 2e9)))
    assert (values(one) == source[:, [0, 0, 1, 1]]).all()


def test_a_phone_of_which_there_is_no_table_is_named(folder: Path) -> None:
    with pytest.raises(EdgesimError, match=r"none for 'pixel_5'; they have mi_8_pro"):
        learner(folder=folder, table="learned.json", transfer_from="pixel_5")
    with pytest.raises(EdgesimError, match="none for 'galaxy_s10e'"):
        learner(folder=folder, table="learned.json", is_frozen=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"transfer_from": "mi_8_pro"}, "transfer_from needs table"),
        ({"is_frozen": True}, "is_frozen needs table"),
        ({"bins": "dbscan"}, "bins_from"),
        ({"bins_from": "requests.parquet"}, "go together"),
        ({"learning_rate": 0.0}, "greater than 0"),
        ({"discount": 1.0}, "less than 1"),
    ],
)
def test_parameters_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AutoScale.Parameters.model_validate(wrong)


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(EdgesimError, match="cannot be read"):
        learner(folder=tmp_path, table="nowhere.json")
    (tmp_path / "learned.json").write_text("no JSON")
    with pytest.raises(EdgesimError, match="not something that a controller has learned"):
        learner(folder=tmp_path, table="learned.json")
    with pytest.raises(EdgesimError, match="no such file"):
        learner(folder=tmp_path, bins="dbscan", bins_from="nowhere.parquet")
    with pytest.raises(EdgesimError, match=r"not requests\.parquet"):
        learner(folder=tmp_path, bins="dbscan", bins_from="learned.json")


# --- bins by DBSCAN ------------------------------------------------------------------------------


def test_dbscan_puts_an_edge_between_two_clusters() -> None:
    rng = np.random.default_rng(1)
    signal = np.concatenate([rng.normal(-60, 1, 500), rng.normal(-85, 1, 500)])
    (edge,) = dbscan_edges(signal, "rssi_dbm")
    assert -80 < edge < -65


def test_dbscan_finds_one_bin_where_there_is_one_cluster_and_minds_no_noise() -> None:
    assert dbscan_edges(np.full(100, 0.5), "co_cpu") == ()
    alone = np.concatenate([np.full(1000, 0.1), [0.9]])
    assert dbscan_edges(alone, "co_cpu") == ()


def test_dbscan_needs_something() -> None:
    with pytest.raises(EdgesimError, match="no co_cpu was recorded"):
        dbscan_edges(np.array([]), "co_cpu")
