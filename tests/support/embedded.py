"""Builders of AWS resources in an embedded AWS, for tests."""

import contextlib
import io
import itertools
import json
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import boto3
import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from steward_local.engine import Engine

T = TypeVar("T")
_LAMBDA_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
_numbers = itertools.count(1)

PATIENCE_S = 120.0
"""How long a test waits for what happens within seconds on a machine that has nothing to do."""


def unique(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


def zipped(files: dict[str, str]) -> bytes:
    """Return a zip archive of text files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def eventually(read: Callable[[], T | None], *, within: float = PATIENCE_S, what: str = "it") -> T:
    """Return the first value that is neither None nor empty, or fail after `within` seconds.

    The deadline ends a test that hangs. How fast something is, it does not say.
    """
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        value = read()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {within} s")


@dataclass(frozen=True)
class Keys:
    """Credentials of one caller."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a function URL answered."""

    status: int
    body: Any


class Account:
    """Clients of one engine's account, and builders that need several calls."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.root = Keys(engine.access_key, engine.secret_key)
        self._stack = contextlib.ExitStack()
        self._clients: dict[tuple[str, Keys], Any] = {}
        self._http = urllib3.PoolManager()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.clear()
        self._stack.close()

    def client(self, service: str, keys: Keys | None = None) -> Any:
        """Return a client of a service, as the root or another caller."""
        keys = keys or self.root
        key = (service, keys)
        if key not in self._clients:
            session = boto3.session.Session(
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                aws_session_token=keys.token,
                region_name=self.engine.region,
            )
            config = Config(retries={"total_max_attempts": 1}, read_timeout=120)
            client = session.client(service, endpoint_url=self.engine.endpoint, config=config)
            self._stack.callback(client.close)
            self._clients[key] = client
        return self._clients[key]

    def role(
        self, statements: list[dict[str, Any]], trust: dict[str, Any] | None = None
    ) -> tuple[str, str]:
        """Create a role; return its name and ARN. By default Lambda may assume it."""
        name = unique("role")
        iam = self.client("iam")
        document = json.dumps(trust or _LAMBDA_TRUST)
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
        return name, arn

    def user(self, statements: list[dict[str, Any]]) -> tuple[str, Keys]:
        """Create a user with an access key; return its ARN and keys."""
        name = unique("user")
        iam = self.client("iam")
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        if statements:
            policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return arn, Keys(key["AccessKeyId"], key["SecretAccessKey"])

    def session_of(self, role_arn: str, session: str, keys: Keys) -> Keys:
        """Assume a role and return the session's keys."""
        assumed = self.client("sts", keys).assume_role(RoleArn=role_arn, RoleSessionName=session)
        found = assumed["Credentials"]
        return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def function(
        self,
        source: str,
        *,
        statements: list[dict[str, Any]] | None = None,
        **configuration: Any,
    ) -> str:
        """Create a Python function of one module `app`; return its name."""
        name = unique("function")
        _, role = self.role(statements or [])
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.11",
            Handler="app.handler",
            Role=role,
            Code={"ZipFile": zipped({"app.py": textwrap.dedent(source)})},
            **{"Timeout": 10, "MemorySize": 256, **configuration},
        )
        return name

    def function_arn(self, name: str) -> str:
        """Return the ARN of a function."""
        return f"arn:aws:lambda:{self.engine.region}:{self.engine.account}:function:{name}"

    def invoke(self, name: str, event: Any = None) -> tuple[Any, str | None]:
        """Invoke a function; return its answer and the kind of its error, if any."""
        response = self.client("lambda").invoke(
            FunctionName=name, Payload=json.dumps(event).encode()
        )
        return json.loads(response["Payload"].read()), response.get("FunctionError")

    def log_lines(self, group: str) -> list[str]:
        """Return the messages of a log group, oldest first."""
        logs = self.client("logs")
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            events = logs.filter_log_events(logGroupName=group)["events"]
            return [event["message"] for event in events]
        return []

    def queue(self) -> tuple[str, str]:
        """Create a queue; return its URL and ARN."""
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, attributes["Attributes"]["QueueArn"]

    def received(self, queue_url: str) -> Iterator[Any]:
        """Take the messages that are in a queue now, as JSON."""
        sqs = self.client("sqs")
        found = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        )
        for message in found.get("Messages", []):
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            attributes = {
                name: value["StringValue"]
                for name, value in message.get("MessageAttributes", {}).items()
            }
            yield {"body": json.loads(message["Body"]), "attributes": attributes}

    def call_url(self, url: str, keys: Keys | None, body: str = "") -> Answer:
        """POST to a function URL, signed with SigV4 unless `keys` is None."""
        request = AWSRequest("POST", url, data=body, headers={"content-type": "application/json"})
        if keys is not None:
            credentials = Credentials(keys.access_key, keys.secret_key, keys.token)
            SigV4Auth(credentials, "lambda", self.engine.region).add_auth(request)
        headers = dict(request.headers.items())
        response = self._http.request("POST", url, body=body, headers=headers, retries=False)
        return Answer(response.status, json.loads(response.data or b"null"))
