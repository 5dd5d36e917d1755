"""Several hundred ways to spoil a scenario: each is refused with a located problem, or runs."""

import copy
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
import yaml

import edgesim.hardware.profiles as profiles
from edgesim.core.documents import read_document
from edgesim.core.errors import ConfigError
from edgesim.hardware.catalogue import catalogue_folder
from edgesim.results.audit import audit
from edgesim.scenario.load import load_scenario
from edgesim.scenario.run import run_loaded

FILE = "world.yaml"

QUICKSTART = (catalogue_folder("scenarios") / "quickstart.yaml").read_text(encoding="utf-8")


def _shortened() -> str:
    """The quickstart scenario, five seconds long, with limits that keep every variant short."""
    text = QUICKSTART.replace("duration_s: 600", "duration_s: 5")
    head, _, tail = text.partition("  offloading: [edge_cpu")
    assert tail
    return (
        head
        + "  offloading: [edge_best, cloud]\n"
        + tail.partition("\n")[2]
        + "\ncontrollers: {offloading: oracle}\n"
        + "limits: {requests: 5e3, signal_changes: 1e4}\n"
    )


TEXT = _shortened()

# Every key that quickstart does not use, and every kind of signal.
RICH = """
name: rich
seed: 3
duration_s: 4
networks:
  home: {kind: wifi, bandwidth_mhz: 40, streams: 1, goodput_ratio: 0.5}
sites:
  cloud:
    server: xeon_e5_2640_p100
    rtt_ms: 30
    concurrency: {gpu: 2}
    queue_limit: 20
    batching: {gpu: {size: 4, wait_ms: 2}}
    load: {gpu: {kind: gauss_markov, mean: 0.3, std: 0.1}, default: 0.5}
  edge:
    server: xeon_e5_2640_p100
    rtt_ms: 3
    batching: {size: 2}
    load: {kind: markov, values: [0, 0.9], mean_dwell_s: [1, 0.1]}
phones:
  fixed: {profile: mi_8_pro, count: 2, charge: 0.5, network: home, rssi_dbm: -50}
  daily:
    profile: mi_8_pro
    network: home
    rssi_dbm: {kind: schedule, period_s: 3, steps: [[0, -50], [1, -85], [2, -120]]}
  moody:
    profile: mi_8_pro
    network: home
    rssi_dbm:
      kind: markov
      values: [-50, -80]
      mean_dwell_s: [2, 0.5]
      jumps: [[0, 1], [1, 0]]
  taped:
    profile: mi_8_pro
    network: home
    rssi_dbm: {kind: trace, file: walk.csv, period_s: 10, random_offset: true}
  offline: {profile: mi_8_pro, charge: 0.0}
jobs:
  camera:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: periodic, period_ms: 500, offset_ms: 10}
    phones: [fixed, daily, offline]
    sites: [cloud]
    deadline_ms: 50
    accuracy_min: 0.7
    decision_overhead_ms: 1.5
    controllers: {offloading: cloud}
  tags:
    kind: inference
    model: inception_v3
    arrivals: {kind: poisson, rate_per_s: 1}
  video:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: periodic, fps: 2}
  evening:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: diurnal, period_s: 3, steps: [[0, 0], [1, 2], [2, 1]]}
  replayed:
    kind: inference
    model: mobilenet_v1
    arrivals: {kind: trace, file: asked.csv, period_s: 3, random_offset: true}
controllers: {offloading: random}
record:
  decisions: false
  states: {devices: [daily], quantities: [power_w]}
limits: {requests: 5e3, signal_changes: 1e4}
"""

WALK = "time_s,value\n0,-50\n2,-70\n5,-90\n"
ASKED = "time_s\n0\n0.5\n0.5\n2.9\n"

REMOVED = object()
ADDED = object()

