"""The pure decision over a frozen record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.domain.approvals import (
    Approval,
    Ballot,
    Decision,
    check_record,
    package_status,
    quorum_of,
    rule_on,
)
from steward.domain.errors import ApprovalRefusedError, ConflictError, NotAuthorizedError
from steward.domain.principals import identity_of, is_person
from steward.domain.versions import VersionState

NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)
DIGEST = "a" * 64


def vote(who: str, decision: Decision = "approve") -> Approval:
    return Approval(identity=who, principal_arn=f"arn:{who}", decision=decision, at="t")


def ballot(**about: Any) -> Ballot:
    fields: dict[str, Any] = {
        "project": "diabetes", "version": 3, "state": VersionState.PENDING, "author": "1/tess",
        "evidence_digest": DIGEST, "expires_at": NOW + timedelta(days=1),
    }  # fmt: skip
    return Ballot(**{**fields, **about})


def test_one_person_other_than_the_author_approves() -> None:
    ruling = rule_on(ballot(), vote("1/ana"), DIGEST, NOW)
    assert (ruling.state, ruling.recorded) == (VersionState.APPROVED, True)


@pytest.mark.parametrize("spelling", ["1/tess", "1/Tess"])
def test_the_author_may_not_approve(spelling: str) -> None:
    with pytest.raises(NotAuthorizedError, match="author"):
        rule_on(ballot(), vote(spelling), DIGEST, NOW)


def test_the_author_may_withdraw() -> None:
    assert rule_on(ballot(), vote("1/tess", "reject"), DIGEST, NOW).state == VersionState.REJECTED


def test_a_refused_digest_is_named_beside_the_frozen_one() -> None:
    with pytest.raises(ApprovalRefusedError) as refused:
        rule_on(ballot(), vote("1/ana"), "b" * 64, NOW)
    assert DIGEST in refused.value.message
    assert "b" * 64 in refused.value.message


def test_the_last_instant_is_too_late() -> None:
    almost = NOW + timedelta(days=1) - timedelta(microseconds=1)
    assert rule_on(ballot(), vote("1/ana"), DIGEST, almost).state == VersionState.APPROVED
    with pytest.raises(ConflictError, match="expired"):
        rule_on(ballot(), vote("1/ana"), DIGEST, NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "state", sorted(set(VersionState) - {VersionState.PENDING, VersionState.APPROVED})
)
@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_only_an_open_version_is_decided_on(state: VersionState, decision: Decision) -> None:
    with pytest.raises(ConflictError, match=f"is {state}"):
        rule_on(ballot(state=state), vote("1/ana", decision), DIGEST, NOW)


def test_evidence_that_is_not_frozen_cannot_be_decided_on() -> None:
    waiting = ballot(state=VersionState.REGISTERED, evidence_digest=None)
    with pytest.raises(ConflictError, match="not frozen"):
        rule_on(waiting, vote("1/ana"), DIGEST, NOW)


def test_an_approved_version_can_still_be_rejected_before_its_release() -> None:
    approved = ballot(state=VersionState.APPROVED, approvals=[vote("1/ana")])
    assert rule_on(approved, vote("1/bo", "reject"), DIGEST, NOW).state == VersionState.REJECTED


def test_a_quorum_of_two_needs_two_people() -> None:
    first = rule_on(ballot(quorum=2), vote("1/ana"), DIGEST, NOW)
    assert first.state == VersionState.PENDING
    second = rule_on(ballot(quorum=2, approvals=first.approvals), vote("1/bo"), DIGEST, NOW)
    assert second.state == VersionState.APPROVED


def test_one_person_under_two_sessions_counts_once() -> None:
    roles = frozenset({"Approver", "RiskOfficer"})
    as_user = "arn:aws:iam::111111111111:user/team/ana"
    sessions = [
        "arn:aws:sts::111111111111:assumed-role/Approver/ana",
        "arn:aws:sts::111111111111:assumed-role/RiskOfficer/ana",
    ]
    names = {identity_of(arn, roles) for arn in [as_user, *sessions]}
    assert names == {"111111111111/ana"}
    name = names.pop()
    first = rule_on(ballot(quorum=2), vote(name), DIGEST, NOW)
    again = rule_on(ballot(quorum=2, approvals=first.approvals), vote(name), DIGEST, NOW)
    assert (again.state, again.recorded) == (VersionState.PENDING, False)


def test_a_session_of_another_role_proves_no_person() -> None:
    roles = frozenset({"Approver"})
    assert is_person("arn:aws:iam::111111111111:user/ana")
    assert is_person("arn:aws:sts::111111111111:assumed-role/Approver/ana", roles)
    assert not is_person("arn:aws:sts::111111111111:assumed-role/Admin/ana", roles)
    assert not is_person("arn:aws:iam::111111111111:root", roles)
    assert not is_person("arn:aws:sts::111111111111:federated-user/ana", roles)


def test_whoever_changes_their_mind_counts_as_they_said_last() -> None:
    said = [vote("1/ana"), vote("1/ana", "reject")]
    assert ballot(quorum=2, approvals=said).approvers == []


def test_an_unknown_author_raises_the_quorum_to_two() -> None:
    assert [quorum_of("1/tess", 1), quorum_of("unknown", 1), quorum_of("", 2)] == [1, 2, 2]
    unknown = ballot(author="unknown", quorum=1)
    assert rule_on(unknown, vote("1/ana"), DIGEST, NOW).state == VersionState.PENDING


@pytest.mark.parametrize(
    ("approvals", "quorum"),
    [([], 1), ([vote("1/tess")], 1), ([vote("1/ana"), vote("1/ANA")], 2), ([vote("1/ana")], 2)],
)
def test_a_record_that_its_approvals_do_not_carry_is_refused(
    approvals: list[Approval], quorum: int
) -> None:
    forged = ballot(state=VersionState.APPROVED, approvals=approvals, quorum=quorum)
    with pytest.raises(ApprovalRefusedError):
        check_record(forged)


def test_a_record_that_holds_gives_the_status() -> None:
    assert check_record(ballot(state=VersionState.RELEASING, approvals=[vote("1/a")])) == "Approved"
    assert check_record(ballot()) == "PendingManualApproval"
    assert package_status(VersionState.REJECTED) == "Rejected"
    assert package_status(VersionState.ARCHIVED) is None
