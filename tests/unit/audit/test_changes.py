"""CloudTrail's calls against the ledger: what Steward did is explained, all else is told."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from steward.contracts.events import ChangeUnmatched
from steward.domain.audit.changes import CALLS, Place, call_of
from steward.domain.audit.ledger import Fact, next_records
from steward.domain.errors import MalformedEventError
from steward.service.audit.matching import Matcher, match_messages, reconcile
from support.fake_ledger import FakeApiCalls, FakeLedger
from support.fake_state import FakeState
from support.fakes import FakeClock, FakeIds

ACCOUNT = "123456789012"
PLACE = Place("steward-dev", "dev", frozenset({"ledger-table", "ledger-bucket"}))
APPROVER = "steward-dev-Registry-1ABC-ApplyDecisionFunctionRole-9XYZ"
AT = "2026-01-05T09:00:00Z"


def session(role: str) -> dict[str, Any]:
    return {
        "type": "AssumedRole",
        "principalId": "AROA55SVHNHFJXEP65NAE:apply",
        "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/apply",
        "accountId": ACCOUNT,
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role", "principalId": "AROA55SVHNHFJXEP65NAE", "accountId": ACCOUNT,
                "arn": f"arn:aws:iam::{ACCOUNT}:role/{role}", "userName": role,
            },
            "attributes": {"creationDate": "2026-01-05T08:59:00Z", "mfaAuthenticated": "false"},
        },
    }  # fmt: skip


USER = {
    "type": "IAMUser", "principalId": "AIDACKCEVSQ6C2EXAMPLE", "accountId": ACCOUNT,
    "arn": f"arn:aws:iam::{ACCOUNT}:user/mallory", "userName": "mallory",
}  # fmt: skip


def call(name: str, who: dict[str, Any], parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A record as CloudTrail writes it."""
    return {
        "eventVersion": "1.11", "userIdentity": who, "eventTime": AT,
        "eventSource": "sagemaker.amazonaws.com", "eventName": name, "awsRegion": "us-east-1",
        "sourceIPAddress": "203.0.113.7", "userAgent": "Boto3/1.40", "responseElements": None,
        "requestParameters": parameters, "requestID": "ac2791d9-aa6d-4352-9756-26b47faa5bd9",
        "eventID": "78478c6d-6742-4c0c-a3c7-d7a14d19402e", "readOnly": False,
        "eventType": "AwsApiCall", "managementEvent": True, "recipientAccountId": ACCOUNT,
        "eventCategory": "Management", **more,
    }  # fmt: skip


def approving(who: dict[str, Any], version: int = 2, **more: Any) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model-package/steward-dev-ward/{version}"
    parameters = {"modelPackageArn": arn, "modelApprovalStatus": "Approved"}
    return call("UpdateModelPackage", who, parameters, **more)


class Scene:
    def __init__(self) -> None:
        self.ledger, self.state = FakeLedger(), FakeState()
        self.matcher = Matcher(self.ledger, self.state, FakeClock(), FakeIds(), PLACE)

    def recorded(self, what: str, at: str, **data: Any) -> None:
        kept = self.ledger.last("ward")
        last = json.loads(kept.text) if kept else None
        one = Fact(event_id=f"{what}{at}", project="ward", at=at, who="steward", what=what,
                   details={"data": data})  # fmt: skip
        self.ledger.append("ward", next_records([one], last, recorded_at=at))

    def told(self) -> list[ChangeUnmatched]:
        return [event.data for event in self.state.events
                if isinstance(event.data, ChangeUnmatched)]  # fmt: skip


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("at", ["2026-01-05T08:50:00.000Z", "2026-01-05T09:10:00.000Z"])
def test_an_approval_by_steward_near_its_record_is_explained(scene: Scene, at: str) -> None:
    scene.recorded("VersionApproved", at, version=2)
    assert scene.matcher.match(approving(session(APPROVER))) == "explained"
    assert scene.told() == []


def test_an_approval_by_somebody_else_is_told_whatever_is_recorded(scene: Scene) -> None:
    scene.recorded("VersionApproved", "2026-01-05T09:00:00.000Z", version=2)
    assert scene.matcher.match(approving(USER)) == "unmatched"
    [told] = scene.told()
    assert (told.call, told.principal) == ("UpdateModelPackage", USER["arn"])
    assert (told.source_ip, told.at) == ("203.0.113.7", "2026-01-05T09:00:00+00:00")


def test_a_role_of_steward_without_a_record_is_told(scene: Scene) -> None:
    assert scene.matcher.match(approving(session(APPROVER))) == "unmatched"


@pytest.mark.parametrize(("at", "version"), [
    ("2026-01-05T08:00:00.000Z", 2), ("2026-01-05T10:00:00.000Z", 2), (f"{AT[:-1]}.000Z", 3),
])  # fmt: skip
def test_a_record_of_another_time_or_version_explains_nothing(
    scene: Scene, at: str, version: int
) -> None:
    scene.recorded("VersionApproved", at, version=version)
    assert scene.matcher.match(approving(session(APPROVER))) == "unmatched"


def test_a_record_that_makes_no_such_call_explains_nothing(scene: Scene) -> None:
    scene.recorded("TrafficShifted", "2026-01-05T09:00:00.000Z", version=2)
    assert scene.matcher.match(approving(session(APPROVER))) == "unmatched"


