"""What the embedded SageMaker knows, per account and region."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import get_account_id, get_region

Record = dict[str, Any]


def now() -> float:
    """Seconds since the epoch, to the millisecond, as SageMaker reports times."""
    return round(time.time(), 3)


@dataclass
class Job:
    """A training, processing or transform job: its description and the handles of its run.

    Attributes:
        metrics: What its log said of each metric, in order.
    """

    record: Record
    request: Record
    metrics: dict[str, list[float]] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _callbacks: list[Callable[[], None]] = field(default_factory=list)

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the job has ended, at once if it already has."""
        with self._lock:
            if not self.done.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def finish(self) -> None:
        """Mark the job as ended and tell who waits."""
        with self._lock:
            self.done.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


@dataclass
class Store:
    """All resources of one account in one region; hold `lock` while reading or changing."""

    account: str
    region: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    training_jobs: dict[str, Job] = field(default_factory=dict)
    processing_jobs: dict[str, Job] = field(default_factory=dict)
    transform_jobs: dict[str, Job] = field(default_factory=dict)
    tuning_jobs: dict[str, Job] = field(default_factory=dict)
    models: dict[str, Record] = field(default_factory=dict)
    endpoint_configs: dict[str, Record] = field(default_factory=dict)
    endpoints: dict[str, Any] = field(default_factory=dict)
    package_groups: dict[str, Record] = field(default_factory=dict)
    packages: dict[str, Record] = field(default_factory=dict)
    model_cards: dict[str, list[Record]] = field(default_factory=dict)
    card_exports: dict[str, Record] = field(default_factory=dict)
    feature_groups: dict[str, Any] = field(default_factory=dict)
    lineage_entities: dict[str, Record] = field(default_factory=dict)
    lineage_associations: dict[tuple[str, str], Record] = field(default_factory=dict)
    last_version: dict[str, int] = field(default_factory=dict)
    group_policies: dict[str, str] = field(default_factory=dict)
    client_tokens: dict[str, str] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)

    def arn(self, kind: str, name: str) -> str:
        """The ARN of a resource; SageMaker writes endpoint names and the like in lower case."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{kind}/{name.lower()}"

    def tag(self, arn: str, tags: list[dict[str, str]] | None) -> None:
        """Add tags to a resource, replacing those of the same key."""
        with self.lock:
            known = self.tags.setdefault(arn, {})
            known.update({tag["Key"]: tag["Value"] for tag in tags or []})


_stores: dict[tuple[str, str], Store] = {}
_stores_lock = threading.Lock()


def current() -> Store:
    """The store of the account and region in whose name this thread works."""
    key = (get_account_id(), get_region())
    with _stores_lock:
        return _stores.setdefault(key, Store(*key))


def every() -> list[Store]:
    """All stores."""
    with _stores_lock:
        return list(_stores.values())


def clear() -> None:
    """Forget everything."""
    with _stores_lock:
        _stores.clear()
