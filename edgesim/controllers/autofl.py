"""AutoFL: Q-learning that chooses which clients train, and on which processor at which clock.

Source: Kim and Wu, "AutoFL: enabling heterogeneity-aware energy efficient federated learning", MICRO 2021
(arXiv 2107.08147): table 1 (state), Algorithm 1, and its equations of reward and energy. The paper was not
at hand when this was written; its state, algorithm and reward were found in second hand, weights and
exploration rate were not. What the sources leave open is a named parameter, and docs/reproduction.md says
how sure each default is. The paper writes gamma for the learning rate and mu for the discount; here they
have their names.

Some things differ from the paper by default, because its learner was found not to learn as printed
(docs/reproduction.md has what they are worth):

- phones of one profile share a table;
- targets that would miss the deadline, or make all others wait, are not tried;
- accuracy is credited to whose data took part, not to where they were trained: it is one number for K
  clients, and drowns the joules of each;
- values about as good as each other are equal, and an update that does not count costs something.

:data:`~edgesim.controllers.registry.CONTROLLERS` has ``autofl_paper`` for what is printed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgesim.controllers.federated import (
    Clients,
    Participant,
    ParticipantOutcome,
    Real,
    Reports,
    RoundOutcome,
    SelectionObservation,
    TrainingOption,
    TrainingTarget,
    Whole,
)
from edgesim.controllers.learned import load_state
from edgesim.controllers.pace import (
    ABOVE_40_MBPS,
    Pace,
    is_bad_network,
    promised_epoch_s,
    promised_training_s,
    promised_transfer_s,
    steps_of,
)
from edgesim.controllers.qlearning import Binning
from edgesim.controllers.slots import Lesson, Setting
from edgesim.core.documents import Schema
from edgesim.core.errors import EdgesimError
from edgesim.nn.model import ModelCost

__all__ = [
    "GLOBAL_EDGES",
    "LOCAL_EDGES",
    "AutoFL",
    "LocalStates",
    "accuracy_worth",
    "classes_of",
    "layers",
    "reward",
    "shares_of_data",
]

_ABOVE_0 = 1e-9

GLOBAL_EDGES: Mapping[str, tuple[float, ...]] = {
    "conv": (10, 20, 30),
    "fc": (10,),
    "rc": (5, 10),
    "batch_size": (8, 32),
    "epochs": (5, 10),
    "clients_per_round": (10, 50),
}
"""Where the bins of the global state begin: 4 x 2 x 3 x 3 x 3 x 3 = 648 (table 1). The paper leaves 30 to 39
convolutions without a bin; here they are in the largest."""

LOCAL_EDGES: Mapping[str, tuple[float, ...]] = {
    "co_cpu": (_ABOVE_0, 0.25, 0.75),
    "co_mem": (_ABOVE_0, 0.25, 0.75),
    "network_bps": (ABOVE_40_MBPS,),
    "classes": (0.25, 1.0 - 1e-9),
}
"""Where those of the local state begin: 4 x 4 x 2 x 3 = 96. Of data, the share of all classes that a client
has."""

LOCAL_STATES = 96
DATA_STATES = len(LOCAL_EDGES["classes"]) + 1


def classes_of(labels: NDArray[np.int64], presence: float) -> Real:
    """The share of all classes that each client has.

    Args:
        labels: samples by client (rows) and label (columns).
        presence: a class counts with at least so much of an even share of the client's samples.

    Returns:
        Shape ``(clients,)``; 1 where labels are not known.
    """
    if not labels.shape[1]:
        return np.ones(len(labels))
    even = labels.sum(axis=1, keepdims=True) / labels.shape[1]
    found: Real = ((labels >= presence * even) & (labels > 0)).mean(axis=1)
    return found


class LocalStates:
    """Numbers the local states of clients (table 1).

    Args:
        class_edges: where the bins of data begin, as shares of all classes.
        presence: see :func:`classes_of`.

    Attributes:
        states: how many there are.
    """

    def __init__(self, class_edges: tuple[float, float], presence: float) -> None:
        low, high = class_edges
        edges = {**LOCAL_EDGES, "classes": (low - 1e-9, high - 1e-9)}
        self._bins = Binning(list(edges.values()))
        self.states = self._bins.states
        self._presence = presence
        self._classes: Real | None = None  # of all clients of the job

    def of(self, clients: Clients, chosen: Whole, reports: Reports) -> Whole:
        """The number of each of these clients' state."""
        if self._classes is None or len(self._classes) != len(clients):
            self._classes = classes_of(clients.labels, self._presence)
        return self._bins.states_of(
            [
                reports.co_cpu,
                reports.co_mem,
                np.minimum(reports.up_bps, reports.down_bps),
                self._classes[chosen],
            ]
        )


