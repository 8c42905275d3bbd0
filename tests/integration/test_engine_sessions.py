"""Sessions of roles in the embedded AWS, taken by many at once."""

import threading
import time

import pytest
from ministack.services import sts

from steward_local.credentials import forget_expired_sessions

pytestmark = pytest.mark.integration


def test_sessions_expire_while_others_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: dict[str, dict[str, float]] = {
        f"old{n}": {"Expiration": time.time() - 1} for n in range(2_000)
    }
    monkeypatch.setattr(sts, "_sessions", sessions)
    forget = forget_expired_sessions(sts._evict_expired_sessions)
    stop = threading.Event()

    def add() -> None:
        number = 0
        while not stop.is_set():
            sessions[f"new{number}"] = {"Expiration": time.time() + 60}
            number += 1

    adding = threading.Thread(target=add)
    adding.start()
    try:
        for _ in range(20):
            forget()
    finally:
        stop.set()
        adding.join()
    assert all(name.startswith("new") for name in sessions)
