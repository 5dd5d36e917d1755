"""Drafts of a phone's and a chip's profile, from an Android power profile.

A draft has every number that the file gives, in watts, with its key as the source; ``null`` for
every required number that the file does not give, so that ``edgesim validate`` lists exactly those;
and a comment ``DOUBT`` above what looks like a default or a slip. No number is made up but one: the
nominal voltage by which Android's milliamperes become watts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from textwrap import wrap

from edgesim.core.errors import Problem
from edgesim.hardware.power_profile import Cluster, PowerProfile

__all__ = ["NOMINAL_V", "Draft", "draft_chip", "draft_phone"]

NOMINAL_V = 3.85
"""Usual nominal voltage of a 4.4 V lithium cell."""

_AOSP = "source.android.com/docs/core/power/values"
_MOST_WATTS = 50
_MOST_LEVELS = 99
_WIDTH = 100

# Doubts begin here; no published measurement of a phone was found beyond these.
_MOST_CORE_W = 4.0
_MOST_WIFI_W = 2.0
_LEAST_WIFI_W = 0.05
_MOST_WIFI_IDLE_W = 0.1
_MOST_LTE_W = 4.0
_LEAST_LTE_W = 0.2
_MOST_LTE_IDLE_W = 0.1
_SUSPEND_MA = (0.5, 20.0)
_CONTROLLER_V = (2.5, 5.0)
_DIP = 0.9


@dataclass(frozen=True, slots=True)
class Draft:
    """A profile that still needs to be completed.

    Attributes:
        kind: ``phone`` or ``soc``.
        name: of the profile, and of its file without ``.yaml``.
        text: YAML.
        found: keys with a number from the file.
        missing: keys that need a value, with their lines and what is asked for.
        doubts: what looks like a default or a slip.
    """

    kind: str
    name: str
    text: str
    found: tuple[str, ...]
    missing: tuple[Problem, ...]
    doubts: tuple[Problem, ...]


def draft_phone(
    profile: PowerProfile, name: str, soc: str, description: str | None = None
) -> Draft:
    """A draft of the phone.

    Args:
        profile: the power profile.
        name: what to call it.
        soc: the name of its chip.
        description: for a chip that is known, what it is; the file's own currents of the CPU are
            then kept as a comment, for comparison.
    """
    page = _Page(name, profile.file)
    page.header("phone", profile)
    page.lines += ["kind: phone", f"name: {name}"]
    page.null("", "description", "maker, model and year, in quotes")
    if description is not None:
        page.comment("", description)
    page.lines.append(f"soc: {soc}")
    if description is not None:
        _compare_clusters(page, profile)
    _battery(page, profile)
    _base_power(page, profile)
    _wifi(page, profile)
    used = _lte(page, profile)
    _screen(page, profile)
    page.lines += _OPTIONAL.splitlines()
    used |= _camera(page, profile)
    _not_modelled(page, profile, used)
    return page.draft("phone")


def draft_chip(profile: PowerProfile, name: str) -> Draft:
    """A draft of the phone's chip, called ``name``."""
    page = _Page(name, profile.file)
    page.header("soc", profile)
    page.lines += ["kind: soc", f"name: {name}"]
    page.null("", "description", "maker and model, with its cores, GPU and DSP, in quotes")
    page.number("memory_bandwidth_gbps", None, "", "peak of the memory, from its type and channels")
    page.lines.append("processors:")
    clusters = sorted(profile.clusters(), key=_rank, reverse=True)
    names = _NAMES.get(len(clusters)) or [f"cpu_{n}" for n in range(len(clusters))][::-1]
    if not clusters:
        page.comment("  ", "The file says nothing of the CPU that could be read.")
        clusters, names = [Cluster(0, "", "", (), ())], ["cpu_big"]
    read = {key for c in clusters for key in (c.speeds_key, c.power_key)}
    faster_w: tuple[str, float] | None = None
    for processor, cluster in zip(names, clusters, strict=True):
        faster_w = _processor(page, processor, cluster, faster_w)
    gpu = profile.gpu()
    if gpu is not None:
        _processor(page, "gpu", gpu, None)
    page.comment(
        "  ",
        "What the file does not mention (GPU, DSP) can be added as a processor of its own, from "
        "another source; left out, nothing runs on it.",
    )
    known = ("cpu.core_", "cpu.cluster", "cpu.suspend", "cpu.idle", "cpu.awake", "cpu.active")
    others = [
        key
        for key in profile.values
        if key.startswith("cpu.") and key not in read and not key.startswith(known)
    ]
    if others:
        page.comment("", f"Keys of the CPU that were not read: {', '.join(others[:40])}")
    return page.draft("soc")


