"""What people decide through the approval URL."""

from __future__ import annotations

import json

import pytest

from steward.contracts.approval import DecideVersion, ShowVersion, parse_request
from steward.domain.errors import (
    ApprovalRefusedError,
    ConflictError,
    EvidenceIncompleteError,
    MalformedEventError,
    NotAuthorizedError,
    VersionNotFoundError,
)
from steward.ports import Table
from steward.service.registry.decisions import show_version
from support.registry_scene import PROJECT, Scene, session, user


def test_an_approval_changes_state_and_tells_who_on_what() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    answer = scene.decide(user("ana"), digest, comment="calibration is fine")
    assert (answer["state"], answer["missing"]) == ("approved", 0)
    (told,) = scene.state.named("VersionApproved")
    assert told.data.model_dump() == {
        "version": 1, "evidence_digest": digest, "approvers": ["000000000000/ana"],
    }  # fmt: skip
    assert told.meta.actor == "000000000000/ana"
    (kept,) = scene.item()["approvals"]
    assert kept["principal_arn"] == user("ana")
    assert kept["comment"] == "calibration is fine"


def test_the_trainers_own_attempt_is_refused_and_leaves_no_trace() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    before = scene.item()
    for caller in (user("tess"), session("Approver", "tess")):
        with pytest.raises(NotAuthorizedError, match="author"):
            scene.decide(caller, digest)
    assert scene.item() == before
    assert scene.state.named("VersionApproved") == []


@pytest.mark.parametrize(
    "caller", [session("Admin", "ana"), "arn:aws:iam::000000000000:root", "arn:aws:sts::1:x"]
)
def test_a_caller_who_proves_no_person_is_refused(caller: str) -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    with pytest.raises(NotAuthorizedError, match="which person") as refused:
        scene.decide(caller, digest)
    assert "Approver" in (refused.value.allowed or "")


def test_a_digest_of_other_evidence_is_refused() -> None:
    scene = Scene()
    scene.pending()
    with pytest.raises(ApprovalRefusedError, match="f" * 64):
        scene.decide(user("ana"), "f" * 64)


def test_a_double_click_is_recorded_once() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    first = scene.decide(user("ana"), digest)
    assert scene.decide(user("ana"), digest) == first
    assert len(scene.item()["approvals"]) == 1
    assert len(scene.state.named("VersionApproved")) == 1


def test_two_approvers_at_once_both_count() -> None:
    scene = Scene()
    digest = scene.pending(risk_tier="high").evidence_digest

    def other() -> None:
        scene.decide(user("bo"), digest)

    scene.state.before_commit = [other]
    answer = scene.decide(user("ana"), digest)
    assert answer["state"] == "approved"
    (told,) = scene.state.named("VersionApproved")
    assert told.data.model_dump()["approvers"] == ["000000000000/bo", "000000000000/ana"]


def test_one_person_with_two_sessions_makes_no_quorum() -> None:
    scene = Scene()
    digest = scene.pending(author="unknown").evidence_digest
    scene.decide(user("ana"), digest)
    answer = scene.decide(session("Approver", "ana"), digest)
    assert (answer["state"], answer["missing"], answer["quorum"]) == ("pending", 1, 2)


def test_an_approval_that_loses_to_a_rejection_is_a_conflict() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest

    def other() -> None:
        scene.decide(user("bo"), digest, "reject")

    scene.state.before_commit = [other]
    with pytest.raises(ConflictError, match="rejected"):
        scene.decide(user("ana"), digest)
    assert scene.item()["state"] == "rejected"


def test_a_rejection_keeps_its_reason() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    scene.decide(user("ana"), digest, "reject", comment="slice looks thin")
    (told,) = scene.state.named("VersionRejected")
    assert told.data.model_dump()["comment"] == "slice looks thin"
    assert told.data.model_dump()["by"] == "000000000000/ana"


def test_evidence_that_was_changed_after_freezing_cannot_be_approved() -> None:
    scene = Scene()
    request = scene.pending()
    scene.objects.write(request.evidence_uri, b"{}")
    with pytest.raises(EvidenceIncompleteError, match="was frozen"):
        scene.decide(user("ana"), request.evidence_digest)


def test_an_expired_request_is_a_conflict() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    scene.clock.advance(86_400)
    with pytest.raises(ConflictError, match="expired"):
        scene.decide(user("ana"), digest)


