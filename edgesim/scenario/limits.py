"""Whether a scenario stays within what makes sense, and within its own limits."""

from __future__ import annotations

from edgesim.core.documents import Document
from edgesim.core.errors import Problem
from edgesim.scenario.quantities import gauss_markov_limits, quantity, signals
from edgesim.scenario.recordings import Recordings
from edgesim.scenario.schema import (
    ArrivalsSpec,
    ArrivalTraceSpec,
    BandwidthSpec,
    BandwidthTraceSpec,
    DiurnalSpec,
    PeriodicSpec,
    PoissonSpec,
    Scenario,
    TurnsSpec,
)
from edgesim.scenario.signal_schema import (
    GaussMarkovSpec,
    MarkovSpec,
    ScheduleSpec,
    TraceSpec,
)
from edgesim.workloads.arrivals import integrated_rate, traced_arrivals

__all__ = ["never_full", "not_federated", "out_of_limits", "too_much"]


def never_full(document: Document, scenario: Scenario) -> list[Problem]:
    """Sites where fewer requests may wait than make a batch."""
    problems = []
    for name, site in scenario.sites.items():
        largest = max((batching.size for batching in site.batching.values()), default=1)
        if site.queue_limit is not None and largest > 1 and site.queue_limit < largest:
            message = (
                f"no batch of {largest} can form where only {site.queue_limit} may wait; "
                "raise it, or lower batching.size"
            )
            problems.append(document.problem(("sites", name, "queue_limit"), message))
    return problems


def not_federated(document: Document, scenario: Scenario) -> list[Problem]:
    """Federated jobs that ask for more clients than there are, or for what nobody will know."""
    problems = []
    for name, job in scenario.federated_jobs.items():
        path = ("jobs", name)
        clients = sum(scenario.phones[group].count for group in job.phones or scenario.phones)
        if job.clients_per_round > clients:
            message = f"{job.clients_per_round} clients cannot be had of {clients} phones; lower it"
            problems.append(document.problem((*path, "clients_per_round"), message))
        if job.mode == "timing_only" and job.stop.accuracy is not None:
            message = (
                "nothing is trained with mode: timing_only, so that no accuracy is known; drop it"
            )
            problems.append(document.problem((*path, "stop", "accuracy"), message))
    return problems


def out_of_limits(document: Document, scenario: Scenario) -> list[Problem]:
    """Gauss-Markov signals whose mean cannot be, or whose limits contradict each other."""
    problems = []
    for path, _, spec in signals(scenario):
        if isinstance(spec, GaussMarkovSpec):
            default = gauss_markov_limits(quantity(path).partition("_")[0])
            lowest = default[0] if spec.min is None else spec.min
            highest = default[1] if spec.max is None else spec.max
            if not lowest <= spec.mean <= highest:
                message = (
                    f"the mean of {spec.mean:g} is not between min and max, {lowest:g} and "
                    f"{highest:g} (in part the defaults); set min or max"
                )
                problems.append(document.problem((*path, "mean"), message))
    return problems


def _expected_arrivals(spec: ArrivalsSpec, recordings: Recordings, duration_s: float) -> float:
    """How many arrivals are to be expected at one phone."""
    match spec:
        case PoissonSpec():
            return spec.rate_per_s * duration_s
        case PeriodicSpec():
            return duration_s / spec.period_s
        case DiurnalSpec():
            times_s, rates_per_s = zip(*spec.steps, strict=True)
            return integrated_rate(times_s, rates_per_s, spec.period_s, duration_s)
        case TurnsSpec():
            return duration_s / spec.spacing_s / spec.of
        case ArrivalTraceSpec():
            return traced_arrivals(
                recordings.arrivals_s[spec.file],
                spec.period_s,
                duration_s,
                has_offset=spec.random_offset,
            )


def too_much(
    document: Document,
    scenario: Scenario,
    recordings: Recordings,
) -> list[Problem]:
    """Whether the scenario asks for more work than its own limits allow."""
    requests = 0.0
    for job in scenario.inference_jobs.values():
        phones = sum(scenario.phones[name].count for name in job.phones or scenario.phones)
        requests += phones * _expected_arrivals(job.arrivals, recordings, scenario.duration_s)
    changes = 0.0
    for _, phones, spec in signals(scenario):
        if isinstance(spec, GaussMarkovSpec):
            changes += phones * scenario.duration_s / spec.step_s
        elif isinstance(spec, MarkovSpec):
            changes += phones * scenario.duration_s / min(spec.mean_dwell_s)
        elif isinstance(spec, ScheduleSpec):
            changes += phones * scenario.duration_s / spec.period_s * len(spec.steps)
        elif isinstance(spec, TraceSpec) and spec.period_s is not None:
            changes += (
                phones * scenario.duration_s / spec.period_s * len(recordings.signals[spec.file][0])
            )
    for group in scenario.phones.values():
        for attachment in group.networks.values():
            per_s = _bandwidth_changes_per_s(attachment.bandwidth, recordings)
            if attachment.rssi_dbm is None and group.mobility is not None:
                per_s += 1.0 / group.mobility.step_s
            changes += group.count * scenario.duration_s * per_s
    problems = []
    for key, count, limit in (
        ("requests", requests, scenario.limits.requests),
        ("signal_changes", changes, scenario.limits.signal_changes),
    ):
        if count > limit:
            message = (
                f"about {count:.3g} {key.replace('_', ' ')} are to be expected, more than the "
                f"{limit:.3g} allowed; shorten duration_s or raise limits.{key}"
            )
            problems.append(document.problem(("duration_s",), message))
    return problems


def _bandwidth_changes_per_s(spec: BandwidthSpec | None, recordings: Recordings) -> float:
    """How often a phone's measured bandwidth changes."""
    if spec is None:
        return 0.0
    if isinstance(spec, BandwidthTraceSpec):
        traces = recordings.bandwidths[tuple(spec.files)]
        return max(len(trace.times_s) / trace.period_s for trace in traces)
    return 2.0 / spec.step_s
