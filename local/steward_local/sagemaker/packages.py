"""The model registry: package groups and versions."""

from __future__ import annotations

from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import request_scope

from steward_local.authority import Principal
from steward_local.sagemaker import jobs, model_card_schema, state_events, store
from steward_local.sagemaker.errors import ApiError, invalid
from steward_local.sagemaker.store import now

MAX_CUSTOM_PROPERTIES = 50
_UPDATABLE = (
    "ApprovalDescription",
    "InferenceSpecification",
    "SourceUri",
    "ModelCard",
    "ModelLifeCycle",
)


def create_group(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateModelPackageGroup`."""
    at = store.current()
    name = params["ModelPackageGroupName"]
    arn = at.arn("model-package-group", name)
    with at.lock:
        if name.lower() in at.package_groups:
            raise invalid(f"Model Package Group already exists: {arn}")
        at.package_groups[name.lower()] = {
            "ModelPackageGroupName": name,
            "ModelPackageGroupArn": arn,
            "ModelPackageGroupDescription": params.get("ModelPackageGroupDescription"),
            "CreationTime": now(),
            "CreatedBy": _by(caller),
            "ModelPackageGroupStatus": "Completed",
        }
    at.tag(arn, params.get("Tags"))
    return {"ModelPackageGroupArn": arn}


def _by(caller: Principal) -> dict[str, Any]:
    return {"IamIdentity": {"Arn": caller.arn, "PrincipalId": caller.arn.rsplit("/", 1)[-1]}}


def _group(name_or_arn: str) -> dict[str, Any]:
    at = store.current()
    name = name_or_arn.rsplit("/", 1)[-1]
    group = at.package_groups.get(name.lower())
    if group is None:
        raise invalid(f"ModelPackageGroup {at.arn('model-package-group', name)} does not exist.")
    return group


def describe_group(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeModelPackageGroup`."""
    return _group(params["ModelPackageGroupName"])


def delete_group(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteModelPackageGroup`: only an empty one."""
    at = store.current()
    with at.lock:
        group = _group(params["ModelPackageGroupName"])
        name = group["ModelPackageGroupName"]
        if any(item.get("ModelPackageGroupName") == name for item in at.packages.values()):
            raise ApiError(
                "ConflictException",
                f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted: it "
                "still contains Model Packages.",
            )
        del at.package_groups[name.lower()]
        at.tags.pop(group["ModelPackageGroupArn"], None)
        at.group_policies.pop(group["ModelPackageGroupArn"], None)
    return {}


def put_policy(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`PutModelPackageGroupPolicy`: who else may read the group and its versions."""
    group = _group(params["ModelPackageGroupName"])
    problem = iam_evaluator.validate_policy_document(params["ResourcePolicy"])
    if problem:
        raise invalid(f"Invalid resource policy: {problem}")
    store.current().group_policies[group["ModelPackageGroupArn"]] = params["ResourcePolicy"]
    return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}


def get_policy(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`GetModelPackageGroupPolicy`."""
    arn = _group(params["ModelPackageGroupName"])["ModelPackageGroupArn"]
    policy = store.current().group_policies.get(arn)
    if policy is None:
        raise invalid(f"Cannot find resource policy for {arn}")
    return {"ResourcePolicy": policy}


def delete_policy(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteModelPackageGroupPolicy`."""
    arn = _group(params["ModelPackageGroupName"])["ModelPackageGroupArn"]
    if store.current().group_policies.pop(arn, None) is None:
        raise invalid(f"Cannot find resource policy for {arn}")
    return {}


def list_groups(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListModelPackageGroups`."""
    contains = params.get("NameContains", "").lower()
    kept = [
        group
        for group in list(store.current().package_groups.values())
        if contains in group["ModelPackageGroupName"].lower()
    ]
    key = "ModelPackageGroupName" if params.get("SortBy") == "Name" else "CreationTime"
    kept.sort(key=lambda group: group[key], reverse=params.get("SortOrder") == "Descending")
    page, token = jobs.paged(kept, params)
    return {"ModelPackageGroupSummaryList": page, **({"NextToken": token} if token else {})}


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateModelPackage`: the next version of a group, or an unversioned package."""
    at = store.current()
    group_name, name = params.get("ModelPackageGroupName"), params.get("ModelPackageName")
    if (group_name is None) == (name is None):
        raise invalid(
            "Specify exactly one of ModelPackageGroupName (a version) and ModelPackageName."
        )
    if name and "ModelApprovalStatus" in params:
        raise invalid("ModelApprovalStatus is for versions of a model package group only.")
    _check_properties(params.get("CustomerMetadataProperties", {}))
    _check_card(params)
    token = params.get("ClientToken")
    with at.lock:
        if token and token in at.client_tokens:
            return {"ModelPackageArn": at.client_tokens[token]}
        moment = now()
        record: dict[str, Any] = {
            **{
                key: value
                for key, value in params.items()
                if key not in {"Tags", "ClientToken", "SourceAlgorithmSpecification"}
            },
            "CreationTime": moment,
            "CreatedBy": _by(caller),
            "ModelPackageStatus": "Completed",
            "ModelPackageStatusDetails": {"ValidationStatuses": [], "ImageScanStatuses": []},
            "CertifyForMarketplace": params.get("CertifyForMarketplace", False),
        }
        if group_name is not None:
            group = _group(group_name)
            full = group["ModelPackageGroupName"]
            version = at.last_version.get(full, 0) + 1
            at.last_version[full] = version
            record |= {
                "ModelPackageGroupName": full,
                "ModelPackageVersion": version,
                "ModelPackageArn": f"{at.arn('model-package', full)}/{version}",
                "ModelApprovalStatus": params.get("ModelApprovalStatus", "PendingManualApproval"),
            }
        else:
            record |= {
                "ModelPackageName": name,
                "ModelPackageArn": at.arn("model-package", str(name)),
            }
            if record["ModelPackageArn"] in at.packages:
                raise invalid(f"Model Package already exists: {record['ModelPackageArn']}")
        arn: str = record["ModelPackageArn"]
        at.packages[arn] = record
        if token:
            at.client_tokens[token] = arn
    if group_name is None:
        at.tag(arn, params.get("Tags"))
    elif params.get("Tags"):
        at.tag(_group(group_name)["ModelPackageGroupArn"], params["Tags"])
    state_events.model_package_changed(record)
    return {"ModelPackageArn": arn}


def _check_properties(properties: dict[str, str]) -> None:
    if len(properties) > MAX_CUSTOM_PROPERTIES:
        raise invalid(
            f"CustomerMetadataProperties has at most {MAX_CUSTOM_PROPERTIES} entries, but "
            f"{len(properties)} were given."
        )


def _check_card(params: dict[str, Any]) -> None:
    content = params.get("ModelCard", {}).get("ModelCardContent")
    if content is not None:
        model_card_schema.check(content, model_card_schema.PACKAGE)


def find(name_or_arn: str) -> dict[str, Any]:
    """A package by ARN or, if unversioned, by name; AWS's error when there is none."""
    at = store.current()
    arn = name_or_arn if name_or_arn.startswith("arn:") else at.arn("model-package", name_or_arn)
    package = at.packages.get(arn)
    if package is None:
        raise invalid(f"ModelPackage {arn} does not exist.")
    return package


def describe(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`DescribeModelPackage`, of another account where the group's policy admits the caller."""
    name = params["ModelPackageName"]
    parts = name.split(":")
    if len(parts) < 6 or parts[4] in ("", store.current().account):
        return find(name)
    with request_scope(parts[4], parts[3]):
        group = parts[5].split("/")[1]
        arn = store.current().arn("model-package-group", group)
        policy = store.current().group_policies.get(arn)
        denied = caller.foreign_denial("sagemaker:DescribeModelPackage", name, policy, {})
        if denied:
            raise ApiError("AccessDeniedException", denied)
        return find(name)


def update(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`UpdateModelPackage`: approval, its description, custom properties, specification."""
    at = store.current()
    _check_card(params)
    with at.lock:
        package = find(params["ModelPackageArn"])
        status = params.get("ModelApprovalStatus")
        if status is not None and "ModelPackageVersion" not in package:
            raise invalid("ModelApprovalStatus is for versions of a model package group only.")
        if status is not None:
            caller.require(
                "sagemaker:UpdateModelPackage",
                package["ModelPackageArn"],
                {"sagemaker:ModelApprovalStatus": status},
            )
        properties = dict(package.get("CustomerMetadataProperties", {}))
        properties |= params.get("CustomerMetadataProperties", {})
        for key in params.get("CustomerMetadataPropertiesToRemove", []):
            properties.pop(key, None)
        _check_properties(properties)
        extra = [
            *package.get("AdditionalInferenceSpecifications", []),
            *params.get("AdditionalInferenceSpecificationsToAdd", []),
        ]
        if properties or "CustomerMetadataProperties" in package:
            package["CustomerMetadataProperties"] = properties
        if extra:
            package["AdditionalInferenceSpecifications"] = extra
        package |= {key: params[key] for key in _UPDATABLE if key in params}
        if status is not None:
            package["ModelApprovalStatus"] = status
        package["LastModifiedTime"] = now()
        package["LastModifiedBy"] = _by(caller)
        record = dict(package)
    state_events.model_package_changed(record)
    return {"ModelPackageArn": record["ModelPackageArn"]}


def delete(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteModelPackage`; its version number is not given again."""
    at = store.current()
    with at.lock:
        package = find(params["ModelPackageName"])
        del at.packages[package["ModelPackageArn"]]
    state_events.model_package_changed({**package, "ModelPackageStatus": "Deleting"})
    return {}


def list_packages(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListModelPackages`: versions of a group, or unversioned packages by default."""
    at = store.current()
    group = params.get("ModelPackageGroupName")
    kind = params.get("ModelPackageType", "Versioned" if group else "Unversioned")
    full = _group(group)["ModelPackageGroupName"] if group else None
    approval = params.get("ModelApprovalStatus")
    contains = params.get("NameContains", "").lower()
    with at.lock:
        kept = [
            package
            for package in at.packages.values()
            if (full is None or package.get("ModelPackageGroupName") == full)
            and (kind == "Both" or ("ModelPackageVersion" in package) == (kind == "Versioned"))
            and approval in {None, package.get("ModelApprovalStatus")}
            and contains in package["ModelPackageArn"]
            and package["CreationTime"] > float(params.get("CreationTimeAfter", 0))
            and package["CreationTime"] < float(params.get("CreationTimeBefore", now() + 1))
        ]
    kept.sort(
        key=lambda package: (package["CreationTime"], package.get("ModelPackageVersion", 0)),
        reverse=params.get("SortOrder") != "Ascending",
    )
    page, token = jobs.paged(kept, params)
    return {"ModelPackageSummaryList": page, **({"NextToken": token} if token else {})}
