"""``steward explain``: from an inference id to what each feature added, or why it cannot be."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws
from rich.console import Console

from steward.domain.errors import AccessDeniedError, DependencyError
from steward.domain.explanations.mixed import Cell, MixedBackground
from steward.domain.monitoring.baseline import AttributionBaseline
from steward.ports import Endpoints
from steward_cli.console import CommandError, Exit
from steward_cli.explain_page import page
from steward_cli.explain_text import screen
from steward_cli.explaining import Prediction, explain_capture, find_capture, own_endpoint
from support.fakes import FakeEndpoints

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
FEATURES = ("age", "plan", "calls")
BACKGROUND = MixedBackground(
    FEATURES, ((30, "basic", None), (50, "plus", 2), (40, "basic", 0), (60, "premium", 5))
)
PLANS = {"basic": 0.0, "plus": 0.1, "premium": 0.3}


def model(rows: list[list[str]]) -> list[float]:
    return [
        0.1 + float(age) / 200 + PLANS[plan] * (1 if float(age) > 45 else 0.5)
        + (0.0 if calls == "" else float(calls) / 50)
        for age, plan, calls in rows
    ]  # fmt: skip


def reply(body: bytes, _type: str) -> bytes:
    rows = list(csv.reader(io.StringIO(body.decode())))
    return "".join(f"{answer!r}\n" for answer in model(rows)).encode()


def attribution(**more: Any) -> AttributionBaseline:
    return AttributionBaseline(**{
        "mean_absolute": dict.fromkeys(FEATURES, 0.1), "rows": 1, "scale": "probability",
        "explainer": "exact", "background": BACKGROUND.digest,
        "background_rows": BACKGROUND.rows, "coalitions": 8,
    } | more)  # fmt: skip


def capture(**more: Any) -> dict[str, Any]:
    features = {"age": 70, "plan": "premium", "calls": None}
    answered = model([["70", "premium", ""]])[0]
    return {
        "project": "churn", "inference_id": "id-1", "answering_version": 3,
        "assigned_role": "stable", "time": "2026-01-05T11:00:00.000+00:00", "features": features,
        "prediction": {"probability": answered},
    } | more  # fmt: skip


def asked(reply_: Any = reply) -> tuple[Endpoints, str]:
    endpoints = FakeEndpoints()
    endpoints.add("dev-churn-v3-prod", reply_)
    return endpoints, "dev-churn-v3-prod"


def test_a_prediction_is_what_its_features_add_to_the_base() -> None:
    found = explain_capture(capture(), attribution(), asked)
    assert (found.method, found.additive, found.version) == ("exact", True, 3)
    assert found.features[0].name == "plan"
    assert found.base == pytest.approx(np.mean(model(
        [["" if cell is None else str(cell) for cell in row] for row in BACKGROUND.rows]
    )))  # fmt: skip
    assert found.base + sum(one.phi for one in found.features) == pytest.approx(found.answered)
    assert found.now == pytest.approx(found.answered)
    assert found.model_rows == 8 * 4 + 1
    assert {one.name: one.value for one in found.features}["calls"] is None


def test_an_endpoint_that_answers_otherwise_now_is_told() -> None:
    found = explain_capture(capture(prediction={"probability": 0.2}), attribution(), asked)
    assert found.additive
    assert "to the same row now" in _text(found)


def test_a_linear_version_is_explained_without_asking() -> None:
    form = {"scale": "log_odds", "intercept": -1.0, "weights": {"age": 0.05, "calls": 0.1},
            "missing": {"calls": 1.0}}  # fmt: skip
    score = -1 + 0.05 * 70 + 0.1
    told = capture(prediction={"probability": 1 / (1 + np.exp(-score))})

    def nobody() -> tuple[Endpoints, str]:
        raise AssertionError("asked")

    found = explain_capture(told, attribution(linear=form), nobody)
    assert (found.method, found.scale, found.asked) == ("linear", "log_odds", None)
    assert found.additive
    assert found.score == pytest.approx(score)
    other = explain_capture(
        capture(prediction={"probability": 0.9}), attribution(linear=form), nobody
    )
    assert not other.additive
    assert "miss the answer" in _text(other)


@pytest.mark.parametrize(
    ("told", "baseline", "reason"),
    [
        (capture(), None, "no background"),
        (capture(), attribution(background_rows=()), "no background"),
        (capture(), attribution(background="0" * 64), "not what its digest says"),
        (capture(features=None), attribution(), "no features"),
        (capture(features={}), attribution(), "no features"),
        (capture(features={"age": 3}), attribution(), "lacks plan, calls"),
    ],
)
def test_what_cannot_be_explained_is_said(
    told: dict[str, Any], baseline: AttributionBaseline | None, reason: str
) -> None:
    with pytest.raises(CommandError, match=reason):
        explain_capture(told, baseline, asked)


@pytest.mark.parametrize("error", [AccessDeniedError("denied"), DependencyError("throttled")])
def test_an_endpoint_that_refuses_is_an_error_of_its_own(error: Exception) -> None:
    def refuse(_body: bytes, _type: str) -> bytes:
        raise error

    with pytest.raises(type(error)):
        explain_capture(capture(), attribution(), lambda: asked(refuse))


def test_the_endpoint_in_production_is_asked_before_that_in_staging() -> None:
    endpoints = FakeEndpoints()
    route = {"arms": [{"version": 3, "endpoint": "dev-churn-v3-prod"}]}
    with pytest.raises(CommandError, match="no endpoint in service") as none:
        own_endpoint(endpoints, "dev", "churn", 3, route, "gateway")
    assert none.value.code == Exit.NOT_FOUND
    endpoints.add("dev-churn-v3-staging", b"")
    assert own_endpoint(endpoints, "dev", "churn", 3, route, "gateway") == "dev-churn-v3-staging"
    endpoints.add("dev-churn-v3-prod", b"", status="Failed")
    assert own_endpoint(endpoints, "dev", "churn", 3, None, "gateway") == "dev-churn-v3-staging"
    endpoints.add("dev-churn-v3-prod", b"")
    assert own_endpoint(endpoints, "dev", "churn", 3, None, "gateway") == "dev-churn-v3-prod"


def test_an_endpoint_that_versions_share_is_not_asked() -> None:
    endpoints = FakeEndpoints()
    endpoints.add("dev-churn-variants-prod", b"")
    route = {"arms": [{"version": 3, "endpoint": "dev-churn-variants-prod"}]}
    with pytest.raises(CommandError, match="no endpoint in service") as none:
        own_endpoint(endpoints, "dev", "churn", 3, route, "endpoint_variants")
    assert "captured as traffic" in str(none.value.hint)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="capture")
        yield client


def _deliver(s3: Any, key: str, *captures: dict[str, Any], broken: bytes = b"") -> None:
    lines = b"".join(json.dumps({"capture": one}).encode() + b"\n" for one in captures)
    s3.put_object(Bucket="capture", Key=f"exposures/{key}", Body=broken + lines)


def test_a_capture_is_found_among_objects_of_some_days(s3: Any) -> None:
    _deliver(s3, "2026/01/05/steward-11-a", capture(inference_id="id-10"))
    shadow = capture(assigned_role="shadow", answering_version=4)
    mentions = capture(inference_id="other", features={"note": "id-1"})
    _deliver(s3, "2026/01/03/steward-09-b", mentions, shadow, capture(), broken=b'{"id-1\n')
    found = find_capture(s3, "capture", "churn", "id-1", days=7, now=NOW)
    assert found["answering_version"] == 3
    with pytest.raises(CommandError, match=r"last 1 days \(1 objects read\)") as unknown:
        find_capture(s3, "capture", "churn", "id-1", days=1, now=NOW)
    assert unknown.value.code == Exit.NOT_FOUND


def test_a_prediction_of_another_project_is_not_shown(s3: Any) -> None:
    _deliver(s3, "2026/01/05/steward-11-a", capture())
    with pytest.raises(CommandError, match="of churn, not of fraud"):
        find_capture(s3, "capture", "fraud", "id-1", days=0, now=NOW)


def _text(found: Prediction) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(screen(found))
    return console.export_text()


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_was_asked() -> None:
    hostile = capture(features={"age": 70, "plan": "premium", "calls": None},
                      inference_id="<script>alert(1)</script>")  # fmt: skip
    made = page(explain_capture(hostile, attribution(), asked), NOW)
    assert "<script>alert" not in made
    assert "http://www.w3.org" in made
    assert made.count("http") == made.count("http://www.w3.org/2000/svg")
    for name in FEATURES:
        assert name in made


def test_many_features_are_drawn_as_the_largest_and_the_rest() -> None:
    names = tuple(f"f{n}" for n in range(20))
    rows: tuple[tuple[Cell, ...], ...] = ((0.0,) * 20, (1.0,) * 20)
    background = MixedBackground(names, rows)
    weights = np.arange(20) / 400

    def answer(body: bytes, _type: str) -> bytes:
        table = np.array(list(csv.reader(io.StringIO(body.decode()))), np.float64)
        return "".join(f"{one!r}\n" for one in (table @ weights).tolist()).encode()

    told = capture(features=dict.fromkeys(names, 2.0), prediction={"probability": 0.95})
    baseline = attribution(
        mean_absolute=dict.fromkeys(names, 0.1), background=background.digest,
        background_rows=rows, coalitions=400,
    )  # fmt: skip
    found = explain_capture(told, baseline, lambda: asked(answer))
    assert (found.method, found.additive) == ("kernel", True)
    for one in found.features:
        assert one.phi == pytest.approx(weights[int(one.name[1:])] * 1.5, abs=1e-9)
    assert "7 others" in page(found, NOW)
