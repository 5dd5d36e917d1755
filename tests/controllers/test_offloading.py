import copy
import json
from collections.abc import Callable
from math import inf, nan

import numpy as np
import pytest

from edgesim.controllers.offloading import Cloud, EdgeBest, EdgeCpu, Oracle, Random
from edgesim.controllers.slots import (
    DEVICE,
    Forecast,
    OffloadingObservation,
    OffloadingOutcome,
    Option,
    Setting,
    Target,
)
from edgesim.nn.zoo import ZOO


def option(
    target: str, seconds: float, joules: float, *, accuracy: float = 0.7, kind: str = ""
) -> Option:
    """``device/cpu/fp32`` and what is promised of it; its kind is that of its processor's name."""
    place, processor, precision = target.split("/")
    return Option(
        Target(place, processor, precision),
        kind or processor[:3],
        accuracy,
        seconds,
        joules,
        1e9,
    )


CPU = option("device/cpu/fp32", 0.050, 0.20)
CPU_8 = option("device/cpu/int8", 0.020, 0.08, accuracy=0.6)
GPU = option("device/gpu/fp16", 0.030, 0.05)
DSP = option("device/dsp/int8", 0.010, 0.01, accuracy=0.6)
CLOUD_CPU = option("cloud/cpu/fp32", 0.008, 0.002)
CLOUD_GPU = option("cloud/gpu/fp32", 0.002, 0.001)
CLOUD_GPU_8 = option("cloud/gpu/int8", 0.001, 0.001, accuracy=0.6)

OFFLINE = (CPU, CPU_8, DSP, GPU)
CONNECTED = (*OFFLINE, CLOUD_CPU, CLOUD_GPU, CLOUD_GPU_8)


def seen(
    *options: Option,
    deadline_s: float = inf,
    accuracy_min: float = 0.0,
    what_if: Callable[[Target], Forecast] | None = None,
    elapsed_s: float = 0.0,
) -> OffloadingObservation:
    return OffloadingObservation(
        time_s=1.0,
        job="camera",
        device="pixel",
        profile="mi_8_pro",
        model=ZOO["mobilenet_v1"],
        deadline_s=deadline_s,
        accuracy_min=accuracy_min,
        network="",
        rssi_dbm=nan,
        nearby_rssi_dbm=nan,
        link=None,
        nearby_link=None,
        co_cpu=0.0,
        co_mem=0.0,
        charge=0.5,
        is_plugged=False,
        skin_c=nan,
        options=options,
        is_ready=lambda _: True,
        what_if=what_if,
        elapsed_s=elapsed_s,
    )


def setting(seed: int = 1) -> Setting:
    return Setting("camera", "offloading", np.random.default_rng(seed))


# --- edge_cpu ------------------------------------------------------------------------------------


def test_edge_cpu_takes_the_cpu_in_fp32_whatever_else_there_is() -> None:
    assert EdgeCpu(setting()).decide(seen(*CONNECTED)) == CPU.target
    late = seen(*CONNECTED, deadline_s=1e-3, accuracy_min=0.99)
    assert EdgeCpu(setting()).decide(late) == CPU.target


def test_edge_cpu_takes_the_fastest_of_several_clusters() -> None:
    big = option("device/cpu_big/fp32", 0.02, 0.4)
    assert EdgeCpu(setting()).decide(seen(CPU, big, CPU_8)) == big.target


def test_edge_cpu_takes_the_fastest_precision_if_no_cpu_can_run_fp32() -> None:
    slow = option("device/cpu/fp16", 0.04, 0.01)
    assert EdgeCpu(setting()).decide(seen(slow, CPU_8, GPU, DSP)) == CPU_8.target


def test_edge_cpu_does_not_take_the_cpu_of_another_place() -> None:
    assert EdgeCpu(setting()).decide(seen(CPU, CLOUD_CPU)) == CPU.target


def test_edge_cpu_takes_the_fastest_of_the_rest_if_the_phone_cannot_run_it_on_a_cpu() -> None:
    assert EdgeCpu(setting()).decide(seen(GPU, CLOUD_GPU)) == CLOUD_GPU.target


