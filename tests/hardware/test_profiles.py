import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgesim.core.documents import read_document
from edgesim.core.errors import ConfigError
from edgesim.core.units import mah_to_j
from edgesim.hardware.catalogue import (
    Catalogue,
    catalogue_folder,
    processor_specs,
    shared_efficiencies,
)
from edgesim.hardware.profiles import (
    PROFILE_KINDS,
    AppProfile,
    CellProfile,
    IspProfile,
    PhoneProfile,
    SensorProfile,
    ServerProfile,
    SocProfile,
    read_profile,
)
from edgesim.network.lte import LtePower
from edgesim.nn.cost import Level, ProcessorSpec, inference_s, is_supported
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
    assert set(catalogue.names("app")) == {
        *("cpu_heavy", "everyday_use", "memory_heavy", "music_player", "web_browser"),
    }
    assert len(catalogue.names("cell")) >= 2
    listed = [name for kind in PROFILE_KINDS for name in catalogue.names(kind)]
    assert sorted(listed) == [file.stem for file in SHIPPED]
    assert len(SHIPPED) >= 51


def test_every_phone_and_server_of_the_plan_ships() -> None:
    catalogue = Catalogue()
    phones = (
        "mi_8_pro galaxy_s10e moto_x_force galaxy_tab_s6 pixel_2 pixel_3 pixel_4 pixel_5 galaxy_s22"
        " galaxy_s9 galaxy_s6 lg_velvet lg_g7 lg_g4 nexus_5x autofl_high autofl_mid autofl_low"
    )
    assert set(catalogue.names("phone")) >= set(phones.split())
    assert set(catalogue.names("server")) >= {
        *("xeon_e5_2640_p100", "t4", "tesla_v100", "m4_large", "t3a_medium", "t2_small"),
    }


@each_profile
def test_every_shipped_profile_is_in_order(file: Path) -> None:
    _, profile = read_profile(file)
    assert profile.name == file.stem
    catalogue = Catalogue()
    if isinstance(profile, PhoneProfile):
        assert catalogue.phone(profile.name).profile == profile.name
    elif isinstance(profile, ServerProfile):
        assert catalogue.server(profile.name).profile == profile.name
    elif isinstance(profile, AppProfile):
        assert catalogue.app(profile.name).name == profile.name
    else:
        assert isinstance(profile, SocProfile | CellProfile)


ROW_KEYS = {
    *("value", "values", "rssi_dbm", "tx_dbm"),  # of anything
    *("trip_c", "clear_c", "max_mhz", "max_cores"),  # of a trip
    *("charge", "volts", "celsius", "limits_c", "end_current_c"),  # of a cell
    "loads",  # of a load curve
    *SensorProfile.model_fields,
    *IspProfile.model_fields,
}
"""Keys under which a number may stand beside its source."""
FEWEST = {"phone": 12, "soc": 6, "server": 5, "cell": 4, "app": 3}
"""Numbers or rows of numbers in a profile, at the least."""


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_number, value))
    return isinstance(value, int | float) and not isinstance(value, bool)


