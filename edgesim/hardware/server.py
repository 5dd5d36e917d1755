"""A server: processors with queues, idle power, and the building around them."""

from __future__ import annotations

from math import nan

from edgesim.core.clock import Clock
from edgesim.core.power import NOBODY, Meter
from edgesim.hardware.device import DeviceEnd
from edgesim.hardware.processor import Processor
from edgesim.hardware.specs import ServerSpec
from edgesim.hardware.truth import AS_PUBLISHED, Truth

__all__ = ["Server", "Tenant"]


class Tenant:
    """A job's account on a server: all its requests there together."""

    __slots__ = ("energy_j", "job")

    def __init__(self, job: str) -> None:
        self.job = job
        self.energy_j = 0.0


class Server:
    """One server.

    Its draw is idle power plus the busy power of the processors in proportion to the slots in use,
    times the PUE of the building. The building's part is component ``facility``, activity
    ``overhead``, owned by whoever owns the joules it comes on top of.

    Args:
        clock: the clock.
        name: the site's name in the scenario.
        spec: its profile.
        truth: how it differs from its profile.
    """

    __slots__ = ("_tenants", "meter", "name", "processors", "spec")

    def __init__(
        self, clock: Clock, name: str, spec: ServerSpec, truth: Truth = AS_PUBLISHED
    ) -> None:
        self.name = name
        self.spec = spec
        self.meter = Meter(clock, name)
        self.meter.component("base", spec.idle_power_w, "idle")
        self.processors = {
            key: Processor(
                clock,
                self.meter,
                processor,
                slower=truth.slower.get(key, 1.0),
                hungrier=truth.hungrier.get(key, 1.0),
            )
            for key, processor in spec.processors.items()
        }
        self._tenants: dict[str, Tenant] = {}

    def tenant(self, job: str) -> Tenant:
        """The account of a job."""
        return self._tenants.setdefault(job, Tenant(job))

    def end(self) -> DeviceEnd:
        """What it has come to by now; what is being served is booked up to now.

        Raises:
            SimulationError: if ledger and meter disagree.
        """
        for processor in self.processors.values():
            processor.settle()
        self.meter.audit()
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
    def drawn_j(self) -> float:
        """Joules drawn up to now, the building's part included."""
        return self.meter.drawn_j * self.spec.pue

    def bookings(self) -> list[tuple[str, str, str, float]]:
        """What has been booked: (component, activity, job, joules)."""
        rows = self.meter.bookings()
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
