"""Use case: bring the files of a commit and keep them packed the canonical way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from steward.contracts.steps.integration import FetchedSource, FetchSource
from steward.domain.errors import CommitNotFoundError, SourceRefusedError
from steward.domain.integrations import run_name
from steward.domain.source_archives import (
    MAX_ARCHIVE_BYTES,
    MAX_UNPACKED_BYTES,
    Files,
    canonical_archive,
    read_archive,
)
from steward.ports import (
    Item,
    ObjectStore,
    Secrets,
    SourceDownloads,
    SourceRepositories,
    StateStore,
    Table,
    Update,
)
from steward.service.training.integration.connection import CONNECTION, archive_url, token_of
from steward.service.training.integration.records import record_of


@dataclass(frozen=True)
class Sources:
    """Where files of commits come from.

    Attributes:
        hosts: Of archives, as the stack allows them.
        secrets: Read for a token, where a project's forge has one.
    """

    repositories: SourceRepositories
    downloads: SourceDownloads
    secrets: Callable[[], Secrets]
    hosts: Collection[str]


def fetch_source(
    command: FetchSource,
    *,
    state: StateStore,
    objects: ObjectStore,
    sources: Sources,
    artifacts_bucket: str,
) -> FetchedSource:
    """Fetch by commit id, unpack without trust, and store one canonical archive.

    Raises:
        CommitNotFoundError: There is no such commit.
        ArchiveRefusedError: The archive holds what is never unpacked.
        SourceRefusedError: The archive is too large, empty, or not where sources come from.
        DependencyError: The forge cannot be reached; it is tried again.
    """
    record = record_of(state, command.project, command.integration_id)
    files = _files(record, state, objects, sources)
    if not files:
        raise SourceRefusedError("the commit holds no file", field="source", allowed="a project")
    name = run_name(record["commit_id"], int(record["attempt"]))
    prefix = f"s3://{artifacts_bucket}/commits/{command.project}/{name}"
    uri = f"{prefix}/source/source.tar.gz"
    objects.write(uri, canonical_archive(files, limit=MAX_UNPACKED_BYTES), "application/gzip")
    state.commit([
        Update(
            Table.RUNS, {"project": command.project, "run_id": command.integration_id},
            set={"step": "CheckProject", "files_uri": uri},
        )
    ])  # fmt: skip
    return FetchedSource(
        project=command.project, integration_id=command.integration_id,
        commit_id=record["commit_id"], name=name, prefix=prefix, source_uri=uri, files=len(files),
    )  # fmt: skip


def _files(record: Item, state: StateStore, objects: ObjectStore, sources: Sources) -> Files:
    source = record["source"]
    if source["kind"] == "codecommit":
        return sources.repositories.files(record["repository"], record["commit_id"])
    if source["kind"] == "s3":
        return _from_s3(source, objects)
    connection = state.get(Table.RUNS, {"project": record["project"], "run_id": CONNECTION})
    headers = {}
    # A token goes to the archive of the repository that it is for, and nowhere else.
    own = connection and archive_url(connection, record["commit_id"]) == source["url"]
    if connection and own and connection.get("token_secret"):
        token = token_of(sources.secrets().read(connection["token_secret"]))
        headers["authorization"] = f"Bearer {token}"
    with sources.downloads.fetch(
        source["url"], hosts=sources.hosts, headers=headers, limit=MAX_ARCHIVE_BYTES
    ) as stream:
        return read_archive(stream)


def _from_s3(source: Item, objects: ObjectStore) -> Files:
    where = (source["bucket"], source["key"], source.get("version_id"))
    found = objects.describe(*where)
    if found is None:
        raise CommitNotFoundError(
            f"there is no object s3://{where[0]}/{where[1]}", field="source.key",
            value=where[1], allowed="the archive of a commit",
        )  # fmt: skip
    if found.size > MAX_ARCHIVE_BYTES:
        raise SourceRefusedError(
            f"s3://{where[0]}/{where[1]} has {found.size >> 20} MiB", field="source.key",
            value=found.size, allowed=f"at most {MAX_ARCHIVE_BYTES >> 20} MiB",
        )  # fmt: skip
    with tempfile.NamedTemporaryFile(prefix="source-") as file:
        objects.download(where[0], where[1], file.name, where[2])
        with Path(file.name).open("rb") as stream:
            return read_archive(stream)
