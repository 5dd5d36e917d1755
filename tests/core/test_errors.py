import pickle

import pytest

from edgesim.core.errors import (
    ConfigError,
    EdgesimError,
    Problem,
    SimulationError,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.yaml", 3, "jobs.x", "is wrong"), "a.yaml:3: jobs.x: is wrong"),
        (Problem("a.yaml", 3, "", "is wrong"), "a.yaml:3: is wrong"),
        (Problem("command line", None, "seed", "is wrong"), "command line: seed: is wrong"),
        (Problem("a.yaml", None, "", "is wrong"), "a.yaml: is wrong"),
    ],
)
def test_a_problem_shows_the_parts_of_its_place_that_it_has(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_a_config_error_lists_its_problems_by_file_line_and_key() -> None:
    places = [("b", 1, "k"), ("a", 10, "k"), ("a", 9, "z"), ("a", 9, "k"), ("a", None, "k")]
    error = ConfigError([Problem(file, line, key, "no") for file, line, key in places])
    assert str(error).splitlines() == [
        "a: k: no",
        "a:9: k: no",
        "a:9: z: no",
        "a:10: k: no",
        "b:1: k: no",
    ]
    assert [str(problem) for problem in error.problems] == str(error).splitlines()


@pytest.mark.parametrize("kind", [ConfigError, SimulationError])
def test_every_error_is_an_edgesim_error(kind: type[Exception]) -> None:
    assert issubclass(kind, EdgesimError)
    assert not issubclass(EdgesimError, ValueError)


def test_errors_survive_the_way_from_another_process() -> None:
    config = ConfigError([Problem("a.yaml", 3, "jobs.x", "is wrong")])
    simulation = SimulationError("a joule without an owner")
    assert str(pickle.loads(pickle.dumps(simulation))) == str(simulation)
    there = pickle.loads(pickle.dumps(config))
    assert str(there) == str(config)
    assert there.problems == config.problems


@pytest.mark.parametrize(
    ("name", "known", "end"),
    [
        ("claud", ["random", "cloud"], "did you mean 'cloud'? Known: cloud, random"),
        ("zzz", ["random", "cloud"], "Known: cloud, random"),
        (3, {"3a"}, "did you mean '3a'? Known: 3a"),
        ("x", [], "none is known"),
    ],
)
def test_the_nearest_known_name_is_offered_before_all_of_them(
    name: object, known: list[str], end: str
) -> None:
    assert did_you_mean(name, known) == end


def test_a_long_list_of_known_names_is_cut() -> None:
    names = [f"n{i:02}" for i in range(31)]
    assert did_you_mean("?", names[:30]) == "Known: " + ", ".join(names[:30])
    assert did_you_mean("?", names) == "Known: " + ", ".join(names[:30]) + ", ..."
