"""Profiles: phones, chips, battery cells and servers as published numbers, each with its source.

A profile is a YAML file. Every number in it is a ``{value, source}``; a file with a number that
does not say where it comes from is refused. Units are in the keys; :mod:`edgesim.hardware.catalogue`
turns them into SI.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, model_validator

from edgesim.core.documents import (
    PROFILE_NAME_PATTERN,
    Document,
    Schema,
    read_document,
    validate,
)
from edgesim.core.errors import ConfigError, did_you_mean
from edgesim.nn.cost import MAC_TERMS, Efficiency
from edgesim.nn.model import PRECISIONS, LayerKind
from edgesim.nn.zoo import ZOO

__all__ = [
    "PROFILE_KINDS",
    "AppProfile",
    "Calibration",
    "CellProfile",
    "PhoneProfile",
    "ProcessorProfile",
    "Profile",
    "ServerProcessor",
    "ServerProfile",
    "SocProcessor",
    "SocProfile",
    "profile_schema",
    "read_profile",
]

Name = Annotated[str, StringConstraints(pattern=PROFILE_NAME_PATTERN, max_length=64)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Precision = Literal["fp32", "fp16", "int8"]


class Quantity(Schema):
    """A number and where it comes from."""

    value: Annotated[float, Field(ge=0, le=1e9)]
    """The number, in the unit of its key."""
    source: Text
    """Publication, file or measurement; for a derived or assumed number, how and why."""


class PositiveQuantity(Quantity):
    """A number above zero and where it comes from."""

    value: Annotated[float, Field(gt=0, le=1e9)]


class PhoneWatts(Quantity):
    """Watts of a part of a phone: more than 50 would be a slip of the unit."""

    value: Annotated[float, Field(ge=0, le=50)]


class BusyPhoneWatts(PhoneWatts):
    """Watts above zero of a part of a phone."""

    value: Annotated[float, Field(gt=0, le=50)]


class CountQuantity(Quantity):
    """A whole number of at least one and where it comes from."""

    value: Annotated[int, Field(ge=1, le=10_000)]


class RatioQuantity(Quantity):
    """A ratio of at least one and where it comes from."""

    value: Annotated[float, Field(ge=1, le=100)]


class Quantities(Schema):
    """Numbers in a row, one per level, and where they come from."""

    values: Annotated[
        list[Annotated[float, Field(gt=0, le=1e9)]], Field(min_length=1, max_length=99)
    ]
    """The numbers, in the unit of their key."""
    source: Text
    """Publication, file or measurement; for derived or assumed numbers, how and why."""


class Frequencies(Quantities):
    """Megahertz of every level, increasing."""

    values: Annotated[
        list[Annotated[float, Field(ge=10, le=10_000)]], Field(min_length=1, max_length=99)
    ]

    @model_validator(mode="after")
    def _levels_increase(self) -> Self:
        _check_increasing(self.values, " MHz", "levels")
        return self


class LevelWatts(Quantities):
    """Watts at every level: of one busy core of a CPU, of the whole of anything else."""

    values: Annotated[
        list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1, max_length=99)
    ]


class LayerKinds(Schema):
    """Kinds of layers, and where that is written."""

    values: Annotated[list[LayerKind], Field(min_length=1)]
    source: Text


class EfficiencyRow(Schema):
    """What a runtime makes of a processor in one precision, as fitted to measurements.

    The meaning of each number is that of :class:`~edgesim.nn.cost.Efficiency`.
    """

    macs: dict[str, Annotated[float, Field(gt=0, le=100)]]
    exchange: Annotated[float, Field(gt=0, le=1e6)]
    move: Annotated[float, Field(gt=0, le=1e6)]
    function: Annotated[float, Field(gt=0, le=1e6)]
    weights: Annotated[float, Field(gt=0, le=100)]
    dispatch_us: Annotated[float, Field(ge=0, le=1e6)]
    parallel: Annotated[float, Field(ge=-2, le=2)] = 1.0
    parallel_weights: Annotated[float, Field(ge=-2, le=2)] = 0.0
    parallel_dispatch: Annotated[float, Field(ge=-2, le=2)] = 0.0
    sigma: Annotated[float, Field(ge=0, le=3)]
    rows: Annotated[int, Field(ge=0, le=1_000_000)]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.macs) != set(MAC_TERMS):
            raise ValueError(f"macs must have exactly the keys {', '.join(MAC_TERMS)}")
        return self

    def efficiency(self, runtime: str) -> Efficiency:
        """The same in SI units."""
        numbers = self.model_dump(exclude={"dispatch_us", "macs"})
        return Efficiency(
            runtime=runtime,
            macs=MappingProxyType(dict(self.macs)),
            dispatch_s=self.dispatch_us * 1e-6,
            **numbers,
        )


ByPrecision = dict[Precision, EfficiencyRow]


class Calibration(Schema):
    """Efficiencies by processor kind, runtime and precision; the first runtime is the one simulated."""

    source: Text
    """The measurements they were fitted to, and by what."""
    cpu: dict[Name, ByPrecision] = {}
    cpu_in_order: dict[Name, ByPrecision] = {}
    gpu: dict[Name, ByPrecision] = {}
    dsp: dict[Name, ByPrecision] = {}


class LatencyRow(Schema):
    """Time of one inference, batch 1, at the top level, with the processor to itself."""

    model: str
    precision: Precision
    value: Annotated[float, Field(gt=0, le=1e7)]
    source: Text


def _known_once(rows: list[LatencyRow]) -> list[LatencyRow]:
    seen = set()
    for row in rows:
        if row.model not in ZOO:
            raise ValueError(f"unknown model {row.model!r}; {did_you_mean(row.model, ZOO)}")
        if row.precision not in ZOO[row.model].accuracy:
            raise ValueError(f"the accuracy of {row.model} in {row.precision} is not known")
        if (row.model, row.precision) in seen:
            raise ValueError(f"{row.model} in {row.precision} is given twice")
        seen.add((row.model, row.precision))
    return rows


Latencies = Annotated[list[LatencyRow], AfterValidator(_known_once)]


class MacsPerCycle(Schema):
    """Peak multiply-accumulates per cycle of one core, or of the whole, by precision."""

    fp32: PositiveQuantity | None = None
    fp16: PositiveQuantity | None = None
    int8: PositiveQuantity | None = None

    def by_precision(self) -> dict[str, float]:
        """Those that are given."""
        return {key: row.value for key in PRECISIONS if (row := getattr(self, key)) is not None}


class ProcessorProfile(Schema):
    """A processor with all its levels."""

    kind: Literal["cpu", "gpu", "dsp"]
    description: Text
    in_order: bool = False
    """Whether a CPU's cores issue in program order, as Cortex-A53 and A55 do: they reach less of
    their peak than others, whatever the chip."""
    cores: CountQuantity | None = None
    """Of a CPU; anything else is used as a whole."""
    macs_per_cycle: MacsPerCycle = MacsPerCycle()
    frequency_mhz: Frequencies
    busy_power_w: LevelWatts
    """Of a CPU with one core busy, what its cluster then draws included; of the whole of anything
    else."""
    unsupported_layers: LayerKinds | None = None
    """Models with such layers cannot run here."""
    latency_ms: Latencies = []
    """Measured times that take the place of the cost model's."""

    @model_validator(mode="after")
    def _one_row_per_level(self) -> Self:
        if len(self.frequency_mhz.values) != len(self.busy_power_w.values):
            raise ValueError(
                f"{len(self.frequency_mhz.values)} levels in frequency_mhz but "
                f"{len(self.busy_power_w.values)} in busy_power_w; give one of each per level"
            )
        if self.cores is not None and self.kind != "cpu":
            raise ValueError("only a cpu has cores; macs_per_cycle and watts are of the whole")
        if not self.latency_ms and not self.macs_per_cycle.by_precision():
            raise ValueError("needs macs_per_cycle, for the cost model, or latency_ms")
        return self


