from collections.abc import Mapping
from typing import Any

import pytest

from edgesim.controllers.slots import ControllerError, Slot, Target
from edgesim.core.errors import EdgesimError

Asked = tuple[str, ...]


class Clerk:
    """A controller that keeps a record of what it is asked and told, and raises on request."""

    needs_what_if = False
    learns = True

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.record: list[Asked] = []

    def decide(self, observation: str) -> str:
        self.record.append(("decide", observation))
        if self.failure is not None:
            raise self.failure
        return observation.upper()

    def learn(self, observation: str, decision: str, outcome: str) -> None:
        self.record.append(("learn", observation, decision, outcome))
        if self.failure is not None:
            raise self.failure

    def freeze(self) -> None:
        self.record.append(("freeze",))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def slot(clerk: Clerk) -> Slot[str, str, str]:
    return Slot("offloading", "camera", "mine", clerk)


def test_the_answer_of_a_controller_goes_to_whoever_asked() -> None:
    clerk = Clerk()
    replies: list[str] = []
    slot(clerk).ask("where", replies.append)
    assert replies == ["WHERE"]
    assert clerk.record == [("decide", "where")]


def test_a_controller_is_told_what_came_of_its_decision() -> None:
    clerk = Clerk()
    slot(clerk).learn("where", "there", "done")
    assert clerk.record == [("learn", "where", "there", "done")]


def test_a_slot_says_what_its_controller_needs() -> None:
    clerk = Clerk()
    assert (slot(clerk).needs_what_if, slot(clerk).learns) == (False, True)
    clerk.needs_what_if, clerk.learns = True, False
    assert (slot(clerk).needs_what_if, slot(clerk).learns) == (True, False)


def test_an_exception_in_decide_becomes_an_error_that_names_controller_slot_and_job() -> None:
    cause = KeyError("no such thing")
    replies: list[str] = []
    with pytest.raises(ControllerError) as caught:
        slot(Clerk(cause)).ask("where", replies.append)
    message = str(caught.value)
    assert "controller 'mine' in slot 'offloading' of job 'camera'" in message
    assert "KeyError" in message
    assert "no such thing" in message
    assert caught.value.__cause__ is cause
    assert isinstance(caught.value, EdgesimError)
    assert replies == []


def test_an_exception_in_learn_becomes_an_error_that_says_so() -> None:
    cause = ZeroDivisionError("division by zero")
    with pytest.raises(ControllerError) as caught:
        slot(Clerk(cause)).learn("where", "there", "done")
    message = str(caught.value)
    assert "controller 'mine' in slot 'offloading' of job 'camera'" in message
    assert "ZeroDivisionError in learn(): division by zero" in message
    assert caught.value.__cause__ is cause


def test_an_interruption_inside_a_controller_stays_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt):
        slot(Clerk(KeyboardInterrupt())).ask("where", print)
    with pytest.raises(KeyboardInterrupt):
        slot(Clerk(KeyboardInterrupt())).learn("where", "there", "done")


def test_an_error_of_whoever_asked_is_not_blamed_on_the_controller() -> None:
    def reply(decision: str) -> None:
        raise ValueError(f"cannot go {decision}")

    with pytest.raises(ValueError, match="cannot go WHERE"):
        slot(Clerk()).ask("where", reply)


def test_a_target_is_written_as_place_processor_and_precision() -> None:
    assert str(Target("cloud", "gpu", "fp32")) == "cloud/gpu/fp32"