def reward(
    local: float,
    together: float,
    accuracy: float,
    accuracy_before: float,
    alpha: float,
    beta: float,
) -> float:
    """AutoFL's reward of one client.

    Args:
        local: energy of the client,
        together: and of all clients, in the unit that the weights were chosen for.
        accuracy: of the new model, in percent,
        accuracy_before: and of the one before; NaN: nobody knows, and energy alone counts.
        alpha: weight of accuracy,
        beta: and of its gain.
    """
    if isnan(accuracy):
        return -together - local
    if accuracy <= accuracy_before:
        return accuracy - 100.0
    return -together - local + accuracy_worth(accuracy, accuracy_before, alpha, beta)


def accuracy_worth(accuracy: float, accuracy_before: float, alpha: float, beta: float) -> float:
    """What a round's accuracy is worth by itself; arguments as for :func:`reward`, accuracy known."""
    if accuracy <= accuracy_before:
        return accuracy - 100.0
    gain = 0.0 if isnan(accuracy_before) else accuracy - accuracy_before
    return alpha * accuracy + beta * gain


def shares_of_data(states: Whole, is_in: NDArray[np.bool_]) -> Real:
    """Which share of a round's updates came from clients of each data state; zeros if none came.

    Args:
        states: local states of the participants.
        is_in: whose updates count.
    """
    counts = np.bincount(states[is_in] % DATA_STATES, minlength=DATA_STATES).astype(float)
    shares: Real = counts / max(float(counts.sum()), 1.0)
    return shares


Share = Annotated[float, Field(ge=0, le=1)]