@each_profile
def test_every_number_of_a_shipped_profile_says_where_it_comes_from(file: Path) -> None:
    counted = 0
    data = dict(read_document(file).data)
    fitted = data.pop("calibration", None)  # written by a program, with one source for all of it
    if fitted is not None:
        assert "benchmarks/calibrate.py" in fitted["source"]
        assert "rows of this chip" in fitted["source"]
    for mapping in _mappings(data):
        numbers = {key for key, value in mapping.items() if _is_number(value)}
        assert numbers <= ROW_KEYS, mapping
        if numbers:
            assert len(mapping["source"].strip()) >= 10, mapping
            counted += 1
    assert counted >= FEWEST[data["kind"]]


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
    assert spec.battery.charge_c == pytest.approx(charge_c)
    assert spec.battery.capacity_j == pytest.approx(charge_c * battery.nominal_voltage_v.value)
    assert battery.resistance_mohm is not None
    assert spec.battery.resistance_ohm == pytest.approx(battery.resistance_mohm.value / 1000)
    assert list(spec.processors) == list(soc.processors)
    idle_w = sum(processor.idle_power_w.value for processor in soc.processors.values())
    assert spec.awake_w == pytest.approx(profile.power.awake_w.value + idle_w)
    assert spec.wifi.tail_s == pytest.approx(wifi.tail_ms.value / 1000)
    assert spec.wifi.transmit_w == tuple((row.rssi_dbm, row.value) for row in wifi.transmit_w)
    for name, processor in spec.processors.items():
        written = soc.processors[name]
        assert processor.slots is None
        assert processor.memory_bps == soc.memory_bandwidth_gbps.value * 1e9
        assert processor.cores == (written.cores.value if written.cores else 1)
        assert [level.frequency_hz for level in processor.levels] == pytest.approx(
            [1e6 * mhz for mhz in written.frequency_mhz.values]
        )
        assert [level.busy_power_w for level in processor.levels] == written.busy_power_w.values
        # What the cluster draws once is in the watts of one busy core.
        once_w = written.cluster_power_w.value if written.cluster_power_w else 0.0
        top_w = written.busy_power_w.values[-1]
        assert processor.power_w(-1, processor.cores) == pytest.approx(
            (top_w - once_w) * processor.cores + once_w
        )
        assert processor.power_w(-1, 1) == pytest.approx(top_w)
        assert processor.macs_per_cycle == {
            precision: quantity.value
            for precision in ("fp32", "fp16", "int8")
            if (quantity := getattr(written.macs_per_cycle, precision))
        }
        assert set(processor.efficiency) <= set(processor.macs_per_cycle)


@pytest.mark.parametrize("phone", PHONES)
def test_a_phones_watts_and_joules_are_those_of_a_phone(phone: str) -> None:
    spec = Catalogue().phone(phone)
    assert 30e3 < spec.battery.capacity_j < 80e3
    assert 0 < spec.suspend_w + spec.wifi.idle_w < 0.05 < spec.awake_w < 3
    assert spec.suspend_w < spec.awake_w
    assert spec.wifi.idle_w < spec.wifi.tail_w < spec.wifi.receive_w
    watts = [power_w for _, power_w in spec.wifi.transmit_w]
    assert watts == sorted(watts, reverse=True)  # the weaker the signal, the more
    busy_w = sum(processor.power_w(-1, processor.cores) for processor in spec.processors.values())
    lit_w = spec.screen_on_w + spec.screen_full_w
    lit_w += 0.0 if spec.camera is None else spec.camera.power_w
    assert spec.peak_w == pytest.approx(spec.awake_w + lit_w + spec.wifi.peak_w + busy_w)
    assert 5 < spec.peak_w < 30


HUANG_W = {"active": 1.28804, "promotion": 1.2107, "tail": 1.06}
"""Of the handset that the LTE states were measured on."""
WITHOUT_LTE = {"galaxy_tab_s6"}


def test_every_phone_has_lte_but_the_tablet_without() -> None:
    catalogue = Catalogue()
    without = {name for name in catalogue.names("phone") if catalogue.phone(name).lte is None}
    assert without == WITHOUT_LTE


@pytest.mark.parametrize("phone", sorted(set(Catalogue().names("phone")) - WITHOUT_LTE))
def test_a_modem_is_that_of_a_phone(phone: str) -> None:
    lte = Catalogue().phone(phone).lte
    assert lte is not None
    assert 0.004 < lte.idle_w < 0.04 < lte.tail_w < lte.promotion_w < lte.active_w < 1.3
    assert [from_dbm for from_dbm, _ in lte.transmit_w] == [-40, 0, 5, 15, 20]
    watts = [row_w for _, row_w in lte.transmit_w]
    assert watts == sorted(watts)
    assert 2.5 < watts[-1] / lte.active_w < 3.5
    # One scale for everything that is not the phone's own.
    scale = lte.active_w / HUANG_W["active"]
    assert lte.promotion_w == pytest.approx(HUANG_W["promotion"] * scale, rel=1e-3)
    assert lte.tail_w == pytest.approx(HUANG_W["tail"] * scale, rel=1e-3)
    assert lte.receive_w_per_bps == pytest.approx(51.97e-9 * scale, rel=1e-3)
    assert lte.layers == 2
    times = (lte.promotion_s, lte.inactivity_s, lte.tail_s, lte.drx_cycle_s, lte.paging_cycle_s)
    assert times == pytest.approx((0.2601, 0.1, 11.576, 0.04, 1.2802))


