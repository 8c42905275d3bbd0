"""Use case: compare a candidate with the champion on what the evaluation job wrote."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

from steward.contracts.events import CandidateEvaluated
from steward.contracts.steps.registry import BaselineReference
from steward.contracts.steps.training import CompareCandidate, ComparedCandidate
from steward.domain.comparison import Comparison, ComparisonSettings, compare
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.evaluation_report import EvaluationReport
from steward.domain.predictions import Predictions, read_predictions
from steward.domain.seen_rows import SeenRows, seen_rows
from steward.domain.versions import version_item
from steward.ports import Clock, Ids, ObjectStore, StateStore, Table
from steward.service.emission import Cause, event
from steward.service.pinned import pinned_run

if TYPE_CHECKING:
    from steward.domain.project import Project

OUTPUTS = ("baseline.json", "evaluation.json", "predictions.csv")
"""What the evaluation job writes beside its manifest."""
OPTIONAL = ("bias.json", "explanation.json")
"""What it writes where the project declares ``bias``, and where it can explain the model."""


def compare_candidate(
    command: CompareCandidate, *, state: StateStore, objects: ObjectStore, clock: Clock, ids: Ids
) -> ComparedCandidate:
    """Check the job's files against its manifest, compare, and write ``comparison.json``.

    ``comparison.json`` is the :class:`steward.domain.comparison.Comparison`, or has the verdict
    ``no_champion`` alone where there is nothing to compare. ``status`` tells why: ``compared``,
    ``no_champion`` or ``champion_failed`` (a version is in production whose code does not answer
    these rows, or that may have trained on some of them: ``champion_saw_rows``).
    ``evaluation_sha256`` and ``predictions_sha256`` bind it to what it was made of.

    Raises:
        EvidenceIncompleteError: A file is missing, differs from its digest or cannot be read, or
            concerns another run.
    """
    base = command.evaluations_uri.rstrip("/")
    files = _manifest(objects.read(f"{base}/manifest.json"))
    evaluation_uri, predictions_uri = f"{base}/evaluation.json", f"{base}/predictions.csv"
    evaluation_bytes = _checked(objects, evaluation_uri, files)
    predictions_bytes = _checked(objects, predictions_uri, files)
    baseline = BaselineReference(uri=f"{base}/baseline.json", digest=files["baseline.json"])
    _checked(objects, baseline.uri, files)
    bias = _written(objects, f"{base}/bias.json", files)
    explanation = _written(objects, f"{base}/explanation.json", files)
    try:
        report = EvaluationReport.model_validate_json(evaluation_bytes)
        text = io.StringIO(predictions_bytes.decode(), newline="")
        predictions = read_predictions(text)
    except ValueError as error:
        raise EvidenceIncompleteError(
            f"the evaluation of run {command.run_id} cannot be read: {error}", field="evaluation"
        ) from None
    evaluated_in = command.evaluated_in or command.run_id
    if (report.project, report.run_id) != (command.project, evaluated_in):
        raise EvidenceIncompleteError(
            f"{evaluation_uri} is of another run", field="run_id", value=report.run_id,
            allowed=evaluated_in,
        )  # fmt: skip
    project = pinned_run(state, command.project, command.run_id).project
    status, found, seen = "no_champion", None, None
    if command.champion_version is not None:
        status = "champion_failed"
        seen = _seen(command, predictions, state, objects)
        if predictions.champion is not None and seen is None:
            status, found = "compared", _compare(project, predictions)
    document = {
        "schema_version": "1",
        "project": command.project,
        "run_id": command.run_id,
        "evaluated_in": evaluated_in,
        "status": status,
        "verdict": "no_champion",
        **(found.model_dump(mode="json") if found else {}),
        "champion_version": command.champion_version,
        "champion_failure": (
            f"it may have trained on {seen.reason}"
            if seen
            else report.champion.reason
            if status == "champion_failed"
            else None
        ),
        "champion_saw_rows": seen is not None,
        "champion_seen_rows": seen.rows if seen else 0,
        "evaluation_sha256": files["evaluation.json"],
        "predictions_sha256": files["predictions.csv"],
    }
    comparison_uri = f"{(command.comparisons_uri or base).rstrip('/')}/comparison.json"
    objects.write(comparison_uri, json.dumps(document, indent=2, sort_keys=True).encode())
    verdict = found.verdict if found else status
    payload = CandidateEvaluated.model_validate(
        {
            "run_id": command.run_id,
            "evaluation_uri": evaluation_uri,
            "metrics": {m.metric: m.value for m in report.metrics if m.value is not None},
            "champion_version": command.champion_version,
            "verdict": verdict,
        }
    )
    cause = Cause(command.project, command.correlation_id, command.run_id)
    state.commit([], [event(payload, cause, clock, ids)])
    return ComparedCandidate(
        evaluation_uri=evaluation_uri, comparison_uri=comparison_uri, verdict=verdict,
        champion_version=command.champion_version, baseline=baseline, bias=bias,
        explanation=explanation,
    )  # fmt: skip


def _seen(
    command: CompareCandidate, predictions: Predictions, state: StateStore, objects: ObjectStore
) -> SeenRows | None:
    """Return which of these rows the champion may have trained on; None where nothing tells so.

    A version that was trained elsewhere may have no manifest, or one that names no dataset.
    """
    key = {"project": command.project, "item": version_item(int(command.champion_version or 0))}
    uri = (state.get(Table.VERSIONS, key) or {}).get("manifest_uri")
    if command.manifest_uri is None or not uri:
        return None
    try:
        champion = objects.read(str(uri))
    except EvidenceIncompleteError:
        return None
    candidate = json.loads(objects.read(command.manifest_uri))
    return seen_rows(json.loads(champion), candidate, predictions.entities, predictions.asked_on)


def _compare(project: Project, predictions: Predictions) -> Comparison:
    plan = project.evaluation
    settings = ComparisonSettings(
        loss=plan.loss, margin=plan.margin or 0.0, relative_margin=plan.relative_margin,
        confidence=plan.confidence,
        bootstrap_samples=plan.bootstrap_samples, seed=plan.seed,
        slice_confidence=plan.slice_confidence, slice_minimum_rows=plan.slice_minimum_rows,
    )  # fmt: skip
    assert predictions.champion is not None
    if project.split.by == "time" and predictions.asked_on is None:
        raise EvidenceIncompleteError(
            "the predictions do not say when each row was asked for, by which they are split",
            field="predictions", allowed="the columns asked_on and known_on",
        )  # fmt: skip
    try:
        return compare(
            predictions.entities, predictions.labels, predictions.candidate,
            predictions.champion, slices=predictions.slices, settings=settings,
            asked_on=predictions.asked_on, lead_days=predictions.lead_days,
        )  # fmt: skip
    except ValueError as error:
        raise EvidenceIncompleteError(
            f"the predictions cannot be compared: {error}", field="predictions"
        ) from None


def _manifest(content: bytes) -> dict[str, str]:
    try:
        files: dict[str, Any] = json.loads(content)["files"]
        there = [*OUTPUTS, *(name for name in OPTIONAL if name in files)]
        return {name: str(files[name]["sha256"]) for name in there}
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceIncompleteError(
            f"manifest.json of the evaluation has not the agreed shape: {error!r}",
            field="manifest",
        ) from None


def _written(objects: ObjectStore, uri: str, files: dict[str, str]) -> BaselineReference | None:
    """Return what was written where it could be, None where it was left out."""
    digest = files.get(uri.rpartition("/")[2])
    if digest is None:
        return None
    _checked(objects, uri, files)
    return BaselineReference(uri=uri, digest=digest)


def _checked(objects: ObjectStore, uri: str, files: dict[str, str]) -> bytes:
    content = objects.read(uri)
    digest, wanted = hashlib.sha256(content).hexdigest(), files[uri.rpartition("/")[2]]
    if digest != wanted:
        raise EvidenceIncompleteError(
            f"{uri} differs from its digest in the job's manifest", field="sha256", value=digest,
            allowed=wanted,
        )  # fmt: skip
    return content
