"""Checks of a finished run that need nothing but its tables: what ``edgesim run --check`` does."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from edgesim.core.errors import SimulationError
from edgesim.core.power import LEDGER_TOLERANCE as TOLERANCE
from edgesim.core.power import NOBODY
from edgesim.results.result import Result

__all__ = ["audit"]


def audit(result: Result) -> Iterator[str]:
    """Check a run's books; yields one line per check that holds.

    Raises:
        SimulationError: at the first check that does not.
    """
    energy, devices = result.energy, result.devices.set_index("device")
    booked = energy.groupby("device").energy_j.sum()
    _agree("energy booked and energy drawn", booked, devices.energy_drawn_j)
    yield f"energy booked equals energy drawn on {len(devices)} devices"

    phones = devices[devices.kind == "phone"].index
    on_phones = energy[energy.device.isin(phones) & (energy.job != NOBODY)]
    jobs = on_phones.groupby(["device", "job"]).energy_j.sum()
    rows = [_of_requests(result)] if "requests" in result.tables else []
    if "participants" in result.tables:
        rows.append(result.participants.groupby(["device", "job"]).energy_j.sum())
    what = "participants" if "participants" in result.tables else "requests"
    what = what if len(rows) == 1 else "requests and participants"
    _agree(f"energy of jobs and of their {what}", jobs, pd.concat(rows))
    yield f"the {what}' joules add up to their jobs' on {len(phones)} phones"

    given = (devices.stored_start_j + devices.energy_charged_j).loc[phones]
    taken = (devices.energy_drawn_j + devices.stored_end_j).loc[phones]
    _agree("what battery and charger gave and what was drawn", given, taken)
    yield f"battery and charger gave what was drawn on {len(phones)} phones"

    charge = devices.loc[phones, ["charge_start", "charge_end"]]
    if not ((charge >= 0) & (charge <= 1)).all(axis=None):
        raise SimulationError("a state of charge has left [0, 1]")
    yield "every state of charge is in [0, 1]"


def _of_requests(result: Result) -> pd.Series[float]:
    """Joules of requests, by the phone that they were booked on."""
    own = result.requests.groupby(["device", "job"]).energy_j.sum()
    hosted = result.requests[result.requests.host_energy_j.notna()]
    host = hosted.target.astype(str).str.split("/").str[0].rename("device")
    guests = hosted.groupby([host, "job"]).host_energy_j.sum()
    return own.add(guests, fill_value=0.0)


def _agree(what: str, one: pd.Series[float], other: pd.Series[float]) -> None:
    """Check that two sums by the same keys are the same; what is missing in one counts as 0."""
    index = one.index.union(other.index)
    first = one.reindex(index, fill_value=0.0)
    second = other.reindex(index, fill_value=0.0)
    agrees = (first - second).abs() <= TOLERANCE * second.abs().clip(lower=1e-3)
    for key, fine, a, b in zip(index, agrees, first, second, strict=True):
        if not fine:
            raise SimulationError(f"{what} differ at {key}: {a!r} and {b!r} J")