_NAMES: dict[int, list[str]] = {
    1: ["cpu_big"],
    2: ["cpu_big", "cpu_little"],
    3: ["cpu_prime", "cpu_big", "cpu_little"],
}


@dataclass(slots=True)
class _Page:
    """A draft as it is written, line by line, with what was found, is missing and is doubtful."""

    name: str
    source_file: str
    lines: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    missing: list[Problem] = field(default_factory=list)
    doubts: list[Problem] = field(default_factory=list)

    def draft(self, kind: str) -> Draft:
        text = "\n".join(self.lines) + "\n"
        return Draft(
            kind, self.name, text, tuple(self.found), tuple(self.missing), tuple(self.doubts)
        )

    def header(self, kind: str, profile: PowerProfile) -> None:
        what = {"phone": "phone", "soc": "chip"}[kind]
        self.comment("", f"DRAFT of a {what}, written by edgesim import-phone from {profile.file}.")
        self.comment(
            "",
            f"Its currents are increments over the parts below ({_AOSP}); W = mA x {NOMINAL_V} V "
            "unless the file names a voltage. Replace every null by a number and say, in quotes, where it "
            f"is from; 'edgesim validate {self.name}.yaml' lists what is still to be done. "
            "Look twice at every DOUBT.",
        )
        if profile.twice:
            self.doubt("", "", f"given twice, the last counts: {', '.join(profile.twice)}")
        currents = [
            value
            for key, values in profile.values.items()
            if "speeds" not in key and "clusters.cores" not in key
            for value in values
        ]
        given = [value for value in currents if value]
        placeholders = sum(value == 0.1 for value in given)
        if placeholders > 2 and placeholders * 4 > len(given):
            self.doubt(
                "",
                "",
                f"{placeholders} of {len(given)} currents are 0.1, Android's placeholder: it seems "
                "that nobody measured this phone",
            )

    def comment(self, indent: str, text: str) -> None:
        self.lines += wrap(
            text,
            _WIDTH,
            initial_indent=f"{indent}# ",
            subsequent_indent=f"{indent}# ",
            break_on_hyphens=False,
        )

    def doubt(self, indent: str, key: str, message: str) -> None:
        self.comment(indent, f"DOUBT: {message}")
        self.doubts.append(Problem(f"{self.name}.yaml", len(self.lines), key, message))

    def null(self, indent: str, path: str, ask: str) -> None:
        """A text that the file does not give."""
        key = path.rpartition(".")[2]
        self.lines.append(f"{indent}{key}: null  # TODO: {ask}")
        self.missing.append(Problem(f"{self.name}.yaml", len(self.lines), path, ask))

    def number(
        self, path: str, value: float | None, source: str, ask: str, doubts: Iterable[str] = ()
    ) -> None:
        """One number; ``None`` if the file does not give it."""
        shown = None if value is None else f"value: {_short(value)}"
        indent, key = _indent_and_key(path)
        self._entry(indent, f"{key}: {{", path, shown, "value: null", source, ask, doubts)

    def numbers(
        self,
        path: str,
        values: Sequence[float] | None,
        source: str,
        ask: str,
        doubts: Iterable[str] = (),
    ) -> None:
        """A row of numbers; ``None`` if the file does not give it."""
        shown = None if values is None else f"values: [{', '.join(map(_short, values))}]"
        indent, key = _indent_and_key(path)
        self._entry(indent, f"{key}: {{", path, shown, "values: null", source, ask, doubts)

    def transmit_row(
        self, value: float | None, source: str, doubts: Iterable[str], row: str, place: str
    ) -> None:
        """A row of ``transmit_w``; the first row serves every weaker signal or output too."""
        shown = None if value is None else f"value: {_short(value)}"
        ask = "W while transmitting"
        self._entry("    ", f"- {{{row}, ", place, shown, "value: null", source, ask, doubts)

    def _entry(
        self,
        indent: str,
        begin: str,
        path: str,
        shown: str | None,
        empty: str,
        source: str,
        ask: str,
        doubts: Iterable[str],
    ) -> None:
        for doubt in doubts:
            self.doubt(indent, path, doubt)
        if shown is None:
            self.lines.append(f"{indent}{begin}{empty}, source: null}}  # TODO: {ask}")
            self.missing.append(Problem(f"{self.name}.yaml", len(self.lines), path, ask))
        else:
            self.lines.append(f'{indent}{begin}{shown}, source: "{_quoted(source)}"}}')
            self.found.append(path)


