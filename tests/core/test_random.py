import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgesim.core.random import Streams, exponentials, normals, splitmix64, uniforms

CHECK = settings(derandomize=True, deadline=None, max_examples=60)
KEYS = st.integers(0, 2**64 - 1)
DRAWS = [splitmix64, uniforms, exponentials, normals]
SAMPLE = 100_000


def test_splitmix64_gives_the_reference_outputs() -> None:
    reference = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert splitmix64(1234567, 0, 3).tolist() == reference


@given(key=KEYS, start=st.integers(0, 2**40), count=st.integers(1, 9))
@CHECK
def test_splitmix64_agrees_with_plain_integers(key: int, start: int, count: int) -> None:
    def output(k: int) -> int:
        z = (key + (k + 1) * 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    assert splitmix64(key, start, count).tolist() == [output(start + k) for k in range(count)]


@pytest.mark.parametrize("draw", DRAWS)
@given(keys=st.lists(KEYS, min_size=1, max_size=40), start=st.integers(0, 99), n=st.integers(0, 70))
@CHECK
def test_a_bank_of_keys_gives_the_bits_of_each_key_alone(
    draw: Any, keys: list[int], start: int, n: int
) -> None:
    bank = draw(np.array(keys, np.uint64), start, n)
    assert bank.shape == (len(keys), n)
    alone = np.stack([draw(key, start, n) for key in keys])
    assert bank.tobytes() == alone.tobytes()


@pytest.mark.parametrize("draw", DRAWS)
@given(key=KEYS, start=st.integers(0, 10**6), pieces=st.lists(st.integers(0, 40), max_size=8))
@CHECK
def test_drawing_a_range_in_pieces_changes_nothing(
    draw: Any, key: int, start: int, pieces: list[int]
) -> None:
    whole = draw(key, start, sum(pieces))
    starts = start + np.cumsum([0, *pieces])[:-1]
    parts = [draw(key, int(s), n) for s, n in zip(starts, pieces, strict=False)]
    assert np.concatenate([whole[:0], *parts]).tobytes() == whole.tobytes()


def test_keys_of_any_shape_are_drawn_elementwise() -> None:
    keys = np.arange(6, dtype=np.uint64).reshape(2, 3)
    assert uniforms(keys, 4, 5).shape == (2, 3, 5)
    assert (uniforms(keys, 4, 5)[1, 2] == uniforms(5, 4, 5)).all()


def test_streams_of_different_names_differ() -> None:
    streams = Streams(0)
    names: list[tuple[str | int, ...]] = [
        *[("a", "b"), ("ab",), ("b", "a"), ("a", "b", ""), ("a", ""), ("a",), (), ("",)],
        *[(1,), ("1",), (1, 1), (11,), ("1", 1), (-1,), ("a, b",), ("a', 'b",)],
    ]
    assert len({streams.key(*name) for name in names}) == len(names)
    firsts = {float(streams.generator(*name).random()) for name in names}
    assert len(firsts) == len(names)


@given(seeds=st.lists(st.integers(-(2**70), 2**70), min_size=2, max_size=9, unique=True))
@CHECK
def test_streams_of_different_seeds_differ(seeds: list[int]) -> None:
    assert len({Streams(seed).key("rssi", 3) for seed in seeds}) == len(seeds)
    assert len({float(Streams(seed).generator("rssi").random()) for seed in seeds}) == len(seeds)


def test_keys_are_those_of_kind_and_name() -> None:
    streams = Streams(7)
    keys = streams.keys("rssi", ["phone_0", "phone_1"])
    assert keys.dtype == np.uint64
    assert keys.tolist() == [streams.key("rssi", "phone_0"), streams.key("rssi", "phone_1")]


def test_a_generator_does_not_depend_on_what_else_was_drawn() -> None:
    first = Streams(3).generator("b", 1).random(8)
    streams = Streams(3)
    streams.generator("a").random(1000)
    streams.generator("b", 1).random(5)
    streams.key("c")
    assert (streams.generator("b", 1).random(8) == first).all()


def test_the_numbers_do_not_depend_on_the_hash_seed() -> None:
    script = (
        "from edgesim.core.random import Streams, normals\n"
        "s = Streams(11)\n"
        "print(hash('x'), s.key('rssi', 'p', 1), s.generator('x').random(3).tolist(),"
        " normals(s.keys('a', ['b', 'c']), 3, 4).tolist())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split(" ", 1)
        for seed in ("1", "2")
    ]
    assert runs[0][0] != runs[1][0]
    assert runs[0][1] == runs[1][1]


@given(keys=st.lists(KEYS, min_size=1, max_size=20), start=st.integers(0, 2**50))
@CHECK
def test_uniforms_lie_in_the_open_interval_and_the_rest_is_finite(
    keys: list[int], start: int
) -> None:
    bank = np.array(keys, np.uint64)
    u = uniforms(bank, start, 500)
    assert u.min() > 0
    assert u.max() < 1
    assert (exponentials(bank, start, 500) > 0).all()
    assert np.isfinite(normals(bank, start, 500)).all()


def _key_whose_first_output_is(word: int) -> int:
    """SplitMix64's mix, undone."""

    def unshift(z: int, bits: int) -> int:
        x = z
        for _ in range(64 // bits + 1):
            x = z ^ (x >> bits)
        return x

    z = unshift(word, 31)
    z = z * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    z = unshift(z, 27)
    z = z * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
    z = unshift(z, 30)
    return (z - 0x9E3779B97F4A7C15) % 2**64


@pytest.mark.parametrize("word", [0, 2**64 - 1])
def test_the_extreme_words_stay_inside_the_open_interval(word: int) -> None:
    key = _key_whose_first_output_is(word)
    assert splitmix64(key, 0, 1).tolist() == [word]
    assert 0 < uniforms(key, 0, 1)[0] < 1
    assert 0 < exponentials(key, 0, 1)[0] < np.inf
    assert np.isfinite(normals(key, 0, 2)).all()


@pytest.mark.parametrize(
    ("draw", "law"),
    [(uniforms, stats.uniform()), (exponentials, stats.expon()), (normals, stats.norm())],
)
@pytest.mark.parametrize("across", [False, True], ids=["along one stream", "across streams"])
def test_draws_follow_their_law(draw: Any, law: Any, across: bool) -> None:
    streams = Streams(2024)
    if across:
        keys = streams.keys("law", [str(i) for i in range(SAMPLE // 10)])
        x = draw(keys, 7, 10).ravel()
    else:
        x = draw(streams.key("law"), 0, SAMPLE)
    mean, variance, skew, kurtosis = (float(m) for m in law.stats("mvsk"))
    assert abs(x.mean() - mean) < 4 * np.sqrt(variance / SAMPLE)
    spread = variance * np.sqrt((kurtosis + 2) / SAMPLE)
    assert abs(x.var() - variance) < 4 * spread
    third = ((x - mean) ** 3).mean() / variance**1.5
    assert abs(third - skew) < 0.1
    assert stats.kstest(x, law.cdf).pvalue > 0.01


@pytest.mark.parametrize("draw", [uniforms, exponentials, normals])
def test_neighbouring_numbers_and_neighbouring_streams_are_uncorrelated(draw: Any) -> None:
    along = draw(Streams(5).key("x"), 0, SAMPLE)
    twins = [draw(Streams(5).key("x", i), 0, SAMPLE) for i in (0, 1)]
    limit = 4 / np.sqrt(SAMPLE)
    for lag in (1, 2, 3):
        assert abs(np.corrcoef(along[:-lag], along[lag:])[0, 1]) < limit
    assert abs(np.corrcoef(*twins)[0, 1]) < limit
    assert abs(np.corrcoef(along, twins[0])[0, 1]) < limit