# --- edge_best -----------------------------------------------------------------------------------


def test_edge_best_takes_the_least_energy_of_the_phones_own_processors() -> None:
    assert EdgeBest(setting()).decide(seen(*CONNECTED)) == DSP.target


def test_edge_best_leaves_out_what_is_not_accurate_enough() -> None:
    assert EdgeBest(setting()).decide(seen(*CONNECTED, accuracy_min=0.65)) == GPU.target


def test_edge_best_leaves_out_what_would_be_late() -> None:
    frugal = option("device/gpu_low/fp16", 0.080, 0.001)
    assert EdgeBest(setting()).decide(seen(frugal, CPU, GPU)) == frugal.target
    assert EdgeBest(setting()).decide(seen(frugal, CPU, GPU, deadline_s=0.05)) == GPU.target


def test_edge_best_counts_what_is_done_at_the_deadline_as_in_time() -> None:
    assert EdgeBest(setting()).decide(seen(CPU, deadline_s=0.05, accuracy_min=0.7)) == CPU.target
    frugal = option("device/gpu_low/fp16", 0.05, 0.001)
    assert EdgeBest(setting()).decide(seen(CPU, frugal, GPU, deadline_s=0.05)) == frugal.target


def test_edge_best_takes_the_fastest_that_is_accurate_enough_if_nothing_is_in_time() -> None:
    late = seen(*CONNECTED, deadline_s=0.001, accuracy_min=0.65)
    assert EdgeBest(setting()).decide(late) == GPU.target


def test_edge_best_takes_the_most_accurate_if_nothing_is_accurate_enough() -> None:
    better = option("device/cpu/fp16", 0.3, 3.0, accuracy=0.8)
    assert EdgeBest(setting()).decide(seen(*OFFLINE, better, accuracy_min=0.9)) == better.target


def test_edge_best_takes_the_faster_of_two_that_need_the_same_energy() -> None:
    slow, fast = option("device/gpu_a/fp16", 0.03, 0.05), option("device/gpu_b/fp16", 0.02, 0.05)
    assert EdgeBest(setting()).decide(seen(slow, fast)) == fast.target


def test_edge_best_goes_elsewhere_only_if_the_phone_itself_cannot_run_the_model() -> None:
    assert EdgeBest(setting()).decide(seen(CLOUD_CPU, CLOUD_GPU)) == CLOUD_GPU.target


# --- cloud ---------------------------------------------------------------------------------------


def test_cloud_takes_the_fastest_processor_elsewhere() -> None:
    assert Cloud(setting()).decide(seen(*CONNECTED)) == CLOUD_GPU_8.target


def test_cloud_takes_the_fastest_that_is_accurate_enough() -> None:
    assert Cloud(setting()).decide(seen(*CONNECTED, accuracy_min=0.65)) == CLOUD_GPU.target


def test_cloud_takes_the_most_accurate_elsewhere_if_nothing_there_is_accurate_enough() -> None:
    local = option("device/cpu/fp32", 0.05, 0.2, accuracy=0.95)
    assert Cloud(setting()).decide(seen(local, *CONNECTED, accuracy_min=0.9)) == CLOUD_GPU.target


def test_cloud_minds_no_deadline() -> None:
    assert Cloud(setting()).decide(seen(DSP, CLOUD_CPU, deadline_s=1e-6)) == CLOUD_CPU.target


def test_cloud_does_what_edge_best_does_without_a_connection() -> None:
    for observation in (
        seen(*OFFLINE),
        seen(*OFFLINE, accuracy_min=0.65),
        seen(*OFFLINE, accuracy_min=0.9),
        seen(*OFFLINE, deadline_s=0.001),
        seen(*OFFLINE, deadline_s=0.035, accuracy_min=0.65),
    ):
        expected = EdgeBest(setting()).decide(observation)
        assert Cloud(setting()).decide(observation) == expected
        assert expected.place == DEVICE


