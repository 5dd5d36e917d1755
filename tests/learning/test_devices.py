"""Federated data by type of device: who gets whose pictures, and how losses from type to type are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError
from edgesim.core.random import Streams
from edgesim.learning.data import Dataset, Samples
from edgesim.learning.devices import by_device_type, degradations, photographed, plot_degradations
from edgesim.learning.federation import evaluate
from edgesim.learning.isp import BASELINE, RAW, Camera, Isp, Sensor, photograph
from edgesim.learning.models import build_model
from edgesim.learning.partition import Partition
from edgesim.learning.tasks import Layout

matplotlib.use("Agg")

import matplotlib.pyplot as plt

NOISY = Sensor(exposure=0.7, full_well_e=300.0, read_noise_e=3.0)
CAMERAS = {
    "new": Camera(NOISY, BASELINE),
    "old": Camera(replace(NOISY, full_well_e=100.0), Isp(tone="none")),
    "rare": Camera(NOISY, RAW),
}
TYPES = ("old", "new", "old")
ROWS = ([4, 1], [2, 7, 0], [9])
"""Of the three clients; rows 3, 5, 6 and 8 are nobody's."""
UNOWNED = [3, 5, 6, 8]


def samples(count: int, seed: int) -> Samples:
    rng = np.random.default_rng(seed)
    inputs = rng.random((count, 3, 8, 8), dtype=np.float32)
    return Samples(inputs, np.arange(count) % 4)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    return tmp_path / "album"


@pytest.fixture
def dataset() -> Dataset:
    return Dataset("scenes", samples(10, 1), samples(6, 2), tuple("abcd"), source="at random")


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


def partition(rows: Sequence[Sequence[int]] = ROWS) -> Partition:
    return Partition(tuple(np.array(each, np.int64) for each in rows), (True,) * len(rows))


def taken(
    scenes: Samples, camera: Camera, name: str, part: str, rows: Sequence[int], seed: int = 0
) -> NDArray[np.float32]:
    """What the camera makes of these rows, one by one."""
    found = []
    for row in rows:
        key = np.array([Streams(seed).key("camera", name, part, row)], np.uint64)
        found.append(photograph(np.asarray(scenes.inputs[[row]], np.float32), camera, key)[0])
    return np.stack(found)


# --- photographed --------------------------------------------------------------------------------


def test_samples_keep_all_but_their_pictures(album: Path) -> None:
    given = replace(samples(5, 3), sources=np.array([4, 4, 2, 2, 0]))
    found = photographed(given, CAMERAS["new"], "new", "train", album=album)
    assert (found.labels == given.labels).all()
    assert (found.sources == given.sources).all()
    assert (found.inputs == taken(given, CAMERAS["new"], "new", "train", range(5))).all()


def test_rows_may_be_chosen_and_their_noise_is_their_own(album: Path) -> None:
    given = samples(6, 4)
    rows = np.array([5, 0, 3])
    every = photographed(given, CAMERAS["old"], "old", "train", album=album)
    found = photographed(given, CAMERAS["old"], "old", "train", rows=rows, album=album)
    assert (found.inputs == every.inputs[rows]).all()
    assert (found.labels == given.labels[rows]).all()


def test_noise_is_of_the_type_the_part_and_the_seed(album: Path) -> None:
    given, camera = samples(3, 5), CAMERAS["rare"]
    found = [
        photographed(given, camera, name, part, seed=seed, album=album).inputs
        for name, part, seed in (
            *(("a", "train", 0), ("b", "train", 0), ("a", "test", 0), ("a", "train", 1)),
        )
    ]
    assert len({each.tobytes() for each in found}) == 4
    quiet = replace(camera, sensor=Sensor())
    for name, part in (("a", "train"), ("b", "test")):
        again = photographed(given, quiet, name, part, album=album).inputs
        assert (again == taken(given, quiet, "whoever", "whatever", range(3))).all()


# --- by type of device ---------------------------------------------------------------------------


