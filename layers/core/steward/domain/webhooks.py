"""Messages to other systems, signed so that these know whom they are from and when.

Signature, headers and payload are those of Standard Webhooks 1.0.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import canonical_json
from steward.domain.errors import NotAuthorizedError, RejectedError

KINDS = (
    "VersionRegistered", "ApprovalRequested", "VersionApproved", "VersionRejected",
    "ApprovalExpired", "ApprovalBypassed", "VersionPromoted", "VersionStateChanged",
    "VersionAliased", "VersionDescribed", "ReleaseStarted", "TrafficShifted",
    "ReleaseCompleted", "ReleaseRolledBack", "ReleaseFailed", "ReleaseNotPromoted",
    "DriftDetected", "PerformanceDegraded", "DataStale", "AlarmCleared", "TrainingFailed",
    "CandidateHeld",
)  # fmt: skip
"""Events that a subscription may ask for."""

ALL_PROJECTS = "*"
REPLAY_WINDOW_S = 300
SECRET_BYTES = 32
_PREFIX, _SCHEME = "whsec_", "v1,"
BACKOFF_S = (5, 30, 120, 600, 1800, 3600, 7200, 10800)
"""Pause after the first, second, ... failed attempt; ten attempts take about nine hours."""

ATTEMPTS = 10
KEPT_S = 30 * 86_400


class Subscription(BaseModel):
    """Who is told of what.

    Attributes:
        project: One project, or ``*`` for all.
        kinds: Event types; empty for all.
        secret: Name of the secret in Secrets Manager.
        disabled_because: Why nothing is sent any more, None while it is.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    webhook_id: str
    project: str
    url: str
    kinds: list[str] = Field(default_factory=list)
    secret: str
    created_by: str
    created_at: str
    disabled_because: str | None = None

    def wants(self, kind: str) -> bool:
        """Return whether an event is to be sent."""
        return self.disabled_because is None and (not self.kinds or kind in self.kinds)


def webhook_item(webhook_id: str) -> str:
    """Return the sort key of a subscription."""
    return f"webhook#{webhook_id}"


def delivery_item(webhook_id: str, message_id: str) -> str:
    """Return the sort key of the record of one message to one subscription."""
    return f"delivery#{webhook_id}#{message_id}"


def new_secret(random: bytes) -> str:
    """Return a secret as Standard Webhooks writes it.

    Raises:
        ValueError: Not 24 to 64 bytes, which that specification asks for.
    """
    if not 24 <= len(random) <= 64:
        raise ValueError(f"{len(random)} bytes of secret")
    return _PREFIX + base64.b64encode(random).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``."""
    key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    signed = f"{message_id}.{timestamp}.".encode() + body
    return _SCHEME + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message."""
    return {
        "content-type": "application/json",
        "user-agent": "steward-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }


def verify(secret: str, found: Mapping[str, str], body: bytes, now_s: float) -> None:
    """Raise unless a message is signed with the secret and not older than the replay window.

    What a receiver does; a signature header may hold several, divided by spaces, while a
    secret is exchanged.

    Raises:
        NotAuthorizedError: It is not.
    """
    given = {name.lower(): value for name, value in found.items()}
    try:
        timestamp = int(given["webhook-timestamp"])
        wanted = signature(secret, given["webhook-id"], timestamp, body)
        candidates = given["webhook-signature"].split()
    except (KeyError, ValueError, binascii.Error):
        raise NotAuthorizedError("the message is not signed", field="webhook-signature") from None
    if abs(now_s - timestamp) > REPLAY_WINDOW_S:
        raise NotAuthorizedError("the message is too old, or of the future",
                                 field="webhook-timestamp", value=timestamp)  # fmt: skip
    if not any(hmac.compare_digest(wanted, candidate) for candidate in candidates):
        raise NotAuthorizedError("the signature is another", field="webhook-signature")


def message_body(kind: str, project: str, time: str, meta: Any, data: Any) -> bytes:
    """Return the payload: type, timestamp and data as Standard Webhooks has them."""
    return canonical_json(
        {"type": kind, "timestamp": time, "data": {"project": project, "meta": meta, **data}}
    )


def pause_s(failed_attempts: int) -> int:
    """Return how long to wait after so many failed attempts."""
    return BACKOFF_S[min(max(failed_attempts, 1), len(BACKOFF_S)) - 1]


Outcome = Literal["delivered", "again", "gone"]


def outcome_of(status: int) -> Outcome:
    """Return what an answer means: 2xx is taken, 410 ends the subscription, all else waits."""
    if 200 <= status < 300:
        return "delivered"
    return "gone" if status == 410 else "again"


def check_kinds(kinds: list[str]) -> list[str]:
    """Return event types without repetitions, in the order of ``KINDS``.

    Raises:
        RejectedError: There is no such event, or nobody may subscribe to it.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise RejectedError(
            f"no events {', '.join(unknown)}", field="kinds", value=unknown,
            allowed=", ".join(KINDS),
        )  # fmt: skip
    return [kind for kind in KINDS if kind in kinds]


def check_url(url: str, *, local: bool) -> str:
    """Return a URL that messages may go to, as far as its text says.

    Args:
        url: Of the receiver.
        local: The embedded AWS, where a receiver on this machine is allowed.

    Raises:
        RejectedError: Not HTTPS, with credentials or a fragment, or an address that is not
            public.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _refused_url(url) from None
    plain = parts.scheme == "http" and local and host in ("127.0.0.1", "localhost")
    strange = any(ord(sign) <= 32 or ord(sign) == 127 for sign in url) or "\\" in url
    if (
        not host or not (parts.scheme == "https" or plain) or parts.username is not None
        or parts.fragment or port == 0 or strange or len(url) > 2000
    ):  # fmt: skip
        raise _refused_url(url)
    try:
        check_address(host, local=local)
    except ValueError:
        return url
    return url


def check_address(address: str, *, local: bool) -> str:
    """Return an IP address that messages may go to.

    Only what is globally reachable: no loopback, private, link-local (169.254.169.254 gives
    credentials), shared, multicast or reserved address, nor one of these in IPv6's clothes.

    Raises:
        RejectedError: It may not.
        ValueError: It is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = _inner(ip)
    if local and inner.is_loopback:
        return str(ip)
    if not inner.is_global or inner.is_multicast or inner.is_reserved or (not ip.is_global and (
        inner is ip
    )):  # fmt: skip
        raise RejectedError(
            f"{address} is no public address", field="url", value=address,
            allowed="a host whose addresses are all public",
        )  # fmt: skip
    return str(ip)


def _inner(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return ip.ipv4_mapped
        if ip.sixtofour:
            return ip.sixtofour
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip.teredo:
            return ip.teredo[1]
    return ip


def _refused_url(url: str) -> RejectedError:
    return RejectedError(
        f"{url!r} cannot be a webhook", field="url", value=url,
        allowed="https://HOST/..., without user, password and fragment, to public addresses",
    )  # fmt: skip
