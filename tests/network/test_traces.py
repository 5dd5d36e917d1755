"""Bandwidth files of every format, good and bad, and the signals that replay them."""

import json
from itertools import pairwise
from math import nextafter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgesim.core.errors import ConfigError
from edgesim.core.random import Streams
from edgesim.core.signals import SignalBank
from edgesim.network.traces import (
    UPLINK_RATIO,
    BandwidthTrace,
    UserSpeed,
    bandwidth_banks,
    bandwidth_files,
    read_bandwidth,
    read_rtt_matrix,
    read_user_speeds,
    rtt_percentile_s,
    speed_banks,
)

CHECK = settings(derandomize=True, deadline=None, max_examples=60)
DATA = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the recorded traces are not at {DATA}")
STREAMS = Streams(11)


def written(folder: Path, text: str, name: str = "trace") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def refusal(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_bandwidth(written(folder, text))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


# --- formats -------------------------------------------------------------------------------------

JSON = """\
[
    {"duration_ms": 500, "bandwidth_kbps": 1000, "latency_ms": 20},
    {"duration_ms": 1500, "bandwidth_kbps": 0, "latency_ms": 40},
    {"bandwidth_kbps": 2.5, "duration_ms": 1000}
]
"""


def test_a_json_trace_by_hand(tmp_path: Path) -> None:
    trace = read_bandwidth(written(tmp_path, JSON))
    assert trace.times_s == pytest.approx((0.0, 0.5, 2.0))
    assert trace.downlink_bps == (1e6, 0.0, 2500.0)
    assert trace.uplink_bps is None
    assert trace.period_s == pytest.approx(3.0)
    assert trace.latency_s == pytest.approx((0.5 * 20 + 1.5 * 40) / 2.0 / 1e3)
    assert trace.mean_downlink_bps == pytest.approx((0.5e6 + 2500) / 3)


@pytest.mark.parametrize("text", [json.dumps(json.loads(JSON)), "\ufeff" + JSON, "\r\n" + JSON])
def test_blanks_of_a_json_trace_do_not_matter(text: str, tmp_path: Path) -> None:
    assert read_bandwidth(written(tmp_path, text)) == read_bandwidth(
        written(tmp_path, JSON, "other")
    )


def test_a_csv_trace_by_hand(tmp_path: Path) -> None:
    one = read_bandwidth(written(tmp_path, "time_s,downlink_mbps\n0,1\n\n2,0.5\n5,3\n"))
    assert one == BandwidthTrace((0.0, 2.0, 5.0), (1e6, 5e5, 3e6), None, 8.0)
    both = read_bandwidth(
        written(tmp_path, "time_s,downlink_mbps,uplink_mbps\r\n0,1,2\r\n2,3,4\r\n")
    )
    assert both == BandwidthTrace((0.0, 2.0), (1e6, 3e6), (2e6, 4e6), 4.0)


def test_a_cooked_trace_holds_each_value_up_to_its_time_as_pensieve_does(tmp_path: Path) -> None:
    trace = read_bandwidth(written(tmp_path, "0.5 9\n1.5\t2\n4.5  3.5\n\n"))
    assert trace == BandwidthTrace((0.0, 1.0), (2e6, 3.5e6), None, 4.0)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("", ["trace: is empty"], id="empty"),
        pytest.param(" \n\n", ["trace: is empty"], id="blank"),
        pytest.param("[]", ["trace: holds no entries"], id="empty list"),
        pytest.param(
            '{"duration_ms": 3}',
            ["trace:1: expected a list of entries: [{...}, {...}]"],
            id="no list",
        ),
        pytest.param(
            '[\n{"duration_ms": 3,\n "bandwidth_kbps" 5}]',
            ["trace:3: not valid JSON: Expecting ':' delimiter"],
            id="JSON syntax",
        ),
        pytest.param(
            '[{"duration_ms": 3, "bandwidth_kbps": 5}\n',
            ["trace:2: not valid JSON: expected ',' or ']' after an entry"],
            id="JSON cut off",
        ),
        pytest.param("[1,\n", ["trace:2: not valid JSON: Expecting value"], id="JSON cut earlier"),
        pytest.param(
            '[{"duration_ms": 3, "bandwidth_kbps": 5}]\n\n[]',
            ["trace:3: not valid JSON: something follows the list"],
            id="two lists",
        ),
        pytest.param(
            "[" * 100_000,
            ["trace:1: not valid JSON: too long a number or nested too deeply"],
            id="deep",
        ),
        pytest.param(
            "[\n" + "9" * 10_000 + "]",
            ["trace:2: not valid JSON: too long a number or nested too deeply"],
            id="long number",
        ),
        pytest.param(
            """\
[
  {"duration_ms": 1000, "bandwidth_kbps": 5},
  {"duration_ms": 0, "bandwidth_kbps": -5},
  {"duration_ms": NaN,
   "bandwidth_kbps": Infinity}, 7,
  {"duration_ms": true, "bandwidth": "fast"},
  {"duration_ms": 1e400, "bandwidth_kbps": 1%s, "latency_ms": -1}
]
"""
            % ("0" * 400),
            [
                "trace:3: [1].bandwidth_kbps: it must be 0 to 1e+09, found -5",
                "trace:3: [1].duration_ms: it must be 1 to 1e+13, found 0",
                "trace:4: [2].bandwidth_kbps: it must be 0 to 1e+09, found inf",
                "trace:4: [2].duration_ms: it must be 1 to 1e+13, found nan",
                "trace:5: [3]: expected {duration_ms: ..., bandwidth_kbps: ...}, found 7",
                "trace:6: [4].bandwidth: unknown key; did you mean 'bandwidth_kbps'? "
                "Known: bandwidth_kbps, duration_ms, latency_ms",
                "trace:6: [4].bandwidth_kbps: this key is required and missing",
                "trace:6: [4].duration_ms: it should be a number; found true",
                "trace:7: [5].bandwidth_kbps: it must be 0 to 1e+09, found inf",
                "trace:7: [5].duration_ms: it must be 1 to 1e+13, found inf",
                "trace:7: [5].latency_ms: it must be 0 to 60000, found -1",
            ],
            id="JSON, all at once",
        ),
        pytest.param(
            '[{"duration_ms": 3, "bandwidth_kbps": 0}]',
            ["trace: all downlink bandwidths are 0, so that no transfer could ever end"],
            id="nothing ever",
        ),
        pytest.param(
            "time_s,mbps\n0,1\n",
            [
                "trace:1: the first line must be 'time_s,downlink_mbps' or "
                "'time_s,downlink_mbps,uplink_mbps'"
            ],
            id="header",
        ),
        pytest.param(
            "time_s,downlink_mbps\n1,1\n2,x\n3,-1\n4\n",
            [
                "trace:2: the first time must be 0, found 1",
                'trace:3: expected 2 numbers, a time and Mbit/s; found "2 x"',
                "trace:4: Mbit/s must be 0 to 1e+06, found -1",
                'trace:5: expected 2 numbers, a time and Mbit/s; found "4"',
            ],
            id="CSV, all at once",
        ),
        pytest.param(
            "time_s,downlink_mbps\n0,1\n2,1\n2,3\n1,3\n",
            [
                "trace:4: times must increase by 0.001 s at least; 2 s follows 2 s",
                "trace:5: times must increase by 0.001 s at least; 1 s follows 2 s",
            ],
            id="CSV, unsorted",
        ),
        pytest.param(
            "time_s,downlink_mbps\n0,1\n",
            [
                "trace: needs two lines of numbers at least: the last value holds as long as the "
                "one before it"
            ],
            id="CSV, one line",
        ),
        pytest.param(
            "time_s,downlink_mbps,uplink_mbps\n0,1,0\n1,1,0\n",
            ["trace: all uplink bandwidths are 0, so that no transfer could ever end"],
            id="CSV, no uplink",
        ),
        pytest.param(
            "0 1\n1 nan\n2 inf\n3 1 1\n4 4\n3 3\n",
            [
                "trace:2: Mbit/s must be 0 to 1e+06, found nan",
                "trace:3: Mbit/s must be 0 to 1e+06, found inf",
                'trace:4: expected 2 numbers, a time and Mbit/s; found "3 1 1"',
                "trace:6: times must increase by 0.001 s at least; 3 s follows 4 s",
            ],
            id="cooked, all at once",
        ),
        pytest.param(
            "1 1",
            ["trace: needs two lines at least: the first only says when the trace begins"],
            id="cooked, one line",
        ),
    ],
)
def test_all_mistakes_of_a_trace_are_told_with_their_lines(
    text: str, lines: list[str], tmp_path: Path
) -> None:
    assert refusal(tmp_path, text) == lines


