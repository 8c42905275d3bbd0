"""A Lambda function of the catalogue: gives a product's seed the name of the project it is for.

Published as the inline code of ``RenderSeed``, so this file alone is all of it. CloudFormation
calls it as a custom resource when a product is launched, updated or terminated.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import urllib.request
import zipfile
from typing import Any

import boto3

NAME = re.compile(r"^[a-z][a-z0-9-]{1,19}$")
FOLDER = "catalogue/rendered/"
EPOCH = (1980, 1, 1, 0, 0, 0)


def renamed(archive: bytes, placeholder: str, name: str) -> bytes:
    """Return a zip whose texts name a project in the place of the placeholder.

    Whole words alone are replaced; files that are no UTF-8 stay as they are.
    """
    word = re.compile(rf"(?<![\w-]){re.escape(placeholder)}(?![\w-])")
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            content = old.read(entry)
            with contextlib.suppress(UnicodeDecodeError):
                content = word.sub(name, content.decode("utf-8")).encode()
            fresh = zipfile.ZipInfo(entry.filename, EPOCH)
            fresh.compress_type, fresh.external_attr = zipfile.ZIP_DEFLATED, entry.external_attr
            new.writestr(fresh, content)
    return out.getvalue()


def render(asked: dict[str, Any], s3: Any) -> str:
    """Store the seed of one project and return its key.

    Raises:
        ValueError: The name may not be a project's.
    """
    name, bucket = str(asked["ProjectName"]), asked["Bucket"]
    if not NAME.match(name) or name.endswith("-"):
        raise ValueError(f"ProjectName {name!r}: allowed: {NAME.pattern}, not ending in a hyphen")
    seed = s3.get_object(Bucket=bucket, Key=asked["Seed"])["Body"].read()
    content = renamed(seed, asked["Placeholder"], name)
    key = f"{FOLDER}{name}/{hashlib.sha256(content).hexdigest()}.zip"
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return key


def handler(event: dict[str, Any], _context: object) -> None:
    """Answer CloudFormation, whatever happens: without an answer a stack waits for an hour."""
    asked, s3 = event["ResourceProperties"], boto3.client("s3")
    key, status, reason = event.get("PhysicalResourceId", "none"), "SUCCESS", ""
    try:
        if event["RequestType"] != "Delete":
            key = render(asked, s3)
        elif key.startswith(FOLDER):
            s3.delete_object(Bucket=asked["Bucket"], Key=key)
    except Exception as error:  # noqa: BLE001 - the answer says what it was
        status, reason = "FAILED", f"{type(error).__name__}: {error}"[:1000]
    told = {
        "Status": status, "Reason": reason, "PhysicalResourceId": key, "Data": {"Key": key},
        "StackId": event["StackId"], "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }  # fmt: skip
    request = urllib.request.Request(  # noqa: S310 - CloudFormation's own presigned URL
        event["ResponseURL"], json.dumps(told).encode(), {"Content-Type": ""}, method="PUT"
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
