"""What edgesim raises, and how it tells a user what to mend.

Every error a user can cause is an :class:`EdgesimError`. A file that cannot be used raises one
:class:`ConfigError` with *all* of its problems, each located by file, line and key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["ConfigError", "EdgesimError", "Problem", "SimulationError", "did_you_mean"]


class EdgesimError(Exception):
    """Base of every error that edgesim raises on purpose."""


class SimulationError(EdgesimError):
    """A rule of the simulation was broken: an event in the past, a joule without an owner."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a user's input.

    Attributes:
        file: the file, or where else the input came from (``command line``).
        line: 1-based line in that file; ``None`` if there is none.
        key: dotted path of the key (``jobs.camera.deadline_ms``); empty for the whole file.
        message: what is wrong, with the value found, and how to mend it.
    """

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(EdgesimError):
    """A scenario, profile or option that cannot be used, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.file, p.line or 0, p.key, p.message))
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[Problem]]]:
        return type(self), (self.problems,)  # so that it comes back whole from another process


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The end of an error message about an unknown name: the nearest known ones, or all of them.

    >>> did_you_mean("claud", ["cloud", "random"])
    "did you mean 'cloud'? Known: cloud, random"
    """
    names = sorted(known)
    if not names:
        return "none is known"
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(names[:30]) + (", ..." if len(names) > 30 else "")
    return f"{hint}Known: {shown}"
