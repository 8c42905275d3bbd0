"""The optimised SageMaker integrations, with `.sync` for the three kinds of jobs."""

from __future__ import annotations

import json
import threading
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import stepfunctions as sf

from steward_local.sagemaker import (
    processing,
    request_check,
    service,
    store,
    training,
    transform,
    tuning,
)
from steward_local.sagemaker.errors import ApiError
from steward_local.stepfunctions_additions.role import MachineRole
from steward_local.stepfunctions_additions.scope import Scope, Submitted

PREFIX = "arn:aws:states:::sagemaker:"
PLAIN = (
    "createTrainingJob",
    "createProcessingJob",
    "createTransformJob",
    "createHyperParameterTuningJob",
    "createModel",
    "createEndpointConfig",
    "createEndpoint",
    "updateEndpoint",
)
SYNC = {
    "createTrainingJob": "TrainingJob",
    "createProcessingJob": "ProcessingJob",
    "createTransformJob": "TransformJob",
    "createHyperParameterTuningJob": "HyperParameterTuningJob",
}
RULES = {
    "createTrainingJob": "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "createProcessingJob": "StepFunctionsGetEventsForSageMakerProcessingJobsRule",
    "createTransformJob": "StepFunctionsGetEventsForSageMakerTransformJobsRule",
    "createHyperParameterTuningJob": "StepFunctionsGetEventsForSageMakerTuningJobsRule",
}
_MODELLED = {
    "ResourceInUse": "ResourceInUseException",
    "ResourceLimitExceeded": "ResourceLimitExceededException",
    "ResourceNotFound": "ResourceNotFoundException",
    "ConflictException": "ConflictException",
}
FAULT = "SageMaker.AmazonSageMakerException"


def register() -> None:
    """Teach MiniStack's SDK integration the service `sagemaker`."""
    sf._AWS_SDK_SERVICE_MAP["sagemaker"] = {"target_prefix": "SageMaker", "protocol": "json"}
    sf._AWS_SDK_ERROR_PREFIX["sagemaker"] = "SageMaker"
    sf._AWS_SDK_ERROR_CODE_OVERRIDES["sagemaker"] = {
        **_MODELLED,
        "ValidationException": "SageMakerException",
        "AccessDeniedException": "SageMakerException",
        "SerializationException": "SageMakerException",
        "UnknownOperationException": "SageMakerException",
    }


def call(
    resource: str, params: dict[str, Any], role: MachineRole, scope: Scope, submitted: Submitted
) -> Any:
    """Make the call of a task; with `.sync`, wait for the job and stop it when cancelled."""
    action, _, pattern = resource.removeprefix(PREFIX).partition(".")
    if action not in PLAIN or pattern not in {"", "sync"} or (pattern and action not in SYNC):
        raise sf._ExecutionError("States.Runtime", f"{resource} is not a supported integration.")
    operation = action[0].upper() + action[1:]
    _refuse_unknown(operation, params)
    principal = role.principal()
    arn = service.resource_of(operation, params)
    role.require(f"sagemaker:{operation}", arn, FAULT)
    if pattern:
        role.require(f"sagemaker:Describe{SYNC[action]}", arn, FAULT)
        role.require("sagemaker:ListTags", arn, FAULT)
    try:
        answer = service.call(operation, params, principal)
    except ApiError as error:
        raise _as_task_error(error) from error
    if not pattern:
        return {
            **answer,
            "SdkHttpMetadata": {"HttpStatusCode": 200},
            "SdkResponseMetadata": {"RequestId": new_uuid()},
        }
    submitted(answer)
    return _finished(SYNC[action], params, role, scope)


def _refuse_unknown(operation: str, params: dict[str, Any]) -> None:
    shape = request_check.operation(operation).input_shape
    for name in params:
        if name not in shape.members:
            raise sf._ExecutionError(
                "States.Runtime", f"The field '{name}' is not supported by Step Functions."
            )


def _as_task_error(error: ApiError) -> Exception:
    name = _MODELLED.get(error.code, "AmazonSageMakerException")
    task_error: Exception = sf._ExecutionError(
        f"SageMaker.{name}",
        f"{error.message} (Service: AmazonSageMaker; Status Code: {error.status}; Error Code: "
        f"{error.code}; Request ID: {new_uuid()}; Proxy: null)",
    )
    return task_error


def _finished(kind: str, params: dict[str, Any], role: MachineRole, scope: Scope) -> Any:
    at = store.current()
    member = f"{kind}Name"
    name = {member: params[member]}
    kinds: dict[str, tuple[dict[str, store.Job], Any]] = {
        "TrainingJob": (at.training_jobs, training),
        "ProcessingJob": (at.processing_jobs, processing),
        "TransformJob": (at.transform_jobs, transform),
        "HyperParameterTuningJob": (at.tuning_jobs, tuning),
    }
    jobs, api = kinds[kind]
    job = jobs[params[member]]
    wake = threading.Event()
    job.when_done(wake.set)
    scope.on_cancel(wake.set)
    wake.wait()
    if not job.done.is_set():
        principal = role.principal()
        if principal.denial(f"sagemaker:Stop{kind}", job.record[f"{kind}Arn"]) is None:
            api.stop(name, principal)
        scope.check()
    record = request_check.shaped(f"Describe{kind}", api.describe(name, role.principal()))
    described = _in_milliseconds(record)
    if record[f"{kind}Status"] == "Completed":
        return described
    raise sf._ExecutionError("States.TaskFailed", json.dumps(described))


def _in_milliseconds(value: Any, name: str = "") -> Any:
    """Times as the Java SDK that Step Functions uses writes them."""
    if isinstance(value, dict):
        return {key: _in_milliseconds(item, key) for key, item in value.items()}
    if isinstance(value, list):
        return [_in_milliseconds(item) for item in value]
    is_time = name.endswith(("Time", "Timestamp")) and isinstance(value, float)
    return int(value * 1000) if is_time else value
