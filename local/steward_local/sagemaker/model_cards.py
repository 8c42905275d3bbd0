"""SageMaker Model Cards: content by version, status, lists."""

from __future__ import annotations

from typing import Any

from steward_local.authority import Principal
from steward_local.sagemaker import jobs, model_card_schema, store
from steward_local.sagemaker.errors import ApiError, invalid
from steward_local.sagemaker.store import now


def _by(caller: Principal) -> dict[str, Any]:
    return {"IamIdentity": {"Arn": caller.arn, "PrincipalId": caller.arn.rsplit("/", 1)[-1]}}


def _versions(name_or_arn: str) -> list[dict[str, Any]]:
    name = name_or_arn.rsplit("/", 1)[-1]
    found = store.current().model_cards.get(name)
    if not found:
        raise ApiError("ResourceNotFound", f"Model Card {name} does not exist.")
    return found


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateModelCard`: version 1."""
    at = store.current()
    name = params["ModelCardName"]
    model_card_schema.check(params["Content"], model_card_schema.CARD)
    arn = f"arn:aws:sagemaker:{at.region}:{at.account}:model-card/{name}"
    with at.lock:
        if name in at.model_cards:
            raise ApiError("ConflictException", f"Modelcard {arn} already exists")
        at.model_cards[name] = [
            {
                **{key: value for key, value in params.items() if key != "Tags"},
                "ModelCardArn": arn,
                "ModelCardVersion": 1,
                "CreationTime": now(),
                "CreatedBy": _by(caller),
                "LastModifiedTime": now(),
                "LastModifiedBy": _by(caller),
            }
        ]
    at.tag(arn, params.get("Tags"))
    return {"ModelCardArn": arn}


def update(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`UpdateModelCard`: new content is a new version, a status is not; never both at once."""
    content, status = params.get("Content"), params.get("ModelCardStatus")
    if content is not None and status is not None:
        raise invalid("You cannot update both model card content and status in a single call.")
    if content is None and status is None:
        raise invalid("Specify either Content or ModelCardStatus.")
    at = store.current()
    with at.lock:
        versions = _versions(params["ModelCardName"])
        latest = versions[-1]
        changed = {"LastModifiedTime": now(), "LastModifiedBy": _by(caller)}
        if content is not None:
            if latest["ModelCardStatus"] == "Archived":
                raise ApiError(
                    "ConflictException", f"{latest['ModelCardArn']} is archived: no more updates."
                )
            model_card_schema.check(content, model_card_schema.CARD)
            number = latest["ModelCardVersion"] + 1
            versions.append({**latest, **changed, "Content": content, "ModelCardVersion": number})
        else:
            latest |= {**changed, "ModelCardStatus": status}
    return {"ModelCardArn": latest["ModelCardArn"]}


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeModelCard`: the newest version, or the one that is asked for."""
    versions = _versions(params["ModelCardName"])
    wanted = params.get("ModelCardVersion")
    if wanted is None:
        return versions[-1]
    found = next((v for v in versions if v["ModelCardVersion"] == wanted), None)
    if found is None:
        raise ApiError(
            "ResourceNotFound", f"Model Card {params['ModelCardName']} has no version {wanted}."
        )
    return found


def delete(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteModelCard`: with all its versions."""
    at = store.current()
    with at.lock:
        found = _versions(params["ModelCardName"])[-1]
        del at.model_cards[found["ModelCardName"]]
        at.tags.pop(found["ModelCardArn"], None)
    return {}


def list_cards(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListModelCards`: the newest version of each."""
    contains = params.get("NameContains", "").lower()
    newest = [versions[-1] for versions in list(store.current().model_cards.values())]
    kept = [v for v in newest if contains in v["ModelCardName"].lower() and _of(v, params)]
    key = "ModelCardName" if params.get("SortBy") == "Name" else "CreationTime"
    return _page(kept, params, key, "ModelCardSummaries")


def list_versions(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListModelCardVersions`."""
    kept = [v for v in _versions(params["ModelCardName"]) if _of(v, params)]
    return _page(kept, params, "ModelCardVersion", "ModelCardVersionSummaryList")


def _of(version: dict[str, Any], params: dict[str, Any]) -> bool:
    return params.get("ModelCardStatus") in (None, version["ModelCardStatus"])


def _page(
    kept: list[dict[str, Any]], params: dict[str, Any], key: str, member: str
) -> dict[str, Any]:
    kept = sorted(kept, key=lambda v: v[key], reverse=params.get("SortOrder") != "Ascending")
    page, token = jobs.paged(kept, params)
    return {member: page, **({"NextToken": token} if token else {})}
