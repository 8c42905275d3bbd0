"""The contract of the queue of copies, kept by SQS's adapter and by the fake."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from steward.adapters.clients import Clients
from steward.adapters.mirror import SEND_TIMEOUT_S, SqsMirrorQueue
from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    RejectedError,
    StewardError,
    ThrottledError,
)
from steward.ports import MirrorQueue
from support.fake_mirror import FakeMirrorQueue
from support.isolation import messages, queue

pytestmark = pytest.mark.usefixtures("isolated")


@pytest.fixture(params=["fake", "sqs"])
def mirror(request: pytest.FixtureRequest) -> tuple[MirrorQueue, Any]:
    if request.param == "fake":
        fake = FakeMirrorQueue()
        return fake, lambda: fake.copies
    clients = request.getfixturevalue("aws")
    url = queue(clients)
    return SqsMirrorQueue(clients, url), lambda: messages(clients, url)


def test_a_copy_is_left_as_it_is(mirror: tuple[MirrorQueue, Any]) -> None:
    mirror[0].send('{"entity_id":"p\\u00e41"}')
    (found,) = mirror[1]()
    assert found in ('{"entity_id":"p\\u00e41"}', {"entity_id": "p\u00e41"})


def test_a_copy_that_is_too_long_is_refused(mirror: tuple[MirrorQueue, Any]) -> None:
    with pytest.raises(RejectedError) as refused:
        mirror[0].send("x" * 260_000)
    assert refused.value.field == "copy"
    assert mirror[1]() == []


class Failing(Clients):
    """A client that fails, and how it was asked for."""

    def __init__(self, error: Exception) -> None:
        super().__init__("us-east-1")
        self.error, self.asked = error, (0.0, 0)

    def get(self, service: str, *, read_timeout_s: float = 30, attempts: int = 4) -> Any:
        self.asked = (read_timeout_s, attempts)
        return self

    def send_message(self, **_message: str) -> None:
        raise self.error


@pytest.mark.parametrize(("error", "kind"), [
    (ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessage"), AccessDeniedError),
    (ClientError({"Error": {"Code": "RequestThrottled"}}, "SendMessage"), ThrottledError),
    (ClientError({"Error": {"Code": "KMS.ThrottlingException"},
                  "ResponseMetadata": {"HTTPStatusCode": 500}}, "SendMessage"), DependencyError),
    (ReadTimeoutError(endpoint_url="https://sqs"), DependencyError),
])  # fmt: skip
def test_what_sqs_refuses_is_told_at_once(error: Exception, kind: type[StewardError]) -> None:
    clients = Failing(error)
    with pytest.raises(kind):
        SqsMirrorQueue(clients, "https://sqs/queue").send("{}")
    assert clients.asked == (SEND_TIMEOUT_S, 1)
