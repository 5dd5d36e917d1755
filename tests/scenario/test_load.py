import re
from pathlib import Path

import pytest
import yaml

from edgesim.controllers.registry import names_in
from edgesim.core.errors import ConfigError
from edgesim.hardware.catalogue import catalogue_folder, shipped
from edgesim.nn.zoo import ZOO
from edgesim.scenario.load import (
    LoadedScenario,
    Override,
    find_scenario,
    load_scenario,
    parse_override,
    scenario_names,
)
from edgesim.scenario.references import device_names
from edgesim.scenario.schema import (
    PeriodicSpec,
    PoissonSpec,
    Scenario,
)
from edgesim.scenario.signal_schema import (
    ConstantSpec,
    GaussMarkovSpec,
    TraceSpec,
)

KNOWN = ", ".join(sorted(names_in("offloading")))
KNOWN_PHONES = "Known: " + ", ".join(sorted(shipped().names("phone")))
KNOWN_SERVERS = "Known: " + ", ".join(sorted(shipped().names("server")))

GOOD = """\
name: small
duration_s: 5
networks:
  home: {kind: wifi}
sites:
  cloud: {server: xeon_e5_2640_p100, rtt_ms: 34}
phones:
  pixel:
    profile: mi_8_pro
    network: home
    rssi_dbm: -50
jobs:
  camera:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: poisson, rate_per_s: 1}
controllers:
  offloading: cloud
"""

TRACED = GOOD.replace("-50", "{kind: trace, file: walk.csv}")


def load(folder: Path, text: str, *overrides: Override) -> LoadedScenario:
    file = folder / "world.yaml"
    file.write_text(text, encoding="utf-8")
    return load_scenario(file, overrides)