class SocProcessor(ProcessorProfile):
    """One processor of a system on chip."""

    idle_power_w: PhoneWatts
    """Watts while the phone is awake and this processor has nothing to do."""
    cluster_power_w: PhoneWatts | None = None
    """The part of ``busy_power_w`` that the cluster draws once, however many of its cores are busy."""

    @model_validator(mode="after")
    def _watts_of_a_phone(self) -> Self:
        if self.cluster_power_w is not None:
            if self.kind != "cpu":
                raise ValueError("only a cpu is a cluster of cores and has a cluster_power_w")
            if self.cluster_power_w.value > min(self.busy_power_w.values):
                raise ValueError(
                    "cluster_power_w is part of busy_power_w and cannot be above its lowest level"
                )
        most = max(self.busy_power_w.values)
        if most > _MOST_PHONE_WATTS:
            raise ValueError(
                f"busy_power_w of {most:g} W in a phone: more than {_MOST_PHONE_WATTS} W would be "
                "a slip of the unit"
            )
        return self


_MOST_PHONE_WATTS = 50


class LoadCurve(Schema):
    """Watts above idle at partial load, as measured."""

    loads: Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1, max_length=100)]
    """Shares of full load, increasing to 1."""
    values: Annotated[
        list[Annotated[float, Field(ge=0, le=2)]], Field(min_length=1, max_length=100)
    ]
    """Shares of ``busy_power_w`` of all cores; the last is 1."""
    source: Text

    @model_validator(mode="after")
    def _to_the_full(self) -> Self:
        if len(self.loads) != len(self.values):
            raise ValueError(f"{len(self.loads)} loads but {len(self.values)} values")
        _check_increasing(self.loads, "", "loads")
        if self.loads[-1] != 1 or self.values[-1] != 1:
            raise ValueError("the last of loads and of values must be 1, full load")
        return self