def _indent_and_key(path: str) -> tuple[str, str]:
    return "  " * path.count("."), path.rpartition(".")[2]


def _short(value: float) -> str:
    """Four digits are more than any of these numbers is good for; whole ones as they are."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:.7g}"


def _watts(milliamperes: float, volts: float = NOMINAL_V) -> float:
    """Watts, to four digits."""
    return float(f"{milliamperes * volts / 1000:.4g}")


def _is_sane(milliamperes: float) -> bool:
    return 0 <= _watts(milliamperes) <= _MOST_WATTS


def _usable_w(watts: float, doubts: list[str], *, zero_is_fine: bool) -> float | None:
    """The watts, or ``None`` and a doubt if no profile may have them."""
    if watts < 0 or watts > _MOST_WATTS or (watts == 0 and not zero_is_fine):
        doubts.append(f"the file's value would be {watts:g} W and was left out")
        return None
    return watts


def _doubts_of_current(key: str, milliamperes: float) -> list[str]:
    """What is odd about a current at first sight."""
    if milliamperes == 0:
        return [f"{key} is 0: nobody measured it, or it is counted elsewhere"]
    if milliamperes == 0.1:
        return [f"{key} is 0.1 mA, Android's placeholder"]
    if milliamperes in (1, 10, 100, 1000):
        return [f"{key} is a round {milliamperes:g} mA, which looks like an untouched default"]
    return []


def _battery(page: _Page, profile: PowerProfile) -> None:
    page.lines.append("battery:")
    capacity = profile.number("battery.capacity")
    doubts = []
    if capacity in (1000, 10_000) or (capacity is not None and 50 <= capacity < 500):
        doubts.append(f"battery.capacity of {capacity:g} mAh looks like an untouched default")
    if capacity is not None and not 50 <= capacity <= 1e6:
        doubts.append(f"battery.capacity of {capacity:g} mAh was left out")
        capacity = None
    typical = profile.number("battery.typical.capacity")
    if typical is not None:
        page.comment("  ", f"Rated; battery.typical.capacity is {typical:g} mAh.")
    source = f"{profile.file}, battery.capacity"
    page.number("battery.capacity_mah", capacity, source, "rated capacity, mAh", doubts)
    page.number(
        "battery.nominal_voltage_v",
        NOMINAL_V,
        "assumed: usual nominal voltage of a 4.4 V lithium cell; also used to turn the currents of "
        f"{profile.file} into watts",
        "",
    )
    page.found.remove("battery.nominal_voltage_v")  # it is not from the file
    page.lines += [
        "  # Optional, together, for a battery that sags and can be charged:",
        "  # cell: NAME  # see edgesim list profiles",
        '  # resistance_mohm: {value: , source: ""}  # TODO source: at 25 C',
        '  # charger_w: {value: , source: ""}  # TODO source: the charger at most, W',
    ]


def _base_power(page: _Page, profile: PowerProfile) -> None:
    """What the phone draws asleep and awake, screen off.

    In files with ``cpu.suspend``, ``cpu.idle`` comes on top of it while awake, and a single
    ``cpu.active`` on top of both while any core runs. In files without, ``cpu.idle`` is the whole
    of a sleeping phone and ``cpu.awake`` comes on top.
    """
    page.lines.append("power:")
    asleep = profile.first("cpu.suspend", "cpu.idle")
    above = [key for key in ("cpu.idle", "cpu.awake") if asleep is None or key != asleep[0]]
    if "cpu.speeds" not in profile.values:
        above.append("cpu.active")  # beside cpu.speeds, it is the cores' own list
    doubts: list[str] = []
    suspend_w, source = None, ""
    if asleep is not None:
        key, current = asleep
        doubts = _doubts_of_current(key, current)
        least, most = _SUSPEND_MA
        capacity = profile.number("battery.capacity")
        if current > 0 and not least <= current <= most and capacity:
            days = capacity / current / 24
            doubts.append(f"{key} of {current:g} mA would mean {days:,.3g} days of standby")
        suspend_w = _usable_w(_watts(current), doubts, zero_is_fine=True)
        source = f"{profile.file}, {key} {current:g} mA x {NOMINAL_V} V"
    page.number("power.suspend_w", suspend_w, source, "W asleep, screen off", doubts)
    parts = [(key, value) for key in above if (value := profile.number(key)) is not None]
    doubts = [doubt for part in parts for doubt in _doubts_of_current(*part)]
    awake_w, source = None, ""
    if asleep is not None and parts:
        terms = [asleep, *parts]
        awake_w = _usable_w(_watts(sum(current for _, current in terms)), doubts, zero_is_fine=True)
        if awake_w is not None and suspend_w is not None and awake_w < suspend_w:
            doubts.append("less awake than asleep; left out")
            awake_w = None
        text = " + ".join(f"{key} {current:g} mA" for key, current in terms)
        source = f"{profile.file}, ({text}) x {NOMINAL_V} V"
    page.number("power.awake_w", awake_w, source, "W awake with idle cores, screen off", doubts)


def _wifi(page: _Page, profile: PowerProfile) -> None:
    """Idle, receive and transmit: of the controller if it has been measured, else the old keys."""
    page.lines.append("wifi:")
    page.number("wifi.streams", None, "", "spatial streams (antennas used at once), 1 or 2")
    millivolts = profile.number("wifi.controller.voltage") or 0.0
    if millivolts > 0 and not _CONTROLLER_V[0] <= millivolts / 1000 <= _CONTROLLER_V[1]:
        page.doubt("  ", "wifi", f"wifi.controller.voltage of {millivolts:g} mV is implausible")
    used = set()
    rows: dict[str, tuple[float | None, str, list[str]]] = {}
    for key, of_controller, of_old in (
        ("idle_w", "wifi.controller.idle", "wifi.on"),
        ("receive_w", "wifi.controller.rx", "wifi.active"),
        ("transmit_w", "wifi.controller.tx", "wifi.active"),
    ):
        given = [
            (name, value)
            for name in (of_controller, of_old)
            if (value := profile.number(name)) is not None
        ]
        # Android's own software takes a 0 of the controller for "not known".
        chosen = next((row for row in given if row[1] > 0), given[0] if given else None)
        if chosen is None:
            rows[key] = (None, "", [])
            continue
        name, current = chosen
        used.add(name)
        volts, volts_text = NOMINAL_V, f"{NOMINAL_V} V"
        if name == of_controller and millivolts > 0:
            volts, volts_text = millivolts / 1000, f"{millivolts / 1000:g} V"
        doubts = _doubts_of_current(name, current)
        watts = _usable_w(_watts(current, volts), doubts, zero_is_fine=key == "idle_w")
        doubts += _doubts_of_wifi(key, name, current, watts)
        source = f"{profile.file}, {name} {current:g} mA x {volts_text}"
        rows[key] = (watts, source, doubts)
    value, source, doubts = rows["idle_w"]
    page.number("wifi.idle_w", value, source, "W associated, in power save", doubts)
    value, source, doubts = rows["receive_w"]
    page.number("wifi.receive_w", value, source, "W while receiving", doubts)
    page.comment(
        "  ",
        "One row holds at every signal strength; add rows, weakest first, if it is known by RSSI.",
    )
    page.lines.append("  transmit_w:")
    page.transmit_row(*rows["transmit_w"], "rssi_dbm: -100", "wifi.transmit_w[0]")
    page.number("wifi.tail_w", None, "", "W awake after a transfer")
    page.number("wifi.tail_ms", None, "", "how long that lasts, ms")
    others = {
        key: value
        for key in ("wifi.on", "wifi.active", "wifi.scan")
        if key not in used and (value := profile.number(key)) is not None
    }
    if others:
        shown = ", ".join(f"{key} {_with_watts(ma)}" for key, ma in others.items())
        page.comment("  ", f"Also in the file: {shown}.")


def _doubts_of_wifi(key: str, name: str, current: float, watts: float | None) -> list[str]:
    if not watts:
        return []
    if key == "idle_w":
        if watts > _MOST_WIFI_IDLE_W:
            return [
                f"{name} of {current:g} mA is high for power save: Android may mean a radio that "
                "is kept awake"
            ]
        return []
    if watts > _MOST_WIFI_W:
        return [f"{name} of {current:g} mA is implausibly high for Wi-Fi ({watts:g} W)"]
    if watts < _LEAST_WIFI_W:
        return [f"{name} of {current:g} mA is implausibly low for Wi-Fi ({watts:g} W)"]
    return []


_OUTPUT_DBM = (-40, 0, 5, 15, 20)
"""Where Android's five bins of output power begin (AOSP, ModemActivityInfo); -40 is the least."""