def refusal(folder: Path, text: str, *overrides: Override) -> list[str]:
    """The lines of the error that this scenario gives, files without their folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


# --- scenarios in order --------------------------------------------------------------------------


def test_a_scenario_in_order_loads_with_its_defaults(tmp_path: Path) -> None:
    loaded = load(tmp_path, GOOD)
    scenario = loaded.scenario
    assert loaded.path == tmp_path / "world.yaml"
    assert loaded.recordings.signals == {}
    assert (scenario.seed, scenario.duration_s, scenario.compare) == (0, 5.0, {})
    phone = scenario.phones["pixel"]
    assert (phone.count, phone.charge, phone.network) == (1, 1.0, "home")
    assert scenario.jobs["camera"].deadline_ms is None
    assert scenario.record.decisions is True
    assert scenario.record.states is None


def test_a_bare_number_is_a_constant_signal(tmp_path: Path) -> None:
    spec = load(tmp_path, GOOD).scenario.phones["pixel"].rssi_dbm
    assert spec == ConstantSpec(kind="constant", value=-50.0)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1e3", 1000.0),
        ("1E3", 1000.0),
        ("5e-1", 0.5),
        ("2.5e+2", 250.0),
        ("1.5", 1.5),
        ("1_000", 1000.0),
    ],
)
def test_numbers_may_be_written_with_an_exponent(
    written: str, number: float, tmp_path: Path
) -> None:
    loaded = load(tmp_path, GOOD.replace("duration_s: 5", f"duration_s: {written}"))
    assert loaded.scenario.duration_s == number


def test_a_merge_key_brings_in_what_its_anchor_holds_and_own_keys_win(tmp_path: Path) -> None:
    text = GOOD.replace("pixel:\n", "pixel: &phone\n").replace(
        "jobs:", "  other:\n    <<: *phone\n    charge: 0.25\n    profile: galaxy_s10e\njobs:"
    )
    phones = load(tmp_path, text).scenario.phones
    assert phones["other"].network == "home"
    assert phones["other"].rssi_dbm == phones["pixel"].rssi_dbm
    assert phones["other"].profile == "galaxy_s10e"
    assert (phones["pixel"].charge, phones["other"].charge) == (1.0, 0.25)


def test_a_mistake_in_what_is_merged_is_placed_where_it_is_written(tmp_path: Path) -> None:
    text = GOOD.replace("pixel:\n", "pixel: &phone\n    charge: 3\n").replace(
        "jobs:", "  other:\n    <<: *phone\njobs:"
    )
    assert refusal(tmp_path, text) == [
        "world.yaml:9: phones.other.charge: it should be less than or equal to 1; found 3",
        "world.yaml:9: phones.pixel.charge: it should be less than or equal to 1; found 3",
    ]


def test_the_packaged_quickstart_is_found_by_its_name() -> None:
    assert "quickstart" in scenario_names()
    loaded = load_scenario("quickstart")
    assert loaded.scenario.name == "quickstart"
    assert loaded.path == find_scenario("quickstart")
    assert loaded.path.is_file()


def test_a_folder_does_not_hide_a_packaged_scenario_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As `edgesim run quickstart --out quickstart` leaves it.
    (tmp_path / "quickstart").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_scenario("quickstart").scenario.name == "quickstart"


def test_an_unknown_scenario_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        find_scenario("qickstart")


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(tmp_path / "nowhere.yaml")
    assert (
        str(caught.value) == f"{tmp_path}/nowhere.yaml: cannot be read: No such file or directory"
    )


def test_a_group_of_one_has_its_own_name_and_several_are_numbered() -> None:
    assert device_names("pixel", 1) == ["pixel"]
    assert device_names("pixel", 2) == ["pixel_0", "pixel_1"]
    assert device_names("pixel", 11)[0] == "pixel_00"
    assert device_names("pixel", 11)[-1] == "pixel_10"


# --- one mistake, one message --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        pytest.param(
            "duration_s: 5",
            "duration_s: 5\nsead: 3",
            "world.yaml:3: sead: unknown key; did you mean 'seed'? Known: "
            + ", ".join(sorted(Scenario.model_fields)),
            id="unknown key",
        ),
        pytest.param(
            "rate_per_s: 1",
            "rate_per_s: 1, rate: 2",
            "world.yaml:16: jobs.camera.arrivals.rate: unknown key; did you mean 'rate_per_s'? "
            "Known: kind, rate_per_s",
            id="unknown key in one of several kinds",
        ),
        pytest.param(
            "    profile: mi_8_pro\n",
            "",
            "world.yaml:8: phones.pixel.profile: this key is required and missing",
            id="missing key",
        ),
        pytest.param(
            "duration_s: 5",
            "duration_s: 5 min",
            "world.yaml:2: duration_s: it should be a valid number; found '5 min'",
            id="wrong type",
        ),
        pytest.param(
            "duration_s: 5",
            "duration_s: -5",
            "world.yaml:2: duration_s: it should be greater than 0; found -5",
            id="out of range",
        ),
        pytest.param(
            "duration_s: 5",
            "duration_s: .nan",
            "world.yaml:2: duration_s: it should be a finite number; found nan",
            id="not a number",
        ),
        pytest.param(
            "-50",
            "-151",
            "world.yaml:11: phones.pixel.rssi_dbm.value: "
            "it should be greater than or equal to -150; found -151",
            id="a bare signal out of range",
        ),
        pytest.param(
            "profile: mi_8_pro",
            "profile: mi_8_por",
            "world.yaml:9: phones.pixel.profile: there is no profile 'mi_8_por'; "
            "did you mean 'mi_8_pro'? " + KNOWN_PHONES,
            id="unknown profile",
        ),
        pytest.param(
            "profile: mi_8_pro",
            "profile: snapdragon_845",
            "world.yaml:9: phones.pixel.profile: 'snapdragon_845' is a soc, not a phone; "
            + KNOWN_PHONES,
            id="a chip where a phone belongs",
        ),
        pytest.param(
            "network: home",
            "network: hom",
            "world.yaml:10: phones.pixel.network: there is no network 'hom'; "
            "did you mean 'home'? Known: home",
            id="unknown network",
        ),
        pytest.param(
            "xeon_e5_2640_p100",
            "xeon_e5",
            "world.yaml:6: sites.cloud.server: there is no profile 'xeon_e5'; "
            "did you mean 'xeon_e5_2640_p100'? " + KNOWN_SERVERS,
            id="unknown server",
        ),
        pytest.param(
            "model: mobilenet_v1",
            "model: mobilenetv1",
            "world.yaml:15: jobs.camera.model: there is no model 'mobilenetv1'; "
            f"did you mean 'mobilenet_v1'? Known: {', '.join(sorted(ZOO))}",
            id="unknown model",
        ),
        pytest.param(
            "model: mobilenet_v1",
            "model: mobilenet_v1\n    phones: [pixel, pixle]",
            "world.yaml:16: jobs.camera.phones[1]: there is no phone group 'pixle'; "
            "did you mean 'pixel'? Known: pixel",
            id="unknown phone group",
        ),
        pytest.param(
            "model: mobilenet_v1",
            "model: mobilenet_v1\n    sites: [clud]",
            "world.yaml:16: jobs.camera.sites[0]: there is no site 'clud'; "
            "did you mean 'cloud'? Known: cloud",
            id="unknown site",
        ),
        pytest.param(
            "offloading: cloud",
            "offloading: clod",
            "world.yaml:18: controllers.offloading: there is no controller 'clod' for slot "
            "'offloading'; did you mean 'cloud'? Known: " + KNOWN,
            id="unknown controller",
        ),
        pytest.param(
            "model: mobilenet_v1",
            "model: mobilenet_v1\n    controllers: {offloading: randon}",
            "world.yaml:16: jobs.camera.controllers.offloading: there is no controller 'randon' "
            "for slot 'offloading'; did you mean 'random'? "
            "Known: " + KNOWN,
            id="unknown controller of a job",
        ),
        pytest.param(
            "controllers:",
            "compare:\n  offloading: [cloud, orcle]\ncontrollers:",
            "world.yaml:18: compare.offloading[1]: there is no controller 'orcle' for slot "
            "'offloading'; did you mean 'oracle'? "
            "Known: " + KNOWN,
            id="unknown controller to compare",
        ),
        pytest.param(
            "controllers:",
            "compare:\n  offloading: [cloud, cloud]\ncontrollers:",
            "world.yaml:18: compare.offloading: a name is given twice",
            id="a controller compared with itself",
        ),
        pytest.param(
            "controllers:\n  offloading: cloud\n",
            "",
            "world.yaml:13: jobs.camera: nobody decides where its requests run; "
            "add 'controllers: {offloading: NAME}' to the job or to the scenario",
            id="nobody decides",
        ),
        pytest.param(
            "controllers:",
            "record: {states: {devices: [pixl]}}\ncontrollers:",
            "world.yaml:17: record.states.devices[0]: there is no phone 'pixl'; "
            "did you mean 'pixel'? Known: pixel",
            id="unknown device to record",
        ),
        pytest.param(
            "controllers:",
            "record: {states: {devices: [cloud]}}\ncontrollers:",
            "world.yaml:17: record.states.devices[0]: there is no phone 'cloud'; Known: pixel",
            id="a site where a phone is to be recorded",
        ),
        pytest.param(
            "controllers:",
            "record: {states: {quantities: [power]}}\ncontrollers:",
            "world.yaml:17: record.states.quantities[0]: found 'power'; did you mean 'power_w'? "
            "Known: charge, die_c, mhz, power_w, skin_c",
            id="unknown quantity to record",
        ),
        pytest.param(
            "duration_s: 5",
            "duration_s: 5\nname: again",
            "world.yaml:3: name: given twice; it stands in line 1 already",
            id="duplicate key",
        ),
        pytest.param(
            "jobs:",
            "  cloud: {profile: mi_8_pro}\njobs:",
            "world.yaml:12: phones.cloud: its phone 'cloud' has the name of a site; rename one",
            id="a phone named like a site",
        ),
        pytest.param(
            "jobs:",
            "  a: {profile: mi_8_pro, count: 11}\n  a_05: {profile: mi_8_pro}\njobs:",
            "world.yaml:13: phones.a_05: its phone 'a_05' has the name of a phone of group 'a'; "
            "rename one",
            id="a phone named like one of a group",
        ),
        pytest.param(
            "  cloud: {",
            "  device: {",
            "world.yaml:6: sites.device: 'device' means the phone itself; rename it",
            id="a site called device",
        ),
        pytest.param(
            "  camera:",
            "  none:",
            "world.yaml:13: jobs.none: 'none' means no job; rename it",
            id="a job called none",
        ),
        pytest.param(
            "    network: home\n",
            "",
            "world.yaml:8: phones.pixel: network and rssi_dbm are given together or not at all",
            id="a signal without a network",
        ),
        pytest.param(
            "-50",
            "{kind: schedule, period_s: 10, steps: [[0, -50], [10, -60]]}",
            "world.yaml:11: phones.pixel.rssi_dbm: the last of the steps must come before the "
            "period ends",
            id="a schedule that does not fit its period",
        ),
        pytest.param(
            "-50",
            "{kind: markov, values: [-50, -60], mean_dwell_s: [1]}",
            "world.yaml:11: phones.pixel.rssi_dbm: mean_dwell_s needs 2 entries, one per value",
            id="a chain with a state too few",
        ),
        pytest.param(
            "-50",
            "{kind: gauss_markov, mean: -50, std: 2, min: -40, max: -60}",
            "world.yaml:11: phones.pixel.rssi_dbm: min must not be above max",
            id="limits the wrong way round",
        ),
        pytest.param(
            "-50",
            "{kind: gaus_markov, mean: -50, std: 2}",
            "world.yaml:11: phones.pixel.rssi_dbm.kind: unknown kind 'gaus_markov'; did you mean "
            "'gauss_markov'? Known: constant, gauss_markov, markov, schedule, trace",
            id="unknown kind",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_what_was_found_and_what_is_allowed(
    old: str, new: str, line: str, tmp_path: Path
) -> None:
    assert old in GOOD
    assert refusal(tmp_path, GOOD.replace(old, new, 1)) == [line]


def test_a_missing_kind_is_told_with_the_kinds_there_are(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, GOOD.replace("kind: poisson, ", ""))
    assert line.startswith("world.yaml:16: jobs.camera.arrivals: ")
    assert "'kind'" in line
    assert "periodic" in line
    assert "poisson" in line


@pytest.mark.parametrize("place", ["controllers", "compare", "jobs.camera.controllers"])
def test_an_unknown_slot_is_told_with_the_nearest_one(place: str, tmp_path: Path) -> None:
    value = ["cloud"] if place == "compare" else "cloud"
    lines = refusal(tmp_path, GOOD, (f"{place}.ofloading", value))
    assert any("did you mean 'offloading'" in line for line in lines)
    # Nothing is wrong with the controller; to say that there is none would send the user astray.
    assert not any("no controller" in line for line in lines), lines


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("  home: {kind: wifi}", "  home: wifi", id="network"),
        pytest.param("{server: xeon_e5_2640_p100, rtt_ms: 34}", "far", id="site"),
        pytest.param("-50", "strong", id="signal"),
        pytest.param("{kind: poisson, rate_per_s: 1}", "often", id="arrivals"),
        pytest.param("controllers:", "record: all\ncontrollers:", id="record"),
        pytest.param("controllers:", "limits: none\ncontrollers:", id="limits"),
        pytest.param("  pixel:", "  my phone:", id="name of a phone"),
        pytest.param("name: small", "name: my world", id="name"),
        pytest.param("phones:", "phones: {}\nfons:", id="no phones"),
    ],
)
def test_no_message_speaks_of_classes_dictionaries_or_patterns(
    old: str, new: str, tmp_path: Path
) -> None:
    text = "\n".join(refusal(tmp_path, GOOD.replace(old, new, 1)))
    for word in ("Spec", "instance of", "object to extract", "dictionary", "[key]", "^["):
        assert word not in text


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines(
    tmp_path: Path,
) -> None:
    text = """\
