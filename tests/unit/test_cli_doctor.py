"""``steward doctor``: each trouble is told with what to do; a refused look is unknown."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber
from typer.testing import CliRunner

from steward_cli.app import app
from steward_cli.commands import doctor as command
from steward_cli.commands.image import SOURCE_METADATA, source_digest
from steward_cli.doctor import images, machine
from steward_cli.doctor.account import account_findings, region_findings
from steward_cli.doctor.findings import Finding, looked, worst
from steward_cli.doctor.machine import engine_version, python_finding
from steward_cli.doctor.stack import TOPICS, stack_findings
from steward_cli.target import Choice, Target, choose

SESSION = boto3.Session(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
TOPIC = "arn:aws:sns:us-east-1:000000000000:steward-dev-"
OUTPUTS = {
    "Environment": "dev", "JobImageParameterName": "/steward/job-image",
    "ArtifactsBucketName": "artifacts", **{output: f"{TOPIC}{output}" for _, output in TOPICS},
}  # fmt: skip
NESTED = "arn:aws:cloudformation:us-east-1:000000000000:stack/steward-dev-Data-1/x"
QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/steward-dev-Data-StartHandlingFailures-1"
ALARM = "steward-dev-Data-JoinFailuresAlarm-1"
STACK = {
    "StackName": "steward-dev", "CreationTime": "2026-11-01T00:00:00Z",
    "StackStatus": "UPDATE_COMPLETE", "DriftInformation": {"StackDriftStatus": "IN_SYNC"},
    "Outputs": [{"OutputKey": k, "OutputValue": v} for k, v in OUTPUTS.items()],
}  # fmt: skip


class Account:
    """A target whose answers are queued, and held against botocore's model of each service."""

    def __init__(self, region: str = "us-east-1") -> None:
        self.target = Target("aws", "steward-dev", region, session=None)
        self.stubs: dict[str, Stubber] = {}

    def _stub(self, service: str) -> Stubber:
        if service not in self.stubs:
            client = SESSION.client(service)
            self.target._clients[service] = client
            self.stubs[service] = Stubber(client)
            self.stubs[service].activate()
        return self.stubs[service]

    def answers(self, service: str, operation: str, **answer: Any) -> None:
        self._stub(service).add_response(operation, answer)

    def refuses(self, service: str, operation: str, code: str = "AccessDenied") -> None:
        self._stub(service).add_client_error(operation, code, "no")


def resource(
    kind: str, physical: str, status: str = "CREATE_COMPLETE", name: str = ""
) -> dict[str, Any]:
    return {
        "LogicalResourceId": name or kind.rpartition(":")[2], "PhysicalResourceId": physical,
        "ResourceType": kind, "ResourceStatus": status,
        "LastUpdatedTimestamp": "2026-11-01T00:00:00Z",
    }  # fmt: skip


def stack(
    *, status: str = "UPDATE_COMPLETE", drift: str = "IN_SYNC", nested: str = "CREATE_COMPLETE",
    image: str | None = "repo@sha256:0123456789abcdef", letters: int = 0,
    sources: str | None = "as here",
    subscription: str = "arn:aws:sns:us-east-1:000000000000:t:1", alarms: tuple[str, ...] = (),
) -> Account:  # fmt: skip
    """Return an account with a stack that is well but for what is said."""
    account = Account()
    told = {**STACK, "StackStatus": status, "DriftInformation": {"StackDriftStatus": drift}}
    for _ in range(2):
        account.answers("cloudformation", "describe_stacks", Stacks=[told])
    below = [resource("AWS::CloudFormation::Stack", NESTED, nested)]
    account.answers("cloudformation", "list_stack_resources", StackResourceSummaries=below)
    letters_queue = resource("AWS::SQS::Queue", QUEUE, name="StartHandlingFailures")
    inner = [letters_queue, resource("AWS::CloudWatch::Alarm", ALARM)]
    account.answers("cloudformation", "list_stack_resources", StackResourceSummaries=inner)
    if image is None:
        account.refuses("ssm", "get_parameter", "ParameterNotFound")
    else:
        account.answers("ssm", "get_parameter", Parameter={"Value": image})
        known = source_digest() if sources == "as here" else sources
        metadata = {SOURCE_METADATA: known} if known else {}
        account.answers("s3", "head_object", Metadata=metadata)
    account.answers(
        "sqs", "get_queue_attributes", Attributes={"ApproximateNumberOfMessages": str(letters)}
    )
    for _ in TOPICS:
        person = {"SubscriptionArn": subscription, "Protocol": "email", "Endpoint": "a@example.com"}
        account.answers("sns", "list_subscriptions_by_topic", Subscriptions=[person])
    on = [{"AlarmName": name, "StateReason": "above"} for name in alarms]
    account.answers("cloudwatch", "describe_alarms", MetricAlarms=on)
    account.answers("cloudwatch", "describe_alarms", CompositeAlarms=[])
    return account


def troubles(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(found.check, found.state) for found in findings if found.state != "ok"]


