"""Use cases: stage a version before anybody may approve it."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.events import (
    StagingFailed,
    VersionRegistered,
    VersionStaged,
    VersionStateChanged,
)
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.contracts.steps.serving import (
    ConcludeStaging,
    EndpointPlan,
    Failure,
    PlanStaging,
    SmokeResult,
    StagingConclusion,
)
from steward.domain import names
from steward.domain.errors import ConflictError, MalformedEventError
from steward.domain.releases import staging_item, staging_name, staging_of_execution
from steward.domain.runs import execution_arn
from steward.domain.versions import VersionState
from steward.ports import (
    Absent,
    Clock,
    Endpoints,
    Equals,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
    Update,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.serving.hosting import endpoint_plan
from steward.service.serving.records import project_of, readable, route_of, version_of

STAGE = "staging"


def start_staging(
    received: Received,
    *,
    state: StateStore,
    workflows: Workflows,
    clock: Clock,
    machine: str,
) -> dict[str, Any]:
    """Start ``stage_version`` once for a registered version.

    What is being staged or has been staged is suppressed. A failed staging is tried again
    only while the registry still waits for one. The record is written first and the execution
    is named after it, so that a crash between the two is healed by the next delivery.

    Raises:
        VersionNotFoundError: The registry has no such version.
    """
    assert isinstance(received.detail, VersionRegistered)
    project, version = received.own.project, received.detail.version
    record = version_of(state, project, version)
    key = {"project": project, "item": staging_item(version)}
    known = state.get(Table.VERSIONS, key)
    if known is None or (known["status"] == "failed" and _waits_for_staging(record)):
        attempt = int(known["attempt"]) + 1 if known else 1
        name = staging_name(project, version, attempt)
        known = {
            **key,
            "version": version,
            "status": "running",
            "attempt": attempt,
            "correlation_id": received.own.correlation_id,
            "causation_id": received.id,
            "execution_arn": execution_arn(machine, name),
            "started": False,
            "started_at": clock.now().isoformat(timespec="milliseconds"),
        }
        expect = Absent() if attempt == 1 else Equals("attempt", attempt - 1)
        state.commit([Put(Table.VERSIONS, known, (expect,))])
    if known["status"] != "running" or known["started"]:
        return {"suppressed": known["execution_arn"], "status": known["status"]}
    attempt = int(known["attempt"])
    payload = {
        "project": project, "version": version, "attempt": attempt,
        "correlation_id": known["correlation_id"], "causation_id": known["causation_id"],
    }  # fmt: skip
    try:
        workflows.start(machine, staging_name(project, version, attempt), payload)
    except ConflictError:
        return {"suppressed": known["execution_arn"], "status": "ended"}
    state.commit([Update(Table.VERSIONS, key, set={"started": True})])
    return {"started": known["execution_arn"]}


def _waits_for_staging(record: Item) -> bool:
    return bool(record.get("state") == VersionState.REGISTERED)


def plan_staging(
    command: PlanStaging,
    *,
    state: StateStore,
    environment: str,
    endpoints: Endpoints,
    role_arn: str,
) -> EndpointPlan:
    """Return what SageMaker has to create for the staging endpoint of a version."""
    project = project_of(state, command.project)
    record = version_of(state, command.project, command.version)
    return endpoint_plan(
        record, STAGE, str(command.attempt), project.serving,
        environment=environment, endpoints=endpoints, role_arn=role_arn,
    )  # fmt: skip


def conclude_staging(
    command: ConcludeStaging,
    *,
    state: StateStore,
    objects: ObjectStore,
    environment: str,
    endpoints: Endpoints,
    clock: Clock,
    ids: Ids,
    artifacts_bucket: str,
) -> StagingConclusion:
    """Record how a staging ended, once.

    Success freezes the smoke result as evidence and publishes its digest; the endpoint stays
    for people to try until the version is released or refused. A failure removes what was
    created; the smoke result, where there is one, is kept for its reader.
    """
    key = {"project": command.project, "item": staging_item(command.version)}
    known = state.get(Table.VERSIONS, key)
    if known is None:
        raise MalformedEventError(
            f"version {command.version} of {command.project} was never staged", field="version",
            value=command.version, allowed="a version that start_staging has recorded",
        )  # fmt: skip
    if known["execution_arn"] != command.execution_arn or known["status"] != "running":
        return StagingConclusion(status=known["status"], smoke_uri=known.get("smoke_uri"))
    smoke_uri, smoke_digest = None, None
    if command.smoke is not None:
        smoke_uri = (
            f"s3://{artifacts_bucket}/evidence/{command.project}/{command.version}/smoke.json"
        )
        smoke_digest = objects.write(smoke_uri, _evidence(command.smoke))
    failure = command.failure
    if failure is None and (command.smoke is None or not command.smoke.passed):
        failure = Failure(
            state="RunSmokeTest", error="StagingFailedError", cause=_failed_checks(command.smoke)
        )
    cause = Cause(command.project, command.correlation_id, command.causation_id)
    status = "failed" if failure else "succeeded"
    changed = {
        "status": status,
        "endpoint": command.endpoint,
        "smoke_uri": smoke_uri,
        "smoke_digest": smoke_digest,
        "ended_at": clock.now().isoformat(timespec="milliseconds"),
    }
    update = Update(Table.VERSIONS, key, set=changed, expect=(Equals("status", "running"),))
    if failure is not None:
        endpoints.delete(
            names.endpoint_name(environment, command.project, command.version, STAGE),
            names.model_name(
                environment, command.project, command.version, STAGE, str(known["attempt"])
            ),
        )
        told = readable(failure)
        payload = StagingFailed(
            version=command.version, failed_state=told.state, error=told.error, cause=told.cause,
            execution_arn=command.execution_arn,
        )  # fmt: skip
        state.commit([update], [event(payload, cause, clock, ids)])
        return StagingConclusion(status="failed", smoke_uri=smoke_uri)
    assert command.smoke is not None
    staged = VersionStaged(
        version=command.version,
        endpoint=command.smoke.endpoint,
        smoke_uri=smoke_uri or "",
        smoke_digest=smoke_digest or "",
        summary={
            "checks": len(command.smoke.checks),
            "passed": sum(check.passed for check in command.smoke.checks),
            "latency_ms_p95": command.smoke.latency_ms_p95,
        },
    )
    state.commit([update], [event(staged, cause, clock, ids)])
    return StagingConclusion(status="succeeded", smoke_uri=smoke_uri)


def staging_that_ended(received: Received, *, state: StateStore) -> ConcludeStaging | None:
    """Return how to conclude a staging whose machine ended without doing so itself.

    None where the machine recorded its end, or the execution was started by hand.
    """
    change = received.detail
    assert isinstance(change, ExecutionStatusChange)
    found = staging_of_execution(change.name)
    if found is None:
        return None
    project, version = found
    known = state.get(Table.VERSIONS, {"project": project, "item": staging_item(version)})
    if known is None or known["execution_arn"] != change.execution_arn:
        return None
    if known["status"] != "running":
        return None
    return ConcludeStaging(
        project=project,
        version=version,
        correlation_id=known["correlation_id"],
        causation_id=received.id,
        execution_arn=change.execution_arn,
        failure=execution_failure(change),
    )


def execution_failure(change: ExecutionStatusChange) -> Failure:
    """Return an execution's end as a failure: no state of it could record one."""
    return Failure(
        state="(execution)",
        error=change.error or f"States.{change.status.title().replace('_', '')}",
        cause=change.cause or f"the execution ended as {change.status}",
    )


def remove_staging(
    received: Received, *, state: StateStore, environment: str, endpoints: Endpoints
) -> dict[str, Any]:
    """Remove the staging endpoint of a version that nobody will release."""
    if isinstance(received.detail, VersionStateChanged) and (
        received.detail.state != VersionState.ARCHIVED
    ):
        return {"kept": f"version {received.detail.version} is {received.detail.state}"}
    endpoint = names.endpoint_name(
        environment, received.own.project, received.detail.version, STAGE
    )
    route = route_of(state, received.own.project)
    if route is not None and any(arm.endpoint == endpoint for arm in route.arms):
        return {"kept": endpoint}
    endpoints.delete(endpoint)
    return {"removed": endpoint}


def _evidence(smoke: SmokeResult) -> bytes:
    return (json.dumps(smoke.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()


def _failed_checks(smoke: SmokeResult | None) -> str:
    if smoke is None:
        return "the smoke test gave no result"
    failed = [f"{check.name}: {check.detail}" for check in smoke.checks if not check.passed]
    return "; ".join(failed) or "the smoke test did not pass"
