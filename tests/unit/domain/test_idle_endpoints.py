"""Which endpoints cost and do nothing, and what their end saves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steward.domain.endpoint_drift import Variant
from steward.domain.idle_endpoints import (
    STAGING_OVER,
    Hosted,
    Idle,
    Policy,
    idle,
    orphan,
    performs,
    said,
    standing,
)
from steward.domain.prices import HOSTING_US_EAST_1, standing_dollars
from steward.domain.versions import VersionState

YOUNG = timedelta(hours=1)
NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PROD, STAGING = "dev-diabetes-v2-prod", "dev-diabetes-v2-staging"
FORTNIGHT, OLD = timedelta(days=14), timedelta(days=30)


def serverless(**settings: int) -> Variant:
    return Variant("A", settings={"MemorySizeInMB": 2048, "MaxConcurrency": 5, **settings})


def instances(kind: str = "ml.m5.large", count: int = 2) -> Variant:
    return Variant("A", settings={"InstanceType": kind, "InitialInstanceCount": count})


WARM = serverless(ProvisionedConcurrency=3)


def test_provisioned_concurrency_costs_by_memory_time_and_workers() -> None:
    per_gb_second = HOSTING_US_EAST_1.provisioned_gb_second
    assert standing([WARM]) == pytest.approx(3 * 2 * 730 * 3600 * per_gb_second)
    assert standing([serverless()]) == 0


def test_instances_cost_every_hour() -> None:
    assert standing([instances(), instances(count=1)]) == pytest.approx(3 * 730 * 0.115)


def test_what_has_no_price_is_not_guessed() -> None:
    assert standing([WARM, instances("ml.zz9.huge")]) is None
    assert standing([]) is None


@given(st.integers(1, 6), st.integers(0, 200), st.integers(0, 200))
def test_more_workers_never_cost_less(gb: int, one: int, other: int) -> None:
    def cost(workers: int) -> float:
        told = {"MemorySizeInMB": gb * 1024, "ProvisionedConcurrency": workers}
        return standing_dollars(told) or 0.0

    assert (cost(one) <= cost(other)) == (one <= other)


@pytest.mark.parametrize(("name", "stage"), [(PROD, "prod"), (STAGING, "staging")])
def test_what_nothing_names_is_an_orphan(name: str, stage: str) -> None:
    found = orphan(Hosted(name, OLD, [WARM]), stage, (), VersionState.ARCHIVED, YOUNG, NOW)
    assert found is not None
    assert (found.kind, found.action, found.since) == ("orphan", "delete", NOW - OLD)
    assert found.dollars_month == standing([WARM])


def test_what_something_names_or_is_young_is_no_orphan() -> None:
    state = VersionState.ARCHIVED
    assert orphan(Hosted(PROD, OLD, [WARM]), "prod", {PROD}, state, YOUNG, NOW) is None
    assert (
        orphan(Hosted(PROD, YOUNG - timedelta(seconds=1), [WARM]), "prod", (), state, YOUNG, NOW)
        is None
    )


@pytest.mark.parametrize("state", list(VersionState))
def test_a_staging_endpoint_stays_while_its_version_may_need_it(state: VersionState) -> None:
    found = orphan(Hosted(STAGING, OLD, [serverless()]), "staging", (), state, YOUNG, NOW)
    assert (found is not None) is (state in STAGING_OVER)


def test_an_endpoint_of_a_version_that_nobody_registered_is_an_orphan() -> None:
    found = orphan(Hosted(STAGING, OLD, [serverless()]), "staging", (), None, YOUNG, NOW)
    assert found is not None
    assert "not registered" in found.reason


@pytest.mark.parametrize(
    ("hosted", "is_idle"),
    [
        (Hosted(PROD, OLD, [WARM], 0), True),
        (Hosted(PROD, OLD, [WARM], 1), False),
        (Hosted(PROD, OLD, [WARM], None), False),  # nobody has looked
        (Hosted(PROD, FORTNIGHT - timedelta(seconds=1), [WARM], 0), False),  # fresh
        (Hosted(PROD, FORTNIGHT, [WARM], 0), True),
        (Hosted(PROD, OLD, [serverless()], 0), False),  # costs nothing
        (Hosted(PROD, OLD, [instances()], 0), True),
    ],
)
def test_idle_is_what_costs_and_was_not_asked_for_the_whole_time(
    hosted: Hosted, *, is_idle: bool
) -> None:
    assert (idle(hosted, FORTNIGHT, NOW) is not None) is is_idle


def test_instances_cannot_be_scaled_to_zero() -> None:
    warm = idle(Hosted(PROD, OLD, [WARM], 0), FORTNIGHT, NOW)
    fixed = idle(Hosted(PROD, OLD, [instances()], 0), FORTNIGHT, NOW)
    assert warm is not None
    assert fixed is not None
    assert (warm.action, fixed.action) == ("scale_to_zero", "none")
    assert warm.reason == "no request for 14 days"


@pytest.mark.parametrize(
    ("policy", "done"),
    [("propose", set()), ("scale_to_zero", {"scale_to_zero"}),
     ("delete", {"scale_to_zero", "delete"})],
)  # fmt: skip
def test_a_policy_does_what_it_says_and_no_more(policy: Policy, done: set[str]) -> None:
    actions: list[Any] = ["delete", "scale_to_zero", "none"]
    found = {a: Idle(PROD, "idle", NOW, "", a, None) for a in actions}
    assert {action for action, one in found.items() if performs(policy, one)} == done


@given(st.integers(1, 10**8))
def test_a_span_is_said_exactly(seconds: int) -> None:
    number, unit = said(timedelta(seconds=seconds)).split()
    length = {"days": 86_400, "hours": 3_600, "minutes": 60, "s": 1}[unit]
    assert int(number) * length == seconds