VALUES: list[tuple[str, Any]] = [
    ("removed", REMOVED),
    ("with an unknown key", ADDED),
    ("a word", "nowhere"),
    ("empty text", ""),
    ("an empty list", []),
    ("a list", ["nowhere", 1]),
    ("an empty mapping", {}),
    ("a mapping", {"kind": "nowhere"}),
    ("true", True),
    ("null", None),
    ("minus one", -1),
    ("zero", 0),
    ("a fraction", 0.5),
    ("tiny", 5e-324),
    ("huge", 1e30),
    ("a huge whole number", 10**20),
    ("nearly infinite", 1e308),
    ("not a number", nan),
    ("infinite", inf),
]

Path_ = tuple[str | int, ...]


def _paths(data: Any, here: Path_ = ()) -> Iterator[Path_]:
    """Every key path in a document, the whole of it included."""
    yield here
    entries = data.items() if isinstance(data, dict) else ()
    if isinstance(data, list):
        entries = enumerate(data)
    for key, value in entries:
        yield from _paths(value, (*here, key))


def _spoilt(data: Any, path: Path_, value: Any) -> Any:
    """A copy of ``data`` with ``value`` at ``path``."""
    data = copy.deepcopy(data)
    if not path:
        return None if value is REMOVED else {**data, "cuont": 1} if value is ADDED else value
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    if value is REMOVED:
        del parent[path[-1]]
    elif value is ADDED:
        if not isinstance(parent[path[-1]], dict):
            return None
        parent[path[-1]]["cuont"] = 1
    else:
        parent[path[-1]] = copy.deepcopy(value)
    return data


def _like_the_first(path: Path_) -> bool:
    """Whether the path lies in a phone or job that is spoilt by way of another one already."""
    return path[:1] in [("phones",), ("jobs",)] and path[1:2] in [
        ("galaxy_s10e",),
        ("moto_x_force",),
        ("photo_tags",),
        ("assistant",),
    ]


QUICKSTART_DATA = json.loads(json.dumps(yaml.safe_load(TEXT)))
RICH_DATA = yaml.safe_load(RICH)
QUICKSTART_PATHS = [path for path in _paths(QUICKSTART_DATA) if not _like_the_first(path)]
RICH_PATHS = [path for path in _paths(RICH_DATA) if path not in QUICKSTART_PATHS]


