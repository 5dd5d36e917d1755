"""The catalogue: profiles by name, and what they say in SI units, ready to be built."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from hashlib import sha256
from math import inf
from pathlib import Path
from types import MappingProxyType

import numpy as np

from edgesim.core.documents import Document, Schema, read_document, validate
from edgesim.core.errors import ConfigError, EdgesimError, Problem, did_you_mean
from edgesim.core.units import ms_to_s
from edgesim.hardware.profiles import (
    AppProfile,
    BatteryProfile,
    ByPrecision,
    CameraProfile,
    CellProfile,
    IspProfile,
    LatencyRow,
    LteProfile,
    Name,
    PhoneProfile,
    ProcessorProfile,
    Profile,
    SensorProfile,
    ServerProcessor,
    ServerProfile,
    SocProcessor,
    SocProfile,
    Text,
    ThermalProfile,
    TripRow,
    WifiProfile,
    read_profile,
)
from edgesim.hardware.specs import (
    SEGMENTS,
    AppSpec,
    BatterySpec,
    CameraSpec,
    ChargingBand,
    PhoneSpec,
    ServerSpec,
    ThermalSpec,
    Trip,
    ideal_battery,
)
from edgesim.learning.isp.camera import Camera, Isp, Sensor
from edgesim.network.lte import LtePower
from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import Level, ProcessorSpec

__all__ = ["Catalogue", "catalogue_folder", "processor_specs", "shared_efficiencies", "shipped"]


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
        """SHA-256 of the files of these profiles, and of the chips and cells they name."""
        files = dict(self.files())
        every = set(names)
        phones = [p for p in map(self.profile, every) if isinstance(p, PhoneProfile)]
        every |= {phone.soc for phone in phones}
        every |= {phone.battery.cell for phone in phones if phone.battery.cell is not None}
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
        processors = dict(processor_specs(soc, runtime))
        if runtime is not None and runtime not in _known_runtimes(soc):
            hint = did_you_mean(runtime, _known_runtimes(soc))
            message = f"nothing is known of {runtime!r} on its CPU; {hint}"
            raise ConfigError([Problem(name, None, "runtime", message)])
        scale = profile.power_scale.value if profile.power_scale else 1.0
        processors = {key: _scaled(spec, scale) for key, spec in processors.items()}
        thermal = None
        if profile.thermal is not None:
            trips = _trips(document, profile.thermal.trips, processors)
            thermal = _thermal(profile.thermal, trips)
        memory, screen = profile.memory, profile.screen
        system_gb = memory.system_gb.value if memory and memory.system_gb else 0.0
        idle_w = sum(processor.idle_power_w for processor in processors.values())
        return PhoneSpec(
            profile=profile.name,
            battery=self._battery(document, profile.battery),
            suspend_w=profile.power.suspend_w.value * scale,
            awake_w=profile.power.awake_w.value * scale + idle_w,
            wifi=_wifi(profile.wifi, scale),
            processors=MappingProxyType(processors),
            screen_on_w=screen.on_w.value * scale if screen else 0.0,
            screen_full_w=screen.full_w.value * scale if screen else 0.0,
            ram_bytes=(memory.ram_gb.value - system_gb) * 1e9 if memory else inf,
            storage_bps=memory.storage_read_mbps.value * 1e6 if memory else inf,
            thermal=thermal,
            memory_bps=soc.memory_bandwidth_gbps.value * 1e9,
            lte=_lte(profile.lte, scale) if profile.lte else None,
            camera=_camera(document, profile.camera, scale) if profile.camera else None,
        )

    def _battery(self, document: Document, battery: BatteryProfile) -> BatterySpec:
        """A battery with the curve of its cell; an ideal one without."""
        volts = battery.nominal_voltage_v.value
        charge_c = battery.capacity_mah.value * 3.6
        if battery.cell is None:
            return ideal_battery(charge_c * volts, volts)
        if battery.cell not in self.names("cell"):
            hint = did_you_mean(battery.cell, self.names("cell"))
            message = f"there is no cell {battery.cell!r}; {hint}"
            raise ConfigError([document.problem(("battery", "cell"), message)])
        cell = self._load(battery.cell)[1]
        assert isinstance(cell, CellProfile)
        assert battery.resistance_mohm is not None
        assert battery.charger_w is not None
        in_an_hour_a = charge_c / 3600
        limits = cell.charging
        bands = [ChargingBand(limits.celsius[0], ())]
        for below_c, row in zip(limits.celsius[1:], limits.limits_c, strict=True):
            steps = zip(limits.volts, (share * in_an_hour_a for share in row), strict=True)
            bands.append(ChargingBand(below_c, tuple(steps)))
        return BatterySpec(
            volts=_segment_volts(cell, volts),
            charge_c=charge_c,
            resistance_ohm=battery.resistance_mohm.value * 1e-3,
            resistance_factor=tuple(
                zip(cell.resistance_factor.celsius, cell.resistance_factor.values, strict=True)
            ),
            charging=tuple(bands),
            end_current_a=limits.end_current_c * in_an_hour_a,
            charger_w=battery.charger_w.value,
        )

    def app(self, name: str) -> AppSpec:
        """The app called ``name`` in SI units.

        Raises:
            ConfigError: as :meth:`profile`, and if it is not an app.
        """
        profile = self.profile(name)
        if not isinstance(profile, AppProfile):
            raise ConfigError([_wrong_kind(name, profile, "app", self.names("app"))])
        return AppSpec(name, profile.cpu.value, profile.memory.value, profile.ram_mb.value * 1e6)

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
            cluster_w = 0.0
            curve = processor.load_curve
            load_curve = tuple(zip(curve.loads, curve.values, strict=True)) if curve else ()
        else:
            assert isinstance(profile, SocProfile)
            assert isinstance(processor, SocProcessor)
            bandwidth, idle_w = profile.memory_bandwidth_gbps.value, processor.idle_power_w.value
            slots = None
            cluster_w = processor.cluster_power_w.value if processor.cluster_power_w else 0.0
            load_curve = ()
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
            cluster_power_w=cluster_w,
            unsupported_layers=frozenset(
                processor.unsupported_layers.values if processor.unsupported_layers else ()
            ),
            load_curve=load_curve,
        )
    return MappingProxyType(specs)


def _scaled(spec: ProcessorSpec, scale: float) -> ProcessorSpec:
    """The same processor, all its watts multiplied."""
    if scale == 1.0:
        return spec
    return replace(
        spec,
        levels=tuple(Level(row.frequency_hz, row.busy_power_w * scale) for row in spec.levels),
        idle_power_w=spec.idle_power_w * scale,
        cluster_power_w=spec.cluster_power_w * scale,
    )


def _wifi(wifi: WifiProfile, scale: float) -> WifiPower:
    return WifiPower(
        streams=wifi.streams.value,
        idle_w=wifi.idle_w.value * scale,
        receive_w=wifi.receive_w.value * scale,
        transmit_w=tuple((row.rssi_dbm, row.value * scale) for row in wifi.transmit_w),
        tail_w=wifi.tail_w.value * scale,
        tail_s=ms_to_s(wifi.tail_ms.value),
    )


def _lte(lte: LteProfile, scale: float) -> LtePower:
    return LtePower(
        layers=lte.layers.value,
        idle_w=lte.idle_w.value * scale,
        active_w=lte.active_w.value * scale,
        receive_w_per_bps=lte.receive_mw_per_mbps.value * 1e-9 * scale,
        transmit_w=tuple((row.tx_dbm, row.value * scale) for row in lte.transmit_w),
        promotion_s=ms_to_s(lte.promotion_ms.value),
        promotion_w=lte.promotion_w.value * scale,
        inactivity_s=ms_to_s(lte.inactivity_ms.value),
        tail_s=ms_to_s(lte.tail_ms.value),
        tail_w=lte.tail_w.value * scale,
        drx_cycle_s=ms_to_s(lte.drx_cycle_ms.value),
        paging_cycle_s=ms_to_s(lte.paging_cycle_ms.value),
    )


def _camera(document: Document, camera: CameraProfile, scale: float) -> CameraSpec:
    """A camera in SI units; refuses a sensor that cannot be."""
    optics = None
    if camera.sensor is not None and camera.isp is not None:
        try:
            optics = _optics(camera.sensor, camera.isp)
        except EdgesimError as error:
            raise ConfigError([document.problem(("camera", "sensor"), str(error))]) from None
    return CameraSpec(
        pixels=camera.megapixels.value * 1e6,
        power_w=camera.power_w.value * scale,
        open_s=ms_to_s(camera.open_ms.value),
        frame_s=ms_to_s(camera.frame_ms.value),
        isp_pixels_per_s=camera.isp_mpixels_per_s.value * 1e6,
        optics=optics,
    )


def _optics(sensor: SensorProfile, isp: IspProfile) -> Camera:
    red, green, blue = (tuple(row) for row in sensor.response)
    numbers = sensor.model_dump(exclude={"source", "response"})
    look = isp.model_dump(exclude={"source", "cast"})
    cast_red, cast_blue = isp.cast
    return Camera(
        Sensor(response=(red, green, blue), **numbers),  # type: ignore[arg-type]
        Isp(cast=(cast_red, cast_blue), **look),
    )


def _segment_volts(cell: CellProfile, nominal_v: float) -> tuple[float, ...]:
    """Resting voltage in the middle of each segment between cut-off and full.

    The curve is scaled so that their mean is the nominal voltage.
    """
    curve = cell.open_circuit
    empty = np.interp(cell.cutoff_v.value, curve.volts, curve.charge)
    middles = empty + (1.0 - empty) * (np.arange(SEGMENTS) + 0.5) / SEGMENTS
    volts = np.interp(middles, curve.charge, curve.volts)
    return tuple((volts * (nominal_v / volts.mean())).tolist())


def _thermal(profile: ThermalProfile, trips: tuple[Trip, ...]) -> ThermalSpec:
    return ThermalSpec(
        profile.die_j_per_k.value,
        profile.die_to_skin_k_per_w.value,
        profile.skin_j_per_k.value,
        profile.skin_to_ambient_k_per_w.value,
        trips,
    )


def _trips(
    document: Document, rows: list[TripRow], processors: Mapping[str, ProcessorSpec]
) -> tuple[Trip, ...]:
    """The rows with levels in place of megahertz; refuses what the chip does not have."""
    trips, problems = [], []
    for index, row in enumerate(rows):
        path = ("thermal", "trips", index)
        level = cores = 1_000
        if row.processor is not None and row.processor not in processors:
            message = f"the chip has no processor {row.processor!r}; " + did_you_mean(
                row.processor, processors
            )
            problems.append(document.problem((*path, "processor"), message))
            continue
        if row.processor is not None and row.max_mhz is not None:
            levels = processors[row.processor].levels
            within = [k for k, step in enumerate(levels) if step.frequency_hz <= row.max_mhz * 1e6]
            if not within:
                message = (
                    f"{row.processor} has no level within {row.max_mhz:g} MHz; its lowest is "
                    f"{levels[0].frequency_hz / 1e6:g} MHz"
                )
                problems.append(document.problem((*path, "max_mhz"), message))
                continue
            level = within[-1]
        if row.max_cores is not None:
            cores = row.max_cores
            if row.processor is not None and processors[row.processor].kind != "cpu":
                message = f"{row.processor} is used as a whole; give max_mhz in place of max_cores"
                problems.append(document.problem((*path, "max_cores"), message))
        trips.append(Trip(row.sensor, row.trip_c, row.clear_c, row.processor or "", level, cores))
    if problems:
        raise ConfigError(problems)
    return tuple(trips)


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