def _lte(page: _Page, profile: PowerProfile) -> set[str]:
    """The modem: of its controller if that has been measured, else the old keys.

    Without any of these the section is left as a comment, because a phone needs none.

    Returns:
        the keys that were read.
    """
    millivolts = profile.number("modem.controller.voltage") or 0.0
    volts_fine = not millivolts or _CONTROLLER_V[0] <= millivolts / 1000 <= _CONTROLLER_V[1]
    volts = millivolts / 1000 if millivolts and volts_fine else NOMINAL_V
    controller = [
        key
        for key in ("modem.controller.idle", "modem.controller.rx")
        if volts_fine and (profile.number(key) or 0.0) > 0
    ]
    tx = [value for value in profile.values.get("modem.controller.tx", ()) if value > 0]
    on = profile.values.get("radio.on", ())
    # A controller's idle current is of a modem that is connected, or of one that sleeps.
    active = next(
        (key for key in controller if _watts(profile.number(key) or 0.0, volts) >= _LEAST_LTE_W),
        "radio.active" if profile.number("radio.active") else None,
    )
    if active is None and not tx and not on:
        page.lines += _NO_LTE.splitlines()
        return set()
    page.comment("", "Optional: take the section out for a phone without LTE.")
    page.lines.append("lte:")
    if not volts_fine:
        message = f"modem.controller.voltage of {millivolts:g} mV is implausible"
        page.doubt("  ", "lte", f"{message}; modem.controller was left out")
    used = set()
    page.number("lte.layers", None, "", "spatial layers (antennas that receive), mostly 2")
    idle_w, source, doubts = None, "", []
    if on:
        used.add("radio.on")
        doubts = _doubts_of_current("radio.on", on[-1])
        idle_w = _usable_w(_watts(on[-1]), doubts, zero_is_fine=True)
        if idle_w and idle_w > _MOST_LTE_IDLE_W:
            doubts.append(f"radio.on of {on[-1]:g} mA is high for a modem that waits for pages")
        source = f"{profile.file}, radio.on {on[-1]:g} mA x {NOMINAL_V} V, the strongest signal's"
    page.number("lte.idle_w", idle_w, source, "W in standby, RRC idle, on average", doubts)
    active_w, source, doubts = None, "", []
    if active is not None:
        used.add(active)
        current = profile.number(active) or 0.0
        its_volts = volts if active in controller else NOMINAL_V
        doubts = _doubts_of_current(active, current)
        active_w = _usable_w(_watts(current, its_volts), doubts, zero_is_fine=False)
        doubts += _doubts_of_lte(active, current, active_w)
        source = f"{profile.file}, {active} {current:g} mA x {its_volts:g} V"
    page.number("lte.active_w", active_w, source, "W connected, without data", doubts)
    ask = "mW on top for each Mb/s received"
    page.number("lte.receive_mw_per_mbps", None, "", f"{ask}; see a shipped phone")
    page.lines.append("  transmit_w:")
    usable = tx if volts_fine and len(tx) in (1, len(_OUTPUT_DBM)) else []
    if tx:
        used.add("modem.controller.tx")
    if tx and not usable and volts_fine:
        message = f"modem.controller.tx has {len(tx)} currents above 0, not one for each of 5 bins"
        page.doubt("    ", "lte.transmit_w", f"{message}; they were left out")
    if any(after < before for before, after in pairwise(usable)):
        page.doubt("    ", "lte.transmit_w", "modem.controller.tx falls as the output power rises")
    for index, current in enumerate(usable):
        key = "modem.controller.tx" + (f"[{index}]" if len(usable) > 1 else "")
        doubts = _doubts_of_current(key, current)
        watts = _usable_w(_watts(current, volts), doubts, zero_is_fine=False)
        doubts += _doubts_of_lte(key, current, watts)
        source = f"{profile.file}, {key} {current:g} mA x {volts:g} V"
        row, place = f"tx_dbm: {_OUTPUT_DBM[index]}", f"lte.transmit_w[{index}]"
        page.transmit_row(watts, source, doubts, row, place)
    if not usable:
        page.transmit_row(None, "", [], f"tx_dbm: {_OUTPUT_DBM[0]}", "lte.transmit_w[0]")
    for key, ask in _OF_THE_NETWORK.items():
        page.number(f"lte.{key}", None, "", ask)
    if millivolts:
        used.add("modem.controller.voltage")
    return used


