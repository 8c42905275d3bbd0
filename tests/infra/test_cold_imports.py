"""A budget for cold starts: what a control function imports beyond the tools that all need.

The yardstick is boto3, Powertools and pydantic, without which no function is. One process imports
them and then the function, so that both are measured within the same second on the same machine.
Counted is processor time. Other processes run beside the tests and make both dearer, but never
cheaper, so the best of several attempts counts, for the yardstick as for the function; who is
within the budget at once needs no second one. The pauses between attempts grow, so that they
outlast what else the machine does for half a minute.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.layers import layers_of, run_like_lambda
from support.templates import CHILDREN, ROOT, load, of_type

_TIMES = 1.5
_MEMORY_MB = 80
_ATTEMPTS = 18
_PAUSE_S = 0.25
_MEASURE = """
import json, re, time
began = time.process_time()
import boto3
from aws_lambda_powertools import Logger
from pydantic import BaseModel, Field
tools = time.process_time() - began
import app
took = time.process_time() - began
status = open("/proc/self/status").read()  # the rusage of a child begins with its parent's peak
print(json.dumps([tools, took, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024]))
"""
_CONTROL = sorted(
    resource["Properties"]["CodeUri"].removeprefix("../functions/")
    for path in CHILDREN
    for resource in of_type(load(path), "AWS::Serverless::Function").values()
    if layers_of(resource["Properties"]) == ("core",)
)


def _measured(function: str, sdk: Path) -> tuple[float, float, float]:
    """Return the processor seconds of the tools and of all imports, and the peak in MB."""
    printed = run_like_lambda(_MEASURE, ROOT / "functions" / function, sdk, ("core",))
    tools, took, megabytes = json.loads(printed)
    return tools, took, megabytes


@pytest.mark.parametrize("function", _CONTROL)
def test_a_control_function_starts_within_the_budget(function: str, runtime_sdk: Path) -> None:
    yardstick = best = float("inf")
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_S * attempt)
        tools, took, megabytes = _measured(function, runtime_sdk)
        assert megabytes <= _MEMORY_MB
        yardstick, best = min(yardstick, tools), min(best, took)
        if best <= _TIMES * yardstick:
            return
    pytest.fail(f"{best:.3f} s is above {_TIMES} x {yardstick:.3f} s")
