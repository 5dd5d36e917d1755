"""What a scenario file may say: every key, its unit, its range and its default."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from edgesim.core.documents import Schema
from edgesim.core.units import ms_to_s
from edgesim.network.lte import RESOURCE_BLOCKS
from edgesim.network.traces import UPLINK_RATIO
from edgesim.scenario.camera_schema import CaptureSpec
from edgesim.scenario.federated_schema import FederatedJobSpec
from edgesim.scenario.signal_schema import (
    AppSignal,
    CelsiusSignal,
    Dbm,
    DbmSignal,
    Name,
    PointName,
    Seconds,
    ShareKinds,
    ShareSignal,
    SlotName,
    SwitchSignal,
    check_times,
)
from edgesim.workloads.arrivals import integrated_rate

__all__ = [
    "ArrivalsSpec",
    "InferenceJobSpec",
    "JobSpec",
    "LteSpec",
    "PhoneGroupSpec",
    "Scenario",
    "SiteSpec",
    "WifiDirectSpec",
    "WifiSpec",
    "batching_by_processor",
    "load_by_processor",
]


class GovernorSpec(Schema):
    """Who sets a processor's clock; its bare kind means the same."""

    kind: Literal["performance", "powersave", "schedutil", "fixed", "controller"]
    """Always the top level; always the lowest; by use, as Linux does; one level; or whoever decides
    where a request runs chooses among all levels."""
    mhz: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """The level of ``fixed``."""

    @model_validator(mode="after")
    def _level_of_fixed(self) -> Self:
        if (self.kind == "fixed") != (self.mhz is not None):
            raise ValueError("'fixed' needs mhz, and only 'fixed' has one")
        return self