def test_two_modems_by_hand() -> None:
    """The Pixel 3: 105 mA x 3.7 V while idle, 0.3016 of the handset; bins of 116 to 358 mA. The
    Galaxy S10e: 171 mA x 3.85 V, 7.7 mA x 3.85 V in standby; the Pixels' bins are 3.026 times
    their idle current at the most: (395/145 + 358/105 + 295/100 + 471/156) / 4."""
    pixel, galaxy = (Catalogue().phone(name).lte for name in ("pixel_3", "galaxy_s10e"))
    assert pixel is not None
    assert galaxy is not None
    assert pixel.active_w == pytest.approx(0.3885)
    assert pixel.idle_w == pytest.approx(0.5943 * 43.2 / 1280.2 * 0.3885 / 1.28804, rel=1e-3)
    assert pixel.transmitting_w(-10) == pytest.approx(0.116 * 3.7)
    assert pixel.transmitting_w(23) == pytest.approx(0.358 * 3.7, rel=1e-3)
    assert pixel.tail_w == pytest.approx(0.3197, rel=1e-3)
    assert galaxy.active_w == pytest.approx(0.65835, rel=1e-3)
    assert galaxy.idle_w == pytest.approx(0.029645, rel=1e-3)
    assert galaxy.transmitting_w(23) == pytest.approx(0.65835 * 3.0257, rel=1e-3)


def test_the_peak_of_a_phone_does_not_count_a_modem_that_nothing_uses() -> None:
    spec = Catalogue().phone("pixel_5")
    assert spec.lte is not None
    assert replace(spec, lte=None).peak_board_w == spec.peak_board_w


def test_the_server_serves_in_slots_and_has_its_building_around_it() -> None:
    spec = Catalogue().server("xeon_e5_2640_p100")
    assert 1 < spec.pue < 2
    assert spec.idle_power_w > 50
    assert {processor.slots for processor in spec.processors.values()} == {1}


def _ms(phone: str, processor: str, model: str, precision: str) -> float:
    seconds = inference_s(ZOO[model], Catalogue().phone(phone).processors[processor], precision)
    assert seconds is not None
    return 1000 * seconds


def test_inception_is_fastest_on_the_gpu_and_slowest_on_the_little_cores() -> None:
    on = {p: _ms("mi_8_pro", p, "inception_v3", "fp32") for p in ("cpu_big", "cpu_little", "gpu")}
    assert on["gpu"] < on["cpu_big"] < on["cpu_little"]
    assert on["cpu_big"] == pytest.approx(249, rel=0.15)  # TensorFlow Lite, Pixel 3, 4 threads
    assert _ms("mi_8_pro", "gpu", "inception_v3", "fp16") < on["gpu"]
    assert _ms("mi_8_pro", "cpu_big", "inception_v3", "int8") < on["cpu_big"]


@pytest.mark.parametrize("phone", PHONES)
def test_a_model_with_fewer_operations_is_faster_on_every_processor(phone: str) -> None:
    compared = 0
    for processor in Catalogue().phone(phone).processors.values():
        for precision in processor.efficiency:
            fast_s, slow_s = (
                inference_s(ZOO[model], processor, precision)
                for model in ("mobilenet_v1", "inception_v3")
            )
            assert fast_s is not None
            assert slow_s is not None
            assert fast_s < slow_s
            compared += 1
    assert compared >= 6


def test_the_cloud_is_faster_than_any_phone_on_images() -> None:
    gpu = Catalogue().server("xeon_e5_2640_p100").processors["gpu"]
    for name in ("inception_v3", "resnet_50"):
        cloud_s = inference_s(ZOO[name], gpu, "fp32")
        assert cloud_s is not None
        for phone in PHONES:
            for processor in Catalogue().phone(phone).processors.values():
                for precision in processor.efficiency:
                    phone_s = inference_s(ZOO[name], processor, precision)
                    assert phone_s is not None
                    assert cloud_s < phone_s


