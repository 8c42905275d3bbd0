"""Tasks of the domain ``governance``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class JudgeCandidate(_Strict):
    """Judge a candidate by its project's gate."""

    project: str
    run_id: str
    correlation_id: str
    evaluation_uri: str
    comparison_uri: str


class GateDecision(_Strict):
    """The verdict, a sentence for each rule, and the digest of everything it follows from."""

    verdict: Literal["pass", "hold"]
    reasons: list[str]
    inputs_digest: str
