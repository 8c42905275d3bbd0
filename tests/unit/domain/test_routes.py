"""A route whose shares are not all of the traffic is none."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from steward.domain.routes import Route


def arm(version: int, role: str, share: float) -> dict[str, Any]:
    return {
        "version": version,
        "endpoint": f"dev-churn-v{version}-prod",
        "role": role,
        "share": share,
    }


def route(*arms: dict[str, Any]) -> Route:
    return Route.model_validate(
        {"project": "churn", "route_version": 1, "step_id": "s", "salt": "x", "arms": list(arms)}
    )


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((60.0, 30.0), "shares sum to 90.0, not 100"),
        ((60.0, 60.0), "shares sum to 120.0, not 100"),
        ((-10.0, 110.0), "greater than or equal to 0"),
        ((math.nan, 100.0), "share"),
        ((math.inf, 0.0), "share"),
    ],
)
def test_weights_that_do_not_sum_are_refused(shares: tuple[float, float], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        route(arm(1, "stable", shares[0]), arm(2, "candidate", shares[1]))


def test_weights_that_sum_but_for_rounding_are_a_route() -> None:
    assert route(arm(1, "stable", 100 - 33.333333), arm(2, "candidate", 33.333333)).candidate


@pytest.mark.parametrize("roles", [("stable", "stable"), ("candidate", "candidate")])
def test_exactly_one_arm_is_stable(roles: tuple[str, str]) -> None:
    with pytest.raises(ValidationError, match="exactly one arm is stable"):
        route(arm(1, roles[0], 50), arm(2, roles[1], 50))
