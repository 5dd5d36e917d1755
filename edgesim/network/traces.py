"""Bandwidth as recorded: files of several formats, and the signals of phones that replay them.

:func:`read_bandwidth` reads one file, whichever of these it is:

===========  =======================================================================================
JSON         ``[{"duration_ms": 1000, "bandwidth_kbps": 25652, "latency_ms": 20}, ...]``, as in
             Sabre (Spiteri, Sitaraman, Sparacio, MMSys 2018) and its copies of the 4G traces of
             Ghent (van der Hooft et al., IEEE Communications Letters 20(11), 2016) and the 3G
             traces of Oslo (Riiser et al., MMSys 2013). ``latency_ms`` may be left out.
CSV          header ``time_s,downlink_mbps`` or ``time_s,downlink_mbps,uplink_mbps``; each value
             holds from its time on, the last as long as the one before it.
text         lines ``seconds Mbps``, as in Pensieve (Mao, Netravali, Alizadeh, SIGCOMM 2017): each
             value holds *up to* its time, as in Pensieve's simulator (sim/env.py), so that the
             first line says only when the trace begins.
===========  =======================================================================================

kbit/s are 1000 bit/s, Mbit/s 10^6. A trace repeats after :attr:`BandwidthTrace.period_s`.

:func:`bandwidth_banks` lets each phone of a group replay one of several traces from somewhere in
the middle; :func:`speed_banks` gives each the random speed of one of FLASH's measured users.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import fsum, inf, nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import ConfigError, Problem, did_you_mean
from edgesim.core.random import Streams, uniforms
from edgesim.core.signals import GaussMarkovBank, Signal, SignalBank, TraceBank
from edgesim.core.units import BITS_PER_BYTE, mbps_to_bps, ms_to_s

__all__ = [
    "UPLINK_RATIO",
    "BandwidthTrace",
    "UserSpeed",
    "bandwidth_banks",
    "bandwidth_files",
    "read_bandwidth",
    "read_rtt_matrix",
    "read_user_speeds",
    "rtt_percentile_s",
    "speed_banks",
]

FloatArray = NDArray[np.float64]

UPLINK_RATIO = 6 / 13
"""Uplink per downlink bandwidth where a trace has only one: the medians of LTE, 6 and 13 Mbit/s.

