"""A card's PDF from the stack: ask, wait for the job, fetch, compare the digest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from steward_cli.console import CommandError, Exit
from steward_cli.function_urls import call
from steward_cli.target import Target

PAUSE_S = 1.0


def fetch(
    target: Target,
    asked: dict[str, Any],
    tell: Callable[[str], None],
    within_s: float,
) -> tuple[bytes, dict[str, Any]]:
    """Return a card's PDF and what the stack said of it.

    Args:
        target: The stack.
        asked: ``project``, ``version`` and ``by``.
        tell: Takes the job's status each time it is looked at.
        within_s: How long to wait for the job.

    Raises:
        CommandError: The job failed or takes longer, or the bytes are not those that it wrote.
    """
    url = target.output("CardPdfUrl")
    deadline = time.monotonic() + within_s
    told = call(target, url, "POST", asked).raise_for_status().body
    while told["status"] == "InProgress":
        if time.monotonic() > deadline:
            raise CommandError(
                f"job {told['job']} is under way after {within_s:g} s", Exit.TIMED_OUT,
                "ask again: it is the same job, and nothing starts twice",
            )  # fmt: skip
        tell(f"{told['job']}: {told['status']}")
        time.sleep(PAUSE_S)
        told = call(target, f"{url}?{urlencode(asked)}", "GET").raise_for_status().body
    if told["status"] != "Completed":
        raise CommandError(
            f"job {told['job']} failed: {told.get('reason') or 'no reason given'}",
            hint="ask again for another job of the same card, or make it here: --here",
        )
    return _fetched(target, told), told


def _fetched(target: Target, told: dict[str, Any]) -> bytes:
    bucket, _, key = str(told["uri"]).removeprefix("s3://").partition("/")
    content: bytes = target.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    found = hashlib.sha256(content).hexdigest()
    if found != told["sha256"]:
        raise CommandError(
            f"{told['uri']} has digest {found}, the stack said {told['sha256']}",
            hint="it was written again between the answer and the download: ask again",
        )
    return content
