"""A processor at work: clock levels, its time shared among jobs and apps, its watts booked to them.

What a job needs is a :class:`Task`: seconds of arithmetic and seconds at the memory, at each level
and number of cores. Three things make it slower than alone at the top level, and whenever one of
them changes, what has been done is kept and the rest goes on at the new pace:

- the *level*, chosen by the governor, capped by heat;
- other jobs on the processor and apps on the CPU, which share its time: an app that asks for a
  share gets it, but no more than an equal part among those present (max-min fair, as Linux's
  scheduler divides time);
- others at the memory. Memory is a server shared by all: while others use a share r of its
  bandwidth, what waits for it takes 1 / (1 - r) as long (processor sharing; Kleinrock, "Queueing
  Systems" II, 1976, sec. 4.4).

A server's processor may have other tenants besides (:mod:`edgesim.hardware.tenants`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Protocol

from edgesim.core.capacity import Job, SharedCapacity
from edgesim.core.clock import Clock
from edgesim.core.errors import SimulationError
from edgesim.core.power import Meter, PowerState, User
from edgesim.core.signals import Signal
from edgesim.hardware.tenants import OtherTenants
from edgesim.nn.cost import (
    ProcessorSpec,
    inference_s,
    memory_share,
    traffic_bytes,
)
from edgesim.nn.model import ModelCost

__all__ = [
    "GOVERNORS",
    "PERFORMANCE",
    "Arithmetic",
    "Execution",
    "Governor",
    "InferenceTask",
    "MemoryBus",
    "Pace",
    "Processor",
    "Task",
    "alone_level",
]

GOVERNORS = ("performance", "powersave", "schedutil", "fixed", "controller")
"""Who sets the clock: always the top level; always the lowest; by the share of time at work, as
Linux's schedutil does; one level; or whoever decides where a job runs, job by job."""

_HEADROOM = 1.25
"""schedutil asks for 1.25 x utilisation x the highest frequency: Linux, map_util_perf()."""

_MOST_MEMORY = 0.95
"""Others at the memory are counted up to this share: beyond it the formula has no meaning."""


@dataclass(frozen=True, slots=True)
class Governor:
    """How a processor's level is chosen.

    Attributes:
        kind: one of :data:`GOVERNORS`.
        level: for ``fixed``.
    """

    kind: str
    level: int = 0


PERFORMANCE = Governor("performance")


def alone_level(spec: ProcessorSpec, governor: Governor) -> int:
    """The number of the level that a governor sets for one job that asks for none."""
    return {"powersave": 0, "fixed": governor.level}.get(governor.kind, len(spec.levels) - 1)


class Task(Protocol):
    """What a job has a processor do.

    Attributes:
        traffic_bytes: what it reads and writes in memory.
    """

    traffic_bytes: float

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """Alone on so many cores at a level: seconds of arithmetic, seconds at the memory."""


