"""Requests to the run function URL."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ChangeRun(BaseModel):
    """``POST``: start a run, take a failed one up again, or cancel one.

    Attributes:
        run_id: The run to resume or cancel; none to start one.
        reason: Why; it stays on the run.
        use_cache: Of a start: false carries every step out, although it has run before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    action: Literal["start", "resume", "cancel"]
    project: str = Field(min_length=1, max_length=20)
    run_id: str | None = Field(default=None, max_length=40)
    reason: str = Field(min_length=1, max_length=500)
    use_cache: bool = True
