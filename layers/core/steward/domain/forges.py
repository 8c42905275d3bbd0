"""Messages from a forge: who signed them, whether they are fresh, and which commit they tell of.

GitHub signs the body alone (``X-Hub-Signature-256``), so its age is what the signed body says.
Any other forge signs as Standard Webhooks does: id, time and body.
Sources: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries,
https://docs.github.com/en/webhooks/webhook-events-and-payloads#push, and `steward.domain.webhooks`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from steward.domain import webhooks
from steward.domain.errors import MalformedEventError, NotAuthorizedError, RejectedError
from steward.domain.integrations import check_commit

Kind = Literal["github", "generic"]

MAX_BODY_BYTES = 2 * 1024 * 1024
GITHUB_WINDOW_S = 3 * 86_400
"""GitHub lets a delivery be sent again for three days."""
KEPT_S = 7 * 86_400
"""Digests of what was taken are kept longer than anything old is taken."""

_BRANCH = "refs/heads/"
_NOBODY = "0" * 40


@dataclass(frozen=True)
class Push:
    """A commit that a forge tells of.

    Attributes:
        login: Who pushed it, as the forge names them.
    """

    repository: str
    branch: str
    commit_id: str
    login: str
    previous: str | None = None


@dataclass(frozen=True)
class Other:
    """A signed message that asks for nothing; ``is_ping`` for a forge's first one."""

    what: str
    is_ping: bool = False


def verify(kind: Kind, secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Raise unless the forge signed a message; return what it is recognised by when it repeats.

    Headers that are not signed recognise nothing: they could be changed.

    Args:
        kind: Of the forge.
        secret: The text that the forge was given.
        headers: By lower-case name.
        body: As it was signed.
        now_s: Seconds since the epoch.

    Raises:
        NotAuthorizedError: It is not signed, or too old.
    """
    if kind == "generic":
        webhooks.verify(secret, headers, body, now_s)
        return f"id#{hashlib.sha256(headers['webhook-id'].encode()).hexdigest()}"
    wanted = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = headers.get("x-hub-signature-256", "")
    if not hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace")):
        raise NotAuthorizedError("the signature is another", field="x-hub-signature-256")
    return f"body#{hashlib.sha256(body).hexdigest()}"


def read(kind: Kind, headers: Mapping[str, str], body: bytes, now_s: float) -> Push | Other:
    """Return what a signed message tells of.

    Raises:
        MalformedEventError: It is none of its forge's messages.
        NotAuthorizedError: A push of GitHub that is older than it can be.
    """
    try:
        document = json.loads(body)
    except ValueError:
        raise _malformed("the body is not JSON", "body") from None
    if not isinstance(document, dict):
        raise _malformed("the body is not an object", "body")
    return _generic(document) if kind == "generic" else _github(document, headers, now_s)


def _github(document: dict[str, Any], headers: Mapping[str, str], now_s: float) -> Push | Other:
    event = headers.get("x-github-event", "")
    if event != "push":
        return Other(event or "an event without a name", event == "ping")
    try:
        ref, after = str(document["ref"]), str(document["after"])
        repository = document["repository"]
        full_name, pushed_at = str(repository["full_name"]), float(repository["pushed_at"])
        login = str(document["sender"]["login"])
        before = document.get("before")
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(f"the push lacks {error}", "body") from None
    if now_s - pushed_at > GITHUB_WINDOW_S:
        raise NotAuthorizedError("the push is too old", field="repository.pushed_at")
    if not ref.startswith(_BRANCH) or document.get("deleted") or after == _NOBODY:
        return Other(f"a push to {ref}")
    previous = str(before) if before and before != _NOBODY else None
    return Push(full_name, ref.removeprefix(_BRANCH), _commit(after), login, previous)


def _generic(document: dict[str, Any]) -> Push | Other:
    if document.get("type") == "ping":
        return Other("ping", is_ping=True)
    texts: dict[str, str] = {}
    for name in ("repository", "branch", "commit_id", "author"):
        value = document.get(name)
        if not isinstance(value, str) or not value or len(value) > 255:
            raise _malformed(f"{name} is no text of 1 to 255 characters", name)
        texts[name] = value
    previous = document.get("previous")
    return Push(
        texts["repository"], texts["branch"].removeprefix(_BRANCH), _commit(texts["commit_id"]),
        texts["author"], previous if isinstance(previous, str) and previous else None,
    )  # fmt: skip


def _commit(text: str) -> str:
    try:
        return check_commit(text)
    except RejectedError as error:
        raise _malformed(error.message, "commit_id") from None


def _malformed(message: str, field: str) -> MalformedEventError:
    return MalformedEventError(message, field=field, allowed="a push of the connected repository")
