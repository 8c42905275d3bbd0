"""Who may let a version into production: a pure decision over a frozen record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of
from steward.domain.errors import ApprovalRefusedError, ConflictError, NotAuthorizedError
from steward.domain.versions import VersionState

Decision = Literal["approve", "reject"]
PackageStatus = Literal["Approved", "Rejected", "PendingManualApproval"]

DONE: dict[Decision, str] = {"approve": "approved", "reject": "rejected"}
"""Each decision as what was done."""

UNKNOWN_AUTHOR = "unknown"
"""What stands where nobody could be verified as the author of code or configuration."""

QUORUM_OF_UNKNOWN_AUTHOR = 2

_DECIDED_FOR = frozenset(
    {
        VersionState.APPROVED,
        VersionState.RELEASING,
        VersionState.PRODUCTION,
        VersionState.RETAINED,
        VersionState.ROLLED_BACK,
    }
)
_UNDECIDED = frozenset(
    {
        VersionState.REGISTERED,
        VersionState.PENDING,
        VersionState.STAGING_FAILED,
        VersionState.EXPIRED,
    }
)


class Approval(BaseModel):
    """One person's decision, as it is kept with the version.

    Attributes:
        evidence_digest: The digest that the person named.
        inputs_digest: Of everything that the decision was judged on, for who computes it again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    identity: str = Field(min_length=1)
    principal_arn: str
    decision: Decision
    comment: str = ""
    at: str
    evidence_digest: str | None = None
    inputs_digest: str | None = None


class Ballot(BaseModel):
    """What a decision is judged against: the version's record, evidence frozen by its digest.

    Attributes:
        author: Who brought its code or configuration.
        trainer: The person who asked for its run, where a person did.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    project: str
    version: int
    state: VersionState
    author: str = UNKNOWN_AUTHOR
    trainer: str | None = None
    evidence_digest: str | None = None
    expires_at: datetime | None = None
    quorum: int = Field(default=1, ge=1)
    approvals: list[Approval] = Field(default_factory=list)

    @property
    def name(self) -> str:
        """The version as people call it."""
        return f"{self.project} {self.version}"

    @property
    def author_known(self) -> bool:
        """Whether somebody was verified as the author."""
        return self.author not in ("", UNKNOWN_AUTHOR)

    @property
    def needed(self) -> int:
        """Approvals needed: the tier's quorum, at least two while the author is unknown."""
        return self.quorum if self.author_known else max(self.quorum, QUORUM_OF_UNKNOWN_AUTHOR)

    @property
    def approvers(self) -> list[str]:
        """Identities that approve, each once, in order; a person's last decision counts."""
        last: dict[str, Approval] = {}
        for approval in self.approvals:
            last[_same(approval.identity)] = approval
        return [a.identity for a in last.values() if a.decision == "approve"]

    @property
    def was_carried(self) -> bool:
        """Whether enough people approved at some time, whatever they decided later."""
        said_yes = {_same(a.identity) for a in self.approvals if a.decision == "approve"}
        return len(said_yes) >= self.needed


