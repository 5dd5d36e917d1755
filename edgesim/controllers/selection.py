"""Selecting clients: baselines, and what all selections share.

========================  =====================================================================
:class:`RandomSelection`  FedAvg's
:class:`RoundRobin`       everybody in turn
:class:`Power`            those whose processors draw least
:class:`Performance`      those whose processors are fastest
:class:`FixedMix`         so many of each tier: AutoFL's clusters C1 to C7
:class:`Oort`             high loss and in time, with exploration
:class:`Fedl`             at random, each at the clock that just keeps the round's best time
========================  =====================================================================

A baseline has to train somewhere: by default on the fastest CPU cluster, where today's frameworks for
federated learning on phones train.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import ceil, inf, isfinite, log
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgesim.controllers.federated import (
    Clients,
    Participant,
    Real,
    RoundOutcome,
    SelectionObservation,
    TrainingOption,
    TrainingTarget,
    Whole,
)
from edgesim.controllers.slots import Lesson, Setting
from edgesim.core.documents import Schema
from edgesim.core.units import BITS_PER_BYTE

__all__ = [
    "Fedl",
    "FixedMix",
    "Oort",
    "Performance",
    "Power",
    "RandomSelection",
    "RoundRobin",
    "Selection",
    "predicted_s",
]


class Targets(Schema):
    """Where clients train."""

    train_on: Literal["cpu", "fastest", "thriftiest"] = "cpu"
    """The fastest CPU cluster; the fastest processor; the processor of least joules per step. Each at
    the highest level that can be chosen."""


def chosen_option(options: Sequence[TrainingOption], how: str) -> TrainingOption:
    """The option that :class:`Targets` names."""
    pool = [option for option in options if option.kind == "cpu"] if how == "cpu" else []
    if how == "thriftiest":
        return min(options, key=lambda o: (o.power_w * o.step_s, o.step_s, str(o.target)))
    return min(pool or options, key=lambda o: (o.step_s, o.power_w, str(o.target)))


def predicted_s(
    clients: Clients,
    client: int,
    option: TrainingOption,
    work: tuple[int, int],
    payload_bytes: tuple[float, float],
    sharing: int = 1,
) -> float:
    """How long a client should take, by its profile and its conditions now; infinite if offline.

    The processor is taken as its own, less what apps use of a CPU; what it has yet to collect is in it. Models come to all at once, and
    share the air; updates go one by one.

    Args:
        clients: everything about them.
        client: whose time.
        option: where it trains, with the promise for this batch size.
        work: batch size and epochs.
        payload_bytes: what comes down, and what goes up.
        sharing: how many clients of the cohort are on its network; if that is not shared, it is alone.
    """
    conditions = clients.conditions(client)
    link = conditions.link
    if link is None or not (link.up_bps > 0 and link.down_bps > 0):
        return inf
    # Two that both want a CPU get half each; an app that wants less leaves the rest.
    busy = conditions.co_cpu if option.kind == "cpu" else 0.0
    training_s = clients.steps(client, *work) * option.step_s / (1.0 - min(busy, 0.5))
    down_s = (sharing if conditions.is_air_shared else 1) * payload_bytes[0] / link.down_bps
    up_s = payload_bytes[1] / link.up_bps
    collect_s = 0.0 if clients.collect_s is None else float(clients.collect_s[client])
    return BITS_PER_BYTE * (down_s + up_s) + training_s + conditions.rtt_s + collect_s


class Selection(ABC):
    """What selections share that learn nothing: which clients is theirs to say, where they train is not.

    Args:
        setting: job, stream and parameters.
    """

    needs_what_if = False
    learns = False
    Parameters: type[Schema] | None = Targets

    def __init__(self, setting: Setting) -> None:
        self._rng = setting.rng
        self._train_on = getattr(setting.parameters, "train_on", "cpu")

    def decide(self, observation: SelectionObservation) -> tuple[Participant, ...]:
        """Choose a cohort."""
        clients = self.choose(observation)
        return tuple(
            Participant(client, self.option(observation, client).target)
            for client in sorted(int(client) for client in clients)
        )

    @abstractmethod
    def choose(self, observation: SelectionObservation) -> Sequence[int] | Whole:
        """Choose clients."""

    def option(self, observation: SelectionObservation, client: int) -> TrainingOption:
        """Where a client trains."""
        options = observation.clients.options(client, observation.batch_size)
        return chosen_option(options, self._train_on)

    def learn(  # noqa: B027
        self,
        observation: SelectionObservation,
        decision: tuple[Participant, ...],
        outcome: RoundOutcome,
    ) -> Lesson | None:
        """Nothing to learn."""

    def freeze(self) -> None:  # noqa: B027
        """Nothing to freeze."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Nothing to load."""


