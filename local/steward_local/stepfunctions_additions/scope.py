"""Cancellation: an execution, its branches and its calls, each ended with what surrounds it."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
Submitted = Callable[[Any], None]
"""Told what a service answered when it took a job that a task then waits for."""


class Cancelled(BaseException):
    """The scope was cancelled. Not an `Exception`, so that no state machine can catch it."""


class Scope:
    """Something that can be cancelled, and everything inside it with it."""

    def __init__(self, parent: Scope | None = None) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._event = threading.Event()
        self.reason = ""
        if parent is not None:
            parent.on_cancel(lambda: self.cancel(parent.reason))

    @property
    def is_cancelled(self) -> bool:
        """Whether the scope was cancelled."""
        return self._event.is_set()

    def cancel(self, reason: str) -> None:
        """Cancel this scope and all inside it; the first reason stays."""
        with self._lock:
            if self._event.is_set():
                return
            self.reason = reason
            self._event.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the scope is cancelled, at once if it already is."""
        with self._lock:
            if not self._event.is_set():
                self._callbacks.append(callback)
                return
        callback()

    def check(self) -> None:
        """Raise `Cancelled` if the scope was cancelled."""
        if self._event.is_set():
            raise Cancelled(self.reason)

    def sleep(self, seconds: float) -> None:
        """Wait; raises `Cancelled` as soon as the scope is."""
        if self._event.wait(max(0.0, seconds)):
            raise Cancelled(self.reason)

    def run(self, work: Callable[[Scope], T], seconds: float | None = None) -> T:
        """Run `work` in a thread and return its result.

        When the scope is cancelled or `seconds` are over, the scope that `work` was given is
        cancelled and this returns at once, whatever the thread is doing.

        Raises:
            TimeoutError: `seconds` were over.
            Cancelled: the scope was cancelled.
        """
        inner = Scope(self)
        finished = threading.Event()
        outcome: list[tuple[bool, Any]] = []

        def body() -> None:
            try:
                outcome.append((True, work(inner)))
            except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
                outcome.append((False, error))
            finally:
                finished.set()

        inner.on_cancel(finished.set)
        threading.Thread(
            target=contextvars.copy_context().run, args=(body,), daemon=True, name="sfn-call"
        ).start()
        if not finished.wait(seconds):
            inner.cancel("timed out")
            raise TimeoutError
        if not outcome:
            raise Cancelled(self.reason)
        succeeded, value = outcome[0]
        if succeeded:
            result: T = value
            return result
        raise value


_current: contextvars.ContextVar[Scope | None] = contextvars.ContextVar(
    "steward_states_scope", default=None
)


def enter(scope: Scope) -> None:
    """Make `scope` the one in which this thread sleeps."""
    _current.set(scope)


def sleep(seconds: float) -> None:
    """Sleep in the current scope, or simply sleep outside of one."""
    scope = _current.get()
    if scope is None:
        time.sleep(max(0.0, seconds))
    else:
        scope.sleep(seconds)