_OF_THE_NETWORK = {
    "promotion_ms": "from standby to connected, ms; see a shipped phone for these",
    "promotion_w": "W meanwhile",
    "inactivity_ms": "how long the receiver stays on after a transfer, ms",
    "tail_ms": "from the last transfer to standby, ms",
    "tail_w": "W while it listens now and then",
    "drx_cycle_ms": "how often it then does, ms",
    "paging_cycle_ms": "how often in standby, ms",
}

_NO_LTE = """\
# Optional; without it the phone has no LTE.
# lte:  # see a shipped phone"""


def _doubts_of_lte(name: str, current: float, watts: float | None) -> list[str]:
    if watts and watts > _MOST_LTE_W:
        return [f"{name} of {current:g} mA is implausibly high for LTE ({watts:g} W)"]
    if watts and watts < _LEAST_LTE_W:
        return [f"{name} of {current:g} mA is implausibly low for LTE ({watts:g} W)"]
    return []


def _screen(page: _Page, profile: PowerProfile) -> None:
    """The built-in screen; newer files number their screens."""
    on = profile.first("screen.on", "screen.on.display0")
    full = profile.first("screen.full", "screen.full.display0")
    if on is None and full is None:
        page.lines += [
            "# Optional; without it the phone has no screen, and cannot be used by anybody.",
            "# screen:",
            '#   on_w: {value: , source: ""}  # TODO source: W at the lowest brightness',
            '#   full_w: {value: , source: ""}  # TODO source: W that the highest adds',
        ]
        return
    page.lines.append("screen:")
    for key, found, zero_is_fine, ask in (
        ("screen.on_w", on, False, "W at the lowest brightness"),
        ("screen.full_w", full, True, "W that the highest brightness adds"),
    ):
        if found is None:
            page.number(key, None, "", ask)
            continue
        doubts = _doubts_of_current(*found)
        watts = _usable_w(_watts(found[1]), doubts, zero_is_fine=zero_is_fine)
        source = f"{profile.file}, {found[0]} {found[1]:g} mA x {NOMINAL_V} V"
        page.number(key, watts, source, ask, doubts)
    more = [key for key in profile.values if key.startswith(("screen.on.", "screen.full."))]
    more = [key for key in more if not key.endswith(".display0")]
    if more:
        page.comment("  ", f"More screens, not modelled: {', '.join(more[:20])}.")


