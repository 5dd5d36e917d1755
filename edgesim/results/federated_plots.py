"""Plots of federated jobs; part of :mod:`edgesim.results.plots`."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pyarrow.compute as pc
from numpy.typing import NDArray

from edgesim.core.errors import EdgesimError, did_you_mean
from edgesim.results.drawing import COLOURS, Results, axes_or_new, clean, named
from edgesim.results.result import Result
from edgesim.results.summary import LAST_EVALUATIONS, device_accuracies

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "accuracy_by_device",
    "accuracy_over",
    "client_timeline",
    "device_variance_over",
    "energy_by_profile",
    "energy_per_round",
]

_PHASES = {"download": "#56B4E9", "training": "#0072B2", "upload": "#D55E00"}
_LABELS = {
    "rounds": "round",
    "seconds": "simulated time (s)",
    "ledger": "joules of participants",
    "local": "local energy (J), by AutoFL's equations",
    "global": "global energy (J), by AutoFL's equations",
}


def accuracy_over(
    results: Results,
    what: Literal["rounds", "seconds", "ledger", "local", "global"] = "rounds",
    *,
    job: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Accuracy of a federated job over rounds, simulated seconds, or joules spent so far.

    Args:
        results: one result, or several by name.
        what: ``ledger``: booked to participants; ``local`` and ``global``: by AutoFL's equations.
        job: which; by default the only one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there is no such job, or its accuracy is not known.
    """
    if what not in _LABELS:
        raise EdgesimError(f"no accuracy over {what!r}; {did_you_mean(what, _LABELS)}")
    ax = axes_or_new(ax, height=3.2)
    for colour, (name, result) in zip(cycle(COLOURS), named(results).items(), strict=False):
        rounds = _rounds(result, job)
        column = {
            "ledger": "energy_ledger_j",
            "local": "energy_local_j",
            "global": "energy_global_j",
        }
        if what == "rounds":
            x = rounds["round"]
        elif what == "seconds":
            x = rounds.start_s + rounds.duration_s
        else:
            x = rounds[column[what]].cumsum()
        known = rounds.accuracy.notna()
        if not known.any():
            raise EdgesimError(f"{name}: nobody knows the accuracy: nothing was trained")
        ax.plot(x[known], 100 * rounds.accuracy[known], label=name, color=colour, linewidth=1.2)
    ax.set_xlabel(_LABELS[what])
    ax.set_ylabel("test accuracy (%)")
    ax.set_ylim(0, 100)
    if len(named(results)) > 1:
        ax.legend(frameon=False, fontsize="small")
    return clean(ax)