class Ruling(BaseModel):
    """What a decision makes of a version."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    state: VersionState
    approvals: list[Approval]
    recorded: bool = Field(description="False where the same decision was on record already")


def _same(identity: str) -> str:
    """Return what two spellings of one identity share: IAM names differ in more than case."""
    return identity.casefold()


def quorum_of(author: str, tier_quorum: int) -> int:
    """Return how many people must approve a version of this author under its risk tier."""
    known = author not in ("", UNKNOWN_AUTHOR)
    return tier_quorum if known else max(tier_quorum, QUORUM_OF_UNKNOWN_AUTHOR)


def rule_on(ballot: Ballot, vote: Approval, named_digest: str, now: datetime) -> Ruling:
    """Judge one person's decision.

    Approvals count by identity, so that one person under two sessions counts once. One
    rejection rejects. The same decision of the same person again changes nothing. An author
    may withdraw a version by rejecting it, never approve it.

    Args:
        ballot: The version's record.
        vote: The decision with the verified identity of whoever made it.
        named_digest: The evidence digest that the person names.
        now: The current time.

    Raises:
        NotAuthorizedError: The author or the trainer tries to approve.
        ApprovalRefusedError: The named digest is not the frozen one.
        ConflictError: The version is not open for a decision: its state or its expiry.
    """
    for role, who in (("author", ballot.author), ("trainer", ballot.trainer)):
        if who and vote.decision == "approve" and _same(vote.identity) == _same(who):
            raise NotAuthorizedError(
                f"{vote.identity} is the {role} of {ballot.name} and may not approve it",
                field="caller", value=vote.identity, allowed=f"anybody but {who}",
            )  # fmt: skip
    if ballot.evidence_digest is None:
        raise ConflictError(
            f"{ballot.name} is {ballot.state}: its evidence is not frozen, nothing can be decided"
        )
    if named_digest != ballot.evidence_digest:
        raise ApprovalRefusedError(
            f"the decision names evidence {named_digest}, but the evidence of {ballot.name} is "
            f"{ballot.evidence_digest}",
            field="evidence_digest", value=named_digest, allowed=ballot.evidence_digest,
        )  # fmt: skip
    if _repeats(ballot, vote):
        return Ruling(state=ballot.state, approvals=ballot.approvals, recorded=False)
    _check_open(ballot, vote, now)
    approvals = [*ballot.approvals, vote]
    state = ballot.state
    if vote.decision == "reject":
        state = VersionState.REJECTED
    elif len(ballot.model_copy(update={"approvals": approvals}).approvers) >= ballot.needed:
        state = VersionState.APPROVED
    return Ruling(state=state, approvals=approvals, recorded=True)


def vote_digest(ballot: Ballot, vote: Approval, named_digest: str) -> str:
    """Return the digest of everything that :func:`rule_on` judges, which a vote is kept with."""
    judged = ballot.model_dump(mode="json", exclude={"approvals", "state"})
    earlier = [approval.model_dump(mode="json") for approval in ballot.approvals]
    own = vote.model_dump(mode="json", exclude={"evidence_digest", "inputs_digest"})
    return digest_of({"ballot": judged, "earlier": earlier, "vote": own, "named": named_digest})


def _repeats(ballot: Ballot, vote: Approval) -> bool:
    own = [a for a in ballot.approvals if _same(a.identity) == _same(vote.identity)]
    stands = ballot.state == VersionState.PENDING or (
        ballot.state == VersionState.REJECTED
        if vote.decision == "reject"
        else ballot.state in _DECIDED_FOR
    )
    return bool(own) and own[-1].decision == vote.decision and stands


def _check_open(ballot: Ballot, vote: Approval, now: datetime) -> None:
    open_for = {VersionState.PENDING}
    if vote.decision == "reject":
        open_for.add(VersionState.APPROVED)
    if ballot.state not in open_for:
        by = f" by {', '.join(ballot.approvers)}" if ballot.state in _DECIDED_FOR else ""
        raise ConflictError(
            f"{ballot.name} is {ballot.state}{by}; only a version that is "
            f"{' or '.join(sorted(open_for))} can be {DONE[vote.decision]}"
        )
    if ballot.state == VersionState.PENDING and is_expired(ballot.expires_at, now):
        raise ConflictError(f"the approval request of {ballot.name} expired at {ballot.expires_at}")


def is_expired(expires_at: datetime | None, now: datetime) -> bool:
    """Return whether an approval request's time is up; the last instant is too late."""
    return expires_at is not None and now >= expires_at


def reminder_moments(
    asked_at: datetime, lifetime_s: int, fractions: Sequence[float], remind_before_s: int | None
) -> list[datetime]:
    """Return when approvers are reminded of a request, in order of time.

    Args:
        asked_at: When the approval was asked for.
        lifetime_s: How long the request stays open.
        fractions: Of the lifetime, as the project declares; each between 0 and 1.
        remind_before_s: What the policy asks for; at the latest after half the lifetime. Without
            either there is one reminder, at half the lifetime.
    """
    after = {round(lifetime_s * fraction) for fraction in fractions}
    if remind_before_s is not None or not after:
        half = lifetime_s // 2
        after.add(lifetime_s - min(half if remind_before_s is None else remind_before_s, half))
    return [asked_at + timedelta(seconds=seconds) for seconds in sorted(after)]


def package_status(state: VersionState) -> PackageStatus | None:
    """Return the ``ModelApprovalStatus`` that a state asks for; None where any will do."""
    if state in _DECIDED_FOR:
        return "Approved"
    if state in _UNDECIDED:
        return "PendingManualApproval"
    return "Rejected" if state == VersionState.REJECTED else None


def check_record(ballot: Ballot) -> PackageStatus | None:
    """Return the status that a record justifies, deciding anew from its approvals.

    Raises:
        ApprovalRefusedError: The state says approved and the approvals do not carry it.
    """
    status = package_status(ballot.state)
    if status != "Approved":
        return status
    barred = {_same(who) for who in (ballot.author, ballot.trainer) if who}
    approvers = [who for who in ballot.approvers if _same(who) not in barred]
    if ballot.evidence_digest is None or len(approvers) < ballot.needed:
        raise ApprovalRefusedError(
            f"the record of {ballot.name} says {ballot.state} with {len(approvers)} of "
            f"{ballot.needed} approvals",
            field="approvals", value=len(approvers), allowed=f"at least {ballot.needed}",
        )  # fmt: skip
    return status