name: small
duration_s: 0
sead: 4
networks:
  home: {kind: wifi, bandwidth_mhz: 25}
sites:
  device: {server: xeon, rtt_ms: 34}
phones:
  pixel: {profile: mi_9, network: hom, rssi_dbm: -50}
  pixel_0: {profile: mi_8_pro, charge: 1.5}
jobs:
  none:
    kind: inference
    model: mobilenet
    phones: [tablet]
    arrivals: {kind: poisson}
controllers: {offloading: clod}
record: {states: {devices: [pixl]}}
"""
    lines = refusal(tmp_path, text)
    keys = [re.match(r"world\.yaml:(\d+): ([^:]+): ", line) for line in lines]
    assert [(int(key[1]), key[2]) for key in keys if key] == [
        (2, "duration_s"),
        (3, "sead"),
        (5, "networks.home.bandwidth_mhz"),
        (7, "sites.device"),
        (7, "sites.device.server"),
        (9, "phones.pixel.network"),
        (9, "phones.pixel.profile"),
        (10, "phones.pixel_0.charge"),
        (12, "jobs.none"),
        (14, "jobs.none.model"),
        (15, "jobs.none.phones[0]"),
        (16, "jobs.none.arrivals.rate_per_s"),
        (17, "controllers.offloading"),
        (18, "record.states.devices[0]"),
    ]


def test_every_duplicate_key_is_told(tmp_path: Path) -> None:
    text = GOOD + "name: again\nphones: {}\n"
    assert refusal(tmp_path, text) == [
        "world.yaml:19: name: given twice; it stands in line 1 already",
        "world.yaml:20: phones: given twice; it stands in line 7 already",
    ]


# --- size ----------------------------------------------------------------------------------------


def test_a_scenario_with_more_requests_than_its_limit_is_refused(tmp_path: Path) -> None:
    text = GOOD + "limits: {requests: 100}\n"
    assert load(tmp_path, text, ("jobs.camera.arrivals.rate_per_s", 20)).scenario.limits.requests
    assert refusal(tmp_path, text, ("jobs.camera.arrivals.rate_per_s", 20.1)) == [
        "world.yaml:2: duration_s: about 100 requests are to be expected, more than the 100 "
        "allowed; shorten duration_s or raise limits.requests"
    ]


def test_the_limit_of_requests_counts_phones_and_periods(tmp_path: Path) -> None:
    text = GOOD.replace("poisson, rate_per_s: 1", "periodic, period_ms: 500")
    # 5 s at 2 per second on 10 phones
    assert load(tmp_path, text, ("phones.pixel.count", 10), ("limits.requests", 100))
    (line,) = refusal(tmp_path, text, ("phones.pixel.count", 10), ("limits.requests", 99))
    assert "about 100 requests" in line
    two = text.replace("jobs:", "  other: {profile: mi_8_pro, count: 1000}\njobs:")
    one_group = two.replace("model:", "phones: [pixel]\n    model:")
    assert load(tmp_path, one_group, ("limits.requests", 10))


def test_a_scenario_with_more_changes_of_signal_than_its_limit_is_refused(tmp_path: Path) -> None:
    text = GOOD.replace("-50", "{kind: gauss_markov, mean: -50, std: 3, step_s: 0.5}")
    assert load(tmp_path, text, ("limits.signal_changes", 10))
    (line,) = refusal(tmp_path, text, ("limits.signal_changes", 9))
    assert line.startswith("world.yaml:2: duration_s: about 10 signal changes")
    assert line.endswith("raise limits.signal_changes")


# --- profiles of one's own -----------------------------------------------------------------------


def own_profile(folder: Path, name: str, change: tuple[str, str] = ("", "")) -> Path:
    """A copy of a shipped phone's profile under another name, beside the scenario."""
    shipped = find_scenario("quickstart").parent.parent / "device_profiles" / "mi_8_pro.yaml"
    text = shipped.read_text(encoding="utf-8").replace("name: mi_8_pro", f"name: {name}")
    assert change[0] in text
    file = folder / "device_profiles" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text.replace(*change) if change[0] else text, encoding="utf-8")
    return file


