"""A version's evidence for cards, with every part or without some."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from steward.domain.cards.assembling import Document, Known, assemble
from steward.domain.cards.card import Card, Source
from steward.domain.project import parse_project
from support.registry_scene import BUCKET, CONFIG, PROJECT, comparison, evaluation

DECLARED: dict[str, Any] = {
    "purpose": "Tell wards which patients to see sooner.",
    "intended_uses": ["order of visits"],
    "out_of_scope": ["insurance"],
    "limits": ["patients below 18 were never seen"],
    "ethical_considerations": "A missed patient is seen late.",
    "recommendations": "A nurse looks at each answer.",
    "algorithm": "logistic regression",
    "business_problem": "Late visits",
    "stakeholders": "ward 12",
    "line_of_business": "care",
    "risk_explanation": "No decision is made without a person.",
    "contact": "ward-12@example.com",
    "human_oversight": "The nurse on duty may overrule it.",
}


def bias() -> dict[str, Any]:
    """Return the content of a ``bias.json``."""
    metrics = [
        {"name": "DPL", "value": 0.031, "lower": -0.05, "upper": 0.11, "rows": 56},
        {"name": "DI", "value": None, "undefined_because": "no positive answer", "rows": 0},
    ]
    report = {"facet": "sex = 2", "mode": "exact", "metrics": metrics}
    return {
        "schema_version": "1", "mode": "exact", "confidence": 0.95, "minimum_rows": 25,
        "facets": [{"name": "sex = 2", "report": report, "verdicts": []}],
        "groups": [], "verdict": "pass",
    }  # fmt: skip


def explanation(features: int = 3) -> dict[str, Any]:
    """Return the content of an ``explanation.json``."""
    return {
        "schema_version": "1", "method": "exact", "scale": "probability", "rows": 64,
        "background_digest": "b" * 64, "base": 0.4, "max_gap": 0.0, "additive": True,
        "features": [
            {"name": f"s{n}", "mean_abs": 0.2 / n, "lower": 0.15 / n, "upper": 0.25 / n,
             "share": 0.1, "rank": n}
            for n in range(1, features + 1)
        ],
        "permutation": [],
    }  # fmt: skip


def document(name: str, content: dict[str, Any]) -> Document:
    """Return a piece of evidence as the object store would give it."""
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    return Document(Source(name=name, sha256=digest, uri=f"s3://{BUCKET}/{name}.json"), content)


def evidence() -> dict[str, dict[str, Any]]:
    """Return every document of a version that was compared with a champion."""
    found = evaluation(champion=True) | {"heldout_sha256": "7" * 64}
    return {
        "evaluation": found,
        "comparison": comparison("0" * 64, status="compared"),
        "manifest": {"rows": 300, "cutoff": "2026-01-01T00:00:00.000+00:00",
                     "sources": [{"bucket": "data", "key": "incoming/a.csv"}]},
        "bias": bias(),
        "explanation": explanation(),
        "smoke": {"checks": []},
    }  # fmt: skip


def known(
    documents: dict[str, dict[str, Any]] | None = None,
    declared: dict[str, Any] | None = None,
    **config: Any,
) -> Known:
    """Return what is known of version 3."""
    found = {n: document(n, c) for n, c in (documents or evidence()).items()}
    found["artifact"] = Document(
        Source(name="artifact", sha256="a" * 64, uri=f"s3://{BUCKET}/models/r/model.tar.gz")
    )
    found["baseline"] = Document(
        Source(name="baseline", sha256="9" * 64, uri=f"s3://{BUCKET}/baseline.json")
    )
    item = {
        "project": PROJECT, "version": 3, "run_id": "r-1", "author": "000000000000/tess",
        "model_package_arn": "arn:aws:sagemaker:us-east-1:000000000000:model-package/d/3",
        "config_digest": "c" * 64, "code_digest": "d" * 64, "champion_version": 2,
        "job_image": "local/steward-jobs@sha256:" + "1" * 64, "quorum": 1,
        "gate": {"verdict": "pass", "reasons": ["brier 0.1712 keeps its bound"]},
    }  # fmt: skip
    declared_card = DECLARED if declared is None else declared
    project = parse_project(
        {**CONFIG, "training": {"hyperparameters": {"c": 1.0}}, **config, "card": declared_card}
    )
    staging = {"checks": 14, "passed": 14}
    return Known(item, project, found, staging)


def card(**about: Any) -> Card:
    """Return a card."""
    return assemble(known(**about))
