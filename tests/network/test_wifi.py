from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.power import Meter
from edgesim.core.random import Streams
from edgesim.core.signals import ConstantBank, GaussMarkovBank, Signal, TraceBank
from edgesim.network.radio import Ether, Link, Network, Radio, Route, Transfer
from edgesim.network.wifi import DEFAULT_GOODPUT_RATIO, RateTable, WifiPower, access_point

CHECK = settings(derandomize=True, deadline=None, max_examples=60)
MBPS = 1e6

# At 20 MHz and one stream -50 dBm carry 78 Mb/s, -75 dBm 19.5 and -82 dBm 6.5, all of it payload.
STRONG, FAIR, WEAK, LOST = -50.0, -75.0, -82.0, -90.0
STRONG_BYTES, FAIR_BYTES, WEAK_BYTES = (mbps * MBPS / 8 for mbps in (78.0, 19.5, 6.5))
"""Bytes that one second carries."""

POWER = WifiPower(
    streams=1,
    idle_w=0.1,
    receive_w=0.8,
    transmit_w=((-80.0, 3.0), (-70.0, 2.0), (-60.0, 1.0)),
    tail_w=0.4,
    tail_s=0.5,
)


@dataclass(eq=False)
class Someone:
    job: str = "camera"
    energy_j: float = 0.0
    tails: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    clock: Clock | None = None
    waiting: list[tuple[Transfer, Callable[[], None]]] = field(default_factory=list)

    def transferred(self) -> None:
        for transfer, done in list(self.waiting):
            if transfer not in transfer.link.transfers:
                self.waiting.remove((transfer, done))
                done()

    def connection_lost(self) -> None:
        self.lost.append(self.clock.now if self.clock else 0.0)

    def tail_ended(self) -> None:
        self.tails.append(self.clock.now if self.clock else 0.0)


class Wifi:
    """A radio and its one link."""

    def __init__(
        self, ether: Ether, meter: Meter, power: WifiPower, network: Network, rssi: Signal
    ):
        self.network = network
        self.radio = Radio(ether, meter, power)
        self.link = Link(ether, self.radio, network, rssi)
        self.abort, self.stop, self.settle = self.radio.abort, self.radio.stop, self.radio.settle

    def send(self, user: Someone, size_bytes: float, done: Callable[[], None]) -> None:
        self.link.send(user, size_bytes, "cloud")
        user.waiting.append((self.link.transfers[-1], done))

    def receive(self, user: Someone, size_bytes: float, done: Callable[[], None]) -> None:
        self.link.receive(user, size_bytes, "cloud")
        user.waiting.append((self.link.transfers[-1], done))

    @property
    def flows(self) -> int:
        return self.radio.transfers

    @property
    def is_sending(self) -> bool:
        return any(transfer.is_up for transfer in self.link.transfers)

    @property
    def tail_user(self) -> object:
        return self.radio.tail_user


def point(
    clock: Clock, streams: int = 2, lost_after_s: float = inf, is_shared: bool = True
) -> Network:
    network = access_point(
        clock, "home", 20, streams, 1.0, lost_after_s=lost_after_s, is_shared=is_shared
    )
    network.routes["cloud"] = Route((), (), 0.0)
    return network


@dataclass
class Station:
    """One phone's radio on an access point, and what became of its transfers."""

    clock: Clock
    ether: Ether
    radio: Wifi
    meter: Meter
    ends: dict[str, float] = field(default_factory=dict)

    def noted(self, name: str) -> Callable[[], None]:
        return lambda: self.ends.__setitem__(name, self.clock.now)

    def at(self, time_s: float, function: Callable[[], Any]) -> None:
        self.clock.call_at(time_s, Order.ARRIVAL, lambda _: function())

    def booked(self) -> dict[tuple[str, str], float]:
        self.meter.audit()
        rows = self.meter.bookings()
        assert {row[0] for row in rows} <= {"wifi"}
        return {(activity, job): joules for _, activity, job, joules in rows}


def signal(*pieces: tuple[float, float]) -> Signal:
    """A signal strength from pieces (from this second on, dBm)."""
    return TraceBank([t for t, _ in pieces], [v for _, v in pieces]).signal(0)


def station(
    rssi: Signal | float,
    beside: Station | None = None,
    power: WifiPower = POWER,
    lost_after_s: float = inf,
    is_shared: bool = True,
) -> Station:
    ether = beside.ether if beside else Ether(Clock())
    network = beside.radio.network if beside else point(ether.clock, 2, lost_after_s, is_shared)
    meter = Meter(ether.clock, "phone")
    path = ConstantBank([rssi]).signal(0) if isinstance(rssi, float) else rssi
    return Station(ether.clock, ether, Wifi(ether, meter, power, network, path), meter)