class AutoFLParameters(Schema):
    """Parameters of :class:`AutoFL`."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Found: the paper's gamma."""
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Found: the paper's mu."""
    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of rounds that are explored as a whole; recalled, low to medium confidence."""
    explore_rounds: Annotated[int, Field(ge=0)] | None = 80
    """Exploring stops after so many rounds, earlier jobs included; ``null``: never. The paper says that its
    reward settles within 50 to 80; whole rounds at random cost more than they teach after that."""
    alpha: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    beta: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    """Weights of accuracy (percent) and its gain; the paper's were not found. Small, so that the energies of
    one client and of another, each about 1, still tell them apart."""
    energies: Literal["relative", "joules"] = "relative"
    """In the reward, energies relative to those of the first round, or in joules. The paper adds joules (or
    millijoules: unknown) to percent; then the weights mean something for one model only."""
    tables: Literal["per_tier", "per_device"] = "per_tier"
    """Phones of one profile learn together, or each alone (as the paper has it; it offers the other). A
    round teaches K cells; 200 tables have too many of them to be learned in one job."""
    levels: Annotated[int, Field(ge=1)] | None = None
    """Clocks per processor to choose of, evenly spaced and always with the highest; ``null``: all. Every one
    more must be tried in every state, which pays where tables are of joules (see credit)."""
    masks_late: bool = True
    """Whether targets are left out that should be late, by promises and past rounds: miss the round's deadline,
    or make the others wait."""
    patience: Annotated[float, Field(gt=0, le=1e6)] = 1.1
    """With masks_late: a client makes the others wait that should need more than so many times what the median
    client could do. The paper's reward feels waiting only through idle watts, which are few. Much below 1, the
    fastest tier is left alone, whose data are soon learned."""
    caution: Annotated[float, Field(ge=0, le=10)] = 1.0
    """So many standard deviations are added to what a client should take."""
    credit: Literal["data", "each"] = "data"
    """Who gets the credit for a round's accuracy. ``each``: every participant's state and target alike, as the
    paper has it; a hundred rounds then teach nothing about data, and hide what joules have to say. ``data``: the
    states of data that took part, each by its share, whatever the tier and target; tables are of joules then."""
    data_rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """With ``data``: how far a round moves their worth. Small, since whether one round is better than the last
    is chance as much as choice."""
    lost: Annotated[float, Field(ge=0, le=1e6)] = 3.0
    """Taken from the reward of a client whose update did not count, in the unit of energies: what it spent was
    wasted, and so was its place. With 0, as in the paper, who fails at once for want of memory has hardly spent
    anything, and is sought out."""
    tie_width: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Values that differ by less are equal, and equals are taken at random; 1 is about what one client spends
    in a round (with energies: joules, one joule). With 0, as in the paper, chance has a say only among clients
    in one state, and the same few train all the time, whose samples are soon learned."""
    class_presence: Annotated[float, Field(ge=0, le=1)] = 0.3
    """A class is one of a client's with at least so much of an even share of its samples. The paper counts
    classes; with Dirichlet data nearly everybody has one sample of most."""
    class_edges: Annotated[tuple[Share, Share], Field(strict=False)] = (0.25, 1.0)
    """Where the bins of data begin, as shares of all classes: small, medium, large (table 1). Clients with
    few samples miss some class even if theirs are like everybody's: then lower the second."""
    initial: Annotated[tuple[float, float], Field(strict=False)] = (0.0, 1.0)
    """Initial values, uniform between these; the paper's range is unknown. Rewards of good rounds are above
    it with the weights above, so that what works is kept."""
    table: str | None = None
    """Begin with what an earlier run has learned: its ``learned.json``, relative to the scenario file."""
    transfer: bool = False
    """Whether a global state that the table does not know (another model, other B, E or K) begins with the
    nearest that it knows; else with initial values."""
    is_frozen: bool = False
    """Use ``table`` as it is: neither explore nor learn."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in ("transfer", "is_frozen"):
            if getattr(self, name) and self.table is None:
                raise ValueError(f"{name} needs table, the learned.json of an earlier run")
        for name in ("initial", "class_edges"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the first value must not be above the second")
        return self


@dataclass(slots=True)
class _Tier:
    """Phones of one profile: where they can train, and what has been learned about that.

    Attributes:
        profile: its name.
        targets: in the order of a table's columns.
        values: by number of global state: shape ``(tables, local states, targets)``.
        devices: the number of each device's table; empty where one is shared.
    """

    profile: str
    targets: tuple[TrainingTarget, ...]
    values: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Chosen:
    """What was decided for a cohort, on its way to becoming experience; arrays of shape ``(participants,)``.

    Attributes:
        clients: increasing.
        tiers, tables, states, actions: where their values stand.
        training_s, transfer_s: what was promised.
        is_bad: whether the network was.
        worth: rewards, once they are known.
    """

    clients: Whole
    tiers: Whole
    tables: Whole
    states: Whole
    actions: Whole
    training_s: Real
    transfer_s: Real
    is_bad: NDArray[np.bool_]
    worth: Real | None = None


class AutoFL:
    """AutoFL, for slot ``selection`` of synchronous jobs.

    Each round, for all eligible clients: observe the state; with probability ``epsilon`` take K at random,
    each at a random target; else the K of the highest value, each at its best target, those within
    ``tie_width`` of the last at random. When the round is over, and the next one has shown the next state,

        Q(S, A) += learning_rate * (R + discount * max Q(S', .) - Q(S, A)).

    Clients of one tier that were in the same state at the same target share a cell: it moves once, towards
    the mean of their rewards. Clients that did not take part had no action; their values stay.

    With ``credit: data``, R is energy alone, and a client's value is Q(S, A) + V(S_data), where V is moved by
    what the round's accuracy was worth, less what it was taken to be worth, for each state of data by its share
    x of the updates (normalised least mean squares):

        V += data_rate * (worth - x . V) * x / (x . x).
    """

    needs_what_if = False
    learns = True
    Parameters = AutoFLParameters

    def __init__(self, setting: Setting) -> None:
        self.parameters: AutoFLParameters = setting.parameters or AutoFLParameters()
        self._rng = setting.rng
        self._local = LocalStates(self.parameters.class_edges, self.parameters.class_presence)
        self._global = Binning(list(GLOBAL_EDGES.values()))
        self._pace = Pace(self.parameters.caution)
        self._is_frozen = self.parameters.is_frozen
        self._tiers: list[_Tier] = []
        self._tier_of: dict[str, int] = {}
        self._options: dict[tuple[int, int], tuple[int, tuple[TrainingOption, ...]]] = {}
        self._round = 0  # rounds decided, earlier jobs included
        self._reference_j: tuple[float, float] | None = None
        self._data: dict[int, Real] = {}  # by global state: the worth of each data state
        self._chosen: _Chosen | None = None
        self._state = 0  # global, of what was chosen
        self._is_explored = False
        self._saved: Mapping[str, Any] = {}
        if self.parameters.table is not None:
            file = setting.folder / self.parameters.table
            saved = load_state(file)
            for key in (setting.seat, setting.slot):
                self._saved = self._saved or saved.get(key, {})
            if "tiers" not in self._saved:
                raise EdgesimError(f"{file} holds no tables of autofl for slot {setting.slot!r}")
            self._load_common(self._saved)

    # -- deciding ---------------------------------------------------------------------------------

    def decide(self, observation: SelectionObservation) -> tuple[Participant, ...]:
        """The clients of highest value, each at its best target; now and then others."""
        own, clients, eligible = self.parameters, observation.clients, observation.eligible
        reports = clients.reports(eligible)
        states = self._local.of(clients, eligible, reports)
        is_bad = is_bad_network(reports)
        self._learn_from_next(clients, eligible, states)
        self._state = self._global_state(observation)
        explores = not self._is_frozen and (
            own.explore_rounds is None or self._round < own.explore_rounds
        )
        # One draw each round, so that what follows does not depend on whether it explores.
        self._is_explored = bool(self._rng.random() < own.epsilon) and explores
        self._round += 1

        steps = steps_of(clients, eligible, observation.batch_size, observation.epochs)
        payload = (observation.downlink_bytes, observation.uplink_bytes)
        transfer_s = promised_transfer_s(reports, payload, observation.wanted)
        sending_s = transfer_s * self._pace.transfer_factors(is_bad)
        sending_s += clients.collecting_s(eligible)
        n = len(eligible)
        worth, action = np.full(n, -inf), np.zeros(n, np.int64)
        training_s, fastest_s, fastest = np.zeros(n), np.full(n, inf), np.zeros(n, np.int64)
        tiers, tables = np.zeros(n, np.int64), np.zeros(n, np.int64)
        judged: list[tuple[Whole, Real, Real, Real]] = []
        of_data = self._of_data(self._state)
        groups = clients.group[eligible]
        for group in np.unique(groups).tolist():
            rows = np.flatnonzero(groups == group)
            number, options = self._tier(observation, group, int(eligible[rows[0]]))
            tier = self._tiers[number]
            tiers[rows] = number
            tables[rows] = self._tables_of(tier, clients, eligible[rows])
            values: Real = self._values(tier, self._state)[tables[rows], states[rows]].astype(float)
            promised_s = promised_training_s(options, steps[rows], reports.co_cpu[rows])
            factors = self._pace.training_factors(tier.profile, tier.targets)
            own_pace = self._pace.device_factors(clients.devices, eligible[rows])
            predicted_s = promised_s * factors * own_pace[:, None] + sending_s[rows, None]
            fastest_s[rows], fastest[rows] = predicted_s.min(axis=1), predicted_s.argmin(axis=1)
            if self._is_explored:
                values = self._rng.random(values.shape)
            else:
                values += of_data[states[rows] % DATA_STATES, None]
            judged.append((rows, values, predicted_s, promised_s))
        limit_s = self._limit_s(fastest_s, observation)
        for rows, values, predicted_s, _ in judged:
            values[predicted_s > limit_s] = -inf
            action[rows] = values.argmax(axis=1)
            worth[rows] = values.max(axis=1)
        ties = self._rng.random(n)
        if self._is_explored:
            worth = np.where(np.isfinite(worth), 0.0, -inf)
        picked = _highest(worth, ties, observation.wanted, own.tie_width)
        if not len(picked):
            # Nobody should be in time: those that should be nearest to it, as fast as they can.
            picked = np.lexsort((ties, fastest_s))[: observation.wanted]
            action[picked] = fastest[picked]
        for rows, _, _, promised_s in judged:
            training_s[rows] = promised_s[np.arange(len(rows)), action[rows]]
        picked = np.sort(picked)
        self._chosen = _Chosen(
            eligible[picked],
            tiers[picked],
            tables[picked],
            states[picked],
            action[picked],
            training_s[picked],
            transfer_s[picked],
            is_bad[picked],
        )
        return tuple(
            Participant(client, self._tiers[tier].targets[place])
            for client, tier, place in zip(
                eligible[picked].tolist(),
                tiers[picked].tolist(),
                action[picked].tolist(),
                strict=True,
            )
        )

    def _limit_s(self, fastest_s: Real, observation: SelectionObservation) -> float:
        """How long a client may take, given how long each should at its fastest."""
        if not self.parameters.masks_late:
            return inf
        reached_s = fastest_s[fastest_s < inf]
        if not len(reached_s):
            return 0.0  # nobody has a connection
        waits_s = self.parameters.patience * float(np.median(reached_s))
        return min(observation.deadline_s, waits_s)

    def _of_data(self, state: int) -> Real:
        """The worth of each data state in a global state."""
        found = self._data.get(state)
        if found is None:
            known = self._data if self.parameters.transfer else {}
            found = known[self._nearest(state, known)].copy() if known else np.zeros(DATA_STATES)
            self._data[state] = found
        return found

    def _global_state(self, observation: SelectionObservation) -> int:
        return self._global.state(
            (
                *layers(observation.model),
                observation.batch_size,
                observation.epochs,
                observation.wanted,
            )
        )

    def _tier(
        self, observation: SelectionObservation, group: int, client: int
    ) -> tuple[int, tuple[TrainingOption, ...]]:
        """The number of a group's tier, and its options."""
        known = self._options.get((group, observation.batch_size))
        if known is not None:
            return known
        clients = observation.clients
        options = _spaced(clients.options(client, observation.batch_size), self.parameters.levels)
        profile = clients.profiles[group]
        targets = tuple(option.target for option in options)
        number = self._tier_of.get(profile)
        if number is None:
            number = self._tier_of[profile] = len(self._tiers)
            self._tiers.append(_Tier(profile, targets))
            saved = self._saved.get("tiers", {}).get(profile)
            if saved is not None:
                self._adopt(self._tiers[number], saved)
        if self._tiers[number].targets != targets:
            raise EdgesimError(
                f"phones of profile {profile!r} have different targets in two groups; give them the "
                "same governor, or a profile each"
            )
        self._options[group, observation.batch_size] = found = number, options
        return found

    def _tables_of(self, tier: _Tier, clients: Clients, rows: Whole) -> Whole:
        """The number of each client's table."""
        if self.parameters.tables == "per_tier":
            return np.zeros(len(rows), np.int64)
        known = tier.devices
        found = [known.setdefault(clients.devices[k], len(known)) for k in rows.tolist()]
        return np.array(found, np.int64)

    def _values(self, tier: _Tier, state: int) -> NDArray[np.float32]:
        """The tables of a tier in a global state, made when first needed."""
        tables = max(len(tier.devices), 1)
        found = tier.values.get(state)
        if found is None and self.parameters.transfer and tier.values:
            found = tier.values[self._nearest(state, tier.values)].copy()
        have = 0 if found is None else len(found)
        if have < tables:
            shape = (tables - have, LOCAL_STATES, len(tier.targets))
            fresh = self._rng.uniform(*self.parameters.initial, size=shape).astype(np.float32)
            found = fresh if found is None else np.concatenate([found, fresh])
        assert found is not None
        tier.values[state] = found
        return found

    def _nearest(self, state: int, known: Mapping[int, Any]) -> int:
        """The known global state that is fewest bins away."""
        place = np.array(np.unravel_index(state, self._global.sizes))
        return min(
            sorted(known),
            key=lambda each: int(
                np.abs(np.array(np.unravel_index(each, self._global.sizes)) - place).sum()
            ),
        )

    # -- learning ---------------------------------------------------------------------------------

    def learn(
        self,
        observation: SelectionObservation,
        decision: tuple[Participant, ...],
        outcome: RoundOutcome,
    ) -> Lesson | None:
        """Reward every participant; values change when the next state is known too."""
        chosen = self._chosen
        if chosen is None:
            return None
        by_client = {each.client: each for each in outcome.participants}
        each_outcome = [by_client[client] for client in chosen.clients.tolist()]
        devices = observation.clients.devices
        for own, tier, training_s, transfer_s, is_bad in zip(
            each_outcome,
            chosen.tiers.tolist(),
            chosen.training_s.tolist(),
            chosen.transfer_s.tolist(),
            chosen.is_bad.tolist(),
            strict=True,
        ):
            profile = self._tiers[tier].profile
            promised_s = training_s * _work_done(observation, own)
            self._pace.learn(
                devices[own.client], profile, own, promised_s, transfer_s, is_bad=is_bad
            )
        is_judged = not isnan(outcome.accuracy) or isnan(outcome.accuracy_before)
        if not is_judged:
            self._chosen = None  # whether the model got better is not known
            return None
        # AutoFL's local energy of a participant: computing, sending, and idling through the round.
        idle_j = np.array(outcome.idle_j)[observation.clients.group[chosen.clients]]
        local_j = idle_j + [own.compute_j + own.transmit_j for own in each_outcome]
        unit_local_j, unit_global_j = self._units(float(local_j.mean()), outcome.energy_global_j)
        of_data = self.parameters.credit == "data" and not isnan(outcome.accuracy)
        is_in = np.array([own.status in ("done", "partial") for own in each_outcome])
        lost = np.where(is_in, 0.0, self.parameters.lost)
        local, together = local_j / unit_local_j, outcome.energy_global_j / unit_global_j
        accuracies = (100.0 * outcome.accuracy, 100.0 * outcome.accuracy_before)
        weights = (self.parameters.alpha, self.parameters.beta)
        if not of_data:
            each = [reward(own, together, *accuracies, *weights) for own in local.tolist()]
            chosen.worth = np.array(each) - lost
            return Lesson(float(chosen.worth.mean()), self._is_explored)
        chosen.worth = -together - local - lost
        worth = accuracy_worth(*accuracies, *weights)
        shares = shares_of_data(chosen.states, is_in)
        if is_in.any() and not self._is_frozen:
            known = self._of_data(self._state)
            off = worth - float(shares @ known)
            known += self.parameters.data_rate * off * shares / float(shares @ shares)
        return Lesson(float(chosen.worth.mean()) + worth, self._is_explored)

    def _units(self, mean_j: float, global_j: float) -> tuple[float, float]:
        """What energies are divided by."""
        if self.parameters.energies == "joules":
            return 1.0, 1.0
        if self._reference_j is None:
            if not (mean_j > 0.0 and global_j > 0.0):
                return 1.0, 1.0
            self._reference_j = (mean_j, global_j)
        return self._reference_j

    def _learn_from_next(self, clients: Clients, eligible: Whole, states: Whole) -> None:
        """The next state is known: let last round's values change before they are used."""
        chosen = self._chosen
        if chosen is None or chosen.worth is None or self._is_frozen:
            return
        places = np.minimum(np.searchsorted(eligible, chosen.clients), len(eligible) - 1)
        now = states[places]
        away = np.flatnonzero(eligible[places] != chosen.clients)
        if len(away):
            asked = chosen.clients[away]
            now[away] = self._local.of(clients, asked, clients.reports(asked))
        self._update(chosen, now)

    def _update(self, chosen: _Chosen, next_states: Whole) -> None:
        """Move the values of what was chosen, cell by cell."""
        assert chosen.worth is not None
        for number in range(len(self._tiers)):
            own = np.flatnonzero(chosen.tiers == number)
            if not len(own):
                continue
            values = self._values(self._tiers[number], self._state)
            ahead = values[chosen.tables[own], next_states[own]].max(axis=1)
            worth = chosen.worth[own] + self.parameters.discount * ahead
            _, states, actions = values.shape
            cells = (chosen.tables[own] * states + chosen.states[own]) * actions
            rewards: dict[int, list[float]] = {}
            for cell, each in zip(
                (cells + chosen.actions[own]).tolist(), worth.tolist(), strict=True
            ):
                rewards.setdefault(cell, []).append(each)
            flat = values.reshape(-1)
            for cell, some in rewards.items():
                before = float(flat[cell])
                mean = sum(some) / len(some)
                flat[cell] = before + self.parameters.learning_rate * (mean - before)
        chosen.worth = None

    def freeze(self) -> None:
        """Training is over: use the tables as they are."""
        self._settle()
        self._is_frozen = True

    def _settle(self) -> None:
        """No next state will come: each client is taken to stay in its own."""
        if self._chosen is not None and self._chosen.worth is not None and not self._is_frozen:
            self._update(self._chosen, self._chosen.states)

    # -- what it has learned ----------------------------------------------------------------------

    def memory(self) -> dict[str, int]:
        """Bytes of its tables by profile: of the global states that it has been in."""
        return {
            tier.profile: sum(values.nbytes for values in tier.values.values())
            for tier in self._tiers
        }

    def state_dict(self) -> dict[str, Any]:
        """Tables by profile, and what it knows about times."""
        self._settle()
        tiers = {
            tier.profile: {
                "targets": [[t.processor, t.level] for t in tier.targets],
                "values": {
                    str(state): found.copy() for state, found in sorted(tier.values.items())
                },
                "devices": dict(tier.devices),
            }
            for tier in self._tiers
        }
        return {
            "tiers": {**self._saved.get("tiers", {}), **tiers},
            "data": {str(state): found.tolist() for state, found in sorted(self._data.items())},
            "tables": self.parameters.tables,
            "credit": self.parameters.credit,
            "rounds": self._round,
            "reference_j": None if self._reference_j is None else list(self._reference_j),
            "pace": self._pace.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these tables. Those of profiles that are not here are kept as they are."""
        self._load_common(state)
        self._saved = state
        self._tiers, self._tier_of, self._options = [], {}, {}

    def _load_common(self, state: Mapping[str, Any]) -> None:
        for name in ("tables", "credit"):
            if state[name] != getattr(self.parameters, name):
                raise EdgesimError(
                    f"what was learned is with {name}: {state[name]}, not "
                    f"{getattr(self.parameters, name)}; set {name} to that"
                )
        self._round = int(state["rounds"])
        reference_j = state["reference_j"]
        # Another model's joules are no measure for this one's.
        if reference_j is not None and not self.parameters.transfer:
            self._reference_j = (float(reference_j[0]), float(reference_j[1]))
        self._data = {int(key): np.array(found) for key, found in state["data"].items()}
        self._pace.load_state_dict(state["pace"])
        self._chosen = None

    def _adopt(self, tier: _Tier, saved: Mapping[str, Any]) -> None:
        """Take over the tables that were saved of a tier."""
        targets = tuple(TrainingTarget(name, level) for name, level in saved["targets"])
        if targets != tier.targets:
            known = ", ".join(map(str, targets))
            raise EdgesimError(
                f"the tables for profile {tier.profile!r} are about {known}; here phones can train on "
                f"{', '.join(map(str, tier.targets))}"
            )
        tier.values = {int(k): v.astype(np.float32) for k, v in saved["values"].items()}
        tier.devices = {str(k): int(v) for k, v in saved["devices"].items()}


def _highest(worth: Real, ties: Real, wanted: int, width: float) -> Whole:
    """Places of so many of the highest values, fewer where they are not finite.

    Of those within ``width`` of the last that would be taken, the lowest ``ties`` are.
    """
    least = float(np.partition(worth, -wanted)[-wanted]) if wanted < len(worth) else -inf
    pool = np.flatnonzero((worth >= least - width) & (worth > -inf))
    is_sure = worth[pool] > least + width
    order = np.lexsort((ties[pool], ~is_sure))
    found: Whole = pool[order[:wanted]]
    return found


def _work_done(observation: SelectionObservation, own: ParticipantOutcome) -> float:
    """How many times the work that was expected of a participant, if slot ``parameters`` set another."""
    expected = (observation.batch_size, observation.epochs)
    done = (own.batch_size, own.epochs)
    if done == expected:
        return 1.0
    seconds = [
        epochs * promised_epoch_s(observation.clients, own.client, own.target, batch_size)
        for batch_size, epochs in (done, expected)
    ]
    return seconds[0] / seconds[1]


def layers(model: ModelCost) -> tuple[int, int, int]:
    """Convolutions, fully connected and recurrent layers of a model, as the global state counts them."""
    counts = model.state_counts
    return counts.conv, counts.fc, counts.rc


def _spaced(options: Sequence[TrainingOption], levels: int | None) -> tuple[TrainingOption, ...]:
    """Of each processor's clocks so many, evenly spaced, the highest among them."""
    if levels is None:
        return tuple(options)
    kept: list[TrainingOption] = []
    for processor in dict.fromkeys(option.target.processor for option in options):
        own = [option for option in options if option.target.processor == processor]
        own.sort(key=lambda option: option.frequency_hz)
        count = min(levels, len(own))
        places = {round((k + 1) * len(own) / count) - 1 for k in range(count)}
        kept += [own[place] for place in sorted(places)]
    return tuple(kept)
