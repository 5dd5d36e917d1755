"""Selection that knows the weather to come: bounds for whoever selects on promises and experience.

========================  =====================================================================
``oracle_participants``   which clients: balanced labels first, then the objective
``oracle_fl``             and the best target of each
========================  =====================================================================

After AutoFL's O_participant and O_FL (Kim and Wu, MICRO 2021), of which only the names and what they may
choose are known; the objective here is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, inf, isfinite
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgesim.controllers.federated import (
    Participant,
    Real,
    SelectionObservation,
    TrainingTarget,
    Whole,
)
from edgesim.controllers.selection import Selection, Targets
from edgesim.controllers.slots import Setting
from edgesim.core.units import BITS_PER_BYTE

__all__ = ["Oracle", "unevenness"]

_LIMITS_TRIED = 24
"""Time limits tried for a cohort, spread over all that its clients could need."""


class OracleParameters(Targets):
    """Parameters of :class:`Oracle`. What it may not do is what an ablation takes from it."""

    minimise: Literal["energy", "energy_time"] = "energy"
    """Joules of the participants as they would be booked, plus those of all others idling through the
    round; or that times the round's seconds."""
    balances_labels: bool = True
    """Whether the cohort's labels are to be as near to those of all clients as can be, before anything else."""
    chooses_targets: bool = True
    """Whether it chooses targets; else everybody trains where ``train_on`` says."""
    considers: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the eligible clients that it looks at, drawn anew each round (never fewer than are wanted). It
    sees one round ahead: with 1, where nothing changes it takes the same few best clients every time, whose
    samples are soon learned, and the job never reaches what others reach."""
    exhaustive: int = Field(default=2_000, ge=0, le=10_000_000)
    """With no more cohorts than so many, all of them are looked at; with more, the best of a greedy choice
    is improved by exchanges until none helps."""


@dataclass(frozen=True)
class _Choices:
    """What each client could do.

    Attributes:
        clients: their numbers; shape ``(n,)``.
        targets: of each,
        finish_s: when it would be back; shape ``(n, options)``, infinite where there is no such option,
        joules: and what that would cost.
        labels: samples by label; shape ``(n, classes)``,
        of_all: and of all clients of the job; shape ``(classes,)``.
        idle_w: of each with nothing to do.
    """

    clients: Whole
    targets: Sequence[Sequence[TrainingTarget]]
    finish_s: Real
    joules: Real
    labels: NDArray[np.int64]
    of_all: NDArray[np.int64]
    idle_w: Real


class Oracle(Selection):
    """The cohort that a job would choose if it knew the weather to come, for this round alone.

    Order of what it minimises: how many clients would not be back in time; how far the cohort's labels are
    from those of all clients (in steps of a hundredth); energy, or energy times time. It foresees each client as if the
    others were not there, but that transfers over shared air take as long as those of all K one by one. It
    looks one round ahead: a bound on a round, not on a job.

    For a time limit, each client's best target is the cheapest that keeps it; so the search is over time
    limits and cohorts. It is exact with few clients; with many (see ``exhaustive``) exchanges of one client
    for another stop in a local minimum, and :data:`_LIMITS_TRIED` limits stand for all.
    """

    needs_what_if = True
    Parameters = OracleParameters

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._parameters: OracleParameters = setting.parameters or OracleParameters()

    def decide(self, observation: SelectionObservation) -> tuple[Participant, ...]:
        """The best cohort that is found."""
        choices = self._choices(observation)
        total_w = float(observation.clients.idle_w[observation.clients.group].sum())
        rows, picked = self.best(
            choices, observation.wanted, observation.deadline_s, total_w=total_w
        )
        return tuple(
            sorted(
                Participant(int(choices.clients[row]), choices.targets[row][option])
                for row, option in zip(rows, picked, strict=True)
            )
        )

    def choose(self, observation: SelectionObservation) -> Sequence[int]:
        """The clients of :meth:`decide`."""
        return [client for client, _ in self.decide(observation)]

    def _choices(self, observation: SelectionObservation) -> _Choices:
        """Ask what would come of every client at every target."""
        assert observation.what_if is not None
        clients, eligible = observation.clients, observation.eligible
        count = max(round(self._parameters.considers * len(eligible)), observation.wanted)
        if count < len(eligible):
            eligible = np.sort(self._rng.choice(eligible, count, replace=False))
        targets: list[list[TrainingTarget]] = []
        for client in eligible.tolist():
            if self._parameters.chooses_targets:
                options = clients.options(client, observation.batch_size)
                targets.append([option.target for option in options])
            else:
                targets.append([self.option(observation, client).target])
        shape = (len(eligible), max(map(len, targets)))
        finish_s, joules = np.full(shape, inf), np.full(shape, inf)
        # Nobody is alone: models come to all of the cohort at once, and who just keeps a time limit
        # sends when others do.
        reports = clients.reports(eligible)
        usual_s = _usual_s(observation.downlink_bytes, reports.down_bps)
        usual_s += _usual_s(observation.uplink_bytes, reports.up_bps)
        shares_s = (observation.wanted - 1) * usual_s * reports.is_air_shared
        for row, client in enumerate(eligible.tolist()):
            asked = [Participant(client, target) for target in targets[row]]
            forecast = observation.what_if(asked)
            finish_s[row, : len(asked)] = np.array(forecast.finish_s) + shares_s[row]
            joules[row, : len(asked)] = forecast.client_j
        return _Choices(
            eligible,
            targets,
            finish_s,
            joules,
            clients.labels[eligible],
            clients.labels.sum(axis=0),
            clients.idle_w[clients.group[eligible]],
        )

    def best(
        self, choices: _Choices, wanted: int, deadline_s: float, *, total_w: float
    ) -> tuple[list[int], list[int]]:
        """Rows of the best cohort, and the option of each.

        Args:
            choices: what each client could do.
            wanted: how many clients.
            deadline_s: of the round.
            total_w: of all clients of the job, with nothing to do.
        """
        fastest_s = choices.finish_s.min(axis=1)
        in_time = np.flatnonzero((fastest_s <= deadline_s) & (fastest_s < inf))
        if len(in_time) < wanted:
            # Those that would be late come too, the fastest first: somebody has to.
            order = np.lexsort((np.arange(len(fastest_s)), fastest_s))[:wanted]
            finish_s, joules = choices.finish_s[order], choices.joules[order]
            cheapest = np.where(finish_s <= deadline_s, joules, inf).argmin(axis=1)
            is_late = fastest_s[order] > deadline_s
            return order.tolist(), np.where(is_late, finish_s.argmin(axis=1), cheapest).tolist()
        limits = np.unique(choices.finish_s[in_time])
        limits = limits[
            (limits <= deadline_s) & (limits < inf) & (limits >= np.sort(fastest_s)[wanted - 1])
        ]
        is_small = comb(len(in_time), wanted) * len(limits) <= self._parameters.exhaustive
        if not is_small and len(limits) > _LIMITS_TRIED:
            limits = limits[np.linspace(0, len(limits) - 1, _LIMITS_TRIED).round().astype(int)]
        known = slice(None if self._parameters.balances_labels else 0)
        labels, of_all = choices.labels[:, known], choices.of_all[known]
        found: tuple[float, float] = (inf, inf)
        best_rows: Whole = in_time[:wanted]
        best_limit_s = float(limits[-1])
        for limit_s in limits.tolist():
            cost = np.where(choices.finish_s <= limit_s, choices.joules, inf).min(axis=1)
            # A participant's idling is in what it is booked; the others idle through the round.
            cost = cost - choices.idle_w * limit_s
            rows = np.flatnonzero(np.isfinite(cost))
            search = _all_cohorts if is_small else _by_exchange
            cohort = rows[search(labels[rows], of_all, cost[rows], wanted)]
            joules = float(cost[cohort].sum()) + total_w * limit_s
            worth = joules * (limit_s if self._parameters.minimise == "energy_time" else 1.0)
            judged = (unevenness(labels[cohort].sum(axis=0), of_all), worth)
            if judged < found:
                found, best_rows, best_limit_s = judged, cohort, limit_s
        kept = np.where(choices.finish_s <= best_limit_s, choices.joules, inf)[best_rows]
        return best_rows.tolist(), kept.argmin(axis=1).tolist()


def _usual_s(size_bytes: float, rates_bps: Real) -> float:
    """Seconds of a transfer at the median of the rates of those who have a connection."""
    known = rates_bps[rates_bps > 0.0]
    return BITS_PER_BYTE * size_bytes / float(np.median(known)) if len(known) else 0.0


def unevenness(labels: np.ndarray[Any, Any], of_all: np.ndarray[Any, Any]) -> Any:
    """How far histograms are from that of all: total variation distance, to a hundredth.

    Args:
        labels: shape ``(..., classes)``.
        of_all: shape ``(classes,)``.

    Returns:
        Shape ``(...)``, in [0, 1]; 0 without labels.
    """
    shares = labels / np.maximum(labels.sum(axis=-1, keepdims=True), 1)
    distance = 0.5 * np.abs(shares - of_all / max(int(of_all.sum()), 1)).sum(axis=-1)
    found = np.round(distance, 2)
    return found if labels.ndim > 1 else float(found)


def _all_cohorts(
    labels: NDArray[np.int64], of_all: NDArray[np.int64], cost: Real, wanted: int
) -> Whole:
    """The best cohort of all that there are."""
    cohorts = np.array(list(combinations(range(len(cost)), wanted)))
    uneven = unevenness(labels[cohorts].sum(axis=1), of_all)
    order = np.lexsort((cost[cohorts].sum(axis=1), uneven))
    found: Whole = cohorts[order[0]]
    return found


def _by_exchange(
    labels: NDArray[np.int64], of_all: NDArray[np.int64], cost: Real, wanted: int
) -> Whole:
    """A cohort that no exchange of one client for another makes better."""
    if not labels.shape[1]:
        return np.argsort(cost, kind="stable")[:wanted]
    chosen: list[int] = []
    total = np.zeros(labels.shape[1], np.int64)
    left = np.ones(len(cost), bool)
    for _ in range(wanted):
        uneven = np.where(left, unevenness(total + labels, of_all), inf)
        pick = int(np.lexsort((cost, uneven))[0])
        chosen.append(pick)
        left[pick] = False
        total = total + labels[pick]
    while True:
        now = (unevenness(total, of_all), 0.0)
        outside = np.flatnonzero(left)
        if not len(outside):
            break
        inside = np.array(chosen)
        # Every exchange at once: shape (inside, outside).
        uneven = unevenness(total - labels[inside][:, None] + labels[outside][None], of_all)
        saves = cost[outside][None] - cost[inside][:, None]
        place = int(np.lexsort((saves.ravel(), uneven.ravel()))[0])
        if not (float(uneven.ravel()[place]), round(float(saves.ravel()[place]), 12)) < now:
            break
        goes, comes = divmod(place, len(outside))
        total = total - labels[inside[goes]] + labels[outside[comes]]
        left[inside[goes]], left[outside[comes]] = True, False
        chosen[goes] = int(outside[comes])
    assert all(isfinite(cost[k]) for k in chosen)
    return np.array(sorted(chosen))
