"""CloudFormation types that the stacks use and MiniStack does not know."""

import json
from collections.abc import Callable
from typing import Any

Properties = dict[str, Any]
Handlers = dict[str, dict[str, Any]]


def with_missing_types(original: Handlers) -> Handlers:
    """Add the missing types to MiniStack's table of resource handlers, in place."""
    from steward_local import object_lock
    from steward_local.codepipeline import template as pipelines
    from steward_local.sagemaker.feature_store import template

    object_lock.with_locks_and_policies(original)
    original["AWS::Events::Archive"] = {
        "create": _create_archive,
        "update": _update_archive,
        "delete": _delete_archive,
    }
    original["AWS::Events::EventBusPolicy"] = {
        "create": _create_bus_policy,
        "update": _update_bus_policy,
        "delete": _delete_bus_policy,
    }
    original["AWS::SageMaker::ModelPackageGroup"] = {
        "create": _create_group,
        "delete": _delete_group,
    }
    original["AWS::SageMaker::FeatureGroup"] = template.HANDLERS
    original["AWS::CodePipeline::Pipeline"] = pipelines.HANDLERS
    original["AWS::CloudWatch::CompositeAlarm"] = {
        "create": _create_composite,
        "update": _update_composite,
        "delete": _delete_composite,
    }
    original["AWS::Logs::QueryDefinition"] = {
        "create": _create_query,
        "update": _update_query,
        "delete": _delete_query,
    }
    _name_log_groups_as_aws_does(original["AWS::Logs::LogGroup"])
    return original


def _name_log_groups_as_aws_does(handlers: dict[str, Any]) -> None:
    """Name a log group STACK-LOGICAL-RANDOM where the template names none, so IAM sees AWS's ARN.

    Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-logs-loggroup.html
    """
    create, update = handlers["create"], handlers["update"]

    def named(logical_id: str, props: Properties, stack_name: str) -> Any:
        from ministack.services.cloudformation import provisioners

        name = props.get("LogGroupName") or provisioners._physical_name(
            stack_name, logical_id, max_len=512
        )
        return create(logical_id, {**props, "LogGroupName": name}, stack_name)

    def kept(
        physical_id: str, old: Properties, new: Properties, stack_name: str, **rest: Any
    ) -> Any:
        name = {"LogGroupName": physical_id}
        return update(physical_id, {**name, **old}, {**name, **new}, stack_name, **rest)

    handlers |= {"create": named, "update": kept}


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


def _create_bus_policy(_logical_id: str, props: Properties, _stack: str) -> tuple[str, Properties]:
    """Put one statement into a bus's policy, under the name that the template gives it."""
    from ministack.services import eventbridge

    bus, name = str(props.get("EventBusName") or "default"), str(props["StatementId"])
    policy = eventbridge._event_bus_policies.setdefault(
        bus, {"Version": "2012-10-17", "Statement": []}
    )
    others = [one for one in policy["Statement"] if one.get("Sid") != name]
    policy["Statement"] = [*others, {**props["Statement"], "Sid": name}]
    return f"{bus}|{name}", {}


def _update_bus_policy(
    physical_id: str, old: Properties, new: Properties, stack: str
) -> tuple[str, Properties]:
    _delete_bus_policy(physical_id, old)
    return _create_bus_policy("", new, stack)


def _delete_bus_policy(physical_id: str, _props: Properties) -> None:
    from ministack.services import eventbridge

    bus, _, name = physical_id.rpartition("|")
    eventbridge._remove_permission({"EventBusName": bus, "StatementId": name})


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


def _cloudwatch_error(answer: tuple[int, Any, Any]) -> None:
    status, _, body = answer
    if status >= 400:
        told = json.loads(body)
        raise ValueError(told.get("message") or told.get("Message") or str(told))


def _composite_name(logical_id: str, props: Properties, stack_name: str) -> str:
    from ministack.services.cloudformation import provisioners

    return str(
        props.get("AlarmName") or provisioners._physical_name(stack_name, logical_id, max_len=255)
    )


def _put_composite(name: str, props: Properties) -> tuple[str, Properties]:
    """Put the alarm: its rule is parsed and evaluated, and its children must exist."""
    from ministack.services import cloudwatch

    enabled = str(props.get("ActionsEnabled", True)).lower() != "false"
    request = {**props, "AlarmName": name, "ActionsEnabled": enabled}
    _cloudwatch_error(cloudwatch._put_composite_alarm({}, request, False, True))
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def _create_composite(
    logical_id: str, props: Properties, stack_name: str
) -> tuple[str, Properties]:
    return _put_composite(_composite_name(logical_id, props, stack_name), props)


def _update_composite(
    physical_id: str, _old: Properties, new: Properties, _stack_name: str
) -> tuple[str, Properties]:
    name = str(new.get("AlarmName") or physical_id)
    updated = _put_composite(name, new)
    if name != physical_id:
        _delete_composite(physical_id, {})
    return updated


def _delete_composite(physical_id: str, _props: Properties) -> None:
    from ministack.services import cloudwatch

    cloudwatch._composite_alarms.pop(physical_id, None)
    cloudwatch._composite_triggers.pop(physical_id, None)


def _query_request(name: str, props: Properties) -> Properties:
    return {
        "name": name,
        "queryString": props["QueryString"],
        "logGroupNames": props.get("LogGroupNames", []),
    }


def _create_query(_logical_id: str, props: Properties, _stack: str) -> tuple[str, Properties]:
    from steward_local import log_queries

    kept = log_queries.put(_query_request(props["Name"], props))
    return kept, {"QueryDefinitionId": kept}


def _update_query(
    physical_id: str, _old: Properties, new: Properties, _stack_name: str
) -> tuple[str, Properties]:
    from steward_local import log_queries

    request = {**_query_request(new["Name"], new), "queryDefinitionId": physical_id}
    kept = log_queries.put(request)
    return kept, {"QueryDefinitionId": kept}


def _delete_query(physical_id: str, _props: Properties) -> None:
    from steward_local import log_queries

    log_queries.forget(physical_id)
