"""Integrations of commits: what one is recognised by, and what its arrival leads to.

The record of an integration lies in the table Runs, beside the training runs:

``project``, ``run_id`` = ``commit#<commit id>#<attempt>``, ``status`` (`IntegrationStatus`),
``commit_id``, ``attempt``, ``repository``, ``branch``, ``source`` ({kind: codecommit|archive|s3,
...}), ``author``, ``step`` (the current one, or the one that failed), ``error``, ``cause``,
``code_digest``, ``config_digest``, ``training_run_id``, ``training_outcome``, ``trigger`` (kind,
origin, event_id, actor, at), ``started_at``, ``ended_at``, ``integration_arn``.

``branch#<branch>`` names the newest integration of a branch (``latest``), and the one whose
commit last became the project's (``activated``). One that is superseded says by whom
(``superseded_by``), the newer one whom it ended (``overtook``). A trigger that starts nothing is
kept as ``suppressed#<time>#<event id>``, as for training.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum

from steward.domain.errors import RejectedError

COMMIT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{3,99}$"
"""A git object name, or the version id of a source that has none."""

_HEX = re.compile(r"^[0-9a-f]{12,64}$")


class IntegrationStatus(StrEnum):
    """Where the integration of a commit is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    SUPPRESSED = "suppressed"


ENDED = frozenset(
    {IntegrationStatus.SUCCEEDED, IntegrationStatus.FAILED, IntegrationStatus.SUPERSEDED}
)
"""What no longer changes."""


@dataclass(frozen=True)
class Arrival:
    """A commit as an event tells of it.

    Attributes:
        at: Time of the event, ISO 8601; AWS's own have whole seconds.
        previous: The commit that the branch was at before, where the event says so.
    """

    commit_id: str
    branch: str
    event_id: str
    at: str
    previous: str | None = None


@dataclass(frozen=True)
class Attempt:
    """The latest integration of a commit.

    Attributes:
        in_force: Whether the project's code and configuration are what it brought.
    """

    integration_id: str
    number: int
    status: IntegrationStatus
    event_id: str
    in_force: bool = False


@dataclass(frozen=True)
class Newest:
    """The newest integration of a branch.

    Attributes:
        activated: The integration whose commit last became the project's.
    """

    integration_id: str
    commit_id: str
    at: str
    previous: str | None = None
    activated: str | None = None


@dataclass(frozen=True)
class Begin:
    """Integrate the commit; ``attempt`` counts from one."""

    integration_id: str
    attempt: int


@dataclass(frozen=True)
class Again:
    """The same event once more: see that what it began runs."""

    integration_id: str


@dataclass(frozen=True)
class Suppress:
    """Do nothing: ``integration_id`` does, did or outdates it."""

    integration_id: str
    status: IntegrationStatus
    reason: str


Decision = Begin | Again | Suppress


def decide(arrived: Arrival, attempt: Attempt | None, newest: Newest | None) -> Decision:
    """Return what to do about a commit that arrived.

    A commit is integrated once. What failed or was superseded is tried again when somebody asks
    again, and so is what succeeded when the project has other code or configuration by now, such
    as a branch that was set back. An event that is older than the newest of its branch changes
    nothing: events repeat, and overtake each other.
    """
    if attempt is not None:
        if attempt.event_id == arrived.event_id:
            return Again(attempt.integration_id)
        if attempt.status is IntegrationStatus.RUNNING:
            return Suppress(attempt.integration_id, attempt.status, "it is being integrated")
        if attempt.status is IntegrationStatus.SUCCEEDED and attempt.in_force:
            return Suppress(attempt.integration_id, attempt.status, "it has been integrated")
    if newest is not None and is_outdated(arrived, newest):
        return Suppress(
            newest.integration_id, IntegrationStatus.SUPERSEDED,
            f"commit {short(newest.commit_id)} of {arrived.branch} is newer",
        )  # fmt: skip
    number = 1 if attempt is None else attempt.number + 1
    return Begin(integration_id(arrived.commit_id, number), number)


def is_outdated(arrived: Arrival, newest: Newest) -> bool:
    """Return whether a commit came before the newest of its branch.

    The commit that each found before it decides where an event names one; else the time does,
    and of two in the same second the one that is heard of later is the newer one.
    """
    if newest.commit_id in (arrived.commit_id, arrived.previous):
        return False
    if newest.previous == arrived.commit_id:
        return arrived.at <= newest.at
    return arrived.at < newest.at


def integration_id(commit_id: str, attempt: int) -> str:
    """Return the sort key of an integration's record."""
    return f"commit#{commit_id}#{attempt}"


def integrations_of(commit_id: str) -> str:
    """Return the prefix of the records of a commit."""
    return f"commit#{commit_id}#"


def branch_item(branch: str) -> str:
    """Return the sort key of the item that names a branch's newest integration."""
    return f"branch#{branch}"


def short(commit_id: str) -> str:
    """Return twelve hexadecimal digits for a commit: its own first ones where it is a git id."""
    if _HEX.match(commit_id):
        return commit_id[:12]
    return hashlib.sha256(commit_id.encode()).hexdigest()[:12]


def run_name(commit_id: str, attempt: int) -> str:
    """Return what an integration is called in names of jobs, such as ``1f0c9a7b2d3e-1``."""
    return f"{short(commit_id)}-{attempt}"


def execution_name(project: str, commit_id: str, attempt: int) -> str:
    """Return the execution's name, which is burnt for 90 days."""
    return f"{project}_{run_name(commit_id, attempt)}"


def check_commit(commit_id: str) -> str:
    """Return a commit id that can name things.

    Raises:
        RejectedError: It cannot.
    """
    if not re.match(COMMIT_PATTERN, commit_id):
        raise RejectedError(
            f"{commit_id!r} is no commit id", field="commit_id", value=commit_id,
            allowed=COMMIT_PATTERN,
        )  # fmt: skip
    return commit_id
