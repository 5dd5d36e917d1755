"""A server: processors with queues, idle power, and the building around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, nan
from types import MappingProxyType
from typing import Protocol

from edgesim.core.clock import Clock
from edgesim.core.power import NOBODY, Meter
from edgesim.core.signals import Signal
from edgesim.hardware.batching import Batcher, Batching, as_task
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.foresight import Queue, Waiting, served_at_s
from edgesim.hardware.processor import Execution, Processor, Task
from edgesim.hardware.specs import ServerSpec
from edgesim.hardware.truth import AS_PUBLISHED, Truth

__all__ = ["Server", "Service", "Submission", "Tenant"]


@dataclass(frozen=True, slots=True)
class Service:
    """How one processor of a server takes requests.

    Attributes:
        batching: how they are put together; ``None``: not at all.
        load: the share of the processor that other tenants use, in [0, 1); ``None``: there are
            none. No other processor may hold the same signal: it forgets what is over.
    """

    batching: Batching | None = None
    load: Signal | None = None


AS_IT_COMES = Service()


class Submission(Protocol):
    """A request that a server has accepted."""

    def withdraw(self) -> None:
        """Nobody waits for its result any more: it is not told of its end.

        In line, it steps out. In service on its own, it stops, and what it has cost stays booked;
        in a batch that has started, it changes nothing. Afterwards, and after its end, this does
        nothing.
        """


class Tenant:
    """A job's account on a server: all its requests there together."""

    __slots__ = ("energy_j", "job")

    def __init__(self, job: str) -> None:
        self.job = job
        self.energy_j = 0.0


