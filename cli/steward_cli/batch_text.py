"""One batch on the screen: how it went, what was scored, and where the scores are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from steward_cli.console import shortened
from steward_cli.sheet import (
    Section,
    at,
    dollars,
    figure,
    listed,
    print_rest,
    print_sheet,
    short,
    took,
)
from steward_cli.state import person

_CAUSE = 600
"""Characters of a failure's cause: services repeat the whole request."""


def print_batch(console: Console, item: Mapping[str, Any], link: str | None) -> None:
    """Print a batch.

    Args:
        console: Where to.
        item: Its record, with ``dollars``.
        link: Its execution in the console of AWS.
    """
    lasted = took(item.get("started_at"), item.get("ended_at"))
    print_sheet(
        console, f"{item['project']} batch {item['batch_id']}", item["status"],
        f"took {lasted}" if lasted else "",
        [_asked(item), _outcome(item), _scores(item), _input(item)],
    )  # fmt: skip
    rest = [link] if link else []
    if item.get("quarantine_uri"):
        rest.insert(0, f"The refused result: {item['quarantine_uri']}")
    print_rest(console, *rest)


def _asked(item: Mapping[str, Any]) -> Section:
    trigger = item.get("trigger") or {}
    return Section("", [
        ("started", at(item.get("started_at"))),
        ("asked by", f"{trigger.get('kind')} of {person(trigger.get('actor'))}"),
        ("because", trigger.get("cause")),
        ("version", item.get("version")),
        ("rows", f"{item['rows']} scored, {item.get('refused_rows', 0)} refused"
         if "rows" in item else ""),
        ("cost", dollars(item.get("dollars"))),
    ])  # fmt: skip


def _outcome(item: Mapping[str, Any]) -> Section:
    return Section("Failure", [
        ("failed in", item.get("failed_state")),
        ("error", item.get("error")),
        ("cause", shortened(item.get("cause"), _CAUSE)),
    ])  # fmt: skip


def _scores(item: Mapping[str, Any]) -> Section:
    told = item.get("delivered") or {}
    if not told:
        return Section("", [])
    spread = f"{figure(told['least'])} to {figure(told['most'])}, mean {figure(told['mean'])}"
    days = told.get("expires_after_days")
    return Section("Scores", [
        ("file", told.get("scores_uri")),
        ("values", spread),
        ("refused rows", told.get("refused_uri")),
        ("drift", figure(told.get("drift"))),
        ("delivered", at(told.get("delivered_at"))),
        ("kept", f"{days} days" if days else ""),
        ("digest", short(told.get("scores_sha256"))),
    ])  # fmt: skip


def _input(item: Mapping[str, Any]) -> Section:
    files = item.get("input") or []
    names = [str(one["key"]).rpartition("/")[2] for one in files]
    size = sum(int(one.get("size") or 0) for one in files)
    return Section("Input", [
        ("files", listed(names)),
        ("from", f"s3://{files[0]['bucket']}/{str(files[0]['key']).rpartition('/')[0]}"
         if files else ""),
        ("bytes", f"{size:,}" if size else ""),
        ("digest", listed([short(one["sha256"]) for one in files], 4)),
    ])  # fmt: skip
