"""Every function in a container, by ``sam local invoke``, answers as it does in this process.

Both meet the same empty embedded AWS: what a function looks for is not there, and it has to say so
in the same words, or to give the same answer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

from steward_local.deploy import sam_command
from support.invocations import Invocation, invocations
from support.layers import layers_of, run_like_lambda
from support.templates import ROOT

from .conftest import Ground

pytestmark = pytest.mark.timeout(1800)
AT_ONCE = int(os.environ.get("STEWARD_SAM_LOCAL_AT_ONCE", "3"))

INVOCATIONS = list(invocations())
_IN_PROCESS = """
import json, sys, time
class Context:
    function_name = "doorway"
    function_version = "$LATEST"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:doorway"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"
    def get_remaining_time_in_millis(self):
        return 30000
event = json.loads({event!r})
try:
    import app
    answer = json.loads(json.dumps(app.handler(event, Context())))
except Exception as error:
    answer = {{"errorMessage": str(error), "errorType": type(error).__name__}}
print()
print("ANSWER " + json.dumps(answer))
"""
_VOLATILE = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(\+00:00|Z)?"), "<time>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d{4,6}Z?"), "<time>"),
)


def steady(answer: Any) -> Any:
    """Return an answer without what is new each time: ids, times, traces."""
    if isinstance(answer, dict):
        left = {k: v for k, v in answer.items() if k not in ("requestId", "stackTrace")}
        return {key: steady(value) for key, value in left.items()}
    if isinstance(answer, list):
        return [steady(value) for value in answer]
    if isinstance(answer, str):
        for pattern, word in _VOLATILE:
            answer = pattern.sub(word, answer)
    return answer


def in_container(invocation: Invocation, ground: Ground) -> Any:
    """Return what ``sam local invoke`` prints of a function's answer."""
    command = [
        str(sam_command()), "local", "invoke", invocation.name, "-t", str(ground.template),
        "-e", str(invocation.path), "--env-vars", str(ground.variables_file), "--skip-pull-image",
    ]  # fmt: skip
    environment = {**os.environ, **ground.engine.environment(), "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines, f"no answer: {done.stderr[-2000:]}"
    return json.loads(lines[-1])


def in_process(invocation: Invocation, ground: Ground) -> Any:
    """Return what the same handler answers here, with its layers alone on the path."""
    event = invocation.path.read_text(encoding="utf-8")
    environment = {
        **ground.variables, **ground.engine.environment(), "AWS_ENDPOINT_URL": ground.endpoint,
        "AWS_LAMBDA_FUNCTION_NAME": invocation.function, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    }  # fmt: skip
    printed = run_like_lambda(
        _IN_PROCESS.format(event=event), invocation.folder, ground.sdk,
        layers_of(invocation.properties), environment,
    )  # fmt: skip
    [answer] = [line for line in printed.splitlines() if line.startswith("ANSWER ")]
    return json.loads(answer.removeprefix("ANSWER "))


@pytest.fixture(scope="session")
def contained(
    request: pytest.FixtureRequest, ground: Ground
) -> Iterator[Mapping[str, Future[Any]]]:
    """The answers from containers, by function, a few at once for all selected tests."""
    wanted: list[Invocation] = [
        cast(Invocation, item.callspec.params["invocation"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "invocation" in getattr(item, "fixturenames", ())
        and item.get_closest_marker("sam_local")
    ]  # fmt: skip
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {known.name: pool.submit(in_container, known, ground) for known in wanted}


@pytest.mark.parametrize("invocation", INVOCATIONS, ids=[i.name for i in INVOCATIONS])
def test_a_function_answers_in_a_container_as_in_process(
    invocation: Invocation, ground: Ground, contained: Mapping[str, Future[Any]]
) -> None:
    here = in_process(invocation, ground)

    answer = contained[invocation.name].result()

    assert steady(answer) == steady(here)
    assert "ImportModuleError" not in str(answer)
