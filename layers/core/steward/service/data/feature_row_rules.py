"""The rules of a source for one streamed row: the same SQL in the same engine as for a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from steward.domain import delivery_files, tables
from steward.domain.column_rules import Circumstances, broken_by_rows, check_table
from steward.domain.errors import FeatureRecordRefusedError, ProjectNotFoundError
from steward.domain.findings import Violation, shown
from steward.domain.project import parse_project
from steward.domain.workspace import Limits, engine_version, lock, workspace
from steward.ports import Clock, ObjectStore, StateStore, Table
from steward.service.data.judging import event_times_of
from steward.service.metric_lines import MetricLog

_RELATION = "streamed"


@dataclass(frozen=True)
class StreamedRow:
    """A row as it came.

    Attributes:
        record_id: Digest of the row, its group and its event's time: the same for the same event.
        received_at: The event's own time, aware.
    """

    project: str
    group: str
    record_id: str
    event_id: str
    received_at: datetime
    values: dict[str, Any]


@dataclass(frozen=True)
class RowJudge:
    """What judging a row works with.

    Attributes:
        data_bucket: Holds the quarantine.
        metrics: Where the metrics go.
    """

    state: StateStore
    objects: ObjectStore
    clock: Clock
    limits: Limits
    data_bucket: str
    metrics: MetricLog


@dataclass(frozen=True)
class RowVerdict:
    """What the rules say of a row.

    Attributes:
        violations: Broken rules, in the order of the columns.
    """

    violations: list[Violation] = field(default_factory=list)

    @property
    def refusing(self) -> list[Violation]:
        """Broken rules that keep the row out: a row that a file would set aside is one."""
        return [found for found in self.violations if found.severity != "warn"]

    @property
    def as_null(self) -> set[str]:
        """Columns whose value is none of their type, which is only warned of: it counts as null."""
        return {
            found.column
            for found in self.violations
            if found.rule == "type" and found.severity == "warn" and found.column
        }


def judge_row(
    values: dict[str, Any],
    table: tables.Table,
    limits: Limits,
    received_at: datetime,
    event_times: frozenset[str] = frozenset(),
) -> RowVerdict:
    """Return which rules of rows a row breaks, as a line of a JSON Lines delivery would.

    A column that the row does not give is empty. Columns that are not declared are not looked at.

    Raises:
        InvalidProjectError: A declared pattern or expression is none that the engine can use.
        FeatureRecordRefusedError: The row cannot be written as JSON that the engine reads.
    """
    declared = table.model_copy(update={"format": "jsonl"})
    path = limits.folder / "judged.jsonl"
    given = {column.name: values.get(column.name) for column in table.columns}
    path.write_text(json.dumps(given) + "\n", encoding="utf-8")
    seen = Circumstances(received_at, event_times)
    try:
        with workspace(limits, "judged") as connection:
            check_table(connection, declared)
            reading = delivery_files.reading_of(connection, path, declared)
            try:
                present = delivery_files.load(connection, reading, declared, _RELATION, judged=True)
            except duckdb.Error as error:
                raise FeatureRecordRefusedError(
                    f"the row is not readable: {str(error).strip().splitlines()[0][:300]}",
                    field="detail.data.row", allowed="JSON values of the declared columns",
                ) from None  # fmt: skip
            lock(connection, limits)
            found = broken_by_rows(connection, _RELATION, declared, present, seen)
    finally:
        path.unlink(missing_ok=True)
    return RowVerdict(found)


def admit(row: StreamedRow, source: str, judge: RowJudge) -> RowVerdict:
    """Judge a row by the rules that its source has now, and keep a refused one in quarantine.

    A refused row lies as ``quarantine/<project>/streams/<group>/<record id>/row.json`` with
    ``report.json`` beside it. The same event again writes the same objects. A warning is counted
    and told in one line of the log.

    Returns:
        The verdict on a row that may go on; it has warnings at most.

    Raises:
        FeatureRecordRefusedError: It broke a rule of severity ``reject`` or ``quarantine_rows``.
        ProjectNotFoundError: No such project is configured.
    """
    configured = judge.state.get(Table.PROJECTS, {"project": row.project})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {row.project!r} is configured", field="project", value=row.project,
            allowed="a project added with `steward project add`",
        )  # fmt: skip
    project = parse_project(configured["config"])
    table = project.data.table(source)
    if table is None:
        # The source was taken out of project.yaml while a version of it is still served: only
        # the types that the version was registered with are left to judge by.
        return RowVerdict()
    facts = {"table": source, "config_digest": configured.get("config_digest")}
    times = event_times_of(project, source)
    try:
        verdict = judge_row(row.values, table, judge.limits, row.received_at, times)
    except FeatureRecordRefusedError as unreadable:
        keep_refused(row, unreadable, source, judge)
        raise
    if verdict.refusing:
        raise _refuse(row, verdict, facts, judge)
    if verdict.violations:
        _count(row, "FeatureRecordWarnings", verdict.violations, judge)
    return verdict


def keep_refused(
    row: StreamedRow, refused: FeatureRecordRefusedError, by: str, judge: RowJudge
) -> None:
    """Keep a row that no rule of its source refused, but what is made of it.

    Args:
        row: The row.
        refused: Why.
        by: The version of a group, or the source, that cannot take it.
        judge: Where it is kept.
    """
    column = (refused.field or "").removeprefix("detail.data.row").removeprefix(".")
    said = Violation(rule="unfit", column=column or None, count=1, message=refused.message)
    _refuse(row, RowVerdict([said]), {"refused_by": by}, judge)


def _refuse(
    row: StreamedRow, verdict: RowVerdict, facts: dict[str, Any], judge: RowJudge
) -> FeatureRecordRefusedError:
    """Keep a refused row with its report, count it, and return what is said of it."""
    base = f"s3://{judge.data_bucket}/quarantine/{row.project}/streams/{row.group}/{row.record_id}/"
    document = {
        "schema_version": "1", "project": row.project, "group": row.group, **facts,
        "record_id": row.record_id, "event_id": row.event_id, "verdict": "rejected",
        "received_at": row.received_at.isoformat(timespec="milliseconds"),
        "quarantine_uri": f"{base}row.json",
        "violations": [found.model_dump(mode="json") for found in verdict.violations],
        "not_judged": "rules of a whole delivery: unique, binary, max_null_share, row_count, "
        "freshness, distribution, max_quarantined_share, mixed_time_zones",
        "engine": {"duckdb": engine_version()},
    }  # fmt: skip
    kept = {"project": row.project, "group": row.group, "row": row.values}
    judge.objects.write(f"{base}row.json", json.dumps(kept, indent=2).encode())
    judge.objects.write(f"{base}report.json", json.dumps(document, indent=2).encode())
    _count(row, "FeatureRecordsRefused", verdict.refusing, judge)
    first = verdict.refusing[0]
    more = f", and {len(verdict.refusing) - 1} more" if len(verdict.refusing) > 1 else ""
    return FeatureRecordRefusedError(
        f"{first.message}{more}; kept with its report in {base}",
        field=f"detail.data.row.{first.column}" if first.column else "detail.data.row",
        value=first.examples[0].value if first.examples else None,
        allowed=_allowed(first),
    )  # fmt: skip


def _allowed(found: Violation) -> str:
    """Return what would be accepted, of what a person is told."""
    if found.rule == "null":
        return "a value"
    for words in (f"{found.column} must be ", f"{found.column} must "):
        if found.column and found.message.startswith(words):
            return found.message.removeprefix(words)
    return found.message


def _count(row: StreamedRow, metric: str, violations: list[Violation], judge: RowJudge) -> None:
    told = {
        "record_id": row.record_id,
        "violations": [
            {"rule": found.rule, "column": found.column, "message": shown(found.message)}
            for found in violations
        ],
    }
    dimensions = {"project": row.project, "feature_group": row.group}
    judge.metrics.put(dimensions, judge.clock.now(), {metric: (1, "Count")}, told)
