"""Use case: a person or pipeline brings a project's configuration and code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.approval import parse_request
from steward.contracts.events import ProjectConfigured
from steward.contracts.source import PushSource, RetireFeatures, ShowProject
from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    InvalidProjectError,
    MalformedEventError,
    ProjectNotFoundError,
)
from steward.domain.names import package_group
from steward.domain.principals import identity_of
from steward.ports import (
    Absent,
    Change,
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    ObjectStore,
    Put,
    StateStore,
    Table,
)
from steward.service.emission import Cause, event
from steward.service.policy_in_force import pin_policy

if TYPE_CHECKING:
    from steward.domain.project import Project

TRIES = 5
RECENT = 10


@dataclass(frozen=True)
class Caller:
    """Who asks, as IAM verified it."""

    arn: str
    request_id: str
    person_roles: frozenset[str] = frozenset()

    @property
    def identity(self) -> str:
        """The identity that becomes the author."""
        return identity_of(self.arn, self.person_roles)


def push_source(
    body: object,
    caller: Caller,
    *,
    state: StateStore,
    objects: ObjectStore,
    clock: Clock,
    ids: Ids,
    artifacts_bucket: str,
    environment: str,
) -> dict[str, Any]:
    """Check configuration and code archive and make them the project's current ones.

    The caller is the author of what changes: whoever pushes the same configuration and code
    again does not become it.

    Raises:
        MalformedEventError: The body has not the agreed shape.
        InvalidProjectError: ``field`` is the path of the key in ``config``; also where the
            policy in force does not let the project ask for so little.
        EvidenceIncompleteError: There is no such archive, or its bytes have another digest.
    """
    from steward.domain.project import parse_project  # large: paid when somebody pushes

    request = parse_request(PushSource, body)

    project = parse_project(request.config)
    name = project.project
    pin_policy(state, project)
    wanted = code_key(name, request.code_sha256)
    if request.code_key != wanted:
        raise MalformedEventError(
            f"code_key {request.code_key!r} is not where code of {name} lies",
            field="code_key", value=request.code_key, allowed=wanted,
        )  # fmt: skip
    if objects.describe(artifacts_bucket, wanted) is None:
        raise EvidenceIncompleteError(
            f"there is no object s3://{artifacts_bucket}/{wanted}", field="code_key",
            value=wanted, allowed="an archive uploaded before the push",
        )  # fmt: skip
    digest = objects.sha256(artifacts_bucket, wanted)
    if digest != request.code_sha256:
        raise EvidenceIncompleteError(
            f"the archive s3://{artifacts_bucket}/{wanted} has another digest",
            field="code_sha256", value=digest, allowed=request.code_sha256,
        )  # fmt: skip
    ports = Configuring(state, clock, ids, artifacts_bucket, environment)
    cause = Cause(name, caller.request_id, caller.request_id, caller.identity)
    return configure(project, digest, caller.identity, caller.arn, cause, ports)


@dataclass(frozen=True)
class Configuring:
    """What writing a project's configuration works with."""

    state: StateStore
    clock: Clock
    ids: Ids
    artifacts_bucket: str
    environment: str


def code_key(project: str, digest: str) -> str:
    """Return where the archive of a project's code lies in the artifacts bucket."""
    return f"code/{project}/{digest}.tar.gz"