def _kind_alone(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Governors = dict[
    str, Annotated[GovernorSpec, BeforeValidator(_kind_alone, json_schema_input_type=str)]
]


def _for_all(value: Any) -> Any:
    is_one = isinstance(value, str) or (isinstance(value, dict) and "kind" in value)
    return {"default": value} if is_one else value


# --- the world -----------------------------------------------------------------------------------


class LinkSpec(Schema):
    """A wire, shared by all that goes over it; each direction has its own capacity."""

    uplink_mbps: Annotated[float, Field(gt=0, le=1e9)]
    """Away from the phones."""
    downlink_mbps: Annotated[float, Field(gt=0, le=1e9)]
    rtt_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """What it adds to the round-trip time."""


class PathLossSpec(Schema):
    """How a signal fades with distance: at_1m_db + 10 exponent log10(metres), and shadowing."""

    at_1m_db: Annotated[float, Field(ge=0, le=200)] | None = None
    """Default: Wi-Fi 46.8 (free space, 5.2 GHz), LTE 15.3 (TR 36.942, urban)."""
    exponent: Annotated[float, Field(ge=1, le=8)] | None = None
    """Default: Wi-Fi 3, LTE 3.76."""
    shadowing_db: Annotated[float, Field(ge=0, le=30)] | None = None
    """Standard deviation of slow fading, a Gauss-Markov signal of each phone at each network.
    Default: Wi-Fi 4, LTE 8."""
    correlation_time_s: Seconds = 10.0
    """After so long its correlation has fallen to 1/e."""


class _AirSpec(Schema):
    """What all networks have."""

    rtt_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """What the air and what is behind it add to the round-trip time."""
    connection_lost_after_s: Annotated[float, Field(gt=0, le=1e10)] = 10.0
    """A transfer that has had no rate at all for so long is lost."""


class _StationSpec(_AirSpec):
    """What access points and cells have."""

    backhaul: list[str] = []
    """Names of links between it and the sites."""
    x_m: Annotated[float, Field(ge=-1e7, le=1e7)] | None = None
    """Where it stands; phones that move have their signal by distance."""
    y_m: Annotated[float, Field(ge=-1e7, le=1e7)] | None = None
    path_loss: PathLossSpec = PathLossSpec()
    roaming: Name | None = None
    """Networks of one kind and one name here keep a phone's connections when it goes from one to
    another. Default: an access point is alone; all cells are together."""

    @model_validator(mode="after")
    def _both_coordinates(self) -> Self:
        if (self.x_m is None) != (self.y_m is None):
            raise ValueError("x_m and y_m are given together or not at all")
        return self


class WifiSpec(_StationSpec):
    """A Wi-Fi access point."""

    kind: Literal["wifi"]
    bandwidth_mhz: Literal[20, 40, 80] = 20
    streams: Annotated[int, Field(ge=1, le=2)] = 2
    """Spatial streams; a phone uses the fewer of its own and these."""
    goodput_ratio: Annotated[float, Field(ge=1e-3, le=1)] = 0.65
    """Share of the physical rate left to the payload."""
    tx_power_dbm: Annotated[float, Field(ge=-20, le=60)] = 20.0
    shared: bool = True
    """Whether all phones here share one access point; else each has one like it to itself, as phones in homes
    of their own do. What is in ``backhaul`` is shared all the same."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if not self.shared and self.x_m is not None:
            raise ValueError("x_m and y_m are the place of one access point, which then is shared")
        return self


class WifiDirectSpec(_AirSpec):
    """A Wi-Fi Direct group: phones nearby connect to one of them, which runs requests for them."""

    kind: Literal["wifi_direct"]
    to: str
    """Name of the phone group that they connect to, of one phone."""
    bandwidth_mhz: Literal[20, 40, 80] = 80
    streams: Annotated[int, Field(ge=1, le=2)] = 2
    goodput_ratio: Annotated[float, Field(ge=1e-3, le=1)] = 0.65


def _lte_bandwidth(mhz: float) -> float:
    if mhz not in RESOURCE_BLOCKS:
        known = ", ".join(f"{each:g}" for each in RESOURCE_BLOCKS)
        raise ValueError(f"no LTE cell has {mhz:g} MHz; known: {known}")
    return mhz


class LteSpec(_StationSpec):
    """An LTE cell (FDD: as much bandwidth up as down)."""

    kind: Literal["lte"]
    bandwidth_mhz: Annotated[float, AfterValidator(_lte_bandwidth)] = 10.0
    """1.4, 3, 5, 10, 15 or 20."""
    layers: Annotated[int, Field(ge=1, le=4)] = 2
    """Spatial layers; a phone uses the fewer of its own and these."""
    interference_db: Annotated[float, Field(ge=0, le=60)] = 3.0
    """What neighbouring cells add to the noise."""
    tx_power_dbm: Annotated[float, Field(ge=-20, le=80)] = 46.0
    rtt_ms: Annotated[float, Field(ge=0, le=60_000)] = 40.0
    """What the air and the core network add to the round-trip time; 30 to 50 ms is usual (recalled),
    69.5 ms was the median of 2012 (Huang et al., MobiSys 2012)."""


NetworkSpec = Annotated[WifiSpec | WifiDirectSpec | LteSpec, Field(discriminator="kind")]


class BatchingSpec(Schema):
    """How a server puts requests for one model together."""

    size: Annotated[int, Field(ge=1, le=1024)]
    """The most that run as one."""
    wait_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """After so long the oldest waits for no more of them."""


def batching_by_processor(value: Any) -> Any:
    """What ``batching`` says of each processor; said of none, it is for all."""
    is_split = isinstance(value, dict) and all(isinstance(each, dict) for each in value.values())
    return value if is_split else {"default": value}


def load_by_processor(value: Any) -> Any:
    """What ``load`` says of each processor; said of none, it is for all."""
    is_split = isinstance(value, dict) and "kind" not in value
    return value if is_split else {"default": value}


Batchings = dict[str, BatchingSpec]
Loads = dict[str, ShareSignal]


class SiteSpec(Schema):
    """A place that requests can be sent to."""

    server: str
    """Name of a server profile."""
    rtt_ms: Annotated[float, Field(ge=0, le=60_000)]
    """Round-trip time between the networks and the site, besides what networks and links add."""
    networks: list[str] | None = None
    """From which networks it can be reached. Default: from all access points and cells."""
    links: list[str] = []
    """Names of links that all of its traffic goes over, behind the networks' backhauls."""
    at: str | None = None
    """Name of a network: it stands there, in front of the backhaul, and is reached from there
    only."""
    concurrency: dict[str, Annotated[int, Field(ge=1, le=10_000)]] = {}
    """Requests, or batches, that a processor serves at once, each at its full speed, by processor.
    Default: as its profile says."""
    queue_limit: Annotated[int, Field(ge=0, le=1_000_000_000)] | None = None
    """Requests that may wait at each processor; one more is rejected. Default: any number."""
    batching: Annotated[
        Batchings,
        BeforeValidator(batching_by_processor, json_schema_input_type=BatchingSpec | Batchings),
    ] = {}
    """For all processors, or by processor (``default``: the others). Default: none."""
    load: Annotated[
        Loads,
        BeforeValidator(load_by_processor, json_schema_input_type=float | ShareKinds | Loads),
    ] = {}
    """Share of its processors that other tenants use: one for all, or by processor (``default``: the
    others). Default: 0."""


class BandwidthTraceSpec(Schema):
    """Recorded bandwidth in place of what the signal would allow; repeated for ever."""

    kind: Literal["trace"]
    files: Annotated[list[str], Field(min_length=1)]
    """Files, folders or patterns, relative to the scenario file; each phone draws one of them."""
    random_offset: bool = True
    """Each phone starts somewhere else in its trace, by its own stream."""
    uplink_ratio: Annotated[float, Field(gt=0, le=100)] = UPLINK_RATIO
    """Uplink per downlink where a trace has only one. Default: 6/13, the medians of LTE in 2012."""


class BandwidthUsersSpec(Schema):
    """The bandwidth of measured users, a mean and a deviation each (FLASH's speed_distri.json)."""

    kind: Literal["users"]
    file: Annotated[str, Field(min_length=1, max_length=1000)]
    """Path, relative to the scenario file; each phone draws one of its users."""
    step_s: Annotated[float, Field(ge=1e-3, le=1e10)] = 1.0
    """How long a value holds."""
    correlation_time_s: Seconds = 60.0
    """After so long the correlation has fallen to 1/e."""


BandwidthSpec = Annotated[BandwidthTraceSpec | BandwidthUsersSpec, Field(discriminator="kind")]


class AttachmentSpec(Schema):
    """How phones are attached to a network."""

    rssi_dbm: DbmSignal | None = None
    """Strength of the signal, each phone by its own stream. Default: by distance, which needs the
    phones' mobility and the network's place."""
    bandwidth: BandwidthSpec | None = None
    """Measured rates in place of those of the signal."""


class _WhereSpec(Schema):
    """What all have."""

    step_s: Annotated[float, Field(ge=1e-3, le=1e10)] = 1.0
    """Their signals are looked at so often while they move."""


class FixedSpec(_WhereSpec):
    """Phones that stand still."""

    kind: Literal["fixed"]
    x_m: Annotated[float, Field(ge=-1e7, le=1e7)]
    y_m: Annotated[float, Field(ge=-1e7, le=1e7)]


class RandomWaypointSpec(_WhereSpec):
    """Phones that go from one random place to the next, and pause there."""

    kind: Literal["random_waypoint"]
    width_m: Annotated[float, Field(gt=0, le=1e7)]
    height_m: Annotated[float, Field(gt=0, le=1e7)]
    """The area, from (0, 0) on."""
    speed_mps: Annotated[tuple[float, float], Field(strict=False)] = (0.5, 1.5)
    """Least and most metres per second."""
    pause_s: Annotated[tuple[float, float], Field(strict=False)] = (0.0, 60.0)
    """Least and most seconds at each place."""

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if not 0.01 <= self.speed_mps[0] <= self.speed_mps[1] <= 1e3:
            raise ValueError("speed_mps needs two numbers from 0.01 to 1000, the lower first")
        if not 0 <= self.pause_s[0] <= self.pause_s[1] <= 1e8:
            raise ValueError("pause_s needs two numbers from 0 on, the lower first")
        return self


class RouteSpec(_WhereSpec):
    """A recorded way from a CSV file with the header ``time_s,x_m,y_m``; straight lines between."""

    kind: Literal["trace"]
    file: Annotated[str, Field(min_length=1, max_length=1000)]
    """Path, relative to the scenario file."""
    period_s: Seconds | None = None
    """Repeat after so long. Default: stay at the last place."""


MobilitySpec = Annotated[FixedSpec | RandomWaypointSpec | RouteSpec, Field(discriminator="kind")]


class RoamingSpec(Schema):
    """When a phone with several networks changes from one to another."""

    join_dbm: Annotated[float, Field(ge=-150, le=0)] = -75.0
    """Wi-Fi, which is preferred to LTE, is joined from this signal on."""
    margin_db: Annotated[float, Field(ge=0, le=100)] = 8.0
    """A network is left for another of its kind that is stronger by so much."""
    gap_ms: Annotated[float, Field(gt=0, le=60_000)] = 200.0
    """Without any network, from one to another with the same ``roaming`` name."""
    switch_gap_ms: Annotated[float, Field(gt=0, le=60_000)] = 1000.0
    """Between all others; connections are lost then."""


def _names_alone(value: Any) -> Any:
    return {name: {} for name in value} if isinstance(value, list) else value


Attachments = dict[str, AttachmentSpec]


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
    """The one network they are attached to, together with rssi_dbm. Default: no network."""
    rssi_dbm: DbmSignal | None = None
    """Strength of the signal there, each phone by its own stream."""
    networks: Annotated[
        Attachments, BeforeValidator(_names_alone, json_schema_input_type=Attachments | list[str])
    ] = {}
    """All of their networks, in place of network and rssi_dbm: each with its signal; or a list of
    names, for signals by distance."""
    mobility: MobilitySpec | None = None
    """Where they are. Default: nowhere in particular."""
    roaming: RoamingSpec = RoamingSpec()
    governor: Annotated[
        Governors, BeforeValidator(_for_all, json_schema_input_type=str | Governors)
    ] = {}
    """Who sets the clocks: for all processors, or by processor (``default``: the others). Default:
    schedutil."""
    app: AppSignal | None = None
    """What its owner runs: ``none`` or the name of an app profile. Default: none."""
    screen_on: SwitchSignal | None = None
    """Whether the screen is on. Default: never."""
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the screen while it is on."""
    plugged_in: SwitchSignal | None = None
    """Whether the charger is connected. Default: never."""
    ambient_c: CelsiusSignal | None = None
    """Temperature of the air. Default: 25."""
    cooled: bool = False
    """Whether a fan keeps them at the temperature of the air, so that they never throttle."""

    @model_validator(mode="after")
    def _signal_needs_network(self) -> Self:
        if (self.network is None) != (self.rssi_dbm is None):
            raise ValueError("network and rssi_dbm are given together or not at all")
        if self.network is not None and self.networks:
            raise ValueError("network and networks say the same; keep one of them")
        return self

    @property
    def attachments(self) -> Attachments:
        """Their networks, however they are given."""
        if self.network is not None:
            return {self.network: AttachmentSpec.model_construct(rssi_dbm=self.rssi_dbm)}
        return self.networks


_LOWEST_RATE_PER_S = 1e-12


class PoissonSpec(Schema):
    """Independent arrivals."""

    kind: Literal["poisson"]
    rate_per_s: Annotated[float, Field(ge=_LOWEST_RATE_PER_S, le=1e4)]
    """Mean arrivals per second at each phone."""


class PeriodicSpec(Schema):
    """One arrival per period."""

    kind: Literal["periodic"]
    period_ms: Annotated[float, Field(ge=0.1, le=1e12)] | None = None
    """From one arrival to the next; this or ``fps``."""
    fps: Annotated[float, Field(ge=1e-9, le=1e4)] | None = None
    """Arrivals per second, such as frames of a camera; this or ``period_ms``."""
    offset_ms: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """When the first arrives. Default: random in the first period, by phone."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.period_ms is None) == (self.fps is None):
            raise ValueError("needs either period_ms or fps, exactly one of them")
        return self

    @property
    def period_s(self) -> float:
        """From one arrival to the next."""
        return 1 / self.fps if self.fps is not None else ms_to_s(self.period_ms or 0.0)


class ArrivalTraceSpec(Schema):
    """Recorded moments from a CSV file with the header ``time_s``."""

    kind: Literal["trace"]
    file: Annotated[str, Field(min_length=1, max_length=1000)]
    """Path, relative to the scenario file."""
    period_s: Seconds | None = None
    """Repeat after so long. Default: once."""
    random_offset: bool = False
    """Each phone starts somewhere else in the period, by its own stream."""

    @model_validator(mode="after")
    def _periodic(self) -> Self:
        if self.random_offset and self.period_s is None:
            raise ValueError("random_offset needs a period_s")
        return self


class DiurnalSpec(Schema):
    """Independent arrivals at a rate that changes at fixed times, repeated."""

    kind: Literal["diurnal"]
    period_s: Seconds = 86_400.0
    """After so long it begins again. Default: a day."""
    steps: Annotated[
        list[Annotated[tuple[float, Annotated[float, Field(ge=0, le=1e4)]], Field(strict=False)]],
        Field(min_length=1),
    ]
    """Pairs [seconds from the start of the period, mean arrivals per second at each phone from then
    on]; the first at 0. A rate may be 0, but not all of them."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        times_s, rates_per_s = zip(*self.steps, strict=True)
        check_times(list(times_s), self.period_s)
        if integrated_rate(times_s, rates_per_s, self.period_s, self.period_s) < (
            _LOWEST_RATE_PER_S * self.period_s
        ):
            raise ValueError(
                f"some of the rates must be above 0: {_LOWEST_RATE_PER_S:g} per second at least, "
                "on average"
            )
        return self


class TurnsSpec(Schema):
    """So many requests in a row, then it is the turn of other jobs."""

    kind: Literal["turns"]
    visits: Annotated[int, Field(ge=1, le=1_000_000)]
    """Requests in each turn."""
    spacing_s: Annotated[float, Field(ge=1e-3, le=1e6)]
    """From one to the next; the first of all comes after half of it."""
    turn: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Which turn is this job's, from 0 on,"""
    of: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """of so many that follow each other."""

    @model_validator(mode="after")
    def _has_turn(self) -> Self:
        if self.turn >= self.of:
            raise ValueError(f"there is no turn {self.turn} of {self.of}; the first is turn 0")
        return self


ArrivalsSpec = Annotated[
    PoissonSpec | PeriodicSpec | ArrivalTraceSpec | DiurnalSpec | TurnsSpec,
    Field(discriminator="kind"),
]


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
    payload: Literal["raw", "jpeg"] | Annotated[int, Field(ge=1, le=1_000_000_000)] = "raw"
    """What is sent to run it elsewhere: the input as it is, as a JPEG picture, or so many bytes."""
    deadline_ms: Annotated[float, Field(gt=0, le=1e12)] | None = None
    timeout_ms: Annotated[float, Field(gt=0, le=1e12)] | None = None
    """A request that is not done after so long is given up. Default: never."""
    retries: Annotated[int, Field(ge=0, le=1000)] = 0
    """Attempts elsewhere that fail are repeated so many times,"""
    retry_wait_ms: Annotated[float, Field(ge=0, le=1e9)] = 100.0
    """each time after a pause of so long."""
    warmup_s: Annotated[float, Field(ge=0, le=1e8)] = 0.0
    """Requests that arrive before are in phase ``warmup``, and not in the summary."""
    accuracy_min: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least accuracy that will do, as a fraction."""
    decision_overhead_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0
    """Simulated time that each decision takes."""
    capture: CaptureSpec | None = None
    """Each request begins with a picture: it is taken first, then is decided where the request runs.
    Default: its input is there already."""
    models_loaded: Literal["at_start", "on_demand"] = "at_start"
    """Whether the model is in the phones' memory from the start, for as many targets as fit (the
    cheapest first), or is loaded when it is first used; evicted, it is loaded again."""
    targets: Literal["all", "autoscale"] = "all"
    """Where requests may run: wherever the model can, or what AutoScale chooses from: of a phone the
    fastest-clocked CPU cluster in FP32 and INT8, GPU in FP32 and FP16, DSP in INT8; of a phone nearby
    CPU in FP32, GPU in FP16, DSP in INT8; of a site CPU and GPU in FP32."""
    controllers: dict[SlotName, str] = {}
    """Who sits in the slots of this job, before the scenario's own."""


