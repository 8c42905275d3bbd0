"""``AWS::CodePipeline::Pipeline`` in a template: CloudFormation's property names as the API's."""

from __future__ import annotations

from typing import Any

from steward_local import authority
from steward_local.codepipeline import service
from steward_local.codepipeline.store import JsonObject
from steward_local.sagemaker.errors import ApiError

_NUMBERS = frozenset({"runOrder", "timeoutInMinutes", "version"})
_TEXTS = frozenset({"configuration"})


def declaration(name: str, props: JsonObject) -> JsonObject:
    """Return what the API calls a pipeline."""
    own = {key: value for key, value in props.items() if key not in ("Name", "Tags")}
    declared: JsonObject = _lowered(own)
    declared.pop("restartExecutionOnUpdate", None)
    return {"name": name, **declared}


def _lowered(value: Any) -> Any:
    if isinstance(value, list):
        return [_lowered(one) for one in value]
    if not isinstance(value, dict):
        return value
    found: JsonObject = {}
    for key, one in value.items():
        name = key[:1].lower() + key[1:]
        if name in _TEXTS:
            found[name] = {option: str(text) for option, text in one.items()}
        elif name in _NUMBERS and not isinstance(one, dict) and str(one).isdigit():
            found[name] = str(one) if name == "version" else int(one)
        else:
            found[name] = _lowered(one)
    return found


def _tags(props: JsonObject) -> list[JsonObject]:
    return [{"key": tag["Key"], "value": str(tag["Value"])} for tag in props.get("Tags", [])]


def _call(operation: str, params: JsonObject) -> JsonObject:
    try:
        return service.call(operation, params, authority.account_root())
    except ApiError as error:
        raise ValueError(f"{error.code}: {error.message}") from error


def _create(logical_id: str, props: JsonObject, stack_name: str) -> tuple[str, JsonObject]:
    from ministack.services.cloudformation import provisioners

    name = props.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=100)
    _call("CreatePipeline", {"pipeline": declaration(name, props), "tags": _tags(props)})
    return name, {"Version": "1"}


def _update(
    physical_id: str, _old: JsonObject, new: JsonObject, _stack: str
) -> tuple[str, JsonObject]:
    answer = _call("UpdatePipeline", {"pipeline": declaration(physical_id, new)})
    return physical_id, {"Version": str(answer["pipeline"]["version"])}


def _delete(physical_id: str, _props: JsonObject) -> None:
    _call("DeletePipeline", {"name": physical_id})


HANDLERS = {"create": _create, "update": _update, "delete": _delete}
