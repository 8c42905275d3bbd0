"""Waivers: a person lets one rule be broken, for one project, for a while, with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of
from steward.domain.errors import ConflictError, InvalidWaiverError, NotAuthorizedError
from steward.domain.policy.findings import WaiverInForce
from steward.domain.policy.requirements import RULE_FAMILIES, WaiverRules

_RULE = re.compile(r"^[a-z]+(\.[^\s.][^\n]{0,150})?$")


class Waiver(BaseModel):
    """A waiver as it is kept.

    Attributes:
        rule: Name of the one rule, as reasons name it.
        run_id: The one run that it is for; None for all of the project.
        version: The one version that it is for, which rules on releases ask for.
        granted_by: Identity of the verified caller.
        digest: Of everything that was granted, so that a changed record is recognised.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    project: str
    waiver_id: str
    rule: str
    reason: str
    run_id: str | None = None
    version: int | None = None
    granted_by: str
    principal_arn: str
    granted_at: str
    expires_at: str
    digest: str
    revoked_by: str | None = None
    revoked_at: str | None = None
    revoked_because: str | None = None

    @property
    def is_as_granted(self) -> bool:
        """Whether nothing of it was changed since it was signed."""
        return self.digest == waiver_digest(self.model_dump(mode="json"))

    def status(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Return whether it counts now; the last instant is too late."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if now >= datetime.fromisoformat(self.expires_at) else "active"


class Asked(BaseModel):
    """What is asked for, before anything is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    rule: str = Field(max_length=200)
    reason: str = Field(min_length=10, max_length=1000)
    lifetime_s: int = Field(ge=60)
    run_id: str | None = None
    version: int | None = Field(default=None, ge=1)


_GRANTED = (
    "project", "waiver_id", "rule", "reason", "run_id", "version", "granted_by",
    "principal_arn", "granted_at", "expires_at",
)  # fmt: skip


def waiver_digest(granted: Mapping[str, Any]) -> str:
    """Return the digest of everything that was granted; ending a waiver leaves it as it is."""
    return digest_of({name: granted.get(name) for name in _GRANTED})


def same_person(one: str, other: str) -> bool:
    """Return whether two identities are one: IAM names differ in more than case."""
    return one.casefold() == other.casefold()


def check_waivable(asked: Asked, rules: WaiverRules, caller: str, authors: set[str]) -> None:
    """Raise unless this caller may waive this rule for this long.

    Raises:
        InvalidWaiverError: The rule, the time or the scope is not possible.
        NotAuthorizedError: The caller wrote what the rule holds back.
    """
    family = asked.rule.partition(".")[0]
    if family not in RULE_FAMILIES or not _RULE.match(asked.rule):
        raise InvalidWaiverError(
            f"there is no rule {asked.rule!r}", field="rule", value=asked.rule,
            allowed=f"a rule that a reason names: {', '.join(RULE_FAMILIES)}, with its part",
        )  # fmt: skip
    if not rules.allowed:
        raise InvalidWaiverError(
            "the policy in force allows no waivers", field="rule", value=asked.rule,
            allowed="a policy whose waivers.allowed is true",
        )  # fmt: skip
    if family in (rules.never or ()):
        raise InvalidWaiverError(
            f"the policy in force never waives rules on {family}", field="rule",
            value=asked.rule, allowed=f"other rules than {', '.join(rules.never or ())}",
        )  # fmt: skip
    longest = rules.max_lifetime_s
    if longest is not None and asked.lifetime_s > longest:
        raise InvalidWaiverError(
            f"a waiver of {asked.lifetime_s} s is longer than the policy allows",
            field="lifetime_s", value=asked.lifetime_s, allowed=f"at most {longest}",
        )  # fmt: skip
    if any(same_person(caller, author) for author in authors):
        raise NotAuthorizedError(
            f"{caller} wrote what {asked.rule} is judged on and may not waive it",
            field="caller", value=caller, allowed="anybody but the author",
        )  # fmt: skip


def expiry(now: datetime, lifetime_s: int) -> str:
    """Return when a waiver that is granted now ends."""
    return (now + timedelta(seconds=lifetime_s)).isoformat(timespec="milliseconds")


def check_revocable(waiver: Waiver, now: datetime) -> None:
    """Raise unless a waiver still counts.

    Raises:
        ConflictError: It has ended.
    """
    status = waiver.status(now)
    if status != "active":
        raise ConflictError(f"waiver {waiver.waiver_id} is {status} already")


def in_force(
    waivers: list[Waiver],
    *,
    now: datetime,
    author: str,
    rules: WaiverRules,
    run_id: str | None = None,
    version: int | None = None,
) -> list[WaiverInForce]:
    """Return the waivers that count for a run or a version.

    One whose record was changed since does not count, nor does one that its later author
    granted, nor does one of a rule that the policy never waives by now.
    One for a run or a version counts for that alone.
    """
    return [
        WaiverInForce(
            waiver_id=waiver.waiver_id, rule=waiver.rule, by=waiver.granted_by,
            reason=waiver.reason, expires_at=waiver.expires_at,
        )
        for waiver in waivers
        if rules.allowed
        and waiver.is_as_granted
        and waiver.status(now) == "active"
        and waiver.run_id in (None, run_id)
        and waiver.version in (None, version)
        and not same_person(waiver.granted_by, author)
        and waiver.rule.partition(".")[0] not in (rules.never or ())
    ]  # fmt: skip
