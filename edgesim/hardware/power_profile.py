"""Android's power profile: what a vendor says each part of a phone draws.

A phone's ``power_profile.xml`` gives currents in mA, by the definition of the Android Open Source
Project (source.android.com/docs/core/power/values) as increments over the parts below: a screen
over the awake phone, a core over its cluster, a cluster over the awake processor. This module
reads the file; :mod:`edgesim.hardware.drafting` makes profiles of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from xml.parsers.expat import ExpatError, ParserCreate
from xml.parsers.expat.errors import messages

from edgesim.core.errors import ConfigError, Problem

__all__ = ["Cluster", "PowerProfile", "parse_power_profile", "read_power_profile"]

_LARGEST_BYTES = 1_000_000
"""The largest file found has 40 kB."""

_MOST_VALUES = 50_000
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_USED_PREFIXES = ("battery.", "cpu.", "screen.", "wifi.", "radio.", "modem.", "gpu.", "camera.")
_COMPILED_XML = b"\x03\x00\x08\x00"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A CPU cluster, or a GPU, as the file gives it.

    Attributes:
        number: 0, 1, ... in the file.
        speeds_key: of its speeds.
        power_key: of its currents; empty if the file has none.
        speeds_mhz: as listed.
        power_ma: as listed; normally one per speed.
        is_with_cluster: whether each current includes the cluster (old files), or stands for a
            core on top of ``cluster_ma`` (new ones).
        cores: ``None`` if the file does not say.
        cluster_ma: of the cluster once any core is busy; ``None`` if the file does not say.
        is_in_mhz: whether the speeds were so small that they were taken for MHz.
    """

    number: int
    speeds_key: str
    power_key: str
    speeds_mhz: tuple[float, ...]
    power_ma: tuple[float, ...]
    is_with_cluster: bool = False
    cores: int | None = None
    cluster_ma: float | None = None
    is_in_mhz: bool = False


@dataclass(frozen=True, slots=True)
class PowerProfile:
    """A power profile as it stands in its file.

    Attributes:
        file: its name, for sources.
        values: the numbers of every key, in the file's order; an ``<item>`` has one.
        twice: keys that were given more than once; the last counts, as for Android.
    """

    file: str
    values: Mapping[str, tuple[float, ...]]
    twice: tuple[str, ...] = ()

    def number(self, key: str) -> float | None:
        """The one number of a key; ``None`` if it is missing or a list of several or none."""
        values = self.values.get(key, ())
        return values[0] if len(values) == 1 else None

    def first(self, *keys: str) -> tuple[str, float] | None:
        """The first of the keys that has one number, and that number."""
        for key in keys:
            value = self.number(key)
            if value is not None:
                return key, value
        return None

    def clusters(self) -> list[Cluster]:
        """The CPU clusters with speeds, in the file's numbering, whichever style it has."""
        found = []
        counts = self.values.get("cpu.clusters.cores", ())
        for number in range(_MOST_CLUSTERS):
            for speeds, power, is_with_cluster in _STYLES:
                speeds_key, power_key = f"{speeds}.cluster{number}", f"{power}.cluster{number}"
                if speeds_key in self.values:
                    found.append(self._cluster(number, speeds_key, power_key, is_with_cluster))
                    break
        if not found and "cpu.speeds" in self.values:
            found.append(self._cluster(0, "cpu.speeds", "cpu.active", is_with_cluster=True))
        if len(counts) != len(found):
            return found
        return [_with_cores(cluster, count) for cluster, count in zip(found, counts, strict=True)]

    def gpu(self) -> Cluster | None:
        """The GPU, which Samsung's files have."""
        if not self.values.get("gpu.speeds"):
            return None
        return self._cluster(0, "gpu.speeds", "gpu.active", is_with_cluster=True)

    def _cluster(
        self, number: int, speeds_key: str, power_key: str, is_with_cluster: bool
    ) -> Cluster:
        speeds = self.values[speeds_key]
        # Kilohertz as a rule; nothing runs at 100 GHz, and nothing useful below 10 MHz.
        most = max(speeds, default=0.0)
        per_mhz = 1e6 if most >= 1e8 else 1e3 if most >= 1e4 else 1.0
        return Cluster(
            number=number,
            speeds_key=speeds_key,
            power_key=power_key if power_key in self.values else "",
            speeds_mhz=tuple(round(speed / per_mhz, 3) for speed in speeds),
            power_ma=self.values.get(power_key, ()),
            is_with_cluster=is_with_cluster,
            cluster_ma=self.number(f"cpu.cluster_power.cluster{number}"),
            is_in_mhz=per_mhz == 1.0,
        )


_MOST_CLUSTERS = 16

# Keys of speeds and currents, and whether the currents include the cluster: new style, old style.
_STYLES = (
    ("cpu.core_speeds", "cpu.core_power", False),
    ("cpu.speeds", "cpu.active", True),
)


