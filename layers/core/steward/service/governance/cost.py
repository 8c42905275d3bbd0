"""What every ended job and execution cost, recorded once, from the dated price table."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from steward.contracts.events import RunCostRecorded
from steward.contracts.incoming import (
    ExecutionStatusChange,
    ProcessingJobStateChange,
    Received,
    TrainingJobStateChange,
    TransformJobStateChange,
)
from steward.domain.errors import ConflictError, MalformedEventError, UnknownPriceError
from steward.domain.names import job_of, tuning_job
from steward.domain.prices import (
    US_EAST_1,
    PriceTable,
    function_dollars,
    job_dollars,
    query_dollars,
    transition_dollars,
)
from steward.domain.run_cost import time_item, time_partition
from steward.ports import Absent, Clock, Ids, JobRecord, JobRecords, Put, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.metric_lines import MetricLog

_JOB_ENDED = frozenset({"Completed", "Failed", "Stopped"})
_EXECUTION_ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"})


@dataclass(frozen=True)
class _Use:
    """One thing that cost money.

    Attributes:
        dollars: None where the price table does not list what was used.
    """

    project: str
    correlation_id: str
    entry: str
    kind: str
    dollars: float | None
    detail: dict[str, Any]


def record_cost(
    received: Received,
    *,
    state: StateStore,
    jobs: JobRecords,
    clock: Clock,
    ids: Ids,
    environment: str,
    prices: PriceTable = US_EAST_1,
    metrics: MetricLog | None = None,
) -> str:
    """Write a cost entry for an ended job or execution, once, and tell of it.

    Entries are keyed by the job's or execution's name, which AWS never gives twice, so that
    SageMaker's repeated events add nothing. Each lies in the table twice, by name and by time,
    so that a month is one short query. What the table has no price for is written with
    ``dollars`` null and the reason, and no event tells a sum.

    Args:
        metrics: Takes ``CostDollars``, once for each entry.

    Returns:
        The entry, or ``not ended``, ``not ours`` or ``known``.
    """
    use = _use(received, environment, jobs, prices)
    if isinstance(use, str):
        return use
    if isinstance(received.detail, ExecutionStatusChange) and received.detail.redrive_count:
        use = _since_redrive(use, received.detail.redrive_count, state)
    item: dict[str, Any] = {
        "project": use.project,
        "entry": use.entry,
        "kind": use.kind,
        "dollars": use.dollars,
        "run_id": use.correlation_id,
        "prices": prices.label(use.detail.get("instance_type")),
        "detail": use.detail,
        "at": clock.now().isoformat(timespec="milliseconds"),
    }
    events = []
    if use.dollars is not None:
        detail = {**use.detail, "prices": item["prices"]}
        recorded = RunCostRecorded(
            entry=use.entry, kind=use.kind, dollars=use.dollars, detail=detail
        )
        cause = Cause(use.project, use.correlation_id, received.id)
        events.append(event(recorded, cause, clock, ids))
    by_time = {
        **item, "project": time_partition(use.project),
        "entry": time_item(item["at"], use.entry),
    }  # fmt: skip
    changes = [Put(Table.COSTS, item, expect=(Absent(),)), Put(Table.COSTS, by_time)]
    try:
        state.commit(changes, events)
    except ConflictError:
        return "known"
    if use.dollars is not None and metrics is not None:
        spent = {"CostDollars": (use.dollars, "None")}
        metrics.put({"project": use.project}, clock.now(), spent, {"entry": use.entry})
    return use.entry


def _since_redrive(use: _Use, redrives: int, state: StateStore) -> _Use:
    """Return what an execution cost since it was redriven: its history holds all of it."""
    known = state.query(Table.COSTS, use.project, prefix=use.entry)
    before = sum(
        float(item["dollars"] or 0) for item in known
        if item["entry"] in {use.entry, *(f"{use.entry}#r{n}" for n in range(1, redrives))}
    )  # fmt: skip
    dollars = max(0.0, (use.dollars or 0.0) - before)
    return replace(use, entry=f"{use.entry}#r{redrives}", dollars=dollars)


def _use(received: Received, environment: str, jobs: JobRecords, prices: PriceTable) -> _Use | str:
    change = received.detail
    match change:
        case TrainingJobStateChange():
            return _job(
                environment, change.training_job_name, change.training_job_status, "training_job",
                jobs.training_job, prices, change.tags,
            )  # fmt: skip
        case ProcessingJobStateChange():
            return _job(
                environment, change.processing_job_name, change.processing_job_status,
                "processing_job", jobs.processing_job, prices,
            )  # fmt: skip
        case TransformJobStateChange():
            return _job(
                environment, change.transform_job_name, change.transform_job_status,
                "transform_job", jobs.transform_job, prices,
            )  # fmt: skip
        case ExecutionStatusChange():
            return _execution(change, jobs, prices)
    raise MalformedEventError(
        f"{received.detail_type!r} costs nothing that is recorded here",
        field="detail-type", value=received.detail_type,
    )  # fmt: skip


def _job(
    environment: str, name: str, status: str, kind: str, describe: Callable[[str], JobRecord],
    prices: PriceTable, tags: Mapping[str, str] | None = None,
) -> _Use | str:  # fmt: skip
    ours = _run_of(environment, name, tags or {})
    if ours is None:
        return "not ours"
    if status not in _JOB_ENDED:
        return "not ended"
    project, run = ours
    used = describe(name)
    detail: dict[str, Any] = {
        "name": name,
        "status": status,
        "instance_type": used.instance_type,
        "instance_count": used.instance_count,
        "billable_s": used.seconds,
        **({} if used.worked_s is None else {"worked_s": used.worked_s}),
    }
    dollars: float | None = None
    try:
        dollars = job_dollars(used.instance_type, used.instance_count, used.seconds, prices)
    except UnknownPriceError as unknown:
        detail["unpriced_because"] = unknown.message
    return _Use(project, run, f"job#{name}", kind, dollars, detail)


def _run_of(environment: str, name: str, tags: Mapping[str, str]) -> tuple[str, str] | None:
    """Return project and run of a job, by its name, or by the tags of a search's job."""
    job = job_of(environment, name)
    if job is not None:
        return job[:2]
    run = tags.get("steward:run")
    if run and name.startswith(f"{tuning_job(environment, run)}-") and tags.get("steward:project"):
        return tags["steward:project"], run
    return None


