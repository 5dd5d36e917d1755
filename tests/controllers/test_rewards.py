from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.controllers.rewards import RewardParameters, estimated_j, reward
from edgesim.controllers.slots import OffloadingObservation, OffloadingOutcome, Option, Target
from edgesim.network.radio import LinkState
from edgesim.nn.zoo import ZOO

LINK = LinkState(1e7, 2e7, 0.8, 0.5, 0.5)
NEARBY = LinkState(3e7, 4e7, 0.6, 0.4, 0.4)
LOCAL = Option(Target("device", "gpu", "fp16"), "gpu", 0.7, 0.03, 0.05, 1e9)
REMOTE = Option(Target("cloud", "gpu", "fp32"), "gpu", 0.7, 0.002, 0.001, 1e9)
BESIDE = Option(Target("tablet", "dsp", "int8"), "dsp", 0.7, 0.003, 0.001, 1e9, is_nearby=True)
AWAKE_W = 0.1


def seen(deadline_s: float = 0.05, accuracy_min: float = 0.5) -> OffloadingObservation:
    return OffloadingObservation(
        0.0, "camera", "pixel", "pixel_5", ZOO["mobilenet_v1"], deadline_s, accuracy_min, "home",
        -60.0, -60.0, LINK, NEARBY, 0.0, 0.0, 1.0, False, nan, (LOCAL, REMOTE, BESIDE),
        lambda _: True, None,
    )  # fmt: skip


def done(
    latency_s: float = 0.04, accuracy: float = 0.7, energy_j: float = 0.06
) -> OffloadingOutcome:
    return OffloadingOutcome(
        "done", latency_s, energy_j, latency_s <= 0.05, accuracy, compute_j=0.02
    )


FAILED = OffloadingOutcome("failed:connection_lost", nan, 0.1, False, nan)


def worth(outcome: OffloadingOutcome, *, deadline_s: float = 0.05, **parameters: object) -> float:
    chosen = RewardParameters.model_validate(parameters)
    return reward(chosen, AWAKE_W, seen(deadline_s), LOCAL, outcome)


def test_on_the_phone_the_estimator_counts_busy_joules_and_being_awake() -> None:
    assert estimated_j(AWAKE_W, seen(), LOCAL, done()) == pytest.approx(0.02 + 0.1 * 0.04)


@pytest.mark.parametrize(("option", "link"), [(REMOTE, LINK), (BESIDE, NEARBY)])
def test_elsewhere_it_counts_sending_receiving_and_waiting(option: Option, link: LinkState) -> None:
    outcome = OffloadingOutcome("done", 0.05, 9.0, True, 0.7, send_s=0.02, receive_s=0.01)
    expected = link.send_w * 0.02 + link.receive_w * 0.01 + AWAKE_W * 0.02
    assert estimated_j(AWAKE_W, seen(), option, outcome) == pytest.approx(expected)


def test_the_reward_as_recalled() -> None:
    in_time = worth(done(), reward="recalled")
    assert in_time == pytest.approx(-24 + 0.1 * 40 + 0.1 * 70)
    late = worth(done(0.06), reward="recalled")
    assert late == pytest.approx(-(20 + 0.1 * 60) + 0.1 * 70)
    assert worth(done(accuracy=0.4), reward="recalled") == pytest.approx(40 - 100)
    assert worth(FAILED, reward="recalled") == -100


def test_the_reward_with_penalties() -> None:
    assert worth(done()) == pytest.approx(-24 + 7)
    assert worth(done(0.06)) == pytest.approx(-2000 * 1.2)
    assert worth(done(60.0)) == -20_000
    assert worth(done(accuracy=0.4)) == pytest.approx(-30_000 + 100 * 40)
    assert worth(FAILED) == -30_000


def test_energy_may_be_that_of_the_meter() -> None:
    assert worth(done(), energy="metered") == pytest.approx(-60 + 7)


def test_without_a_deadline_nothing_is_late() -> None:
    assert worth(done(1000.0), deadline_s=inf) == pytest.approx(-(20 + 0.1 * 1e6) + 7)


@given(
    st.floats(1e-4, 0.05), st.floats(0.0, 1.9), st.floats(0.0501, 100.0), st.floats(0.5, 1.0),
    st.floats(0.0, 0.49),
)  # fmt: skip
def test_in_time_comes_before_late_and_late_before_inaccurate(
    soon_s: float, energy_j: float, late_s: float, accuracy: float, poor: float
) -> None:
    in_time = OffloadingOutcome("done", soon_s, energy_j, True, accuracy)
    late = OffloadingOutcome("done", late_s, 0.0, False, accuracy)
    inaccurate = OffloadingOutcome("done", soon_s, 0.0, True, poor)
    order = [worth(each, energy="metered") for each in (in_time, late, inaccurate, FAILED)]
    assert order[0] > order[1] > order[2] >= order[3]
