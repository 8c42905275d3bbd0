"""What the arrival of a commit leads to: once, late, out of order, set back."""

from __future__ import annotations

import pytest

from steward.domain import integrations
from steward.domain.errors import RejectedError
from steward.domain.integrations import (
    Again,
    Arrival,
    Attempt,
    Begin,
    IntegrationStatus,
    Newest,
    Suppress,
    decide,
)

A, B = "a" * 40, "b" * 40
NOON, LATER = "2026-01-05T12:00:00Z", "2026-01-05T12:00:07Z"


def arrival(commit: str = A, *, at: str = NOON, previous: str | None = None) -> Arrival:
    return Arrival(commit, "main", f"event-{commit[:4]}-{at}", at, previous)


def attempt(status: IntegrationStatus, *, in_force: bool = False, number: int = 1) -> Attempt:
    return Attempt(f"commit#{A}#{number}", number, status, "event-of-before", in_force)


def newest(commit: str, *, at: str = NOON, previous: str | None = None) -> Newest:
    return Newest(f"commit#{commit}#1", commit, at, previous)


def test_a_commit_that_nobody_knows_is_integrated() -> None:
    assert decide(arrival(), None, None) == Begin(f"commit#{A}#1", 1)


def test_the_event_of_an_attempt_once_more_only_sees_that_it_runs() -> None:
    known = Attempt(f"commit#{A}#1", 1, IntegrationStatus.FAILED, arrival().event_id)

    assert decide(arrival(), known, newest(A)) == Again(f"commit#{A}#1")


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (attempt(IntegrationStatus.RUNNING), "it is being integrated"),
        (attempt(IntegrationStatus.SUCCEEDED, in_force=True), "it has been integrated"),
    ],
    ids=["running", "in force"],
)
def test_the_same_commit_twice_is_suppressed(known: Attempt, reason: str) -> None:
    decision = decide(arrival(), known, newest(A))

    assert isinstance(decision, Suppress)
    assert decision.reason == reason


@pytest.mark.parametrize(
    "known",
    [
        attempt(IntegrationStatus.FAILED), attempt(IntegrationStatus.SUPERSEDED),
        attempt(IntegrationStatus.SUCCEEDED),
    ],
    ids=["failed", "superseded", "set back"],
)  # fmt: skip
def test_what_failed_or_is_not_in_force_any_more_is_tried_again_when_asked(known: Attempt) -> None:
    assert decide(arrival(at=LATER), known, newest(B)) == Begin(f"commit#{A}#2", 2)


def test_an_event_that_was_overtaken_changes_nothing() -> None:
    decision = decide(arrival(), None, newest(B, at=LATER))

    assert isinstance(decision, Suppress)
    assert decision.status is IntegrationStatus.SUPERSEDED


def test_of_two_commits_in_one_second_the_one_on_top_of_the_other_is_newer() -> None:
    first, second = arrival(A, previous="0" * 40), arrival(B, previous=A)

    in_order = decide(second, None, newest(A, previous="0" * 40))
    overtaken = decide(first, None, newest(B, previous=A))

    assert isinstance(in_order, Begin)
    assert isinstance(overtaken, Suppress)


def test_of_two_commits_in_one_second_that_say_no_more_the_later_heard_wins() -> None:
    assert isinstance(decide(arrival(B), None, newest(A)), Begin)


def test_names_of_jobs_and_executions_keep_within_what_aws_allows() -> None:
    assert integrations.run_name(A, 2) == f"{'a' * 12}-2"
    assert len(integrations.execution_name("a" * 20, "G3Xv.uN_" * 4, 10)) <= 80
    assert integrations.short("G3XvuN0fYq") == integrations.short("G3XvuN0fYq")
    assert len(integrations.short("G3XvuN0fYq")) == 12


@pytest.mark.parametrize("wrong", ["", "a b", "../../etc", "x" * 101, "-rf", "a#b"])
def test_a_commit_id_that_cannot_name_anything_is_refused(wrong: str) -> None:
    with pytest.raises(RejectedError) as refused:
        integrations.check_commit(wrong)
    assert refused.value.field == "commit_id"