JobSpec = Annotated[InferenceJobSpec | FederatedJobSpec, Field(discriminator="kind")]


class StatesSpec(Schema):
    """Which changes of state are written down."""

    devices: list[str] | None = None
    """Names of phones. Default: all."""
    quantities: Annotated[
        list[Literal["power_w", "charge", "die_c", "skin_c", "mhz"]], Field(min_length=1)
    ] = ["power_w", "charge"]
    """Watts drawn; charge; temperatures; the clock of each processor, as ``PROCESSOR_mhz``."""
    every_s: Annotated[float, Field(ge=1e-2, le=1e10)] | None = None
    """Temperatures also that often while the power stays as it is, worked out from their closed form.
    Default: only when something changes."""


class RecordSpec(Schema):
    """What is written down beyond requests, energy and devices. It changes no result."""

    decisions: bool = True
    """Fill decisions.parquet."""
    forecasts: bool = False
    """Fill forecasts.parquet: what would have come of every target of every request. Slow."""
    states: StatesSpec | None = None
    """Fill states.parquet. Default: not."""


class MismatchSpec(Schema):
    """How far devices are from their profiles, and meters from the truth. No controller sees either."""

    spread: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Each processor's seconds and watts are multiplied by lognormal factors of median 1, whose
    sigma is this many times the cost model's own error there."""
    meter_noise: Annotated[float, Field(ge=0, le=1)] = 0.07
    """Standard deviation of the energies that controllers are told, relative to the truth."""


