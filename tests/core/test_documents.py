from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from edgesim.core.documents import (
    Document,
    Schema,
    dotted,
    parse_document,
    read_document,
    validate,
)
from edgesim.core.errors import ConfigError

CHECK = settings(derandomize=True, deadline=None, max_examples=200)


class Camera(Schema):
    kind: Literal["camera"]
    rate_hz: Annotated[float, Field(gt=0)]
    deadline_ms: float | None = None


class Playback(Schema):
    kind: Literal["playback", "replay"]
    times_s: list[float]
    loop: bool = False


Job = Annotated[Camera | Playback, Field(discriminator="kind")]


class Group(Schema):
    profile: Literal["mi_8_pro", "galaxy_s10e"]
    count: Annotated[int, Field(ge=1)] = 1
    extra: Job | None = None


class World(Schema):
    seed: int
    until_s: float = 10.0
    name: str = "world"
    jobs: dict[str, Job] = {}
    queue: list[Job] = []
    phones: list[Group] = []

    @model_validator(mode="after")
    def _named(self) -> "World":
        if self.name == "nameless":
            raise ValueError("A world needs a name")
        return self


def load(text: str) -> World:
    return validate(parse_document(text, "w.yaml"), World)


def refusal(text: str) -> list[str]:
    """The lines of the error that this text gives."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


def test_a_good_document_becomes_its_schema() -> None:
    world = load(
        """
        seed: 3
        until_s: 60
        jobs:
          front: {kind: camera, rate_hz: 2.5}
          old: {kind: replay, times_s: [0, 1.5], loop: true}
        phones:
          - profile: mi_8_pro
            count: 2
        """
    )
    assert world == World(
        seed=3,
        until_s=60.0,
        jobs={
            "front": Camera(kind="camera", rate_hz=2.5),
            "old": Playback(kind="replay", times_s=[0, 1.5], loop=True),
        },
        phones=[Group(profile="mi_8_pro", count=2)],
    )
    with pytest.raises(ValidationError, match="frozen"):
        world.seed = 4


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param(
            "seed: 1\nuntil: 5\n",
            [
                "w.yaml:2: until: unknown key; did you mean 'until_s'? "
                "Known: jobs, name, phones, queue, seed, until_s"
            ],
            id="unknown key",
        ),
        pytest.param(
            "seed: 1\nphones:\n  - profile: mi_8_pro\n    cuont: 3\n",
            [
                "w.yaml:4: phones[0].cuont: unknown key; did you mean 'count'? "
                "Known: count, extra, profile"
            ],
            id="unknown key in a list",
        ),
        pytest.param(
            "until_s: 4\nname: x\n",
            ["w.yaml:1: seed: this key is required and missing"],
            id="missing key",
        ),
        pytest.param(
            "seed: 1\njobs:\n  front:\n    kind: camera\n",
            ["w.yaml:3: jobs.front.rate_hz: this key is required and missing"],
            id="missing key in a union",
        ),
        pytest.param(
            "seed: 1.5\n",
            ["w.yaml:1: seed: it should be a valid integer; found 1.5"],
            id="float for int",
        ),
        pytest.param(
            "seed: '1'\n",
            ["w.yaml:1: seed: it should be a valid integer; found '1'"],
            id="text for int",
        ),
        pytest.param(
            "seed: true\n",
            ["w.yaml:1: seed: it should be a valid integer; found true"],
            id="bool for int",
        ),
        pytest.param(
            "seed: 1\nname: 5\n",
            ["w.yaml:2: name: it should be a valid string; found 5"],
            id="int for text",
        ),
        pytest.param(
            "seed:\n",
            ["w.yaml:1: seed: it should be a valid integer; found nothing"],
            id="nothing for int",
        ),
        pytest.param(
            "seed: 1\n\nuntil_s: .nan\n",
            ["w.yaml:3: until_s: it should be a finite number; found nan"],
            id="nan",
        ),
        pytest.param(
            "seed: 1\nuntil_s: -.inf\n",
            ["w.yaml:2: until_s: it should be a finite number; found -inf"],
            id="inf",
        ),
        pytest.param(
            "seed: 1\nuntil_s: 1e999\n",
            ["w.yaml:2: until_s: it should be a finite number; found inf"],
            id="overflow to inf",
        ),
        pytest.param(
            "seed: 1\nphones:\n- profile: mi_8_pro\n  count: 0\n",
            ["w.yaml:4: phones[0].count: it should be greater than or equal to 1; found 0"],
            id="out of range",
        ),
        pytest.param(
            "seed: 1\nphones:\n- {profile: mi8_pro}\n",
            [
                "w.yaml:3: phones[0].profile: found 'mi8_pro'; did you mean 'mi_8_pro'? "
                "Known: galaxy_s10e, mi_8_pro"
            ],
            id="not one of the choices",
        ),
        pytest.param(
            "seed: 1\nphones: {profile: mi_8_pro}\n",
            ["w.yaml:2: phones: it should be a valid list; found {'profile': 'mi_8_pro'}"],
            id="mapping for list",
        ),
        pytest.param(
            "seed: 1\nname: nameless\n",
            ["w.yaml:1: a world needs a name"],
            id="the schema's own check",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(text: str, lines: list[str]) -> None:
    assert refusal(text) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "seed: 1\njobs:\n  front:\n    kind: camra\n    rate_hz: 1\n",
            [
                "w.yaml:4: jobs.front.kind: unknown kind 'camra'; did you mean 'camera'? "
                "Known: camera, playback, replay"
            ],
        ),
        (
            "seed: 1\nqueue:\n- rate_hz: 1\n",
            ["w.yaml:3: queue[0]: needs a key 'kind', one of camera, playback, replay"],
        ),
        (
            "seed: 1\nqueue:\n- kind: camera\n  rate_hz: 0\n",
            ["w.yaml:4: queue[0].rate_hz: it should be greater than 0; found 0"],
        ),
        (
            "seed: 1\nqueue:\n- {kind: camera, rate_hz: 1}\n- kind: replay\n  times_s: [0, x]\n",
            ["w.yaml:5: queue[1].times_s[1]: it should be a valid number; found 'x'"],
        ),
        (
            "seed: 1\nqueue:\n- kind: playback\n  times_s: []\n  rate_hz: 1\n",
            ["w.yaml:5: queue[0].rate_hz: unknown key; Known: kind, loop, times_s"],
        ),
        (
            "seed: 1\nphones:\n- profile: mi_8_pro\n  extra:\n    kind: camera\n    rate_hz: x\n",
            ["w.yaml:6: phones[0].extra.rate_hz: it should be a valid number; found 'x'"],
        ),
        (
            # a job that bears the name of its kind
            "seed: 1\njobs:\n  camera:\n    kind: camera\n    rate_hz: x\n",
            ["w.yaml:5: jobs.camera.rate_hz: it should be a valid number; found 'x'"],
        ),
    ],
)
def test_the_variants_of_a_union_are_told_apart_by_their_kind(text: str, lines: list[str]) -> None:
    assert refusal(text) == lines


class Trace(Schema):
    kind: Literal["trace"]
    trace: list[float]


class Signals(Schema):
    signal: Annotated[Trace | Camera, Field(discriminator="kind")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind: trace", "2: signal.trace: this key is required and missing"),
        ("kind: trace, trace: [x]", "2: signal.trace[0]: it should be a valid number; found 'x'"),
        ("kind: trace, trace: 5", "2: signal.trace: it should be a valid list; found 5"),
    ],
)
def test_a_key_may_bear_the_name_of_its_kind(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate(parse_document(f"signal:\n  {{{text}}}\n", "w.yaml"), Signals)
    assert str(caught.value).replace("w.yaml:1", "w.yaml:2") == f"w.yaml:{line}"


def test_all_problems_are_reported_at_once_in_the_order_of_their_lines() -> None:
    lines = refusal(
        "sed: 1\n"
        "until_s: soon\n"
        "jobs:\n"
        "  a: {kind: camera, rate_hz: -1, colour: red}\n"
        "  b: {kind: video}\n"
        "phones:\n"
        "  - {profile: nokia}\n"
        "  - 7\n"
    )
    assert [line.split(": ")[:2] for line in lines] == [
        ["w.yaml:1", "sed"],
        ["w.yaml:1", "seed"],
        ["w.yaml:2", "until_s"],
        ["w.yaml:4", "jobs.a.colour"],
        ["w.yaml:4", "jobs.a.rate_hz"],
        ["w.yaml:5", "jobs.b.kind"],
        ["w.yaml:7", "phones[0].profile"],
        ["w.yaml:8", "phones[1]"],
    ]


def test_every_duplicate_key_and_every_key_that_is_not_text_is_reported() -> None:
    lines = refusal(
        "seed: 1\n"
        "jobs:\n"
        "  a: {kind: camera, rate_hz: 1}\n"
        "  a: {kind: camera, rate_hz: 2}\n"
        "seed: 2\n"
        "5: x\n"
        "on: x\n"
        "[1, 2]: x\n"
        "2024-01-01: x\n"
    )
    assert lines == [
        "w.yaml:4: jobs.a: given twice; it stands in line 3 already",
        "w.yaml:5: seed: given twice; it stands in line 1 already",
        "w.yaml:6: the key 5 is not text; quote it",
        "w.yaml:7: the key on is not text; quote it",
        "w.yaml:8: the key a collection is not text; quote it",
        "w.yaml:9: the key 2024-01-01 is not text; quote it",
    ]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("seed: 1\n\tname: x\n", 2, "tab|'\\\\t'"),
        ("seed: 1\nname: [1, 2\n", 3, "expected"),
        ("seed: 1\nname: 'x\n", 3, "quoted scalar"),
        ("seed: 1\n  name: x\n", 2, "mapping values are not allowed"),
        ("seed: 1\nname: *nowhere\n", 2, "undefined alias"),
        ("seed: 1\nname: !!python/name:os.system x\n", 2, "could not determine a constructor"),
        ("seed: 1\n---\nseed: 2\n", 2, "single document"),
        ("seed: 1\nname: 2024-13-01\n", 2, "not a valid timestamp"),
        ("seed: 1\njobs: &me\n  a: *me\n", 2, "refers to itself"),
        ("seed: 1\nqueue: &me [1, *me]\n", 2, "refers to itself"),
    ],
)
def test_what_is_not_yaml_is_refused_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(text)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.key) == ("w.yaml", line, "")
    assert problem.message.startswith("not valid YAML: ")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!int ''",
        "a: !!float ''",
        "a: !!bool maybe",
        "a: !!timestamp noon",
        "2024-13-01: x",
        "!!int '': x",
    ],
)
def test_a_value_that_its_own_tag_belies_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document(f"seed: 1\n{text}\n", "w.yaml")
    assert [problem.line for problem in caught.value.problems] == [2]


@given(text=st.text(st.sampled_from(list("ab1-: \n\t[]{}&*!|>'\"#,?<%@.\x00é")), max_size=40))
@CHECK
def test_no_text_does_worse_than_a_config_error(text: str) -> None:
    problems = []
    try:
        load(text)
    except ConfigError as error:
        problems = error.problems
    # Hardly any such text is a world, so there is something to say, and about this file.
    assert {problem.file for problem in problems} == {"w.yaml"}


def test_an_alias_is_a_copy() -> None:
    document = parse_document("a: &x {k: [1]}\nb: *x\n", "w.yaml")
    assert document.data == {"a": {"k": [1]}, "b": {"k": [1]}}
    document.put(("a", "k"), 2, "here")
    assert document.data["b"] == {"k": [1]}


def test_a_key_of_ones_own_overrides_a_merged_one() -> None:
    text = "base: &base {x: 1, y: 2}\nown:\n  <<: *base\n  y: 3\n"
    assert parse_document(text, "w.yaml").data["own"] == {"x": 1, "y": 3}


def test_an_alias_bomb_is_refused() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match="too deeply or too large"):
        parse_document("\n".join(rows), "w.yaml")


@pytest.mark.parametrize("depth", [60, 20_000])
def test_nesting_too_deep_is_refused(depth: int) -> None:
    with pytest.raises(ConfigError, match="too deeply"):
        parse_document("a: " + "[" * depth + "]" * depth, "w.yaml")
    assert parse_document("a: " + "[" * 40 + "]" * 40, "w.yaml").data


def test_a_file_is_read_as_utf_8_and_named_by_its_path_unless_told_otherwise(
    tmp_path: Path,
) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes("name: Zürich\nsed: 1\n".encode())
    document = read_document(file)
    assert document.data == {"name": "Zürich", "sed": 1}
    assert document.file == str(file)
    assert document.places[("sed",)] == (str(file), 2)
    with pytest.raises(ConfigError, match=r"^here:1: seed: "):
        validate(read_document(file, "here"), World)


def _refused_file(path: Path) -> tuple[str, int | None, str, str]:
    with pytest.raises(ConfigError) as caught:
        validate(read_document(path, "w.yaml"), World)
    (problem,) = caught.value.problems
    return problem.file, problem.line, problem.key, problem.message


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(b"name: Z\xfcrich\n")
    assert _refused_file(file) == ("w.yaml", None, "", "is not UTF-8 text (byte 7)")


def test_a_file_with_a_nul_byte_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(b"name: \x00\n")
    assert "special characters are not allowed" in _refused_file(file)[3]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert _refused_file(tmp_path / "no.yaml") == (
        *("w.yaml", None, ""),
        "cannot be read: No such file or directory",
    )


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert _refused_file(tmp_path) == ("w.yaml", None, "", "cannot be read: Is a directory")


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_bytes(b"#" * 10_000_001)
    assert _refused_file(file)[3] == "larger than 10000000 bytes"


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("", None, "nothing"),
        ("# a comment\n", None, "nothing"),
        ("\n- seed: 1\n", 2, "[{'seed': 1}]"),
        ("seed\n", 1, "'seed'"),
    ],
)
def test_a_file_without_keys_is_refused(
    text: str, line: int | None, found: str, tmp_path: Path
) -> None:
    file = tmp_path / "w.yaml"
    file.write_text(text)
    message = f"expected keys and values at the top of the file, found {found}"
    assert _refused_file(file) == ("w.yaml", line, "", message)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e3", 1000.0),
        ("5e-3", 0.005),
        ("1E3", 1000.0),
        ("-2e+2", -200.0),
        ("+1.5e1", 15.0),
        ("1_0e1", 100.0),
        ("2.e1", 20.0),
        ("0.1", 0.1),
    ],
)
def test_numbers_with_an_exponent_are_numbers(text: str, number: float) -> None:
    found = parse_document(f"a: {text}\n", "w.yaml").data["a"]
    assert isinstance(found, float)
    assert found == number


@pytest.mark.parametrize("text", ["e3", "1e", "1e3x", "x1e3", "1e3.5", "'1e3'"])
def test_what_only_resembles_a_number_is_text(text: str) -> None:
    assert parse_document(f"a: {text}\n", "w.yaml").data["a"] == text.strip("'")


def test_every_key_and_every_item_has_its_place() -> None:
    document = parse_document("a:\n  b:\n    - 1\n    - c: 2\nd: 3\n", "w.yaml")
    lines = {dotted(path): line for path, (_, line) in document.places.items()}
    assert lines == {"": 1, "a": 1, "a.b": 2, "a.b[0]": 3, "a.b[1]": 4, "a.b[1].c": 4, "d": 5}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("phones", 0, "name"), "phones[0].name"),
        ((0, 1, "x"), "[0][1].x"),
    ],
)
def test_a_path_is_written_with_dots_and_brackets(path: Any, text: str) -> None:
    assert dotted(path) == text


def test_an_override_changes_the_value_and_is_blamed_for_it() -> None:
    document = parse_document("seed: 1\nphones:\n  - profile: mi_8_pro\n    count: 2\n", "w.yaml")
    document.put(("seed",), 5, "command line")
    document.put(("phones", 0, "count"), 4, "command line")
    world = validate(document, World)
    assert (world.seed, world.phones[0].count) == (5, 4)
    document.put(("seed",), "x", "command line")
    document.put(("phones", 0, "count"), 0, "command line")
    document.put(("phones", 0, "profile"), "x", "other.yaml")
    with pytest.raises(ConfigError) as caught:
        validate(document, World)
    assert [str(problem).split(": ")[:2] for problem in caught.value.problems] == [
        ["command line", "phones[0].count"],
        ["command line", "seed"],
        ["other.yaml", "phones[0].profile"],
    ]


def test_an_override_makes_the_mappings_on_its_way() -> None:
    document = parse_document("seed: 1\n", "w.yaml")
    document.put(("jobs", "front", "kind"), "camera", "command line")
    document.put(("jobs", "front", "rate_hz"), 2.0, "command line")
    assert validate(document, World).jobs == {"front": Camera(kind="camera", rate_hz=2.0)}


def test_an_override_of_a_whole_mapping_forgets_the_places_inside_it() -> None:
    document = parse_document("seed: 1\njobs:\n  a:\n    kind: camera\n    rate_hz: 1\n", "w.yaml")
    document.put(("jobs", "a"), {"kind": "camera", "rate_hz": "x"}, "command line")
    with pytest.raises(ConfigError, match=r"^command line: jobs\.a\.rate_hz: .*found 'x'$"):
        validate(document, World)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("seed", "x"), "seed has no entry 'x'"),
        (("seed", "x", "y"), "seed has no entry 'x'"),
        (("phones", 1, "count"), "phones has no entry 1"),
        (("phones", 1), "phones has no entry 1"),
        (("phones", "count"), "phones has no entry 'count'"),
        (("phones", "a", "b"), "phones has no entry 'a'"),
    ],
)
def test_an_override_that_leads_nowhere_is_refused(path: Any, message: str) -> None:
    document = parse_document("seed: 1\nphones:\n  - profile: mi_8_pro\n", "w.yaml")
    with pytest.raises(ConfigError) as caught:
        document.put(path, 1, "command line")
    assert str(caught.value) == f"command line: {dotted(path)}: {message}"


def test_a_problem_stands_at_the_nearest_place_known() -> None:
    document = Document("w.yaml", {}, {(): ("w.yaml", 1), ("a",): ("base.yaml", 7)})
    assert str(document.problem(("a", "b", 0), "no")) == "base.yaml:7: a.b[0]: no"
    assert str(document.problem(("z",), "no")) == "w.yaml:1: z: no"
    assert str(Document("w.yaml", {}).problem(("z",), "no")) == "w.yaml: z: no"
