"""What a scenario may ask of cameras, and how it is refused what they cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from edgesim.core.errors import ConfigError
from edgesim.hardware.catalogue import catalogue_folder
from edgesim.scenario.load import LoadedScenario, load_scenario

GOOD = """\
name: small
duration_s: 5
networks:
  home: {kind: wifi}
sites:
  cloud: {server: xeon_e5_2640_p100, rtt_ms: 34}
phones:
  lg: &phone
    profile: lg_g7
    network: home
    rssi_dbm: -50
jobs:
  camera:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: poisson, rate_per_s: 1}
    capture: {megapixels: 12, develop: isp, keep_open_s: 2}
  learning:
    kind: federated
    site: cloud
    collect:
      when: every_round
      pictures: 10
      develop: cpu
    clients_per_round: 1
controllers:
  offloading: cloud
  selection: random
"""


def load(folder: Path, text: str) -> LoadedScenario:
    file = folder / "world.yaml"
    file.write_text(text, encoding="utf-8")
    return load_scenario(file)


def refusal(folder: Path, text: str) -> list[str]:
    """The lines of the error that this scenario gives, files without their folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def with_profile(folder: Path, change: str) -> None:
    """A phone ``odd`` beside the scenario: the LG G7 without its camera, or without fp32 on its CPUs."""
    shipped = catalogue_folder("device_profiles")
    own = folder / "device_profiles"
    own.mkdir()
    phone = yaml.safe_load((shipped / "lg_g7.yaml").read_text(encoding="utf-8"))
    phone["name"] = "odd"
    if change == "no camera":
        del phone["camera"]
    else:
        phone["soc"] = "odd_chip"
        chip = yaml.safe_load((shipped / "snapdragon_845.yaml").read_text(encoding="utf-8"))
        chip["name"] = "odd_chip"
        for processor in chip["processors"].values():
            if processor["kind"] == "cpu":
                del processor["macs_per_cycle"]["fp32"]
        (own / "odd_chip.yaml").write_text(yaml.safe_dump(chip), encoding="utf-8")
    (own / "odd.yaml").write_text(yaml.safe_dump(phone), encoding="utf-8")


ODD = GOOD.replace("jobs:\n", "  tablet:\n    <<: *phone\n    profile: odd\njobs:\n")


def test_what_jobs_ask_of_cameras_is_loaded(tmp_path: Path) -> None:
    scenario = load(tmp_path, GOOD).scenario
    capture = scenario.inference_jobs["camera"].capture
    collect = scenario.federated_jobs["learning"].collect
    assert capture is not None
    assert collect is not None
    assert (capture.megapixels, capture.develop, capture.keep_open_s) == (12, "isp", 2)
    assert (collect.when, collect.pictures, collect.develop) == ("every_round", 10, "cpu")
    assert (collect.megapixels, collect.keep_open_s) == (None, 0)


def test_a_bare_section_is_the_profiles_camera_and_its_isp(tmp_path: Path) -> None:
    text = GOOD.replace("{megapixels: 12, develop: isp, keep_open_s: 2}", "{}")
    capture = load(tmp_path, text).scenario.inference_jobs["camera"].capture
    assert capture is not None
    assert (capture.megapixels, capture.develop, capture.keep_open_s) == (None, "isp", 0)


@pytest.mark.parametrize("key", ["capture", "collect"])
def test_by_default_everything_is_there_already(key: str, tmp_path: Path) -> None:
    document = yaml.safe_load(GOOD)
    for job in document["jobs"].values():
        job.pop(key, None)
    scenario = load(tmp_path, yaml.safe_dump(document)).scenario
    assert all(getattr(job, key, None) is None for job in scenario.jobs.values())


def test_phones_without_a_camera_are_named_with_what_to_do(tmp_path: Path) -> None:
    with_profile(tmp_path, "no camera")
    told = (
        "the phones of group 'tablet' (profile odd) have no camera: add a section camera to the "
        "profile, or name the other groups in the job's phones"
    )
    assert refusal(tmp_path, ODD) == [
        f"world.yaml:20: jobs.camera.capture: {told}",
        f"world.yaml:24: jobs.learning.collect: {told}",
    ]


def test_phones_that_do_not_take_part_need_no_camera(tmp_path: Path) -> None:
    with_profile(tmp_path, "no camera")
    text = ODD.replace("    kind: inference\n", "    kind: inference\n    phones: [lg]\n").replace(
        "    kind: federated\n", "    kind: federated\n    phones: [lg]\n"
    )
    assert load(tmp_path, text).scenario.jobs["camera"].phones == ["lg"]


def test_phones_whose_cpus_have_no_fp32_cannot_develop_pictures(tmp_path: Path) -> None:
    with_profile(tmp_path, "no fp32")
    assert refusal(tmp_path, ODD) == [
        "world.yaml:27: jobs.learning.collect.develop: the phones of group 'tablet' (profile odd) "
        "have no CPU whose fp32 peak is known, so that none can develop pictures: use isp, add "
        "macs_per_cycle.fp32 to a CPU of the chip, or name the other groups in the job's phones"
    ]


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("megapixels: 12", "megapixels: 0", "world.yaml:17: jobs.camera.capture.megapixels: "),
        ("megapixels: 12", "megapixels: -1", "world.yaml:17: jobs.camera.capture.megapixels: "),
        ("develop: isp", "develop: gpu", "world.yaml:17: jobs.camera.capture.develop: "),
        ("keep_open_s: 2", "keep_open_s: -2", "world.yaml:17: jobs.camera.capture.keep_open_s: "),
        ("keep_open_s: 2", "kept_open_s: 2", "world.yaml:17: jobs.camera.capture.kept_open_s: "),
        ("when: every_round", "when: never", "world.yaml:22: jobs.learning.collect.when: "),
        ("pictures: 10", "pictures: 0", "world.yaml:23: jobs.learning.collect.pictures: "),
        ("pictures: 10", "pictures: 1.5", "world.yaml:23: jobs.learning.collect.pictures: "),
    ],
)
def test_what_cannot_be_is_refused_where_it_stands(
    good: str, bad: str, message: str, tmp_path: Path
) -> None:
    assert good in GOOD
    (line,) = refusal(tmp_path, GOOD.replace(good, bad))
    assert line.startswith(message)
