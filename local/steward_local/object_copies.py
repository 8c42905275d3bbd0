"""CopyObject and UploadPartCopy from a bucket of another account.

MiniStack judges whether the caller may read the source there, and then looks for the source among
the destination's own buckets. Here it is read in its owner's account and written in the other, as
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html say. A part that is copied
gets the checksum that its upload asked for, as a part that is sent does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import s3

Response = tuple[int, dict[str, str], Any]
Copy = Callable[[str, str, dict[str, str]], Response]
PartCopy = Callable[[str, str, dict[str, Any], dict[str, str]], Response]
_OF_THE_COPY = ("x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-tagging")
_OF_THE_SOURCE = ("content-type", "content-encoding", "x-amz-meta-")
_CONDITIONS = {
    "x-amz-copy-source-if-match": "if-match",
    "x-amz-copy-source-if-none-match": "if-none-match",
    "x-amz-copy-source-range": "range",
}


def source_of(headers: dict[str, str]) -> tuple[str, str, str | None]:
    """Return bucket, key and version of a request's copy source, empty where it has none."""
    path, _, query = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
    bucket, _, key = unquote(path).partition("/")
    return bucket, key, parse_qs(query).get("versionId", [None])[0]


def across_accounts(original: Copy) -> Copy:
    """Read the source in the account that owns it."""

    def copy_object(bucket_name: str, dest_key: str, headers: dict[str, str]) -> Response:
        bucket, _, _ = source_of(headers)
        owner = s3._bucket_owner_account(bucket)
        if owner in (None, get_account_id()):
            return original(bucket_name, dest_key, headers)
        status, got, body = _read(owner, headers, {})
        if status >= 300:
            return status, got, body
        kept = {n: v for n, v in headers.items() if n.startswith(_OF_THE_COPY)}
        kept |= {n.lower(): v for n, v in got.items() if n.lower().startswith(_OF_THE_SOURCE)}
        algorithm = headers.get("x-amz-checksum-algorithm")
        kept |= {"x-amz-sdk-checksum-algorithm": algorithm} if algorithm else {}
        status, made, answer = s3._put_object(bucket_name, dest_key, body, kept)
        if status >= 300:
            return status, made, answer
        answered = {n: v for n, v in made.items() if n.lower().startswith("x-amz-")}
        return _result("CopyObjectResult", made, answered)

    return copy_object


def parts_across_accounts(original: PartCopy) -> PartCopy:
    """Read the range in the account that owns the source, and keep it as a part that was sent."""

    def upload_part_copy(
        bucket_name: str, dest_key: str, query_params: dict[str, Any], headers: dict[str, str]
    ) -> Response:
        bucket, _, _ = source_of(headers)
        owner = s3._bucket_owner_account(bucket)
        encrypted = any("server-side-encryption-customer" in name for name in headers)
        if owner is None or encrypted:
            return original(bucket_name, dest_key, query_params, headers)
        conditions = {ours: headers[n] for n, ours in _CONDITIONS.items() if n in headers}
        wanted = _bounds(conditions.get("range", ""))
        if "range" in conditions and wanted is None:
            return original(bucket_name, dest_key, query_params, headers)  # it says what is wrong
        status, got, body = _read(owner, headers, conditions)
        if status >= 300:
            return status, got, body
        if wanted and len(body) != wanted[1] - wanted[0] + 1:
            refused: Response = s3._error(
                "InvalidArgument", "Range specified is not valid for the source object", 400
            )
            return refused
        status, made, answer = s3._upload_part(bucket_name, dest_key, body, query_params, {})
        if status >= 300:
            return status, made, answer
        version = next((v for n, v in got.items() if n.lower() == "x-amz-version-id"), "")
        answered = {n: v for n, v in made.items() if "server-side-encryption" in n.lower()}
        if version:
            answered["x-amz-copy-source-version-id"] = version
        return _result("CopyPartResult", made, answered)

    return upload_part_copy


def _read(owner: str, headers: dict[str, str], conditions: dict[str, str]) -> Response:
    bucket, key, version = source_of(headers)
    with request_scope(owner, get_region()):
        found: Response = s3._get_object(
            bucket, key, conditions, {"versionId": [version]} if version else {}
        )
    return found


def _bounds(text: str) -> tuple[int, int] | None:
    """Return first and last byte of ``bytes=first-last``, None for any other text."""
    first, _, last = text.removeprefix("bytes=").partition("-")
    if not text.startswith("bytes=") or not first.isdigit() or not last.isdigit():
        return None
    return (int(first), int(last)) if int(first) <= int(last) else None


def _result(name: str, made: dict[str, str], answered: dict[str, str]) -> Response:
    lowered = {n.lower(): v for n, v in made.items()}
    checksums = {
        n.removeprefix("x-amz-checksum-"): v
        for n, v in lowered.items()
        if n.startswith("x-amz-checksum-") and not n.endswith("-type")
    }
    told = "".join(
        f"<Checksum{alg.upper()}>{escape(v)}</Checksum{alg.upper()}>"
        for alg, v in checksums.items()
    )
    result = (
        f'<?xml version="1.0" encoding="UTF-8"?><{name}><ETag>'
        f"{escape(lowered.get('etag', ''))}</ETag><LastModified>{s3.now_iso()}</LastModified>"
        f"{told}</{name}>"
    )
    return 200, {**answered, "Content-Type": "application/xml"}, result.encode()
