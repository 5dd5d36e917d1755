"""Where phones are and how strong their signal is: by hand, by property, by moments."""

from collections.abc import Callable
from itertools import pairwise
from math import hypot, inf, log10, nextafter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgesim.core.errors import ConfigError
from edgesim.core.random import Streams
from edgesim.core.signals import GaussMarkovBank, Signal
from edgesim.network.mobility import (
    LTE_AT_1M_DB,
    LTE_EXPONENT,
    LTE_SHADOWING_STD_DB,
    WIFI_AT_1M_DB,
    WIFI_EXPONENT,
    WIFI_SHADOWING_STD_DB,
    Area,
    DistanceSignal,
    FixedPosition,
    LazyBank,
    Position,
    PositionTrace,
    RandomWaypoint,
    TracePosition,
    path_loss_db,
    read_positions,
)

CHECK = settings(derandomize=True, deadline=None, max_examples=60)
STREAMS = Streams(5)
AREA = Area(-20.0, 10.0, 30.0, 40.0)
SPEED_M_PER_S, PAUSE_S = (0.5, 2.0), (0.0, 30.0)
WALK = PositionTrace((0.0, 10.0, 14.0, 14.5), (0.0, 30.0, 30.0, 30.0), (0.0, 40.0, 40.0, 0.0))

POSITIONS: dict[str, Callable[[], Position]] = {
    "fixed": lambda: FixedPosition(3.0, 4.0),
    "waypoint": lambda: RandomWaypoint(STREAMS.key("walk"), AREA, SPEED_M_PER_S, PAUSE_S),
    "restless": lambda: RandomWaypoint(STREAMS.key("walk"), AREA, SPEED_M_PER_S),
    "held": lambda: TracePosition(WALK),
    "looped": lambda: TracePosition(WALK, 20.1, 1 / 3),
    "resting": lambda: TracePosition(
        PositionTrace((0.0, 3.0, 6.0), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)), 9.0, 2.5
    ),
}
each_position = pytest.mark.parametrize("make", POSITIONS.values(), ids=list(POSITIONS))
TIMES = st.one_of(
    st.floats(0, 1000),
    st.builds(lambda k, step_s: k * step_s, st.integers(0, 3000), st.sampled_from([0.1, 1 / 3])),
    st.builds(
        lambda k, start_s: max(k * 20.1 + start_s - 1 / 3, 0.0),
        st.integers(0, 40),
        st.sampled_from(WALK.times_s),
    ),
)


def waypoint(name: str, index: int = 0) -> RandomWaypoint:
    return RandomWaypoint(STREAMS.key(name, index), AREA, SPEED_M_PER_S, PAUSE_S)


# --- positions -----------------------------------------------------------------------------------


@each_position
@given(times_s=st.lists(TIMES, min_size=1, max_size=10))
@CHECK
def test_a_place_is_the_same_however_it_is_asked(
    make: Callable[[], Position], times_s: list[float]
) -> None:
    position = make()
    for time_s in times_s:
        assert position.position(time_s) == make().position(time_s)
        assert position.rest(time_s) == make().rest(time_s)


@each_position
@given(times_s=st.lists(TIMES, min_size=1, max_size=8), ahead_s=st.floats(0, 300))
@CHECK
def test_forgetting_the_past_keeps_the_present_and_the_future(
    make: Callable[[], Position], times_s: list[float], ahead_s: float
) -> None:
    position = make()
    for time_s in sorted(times_s):
        position.position(time_s + ahead_s)
        position.forget(time_s)
        for later_s in (time_s, time_s + ahead_s):
            assert position.position(later_s) == make().position(later_s)
            assert position.rest(later_s) == make().rest(later_s)


def test_a_forgotten_way_is_not_asked_about_and_memory_stays_small() -> None:
    position = waypoint("far")
    for time_s in range(0, 100_000, 50):
        position.position(time_s)
        position.forget(time_s)
    assert len(position._points) < 100
    with pytest.raises(ValueError, match="forgotten"):
        position.position(0.0)


@each_position
@given(time_s=TIMES)
@CHECK
def test_who_rests_is_in_one_place_from_its_beginning_to_its_end(
    make: Callable[[], Position], time_s: float
) -> None:
    position = make()
    rest = position.rest(time_s)
    if rest is not None:
        start_s, end_s = rest
        assert start_s <= time_s < end_s
        for other_s in (start_s, min(nextafter(end_s, 0), 1e6)):
            assert position.position(other_s) == position.position(time_s)
            assert position.rest(other_s) == rest


