"""What a scenario file may say of a federated job."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from edgesim.core.documents import Schema
from edgesim.scenario.camera_schema import CollectSpec
from edgesim.scenario.signal_schema import (
    Seconds,
    Share,
    SlotName,
    SwitchKinds,
    value_as_constant,
)

__all__ = ["FederatedJobSpec", "NamedSpec", "NightsSpec"]

Whole = Annotated[int, Field(ge=1, le=1_000_000_000)]


class NamedSpec(Schema):
    """Something by its name; the bare name means the same without parameters."""

    name: Annotated[str, Field(min_length=1, max_length=500)]
    """Of what ships with edgesim, or ``package.module:NAME``."""
    parameters: dict[str, Any] = {}
    """What it is made with; ``edgesim show NAME`` tells of them."""


def _name_alone(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Named = Annotated[NamedSpec, BeforeValidator(_name_alone, json_schema_input_type=str | NamedSpec)]


class NightsSpec(Schema):
    """Clients that are there at night, as phones that charge: each night anew, each client by itself."""

    kind: Literal["nights"]
    begin_h: Annotated[float, Field(ge=0, lt=24)] = 22.5
    """Mean hour of the day at which it begins; the run begins at midnight."""
    hours: Annotated[float, Field(gt=0, le=24)] = 8.0
    """Mean length."""
    spread_h: Annotated[float, Field(ge=0, le=12)] = 1.5
    """Standard deviation of both."""


_AvailabilityKinds = SwitchKinds | NightsSpec
Availability = Annotated[
    Annotated[_AvailabilityKinds, Field(discriminator="kind")],
    BeforeValidator(value_as_constant, json_schema_input_type=bool | _AvailabilityKinds),
]


class EligibilitySpec(Schema):
    """What must hold of a phone all the time that it takes part."""

    charging: bool = False
    """Its charger is connected."""
    idle: bool = False
    """Its screen is off and no app runs."""
    unmetered: bool = False
    """It is attached to no LTE network."""


class SynchronousSpec(Schema):
    """Rounds: the coordinator waits for its clients."""

    kind: Literal["synchronous"]
    deadline_s: Seconds | None = None
    """A round lasts at most so long. Default: for ever."""
    deadline_percentile: Annotated[float, Field(gt=0, le=100)] | None = None
    """In its place: this percentile of the times that profiles promise of the cohort."""
    deadline_ratio: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """In its place: so many times what the slowest kind of phone needs undisturbed, with the job's B and E,
    the mean of its samples, its fastest processor at full clock, its network at its best."""
    late: Literal["drop", "partial"] = "drop"
    """Clients at work at the deadline are left out, or send what they have trained (at least a step)."""
    over_selection: Annotated[float, Field(ge=1, le=10)] = 1.0
    """So many times more clients are selected; the round is over when clients_per_round are back."""
    least_clients: Whole = 1
    """A round begins when at least so many may take part."""

    @model_validator(mode="after")
    def _one_deadline(self) -> Self:
        given = (self.deadline_s, self.deadline_percentile, self.deadline_ratio)
        if sum(each is not None for each in given) > 1:
            raise ValueError("give one of deadline_s, deadline_percentile and deadline_ratio")
        return self


class AsynchronousSpec(Schema):
    """Updates are taken as they come; ``clients_per_round`` clients are at work at any time.

    Slot ``aggregation`` needs fedbuff or fedasync.
    """

    kind: Literal["asynchronous"]


RoundsSpec = Annotated[SynchronousSpec | AsynchronousSpec, Field(discriminator="kind")]


def _kind_alone(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class StopSpec(Schema):
    """When a job ends; whichever comes first. Without any, with the run."""

    rounds: Whole | None = None
    """After so many rounds."""
    accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    """When the model is at least so good,"""
    for_rounds: Whole = 1
    """so many times in a row."""
    simulated_s: Seconds | None = None
    """After so long: a budget of time."""
    energy_j: Annotated[float, Field(gt=0, le=1e15)] | None = None
    """When participants have spent so much."""
    energy_global_j: Annotated[float, Field(gt=0, le=1e15)] | None = None
    """When all have, by AutoFL's equations: participants, and everybody else idling through the rounds."""
    failed_rounds: Whole | None = None
    """After so many rounds in a row in which no update came."""


class CompressionSpec(Schema):
    """How updates are made smaller; exactly one of both."""

    bits: Annotated[int, Field(ge=2, le=16)] | None = None
    """Bits per value, rounded at random (QSGD)."""
    top_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Only the largest values, such a share of them."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.bits is None) == (self.top_share is None):
            raise ValueError("give either bits or top_share")
        return self


