"""Requests to the governance function URL: waivers and the organisation's policy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class GrantWaiver(_Strict):
    """Waive one rule of a project, for a while and with a reason; who is the verified caller."""

    action: Literal["grant"] = "grant"
    project: str
    rule: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=10, max_length=1000)
    lifetime_s: int = Field(ge=60)
    run_id: str | None = None
    version: int | None = Field(default=None, ge=1)


class RevokeWaiver(_Strict):
    """End a waiver before its time."""

    action: Literal["revoke"]
    project: str
    waiver_id: str = Field(pattern="^[0-9a-f]{12}$")
    reason: str = Field(min_length=10, max_length=1000)


class ListWaivers(_Strict):
    """``GET ?project=``: all waivers of a project."""

    project: str


class DeployPolicy(_Strict):
    """Make a policy the organisation's; without a document the shipped one holds again."""

    document: dict[str, Any] | None
