"""Mails about releases: begun, done, rolled back, failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steward.domain.mails.layout import (
    Letter,
    Where,
    alarm_link,
    bullets,
    commands,
    execution_link,
    facts,
    letter,
    moment,
    paragraph,
    seconds_between,
    shortened,
    table,
)


@dataclass(frozen=True)
class Shift:
    """One change of traffic: percent of entities by version."""

    at: str
    shares: dict[str, float]


@dataclass(frozen=True)
class Guardrail:
    """The alarm that stopped a release: its name and when it goes off, in a sentence."""

    alarm: str
    rule: str


def release_started(
    where: Where, version: int, *, stable: int | None, strategy: str, steps: Sequence[int],
    approvers: Sequence[str], execution_arn: str,
) -> Letter:  # fmt: skip
    """Tell the owner that traffic begins to move."""
    behind = f"version {stable}" if stable is not None else "nothing: it is the first"
    way = " -> ".join(f"{step} %" for step in steps)
    return letter(
        where,
        f"release of {where.project} {version} has started",
        paragraph(
            f"Version {version} of {where.project} goes into production. At each step traffic "
            "waits for the guardrails; an alarm takes it all back."
        ),
        facts(
            "The release",
            [
                ("Strategy", strategy),
                ("Steps", way),
                ("Takes over from", behind),
                ("Approved by", ", ".join(approvers)),
            ],
        ),
        commands(
            "To follow it, and to stop it",
            f"steward release show {where.project}",
            f'steward rollback {where.project} -m "why"',
        ),
        commands("In the console", execution_link(where, execution_arn)),
    )


def release_queued(where: Where, version: int, *, behind: int, superseded: int | None) -> Letter:
    """Tell the owner that a release waits, and which one has lost its place to it."""
    lost = ""
    if superseded is not None:
        lost = (
            f" Version {superseded} waited there and has lost its place: it stays approved and is "
            "not released by itself."
        )
    return letter(
        where,
        f"release of {where.project} {version} waits for that of version {behind}",
        paragraph(
            f"One release of {where.project} moves traffic at a time. Version {version} is "
            f"approved and begins when the release of version {behind} has ended.{lost}"
        ),
        commands(
            "To see both, and to ask for a version again later",
            f"steward release list {where.project}",
            f"steward release start {where.project} {superseded}" if superseded else "",
        ),
    )


def release_completed(
    where: Where, version: int, *, previous: int | None, previous_until: str | None
) -> Letter:
    """Tell the owner that a version answers everyone."""
    kept = "Nothing was in production before it."
    if previous is not None:
        until = f" until {moment(previous_until)}" if previous_until else ""
        kept = f"Version {previous} stays warm{until}, so that a rollback is one write."
    return letter(
        where,
        f"{where.project} {version} is in production",
        paragraph(f"Version {version} of {where.project} answers everyone now. {kept}"),
        commands(
            "To see it, and to go back",
            f"steward versions list {where.project}",
            f'steward rollback {where.project} -m "why"' if previous is not None else "",
        ),
    )


def rolled_back(
    where: Where,
    version: int,
    *,
    stable: int,
    cause: str,
    triggered_at: str,
    restored_at: str,
    shifts: Sequence[Shift],
    guardrail: Guardrail | None,
    execution_arn: str,
) -> Letter:
    """Tell on-call what was taken out of traffic, why, how sure that is, and what to do."""
    took = seconds_between(triggered_at, restored_at)
    sure = (
        f"An alarm on gross failures: {guardrail.rule} It counts the candidate's answers before "
        "any fallback, so callers got the stable version's answer instead. It can go off by "
        "chance."
        if guardrail
        else "No alarm decided this; the reason above is all that is known."
    )
    return letter(
        where,
        f"{where.project} {version} was rolled back, version {stable} answers",
        paragraph(
            f"Version {version} of {where.project} is out of traffic. Version {stable} answers "
            "everyone now. Nothing has to be done for users."
        ),
        facts(
            "What happened",
            [
                ("Reason", shortened(cause)),
                ("Triggered", moment(triggered_at)),
                (
                    "Restored",
                    moment(restored_at)
                    + (f", {took:.1f} s later" if took is not None and took >= 0 else ""),
                ),
                ("Answers now", f"version {stable}, 100 %"),
                ("How sure", sure),
            ],
        ),
        table(
            "Its traffic until then",
            ["since", "share of entities"],
            [[moment(shift.at), _shares(shift.shares)] for shift in shifts],
        ),
        bullets(
            "What to do next",
            [
                f"Find the fault of version {version}: the gateway's log has each failed answer "
                "with its inference id, the endpoint's log has the trace.",
                f"Version {version} is not released again; a mended one is a new version.",
                f"If version {stable} misbehaves as well, the fault is not in the model.",
            ],
        ),
        commands(
            "To see it",
            f"steward release show {where.project}",
            f"steward versions show {where.project} {version}",
        ),
        commands(
            "In the console",
            execution_link(where, execution_arn),
            alarm_link(where, guardrail.alarm) if guardrail else "",
        )
        if execution_arn or guardrail
        else "",
    )


def _shares(shares: dict[str, float]) -> str:
    ordered = sorted(shares.items(), key=lambda pair: -int(pair[0]))
    return ", ".join(f"version {version}: {share:g} %" for version, share in ordered)


def release_failed(
    where: Where, version: int, *, failed_state: str, error: str, cause: str, execution_arn: str
) -> Letter:
    """Tell on-call and owner that a release ended for a technical reason."""
    return letter(
        where,
        f"release of {where.project} {version} failed: {error}",
        paragraph(
            f"The release of version {version} of {where.project} ended before it moved all "
            "traffic, for a technical reason. The version stays approved; `steward release "
            "show` tells who answers now."
        ),
        facts(
            "What happened",
            [("State", failed_state), ("Error", error), ("Cause", shortened(cause))],
        ),
        commands(
            "To see who answers, and to take traffic back if it is not right",
            f"steward release show {where.project}",
            f'steward rollback {where.project} -m "why"',
        ),
        commands("In the console", execution_link(where, execution_arn)),
    )


def rollback_failed(
    where: Where, *, release_id: str | None, error: str, cause: str, execution_arn: str
) -> Letter:
    """Tell on-call that traffic may still go to a bad version: act now."""
    return letter(
        where,
        f"ACT NOW: rollback of {where.project} failed: {error}",
        paragraph(
            f"A rollback of {where.project} could not restore the route. The version that "
            "misbehaves may still be answering. The gateway falls back to the stable version "
            "for each request that fails, but not for wrong answers."
        ),
        facts(
            "What happened",
            [("Release", release_id), ("Error", error), ("Cause", shortened(cause))],
        ),
        commands(
            "Do this now: look, try again, look again",
            f"steward release show {where.project}",
            f'steward rollback {where.project} -m "the first rollback failed"',
            f"steward release show {where.project}",
        ),
        commands("In the console", execution_link(where, execution_arn)),
    )
