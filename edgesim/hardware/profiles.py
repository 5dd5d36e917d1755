"""Profiles: phones, systems on chip and servers as published numbers, each with its source.

A profile is a YAML file. Every number in it is a ``{value, source}``; a file with a number that
does not say where it comes from is refused. Units are in the keys; this module turns them into SI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import pairwise
from math import nan
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
from edgesim.core.errors import ConfigError, EdgesimError, Problem, did_you_mean
from edgesim.core.units import mah_to_j, ms_to_s
from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import MAC_TERMS, Efficiency, Level, ProcessorSpec
from edgesim.nn.model import PRECISIONS
from edgesim.nn.zoo import ZOO

__all__ = [
    "Catalogue",
    "PhoneProfile",
    "PhoneSpec",
    "ServerProfile",
    "ServerSpec",
    "SocProfile",
    "catalogue_folder",
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
    def _increasing(self) -> Self:
        for before, after in pairwise(self.values):
            if after <= before:
                raise ValueError(f"{after:g} MHz follows {before:g} MHz: levels must increase")
        return self


class LevelWatts(Quantities):
    """Watts at every level: of one busy core of a CPU, of the whole of anything else."""

    values: Annotated[
        list[Annotated[float, Field(gt=0, le=1000)]], Field(min_length=1, max_length=99)
    ]


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

    @model_validator(mode="after")
    def _watts_of_a_phone(self) -> Self:
        most = max(self.busy_power_w.values)
        if most > _MOST_PHONE_WATTS:
            raise ValueError(
                f"busy_power_w of {most:g} W in a phone: more than {_MOST_PHONE_WATTS} W would be "
                "a slip of the unit"
            )
        return self


_MOST_PHONE_WATTS = 50


class ServerProcessor(ProcessorProfile):
    """One processor of a server."""

    kind: Literal["cpu", "gpu"]
    slots: CountQuantity
    """Inferences served at once; the others wait in line."""
    memory_bandwidth_gbps: PositiveQuantity
    """Peak of its memory, gigabytes per second."""


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


class BatteryProfile(Schema):
    """A battery."""

    capacity_mah: BatteryCapacity
    nominal_voltage_v: PositiveQuantity


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


class MemoryProfile(Schema):
    """Where models are kept."""

    ram_gb: PositiveQuantity
    """Gigabytes of memory, system and all."""
    storage_read_mbps: PositiveQuantity
    """Megabytes per second of a long read from storage: what loading a model waits for."""


class PhoneProfile(Schema):
    """A phone."""

    kind: Literal["phone"]
    name: Name
    description: Text
    soc: Name
    battery: BatteryProfile
    power: BasePower
    wifi: WifiProfile
    memory: MemoryProfile | None = None


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


Profile = SocProfile | PhoneProfile | ServerProfile


@dataclass(frozen=True, slots=True)
class PhoneSpec:
    """A phone in SI units, ready to be built; from :meth:`Catalogue.phone`.

    Attributes:
        profile: the name of its profile.
        capacity_j: a full battery.
        suspend_w: base power with nothing active.
        awake_w: base power with something active, the processors' idle power included.
        wifi: its Wi-Fi.
        processors: by name.
        ram_bytes: memory, system and all; NaN if the profile does not say.
        storage_bps: bytes per second read from storage; NaN if the profile does not say.
    """

    profile: str
    capacity_j: float
    suspend_w: float
    awake_w: float
    wifi: WifiPower
    processors: Mapping[str, ProcessorSpec]
    ram_bytes: float = nan
    storage_bps: float = nan

    @property
    def peak_w(self) -> float:
        """No state of the phone draws more than this."""
        return (
            max(self.suspend_w, self.awake_w)
            + self.wifi.peak_w
            + sum(processor.busy_power_w for processor in self.processors.values())
        )

    @property
    def idle_w(self) -> float:
        """What it draws when nothing is active and the radio sleeps."""
        return self.suspend_w + self.wifi.idle_w


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server in SI units; from :meth:`Catalogue.server`."""

    profile: str
    pue: float
    idle_power_w: float
    processors: Mapping[str, ProcessorSpec]


