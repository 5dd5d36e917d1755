"""Clients whose pictures their own phones took: through whole runs, and how it is refused what cannot be."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import yaml

from edgesim import plots
from edgesim.core.errors import ConfigError, EdgesimError
from edgesim.hardware.catalogue import catalogue_folder, shipped
from edgesim.learning.data import photo_patches
from edgesim.learning.isp import Camera, album, photograph
from edgesim.results.result import Result
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run, run_loaded

mpl.use("Agg")

import matplotlib.pyplot as plt

SMALL = """\
name: small
seed: 3
duration_s: 86400
networks:
  home: {kind: wifi, bandwidth_mhz: 40, streams: 2}
sites:
  cloud: {server: xeon_e5_2640_p100, rtt_ms: 34}
phones:
  s9: {profile: galaxy_s9, count: 4, network: home, rssi_dbm: -50}
  g7: {profile: lg_g7, count: 2, network: home, rssi_dbm: -50}
jobs:
  photos:
    kind: federated
    site: cloud
    dataset: {name: photo_patches, parameters: {train_per_class: 12, test_per_class: 5, size: 8}}
    cameras:
      held_out: [pixel_5]
    model: strided_cnn
    clients_per_round: 3
    epochs: 3
    learning_rate: 0.2
    stop: {rounds: 6}
controllers:
  selection: random
mismatch: {}
"""
TYPES = ("galaxy_s9", "lg_g7", "pixel_5")
LAST = 4
"""Judgements over which a type's accuracy is taken."""


