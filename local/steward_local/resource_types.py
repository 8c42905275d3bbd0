"""CloudFormation types that the stacks use and MiniStack does not know."""

import json
from collections.abc import Callable
from typing import Any

Properties = dict[str, Any]
Handlers = dict[str, dict[str, Any]]


def with_missing_types(original: Handlers) -> Handlers:
    """Add the missing types to MiniStack's table of resource handlers, in place."""
    from steward_local.sagemaker.feature_store import template

    original["AWS::Events::Archive"] = {
        "create": _create_archive,
        "update": _update_archive,
        "delete": _delete_archive,
    }
    original["AWS::SageMaker::ModelPackageGroup"] = {
        "create": _create_group,
        "delete": _delete_group,
    }
    original["AWS::SageMaker::FeatureGroup"] = template.HANDLERS
    return original


def _events(operation: Callable[[Properties], Any], request: Properties) -> dict[str, Any]:
    status, _, body = operation(request)
    answer: dict[str, Any] = json.loads(body)
    if status != 200:
        raise ValueError(answer.get("message") or answer.get("Message") or str(answer))
    return answer


def _archive_request(name: str, props: Properties) -> Properties:
    pattern = props.get("EventPattern", "")
    return {
        "ArchiveName": name,
        "EventSourceArn": props["SourceArn"],
        "Description": props.get("Description", ""),
        "EventPattern": json.dumps(pattern) if isinstance(pattern, dict) else pattern,
        "RetentionDays": int(props.get("RetentionDays", 0)),
    }


def _create_archive(logical_id: str, props: Properties, stack_name: str) -> tuple[str, Properties]:
    from ministack.services import eventbridge
    from ministack.services.cloudformation import provisioners

    name = props.get("ArchiveName") or provisioners._physical_name(
        stack_name, logical_id, max_len=48
    )
    answer = _events(eventbridge._create_archive, _archive_request(name, props))
    return name, {"ArchiveName": name, "Arn": answer["ArchiveArn"]}


def _update_archive(
    physical_id: str, _old: Properties, new: Properties, _stack_name: str
) -> tuple[str, Properties]:
    from ministack.services import eventbridge

    answer = _events(eventbridge._update_archive, _archive_request(physical_id, new))
    return physical_id, {"ArchiveName": physical_id, "Arn": answer["ArchiveArn"]}


def _delete_archive(physical_id: str, _props: Properties) -> None:
    from ministack.services import eventbridge

    if physical_id in eventbridge._archives:
        eventbridge._delete_archive({"ArchiveName": physical_id})


def _create_group(_logical_id: str, props: Properties, _stack: str) -> tuple[str, Properties]:
    from steward_local import authority
    from steward_local.sagemaker import service

    answer = service.call("CreateModelPackageGroup", props, authority.account_root())
    arn = answer["ModelPackageGroupArn"]
    return arn, {"ModelPackageGroupArn": arn, "ModelPackageGroupStatus": "Completed"}


def _delete_group(physical_id: str, _props: Properties) -> None:
    from steward_local import authority
    from steward_local.sagemaker import service

    name = physical_id.rsplit("/", 1)[-1]
    service.call(
        "DeleteModelPackageGroup", {"ModelPackageGroupName": name}, authority.account_root()
    )
