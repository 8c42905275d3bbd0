"""What every strategy answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of
from steward.domain.guardrails import Limits

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release

Phase = Literal["ramp", "ab_test", "bandit", "shadow"]


class Planned(BaseModel):
    """One step: an id, the candidate's share in percent, and what it must keep.

    Attributes:
        share: Of the candidate; 0 while it only answers copies, the first batch's of a bandit.
        bake_s: How long it lasts before it is judged (ramp), or its planned end.
        phase: Steps of one phase are judged by one experiment plan.
        mirror_percent: Share of requests that the candidate answers copies of; 0 for none.
        batch_s: Length of a bandit's batch.
        floor: Least share of either version of a bandit, of 1.
        hold_s: Seconds that a hold prolongs it by; as long as its bake where left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    step_id: str
    share: float = Field(ge=0, le=100)
    bake_s: int = Field(ge=1)
    limits: Limits
    phase: Phase = "ramp"
    mirror_percent: float = Field(default=0, ge=0, le=100)
    batch_s: int | None = None
    floor: float | None = None
    hold_s: int | None = None

    def due_after_s(self, holds: int) -> int:
        """Return the seconds from its beginning to its judgement."""
        return self.bake_s + holds * (self.hold_s or self.bake_s)


class Plan(BaseModel):
    """The steps of one release, fixed before it moves any traffic.

    Attributes:
        tick_s: How often a ticked plan is looked at, by the scheduler.
        captured: Whether a step is judged by captured metrics, which are frozen between looks.
        max_holds: Times that a step may be prolonged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    strategy: str
    steps: list[Planned] = Field(min_length=1)
    tick_s: int = Field(default=3600, ge=60)
    captured: bool = False
    max_holds: int = Field(default=3, ge=0)

    @property
    def digest(self) -> str:
        """Digest of the plan, recorded with the release."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def ticked(self) -> bool:
        """Whether the scheduler looks at it; another ramp is played by one execution.

        A ramp that is judged by captured metrics is ticked: they are frozen before each look.
        """
        return self.captured or any(step.phase != "ramp" for step in self.steps)

    @property
    def longest_s(self) -> int:
        """Seconds that it takes when every step is held to its cap."""
        slack = self.tick_s * len(self.steps) if self.ticked else 0
        return sum(step.due_after_s(self.max_holds) for step in self.steps) + slack

    @property
    def phases(self) -> list[Phase]:
        """Phases in which the stable version answers beside the candidate, in order."""
        return list(dict.fromkeys(s.phase for s in self.steps if s.limits.concurrent))


@dataclass(frozen=True)
class Outline:
    """A step as its strategy outlines it; limits follow from the whole plan.

    Attributes:
        needs_requests: Whether it may only advance after its requests.
    """

    step_id: str
    share: float
    bake_s: int
    phase: Phase
    needs_requests: bool = False
    mirror_percent: float = 0
    batch_s: int | None = None
    floor: float | None = None
    hold_s: int | None = None


@dataclass(frozen=True)
class Strategy:
    """How traffic moves.

    Attributes:
        name: As in ``release.strategy``.
        steps: Outlines the steps of a release from its declaration.
    """

    name: str
    steps: Callable[[Release], list[Outline]]


def ramp(name: str, shares: list[int], release: Release, *, needs_requests: bool) -> list[Outline]:
    """Return one step per share, each judged after its bake."""
    return [
        Outline(
            step_id=f"{name}-{index}-{share}", share=share, bake_s=release.bake_s, phase="ramp",
            needs_requests=needs_requests,
        )
        for index, share in enumerate(shares, start=1)
    ]  # fmt: skip


def experiment_hold_s(release: Release, duration_s: int) -> int:
    """Return what a hold prolongs an experiment by: a tenth of it, at least one look."""
    return max(release.tick_s, duration_s // 10)
