"""One captured prediction explained: found, and asked about at its version's endpoint."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from steward.domain.explanations.linear_form import LinearForm, answers_of
from steward.domain.explanations.mixed import (
    TOLERANCE,
    Cell,
    Explained,
    MixedBackground,
    answers_to,
    explain_rows,
    sizes,
)
from steward.domain.monitoring.baseline import AttributionBaseline
from steward.domain.names import endpoint_name
from steward.ports import Endpoints, Item
from steward.service.monitoring.endpoint_model import EndpointModel
from steward_cli.console import CommandError, Exit

EXPOSURES = "exposures/"
READERS = 16
CALLS, SECONDS = 200, 120.0


@dataclass(frozen=True)
class FeatureValue:
    """What one feature adds to the prediction.

    Attributes:
        value: The feature's value in the request.
        phi: Its Shapley value.
        error: Standard error by sampling; 0 where nothing was sampled.
    """

    name: str
    value: Cell
    phi: float
    error: float


@dataclass(frozen=True)
class Prediction:
    """A captured prediction with its explanation.

    Attributes:
        answered: Probability that was captured.
        now: What the endpoint answers to the same row today; None where it is not asked.
        gap: Distance of base and values from that answer, or the captured one, in its unit.
        asked: Endpoint; None for a linear form.
        features: Largest effect first.
    """

    project: str
    inference_id: str
    version: int
    time: str
    method: str
    scale: str
    base: float
    score: float
    answered: float | None
    now: float | None
    gap: float
    additive: bool
    background: str
    background_rows: int
    asked: str | None
    model_rows: int
    features: tuple[FeatureValue, ...]

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "features": [vars(one) for one in self.features]}


def find_capture(
    s3: Any, bucket: str, project: str, inference_id: str, *, days: int, now: datetime
) -> dict[str, Any]:
    """Return the captured line of an inference id, the newest objects first.

    Raises:
        CommandError: There is none in so many days, or it is of another project.
    """
    wanted = inference_id.encode()
    read = 0

    def lines_of(key: str) -> list[bytes]:
        content: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if wanted not in content:
            return []
        return [line for line in content.split(b"\n") if wanted in line]

    with ThreadPoolExecutor(READERS) as pool:
        for keys in _batches(s3, bucket, days, now):
            read += len(keys)
            for line in (line for lines in pool.map(lines_of, keys) for line in lines):
                capture = _capture(line)
                is_shadow = capture.get("assigned_role") == "shadow"
                if capture.get("inference_id") == inference_id and not is_shadow:
                    return _of_project(capture, project, inference_id)
    raise CommandError(
        f"no captured prediction {inference_id!r} in the last {days} days ({read} objects read)",
        Exit.NOT_FOUND, "captures arrive some minutes after the answer; --days looks further back",
    )  # fmt: skip


def _batches(s3: Any, bucket: str, days: int, now: datetime) -> Iterator[list[str]]:
    """Yield keys in groups, newest first."""
    pages = s3.get_paginator("list_objects_v2")
    for back in range(days + 1):
        prefix = f"{EXPOSURES}{now.astimezone(UTC) - timedelta(days=back):%Y/%m/%d}/"
        found = pages.paginate(Bucket=bucket, Prefix=prefix)
        keys = sorted(one["Key"] for page in found for one in page.get("Contents", []))[::-1]
        for at in range(0, len(keys), 4 * READERS):
            yield keys[at : at + 4 * READERS]


def _capture(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)["capture"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _of_project(capture: dict[str, Any], project: str, inference_id: str) -> dict[str, Any]:
    if capture.get("project") != project:
        raise CommandError(
            f"{inference_id} is a prediction of {capture.get('project')}, not of {project}",
            Exit.NOT_FOUND,
        )
    return capture


def own_endpoint(
    endpoints: Endpoints,
    environment: str,
    project: str,
    version: int,
    route: Item | None,
    router: str,
) -> str:
    """Return an endpoint of a version that may be asked: in production, or staging.

    Raises:
        CommandError: None is in service.
    """
    names = [endpoint_name(environment, project, version, "staging")]
    if router != "endpoint_variants":
        arms = (route or {}).get("arms", [])
        routed = [str(arm["endpoint"]) for arm in arms if int(arm["version"]) == version]
        names = [*routed, endpoint_name(environment, project, version, "prod"), *names]
    for name in dict.fromkeys(names):
        if endpoints.status(name) in ("InService", "Updating"):
            return name
    shared = " (what its shared endpoint is asked would be captured as traffic)"
    raise CommandError(
        f"version {version} of {project} has no endpoint in service to ask", Exit.NOT_FOUND,
        f"looked for {', '.join(dict.fromkeys(names))}"
        + (shared if router == "endpoint_variants" else ""),
    )  # fmt: skip


def explain_capture(
    capture: dict[str, Any], attribution: AttributionBaseline | None,
    choose: Callable[[], tuple[Endpoints, str]],
) -> Prediction:  # fmt: skip
    """Explain a captured prediction against its version's own background.

    Args:
        capture: Its line.
        attribution: Of the version's baseline.
        choose: Returns whom to ask; not called for a linear version.

    Raises:
        CommandError: The version has no background, or the capture no features.
        StewardError: The endpoint does not answer.
    """
    version = int(capture["answering_version"])
    if attribution is None or not attribution.background_rows:
        raise CommandError(
            f"version {version} has no background to explain against", Exit.NOT_FOUND,
            "its evaluation wrote no explanation: see the job's log, or train it again",
        )  # fmt: skip
    row = _row(capture, attribution.features)
    background = MixedBackground(attribution.features, attribution.background_rows)
    if background.digest != attribution.background:
        raise CommandError("the background is not what its digest says", Exit.FAILED)
    prediction = capture.get("prediction") or {}
    told = prediction.get("probability", prediction.get("value"))
    answered = float(told) if isinstance(told, int | float) else None
    if attribution.linear is not None:
        found = LinearForm.model_validate(attribution.linear).explain([row], background)
        return _prediction(capture, attribution, row, found, answered, None, None)
    endpoints, name = choose()
    until = time.monotonic() + SECONDS
    model = EndpointModel(
        endpoints, name, calls=CALLS, seconds_left=lambda: until - time.monotonic()
    )
    found = explain_rows(
        model, [row], background, coalitions=attribution.coalitions, scale=attribution.scale
    )
    now = float(answers_to(model, [row])[0])
    return _prediction(capture, attribution, row, found, answered, now, (name, model.rows))


def _row(capture: dict[str, Any], features: Sequence[str]) -> tuple[Cell, ...]:
    given = capture.get("features")
    if not isinstance(given, dict) or not given:
        raise CommandError(
            "the capture has no features", Exit.FAILED,
            "they were erased, or the request was captured without them",
        )  # fmt: skip
    missing = [name for name in features if name not in given]
    if missing:
        raise CommandError(
            f"the capture lacks {', '.join(missing[:5])}", Exit.FAILED,
            "the version was trained with these features",
        )  # fmt: skip
    return tuple(given[name] for name in features)


def _prediction(
    capture: dict[str, Any], attribution: AttributionBaseline, row: tuple[Cell, ...],
    found: Explained, answered: float | None, now: float | None, asked: tuple[str, int] | None,
) -> Prediction:  # fmt: skip
    score = found.base + found.values.sum(axis=1)
    plain = now if now is not None else answered
    gap = 0.0
    if plain is not None:
        gap = abs(float(answers_of(score, found.scale)[0]) - plain)
        gap /= float(sizes(np.array([plain]), found.scale)[0])
    values = [
        FeatureValue(name, cell, float(phi), float(error))
        for name, cell, phi, error in zip(
            attribution.features, row, found.values[0], found.errors[0], strict=True
        )
    ]
    return Prediction(
        project=str(capture["project"]), inference_id=str(capture["inference_id"]),
        version=int(capture["answering_version"]), time=str(capture["time"]),
        method=found.method, scale=found.scale, base=found.base, score=float(score[0]),
        answered=answered, now=now, gap=gap, additive=gap <= TOLERANCE,
        background=attribution.background, background_rows=len(attribution.background_rows),
        asked=asked[0] if asked else None, model_rows=asked[1] if asked else 0,
        features=tuple(sorted(values, key=lambda one: (-abs(one.phi), one.name))),
    )  # fmt: skip