def test_a_stack_that_is_well_has_no_trouble() -> None:
    found = list(stack_findings(stack().target))

    assert troubles(iter(found)) == []
    assert {f.check for f in found} >= {"stack", "drift", "resources", "job image", "dead letters",
                                        "mail to owner", "alarms"}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        ({"drift": "DRIFTED"}, ("drift", "warn")),
        ({"drift": "NOT_CHECKED"}, ("drift", "unknown")),
        ({"image": None}, ("job image", "fail")),
        ({"image": "none"}, ("job image", "fail")),
        ({"sources": None}, ("image's code", "unknown")),
        ({"sources": "0" * 64}, ("image's code", "warn")),
        ({"letters": 3}, ("dead letters", "fail")),
        ({"alarms": (ALARM,)}, ("alarms", "fail")),
        ({"alarms": ("steward-dev-churn-candidate-errors",)}, ("alarms", "fail")),
    ],
)  # fmt: skip
def test_each_trouble_of_a_stack_is_told_with_what_to_do(
    change: dict[str, Any], trouble: tuple[str, str]
) -> None:
    found = [f for f in stack_findings(stack(**change).target) if f.state != "ok"]

    assert [(f.check, f.state) for f in found] == [trouble]
    assert found[0].do


def test_an_alarm_of_somebody_else_is_no_trouble() -> None:
    assert troubles(stack_findings(stack(alarms=("billing",)).target)) == []


def test_mail_that_waits_for_its_reader_is_a_warning_that_names_them() -> None:
    found = list(stack_findings(stack(subscription="PendingConfirmation").target))

    assert [f.says for f in found if f.state == "warn"] == ["not confirmed: a@example.com"] * 3


def test_a_part_that_failed_is_named() -> None:
    account = stack(nested="UPDATE_FAILED")

    assert ("Stack", "fail") in troubles(stack_findings(account.target))


@pytest.mark.parametrize(
    ("status", "state"),
    [("UPDATE_ROLLBACK_COMPLETE", "fail"), ("ROLLBACK_COMPLETE", "fail"),
     ("UPDATE_IN_PROGRESS", "warn")],
)  # fmt: skip
def test_a_stack_that_was_rolled_back_or_is_moving_is_told(status: str, state: str) -> None:
    assert ("stack", state) in troubles(stack_findings(stack(status=status).target))


def test_without_a_stack_that_alone_is_told() -> None:
    account = Account()
    account._stub("cloudformation").add_client_error(
        "describe_stacks", "ValidationError", "Stack with id steward-dev does not exist"
    )

    [found] = list(stack_findings(account.target))

    assert (found.check, found.state) == ("stack", "fail")
    assert "sam deploy" in found.do


def test_every_refused_look_is_unknown_and_the_others_go_on() -> None:
    account = Account()
    for _ in range(2):
        account.answers("cloudformation", "describe_stacks", Stacks=[STACK])
    account.refuses("cloudformation", "list_stack_resources")
    account.refuses("ssm", "get_parameter", "AccessDeniedException")
    account.refuses("sns", "list_subscriptions_by_topic", "AuthorizationError")
    account.refuses("cloudwatch", "describe_alarms")

    found = {f.check: f for f in stack_findings(account.target)}

    for check in ("resources", "job image", "mail", "alarms"):
        assert found[check].state == "unknown"
        assert "not allowed to look" in found[check].says
    # Without the list of resources there are no queues to look into.
    assert found["dead letters"].state == "unknown"


class Recorded:
    """The records of an embedded AWS: a version for each image that is named."""

    def __init__(self, *images_: str) -> None:
        self.images = images_

    def projects(self) -> list[dict[str, Any]]:
        return [{"project": "churn"}]

    def versions(self, project: str) -> list[dict[str, Any]]:
        return [
            {"version": number, "state": state, "job_image": image}
            for state in ("production", "archived")
            for number, image in enumerate(self.images, 1)
        ]


@pytest.mark.parametrize(
    ("recorded", "versions", "states"),
    [
        ("new", ["new"], ["ok"]),
        ("old", ["new"], ["fail"]),
        ("new", ["old", "new"], ["ok", "warn"]),
        ("old", ["old"], ["fail", "warn"]),
    ],
)
def test_code_that_changed_under_a_running_engine_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, recorded: str, versions: list[str], states: list[str]
) -> None:
    uri = {name: f"local/steward-jobs@sha256:{name * 20}" for name in ("old", "new")}
    account = Account()
    account.target.engine = SimpleNamespace()  # type: ignore[assignment]
    account.target.__dict__["outputs"] = OUTPUTS
    account.answers("ssm", "get_parameter", Parameter={"Value": uri[recorded]})
    state = Recorded(*(uri[name] for name in versions))
    monkeypatch.setattr(images, "StackState", lambda _target: state)
    monkeypatch.setattr(images, "local_image_uri", lambda: uri["new"])

    found = list(images.image_findings(account.target))

    assert [one.state for one in found] == states
    for one in found[1:]:
        assert "churn 1 (production)" in one.says
    assert all("train again" in one.do for one in found if one.state != "ok")


def quota(name: str, value: float) -> dict[str, Any]:
    return {"QuotaName": name, "QuotaCode": "L-1", "Value": value, "ServiceCode": "sagemaker"}


