"""What every test below the integration ring gets: no network, a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from moto import mock_aws
from pytest_socket import disable_socket, enable_socket

from steward import bootstrap
from steward import settings as settings_module
from steward.adapters.clients import Clients

REGION = "us-east-1"
_OURS = ("AWS_", "STEWARD_", "POWERTOOLS_", "SAGEMAKER_", "SM_", "LAMBDA_")
_ENDINGS = ("_TABLE", "_BUCKET", "_TOPIC", "_MACHINE", "_PARAMETER", "_ARN", "_URL", "_NAME")


@pytest.fixture
def scrubbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment without AWS's and our variables, and no settings kept from before."""
    for name in list(os.environ):
        if name.startswith(_OURS) or (name.isupper() and name.endswith(_ENDINGS)):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", REGION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    forget()
    yield monkeypatch
    forget()


def forget() -> None:
    """Drop the settings and the application of this process."""
    settings_module.settings.cache_clear()
    bootstrap.app.cache_clear()


@pytest.fixture
def no_network(request: pytest.FixtureRequest) -> Iterator[None]:
    """Sockets raise, but for tests marked ``enable_socket``."""
    if request.node.get_closest_marker("enable_socket"):
        yield
        return
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture
def isolated(scrubbed: pytest.MonkeyPatch, no_network: None) -> None:
    """No network and a clean environment."""


@pytest.fixture
def aws(scrubbed: pytest.MonkeyPatch) -> Iterator[Clients]:
    """An empty AWS account in memory (moto), and clients of it."""
    scrubbed.setenv("AWS_ACCESS_KEY_ID", "testing")
    scrubbed.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield _clients()


@cache
def _clients() -> Clients:
    """Return clients that all tests share: making one costs more than most tests."""
    return Clients(REGION)


def queue(clients: Clients, name: str = "failures") -> str:
    """Create a queue; return its URL."""
    return str(clients.get("sqs").create_queue(QueueName=name)["QueueUrl"])


def messages(clients: Clients, url: str) -> list[Any]:
    """Take what lies in a queue, as text."""
    found = clients.get("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)
    return [message["Body"] for message in found.get("Messages", [])]