SOURCE: Huang et al., "A close examination of performance and power characteristics of 4G LTE
networks", MobiSys 2012, abstract and section 4. A ratio of medians of many users: at one moment the
two directions of one phone are less alike.
"""

_LARGEST_BYTES = 100_000_000
_LONGEST_S = 1e10
_FASTEST_BPS = 1e12
_SHORTEST_S = 1e-3


@dataclass(frozen=True, slots=True)
class BandwidthTrace:
    """What a network let through, as recorded; it repeats after its period.

    Attributes:
        times_s: when each value begins; the first at 0, each later than the one before.
        downlink_bps: bits per second towards the phone, from each time on.
        uplink_bps: and from it; ``None``: not recorded.
        period_s: the trace begins again after so long.
        latency_s: what the file says of latency, averaged over time; ``None``: nothing.
    """

    times_s: tuple[float, ...]
    downlink_bps: tuple[float, ...]
    uplink_bps: tuple[float, ...] | None
    period_s: float
    latency_s: float | None = None

    @property
    def mean_downlink_bps(self) -> float:
        """The downlink averaged over the period."""
        lengths_s = np.diff([*self.times_s, self.period_s])
        return float(lengths_s @ np.array(self.downlink_bps) / self.period_s)


# --- files ---------------------------------------------------------------------------------------


def bandwidth_files(name: str | Sequence[str], folder: Path) -> list[Path]:
    """The files that a name means, in the order of their names, each once.

    Args:
        name: a file, a folder (its ``.json``, ``.csv``, ``.txt`` and ``.log`` files), a pattern
            (``4g/report_tram_*.json``), or several of these.
        folder: what relative names are relative to.

    Raises:
        ConfigError: with every name that gives no file.
    """
    files: list[Path] = []
    problems = []
    for one in [name] if isinstance(name, str) else name:
        shown = one if one.isprintable() else repr(one)
        try:
            path = folder / one
            if path.is_dir():
                found = [file for file in path.iterdir() if file.suffix in _SUFFIXES]
            elif path.is_file():
                found = [path]
            else:
                pattern = Path(one)
                root = Path(pattern.anchor) if pattern.is_absolute() else folder
                found = list(root.glob(str(pattern.relative_to(pattern.anchor))))
            found = sorted(file for file in found if file.is_file())
        except (OSError, ValueError, NotImplementedError) as error:
            problems.append(Problem(shown, None, "", f"cannot be looked for: {error}"))
            continue
        if not found:
            message = f"no such file, and no folder or pattern with {', '.join(_SUFFIXES)} files"
            problems.append(Problem(shown, None, "", message))
        files += found
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(files))


_SUFFIXES = (".csv", ".json", ".log", ".txt")


def read_bandwidth(path: Path) -> BandwidthTrace:
    """Read a file in any of the formats above.

    Raises:
        ConfigError: if it cannot be read or used, with every problem in it and its line.
    """
    text, file = read_text(path), str(path)
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not first:
        raise ConfigError([Problem(file, None, "", "is empty")])
    if first[0] in "[{":
        return _read_json(text, file)
    if "," in first or first[0].isalpha():
        return _read_csv(text, file)
    return _read_cooked(text, file)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: if it cannot be read, is too large or not UTF-8.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            message = f"larger than {_LARGEST_BYTES} bytes"
            raise ConfigError([Problem(str(path), None, "", message)])
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
        raise ConfigError([Problem(str(path), None, "", message)]) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError([Problem(str(path), None, "", f"cannot be read: {why}")]) from None


class _Builder:
    """Collects a trace and what is wrong with it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def wrong(self, line: int | None, message: str, key: str = "") -> None:
        self.problems.append(Problem(self.file, line, key, message))

    def is_between(
        self, value: float, low: float, high: float, what: str, line: int, key: str = ""
    ) -> bool:
        """Whether a value is in its range, which NaN never is; noted if not."""
        if low <= value <= high:
            return True
        self.wrong(line, f"{what} must be {low:g} to {high:g}, found {value:g}", key)
        return False

    def number(self, value: object, low: float, high: float, line: int, key: str) -> float:
        """A value of a JSON file as a number in its range; NaN, and noted, if it is not that."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(line, f"it should be a number; found {_shown(value)}", key)
            return nan
        try:
            number = float(value)
        except OverflowError:
            number = inf
        return number if self.is_between(number, low, high, "it", line, key) else nan

    def follows(self, time_s: float, before_s: float | None, line: int) -> bool:
        """Whether a time is late enough after the one before it; noted if not."""
        if before_s is None or time_s >= before_s + _SHORTEST_S:
            return True
        self.wrong(
            line,
            f"times must increase by {_SHORTEST_S:g} s at least; {time_s:g} s follows "
            f"{before_s:g} s",
        )
        return False

    def finish(
        self,
        times_s: list[float],
        downlink_bps: list[float],
        uplink_bps: list[float] | None,
        period_s: float,
        latency_s: float | None = None,
    ) -> BandwidthTrace:
        for what, values in (("downlink", downlink_bps), ("uplink", uplink_bps)):
            if not self.problems and values is not None and not any(values):
                self.wrong(None, f"all {what} bandwidths are 0, so that no transfer could ever end")
        if self.problems:
            raise ConfigError(self.problems)
        return BandwidthTrace(
            tuple(times_s),
            tuple(downlink_bps),
            None if uplink_bps is None else tuple(uplink_bps),
            period_s,
            latency_s,
        )


_JSON_KEYS = ("bandwidth_kbps", "duration_ms", "latency_ms")


def _read_json(text: str, file: str) -> BandwidthTrace:
    trace = _Builder(file)
    durations_ms: list[float] = []
    downlink_bps: list[float] = []
    latencies_ms: list[float] = []
    for index, (line, entry) in enumerate(_json_entries(text, file)):
        place = f"[{index}]"
        if not isinstance(entry, dict):
            message = f"expected {{duration_ms: ..., bandwidth_kbps: ...}}, found {_shown(entry)}"
            trace.wrong(line, message, place)
            continue
        for key in entry:
            if key not in _JSON_KEYS:
                hint = did_you_mean(key, _JSON_KEYS)
                trace.wrong(line, f"unknown key; {hint}", f"{place}.{_shown(key)[1:-1]}")
        numbers = {}
        for key, low, high in (
            ("duration_ms", _SHORTEST_S * 1e3, _LONGEST_S * 1e3),
            ("bandwidth_kbps", 0.0, _FASTEST_BPS / 1e3),
            ("latency_ms", 0.0, 60_000.0),
        ):
            if key in entry:
                numbers[key] = trace.number(entry[key], low, high, line, f"{place}.{key}")
            elif key != "latency_ms":
                trace.wrong(line, "this key is required and missing", f"{place}.{key}")
        durations_ms.append(numbers.get("duration_ms", nan))
        downlink_bps.append(numbers.get("bandwidth_kbps", nan) * 1e3)
        latencies_ms.append(numbers.get("latency_ms", nan))
    if not trace.problems and not durations_ms:
        trace.wrong(None, "holds no entries")
    ends_ms = [0.0]
    for duration_ms in durations_ms:
        ends_ms.append(ends_ms[-1] + duration_ms)
    times_s = [ms_to_s(end_ms) for end_ms in ends_ms]
    known = [(d, x) for d, x in zip(durations_ms, latencies_ms, strict=True) if x == x]
    latency_s = None
    if known and not trace.problems:
        weight_ms = fsum(duration_ms for duration_ms, _ in known)
        latency_s = ms_to_s(fsum(d * latency_ms for d, latency_ms in known) / weight_ms)
    return trace.finish(times_s[:-1], downlink_bps, None, times_s[-1], latency_s)


def _json_entries(text: str, file: str) -> list[tuple[int, Any]]:
    """The entries of a JSON list, each with the line that it begins in."""

    def skip(at: int) -> int:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        return at

    def syntax(at: int, message: str) -> ConfigError:
        line = text.count("\n", 0, at) + 1
        return ConfigError([Problem(file, line, "", message)])

    at = skip(0)
    if text[at] != "[":
        raise syntax(at, "expected a list of entries: [{...}, {...}]")
    entries: list[tuple[int, Any]] = []
    decoder = json.JSONDecoder()
    line, seen, at = 1, 0, skip(at + 1)
    if text[at : at + 1] == "]":
        return entries
    while True:
        line, seen = line + text.count("\n", seen, at), at
        try:
            entry, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise syntax(error.pos, f"not valid JSON: {error.msg}") from None
        except (ValueError, RecursionError):
            raise syntax(at, "not valid JSON: too long a number or nested too deeply") from None
        entries.append((line, entry))
        at = skip(at)
        sign = text[at : at + 1]
        if sign == "]":
            end = skip(at + 1)
            if end < len(text):
                raise syntax(end, "not valid JSON: something follows the list")
            return entries
        if sign != ",":
            raise syntax(at, "not valid JSON: expected ',' or ']' after an entry")
        at = skip(at + 1)


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


_HEADERS = (["time_s", "downlink_mbps"], ["time_s", "downlink_mbps", "uplink_mbps"])


def _read_csv(text: str, file: str) -> BandwidthTrace:
    trace = _Builder(file)
    rows = csv.reader(text.splitlines())
    times_s: list[float] = []
    columns: list[list[float]] = []
    try:
        header = next(rows)
        if header not in _HEADERS:
            wanted = "' or '".join(",".join(known) for known in _HEADERS)
            raise ConfigError([Problem(file, 1, "", f"the first line must be '{wanted}'")])
        columns = [[] for _ in header[1:]]
        for row in rows:
            if not row:
                continue
            time_s, *mbps = _numbers(trace, row, len(header), rows.line_num)
            is_good = time_s == time_s
            if is_good and not times_s and time_s != 0:
                trace.wrong(rows.line_num, f"the first time must be 0, found {time_s:g}")
                is_good = False
            is_good = is_good and trace.follows(
                time_s, times_s[-1] if times_s else None, rows.line_num
            )
            if is_good:
                times_s.append(time_s)
                for column, value in zip(columns, mbps, strict=True):
                    column.append(mbps_to_bps(value))
    except csv.Error as error:
        trace.wrong(rows.line_num, f"cannot be read: {error}")
    if not trace.problems and len(times_s) < 2:
        trace.wrong(
            None,
            "needs two lines of numbers at least: the last value holds as long as "
            "the one before it",
        )
    period_s = times_s[-1] + (times_s[-1] - times_s[-2]) if len(times_s) > 1 else nan
    return trace.finish(times_s, columns[0], columns[1] if len(columns) > 1 else None, period_s)


def _read_cooked(text: str, file: str) -> BandwidthTrace:
    trace = _Builder(file)
    ends_s: list[float] = []
    downlink_bps: list[float] = []
    for line, row in enumerate(text.splitlines(), start=1):
        if row.strip():
            time_s, mbps = _numbers(trace, row.split(), 2, line)
            if time_s == time_s and trace.follows(time_s, ends_s[-1] if ends_s else None, line):
                ends_s.append(time_s)
                downlink_bps.append(mbps_to_bps(mbps))
    if not trace.problems and len(ends_s) < 2:
        trace.wrong(None, "needs two lines at least: the first only says when the trace begins")
    times_s = [end_s - ends_s[0] for end_s in ends_s]
    return trace.finish(times_s[:-1], downlink_bps[1:], None, times_s[-1] if times_s else nan)


def _numbers(trace: _Builder, row: list[str], count: int, line: int) -> list[float]:
    """A time and bandwidths in Mbit/s; all NaN, and a problem noted, if they are not that."""
    bad = [nan] * count
    try:
        numbers = [float(cell) for cell in row]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        shown = _shown(" ".join(row))
        trace.wrong(line, f"expected {count} numbers, a time and Mbit/s; found {shown}")
        return bad
    is_time = trace.is_between(numbers[0], 0.0, _LONGEST_S, "the time", line)
    for number in numbers[1:]:
        if not trace.is_between(number, 0.0, _FASTEST_BPS / 1e6, "Mbit/s", line):
            return bad
    return numbers if is_time else bad


# --- signals -------------------------------------------------------------------------------------


class _ChosenBank(SignalBank):
    """Rows that belong to several banks.

    Args:
        chosen: which bank each row belongs to.
        make: gives the bank of a number for the rows that belong to it.
    """

    def __init__(
        self, chosen: NDArray[np.int64], make: Callable[[int, NDArray[np.int64]], SignalBank]
    ) -> None:
        self._chosen = chosen
        self._place = np.zeros(len(chosen), np.int64)
        self._rows: dict[int, NDArray[np.int64]] = {}
        self._banks: dict[int, SignalBank] = {}
        for number in np.unique(chosen).tolist():
            rows = np.flatnonzero(chosen == number)
            self._rows[number] = rows
            self._place[rows] = np.arange(len(rows))
            self._banks[number] = make(number, rows)

    def __len__(self) -> int:
        return len(self._chosen)

    def signal(self, row: int) -> Signal:
        """The signal of one row."""
        return self._banks[int(self._chosen[row])].signal(int(self._place[row]))

    def values(self, time_s: float) -> FloatArray:
        """The values of all rows at one moment."""
        values = np.empty(len(self._chosen))
        for number, rows in self._rows.items():
            values[rows] = self._banks[number].values(time_s)
        return values


def bandwidth_banks(
    traces: Sequence[BandwidthTrace],
    streams: Streams,
    phones: Iterable[str | tuple[str | int, ...]],
    *,
    uplink_ratio: float = UPLINK_RATIO,
    has_random_offset: bool = True,
) -> tuple[SignalBank, SignalBank]:
    """Downlink and uplink, in bits per second, of phones that each replay one of several traces.

    Each phone draws its trace by its stream ``bandwidth file`` and where in it it starts by its
    stream ``bandwidth offset``; both directions run together.

    Args:
        traces: to choose from, each as likely.
        streams: of the run.
        phones: their names in streams, one per row.
        uplink_ratio: uplink per downlink bandwidth of a trace that has no uplink of its own.
        has_random_offset: ``False``: every phone starts at the beginning of its trace.

    Raises:
        ValueError: if there are no traces or the ratio is not positive.
    """
    if not traces or not uplink_ratio > 0:
        raise ValueError("needs a trace at least, and a positive uplink_ratio")
    phones = list(phones)
    chosen = _drawn(streams.keys("bandwidth file", phones), len(traces))
    shares = np.zeros(len(phones))
    if has_random_offset:
        shares = uniforms(streams.keys("bandwidth offset", phones), 0, 1)[:, 0]

    def make(number: int, rows: NDArray[np.int64], is_uplink: bool) -> SignalBank:
        trace = traces[number]
        values: Sequence[float] = trace.downlink_bps
        if is_uplink and trace.uplink_bps is not None:
            values = trace.uplink_bps
        elif is_uplink:
            values = [uplink_ratio * value for value in trace.downlink_bps]
        return TraceBank(
            trace.times_s,
            values,
            period_s=trace.period_s,
            offsets_s=shares[rows] * trace.period_s,
        )

    return (
        _ChosenBank(chosen, lambda number, rows: make(number, rows, is_uplink=False)),
        _ChosenBank(chosen, lambda number, rows: make(number, rows, is_uplink=True)),
    )


def _drawn(keys: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """One of ``count`` numbers per stream, each as likely."""
    # A uniform number just below 1 may be rounded up to the count itself.
    return np.minimum((uniforms(keys, 0, 1)[:, 0] * count).astype(np.int64), count - 1)


@dataclass(frozen=True, slots=True)
class UserSpeed:
    """How fast one user's network was: mean and standard deviation of repeated measurements."""

    downlink_mean_bps: float
    downlink_std_bps: float
    uplink_mean_bps: float
    uplink_std_bps: float


