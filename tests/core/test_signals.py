from collections.abc import Callable
from itertools import pairwise
from math import exp, floor, inf, nextafter, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.random import Streams, normals
from edgesim.core.signals import (
    ConstantBank,
    GaussMarkovBank,
    MarkovBank,
    Signal,
    SignalBank,
    TraceBank,
)

CHECK = settings(derandomize=True, deadline=None, max_examples=60)
ROWS = 7
NAMES = [f"phone_{i}" for i in range(ROWS)]
STREAMS = Streams(42)
STEPS = [0.1, 1 / 3, 0.7, 1e-3, 60.0]

DWELLS = (2.0, 5.0, 0.5)
JUMPS = ((0.0, 0.9, 0.1), (0.5, 0.0, 0.5), (0.25, 0.75, 0.0))


def markov(names: list[str] = NAMES) -> MarkovBank:
    return MarkovBank(
        STREAMS.keys("dwell", names), STREAMS.keys("jump", names), (-50, -65, -80), DWELLS, JUMPS
    )


def gauss(
    names: list[str] = NAMES, step_s: float = 0.1, low: float = -inf, high: float = inf
) -> GaussMarkovBank:
    return GaussMarkovBank(STREAMS.keys("gm", names), -60.0, 6.0, step_s, 4 * step_s, low, high)


OFFSETS = (0.0, 0.1, 1 / 3, 6.9, 7.0, 7.1, 1000.3)
BANKS: dict[str, Callable[[], SignalBank]] = {
    "constant": lambda: ConstantBank([float(i) for i in range(ROWS)]),
    "held trace": lambda: TraceBank((0, 0.3, 1.1, 4), (1, 2, 3, 4), offsets_s=OFFSETS),
    "looped trace": lambda: TraceBank(
        (0, 0.3, 1.1, 4), (1, 2, 3, 4), period_s=7.1, offsets_s=OFFSETS
    ),
    "markov": markov,
    "gauss-markov": gauss,
    "clipped gauss-markov": lambda: gauss(step_s=1 / 3, low=-63.0, high=-58.0),
}
each_bank = pytest.mark.parametrize("make", BANKS.values(), ids=list(BANKS))

# Arbitrary moments, and those at which pieces of the banks above begin and end.
TIMES = st.one_of(
    st.floats(0, 300),
    st.builds(lambda k, step_s: k * step_s, st.integers(0, 3000), st.sampled_from([0.1, 1 / 3])),
    st.builds(
        lambda k, start_s, offset_s: max(k * 7.1 + start_s - offset_s, 0.0),
        st.integers(0, 40),
        st.sampled_from([0.0, 0.3, 1.1, 4.0]),
        st.sampled_from(OFFSETS[:6]),
    ),
)


@each_bank
@given(times=st.lists(TIMES, min_size=1, max_size=12))
@CHECK
def test_a_bank_and_its_rows_agree_in_any_order_of_asking(
    make: Callable[[], SignalBank], times: list[float]
) -> None:
    bank = make()
    signals = [bank.signal(row) for row in range(len(bank))]
    for time_s in times:
        values = bank.values(time_s)
        assert values.dtype == np.float64
        assert values.tolist() == [signal.value(time_s) for signal in signals]
    last_s = times[-1]
    assert make().values(last_s).tolist() == bank.values(last_s).tolist()
    assert [make().signal(r).value(last_s) for r in range(ROWS)] == bank.values(last_s).tolist()