def test_each_client_has_its_scenes_as_its_own_camera_takes_them(
    dataset: Dataset, album: Path
) -> None:
    before = dataset.train.inputs.copy()
    found = by_device_type(dataset, partition(), TYPES, _of(TYPES), album=album)
    for client, (name, rows) in enumerate(zip(TYPES, ROWS, strict=True)):
        wanted = taken(dataset.train, CAMERAS[name], name, "train", rows)
        assert (found.train.inputs[rows] == wanted).all(), client
    assert (found.train.labels == dataset.train.labels).all()
    assert (found.train.inputs[UNOWNED] == before[UNOWNED]).all()
    assert (dataset.train.inputs == before).all()
    assert not (found.train.inputs[[4, 1, 9]] == before[[4, 1, 9]]).all(axis=(1, 2, 3)).any()


def _of(types: Sequence[str]) -> dict[str, Camera]:
    return {name: CAMERAS[name] for name in types}


def test_all_scenes_are_tested_with_by_the_cameras_of_all_types(
    dataset: Dataset, album: Path
) -> None:
    found = by_device_type(dataset, partition(), TYPES, CAMERAS, held_out=["rare"], album=album)
    assert found.source_names == ("new", "old", "rare")
    assert len(found.test) == 3 * 6
    for number, name in enumerate(found.source_names):
        own = found.test.take(np.flatnonzero(found.test.sources == number))
        assert (own.labels == dataset.test.labels).all()
        assert (own.inputs == taken(dataset.test, CAMERAS[name], name, "test", range(6))).all()
    assert found.test.sources.tolist() == 6 * [0] + 6 * [1] + 6 * [2]


def test_sources_are_the_types_of_the_owners(dataset: Dataset, album: Path) -> None:
    found = by_device_type(dataset, partition(), TYPES, CAMERAS, held_out=["rare"], album=album)
    assert found.train.sources[[4, 1, 9]].tolist() == [1, 1, 1]
    assert found.train.sources[[2, 7, 0]].tolist() == [0, 0, 0]
    owned = np.setdiff1d(np.arange(10), UNOWNED)
    assert 2 not in found.train.sources[owned]
    assert found.classes == dataset.classes
    assert "at random" in found.source
    assert "3 types of device" in found.source
    assert found.digest != dataset.digest


def test_types_with_one_ideal_camera_have_the_same_scenes_to_test_with(
    dataset: Dataset, album: Path
) -> None:
    ideal = Camera(Sensor(), RAW)
    cameras = dict.fromkeys(CAMERAS, ideal)
    found = by_device_type(dataset, partition(), TYPES, cameras, held_out=["rare"], album=album)
    first, second, third = found.test.inputs.reshape(3, 6, 3, 8, 8)
    assert (first == second).all()
    assert (first == third).all()
    noisy = dict.fromkeys(CAMERAS, CAMERAS["rare"])
    found = by_device_type(dataset, partition(), TYPES, noisy, held_out=["rare"], album=album)
    first, second, third = found.test.inputs.reshape(3, 6, 3, 8, 8)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_who_else_is_there_and_who_owns_a_row_changes_nothing(
    dataset: Dataset, album: Path
) -> None:
    one = by_device_type(dataset, partition(), TYPES, _of(TYPES), album=album)
    more = by_device_type(dataset, partition(), TYPES, CAMERAS, held_out=["rare"], album=album)
    assert (one.train.inputs == more.train.inputs).all()
    assert (one.test.inputs == more.test.inputs[: 2 * 6]).all()
    swapped = partition((ROWS[2], ROWS[1], ROWS[0]))
    other = by_device_type(dataset, swapped, TYPES, _of(TYPES), album=album)
    assert other.digest == one.digest


def test_a_seed_makes_other_noise_and_none_the_same(dataset: Dataset, album: Path) -> None:
    one, same, other = (
        by_device_type(dataset, partition(), TYPES, _of(TYPES), seed=seed, album=album).digest
        for seed in (0, 0, 1)
    )
    assert one == same != other


