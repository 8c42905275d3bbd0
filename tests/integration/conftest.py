"""One embedded AWS for the whole run of the integration tests, stopped whatever happens."""

from collections.abc import Iterator

import pytest

from steward_local import engine as embedded
from support.embedded import Account


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Engine]:
    """A running engine on a free port, its waits a twentieth of AWS's."""
    state_dir = tmp_path_factory.mktemp("engine")
    running = embedded.start(state_dir, time_scale=20, offline_store_delay=20)
    try:
        yield running
    finally:
        embedded.stop(state_dir)


@pytest.fixture(scope="session")
def account(engine: embedded.Engine) -> Iterator[Account]:
    """Clients and builders for the engine's account."""
    with Account(engine) as account:
        yield account