def accuracy_by_device(results: Results, *, job: str | None = None, ax: Axes | None = None) -> Axes:
    """Accuracy on each type of device, over the last judgements; the line is the mean over the types.

    Args:
        results: one result, or several by name: a bar each.
        job: which; by default the only one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there is no such job, or it is not judged by type of device.
    """
    ax = axes_or_new(ax, height=3.2)
    every = named(results)
    width = 0.8 / len(every)
    types: list[str] = []
    for index, (colour, (name, result)) in enumerate(
        zip(cycle(COLOURS), every.items(), strict=False)
    ):
        own, _, accuracy = _by_device(name, result, job)
        types = types or own
        heights = 100 * accuracy[-LAST_EVALUATIONS:].mean(axis=0)
        heights = np.array([heights[own.index(each)] if each in own else np.nan for each in types])
        places = np.arange(len(types)) + (index - 0.5 * (len(every) - 1)) * width
        ax.bar(places, heights, width, color=colour, label=name)
        ax.axhline(float(np.nanmean(heights)), color=colour, linewidth=0.8, linestyle=":")
    ax.set_xticks(range(len(types)), types, rotation=30, ha="right", fontsize="small")
    ax.set_ylabel("test accuracy (%)")
    if len(every) > 1:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def device_variance_over(
    results: Results, *, job: str | None = None, ax: Axes | None = None
) -> Axes:
    """Variance of accuracy over the types of device, judgement by judgement.

    Of the population of types, in squared percentage points; it jumps from one to the next.

    Args:
        results: one result, or several by name: a line each.
        job: which; by default the only one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there is no such job, or it is not judged by type of device.
    """
    ax = axes_or_new(ax, height=3.2)
    every = named(results)
    for colour, (name, result) in zip(cycle(COLOURS), every.items(), strict=False):
        _, rounds, accuracy = _by_device(name, result, job)
        ax.plot(rounds, np.var(100 * accuracy, axis=1), color=colour, label=name)
    ax.set(xlabel="round", ylabel="variance over devices (pp$^2$)", ylim=(0, None))
    if len(every) > 1:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def energy_per_round(result: Result, *, job: str | None = None, ax: Axes | None = None) -> Axes:
    """Joules booked to the participants of each round, stacked by kind of phone; lost ones hatched.

    Args:
        result: one result.
        job: which; by default the only one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there is no such job.
    """
    rounds = _rounds(result, job)["round"].to_numpy()
    rows = _participants(result, job)
    ax = axes_or_new(ax, height=3.2)
    below = np.zeros(len(rounds))
    counts = rows.status.isin(["done", "partial"])
    for colour, profile in zip(cycle(COLOURS), sorted(set(rows.profile)), strict=False):
        for is_lost, hatch in ((False, ""), (True, "////")):
            own = rows[(rows.profile == profile) & (counts != is_lost)]
            joules = own.groupby("round").energy_j.sum().reindex(rounds, fill_value=0.0).to_numpy()
            if not joules.any():
                continue
            label = f"{profile}, lost" if is_lost else str(profile)
            ax.bar(
                rounds,
                joules,
                1.0,
                bottom=below,
                label=label,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.0,
            )
            below = below + joules
    ax.set_xlabel("round")
    ax.set_ylabel("energy of participants (J)")
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def energy_by_profile(results: Results, *, job: str | None = None, ax: Axes | None = None) -> Axes:
    """Mean joules of a client's part in a round, by kind of phone and phase.

    Args:
        results: one result, or several by name: a group of bars each.
        job: which; by default the only one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there is no such job.
    """
    ax = axes_or_new(ax, height=3.2)
    labels: list[str] = []
    for name, result in named(results).items():
        rows = _participants(result, job)
        for profile, own in rows.groupby("profile"):
            below = 0.0
            for phase, colour in _PHASES.items():
                joules = float(own[f"{phase}_j"].fillna(0.0).mean())
                is_first = not labels
                ax.bar(
                    len(labels),
                    joules,
                    0.7,
                    bottom=below,
                    color=colour,
                    label=phase if is_first else None,
                )
                below += joules
            labels.append(str(profile) if len(named(results)) == 1 else f"{profile}\n{name}")
    ax.set_xticks(range(len(labels)), labels, fontsize="small")
    ax.set_ylabel("energy per participation (J)")
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def client_timeline(
    result: Result, number: int, *, job: str | None = None, ax: Axes | None = None
) -> Axes:
    """What each client of a round did when: model down, training, update up; why it was lost.

    Args:
        result: one result.
        number: of the round.
        job: which; by default the only one.
        ax: where to draw; by default a new figure.

    Raises:
        EdgesimError: if there is no such job or round.
    """
    rounds = _rounds(result, job)
    chosen = rounds[rounds["round"] == number]
    if chosen.empty:
        raise EdgesimError(f"{result.name}: there is no round {number}; there are {len(rounds)}")
    start_s = float(chosen.start_s.iloc[0])
    rows = _participants(result, job)
    rows = rows[rows["round"] == number].sort_values(["profile", "client"], ignore_index=True)
    ax = axes_or_new(ax, height=max(2.0, 0.22 * len(rows) + 0.8))
    for place, (_, row) in enumerate(rows.iterrows()):
        left = float(row.start_s) - start_s
        for phase, colour in _PHASES.items():
            seconds = float(row[f"{phase}_s"]) if pd.notna(row[f"{phase}_s"]) else 0.0
            label = phase if place == 0 else None
            ax.barh(place, seconds, 0.7, left=left, color=colour, label=label)
            left += seconds
        if row.status != "done":
            ax.text(left, place, f" {row.status.removeprefix('failed:')}", va="center", fontsize=7)
    ax.axvline(float(chosen.duration_s.iloc[0]), color="black", linewidth=0.8, linestyle=":")
    ax.set_yticks(range(len(rows)), rows.device, fontsize=7)
    ax.invert_yaxis()
    ax.set_xlabel(f"seconds of round {number}")
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return clean(ax)


def _rounds(result: Result, job: str | None) -> pd.DataFrame:
    rounds = result.rounds
    return rounds[rounds.job == _job(result, job)].sort_values("round", ignore_index=True)


def _by_device(
    name: str, result: Result, job: str | None
) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    rows = result.arrow("evaluations")
    found = device_accuracies(rows.filter(pc.equal(rows["job"], _job(result, job))))
    if not found[0]:
        raise EdgesimError(f"{name}: its model was not judged by type of device: set cameras")
    return found


def _participants(result: Result, job: str | None) -> pd.DataFrame:
    rows = result.participants
    return rows[rows.job == _job(result, job)]


def _job(result: Result, job: str | None) -> str:
    jobs = result.manifest["scenario"]["jobs"]
    known = sorted(name for name, spec in jobs.items() if spec["kind"] == "federated")
    if job is None and len(known) == 1:
        return str(known[0])
    if job is None or job not in known:
        raise EdgesimError(f"{result.name}: no federated job {job!r}; {did_you_mean(job, known)}")
    return job
