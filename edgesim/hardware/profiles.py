"""Profiles: phones, systems on chip and servers as published numbers, each with its source.

A profile is a YAML file. Every number in it is a ``{value, source}``; a file with a number that
does not say where it comes from is refused. Units are in the keys; this module turns them into SI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
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
from edgesim.core.errors import ConfigError, EdgesimError, Problem, did_you_mean
from edgesim.core.units import mah_to_j, ms_to_s
from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import ProcessorSpec
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


class LatencyRow(Schema):
    """Time of one inference, batch 1, with the processor to itself."""

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


class SocProcessor(Schema):
    """One processor of a system on chip at a fixed level."""

    kind: Literal["cpu", "gpu", "dsp"]
    description: Text
    cores: CountQuantity | None = None
    frequency_mhz: PositiveQuantity | None = None
    busy_power_w: BusyPhoneWatts
    """Watts above idle while an inference runs on all of it."""
    idle_power_w: PhoneWatts
    """Watts while the phone is awake and this processor has nothing to do."""
    latency_ms: Latencies


class ServerProcessor(Schema):
    """One processor of a server."""

    kind: Literal["cpu", "gpu"]
    slots: CountQuantity
    """Inferences served at once; the others wait in line."""
    busy_power_w: PositiveQuantity
    """Watts above idle while all slots are busy."""
    latency_ms: Latencies


class SocProfile(Schema):
    """A system on chip."""

    kind: Literal["soc"]
    name: Name
    description: Text
    processors: Annotated[dict[Name, SocProcessor], Field(min_length=1)]


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


class PhoneProfile(Schema):
    """A phone."""

    kind: Literal["phone"]
    name: Name
    description: Text
    soc: Name
    battery: BatteryProfile
    power: BasePower
    wifi: WifiProfile


class ServerProfile(Schema):
    """A server."""

    kind: Literal["server"]
    name: Name
    description: Text
    pue: RatioQuantity
    """Power usage effectiveness: watts the building draws per watt of the server."""
    idle_power_w: Quantity
    processors: Annotated[dict[Name, ServerProcessor], Field(min_length=1)]


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
    """

    profile: str
    capacity_j: float
    suspend_w: float
    awake_w: float
    wifi: WifiPower
    processors: Mapping[str, ProcessorSpec]

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

    def phone(self, name: str) -> PhoneSpec:
        """The phone called ``name`` in SI units.

        Raises:
            ConfigError: as :meth:`profile`, and if it is not a phone or its chip is missing.
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
        processors = {
            key: ProcessorSpec(
                name=key,
                kind=processor.kind,
                busy_power_w=processor.busy_power_w.value,
                idle_power_w=processor.idle_power_w.value,
                slots=None,
                latency_s=_latencies_s(processor.latency_ms),
            )
            for key, processor in soc.processors.items()
        }
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
            processors=MappingProxyType(processors),
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
            processors=MappingProxyType(
                {
                    key: ProcessorSpec(
                        name=key,
                        kind=processor.kind,
                        busy_power_w=processor.busy_power_w.value,
                        idle_power_w=0.0,
                        slots=processor.slots.value,
                        latency_s=_latencies_s(processor.latency_ms),
                    )
                    for key, processor in profile.processors.items()
                }
            ),
        )

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


def _kind_of(file: Path) -> object:
    """The kind that a profile claims to be, whatever else is wrong with it."""
    is_shipped = file.parent == catalogue_folder("device_profiles")
    data = (_read_shipped(file)[0] if is_shipped else read_document(file)).data
    return data.get("kind") if isinstance(data, dict) else None


@cache
def shipped() -> Catalogue:
    """The profiles that ship with edgesim."""
    return Catalogue()