def catalogue_folder(name: str) -> Path:
    """Where the files that ship with edgesim are: ``device_profiles`` or ``scenarios``.

    They stand at the top of the repository and, in an installed package, inside it.

    Raises:
        EdgesimError: if the installation is incomplete.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "catalogue" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise EdgesimError(f"the folder {name!r} is missing from this installation of edgesim")


class Catalogue:
    """Profiles by name: those that ship with edgesim, and a user's own folders before them.

    Args:
        folders: searched in order for ``NAME.yaml``; the shipped profiles come last.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._folders = [*folders, catalogue_folder("device_profiles")]
        self._read: dict[str, tuple[Document, Profile]] = {}
        self._names: dict[object, list[str]] = {}
        self._chips: dict[str, str] = {}

    def files(self) -> Iterator[tuple[str, Path]]:
        """Name and file of every profile; of two with the same name, the first found."""
        seen = set()
        for folder in self._folders:
            for file in sorted(folder.glob("*.yaml")):
                if file.stem not in seen:
                    seen.add(file.stem)
                    yield file.stem, file

    def names(self, kind: str) -> list[str]:
        """The names of all profiles of one kind (``phone``, ``soc``, ``server``), sound or not."""
        if not self._names:
            for name, file in self.files():
                self._names.setdefault(_kind_of(file), []).append(name)
        return self._names.get(kind, [])

    def profile(self, name: str) -> Profile:
        """The profile called ``name``, as it stands in its file.

        Raises:
            ConfigError: if there is none, or its file is not in order.
        """
        return self._load(name)[1]

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """SHA-256 of the files of these profiles, and of the chips they name."""
        files = dict(self.files())
        every = set(names)
        every |= {p.soc for p in map(self.profile, every) if isinstance(p, PhoneProfile)}
        return {name: sha256(files[name].read_bytes()).hexdigest() for name in sorted(every)}

    def runtimes(self, name: str) -> list[str]:
        """The software that can run float models on the CPU of the phone called ``name``.

        Raises:
            ConfigError: as :meth:`phone`.
        """
        self.phone(name)
        phone = self.profile(name)
        assert isinstance(phone, PhoneProfile)
        soc = self.profile(phone.soc)
        assert isinstance(soc, SocProfile)
        return _known_runtimes(soc)

    def phone(self, name: str, runtime: str | None = None) -> PhoneSpec:
        """The phone called ``name`` in SI units.

        Args:
            name: of its profile.
            runtime: the software that runs models on it, on every processor that it is known on;
                the first of a processor's calibration otherwise.

        Raises:
            ConfigError: as :meth:`profile`, if it is not a phone or its chip is missing, or if the
                runtime is not known there.
        """
        document, profile = self._load(name)
        if not isinstance(profile, PhoneProfile):
            raise ConfigError([_wrong_kind(name, profile, "phone", self.names("phone"))])
        if profile.soc not in self.names("soc"):
            hint = did_you_mean(profile.soc, self.names("soc"))
            raise ConfigError(
                [document.problem(("soc",), f"there is no chip {profile.soc!r}; {hint}")]
            )
        soc = self._load(profile.soc)[1]
        assert isinstance(soc, SocProfile)
        processors = processor_specs(soc, runtime)
        if runtime is not None and runtime not in _known_runtimes(soc):
            hint = did_you_mean(runtime, _known_runtimes(soc))
            message = f"nothing is known of {runtime!r} on its CPU; {hint}"
            raise ConfigError([Problem(name, None, "runtime", message)])
        wifi = profile.wifi
        return PhoneSpec(
            profile=profile.name,
            capacity_j=mah_to_j(
                profile.battery.capacity_mah.value, profile.battery.nominal_voltage_v.value
            ),
            suspend_w=profile.power.suspend_w.value,
            awake_w=profile.power.awake_w.value
            + sum(processor.idle_power_w for processor in processors.values()),
            wifi=WifiPower(
                streams=wifi.streams.value,
                idle_w=wifi.idle_w.value,
                receive_w=wifi.receive_w.value,
                transmit_w=tuple((row.rssi_dbm, row.value) for row in wifi.transmit_w),
                tail_w=wifi.tail_w.value,
                tail_s=ms_to_s(wifi.tail_ms.value),
            ),
            processors=processors,
            ram_bytes=profile.memory.ram_gb.value * 1e9 if profile.memory else nan,
            storage_bps=profile.memory.storage_read_mbps.value * 1e6 if profile.memory else nan,
        )

    def server(self, name: str) -> ServerSpec:
        """The server called ``name`` in SI units.

        Raises:
            ConfigError: as :meth:`profile`, and if it is not a server.
        """
        profile = self.profile(name)
        if not isinstance(profile, ServerProfile):
            raise ConfigError([_wrong_kind(name, profile, "server", self.names("server"))])
        return ServerSpec(
            profile=profile.name,
            pue=profile.pue.value,
            idle_power_w=profile.idle_power_w.value,
            processors=processor_specs(profile),
        )

    def chip(self, name: str) -> SocProfile | ServerProfile:
        """The chip or server of this name, or known by it in measurement files.

        Raises:
            ConfigError: as :meth:`profile`, and if there is none.
        """
        known = self.chips()
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError([Problem(name, None, "", f"there is no such chip; {hint}")])
        profile = self.profile(known[name])
        assert isinstance(profile, SocProfile | ServerProfile)
        return profile

    def chips(self) -> Mapping[str, str]:
        """The profiles of chips and servers by their names and aliases.

        Raises:
            ConfigError: if one of them is not in order.
        """
        if not self._chips:
            for name in [*self.names("soc"), *self.names("server")]:
                profile = self.profile(name)
                assert isinstance(profile, SocProfile | ServerProfile)
                for alias in (name, *profile.aliases):
                    self._chips.setdefault(alias, name)
        return self._chips

    def _load(self, name: str) -> tuple[Document, Profile]:
        if name not in self._read:
            files = dict(self.files())
            if name not in files:
                raise ConfigError(
                    [
                        Problem(
                            name, None, "", f"there is no such profile; {did_you_mean(name, files)}"
                        )
                    ]
                )
            file = files[name]
            is_shipped = file.parent == self._folders[-1]
            self._read[name] = _read_shipped(file) if is_shipped else read_profile(file)
        return self._read[name]


