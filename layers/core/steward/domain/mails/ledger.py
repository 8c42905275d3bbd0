"""Mails about the ledger: somebody changed it, it cannot be signed, or something went around it."""

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


def tampered(where: Where, *, item: str, change: str, by: str) -> Letter:
    """Tell on-call that an item which is written once was changed or removed."""
    what = "was changed" if change == "MODIFY" else "was removed"
    return letter(
        where,
        f"ACT: the ledger of {where.project} {what}",
        paragraph(
            f"{item} of the ledger of {where.project} {what}. Nothing of Steward does that: each "
            "item is written once, and the table refuses everybody else."
        ),
        facts("What the table's stream says", [("Item", item), ("Change", change), ("By", by)]),
        bullets(
            "What to do",
            [
                "Find out who took the table's policy away: CloudTrail, DeleteResourcePolicy and "
                "PutResourcePolicy.",
                "Each record lies in the bucket too, under Object Lock: what the table said is "
                "there. Point-in-time recovery has the table as it was.",
            ],
        ),
        commands(
            "To see what is wrong, and to keep what can be shown",
            f"steward audit verify {where.project}",
            f"steward audit export {where.project} --out ledger.json",
        ),
    )


def broken(where: Where, *, kind: str, seq: int, told: str) -> Letter:
    """Tell on-call that a ledger is not signed further."""
    return letter(
        where,
        f"ACT: the ledger of {where.project} is {kind} at record {seq}",
        paragraph(
            f"The ledger of {where.project} is not signed beyond record {seq - 1}: {told}. "
            "Every hour tries again, and tells it again."
        ),
        commands(
            "To see all that is wrong",
            f"steward audit verify {where.project}",
        ),
    )


def unmatched(
    where: Where, *, call: str, resource: str, principal: str, at: str, reason: str, source_ip: str
) -> Letter:
    """Tell on-call of a change that was made around Steward."""
    short = shortened(resource.rsplit(":", 1)[-1])
    return letter(
        where,
        f"ACT: {call} around Steward: {short}",
        paragraph(f"CloudTrail recorded {call}, and no record of Steward explains it: {reason}."),
        facts(
            "What CloudTrail says",
            [
                ("Call", call),
                ("Resource", resource),
                ("By", principal),
                ("At", moment(at)),
                ("From", source_ip),
            ],
        ),
        bullets(
            "What to do",
            [
                "Ask who did it. It is in the ledger now, whatever the reason was.",
                "A change that is meant to stay comes through Steward, or through a deployment of "
                "its stack.",
            ],
        ),
        commands(
            "To see it among what else was done",
            f"steward audit show {where.project}"
            if where.project[0] != "_"
            else "steward audit show --stack-ledger",
        ),
    )
