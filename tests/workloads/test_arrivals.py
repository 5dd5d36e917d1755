"""Arrivals: their laws by statistical test, their bits alone and in a bank, their edges by hand."""

from collections.abc import Callable
from itertools import islice, pairwise, takewhile
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edgesim.core.random import Streams
from edgesim.workloads.arrivals import (
    Arrivals,
    DiurnalArrivals,
    PeriodicArrivals,
    PoissonArrivals,
    TraceArrivals,
    integrated_rate,
    traced_arrivals,
)

CHECK = settings(derandomize=True, deadline=None, max_examples=60)
NAMES = [("phones", index) for index in range(40)]
KEYS = Streams(7).keys("arrivals camera", NAMES)
Keys = NDArray[np.uint64]

# A day of 100 s: nothing, little, much, nothing.
TIMES_S, RATES_PER_S, DAY_S = (0.0, 20.0, 50.0, 80.0), (0.0, 0.5, 3.0, 0.0), 100.0
PER_DAY = 30 * 0.5 + 30 * 3.0


def diurnal(keys: Keys, horizon_s: float = 1000.0) -> DiurnalArrivals:
    return DiurnalArrivals(keys, TIMES_S, RATES_PER_S, DAY_S, horizon_s)


RANDOM: dict[str, Callable[[Keys, float], Arrivals]] = {
    "poisson": lambda keys, horizon_s: PoissonArrivals(keys, 1.05, horizon_s),
    "diurnal": diurnal,
    "periodic": lambda keys, horizon_s: PeriodicArrivals(keys, 1 / 30),
}
each_random = pytest.mark.parametrize("make", RANDOM.values(), ids=list(RANDOM))


def until(arrivals: Arrivals, row: int, end_s: float) -> list[float]:
    return list(takewhile(lambda time_s: time_s < end_s, arrivals.times(row)))


# --- all of them ---------------------------------------------------------------------------------


@each_random
def test_a_phone_alone_has_the_bits_it_has_in_a_bank(
    make: Callable[[Keys, float], Arrivals],
) -> None:
    bank = make(KEYS, 1000.0)
    for row in (0, 1, 17, 39):
        alone = make(KEYS[row : row + 1], 1000.0)
        assert list(islice(alone.times(0), 1500)) == list(islice(bank.times(row), 1500))


@each_random
def test_the_horizon_and_what_others_draw_change_nothing(
    make: Callable[[Keys, float], Arrivals],
) -> None:
    short, long = make(KEYS, 0.1), make(KEYS, 1e5)
    other = long.times(1)
    for mine, again in islice(zip(short.times(3), long.times(3), strict=True), 1500):
        next(other)
        assert mine == again


@each_random
def test_moments_never_go_back_and_phones_differ(
    make: Callable[[Keys, float], Arrivals],
) -> None:
    arrivals = make(KEYS, 1000.0)
    firsts = set()
    for row in range(len(KEYS)):
        times_s = list(islice(arrivals.times(row), 800))
        assert times_s[0] >= 0
        assert all(before <= after for before, after in pairwise(times_s))
        firsts.add(times_s[0])
    assert len(firsts) == len(KEYS)


# --- poisson -------------------------------------------------------------------------------------


def test_gaps_of_poisson_arrivals_are_exponential() -> None:
    arrivals = PoissonArrivals(KEYS, 2.5, 400.0)
    gaps_s = np.concatenate([np.diff([0.0, *until(arrivals, row, 400.0)]) for row in range(40)])
    assert stats.kstest(gaps_s, "expon", args=(0, 1 / 2.5)).pvalue > 0.01


# --- diurnal -------------------------------------------------------------------------------------


def test_the_rate_of_each_step_is_what_the_schedule_says() -> None:
    days = 25
    times_s = np.concatenate([until(diurnal(KEYS), row, days * DAY_S) for row in range(40)])
    local_s = times_s % DAY_S
    for start_s, end_s, rate_per_s in zip(TIMES_S, (*TIMES_S[1:], DAY_S), RATES_PER_S, strict=True):
        found = int(((local_s >= start_s) & (local_s < end_s)).sum())
        expected = rate_per_s * (end_s - start_s) * days * 40
        # Counts of a Poisson process have their mean for variance.
        assert abs(found - expected) <= 3 * expected**0.5