def test_quotas_are_told_for_what_the_projects_use() -> None:
    account = Account()
    account.answers("sts", "get_caller_identity", Arn="arn:aws:iam::000000000000:role/dev")
    limit = {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
    account.answers("lambda", "get_account_settings", AccountLimit=limit)
    account.answers(
        "service-quotas", "list_service_quotas",
        Quotas=[quota("ml.m5.large for training job usage", 0)], NextToken="t",
    )  # fmt: skip
    account.answers(
        "service-quotas", "list_service_quotas",
        Quotas=[quota("ml.m5.large for processing job usage", 4)],
    )  # fmt: skip
    wanted = [("ml.m5.large", "training job"), ("ml.m5.large", "processing job"),
              ("ml.zz9.large", "endpoint")]  # fmt: skip

    found = {f.check: f for f in account_findings(account.target, wanted)}

    assert found["lambda concurrency"].state == "fail"
    assert "L-B99A9384" in found["lambda concurrency"].do
    assert found["ml.m5.large for training job usage"].state == "fail"
    assert "--quota-code L-1" in found["ml.m5.large for training job usage"].do
    assert found["ml.m5.large for processing job usage"].state == "ok"
    assert found["ml.zz9.large for endpoint usage"].state == "unknown"


def test_refused_and_old_credentials_and_the_root_user_are_told() -> None:
    old, root = Account(), Account()
    old.refuses("sts", "get_caller_identity", "ExpiredToken")
    root.answers("sts", "get_caller_identity", Arn="arn:aws:iam::000000000000:root")
    none = Account()
    none.target._clients["sts"] = SimpleNamespace(get_caller_identity=_no_credentials)

    found = [next(account_findings(account.target, [])) for account in (old, root, none)]

    assert [f.state for f in found] == ["fail", "warn", "fail"]
    assert "ExpiredToken" in found[0].says


def _no_credentials() -> None:
    raise NoCredentialsError


def test_regions_without_function_urls_fail_and_unknown_ones_are_unknown() -> None:
    assert troubles(region_findings("us-east-1")) == []
    assert troubles(region_findings("eu-central-2")) == [
        ("function URLs", "fail"), ("serverless inference", "unknown"),
    ]  # fmt: skip


def test_aws_out_of_reach_is_unknown() -> None:
    def look() -> Iterator[Finding]:
        raise EndpointConnectionError(endpoint_url="https://x")
        yield

    [found] = list(looked("account", "x", look))

    assert found.state == "unknown"
    assert "Could not connect" in found.says


def test_the_worst_state_decides() -> None:
    def states(*names: Any) -> str:
        return worst([Finding("a", "c", name, "") for name in names])

    assert states("ok", "warn", "fail", "unknown") == "fail"
    assert states("ok", "unknown") == "unknown"
    assert states("ok", "ok") == "ok"


def test_another_python_than_lambdas_fails() -> None:
    assert python_finding((3, 11, 9)).state == "ok"
    assert python_finding((3, 13, 0)).state == "fail"


class _Engine(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"Version": "28.1"}).encode()
        self.send_response(200 if self.path == "/version" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.enable_socket
def test_a_container_engine_is_asked_on_its_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.sock"
    with socketserver.UnixStreamServer(str(path), _Engine) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert engine_version(f"unix://{path}") == "28.1"

    assert engine_version(f"unix://{tmp_path}/none.sock") is None
    assert engine_version("npipe:////./pipe/docker") is None
    monkeypatch.setattr(machine, "_SOCKETS", ())
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert machine.container_engine().state == "warn"


@pytest.fixture
def healthy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "machine_findings", lambda: iter([Finding("m", "x", "ok", "1")]))


def examining(monkeypatch: pytest.MonkeyPatch, chosen: Callable[[Choice], Target]) -> Any:
    monkeypatch.setattr(command, "choose", chosen)
    return CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)


@pytest.mark.usefixtures("healthy_machine")
def test_the_command_tells_all_areas_and_exits_by_the_worst(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = stack(letters=1)
    account.answers("sts", "get_caller_identity", Arn="arn:aws:iam::000000000000:role/dev")
    limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}
    account.answers("lambda", "get_account_settings", AccountLimit=limit)
    monkeypatch.setattr(command, "needed_instances", lambda target: [])

    done = examining(monkeypatch, lambda choice: account.target)

    told = json.loads(done.output)
    assert done.exit_code == 1
    assert told["state"] == "fail"
    assert {f["area"] for f in told["findings"]} == {"m", "account", "stack"}


@pytest.mark.usefixtures("healthy_machine")
def test_without_a_target_the_machine_is_still_examined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    done = examining(monkeypatch, lambda choice: choose(Choice(state_dir=tmp_path)))

    assert done.exit_code == 1
    assert [f["area"] for f in json.loads(done.output)["findings"]] == ["m", "account"]


def test_the_region_comes_from_aws_region_as_the_hint_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-3")

    assert choose(Choice(target="aws", state_dir=tmp_path)).region == "eu-west-3"
