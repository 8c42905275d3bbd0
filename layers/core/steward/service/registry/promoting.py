"""A version from one environment to the next: who may bring it, and what is kept of it.

Nothing is built again. What comes is the artifact that was approved, by its digest; it is staged
and approved here as any version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.events import VersionExported
from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    NotAuthorizedError,
    RejectedError,
)
from steward.domain.principals import identity_of
from steward.ports import Absent, Clock, Ids, Item, Put, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.policy_in_force import pin_policy
from steward.service.registry.records import ballot_of, need_version

if TYPE_CHECKING:
    from steward.contracts.registry import Promotion, RecordExport
    from steward.domain.policy.in_force import PinnedPolicy
    from steward.domain.version_archive import Source

_SESSION = re.compile(r"^arn:[a-z-]+:sts::(\d{12}):assumed-role/([^/]+)/(\d{12})-(.+)$")
_ACCOUNT = re.compile(r"^arn:[a-z-]+:(?:sts|iam)::(\d{12}):")


@dataclass(frozen=True)
class Trust:
    """Whose versions may come.

    Attributes:
        accounts: Those that may take the promotion role, which IAM enforces; the own one always.
        role: Name of that role. Its trust policy lets a session be called
            ``<account of who takes it>-<name>`` alone, so that the account is IAM's word.
    """

    accounts: frozenset[str] = frozenset()
    role: str = ""

    @classmethod
    def of(cls, accounts: str, role: str) -> Trust:
        """Return what a function's environment says."""
        return cls(frozenset(a.strip() for a in accounts.split(",") if a.strip()), role)


@dataclass(frozen=True)
class Promoted:
    """What is brought: where it is from, and its evidence there."""

    source: Source
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Accepted:
    """A promotion that may go on.

    Attributes:
        author: Of code and configuration, as verified where it was trained.
        by: Who brings it.
        policy: What its gate judged by there; it requires no less than the policy here.
    """

    author: str
    by: str
    approvers: list[str]
    policy: PinnedPolicy


def check_promotion(
    promotion: Promotion,
    brought: Promoted,
    *,
    caller_arn: str,
    configured: Item,
    trust: Trust,
    state: StateStore,
) -> Accepted:
    """Return who brings whose version, or refuse it.

    Raises:
        NotAuthorizedError: The caller's account is not the one that the version is from, or it
            is not trusted.
        EvidenceIncompleteError: The policy is not the one that the evidence names.
        RejectedError: The policy here requires more than the version was judged by.
    """
    account, by = _who(caller_arn, trust)
    own = _account_of(caller_arn)
    if account != brought.source.account or account not in trust.accounts | {own}:
        raise NotAuthorizedError(
            f"a version of account {brought.source.account} may not come by {caller_arn}",
            field="source.account", value=brought.source.account,
            allowed=", ".join(sorted(trust.accounts | {own})),
        )  # fmt: skip
    policy = _check_policy(promotion, brought.evidence, configured, state)
    author = brought.source.author
    approvers = [name for name in promotion.approvers if name.casefold() != author.casefold()]
    if not approvers:
        raise RejectedError(
            "nobody but its author approved it", field="promotion.approvers",
            value=promotion.approvers, allowed=f"somebody other than {author}",
        )  # fmt: skip
    return Accepted(author, by, approvers, policy)


def _who(caller_arn: str, trust: Trust) -> tuple[str, str]:
    """Return the account that brings a version, and the person as far as that is known."""
    session = _SESSION.match(caller_arn)
    if session and trust.role and session[2] == trust.role:
        return session[3], f"{session[3]}/{session[4]}"
    return _account_of(caller_arn), identity_of(caller_arn)


def _account_of(caller_arn: str) -> str:
    found = _ACCOUNT.match(caller_arn)
    return found[1] if found else ""


def _check_policy(
    promotion: Promotion, evidence: Mapping[str, Any], configured: Item, state: StateStore
) -> PinnedPolicy:
    from pydantic import ValidationError

    from steward.domain.policy.in_force import PinnedPolicy
    from steward.domain.policy.strictness import first_loosening, requirements_digest
    from steward.domain.project import parse_project

    gate = evidence.get("gate")
    named = (gate.get("policy") or {}).get("digest") if isinstance(gate, Mapping) else None
    try:
        judged_by = PinnedPolicy.model_validate(promotion.policy)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        field = ".".join(str(part) for part in ("promotion.policy", *first["loc"]))
        raise RejectedError(f"{field}: {first['msg']}", field=field, allowed=first["msg"]) from None
    found = requirements_digest(judged_by.requirements)
    if named is None or not found == judged_by.digest == named:
        raise EvidenceIncompleteError(
            "the policy is not the one that the evidence names", field="promotion.policy",
            value=found, allowed=str(named),
        )  # fmt: skip
    here = pin_policy(state, parse_project(configured["config"])).requirements
    looser = first_loosening(here, judged_by.requirements)
    if looser is not None:
        raise RejectedError(
            f"the policy here is stricter: {looser.path}: {looser}",
            field=f"policy.{looser.path}", value=looser.value, allowed=looser.allowed,
        )  # fmt: skip
    return judged_by


def record_export(
    request: RecordExport, *, actor: str, causation_id: str, state: StateStore, clock: Clock,
    ids: Ids,
) -> dict[str, Any]:  # fmt: skip
    """Keep once that a version went to another environment, with who had approved it.

    Raises:
        VersionNotFoundError: The project has no such version.
        RejectedError: Nobody has approved it.
    """
    item = need_version(state, request.project, request.version)
    ballot = ballot_of(item)
    if not ballot.was_carried:
        raise RejectedError(
            f"{ballot.name} was never approved", field="state", value=ballot.state.value,
            allowed="a version that enough people approved",
        )  # fmt: skip
    told = VersionExported(
        version=request.version, environment=request.environment, account=request.account,
        became=request.became, export_digest=request.export_digest, approvers=ballot.approvers,
    )  # fmt: skip
    kept = {
        "project": request.project,
        "item": f"exported#{request.version:08d}#{request.account}#{request.environment}",
        "by": actor, "at": clock.now().isoformat(timespec="milliseconds"),
        **told.model_dump(mode="json"),
    }  # fmt: skip
    cause = Cause(request.project, str(item["correlation_id"]), causation_id, actor)
    try:
        state.commit([Put(Table.VERSIONS, kept, (Absent(),))], [event(told, cause, clock, ids)])
    except ConflictError:
        return {"project": request.project, "version": request.version, "recorded": False}
    return {"project": request.project, "version": request.version, "recorded": True}