class RandomSelection(Selection):
    """Any of the eligible clients, all alike: FedAvg (McMahan et al., AISTATS 2017, algorithm 1)."""

    def choose(self, observation: SelectionObservation) -> Whole:
        """So many at random, without repetition."""
        return self._rng.choice(observation.eligible, observation.wanted, replace=False)


class RoundRobin(Selection):
    """Those who have not taken part for longest; the lowest numbers first."""

    def choose(self, observation: SelectionObservation) -> Whole:
        """So many, in turn."""
        eligible = observation.eligible
        order = np.lexsort((eligible, observation.clients.last_round[eligible]))
        return eligible[order[: observation.wanted]]


class _ByPromise(Selection):
    """The best groups first, by what profiles promise; at random within a group."""

    def choose(self, observation: SelectionObservation) -> Whole:
        """So many of the best."""
        clients, eligible = observation.clients, observation.eligible
        worth = {
            int(group): self.rank(self.option(observation, int(eligible[first])))
            for group, first in zip(
                *np.unique(clients.group[eligible], return_index=True), strict=True
            )
        }
        ranks = np.array([worth[int(group)] for group in clients.group[eligible]])
        order = np.lexsort((self._rng.random(len(eligible)), ranks))
        return eligible[order[: observation.wanted]]

    @abstractmethod
    def rank(self, option: TrainingOption) -> float:
        """Less is better."""


class Power(_ByPromise):
    """Those whose processors draw least: AutoFL's "Power"."""

    def rank(self, option: TrainingOption) -> float:
        """Watts."""
        return option.power_w


class Performance(_ByPromise):
    """Those whose processors train fastest: AutoFL's "Performance"."""

    def rank(self, option: TrainingOption) -> float:
        """Seconds of a step."""
        return option.step_s


MIXES: Mapping[str, tuple[int, int, int]] = {
    "C1": (20, 0, 0),
    "C2": (15, 5, 0),
    "C3": (10, 5, 5),
    "C4": (5, 10, 5),
    "C5": (5, 5, 10),
    "C6": (0, 5, 15),
    "C7": (0, 0, 20),
}
"""AutoFL's clusters: high-end, mid-range and low-end phones of 20 (Kim and Wu, MICRO 2021)."""


class MixParameters(Targets):
    """Parameters of :class:`FixedMix`."""

    mix: Annotated[str, Field(pattern="^C[1-7]$")] = "C3"
    """Which of AutoFL's clusters; for other K than 20 in proportion, rounded to the nearest."""


