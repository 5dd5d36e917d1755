"""What a scenario file may say of pictures that jobs take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edgesim.core.documents import Schema

__all__ = ["CaptureSpec", "CollectSpec"]


class CaptureSpec(Schema):
    """Each request begins with a picture that the phone's camera takes."""

    megapixels: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Of a picture: what is developed. Default: as many as the camera has."""
    develop: Literal["isp", "cpu"] = "isp"
    """Who makes the picture of RAW: the camera's image signal processor, or the phone's CPU cluster of the
    highest clock."""
    keep_open_s: Annotated[float, Field(ge=0, le=1e8)] = 0.0
    """So long the camera stays open after a picture, and draws its watts, so that the next one need not
    open it."""


class CollectSpec(CaptureSpec):
    """Clients collect their data with their cameras, before the model comes."""

    when: Literal["once", "every_round"] = "once"
    """When they take part for the first time (again, if that was interrupted), or each time."""
    pictures: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """How many each takes. Default: as many as it has samples, whatever these are."""