# --- rates ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bandwidth_mhz", "streams", "rows"),
    [
        (20, 1, [(-82, 6.5), (-79, 13), (-77, 19.5), (-74, 26), (-70, 39)]),
        (20, 1, [(-70, 39), (-66, 52), (-65, 58.5), (-64, 65), (-59, 78)]),
        (20, 2, [(-82, 13), (-79, 26), (-77, 39), (-74, 52), (-70, 78)]),
        (20, 2, [(-70, 78), (-66, 104), (-65, 117), (-64, 130), (-59, 156)]),
        (40, 1, [(-79, 13.5), (-76, 27), (-74, 40.5), (-71, 54), (-67, 81)]),
        (40, 1, [(-67, 81), (-63, 108), (-62, 121.5), (-61, 135), (-56, 162), (-54, 180)]),
        (40, 2, [(-79, 27), (-76, 54), (-74, 81), (-71, 108), (-67, 162)]),
        (40, 2, [(-67, 162), (-63, 216), (-62, 243), (-61, 270), (-56, 324), (-54, 360)]),
        (80, 1, [(-76, 29.3), (-73, 58.5), (-71, 87.8), (-68, 117), (-64, 175.5)]),
        (80, 1, [(-64, 175.5), (-60, 234), (-59, 263.3), (-58, 292.5), (-53, 351), (-51, 390)]),
        (80, 2, [(-76, 58.6), (-73, 117), (-71, 175.6), (-68, 234), (-64, 351)]),
        (80, 2, [(-64, 351), (-60, 468), (-59, 526.6), (-58, 585), (-53, 702), (-51, 780)]),
    ],
)
def test_the_rate_steps_up_exactly_at_the_sensitivities(
    bandwidth_mhz: int, streams: int, rows: list[tuple[float, float]]
) -> None:
    table = RateTable(bandwidth_mhz, streams, goodput_ratio=0.5)
    for (from_dbm, mbps), (next_dbm, _) in pairwise(rows):
        rate_bps = pytest.approx(0.5 * mbps * MBPS, rel=1e-12)
        assert table.goodput_bps(from_dbm) == rate_bps
        assert table.goodput_bps(np.nextafter(next_dbm, -inf)) == rate_bps
    assert table.goodput_bps(rows[-1][0]) == pytest.approx(0.5 * rows[-1][1] * MBPS, rel=1e-12)


@pytest.mark.parametrize(
    ("bandwidth_mhz", "lowest_dbm", "fastest_mbps"), [(20, -82, 78), (40, -79, 180), (80, -76, 390)]
)
def test_below_the_lowest_sensitivity_nothing_passes_and_at_the_top_no_more(
    bandwidth_mhz: int, lowest_dbm: float, fastest_mbps: float
) -> None:
    table = RateTable(bandwidth_mhz, 1)
    assert table.goodput_bps(np.nextafter(lowest_dbm, -inf)) == 0
    assert table.goodput_bps(-200) == 0
    assert table.goodput_bps(lowest_dbm) > 0
    assert table.goodput_bps(0) == pytest.approx(fastest_mbps * MBPS * DEFAULT_GOODPUT_RATIO)
    assert DEFAULT_GOODPUT_RATIO == 0.65


@pytest.mark.parametrize(
    ("phone", "streams", "mbps"), [(1, 1, 78), (1, 2, 78), (2, 1, 78), (2, 2, 156)]
)
def test_phone_and_access_point_use_the_streams_that_both_have(
    phone: int, streams: int, mbps: float
) -> None:
    power = replace(POWER, streams=phone)
    link = point(Clock(), streams).table(power)
    assert link.at(STRONG).up_bps == link.at(STRONG).down_bps == mbps * MBPS


@given(rssi_dbm=st.one_of(st.floats(-120, 0), st.integers(-120, 0).map(float)))
@CHECK
def test_the_link_at_a_signal_strength_has_its_rate_and_its_watts(rssi_dbm: float) -> None:
    rate_bps = RateTable(20, 1, 1.0).goodput_bps(rssi_dbm)
    link = point(Clock()).table(POWER).at(rssi_dbm)
    assert link.up_bps == link.down_bps == rate_bps
    if rate_bps:
        assert link[2:] == (POWER.transmitting_w(rssi_dbm), 0.8, 0.8)
    else:
        assert link[2:] == (0.4, 0.4, 0.4)