def _check_increasing(values: Sequence[float], unit: str, what: str) -> None:
    for before, after in pairwise(values):
        if after <= before:
            raise ValueError(f"{after:g}{unit} follows {before:g}{unit}: {what} must increase")


class ServerProcessor(ProcessorProfile):
    """One processor of a server."""

    kind: Literal["cpu", "gpu"]
    slots: CountQuantity
    """Inferences served at once; the others wait in line."""
    memory_bandwidth_gbps: PositiveQuantity
    """Peak of its memory, gigabytes per second."""
    load_curve: LoadCurve | None = None
    """Default: busy watts grow in proportion to the slots in use."""


class SocProfile(Schema):
    """A system on chip."""

    kind: Literal["soc"]
    name: Name
    aliases: list[Name] = []
    """What measurement files call it."""
    description: Text
    memory_bandwidth_gbps: PositiveQuantity
    """Peak of the memory that all its processors share, gigabytes per second."""
    processors: Annotated[dict[Name, SocProcessor], Field(min_length=1)]
    calibration: Calibration | None = None


class BatteryCapacity(Quantity):
    """Milliampere-hours: less than 50 would be a slip of the unit."""

    value: Annotated[float, Field(ge=50, le=1e6)]


class CellCurve(Schema):
    """Resting voltage by charge."""

    charge: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=200)
    ]
    """Shares of a full battery, increasing from 0 to 1."""
    volts: Annotated[list[Annotated[float, Field(gt=0, le=10)]], Field(min_length=2)]
    """Increasing, one per charge."""
    source: Text

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.charge) != len(self.volts):
            raise ValueError(f"{len(self.charge)} charges but {len(self.volts)} volts")
        if self.charge[0] != 0 or self.charge[-1] != 1:
            raise ValueError("charge must begin at 0 and end at 1")
        _check_increasing(self.charge, "", "charge")
        _check_increasing(self.volts, " V", "volts")
        return self


