"""What every strategy answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of
from steward.domain.guardrails import MAX_HOLDS, Judgement, Limits, StepStatistics

if TYPE_CHECKING:
    from steward.domain.project import Release


class Planned(BaseModel):
    """One step: an id, the candidate's share in percent, and what it must keep."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    step_id: str
    share: float = Field(gt=0, le=100)
    bake_s: int = Field(ge=1)
    limits: Limits


class Plan(BaseModel):
    """The steps of one release, fixed before it moves any traffic."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    strategy: str
    steps: list[Planned] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """Digest of the plan, recorded with the release."""
        return digest_of(self.model_dump(mode="json"))

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
