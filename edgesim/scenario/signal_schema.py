"""What a scenario file may say of a quantity that changes: constants, schedules, chains, traces."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from edgesim.core.documents import NAME_PATTERN, POINT_PATTERN, Schema

__all__ = [
    "AppSignal",
    "Celsius",
    "CelsiusSignal",
    "ConstantSpec",
    "Dbm",
    "DbmSignal",
    "GaussMarkovSpec",
    "MarkovSpec",
    "Name",
    "PointName",
    "ScheduleSpec",
    "Seconds",
    "Share",
    "ShareKinds",
    "ShareSignal",
    "SlotName",
    "Switch",
    "SwitchKinds",
    "SwitchSignal",
    "TraceSpec",
    "check_times",
    "value_as_constant",
]

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=64)]
Seconds = Annotated[float, Field(ge=1e-3, le=1e10)]
Dbm = Annotated[float, Field(ge=-150, le=0)]
PointName = Annotated[str, StringConstraints(pattern=POINT_PATTERN, max_length=64)]
SlotName = Literal["offloading", "selection", "parameters", "local_training", "aggregation"]


# --- signals -------------------------------------------------------------------------------------


Value = TypeVar("Value")


class ConstantSpec(Schema, Generic[Value]):
    """One value for ever; the bare value means the same."""

    kind: Literal["constant"]
    value: Value


class ScheduleSpec(Schema, Generic[Value]):
    """Values at fixed times, repeated."""

    kind: Literal["schedule"]
    period_s: Seconds
    """After so long it begins again."""
    steps: Annotated[list[Annotated[tuple[float, Value], Field(strict=False)]], Field(min_length=1)]
    """Pairs [seconds from the start of the period, value]; the first at 0."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        check_times([time_s for time_s, _ in self.steps], self.period_s)
        return self


def check_times(times_s: list[float], period_s: float) -> None:
    """Refuse times of steps that do not make a schedule."""
    if times_s[0] != 0:
        raise ValueError("the first of the steps must be at 0 s")
    for before_s, after_s in pairwise(times_s):
        if after_s <= before_s:
            raise ValueError(f"step times must increase; {after_s:g} s follows {before_s:g} s")
    if times_s[-1] >= period_s:
        raise ValueError("the last of the steps must come before the period ends")


class MarkovSpec(Schema, Generic[Value]):
    """A continuous-time Markov chain."""

    kind: Literal["markov"]
    values: Annotated[list[Value], Field(min_length=2, max_length=100)]
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


class GaussMarkovSpec(Schema, Generic[Value]):
    """A stationary Gauss-Markov process, sampled and held."""

    kind: Literal["gauss_markov"]
    mean: Value
    std: Annotated[float, Field(ge=0, le=50)]
    """Standard deviation, in the unit of the mean."""
    step_s: Annotated[float, Field(ge=1e-3, le=1e10)] = 1.0
    """How long a value holds."""
    correlation_time_s: Seconds = 10.0
    """After so long the correlation has fallen to 1/e."""
    min: Value | None = None
    """No value is below. Default: -110 dBm, -30 C, a share of 0."""
    max: Value | None = None
    """No value is above. Default: -20 dBm, 60 C, a share of 0.99."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:  # type: ignore[operator]
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
    """Each phone or site starts somewhere else in the period, by its own stream."""

    @model_validator(mode="after")
    def _periodic(self) -> Self:
        if self.random_offset and self.period_s is None:
            raise ValueError("random_offset needs a period_s")
        return self


def value_as_constant(value: Any) -> Any:
    """A bare value stands for a constant."""
    return value if isinstance(value, dict) else {"kind": "constant", "value": value}


def _switch(value: Any) -> Any:
    """YAML's on and off, which may be read as text."""
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


Celsius = Annotated[float, Field(ge=-60, le=80)]
Share = Annotated[float, Field(ge=0, le=0.99)]
Switch = Annotated[bool, BeforeValidator(_switch, json_schema_input_type=bool)]

# One statement per line: pydantic reads the source of whoever makes a model out of a generic one.
_DbmSteps = ConstantSpec[Dbm] | ScheduleSpec[Dbm]
_DbmChains = MarkovSpec[Dbm] | GaussMarkovSpec[Dbm]
_DbmKinds = _DbmSteps | _DbmChains | TraceSpec
_CelsiusSteps = ConstantSpec[Celsius] | ScheduleSpec[Celsius]
_CelsiusChains = MarkovSpec[Celsius] | GaussMarkovSpec[Celsius]
_CelsiusKinds = _CelsiusSteps | _CelsiusChains | TraceSpec
_ShareSteps = ConstantSpec[Share] | ScheduleSpec[Share]
_ShareChains = MarkovSpec[Share] | GaussMarkovSpec[Share]
ShareKinds = _ShareSteps | _ShareChains | TraceSpec
SwitchKinds = ConstantSpec[Switch] | ScheduleSpec[Switch] | MarkovSpec[Switch] | TraceSpec
_AppKinds = ConstantSpec[str] | ScheduleSpec[str] | MarkovSpec[str]

DbmSignal = Annotated[
    Annotated[_DbmKinds, Field(discriminator="kind")],
    BeforeValidator(value_as_constant, json_schema_input_type=float | _DbmKinds),
]
CelsiusSignal = Annotated[
    Annotated[_CelsiusKinds, Field(discriminator="kind")],
    BeforeValidator(value_as_constant, json_schema_input_type=float | _CelsiusKinds),
]
ShareSignal = Annotated[
    Annotated[ShareKinds, Field(discriminator="kind")],
    BeforeValidator(value_as_constant, json_schema_input_type=float | ShareKinds),
]
SwitchSignal = Annotated[
    Annotated[SwitchKinds, Field(discriminator="kind")],
    BeforeValidator(value_as_constant, json_schema_input_type=bool | SwitchKinds),
]
AppSignal = Annotated[
    Annotated[_AppKinds, Field(discriminator="kind")],
    BeforeValidator(value_as_constant, json_schema_input_type=str | _AppKinds),
]