def test_a_profile_in_a_folder_beside_the_scenario_can_be_named(tmp_path: Path) -> None:
    own_profile(tmp_path, "my_phone", ("value: 3000", "value: 4000"))
    loaded = load(tmp_path, GOOD.replace("profile: mi_8_pro", "profile: my_phone"))
    own, original = loaded.catalogue.phone("my_phone"), loaded.catalogue.phone("mi_8_pro")
    assert own.battery.capacity_j == pytest.approx(original.battery.capacity_j * 4 / 3)


def test_mistakes_in_a_profile_are_told_by_its_own_file_and_lines(tmp_path: Path) -> None:
    file = own_profile(tmp_path, "my_phone", ("nominal_voltage_v:", "nominal_voltage:"))
    number = next(
        i
        for i, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if "nominal_voltage" in line
    )
    text = GOOD.replace("profile: mi_8_pro", "profile: my_phone")
    lines = refusal(tmp_path, text, ("duration_s", 0))
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["command line", "duration_s"],
        # The missing key is told at the line of the mapping that lacks it.
        [f"device_profiles/my_phone.yaml:{number - 2}", "battery.nominal_voltage_v"],
        [f"device_profiles/my_phone.yaml:{number}", "battery.nominal_voltage"],
    ]


def test_a_profile_that_is_not_yaml_is_told_by_its_own_file(tmp_path: Path) -> None:
    own_profile(tmp_path, "my_phone").write_text("kind: phone\nname: [\n")
    lines = refusal(tmp_path, GOOD.replace("profile: mi_8_pro", "profile: my_phone"))
    assert len(lines) == 1
    assert lines[0].startswith("device_profiles/my_phone.yaml:3: not valid YAML")


def test_a_broken_profile_that_the_scenario_does_not_use_is_no_obstacle(tmp_path: Path) -> None:
    own_profile(tmp_path, "my_phone", ("nominal_voltage_v:", "nominal_voltage:"))
    assert load(tmp_path, GOOD).scenario.name == "small"