def test_rescaled_by_the_integrated_rate_the_gaps_are_exponential_and_independent() -> None:
    arrivals = diurnal(KEYS)
    gaps = []
    for row in range(40):
        epochs = [
            integrated_rate(TIMES_S, RATES_PER_S, DAY_S, time_s)
            for time_s in until(arrivals, row, 10 * DAY_S)
        ]
        gaps.append(np.diff([0.0, *epochs]))
    pooled = np.concatenate(gaps)
    assert stats.kstest(pooled, "expon").pvalue > 0.01
    pairs = np.concatenate([np.stack([gap[:-1], gap[1:]]) for gap in gaps], axis=1)
    assert abs(np.corrcoef(pairs)[0, 1]) < 3 / len(pooled) ** 0.5


def test_within_a_step_arrivals_are_uniform() -> None:
    times_s = np.concatenate([until(diurnal(KEYS), row, 10 * DAY_S) for row in range(40)])
    local_s = times_s % DAY_S
    busy_s = local_s[(local_s >= 50) & (local_s < 80)]
    assert stats.kstest(busy_s, "uniform", args=(50, 30)).pvalue > 0.01


def test_one_rate_for_ever_gives_the_moments_of_a_poisson_process() -> None:
    one = DiurnalArrivals(KEYS, (0.0,), (2.0,), 86_400.0, 100.0)
    poisson = PoissonArrivals(KEYS, 2.0, 100.0)
    ours, theirs = (list(islice(arrivals.times(5), 1000)) for arrivals in (one, poisson))
    assert ours == pytest.approx(theirs, rel=1e-12)


@given(
    steps=st.lists(
        st.tuples(st.floats(1e-3, 1e4), st.just(0.0) | st.floats(1e-3, 1e3)), min_size=1, max_size=6
    ).filter(lambda steps: any(rate for _, rate in steps)),
    seed=st.integers(0, 1000),
)
@CHECK
def test_no_moment_goes_back_or_falls_where_the_rate_is_nothing(
    steps: list[tuple[float, float]], seed: int
) -> None:
    ends_s = np.cumsum([width_s for width_s, _ in steps])
    starts_s, rates = [0.0, *ends_s[:-1].tolist()], [rate for _, rate in steps]
    period_s = float(ends_s[-1])
    arrivals = DiurnalArrivals(Streams(seed).keys("a", ["b"]), starts_s, rates, period_s, 0.0)
    last_s = 0.0
    for time_s in islice(arrivals.times(0), 300):
        assert time_s >= last_s
        local_s, slack_s = time_s % period_s, 1e-12 * time_s
        allowed = [
            start_s - slack_s <= local_s <= end_s + slack_s
            for start_s, end_s, rate in zip(starts_s, ends_s, rates, strict=True)
            if rate
        ]
        assert any(allowed) or period_s - local_s <= slack_s or local_s <= slack_s
        last_s = time_s


@pytest.mark.parametrize(
    ("until_s", "expected"),
    [
        (0.0, 0.0),
        (20.0, 0.0),
        (30.0, 5.0),
        (50.0, 15.0),
        (60.0, 45.0),
        (100.0, PER_DAY),
        (230.0, 2 * PER_DAY + 5.0),
    ],
)
def test_the_integrated_rate_by_hand(until_s: float, expected: float) -> None:
    assert integrated_rate(TIMES_S, RATES_PER_S, DAY_S, until_s) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("times_s", "rates_per_s", "period_s"),
    [
        ((), (), 1.0),
        ((0.0,), (1.0, 2.0), 1.0),
        ((0.5,), (1.0,), 1.0),
        ((0.0, 2.0, 2.0), (1.0, 1.0, 1.0), 3.0),
        ((0.0, 2.0), (1.0, 1.0), 2.0),
        ((0.0,), (0.0,), 1.0),
        ((0.0,), (-1.0,), 1.0),
        ((0.0,), (nan,), 1.0),
        ((0.0,), (inf,), 1.0),
    ],
)
def test_what_is_no_schedule_is_refused(
    times_s: tuple[float, ...], rates_per_s: tuple[float, ...], period_s: float
) -> None:
    with pytest.raises(ValueError, match="rates"):
        DiurnalArrivals(KEYS, times_s, rates_per_s, period_s, 10.0)


