"""A declared search in the words of SageMaker's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.contracts.steps.training import TuningPlan
from steward.domain.names import tuning_job

if TYPE_CHECKING:
    from steward.domain.training_declaration import NumberRange, Tuning, ValueRange


def tuning_plan(tuning: Tuning, environment: str, run_id: str) -> TuningPlan:
    """Return the search of a run."""
    objective = tuning.objective
    return TuningPlan(
        job=tuning_job(environment, run_id),
        config={
            "Strategy": tuning.strategy,
            "HyperParameterTuningJobObjective": {
                "Type": objective.goal, "MetricName": objective.metric,
            },
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": tuning.max_jobs,
                "MaxParallelTrainingJobs": tuning.parallel_jobs,
            },
            "ParameterRanges": _ranges(tuning.ranges),
            "TrainingJobEarlyStoppingType": tuning.early_stopping,
        },
        metric_definitions=[{"Name": objective.metric, "Regex": objective.regex}],
    )  # fmt: skip


def _ranges(ranges: dict[str, NumberRange | ValueRange]) -> dict[str, list[dict[str, Any]]]:
    from steward.domain.training_declaration import ValueRange

    found: dict[str, list[dict[str, Any]]] = {
        "IntegerParameterRanges": [], "ContinuousParameterRanges": [],
        "CategoricalParameterRanges": [],
    }  # fmt: skip
    for name, searched in sorted(ranges.items()):
        if isinstance(searched, ValueRange):
            one = {"Name": name, "Values": list(searched.values)}
            found["CategoricalParameterRanges"].append(one)
            continue
        whole = searched.type == "integer"
        bounds = [str(int(v)) if whole else repr(v) for v in (searched.min, searched.max)]
        kind = "IntegerParameterRanges" if whole else "ContinuousParameterRanges"
        found[kind].append(
            {"Name": name, "MinValue": bounds[0], "MaxValue": bounds[1],
             "ScalingType": searched.scaling}
        )  # fmt: skip
    return found
