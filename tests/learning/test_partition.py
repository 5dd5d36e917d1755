from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.core.errors import EdgesimError
from edgesim.learning.partition import (
    Partition,
    Rows,
    by_classes,
    by_dirichlet,
    by_quantity,
    by_source,
    iid,
    partly_dirichlet,
    plot_partition,
)

matplotlib.use("Agg")

Maker = Callable[[Rows, int, np.random.Generator], Partition]

MAKERS: dict[str, Maker] = {
    "iid": iid,
    "dirichlet": lambda labels, n, rng: by_dirichlet(labels, n, 0.1, rng),
    "dirichlet, mild": lambda labels, n, rng: by_dirichlet(labels, n, 100.0, rng),
    "quantity": lambda labels, n, rng: by_quantity(labels, n, 1.5, rng),
    "half": lambda labels, n, rng: partly_dirichlet(labels, n, 0.5, 0.1, rng),
    "all": lambda labels, n, rng: partly_dirichlet(labels, n, 1.0, 0.1, rng),
    "none": lambda labels, n, rng: partly_dirichlet(labels, n, 0.0, 0.1, rng),
}


def labels_of(n: int, classes: int, seed: int) -> Rows:
    return np.random.default_rng(seed).integers(0, classes, n)


@given(
    st.sampled_from(sorted(MAKERS)),
    st.integers(1, 40),
    st.integers(0, 300),
    st.integers(1, 12),
    st.integers(0, 2**32),
)
def test_every_sample_is_given_once_to_nobody_empty_and_so_again(
    name: str, clients: int, spare: int, classes: int, seed: int
) -> None:
    labels = labels_of(clients + spare, classes, seed)
    found = MAKERS[name](labels, clients, np.random.default_rng(seed))
    assert len(found) == len(found.is_iid) == clients
    assert np.sort(np.concatenate(found.rows)).tolist() == list(range(len(labels)))
    assert found.sizes.min() >= 1
    again = MAKERS[name](labels, clients, np.random.default_rng(seed))
    assert all((a == b).all() for a, b in zip(found.rows, again.rows, strict=True))
    assert found.histogram(labels, classes).sum() == len(labels)


@given(st.integers(1, 20), st.integers(0, 200), st.floats(0.01, 100), st.integers(0, 2**32))
def test_where_sizes_are_left_to_chance_clients_may_be_empty_but_nothing_is_lost(
    clients: int, samples: int, alpha: float, seed: int
) -> None:
    labels = labels_of(samples + 1, 4, seed)
    found = by_dirichlet(labels, clients, alpha, np.random.default_rng(seed), least=0)
    assert np.sort(np.concatenate(found.rows)).tolist() == list(range(samples + 1))


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 500), st.integers(0, 2**32))
def test_no_client_has_more_classes_than_asked_for(
    clients: int, each: int, spare: int, seed: int
) -> None:
    classes = min(5, clients * each)
    labels = np.concatenate([np.arange(classes), labels_of(clients * each + spare, classes, seed)])
    if each > classes:
        return
    found = by_classes(labels, clients, each, np.random.default_rng(seed))
    assert np.sort(np.concatenate(found.rows)).tolist() == list(range(len(labels)))
    assert ((found.histogram(labels, classes) > 0).sum(axis=1) <= each).all()


def test_a_small_alpha_gives_few_labels_and_a_large_one_all() -> None:
    labels = np.repeat(np.arange(10), 600)
    counts = {
        alpha: by_dirichlet(labels, 60, alpha, np.random.default_rng(1)).histogram(labels, 10)
        for alpha in (0.1, 100.0)
    }
    top = {alpha: (h.max(axis=1) / h.sum(axis=1)).mean() for alpha, h in counts.items()}
    assert top[0.1] > 0.6
    assert top[100.0] < 0.2
    assert {int(h.sum(axis=1).max()) for h in counts.values()} == {100}


def test_sizes_differ_as_the_lognormal_does() -> None:
    labels = labels_of(20_000, 10, 1)
    sizes = by_quantity(labels, 200, 1.0, np.random.default_rng(1)).sizes
    assert np.log(sizes).std() == pytest.approx(1.0, abs=0.15)


def test_as_many_clients_are_skewed_as_asked_for() -> None:
    labels = np.repeat(np.arange(10), 400)
    found = partly_dirichlet(labels, 40, 0.25, 0.1, np.random.default_rng(2))
    assert sum(found.is_iid) == 30
    counts = found.histogram(labels, 10)
    kinds = np.array(found.is_iid)
    top = counts.max(axis=1) / counts.sum(axis=1)
    assert top[kinds].max() < 0.3
    assert top[~kinds].mean() > 0.5


def test_a_client_has_its_own_source_or_several() -> None:
    sources = np.array([7, 3, 7, 9, 3, 5])
    alone = by_source(sources, None, np.random.default_rng(1))
    assert [rows.tolist() for rows in alone.rows] == [[1, 4], [5], [0, 2], [3]]
    two = by_source(sources, 2, np.random.default_rng(1))
    assert sorted(np.concatenate(two.rows).tolist()) == list(range(6))
    for rows in two.rows:
        others = np.setdiff1d(np.arange(6), rows)
        assert not set(sources[rows]) & set(sources[others])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda labels, rng: iid(labels, 11, rng), "10 samples are not enough for 11 clients"),
        (lambda labels, rng: iid(labels, 0, rng), "at least 1 client"),
        (lambda labels, rng: by_dirichlet(labels, 2, 0.0, rng), "above 0"),
        (lambda labels, rng: by_dirichlet(labels, 2, float("nan"), rng), "above 0"),
        (lambda labels, rng: by_classes(labels, 2, 9, rng), "from 1 to"),
        (lambda labels, rng: by_classes(labels, 1, 1, rng), "cannot hold"),
        (lambda labels, rng: by_quantity(labels, 2, -1.0, rng), "at least 0"),
        (lambda labels, rng: by_source(np.empty(0, np.int64), 2, rng), "does not know"),
        (lambda labels, rng: by_source(labels, 99, rng), "99 clients"),
        (lambda labels, rng: partly_dirichlet(labels, 2, 1.5, 0.1, rng), r"in \[0, 1\]"),
    ],
)
def test_what_cannot_be_is_said(
    make: Callable[[Rows, np.random.Generator], Partition], message: str
) -> None:
    with pytest.raises(EdgesimError, match=message):
        make(np.arange(10) % 3, np.random.default_rng(1))


def test_the_plot_shows_every_sample() -> None:
    import matplotlib.pyplot as plt

    labels = labels_of(500, 4, 1)
    found = by_dirichlet(labels, 12, 0.2, np.random.default_rng(1))
    ax = plot_partition(found, labels, ["a", "b", "c", "d"])
    assert sum(bar.get_height() for stack in ax.containers for bar in stack) == 500
    plt.close("all")
