import json
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edgesim.core.documents import Document, check, parse_document
from edgesim.core.errors import ConfigError
from edgesim.hardware.drafting import NOMINAL_V, Draft, draft_chip, draft_phone
from edgesim.hardware.power_profile import parse_power_profile, read_power_profile
from edgesim.hardware.profiles import PhoneProfile, SocProfile

SCHEMAS = {"phone": PhoneProfile, "soc": SocProfile}
COLLECTED = Path(__file__).parents[3] / "shared" / "data" / "phones" / "power_profiles.json"

OLD: dict[str, Any] = {
    "none": 0,
    "battery.capacity": 2850,
    "cpu.clusters.cores": [4, 2],
    "cpu.idle": 4,
    "cpu.awake": 12,
    "cpu.speeds.cluster0": [400000, 900000],
    "cpu.active.cluster0": [80, 120],
    "cpu.speeds.cluster1": [500000, 1800000],
    "cpu.active.cluster1": [150, 480],
    "screen.on": 90,
    "screen.full": 210,
    "wifi.on": 2,
    "wifi.active": 150,
    "wifi.scan": 60,
    "radio.active": 180,
    "radio.on": [9, 7],
    "camera.avg": 500,
}
NEW: dict[str, Any] = {
    "battery.capacity": 4150,
    "cpu.clusters.cores": [4, 3, 1],
    "cpu.suspend": 6,
    "cpu.idle": 5,
    "cpu.active": 9,
    "cpu.cluster_power.cluster0": 2,
    "cpu.cluster_power.cluster1": 3,
    "cpu.core_speeds.cluster0": [300000, 1000000, 1700000],
    "cpu.core_power.cluster0": [8, 20, 40],
    "cpu.core_speeds.cluster1": [700000, 2300000],
    "cpu.core_power.cluster1": [35, 260],
    "cpu.core_speeds.cluster2": [900000, 2800000],
    "cpu.core_power.cluster2": [60, 420],
    "ambient.on": 24,
    "screen.on.display0": 85,
    "screen.full.display0": 330,
    "screen.on.display1": 40,
    "wifi.controller.idle": 2,
    "wifi.controller.rx": 120,
    "wifi.controller.tx": 300,
    "wifi.controller.voltage": 3600,
    "modem.controller.idle": 110,
    "modem.controller.rx": 115,
    "modem.controller.tx": [120, 160, 220, 270, 360],
    "modem.controller.voltage": 3700,
    "gpu.speeds": [700000, 300000],
    "gpu.active": [500, 120],
}


def xml(values: Mapping[str, Any]) -> bytes:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', '<device name="Android">']
    for key, value in values.items():
        if isinstance(value, list):
            inner = "".join(f"<value>{entry}</value>" for entry in value)
            lines.append(f'  <array name="{key}">{inner}</array>')
        else:
            lines.append(f'  <item name="{key}">{value}</item>')
    return "\n".join([*lines, "</device>"]).encode()


def drafts(values: Mapping[str, Any]) -> tuple[Draft, Draft]:
    profile = parse_power_profile(xml(values), "some/where/power_profile.xml")
    return draft_phone(profile, "mine", "my_chip"), draft_chip(profile, "my_chip")


def phone_of(values: Mapping[str, Any]) -> dict[str, Any]:
    data = parse_document(drafts(values)[0].text, "mine.yaml").data
    assert isinstance(data, dict)
    return data


def processors_of(values: Mapping[str, Any]) -> dict[str, Any]:
    data = parse_document(drafts(values)[1].text, "my_chip.yaml").data
    processors = data["processors"]
    assert isinstance(processors, dict)
    return processors


def problems_of(draft: Draft) -> set[tuple[int | None, str]]:
    """Line and key of every problem of a draft; value and source of one number are one."""
    document = parse_document(draft.text, f"{draft.name}.yaml")
    _, problems = check(document, SCHEMAS[draft.kind])
    return {(p.line, re.sub(r"\.(values?|source)$", "", p.key)) for p in problems}


