"""Data sets, partitions and models by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.core.errors import EdgesimError
from edgesim.learning.catalogue import (
    DATASETS,
    MODELS,
    PARTITIONS,
    build_dataset,
    build_partition,
    parameters_of,
    shown_parameters,
)
from edgesim.learning.data import Dataset, digits, synthetic
from edgesim.learning.models import build_model
from edgesim.learning.partition import Partition

KINDS = {"data set": DATASETS, "partition": PARTITIONS, "model": MODELS}


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


@pytest.mark.parametrize(
    ("what", "name"), [(what, name) for what, entries in KINDS.items() for name in entries]
)
def test_everything_with_a_name_knows_its_parameters(what: str, name: str) -> None:
    entries = KINDS[what]
    schema = parameters_of(what, name, entries)
    assert schema is not None
    for file in entries[name].files:
        assert file in schema.model_fields
    text = shown_parameters(what, name, entries)
    assert not any(word in text for word in ("rng", "labels", "dataset", "clients,"))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("iid", {}),
        ("dirichlet", {"alpha": 0.5}),
        ("classes", {"classes_each": 2}),
        ("quantity", {"sigma": 0.7}),
        ("partly_dirichlet", {"share": 0.5, "alpha": 0.1}),
    ],
)
def test_every_partition_can_be_had_by_name(
    name: str, given: dict[str, Any], data: Dataset
) -> None:
    found = build_partition(name, data, 20, given, seed=3)
    assert len(found) == 20
    assert sorted(np.concatenate(found.rows)) == list(range(len(data.train)))
    again = build_partition(name, data, 20, given, seed=3)
    assert all((a == b).all() for a, b in zip(found.rows, again.rows, strict=True))
    other = build_partition(name, data, 20, given, seed=4)
    assert any(list(a) != list(b) for a, b in zip(found.rows, other.rows, strict=True))


def test_sources_are_clients() -> None:
    data = build_dataset("synthetic", {"clients": 6})
    found = build_partition("source", data, 6)
    assert [set(data.train.sources[rows].tolist()) for rows in found.rows] == [
        {k} for k in range(6)
    ]


def test_files_are_looked_for_beside_the_scenario(tmp_path: Path) -> None:
    for part in ("train", "dev"):
        (tmp_path / f"{part}.tsv").write_text("good\t1\nbad\t0\n")
    found = build_dataset("sentences", {"train": "train.tsv", "test": "dev.tsv"}, tmp_path)
    assert len(found.train) == 2
    with pytest.raises(EdgesimError, match="cannot be read"):
        build_dataset("sentences", {"train": "train.tsv", "test": "test.tsv"}, tmp_path)


def own_data(clients: int) -> Dataset:
    return synthetic(clients=clients)


def own_partition(labels: np.ndarray[Any, Any], clients: int, rng: Any, skip: int = 0) -> Partition:
    rows = np.arange(skip, len(labels))
    return Partition(tuple(np.array_split(rows, clients)), (True,) * clients)


def nothing(*_: Any, **__: Any) -> int:
    return 7


def test_ones_own_by_import_path(monkeypatch: pytest.MonkeyPatch, data: Dataset) -> None:
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    assert len(np.unique(build_dataset("mine:own_data", {"clients": 4}).train.sources)) == 4
    assert build_partition("mine:own_partition", data, 3, {"skip": 7}).rows[0][0] == 7
    with pytest.raises(EdgesimError, match="made a int, not a Dataset"):
        build_dataset("mine:nothing")
    with pytest.raises(EdgesimError, match="made a int, not a Partition"):
        build_partition("mine:nothing", data, 3)
    with pytest.raises(EdgesimError, match=r"data set 'mine:own_data' cannot be made.*clients"):
        build_dataset("mine:own_data")
    with pytest.raises(EdgesimError, match="neither a function nor a class"):
        build_dataset("mine:KINDS")
    with pytest.raises(EdgesimError, match="cannot be imported"):
        build_dataset("no_such_package:data")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("digit", {}, "there is no data set 'digit'; did you mean 'digits'"),
        ("synthetic", {"alfa": 1.0}, "parameter 'alfa': is not known; did you mean 'alpha'"),
        ("synthetic", {"alpha": "much"}, "parameter 'alpha': input should be a valid number"),
        ("synthetic", {"alpha": -1.0}, "cannot be made: alpha and beta are at least 0"),
        ("idx", {}, "parameter 'folder': is missing"),
    ],
)
def test_what_is_wrong_with_a_data_set(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgesimError, match=message):
        build_dataset(name, given)


def test_what_is_wrong_with_a_partition_or_a_model(data: Dataset) -> None:
    with pytest.raises(EdgesimError, match="there is no partition 'dirichlit'; did you mean"):
        build_partition("dirichlit", data, 3)
    with pytest.raises(EdgesimError, match="parameter 'alpha': is missing"):
        build_partition("dirichlet", data, 3)
    with pytest.raises(EdgesimError, match="model 'mlp': parameter 'hiden': is not known"):
        build_model("mlp", data, parameters={"hiden": [3]})


def test_names_are_known_without_torch() -> None:
    code = (
        "import sys, edgesim.learning.catalogue as c; c.build_partition('iid', c.build_dataset(), 9);"
        "sys.exit('torch' in sys.modules or 'simpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
