"""CodeCommit's API on bare repositories: what a reader of commits needs, with AWS's exceptions."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region

from steward_local import authority
from steward_local.codecommit.git import Repository
from steward_local.sagemaker import request_check, settings
from steward_local.sagemaker.errors import ApiError
from steward_local.sagemaker.store import now

Response = tuple[int, dict[str, str], bytes]
Params = dict[str, Any]

SERVICE = "codecommit"
MAX_BLOB_BYTES = 20 * 1024 * 1024
MAX_FILE_BYTES = 6 * 1024 * 1024
_OBJECT = re.compile(r"[0-9a-f]{40}")
_MODES = {"100644": "NORMAL", "100664": "NORMAL", "100755": "EXECUTABLE", "120000": "SYMLINK"}


@dataclass
class Known:
    """A repository: what it is described by, and the comments on its commits."""

    metadata: Params
    files: Repository
    comments: list[Params] = field(default_factory=list)


_known: dict[tuple[str, str, str], Known] = {}
_lock = threading.RLock()


def every() -> list[tuple[str, str, Known]]:
    """Return all repositories with their account and region."""
    with _lock:
        return [(account, region, known) for (account, region, _), known in _known.items()]


def _find(params: Params) -> Known:
    name = params["repositoryName"]
    with _lock:
        found = _known.get((get_account_id(), get_region(), name))
    if found is None:
        raise ApiError("RepositoryDoesNotExistException", f"{name} does not exist")
    return found


def create_repository(params: Params, _caller: authority.Principal) -> Params:
    """`CreateRepository`; the clone URL is a path on this machine."""
    name, account, region = params["repositoryName"], get_account_id(), get_region()
    if name.endswith(".git"):
        raise ApiError("InvalidRepositoryNameException", f"{name} ends in .git")
    with _lock:
        if (account, region, name) in _known:
            raise ApiError("RepositoryNameExistsException", f"Repository {name} exists already")
        folder = settings.current().state / "codecommit" / account / region / f"{name}.git"
        shutil.rmtree(folder, ignore_errors=True)
        metadata = {
            "accountId": account, "repositoryId": str(uuid.uuid4()), "repositoryName": name,
            "repositoryDescription": params.get("repositoryDescription"), "lastModifiedDate": now(),
            "creationDate": now(), "cloneUrlHttp": str(folder), "cloneUrlSsh": str(folder),
            "Arn": f"arn:aws:codecommit:{region}:{account}:{name}",
        }  # fmt: skip
        known = _known[account, region, name] = Known(metadata, Repository.create(folder))
    return {"repositoryMetadata": _described(known)}


def _described(known: Known) -> Params:
    branches = known.files.branches()
    default = "main" if "main" in branches else next(iter(branches), None)
    found = {**known.metadata, "defaultBranch": default}
    return {name: value for name, value in found.items() if value is not None}


def get_repository(params: Params, _caller: authority.Principal) -> Params:
    """`GetRepository`."""
    return {"repositoryMetadata": _described(_find(params))}


def list_repositories(_params: Params, _caller: authority.Principal) -> Params:
    """`ListRepositories`."""
    here = (get_account_id(), get_region())
    return {
        "repositories": [
            {
                "repositoryName": known.metadata["repositoryName"],
                "repositoryId": known.metadata["repositoryId"],
            }
            for account, region, known in every()
            if (account, region) == here
        ]
    }


def delete_repository(params: Params, _caller: authority.Principal) -> Params:
    """`DeleteRepository`; what is gone is fine, as on AWS."""
    with _lock:
        found = _known.pop((get_account_id(), get_region(), params["repositoryName"]), None)
    if found is None:
        return {}
    shutil.rmtree(found.files.folder, ignore_errors=True)
    return {"repositoryId": found.metadata["repositoryId"]}


def get_branch(params: Params, _caller: authority.Principal) -> Params:
    """`GetBranch`."""
    known, name = _find(params), params.get("branchName")
    if not name:
        raise ApiError("BranchNameRequiredException", "A branch name is required")
    commit = known.files.branches().get(name)
    if commit is None:
        raise ApiError("BranchDoesNotExistException", f"Branch {name} does not exist")
    return {"branch": {"branchName": name, "commitId": commit}}


def list_branches(params: Params, _caller: authority.Principal) -> Params:
    """`ListBranches`."""
    return {"branches": sorted(_find(params).files.branches())}


def get_commit(params: Params, _caller: authority.Principal) -> Params:
    """`GetCommit`, by full id alone."""
    known, commit_id = _find(params), params["commitId"]
    if not _OBJECT.fullmatch(commit_id):
        raise ApiError("InvalidCommitIdException", f"{commit_id} is not a valid commit ID")
    found = known.files.commit(commit_id)
    if found is None:
        raise ApiError("CommitIdDoesNotExistException", f"{commit_id} does not exist")

    def person(who: tuple[str, str, str]) -> Params:
        return {"name": who[0], "email": who[1], "date": who[2]}

    return {
        "commit": {
            "commitId": found.commit_id, "treeId": found.tree, "parents": list(found.parents),
            "message": found.message, "author": person(found.author),
            "committer": person(found.committer), "additionalData": "",
        }
    }  # fmt: skip


def _commit_of(known: Known, params: Params) -> str:
    specifier = params.get("commitSpecifier") or "main"
    found = known.files.resolve(specifier)
    if found is None:
        raise ApiError("CommitDoesNotExistException", f"Could not resolve {specifier}")
    return found


def get_folder(params: Params, _caller: authority.Principal) -> Params:
    """`GetFolder`: what lies in a folder, not what lies below it."""
    known = _find(params)
    commit = _commit_of(known, params)
    path = params["folderPath"].strip("/")
    found = known.files.tree(commit, path)
    if found is None:
        raise ApiError("FolderDoesNotExistException", f"{path} does not exist in {commit}")
    digest, entries = found
    answer: Params = {
        "commitId": commit, "folderPath": path, "treeId": digest, "subFolders": [], "files": [],
        "symbolicLinks": [], "subModules": [],
    }  # fmt: skip
    for entry in entries:
        about = {
            "absolutePath": f"{path}/{entry.name}" if path else entry.name,
            "relativePath": entry.name,
        }
        if entry.kind == "tree":
            answer["subFolders"].append({"treeId": entry.digest, **about})
        elif entry.kind == "commit":
            answer["subModules"].append({"commitId": entry.digest, **about})
        else:
            mode = _MODES.get(entry.mode, "NORMAL")
            kind = "symbolicLinks" if mode == "SYMLINK" else "files"
            answer[kind].append({"blobId": entry.digest, "fileMode": mode, **about})
    return answer


def get_blob(params: Params, _caller: authority.Principal) -> Params:
    """`GetBlob`."""
    known, digest = _find(params), params["blobId"]
    if not _OBJECT.fullmatch(digest):
        raise ApiError("InvalidBlobIdException", f"{digest} is not a valid blob ID")
    content = known.files.blob(digest)
    if content is None:
        raise ApiError("BlobIdDoesNotExistException", f"{digest} does not exist")
    if len(content) > MAX_BLOB_BYTES:
        raise ApiError("FileTooLargeException", f"{digest} is larger than 20 MB")
    return {"content": base64.b64encode(content).decode()}


def get_file(params: Params, _caller: authority.Principal) -> Params:
    """`GetFile`."""
    known = _find(params)
    commit = _commit_of(known, params)
    path = params["filePath"].strip("/")
    folder, _, name = path.rpartition("/")
    listed = known.files.tree(commit, folder)
    entry = next((e for e in (listed or ("", []))[1] if e.name == name), None)
    if entry is None or entry.kind != "blob":
        raise ApiError("FileDoesNotExistException", f"{path} does not exist in {commit}")
    content = known.files.blob(entry.digest) or b""
    if len(content) > MAX_FILE_BYTES:
        raise ApiError("FileTooLargeException", f"{path} is larger than 6 MB")
    return {
        "commitId": commit, "blobId": entry.digest, "filePath": path,
        "fileMode": _MODES.get(entry.mode, "NORMAL"), "fileSize": len(content),
        "fileContent": base64.b64encode(content).decode(),
    }  # fmt: skip


def post_comment(params: Params, caller: authority.Principal) -> Params:
    """`PostCommentForComparedCommit`; a token stands for one comment for good."""
    known = _find(params)
    for name in ("beforeCommitId", "afterCommitId"):
        if params.get(name) and known.files.commit(params[name]) is None:
            raise ApiError("CommitDoesNotExistException", f"{params[name]} does not exist")
    token = params.get("clientRequestToken")
    asked = {name: params.get(name) for name in ("beforeCommitId", "afterCommitId", "content")}
    with _lock:
        same = next((c for c in known.comments if token and c["token"] == token), None)
        if same is not None and same["asked"] != asked:
            raise ApiError(
                "IdempotencyParameterMismatchException", "The token was used for another comment"
            )
        if same is None:
            comment = {
                "commentId": str(uuid.uuid4()), "content": params["content"],
                "creationDate": now(), "lastModifiedDate": now(), "authorArn": caller.arn,
                "deleted": False, "clientRequestToken": token,
            }  # fmt: skip
            same = {"token": token, "asked": asked, "comment": comment}
            known.comments.append(same)
    return {
        "repositoryName": params["repositoryName"], "comment": same["comment"],
        **{name: value for name, value in asked.items() if value and name != "content"},
    }  # fmt: skip


def get_comments(params: Params, _caller: authority.Principal) -> Params:
    """`GetCommentsForComparedCommit`."""
    known = _find(params)
    wanted = params["afterCommitId"]
    with _lock:
        found = [c for c in known.comments if c["asked"]["afterCommitId"] == wanted]
    return {
        "commentsForComparedCommitData": [
            {
                "repositoryName": params["repositoryName"], "afterCommitId": wanted,
                "comments": [one["comment"]],
            }
            for one in found
        ]
    }  # fmt: skip


OPERATIONS: dict[str, Callable[[Params, authority.Principal], Params]] = {
    "CreateRepository": create_repository,
    "GetRepository": get_repository,
    "ListRepositories": list_repositories,
    "DeleteRepository": delete_repository,
    "GetBranch": get_branch,
    "ListBranches": list_branches,
    "GetCommit": get_commit,
    "GetFolder": get_folder,
    "GetBlob": get_blob,
    "GetFile": get_file,
    "PostCommentForComparedCommit": post_comment,
    "GetCommentsForComparedCommit": get_comments,
}


async def handle_request(
    method: str, path: str, headers: dict[str, str], body: bytes | str, query: dict[str, Any]
) -> Response:
    """MiniStack's entry point; git runs in a thread, so that the loop stays free."""
    del method, path
    content = body.encode() if isinstance(body, str) else body
    return await asyncio.to_thread(_handle, headers, content, query)


def _handle(headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Response:
    operation = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
    kind = {"Content-Type": "application/x-amz-json-1.1"}
    try:
        params = json.loads(body or b"{}")
        if operation not in OPERATIONS or not isinstance(params, dict):
            raise ApiError("UnknownOperationException", f"Unknown operation: {operation}")
        request_check.check(operation, params, SERVICE)
        answer = OPERATIONS[operation](params, authority.caller_of(headers, query))
        return 200, kind, json.dumps(answer).encode()
    except ValueError:
        error = ApiError("SerializationException", "Could not parse request body")
    except ApiError as refused:
        error = refused
    return error.status, kind, json.dumps({"__type": error.code, "message": error.message}).encode()


def reset() -> None:
    """Forget everything, repositories included."""
    with _lock:
        folders = [known.files.folder for known in _known.values()]
        _known.clear()
    for folder in folders:
        shutil.rmtree(Path(folder), ignore_errors=True)