class ByTemperature(Schema):
    """A factor by temperature, straight lines between; held beyond the first and last."""

    celsius: Annotated[
        list[Annotated[float, Field(ge=-60, le=150)]], Field(min_length=1, max_length=100)
    ]
    values: Annotated[list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1)]
    source: Text

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if len(self.celsius) != len(self.values):
            raise ValueError(f"{len(self.celsius)} temperatures but {len(self.values)} values")
        _check_increasing(self.celsius, " C", "celsius")
        return self


class ChargingLimits(Schema):
    """The most current, by temperature and by the voltage at the terminals."""

    celsius: Annotated[
        list[Annotated[float, Field(ge=-60, le=150)]], Field(min_length=2, max_length=50)
    ]
    """Edges of the bands, increasing; outside of them there is no charging."""
    volts: Annotated[list[Annotated[float, Field(gt=0, le=10)]], Field(min_length=1, max_length=20)]
    """Upper ends of the steps, increasing; the last is never exceeded."""
    limits_c: list[list[Annotated[float, Field(ge=0, le=20)]]]
    """A row per band, an entry per step of voltage: multiples of the current that fills the battery
    in an hour."""
    end_current_c: Annotated[float, Field(gt=0, le=1)]
    """Charging is over when no more than this flows, in the same unit."""
    source: Text

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _check_increasing(self.celsius, " C", "celsius")
        _check_increasing(self.volts, " V", "volts")
        bands, steps = len(self.celsius) - 1, len(self.volts)
        if len(self.limits_c) != bands or any(len(row) != steps for row in self.limits_c):
            raise ValueError(f"limits_c needs {bands} rows (bands of celsius) of {steps} entries")
        return self


class CellProfile(Schema):
    """A kind of battery cell, whatever its size."""

    kind: Literal["cell"]
    name: Name
    description: Text
    open_circuit: CellCurve
    resistance_factor: ByTemperature
    """What cold makes of a battery's resistance."""
    cutoff_v: PositiveQuantity
    """A phone goes off below this voltage at the terminals; at rest, that is charge 0."""
    charging: ChargingLimits

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        lowest, highest = self.open_circuit.volts[0], self.open_circuit.volts[-1]
        if not lowest <= self.cutoff_v.value < highest:
            raise ValueError(
                f"cutoff_v must be within the curve, {lowest:g} to {highest:g} V; "
                f"found {self.cutoff_v.value:g}"
            )
        return self


class BatteryProfile(Schema):
    """A battery."""

    capacity_mah: BatteryCapacity
    nominal_voltage_v: PositiveQuantity
    cell: Name | None = None
    """A cell profile; its curve is scaled to the nominal voltage. Default: an ideal battery of that
    voltage, without resistance, which cannot be charged."""
    resistance_mohm: Quantity | None = None
    """At 25 C, between the cell and the phone; goes with ``cell``."""
    charger_w: PositiveQuantity | None = None
    """The most that its charger gives, for the phone and the battery together; goes with ``cell``."""

    @model_validator(mode="after")
    def _goes_with_a_cell(self) -> Self:
        given = {self.cell is None, self.resistance_mohm is None, self.charger_w is None}
        if len(given) != 1:
            raise ValueError("cell, resistance_mohm and charger_w are given together or not at all")
        return self


class BasePower(Schema):
    """Watts of the phone outside its processors and radios, screen off."""

    suspend_w: PhoneWatts
    """With nothing active."""
    awake_w: PhoneWatts
    """With at least one job active."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.awake_w.value < self.suspend_w.value:
            raise ValueError("awake_w must not be below suspend_w")
        return self


class TransmitRow(Schema):
    """Watts while transmitting, from this signal strength up to the next row's."""

    rssi_dbm: Annotated[float, Field(ge=-150, le=0)]
    value: Annotated[float, Field(gt=0, le=50)]
    source: Text