@pytest.mark.parametrize(
    ("rssi_dbm", "power_w"),
    [(-95, 3), (-80, 3), (-70.1, 3), (-70, 2), (-60.1, 2), (-60, 1), (-20, 1)],
)
def test_transmit_power_follows_the_rows_of_signal_strength(
    rssi_dbm: float, power_w: float
) -> None:
    assert POWER.transmitting_w(rssi_dbm) == power_w


def test_the_peak_is_the_most_of_any_state() -> None:
    assert POWER.peak_w == 3.0
    assert WifiPower(1, 0.1, 0.8, ((-80.0, 0.5),), 0.4, 0.5).peak_w == 0.8
    assert WifiPower(1, 0.1, 0.8, ((-80.0, 0.5),), 0.9, 0.5).peak_w == 0.9


@pytest.mark.parametrize("rows", [(), ((-60.0, 1.0), (-70.0, 2.0)), ((-60.0, 1.0), (-60.0, 2.0))])
def test_transmit_rows_out_of_order_are_refused(rows: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="increasing RSSI"):
        WifiPower(1, 0.1, 0.8, rows, 0.4, 0.5)


# --- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [True, False])
def test_a_lone_transfer_takes_its_bits_over_its_rate(up: bool) -> None:
    one = station(FAIR)
    (one.radio.send if up else one.radio.receive)(Someone(), 3 * FAIR_BYTES, one.noted("a"))
    assert (one.radio.flows, one.radio.is_sending) == (1, up)
    one.clock.run_until(10)
    assert one.ends == {"a": 3.0}
    assert (one.radio.flows, one.radio.is_sending) == (0, False)


def test_two_phones_share_the_airtime_evenly_each_at_its_own_rate() -> None:
    fast = station(STRONG)
    slow = station(WEAK, fast)
    fast.radio.send(Someone(), 1 * STRONG_BYTES, fast.noted("a"))
    slow.radio.receive(Someone(), 3 * WEAK_BYTES, slow.noted("b"))
    fast.clock.run_until(10)
    # Half the air each: the fast one needs 2 s; the slow one has had 1 s of its 3 by then.
    assert (fast.ends, slow.ends) == ({"a": 2.0}, {"b": 4.0})


def test_a_phone_with_two_transfers_has_two_shares_of_the_air() -> None:
    one = station(STRONG)
    other = station(STRONG, one)
    one.radio.send(Someone(), STRONG_BYTES, one.noted("up"))
    one.radio.receive(Someone(), STRONG_BYTES, one.noted("down"))
    other.radio.send(Someone(), 2 * STRONG_BYTES, other.noted("up"))
    one.clock.run_until(10)
    assert one.ends == {"up": pytest.approx(3.0), "down": pytest.approx(3.0)}
    assert other.ends == {"up": pytest.approx(4.0)}


def test_phones_at_access_points_of_their_own_do_not_hold_each_other_back() -> None:
    one = station(STRONG, is_shared=False)
    other = station(STRONG, one)
    one.radio.send(Someone(), STRONG_BYTES, one.noted("up"))
    one.radio.receive(Someone(), STRONG_BYTES, one.noted("down"))
    other.radio.send(Someone(), 3 * STRONG_BYTES, other.noted("up"))
    one.clock.run_until(10)
    # Two transfers of one phone share its air all the same.
    assert one.ends == {"up": pytest.approx(2.0), "down": pytest.approx(2.0)}
    assert other.ends == {"up": pytest.approx(3.0)}


def test_a_transfer_goes_on_at_the_new_rate_when_the_signal_changes() -> None:
    one = station(signal((0, STRONG), (2, FAIR), (6, STRONG)))
    one.radio.send(Someone(), 4 * STRONG_BYTES, one.noted("a"))
    one.clock.run_until(20)
    # 2 s of strong signal, 4 s at a quarter of the rate, and 1 s for what is left.
    assert one.ends == {"a": 7.0}


def test_a_transfer_without_signal_stalls_and_resumes() -> None:
    one = station(signal((0, STRONG), (1, LOST), (4, FAIR), (5, LOST), (9, STRONG)))
    one.radio.send(Someone(), 2 * STRONG_BYTES, one.noted("a"))
    one.clock.run_until(20)
    assert one.ends == {"a": 9.75}


