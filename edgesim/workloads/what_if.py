"""What would come of a choice: the simulation's own arithmetic, played forward for one request.

Everything that others do is frozen as it is at the moment of asking, and nobody arrives later; the
weather is the one that will really be. In a world with nothing else in it the answer equals the
simulation to 1e-9. A battery that would run empty meanwhile is not foreseen, nor is heat that would
limit a processor more than it does now.
"""

from __future__ import annotations

from math import inf

from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import Arithmetic, Processor, Task
from edgesim.hardware.server import Server
from edgesim.network.wifi import WifiRadio, transfer_end_s

__all__ = ["LOOK_AHEAD_S", "forecast_local", "forecast_remote"]

LOOK_AHEAD_S = 3600.0
"""A transfer that would not end within so long counts as never ending."""


def forecast_local(
    phone: Phone,
    processor_name: str,
    task: Task,
    level: int | None,
    start_s: float,
    read_s: float,
    layout_s: float,
) -> tuple[float, float]:
    """End and joules of a task that starts on a phone's processor at ``start_s``.

    Args:
        phone: the phone.
        processor_name: of its processor.
        task: what is done.
        level: the level that is asked for, if any.
        start_s: when.
        read_s: seconds to read the model from storage first; 0 if it is in memory,
        layout_s: and seconds of the processor to make it ready.
    """
    processor = phone.processor(processor_name).place
    time_s, energy_j = start_s + read_s, 0.0
    for each in (Arithmetic(layout_s), task) if layout_s else (task,):
        time_s, each_j = _play(phone, processor, each, level, time_s)
        energy_j += each_j
    return time_s, energy_j


def _play(
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
    radio: WifiRadio,
    server: Server,
    processor_name: str,
    task: Task,
    half_rtt_s: float,
    input_bytes: float,
    output_bytes: float,
    now_s: float,
    start_s: float,
) -> tuple[float, float]:
    """End of a request sent elsewhere at ``start_s``, and what its radio costs, tail included."""
    uploaded_s, up_j = _transfer(radio, start_s, input_bytes, sending=True)
    if uploaded_s == inf:
        return inf, inf
    at_server_s = uploaded_s + half_rtt_s
    served_s = server.forecast_s(processor_name, task, at_server_s, now_s)
    if served_s == inf:
        return inf, inf  # it would be turned away
    back_s = served_s + half_rtt_s
    end_s, down_j = _transfer(radio, back_s, output_bytes, sending=False)
    if end_s == inf:
        return inf, inf
    tail_s = 0.0
    if not radio.flows:  # else the radio stays busy with somebody else's transfer
        tail_s = min(radio.power.tail_s, back_s - uploaded_s) + radio.power.tail_s
    return end_s, up_j + down_j + radio.power.tail_w * tail_s


def _transfer(
    radio: WifiRadio, start_s: float, size_bytes: float, *, sending: bool
) -> tuple[float, float]:
    share = radio.access_point.air.capacity_for(1.0)
    end_s, seen = transfer_end_s(radio, start_s, size_bytes, share, start_s + LOOK_AHEAD_S)
    if end_s == inf:
        return inf, inf
    sending = sending or radio.is_sending
    energy_j = sum(seconds * (link.send_w if sending else link.receive_w) for seconds, link in seen)
    return end_s, energy_j / (radio.flows + 1)
