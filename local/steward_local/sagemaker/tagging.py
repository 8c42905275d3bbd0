"""Tags of SageMaker resources."""

from __future__ import annotations

from typing import Any

from steward_local.authority import Principal
from steward_local.sagemaker import store
from steward_local.sagemaker.errors import invalid

MAX_TAGS = 50


def _known(arn: str) -> dict[str, str]:
    tags = store.current().tags.get(arn)
    if tags is None:
        raise invalid(f"Could not find resource {arn}.")
    return tags


def add(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`AddTags`."""
    at = store.current()
    with at.lock:
        known = _known(params["ResourceArn"])
        keys = set(known) | {tag["Key"] for tag in params["Tags"]}
        if len(keys) > MAX_TAGS:
            raise invalid(f"A resource has at most {MAX_TAGS} tags.")
        at.tag(params["ResourceArn"], params["Tags"])
        return {"Tags": _as_list(known)}


def list_tags(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListTags`."""
    with store.current().lock:
        return {"Tags": _as_list(_known(params["ResourceArn"]))}


def delete(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DeleteTags`."""
    with store.current().lock:
        known = _known(params["ResourceArn"])
        for key in params["TagKeys"]:
            known.pop(key, None)
    return {}


def _as_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
