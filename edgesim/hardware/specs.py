"""Phones and servers in SI units, ready to be built; from :mod:`edgesim.hardware.catalogue`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf

from edgesim.learning.isp.camera import Camera
from edgesim.network.lte import LtePower
from edgesim.network.wifi import WifiPower
from edgesim.nn.cost import ProcessorSpec

__all__ = [
    "SEGMENTS",
    "AppSpec",
    "BatterySpec",
    "CameraSpec",
    "ChargingBand",
    "PhoneSpec",
    "ServerSpec",
    "ThermalSpec",
    "Trip",
    "ideal_battery",
]

SEGMENTS = 100
"""Segments of equal charge in a battery; within each, voltage and resistance are constant."""


@dataclass(frozen=True, slots=True)
class ChargingBand:
    """The currents allowed in one band of temperature.

    Attributes:
        below_c: the band ends at this temperature of the battery.
        steps: (volts at the terminals, amperes allowed up to there), increasing volts; empty: none.
    """

    below_c: float
    steps: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class BatterySpec:
    """A battery.

    Attributes:
        volts: resting voltage in each of :data:`SEGMENTS` segments of equal charge, from empty to
            full.
        charge_c: coulombs in all of them.
        resistance_ohm: at 25 degrees Celsius.
        resistance_factor: (Celsius, factor) rows, straight lines between; empty: 1.
        charging: bands from cold to hot; outside of them, and if there are none, nothing charges.
        end_current_a: charging is over when no more than this would flow.
        charger_w: the most that the charger gives.
    """

    volts: tuple[float, ...]
    charge_c: float
    resistance_ohm: float = 0.0
    resistance_factor: tuple[tuple[float, float], ...] = ()
    charging: tuple[ChargingBand, ...] = ()
    end_current_a: float = 0.0
    charger_w: float = 0.0

    @property
    def capacity_j(self) -> float:
        """Joules when full."""
        return self.below_j[-1]

    @cached_property
    def below_j(self) -> tuple[float, ...]:
        """Joules in all segments below each one, and at last in all of them."""
        return (0.0, *accumulate(volts * self.charge_c / SEGMENTS for volts in self.volts))


def ideal_battery(capacity_j: float, voltage_v: float = 3.85) -> BatterySpec:
    """A battery of one voltage, without resistance."""
    return BatterySpec((voltage_v,) * SEGMENTS, capacity_j / voltage_v)


@dataclass(frozen=True, slots=True)
class Trip:
    """What happens between a sensor's reaching one temperature and its cooling to another.

    Attributes:
        sensor: ``die`` or ``skin``.
        trip_c, clear_c: Celsius at which it begins and ends.
        processor: which is limited; empty for all of the phone, which then goes off.
        level: the highest level it may use.
        cores: how many of its cores may be used.
    """

    sensor: str
    trip_c: float
    clear_c: float
    processor: str = ""
    level: int = 1_000
    cores: int = 1_000


@dataclass(frozen=True, slots=True)
class ThermalSpec:
    """Two masses in a row: die, skin, and the air around.

    Attributes:
        die_j_per_k, skin_j_per_k: their heat capacities.
        die_to_skin_k_per_w, skin_to_ambient_k_per_w: what lies between.
        trips: from cool to hot within a processor.
    """

    die_j_per_k: float
    die_to_skin_k_per_w: float
    skin_j_per_k: float
    skin_to_ambient_k_per_w: float
    trips: tuple[Trip, ...] = ()


@dataclass(frozen=True, slots=True)
class AppSpec:
    """What an app of the phone's owner uses while it runs.

    Attributes:
        name: of its profile.
        cpu: share of the time of every core at the top clock, in [0, 1].
        memory: share of the memory's bandwidth, in [0, 1].
        ram_bytes: held while it runs.
    """

    name: str
    cpu: float
    memory: float
    ram_bytes: float


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A phone's rear camera.

    Attributes:
        pixels: of a photograph.
        power_w: while it is open.
        open_s: from closed to the first frame's beginning.
        frame_s: of one frame.
        isp_pixels_per_s: what its image signal processor works off.
        optics: what its pictures look like; ``None`` if nobody knows.
    """

    pixels: float
    power_w: float
    open_s: float
    frame_s: float
    isp_pixels_per_s: float
    optics: Camera | None = None


@dataclass(frozen=True, slots=True)
class PhoneSpec:
    """A phone in SI units, ready to be built; from :meth:`Catalogue.phone`.

    Attributes:
        profile: the name of its profile.
        battery: its battery.
        suspend_w: base power with nothing active.
        awake_w: base power with something active, the processors' idle power included.
        wifi: its Wi-Fi.
        processors: by name.
        screen_on_w: watts of the screen at its lowest brightness.
        screen_full_w: what full brightness adds.
        ram_bytes: memory free for models and apps; infinity if the profile does not say.
        storage_bps: bytes per second read from storage; infinity if the profile does not say.
        thermal: how it warms up; ``None``: it does not.
        memory_bps: peak bandwidth of the memory, bytes per second.
        lte: its LTE modem; ``None`` if the profile has none.
        camera: its camera; ``None`` if the profile has none.
    """

    profile: str
    battery: BatterySpec
    suspend_w: float
    awake_w: float
    wifi: WifiPower
    processors: Mapping[str, ProcessorSpec]
    screen_on_w: float = 0.0
    screen_full_w: float = 0.0
    ram_bytes: float = inf
    storage_bps: float = inf
    thermal: ThermalSpec | None = None
    memory_bps: float = inf
    lte: LtePower | None = None
    camera: CameraSpec | None = None

    @property
    def peak_w(self) -> float:
        """No state of the phone draws more than this."""
        return self.peak_board_w + self.peak_die_w

    @property
    def peak_board_w(self) -> float:
        """The part of it outside the processors."""
        return (
            max(self.suspend_w, self.awake_w)
            + self.screen_on_w
            + self.screen_full_w
            + self.wifi.peak_w
            + (self.camera.power_w if self.camera is not None else 0.0)
        )

    @property
    def peak_die_w(self) -> float:
        """The processors' part of it."""
        return sum(
            max(processor.power_w(level, processor.cores) for level in range(len(processor.levels)))
            for processor in self.processors.values()
        )


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """A server in SI units; from :meth:`Catalogue.server`."""

    profile: str
    pue: float
    idle_power_w: float
    processors: Mapping[str, ProcessorSpec]
