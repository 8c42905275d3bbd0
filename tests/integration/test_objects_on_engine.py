"""The object store's contract, kept by its adapter on the embedded AWS."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import test_objects_contract as suite
from steward.adapters.objects import S3ObjectStore
from support.embedded import Account
from support.suites import cases_of

globals().update(cases_of(suite))


@pytest.fixture
def objects(account: Account) -> S3ObjectStore:
    """A store on two new, empty buckets, which the suite calls ``data`` and ``artifacts``."""
    s3 = account.client("s3")
    for name in ("data", "artifacts"):
        if name in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            empty(s3, name)
        else:
            s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return S3ObjectStore(s3)


def empty(s3: Any, bucket: str) -> None:
    """Remove every version of every object."""
    found = s3.list_object_versions(Bucket=bucket)
    for version in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
