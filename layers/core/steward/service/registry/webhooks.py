"""Webhooks: who is told of what, each message queued, signed, sent and on record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.domain.errors import ConflictError, RejectedError, StewardError
from steward.domain.webhooks import (
    ALL_PROJECTS,
    ATTEMPTS,
    KEPT_S,
    SECRET_BYTES,
    Subscription,
    check_kinds,
    check_url,
    delivery_item,
    headers,
    message_body,
    new_secret,
    outcome_of,
    pause_s,
    webhook_item,
)
from steward.ports import (
    Absent,
    Clock,
    Delete,
    Exists,
    Ids,
    Item,
    Put,
    Secrets,
    StateStore,
    Table,
    Update,
    WebhookQueue,
    WebhookSender,
)

if TYPE_CHECKING:
    from steward.contracts.incoming import Received
    from steward.contracts.registry import AddWebhook, RemoveWebhook, TestWebhook

TEST_KIND = "WebhookTest"


@dataclass(frozen=True)
class WebhookPorts:
    """What webhooks need from outside.

    Attributes:
        secret_prefix: Of the names of secrets.
        local: The embedded AWS, where receivers on this machine are allowed.
    """

    state: StateStore
    clock: Clock
    secret_prefix: str
    local: bool


def add_webhook(
    request: AddWebhook,
    *,
    actor: str,
    random: bytes,
    ids: Ids,
    secrets: Secrets,
    ports: WebhookPorts,
) -> dict[str, Any]:
    """Subscribe a URL; return the subscription with its secret, which is shown this once.

    Args:
        request: What is asked.
        actor: Identity of the verified caller.
        random: Unpredictable bytes, the secret's.
        ids: Of subscriptions.
        secrets: Where the secret is kept.
        ports: What else is needed.

    Raises:
        RejectedError: A URL that messages may not go to, an unknown event, or no project.
    """
    check_url(request.url, local=ports.local)
    if request.project != ALL_PROJECTS:
        _need_project(request.project, ports.state)
    webhook_id = ids.new()
    name = f"{ports.secret_prefix}/webhooks/{webhook_id}"
    found = Subscription(
        webhook_id=webhook_id, project=request.project, url=request.url,
        kinds=check_kinds(request.kinds), secret=name, created_by=actor,
        created_at=ports.clock.now().isoformat(timespec="milliseconds"),
    )  # fmt: skip
    secret = new_secret(random[:SECRET_BYTES])
    secrets.create(name, secret)
    item = {**found.model_dump(), "item": webhook_item(webhook_id)}
    try:
        ports.state.commit([Put(Table.VERSIONS, item, expect=(Absent(),))])
    except StewardError:
        secrets.delete(name)
        raise
    return {**found.model_dump(), "secret": secret}


def remove_webhook(
    request: RemoveWebhook, *, secrets: Secrets, ports: WebhookPorts
) -> dict[str, Any]:
    """Unsubscribe; what is queued is not sent any more. What is gone is fine.

    Raises:
        RejectedError: There is no such subscription.
    """
    found = need_webhook(ports.state, request.project, request.webhook_id)
    ports.state.commit([Delete(Table.VERSIONS, _key(found))])
    secrets.delete(found.secret)
    return {"removed": found.webhook_id}


def send_test(
    request: TestWebhook, *, actor: str, ids: Ids, queue: WebhookQueue, ports: WebhookPorts
) -> dict[str, Any]:
    """Send a message without meaning the way that every other goes.

    Raises:
        RejectedError: There is no such subscription.
    """
    found = need_webhook(ports.state, request.project, request.webhook_id)
    message_id, now = ids.new(), ports.clock.now().isoformat(timespec="milliseconds")
    body = message_body(TEST_KIND, found.project, now, {"actor": actor}, {})
    _queue(found, message_id, TEST_KIND, body, queue)
    return {"message_id": message_id, "webhook_id": found.webhook_id}


def queue_webhooks(received: Received, *, state: StateStore, queue: WebhookQueue) -> dict[str, int]:
    """Queue one message for each subscription that wants an event; return how many.

    A message is known by its content, since EventBridge gives an event that the outbox publishes
    twice another id; so it is delivered once as far as records can tell. A replayed event is
    old news and not sent.
    """
    if received.replayed:
        return {"queued": 0}
    own = received.own
    body = message_body(
        received.detail_type, own.project, received.time, own.model_dump(mode="json"),
        received.detail.model_dump(mode="json"),
    )  # fmt: skip
    message_id = f"msg_{hashlib.sha256(body).hexdigest()[:32]}"
    queued = 0
    for found in (*webhooks_of(state, own.project), *webhooks_of(state, ALL_PROJECTS)):
        if found.wants(received.detail_type):
            _queue(found, message_id, received.detail_type, body, queue)
            queued += 1
    return {"queued": queued}


def _queue(
    found: Subscription, message_id: str, kind: str, body: bytes, queue: WebhookQueue
) -> None:
    queue.send(
        json.dumps(
            {
                "project": found.project, "webhook_id": found.webhook_id,
                "message_id": message_id, "kind": kind, "body": body.decode(),
            }
        )
    )  # fmt: skip


def webhooks_of(state: StateStore, project: str) -> list[Subscription]:
    """Return the subscriptions of one project, or with ``*`` those of all."""
    items = state.query(Table.VERSIONS, project, prefix=webhook_item(""))
    return [Subscription.model_validate(item) for item in items]


def deliveries_of(state: StateStore, project: str, webhook_id: str) -> list[Item]:
    """Return the records of a subscription's messages."""
    return state.query(Table.VERSIONS, project, prefix=delivery_item(webhook_id, ""))


