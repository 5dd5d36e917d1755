"""What would come of a choice: the simulation's own arithmetic, played forward for one request.

Everything that others do is frozen as it is at the moment of asking, and nobody arrives later; the
weather is the one that will really be. In a world with nothing else in it the answer equals the
simulation to 1e-9. A battery that would run empty meanwhile is not foreseen, nor is heat that would
limit a processor more than it does now.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from edgesim.core.units import BITS_PER_BYTE
from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import Arithmetic, Processor, Task
from edgesim.network.radio import Link, drawing_w, tail_j
from edgesim.network.roaming import CoursePiece
from edgesim.workloads.menu import Plan

__all__ = [
    "LOOK_AHEAD_S",
    "Leg",
    "forecast_local",
    "forecast_part",
    "forecast_remote",
    "link_at",
    "play",
]

LOOK_AHEAD_S = 3600.0
"""A transfer that would not end within so long counts as never ending."""


def forecast_local(phone: Phone, plan: Plan, start_s: float) -> tuple[float, float]:
    """End and joules of a plan that starts on a phone at ``start_s``.

    Both are infinite if the model has no room there.
    """
    read_s = layout_s = 0.0
    if plan.read_s and not phone.memory.is_ready(plan.memory_key):
        if not phone.memory.has_room(plan.resident_bytes):
            return inf, inf
        read_s, layout_s = plan.read_s, plan.layout_s
    processor = phone.processor(plan.processor).place
    time_s, energy_j = start_s + read_s, 0.0
    for each in (Arithmetic(layout_s), plan.task) if layout_s else (plan.task,):
        time_s, each_j = play(phone, processor, each, plan.level, time_s)
        energy_j += each_j
    return time_s, energy_j


def play(
    phone: Phone, processor: Processor, task: Task, level: int | None, start_s: float
) -> tuple[float, float]:
    """End and joules of a task, with the apps that will run meanwhile."""
    around = phone.surroundings
    jobs = processor.capacity.in_service + 1
    wish = processor.wish(level)
    energy_j, left = 0.0, 1.0
    for from_s, to_s, app_number in around.app.segments(start_s, inf):
        app = around.apps[int(app_number)]
        pace = processor.pace(jobs, wish, app.cpu, app.memory)
        run_s = processor.alone_s(task, pace) / pace.own * jobs
        if run_s == inf:
            return inf, inf
        power_w = processor.own_w(pace) / jobs
        if left * run_s <= to_s - from_s:
            return from_s + left * run_s, energy_j + power_w * left * run_s
        left -= (to_s - from_s) / run_s
        energy_j += power_w * (to_s - from_s)
    raise AssertionError("a signal's segments go on for ever")


def forecast_remote(
    phone: Phone,
    plan: Plan,
    input_bytes: float,
    output_bytes: float,
    now_s: float,
    start_s: float,
) -> tuple[float, float]:
    """End of a request sent elsewhere at ``start_s``, and what the phone's radio costs, tail included.

    Args:
        phone: the phone.
        plan: what is done there.
        input_bytes: payload there,
        output_bytes: and back.
        now_s: the present.
        start_s: when it begins, now or later.

    Returns:
        Both infinite if no link leads there then, or the connection is lost on the way.
    """
    link = link_at(phone, plan.place, start_s)
    if link is None:
        return inf, inf
    radio, power = link.radio, link.radio.power
    sent = Leg(phone, link, plan.place, start_s, radio.is_idle_at(start_s), is_up=True)
    uploaded_s = sent.carry(input_bytes)
    if uploaded_s == inf:
        return inf, inf
    half_rtt_s = sent.link.network.routes[plan.place].half_rtt_s
    served_s = _served_s(phone, plan, uploaded_s + half_rtt_s, now_s)
    if served_s == inf or not sent.goes_on_until(served_s):
        return inf, inf
    back_s = served_s + sent.link.network.routes[plan.place].half_rtt_s
    if not sent.goes_on_until(back_s):
        return inf, inf
    # Between the two transfers the radio is in its tail, unless somebody else keeps it busy.
    gap_s, gap_j, is_idle = back_s - uploaded_s, 0.0, False
    tail = power.tail
    if not radio.transfers:
        phase_end_s, wait_s, is_idle = 0.0, power.idle_wait_s, True
        for phase in tail:
            phase_end_s += phase.seconds
            if gap_s < phase_end_s:
                wait_s, is_idle = phase.wait_s, False
                break
        back_s += wait_s
        gap_j = tail_j(tail, gap_s + wait_s)
        is_idle = is_idle or gap_s + wait_s >= sum(phase.seconds for phase in tail)
    received = Leg(phone, sent.link, plan.place, back_s, is_idle, is_up=False)
    end_s = received.carry(output_bytes)
    if end_s == inf:
        return inf, inf
    tail_after_j = 0.0 if radio.transfers else tail_j(tail, inf)
    return end_s, sent.energy_j + gap_j + received.energy_j + tail_after_j


def forecast_part(
    phone: Phone,
    site: str,
    processor: str,
    level: int | None,
    task: Task,
    payload_bytes: tuple[float, float],
    collected: tuple[float, float] | None = None,
) -> tuple[float, float]:
    """When a client would be back with its update, and what its part would cost on its phone.

    Args:
        phone: its phone.
        site: where the coordinator is.
        processor: on which it trains,
        level: at which level, if that is not its governor's business.
        task: the training.
        payload_bytes: what comes down, and what goes up.
        collected: when it has collected its data, and joules of that, the camera's tail included;
            ``None``: it is there already.

    Returns:
        The moment at which the update has arrived, and joules, all tails included.
        Both infinite if it would never come.
    """
    now_s = phone.clock._now
    start_s, collecting_j = (now_s, 0.0) if collected is None else collected
    link = link_at(phone, site, start_s) if start_s < inf else None
    if not phone.is_on or link is None:
        return inf, inf
    radio, tail = link.radio, link.radio.power.tail
    half_rtt_s = link.network.routes[site].half_rtt_s
    is_idle = radio.is_idle_at(start_s + half_rtt_s)
    wait_s = radio.power.idle_wait_s if is_idle else 0.0
    came = Leg(phone, link, site, start_s + half_rtt_s + wait_s, is_idle, is_up=False)
    came_s = came.carry(payload_bytes[0])
    if came_s == inf:
        return inf, inf
    place = phone.processor(processor).place
    trained_s, training_j = play(phone, place, task, level, came_s)
    link = link_at(phone, site, trained_s) if trained_s < inf else None
    if link is None:
        return inf, inf
    gap_s = trained_s - came_s
    rests = not radio.transfers and gap_s >= sum(phase.seconds for phase in tail)
    went = Leg(phone, link, site, trained_s, rests, is_up=True)
    went_s = went.carry(payload_bytes[1])
    if went_s == inf:
        return inf, inf
    tails_j = 0.0 if radio.transfers else tail_j(tail, gap_s) + tail_j(tail, inf)
    # What keeps a phone awake is shared by all that goes on there, this part included.
    base_j = phone.spec.awake_w / (len(phone.active) + 1) * (went_s - now_s)
    energy_j = came.energy_j + training_j + went.energy_j + tails_j + base_j + collecting_j
    return went_s + half_rtt_s, energy_j


def link_at(phone: Phone, place: str, time_s: float) -> Link | None:
    """The way to a place at that time."""
    if place in phone.nearby:
        return phone.nearby[place]
    link = None if phone.connection is None else phone.connection.link_at(time_s)
    return link if link is not None and place in link.network.routes else None


def _served_s(phone: Phone, plan: Plan, arrive_s: float, now_s: float) -> float:
    """When the other side will have done its work."""
    if plan.server is not None:
        return plan.server.forecast_s(plan.processor, plan.task, arrive_s, now_s)
    end_s, _ = forecast_local(phone.hosts[plan.place](), plan, arrive_s)
    return end_s


class Leg:
    """A transfer to come, along the weather as it will really be.

    Args:
        phone: the phone.
        link: over which link it begins.
        place: where to, or where from.
        start_s: when.
        is_idle: whether the radio must be promoted first.
        is_up: whether it goes to the place.

    Attributes:
        link: over which link it ends.
        end_s: when.
        energy_j: what the phone's radio spends on it.
    """

    def __init__(
        self, phone: Phone, link: Link, place: str, start_s: float, is_idle: bool, *, is_up: bool
    ) -> None:
        power = link.radio.power
        self.link = link
        self.end_s = start_s
        self.energy_j = 0.0
        self._phone = phone
        self._place = place
        self._is_up = is_up
        if is_idle:
            self.end_s += power.promotion_s
            self.energy_j = power.promotion_w * power.promotion_s

    def carry(self, size_bytes: float) -> float:
        """Transfer so much; the moment of the last bit, infinity if the connection is lost."""
        start_s, left_bits, dead_since_s = self.end_s, size_bytes * BITS_PER_BYTE, inf
        if not self.goes_on_until(start_s):
            return inf
        parts = list(self.link.radio.watts())
        sharing = len(parts) + 1
        for piece in self._course(start_s):
            if piece.start_s - start_s > LOOK_AHEAD_S:
                return inf
            self.link = piece.link
            if self._place not in piece.link.network.routes:
                return inf
            state, seconds = piece.state, piece.end_s - piece.start_s
            rate_bps = state.up_bps if self._is_up else state.down_bps
            airtime = 0.0 if piece.is_gap else self._airtime(rate_bps)
            speed_bps = rate_bps * airtime
            if not left_bits or speed_bps * seconds >= left_bits:
                seconds = left_bits / speed_bps if left_bits else 0.0
                left_bits = 0.0
            busy_w = state.send_w if self._is_up else state.receive_w
            power_w = drawing_w([*parts, (state.listen_w, busy_w, airtime)])
            if left_bits and not rate_bps and not piece.is_gap:
                dead_since_s = min(dead_since_s, piece.start_s)
                # A signal that comes back at the last moment is in time.
                if piece.end_s > dead_since_s + piece.link.network.lost_after_s:
                    return inf
            else:
                dead_since_s = inf
            self.energy_j += power_w * seconds / sharing
            self.end_s = piece.start_s + seconds
            if not left_bits:
                return self.end_s
            left_bits -= speed_bps * seconds
        return inf

    def goes_on_until(self, time_s: float) -> bool:
        """Whether the connection lasts until then; takes note of the link that serves it."""
        for piece in self._course(self.end_s):
            if piece.start_s > time_s:
                return True
            self.link = piece.link
            if self._place not in piece.link.network.routes:
                return False
            if piece.end_s > time_s:
                return True
        return False

    def _course(self, start_s: float) -> Iterator[CoursePiece]:
        connection = self._phone.connection
        if connection is not None and self.link in connection.links:
            return connection.course(self.link, start_s)
        return _alone(self.link, start_s)

    def _airtime(self, rate_bps: float) -> float:
        """The share of the air that it would get, with everybody else as at present."""
        if not rate_bps:
            return 0.0
        network = self.link.network
        route = network.routes[self._place]
        airtime = network.air(self.link.radio, self._is_up).offer()
        for wire in route.up if self._is_up else route.down:
            airtime = min(airtime, wire.offer_bps() / rate_bps)
        return airtime


def _alone(link: Link, start_s: float) -> Iterator[CoursePiece]:
    """What a link goes through that is left for no other."""
    time_s = start_s
    while True:
        _, end_s, _, state = link.segment(time_s)
        yield CoursePiece(time_s, end_s, link, state, is_gap=False)
        time_s = end_s
