"""Files between S3 and a container's `/opt/ml` tree, moved with the container's role."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from steward_local.authority import RoleCredentials

_session: Any = None
_session_lock = threading.Lock()


class TransferError(Exception):
    """S3 has not what was asked for, or the role may not have it. The text is for people."""


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an `s3://` URI."""
    parsed = urlparse(uri)
    return parsed.netloc, parsed.path.lstrip("/")


class RoleFiles:
    """S3 as one role sees it."""

    def __init__(self, credentials: RoleCredentials, endpoint: str, region: str) -> None:
        global _session  # noqa: PLW0603 - one loader cache for all clients
        self.role_arn = credentials.role_arn
        self.region = region
        with _session_lock:
            if _session is None:
                _session = botocore.session.get_session()
            self._client = _session.create_client(
                "s3",
                region_name=region,
                endpoint_url=endpoint,
                aws_access_key_id=credentials.access_key,
                aws_secret_access_key=credentials.secret_key,
                aws_session_token=credentials.session_token,
                config=Config(
                    s3={"addressing_style": "path"},
                    retries={"max_attempts": 2},
                    proxies={},
                ),
            )

    def keys_below(self, uri: str) -> list[str]:
        """Keys that start with the prefix of `uri`, placeholders of folders left out."""
        bucket, prefix = split_uri(uri)
        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=prefix
            )
            keys = [item["Key"] for page in pages for item in page.get("Contents", [])]
        except ClientError as error:
            raise TransferError(
                f"Failed to list objects under {uri}. {_text(error)} Please ensure that the "
                f'role "{self.role_arn}" has "s3:ListBucket" permissions on bucket "{bucket}".'
            ) from error
        found = [key for key in keys if not key.endswith("/")]
        if not found:
            raise TransferError(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please '
                f"ensure that the bucket exists in the selected region ({self.region}), that "
                "objects exist under that S3 prefix, and that the role "
                f'"{self.role_arn}" has "s3:ListBucket" permissions on bucket "{bucket}".'
            )
        return found

    def download_prefix(self, uri: str, target: Path, *, gunzip: bool = False) -> None:
        """Download everything below a prefix; the layout below it is kept."""
        bucket, prefix = split_uri(uri)
        for key in self.keys_below(uri):
            self.download(bucket, key, target / _relative(key, prefix), gunzip=gunzip)

    def download_manifest(self, uri: str, target: Path, *, gunzip: bool = False) -> None:
        """Download what a SageMaker manifest (`[{"prefix": ...}, "key", ...]`) lists."""
        bucket, key = split_uri(uri)
        head, *names = json.loads(self.read(bucket, key))
        base = head["prefix"]
        source, prefix = split_uri(base)
        for name in names:
            self.download(source, prefix + name, target / name, gunzip=gunzip)

    def probe(self, uri: str) -> str:
        """Whether the role can read an object or prefix: `found`, `missing` or `denied`."""
        bucket, key = split_uri(uri)
        try:
            if key.endswith("/"):
                listed = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
                return "found" if listed.get("KeyCount") else "missing"
            self._client.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return "missing" if status == 404 else "denied"
        return "found"

    def read(self, bucket: str, key: str) -> bytes:
        """One object's bytes."""
        try:
            body: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise TransferError(
                f"Failed to download s3://{bucket}/{key}. {_text(error)}"
            ) from error
        return body

    def download(self, bucket: str, key: str, target: Path, *, gunzip: bool = False) -> None:
        """One object into a file, decompressed if asked for."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            raise TransferError(
                f"Failed to download s3://{bucket}/{key}. {_text(error)} Please ensure that the "
                f'role "{self.role_arn}" has "s3:GetObject" permissions on it.'
            ) from error
        with target.open("wb") as file:
            if gunzip:
                shutil.copyfileobj(gzip.GzipFile(fileobj=body), file)
            else:
                shutil.copyfileobj(body, file, 1 << 20)

    def upload(self, source: Path, uri: str, kms_key: str | None = None) -> None:
        """One file to the key that `uri` names."""
        bucket, key = split_uri(uri)
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        try:
            with source.open("rb") as file:
                self._client.put_object(Bucket=bucket, Key=key, Body=file, **extra)
        except ClientError as error:
            raise TransferError(
                f"Failed to upload to {uri}. {_text(error)} Please ensure that the role "
                f'"{self.role_arn}" has "s3:PutObject" permissions on it.'
            ) from error

    def put(self, uri: str, body: bytes) -> None:
        """Bytes to the key that `uri` names."""
        bucket, key = split_uri(uri)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=body)
        except ClientError as error:
            raise TransferError(f"Failed to upload to {uri}. {_text(error)}") from error

    def upload_tree(self, source: Path, uri: str, kms_key: str | None = None) -> None:
        """Every file below `source` to the same place below `uri`."""
        for file in sorted(path for path in source.rglob("*") if path.is_file()):
            self.upload(file, f"{uri.rstrip('/')}/{file.relative_to(source)}", kms_key)


def pack(source: Path, target: Path) -> None:
    """Everything below `source` as a gzipped tar, as SageMaker packs model artifacts."""
    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        for path in sorted(source.iterdir()):
            archive.add(path, arcname=path.name)


def unpack(source: Path, target: Path) -> None:
    """Unpack a gzipped tar; members that would leave `target` are refused."""
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(source, "r:gz") as archive:
        for member in archive:
            _extract(archive, member, target.resolve())


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    # By hand: the filter "data" came with Python 3.11.4, and Debian 12 has 3.11.2.
    path = (target / member.name).resolve()
    if not path.is_relative_to(target) or not (member.isfile() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name} leaves the folder or is no file")
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)


def _relative(key: str, prefix: str) -> str:
    folder = prefix.rstrip("/") + "/"
    if prefix and key.startswith(folder):
        return key[len(folder) :]
    return key[prefix.rfind("/") + 1 :]


def _text(error: ClientError) -> str:
    details = error.response.get("Error", {})
    return f"{details.get('Code', 'Unknown')}: {details.get('Message', '')}"
