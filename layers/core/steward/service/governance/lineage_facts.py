"""What each event of ours tells of lineage, and what an object of exposures tells."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from steward.contracts import events
from steward.contracts.incoming import Received
from steward.domain.errors import MalformedEventError
from steward.domain.lineage import (
    Edge,
    Facts,
    NodeFact,
    Report,
    Shift,
    batch_node,
    dataset_node,
    delivery_node,
    edge,
    endpoint_node,
    features_node,
    moment,
    object_node,
    predictions_node,
    production_endpoint,
    release_node,
    run_node,
    version_node,
)


@dataclass(frozen=True)
class _Telling:
    """One event, with the means to say what it tells."""

    data: Any
    project: str
    report: Report
    environment: str

    def fact(self, node: str, /, **attributes: Any) -> NodeFact:
        known = {name: value for name, value in attributes.items() if value is not None}
        return NodeFact(node, self.report.at, self.report.what, self.report.cause, known)

    def made(self, child: str, *parents: str) -> list[Edge]:
        return [edge(parent, child, self.report) for parent in parents]


def facts_of(received: Received, environment: str) -> Facts:
    """Return what one of our own events tells; nothing where it is not about lineage."""
    tell = _TELLS.get(type(received.detail))
    if tell is None:
        return Facts()
    meta = received.own
    report = Report(moment(received.time), received.detail_type, meta.causation_id)
    return tell(_Telling(received.detail, meta.project, report, environment))


def _delivery_received(told: _Telling) -> Facts:
    data: events.DeliveryReceived = told.data
    node = delivery_node(told.project, data.delivery_id)
    source = object_node(data.bucket, data.key, data.version_id)
    about = told.fact(node, status="received", table=data.table, key=data.key, bucket=data.bucket)
    return Facts((about,), tuple(told.made(node, source)))


def _accepted(told: _Telling) -> Facts:
    data: events.DatasetAccepted = told.data
    about = told.fact(
        delivery_node(told.project, data.delivery_id), status="accepted", rows=data.rows,
        quarantined_rows=data.quarantined_rows, report_uri=data.report_uri,
    )  # fmt: skip
    return Facts((about,))


def _rejected(told: _Telling) -> Facts:
    data: events.DatasetRejected = told.data
    about = told.fact(
        delivery_node(told.project, data.delivery_id), status="rejected",
        report_uri=data.report_uri,
    )  # fmt: skip
    return Facts((about,))


def _deleted(told: _Telling) -> Facts:
    data: events.DeliveryDeleted = told.data
    about = told.fact(
        delivery_node(told.project, data.delivery_id), status="deleted",
        deletion_reason=data.reason, deleted_by=data.by, deleted_at=data.deleted_at,
    )  # fmt: skip
    return Facts((about,))


def _batch_deleted(told: _Telling) -> Facts:
    data: events.BatchDeleted = told.data
    gone = {
        "status": "deleted", "deletion_reason": data.reason, "deleted_by": data.by,
        "deleted_at": data.deleted_at,
    }  # fmt: skip
    batch = told.fact(batch_node(told.project, data.version, data.batch_id), **gone)
    if data.scores_uri is None:
        return Facts((batch,))
    return Facts((batch, told.fact(_object_of(data.scores_uri), **gone)))


def _group_versioned(told: _Telling) -> Facts:
    data: events.FeatureGroupVersioned = told.data
    about = told.fact(
        features_node(told.project, f"{data.group}/v{data.version}"), status="active",
        definition_digest=data.definition_digest, physical_name=data.physical_name,
        source_table=data.source_table,
    )  # fmt: skip
    return Facts((about,))


def _group_retired(told: _Telling) -> Facts:
    data: events.FeatureGroupRetired = told.data
    node = features_node(told.project, f"{data.group}/v{data.version}")
    return Facts((told.fact(node, status="retired", retired_by=data.by),))


def _materialised(told: _Telling) -> Facts:
    data: events.FeaturesMaterialised = told.data
    node = features_node(told.project, f"{data.group}/v{data.version}")
    delivery = delivery_node(told.project, data.delivery_id)
    filled = edge(delivery, node, told.report, {"rows": data.rows})
    return Facts((told.fact(node, newest_event_time=data.newest_event_time),), (filled,))


def _training_started(told: _Telling) -> Facts:
    data: events.TrainingStarted = told.data
    about = told.fact(
        run_node(told.project, data.run_id), status="running", trigger=data.trigger,
        execution_arn=data.execution_arn, author=data.author, code_uri=data.code_uri,
        code_digest=data.code_digest, config_digest=data.config_digest, image=data.image,
    )  # fmt: skip
    return Facts((about,))


def _dataset_built(told: _Telling) -> Facts:
    data: events.DatasetBuilt = told.data
    node = dataset_node(told.project, data.dataset_id)
    about = [
        told.fact(
            node, manifest_uri=data.manifest_uri, train_rows=data.train_rows,
            heldout_rows=data.heldout_rows, cutoff=data.cutoff,
        )
    ]  # fmt: skip
    if data.run_id is None:
        return Facts(tuple(about))  # a rebuild proves what the first build has told
    deliveries = [delivery_node(told.project, delivery) for delivery in data.deliveries]
    views = [features_node(told.project, view) for view in data.features]
    run = run_node(told.project, data.run_id)
    about.append(
        told.fact(
            run,
            dataset_id=data.dataset_id,
            manifest_uri=data.manifest_uri,
            train_rows=data.train_rows,
            heldout_rows=data.heldout_rows,
            features=data.features,
        )
    )
    return Facts(tuple(about), (*told.made(node, *deliveries, *views), *told.made(run, node)))


def _evaluated(told: _Telling) -> Facts:
    data: events.CandidateEvaluated = told.data
    about = told.fact(
        run_node(told.project, data.run_id), metrics=data.metrics, verdict=data.verdict,
        evaluation_uri=data.evaluation_uri, champion_version=data.champion_version,
    )  # fmt: skip
    return Facts((about,))


def _held(told: _Telling) -> Facts:
    data: events.CandidateHeld = told.data
    node = run_node(told.project, data.run_id)
    return Facts((told.fact(node, status="held", reasons=data.reasons),))


def _failed(told: _Telling) -> Facts:
    data: events.TrainingFailed = told.data
    about = told.fact(
        run_node(told.project, data.run_id), status="failed", failed_state=data.failed_state,
        error=data.error, error_cause=data.cause,
    )  # fmt: skip
    return Facts((about,))


def _succeeded(told: _Telling) -> Facts:
    data: events.TrainingSucceeded = told.data
    node = run_node(told.project, data.run_id)
    version = version_node(told.project, data.version)
    about = told.fact(node, status="succeeded", version=data.version)
    return Facts((about,), tuple(told.made(version, node)))


def _registered(told: _Telling) -> Facts:
    data: events.VersionRegistered = told.data
    node, run = version_node(told.project, data.version), run_node(told.project, data.run_id)
    package = {"model_package_arn": data.model_package_arn, "artifact_uri": data.artifact_uri}
    about = (
        told.fact(node, status="pending", author=data.author, **package),
        told.fact(run, version=data.version, **package),
    )
    return Facts(about, tuple(told.made(node, run)))


def _approval_requested(told: _Telling) -> Facts:
    data: events.ApprovalRequested = told.data
    about = told.fact(
        version_node(told.project, data.version), evidence_digest=data.evidence_digest,
        evidence_uri=data.evidence_uri,
    )  # fmt: skip
    return Facts((about,))


def _approved(told: _Telling) -> Facts:
    data: events.VersionApproved = told.data
    node = version_node(told.project, data.version)
    return Facts((told.fact(node, status="approved", approvers=data.approvers),))


def _version_rejected(told: _Telling) -> Facts:
    data: events.VersionRejected = told.data
    node = version_node(told.project, data.version)
    return Facts((told.fact(node, status="rejected", rejected_by=data.by),))


def _expired(told: _Telling) -> Facts:
    data: events.ApprovalExpired = told.data
    return Facts((told.fact(version_node(told.project, data.version), status="expired"),))


def _promoted(told: _Telling) -> Facts:
    data: events.VersionPromoted = told.data
    about = [told.fact(version_node(told.project, data.version), status="production")]
    if data.previous is not None and data.previous != data.version:
        previous = version_node(told.project, data.previous)
        about.append(told.fact(previous, status="retained", replaced_by=data.version))
    return Facts(tuple(about))


def _staged(told: _Telling) -> Facts:
    data: events.VersionStaged = told.data
    endpoint = endpoint_node(data.endpoint)
    about = told.fact(endpoint, stage="staging", version=data.version)
    return Facts((about,), tuple(told.made(endpoint, version_node(told.project, data.version))))


def _release_started(told: _Telling) -> Facts:
    data: events.ReleaseStarted = told.data
    node = release_node(told.project, data.release_id)
    endpoint = production_endpoint(told.environment, told.project, data.version)
    about = (
        told.fact(
            node, status="running", version=data.version, strategy=data.strategy,
            steps=data.steps, stable_version=data.stable_version,
        ),
        told.fact(endpoint, stage="production", version=data.version),
    )  # fmt: skip
    made = told.made(node, version_node(told.project, data.version))
    return Facts(about, (*made, *told.made(endpoint, node)))


def _shifted(told: _Telling) -> Facts:
    data: events.TrafficShifted = told.data
    shift = Shift(
        told.project, data.route_version, moment(data.shifted_at), data.shares, data.release_id
    )
    about = told.fact(release_node(told.project, data.release_id), shares=data.shares)
    return Facts((about,), shifts=(shift,))


def _completed(told: _Telling) -> Facts:
    data: events.ReleaseCompleted = told.data
    return Facts((told.fact(release_node(told.project, data.release_id), status="completed"),))


def _rolled_back(told: _Telling) -> Facts:
    data: events.ReleaseRolledBack = told.data
    about = told.fact(
        release_node(told.project, data.release_id), status="rolled_back", reason=data.cause,
        stable_version=data.stable_version,
    )  # fmt: skip
    return Facts((about,))


def _release_failed(told: _Telling) -> Facts:
    data: events.ReleaseFailed = told.data
    node = release_node(told.project, data.release_id)
    return Facts((told.fact(node, status="failed", error=data.error),))


def _not_promoted(told: _Telling) -> Facts:
    data: events.ReleaseNotPromoted = told.data
    about = told.fact(
        release_node(told.project, data.release_id), status="not_promoted", reason=data.reason,
        stable_version=data.stable_version,
    )  # fmt: skip
    return Facts((about,))


def _batch_scored(told: _Telling) -> Facts:
    data: events.BatchScored = told.data
    node = batch_node(told.project, data.version, data.batch_id)
    scores = _object_of(data.scores_uri)
    about = (
        told.fact(
            node, status="delivered", rows=data.rows, refused_rows=data.refused_rows,
            manifest_uri=data.manifest_uri, transform_job=data.transform_job,
        ),
        told.fact(scores, sha256=data.scores_sha256, rows=data.rows),
        *(
            told.fact(_object_of(file["uri"], file.get("version_id")), sha256=file["sha256"])
            for file in data.input
        ),
    )  # fmt: skip
    parents = [_object_of(file["uri"], file.get("version_id")) for file in data.input]
    made = told.made(node, version_node(told.project, data.version), *parents)
    return Facts(about, (*made, *told.made(scores, node)))


def _object_of(uri: str, version_id: str | None = None) -> str:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return object_node(bucket, key, version_id)


_TELLS: dict[type[events.Payload], Callable[[_Telling], Facts]] = {
    events.DeliveryReceived: _delivery_received,
    events.DatasetAccepted: _accepted,
    events.DatasetRejected: _rejected,
    events.DeliveryDeleted: _deleted,
    events.BatchDeleted: _batch_deleted,
    events.FeatureGroupVersioned: _group_versioned,
    events.FeatureGroupRetired: _group_retired,
    events.FeaturesMaterialised: _materialised,
    events.TrainingStarted: _training_started,
    events.DatasetBuilt: _dataset_built,
    events.CandidateEvaluated: _evaluated,
    events.CandidateHeld: _held,
    events.TrainingFailed: _failed,
    events.TrainingSucceeded: _succeeded,
    events.VersionRegistered: _registered,
    events.ApprovalRequested: _approval_requested,
    events.VersionApproved: _approved,
    events.VersionRejected: _version_rejected,
    events.ApprovalExpired: _expired,
    events.VersionPromoted: _promoted,
    events.VersionStaged: _staged,
    events.ReleaseStarted: _release_started,
    events.TrafficShifted: _shifted,
    events.ReleaseCompleted: _completed,
    events.ReleaseRolledBack: _rolled_back,
    events.ReleaseFailed: _release_failed,
    events.ReleaseNotPromoted: _not_promoted,
    events.BatchScored: _batch_scored,
}

TELLING = tuple(payload.__name__ for payload in _TELLS)
"""Detail-types of ours that tell of lineage."""


def exposure_facts(lines: Iterable[bytes], source: str, report: Report, environment: str) -> Facts:
    """Return which prediction partitions an object of captured exposures holds.

    The version is the one that answered, after a fallback too and unseen too, and the hour that
    of the answer. What nobody answered is no prediction.

    Args:
        lines: The object's lines, one exposure each.
        source: The object's node.
        report: The event that announced the object.

    Raises:
        MalformedEventError: A line is no exposure.
    """
    counts: Counter[tuple[str, int, datetime]] = Counter()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            seen = json.loads(line)["capture"]
            at = datetime.fromisoformat(seen["time"]).astimezone(UTC)
            key = str(seen["project"]), int(seen["answering_version"]), at
            answered = seen.get("prediction", {}) is not None
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedEventError(
                f"line {number} of {source} is no exposure: {type(error).__name__}: {error}",
                field="capture", allowed="an object with project, answering_version and time",
            ) from None  # fmt: skip
        if answered:
            counts[key[0], key[1], at.replace(minute=0, second=0, microsecond=0)] += 1
    edges: list[Edge] = []
    for (project, version, hour), answers in sorted(counts.items()):
        partition = predictions_node(project, version, hour)
        edges.append(edge(production_endpoint(environment, project, version), partition, report))
        edges.append(edge(partition, source, report, {"answers": answers}))
    return Facts(edges=tuple(edges))
