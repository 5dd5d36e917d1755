from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.core.errors import ConfigError, EdgesimError
from edgesim.nn.model import (
    LAYER_KINDS,
    PRECISIONS,
    Accuracy,
    Layer,
    ModelCost,
    Published,
    StateCounts,
)
from edgesim.nn.table import count_states, read_model, write_model
from edgesim.nn.zoo.mobilenets import mobilenet_v2_layers

FILE = """\
kind: model
name: mine
task: image classification
input: 32 x 32 x 3 uint8
input_bytes: 3072
output_bytes: 40
accuracy:
  fp32: {value: 0.91, metric: top-1 on CIFAR-10, source: my own run}
source: my own model
layers:
  - {name: stem, kind: conv, macs: 442368, parameters: 448, inputs: 3072, outputs: 16384, kernel: [3, 3]}
  - {name: dw, kind: depthwise, macs: 36864, parameters: 160, inputs: 16384, outputs: 4096, kernel: [3, 3], stride: 2, groups: 16}
  - {name: head, kind: dense, macs: 1.6e2, parameters: 170, inputs: 16, outputs: 10}
"""


def problems(tmp_path: Path, text: str, name: str = "mine.yaml") -> list[str]:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_model(tmp_path / name)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def model(**changes: object) -> ModelCost:
    layers = tuple(mobilenet_v2_layers())
    whole = ModelCost(
        name="mine",
        task="",
        input="224 x 224 x 3 uint8",
        layers=layers,
        input_bytes=150_528,
        output_bytes=4000,
        accuracy={"fp32": Accuracy(0.1 + 0.2, "top-1", "a: b, 'c' # d")},
        state_counts=StateCounts(1, 2, 3, "here"),
        source="there",
        published=Published(3.0e8, 3.5e6, "paper"),
        unsupported_on=frozenset({"gpu", "dsp"}),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(FILE, encoding="utf-8")
    found = read_model(tmp_path / "mine.yaml")
    assert (found.name, found.macs, found.parameters) == ("mine", 442368 + 36864 + 160, 778)
    assert found.layers[1] == Layer("dw", "depthwise", 36864, 160, 16384, 4096, (3, 3), 2, 16)
    assert found.accuracy == {"fp32": Accuracy(0.91, "top-1 on CIFAR-10", "my own run")}
    counts = found.state_counts
    assert (counts.conv, counts.fc, counts.rc) == (2, 1, 0)
    assert found == read_model(str(tmp_path / "mine.yaml"))
    assert found.unsupported_on == frozenset()
    assert found.published is None


def test_counts_that_are_given_are_not_counted(tmp_path: Path) -> None:
    text = FILE.replace("source: my own model", "source: s\nstate_counts: {conv: 7, fc: 8, rc: 9}")
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    assert read_model(tmp_path / "mine.yaml").state_counts.conv == 7


def test_all_mistakes_are_told_at_once_each_at_its_place(tmp_path: Path) -> None:
    text = (
        FILE.replace("macs: 442368", "macs: -1")
        .replace("kind: depthwise", "kind: depthwize")
        .replace(", outputs: 10", "")
        .replace("value: 0.91", "value: 91")
        .replace("input_bytes", "input_byts")
    )
    said = problems(tmp_path, text)
    assert [line.split(": ")[:2] for line in said] == [
        ["mine.yaml:1", "input_bytes"],
        ["mine.yaml:5", "input_byts"],
        ["mine.yaml:8", "accuracy.fp32.value"],
        ["mine.yaml:11", "layers[0].macs"],
        ["mine.yaml:12", "layers[1].kind"],
        ["mine.yaml:13", "layers[2].outputs"],
    ]
    assert "required" in said[0]
    assert "did you mean 'input_bytes'" in said[1]
    assert "greater than or equal to 0; found -1" in said[3]
    assert "did you mean 'depthwise'" in said[4]
    assert "required" in said[5]


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("name: head", "name: stem", "mine.yaml:13: layers[2].name", "line 11 already; rename"),
        ("name: mine", "name: yours", "mine.yaml:2: name", "write 'mine' or rename the file"),
        ("name: mine", "name: Mine", "mine.yaml:2: name", "begins with a-z"),
        ("kind: model", "kind: modle", "mine.yaml:1: kind", "did you mean 'model'"),
        ("outputs: 10", "outputs: 0", "mine.yaml:13: layers[2].outputs", "found 0"),
        ("1.6e2", "1.605e2", "mine.yaml:13: layers[2].macs", "valid integer; found 160.5"),
        ("1.6e2", "160 million", "mine.yaml:13: layers[2].macs", "valid integer"),
        ("1.6e2", ".inf", "mine.yaml:13: layers[2].macs", "valid integer"),
        ("1.6e2", "true", "mine.yaml:13: layers[2].macs", "valid integer"),
        ("kernel: [3, 3]}", "kernel: [3]}", "mine.yaml:11: layers[0].kernel", "2 entries"),
        ("kernel: [3, 3]}", "kernel: [0, 3]}", "mine.yaml:11: layers[0].kernel[0]", "found 0"),
        ("kernel: [3, 3]}", "kernal: [3, 3]}", "mine.yaml:11: layers[0].kernal", "'kernel'"),
        ("groups: 16", "groups: 0", "mine.yaml:12: layers[1].groups", "found 0"),
        ("fp32:", "fp23:", "mine.yaml:8: accuracy.fp23", "did you mean 'fp32'"),
        (", source: my own run", "", "mine.yaml:8: accuracy.fp32.source", "required"),
        ("name: head", "name: 0", "mine.yaml:13: layers[2].name", "valid string; found 0"),
        ("source: my own model", "unsupported_on: [gpuu]\nsource: s", "mine.yaml:9", "'gpu'"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_fix(
    tmp_path: Path, old: str, new: str, place: str, message: str
) -> None:
    assert old in FILE
    said = problems(tmp_path, FILE.replace(old, new, 1))
    (line,) = said
    assert line.startswith(place)
    assert message in line


def test_a_model_without_layers_is_refused(tmp_path: Path) -> None:
    head = FILE.partition("layers:")[0]
    assert "layers: needs at least 1 entry" in problems(tmp_path, head + "layers: []\n")[0]
    assert "layers: this key is required" in problems(tmp_path, head)[0]
    assert "layers: it should be a valid list" in problems(tmp_path, head + "layers: 3\n")[0]
    assert "layers[0]: expected keys" in problems(tmp_path, head + "layers: [3]\n")[0]


def test_what_is_no_mapping_or_no_file_is_refused(tmp_path: Path) -> None:
    assert "expected keys and values" in problems(tmp_path, "- 1\n")[0]
    assert "expected keys and values" in problems(tmp_path, "")[0]
    assert "not valid YAML" in problems(tmp_path, "a: [")[0]
    with pytest.raises(ConfigError, match="cannot be read"):
        read_model(tmp_path / "other.yaml")


def test_what_is_written_comes_back_as_it_was(tmp_path: Path) -> None:
    for number, changes in enumerate(
        (
            {},
            {"published": None, "accuracy": {}, "unsupported_on": frozenset()},
            {"task": "two\nlines: [x]", "source": "é ✓ \t # {y}", "input": "1e3"},
        )
    ):
        mine = model(name=f"m{number}", **changes)
        write_model(mine, tmp_path / f"m{number}.yaml")
        assert read_model(tmp_path / f"m{number}.yaml") == mine


def test_each_layer_is_one_line_without_what_goes_without_saying(tmp_path: Path) -> None:
    mine = model()
    write_model(mine, tmp_path / "mine.yaml")
    lines = (tmp_path / "mine.yaml").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("  - {name: ")]
    assert len(rows) == len(mine.layers)
    assert rows[0] == (
        "  - {name: conv_0, kind: conv, macs: 10838016, parameters: 864, inputs: 150528, "
        "outputs: 401408, kernel: [3, 3], stride: 2}"
    )
    assert lines[:2] == ["kind: model", "name: mine"]


def test_a_file_that_exists_is_replaced_only_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    write_model(model(), file)
    other = model(task="other")
    with pytest.raises(EdgesimError, match="overwrite=True"):
        write_model(other, file)
    assert read_model(file) == model()
    write_model(other, file, overwrite=True)
    assert read_model(file) == other


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "yours"}, "must be the file's own name"),
        ({"source": ""}, "source: "),
        ({"layers": ()}, "at least 1 entry"),
        ({"layers": 2 * (Layer("a", "conv", 1, 1, 1, 1),)}, "already"),
        ({"unsupported_on": frozenset({"toaster"})}, "toaster"),
        ({"source": "a\ud800"}, "mine.yaml"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(EdgesimError, match=message):
        write_model(model(**changes), tmp_path / "mine.yaml")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(EdgesimError, match="cannot be written"):
        write_model(model(), tmp_path / "no" / "mine.yaml")


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
sizes = st.integers(1, 10**15)
layer = st.builds(
    Layer,
    name=texts,
    kind=st.sampled_from(LAYER_KINDS),
    macs=st.integers(0, 10**15),
    parameters=st.integers(0, 10**15),
    inputs=sizes,
    outputs=sizes,
    kernel=st.tuples(sizes, sizes),
    stride=sizes,
    groups=sizes,
)
accuracy = st.builds(Accuracy, value=st.floats(0, 1), metric=texts, source=texts)


@given(
    layers=st.lists(layer, min_size=1, max_size=3, unique_by=lambda row: row.name),
    accuracy=st.dictionaries(st.sampled_from(PRECISIONS), accuracy),
    text=texts,
)
def test_any_model_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    layers: list[Layer],
    accuracy: dict[str, Accuracy],
    text: str,
) -> None:
    mine = model(
        layers=tuple(layers),
        accuracy=accuracy,
        source=text,
        input=text,
        task=text,
        state_counts=count_states(layers),
    )
    file = tmp_path_factory.mktemp("any") / "mine.yaml"
    write_model(mine, file)
    assert read_model(file) == mine