CHIPS = [file for file in SHIPPED if isinstance(read_profile(file)[1], SocProfile | ServerProfile)]


@pytest.mark.parametrize("file", CHIPS, ids=lambda f: f.stem)
def test_no_model_beats_ten_tera_operations_or_falls_below_a_hundred_million(file: Path) -> None:
    _, profile = read_profile(file)
    assert isinstance(profile, SocProfile | ServerProfile)
    for processor in processor_specs(profile).values():
        assert processor.efficiency, processor.name
        for model in ZOO.values():
            for precision in processor.efficiency:
                seconds = inference_s(model, processor, precision)
                assert (seconds is not None) == is_supported(model, processor)
                if seconds is not None:
                    assert 1e8 < model.macs / seconds < 1e13, (processor.name, model.name)


def test_milliampere_hours_become_joules() -> None:
    assert mah_to_j(1000, 3.85) == pytest.approx(13_860)


# --- what is refused -----------------------------------------------------------------------------

SOC = """\
kind: soc
name: my_soc
description: a chip
memory_bandwidth_gbps: {value: 10, source: data sheet}
processors:
  cpu:
    kind: cpu
    description: cores
    cores: {value: 4, source: data sheet}
    macs_per_cycle:
      fp32: {value: 8, source: manual}
      int8: {value: 16, source: manual}
    frequency_mhz: {values: [1000, 2000], source: kernel}
    busy_power_w: {values: [0.2, 0.5], source: measured}
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
    description: a card
    slots: {value: 2, source: assumed}
    memory_bandwidth_gbps: {value: 500, source: data sheet}
    macs_per_cycle:
      fp32: {value: 4000, source: data sheet}
    frequency_mhz: {values: [1000], source: data sheet}
    busy_power_w: {values: [200], source: measured}
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
    assert spec.battery.capacity_j == pytest.approx(14_400)
    assert spec.awake_w == 0.3 + 0.125
    assert spec.peak_w == 0.3 + 0.125 + 1.5 + 2.0
    assert spec.processors["cpu"].idle_power_w == 0.125
    cpu = spec.processors["cpu"]
    assert cpu.latency_s == {("mobilenet_v1", "fp32"): 0.02, ("resnet_50", "fp32"): 0.09}
    assert (cpu.cores, cpu.memory_bps) == (4, 10e9)
    assert cpu.levels == (Level(1e9, 0.2), Level(2e9, 0.5))
    assert cpu.macs_per_cycle == {"fp32": 8, "int8": 16}
    server = catalogue.server("my_server")
    assert (server.pue, server.processors["gpu"].slots) == (1.2, 2)
    assert (server.processors["gpu"].memory_bps, server.processors["gpu"].cores) == (500e9, 1)


CALIBRATION = """\
calibration:
  source: by hand
  cpu:
    tflite:
      fp32: {ROW}
    ncnn:
      fp32: {ROW}
