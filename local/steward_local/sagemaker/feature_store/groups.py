"""Feature groups: their operations and the background work that makes and removes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from steward_local import authority, lifecycle
from steward_local.authority import AssumeRoleError, Principal
from steward_local.pace import real_seconds
from steward_local.sagemaker import jobs, settings, store
from steward_local.sagemaker.errors import ApiError, invalid, limit_exceeded
from steward_local.sagemaker.feature_store import catalog, offline, values
from steward_local.sagemaker.feature_store.online import OnlineStore
from steward_local.sagemaker.store import now

MAX_FEATURES = 2_500
MAX_AT_ONCE = 4
RESERVED = ("is_deleted", "write_time", "api_invocation_time")
CHANGE_SECONDS = 5.0
_ONLINE_KEY_ACTIONS = ("kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt")


@dataclass
class FeatureGroup:
    """A group: its description, what is said about its features, and its two stores."""

    record: dict[str, Any]
    online: OnlineStore | None
    offline: offline.OfflineStore | None
    types: dict[str, str]
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    settled: threading.Event = field(default_factory=threading.Event)
    deleted: threading.Event = field(default_factory=threading.Event)

    @property
    def status(self) -> str:
        """Where the group is between Creating and Deleting."""
        return str(self.record["FeatureGroupStatus"])

    @property
    def ttl_seconds(self) -> int | None:
        """Life of a record online when the record says nothing else."""
        return values.seconds_of(self.record.get("OnlineStoreConfig", {}).get("TtlDuration"))


def find(name_or_arn: str) -> FeatureGroup:
    """A feature group by name or ARN; AWS's error when there is none."""
    name = name_or_arn.rsplit("/", 1)[-1]
    group: FeatureGroup | None = store.current().feature_groups.get(name.lower())
    if group is None:
        raise ApiError(
            "ResourceNotFound",
            f"Resource Not Found: Amazon SageMaker can't find a FeatureGroup with name {name}. "
            "Specify a FeatureGroup that exists.",
        )
    return group


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateFeatureGroup`: checked at once, made in the background."""
    at = store.current()
    name = params["FeatureGroupName"]
    arn = at.arn("feature-group", name)
    _check_definitions(params)
    _check_stores(params, caller)
    moment = now()
    record: dict[str, Any] = {
        **{key: value for key, value in params.items() if key != "Tags"},
        "FeatureGroupArn": arn,
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "FeatureGroupStatus": "Creating",
        "NextToken": "",
    }
    record["ThroughputConfig"] = params.get("ThroughputConfig", {"ThroughputMode": "OnDemand"})
    has_online = params.get("OnlineStoreConfig", {}).get("EnableOnlineStore", False)
    if has_online:
        record["OnlineStoreConfig"] = {"StorageType": "Standard", **params["OnlineStoreConfig"]}
    else:
        record.pop("OnlineStoreConfig", None)
    offline_store = None
    if "OfflineStoreConfig" in params:
        record["OfflineStoreConfig"] = offline.resolved(params["OfflineStoreConfig"], record, at)
        offline_store = offline.OfflineStore(record, at)
    group = FeatureGroup(
        record,
        OnlineStore() if has_online else None,
        offline_store,
        {item["FeatureName"]: item["FeatureType"] for item in params["FeatureDefinitions"]},
    )
    with at.lock:
        if name.lower() in at.feature_groups:
            raise ApiError(
                "ResourceInUse",
                f"Resource Already Exists: FeatureGroup with name {name} already exists. Choose "
                "a different name.",
            )
        if sum(other.status == "Creating" for other in at.feature_groups.values()) >= MAX_AT_ONCE:
            raise limit_exceeded(
                f"The account-level service limit for concurrent feature group creation workflows "
                f"is {MAX_AT_ONCE}. Try again when one of them has ended."
            )
        at.feature_groups[name.lower()] = group
    at.tag(arn, params.get("Tags"))
    _later(lambda: _settle(group), f"create-{name}")
    return {"FeatureGroupArn": arn}


def _check_definitions(params: dict[str, Any]) -> None:
    definitions = params["FeatureDefinitions"]
    kinds = {item["FeatureName"]: item["FeatureType"] for item in definitions}
    _check_names([item["FeatureName"] for item in definitions])
    identifier, event = params["RecordIdentifierFeatureName"], params["EventTimeFeatureName"]
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        name = params[member]
        if name not in kinds:
            raise invalid(f"{member} {name} must be one of the names in FeatureDefinitions.")
    if identifier == event:
        raise invalid("RecordIdentifierFeatureName and EventTimeFeatureName must be different.")
    if kinds[event] not in values.EVENT_TIME_TYPES:
        raise invalid(
            f"The type of the event time feature {event} must be one of "
            f"{list(values.EVENT_TIME_TYPES)}, but was {kinds[event]}."
        )
    for item in definitions:
        if item.get("CollectionType"):
            raise invalid(
                f"Feature {item['FeatureName']} is a {item['CollectionType']}; collections need "
                "the InMemory storage type, which the embedded SageMaker does not have."
            )


def _check_names(names: list[str], known: list[str] | None = None) -> None:
    seen = {name.lower() for name in known or []}
    for name in names:
        if name.lower() in RESERVED:
            raise invalid(f"FeatureName cannot be any of {list(RESERVED)}, but was {name}.")
        if name.lower() in seen:
            raise invalid(f"Feature names must be unique, but {name} is given more than once.")
        seen.add(name.lower())


def _check_stores(params: dict[str, Any], caller: Principal) -> None:
    online_config = params.get("OnlineStoreConfig") or {}
    enabled = online_config.get("EnableOnlineStore", False)
    if not enabled and "OfflineStoreConfig" not in params:
        raise invalid(
            "At least one of OnlineStoreConfig (with EnableOnlineStore) and OfflineStoreConfig "
            "must be given to create a feature group."
        )
    if online_config.get("StorageType") == "InMemory":
        raise invalid("The embedded SageMaker has no online store of the InMemory storage type.")
    if online_config.get("TtlDuration") and not enabled:
        raise invalid("TtlDuration needs an online store (EnableOnlineStore).")
    key = online_config.get("SecurityConfig", {}).get("KmsKeyId")
    if enabled and key:
        for action in _ONLINE_KEY_ACTIONS:
            caller.require(action, key)
    role = params.get("RoleArn")
    if "OfflineStoreConfig" in params:
        if not role:
            raise invalid("RoleArn is required when OfflineStoreConfig is given.")
        if params["OfflineStoreConfig"].get("TableFormat", "Glue") == "Iceberg":
            raise invalid("The embedded SageMaker writes no Iceberg tables; TableFormat is Glue.")
    if role:
        jobs.require_role(role, caller)


def _later(work: Callable[[], None], name: str) -> None:
    def paused() -> None:
        if not lifecycle.stopping.wait(real_seconds(CHANGE_SECONDS)):
            work()

    jobs.in_background(paused, name)


def _settle(group: FeatureGroup) -> None:
    reason = None
    if group.offline is not None:
        try:
            role = authority.principal_of(
                authority.assume_for_service(group.record["RoleArn"], jobs.SERVICE, "SageMaker")
            )
            reason = group.offline.prepare(role)
        except AssumeRoleError as error:
            reason = str(error)
    with store.current().lock:
        if reason:
            group.record["FeatureGroupStatus"] = "CreateFailed"
            group.record["FailureReason"] = reason[: jobs.MAX_REASON]
        else:
            group.record["FeatureGroupStatus"] = "Created"
            if group.offline is not None:
                group.record["OfflineStoreStatus"] = {"Status": "Active"}
    group.settled.set()


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeFeatureGroup`."""
    group = find(params["FeatureGroupName"])
    size = group.online.size_bytes() if group.online is not None else 0
    return {**group.record, "OnlineStoreTotalSizeBytes": size}


def list_groups(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListFeatureGroups`."""
    contains = params.get("NameContains", "").lower()
    status = params.get("FeatureGroupStatusEquals")
    offline_status = params.get("OfflineStoreStatusEquals")
    with store.current().lock:
        kept = [
            group.record
            for group in store.current().feature_groups.values()
            if contains in group.record["FeatureGroupName"].lower()
            and status in {None, group.status}
            and offline_status in {None, group.record.get("OfflineStoreStatus", {}).get("Status")}
            and group.record["CreationTime"] > float(params.get("CreationTimeAfter", 0))
            and group.record["CreationTime"] < float(params.get("CreationTimeBefore", now() + 1))
        ]
    order: Callable[[dict[str, Any]], Any] = {
        "Name": lambda record: record["FeatureGroupName"].lower(),
        "FeatureGroupStatus": lambda record: record["FeatureGroupStatus"],
        "OfflineStoreStatus": lambda record: record.get("OfflineStoreStatus", {}).get("Status", ""),
    }.get(params.get("SortBy", ""), lambda record: record["CreationTime"])
    kept.sort(key=order, reverse=params.get("SortOrder") == "Descending")
    page, token = jobs.paged(kept, params)
    return {"FeatureGroupSummaries": page, **({"NextToken": token} if token else {})}


