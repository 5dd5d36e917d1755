"""A phone: processors, a radio and a base that wakes with them, on one battery."""

from __future__ import annotations

from math import inf
from typing import Protocol

from edgesim.core.clock import Clock
from edgesim.core.errors import SimulationError
from edgesim.core.power import Meter, User
from edgesim.core.signals import Signal
from edgesim.hardware.battery import OVERDRAFT_J, Battery
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.processor import Processor
from edgesim.hardware.specs import PhoneSpec
from edgesim.network.wifi import AccessPoint, WifiRadio

__all__ = ["Activity", "Phone"]


class Activity(User, Protocol):
    """Whatever keeps a phone awake: told when the phone goes off under it."""

    def phone_went_off(self) -> None:
        """The battery is empty: give everything back and record the failure."""


class Phone:
    """One phone. It has idled since the start of the run when it is built, and may have died of it.

    Args:
        clock: the clock.
        name: the device's name.
        spec: its profile.
        charge: of the battery at the start, in [0, 1].
        access_point: where its Wi-Fi is associated; ``None`` for no network.
        rssi: the strength of its signal there, dBm.

    Attributes:
        is_on: false once the battery has run empty.
        active: what keeps it awake, each with the mark of its share of the base power.
    """

    __slots__ = (
        "_base",
        "_clock",
        "_processors",
        "active",
        "battery",
        "is_on",
        "meter",
        "name",
        "radio",
        "spec",
    )

    def __init__(
        self,
        clock: Clock,
        name: str,
        spec: PhoneSpec,
        charge: float,
        access_point: AccessPoint | None,
        rssi: Signal,
    ) -> None:
        self._clock = clock
        self.name = name
        self.spec = spec
        self.is_on = True
        self.active: dict[Activity, float] = {}
        self.meter = Meter(clock, name)
        self._base = self.meter.component("base", spec.suspend_w, "suspend")
        self._processors: dict[str, Processor] = {}
        self.radio = (
            None
            if access_point is None
            else WifiRadio(clock, self.meter, spec.wifi, access_point, rssi)
        )
        if self.radio is None:
            self.meter.component("wifi", spec.wifi.idle_w, "idle")
        empty_s = spec.capacity_j * charge / spec.idle_w if spec.idle_w else inf
        if empty_s <= clock.now:
            self.is_on = False
            self.meter.switch_off(empty_s)
        self.battery = Battery(
            clock,
            self.meter,
            spec.capacity_j,
            charge,
            spec.peak_w,
            is_resting=lambda: not self.active,
            on_empty=self._went_off,
        )

    def processor(self, name: str) -> Processor:
        """The processor called ``name``; one that is never asked for is never built."""
        processor = self._processors.get(name)
        if processor is None:
            processor = Processor(self._clock, self.meter, self.spec.processors[name])
            self._processors[name] = processor
        return processor

    def begin(self, activity: Activity) -> None:
        """Be awake for ``activity``; it shares the base power with whatever else is active."""
        if not self.battery.is_guarded:
            self.battery.power_rises()
        self.active[activity] = self._base.join(self.spec.awake_w, "awake")

    def end(self, activity: Activity) -> None:
        """``activity`` is over: book its share of the base power."""
        mark = self.active.pop(activity)
        if self.active:
            self._base.leave(activity, mark, "awake")
        else:
            self._base.leave(activity, mark, "awake", self.spec.suspend_w, "suspend")

    @property
    def base_power_share_w(self) -> float:
        """Watts of base power that each active thing answers for at present."""
        return self._base.power_w / max(len(self.active), 1)

    def end_of_run(self, charge_start: float) -> DeviceEnd:
        """What it has come to; everything active must have ended or been cut off.

        Raises:
            SimulationError: if ledger and battery disagree, or more was drawn than there was.
        """
        self.meter.audit()
        if self.battery.overdrawn_j > OVERDRAFT_J:
            raise SimulationError(
                f"{self.name}: {self.battery.overdrawn_j!r} J more were drawn than the battery held"
            )
        return DeviceEnd(
            self.name,
            self.spec.profile,
            charge_start,
            self.battery.charge,
            self.meter.drawn_j,
            {
                key: self._processors[key].busy_s if key in self._processors else 0.0
                for key in self.spec.processors
            },
            self.meter.bookings(),
        )

    def _went_off(self) -> None:
        self.is_on = False
        for activity in list(self.active):
            activity.phone_went_off()
        if self.radio is not None:
            self.radio.stop()
        self.meter.switch_off(self._clock.now)
