"""CodeCommit: the files of a commit by its id, and comments on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import ArchiveRefusedError, CommitNotFoundError, RejectedError
from steward.domain.source_archives import MAX_FILES, MAX_UNPACKED_BYTES, Files, SourceFile

_UNKNOWN = frozenset({
    "BranchDoesNotExistException", "CommitDoesNotExistException", "CommitIdDoesNotExistException",
    "InvalidCommitException", "InvalidCommitIdException", "RepositoryDoesNotExistException",
})  # fmt: skip
_AT_ONCE = 8


class CodeCommitRepositories:
    """Repositories of the account.

    Args:
        client: A boto3 CodeCommit client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def files(self, repository: str, commit_id: str) -> Files:
        """Return all files of a commit; blobs are read several at once."""
        with _known(repository, commit_id):
            self._client.get_commit(repositoryName=repository, commitId=commit_id)
        found: dict[str, tuple[str, bool]] = {}
        folders = ["/"]
        while folders:
            at = folders.pop()
            with _known(repository, commit_id):
                listed = self._client.get_folder(
                    repositoryName=repository, commitSpecifier=commit_id, folderPath=at
                )
            for kind in ("symbolicLinks", "subModules"):
                for entry in listed.get(kind, []):
                    what = "a link" if kind == "symbolicLinks" else "a submodule"
                    raise _refused(entry["absolutePath"], f"is {what}")
            folders += [entry["absolutePath"] for entry in listed.get("subFolders", [])]
            for entry in listed.get("files", []):
                executable = entry.get("fileMode") == "EXECUTABLE"
                found[entry["absolutePath"]] = (entry["blobId"], executable)
                if len(found) > MAX_FILES:
                    raise _refused(entry["absolutePath"], f"is one of more than {MAX_FILES} files")
        return self._contents(repository, commit_id, found)

    def _contents(
        self, repository: str, commit_id: str, found: dict[str, tuple[str, bool]]
    ) -> Files:
        def read(blob: str) -> bytes:
            with _known(repository, commit_id):
                answer = self._client.get_blob(repositoryName=repository, blobId=blob)
            return bytes(answer["content"])

        files: Files = {}
        size = 0
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            contents = pool.map(read, [blob for blob, _ in found.values()])
            for (name, (_, executable)), content in zip(found.items(), contents, strict=True):
                size += len(content)
                if size > MAX_UNPACKED_BYTES:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise _refused(name, f"makes more than {MAX_UNPACKED_BYTES >> 20} MiB")
                files[name.lstrip("/")] = SourceFile(content, executable)
        return files

    def head(self, repository: str, branch: str) -> str | None:
        """Return the commit that a branch is at."""
        try:
            with _known(repository, branch):
                answer = self._client.get_branch(repositoryName=repository, branchName=branch)
        except CommitNotFoundError:
            return None
        return str(answer["branch"]["commitId"])

    def comment(self, repository: str, before: str | None, after: str, text: str) -> None:
        """Comment on a commit; the token makes a repeated call the same comment."""
        token = hashlib.sha256(f"{repository} {after} {text}".encode()).hexdigest()
        about = {"beforeCommitId": before} if before else {}
        with _known(repository, after):
            self._client.post_comment_for_compared_commit(
                repositoryName=repository, afterCommitId=after, content=text,
                clientRequestToken=token, **about,
            )  # fmt: skip


@contextmanager
def _known(repository: str, commit_id: str) -> Iterator[None]:
    """Translate errors; what does not exist is named as such."""
    try:
        with translated(f"read {commit_id} of repository {repository}"):
            yield
    except RejectedError as error:
        if error.value not in _UNKNOWN:
            raise
        raise CommitNotFoundError(
            f"repository {repository} has no {commit_id}", field="commit_id", value=commit_id,
            allowed="a commit that was pushed to the repository",
        ) from None  # fmt: skip


def _refused(name: str, why: str) -> ArchiveRefusedError:
    return ArchiveRefusedError(
        f"{name.lstrip('/')} {why}", field=name.lstrip("/"), allowed="regular files"
    )
