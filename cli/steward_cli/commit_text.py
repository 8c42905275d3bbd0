"""One commit on the screen: how far it came, what its tests and its rehearsal found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from steward_cli.console import shortened
from steward_cli.sheet import Section, at, print_rest, print_sheet, short, took
from steward_cli.state import person

_CAUSE = 600


def print_commit(console: Console, item: Mapping[str, Any], link: str | None) -> None:
    """Print the integration of a commit.

    Args:
        console: Where to.
        item: Its record.
        link: Its execution in the console of AWS.
    """
    lasted = took(item.get("started_at"), item.get("ended_at"))
    print_sheet(
        console, f"{item['project']} commit {item['commit_id'][:12]}", item["status"],
        f"took {lasted}" if lasted else f"at {item.get('step')}",
        [_origin(item), _found(item), _training(item)],
    )  # fmt: skip
    print_rest(console, *([link] if link else []))


def _origin(item: Mapping[str, Any]) -> Section:
    return Section("", [
        ("started", at(item.get("started_at"))),
        ("by", person(item.get("author"))),
        ("branch", f"{item.get('branch')} of {item['repository']}" if item.get("repository")
         else item.get("branch")),
        ("try", item.get("attempt")),
        ("code", short(item.get("code_digest"))),
        ("configuration", short(item.get("config_digest"))),
    ])  # fmt: skip


def _found(item: Mapping[str, Any]) -> Section:
    return Section("Found", [
        ("tests", _stage(item.get("tests"))),
        ("rehearsal", _stage(item.get("rehearsal"))),
        ("failed in", item.get("step") if item.get("error") else ""),
        ("error", item.get("error")),
        ("cause", shortened(item.get("cause"), _CAUSE)),
    ])  # fmt: skip


def _stage(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    more = [name for name in found.get("failed") or [] if name not in found["summary"]]
    return "\n".join([str(found["summary"]), *map(str, more)])


def _training(item: Mapping[str, Any]) -> Section:
    project, run = item["project"], item.get("training_run_id")
    return Section("Training", [
        ("run", f"{run}: steward runs show {project} {run}" if run else ""),
        ("outcome", item.get("training_outcome")),
        ("because", item.get("training_reason")),
    ])  # fmt: skip
