"""Mails about endpoints that are not as Steward made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steward.domain.mails.layout import (
    Letter,
    Where,
    bullets,
    commands,
    facts,
    letter,
    moment,
    paragraph,
    shortened,
)

_WILL = {
    "repair": "Steward puts it back as it was made and tells when SageMaker describes it so.",
    "hold": "Nothing is done about it: somebody has to decide.",
    "roll_back": "Its release is rolled back: what it would prove is not about this version.",
}


def route_drifted(
    where: Where, version: int, *, endpoint: str, role: str, what: str, wanted: str, found: str,
    since: str | None, last_in_order_at: str | None, action: str,
) -> Letter:  # fmt: skip
    """Tell on-call what changed around Steward, since when, and what is done or to be done."""
    began = moment(since) if since else None
    if began is None and last_in_order_at:
        began = f"after {moment(last_in_order_at)}, when it was last as wanted"
    hold = action == "hold"
    return letter(
        where,
        f"{'ACT: ' if hold else ''}{where.project} {version} ({role}): {what}",
        paragraph(
            f"Endpoint {endpoint} of {where.project} is not as Steward made it: {what}. "
            f"No step of Steward did this. {_WILL[action]}"
        ),
        facts(
            "What happened",
            [
                ("Endpoint", endpoint),
                ("Serves", f"version {version}, {role}"),
                ("Wanted", wanted),
                ("Found", shortened(found)),
                ("Since", began or "not known"),
            ],
        ),
        bullets(
            "To put it right",
            [
                "Look who changed it: CloudTrail, UpdateEndpoint and DeleteEndpoint.",
                "With `on_drift: repair` below `serving` in project.yaml, pushed with "
                "`steward project add`, Steward puts back what SageMaker takes.",
                "What is meant to stay has to come as a version: whatever else answers was "
                "approved by nobody.",
            ],
        )
        if hold
        else "",
        commands(
            "To see it, and to go back to the version before",
            f"steward serving check {where.project}",
            f"steward release show {where.project}",
            f'steward rollback {where.project} -m "why"',
        ),
    )


def route_repaired(
    where: Where, version: int, *, endpoint: str, what: str, by: str, drifted_at: str,
    repaired_at: str,
) -> Letter:  # fmt: skip
    """Tell on-call that an endpoint is as wanted again."""
    who = "Steward put it back." if by == "steward" else "Somebody else put it right."
    return letter(
        where,
        f"{where.project} {version}: endpoint {endpoint} is as wanted again",
        paragraph(
            f"SageMaker describes endpoint {endpoint} of {where.project} as it was made. {who}"
        ),
        facts(
            "What happened",
            [
                ("It was", what),
                ("Found", moment(drifted_at)),
                ("As wanted", moment(repaired_at)),
            ],
        ),
        commands("To see it", f"steward serving check {where.project}"),
    )


def route_repair_failed(
    where: Where, version: int, *, endpoint: str, what: str, attempt: int, error: str, cause: str
) -> Letter:
    """Tell on-call that no further repair is tried."""
    return letter(
        where,
        f"ACT NOW: {where.project} {version}: its endpoint could not be repaired: {error}",
        paragraph(
            f"Endpoint {endpoint} of {where.project} is not as Steward made it ({what}), and "
            f"{attempt} steps did not put it right. No further one is tried until it was right "
            "once, or differs in another way."
        ),
        facts("What happened", [("Error", error), ("Cause", shortened(cause))]),
        commands(
            "To see it, and to go back to the version before",
            f"steward serving check {where.project}",
            f'steward rollback {where.project} -m "why"',
        ),
    )


@dataclass(frozen=True)
class IdleLine:
    """One endpoint of a digest.

    Attributes:
        dollars_month: What its end saves; None where no price is known.
    """

    endpoint: str
    reason: str
    since: str
    action: str
    dollars_month: float | None


_ACTIONS = {
    "delete": "delete",
    "scale_to_zero": "end provisioned concurrency",
    "none": "look by hand",
}


def endpoints_idle(
    where: Where, lines: Sequence[IdleLine], *, dollars_month: float, performed: bool, prices: str
) -> Letter:
    """Tell the owner, in one mail, which endpoints do nothing and what that costs."""
    count = f"{len(lines)} endpoint{'s' if len(lines) != 1 else ''}"
    done = (
        "The project's policy does it, and each is told once it is done."
        if performed
        else "Nothing is done: the project's policy is to propose."
    )
    return letter(
        where,
        f"{count} of {where.project} may save ${dollars_month:.2f} a month",
        paragraph(f"{count} of {where.project} cost and do nothing. {done}"),
        bullets("Which, since when, and what would save it", [_told(line) for line in lines]),
        facts("Prices", [("Of", prices), ("Counted", "a month of 730 hours, without requests")]),
        commands(
            "To see it, and to have it done",
            f"steward serving idle {where.project}",
            "" if performed else f"steward serving idle {where.project} --reap",
        ),
    )  # fmt: skip


def _told(line: IdleLine) -> str:
    saves = "no price is known"
    if line.dollars_month is not None:
        saves = f"${line.dollars_month:.2f} a month"
    since = moment(line.since)
    return f"{line.endpoint}: {line.reason}, since {since}; {_ACTIONS[line.action]}: {saves}"


_REAPED = {
    "deleted": ("was deleted", "It is gone with its configuration and model."),
    "scaled_to_zero": (
        "costs nothing while nobody asks",
        "Its provisioned concurrency is ended. The next request starts cold; with requests it is "
        "given back within the hour.",
    ),
    "scaled_back": (
        "has its provisioned concurrency again",
        "Requests come again, so that it is kept warm again.",
    ),
}


def endpoint_reaped(
    where: Where, *, endpoint: str, action: str, reason: str, dollars_month: float | None,
    prices: str,
) -> Letter:  # fmt: skip
    """Tell the owner what was done about an endpoint that did nothing."""
    what, follows = _REAPED[action]
    saved = "not known" if dollars_month is None else f"${dollars_month:.2f} a month, {prices}"
    return letter(
        where,
        f"endpoint {endpoint} {what}",
        paragraph(f"Endpoint {endpoint} of {where.project} {what}: {reason}. {follows}"),
        facts("Money", [("Saves", saved)]),
        commands("To see it", f"steward serving idle {where.project}"),
    )
