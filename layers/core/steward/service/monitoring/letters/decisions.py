"""Letters about what people decide: approvals, promotions, waivers, reviews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts import events
from steward.domain.mails.layout import Letter
from steward.service.monitoring.letters.occasion import APPROVER, ON_CALL, OWNER, Letters, Occasion

if TYPE_CHECKING:
    pass


def _approval_requested(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ApprovalRequested = occasion.data
    return approvals.approval_requested(
        occasion.where,
        data.version,
        approvals.ToldSummary.model_validate(data.summary),
        evidence_digest=data.evidence_digest,
        evidence_uri=data.evidence_uri,
        expires_at=data.expires_at,
        quorum=data.quorum,
        reused=occasion.reused(str(data.summary["run_id"])),
    )


def _approved(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.VersionApproved = occasion.data
    return approvals.approved(occasion.where, data.version, data.approvers, data.evidence_digest)


def _rejected(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.VersionRejected = occasion.data
    return approvals.rejected(
        occasion.where, data.version, data.by, data.comment, data.evidence_digest
    )


def _promotion_refused(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.PromotionRefused = occasion.data
    return approvals.promotion_refused(
        occasion.where, data.version, environment=data.environment, by=data.by, error=data.error,
        message=data.message,
    )  # fmt: skip


def _expired(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ApprovalExpired = occasion.data
    if data.superseded_by is not None:
        return approvals.superseded(occasion.where, data.version, data.superseded_by)
    return approvals.expired(occasion.where, data.version, data.expired_at)


def _reminded(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ApprovalReminder = occasion.data
    return approvals.reminder(
        occasion.where, data.version, expires_at=data.expires_at, missing=data.missing,
        digest=data.evidence_digest,
    )  # fmt: skip


def _waived(occasion: Occasion) -> Letter:
    from steward.domain.mails import waivers

    data: events.WaiverGranted = occasion.data
    return waivers.granted(
        occasion.where, waiver_id=data.waiver_id, rule=data.rule, reason=data.reason,
        by=data.by, expires_at=data.expires_at, run_id=data.run_id, version=data.version,
    )  # fmt: skip


def _waiver_revoked(occasion: Occasion) -> Letter:
    from steward.domain.mails import waivers

    data: events.WaiverRevoked = occasion.data
    return waivers.revoked(
        occasion.where, waiver_id=data.waiver_id, rule=data.rule, reason=data.reason, by=data.by
    )


def _review_due(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ReviewDue = occasion.data
    return approvals.review_due(
        occasion.where, tier=data.tier, owner=data.owner, production=data.production,
        last_review=data.last_review, due=data.due,
    )  # fmt: skip


def _bypassed(occasion: Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ApprovalBypassed = occasion.data
    return approvals.bypassed(
        occasion.where,
        data.version,
        arn=data.model_package_arn,
        found=data.found_status,
        restored=data.restored_status,
        actor=occasion.meta.actor,
    )


LETTERS: Letters = {
    "ApprovalRequested": ((APPROVER,), _approval_requested),
    "VersionApproved": ((OWNER,), _approved),
    "VersionRejected": ((OWNER,), _rejected),
    "PromotionRefused": ((OWNER,), _promotion_refused),
    "ReviewDue": ((OWNER, APPROVER), _review_due),
    "ApprovalExpired": ((OWNER,), _expired),
    "ApprovalReminder": ((APPROVER,), _reminded),
    "WaiverGranted": ((APPROVER, OWNER), _waived),
    "WaiverRevoked": ((APPROVER, OWNER), _waiver_revoked),
    "ApprovalBypassed": ((APPROVER, ON_CALL), _bypassed),
}
