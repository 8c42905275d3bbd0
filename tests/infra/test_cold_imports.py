"""A budget for cold starts: what a control function imports beyond the tools that all need.

The yardstick is boto3, Powertools and pydantic, without which no function is. One process imports
them and then the function, so that both are measured within the same second on the same machine.
Counted is processor time. For all functions at once, the process imports the tools and forks for
each function; whoever is not within the budget so is measured in processes of its own. Other
processes run beside the tests and make both dearer, but never cheaper, so the best of several
attempts counts, for the yardstick as for the function. The pauses between attempts grow, so that
they outlast what else the machine does for half a minute.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from support.layers import layers_of, run_like_lambda
from support.templates import CHILDREN, ROOT, load, of_type

_TIMES = 1.5
_TIMES_AT_ONCE = 1.4
"""For a measure of all together: whoever is above it is measured alone."""
_MEMORY_MB = 80
_ATTEMPTS = 18
_PAUSE_S = 0.25
_TOOLS = """
import json, os, re, sys, time
began = time.process_time()
import boto3
from aws_lambda_powertools import Logger
from pydantic import BaseModel, Field
tools = time.process_time() - began
def measure():
    began = time.process_time()
    import app
    took = tools + time.process_time() - began
    assert callable(app.handler)
    heavy = {"numpy", "duckdb", "pandas", "scipy", "sklearn", "sagemaker"} & set(sys.modules)
    assert not heavy, heavy
    status = open("/proc/self/status").read()  # a child's rusage begins with its parent's peak
    return [tools, took, int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024]
"""
_ALONE = f"{_TOOLS}\nprint(json.dumps(measure()))"
_FORKED = f"""{_TOOLS}
for folder in FOLDERS:
    if pid := os.fork():
        os.waitpid(pid, 0)
        continue
    sys.path[0] = folder
    os.write(1, (json.dumps([folder, measure()]) + "\\n").encode())
    os._exit(0)
"""
_CONTROL = sorted(
    resource["Properties"]["CodeUri"].removeprefix("../functions/")
    for path in CHILDREN
    for resource in of_type(load(path), "AWS::Serverless::Function").values()
    if layers_of(resource["Properties"]) == ("core",)
)


_Measure = tuple[float, float, float]
"""Processor seconds of the tools and of all imports, and the peak in MB."""


@pytest.fixture(scope="module")
def forked(runtime_sdk: Path) -> dict[str, _Measure]:
    """All control functions, measured in forks of one process; without those that failed."""
    folders = {str(ROOT / "functions" / name): name for name in _CONTROL}
    code = f"FOLDERS = {list(folders)!r}\n{_FORKED}"
    printed = run_like_lambda(code, Path(next(iter(folders))), runtime_sdk, ("core",))
    lines = [json.loads(line) for line in printed.splitlines()]
    return {folders[folder]: measured for folder, measured in lines}


def _measured(function: str, sdk: Path) -> _Measure:
    printed = run_like_lambda(_ALONE, ROOT / "functions" / function, sdk, ("core",))
    tools, took, megabytes = json.loads(printed)
    return tools, took, megabytes


@pytest.mark.parametrize("function", _CONTROL)
def test_a_control_function_starts_within_the_budget(
    function: str, runtime_sdk: Path, forked: dict[str, _Measure]
) -> None:
    if function in forked and forked[function][1] <= _TIMES_AT_ONCE * forked[function][0]:
        assert forked[function][2] <= _MEMORY_MB
        return
    yardstick = best = float("inf")
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_S * attempt)
        tools, took, megabytes = _measured(function, runtime_sdk)
        assert megabytes <= _MEMORY_MB
        yardstick, best = min(yardstick, tools), min(best, took)
        if best <= _TIMES * yardstick:
            return
    pytest.fail(f"{best:.3f} s is above {_TIMES} x {yardstick:.3f} s")
