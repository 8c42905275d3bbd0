"""What the gateway costs in latency: its p50 against asking the endpoint directly.

Both ways are asked alternately, one request at a time, with the same row, on the embedded AWS
after version 1 is live and both are warm. Direct is ``InvokeEndpoint`` by boto3; the gateway is
its function URL, so that the overhead holds the signature, the function, the route, the capture
and the metrics. The price of a Lambda on AWS is not in here. Then the same requests are copied to
a shadow, whose function and endpoint share this machine. Run: ``make bench NAME=gateway``.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from rich.console import Console

from results import Result, finish
from steward.adapters.items import encode_item
from steward_cli.commands.local import repository_root, start_and_deploy
from steward_cli.console import table
from steward_cli.demo.people import hire
from steward_cli.demo.story import PROJECT, Story
from steward_cli.function_urls import call
from steward_cli.target import Choice, Target, local_target
from steward_local import engine as engines

_TIME_SCALE = 10.0
_WARM_UP = 30
_ROUNDS = 300
_BAR = 3.0


def live(choice: Choice) -> tuple[Target, Target]:
    """Start the embedded AWS and bring version 1 live.

    Returns:
        The stack as its administrator, and as the ward that asks.
    """
    engine, _ = start_and_deploy(choice, None, _TIME_SCALE)
    target = local_target(engine, choice)
    hire(target, choice.state_dir)
    story = Story(target, choice, repository_root() / "projects", lambda _text: None)
    story.play_until_live()
    return target, story.ward


def row_of(target: Target) -> dict[str, Any]:
    """Return a row that the version was tested with."""
    bucket = target.output("DataBucketName")
    s3 = target.client("s3")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"datasets/{PROJECT}/")["Contents"]
    key = next(entry["Key"] for entry in listed if entry["Key"].endswith("/examples.json"))
    recorded = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    case = next(case for case in recorded["cases"] if case["name"] == "row-1")
    row: dict[str, Any] = case["body"]["instances"][0]
    return row


def mirror(target: Target, percent: float) -> None:
    """Let version 1 answer copies of a share of the requests too, unseen."""
    shadow = {"version": 1, "endpoint": f"local-{PROJECT}-v1-prod", "percent": percent}
    target.client("dynamodb").update_item(
        TableName=target.output("RoutesTable"), Key={"project": {"S": PROJECT}},
        UpdateExpression="SET mirror = :mirror",
        ExpressionAttributeValues={":mirror": encode_item({"mirror": shadow})["mirror"]},
    )  # fmt: skip
    time.sleep(0.3)  # longer than a route is believed


def _timed(ask: Callable[[int], None], number: int) -> float:
    begun = time.perf_counter()
    ask(number)
    return (time.perf_counter() - begun) * 1000


def _measure(target: Target, caller: Target) -> tuple[list[float], list[float], list[float]]:
    """Return milliseconds of each request: direct, through the gateway, and there mirrored."""
    row = row_of(target)
    runtime = target.client("sagemaker-runtime")
    url = f"{caller.output('GatewayUrl').rstrip('/')}/{PROJECT}"
    content = json.dumps({"instances": [row]}).encode()

    def direct(_number: int) -> None:
        answer = runtime.invoke_endpoint(
            EndpointName=f"local-{PROJECT}-v1-prod", Body=content, ContentType="application/json"
        )
        answer["Body"].read()

    def gateway(number: int) -> None:
        body = {"entity_id": f"bench-{number}", "features": row}
        call(caller, url, "POST", body).raise_for_status()

    for number in range(_WARM_UP):
        direct(number)
        gateway(number)
    taken: tuple[list[float], list[float], list[float]] = ([], [], [])
    for number in range(_ROUNDS):
        taken[0].append(_timed(direct, number))
        taken[1].append(_timed(gateway, number))
    mirror(target, 100)
    for number in range(-_WARM_UP, _ROUNDS):
        milliseconds = _timed(gateway, number)
        if number >= 0:
            taken[2].append(milliseconds)
    return taken


def main() -> None:
    """Bring version 1 live, measure and print the ratio."""
    with tempfile.TemporaryDirectory(prefix="steward-bench-") as folder:
        choice = Choice("local", state_dir=Path(folder))
        try:
            direct, gateway, mirrored = _measure(*live(choice))
        finally:
            engines.stop(choice.state_dir)
    rows = [
        (name, f"{median(taken):.1f} ms", f"{quantiles(taken, n=20)[-1]:.1f} ms")
        for name, taken in (
            ("endpoint directly", direct),
            ("through the gateway", gateway),
            ("through the gateway, mirrored", mirrored),
        )
    ]
    ratio = median(gateway) / median(direct)
    rows.append(("ratio", f"{ratio:.2f}", ""))
    Console().print(table((f"{_ROUNDS} requests each", "p50", "p95"), rows))
    finish(
        [
            Result("gateway", "overhead_ratio_p50", ratio, "ratio", _BAR),
            Result("gateway", "direct_p50", median(direct), "ms"),
            Result("gateway", "gateway_p50", median(gateway), "ms"),
            Result("gateway", "mirrored_p50", median(mirrored), "ms"),
            Result("gateway", "overhead_p50", median(gateway) - median(direct), "ms"),
        ]
    )


if __name__ == "__main__":
    main()
