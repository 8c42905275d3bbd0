"""What every strategy answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of
from steward.domain.guardrails import MAX_HOLDS, Judgement, Limits, StepStatistics

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release

Phase = Literal["ramp", "ab_test", "bandit", "shadow"]


class Planned(BaseModel):
    """One step: an id, the candidate's share in percent, and what it must keep.

    Attributes:
        share: Of the candidate; 0 while it only answers copies.
        bake_s: How long it lasts before it is judged (ramp), or its planned end.
        phase: Steps of one phase are judged by one experiment plan.
        mirror_percent: Share of requests that the candidate answers copies of; 0 for none.
        batch_s: Length of a bandit's batch.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    step_id: str
    share: float = Field(ge=0, le=100)
    bake_s: int = Field(ge=1)
    limits: Limits
    phase: Phase = "ramp"
    mirror_percent: float = Field(default=0, ge=0, le=100)
    batch_s: int | None = None


class Plan(BaseModel):
    """The steps of one release, fixed before it moves any traffic.

    Attributes:
        tick_s: How often a ticked plan is looked at, by the scheduler.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    strategy: str
    steps: list[Planned] = Field(min_length=1)
    tick_s: int = Field(default=3600, ge=60)

    @property
    def digest(self) -> str:
        """Digest of the plan, recorded with the release."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def ticked(self) -> bool:
        """Whether the scheduler looks at it; a plain ramp is played by one execution."""
        return any(step.phase != "ramp" for step in self.steps)

    @property
    def longest_s(self) -> int:
        """Seconds that the bakes take when every step is held to its cap."""
        return sum(step.bake_s * (1 + MAX_HOLDS) for step in self.steps)


@dataclass(frozen=True)
class Strategy:
    """How traffic moves.

    Attributes:
        name: As in ``release.strategy``.
        routers: Routers that can play it.
        plan: Makes the steps of a release from its declaration.
        judge: Judges a step by its frozen statistics.
    """

    name: str
    routers: frozenset[str]
    plan: Callable[[Release], Plan]
    judge: Callable[[StepStatistics], Judgement]


def steps_at(
    name: str, shares: list[int], release: Release, *, needs_requests: bool
) -> list[Planned]:
    """Return one step per share, with limits that spread the rollback budget over all looks."""
    guardrails = release.guardrails
    limits = Limits(
        max_error_rate=guardrails.max_error_rate,
        max_latency_ms=guardrails.max_latency_ms,
        min_requests=guardrails.min_requests,
        looks=len(shares) * (1 + MAX_HOLDS),
        needs_requests=needs_requests,
    )
    return [
        Planned(
            step_id=f"{name}-{index}-{share}", share=share, bake_s=release.bake_s, limits=limits
        )
        for index, share in enumerate(shares, start=1)
    ]