class FixedMix(Selection):
    """So many phones of each tier: AutoFL's clusters C1 to C7.

    Tiers are thirds of the groups, by how fast they train. Where a tier has too few eligible phones, the
    nearest one gives more.
    """

    Parameters = MixParameters

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._mix = MIXES[getattr(setting.parameters, "mix", "C3")]

    def choose(self, observation: SelectionObservation) -> Sequence[int]:
        """So many of each tier, at random within."""
        tiers = self._tiers(observation)
        wanted = _in_proportion(self._mix, observation.wanted)
        pools = [
            self._rng.permutation(observation.eligible[tiers[observation.eligible] == tier])
            for tier in range(3)
        ]
        chosen: list[int] = []
        lacking = 0
        for tier in range(3):
            chosen += pools[tier][: wanted[tier]].tolist()
            lacking += max(wanted[tier] - len(pools[tier]), 0)
            pools[tier] = pools[tier][wanted[tier] :]
        for tier in sorted(range(3), key=lambda t: -wanted[t]):
            more = pools[tier][:lacking].tolist()
            chosen += more
            lacking -= len(more)
        return chosen

    def _tiers(self, observation: SelectionObservation) -> Whole:
        """The tier of each client: 0 is the fastest."""
        clients = observation.clients
        present, first = np.unique(clients.group, return_index=True)
        step_s = [self.option(observation, int(client)).step_s for client in first]
        order = np.argsort(step_s, kind="stable")
        tier_of = np.zeros(int(present.max()) + 1, np.int64)
        for place, index in enumerate(order):
            tier_of[present[index]] = 3 * place // len(present)
        return tier_of[clients.group]


def _in_proportion(mix: tuple[int, int, int], wanted: int) -> list[int]:
    """A mix of 20 for another number: largest remainders, the higher tier first."""
    exact = [wanted * part / sum(mix) for part in mix]
    found = [int(part) for part in exact]
    rest = sorted(range(3), key=lambda k: (found[k] - exact[k], k))
    for k in rest[: wanted - sum(found)]:
        found[k] += 1
    return found