def read_profile(file: Path) -> tuple[Document, Profile]:
    """Read and check one profile file of any kind.

    Raises:
        ConfigError: with every problem found in it.
    """
    document = read_document(file)
    kinds: dict[object, type[SocProfile] | type[PhoneProfile] | type[ServerProfile]] = {
        "soc": SocProfile,
        "phone": PhoneProfile,
        "server": ServerProfile,
    }
    kind = document.data.get("kind") if isinstance(document.data, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        message = (
            "a profile needs a key 'kind', one of soc, phone, server"
            if kind is None
            else f"unknown kind {kind!r}; {did_you_mean(kind, ['soc', 'phone', 'server'])}"
        )
        raise ConfigError([document.problem(("kind",), message)])
    profile = validate(document, kinds[kind])
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


def processor_specs(
    profile: SocProfile | ServerProfile, runtime: str | None = None
) -> Mapping[str, ProcessorSpec]:
    """The processors of a chip or server in SI units.

    Args:
        profile: the chip or server.
        runtime: whose efficiencies; on processors that do not know it, and by default, the first
            in the calibration. Kinds of processor without a calibration take after their family
            (``efficiency.yaml`` beside this module).
    """
    specs = {}
    for name, processor in profile.processors.items():
        peaks = processor.macs_per_cycle.by_precision()
        if isinstance(processor, ServerProcessor):
            bandwidth, idle_w = processor.memory_bandwidth_gbps.value, 0.0
            slots: int | None = processor.slots.value
        else:
            assert isinstance(profile, SocProfile)
            assert isinstance(processor, SocProcessor)
            bandwidth, idle_w = profile.memory_bandwidth_gbps.value, processor.idle_power_w.value
            slots = None
        runtimes = _runtimes(profile, processor)
        chosen = next(iter(runtimes), "")
        if runtime is not None and runtime in runtimes:
            chosen = runtime
        specs[name] = ProcessorSpec(
            name=name,
            kind=processor.kind,
            family=family(profile, processor),
            levels=tuple(
                Level(mhz * 1e6, watts)
                for mhz, watts in zip(
                    processor.frequency_mhz.values, processor.busy_power_w.values, strict=True
                )
            ),
            idle_power_w=idle_w,
            slots=slots,
            cores=processor.cores.value if processor.cores else 1,
            macs_per_cycle=MappingProxyType(peaks),
            memory_bps=bandwidth * 1e9,
            efficiency=MappingProxyType(
                {
                    precision: row.efficiency(chosen)
                    for precision, row in runtimes.get(chosen, {}).items()
                    if precision in peaks
                }
            ),
            latency_s=_latencies_s(processor.latency_ms),
        )
    return MappingProxyType(specs)


def _known_runtimes(soc: SocProfile) -> list[str]:
    """The software that runs float models on the CPU."""
    known: dict[str, None] = {}
    for processor in soc.processors.values():
        if processor.kind == "cpu":
            runtimes = _runtimes(soc, processor)
            known |= dict.fromkeys(name for name in runtimes if "fp32" in runtimes[name])
    return list(known)


def calibration_unit(processor: ProcessorProfile) -> str:
    """The key of its efficiencies in a calibration."""
    return "cpu_in_order" if processor.in_order else processor.kind


def _runtimes(
    profile: SocProfile | ServerProfile, processor: ProcessorProfile
) -> Mapping[str, ByPrecision]:
    """Efficiencies by runtime: the processor's own, or else its family's."""
    own: Mapping[str, ByPrecision] = (
        getattr(profile.calibration, calibration_unit(processor)) if profile.calibration else {}
    )
    return own or shared_efficiencies().get(family(profile, processor), {})


def family(profile: SocProfile | ServerProfile, processor: ProcessorProfile) -> str:
    """Which processors it is alike, where nothing was measured on it."""
    if isinstance(profile, ServerProfile):
        return f"server_{processor.kind}"
    if processor.kind == "cpu":
        order = "_in_order" if processor.in_order else ""
        return f"armv8_{2 if processor.macs_per_cycle.fp16 else 0}{order}_cpu"
    return f"mobile_{processor.kind}"


@cache
def shared_efficiencies() -> Mapping[str, Mapping[str, ByPrecision]]:
    """Efficiencies by family of processor, runtime and precision."""
    file = Path(__file__).with_name("efficiency.yaml")
    return validate(read_document(file), _Shared).families


class _Shared(Schema):
    source: Text
    families: dict[Name, dict[Name, ByPrecision]]


def profile_schema() -> dict[str, object]:
    """The JSON schema of a profile file."""
    adapter: TypeAdapter[Profile] = TypeAdapter(
        Annotated[SocProfile | PhoneProfile | ServerProfile, Field(discriminator="kind")]
    )
    return adapter.json_schema()


def _wrong_kind(name: str, profile: Profile, wanted: str, known: list[str]) -> Problem:
    return Problem(
        name, None, "", f"is a {profile.kind}, not a {wanted}; {did_you_mean(name, known)}"
    )


def _latencies_s(rows: list[LatencyRow]) -> Mapping[tuple[str, str], float]:
    return MappingProxyType({(row.model, row.precision): ms_to_s(row.value) for row in rows})


@cache
def _read_shipped(file: Path) -> tuple[Document, Profile]:
    """Shipped profiles do not change while the program runs: read each once."""
    return read_profile(file)


@cache
def _shipped_kinds() -> Mapping[Path, str]:
    """The kinds of the shipped profiles, whose first key is ``kind``, without parsing them."""
    pattern = re.compile(r"^kind: (\w+)$", re.MULTILINE)
    kinds = {}
    for file in sorted(catalogue_folder("device_profiles").glob("*.yaml")):
        found = pattern.search(file.read_text(encoding="utf-8"))
        kinds[file] = found[1] if found else ""
    return kinds


def _kind_of(file: Path) -> object:
    """The kind that a profile claims to be, whatever else is wrong with it."""
    if file in _shipped_kinds():
        return _shipped_kinds()[file]
    data = read_document(file).data
    return data.get("kind") if isinstance(data, dict) else None


@cache
def shipped() -> Catalogue:
    """The profiles that ship with edgesim."""
    return Catalogue()
