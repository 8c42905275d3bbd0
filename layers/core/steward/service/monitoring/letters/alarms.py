"""Letters about what monitoring found, and what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts import events
from steward.domain.mails import monitoring
from steward.domain.mails.layout import Letter
from steward.service.monitoring.letters.occasion import ON_CALL, OWNER, Letters, Occasion

if TYPE_CHECKING:
    pass


def _drift_detected(occasion: Occasion) -> Letter:
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


def _performance_degraded(occasion: Occasion) -> Letter:
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


def _bias_drifted(occasion: Occasion) -> Letter:
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


def _data_stale(occasion: Occasion) -> Letter:
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


def _alarm_cleared(occasion: Occasion) -> Letter:
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


def _retraining_requested(occasion: Occasion) -> Letter:
    data: events.RetrainingRequested = occasion.data
    return monitoring.retraining_requested(
        occasion.where,
        kind=data.kind,
        cause=data.cause,
        attempt=data.attempt,
        expected_usd=data.expected_usd,
    )


def _retraining_suppressed(occasion: Occasion) -> Letter:
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


def _watch_failed(occasion: Occasion) -> Letter:
    data: events.WatchFailed = occasion.data
    return monitoring.watch_failed(
        occasion.where,
        run=data.run,
        error=data.error,
        cause=data.cause,
        execution_arn=data.execution_arn,
    )


LETTERS: Letters = {
    "DriftDetected": ((ON_CALL, OWNER), _drift_detected),
    "PerformanceDegraded": ((ON_CALL, OWNER), _performance_degraded),
    "BiasDrifted": ((ON_CALL, OWNER), _bias_drifted),
    "DataStale": ((ON_CALL,), _data_stale),
    "AlarmCleared": ((ON_CALL, OWNER), _alarm_cleared),
    "RetrainingRequested": ((OWNER,), _retraining_requested),
    "RetrainingSuppressed": ((OWNER,), _retraining_suppressed),
    "WatchFailed": ((ON_CALL,), _watch_failed),
}