def test_a_profile_named_unlike_its_file_is_refused(tmp_path: Path) -> None:
    own_profile(tmp_path, "my_phone").rename(tmp_path / "device_profiles" / "other.yaml")
    (line,) = refusal(tmp_path, GOOD.replace("profile: mi_8_pro", "profile: other"))
    assert re.match(
        r"device_profiles/other\.yaml:\d+: name: must be the file's own name; write 'other'", line
    )


# --- traces --------------------------------------------------------------------------------------


def test_a_trace_is_read_from_the_folder_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text("time_s,value\n0,-50\n\n2.5,-7e1\n")
    loaded = load(tmp_path, TRACED)
    assert isinstance(loaded.scenario.phones["pixel"].rssi_dbm, TraceSpec)
    assert loaded.recordings.signals == {"walk.csv": ([0.0, 2.5], [-50.0, -70.0])}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(
            "0,-50\n", ["walk.csv:1: the first line must be 'time_s,value'"], id="no header"
        ),
        pytest.param("", ["walk.csv:1: the first line must be 'time_s,value'"], id="empty"),
        pytest.param("time_s,value\n", ["walk.csv: holds no values"], id="no rows"),
        pytest.param(
            "time_s,value\n0,-50\n4,-60\n3,-70\n",
            ["walk.csv:4: times must increase by 0.001 s at least; 3 s follows 4 s"],
            id="unsorted",
        ),
        pytest.param(
            "time_s,value\n1,-50\n", ["walk.csv:2: the first time must be 0"], id="late start"
        ),
        pytest.param(
            "time_s,value\n0,nan\n",
            ["walk.csv:2: needs a finite time and -150 to 0 dBm, found 0,nan"],
            id="not a number",
        ),
        pytest.param(
            "time_s,value\n0,-50\ninf,-50\n",
            ["walk.csv:3: needs a finite time and -150 to 0 dBm, found inf,-50"],
            id="infinite time",
        ),
        pytest.param(
            "time_s,value\n0,-50\n1,-200\n",
            ["walk.csv:3: needs a finite time and -150 to 0 dBm, found 1,-200"],
            id="out of range",
        ),
        pytest.param(
            "time_s,value\n0,-50\n1,weak\n",
            ["walk.csv:3: not two numbers: 1,weak"],
            id="not numbers",
        ),
        pytest.param(
            "time_s,value\n0,-50\n1\n2,-50,3\n",
            ["walk.csv:3: not two numbers: 1", "walk.csv:4: not two numbers: 2,-50,3"],
            id="not two cells",
        ),
        pytest.param(
            "time_s,value\n0,-50\n1,5\nx,-50\n1,-50\n0.5,-50\n",
            [
                "walk.csv:3: needs a finite time and -150 to 0 dBm, found 1,5",
                "walk.csv:4: not two numbers: x,-50",
                "walk.csv:6: times must increase by 0.001 s at least; 0.5 s follows 1 s",
            ],
            id="all at once",
        ),
    ],
)
def test_mistakes_in_a_trace_are_told_with_their_lines(
    content: str, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / "walk.csv").write_text(content)
    assert refusal(tmp_path, TRACED) == lines


def test_a_trace_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, TRACED) == [
        "world.yaml:11: phones.pixel.rssi_dbm.file: walk.csv cannot be read: "
        "No such file or directory"
    ]


def test_a_name_no_file_can_have_is_told_where_it_stands(tmp_path: Path) -> None:
    (line,) = refusal(tmp_path, TRACED.replace("walk.csv", '"walk\\0.csv"'))
    assert line.startswith("world.yaml:11: phones.pixel.rssi_dbm.file: ")


def test_a_period_that_ends_before_its_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text("time_s,value\n0,-50\n4,-60\n")
    text = TRACED.replace("walk.csv", "walk.csv, period_s: 4")
    (line,) = refusal(tmp_path, text)
    assert "period_s 4 ends before its last time, 4 s" in line
    assert load(tmp_path, text.replace("period_s: 4", "period_s: 4.5")).recordings.signals


# --- arrivals ------------------------------------------------------------------------------------

POISSON = "{kind: poisson, rate_per_s: 1}"
REPLAYED = GOOD.replace(POISSON, "{kind: trace, file: asked.csv}")


def arriving(folder: Path, arrivals: str, *overrides: Override) -> LoadedScenario:
    assert POISSON in GOOD
    return load(folder, GOOD.replace(POISSON, arrivals), *overrides)


def test_a_period_can_be_given_by_its_frames_per_second(tmp_path: Path) -> None:
    for text in ("fps: 40", "period_ms: 25"):
        spec = arriving(tmp_path, f"{{kind: periodic, {text}}}").scenario.jobs["camera"].arrivals
        assert isinstance(spec, PeriodicSpec)
        assert spec.period_s == 0.025


