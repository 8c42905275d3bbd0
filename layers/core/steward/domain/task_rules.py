"""What follows from ``data.label.task``: defaults, and keys that one task has and another not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.domain.declaration import MisplacedError
from steward.domain.policy.requirements import METRICS_OF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steward.domain.project import Project

RELATIVE_MARGIN = 0.05
"""Share of the champion's mean loss that a regression may lose, where nothing is declared."""

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
    return {**declared, "evaluation": filled}


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
    if task == "regression" and project.bias is not None:
        raise MisplacedError(
            "bias", "bias is of labels with a favourable value", "a mapping", "nothing"
        )
    metrics = METRICS_OF[task]
    for path, metric in _asked_metrics(project):
        if metric not in metrics:
            raise MisplacedError(
                path, f"a {task} model has no {metric}", metric, ", ".join(metrics)
            )


def _asked_metrics(project: Project) -> Iterator[tuple[str, str]]:
    for place, gate in enumerate(project.gates):
        yield f"gates[{place}].metric", gate.metric
    for place, bound in enumerate(project.policy.performance.bounds or ()):
        yield f"policy.performance.bounds[{place}].metric", bound.metric
    for name in project.policy.stability.max_interval_width or ():
        yield f"policy.stability.max_interval_width.{name}", name
