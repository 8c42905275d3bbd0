"""Everything that an account holds, counted service by service, by who looks from outside.

It lists what is there and knows nothing of how Steward finds its own: what a project leaves behind
cannot hide from it by not being looked for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

_OF_SAGEMAKER = "/aws/sagemaker/"
"""Logs that SageMaker keeps for all jobs of an account, made with the first one."""

Inventory = dict[str, set[str]]
"""Names of things by kind."""

# Kind: service, operation, path to the list, key of the name.
_LISTS: dict[str, tuple[str, str, str, str]] = {
    "stacks": ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    "roles": ("iam", "list_roles", "Roles", "RoleName"),
    "policies": ("iam", "list_policies", "Policies", "PolicyName"),
    "functions": ("lambda", "list_functions", "Functions", "FunctionName"),
    "machines": ("stepfunctions", "list_state_machines", "stateMachines", "name"),
    "alarms": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "composite alarms": ("cloudwatch", "describe_alarms", "CompositeAlarms", "AlarmName"),
    "dashboards": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    "log groups": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "schedules": ("scheduler", "list_schedules", "Schedules", "Name"),
    "schedule groups": ("scheduler", "list_schedule_groups", "ScheduleGroups", "Name"),
    "parameters": ("ssm", "describe_parameters", "Parameters", "Name"),
    "secrets": ("secretsmanager", "list_secrets", "SecretList", "Name"),
    "topics": ("sns", "list_topics", "Topics", "TopicArn"),
    "repositories": ("ecr", "describe_repositories", "repositories", "repositoryName"),
    "tables": ("dynamodb", "list_tables", "TableNames", ""),
    "keys": ("kms", "list_keys", "Keys", "KeyId"),
    "endpoints": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "endpoint configurations": ("sagemaker", "list_endpoint_configs", "EndpointConfigs",
                                "EndpointConfigName"),
    "models": ("sagemaker", "list_models", "Models", "ModelName"),
    "package groups": ("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList",
                       "ModelPackageGroupName"),
    "feature groups": ("sagemaker", "list_feature_groups", "FeatureGroupSummaries",
                       "FeatureGroupName"),
    "model cards": ("sagemaker", "list_model_cards", "ModelCardSummaries", "ModelCardName"),
}  # fmt: skip
STRUCTURE = (
    "stacks", "roles", "policies", "functions", "machines", "dashboards", "log groups",
    "schedule groups", "parameters", "secrets", "topics", "repositories", "tables", "keys",
    "rules", "buses", "queues", "buckets", "composite alarms", "saved queries",
)  # fmt: skip
"""Kinds of which a project may leave none behind, whatever they are called."""


def inventory(target: Any) -> Inventory:
    """Return everything that the account of a target holds."""
    found = {kind: set(_listed(target, *about)) for kind, about in _LISTS.items()}
    events, s3 = target.client("events"), target.client("s3")
    buses = [bus["Name"] for bus in events.list_event_buses()["EventBuses"]]
    found["buses"] = set(buses)
    found["rules"] = {
        f"{bus}/{rule['Name']}" for bus in buses
        for page in events.get_paginator("list_rules").paginate(EventBusName=bus)
        for rule in page["Rules"]
    }  # fmt: skip
    found["queues"] = set(target.client("sqs").list_queues(MaxResults=1000).get("QueueUrls", ()))
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    found["buckets"] = set(buckets)
    found["saved queries"] = {
        query["name"]
        for query in target.client("logs").describe_query_definitions().get("queryDefinitions", ())
    }
    found["objects"] = {f"{bucket}/{key}" for bucket in buckets for key in _keys(s3, bucket)}
    found["items"] = {
        f"{table}: {_key_of(target, table, item)}"
        for table in found["tables"]
        for page in target.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        for item in page["Items"]
    }
    found["packages"] = {
        package["ModelPackageArn"]
        for group in found["package groups"]
        for page in target.client("sagemaker").get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group)
        for package in page["ModelPackageSummaryList"]
    }  # fmt: skip
    return found


def _listed(target: Any, service: str, operation: str, path: str, name: str) -> Iterator[str]:
    client = target.client(service)
    gone = ("DELETE_COMPLETE",)
    options = {"Scope": "Local"} if operation == "list_policies" else {}
    pages = (
        client.get_paginator(operation).paginate(**options)
        if client.can_paginate(operation)
        else [getattr(client, operation)(**options)]
    )
    for page in pages:
        for item in page.get(path, ()):
            if not (isinstance(item, dict) and item.get("StackStatus") in gone):
                yield item if isinstance(item, str) else str(item[name])


def _keys(s3: Any, bucket: str) -> Iterator[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        yield from (item["Key"] for item in page.get("Contents", ()))


_SCHEMAS: dict[str, list[str]] = {}


def _key_of(target: Any, table: str, item: dict[str, Any]) -> str:
    if table not in _SCHEMAS:
        described = target.client("dynamodb").describe_table(TableName=table)["Table"]
        _SCHEMAS[table] = [key["AttributeName"] for key in described["KeySchema"]]
    return json.dumps([next(iter(item[name].values())) for name in _SCHEMAS[table]])


def left_behind(before: Inventory, after: Inventory, project: str) -> Inventory:
    """Return what is there now and was not, and is of a project or of the account's structure.

    Jobs and requests of other projects that end meanwhile bear those projects' names.
    """
    own = re.compile(rf"(?<![a-z0-9]){re.escape(project)}(?![a-z0-9])")
    new = {kind: after[kind] - before[kind] for kind in after}
    kept = {
        kind: {
            name
            for name in names
            if own.search(name) or (kind in STRUCTURE and not name.startswith(_OF_SAGEMAKER))
        }
        for kind, names in new.items()
    }
    return {kind: names for kind, names in kept.items() if names}


def counted(left: Inventory, project: str, tables: dict[str, str]) -> dict[str, int]:
    """Return how many things there are by place, in the words of `steward project remove`.

    Args:
        left: The things.
        project: Whose they are.
        tables: Role of each table by its physical name.
    """

    def place(kind: str, name: str) -> str:
        if kind == "objects":
            parts = name.split("/")[1:-1]
            at = parts.index(project) + 1 if project in parts else 0
            return f"objects {'/'.join(parts[:at])}/" if at else name
        if kind == "items":
            table = name.partition(":")[0]
            return f"table {tables.get(table, table)}"
        if kind == "packages":
            return f"versions in {name.split('/')[-2]}"
        return {"package groups": "model package groups"}.get(kind, kind)

    return dict(Counter(place(kind, name) for kind, names in left.items() for name in names))
