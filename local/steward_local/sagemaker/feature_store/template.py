"""`AWS::SageMaker::FeatureGroup` in templates."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import provisioners

from steward_local import authority
from steward_local.sagemaker import service, store
from steward_local.sagemaker.feature_store import groups

Properties = dict[str, Any]
_IN_PLACE = {"FeatureDefinitions", "OnlineStoreConfig", "ThroughputConfig", "Tags"}
_BOOLEANS = {"EnableOnlineStore", "DisableGlueTableCreation"}
_INTEGERS = {
    "Value",
    "Dimension",
    "ProvisionedReadCapacityUnits",
    "ProvisionedWriteCapacityUnits",
}


def _typed(value: Any, name: str = "") -> Any:
    """A template's value with the numbers and truths that it may write as text."""
    if isinstance(value, dict):
        return {key: _typed(item, key) for key, item in value.items()}
    if isinstance(value, list):
        # A tag's Value is text; a list here is of definitions or of tags.
        return [item if name == "Tags" else _typed(item) for item in value]
    if name in _BOOLEANS:
        return value is True or str(value).lower() == "true"
    return int(value) if name in _INTEGERS else value


def _call(operation: str, params: Properties) -> Properties:
    return service.call(operation, params, authority.account_root())


def create(_logical_id: str, props: Properties, _stack: str) -> tuple[str, Properties]:
    """Create the group and wait for it, as CloudFormation does."""
    request = _typed(props)
    name: str = request["FeatureGroupName"]
    _call("CreateFeatureGroup", request)
    group = groups.find(name)
    group.settled.wait()
    if group.status != "Created":
        reason = group.record.get("FailureReason", "")
        _call("DeleteFeatureGroup", {"FeatureGroupName": name})
        group.deleted.wait()
        raise ValueError(f"Resource creation failed: {reason}")
    return name, _attributes(group)


def _attributes(group: groups.FeatureGroup) -> Properties:
    return {
        "CreationTime": str(group.record["CreationTime"]),
        "FeatureGroupStatus": group.status,
    }


def update(
    physical_id: str, old: Properties, new: Properties, stack: str
) -> tuple[str, Properties]:
    """Add features and change the TTL, the throughput and tags in place; replace otherwise."""
    changed = {name for name in {*old, *new} if old.get(name) != new.get(name)}
    if changed - _IN_PLACE:
        return _replace(physical_id, old, new, stack)
    group = groups.find(physical_id)
    for member, change in _changes(_typed(old), _typed(new)):
        if change:
            _call("UpdateFeatureGroup", {"FeatureGroupName": physical_id, member: change})
            group.settled.wait()
    if "Tags" in changed:
        _retag(group.record["FeatureGroupArn"], old.get("Tags", []), new.get("Tags", []))
    return physical_id, _attributes(group)


def _replace(
    physical_id: str, old: Properties, new: Properties, stack: str
) -> tuple[str, Properties]:
    if old["FeatureGroupName"] == new["FeatureGroupName"]:
        raise ValueError(
            "CloudFormation cannot update a stack when a custom-named resource requires "
            f"replacing. Rename {physical_id} and update the stack again."
        )
    created = create(physical_id, new, stack)
    provisioners._delete_predecessor(delete, physical_id, old)
    return created


def _changes(old: Properties, new: Properties) -> list[tuple[str, Any]]:
    before = {item["FeatureName"]: item for item in old["FeatureDefinitions"]}
    after = {item["FeatureName"]: item for item in new["FeatureDefinitions"]}
    if any(after.get(name) != item for name, item in before.items()):
        raise ValueError(
            "FeatureDefinitions: features cannot be removed from a feature group or changed."
        )
    found: list[tuple[str, Any]] = [
        ("FeatureAdditions", [item for name, item in after.items() if name not in before])
    ]
    old_online, new_online = (props.get("OnlineStoreConfig", {}) for props in (old, new))
    if old_online != new_online:
        ttl = new_online.get("TtlDuration", {})
        if {**old_online, "TtlDuration": ttl} != {**new_online, "TtlDuration": ttl}:
            raise ValueError("OnlineStoreConfig: only the TtlDuration of a group can be changed.")
        found.append(("OnlineStoreConfig", {"TtlDuration": ttl}))
    if old.get("ThroughputConfig") != new.get("ThroughputConfig"):
        found.append(("ThroughputConfig", new.get("ThroughputConfig")))
    return found


def _retag(arn: str, old: list[dict[str, str]], new: list[dict[str, str]]) -> None:
    known = store.current().tags.get(arn, {})
    for tag in old:
        known.pop(tag["Key"], None)
    store.current().tag(arn, new)


def delete(physical_id: str, _props: Properties) -> None:
    """Delete the group and wait until it is gone; one that is gone already is fine."""
    if physical_id.lower() not in store.current().feature_groups:
        return
    group = groups.find(physical_id)
    _call("DeleteFeatureGroup", {"FeatureGroupName": physical_id})
    group.deleted.wait()


HANDLERS: dict[str, Any] = {"create": create, "update": update, "delete": delete}
