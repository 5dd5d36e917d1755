"""The decisions a controller can take, and how a workload asks for them.

A workload owns a :class:`Slot` for each kind of decision and asks ``slot.ask(observation, reply)``.
The controller in the slot answers through ``reply(decision)``, at once or later, without the clock
moving for it. When the outcome is known, every joule of it booked, the workload calls
``slot.learn(observation, decision, outcome)``.

An observation holds what such a controller could know on a real device: the request, the conditions
it can measure, what profiles promise. It cannot be changed. Truth that no device could know is
given only to classes that say ``needs_what_if = True``, through the observation's ``what_if``.

Slot ``offloading``: where to run one inference request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from edgesim.core.errors import EdgesimError
from edgesim.hardware.specs import PhoneSpec
from edgesim.network.radio import LinkState
from edgesim.nn.model import ModelCost

__all__ = [
    "DEVICE",
    "Controller",
    "ControllerError",
    "Forecast",
    "Lesson",
    "OffloadingController",
    "OffloadingObservation",
    "OffloadingOutcome",
    "Option",
    "Setting",
    "Slot",
    "Target",
]

DEVICE = "device"
"""The place of a target on the phone itself; any other place is the name of a site."""


class Target(NamedTuple):
    """Where to run an inference: ``device/gpu/fp16``, ``cloud/gpu/fp32``, ``device/gpu/fp16/3``.

    Attributes:
        place: :data:`DEVICE`, the name of a site, or that of another phone (Wi-Fi Direct).
        processor: the name of a processor there.
        precision: ``fp32``, ``fp16`` or ``int8``.
        level: number of the processor's clock level, from the slowest on; ``None`` where that is
            its governor's business.
    """

    place: str
    processor: str
    precision: str
    level: int | None = None

    def __str__(self) -> str:
        level = "" if self.level is None else f"/{self.level}"
        return f"{self.place}/{self.processor}/{self.precision}{level}"


class Option(NamedTuple):
    """A target that can be chosen, and what the profiles promise of it.

    Attributes:
        target: the target.
        kind: of its processor: ``cpu``, ``gpu`` or ``dsp``.
        accuracy: of the model in that precision, in [0, 1].
        compute_s: seconds of one inference with the processor to itself, at the level that its
            governor then sets, the model being in memory; no transfer, no queue.
        compute_energy_j: joules that the phone's processor and the phone's being awake then cost;
            for another place, the phone's being awake alone. Radio energy depends on the signal
            and is not in it.
        frequency_hz: the clock at that level.
        is_nearby: whether the place is another phone (Wi-Fi Direct).
    """

    target: Target
    kind: str
    accuracy: float
    compute_s: float
    compute_energy_j: float
    frequency_hz: float
    is_nearby: bool = False


class Forecast(NamedTuple):
    """What would come of a choice.

    Attributes:
        latency_s: from the request's arrival to its result; infinity if it would not end.
        energy_j: what would be booked to the request, tails of radio and camera included, and with
            what has been booked to it so far.
    """

    latency_s: float
    energy_j: float


class OffloadingObservation(NamedTuple):
    """What is known when it is to be decided where an inference request runs.

    That is when it arrives or, where its picture is taken first, when that is there.

    Attributes:
        time_s: now.
        job: the job that the request belongs to.
        device: the phone's name.
        profile: the name of the phone's profile.
        model: the model to run.
        deadline_s: how long it may take from its arrival; infinity for no deadline.
        accuracy_min: the least accuracy that will do, in [0, 1]; 0 for no requirement.
        network: the name of the network that serves the phone; empty if none does.
        rssi_dbm: strength of its signal; NaN without a network.
        nearby_rssi_dbm: likewise of the strongest phone nearby (Wi-Fi Direct); NaN without.
        link: what the phone's profile promises of its network at this signal: rates with the air to
            itself, watts while sending and receiving; ``None`` without a network.
        nearby_link: likewise of the strongest phone nearby.
        co_cpu: share of the CPU that other apps use, in [0, 1].
        co_mem: share of the memory bandwidth that other apps use, in [0, 1].
        charge: of the battery, in [0, 1].
        is_plugged: whether the charger is connected.
        skin_c: temperature of the phone, Celsius; NaN if its profile knows nothing of heat.
        options: what can be chosen now, never empty; sites only while the phone has a connection.
        is_ready: whether the model is in memory for a target, so that it need not be loaded first;
            elsewhere it always is.
        what_if: what would come of a target along the weather as it will really be, with the load
            of others frozen as it is and no later arrivals. A myopic oracle, for classes with
            ``needs_what_if`` only; for all others ``None``.
        elapsed_s: since the request arrived: what its picture has taken; 0 without one.
    """

    time_s: float
    job: str
    device: str
    profile: str
    model: ModelCost
    deadline_s: float
    accuracy_min: float
    network: str
    rssi_dbm: float
    nearby_rssi_dbm: float
    link: LinkState | None
    nearby_link: LinkState | None
    co_cpu: float
    co_mem: float
    charge: float
    is_plugged: bool
    skin_c: float
    options: tuple[Option, ...]
    is_ready: Callable[[Target], bool]
    what_if: Callable[[Target], Forecast] | None
    elapsed_s: float = 0.0

    @property
    def left_s(self) -> float:
        """What is left of the deadline; infinity for no deadline."""
        return self.deadline_s - self.elapsed_s


class OffloadingOutcome(NamedTuple):
    """What came of a request.

    Attributes:
        status: ``done`` or ``failed:REASON``.
        latency_s: from arrival to result; NaN if it failed.
        energy_j: everything booked to it on the phone, its picture and tails of radio and camera
            included, as its meter read it: with the noise that the scenario gives meters.
        deadline_met: whether it was done in time; a request without a deadline is in time if done.
        accuracy: of the model in the precision it ran in; NaN if it failed.
        send_s, receive_s: how long its transfers there and back took; 0 if it ran on the phone.
        compute_j: what the profile's watts make of the time that the phone's processor was busy for
            it at each clock (which a kernel keeps count of), its picture apart; 0 if it ran
            elsewhere.
    """

    status: str
    latency_s: float
    energy_j: float
    deadline_met: bool
    accuracy: float
    send_s: float = 0.0
    receive_s: float = 0.0
    compute_j: float = 0.0


class Lesson(NamedTuple):
    """What a controller made of an outcome; written down beside the decision.

    Attributes:
        reward: what it reckoned the outcome to be worth, in its own unit.
        is_explored: whether it had decided at random to find out.
    """

    reward: float
    is_explored: bool


ObservationT = TypeVar("ObservationT", contravariant=True)
DecisionT = TypeVar("DecisionT")
OutcomeT = TypeVar("OutcomeT", contravariant=True)


class Controller(Protocol[ObservationT, DecisionT, OutcomeT]):
    """What every controller can do, whatever its slot. Derive from nothing; just have these.

    Attributes:
        needs_what_if: whether its observations are to carry ``what_if``.
        learns: whether it wants to be told of outcomes.
    """

    needs_what_if: bool
    learns: bool

    def decide(self, observation: ObservationT) -> DecisionT:
        """Choose."""

    def learn(
        self, observation: ObservationT, decision: DecisionT, outcome: OutcomeT
    ) -> Lesson | None:
        """Take note of what came of an earlier decision."""

    def freeze(self) -> None:
        """Training is over: from now on use what has been learned, explore and learn no more."""

    def state_dict(self) -> dict[str, Any]:
        """Everything it has learned, as plain data."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` once gave."""


