"""A release on the screen: what answers now, how far it came, why it ended as it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from steward_cli.console import shortened, table
from steward_cli.sheet import Section, at, print_rest, print_sheet, short, took
from steward_cli.state import person, shares_of

_CAUSE = 600


def print_now(console: Console, route: Mapping[str, Any] | None) -> None:
    """Print who answers now."""
    shares = shares_of(dict(route) if route else None)
    console.print("now: " + (_shares(shares) or "nothing"))


def print_release(console: Console, release: Mapping[str, Any]) -> None:
    """Print a release with its shifts of traffic and its verdicts."""
    lasted = took(release.get("started_at"), release.get("ended_at"))
    project, name = release["project"], release["release_id"]
    print_sheet(
        console, f"{project} release {name} of version {release['version']}", release["status"],
        f"took {lasted}" if lasted else "",
        [_plan(release), _ending(release)],
    )  # fmt: skip
    if shifts := release.get("shifts"):
        rows = [(shift["at"], shift["step_id"], _shares(shift["shares"]) or "nothing")
                for shift in shifts]  # fmt: skip
        console.print("")
        console.print(table(("shifted", "step", "shares"), rows))
    if verdicts := release.get("verdicts"):
        judged = [
            (
                one.get("at"),
                one.get("step_id"),
                one.get("verdict"),
                shortened(one.get("reason"), 90),
            )
            for one in verdicts
        ]
        console.print("")
        console.print(table(("judged", "step", "verdict", "because"), judged))
    print_rest(
        console, f"Verdicts and intervals: steward experiment show {project}/{name}",
        f"All releases: steward release list {project}",
    )  # fmt: skip


def _plan(release: Mapping[str, Any]) -> Section:
    steps = (release.get("plan") or {}).get("steps") or []
    told = [
        f"{step['share']:g} % for {step['bake_s']:g} s" for step in steps
        if step.get("share") is not None and step.get("bake_s") is not None
    ]  # fmt: skip
    ramp = ", ".join(told)
    return Section("", [
        ("strategy", f"{release.get('strategy')}: {ramp}" if ramp else release.get("strategy")),
        ("beside", f"version {release['stable_version']}" if release.get("stable_version") else
         "nothing: it is the first"),
        ("router", release.get("router")),
        ("step", release.get("step_id") if release.get("status") == "running" else ""),
        ("started", at(release.get("started_at"))),
        ("approved by", ", ".join(map(person, release.get("approvers") or []))),
        ("evidence", short(release.get("evidence_digest"))),
    ])  # fmt: skip


def _ending(release: Mapping[str, Any]) -> Section:
    restored = release.get("restored_version")
    return Section("Ending", [
        ("at step", release.get("step_id") if release.get("status") != "running" else ""),
        ("because", shortened(release.get("cause"), _CAUSE)),
        ("error", release.get("error")),
        ("taken back", f"to version {restored} {at(release.get('restored_at'))}"
         if restored else ""),
        ("ended", at(release.get("ended_at"))),
    ])  # fmt: skip


def _shares(shares: Mapping[Any, float]) -> str:
    return ", ".join(f"v{version} {share:g} %" for version, share in shares.items())
