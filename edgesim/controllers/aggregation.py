"""Slot ``aggregation``: how updates become the next model; made when something is really trained.

What they do is in :mod:`edgesim.learning.aggregation`. A class of the user's own has its methods
itself.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from edgesim.controllers.slots import Setting
from edgesim.core.documents import Schema

__all__ = ["FedAdam", "FedAsync", "FedAvg", "FedBuff", "FedNova", "FedYogi", "QFedAvg"]

Positive = Annotated[float, Field(gt=0, le=1e6)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class _Aggregation:
    """Makes the aggregation of its name."""

    Parameters: type[Schema] | None = None
    needs_what_if = False
    learns = False
    is_asynchronous = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def build(self) -> Any:
        """The aggregation itself."""
        from edgesim.learning import aggregation

        given = self._setting.parameters
        return getattr(aggregation, type(self).__name__)(**({} if given is None else dict(given)))


class ServerRate(Schema):
    """Parameters of :class:`FedAvg`."""

    server_rate: Positive = 1.0
    """The mean update is multiplied by it."""


class FedAvg(_Aggregation):
    """The mean of the updates, by samples (McMahan et al., AISTATS 2017)."""

    Parameters = ServerRate


class FedNova(_Aggregation):
    """Updates divided by their clients' steps (Wang et al., NeurIPS 2020)."""


class QFedAvgParameters(Schema):
    """Parameters of :class:`QFedAvg`."""

    q: Annotated[float, Field(ge=0, le=100)] = 1.0
    """0 weighs all clients alike; more, those of higher loss."""
    learning_rate: Positive = 0.1
    """Of the clients; the Lipschitz constant is its inverse."""


class QFedAvg(_Aggregation):
    """Clients of higher loss pull harder (Li et al., ICLR 2020)."""

    Parameters = QFedAvgParameters


class FedAdamParameters(Schema):
    """Parameters of :class:`FedAdam` and :class:`FedYogi`."""

    server_rate: Positive = 0.01
    beta_1: Decay = 0.9
    beta_2: Decay = 0.99
    tau: Positive = 1e-3
    """Adaptivity."""


class FedAdam(_Aggregation):
    """Adam at the server (Reddi et al., ICLR 2021)."""

    Parameters = FedAdamParameters


class FedYogi(_Aggregation):
    """Yogi at the server (Reddi et al., ICLR 2021)."""

    Parameters = FedAdamParameters


class FedBuffParameters(Schema):
    """Parameters of :class:`FedBuff`."""

    buffer: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """So many updates make a version."""
    server_rate: Positive = 1.0


class FedBuff(_Aggregation):
    """Asynchronous: so many updates make a version, stale ones count less (Nguyen et al., AISTATS 2022)."""

    Parameters = FedBuffParameters
    is_asynchronous = True


class FedAsyncParameters(Schema):
    """Parameters of :class:`FedAsync`."""

    alpha: Annotated[float, Field(gt=0, le=1)] = 0.6
    power: Annotated[float, Field(ge=0, le=100)] = 0.5


class FedAsync(_Aggregation):
    """Asynchronous: every update moves the model (Xie et al., 2019)."""

    Parameters = FedAsyncParameters
    is_asynchronous = True