def test_models_are_judged_by_each_type(dataset: Dataset, album: Path) -> None:
    found = by_device_type(dataset, partition(), TYPES, CAMERAS, held_out=["rare"], album=album)
    module = build_model("logistic", found, 1)
    layout = Layout(module)
    test = found.test
    whole, (parts,) = evaluate(layout, layout.read(), test, [test.sources], batch=4)
    with torch.no_grad():
        guesses = module(torch.from_numpy(np.asarray(test.inputs))).argmax(1).numpy()
    hit = guesses == test.labels
    assert sorted(parts) == [0, 1, 2]
    for number, scores in parts.items():
        assert scores.samples == 6
        assert scores.accuracy == pytest.approx(hit[6 * number : 6 * number + 6].mean())
    assert whole.accuracy == pytest.approx(np.mean([each.accuracy for each in parts.values()]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": TYPES[:2]}, "3 clients, but 2 types of device"),
        ({"types": (*TYPES, "new")}, "3 clients, but 4 types of device"),
        (
            {"types": ("old", "new", "odd")},
            "device type 'odd' has no camera; cameras are known of: new, old",
        ),
        ({"cameras": {}}, "device type 'new' has no camera; cameras are known of: none"),
        (
            {"held_out": ["rare"]},
            "device type 'rare' has no camera; cameras are known of: new, old",
        ),
        (
            {"cameras": CAMERAS},
            "device type 'rare' has no clients; hold it out .*, or leave its camera away",
        ),
        ({"held_out": ["old"]}, "device type 'old' is held out, but 2 clients are of it"),
    ],
)
def test_types_clients_and_cameras_that_do_not_fit_are_said(
    change: dict[str, Any], message: str, dataset: Dataset, album: Path
) -> None:
    given: dict[str, Any] = {"types": TYPES, "cameras": _of(TYPES), "album": album, **change}
    types, cameras = given.pop("types"), given.pop("cameras")
    with pytest.raises(EdgesimError, match=message):
        by_device_type(dataset, partition(), types, cameras, **given)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((10, 1, 8, 8), np.float32), r"takes colour pictures of shape .*\(3, 1, 8, 8\)"),
        (np.zeros((10, 60), np.float32), "takes colour pictures of shape"),
        (np.full((10, 3, 8, 8), 255, np.float32), r"pictures in \[0, 1\]; .*divide them by"),
        (np.full((10, 3, 8, 8), -0.5, np.float32), r"pictures in \[0, 1\]"),
        (np.full((10, 3, 8, 8), np.nan, np.float32), r"pictures in \[0, 1\]"),
    ],
)
def test_what_is_no_colour_picture_is_refused(
    inputs: NDArray[np.float32], message: str, album: Path
) -> None:
    wrong = Samples(inputs, np.arange(10) % 4)
    dataset = Dataset("wrong", wrong, wrong, tuple("abcd"))
    with pytest.raises(EdgesimError, match=message):
        by_device_type(dataset, partition(), TYPES, _of(TYPES), album=album)


# --- losses from type to type --------------------------------------------------------------------

ACCURACY = np.array([[0.8, 0.6, 0.4], [0.45, 0.9, 0.9], [0.5, 0.55, 0.5]])


def test_degradations_by_hand() -> None:
    before = ACCURACY.copy()
    found = degradations(ACCURACY)
    wanted = [[np.nan, 25.0, 50.0], [50.0, np.nan, 0.0], [0.0, -10.0, np.nan]]
    assert found == pytest.approx(np.array(wanted), nan_ok=True)
    assert (before == ACCURACY).all()


def test_the_table_shows_every_cell_and_the_means_of_rows_and_columns() -> None:
    names = ["new", "old", "rare"]
    ax = plot_degradations(ACCURACY, names)
    shown = {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text()
        for text in ax.texts
    }
    assert shown == {
        (0, 0): "(80)",
        (0, 1): "25.0",
        (0, 2): "50.0",
        (0, 3): "37.5",
        (1, 0): "50.0",
        (1, 1): "(90)",
        (1, 2): "0.0",
        (1, 3): "25.0",
        (2, 0): "0.0",
        (2, 1): "-10.0",
        (2, 2): "(50)",
        (2, 3): "-5.0",
        (3, 0): "25.0",
        (3, 1): "7.5",
        (3, 2): "25.0",
        (3, 3): "19.2",
    }
    for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [text.get_text() for text in ticks] == [*names, "mean"]
    (image,) = ax.get_images()
    array = np.ma.filled(np.asarray(image.get_array(), float), np.nan)
    assert array.shape == (4, 4)
    assert array[0, 2] == pytest.approx(50.0)


def test_the_table_is_drawn_where_it_is_wanted() -> None:
    _, ax = plt.subplots()
    assert plot_degradations(ACCURACY, ["a", "b", "c"], ax=ax, most=10.0) is ax
    assert ax.get_images()[0].get_clim() == (0.0, 10.0)
