"""The fleet: every phone described in arrays, and built as an object when it first acts.

A phone that never acts costs no event, and an object only for the moment at the end in which it
lives through the run, from one change around it to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgesim.core.signals import SignalBank
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.phone import QUIET, ROAMING, Attachment, Phone, Surroundings
from edgesim.hardware.processor import Governor
from edgesim.hardware.specs import PhoneSpec
from edgesim.hardware.truth import Truth
from edgesim.network.radio import Ether, Network
from edgesim.network.roaming import RoamingRules

__all__ = ["Fleet", "PhoneGroup"]


@dataclass(frozen=True, slots=True)
class PhoneGroup:
    """Phones of one kind, as a scenario describes them.

    Attributes:
        name: the group's name.
        devices: the phones' names.
        spec: their profile.
        charge: of each battery at the start, shape ``(len(devices),)``.
        attachments: the networks of each of them,
        networks: and all that they have between them.
        surroundings: what the world does to each of them.
        governors: who sets the clocks, by processor.
        truth: how each of them differs from its profile.
        roaming: when they go from one network to another.
        weather: signals of the whole group: ``app`` (0 for none), ``screen``, ``plugged``; and ``rssi`` if
            they have one network each, at rates that follow from its signal.
    """

    name: str
    devices: Sequence[str]
    spec: PhoneSpec
    charge: NDArray[np.float64]
    attachments: Callable[[int], Sequence[Attachment]] = lambda _: ()
    networks: Sequence[Network] = ()
    surroundings: Callable[[int], Surroundings] = lambda _: QUIET
    governors: Mapping[str, Governor] = field(default_factory=dict)
    truth: Callable[[int], Truth] = lambda _: Truth()
    roaming: RoamingRules = ROAMING
    weather: Mapping[str, SignalBank] = field(default_factory=dict)


class Fleet:
    """All phones of a run.

    Phones are numbered from 0 in the order of the groups' names and, within a group, of its
    devices: the order in which a scenario lists its groups changes nothing.

    Args:
        ether: the wake-ups that radios share, and the clock.
        groups: what there is.
        on_built: told of each phone, and of its group, when it is built and its life begins.
    """

    def __init__(
        self,
        ether: Ether,
        groups: Sequence[PhoneGroup],
        on_built: Callable[[Phone, str], None] | None = None,
    ) -> None:
        self._ether = ether
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

        It stands at the start of the run; it lives through its past when it is looked at.
        """
        phone = self._built.get(row)
        if phone is None:
            group, place = self.group_of(row)
            phone = Phone(
                self._ether,
                group.devices[place],
                group.spec,
                float(group.charge[place]),
                group.attachments(place),
                group.surroundings(place),
                group.governors,
                group.truth(place),
                group.roaming,
            )
            self._built[row] = phone
            if self._on_built is not None:
                self._on_built(phone, group.name)
        return phone

    def built(self) -> Iterator[Phone]:
        """The phones that have acted, in order of their numbers."""
        for row in sorted(self._built):
            yield self._built[row]

    def ends(self) -> Iterator[DeviceEnd]:
        """What every phone has come to by now, in order of their numbers."""
        for row in range(len(self)):
            was_built = row in self._built
            group, place = self.group_of(row)
            yield self.phone(row).end_of_run(float(group.charge[place]))
            if not was_built:
                del self._built[row]  # it has told its life and is not needed any more
