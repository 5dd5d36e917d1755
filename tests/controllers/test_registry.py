import inspect

import numpy as np
import pytest

from edgesim.controllers.registry import (
    CONTROLLERS,
    SLOTS,
    make_controller,
    names_in,
    unknown_controller,
)
from edgesim.controllers.slots import Setting
from edgesim.core.errors import EdgesimError


def setting(slot: str = "offloading") -> Setting:
    return Setting("camera", slot, np.random.default_rng(1))


def test_every_baseline_and_the_bound_are_there() -> None:
    assert set(CONTROLLERS) >= {"edge_cpu", "edge_best", "cloud", "random", "oracle"}


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_can_be_made_and_has_what_its_protocol_asks_for(name: str) -> None:
    entry = CONTROLLERS[name]
    controller = make_controller(name, setting(entry.slot))
    assert isinstance(controller.needs_what_if, bool)
    assert isinstance(controller.learns, bool)
    methods = ("decide", "learn", "state_dict", "load_state_dict")
    for method in ("build",) if entry.slot == "aggregation" else methods:
        assert callable(getattr(controller, method))


@pytest.mark.parametrize("name", CONTROLLERS)
def test_every_controller_says_what_it_does(name: str) -> None:
    entry = CONTROLLERS[name]
    assert entry.slot in SLOTS
    assert 5 < len(entry.summary) < 90
    assert inspect.getdoc(type(make_controller(name, setting(entry.slot))))


def test_making_the_same_controller_twice_gives_two() -> None:
    assert make_controller("cloud", setting()) is not make_controller("cloud", setting())


def test_the_table_of_controllers_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CONTROLLERS["mine"] = CONTROLLERS["cloud"]  # type: ignore[index]


def test_an_unknown_controller_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(EdgesimError) as caught:
        make_controller("edge_bets", setting())
    message = str(caught.value)
    assert "no controller 'edge_bets' for slot 'offloading'" in message
    assert "did you mean 'edge_best'?" in message
    assert all(name in message for name in names_in("offloading"))
    assert "sgd" not in message


def test_a_controller_of_another_slot_is_refused() -> None:
    with pytest.raises(EdgesimError, match=r"'cloud' for slot 'selection'"):
        make_controller("cloud", setting("selection"))


def test_the_message_about_an_unknown_controller_names_those_of_its_slot_only() -> None:
    message = unknown_controller("clod", "offloading")
    assert message.startswith("there is no controller 'clod' for slot 'offloading'")
    assert "cloud" not in unknown_controller("cloud_", "selection").partition(";")[2]
