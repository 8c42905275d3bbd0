"""Mail to people by role, through SNS topics."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import RejectedError

MAX_SUBJECT = 99
MAX_BODY_BYTES = 250 * 1024
_PLAIN = str.maketrans({
    "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-", "\N{RIGHTWARDS ARROW}": "->",
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{HORIZONTAL ELLIPSIS}": "...", "\N{LATIN SMALL LETTER SHARP S}": "ss",
})  # fmt: skip


def subject_line(text: str) -> str:
    """Return a subject that SNS takes: one line of printable ASCII below 100 characters.

    Letters lose their accents; what has no ASCII form becomes a question mark.

    Source: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    split = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    bare = "".join(char for char in split if not unicodedata.combining(char))
    ascii_only = bare.encode("ascii", "replace").decode()
    line = " ".join("".join(char if char.isprintable() else " " for char in ascii_only).split())
    return line[:MAX_SUBJECT].rstrip() or "Steward"


def _cut(body: str) -> str:
    encoded = body.encode()
    if len(encoded) <= MAX_BODY_BYTES:
        return body
    return encoded[:MAX_BODY_BYTES].decode(errors="ignore") + "\n[cut: the mail was too long]"


class SnsMail:
    """One topic per role.

    Args:
        client: A boto3 SNS client.
        topics: Topic ARN by role: ``approver``, ``on_call``, ``owner``.
    """

    def __init__(self, client: Any, topics: Mapping[str, str]) -> None:
        self._client = client
        self._topics = topics

    def send(self, role: str, subject: str, body: str) -> None:
        """Publish to the topic of a role."""
        if role not in self._topics:
            raise RejectedError(
                f"no topic for {role}", field="role", value=role,
                allowed=", ".join(sorted(self._topics)) or "none: the template names no topic",
            )  # fmt: skip
        with translated(f"mail {role}"):
            self._client.publish(
                TopicArn=self._topics[role], Subject=subject_line(subject), Message=_cut(body)
            )
