"""The mail's contract, kept by SNS's adapter and by the fake."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from steward.adapters.clients import Clients
from steward.adapters.mail import SnsMail
from steward.domain.errors import RejectedError
from steward.ports import Mail
from support.fakes import FakeMail
from support.isolation import messages, queue

pytestmark = pytest.mark.usefixtures("isolated")


@dataclass
class Subject:
    """A mail port, and subject and body of what its approver got."""

    mail: Mail
    received: Callable[[], list[tuple[str, str]]]


@pytest.fixture(params=["fake", "sns"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        fake = FakeMail()
        return Subject(fake, lambda: [(m.subject, m.body) for m in fake.sent])
    clients: Clients = request.getfixturevalue("aws")
    sns, url = clients.get("sns"), queue(clients)
    found = clients.get("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn = sns.create_topic(Name="approver")["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=found["Attributes"]["QueueArn"])

    def received() -> list[tuple[str, str]]:
        letters = map(json.loads, messages(clients, url))
        return [(letter["Subject"], letter["Message"]) for letter in letters]

    return Subject(SnsMail(sns, {"approver": arn}), received)


def test_a_role_gets_subject_and_body(subject: Subject) -> None:
    subject.mail.send("approver", "Version 2 of diabetes waits", "Please look.\nsüß")

    assert subject.received() == [("Version 2 of diabetes waits", "Please look.\nsüß")]


@pytest.mark.parametrize("text", ["x" * 300, "a\nb\tc\r\n d", "größe \N{SNOWMAN}", "", "\n"])
def test_a_subject_becomes_one_short_line_of_ascii(subject: Subject, text: str) -> None:
    subject.mail.send("approver", text, "body")

    ((line, _),) = subject.received()
    assert line.isascii()
    assert line.isprintable()
    assert 0 < len(line) < 100


def test_a_role_without_a_topic_is_refused(subject: Subject) -> None:
    with pytest.raises(RejectedError, match="nobody"):
        subject.mail.send("nobody", "s", "b")
