import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgesim.cli.main import _guard, app

Edgesim = Callable[..., tuple[int, str, str]]

POWER_PROFILE = """<?xml version="1.0" encoding="utf-8"?>
<device name="Android">
  <item name="battery.capacity">3150</item>
  <item name="cpu.idle">4</item>
  <item name="cpu.awake">12</item>
  <array name="cpu.clusters.cores"><value>4</value></array>
  <array name="cpu.speeds.cluster0"><value>400000</value><value>1800000</value></array>
  <array name="cpu.active.cluster0"><value>80</value><value>220</value></array>
  <item name="screen.on">90</item>
  <item name="screen.full">210</item>
  <item name="wifi.on">2</item>
  <item name="wifi.active">150</item>
</device>
"""

CELL = """kind: cell
name: my_cell
description: "a cell [of mine]"
open_circuit:
  charge: [0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
  volts: [3.4, 3.5, 3.55, 3.6, 3.65, 3.7, 3.75, 3.8, 3.9, 4.0, 4.1, 4.2]
  source: "[1] curve"
resistance_factor: {celsius: [-10, 25], values: [4, 1], source: "factor"}
cutoff_v: {value: 3.45, source: "cutoff"}
charging:
  celsius: [0, 10, 45]
  volts: [4.1, 4.35]
  limits_c: [[0.3, 0.1], [1, 0.5]]
  end_current_c: 0.05
  source: "charging"
"""

PHONE = """kind: phone
name: mine
description: "mine"
soc: my_chip
battery:
  capacity_mah: {value: 3000, source: "capacity"}
  nominal_voltage_v: {value: 3.85, source: "voltage"}
power:
  suspend_w: {value: 0.02, source: "suspend"}
  awake_w: {value: 0.06, source: "awake"}
wifi:
  streams: {value: 2, source: "streams"}
  idle_w: {value: 0.004, source: "idle"}
  receive_w: {value: 0.7, source: "receive"}
  transmit_w:
    - {rssi_dbm: -80, value: 0.9, source: "weak"}
    - {rssi_dbm: -60, value: 0.8, source: "strong"}
  tail_w: {value: 0.1, source: "tail"}
  tail_ms: {value: 240, source: "tail"}
"""

CHIP = """kind: soc
name: my_chip
description: "four cores and a GPU"
memory_bandwidth_gbps: {value: 20, source: "bandwidth"}
processors:
  cpu_big:
    kind: cpu
    description: "four cores"
    cores: {value: 4, source: "cores"}
    macs_per_cycle:
      fp32: {value: 4, source: "peak"}
      fp16: {value: 8, source: "peak"}
    frequency_mhz: {values: [825.6, 2804.2], source: "levels"}
    busy_power_w: {values: [0.2, 1.298], source: "watts"}
    cluster_power_w: {value: 0.02, source: "cluster"}
    idle_power_w: {value: 0, source: "idle"}
    unsupported_layers: {values: [softmax], source: "layers of no use"}
  gpu:
    kind: gpu
    description: "a GPU"
    macs_per_cycle:
      fp32: {value: 512, source: "peak"}
    frequency_mhz: {values: [180, 710], source: "levels"}
    busy_power_w: {values: [0.43, 2.8], source: "watts"}
    idle_power_w: {value: 0, source: "idle"}
"""