def test_a_stalled_transfer_leaves_the_air_to_the_others() -> None:
    lost = station(signal((0, LOST), (1, STRONG)))
    other = station(STRONG, lost)
    lost.radio.send(Someone(), STRONG_BYTES, lost.noted("a"))
    other.radio.send(Someone(), 2 * STRONG_BYTES, other.noted("b"))
    lost.clock.run_until(20)
    assert (lost.ends, other.ends) == ({"a": 3.0}, {"b": 3.0})


def test_a_transfer_sees_the_signal_of_its_own_start() -> None:
    one = station(signal((0, LOST), (3, STRONG), (5, FAIR)))
    one.radio.send(Someone(), STRONG_BYTES, one.noted("early"))
    one.at(4.5, lambda: one.radio.send(Someone(), STRONG_BYTES, one.noted("late")))
    one.clock.run_until(20)
    assert one.ends == {"early": 4.0, "late": 7.0}


def test_nothing_to_transfer_takes_no_time() -> None:
    one = station(STRONG)
    one.radio.send(Someone(), 0, one.noted("a"))
    assert one.ends == {}  # never before send() has returned
    one.clock.run_until(1)
    assert one.ends == {"a": 0.0}


@pytest.mark.parametrize("size_bytes", [0.0, STRONG_BYTES])
def test_a_transfer_that_has_all_its_bits_ends_even_as_the_signal_is_lost(
    size_bytes: float,
) -> None:
    lost_s = size_bytes / STRONG_BYTES
    one = station(signal((0, STRONG), (lost_s, LOST)) if lost_s else LOST)
    one.radio.send(Someone(), size_bytes, one.noted("a"))
    one.clock.run_until(10)
    assert one.ends == {"a": lost_s}


# --- energy --------------------------------------------------------------------------------------


def test_a_transfer_costs_its_state_and_then_the_tail() -> None:
    one = station(FAIR)
    user = Someone(clock=one.clock)
    one.at(1, lambda: one.radio.send(user, 2 * FAIR_BYTES, one.noted("a")))
    one.clock.run_until(10)
    assert one.booked() == {
        ("transmit", "camera"): pytest.approx(2 * 3.0),  # two seconds, 3 W at -75 dBm
        ("tail", "camera"): pytest.approx(0.5 * 0.4),
        ("idle", "none"): pytest.approx((1 + 6.5) * 0.1),
    }
    assert user.energy_j == pytest.approx(6.2)
    assert user.tails == [3.5]
    assert one.radio.tail_user is None


def test_receiving_costs_the_same_whatever_the_signal() -> None:
    for rssi_dbm, size in ((STRONG, STRONG_BYTES), (WEAK, WEAK_BYTES)):
        one = station(rssi_dbm)
        one.radio.receive(Someone(), 2 * size, one.noted("a"))
        one.clock.run_until(3)
        assert one.booked()["receive", "camera"] == pytest.approx(1.6)


def test_transmitting_follows_the_signal_and_a_stalled_radio_only_listens() -> None:
    one = station(signal((0, STRONG), (1, FAIR), (3, LOST), (7, STRONG)))
    user = Someone()
    one.radio.send(user, 2 * STRONG_BYTES, one.noted("a"))
    one.clock.run_until(7.25)
    # 1 s strong, 2 s at a quarter of the rate, 4 s stalled, and half a second's worth to go.
    assert one.ends == {}
    one.clock.run_until(20)
    assert one.ends == {"a": 7.5}
    joules = 1 * 1.0 + 2 * 3.0 + 4 * 0.4 + 0.5 * 1.0
    assert one.booked()["transmit", "camera"] == pytest.approx(joules)


def test_a_tail_is_cut_short_by_the_next_transfer_and_paid_by_the_last_user() -> None:
    one = station(STRONG)
    ann, bob = Someone("a", clock=one.clock), Someone("b", clock=one.clock)
    one.radio.send(ann, STRONG_BYTES, one.noted("a"))
    one.at(1.2, lambda: one.radio.receive(bob, STRONG_BYTES, one.noted("b")))
    one.clock.run_until(10)
    assert one.ends == {"a": 1.0, "b": pytest.approx(2.2)}
    assert one.booked() == {
        ("transmit", "a"): pytest.approx(1.0),
        ("tail", "a"): pytest.approx(0.2 * 0.4),
        ("receive", "b"): pytest.approx(0.8),
        ("tail", "b"): pytest.approx(0.5 * 0.4),
        ("idle", "none"): pytest.approx((10 - 2.7) * 0.1),
    }
    assert (ann.tails, bob.tails) == ([1.2], [pytest.approx(2.7)])


