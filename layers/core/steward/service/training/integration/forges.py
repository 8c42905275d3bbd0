"""Use cases: connect a project to its forge, and take what that forge sends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from steward.contracts.events import CommitReceived, CommitSource
from steward.domain import forges
from steward.domain.errors import (
    ConflictError,
    MalformedEventError,
    NotAuthorizedError,
    ProjectNotFoundError,
    SourceRefusedError,
    StewardError,
)
from steward.domain.webhooks import SECRET_BYTES, new_secret
from steward.ports import Absent, Clock, Delete, Ids, Item, Put, Secrets, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.training.integration.connection import CONNECTION, archive_url

if TYPE_CHECKING:
    from steward.service.training.source import Caller


@dataclass(frozen=True)
class ForgePorts:
    """What connecting works with.

    Attributes:
        secret_prefix: Of the names of secrets: the stack's.
        hosts: That archives may come from.
        local: The embedded AWS, where a forge on this machine is allowed.
    """

    state: StateStore
    secrets: Secrets
    clock: Clock
    ids: Ids
    secret_prefix: str
    hosts: Collection[str]
    local: bool


def connect_forge(body: object, caller: Caller, random: bytes, ports: ForgePorts) -> dict[str, Any]:
    """Connect a project to a repository; return the webhook's secret, which is shown this once.

    A project has one forge: connecting anew replaces it, and the secrets before end.

    Raises:
        MalformedEventError: The body has not the agreed shape, or no place for the commit.
        SourceRefusedError: Archives would come from a host that the stack does not allow.
        ProjectNotFoundError: No such project is configured.
    """
    from steward.contracts.approval import parse_request  # paid when somebody connects
    from steward.contracts.forge import ConnectForge

    asked = parse_request(ConnectForge, body)
    if ports.state.get(Table.PROJECTS, {"project": asked.project}) is None:
        raise ProjectNotFoundError(
            f"no project {asked.project!r} is configured", field="project", value=asked.project,
            allowed="a project added with `steward project add`",
        )  # fmt: skip
    archive = asked.archive or f"{asked.api}/repos/{{repository}}/tarball/{{commit}}"
    if asked.kind == "generic" and asked.archive is None:
        raise MalformedEventError(
            "a generic forge needs the place of its archives", field="archive",
            allowed="https://HOST/...{commit}...",
        )  # fmt: skip
    for name, url in (("archive", archive), ("api", asked.api)):
        if name == "archive" or asked.kind == "github":
            _check_host(name, url, ports)
    if "{commit}" not in archive:
        raise MalformedEventError(
            "archive has no {commit}", field="archive", value=archive, allowed="{commit} in it"
        )
    before = _connection(ports.state, asked.project)
    base = f"{ports.secret_prefix}/forges/{asked.project}/{ports.ids.new()}"
    secret = new_secret(random[:SECRET_BYTES])
    item = {
        "project": asked.project, "run_id": CONNECTION, "kind": asked.kind,
        "repository": asked.repository, "api": asked.api, "archive": archive,
        "forge": asked.forge or ("github" if asked.kind == "github" else "forge"),
        "secret": f"{base}/webhook", "connected_by": caller.identity,
        "connected_at": ports.clock.now().isoformat(timespec="milliseconds"),
        **({"token_secret": f"{base}/token"} if asked.token else {}),
    }  # fmt: skip
    ports.secrets.create(item["secret"], secret)
    try:
        if asked.token:
            ports.secrets.create(item["token_secret"], asked.token)
        ports.state.commit([Put(Table.RUNS, item)])
    except StewardError:
        _forget(item, ports.secrets)
        raise
    if before is not None:
        _forget(before, ports.secrets)
    return {**_shown(item), "secret": secret}


def _check_host(field: str, url: str, ports: ForgePorts) -> None:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    own = ports.local and parts.scheme == "http" and parts.hostname == "127.0.0.1"
    if not own and (parts.scheme != "https" or host not in ports.hosts):
        raise SourceRefusedError(
            f"{host or url} is not among the hosts that sources come from", field=field,
            value=url, allowed=f"https://, one of {', '.join(sorted(ports.hosts)) or 'none'}",
        )  # fmt: skip


def disconnect_forge(query: Mapping[str, str], ports: ForgePorts) -> dict[str, Any]:
    """End the connection and both secrets; what is gone is fine."""
    from steward.contracts.approval import parse_request
    from steward.contracts.forge import DisconnectForge

    asked = parse_request(DisconnectForge, dict(query))
    found = _connection(ports.state, asked.project)
    if found is None:
        return {"project": asked.project, "disconnected": None}
    ports.state.commit([Delete(Table.RUNS, {"project": asked.project, "run_id": CONNECTION})])
    _forget(found, ports.secrets)
    return {"project": asked.project, "disconnected": found["repository"]}


def _connection(state: StateStore, project: str) -> Item | None:
    return state.get(Table.RUNS, {"project": project, "run_id": CONNECTION})


def _forget(connection: Item, secrets: Secrets) -> None:
    for name in ("secret", "token_secret"):
        if connection.get(name):
            secrets.delete(connection[name])


def _shown(item: Item) -> dict[str, Any]:
    hidden = ("run_id", "secret", "token_secret")
    return {name: value for name, value in item.items() if name not in hidden}


@dataclass(frozen=True)
class Hook:
    """A request to the webhook URL, by nobody that IAM knows."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str