@given(start_s=st.floats(0, 5000), ahead_s=st.floats(1e-3, 20), name=st.integers(0, 20))
@CHECK
def test_nobody_is_faster_than_allowed_or_leaves_the_area(
    start_s: float, ahead_s: float, name: int
) -> None:
    position = waypoint("fast", name)
    (x_m, y_m), (x_later_m, y_later_m) = map(position.position, (start_s, start_s + ahead_s))
    assert AREA.x_min_m - 1e-9 <= x_m <= AREA.x_max_m + 1e-9
    assert AREA.y_min_m - 1e-9 <= y_m <= AREA.y_max_m + 1e-9
    assert hypot(x_later_m - x_m, y_later_m - y_m) <= SPEED_M_PER_S[1] * ahead_s + 1e-9
    if position.rest(start_s) is None:
        soon = position.position(start_s + 1e-3)
        if position.rest(start_s + 1e-3) is None:
            way_m = hypot(soon[0] - x_m, soon[1] - y_m)
            assert way_m <= SPEED_M_PER_S[1] * 1.001e-3


def test_speeds_pauses_and_places_are_uniform() -> None:
    speeds, pauses, places, starts = [], [], [], []
    for index in range(300):
        position = waypoint("law", index)
        starts.append(position.position(0.0))
        position.position(500.0)
        for before, after in pairwise(position._points[:16]):
            length_s = after[0] - before[0]
            if before[1:] == after[1:]:
                pauses.append(length_s)
            else:
                speeds.append(hypot(after[1] - before[1], after[2] - before[2]) / length_s)
                places.append(after[1:])
    assert stats.kstest(speeds, "uniform", args=(0.5, 1.5)).pvalue > 0.01
    assert stats.kstest(pauses, "uniform", args=(0.0, 30.0)).pvalue > 0.01
    for found in (starts, places):
        x_m, y_m = zip(*found, strict=True)
        assert stats.kstest(x_m, "uniform", args=(-20, 50)).pvalue > 0.01
        assert stats.kstest(y_m, "uniform", args=(10, 30)).pvalue > 0.01


def test_the_mean_speed_settles_where_theory_says_instead_of_falling_for_ever() -> None:
    # Speeds by time are weighted by 1/v: their mean is (b - a) / ln(b / a); Yoon et al., eq. 3.
    moved_m = 0.0
    for index in range(300):
        position = RandomWaypoint(STREAMS.key("settled", index), AREA, SPEED_M_PER_S)
        for start_s in (2000.0, 3000.0, 4000.0):
            (x_m, y_m), (x_later_m, y_later_m) = map(position.position, (start_s, start_s + 0.01))
            moved_m += hypot(x_later_m - x_m, y_later_m - y_m)
    assert moved_m / 900 / 0.01 == pytest.approx(1.5 / np.log(4.0), rel=0.04)


@pytest.mark.parametrize(
    ("speed", "pause"),
    [
        ((0.0, 1.0), (0.0, 0.0)),
        ((2.0, 1.0), (0.0, 0.0)),
        ((1.0, inf), (0.0, 0.0)),
        ((1.0, 2.0), (-1.0, 0.0)),
        ((1.0, 2.0), (2.0, 1.0)),
        ((1.0, 2.0), (0.0, inf)),
    ],
)
def test_speeds_and_pauses_that_cannot_be_are_refused(
    speed: tuple[float, float], pause: tuple[float, float]
) -> None:
    with pytest.raises(ValueError, match=r"speed|pause"):
        RandomWaypoint(1, AREA, speed, pause)


def test_an_area_has_two_sides() -> None:
    for sides in ((0, 0, 0, 1), (0, 0, 1, 0), (1, 0, 0, 1), (0, 0, inf, 1)):
        with pytest.raises(ValueError, match="sides"):
            Area(*map(float, sides))


def test_a_recorded_way_by_hand() -> None:
    held, looped = TracePosition(WALK), TracePosition(WALK, 24.5, 10.0)
    assert held.position(5.0) == (15.0, 20.0)
    assert held.position(12.0) == (30.0, 40.0)
    assert held.position(14.25) == (30.0, 20.0)
    assert held.position(1e6) == (30.0, 0.0)
    assert [held.rest(time_s) for time_s in (5.0, 10.0, 14.0)] == [None, (10.0, 14.0), None]
    assert held.rest(20.0) == (14.5, inf)
    assert looped.position(0.0) == (30.0, 40.0)
    assert looped.rest(1.0) == (0.0, 4.0)
    assert looped.position(9.5) == (15.0, 0.0)  # half of the way back
    assert looped.position(14.5) == (0.0, 0.0)
    assert looped.position(19.5) == (15.0, 20.0)
    assert looped.rest(25.0) == (24.5, 28.5)


