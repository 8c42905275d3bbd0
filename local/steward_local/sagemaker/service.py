"""The SageMaker API as MiniStack dispatches it: one handler for control plane and runtime."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from steward_local import authority
from steward_local.authority import AccessDeniedError, Principal
from steward_local.sagemaker import (
    card_exports,
    endpoints,
    hosting_config,
    invoke,
    model_cards,
    packages,
    processing,
    request_check,
    store,
    tagging,
    training,
    transform,
    tuning,
)
from steward_local.sagemaker.errors import ApiError
from steward_local.sagemaker.feature_store import groups as feature_groups
from steward_local.sagemaker.feature_store import runtime as feature_runtime
from steward_local.sagemaker.lineage import associations
from steward_local.sagemaker.lineage.entities import ACTION, ARTIFACT, CONTEXT, artifact_arn
from steward_local.sagemaker.processes import groups

Response = tuple[int, dict[str, str], bytes]
Operation = Callable[[dict[str, Any], Principal], dict[str, Any]]

OPERATIONS: dict[str, Operation] = {
    "CreateTrainingJob": training.create,
    "DescribeTrainingJob": training.describe,
    "StopTrainingJob": training.stop,
    "ListTrainingJobs": training.list_jobs,
    "CreateHyperParameterTuningJob": tuning.create,
    "DescribeHyperParameterTuningJob": tuning.describe,
    "StopHyperParameterTuningJob": tuning.stop,
    "ListHyperParameterTuningJobs": tuning.list_jobs,
    "ListTrainingJobsForHyperParameterTuningJob": tuning.list_training_jobs,
    "CreateProcessingJob": processing.create,
    "DescribeProcessingJob": processing.describe,
    "StopProcessingJob": processing.stop,
    "ListProcessingJobs": processing.list_jobs,
    "CreateTransformJob": transform.create,
    "DescribeTransformJob": transform.describe,
    "StopTransformJob": transform.stop,
    "ListTransformJobs": transform.list_jobs,
    "CreateModel": hosting_config.create_model,
    "DescribeModel": hosting_config.describe_model,
    "DeleteModel": hosting_config.delete_model,
    "ListModels": hosting_config.list_models,
    "CreateEndpointConfig": hosting_config.create_endpoint_config,
    "DescribeEndpointConfig": hosting_config.describe_endpoint_config,
    "DeleteEndpointConfig": hosting_config.delete_endpoint_config,
    "ListEndpointConfigs": hosting_config.list_endpoint_configs,
    "CreateEndpoint": endpoints.create,
    "DescribeEndpoint": endpoints.describe,
    "UpdateEndpoint": endpoints.update,
    "UpdateEndpointWeightsAndCapacities": endpoints.update_weights,
    "DeleteEndpoint": endpoints.delete,
    "ListEndpoints": endpoints.list_endpoints,
    "CreateModelPackageGroup": packages.create_group,
    "DescribeModelPackageGroup": packages.describe_group,
    "DeleteModelPackageGroup": packages.delete_group,
    "ListModelPackageGroups": packages.list_groups,
    "PutModelPackageGroupPolicy": packages.put_policy,
    "GetModelPackageGroupPolicy": packages.get_policy,
    "DeleteModelPackageGroupPolicy": packages.delete_policy,
    "CreateModelPackage": packages.create,
    "DescribeModelPackage": packages.describe,
    "UpdateModelPackage": packages.update,
    "DeleteModelPackage": packages.delete,
    "ListModelPackages": packages.list_packages,
    "CreateModelCard": model_cards.create,
    "UpdateModelCard": model_cards.update,
    "DescribeModelCard": model_cards.describe,
    "DeleteModelCard": model_cards.delete,
    "ListModelCards": model_cards.list_cards,
    "ListModelCardVersions": model_cards.list_versions,
    "CreateModelCardExportJob": card_exports.create,
    "DescribeModelCardExportJob": card_exports.describe,
    "ListModelCardExportJobs": card_exports.list_jobs,
    "CreateFeatureGroup": feature_groups.create,
    "DescribeFeatureGroup": feature_groups.describe,
    "UpdateFeatureGroup": feature_groups.update,
    "DeleteFeatureGroup": feature_groups.delete,
    "ListFeatureGroups": feature_groups.list_groups,
    "DescribeFeatureMetadata": feature_groups.describe_feature,
    "UpdateFeatureMetadata": feature_groups.update_feature,
    **{
        f"{verb}{kind.name}": operation
        for kind in (ARTIFACT, ACTION, CONTEXT)
        for verb, operation in (
            ("Create", kind.create),
            ("Describe", kind.describe),
            ("Update", kind.update),
            ("Delete", kind.delete),
        )
    },
    "ListArtifacts": ARTIFACT.list_all,
    "ListActions": ACTION.list_all,
    "ListContexts": CONTEXT.list_all,
    "AddAssociation": associations.add,
    "DeleteAssociation": associations.delete,
    "ListAssociations": associations.list_all,
    "QueryLineage": associations.query,
    "AddTags": tagging.add,
    "ListTags": tagging.list_tags,
    "DeleteTags": tagging.delete,
}
_TAGGED_CREATIONS = {name for name in OPERATIONS if name.startswith("Create")}
_INVOCATION = re.compile(r"/endpoints/([^/]+)/invocations/?")
_KINDS = {
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "TransformJobName": "transform-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "ModelPackageName": "model-package",
    "ModelPackageGroupName": "model-package-group",
    "FeatureGroupName": "feature-group",
    "ModelCardName": "model-card",
    "ActionName": "action",
    "ContextName": "context",
}
_SUBJECTS = {
    "EndpointWeightsAndCapacities": "Endpoint",
    "FeatureMetadata": "FeatureGroup",
    "ModelPackageGroupPolicy": "ModelPackageGroup",
    "ModelCardExportJob": "ModelCard",
}


def call(operation: str, params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """Do one operation of the control plane; its permissions were checked before.

    Raises:
        ApiError: what SageMaker refuses, with its code and words.
    """
    handler = OPERATIONS.get(operation)
    if handler is None or request_check.operation(operation) is None:
        raise ApiError("UnknownOperationException", f"Unknown operation: {operation}")
    request_check.check(operation, params)
    if params.get("Tags") and operation in _TAGGED_CREATIONS:
        denied = caller.denial("sagemaker:AddTags", resource_of(operation, params))
        if denied:
            raise ApiError("AccessDeniedException", denied)
    try:
        answer = handler(params, caller)
    except AccessDeniedError as error:
        raise ApiError("AccessDeniedException", str(error)) from error
    return request_check.shaped(operation, answer)


def resource_of(operation: str, params: dict[str, Any]) -> str:
    """The ARN on which IAM judges a request of the control plane, `*` for lists."""
    at = store.current()
    if operation.startswith("List") and operation != "ListTags":
        return "*"
    for member in (
        "ResourceArn", "ModelPackageArn", "ArtifactArn", "SourceArn", "ModelCardExportJobArn",
    ):  # fmt: skip
        if isinstance(params.get(member), str):
            return str(params[member])
    if operation == "CreateModelPackage" and params.get("ModelPackageGroupName"):
        group = str(params["ModelPackageGroupName"]).rsplit("/", 1)[-1]
        return f"{at.arn('model-package', group)}/{at.last_version.get(group, 0) + 1}"
    if operation.endswith("Artifact") and isinstance(params.get("Source"), dict):
        return artifact_arn(str(params["Source"].get("SourceUri")))
    for member, kind in _KINDS.items():
        value = params.get(member)
        if isinstance(value, str) and value and f"{member}" in _named_by(operation):
            return value if value.startswith("arn:") else at.arn(kind, value)
    return "*"


def _named_by(operation: str) -> tuple[str, ...]:
    subject = re.sub(r"^(Create|Describe|Delete|Update|Stop|Put|Get)", "", operation)
    return (f"{_SUBJECTS.get(subject, subject)}Name",)


async def handle_request(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | str,
    query_params: dict[str, Any],
) -> Response:
    """MiniStack's entry point; the work runs in a thread, so that the loop stays free."""
    content = body.encode() if isinstance(body, str) else body
    return await asyncio.to_thread(_handle, method, path, headers, content, query_params)


