"""Requests to the source function URL."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class PushSource(BaseModel):
    """``POST``: a project's configuration, and the digest and key of its uploaded code."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    config: dict[str, Any]
    code_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    code_key: str = Field(min_length=1, max_length=1024)


class ShowProject(BaseModel):
    """``GET ?project=``: a project's state."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str


class RetireFeatures(BaseModel):
    """``DELETE ?project=&group=&version=``: a version of a feature group ends."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    group: str = Field(min_length=1, max_length=20)
    version: int = Field(ge=1)
