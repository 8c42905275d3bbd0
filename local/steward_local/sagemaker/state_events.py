"""State changes on the default event bus, in the shapes that SageMaker documents.

Source: "Events that Amazon SageMaker AI sends to Amazon EventBridge" (developer guide). Times in
jobs' and endpoints' details are milliseconds, those of model packages ISO 8601.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from ministack.services import eventbridge

_TIMES = (
    "CreationTime",
    "LastModifiedTime",
    "TrainingStartTime",
    "TrainingEndTime",
    "ProcessingStartTime",
    "ProcessingEndTime",
    "TransformStartTime",
    "TransformEndTime",
)


def _milliseconds(record: dict[str, Any]) -> dict[str, Any]:
    detail = copy.deepcopy(record)
    for name in _TIMES:
        if name in detail:
            detail[name] = int(detail[name] * 1000)
    for transition in detail.get("SecondaryStatusTransitions", []):
        for name in ("StartTime", "EndTime"):
            if name in transition:
                transition[name] = int(transition[name] * 1000)
    return detail


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def publish(detail_type: str, arn: str, detail: dict[str, Any]) -> None:
    """Put one event of source `aws.sagemaker` on the default bus."""
    eventbridge._put_events(
        {
            "Entries": [
                {
                    "Source": "aws.sagemaker",
                    "DetailType": detail_type,
                    "Detail": json.dumps(detail),
                    "Resources": [arn],
                }
            ]
        },
        allow_aws_source=True,
    )


def training_job_changed(record: dict[str, Any], tags: dict[str, str]) -> None:
    """`SageMaker Training Job State Change`: the job as described, and its tags."""
    publish(
        "SageMaker Training Job State Change",
        record["TrainingJobArn"],
        {**_milliseconds(record), "Tags": tags},
    )


def processing_job_changed(record: dict[str, Any], tags: dict[str, str]) -> None:
    """`SageMaker Processing Job State Change`: the job as described, and its tags."""
    publish(
        "SageMaker Processing Job State Change",
        record["ProcessingJobArn"],
        {**_milliseconds(record), "Tags": tags},
    )


def transform_job_changed(record: dict[str, Any], tags: dict[str, str]) -> None:
    """`SageMaker Transform Job State Change`: the job as described, and its tags."""
    publish(
        "SageMaker Transform Job State Change",
        record["TransformJobArn"],
        {**_milliseconds(record), "Tags": tags},
    )


def endpoint_changed(record: dict[str, Any], tags: dict[str, str]) -> None:
    """`SageMaker Endpoint State Change`; the status is in capitals there, as on AWS."""
    status = {
        "InService": "IN_SERVICE",
        "OutOfService": "OUT_OF_SERVICE",
        "SystemUpdating": "SYSTEM_UPDATING",
        "RollingBack": "ROLLING_BACK",
        "UpdateRollbackFailed": "UPDATE_ROLLBACK_FAILED",
    }.get(record["EndpointStatus"], record["EndpointStatus"].upper())
    detail = {
        "EndpointName": record["EndpointName"],
        "EndpointArn": record["EndpointArn"],
        "EndpointConfigName": record["EndpointConfigName"],
        "ProductionVariants": record.get("ProductionVariants", []),
        "EndpointStatus": status,
        "CreationTime": record["CreationTime"],
        "LastModifiedTime": record["LastModifiedTime"],
        "Tags": tags,
    }
    if "FailureReason" in record:
        detail["FailureReason"] = record["FailureReason"]
    publish("SageMaker Endpoint State Change", record["EndpointArn"], _milliseconds(detail))


def model_changed(record: dict[str, Any], tags: dict[str, str]) -> None:
    """`SageMaker Model State Change`: a model was created or deleted."""
    publish(
        "SageMaker Model State Change",
        record["ModelArn"],
        {**_milliseconds(record), "Tags": tags},
    )


def model_package_changed(record: dict[str, Any]) -> None:
    """`SageMaker Model Package State Change`: status or approval of a version changed."""
    detail = copy.deepcopy(record)
    for name in ("CreationTime", "LastModifiedTime"):
        if name in detail:
            detail[name] = _iso(detail[name])
    publish("SageMaker Model Package State Change", record["ModelPackageArn"], detail)
