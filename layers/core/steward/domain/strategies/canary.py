"""A small share first, then larger ones: each bakes and is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.guardrails import judge
from steward.domain.strategies.plan import Plan, Strategy, steps_at

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def plan(release: Release) -> Plan:
    """Return a step per declared share, each advancing only after its requests."""
    return Plan(
        strategy="canary", steps=steps_at("canary", release.steps, release, needs_requests=True)
    )


CANARY = Strategy(
    name="canary",
    routers=frozenset({"gateway", "endpoint_variants"}),
    plan=plan,
    judge=judge,
)
