"""Use case: begin, or suppress, the integration of a commit that arrived."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from steward.contracts.events import CommitReceived
from steward.contracts.incoming import Received, RepositoryStateChange
from steward.domain.errors import ConflictError, MalformedEventError, ProjectNotFoundError
from steward.domain.integrations import (
    Again,
    Arrival,
    Begin,
    IntegrationStatus,
    Newest,
    Suppress,
    branch_item,
    check_commit,
    decide,
    execution_name,
    short,
)
from steward.domain.names import PROJECT_PATTERN
from steward.domain.principals import identity_of
from steward.domain.runs import execution_arn
from steward.ports import (
    Absent,
    Change,
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    Put,
    StateStore,
    Table,
    Workflows,
)
from steward.service.emission import Cause, event
from steward.service.suppression import record_suppressed
from steward.service.training.integration.overtaking import end_of, overtaken, stop_overtaken
from steward.service.training.integration.records import latest_attempt, newest_of, record_of

TRIES = 5


@dataclass(frozen=True)
class Ports:
    """What beginning an integration works with; ``machine`` is the ARN of ``integrate_commit``."""

    state: StateStore
    workflows: Workflows
    clock: Clock
    ids: Ids
    machine: str

    def now(self) -> str:
        """Return the time as items hold it."""
        return self.clock.now().isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class Commit:
    """A commit that somebody asks to integrate.

    Attributes:
        source: Where its files are: ``kind`` and what that kind needs.
        author: Identity of who brought it.
        author_arn: The principal that IAM verified; empty where a forge says who it was.
        origin: ``codecommit``, ``pipeline``, ``webhook`` or ``cli``.
    """

    project: str
    arrival: Arrival
    repository: str
    source: dict[str, Any]
    author: str
    author_arn: str
    origin: str


@dataclass(frozen=True)
class Ignored:
    """An event that rightly leads to nothing, and why."""

    reason: str


def commit_of(
    received: Received, *, environment: str, person_roles: frozenset[str] = frozenset()
) -> Commit | Ignored:
    """Return the commit that an event asks to integrate.

    A CodeCommit repository belongs to the project whose name, or whose model package group's
    name, it bears.

    Raises:
        MalformedEventError: Another event, or a commit id that is none.
    """
    match received.detail:
        case RepositoryStateChange() as change:
            return _of_codecommit(received, change, environment, person_roles)
        case CommitReceived() as asked:
            return Commit(
                received.own.project,
                Arrival(
                    check_commit(asked.commit_id), asked.branch, received.id, received.time,
                    asked.previous,
                ),
                asked.repository, asked.files.model_dump(exclude_none=True), asked.author,
                asked.author_arn or "", asked.origin,
            )  # fmt: skip
    raise MalformedEventError(
        f"{received.detail_type!r} is no commit", field="detail-type",
        value=received.detail_type, allowed="CommitReceived",
    )  # fmt: skip


def _of_codecommit(
    received: Received,
    change: RepositoryStateChange,
    environment: str,
    person_roles: frozenset[str],
) -> Commit | Ignored:
    repository = change.repository_name
    if change.event == "referenceDeleted" or not change.commit_id:
        return Ignored(f"a reference of {repository} was deleted")
    if change.reference_type not in (None, "branch"):
        return Ignored(f"{change.reference_name} of {repository} is a {change.reference_type}")
    project = repository.removeprefix(f"steward-{environment}-")
    if not re.match(PROJECT_PATTERN, project):
        return Ignored(f"repository {repository} belongs to no project")
    arn = change.caller_user_arn or ""
    arrival = Arrival(
        check_commit(change.commit_id), change.reference_name or "", received.id, received.time,
        change.old_commit_id,
    )  # fmt: skip
    author = identity_of(arn, person_roles) if arn else "codecommit"
    return Commit(
        project, arrival, repository, {"kind": "codecommit"}, author, arn, "codecommit"
    )  # fmt: skip


def start_integration(commit: Commit, ports: Ports) -> dict[str, Any]:
    """Handle the arrival of a commit; the same event may come again at any point.

    Record, the branch's newest and the end of whom it overtakes are written in one transaction;
    then the execution starts under the record's name, and the overtaken one is stopped. A crash
    in between is healed by the event's retry.

    Returns:
        ``outcome`` (started, suppressed or ignored) and what there is to say about it.

    Raises:
        ProjectNotFoundError: No such project is configured; a repository that merely bears a
            project's name is ignored instead.
        ConflictError: Others changed the state five times in a row; AWS tries again.
    """
    configured = ports.state.get(Table.PROJECTS, {"project": commit.project})
    if configured is None:
        reason = f"repository {commit.repository} belongs to no project"
        if commit.origin == "codecommit":
            return {"outcome": "ignored", "reason": reason}
        raise ProjectNotFoundError(
            f"no project {commit.project!r} is configured", field="project",
            value=commit.project, allowed="a project added with `steward project add`",
        )  # fmt: skip
    wanted = (configured["config"].get("integration") or {}).get("branch", "main")
    if commit.arrival.branch != wanted:
        reason = f"integration.branch of {commit.project} is {wanted}"
        return {"outcome": "ignored", "reason": reason}
    for attempt in range(TRIES):
        try:
            return _start_once(commit, ports)
        except ConflictError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _start_once(commit: Commit, ports: Ports) -> dict[str, Any]:
    arrived, state = commit.arrival, ports.state
    newest = newest_of(state, commit.project, arrived.branch)
    decision = decide(arrived, latest_attempt(state, commit.project, arrived.commit_id), newest)
    match decision:
        case Again(integration_id=known):
            item = record_of(state, commit.project, known)
            if item["status"] == IntegrationStatus.RUNNING:
                _start_execution(item, ports)
            stop_overtaken(item, ports.state, ports.workflows)
            return {"outcome": "started", "integration_id": known, "again": True}
        case Suppress():
            return _suppress(commit, decision, ports)
        case Begin():
            return _begin(commit, decision, newest, ports)


def _begin(commit: Commit, decision: Begin, newest: Newest | None, ports: Ports) -> dict[str, Any]:
    arrived = commit.arrival
    name = execution_name(commit.project, arrived.commit_id, decision.attempt)
    record = {
        "project": commit.project, "run_id": decision.integration_id,
        "status": IntegrationStatus.RUNNING.value, "commit_id": arrived.commit_id,
        "attempt": decision.attempt, "repository": commit.repository, "branch": arrived.branch,
        "source": commit.source, "author": commit.author, "author_arn": commit.author_arn,
        "step": "FetchSource",
        "trigger": {
            "kind": "commit", "origin": commit.origin, "event_id": arrived.event_id,
            "actor": commit.author, "at": arrived.at,
            "cause": f"commit {short(arrived.commit_id)} on {arrived.branch} of "
            f"{commit.repository}",
        },
        "started_at": ports.now(), "integration_arn": execution_arn(ports.machine, name),
        "execution_name": name,
    }  # fmt: skip
    if arrived.previous:
        record["previous"] = arrived.previous
    _write(record, arrived, newest, ports)
    _start_execution(record, ports)
    stop_overtaken(record, ports.state, ports.workflows)
    return {
        "outcome": "started", "integration_id": decision.integration_id,
        **({"overtook": record["overtook"]} if "overtook" in record else {}),
    }  # fmt: skip


def _write(record: Item, arrived: Arrival, newest: Newest | None, ports: Ports) -> None:
    """Write the record, the branch's newest, and the end of whom it overtakes.

    Nothing of the branch may have changed since it was read: a commit that has become the
    project's meanwhile is not overtaken any more.
    """
    head = {
        "project": record["project"], "run_id": branch_item(arrived.branch),
        "latest": record["run_id"], "commit_id": arrived.commit_id, "at": arrived.at,
        **({"previous": arrived.previous} if arrived.previous else {}),
        **({"activated": newest.activated} if newest and newest.activated else {}),
    }  # fmt: skip
    known: tuple[Condition, ...] = (Absent(),)
    if newest is not None:
        known = (Equals("latest", newest.integration_id), Equals("activated", newest.activated))
    changes: list[Change] = []
    events = []
    ending = overtaken(ports.state, record["project"], newest)
    if ending is not None:
        record["overtook"] = ending["run_id"]
        change, told = end_of(ending, record, ports.now())
        changes.append(change)
        cause = Cause(record["project"], ending["run_id"], arrived.event_id, ending["author"])
        events.append(event(told, cause, ports.clock, ports.ids))
    changes += [
        Put(Table.RUNS, record, expect=(Absent(),)), Put(Table.RUNS, head, expect=known),
    ]  # fmt: skip
    ports.state.commit(changes, events)


def _start_execution(record: Item, ports: Ports) -> None:
    """Start the execution, or find it started: its name is the record's."""
    payload = {
        "project": record["project"], "integration_id": record["run_id"],
        "correlation_id": record["run_id"], "causation_id": record["trigger"]["event_id"],
        "actor": record["author"],
    }  # fmt: skip
    try:
        ports.workflows.start(ports.machine, record["execution_name"], payload)
    except ConflictError:
        # It ran and ended; its status event concludes the record.
        return


def _suppress(commit: Commit, decision: Suppress, ports: Ports) -> dict[str, Any]:
    """Record a suppressed commit once."""
    arrived = commit.arrival
    about = {
        "kind": "commit", "origin": commit.origin, "event_id": arrived.event_id,
        "actor": commit.author,
        "cause": f"commit {short(arrived.commit_id)} on {arrived.branch} of {commit.repository}",
    }  # fmt: skip
    record_suppressed(
        ports.state, ports.now(), commit.project, about, run_key=arrived.commit_id,
        existing_run_id=decision.integration_id, existing_status=decision.status.value,
        reason=decision.reason, commit_id=arrived.commit_id,
    )  # fmt: skip
    return {
        "outcome": "suppressed", "existing_run_id": decision.integration_id,
        "existing_status": decision.status.value, "reason": decision.reason,
    }  # fmt: skip