def test_a_role_that_only_looks_like_stewards_is_somebody_else(scene: Scene) -> None:
    scene.recorded("VersionApproved", "2026-01-05T09:00:00.000Z", version=2)
    assert scene.matcher.match(approving(session("my-steward-dev-role"))) == "unmatched"


def test_an_endpoint_deleted_at_the_end_of_its_retention_is_explained(scene: Scene) -> None:
    scene.recorded("ReleaseCompleted", "2026-01-01T09:00:00.000Z", version=2)
    deleting = call("DeleteEndpoint", session(APPROVER), {"endpointName": "dev-ward-v2-prod"})
    assert scene.matcher.match(deleting) == "explained"
    assert scene.matcher.match({**deleting, "userIdentity": USER}) == "unmatched"


def test_what_goes_with_a_project_that_a_person_had_removed_is_explained(scene: Scene) -> None:
    scene.recorded("ProjectRemoved", "2026-01-05T09:00:00.000Z")
    for name in ("DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"):
        key = {"DeleteEndpoint": "endpointName", "DeleteModel": "modelName"}
        about = {key.get(name, "endpointConfigName"): "dev-ward-v2-prod-1"}
        assert scene.matcher.match(call(name, session(APPROVER), about)) == "explained"


def test_what_was_denied_changed_nothing(scene: Scene) -> None:
    assert scene.matcher.match(approving(USER, errorCode="AccessDenied")) == "denied"
    assert scene.told() == []


@pytest.mark.parametrize("detail", [
    call("UpdateEndpoint", USER, {"endpointName": "somebody-elses"}),
    call("DeleteEndpoint", USER, {"endpointName": "prod-ward-v2-prod"}),  # another environment's
    call("UpdateModelPackage", USER, {"modelPackageArn": f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
                                      ":model-package/other/1"}),
    call("PutRolePolicy", USER, {"roleName": "unrelated"}),
    call("DeleteTable", USER, {"tableName": "unrelated"}),
])  # fmt: skip
def test_what_is_not_stewards_is_left_alone(scene: Scene, detail: dict[str, Any]) -> None:
    assert scene.matcher.match(detail) == "foreign"
    assert scene.told() == []


@pytest.mark.parametrize(("name", "parameters"), [
    ("AttachRolePolicy", {"roleName": APPROVER, "policyArn": "arn:aws:iam::aws:policy/Admin"}),
    ("PutRolePolicy", {"roleName": APPROVER}),
    ("DeleteResourcePolicy",
     {"resourceArn": f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/ledger-table"}),
    ("DeleteTable", {"tableName": "ledger-table"}),
    ("PutBucketPolicy", {"bucketName": "ledger-bucket"}),
])  # fmt: skip
def test_roles_and_the_ledger_are_changed_by_deployments_alone(
    scene: Scene, name: str, parameters: dict[str, Any]
) -> None:
    assert scene.matcher.match(call(name, session(APPROVER), parameters)) == "unmatched"
    deployed = {**session("cfn"), "invokedBy": "cloudformation.amazonaws.com"}
    assert scene.matcher.match(call(name, deployed, parameters)) == "explained"
    assert [event.meta.project for event in scene.state.events] == ["_stack"]


def test_what_comes_by_event_and_by_lookup_is_told_in_the_same_words(scene: Scene) -> None:
    scene.matcher.match(approving(USER))
    scene.matcher.clock.now()
    found = reconcile(scene.matcher, FakeApiCalls([approving(USER)] * 2),
                      lookback=timedelta(hours=2))  # fmt: skip
    assert found == {}  # it is too young to be looked up: its record may be under way
    moved = FakeClock()
    moved.advance(600)
    later = Matcher(scene.ledger, scene.state, moved, FakeIds(), PLACE)
    assert reconcile(later, FakeApiCalls([approving(USER)] * 2),
                     lookback=timedelta(hours=2)) == {"unmatched": 1}  # fmt: skip
    first, second = scene.state.events
    assert (first.time, first.event_id, first.detail()) == (
        second.time, second.event_id, second.detail(),
    )  # fmt: skip


def test_a_batch_gives_back_what_is_no_call(scene: Scene) -> None:
    good = {"messageId": "good", "body": json.dumps({"detail": approving(USER)})}
    bad = [{"messageId": f"bad{n}", "body": body} for n, body in
           enumerate(["", "{}", '{"detail": {}}', '{"detail": 3}', "[]"])]  # fmt: skip
    assert match_messages([*bad, good], scene.matcher) == [one["messageId"] for one in bad]
    assert len(scene.told()) == 1


@pytest.mark.parametrize("broken", [
    {}, {"userIdentity": None}, {**approving(USER), "eventTime": "yesterday"},
    {**approving(USER), "userIdentity": "root"},
])  # fmt: skip
def test_what_cloudtrail_never_writes_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(MalformedEventError):
        call_of(broken)


def test_the_rule_passes_the_calls_that_are_matched() -> None:
    from support.templates import load_child

    pattern = load_child("audit")["Resources"]["OnApiCallRule"]["Properties"]["EventPattern"]
    assert sorted(pattern["detail"]["eventName"]) == sorted(CALLS)
