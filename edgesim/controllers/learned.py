"""What controllers have learned, as files: JSON, with arrays in base64. No pickles."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.core.errors import EdgesimError

__all__ = ["dump_state", "load_state"]

_ARRAY = "__array__"


def dump_state(state: Mapping[str, Any]) -> str:
    """The text of a file that holds what ``state_dict`` of a controller gave."""
    return json.dumps(state, default=_encode, sort_keys=True) + "\n"


def load_state(file: Path) -> dict[str, Any]:
    """Read such a file.

    Raises:
        EdgesimError: if it cannot be read, or is not such a file.
    """
    try:
        state = json.loads(file.read_text(encoding="utf-8"), object_hook=_decode)
    except OSError as error:
        raise EdgesimError(f"{file}: cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise EdgesimError(
            f"{file}: not something that a controller has learned: {error}"
        ) from None
    if not isinstance(state, dict):
        raise EdgesimError(f"{file}: not something that a controller has learned")
    return state


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        data = b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {_ARRAY: data, "dtype": value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be saved")


def _decode(found: dict[str, Any]) -> Any:
    if _ARRAY in found:
        flat = np.frombuffer(b64decode(found[_ARRAY]), dtype=np.dtype(found["dtype"]))
        return flat.reshape(found["shape"]).copy()
    return found
