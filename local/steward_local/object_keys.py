"""The KMS key of an object that another account reads: `kms:Decrypt` by both policies.

MiniStack encrypts nothing and asks no key on reads. Within one account the keys of a stack delegate
to IAM; across accounts the key's own policy decides too, and it is asked here: on GetObject, on the
source of a copy, and on HeadObject where checksums are asked for. S3 asks on behalf of the caller,
so `kms:ViaService` is S3's.

Sources: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-modifying-external-accounts.html
and https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (ChecksumMode)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import kms, s3

from steward_local import authority
from steward_local.object_copies import source_of

Scope = Callable[..., Any]
_SUBRESOURCES = {"acl", "attributes", "legal-hold", "retention", "tagging", "torrent", "uploadId"}
_SSE = "x-amz-server-side-encryption"


def asked_across_accounts(original: Scope) -> Scope:
    """Ask the object's key after the bucket's policy."""

    def apply_bucket_scope(
        method: str,
        bucket: str,
        key: str,
        headers: dict[str, str],
        query_params: dict[str, Any],
        body: bytes = b"",
        internal: bool = False,
    ) -> Any:
        caller = get_account_id()
        refused = original(method, bucket, key, headers, query_params, body, internal)
        if refused is not None or internal:
            return refused
        for place in _read_by(method, bucket, key, headers, query_params):
            with request_scope(caller, get_region()):
                denial = _denial(*place, headers, query_params)
            if denial:
                return s3._error("AccessDenied", denial, 403, f"/{place[0]}/{place[1]}")
        return None

    return apply_bucket_scope


def _read_by(
    method: str, bucket: str, key: str, headers: dict[str, str], query_params: dict[str, Any]
) -> list[tuple[str, str, str | None]]:
    """Return bucket, key and version of each object of which a request reads the content."""
    source = source_of(headers)
    if method == "PUT" and source[1]:
        return [source]
    checked = headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if not key or _SUBRESOURCES & set(query_params) or not (
        method == "GET" or (method == "HEAD" and checked)
    ):  # fmt: skip
        return []
    version = query_params.get("versionId")
    return [(bucket, key, version[0] if isinstance(version, list) else version)]


def _denial(
    bucket: str, key: str, version: str | None, headers: dict[str, str], query: dict[str, Any]
) -> str | None:
    """Return why the caller may not decrypt an object of another account, None where they may."""
    owner = s3._bucket_owner_account(bucket)
    if owner in (None, get_account_id()):
        return None
    key_arn = _key_of(owner, bucket, key, version)
    if key_arn is None:
        return None
    caller = authority.caller_of(headers, query)
    context = {"kms:ViaService": f"s3.{get_region()}.amazonaws.com"}
    denial = caller.denial("kms:Decrypt", key_arn, context)
    if denial or key_arn.split(":")[4] == get_account_id():
        return denial
    with request_scope(key_arn.split(":")[4], get_region()):
        policy = kms.key_policy_for_arn(key_arn)
    return caller.foreign_denial("kms:Decrypt", key_arn, policy[0] if policy else None, context)


def _key_of(owner: str, bucket: str, key: str, version: str | None) -> str | None:
    """Return the ARN of the key that an object is stored under, None where it has none."""
    with request_scope(owner, get_region()):
        found = (s3._buckets.get(bucket) or {}).get("objects", {}).get(key)
        if version:
            kept = s3._object_versions.get((bucket, key), [])
            found = next((v for v in kept if v["version_id"] == version), found)
        stored = s3._stored_sse_headers(found) if found else {}
        if stored.get(_SSE) != "aws:kms":
            return None
        named = kms._resolve_key(stored.get(f"{_SSE}-aws-kms-key-id", ""))
    return str(named["Arn"]) if named else str(stored[f"{_SSE}-aws-kms-key-id"])
