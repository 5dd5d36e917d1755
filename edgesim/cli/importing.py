"""``edgesim import-phone``: drafts of profiles from an Android power profile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import typer

from edgesim.core.documents import PROFILE_NAME_PATTERN
from edgesim.core.errors import ConfigError, Problem
from edgesim.hardware.catalogue import Catalogue
from edgesim.hardware.drafting import NOMINAL_V, Draft, draft_chip, draft_phone
from edgesim.hardware.power_profile import read_power_profile
from edgesim.hardware.profiles import SocProfile

__all__ = ["import_phone"]

_LONGEST_NAME = 64


def import_phone(file: Path, name: str | None, soc: str | None, out: Path | None) -> None:
    """Draft a phone, and its chip unless it is in the catalogue, and say what is still missing.

    The drafts go to standard output, or into the folder ``out``; the summary goes to standard
    error, so that the drafts can be piped.

    Raises:
        ConfigError: if the file is not a power profile, a name is not in order or stands for
            something else, or a file of that name is there already.
        OSError: if the folder cannot be written.
    """
    profile = read_power_profile(file)
    phone_name = _name_after(file) if name is None else _checked(name, "--name")
    chip_name = f"{phone_name[:58]}_chip" if soc is None else _checked(soc, "--soc")
    if chip_name == phone_name:
        raise _refused("--soc", f"the phone and its chip cannot both be called {chip_name!r}")
    known = _known_chip(chip_name, [] if out is None else [out])
    drafts = [draft_phone(profile, phone_name, chip_name, known)]
    if known is None:
        drafts.append(draft_chip(profile, chip_name))
    if out is None:
        typer.echo("---\n".join(draft.text for draft in drafts), nl=False)
    else:
        _write(drafts, out)
    typer.echo(_summary(drafts, profile.file, known is not None, out), err=True)


def _checked(name: str, option: str) -> str:
    if not re.fullmatch(PROFILE_NAME_PATTERN, name) or len(name) > _LONGEST_NAME:
        message = (
            f"{name[:80]!r} is not a name for a profile: it begins with a-z and holds only a-z, "
            f"digits and _, {_LONGEST_NAME} at most; did you mean {_slug(name)!r}?"
        )
        raise _refused(option, message)
    return name


def _name_after(file: Path) -> str:
    """A name from the file's own, which says little if it is Android's usual one."""
    return "my_phone" if file.stem.lower() == "power_profile" else _slug(file.stem)


def _slug(text: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    slug = slug if slug[:1].isalpha() else f"phone_{slug}".rstrip("_")
    return slug[:_LONGEST_NAME]


def _known_chip(name: str, folders: Sequence[Path]) -> str | None:
    """What the chip of this name is, if it is in the catalogue."""
    catalogue = Catalogue(folders)
    files = dict(catalogue.files())
    if name not in files:
        return None
    profile = catalogue.profile(name)
    if not isinstance(profile, SocProfile):
        raise _refused("--soc", f"{name!r} is a {profile.kind}, not a chip")
    return profile.description


def _write(drafts: Sequence[Draft], out: Path) -> None:
    """Write all drafts or none: nobody's work is overwritten."""
    files = [out / f"{draft.name}.yaml" for draft in drafts]
    there = [file for file in files if file.exists() or file.is_symlink()]
    if there:
        message = "is there already and was not overwritten; choose another name or folder"
        raise ConfigError([Problem(str(file), None, "", message) for file in there])
    out.mkdir(parents=True, exist_ok=True)
    for file, draft in zip(files, drafts, strict=True):
        with file.open("x", encoding="utf-8") as stream:
            stream.write(draft.text)


def _summary(drafts: Sequence[Draft], file: str, chip_is_known: bool, out: Path | None) -> str:
    lines = []
    for draft in drafts:
        what = "phone" if draft.kind == "phone" else "chip"
        target = f"{draft.name}.yaml" if out is None else str(out / f"{draft.name}.yaml")
        lines.append(f"{target}: draft of a {what}; {len(draft.found)} numbers from {file}")
        for title, problems in (("needs a value", draft.missing), ("doubt", draft.doubts)):
            for problem in problems:
                key = f" {problem.key}:" if problem.key else ""
                lines.append(f"  {title}: line {problem.line}:{key} {problem.message}")
    if chip_is_known:
        lines.append("the chip is in the catalogue; the file's own figures of it are not used")
    lines.append(f"assumed: {NOMINAL_V} V, where the file names no voltage")
    names = [f"{d.name}.yaml" if out is None else str(out / f"{d.name}.yaml") for d in drafts]
    if out is None:
        lines.append("to keep the drafts: --out FOLDER; then 'edgesim validate' what is in it")
    else:
        lines.append(f"when that is done: edgesim validate {' '.join(names)}")
    return "\n".join(lines)


def _refused(option: str, message: str) -> ConfigError:
    return ConfigError([Problem("command line", None, option, message)])
