"""What single adapters do beyond their port's contract."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st

from steward.adapters.clients import Clients
from steward.adapters.failures import SqsFailureQueue
from steward.adapters.mail import MAX_BODY_BYTES, SnsMail, subject_line
from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock, UuidIds
from steward.domain.errors import AccessDeniedError, DependencyError
from support.isolation import messages, queue


@given(st.text(max_size=300))
def test_every_text_becomes_a_subject_that_sns_takes(text: str) -> None:
    line = subject_line(text)

    assert line.isascii()
    assert line.isprintable()
    assert line == line.strip()
    assert 0 < len(line) < 100


def test_a_subject_keeps_what_ascii_can_say() -> None:
    text = "Größe 3 \N{EN DASH} \N{LEFT DOUBLE QUOTATION MARK}café" + "\N{SNOWMAN}"

    assert subject_line(text) == 'Grosse 3 - "cafe?'


class Topic:
    """An SNS client that keeps what it publishes."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []

    def publish(self, **letter: str) -> None:
        self.sent.append(letter)


def test_a_mail_that_is_too_long_is_cut_and_says_so() -> None:
    topic = Topic()

    SnsMail(topic, {"owner": "arn"}).send("owner", "s", "ü" * 200_000)

    body = topic.sent[0]["Message"]
    assert len(body.encode()) <= MAX_BODY_BYTES + 100
    assert body.endswith("[cut: the mail was too long]")


def test_an_object_without_a_known_digest_is_read_and_hashed(aws: Clients) -> None:
    s3 = aws.get("s3")
    s3.create_bucket(Bucket="data")
    content = b"x" * 3_000_000
    s3.put_object(Bucket="data", Key="k", Body=content)

    store = S3ObjectStore(s3)
    info = store.describe("data", "k")

    assert info is not None
    assert info.sha256 is None
    assert store.sha256("data", "k") == hashlib.sha256(content).hexdigest()


def test_a_large_file_goes_up_in_parts_and_keeps_its_digest(aws: Clients, tmp_path: Path) -> None:
    s3 = aws.get("s3")
    s3.create_bucket(Bucket="data")
    path = tmp_path / "large"
    path.write_bytes(b"0123456789" * 1_000_000)

    store = S3ObjectStore(s3, single_put_bytes=1_000_000)
    digest = store.upload(str(path), "s3://data/large")

    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert store.sha256("data", "large") == digest


class _Head:
    def __init__(self, head: dict[str, Any]) -> None:
        self._head = head

    def head_object(self, **_: Any) -> dict[str, Any]:
        return {"ContentLength": 1, **self._head}


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ({"ChecksumSHA256": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="}, True),
        ({"ChecksumSHA256": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
          "ChecksumType": "FULL_OBJECT"}, True),
        ({"ChecksumSHA256": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
          "ChecksumType": "COMPOSITE"}, False),
        ({"ChecksumSHA256": "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=-2"}, False),
        ({"ChecksumCRC32": "AAAAAA=="}, False),
    ],
)  # fmt: skip
def test_only_a_digest_of_the_whole_object_is_its_digest(head: dict[str, str], known: bool) -> None:
    info = S3ObjectStore(_Head(head)).describe("data", "k")

    assert info is not None
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert info.sha256 == (expected if known else None)


class _Breaking:
    """A client whose object breaks off in the middle."""

    class Body:
        """A body that gives a little and then times out."""

        def __init__(self) -> None:
            self.reads = 0

        def read(self, _size: int) -> bytes:
            self.reads += 1
            if self.reads > 1:
                raise ReadTimeoutError(endpoint_url="https://s3")
            return b"some"

        def close(self) -> None:
            """Nothing is open."""

    def get_object(self, **_: str) -> dict[str, Any]:
        return {"Body": self.Body()}


def test_a_stream_that_breaks_off_is_a_failing_dependency() -> None:
    store = S3ObjectStore(_Breaking())

    with pytest.raises(DependencyError, match="s3://data/k"):
        store.read("s3://data/k")


def test_a_role_that_may_not_look_is_told_so(aws: Clients) -> None:
    class Denied:
        def head_object(self, **_: str) -> None:
            from botocore.exceptions import ClientError

            raise ClientError(
                {"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "Head"
            )

    with pytest.raises(AccessDeniedError, match="s3://data/k"):
        S3ObjectStore(Denied()).describe("data", "k")


def test_a_refused_event_is_kept_like_a_lambda_destination_record(aws: Clients) -> None:
    url = queue(aws)

    SqsFailureQueue(aws.get("sqs"), url).send(
        {"id": "1"}, {"error": "MalformedEventError"}, request_id="r", function_arn="arn"
    )

    (record,) = map(json.loads, messages(aws, url))
    assert record["requestPayload"] == {"id": "1"}
    assert record["responsePayload"] == {"error": "MalformedEventError"}
    assert record["requestContext"]["requestId"] == "r"
    assert record["requestContext"]["functionArn"] == "arn"


def test_a_refused_event_that_is_too_large_is_kept_in_part(aws: Clients) -> None:
    url = queue(aws)

    SqsFailureQueue(aws.get("sqs"), url).send({"id": "1", "text": "ü" * 300_000}, {"error": "E"})

    (record,) = map(json.loads, messages(aws, url))
    assert record["requestPayload"]["cut"].startswith('{"id": "1", "text"')


def test_the_clock_tells_utc_and_ids_are_uuids() -> None:
    now, ids = SystemClock().now(), UuidIds()

    assert now.utcoffset() is not None
    assert now.tzname() == "UTC"
    assert uuid.UUID(ids.new()).version == 4
    assert ids.new() != ids.new()


def test_a_client_is_made_once_for_each_configuration(scrubbed: pytest.MonkeyPatch) -> None:
    clients = Clients("eu-central-1")

    assert clients.get("sns") is clients.get("sns")
    assert clients.get("sns", read_timeout_s=1) is not clients.get("sns")
    config = clients.get("sns", read_timeout_s=1.5, attempts=1).meta.config
    assert (config.read_timeout, config.connect_timeout) == (1.5, 1.5)
    assert config.retries == {"mode": "standard", "total_max_attempts": 1}
    assert clients.get("sns").meta.region_name == "eu-central-1"