class OortParameters(Targets):
    """Parameters of :class:`Oort`; defaults are the paper's (recalled), but for what is said."""

    exploration: Annotated[float, Field(ge=0, le=1)] = 0.9
    """Share of the cohort that has never been seen, at first,"""
    exploration_decay: Annotated[float, Field(gt=0, le=1)] = 0.98
    """times this each round,"""
    exploration_least: Annotated[float, Field(ge=0, le=1)] = 0.2
    """down to this."""
    penalty: Annotated[float, Field(ge=0, le=10)] = 2.0
    """Alpha: the utility of clients slower than preferred is divided by (their time / preferred)^alpha."""
    percentile: Annotated[float, Field(gt=0, le=100)] = 80.0
    """The preferred duration is this percentile of the durations seen; in place of the paper's pacer."""
    cutoff: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Exploited are those with at least so much of the K-th best utility, by chance in proportion."""


class Oort(Selection):
    """Statistical times system utility, with exploration.

    Source: Lai et al., "Oort: Efficient federated learning via guided participant selection", OSDI
    2021, eq. 1 and algorithm 1: utility is ``samples x sqrt(mean squared loss)`` (here the mean loss of
    the last training), plus a bonus for long absence ``sqrt(0.1 ln(round) / last round)``, divided for
    those slower than preferred. Its pacer is left out; see ``percentile``.
    """

    Parameters = OortParameters

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        given = setting.parameters
        self._parameters: OortParameters = OortParameters() if given is None else given

    def choose(self, observation: SelectionObservation) -> list[int]:
        """Explore some, exploit the others."""
        clients, eligible = observation.clients, observation.eligible
        own = self._parameters
        share = max(
            own.exploration * own.exploration_decay ** (observation.round - 1),
            own.exploration_least,
        )
        seen = eligible[np.isfinite(clients.loss[eligible])]
        unseen = eligible[~np.isfinite(clients.loss[eligible])]
        exploring = min(ceil(share * observation.wanted), len(unseen))
        exploiting = min(observation.wanted - exploring, len(seen))
        exploring = observation.wanted - exploiting
        chosen: list[int] = []
        if exploiting:
            utility = self._utility(observation, seen)
            best = np.sort(utility)[::-1]
            pool = seen[utility >= own.cutoff * best[exploiting - 1]]
            worth = utility[utility >= own.cutoff * best[exploiting - 1]]
            weights = worth / worth.sum() if worth.sum() > 0 else None
            chosen += self._rng.choice(pool, exploiting, replace=False, p=weights).tolist()
        if exploring:
            rest = unseen if len(unseen) >= exploring else np.setdiff1d(eligible, chosen)
            chosen += self._rng.choice(rest, exploring, replace=False).tolist()
        return chosen

    def _utility(self, observation: SelectionObservation, seen: Whole) -> np.ndarray[Any, Any]:
        clients = observation.clients
        own = self._parameters
        last = np.maximum(clients.last_round[seen], 1)
        bonus = np.sqrt(0.1 * log(max(observation.round, 2)) / last)
        utility: Real = (
            clients.samples[seen].astype(np.float64) * np.abs(clients.loss[seen]) + bonus
        )
        durations = clients.duration_s[np.isfinite(clients.duration_s)]
        if len(durations):
            preferred_s = float(np.percentile(durations, own.percentile))
            own_s = np.where(np.isfinite(clients.duration_s[seen]), clients.duration_s[seen], 0.0)
            slow = own_s > preferred_s
            utility[slow] *= (preferred_s / own_s[slow]) ** own.penalty
        return utility


class FedlParameters(Schema):
    """Parameters of :class:`Fedl`."""

    joules_per_s: Annotated[float, Field(ge=0, le=1e6)] = 5.0
    """Kappa: what a second of the round is worth, in joules of all participants together. The paper leaves it
    to the user; 5 W is about what one phone of the high tier draws while it trains."""


class Fedl(Selection):
    """Clients at random; clocks so that energy and time of the round are least in balance.

    Source: Tran et al., "Federated learning over wireless networks: optimization model design and
    analysis", INFOCOM 2019 (and Dinh et al., ToN 2021), the computing part: minimise joules of the
    participants plus kappa times the round's seconds over the clocks of all. Written from memory. Here
    clocks come in levels, so that the optimum is found by trying every time that some client could need.
    Its choice of transmit power and of local accuracy is left out: phones set the one, the job the other.
    """

    Parameters = FedlParameters

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        given = setting.parameters
        self._parameters: FedlParameters = FedlParameters() if given is None else given

    def choose(self, observation: SelectionObservation) -> Whole:
        """So many at random, without repetition."""
        return self._rng.choice(observation.eligible, observation.wanted, replace=False)

    def decide(self, observation: SelectionObservation) -> tuple[Participant, ...]:
        """Choose a cohort, and the clock of each."""
        clients, work = observation.clients, (observation.batch_size, observation.epochs)
        payload = (observation.downlink_bytes, observation.uplink_bytes)
        found: list[tuple[int, list[tuple[float, float, TrainingTarget]]]] = []
        for client in sorted(int(each) for each in self.choose(observation)):
            plans = []
            for option in clients.options(client, observation.batch_size):
                took_s = predicted_s(clients, client, option, work, payload, observation.wanted)
                joules = option.power_w * option.step_s * clients.steps(client, *work)
                plans.append((took_s, joules, option.target))
            found.append((client, plans))
        known = [each for each in found if isfinite(min(plan[0] for plan in each[1]))]
        least_s = max((min(plan[0] for plan in plans) for _, plans in known), default=0.0)
        most_s = max(observation.deadline_s, least_s)
        limits = sorted(
            {plan[0] for _, plans in known for plan in plans if least_s <= plan[0] <= most_s}
        )

        def cheapest(
            plans: Sequence[tuple[float, float, TrainingTarget]], limit_s: float
        ) -> tuple[float, float, TrainingTarget]:
            kept = [plan for plan in plans if plan[0] <= limit_s]
            return min(kept or plans, key=lambda plan: (plan[1], plan[0], str(plan[2])))

        def worth(limit_s: float) -> float:
            joules = sum(cheapest(plans, limit_s)[1] for _, plans in known)
            return joules + self._parameters.joules_per_s * limit_s

        limit_s = min(limits, key=worth, default=inf)
        return tuple(Participant(client, cheapest(plans, limit_s)[2]) for client, plans in found)
