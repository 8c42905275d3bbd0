"""CopyObject from a bucket of another account.

MiniStack judges whether the caller may read the source there, and then looks for the source among
the destination's own buckets. Here it is read in its owner's account and written in the other, as
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html says; a part of a multipart
copy still is not.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import s3

Response = tuple[int, dict[str, str], Any]
Copy = Callable[[str, str, dict[str, str]], Response]
_OF_THE_COPY = ("x-amz-server-side-encryption", "x-amz-storage-class", "x-amz-tagging")
_OF_THE_SOURCE = ("content-type", "content-encoding", "x-amz-meta-")


def across_accounts(original: Copy) -> Copy:
    """Read the source in the account that owns it."""

    def copy_object(bucket_name: str, dest_key: str, headers: dict[str, str]) -> Response:
        path, _, query = headers.get("x-amz-copy-source", "").lstrip("/").partition("?")
        bucket, _, key = unquote(path).partition("/")
        owner = s3._bucket_owner_account(bucket)
        if owner in (None, get_account_id()):
            return original(bucket_name, dest_key, headers)
        with request_scope(owner, get_region()):
            status, got, body = s3._get_object(bucket, key, {}, parse_qs(query))
        if status >= 300:
            return status, got, body
        kept = {n: v for n, v in headers.items() if n.startswith(_OF_THE_COPY)}
        kept |= {n.lower(): v for n, v in got.items() if n.lower().startswith(_OF_THE_SOURCE)}
        algorithm = headers.get("x-amz-checksum-algorithm")
        kept |= {"x-amz-sdk-checksum-algorithm": algorithm} if algorithm else {}
        status, made, answer = s3._put_object(bucket_name, dest_key, body, kept)
        if status >= 300:
            return status, made, answer
        etag = next((v for n, v in made.items() if n.lower() == "etag"), "")
        result = (
            '<?xml version="1.0" encoding="UTF-8"?><CopyObjectResult><ETag>'
            f"{escape(etag)}</ETag><LastModified>{s3.now_iso()}</LastModified></CopyObjectResult>"
        )
        answered = {n: v for n, v in made.items() if n.lower().startswith("x-amz-")}
        return 200, {**answered, "Content-Type": "application/xml"}, result.encode()

    return copy_object
