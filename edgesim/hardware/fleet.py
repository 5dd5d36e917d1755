"""The fleet: every phone described in arrays, and built as an object when it first acts.

A phone that never acts costs no object and no event. What it drew is worked out at the end in
closed form, from the same profile and with the same booking as a built one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from edgesim.core.clock import Clock
from edgesim.core.power import NOBODY
from edgesim.core.signals import ConstantBank, SignalBank
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.phone import Phone
from edgesim.hardware.specs import PhoneSpec
from edgesim.network.wifi import AccessPoint

__all__ = ["Fleet", "PhoneGroup"]


@dataclass(frozen=True, slots=True)
class PhoneGroup:
    """Phones of one kind, as a scenario describes them.

    Attributes:
        name: the group's name.
        devices: the phones' names.
        spec: their profile.
        charge: of each battery at the start, shape ``(len(devices),)``.
        access_point: where they are associated; ``None`` for no network.
        rssi: signal strength there, one row per phone; ``None`` without a network.
    """

    name: str
    devices: Sequence[str]
    spec: PhoneSpec
    charge: NDArray[np.float64]
    access_point: AccessPoint | None
    rssi: SignalBank | None


class Fleet:
    """All phones of a run.

    Phones are numbered from 0 in the order of the groups' names and, within a group, of its
    devices: the order in which a scenario lists its groups changes nothing.

    Args:
        clock: the clock.
        groups: what there is.
        on_built: told of each phone when it is built.
    """

    def __init__(
        self,
        clock: Clock,
        groups: Sequence[PhoneGroup],
        on_built: Callable[[Phone], None] | None = None,
    ) -> None:
        self._clock = clock
        self._on_built = on_built
        self.groups = sorted(groups, key=lambda group: group.name)
        self._starts = np.cumsum([0, *(len(group.devices) for group in self.groups)])
        self._built: dict[int, Phone] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def rows(self, group: str) -> range:
        """The numbers of the phones of a group."""
        index = [g.name for g in self.groups].index(group)
        return range(int(self._starts[index]), int(self._starts[index + 1]))

    def group_of(self, row: int) -> tuple[PhoneGroup, int]:
        """The group that phone ``row`` belongs to, and its place there."""
        index = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self.groups[index], row - int(self._starts[index])

    def device(self, row: int) -> str:
        """The name of phone ``row``."""
        group, place = self.group_of(row)
        return group.devices[place]

    def phone(self, row: int) -> Phone:
        """Phone ``row``, built now if it has not acted before.

        Its past, if it has one, was idle: it is settled as such.
        """
        phone = self._built.get(row)
        if phone is None:
            group, place = self.group_of(row)
            rssi = group.rssi if group.rssi is not None else _NO_SIGNAL
            phone = Phone(
                self._clock,
                group.devices[place],
                group.spec,
                float(group.charge[place]),
                group.access_point,
                rssi.signal(place if group.rssi is not None else 0),
            )
            self._built[row] = phone
            if self._on_built is not None:
                self._on_built(phone)
        return phone

    def built(self) -> Iterator[Phone]:
        """The phones that have acted, in order of their numbers."""
        for row in sorted(self._built):
            yield self._built[row]

    def ends(self) -> Iterator[DeviceEnd]:
        """What every phone has come to by now, in order of their numbers."""
        for row in range(len(self)):
            phone = self._built.get(row)
            if phone is None:
                yield self._end_of_idle(row)
            else:
                group, place = self.group_of(row)
                yield phone.end_of_run(float(group.charge[place]))

    def _end_of_idle(self, row: int) -> DeviceEnd:
        """A phone that was never built: idle all along, or until its battery was empty."""
        group, place = self.group_of(row)
        spec, charge = group.spec, float(group.charge[place])
        start_j = spec.capacity_j * charge
        on_s = min(self._clock.now, start_j / spec.idle_w if spec.idle_w else inf)
        rows = [
            ("base", "suspend", NOBODY, spec.suspend_w * on_s),
            ("wifi", "idle", NOBODY, spec.wifi.idle_w * on_s),
        ]
        drawn_j = spec.idle_w * on_s
        return DeviceEnd(
            group.devices[place],
            spec.profile,
            charge,
            max(start_j - drawn_j, 0.0) / spec.capacity_j,
            drawn_j,
            dict.fromkeys(spec.processors, 0.0),
            [entry for entry in rows if entry[3]],
        )


_NO_SIGNAL = ConstantBank([-200.0])
