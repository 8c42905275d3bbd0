"""Annotations of traces: one datagram in X-Ray's form, or none and no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from steward import entrypoint
from steward.adapters.traces import HEADER, annotate
from steward.entrypoint import step
from support.lambda_context import LambdaContext

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
ENVIRONMENT = {"_X_AMZN_TRACE_ID": TRACE, "AWS_XRAY_DAEMON_ADDRESS": "169.254.79.129:2000"}


class Sent:
    """What was sent, and where."""

    def __init__(self) -> None:
        self.all: list[tuple[bytes, tuple[str, int]]] = []

    def __call__(self, content: bytes, daemon: tuple[str, int]) -> None:
        self.all.append((content, daemon))

    @property
    def document(self) -> dict[str, Any]:
        [(content, _)] = self.all
        assert content.startswith(HEADER)
        found: dict[str, Any] = json.loads(content.removeprefix(HEADER))
        return found


def test_a_subsegment_of_the_function_carries_the_annotations() -> None:
    sent = Sent()
    annotations = {"project": "churn", "correlation_id": "r1", "version": 3, "run-id": None}
    assert annotate("steward", annotations, 10.0, 10.5, ENVIRONMENT, send=sent)
    assert sent.all[0][1] == ("169.254.79.129", 2000)
    document = sent.document
    assert len(document.pop("id")) == 16
    assert document == {
        "type": "subsegment", "name": "steward",
        "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "parent_id": "53995c3f42cd8ad8",
        "start_time": 10.0, "end_time": 10.5, "fault": False,
        "annotations": {"project": "churn", "correlation_id": "r1", "version": 3},
    }  # fmt: skip


def test_keys_and_values_keep_x_rays_limits() -> None:
    sent = Sent()
    annotate("steward", {"run-id.1": "x" * 3000}, 1, 0, ENVIRONMENT, send=sent)
    assert sent.document["annotations"] == {"run_id_1": "x" * 1000}
    assert sent.document["end_time"] == 1


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {**ENVIRONMENT, "_X_AMZN_TRACE_ID": TRACE.replace("Sampled=1", "Sampled=0")},
        {**ENVIRONMENT, "_X_AMZN_TRACE_ID": "Root=1-2-3;Sampled=1"},
        {**ENVIRONMENT, "AWS_XRAY_DAEMON_ADDRESS": ""},
        {**ENVIRONMENT, "AWS_XRAY_DAEMON_ADDRESS": "nowhere"},
        {**ENVIRONMENT, "AWS_XRAY_DAEMON_ADDRESS": "tcp:127.0.0.1:2000"},
    ],
)
def test_nothing_is_sent_where_nobody_traces(environment: dict[str, str]) -> None:
    sent = Sent()
    assert not annotate("steward", {"project": "churn"}, 0, 1, environment, send=sent)
    assert sent.all == []


def test_both_forms_of_the_daemons_address_are_read() -> None:
    sent = Sent()
    address = "tcp:127.0.0.1:2000 udp:127.0.0.2:2001"
    annotate("s", {}, 0, 1, {**ENVIRONMENT, "AWS_XRAY_DAEMON_ADDRESS": address}, send=sent)
    assert sent.all[0][1] == ("127.0.0.2", 2001)


def test_a_daemon_that_cannot_be_reached_is_no_error() -> None:
    def refuse(_content: bytes, _daemon: tuple[str, int]) -> None:
        raise OSError("unreachable")

    assert not annotate("steward", {}, 0, 1, ENVIRONMENT, send=refuse)


class _Command(BaseModel):
    project: str
    correlation_id: str


@pytest.mark.parametrize("fails", [False, True])
def test_a_task_annotates_its_trace_with_the_correlation_id(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[dict[str, object], bool]] = []

    def note(_name: str, annotations: Any, *_: Any, failed: bool) -> bool:
        told.append((dict(annotations), failed))
        return True

    monkeypatch.setattr(entrypoint, "annotate", note)

    @step(_Command)
    def handler(_command: _Command) -> None:
        if fails:
            raise ValueError("no")

    event = {"project": "churn", "correlation_id": "r1"}
    if fails:
        with pytest.raises(ValueError, match="no"):
            handler(event, LambdaContext())
    else:
        handler(event, LambdaContext())
    assert told == [(event, fails)]
