"""Operations on records: put, update, get, list and delete, and the batches of them."""

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

MAX_UPDATED = 100
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
            ttl,
        )
        group.online.put(identifier, record)
    if group.offline is not None and "OfflineStore" in targets:
        group.offline.add(given, moment, now())
    return {}


def batch_write(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`BatchWriteRecord`: each entry as by `PutRecord`, what fails in `Errors`."""
    _require_each("sagemaker:BatchWriteRecord", params["Entries"], caller)
    errors: list[dict[str, Any]] = []
    for entry in params["Entries"]:
        default = {key: params[key] for key in ("TtlDuration",) if key in params}
        try:
            put({**default, **entry}, caller)
        except ApiError as error:
            about = {"ErrorCode": error.code, "ErrorMessage": error.message}
            errors.append({"Entry": entry, **about})
    return {"Errors": errors, "UnprocessedEntries": []}


def _require_each(action: str, items: list[dict[str, Any]], caller: Principal) -> None:
    """Judge a batch on each of its groups."""
    at = store.current()
    for name in dict.fromkeys(item["FeatureGroupName"] for item in items):
        caller.require(action, at.arn("feature-group", name.rsplit("/", 1)[-1]))


def update(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`UpdateRecord`: some features of a record, under an equal event time too."""
    group = _open(params["FeatureGroupName"], caller)
    targets = _targets(group, params)
    config = group.record.get("OnlineStoreConfig", {})
    if group.online is None or config.get("StorageType") != "Standard_V2":
        raise refused("UpdateRecord needs an online store of the storage type Standard_V2.")
    if len(params["Features"]) > MAX_UPDATED:
        raise refused(f"At most {MAX_UPDATED} features can be updated in one call.")
    if "OnlineStore" not in targets:
        raise refused("UpdateRecord needs the OnlineStore among the TargetStores.")
    given = _given(group, params["Features"])
    event_name = group.record["EventTimeFeatureName"]
    identifier = params["RecordIdentifierValueAsString"]
    if given.get(group.record["RecordIdentifierFeatureName"], identifier) != identifier:
        raise refused("The record identifier of a record cannot be changed.")
    moment = None
    if event_name in given:
        moment = values.event_time(given[event_name], group.types[event_name], event_name)
    ttl = values.seconds_of(params.get("TtlDuration"))
    if ttl is not None and moment is None:
        raise refused("TtlDuration needs an EventTime in the request.")
    cleared = {item["FeatureName"] for item in params["Features"]} - set(given)
    if cleared & {event_name, group.record["RecordIdentifierFeatureName"]}:
        raise refused("The record identifier and the event time must have a value.")

    def change(known: OnlineRecord) -> OnlineRecord:
        if moment is not None and moment < known.event_time:
            raise ApiError(
                "ConflictException",
                "The EventTime of the update is older than that of the existing record.",
                409,
            )
        merged = {**dict(known.values), **given}
        values.check_sizes(identifier, merged)
        return OnlineRecord(
            known.event_time if moment is None else moment,
            tuple(
                (name, merged[name])
                for name in group.types
                if name in merged and name not in cleared
            ),
            known.ttl if ttl is None else ttl,
        )

    changed = group.online.change(identifier, change)
    if changed is None:
        raise ApiError("ResourceNotFound", f"There is no record {identifier} to update.", 404)
    if group.offline is not None and "OfflineStore" in targets:
        group.offline.add(dict(changed.values), changed.event_time, now())
    return {}


def list_records(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`ListRecords`: identifiers of the online store."""
    group = _open(params["FeatureGroupName"], caller)
    if group.online is None:
        raise refused("ListRecords needs an online store.")
    with_deleted = params.get("IncludeSoftDeletedRecords", False)
    after = params.get("NextToken", "")
    found = [name for name in group.online.identifiers(with_deleted=with_deleted) if name > after]
    size = params.get("MaxResults", 100)
    page = found[:size]
    more = {"NextToken": page[-1]} if len(found) > size else {}
    return {"RecordIdentifiers": page, **more}


def _values(group: FeatureGroup, record: list[dict[str, Any]]) -> dict[str, str]:
    given = _given(group, record)
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if not given.get(group.record[member]):
            raise refused(f"The {member} {group.record[member]} must have a value in each record.")
    values.check_sizes(given[group.record["RecordIdentifierFeatureName"]], given)
    return given


def _given(group: FeatureGroup, record: list[dict[str, Any]]) -> dict[str, str]:
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
    asked = params["Identifiers"]
    total = sum(len(item["RecordIdentifiersValueAsString"]) for item in asked)
    if total > 100:
        raise refused(f"A batch has at most 100 record identifiers, but {total} were given.")
    _require_each("sagemaker:BatchGetRecord", asked, caller)
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