def filled_in(draft: Draft) -> Document:
    """The draft as a user might complete it, by editing the lines that were named."""
    lines = draft.text.splitlines()
    for problem in draft.missing:
        index = (problem.line or 0) - 1
        line = lines[index]
        if "values: null" in line:
            count = 1
            for other in lines[max(index - 2, 0) : index + 1]:
                if "frequency_mhz: {values: [" in other:
                    count = other.partition("]")[0].count(",") + 1
            numbers = [f"{100 + n}" if "frequency" in line else f"{1 + n}" for n in range(count)]
            line = line.replace("values: null", f"values: [{', '.join(numbers)}]")
        value = {"power.awake_w": "5", "battery.capacity_mah": "3000"}.get(problem.key, "1")
        line = line.replace("value: null", f"value: {value}").replace("source: null", 'source: "s"')
        lines[index] = line.replace("description: null", 'description: "d"')
    return parse_document("\n".join(lines), f"{draft.name}.yaml")


def doubts_of(values: Mapping[str, Any]) -> str:
    return "\n".join(str(doubt) for draft in drafts(values) for doubt in draft.doubts)


# --- what is drafted ------------------------------------------------------------------------------


def test_the_old_style_gives_watts_of_a_core_with_its_cluster() -> None:
    processors = processors_of(OLD)
    assert list(processors) == ["cpu_big", "cpu_little"]
    big = processors["cpu_big"]
    assert big["cores"]["value"] == 2
    assert big["frequency_mhz"]["values"] == [500, 1800]
    assert big["busy_power_w"]["values"] == pytest.approx([0.5775, 1.848])
    assert "cpu.active.cluster1 x 3.85 V" in big["busy_power_w"]["source"]
    assert "cluster_power_w" not in big


def test_the_new_style_adds_the_cluster_to_each_core() -> None:
    processors = processors_of(NEW)
    assert list(processors) == ["cpu_prime", "cpu_big", "cpu_little", "gpu"]
    little = processors["cpu_little"]
    assert little["busy_power_w"]["values"] == pytest.approx([0.0385, 0.0847, 0.1617])
    assert little["cluster_power_w"]["value"] == pytest.approx(0.0077)
    assert little["busy_power_w"]["source"] == (
        "power_profile.xml, (cpu.core_power.cluster0 + cpu.cluster_power.cluster0 2 mA) x 3.85 V"
    )
    prime = processors["cpu_prime"]
    assert prime["busy_power_w"]["source"] == "power_profile.xml, cpu.core_power.cluster2 x 3.85 V"
    assert "cluster_power_w" not in prime


def test_levels_listed_from_the_top_are_turned_around_without_a_doubt() -> None:
    gpu = processors_of(NEW)["gpu"]
    assert gpu["frequency_mhz"]["values"] == [300, 700]
    assert gpu["busy_power_w"]["values"] == pytest.approx([0.462, 1.925])
    assert "gpu" not in doubts_of(NEW)


def test_a_single_list_is_one_cluster_with_an_unknown_number_of_cores() -> None:
    values = {"cpu.speeds": [400000, 800000], "cpu.active": [40, 90], "cpu.idle": 4}
    phone, chip = drafts(values)
    assert "power.awake_w" in {problem.key for problem in phone.missing}
    assert "processors.cpu_big.cores" in {problem.key for problem in chip.missing}
    assert processors_of(values)["cpu_big"]["busy_power_w"]["values"] == [0.154, 0.3465]


@pytest.mark.parametrize("factor", [1, 1000])
def test_speeds_are_in_kilohertz_or_hertz(factor: int) -> None:
    values = OLD | {"cpu.speeds.cluster1": [500000 * factor, 1800000 * factor]}
    assert processors_of(values)["cpu_big"]["frequency_mhz"]["values"] == [500, 1800]