def test_the_tail_belongs_to_the_last_of_two_that_overlap() -> None:
    one = station(STRONG)
    ann, bob = Someone("a"), Someone("b")
    one.radio.send(ann, STRONG_BYTES, one.noted("a"))
    one.radio.receive(bob, 2 * STRONG_BYTES, one.noted("b"))
    one.clock.run_until(10)
    assert one.ends == {"a": 2.0, "b": 3.0}
    # While both are at it the radio sends half of the time, at 1 W, and receives half of it, at
    # 0.8 W; they share that. Then it only receives.
    assert ann.energy_j == pytest.approx(2 * 0.9 / 2)
    assert bob.energy_j == pytest.approx(2 * 0.9 / 2 + 1 * 0.8 + 0.5 * 0.4)
    assert (ann.tails, len(bob.tails)) == ([], 1)
    assert one.booked()["receive", "b"] == pytest.approx(2 * 0.9 / 2 + 1 * 0.8)


def test_sending_never_costs_less_than_receiving() -> None:
    cheap = WifiPower(1, 0.1, 0.8, ((-80.0, 0.5),), 0.4, 0.0)
    one = station(STRONG, power=cheap)
    one.radio.send(Someone(), STRONG_BYTES, one.noted("a"))
    one.clock.run_until(1)
    assert one.meter.power_w == 0.8


def test_a_transfer_started_as_the_last_one_ends_leaves_no_tail_between() -> None:
    one = station(STRONG)
    user = Someone()
    one.radio.send(
        user, STRONG_BYTES, lambda: one.radio.receive(user, STRONG_BYTES, one.noted("back"))
    )
    one.clock.run_until(10)
    assert one.ends == {"back": 2.0}
    assert one.booked()["tail", "camera"] == pytest.approx(0.5 * 0.4)
    assert user.energy_j == pytest.approx(1.0 + 0.8 + 0.2)


def test_whoever_waits_for_its_share_of_the_air_listens() -> None:
    fast = station(STRONG)
    slow = station(WEAK, fast)
    user, other = Someone(), Someone()
    fast.radio.send(user, STRONG_BYTES, fast.noted("a"))
    slow.radio.send(other, 9 * WEAK_BYTES, slow.noted("b"))
    fast.clock.run_until(2.5)
    fast.radio.settle()
    # Two seconds, half of each sending at 1 W and half listening at 0.8 W.
    assert user.energy_j == pytest.approx(2 * 0.9 + 0.5 * 0.4)
    slow.clock.run_until(20)
    # The other one sends at 3 W below -70 dBm: half of 2 s, then all of 8 s.
    assert other.energy_j == pytest.approx(2 * 0.5 * (3.0 + 0.8) + 8 * 3.0 + 0.5 * 0.4)


def test_aborting_books_the_cost_so_far_and_is_followed_by_the_tail() -> None:
    one = station(STRONG)
    ann, bob = Someone("a"), Someone("b", clock=one.clock)
    one.radio.send(ann, 9 * STRONG_BYTES, one.noted("a up"))
    one.radio.receive(ann, 9 * STRONG_BYTES, one.noted("a down"))
    one.radio.receive(bob, 1 * STRONG_BYTES, one.noted("b"))
    one.at(1.5, lambda: one.radio.abort(ann))
    one.clock.run_until(1.75)
    assert (one.radio.flows, one.radio.is_sending) == (1, False)
    together_w = 0.8 + 0.2 / 3  # a third of the time sending, two thirds receiving
    assert ann.energy_j == pytest.approx(1.5 * together_w * 2 / 3)
    one.at(1.9, lambda: one.radio.abort(bob))
    one.clock.run_until(5)
    assert one.ends == {}
    assert (ann.tails, bob.tails) == ([], [2.4])
    assert one.booked() == {
        ("transmit", "a"): pytest.approx(0.5 * together_w),
        ("receive", "a"): pytest.approx(0.5 * together_w),
        ("receive", "b"): pytest.approx(0.5 * together_w + 0.4 * 0.8),
        ("tail", "b"): pytest.approx(0.5 * 0.4),
        ("idle", "none"): pytest.approx(2.6 * 0.1),
    }


def test_aborting_someone_who_transfers_nothing_does_not_disturb_a_tail() -> None:
    one = station(STRONG)
    ann = Someone("a", clock=one.clock)
    one.radio.send(ann, STRONG_BYTES, one.noted("a"))
    one.at(1.2, lambda: one.radio.abort(Someone("b")))
    one.clock.run_until(5)
    assert ann.tails == [1.5]
    assert one.booked()["tail", "a"] == pytest.approx(0.2)


