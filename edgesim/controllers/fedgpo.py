"""FedGPO: Q-learning that chooses batch size and epochs of every participant, and how many there are.

Source: Kim and Wu, "FedGPO: heterogeneity-aware global parameter optimization for efficient federated learning",
IISWC 2022 (arXiv 2211.16669). Of the paper only its abstract was at hand; its state, actions, reward and
algorithm are as recalled, after AutoFL's by the same authors (:mod:`edgesim.controllers.autofl`). What that
leaves open is a named parameter, and docs/reproduction.md says how sure each default is.

Some things differ from what is recalled by default, because that learner was found not to learn
(docs/reproduction.md has what they are worth):

- tables are of joules alone, begin with what profiles promise, and a round's accuracy is credited to how much was
  trained, by whomever (:mod:`edgesim.controllers.progress`): it is one number for K clients;
- its weight is no constant but a price: the joules that progress costs at best;
- all wait for the last, so that its time is paid for with everybody's idle watts; who would be too slow for
  that does less.

:data:`~edgesim.controllers.registry.CONTROLLERS` has ``fedgpo_paper`` for what is recalled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import inf, isfinite, isnan, nan
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from edgesim.controllers.autofl import (
    GLOBAL_EDGES,
    LOCAL_STATES,
    LocalStates,
    Share,
    layers,
    reward,
)
from edgesim.controllers.federated import (
    Clients,
    ParametersObservation,
    ParticipantOutcome,
    Real,
    Reports,
    RoundOutcome,
    RoundParameters,
    TrainingTarget,
    Whole,
)
from edgesim.controllers.learned import load_state
from edgesim.controllers.pace import (
    Pace,
    is_bad_network,
    promised_epoch_s,
    promised_transfer_s,
    slowed_by_apps,
)
from edgesim.controllers.progress import WorkProgress
from edgesim.controllers.qlearning import Binning
from edgesim.controllers.slots import Lesson, Setting
from edgesim.core.documents import Schema
from edgesim.core.errors import EdgesimError

__all__ = [
    "BATCH_SIZES",
    "CLIENTS_PER_ROUND",
    "EPOCHS",
    "Choices",
    "FedGPO",
    "Promises",
    "best_work",
    "some_choices",
]

BATCH_SIZES = (1, 2, 4, 8, 16, 32)
EPOCHS = (1, 5, 10, 15, 20)
CLIENTS_PER_ROUND = (1, 5, 10, 15, 20)
"""FedGPO's choices of B, E and K; recalled, medium confidence."""

STATE_EDGES = {name: GLOBAL_EDGES[name] for name in ("conv", "fc", "rc")}
"""The global state is AutoFL's without B, E and K, which are chosen here: 24, times 96 local ones."""

_LIMITS_TRIED = 32
"""Limits of time that are tried for a round, spread over all that its clients could need."""

_REMEMBERED = 60
"""Participants by whom it judges what another K would cost."""

_DOUBT_ROUNDS = 2
"""How long rounds of one K lasted beyond what was foreseen is believed like so many rounds of every K;
assumed."""

_FORGETS = 0.1
"""Weight of the newest round there once there are ten."""

_LEAST_GAIN = 3.0
"""So many times the noise must accuracy have risen over all rounds before it is asked what gains most: where all
work gains nothing, the least would be done, for ever. Assumed."""

_COHORTS_DRAWN = 4
"""And cohorts of each K that are drawn of them; assumed, as is the number of participants."""

Counts = Annotated[tuple[Annotated[int, Field(ge=1, le=100_000)], ...], Field(strict=False)]


def some_choices(found: tuple[int, ...]) -> tuple[int, ...]:
    """In order, if there is at least one, and none twice.

    Raises:
        ValueError: if not.
    """
    if not found:
        raise ValueError("there is nothing to choose of; give at least one number, e.g. [8]")
    if len(set(found)) < len(found):
        raise ValueError("the same number is there twice")
    return tuple(sorted(found))


class Choices(Schema):
    """What can be chosen of."""

    batch_sizes: Counts = BATCH_SIZES
    """B. A client with fewer samples than B trains on all of them at once."""
    epochs: Counts = EPOCHS
    """E."""
    clients_per_round: Counts = CLIENTS_PER_ROUND
    """K. Of more than there are clients, all take part; in a round with fewer eligible ones, those."""

    _some = field_validator("batch_sizes", "epochs", "clients_per_round")(some_choices)

    @property
    def works(self) -> tuple[tuple[int, int], ...]:
        """Every pair of B and E."""
        return tuple(product(self.batch_sizes, self.epochs))