@pytest.fixture(scope="module", autouse=True)
def _own_album(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESIM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(file: Path) -> Path:
    """Of a run."""
    out = file.parent / "first"
    run(file, out=out)
    return out


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    from edgesim.results.result import load_result

    return load_result(folder)


def by_type(result: Result) -> dict[str, list[float]]:
    """Accuracies of each type, in the order of judgements."""
    found: dict[str, list[float]] = {}
    for row in result.evaluations.sort_values("round").itertuples():
        if str(row.group).startswith("device "):
            found.setdefault(str(row.group).removeprefix("device "), []).append(float(row.accuracy))  # type: ignore[arg-type]
    return found


def digests(folder: Path) -> dict[str, str]:
    return {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in sorted(folder.rglob("*.parquet"))
    }


# --- whole runs ----------------------------------------------------------------------------------


def test_a_model_is_judged_by_every_type_and_by_those_held_out(result: Result) -> None:
    rows = result.evaluations
    devices = rows[rows.group.str.startswith("device ")]
    assert set(devices.group) == {f"device {name}" for name in TYPES}
    assert set(devices.samples) == {5 * 10}
    assert set(rows[rows.group == "all"].samples) == {3 * 5 * 10}
    for number, judged in rows.groupby("round"):
        own = judged[judged.group.str.startswith("device ")]
        assert len(own) == len(TYPES), number
        # All types are tested with the same number of scenes.
        whole = judged[judged.group == "all"].accuracy.item()
        assert own.accuracy.mean() == pytest.approx(whole, abs=1e-9)


def test_nobody_trains_on_a_phone_that_is_held_out(result: Result) -> None:
    assert set(result.participants.profile) <= {"galaxy_s9", "lg_g7"}
    assert len(result.rounds) == 6


def test_types_are_told_apart_by_what_their_cameras_make_of_the_same_scenes(
    result: Result,
) -> None:
    losses = result.evaluations[result.evaluations.group.str.startswith("device ")]
    assert losses.groupby("round").loss.nunique().eq(len(TYPES)).all()


def test_the_summary_is_that_of_the_evaluations(result: Result) -> None:
    means = {name: np.mean(values[-LAST:]) for name, values in by_type(result).items()}
    accuracies = np.array([means[name] for name in TYPES])
    summary = result.summary
    assert summary["device_accuracy_mean"] == pytest.approx(accuracies.mean())
    assert summary["device_accuracy_worst"] == pytest.approx(accuracies.min())
    spread = sum((100 * a - 100 * accuracies.mean()) ** 2 for a in accuracies) / len(accuracies)
    assert summary["device_accuracy_variance_pp2"] == pytest.approx(spread)
    assert np.ptp(accuracies) > 0.0
    farthest = int(np.argmax(np.abs(accuracies - accuracies.mean())))
    others = [100 * a for k, a in enumerate(accuracies) if k != farthest]
    but_one = ((others[0] - others[1]) / 2) ** 2
    assert summary["device_accuracy_variance_but_one_pp2"] == pytest.approx(but_one)


def test_a_run_is_told_in_the_same_bytes_whether_pictures_are_taken_or_kept(
    folder: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = digests(folder)
    assert len(wanted) >= 5
    monkeypatch.setenv("EDGESIM_CACHE", str(tmp_path / "cache"))
    taken: list[Camera] = []

    def noted(pictures: Any, camera: Camera, keys: Any) -> Any:
        taken.append(camera)
        return photograph(pictures, camera, keys)

    monkeypatch.setattr(album, "photograph", noted)
    for name, times in (("taken", 5), ("kept", 5)):  # two kinds train, three are tested by
        run(file, out=tmp_path / name)
        assert digests(tmp_path / name) == wanted
        assert len(taken) == times


def test_profiles_of_phones_that_are_held_out_are_told_of_too(result: Result) -> None:
    assert set(TYPES) <= set(result.manifest["profile_sha256"])


def test_another_seed_of_the_noise_is_another_run(file: Path, result: Result) -> None:
    other = run(file, overrides={"jobs.photos.cameras.seed": 1})
    assert other.manifest["data_sha256"] != result.manifest["data_sha256"]


def test_without_cameras_nobody_is_judged_by_type(file: Path, result: Result) -> None:
    plain = run(file, overrides={"jobs.photos.cameras": None})
    assert not plain.evaluations.group.str.startswith("device ").any()
    assert not any(key.startswith("device_accuracy") for key in plain.summary)
    assert plain.manifest["data_sha256"] != result.manifest["data_sha256"]
    # Time and joules are those of the same work.
    assert plain.summary["energy_ledger_j"] == result.summary["energy_ledger_j"]


@pytest.mark.parametrize(
    "controllers",
    [
        {"selection": "round_robin"},
        {"selection": "power"},
        {"selection": "round_robin", "aggregation": "fednova"},
    ],
)
def test_whoever_decides_pictures_stay_the_same(
    controllers: dict[str, str], file: Path, result: Result
) -> None:
    other = run(file, controllers=controllers)
    assert other.manifest["data_sha256"] == result.manifest["data_sha256"]
    first = [r.evaluations[r.evaluations["round"] == 0] for r in (result, other)]
    assert first[0].equals(first[1])  # the same model before any training, on the same pictures
    assert not other.participants.device.equals(result.participants.device)


def test_a_seed_of_the_run_leaves_the_pictures_to_test_with(file: Path) -> None:
    """Which client has which scene is the run's; how a camera takes a scene is not."""
    tests = []
    for seed in (3, 4):
        seen: list[str] = []
        with pytest.MonkeyPatch.context() as patch:

            def noted(
                pictures: Any, camera: Camera, keys: Any, folder: Any, seen: list[str] = seen
            ) -> Any:
                if len(pictures) == 5 * 10:
                    seen.append(hashlib.sha256(repr(camera).encode() + keys.tobytes()).hexdigest())
                return photograph(pictures, camera, keys)

            patch.setattr("edgesim.learning.devices.kept_photographs", noted)
            run_loaded(load_scenario(file, [("seed", seed), ("jobs.photos.stop.rounds", 1)]))
        tests.append(seen)
    assert len(tests[0]) == len(TYPES)
    assert tests[0] == tests[1]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, lambda optics: optics.isp),
        ({"look": 0}, lambda optics: optics.isp.with_look(0.0)),
        ({"look": 0.5}, lambda optics: optics.isp.with_look(0.5)),
    ],
)
def test_cameras_are_those_of_the_profiles_with_so_much_of_their_look(
    given: dict[str, Any], wanted: Callable[[Camera], Any], file: Path
) -> None:
    used = _cameras_used(file, {"held_out": ["pixel_5"], **given})
    for name in TYPES:
        spec = shipped().phone(name).camera
        assert spec is not None
        assert spec.optics is not None
        found = used[spec.optics.sensor]
        assert found.isp == wanted(spec.optics)
        assert found.oversampling == spec.optics.oversampling