@pytest.mark.parametrize(
    ("arrivals", "line"),
    [
        pytest.param(
            "{kind: periodic}",
            "world.yaml:16: jobs.camera.arrivals: needs either period_ms or fps, exactly one of them",
            id="no period",
        ),
        pytest.param(
            "{kind: periodic, period_ms: 20, fps: 50}",
            "world.yaml:16: jobs.camera.arrivals: needs either period_ms or fps, exactly one of them",
            id="two periods",
        ),
        pytest.param(
            "{kind: periodic, fps: 0}",
            "world.yaml:16: jobs.camera.arrivals.fps: it should be greater than or equal to "
            "0.000000001; found 0",
            id="no frames",
        ),
        pytest.param(
            "{kind: diurnal, steps: []}",
            "world.yaml:16: jobs.camera.arrivals.steps: needs at least 1 entry; found []",
            id="no steps",
        ),
        pytest.param(
            "{kind: diurnal, steps: [[0, 0], [3600, 0]]}",
            "world.yaml:16: jobs.camera.arrivals: some of the rates must be above 0: 1e-12 per "
            "second at least, on average",
            id="never",
        ),
        pytest.param(
            "{kind: diurnal, steps: [[0, 1], [3600, -2]]}",
            "world.yaml:16: jobs.camera.arrivals.steps[1][1]: it should be greater than or equal "
            "to 0; found -2",
            id="negative rate",
        ),
        pytest.param(
            "{kind: diurnal, steps: [[1, 1]]}",
            "world.yaml:16: jobs.camera.arrivals: the first of the steps must be at 0 s",
            id="late start",
        ),
        pytest.param(
            "{kind: diurnal, steps: [[0, 1], [9, 2], [4, 1]]}",
            "world.yaml:16: jobs.camera.arrivals: step times must increase; 4 s follows 9 s",
            id="unsorted",
        ),
        pytest.param(
            "{kind: diurnal, steps: [[0, 1], [86400, 2]]}",
            "world.yaml:16: jobs.camera.arrivals: the last of the steps must come before the "
            "period ends",
            id="beyond the period",
        ),
        pytest.param(
            "{kind: trace, file: asked.csv, random_offset: true}",
            "world.yaml:16: jobs.camera.arrivals: random_offset needs a period_s",
            id="offset in what?",
        ),
        pytest.param(
            "{kind: trace, file: nowhere.csv}",
            "world.yaml:16: jobs.camera.arrivals.file: nowhere.csv cannot be read: "
            "No such file or directory",
            id="no file",
        ),
        pytest.param(
            "{kind: pareto}",
            "world.yaml:16: jobs.camera.arrivals.kind: unknown kind 'pareto'; Known: diurnal, "
            "periodic, poisson, trace, turns",
            id="unknown kind",
        ),
    ],
)
def test_mistakes_in_arrivals_are_told_where_they_stand(
    arrivals: str, line: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, GOOD.replace(POISSON, arrivals)) == [line]


def test_recorded_arrivals_are_read_from_the_folder_of_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "asked.csv").write_text("time_s\n0\n\n2.5\n2.5\n1e1\n")
    loaded = load(tmp_path, REPLAYED)
    assert loaded.recordings.arrivals_s == {"asked.csv": [0.0, 2.5, 2.5, 10.0]}
    assert loaded.recordings.signals == {}


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param("", ["asked.csv:1: the first line must be 'time_s'"], id="empty"),
        pytest.param(
            "time_s,value\n0,1\n", ["asked.csv:1: the first line must be 'time_s'"], id="header"
        ),
        pytest.param("time_s\n", ["asked.csv: holds no times"], id="no rows"),
        pytest.param(
            "time_s\n3\n2\n-1\nnan\ninf\n1,2\nsoon\n4\n",
            [
                "asked.csv:3: times must not go back; 2 s follows 3 s",
                "asked.csv:4: needs a finite time of 0 s or later, found -1",
                "asked.csv:5: needs a finite time of 0 s or later, found nan",
                "asked.csv:6: needs a finite time of 0 s or later, found inf",
                "asked.csv:7: not one number: 1,2",
                "asked.csv:8: not one number: soon",
            ],
            id="all at once",
        ),
    ],
)
def test_mistakes_in_recorded_arrivals_are_told_with_their_lines(
    content: str, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / "asked.csv").write_text(content)
    assert refusal(tmp_path, REPLAYED) == lines


def test_recorded_arrivals_must_fit_their_period(tmp_path: Path) -> None:
    (tmp_path / "asked.csv").write_text("time_s\n0\n4\n")
    text = REPLAYED.replace("asked.csv", "asked.csv, period_s: 4")
    assert refusal(tmp_path, text) == [
        "asked.csv: period_s 4 must end after its last time, 4 s",
    ]
    assert load(tmp_path, text.replace("period_s: 4", "period_s: 4.5")).recordings.arrivals_s


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ("{kind: periodic, fps: 30}", 150),
        # In 5 s: three whole periods at 1 in each, and half of one.
        ("{kind: diurnal, period_s: 1.5, steps: [[0, 0], [0.5, 1]]}", 3),
        ("{kind: trace, file: asked.csv}", 3),
        ("{kind: trace, file: asked.csv, period_s: 10}", 3),
        ("{kind: trace, file: asked.csv, period_s: 7, random_offset: true}", 4 * 5 / 7),
    ],
)
def test_the_limit_of_requests_counts_all_kinds_of_arrivals(
    arrivals: str, expected: float, tmp_path: Path
) -> None:
    (tmp_path / "asked.csv").write_text("time_s\n0\n1\n1\n6\n")
    for factor, fits in ((1.001, True), (0.999, False)):
        limit = ("limits.requests", expected * factor)
        if fits:
            assert arriving(tmp_path, arrivals, limit)
        else:
            with pytest.raises(ConfigError, match="requests are to be expected"):
                arriving(tmp_path, arrivals, limit)


