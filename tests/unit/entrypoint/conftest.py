"""What tests of the doorways share."""

import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from steward.entrypoint import logger


@pytest.fixture
def log_lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The lines that the function has logged so far, parsed."""
    stream = io.StringIO()
    handler: Any = logger().registered_handler
    before = handler.setStream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    handler.setStream(before)