def test_a_version_is_shown_with_its_digest_and_summary() -> None:
    scene = Scene()
    request = scene.pending(champion=1)
    shown = show_version(ShowVersion(project=PROJECT, version=1), state=scene.state)
    assert shown["evidence_digest"] == request.evidence_digest
    assert shown["summary"]["comparison"]["verdict"] == "pass"
    with pytest.raises(VersionNotFoundError):
        show_version(ShowVersion(project=PROJECT, version=9), state=scene.state)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ({"project": PROJECT, "version": 0}, "version"),
        ({"project": PROJECT, "version": 1, "evidence_digest": "a", "decision": "yes"}, "decision"),
        ({"project": PROJECT, "version": 1, "evidence_digest": "a", "decision": "approve",
          "as": "ana"}, "as"),
    ],
)  # fmt: skip
def test_a_request_of_the_wrong_shape_names_the_field(body: object, field: str) -> None:
    with pytest.raises(MalformedEventError) as refused:
        parse_request(DecideVersion, body)
    assert refused.value.field == field


def test_the_person_who_asked_for_the_run_may_not_approve_it() -> None:
    scene = Scene()
    command = scene.command()
    trigger = {"kind": "request", "actor": "000000000000/Ana"}
    run = {"project": PROJECT, "run_id": command.run_id}
    scene.state.put(Table.RUNS, {**(scene.state.get(Table.RUNS, run) or {}), "trigger": trigger})
    digest = scene.stage(scene.run_task(command).version).evidence_digest
    with pytest.raises(NotAuthorizedError, match="trainer"):
        scene.decide(user("ana"), digest)
    assert scene.decide(user("bo"), digest)["state"] == "approved"


@pytest.mark.parametrize("part", ["artifact", "evaluation", "dataset.manifest", "baseline"])
def test_an_approval_is_void_when_anything_that_the_evidence_names_changed(part: str) -> None:
    scene = Scene()
    request = scene.pending()
    found = json.loads(scene.objects.read(request.evidence_uri))
    for name in part.split("."):
        found = found[name]
    scene.objects.write(found["uri"], b"something else")
    with pytest.raises(EvidenceIncompleteError, match="changed after it was frozen") as refused:
        scene.decide(user("ana"), request.evidence_digest)
    assert refused.value.field == part
    assert scene.item()["approvals"] == []
    assert scene.decide(user("ana"), request.evidence_digest, "reject")["state"] == "rejected"


def test_an_older_request_is_superseded_by_an_approved_newer_one() -> None:
    scene = Scene()
    first = scene.pending("aaaaaaaaaaaa-1").evidence_digest
    second = scene.pending("bbbbbbbbbbbb-1").evidence_digest
    scene.decide(user("ana"), second, version=2)
    with pytest.raises(ConflictError, match="superseded: version 2"):
        scene.decide(user("ana"), first)
    assert scene.decide(user("ana"), first, "reject")["state"] == "rejected"


def test_a_newer_request_that_waits_or_was_rejected_supersedes_nothing() -> None:
    scene = Scene()
    first = scene.pending("aaaaaaaaaaaa-1").evidence_digest
    second = scene.pending("bbbbbbbbbbbb-1").evidence_digest
    scene.decide(user("ana"), second, "reject", version=2)
    assert scene.decide(user("ana"), first)["state"] == "approved"


def test_a_rule_in_doubt_asks_for_a_second_person() -> None:
    scene = Scene()
    command = scene.command()
    gate = command.gate.model_copy(update={"quorum": 2})
    version = scene.run_task(command.model_copy(update={"gate": gate})).version
    digest = scene.stage(version).evidence_digest
    assert scene.decide(user("ana"), digest)["state"] == "pending"
    assert scene.decide(user("bo"), digest)["state"] == "approved"


def test_each_vote_keeps_the_digest_of_what_it_was_judged_on() -> None:
    scene = Scene()
    digest = scene.pending(risk_tier="high").evidence_digest
    scene.decide(user("ana"), digest)
    scene.decide(user("bo"), digest)
    first, second = scene.item()["approvals"]
    assert first["evidence_digest"] == second["evidence_digest"] == digest
    assert len({first["inputs_digest"], second["inputs_digest"]}) == 2
