"""Use case: end the integration that a newer commit of its branch overtakes."""

from __future__ import annotations

from typing import Any

from steward.contracts.events import IntegrationSuperseded, Payload
from steward.domain.errors import RejectedError
from steward.domain.integrations import IntegrationStatus, Newest, short
from steward.ports import Equals, Item, StateStore, Table, Update, Workflows
from steward.service.training.integration.records import is_over, record_of

STOPPED_WITH = "CommitSupersededError"
"""Error of an execution that was stopped because of a newer commit."""
_NEVER_STARTED = "ExecutionDoesNotExist"


def overtaken(state: StateStore, project: str, newest: Newest | None) -> Item | None:
    """Return the record that a newer commit ends, None where nothing is to be ended.

    What has made its commit the project's is left to end by itself: code and configuration are
    in force, and the run that it asks for is theirs.
    """
    if newest is None or newest.activated == newest.integration_id:
        return None
    record = state.get(Table.RUNS, {"project": project, "run_id": newest.integration_id})
    return None if record is None or is_over(record) else record


def end_of(record: Item, by: Item, now: str) -> tuple[Update, Payload]:
    """Return what ends a record that is overtaken ``by`` another, and what is told of it."""
    change = Update(
        Table.RUNS, {"project": record["project"], "run_id": record["run_id"]},
        set={
            "status": IntegrationStatus.SUPERSEDED.value, "ended_at": now,
            "superseded_by": by["run_id"], "cause": _cause(by),
        },
        expect=(Equals("status", IntegrationStatus.RUNNING.value),),
    )  # fmt: skip
    told = IntegrationSuperseded(
        integration_id=record["run_id"], branch=record["branch"], commit_id=record["commit_id"],
        superseded_by=by["run_id"],
    )  # fmt: skip
    return change, told


def stop_overtaken(by: Item, state: StateStore, workflows: Workflows) -> None:
    """Stop the execution that a record overtook; Step Functions stops its job with it.

    The record has ended before. Where this fails, the execution comes to nothing all the same:
    ActivateSource refuses a commit that is not its branch's newest.

    Raises:
        RetryableError: The next try finds what is left to stop.
        AccessDeniedError: The role may not.
    """
    if not by.get("overtook"):
        return
    record: dict[str, Any] = record_of(state, by["project"], by["overtook"])
    try:
        workflows.stop(record["integration_arn"], STOPPED_WITH, _cause(by))
    except RejectedError as error:
        if error.value != _NEVER_STARTED:
            raise


def _cause(by: Item) -> str:
    return f"overtaken by {short(by['commit_id'])} of {by['branch']}"