_OPTIONAL = """\
# Optional; without them any number of models fits, and the phone never warms up.
# memory:
#   ram_gb: {value: , source: ""}  # TODO source: GB of memory
#   system_gb: {value: , source: ""}  # TODO source: GB that the system holds of it
#   storage_read_mbps: {value: , source: ""}  # TODO source: MB/s of a long read
# thermal:
#   die_j_per_k: {value: , source: ""}  # TODO source: see a shipped phone
#   die_to_skin_k_per_w: {value: , source: ""}  # TODO source:
#   skin_j_per_k: {value: , source: ""}  # TODO source:
#   skin_to_ambient_k_per_w: {value: , source: ""}  # TODO source:"""


def _camera(page: _Page, profile: PowerProfile) -> set[str]:
    """A camera that is there as soon as it is uncommented; gives the keys that it has used."""
    found = profile.first("camera.avg")
    power = 'value: , source: ""}  # TODO source: W while it is open'
    if found is not None:
        source = f"{profile.file}, {found[0]} {found[1]:g} mA x {NOMINAL_V} V"
        power = f'value: {_watts(found[1]):g}, source: "{source}"}}'
    page.lines += [
        "# Optional; without it the phone takes no pictures.",
        "# camera:",
        '#   megapixels: {value: , source: ""}  # TODO source: of a photograph',
        f"#   power_w: {{{power}",
        '#   open_ms: {value: , source: ""}  # TODO source: from closed to the first frame',
        '#   frame_ms: {value: , source: ""}  # TODO source: of one frame',
        '#   isp_mpixels_per_s: {value: , source: ""}  # TODO source: what it develops in a second',
    ]
    return set() if found is None else {found[0]}