def test_a_way_that_is_no_trace_is_refused() -> None:
    for times_s in ((), (1.0,), (0.0, 0.0)):
        with pytest.raises(ValueError):
            TracePosition(PositionTrace(times_s, times_s, times_s))
    for period_s, offset_s in ((14.5, 0.0), (20.0, 21.0), (None, -1.0), (None, inf)):
        with pytest.raises(ValueError):
            TracePosition(WALK, period_s, offset_s)


def test_a_file_of_places_is_read(tmp_path: Path) -> None:
    file = tmp_path / "walk.csv"
    file.write_text("\ufefftime_s,x_m,y_m\n0,0,0\n10,30,40\n\n14,30,40\n14.5,30,0\n", "utf-8")
    assert read_positions(file) == WALK


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["walk.csv:1: the first line must be 'time_s,x_m,y_m'"]),
        ("time_s,x,y\n", ["walk.csv:1: the first line must be 'time_s,x_m,y_m'"]),
        ("time_s,x_m,y_m\n", ["walk.csv: holds no points"]),
        (
            "time_s,x_m,y_m\n1,0,0\n0,0,0\n2,nan,0\n0,1,1\n3,1\n4,x,1\ninf,1,1\n",
            [
                "walk.csv:2: the first time must be 0, found 1",
                "walk.csv:4: needs three numbers, a time up to 1e10 s and two of up to 1e9 m",
                "walk.csv:5: times must increase by 0.001 s at least; 0 s follows 0 s",
                "walk.csv:6: needs three numbers, a time up to 1e10 s and two of up to 1e9 m",
                "walk.csv:7: needs three numbers, a time up to 1e10 s and two of up to 1e9 m",
                "walk.csv:8: needs three numbers, a time up to 1e10 s and two of up to 1e9 m",
            ],
        ),
    ],
)
def test_mistakes_in_a_file_of_places_are_told_with_their_lines(
    text: str, lines: list[str], tmp_path: Path
) -> None:
    (tmp_path / "walk.csv").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_positions(tmp_path / "walk.csv")
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines() == lines


# --- strength ------------------------------------------------------------------------------------


def test_path_loss_by_hand() -> None:
    assert path_loss_db(1.0, WIFI_AT_1M_DB, WIFI_EXPONENT) == 46.8
    assert path_loss_db(0.0, WIFI_AT_1M_DB, WIFI_EXPONENT) == 46.8
    assert path_loss_db(10.0, WIFI_AT_1M_DB, WIFI_EXPONENT) == pytest.approx(76.8)
    wavelength_m = 299_792_458 / 5.2e9
    assert 20 * log10(4 * np.pi / wavelength_m) == pytest.approx(WIFI_AT_1M_DB, abs=0.05)
    assert path_loss_db(1000.0, LTE_AT_1M_DB, LTE_EXPONENT) == pytest.approx(128.1)
    assert path_loss_db(500.0, LTE_AT_1M_DB, LTE_EXPONENT) == pytest.approx(
        128.1 + 37.6 * log10(0.5)
    )


def strength(position: Position, step_s: float = 0.7, shadowing: Signal | None = None) -> Signal:
    return DistanceSignal(
        position, (3.0, -6.0), 20.0, WIFI_AT_1M_DB, WIFI_EXPONENT, step_s, shadowing
    )


def shadows(rows: int, step_s: float = 1 / 3, std_db: float = WIFI_SHADOWING_STD_DB) -> Signal:
    names = [("phone", row) for row in range(rows)]
    return GaussMarkovBank(STREAMS.keys("shadowing", names), 0.0, std_db, step_s, 10.0).signal(0)


SIGNALS: dict[str, Callable[[], Signal]] = {
    f"{name}{', shadowed' * shadowed}": (
        lambda make=make, shadowed=shadowed: strength(  # type: ignore[misc]
            make(), shadowing=shadows(1) if shadowed else None
        )
    )
    for name, make in POSITIONS.items()
    for shadowed in (False, True)
}
each_signal = pytest.mark.parametrize("make", SIGNALS.values(), ids=list(SIGNALS))


@each_signal
@given(times_s=st.lists(TIMES, min_size=1, max_size=10))
@CHECK
def test_a_strength_is_the_same_however_it_is_asked(
    make: Callable[[], Signal], times_s: list[float]
) -> None:
    signal = make()
    for time_s in times_s:
        assert signal.segment(time_s) == make().segment(time_s)


