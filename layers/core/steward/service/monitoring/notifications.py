"""Who is written to about what. The texts are in ``domain.mails``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts import events
from steward.contracts.incoming import Received
from steward.domain.endpoint_drift import WORDS, DriftKind
from steward.domain.errors import InvalidProjectError
from steward.domain.mails import endpoints, monitoring, releases, training
from steward.domain.mails.layout import Letter, Where
from steward.domain.mails.releases import Guardrail, Shift
from steward.domain.mails.training import BrokenRule
from steward.domain.names import alarm_name
from steward.domain.releases import version_of_release
from steward.domain.versions import version_item
from steward.ports import Item, Mail, StateStore, Table

if TYPE_CHECKING:
    from steward.domain.project import Project

APPROVER, ON_CALL, OWNER = "approver", "on_call", "owner"


@dataclass(frozen=True)
class _Occasion:
    """An event, where it happened, and the records that its mail may need."""

    where: Where
    data: Any
    meta: events.Meta
    state: StateStore

    def version(self) -> Item:
        key = {"project": self.where.project, "item": version_item(self.data.version)}
        return self.state.get(Table.VERSIONS, key) or {}

    def reused(self, run_id: str) -> list[str]:
        """Return what a run did not carry out again."""
        from steward.domain.run_comparison import reused_steps

        key = {"project": self.where.project, "run_id": run_id}
        return reused_steps(self.state.get(Table.RUNS, key) or {})

    def release(self) -> Item:
        key = {"project": self.where.project, "release_id": self.data.release_id}
        return self.state.get(Table.RELEASES, key) or {}

    def project(self) -> Project | None:
        from steward.domain.project import parse_project  # large, and few letters need it

        item = self.state.get(Table.PROJECTS, {"project": self.where.project})
        try:
            return parse_project(item["config"]) if item else None
        except InvalidProjectError:
            return None


def notify_people(
    received: Received, *, state: StateStore, mail: Mail, environment: str, region: str
) -> list[str]:
    """Send the mails that an event asks for; a replayed event asks for none.

    Hourly looks that decide nothing new, and failed ones after the first in a row, ask for none.

    Returns:
        The roles written to.
    """
    if received.replayed:
        return []
    meta = received.own
    occasion = _Occasion(Where(environment, region, meta.project), received.detail, meta, state)
    roles, write = _MAILS[type(received.detail).__name__]
    letter = write(occasion)
    if letter is None:
        return []
    for role in roles:
        mail.send(role, letter.subject, letter.body)
    return list(roles)


def _approval_requested(occasion: _Occasion) -> Letter:
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


def _approved(occasion: _Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.VersionApproved = occasion.data
    return approvals.approved(occasion.where, data.version, data.approvers, data.evidence_digest)


def _rejected(occasion: _Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.VersionRejected = occasion.data
    return approvals.rejected(
        occasion.where, data.version, data.by, data.comment, data.evidence_digest
    )


def _promotion_refused(occasion: _Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.PromotionRefused = occasion.data
    return approvals.promotion_refused(
        occasion.where, data.version, environment=data.environment, by=data.by, error=data.error,
        message=data.message,
    )  # fmt: skip


def _expired(occasion: _Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ApprovalExpired = occasion.data
    if data.superseded_by is not None:
        return approvals.superseded(occasion.where, data.version, data.superseded_by)
    return approvals.expired(occasion.where, data.version, data.expired_at)


def _reminded(occasion: _Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ApprovalReminder = occasion.data
    return approvals.reminder(
        occasion.where, data.version, expires_at=data.expires_at, missing=data.missing,
        digest=data.evidence_digest,
    )  # fmt: skip


def _waived(occasion: _Occasion) -> Letter:
    from steward.domain.mails import waivers

    data: events.WaiverGranted = occasion.data
    return waivers.granted(
        occasion.where, waiver_id=data.waiver_id, rule=data.rule, reason=data.reason,
        by=data.by, expires_at=data.expires_at, run_id=data.run_id, version=data.version,
    )  # fmt: skip


def _waiver_revoked(occasion: _Occasion) -> Letter:
    from steward.domain.mails import waivers

    data: events.WaiverRevoked = occasion.data
    return waivers.revoked(
        occasion.where, waiver_id=data.waiver_id, rule=data.rule, reason=data.reason, by=data.by
    )


def _review_due(occasion: _Occasion) -> Letter:
    from steward.domain.mails import approvals

    data: events.ReviewDue = occasion.data
    return approvals.review_due(
        occasion.where, tier=data.tier, owner=data.owner, production=data.production,
        last_review=data.last_review, due=data.due,
    )  # fmt: skip


def _bypassed(occasion: _Occasion) -> Letter:
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


def _dataset_rejected(occasion: _Occasion) -> Letter:
    data: events.DatasetRejected = occasion.data
    return training.dataset_rejected(
        occasion.where,
        key=data.key,
        delivery_id=data.delivery_id,
        quarantine_uri=data.quarantine_uri,
        report_uri=data.report_uri,
        rules=[
            BrokenRule(found.rule, found.column, found.count, found.message, found.examples)
            for found in data.violations
        ],
        table_name=data.table,
    )


def _held(occasion: _Occasion) -> Letter:
    data: events.CandidateHeld = occasion.data
    return training.candidate_held(
        occasion.where, run_id=data.run_id, verdict=data.verdict, reasons=data.reasons,
        reused=occasion.reused(data.run_id),
    )  # fmt: skip


def _training_failed(occasion: _Occasion) -> Letter | None:
    """Say why a run failed, but for rejected deliveries: of each of them the owner has mail."""
    data: events.TrainingFailed = occasion.data
    if (data.failed_state, data.error) == ("ValidateDeliveries", "DatasetRejectedError"):
        return None
    return training.training_failed(
        occasion.where, run_id=data.run_id, **_failure(data), reused=occasion.reused(data.run_id)
    )


def _integration_failed(occasion: _Occasion) -> Letter:
    data: events.IntegrationFailed = occasion.data
    told = data.model_dump(exclude={"integration_id"})
    return training.integration_failed(occasion.where, **told)


def _staging_failed(occasion: _Occasion) -> Letter:
    data: events.StagingFailed = occasion.data
    return training.staging_failed(occasion.where, data.version, **_failure(data))


def _release_failed(occasion: _Occasion) -> Letter:
    data: events.ReleaseFailed = occasion.data
    return releases.release_failed(occasion.where, data.version, **_failure(data))


def _failure(
    data: events.TrainingFailed | events.StagingFailed | events.ReleaseFailed | events.TickFailed,
) -> dict[str, str]:
    return {
        "failed_state": data.failed_state,
        "error": data.error,
        "cause": data.cause,
        "execution_arn": data.execution_arn,
    }


def _release_started(occasion: _Occasion) -> Letter:
    data: events.ReleaseStarted = occasion.data
    votes = occasion.version().get("approvals") or []
    return releases.release_started(
        occasion.where,
        data.version,
        stable=data.stable_version,
        strategy=data.strategy,
        steps=data.steps,
        approvers=[vote["identity"] for vote in votes if vote["decision"] == "approve"],
        execution_arn=data.execution_arn,
    )


def _release_queued(occasion: _Occasion) -> Letter:
    data: events.ReleaseQueued = occasion.data
    return releases.release_queued(
        occasion.where,
        data.version,
        behind=version_of_release(data.behind),
        superseded=data.superseded,
    )


def _release_completed(occasion: _Occasion) -> Letter:
    data: events.ReleaseCompleted = occasion.data
    return releases.release_completed(
        occasion.where,
        data.version,
        previous=data.previous_version,
        previous_until=data.previous_until,
    )


def _rolled_back(occasion: _Occasion) -> Letter:
    data: events.ReleaseRolledBack = occasion.data
    shifts = occasion.release().get("shifts") or []
    return releases.rolled_back(
        occasion.where,
        data.version,
        stable=data.stable_version,
        cause=data.cause,
        triggered_at=data.triggered_at,
        restored_at=data.restored_at,
        shifts=[
            Shift(shift["at"], shift["shares"])
            for shift in shifts
            if shift["shares"].get(str(data.version))
        ],
        guardrail=_guardrail(occasion),
        execution_arn=data.execution_arn or "",
    )


def _guardrail(occasion: _Occasion) -> Guardrail | None:
    """Return the guardrail alarm that the cause names, with what its project says of it."""
    for signal, describe in (
        ("candidate-errors", _errors_rule),
        ("candidate-latency", _latency_rule),
    ):
        name = alarm_name(occasion.where.environment, occasion.where.project, signal)
        if name in occasion.data.cause:
            project = occasion.project()
            return Guardrail(name, describe(project) if project else "")
    return None


def _errors_rule(project: Project) -> str:
    rule = project.alarms.errors
    return (
        f"{rule.threshold} or more failed answers within {rule.period_s} s, in "
        f"{rule.datapoints_to_alarm} of {rule.evaluation_periods} periods."
    )


def _latency_rule(project: Project) -> str:
    rule = project.alarms.latency
    return (
        f"a p95 latency above {rule.threshold_ms} ms over {rule.period_s} s, in "
        f"{rule.datapoints_to_alarm} of {rule.evaluation_periods} periods."
    )


def _rollback_failed(occasion: _Occasion) -> Letter:
    data: events.RollbackFailed = occasion.data
    return releases.rollback_failed(
        occasion.where,
        release_id=data.release_id,
        error=data.error,
        cause=data.cause,
        execution_arn=data.execution_arn,
    )


def _not_promoted(occasion: _Occasion) -> Letter:
    from steward.domain.mails import experiments

    data: events.ReleaseNotPromoted = occasion.data
    return experiments.release_not_promoted(
        occasion.where,
        data.version,
        release_id=data.release_id,
        stable=data.stable_version,
        verdict=data.verdict,
        reason=data.reason,
    )


def _experiment_started(occasion: _Occasion) -> Letter:
    from steward.domain.mails import experiments

    data: events.ExperimentStarted = occasion.data
    return experiments.experiment_started(
        occasion.where,
        data.version,
        release_id=data.release_id,
        stable=data.stable_version,
        strategy=data.strategy,
        phases=data.phases,
        tick_s=data.tick_s,
        planned_s=data.planned_s,
    )


def _verdict_reached(occasion: _Occasion) -> Letter | None:
    from steward.domain.mails import experiments

    data: events.VerdictReached = occasion.data
    if data.verdict == (data.previous or "continue"):
        return None
    return experiments.verdict_reached(
        occasion.where,
        data.version,
        release_id=data.release_id,
        number=data.number,
        phase=data.phase,
        verdict=data.verdict,
        previous=data.previous,
        reason=data.reason,
        digest=data.digest,
    )


def _tick_failed(occasion: _Occasion) -> Letter | None:
    from steward.domain.mails import experiments

    data: events.TickFailed = occasion.data
    if data.in_a_row > 1:
        return None
    return experiments.tick_failed(
        occasion.where,
        data.version,
        release_id=data.release_id,
        in_a_row=data.in_a_row,
        allowed=data.allowed,
        **_failure(data),
    )


def _schedule_repaired(occasion: _Occasion) -> Letter:
    from steward.domain.mails import experiments

    data: events.ScheduleRepaired = occasion.data
    return experiments.schedule_repaired(
        occasion.where, data.version, release_id=data.release_id, schedule=data.schedule
    )


def _route_drifted(occasion: _Occasion) -> Letter:
    data: events.RouteDrifted = occasion.data
    return endpoints.route_drifted(
        occasion.where,
        data.version,
        endpoint=data.endpoint,
        role=data.role,
        what=WORDS[DriftKind(data.kind)],
        wanted=data.wanted,
        found=data.found,
        since=data.since,
        last_in_order_at=data.last_in_order_at,
        action=data.action,
    )


def _route_repaired(occasion: _Occasion) -> Letter:
    data: events.RouteRepaired = occasion.data
    return endpoints.route_repaired(
        occasion.where,
        data.version,
        endpoint=data.endpoint,
        what=WORDS[DriftKind(data.kind)],
        by=data.by,
        drifted_at=data.drifted_at,
        repaired_at=data.repaired_at,
    )


def _route_repair_failed(occasion: _Occasion) -> Letter | None:
    data: events.RouteRepairFailed = occasion.data
    if not data.given_up:
        return None
    return endpoints.route_repair_failed(
        occasion.where,
        data.version,
        endpoint=data.endpoint,
        what=WORDS[DriftKind(data.kind)],
        attempt=data.attempt,
        error=data.error,
        cause=data.cause,
    )


def _endpoint_idle(occasion: _Occasion) -> Letter:
    data: events.EndpointIdle = occasion.data
    return endpoints.endpoints_idle(
        occasion.where,
        [
            endpoints.IdleLine(e.endpoint, e.reason, e.since, e.action, e.dollars_month)
            for e in data.endpoints
        ],
        dollars_month=data.dollars_month,
        performed=data.performed,
        prices=data.prices,
    )


def _endpoint_reaped(occasion: _Occasion) -> Letter:
    data: events.EndpointReaped = occasion.data
    return endpoints.endpoint_reaped(
        occasion.where,
        endpoint=data.endpoint,
        action=data.action,
        reason=data.reason,
        dollars_month=data.dollars_month,
        prices=data.prices,
    )


def _batch_scored(occasion: _Occasion) -> Letter:
    from steward.domain.mails import batch

    data: events.BatchScored = occasion.data
    return batch.batch_scored(
        occasion.where, data.version, batch_id=data.batch_id, rows=data.rows,
        refused_rows=data.refused_rows, scores_uri=data.scores_uri,
        scores_sha256=data.scores_sha256, manifest_uri=data.manifest_uri, least=data.least,
        most=data.most, mean=data.mean,
    )  # fmt: skip


def _batch_scoring_failed(occasion: _Occasion) -> Letter:
    from steward.domain.mails import batch

    data: events.BatchScoringFailed = occasion.data
    return batch.batch_scoring_failed(
        occasion.where, data.version, batch_id=data.batch_id, failed_state=data.failed_state,
        error=data.error, cause=data.cause, quarantine_uri=data.quarantine_uri,
        execution_arn=data.execution_arn,
    )  # fmt: skip


def _drift_detected(occasion: _Occasion) -> Letter:
    data: events.DriftDetected = occasion.data
    return monitoring.drift_detected(
        occasion.where,
        data.version,
        kind=data.kind,
        window=data.window,
        since=data.since,
        columns=data.columns,
        p=data.p,
        effect=data.effect,
        horizon=data.horizon,
        rows=data.rows,
        odds=data.odds,
        sentence=data.sentence,
        action=data.action,
        role=data.role,
        uri=data.uri,
        execution_arn=data.execution_arn,
    )


def _performance_degraded(occasion: _Occasion) -> Letter:
    data: events.PerformanceDegraded = occasion.data
    return monitoring.performance_degraded(
        occasion.where,
        data.version,
        window=data.window,
        since=data.since,
        metric=data.metric,
        current=data.current,
        baseline=data.baseline,
        margin=data.margin,
        labelled=data.labelled,
        coverage=data.coverage,
        odds=data.odds,
        sentence=data.sentence,
        action=data.action,
        role=data.role,
        uri=data.uri,
        execution_arn=data.execution_arn,
    )


def _bias_drifted(occasion: _Occasion) -> Letter:
    data: events.BiasDrifted = occasion.data
    return monitoring.bias_drifted(
        occasion.where,
        data.version,
        window=data.window,
        since=data.since,
        groups=data.groups,
        sentence=data.sentence,
        action=data.action,
        role=data.role,
        uri=data.uri,
        execution_arn=data.execution_arn,
    )


def _data_stale(occasion: _Occasion) -> Letter:
    data: events.DataStale = occasion.data
    return monitoring.data_stale(
        occasion.where,
        data.version,
        window=data.window,
        since=data.since,
        silent_s=data.silent_s,
        sentence=data.sentence,
        uri=data.uri,
        execution_arn=data.execution_arn,
    )


def _alarm_cleared(occasion: _Occasion) -> Letter:
    data: events.AlarmCleared = occasion.data
    return monitoring.alarm_cleared(
        occasion.where,
        data.kind,
        data.version,
        window=data.window,
        since=data.since,
        sentence=data.sentence,
        role=data.role,
        uri=data.uri,
    )


def _retraining_requested(occasion: _Occasion) -> Letter:
    data: events.RetrainingRequested = occasion.data
    return monitoring.retraining_requested(
        occasion.where,
        kind=data.kind,
        cause=data.cause,
        attempt=data.attempt,
        expected_usd=data.expected_usd,
    )


def _retraining_suppressed(occasion: _Occasion) -> Letter:
    data: events.RetrainingSuppressed = occasion.data
    return monitoring.retraining_suppressed(
        occasion.where,
        kind=data.kind,
        cause=data.cause,
        code=data.code,
        reason=data.reason,
        waits=data.waits,
        not_before=data.not_before,
    )


def _watch_failed(occasion: _Occasion) -> Letter:
    data: events.WatchFailed = occasion.data
    return monitoring.watch_failed(
        occasion.where,
        run=data.run,
        error=data.error,
        cause=data.cause,
        execution_arn=data.execution_arn,
    )


def _ledger_tampered(occasion: _Occasion) -> Letter:
    from steward.domain.mails import ledger

    data: events.LedgerTampered = occasion.data
    return ledger.tampered(occasion.where, item=data.item, change=data.change, by=data.by)


def _ledger_broken(occasion: _Occasion) -> Letter:
    from steward.domain.mails import ledger

    data: events.LedgerBroken = occasion.data
    return ledger.broken(occasion.where, kind=data.kind, seq=data.seq, told=data.told)


def _change_unmatched(occasion: _Occasion) -> Letter:
    from steward.domain.mails import ledger

    data: events.ChangeUnmatched = occasion.data
    return ledger.unmatched(
        occasion.where, call=data.call, resource=data.resource, principal=data.principal,
        at=data.at, reason=data.reason, source_ip=data.source_ip,
    )  # fmt: skip


_Write = Callable[[_Occasion], Letter | None]

# By name: to name the classes would build the models of all events in each cold start.
_MAILS: dict[str, tuple[Sequence[str], _Write]] = {
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
    "DatasetRejected": ((OWNER,), _dataset_rejected),
    "CandidateHeld": ((OWNER,), _held),
    "TrainingFailed": ((ON_CALL, OWNER), _training_failed),
    "IntegrationFailed": ((OWNER,), _integration_failed),
    "StagingFailed": ((ON_CALL, OWNER), _staging_failed),
    "ReleaseStarted": ((OWNER,), _release_started),
    "ReleaseQueued": ((OWNER,), _release_queued),
    "ReleaseCompleted": ((OWNER,), _release_completed),
    "ReleaseRolledBack": ((ON_CALL,), _rolled_back),
    "ReleaseFailed": ((ON_CALL, OWNER), _release_failed),
    "RollbackFailed": ((ON_CALL,), _rollback_failed),
    "ReleaseNotPromoted": ((OWNER,), _not_promoted),
    "ExperimentStarted": ((OWNER,), _experiment_started),
    "VerdictReached": ((OWNER,), _verdict_reached),
    "TickFailed": ((ON_CALL,), _tick_failed),
    "ScheduleRepaired": ((ON_CALL,), _schedule_repaired),
    "RouteDrifted": ((ON_CALL,), _route_drifted),
    "RouteRepaired": ((ON_CALL,), _route_repaired),
    "RouteRepairFailed": ((ON_CALL,), _route_repair_failed),
    "EndpointIdle": ((OWNER,), _endpoint_idle),
    "EndpointReaped": ((OWNER,), _endpoint_reaped),
    "BatchScored": ((OWNER,), _batch_scored),
    "BatchScoringFailed": ((ON_CALL, OWNER), _batch_scoring_failed),
    "DriftDetected": ((ON_CALL, OWNER), _drift_detected),
    "PerformanceDegraded": ((ON_CALL, OWNER), _performance_degraded),
    "BiasDrifted": ((ON_CALL, OWNER), _bias_drifted),
    "DataStale": ((ON_CALL,), _data_stale),
    "AlarmCleared": ((ON_CALL, OWNER), _alarm_cleared),
    "RetrainingRequested": ((OWNER,), _retraining_requested),
    "RetrainingSuppressed": ((OWNER,), _retraining_suppressed),
    "WatchFailed": ((ON_CALL,), _watch_failed),
    "LedgerTampered": ((ON_CALL,), _ledger_tampered),
    "LedgerBroken": ((ON_CALL,), _ledger_broken),
    "ChangeUnmatched": ((ON_CALL,), _change_unmatched),
}

NOTIFIES_OF = tuple(_MAILS)
"""Detail-types that somebody is written to about."""