# --- rules that remember -------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [EdgeCpu, EdgeBest, Cloud])
def test_a_rule_used_again_decides_as_a_fresh_one(rule: type[EdgeBest]) -> None:
    used = rule(setting())
    needs = [(inf, 0.0), (0.035, 0.65), (0.001, 0.0), (inf, 0.9), (0.035, 0.0)]
    for options in (OFFLINE, CONNECTED, OFFLINE, (GPU, CLOUD_CPU), CONNECTED):
        for deadline_s, accuracy_min in needs:
            observation = seen(*options, deadline_s=deadline_s, accuracy_min=accuracy_min)
            assert used.decide(observation) == rule(setting()).decide(observation)


def test_a_rule_is_not_misled_by_options_that_come_and_go() -> None:
    rule = EdgeBest(setting())
    for joules in range(200):
        # A tuple that is dropped may leave its identity to the next one.
        options = (option("device/cpu/fp32", 0.1, 100.0), option("device/gpu/fp16", 0.1, joules))
        expected = "cpu" if joules > 100 else "gpu" if joules < 100 else None
        decided = rule.decide(seen(*options)).processor
        assert expected is None or decided == expected


@pytest.mark.parametrize("rule", [EdgeCpu, EdgeBest, Cloud, Oracle])
def test_a_fixed_rule_has_nothing_to_learn_and_nothing_to_remember(rule: type[EdgeBest]) -> None:
    controller = rule(setting())
    assert controller.learns is False
    controller.learn(seen(CPU), CPU.target, OffloadingOutcome("done", 0.1, 0.2, True, 0.7))
    assert controller.state_dict() == {}
    controller.load_state_dict({})


def test_only_the_oracle_is_told_what_would_be() -> None:
    assert [rule.needs_what_if for rule in (EdgeCpu, EdgeBest, Cloud, Random, Oracle)] == [
        False,
        False,
        False,
        False,
        True,
    ]


# --- random --------------------------------------------------------------------------------------


def test_random_takes_every_option_equally_often() -> None:
    controller, observation = Random(setting()), seen(*CONNECTED)
    draws = 7000
    decided = [controller.decide(observation) for _ in range(draws)]
    counts = [decided.count(option.target) for option in CONNECTED]
    assert sum(counts) == draws
    expected = draws / len(CONNECTED)
    chi_square = sum((count - expected) ** 2 / expected for count in counts)
    assert chi_square < 22.46  # 6 degrees of freedom, 99.9 %


def test_random_takes_the_only_option_there_is() -> None:
    assert Random(setting()).decide(seen(CPU)) == CPU.target


def test_random_depends_on_its_own_stream_alone() -> None:
    observation = seen(*CONNECTED)
    one, same, other = Random(setting(1)), Random(setting(1)), Random(setting(2))
    first = [one.decide(observation) for _ in range(50)]
    assert [same.decide(observation) for _ in range(50)] == first
    assert [other.decide(observation) for _ in range(50)] != first


def test_random_goes_on_from_a_state_that_went_through_json() -> None:
    observation = seen(*CONNECTED)
    first = Random(setting(1))
    for _ in range(17):
        first.decide(observation)
    state = json.loads(json.dumps(first.state_dict()))
    expected = [first.decide(observation) for _ in range(50)]
    other = Random(setting(2))
    other.load_state_dict(state)
    assert [other.decide(observation) for _ in range(50)] == expected


def test_a_state_of_random_does_not_change_when_it_goes_on() -> None:
    controller, observation = Random(setting()), seen(*CONNECTED)
    state = controller.state_dict()
    before = copy.deepcopy(state)
    for _ in range(10):
        controller.decide(observation)
    assert state == before


# --- oracle --------------------------------------------------------------------------------------


def forecasts(
    truth: dict[Option, tuple[float, float]],
) -> Callable[[Target], Forecast]:
    by_target = {option.target: Forecast(*outcome) for option, outcome in truth.items()}
    return by_target.__getitem__


def test_the_oracle_takes_the_least_energy_in_time_as_it_will_really_be() -> None:
    truth = {CPU: (0.05, 0.2), GPU: (0.03, 0.1), DSP: (0.2, 0.01), CLOUD_GPU: (0.04, 0.05)}
    oracle = Oracle(setting())
    observation = seen(*truth, deadline_s=0.05, what_if=forecasts(truth))
    assert oracle.decide(observation) == CLOUD_GPU.target
    # Promised the least, but really too late.
    assert oracle.decide(observation._replace(deadline_s=0.2)) == DSP.target


