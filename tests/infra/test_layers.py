"""The layers run on Lambda: wheels for its glibc, within its size, and all that is imported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.layers import LAMBDA_GLIBC, layers_of, run_like_lambda, unpacked
from support.templates import CHILDREN, ROOT, load, of_type

_UNPACKED_LIMIT_MB = 250
_ANALYTICS = sorted(
    resource["Properties"]["CodeUri"].removeprefix("../functions/")
    for path in CHILDREN
    for resource in of_type(load(path), "AWS::Serverless::Function").values()
    if layers_of(resource["Properties"]) == ("core", "analytics")
)


def _glibc_of(tag: str) -> tuple[int, int] | None:
    named = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
    platform = tag.rpartition("-")[2]
    for name, version in named.items():
        if platform.startswith(f"{name}_"):
            return version
    found = re.match(r"manylinux_(\d+)_(\d+)_", platform)
    return (int(found[1]), int(found[2])) if found else None


@pytest.mark.parametrize("layer", ["core", "analytics"])
def test_every_wheel_runs_on_lambdas_glibc(layer: str) -> None:
    wheels = sorted(unpacked(layer).glob("*.dist-info/WHEEL"))
    assert wheels
    for wheel in wheels:
        tags = re.findall(r"(?m)^Tag: (\S+)$", wheel.read_text(encoding="utf-8"))
        runs = [
            tag
            for tag in tags
            if tag.endswith("-none-any")
            or (tag.endswith("x86_64") and (_glibc_of(tag) or (9, 9)) <= LAMBDA_GLIBC)
        ]
        assert runs, (wheel.parent.name, tags)


def test_both_layers_together_stay_within_lambdas_limit() -> None:
    size = sum(
        path.stat().st_size
        for folder in (*map(unpacked, ("core", "analytics")), ROOT / "layers" / "core" / "steward")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert size / 2**20 < _UNPACKED_LIMIT_MB


@pytest.mark.parametrize("function", _ANALYTICS)
def test_an_analytics_function_imports_with_its_layers_and_its_code_alone(
    function: str, runtime_sdk: Path
) -> None:
    """The control functions: `test_cold_imports.py`, which imports them the same way."""
    code = "import app; assert callable(app.handler)"
    run_like_lambda(code, ROOT / "functions" / function, runtime_sdk, ("core", "analytics"))
