"""Other tenants of a server: they use a share of a processor, whoever of ours is there.

Their share rho is a signal of the world, so no controller can move it. Of a processor with s slots,
s (1 - rho) are left to our jobs, each of which runs at full speed at most. Both together draw what
the load curve says at their common utilisation, and each side answers for its part of that. Theirs
is nobody's: activity ``tenants``.

While a job of ours is served, each change of rho is an event. Otherwise nothing hangs on it but
joules, and those are worked out, change by change, when somebody looks next.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgesim.core.capacity import SharedCapacity
from edgesim.core.clock import Clock, Order, Timer
from edgesim.core.power import Meter, PowerState
from edgesim.core.signals import Signal
from edgesim.nn.cost import ProcessorSpec

__all__ = ["OtherTenants"]


class OtherTenants:
    """Those who use a share of one processor; made by its :class:`Processor`.

    Args:
        clock: the clock.
        meter: of the processor and nothing else: what happened while nobody looked is settled
            later, and what has gone on elsewhere meanwhile must not be counted with it.
        compute: the power state of our jobs there.
        capacity: its time.
        spec: its costs; it has slots.
        hungrier: what it draws, in multiples of its profile's watts.
        load: their share, in [0, 1).
    """

    __slots__ = (
        "_capacity",
        "_clock",
        "_compute",
        "_hungrier",
        "_load",
        "_own_w",
        "_rho",
        "_served",
        "_slots",
        "_spec",
        "_state",
        "_timer",
        "_until_s",
    )

    def __init__(
        self,
        clock: Clock,
        meter: Meter,
        compute: PowerState,
        capacity: SharedCapacity,
        spec: ProcessorSpec,
        hungrier: float,
        load: Signal,
    ) -> None:
        assert spec.slots is not None
        self._clock = clock
        self._compute = compute
        self._capacity = capacity
        self._spec = spec
        self._slots = spec.slots
        self._hungrier = hungrier
        self._load = load
        self._state = meter.component(spec.name, 0.0, "tenants")
        self._timer = Timer(clock, Order.WEATHER, self._change)
        self._served = 0  # jobs of ours in service
        self._rho = 0.0
        self._own_w = 0.0  # our part of the watts
        self._until_s = clock.now  # when rho changes next
        self.look()

    def segments(self, start_s: float, end_s: float) -> Iterator[tuple[float, float, float]]:
        """Their share to come: as :meth:`Signal.segments`; not about the past."""
        return self._load.segments(start_s, end_s)

    def look(self) -> None:
        """Bring their joules, and what they leave to us, up to the present."""
        if not self._served and self._until_s <= self._clock._now:
            self._live()
            self._capacity.set_capacity(self._slots * (1.0 - self._rho))

    def follow(self, served: int) -> float:
        """So many jobs of ours are in service from now on: the watts that they answer for.

        :meth:`look` has been called in this moment if there was none before.
        """
        self._served = served
        self._apportion()
        if served:
            self._timer.set(self._until_s)
        else:
            self._timer.stop()
        return self._own_w

    def _change(self) -> None:
        """Their share changes while we are there."""
        self._live()
        self._capacity.set_capacity(self._slots * (1.0 - self._rho))
        self._compute.set(self._own_w, "compute")
        self._timer.set(self._until_s)

    def _live(self) -> None:
        """Live through the changes up to the present."""
        clock, load = self._clock, self._load
        now_s, time_s = clock._now, self._until_s
        while time_s <= now_s:
            clock.revisit(time_s, now_s)
            _, end_s, self._rho = load.segment(time_s)
            self._apportion()
            load.forget(time_s)
            time_s = end_s
        clock.revisit(now_s, now_s)
        self._until_s = time_s

    def _apportion(self) -> None:
        """Draw what theirs and ours come to, each for its part of the utilisation."""
        slots, rho = self._slots, self._rho
        own = min(self._served, slots * (1.0 - rho)) / slots
        if not own + rho:
            self._own_w = 0.0
            self._state.set(0.0, "tenants")
            return
        power_w = self._spec.load_w(min(own + rho, 1.0)) * self._hungrier
        self._own_w = power_w * own / (own + rho)
        self._state.set(power_w - self._own_w, "tenants")
