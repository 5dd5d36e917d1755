from math import exp, isnan, log, sqrt

import pandas as pd
import pytest
from scipy import stats

from edgesim.sweep.pairs import ALL, compare_pairs, interval


def cells(rows: list[tuple[str, str, int, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["who", "where", "seed", "joules"])
    return frame.assign(status="complete")


WORLD = cells(
    [
        ("a", "x", 0, 10.0), ("b", "x", 0, 5.0), ("a", "y", 0, 20.0), ("b", "y", 0, 16.0),
        ("a", "x", 1, 12.0), ("b", "x", 1, 4.0), ("a", "y", 1, 30.0), ("b", "y", 1, 10.0),
    ]
)  # fmt: skip
DIMENSIONS = {"who": ("a", "b"), "where": ("x", "y")}


def test_an_interval_is_students() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 3, loc=mean, scale=stats.sem(values))
    assert (low, high) == pytest.approx(expected)
    assert mean == 3.75


def test_one_value_has_no_interval() -> None:
    mean, low, high = interval([3.0])
    assert mean == 3.0
    assert isnan(low)
    assert isnan(high)


def test_differences_are_averaged_within_a_seed_before_the_interval() -> None:
    found = compare_pairs(WORLD, DIMENSIONS, ["joules"])
    row = found[found["where"] == ALL].iloc[0]
    # Seed 0: (-5 - 4) / 2; seed 1: (-8 - 20) / 2.
    assert row.difference == pytest.approx((-4.5 - 14) / 2)
    half = stats.t.ppf(0.975, 1) * (9.5 / sqrt(2)) / sqrt(2)
    assert row.difference_high - row.difference == pytest.approx(half)
    logs = [(log(10 / 5) + log(20 / 16)) / 2, (log(3) + log(3)) / 2]
    assert row.ratio == pytest.approx(exp(sum(logs) / 2))
    assert (row.pairs, row.seeds, row.base, row["mean"]) == (4, 2, 18.0, 8.75)


def test_each_point_of_a_further_dimension_has_its_row() -> None:
    found = compare_pairs(WORLD, DIMENSIONS, ["joules"]).set_index("where")
    assert found.loc["x", "difference"] == pytest.approx((-5 - 8) / 2)
    assert found.loc["y", "difference"] == pytest.approx((-4 - 20) / 2)


def test_only_pairs_of_which_both_are_complete_count() -> None:
    broken = WORLD.copy()
    broken.loc[(broken.who == "b") & (broken["where"] == "y") & (broken.seed == 1), "status"] = (
        "failed"
    )
    row = compare_pairs(broken, DIMENSIONS, ["joules"]).iloc[0]
    assert row.pairs == 3
    assert row.difference == pytest.approx((-4.5 - 8) / 2)


def test_there_is_no_ratio_where_something_is_zero() -> None:
    zero = WORLD.assign(joules=WORLD.joules - 4)
    assert isnan(compare_pairs(zero, DIMENSIONS, ["joules"]).iloc[0].ratio)


def test_a_single_value_has_nothing_to_be_compared_with() -> None:
    assert compare_pairs(WORLD, {"who": ("a",), "where": ("x", "y")}, ["joules"]).empty
    assert compare_pairs(WORLD, {}, ["joules"]).empty
