"""Mails of batches: delivered scores, and a batch without a result."""

from __future__ import annotations

from steward.domain.mails.layout import (
    Letter,
    Where,
    commands,
    execution_link,
    facts,
    letter,
    number,
    paragraph,
    shortened,
)
from steward.domain.quotas import quota_advice


def batch_scored(
    where: Where, version: int, *, batch_id: str, rows: int, refused_rows: int, scores_uri: str,
    scores_sha256: str, manifest_uri: str, least: float, most: float, mean: float,
) -> Letter:  # fmt: skip
    """Tell the owner that scores are there, and what they look like."""
    without = f" {refused_rows} rows got none, as they break the rules of requests." * (
        refused_rows > 0
    )
    return letter(
        where,
        f"{rows} rows of {where.project} were scored with version {version}",
        paragraph(
            f"Version {version} of {where.project} scored {rows} rows. Every score was checked "
            f"before anything was delivered.{without}"
        ),
        facts(
            "The scores",
            [
                ("Batch", batch_id), ("Smallest", number(least)), ("Mean", number(mean)),
                ("Largest", number(most)), ("Scores", scores_uri), ("SHA-256", scores_sha256),
                ("Manifest", manifest_uri),
            ],
        ),
        commands("To see it", f"steward batch show {where.project} {batch_id}"),
    )  # fmt: skip


def batch_scoring_failed(
    where: Where, version: int | None, *, batch_id: str, failed_state: str, error: str,
    cause: str, quarantine_uri: str | None, execution_arn: str,
) -> Letter:  # fmt: skip
    """Tell on-call and owner that a batch has no result, and what to look at."""
    with_version = f" with version {version}" if version is not None else ""
    told = [
        ("Batch", batch_id), ("State", failed_state), ("Error", error),
        ("Cause", shortened(cause)), ("Quarantine", quarantine_uri or ""),
    ]  # fmt: skip
    if advice := quota_advice(error, cause):
        told.append(("What to do", advice))
    return letter(
        where,
        f"a batch of {where.project} was not scored: {error}",
        paragraph(
            f"A batch of {where.project} was to be scored{with_version} and has no result. Nothing "
            "was delivered, and scores that were delivered before stay as they are."
        ),
        facts("What happened", told),
        commands(
            "To see it, and to try again once it is mended",
            f"steward batch show {where.project} {batch_id}",
            f"steward batch score {where.project}",
        ),
        commands("In the console", execution_link(where, execution_arn)) if execution_arn else "",
    )
