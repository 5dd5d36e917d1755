"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache() -> Iterator[Path]:
    """Tests keep photographs in a folder of their own, and not in the user's."""
    with TemporaryDirectory() as folder:
        os.environ["EDGESIM_CACHE"] = folder
        yield Path(folder)
        del os.environ["EDGESIM_CACHE"]
