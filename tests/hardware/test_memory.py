from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.hardware.memory import Key, Memory

CHECK = settings(derandomize=True, deadline=None, max_examples=200)


def key(name: str) -> Key:
    return (name, "cpu", "fp32")


@dataclass(eq=False)
class Runner:
    """Someone who runs a model, and what it was told."""

    name: str = ""
    told: list[str] = field(default_factory=list)

    def load_model(self) -> None:
        self.told.append("load")

    def model_is_loaded(self) -> None:
        self.told.append("loaded")

    def ran_out_of_memory(self) -> None:
        self.told.append("out of memory")


def use(memory: Memory, name: str, size: float) -> bool:
    """Load and run a model once; whether it had to be loaded."""
    runner = Runner()
    resident = memory.claim(runner, key(name), size)
    assert resident is not None
    was_cold = not resident.is_loaded
    if was_cold:
        memory.loaded(runner)
    memory.release(runner)
    return was_cold


def test_a_model_stays_until_its_memory_is_needed() -> None:
    memory = Memory(100)
    assert use(memory, "a", 40)
    assert not use(memory, "a", 40)
    assert use(memory, "b", 40)
    assert (memory.free_bytes, memory.loads) == (20, 2)
    assert not use(memory, "a", 40)
    assert memory.is_ready(key("a"))


def test_the_least_recently_used_goes_first() -> None:
    memory = Memory(100)
    for name in "abc":
        use(memory, name, 30)
    use(memory, "a", 30)  # b is now the oldest
    assert use(memory, "d", 30)
    assert [memory.is_ready(key(name)) for name in "abcd"] == [True, False, True, True]
    assert use(memory, "b", 30)  # a cold start, at the expense of c
    assert [memory.is_ready(key(name)) for name in "abcd"] == [True, True, False, True]
    assert memory.loads == 5


def test_no_more_is_evicted_than_is_needed() -> None:
    memory = Memory(100)
    for name, size in (("a", 10), ("b", 50), ("c", 40)):
        use(memory, name, size)
    use(memory, "d", 60)  # a and b suffice
    assert [memory.is_ready(key(name)) for name in "abcd"] == [False, False, True, True]
    assert memory.free_bytes == 0


def test_models_of_other_processors_and_precisions_are_others() -> None:
    memory = Memory(100)
    runner = Runner()
    for other in (("a", "cpu", "fp32"), ("a", "gpu", "fp32"), ("a", "cpu", "int8")):
        assert not memory.is_ready(other)
        memory.claim(runner, other, 10)
        memory.loaded(runner)
        memory.release(runner)
    assert memory.loads == 3
    assert memory.free_bytes == 70


def test_what_is_in_use_is_never_evicted_and_out_of_memory_evicts_nothing() -> None:
    memory = Memory(100)
    ann, bob = Runner(), Runner()
    memory.claim(ann, key("a"), 40)
    memory.loaded(ann)
    use(memory, "b", 40)
    assert not memory.has_room(61)
    assert memory.claim(bob, key("c"), 61) is None  # a is at work, and b alone is not enough
    assert memory.is_ready(key("b"))
    assert (memory.free_bytes, memory.loads) == (20, 2)
    memory.release(bob)  # who has nothing gives nothing back
    assert memory.has_room(60)
    assert memory.claim(bob, key("c"), 60) is not None
    assert memory.is_ready(key("a"))
    assert not memory.is_ready(key("b"))
    assert ann.told == []


def test_whoever_comes_while_a_model_is_loading_waits_for_it() -> None:
    memory = Memory(100)
    ann, bob, eve = Runner(), Runner(), Runner()
    residents = [memory.claim(runner, key("a"), 40) for runner in (ann, bob, eve)]
    assert residents[0] is residents[1] is residents[2]
    assert residents[0] is not None
    assert list(residents[0].tenants) == [ann, bob, eve]
    assert (memory.loads, memory.free_bytes) == (1, 60)
    assert not memory.is_ready(key("a"))
    memory.release(eve)
    memory.loaded(ann)
    assert (ann.told, bob.told, eve.told) == ([], ["loaded"], [])
    assert memory.is_ready(key("a"))


def test_a_loader_that_leaves_hands_over_to_the_next() -> None:
    memory = Memory(100)
    ann, bob, eve = Runner(), Runner(), Runner()
    for runner in (ann, bob, eve):
        memory.claim(runner, key("a"), 40)
    memory.release(ann)
    assert (bob.told, eve.told) == (["load"], [])
    memory.loaded(bob)
    assert (bob.told, eve.told) == (["load"], ["loaded"])
    memory.release(bob)
    memory.release(eve)
    assert memory.is_ready(key("a"))


def test_half_a_model_is_no_model() -> None:
    memory = Memory(100)
    ann = Runner()
    memory.claim(ann, key("a"), 40)
    memory.release(ann)
    assert not memory.is_ready(key("a"))
    assert memory.free_bytes == 100
    assert use(memory, "a", 40)


