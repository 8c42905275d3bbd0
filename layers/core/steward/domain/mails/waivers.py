"""Mails about waivers: granted and taken back."""

from __future__ import annotations

from steward.domain.mails.layout import (
    Letter,
    Where,
    commands,
    facts,
    letter,
    moment,
    paragraph,
    shortened,
)


def granted(
    where: Where,
    *,
    waiver_id: str,
    rule: str,
    reason: str,
    by: str,
    expires_at: str,
    run_id: str | None,
    version: int | None,
) -> Letter:
    """Tell approvers and owner that a rule may be broken for a while."""
    scope = f"run {run_id}" if run_id else "all of the project"
    scope = f"version {version}" if version is not None else scope
    return letter(
        where,
        f"{where.project}: rule {shortened(rule, 30)} is waived until "
        f"{moment(expires_at)[:16]} UTC",
        paragraph(
            f"{by} lets candidates of {where.project} break the rule {rule}. A candidate that "
            "passes by it says so in its evidence, and a person still approves it."
        ),
        facts(
            "The waiver",
            [
                ("Id", waiver_id), ("Rule", rule), ("For", scope), ("Granted by", by),
                ("Why", reason), ("Until", moment(expires_at)),
            ],
        ),
        commands(
            "To see or to end it",
            f"steward governance waivers {where.project}",
            f'steward governance revoke {where.project} {waiver_id} -m "why"',
        ),
    )  # fmt: skip


def revoked(where: Where, *, waiver_id: str, rule: str, reason: str, by: str) -> Letter:
    """Tell approvers and owner that a rule holds again."""
    return letter(
        where,
        f"{where.project}: rule {shortened(rule, 50)} holds again",
        paragraph(
            f"{by} ended waiver {waiver_id}. Candidates that passed by it stay as they were "
            "judged; their approval is a person's."
        ),
        facts("Why", [("Reason", reason), ("Ended by", by)]),
        commands("To see all", f"steward governance waivers {where.project}"),
    )
