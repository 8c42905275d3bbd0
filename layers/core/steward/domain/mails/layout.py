"""The form of all mails: paragraphs, facts, tables and commands, wrapped at 78 characters."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

WIDTH = 78
MAX_SUBJECT = 99


@dataclass(frozen=True)
class Letter:
    """A mail before it is sent: an ASCII subject of at most 99 characters, and its text."""

    subject: str
    body: str


@dataclass(frozen=True)
class Where:
    """Which project of which environment a mail is about."""

    environment: str
    region: str
    project: str


def letter(where: Where, subject: str, *blocks: str) -> Letter:
    """Return a mail of blocks, an empty line between them; empty blocks are left out."""
    line = f"[steward {where.environment}] {subject}".encode("ascii", "replace").decode()
    line = " ".join(line.split())
    if len(line) > MAX_SUBJECT:
        line = line[: MAX_SUBJECT - 3].rstrip() + "..."
    sender = f"--\nSteward, environment {where.environment}, {where.region}"
    return Letter(line, "\n\n".join([*(block for block in blocks if block), sender]) + "\n")


def paragraph(text: str, indent: str = "") -> str:
    """Return text wrapped; addresses and digests are never broken."""
    return textwrap.fill(
        " ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    """Return labelled lines below a title; pairs with an empty value are left out."""
    kept = [(label, str(value)) for label, value in pairs if value not in (None, "")]
    if not kept:
        return ""
    margin = 2 + max(len(label) for label, _ in kept) + 2
    lines = [title]
    for label, value in kept:
        head = f"  {label}".ljust(margin)
        wrapped = textwrap.wrap(
            " ".join(value.split()), WIDTH - margin, break_long_words=False, break_on_hyphens=False
        )
        lines.append(head + wrapped[0] if wrapped else head.rstrip())
        lines.extend(" " * margin + line for line in wrapped[1:])
    return "\n".join(lines)


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table below a title, columns as wide as needed, left-aligned but for numbers."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    widths = [max(len(row[i]) for row in [list(header), *body]) for i in range(len(header))]
    lines = [title]
    for row in [list(header), *body]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def bullets(title: str, texts: Iterable[str]) -> str:
    """Return a list below a title."""
    items = [
        textwrap.fill(
            " ".join(text.split()), WIDTH, initial_indent="  - ", subsequent_indent="    ",
            break_long_words=False, break_on_hyphens=False,
        )
        for text in texts
    ]  # fmt: skip
    return "\n".join([title, *items]) if items else ""


def commands(title: str, *lines: str) -> str:
    """Return commands below a title, each on its own line and never wrapped."""
    return "\n".join([title, *(f"  {line}" for line in lines if line)])


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as a mail shows it."""
    return "undefined" if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """Return a difference with its sign."""
    return "undefined" if value is None else f"{value:+.{digits}f}"


def percent(level: float) -> str:
    """Return a level such as 0.95 as ``95 %``."""
    return f"{level * 100:g} %"


def moment(iso: str) -> str:
    """Return a time as ``2026-01-05 09:00:00 UTC``; what is no time is returned as it is."""
    try:
        parsed = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    if parsed.tzinfo is None:
        return iso
    return parsed.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def seconds_between(start: str, end: str) -> float | None:
    """Return the seconds from one ISO time to another, None where either is no time."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def shortened(text: str, limit: int = 600) -> str:
    """Return a text that came from elsewhere, on one line and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def execution_link(where: Where, arn: str) -> str:
    """Return the address of an execution in the Step Functions console."""
    if not arn:
        return ""
    return f"{_console(where)}/states/home?region={where.region}#/v2/executions/details/{arn}"


def object_link(where: Where, uri: str) -> str:
    """Return the address of an object in the S3 console."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return f"{_console(where)}/s3/object/{bucket}?region={where.region}&prefix={quote(key)}"


def alarm_link(where: Where, name: str) -> str:
    """Return the address of an alarm in the CloudWatch console."""
    return f"{_console(where)}/cloudwatch/home?region={where.region}#alarmsV2:alarm/{quote(name)}"


def _console(where: Where) -> str:
    return f"https://{where.region}.console.aws.amazon.com"
