"""A budget for cold starts: what a control function imports beyond the tools that all need.

The yardstick is measured in the same run on the same machine: boto3, Powertools and pydantic
alone. Counted is processor time, and the best of three: other processes run beside the tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.layers import layers_of, run_like_lambda
from support.templates import CHILDREN, ROOT, load, of_type

_TIMES = 1.5
_MEMORY_MB = 80
_ATTEMPTS = 6
_MEASURE = """
import json, re, time
began = time.process_time()
{imports}
took = time.process_time() - began
status = open("/proc/self/status").read()  # the rusage of a child begins with its parent's peak
print(json.dumps([took, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024]))
"""
_TOOLS = """
import boto3
from aws_lambda_powertools import Logger
from pydantic import BaseModel, Field
"""
_CONTROL = sorted(
    resource["Properties"]["CodeUri"].removeprefix("../functions/")
    for path in CHILDREN
    for resource in of_type(load(path), "AWS::Serverless::Function").values()
    if layers_of(resource["Properties"]) == ("core",)
)


def _measured(imports: str, function: str, sdk: Path) -> tuple[float, float]:
    code = _MEASURE.format(imports=imports)
    printed = run_like_lambda(code, ROOT / "functions" / function, sdk, ("core",))
    seconds, megabytes = json.loads(printed)
    return seconds, megabytes


@pytest.mark.parametrize("function", _CONTROL)
def test_a_control_function_starts_within_the_budget(function: str, runtime_sdk: Path) -> None:
    yardstick = best = float("inf")
    for _ in range(_ATTEMPTS):
        yardstick = min(yardstick, _measured(_TOOLS, function, runtime_sdk)[0])
        seconds, megabytes = _measured(f"{_TOOLS}\nimport app", function, runtime_sdk)
        assert megabytes <= _MEMORY_MB
        best = min(best, seconds)
        if best <= _TIMES * yardstick:
            return
    pytest.fail(f"{best:.3f} s is above {_TIMES} x {yardstick:.3f} s")