def update(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`UpdateFeatureGroup`: more features, another TTL, or another throughput; one at a time."""
    at = store.current()
    group = find(params["FeatureGroupName"])
    given = [
        member
        for member in ("FeatureAdditions", "OnlineStoreConfig", "ThroughputConfig")
        if member in params
    ]
    if len(given) != 1:
        raise invalid(
            "Specify exactly one of FeatureAdditions, OnlineStoreConfig and ThroughputConfig."
        )
    with at.lock:
        if group.status != "Created":
            raise invalid(f"A feature group in the status {group.status} cannot be updated.")
        if group.record.get("LastUpdateStatus", {}).get("Status") == "InProgress":
            raise invalid("Another update of this feature group is in progress.")
        apply = _change(given[0], params[given[0]], group)
        group.record["LastUpdateStatus"] = {"Status": "InProgress"}
    group.settled.clear()

    def finish() -> None:
        with at.lock:
            apply()
            group.record["LastModifiedTime"] = now()
            group.record["LastUpdateStatus"] = {"Status": "Successful"}
        group.settled.set()

    _later(finish, f"update-{group.record['FeatureGroupName']}")
    return {"FeatureGroupArn": group.record["FeatureGroupArn"]}


def _change(member: str, change: Any, group: FeatureGroup) -> Callable[[], None]:
    record = group.record
    if member == "FeatureAdditions":
        _check_names([item["FeatureName"] for item in change], list(group.types))
        if any(item.get("CollectionType") for item in change):
            raise invalid("The embedded SageMaker has no collections (InMemory storage type).")
        if len(group.types) + len(change) > MAX_FEATURES:
            raise limit_exceeded(f"A feature group has at most {MAX_FEATURES} features.")

        def add_features() -> None:
            record["FeatureDefinitions"] = [*record["FeatureDefinitions"], *change]
            group.types.update({item["FeatureName"]: item["FeatureType"] for item in change})
            catalog.add_columns(record, change)

        return add_features
    if member == "OnlineStoreConfig":
        if group.online is None:
            raise invalid("This feature group has no online store.")
        config = dict(record["OnlineStoreConfig"])
        if "TtlDuration" in change:
            config.pop("TtlDuration", None)
            if values.seconds_of(change["TtlDuration"]) is not None:
                config["TtlDuration"] = change["TtlDuration"]
        if change.get("StorageType", config["StorageType"]) != config["StorageType"]:
            if change["StorageType"] != "Standard_V2":
                raise invalid("An online store can be migrated from Standard to Standard_V2 only.")
            config["StorageType"] = "Standard_V2"
        return lambda: record.update(OnlineStoreConfig=config)
    throughput = {**record["ThroughputConfig"], **change}
    return lambda: record.update(ThroughputConfig=throughput)


def delete(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteFeatureGroup`: the online store is gone at once, what is offline stays."""
    at = store.current()
    group = find(params["FeatureGroupName"])
    with at.lock:
        if group.status == "Creating":
            raise invalid("A feature group in the status Creating cannot be deleted.")
        if group.status == "Deleting":
            return {}
        group.record["FeatureGroupStatus"] = "Deleting"
    if group.online is not None:
        group.online.clear()

    def finish() -> None:
        with at.lock:
            at.feature_groups.pop(group.record["FeatureGroupName"].lower(), None)
            at.tags.pop(group.record["FeatureGroupArn"], None)
        group.deleted.set()
        # Afterwards: CloudFormation waits for the deletion on the thread that would have to
        # answer the writing of the offline store.
        if group.offline is not None:
            group.offline.flush()

    _later(finish, f"delete-{group.record['FeatureGroupName']}")
    return {}


def _feature(params: dict[str, Any]) -> tuple[FeatureGroup, dict[str, Any]]:
    group = find(params["FeatureGroupName"])
    name = params["FeatureName"]
    if name not in group.types:
        raise ApiError(
            "ResourceNotFound",
            f"Resource Not Found: the FeatureGroup {group.record['FeatureGroupName']} has no "
            f"feature {name}.",
        )
    known = group.metadata.setdefault(
        name, {"LastModifiedTime": group.record["CreationTime"], "Parameters": {}}
    )
    return group, known


def describe_feature(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeFeatureMetadata`."""
    with store.current().lock:
        group, known = _feature(params)
        return {
            "FeatureGroupArn": group.record["FeatureGroupArn"],
            "FeatureGroupName": group.record["FeatureGroupName"],
            "FeatureName": params["FeatureName"],
            "FeatureType": group.types[params["FeatureName"]],
            "CreationTime": group.record["CreationTime"],
            **known,
            "Parameters": [
                {"Key": key, "Value": value} for key, value in known["Parameters"].items()
            ],
        }


def update_feature(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`UpdateFeatureMetadata`."""
    with store.current().lock:
        _, known = _feature(params)
        parameters = {
            **known["Parameters"],
            **{item["Key"]: item["Value"] for item in params.get("ParameterAdditions", [])},
        }
        for key in params.get("ParameterRemovals", []):
            parameters.pop(key, None)
        if len(parameters) > 25:
            raise invalid("A feature has at most 25 parameters.")
        known["Parameters"] = parameters
        if "Description" in params:
            known["Description"] = params["Description"]
        known["LastModifiedTime"] = now()
    return {}


def write_offline() -> None:
    """Write the offline stores whose records have waited long enough."""
    delay = settings.current().offline_store_seconds
    for at in store.every():
        with at.lock:
            waiting = [group.offline for group in at.feature_groups.values() if group.offline]
        for part in waiting:
            part.flush_when_due(delay)
