"""How long clients take, by what profiles promise and what past rounds have taught about it.

A round's past is what its coordinator measured; what a round will really be like, nobody here knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.controllers.federated import (
    Clients,
    ParticipantOutcome,
    Real,
    Reports,
    TrainingOption,
    TrainingTarget,
    Whole,
)
from edgesim.core.units import BITS_PER_BYTE

__all__ = [
    "ABOVE_40_MBPS",
    "Pace",
    "is_bad_network",
    "promised_epoch_s",
    "promised_training_s",
    "promised_transfer_s",
    "slowed_by_apps",
    "steps_of",
]

ABOVE_40_MBPS = 40e6 * (1.0 + 1e-9)
"""Where a good network begins (AutoFL, table 1)."""

_SHARE_OF_CPU = 0.5
"""Two that both want a CPU get half each; an app that wants less leaves the rest."""

_FORGETS = 0.1
"""Weight of the newest measurement once there are ten: conditions drift; assumed."""


def steps_of(clients: Clients, chosen: Whole, batch_size: int, epochs: int) -> Whole:
    """Training steps of each of these clients."""
    found: Whole = epochs * -(-clients.samples[chosen] // batch_size)
    return found


def is_bad_network(reports: Reports) -> NDArray[np.bool_]:
    """Of each client, whether its network is bad: AutoFL's two bins."""
    found: NDArray[np.bool_] = np.minimum(reports.up_bps, reports.down_bps) < ABOVE_40_MBPS
    return found


def slowed_by_apps(co_cpu: Real) -> Real:
    """What seconds of training on a CPU are to be multiplied by where apps use such a share of it."""
    return 1.0 / (1.0 - np.minimum(co_cpu, _SHARE_OF_CPU))


def promised_epoch_s(
    clients: Clients, client: int, target: TrainingTarget, batch_size: int
) -> float:
    """Seconds of one epoch of a client by promise, its last batch being smaller."""
    full, rest = divmod(int(clients.samples[client]), batch_size)
    batches = [(batch_size, full)] if full else []
    batches += [(rest, 1)] if rest else []
    return sum(
        count * option.step_s
        for size, count in batches
        for option in clients.options(client, size)
        if option.target == target
    )


def promised_training_s(options: Sequence[TrainingOption], steps: Whole, co_cpu: Real) -> Real:
    """Seconds of training by promise, with what apps use of a CPU taken off; ``(clients, options)``."""
    slowed = slowed_by_apps(co_cpu)
    found: Real = steps[:, None] * np.array([o.step_s for o in options])
    is_cpu = [o.kind == "cpu" for o in options]
    if all(is_cpu):
        found *= slowed[:, None]
    else:
        found[:, is_cpu] *= slowed[:, None]
    return found


def promised_transfer_s(reports: Reports, payload_bytes: tuple[float, float], sharing: int) -> Real:
    """Seconds from a model's sending to an update's arrival by promise, but for training; ``(clients,)``.

    Infinite without a connection.

    Args:
        reports: of the clients.
        payload_bytes: what comes down, and what goes up.
        sharing: the model comes to so many at once, where they share the air.
    """
    with np.errstate(divide="ignore"):
        at_once = np.where(reports.is_air_shared > 0.0, sharing, 1)
        down_s = at_once * payload_bytes[0] / reports.down_bps
        up_s = payload_bytes[1] / reports.up_bps
    found: Real = BITS_PER_BYTE * (down_s + up_s) + reports.rtt_s
    return np.where(np.isfinite(found), found, inf)


_DOUBT = 0.25
"""What one device took counts as 1 / (1 + this) of what is to be expected of it: devices of one profile differ
about twice as much as rounds of one device (variances 4 to 1; assumed)."""


class _Ratio:
    """Measured over promised time: mean and variance of its logarithm, the newest counting most."""

    __slots__ = ("count", "mean", "variance")

    def __init__(self, count: int = 0, mean: float = 0.0, variance: float = 0.0) -> None:
        self.count, self.mean, self.variance = count, mean, variance

    def learn(self, measured_s: float, promised_s: float) -> None:
        if not (measured_s > 0.0 and 0.0 < promised_s < inf):
            return
        self.count += 1
        weight = max(1.0 / self.count, _FORGETS)
        off = log(measured_s / promised_s) - self.mean
        self.mean += weight * off
        self.variance = (1.0 - weight) * (self.variance + weight * off * off)

    def shrunk(self) -> float:
        """The ratio, the nearer to 1 the less is known of it."""
        return exp(self.mean * self.count / (self.count + _DOUBT))

    def factor(self, caution: float) -> float:
        return exp(self.mean + caution * sqrt(self.variance))


