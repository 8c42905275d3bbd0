"""What the server process runs beside the requests, and what it ends when it stops."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)
_start: list[Callable[[], None]] = []
_stop: list[Callable[[], None]] = []
stopping = threading.Event()


def on_start(action: Callable[[], None]) -> None:
    """Run `action` once, in the server process, right before it accepts requests."""
    _start.append(action)


def on_stop(action: Callable[[], None]) -> None:
    """Run `action` when the server stops; it must end what it started within two seconds."""
    _stop.append(action)


def started() -> None:
    """Run every start action."""
    for action in _start:
        action()


def stopped() -> None:
    """Run every stop action, the last registered first; one failure does not keep the others."""
    stopping.set()
    for action in reversed(_stop):
        try:
            action()
        except Exception:  # noqa: BLE001  (the engine must end whatever a part of it does)
            _log.exception("A part of the engine did not stop cleanly")


def every(seconds: float, action: Callable[[], None], name: str) -> None:
    """Run `action` about every `seconds` (real time) in a daemon thread until the server stops."""

    def loop() -> None:
        while not stopping.wait(seconds):
            try:
                action()
            except Exception:  # noqa: BLE001  (a background loop logs and goes on)
                _log.exception("%s failed", name)

    on_start(lambda: threading.Thread(target=loop, name=name, daemon=True).start())