# --- overrides -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("duration_s=20", ("duration_s", 20)),
        ("duration_s=1e3", ("duration_s", 1000.0)),
        ("a.b.0=x", ("a.b.0", "x")),
        ("a=b=c", ("a", "b=c")),
        ("a='20'", ("a", "20")),
        ("a=true", ("a", True)),
        ("a=", ("a", None)),
        ("a=[1, {b: 2}]", ("a", [1, {"b": 2}])),
    ],
)
def test_the_value_of_an_override_is_yaml(text: str, override: Override) -> None:
    key, value = parse_override(text)
    assert (key, value) == override
    assert type(value) is type(override[1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duration_s", "command line: --set: 'duration_s' is not of the form path.to.key=value"),
        ("=5", "command line: --set: '=5' is not of the form path.to.key=value"),
    ],
)
def test_an_override_without_key_or_value_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_override(text)
    assert str(caught.value) == message


def test_an_override_whose_value_is_not_yaml_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"command line:1: not valid YAML"):
        parse_override("a=[1")


def test_an_override_takes_the_place_of_the_files_value(tmp_path: Path) -> None:
    scenario = load(
        tmp_path,
        GOOD,
        ("duration_s", 7),
        ("phones.pixel.count", 3),
        ("phones.pixel.rssi_dbm", {"kind": "gauss_markov", "mean": -60, "std": 2}),
        ("jobs.camera.arrivals", {"kind": "poisson", "rate_per_s": 0.5}),
        ("compare.offloading", ["cloud", "random"]),
        ("compare.offloading.1", "oracle"),
    ).scenario
    assert (scenario.duration_s, scenario.phones["pixel"].count) == (7.0, 3)
    assert isinstance(scenario.phones["pixel"].rssi_dbm, GaussMarkovSpec)
    assert scenario.jobs["camera"].arrivals == PoissonSpec(kind="poisson", rate_per_s=0.5)
    assert scenario.compare == {"offloading": ["cloud", "oracle"]}


def test_an_override_can_make_mappings_that_the_file_does_not_have(tmp_path: Path) -> None:
    scenario = load(tmp_path, GOOD, ("record.states.quantities", ["charge"])).scenario
    assert scenario.record.states is not None
    assert scenario.record.states.quantities == ["charge"]


def test_an_override_below_a_merged_mapping_changes_that_phone_only(tmp_path: Path) -> None:
    scenario = load_scenario("quickstart", [("phones.mi_8_pro.rssi_dbm.mean", -99)]).scenario
    means = {
        name: group.rssi_dbm.mean
        for name, group in scenario.phones.items()
        if isinstance(group.rssi_dbm, GaussMarkovSpec)
    }
    assert means == {"mi_8_pro": -99.0, "galaxy_s10e": -68.0, "moto_x_force": -68.0}


@pytest.mark.parametrize(
    ("override", "line"),
    [
        pytest.param(
            ("duration_s", -1),
            "command line: duration_s: it should be greater than 0; found -1",
            id="out of range",
        ),
        pytest.param(
            ("phones.pixel.cuont", 2),
            "command line: phones.pixel.cuont: unknown key; did you mean 'count'? "
            "Known: ambient_c, app, brightness, charge, cooled, count, governor, mobility, network, "
            "networks, plugged_in, profile, roaming, rssi_dbm, runtime, screen_on",
            id="unknown key",
        ),
        pytest.param(
            ("controllers.offloading", "clod"),
            "command line: controllers.offloading: there is no controller 'clod' for slot "
            "'offloading'; did you mean 'cloud'? Known: " + KNOWN,
            id="unknown name",
        ),
        pytest.param(
            ("phones.pixel.rssi_dbm", {"kind": "constant", "value": 3}),
            "command line: phones.pixel.rssi_dbm.value: it should be less than or equal to 0; "
            "found 3",
            id="inside a mapping",
        ),
        pytest.param(
            ("phones.pixel.profile.name", 3),
            "command line: phones.pixel.profile.name: phones.pixel.profile has no entry 'name'",
            id="below a value",
        ),
    ],
)
def test_a_mistake_in_an_override_is_placed_on_the_command_line(
    override: Override, line: str, tmp_path: Path
) -> None:
    assert refusal(tmp_path, GOOD, override) == [line]


@pytest.mark.parametrize("key", ["phones.²", "", "..", "phones.pixel.", "phones." + "9" * 5000])
def test_a_strange_key_path_is_refused_as_any_other(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load(tmp_path, GOOD, (key, {}))


def test_overrides_and_the_file_are_told_together(tmp_path: Path) -> None:
    lines = refusal(
        tmp_path,
        GOOD.replace("model: mobilenet_v1", "model: none"),
        ("duration_s", -1),
        ("name.x", 1),
    )
    assert sorted(line.split(": ")[:2] for line in lines) == [
        ["command line", "duration_s"],
        ["command line", "name.x"],
        ["world.yaml:15", "jobs.camera.model"],
    ]


def test_controllers_are_chosen_for_all_jobs_or_for_one() -> None:
    """A controller for all jobs replaces those that jobs name for themselves; one for a job wins."""
    own = ("jobs.camera.controllers", {"offloading": "edge_cpu"})
    for chosen in (
        {"offloading": "cloud", "assistant.offloading": "random"},
        {"assistant.offloading": "random", "offloading": "cloud"},
    ):
        scenario = load_scenario("quickstart", [own], chosen).scenario
        assert scenario.controllers == {"offloading": "cloud"}
        assert scenario.jobs["camera"].controllers == {"offloading": "cloud"}
        assert scenario.jobs["assistant"].controllers == {"offloading": "random"}


def test_a_controller_chosen_for_all_jobs_takes_the_place_of_a_jobs_own(tmp_path: Path) -> None:
    text = GOOD.replace("model:", "controllers: {offloading: random}\n    model:")
    (tmp_path / "world.yaml").write_text(text)
    scenario = load_scenario(tmp_path / "world.yaml", (), {"offloading": "oracle"}).scenario
    assert scenario.jobs["camera"].controllers == {"offloading": "oracle"}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("ofloading", "there is no slot 'ofloading'; did you mean 'offloading'?"),
        ("camrea.offloading", "there is no job 'camrea'; did you mean 'camera'?"),
        ("camera.ofloading", "there is no slot 'ofloading'; did you mean 'offloading'?"),
    ],
)
def test_a_controller_chosen_for_nothing_there_is_is_refused(
    key: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "world.yaml").write_text(GOOD)
    with pytest.raises(ConfigError) as caught:
        load_scenario(tmp_path / "world.yaml", (), {key: "cloud"})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"command line: {key}: {message}")