@dataclass(frozen=True)
class Answered:
    """A status and a body that tells a stranger nothing."""

    status: int
    body: dict[str, Any]


class _RefusedError(Exception):
    """A request that is answered and nothing more."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.answer = Answered(status, body)


def receive_webhook(
    hook: Hook, *, state: StateStore, secrets: Secrets, clock: Clock, ids: Ids
) -> Answered:
    """Take a push that the project's forge signed, once.

    The digest of what was taken and the event are one transaction. Whoever does not sign learns
    no more than whether there is such a path.
    """
    try:
        connection = _addressed(hook, state)
        mark, told = _signed(hook, connection, secrets, clock)
    except _RefusedError as refused:
        return refused.answer
    if isinstance(told, forges.Other):
        outcome = "pong" if told.is_ping else "ignored"
        return Answered(200, {"outcome": outcome, "reason": told.what[:200]})
    return _take(hook, connection, mark, told, state, clock, ids)


def _addressed(hook: Hook, state: StateStore) -> Item:
    if hook.method != "POST":
        raise _RefusedError(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    if len(hook.body) > forges.MAX_BODY_BYTES:
        raise _RefusedError(413, {"error": "TooLarge"})
    project = hook.path.strip("/")
    connection = _connection(state, project) if 0 < len(project) <= 20 else None
    if connection is None:
        raise _RefusedError(404, {"error": "NotFound"})
    return connection


def _signed(
    hook: Hook, connection: Item, secrets: Secrets, clock: Clock
) -> tuple[str, forges.Push | forges.Other]:
    """Return what recognises a repeated message, and what it tells of."""
    kind, now_s = connection["kind"], clock.now().timestamp()
    secret = secrets.read(connection["secret"])
    try:
        mark = forges.verify(kind, secret, hook.headers, hook.body, now_s)
        return mark, forges.read(kind, hook.headers, hook.body, now_s)
    except NotAuthorizedError:
        raise _RefusedError(401, {"error": "Unauthorized"}) from None
    except MalformedEventError as error:
        raise _RefusedError(400, error.as_dict()) from None


def _take(
    hook: Hook,
    connection: Item,
    mark: str,
    told: forges.Push,
    state: StateStore,
    clock: Clock,
    ids: Ids,
) -> Answered:
    if told.repository.lower() != connection["repository"].lower():
        return Answered(404, {"error": "NotFound"})
    payload = CommitReceived(
        repository=connection["repository"], branch=told.branch, commit_id=told.commit_id,
        files=CommitSource(kind="archive", url=archive_url(connection, told.commit_id)),
        author=f"{connection['forge']}:{told.login}"[:300], origin="webhook",
        previous=told.previous,
    )  # fmt: skip
    now, project = clock.now(), connection["project"]
    taken = {
        "project": project, "run_id": f"hook#{mark}", "commit_id": told.commit_id,
        "at": now.isoformat(timespec="milliseconds"),
        "forget_at": int(now.timestamp()) + forges.KEPT_S,
    }  # fmt: skip
    cause = Cause(project, hook.request_id, hook.request_id, payload.author)
    try:
        state.commit(
            [Put(Table.RUNS, taken, expect=(Absent(),))], [event(payload, cause, clock, ids)]
        )
    except ConflictError:
        return Answered(409, {"error": "Replayed"})
    return Answered(202, {"outcome": "received", "commit_id": told.commit_id})