def test_the_base_is_read_as_each_style_means_it() -> None:
    old, new = phone_of(OLD)["power"], phone_of(NEW)["power"]
    assert old["suspend_w"]["value"] == pytest.approx(0.0154)
    assert old["awake_w"]["value"] == pytest.approx(0.0616)
    assert new["suspend_w"]["value"] == pytest.approx(0.0231)
    assert new["awake_w"]["value"] == pytest.approx(0.077)
    assert new["awake_w"]["source"] == (
        "power_profile.xml, (cpu.suspend 6 mA + cpu.idle 5 mA + cpu.active 9 mA) x 3.85 V"
    )


def test_wifi_is_of_the_controller_at_its_voltage_or_of_the_old_keys() -> None:
    old, new = phone_of(OLD)["wifi"], phone_of(NEW)["wifi"]
    assert old["idle_w"]["value"] == pytest.approx(0.0077)
    assert old["receive_w"]["value"] == old["transmit_w"][0]["value"] == 0.5775
    assert new["receive_w"]["value"] == pytest.approx(0.432)
    assert new["transmit_w"][0]["value"] == pytest.approx(1.08)
    assert new["transmit_w"][0]["source"].endswith("wifi.controller.tx 300 mA x 3.6 V")
    zeros = dict.fromkeys([key for key in NEW if key.startswith("wifi.")], 0)
    assert phone_of(OLD | zeros)["wifi"] == old


def lte_of(values: Mapping[str, Any]) -> dict[str, Any]:
    lte = phone_of(values)["lte"]
    assert isinstance(lte, dict)
    return lte


def test_lte_is_of_the_controller_at_its_voltage_or_of_the_old_keys() -> None:
    old, new = lte_of(OLD), lte_of(NEW)
    assert old["active_w"]["value"] == pytest.approx(0.693)
    assert old["idle_w"]["value"] == pytest.approx(7 * 3.85e-3, rel=1e-3)
    assert old["transmit_w"] == [{"tx_dbm": -40, "value": None, "source": None}]
    assert old["tail_w"]["value"] is None
    assert new["active_w"]["value"] == pytest.approx(0.407)
    assert new["idle_w"]["value"] is None
    rows = [(row["tx_dbm"], row["value"]) for row in new["transmit_w"]]
    watts = [0.444, 0.592, 0.814, 0.999, 1.332]
    assert rows == list(zip([-40, 0, 5, 15, 20], watts, strict=True))
    assert new["transmit_w"][4]["source"].endswith("modem.controller.tx[4] 360 mA x 3.7 V")
    # One number for all output powers is one row; a modem that sleeps is not one that is connected.
    one = lte_of({**NEW, "modem.controller.tx": 220, "modem.controller.idle": 6})
    assert [row["tx_dbm"] for row in one["transmit_w"]] == [-40]
    assert "modem.controller.rx 115 mA" in one["active_w"]["source"]


def test_a_phone_of_which_nothing_is_known_needs_no_lte() -> None:
    draft = drafts({"battery.capacity": 3000, "modem.controller.voltage": 3700})[0]
    assert "# lte:  # see a shipped phone" in draft.text
    assert "lte" not in parse_document(draft.text, "mine.yaml").data


def test_what_lte_used_is_not_listed_as_not_modelled() -> None:
    old, new = (drafts(values)[0].text for values in (OLD, NEW))
    assert not re.search(r"#   radio\.(active|on):", old)
    assert not re.search(r"#   modem\.controller\.(idle|tx|voltage):", new)
    assert "#   modem.controller.rx: 115 mA (0.4255 W)" in new


def test_both_styles_of_the_screen_are_known() -> None:
    assert phone_of(OLD)["screen"]["on_w"]["value"] == pytest.approx(0.3465)
    assert phone_of(NEW)["screen"]["full_w"]["value"] == pytest.approx(1.27, rel=1e-3)
    assert "screen" not in phone_of({"battery.capacity": 3000})


def test_what_is_not_modelled_is_kept_as_comments() -> None:
    text = drafts(OLD)[0].text + drafts(NEW)[0].text
    assert (
        '#   power_w: {value: 1.925, source: "power_profile.xml, camera.avg 500 mA x 3.85 V"}'
        in text
    )
    assert "#   ambient.on: 24 mA" in text
    assert "  # More screens, not modelled: screen.on.display1." in text


