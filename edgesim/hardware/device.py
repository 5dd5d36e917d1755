"""What is known of any device, phone or server, when a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

__all__ = ["DeviceEnd"]


@dataclass(frozen=True, slots=True)
class DeviceEnd:
    """What a device has come to when the run ends.

    Attributes:
        device: its name.
        profile: its profile's name.
        charge_start, charge_end: state of charge in [0, 1]; like the numbers below, NaN for a server.
        energy_drawn_j: joules drawn: by all components, and lost in the battery.
        busy_s: seconds at work, by processor.
        bookings: (component, activity, job, joules); the joules add up to ``energy_drawn_j``.
        stored_start_j, stored_end_j: in the battery.
        energy_charged_j: what the charger gave, to the device or its battery, so that
            stored_start_j + energy_charged_j = energy_drawn_j + stored_end_j.
        peak_die_c, peak_skin_c: highest temperatures, Celsius.
        throttled_s: seconds during which heat limited a processor.
        off_s: seconds during which it was off.
    """

    device: str
    profile: str
    charge_start: float
    charge_end: float
    energy_drawn_j: float
    busy_s: dict[str, float]
    bookings: list[tuple[str, str, str, float]]
    stored_start_j: float = nan
    stored_end_j: float = nan
    energy_charged_j: float = nan
    peak_die_c: float = nan
    peak_skin_c: float = nan
    throttled_s: float = nan
    off_s: float = nan
