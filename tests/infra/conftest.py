"""What the checks of layers and of cold imports share."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.layers import link_sdk


@pytest.fixture(scope="session")
def runtime_sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with boto3 and its parts alone."""
    return link_sdk(tmp_path_factory.mktemp("runtime"))