@each_signal
@given(times_s=st.tuples(TIMES, TIMES))
@CHECK
def test_pieces_tile_time_and_hold_from_their_beginning_to_their_end(
    make: Callable[[], Signal], times_s: tuple[float, float]
) -> None:
    from_s, to_s = min(times_s), min(max(times_s), min(times_s) + 100.0)
    signal, other = make(), make()
    time_s = from_s
    while time_s <= to_s:
        piece = signal.segment(time_s)
        start_s, end_s, _ = piece
        assert start_s <= time_s < end_s
        last_s = nextafter(min(end_s, 1e6), 0)
        # A piece may be as short as two neighbouring numbers are apart.
        for within_s in (start_s, min((start_s + last_s) / 2, last_s), last_s):
            assert other.segment(within_s) == piece
        if end_s < inf:
            assert other.segment(end_s)[0] == end_s
        time_s = end_s


@each_signal
@given(times_s=st.lists(TIMES, min_size=1, max_size=6), ahead_s=st.floats(0, 200))
@CHECK
def test_what_a_strength_forgets_it_does_not_need(
    make: Callable[[], Signal], times_s: list[float], ahead_s: float
) -> None:
    signal = make()
    for time_s in sorted(times_s):
        signal.value(time_s + ahead_s)
        signal.forget(time_s)
        for later_s in (time_s, time_s + ahead_s):
            assert signal.segment(later_s) == make().segment(later_s)


def test_who_stands_still_without_shadowing_never_changes() -> None:
    signal = strength(FixedPosition(3.0, 4.0))
    assert signal.segment(123.0) == (0.0, inf, pytest.approx(20 - 46.8 - 30))


def test_a_strength_is_looked_at_every_step_and_holds_while_its_phone_rests() -> None:
    signal = DistanceSignal(TracePosition(WALK), (0.0, 0.0), 0.0, 40.0, 2.0, 3.0)
    pieces = list(signal.segments(0.0, 100.0))
    assert [piece[:2] for piece in pieces] == [
        (0.0, 3.0),
        (3.0, 6.0),
        (6.0, 9.0),
        (9.0, 12.0),
        (12.0, 15.0),  # it rests from 10 to 14, and is looked at once then
        (15.0, 100.0),
    ]
    distances_m = [1.0, 15.0, 30.0, 45.0, 50.0, 30.0]
    assert [piece[2] for piece in pieces] == pytest.approx(
        [-40 - 20 * log10(distance_m) for distance_m in distances_m]
    )
    fine = DistanceSignal(TracePosition(WALK), (0.0, 0.0), 0.0, 40.0, 2.0, 0.5)
    assert fine.segment(11.7)[:2] == (10.0, 14.0)
    assert fine.segment(14.2)[:2] == (14.0, 14.5)
    assert fine.segment(90.0)[:2] == (14.5, inf)


def test_a_strength_beyond_its_limits_is_clipped() -> None:
    near = DistanceSignal(FixedPosition(0.0, 0.0), (0.0, 0.0), 43.0, LTE_AT_1M_DB, 3.76, 1.0)
    assert near.value(0.0) == 0.0
    far = DistanceSignal(FixedPosition(1e9, 0.0), (0.0, 0.0), 43.0, LTE_AT_1M_DB, 3.76, 1.0)
    assert far.value(0.0) == -150.0
    with pytest.raises(ValueError, match="step"):
        DistanceSignal(FixedPosition(0.0, 0.0), (0.0, 0.0), 43.0, 15.3, 3.76, 0.0)


@pytest.mark.parametrize("std_db", [WIFI_SHADOWING_STD_DB, LTE_SHADOWING_STD_DB])
def test_shadowing_has_its_moments_around_the_path_loss(std_db: float) -> None:
    rows, place = 3000, FixedPosition(3.0, 94.0)
    names = [("phone", row) for row in range(rows)]
    bank = GaussMarkovBank(STREAMS.keys("shadowing", names), 0.0, std_db, 1.0, 10.0)
    signals = LazyBank(rows, lambda row: strength(place, shadowing=bank.signal(row)))
    mean_dbm = 20 - 46.8 - 30 * log10(100.0)
    now, later = signals.values(0.5), signals.values(10.5)
    for values in (now, later):
        assert values.mean() == pytest.approx(mean_dbm, abs=3 * std_db / rows**0.5)
        assert values.std() == pytest.approx(std_db, rel=0.04)
        assert stats.kstest(values, "norm", args=(mean_dbm, std_db)).pvalue > 0.01
    assert np.corrcoef(now, later)[0, 1] == pytest.approx(np.exp(-1), abs=0.06)


def test_a_lazy_bank_gives_what_its_rows_give_in_any_order_of_asking() -> None:
    bank = LazyBank(5, lambda row: strength(waypoint("bank", row)))
    assert len(bank) == 5
    for time_s in (0.0, 40.0, 900.0, 30.0, 31.0):
        assert bank.values(time_s).tolist() == [bank.signal(row).value(time_s) for row in range(5)]
    with pytest.raises(IndexError):
        bank.signal(5)