def test_raw_is_what_sensors_saw(file: Path) -> None:
    for camera in _cameras_used(file, {"held_out": ["pixel_5"], "output": "raw"}).values():
        isp = camera.isp
        stages = (isp.denoise, isp.white_balance, isp.gamut, isp.tone, isp.compression)
        assert set(stages) == {"none"}
        assert isp.demosaic == "binning"


def _cameras_used(file: Path, spec: dict[str, Any]) -> dict[Any, Camera]:
    """By sensor."""
    used: dict[Any, Camera] = {}

    def noted(pictures: Any, camera: Camera, keys: Any, folder: Any) -> Any:
        assert used.setdefault(camera.sensor, camera) == camera
        return pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgesim.learning.devices.kept_photographs", noted)
        changes = [("jobs.photos.cameras", spec), ("jobs.photos.stop.rounds", 1)]
        run_loaded(load_scenario(file, changes))
    assert len(used) == 3
    return used


# --- figures -------------------------------------------------------------------------------------


def test_bars_are_the_accuracies_of_the_types_and_the_line_is_their_mean(result: Result) -> None:
    ax = plots.accuracy_by_device(result)
    means = {name: 100 * np.mean(values[-LAST:]) for name, values in by_type(result).items()}
    labels = [text.get_text() for text in ax.get_xticklabels()]
    assert sorted(labels) == sorted(TYPES)
    heights = [bar.get_height() for bar in ax.patches]  # type: ignore[attr-defined]
    assert heights == pytest.approx([means[name] for name in labels])
    (line,) = ax.get_lines()
    assert np.unique(line.get_ydata()) == pytest.approx([np.mean(list(means.values()))])


def test_several_results_stand_side_by_side(file: Path, result: Result) -> None:
    other = run(file, controllers={"selection": "round_robin"})
    ax = plots.accuracy_by_device({"random": result, "in turn": other})
    assert len(ax.patches) == 2 * len(TYPES)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["random", "in turn"]
    places = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]  # type: ignore[attr-defined]
    assert len(set(np.round(places, 6))) == len(places)


def test_what_was_not_judged_by_type_cannot_be_drawn(file: Path) -> None:
    plain = run(file, overrides={"jobs.photos.cameras": None, "jobs.photos.stop.rounds": 1})
    with pytest.raises(EdgesimError, match="not judged by type of device: set cameras"):
        plots.accuracy_by_device(plain)


# --- what is refused -----------------------------------------------------------------------------


def refusal(folder: Path, text: str) -> list[str]:
    """The lines of the error that this scenario gives, files without their folder."""
    path = folder / "world.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        run_loaded(load_scenario(path))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def with_odd_phone(folder: Path, *, has_camera: bool) -> None:
    """A phone ``odd`` beside the scenario, whose pictures nobody knows."""
    own = folder / "device_profiles"
    own.mkdir()
    source = catalogue_folder("device_profiles") / "lg_g7.yaml"
    phone = yaml.safe_load(source.read_text(encoding="utf-8"))
    phone["name"] = "odd"
    if has_camera:
        del phone["camera"]["sensor"], phone["camera"]["isp"]
    else:
        del phone["camera"]
    (own / "odd.yaml").write_text(yaml.safe_dump(phone), encoding="utf-8")


UNKNOWN = (
    "what pictures of 'g7' (odd) look like is not known; leave them out of the job, or add "
    "camera.sensor and camera.isp to their profile"
)


@pytest.mark.parametrize("has_camera", [False, True])
def test_a_phone_whose_pictures_nobody_knows_takes_none(has_camera: bool, tmp_path: Path) -> None:
    with_odd_phone(tmp_path, has_camera=has_camera)
    text = SMALL.replace("lg_g7", "odd")
    assert refusal(tmp_path, text) == [f"world.yaml:16: jobs.photos.cameras: {UNKNOWN}"]