_SPEED_KEYS = ("down_u", "down_sigma", "up_u", "up_sigma")


def read_user_speeds(path: Path) -> tuple[UserSpeed, ...]:
    """Read FLASH's ``speed_distri.json``: per user, mean and sigma of both directions in kB/s.

    SOURCE: Yang et al., "Characterizing impacts of heterogeneity in federated learning upon
    large-scale smartphone data", WWW 2021; 1 kB is taken for 1000 bytes.

    Raises:
        ConfigError: if it cannot be read or used, with every problem in it.
    """
    text, trace = read_text(path), _Builder(str(path))
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}"
        raise ConfigError([Problem(str(path), error.lineno, "", message)]) from None
    except (ValueError, RecursionError):
        message = "not valid JSON: too long a number or nested too deeply"
        raise ConfigError([Problem(str(path), None, "", message)]) from None
    if not isinstance(data, dict) or not data:
        message = f"expected users and their speeds, found {_shown(data)}"
        raise ConfigError([Problem(str(path), 1, "", message)])
    users = []
    for name, entry in data.items():
        # A user's name is what finds the line again.
        at, shown = text.find(json.dumps(name)), _shown(name)[1:-1]
        line = text.count("\n", 0, at) + 1 if at >= 0 else 1
        if not isinstance(entry, dict) or set(entry) != set(_SPEED_KEYS):
            trace.wrong(line, f"needs just the keys {', '.join(_SPEED_KEYS)}", shown)
            continue
        speeds = []
        for key in _SPEED_KEYS:
            low = 1e-3 if key.endswith("_u") else 0.0
            kbytes = trace.number(entry[key], low, 1e8, line, f"{shown}.{key}")
            speeds.append(kbytes * 1e3 * BITS_PER_BYTE)
        users.append(UserSpeed(*speeds))
    if trace.problems:
        raise ConfigError(trace.problems)
    return tuple(users)