def _increasing(rows: list[TransmitRow]) -> list[TransmitRow]:
    for before, after in pairwise(rows):
        if after.rssi_dbm <= before.rssi_dbm:
            raise ValueError(
                f"{after.rssi_dbm:g} dBm follows {before.rssi_dbm:g} dBm: rows must increase"
            )
    return rows


class WifiProfile(Schema):
    """A phone's Wi-Fi."""

    streams: CountQuantity
    idle_w: PhoneWatts
    receive_w: BusyPhoneWatts
    transmit_w: Annotated[list[TransmitRow], Field(min_length=1), AfterValidator(_increasing)]
    tail_w: PhoneWatts
    tail_ms: Quantity


class OutputRow(Schema):
    """Watts while sending, from this output power up to the next row's."""

    tx_dbm: Annotated[float, Field(ge=-60, le=40)]
    value: Annotated[float, Field(gt=0, le=50)]
    source: Text


def _output_increases(rows: list[OutputRow]) -> list[OutputRow]:
    _check_increasing([row.tx_dbm for row in rows], " dBm", "rows")
    return rows


class LayerCount(Quantity):
    """Spatial layers of a modem: no release has more than eight."""

    value: Annotated[int, Field(ge=1, le=8)]


class LteProfile(Schema):
    """A phone's LTE modem.

    The meaning of each number is that of :class:`~edgesim.network.lte.LtePower`.
    """

    layers: LayerCount
    idle_w: PhoneWatts
    active_w: BusyPhoneWatts
    receive_mw_per_mbps: Quantity
    """Milliwatts on top of ``active_w`` per megabit per second received."""
    transmit_w: Annotated[list[OutputRow], Field(min_length=1), AfterValidator(_output_increases)]
    promotion_ms: Quantity
    promotion_w: PhoneWatts
    inactivity_ms: Quantity
    tail_ms: Quantity
    """From the last transfer on, ``inactivity_ms`` included."""
    tail_w: PhoneWatts
    drx_cycle_ms: Quantity
    paging_cycle_ms: Quantity

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.tail_ms.value < self.inactivity_ms.value:
            raise ValueError(
                "tail_ms counts from the last transfer and must not be below inactivity_ms"
            )
        return self


class MemoryProfile(Schema):
    """Where models are kept."""

    ram_gb: PositiveQuantity
    """Gigabytes of memory, system and all."""
    system_gb: PositiveQuantity | None = None
    """What the system and its resident services hold of it; default: nothing."""
    storage_read_mbps: PositiveQuantity
    """Megabytes per second of a long read from storage: what loading a model waits for."""

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.system_gb is not None and self.system_gb.value >= self.ram_gb.value:
            raise ValueError("system_gb must be below ram_gb")
        return self


class ScreenProfile(Schema):
    """A phone's screen."""

    on_w: BusyPhoneWatts
    """At the lowest brightness."""
    full_w: PhoneWatts
    """What the highest brightness adds."""


class TripRow(Schema):
    """What a vendor does when a sensor has got so hot."""

    sensor: Literal["die", "skin"]
    trip_c: Annotated[float, Field(ge=0, le=150)]
    """It begins when the sensor reaches this,"""
    clear_c: Annotated[float, Field(ge=0, le=150)]
    """and ends when it has cooled to this."""
    processor: str | None = None
    max_mhz: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """The processor's clock is kept to the highest level within this."""
    max_cores: Annotated[int, Field(ge=0, le=100)] | None = None
    """So many of its cores stay plugged in; with none left, its work moves to another cluster."""
    shutdown: bool = False
    """The phone goes off, in place of limiting a processor."""
    source: Text

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.clear_c >= self.trip_c:
            raise ValueError(
                f"clear_c must be below trip_c; found {self.clear_c:g} C and {self.trip_c:g} C"
            )
        limits = (self.max_mhz is not None) + (self.max_cores is not None)
        if self.shutdown and (limits or self.processor is not None):
            raise ValueError("shutdown stands alone; give limits in a row of their own")
        if not self.shutdown and (limits != 1 or self.processor is None):
            raise ValueError("give a processor and one of max_mhz and max_cores, or shutdown: true")
        return self