@pytest.fixture(autouse=True)
def _profiles_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ships does not change between mutations; parsing it again would take most of the time."""
    monkeypatch.setattr(profiles, "read_document", _read_shipped)


@cache
def _read_shipped(path: Path) -> Any:
    shared = Path(profiles.__file__).with_name("efficiency.yaml")
    assert path.parent == catalogue_folder("device_profiles") or path == shared
    return read_document(path)


def fate(folder: Path, content: str | bytes) -> str:
    """What becomes of a scenario: ``refused``, ``ran``, or what must never happen."""
    file = folder / FILE
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        loaded = load_scenario(file)
    except ConfigError as error:
        return _ugly(error) or "refused"
    except Exception as error:
        return f"loading raised {type(error).__name__}: {error}"
    try:
        result = run_loaded(loaded)
        json.dumps([dict(result.summary), dict(result.manifest)], allow_nan=False)
        list(audit(result))
    except ConfigError as error:
        return _ugly(error) or "refused"
    except Exception as error:
        return f"running raised {type(error).__name__}: {error}"
    return "ran"


def _ugly(error: ConfigError) -> str:
    """What is wrong with an error message itself."""
    if not error.problems:
        return "refused without a problem"
    for problem in error.problems:
        text = str(problem)
        if not problem.file.endswith((FILE, "walk.csv", "asked.csv")):
            return f"is not said to stand in the file: {text}"
        if "\n" in text or len(text) > 1000 or len(problem.message) < 8:
            return f"not one readable line: {text!r}"
        for word in ("Traceback", "Error:", "pydantic", "<class", "object at 0x", "nput should"):
            if word in text:
                return f"shows the inside: {text}"
    return ""


def escapes(folder: Path, variants: dict[str, str | bytes]) -> list[str]:
    """The variants that were neither refused in good manner nor ran."""
    fates = {name: fate(folder, content) for name, content in variants.items()}
    return [f"{name}: {what}" for name, what in fates.items() if what not in ("refused", "ran")]


def spoilt_in(data: Any, path: Path_) -> dict[str, str | bytes]:
    """Every variant of a document that is spoilt at one path."""
    variants: dict[str, str | bytes] = {}
    for name, value in VALUES:
        changed = _spoilt(data, path, value)
        if changed is not None or not path:
            variants[name] = yaml.safe_dump(changed, sort_keys=False)
    return variants


def _id(path: Path_) -> str:
    return ".".join(map(str, path)) or "whole file"


# --- the originals -------------------------------------------------------------------------------


def test_the_scenarios_that_are_spoilt_here_are_in_order_themselves(tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text(WALK)
    (tmp_path / "asked.csv").write_text(ASKED)
    assert fate(tmp_path, TEXT) == "ran"
    assert fate(tmp_path, RICH) == "ran"
    assert fate(tmp_path, yaml.safe_dump(QUICKSTART_DATA)) == "ran"
    assert fate(tmp_path, yaml.safe_dump(RICH_DATA)) == "ran"


def test_there_are_enough_mutations() -> None:
    texts = sum(len(make(TEXT)) for make in BREAKAGES.values())
    assert (len(QUICKSTART_PATHS) + len(RICH_PATHS)) * len(VALUES) + texts > 400
    assert texts > 200


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", QUICKSTART_PATHS, ids=_id)
def test_whatever_stands_at_a_key_of_quickstart_is_refused_or_runs(
    path: Path_, tmp_path: Path
) -> None:
    assert escapes(tmp_path, spoilt_in(QUICKSTART_DATA, path)) == []


@pytest.mark.parametrize("path", RICH_PATHS, ids=_id)
def test_whatever_stands_at_a_rarer_key_is_refused_or_runs(path: Path_, tmp_path: Path) -> None:
    (tmp_path / "walk.csv").write_text(WALK)
    (tmp_path / "asked.csv").write_text(ASKED)
    assert escapes(tmp_path, spoilt_in(RICH_DATA, path)) == []


@pytest.mark.parametrize(
    "path",
    [path for path in QUICKSTART_PATHS if path and path[0] not in ("description", "record")],
    ids=_id,
)
def test_a_mapping_where_a_value_belongs_or_the_other_way_round_is_refused(
    path: Path_, tmp_path: Path
) -> None:
    here = QUICKSTART_DATA
    for key in path:
        here = here[key]
    wrong = "nowhere" if isinstance(here, dict | list) else {"kind": "nowhere"}
    text = yaml.safe_dump(_spoilt(QUICKSTART_DATA, path, wrong), sort_keys=False)
    assert fate(tmp_path, text) == "refused"


# --- text ----------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _truncated(text: str) -> dict[str, str | bytes]:
    return {f"the first {end} characters": text[:end] for end in range(0, len(text), 29)}


def _duplicated(text: str) -> dict[str, str | bytes]:
    lines = _lines(text)
    return {
        f"line {i + 1} twice": "".join([*lines[: i + 1], *lines[i:]])
        for i in range(len(lines))
        if lines[i].strip()
    }


def _swapped(text: str) -> dict[str, str | bytes]:
    lines = _lines(text)
    return {
        f"lines {i + 1} and {i + 2} swapped": "".join(
            [*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]]
        )
        for i in range(len(lines) - 1)
    }


def _indented(text: str) -> dict[str, str | bytes]:
    lines = _lines(text)
    variants: dict[str, str | bytes] = {}
    for i, line in enumerate(lines):
        for change, new in (
            ("deeper", "  " + line),
            ("by a tab", "\t" + line.lstrip(" ")),
            ("less", line[2:] if line.startswith("  ") else " " + line),
        ):
            variants[f"line {i + 1} indented {change}"] = "".join(
                [*lines[:i], new, *lines[i + 1 :]]
            )
    return variants


def _unbalanced(text: str) -> dict[str, str | bytes]:
    rng = random.Random(1)
    variants: dict[str, str | bytes] = {}
    for sign in "[]{}'\"&*!|>%@`:,#?-\\":
        for _ in range(3):
            at = rng.randrange(len(text))
            variants[f"{sign!r} at {at}"] = text[:at] + sign + text[at:]
    return variants


def _random_bytes(text: str) -> dict[str, str | bytes]:
    rng = random.Random(2)
    variants: dict[str, str | bytes] = {}
    for number in range(60):
        raw = bytearray(text.encode())
        for _ in range(rng.choice([1, 1, 3, 30])):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        variants[f"random bytes, number {number}"] = bytes(raw)
    return variants


def _strange(text: str) -> dict[str, str | bytes]:
    many = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    return {
        "nothing": "",
        "blanks": " \n\n",
        "a comment": "# nothing\n",
        "a null byte": text + "\0",
        "UTF-16": text.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "Windows line ends": text.replace("\n", "\r\n"),
        "two documents": text + "---\n" + text,
        "a list": "- 1\n- 2\n",
        "a number": "12\n",
        "a Python object": "name: !!python/object/apply:os.getcwd []\n",
        "an unknown tag": "name: !thing x\n",
        "a set": "!!set {a, b}\n",
        "a date": "name: 2020-01-01\n",
        "bytes": text.replace("name: quickstart", "name: !!binary aGVsbG8="),
        "base 60": text.replace("duration_s: 5", "duration_s: 0:05"),
        "octal": text.replace("seed: 1", "seed: 010"),
        "a mapping as key": "? {a: 1}\n: 2\n",
        "a number as key": text.replace("camera:", "12:"),
        "null as key": text.replace("camera:", "null:"),
        "truth as key": text.replace("camera:", "yes:"),
        "an alias without its anchor": text + "extra: *nowhere\n",
        "an anchor inside itself": "name: &a [*a]\n",
        "a merge of itself": "phones: &a\n  <<: *a\n",
        "a merge of a list": "phones:\n  <<: [1, 2]\n",
        "a merge of nothing": text + "\n<<:\n",
        "a billion laughs": "a0: &a0 [1, 1]\n" + many,
        "deep nesting": "name: " + "[" * 3000,
        "deep nesting, closed": "name: " + "[" * 900 + "]" * 900,
        "deep mappings": "".join("  " * i + "a:\n" for i in range(300)),
        "a long line": "name: " + "a" * 200_000 + "\n",
        "a long number": "seed: " + "9" * 10_000 + "\n",
        "a long fraction": text.replace("duration_s: 5", "duration_s: 5" + "." + "3" * 9_000),
        "a long exponent": text.replace("duration_s: 5", "duration_s: 5e" + "9" * 300),
        "text from another script": text.replace("name: quickstart", "name: сценарий"),
        "an emoji": text.replace("camera:", "📷:"),
        "a lone surrogate": text.replace("name: quickstart", 'name: "\\ud800"'),
        "a control character": text.replace("name: quickstart", 'name: "a\\x07b"'),
        "a name as path": text.replace("name: quickstart", "name: ../../quickstart"),
        "a newline in a name": text.replace("name: quickstart", 'name: "quick\\nstart"'),
        "a newline at the end of a name": text.replace("name: quickstart", 'name: "quick\\n"'),
    }


BREAKAGES: dict[str, Callable[[str], dict[str, str | bytes]]] = {
    "truncated": _truncated,
    "duplicated": _duplicated,
    "swapped": _swapped,
    "indented": _indented,
    "unbalanced": _unbalanced,
    "random bytes": _random_bytes,
    "strange": _strange,
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_damaged_text_is_refused_or_runs(breakage: str, tmp_path: Path) -> None:
    assert escapes(tmp_path, BREAKAGES[breakage](TEXT)) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("0,-50\n", id="no header"),
        pytest.param("time_s,value\n", id="no rows"),
        pytest.param("time_s,value\n0,-50\n0,-50\n", id="time stands still"),
        pytest.param("time_s,value\n0,-50\n5,nan\n", id="nan"),
        pytest.param("time_s,value\n0,-50\ninf,-60\n", id="infinite time"),
        pytest.param("time_s,value\n0,-50\n1e308,-60\n", id="huge time"),
        pytest.param("time_s,value\n0,-50,1\n", id="too many cells"),
        pytest.param("time_s,value\n0\n", id="too few cells"),
        pytest.param("time_s,value\n0,'-50'\n", id="quotes"),
        pytest.param('time_s,value\n0,"-50\n', id="open quote"),
        pytest.param(b"time_s,value\n0,\xff\xfe\n", id="not UTF-8"),
        pytest.param(b"time_s,value\n0,\x00\n", id="null byte"),
        pytest.param("time_s,value\n0," + "5" * 200_000 + "\n", id="enormous cell"),
        pytest.param(b"\xef\xbb\xbftime_s,value\r\n0,-50\r\n", id="as Excel saves it"),
    ],
)
def test_a_damaged_trace_is_refused_or_runs(content: str | bytes, tmp_path: Path) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "walk.csv").write_bytes(raw)
    (tmp_path / "asked.csv").write_text(ASKED)
    assert fate(tmp_path, RICH) in ("refused", "ran")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("time_s\n" + "x" * 2000 + "\n", id="a long word"),
        pytest.param('time_s\n"1\n2\n', id="open quote"),
        pytest.param(b"time_s\n\xff\xfe\n", id="not UTF-8"),
        pytest.param(b"time_s\n\x00\n", id="null byte"),
        pytest.param("time_s\n1e308\n", id="nearly never"),
        pytest.param("time_s\n" + "5" * 200_000 + "\n", id="enormous cell"),
        pytest.param(b"\xef\xbb\xbftime_s\r\n0.5\r\n", id="as Excel saves it"),
    ],
)
def test_damaged_arrivals_are_refused_or_run(content: str | bytes, tmp_path: Path) -> None:
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "walk.csv").write_text(WALK)
    (tmp_path / "asked.csv").write_bytes(raw)
    assert fate(tmp_path, RICH) in ("refused", "ran")


# --- through the command line --------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param(TEXT[: len(TEXT) // 2], id="truncated"),
        pytest.param(TEXT.replace("phones:", "\tphones:"), id="tab"),
        pytest.param(TEXT.replace("seed: 1", "seed: [1"), id="open bracket"),
        pytest.param(b"\xff\xfe" + TEXT.encode(), id="random bytes"),
        pytest.param(TEXT.replace("duration_s: 5", "duration_s: .nan"), id="nan"),
        pytest.param(TEXT.replace("duration_s: 5", "duration_s: 1e30"), id="huge"),
        pytest.param(TEXT.replace("model: mobilebert", "model: mobilbert"), id="unknown model"),
        pytest.param(TEXT.replace("charge: 0.8", "charge: full"), id="wrong type"),
        pytest.param(TEXT.replace("rate_per_s: 0.5", "rate_per_s: 1e4"), id="too many requests"),
        pytest.param("seed: " + "9" * 10_000 + "\n", id="long number"),
        pytest.param("name: " + "[" * 3000, id="deep nesting"),
    ],
)
def test_the_command_line_refuses_a_spoilt_scenario_in_one_line_each(
    content: str | bytes, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(content if isinstance(content, bytes) else content.encode())
    done = subprocess.run(
        [sys.executable, "-c", "from edgesim.cli.main import main; main()", "run", FILE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.startswith(f"error: {FILE}") for line in lines), done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE]