class InferenceTask:
    """One inference.

    Args:
        model: what is run.
        precision: in which precision.
        batch: inputs at once.
    """

    __slots__ = ("_seconds", "batch", "model", "precision", "traffic_bytes")

    def __init__(self, model: ModelCost, precision: str, batch: int = 1) -> None:
        self.model = model
        self.precision = precision
        self.batch = batch
        self.traffic_bytes = traffic_bytes(model, precision, batch)
        self._seconds: dict[tuple[str, int, int], tuple[float, float]] = {}

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """As :meth:`Task.seconds`; infinite where it cannot run."""
        key = (spec.name, level, cores)
        found = self._seconds.get(key)
        if found is None:
            found = self._seconds[key] = self._compute(spec, level, cores)
        return found

    def _compute(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        if level == len(spec.levels) - 1 and cores == spec.cores:
            level = -1  # where only measured latencies are known, this is the level they are of
        model, precision, batch = self.model, self.precision, self.batch
        seconds = inference_s(model, spec, precision, level=level, threads=cores, batch=batch)
        if seconds is None:
            return inf, 0.0
        share = memory_share(model, spec, precision, level=level, threads=cores, batch=batch)
        return seconds * (1.0 - share), seconds * share


class Arithmetic:
    """So many seconds at the top level with all cores, nothing of it at the memory.

    Args:
        seconds: how many.
    """

    __slots__ = ("_top_s", "traffic_bytes")

    def __init__(self, seconds: float) -> None:
        self._top_s = seconds
        self.traffic_bytes = 0.0

    def seconds(self, spec: ProcessorSpec, level: int, cores: int) -> tuple[float, float]:
        """As :meth:`Task.seconds`: in inverse proportion to clock and cores."""
        clock = spec.levels[-1].frequency_hz / spec.levels[level].frequency_hz
        return self._top_s * clock * spec.cores / max(cores, 1), 0.0


class MemoryBus:
    """The memory of a phone, shared by its processors and apps.

    Args:
        bandwidth_bps: its peak, bytes per second.

    Attributes:
        apps: the share of its bandwidth that apps use.
        processors: who shares it.
        busy: how many of them are at work.
    """

    __slots__ = ("apps", "bandwidth_bps", "busy", "processors")

    def __init__(self, bandwidth_bps: float = inf) -> None:
        self.bandwidth_bps = bandwidth_bps
        self.processors: list[Processor] = []
        self.apps = 0.0
        self.busy = 0

    def stretch(self, processor: Processor, apps: float) -> float:
        """How many times as long the memory takes for ``processor``, with this much use by apps."""
        others = apps
        if self.busy:
            for other in self.processors:
                if other is not processor:
                    others += other.memory_share
        return 1.0 / (1.0 - min(others, _MOST_MEMORY)) if others else 1.0

    def changed(self, processor: Processor) -> None:
        """``processor`` uses more or less of it than before: the others at work change their pace."""
        for other in self.processors:
            if other is not processor and other.memory_share:
                other.adjust()


class Pace(NamedTuple):
    """At what pace a processor's jobs go.

    Attributes:
        level: index into its levels.
        cores: how many each job runs on.
        stretch: how many times as long the memory takes.
        own: the share of its time that its jobs have, all together.
        apps: and the share that apps have.
    """

    level: int
    cores: int
    stretch: float
    own: float
    apps: float


class Execution(Job):
    """A task on a :class:`Processor`; made by :meth:`Processor.run`.

    Attributes:
        is_running: whether it is in service.
        level: the level its controller asked for; ``None`` if that is the governor's business.
        task: what is done.
    """

    is_running = False

    def __init__(
        self,
        processor: Processor,
        user: User,
        task: Task,
        done: Callable[[], None],
        level: int | None,
    ) -> None:
        self.task = task
        self.level = level
        self._processor = processor
        self._user = user
        self._done = done
        self._mark = 0.0
        self.alone_s = 0.0  # what ``work`` is counted in: seconds at the pace at which it began
        self.traffic_bps = 0.0  # bytes per second of memory that it uses while it has all the time
        self.profile_j = 0.0
        self.energy_j = 0.0  # what its processor has booked for it

    def started(self) -> None:
        """Answer for a share of the processor's watts from now on."""
        self.is_running = True
        processor = self._processor
        self._mark = processor._state.join(processor._follow(), "compute")
        processor._take_up(self)

    def finished(self) -> None:
        """Book the share, and tell whoever waits for the result."""
        self._leave()
        self._done()

    def settle(self) -> None:
        """Book what it has cost up to now; it goes on."""
        processor, user = self._processor, self._user
        before_j = user.energy_j
        self._mark = processor._state.book(user, self._mark, "compute")
        self._note(user.energy_j - before_j)

    def cancel(self) -> None:
        """Stop it, booking what it has cost so far; nobody is told of its end."""
        self._processor.cancel(self)

    @property
    def place(self) -> Processor:
        """The processor that carries it out; another, if its own has been unplugged meanwhile."""
        return self._processor

    @property
    def share_left(self) -> float:
        """How much of it is still to be done, in [0, 1]."""
        left_s = self._processor.capacity.remaining(self)
        return left_s / self.alone_s if self.alone_s else 0.0

    def withdraw(self) -> None:
        """The same, for those who do not know whether it is a task of their own or part of one."""
        self._processor.cancel(self)

    def _leave(self) -> None:
        self.is_running = False
        processor, user = self._processor, self._user
        power_w, before_j = processor._follow(), user.energy_j
        processor._state.leave(
            user, self._mark, "compute", power_w, "compute" if power_w else "idle"
        )
        self._note(user.energy_j - before_j)
        processor._let_go(self)

    def _note(self, energy_j: float) -> None:
        self.energy_j += energy_j
        self.profile_j += energy_j / self._processor._hungrier


class _Together(Execution):
    """One task for several users, who answer for it in even parts."""

    def __init__(
        self, processor: Processor, users: Sequence[User], task: Task, done: Callable[[], None]
    ) -> None:
        super().__init__(processor, users[0], task, done, None)
        self._users = users

    def settle(self) -> None:
        self._mark = self._processor._state.book_among(self._users, self._mark, "compute")

    def _leave(self) -> None:
        self.settle()  # so that nothing is left for the first of them to pay alone
        super()._leave()


class Processor:
    """One processor of one device.

    A processor without slots gives its time to all its jobs evenly and draws its busy power while
    there is any; one with slots serves that many at full speed, by its load curve, while the others
    wait in line.

    Args:
        clock: the clock.
        meter: the device's meter; the processor is one of its components.
        spec: its costs, as its profile has them.
        governor: who sets its clock.
        bus: the memory that it shares; ``None`` for one of its own.
        slower: what this very device takes, in multiples of its profile's seconds.
        hungrier: what it draws, in multiples of its profile's watts.
        load: the share of it that other tenants use; only for one with slots.

    Attributes:
        capacity: its time: one second per second and slot.
        others: its other tenants, if it has any.
        top: the highest level that heat allows.
        cores: how many of its cores are plugged in.
        stand_in: where its jobs go while it has no cores.
        memory_share: the share of the memory's bandwidth that its jobs use.
    """

    __slots__ = (
        "_apps",
        "_apps_cpu",
        "_bus",
        "_busy_s",
        "_busy_since_s",
        "_clock",
        "_hungrier",
        "_is_busy",
        "_meter",
        "_pace",
        "_power_w",
        "_slower",
        "_state",
        "_traffic_bps",
        "_varies",
        "_wishes",
        "_work_s",
        "capacity",
        "cores",
        "governor",
        "memory_share",
        "others",
        "spec",
        "stand_in",
        "top",
    )

    def __init__(
        self,
        clock: Clock,
        meter: Meter,
        spec: ProcessorSpec,
        governor: Governor = PERFORMANCE,
        bus: MemoryBus | None = None,
        slower: float = 1.0,
        hungrier: float = 1.0,
        load: Signal | None = None,
    ) -> None:
        if load is not None and spec.slots is None:
            raise SimulationError(f"{spec.name} has other tenants, but no slots to share with them")
        self._clock = clock
        self._meter = meter
        self.spec = spec
        self.governor = governor
        self._bus = MemoryBus() if bus is None else bus
        self._bus.processors.append(self)
        self.memory_share = 0.0
        self._work_s: dict[Task, float] = {}
        self._wishes: dict[int, int] = {}  # jobs in service by the level that they ask for
        self._traffic_bps = 0.0  # of all jobs in service
        self._slower = slower
        self._hungrier = hungrier
        self._state = meter.component(spec.name, 0.0, "idle")
        self._apps: PowerState | None = None
        self._apps_cpu = 0.0
        if spec.slots is None:
            self.capacity = SharedCapacity(clock)
        else:
            self.capacity = SharedCapacity(clock, spec.slots, slots=spec.slots, share_limit=1.0)
        self.others: OtherTenants | None = None
        if load is not None:
            self.others = OtherTenants(
                clock, meter, self._state, self.capacity, spec, hungrier, load
            )
        self.top = len(spec.levels) - 1
        self.cores = spec.cores
        self.stand_in: Processor | None = None
        self._is_busy = False
        self._busy_s = 0.0
        self._busy_since_s = 0.0
        # Whether the pace depends on who is there; if not, jobs come and go without a thought.
        self._varies = governor.kind == "controller"
        self._pace = self.pace(1, None, 0.0, 0.0)
        self._power_w: list[float] = []  # by jobs in service
        self._set_power()

    @property
    def busy_s(self) -> float:
        """Seconds with at least one job, up to now."""
        return self._busy_s + (self._clock.now - self._busy_since_s if self._is_busy else 0.0)

    @property
    def frequency_hz(self) -> float:
        """The clock at present; idle, where its governor lets it fall to."""
        level = self._pace.level
        if not self._is_busy and self.governor.kind in ("schedutil", "controller"):
            level = min(self._level_for(self._apps_cpu), self.top)
        return self.spec.levels[level].frequency_hz

    @property
    def place(self) -> Processor:
        """Where its jobs go: here, or to its stand-in while it is unplugged."""
        return self if self.cores or self.stand_in is None else self.stand_in

    # -- jobs -------------------------------------------------------------------------------------

    def run(
        self,
        user: User,
        task: Task | float,
        done: Callable[[], None],
        level: int | None = None,
    ) -> Execution:
        """Carry out a task for ``user``, then call ``done()``.

        Args:
            user: who answers for its joules.
            task: what to do; a number stands for so many seconds of arithmetic at the top level.
            done: called when it has ended.
            level: the level to use while it runs, if the governor is ``controller``.
        """
        if isinstance(task, float | int):
            task = Arithmetic(task)
        place = self.place
        execution = Execution(place, user, task, done, level)
        place._add(execution)
        return execution

    def run_together(
        self, users: Sequence[User], task: Task, done: Callable[[], None]
    ) -> Execution:
        """Carry out one task for several users, who answer for its joules in even parts.

        Args:
            users: they; at least one.
            task: what to do.
            done: called when it has ended.
        """
        execution = _Together(self, users, task, done)
        self._add(execution)
        return execution

    def cancel(self, execution: Execution) -> None:
        """Stop an execution, booking what it has cost so far; its ``done`` is not called."""
        execution._processor.capacity.cancel(execution)
        if execution.is_running:
            execution._leave()

    def settle(self) -> None:
        """Book what every execution has cost up to now; all go on."""
        if self.others is not None:
            self.others.look()
        for job in self.capacity.jobs():
            assert isinstance(job, Execution)
            job.settle()

    def _add(self, execution: Execution, share_left: float = 1.0) -> None:
        """Take up an execution of which so much is left to do."""
        # Most of the time nothing has to be thought about again.
        if self._varies or self._bus.busy or self._pace.stretch != 1.0:
            self._adjust(self.capacity._served + 1, execution)
        if self.others is not None:
            self.others.look()
        execution.rate = 1.0
        execution.alone_s = alone_s = self.work_s(execution.task)
        execution.work = alone_s * share_left
        self.capacity.add(execution)

    def _take_up(self, execution: Execution) -> None:
        """An execution has entered service."""
        if execution.level is not None:
            self._wishes[execution.level] = self._wishes.get(execution.level, 0) + 1
        execution.traffic_bps = self._traffic(execution.task)
        self._traffic_bps += execution.traffic_bps
        self._use_memory()

    def _let_go(self, execution: Execution) -> None:
        """An execution has left service."""
        if execution.level is not None:
            self._wishes[execution.level] -= 1
        self._traffic_bps -= execution.traffic_bps
        if self._varies:
            self.adjust()
        self._use_memory()

    def _move_to(self, other: Processor) -> None:
        """Have all executions go on elsewhere, with what they have done."""
        for job in self.capacity.jobs():
            assert isinstance(job, Execution)
            left = self.capacity.cancel(job)
            job._leave()
            job._processor = other
            other._add(job, left / job.alone_s if job.alone_s else 0.0)

    # -- pace -------------------------------------------------------------------------------------

    def alone_s(self, task: Task, pace: Pace) -> float:
        """Seconds of a task at this pace with all the processor's time."""
        arithmetic_s, memory_s = task.seconds(self.spec, pace.level, pace.cores)
        return (arithmetic_s + memory_s * pace.stretch) * self._slower

    def work_s(self, task: Task) -> float:
        """Seconds of a task at the present pace, with all the processor's time."""
        if isinstance(task, Arithmetic):
            return self.alone_s(task, self._pace)  # made for once, so not remembered
        seconds = self._work_s.get(task)
        if seconds is None:
            seconds = self._work_s[task] = self.alone_s(task, self._pace)
        return seconds

    def _traffic(self, task: Task) -> float:
        """Bytes per second of memory that a task uses at the present level, if nobody disturbs it.

        Undisturbed, so that who disturbs whom does not depend on who came first.
        """
        if not task.traffic_bytes:
            return 0.0
        alone_s = self.work_s(task)
        if self._pace.stretch != 1.0:
            alone_s = self.alone_s(task, self._pace._replace(stretch=1.0))
        return task.traffic_bytes / alone_s if alone_s else 0.0

    def own_w(self, pace: Pace) -> float:
        """Watts above idle for its jobs, all together, at this pace."""
        full_w = self.spec.power_w(pace.level, max(pace.cores, 1)) * self._hungrier
        return full_w * pace.own

    def wish(self, level: int | None) -> int | None:
        """The highest level asked for by the jobs in service and one that asks for ``level``."""
        for wished, jobs in self._wishes.items():
            if jobs and (level is None or wished > level):
                level = wished
        return level

    def pace(self, jobs: int, wish: int | None, apps_cpu: float, apps_memory: float) -> Pace:
        """The pace with so many jobs in service, one of which may wish for a level.

        Args:
            jobs: how many.
            wish: the highest level that any of them asks for; ``None``: none does.
            apps_cpu: share of the time of a CPU that apps ask for, at the top level.
            apps_memory: share of the memory's bandwidth that they use.
        """
        kind, levels = self.governor.kind, self.spec.levels
        if self.spec.kind != "cpu":
            apps_cpu = 0.0
        if kind == "performance":
            level = len(levels) - 1
        elif kind == "powersave":
            level = 0
        elif kind == "fixed":
            level = self.governor.level
        elif jobs and (kind == "schedutil" or wish is None):
            level = len(levels) - 1  # as long as there is a job, all of the time is used
        else:
            level = self._level_for(apps_cpu)
            if jobs and wish is not None:
                level = max(level, wish)
        level = min(level, self.top)
        asked = apps_cpu * levels[-1].frequency_hz / levels[level].frequency_hz
        apps = min(asked, 1.0 / (jobs + 1)) if asked else 0.0
        return Pace(level, self.cores, self._bus.stretch(self, apps_memory), 1.0 - apps, apps)

    def _level_for(self, utilisation: float) -> int:
        """The lowest level that leaves schedutil its headroom."""
        levels = self.spec.levels
        wanted_hz = _HEADROOM * utilisation * levels[-1].frequency_hz
        for index, level in enumerate(levels):
            if level.frequency_hz >= wanted_hz:
                return index
        return len(levels) - 1

    def set_apps(self, cpu: float) -> None:
        """Have apps ask for this share of its time from now on."""
        self._apps_cpu = cpu
        if cpu and self._apps is None:
            self._apps = self._meter.component(self.spec.name, 0.0, "background")
        self._varies = self.governor.kind == "controller" or cpu > 0.0
        self.adjust()

    def limit(self, top: int, cores: int) -> None:
        """Keep to this level and number of cores from now on, for heat."""
        self.top = top
        had_cores = self.cores > 0
        self.cores = min(cores, self.spec.cores)
        if self.cores == 0 and self.stand_in is not None:
            if had_cores:
                self._pace = self._pace._replace(cores=0)
                if self._apps is not None:
                    self._apps.set(0.0, "background")  # what apps had here they go without
                self._move_to(self.stand_in)
            return
        self.cores = max(self.cores, 1)
        self.adjust()

    def adjust(self) -> None:
        """Bring level, shares, paces and watts into line with who is there now."""
        self._adjust(self.capacity._served, None)

    def _adjust(self, jobs: int, coming: Execution | None) -> None:
        if not self.cores:
            return  # unplugged
        if not self._varies:
            jobs = max(jobs, 1)  # the pace stands ready for the next one to come
        wish = self.wish(coming.level if coming is not None else None)
        pace = self.pace(jobs, wish, self._apps_cpu, self._bus.apps)
        if pace == self._pace:
            return
        before, self._pace = self._pace, pace
        if self.spec.slots is None:
            self.capacity.set_capacity(pace.own)
        if pace[:3] != before[:3]:
            self._work_s.clear()
            self._traffic_bps = 0.0
            for job in self.capacity.jobs():
                assert isinstance(job, Execution)
                alone_s = self.work_s(job.task)
                self.capacity.set_rate(job, job.alone_s / alone_s if alone_s else 1.0)
                job.traffic_bps = self._traffic(job.task)
                self._traffic_bps += job.traffic_bps
            if self._is_busy and pace[:2] != before[:2]:
                self._use_memory()
        self._set_power()
        if self._apps is not None:
            full_w = self.spec.power_w(pace.level, max(pace.cores, 1)) * self._hungrier
            self._apps.set(pace.apps * full_w, "background")
        if self._is_busy:
            self._state.set(self._follow(), "compute")

    def _use_memory(self) -> None:
        """Work out how much the jobs in service use of the memory, each for its part of the time."""
        bus, served = self._bus, self.capacity._served
        if served:
            share = min(self._traffic_bps / served / bus.bandwidth_bps, 1.0)
        else:
            share = self._traffic_bps = 0.0  # no residue of rounding may stay behind
        before = self.memory_share
        if share != before:
            self.memory_share = share
            bus.busy += (share > 0.0) - (before > 0.0)
            if bus.busy > (share > 0.0):
                bus.changed(self)

    # -- watts ------------------------------------------------------------------------------------

    def _set_power(self) -> None:
        slots = self.spec.slots
        if slots is None:
            self._power_w = [0.0, self.own_w(self._pace)]
        else:
            watts = [self.spec.load_w(jobs / slots) for jobs in range(slots + 1)]
            self._power_w = [each_w * self._hungrier for each_w in watts]

    def _follow(self) -> float:
        """Watts for the jobs now in service; keeps the books of the time at work."""
        in_service = self.capacity._served
        beside_others_w = 0.0 if self.others is None else self.others.follow(in_service)
        if not in_service:
            if self._is_busy:
                self._is_busy = False
                self._busy_s += self._clock._now - self._busy_since_s
            return 0.0
        if not self._is_busy:
            self._is_busy = True
            self._busy_since_s = self._clock._now
        if self.others is not None:
            return beside_others_w
        return self._power_w[in_service if self.spec.slots is not None else 1]
