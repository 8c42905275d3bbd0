"""``steward explain``: why a captured prediction is what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steward.adapters.endpoints import SageMakerEndpoints
from steward.adapters.objects import S3ObjectStore
from steward.adapters.time import SystemClock
from steward.ports import Endpoints
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.state import StackState
from steward_cli.target import Target, TargetClients, choose

if TYPE_CHECKING:
    from steward_cli.explaining import Prediction


def explain(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    inference_id: Annotated[str, typer.Argument(help="As the gateway answered it.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="HTML file to write as well.")
    ] = None,
    days: Annotated[
        int, typer.Option("--days", min=0, max=400, help="How far back captures are read.")
    ] = 7,
    json_: Json = False,
) -> None:
    """Explain a captured prediction: what each feature added, from the mean answer to this one.

    The version's endpoint is asked about rows that mix the request with the version's background;
    a linear version is not asked.

    Example: `steward explain diabetes 0b6a3f1e-6a55-4b0e-9d6f-0c1f0e7a9b21 --out why.html`
    """
    target = choose(context.obj)
    with progress("looking for the prediction"):
        found = explained(target, project, inference_id, days)
    if out is not None:
        from steward_cli.explain_page import page

        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page(found, SystemClock().now()), encoding="utf-8")
    from steward_cli.explain_text import screen

    told = {**found.document(), "file": str(out) if out else None}
    show(told, json_, lambda console: console.print(screen(found, out)))


def explained(target: Target, project: str, inference_id: str, days: int = 7) -> Prediction:
    """Return the explanation of a captured prediction.

    Raises:
        CommandError: It is unknown, or cannot be explained; the message says why.
    """
    from steward_cli.explaining import find_capture

    StackState(target).project(project)
    capture = find_capture(
        target.client("s3"), target.output("CaptureBucketName"), project, inference_id,
        days=days, now=SystemClock().now(),
    )  # fmt: skip
    return explained_capture(target, capture)


def explained_capture(target: Target, capture: dict[str, Any]) -> Prediction:
    """Return the explanation of one answer, as captured or as just given.

    Raises:
        CommandError: It cannot be explained; the message says why.
    """
    from steward.service.monitoring.baselines import Baselines
    from steward_cli.explaining import explain_capture, own_endpoint

    state, project = StackState(target), str(capture["project"])
    configured = state.project(project)
    version = int(capture["answering_version"])
    found = Baselines(state.store, S3ObjectStore(target.client("s3"))).of(project, version)
    if found.baseline is None:
        raise CommandError(f"it cannot be explained: {found.missing}", Exit.NOT_FOUND)

    def whom() -> tuple[Endpoints, str]:
        endpoints = SageMakerEndpoints(TargetClients(target))
        serving = configured["config"].get("serving") or {}
        router = str(serving.get("router", "gateway"))
        name = own_endpoint(
            endpoints, target.environment_name, project, version, state.route(project), router
        )
        return endpoints, name

    return explain_capture(capture, found.baseline.attribution, whom)
