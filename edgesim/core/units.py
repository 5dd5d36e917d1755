"""Conversions into SI units, so that each factor is written once.

Inside edgesim every quantity is in SI units (seconds, joules, watts, bytes, bits per second); files
may use the units in which the numbers were published, and say so in the key.
"""

from __future__ import annotations

__all__ = ["BITS_PER_BYTE", "mah_to_j", "mbps_to_bps", "ms_to_s"]

BITS_PER_BYTE = 8


def ms_to_s(milliseconds: float) -> float:
    """Milliseconds to seconds."""
    return milliseconds * 1e-3


def mbps_to_bps(megabits_per_second: float) -> float:
    """Megabits per second to bits per second."""
    return megabits_per_second * 1e6


def mah_to_j(milliampere_hours: float, volts: float) -> float:
    """Charge at a constant voltage to joules: 1 mAh = 3.6 C."""
    return milliampere_hours * 3.6 * volts
