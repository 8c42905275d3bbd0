"""A card as SageMaker takes it: the model package's card and that of ``CreateModelCard``.

Each schema refuses the other's content, so there are two projections. What a schema has no field
for is in ``custom_details``, and each fact that is unproven is listed there too.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from steward.domain.cards.card import UNPROVEN, Card, Group, Statement, Value
from steward.domain.cards.limits import SchemaName, check_content, check_size

_PARAMETERS = 100


def as_text(value: Value) -> str:
    """Return a value as one text."""
    return "\n".join(value) if isinstance(value, list) else str(value)


def fitted(text: str, most: int) -> str:
    """Return a text of at most ``most`` characters; a shortened one names its own digest."""
    if len(text) <= most:
        return text
    told = f" ... (shortened; SHA-256 {hashlib.sha256(text.encode()).hexdigest()})"
    if most < 2 * len(told):
        return text[: most - 4] + " ..."
    return text[: most - len(told)] + told


def project(card: Card, schema: SchemaName) -> dict[str, Any]:
    """Return the content of a card in one of SageMaker's schemas, checked.

    Raises:
        CardInvalidError: It breaks a limit of the schema.
    """
    content = _common(card)
    if schema == "package":
        _package(card, content)
    else:
        _model_card(card, content)
    check_content(schema, content)
    return content


def encode(card: Card, schema: SchemaName) -> str:
    """Return the text that ``CreateModelCard`` or ``UpdateModelPackage`` takes.

    One line: the service's pattern is ``.*``.

    Raises:
        CardInvalidError: It breaks a limit of the schema, or is too long as a whole.
    """
    content = project(card, schema)
    return check_size(json.dumps(content, separators=(",", ":"), ensure_ascii=False))


class _Reader:
    def __init__(self, card: Card) -> None:
        self.card = card

    def text(self, field: str, most: int) -> str:
        """Return what the card says, with the digest of what proves it, or ``unproven``."""
        statement = self.card.statement(field)
        if statement.value is None:
            return UNPROVEN
        told = f" [{self.proof(statement)}]"
        return fitted(as_text(statement.value), most - len(told)) + told

    def bare(self, field: str, most: int) -> str:
        """Return what the card says, where a reader would take more for a part of it."""
        value = self.card.statement(field).value
        return UNPROVEN if value is None else fitted(as_text(value), most)

    def proof(self, statement: Statement) -> str:
        return ", ".join(f"{s.name} sha256:{s.sha256}" for s in self.card.digests(statement))


def _common(card: Card) -> dict[str, Any]:
    read = _Reader(card)
    rating = card.said("risk.rating")
    overview = {
        "model_creator": read.bare("overview.author", 1024),
        "model_artifact": [read.bare("overview.artifact", 1024)],
    }
    uses = {
        "purpose_of_model": read.text("use.purpose", 2048),
        "intended_uses": read.text("use.intended", 2048),
        "factors_affecting_model_efficiency": read.text("use.limits", 2048),
        "risk_rating": rating if rating is not None else "Unknown",
        "explanations_for_risk_rating": read.text("risk.explanation", 2048),
    }
    job = {
        "training_datasets": [read.bare("training.dataset", 1024)],
        "training_environment": {"container_image": [read.bare("training.environment", 1024)]},
    }
    training = {
        "training_observations": read.text("training.code", 1024),
        "training_job_details": job,
    }
    caveats = (
        f"Out of scope: {read.text('use.out_of_scope', 1000)}\n"
        f"Recommendations: {read.text('use.recommendations', 1000)}"
    )
    return {
        "model_overview": overview,
        "intended_uses": uses,
        "training_details": training,
        "evaluation_details": [_evaluation(card, read)],
        "additional_information": {
            "ethical_considerations": read.text("use.ethics", 2048),
            "caveats_and_recommendations": caveats,
            "custom_details": _details(card, read),
        },
    }


_ELSEWHERE = frozenset(
    {
        "overview.author", "overview.artifact", "use.purpose", "use.intended", "use.limits",
        "use.out_of_scope", "use.recommendations", "use.ethics", "risk.rating",
        "risk.explanation", "training.dataset", "training.environment", "training.code",
    }
)  # fmt: skip


def _details(card: Card, read: _Reader) -> dict[str, str]:
    details = {
        s.field: read.text(s.field, 1024) for s in card.statements() if s.field not in _ELSEWHERE
    }
    for source in card.sources:
        details[f"evidence.{source.name}"] = fitted(f"sha256:{source.sha256} {source.uri or ''}",
                                                    1024).rstrip()  # fmt: skip
    unproven = ", ".join(s.field for s in card.unproven)
    details[UNPROVEN] = fitted(unproven or "nothing", 1024)
    return details


def _evaluation(card: Card, read: _Reader) -> dict[str, Any]:
    evaluation = card.source("evaluation")
    return {
        "name": "held-out rows",
        "evaluation_observation": read.text("evaluation.comparison", 2096),
        "datasets": [evaluation.uri or evaluation.name],
        "metadata": {"evaluation.sha256": evaluation.sha256},
        "metric_groups": [_group(card, group) for group in list(card.groups())[:20]],
    }


def _group(card: Card, group: Group) -> dict[str, Any]:
    proof = f"{group.source} sha256:{card.source(group.source).sha256}"
    data: list[dict[str, Any]] = []
    for estimate in group.estimates:
        notes = [proof]
        if estimate.lower is not None or estimate.upper is not None:
            notes.insert(0, f"{_bound(estimate.lower)} to {_bound(estimate.upper)}")
        if estimate.rows is not None:
            notes.insert(0, f"{estimate.rows} rows")
        if estimate.note:
            notes.insert(0, estimate.note)
        known = estimate.value is not None
        data.append(
            {
                "name": fitted(estimate.name, 255) or "unnamed",
                "type": "number" if known else "string",
                "value": estimate.value if known else estimate.said,
                "notes": fitted("; ".join(notes), 1024),
            }
        )
    if group.name in ("explanation", "slices"):
        drawn = [e for e in group.estimates if e.value is not None][:20]
        if drawn:
            data.append(
                {
                    "name": fitted(group.title, 255), "type": "bar_chart",
                    "value": [e.value for e in drawn],
                    "x_axis_name": [fitted(e.name, 63) for e in drawn],
                    "y_axis_name": fitted(group.axis, 63),
                    "notes": f"{group.left_out} more in the evidence; {proof}",
                }
            )  # fmt: skip
    return {"name": fitted(group.name, 63), "metric_data": data}


def _bound(value: float | None) -> str:
    return "open" if value is None else f"{value:.6g}"


def _package(card: Card, content: dict[str, Any]) -> None:
    read = _Reader(card)
    content["business_details"] = {
        "business_problem": read.text("business.problem", 2048),
        "business_stakeholders": read.text("business.stakeholders", 2048),
        "line_of_business": read.text("business.line", 2048),
    }
    found = card.said("training.parameters")
    pairs = [entry.partition(" = ") for entry in found] if isinstance(found, list) else []
    content["training_details"]["training_job_details"]["hyper_parameters"] = [
        {"name": fitted(name, 255), "value": fitted(value, 255)}
        for name, _, value in pairs[:_PARAMETERS]
    ]
    details = content["additional_information"]["custom_details"]
    for field in ("business.problem", "business.stakeholders", "business.line"):
        details.pop(field, None)


def _model_card(card: Card, content: dict[str, Any]) -> None:
    read = _Reader(card)
    content["model_overview"] |= {
        "model_description": read.bare("overview.description", 1024),
        "model_owner": read.bare("overview.owner", 1024),
        "problem_type": read.bare("overview.problem", 1024),
        "algorithm_type": read.bare("overview.algorithm", 1024),
        "model_id": card.model_package_arn,
        "model_name": card.project,
        "model_version": card.version,
        "inference_environment": {"container_image": [read.bare("training.environment", 1024)]},
    }
