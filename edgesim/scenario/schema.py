"""What a scenario file may say: every key, its unit, its range and its default."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from edgesim.core.documents import NAME_PATTERN, Schema

__all__ = [
    "ArrivalsSpec",
    "InferenceJobSpec",
    "PhoneGroupSpec",
    "Scenario",
    "SignalSpec",
    "SiteSpec",
    "WifiSpec",
]

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
Seconds = Annotated[float, Field(ge=1e-3, le=1e10)]
Dbm = Annotated[float, Field(ge=-150, le=0)]
SlotName = Literal["offloading"]


# --- signals -------------------------------------------------------------------------------------


class ConstantSpec(Schema):
    """One value for ever; a bare number means the same."""

    kind: Literal["constant"]
    value: Dbm


class ScheduleSpec(Schema):
    """Values at fixed times, repeated."""

    kind: Literal["schedule"]
    period_s: Seconds
    """After so long it begins again."""
    steps: Annotated[
        list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(min_length=1)
    ]
    """Pairs [seconds from the start of the period, value]; the first at 0."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.steps[0][0] != 0:
            raise ValueError("the first of the steps must be at 0 s")
        for before, after in pairwise(self.steps):
            if after[0] <= before[0]:
                raise ValueError(
                    f"step times must increase; {after[0]:g} s follows {before[0]:g} s"
                )
        if self.steps[-1][0] >= self.period_s:
            raise ValueError("the last of the steps must come before the period ends")
        for _, value in self.steps:
            _in_dbm_range(value)
        return self


class MarkovSpec(Schema):
    """A continuous-time Markov chain."""

    kind: Literal["markov"]
    values: Annotated[list[Dbm], Field(min_length=2, max_length=100)]
    """What it is worth in each state."""
    mean_dwell_s: list[Annotated[float, Field(ge=1e-3, le=1e10)]]
    """Mean time in each state at a stretch."""
    jumps: list[list[Annotated[float, Field(ge=0, le=1)]]] | None = None
    """jumps[i][j]: probability that state j follows state i. Default: all others alike."""

    @model_validator(mode="after")
    def _square(self) -> Self:
        n = len(self.values)
        if len(self.mean_dwell_s) != n:
            raise ValueError(f"mean_dwell_s needs {n} entries, one per value")
        if self.jumps is not None:
            if len(self.jumps) != n or any(len(row) != n for row in self.jumps):
                raise ValueError(f"jumps needs {n} rows of {n} entries")
            for i, row in enumerate(self.jumps):
                if row[i] != 0 or abs(sum(row) - 1) > 1e-6:
                    raise ValueError("each row of jumps must sum to 1, with 0 on the diagonal")
        return self


class GaussMarkovSpec(Schema):
    """A stationary Gauss-Markov process, sampled and held."""

    kind: Literal["gauss_markov"]
    mean: Dbm
    std: Annotated[float, Field(ge=0, le=50)]
    """Standard deviation, dB."""
    step_s: Annotated[float, Field(ge=1e-3, le=1e10)] = 1.0
    """How long a value holds."""
    correlation_time_s: Seconds = 10.0
    """After so long the correlation has fallen to 1/e."""
    min: Dbm = -110.0
    max: Dbm = -20.0

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError("min must not be above max")
        return self


class TraceSpec(Schema):
    """A recorded signal from a CSV file with the header ``time_s,value``."""

    kind: Literal["trace"]
    file: Annotated[str, Field(min_length=1, max_length=1000)]
    """Path, relative to the scenario file."""
    period_s: Seconds | None = None
    """Repeat after so long. Default: the last value holds for ever."""
    random_offset: bool = False
    """Each phone starts somewhere else in the period, by its own stream."""

    @model_validator(mode="after")
    def _periodic(self) -> Self:
        if self.random_offset and self.period_s is None:
            raise ValueError("random_offset needs a period_s")
        return self


def _number_as_constant(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"kind": "constant", "value": value}
    return value


def _in_dbm_range(value: float) -> None:
    if not -150 <= value <= 0:
        raise ValueError(f"{value:g} dBm is not between -150 and 0")


_SignalKinds = ConstantSpec | ScheduleSpec | MarkovSpec | GaussMarkovSpec | TraceSpec

SignalSpec = Annotated[
    Annotated[_SignalKinds, Field(discriminator="kind")],
    BeforeValidator(_number_as_constant, json_schema_input_type=float | _SignalKinds),
]


# --- the world -----------------------------------------------------------------------------------


