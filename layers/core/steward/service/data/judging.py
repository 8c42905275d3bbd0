"""Judging one delivery: the rules of its table, the report, and the verdict in one write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from steward.contracts.events import DatasetAccepted, DatasetRejected, RuleViolation
from steward.domain import tables as declared
from steward.domain.datasets import file_digest
from steward.domain.errors import ConflictError
from steward.domain.findings import Violation
from steward.domain.project import Project
from steward.domain.rows_set_aside import SetAside
from steward.domain.runs import DeliveryStatus
from steward.domain.validation import Context, FileReport, Validated, validate_file
from steward.domain.validation_page import page
from steward.domain.workspace import Limits, engine_version
from steward.ports import Clock, Equals, Ids, Item, ObjectStore, StateStore, Table, Update
from steward.service.data.deliveries import fetch
from steward.service.data.references import References, references_of
from steward.service.emission import Cause, event

EXAMPLES_IN_EVENT = 5
VIOLATIONS_IN_EVENT = 25
_TYPES = {"csv": "text/csv", "jsonl": "application/x-ndjson"}


@dataclass(frozen=True)
class Bench:
    """What judging a delivery works with.

    Attributes:
        data_bucket: Deliveries, their accepted rows, and the quarantine.
        artifacts_bucket: Reports.
    """

    state: StateStore
    objects: ObjectStore
    clock: Clock
    ids: Ids
    limits: Limits
    data_bucket: str
    artifacts_bucket: str


@dataclass(frozen=True)
class Judgement:
    """By whom and by which rules a delivery is judged.

    Attributes:
        source: Name of the table's source.
        judged_by: The run, or the delivery itself where none asked.
        config_digest: Configuration that declares the table.
        rules_digest: Of what it declares of data and runs: the same bytes are judged once by it.
        event_times: Columns that are the event time of a feature group.
    """

    project: str
    source: str
    table: declared.Table
    judged_by: str
    config_digest: str
    rules_digest: str
    cause: Cause
    event_times: frozenset[str] = frozenset()


def event_times_of(project: Project, source: str) -> frozenset[str]:
    """Return the columns of a source that are the event time of a feature group."""
    return frozenset(group.event_time for group in project.feature_groups if group.source == source)


def judge_delivery(delivery: Item, judgement: Judgement, bench: Bench) -> Item:
    """Check one delivery, keep the report, and record and publish the verdict in one write.

    A rejected file is copied to ``quarantine/<project>/<delivery id>/`` with ``report.json`` and
    ``report.html`` beside it; those of an accepted one are
    ``reports/<project>/deliveries/<id>.json`` and ``.html``. Rows that are set aside lie as
    ``rows.*`` with ``reasons.csv`` in the quarantine too, and what counts, by its digest, below
    ``accepted/<project>/<id>/``: nothing is lost, and a retry writes the same objects.

    Returns:
        The delivery's item with its verdict; where a retry was faster, with that one's.
    """
    references = references_of(
        bench.state, bench.objects, judgement.project, judgement.source, delivery
    )
    local = bench.limits.folder / "delivery"
    context = Context(
        received_at=datetime.fromisoformat(delivery["received_at"]),
        event_times=judgement.event_times,
        references=references.compared,
        bins_of=references.bins_of,
    )
    try:
        fetch(bench.objects, delivery, local)
        validated = validate_file(local, judgement.table, bench.limits, context)
    finally:
        local.unlink(missing_ok=True)
    verdict, payload = _kept(delivery, judgement, bench, validated, references)
    key = {"project": judgement.project, "delivery_id": delivery["delivery_id"]}
    change = Update(
        Table.DELIVERIES, key, set=verdict,
        expect=(Equals("status", DeliveryStatus.RECEIVED.value),),
    )  # fmt: skip
    try:
        told = event(payload, judgement.cause, bench.clock, bench.ids)
        bench.state.commit([change], [told])
    except ConflictError:
        # A retry of this task was faster; its verdict on the same bytes counts.
        known = bench.state.get(Table.DELIVERIES, key)
        if known is None or known["status"] == DeliveryStatus.RECEIVED:
            raise
        return known
    return {**delivery, **verdict}


def _kept(
    delivery: Item,
    judgement: Judgement,
    bench: Bench,
    validated: Validated,
    references: References,
) -> tuple[dict[str, Any], DatasetAccepted | DatasetRejected]:
    """Write everything that the verdict names; return it and what is told of it."""
    report, project, objects = validated.report, judgement.project, bench.objects
    delivery_id, key = delivery["delivery_id"], delivery["key"]
    quarantine = f"s3://{bench.data_bucket}/quarantine/{project}/{delivery_id}/"
    rows = report.rows - report.quarantined_rows if report.accepted else report.rows
    verdict: dict[str, Any] = {
        "status": (DeliveryStatus.ACCEPTED if report.accepted else DeliveryStatus.REJECTED).value,
        "rows": rows, "quarantined_rows": report.quarantined_rows, "warnings": report.warnings,
        "judged_by": judgement.judged_by, "judged_under": judgement.rules_digest,
        "judged_at": bench.clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    payload: DatasetAccepted | DatasetRejected
    if report.accepted:
        base = f"s3://{bench.artifacts_bucket}/reports/{project}/deliveries/{delivery_id}"
        verdict |= {"report_uri": f"{base}.json", "page_uri": f"{base}.html"}
        if validated.aside is not None:
            verdict |= _set_aside(validated.aside, quarantine, judgement, bench, delivery_id)
        payload = DatasetAccepted(
            delivery_id=delivery_id, key=key, rows=rows, report_uri=verdict["report_uri"],
            table=judgement.source, quarantined_rows=report.quarantined_rows,
            warnings=report.warnings,
        )  # fmt: skip
    else:
        kept = f"{quarantine}{PurePosixPath(key).name}"
        objects.copy(f"s3://{delivery['bucket']}/{key}", kept, delivery.get("version_id"))
        verdict |= {
            "report_uri": f"{quarantine}report.json", "page_uri": f"{quarantine}report.html",
            "quarantine_uri": kept,
        }  # fmt: skip
        rejecting = [found for found in report.violations if found.severity == "reject"]
        payload = DatasetRejected(
            delivery_id=delivery_id, key=key, quarantine_uri=kept,
            report_uri=verdict["report_uri"], table=judgement.source,
            violations=[_in_event(found) for found in rejecting[:VIOLATIONS_IN_EVENT]],
        )  # fmt: skip
    facts = _facts(delivery, judgement, verdict)
    objects.write(verdict["report_uri"], _document(facts, report))
    shown = page(report, {**facts, "key": key}, references.named)
    objects.write(verdict["page_uri"], shown.encode(), "text/html; charset=utf-8")
    return verdict, payload


def _set_aside(
    aside: SetAside, quarantine: str, judgement: Judgement, bench: Bench, delivery_id: str
) -> dict[str, Any]:
    kind = _TYPES.get(judgement.table.format, "application/vnd.apache.parquet")
    digest = file_digest(aside.accepted)
    accepted = (
        f"s3://{bench.data_bucket}/accepted/{judgement.project}/{delivery_id}/"
        f"{digest[:16]}{aside.accepted.suffix}"
    )
    uploads: tuple[tuple[Path, str, str], ...] = (
        (aside.accepted, accepted, kind),
        (aside.rows, f"{quarantine}{aside.rows.name}", kind),
        (aside.reasons, f"{quarantine}{aside.reasons.name}", "text/csv"),
    )
    for path, uri, content_type in uploads:
        bench.objects.upload(str(path), uri, content_type)
        path.unlink()
    return {
        "accepted_uri": accepted, "accepted_sha256": digest,
        "quarantine_uri": f"{quarantine}{aside.rows.name}",
    }  # fmt: skip


def _in_event(found: Violation) -> RuleViolation:
    return RuleViolation(
        rule=found.rule, column=found.column, count=found.count, message=found.message,
        examples=[
            example.model_dump(mode="json", exclude_none=True)
            for example in found.examples[:EXAMPLES_IN_EVENT]
        ],
    )  # fmt: skip


def _facts(delivery: Item, judgement: Judgement, verdict: dict[str, Any]) -> dict[str, Any]:
    named = ("page_uri", "quarantine_uri", "accepted_uri", "accepted_sha256", "warnings")
    return {
        "schema_version": "1",
        "project": judgement.project,
        "table": judgement.source,
        "delivery_id": delivery["delivery_id"],
        "source": {name: delivery.get(name) for name in ("bucket", "key", "version_id")},
        "received_at": delivery["received_at"],
        "judged_by": judgement.judged_by,
        "judged_at": verdict["judged_at"],
        "config_digest": judgement.config_digest,
        "verdict": verdict["status"],
        "report_uri": verdict["report_uri"],
        **{name: verdict[name] for name in named if name in verdict},
    }


def _document(facts: dict[str, Any], report: FileReport) -> bytes:
    document = {
        **facts,
        **report.model_dump(mode="json"),
        "counting": "rows are numbered from 1 without the header; lines are those of the file",
        "engine": {"duckdb": engine_version()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode()
