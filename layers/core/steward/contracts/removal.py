"""Requests to the function URL that removes projects."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RemoveProject(BaseModel):
    """``GET ?project=``: what there is and what is at work. ``POST``: delete it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