class WifiSpec(Schema):
    """A Wi-Fi access point."""

    kind: Literal["wifi"]
    bandwidth_mhz: Literal[20, 40, 80] = 20
    streams: Annotated[int, Field(ge=1, le=2)] = 2
    """Spatial streams; a phone uses the fewer of its own and these."""
    goodput_ratio: Annotated[float, Field(ge=1e-3, le=1)] = 0.65
    """Share of the physical rate left to the payload."""


class SiteSpec(Schema):
    """A place that requests can be sent to."""

    server: str
    """Name of a server profile."""
    rtt_ms: Annotated[float, Field(ge=0, le=60_000)]
    """Round-trip time between an access point and the site."""


class PhoneGroupSpec(Schema):
    """Phones of one kind."""

    profile: str
    """Name of a phone profile."""
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    charge: Annotated[float, Field(ge=0, le=1)] = 1.0
    """State of charge at the start."""
    runtime: str | None = None
    """Software that runs models, where its efficiencies are known: ``tflite``, ``ncnn``. Default:
    the first of each processor's calibration."""
    network: str | None = None
    """Where they are associated. Default: no network."""
    rssi_dbm: SignalSpec | None = None
    """Strength of the signal there, each phone by its own stream."""

    @model_validator(mode="after")
    def _signal_needs_network(self) -> Self:
        if (self.network is None) != (self.rssi_dbm is None):
            raise ValueError("network and rssi_dbm are given together or not at all")
        return self


class PoissonSpec(Schema):
    """Independent arrivals."""

    kind: Literal["poisson"]
    rate_per_s: Annotated[float, Field(ge=1e-12, le=1e4)]
    """Mean arrivals per second at each phone."""


class PeriodicSpec(Schema):
    """One arrival per period."""

    kind: Literal["periodic"]
    period_ms: Annotated[float, Field(ge=0.1, le=1e12)]
    offset_ms: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """When the first arrives. Default: random in the first period, by phone."""


ArrivalsSpec = Annotated[PoissonSpec | PeriodicSpec, Field(discriminator="kind")]


class InferenceJobSpec(Schema):
    """A stream of inference requests on each of its phones."""

    kind: Literal["inference"]
    model: str
    """Name of a model of the zoo, or of a layer table ``models/NAME.yaml`` beside the scenario."""
    arrivals: ArrivalsSpec
    phones: Annotated[list[str], Field(min_length=1)] | None = None
    """Names of phone groups. Default: all."""
    sites: list[str] | None = None
    """Where requests can be sent. Default: all."""
    deadline_ms: Annotated[float, Field(gt=0, le=1e12)] | None = None
    accuracy_min: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least accuracy that will do, as a fraction."""
    decision_overhead_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """Simulated time that each decision takes."""
    controllers: dict[SlotName, str] = {}
    """Who sits in the slots of this job, before the scenario's own."""


class StatesSpec(Schema):
    """Which changes of state are written down."""

    devices: list[str] | None = None
    """Names of phones. Default: all."""
    quantities: Annotated[list[Literal["power_w", "charge"]], Field(min_length=1)] = [
        "power_w",
        "charge",
    ]


class RecordSpec(Schema):
    """What is written down beyond requests, energy and devices. It changes no result."""

    decisions: bool = True
    """Fill decisions.parquet."""
    states: StatesSpec | None = None
    """Fill states.parquet. Default: not."""


class LimitsSpec(Schema):
    """Guards against a scenario that would run for days by mistake."""

    requests: Annotated[float, Field(gt=0, le=1e12)] = 2e7
    """Most requests expected to arrive."""
    signal_changes: Annotated[float, Field(gt=0, le=1e15)] = 1e9
    """Most changes of signals."""


class Scenario(Schema):
    """A world, the jobs in it, and who decides."""

    name: Name
    description: Annotated[str, Field(max_length=10_000)] = ""
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    duration_s: Annotated[float, Field(gt=0, le=1e8)]
    """Simulated seconds."""
    networks: dict[Name, WifiSpec] = {}
    sites: dict[Name, SiteSpec] = {}
    phones: Annotated[dict[Name, PhoneGroupSpec], Field(min_length=1)]
    jobs: Annotated[dict[Name, InferenceJobSpec], Field(min_length=1)]
    controllers: dict[SlotName, str] = {}
    """Who sits in the slots of every job that does not name its own."""
    compare: Annotated[
        dict[SlotName, Annotated[list[str], Field(min_length=1)]], Field(max_length=1)
    ] = {}
    """Run once per name, with that controller in the slot of every job, and compare."""
    record: RecordSpec = RecordSpec()
    limits: LimitsSpec = LimitsSpec()
