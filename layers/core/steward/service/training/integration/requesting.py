"""Use case: a verified caller asks to integrate a commit, or to try it again."""

from __future__ import annotations

from typing import Any

from steward.contracts.approval import parse_request
from steward.contracts.events import CommitReceived, CommitSource
from steward.contracts.forge import RequestCommit
from steward.domain.errors import CommitNotFoundError, ProjectNotFoundError
from steward.domain.integrations import integrations_of
from steward.domain.names import package_group
from steward.ports import Clock, Ids, Item, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.training.integration.connection import CONNECTION, archive_url
from steward.service.training.source import Caller


def request_commit(
    body: object, caller: Caller, *, state: StateStore, clock: Clock, ids: Ids, environment: str
) -> dict[str, Any]:
    """Publish a CommitReceived; what came of it is the commit's record.

    Who brought a commit stays its author when somebody else tries it again; of a commit that
    nobody has brought yet, the caller is the author.

    Raises:
        MalformedEventError: The body has not the agreed shape.
        ProjectNotFoundError: No such project is configured.
    """
    asked = parse_request(RequestCommit, body)
    configured = state.get(Table.PROJECTS, {"project": asked.project})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {asked.project!r} is configured", field="project", value=asked.project,
            allowed="a project added with `steward project add`",
        )  # fmt: skip
    known = state.query(Table.RUNS, asked.project, prefix=integrations_of(asked.commit_id))
    payload = (
        _again(max(known, key=lambda item: int(item["attempt"])))
        if known
        else _first(asked, configured, caller, state, environment)
    )
    cause = Cause(asked.project, caller.request_id, caller.request_id, caller.identity)
    state.commit([], [event(payload, cause, clock, ids)])
    return {
        "outcome": "asked", "project": asked.project, "commit_id": asked.commit_id,
        "author": payload.author, "attempts_before": len(known),
    }  # fmt: skip


def _again(record: Item) -> CommitReceived:
    return CommitReceived(
        repository=record["repository"], branch=record["branch"], commit_id=record["commit_id"],
        files=CommitSource.model_validate(record["source"]), author=record["author"],
        author_arn=record.get("author_arn") or None, origin="cli",
        previous=record.get("previous"),
    )  # fmt: skip


def _first(
    asked: RequestCommit, configured: Item, caller: Caller, state: StateStore, environment: str
) -> CommitReceived:
    """Return the commit as the project's forge has it, or its CodeCommit repository."""
    integration = configured["config"].get("integration") or {}
    connection = state.get(Table.RUNS, {"project": asked.project, "run_id": CONNECTION})
    repository = package_group(environment, asked.project)
    files = CommitSource(kind="codecommit")
    if connection is not None:
        repository = connection["repository"]
        files = CommitSource(kind="archive", url=archive_url(connection, asked.commit_id))
        if len(asked.commit_id) < 40:
            raise CommitNotFoundError(
                f"{asked.commit_id} is no full commit id", field="commit_id",
                value=asked.commit_id, allowed="all digits of a commit that was never integrated",
            )  # fmt: skip
    return CommitReceived(
        repository=repository, branch=asked.branch or integration.get("branch", "main"),
        commit_id=asked.commit_id, files=files, author=caller.identity, author_arn=caller.arn,
        origin="cli",
    )  # fmt: skip
