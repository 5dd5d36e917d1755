"""Rivals of FedGPO in slot ``parameters``: B, E and K searched for, or batch sizes fitted to phones.

====================  =========================================================================
``fixed_best``        the best point of the grid, found by running the whole job with each
``bayesian``          Bayesian optimisation, some rounds for each point
``genetic``           a genetic algorithm, likewise
``adaptive_batch``    every client the smallest batch size that is in time with the others
====================  =========================================================================

The names of these baselines are recalled from FedGPO's paper, what they do exactly is not; the optimisers are
Optuna's (Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import product
from math import inf, isnan, log
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from edgesim.controllers.federated import ParametersObservation, RoundOutcome, RoundParameters
from edgesim.controllers.fedgpo import BATCH_SIZES, Choices, Counts, Promises, some_choices
from edgesim.controllers.pace import slowed_by_apps
from edgesim.controllers.slots import Lesson, Setting
from edgesim.core.documents import Schema
from edgesim.core.errors import EdgesimError

__all__ = ["AdaptiveBatch", "FixedBest", "Search"]


class Point(NamedTuple):
    """B, E and K for all."""

    batch_size: int
    epochs: int
    clients_per_round: int


def _points(choices: Choices) -> list[Point]:
    """All points, the cheapest to run first."""
    found = product(choices.clients_per_round, choices.epochs, reversed(choices.batch_sizes))
    return [Point(batch_size, epochs, clients) for clients, epochs, batch_size in found]


class FixedBestParameters(Choices):
    """Parameters of :class:`FixedBest`."""

    minimise: Literal["energy", "time", "energy_time"] = "energy"
    """What is least at the best point: joules of all to the target, seconds, or their product."""
    gives_up: Annotated[float, Field(ge=1, le=1e6)] = 3.0
    """With ``energy``: a run ends early that has spent so many times what the best one of its job has. With one
    earlier job 1 would do; over several the best in the mean may be second in one."""


class FixedBest:
    """The best fixed B, E and K, found by running the whole job with every point of the grid.

    It needs ``training: {kind: earlier_jobs}``: each earlier job is run once with each point, on the same phones
    and with the same data and weather; the point is kept that is best in the geometric mean over these jobs. A
    run that is far behind ends early.
    What the search costs stands in the summary, as the cost of training.
    """

    needs_what_if = False
    learns = True
    Parameters = FixedBestParameters

    def __init__(self, setting: Setting) -> None:
        self.parameters: FixedBestParameters = setting.parameters or FixedBestParameters()
        self._points = _points(self.parameters)
        self._costs: list[float] = []  # of each run, point after point, job after job
        self._is_searching = False

    @property
    def runs_per_job(self) -> int:
        """How often each earlier job is to be run."""
        return len(self._points)

    @property
    def energy_limit_j(self) -> float:
        """A run need not go on after all have spent so much (global energy)."""
        done = len(self._costs) % len(self._points)
        if self.parameters.minimise != "energy" or not done:
            return inf
        return self.parameters.gives_up * min(self._costs[-done:])

    def decide(self, observation: ParametersObservation) -> RoundParameters:
        """The point that is being tried; after the search, the best."""
        tried = self._points[len(self._costs) % len(self._points)]
        point = tried if self._is_searching else self.best
        batch_size, epochs, clients = point
        return RoundParameters(clients, batch_size, epochs)

    @property
    def best(self) -> Point:
        """The best point.

        Raises:
            EdgesimError: if none has been run, or with none a job reached its target.
        """
        whole = len(self._costs) // len(self._points)
        if not whole:
            raise EdgesimError(
                "fixed_best has run no grid; give the scenario training: {kind: earlier_jobs, jobs: 1}"
            )
        runs = np.array(self._costs[: whole * len(self._points)]).reshape(whole, -1)
        worth = np.log(runs).sum(axis=0)
        if not np.isfinite(worth).any():
            raise EdgesimError(
                "with no point of the grid fixed_best's job reached its target; lower stop.accuracy, or "
                "give it more rounds"
            )
        return self._points[int(worth.argmin())]

    def learn(
        self, observation: ParametersObservation, decision: RoundParameters, outcome: RoundOutcome
    ) -> Lesson | None:
        """Single rounds teach it nothing."""

    def search(self) -> None:
        """The next run is one of those that it wants, to try a point."""
        self._is_searching = True

    def conclude(self, summary: Mapping[str, Any]) -> None:
        """A run is over: what it took to the target, infinite if it was not reached.

        Raises:
            EdgesimError: if the job has no target.
        """
        if summary["target_reached"] is None:
            raise EdgesimError(
                "fixed_best needs a target to compare what it takes to reach it; give the job's stop an "
                "accuracy"
            )
        cost = 1.0
        if self.parameters.minimise != "time":
            cost *= summary["energy_global_to_target_j"]
        if self.parameters.minimise != "energy":
            cost *= summary["time_to_target_s"]
        self._costs.append(float(cost) if summary["target_reached"] else inf)

    def freeze(self) -> None:
        """The search is over."""
        self._is_searching = False

    def state_dict(self) -> dict[str, Any]:
        """The costs of all runs, and what they were of."""
        return {"points": [list(point) for point in self._points], "costs": list(self._costs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            EdgesimError: if it is about another grid.
        """
        if [list(point) for point in self._points] != state["points"]:
            raise EdgesimError("what fixed_best has searched is another grid; search anew")
        self._costs = [float(cost) for cost in state["costs"]]


