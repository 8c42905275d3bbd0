"""SageMaker's status follows the record."""

from __future__ import annotations

import pytest

from steward.domain.errors import ApprovalRefusedError, DependencyError, EvidenceIncompleteError
from steward.ports import Table
from steward.service.registry.package_status import apply_decision, reconcile_package
from steward.service.registry.sweep import Swept, apply_missing_decisions, sweep_approvals
from support.registry_scene import PROJECT, Scene, user

GROUP = "steward-dev-diabetes"


def apply(scene: Scene, version: int = 1) -> str:
    return apply_decision(
        PROJECT, version, state=scene.state, registry=scene.registry, objects=scene.objects
    )


def reconcile(scene: Scene, version: int = 1, cause: str = "e1", group: str = GROUP) -> str:
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:model-package/{group}/{version}"
    return reconcile_package(
        arn, group, version, causation_id=cause, environment="dev", state=scene.state,
        registry=scene.registry, clock=scene.clock, ids=scene.ids,
    )  # fmt: skip


def sweep(scene: Scene) -> Swept:
    return sweep_approvals(
        causation_id="s1", environment="dev", state=scene.state, registry=scene.registry,
        clock=scene.clock, ids=scene.ids,
    )  # fmt: skip


def catch_up(scene: Scene) -> dict[str, int]:
    return apply_missing_decisions(
        environment="dev", state=scene.state, registry=scene.registry, objects=scene.objects
    ).as_dict()


def approved() -> Scene:
    scene = Scene()
    scene.decide(user("ana"), scene.pending().evidence_digest)
    return scene


def test_an_approval_is_applied_with_who_and_on_what() -> None:
    scene = approved()
    assert apply(scene) == "Approved"
    assert scene.package()["ModelApprovalStatus"] == "Approved"
    assert scene.package()["ApprovalDescription"].startswith("approved by 000000000000/ana; evid")


def test_a_rejection_is_applied() -> None:
    scene = Scene()
    scene.decide(user("ana"), scene.pending().evidence_digest, "reject")
    assert apply(scene) == "Rejected"
    assert "rejected by 000000000000/ana" in scene.package()["ApprovalDescription"]


def test_an_event_without_a_record_sets_nothing() -> None:
    scene = Scene()
    scene.pending()
    assert apply(scene) == "PendingManualApproval"
    scene.state.put(Table.VERSIONS, {**scene.item(), "state": "approved"})
    with pytest.raises(ApprovalRefusedError):
        apply(scene)
    assert scene.package()["ModelApprovalStatus"] == "PendingManualApproval"


def test_evidence_that_changed_after_the_approval_sets_nothing() -> None:
    scene = approved()
    scene.objects.write(scene.item()["evidence_uri"], b"{}")
    with pytest.raises(EvidenceIncompleteError):
        apply(scene)
    assert scene.package()["ModelApprovalStatus"] == "PendingManualApproval"


def test_events_out_of_order_end_in_what_was_decided_last() -> None:
    scene = approved()
    digest = scene.item()["evidence_digest"]
    scene.decide(user("bo"), digest, "reject")
    assert [apply(scene), apply(scene)] == ["Rejected", "Rejected"]


def test_our_own_approval_passes() -> None:
    scene = approved()
    apply(scene)
    assert reconcile(scene) == "in step"
    assert scene.state.named("ApprovalBypassed") == []


def test_an_approval_around_us_is_set_back_and_reported_once() -> None:
    scene = Scene()
    scene.pending()
    scene.package().update(
        ModelApprovalStatus="Approved",
        LastModifiedTime="2026-01-05T09:01:00Z",
        LastModifiedBy={"IamIdentity": {"Arn": user("mallory")}},
    )
    assert reconcile(scene, cause="e1") == "set back"
    assert scene.package()["ModelApprovalStatus"] == "PendingManualApproval"
    assert reconcile(scene, cause="e2") == "in step"
    (told,) = scene.state.named("ApprovalBypassed")
    assert told.meta.actor == "000000000000/mallory"
    assert told.data.model_dump()["restored_status"] == "PendingManualApproval"
    assert scene.item()["state"] == "pending"


