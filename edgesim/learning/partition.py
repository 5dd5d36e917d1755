"""Who has which samples: partitions of a data set among clients.

Each function takes labels (or sources) and gives one array of rows per client. Every row is given to
exactly one client, and the same arguments give the same partition.

Reference for the label-skewed ones: Hsu, Qi, Brown, "Measuring the effects of non-identical data
distribution for federated visual classification", arXiv 1909.06335; McMahan et al., AISTATS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Partition",
    "by_classes",
    "by_dirichlet",
    "by_quantity",
    "by_source",
    "iid",
    "partly_dirichlet",
    "plot_partition",
]

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Partition:
    """Rows of a data set's ``train`` by client.

    Attributes:
        rows: of each client, increasing.
        is_iid: of each client, whether its samples were drawn as if from everybody's.
    """

    rows: tuple[Rows, ...]
    is_iid: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sizes(self) -> Rows:
        """Samples of each client."""
        return np.array([len(each) for each in self.rows], np.int64)

    def histogram(self, labels: Rows, classes: int) -> Rows:
        """Samples of each client (rows) and label (columns)."""
        counts = [np.bincount(labels[each], minlength=classes) for each in self.rows]
        return np.array(counts, np.int64).reshape(len(self.rows), classes)


def iid(labels: Rows, clients: int, rng: np.random.Generator) -> Partition:
    """As many samples for each client (one more for some), drawn from all.

    Raises:
        EdgesimError: if there are fewer samples than clients.
    """
    _enough(labels, clients)
    return _made(np.array_split(rng.permutation(len(labels)), clients), True)


def by_dirichlet(
    labels: Rows,
    clients: int,
    alpha: float,
    rng: np.random.Generator,
    *,
    least: int = 1,
) -> Partition:
    """Each client has as many samples, its labels in shares of its own: Dirichlet(alpha) times prior.

    Labels that have run out give their share to the others, so that the last clients served are less
    skewed than alpha says: who is last is random.

    Args:
        labels: shape ``(n,)``.
        clients: how many there are.
        alpha: concentration, above 0: small ones give each client few labels.
        rng: draws.
        least: samples that each client has at least; with 0 the sizes too are left to chance, label by
            label (as in Yurochkin et al., ICML 2019), and clients may be empty.

    Raises:
        EdgesimError: if alpha is not above 0, or there are fewer samples than clients.
    """
    if not alpha > 0:
        raise EdgesimError(f"alpha of a Dirichlet partition must be above 0; found {alpha:g}")
    pools = _pools(labels, rng)
    if least == 0:
        found: list[list[Rows]] = [[] for _ in range(clients)]
        for pool in pools:
            shares = rng.dirichlet(np.full(clients, alpha))
            ends = np.round(np.cumsum(shares)[:-1] * len(pool)).astype(int)
            for client, part in enumerate(np.split(pool, ends)):
                found[client].append(part)
        return _made([np.concatenate(parts) for parts in found], False)
    _enough(labels, clients, least)
    prior = np.array([len(pool) for pool in pools]) / len(labels)
    sizes = np.full(clients, len(labels) // clients)
    sizes[: len(labels) % clients] += 1
    rows: list[Rows] = [np.empty(0, np.int64)] * clients
    for client in rng.permutation(clients):
        shares = rng.dirichlet(np.maximum(alpha * prior * len(pools), 1e-12))
        rows[client] = _drawn(pools, shares, int(sizes[client]), rng)
    return _made(rows, False)


def by_classes(
    labels: Rows, clients: int, classes_each: int, rng: np.random.Generator
) -> Partition:
    """Each client has samples of so many labels at most: McMahan's shards.

    Samples sorted by label are cut into ``clients x classes_each`` shards of (almost) one size, none of
    which crosses from one label into the next where that can be avoided; each client gets
    ``classes_each`` at random.

    Raises:
        EdgesimError: if there are fewer samples than shards, or no labels are asked for.
    """
    shards = clients * classes_each
    present = len(np.unique(labels))
    if not 1 <= classes_each <= present:
        raise EdgesimError(f"classes per client must be from 1 to {present}; found {classes_each}")
    if shards < present:
        raise EdgesimError(
            f"{clients} clients with {classes_each} classes each cannot hold {present} classes"
        )
    _enough(labels, shards)
    pools = _pools(labels, rng)
    # Shards of each label in proportion to its samples, at least one, largest remainders first.
    exact = np.array([len(pool) for pool in pools]) * shards / len(labels)
    counts = np.maximum(np.floor(exact).astype(int), 1)
    while counts.sum() < shards:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > shards:
        movable = np.where(counts > 1, exact - counts, np.inf)
        counts[np.argmin(movable)] -= 1
    parts = [
        part for pool, n in zip(pools, counts, strict=True) for part in np.array_split(pool, n)
    ]
    order = rng.permutation(shards)
    return _made(
        [np.concatenate([parts[k] for k in order[c::clients]]) for c in range(clients)], False
    )


def by_quantity(
    labels: Rows, clients: int, sigma: float, rng: np.random.Generator, *, least: int = 1
) -> Partition:
    """Labels are IID, numbers of samples are not: lognormal with this deviation.

    Raises:
        EdgesimError: if sigma is negative, or there are too few samples.
    """
    if not sigma >= 0:
        raise EdgesimError(f"sigma of a quantity skew must be at least 0; found {sigma:g}")
    _enough(labels, clients, least)
    weights = rng.lognormal(0.0, sigma, clients)
    spare = len(labels) - least * clients
    ends = np.round(np.cumsum(weights / weights.sum()) * spare).astype(int)
    sizes = least + np.diff(ends, prepend=0)
    return _made(np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1]), True)


def by_source(sources: Rows, clients: int | None, rng: np.random.Generator) -> Partition:
    """Each client has what comes from one source (writer, speaker), or from several.

    Args:
        sources: shape ``(n,)``.
        clients: how many; ``None`` for one per source, in their order. With fewer than there are sources,
            each gets the samples of several at random.
        rng: deals them out.

    Raises:
        EdgesimError: if the data set knows no sources, or has fewer than clients.
    """
    if not len(sources):
        raise EdgesimError("the data set does not know where its samples come from")
    present = np.unique(sources)
    wanted = len(present) if clients is None else clients
    if not 1 <= wanted <= len(present):
        raise EdgesimError(f"there are {len(present)} sources, but {wanted} clients")
    dealt = present if wanted == len(present) else rng.permutation(present)
    owner = dict(zip(dealt.tolist(), np.arange(len(dealt)) % wanted, strict=True))
    owners = np.array([owner[source] for source in sources.tolist()])
    return _made([np.flatnonzero(owners == client) for client in range(wanted)], False)


def partly_dirichlet(
    labels: Rows, clients: int, share: float, alpha: float, rng: np.random.Generator
) -> Partition:
    """AutoFL's heterogeneity: a share of the clients non-IID with Dirichlet(alpha), the rest IID.

    Source: Kim and Wu, "AutoFL", MICRO 2021: M % of the devices have non-IID data (Dirichlet 0.1).

    Args:
        labels: shape ``(n,)``.
        clients: how many there are.
        share: of them that are non-IID, in [0, 1]; who is, is random.
        alpha: concentration of theirs.
        rng: draws.

    Raises:
        EdgesimError: if the share is none, or as for the others.
    """
    if not 0 <= share <= 1:
        raise EdgesimError(f"share of non-IID clients must be in [0, 1]; found {share:g}")
    _enough(labels, clients)
    order = rng.permutation(clients)
    skewed = np.sort(order[: round(share * clients)])
    others = np.setdiff1d(np.arange(clients), skewed)
    # First everybody's samples are dealt out as if IID, then those of the skewed among themselves.
    dealt = iid(labels, clients, rng).rows
    rows: list[Rows] = list(dealt)
    if len(skewed):
        theirs = np.sort(np.concatenate([dealt[client] for client in skewed]))
        again = by_dirichlet(labels[theirs], len(skewed), alpha, rng)
        for client, found in zip(skewed, again.rows, strict=True):
            rows[client] = theirs[found]
    is_iid = np.isin(np.arange(clients), others)
    return Partition(tuple(np.sort(each) for each in rows), tuple(is_iid.tolist()))


def plot_partition(
    partition: Partition, labels: Rows, classes: Sequence[str], *, ax: Axes | None = None
) -> Axes:
    """Samples of each client, stacked by label.

    Args:
        partition: of whom.
        labels: of the data set.
        classes: names of the labels.
        ax: where to draw; by default a new figure.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    counts = partition.histogram(labels, len(classes))
    colours = plt.get_cmap("tab20" if len(classes) <= 20 else "viridis", len(classes))
    below = np.zeros(len(partition))
    for label, name in enumerate(classes):
        heights = counts[:, label]
        ax.bar(
            range(len(partition)),
            heights,
            bottom=below,
            width=0.9,
            color=colours(label),
            label=name,
        )
        below += heights
    ax.set(xlabel="client", ylabel="samples", xlim=(-0.6, len(partition) - 0.4))
    if len(classes) <= 20:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _pools(labels: Rows, rng: np.random.Generator) -> list[Rows]:
    """The rows of each label that there is, in random order."""
    return [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]


def _drawn(
    pools: list[Rows], shares: NDArray[np.float64], size: int, rng: np.random.Generator
) -> Rows:
    """Take so many rows out of the pools, in these shares as far as there are any left."""
    taken: list[Rows] = []
    while size:
        left = np.array([len(pool) for pool in pools])
        weights = np.where(left > 0, shares, 0.0)
        if not weights.sum() > 0:
            weights = left.astype(float)  # all that was wanted has run out
        counts = np.minimum(rng.multinomial(size, weights / weights.sum()), left)
        for k, n in enumerate(counts):
            taken.append(pools[k][:n])
            pools[k] = pools[k][n:]
        size -= int(counts.sum())
    return np.concatenate([np.empty(0, np.int64), *taken])


def _made(rows: Sequence[Rows], is_iid: bool) -> Partition:
    return Partition(tuple(np.sort(each) for each in rows), (is_iid,) * len(rows))


def _enough(labels: Rows, clients: int, least: int = 1) -> None:
    if clients < 1:
        raise EdgesimError(f"there must be at least 1 client; found {clients}")
    if len(labels) < clients * least:
        raise EdgesimError(
            f"{len(labels)} samples are not enough for {clients} clients with at least {least} each"
        )
