"""``edgesim show``: one profile, model or controller in full, with the source of every number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import exp
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from edgesim.controllers.registry import CONTROLLERS, controller_class, parameters_of
from edgesim.core.errors import ConfigError, Problem
from edgesim.core.units import mah_to_j
from edgesim.hardware.catalogue import Catalogue, family
from edgesim.hardware.profiles import (
    BatteryProfile,
    ByTemperature,
    CameraProfile,
    CellCurve,
    CellProfile,
    ChargingLimits,
    LteProfile,
    MemoryProfile,
    PhoneProfile,
    Profile,
    ScreenProfile,
    SocProcessor,
    SocProfile,
    ThermalProfile,
    TripRow,
    WifiProfile,
)
from edgesim.learning.catalogue import Entry, function_of, shown_parameters
from edgesim.learning.isp.camera import STAGES
from edgesim.nn.model import LAYER_KINDS, ModelCost

__all__ = ["console", "fill", "show_controller", "show_learning", "show_model", "show_profile"]

_TABLE_FROM_WIDTH = 100
"""Narrower, sources stand below their numbers; beside them they would be a column of words."""


def show_profile(profile: Profile, catalogue: Catalogue) -> None:
    """Print a profile with its sources; a phone with its chip, if the catalogue has it.

    Raises:
        ConfigError: if the file of a phone's chip is not in order, or is no chip.
    """
    out = console()
    out.print(f"[bold]{profile.name}[/bold]  {profile.kind}: {escape(profile.description)}")
    if isinstance(profile, PhoneProfile):
        soc = _chip_of(profile, catalogue)
        _show_phone(out, profile, soc)
        out.print("\n[bold]sources[/bold]")
        _show_sources(out, profile)
        if soc is not None:
            out.print(f"\n[bold]sources of {soc.name}[/bold]")
            _show_sources(out, soc)
        return
    if isinstance(profile, CellProfile):
        _show_cell(out, profile)
        out.print("\n[bold]sources[/bold]")
    _show_sources(out, profile)
    calibration = profile.model_dump().get("calibration")
    if calibration is not None:
        _show_calibration(calibration)


# --- phones ---------------------------------------------------------------------------------------


def _chip_of(phone: PhoneProfile, catalogue: Catalogue) -> SocProfile | None:
    if phone.soc not in dict(catalogue.files()):
        return None
    soc = catalogue.profile(phone.soc)
    if not isinstance(soc, SocProfile):
        message = f"{phone.soc!r} is a {soc.kind}, not a chip"
        raise ConfigError([Problem(phone.name, None, "soc", message)])
    return soc


def _show_phone(out: Console, phone: PhoneProfile, soc: SocProfile | None) -> None:
    if soc is None:
        text = f"there is no chip {phone.soc!r}; {phone.soc}.yaml belongs beside the phone's file"
        out.print(f"\n[bold]processors[/bold]  {text}")
    else:
        out.print(f"\n[bold]processors[/bold]  {soc.name}: {escape(soc.description)}")
        _show_processors(out, soc)
    _show_section(out, "battery", _battery_rows(phone.battery))
    _show_section(out, "screen", _screen_rows(phone.screen))
    _show_section(out, "camera", _camera_rows(phone.camera))
    power = [
        ("asleep", f"{phone.power.suspend_w.value:g} W"),
        ("awake, idle, screen off", f"{phone.power.awake_w.value:g} W"),
    ]
    _show_section(out, "base power", power)
    _show_section(out, "Wi-Fi", _wifi_rows(phone.wifi))
    _show_section(out, "LTE", _lte_rows(phone.lte))
    _show_section(out, "memory", _memory_rows(phone.memory))
    _show_thermal(out, phone.thermal)
    scale = phone.power_scale
    rows = None if scale is None else [("times every watt above", f"{scale.value:g}")]
    _show_section(out, "power scale", rows)


def _show_processors(out: Console, soc: SocProfile) -> None:
    table = _table()
    for title in ("processor", "cores", "family", "cluster W", "idle W", "cannot run"):
        is_number = title in ("cores", "cluster W", "idle W")
        justify = "right" if is_number else "left"
        table.add_column(title, justify=justify, no_wrap=title != "cannot run")  # type: ignore[arg-type]
    for name, processor in soc.processors.items():
        unsupported = processor.unsupported_layers
        cluster_w = processor.cluster_power_w
        table.add_row(
            name,
            str(processor.cores.value) if processor.cores else "-",
            family(soc, processor),
            f"{cluster_w.value:g}" if cluster_w else "-",
            f"{processor.idle_power_w.value:g}",
            f"{', '.join(unsupported.values)} layers" if unsupported else "-",
        )
    out.print(table)
    levels = [_levels(name, processor) for name, processor in soc.processors.items()]
    out.print("")
    out.print(Columns(levels, padding=(0, 4, 1, 0)))


def _levels(name: str, processor: SocProcessor) -> Table:
    """Every level of a processor; of a CPU with one core and with all cores busy."""
    cores = processor.cores.value if processor.cores else 1
    titles = ["MHz", "W a core", f"W all {cores}"] if cores > 1 else ["MHz", "W busy"]
    table = _table(title=name, title_justify="left", title_style="bold")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    shared_w = processor.cluster_power_w.value if processor.cluster_power_w else 0.0
    for mhz, watts in zip(
        processor.frequency_mhz.values, processor.busy_power_w.values, strict=True
    ):
        all_busy_w = shared_w + cores * (watts - shared_w)
        row = [f"{mhz:g}", f"{watts:.4g}", f"{all_busy_w:.4g}"]
        table.add_row(*row[: len(titles)])
    return table


def _battery_rows(battery: BatteryProfile) -> list[tuple[str, str]]:
    mah, volts = battery.capacity_mah.value, battery.nominal_voltage_v.value
    joules = mah_to_j(mah, volts)
    rows = [
        ("capacity", f"{mah:g} mAh, {mah * volts / 1000:.2f} Wh"),
        ("nominal voltage", f"{volts:g} V"),
    ]
    if battery.cell and battery.resistance_mohm and battery.charger_w:
        return [
            *rows,
            ("cell", battery.cell),
            ("resistance at 25 C", f"{battery.resistance_mohm.value:g} mOhm"),
            ("charger, at most", f"{battery.charger_w.value:g} W"),
            ("usable", f"{joules:,.0f} J, less what its resistance turns into heat"),
        ]
    return [
        *rows,
        ("cell, resistance, charger", "not modelled: an ideal battery that cannot be charged"),
        ("usable", f"{joules:,.0f} J"),
    ]


def _screen_rows(screen: ScreenProfile | None) -> list[tuple[str, str]]:
    if screen is None:
        return []
    return [
        ("on, lowest brightness", f"{screen.on_w.value:g} W"),
        ("highest brightness adds", f"{screen.full_w.value:g} W"),
    ]


def _camera_rows(camera: CameraProfile | None) -> list[tuple[str, str]]:
    if camera is None:
        return []
    rows = [
        ("photograph", f"{camera.megapixels.value:g} megapixels"),
        ("open", f"{camera.power_w.value:g} W, after {camera.open_ms.value:g} ms"),
        ("a frame", f"{camera.frame_ms.value:g} ms"),
        ("developing", f"{camera.isp_mpixels_per_s.value:g} megapixels per second"),
    ]
    sensor, isp = camera.sensor, camera.isp
    if sensor is None or isp is None:
        return [*rows, ("what its pictures look like", "not modelled")]
    neutral = [1.0 / sum(row) for row in sensor.response]
    gains = ", ".join(
        f"{name} {gain / neutral[1]:.2f}"
        for name, gain in (("red", neutral[0]), ("blue", neutral[2]))
    )
    stages = ", ".join(f"{stage.replace('_', ' ')} {getattr(isp, stage)}" for stage in STAGES)
    red, blue = (exp(gain) for gain in isp.cast)
    return [
        *rows,
        (
            "sensor",
            f"{sensor.cfa}, {sensor.bits} bits, {sensor.full_well_e:g} electrons at most, "
            f"{sensor.read_noise_e:g} of read noise",
        ),
        ("to make white white", f"{gains} times the gain of green"),
        (
            "lens",
            f"{100 * sensor.vignetting:g} % lost in the corners, blur of {sensor.blur_px:g} pixels",
        ),
        ("stages", stages),
        (
            "look",
            f"red x {red:.2f}, blue x {blue:.2f}, saturation {isp.saturation:g}, "
            f"exponent {exp(isp.tone_exponent):.2f}, S-curve {100 * isp.s_curve:g} %",
        ),
    ]


def _memory_rows(memory: MemoryProfile | None) -> list[tuple[str, str]]:
    if memory is None:
        return []
    system = f"{memory.system_gb.value:g} GB" if memory.system_gb else "not modelled"
    return [
        ("memory", f"{memory.ram_gb.value:g} GB"),
        ("held by the system", system),
        ("storage, long read", f"{memory.storage_read_mbps.value:g} MB/s"),
    ]


def _wifi_rows(wifi: WifiProfile) -> list[tuple[str, str]]:
    transmit = [
        (f"transmitting from {row.rssi_dbm:g} dBm", f"{row.value:g} W") for row in wifi.transmit_w
    ]
    return [
        ("spatial streams", f"{wifi.streams.value}"),
        ("idle, in power save", f"{wifi.idle_w.value:g} W"),
        ("receiving", f"{wifi.receive_w.value:g} W"),
        *transmit,
        ("after a transfer", f"{wifi.tail_w.value:g} W for {wifi.tail_ms.value:g} ms"),
    ]


def _lte_rows(lte: LteProfile | None) -> list[tuple[str, str]]:
    if lte is None:
        return []
    transmit = [
        (f"sending from {row.tx_dbm:g} dBm", f"{row.value:g} W with all of the cell's blocks")
        for row in lte.transmit_w
    ]
    drx_ms = lte.tail_ms.value - lte.inactivity_ms.value
    return [
        ("spatial layers", f"{lte.layers.value}"),
        ("idle", f"{lte.idle_w.value:g} W, reached every {lte.paging_cycle_ms.value:g} ms"),
        (
            "to connected",
            f"{lte.promotion_w.value:g} W for {lte.promotion_ms.value:g} ms",
        ),
        ("connected", f"{lte.active_w.value:g} W"),
        ("receiving adds", f"{lte.receive_mw_per_mbps.value:g} mW per Mb/s"),
        *transmit,
        (
            "after a transfer",
            f"{lte.active_w.value:g} W for {lte.inactivity_ms.value:g} ms, then "
            f"{lte.tail_w.value:g} W for {drx_ms:g} ms, reached every {lte.drx_cycle_ms.value:g} ms",
        ),
    ]


def _show_thermal(out: Console, thermal: ThermalProfile | None) -> None:
    if thermal is None:
        _show_section(out, "thermal", None)
        return
    rows = [
        ("die and package", f"{thermal.die_j_per_k.value:g} J/K"),
        ("die to skin", f"{thermal.die_to_skin_k_per_w.value:g} K/W"),
        ("the rest, up to the skin", f"{thermal.skin_j_per_k.value:g} J/K"),
        ("skin to air", f"{thermal.skin_to_ambient_k_per_w.value:g} K/W"),
    ]
    if not thermal.trips:
        rows.append(("trips", "not modelled: nothing is limited by heat"))
    _show_section(out, "thermal", rows)
    if thermal.trips:
        table = _table()
        trips = (
            (row.sensor, f"{row.trip_c:g} C", f"{row.clear_c:g} C", _consequence(row))
            for row in thermal.trips
        )
        fill(table, ("sensor", "trips at", "clears at", "what happens"), trips)
        out.print("")
        out.print(Padding(table, (0, 0, 0, 2)))


def _consequence(row: TripRow) -> str:
    if row.shutdown:
        return "the phone goes off"
    if row.max_mhz is not None:
        return f"{row.processor} at most {row.max_mhz:g} MHz"
    return (
        f"{row.processor} keeps {row.max_cores} cores" if row.max_cores else f"{row.processor} off"
    )


def _show_section(out: Console, title: str, rows: Sequence[tuple[str, str]] | None) -> None:
    """A title and what is under it; without rows, the profile has nothing of the sort."""
    if not rows:
        out.print(f"\n[bold]{title}[/bold]  not modelled")
        return
    out.print(f"\n[bold]{title}[/bold]")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, min_width=25)
    table.add_column(overflow="fold")
    for label, text in rows:
        table.add_row(label, escape(text))
    out.print(Padding(table, (0, 0, 0, 2)))


# --- cells ----------------------------------------------------------------------------------------


def _show_cell(out: Console, cell: CellProfile) -> None:
    curve: CellCurve = cell.open_circuit
    out.print("\n[bold]voltage at rest[/bold]")
    _show_rows(
        out,
        ("charge", [f"{100 * charge:g}%" for charge in curve.charge]),
        ("V", [f"{volts:g}" for volts in curve.volts]),
    )
    out.print(f"off below {cell.cutoff_v.value:g} V at the terminals")
    factor: ByTemperature = cell.resistance_factor
    out.print("\n[bold]resistance, as a multiple of that at 25 C[/bold]")
    _show_rows(
        out,
        ("C", [f"{celsius:g}" for celsius in factor.celsius]),
        ("times", [f"{value:g}" for value in factor.values]),
    )
    limits: ChargingLimits = cell.charging
    out.print("\n[bold]charging, in multiples of the current that fills it in an hour[/bold]")
    table = _table()
    table.add_column("C", no_wrap=True)
    for volts in limits.volts:
        table.add_column(f"to {volts:g} V", justify="right", no_wrap=True)
    bands = zip(limits.celsius, limits.celsius[1:], limits.limits_c, strict=False)
    for low, high, row in bands:
        table.add_row(f"{low:g} to {high:g}", *(f"{limit:g}" for limit in row))
    out.print(table)
    out.print(f"over when no more than {limits.end_current_c:g} flows")


_COLUMNS_A_BLOCK = 10


def _show_rows(
    out: Console, first: tuple[str, Sequence[str]], second: tuple[str, Sequence[str]]
) -> None:
    """Two rows of numbers that belong together, in blocks that fit a narrow terminal."""
    for start in range(0, len(first[1]), _COLUMNS_A_BLOCK):
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, style="bold", min_width=6)
        block = slice(start, start + _COLUMNS_A_BLOCK)
        for _ in first[1][block]:
            table.add_column(justify="right", no_wrap=True, min_width=5)
        for title, texts in (first, second):
            table.add_row(title, *texts[block])
        out.print(table)


# --- sources --------------------------------------------------------------------------------------


def _show_sources(out: Console, profile: Profile) -> None:
    data = profile.model_dump()
    data.pop("calibration", None)
    if out.width < _TABLE_FROM_WIDTH:
        for key, value, source in _quantities(data, ""):
            shown = f"  {escape(value)}" if value else ""
            out.print(f"[bold]{escape(key)}[/bold]{shown}", soft_wrap=True)
            out.print(Padding(escape(source), (0, 0, 0, 4)))
        return
    table = _table()
    table.add_column("quantity", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("source", overflow="fold")
    for key, value, source in _quantities(data, ""):
        table.add_row(escape(key), escape(value), escape(source))
    out.print(table)


_LABELS = ("model", "precision", "rssi_dbm", "tx_dbm", "sensor", "trip_c", "processor")


def _quantities(data: Any, path: str) -> Iterable[tuple[str, str, str]]:
    """Every number of a profile with its source, depth first; tables with their source alone."""
    if isinstance(data, dict) and "source" in data:
        labels = [str(data[key]) for key in _LABELS if data.get(key) is not None]
        yield " ".join([path, *labels]), _value(data), data["source"]
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _quantities(value, f"{path}.{key}" if path else key)
    elif isinstance(data, list):
        for value in data:
            yield from _quantities(value, path)


def _value(data: dict[str, Any]) -> str:
    """A number, a row of them or a few words, in short; nothing for what has no short form."""
    if "value" in data:
        return f"{data['value']:g}"
    values = data.get("values", data.get("volts", []))
    if not values:
        return ""
    if not all(isinstance(value, int | float) for value in values):
        return ", ".join(map(str, values))
    if len(values) == 1:
        return f"{values[0]:g}"
    return f"{values[0]:g} to {values[-1]:g} in {len(values)}"


def _show_calibration(calibration: dict[str, Any]) -> None:
    """How well each runtime on each kind of processor is known."""
    out = console()
    out.print(f"\n[bold]calibration[/bold]  {escape(calibration.pop('source'))}")
    out.print("sigma: of ln(measured / predicted) for a model that was not in the fit")
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = (
        (kind, runtime, precision, f"{row['sigma']:.2f}", str(row["rows"]))
        for kind, runtimes in calibration.items()
        for runtime, precisions in runtimes.items()
        for precision, row in precisions.items()
    )
    fill(table, ("processor", "runtime", "precision", "sigma", "rows of its own"), rows)
    out.print(table)


def show_model(model: ModelCost) -> None:
    """Print what a model is made of, and how accurate it is."""
    out = console()
    out.print(f"[bold]{model.name}[/bold]  {model.task}")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("input", model.input)
    table.add_row("multiply-accumulates", f"{model.macs:,}")
    table.add_row("parameters", f"{model.parameters:,}")
    if model.published is not None:
        published = model.published
        text = f"{published.macs / 1e6:,g} M, {published.parameters / 1e6:,g} M; {published.source}"
        table.add_row("published", text)
    counts = model.state_counts
    text = f"{counts.conv} CONV, {counts.fc} FC, {counts.rc} RC; {counts.source}"
    table.add_row("AutoScale's counts", text)
    if model.unsupported_on:
        table.add_row("does not run on", ", ".join(sorted(model.unsupported_on)))
    table.add_row("sent / returned", f"{model.input_bytes:,} / {model.output_bytes:,} bytes")
    for precision, accuracy in model.accuracy.items():
        text = f"{accuracy.value:.1%} {accuracy.metric}; {accuracy.source}"
        table.add_row(f"accuracy in {precision}", text)
    table.add_row("source", model.source)
    out.print(table)
    _show_layers(model)


def _show_layers(model: ModelCost) -> None:
    """What the model is made of, by kind of layer."""
    layers = Table(box=None, pad_edge=False, header_style="bold")
    layers.add_column("layers of kind", no_wrap=True)
    for title in ("how many", "M MACs", "M parameters", "M values out"):
        layers.add_column(title, justify="right", no_wrap=True)
    for kind in LAYER_KINDS:
        chosen = [layer for layer in model.layers if layer.kind == kind]
        if chosen:
            sums = [sum(getattr(x, key) for x in chosen) for key in _SHOWN_SUMS]
            layers.add_row(kind, str(len(chosen)), *(f"{total / 1e6:,.2f}" for total in sums))
    console().print("", layers)


_SHOWN_SUMS = ("macs", "parameters", "outputs")


def show_controller(name: str) -> None:
    """Print what a controller does, as its class says, and its parameters."""
    from inspect import getdoc

    entry = CONTROLLERS[name]
    kind = controller_class(name, entry.slot)
    out = console()
    out.print(f"[bold]{name}[/bold]  slot {entry.slot}, class {entry.path}")
    paragraphs = _plain(getdoc(kind) or "").split("\n\n")
    shown = (p if p.startswith("    ") else " ".join(p.split()) for p in paragraphs)
    out.print("\n\n".join(shown), markup=False)
    schema = parameters_of(kind)
    if schema is None:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = []
    for key, info in schema.model_fields.items():
        value = entry.settings.get(key, info.default)
        default = "-" if value is None else str(value)
        rows.append((key, default, " ".join(_plain(info.description or "").split())))
    fill(table, ("parameter", "default", "meaning"), rows)
    out.print()
    out.print(table)


def show_learning(what: str, name: str, entries: Mapping[str, Entry]) -> None:
    """Print what a data set, a partition or a model that learns is, as its function says."""
    from inspect import getdoc

    out = console()
    out.print(f"[bold]{name}[/bold]  {what}, edgesim.learning.{entries[name].path}")
    text = _plain(getdoc(function_of(what, name, entries)) or "")
    out.print(text, markup=False, highlight=False)
    parameters = shown_parameters(what, name, entries)
    out.print(f"\nParameters in a scenario: {parameters or 'none'}", markup=False)


def _plain(text: str) -> str:
    """Documentation without its mark-up: :class:`Name` and ``code``."""
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text).replace("``", "")


def fill(table: Table, header: Iterable[str], rows: Iterable[tuple[str, ...]]) -> None:
    """Give a table its columns and rows; texts are shown as they are, without mark-up."""
    for index, title in enumerate(header):
        table.add_column(title, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))


def console() -> Console:
    """Where everything is printed: nothing is coloured because it looks like a number."""
    return Console(highlight=False)


def _table(**options: Any) -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", **options)