def test_the_air_that_an_aborted_transfer_had_goes_to_the_others() -> None:
    one = station(STRONG)
    other = station(STRONG, one)
    ann = Someone()
    one.radio.send(ann, 9 * STRONG_BYTES, one.noted("a"))
    other.radio.send(Someone(), 2 * STRONG_BYTES, other.noted("b"))
    one.at(1, lambda: one.radio.abort(ann))
    one.clock.run_until(5)
    assert (one.ends, other.ends) == ({}, {"b": 2.5})


def test_a_stopped_radio_books_everything_and_draws_nothing_more() -> None:
    one = station(STRONG)
    ann, bob = Someone("a"), Someone("b")
    one.radio.send(ann, 9 * STRONG_BYTES, one.noted("a"))
    one.radio.receive(bob, 9 * STRONG_BYTES, one.noted("b"))
    one.at(2, one.radio.stop)
    one.clock.run_until(50)
    assert one.ends == {}
    assert one.meter.power_w == 0
    assert one.booked() == {
        ("transmit", "a"): pytest.approx(0.9),  # half the air each: 1 W and 0.8 W
        ("receive", "b"): pytest.approx(0.9),
        ("tail", "b"): 0.0,
    }


def test_a_radio_stopped_in_its_tail_books_the_tail_so_far() -> None:
    one = station(STRONG)
    ann = Someone("a", clock=one.clock)
    one.radio.send(ann, STRONG_BYTES, one.noted("a"))
    one.at(1.25, one.radio.stop)
    one.clock.run_until(50)
    assert one.booked() == {
        ("transmit", "a"): pytest.approx(1.0),
        ("tail", "a"): pytest.approx(0.1),
    }
    assert ann.tails == [1.25]


def test_a_radio_forgets_the_signal_of_the_past() -> None:
    one = station(fading(5))
    path: Any = one.radio.link.rssi
    for k in range(2000):
        one.clock.run_until(2.0 * k)
        one.radio.send(Someone(), 1e4, one.noted("a"))
    assert len(path._path) < 4000  # of the forty thousand values that there have been


# --- looking ahead -------------------------------------------------------------------------------


def fading(seed: int, low: float = -95.0) -> Signal:
    """Weak enough to stall now and then, quick enough to change many times in a transfer."""
    key = Streams(seed).keys("rssi", ["phone"])
    return GaussMarkovBank(key, -74.0, 6.0, 0.1, 0.8, low, -20.0).signal(0)


def test_a_link_knows_its_signal_of_the_moment() -> None:
    one, path = station(fading(8)), fading(8)
    for time_s in (0.0, 0.05, 0.1, 7.33, 7.4, 50.0):
        one.clock.run_until(time_s)
        assert one.radio.link.is_connected == (path.value(time_s) >= -82)
        assert one.radio.link.rssi_dbm == path.value(time_s)


@given(
    seed=st.integers(0, 50),
    start_s=st.floats(0, 30),
    size_bytes=st.one_of(st.floats(1, 4e7), st.floats(1, 1e5)),
    up=st.booleans(),
)
@CHECK
def test_a_transfer_over_a_fading_signal_costs_what_its_pieces_do(
    seed: int, start_s: float, size_bytes: float, up: bool
) -> None:
    one, path = station(fading(seed)), fading(seed)
    user, table = Someone(), point(Clock()).table(POWER)
    one.clock.run_until(start_s)
    (one.radio.send if up else one.radio.receive)(user, size_bytes, one.noted("a"))
    left_bits, end_s, joules = size_bytes * 8, start_s, 0.0
    for from_s, to_s, rssi_dbm in path.segments(start_s, inf):
        state = table.at(rssi_dbm)
        is_last = state.up_bps * (to_s - from_s) >= left_bits
        seconds = left_bits / state.up_bps if is_last else to_s - from_s
        left_bits -= state.up_bps * seconds
        joules += seconds * (state.send_w if up else state.receive_w)
        end_s = from_s + seconds
        if is_last:
            break
    one.clock.run_until(end_s + 1.0)
    assert one.ends["a"] == pytest.approx(end_s, rel=1e-9, abs=1e-9)
    assert user.energy_j == pytest.approx(joules + POWER.tail_s * POWER.tail_w, rel=1e-9, abs=1e-9)
