from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.controllers.qlearning import DTYPES, Binning, QTable


def table(dtype: str = "float64", states: int = 4, actions: int = 3) -> QTable:
    return QTable(states, actions, np.random.default_rng(1), (-1.0, 0.0), dtype)


def test_states_are_numbered_by_bins_the_last_feature_fastest() -> None:
    binning = Binning([(10,), (0.25, 0.75)])
    assert binning.sizes == (2, 3)
    assert binning.states == 6
    values = [(a, b) for a in (0, 10) for b in (0.0, 0.25, 0.75)]
    assert [binning.state(value) for value in values] == list(range(6))


def test_an_edge_belongs_to_the_upper_bin_and_no_number_to_the_lowest() -> None:
    binning = Binning([(-80.0,)])
    assert [binning.state([x]) for x in (-80.1, -80.0, nan)] == [0, 1, 0]


@given(
    st.lists(
        st.lists(st.floats(-9, 9), max_size=4, unique=True).map(sorted), min_size=1, max_size=4
    ),
    st.data(),
)
def test_no_two_combinations_of_bins_share_a_state(
    edges: list[list[float]], data: st.DataObject
) -> None:
    binning = Binning(edges)
    values = data.draw(st.lists(st.floats(-10, 10), min_size=len(edges), max_size=len(edges)))
    bins = [sum(value >= edge for edge in each) for value, each in zip(values, edges, strict=True)]
    assert binning.state(values) == np.ravel_multi_index(bins, binning.sizes)


def test_initial_values_are_within_their_range() -> None:
    values = QTable(200, 50, np.random.default_rng(1), (-60.0, -10.0)).values
    assert values.min() >= -60
    assert values.max() <= -10
    assert values.std() > 10


def test_the_first_of_the_best_allowed_actions_is_taken() -> None:
    q = table()
    q.values[2] = [5.0, 7.0, 7.0]
    assert q.best(2, np.array([0, 1, 2])) == 1
    assert q.best(2, np.array([0, 2])) == 2
    assert q.best(2, np.array([0])) == 0
    assert q.highest(2, np.array([0, 2])) == 7.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_update_moves_a_value_by_the_rate(dtype: str) -> None:
    q = table(dtype)
    q.values[1] = [0.0, -8.0, 0.0]
    q.update(1, 1, -4.0, 0.25)
    assert q.values[1].tolist() == [0.0, -7.0, 0.0]


def test_a_compact_table_holds_no_more_than_its_numbers_do() -> None:
    q = table("float16")
    q.update(0, 0, -1e9, 1.0)
    assert q.values[0, 0] == np.finfo("float16").min
    q.update(0, 0, 1e9, 1.0)
    assert q.values[0, 0] == np.finfo("float16").max


def test_its_memory_is_that_of_the_papers_table() -> None:
    assert QTable(3072, 66, np.random.default_rng(1), dtype="float16").nbytes == 405_504


def test_columns_are_adopted_where_there_is_one_like_it() -> None:
    here, there = table(actions=3), table(actions=2)
    there.values[...] = [[1.0, 2.0]] * 4
    before = here.values[:, 1].copy()
    assert here.adopt(there.values, {0: 1, 1: None, 2: 0}.__getitem__) == 2
    assert (here.values[:, 0] == 2).all()
    assert (here.values[:, 2] == 1).all()
    assert (here.values[:, 1] == before).all()


def test_columns_of_a_table_with_other_states_are_refused() -> None:
    with pytest.raises(ValueError, match="5 states, not 4"):
        table(states=4).adopt(np.zeros((5, 3)), lambda column: column)
