"""Which endpoints cost and do nothing: orphans, which nothing names, and idle ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from steward.domain.endpoint_drift import Variant
from steward.domain.prices import standing_dollars
from steward.domain.versions import VersionState

Action = Literal["delete", "scale_to_zero", "none"]
Policy = Literal["propose", "scale_to_zero", "delete"]

_S = VersionState
STAGING_OVER = frozenset({
    _S.REJECTED, _S.EXPIRED, _S.PRODUCTION, _S.RETAINED, _S.ROLLED_BACK, _S.ARCHIVED,
})  # fmt: skip
"""States in which no staging of a version begins any more and nobody tries its endpoint."""


@dataclass(frozen=True)
class Hosted:
    """An endpoint of this stack as SageMaker has it.

    Attributes:
        age: Since it was created.
        variants: By its live configuration.
        invocations: Within the time that the project declares; None where that was not asked.
    """

    endpoint: str
    age: timedelta
    variants: Sequence[Variant]
    invocations: int | None = None


@dataclass(frozen=True)
class Idle:
    """An endpoint that could go, or cost less.

    Attributes:
        kind: ``orphan`` or ``idle``.
        action: What would save the money.
        dollars_month: How much; None where no price is known.
    """

    endpoint: str
    kind: Literal["orphan", "idle"]
    since: datetime
    reason: str
    action: Action
    dollars_month: float | None


def standing(variants: Sequence[Variant]) -> float | None:
    """Return what variants cost a month without a request; None where it is not known."""
    if not variants:
        return None
    total = 0.0
    for variant in variants:
        dollars = standing_dollars(variant.settings or {})
        if dollars is None:
            return None
        total += dollars
    return total


def orphan(
    hosted: Hosted,
    stage: str,
    named: Collection[str],
    state: VersionState | None,
    after: timedelta,
    now: datetime,
) -> Idle | None:
    """Return an endpoint that nothing names as an orphan, None where something may need it.

    Args:
        hosted: The endpoint.
        stage: What its name says that it is: ``prod`` or ``staging``.
        named: Endpoints of the project's route, and of a release that runs.
        state: Of its version; None where the registry has none.
        after: What is younger may be of something that is only beginning.
        now: The time.
    """
    if hosted.endpoint in named or hosted.age < after:
        return None
    if stage == "staging" and state is not None and state not in STAGING_OVER:
        return None
    reason = "no route and no release names it"
    if stage == "staging":
        reason = f"its version is {state.value}" if state else "its version is not registered"
    return Idle(hosted.endpoint, "orphan", now - hosted.age, reason, "delete",
                standing(hosted.variants))  # fmt: skip


def idle(hosted: Hosted, after: timedelta, now: datetime) -> Idle | None:
    """Return the endpoint of a stable version as idle, None where it works or costs nothing.

    A serverless endpoint without provisioned concurrency costs nothing while nobody asks it.
    Plain instance variants cannot be scaled to zero, so that only deletion would save them.
    """
    if hosted.invocations or hosted.invocations is None or hosted.age < after:
        return None
    dollars = standing(hosted.variants)
    if dollars == 0:
        return None
    provisioned = all("MemorySizeInMB" in (variant.settings or {}) for variant in hosted.variants)
    return Idle(
        hosted.endpoint, "idle", now - after, f"no request for {said(after)}",
        "scale_to_zero" if provisioned else "none", dollars,
    )  # fmt: skip


def performs(policy: Policy, found: Idle) -> bool:
    """Return whether a policy has something done by itself."""
    if found.action == "scale_to_zero":
        return policy in ("scale_to_zero", "delete")
    return found.action == "delete" and policy == "delete"


def said(span: timedelta) -> str:
    """Return a time span in its largest whole unit."""
    seconds = int(span.total_seconds())
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