@pytest.mark.parametrize("raw", [b"\xff\xfe[", b"\x00\x01", b'time_s,downlink_mbps\n0,"1\n'])
def test_a_damaged_file_is_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "trace").write_bytes(raw)
    with pytest.raises(ConfigError):
        read_bandwidth(tmp_path / "trace")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("nowhere.json", "", "nul\0.json"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_bandwidth(tmp_path / name)


def test_files_are_found_by_name_folder_and_pattern(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", "c.csv", "LICENSE.sabre"):
        written(tmp_path, JSON, name)

    def names(name: str | list[str]) -> list[str]:
        return [file.name for file in bandwidth_files(name, tmp_path)]

    assert names("b.json") == ["b.json"]
    assert names(".") == names(str(tmp_path)) == ["a.json", "b.json", "c.csv"]
    assert names("*.json") == names(f"{tmp_path}/*.json") == ["a.json", "b.json"]
    assert names(["c.csv", "*.json", "a.json"]) == ["c.csv", "a.json", "b.json"]
    with pytest.raises(ConfigError) as caught:
        bandwidth_files(["d.json", "b.json", "*.txt", "nul\0"], tmp_path)
    assert [problem.file for problem in caught.value.problems] == ["'nul\\x00'", "*.txt", "d.json"]


# --- the recorded traces -------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize(
    ("folder", "files", "latency_s", "percentiles_mbps"),
    [("ghent_4g", 40, 0.02, (5.0, 28.8, 58.8)), ("norway_3g", 86, 0.1, (0.05, 0.98, 3.1))],
)
def test_the_recorded_traces_are_read_in_full(
    folder: str, files: int, latency_s: float, percentiles_mbps: tuple[float, ...]
) -> None:
    paths = bandwidth_files(folder, DATA)
    assert len(paths) == files
    values: list[float] = []
    for path in paths:
        trace, raw = read_bandwidth(path), json.loads(path.read_text())
        assert trace.latency_s == pytest.approx(latency_s)
        assert len(trace.times_s) == len(raw)
        assert trace.period_s == pytest.approx(sum(entry["duration_ms"] for entry in raw) / 1e3)
        values += trace.downlink_bps
    found_mbps = np.percentile(values, (5, 50, 95)) / 1e6
    assert found_mbps == pytest.approx(percentiles_mbps, rel=0.05, abs=0.02)


@needs_data
def test_the_recorded_speeds_and_round_trips_are_read_in_full() -> None:
    users = read_user_speeds(DATA / "flash" / "speed_distri.json")
    assert len(users) == 19
    assert users[0].downlink_mean_bps == pytest.approx(7491.4 * 8e3)
    rtt_s = read_rtt_matrix(DATA / "city_rtt" / "latencies.txt", is_one_way=False)
    assert rtt_s.shape == (227, 227)
    assert int(np.isnan(rtt_s).sum()) == 51
    found_ms = [rtt_percentile_s(rtt_s, q) * 1e3 for q in (5, 25, 50, 75, 95)]
    assert found_ms == pytest.approx([11, 34, 67, 101, 149], abs=0.6)


# --- phones that replay traces -------------------------------------------------------------------

TRACES = [
    BandwidthTrace((0.0, 0.5, 2.0), (1e6, 0.0, 2e6), None, 3.3),
    BandwidthTrace((0.0, 1 / 3), (5e6, 7e6), (1e6, 2e6), 0.7),
    BandwidthTrace((0.0,), (9e6,), None, 1.0),
]
PHONES = [("phones", index) for index in range(60)]


def banks(count: int = 60) -> tuple[SignalBank, SignalBank]:
    return bandwidth_banks(TRACES, STREAMS, PHONES[:count])


@given(times_s=st.lists(st.floats(0, 500), min_size=1, max_size=8))
@CHECK
def test_a_phone_alone_and_in_its_bank_sees_the_same_at_any_time(times_s: list[float]) -> None:
    for bank in banks():
        signals = [bank.signal(row) for row in range(len(bank))]
        for time_s in times_s:
            assert bank.values(time_s).tolist() == [signal.value(time_s) for signal in signals]


@given(time_s=st.floats(0, 500), row=st.integers(0, 59))
@CHECK
def test_pieces_of_both_directions_tile_time_and_change_together(time_s: float, row: int) -> None:
    down, up = (bank.signal(row) for bank in banks())
    start_s, end_s, _ = down.segment(time_s)
    assert start_s <= time_s < end_s
    assert up.segment(time_s)[:2] == (start_s, end_s)
    assert down.segment(end_s)[0] == end_s
    assert down.value(nextafter(end_s, 0)) == down.value(time_s)


def test_phones_draw_their_traces_and_offsets_by_their_own_streams() -> None:
    few, many = banks(7), banks(60)
    for bank, other in zip(few, many, strict=True):
        for time_s in (0.0, 1.7, 33.3):
            assert bank.values(time_s).tolist() == other.values(time_s)[:7].tolist()
    down, up = many
    kinds = [0, 0, 0]
    starts_s = set()
    for row in range(60):
        downs = {value for _, _, value in down.signal(row).segments(0.0, 10.0)}
        trace = next(k for k, trace in enumerate(TRACES) if set(trace.downlink_bps) == downs)
        kinds[trace] += 1
        starts_s.add(down.signal(row).segment(5.0)[0])
        ups = {value for _, _, value in up.signal(row).segments(0.0, 10.0)}
        expected = TRACES[trace].uplink_bps or [
            UPLINK_RATIO * value for value in TRACES[trace].downlink_bps
        ]
        assert ups == set(expected)
    assert stats.chisquare(kinds).pvalue > 0.01
    assert len(starts_s) == 60


def test_without_offsets_every_phone_begins_at_the_beginning() -> None:
    down, _ = bandwidth_banks(TRACES[:1], STREAMS, PHONES, has_random_offset=False)
    assert list(down.signal(3).segments(0.0, 4.0)) == [
        (0.0, 0.5, 1e6),
        (0.5, 2.0, 0.0),
        (2.0, 3.3, 2e6),
        (3.3, 3.8, 1e6),
        (3.8, 4.0, 0.0),
    ]


def test_offsets_are_uniform_and_the_mean_over_phones_is_that_of_the_trace() -> None:
    phones = [("many", index) for index in range(4000)]
    down, up = bandwidth_banks(TRACES[:1], STREAMS, phones, uplink_ratio=0.1)
    mean = TRACES[0].mean_downlink_bps
    for time_s in (0.0, 100.0):
        assert down.values(time_s).mean() == pytest.approx(mean, rel=0.05)
        assert up.values(time_s) == pytest.approx(0.1 * down.values(time_s))


def test_there_must_be_a_trace_and_an_uplink() -> None:
    with pytest.raises(ValueError, match="trace"):
        bandwidth_banks([], STREAMS, PHONES)
    with pytest.raises(ValueError, match="uplink_ratio"):
        bandwidth_banks(TRACES, STREAMS, PHONES, uplink_ratio=0.0)


# --- phones with the speed of a user -------------------------------------------------------------

USERS = (UserSpeed(60e6, 12e6, 20e6, 3e6), UserSpeed(30e6, 30e6, 5e6, 0.0))


def test_speeds_have_the_mean_and_deviation_of_their_users_and_a_floor() -> None:
    phones = [("many", index) for index in range(4000)]
    down, up = speed_banks(USERS, STREAMS, phones)
    is_second = up.values(0.0) == 5e6
    assert is_second.mean() == pytest.approx(0.5, abs=0.03)
    for time_s in (0.0, 500.0):
        first, second = down.values(time_s)[~is_second], down.values(time_s)[is_second]
        assert first.mean() == pytest.approx(60e6, rel=0.02)
        assert first.std() == pytest.approx(12e6, rel=0.06)
        assert stats.kstest(first, "norm", args=(60e6, 12e6)).pvalue > 0.01
        assert second.min() == 0.05 * 30e6
        assert second.mean() == pytest.approx(30e6 * 1.0916, rel=0.05)
        ups = up.values(time_s)[~is_second]
        assert ups.std() == pytest.approx(3e6, rel=0.06)
        assert abs(np.corrcoef(first, ups)[0, 1]) < 0.07


def test_speeds_are_correlated_for_as_long_as_said_and_the_same_alone() -> None:
    phones = [("many", index) for index in range(4000)]
    down, _ = speed_banks(USERS[:1], STREAMS, phones, step_s=0.5, correlation_time_s=5.0)
    now, later = down.values(10.0), down.values(15.0)
    assert np.corrcoef(now, later)[0, 1] == pytest.approx(np.exp(-1), abs=0.05)
    alone, _ = speed_banks(USERS[:1], STREAMS, phones[:2], step_s=0.5, correlation_time_s=5.0)
    for row in (0, 1):
        pieces = list(alone.signal(row).segments(0.0, 20.0))
        assert [value for *_, value in pieces] == [down.values(k * 0.5)[row] for k in range(40)]
        assert all(before[1] == after[0] for before, after in pairwise(pieces))


def test_mistakes_in_user_speeds_are_told(tmp_path: Path) -> None:
    good = '{"down_u": 5, "down_sigma": 1, "up_u": 2, "up_sigma": 0}'
    bad = '{"down_u": 0, "down_sigma": -1, "up_u": "x", "up_sigma": NaN}'
    for text, lines in (
        ("{}", ["trace:1: expected users and their speeds, found {}"]),
        ("{\n:", ["trace:2: not valid JSON: Expecting property name enclosed in double quotes"]),
        (
            f'{{"a": {good},\n"b": {bad},\n"c": 3}}',
            [
                "trace:2: b.down_sigma: it must be 0 to 1e+08, found -1",
                "trace:2: b.down_u: it must be 0.001 to 1e+08, found 0",
                "trace:2: b.up_sigma: it must be 0 to 1e+08, found nan",
                'trace:2: b.up_u: it should be a number; found "x"',
                "trace:3: c: needs just the keys down_u, down_sigma, up_u, up_sigma",
            ],
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            read_user_speeds(written(tmp_path, text))
        assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == lines


# --- round-trip times ----------------------------------------------------------------------------


def test_a_table_of_round_trips_by_hand(tmp_path: Path) -> None:
    file = written(tmp_path, "0.1,20,-1\n30,0,40\n50,-0.5,0\n")
    rtt_s = read_rtt_matrix(file, is_one_way=False)
    assert np.isnan(rtt_s[0, 2])
    assert np.isnan(rtt_s[2, 1])
    assert [rtt_percentile_s(rtt_s, q) for q in (0, 50, 100)] == pytest.approx([0.02, 0.035, 0.05])
    halves = read_rtt_matrix(file, is_one_way=True)
    assert rtt_percentile_s(halves, 100) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="percentile"):
        rtt_percentile_s(rtt_s, 101)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["trace: holds no numbers"]),
        ("1,2\n3,4\n5,6\n", [f"trace:{k}: 2 numbers in a table of 3 lines: it must be square"
                              for k in (1, 2, 3)]),
        ("1,2\n3,x\n", ['trace:2: not numbers separated by commas: "3,x"']),
        ("1,nan\n3,4\n", ["trace:1: milliseconds must be up to 1e6, found nan"]),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(text: str, lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_rtt_matrix(written(tmp_path, text), is_one_way=False)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == lines