class CheckSpec(Schema):
    """What is compared with what could have been known. It changes no result."""

    oracle: bool = False
    """Ask the oracle about every request, whoever decides: requests.parquet says what it would have
    chosen, and the summary how often that was done."""


class BlockTrainingSpec(Schema):
    """Training apart, in a world of its own made from this one, as AutoScale's authors did it.

    One phone of each group goes through every combination of CPU use and memory use by another app
    (0, 12.5, 50 and 87.5 %), Wi-Fi signal and signal of the phone nearby (regular, weak); in each of
    these 64 states every job has ``visits`` requests in a row. Chargers are connected, and fans run.
    Then what has been learned is frozen, and the scenario begins.
    """

    kind: Literal["blocks"]
    visits: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    """Requests of each job in each state; the paper's (recalled, medium to low confidence)."""
    spacing_s: Annotated[float, Field(ge=0.1, le=1e5)] = 30.0
    """From one request to the next: long enough that each has the phone to itself."""
    regular_dbm: Dbm = -60.0
    weak_dbm: Dbm = -81.0
    """Signals of both networks."""
    is_frozen: bool = True
    """Whether learning ends with it; else it goes on, and so does exploring."""


class LiveTrainingSpec(Schema):
    """Training on the scenario's own requests: those that arrive in its first seconds."""

    kind: Literal["live"]
    duration_s: Annotated[float, Field(gt=0, le=1e8)]
    """Requests that arrive before are in phase ``training``."""
    is_frozen: bool = True
    """Whether learning ends with it; else only the phase does."""


