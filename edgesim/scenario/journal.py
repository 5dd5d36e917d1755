"""The journal of a federated job: what real training gave, so that a run that was cut short can go on.

Whatever needs no training is simulated again, which is cheap and gives the same; what training gave is
read back. Every line of ``JOB.jsonl`` is what came of one call: numbers alone. Weights are kept only
as far as needed to train on from the last line: the newest states of the server, and the versions that
clients under way began with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgesim.core.errors import EdgesimError
from edgesim.core.recorder import write_atomically

__all__ = ["Journal", "origin_of", "remember_origin"]

_STATES_KEPT = 2


ORIGIN = "origin.json"


def remember_origin(folder: Path, loaded: Any) -> None:
    """Note in a run folder's journal where its scenario is, for :func:`edgesim.resume`.

    Args:
        folder: of the run.
        loaded: the scenario.
    """
    journal = folder / "journal"
    journal.mkdir(parents=True, exist_ok=True)
    origin = {"scenario_file": str(loaded.path.resolve())}
    write_atomically(journal / ORIGIN, json.dumps(origin, indent=2) + "\n")


def origin_of(folder: Path) -> Path:
    """Where the scenario of a run is.

    Raises:
        EdgesimError: if the run folder does not say.
    """
    file = folder / "journal" / ORIGIN
    try:
        return Path(json.loads(file.read_text(encoding="utf-8"))["scenario_file"])
    except (OSError, ValueError, KeyError, TypeError):
        raise EdgesimError(
            f"{folder} cannot be resumed: it has no journal; only runs with federated jobs keep one. "
            "Run the scenario again"
        ) from None


class Journal:
    """What came of the calls of one job, in order.

    Args:
        folder: where it is kept; ``None`` keeps nothing.
        job: the job's name.

    Raises:
        EdgesimError: if it is damaged, but for a last line that was cut short.
    """

    def __init__(self, folder: Path | None, job: str) -> None:
        self._folder = folder
        self._job = job
        self._entries: list[dict[str, Any]] = []
        self._read = 0
        self._written = 0
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{job}.jsonl"
        if self._file.exists():
            self._entries = self._recover()
            self._written = len(self._entries)

    @property
    def is_replaying(self) -> bool:
        """Whether there is an entry that has not been read back."""
        return self._read < len(self._entries)

    @property
    def length(self) -> int:
        """How many entries there are."""
        return self._written

    def peek(self) -> dict[str, Any]:
        """The next entry to read back, which stays the next one."""
        return self._entries[self._read]

    def next(self) -> dict[str, Any]:
        """The next entry to read back."""
        self._read += 1
        return self._entries[self._read - 1]

    def append(self, entry: dict[str, Any], state: Any) -> None:
        """Write down what came of a call, and the server's state after it.

        The state is there before the entry is: whatever ends the process, the last entry has one.
        """
        self._written += 1
        if self._folder is None:
            return
        self._save(self._state_file(self._written), state)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._state_file(self._written - _STATES_KEPT).unlink(missing_ok=True)

    def state(self) -> Any:
        """The server's state after the last entry.

        Raises:
            EdgesimError: if it is not there, or damaged.
        """
        return self._load(self._state_file(self._written))

    def keep_version(self, version: int, weights: Any) -> None:
        """Keep the weights of a version."""
        if self._folder is not None:
            self._save(self._version_file(version), weights)

    def version(self, version: int) -> Any:
        """The weights of a version that was kept.

        Raises:
            EdgesimError: if they are not there, or damaged.
        """
        return self._load(self._version_file(version))

    def forget_versions(self, needed: Iterable[int]) -> None:
        """Remove the weights of all versions but these."""
        if self._folder is None:
            return
        keep = {self._version_file(version) for version in needed}
        for file in self._folder.glob(f"{self._job}.version-*.pt"):
            if file not in keep:
                file.unlink()

    # -- inside -----------------------------------------------------------------------------------

    def _recover(self) -> list[dict[str, Any]]:
        text = self._file.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        try:
            entries = [json.loads(line) for line in whole.splitlines()]
        except ValueError as error:
            raise EdgesimError(f"{self._file}: damaged: {error}") from None
        if len(whole) < len(text):  # the process was killed while it wrote
            unfinished = self._file.with_suffix(".unfinished")
            unfinished.write_text(whole, encoding="utf-8")
            unfinished.replace(self._file)
        return entries

    def _state_file(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._job}.state-{number:06d}.pt"

    def _version_file(self, version: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._job}.version-{version:06d}.pt"

    def _save(self, file: Path, data: Any) -> None:
        import torch

        unfinished = file.with_suffix(".unfinished")
        torch.save(data, unfinished)
        unfinished.replace(file)

    def _load(self, file: Path) -> Any:
        import torch

        try:
            return torch.load(file, weights_only=True)
        except Exception as error:  # torch's own errors have no common base
            raise EdgesimError(
                f"{file}: cannot be read ({error}); the run cannot go on, run it again"
            ) from None