def _not_modelled(page: _Page, profile: PowerProfile, used: set[str]) -> None:
    """What the file says of parts that no profile has, as comments; ``used`` has been read."""
    prefixes = ("radio.", "modem.", "camera.", "ambient.")
    chosen = {
        key: v
        for key, v in profile.values.items()
        if v and key.startswith(prefixes) and key not in used
    }
    if not chosen:
        return
    page.lines.append("# In the file, but not modelled:")
    modem_v = (profile.number("modem.controller.voltage") or 0.0) / 1000
    for key, values in chosen.items():
        if key.endswith(".voltage"):
            page.lines.append(f"#   {key}: {values[0]:g} mV")
            continue
        volts = modem_v if key.startswith("modem.controller.") and modem_v > 0 else NOMINAL_V
        shown = ", ".join(_with_watts(value, volts) for value in values[:12])
        page.comment("", f"  {key}: {shown}{', ...' if len(values) > 12 else ''}")


def _with_watts(milliamperes: float, volts: float = NOMINAL_V) -> str:
    return f"{milliamperes:g} mA ({_watts(milliamperes, volts):g} W)"


def _rank(cluster: Cluster) -> tuple[float, float]:
    """Clusters by their top clock; of two alike, by their top current."""
    return max(cluster.speeds_mhz, default=0.0), max(cluster.power_ma, default=0.0)


def _levels(cluster: Cluster) -> tuple[list[float] | None, list[float] | None, list[str]]:
    """Megahertz and milliamperes of every level, increasing; ``None`` for what is of no use.

    Samsung lists its levels from the top; that is turned around without a word. What else is out
    of order is put in order, and doubted.
    """
    speeds, power, doubts = list(cluster.speeds_mhz), list(cluster.power_ma), []
    if not speeds:
        return None, None, []
    if not all(10 <= speed <= 10_000 for speed in speeds) or len(speeds) > _MOST_LEVELS:
        return None, None, [f"{cluster.speeds_key} has speeds or more levels than any CPU"]
    if cluster.is_in_mhz:
        doubts.append(f"{cluster.speeds_key} was taken for MHz, not kHz")
    is_paired = len(speeds) == len(power)
    if power and not is_paired:
        doubts.append(
            f"{len(speeds)} in {cluster.speeds_key} but {len(power)} in {cluster.power_key}"
        )
    order = sorted(range(len(speeds)), key=lambda index: speeds[index])
    if order not in (list(range(len(speeds))), list(range(len(speeds)))[::-1]):
        doubts.append(f"{cluster.speeds_key} does not increase; its levels were put in order")
    once = [i for n, i in enumerate(order) if n == 0 or speeds[i] != speeds[order[n - 1]]]
    if len(once) < len(order):
        doubts.append(f"{cluster.speeds_key} has a speed twice; the first was kept")
    return (
        [speeds[index] for index in once],
        [power[index] for index in once] if is_paired else None,
        doubts,
    )