def test_phones_that_do_not_take_part_need_no_pictures(tmp_path: Path) -> None:
    with_odd_phone(tmp_path, has_camera=False)
    text = SMALL.replace("lg_g7", "odd").replace(
        "    site: cloud\n", "    site: cloud\n    phones: [s9]\n"
    )
    path = tmp_path / "world.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_scenario(path).scenario.federated_jobs["photos"].cameras is not None


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "message"),
    [
        pytest.param(
            *("[pixel_5]", "[pixel_5, pixel5]", 17, "held_out[1]"),
            "there is no phone 'pixel5'; did you mean 'pixel_5'?",
            id="unknown",
        ),
        pytest.param(
            *("[pixel_5]", "[xeon_e5_2640_p100]", 17, "held_out[0]"),
            "there is no phone 'xeon_e5_2640_p100'; ",
            id="a server",
        ),
        pytest.param(
            *("[pixel_5]", "[pixel_5, lg_g7]", 17, "held_out[1]"),
            "lg_g7 is not held out: the phones of 'g7' are clients",
            id="has clients",
        ),
        pytest.param(
            *("[pixel_5]", "[autofl_high]", 17, "held_out[0]"),
            "what pictures of autofl_high look like is not known; ",
            id="without optics",
        ),
        pytest.param(
            *("held_out: [pixel_5]", "heldout: [pixel_5]", 17, "heldout"),
            "unknown key; did you mean 'held_out'",
            id="unknown key",
        ),
        pytest.param(
            *("held_out: [pixel_5]", "look: 4", 17, "look"),
            "less than or equal to 3; found 4",
            id="too much of a look",
        ),
        pytest.param(
            *("held_out: [pixel_5]", "output: jpeg", 17, "output"),
            "Known: picture, raw",
            id="unknown output",
        ),
        pytest.param(
            *("held_out: [pixel_5]", "seed: -1", 17, "seed"),
            "greater than or equal to 0; found -1",
            id="negative seed",
        ),
    ],
)
def test_what_cameras_cannot_be_is_refused_where_it_stands(
    *, old: str, new: str, line: int, key: str, message: str, tmp_path: Path
) -> None:
    assert SMALL.count(old) == 1
    (found,) = refusal(tmp_path, SMALL.replace(old, new))
    assert found.startswith(f"world.yaml:{line}: jobs.photos.cameras.{key}: ")
    assert message in found


@pytest.mark.parametrize("mode", ["timing_only", "fitted"])
def test_cameras_go_with_real_training(mode: str, tmp_path: Path) -> None:
    more = "\n    curve: curve.json" if mode == "fitted" else ""
    text = SMALL.replace("    site: cloud\n", f"    site: cloud\n    mode: {mode}{more}\n")
    (found,) = refusal(tmp_path, text)
    assert found == (
        "world.yaml:12: jobs.photos: cameras change what is learned; they go with mode: trained"
    )


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("digits", r"a camera takes colour pictures of shape (n, 3, height, width); "),
        ("{name: synthetic, parameters: {clients: 6}}", "a camera takes colour pictures of shape"),
    ],
)
def test_pictures_that_are_not_in_colour_are_refused(
    dataset: str, message: str, tmp_path: Path
) -> None:
    data = yaml.safe_load(SMALL)
    data["jobs"]["photos"] |= {"dataset": yaml.safe_load(dataset), "model": "logistic"}
    (found,) = refusal(tmp_path, yaml.safe_dump(data))
    assert "jobs.photos.cameras: " in found
    assert message in found


def test_a_group_is_held_out_by_its_profile_in_one_line_each(tmp_path: Path) -> None:
    text = SMALL.replace("[pixel_5]", "[galaxy_s9, nobody, lg_g7]")
    assert [line.split(": ")[1] for line in refusal(tmp_path, text)] == [
        f"jobs.photos.cameras.held_out[{k}]" for k in range(3)
    ]


def test_scenes_are_those_of_the_data_set(file: Path) -> None:
    seen: list[Any] = []

    def noted(pictures: Any, camera: Camera, keys: Any, folder: Any) -> Any:
        seen.append(np.array(pictures))
        return pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgesim.learning.devices.kept_photographs", noted)
        run_loaded(load_scenario(file, [("jobs.photos.stop.rounds", 1)]))
    data = photo_patches(12, 5, size=8)
    tests = [each for each in seen if len(each) == len(data.test)]
    assert len(tests) == len(TYPES)
    assert all((each == data.test.inputs).all() for each in tests)
    trained = np.concatenate([each for each in seen if len(each) != len(data.test)])
    ordered = [
        np.unique(each.reshape(len(each), -1), axis=0) for each in (trained, data.train.inputs)
    ]
    assert len(trained) == len(data.train)
    assert (ordered[0] == ordered[1]).all()
