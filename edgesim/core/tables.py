"""The tables of a run: every column, its type and its unit. This is the contract with notebooks.

A table is sorted by its key when the run ends, so that row i is the same request whatever
controller was at work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["TABLES", "TableSpec"]


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table's columns.

    Attributes:
        name: the file is ``NAME.parquet``.
        row: what one row stands for.
        columns: type of each: ``text``, ``real`` (float64), ``whole`` (int64) or ``truth`` (bool);
            any may be null.
        key: the columns it is sorted by.
    """

    name: str
    row: str
    columns: Mapping[str, str]
    key: tuple[str, ...]


_ALL = (
    TableSpec(
        "requests",
        "a request that arrived",
        {
            "job": "text",
            "device": "text",
            "time_s": "real",  # of arrival
            "model": "text",
            "target": "text",  # place/processor/precision; null if none was chosen
            "status": "text",  # done, failed:REASON, unfinished
            "latency_s": "real",  # arrival to result; null unless done
            "energy_j": "real",  # booked to it on the phone, its picture included
            "host_energy_j": "real",  # and on another phone that ran it; null if none did
            "deadline_s": "real",  # null for none
            "deadline_met": "truth",  # null without a deadline, or if the run ended before it
            "accuracy": "real",  # of the model in that precision; null unless done
            "accuracy_min": "real",  # required; null for no requirement
            "attempts": "whole",  # times that it was begun; null if no target was chosen
            "network": "text",  # conditions at arrival: the network that served; null for none
            "rssi_dbm": "real",  # its signal
            "nearby_rssi_dbm": "real",  # that of the strongest phone nearby; null for none
            "co_cpu": "real",
            "co_mem": "real",
            "skin_c": "real",  # null if the profile knows nothing of heat
            "cold_start": "truth",  # whether it waited for its model to be loaded; null elsewhere
            # Null without a picture taken first: from arrival until it was there (null if it never was),
            # and joules of camera and CPU for it, those of the camera's being kept open apart.
            "capture_s": "real",
            "capture_energy_j": "real",
            "phase": "text",  # warmup, training, evaluation
            # With check.oracle, else null: what the oracle would have chosen, foreseen of that and of
            # the target that was chosen; no number where it would never have ended.
            "oracle_target": "text",
            "oracle_latency_s": "real",
            "oracle_energy_j": "real",
            "forecast_latency_s": "real",
            "forecast_energy_j": "real",
        },
        ("time_s", "job", "device"),
    ),
    TableSpec(
        "forecasts",
        "a target that a request could have run on",
        {
            "time_s": "real",
            "job": "text",
            "device": "text",
            "target": "text",
            "accuracy": "real",
            "latency_s": "real",  # no number where it would never have ended
            "energy_j": "real",
        },
        ("time_s", "job", "device", "target"),
    ),
    TableSpec(
        "decisions",
        "a decision",
        {
            "time_s": "real",
            "job": "text",
            "slot": "text",
            "controller": "text",
            "subject": "text",  # the device it is about
            "decision": "text",
            "reward": "real",  # null where the controller has none
            "explored": "truth",
            "phase": "text",
        },
        ("time_s", "job", "slot", "subject"),
    ),
    TableSpec(
        "rounds",
        "a federated round",
        {
            "job": "text",
            "round": "whole",  # from 1 on
            "start_s": "real",  # selection
            "duration_s": "real",  # to aggregation
            "status": "text",  # done, failed (no update came, or none was of use), unfinished
            "eligible": "whole",  # clients that could have been chosen
            "clients_per_round": "whole",  # K; the cohort is smaller where fewer are eligible
            "cohort_size": "whole",
            "completed": "whole",  # updates that count
            "dropped": "whole",  # all others
            "batch_size": "whole",
            "epochs": "whole",
            "whole_batch": "whole",  # clients with fewer samples than their batch size
            "deadline_s": "real",  # null for none
            "accuracy": "real",  # of the new model; null if it was not judged
            "loss": "real",
            "energy_local_j": "real",  # participants, by AutoFL's equations
            "energy_global_j": "real",  # and everybody else's idle energy meanwhile
            "energy_ledger_j": "real",  # booked to the participants, tails included
            "energy_wasted_j": "real",  # of that, of those whose update does not count
            "uplink_bytes": "real",
            # How far labels are from those of all (total variation distance, 0 to 1), of updates that
            # count: mean over clients, and of all of them together; null without labels.
            "client_skew": "real",
            "cohort_skew": "real",
        },
        ("job", "round"),
    ),
    TableSpec(
        "participants",
        "a client in a round",
        {
            "job": "text",
            "round": "whole",
            "device": "text",
            "client": "whole",
            "profile": "text",
            "target": "text",  # processor, and level if it was chosen
            "status": "text",  # done, partial, late, surplus, failed:REASON, unfinished
            "samples": "whole",
            "batch_size": "whole",
            "epochs": "whole",
            "steps": "whole",  # of an update that counts
            "staleness": "whole",  # versions since it began; null in rounds
            "start_s": "real",
            "collect_s": "real",  # null if it had nothing to collect, or did not come to that
            "download_s": "real",  # null if it did not come to that
            "training_s": "real",
            "upload_s": "real",
            "collect_energy_j": "real",  # booked on its phone; the camera's tail belongs to it
            "download_j": "real",  # likewise; the radio's tail belongs to its transfer
            "training_j": "real",
            "upload_j": "real",
            "energy_j": "real",  # the sum
            "loss": "real",  # mean over its batches, each before its step
            "initial_loss": "real",  # of the received model on its samples; null if nobody asked
            "switched": "truth",  # it jittered pictures or averaged weights
            "averaged": "truth",  # its update is the mean of its weights; null unless it counts
            "rssi_dbm": "real",  # when its download began
            "co_cpu": "real",
        },
        ("job", "round", "client"),
    ),
    TableSpec(
        "evaluations",
        "a model judged on a group of test samples",
        {
            "job": "text",
            "round": "whole",  # 0 for the first model
            "group": "text",  # all, class NAME, device PROFILE
            "accuracy": "real",
            "loss": "real",
            "samples": "whole",
        },
        ("job", "round", "group"),
    ),
    TableSpec(
        "states",
        "a change of a recorded quantity",
        {"time_s": "real", "device": "text", "quantity": "text", "value": "real"},
        ("time_s", "device", "quantity"),
    ),
    TableSpec(
        "energy",
        "a device, component, activity and job",
        {
            "device": "text",
            "component": "text",
            "activity": "text",
            "job": "text",
            "energy_j": "real",
        },
        ("device", "component", "activity", "job"),
    ),
    TableSpec(
        "devices",
        "a device",
        {
            "device": "text",
            "kind": "text",  # phone, server
            "profile": "text",
            "charge_start": "real",  # 0-1; null for a server
            "charge_end": "real",
            "energy_drawn_j": "real",
            "energy_charged_j": "real",  # from here on null for a server
            "stored_start_j": "real",
            "stored_end_j": "real",
            "peak_die_c": "real",  # null if the profile knows nothing of heat
            "peak_skin_c": "real",
            "throttled_s": "real",
            "off_s": "real",
            # and busy_PROCESSOR_s for every processor that some device has
        },
        ("device",),
    ),
)

TABLES: Mapping[str, TableSpec] = MappingProxyType({spec.name: spec for spec in _ALL})
"""Every table, by name."""
