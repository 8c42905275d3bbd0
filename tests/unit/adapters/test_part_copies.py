"""Copies in parts: which parts, several at a time, done once, aborted where one fails."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.adapters.objects import S3ObjectStore
from steward.domain.errors import AccessDeniedError, ConflictError

MIB = 1024**2
SOURCE, TARGET = "s3://theirs/exports/model.tar.gz", "s3://ours/imports/model.tar.gz"
PLACE = {"Bucket": "ours", "Key": "imports/model.tar.gz"}


def refusal(code: str, operation: str) -> ClientError:
    status = {"PreconditionFailed": 412, "AccessDenied": 403}.get(code, 404)
    return ClientError(
        {"Error": {"Code": code, "Message": code},
         "ResponseMetadata": {"HTTPStatusCode": status}},
        operation,
    )  # fmt: skip


class FakeS3:
    """S3 as far as a copy asks it: the source's head, an upload, its parts.

    Attributes:
        fails: What an operation answers instead, by its name; of a part, by its number.
        lost: Whether the completion is done and answered with ``NoSuchUpload``.
    """

    def __init__(self, size: int) -> None:
        self.size, self.metadata = size, {"purpose": "model"}
        self.fails: dict[str | int, ClientError] = {}
        self.lost = False
        self.there: dict[str, Any] | None = None
        self.created: dict[str, Any] = {}
        self.copied: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def head_object(self, **asked: Any) -> dict[str, Any]:
        if asked["Bucket"] == "theirs":
            return {"ContentLength": self.size, "ETag": '"e1"', "ContentType": "application/gzip",
                    "Metadata": self.metadata}  # fmt: skip
        if self.there is None:
            raise refusal("403", "HeadObject")
        return self.there

    def create_multipart_upload(self, **asked: Any) -> dict[str, str]:
        self.asked.append("create")
        self.created = asked
        return {"UploadId": "u1"}

    def upload_part_copy(self, **asked: Any) -> dict[str, Any]:
        with self._lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            number = asked["PartNumber"]
            if number in self.fails:
                raise self.fails[number]
            with self._lock:
                self.copied[number] = asked
            return {"CopyPartResult": {"ETag": f'"p{number}"', "ChecksumSHA256": f"c{number}"}}
        finally:
            with self._lock:
                self.at_once -= 1

    def complete_multipart_upload(self, **asked: Any) -> None:
        self.asked.append("complete")
        if "complete" in self.fails:
            raise self.fails["complete"]
        self.parts = asked["MultipartUpload"]["Parts"]
        self.there = {
            "ContentLength": self.size, "Metadata": self.created["Metadata"],
            "LastModified": datetime.now(UTC),
        }  # fmt: skip
        if self.lost:
            raise refusal("NoSuchUpload", "CompleteMultipartUpload")

    def abort_multipart_upload(self, **_: Any) -> None:
        self.asked.append("abort")
        if "abort" in self.fails:
            raise self.fails["abort"]


def copy(client: FakeS3, part_bytes: int = 100) -> None:
    S3ObjectStore(client, single_copy_bytes=100, part_bytes=part_bytes).copy(SOURCE, TARGET)


def test_each_byte_is_copied_once_from_one_source_and_each_checksum_named() -> None:
    client = FakeS3(size=2050)
    copy(client)
    spans = [client.copied[number]["CopySourceRange"] for number in sorted(client.copied)]
    assert spans[:2] == ["bytes=0-99", "bytes=100-199"]
    assert spans[-1] == "bytes=2000-2049"
    assert len(spans) == 21
    assert {asked["CopySourceIfMatch"] for asked in client.copied.values()} == {'"e1"'}
    assert client.parts == [
        {"PartNumber": n, "ETag": f'"p{n}"', "ChecksumSHA256": f"c{n}"} for n in range(1, 22)
    ]
    assert client.created["ChecksumAlgorithm"] == "SHA256"
    assert client.created["ContentType"] == "application/gzip"
    assert client.created["Metadata"]["purpose"] == "model"
    assert 1 <= client.most_at_once <= 8


def test_a_copy_bears_the_tags_that_it_is_given_and_is_another_one_with_others() -> None:
    client = FakeS3(size=250)
    objects = S3ObjectStore(client, single_copy_bytes=100, part_bytes=100)
    for tags in ({"kind": "score"}, {"kind": "score"}, {"kind": "input"}):
        objects.copy(SOURCE, TARGET, tags=tags)
    assert client.created["Tagging"] == "kind=input"
    assert client.asked == ["create", "complete"] * 2


def test_there_are_never_more_parts_than_an_upload_takes() -> None:
    client = FakeS3(size=100 * 10_000 + 1)
    copy(client)
    assert len(client.copied) <= 10_000
    assert max(n for n in client.copied) == len(client.copied)


def test_the_same_copy_again_takes_nothing() -> None:
    client = FakeS3(size=250)
    copy(client)
    copy(client)
    assert client.asked == ["create", "complete"]
    assert client.there is not None
    client.there["Metadata"] = {"steward-copy-of": "e0 250"}
    copy(client)
    assert client.asked == ["create", "complete"] * 2, "another source is copied"


def test_a_copy_that_will_expire_is_laid_ready_again() -> None:
    client = FakeS3(size=250)
    for age, taken in ((timedelta(days=6, hours=23), 1), (timedelta(days=7), 2)):
        copy(client)
        assert client.there is not None
        client.there["LastModified"] = datetime.now(UTC) - age
        copy(client)
        assert client.asked.count("complete") == taken


@pytest.mark.parametrize(
    ("code", "error"), [("PreconditionFailed", ConflictError), ("AccessDenied", AccessDeniedError)]
)
def test_a_part_that_fails_aborts_the_upload(code: str, error: type[Exception]) -> None:
    client = FakeS3(size=5000)
    client.fails[3] = refusal(code, "UploadPartCopy")
    with pytest.raises(error):
        copy(client)
    assert client.asked == ["create", "abort"]
    assert client.there is None


def test_who_may_not_abort_is_told_what_failed_before() -> None:
    client = FakeS3(size=250)
    client.fails |= {
        "complete": refusal("PreconditionFailed", "CompleteMultipartUpload"),
        "abort": refusal("AccessDenied", "AbortMultipartUpload"),
    }
    with pytest.raises(ConflictError, match="PreconditionFailed"):
        copy(client)
    assert client.asked == ["create", "complete", "abort"]


def test_a_completion_whose_answer_was_lost_is_found_done() -> None:
    client = FakeS3(size=250)
    client.lost = True
    copy(client)
    assert client.asked == ["create", "complete"]


def test_on_s3_the_copy_has_the_bytes_and_its_digest_is_read(aws: Any, isolated: None) -> None:
    s3 = aws.get("s3")
    for bucket in ("theirs", "ours"):
        s3.create_bucket(Bucket=bucket)
    objects = S3ObjectStore(s3, single_copy_bytes=MIB, part_bytes=5 * MIB)
    content = bytes(range(256)) * (11 * MIB // 256)
    digest = objects.write(SOURCE, content, "application/gzip")
    objects.copy(SOURCE, TARGET)
    copied = s3.head_object(**PLACE, ChecksumMode="ENABLED")
    assert copied["ETag"].endswith('-3"')
    assert copied["ContentType"] == "application/gzip"
    assert objects.sha256(*PLACE.values()) == digest
    assert objects.read(TARGET) == content
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="ours")
