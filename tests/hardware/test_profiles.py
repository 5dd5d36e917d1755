import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgesim.core.documents import read_document
from edgesim.core.errors import ConfigError
from edgesim.core.units import mah_to_j
from edgesim.hardware.profiles import (
    Catalogue,
    PhoneProfile,
    ServerProfile,
    SocProfile,
    catalogue_folder,
    read_profile,
)
from edgesim.nn.zoo import ZOO

SHIPPED = sorted(catalogue_folder("device_profiles").glob("*.yaml"))
each_profile = pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
PHONES = ["galaxy_s10e", "mi_8_pro", "moto_x_force"]
SERVERS = ["xeon_e5_2640_p100"]


def _mappings(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        yield data
        for value in data.values():
            yield from _mappings(value)
    elif isinstance(data, list):
        for value in data:
            yield from _mappings(value)


# --- what ships ----------------------------------------------------------------------------------


def test_the_catalogue_knows_what_ships() -> None:
    catalogue = Catalogue()
    assert set(catalogue.names("phone")) >= set(PHONES)
    assert set(catalogue.names("server")) >= set(SERVERS)
    assert {"exynos_9820", "snapdragon_810", "snapdragon_845"} <= set(catalogue.names("soc"))
    assert catalogue.names("toaster") == []
    listed = [name for kind in ("phone", "soc", "server") for name in catalogue.names(kind)]
    assert sorted(listed) == [file.stem for file in SHIPPED]


@each_profile
def test_every_shipped_profile_is_in_order(file: Path) -> None:
    _, profile = read_profile(file)
    assert profile.name == file.stem
    catalogue = Catalogue()
    if isinstance(profile, PhoneProfile):
        assert catalogue.phone(profile.name).profile == profile.name
    elif isinstance(profile, ServerProfile):
        assert catalogue.server(profile.name).profile == profile.name
    else:
        assert isinstance(profile, SocProfile)


@each_profile
def test_every_number_of_a_shipped_profile_says_where_it_comes_from(file: Path) -> None:
    counted = 0
    for mapping in _mappings(read_document(file).data):
        numbers = {
            key
            for key, value in mapping.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        assert numbers <= {"value", "rssi_dbm"}, mapping
        if numbers:
            assert len(mapping["source"].strip()) >= 10, mapping
            counted += 1
    assert counted >= 8


@pytest.mark.parametrize("phone", PHONES)
def test_a_phone_is_put_together_from_its_profile_and_its_chip_in_si_units(phone: str) -> None:
    catalogue = Catalogue()
    profile = catalogue.profile(phone)
    assert isinstance(profile, PhoneProfile)
    soc = catalogue.profile(profile.soc)
    assert isinstance(soc, SocProfile)
    spec = catalogue.phone(phone)
    battery, wifi = profile.battery, profile.wifi
    charge_c = battery.capacity_mah.value * 3.6
    assert spec.capacity_j == pytest.approx(charge_c * battery.nominal_voltage_v.value)
    assert list(spec.processors) == list(soc.processors)
    idle_w = sum(processor.idle_power_w.value for processor in soc.processors.values())
    assert spec.awake_w == pytest.approx(profile.power.awake_w.value + idle_w)
    assert spec.wifi.tail_s == pytest.approx(wifi.tail_ms.value / 1000)
    assert spec.wifi.transmit_w == tuple((row.rssi_dbm, row.value) for row in wifi.transmit_w)
    assert spec.idle_w == spec.suspend_w + spec.wifi.idle_w
    for name, processor in spec.processors.items():
        rows = soc.processors[name].latency_ms
        assert processor.slots is None
        assert processor.latency_s == pytest.approx(
            {(row.model, row.precision): row.value / 1000 for row in rows}
        )


@pytest.mark.parametrize("phone", PHONES)
def test_a_phones_watts_and_joules_are_those_of_a_phone(phone: str) -> None:
    spec = Catalogue().phone(phone)
    assert 30e3 < spec.capacity_j < 80e3
    assert 0 < spec.idle_w < 0.05 < spec.awake_w < 3
    assert spec.suspend_w < spec.awake_w
    assert spec.wifi.idle_w < spec.wifi.tail_w < spec.wifi.receive_w
    watts = [power_w for _, power_w in spec.wifi.transmit_w]
    assert watts == sorted(watts, reverse=True)  # the weaker the signal, the more
    busy_w = sum(processor.busy_power_w for processor in spec.processors.values())
    assert spec.peak_w == pytest.approx(spec.awake_w + spec.wifi.peak_w + busy_w)
    assert 5 < spec.peak_w < 30


def test_the_server_serves_in_slots_and_has_its_building_around_it() -> None:
    spec = Catalogue().server("xeon_e5_2640_p100")
    assert 1 < spec.pue < 2
    assert spec.idle_power_w > 50
    assert {processor.slots for processor in spec.processors.values()} == {1}


def _ms(phone: str, processor: str, model: str, precision: str) -> float:
    return 1000 * Catalogue().phone(phone).processors[processor].latency_s[model, precision]


def test_inception_is_fastest_on_the_gpu_and_slowest_on_the_little_cores() -> None:
    on = {p: _ms("mi_8_pro", p, "inception_v3", "fp32") for p in ("cpu_big", "cpu_little", "gpu")}
    assert on["gpu"] < on["cpu_big"] < on["cpu_little"]
    assert on["cpu_big"] == pytest.approx(249)
    assert _ms("mi_8_pro", "gpu", "inception_v3", "fp16") < on["gpu"]
    assert _ms("mi_8_pro", "cpu_big", "inception_v3", "int8") < on["cpu_big"]


@pytest.mark.parametrize("phone", PHONES)
def test_a_model_with_fewer_operations_is_faster_on_every_processor(phone: str) -> None:
    for processor in Catalogue().phone(phone).processors.values():
        for precision in ("fp32", "fp16", "int8"):
            key, slower = ("mobilenet_v1", precision), ("inception_v3", precision)
            if key in processor.latency_s and slower in processor.latency_s:
                assert processor.latency_s[key] < processor.latency_s[slower]


def test_the_cloud_is_faster_than_any_phone_on_images() -> None:
    gpu = Catalogue().server("xeon_e5_2640_p100").processors["gpu"]
    for model in ("inception_v3", "resnet_50"):
        for phone in PHONES:
            for processor in Catalogue().phone(phone).processors.values():
                assert gpu.latency_s[model, "fp32"] < processor.latency_s.get((model, "fp32"), 1e9)


@pytest.mark.parametrize("file", [f for f in SHIPPED if f.stem not in PHONES], ids=lambda f: f.stem)
def test_no_latency_beats_a_teraflop_or_takes_a_minute(file: Path) -> None:
    _, profile = read_profile(file)
    assert not isinstance(profile, PhoneProfile)
    for processor in profile.processors.values():
        for row in processor.latency_ms:
            macs_per_s = ZOO[row.model].macs / (row.value / 1000)
            assert 1e8 < macs_per_s < 1e13


def test_milliampere_hours_become_joules() -> None:
    assert mah_to_j(1000, 3.85) == pytest.approx(13_860)


# --- what is refused -----------------------------------------------------------------------------

SOC = """\
kind: soc
name: my_soc
description: a chip
processors:
  cpu:
    kind: cpu
    description: cores
    busy_power_w: {value: 2.0, source: measured}
    idle_power_w: {value: 0.125, source: assumed}
    latency_ms:
      - {model: mobilenet_v1, precision: fp32, value: 20, source: measured}
      - {model: resnet_50, precision: fp32, value: 90, source: measured}
"""
PHONE = """\
kind: phone
name: my_phone
description: a phone
soc: my_soc
battery:
  capacity_mah: {value: 1000, source: label}
  nominal_voltage_v: {value: 4, source: label}
power:
  suspend_w: {value: 0.02, source: measured}
  awake_w: {value: 0.3, source: measured}
wifi:
  streams: {value: 2, source: data sheet}
  idle_w: {value: 0.01, source: measured}
  receive_w: {value: 0.7, source: measured}
  transmit_w:
    - {rssi_dbm: -80, value: 1.5, source: measured}
    - {rssi_dbm: -60, value: 1, source: measured}
  tail_w: {value: 0.2, source: measured}
  tail_ms: {value: 200, source: measured}
"""
SERVER = """\
kind: server
name: my_server
description: a server
pue: {value: 1.2, source: assumed}
idle_power_w: {value: 100, source: measured}
processors:
  gpu:
    kind: gpu
    slots: {value: 2, source: assumed}
    busy_power_w: {value: 200, source: measured}
    latency_ms: []
"""
TEXTS = {"my_soc": SOC, "my_phone": PHONE, "my_server": SERVER}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in TEXTS.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def test_a_users_own_profiles_stand_beside_the_shipped_ones(folder: Path) -> None:
    catalogue = Catalogue([folder])
    assert catalogue.names("phone") == ["my_phone", *Catalogue().names("phone")]
    spec = catalogue.phone("my_phone")
    assert spec.capacity_j == 14_400
    assert spec.awake_w == 0.3 + 0.125
    assert spec.peak_w == 0.3 + 0.125 + 1.5 + 2.0
    assert spec.processors["cpu"].idle_power_w == 0.125
    assert spec.processors["cpu"].latency_s["resnet_50", "fp32"] == 0.09
    server = catalogue.server("my_server")
    assert (server.pue, server.processors["gpu"].slots) == (1.2, 2)


def test_a_users_profile_comes_before_a_shipped_one_of_the_same_name(folder: Path) -> None:
    text = PHONE.replace("my_phone", "mi_8_pro")
    (folder / "mi_8_pro.yaml").write_text(text)
    assert Catalogue([folder]).phone("mi_8_pro").capacity_j == 14_400
    assert Catalogue().phone("mi_8_pro").capacity_j != 14_400


def test_digests_cover_the_profiles_and_their_chips(folder: Path) -> None:
    first = Catalogue([folder]).digests(["my_phone", "my_server"])
    assert list(first) == ["my_phone", "my_server", "my_soc"]
    (folder / "my_soc.yaml").write_text(SOC + "# another comment\n")
    second = Catalogue([folder]).digests(["my_phone", "my_server"])
    assert {name for name in first if first[name] != second[name]} == {"my_soc"}
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in first.values())


def _line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("name", "old", "new", "place", "key", "message"),
    [
        pytest.param(
            *("my_phone", "{value: 0.7, source: measured}", "{value: 0.7}", "receive_w"),
            *("wifi.receive_w.source", "this key is required and missing"),
            id="no source",
        ),
        pytest.param(
            *("my_phone", "{value: 0.7, source: measured}", "{value: 0.7, source: ' '}"),
            *("receive_w", "wifi.receive_w.source", "should have at least 1 character"),
            id="blank source",
        ),
        pytest.param(
            *("my_phone", "{value: 0.7, source: measured}", "0.7", "receive_w"),
            *("wifi.receive_w", "write {value: 0.7, source: ...}"),
            id="bare number",
        ),
        pytest.param(
            *("my_soc", ", value: 90, source: measured", ", value: 90", "- {model: resnet_50"),
            *("processors.cpu.latency_ms[1].source", "this key is required and missing"),
            id="no source in a row",
        ),
        pytest.param(
            *("my_phone", "value: 0.02", "value: -0.02", "suspend_w"),
            *("power.suspend_w.value", "greater than or equal to 0; found -0.02"),
            id="negative watts",
        ),
        pytest.param(
            *("my_soc", "busy_power_w: {value: 2.0", "busy_power_w: {value: 0", "busy_power_w"),
            *("processors.cpu.busy_power_w.value", "it should be greater than 0; found 0"),
            id="no busy power",
        ),
        pytest.param(
            *("my_phone", "value: 0.3,", "value: .nan,", "awake_w"),
            *("power.awake_w.value", "it should be a finite number; found nan"),
            id="not a number",
        ),
        pytest.param(
            *("my_phone", "value: 0.3,", "value: 0.01,", "power:"),
            *("power", "awake_w must not be below suspend_w"),
            id="less awake than asleep",
        ),
        pytest.param(
            *("my_soc", "model: resnet_50", "model: resnet50", "latency_ms"),
            *("processors.cpu.latency_ms", "unknown model 'resnet50'; did you mean 'resnet_50'?"),
            id="unknown model",
        ),
        pytest.param(
            *("my_soc", "resnet_50, precision: fp32", "mobilebert, precision: fp16", "latency_ms"),
            *("processors.cpu.latency_ms", "the accuracy of mobilebert in fp16 is not known"),
            id="precision without accuracy",
        ),
        pytest.param(
            *("my_soc", "resnet_50, precision: fp32", "resnet_50, precision: fp8", "- {model: res"),
            *("processors.cpu.latency_ms[1].precision", "Known: fp16, fp32, int8"),
            id="unknown precision",
        ),
        pytest.param(
            *("my_soc", "model: resnet_50", "model: mobilenet_v1", "latency_ms"),
            *("processors.cpu.latency_ms", "mobilenet_v1 in fp32 is given twice"),
            id="duplicate row",
        ),
        pytest.param(
            *("my_phone", "rssi_dbm: -60", "rssi_dbm: -85", "transmit_w"),
            *("wifi.transmit_w", "-85 dBm follows -80 dBm: rows must increase"),
            id="rows out of order",
        ),
        pytest.param(
            *("my_phone", "rssi_dbm: -60", "rssi_dbm: -80", "transmit_w"),
            *("wifi.transmit_w", "-80 dBm follows -80 dBm: rows must increase"),
            id="the same row twice",
        ),
        pytest.param(
            *("my_phone", PHONE[PHONE.index("transmit_w:") : PHONE.index("  tail_w")]),
            *("transmit_w: []\n", "transmit_w", "wifi.transmit_w", "at least 1 entry"),
            id="no rows",
        ),
        pytest.param(
            *("my_phone", "rssi_dbm: -60", "rssi_dbm: 60", "rssi_dbm: 60"),
            *("wifi.transmit_w[1].rssi_dbm", "less than or equal to 0; found 60"),
            id="a signal stronger than a milliwatt",
        ),
        pytest.param(
            *("my_phone", "value: 0.7,", "value: 1e12,", "receive_w"),
            *("wifi.receive_w.value", "it should be less than or equal to 50"),
            id="beyond all measure",
        ),
        pytest.param(
            *("my_phone", "tail_w:", "tale_w:", "tale_w"),
            *("wifi.tale_w", "unknown key; did you mean 'tail_w'?"),
            id="unknown key",
        ),
        pytest.param(
            *("my_phone", "streams: {value: 2", "streams: {value: 1.5", "streams"),
            *("wifi.streams.value", "it should be a valid integer; found 1.5"),
            id="half a stream",
        ),
        pytest.param(
            *("my_server", "pue: {value: 1.2", "pue: {value: 0.9", "pue"),
            *("pue.value", "it should be greater than or equal to 1; found 0.9"),
            id="a building that gives power",
        ),
        pytest.param(
            *("my_server", "slots: {value: 2", "slots: {value: 0", "slots"),
            *("processors.gpu.slots.value", "it should be greater than or equal to 1; found 0"),
            id="no slots",
        ),
        pytest.param(
            *("my_server", "name: my_server", "name: other", "name"),
            *("name", "must be the file's own name; write 'my_server'"),
            id="another name than the file's",
        ),
        pytest.param(
            *("my_server", "kind: server", "kind: sever", "kind"),
            *("kind", "unknown kind 'sever'; did you mean 'server'?"),
            id="unknown kind",
        ),
        pytest.param(
            *("my_server", "kind: server\n", "", "name"),
            *("kind", "a profile needs a key 'kind', one of soc, phone, server"),
            id="no kind",
        ),
        pytest.param(
            *("my_soc", "  cpu:\n", "  CPU:\n", "CPU"),
            *("processors.CPU", "begins with a-z"),
            id="a name that is none",
        ),
    ],
)
def test_a_profile_out_of_order_is_refused_at_file_line_and_key(
    folder: Path, name: str, old: str, new: str, place: str, key: str, message: str
) -> None:
    text = TEXTS[name].replace(old, new, 1)
    assert text != TEXTS[name]
    file = folder / f"{name}.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Catalogue([folder]).profile(name)
    start = f"{file}:{_line(text, place)}: {key}: "
    lines = [line for line in str(caught.value).splitlines() if line.startswith(start)]
    assert lines, str(caught.value)
    assert message in lines[0]


