"""Use case: check the pending deliveries of a run; accept each, or put it into quarantine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

from steward.contracts.events import DatasetAccepted, DatasetRejected, RuleViolation
from steward.contracts.steps.data import ValidatedDeliveries, ValidateDeliveries
from steward.domain import tables as declared
from steward.domain.errors import ConflictError, DatasetRejectedError, DatasetTooSmallError
from steward.domain.findings import Violation
from steward.domain.runs import DeliveryStatus
from steward.domain.validation import FileReport, validate_file
from steward.domain.workspace import Limits, engine_version
from steward.ports import Clock, Equals, Ids, Item, ObjectStore, StateStore, Table, Update
from steward.service.data.deliveries import deliveries_of, fetch
from steward.service.emission import Cause, event
from steward.service.pinned import pinned_run

EXAMPLES_IN_EVENT = 5
VIOLATIONS_IN_EVENT = 25


def validate_deliveries(command: ValidateDeliveries, bench: Bench) -> ValidatedDeliveries:
    """Judge each delivery by itself; what was judged before keeps its verdict.

    A rejected file is copied to ``quarantine/<project>/<delivery id>/`` with ``report.json``
    beside it; the report of an accepted one is ``reports/<project>/deliveries/<id>.json``.

    Raises:
        DatasetRejectedError: No new delivery was accepted and the run has no other reason to
            train, or nothing at all was accepted.
        DatasetTooSmallError: The accepted deliveries together have fewer rows than
            ``data.minimum_rows``; they stay accepted and count for the next run.
    """
    run = pinned_run(bench.state, command.project, command.run_id)
    judgement = Judgement(
        command.project, declared.PRIMARY, run.project.data, command.run_id,
        run.item["config_digest"], Cause(command.project, command.correlation_id, command.run_id),
    )  # fmt: skip
    accepted: list[Item] = []
    rejected: list[str] = []
    judged_now = 0
    for known in deliveries_of(bench.state, command.project, command.deliveries):
        delivery = known
        if known["status"] == DeliveryStatus.RECEIVED:
            delivery = judge_delivery(known, judgement, bench)
        if delivery["status"] == DeliveryStatus.ACCEPTED:
            accepted.append(delivery)
            judged_now += delivery.get("judged_by") == command.run_id
        else:
            rejected.append(delivery["delivery_id"])
    fresh = judged_now > 0 or command.trains_without_new_data or not rejected
    if not accepted or not fresh:
        raise DatasetRejectedError(
            f"nothing new to train on: {len(rejected)} deliveries broke a rule",
            field="deliveries", value=", ".join(rejected),
            allowed="files that keep the rules of project.yaml; see their report.json",
        )  # fmt: skip
    rows = sum(int(delivery["rows"]) for delivery in accepted)
    if rows < run.project.data.minimum_rows:
        raise DatasetTooSmallError(
            f"{len(accepted)} accepted deliveries have {rows} rows together",
            field="data.minimum_rows", value=rows,
            allowed=f"at least {run.project.data.minimum_rows}",
        )  # fmt: skip
    return ValidatedDeliveries(
        accepted=[delivery["delivery_id"] for delivery in accepted], rejected=rejected
    )


@dataclass(frozen=True)
class Bench:
    """What judging a delivery works with.

    Attributes:
        data_bucket: Deliveries, and the quarantine.
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
    """

    project: str
    source: str
    table: declared.Table
    judged_by: str
    config_digest: str
    cause: Cause


def judge_delivery(delivery: Item, judgement: Judgement, bench: Bench) -> Item:
    """Check one delivery, keep the report, and record and publish the verdict in one write.

    Returns:
        The delivery's item with its verdict; where a retry was faster, with that one's.
    """
    local = bench.limits.folder / "delivery.csv"
    try:
        fetch(bench.objects, delivery, local)
        report = validate_file(local, judgement.table, bench.limits)
    finally:
        local.unlink(missing_ok=True)
    project, objects = judgement.project, bench.objects
    delivery_id, key = delivery["delivery_id"], delivery["key"]
    source = f"s3://{delivery['bucket']}/{key}"
    quarantine = f"s3://{bench.data_bucket}/quarantine/{project}/{delivery_id}/"
    payload: DatasetAccepted | DatasetRejected
    if report.accepted:
        status = DeliveryStatus.ACCEPTED
        report_uri = (
            f"s3://{bench.artifacts_bucket}/reports/{project}/deliveries/{delivery_id}.json"
        )
        payload = DatasetAccepted(
            delivery_id=delivery_id, key=key, rows=report.rows, report_uri=report_uri,
            table=judgement.source,
        )  # fmt: skip
    else:
        status = DeliveryStatus.REJECTED
        report_uri = f"{quarantine}report.json"
        kept = f"{quarantine}{PurePosixPath(key).name}"
        objects.copy(source, kept, delivery.get("version_id"))
        payload = DatasetRejected(
            delivery_id=delivery_id, key=key, quarantine_uri=kept, report_uri=report_uri,
            violations=[_in_event(found) for found in report.violations[:VIOLATIONS_IN_EVENT]],
            table=judgement.source,
        )  # fmt: skip
    objects.write(report_uri, _report(delivery, judgement, report, status))
    verdict = {
        "status": status.value, "rows": report.rows, "report_uri": report_uri,
        "judged_by": judgement.judged_by, "judged_under": judgement.config_digest,
        "judged_at": bench.clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    key_of_item = {"project": project, "delivery_id": delivery_id}
    change = Update(
        Table.DELIVERIES, key_of_item, set=verdict,
        expect=(Equals("status", DeliveryStatus.RECEIVED.value),),
    )  # fmt: skip
    try:
        told = event(payload, judgement.cause, bench.clock, bench.ids)
        bench.state.commit([change], [told])
    except ConflictError:
        # A retry of this task was faster; its verdict on the same bytes counts.
        known = bench.state.get(Table.DELIVERIES, key_of_item)
        if known is None or known["status"] == DeliveryStatus.RECEIVED:
            raise
        return known
    return {**delivery, **verdict}


def _in_event(found: Violation) -> RuleViolation:
    return RuleViolation(
        rule=found.rule, column=found.column, count=found.count, message=found.message,
        examples=[
            example.model_dump(mode="json", exclude_none=True)
            for example in found.examples[:EXAMPLES_IN_EVENT]
        ],
    )  # fmt: skip


def _report(
    delivery: Item, judgement: Judgement, report: FileReport, status: DeliveryStatus
) -> bytes:
    document = {
        "schema_version": "1",
        "project": judgement.project,
        "table": judgement.source,
        "delivery_id": delivery["delivery_id"],
        "source": {name: delivery.get(name) for name in ("bucket", "key", "version_id")},
        "received_at": delivery["received_at"],
        "judged_by": judgement.judged_by,
        "config_digest": judgement.config_digest,
        "verdict": status.value,
        **report.model_dump(mode="json"),
        "counting": "rows are numbered from 1 without the header; lines are those of the file",
        "engine": {"duckdb": engine_version()},
    }
    return json.dumps(document, indent=2, ensure_ascii=False).encode()