def need_webhook(state: StateStore, project: str, webhook_id: str) -> Subscription:
    """Return a subscription.

    Raises:
        RejectedError: There is none.
    """
    key = {"project": project, "item": webhook_item(webhook_id)}
    item = state.get(Table.VERSIONS, key)
    if item is None:
        raise RejectedError(
            f"{project} has no webhook {webhook_id}", field="webhook_id", value=webhook_id,
            allowed="an id of `steward webhooks list`",
        )  # fmt: skip
    return Subscription.model_validate(item)


def _need_project(project: str, state: StateStore) -> None:
    if state.get(Table.PROJECTS, {"project": project}) is None:
        raise RejectedError(
            f"no project {project!r}", field="project", value=project,
            allowed="a configured project, or * for all",
        )  # fmt: skip


def _key(found: Subscription) -> dict[str, str]:
    return {"project": found.project, "item": webhook_item(found.webhook_id)}


class Poster:
    """Sends queued messages; of one that failed, it says when to try again."""

    def __init__(
        self, sender: WebhookSender, secrets: Secrets, queue: WebhookQueue, ports: WebhookPorts
    ) -> None:
        self._sender, self._secrets, self._queue, self._ports = sender, secrets, queue, ports

    def post(self, record: Mapping[str, Any]) -> bool:
        """Send the message of an SQS record once; return whether the queue is done with it.

        The timestamp is of this attempt and the id is of the message, so that a receiver can
        refuse replays and still know what it has.
        """
        message = json.loads(record["body"])
        project, webhook_id = str(message["project"]), str(message["webhook_id"])
        attempt = int(record["attributes"]["ApproximateReceiveCount"])
        item = self._ports.state.get(
            Table.VERSIONS, {"project": project, "item": webhook_item(webhook_id)}
        )
        if item is None or item.get("disabled_because"):
            return True
        found = Subscription.model_validate(item)
        if self._is_delivered(found, message["message_id"]):
            return True
        said, answer = self._ask(found, message)
        outcome = "again" if answer is None else outcome_of(answer)
        if outcome == "gone":
            self._disable(found)
        self._record(found, message, outcome, attempt, said)
        if outcome != "again":
            return True
        self._queue.postpone(str(record["receiptHandle"]), pause_s(attempt))
        return False

    def _ask(self, found: Subscription, message: Mapping[str, Any]) -> tuple[str, int | None]:
        body = str(message["body"]).encode()
        try:
            check_url(found.url, local=self._ports.local)
            secret = self._secrets.read(found.secret)
            now_s = int(self._ports.clock.now().timestamp())
            signed = headers(secret, str(message["message_id"]), now_s, body)
            status = self._sender.post(found.url, signed, body)
        except StewardError as error:
            return f"{type(error).__name__}: {error}"[:300], None
        return f"HTTP {status}", status

    def _is_delivered(self, found: Subscription, message_id: str) -> bool:
        key = {"project": found.project, "item": delivery_item(found.webhook_id, message_id)}
        known = self._ports.state.get(Table.VERSIONS, key)
        return known is not None and known["status"] == "delivered"

    def _disable(self, found: Subscription) -> None:
        why = {"disabled_because": "the receiver answered 410 Gone"}
        change = Update(Table.VERSIONS, _key(found), set=why, expect=(Exists(),))
        try:
            self._ports.state.commit([change])
        except ConflictError:
            return

    def _record(
        self, found: Subscription, message: Mapping[str, Any], outcome: str, attempt: int,
        said: str,
    ) -> None:  # fmt: skip
        status = "waiting" if outcome == "again" else outcome
        if status == "waiting" and attempt >= ATTEMPTS:
            status = "given_up"
        now = self._ports.clock.now()
        record = {
            "project": found.project,
            "item": delivery_item(found.webhook_id, str(message["message_id"])),
            "kind": message["kind"], "status": status, "attempts": attempt, "said": said,
            "at": now.isoformat(timespec="milliseconds"),
            "forget_at": int(now.timestamp()) + KEPT_S,
        }  # fmt: skip
        self._ports.state.commit([Put(Table.VERSIONS, record)])