FULL = """lte:
  layers: {value: 2, source: "antennas"}
  idle_w: {value: 0.02, source: "l"}
  active_w: {value: 0.6, source: "l"}
  receive_mw_per_mbps: {value: 30, source: "l"}
  transmit_w:
    - {tx_dbm: -40, value: 0.7, source: "weak output"}
    - {tx_dbm: 15, value: 1.5, source: "strong output"}
  promotion_ms: {value: 260, source: "l"}
  promotion_w: {value: 0.5, source: "l"}
  inactivity_ms: {value: 100, source: "l"}
  tail_ms: {value: 11000, source: "l"}
  tail_w: {value: 0.4, source: "l"}
  drx_cycle_ms: {value: 40, source: "l"}
  paging_cycle_ms: {value: 1280, source: "l"}
memory:
  ram_gb: {value: 6, source: "m"}
  system_gb: {value: 2, source: "m"}
  storage_read_mbps: {value: 800, source: "m"}
screen:
  on_w: {value: 0.3, source: "screen a"}
  full_w: {value: 1.1, source: "screen b"}
camera:
  megapixels: {value: 12, source: "camera a"}
  power_w: {value: 2.5, source: "camera b"}
  open_ms: {value: 450, source: "camera c"}
  frame_ms: {value: 40, source: "camera d"}
  isp_mpixels_per_s: {value: 800, source: "camera e"}
  sensor:
    response: [[0.5, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.2, 0.6]]
    cfa: BGGR
    exposure: 0.5
    vignetting: 0.2
    blur_px: 0.5
    full_well_e: 3000
    read_noise_e: 2.5
    bits: 10
    source: "sensor"
  isp:
    denoise: impulse
    demosaic: menon2007
    white_balance: gray_world
    gamut: prophoto
    tone: equalised
    compression: jpeg_50
    cast: [0.1, -0.2]
    saturation: 1.2
    tone_exponent: 0.3
    s_curve: 0.25
    source: "look"
power_scale: {value: 0.8, source: "scale"}
thermal:
  die_j_per_k: {value: 4, source: "t"}
  die_to_skin_k_per_w: {value: 5, source: "t"}
  skin_j_per_k: {value: 90, source: "t"}
  skin_to_ambient_k_per_w: {value: 7, source: "t"}
  trips:
    - {sensor: skin, trip_c: 40, clear_c: 38, processor: cpu_big, max_mhz: 1804.8, source: "trip 1"}
    - {sensor: skin, trip_c: 45, clear_c: 43, processor: cpu_big, max_cores: 2, source: "trip 2"}
    - {sensor: die, trip_c: 90, clear_c: 80, processor: cpu_big, max_cores: 0, source: "trip 3"}
    - {sensor: skin, trip_c: 58, clear_c: 50, shutdown: true, source: "trip 4"}
"""


@pytest.fixture
def edgesim(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Edgesim:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["edgesim", *map(str, arguments)])
        capsys.readouterr()
        try:
            code = _guard(app)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


# --- import-phone ---------------------------------------------------------------------------------


def test_drafts_are_printed_and_the_summary_beside_them(edgesim: Edgesim) -> None:
    Path("power_profile.xml").write_text(POWER_PROFILE)
    code, out, err = edgesim("import-phone", "power_profile.xml")
    assert code == 0
    phone, chip = out.split("---\n")
    assert "name: my_phone\n" in phone
    assert "soc: my_phone_chip\n" in phone
    assert "name: my_phone_chip\n" in chip
    assert "my_phone.yaml: draft of a phone; 8 numbers from power_profile.xml" in err
    assert re.search(r"needs a value: line \d+: wifi\.streams: ", err)
    assert "assumed: 3.85 V" in err
    assert [path.name for path in Path().iterdir()] == ["power_profile.xml"]


def test_validate_tells_exactly_what_a_draft_lacks(edgesim: Edgesim) -> None:
    Path("nice phone.xml").write_text(POWER_PROFILE)
    code, out, err = edgesim("import-phone", "nice phone.xml", "--out", "drafts")
    assert (code, out) == (0, "")
    files = [Path("drafts/nice_phone.yaml"), Path("drafts/nice_phone_chip.yaml")]
    assert sorted(Path("drafts").iterdir()) == files
    told = {
        (name, line, key)
        for name, text in re.findall(r"^(\S+\.yaml): draft((?:.*\n  .*)+)", err, re.MULTILINE)
        for line, key in re.findall(r"needs a value: line (\d+): (\S+): ", text)
    }
    code, out, err = edgesim("validate", *files)
    assert (code, out) == (2, "")
    found = re.findall(r"error: (\S+\.yaml):(\d+): (\S+?)(?:\.values?|\.source)?: ", err)
    assert set(found) == told
    assert len(told) == 7


def test_a_chip_of_the_catalogue_is_not_drafted(edgesim: Edgesim) -> None:
    Path("p.xml").write_text(POWER_PROFILE)
    code, out, err = edgesim("import-phone", "p.xml", "--name", "mine", "--soc", "snapdragon_845")
    assert code == 0
    assert "soc: snapdragon_845" in out
    assert "kind: soc" not in out
    assert "the chip is in the catalogue" in err