def test_the_oracle_counts_what_is_done_at_the_deadline_as_in_time() -> None:
    truth = {CPU: (0.01, 0.2), GPU: (0.05, 0.1)}
    observation = seen(*truth, deadline_s=0.05, what_if=forecasts(truth))
    assert Oracle(setting()).decide(observation) == GPU.target


def test_the_oracle_takes_what_is_done_first_if_nothing_is_in_time() -> None:
    truth = {CPU: (0.3, 0.2), GPU: (0.2, 0.9), CLOUD_GPU: (inf, inf)}
    observation = seen(*truth, deadline_s=0.05, what_if=forecasts(truth))
    assert Oracle(setting()).decide(observation) == GPU.target


def test_the_oracle_leaves_out_what_is_not_accurate_enough() -> None:
    truth = {CPU: (0.01, 0.2), DSP: (0.01, 0.01)}
    observation = seen(*truth, accuracy_min=0.65, what_if=forecasts(truth))
    assert Oracle(setting()).decide(observation) == CPU.target


def test_the_oracle_asks_about_the_most_accurate_if_nothing_is_accurate_enough() -> None:
    truth = {CPU: (0.01, 0.2), GPU: (0.01, 0.1), DSP: (0.01, 0.01)}
    observation = seen(*truth, accuracy_min=0.9, what_if=forecasts(truth))
    assert Oracle(setting()).decide(observation) == GPU.target


def test_the_oracle_never_takes_what_will_not_end_if_anything_does() -> None:
    truth = {CLOUD_GPU: (inf, 0.0), CPU: (5.0, 9.0)}
    observation = seen(*truth, what_if=forecasts(truth))  # no deadline
    assert Oracle(setting()).decide(observation) == CPU.target


def test_the_oracle_decides_even_if_nothing_will_ever_end() -> None:
    truth = {CLOUD_CPU: (inf, inf), CLOUD_GPU: (inf, inf)}
    observation = seen(*truth, deadline_s=0.05, what_if=forecasts(truth))
    assert Oracle(setting()).decide(observation) in {CLOUD_CPU.target, CLOUD_GPU.target}


def test_the_oracle_takes_the_faster_of_two_that_need_the_same_energy() -> None:
    truth = {CPU: (0.03, 0.1), GPU: (0.02, 0.1)}
    observation = seen(*truth, deadline_s=0.05, what_if=forecasts(truth))
    assert Oracle(setting()).decide(observation) == GPU.target


# --- when a picture has taken its time already -----------------------------------------------------


def test_what_is_left_of_the_deadline_counts() -> None:
    frugal = CPU._replace(compute_energy_j=1e-3)
    slow, fast = frugal, GPU
    assert fast.compute_s < slow.compute_s
    deadline_s = slow.compute_s + 0.5
    chooser = EdgeBest(setting())
    for elapsed_s, best in ((0.0, slow), (0.49, slow), (0.51, fast), (99.0, fast), (0.0, slow)):
        asked = seen(slow, fast, deadline_s=deadline_s, elapsed_s=elapsed_s)
        assert asked.left_s == deadline_s - elapsed_s
        assert chooser.decide(asked) == best.target


def test_a_choice_that_depends_on_what_has_elapsed_is_not_remembered() -> None:
    chooser = EdgeBest(setting())
    for k in range(100):
        chooser.decide(seen(CPU, GPU, deadline_s=1.0, elapsed_s=0.001 * (k + 1)))
    assert len(chooser._choices) == 0


def test_the_oracle_compares_latencies_from_the_arrival() -> None:
    forecasts = {CPU.target: Forecast(1.2, 0.1), GPU.target: Forecast(0.9, 0.5)}
    asked = seen(CPU, GPU, deadline_s=1.0, elapsed_s=0.8, what_if=forecasts.__getitem__)
    assert Oracle(setting()).decide(asked) == GPU.target
