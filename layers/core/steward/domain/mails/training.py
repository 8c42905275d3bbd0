"""Mails about what came in and what came of it: deliveries, candidates, failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from steward.domain.errors import BudgetExceededError
from steward.domain.mails.layout import (
    Letter,
    Where,
    bullets,
    commands,
    execution_link,
    facts,
    letter,
    paragraph,
    shortened,
    table,
)
from steward.domain.names import PRIMARY
from steward.domain.quotas import quota_advice

_SHOWN_PLACES = 12
REUSED = "Not carried out again, the inputs being the same"


@dataclass(frozen=True)
class BrokenRule:
    """A rule of the data contract that a delivery broke, with some of the places."""

    rule: str
    column: str | None
    count: int
    message: str
    places: Sequence[dict[str, Any]] = field(default_factory=list)


def dataset_rejected(
    where: Where, *, key: str, delivery_id: str, quarantine_uri: str, report_uri: str,
    rules: Sequence[BrokenRule], table_name: str = PRIMARY,
) -> Letter:  # fmt: skip
    """Tell the owner what is wrong with a delivery: rule, column, rows, values."""
    to_table = "" if table_name == PRIMARY else f" --table {table_name}"
    file = key.rpartition("/")[2]
    places = [place for rule in rules for place in _places(rule)]
    more = sum(rule.count for rule in rules) - len(places)
    shown = table("Where", ["row", "column", "value", "rule"], places[:_SHOWN_PLACES])
    hidden = len(places) - min(len(places), _SHOWN_PLACES) + max(0, more)
    if shown and hidden:
        shown += f"\n  and {hidden} more in the report"
    return letter(
        where,
        f"delivery {file} of {where.project} was rejected",
        paragraph(
            f"The delivery {file} breaks {_count(len(rules), 'rule')} of project.yaml. Nothing "
            "was trained on it, and what answers in production stays as it is. The file is kept "
            "in quarantine, with a report beside it."
        ),
        bullets("What is wrong", [_said(rule) for rule in rules]),
        shown,
        facts(
            "The file",
            [
                ("Delivered as", key),
                ("Table", table_name),
                ("Kept as", quarantine_uri),
                ("Delivery", delivery_id),
            ],
        ),
        commands(
            "To read the report, and to deliver it again once it is mended",
            f"steward data report {where.project} {delivery_id[:12]}",
            f"steward report open {report_uri.removesuffix('.json')}.html",
            f"steward data put {file} --project {where.project}{to_table}",
        ),
    )


def _said(rule: BrokenRule) -> str:
    column = f"{rule.column}: " if rule.column and rule.column not in rule.message else ""
    times = f" ({rule.count} times)" if rule.count > 1 else ""
    return f"{column}{rule.message}{times} [{rule.rule}]"


def _places(rule: BrokenRule) -> list[list[str]]:
    rows = []
    for place in rule.places:
        row, value = place.get("row"), place.get("value")
        rows.append(
            [
                "file" if row is None else str(row),
                shortened(str(place.get("column") or rule.column or ""), 24),
                "" if value is None else shortened(repr(value), 24),
                rule.rule,
            ]
        )
    return rows


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def candidate_held(
    where: Where, *, run_id: str, verdict: str, reasons: Sequence[str], reused: Sequence[str] = ()
) -> Letter:
    """Tell the owner why a candidate was not registered; that is a result and no failure."""
    return letter(
        where,
        f"candidate of {where.project} was held by the gate",
        paragraph(
            f"Run {run_id} of {where.project} trained and evaluated a candidate, and the gate "
            f"held it: {verdict}. It was not registered; what answers in production stays as it "
            "is. Not being better than the version in production is no failure."
        ),
        bullets("Reasons", reasons),
        bullets(REUSED, reused),
        commands("To see the run", f"steward runs show {where.project} {run_id}"),
    )


def training_failed(
    where: Where, *, run_id: str, failed_state: str, error: str, cause: str, execution_arn: str,
    reused: Sequence[str] = (),
) -> Letter:  # fmt: skip
    """Tell on-call and owner that a run ended without a result, or was refused by its budget."""
    if error == BudgetExceededError.__name__:
        return letter(
            where,
            f"training run {run_id} of {where.project} was refused by its budget",
            paragraph(
                f"Run {run_id} of {where.project} was not started: {cause}. Nothing is lost: its "
                "deliveries go into the next run, which somebody has to ask for, or a delivery, "
                "once the budget in project.yaml is raised and pushed, or the month is over."
            ),
            commands("To see the estimate", f"steward cost estimate {where.project}"),
            commands("To see the run", f"steward runs show {where.project} {run_id}"),
        )
    return letter(
        where,
        f"training run {run_id} of {where.project} failed: {error}",
        paragraph(
            f"Run {run_id} of {where.project} ended without a result. No version was made; what "
            "answers in production stays as it is. The next delivery starts another run."
        ),
        _failure(failed_state, error, cause),
        bullets(REUSED, reused),
        commands("To see the run", f"steward runs show {where.project} {run_id}"),
        commands("In the console", execution_link(where, execution_arn)),
    )


def integration_failed(
    where: Where, *, commit_id: str, repository: str, branch: str, author: str,
    step: str, error: str, cause: str, execution_arn: str, failed_tests: Sequence[str],
) -> Letter:  # fmt: skip
    """Tell the owner that a commit did not become the project's, and which tests failed."""
    return letter(
        where,
        f"commit {commit_id[:12]} of {where.project} was not integrated: {error}",
        paragraph(
            f"Commit {commit_id[:12]} on {branch} of {repository}, brought by {author}, did not "
            f"pass. Code and configuration of {where.project} stay as they are, no version was "
            "made, and what answers in production goes on."
        ),
        bullets("Tests that failed", failed_tests),
        _failure(step, error, cause),
        commands(
            "To see it, and to try the same commit again",
            f"steward commits show {where.project} {commit_id[:12]}",
            f"steward commits integrate {where.project} {commit_id}",
        ),
        commands("In the console", execution_link(where, execution_arn)),
    )


def staging_failed(
    where: Where, version: int, *, failed_state: str, error: str, cause: str, execution_arn: str
) -> Letter:
    """Tell on-call and owner that a version did not pass staging."""
    return letter(
        where,
        f"staging of {where.project} {version} failed: {error}",
        paragraph(
            f"Version {version} of {where.project} did not come up in staging or failed its "
            "smoke test. Nobody is asked to approve it, and its staging endpoint is removed; "
            "what answers in production stays as it is."
        ),
        _failure(failed_state, error, cause),
        commands("To see it", f"steward versions show {where.project} {version}"),
        commands("In the console", execution_link(where, execution_arn)),
    )


def _failure(failed_state: str, error: str, cause: str) -> str:
    told = [("State", failed_state), ("Error", error), ("Cause", shortened(cause))]
    if advice := quota_advice(error, cause):
        told.append(("What to do", advice))
    return facts("What happened", told)
