"""Copies of large objects within S3, part by part and several at a time.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/CopyingObjectsMPUapi.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

AT_ONCE = 8
MAX_PARTS = 10_000
_FRESH = timedelta(days=7)
_COPY_OF = "steward-copy-of"
_KEPT = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl")


@dataclass(frozen=True)
class PartCopy:
    """One object to be copied in parts.

    Each part is taken from the one source that the description is of (``CopySourceIfMatch``); S3
    computes a SHA-256 of each part, and the completion names them all. The source's tags are not
    copied. The copy says in its metadata what it is of, so that the same again takes none of it.

    Attributes:
        source: Bucket, key and, where one is meant, version.
        head: What ``HeadObject`` says of it.
        part_bytes: Size of a part but the last; larger where there would be too many.
        tagging: ``Tagging`` of the copy, nothing for none.
    """

    client: Any
    source: Mapping[str, str]
    head: Mapping[str, Any]
    bucket: str
    key: str
    part_bytes: int
    tagging: Mapping[str, str] = field(default_factory=dict)
    at_once: int = AT_ONCE

    def run(self) -> None:
        """Copy, unless it was done before; what fails leaves no parts that cost.

        Raises:
            ClientError: S3 refuses; ``PreconditionFailed`` where the source changed meanwhile.
            BotoCoreError: The network failed more often than the client tries.
        """
        if self._is_done():
            return
        place = {"Bucket": self.bucket, "Key": self.key}
        kept = {name: self.head[name] for name in _KEPT if self.head.get(name)}
        metadata = {**self.head.get("Metadata", {}), _COPY_OF: self._mark}
        upload = self.client.create_multipart_upload(
            **place, **kept, **self.tagging, Metadata=metadata, ChecksumAlgorithm="SHA256"
        )["UploadId"]
        try:
            parts = self._parts(upload)
            self.client.complete_multipart_upload(
                **place, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException as error:
            if self._was_completed(error):
                return
            with contextlib.suppress(ClientError, BotoCoreError):  # a lifecycle rule does it later
                self.client.abort_multipart_upload(**place, UploadId=upload)
            raise

    @property
    def _mark(self) -> str:
        of = f"{self.head['ETag'].strip(chr(34))} {self.head['ContentLength']}"
        return " ".join([of, *self.tagging.values()])

    def _is_done(self) -> bool:
        """Return whether the target is this copy and young; who may not look copies again.

        Exports expire by their age: one that is offered again is laid ready anew, or it could
        be gone before the other account reads it.
        """
        try:
            there = self.client.head_object(Bucket=self.bucket, Key=self.key)
        except ClientError:
            return False
        same = there.get("Metadata", {}).get(_COPY_OF) == self._mark
        fresh = datetime.now(UTC) - there["LastModified"] < _FRESH
        return same and fresh and int(there["ContentLength"]) == int(self.head["ContentLength"])

    def _was_completed(self, error: BaseException) -> bool:
        """Return whether a completion whose answer was lost had done it."""
        gone = isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchUpload"
        return gone and self._is_done()

    def _parts(self, upload: str) -> list[dict[str, Any]]:
        """Copy all parts, a bounded number at a time; the first that fails stops the rest."""
        ranges = list(enumerate(self._ranges(), start=1))
        with ThreadPoolExecutor(max_workers=self.at_once) as pool:
            tasks = [pool.submit(self._part, upload, number, span) for number, span in ranges]
            try:
                return [task.result() for task in tasks]
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _part(self, upload: str, number: int, span: str) -> dict[str, Any]:
        copied = self.client.upload_part_copy(
            Bucket=self.bucket, Key=self.key, UploadId=upload, PartNumber=number,
            CopySource=dict(self.source), CopySourceRange=span, CopySourceIfMatch=self.head["ETag"],
        )["CopyPartResult"]  # fmt: skip
        part = {"PartNumber": number, "ETag": copied["ETag"]}
        return part | {n: copied[n] for n in ("ChecksumSHA256",) if n in copied}

    def _ranges(self) -> Iterator[str]:
        size = int(self.head["ContentLength"])
        length = max(self.part_bytes, -(-size // MAX_PARTS))
        for start in range(0, size, length):
            yield f"bytes={start}-{min(start + length, size) - 1}"