def test_a_completed_draft_can_be_shown(edgesim: Edgesim) -> None:
    Path("p.xml").write_text(POWER_PROFILE)
    edgesim("import-phone", "p.xml", "--out", "device_profiles", "--name", "mine", "--soc", "chip")
    for file in Path("device_profiles").iterdir():
        text = file.read_text().replace("value: null, source: null", 'value: 2, source: "s"')
        file.write_text(text.replace("description: null", 'description: "mine"'))
    assert edgesim("validate", *Path("device_profiles").iterdir())[0] == 0
    code, out, _ = edgesim("show", "device_profiles/mine.yaml")
    assert code == 0
    assert re.search(r"1800 +0\.847 +3\.388", out)


def test_nothing_is_overwritten(edgesim: Edgesim) -> None:
    Path("p.xml").write_text(POWER_PROFILE)
    Path("p_chip.yaml").write_text("kind: app\n")
    code, out, err = edgesim("import-phone", "p.xml", "--out", ".", "--soc", "other")
    assert code == 0
    code, out, err = edgesim("import-phone", "p.xml", "--out", ".", "--soc", "third")
    assert (code, out) == (2, "")
    assert err == (
        "error: p.yaml: is there already and was not overwritten; choose another name or folder\n"
    )
    assert not Path("third.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.xml",), "error: none.xml: cannot be read: No such file or directory"),
        ((".",), "error: .: is a folder"),
        (("p.xml", "--name", "../Evil"), "command line: --name: '../Evil' is not a name for"),
        (("p.xml", "--name", "A Phone"), "did you mean 'a_phone'?"),
        (("p.xml", "--soc", "mi_8_pro"), "command line: --soc: 'mi_8_pro' is a phone, not a chip"),
        (("p.xml", "--soc", "p"), "the phone and its chip cannot both be called 'p'"),
        (("bad.xml",), "error: bad.xml:1: not valid XML"),
    ],
)
def test_bad_input_is_refused_with_one_message(
    arguments: tuple[str, ...], message: str, edgesim: Edgesim
) -> None:
    Path("p.xml").write_text(POWER_PROFILE)
    Path("bad.xml").write_bytes(b"\x00\x01")
    code, out, err = edgesim("import-phone", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_told(edgesim: Edgesim) -> None:
    Path("p.xml").write_text(POWER_PROFILE)
    code, out, err = edgesim("import-phone", "p.xml", "--out", "p.xml")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1


# --- show -----------------------------------------------------------------------------------------


def a_full_phone() -> str:
    battery = (
        "battery:\n  cell: my_cell\n"
        '  resistance_mohm: {value: 110, source: "r"}\n  charger_w: {value: 18, source: "c"}\n'
    )
    return PHONE.replace("battery:\n", battery) + FULL


def test_a_phone_is_shown_with_all_its_sections_and_its_chip(edgesim: Edgesim) -> None:
    Path("my_chip.yaml").write_text(CHIP)
    Path("mine.yaml").write_text(a_full_phone())
    code, out, err = edgesim("show", "mine.yaml")
    assert (code, err) == (0, "")
    titles = (
        "processors", "battery", "screen", "camera", "base power", "Wi-Fi", "LTE", "memory", "thermal",
        "power scale", "sources", "sources of my_chip",
    )  # fmt: skip
    places = [re.search(rf"^{title}\b", out, re.MULTILINE) for title in titles]
    assert all(places)
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)
    assert re.search(r"cpu_big +4 +armv8_2_cpu +0\.02 +0 +softmax layers", out)
    assert re.search(r"gpu +- +mobile_gpu +- +0 +-", out)
    assert re.search(r"2804\.2 +1\.298 +5\.132", out)
    assert "layers of no use" in out
    assert "3000 mAh, 11.55 Wh" in out
    assert "41,580 J, less what its resistance turns into heat" in out
    assert re.search(r"skin +40 C +38 C +cpu_big at most 1804\.8 MHz", out)
    assert re.search(r"skin +45 C +43 C +cpu_big keeps 2 cores", out)
    assert re.search(r"die +90 C +80 C +cpu_big off", out)
    assert re.search(r"skin +58 C +50 C +the phone goes off", out)
    assert re.search(r"times every watt above +0\.8", out)
    assert re.search(r"sending from 15 dBm +1\.5 W with all of the cell's blocks", out)
    assert "0.6 W for 100 ms, then 0.4 W for 10900 ms, reached every 40 ms" in out
    assert re.search(r"lte\.transmit_w 15\.0 +1\.5 +strong output", out)
    words = re.sub(r"\s+", " ", out)
    assert "open 2.5 W, after 450 ms a frame 40 ms developing 800 megapixels per second" in words
    assert "sensor BGGR, 10 bits, 3000 electrons at most, 2.5 of read noise" in words
    assert "to make white white red 1.67, blue 1.25 times the gain of green" in words
    assert "lens 20 % lost in the corners, blur of 0.5 pixels" in words
    assert "denoise impulse, demosaic menon2007, white balance gray_world, gamut prophoto" in words
    assert "red x 1.11, blue x 0.82, saturation 1.2, exponent 1.35, S-curve 25 %" in words
    for source in ("screen a", "camera b", "sensor", "look", "scale", "trip 1", "trip 4"):
        assert source in out
    assert "not modelled" not in out