""".replace(
    "{ROW}",
    "{macs: {stem: 0.1, winograd: 0.2, conv: 0.3, pointwise: 0.4, depthwise: 0.5, grouped: 0.6, "
    "dense: 0.7}, exchange: 8, move: 9, function: 1.5, weights: 0.8, dispatch_us: 50, "
    "sigma: 0.2, rows: 3}",
)


def _cpu(folder: Path, runtime: str | None = None) -> ProcessorSpec:
    chip = Catalogue([folder]).profile("my_soc")
    assert isinstance(chip, SocProfile)
    return processor_specs(chip, runtime)["cpu"]


def test_a_chip_that_was_never_measured_takes_after_its_family(folder: Path) -> None:
    for runtime in (None, "ncnn"):
        shared = shared_efficiencies()["armv8_0_cpu"][runtime or "tflite"]
        efficiency = _cpu(folder, runtime).efficiency
        assert efficiency == {
            precision: shared[precision].efficiency(runtime or "tflite")
            for precision in ("fp32", "int8")
        }
    assert _cpu(folder, "nobodys").efficiency == _cpu(folder).efficiency
    with_halves = SOC.replace("      int8:", "      fp16: {value: 16, source: manual}\n      int8:")
    (folder / "my_soc.yaml").write_text(with_halves)
    shared = shared_efficiencies()["armv8_2_cpu"]["tflite"]
    assert _cpu(folder).efficiency["fp16"] == shared["fp16"].efficiency("tflite")


def test_a_chips_own_calibration_comes_before_its_familys(folder: Path) -> None:
    (folder / "my_soc.yaml").write_text(SOC + CALIBRATION)
    efficiency = _cpu(folder).efficiency
    assert list(efficiency) == ["fp32"]
    found = efficiency["fp32"]
    assert (found.runtime, found.macs["winograd"]) == ("tflite", 0.2)
    assert found.dispatch_s == pytest.approx(50e-6)
    assert (found.exchange, found.move, found.function, found.weights) == (8, 9, 1.5, 0.8)
    assert (found.parallel, found.sigma, found.rows) == (1, 0.2, 3)
    assert _cpu(folder, "ncnn").efficiency["fp32"].runtime == "ncnn"
    # What its family is known to do under other software is not mixed in.
    assert _cpu(folder, "ncnn_vulkan").efficiency == efficiency


def test_cores_that_issue_in_order_are_a_family_of_their_own(folder: Path) -> None:
    in_order = SOC.replace("    kind: cpu\n", "    kind: cpu\n    in_order: true\n")
    shared = shared_efficiencies()["armv8_0_in_order_cpu"]["tflite"]
    for text in (in_order, in_order + CALIBRATION):  # which is of other cores
        (folder / "my_soc.yaml").write_text(text)
        assert _cpu(folder).family == "armv8_0_in_order_cpu"
        assert _cpu(folder).efficiency["fp32"] == shared["fp32"].efficiency("tflite")
    own = CALIBRATION.replace("  cpu:", "  cpu_in_order:")
    (folder / "my_soc.yaml").write_text(in_order + own)
    assert _cpu(folder).efficiency["fp32"].macs["winograd"] == 0.2


def test_a_processor_without_any_peak_runs_only_what_was_measured(folder: Path) -> None:
    start, end = SOC.index("    macs_per_cycle"), SOC.index("    frequency_mhz")
    (folder / "my_soc.yaml").write_text(SOC[:start] + SOC[end:])
    cpu = _cpu(folder)
    assert cpu.efficiency == {}
    assert inference_s(ZOO["resnet_50"], cpu, "fp32") == 0.09
    assert inference_s(ZOO["resnet_50"], cpu, "fp32", level=0) is None
    assert inference_s(ZOO["vgg_16"], cpu, "fp32") is None


def test_a_users_profile_comes_before_a_shipped_one_of_the_same_name(folder: Path) -> None:
    text = PHONE.replace("my_phone", "mi_8_pro")
    (folder / "mi_8_pro.yaml").write_text(text)
    assert Catalogue([folder]).phone("mi_8_pro").battery.charge_c == 3600
    assert Catalogue().phone("mi_8_pro").battery.charge_c != 3600


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
            *("my_soc", "values: [0.2, 0.5]", "values: [0, 0.5]", "busy_power_w"),
            *("processors.cpu.busy_power_w.values[0]", "it should be greater than 0; found 0"),
            id="no busy power",
        ),
        pytest.param(
            *("my_soc", "values: [0.2, 0.5]", "values: [0.2, 90]", "cpu:"),
            *("processors.cpu", "busy_power_w of 90 W in a phone"),
            id="milliwatts",
        ),
        pytest.param(
            *("my_soc", "values: [1000, 2000]", "values: [1000, 1000]", "frequency_mhz"),
            *("processors.cpu.frequency_mhz", "1000 MHz follows 1000 MHz: levels must increase"),
            id="levels out of order",
        ),
        pytest.param(
            *("my_soc", "values: [1000, 2000]", "values: [1, 2]", "frequency_mhz"),
            *("processors.cpu.frequency_mhz.values[1]", "greater than or equal to 10; found 2"),
            id="gigahertz",
        ),
        pytest.param(
            *("my_soc", "values: [1000, 2000]", "values: [1000, 1500, 2000]", "cpu:"),
            *("processors.cpu", "3 levels in frequency_mhz but 2 in busy_power_w"),
            id="a level without watts",
        ),
        pytest.param(
            *("my_soc", "kind: cpu", "kind: gpu", "cpu:"),
            *("processors.cpu", "only a cpu has cores"),
            id="a GPU with cores",
        ),
        pytest.param(
            *("my_soc", "memory_bandwidth_gbps: {value: 10", "memory_bandwidth_gbps: {value: 0"),
            *("memory", "memory_bandwidth_gbps.value", "greater than 0; found 0"),
            id="no memory bandwidth",
        ),
        pytest.param(
            *("my_server", SERVER[SERVER.index("    macs_per") : SERVER.index("    frequency")]),
            *("", "gpu:", "processors.gpu", "needs macs_per_cycle, for the cost model, or latency"),
            id="nothing to go by",
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
            *("kind", "a profile needs a key 'kind', one of phone, soc, cell, app, server"),
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


CELL = """\
kind: cell
name: my_cell
description: a cell
open_circuit: {charge: [0, 0.5, 1], volts: [3.4, 3.8, 4.2], source: measured}
resistance_factor: {celsius: [0, 25], values: [2, 1], source: measured}
cutoff_v: {value: 3.4, source: measured}
charging:
  celsius: [0, 45]
  volts: [4.2]
  limits_c: [[1]]
  end_current_c: 0.05
  source: data sheet
