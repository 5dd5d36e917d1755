"""Which network serves a phone, and what becomes of its transfers in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.power import Meter
from edgesim.core.random import Streams
from edgesim.core.signals import ConstantBank, GaussMarkovBank, Signal, TraceBank
from edgesim.hardware.catalogue import shipped
from edgesim.network.lte import cell
from edgesim.network.radio import Ether, Link, Radio, Route
from edgesim.network.roaming import Connection, Roaming, RoamingRules
from edgesim.network.wifi import access_point

CHECK = settings(derandomize=True, deadline=None, max_examples=40)
RULES = RoamingRules(join_dbm=-75.0, margin_db=8.0, gap_s=0.2, switch_gap_s=1.0)
WIFI_BPS = 156e6


def signal(*pieces: tuple[float, float]) -> Signal:
    return TraceBank([t for t, _ in pieces], [v for _, v in pieces]).signal(0)


def steady(dbm: float) -> Signal:
    return ConstantBank([dbm]).signal(0)


@dataclass(eq=False)
class World:
    """A phone with access points ``a`` and ``b`` and a cell, as far as it has signals for them."""

    clock: Clock
    ether: Ether
    meter: Meter
    links: dict[str, Link]

    def connection(self, rules: RoamingRules = RULES) -> Connection:
        return Connection(self.ether, list(self.links.values()), rules)

    def roaming(self) -> Roaming:
        return Roaming(list(self.links.values()), RULES)


def world(roaming: str = "", **signals: Signal) -> World:
    clock = Clock()
    ether, meter = Ether(clock), Meter(clock, "phone")
    spec = shipped().phone("pixel_5")
    assert spec.lte is not None
    wifi, lte = Radio(ether, meter, spec.wifi), Radio(ether, meter, spec.lte)
    links = {}
    for name, rssi in signals.items():
        if name == "cell":
            network, radio = cell(clock, name, 10, 2), lte
        else:
            network, radio = access_point(clock, name, 20, 2, 1.0, roaming=roaming), wifi
        network.routes["cloud"] = Route((), (), 0.0)
        links[name] = Link(ether, radio, network, rssi, forgets=False)
    return World(clock, ether, meter, links)


def path(roaming: Roaming, until_s: float) -> list[tuple[float, int]]:
    """From when on which link serves."""
    pieces, time_s = [], 0.0
    while time_s < until_s:
        start_s, end_s, number = roaming.segment(time_s)
        assert start_s <= time_s < end_s
        if not pieces or pieces[-1][1] != number:
            pieces.append((start_s, number))
        time_s = end_s
    return pieces


# --- the rules -----------------------------------------------------------------------------------


def test_wifi_is_preferred_to_lte_and_joined_when_it_is_good_enough() -> None:
    home = signal((0, -100), (10, -78), (20, -74), (30, -80), (40, -90))
    # -78 dBm would carry bits, but is not joined; what has been joined is kept down to its last rate.
    assert path(world(a=home, cell=steady(-70)).roaming(), 100) == [
        (0, 1),
        (20, -1),
        (21, 0),
        (40, -1),
        (41, 1),
    ]


def test_an_access_point_is_left_for_one_that_is_stronger_by_the_margin() -> None:
    a, b = signal((0, -60), (10, -67), (20, -68)), steady(-60)
    assert path(world("office", a=a, b=b).roaming(), 100) == [(0, 0), (20, -1), (20.2, 1)]
    assert path(world(a=a, b=b).roaming(), 100) == [(0, 0), (20, -1), (21, 1)]


def test_a_weak_network_is_better_than_none_and_kept_when_it_is_lost() -> None:
    home = signal((0, -80), (10, -100))
    assert path(world(a=home, cell=steady(-120)).roaming(), 50) == [(0, 0)]
    assert path(world(a=steady(-100), cell=steady(-120)).roaming(), 50) == [(0, -1)]


def test_a_phone_that_has_had_no_network_joins_the_first_without_a_gap() -> None:
    home = signal((0, -100), (10, -60))
    assert path(world(a=home, cell=steady(-120)).roaming(), 50) == [(0, -1), (10, 0)]


def fading(seed: int) -> World:
    keys = Streams(seed).keys("rssi", ["a", "b", "cell"])

    def one(row: int, mean: float) -> Signal:
        return GaussMarkovBank(keys[row : row + 1], mean, 8.0, 1.0, 5.0, -110.0, -20.0).signal(0)

    return world("x", a=one(0, -72), b=one(1, -72), cell=one(2, -80))


@given(seed=st.integers(0, 30), times=st.lists(st.floats(0, 300), min_size=1, max_size=20))
@CHECK
def test_the_path_is_the_same_however_it_is_asked(seed: int, times: list[float]) -> None:
    in_order, at_random = fading(seed).roaming(), fading(seed).roaming()
    pieces = path(in_order, 310)
    for time_s in times:
        expected = [number for start_s, number in pieces if start_s <= time_s][-1]
        assert at_random.segment(time_s)[2] == expected


def test_the_past_is_forgotten() -> None:
    one = fading(3)
    connection = one.connection()
    for k in range(20_000):
        one.clock.run_until(float(k))
        connection.link()
    roaming = connection._roaming
    assert roaming is not None
    assert len(roaming._pieces) < 1000
    assert len(one.links["a"].rssi._path) < 4000  # type: ignore[attr-defined]


# --- sessions ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Session:
    clock: Clock
    job: str = "camera"
    energy_j: float = 0.0
    done: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    link: Link | None = None

    def transferred(self) -> None:
        self.done.append(self.clock.now)

    def connection_lost(self) -> None:
        self.lost.append(self.clock.now)
        assert self.link is not None
        self.link.radio.abort(self)

    def moved(self, link: Link) -> None:
        self.link = link

    def tail_ended(self) -> None:
        pass


def begin(one: World, connection: Connection, size_bytes: float) -> Session:
    session = Session(one.clock)
    link = connection.link()
    assert link is not None
    session.link = link
    connection.open(session, link)
    link.send(session, size_bytes, "cloud")
    return session


def test_a_transfer_pauses_in_the_gap_and_goes_on_with_what_it_has_sent() -> None:
    # Two of three seconds are sent when the signal falls; then a gap of 0.2 s, and the third.
    one = world("office", a=signal((0, -50), (2, -75)), b=steady(-50))
    connection = one.connection()
    session = begin(one, connection, 3 * WIFI_BPS / 8)
    one.clock.run_until(2.1)
    assert session.link is one.links["a"]
    assert one.meter.power_w == pytest.approx(
        shipped().phone("pixel_5").wifi.receive_w + shipped().phone("pixel_5").lte.idle_w  # type: ignore[union-attr]
    )
    one.clock.run_until(20)
    assert session.link is one.links["b"]
    assert (session.done, session.lost) == ([pytest.approx(3.2)], [])
    one.meter.audit()


def test_between_networks_of_different_names_a_transfer_is_lost_as_the_gap_begins() -> None:
    for signals in (
        {"a": signal((0, -50), (2, -75)), "b": steady(-50)},
        {"a": signal((0, -50), (2, -95)), "cell": steady(-70)},
    ):
        one = world(**signals)
        session = begin(one, one.connection(), 3 * WIFI_BPS / 8)
        one.clock.run_until(20)
        assert (session.done, session.lost) == ([], [2.0])
        one.meter.audit()


def test_a_session_that_waits_for_an_answer_is_told_too() -> None:
    one = world("office", a=signal((0, -50), (2, -75), (4, -40)), b=steady(-50))
    connection = one.connection()
    session = begin(one, connection, 1e4)
    one.clock.run_until(3)
    assert session.link is one.links["b"]
    connection.close(session)
    one.clock.run_until(5)
    assert session.link is one.links["b"]  # nobody tells it any more


def test_a_link_whose_last_session_ended_in_the_gap_serves_again_later() -> None:
    one = world("office", a=signal((0, -50), (2, -75), (5, -40)), b=steady(-50))
    connection = one.connection()
    first = begin(one, connection, 3 * WIFI_BPS / 8)
    one.clock.run_until(2.1)
    assert first.link is not None
    first.link.radio.abort(first)
    connection.close(first)
    one.clock.run_until(6)
    assert connection.link() is one.links["a"]
    second = begin(one, connection, WIFI_BPS / 8)
    one.clock.run_until(20)
    assert second.done == [pytest.approx(7.0)]


def test_a_place_that_cannot_be_reached_from_the_new_network_is_lost_there() -> None:
    one = world("office", a=signal((0, -50), (2, -75)), b=steady(-50))
    del one.links["b"].network.routes["cloud"]
    session = begin(one, one.connection(), 3 * WIFI_BPS / 8)
    one.clock.run_until(20)
    assert (session.done, session.lost) == ([], [2.2])


def test_a_phone_with_one_network_needs_no_events_for_it() -> None:
    one = world(a=signal(*[(float(k), -50.0 - k % 2) for k in range(100)]))
    connection = one.connection()
    assert connection.link() is one.links["a"]
    one.clock.run_until(200)
    assert one.clock.events == 0


def test_the_course_of_a_session_ends_where_it_is_lost() -> None:
    one = world(a=signal((0, -50), (2, -95)), cell=steady(-70))
    pieces = list(one.connection().course(one.links["a"], 0.5))
    assert [(piece.start_s, piece.end_s) for piece in pieces] == [(0.5, 2.0)]
    two = world("office", a=signal((0, -50), (2, -75)), b=steady(-50))
    course = two.connection().course(two.links["a"], 0.5)
    found = [next(course) for _ in range(3)]
    assert [(piece.start_s, piece.is_gap) for piece in found] == [
        (0.5, False),
        (2.0, True),
        (2.2, False),
    ]
    assert found[2].link is two.links["b"]
    assert found[2].end_s == inf


def test_a_weather_event_and_a_handover_at_one_moment_agree() -> None:
    one = world("office", a=signal((0, -50), (2, -75)), b=signal((0, -50), (2.2, -40)))
    session = begin(one, one.connection(), 3 * WIFI_BPS / 8)
    one.clock.call_at(2.2, Order.WEATHER, lambda _: None)
    one.clock.run_until(20)
    assert session.done == [pytest.approx(3.2)]
