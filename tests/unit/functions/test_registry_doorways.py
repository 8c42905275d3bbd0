"""The doorways of registry, monitoring and cost: real events in, answers out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward.contracts.events import (
    Payload,
    ReleaseCompleted,
    StagingFailed,
    VersionStateChanged,
)
from steward.domain.errors import MalformedEventError
from steward.domain.policy.platform import PLATFORM
from steward.entrypoint import Handler
from steward.ports import ExecutionRecord, JobRecord, Table
from support.builders import event_of
from support.doorways import FakeApp, delivered, load, request
from support.fakes import FakeModelCards
from support.registry_scene import PROJECT, Scene, user

INCOMING = Path(__file__).parents[3] / "events" / "incoming"


def incoming(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((INCOMING / f"{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.fixture
def app(scene: Scene) -> FakeApp:
    return FakeApp(
        state=scene.state, objects=scene.objects, registry=scene.registry, clock=scene.clock,
        ids=scene.ids, model_cards=FakeModelCards(),
    )  # fmt: skip


class Doorways:
    """Loads a function and calls it with what AWS would send."""

    def __init__(self, app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
        self._app, self._monkeypatch = app, monkeypatch

    def load(self, name: str) -> Handler:
        return load(name, self._app, self._monkeypatch)

    def tell(self, name: str, payload: Payload) -> Any:
        return self.load(name)(delivered(event_of(payload)), None)

    def ask(self, method: str, caller: str, **parts: Any) -> tuple[int, Any]:
        answer = self.load("decide_version")(request(method, caller, **parts), None)
        return answer["statusCode"], json.loads(answer["body"])

    def sign(self, name: str, caller: str, **body: Any) -> tuple[int, Any]:
        """Send a body to a function URL as a verified caller."""
        answer = self.load(name)(request("POST", caller, body=json.dumps(body)), None)
        return answer["statusCode"], json.loads(answer["body"])

    def decide(self, caller: str, **body: Any) -> tuple[int, Any]:
        whole = {"project": PROJECT, "version": 1, "decision": "approve", **body}
        return self.ask("POST", caller, body=json.dumps(whole))


@pytest.fixture
def doorways(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> Doorways:
    return Doorways(app, monkeypatch)


def test_a_task_registers(scene: Scene, doorways: Doorways) -> None:
    payload = scene.command().model_dump(mode="json")
    answer = doorways.load("register_version")(payload, None)
    assert answer["version"] == 1
    assert answer["model_package_arn"].endswith("steward-dev-diabetes/1")
    with pytest.raises(MalformedEventError, match="run_id"):
        doorways.load("register_version")({**payload, "run_id": None}, None)


def test_staging_events_freeze_or_end_a_version(scene: Scene, doorways: Doorways) -> None:
    scene.register()
    scene.register("aaaaaaaaaaaa-1")
    assert doorways.tell("record_staging_evidence", scene.staged()) == "pending"
    failed = StagingFailed(
        version=2, failed_state="s", error="e", cause="c", execution_arn="arn:aws:states:::x"
    )
    assert doorways.tell("record_staging_evidence", failed) == "staging_failed"


def test_the_approval_url_shows_and_decides(scene: Scene, doorways: Doorways) -> None:
    digest = scene.pending().evidence_digest
    query = {"project": PROJECT, "version": "1"}
    status, shown = doorways.ask("GET", user("ana"), query=query)
    assert (status, shown["evidence_digest"], shown["state"]) == (200, digest, "pending")
    status, decided = doorways.decide(user("ana"), evidence_digest=digest)
    assert (status, decided["state"], decided["missing"]) == (200, "approved", 0)


def test_refusals_have_the_status_that_says_why(scene: Scene, doorways: Doorways) -> None:
    digest = scene.pending().evidence_digest
    status, body = doorways.decide(user("tess"), evidence_digest=digest)
    assert (status, body["error"]) == (403, "NotAuthorizedError")
    status, body = doorways.decide(user("ana"), evidence_digest="b" * 64)
    assert status == 400
    assert digest in body["message"]
    assert "b" * 64 in body["message"]
    status, body = doorways.decide(user("ana"), evidence_digest=digest, version=9)
    assert (status, body["field"]) == (404, "version")
    status, body = doorways.decide(user("ana"), evidence_digest=digest, decision="maybe")
    assert (status, body["field"]) == (400, "decision")
    assert doorways.ask("POST", user("ana"), body="{")[0] == 400
    assert doorways.ask("GET", user("ana"), query={"project": PROJECT})[0] == 400
    assert doorways.ask("DELETE", user("ana"))[0] == 405
    doorways.decide(user("ana"), evidence_digest=digest, decision="reject")
    status, body = doorways.decide(user("bo"), evidence_digest=digest)
    assert status == 409
    assert "rejected" in body["detail"]


def test_an_unsigned_request_is_refused(doorways: Doorways) -> None:
    unsigned = {"requestContext": {"http": {"method": "GET"}}}
    assert doorways.load("decide_version")(unsigned, None)["statusCode"] == 403


def test_decisions_reach_sagemaker(scene: Scene, doorways: Doorways) -> None:
    scene.decide(user("ana"), scene.pending().evidence_digest)
    (approved,) = scene.state.named("VersionApproved")
    assert doorways.load("apply_decision")(delivered(approved), None) == "Approved"
    assert doorways.load("apply_decision")(incoming("scheduled_event"), None) == {
        "applied": 0, "refused": 0,
    }  # fmt: skip


def test_a_forged_approval_is_put_aside_and_sets_nothing(
    scene: Scene, app: FakeApp, doorways: Doorways
) -> None:
    scene.decide(user("ana"), scene.pending().evidence_digest)
    scene.state.put(Table.VERSIONS, {**scene.item(), "approvals": []})
    (approved,) = scene.state.named("VersionApproved")
    assert "refused" in doorways.load("apply_decision")(delivered(approved), None)
    assert len(app.failure_queue.refused) == 1
    assert scene.package()["ModelApprovalStatus"] == "PendingManualApproval"


def test_sagemakers_event_is_reconciled(scene: Scene, doorways: Doorways) -> None:
    scene.pending()
    event = incoming("model_package_state_change")
    assert doorways.load("reconcile_approval")(event, None) == "in step"
    scene.package()["ModelApprovalStatus"] = "Approved"
    assert doorways.load("reconcile_approval")(event, None) == "set back"


def test_a_release_moves_the_champion(scene: Scene, doorways: Doorways) -> None:
    scene.decide(user("ana"), scene.pending().evidence_digest)
    completed = ReleaseCompleted(release_id="00000001-1", version=1)
    assert doorways.tell("promote_version", completed) == {
        "states": {1: "production"}, "champion": 1,
    }  # fmt: skip


def test_the_schedule_expires(scene: Scene, doorways: Doorways) -> None:
    scene.pending()
    scene.clock.advance(86_400)
    expired = doorways.load("expire_approvals")(incoming("scheduled_event"), None)
    assert expired == {"expired": 1, "set_back": 0, "archived": 0}


def test_a_verified_caller_changes_labels_and_the_package_shows_them(
    scene: Scene, doorways: Doorways
) -> None:
    scene.register()
    body = {"action": "label", "project": PROJECT, "version": 1, "tags": {"cohort": "2026-01"}}
    asked = request("POST", user("ana"), body=json.dumps(body))
    answer = doorways.load("change_version")(asked, None)
    assert (answer["statusCode"], json.loads(answer["body"])["tags"]) == (200, body["tags"])
    [told] = scene.state.named("VersionDescribed")
    assert told.meta.actor == "000000000000/ana"
    [mirrored] = doorways.load("mirror_version")(delivered(told), None)
    assert mirrored["changed"] is True
    refused = request("GET", user("ana"))
    assert doorways.load("change_version")(refused, None)["statusCode"] == 405


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("training_job_state_change", "job#dev-diabetes-3f9a1c0b7d2e-1-train"),
        ("processing_job_state_change", "job#dev-diabetes-3f9a1c0b7d2e-1-eval"),
        ("execution_status_change", "execution#steward-dev-train-candidate#3f9a1c0b7d2e-1"),
    ],
)
def test_costs_are_recorded(app: FakeApp, doorways: Doorways, name: str, entry: str) -> None:
    used = JobRecord("ml.m5.large", 1, 130)
    app.job_records.training["dev-diabetes-3f9a1c0b7d2e-1-train"] = used
    app.job_records.processing["dev-diabetes-3f9a1c0b7d2e-1-eval"] = used
    arn = incoming("execution_status_change")["detail"]["executionArn"]
    app.job_records.executions[arn] = ExecutionRecord(12)
    assert doorways.load("record_cost")(incoming(name), None) == entry


@pytest.mark.parametrize(
    "name",
    [
        "record_staging_evidence", "apply_decision", "reconcile_approval", "promote_version",
        "expire_approvals", "record_cost",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        {"id": "1", "source": "aws.s3", "detail-type": "Object Created", "time": "t",
         "detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}},
        {"id": "1", "source": "steward.registry", "detail-type": "VersionApproved", "time": "t",
         "detail": {"meta": {}, "data": {}}},
    ],
)  # fmt: skip
def test_a_malformed_event_is_put_aside_with_its_reason(
    app: FakeApp, doorways: Doorways, name: str, event: Any
) -> None:
    assert "refused" in doorways.load(name)(event, None)
    (kept,) = app.failure_queue.refused
    assert kept.payload == event
    assert kept.reason["error"] == "MalformedEventError"


def test_a_card_is_published_for_an_event_and_by_the_hour(scene: Scene, doorways: Doorways) -> None:
    asked = scene.pending()
    assert doorways.tell("publish_card", asked) == "PendingReview"
    told = VersionStateChanged(version=1, previous="registered", state="pending")
    assert doorways.tell("publish_card", told) == "PendingReview"
    tick = incoming("schedule_tick")
    assert doorways.load("publish_card")(tick, None) == {"published": 0, "failed": 0}


def test_a_request_is_reminded_of_until_it_is_decided(
    scene: Scene, app: FakeApp, doorways: Doorways
) -> None:
    asked = scene.pending()
    assert doorways.tell("schedule_reminders", asked) == {"scheduled": 1, "reminded": 0}
    (kept,) = app.reminders.by_name.values()
    tick = incoming("scheduled_event")
    assert doorways.load("schedule_reminders")(tick, None) == {"scheduled": 0, "reminded": 0}
    scene.clock.advance(43_200)
    assert doorways.load("remind_approvers")(kept.payload, None) == "reminded"
    left = VersionStateChanged(version=1, previous="pending", state="archived")
    assert doorways.tell("schedule_reminders", left) == {"deleted": 0}
    scene.decide(user("ana"), asked.evidence_digest)
    assert doorways.tell("schedule_reminders", left) == {"deleted": 1}
    assert app.reminders.by_name == {}


def test_a_card_is_printed_by_who_was_asked_and_looked_at_by_get(
    scene: Scene, app: FakeApp, doorways: Doorways
) -> None:
    waiting = scene.pending()
    code, told = doorways.sign("print_card", user("ana"), project=PROJECT, version=1)
    assert (code, told["status"], len(app.card_printer.started)) == (200, "InProgress", 1)
    app.card_printer.finish()
    query = {"project": PROJECT, "version": "1"}
    answer = doorways.load("print_card")(request("GET", user("ana"), query=query), None)
    assert json.loads(answer["body"])["status"] == "Completed"
    doorways.tell("publish_card", waiting)
    asked = {"project": PROJECT, "version": 1, "by": "sagemaker"}
    assert doorways.sign("print_card", user("ana"), **asked)[0] == 200
    assert len(app.card_exporter.started) == 1
    code, told = doorways.sign("print_card", user("ana"), **{**asked, "by": "me"})
    assert (code, told["field"]) == (400, "by")
    answer = doorways.load("print_card")(request("DELETE", user("ana")), None)
    assert answer["statusCode"] == 405


def test_a_review_is_recorded_for_a_person_and_refused_to_others(
    scene: Scene, doorways: Doorways
) -> None:
    scene.register()
    handler = doorways.load("record_review")
    body = json.dumps({"project": PROJECT, "note": "looked through"})
    answer = handler(request("POST", user("ana"), body=body), None)
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["by"] == "000000000000/ana"
    role = "arn:aws:sts::000000000000:assumed-role/Deployer/ana"
    assert handler(request("POST", role, body=body), None)["statusCode"] == 403
    assert handler(request("GET", user("ana")), None)["statusCode"] == 405
    wrong = handler(request("POST", user("ana"), body=json.dumps({"project": PROJECT})), None)
    assert wrong["statusCode"] == 400
    assert json.loads(wrong["body"])["field"] == "note"


def test_due_reviews_are_announced_by_the_day(scene: Scene, doorways: Doorways) -> None:
    scene.register()
    scene.clock.advance(200 * 86_400)
    tick = incoming("schedule_tick")
    assert doorways.load("announce_reviews")(tick, None) == {"announced": 1, "failed": 0}


def test_the_waiver_url_grants_lists_and_revokes(scene: Scene, doorways: Doorways) -> None:
    scene.command()
    asked = {"project": PROJECT, "rule": "slice.sex", "reason": "no such patients here",
             "lifetime_s": 3600}  # fmt: skip
    status, granted = doorways.sign("waive_rule", user("ana"), **asked)
    assert (status, granted["status"], granted["granted_by"]) == (200, "active", "000000000000/ana")
    status, refused = doorways.sign("waive_rule", user("ana"), **asked, granted_by="bo")
    assert (status, refused["field"]) == (400, "granted_by")
    listing = request("GET", user("ana"), query={"project": PROJECT})
    answer = doorways.load("waive_rule")(listing, None)
    assert [one["rule"] for one in json.loads(answer["body"])] == ["slice.sex"]
    end = {"action": "revoke", "project": PROJECT, "reason": "patients came after all"}
    ended = {**end, "waiver_id": granted["waiver_id"]}
    assert doorways.sign("waive_rule", user("bo"), **ended)[1]["status"] == "revoked"
    assert doorways.sign("waive_rule", user("bo"), **ended)[0] == 409
    assert doorways.sign("waive_rule", user("bo"), **end, waiver_id="0" * 12)[0] == 404
    assert doorways.sign("waive_rule", "arn:aws:iam::000000000000:root", **asked)[0] == 403
    unknown = request("PUT", user("ana"))
    assert doorways.load("waive_rule")(unknown, None)["statusCode"] == 405


def test_the_policy_url_takes_a_policy_and_names_what_is_wrong(doorways: Doorways) -> None:
    document = {**PLATFORM, "policy": "clinic"}
    status, deployed = doorways.sign("deploy_policy", user("olga"), document=document)
    assert (status, deployed["name"], deployed["changed"]) == (200, "clinic", True)
    wrong = {**document, "overrides": "loosen"}
    status, refused = doorways.sign("deploy_policy", user("olga"), document=wrong)
    assert (status, refused["error"], refused["field"]) == (400, "InvalidPolicyError", "overrides")
    listing = request("GET", user("olga"))
    assert doorways.load("deploy_policy")(listing, None)["statusCode"] == 405
