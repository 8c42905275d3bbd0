"""One rule's outcome before waivers."""

from __future__ import annotations

from dataclasses import dataclass

from steward.domain.policy.findings import RuleVerdict
from steward.domain.policy.requirements import Escalation


@dataclass(frozen=True)
class Ruled:
    """A rule, what came of it, what that does to the candidate, and why."""

    rule: str
    verdict: RuleVerdict
    effect: Escalation
    message: str


def ruled(
    rule: str, verdict: RuleVerdict, message: str, escalation: Escalation | None = None
) -> Ruled:
    """Return an outcome; an inconclusive one holds unless the policy says otherwise."""
    if verdict == "inconclusive":
        return Ruled(rule, verdict, escalation or "hold", message)
    return Ruled(rule, verdict, "pass" if verdict == "pass" else "hold", message)
