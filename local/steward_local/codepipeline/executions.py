"""How an execution goes through the stages: one at a time in each, waiting as the mode says.

Source: https://docs.aws.amazon.com/codepipeline/latest/userguide/concepts-how-it-works.html
"""

from __future__ import annotations

import contextvars
import json
import re
import threading
from typing import Any

from steward_local import rule_targets
from steward_local.codepipeline import actions, roles, store
from steward_local.codepipeline.roles import RefusedError
from steward_local.codepipeline.store import ActionRun, Execution, JsonObject, Pipeline, Store

_REFERENCE = re.compile(r"#\{([A-Za-z0-9@_-]+)\.([A-Za-z0-9@_-]+)\}")


def start(at: Store, pipeline: Pipeline, variables: dict[str, str], trigger: JsonObject) -> str:
    """Begin an execution in a thread of its own and return its id."""
    defaults = {
        one["name"]: one.get("defaultValue", "")
        for one in pipeline.declaration.get("variables", [])
    }
    execution = Execution(pipeline.declaration, defaults | variables, trigger)
    with pipeline.turn:
        pipeline.executions[execution.execution_id] = execution
        first = pipeline.declaration["stages"][0]["name"]
        _queue(pipeline, execution, first)
    threading.Thread(
        target=contextvars.copy_context().run, args=(_play, at, pipeline, execution),
        daemon=True, name=f"pipeline-{pipeline.name}",
    ).start()  # fmt: skip
    return execution.execution_id


def _queue(pipeline: Pipeline, execution: Execution, stage: str) -> None:
    """Wait at a stage; where executions supersede, whoever waits there gives way."""
    waiting = pipeline.waiting.setdefault(stage, [])
    if pipeline.declaration.get("executionMode", "SUPERSEDED") == "SUPERSEDED":
        for earlier in waiting:
            pipeline.executions[earlier].status = "Superseded"
        waiting.clear()
    waiting.append(execution.execution_id)
    pipeline.turn.notify_all()


def _enter(pipeline: Pipeline, execution: Execution, stage: str) -> bool:
    """Wait for the stage to be free; return whether the execution is in it."""
    own = execution.execution_id
    with pipeline.turn:
        waiting = pipeline.waiting.setdefault(stage, [])
        if own not in waiting and execution.status == "InProgress":
            _queue(pipeline, execution, stage)
        while execution.status == "InProgress" and not execution.stop.is_set():
            if stage not in pipeline.inside and waiting[:1] == [own]:
                waiting.pop(0)
                pipeline.inside[stage] = own
                return True
            pipeline.turn.wait(0.2)
        if own in waiting:
            waiting.remove(own)
        return False


def _leave(pipeline: Pipeline, execution: Execution, stage: str, following: str | None) -> None:
    """Leave a stage; who goes on waits at the next one before another is let in, in its order."""
    with pipeline.turn:
        pipeline.inside.pop(stage, None)
        if following is not None and execution.status == "InProgress":
            _queue(pipeline, execution, following)
        pipeline.turn.notify_all()


def _play(at: Store, pipeline: Pipeline, execution: Execution) -> None:
    _tell_execution(at, pipeline, execution, "STARTED")
    stages = execution.declaration["stages"]
    for stage, following in zip(stages, [*stages[1:], {"name": None}], strict=True):
        name, failed = stage["name"], True
        if not _enter(pipeline, execution, name):
            break
        execution.stages[name] = "InProgress"
        try:
            failed = _play_stage(at, pipeline, execution, stage)
        finally:
            execution.stages[name] = "Failed" if failed else "Succeeded"
            _leave(pipeline, execution, name, None if failed else following["name"])
        if failed:
            execution.status = "Failed"
            break
    else:
        execution.status = "Succeeded"
    if execution.status == "InProgress":
        execution.status = "Stopped"
    execution.updated = store.now()
    _tell_execution(at, pipeline, execution, execution.status.upper())


def _play_stage(at: Store, pipeline: Pipeline, execution: Execution, stage: JsonObject) -> bool:
    """Play the actions of a stage in their run order; return whether one failed."""
    for action in sorted(stage["actions"], key=lambda one: int(one.get("runOrder", 1))):
        run = ActionRun(stage["name"], action, execution.execution_id)
        try:
            _show(run, execution)
            credentials = roles.of_action(
                execution.declaration["roleArn"], action.get("roleArn"), at.region
            )
            _tell_action(at, pipeline, run, "STARTED")
            actions.play(actions.Scene(at, execution, run, credentials))
        except RefusedError as error:
            run.status, run.updated = "Failed", store.now()
            run.error = {"code": error.code, "message": str(error)}
            run.summary = run.summary or str(error)
            _tell_action(at, pipeline, run, "FAILED")
            return True
        if action.get("namespace"):
            execution.namespaces[action["namespace"]] = run.variables
        run.status, run.updated = "Succeeded", store.now()
        _tell_action(at, pipeline, run, "SUCCEEDED")
    return False


def _show(run: ActionRun, execution: Execution) -> None:
    """Let an action be seen once it has its configuration, and a token where people answer it.

    Raises:
        RefusedError: A variable has no value by now.
    """
    try:
        run.configuration = resolved(run.action.get("configuration") or {}, execution)
        if run.action["actionTypeId"]["category"] == "Approval":
            run.token = store.new_id()
            run.summary = json.dumps(run.configuration.get("CustomData", ""))[1:-1][:512]
    finally:
        execution.runs.append(run)


def resolved(configuration: dict[str, str], execution: Execution) -> dict[str, str]:
    """Return a configuration with its variables in place.

    Raises:
        RefusedError: A variable has no value by now.
    """
    known: dict[str, dict[str, str]] = {
        "codepipeline": {"PipelineExecutionId": execution.execution_id},
        "variables": execution.variables,
        **execution.namespaces,
    }

    def value(found: re.Match[str]) -> str:
        try:
            return known[found[1]][found[2]]
        except KeyError:
            raise RefusedError(
                "ConfigurationError", f"The variable {found[0]} has no value"
            ) from None

    return {name: _REFERENCE.sub(value, text) for name, text in configuration.items()}


def _tell_execution(at: Store, pipeline: Pipeline, execution: Execution, state: str) -> None:
    detail = {
        "pipeline": pipeline.name, "execution-id": execution.execution_id, "state": state,
        "version": pipeline.declaration["version"], "execution-trigger": execution.trigger,
    }  # fmt: skip
    rule_targets.emit_aws_event(
        "aws.codepipeline", "CodePipeline Pipeline Execution State Change", detail,
        at.arn(pipeline.name),
    )  # fmt: skip


def _tell_action(at: Store, pipeline: Pipeline, run: ActionRun, state: str) -> None:
    kind: dict[str, Any] = run.action["actionTypeId"]
    detail: JsonObject = {
        "pipeline": pipeline.name, "execution-id": run.execution_id, "stage": run.stage,
        "action": run.action["name"], "action-execution-id": run.run_id, "state": state,
        "region": at.region, "version": pipeline.declaration["version"],
        "type": {name: kind[name] for name in ("owner", "category", "provider", "version")},
    }  # fmt: skip
    if state == "FAILED":
        detail["execution-result"] = {
            "external-execution-summary": run.summary, "error-code": run.error.get("code", ""),
        }  # fmt: skip
    rule_targets.emit_aws_event(
        "aws.codepipeline", "CodePipeline Action Execution State Change", detail,
        at.arn(pipeline.name),
    )  # fmt: skip
