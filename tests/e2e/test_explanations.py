"""Explanations on the deployed stack: of held-out rows, of traffic at a look, of one prediction."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from steward.domain.explanations.evidence import ExplanationEvidence
from steward.domain.exposures import Exposure
from steward.domain.monitoring.looks import Look, parse_look
from steward.domain.monitoring.records import look_item
from steward.ports import Table
from steward_cli.commands.mail import letters
from steward_cli.demo import data as diabetes
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

PROJECT = "reasons"
FEATURES = ("age", "sex", "bmi", "bp")
SCHEDULED = Path(__file__).parents[2] / "events" / "incoming" / "scheduled_event.json"


@pytest.fixture(scope="module")
def begin() -> datetime:
    """When the first captured hour begins."""
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=5)


@pytest.fixture(scope="module", autouse=True)
def live(lab: Laboratory) -> dict[str, Any]:
    """A version that answers and says nothing of its form: it must be asked to be explained."""
    source = (lab.projects / "diabetes" / "src" / "inference.py").read_text(encoding="utf-8")
    lab.add_project(PROJECT, {"src/inference.py": source.replace("def explain_fn(", "def unused(")})
    lab.configure(
        PROJECT, "  unit: entity\n", "  unit: event\n  attribution: {every: 1, rows: 60}\n"
    )
    lab.configure(PROJECT, "bake_s: 60", "bake_s: 10")
    lab.deliver(PROJECT)
    lab.version(PROJECT, 1, "pending")
    lab.approve(PROJECT, 1)
    return lab.version(PROJECT, 1, "production")


@pytest.fixture(scope="module")
def patients(lab: Laboratory) -> list[dict[str, float]]:
    """Features of the patients of a delivery."""
    with diabetes.write_deliveries(lab.folder)[1].open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return [
        {"age": int(row["age"]), "sex": int(row["sex"]), "bmi": float(row["bmi"]),
         "bp": float(row["bp"])}
        for row in rows
    ]  # fmt: skip


def capture(lab: Laboratory, begin: datetime, hour: int, rows: Sequence[dict[str, Any]]) -> None:
    """Put what was asked in an hour where Firehose delivers it."""
    lines = []
    for number, features in enumerate(rows):
        at = begin + timedelta(hours=hour, seconds=20 * number)
        exposure = Exposure(
            project=PROJECT, route_version=1, step_id="serving", assignment_probability=1.0,
            assigned_version=1, assigned_role="stable", answering_version=1, fallback=False,
            entity=f"{hour}-{number}", first_exposure=True, shadow_pair_id=None,
            inference_id=f"{PROJECT}-{hour}-{number}", time=at.isoformat(timespec="milliseconds"),
            features=features, prediction={"probability": 0.5},
        )  # fmt: skip
        lines.append(json.dumps({"capture": asdict(exposure)}).encode() + b"\n")
    at = begin + timedelta(hours=hour)
    lab.target.client("s3").put_object(
        Bucket=lab.target.output("CaptureBucketName"),
        Key=f"exposures/{at:%Y/%m/%d}/steward-{PROJECT}-{hour}", Body=b"".join(lines),
    )  # fmt: skip


def watched(lab: Laboratory, begin: datetime, hour: int) -> Look:
    """Let the schedule fire after an hour and return the look at it."""
    firing = json.loads(SCHEDULED.read_text(encoding="utf-8"))
    firing["time"] = (begin + timedelta(hours=hour + 1, minutes=4)).isoformat(timespec="seconds")
    window = (begin + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def read() -> Look | None:
        lab.target.client("lambda").invoke(
            FunctionName=lab.target.output("StartWatchFunctionArn"),
            Payload=json.dumps(firing).encode(),
        )
        key = {"project": PROJECT, "item": look_item(window)}
        item = lab.state.store.get(Table.MONITORING, key)
        return parse_look(lab.read(item["uri"])) if item else None

    return eventually(read, f"the look at {window}")


def test_a_version_has_its_explanation_as_evidence(lab: Laboratory, live: dict[str, Any]) -> None:
    found = ExplanationEvidence.model_validate_json(lab.read(live["explanation"]["uri"]))
    assert (found.method, found.scale, found.additive) == ("exact", "probability", True)
    assert {one.name for one in found.features} == set(FEATURES)
    assert found.features[0].name == "bmi"
    assert len(found.permutation) == 4
    frozen = json.loads(lab.read(live["evidence_uri"]))
    assert frozen["explanation"]["sha256"] == live["explanation"]["digest"]
    shown = lab.steward("versions", "show", PROJECT, "1", as_json=False)
    assert "answers move with" in shown


def test_traffic_is_explained_by_its_endpoint_and_what_moved_alarms(
    lab: Laboratory, begin: datetime, patients: list[dict[str, float]]
) -> None:
    capture(lab, begin, 0, patients)
    quiet = watched(lab, begin, 0).attribution
    assert quiet is not None
    assert quiet.rows[0] == 60
    assert quiet.model_calls >= 1, quiet.sentence
    assert quiet.state == "ok", quiet.sentence
    capture(lab, begin, 1, [{**row, "bmi": row["bmi"] + 30} for row in patients])
    look = watched(lab, begin, 1)
    moved = look.attribution
    assert moved is not None
    assert moved.state == "alarm", moved.sentence
    assert moved.features[0].feature == "bmi"
    assert look.alarms["attribution"] == "alarm"

    def mailed() -> bool | None:
        assert lab.target.engine is not None
        subject = f"attribution drift in {PROJECT} 1"
        return any(subject in one.subject for one in letters(lab.target.engine.mailbox)) or None

    eventually(mailed, "the mail about attributions")
    shown = lab.steward("monitor", "show", PROJECT, as_json=False)
    assert "weight of" in shown


def test_an_endpoint_that_denies_is_said_and_the_look_stands(
    lab: Laboratory, begin: datetime, patients: list[dict[str, float]]
) -> None:
    capture(lab, begin, 2, patients)
    role = lab.role_of_function("Monitoring", "JudgeWindowFunction")
    with lab.without_action(role, "sagemaker:InvokeEndpoint"):
        look = watched(lab, begin, 2)
    assert look.attribution is not None
    assert look.attribution.state == "inconclusive"
    assert "AccessDenied" in look.attribution.sentence
    assert look.window_verdict is not None
    assert look.captured.rows == len(patients)


def test_one_prediction_is_explained_and_an_unknown_one_is_not(
    lab: Laboratory, begin: datetime, patients: list[dict[str, float]], tmp_path: Path
) -> None:
    capture(lab, begin, 0, patients)
    page = tmp_path / "why.html"
    found = lab.steward("explain", PROJECT, f"{PROJECT}-0-3", "--out", str(page))
    assert (found["method"], found["additive"]) == ("exact", True)
    assert found["asked"] == f"local-{PROJECT}-v1-prod"
    assert {one["name"]: one["value"] for one in found["features"]} == patients[3]
    assert "</svg>" in page.read_text(encoding="utf-8")
    assert "no captured prediction" in lab.steward_error("explain", PROJECT, "nobody")