class Pace:
    """Predicts how long clients will take; an honest predictor: it knows promises and past rounds.

    The logarithm of measured over promised time is averaged, for training by profile and target, for
    transfers by whether the network was bad. What a client's training took beyond that counts for itself,
    the more the oftener it has been seen. Before there is anything measured, a promise is believed; a client
    never seen is taken to be like its profile. A client that was cut off while it trained has taken at least
    so long: it counts where that is more than was predicted.

    Args:
        caution: so many standard deviations are added, of what both averages leave unexplained.
    """

    def __init__(self, caution: float) -> None:
        self._caution = caution
        self._training: dict[str, _Ratio] = {}
        self._transfer: dict[str, _Ratio] = {}
        self._own: dict[str, _Ratio] = {}  # by device, beyond its profile's
        self._surprise = _Ratio()  # what is left when both are known
        self._factors: Real = np.ones(0)  # of the job's clients
        self._names: dict[tuple[str, object], str] = {}

    def device_factors(self, devices: Sequence[str], chosen: Whole) -> Real:
        """What seconds of training are to be multiplied by besides, for each of these clients.

        Args:
            devices: names of all clients of the job,
            chosen: and the numbers of those asked about.
        """
        if len(self._factors) != len(devices):
            self._factors = np.array(
                [own.shrunk() if (own := self._own.get(name)) else 1.0 for name in devices]
            )
        found: Real = self._factors[chosen]
        return found

    def training_factors(self, profile: str, targets: Sequence[object]) -> Real:
        """What promised seconds of training at each target are to be multiplied by."""
        known = [self._training.get(self._name(profile, target)) for target in targets]
        means = np.array([0.0 if found is None else found.mean for found in known])
        factors: Real = np.exp(means + self._caution * sqrt(self._surprise.variance))
        return factors

    def transfer_factors(self, is_bad: NDArray[np.bool_]) -> Real:
        """What promised seconds of transfers are to be multiplied by."""
        kinds = [self._transfer.get(kind, _Ratio()).factor(self._caution) for kind in ("0", "1")]
        found: Real = np.where(is_bad, kinds[1], kinds[0])
        return found

    def learn(
        self,
        device: str,
        profile: str,
        outcome: ParticipantOutcome,
        training_s: float,
        transfer_s: float,
        *,
        is_bad: bool,
    ) -> None:
        """Take note of what a client took, given what was promised."""
        target = self._name(profile, outcome.target)
        ratio = self._training.get(target) or self._training.setdefault(target, _Ratio())
        own = self._own.get(device) or self._own.setdefault(device, _Ratio())
        of_profile, of_device = exp(ratio.mean), own.shrunk()
        predicted_s = training_s * of_profile * of_device
        is_whole = outcome.upload_s > 0.0
        if is_whole or outcome.training_s > predicted_s:
            if own.count:
                self._surprise.learn(outcome.training_s, predicted_s)
            own.learn(outcome.training_s, training_s * of_profile)
            if outcome.client < len(self._factors):
                self._factors[outcome.client] = own.shrunk()
            ratio.learn(outcome.training_s, training_s * of_device)
        if outcome.status == "done":
            # All that was neither training nor collecting: transfers, ways there and back.
            measured_s = outcome.duration_s - outcome.training_s - outcome.collect_s
            kind = "1" if is_bad else "0"
            of_kind = self._transfer.get(kind) or self._transfer.setdefault(kind, _Ratio())
            of_kind.learn(measured_s, transfer_s)

    def _name(self, profile: str, target: object) -> str:
        """What a target of a profile is called in what it has learned."""
        known = self._names.get((profile, target))
        if known is None:
            known = self._names[profile, target] = f"{profile} {target}"
        return known

    def state_dict(self) -> dict[str, Any]:
        """What it has learned."""
        return {
            name: {key: [r.count, r.mean, r.variance] for key, r in sorted(ratios.items())}
            for name, ratios in (
                ("training", self._training),
                ("transfer", self._transfer),
                ("own", self._own),
                ("surprise", {"": self._surprise}),
            )
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._training, self._transfer, self._own = (
            {key: _Ratio(*values) for key, values in state[name].items()}
            for name in ("training", "transfer", "own")
        )
        self._surprise = _Ratio(*state["surprise"][""])
        self._factors = np.ones(0)
