"""What follows from ``data.label.task``: defaults, and keys that one task has and another not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.domain.declaration import MisplacedError
from steward.domain.expressions import ExpressionError, parse
from steward.domain.policy.requirements import METRICS_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steward.domain.project import Project

RELATIVE_MARGIN = 0.05
"""Share of the champion's mean loss that a regression may lose, where nothing is declared."""

RELATIVE_WORSENING = 0.25
"""Share of its held-out mean absolute error by which a regression may get worse in traffic."""

GROUP_METRICS = (
    "mean_prediction", "mean_error", "mean_absolute_error", "root_mean_squared_error",
)  # fmt: skip
"""Shown by group of a regression, where nothing is declared."""

_LOSSES = {
    "binary": ("brier", "log_loss", "squared_error", "zero_one"),
    "regression": ("squared_error", "absolute_error"),
}


def with_task_defaults(declared: dict[str, Any]) -> dict[str, Any]:
    """Return a declaration with the defaults that a regression has instead of a class's.

    What has not the shape of a declaration is left for its validation.
    """
    data = declared.get("data")
    label = data.get("label") if isinstance(data, dict) else None
    if not isinstance(label, dict) or label.get("task") != "regression":
        return declared
    evaluation = declared.get("evaluation", {})
    if not isinstance(evaluation, dict):
        return declared
    filled = {"loss": "squared_error", **evaluation}
    if evaluation.get("margin") is None and evaluation.get("relative_margin") is None:
        filled["relative_margin"] = RELATIVE_MARGIN
    return {**declared, "evaluation": filled, **_watched(declared), **_compared(declared)}


def _compared(declared: dict[str, Any]) -> dict[str, Any]:
    bias = declared.get("bias")
    if not isinstance(bias, dict):
        return {}
    return {"bias": {"group_metrics": list(GROUP_METRICS), **bias}}


def _watched(declared: dict[str, Any]) -> dict[str, Any]:
    monitoring = declared.get("monitoring", {})
    labels = monitoring.get("labels", {}) if isinstance(monitoring, dict) else None
    if not isinstance(labels, dict):
        return {}
    filled = {"metric": "mae", **labels}
    if labels.get("margin") is None and labels.get("relative_margin") is None:
        filled["relative_margin"] = RELATIVE_WORSENING
    return {"monitoring": {**monitoring, "labels": filled}}


def check_task(project: Project) -> None:
    """Refuse what the task of the label does not have.

    Raises:
        MisplacedError: With the key at fault and what is allowed there.
    """
    task = project.data.label.task
    allowed = _LOSSES[task]
    if project.evaluation.loss not in allowed:
        raise MisplacedError(
            "evaluation.loss", f"a {task} model has no {project.evaluation.loss}",
            project.evaluation.loss, ", ".join(allowed),
        )  # fmt: skip
    _check_watched(project, task)
    _check_release(project, task)
    metrics = METRICS_OF[task]
    for path, metric in _asked_metrics(project):
        if metric not in metrics:
            raise MisplacedError(
                path, f"a {task} model has no {metric}", metric, ", ".join(metrics)
            )


def answers_of(project: Project) -> tuple[float, float] | None:
    """Return the least and the largest answer of a model; None where nothing bounds it.

    A regression is bounded by ``min`` and ``max`` of its label's column.
    """
    label = project.data.label
    if label.task == "binary":
        return 0.0, 1.0
    column = project.data.column(label.name)
    if column is None or column.min is None or column.max is None or column.min >= column.max:
        return None
    return column.min, column.max


def _check_release(project: Project, task: str) -> None:
    """Refuse comparisons of answers that need a range, where a regression has none."""
    release = project.release
    if task != "regression":
        return
    for metric in release.metrics:
        for name in ("value", "denominator"):
            text = getattr(metric, name)
            if text is not None and "label" in _columns(text):
                raise MisplacedError(
                    f"release.metrics.{metric.name}.{name}", "a regression answers no label", text,
                    "an expression over outcome, prediction, latency_ms, failed and features",
                )  # fmt: skip
    compared = (
        ("release.guardrails.prediction_margin", release.guardrails.prediction_margin),
        ("release.shadow.max_difference", release.shadow.max_difference),
    )
    for path, asked in compared:
        if asked is not None and answers_of(project) is None:
            raise MisplacedError(
                path, "it is a share of the range of answers, which nothing declares", asked,
                f"nothing, or min and max of the column {project.data.label.name}",
            )  # fmt: skip


def _columns(text: str) -> frozenset[str]:
    try:
        return frozenset(parse(text, None).columns)
    except ExpressionError:
        return frozenset()  # it is refused where all expressions are checked


def _check_watched(project: Project, task: str) -> None:
    """Refuse labels to be watched by what the task does not have."""
    labels = project.monitoring.labels
    watched = ("mae",) if task == "regression" else ("brier", "log_loss", "accuracy")
    if labels.metric not in watched:
        raise MisplacedError(
            "monitoring.labels.metric", f"a {task} model has no {labels.metric}", labels.metric,
            ", ".join(watched),
        )  # fmt: skip
    if task == "regression":
        for name in ("further", "groups"):
            if found := getattr(labels, name):
                raise MisplacedError(
                    f"monitoring.labels.{name}", "a regression has no rates of a class", found,
                    "nothing",
                )  # fmt: skip


def _asked_metrics(project: Project) -> Iterator[tuple[str, str]]:
    for place, gate in enumerate(project.gates):
        yield f"gates[{place}].metric", gate.metric
    for place, bound in enumerate(project.policy.performance.bounds or ()):
        yield f"policy.performance.bounds[{place}].metric", bound.metric
    for name in project.policy.stability.max_interval_width or ():
        yield f"policy.stability.max_interval_width.{name}", name
