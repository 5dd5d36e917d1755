"""Radios by hand: what each state costs, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock, Order
from edgesim.core.power import Meter
from edgesim.core.signals import ConstantBank, Signal, TraceBank
from edgesim.hardware.catalogue import shipped
from edgesim.network.lte import LtePower, LteRates, cell
from edgesim.network.radio import Ether, Link, Network, Partner, Radio, Route
from edgesim.network.wifi import WifiPower, access_point

LTE = LtePower(
    layers=1,
    idle_w=0.01,
    active_w=1.0,
    receive_w_per_bps=5e-8,
    transmit_w=((-40.0, 2.0), (10.0, 3.0)),
    promotion_s=0.25,
    promotion_w=0.8,
    inactivity_s=0.1,
    tail_s=10.1,
    tail_w=0.5,
    drx_cycle_s=0.04,
    paging_cycle_s=1.28,
)
WIFI = WifiPower(2, 0.1, 0.8, ((-80.0, 2.0),), 0.4, 0.5)


@dataclass(eq=False)
class User:
    clock: Clock
    job: str = "camera"
    energy_j: float = 0.0
    done: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    tails: list[float] = field(default_factory=list)
    then: Callable[[], None] = lambda: None

    def transferred(self) -> None:
        self.done.append(self.clock.now)
        then, self.then = self.then, lambda: None
        then()

    def connection_lost(self) -> None:
        self.lost.append(self.clock.now)

    def tail_ended(self) -> None:
        self.tails.append(self.clock.now)


class Bench:
    """A cell or an access point, and phones at it."""

    def __init__(self, kind: str = "lte", lost_after_s: float = inf) -> None:
        self.clock = Clock()
        self.ether = Ether(self.clock)
        if kind == "lte":
            self.network = cell(self.clock, "macro", 10, 2, lost_after_s=lost_after_s)
        else:
            self.network = access_point(self.clock, "home", 20, 2, 1.0, lost_after_s=lost_after_s)
        self.network.routes["cloud"] = Route((), (), 0.0)

    def phone(self, rssi: float | Signal, power: Any = None) -> tuple[Link, Meter, User]:
        meter = Meter(self.clock, "phone")
        default = LTE if self.network.kind == "lte" else WIFI
        radio = Radio(self.ether, meter, power or default)
        path = rssi if isinstance(rssi, Signal) else ConstantBank([rssi]).signal(0)
        return Link(self.ether, radio, self.network, path), meter, User(self.clock)

    def at(self, time_s: float, function: Callable[[], Any]) -> None:
        self.clock.call_at(time_s, Order.ARRIVAL, lambda _: function())


def signal(*pieces: tuple[float, float]) -> Signal:
    return TraceBank([t for t, _ in pieces], [v for _, v in pieces]).signal(0)


def booked(meter: Meter) -> dict[str, float]:
    meter.audit()
    rows: dict[str, float] = {}
    for _, activity, _, joules in meter.bookings():
        rows[activity] = rows.get(activity, 0.0) + joules
    return rows


# --- LTE by hand ---------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["pixel_5", "galaxy_s10e", "mi_8_pro"])
@pytest.mark.parametrize("size_bytes", [1e4, 1e5, 1e6, 1e7])
@pytest.mark.parametrize("up", [True, False])
@pytest.mark.parametrize("rssi_dbm", [-60.0, -75.0, -88.0])
def test_a_transfer_from_idle_costs_what_arithmetic_says(
    profile: str, size_bytes: float, up: bool, rssi_dbm: float
) -> None:
    power = shipped().phone(profile).lte
    assert power is not None
    bench = Bench()
    link, meter, user = bench.phone(rssi_dbm, power)
    (link.send if up else link.receive)(user, size_bytes, "cloud")
    bench.clock.run_until(4000)
    # By hand: paging for what comes down, promotion, the bits at the signal's rate, then the tail.
    rates = LteRates(10, min(power.layers, 2))
    rate_bps = rates.up_bps(rssi_dbm) if up else rates.down_bps(rssi_dbm)
    busy_w = rates.transmitting_w(power, rssi_dbm)
    if not up:
        busy_w = power.active_w + power.receive_w_per_bps * rate_bps
    seconds = 8 * size_bytes / rate_bps
    start_s = power.promotion_s + (0.0 if up else power.paging_cycle_s / 2)
    assert user.done == [pytest.approx(start_s + seconds, rel=1e-12)]
    assert user.energy_j == pytest.approx(
        power.promotion_s * power.promotion_w
        + seconds * busy_w
        + power.inactivity_s * power.active_w
        + (power.tail_s - power.inactivity_s) * power.tail_w,
        rel=1e-12,
    )
    assert user.tails == [pytest.approx(start_s + seconds + power.tail_s, rel=1e-12)]
    assert meter.power_w == power.idle_w
    assert sum(booked(meter).values()) == pytest.approx(meter.drawn_j, rel=1e-12)


def test_states_of_an_lte_radio_one_after_the_other() -> None:
    bench = Bench()
    link, meter, user = bench.phone(-60.0)
    rate_bps = LteRates(10, 1).up_bps(-60.0)
    link.send(user, 2 * rate_bps / 8, "cloud")
    watts = {}
    for time_s in (0.1, 1.0, 2.3, 5.0, 12.34, 12.36):
        bench.clock.run_until(time_s)
        watts[time_s] = meter.power_w
    send_w = LteRates(10, 1).transmitting_w(LTE, -60.0)
    assert watts == {0.1: 0.8, 1.0: send_w, 2.3: 1.0, 5.0: 0.5, 12.34: 0.5, 12.36: 0.01}


@pytest.mark.parametrize(
    ("gap_s", "wait_s", "promoted"),
    [(0.05, 0.0, False), (0.2, 0.02, False), (9.0, 0.02, False), (11.0, 0.64, True)],
)
def test_what_comes_down_waits_until_the_radio_listens(
    gap_s: float, wait_s: float, promoted: bool
) -> None:
    bench = Bench()
    link, meter, user = bench.phone(-60.0)
    down_bps = LteRates(10, 1).down_bps(-60.0)
    user.then = lambda: bench.at(
        bench.clock.now + gap_s, lambda: link.receive(user, down_bps / 8, "cloud")
    )
    link.send(user, 1e5, "cloud")
    bench.clock.run_until(60)
    sent_s, received_s = user.done
    later_s = gap_s + wait_s + (LTE.promotion_s if promoted else 0.0) + 1.0
    assert received_s - sent_s == pytest.approx(later_s, rel=1e-12)
    tail_j = booked(meter)["tail"]
    between_j = 0.1 * 1.0 + min(gap_s + wait_s - 0.1, 10.0) * 0.5
    if gap_s < 0.1:
        between_j = gap_s * 1.0
    assert tail_j == pytest.approx(between_j + 0.1 + 10.0 * 0.5)
    assert booked(meter)["promotion"] == pytest.approx((2 if promoted else 1) * 0.25 * 0.8)


def test_a_promotion_that_is_given_up_leads_back_to_idle() -> None:
    bench = Bench()
    link, meter, user = bench.phone(-60.0)
    link.send(user, 1e6, "cloud")
    bench.at(0.1, lambda: link.radio.abort(user))
    bench.clock.run_until(5)
    assert (user.done, user.tails) == ([], [])
    assert booked(meter) == {
        "promotion": pytest.approx(0.08),
        "idle": pytest.approx(4.9 * 0.01),
    }


def test_two_that_wait_for_one_promotion_share_it() -> None:
    bench = Bench()
    link, meter, ann = bench.phone(-60.0)
    bob = User(bench.clock, "b")
    link.send(ann, 1e5, "cloud")
    bench.at(0.15, lambda: link.send(bob, 1e5, "cloud"))
    bench.clock.run_until(0.25)
    meter.settle()
    bench.clock.run_until(60)
    # 0.15 s alone, 0.1 s together; both then send at the same moment, half the cell each.
    assert booked(meter)["promotion"] == pytest.approx(0.25 * 0.8)
    assert ann.done == bob.done == [pytest.approx(0.25 + 2 * 8e5 / LteRates(10, 1).up_bps(-60.0))]


def test_two_phones_share_a_cell_by_resource_blocks() -> None:
    bench = Bench()
    near, _, ann = bench.phone(-60.0)
    far, far_meter, bob = bench.phone(-85.0)
    near_bps, far_bps = (LteRates(10, 1).up_bps(dbm) for dbm in (-60.0, -85.0))
    near.send(ann, near_bps / 8, "cloud")
    far.send(bob, 2 * far_bps / 8, "cloud")
    bench.clock.run_until(60)
    assert ann.done == [pytest.approx(0.25 + 2.0)]
    assert bob.done == [pytest.approx(0.25 + 3.0)]
    # Half of the blocks: half of the sending power, and half of just being connected.
    send_w = LteRates(10, 1).transmitting_w(LTE, -85.0)
    assert booked(far_meter)["transmit"] == pytest.approx(2 * (1.0 + send_w) / 2 + send_w)
    # Down and up are apart.
    near.receive(ann, 1e6, "cloud")
    far.send(bob, 1e4, "cloud")
    assert near.network.down is not near.network.up


def test_the_rate_follows_the_signal_in_mid_transfer() -> None:
    bench = Bench()
    link, _, user = bench.phone(signal((0, -60.0), (2, -85.0)))
    fast, slow = (LteRates(10, 1).up_bps(dbm) for dbm in (-60.0, -85.0))
    link.send(user, (1.75 * fast + 3 * slow) / 8, "cloud")
    bench.clock.run_until(60)
    assert user.done == [pytest.approx(5.0, rel=1e-12)]


# --- lost connections ----------------------------------------------------------------------------


@pytest.mark.parametrize(("dead_s", "is_lost"), [(2.9, False), (3.1, True)])
def test_a_link_without_any_rate_for_too_long_is_lost(dead_s: float, is_lost: bool) -> None:
    bench = Bench("wifi", lost_after_s=3.0)
    link, meter, user = bench.phone(signal((0, -50.0), (1, -100.0), (1 + dead_s, -50.0)))
    link.send(user, 2 * 156e6 / 8, "cloud")
    bench.clock.run_until(60)
    if is_lost:
        assert (user.done, user.lost) == ([], [4.0])
        assert booked(meter)["transmit"] == pytest.approx(1 * 2.0 + 3 * 0.4)
    else:
        assert (user.done, user.lost) == ([pytest.approx(2 + dead_s)], [])
    assert len(user.tails) == 1


def test_a_transfer_that_begins_where_there_is_no_signal_has_its_own_patience() -> None:
    bench = Bench("wifi", lost_after_s=3.0)
    link, _, ann = bench.phone(-100.0)
    bob = User(bench.clock)
    link.send(ann, 1e6, "cloud")
    bench.at(1, lambda: link.radio.abort(ann))
    bench.at(2, lambda: link.send(bob, 1e6, "cloud"))
    bench.clock.run_until(60)
    assert (ann.lost, bob.lost) == ([], [5.0])


@pytest.mark.parametrize("is_given_up", [False, True])
def test_a_transfer_that_joins_one_without_signal_has_its_own_patience(is_given_up: bool) -> None:
    bench = Bench("wifi", lost_after_s=3.0)
    link, _, ann = bench.phone(-100.0)
    bob = User(bench.clock)
    link.send(ann, 1e6, "cloud")
    bench.at(2, lambda: link.send(bob, 1e6, "cloud"))
    if is_given_up:
        bench.at(2.5, lambda: link.radio.abort(ann))
    bench.clock.run_until(60)
    assert (ann.lost, bob.lost) == ([] if is_given_up else [3.0], [5.0])


# --- given up before a bit has flowed --------------------------------------------------------------


def test_what_is_given_up_while_it_waits_for_paging_costs_nothing() -> None:
    bench = Bench()
    link, meter, user = bench.phone(-60.0)
    link.receive(user, 1e6, "cloud")
    bench.at(0.5, lambda: link.radio.abort(user))  # it would have been paged at 0.64 s
    bench.clock.run_until(5)
    assert (user.done, user.tails, user.energy_j) == ([], [], 0.0)
    assert booked(meter) == {"idle": pytest.approx(5 * 0.01)}


def test_a_promotion_goes_on_for_whoever_still_waits_for_it() -> None:
    bench = Bench()
    link, meter, ann = bench.phone(-60.0)
    bob = User(bench.clock)
    link.send(ann, 1e6, "cloud")
    bench.at(0.05, lambda: link.send(bob, 1e5, "cloud"))
    bench.at(0.15, lambda: link.radio.abort(ann))
    bench.clock.run_until(60)
    # Alone for 0.05 s, two for 0.1 s; the other one pays for the last 0.1 s and all that follows.
    assert ann.energy_j == pytest.approx((0.05 + 0.1 / 2) * 0.8)
    assert (ann.done, ann.tails) == ([], [])
    assert bob.done == [pytest.approx(0.25 + 8e5 / LteRates(10, 1).up_bps(-60.0))]
    assert booked(meter)["promotion"] == pytest.approx(0.25 * 0.8)


def test_a_promotion_that_begins_anew_takes_its_whole_time_again() -> None:
    bench = Bench()
    link, meter, user = bench.phone(-60.0)
    link.send(user, 1e5, "cloud")
    bench.at(0.1, lambda: link.radio.abort(user))
    bench.at(0.2, lambda: link.send(user, 1e5, "cloud"))
    bench.clock.run_until(60)
    assert user.done == [pytest.approx(0.2 + 0.25 + 8e5 / LteRates(10, 1).up_bps(-60.0))]
    assert booked(meter)["promotion"] == pytest.approx((0.1 + 0.25) * 0.8)


# --- Wi-Fi Direct --------------------------------------------------------------------------------


def test_both_radios_of_a_wifi_direct_link_are_booked() -> None:
    clock = Clock()
    ether = Ether(clock)
    network: Network = access_point(clock, "beside", 20, 2, 1.0, kind="wifi_direct")
    network.routes["tablet"] = Route((), (), 0.0)
    meters = [Meter(clock, name) for name in ("phone", "tablet")]
    tablet_power = WifiPower(2, 0.2, 0.6, ((-80.0, 1.5),), 0.3, 1.0)
    own, other = Radio(ether, meters[0], WIFI), Radio(ether, meters[1], tablet_power)
    link = Link(
        *(ether, own, network, ConstantBank([-50.0]).signal(0), None),
        lambda: Partner(other, network.table(tablet_power)),
    )
    user, visit = User(clock), User(clock, "visit")
    link.send(user, 156e6 / 8, "tablet", visit)
    clock.run_until(0.5)
    assert (meters[0].power_w, meters[1].power_w) == (2.0, 0.6)
    user.then = lambda: link.receive(user, 156e6 / 8, "tablet", visit)
    clock.run_until(1.5)
    assert (meters[0].power_w, meters[1].power_w) == (0.8, 1.5)
    clock.run_until(10)
    assert user.energy_j == pytest.approx(2.0 + 0.8 + 0.5 * 0.4)
    assert visit.energy_j == pytest.approx(0.6 + 1.5 + 1.0 * 0.3)
    for meter in meters:
        meter.audit()
    assert (user.done, visit.done) == ([1.0, 2.0], [])


def test_a_radio_that_sends_and_receives_at_once_divides_its_time() -> None:
    bench = Bench("wifi")
    link, meter, ann = bench.phone(-50.0)
    link.send(ann, 156e6 / 8, "cloud")
    link.receive(User(bench.clock), 156e6 / 8, "cloud")
    bench.clock.run_until(1.0)
    assert meter.power_w == pytest.approx(0.8 + 0.5 * (2.0 - 0.8))


@pytest.mark.parametrize("is_aborted", [False, True])
def test_what_goes_on_costs_no_more_than_itself_when_the_other_direction_is_over(
    is_aborted: bool,
) -> None:
    bench = Bench()
    link, meter, ann = bench.phone(-60.0)
    bob = User(bench.clock)
    rates = LteRates(10, 1)
    link.send(ann, (9 if is_aborted else 1) * rates.up_bps(-60.0) / 8, "cloud")
    bench.at(0.25, lambda: link.receive(bob, 2 * rates.down_bps(-60.0) / 8, "cloud"))
    bench.at(1.25, lambda: link.radio.abort(ann) if is_aborted else None)
    send_w = rates.transmitting_w(LTE, -60.0)
    receive_w = 1.0 + 5e-8 * rates.down_bps(-60.0)
    bench.clock.run_until(1.0)
    # Each has its cell's direction to itself, and the radio has time for half of each.
    assert meter.power_w == pytest.approx((send_w + receive_w) / 2)
    bench.clock.run_until(2.0)
    assert meter.power_w == pytest.approx(receive_w)
    bench.clock.run_until(2.26)
    assert (bob.done, meter.power_w) == ([pytest.approx(2.25)], 1.0)


# --- whatever happens ------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 2),
        st.sampled_from(["send", "send", "receive", "receive", "abort", "off and on", "look"]),
        st.integers(0, 60),
    ),
    min_size=8,
    max_size=40,
)
FADES = st.lists(st.sampled_from([-55.0, -75.0, -88.0, -125.0]), min_size=1, max_size=12)


@pytest.mark.parametrize("kind", ["lte", "wifi"])
@given(steps=STEPS, fades=st.tuples(FADES, FADES, FADES), patience_s=st.sampled_from([0.7, inf]))
@settings(derandomize=True, deadline=None, max_examples=150)
def test_watts_follow_the_airtime_and_the_books_balance(
    kind: str,
    steps: list[tuple[int, int, str, int]],
    fades: tuple[list[float], ...],
    patience_s: float,
) -> None:
    bench = Bench(kind, patience_s)
    phones = [
        bench.phone(signal(*((1.37 * k, dbm) for k, dbm in enumerate([*some, -55.0]))))
        for some in fades
    ]
    users: list[tuple[int, User]] = []

    def flowing(number: int, is_up: bool) -> int:
        """Transfers of a phone in one direction that have a rate at present."""
        link = phones[number][0]
        bps = link.look().up_bps if is_up else link.look().down_bps
        return sum(one.is_flowing and one.is_up == is_up for one in link.transfers) if bps else 0

    def check() -> None:
        totals = [sum(flowing(k, is_up) for k in range(3)) for is_up in (True, False)]
        if kind == "wifi":
            totals = [sum(totals)] * 2
        for number, (link, meter, _) in enumerate(phones):
            if any(one.is_flowing for one in link.transfers):
                up, down = (
                    flowing(number, is_up) / max(total, 1)
                    for is_up, total in zip((True, False), totals, strict=True)
                )
                state = link.look()
                extra_w = (state.send_w - state.listen_w) * up
                extra_w += (state.receive_w - state.listen_w) * down
                extra_w /= max(up + down, 1.0)
                assert meter.power_w == pytest.approx(state.listen_w + extra_w, rel=1e-9)

    for gap, number, what, size in steps:
        link, _, _ = phones[number]
        # On no moment at which a signal changes: who comes first then is another matter.
        bench.clock.run_until(bench.clock.now + gap * 0.00777)
        if what in ("send", "receive"):
            user = User(bench.clock, f"job_{len(users) % 2}")
            users.append((number, user))
            (link.send if what == "send" else link.receive)(user, size * 2e5, "cloud")
        elif what == "abort" and users:
            of, user = users[size % len(users)]
            phones[of][0].radio.abort(user)
        elif what == "off and on":
            link.radio.stop()
            assert (link.radio.state.power_w, link.transfers) == (0.0, [])
            link.radio.start()
        bench.clock.run_until(bench.clock.now + 1e-6)
        check()
    bench.clock.run_until(bench.clock.now + 4000)
    for number, (link, meter, _) in enumerate(phones):
        assert link.radio.is_idle
        assert meter.power_w == link.radio.power.idle_w
        meter.audit()
        rows = meter.bookings()
        assert sum(row[3] for row in rows) == pytest.approx(meter.drawn_j, rel=1e-12)
        of_users = sum(user.energy_j for of, user in users if of == number)
        of_jobs = sum(row[3] for row in rows if row[2] != "none")
        assert of_users == pytest.approx(of_jobs, rel=1e-9, abs=1e-12)
    for air in (bench.network.up, bench.network.down):
        assert air.flows == 0