OffloadingController = Controller[OffloadingObservation, Target, OffloadingOutcome]
"""A controller for slot ``offloading``."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a controller is told when it is made.

    Attributes:
        job: the job it works for; empty if it works for all that name no other.
        slot: the slot it sits in.
        rng: its own random stream.
        parameters: what the scenario sets, an instance of its class's ``Parameters``; ``None`` if it
            has none.
        phones: the phones it decides for, by the names of their profiles.
        options: slot ``offloading``: all that these can ever choose, by profile, a target once: for
            several models, as the profiles promise it for the first of them.
        models: what its jobs run.
        folder: that the scenario's relative paths start from.
    """

    job: str
    slot: str
    rng: np.random.Generator
    parameters: Any = None
    phones: Mapping[str, PhoneSpec] = field(default_factory=dict)
    options: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    models: Sequence[ModelCost] = ()
    folder: Path = Path()

    @property
    def seat(self) -> str:
        """Where it sits: ``SLOT``, or ``JOB.SLOT`` if it works for one job."""
        return f"{self.job}.{self.slot}" if self.job else self.slot


class ControllerError(EdgesimError):
    """A controller did what its slot does not allow, or raised an exception."""


class Slot(Generic[ObservationT, DecisionT, OutcomeT]):
    """Where a controller sits.

    Args:
        name: ``offloading`` and so on.
        job: the job whose slot it is.
        controller_name: what the scenario calls the controller.
        controller: the controller.

    Attributes:
        controller: likewise.
        needs_what_if: whether observations are to carry ``what_if``.
        learns: whether :meth:`learn` is to be called.
    """

    __slots__ = ("controller", "controller_name", "job", "learns", "name", "needs_what_if")

    def __init__(
        self,
        name: str,
        job: str,
        controller_name: str,
        controller: Controller[ObservationT, DecisionT, OutcomeT],
    ) -> None:
        self.name = name
        self.job = job
        self.controller_name = controller_name
        self.controller = controller
        self.needs_what_if = bool(controller.needs_what_if)
        self.learns = bool(controller.learns)

    def ask(self, observation: ObservationT, reply: Callable[[DecisionT], None]) -> None:
        """Have the controller decide; its answer goes to ``reply``.

        Raises:
            ControllerError: if the controller raises an exception.
        """
        try:
            decision = self.controller.decide(observation)
        except EdgesimError as error:
            raise self.error(f"cannot decide: {error}") from error
        except Exception as error:
            raise self.error(f"raised {type(error).__name__}: {error}") from error
        reply(decision)

    def freeze(self) -> None:
        """Tell the controller that training is over."""
        freeze = getattr(self.controller, "freeze", None)
        if freeze is not None:
            freeze()

    def learn(
        self, observation: ObservationT, decision: DecisionT, outcome: OutcomeT
    ) -> Lesson | None:
        """Tell the controller what came of its decision; says what it made of it.

        Raises:
            ControllerError: if the controller raises an exception.
        """
        try:
            return self.controller.learn(observation, decision, outcome)
        except Exception as error:
            raise self.error(f"raised {type(error).__name__} in learn(): {error}") from error

    def error(self, what: str) -> ControllerError:
        """An error that names controller, slot and job."""
        return ControllerError(
            f"controller {self.controller_name!r} in slot {self.name!r} of job {self.job!r} {what}"
        )
