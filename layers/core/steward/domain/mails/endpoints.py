"""Mails about endpoints that are not as Steward made them."""

from __future__ import annotations

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