"""
LTE = """\
lte:
  layers: {value: 2, source: assumed}
  idle_w: {value: 0.02, source: measured}
  active_w: {value: 0.6, source: measured}
  receive_mw_per_mbps: {value: 30, source: paper}
  transmit_w:
    - {tx_dbm: -40, value: 0.7, source: measured}
    - {tx_dbm: 15, value: 1.5, source: measured}
  promotion_ms: {value: 260, source: paper}
  promotion_w: {value: 0.5, source: paper}
  inactivity_ms: {value: 100, source: paper}
  tail_ms: {value: 11000, source: paper}
  tail_w: {value: 0.4, source: paper}
  drx_cycle_ms: {value: 40, source: paper}
  paging_cycle_ms: {value: 1280, source: paper}
"""
FULL_PHONE = (
    PHONE.replace(
        "  nominal_voltage_v: {value: 4, source: label}\n",
        """\
  nominal_voltage_v: {value: 4, source: label}
  cell: my_cell
  resistance_mohm: {value: 100, source: measured}
  charger_w: {value: 10, source: label}
""",
    )
    + """\
thermal:
  die_j_per_k: {value: 4, source: assumed}
  die_to_skin_k_per_w: {value: 4, source: assumed}
  skin_j_per_k: {value: 80, source: assumed}
  skin_to_ambient_k_per_w: {value: 5, source: assumed}
  trips:
    - {sensor: skin, trip_c: 40, clear_c: 38, processor: cpu, max_mhz: 1500, source: vendor}
    - {sensor: skin, trip_c: 44, clear_c: 42, processor: cpu, max_mhz: 1000, source: vendor}