class EarlierJobsSpec(Schema):
    """Training in earlier jobs: the scenario's own federated jobs, with other seeds, one after the other.

    Each has its own weather, its data dealt out anew and its model from the start, and ends by the job's
    own rules; controllers keep what they have learned from one to the next.
    """

    kind: Literal["earlier_jobs"]
    jobs: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many times."""
    is_frozen: bool = False
    """Whether learning ends with them; else it goes on, and so does exploring."""


TrainingSpec = Annotated[
    BlockTrainingSpec | LiveTrainingSpec | EarlierJobsSpec, Field(discriminator="kind")
]

TRAINING_APART = (BlockTrainingSpec, EarlierJobsSpec)
"""The kinds of training that happen in worlds of their own, before the scenario begins."""


class OwnAppSpec(Schema):
    """An app of the scenario's own."""

    cpu: Annotated[float, Field(ge=0, le=1)]
    """Share of the time of every core at the top clock."""
    memory: Annotated[float, Field(ge=0, le=1)]
    """Share of the memory's bandwidth."""
    ram_mb: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Held while it runs."""


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
    networks: dict[Name, NetworkSpec] = {}
    links: dict[Name, LinkSpec] = {}
    """Wires behind networks and in front of sites."""
    sites: dict[Name, SiteSpec] = {}
    phones: Annotated[dict[Name, PhoneGroupSpec], Field(min_length=1)]
    apps: dict[Name, OwnAppSpec] = {}
    """What owners may run, besides the profiles."""
    jobs: Annotated[dict[Name, JobSpec], Field(min_length=1)]
    controllers: dict[SlotName, str] = {}
    """Who sits in the slots of every job that does not name its own."""
    compare: Annotated[
        dict[SlotName, Annotated[list[str], Field(min_length=1)]], Field(max_length=1)
    ] = {}
    """Run once per name, with that controller in the slot of every job, and compare."""
    settings: dict[Name, dict[str, Any]] = {}
    """Parameters of controllers, by name; with ``of: NAME`` a variant with a name of its own."""
    training: TrainingSpec | None = None
    """How controllers that learn are trained before they are judged. Default: they learn as they go,
    and are judged by all they do."""
    check: CheckSpec = CheckSpec()
    matrix: Annotated[
        dict[Name, Annotated[dict[PointName, dict[str, Any]], Field(min_length=1)]],
        Field(exclude=True),  # a loaded scenario holds what the chosen points have put
    ] = {}
    """Axes of cases. Each has points by name, and each point values by dotted key path, put in
    place of the file's; ``*`` in a path stands for every entry there. Without a choice, the first
    point of each axis holds."""
    mismatch: MismatchSpec | None = None
    """Default: devices are as published, and meters exact."""
    record: RecordSpec = RecordSpec()
    limits: LimitsSpec = LimitsSpec()

    @property
    def inference_jobs(self) -> dict[str, InferenceJobSpec]:
        """The inference jobs, by name."""
        return {k: job for k, job in self.jobs.items() if isinstance(job, InferenceJobSpec)}

    @property
    def federated_jobs(self) -> dict[str, FederatedJobSpec]:
        """The federated jobs, by name."""
        return {k: job for k, job in self.jobs.items() if isinstance(job, FederatedJobSpec)}