def speed_banks(
    users: Sequence[UserSpeed],
    streams: Streams,
    phones: Iterable[str | tuple[str | int, ...]],
    *,
    step_s: float = 1.0,
    correlation_time_s: float = 60.0,
    floor_ratio: float = 0.05,
) -> tuple[SignalBank, SignalBank]:
    """Downlink and uplink, in bits per second, of phones that each are like one measured user.

    Each phone draws its user by its stream ``speed user``. Each direction is a Gauss-Markov process
    of that user's mean and standard deviation, by its own stream: ``speed downlink``, ``speed
    uplink``. What falls below ``floor_ratio`` of the mean is raised to it, which moves the mean of
    a user whose deviation is large: by a tenth if it equals the mean.

    Args:
        users: to choose from, each as likely.
        streams: of the run.
        phones: their names in streams, one per row.
        step_s: how long a value holds.
        correlation_time_s: after so long the correlation has fallen to 1/e. The measurements say
            nothing about it; the default is an assumption.
        floor_ratio: the least bandwidth, per mean.

    Raises:
        ValueError: if there are no users, or a number is not positive.
    """
    if not users or not 0 < floor_ratio <= 1:
        raise ValueError("needs a user at least, and a floor_ratio above 0 and up to 1")
    phones = list(phones)
    chosen = _drawn(streams.keys("speed user", phones), len(users))

    def bank(direction: str, of: Callable[[UserSpeed], tuple[float, float]]) -> SignalBank:
        keys = streams.keys(f"speed {direction}", phones)

        def make(number: int, rows: NDArray[np.int64]) -> SignalBank:
            mean_bps, std_bps = of(users[number])
            low_bps = floor_ratio * mean_bps
            return GaussMarkovBank(
                keys[rows], mean_bps, std_bps, step_s, correlation_time_s, low=low_bps
            )

        return _ChosenBank(chosen, make)

    return (
        bank("downlink", lambda user: (user.downlink_mean_bps, user.downlink_std_bps)),
        bank("uplink", lambda user: (user.uplink_mean_bps, user.uplink_std_bps)),
    )


