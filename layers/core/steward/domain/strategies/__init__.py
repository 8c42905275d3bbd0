"""Release strategies: each a pure plan of steps, judged after each bake.

A new strategy is a new module here, one line in ``STRATEGIES`` and one in the matrix of
``capabilities``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.guardrails import ABSOLUTE_BUDGET, ROLLBACK_BUDGET, Limits
from steward.domain.strategies import ab_test, all_at_once, bandit, canary, linear, shadow
from steward.domain.strategies.capabilities import check_capability
from steward.domain.strategies.metrics import check_metrics, judged_by_captures
from steward.domain.strategies.plan import Outline, Plan, Planned, Strategy
from steward.domain.strategies.timing import check_timing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steward.domain.release_declaration import Release

__all__ = ["STRATEGIES", "Plan", "Planned", "Strategy", "plan_for"]

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        all_at_once.ALL_AT_ONCE, canary.CANARY, linear.LINEAR, ab_test.AB_TEST, bandit.BANDIT,
        shadow.SHADOW,
    )
}  # fmt: skip


def plan_for(release: Release, router: str, features: Sequence[str], *, first: bool) -> Plan:
    """Return the steps of a release; a first one has nothing to share traffic with.

    Args:
        release: What the project declares.
        router: ``serving.router`` of the project.
        features: Columns that a model sees, which metrics may read.
        first: Whether nothing serves yet: then everything goes to the version at once.

    Raises:
        ReleaseNotAllowedError: The router cannot play the strategy, a metric is no expression
            over what is captured, or a step is too short for what it is judged by.
    """
    check_capability(release, router)
    check_metrics(release, features)
    if first:
        return _plan("all_at_once", all_at_once.ALL_AT_ONCE.steps(release), release)
    strategy = STRATEGIES[release.strategy]
    outlines = strategy.steps(release)
    if release.shadow_first:
        outlines = [*shadow.SHADOW.steps(release), *outlines]
    plan = _plan(strategy.name, outlines, release)
    check_timing(plan, release)
    return plan


def _plan(name: str, outlines: list[Outline], release: Release) -> Plan:
    """Return the outlined steps with limits that share one rollback budget."""
    alone = [outline for outline in outlines if outline.share == 100]
    compared = [outline for outline in outlines if outline.share < 100]
    guardrails = release.guardrails
    steps = [
        Planned(
            step_id=outline.step_id,
            share=outline.share,
            bake_s=outline.bake_s,
            limits=Limits(
                max_error_rate=guardrails.max_error_rate,
                max_latency_ms=guardrails.max_latency_ms,
                min_requests=guardrails.min_requests,
                looks=max(1, len(alone)) * (1 + release.max_holds),
                needs_requests=outline.needs_requests,
                max_holds=release.max_holds,
                budget=ABSOLUTE_BUDGET if compared else ROLLBACK_BUDGET,
                concurrent=outline.share < 100,
            ),
            phase=outline.phase,
            mirror_percent=outline.mirror_percent,
            batch_s=outline.batch_s,
            floor=outline.floor,
            hold_s=outline.hold_s,
        )
        for outline in outlines
    ]
    phases = {outline.phase for outline in compared}
    return Plan(
        strategy=name,
        steps=steps,
        tick_s=release.tick_s,
        captured=any(judged_by_captures(release, phase) for phase in phases),
        max_holds=release.max_holds,
    )
