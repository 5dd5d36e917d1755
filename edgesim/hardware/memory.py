"""A phone's memory: which models are in it, who runs them, and what has to go.

A model is loaded once per processor and precision, holds its memory until that is needed for
something else, and must be loaded again after that (a cold start). What nobody is running goes
first, the least recently used before the others. If that is not enough, a model that does not fit
is an out-of-memory failure of the job that wanted it; and when apps take up so much that even the
models at work do not fit, the jobs that came last are killed, as Android's low-memory killer would.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Memory", "Resident", "Tenant"]

Key = tuple[str, str, str]
"""Model, processor, precision."""


class Tenant(Protocol):
    """Whoever runs a model."""

    def load_model(self) -> None:
        """Load the model that it has claimed; then tell :meth:`Memory.loaded`."""

    def model_is_loaded(self) -> None:
        """Somebody else has loaded it."""

    def ran_out_of_memory(self) -> None:
        """There is no room for it any more: give everything back and record the failure."""


class Resident:
    """A model in memory.

    Args:
        key: which.
        size_bytes: what it holds.
        is_loaded: whether it can be run.

    Attributes:
        tenants: who runs it or waits for it, in the order of coming; until it is loaded, the first
            of them loads it.
    """

    __slots__ = ("is_loaded", "key", "size_bytes", "tenants")

    def __init__(self, key: Key, size_bytes: float, is_loaded: bool = False) -> None:
        self.key = key
        self.size_bytes = size_bytes
        self.is_loaded = is_loaded
        self.tenants: dict[Tenant, None] = {}


class Memory:
    """What is free for models and apps.

    Args:
        size_bytes: how much there is.

    Attributes:
        loads: how many times a model had to be loaded so far.
    """

    __slots__ = ("_apps_bytes", "_order", "_residents", "_size_bytes", "_used_bytes", "loads")

    def __init__(self, size_bytes: float) -> None:
        self._size_bytes = size_bytes
        self._apps_bytes = 0.0
        self._used_bytes = 0.0
        self._residents: dict[Key, Resident] = {}  # least recently used first
        self._order: dict[Tenant, Resident] = {}  # in the order of coming
        self.loads = 0

    @property
    def free_bytes(self) -> float:
        """What nobody holds."""
        return self._size_bytes - self._apps_bytes - self._used_bytes

    def is_ready(self, key: Key) -> bool:
        """Whether a model is in memory and loaded."""
        resident = self._residents.get(key)
        return resident is not None and resident.is_loaded

    def put(self, key: Key, size_bytes: float) -> None:
        """Have a model there that was loaded before the run began, if there is room without evicting."""
        if key not in self._residents and size_bytes <= self.free_bytes:
            self._residents[key] = Resident(key, size_bytes, is_loaded=True)
            self._used_bytes += size_bytes

    def has_room(self, size_bytes: float) -> bool:
        """Whether a model of this size could be loaded, others being evicted if need be."""
        idle_bytes = sum(
            resident.size_bytes for resident in self._residents.values() if not resident.tenants
        )
        return size_bytes <= self.free_bytes + idle_bytes

    def claim(self, tenant: Tenant, key: Key, size_bytes: float) -> Resident | None:
        """Have a model in memory for ``tenant``, who must :meth:`release` it.

        Returns:
            The model; ``None`` if there is no room for it. If it is not loaded, the first of its
            tenants is to do that, and the others wait until they are told.
        """
        residents = self._residents
        resident = residents.pop(key, None)
        if resident is None:
            if not self._make_room(size_bytes):
                return None
            resident = Resident(key, size_bytes)
            self._used_bytes += size_bytes
            self.loads += 1
        residents[key] = resident  # the most recently used is the last
        resident.tenants[tenant] = None
        self._order[tenant] = resident
        return resident

    def loaded(self, tenant: Tenant) -> None:
        """``tenant`` has loaded its model: those who wait for it may go on."""
        resident = self._order[tenant]
        resident.is_loaded = True
        for other in list(resident.tenants):
            if other is not tenant:
                other.model_is_loaded()

    def release(self, tenant: Tenant) -> None:
        """``tenant`` runs it no more. If it was still loading it, the next one begins again."""
        resident = self._order.pop(tenant, None)
        if resident is None:
            return
        was_first = next(iter(resident.tenants)) is tenant
        del resident.tenants[tenant]
        if resident.is_loaded:
            return
        if not resident.tenants:
            self._evict(resident)
        elif was_first:
            next(iter(resident.tenants)).load_model()

    def set_apps(self, held_bytes: float) -> None:
        """Have apps hold so much from now on: models go, and jobs are killed, if they must."""
        self._apps_bytes = held_bytes
        self._make_room(0.0)
        while self.free_bytes < 0.0 and self._order:
            youngest = next(reversed(self._order))
            youngest.ran_out_of_memory()
            self.release(youngest)
            self._make_room(0.0)

    def clear(self) -> None:
        """Forget everything: the phone has gone off."""
        self._residents.clear()
        self._order.clear()
        self._used_bytes = 0.0

    def _make_room(self, size_bytes: float) -> bool:
        """Evict until so much is free; if it cannot be, evict nothing for a model's sake."""
        if size_bytes and not self.has_room(size_bytes):
            return False
        for resident in list(self._residents.values()):
            if self.free_bytes >= size_bytes:
                break
            if not resident.tenants:
                self._evict(resident)
        return self.free_bytes >= size_bytes

    def _evict(self, resident: Resident) -> None:
        del self._residents[resident.key]
        # No residue of rounding may stay behind when the last one leaves.
        self._used_bytes = self._used_bytes - resident.size_bytes if self._residents else 0.0