@pytest.mark.parametrize(
    "values",
    [OLD, NEW, {"battery.capacity": 3000}, {"wifi.on": 0.1}, {"screen.on": 0, "cpu.idle": -3}],
    ids=["old", "new", "battery alone", "one number", "unusable"],
)
def test_a_draft_lacks_exactly_what_it_says_and_is_valid_once_that_is_filled_in(
    values: dict[str, Any],
) -> None:
    for draft in drafts(values):
        assert problems_of(draft) == {(p.line, p.key) for p in draft.missing}
        assert check(filled_in(draft), SCHEMAS[draft.kind])[1] == []


def test_no_number_is_made_up() -> None:
    phone, chip = drafts({"battery.capacity": 3000})
    assert phone.found == ("battery.capacity_mah",)
    assert chip.found == ()
    text = re.sub(r"#.*|source: \".*?\"", "", phone.text + chip.text)
    assert re.findall(r"value: ([\d.]+)", text) == ["3000", "3.85", "0"]


def test_a_chip_that_is_known_is_compared_not_drafted() -> None:
    profile = parse_power_profile(xml(OLD), "p.xml")
    draft = draft_phone(profile, "mine", "snapdragon_845", "a chip that is known")
    assert "# Not used, for comparison: 2 cores, 500 to 1800 MHz, 0.5775 to 1.848 W" in draft.text
    assert problems_of(draft) == {(p.line, p.key) for p in draft.missing}


# --- what is doubted ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "doubt"),
    [
        ({"wifi.active": 767}, "wifi.receive_w: wifi.active of 767 mA is implausibly high"),
        ({"wifi.active": 100}, "wifi.active is a round 100 mA, which looks like an untouched"),
        ({"wifi.on": 1}, "wifi.idle_w: wifi.on is a round 1 mA"),
        ({"screen.on": 0.1}, "screen.on_w: screen.on is 0.1 mA, Android's placeholder"),
        ({"screen.full": 0}, "screen.full_w: screen.full is 0"),
        ({"battery.capacity": 1000}, "battery.capacity of 1000 mAh looks like an untouched"),
        ({"battery.capacity": 3}, "battery.capacity of 3 mAh was left out"),
        ({"cpu.idle": 0.1449}, "cpu.idle of 0.1449 mA would mean 820 days of standby"),
        ({"wifi.active": -5}, "wifi.receive_w: the file's value would be -0.01925 W"),
        ({"cpu.speeds.cluster1": [1800000, 500000, 900000]}, "3 in cpu.speeds.cluster1 but 2"),
        ({"cpu.active.cluster0": [80, 700]}, "cpu_little.busy_power_w: a slower core that draws"),
        ({"cpu.active.cluster1": [150, 1400]}, "W for one core is a lot"),
        ({"cpu.active.cluster1": [0.1, 0.1]}, "cpu.active.cluster1 is 0.1 mA, Android's"),
        ({"cpu.active.cluster1": [55, 55]}, "cpu.active.cluster1 is 55 mA at every level"),
        ({"cpu.active.cluster1": [0, 480]}, "values that no CPU draws"),
        ({"cpu.active.cluster1": [480, 150]}, "falls from 480 to 150 mA as the speed rises"),
        ({"radio.active": 0.1}, "lte.active_w: radio.active is 0.1 mA, Android's placeholder"),
        ({"radio.active": -5}, "lte.active_w: the file's value would be -0.01925 W"),
        ({"radio.active": 1500}, "radio.active of 1500 mA is implausibly high for LTE"),
        ({"radio.on": [90, 95]}, "lte.idle_w: radio.on of 95 mA is high"),
        ({"modem.controller.tx": [110, 160, 220]}, "has 3 currents above 0, not one for each"),
        ({"modem.controller.tx": [300, 160, 220, 270, 360]}, "falls as the output power rises"),
        ({"cpu.speeds.cluster1": [500, 1800]}, "was taken for MHz"),
        ({"cpu.speeds.cluster1": [1, 2]}, "has speeds or more levels than any CPU"),
    ],
)
def test_what_looks_like_a_default_or_a_slip_is_marked(values: dict[str, Any], doubt: str) -> None:
    changed = OLD | values
    assert doubt in doubts_of(changed)
    for draft in drafts(changed):
        lines = draft.text.splitlines()
        for problem in draft.doubts:
            assert lines[(problem.line or 0) - 1].lstrip().startswith("#")
        assert draft.text.count("# DOUBT: ") == len(draft.doubts)
        assert problems_of(draft) == {(p.line, p.key) for p in draft.missing}
        assert check(filled_in(draft), SCHEMAS[draft.kind])[1] == []