def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> Response:
    invocation = _INVOCATION.fullmatch(path)
    if invocation and method == "POST":
        try:
            return invoke.invoke(unquote(invocation.group(1)), headers, body)
        except ApiError as error:
            return invoke.error_response(error)
    on_records = feature_runtime.call_of(method, path)
    if on_records is not None:
        return feature_runtime.answer(on_records, headers, body, query)
    operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
    try:
        params = json.loads(body) if body else {}
        if not isinstance(params, dict):
            raise ApiError("SerializationException", "Expected a JSON object")
        answer = call(operation, params, authority.caller_of(headers, query))
    except json.JSONDecodeError:
        return _error(ApiError("SerializationException", "Could not parse request body"))
    except ApiError as error:
        return _error(error)
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()


def _error(error: ApiError) -> Response:
    return (
        error.status,
        {"Content-Type": "application/x-amz-json-1.1"},
        json.dumps({"__type": error.code, "message": error.message, **error.members}).encode(),
    )


def reset() -> None:
    """End all work and forget everything."""
    for at in store.every():
        every = (at.tuning_jobs, at.training_jobs, at.processing_jobs, at.transform_jobs)
        for job in [job for kind in every for job in kind.values()]:
            job.stop.set()
    endpoints.close_all()
    groups.kill_all()
    store.clear()
