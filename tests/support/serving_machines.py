"""The machines of serving, played with the real use cases on fakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from steward.contracts.steps.serving import (
    CompleteRelease,
    ConcludeExperiment,
    ConcludeRelease,
    ConcludeRollback,
    ConcludeStaging,
    ConcludeTick,
    FreezeCohorts,
    JudgeStep,
    PlanRelease,
    PlanStaging,
    RemoveEndpoint,
    RestoreRoute,
    RunSmokeTest,
    ShiftTraffic,
    WarmEndpoint,
)
from steward.domain.errors import ConflictError, StewardError
from steward.domain.workspace import scratch
from steward.service.serving.freezing import freeze_cohorts
from steward.service.serving.rollback import remove_endpoint
from steward.service.serving.warming import warm_endpoint
from support.fakes import Reply
from support.machine_player import Played, Task, TaskError, machine, play
from support.serving_scene import ARTIFACTS, CAPTURE, ROLLBACK, Scene, container
from support.ticking_scene import Experiment

MOST_LOOKS = 300
STAGE_VERSION = machine("serving/stage_version")
RELEASE_VERSION = machine("serving/release_version")
ROLL_BACK = machine("serving/roll_back")
TICK_EXPERIMENT = machine("serving/tick_experiment")


def step(contract: type[BaseModel], use_case: Callable[[Any], BaseModel]) -> Task:
    """Return a task as its function is: input checked, errors by their class names."""

    def task(payload: Any) -> Any:
        try:
            return use_case(contract.model_validate(payload)).model_dump(mode="json")
        except StewardError as error:
            raise TaskError(type(error).__name__, str(error)) from error

    return task


def sagemaker(scene: Scene, reply: Reply | None, comes_up: list[str]) -> dict[str, Task]:
    """Return the tasks that make an endpoint; it has the statuses ``comes_up`` in turn."""
    statuses = list(comes_up)

    def create(arguments: Any) -> Any:
        scene.endpoints.add(
            arguments["EndpointName"], reply or container(scene.project), status="Creating"
        )
        return {"EndpointArn": "arn"}

    def describe(arguments: Any) -> Any:
        endpoint = scene.endpoints.endpoints[arguments["EndpointName"]]
        endpoint.status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        failed = {"FailureReason": "no image"} if endpoint.status == "Failed" else {}
        return {"EndpointStatus": endpoint.status, **failed}

    return {
        "CreateModel": lambda _arguments: {"ModelArn": "arn"},
        "CreateEndpointConfig": lambda _arguments: {"EndpointConfigArn": "arn"},
        "CreateEndpoint": create,
        "DescribeEndpoint": describe,
    }


def stage(
    scene: Scene,
    *,
    reply: Reply | None = None,
    comes_up: list[str] | None = None,
    looks: int = MOST_LOOKS,
    **changes: Task,
) -> Played:
    """Register version 1 and play its staging; ``looks`` is where it gives an endpoint up."""
    scene.register(1)
    arn = scene.start_staging()["started"]
    tasks = {
        "PlanStaging": step(PlanStaging, lambda c: scene.plan_staging(c.version, c.attempt)),
        **sagemaker(scene, reply, comes_up or ["Creating", "InService"]),
        "RunSmokeTest": step(RunSmokeTest, lambda c: scene.smoke(c.version)),
        "ConcludeStaging": step(ConcludeStaging, scene.conclude_staging_as),
        "RecordFailure": step(ConcludeStaging, scene.conclude_staging_as),
    }
    impatient = json.loads(
        json.dumps(STAGE_VERSION).replace(f"$looks >= {MOST_LOOKS}", f"$looks >= {looks}")
    )
    return _play(scene, impatient, {**tasks, **changes}, arn)


def release(
    scene: Scene,
    version: int,
    *,
    reply: Reply | None = None,
    comes_up: list[str] | None = None,
    baked: Callable[[int], None] = lambda _bakes: None,
    **changes: Task,
) -> Played:
    """Approve a version and play its release; ``baked`` is called after each bake."""
    scene.approve(version)
    arn = scene.start_release(version)["started"]
    bakes = 0

    def judge(command: JudgeStep) -> BaseModel:
        nonlocal bakes
        bakes += 1
        baked(bakes)
        return scene.judge(command.release_id, command.step_index, command.holds)

    def warm(command: WarmEndpoint) -> BaseModel:
        return warm_endpoint(
            command, state=scene.state, objects=scene.objects, endpoints=scene.endpoints,
            timer=lambda: 0.0,
        )  # fmt: skip

    tasks = {
        "PlanRelease": step(PlanRelease, lambda c: scene.plan(c.release_id)),
        **sagemaker(scene, reply, comes_up or ["Creating", "InService"]),
        "WarmEndpoint": step(WarmEndpoint, warm),
        "ShiftTraffic": step(ShiftTraffic, lambda c: scene.shift(c.release_id, c.step_index)),
        "JudgeStep": step(JudgeStep, judge),
        "CompleteRelease": step(CompleteRelease, lambda c: scene.complete(c.release_id)),
        "EndNotPromoted": step(ConcludeExperiment, scene.not_promoted_as),
        "StartRollback": _starting_rollbacks(scene),
        "RecordEnd": step(ConcludeRelease, scene.conclude_as),
        "RecordFailure": step(ConcludeRelease, scene.conclude_as),
    }
    return _play(scene, RELEASE_VERSION, {**tasks, **changes}, arn)


def tick(scene: Experiment, **changes: Task) -> Played:
    """Let the schedule of version 2's experiment fire and play the tick that it starts."""
    arn = scene.fire()["started"]

    def freeze(command: FreezeCohorts) -> BaseModel:
        with scratch(1024) as limits:
            return freeze_cohorts(
                command, state=scene.state, objects=scene.objects, clock=scene.clock,
                limits=limits, capture_bucket=CAPTURE, artifacts_bucket=ARTIFACTS,
            )  # fmt: skip

    tasks = {
        "FreezeCohorts": step(FreezeCohorts, freeze),
        "JudgeStep": step(JudgeStep, lambda c: scene.judge(c.release_id)),
        "ShiftTraffic": step(ShiftTraffic, scene.shift_at),
        "CompleteRelease": step(CompleteRelease, lambda c: scene.complete(c.release_id)),
        "EndNotPromoted": step(ConcludeExperiment, scene.not_promoted_as),
        "StartRollback": _starting_rollbacks(scene),
        "RecordEnd": step(ConcludeRelease, scene.conclude_as),
        "ConcludeTick": step(ConcludeTick, scene.conclude_tick_as),
        "RecordFailure": step(ConcludeTick, scene.conclude_tick_as),
    }
    return _play(scene, TICK_EXPERIMENT, {**tasks, **changes}, arn)