# --- models of one's own -------------------------------------------------------------------------

MODEL = """kind: model
name: my_net
input: 8 values
input_bytes: 8
output_bytes: 4
accuracy:
  fp32: {value: 0.9, metric: mine, source: my own run}
source: my own design
layers:
  - {name: head, kind: dense, macs: 80, parameters: 90, inputs: 8, outputs: 10}
"""


def _with_own_model(folder: Path, table: str, runtime: str = "") -> Path:
    (folder / "models").mkdir()
    (folder / "models" / "my_net.yaml").write_text(table)
    file = folder / "mine.yaml"
    file.write_text(
        "name: mine\nseed: 1\nduration_s: 5\n"
        f"phones:\n  p: {{profile: mi_8_pro{runtime}}}\n"
        "jobs:\n  j: {kind: inference, model: my_net, arrivals: {kind: periodic, period_ms: 1000}}\n"
        "controllers: {offloading: edge_cpu}\n"
    )
    return file


def test_a_layer_table_beside_the_scenario_is_a_model(tmp_path: Path) -> None:
    loaded = load_scenario(_with_own_model(tmp_path, MODEL))
    assert loaded.models["my_net"].macs == 80


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (MODEL.replace("macs: 80", "macs: -80"), "my_net.yaml:10: layers[0].macs"),
        (
            MODEL.replace("accuracy:\n", "").replace(
                "  fp32: {value: 0.9, metric: mine, source: my own run}\n", ""
            ),
            "my_net.yaml: accuracy: no precision is offered",
        ),
    ],
    ids=["negative", "no accuracy"],
)
def test_what_is_wrong_in_it_is_told_with_its_place(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(_with_own_model(tmp_path, table))
    assert said in str(caught.value)


def test_phones_may_run_other_software(tmp_path: Path) -> None:
    loaded = load_scenario(_with_own_model(tmp_path, MODEL, ", runtime: ncnn"))
    spec = loaded.catalogue.phone("mi_8_pro", loaded.scenario.phones["p"].runtime)
    assert spec.processors["cpu_big"].efficiency["fp32"].runtime == "ncnn"


@pytest.mark.parametrize("runtime", ["nccn", "ncnn_vulkan"])
def test_software_that_cannot_run_a_float_model_there_is_refused(
    tmp_path: Path, runtime: str
) -> None:
    with pytest.raises(ConfigError, match=r"mine.yaml:5: phones.p.runtime: .*did you mean 'ncnn'"):
        load_scenario(_with_own_model(tmp_path, MODEL, f", runtime: {runtime}"))


@pytest.mark.parametrize(
    ("profile", "line", "key", "message"),
    [
        pytest.param(
            *("mi_8_pro", "governor: {gpu: {kind: fixed, mhz: 123}}", "phones.pixel.governor"),
            "123",
            id="a level that no processor has",
        ),
        pytest.param(
            *("mi_8_pro", "governor: fixed", "phones.pixel.governor"),
            "'fixed' needs mhz, and only 'fixed' has one",
            id="a fixed level that is not given",
        ),
        pytest.param(
            *("mi_8_pro", "governor: {npu: powersave}", "phones.pixel.governor"),
            "npu",
            id="a governor of a processor that is not there",
        ),
        pytest.param(
            *("mi_8_pro", "app: web_brwser", "phones.pixel.app"),
            "did you mean 'web_browser'?",
            id="unknown app",
        ),
        pytest.param(
            *("bare", "plugged_in: true", "phones.pixel.plugged_in"),
            "cell",
            id="a charger without a cell",
        ),
        pytest.param(
            *("bare", "screen_on: true", "phones.pixel.screen_on"),
            "screen",
            id="a screen that is not there",
        ),
        pytest.param(
            *("mi_8_pro", "ambient_c: 100", "phones.pixel.ambient_c"),
            "less than or equal to 80; found 100",
            id="air that boils water",
        ),
    ],
)
def test_what_a_phone_cannot_do_is_refused_where_it_is_asked_for(
    tmp_path: Path, profile: str, line: str, key: str, message: str
) -> None:
    _bare_phone(tmp_path)
    text = GOOD.replace("profile: mi_8_pro\n", f"profile: {profile}\n    {line}\n")
    (told,) = refusal(tmp_path, text)
    assert told.startswith("world.yaml:10: " + key)
    assert message in told


def _bare_phone(folder: Path) -> None:
    """A phone without screen, cell or heat."""
    profiles = folder / "device_profiles"
    profiles.mkdir()
    file = catalogue_folder("device_profiles") / "mi_8_pro.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    data["name"] = "bare"
    for key in ("screen", "thermal", "memory"):
        data.pop(key, None)
    for key in ("cell", "resistance_mohm", "charger_w"):
        data["battery"].pop(key)
    (profiles / "bare.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