class CamerasSpec(Schema):
    """Each client's pictures pass through its phone's camera; the data set's are the scenes.

    A model is judged by the scenes to test with, the same for every kind of phone, as each kind takes them.
    """

    look: Annotated[float, Field(ge=0, le=3)] = 1.0
    """How many times the look that each phone gives its pictures; 0 leaves the sensors' differences."""
    output: Literal["picture", "raw"] = "picture"
    """What is learned from: what the phone delivers, or what its sensor saw."""
    held_out: list[str] = []
    """Phone profiles that no client has, and by whose cameras the model is judged all the same."""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    """Of the noise: photographs are data, and stay the same from run to run."""


class FederatedJobSpec(Schema):
    """Phones learn a model together, each from its own data."""

    kind: Literal["federated"]
    site: str
    """Where the coordinator is."""
    phones: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of phone groups; each phone is a client. Default: all."""
    dataset: Named = NamedSpec(name="digits")
    """What is learned: `edgesim list datasets`."""
    partition: Named = NamedSpec(name="iid")
    """Who has which samples: `edgesim list partitions`."""
    cameras: CamerasSpec | None = None
    """Whether pictures are taken by the clients' own cameras. Default: everybody has the data set's."""
    model: Named = NamedSpec(name="mlp")
    """What learns: `edgesim list models`, those to be trained; where nothing is trained also those of the
    zoo."""
    cost_model: Annotated[
        NamedSpec | None,
        BeforeValidator(_name_alone, json_schema_input_type=str | NamedSpec | None),
    ] = None
    """What training and sending cost, in place of ``model``: one of the zoo, or one to be trained. So a small
    model can learn in earnest while time, energy and memory are those of the model that is meant."""
    mode: Literal["trained", "timing_only", "fitted"] = "trained"
    """Whether models are really trained; else there is time and energy, and no accuracy, or that of a curve
    fitted to recorded runs."""
    curve: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """With ``fitted``: the curve's file, relative to the scenario; `edgesim fit-curve` makes one."""
    samples_per_client: Whole | None = None
    """With ``timing_only``: so many for each client, in place of dataset and partition."""
    collect: CollectSpec | None = None
    """Clients collect their data with their cameras when they take part, which takes time and energy; what
    they learn from is the data set's all the same. Default: it is there already."""
    clients_per_round: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """K."""
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """B."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 1
    """E: passes of each client over its samples."""
    learning_rate: Annotated[float, Field(gt=0, le=1e6)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    clip_norm: Annotated[float, Field(gt=0, le=1e12)] | None = None
    """Longer gradients are cut to this length. Default: none is."""
    rounds: Annotated[
        RoundsSpec, BeforeValidator(_kind_alone, json_schema_input_type=str | RoundsSpec)
    ] = SynchronousSpec(kind="synchronous")
    available: Availability | None = None
    """When clients are there at all. Default: always."""
    eligibility: EligibilitySpec = EligibilitySpec()
    dropout: Share = 0.0
    """Probability that a client breaks down while it trains, each time it takes part."""
    compression: CompressionSpec | None = None
    """Of updates. Default: four bytes per value."""
    starts_s: Annotated[float, Field(ge=0, le=1e8)] = 0.0
    check_in_s: Seconds = 60.0
    """With too few clients, the coordinator looks again after so long."""
    idle_w: Annotated[float, Field(ge=0, le=100)] | None = None
    """Watts of a phone with nothing to do, in AutoFL's equations. Default: each profile's suspended
    phone with its radios idle."""
    evaluate_every: Whole = 1
    """Every so many versions of the model are judged."""
    stop: StopSpec = StopSpec()
    controllers: dict[SlotName, str] = {}
    """Who sits in the slots of this job, before the scenario's own."""

    @model_validator(mode="after")
    def _modes(self) -> Self:
        if self.samples_per_client is not None and self.mode != "timing_only":
            raise ValueError("samples_per_client goes with mode: timing_only; else data has them")
        if (self.curve is None) == (self.mode == "fitted"):
            raise ValueError("mode: fitted needs a curve, and only that has one")
        if self.cameras is not None and self.mode != "trained":
            raise ValueError("cameras change what is learned; they go with mode: trained")
        if self.mode == "fitted" and self.rounds.kind == "asynchronous":
            raise ValueError("a fitted curve serves synchronous jobs only")
        return self