def _starting_rollbacks(scene: Scene) -> Task:
    def start(arguments: Any) -> Any:
        try:
            started = scene.workflows.start(ROLLBACK, arguments["Name"], arguments["Input"])
        except ConflictError as taken:
            raise TaskError("StepFunctions.ExecutionAlreadyExistsException", str(taken)) from taken
        return {"ExecutionArn": started}

    return start


def roll_back(scene: Scene, arn: str, **changes: Task) -> Played:
    """Play a rollback that was started."""

    def remove(command: RemoveEndpoint) -> BaseModel:
        return remove_endpoint(command, state=scene.state, endpoints=scene.endpoints)

    tasks = {
        "RestoreRoute": step(RestoreRoute, scene.restore),
        "ConcludeRollback": step(ConcludeRollback, scene.conclude_rollback_as),
        "RemoveEndpoint": step(RemoveEndpoint, remove),
        "RecordFailure": step(ConcludeRollback, scene.conclude_rollback_as),
    }
    return _play(scene, ROLL_BACK, {**tasks, **changes}, arn)


def _play(scene: Scene, definition: Any, tasks: dict[str, Task], arn: str) -> Played:
    execution = scene.workflows.executions[arn]
    played = play(
        definition, tasks, execution.payload, execution_arn=arn, waited=scene.clock.advance
    )
    scene.workflows.end(arn, played.status)
    return played
