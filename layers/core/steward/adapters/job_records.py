"""What ended jobs and executions used: SageMaker's descriptions, Step Functions' history."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from steward.adapters.clients import Clients
from steward.adapters.errors import translated
from steward.ports import ExecutionRecord, FunctionUse, JobRecord, QueryUse

_SCHEDULED = ("TaskScheduled", "LambdaFunctionScheduled")
_ENDED = (
    "TaskSucceeded", "TaskFailed", "TaskTimedOut",
    "LambdaFunctionSucceeded", "LambdaFunctionFailed", "LambdaFunctionTimedOut",
)  # fmt: skip


class AwsJobRecords:
    """Reads SageMaker, Step Functions and the memory of Lambda functions."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._memory: dict[str, int] = {}

    def training_job(self, name: str) -> JobRecord:
        """Return what a training job used; billable seconds know of spot interruptions."""
        with translated(f"describe training job {name}"):
            job = self._clients.get("sagemaker").describe_training_job(TrainingJobName=name)
        resources = job["ResourceConfig"]
        seconds = job.get("BillableTimeInSeconds")
        if seconds is None:
            seconds = _between(job, "TrainingStartTime", "TrainingEndTime")
        worked = job.get("TrainingTimeInSeconds") if job.get("EnableManagedSpotTraining") else None
        return JobRecord(
            resources["InstanceType"], resources["InstanceCount"], float(seconds),
            float(worked) if worked is not None else None,
        )  # fmt: skip

    def processing_job(self, name: str) -> JobRecord:
        """Return what a processing job used, from its start to its end."""
        with translated(f"describe processing job {name}"):
            job = self._clients.get("sagemaker").describe_processing_job(ProcessingJobName=name)
        cluster = job["ProcessingResources"]["ClusterConfig"]
        seconds = _between(job, "ProcessingStartTime", "ProcessingEndTime")
        return JobRecord(cluster["InstanceType"], cluster["InstanceCount"], seconds)

    def transform_job(self, name: str) -> JobRecord:
        """Return what a transform job used, from its start to its end."""
        with translated(f"describe transform job {name}"):
            job = self._clients.get("sagemaker").describe_transform_job(TransformJobName=name)
        resources = job["TransformResources"]
        seconds = _between(job, "TransformStartTime", "TransformEndTime")
        return JobRecord(resources["InstanceType"], resources["InstanceCount"], seconds)

    def execution(self, arn: str) -> ExecutionRecord:
        """Return what an execution used.

        Each state entered is a transition, and each retry of a task is one more:
        https://aws.amazon.com/step-functions/pricing/
        """
        with translated(f"read the history of {arn}"):
            pages = self._clients.get("stepfunctions").get_paginator("get_execution_history")
            events = [
                event
                for page in pages.paginate(executionArn=arn, includeExecutionData=True)
                for event in page["events"]
            ]
        entered = sum(event["type"].endswith("StateEntered") for event in events)
        tasks = sum(event["type"] == "TaskStateEntered" for event in events)
        attempts = sum(event["type"] in _SCHEDULED for event in events)
        calls, seconds = _functions(events)
        uses = tuple(
            FunctionUse(name, self._memory_mb(name), calls[name], seconds[name])
            for name in sorted(calls)
        )
        return ExecutionRecord(entered + max(0, attempts - tasks), uses, tuple(_queries(events)))

    def _memory_mb(self, function: str) -> int:
        if function not in self._memory:
            with translated(f"read the memory of {function}"):
                found = self._clients.get("lambda").get_function_configuration(
                    FunctionName=function
                )
            self._memory[function] = int(found["MemorySize"])
        return self._memory[function]


def _between(job: Mapping[str, Any], start: str, end: str) -> float:
    if job.get(start) is None or job.get(end) is None:
        return 0.0
    return float((job[end] - job[start]).total_seconds())


def _functions(events: Iterable[Mapping[str, Any]]) -> tuple[Counter[str], dict[str, float]]:
    """Return calls and seconds by function; an attempt ends with the event that follows from it."""
    calls: Counter[str] = Counter()
    seconds: dict[str, float] = defaultdict(float)
    begun: dict[int, tuple[str, Any]] = {}
    for event in events:
        if event["type"] in _SCHEDULED:
            name = _function_of(event)
            if name is not None:
                calls[name] += 1
                begun[event["id"]] = (name, event["timestamp"])
        elif event.get("previousEventId") in begun:
            name, since = begun[event["previousEventId"]]
            if event["type"] in _ENDED:
                seconds[name] += (event["timestamp"] - since).total_seconds()
            else:
                begun[event["id"]] = (name, since)
    return calls, seconds


def _function_of(event: Mapping[str, Any]) -> str | None:
    """Return the function that an attempt calls, or None where it calls something else."""
    if event["type"] == "LambdaFunctionScheduled":
        return str(event["lambdaFunctionScheduledEventDetails"]["resource"])
    details = event["taskScheduledEventDetails"]
    if details["resourceType"] != "lambda":
        return None
    if ":function:" in details["resource"]:
        return str(details["resource"])
    name = json.loads(details["parameters"]).get("FunctionName")
    return str(name) if name else None


_QUERY_ENDED = {
    "TaskSucceeded": ("taskSucceededEventDetails", "output"),
    "TaskFailed": ("taskFailedEventDetails", "cause"),
    "TaskTimedOut": ("taskTimedOutEventDetails", ""),
}


def _queries(events: Iterable[Mapping[str, Any]]) -> Iterator[QueryUse]:
    """Yield the queries that ended, as ``athena:startQueryExecution.sync`` tells of them."""
    for event in events:
        if event["type"] not in _QUERY_ENDED:
            continue
        kind, told = _QUERY_ENDED[event["type"]]
        details = event.get(kind) or {}
        if details.get("resourceType") != "athena":
            continue
        try:
            query = json.loads(details.get(told) or "{}").get("QueryExecution") or {}
        except (AttributeError, ValueError):
            query = {}
        if not query and event["type"] == "TaskFailed":
            continue  # it was never begun: throttled, or refused
        scanned = (query.get("Statistics") or {}).get("DataScannedInBytes")
        state = (query.get("Status") or {}).get("State") or "TIMED_OUT"
        is_ddl = query.get("StatementType") == "DDL"
        yield QueryUse(str(state), is_ddl, int(scanned) if scanned is not None else None)
