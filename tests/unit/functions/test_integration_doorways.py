"""The doorways of commits: events, tasks of the machine, and the URL that forges call."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steward.contracts.incoming import Received
from steward.domain import webhooks
from steward.domain.errors import DependencyError, SourceRefusedError
from steward.ports import Table
from steward.settings import Settings
from support.commit_scene import MACHINE, TESS, A, B, Commits, refused
from support.doorways import load, request
from support.fakes import FakeFailureQueue
from support.training_scene import ARTIFACTS
from support.training_scene import MACHINE as TRAINING

INCOMING = Path(__file__).parents[3] / "events" / "incoming"
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCwgMzIgYnl0ZXMhIQ=="


class Sender:
    """Records posts; answers with ``status``."""

    def __init__(self, status: int = 201) -> None:
        self.status, self.posts = status, list[tuple[str, dict[str, str], dict[str, Any]]]()

    def post(self, url: str, headers: Any, body: bytes) -> int:
        self.posts.append((url, dict(headers), json.loads(body)))
        return self.status


class World(Commits):
    """A scene behind the composition root."""

    def open(self, name: str, monkeypatch: pytest.MonkeyPatch, status: int = 201) -> Any:
        self.failure_queue, self.sender = FakeFailureQueue(), Sender(status)
        settings = Settings(
            steward_environment="local", steward_stack="steward", artifacts_bucket=ARTIFACTS,
            integration_machine=MACHINE, training_machine=TRAINING, source_hosts="api.github.com",
        )  # fmt: skip
        app = SimpleNamespace(
            settings=settings, state=self.state, objects=self.objects, clock=self.clock,
            ids=self.ids, workflows=self.workflows, job_image=self.job_image,
            failure_queue=self.failure_queue, repositories=self.repositories,
            downloads=self.downloads, secrets=self.secrets, webhook_sender=self.sender,
        )  # fmt: skip
        handler = load(name, app, monkeypatch)
        return lambda event: handler(event, None)

    def connect(self, kind: str = "github", token: bool = True) -> None:
        """Connect the project to a forge."""
        self.secrets.create("hook", SECRET)
        self.secrets.create("token", "t0p")
        self.state.put(Table.RUNS, {
            "project": "diabetes", "run_id": "forge", "kind": kind, "secret": "hook",
            "repository": "acme/diabetes", "forge": kind, "api": "https://api.github.com",
            "archive": "https://api.github.com/repos/{repository}/tarball/{commit}",
            **({"token_secret": "token"} if token else {}),
        })  # fmt: skip

    def github(self, event: str = "push", secret: str = SECRET, **changes: Any) -> dict[str, Any]:
        """Return the request that GitHub sends."""
        body = {
            "ref": "refs/heads/main", "before": B, "after": A, "deleted": False,
            "repository": {
                "full_name": "acme/diabetes", "pushed_at": int(self.clock.now().timestamp()),
            },
            "sender": {"login": "theo"}, **changes,
        }  # fmt: skip
        text = json.dumps(body)
        digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return url_event("/diabetes", text, {
            "X-GitHub-Event": event, "X-GitHub-Delivery": "1", "X-Hub-Signature-256":
            f"sha256={digest}",
        })  # fmt: skip


def url_event(
    path: str, body: str, headers: dict[str, str], method: str = "POST"
) -> dict[str, Any]:
    """Return a request to a function URL without an authoriser."""
    return {
        "version": "2.0", "rawPath": path, "headers": headers, "body": body,
        "isBase64Encoded": False,
        "requestContext": {"http": {"method": method, "path": path}, "requestId": "request-1"},
    }  # fmt: skip


@pytest.fixture
def world() -> World:
    return World()


def test_a_push_to_codecommit_starts_an_integration(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = world.open("start_integration", monkeypatch)
    event = json.loads((INCOMING / "repository_state_change.json").read_text())

    assert start(event)["outcome"] == "started"
    assert start({**event, "detail": {**event["detail"], "repositoryName": "theirs"}}) == {
        "outcome": "ignored", "reason": "repository theirs belongs to no project",
    }  # fmt: skip
    assert start({"id": "1"})["refused"]["error"] == "MalformedEventError"
    assert len(world.failure_queue.refused) == 1


def test_a_function_that_is_task_and_consumer_tells_them_apart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = world.arrive(world.push())["integration_id"]
    start = world.open("start_training", monkeypatch)
    given = {"project": "diabetes", "integration_id": name, "correlation_id": name}

    assert start(given)["outcome"] == "suppressed"
    record = world.open("record_integration", monkeypatch)
    ended = {"outcome": "failed", "execution_arn": "x", "failed_state": "s", "error": "e"}
    assert record({**given, **ended})["outcome"] == "failed"


def test_a_signed_push_is_taken_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.connect()
    receive = world.open("receive_webhook", monkeypatch)
    signed = world.github()

    assert receive(signed)["statusCode"] == 202
    again = {**signed, "headers": {**signed["headers"], "X-GitHub-Delivery": "2"}}
    assert receive(again)["statusCode"] == 409
    [told] = world.state.named("CommitReceived")
    assert told.data.model_dump(exclude_none=True) == {
        "repository": "acme/diabetes", "branch": "main", "commit_id": A, "author": "github:theo",
        "origin": "webhook", "previous": B, "files": {
            "kind": "archive", "url": f"https://api.github.com/repos/acme/diabetes/tarball/{A}",
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda event: {**event, "body": event["body"] + " "}, 401),
        (lambda event: {**event, "headers": {"X-GitHub-Event": "push"}}, 401),
        (
            lambda event: {
                **event,
                "headers": {**event["headers"], "X-Hub-Signature-256": "sha256=ü"},
            },
            401,
        ),
        (lambda event: {**event, "rawPath": "/nobody"}, 404),
        (lambda event: {**event, "rawPath": "/"}, 404),
        (lambda event: {**event, "rawPath": "/" + "x" * 5000}, 404),
        (lambda event: url_event("/diabetes", "", event["headers"], "GET"), 405),
        (lambda event: {**event, "body": "x" * (2 * 1024 * 1024 + 1)}, 413),
        (lambda event: {"rawPath": "/diabetes"}, 400),
    ],
    ids=["changed", "unsigned", "garbage", "nobody", "root", "long", "get", "large", "no request"],
)
def test_what_is_not_signed_or_not_addressed_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, change: Any, status: int
) -> None:
    world.connect()
    receive = world.open("receive_webhook", monkeypatch)

    assert receive(change(world.github()))["statusCode"] == status
    assert world.state.named("CommitReceived") == []


@pytest.mark.parametrize(
    ("signed", "status", "outcome"),
    [
        ({"event": "ping"}, 200, "pong"),
        ({"event": "issues"}, 200, "ignored"),
        ({"ref": "refs/tags/v1"}, 200, "ignored"),
        ({"deleted": True, "after": "0" * 40}, 200, "ignored"),
        ({"repository": {"full_name": "evil/other", "pushed_at": 4102444800}}, 404, None),
        ({"repository": {"full_name": "acme/diabetes", "pushed_at": 1}}, 401, None),
        ({"sender": None}, 400, None),
        ({"after": "../x"}, 400, None),
        ({"secret": "another"}, 401, None),
    ],
)
def test_signed_messages_that_are_no_push_of_the_repository_start_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, signed: Any, status: int, outcome: str | None
) -> None:
    world.connect()
    receive = world.open("receive_webhook", monkeypatch)

    answer = receive(world.github(**signed))

    assert answer["statusCode"] == status
    assert json.loads(answer["body"]).get("outcome") == outcome
    assert world.state.named("CommitReceived") == []


def test_any_other_forge_signs_id_time_and_body(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("generic")
    receive = world.open("receive_webhook", monkeypatch)
    now = int(world.clock.now().timestamp())

    def sent(at: int, message: str = "m1", **changes: Any) -> int:
        document = {
            "repository": "acme/diabetes", "branch": "main", "commit_id": A, "author": "ana",
            **changes,
        }  # fmt: skip
        body = json.dumps(document).encode()
        headers = webhooks.headers(SECRET, message, at, body)
        return int(receive(url_event("/diabetes", body.decode(), headers))["statusCode"])

    assert sent(now - 301) == 401
    assert sent(now + 301) == 401
    assert sent(now) == 202
    assert sent(now + 1) == 409
    assert sent(now, "m2", type="ping") == 200
    assert sent(now, "m3", branch=None) == 400
    [told] = world.state.named("CommitReceived")
    assert told.data.model_dump()["author"] == "generic:ana"


def reported(world: World, outcome: str) -> Received:
    """End an integration and return the event that tells of it."""
    [told] = world.state.named(outcome)
    return {
        "id": "1",
        "source": told.source,
        "detail-type": outcome,
        "time": told.time,
        "detail": {"meta": told.meta.model_dump(), "data": told.data.model_dump()},
    }  # type: ignore[return-value]


def failed(world: World, name: str) -> Any:
    """Let an integration fail and return its event."""
    refused(lambda: world.judge(name, "tests", passed=False, summary="1 of 3", failed=["t"]))
    world.record_end(name, "failed", failed_state="JudgeTests", error="ProjectTestsFailedError")
    return reported(world, "IntegrationFailed")


def test_a_codecommit_commit_gets_one_comment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = failed(world, world.arrive(world.push())["integration_id"])
    report = world.open("report_commit", monkeypatch)

    assert report(event)["as"] == "comment"
    assert report(event)["outcome"] == "again"
    assert report({**event, "replay-name": "r"})["outcome"] == "ignored"
    [(_, _, commit, text)] = world.repositories.comments
    assert commit == A
    assert "JudgeTests, ProjectTestsFailedError" in text
    assert "Tests: 1 of 3" in text


def webhook_commit(world: World) -> str:
    from steward.contracts.events import CommitSource

    source = CommitSource(kind="archive", url="https://api.github.com/x")
    return str(world.arrive(world.asked(source))["integration_id"])


def test_a_github_commit_gets_a_status(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.connect()
    event = failed(world, webhook_commit(world))
    report = world.open("report_commit", monkeypatch)

    assert report(event)["as"] == "status"
    [(url, headers, body)] = world.sender.posts
    assert url == f"https://api.github.com/repos/acme/diabetes/statuses/{A}"
    assert headers["authorization"] == "Bearer t0p"
    assert (body["state"], body["context"]) == ("failure", "steward/local")
    assert len(body["description"]) <= 140


def test_a_forge_that_is_down_is_asked_again_and_one_that_refuses_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect()
    event = failed(world, webhook_commit(world))
    down = world.open("report_commit", monkeypatch, 503)
    with pytest.raises(DependencyError):
        down(event)
    refusing = world.open("report_commit", monkeypatch, 403)
    assert refusing(event)["refused"]["error"] == SourceRefusedError.__name__
    assert len(world.failure_queue.refused) == 1


def test_a_commit_whose_forge_takes_no_status_keeps_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.connect("generic", token=False)
    event = failed(world, webhook_commit(world))
    assert world.open("report_commit", monkeypatch)(event)["outcome"] == "kept"


def connecting(world: World, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, Any]:
    """Ask the source URL to connect a forge; return its answer."""
    push = world.open("push_source", monkeypatch)
    body = {"project": "diabetes", "repository": "acme/diabetes", "token": "t0p", **changes}
    event = request("PUT", TESS, body=json.dumps({n: v for n, v in body.items() if v is not None}))
    answer: dict[str, Any] = push(event)
    return answer


def test_connecting_anew_replaces_the_secrets(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(connecting(world, monkeypatch)["body"])
    second = json.loads(connecting(world, monkeypatch, token=None)["body"])

    assert first["secret"].startswith("whsec_")
    assert first["secret"] != second["secret"]
    assert list(world.secrets.texts.values()) == [second["secret"]]
    item = world.run("forge")
    assert "whsec_" not in json.dumps(item)

    push = world.open("push_source", monkeypatch)
    gone = push(request("DELETE", TESS, query={"project": "diabetes", "forge": "1"}))
    assert json.loads(gone["body"])["disconnected"] == "acme/diabetes"
    assert world.secrets.texts == {}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"api": "https://evil.example.com"}, "archive"),
        ({"archive": "https://evil.example.com/{commit}"}, "archive"),
        ({"archive": "https://api.github.com/latest"}, "archive"),
        ({"kind": "generic"}, "archive"),
        ({"repository": "../../x y"}, "repository"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_connection_that_could_lead_elsewhere_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], field: str
) -> None:
    answer = connecting(world, monkeypatch, **changes)
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["field"] == field
    assert world.secrets.texts == {}


def test_an_unknown_project_is_not_connected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connecting(world, monkeypatch, project="nobody")["statusCode"] == 404


def test_a_verified_caller_may_try_a_commit_again_and_its_author_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(world, webhook_commit(world))
    push = world.open("push_source", monkeypatch)

    def ask(**body: Any) -> Any:
        return push(request("PUT", TESS, body=json.dumps({"project": "diabetes", **body})))

    assert ask(commit_id=A)["statusCode"] == 202
    assert ask(commit_id=B)["statusCode"] == 202
    assert ask(commit_id="a b")["statusCode"] == 400
    assert ask(commit_id=A, project="nobody")["statusCode"] == 404
    again, first = (told.data.model_dump() for told in world.state.named("CommitReceived"))
    assert (again["author"], again["files"]["kind"]) == ("github:theo", "archive")
    assert (first["author"], first["files"]["kind"]) == ("000000000000/tess", "codecommit")
    assert first["repository"] == "steward-local-diabetes"