# --- round-trip times ----------------------------------------------------------------------------


def read_rtt_matrix(path: Path, *, is_one_way: bool) -> FloatArray:
    """Read a square table of milliseconds between places, without a header, separated by commas.

    Args:
        path: the file.
        is_one_way: whether it holds one-way latencies: half of the round-trip times. EPFL's table
            of 227 cities does, to judge by its digits: its entries are halves of whole microseconds,
            and where none was measured, half of -1.

    Returns:
        Round-trip times in seconds, shape ``(places, places)``; NaN where none was measured, which
        the file says by a negative number.

    Raises:
        ConfigError: if it cannot be read, is not square or not numbers, with every line at fault.
    """
    trace = _Builder(str(path))
    rows: list[list[float]] = []
    lines: list[int] = []
    size = 0
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        if text.strip():
            size += 1
            try:
                rows.append([float(cell) for cell in text.split(",")])
            except ValueError:
                trace.wrong(line, f"not numbers separated by commas: {_shown(text)}")
                continue
            lines.append(line)
    if not size:
        trace.wrong(None, "holds no numbers")
    for line, row in zip(lines, rows, strict=True):
        if len(row) != size:
            trace.wrong(line, f"{len(row)} numbers in a table of {size} lines: it must be square")
        for number in row:
            if not number <= 1e6:
                trace.wrong(line, f"milliseconds must be up to 1e6, found {number:g}")
                break
    if trace.problems:
        raise ConfigError(trace.problems)
    table_s = np.array(rows) * (ms_to_s(2.0) if is_one_way else ms_to_s(1.0))
    table_s[table_s < 0] = nan
    return table_s


def rtt_percentile_s(rtt_s: FloatArray, q: float) -> float:
    """A percentile of the round-trip times between different places, in seconds.

    Args:
        rtt_s: from :func:`read_rtt_matrix`.
        q: 0 to 100; 50 is the median.

    Raises:
        ValueError: if ``q`` is out of range, or nothing was measured between different places.
    """
    between_s = rtt_s[~np.eye(len(rtt_s), dtype=bool)]
    between_s = between_s[~np.isnan(between_s)]
    if not 0 <= q <= 100 or not len(between_s):
        raise ValueError(f"no percentile {q!r} of {len(between_s)} round-trip times")
    return float(np.percentile(between_s, q))
