"""Plots of a run. Each takes results and returns matplotlib Axes, for a notebook to go on with.

>>> import edgesim
>>> comparison = edgesim.compare("quickstart")  # doctest: +SKIP
>>> edgesim.plots.energy_by_component(comparison)  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from edgesim.controllers.slots import DEVICE
from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.results.drawing import COLOURS, Results, axes_or_new, clean, named
from edgesim.results.federated_plots import (
    accuracy_by_device,
    accuracy_over,
    client_timeline,
    device_variance_over,
    energy_by_profile,
    energy_per_round,
)
from edgesim.results.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "accuracy_by_device",
    "accuracy_over",
    "charge_over_time",
    "client_timeline",
    "device_variance_over",
    "energy_by_component",
    "energy_by_device",
    "energy_by_profile",
    "energy_per_round",
    "latency_against_deadline",
    "placement",
    "power_over_frequency",
    "state_over_time",
]

# One colour per component and activity, the same in every figure.
_USES = {
    "cpu_prime compute": "#004B75",
    "cpu_big compute": "#0072B2",
    "cpu_little compute": "#7DBEE8",
    "gpu compute": "#009E73",
    "dsp compute": "#7BC8A4",
    "wifi transmit": "#D55E00",
    "wifi receive": "#F0A070",
    "wifi tail": "#E69F00",
    "wifi idle": "#F7D990",
    "cpu_prime background": "#5B4A8A",
    "cpu_big background": "#8C6BB1",
    "cpu_little background": "#C5B0D5",
    "screen on": "#F0E442",
    "camera open": "#D2B48C",
    "camera capture": "#A6761D",
    "camera isp": "#66420F",
    "battery loss": "#882255",
    "base awake": "#777777",
    "base suspend": "#BBBBBB",
}
_OTHER_USES = ("#CC79A7", "#44AA99", "#000000")


def energy_by_component(results: Results, *, ax: Axes | None = None) -> Axes:
    """Joules of all phones, stacked by component and activity, one bar per result.

    Args:
        results: one result, or several by name (an :class:`edgesim.Comparison`).
        ax: where to draw; by default a new figure.
    """
    rows = {name: _phone_energy(result) for name, result in named(results).items()}
    return _stacked(rows, "energy of all phones (J)", ax)


def energy_by_device(result: Result, *, ax: Axes | None = None) -> Axes:
    """Joules of each phone, stacked by component and activity, one bar per phone.

    Args:
        result: one result.
        ax: where to draw; by default a new figure.
    """
    phones = result.devices.device[result.devices.kind == "phone"]
    rows = {
        str(phone): _by_use(result.energy[result.energy.device == phone])
        for phone in sorted(phones)
    }
    return _stacked(rows, "energy (J)", ax)


def state_over_time(
    result: Result, quantity: str, *, devices: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """A recorded quantity over simulated time, one line per phone.

    Watts and clocks hold from one row to the next and are drawn as steps; charge and temperatures
    move between them and are drawn as lines.

    Args:
        result: one result.
        quantity: as in the table ``states``: ``power_w``, ``charge``, ``die_c``, ``skin_c``,
            ``cpu_big_mhz``.
        devices: which phones; by default all that recorded it.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if it was not recorded.
    """
    states = result.states if "states" in result.tables else pd.DataFrame({"quantity": []})
    rows = states[states.quantity == quantity]
    if devices is not None and len(rows):
        rows = rows[rows.device.isin(devices)]
    if rows.empty:
        known = sorted(set(states.quantity))
        hint = did_you_mean(quantity, known) if known else "the scenario records no states"
        raise EdgesimError(f"{result.name}: no {quantity!r} was recorded; {hint}")
    ax = axes_or_new(ax, height=3.0)
    moves = quantity in ("charge", "die_c", "skin_c")
    for colour, (phone, states_of) in zip(cycle(COLOURS), rows.groupby("device"), strict=False):
        ax.plot(
            states_of.time_s,
            states_of.value,
            label=str(phone),
            color=colour,
            linewidth=1.0,
            drawstyle="default" if moves else "steps-post",
        )
    ax.set_xlabel("simulated time (s)")
    ax.set_ylabel(quantity)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def power_over_frequency(
    profiles: Sequence[str], *, kind: str = "cpu", ax: Axes | None = None
) -> Axes:
    """Watts of one busy core (or of the whole) at every level, one line per processor.

    Args:
        profiles: names of shipped phones or chips.
        kind: ``cpu``, ``gpu`` or ``dsp``.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if one of them is not known.
    """
    from edgesim.hardware.catalogue import processor_specs, shipped
    from edgesim.hardware.profiles import PhoneProfile

    catalogue = shipped()
    ax = axes_or_new(ax, height=4.2)
    colours = cycle(COLOURS)
    for name in profiles:
        profile = catalogue.profile(name)
        chip = profile.soc if isinstance(profile, PhoneProfile) else name
        processors = processor_specs(catalogue.chip(chip)).values()
        colour = next(colours)
        styles = cycle(("-", "--", ":"))
        for processor in processors:
            if processor.kind != kind:
                continue
            mhz = [level.frequency_hz / 1e6 for level in processor.levels]
            watts = [level.busy_power_w for level in processor.levels]
            label = f"{chip} {processor.name}"
            style = next(styles)
            ax.plot(mhz, watts, style, color=colour, marker=".", label=label, linewidth=1.0)
    ax.set_xlabel("clock (MHz)")
    ax.set_ylabel("one busy core (W)" if kind == "cpu" else "busy (W)")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def latency_against_deadline(
    results: Results, *, job: str | None = None, ax: Axes | None = None
) -> Axes:
    """Share of requests answered within a multiple of their deadline, one line per result.

    A request that failed never gets there, so its line ends below 1. The axis is logarithmic; 1 is
    the deadline. It ends at ten times the deadline; what comes later is told by the lines' height.

    Args:
        results: one result, or several by name.
        job: only this job's requests; by default all that have a deadline.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there are no requests with a deadline.
    """
    lines = {name: _with_deadline(result, job) for name, result in named(results).items()}
    ax = axes_or_new(ax, height=3.6)
    for colour, (name, rows) in zip(cycle(COLOURS), lines.items(), strict=False):
        multiple = np.sort((rows.latency_s / rows.deadline_s).dropna().to_numpy())
        share = np.arange(1, len(multiple) + 1) / len(rows)
        late = float((~rows.deadline_met.dropna().astype(bool)).mean())
        ax.step(multiple, share, where="post", color=colour, label=f"{name} ({late:.0%} late)")
    ax.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_xlim(right=10.0)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("latency / deadline")
    ax.set_ylabel("share of requests")
    ax.legend(frameon=False, fontsize="small")
    return clean(ax)


def placement(results: Results, *, ax: Axes | None = None) -> Axes:
    """Where requests ran: the share of each kind of processor at each place, one bar per result.

    Args:
        results: one result, or several by name. Requests that never got a target are left out.
        ax: where to draw; by default a new figure.
    """
    rows = {}
    for name, result in named(results).items():
        parts = result.requests.target.dropna().astype(str).str.split("/")
        # Of a processor's name the part before "_" is its kind: cpu_big, cpu_prime.
        places = parts.str[0].str.cat(parts.str[1].str.split("_").str[0], sep=" ")
        rows[name] = places.value_counts(normalize=True)
    frame = pd.DataFrame(rows).fillna(0.0).T
    ax = axes_or_new(ax, height=1.2 + 0.4 * len(frame))
    names = sorted(map(str, frame), key=lambda place: (not place.startswith(f"{DEVICE} "), place))
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    left = np.zeros(len(frame))
    for place in names:
        ax.barh(frame.index, frame[place], left=left, color=colours[place], label=place, height=0.7)
        left += frame[place].to_numpy()
    ax.set_xlim(0, 1)
    ax.invert_yaxis()
    ax.set_xlabel("share of requests")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    return clean(ax)


def charge_over_time(
    results: Results, *, device: str | None = None, ax: Axes | None = None
) -> Axes:
    """State of charge over time, one line per device and result. Needs recorded states.

    Several results have a colour each; the phones of a single one have. Between two changes of power the charge falls on a straight line, so the lines are exact.

    Args:
        results: one result, or several by name.
        device: only this device; by default every recorded one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if no charge was recorded (``record: {states: {}}`` in the scenario).
    """
    by_name = named(results)
    charges = {name: _charge(result, device) for name, result in by_name.items()}
    ax = axes_or_new(ax, height=3.6)
    several = len(by_name) > 1
    by_result = cycle(COLOURS)
    by_phone = cycle(COLOURS)
    for name, states in charges.items():
        result = by_name[name]
        ends = result.devices.set_index("device")
        colour = next(by_result)
        for index, (phone, rows) in enumerate(states.groupby("device")):
            start, end = ends.loc[phone, ["charge_start", "charge_end"]]
            times_s = np.r_[0.0, rows.time_s, result.summary["simulated_s"]]
            charge = np.r_[start, rows.value, end]
            # Several results are told apart by colour, the phones of one result likewise.
            line_colour = colour if several else next(by_phone)
            label = phone if not several else name if not index else None
            ax.plot(times_s, 100 * charge, label=label, color=line_colour, linewidth=1.2)
    ax.set_xlabel("simulated time (s)")
    ax.set_ylabel("charge (%)")
    if device is not None:
        ax.set_title(device, loc="left", fontsize="medium")
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def _with_deadline(result: Result, job: str | None) -> pd.DataFrame:
    rows = result.requests
    rows = rows[(rows.phase == "evaluation") & rows.deadline_s.notna()]
    rows = rows if job is None else rows[rows.job == job]
    if rows.empty:
        of_job = "" if job is None else f" of job {job!r}"
        raise EdgesimError(f"{result.name}: no requests{of_job} have a deadline")
    return rows


def _charge(result: Result, device: str | None) -> pd.DataFrame:
    states = result.states if "states" in result.tables else pd.DataFrame({"quantity": []})
    states = states[states.quantity == "charge"]
    if states.empty:
        raise EdgesimError(
            f"{result.name}: no charge was recorded; put 'record: {{states: {{}}}}' into the scenario"
        )
    if device is not None:
        states = states[states.device == device]
        if states.empty:
            known = result.devices.device[result.devices.kind == "phone"]
            raise EdgesimError(
                f"{result.name}: no charge was recorded of {device!r}; {did_you_mean(device, known)}"
            )
    return states


def _phone_energy(result: Result) -> pd.Series[float]:
    phones = result.devices.device[result.devices.kind == "phone"]
    return _by_use(result.energy[result.energy.device.isin(phones)])


def _by_use(rows: pd.DataFrame) -> pd.Series[float]:
    return rows.energy_j.groupby(rows.component + " " + rows.activity).sum()


def _stacked(rows: Mapping[str, pd.Series[float]], label: str, ax: Axes | None) -> Axes:
    """Horizontal bars of joules, stacked by use."""
    ax = axes_or_new(ax, height=1.2 + 0.5 * len(rows))
    frame = pd.DataFrame(rows).fillna(0.0).T
    known = [use for use in _USES if use in frame and frame[use].any()]
    others = sorted(str(use) for use in frame if use not in _USES and frame[use].any())
    colours = _USES | dict(zip(others, cycle(_OTHER_USES), strict=False))
    left = np.zeros(len(frame))
    for use in [*known, *others]:
        ax.barh(frame.index, frame[use], left=left, color=colours[use], label=use, height=0.7)
        left += frame[use].to_numpy()
    for position, total in enumerate(left):
        ax.annotate(
            f"{total:,.0f} J" if total >= 1000 else f"{total:.4g} J",
            (total, position),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    ax.set_xlim(0, left.max() * 1.15 or 1.0)
    ax.invert_yaxis()
    ax.set_xlabel(label)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize="small")
    return clean(ax)
