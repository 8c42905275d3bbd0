"""Webhooks: signed, sent to public addresses alone, tried again, and on record."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steward.adapters.webhooks import PublicHttpSender
from steward.contracts.events import PAYLOADS, VersionApproved
from steward.contracts.registry import AddWebhook, RemoveWebhook, TestWebhook
from steward.domain.errors import DependencyError, NotAuthorizedError, RejectedError
from steward.domain.webhooks import (
    ATTEMPTS,
    BACKOFF_S,
    KINDS,
    Subscription,
    check_address,
    check_url,
    headers,
    new_secret,
    signature,
    verify,
)
from steward.entrypoint import parse_event
from steward.ports import Table
from steward.service.registry.webhooks import (
    Poster,
    WebhookPorts,
    add_webhook,
    deliveries_of,
    queue_webhooks,
    remove_webhook,
    send_test,
    webhooks_of,
)
from support.builders import event_of
from support.doorways import delivered
from support.fakes import FakeClock, FakeIds, FakeState

PROJECT = "diabetes"
URL = "https://ci.example.com/steward"


class Secrets:
    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def create(self, name: str, text: str) -> None:
        self.kept[name] = text

    def read(self, name: str) -> str:
        if name not in self.kept:
            raise RejectedError("no such secret", field="secret")
        return self.kept[name]

    def delete(self, name: str) -> None:
        self.kept.pop(name, None)


class Queue:
    def __init__(self) -> None:
        self.sent: list[str] = []
        self.pauses: list[int] = []

    def send(self, message: str) -> None:
        self.sent.append(message)

    def postpone(self, receipt: str, seconds: int) -> None:
        self.pauses.append(seconds)


class Sender:
    """A receiver: answers with these statuses in turn, the last for good."""

    def __init__(self, *answers: int | Exception) -> None:
        self._answers = list(answers)
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    def post(self, url: str, headers: Any, body: bytes) -> int:
        self.got.append((url, dict(headers), body))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Scene:
    def __init__(self, *answers: int | Exception) -> None:
        self.state, self.clock, self.ids = FakeState(), FakeClock(), FakeIds()
        self.secrets, self.queue, self.sender = Secrets(), Queue(), Sender(*answers or (204,))
        self.ports = WebhookPorts(self.state, self.clock, "steward-dev", local=False)
        self.state.put(Table.PROJECTS, {"project": PROJECT})

    def add(self, project: str = PROJECT, *kinds: str, url: str = URL) -> dict[str, Any]:
        request = AddWebhook(action="add", project=project, url=url, kinds=list(kinds))
        return add_webhook(
            request, actor="000000000000/ana", random=bytes(range(64)), ids=self.ids,
            secrets=self.secrets, ports=self.ports,
        )  # fmt: skip

    def tell(self, **changes: Any) -> int:
        approved = VersionApproved(version=1, evidence_digest="e" * 64, approvers=["ana"])
        event = {**delivered(event_of(approved)), **changes}
        return queue_webhooks(parse_event(event), state=self.state, queue=self.queue)["queued"]

    def post(self, attempt: int = 1, message: int = 0) -> bool:
        poster = Poster(self.sender, self.secrets, self.queue, self.ports)
        return poster.post(
            {
                "body": self.queue.sent[message], "messageId": "m", "receiptHandle": "r",
                "attributes": {"ApproximateReceiveCount": str(attempt)},
            }
        )  # fmt: skip

    def records(self, webhook_id: str) -> list[tuple[str, int]]:
        found = deliveries_of(self.state, PROJECT, webhook_id)
        return [(item["status"], item["attempts"]) for item in found]


# --- signature ---------------------------------------------------------------------------


def test_the_signature_is_the_one_of_the_specification() -> None:
    # From the specification's reference implementation, test vectors of its Python library.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    found = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_takes_what_is_signed_now_and_nothing_else() -> None:
    secret, other = new_secret(bytes(32)), new_secret(bytes(31) + b"\1")
    signed = headers(secret, "m1", 1_000_000, b"{}")
    verify(secret, signed, b"{}", 1_000_000)
    verify(secret, {name.title(): value for name, value in signed.items()}, b"{}", 1_000_300)
    both = {**signed, "webhook-signature": "v1,AAAA " + signed["webhook-signature"]}
    verify(secret, both, b"{}", 1_000_000)
    refused: list[Callable[[], None]] = [
        lambda: verify(secret, signed, b"{ }", 1_000_000),
        lambda: verify(other, signed, b"{}", 1_000_000),
        lambda: verify(secret, signed, b"{}", 1_000_301),
        lambda: verify(secret, signed, b"{}", 999_699),
        lambda: verify(secret, {**signed, "webhook-id": "m2"}, b"{}", 1_000_000),
        lambda: verify(secret, {**signed, "webhook-timestamp": "1000001"}, b"{}", 1_000_000),
        lambda: verify(secret, {**signed, "webhook-timestamp": "now"}, b"{}", 1_000_000),
        lambda: verify(secret, {}, b"{}", 1_000_000),
    ]
    for look in refused:
        with pytest.raises(NotAuthorizedError):
            look()


def test_the_receiver_in_the_documentation_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "registry.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code, names)  # the documentation's own words are under test
    secret = new_secret(bytes(32))
    signed = headers(secret, "m1", 1_000_000, b"{}")
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    assert names["check"](secret, signed, b"{}") is True
    assert names["check"](secret, signed, b"{ }") is False
    monkeypatch.setattr("time.time", lambda: 1_000_301.0)
    assert names["check"](secret, signed, b"{}") is False


def test_a_secret_has_the_length_that_the_specification_asks_for() -> None:
    assert len(base64.b64decode(new_secret(bytes(32)).removeprefix("whsec_"))) == 32
    for length in (0, 23, 65):
        with pytest.raises(ValueError, match="bytes"):
            new_secret(bytes(length))


# --- where messages may go ---------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://ci.example.com/", "ftp://ci.example.com/", "https://", "https:///x", "ci",
        "https://user:pw@ci.example.com/", "https://user@ci.example.com/", "https://x/#part",
        "https://ci.example.com:0/", "https://ci.example.com:99999/", "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data", "https://10.1.2.3/", "https://[::1]/",
        "https://[fe80::1%25eth0]/", "https://[fd00::1]/", "https://[::ffff:10.0.0.1]/",
        "https://100.64.0.1/", "https://0.0.0.0/", "https://224.0.0.1/",
        "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://x/ y",
        "https://x/\r\nA: b",
        "https://x\\@10.0.0.1/",
    ],
)  # fmt: skip
def test_urls_that_lead_inside_are_refused(url: str) -> None:
    with pytest.raises(RejectedError):
        check_url(url, local=False)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert check_address(address, local=False) == address


def test_this_machine_is_allowed_on_the_embedded_aws_alone() -> None:
    check_url("http://127.0.0.1:8080/x", local=True)
    for url in ("http://169.254.169.254/", "http://10.0.0.1/", "https://169.254.169.254/"):
        with pytest.raises(RejectedError):
            check_url(url, local=True)


def test_a_name_with_one_private_address_is_not_called() -> None:
    sender = PublicHttpSender(resolve=lambda _host, _port: ["8.8.8.8", "169.254.169.254"])
    with pytest.raises(RejectedError, match=r"169\.254\.169\.254"):
        sender.post(URL, {}, b"{}")


def test_a_name_that_changes_between_look_and_call_gains_nothing() -> None:
    looks: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        looks.append(host)
        return ["10.0.0.1"] if len(looks) > 1 else ["192.0.2.1"]

    with pytest.raises((RejectedError, DependencyError)):
        PublicHttpSender(resolve=resolve, timeout_s=0.2).post(URL, {}, b"{}")
    assert looks == ["ci.example.com"]


def test_a_name_without_an_address_may_get_one_later() -> None:
    def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(DependencyError, match="no such host"):
        PublicHttpSender(resolve=nowhere).post(URL, {}, b"{}")
    with pytest.raises(DependencyError, match="no address"):
        PublicHttpSender(resolve=lambda _host, _port: []).post(URL, {}, b"{}")


# --- subscribing -------------------------------------------------------------------------


def test_a_secret_is_kept_in_secrets_manager_and_not_in_the_record() -> None:
    scene = Scene()
    added = scene.add()
    [found] = webhooks_of(scene.state, PROJECT)
    assert scene.secrets.kept == {f"steward-dev/webhooks/{added['webhook_id']}": added["secret"]}
    assert added["secret"].startswith("whsec_")
    assert added["secret"] not in json.dumps(found.model_dump())
    item = scene.state.query(Table.VERSIONS, PROJECT)
    assert added["secret"] not in json.dumps(item)


def test_what_cannot_be_subscribed_keeps_no_secret() -> None:
    scene = Scene()
    for project, kinds, url in (
        ("nobody", (), URL), (PROJECT, ("NoSuchEvent",), URL), (PROJECT, (), "http://x/"),
    ):  # fmt: skip
        with pytest.raises(RejectedError):
            scene.add(project, *kinds, url=url)
    assert scene.secrets.kept == {}


def test_a_removed_subscription_is_told_nothing_even_of_what_was_queued() -> None:
    scene = Scene()
    added = scene.add()
    scene.tell()
    request = RemoveWebhook(action="remove", project=PROJECT, webhook_id=added["webhook_id"])
    remove_webhook(request, secrets=scene.secrets, ports=scene.ports)
    assert scene.post() is True
    assert (scene.sender.got, scene.secrets.kept, scene.tell()) == ([], {}, 0)
    with pytest.raises(RejectedError, match="no webhook"):
        remove_webhook(request, secrets=scene.secrets, ports=scene.ports)


def test_only_what_is_asked_for_is_queued() -> None:
    scene = Scene()
    scene.add()
    scene.add("*", "VersionApproved")
    scene.add(PROJECT, "VersionRejected")
    assert scene.tell() == 2
    assert scene.tell(**{"replay-name": "again"}) == 0


def test_every_event_that_may_be_asked_for_exists() -> None:
    assert set(KINDS) <= set(PAYLOADS)
    assert Subscription(
        webhook_id="w", project="*", url=URL, secret="s", created_by="a", created_at="t"
    ).wants("VersionApproved")


# --- sending -----------------------------------------------------------------------------


def test_a_message_is_signed_sent_and_on_record() -> None:
    scene = Scene(204)
    added = scene.add()
    scene.tell()
    assert scene.post() is True
    [(url, signed, body)] = scene.sender.got
    verify(added["secret"], signed, body, scene.clock.now().timestamp())
    told = json.loads(body)
    assert (url, told["type"], told["data"]["version"]) == (URL, "VersionApproved", 1)
    assert told["data"]["project"] == PROJECT
    assert scene.records(added["webhook_id"]) == [("delivered", 1)]


def test_a_message_that_comes_twice_is_sent_once() -> None:
    scene = Scene(204)
    scene.add()
    scene.tell()
    scene.tell()
    assert scene.post(message=0) is True
    assert scene.post(message=1) is True
    assert len(scene.sender.got) == 1


@pytest.mark.parametrize(
    "answer", [500, 503, 429, 404, 301, 302, DependencyError("down"), RejectedError("inside")]
)
def test_a_failed_message_is_tried_again_after_growing_pauses(answer: int | Exception) -> None:
    scene = Scene(answer, answer, 200)
    added = scene.add()
    scene.tell()
    assert scene.post(1) is False
    assert scene.post(2) is False
    assert scene.records(added["webhook_id"]) == [("waiting", 2)]
    assert scene.post(3) is True
    assert scene.queue.pauses == list(BACKOFF_S[:2])
    assert scene.records(added["webhook_id"]) == [("delivered", 3)]
    assert len({signed["webhook-id"] for _, signed, _ in scene.sender.got}) == 1


def test_the_last_attempt_gives_up_on_record() -> None:
    scene = Scene(500)
    added = scene.add()
    scene.tell()
    assert scene.post(ATTEMPTS) is False
    assert scene.records(added["webhook_id"]) == [("given_up", ATTEMPTS)]


def test_a_receiver_that_is_gone_ends_its_subscription() -> None:
    scene = Scene(410)
    added = scene.add()
    scene.tell()
    assert scene.post() is True
    assert scene.records(added["webhook_id"]) == [("gone", 1)]
    [found] = webhooks_of(scene.state, PROJECT)
    assert found.disabled_because == "the receiver answered 410 Gone"
    assert scene.tell() == 0


def test_a_secret_that_is_gone_sends_nothing_unsigned() -> None:
    scene = Scene(204)
    scene.add()
    scene.tell()
    scene.secrets.kept.clear()
    assert scene.post() is False
    assert scene.sender.got == []


def test_a_test_message_goes_the_way_of_every_other() -> None:
    scene = Scene(204)
    added = scene.add(PROJECT, "VersionApproved")
    request = TestWebhook(action="test", project=PROJECT, webhook_id=added["webhook_id"])
    send_test(request, actor="ana", ids=scene.ids, queue=scene.queue, ports=scene.ports)
    assert scene.post() is True
    assert json.loads(scene.sender.got[0][2])["type"] == "WebhookTest"


# --- over the wire -----------------------------------------------------------------------


class Receiver(http.server.BaseHTTPRequestHandler):
    """Redirects what is asked of ``/moved``, and takes the rest."""

    got: list[tuple[str, bytes]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((self.path, body))
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.got = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.enable_socket
def test_a_body_arrives_as_it_was_signed_and_no_redirect_is_followed(receiver: str) -> None:
    sender = PublicHttpSender(local=True)
    assert sender.post(f"{receiver}/hook?a=1", {"webhook-id": "m"}, b'{"a":1}') == 200
    assert sender.post(f"{receiver}/moved", {}, b"{}") == 302
    assert Receiver.got == [("/hook?a=1", b'{"a":1}'), ("/moved", b"{}")]


@pytest.mark.enable_socket
def test_a_receiver_without_tls_is_no_https_receiver(receiver: str) -> None:
    sender = PublicHttpSender(local=True, context=ssl.create_default_context())
    with pytest.raises(DependencyError):
        sender.post(receiver.replace("http:", "https:"), {}, b"{}")
    assert Receiver.got == []


@pytest.mark.enable_socket
def test_a_closed_port_is_tried_later() -> None:
    with pytest.raises(DependencyError, match="ConnectionRefused"):
        PublicHttpSender(local=True, timeout_s=0.5).post("http://127.0.0.1:1/", {}, b"{}")
