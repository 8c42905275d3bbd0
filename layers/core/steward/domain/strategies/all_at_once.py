"""Everything in one step: for a first version, or where nobody minds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.domain.guardrails import judge
from steward.domain.strategies.plan import Plan, Strategy, steps_at

if TYPE_CHECKING:
    from steward.domain.release_declaration import Release


def plan(release: Release) -> Plan:
    """Return one step at 100 percent, which advances after its bake unless harm is proven.

    It does not wait for requests: a first version has no traffic before it is live.
    """
    return Plan(
        strategy="all_at_once",
        steps=steps_at("all-at-once", [100], release, needs_requests=False),
    )


ALL_AT_ONCE = Strategy(
    name="all_at_once",
    routers=frozenset({"gateway", "endpoint_variants"}),
    plan=plan,
    judge=judge,
)
