"""What control functions decide with must load neither numpy nor pydantic."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["retraining", "labels", "chunking", "segments", "detectors"])
def test_a_module_of_decisions_loads_neither_numpy_nor_pydantic(module: str) -> None:
    program = (
        f"import sys, steward.domain.monitoring.{module};"
        "print(*(name for name in ('numpy', 'pydantic', 'duckdb') if name in sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert found.stdout.strip() == ""