def test_levels_out_of_order_are_put_in_order_and_doubted() -> None:
    values = OLD | {
        "cpu.speeds.cluster1": [500000, 1800000, 900000, 900000],
        "cpu.active.cluster1": [150, 480, 200, 210],
    }
    big = processors_of(values)["cpu_big"]
    assert big["frequency_mhz"]["values"] == [500, 900, 1800]
    assert big["busy_power_w"]["values"] == pytest.approx([0.5775, 0.77, 1.848])
    assert "does not increase" in doubts_of(values)
    assert "a speed twice" in doubts_of(values)


def test_a_file_of_placeholders_is_doubted_as_a_whole() -> None:
    values = {"screen.on": 0.1, "wifi.on": 0.1, "wifi.active": 0.1, "cpu.idle": 0.1}
    assert "4 of 4 currents are 0.1" in doubts_of(values)


def test_a_sound_file_is_not_doubted() -> None:
    assert doubts_of(OLD) == ""
    assert doubts_of(NEW) == ""


def test_of_a_key_given_twice_the_last_counts() -> None:
    data = xml(OLD).replace(b"</device>", b'<item name="wifi.active">160</item></device>')
    draft = draft_phone(parse_power_profile(data, "p.xml"), "mine", "chip")
    assert "wifi.active 160 mA" in draft.text
    assert "given twice, the last counts: wifi.active" in draft.text