class SearchParameters(Choices):
    """Parameters of :class:`Search`."""

    optimiser: Literal["tpe", "genetic"] = "tpe"
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), which is Bayesian optimisation for choices
    like these; or a genetic algorithm with elitism (NSGA-II, Deb et al., 2002, with one objective)."""
    rounds_per_trial: Annotated[int, Field(ge=1, le=10_000)] = 3
    """Rounds that a point is judged by: one alone says little. The first round is not among them, whose K was
    the last point's."""
    trials: Annotated[int, Field(ge=1, le=100_000)] = 30
    """So many points are tried, earlier jobs included; then the best is used."""
    population: Annotated[int, Field(ge=2, le=1000)] = 10
    """Of a genetic algorithm: points of a generation."""


class Search:
    """Tries points, each for some rounds, and keeps the best: that of most progress per joule.

    Progress is the logarithm of the error before, over that after; joules are AutoFL's global energy. All clients
    do the same: what differs between phones, such a search does not know.
    """

    needs_what_if = False
    learns = True
    Parameters = SearchParameters

    def __init__(self, setting: Setting) -> None:
        self.parameters: SearchParameters = setting.parameters or SearchParameters()
        self._seed = int(setting.rng.integers(2**31))
        self._study: Any = None
        self._trial: Any = None
        self._told: list[tuple[Point, float, dict[str, Any]]] = []
        self._clear()
        self._is_frozen = False

    def _clear(self) -> None:
        self._rounds, self._joules, self._before = 0, 0.0, 1.0

    def decide(self, observation: ParametersObservation) -> RoundParameters:
        """The point that is being tried, or the best."""
        if self._is_frozen or len(self._told) >= self.parameters.trials:
            batch_size, epochs, clients = self.best
        else:
            batch_size, epochs, clients = self._tried()
        return RoundParameters(clients, batch_size, epochs)

    @property
    def best(self) -> Point:
        """Of the points that were tried, that of the highest mean."""
        if not self._told:
            raise EdgesimError(
                "the search has been frozen before it had tried a point; train it with "
                "training: {kind: earlier_jobs}"
            )
        found: dict[Point, list[float]] = {}
        for point, worth, _ in self._told:
            found.setdefault(point, []).append(worth)
        return max(sorted(found), key=lambda point: sum(found[point]) / len(found[point]))

    def _tried(self) -> Point:
        if self._study is None:
            self._study = self._made()
        if self._trial is None:
            self._trial = self._study.ask(_distributions(self.parameters))
        return Point(**self._trial.params)

    def _made(self) -> Any:
        """The study, with all that it has been told."""
        optuna = _optuna()
        sampler: Any
        if self.parameters.optimiser == "tpe":
            sampler = optuna.samplers.TPESampler(seed=self._seed, n_startup_trials=10)
        else:
            sampler = optuna.samplers.NSGAIISampler(
                seed=self._seed, population_size=self.parameters.population
            )
        study = optuna.create_study(direction="maximize", sampler=sampler)
        axes = _distributions(self.parameters)
        for point, worth, notes in self._told:
            study.add_trial(
                optuna.trial.create_trial(
                    params=point._asdict(), distributions=axes, value=worth, system_attrs=notes
                )
            )
        return study

    def learn(
        self, observation: ParametersObservation, decision: RoundParameters, outcome: RoundOutcome
    ) -> Lesson | None:
        """Add a round to the trial; when it has enough, tell what came of it."""
        is_tried = not self._is_frozen and self._trial is not None
        is_others = (
            observation.clients_per_round != decision.clients_per_round
        )  # K is the last point's
        if is_tried and (self._rounds or not is_others):
            if not self._rounds:
                self._before = _error(outcome.accuracy_before)
            self._rounds += 1
            self._joules += outcome.energy_global_j
        if isnan(outcome.accuracy) or isnan(outcome.accuracy_before):
            return None  # its joules count all the same, with the next that is judged
        before, after = _error(outcome.accuracy_before), _error(outcome.accuracy)
        if is_tried and self._rounds >= self.parameters.rounds_per_trial and self._joules > 0.0:
            self._tell(log(self._before / after) / self._joules)
        joules = max(outcome.energy_global_j, 1e-9)
        return Lesson(log(before / after) / joules, is_tried)

    def _tell(self, worth: float) -> None:
        number = self._trial.number
        self._study.tell(self._trial, worth)
        told = self._study.trials[number]
        self._told.append((Point(**told.params), worth, dict(told.system_attrs)))
        self._trial = None
        self._clear()

    def freeze(self) -> None:
        """Use the best from now on."""
        self._is_frozen = True

    def state_dict(self) -> dict[str, Any]:
        """The points that were tried, and what came of them."""
        return {
            "axes": {name: list(values) for name, values in _axes(self.parameters).items()},
            "trials": [[list(point), worth, notes] for point, worth, notes in self._told],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            EdgesimError: if it is about other choices.
        """
        here = {name: list(values) for name, values in _axes(self.parameters).items()}
        if state["axes"] != here:
            raise EdgesimError(f"what was tried is of {state['axes']}, not {here}; search anew")
        self._told = [
            (Point(*point), float(worth), notes) for point, worth, notes in state["trials"]
        ]
        self._study = self._trial = None
        self._clear()


def _optuna() -> Any:
    """Optuna, without its news of every trial, or tqdm's of widgets that a notebook does not have."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distributions(choices: Choices) -> dict[str, Any]:
    """The choices as Optuna has them."""
    categorical = _optuna().distributions.CategoricalDistribution
    return {name: categorical(values) for name, values in _axes(choices).items()}


def _axes(choices: Choices) -> dict[str, tuple[int, ...]]:
    return {
        "batch_size": choices.batch_sizes,
        "epochs": choices.epochs,
        "clients_per_round": choices.clients_per_round,
    }


def _error(accuracy: float) -> float:
    """1 where accuracy is not known: of a model that knows nothing."""
    return 1.0 if isnan(accuracy) else max(1.0 - accuracy, 1e-3)


class AdaptiveBatchParameters(Schema):
    """Parameters of :class:`AdaptiveBatch`."""

    batch_sizes: Counts = BATCH_SIZES
    """To choose of."""

    _some = field_validator("batch_sizes")(some_choices)


class AdaptiveBatch:
    """Every client the smallest batch size that is as fast as the median client at the job's own.

    After the idea of Ma et al., "Adaptive batch size for federated learning in resource-constrained edge
    computing", IEEE Transactions on Mobile Computing 2021: small batches learn more, slow phones take large
    ones to keep up. (Recalled; their rule for the change of batch sizes over time was not at hand.) Times
    are promises, with what apps use of a CPU taken off; E and K are the job's own.
    """

    needs_what_if = False
    learns = False
    Parameters = AdaptiveBatchParameters

    def __init__(self, setting: Setting) -> None:
        own: AdaptiveBatchParameters = setting.parameters or AdaptiveBatchParameters()
        self._batch_sizes = tuple(sorted(own.batch_sizes))
        self._promises: dict[int, Promises] = {}
        self._of_job: dict[tuple[int, int], Promises] = {}

    def decide(self, observation: ParametersObservation) -> RoundParameters:
        """A batch size for each."""
        clients, epochs = observation.clients, observation.epochs
        works = [(batch_size, epochs) for batch_size in self._batch_sizes]
        promises = self._promises.setdefault(epochs, Promises(works))
        job = (observation.batch_size, epochs)
        of_job = self._of_job.setdefault(job, Promises([job]))
        chosen = np.array([each.client for each in observation.cohort], np.int64)
        slowed = slowed_by_apps(clients.reports(chosen).co_cpu)
        seconds, own_s = [], []
        for by_apps, (client, target) in zip(slowed.tolist(), observation.cohort, strict=True):
            each_s, _, is_cpu = promises.of(clients, client, target)
            factor = by_apps if is_cpu else 1.0
            seconds.append(each_s * factor)
            own_s.append(float(of_job.of(clients, client, target)[0][0]) * factor)
        limit_s = float(np.median(own_s)) * (1.0 + 1e-9)
        own = {
            client: (self._batch_sizes[_first_in_time(each_s, limit_s)], epochs)
            for client, each_s in zip(chosen.tolist(), seconds, strict=True)
        }
        return RoundParameters(observation.clients_per_round, observation.batch_size, epochs, own)

    def learn(
        self, observation: ParametersObservation, decision: RoundParameters, outcome: RoundOutcome
    ) -> Lesson | None:
        """Nothing to learn."""

    def freeze(self) -> None:
        """Nothing to freeze."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


def _first_in_time(seconds: Sequence[float] | np.ndarray[Any, Any], limit_s: float) -> int:
    """The first that keeps a limit; the fastest if none does."""
    found = np.asarray(seconds)
    kept = np.flatnonzero(found <= limit_s)
    return int(kept[0]) if len(kept) else int(found.argmin())
