"""The executions that run in this process: how to end them and how to wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ministack.services import stepfunctions as sf

from steward_local.stepfunctions_additions.scope import Scope

_lock = threading.Lock()
_scopes: dict[str, Scope] = {}
_waiting: dict[str, list[Callable[[], None]]] = {}


def begin(arn: str) -> Scope:
    """The scope of an execution that starts now."""
    scope = Scope()
    with _lock:
        _scopes[arn] = scope
    if sf._executions[arn]["status"] != "RUNNING":
        scope.cancel("aborted")
    return scope


def end(arn: str) -> None:
    """Forget an execution that has ended and tell who waits for it."""
    with _lock:
        _scopes.pop(arn, None)
        callbacks = _waiting.pop(arn, [])
    for callback in callbacks:
        callback()


def cancel(arn: str, reason: str) -> None:
    """End an execution's work, if it runs."""
    with _lock:
        scope = _scopes.get(arn)
    if scope is not None:
        scope.cancel(reason)


def cancel_all(reason: str) -> None:
    """End the work of every execution."""
    with _lock:
        scopes = list(_scopes.values())
    for scope in scopes:
        scope.cancel(reason)


def has_ended(arn: str) -> bool:
    """Whether the execution is over."""
    execution = sf._executions.get(arn)
    return execution is None or execution["status"] != "RUNNING"


def when_ended(arn: str, callback: Callable[[], None]) -> None:
    """Call `callback` when the execution is over, at once if it is."""
    with _lock:
        if not has_ended(arn):
            _waiting.setdefault(arn, []).append(callback)
            return
    callback()
