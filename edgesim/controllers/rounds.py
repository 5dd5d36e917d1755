"""Slots ``parameters`` and ``local_training``: what a job's own settings say, and plain variants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from edgesim.controllers.federated import (
    LocalTraining,
    LocalTrainingObservation,
    ParametersObservation,
    RoundParameters,
)
from edgesim.controllers.slots import Lesson, Setting
from edgesim.core.documents import Schema

__all__ = ["FedProx", "FixedParameters", "Scaffold", "Sgd"]


class _Stateless:
    """Nothing to learn and nothing to remember."""

    needs_what_if = False
    learns = False
    Parameters: type[Schema] | None = None

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def learn(self, observation: Any, decision: Any, outcome: Any) -> Lesson | None:
        """Nothing to learn."""

    def freeze(self) -> None:
        """Nothing to freeze."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing to load."""


class FixedParameters(_Stateless):
    """Batch size, epochs and clients per round as the job has them, in every round."""

    def decide(self, observation: ParametersObservation) -> RoundParameters:
        """The job's own."""
        return RoundParameters(
            observation.clients_per_round, observation.batch_size, observation.epochs
        )


class Sgd(_Stateless):
    """Stochastic gradient descent, as the job has it."""

    def decide(self, observation: LocalTrainingObservation) -> LocalTraining:
        """The job's own program."""
        return LocalTraining(observation.program)


class ProximalParameters(Schema):
    """Parameters of :class:`FedProx`."""

    proximal: Annotated[float, Field(gt=0, le=1e6)] = 0.1
    """Mu; the paper tries 0.001 to 1."""


class FedProx(_Stateless):
    """A proximal term keeps clients near the model that they began with.

    Source: Li et al., "Federated optimization in heterogeneous networks", MLSys 2020, eq. 2.
    """

    Parameters = ProximalParameters

    def decide(self, observation: LocalTrainingObservation) -> LocalTraining:
        """The job's own program, with the term."""
        return LocalTraining(
            replace(observation.program, proximal=self._setting.parameters.proximal)
        )


class Scaffold(_Stateless):
    """Control variates correct the drift of clients; they are sent both ways, beside the model.

    Source: Karimireddy et al., "SCAFFOLD", ICML 2020, algorithm 1, option II.
    """

    def decide(self, observation: LocalTrainingObservation) -> LocalTraining:
        """The job's own program, with control variates."""
        return LocalTraining(observation.program, has_control_variate=True)
