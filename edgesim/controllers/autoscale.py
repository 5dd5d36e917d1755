"""AutoScale: Q-learning that chooses where each inference runs.

Source: Kim and Wu, "AutoScale: energy efficiency optimization for stochastic edge inference using
reinforcement learning", MICRO 2020 (arXiv 2005.02544). The paper was not at hand when this was
written; what is recalled from it is a named parameter with the recalled value as its default, and
docs/reproduction.md says how sure each is. The paper writes gamma for the learning rate and mu for
the discount; here they have their names.

Energies are in millijoules, times in milliseconds and accuracies in percent wherever the reward adds
them up: its weights mean something only for one choice of units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import ceil
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgesim.controllers.actions import Actions, Columns
from edgesim.controllers.learned import load_state
from edgesim.controllers.qlearning import Binning, QTable
from edgesim.controllers.rewards import RewardParameters, reward
from edgesim.controllers.slots import (
    Lesson,
    OffloadingObservation,
    OffloadingOutcome,
    Setting,
    Target,
)
from edgesim.core.errors import EdgesimError
from edgesim.nn.model import ModelCost

__all__ = ["EDGES", "FEATURES", "AutoScale", "dbscan_edges", "features"]

FEATURES = ("conv", "fc", "rc", "mmacs", "co_cpu", "co_mem", "rssi_dbm", "nearby_rssi_dbm")
"""The features of a state (section 1.1 of the facts: the paper's table of states)."""

_ABOVE_0 = 1e-9
_ABOVE_80_DBM = -80.0 + 1e-9  # a signal of -80 dBm is still weak

EDGES: Mapping[str, tuple[float, ...]] = {
    "conv": (30, 50, 90),
    "fc": (10,),
    "rc": (10,),
    "mmacs": (1000, 2000),
    "co_cpu": (_ABOVE_0, 0.25, 0.75),
    "co_mem": (_ABOVE_0, 0.25, 0.75),
    "rssi_dbm": (_ABOVE_80_DBM,),
    "nearby_rssi_dbm": (_ABOVE_80_DBM,),
}
"""Where the paper's bins begin; 4 x 2 x 2 x 3 x 4 x 4 x 2 x 2 = 3,072 states. Recalled, with medium to
high confidence; those of the co-runners are AutoFL's, which were found."""


class AutoScale:
    """AutoScale.

    Per request: observe the state, take the action of highest value (or, with probability
    ``epsilon``, any), and when the outcome is known

        Q(S, A) += learning_rate * (R + discount * max Q(S', .) - Q(S, A))

    where S' is the state of the next request on that phone. Actions are the targets that the phone
    can ever choose; those that a request has not among its options are masked.
    """

    needs_what_if = False
    learns = True

    class Parameters(RewardParameters):
        """What a scenario may set."""

        learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.9
        """Recalled with high confidence; AutoFL's, which was found, is the same."""
        discount: Annotated[float, Field(ge=0, lt=1)] = 0.1
        """Likewise. The next request is another model's, so that this adds what has nothing to do
        with the choice, unless requests come in blocks."""
        epsilon: Annotated[float, Field(ge=0, le=1)] = 0.1
        """Share of decisions taken at random until training is over; recalled, low to medium
        confidence."""
        initial: Annotated[tuple[float, float], Field(strict=False)] = (-1.0, 0.0)
        """Initial values, uniform between these. The paper draws them at random; range unknown."""
        tables: Literal["per_profile", "per_device"] = "per_profile"
        """Phones of one profile learn together, or each alone."""
        dtype: Literal["float16", "float32", "float64"] = "float16"
        """Of the table; two bytes give the paper's 0.4 MB."""
        bins: Literal["paper", "dbscan"] = "paper"
        """The paper's bins, or bins found by DBSCAN in what an earlier run recorded."""
        bins_from: str | None = None
        """With ``dbscan``: ``requests.parquet`` of that run, relative to the scenario file."""
        table: str | None = None
        """Begin with what an earlier run has learned: its ``learned.json``, relative to the scenario
        file. It may know more actions than there are here, not fewer."""
        transfer_from: str | None = None
        """Begin with the table that ``table`` holds for this profile, action by action: the same
        place, kind of processor and precision, the nearest relative clock."""
        is_frozen: bool = False
        """Use ``table`` as it is: neither explore nor learn."""

        @model_validator(mode="after")
        def _whole(self) -> Self:
            for name in ("transfer_from", "is_frozen"):
                if getattr(self, name) and self.table is None:
                    raise ValueError(f"{name} needs table, the learned.json of an earlier run")
            if (self.bins == "dbscan") != (self.bins_from is not None):
                raise ValueError(
                    "bins: dbscan and bins_from, the requests.parquet of an earlier run, go together"
                )
            return self

    def __init__(self, setting: Setting) -> None:
        self.parameters: AutoScale.Parameters = setting.parameters or self.Parameters()
        self._setting = setting
        self._rng = setting.rng
        self._is_frozen = self.parameters.is_frozen
        self._binning = self._bins()
        self._by_model: dict[str, tuple[float, ...]] = {}
        self._actions = {
            profile: Actions(options) for profile, options in sorted(setting.options.items())
        }
        self._tables: dict[str, QTable] = {}
        self._open: dict[int, _Step] = {}  # decisions whose outcome is not known, by observation
        self._last: dict[str, _Step] = {}  # the last decision of each phone
        self._saved: Mapping[str, Any] = {}
        self._source = self.parameters.transfer_from
        if self.parameters.table is not None:
            file = setting.folder / self.parameters.table
            saved = load_state(file)
            for key in (setting.seat, setting.slot):
                self._saved = self._saved or saved.get(key, {})
            if not self._saved.get("tables"):
                raise EdgesimError(f"{file} holds no tables for slot {setting.slot!r}")
            for profile in self._actions:
                self._taken_over(profile, profile)  # or an error, before anything runs

    # -- deciding ---------------------------------------------------------------------------------

    def decide(self, observation: OffloadingObservation) -> Target:
        """The target of highest value; now and then another one."""
        actions, table = self._table(observation)
        state, columns = self.state(observation), actions.columns(observation.options)
        before = self._last.get(observation.device)
        if before is not None and before.next_state < 0:
            before.next_state, before.next_columns = state, columns
            if before.is_worth_known:
                self._update(before)
        is_explored = not self._is_frozen and self._rng.random() < self.parameters.epsilon
        if is_explored:
            action = int(columns[int(self._rng.random() * len(columns))])
        else:
            action = table.best(state, columns)
        if not self._is_frozen:
            step = _Step(table, state, action, columns, is_explored)
            self._open[id(observation)] = self._last[observation.device] = step
        return actions.targets[action]

    def state(self, observation: OffloadingObservation) -> int:
        """The number of an observation's state."""
        model = observation.model
        static = self._by_model.get(model.name)
        if static is None:
            static = self._by_model[model.name] = _of_model(model)
        return self._binning.state(
            (
                *static,
                observation.co_cpu,
                observation.co_mem,
                observation.rssi_dbm,
                observation.nearby_rssi_dbm,
            )
        )

    # -- learning ---------------------------------------------------------------------------------

    def learn(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> Lesson | None:
        """Reward the decision; its value changes when the next state is known too."""
        worth = self.worth(observation, decision, outcome)
        step = self._open.pop(id(observation), None)
        if step is None:
            return Lesson(worth, False)
        step.worth, step.is_worth_known = worth, True
        if step.next_state >= 0 or not self.parameters.discount:
            self._update(step)
        return Lesson(worth, step.is_explored)

    def _update(self, step: _Step) -> None:
        if self._is_frozen or step.is_done:
            return
        step.is_done = True
        worth, discount = step.worth, self.parameters.discount
        if discount and step.next_columns is not None:
            worth += discount * step.table.highest(step.next_state, step.next_columns)
        step.table.update(step.state, step.action, worth, self.parameters.learning_rate)

    def worth(
        self, observation: OffloadingObservation, decision: Target, outcome: OffloadingOutcome
    ) -> float:
        """The reward of an outcome; see :func:`edgesim.controllers.rewards.reward`."""
        actions, _ = self._table(observation)
        awake_w = self._setting.phones[observation.profile].awake_w
        option = actions.option(observation, decision)
        return reward(self.parameters, awake_w, observation, option, outcome)

    def freeze(self) -> None:
        """Explore and learn no more."""
        self._is_frozen = True
        self._open.clear()
        self._last.clear()

    # -- what it has learned ----------------------------------------------------------------------

    def memory(self) -> dict[str, int]:
        """Bytes of each of its tables."""
        return {key: table.nbytes for key, table in sorted(self._tables.items())}

    def state_dict(self) -> dict[str, Any]:
        """Its tables, with the actions that their columns stand for."""
        return {
            "controller": "autoscale",
            "is_frozen": self._is_frozen,
            "rng": self._rng.bit_generator.state,
            "tables": {
                key: {**table.state_dict(), "actions": self._actions[_profile(key)].described()}
                for key, table in sorted(self._tables.items())
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            EdgesimError: if a table has other states than it would have here, or lacks an action.
        """
        self._saved, self._source = state, None
        self._is_frozen = bool(state["is_frozen"])
        self._tables.clear()
        for key in state["tables"]:
            if _profile(key) in self._actions:
                self._tables[key] = self._new_table(_profile(key), key)
        self._rng.bit_generator.state = state["rng"]  # new tables have drawn from it

    def _table(self, observation: OffloadingObservation) -> tuple[Actions, QTable]:
        profile = observation.profile
        is_own = self.parameters.tables == "per_device"
        key = f"{profile}/{observation.device}" if is_own else profile
        table = self._tables.get(key)
        if table is None:
            if profile not in self._actions:
                self._actions[profile] = Actions(observation.options)
            table = self._tables[key] = self._new_table(profile, key)
        return self._actions[profile], table

    def _new_table(self, profile: str, key: str) -> QTable:
        """A table as it is at first: drawn, or taken over from what was saved."""
        parameters, actions = self.parameters, self._actions[profile]
        table = QTable(
            self._binning.states,
            len(actions.targets),
            self._rng,
            parameters.initial,
            parameters.dtype,
        )
        taken = self._taken_over(profile, key)
        if taken is not None:
            table.adopt(*taken)
        return table

    def _taken_over(
        self, profile: str, key: str
    ) -> tuple[NDArray[Any], Callable[[int], int | None]] | None:
        """The saved values that a table begins with, and which of their columns goes where.

        Raises:
            EdgesimError: if there are none that fit.
        """
        saved, actions = self._saved.get("tables", {}), self._actions[profile]
        states, targets = self._binning.states, [str(target) for target in actions.targets]
        if self._source is not None:
            if self._source not in saved:
                raise EdgesimError(
                    f"the saved tables have none for {self._source!r}; they have {', '.join(saved)}"
                )
            found, columns = saved[self._source], None
            where = f"the saved table for {self._source}"
        else:
            alike = [key, profile, *(each for each in sorted(saved) if _profile(each) == profile)]
            own = next((saved[each] for each in alike if each in saved), None)
            if own is None and self.parameters.is_frozen:
                raise EdgesimError(f"the saved tables have none for {profile!r}")
            if own is None:
                return None
            found, where = own, f"the saved table for {profile}"
            columns = {row[0]: number for number, row in enumerate(found["actions"])}
        shape, needed = found["values"].shape, (states, len(targets))
        unknown = [each for each in targets if columns is not None and each not in columns]
        if shape[0] != states or unknown:
            reason = f"it has no {unknown[0]}" if unknown else "it was learned with other bins"
            raise EdgesimError(
                f"{where} is of shape {shape[0]} x {shape[1]} (states x actions), but "
                f"{needed[0]} x {needed[1]} is needed here: {reason}"
            )
        if columns is None:
            return found["values"], actions.nearest(found["actions"])
        # What this one has no use for is left behind.
        return found["values"], [columns[each] for each in targets].__getitem__

    def _bins(self) -> Binning:
        parameters, edges = self.parameters, dict(EDGES)
        if parameters.bins == "dbscan":
            assert parameters.bins_from is not None
            import pyarrow.parquet as pq

            file = self._setting.folder / parameters.bins_from
            wanted = [name for name in FEATURES if name not in ("conv", "fc", "rc", "mmacs")]
            try:
                seen = pq.read_table(file, columns=wanted)
            except FileNotFoundError:
                raise EdgesimError(f"{file}: cannot be read: no such file") from None
            except (OSError, ValueError) as error:
                raise EdgesimError(f"{file}: not requests.parquet of a run: {error}") from None
            for name in wanted:
                edges[name] = dbscan_edges(seen[name].drop_null().to_numpy(), name)
        return Binning([edges[name] for name in FEATURES])


class _Step:
    """A decision on its way to becoming experience."""

    __slots__ = (
        "action",
        "columns",
        "is_done",
        "is_explored",
        "is_worth_known",
        "next_columns",
        "next_state",
        "state",
        "table",
        "worth",
    )

    def __init__(
        self, table: QTable, state: int, action: int, columns: Columns, is_explored: bool
    ) -> None:
        self.table = table
        self.state = state
        self.action = action
        self.columns = columns
        self.is_explored = is_explored
        self.is_done = False
        self.is_worth_known = False
        self.worth = 0.0
        self.next_state = -1
        self.next_columns: Columns | None = None


def features(
    model: ModelCost, co_cpu: float, co_mem: float, rssi_dbm: float, nearby_rssi_dbm: float
) -> tuple[float, ...]:
    """The values of :data:`FEATURES`: layers by kind, million MACs, shares in [0, 1], dBm."""
    return (*_of_model(model), co_cpu, co_mem, rssi_dbm, nearby_rssi_dbm)


def _of_model(model: ModelCost) -> tuple[float, ...]:
    counts = model.state_counts
    return counts.conv, counts.fc, counts.rc, model.macs / 1e6


_EPS: Mapping[str, float] = {
    "co_cpu": 0.05,
    "co_mem": 0.05,
    "rssi_dbm": 2.0,
    "nearby_rssi_dbm": 2.0,
}
"""Values of a feature that are no further apart are one cluster's; assumed."""

_LEAST_SHARE = 0.01
"""Of the values, that make a cluster; fewer are noise."""


def dbscan_edges(values: Any, feature: str) -> tuple[float, ...]:
    """Where bins begin that DBSCAN finds in the values of a feature: half-way between clusters.

    Args:
        values: shape ``(n,)``.
        feature: one of the last four of :data:`FEATURES`.

    Raises:
        EdgesimError: if there are none.
    """
    from sklearn.cluster import DBSCAN

    if not len(values):
        raise EdgesimError(f"no {feature} was recorded from which bins could be made")
    different, counts = np.unique(np.asarray(values, float), return_counts=True)
    least = max(1, ceil(_LEAST_SHARE * counts.sum()))
    model = DBSCAN(eps=_EPS[feature], min_samples=least)
    labels = model.fit_predict(different[:, None], sample_weight=counts)
    ends = sorted(
        (float(different[labels == label].min()), float(different[labels == label].max()))
        for label in set(labels.tolist()) - {-1}
    )
    return tuple(0.5 * (upper + lower) for (_, upper), (lower, _) in pairwise(ends))


def _profile(key: str) -> str:
    return key.partition("/")[0]