def test_apps_take_what_is_free_then_what_is_idle_then_what_came_last() -> None:
    memory = Memory(100)
    ann, bob, eve = Runner(), Runner(), Runner()
    use(memory, "idle", 10)
    for runner, name in ((ann, "a"), (bob, "b"), (eve, "a")):
        memory.claim(runner, key(name), 30)
    memory.loaded(ann)
    memory.loaded(bob)
    assert eve.told == ["loaded"]
    memory.set_apps(30)
    assert memory.is_ready(key("idle"))
    memory.set_apps(31)
    assert not memory.is_ready(key("idle"))
    memory.set_apps(41)
    # Eve came last, but her model is at work for Ann, too; Bob's goes next.
    assert (ann.told, bob.told, eve.told[1:]) == ([], ["out of memory"], ["out of memory"])
    assert memory.is_ready(key("a"))
    assert memory.free_bytes == 29
    memory.set_apps(0)
    assert memory.free_bytes == 70


def test_apps_may_take_more_than_there_is() -> None:
    memory = Memory(100)
    ann = Runner()
    memory.claim(ann, key("a"), 40)
    memory.set_apps(500)
    assert ann.told == ["out of memory"]
    assert not memory.has_room(1)
    assert memory.claim(Runner(), key("a"), 40) is None
    memory.set_apps(10)
    assert memory.free_bytes == 90


def test_what_was_there_before_the_start_needs_no_loading_and_evicts_nothing() -> None:
    memory = Memory(100)
    for name, size in (("a", 60), ("b", 50), ("c", 40), ("a", 60)):
        memory.put(key(name), size)
    assert [memory.is_ready(key(name)) for name in "abc"] == [True, False, True]
    assert (memory.free_bytes, memory.loads) == (0, 0)
    assert not use(memory, "a", 60)


def test_a_phone_that_went_off_has_nothing_in_memory() -> None:
    memory = Memory(100)
    use(memory, "a", 60)
    memory.clear()
    assert memory.free_bytes == 100
    assert not memory.is_ready(key("a"))
    assert use(memory, "a", 60)


STEPS = st.tuples(
    st.sampled_from(["claim", "claim", "claim", "loaded", "release", "apps"]), st.integers(0, 11)
)


@given(script=st.lists(STEPS, max_size=60))
@CHECK
def test_the_books_of_the_memory_are_those_of_a_naive_list(script: list[tuple[str, int]]) -> None:
    sizes = {name: 7.0 + 11.0 * k for k, name in enumerate("abcdef")}
    memory = Memory(100)
    order: list[str] = []  # least recently used first
    holders: dict[str, list[Runner]] = {}
    tenants: dict[Runner, str] = {}  # in the order of coming
    ready: set[str] = set()
    apps = 0.0

    def used() -> float:
        return sum(sizes[name] for name in order)

    def drop(runner: Runner) -> None:
        name = tenants.pop(runner)
        holders[name].remove(runner)
        if not holders[name] and name not in ready:
            order.remove(name)

    def evict(wanted: float) -> None:
        for name in list(order):
            if 100 - apps - used() >= wanted:
                break
            if not holders[name]:
                order.remove(name)
                ready.discard(name)

    for what, number in script:
        if what == "claim":
            name = "abcdef"[number % 6]
            runner = Runner(name)
            resident = memory.claim(runner, key(name), sizes[name])
            if name not in order:
                idle = sum(sizes[other] for other in order if not holders[other])
                fits = sizes[name] <= 100 - apps - used() + idle
                assert (resident is not None) == fits
                if not fits:
                    continue
                evict(sizes[name])
                holders[name] = []
            else:
                order.remove(name)
            order.append(name)
            holders[name].append(runner)
            tenants[runner] = name
            assert resident is not None
            assert list(resident.tenants) == holders[name]
        elif what == "apps":
            apps = number * 12.0
            memory.set_apps(apps)
            evict(0.0)
            while 100 - apps - used() < 0 and tenants:
                youngest = list(tenants)[-1]
                assert youngest.told[-1:] == ["out of memory"]
                drop(youngest)
                evict(0.0)
        elif tenants:
            runner = list(tenants)[number % len(tenants)]
            name = tenants[runner]
            if what == "loaded":
                if name not in ready and holders[name][0] is runner:
                    memory.loaded(runner)
                    ready.add(name)
            else:
                memory.release(runner)
                drop(runner)
        assert memory.free_bytes == pytest.approx(100 - apps - used(), abs=1e-9)
        assert memory.free_bytes >= 0 or not order
        for name in "abcdef":
            assert memory.is_ready(key(name)) == (name in ready)
    for runner in list(tenants):
        memory.release(runner)
        drop(runner)
    memory.set_apps(0)
    assert memory.free_bytes == pytest.approx(100 - used())
