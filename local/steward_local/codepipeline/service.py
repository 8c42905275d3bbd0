"""The API of the embedded CodePipeline as MiniStack dispatches it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

from steward_local import authority
from steward_local.authority import AccessDeniedError, Principal
from steward_local.codepipeline import executions, roles, store
from steward_local.codepipeline.store import ActionRun, Execution, JsonObject, Pipeline
from steward_local.sagemaker import request_check
from steward_local.sagemaker.errors import ApiError

Response = tuple[int, dict[str, str], bytes]
SERVICE = "codepipeline"


def _create(params: JsonObject, caller: Principal) -> JsonObject:
    at, declared = store.current(), copy.deepcopy(params["pipeline"])
    if declared["name"] in at.pipelines:
        raise ApiError("PipelineNameInUseException", f"{declared['name']} is in use")
    _check(declared, caller)
    declared["version"] = 1
    pipeline = at.pipelines[declared["name"]] = Pipeline(declared)
    at.tags[declared["name"]] = params.get("tags", [])
    executions.start(at, pipeline, {}, {"trigger-type": "CreatePipeline"})
    return {"pipeline": declared, "tags": params.get("tags", [])}


def _update(params: JsonObject, caller: Principal) -> JsonObject:
    pipeline, declared = _need(params["pipeline"]["name"]), copy.deepcopy(params["pipeline"])
    _check(declared, caller)
    declared["version"] = int(pipeline.declaration["version"]) + 1
    pipeline.declaration, pipeline.updated = declared, store.now()
    return {"pipeline": declared}


def _check(declared: JsonObject, caller: Principal) -> None:
    """Refuse what CodePipeline refuses before anything runs."""
    caller.require_pass_role(declared["roleArn"], roles.SERVICE)
    if len(declared["stages"]) < 2:
        raise ApiError("InvalidStructureException", "A pipeline has at least two stages")
    made: set[str] = set()
    names: set[str] = set()
    for number, stage in enumerate(declared["stages"]):
        for action in stage["actions"]:
            source = action["actionTypeId"]["category"] == "Source"
            if source != (number == 0):
                raise ApiError(
                    "InvalidStructureException", "Source actions are those of the first stage"
                )
            lacking = {one["name"] for one in action.get("inputArtifacts", [])} - made
            if lacking:
                raise ApiError(
                    "InvalidActionDeclarationException",
                    f"{action['name']} takes {sorted(lacking)}, which no earlier action makes",
                )
            namespace = action.get("namespace")
            if namespace in names:
                raise ApiError("InvalidActionDeclarationException", f"{namespace} is used twice")
            names |= {namespace} if namespace else set()
        for action in stage["actions"]:
            made |= {one["name"] for one in action.get("outputArtifacts", [])}


def _get(params: JsonObject, _caller: Principal) -> JsonObject:
    pipeline = _need(params["name"])
    about = {
        "pipelineArn": store.current().arn(pipeline.name), "created": pipeline.created,
        "updated": pipeline.updated,
    }  # fmt: skip
    return {"pipeline": pipeline.declaration, "metadata": about}


def _delete(params: JsonObject, _caller: Principal) -> JsonObject:
    gone = store.current().pipelines.pop(params["name"], None)
    for execution in gone.executions.values() if gone else ():
        execution.stop.set()
    return {}


def _list(_params: JsonObject, _caller: Principal) -> JsonObject:
    return {
        "pipelines": [
            {
                "name": one.name, "version": one.declaration["version"], "created": one.created,
                "updated": one.updated,
                "pipelineType": one.declaration.get("pipelineType", "V1"),
                "executionMode": one.declaration.get("executionMode", "SUPERSEDED"),
            }
            for one in store.current().pipelines.values()
        ]
    }  # fmt: skip


def _start(params: JsonObject, caller: Principal) -> JsonObject:
    pipeline = _need(params["name"])
    variables = {one["name"]: one["value"] for one in params.get("variables", [])}
    unknown = set(variables) - {v["name"] for v in pipeline.declaration.get("variables", [])}
    if unknown:
        raise ApiError("ValidationException", f"The pipeline has no variable {sorted(unknown)}")
    trigger = {"trigger-type": "StartPipelineExecution", "trigger-detail": caller.arn}
    started = executions.start(store.current(), pipeline, variables, trigger)
    return {"pipelineExecutionId": started}


def _stop(params: JsonObject, _caller: Principal) -> JsonObject:
    execution = _need_execution(_need(params["pipelineName"]), params["pipelineExecutionId"])
    if execution.status != "InProgress":
        raise ApiError("PipelineExecutionNotStoppableException", f"It is {execution.status}")
    execution.summary = params.get("reason", "")
    execution.stop.set()
    return {"pipelineExecutionId": execution.execution_id}


def _state(params: JsonObject, _caller: Principal) -> JsonObject:
    pipeline = _need(params["name"])
    stages = []
    for stage in pipeline.declaration["stages"]:
        name = stage["name"]
        been = [one for one in pipeline.executions.values() if name in one.stages]
        latest = pipeline.executions.get(pipeline.inside.get(name, "")) or (
            been[-1] if been else None
        )
        told: JsonObject = {
            "stageName": name, "inboundTransitionState": {"enabled": True},
            "actionStates": [_action_state(pipeline, name, one) for one in stage["actions"]],
        }  # fmt: skip
        waiting = pipeline.waiting.get(name)
        if waiting:
            told["inboundExecution"] = {
                "pipelineExecutionId": waiting[-1], "status": "InProgress",
            }  # fmt: skip
        if latest is not None and name in latest.stages:
            told["latestExecution"] = {
                "pipelineExecutionId": latest.execution_id, "status": latest.stages[name],
            }  # fmt: skip
        stages.append(told)
    return {
        "pipelineName": pipeline.name, "pipelineVersion": pipeline.declaration["version"],
        "stageStates": stages, "created": pipeline.created, "updated": pipeline.updated,
    }  # fmt: skip


def _action_state(pipeline: Pipeline, stage: str, action: JsonObject) -> JsonObject:
    runs = [
        run
        for execution in pipeline.executions.values()
        for run in execution.runs
        if (run.stage, run.action["name"]) == (stage, action["name"])
    ]
    told: JsonObject = {"actionName": action["name"]}
    if runs:
        told["latestExecution"] = max(runs, key=lambda run: run.started).latest()
    return told


def _execution(params: JsonObject, _caller: Principal) -> JsonObject:
    pipeline = _need(params["pipelineName"])
    one = _need_execution(pipeline, params["pipelineExecutionId"])
    return {
        "pipelineExecution": {
            "pipelineName": pipeline.name, "pipelineVersion": one.declaration["version"],
            "pipelineExecutionId": one.execution_id, "status": one.status,
            "statusSummary": one.summary, "artifactRevisions": one.revisions,
            "variables": [
                {"name": name, "resolvedValue": value} for name, value in one.variables.items()
            ],
            "executionMode": one.declaration.get("executionMode", "SUPERSEDED"),
        }
    }  # fmt: skip


def _executions(params: JsonObject, _caller: Principal) -> JsonObject:
    found = sorted(_need(params["pipelineName"]).executions.values(), key=lambda one: -one.started)
    return {
        "pipelineExecutionSummaries": [
            {
                "pipelineExecutionId": one.execution_id, "status": one.status,
                "startTime": one.started, "lastUpdateTime": one.updated,
            }
            for one in found[: params.get("maxResults", 100)]
        ]
    }  # fmt: skip


def _action_executions(params: JsonObject, _caller: Principal) -> JsonObject:
    pipeline, wanted = _need(params["pipelineName"]), params.get("filter") or {}
    only = wanted.get("pipelineExecutionId")
    runs = [
        run
        for execution in pipeline.executions.values()
        if only in (None, execution.execution_id)
        for run in execution.runs
    ]
    runs.sort(key=lambda run: -run.started)
    return {"actionExecutionDetails": [_told(pipeline, run) for run in runs]}


def _told(pipeline: Pipeline, run: ActionRun) -> JsonObject:
    result: JsonObject = {"externalExecutionSummary": run.summary}
    if run.external_id:
        result["externalExecutionId"] = run.external_id
    if run.error:
        result["errorDetails"] = run.error
    return {
        "pipelineExecutionId": run.execution_id, "actionExecutionId": run.run_id,
        "pipelineVersion": pipeline.declaration["version"], "stageName": run.stage,
        "actionName": run.action["name"], "startTime": run.started,
        "lastUpdateTime": run.updated, "status": run.status,
        "input": {
            "actionTypeId": run.action["actionTypeId"],
            "resolvedConfiguration": run.configuration,
        },
        "output": {"executionResult": result, "outputVariables": run.variables},
    }  # fmt: skip


def _job_answer(params: JsonObject, _caller: Principal) -> JsonObject:
    job = store.current().jobs.get(params["jobId"])
    if job is None:
        raise ApiError("JobNotFoundException", f"There is no job {params['jobId']}")
    if job.answered.is_set():
        raise ApiError("InvalidJobStateException", f"Job {params['jobId']} has ended")
    if params.get("continuationToken") and params.get("outputVariables"):
        raise ApiError("ValidationException", "outputVariables come without a continuationToken")
    job.answer = params
    job.answered.set()
    return {}


def _approval(params: JsonObject, _caller: Principal) -> JsonObject:
    pipeline = _need(params["pipelineName"])
    runs = [
        run
        for execution in pipeline.executions.values()
        for run in execution.runs
        if (run.stage, run.action["name"]) == (params["stageName"], params["actionName"])
    ]
    if not runs:
        raise ApiError("ActionNotFoundException", f"There is no {params['actionName']}")
    found = next((run for run in runs if run.token == params["token"]), None)
    if found is None:
        raise ApiError("InvalidApprovalTokenException", "The token is not the action's")
    if found.answered.is_set() or found.status != "InProgress":
        raise ApiError("ApprovalAlreadyCompletedException", "The approval was answered")
    found.summary = params["result"]["summary"]
    found.approved = params["result"]["status"] == "Approved"
    found.answered.set()
    return {"approvedAt": store.now()}


def _need(name: str) -> Pipeline:
    found = store.current().pipelines.get(name)
    if found is None:
        raise ApiError("PipelineNotFoundException", f"There is no pipeline {name}")
    return found


def _need_execution(pipeline: Pipeline, execution_id: str) -> Execution:
    found = pipeline.executions.get(execution_id)
    if found is None:
        raise ApiError("PipelineExecutionNotFoundException", f"There is no {execution_id}")
    return found


OPERATIONS: dict[str, Callable[[JsonObject, Principal], JsonObject]] = {
    "CreatePipeline": _create,
    "UpdatePipeline": _update,
    "GetPipeline": _get,
    "DeletePipeline": _delete,
    "ListPipelines": _list,
    "StartPipelineExecution": _start,
    "StopPipelineExecution": _stop,
    "GetPipelineState": _state,
    "GetPipelineExecution": _execution,
    "ListPipelineExecutions": _executions,
    "ListActionExecutions": _action_executions,
    "PutJobSuccessResult": _job_answer,
    "PutJobFailureResult": _job_answer,
    "PutApprovalResult": _approval,
}


def call(operation: str, params: JsonObject, caller: Principal) -> JsonObject:
    """Do one operation; its permissions were checked before.

    Raises:
        ApiError: What CodePipeline refuses, with its code.
    """
    handler = OPERATIONS.get(operation)
    if handler is None or request_check.operation(operation, SERVICE) is None:
        raise ApiError("UnknownOperationException", f"Unknown operation: {operation}")
    request_check.check(operation, params, SERVICE)
    try:
        return request_check.shaped(operation, handler(params, caller), SERVICE)
    except AccessDeniedError as error:
        raise ApiError("AccessDeniedException", str(error)) from error


async def handle_request(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | str,
    query_params: dict[str, Any],
) -> Response:
    """MiniStack's entry point; the work runs in a thread, so that the loop stays free."""
    del method, path
    content = body.encode() if isinstance(body, str) else body
    return await asyncio.to_thread(_handle, headers, content, query_params)


def _answered(status: int, body: JsonObject) -> Response:
    # MiniStack adds to the headers, so that each response needs its own.
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()


def _handle(headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
    operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
    try:
        params = json.loads(body) if body else {}
        if not isinstance(params, dict):
            raise ApiError("SerializationException", "Expected a JSON object")
        answer = call(operation, params, authority.caller_of(headers, query))
    except json.JSONDecodeError:
        return _answered(400, {"__type": "SerializationException"})
    except ApiError as error:
        told = {"__type": error.code, "message": error.message, **error.members}
        return _answered(error.status, told)
    return _answered(200, answer)


def reset() -> None:
    """End all executions and forget everything."""
    for at in store.clear():
        for pipeline in at.pipelines.values():
            for execution in pipeline.executions.values():
                execution.stop.set()
