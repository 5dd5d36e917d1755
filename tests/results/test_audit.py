from collections.abc import Callable

import pandas as pd
import pyarrow as pa
import pytest

from edgesim.core.errors import SimulationError
from edgesim.results.audit import audit
from edgesim.results.result import Result
from edgesim.scenario.run import run


@pytest.fixture(scope="module")
def honest() -> Result:
    return run(
        "quickstart",
        controllers={"offloading": "random"},
        overrides={"duration_s": 60, "phones.moto_x_force.charge": 0.0},
    )


def tampered(result: Result, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Result:
    tables = {table: result.arrow(table) for table in result.tables}
    frame = change(result.table(name))
    tables[name] = pa.Table.from_pandas(frame, schema=tables[name].schema, preserve_index=False)
    return Result(result.manifest, result.summary, tables, None)


def scaled(column: str, row: int, factor: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.index[row], column] *= factor
        return frame

    return change


def test_an_honest_run_passes_every_check(honest: Result) -> None:
    assert list(audit(honest)) == [
        "energy booked equals energy drawn on 4 devices",
        "the requests' joules add up to their jobs' on 3 phones",
        "battery and charger gave what was drawn on 3 phones",
        "every state of charge is in [0, 1]",
    ]


def test_a_table_put_back_unchanged_passes_too(honest: Result) -> None:
    for name in honest.tables:
        assert len(list(audit(tampered(honest, name, lambda frame: frame)))) == 4


@pytest.mark.parametrize("factor", [1 + 1e-6, 1 - 1e-6, 2.0])
def test_energy_drawn_that_was_not_booked_is_caught(honest: Result, factor: float) -> None:
    row = honest.devices.energy_drawn_j.to_numpy().argmax()
    bad = tampered(honest, "devices", scaled("energy_drawn_j", row, factor))
    with pytest.raises(SimulationError, match="energy booked and energy drawn differ at"):
        list(audit(bad))


def test_a_booking_that_is_missing_is_caught(honest: Result) -> None:
    largest = honest.energy.energy_j.idxmax()
    bad = tampered(honest, "energy", lambda frame: frame.drop(index=largest))
    with pytest.raises(SimulationError, match="energy booked and energy drawn differ at"):
        list(audit(bad))


def test_every_booking_of_a_device_missing_is_caught(honest: Result) -> None:
    bad = tampered(honest, "energy", lambda frame: frame[frame.device != "mi_8_pro"])
    with pytest.raises(SimulationError, match="differ at mi_8_pro"):
        list(audit(bad))


def test_a_booking_of_a_device_that_is_not_there_is_caught(honest: Result) -> None:
    stray = {"device": "ghost", "component": "wifi", "activity": "idle", "job": "none"}

    def add(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame, pd.DataFrame([{**stray, "energy_j": 5.0}])], ignore_index=True)

    with pytest.raises(SimulationError, match="ghost"):
        list(audit(tampered(honest, "energy", add)))


def test_a_request_that_claims_too_little_is_caught(honest: Result) -> None:
    row = honest.requests.energy_j.to_numpy().argmax()
    bad = tampered(honest, "requests", scaled("energy_j", row, 1 - 1e-6))
    with pytest.raises(SimulationError, match="energy of jobs and of their requests differ"):
        list(audit(bad))


def test_requests_that_claim_joules_of_a_job_that_has_none_are_caught(honest: Result) -> None:
    def claim(frame: pd.DataFrame) -> pd.DataFrame:
        # A phone that was off all along: nothing was booked to its requests' jobs.
        frame.loc[frame.device == "moto_x_force", "energy_j"] = 1.0
        return frame

    assert (honest.requests.device == "moto_x_force").any()
    with pytest.raises(SimulationError, match="energy of jobs and of their requests differ"):
        list(audit(tampered(honest, "requests", claim)))


def test_joules_moved_from_one_job_to_another_are_caught(honest: Result) -> None:
    def move(frame: pd.DataFrame) -> pd.DataFrame:
        mine = frame.job == "camera"
        frame.loc[mine, "job"] = "assistant"
        return frame

    with pytest.raises(SimulationError, match="energy of jobs and of their requests differ"):
        list(audit(tampered(honest, "energy", move)))


@pytest.mark.parametrize(
    ("column", "value"), [("charge_end", -0.01), ("charge_start", 1.01), ("charge_end", None)]
)
def test_a_charge_outside_its_range_or_missing_is_caught(
    honest: Result, column: str, value: float | None
) -> None:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame.device == "mi_8_pro", column] = value
        return frame

    with pytest.raises(SimulationError, match="state of charge"):
        list(audit(tampered(honest, "devices", change)))


def test_joules_that_are_no_number_are_caught(honest: Result) -> None:
    for name, column in (("energy", "energy_j"), ("devices", "energy_drawn_j")):
        bad = tampered(honest, name, scaled(column, 0, float("nan")))
        with pytest.raises(SimulationError):
            list(audit(bad))
