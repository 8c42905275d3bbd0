"""The policy that is shipped: it holds until an organisation deploys its own."""

from __future__ import annotations

from functools import cache
from typing import Any

from steward.domain.policy.requirements import Policy
from steward.domain.policy.strictness import parse_policy

_DAY = 86_400

PLATFORM: dict[str, Any] = {
    "policy": "platform",
    "description": "Shipped with Steward. Holds until an organisation deploys its own.",
    "overrides": "tighten",
    "tiers": {
        "minimal": {
            "evidence": ["evaluation", "comparison"],
            "performance": {"inconclusive": "pass", "champion_failed": "pass"},
            "slices": {"not_judged": "pass"},
            "bias": {"minimum_rows": 100, "inconclusive": "pass"},
            "quorum": 1,
            "approval_lifetime_s": 30 * _DAY,
            "remind_before_s": _DAY,
            "strategies": ["all_at_once", "canary", "linear", "ab_test", "bandit", "shadow"],
            "waivers": {"allowed": True, "max_lifetime_s": 90 * _DAY, "never": []},
        },
        "limited": {
            "evidence": ["evaluation", "comparison", "baseline"],
            "performance": {"inconclusive": "hold", "champion_failed": "pass"},
            "slices": {"not_judged": "pass"},
            "bias": {"minimum_rows": 100, "inconclusive": "quorum"},
            "quorum": 1,
            "approval_lifetime_s": 14 * _DAY,
            "remind_before_s": _DAY,
            "strategies": ["all_at_once", "canary", "linear", "ab_test", "bandit", "shadow"],
            "waivers": {"allowed": True, "max_lifetime_s": 30 * _DAY, "never": ["evidence"]},
        },
        "high": {
            "evidence": [
                "evaluation", "comparison", "baseline", "dataset", "explanation", "bias",
            ],
            "performance": {"inconclusive": "hold", "champion_failed": "hold"},
            "slices": {"not_judged": "pass"},
            "bias": {"minimum_rows": 100, "inconclusive": "hold"},
            "explanation": {"max_gap": 1e-4, "minimum_rows": 50},
            "data": {"minimum_heldout_rows": 100, "max_set_aside": 0.05},
            "documentation": {
                "required": ["description", "owner", "risk"], "minimum_characters": 20,
            },
            "quorum": 2,
            "approval_lifetime_s": 7 * _DAY,
            "remind_before_s": _DAY,
            "strategies": ["canary", "linear", "ab_test", "shadow"],
            "waivers": {"allowed": True, "max_lifetime_s": 7 * _DAY,
                        "never": ["evidence", "documentation"]},
        },
    },
}  # fmt: skip


@cache
def platform_policy() -> Policy:
    """Return the shipped policy."""
    return parse_policy(PLATFORM)