def _execution(change: ExecutionStatusChange, jobs: JobRecords, prices: PriceTable) -> _Use | str:
    if change.status not in _EXECUTION_ENDED:
        return "not ended"
    payload = _payload(change.input)
    project = payload.get("project")
    if not isinstance(project, str) or not project:
        return "not ours"
    used = jobs.execution(change.execution_arn)
    transitions = transition_dollars(used.transitions, prices)
    functions = sum(
        function_dollars(use.memory_mb, use.calls, use.seconds, prices) for use in used.functions
    )
    scanned = [use for use in used.queries if use.scanned_bytes is not None]
    queries = sum(
        query_dollars(use.state, use.is_ddl, use.scanned_bytes or 0, prices) for use in scanned
    )
    machine = change.state_machine_arn.rpartition(":")[2]
    detail = {
        "machine": machine,
        "name": change.name,
        "status": change.status,
        "transitions": used.transitions,
        "transition_dollars": transitions,
        "function_calls": sum(use.calls for use in used.functions),
        "function_dollars": functions,
    }
    if used.queries:
        detail |= {
            "queries": len(used.queries),
            "scanned_bytes": sum(use.scanned_bytes or 0 for use in scanned),
            "query_dollars": queries,
        }
    if len(scanned) < len(used.queries):
        # The rest of the sum is told; this says that it is no upper limit.
        unknown = len(used.queries) - len(scanned)
        detail["unpriced_because"] = f"what {unknown} timed-out queries scanned is not known"
    return _Use(
        project, str(payload.get("correlation_id") or change.name),
        f"execution#{machine}#{change.name}", "execution", transitions + functions + queries,
        detail,
    )  # fmt: skip


def _payload(text: str | None) -> dict[str, Any]:
    """Return an execution's input; AWS leaves it out of the event where it is large."""
    try:
        parsed = json.loads(text or "null")
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