"""
    + LTE
)


@pytest.fixture
def full_folder(folder: Path) -> Path:
    (folder / "my_cell.yaml").write_text(CELL)
    (folder / "my_phone.yaml").write_text(FULL_PHONE)
    return folder


def test_a_modem_is_told_in_si_units_and_scaled_like_everything_else(full_folder: Path) -> None:
    lte = Catalogue([full_folder]).phone("my_phone").lte
    assert lte is not None
    assert lte == LtePower(
        layers=2,
        idle_w=0.02,
        active_w=0.6,
        receive_w_per_bps=30 * 1e-9,
        transmit_w=((-40, 0.7), (15, 1.5)),
        promotion_s=0.26,
        promotion_w=0.5,
        inactivity_s=0.1,
        tail_s=11.0,
        tail_w=0.4,
        drx_cycle_s=0.04,
        paging_cycle_s=1.28,
    )
    text = FULL_PHONE + "power_scale: {value: 2, source: assumed}\n"
    (full_folder / "my_phone.yaml").write_text(text)
    doubled = Catalogue([full_folder]).phone("my_phone").lte
    assert doubled is not None
    assert doubled.transmit_w == ((-40, 1.4), (15, 3.0))
    assert doubled.receive_w_per_bps == pytest.approx(60e-9)
    watts = [(d.idle_w, d.active_w, d.promotion_w, d.tail_w) for d in (doubled, lte)]
    assert watts[0] == pytest.approx([2 * value for value in watts[1]])
    assert doubled.tail_s == lte.tail_s


def test_trips_are_told_in_levels_of_the_chip(full_folder: Path) -> None:
    spec = Catalogue([full_folder]).phone("my_phone")
    assert spec.thermal is not None
    # At 1500 MHz the highest level within is that of 1000 MHz, the first of two.
    assert [(trip.trip_c, trip.clear_c, trip.level) for trip in spec.thermal.trips] == [
        *((40, 38, 0), (44, 42, 0)),
    ]
    battery = spec.battery
    assert battery.capacity_j == pytest.approx(14_400)
    assert battery.volts[-1] - battery.volts[0] == pytest.approx(0.8 * 0.99 * 4 / 3.8)
    assert [(band.below_c, band.steps) for band in battery.charging] == [
        *((0, ()), (45, ((4.2, 1.0),))),
    ]
    assert battery.end_current_a == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("old", "new", "place", "key", "message"),
    [
        pytest.param(
            *("trip_c: 44, clear_c: 42", "trip_c: 39, clear_c: 37", "  trips:", "thermal.trips"),
            "trips out of order: 39 C follows 40 C for cpu; list them from cool to hot",
            id="trips out of order",
        ),
        pytest.param(
            *("max_mhz: 1000", "max_mhz: 1500", "  trips:", "thermal.trips"),
            "trips out of order: at 44 C cpu is limited to 1500, no less than the 1500 at 40 C",
            id="a hotter trip that limits no more",
        ),
        pytest.param(
            *("clear_c: 38", "clear_c: 40", "- {sensor: skin, trip_c: 40", "thermal.trips[0]"),
            "clear_c must be below trip_c; found 40 C and 40 C",
            id="a trip that ends where it begins",
        ),
        pytest.param(
            *("cpu, max_mhz: 1500", "npu, max_mhz: 1500", "trip_c: 40"),
            *("thermal.trips[0].processor", "the chip has no processor 'npu'; "),
            id="unknown processor of a trip",
        ),
        pytest.param(
            *("max_mhz: 1000", "max_mhz: 500", "trip_c: 44", "thermal.trips[1].max_mhz"),
            "cpu has no level within 500 MHz; its lowest is 1000 MHz",
            id="a limit below the lowest level",
        ),
        pytest.param(
            *("  capacity_mah: {value: 1000, source: label}\n", "", "battery:"),
            *("battery.capacity_mah", "this key is required and missing"),
            id="battery without capacity",
        ),
        pytest.param(
            *("cell: my_cell", "cell: my_sell", "cell:", "battery.cell"),
            "there is no cell 'my_sell'; did you mean 'my_cell'?",
            id="unknown cell",
        ),
        pytest.param(
            *("  charger_w: {value: 10, source: label}\n", "", "battery:", "battery"),
            "cell, resistance_mohm and charger_w are given together or not at all",
            id="a cell without a charger",
        ),
        pytest.param(
            *("cpu, max_mhz: 1500", "cpu, shutdown: true", "trip_c: 40", "thermal.trips[0]"),
            "shutdown stands alone",
            id="a shutdown of one processor",
        ),
        pytest.param(
            *("tx_dbm: 15", "tx_dbm: -40", "  transmit_w:\n    - {tx", "lte.transmit_w"),
            "-40 dBm follows -40 dBm: rows must increase",
            id="the same output power twice",
        ),
        pytest.param(
            *("tx_dbm: 15", "tx_dbm: 15000", "tx_dbm: 15000", "lte.transmit_w[1].tx_dbm"),
            "less than or equal to 40; found 15000",
            id="a phone that fries",
        ),
        pytest.param(
            *("tail_ms: {value: 11000", "tail_ms: {value: 11", "lte:", "lte"),
            "tail_ms counts from the last transfer and must not be below inactivity_ms",
            id="a tail shorter than its beginning",
        ),
        pytest.param(
            *("layers: {value: 2", "layers: {value: 20", "layers:", "lte.layers.value"),
            "less than or equal to 8; found 20",
            id="a phone full of antennas",
        ),
        pytest.param(
            *("  drx_cycle_ms: {value: 40, source: paper}\n", "", "lte:", "lte.drx_cycle_ms"),
            "this key is required and missing",
            id="a modem without a cycle",
        ),
        pytest.param(
            *("active_w: {value: 0.6, source: measured}", "active_w: {value: 0.6}", "active_w"),
            *("lte.active_w.source", "this key is required and missing"),
            id="a modem without a source",
        ),
        pytest.param(
            *("die_j_per_k: {value: 4", "die_j_per_k: {value: -4", "die_j_per_k"),
            *("thermal.die_j_per_k.value", "it should be greater than 0; found -4"),
            id="negative heat capacity",
        ),
    ],
)
def test_a_phone_out_of_order_is_refused_at_file_line_and_key(
    full_folder: Path, old: str, new: str, place: str, key: str, message: str
) -> None:
    text = FULL_PHONE.replace(old, new, 1)
    assert text != FULL_PHONE
    file = full_folder / "my_phone.yaml"
    file.write_text(text)
    _assert_refused(full_folder, "my_phone", f"{file}:{_line(text, place)}: {key}: ", message)


def _assert_refused(folder: Path, phone: str, start: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Catalogue([folder]).phone(phone)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(start)
    assert message in line


@pytest.mark.parametrize(
    ("old", "new", "place", "key", "message"),
    [
        pytest.param(
            *("volts: [3.4, 3.8, 4.2]", "volts: [3.4, 4.2, 4.2]", "open_circuit", "open_circuit"),
            "4.2 V follows 4.2 V: volts must increase",
            id="a curve that does not increase",
        ),
        pytest.param(
            *("charge: [0, 0.5, 1]", "charge: [0, 0.5, 0.9]", "open_circuit", "open_circuit"),
            "charge must begin at 0 and end at 1",
            id="a curve that does not end full",
        ),
        pytest.param(
            *("cutoff_v: {value: 3.4", "cutoff_v: {value: 3.3", "kind: cell", ""),
            "cutoff_v must be within the curve, 3.4 to 4.2 V; found 3.3",
            id="a cut-off beyond the curve",
        ),
        pytest.param(
            *("limits_c: [[1]]", "limits_c: [[1], [2]]", "charging:", "charging"),
            "limits_c needs 1 rows (bands of celsius) of 1 entries",
            id="a band too many",
        ),
    ],
)
def test_a_cell_out_of_order_is_refused_at_file_line_and_key(
    full_folder: Path, old: str, new: str, place: str, key: str, message: str
) -> None:
    text = CELL.replace(old, new, 1)
    assert text != CELL
    file = full_folder / "my_cell.yaml"
    file.write_text(text)
    start = f"{file}:{_line(text, place)}: " + (f"{key}: " if key else "")
    _assert_refused(full_folder, "my_phone", start, message)


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


def test_an_unknown_runtime_of_a_phone_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="nothing is known of 'nccn' on its CPU; did you mean 'ncnn'"
    ):
        Catalogue().phone("mi_8_pro", "nccn")


def test_what_was_not_measured_is_less_certain() -> None:
    soc = Catalogue().chip("snapdragon_845")
    assert isinstance(soc, SocProfile)
    assert soc.calibration is not None
    measured = soc.calibration.cpu["tflite"]["fp32"]
    assert measured.rows > 0
    assert soc.calibration.cpu_in_order["tflite"]["fp32"].rows == 0
    assert soc.calibration.cpu_in_order["tflite"]["fp32"].sigma > 1.2 * measured.sigma
    assert soc.calibration.cpu["ncnn"]["fp32"].sigma > measured.sigma