class FedGPOParameters(Choices):
    """Parameters of :class:`FedGPO`."""

    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The paper's gamma; recalled, medium confidence, and as in AutoFL."""
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """With ``each``: the paper's mu; likewise. With ``work`` there is none: what a client will spend next time does
    not hang on what it was told this time."""
    epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of rounds that are explored; recalled, low to medium confidence."""
    explore_rounds: Annotated[int, Field(ge=0)] | None = 80
    """Exploring stops after so many rounds, earlier jobs included; ``null``: never. As in AutoFL."""
    trial_rounds: Annotated[int, Field(ge=0)] = 12
    """Of these, all of the first so many are explored: before, nothing is known."""
    credit: Literal["work", "each"] = "work"
    """Who gets the credit for a round's accuracy. ``each``: every participant's state and choice alike, as is
    recalled. ``work``: how much was trained, whoever did it; tables are of joules then."""
    accuracy_noise: Annotated[float, Field(gt=0, le=1)] = 0.05
    """With ``work``: how far accuracy wanders by chance from round to round; see
    :class:`~edgesim.controllers.progress.WorkProgress`."""
    alpha: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    beta: Annotated[float, Field(ge=0, le=1e6)] = 0.1
    """With ``each``: weights of accuracy (percent) and its gain; the paper's were not found."""
    energies: Literal["relative", "joules"] = "relative"
    """With ``each``: energies in the reward relative to those of the first round, or in joules."""
    masks_late: bool = True
    """Whether choices are left out that should take too long, by promises and past rounds: longer than the
    round's deadline, or than pays, as all others wait at their idle watts; and, while it explores, longer than
    the cohort should take with the job's own B and E."""
    caution: Annotated[float, Field(ge=0, le=10)] = 1.0
    """So many standard deviations are added to what a client should take."""
    initial: Literal["promised"] | Annotated[tuple[float, float], Field(strict=False)] = "promised"
    """Initial values: with ``work``, the joules that profiles promise; or uniform between two numbers. With
    ``each``, ``promised`` is 0 to 1."""
    class_presence: Annotated[float, Field(ge=0, le=1)] = 0.3
    """A class is one of a client's with at least so much of an even share of its samples."""
    class_edges: Annotated[tuple[Share, Share], Field(strict=False)] = (0.25, 1.0)
    """Where the bins of data begin, as shares of all classes: small, medium, large."""
    table: str | None = None
    """Begin with what an earlier run has learned: its ``learned.json``, relative to the scenario file."""
    is_frozen: bool = False
    """Use ``table`` as it is: neither explore nor learn. How long clients take goes on being watched."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.is_frozen and self.table is None:
            raise ValueError("is_frozen needs table, the learned.json of an earlier run")
        for name in ("initial", "class_edges"):
            found = getattr(self, name)
            if found != "promised" and found[0] > found[1]:
                raise ValueError(f"{name}: the first value must not be above the second")
        return self


def _nearest(choices: Sequence[tuple[int, ...]], wanted: tuple[int, ...]) -> int:
    """The place of the choice that is nearest, by ratios."""
    off = np.abs(np.log(np.array(choices, float)) - np.log(np.array(wanted, float)))
    return int(off.sum(axis=1).argmin())


class Promises:
    """How long clients should train with each B and E, by what profiles promise of single steps.

    Args:
        works: pairs of B and E.
    """

    def __init__(self, works: Sequence[tuple[int, int]]) -> None:
        self.works = works
        self._batches = sorted({batch_size for batch_size, _ in works})
        self._columns = [self._batches.index(batch_size) for batch_size, _ in works]
        self._epochs = np.array([epochs for _, epochs in works], float)
        self._known: dict[tuple[int, TrainingTarget, int], tuple[Real, float, bool]] = {}

    def of(self, clients: Clients, client: int, target: TrainingTarget) -> tuple[Real, float, bool]:
        """Of a client alone on its processor: seconds of each work, watts, and whether it is a CPU."""
        samples = int(clients.samples[client])
        key = (int(clients.group[client]), target, samples)
        found = self._known.get(key)
        if found is None:
            epoch_s = [
                promised_epoch_s(clients, client, target, batch_size)
                for batch_size in self._batches
            ]
            option = next(o for o in clients.options(client, 1) if o.target == target)
            seconds = np.array(epoch_s)[self._columns] * self._epochs
            found = self._known[key] = (seconds, option.power_w, option.kind == "cpu")
        return found


class Best(NamedTuple):
    """The best that a cohort can do.

    Attributes:
        picked: column of each client,
        is_able: and whether it can be back in time; shape ``(clients,)``.
        limit_s: how long the round then takes.
        worth: sum of values of those who can, less what waiting costs.
    """

    picked: Whole
    is_able: NDArray[np.bool_]
    limit_s: float
    worth: float


def best_work(values: Real, seconds: Real, waiting_cost: float, deadline_s: float = inf) -> Best:
    """For each client the best choice, given that all wait for the last of them.

    For a limit of time, each client's best choice is the one of highest value that keeps it; of
    :data:`_LIMITS_TRIED` limits, the one is taken at which the sum of values, less the cost of the limit,
    is highest. Who would be too late whatever it does, does what is over soonest; all wait for it until the
    deadline, so that nothing is saved by haste. Nobody waits for who has no connection.

    Args:
        values: of each choice; shape ``(clients, choices)``.
        seconds: how long each takes; infinite for never.
        waiting_cost: of a second of the round, in the unit of values.
        deadline_s: after which an update does not count.
    """
    fastest_s = seconds.min(axis=1)
    is_able = fastest_s <= min(deadline_s, 1e300)
    picked: Whole = seconds.argmin(axis=1)
    if not is_able.any():
        return Best(picked, is_able, 0.0, 0.0)
    own_s, own = seconds[is_able], values[is_able]
    least_s = float(fastest_s[is_able].max())
    limits = np.unique(own_s[(own_s >= least_s) & (own_s <= min(deadline_s, 1e300))])
    is_late = bool((np.isfinite(fastest_s) & ~is_able).any())
    if is_late:
        limits = np.array([deadline_s])
    if len(limits) > _LIMITS_TRIED:
        limits = limits[np.linspace(0, len(limits) - 1, _LIMITS_TRIED).round().astype(int)]
    allowed = np.where(own_s <= limits[:, None, None], own, -inf)
    worth = allowed.max(axis=2).sum(axis=1) - waiting_cost * limits
    best = int(worth.argmax())
    picked[is_able] = allowed[best].argmax(axis=1)
    took_s = own_s[np.arange(len(own_s)), picked[is_able]].max()
    return Best(picked, is_able, deadline_s if is_late else float(took_s), float(worth[best]))


@dataclass(slots=True)
class _Tier:
    """Phones of one profile, and what has been learned about them.

    Attributes:
        profile: its name.
        values: by number of global state: shape ``(local states, works)``.
    """

    profile: str
    values: dict[int, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(slots=True)
class _Cohort:
    """A cohort that is to be told what to do; arrays of shape ``(participants, ...)``.

    Attributes:
        clients: increasing.
        tiers, states: where their values stand.
        promised_s: of training, by promise, by work,
        seconds: until each would be back, by what is known.
        own_s: likewise with the job's own B and E.
        transfer_s: of transfers, by promise.
        is_bad: whether the network was.
        actions: what was decided.
        worth: rewards, once they are known; NaN of those that teach nothing.
    """

    clients: Whole
    tiers: Whole
    states: Whole
    promised_s: Real
    seconds: Real
    own_s: Real
    transfer_s: Real
    is_bad: NDArray[np.bool_]
    actions: Whole
    worth: Real | None = None


class FedGPO:
    """FedGPO, for slot ``parameters`` of synchronous jobs.

    Each round, for the cohort that was chosen: observe each one's state; with probability ``epsilon`` take B and
    E at random, else those of highest value; likewise K, for the next round. When the round is over, and the
    next one has shown the next state,

        Q(S, A) += learning_rate * (R + discount * max Q(S', .) - Q(S, A)).

    (Without the discount where ``credit`` is ``work``.) With ``credit: each``, R is AutoFL's reward of a client, and K has a table of its own, by global state, whose
    reward is the mean of the participants'.

    With ``credit: work``, -Q is the joules of a client's training and sending. What each work gains, g, is
    learned apart; so B and E maximise, given that all wait for the last at their idle watts w,

        price * sum g(B, E, K) / K + sum Q(S, (B, E)) - w * (duration + u(K))

    where u is what rounds of K clients lasted beyond what was foreseen, on average, and the price is what
    makes the maximum 0: joules per progress can then not be fewer (Dinkelbach, "On nonlinear fractional
    programming", Management Science 13, 1967). K maximises the same for cohorts drawn of the last participants.
    """

    needs_what_if = False
    learns = True
    Parameters = FedGPOParameters

    def __init__(self, setting: Setting) -> None:
        self.parameters: FedGPOParameters = setting.parameters or FedGPOParameters()
        own = self.parameters
        self._rng = setting.rng
        self._local = LocalStates(own.class_edges, own.class_presence)
        self._global = Binning(list(STATE_EDGES.values()))
        self._works = own.works
        self._promises = Promises(self._works)
        self._own_promises: dict[tuple[int, int], Promises] = {}
        self._pace = Pace(own.caution)
        self._progress = WorkProgress(
            (own.batch_sizes, own.epochs, own.clients_per_round), own.accuracy_noise
        )
        self._is_frozen = own.is_frozen
        self._tiers: list[_Tier] = []
        self._tier_of: dict[str, int] = {}
        self._of_clients: dict[int, Real] = {}  # by global state: the value of each K
        self._round = 0
        self._reference_j: tuple[float, float] | None = None
        self._pool: deque[tuple[Real, Real]] = deque(maxlen=_REMEMBERED)
        self._cohort: _Cohort | None = None
        # Places of the K of the next round, and of this one's; the first round's is the job's own.
        self._own_k = 0
        self._next_k: int | None = None
        self._k: int | None = None
        self._state = 0
        self._accuracy = nan  # of the present model
        self._unforeseen: dict[int, tuple[int, float]] = {}  # by K: rounds, mean seconds
        self._foreseen_s = 0.0
        self._asked = 0  # K of this round, or all clients if these are fewer
        self._unjudged: list[
            tuple[int, int]
        ] = []  # what has been trained since the model was judged,
        self._unjudged_rounds = 0  # in so many rounds
        self._price = 0.0  # joules per accuracy, at the last optimum
        self._is_explored = False
        self._saved: Mapping[str, Any] = {}
        if own.table is not None:
            file = setting.folder / own.table
            saved = load_state(file)
            for key in (setting.seat, setting.slot):
                self._saved = self._saved or saved.get(key, {})
            if "works" not in self._saved:
                raise EdgesimError(f"{file} holds no tables of fedgpo for slot {setting.slot!r}")
            try:
                self.load_state_dict(self._saved)
            except EdgesimError as error:
                raise EdgesimError(f"{file}: {error}") from None

    # -- deciding ---------------------------------------------------------------------------------

    def decide(self, observation: ParametersObservation) -> RoundParameters:
        """B and E of every participant, and K of the next round."""
        own, clients = self.parameters, observation.clients
        chosen = np.array([each.client for each in observation.cohort], np.int64)
        reports = clients.reports(chosen)
        states = self._local.of(clients, chosen, reports)
        self._learn_from_next(clients, chosen, states)
        self._state = self._global.state(layers(observation.model))
        self._accuracy = observation.accuracy
        may_explore = not self._is_frozen and (
            own.explore_rounds is None or self._round < own.explore_rounds
        )
        # One draw each round, so that what follows does not depend on whether it explores.
        is_drawn = bool(self._rng.random() < own.epsilon) or self._round < own.trial_rounds
        self._is_explored = is_drawn and may_explore
        self._round += 1
        cohort = self._observed(observation, chosen, reports, states)
        self._asked = min(observation.clients_per_round, len(clients))
        if self._next_k is None:
            self._own_k = observation.clients_per_round
        idle_w = float(clients.idle_w[clients.group].sum())
        deadline_s = observation.deadline_s if own.masks_late else inf
        draws = self._rng.random((len(chosen), len(self._works)))
        cohorts = self._rng.random((_COHORTS_DRAWN, max(own.clients_per_round)))
        place = int(self._rng.integers(len(own.clients_per_round)))
        values = self._values_of(cohort)
        for row, seconds in zip(values, cohort.seconds, strict=True):
            self._pool.append((row, seconds))
        if self._is_explored:
            cohort.actions = self._at_random(cohort, draws, deadline_s)
        elif own.credit == "work" and self._is_stuck():
            # What the job itself says is meant to make a difference.
            cohort.actions[:] = _nearest(own.works, (observation.batch_size, observation.epochs))
            place = _nearest([(k,) for k in own.clients_per_round], (self._own_k,))
        elif own.credit == "work":
            cohort.actions = self._at_best_price(cohort, values, idle_w, deadline_s)
            counts = [min(k, len(clients)) for k in own.clients_per_round]
            place = self._best_clients(counts, cohorts, idle_w, deadline_s, place)
        else:
            cost = idle_w / self._units()[1] if own.masks_late and self._reference_j else 0.0
            seconds = cohort.seconds if own.masks_late else np.zeros_like(cohort.seconds)
            cohort.actions = best_work(values, seconds, cost, deadline_s).picked
            place = int(self._clients_values().argmax())
        self._k, self._next_k = self._next_k, place
        self._cohort = cohort
        own_s = cohort.seconds[np.arange(len(chosen)), cohort.actions]
        lasts_s = float(own_s[np.isfinite(own_s)].max(initial=0.0))
        self._foreseen_s = min(lasts_s, observation.deadline_s)
        works = [self._works[action] for action in cohort.actions.tolist()]
        batch_size, epochs = max(set(works), key=lambda work: (works.count(work), work))
        return RoundParameters(
            own.clients_per_round[place],
            batch_size,
            epochs,
            dict(zip(chosen.tolist(), works, strict=True)),
        )

    def _observed(
        self, observation: ParametersObservation, chosen: Whole, reports: Reports, states: Whole
    ) -> _Cohort:
        """What is known of a cohort."""
        clients = observation.clients
        is_bad = is_bad_network(reports)
        payload = (observation.downlink_bytes, observation.uplink_bytes)
        transfer_s = promised_transfer_s(reports, payload, len(chosen))
        sending_s = transfer_s * self._pace.transfer_factors(is_bad) + clients.collecting_s(chosen)
        slowed = slowed_by_apps(reports.co_cpu)
        own_pace = self._pace.device_factors(clients.devices, chosen)
        job = (observation.batch_size, observation.epochs)
        of_job = self._own_promises.setdefault(job, Promises([job]))
        n = len(chosen)
        tiers = np.zeros(n, np.int64)
        promised_s, own_s = np.zeros((n, len(self._works))), np.zeros(n)
        factors = np.zeros(n)
        for k, (client, target) in enumerate(observation.cohort):
            seconds, power_w, is_cpu = self._promises.of(clients, client, target)
            tiers[k] = self._tier(clients.profiles[clients.group[client]], power_w * seconds)
            by_apps = slowed[k] if is_cpu else 1.0
            promised_s[k] = seconds * by_apps
            own_s[k] = of_job.of(clients, client, target)[0][0] * by_apps
            profile = self._tiers[tiers[k]].profile
            factors[k] = self._pace.training_factors(profile, [target])[0] * own_pace[k]
        return _Cohort(
            chosen,
            tiers,
            states,
            promised_s,
            promised_s * factors[:, None] + sending_s[:, None],
            own_s * factors + sending_s,
            transfer_s,
            is_bad,
            np.zeros(n, np.int64),
        )

    def _at_random(self, cohort: _Cohort, draws: Real, deadline_s: float) -> Whole:
        """The same B and E for all, but for those whom it would make too slow."""
        if self.parameters.credit == "work":
            draws[:, int(draws[0].argmax())] += 1.0
        if self.parameters.masks_late:
            limit_s = float(cohort.own_s[np.isfinite(cohort.own_s)].max(initial=0.0))
            limit_s = min(limit_s, deadline_s)
            draws[cohort.seconds > limit_s] -= 10.0
            hopeless = cohort.seconds.min(axis=1) > limit_s
            draws[hopeless] = -cohort.seconds[hopeless]
        found: Whole = draws.argmax(axis=1)
        return found

    def _is_stuck(self) -> bool:
        """Whether nothing that was tried, earlier jobs included, has made a difference."""
        least = _LEAST_GAIN * self.parameters.accuracy_noise
        return len(self._progress) > 0 and self._progress.total < least

    def _at_best_price(
        self, cohort: _Cohort, values: Real, idle_w: float, deadline_s: float
    ) -> Whole:
        """The works of fewest joules per progress."""
        n = len(cohort.clients)
        gains = self._progress.gains(self._accuracy, self._works, n) / n
        if not self.parameters.masks_late:
            cohort = replace(cohort, seconds=np.zeros_like(cohort.seconds))
            idle_w = 0.0
        rows, picked, unforeseen_s = np.arange(n), None, self._unforeseen_s(self._asked)
        for _ in range(10):
            worth = values + self._price * gains
            best = best_work(worth, cohort.seconds, idle_w, deadline_s)
            if picked is not None and (best.picked == picked).all():
                break
            picked = best.picked
            waiting_j = idle_w * (best.limit_s + unforeseen_s)
            joules = waiting_j - float(values[rows, picked][best.is_able].sum())
            if best.is_able.any():
                self._price = joules / float(gains[picked][best.is_able].sum())
        return best.picked

    def _best_clients(
        self, counts: Sequence[int], draws: Real, idle_w: float, deadline_s: float, otherwise: int
    ) -> int:
        """The place of the K that is worth most, at the price of this round, for cohorts of the last participants."""
        if not self.parameters.masks_late:
            idle_w = 0.0
        values = np.array([row for row, _ in self._pool])
        seconds = np.array([row for _, row in self._pool])
        is_reached = np.isfinite(seconds).any(axis=1)
        values, seconds = values[is_reached], seconds[is_reached]
        if not len(values):
            return otherwise  # nobody has a connection
        rows = (draws * len(values)).astype(int)
        found = []
        for clients in counts:
            gains = self._progress.gains(self._accuracy, self._works, clients) / clients
            worth = [
                best_work(
                    values[drawn[:clients]] + self._price * gains,
                    seconds[drawn[:clients]],
                    idle_w,
                    deadline_s,
                ).worth
                for drawn in rows
            ]
            found.append(float(np.mean(worth)) - idle_w * self._unforeseen_s(clients))
        return int(np.argmax(found))

    def _unforeseen_s(self, clients: int) -> float:
        """Seconds that a round of so many clients takes beyond what is foreseen; never negative."""
        every = [mean for _, mean in self._unforeseen.values()]
        usual = sum(every) / len(every) if every else 0.0
        rounds, mean = self._unforeseen.get(clients, (0, 0.0))
        return max((rounds * mean + _DOUBT_ROUNDS * usual) / (rounds + _DOUBT_ROUNDS), 0.0)

    def _tier(self, profile: str, promised_j: Real) -> int:
        """The number of a profile's tier; its first client's promises begin its table."""
        number = self._tier_of.get(profile)
        if number is None:
            number = self._tier_of[profile] = len(self._tiers)
            self._tiers.append(_Tier(profile))
            saved = self._saved.get("tiers", {}).get(profile, {})
            self._tiers[number].values = {int(k): v.astype(np.float32) for k, v in saved.items()}
        values = self._tiers[number].values
        if self._state not in values:
            own = self.parameters
            if own.initial != "promised" or own.credit == "each":
                low, high = (0.0, 1.0) if own.initial == "promised" else own.initial
                shape = (LOCAL_STATES, len(self._works))
                values[self._state] = self._rng.uniform(low, high, shape).astype(np.float32)
            else:
                values[self._state] = np.tile(-promised_j, (LOCAL_STATES, 1)).astype(np.float32)
        return number

    def _values_of(self, cohort: _Cohort) -> Real:
        """The value of each work for each client; shape ``(clients, works)``."""
        return np.array(
            [
                self._tiers[tier].values[self._state][state]
                for tier, state in zip(cohort.tiers.tolist(), cohort.states.tolist(), strict=True)
            ],
            float,
        )

    def _clients_values(self) -> Real:
        """The value of each K."""
        found = self._of_clients.get(self._state)
        if found is None:
            low, high = (
                (0.0, 1.0) if self.parameters.initial == "promised" else self.parameters.initial
            )
            count = len(self.parameters.clients_per_round)
            found = self._of_clients[self._state] = self._rng.uniform(low, high, count)
        return found

    # -- learning ---------------------------------------------------------------------------------

    def learn(
        self,
        observation: ParametersObservation,
        decision: RoundParameters,
        outcome: RoundOutcome,
    ) -> Lesson | None:
        """Reward every participant; values change when the next state is known too."""
        cohort = self._cohort
        if cohort is None:
            return None
        by_client = {each.client: each for each in outcome.participants}
        each_outcome = [by_client[client] for client in cohort.clients.tolist()]
        devices, rows = observation.clients.devices, np.arange(len(cohort.clients))
        for own, tier, training_s, transfer_s, is_bad in zip(
            each_outcome,
            cohort.tiers.tolist(),
            cohort.promised_s[rows, cohort.actions].tolist(),
            cohort.transfer_s.tolist(),
            cohort.is_bad.tolist(),
            strict=True,
        ):
            profile = self._tiers[tier].profile
            self._pace.learn(
                devices[own.client], profile, own, training_s, transfer_s, is_bad=is_bad
            )
        if self.parameters.credit == "work":
            return self._learn_work(cohort, each_outcome, outcome, observation.clients)
        return self._learn_each(cohort, each_outcome, outcome, observation.clients)

    def _learn_work(
        self,
        cohort: _Cohort,
        each_outcome: Sequence[ParticipantOutcome],
        outcome: RoundOutcome,
        clients: Clients,
    ) -> Lesson | None:
        """Joules to the tables, accuracy to the work that was done."""
        is_in = np.array([own.status == "done" for own in each_outcome])
        joules = np.array([own.compute_j + own.transmit_j for own in each_outcome])
        # Who was cut off has not spent what its work costs.
        cohort.worth = np.where(is_in, -joules, np.nan)
        rounds, mean = self._unforeseen.get(self._asked, (0, 0.0))
        off_s = outcome.duration_s - self._foreseen_s - mean
        if not self._is_frozen:
            weight = max(1.0 / (rounds + 1), _FORGETS)
            self._unforeseen[self._asked] = (rounds + 1, mean + weight * off_s)
        samples = clients.samples
        self._unjudged_rounds += 1
        self._unjudged += [
            (min(own.batch_size, int(samples[own.client])), own.epochs)
            for own in each_outcome
            if own.status in ("done", "partial")
        ]
        gain = outcome.accuracy - outcome.accuracy_before
        if isnan(gain) or outcome.is_failed:
            return None
        work, rounds = self._unjudged, self._unjudged_rounds
        self._unjudged, self._unjudged_rounds = [], 0
        if not self._is_frozen:
            self._progress.learn(outcome.accuracy_before, work, gain / rounds, len(work) / rounds)
        return Lesson(self._price * gain - outcome.energy_global_j, self._is_explored)

    def _learn_each(
        self,
        cohort: _Cohort,
        each_outcome: Sequence[ParticipantOutcome],
        outcome: RoundOutcome,
        clients: Clients,
    ) -> Lesson | None:
        """AutoFL's reward to everyone, and its mean to K."""
        own = self.parameters
        if isnan(outcome.accuracy) and not isnan(outcome.accuracy_before):
            self._cohort = None  # whether the model got better is not known
            return None
        idle_j = np.array(outcome.idle_j)[clients.group[cohort.clients]]
        local_j = idle_j + [each.compute_j + each.transmit_j for each in each_outcome]
        if (
            self._reference_j is None
            and not self._is_frozen
            and local_j.mean() > 0
            and outcome.energy_global_j > 0
        ):
            self._reference_j = (float(local_j.mean()), outcome.energy_global_j)
        unit_local_j, unit_global_j = self._units()
        accuracies = (100.0 * outcome.accuracy, 100.0 * outcome.accuracy_before)
        together = outcome.energy_global_j / unit_global_j
        cohort.worth = np.array(
            [
                reward(each, together, *accuracies, own.alpha, own.beta)
                for each in (local_j / unit_local_j).tolist()
            ]
        )
        mean = float(cohort.worth.mean())
        if not self._is_frozen and self._k is not None:
            values = self._clients_values()
            ahead = own.discount * float(values.max())
            values[self._k] += own.learning_rate * (mean + ahead - values[self._k])
        return Lesson(mean, self._is_explored)

    def _units(self) -> tuple[float, float]:
        """What energies are divided by."""
        if self.parameters.energies == "joules" or self._reference_j is None:
            return 1.0, 1.0
        return self._reference_j

    def _learn_from_next(self, clients: Clients, chosen: Whole, states: Whole) -> None:
        """The next state is known: let last round's values change before they are used."""
        cohort = self._cohort
        if cohort is None or cohort.worth is None or self._is_frozen:
            return
        self._update(
            cohort, self._local.of(clients, cohort.clients, clients.reports(cohort.clients))
        )

    def _update(self, cohort: _Cohort, next_states: Whole) -> None:
        """Move the values of what was chosen; a cell once, towards the mean of its rewards."""
        assert cohort.worth is not None
        own = self.parameters
        rewards: dict[tuple[int, int, int], list[float]] = {}
        for tier, state, action, worth, following in zip(
            cohort.tiers.tolist(),
            cohort.states.tolist(),
            cohort.actions.tolist(),
            cohort.worth.tolist(),
            next_states.tolist(),
            strict=True,
        ):
            if isfinite(worth):
                # What a client will spend next time does not hang on what it was told this time.
                ahead = 0.0
                if own.credit == "each":
                    ahead = own.discount * float(
                        self._tiers[tier].values[self._state][following].max()
                    )
                rewards.setdefault((tier, state, action), []).append(worth + ahead)
        for (tier, state, action), some in rewards.items():
            row = self._tiers[tier].values[self._state][state]
            row[action] += own.learning_rate * (sum(some) / len(some) - float(row[action]))
        cohort.worth = None

    def freeze(self) -> None:
        """Training is over: use the tables as they are."""
        self._settle()
        self._is_frozen = True

    def _settle(self) -> None:
        """No next state will come: each client is taken to stay in its own."""
        cohort = self._cohort
        if cohort is not None and cohort.worth is not None and not self._is_frozen:
            self._update(cohort, cohort.states)

    # -- what it has learned ----------------------------------------------------------------------

    def memory(self) -> dict[str, int]:
        """Bytes of its tables by profile."""
        return {
            tier.profile: sum(values.nbytes for values in tier.values.values())
            for tier in self._tiers
        }

    def exponents(self, accuracy: float) -> dict[str, float]:
        """What it has learned of progress: exponents of B, E and K in the middle of the choices."""
        return self._progress.exponents(accuracy)

    def state_dict(self) -> dict[str, Any]:
        """Tables by profile, and what it knows about times and progress."""
        self._settle()
        tiers = {
            tier.profile: {str(state): found.copy() for state, found in sorted(tier.values.items())}
            for tier in self._tiers
        }
        return {
            "works": [list(work) for work in self._works],
            "clients_per_round": list(self.parameters.clients_per_round),
            "credit": self.parameters.credit,
            "tiers": {**self._saved.get("tiers", {}), **tiers},
            "of_clients": {str(k): v.tolist() for k, v in sorted(self._of_clients.items())},
            "rounds": self._round,
            "reference_j": None if self._reference_j is None else list(self._reference_j),
            "price": self._price,
            "unforeseen": {str(k): list(v) for k, v in sorted(self._unforeseen.items())},
            "progress": self._progress.state_dict(),
            "pace": self._pace.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with these tables. Those of profiles that are not here are kept as they are.

        Raises:
            EdgesimError: if they are about other choices, or not whole.
        """
        here = {
            "works": [list(work) for work in self._works],
            "clients_per_round": list(self.parameters.clients_per_round),
            "credit": self.parameters.credit,
        }
        missing = sorted(set(self.state_dict()) - set(state))
        if missing:
            raise EdgesimError(f"what was learned lacks {', '.join(missing)}; let it learn anew")
        for name, own in here.items():
            if state[name] != own:
                raise EdgesimError(
                    f"what was learned is with {name}: {state[name]}, not {own}; give this controller "
                    "the same choices"
                )
        self._round = int(state["rounds"])
        reference_j = state["reference_j"]
        self._reference_j = None if reference_j is None else (reference_j[0], reference_j[1])
        self._price = float(state["price"])
        self._unforeseen = {int(k): (int(n), float(s)) for k, (n, s) in state["unforeseen"].items()}
        self._of_clients = {int(k): np.array(v, float) for k, v in state["of_clients"].items()}
        self._progress.load_state_dict(state["progress"])
        self._pace.load_state_dict(state["pace"])
        self._cohort = self._next_k = self._k = None
        self._unjudged, self._unjudged_rounds = [], 0
        self._pool.clear()
        self._saved = state
        self._tiers, self._tier_of = [], {}