def _with_cores(cluster: Cluster, count: float) -> Cluster:
    return replace(cluster, cores=int(count)) if count in range(1, 101) else cluster


def read_power_profile(path: Path) -> PowerProfile:
    """Read a ``power_profile.xml``.

    Raises:
        ConfigError: if it cannot be read, is too large, or is not a power profile.
    """
    try:
        if path.is_dir():
            raise ConfigError([_problem(path, None, "is a folder, not a power_profile.xml")])
        with path.open("rb") as stream:
            data = stream.read(_LARGEST_BYTES + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise ConfigError([_problem(path, None, message)]) from None
    except ValueError:
        raise ConfigError(
            [Problem(repr(str(path)), None, "", "no file can have that name")]
        ) from None
    if len(data) > _LARGEST_BYTES:
        message = f"larger than {_LARGEST_BYTES} bytes, which no power profile is"
        raise ConfigError([_problem(path, None, message)])
    return parse_power_profile(data, str(path))


def parse_power_profile(data: bytes, file: str) -> PowerProfile:
    """Parse the XML of a power profile; ``file`` is what to call it in messages.

    Raises:
        ConfigError: if it is not XML, has a document type (entities), has a text where a number
            belongs, or is not a power profile; only the first such problem.
    """
    if not data.strip():
        raise ConfigError([_problem(file, None, "is empty")])
    if data.startswith(_COMPILED_XML):
        message = "is Android's compiled XML; decode it first, with apktool for example"
        raise ConfigError([_problem(file, None, message)])
    reader = _Reader(file)
    reader.feed(data)
    used = [key for key in reader.values if key.startswith(_USED_PREFIXES)]
    if not used:
        message = (
            'is XML but not a power profile: it has no <item name="battery.capacity"> '
            "or any other key of one"
        )
        raise ConfigError([_problem(file, None, message)])
    name = "".join(c if c.isprintable() else "?" for c in Path(file).name)
    return PowerProfile(name, MappingProxyType(reader.values), tuple(dict.fromkeys(reader.twice)))


@dataclass(slots=True)
class _Reader:
    """Collects items and arrays as expat meets them; expat alone tells the line of each."""

    file: str
    values: dict[str, tuple[float, ...]] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    _count: int = 0
    _depth: int = 0
    _key: str = ""
    _list: list[float] = field(default_factory=list)
    _text: str | None = None
    _line: int = 0

    def feed(self, data: bytes) -> None:
        parser = ParserCreate()
        parser.buffer_text = True

        def refuse_doctype(*_: object) -> None:
            message = (
                "has a document type (<!DOCTYPE ...>), which no power profile needs; remove it"
            )
            raise ConfigError([_problem(self.file, parser.CurrentLineNumber, message)])

        parser.StartDoctypeDeclHandler = refuse_doctype
        parser.StartElementHandler = lambda tag, attributes: self._start(
            tag, attributes, parser.CurrentLineNumber
        )
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        try:
            parser.Parse(data, True)
        except ExpatError as error:
            message = f"not valid XML: {messages.get(error.code, 'unreadable')}"
            message += f" (column {error.offset + 1})"
            raise ConfigError([_problem(self.file, error.lineno, message)]) from None
        except (LookupError, ValueError):
            # What Python says of an encoding that it does not know, or that expat cannot use.
            message = "not valid XML: its encoding is not known; save it as UTF-8"
            raise ConfigError([_problem(self.file, 1, message)]) from None

    def _start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        self._depth += 1
        if self._depth == 1 and tag != "device":
            message = f"is XML but not a power profile: it begins with <{tag[:60]}>, not <device>"
            raise ConfigError([_problem(self.file, line, message)])
        if self._depth == 2 and tag in ("item", "array"):
            key = attributes.get("name", "")
            self._key = key if _KEY.fullmatch(key) else ""
            self._list = []
        if self._key and tag in ("item", "value"):
            self._text, self._line = "", line

    def _characters(self, text: str) -> None:
        if self._text is not None:
            self._text += text

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._text is not None:
            self._list.append(self._number(self._text.strip()))
            self._text = None
        if self._depth == 1 and self._key:
            if self._key in self.values:
                self.twice.append(self._key)
            self.values[self._key] = tuple(self._list)
            self._key = ""

    def _number(self, text: str) -> float:
        self._count += 1
        if self._count > _MOST_VALUES:
            message = f"has more than {_MOST_VALUES} numbers, which no power profile has"
            raise ConfigError([Problem(self.file, self._line, self._key, message)])
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not isfinite(number):
            message = f"{text[:60]!r} is not a number" if text else "a number is missing"
            raise ConfigError([Problem(self.file, self._line, self._key, message)])
        return number


def _problem(file: Path | str, line: int | None, message: str) -> Problem:
    return Problem(str(file), line, "", message)