@each_profile
def test_a_shipped_profile_without_one_of_its_sources_is_refused(
    file: Path, tmp_path: Path
) -> None:
    lines = file.read_text().splitlines(keepends=True)
    numbered = [i for i, line in enumerate(lines) if re.search(r', source: ".*"\}', line)]
    assert numbered
    for i in (numbered[0], numbered[len(numbered) // 2], numbered[-1]):
        changed = lines.copy()
        changed[i] = re.sub(r', source: ".*"\}', "}", changed[i])
        copy = tmp_path / file.name
        copy.write_text("".join(changed))
        with pytest.raises(ConfigError) as caught:
            read_profile(copy)
        (problem,) = caught.value.problems
        assert (problem.file, problem.line) == (str(copy), i + 1)
        assert problem.key.endswith(".source")


def test_all_problems_of_a_profile_are_reported_at_once(folder: Path) -> None:
    text = (
        PHONE.replace("value: 0.7", "value: -1").replace("tail_w", "tale_w").replace("a phone", "")
    )
    (folder / "my_phone.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Catalogue([folder]).profile("my_phone")
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["description", "wifi.tail_w", "wifi.receive_w.value", "wifi.tale_w"]


def test_a_profile_that_does_not_exist_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        ConfigError, match=r"^mi8_pro: there is no such profile; did you mean 'mi_8"
    ):
        Catalogue().profile("mi8_pro")


def test_a_profile_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is a soc, not a phone; .*mi_8_pro"):
        Catalogue().phone("snapdragon_845")
    with pytest.raises(ConfigError, match=r"is a phone, not a server; .*xeon"):
        Catalogue().server("mi_8_pro")


@pytest.mark.parametrize("chip", ["my_sock", "my_server"])
def test_a_phone_without_its_chip_is_refused(folder: Path, chip: str) -> None:
    file = folder / "my_phone.yaml"
    file.write_text(PHONE.replace("soc: my_soc", f"soc: {chip}"))
    with pytest.raises(ConfigError) as caught:
        Catalogue([folder]).phone("my_phone")
    assert str(caught.value).startswith(f"{file}:4: soc: there is no chip '{chip}'; did you mean ")


def test_a_broken_neighbour_does_not_spoil_a_good_profile(folder: Path) -> None:
    (folder / "notes.yaml").write_text("a: [1\n")
    assert Catalogue([folder]).profile("my_server").name == "my_server"
