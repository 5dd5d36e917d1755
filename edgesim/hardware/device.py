"""What is known of any device, phone or server, when a run ends."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DeviceEnd"]


@dataclass(frozen=True, slots=True)
class DeviceEnd:
    """What a device has come to when the run ends.

    Attributes:
        device: its name.
        profile: its profile's name.
        charge_start, charge_end: state of charge in [0, 1]; NaN for a server.
        energy_drawn_j: joules drawn.
        busy_s: seconds at work, by processor.
        bookings: (component, activity, job, joules); the joules add up to ``energy_drawn_j``.
    """

    device: str
    profile: str
    charge_start: float
    charge_end: float
    energy_drawn_j: float
    busy_s: dict[str, float]
    bookings: list[tuple[str, str, str, float]]
