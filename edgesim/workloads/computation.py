"""A task on a phone: its model is brought into memory, then it is carried out."""

from __future__ import annotations

from collections.abc import Callable

from edgesim.core.clock import Order
from edgesim.core.power import User
from edgesim.hardware.phone import Phone
from edgesim.hardware.processor import Execution
from edgesim.workloads.menu import Plan

__all__ = ["Computation"]


class Computation:
    """One task on one phone. It is one of the tenants of the phone's memory.

    Args:
        phone: where.
        user: who answers for its joules.
        plan: what is done, and how.
        done: called when it has ended.
        no_memory: called if there is no room for the model, or no more; it has been cancelled then.

    Attributes:
        is_cold: whether it has waited for its model to be loaded.
    """

    __slots__ = (
        "_done",
        "_execution",
        "_is_over",
        "_no_memory",
        "_phone",
        "_plan",
        "_user",
        "is_cold",
        "profile_j",
    )

    def __init__(
        self,
        phone: Phone,
        user: User,
        plan: Plan,
        done: Callable[[], None],
        no_memory: Callable[[], None],
    ) -> None:
        self._phone = phone
        self._user = user
        self._plan = plan
        self._done = done
        self._no_memory = no_memory
        self._execution: Execution | None = None
        self._is_over = False
        self.is_cold = False
        self.profile_j = 0.0

    def start(self) -> None:
        """Begin."""
        plan, memory = self._plan, self._phone.memory
        resident = memory.claim(self, plan.memory_key, plan.resident_bytes)
        if resident is None:
            self.ran_out_of_memory()
        elif resident.is_loaded:
            self._compute()
        elif next(iter(resident.tenants)) is self:
            self.load_model()
        else:
            self.is_cold = True  # somebody else is loading it

    def cancel(self) -> None:
        """Give everything back; nobody is told."""
        self._is_over = True
        if self._execution is not None:
            self._execution.cancel()
            self._execution = None
        self._phone.memory.release(self)

    # -- as a tenant of memory --------------------------------------------------------------------

    def load_model(self) -> None:
        """The model is not in memory: read it from storage, then make it ready."""
        plan, clock = self._plan, self._phone.clock
        self.is_cold = plan.read_s > 0.0
        if plan.read_s:
            clock.call_at(clock._now + plan.read_s, Order.COMPLETION, self._lay_out)
        else:
            self._loaded()

    def model_is_loaded(self) -> None:
        """Somebody else has loaded the model: go on."""
        self._compute()

    def ran_out_of_memory(self) -> None:
        """There is no room for the model, or no more."""
        self.cancel()
        self._no_memory()

    # -- its way ----------------------------------------------------------------------------------

    def _lay_out(self, _: None) -> None:
        if not self._is_over:
            plan, processor = self._plan, self._phone.processor(self._plan.processor)
            self._execution = processor.run(self._user, plan.layout_s, self._loaded, plan.level)

    def _loaded(self) -> None:
        self._note()
        self._phone.memory.loaded(self)
        self._compute()

    def _compute(self) -> None:
        plan, processor = self._plan, self._phone.processor(self._plan.processor)
        self._execution = processor.run(self._user, plan.task, self._finished, plan.level)

    def _note(self) -> None:
        """An execution has ended."""
        if self._execution is not None:
            self.profile_j += self._execution.profile_j

    def _finished(self) -> None:
        self._note()
        self._execution = None
        self._is_over = True
        self._phone.memory.release(self)
        self._done()