def _processor(
    page: _Page, name: str, cluster: Cluster, faster_w: tuple[str, float] | None
) -> tuple[str, float] | None:
    """One processor of the chip.

    Args:
        page: where to write.
        name: what to call it.
        cluster: what the file says of it.
        faster_w: key of the next faster cluster's currents, and watts of its core at the top.

    Returns:
        the same of this one, for the next slower.
    """
    path = f"processors.{name}"
    is_gpu = name == "gpu"
    speeds, power, doubts = _levels(cluster)
    page.lines += [f"  {name}:", f"    kind: {'gpu' if is_gpu else 'cpu'}"]
    if is_gpu:
        description = "GPU"
    else:
        description = f"{cluster.cores} cores" if cluster.cores else "cores"
        description += f", cluster{cluster.number}"
    page.lines.append(f'    description: "{description} in {_quoted(page.source_file)}"')
    if not is_gpu:
        page.comment(
            "    ", "in_order: true  # TODO: uncomment for Cortex-A53, A55, A510 and the like"
        )
        cores = None if cluster.cores is None else float(cluster.cores)
        source = f"{page.source_file}, cpu.clusters.cores"
        page.number(f"{path}.cores", cores, source, "cores of the cluster")
    page.lines.append("    macs_per_cycle:")
    whose = "the whole GPU" if is_gpu else "one core"
    ask = f"peak fp32 multiply-accumulates per cycle of {whose}"
    page.number(f"{path}.macs_per_cycle.fp32", None, "", ask)
    page.lines += [
        '      # fp16: {value: , source: ""}  # TODO source: where it has more than fp32',
        '      # int8: {value: , source: ""}  # TODO source:',
    ]
    source = f"{page.source_file}, {cluster.speeds_key}"
    page.numbers(f"{path}.frequency_mhz", speeds, source, "MHz of every level", doubts)
    watts, source, doubts = _busy_w(page.source_file, cluster, power, is_gpu=is_gpu)
    if watts is not None and faster_w is not None and watts[-1] > faster_w[1]:
        doubts.append(
            f"a slower core that draws more at its top than a faster one "
            f"({watts[-1]:g} W; {faster_w[1]:g} W by {faster_w[0]})"
        )
    ask = "W of " + ("the whole" if is_gpu else "one busy core and its cluster") + " at every level"
    page.numbers(f"{path}.busy_power_w", watts, source, ask, doubts)
    cluster_ma = cluster.cluster_ma
    if cluster_ma is not None and not cluster.is_with_cluster and _is_sane(cluster_ma):
        key = f"cpu.cluster_power.cluster{cluster.number}"
        source = f"{page.source_file}, {key} {cluster_ma:g} mA x {NOMINAL_V} V"
        doubts = _doubts_of_current(key, cluster_ma)
        page.number(f"{path}.cluster_power_w", _watts(cluster_ma), source, "", doubts)
    elif not is_gpu:
        page.comment("    ", 'cluster_power_w: {value: , source: ""}  # TODO source: optional')
    page.number(
        f"{path}.idle_power_w",
        0.0,
        f"by definition: currents in {page.source_file} are on top of the awake phone, in whose "
        "awake_w an idle processor is",
        "",
    )
    page.found.remove(f"{path}.idle_power_w")
    return (cluster.power_key, watts[-1]) if watts is not None else None


def _busy_w(
    file: str, cluster: Cluster, power: list[float] | None, *, is_gpu: bool
) -> tuple[list[float] | None, str, list[str]]:
    """Watts at every level, their source, and what is odd about them."""
    if power is None:
        return None, "", []
    key, doubts = cluster.power_key, []
    shared_ma = 0.0 if cluster.is_with_cluster else max(cluster.cluster_ma or 0.0, 0.0)
    watts = [_watts(current + shared_ma) for current in power]
    if min(power) < 0 or min(watts) <= 0 or max(watts) > _MOST_WATTS:
        return None, "", [f"{key} has values that no CPU draws; they were left out"]
    if cluster.is_with_cluster and not is_gpu:
        source = f"{file}, {key} x {NOMINAL_V} V (an old key: each current includes the cluster)"
    elif shared_ma:
        other = f"cpu.cluster_power.cluster{cluster.number}"
        source = f"{file}, ({key} + {other} {shared_ma:g} mA) x {NOMINAL_V} V"
    else:
        source = f"{file}, {key} x {NOMINAL_V} V"
    if set(power) <= {0.1}:
        doubts.append(f"{key} is 0.1 mA, Android's placeholder")
    elif len(power) > 1 and len(set(power)) == 1:
        doubts.append(f"{key} is {power[0]:g} mA at every level: nobody measured it")
    elif len(power) == 1:
        doubts += _doubts_of_current(key, power[0])
    dips = [(a, b) for a, b in pairwise(power) if b < _DIP * a]
    if dips:
        doubts.append(
            f"{key} falls from {dips[0][0]:g} to {dips[0][1]:g} mA as the speed rises; a list may "
            "mix the levels of two clusters"
        )
    if not is_gpu and watts[-1] > _MOST_CORE_W:
        doubts.append(
            f"{watts[-1]:g} W for one core is a lot: if it stands for the whole cluster, divide by "
            "its cores"
        )
    return watts, source, doubts


def _compare_clusters(page: _Page, profile: PowerProfile) -> None:
    """What the file says of a chip whose profile is there already."""
    for cluster in profile.clusters():
        speeds, power, _ = _levels(cluster)
        watts, source, doubts = _busy_w(profile.file, cluster, power, is_gpu=False)
        if speeds and watts:
            page.comment(
                "",
                f"Not used, for comparison: {cluster.cores or '?'} cores, {speeds[0]:g} to "
                f"{speeds[-1]:g} MHz, {watts[0]:g} to {watts[-1]:g} W of one busy core ({source}).",
            )
            for doubt in doubts:
                page.comment("", f"DOUBT: {doubt}")


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
