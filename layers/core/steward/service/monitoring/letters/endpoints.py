"""Letters about endpoints and about batches that were scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steward.contracts import events
from steward.domain.endpoint_drift import WORDS, DriftKind
from steward.domain.mails import endpoints
from steward.domain.mails.layout import Letter
from steward.service.monitoring.letters.occasion import ON_CALL, OWNER, Letters, Occasion

if TYPE_CHECKING:
    pass


def _route_drifted(occasion: Occasion) -> Letter:
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


def _route_repaired(occasion: Occasion) -> Letter:
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


def _route_repair_failed(occasion: Occasion) -> Letter | None:
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


def _endpoint_idle(occasion: Occasion) -> Letter:
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


def _endpoint_reaped(occasion: Occasion) -> Letter:
    data: events.EndpointReaped = occasion.data
    return endpoints.endpoint_reaped(
        occasion.where,
        endpoint=data.endpoint,
        action=data.action,
        reason=data.reason,
        dollars_month=data.dollars_month,
        prices=data.prices,
    )


def _batch_scored(occasion: Occasion) -> Letter:
    from steward.domain.mails import batch

    data: events.BatchScored = occasion.data
    return batch.batch_scored(
        occasion.where, data.version, batch_id=data.batch_id, rows=data.rows,
        refused_rows=data.refused_rows, scores_uri=data.scores_uri,
        scores_sha256=data.scores_sha256, manifest_uri=data.manifest_uri, least=data.least,
        most=data.most, mean=data.mean,
    )  # fmt: skip


def _batch_scoring_failed(occasion: Occasion) -> Letter:
    from steward.domain.mails import batch

    data: events.BatchScoringFailed = occasion.data
    return batch.batch_scoring_failed(
        occasion.where, data.version, batch_id=data.batch_id, failed_state=data.failed_state,
        error=data.error, cause=data.cause, quarantine_uri=data.quarantine_uri,
        execution_arn=data.execution_arn,
    )  # fmt: skip


LETTERS: Letters = {
    "RouteDrifted": ((ON_CALL,), _route_drifted),
    "RouteRepaired": ((ON_CALL,), _route_repaired),
    "RouteRepairFailed": ((ON_CALL,), _route_repair_failed),
    "EndpointIdle": ((OWNER,), _endpoint_idle),
    "EndpointReaped": ((OWNER,), _endpoint_reaped),
    "BatchScored": ((OWNER,), _batch_scored),
    "BatchScoringFailed": ((ON_CALL, OWNER), _batch_scoring_failed),
}
