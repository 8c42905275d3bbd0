"""What each ring of tests may touch: unit tests no network, the others loopback alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_socket

from steward.domain import duckdb_imports
from support.isolation import aws, isolated, no_network, scrubbed

__all__ = ["aws", "isolated", "no_network", "scrubbed"]

# Tests give DuckDB many values.
duckdb_imports.answer_at_once()

_TESTS = Path(__file__).parent
_SCRUBBED = ("unit", "contracts", "infra")
_MARKED = ("integration", "e2e")
_LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def _ring(path: Path) -> str:
    return path.relative_to(_TESTS).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder and run the cheap rings first.

    Of processes that share the tests (``--dist loadgroup``) each file stays in one. The two that
    take the end-to-end tests each deploy the stack: in one, whatever begins with a trained
    version is released; the other plays the demo's story and the rest.
    """
    order = ("unit", "contracts", "infra", "statemachines", "integration", "e2e")
    releasing = {item.path for item in items if "trained" in getattr(item, "fixturenames", ())}
    for item in items:
        ring = _ring(item.path)
        if ring in _MARKED:
            item.add_marker(ring)
        group = str(item.path.relative_to(_TESTS))
        if ring == "e2e":
            group = "e2e-releases" if item.path in releasing else "e2e-story"
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: order.index(_ring(item.path)))


@pytest.fixture(autouse=True)
def _ring_limits(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep tests off the network and, in the inner rings, off the caller's environment."""
    ring = _ring(request.path)
    if ring in _SCRUBBED:
        request.getfixturevalue("scrubbed")
    if ring == "unit":
        request.getfixturevalue("no_network")
        yield
        return
    pytest_socket.socket_allow_hosts(_LOOPBACK, allow_unix_socket=True)
    yield
    pytest_socket._remove_restrictions()