def _trips_in_order(rows: list[TripRow]) -> list[TripRow]:
    last: dict[tuple[str, str | None, bool], TripRow] = {}
    for row in rows:
        key = (row.sensor, row.processor, row.max_mhz is None)
        before = last.get(key)
        if before is not None:
            if row.trip_c <= before.trip_c:
                raise ValueError(
                    f"trips out of order: {row.trip_c:g} C follows {before.trip_c:g} C for "
                    f"{row.processor or 'shutdown'}; list them from cool to hot"
                )
            limit, limit_before = _limit(row), _limit(before)
            if limit >= limit_before:
                raise ValueError(
                    f"trips out of order: at {row.trip_c:g} C {row.processor} is limited to "
                    f"{limit:g}, no less than the {limit_before:g} at {before.trip_c:g} C"
                )
        last[key] = row
    return rows


def _limit(row: TripRow) -> float:
    return row.max_mhz if row.max_mhz is not None else float(row.max_cores or 0)


class ThermalProfile(Schema):
    """Two masses that warm up: the die with its package, and the rest up to the skin."""

    die_j_per_k: PositiveQuantity
    die_to_skin_k_per_w: PositiveQuantity
    skin_j_per_k: PositiveQuantity
    skin_to_ambient_k_per_w: PositiveQuantity
    trips: Annotated[list[TripRow], AfterValidator(_trips_in_order)] = []


Row = Annotated[list[Annotated[float, Field(ge=-10, le=10)]], Field(min_length=3, max_length=3)]


class SensorProfile(Schema):
    """A camera's sensor and lens; the meaning of each number is that of :class:`~edgesim.learning.isp.Sensor`."""

    response: Annotated[list[Row], Field(min_length=3, max_length=3)]
    cfa: Literal["RGGB", "BGGR", "GRBG", "GBRG"]
    exposure: Annotated[float, Field(ge=1e-3, le=1e3)]
    vignetting: Annotated[float, Field(ge=0, le=0.99)]
    blur_px: Annotated[float, Field(ge=0, le=100)]
    full_well_e: Annotated[float, Field(ge=1, le=1e9)]
    read_noise_e: Annotated[float, Field(ge=0, le=1e6)]
    bits: Annotated[int, Field(ge=1, le=16)]
    source: Text


class IspProfile(Schema):
    """What a camera makes of RAW; the meaning of each key is that of :class:`~edgesim.learning.isp.Isp`."""

    denoise: Literal["impulse", "none", "bayes_shrink"]
    demosaic: Literal["malvar2004", "binning", "menon2007"]
    white_balance: Literal["gray_world", "none", "white_patch", "illuminant"]
    gamut: Literal["srgb", "none", "prophoto"]
    tone: Literal["srgb_gamma", "none", "equalised"]
    compression: Literal["jpeg_85", "none", "jpeg_50"]
    cast: Annotated[
        list[Annotated[float, Field(ge=-3, le=3)]], Field(min_length=2, max_length=2)
    ] = [0.0, 0.0]
    saturation: Annotated[float, Field(ge=0, le=3)] = 1.0
    tone_exponent: Annotated[float, Field(ge=-3, le=3)] = 0.0
    s_curve: Annotated[float, Field(ge=0, le=1)] = 0.0
    source: Text


