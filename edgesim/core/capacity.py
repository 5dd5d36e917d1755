"""Capacity shared among jobs: the one primitive behind processors, access points and servers.

A :class:`SharedCapacity` divides what it has among the jobs in service in proportion to their
weights (weighted processor sharing). Its capacity may change at any moment (DVFS, throttling,
interference), and so may the rate at which one job turns its share into work (signal strength).
With ``slots``, only so many jobs are in service at once and the others wait in line, first come
first served; one slot is an ordinary FIFO queue.

The state is kept in *virtual time*: V grows by (capacity / total weight) per second, so a job of
work w, weight g and rate r that starts at V ends when V has grown by w / (g r), whoever else comes
and goes. An arrival or a departure costs O(log n), a change of capacity O(1), and one wake-up is
pending however many jobs there are. (Virtual time: Demers, Keshav, Shenker, "Analysis and
simulation of a fair queueing algorithm", SIGCOMM'89; processor sharing: Kleinrock 1967.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Any

from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.errors import SimulationError

__all__ = ["Job", "SharedCapacity"]


_WAITING, _SERVED, _PAUSED, _ENDED, _GONE = range(5)


class Job:
    """Work for a :class:`SharedCapacity`. Derive from it what the work is for.

    Attributes:
        work: what was left when its account was last brought up to date, in the job's own unit
            (seconds, bits); ask :meth:`SharedCapacity.remaining` for the present. At least 0; every
            job sets it before it is added.
        weight: its claim on the capacity relative to the other jobs', positive.
        rate: units of work done per unit of capacity received, at least 0; 0 pauses the job, and
            its share goes to the others.
    """

    # Defaults live on the class: most jobs never change them, and there are many jobs.
    work: float
    weight: float = 1.0
    rate: float = 1.0
    _state: int = _WAITING
    _end_v: float = inf
    _sequence: int = 0

    def started(self) -> None:
        """It has entered service: at once, or when a slot became free."""

    def finished(self) -> None:
        """Its work is done; it is out of service already."""


class _Callback(Job):
    """A job that calls functions."""

    def __init__(
        self,
        work: float,
        weight: float,
        rate: float,
        done: Callable[[Any], None],
        payload: Any,
        started: Callable[[Any], None] | None,
    ) -> None:
        self.work = work
        self.weight = weight
        self.rate = rate
        self._done = done
        self._payload = payload
        self._started = started

    def started(self) -> None:
        if self._started is not None:
            self._started(self._payload)

    def finished(self) -> None:
        self._done(self._payload)


class SharedCapacity:
    """Capacity divided among jobs in proportion to their weights.

    Args:
        clock: the clock it runs on.
        capacity: units of capacity per second, at least 0.
        slots: how many jobs are in service at once; ``None`` for no limit.
        share_limit: the most capacity per second that one unit of weight can use, however idle the
            rest; for instance a thread's share of a machine.

    Raises:
        SimulationError: for a negative capacity, no slots, or a limit that is not positive.
    """

    __slots__ = (
        "_capacity",
        "_clock",
        "_heap",
        "_limit",
        "_paused",
        "_sequence",
        "_served",
        "_slots",
        "_speed",
        "_timer",
        "_updated_s",
        "_v",
        "_waiting",
        "_weight",
    )

    def __init__(
        self,
        clock: Clock,
        capacity: float = 1.0,
        *,
        slots: int | None = None,
        share_limit: float = inf,
    ) -> None:
        if not capacity >= 0 or capacity == inf:
            raise SimulationError(f"a capacity of {capacity!r}: it must be finite and at least 0")
        if slots is not None and slots < 1:
            raise SimulationError(f"{slots!r} slots: at least one job must be servable")
        if not share_limit > 0:
            raise SimulationError(f"a share limit of {share_limit!r}: it must be positive")
        self._clock = clock
        self._capacity = capacity
        self._slots = slots
        self._limit = share_limit
        # The jobs served, by their end in V; entries go stale when a job leaves or changes its rate.
        self._heap: list[tuple[float, int, Job]] = []
        self._waiting: deque[Job] | None = None  # made when somebody first has to wait
        self._served = 0  # jobs in service with a positive rate
        self._paused = 0  # jobs in service with rate 0: they keep their slot
        self._weight = 0.0  # of the jobs served
        self._v = 0.0
        self._speed = 0.0  # dV/dt
        self._updated_s = clock.now
        self._sequence = 0
        self._timer = Timer(clock, Order.COMPLETION, self._wake)

    # -- what it is doing -------------------------------------------------------------------------

    @property
    def capacity(self) -> float:
        """Units of capacity per second."""
        return self._capacity

    @property
    def in_service(self) -> int:
        """Jobs that are being worked on."""
        return self._served

    @property
    def waiting(self) -> int:
        """Jobs in line for a slot."""
        return len(self._waiting or ())

    @property
    def total_weight(self) -> float:
        """The weights of the jobs in service, added up."""
        return self._weight

    def jobs(self) -> list[Job]:
        """The jobs in service, in the order in which they came."""
        live = {id(job): job for end_v, _, job in self._heap if job._end_v == end_v}
        return sorted(live.values(), key=lambda job: job._sequence)

    def line(self) -> list[Job]:
        """The jobs in line for a slot, in the order in which they came."""
        return list(self._waiting or ())

    def capacity_for(self, weight: float = 1.0) -> float:
        """Capacity per second that one more job of this weight would get at this moment."""
        return min(self._capacity * weight / (self._weight + weight), self._limit * weight)

    def remaining(self, job: Job) -> float:
        """Work that ``job`` has still to do, in its own unit."""
        if job._state == _SERVED:
            return max(job._end_v - self._now_v(), 0.0) * job.weight * job.rate
        return job.work if job._state in (_WAITING, _PAUSED) else 0.0

    def backlog_s(self) -> float:
        """When a job submitted now would enter service, in seconds from now, if nothing else came.

        With free slots this is 0. Otherwise the line is played forward at the present capacity,
        exactly: O(n log n) in the jobs present. Infinite if the jobs in service never end.
        """
        if self._slots is None or self._served + self._paused < self._slots:
            return 0.0
        v, weight, wait_s = self._now_v(), self._weight, 0.0
        ends = [(job._end_v, job.weight) for job in self.jobs()]
        heapify(ends)
        line = iter(self._waiting or ())
        while ends:
            end_v, leaving = heappop(ends)
            speed = min(self._capacity / weight, self._limit)
            if not speed:
                return inf
            wait_s += (end_v - v) / speed
            v = end_v
            weight = weight - leaving if ends else 0.0
            following = next(line, None)
            if following is None:
                return wait_s
            if following.work and not following.rate:
                continue  # paused: it takes the slot for good, and no share
            weight += following.weight
            heappush(ends, (v + _need_v(following), following.weight))
        return inf

    # -- changes ----------------------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Start a new job, or put it in line; its ``finished()`` is called when it has ended.

        Raises:
            SimulationError: if its work, weight or rate is out of range.
        """
        if not (0.0 <= job.work < inf and 0.0 < job.weight < inf and 0.0 <= job.rate < inf):
            raise SimulationError(
                f"a job of work {job.work!r}, weight {job.weight!r} and rate {job.rate!r}"
            )
        self._sequence = job._sequence = self._sequence + 1
        slots = self._slots
        if slots is not None and self._served + self._paused >= slots:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(job)
            return
        now_s = self._clock._now
        if self._served or not job.rate:
            if now_s != self._updated_s:
                self._v += (now_s - self._updated_s) * self._speed
                self._updated_s = now_s
            self._enter(job)
            job.started()
            self._reschedule()
            return
        # The same for a job that finds nobody else in service, without the detours.
        weight = job.weight
        job._state = _SERVED
        job._end_v = end_v = job.work / (weight * job.rate)
        self._served = 1
        self._weight = weight
        self._v = 0.0
        self._updated_s = now_s
        self._heap = [(end_v, job._sequence, job)]
        speed = self._capacity / weight
        self._speed = speed = speed if speed < self._limit else self._limit
        job.started()
        if speed:
            self._timer.set(now_s + end_v / speed)
        else:
            self._timer.set(inf if end_v else now_s)

    def submit(
        self,
        work: float,
        done: Callable[[Any], None],
        payload: Any = None,
        *,
        weight: float = 1.0,
        rate: float = 1.0,
        started: Callable[[Any], None] | None = None,
    ) -> Job:
        """Like :meth:`add`, for a job that calls ``done(payload)`` when it has ended.

        Args:
            work: as for :class:`Job`.
            done: called with the payload when it has ended.
            payload: anything.
            weight: as for :class:`Job`.
            rate: as for :class:`Job`.
            started: called with the payload when the job enters service.
        """
        job = _Callback(work, weight, rate, done, payload, started)
        self.add(job)
        return job

    def cancel(self, job: Job) -> float:
        """Take ``job`` out; its ``done`` is not called. Returns the work left undone (0 if ended)."""
        self._advance()
        left = self.remaining(job)
        if job._state == _WAITING:
            assert self._waiting is not None
            self._waiting.remove(job)
            job._state = _GONE
        elif job._state == _ENDED:
            job._state = _GONE
        elif job._state != _GONE:
            self._release(job)
            self._admit()
            self._reschedule()
        return left

    def set_capacity(self, capacity: float) -> None:
        """Have ``capacity`` units per second from now on; work done so far is kept."""
        if not 0 <= capacity < inf:
            raise SimulationError(f"a capacity of {capacity!r}: it must be finite and at least 0")
        self._advance()
        self._capacity = capacity
        self._reschedule()

    def set_rate(self, job: Job, rate: float) -> None:
        """Let ``job`` do ``rate`` units of work per unit of capacity from now on; 0 pauses it."""
        if not 0 <= rate < inf:
            raise SimulationError(f"a rate of {rate!r}: it must be finite and at least 0")
        if job._state in (_ENDED, _GONE) or rate == job.rate:
            return
        if job._state == _WAITING:
            job.rate = rate
            return
        self._advance()
        job.work = self.remaining(job)
        self._release(job)
        job.rate = rate
        self._enter(job)
        self._reschedule()

    # -- inside -----------------------------------------------------------------------------------

    def _now_v(self) -> float:
        return self._v + (self._clock._now - self._updated_s) * self._speed

    def _advance(self) -> None:
        now_s = self._clock._now
        if now_s != self._updated_s:
            self._v += (now_s - self._updated_s) * self._speed
            self._updated_s = now_s

    def _enter(self, job: Job) -> None:
        """Put a job into service; V is up to date."""
        if not job.rate and job.work:
            job._state = _PAUSED
            self._paused += 1
            return
        if not self._served:
            self._v = 0.0  # idle: nobody's end depends on V, so keep it small and exact
            self._heap.clear()
        job._state = _SERVED
        self._served += 1
        self._weight += job.weight
        job._end_v = end_v = self._v + _need_v(job)
        heappush(self._heap, (end_v, job._sequence, job))

    def _release(self, job: Job) -> None:
        """Take a job out of service; its entry in the heap goes stale."""
        if job._state == _SERVED:
            self._served -= 1
            # No residue of rounding may stay behind when the last job leaves.
            self._weight = self._weight - job.weight if self._served else 0.0
        else:
            self._paused -= 1
        job._state = _GONE
        job._end_v = inf  # so that its entry in the heap matches no more

    def _admit(self) -> None:
        while self._waiting and (self._slots is None or self._served + self._paused < self._slots):
            job = self._waiting.popleft()
            self._enter(job)
            job.started()

    def _reschedule(self) -> None:
        """Set the pace and the wake-up for the jobs now in service."""
        heap = self._heap
        while heap:
            end_v, _, job = heap[0]
            if job._end_v == end_v:
                break
            heappop(heap)  # stale: the job was cancelled or has a new rate
        else:
            self._speed = 0.0
            self._timer.stop()
            return
        speed = self._capacity / self._weight
        if speed > self._limit:
            speed = self._limit
        self._speed = speed
        ahead_v = end_v - self._v
        if ahead_v <= 0.0:
            self._timer.set(self._clock._now)
        else:
            self._timer.set(self._clock._now + ahead_v / speed if speed else inf)

    def _wake(self) -> None:
        heap = self._heap
        self._updated_s = self._clock._now
        # The timer was set for the job on top: V is its end, whatever rounding says.
        end_v, _, job = heappop(heap)
        if end_v > self._v:
            self._v = end_v
        job.work = 0.0
        if not (heap or self._waiting):
            job._state = _GONE
            job._end_v = inf
            self._served = 0
            self._weight = self._speed = 0.0
            job.finished()
            return
        self._release(job)
        if heap and heap[0][0] <= self._v:
            self._end_together(job)
            return
        self._admit()
        self._reschedule()
        job.finished()

    def _end_together(self, job: Job) -> None:
        """End ``job`` and all others that are due with it, in the order in which they came."""
        heap, ended = self._heap, [job]
        while heap and heap[0][0] <= self._v:
            end_v, _, job = heappop(heap)
            if job._end_v == end_v:
                self._release(job)
                ended.append(job)
        for job in ended:
            job.work = 0.0
            job._state = _ENDED
        self._admit()
        self._reschedule()
        for job in ended:
            if job._state == _ENDED:  # else the end of another one has cancelled it
                job._state = _GONE
                job.finished()


def _need_v(job: Job) -> float:
    """By how much V must grow until ``job`` is done; it has a rate or nothing to do."""
    return job.work / (job.weight * job.rate) if job.work else 0.0
