"""What each ring of tests may touch: unit tests no network, the others loopback alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_socket
from xdist.remote import Producer

from steward.domain import duckdb_imports
from support.isolation import aws, isolated, no_network, scrubbed
from support.sharing import Sharing, give_way

# Threads of OpenBLAS wait by spinning: beside other processes, two of them take five times the
# processor time of one to train a model of ten columns. numpy reads this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

__all__ = ["aws", "isolated", "no_network", "scrubbed"]

# Tests give DuckDB many values.
duckdb_imports.answer_at_once()

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("steward", deadline=None)
hypothesis.settings.load_profile("steward")

_TESTS = Path(__file__).parent
_SCRUBBED = ("unit", "contracts", "infra")
_MARKED = ("integration", "e2e", "sam_local")
_LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def _ring(path: Path) -> str:
    return path.relative_to(_TESTS).parts[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder and run the cheap rings first."""
    order = ("unit", "contracts", "infra", "statemachines", "integration", "e2e", "sam_local")
    for item in items:
        ring = _ring(item.path)
        if ring in _MARKED:
            item.add_marker(ring)
    items.sort(key=lambda item: order.index(_ring(item.path)))


def pytest_configure(config: pytest.Config) -> None:
    """Let a process of several give way where its tests are not the ones that watch the time."""
    worker: dict[str, int | str] | None = getattr(config, "workerinput", None)
    if worker is not None:
        give_way(str(worker["workerid"]), int(worker["workercount"]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    """Share the tests between processes as :class:`support.sharing.Sharing` says."""
    return Sharing(config, log)


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
