"""Operations on records: `PutRecord`, `GetRecord`, `BatchGetRecord` and `DeleteRecord`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from steward_local.authority import Principal
from steward_local.sagemaker import store
from steward_local.sagemaker.errors import ApiError
from steward_local.sagemaker.feature_store import groups, values
from steward_local.sagemaker.feature_store.groups import FeatureGroup
from steward_local.sagemaker.feature_store.online import OnlineRecord
from steward_local.sagemaker.feature_store.values import refused
from steward_local.sagemaker.store import now

_STORES = ("OnlineStore", "OfflineStore")


def _open(name_or_arn: str, caller: Principal) -> FeatureGroup:
    """A group that takes calls, if the caller may use the key of its online store."""
    try:
        group = groups.find(name_or_arn)
    except ApiError as error:
        raise ApiError(error.code, error.message, 404) from None
    if group.status == "Deleting":
        name = group.record["FeatureGroupName"]
        raise ApiError("ResourceNotFound", f"The FeatureGroup {name} is being deleted.", 404)
    if group.status != "Created":
        raise refused(
            f"The FeatureGroup {group.record['FeatureGroupName']} is in the status "
            f"{group.status}; it must be Created."
        )
    config = group.record.get("OnlineStoreConfig", {})
    key = config.get("SecurityConfig", {}).get("KmsKeyId")
    if key:
        caller.require("kms:Decrypt", key)
    return group


def _targets(group: FeatureGroup, params: dict[str, Any]) -> set[str]:
    present = {
        name
        for name, part in zip(_STORES, (group.online, group.offline), strict=True)
        if part is not None
    }
    wanted = set(params.get("TargetStores") or present)
    missing = wanted - present
    if missing:
        raise refused(
            f"TargetStores {sorted(missing)} are not enabled for the FeatureGroup "
            f"{group.record['FeatureGroupName']}."
        )
    return wanted


def put(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`PutRecord`: an event that is not newer is history, which is kept offline only."""
    group = _open(params["FeatureGroupName"], caller)
    targets = _targets(group, params)
    given = _values(group, params["Record"])
    identifier = given[group.record["RecordIdentifierFeatureName"]]
    event_name = group.record["EventTimeFeatureName"]
    moment = values.event_time(given[event_name], group.types[event_name], event_name)
    ttl = values.seconds_of(params.get("TtlDuration"))
    if ttl is not None and "OnlineStore" not in targets:
        raise refused("TtlDuration needs the OnlineStore among the TargetStores.")
    ttl = group.ttl_seconds if ttl is None else ttl
    if group.online is not None and "OnlineStore" in targets:
        record = OnlineRecord(
            moment,
            tuple((name, given[name]) for name in group.types if name in given),
            None if ttl is None else moment + ttl,
        )
        group.online.put(identifier, record)
    if group.offline is not None and "OfflineStore" in targets:
        group.offline.add(given, moment, now())
    return {}


def _values(group: FeatureGroup, record: list[dict[str, Any]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in record:
        name, value = item["FeatureName"], item.get("ValueAsString")
        if name not in group.types:
            raise refused(
                f"The feature {name} is not among the FeatureDefinitions of the FeatureGroup "
                f"{group.record['FeatureGroupName']}."
            )
        if name in given:
            raise refused(f"The feature {name} is given more than once.")
        if item.get("ValueAsStringList") is not None:
            raise refused(f"The feature {name} is no collection; give its ValueAsString.")
        if value is not None:
            values.check_type(name, group.types[name], value)
            given[name] = value
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if not given.get(group.record[member]):
            raise refused(f"The {member} {group.record[member]} must have a value in each record.")
    values.check_sizes(
        given[group.record["RecordIdentifierFeatureName"]],
        [{"FeatureName": name, "ValueAsString": value} for name, value in given.items()],
    )
    return given


def get(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`GetRecord`: empty when there is no record, or none any more."""
    group = _open(params["FeatureGroupName"], caller)
    if group.online is None:
        raise refused(
            f"The FeatureGroup {group.record['FeatureGroupName']} has no online store to read from."
        )
    names = params.get("FeatureNames")
    _check_names(group, names)
    record = group.online.get(params["RecordIdentifierValueAsString"])
    return {} if record is None else _shown(record, names, params)


def _check_names(group: FeatureGroup, names: list[str] | None) -> None:
    unknown = [name for name in names or [] if name not in group.types]
    if unknown:
        raise refused(
            f"The features {unknown} are not among the FeatureDefinitions of the FeatureGroup "
            f"{group.record['FeatureGroupName']}."
        )


def _shown(record: OnlineRecord, names: list[str] | None, params: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    listed = record.as_list(names)
    if listed:
        answer["Record"] = listed
    if params.get("ExpirationTimeResponse") == "Enabled" and record.expires_at is not None:
        answer["ExpiresAt"] = values.iso(record.expires_at)
    return answer


def batch_get(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`BatchGetRecord`: what is not there is in none of the lists, what fails in `Errors`."""
    at = store.current()
    asked = params["Identifiers"]
    total = sum(len(item["RecordIdentifiersValueAsString"]) for item in asked)
    if total > 100:
        raise refused(f"A batch has at most 100 record identifiers, but {total} were given.")
    for name in dict.fromkeys(item["FeatureGroupName"] for item in asked):
        arn = at.arn("feature-group", name.rsplit("/", 1)[-1])
        caller.require("sagemaker:BatchGetRecord", arn)
    found: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for item in asked:
        for identifier in item["RecordIdentifiersValueAsString"]:
            about = {
                "FeatureGroupName": item["FeatureGroupName"],
                "RecordIdentifierValueAsString": identifier,
            }
            request = {
                **item,
                **about,
                "ExpirationTimeResponse": params.get("ExpirationTimeResponse"),
            }
            try:
                record = get(request, caller)
            except ApiError as error:
                errors.append({**about, "ErrorCode": error.code, "ErrorMessage": error.message})
                continue
            if "Record" in record:
                found.append({**about, **record})
    return {"Records": found, "Errors": errors, "UnprocessedIdentifiers": []}


def delete(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`DeleteRecord`: a marker (soft) or nothing (hard) online, a marker offline."""
    group = _open(params["FeatureGroupName"], caller)
    targets = _targets(group, params)
    event_name = group.record["EventTimeFeatureName"]
    moment = values.event_time(params["EventTime"], group.types[event_name])
    identifier = params["RecordIdentifierValueAsString"]
    if not identifier:
        raise refused("RecordIdentifierValueAsString must not be empty.")
    if group.online is not None and "OnlineStore" in targets:
        if params.get("DeletionMode") == "HardDelete":
            group.online.remove(identifier, moment)
        else:
            group.online.put(identifier, _marker(moment))
    if group.offline is not None and "OfflineStore" in targets:
        marker = {
            group.record["RecordIdentifierFeatureName"]: identifier,
            event_name: params["EventTime"],
        }
        group.offline.add(marker, moment, now(), deleted=True)
    return {}


def _marker(moment: Decimal) -> OnlineRecord:
    return OnlineRecord(moment, (), deleted=True)
