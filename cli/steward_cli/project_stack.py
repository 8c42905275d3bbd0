"""A project's own stack: the template of all projects, and what its feature groups add to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steward.domain.feature_groups import FeatureGroup
from steward.domain.feature_records import EVENT_TIME, IDENTIFIER, feature_definitions
from steward.domain.feature_versions import (
    GroupStatus,
    assign_versions,
    known_versions,
    label_of,
)
from steward.domain.names import alarm_name, feature_group_name, metric_namespace
from steward.domain.project import Project
from steward.ports import Item

MEASURED_EVERY_S = 900
"""How often ``data/measure_freshness`` looks."""

"""How often ``data/measure_skew`` looks."""


def served_versions(project: Project, items: list[Item]) -> list[tuple[FeatureGroup, int]]:
    """Return the groups and versions that the stack holds: all active ones, and the declared.

    Args:
        project: As it is declared now.
        items: The ``group#`` items of the features table.
    """
    served = {
        (item["group"], int(item["version"])): FeatureGroup.model_validate(item["definition"])
        for item in items
        if item["status"] == GroupStatus.ACTIVE
    }
    known = known_versions(items)
    for assigned in assign_versions(known, project.feature_groups, project.data):
        served[(assigned.group.feature_group, assigned.version)] = assigned.group
    return [(group, version) for (_, version), group in sorted(served.items(), key=lambda i: i[0])]


def with_feature_groups(
    template: str,
    project: Project,
    served: list[tuple[FeatureGroup, int]],
    *,
    environment: str,
    data_bucket: str,
    key_arn: str,
    role_arn: str,
    on_call_topic: str = "",
) -> str:
    """Return the template with a SageMaker feature group for each version, and their alarms.

    Args:
        on_call_topic: Who is told when an alarm goes off; nobody where it is empty.
    """
    resources: dict[str, Any] = {}
    if served and project.features:
        resources["FeatureSkewAlarm"] = _skew_alarm(project, environment)
    for group, version in served:
        name = "".join(part.title() for part in group.feature_group.split("-"))
        resources[f"{name}V{version}FeatureGroup"] = _feature_group(
            project, group, version, environment, data_bucket, key_arn, role_arn
        )
        limit = staleness_limit(project, group)
        if limit is not None:
            resources[f"{name}V{version}StaleAlarm"] = _alarm(
                project, group, version, environment, limit
            )
    for resource in resources.values():
        if resource["Type"] == "AWS::CloudWatch::Alarm" and on_call_topic:
            resource["Properties"]["AlarmActions"] = [on_call_topic]
    return with_resources(template, resources)


def with_resources(template: str, resources: Mapping[str, Any]) -> str:
    """Return a template in YAML with further resources, each on a line of its own.

    JSON is YAML, so a line of the Resources section can hold a resource.
    """
    lines = "".join(f"  {name}: {json.dumps(body)}\n" for name, body in resources.items())
    before, outputs, after = template.partition("\nOutputs:\n")
    return f"{before}\n{lines}{outputs}{after}" if lines else template


@dataclass(frozen=True)
class BatchDoorway:
    """What the schedule of a project's batches invokes, of the stack's outputs.

    Attributes:
        failures_arn: Queue for what could not be delivered.
    """

    group: str
    function_arn: str
    role_arn: str
    failures_arn: str


def batch_schedule(project: Project, doorway: BatchDoorway) -> dict[str, Any]:
    """Return the schedule of a project's batches, none where it declares none.

    EventBridge Scheduler delivers at least once: what the same input and version have scored is
    not scored again.
    """
    if project.batch is None or project.batch.schedule is None:
        return {}
    due = {
        "id": "<aws.scheduler.execution-id>", "source": "aws.scheduler",
        "detail-type": "Batch Scoring Due", "time": "<aws.scheduler.scheduled-time>",
        "detail": {"project": project.project},
    }  # fmt: skip
    schedule = {
        "Name": f"{project.project}-batch",
        "GroupName": doorway.group,
        "Description": f"Batches of {project.project}",
        "ScheduleExpression": project.batch.schedule,
        "ScheduleExpressionTimezone": project.batch.timezone,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": doorway.function_arn,
            "RoleArn": doorway.role_arn,
            "Input": json.dumps(due),
            "DeadLetterConfig": {"Arn": doorway.failures_arn},
            "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
        },
    }
    return {"BatchSchedule": {"Type": "AWS::Scheduler::Schedule", "Properties": schedule}}


def staleness_limit(project: Project, group: FeatureGroup) -> int | None:
    """Return the age in seconds beyond which a group's newest row is stale, None for no limit.

    The ``ttl_s`` of the group, or the ``freshness`` of its source where that is shorter.
    """
    table = project.data.table(group.source)
    limits = [group.ttl_s] if group.ttl_s else []
    if table is not None and table.freshness is not None:
        limits.append(table.freshness.max_age_s)
    return min(limits, default=None)


def _feature_group(
    project: Project,
    group: FeatureGroup,
    version: int,
    environment: str,
    data_bucket: str,
    key_arn: str,
    role_arn: str,
) -> dict[str, Any]:
    tags = {
        "steward:project": project.project, "steward:environment": environment,
        "steward:feature-group": label_of(group.feature_group, version),
        "steward:definition": group.definition_digest,
    }  # fmt: skip
    return {
        "Type": "AWS::SageMaker::FeatureGroup",
        "Properties": {
            "FeatureGroupName": feature_group_name(
                environment, project.project, group.feature_group, version
            ),
            "RecordIdentifierFeatureName": IDENTIFIER,
            "EventTimeFeatureName": EVENT_TIME,
            "FeatureDefinitions": feature_definitions(group),
            "OnlineStoreConfig": {
                "EnableOnlineStore": True,
                "SecurityConfig": {"KmsKeyId": key_arn},
            },
            "OfflineStoreConfig": {
                "S3StorageConfig": {
                    "S3Uri": f"s3://{data_bucket}/offline-store/{project.project}",
                    "KmsKeyId": key_arn,
                },
                "DisableGlueTableCreation": True,
            },
            "RoleArn": role_arn,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        },
    }


def _skew_alarm(project: Project, environment: str) -> dict[str, Any]:
    limit = project.alarms.feature_skew.max_share
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": alarm_name(environment, project.project, "feature-skew"),
            "AlarmDescription": (
                f"Of a feature more than {limit:.1%} of the served values differ from what "
                f"training would have seen; see reports/{project.project}/skew/."
            ),
            "Namespace": metric_namespace(environment),
            "MetricName": "FeatureSkew",
            "Dimensions": [{"Name": "project", "Value": project.project}],
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": limit,
            "ComparisonOperator": "GreaterThanThreshold",
            # Measured hourly: in between it stays as the last measurement left it.
            "TreatMissingData": "ignore",
        },
    }


def _alarm(
    project: Project, group: FeatureGroup, version: int, environment: str, limit: int
) -> dict[str, Any]:
    label = label_of(group.feature_group, version)
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": alarm_name(
                environment, project.project, f"stale-{group.feature_group}-v{version}"
            ),
            "AlarmDescription": (
                f"The newest row of {label} is older than {limit} s: its source delivers no more, "
                "or materialising fails."
            ),
            "Namespace": metric_namespace(environment),
            "MetricName": "FeatureAge",
            "Dimensions": [
                {"Name": "project", "Value": project.project},
                {"Name": "feature_group", "Value": label},
            ],
            "Statistic": "Maximum",
            "Period": MEASURED_EVERY_S,
            "EvaluationPeriods": 1,
            "Threshold": limit,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        },
    }