@pytest.mark.parametrize("rows", [1, 2, 5, 33, 1000])
@pytest.mark.parametrize("make", [markov, gauss], ids=["markov", "gauss-markov"])
def test_banks_of_any_size_agree_with_their_rows(
    make: Callable[[list[str]], SignalBank], rows: int
) -> None:
    bank = make([f"phone_{i}" for i in range(rows)])
    assert len(bank) == rows
    chosen = range(0, rows, max(1, rows // 20))
    for time_s in (0.0, 3.05, 47.0, 46.9, 120.0):
        values = bank.values(time_s)
        assert values.shape == (rows,)
        assert [values[r] for r in chosen] == [bank.signal(r).value(time_s) for r in chosen]


def test_a_rows_path_does_not_depend_on_its_neighbours() -> None:
    few, many = gauss(NAMES[:2]), gauss(NAMES)
    assert few.values(12.3).tolist() == many.values(12.3)[:2].tolist()
    few_states, many_states = markov(NAMES[:2]), markov(NAMES)
    assert few_states.values(12.3).tolist() == many_states.values(12.3)[:2].tolist()


@each_bank
@given(times=st.tuples(TIMES, TIMES), row=st.integers(0, ROWS - 1))
@CHECK
def test_segments_tile_the_interval_and_agree_with_the_values(
    make: Callable[[], SignalBank], times: tuple[float, float], row: int
) -> None:
    start_s, end_s = min(times), max(times)
    signal, other = make().signal(row), make().signal(row)
    at_s = start_s
    for from_s, to_s, value in signal.segments(start_s, end_s):
        assert from_s == at_s
        assert from_s < to_s <= end_s
        last_s = nextafter(to_s, 0)
        for time_s in (from_s, min((from_s + to_s) / 2, last_s), last_s):
            assert other.value(time_s) == value
        if to_s < end_s:
            assert other.next_change(from_s) == to_s
        at_s = to_s
    assert at_s == end_s


@each_bank
@given(time_s=TIMES, row=st.integers(0, ROWS - 1))
@CHECK
def test_the_next_change_is_the_end_of_the_piece_that_holds(
    make: Callable[[], SignalBank], time_s: float, row: int
) -> None:
    signal = make().signal(row)
    change_s = signal.next_change(time_s)
    start_s, end_s, value = signal.segment(time_s)
    assert start_s <= time_s < change_s
    assert change_s == end_s
    assert signal.value(time_s) == value
    if change_s < inf:
        assert signal.segment(change_s)[0] == change_s
        assert signal.segment(nextafter(change_s, 0))[2] == value


@each_bank
@given(forget=st.lists(TIMES, min_size=1, max_size=4), ahead=st.lists(TIMES, max_size=6))
@CHECK
def test_forgetting_the_past_keeps_the_future(
    make: Callable[[], SignalBank], forget: list[float], ahead: list[float]
) -> None:
    bank = make()
    signal, fresh = bank.signal(3), bank.signal(3)
    now_s = 0.0
    for forget_s in sorted(forget):
        for time_s in ahead:
            assert signal.value(now_s + time_s) == fresh.value(now_s + time_s)
        now_s = forget_s
        signal.forget(now_s)
    for time_s in sorted(ahead, reverse=True):
        assert signal.segment(now_s + time_s) == fresh.segment(now_s + time_s)
    assert signal.segment(now_s)[1:] == fresh.segment(now_s)[1:]


@pytest.mark.parametrize("make", [markov, gauss], ids=["markov", "gauss-markov"])
def test_forgetting_bounds_what_is_held(make: Callable[[], SignalBank]) -> None:
    signal: Any = make().signal(0)
    held = []
    for time_s in np.arange(0.0, 8000.0, 0.9).tolist():
        signal.value(time_s)
        signal.forget(time_s)
        held.append(len(signal._path))
    assert max(held[-1000:]) <= max(held[:1000]) <= 1024
    assert min(held[-1000:]) < 64


@pytest.mark.parametrize("make", [markov, gauss], ids=["markov", "gauss-markov"])
def test_asking_about_a_forgotten_time_is_refused(make: Callable[[], SignalBank]) -> None:
    signal = make().signal(0)
    signal.value(100)
    signal.forget(100)
    with pytest.raises(ValueError, match="forgotten"):
        signal.value(0)
    with pytest.raises(ValueError, match="forgotten"):
        signal.segment(0)


def test_a_constant_holds_for_ever() -> None:
    bank = ConstantBank([1.5, 2.5])
    signal = bank.signal(1)
    assert signal.next_change(1e12) == inf
    assert list(signal.segments(3, 9)) == [(3, 9, 2.5)]
    bank.values(0)[:] = 7  # what was handed out is the caller's own
    assert bank.values(0).tolist() == [1.5, 2.5]


# --- traces --------------------------------------------------------------------------------------


def _is_edge(signal: Signal, time_s: float, before: float, after: float) -> bool:
    return signal.value(time_s) == after and signal.value(nextafter(time_s, -1)) == before


@pytest.mark.parametrize("step_s", STEPS)
@pytest.mark.parametrize("offset_s", [0.0, 0.1, 1 / 3])
def test_a_looped_trace_changes_exactly_at_its_times(step_s: float, offset_s: float) -> None:
    n = 5
    times_s = [i * step_s for i in range(n)]
    period_s = n * step_s
    bank = TraceBank(times_s, [float(i) for i in range(n)], period_s=period_s, offsets_s=[offset_s])
    signal = bank.signal(0)
    checked = 0
    for cycle in range(400):
        for i in range(n):
            time_s = cycle * period_s + times_s[i] - offset_s
            if time_s > 0:
                assert _is_edge(signal, time_s, float((i - 1) % n), float(i))
                assert signal.next_change(nextafter(time_s, 0)) == time_s
                checked += 1
    assert checked > 200


def test_a_trace_is_held_after_its_last_time_unless_looped() -> None:
    held = TraceBank((0, 2, 5), (1, 2, 3)).signal(0)
    assert [held.value(t) for t in (0, 1.9, 2, 4.9, 5, 1e9)] == [1, 1, 2, 2, 3, 3]
    assert held.next_change(5) == inf
    looped = TraceBank((0, 2, 5), (1, 2, 3), period_s=6).signal(0)
    assert [looped.value(t) for t in (0, 5, 6, 7.9, 8, 11, 12, 6e6)] == [1, 3, 1, 1, 2, 3, 1, 1]


def test_an_offset_is_where_in_the_trace_a_row_starts() -> None:
    bank = TraceBank((0, 2, 5), (1, 2, 3), period_s=6, offsets_s=(0, 2, 5.5, 13))
    assert bank.values(0).tolist() == [1, 2, 3, 1]
    assert bank.values(0.5).tolist() == [1, 2, 1, 1]
    assert bank.values(3).tolist() == [2, 3, 2, 2]
    assert list(bank.signal(2).segments(0, 4)) == [(0, 0.5, 3), (0.5, 2.5, 1), (2.5, 4, 2)]


@given(
    gaps=st.lists(st.floats(1e-3, 10), min_size=1, max_size=6),
    offset_s=st.floats(0, 100),
    time_s=st.floats(0, 1e5),
)
@CHECK
def test_a_looped_trace_is_its_table_read_modulo_the_period(
    gaps: list[float], offset_s: float, time_s: float
) -> None:
    times_s = np.cumsum([0.0, *gaps])[:-1].tolist()
    period_s = times_s[-1] + gaps[-1]
    signal = TraceBank(
        times_s, range(len(times_s)), period_s=period_s, offsets_s=[offset_s]
    ).signal(0)
    local_s = (time_s + offset_s) % period_s
    near_edge = min(abs(local_s - edge_s) for edge_s in [*times_s, period_s]) < 1e-9
    index = max(i for i, start_s in enumerate(times_s) if start_s <= local_s)
    assert near_edge or signal.value(time_s) == index


@pytest.mark.parametrize(
    ("times_s", "values", "period_s", "message"),
    [
        ((), (), None, "one value per time"),
        ((0, 1), (1,), None, "one value per time"),
        ((1, 2), (1, 2), None, "begins at 0 s"),
        ((0, 2, 1), (1, 2, 3), None, "times must increase"),
        ((0, 1, 1), (1, 2, 3), None, "times must increase"),
        ((0, 1), (1, 2), 1.0, "period"),
        ((0, 1), (1, 2), 0.5, "period"),
        ((0,), (1,), 0.0, "period"),
        ((0, float("nan")), (1, 2), None, "times must increase"),
        ((0, 1), (1, 2), float("nan"), "period"),
    ],
)
def test_a_trace_out_of_order_is_refused(
    times_s: tuple[float, ...], values: tuple[float, ...], period_s: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TraceBank(times_s, values, period_s=period_s)


# --- Markov chain --------------------------------------------------------------------------------


def _stationary_shares() -> np.ndarray:
    """The share of time in each state, from the generator matrix of the chain."""
    rates = (np.array(JUMPS) - np.eye(3)) / np.array(DWELLS)[:, None]
    system = np.vstack([rates.T, np.ones(3)])
    return np.linalg.lstsq(system, np.array([0, 0, 0, 1.0]), rcond=None)[0]


def test_a_markov_signals_long_run_shares_are_the_stationary_distribution() -> None:
    signal = markov(["long"]).signal(0)
    batches, length_s = 60, 1000.0
    shares = np.zeros((batches, 3))
    states = {-50.0: 0, -65.0: 1, -80.0: 2}
    for batch in range(batches):
        for from_s, to_s, value in signal.segments(batch * length_s, (batch + 1) * length_s):
            shares[batch, states[value]] += (to_s - from_s) / length_s
    error = shares.std(axis=0, ddof=1) / sqrt(batches)
    assert (error < 0.01).all()
    assert (abs(shares.mean(axis=0) - _stationary_shares()) < 3.5 * error).all()


def test_a_markov_signals_dwells_and_jumps_are_those_asked_for() -> None:
    pieces = list(markov(["long"]).signal(0).segments(0, 60_000))[:-1]
    values = (-50.0, -65.0, -80.0)
    for i, value in enumerate(values):
        dwells = np.array([to_s - from_s for from_s, to_s, v in pieces if v == value])
        error = DWELLS[i] / sqrt(len(dwells))
        assert abs(dwells.mean() - DWELLS[i]) < 3.5 * error
        assert abs(dwells.std() / DWELLS[i] - 1) < 0.05  # as of an exponential law
        after = [b[2] for a, b in pairwise(pieces) if a[2] == value]
        for j, successor in enumerate(values):
            p = JUMPS[i][j]
            share = after.count(successor) / len(after)
            assert abs(share - p) <= 3.5 * sqrt(p * (1 - p) / len(after))


@pytest.mark.parametrize("time_s", [0.0, 0.6, 25.0])
def test_a_markov_signal_is_stationary_from_the_start(time_s: float) -> None:
    rows = 20_000
    values = markov([str(i) for i in range(rows)]).values(time_s)
    for value, share in zip((-50, -65, -80), _stationary_shares(), strict=True):
        assert abs((values == value).mean() - share) < 3.5 * sqrt(share * (1 - share) / rows)


def test_every_other_state_is_equally_likely_by_default() -> None:
    key = STREAMS.keys("equal", ["a", "b"])
    bank = MarkovBank(key[:1], key[1:], (0, 1, 2, 3), (1, 1, 1, 1))
    path = [value for _, _, value in bank.signal(0).segments(0, 12_000)]
    jumps = list(pairwise(path))
    for a in range(4):
        successors = [after for before, after in jumps if before == a]
        for b in range(4):
            p = 0 if a == b else 1 / 3
            share = successors.count(b) / len(successors)
            assert abs(share - p) <= 3.5 * sqrt(p * (1 - p) / len(successors))


@pytest.mark.parametrize(
    ("values", "dwells", "jumps", "message"),
    [
        ((1,), (1,), None, "at least two states"),
        ((1, 2), (1,), None, "at least two states"),
        ((1, 2), (1, 0), None, "must be positive"),
        ((1, 2), (1, -1), None, "must be positive"),
        ((1, 2), (1, inf), None, "must be positive"),
        ((1, 2), (1, float("nan")), None, "must be positive"),
        ((1, 2), (1, 1), ((0, 0.9), (1, 0)), "sum to 1"),
        ((1, 2), (1, 1), ((0.5, 0.5), (1, 0)), "diagonal"),
        ((1, 2), (1, 1), ((0, 1),), "jump probabilities"),
        ((1, 2, 3), (1, 1, 1), ((0, 2, -1), (1, 0, 0), (1, 0, 0)), "jump probabilities"),
        ((1, 2), (1, 1), ((0, float("nan")), (1, 0)), "jump probabilities"),
    ],
)
def test_a_markov_chain_out_of_order_is_refused(
    values: Any, dwells: Any, jumps: Any, message: str
) -> None:
    key = STREAMS.keys("bad", ["a"])
    with pytest.raises(ValueError, match=message):
        MarkovBank(key, key, values, dwells, jumps)


# --- Gauss-Markov --------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", STEPS)
def test_a_gauss_markov_signal_is_its_recursion_held_for_exactly_a_step(step_s: float) -> None:
    n = 3000
    signal = gauss(["a"], step_s).signal(0)
    noise = normals(STREAMS.key("gm", "a"), 0, n)
    keep = exp(-1 / 4)
    x = noise[0]
    value = signal.value(0)
    assert value == pytest.approx(-60 + 6 * x, rel=1e-12)
    for k in range(1, n):
        x = keep * x + sqrt(1 - keep * keep) * noise[k]
        before, value = value, signal.value(k * step_s)
        assert value == pytest.approx(-60 + 6 * x, rel=1e-12)
        assert _is_edge(signal, k * step_s, before, value)
        assert signal.next_change((k - 1) * step_s) == k * step_s


@given(step_s=st.floats(1e-3, 1e3), k=st.integers(1, 5000))
@CHECK
def test_a_gauss_markov_signal_changes_at_multiples_of_any_step(step_s: float, k: int) -> None:
    bank = gauss(["a"], step_s)
    signal = bank.signal(0)
    time_s = k * step_s
    assert signal.segment(time_s)[0] == time_s
    assert signal.segment(nextafter(time_s, 0))[:2] == ((k - 1) * step_s, time_s)
    assert bank.values(time_s)[0] == signal.value(time_s)
    assert bank.values(nextafter(time_s, 0))[0] == signal.value((k - 1) * step_s)


@pytest.mark.parametrize("time_s", [0.0, 3.0])
def test_a_gauss_markov_signal_is_stationary_from_the_start(time_s: float) -> None:
    rows = 20_000
    values = gauss([str(i) for i in range(rows)]).values(time_s)
    assert abs(values.mean() + 60) < 3.5 * 6 / sqrt(rows)
    assert abs(values.std() - 6) < 3.5 * 6 / sqrt(2 * rows)


def test_a_gauss_markov_path_has_the_mean_deviation_and_correlation_asked_for() -> None:
    n, step_s, keep = 100_000, 0.5, exp(-1 / 4)
    signal = gauss(["long"], step_s).signal(0)
    path = np.array([value for _, _, value in signal.segments(0, n * step_s)])
    assert len(path) == n
    correlated = (1 + keep) / (1 - keep)  # each number is worth so much less
    assert abs(path.mean() + 60) < 3.5 * 6 * sqrt(correlated / n)
    squared = (1 + keep**2) / (1 - keep**2)
    assert abs(path.std() - 6) < 3.5 * 6 * sqrt(squared / (2 * n))
    for lag in (1, 4):
        found = np.corrcoef(path[:-lag], path[lag:])[0, 1]
        assert abs(found - keep**lag) < 4 * sqrt(correlated / n)
    assert abs(np.corrcoef(path[:-1], path[1:])[0, 1] - keep) < 3.5 * sqrt((1 - keep**2) / n)


def test_clipping_cuts_the_values_and_not_the_process() -> None:
    free, cut = gauss(), gauss(low=-62.0, high=-57.0)
    times = [k * 0.1 for k in range(400)]
    everything = np.array([free.values(t) for t in times])
    assert (everything < -62).any()
    assert (everything > -57).any()
    assert (np.array([cut.values(t) for t in times]) == everything.clip(-62, -57)).all()
    signal = cut.signal(2)
    assert [signal.value(t) for t in times] == everything[:, 2].clip(-62, -57).tolist()


def test_no_deviation_means_a_constant() -> None:
    bank = GaussMarkovBank(STREAMS.keys("gm", NAMES), -60.0, 0.0, 1.0, 5.0)
    assert {floor(v) for t in (0, 9, 99) for v in bank.values(t)} == {-60}


@pytest.mark.parametrize(
    "bad",
    [
        {"std": -1},
        {"std": float("nan")},
        {"step_s": 0},
        {"step_s": -1},
        {"correlation_time_s": 0},
        {"correlation_time_s": float("nan")},
        {"low": 1, "high": 0},
    ],
)
def test_a_gauss_markov_signal_out_of_order_is_refused(bad: dict[str, float]) -> None:
    good = {"mean": 0.0, "std": 1.0, "step_s": 1.0, "correlation_time_s": 1.0}
    with pytest.raises(ValueError, match=next(iter(bad))):
        GaussMarkovBank(STREAMS.keys("gm", NAMES), **(good | bad))
