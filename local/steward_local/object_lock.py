"""Object Lock, default encryption, conditional writes and table policies as templates state them.

MiniStack enforces retention and legal hold on versions and keeps under which key an object is. Its
templates know neither Object Lock, nor a bucket's encryption, nor a table's policy; its policies
know no `s3:if-none-match`.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

Properties = dict[str, Any]
Handlers = dict[str, dict[str, Any]]


def with_locks_and_policies(handlers: Handlers) -> None:
    """Let templates set Object Lock on buckets and policies on tables, in place."""
    for kind, apply, forget in (
        ("AWS::S3::Bucket", _lock_and_encrypt, None),
        ("AWS::DynamoDB::Table", _put_policy, _forget_policy),
    ):
        own = dict(handlers[kind])
        own["create"] = _then(own["create"], apply)
        own["update"] = _then(own["update"], apply)
        if forget is not None:
            own["delete"] = _first(own["delete"], forget)
        handlers[kind] = own


def _then(original: Callable[..., Any], apply: Callable[[str, Properties], None]) -> Any:
    """Apply the new properties, the last mapping among the arguments, to what was made."""

    def make(*given: Any, **named: Any) -> Any:
        result = original(*given, **named)
        apply(str(result[0]), [part for part in given if isinstance(part, dict)][-1])
        return result

    return make


def _first(original: Callable[..., Any], forget: Callable[[str], None]) -> Any:
    def delete(physical_id: str, props: Properties) -> Any:
        forget(physical_id)
        return original(physical_id, props)

    return delete


def _lock_and_encrypt(bucket: str, props: Properties) -> None:
    _lock(bucket, props)
    _encrypt(bucket, props)


def _encrypt(bucket: str, props: Properties) -> None:
    """Set the default encryption, or take it away where the template has none any more."""
    from ministack.services import s3

    rules = (props.get("BucketEncryption") or {}).get("ServerSideEncryptionConfiguration") or []
    by_default = rules[0].get("ServerSideEncryptionByDefault") if rules else None
    if not by_default:
        s3._bucket_encryption.pop(bucket, None)
        return
    named = "".join(
        f"<{name}>{escape(str(by_default[name]))}</{name}>"
        for name in ("SSEAlgorithm", "KMSMasterKeyID")
        if by_default.get(name)
    )
    body = (
        "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>"
        f"{named}</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"
    )
    status, _, answer = s3._put_bucket_encryption(bucket, body.encode())
    if status >= 400:
        raise ValueError(f"encryption of {bucket}: {answer!r}")


def _lock(bucket: str, props: Properties) -> None:
    from ministack.services import s3

    if str(props.get("ObjectLockEnabled", "")).lower() != "true":
        return
    s3._bucket_versioning[bucket] = "Enabled"
    rule = (props.get("ObjectLockConfiguration") or {}).get("Rule") or {}
    retention = rule.get("DefaultRetention") or {}
    body = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>"
    if retention:
        unit = "Days" if "Days" in retention else "Years"
        body += (
            f"<Rule><DefaultRetention><Mode>{retention['Mode']}</Mode>"
            f"<{unit}>{int(retention[unit])}</{unit}></DefaultRetention></Rule>"
        )
    s3._bucket_object_lock[bucket] = {"enabled": True, "default_retention": None}
    status, _, answer = s3._put_object_lock_configuration(
        bucket, f"{body}</ObjectLockConfiguration>".encode()
    )
    if status >= 400:
        raise ValueError(f"Object Lock of {bucket}: {answer!r}")


def _table_arn(name: str) -> str:
    from ministack.services import dynamodb

    return str(dynamodb._tables[name]["TableArn"])


def _put_policy(table: str, props: Properties) -> None:
    from ministack.services import dynamodb

    document = (props.get("ResourcePolicy") or {}).get("PolicyDocument")
    if not document:
        dynamodb._resource_policies.pop(_table_arn(table), None)
        return
    text = document if isinstance(document, str) else json.dumps(document)
    status, _, answer = dynamodb._put_resource_policy(
        {"ResourceArn": _table_arn(table), "Policy": text}
    )
    if status >= 400:
        raise ValueError(f"policy of {table}: {answer!r}")


def _forget_policy(table: str) -> None:
    from ministack.services import dynamodb

    if table in dynamodb._tables:
        dynamodb._resource_policies.pop(_table_arn(table), None)


def name_conditions(original: Callable[..., Properties]) -> Callable[..., Properties]:
    """Give policies the condition of a conditional write."""

    def s3_service_context(
        iam_action: str,
        query_params: Properties | None,
        path: str = "",
        headers: dict[str, str] | None = None,
    ) -> Properties:
        known = original(iam_action, query_params, path, headers)
        given = (headers or {}).get("if-none-match")
        if iam_action == "s3:PutObject" and given is not None:
            return {**known, "s3:if-none-match": given}
        return known

    return s3_service_context
