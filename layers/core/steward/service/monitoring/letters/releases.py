"""Letters about releases, and the experiments that judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts import events
from steward.domain.mails import releases
from steward.domain.mails.layout import Letter
from steward.domain.mails.releases import Guardrail, Shift
from steward.domain.names import alarm_name
from steward.domain.releases import version_of_release
from steward.service.monitoring.letters.occasion import ON_CALL, OWNER, Letters, Occasion
from steward.service.monitoring.letters.training import failure

if TYPE_CHECKING:
    from steward.domain.project import Project


def _release_started(occasion: Occasion) -> Letter:
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


def _release_queued(occasion: Occasion) -> Letter:
    data: events.ReleaseQueued = occasion.data
    return releases.release_queued(
        occasion.where,
        data.version,
        behind=version_of_release(data.behind),
        superseded=data.superseded,
    )


def _release_completed(occasion: Occasion) -> Letter:
    data: events.ReleaseCompleted = occasion.data
    return releases.release_completed(
        occasion.where,
        data.version,
        previous=data.previous_version,
        previous_until=data.previous_until,
    )


def _release_failed(occasion: Occasion) -> Letter:
    data: events.ReleaseFailed = occasion.data
    return releases.release_failed(occasion.where, data.version, **failure(data))


def _rolled_back(occasion: Occasion) -> Letter:
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


def _guardrail(occasion: Occasion) -> Guardrail | None:
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


def _rollback_failed(occasion: Occasion) -> Letter:
    data: events.RollbackFailed = occasion.data
    return releases.rollback_failed(
        occasion.where,
        release_id=data.release_id,
        error=data.error,
        cause=data.cause,
        execution_arn=data.execution_arn,
    )


def _not_promoted(occasion: Occasion) -> Letter:
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


def _experiment_started(occasion: Occasion) -> Letter:
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


def _verdict_reached(occasion: Occasion) -> Letter | None:
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


def _tick_failed(occasion: Occasion) -> Letter | None:
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
        **failure(data),
    )


def _schedule_repaired(occasion: Occasion) -> Letter:
    from steward.domain.mails import experiments

    data: events.ScheduleRepaired = occasion.data
    return experiments.schedule_repaired(
        occasion.where, data.version, release_id=data.release_id, schedule=data.schedule
    )


LETTERS: Letters = {
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
}
