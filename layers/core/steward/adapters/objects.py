"""Objects in S3, with SHA-256 as their identity."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.errors import code_of, translate, translated
from steward.domain.errors import (
    ConflictError,
    DependencyError,
    EvidenceIncompleteError,
    RejectedError,
)
from steward.ports import ObjectInfo

SINGLE_PUT_BYTES = 64 * 1024**2
SINGLE_COPY_BYTES = 512 * 1024**2
PART_BYTES = 128 * 1024**2
"""What S3 copies in a few seconds, far within a client's read timeout."""
_CHUNK = 1024**2
_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NotFound"})


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``.

    Raises:
        RejectedError: It is no such URI.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise RejectedError(
            f"{uri!r} is no S3 URI", field="uri", value=uri, allowed="s3://bucket/key"
        )
    return bucket, key


class S3ObjectStore:
    """Objects of any bucket that the role may touch.

    S3 keeps the SHA-256 of what is uploaded with it in one piece; what came otherwise (in
    parts, or with another checksum) is read and hashed where its digest is asked for.

    Args:
        client: A boto3 S3 client.
        single_put_bytes: Files above this are uploaded in parts.
        single_copy_bytes: Objects above this are copied in parts.
        part_bytes: Size of such a part.
    """

    def __init__(
        self,
        client: Any,
        single_put_bytes: int = SINGLE_PUT_BYTES,
        single_copy_bytes: int = SINGLE_COPY_BYTES,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._client = client
        self._single_put_bytes = single_put_bytes
        self._single_copy_bytes, self._part_bytes = single_copy_bytes, part_bytes

    def describe(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo | None:
        """Return an object's info, or None where there is none; sha256 is lower-case hex.

        A role without ``s3:ListBucket`` gets ``AccessDeniedError`` for what is not there: S3
        does not tell it the difference.
        """
        place = _place(bucket, key, version_id)
        try:
            head = self._client.head_object(**place, ChecksumMode="ENABLED")
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if isinstance(error, ClientError) and code_of(error) in _MISSING:
                return None
            raise translate(error, f"describe s3://{bucket}/{key}") from error
        return ObjectInfo(
            bucket=bucket,
            key=key,
            size=int(head["ContentLength"]),
            version_id=head.get("VersionId"),
            sha256=_known_sha256(head),
        )

    def sha256(self, bucket: str, key: str, version_id: str | None = None) -> str:
        """Return the SHA-256 of the object's bytes, streaming them if S3 does not know it."""
        info = self.describe(bucket, key, version_id)
        if info is None:
            raise _missing(f"s3://{bucket}/{key}")
        if info.sha256 is not None:
            return info.sha256
        digest = hashlib.sha256()
        with self._stream(bucket, key, version_id) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    def read(self, uri: str, version_id: str | None = None) -> bytes:
        """Return an object's bytes, of its newest version by default."""
        with self._stream(*split_uri(uri), version_id) as stream:
            return stream.read()

    def download(self, bucket: str, key: str, path: str, version_id: str | None = None) -> None:
        """Write an object's bytes to a local file, in parallel parts where it is large."""
        extra = {"VersionId": version_id} if version_id else None
        with _found(f"s3://{bucket}/{key}", "download"):
            self._client.download_file(bucket, key, path, ExtraArgs=extra)

    def upload(
        self,
        path: str,
        uri: str,
        content_type: str = "application/octet-stream",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Store a local file, with tags that rules of the bucket may ask for; return its SHA-256.

        Large ones go in parts.
        """
        bucket, key = split_uri(uri)
        tagging = {"Tagging": urlencode(tags)} if tags else {}
        with Path(path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
            size = stream.tell()
            if size <= self._single_put_bytes:
                stream.seek(0)
                self._put(bucket, key, stream, digest.digest(), content_type, **tagging)
                return digest.hexdigest()
        extra = {"ContentType": content_type, "ChecksumAlgorithm": "SHA256", **tagging}
        with Path(path).open("rb") as stream, translated(f"upload {uri}"):
            self._client.upload_fileobj(stream, bucket, key, ExtraArgs=extra)
        return digest.hexdigest()

    def write(
        self,
        uri: str,
        content: bytes,
        content_type: str = "application/json",
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Store bytes, with tags that rules of the bucket may ask for; return their SHA-256."""
        bucket, key = split_uri(uri)
        digest = hashlib.sha256(content)
        tagging = {"Tagging": urlencode(tags)} if tags else {}
        self._put(bucket, key, content, digest.digest(), content_type, **tagging)
        return digest.hexdigest()

    def write_once(self, uri: str, content: bytes, content_type: str = "application/json") -> bool:
        """Store bytes where there is nothing yet; return whether they were stored."""
        bucket, key = split_uri(uri)
        digest = hashlib.sha256(content).digest()
        try:
            self._put(bucket, key, content, digest, content_type, IfNoneMatch="*")
        except ConflictError:
            return False
        return True

    def _put(
        self,
        bucket: str,
        key: str,
        body: bytes | BinaryIO,
        digest: bytes,
        content_type: str,
        **further: str,
    ) -> None:
        with translated(f"write s3://{bucket}/{key}"):
            self._client.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(digest).decode(),
                **further,
            )

    def open(self, uri: str) -> BinaryIO:
        """Return a readable stream of an object."""
        return self._stream(*split_uri(uri), None)

    def _stream(self, bucket: str, key: str, version_id: str | None) -> BinaryIO:
        uri = f"s3://{bucket}/{key}"
        with _found(uri, "read"):
            answer = self._client.get_object(**_place(bucket, key, version_id))
        raw = _Body(answer["Body"], uri)
        return cast("BinaryIO", io.BufferedReader(raw, _CHUNK))

    def copy(
        self,
        source_uri: str,
        target_uri: str,
        version_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Copy an object within S3, in parts where it is large.

        Up to ``single_copy_bytes`` it is one request that keeps tags, where none are given, and
        gets a SHA-256 of the whole; above, S3 knows digests of parts alone, and ``sha256`` reads
        the copy.
        """
        source_bucket, source_key = split_uri(source_uri)
        bucket, key = split_uri(target_uri)
        source = _place(source_bucket, source_key, version_id)
        tagging = {"Tagging": urlencode(tags)} if tags else {}
        with _found(source_uri, f"copy to {target_uri}"):
            head = self._client.head_object(**source)
            if int(head["ContentLength"]) > self._single_copy_bytes:
                from steward.adapters.part_copies import PartCopy

                copy = PartCopy(self._client, source, head, bucket, key, self._part_bytes, tagging)
                copy.run()
                return
            replaced = {**tagging, "TaggingDirective": "REPLACE"} if tags else {}
            self._client.copy_object(
                Bucket=bucket, Key=key, CopySource=source, ChecksumAlgorithm="SHA256", **replaced
            )

    def list(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """Yield the objects below a prefix, in key order."""
        for page in self._pages("list_objects_v2", bucket, prefix):
            for found in page.get("Contents", []):
                yield ObjectInfo(bucket, found["Key"], int(found["Size"]), None, None)

    def versions(self, bucket: str, prefix: str) -> Iterable[ObjectInfo]:
        """Yield every version of the objects below a prefix, those of deleted ones too."""
        for page in self._pages("list_object_versions", bucket, prefix):
            for found in page.get("Versions", []):
                size, version = int(found["Size"]), found["VersionId"]
                yield ObjectInfo(bucket, found["Key"], size, version, None)

    def remove(self, bucket: str, key: str, version_id: str) -> None:
        """Remove one version for good; what is gone is fine."""
        with translated(f"remove s3://{bucket}/{key}"):
            self._client.delete_object(Bucket=bucket, Key=key, VersionId=version_id)

    def _pages(self, operation: str, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        pages = iter(self._client.get_paginator(operation).paginate(Bucket=bucket, Prefix=prefix))
        while True:
            with translated(f"list s3://{bucket}/{prefix}"):
                page = next(pages, None)
            if page is None:
                return
            yield page


class _Body(io.RawIOBase):
    """A response's body as a raw stream whose faults are ours."""

    def __init__(self, body: Any, uri: str) -> None:
        super().__init__()
        self._body = body
        self._uri = uri

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with translated(f"read {self._uri}"):
            chunk = self._body.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        self._body.close()
        super().close()


@contextmanager
def _found(uri: str, doing: str) -> Iterator[None]:
    """Translate errors like ``translated``; what is missing is missing evidence."""
    from boto3.exceptions import RetriesExceededError

    try:
        yield
    except (ClientError, BotoCoreError, HTTPClientError) as error:
        if isinstance(error, ClientError) and code_of(error) in _MISSING:
            raise _missing(uri) from None
        raise translate(error, f"{doing} {uri}") from error
    except RetriesExceededError as error:
        raise DependencyError(f"{doing} {uri}: {error}") from error


def _missing(uri: str) -> EvidenceIncompleteError:
    return EvidenceIncompleteError(f"there is no {uri}", field="uri", value=uri)


def _place(bucket: str, key: str, version_id: str | None) -> dict[str, str]:
    place = {"Bucket": bucket, "Key": key}
    return {**place, "VersionId": version_id} if version_id else place


def _known_sha256(head: dict[str, Any]) -> str | None:
    """Return the digest that S3 verified, unless it is one of parts' digests."""
    checksum = head.get("ChecksumSHA256")
    whole = head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    in_parts = "-" in head.get("ETag", "") or "-" in (checksum or "")
    return base64.b64decode(checksum).hex() if checksum and whole and not in_parts else None