# --- what is refused ------------------------------------------------------------------------------

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE device [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<device><item name="battery.capacity">&b;</item></device>"""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "p.xml: is empty", id="empty"),
        pytest.param(b" \n", "p.xml: is empty", id="blank"),
        pytest.param(
            b"kind: phone\n", "p.xml:1: not valid XML: syntax error (column 1)", id="yaml"
        ),
        pytest.param(b"\x00\xff\x80\x12", "p.xml:1: not valid XML", id="binary"),
        pytest.param(b"\x03\x00\x08\x00\x10", "p.xml: is Android's compiled XML", id="compiled"),
        pytest.param(xml(OLD)[:-5], "p.xml:20: not valid XML: unclosed token", id="cut off"),
        pytest.param(b"<html><p>no</p></html>", "it begins with <html>, not <device>", id="html"),
        pytest.param(b"<device/>", "is XML but not a power profile: it has no <item", id="nothing"),
        pytest.param(xml({"none": 0}), "is XML but not a power profile: it has no", id="no key"),
        pytest.param(BOMB, "p.xml:2: has a document type", id="entities"),
        pytest.param(
            b"<device>&nope;</device>", "p.xml:1: not valid XML: undefined entity", id="entity"
        ),
        pytest.param(
            b'<?xml version="1.0" encoding="klingon"?><device/>',
            "p.xml:1: not valid XML",
            id="code",
        ),
        pytest.param(
            xml(OLD | {"cpu.idle": "much"}),
            "p.xml:6: cpu.idle: 'much' is not a number",
            id="not a number",
        ),
        pytest.param(xml({"cpu.idle": "nan"}), "cpu.idle: 'nan' is not a number", id="nan"),
        pytest.param(
            xml({"cpu.idle": ""}), "p.xml:3: cpu.idle: a number is missing", id="blank item"
        ),
        pytest.param(
            xml({"wifi.x": [1] * 50_001}), "p.xml:3: wifi.x: has more than 50000 numbers", id="many"
        ),
    ],
)
def test_what_is_no_power_profile_is_refused_with_one_message(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_power_profile(data, "p.xml")
    (problem,) = caught.value.problems
    assert message in str(problem)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "huge.xml").write_bytes(b"<device>" + b" " * 1_000_000)
    for name, message in (
        ("none.xml", "cannot be read: No such file"),
        (".", "is a folder"),
        ("huge.xml", "larger than 1000000 bytes"),
        ("a\0b", "no file can have that name"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_power_profile(tmp_path / name)


def test_names_in_the_file_cannot_reach_into_the_draft() -> None:
    data = xml(OLD).replace(b'"radio.active"', b'"radio.x&#10;kind: app&#10;"')
    profile = parse_power_profile(data, 'a\n"b\\.xml')
    for draft in (draft_phone(profile, "mine", "chip"), draft_chip(profile, "chip")):
        assert parse_document(draft.text, "d.yaml").data["kind"] == draft.kind
        assert problems_of(draft) == {(p.line, p.key) for p in draft.missing}


# --- files of real phones -------------------------------------------------------------------------


def collected() -> dict[str, dict[str, Any]]:
    if not COLLECTED.is_file():
        return {}
    data: dict[str, dict[str, Any]] = json.loads(COLLECTED.read_text(encoding="utf-8"))
    return {name: entry["values"] for name, entry in data.items()}


@pytest.mark.skipif(not COLLECTED.is_file(), reason="the collected power profiles are not here")
@pytest.mark.parametrize("name", collected())
def test_every_collected_file_can_be_drafted(name: str) -> None:
    values = collected()[name]
    phone, chip = drafts(values)
    for draft in (phone, chip):
        assert problems_of(draft) == {(p.line, p.key) for p in draft.missing}
        assert check(filled_in(draft), SCHEMAS[draft.kind])[1] == []
        assert max(len(x) for x in draft.text.splitlines() if x.lstrip().startswith("#")) <= 100
    processors = parse_document(chip.text, "my_chip.yaml").data["processors"]
    lists = [key for key in values if re.match(r"cpu\.(core_)?speeds", key)]
    assert len([p for p in processors.values() if p["kind"] == "cpu"]) == len(lists)
    for processor in processors.values():
        if processor["busy_power_w"]["values"] is None:
            continue
        shared = processor.get("cluster_power_w", {"value": 0})["value"] / NOMINAL_V * 1000
        source = processor["busy_power_w"]["source"].removeprefix("power_profile.xml, ")
        key = re.search(r"[a-z_.]*(power|active)[a-z0-9_.]*", source)
        assert key is not None
        currents = sorted(
            (watts / NOMINAL_V * 1000) for watts in processor["busy_power_w"]["values"]
        )
        wanted = sorted(current + shared for current in values[key[0]])
        assert currents == pytest.approx(wanted, rel=2e-3)
        speeds = processor["frequency_mhz"]["values"]
        assert all(a < b for a, b in pairwise(speeds))


@pytest.mark.skipif(not COLLECTED.is_file(), reason="the collected power profiles are not here")
@pytest.mark.parametrize(
    ("name", "doubt"),
    [
        ("s10e_beyond0qlte_sm8150", "are 0.1, Android's placeholder"),
        ("s6_zero-common", "wifi.active of 767 mA is implausibly high"),
        ("pixel5_redfin", "cpu_little.busy_power_w: a slower core that draws more"),
        ("motoxforce_kinzie", "cpu.idle of 0.144926 mA would mean"),
        ("motoxforce_kinzie", "wifi.active is a round 100 mA"),
        ("motox2015_clark", "may mix the levels of two clusters"),
        ("lg_g7_judyln-common", "wifi.controller.voltage of 1800 mV is implausible"),
        ("lg_g7_judyln-common", "modem.controller.voltage of 825 mV is implausible"),
        ("oneplus7pro_guacamole", "radio.active of 50 mA is implausibly low for LTE"),
    ],
)
def test_the_oddities_of_the_collected_files_are_found(name: str, doubt: str) -> None:
    assert doubt in doubts_of(collected()[name])
