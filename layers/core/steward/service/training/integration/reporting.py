"""Use case: say on the commit itself what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from steward.contracts.events import CommitIntegrated, IntegrationFailed
from steward.contracts.incoming import Received
from steward.domain.errors import DependencyError, SourceRefusedError
from steward.domain.integrations import short
from steward.ports import (
    Item,
    Secrets,
    SourceRepositories,
    StateStore,
    Table,
    Update,
    WebhookSender,
)
from steward.service.training.integration.connection import CONNECTION, token_of
from steward.service.training.integration.records import record_of

_DESCRIPTION = 140
"""Characters that GitHub takes for the description of a status."""


def report_commit(
    received: Received,
    *,
    state: StateStore,
    repositories: SourceRepositories,
    secrets: Callable[[], Secrets],
    sender: WebhookSender,
    environment: str,
) -> dict[str, Any]:
    """Comment on a CodeCommit commit, or set a GitHub commit's status; once per outcome.

    A replayed event says nothing. A pipeline reads the record itself.

    Raises:
        DependencyError: The forge cannot be reached or asks to come again.
        SourceRefusedError: The forge does not take it: a token that may not, say.
    """
    if received.replayed:
        return {"outcome": "ignored", "reason": "a replayed event"}
    project = received.own.project
    record = record_of(state, project, received.detail.integration_id)
    if record.get("reported") == received.detail_type:
        return {"outcome": "again"}
    if record["source"]["kind"] == "codecommit":
        repositories.comment(
            record["repository"], record.get("previous"), record["commit_id"],
            told(received, record, environment),
        )  # fmt: skip
        where = "comment"
    else:
        connection = state.get(Table.RUNS, {"project": project, "run_id": CONNECTION})
        takes = (
            connection is not None and connection["kind"] == "github"
            and connection["repository"] == record["repository"]
            and connection.get("token_secret")
        )  # fmt: skip
        if connection is None or not takes:
            return {"outcome": "kept", "reason": "no forge of this commit takes a status"}
        token = token_of(secrets().read(connection["token_secret"]))
        _set_status(connection, record, received, token, sender, environment)
        where = "status"
    key = {"project": project, "run_id": record["run_id"]}
    state.commit([Update(Table.RUNS, key, set={"reported": received.detail_type})])
    return {"outcome": "reported", "as": where}


def told(received: Received, record: Item, environment: str) -> str:
    """Return what a person reads on the commit."""
    return "\n\n".join([_sentence(received, environment), *_found(record)])


def _sentence(received: Received, environment: str) -> str:
    match received.detail:
        case CommitIntegrated() as done:
            run = f"training run {done.run_id}: {done.outcome}" if done.run_id else done.outcome
            return f"Steward ({environment}) integrated {short(done.commit_id)}; {run}."
        case IntegrationFailed() as failed:
            return (
                f"Steward ({environment}) did not integrate {short(failed.commit_id)}: "
                f"{failed.step}, {failed.error}: {failed.cause[:1000]}"
            )
        case other:
            return f"Steward ({environment}): a later commit came before {short(other.commit_id)}."


def _found(record: Item) -> list[str]:
    stages = (("tests", "Tests"), ("rehearsal", "Rehearsal"))
    return [f"{label}: {record[name]['summary']}" for name, label in stages if record.get(name)]


def _set_status(
    connection: Item,
    record: Item,
    received: Received,
    token: str,
    sender: WebhookSender,
    environment: str,
) -> None:
    """Source: https://docs.github.com/en/rest/commits/statuses."""
    states = {"CommitIntegrated": "success", "IntegrationFailed": "failure"}
    body = {
        "state": states.get(received.detail_type, "error"),
        "context": f"steward/{environment}",
        "description": _sentence(received, environment)[:_DESCRIPTION],
    }
    url = f"{connection['api']}/repos/{connection['repository']}/statuses/{record['commit_id']}"
    headers = {
        "authorization": f"Bearer {token}", "accept": "application/vnd.github+json",
        "content-type": "application/json", "user-agent": "steward",
    }  # fmt: skip
    status = sender.post(url, headers, json.dumps(body).encode())
    if status in (408, 425, 429) or status >= 500:
        raise DependencyError(f"the forge answers {status}")
    if not 200 <= status < 300:
        raise SourceRefusedError(
            f"the forge does not take the status: it answers {status}", field="token",
            value=status, allowed="a token that may write commit statuses",
        )  # fmt: skip
