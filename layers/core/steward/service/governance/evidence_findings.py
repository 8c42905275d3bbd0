"""What the files of an evaluation say, as a policy judges it; each is what its digest says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.policy.documents import (
    bias_findings,
    explanation_finding,
    finite,
    undefined_reason,
)
from steward.domain.policy.findings import (
    ChampionFailed,
    ChampionFinding,
    DataFinding,
    DocumentationFinding,
    Findings,
    MetricFinding,
    SliceFinding,
    VersusChampion,
    WaiverInForce,
)
from steward.ports import ObjectStore

if TYPE_CHECKING:
    from steward.domain.project import Project

_BESIDE = {"baseline": "baseline.json", "bias": "bias.json", "explanation": "explanation.json"}
_JUDGED = ("bias", "explanation")


@dataclass(frozen=True)
class Sources:
    """Where the evidence of a candidate lies."""

    evaluation_uri: str
    comparison_uri: str
    manifest_uri: str | None = None


def findings_of(
    sources: Sources,
    project: Project,
    waivers: Sequence[WaiverInForce],
    objects: ObjectStore,
) -> Findings:
    """Read all parts of the evidence that there are.

    Raises:
        EvidenceIncompleteError: A file is missing, has not the agreed shape, differs from its
            digest in the job's manifest, or the comparison was made from another evaluation.
    """
    content = objects.read(sources.evaluation_uri)
    evaluation = _parsed(content, sources.evaluation_uri)
    compared = objects.read(sources.comparison_uri)
    comparison = _parsed(compared, sources.comparison_uri)
    evidence = {"evaluation": _sha256(content), "comparison": _sha256(compared)}
    if comparison.get("evaluation_sha256") != evidence["evaluation"]:
        raise EvidenceIncompleteError(
            "the comparison was made from another evaluation", field="evaluation_sha256",
            value=comparison.get("evaluation_sha256"), allowed=evidence["evaluation"],
        )  # fmt: skip
    beside = _beside(sources.evaluation_uri, evidence, objects)
    manifest: Mapping[str, Any] | None = None
    if sources.manifest_uri is not None:
        told = objects.read(sources.manifest_uri)
        manifest, evidence["dataset"] = _parsed(told, sources.manifest_uri), _sha256(told)
    try:
        return Findings(
            evidence=evidence,
            metrics={entry["metric"]: _metric(entry) for entry in evaluation["metrics"]},
            champion=_champion(comparison),
            bias=bias_findings(beside["bias"]) if "bias" in beside else None,
            explanation=(
                explanation_finding(beside["explanation"]) if "explanation" in beside else None
            ),
            data=_data(manifest, evaluation),
            documentation=DocumentationFinding(
                description=project.description, owner=project.owner,
                risk_answered=project.risk is not None,
            ),
            waivers=list(waivers),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise EvidenceIncompleteError(
            f"the evidence has not the agreed shape: {error!r}", field="evidence"
        ) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _beside(
    evaluation_uri: str, evidence: dict[str, str], objects: ObjectStore
) -> dict[str, dict[str, Any]]:
    """Return what else the evaluation job wrote, as far as it is judged; note all digests."""
    folder = evaluation_uri.rpartition("/")[0]
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    if objects.describe(bucket, f"{prefix}/manifest.json") is None:
        return {}
    files = _parsed(objects.read(f"{folder}/manifest.json"), "manifest.json").get("files")
    documents = {}
    for part, name in _BESIDE.items():
        told = (files or {}).get(name)
        if not told:
            continue
        content = objects.read(f"{folder}/{name}")
        evidence[part] = _sha256(content)
        if told.get("sha256") != evidence[part]:
            raise EvidenceIncompleteError(
                f"{folder}/{name} differs from its digest in the job's manifest",
                field=part, value=evidence[part], allowed=str(told.get("sha256")),
            )  # fmt: skip
        if part in _JUDGED:
            documents[part] = _parsed(content, f"{folder}/{name}")
    return documents


def _metric(entry: Mapping[str, Any]) -> MetricFinding:
    return MetricFinding(
        value=finite(entry["value"]), lower=finite(entry["lower"]),
        upper=finite(entry["upper"]), undefined_because=undefined_reason(entry),
    )  # fmt: skip


def _champion(document: Mapping[str, Any]) -> ChampionFinding:
    status = document["status"]
    if status == "no_champion":
        return None
    if status == "champion_failed":
        return ChampionFailed(
            reason=document["champion_failure"] or "no answer",
            saw_rows=bool(document.get("champion_saw_rows")),
        )
    return VersusChampion(
        verdict=document["verdict"], difference=document["difference"], lower=document["lower"],
        upper=document["upper"], margin=_margin(document), rows=document["rows"],
        undecided_because=document.get("undecided_because"),
        slices=[SliceFinding.model_validate(slice_) for slice_ in document["slices"]],
    )  # fmt: skip


def _margin(document: Mapping[str, Any]) -> float:
    """Return what the difference was judged by, in the unit of the loss."""
    found = document.get("margin")
    return float(document["settings"]["margin"] if found is None else found)


def _data(manifest: Mapping[str, Any] | None, evaluation: Mapping[str, Any]) -> DataFinding:
    heldout = evaluation.get("rows")
    if manifest is None:
        return DataFinding(heldout_rows=heldout)
    parts, sources = manifest.get("parts") or {}, manifest.get("sources") or []
    aside = sum(int(source.get("quarantined_rows") or 0) for source in sources)
    kept = sum(int(source.get("rows") or 0) for source in sources)
    return DataFinding(
        train_rows=(parts.get("train") or {}).get("rows"), heldout_rows=heldout,
        delivered_rows=kept + aside if sources else None,
        set_aside_rows=aside if sources else None,
    )  # fmt: skip


def _parsed(content: bytes, uri: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise EvidenceIncompleteError(f"{uri} is not a JSON object", field="evidence", value=uri)
    return document
