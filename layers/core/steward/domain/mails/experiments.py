"""Mails about experiments: begun, judged otherwise than before, nothing promoted, unattended."""

from __future__ import annotations

from collections.abc import Sequence

from steward.domain.mails.layout import (
    Letter,
    Where,
    commands,
    execution_link,
    facts,
    letter,
    paragraph,
    shortened,
)

_MEANS = {
    "promote": "The candidate has proved what it must: it goes into production.",
    "continue": "Nothing is decided, and the experiment goes on as planned.",
    "hold": "The shares stay as they are until what is missing is known.",
    "stop_futile": "An improvement that is worth while is ruled out: the experiment ends.",
    "roll_back": "Harm is proved: all traffic goes back to the stable version.",
    "inconclusive": "The end is reached and nothing is proved: the stable version stays.",
}


def duration(seconds: int) -> str:
    """Return a time as people say it: in the largest unit that divides it."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} s"


def experiment_started(
    where: Where, version: int, *, release_id: str, stable: int, strategy: str,
    phases: Sequence[str], tick_s: int, planned_s: int,
) -> Letter:  # fmt: skip
    """Tell the owner that two versions are being compared, and for how long."""
    return letter(
        where,
        f"experiment with {where.project} {version} has started",
        paragraph(
            f"Version {version} of {where.project} is compared with version {stable}, which "
            "serves now. It may be looked at any time; looking changes no error rate. Guardrails "
            "and alarms take the traffic back at once."
        ),
        facts(
            "The experiment",
            [
                ("Strategy", strategy),
                ("Phases", ", then ".join(phases) if len(phases) > 1 else ""),
                ("Looked at", f"every {duration(tick_s)}"),
                ("Planned end", f"after {duration(planned_s)}, earlier once it is decided"),
            ],
        ),
        commands(
            "To follow it, and to stop it",
            f"steward experiment show {where.project}/{release_id}",
            f'steward rollback {where.project} -m "why"',
        ),
    )


def verdict_reached(
    where: Where, version: int, *, release_id: str, number: int, phase: str, verdict: str,
    previous: str | None, reason: str, digest: str,
) -> Letter:  # fmt: skip
    """Tell the owner that an experiment is judged otherwise than before."""
    return letter(
        where,
        f"experiment with {where.project} {version}: {verdict}",
        paragraph(_MEANS.get(verdict, "")),
        facts(
            f"Judgement {number}",
            [
                ("Verdict", verdict + (f", before {previous}" if previous else "")),
                ("Reason", shortened(reason)),
                ("Phase", phase),
                ("Digest", digest),
            ],
        ),
        commands(
            "To see the numbers, and to judge again from the record",
            f"steward experiment show {where.project}/{release_id}",
            f"steward experiment replay {where.project}/{release_id}",
        ),
    )


def release_not_promoted(
    where: Where, version: int, *, release_id: str, stable: int, verdict: str, reason: str
) -> Letter:
    """Tell the owner that an experiment ended with the version that served before."""
    return letter(
        where,
        f"{where.project} {version} was not promoted, version {stable} stays",
        paragraph(
            f"The release of version {version} of {where.project} has ended without promotion. "
            f"Version {stable} answers everyone. That is no failure: it says what the data "
            f"could tell. Version {version} stays approved and may be released again."
        ),
        facts("Why", [("Verdict", verdict), ("Reason", shortened(reason))]),
        commands(
            "To see the numbers, and to release it once more",
            f"steward experiment show {where.project}/{release_id}",
            f"steward release start {where.project} {version}",
        ),
    )


def tick_failed(
    where: Where, version: int, *, release_id: str, in_a_row: int, allowed: int,
    failed_state: str, error: str, cause: str, execution_arn: str,
) -> Letter:  # fmt: skip
    """Tell on-call that an experiment could not be judged."""
    return letter(
        where,
        f"experiment with {where.project} {version} could not be judged: {error}",
        paragraph(
            f"The experiment with version {version} of {where.project} goes on, and the next "
            "look tries again. Alarms still take the traffic back. After "
            f"{allowed} failed looks in a row the release ends, with traffic on the version "
            "before."
        ),
        facts(
            "What happened",
            [
                ("State", failed_state),
                ("Error", error),
                ("Cause", shortened(cause)),
                ("In a row", f"{in_a_row} of {allowed}"),
            ],
        ),
        commands(
            "To see it, and to stop it",
            f"steward experiment show {where.project}/{release_id}",
            f'steward rollback {where.project} -m "why"',
        ),
        commands("In the console", execution_link(where, execution_arn)),
    )


def schedule_repaired(where: Where, version: int, *, release_id: str, schedule: str) -> Letter:
    """Tell on-call that somebody deleted a schedule that is needed."""
    return letter(
        where,
        f"the schedule of {where.project}'s experiment was gone",
        paragraph(
            f"The experiment with version {version} of {where.project} was not looked at, because "
            f"its schedule {schedule} did not exist. It was made anew and the experiment goes "
            "on. To pause one, disable its schedule; to end one, roll the release back."
        ),
        commands(
            "To see it, and to stop it",
            f"steward experiment show {where.project}/{release_id}",
            f'steward rollback {where.project} -m "why"',
        ),
    )
