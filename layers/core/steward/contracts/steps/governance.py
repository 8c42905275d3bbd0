"""Tasks of the domain ``governance``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class JudgeCandidate(_Strict):
    """Judge a candidate by the policy that its run was pinned to.

    Attributes:
        manifest_uri: Manifest of the dataset, where there is one.
    """

    project: str
    run_id: str
    correlation_id: str
    evaluation_uri: str
    comparison_uri: str
    manifest_uri: str | None = None


class GateDecision(_Strict):
    """The verdict, a sentence for each rule, and the digest of everything it follows from.

    Attributes:
        verdict: ``pass`` also where a rule asks for a second person.
        rules: Each rule with verdict, effect, message and the waiver that it passed by.
        quorum: People who must approve.
        policy: Name and digest of what was required.
        inputs_uri: Where findings and requirements are kept, for who computes it again.
        waivers: Ids of the waivers that let a rule pass.
    """

    verdict: Literal["pass", "hold"]
    reasons: list[str]
    inputs_digest: str
    rules: list[dict[str, Any]] = Field(default_factory=list)
    quorum: int = 1
    policy: dict[str, str] = Field(default_factory=dict)
    inputs_uri: str | None = None
    waivers: list[str] = Field(default_factory=list)
