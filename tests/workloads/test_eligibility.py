"""Availability and eligibility are pure functions of client and time."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.random import Streams
from edgesim.core.signals import ConstantBank, MarkovBank, TraceBank
from edgesim.workloads.availability import NightsBank
from edgesim.workloads.eligibility import Eligibility, Requirement

DAY_S = 86_400.0
KEYS = Streams(3).keys("nights", [("phone", k) for k in range(6)])


def nights(spread_h: float = 1.5) -> NightsBank:
    return NightsBank(KEYS, 22.5, 8.0, spread_h)


moments = st.lists(st.floats(0, 12 * DAY_S), min_size=1, max_size=30)


@given(moments)
@settings(max_examples=50, deadline=None)
def test_nights_are_the_same_in_whatever_order_they_are_asked_about(times: list[float]) -> None:
    asked = [nights().signal(2).value(t) for t in times]  # each by a signal that knows nothing
    one = nights().signal(2)
    assert [one.value(t) for t in times] == asked
    assert [one.value(t) for t in reversed(times)] == asked[::-1]
    assert [float(nights().values(t)[2]) for t in times] == asked


@given(st.floats(0, 12 * DAY_S))
@settings(max_examples=100, deadline=None)
def test_a_piece_of_a_night_holds_from_end_to_end(time_s: float) -> None:
    bank = nights(4.0)
    start_s, end_s, value = bank.signal(1).segment(time_s)
    assert start_s <= time_s < end_s
    for inside in np.linspace(start_s, end_s, 7, endpoint=False):
        assert bank.values(float(inside))[1] == value


def test_nights_without_spread_are_all_alike() -> None:
    bank = nights(0.0)
    for day in range(4):
        assert bank.values(day * DAY_S + 22 * 3600).tolist() == [0.0] * 6
        assert bank.values(day * DAY_S + 23 * 3600).tolist() == [1.0] * 6
        assert bank.values(day * DAY_S + 30 * 3600).tolist() == [1.0] * 6
        assert bank.values(day * DAY_S + 31 * 3600).tolist() == [0.0] * 6
    assert bank.values(3600.0).tolist() == [1.0] * 6  # the night before the run began


def test_nights_last_as_long_as_they_should_on_average() -> None:
    keys = Streams(1).keys("nights", [("phone", k) for k in range(2000)])
    bank = NightsBank(keys, 22.5, 8.0, 1.5)
    shares = [bank.values(t).mean() for t in np.arange(2 * DAY_S, 3 * DAY_S, 1800.0)]
    assert np.mean(shares) == pytest.approx(8 / 24, abs=0.01)


def switch(rows: int, seed: int) -> MarkovBank:
    streams = Streams(seed)
    names = [("phone", k) for k in range(rows)]
    return MarkovBank(
        streams.keys("dwell", names), streams.keys("jump", names), [0.0, 1.0], [50.0, 80.0], None
    )


def eligibility(seed: int) -> Eligibility:
    return Eligibility(
        7,
        [0, 4],
        [
            Requirement("offline", [switch(4, seed), switch(3, seed + 1)], lambda v: v > 0.0),
            Requirement("in_use", [switch(4, seed + 2), ConstantBank([0.0] * 3)], lambda v: v == 0),
        ],
    )


@given(st.integers(0, 50), st.floats(0, 1000))
@settings(max_examples=60, deadline=None)
def test_until_is_when_a_client_first_may_not(seed: int, time_s: float) -> None:
    rule = eligibility(seed)
    mask = rule.at(time_s)
    for client in range(7):
        end_s, reason = rule.until(client, time_s)
        if not mask[client]:
            assert end_s == time_s
            continue
        assert end_s > time_s
        for share in (0.1, 0.5, 0.99):
            assert rule.at(time_s + share * (end_s - time_s))[client]
        assert not rule.at(end_s)[client]
        assert reason in ("offline", "in_use")


def test_asking_ahead_changes_nothing() -> None:
    # FedScale's is_active moved a pointer: after a look at 120 s, 20 s was no longer active.
    bank = TraceBank(
        [0.0, 50.0, 100.0, 150.0], [1.0, 0.0, 1.0, 0.0], period_s=200.0, offsets_s=[0.0]
    )
    rule = Eligibility(1, [0], [Requirement("offline", [bank], lambda v: v > 0.0)])
    assert rule.at(20.0)[0]
    assert rule.until(0, 120.0) == (150.0, "offline")
    assert rule.at(120.0)[0]
    assert rule.at(20.0)[0]
    assert rule.until(0, 20.0) == (50.0, "offline")


def test_nothing_required_holds_for_ever() -> None:
    rule = Eligibility(3, [0], [])
    assert rule.at(5.0).all()
    assert rule.until(1, 5.0) == (inf, "")
    excluded = Eligibility(3, [0], [], np.array([False, True, False]))
    assert excluded.at(5.0).tolist() == [True, False, True]
