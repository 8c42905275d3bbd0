"""Mails about what is watched: alarms and their end, retraining asked for and held back."""

from __future__ import annotations

from collections.abc import Sequence

from steward.domain.mails.experiments import duration
from steward.domain.mails.layout import (
    Letter,
    Where,
    bullets,
    commands,
    execution_link,
    facts,
    letter,
    moment,
    number,
    object_link,
    paragraph,
    percent,
    shortened,
)

_FOLLOWS = {
    "notify": "Nothing else happens by itself.",
    "retrain": "A run is asked for, as far as its brakes let it; another mail says so.",
    "roll_back": "All traffic goes back to the version before, if it is still kept.",
}
_KINDS = {
    "drift": "its traffic is like the rows that trained it again",
    "performance": "labels show no loss of performance any more",
    "bias": "groups are treated as on held-out rows again",
    "no_data": "traffic is there again",
    "attribution": "its features weigh what they weighed on held-out rows",
}


def drift_detected(
    where: Where, version: int, *, window: str, since: str, columns: Sequence[str], p: float,
    effect: float, horizon: int, rows: int, odds: str, sentence: str, action: str, uri: str,
    execution_arn: str, kind: str = "drift",
) -> Letter:  # fmt: skip
    """Tell on-call and the owner that traffic, or its answers' reasons, are not what they were."""
    is_asked = kind == "drift"
    what = (
        "is asked is not what it was trained on"
        if is_asked
        else ("leans on is not what it leant on for held-out rows")
    )
    name = "drift" if is_asked else "attribution drift"
    return letter(
        where,
        f"{name} in {where.project} {version}: {', '.join(columns[:3])}",
        paragraph(f"What version {version} of {where.project} {what}. {_FOLLOWS.get(action, '')}"),
        facts(
            "How sure",
            [
                ("Since", moment(since)),
                ("Found", f"at the look at the window of {moment(window)}"),
                ("Finding", shortened(sentence)),
                ("Surest", f"p {p:.2g}, effect {effect:.3f} over {horizon} windows, {rows} rows"),
                ("False alarms", f"at most {odds}"),
            ],
        ),
        bullets("Columns, the surest first" if is_asked else "Weights that moved most", columns),
        _see(where, window),
        _links(where, uri, execution_arn),
    )


def performance_degraded(
    where: Where, version: int, *, window: str, since: str, metric: str, current: float | None,
    baseline: float | None, margin: float, labelled: int, coverage: float | None, odds: str,
    sentence: str, action: str, uri: str, execution_arn: str,
) -> Letter:  # fmt: skip
    """Tell on-call and the owner that a version does worse than it did on held-out rows."""
    share = "" if coverage is None else f", {percent(round(coverage, 3))} of the predictions"
    return letter(
        where,
        f"{where.project} {version} does worse: {metric}",
        paragraph(
            f"Labels show that version {version} of {where.project} does worse than on held-out "
            f"rows, by more than the margin. {_FOLLOWS.get(action, '')}"
        ),
        facts(
            "How sure",
            [
                ("Since", moment(since)),
                ("Metric", metric),
                ("Now", number(current)),
                ("Held out", number(baseline)),
                ("Margin", number(margin)),
                ("Labels", f"{labelled}{share}"),
                ("Finding", shortened(sentence)),
                ("False alarms", f"at most {odds}"),
            ],
        ),
        _see(where, window),
        _links(where, uri, execution_arn),
    )


def bias_drifted(
    where: Where, version: int, *, window: str, since: str, groups: Sequence[str], sentence: str,
    action: str, uri: str, execution_arn: str,
) -> Letter:  # fmt: skip
    """Tell on-call and the owner that a group is treated otherwise than it was."""
    return letter(
        where,
        f"groups of {where.project} {version} drift apart",
        paragraph(
            f"Version {version} of {where.project} treats groups otherwise than on held-out rows, "
            f"by more than the margin. {_FOLLOWS.get(action, '')}"
        ),
        facts("How sure", [("Since", moment(since)), ("Finding", shortened(sentence))]),
        bullets("Groups", groups),
        _see(where, window),
        _links(where, uri, execution_arn),
    )


