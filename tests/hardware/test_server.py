from collections.abc import Sequence
from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.core.clock import Clock
from edgesim.core.errors import SimulationError
from edgesim.hardware.server import Server
from edgesim.hardware.specs import ServerSpec
from edgesim.nn.cost import Level, ProcessorSpec

CHECK = settings(derandomize=True, deadline=None, max_examples=60)


def make(pue: float = 1.5, slots: int = 2) -> tuple[Clock, Server]:
    """A server that idles at 100 W with a GPU of 80 W and a CPU of 60 W."""
    clock = Clock()
    processors = {
        name: ProcessorSpec(name, name, (Level(1e9, watts),), slots=slots)
        for name, watts in (("gpu", 80.0), ("cpu", 60.0))
    }
    return clock, Server(clock, "cloud", ServerSpec("test_server", pue, 100.0, processors))


def rows(
    bookings: Sequence[tuple[str, str, str, float]],
) -> dict[tuple[str, str, str], float]:
    assert len({row[:3] for row in bookings}) == len(bookings)
    return {(component, activity, job): joules for component, activity, job, joules in bookings}


def test_an_idle_server_draws_its_idle_power_and_the_buildings() -> None:
    clock, server = make()
    clock.run_until(10)
    end = server.end()
    assert end.energy_drawn_j == server.drawn_j == 1500.0
    assert rows(end.bookings) == {
        ("base", "idle", "none"): 1000.0,
        ("facility", "overhead", "none"): 500.0,
    }
    assert (end.device, end.profile) == ("cloud", "test_server")
    assert end.busy_s == {"gpu": 0.0, "cpu": 0.0}
    assert isnan(end.charge_start)
    assert isnan(end.charge_end)


def test_slots_serve_side_by_side_and_the_rest_wait_in_line() -> None:
    clock, server = make()
    camera = server.tenant("camera")
    ends: list[tuple[int, float]] = []
    for i, work_s in enumerate((4.0, 1.0, 2.0, 3.0)):
        server.processors["gpu"].run(camera, work_s, lambda i=i: ends.append((i, clock.now)))
    clock.run_until(0.5)
    assert server.meter.power_w == 180.0
    clock.run_until(20)
    assert ends == [(1, 1.0), (2, 3.0), (0, 4.0), (3, 6.0)]
    end = server.end()
    assert end.busy_s == {"gpu": 6.0, "cpu": 0.0}
    assert camera.energy_j == 40.0 * 10
    assert rows(end.bookings)["gpu", "compute", "camera"] == 400.0


def test_the_buildings_part_is_owned_by_whoever_owns_the_joules_below_it() -> None:
    clock, server = make(pue=1.25)
    server.processors["gpu"].run(server.tenant("a"), 3.0, lambda: None)
    server.processors["cpu"].run(server.tenant("a"), 1.0, lambda: None)
    server.processors["gpu"].run(server.tenant("b"), 2.0, lambda: None)
    clock.run_until(10)
    end = server.end()
    assert rows(end.bookings) == {
        ("base", "idle", "none"): 1000.0,
        ("gpu", "compute", "a"): 120.0,
        ("cpu", "compute", "a"): 30.0,
        ("gpu", "compute", "b"): 80.0,
        ("facility", "overhead", "a"): 37.5,
        ("facility", "overhead", "b"): 20.0,
        ("facility", "overhead", "none"): 250.0,
    }
    assert end.energy_drawn_j == 1230.0 * 1.25


def test_a_server_without_a_building_has_no_overhead() -> None:
    clock, server = make(pue=1.0)
    clock.run_until(10)
    assert rows(server.end().bookings) == {("base", "idle", "none"): 1000.0}


def test_a_job_has_one_account_however_many_requests_it_sends() -> None:
    _, server = make()
    assert server.tenant("camera") is server.tenant("camera")
    assert server.tenant("camera") is not server.tenant("voice")
    assert server.tenant("voice").job == "voice"


def test_what_is_still_being_served_at_the_end_is_booked_up_to_then() -> None:
    clock, server = make()
    ends: list[float] = []
    server.processors["gpu"].run(server.tenant("a"), 10.0, lambda: ends.append(clock.now))
    server.processors["gpu"].run(server.tenant("a"), 10.0, lambda: ends.append(clock.now))
    server.processors["gpu"].run(server.tenant("b"), 10.0, lambda: ends.append(clock.now))
    clock.run_until(4)
    end = server.end()
    assert rows(end.bookings)["gpu", "compute", "a"] == 320.0
    assert ("gpu", "compute", "b") not in rows(end.bookings)
    assert sum(row[3] for row in end.bookings) == pytest.approx(end.energy_drawn_j)
    clock.run_until(30)  # nothing was disturbed
    assert ends == [10.0, 10.0, 20.0]
    assert rows(server.end().bookings)["gpu", "compute", "b"] == 400.0


def test_a_joule_lost_on_a_server_is_found() -> None:
    clock, server = make()
    state = server.meter.component("ghost", 1.0, "haunt")
    state.join()
    clock.run_until(1)
    with pytest.raises(SimulationError, match="cloud"):
        server.end()


@given(
    script=st.lists(
        st.tuples(
            st.integers(0, 50),
            st.sampled_from(["cpu", "gpu"]),
            st.integers(0, 60),
            st.sampled_from(["a", "b", "none"]),
        ),
        max_size=25,
    ),
    pue=st.sampled_from([1.0, 1.1, 1.58]),
    slots=st.integers(1, 3),
)
@CHECK
def test_the_bookings_add_up_to_what_was_drawn(
    script: list[tuple[int, str, int, str]], pue: float, slots: int
) -> None:
    clock, server = make(pue, slots)
    for gap, processor, work, job in script:
        clock.run_until(clock.now + gap * 0.0713)
        server.processors[processor].run(server.tenant(job), work / 7, lambda: None)
    clock.run_until(clock.now + 5)
    for time_s in (clock.now, clock.now + 1000):
        clock.run_until(time_s)
        end = server.end()
        assert sum(row[3] for row in end.bookings) == pytest.approx(end.energy_drawn_j, rel=1e-9)
        by_job = dict.fromkeys(("a", "b", "none"), 0.0)
        for component, _, job, joules in end.bookings:
            by_job[job] += 0.0 if component == "facility" else joules
        for job, joules in by_job.items():
            overhead = rows(end.bookings).get(("facility", "overhead", job), 0.0)
            assert overhead == pytest.approx((pue - 1) * joules)
    # In the end every request has been served, at full speed on its slot.
    for processor, watts in (("gpu", 80.0), ("cpu", 60.0)):
        for job in ("a", "b"):
            work_s = sum(w / 7 for _, p, w, j in script if (p, j) == (processor, job))
            joules = rows(end.bookings).get((processor, "compute", job), 0.0)
            assert joules == pytest.approx(watts / slots * work_s)