def test_a_report_without_the_setting_back_is_mended_by_the_next_try() -> None:
    scene = Scene()
    scene.pending()
    package = scene.package()
    package.update(ModelApprovalStatus="Approved", LastModifiedTime="t1")
    real = scene.registry.set_status

    def throttled(arn: str, status: str, description: str) -> None:
        raise DependencyError("throttled")

    scene.registry.set_status = throttled  # type: ignore[method-assign]
    with pytest.raises(DependencyError):
        reconcile(scene)
    scene.registry.set_status = real  # type: ignore[method-assign]
    assert reconcile(scene) == "set back"
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert len(scene.state.named("ApprovalBypassed")) == 1


def test_a_package_made_and_approved_by_hand_is_set_back_too() -> None:
    scene = Scene()
    scene.command()
    scene.registry.create_version(
        {"ModelPackageGroupName": GROUP, "ModelApprovalStatus": "Approved"}
    )
    assert reconcile(scene) == "set back"
    assert len(scene.state.named("ApprovalBypassed")) == 1


def test_another_stacks_group_is_left_alone() -> None:
    scene = Scene()
    assert reconcile(scene, group="steward-prod-diabetes") == "foreign"
    assert reconcile(scene, group="other") == "foreign"


def test_a_withdrawn_approval_is_no_bypass() -> None:
    scene = approved()
    apply(scene)
    scene.decide(user("bo"), scene.item()["evidence_digest"], "reject")
    assert reconcile(scene) == "withdrawn"
    assert scene.package()["ModelApprovalStatus"] == "Rejected"
    assert scene.state.named("ApprovalBypassed") == []


def test_the_sweep_expires_what_nobody_decided() -> None:
    scene = Scene()
    scene.pending()
    assert sweep(scene).expired == 0
    scene.clock.advance(86_400)
    assert sweep(scene).expired == 1
    assert sweep(scene).expired == 0
    assert scene.item()["state"] == "expired"
    (told,) = scene.state.named("ApprovalExpired")
    assert told.data.model_dump()["expired_at"] == "2026-01-06T09:00:00+00:00"


def test_a_decision_that_beats_the_sweep_stands() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    in_time = scene.clock.time
    scene.clock.advance(86_400)

    def just_in_time() -> None:
        scene.clock.time = in_time
        scene.decide(user("ana"), digest)

    scene.state.before_commit = [just_in_time]
    assert sweep(scene).expired == 0
    assert scene.item()["state"] == "approved"


def test_a_decision_whose_event_was_lost_is_applied() -> None:
    scene = approved()
    assert catch_up(scene) == {"applied": 1, "refused": 0}
    assert scene.package()["ModelApprovalStatus"] == "Approved"
    assert catch_up(scene)["applied"] == 0


def test_a_rejection_whose_event_was_lost_is_applied() -> None:
    scene = Scene()
    scene.decide(user("ana"), scene.pending().evidence_digest, "reject")
    assert [catch_up(scene)["applied"], catch_up(scene)["applied"]] == [1, 0]
    assert scene.package()["ModelApprovalStatus"] == "Rejected"


def test_the_sweep_finds_an_approval_whose_event_was_lost() -> None:
    scene = Scene()
    scene.pending()
    scene.package().update(ModelApprovalStatus="Approved", LastModifiedTime="t1")
    assert sweep(scene).set_back == 1
    assert scene.package()["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_record_that_does_not_hold_stops_no_other() -> None:
    scene = Scene()
    scene.decide(user("ana"), scene.pending().evidence_digest)
    digest = scene.pending("aaaaaaaaaaaa-1").evidence_digest
    scene.decide(user("ana"), digest, version=2)
    scene.state.put(Table.VERSIONS, {**scene.item(1), "approvals": []})
    assert catch_up(scene) == {"applied": 1, "refused": 1}


def test_a_request_that_a_newer_approval_made_void_expires_at_the_sweep() -> None:
    scene = Scene()
    scene.pending("aaaaaaaaaaaa-1")
    second = scene.pending("bbbbbbbbbbbb-1").evidence_digest
    scene.decide(user("ana"), second, version=2)
    assert sweep(scene).expired == 1
    assert scene.item(1)["state"] == "expired"
    (told,) = scene.state.named("ApprovalExpired")
    assert told.data.model_dump()["superseded_by"] == 2