class CameraProfile(Schema):
    """A phone's rear camera: what it costs to use it, and what its pictures look like."""

    megapixels: PositiveQuantity
    """Of a photograph."""
    power_w: BusyPhoneWatts
    """While it is open, sensor and image signal processor together."""
    open_ms: Quantity
    """From closed to the first frame's beginning."""
    frame_ms: PositiveQuantity
    """Of one frame: exposing it and reading it out."""
    isp_mpixels_per_s: PositiveQuantity
    """Megapixels that its image signal processor works off in a second."""
    sensor: SensorProfile | None = None
    """Goes with ``isp``; default: how its pictures look is not known."""
    isp: IspProfile | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.sensor is None) != (self.isp is None):
            raise ValueError("sensor and isp are given together or not at all")
        return self


class PhoneProfile(Schema):
    """A phone."""

    kind: Literal["phone"]
    name: Name
    description: Text
    soc: Name
    battery: BatteryProfile
    power: BasePower
    wifi: WifiProfile
    lte: LteProfile | None = None
    """Default: it has none, or nothing is known of it."""
    screen: ScreenProfile | None = None
    """Default: it has none, and cannot be used by anybody."""
    camera: CameraProfile | None = None
    """Default: it has none, or nothing is known of it."""
    memory: MemoryProfile | None = None
    """Default: any number of models fits, and none needs loading."""
    thermal: ThermalProfile | None = None
    """Default: it never warms up."""
    power_scale: PositiveQuantity | None = None
    """Multiplies every watt of the phone and its chip, the battery's capacity excepted; default 1.
    Published watts of one chip disagree by up to two times."""


class ServerProfile(Schema):
    """A server."""

    kind: Literal["server"]
    name: Name
    aliases: list[Name] = []
    """What measurement files call it."""
    description: Text
    pue: RatioQuantity
    """Power usage effectiveness: watts the building draws per watt of the server."""
    idle_power_w: Quantity
    processors: Annotated[dict[Name, ServerProcessor], Field(min_length=1)]
    calibration: Calibration | None = None


class ShareQuantity(Quantity):
    """A share of a whole and where it comes from."""

    value: Annotated[float, Field(ge=0, le=1)]


class AppProfile(Schema):
    """What an app of the phone's owner uses while it runs."""

    kind: Literal["app"]
    name: Name
    description: Text
    cpu: ShareQuantity
    """Share of the time of every core, at the top clock."""
    memory: ShareQuantity
    """Share of the memory's bandwidth."""
    ram_mb: Quantity
    """Megabytes that it holds while it runs."""


Profile = SocProfile | PhoneProfile | CellProfile | AppProfile | ServerProfile

PROFILE_KINDS: Mapping[str, type[Profile]] = MappingProxyType(
    {
        "phone": PhoneProfile,
        "soc": SocProfile,
        "cell": CellProfile,
        "app": AppProfile,
        "server": ServerProfile,
    }
)
"""What a profile's ``kind`` may be, in the order in which they are listed."""


def read_profile(file: Path) -> tuple[Document, Profile]:
    """Read and check one profile file of any kind.

    Raises:
        ConfigError: with every problem found in it.
    """
    document = read_document(file)
    kind = document.data.get("kind") if isinstance(document.data, dict) else None
    if not isinstance(kind, str) or kind not in PROFILE_KINDS:
        message = (
            f"a profile needs a key 'kind', one of {', '.join(PROFILE_KINDS)}"
            if kind is None
            else f"unknown kind {kind!r}; {did_you_mean(kind, PROFILE_KINDS)}"
        )
        raise ConfigError([document.problem(("kind",), message)])
    profile = validate(document, PROFILE_KINDS[kind])
    if profile.name != file.stem:
        raise ConfigError(
            [
                document.problem(
                    ("name",),
                    f"must be the file's own name; write {file.stem!r} or rename the file; found {profile.name!r}",
                )
            ]
        )
    return document, profile


def profile_schema() -> dict[str, object]:
    """The JSON schema of a profile file."""
    adapter: TypeAdapter[Profile] = TypeAdapter(Annotated[Profile, Field(discriminator="kind")])
    return adapter.json_schema()