# --- trace ---------------------------------------------------------------------------------------

MOMENTS_S = [0.5, 2.0, 2.0, 3.25]


def test_a_trace_is_played_once_and_then_nothing_comes() -> None:
    arrivals = TraceArrivals(MOMENTS_S, None, [0.0])
    assert list(islice(arrivals.times(0), 7)) == [*MOMENTS_S, inf, inf, inf]


def test_a_trace_repeats_after_its_period() -> None:
    arrivals = TraceArrivals(MOMENTS_S, 4.0, [0.0])
    assert list(islice(arrivals.times(0), 9)) == [
        *MOMENTS_S,
        *(4 + moment_s for moment_s in MOMENTS_S),
        8.5,
    ]


def test_a_phone_with_an_offset_begins_in_the_middle() -> None:
    arrivals = TraceArrivals(MOMENTS_S, 4.0, [0.0, 2.0, 3.5])
    assert list(islice(arrivals.times(1), 6)) == [0.0, 0.0, 1.25, 2.5, 4.0, 4.0]
    assert list(islice(arrivals.times(2), 3)) == [1.0, 2.5, 2.5]


@given(
    gaps_s=st.lists(st.floats(0, 1e4), min_size=1, max_size=6),
    rest_s=st.floats(1e-3, 1e3),
    share=st.floats(0, 1),
    end_s=st.floats(0, 1e5),
)
@CHECK
def test_a_repeated_trace_never_goes_back_and_has_as_many_as_foreseen(
    gaps_s: list[float], rest_s: float, share: float, end_s: float
) -> None:
    times_s = np.cumsum(gaps_s).tolist()
    period_s = times_s[-1] + rest_s
    arrivals = TraceArrivals(times_s, period_s, [0.0, share * period_s])
    for row in (0, 1):
        found = list(islice(arrivals.times(row), 200))
        assert found[0] >= 0
        assert all(before <= after for before, after in pairwise(found))
    end_s = min(end_s, 20 * period_s)
    expected = traced_arrivals(times_s, period_s, end_s)
    # Rounding may leave a moment on the other side of the end.
    near = [abs(t - end_s) <= 1e-9 * end_s for t in islice(arrivals.times(0), 200)]
    assert abs(len(until(arrivals, 0, end_s)) - expected) <= sum(near)


def test_as_many_as_a_trace_lets_expect_by_hand() -> None:
    assert traced_arrivals(MOMENTS_S, None, 2.0) == 1
    assert traced_arrivals(MOMENTS_S, None, 1e9) == 4
    assert traced_arrivals(MOMENTS_S, 4.0, 6.5) == 4 + 3
    assert traced_arrivals(MOMENTS_S, 4.0, 6.5, has_offset=True) == 6.5


@pytest.mark.parametrize(
    ("times_s", "period_s", "offset_s"),
    [
        ([], None, 0.0),
        ([-1.0, 2.0], None, 0.0),
        ([1.0, inf], None, 0.0),
        ([nan], None, 0.0),
        ([2.0, 1.0], None, 0.0),
        ([1.0, nan, 2.0], None, 0.0),
        ([1.0, 2.0], 2.0, 0.0),
        ([1.0, 2.0], inf, 0.0),
        ([1.0, 2.0], None, 1.0),
        ([1.0, 2.0], 3.0, 3.5),
        ([1.0, 2.0], 3.0, -0.5),
    ],
)
def test_what_is_no_trace_is_refused(
    times_s: list[float], period_s: float | None, offset_s: float
) -> None:
    with pytest.raises(ValueError):
        TraceArrivals(times_s, period_s, [offset_s])
