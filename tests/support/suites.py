"""Running a port's contract suite again elsewhere, against another form of the port."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def cases_of(suite: ModuleType) -> dict[str, Any]:
    """Return the tests of a suite by name; the module that takes them brings the fixture."""
    return {name: test for name, test in vars(suite).items() if name.startswith("test_")}