def configure(
    project: Project,
    digest: str,
    author: str,
    author_arn: str,
    cause: Cause,
    ports: Configuring,
    *,
    with_it: Sequence[Change] = (),
) -> dict[str, Any]:
    """Make a configuration and an archive that is there the project's current ones.

    Args:
        project: The valid declaration.
        digest: Of the archive, which lies where :func:`code_key` says.
        author: Identity of who brought what changes.
        author_arn: Its principal; empty where a forge says who it was.
        cause: Of the event that tells of it.
        ports: What it works with.
        with_it: Further changes of the same transaction; nothing is written unless these hold.

    Returns:
        What is in force, and whether it ``changed``.

    Raises:
        ConflictError: Others kept changing the project, or a condition of ``with_it`` failed.
    """
    from steward.service.feature_catalog import registration  # large: paid when one is changed

    name, state, now = project.project, ports.state, ports.clock.now
    for attempt in range(TRIES):
        known = state.get(Table.PROJECTS, {"project": name})
        same = known is not None and (known["config_digest"], known["code_digest"]) == (
            project.digest, digest,
        )  # fmt: skip
        if same and known is not None:
            if with_it:
                state.commit(list(with_it))
            return {**_answer(known), "changed": False}
        if known is not None:
            _keeps_task(project, known, state)
        item = {
            "project": name, "config": project.model_dump(mode="json"),
            "config_digest": project.digest, "code_digest": digest,
            "code_uri": f"s3://{ports.artifacts_bucket}/{code_key(name, digest)}",
            "author": author, "author_arn": author_arn,
            "package_group": package_group(ports.environment, name),
            "updated_at": now().isoformat(timespec="milliseconds"),
        }  # fmt: skip
        expected: Condition = Absent()
        if known is not None:
            expected = Equals("updated_at", known["updated_at"])
        payload = ProjectConfigured(config_digest=project.digest, code_digest=digest, author=author)
        registered, announced = registration(
            project, state=state, environment=ports.environment, cause=cause, clock=ports.clock,
            ids=ports.ids,
        )  # fmt: skip
        try:
            state.commit(
                [Put(Table.PROJECTS, item, expect=(expected,)), *registered, *with_it],
                [event(payload, cause, ports.clock, ports.ids), *announced],
            )
        except ConflictError:
            if attempt == TRIES - 1:
                raise
            continue
        return {**_answer(item), "changed": True}
    raise AssertionError("unreachable")


def _keeps_task(project: Project, known: Item, state: StateStore) -> None:
    """Refuse another task of the label once a version serves: nothing would be comparable."""
    label = (known["config"].get("data") or {}).get("label") or {}
    before = str(label.get("task", "binary"))
    if project.data.label.task == before:
        return
    if state.get(Table.ROUTES, {"project": project.project}) is None:
        return
    raise InvalidProjectError(
        f"data.label.task: versions of {project.project} that serve are {before}, and"
        " predictions, outcomes and baselines of the other task cannot be compared",
        field="data.label.task", value=project.data.label.task,
        allowed=f"{before}, or another project",
    )  # fmt: skip


def retire_features(
    query: dict[str, str], caller: Caller, *, state: StateStore, clock: Clock, ids: Ids
) -> dict[str, Any]:
    """Retire a version of a feature group in the name of the verified caller.

    Raises:
        MalformedEventError: The query has not the agreed shape.
        FeatureGroupNotFoundError: There is no such version.
        RejectedError: It is declared, or a model version that answers uses it.
    """
    from steward.service.feature_catalog import retire

    request = parse_request(RetireFeatures, query)
    cause = Cause(request.project, caller.request_id, caller.request_id, caller.identity)
    return retire(
        request.project, request.group, request.version,
        state=state, cause=cause, clock=clock, ids=ids,
    )  # fmt: skip


def show_project(query: dict[str, str], *, state: StateStore) -> dict[str, Any]:
    """Return a project's configuration, deliveries by status and latest runs.

    Raises:
        MalformedEventError: The query names no project.
        ProjectNotFoundError: No such project is configured.
    """
    name = parse_request(ShowProject, query).project
    item = state.get(Table.PROJECTS, {"project": name}) if name else None
    if item is None:
        raise ProjectNotFoundError(
            f"no project {name!r} is configured", field="project", value=name,
            allowed="a project added with `steward project add`",
        )  # fmt: skip
    deliveries: dict[str, int] = {}
    for delivery in state.query(Table.DELIVERIES, name):
        deliveries[delivery["status"]] = deliveries.get(delivery["status"], 0) + 1
    runs = [run for run in state.query(Table.RUNS, name) if "execution_arn" in run]
    runs.sort(key=lambda run: str(run.get("started_at") or run.get("queued_at")), reverse=True)
    shown = ("run_id", "status", "version", "started_at", "ended_at", "error")
    latest = [{k: run[k] for k in shown if k in run} for run in runs[:RECENT]]
    return {**_answer(item), "config": item["config"], "deliveries": deliveries, "runs": latest}


def _answer(item: dict[str, Any]) -> dict[str, Any]:
    shown = (
        "project", "config_digest", "code_digest", "code_uri", "author", "package_group",
        "updated_at",
    )  # fmt: skip
    return {name: item[name] for name in shown}
