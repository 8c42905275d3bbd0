"""Use case: take a delivery of another table than the primary one, and judge it at once."""

from __future__ import annotations

from typing import Any

from steward.contracts.events import DeliveryReceived
from steward.contracts.incoming import ObjectCreated, Received
from steward.domain.errors import ConflictError, ProjectNotFoundError
from steward.domain.names import PRIMARY, delivery_of_key
from steward.domain.project import parse_project
from steward.domain.runs import DeliveryStatus, training_digest
from steward.domain.tables import source_of
from steward.ports import Absent, Equals, Item, Put, Table, Update
from steward.service.data.judging import Bench, Judgement, event_times_of, judge_delivery
from steward.service.emission import Cause, event


def receive_delivery(received: Received, bench: Bench) -> dict[str, Any]:
    """Record and judge a file below ``deliveries/<project>/<source>/``.

    Files of the primary table are left to the training run that they start. The same bytes are
    judged once; what was rejected is judged again when the configuration has changed. A crash
    between record and verdict is healed by the event's retry.

    Returns:
        ``outcome``: accepted, rejected, known or ignored, and what there is to say about it.

    Raises:
        ProjectNotFoundError: No such project is configured.
        EvidenceIncompleteError: The object is gone, or its bytes are others.
    """
    created = received.detail
    assert isinstance(created, ObjectCreated)
    found = delivery_of_key(created.object.key)
    if created.bucket.name != bench.data_bucket or found is None:
        return _ignored(f"{created.object.key} is no delivery")
    name, path = found
    configured = bench.state.get(Table.PROJECTS, {"project": name})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {name!r} is configured", field="project", value=name,
            allowed="a project added with `steward project add`",
        )  # fmt: skip
    source = source_of(path, configured["config"]["data"].get("sources", {}))
    if source == PRIMARY:
        return _ignored("a file of the primary table starts a training run")
    project = parse_project(configured["config"])
    table = project.data.table(source)
    assert table is not None
    item = _record(received, created, name, source, configured, bench)
    if item["status"] != DeliveryStatus.RECEIVED:
        return {"outcome": "known", "delivery_id": item["delivery_id"], "status": item["status"]}
    delivery_id = item["delivery_id"]
    cause = Cause(name, delivery_id[:12], received.id, created.requester or "s3")
    judgement = Judgement(
        name, source, table, delivery_id, configured["config_digest"],
        training_digest(configured["config"]), cause, event_times_of(project, source),
    )  # fmt: skip
    judged = judge_delivery(item, judgement, bench)
    return {
        "outcome": judged["status"], "delivery_id": delivery_id, "table": source,
        "rows": judged["rows"],
    }  # fmt: skip


def _ignored(reason: str) -> dict[str, Any]:
    return {"outcome": "ignored", "reason": reason}


def _record(
    received: Received,
    created: ObjectCreated,
    project: str,
    source: str,
    configured: Item,
    bench: Bench,
) -> Item:
    """Record the delivered bytes once under their digest, and return what is known of them."""
    bucket, stored = created.bucket.name, created.object
    digest = bench.objects.sha256(bucket, stored.key, stored.version_id)
    key = {"project": project, "delivery_id": digest}
    now = bench.clock.now().isoformat(timespec="milliseconds")
    fresh = {"status": DeliveryStatus.RECEIVED.value, "received_at": now}
    item: Item = {
        **key, **fresh, "bucket": bucket, "key": stored.key, "version_id": stored.version_id,
        "size": stored.size, "table": source,
    }  # fmt: skip
    payload = DeliveryReceived(
        delivery_id=digest, bucket=bucket, key=stored.key, version_id=stored.version_id,
        table=source,
    )  # fmt: skip
    cause = Cause(project, digest[:12], received.id, created.requester or "s3")
    events = [event(payload, cause, bench.clock, bench.ids)]
    try:
        bench.state.commit([Put(Table.DELIVERIES, item, expect=(Absent(),))], events)
        return item
    except ConflictError:
        known = bench.state.get(Table.DELIVERIES, key)
    if known is None:
        raise ConflictError(f"delivery {digest[:12]} of {project} is being written") from None
    rejected = known["status"] == DeliveryStatus.REJECTED
    if not rejected or known.get("judged_under") == training_digest(configured["config"]):
        return known
    again = Update(Table.DELIVERIES, key, set=fresh, expect=(Equals("status", known["status"]),))
    bench.state.commit([again], events)
    return {**known, **fresh}
