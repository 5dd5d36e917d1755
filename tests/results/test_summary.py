from typing import Any

import pyarrow as pa
import pytest

from edgesim.core.tables import TABLES
from edgesim.results.summary import inference_summary

TYPES = {"text": pa.string(), "real": pa.float64(), "whole": pa.int64(), "truth": pa.bool_()}

KEYS = [
    "requests",
    "requests_failed",
    "requests_unfinished",
    "energy_per_request_j",
    "offloaded_ratio",
    "latency_p50_s",
    "latency_p99_s",
    "deadline_violation_ratio",
    "accuracy_violation_ratio",
]


def request(**values: Any) -> dict[str, Any]:
    """A request that was done in time with nothing required, unless said otherwise."""
    row = dict.fromkeys(TABLES["requests"].columns)
    row |= {"job": "camera", "device": "pixel", "time_s": 0.0, "status": "done"}
    row |= {"latency_s": 0.1, "energy_j": 1.0, "accuracy": 0.7, "phase": "evaluation"}
    return row | values


def failed(**values: Any) -> dict[str, Any]:
    return request(status="failed:battery_empty", latency_s=None, accuracy=None) | values


def summary(*rows: dict[str, Any], jobs: tuple[str, ...] = ()) -> dict[str, Any]:
    columns = TABLES["requests"].columns
    table = pa.table(
        {name: pa.array([row[name] for row in rows], TYPES[kind]) for name, kind in columns.items()}
    )
    return inference_summary(table, jobs or sorted({row["job"] for row in rows}))


def test_a_run_without_requests_has_every_key_and_no_ratio() -> None:
    assert summary() == {
        "requests": 0,
        "requests_failed": 0,
        "requests_unfinished": 0,
        "energy_per_request_j": None,
        "offloaded_ratio": None,
        "latency_p50_s": None,
        "latency_p99_s": None,
        "deadline_violation_ratio": None,
        "accuracy_violation_ratio": None,
    }


def test_energy_is_shared_among_all_requests_failed_ones_too() -> None:
    found = summary(request(energy_j=1.0), request(energy_j=2.0), failed(energy_j=6.0))
    assert found["requests"] == 3
    assert found["requests_failed"] == 1
    assert found["energy_per_request_j"] == 3.0


def test_a_request_that_is_unfinished_has_not_failed() -> None:
    found = summary(request(), request(status="unfinished", latency_s=None, accuracy=None))
    assert (found["requests"], found["requests_failed"]) == (2, 0)
    assert found["requests_unfinished"] == 1


def test_the_share_that_ran_elsewhere_is_of_those_that_had_a_target() -> None:
    targets = ["device/gpu/fp16", "cloud/gpu/fp32", "cloud/cpu/fp32", None]
    found = summary(*(request(target=target) for target in targets))
    assert found["offloaded_ratio"] == pytest.approx(2 / 3)


def test_a_job_without_requests_has_its_keys_too() -> None:
    found = summary(request(job="camera"), jobs=("camera", "silent"))
    assert found["silent.requests"] == 0
    assert found["silent.latency_p50_s"] is None


def test_every_reason_to_fail_counts() -> None:
    found = summary(failed(), failed(status="failed:no_target"), request())
    assert found["requests_failed"] == 2


def test_latencies_are_those_of_requests_that_are_done() -> None:
    rows = [request(latency_s=0.001 * i) for i in range(1, 102)]
    found = summary(*rows, failed(), failed())
    assert found["latency_p50_s"] == pytest.approx(0.051)
    assert found["latency_p99_s"] == pytest.approx(0.100)


def test_latencies_are_null_if_no_request_is_done() -> None:
    found = summary(failed())
    assert found["latency_p50_s"] is None
    assert found["latency_p99_s"] is None


def test_late_is_counted_among_requests_with_a_deadline_whose_fate_is_known() -> None:
    found = summary(
        request(deadline_s=0.2, deadline_met=True),
        request(deadline_s=0.05, deadline_met=False),
        failed(deadline_s=0.2, deadline_met=False),
        request(deadline_s=0.2, deadline_met=True),
        request(deadline_s=0.2, deadline_met=None),  # the run ended before its deadline
        request(),
    )
    assert found["deadline_violation_ratio"] == 0.5


def test_inaccurate_is_counted_among_requests_that_are_done_and_require_something() -> None:
    found = summary(
        request(accuracy=0.7, accuracy_min=0.7),
        request(accuracy=0.69, accuracy_min=0.7),
        request(accuracy=0.8, accuracy_min=0.7),
        failed(accuracy_min=0.7),
        request(accuracy=0.1),
    )
    assert found["accuracy_violation_ratio"] == pytest.approx(1 / 3)


def test_ratios_are_zero_if_nothing_was_amiss_and_one_if_everything_was() -> None:
    good = request(deadline_s=1.0, deadline_met=True, accuracy_min=0.5)
    bad = request(deadline_s=1.0, deadline_met=False, accuracy_min=0.9)
    assert summary(good)["deadline_violation_ratio"] == 0.0
    assert summary(good)["accuracy_violation_ratio"] == 0.0
    assert summary(bad)["deadline_violation_ratio"] == 1.0
    assert summary(bad)["accuracy_violation_ratio"] == 1.0


def test_requests_of_a_training_phase_are_left_out() -> None:
    found = summary(request(), failed(phase="training", energy_j=100.0, deadline_met=False))
    assert found["requests"] == 1
    assert found["requests_failed"] == 0
    assert found["energy_per_request_j"] == 1.0
    assert found["deadline_violation_ratio"] is None


def test_one_job_needs_no_prefix() -> None:
    assert list(summary(request(), request())) == KEYS


def test_several_jobs_have_every_number_each_and_together() -> None:
    found = summary(
        request(job="tags", energy_j=4.0),
        request(job="camera", energy_j=1.0),
        failed(job="camera", energy_j=1.0, deadline_met=False),
    )
    assert list(found) == [
        *KEYS,
        *(f"camera.{key}" for key in KEYS),
        *(f"tags.{key}" for key in KEYS),
    ]
    assert found["energy_per_request_j"] == 2.0
    assert found["camera.energy_per_request_j"] == 1.0
    assert found["tags.energy_per_request_j"] == 4.0
    assert (found["camera.requests_failed"], found["tags.requests_failed"]) == (1, 0)
    assert found["camera.deadline_violation_ratio"] == 1.0
    assert found["tags.deadline_violation_ratio"] is None


def test_every_number_is_plain_python() -> None:
    row = request(deadline_met=True, deadline_s=1.0, accuracy_min=0.5, target="device/gpu/fp16")
    found = summary(row, failed())
    assert {type(value) for value in found.values()} <= {int, float}