def test_a_camera_may_be_known_by_its_costs_alone(edgesim: Edgesim) -> None:
    assert "what its pictures look like  not modelled" in re.sub(
        r" {2,}", "  ", edgesim("show", "mi_8_pro")[1]
    )


def test_what_a_phone_lacks_is_said(edgesim: Edgesim) -> None:
    Path("mine.yaml").write_text(PHONE)
    out = edgesim("show", "mine.yaml")[1]
    for title in ("LTE", "screen", "camera", "memory", "thermal", "power scale"):
        assert re.search(rf"^{title}  not modelled$", out, re.MULTILINE)
    assert "an ideal battery that cannot be charged" in re.sub(r"\s+", " ", out)


def test_a_chip_is_found_beside_the_phone(edgesim: Edgesim) -> None:
    Path("mine.yaml").write_text(PHONE)
    code, out, _ = edgesim("show", "mine.yaml")
    assert code == 0
    assert "there is no chip 'my_chip'; my_chip.yaml belongs beside the phone's file" in out
    Path("my_chip.yaml").write_text(CHIP)
    assert "four cores and a GPU" in edgesim("show", "mine.yaml")[1]
    Path("my_chip.yaml").write_text(CELL.replace("my_cell", "my_chip"))
    code, out, err = edgesim("show", "mine.yaml")
    assert code == 2
    assert "soc: 'my_chip' is a cell, not a chip" in err


def test_a_cell_is_shown_with_its_curve(edgesim: Edgesim) -> None:
    Path("my_cell.yaml").write_text(CELL)
    code, out, err = edgesim("show", "my_cell.yaml")
    assert (code, err) == (0, "")
    assert "a cell [of mine]" in out
    assert re.search(r"charge +0% +5% +10%.*\nV +3\.4 +3\.5 +3\.55", out)
    assert re.search(r"charge +90% +100%.*\nV +4\.1 +4\.2", out)
    assert re.search(r"10 to 45 +1 +0\.5", out)
    assert "[1] curve" in out


def test_an_app_is_shown(edgesim: Edgesim) -> None:
    Path("game.yaml").write_text(
        'kind: app\nname: game\ndescription: "a game"\ncpu: {value: 0.3, source: "c"}\n'
        'memory: {value: 0.2, source: "m"}\nram_mb: {value: 900, source: "r"}\n'
    )
    out = edgesim("show", "game.yaml")[1]
    assert re.search(r"cpu +0\.3 +c", out)
    assert re.search(r"ram_mb +900 +r", out)


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_cut_or_too_wide(
    width: int, edgesim: Edgesim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    Path("mine.yaml").write_text(a_full_phone())
    Path("my_cell.yaml").write_text(CELL)
    Path("my_chip.yaml").write_text(CHIP)
    for name in ("mine.yaml", "my_cell.yaml", "snapdragon_855", "mi_8_pro"):
        code, out, _ = edgesim("show", name)
        assert code == 0
        assert "…" not in out
        assert max(map(len, out.splitlines())) <= width


def test_profiles_are_listed_by_kind(edgesim: Edgesim) -> None:
    out = edgesim("list", "profiles")[1]
    rows = [line.split()[:2] for line in out.splitlines()[1:] if line[:1].strip()]
    kinds = [kind for _, kind in rows]
    order = ["phone", "soc", "cell", "app", "server"]
    assert kinds == sorted(kinds, key=order.index)
    for kind in kinds:
        names = [name for name, of_kind in rows if of_kind == kind]
        assert names == sorted(names)


def test_import_phone_has_help(edgesim: Edgesim) -> None:
    assert "import-phone" in edgesim("--help")[1]
    code, out, _ = edgesim("import-phone", "--help")
    assert code == 0
    assert all(option in out for option in ("--name", "--soc", "--out"))
