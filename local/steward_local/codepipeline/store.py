"""What the embedded CodePipeline knows, per account and region."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import get_account_id, get_region

JsonObject = dict[str, Any]


def now() -> float:
    """Seconds since the epoch, to the millisecond."""
    return round(time.time(), 3)


def new_id() -> str:
    """A fresh identifier of an execution, a job or a token."""
    return str(uuid.uuid4())


@dataclass
class ActionRun:
    """One try of an action by one execution."""

    stage: str
    action: JsonObject
    execution_id: str
    run_id: str = field(default_factory=new_id)
    status: str = "InProgress"
    started: float = field(default_factory=now)
    updated: float = field(default_factory=now)
    summary: str = ""
    token: str = ""
    external_id: str = ""
    error: JsonObject = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    configuration: dict[str, str] = field(default_factory=dict)
    answered: threading.Event = field(default_factory=threading.Event)
    approved: bool = False

    def latest(self) -> JsonObject:
        """As ``GetPipelineState`` tells of it."""
        told: JsonObject = {
            "actionExecutionId": self.run_id, "status": self.status, "summary": self.summary,
            "lastStatusChange": self.updated,
        }  # fmt: skip
        if self.status == "InProgress" and self.token:
            told["token"] = self.token
        if self.external_id:
            told["externalExecutionId"] = self.external_id
        return {**told, "errorDetails": self.error} if self.error else told


@dataclass
class Job:
    """An invocation that waits for its answer."""

    run: ActionRun
    answer: JsonObject | None = None
    answered: threading.Event = field(default_factory=threading.Event)


@dataclass
class Execution:
    """One execution of a pipeline, of the declaration that it began with."""

    declaration: JsonObject
    variables: dict[str, str]
    trigger: JsonObject
    execution_id: str = field(default_factory=new_id)
    status: str = "InProgress"
    summary: str = ""
    started: float = field(default_factory=now)
    updated: float = field(default_factory=now)
    artifacts: dict[str, tuple[str, str]] = field(default_factory=dict)
    revisions: list[JsonObject] = field(default_factory=list)
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[ActionRun] = field(default_factory=list)
    stages: dict[str, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass
class Pipeline:
    """A pipeline; hold ``turn`` while reading or changing who is in which stage."""

    declaration: JsonObject
    created: float = field(default_factory=now)
    updated: float = field(default_factory=now)
    executions: dict[str, Execution] = field(default_factory=dict)
    inside: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[str]] = field(default_factory=dict)
    turn: threading.Condition = field(default_factory=threading.Condition)

    @property
    def name(self) -> str:
        """Name of the pipeline."""
        return str(self.declaration["name"])


@dataclass
class Store:
    """All pipelines of one account in one region."""

    account: str
    region: str
    pipelines: dict[str, Pipeline] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    tags: dict[str, list[JsonObject]] = field(default_factory=dict)

    def arn(self, name: str) -> str:
        """The ARN of a pipeline."""
        return f"arn:aws:codepipeline:{self.region}:{self.account}:{name}"


_stores: dict[tuple[str, str], Store] = {}
_lock = threading.Lock()


def current() -> Store:
    """The store of the account and region in whose name this thread works."""
    key = (get_account_id(), get_region())
    with _lock:
        return _stores.setdefault(key, Store(*key))


def clear() -> list[Store]:
    """Forget everything; return what there was."""
    with _lock:
        gone = list(_stores.values())
        _stores.clear()
        return gone