def data_stale(
    where: Where, version: int | None, *, window: str, since: str, silent_s: int, sentence: str,
    uri: str, execution_arn: str,
) -> Letter:  # fmt: skip
    """Tell on-call that nothing comes from a version that serves."""
    return letter(
        where,
        f"no traffic of {where.project} for {duration(silent_s)}",
        paragraph(
            f"Version {version} of {where.project} serves, and nothing was captured since "
            f"{moment(since)}. Either nobody asks, or answers are not captured: see the gateway's "
            "errors and the delivery stream."
        ),
        facts("What is known", [("Since", moment(since)), ("Finding", shortened(sentence))]),
        _see(where, window),
        _links(where, uri, execution_arn),
    )


def alarm_cleared(
    where: Where, kind: str, version: int | None, *, window: str, since: str, sentence: str,
    uri: str,
) -> Letter:  # fmt: skip
    """Tell on-call and the owner that an alarm is over."""
    return letter(
        where,
        f"{kind} of {where.project} is over",
        paragraph(
            f"Of version {version} of {where.project}: {_KINDS.get(kind, 'the alarm is over')}."
        ),
        facts(
            "The alarm",
            [
                ("Kind", kind),
                ("Had begun", moment(since)),
                ("Over", f"at the look at the window of {moment(window)}"),
                ("Finding", shortened(sentence)),
            ],
        ),
        _see(where, window),
        _links(where, uri, ""),
    )


def retraining_requested(
    where: Where, *, kind: str, cause: str, attempt: str, expected_usd: float
) -> Letter:
    """Tell the owner that a run was asked for by itself."""
    return letter(
        where,
        f"{where.project} is retrained: {kind}",
        paragraph(
            f"A run of {where.project} was asked for. What it leads to goes through the same gate "
            "and approval as any other."
        ),
        facts(
            "Why",
            [
                ("Cause", cause),
                ("Attempt", attempt),
                ("Expected cost", f"{expected_usd:.2f} USD" if expected_usd else ""),
            ],
        ),
        commands(
            "To follow it",
            f"steward monitor retraining {where.project}",
            f"steward runs list {where.project}",
        ),
    )


def retraining_suppressed(
    where: Where, *, kind: str, cause: str, code: str, reason: str, waits: bool,
    not_before: str | None,
) -> Letter:  # fmt: skip
    """Tell the owner which brake holds back a run."""
    is_open = code == "breaker_open"
    told = "is asked again" if waits else "is not asked again"
    return letter(
        where,
        f"{where.project} is not retrained: {code.replace('_', ' ')}",
        paragraph(
            f"An alarm or a schedule asked for a run of {where.project} and did not get it; it "
            f"{told} by itself."
        ),
        facts(
            "Why",
            [
                ("Kind", kind),
                ("Cause", cause),
                ("Brake", reason),
                ("Not before", moment(not_before) if not_before else ""),
            ],
        ),
        commands(
            "To see the brakes" + (", and to release this one" if is_open else ""),
            f"steward monitor retraining {where.project}",
            f"steward monitor retraining {where.project} --reset" if is_open else "",
        ),
    )


def watch_failed(where: Where, *, run: str, error: str, cause: str, execution_arn: str) -> Letter:
    """Tell on-call that something could not be looked at."""
    what = "captured traffic" if where.project == "_all" else where.project
    return letter(
        where,
        f"{what} could not be looked at: {error}",
        paragraph(
            "Nothing is lost: the next watch looks at the same windows again. Until then no alarm "
            "of monitoring is raised or cleared."
        ),
        facts("What happened", [("Watch", run), ("Error", error), ("Cause", shortened(cause))]),
        commands("In the console", execution_link(where, execution_arn)),
    )


def _see(where: Where, window: str) -> str:
    return commands(
        "To see it",
        f"steward monitor show {where.project}",
        f"steward monitor report {where.project} --look {window}",
    )


def _links(where: Where, uri: str, execution_arn: str) -> str:
    return commands("In the console", object_link(where, uri), execution_link(where, execution_arn))