class Server:
    """One server.

    Its draw is idle power plus what each processor's load curve says at its utilisation, by our
    requests and by other tenants, times the PUE of the building. The building's part is component ``facility``, activity
    ``overhead``, owned by whoever owns the joules it comes on top of.

    Args:
        clock: the clock.
        name: the site's name in the scenario.
        spec: its profile.
        truth: how it differs from its profile.
        services: how its processors take requests; by default one by one, alone on the server.
        queue_limit: how many requests may wait at each processor; ``None``: any number.

    Attributes:
        meter: of all but the processors that have other tenants.
    """

    __slots__ = (
        "_batchers",
        "_limit",
        "_meters",
        "_tenants",
        "meter",
        "name",
        "processors",
        "spec",
    )

    def __init__(
        self,
        clock: Clock,
        name: str,
        spec: ServerSpec,
        truth: Truth = AS_PUBLISHED,
        *,
        services: Mapping[str, Service] = MappingProxyType({}),
        queue_limit: int | None = None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.meter = Meter(clock, name)
        self.meter.component("base", spec.idle_power_w, "idle")
        self._meters = [self.meter]
        self._limit = inf if queue_limit is None else queue_limit
        self._batchers: dict[str, Batcher] = {}
        self.processors: dict[str, Processor] = {}
        for key, processor in spec.processors.items():
            service = services.get(key, AS_IT_COMES)
            meter = self.meter
            if service.load is not None:
                # It is looked at now and then only, and then lives through what has been.
                meter = Meter(clock, f"{name} {key}")
                self._meters.append(meter)
            self.processors[key] = Processor(
                clock,
                meter,
                processor,
                slower=truth.slower.get(key, 1.0),
                hungrier=truth.hungrier.get(key, 1.0),
                load=service.load,
            )
            if service.batching is not None:
                self._batchers[key] = Batcher(clock, self.processors[key], service.batching)
        self._tenants: dict[str, Tenant] = {}

    def tenant(self, job: str) -> Tenant:
        """The account of a job."""
        return self._tenants.setdefault(job, Tenant(job))

    def submit(
        self,
        processor_name: str,
        tenant: Tenant,
        task: Task | float,
        done: Callable[[], None],
        rejected: Callable[[], None],
    ) -> Submission | None:
        """A request comes to one of the processors.

        It is turned away if it would have to wait and as many as may wait do so already.

        Args:
            processor_name: which.
            tenant: who answers for its joules.
            task: what it needs; a number stands for so many seconds of arithmetic.
            done: called when it has been served.
            rejected: called at once if it is turned away.

        Returns:
            The request, to be withdrawn if need be; ``None`` if it was turned away.
        """
        batcher = self._batchers.get(processor_name)
        if batcher is not None:
            task = as_task(task)
            if batcher.waiting >= self._limit and not batcher.starts_at_once(task):
                rejected()
                return None
            return batcher.submit(tenant, task, done)
        processor = self.processors[processor_name]
        line, slots = processor.capacity, processor.spec.slots
        if line.waiting >= self._limit and slots is not None and line.in_service >= slots:
            rejected()
            return None
        return processor.run(tenant, task, done)

    def forecast_s(
        self, processor_name: str, task: Task | float, arrive_s: float, now_s: float
    ) -> float:
        """When a request will have been served, if nobody else comes to the server.

        The line moves on until the request is there, and other tenants are there as they really
        will be.

        Args:
            processor_name: where it will be submitted.
            task: what it needs.
            arrive_s: when it comes to the server, not before now.
            now_s: the present moment.

        Returns:
            The moment; infinity if it will be turned away.
        """
        processor = self.processors[processor_name]
        batcher = self._batchers.get(processor_name)
        task, capacity = as_task(task), processor.capacity
        slots = processor.spec.slots
        if batcher is None and processor.others is None and (self._limit == inf or slots is None):
            queue_s = max(capacity.backlog_s() - (arrive_s - now_s), 0.0)
            return arrive_s + queue_s + processor.work_s(task)
        assert slots is not None
        if batcher is None:
            wait_s = 0.0
            own = Queue(1, _in_line(processor), lambda first, _: processor.work_s(first))
            queues = [own]
        else:
            wait_s = batcher.rule.wait_s
            queues, own = batcher.queues(task)
        return served_at_s(
            now_s,
            slots,
            _nobody if processor.others is None else processor.others.segments,
            [capacity.remaining(job) for job in capacity.jobs()],
            queues,
            own,
            arrive_s,
            wait_s,
            task,
            self._limit,
        )

    def end(self) -> DeviceEnd:
        """What it has come to by now; what is being served is booked up to now.

        Raises:
            SimulationError: if ledger and meter disagree.
        """
        for processor in self.processors.values():
            processor.settle()
        for meter in self._meters:
            meter.audit()
        return DeviceEnd(
            self.name,
            self.spec.profile,
            nan,
            nan,
            self.drawn_j,
            {key: processor.busy_s for key, processor in self.processors.items()},
            self.bookings(),
        )

    @property
    def power_w(self) -> float:
        """Watts at present, the building's part included."""
        self._look()
        return sum(meter.power_w for meter in self._meters) * self.spec.pue

    @property
    def drawn_j(self) -> float:
        """Joules drawn up to now, the building's part included."""
        self._look()
        return sum(meter.drawn_j for meter in self._meters) * self.spec.pue

    def _look(self) -> None:
        for processor in self.processors.values():
            if processor.others is not None:
                processor.others.look()

    def bookings(self) -> list[tuple[str, str, str, float]]:
        """What has been booked: (component, activity, job, joules)."""
        rows = sorted(row for meter in self._meters for row in meter.bookings())
        overhead = self.spec.pue - 1.0
        if overhead:
            by_job: dict[str, float] = {NOBODY: 0.0}
            for _, _, job, energy_j in rows:
                by_job[job] = by_job.get(job, 0.0) + energy_j
            rows += [
                ("facility", "overhead", job, overhead * energy_j)
                for job, energy_j in sorted(by_job.items())
            ]
        return rows


def _in_line(processor: Processor) -> list[Waiting]:
    """Who waits at a processor that takes requests one by one."""
    found = []
    for number, job in enumerate(processor.capacity.line()):
        assert isinstance(job, Execution)
        found.append(Waiting(number, 0.0, job.task))
    return found


def _nobody(start_s: float, end_s: float) -> Iterator[tuple[float, float, float]]:
    """The share of other tenants where there are none."""
    if start_s < end_s:
        yield start_s, end_s, 0.0
