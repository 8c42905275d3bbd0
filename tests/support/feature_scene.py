"""A project with feature groups, and rows of its sources, for tests of features."""

from __future__ import annotations

from typing import Any

from steward.domain.project import Project, parse_project

RECEIVED = "2026-02-01T00:00:00.000+00:00"


def labs(**changes: Any) -> dict[str, Any]:
    """Return the declaration of a group with every kind of feature."""
    return {
        "feature_group": "labs",
        "description": "Laboratory values of a patient.",
        "owner": "clinical-data",
        "tags": {"domain": "laboratory"},
        "source": "lab",
        "keys": ["patient"],
        "event_time": "taken_at",
        "known_at": "reported_at",
        "deleted": "withdrawn",
        "ttl_s": 86_400 * 30,
        "features": [
            {"name": "glucose", "type": "float"},
            {"name": "glucose_mmol", "type": "float", "expression": "glucose / 18.0182"},
            {"name": "log_glucose", "type": "float", "expression": "ln(glucose)"},
            {"name": "visits", "type": "integer"},
            {"name": "ward", "type": "string", "expression": "upper(trim(ward))"},
            {"name": "is_high", "type": "boolean", "expression": "glucose >= 126"},
            {"name": "day_of", "type": "timestamp", "expression": "date_trunc('day', taken_at)"},
        ],
        "aggregates": [
            {"name": "measurements", "function": "count", "window_s": 7 * 86_400},
            {"name": "glucose_sum", "function": "sum", "of": "glucose", "window_s": 7 * 86_400},
            {"name": "glucose_mean", "function": "mean", "of": "glucose", "window_s": 86_400},
            {"name": "most_visits", "function": "max", "of": "visits", "of_type": "integer",
             "window_s": 7 * 86_400},
        ],
        "on_demand": [
            {"name": "glucose_per_age", "type": "float", "expression": "glucose / nullif(age, 0)",
             "inputs": ["age"]},
        ],
        **changes,
    }  # fmt: skip


def declaration(*groups: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a project's declaration with feature groups; :func:`labs` where none is given."""
    declared = list(groups) or [labs()]
    return {
        "project": "clinic",
        "owner": "clinical-data",
        "data": {
            "entity_id": "patient",
            "label": {"name": "returned"},
            "prediction_time": "asked_at",
            "columns": [
                {"name": "patient", "type": "integer"},
                {"name": "asked_at", "type": "timestamp"},
                {"name": "age", "type": "integer"},
                {"name": "returned", "type": "integer"},
            ],
            "sources": {
                "lab": {
                    "columns": [
                        {"name": "patient", "type": "integer"},
                        {"name": "taken_at", "type": "timestamp"},
                        {"name": "reported_at", "type": "timestamp"},
                        {"name": "withdrawn", "type": "boolean", "nullable": True},
                        {"name": "glucose", "type": "float", "nullable": True},
                        {"name": "visits", "type": "integer", "nullable": True},
                        {"name": "ward", "type": "string", "nullable": True},
                    ]
                }
            },
        },
        "feature_groups": declared,
        "features": [{"group": group["feature_group"]} for group in declared],
        **changes,
    }


CSV_HEADER = "patient,taken_at,reported_at,withdrawn,glucose,visits,ward\n"


def csv_row(
    patient: int, day: int, glucose: float | str, reported: int | None = None, withdrawn: str = ""
) -> str:
    """Return a line of the laboratory's file, of a day in January 2026."""
    known = day if reported is None else reported
    return (
        f"{patient},2026-01-{day:02d}T10:00:00Z,2026-01-{known:02d}T11:00:00Z,{withdrawn},"
        f"{glucose},1,icu\n"
    )


def project_of(*groups: dict[str, Any], **changes: Any) -> Project:
    """Return the project of :func:`declaration`."""
    return parse_project(declaration(*groups, **changes))
