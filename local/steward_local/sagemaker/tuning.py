"""Tuning jobs: a search that runs real training jobs and reads their objective from the logs.

Sources: API reference of ``CreateHyperParameterTuningJob`` and "How Hyperparameter Tuning with
Amazon SageMaker AI Works" (developer guide). One training job definition, no warm start, no
Hyperband, no criteria of completion beside the number of jobs: a request for these is refused.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import zlib
from typing import Any

from ministack.core.responses import new_uuid

from steward_local.authority import Principal
from steward_local.sagemaker import jobs, store, training
from steward_local.sagemaker.early_stopping import is_behind
from steward_local.sagemaker.errors import ApiError, invalid
from steward_local.sagemaker.search import Search, Trial
from steward_local.sagemaker.store import Job, Store, now

_CONFIG, _DEFINITION = "HyperParameterTuningJobConfig", "TrainingJobDefinition"
_STRATEGIES = ("Bayesian", "Random", "Grid")
OBJECTIVE_PARAMETER = "_tuning_objective_metric"
"""Hyperparameter that SageMaker adds to each training job of a search."""
_DEFINED = (
    "RoleArn", "InputDataConfig", "OutputDataConfig", "ResourceConfig", "StoppingCondition",
    "EnableNetworkIsolation", "EnableManagedSpotTraining", "CheckpointConfig", "VpcConfig",
    "EnableInterContainerTrafficEncryption",
)  # fmt: skip


def create(params: dict[str, Any], caller: Principal) -> dict[str, Any]:
    """`CreateHyperParameterTuningJob`: validate, record and start in the background."""
    at = store.current()
    name = params["HyperParameterTuningJobName"]
    arn = at.arn("hyper-parameter-tuning-job", name)
    _check(params)
    jobs.require_role(params[_DEFINITION]["RoleArn"], caller)
    moment = now()
    record = {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": moment,
        "LastModifiedTime": moment,
        "TrainingJobStatusCounters": _counters(),
        "ObjectiveStatusCounters": {"Succeeded": 0, "Pending": 0, "Failed": 0},
        **{key: value for key, value in params.items() if key != "Tags"},
    }
    job = Job(record, params)
    with at.lock:
        jobs.require_unused(at.tuning_jobs, name, arn)
        at.tuning_jobs[name] = job
    at.tag(arn, params.get("Tags"))
    jobs.in_background(lambda: _Tuner(at, job, caller).run(), f"tuning-{name}")
    return {"HyperParameterTuningJobArn": arn}


def _check(params: dict[str, Any]) -> None:
    config, definition = params[_CONFIG], params.get(_DEFINITION)
    if definition is None or "TrainingJobDefinitions" in params or "WarmStartConfig" in params:
        raise invalid("The embedded SageMaker tunes one TrainingJobDefinition without warm start.")
    if config["Strategy"] not in _STRATEGIES:
        raise invalid(f"The embedded SageMaker has the strategies {', '.join(_STRATEGIES)}.")
    for member, given in (
        ("TuningJobCompletionCriteria", config), ("MaxRuntimeInSeconds", config["ResourceLimits"]),
        ("Autotune", params), ("RetryStrategy", definition),
    ):  # fmt: skip
        if member in given:
            raise invalid(f"The embedded SageMaker has no {member} of tuning jobs.")
    objective = config.get("HyperParameterTuningJobObjective")
    if objective is None:
        raise invalid("HyperParameterTuningJobObjective is required.")
    metrics = {m["Name"] for m in definition["AlgorithmSpecification"].get("MetricDefinitions", [])}
    if objective["MetricName"] not in metrics:
        raise invalid(
            f"Objective metric {objective['MetricName']} is not among the MetricDefinitions of "
            "the training job definition."
        )
    limits = config["ResourceLimits"]
    if limits["MaxParallelTrainingJobs"] > limits.get("MaxNumberOfTrainingJobs", 1):
        raise invalid("MaxParallelTrainingJobs cannot exceed MaxNumberOfTrainingJobs.")
    ranges = config.get("ParameterRanges", {})
    numeric = [*ranges.get("ContinuousParameterRanges", []),
               *ranges.get("IntegerParameterRanges", [])]  # fmt: skip
    if config["Strategy"] == "Grid" and numeric:
        raise invalid("Grid search supports CategoricalParameterRanges only.")
    for item in numeric:
        if float(item["MinValue"]) >= float(item["MaxValue"]):
            raise invalid(f"MinValue of {item['Name']} must be below its MaxValue.")
    searched = {item["Name"] for group in ranges.values() if isinstance(group, list)
                for item in group}  # fmt: skip
    both = sorted(searched & set(definition.get("StaticHyperParameters", {})))
    if both:
        raise invalid(f"Hyperparameter {both[0]} is both static and in ParameterRanges.")
    if not searched:
        raise invalid("ParameterRanges names no hyperparameter.")


def _counters() -> dict[str, int]:
    names = ("Completed", "InProgress", "RetryableError", "NonRetryableError", "Stopped")
    return dict.fromkeys(names, 0)


class _Tuner:
    """The run of one tuning job."""

    def __init__(self, at: Store, job: Job, caller: Principal) -> None:
        self._at, self._job, self._caller = at, job, caller
        config = job.request[_CONFIG]
        self._name = job.record["HyperParameterTuningJobName"]
        self._objective = config["HyperParameterTuningJobObjective"]
        self._limits = config["ResourceLimits"]
        seed = int(config.get("RandomSeed", zlib.crc32(self._name.encode())))
        self._search = Search(config["Strategy"], config.get("ParameterRanges", {}), seed)
        self._lock = threading.Lock()
        self._tried: list[Trial] = []
        self._stops_early = config.get("TrainingJobEarlyStoppingType", "Off") == "Auto"
        self._epochs: list[list[float]] = []
        self._best: tuple[float, dict[str, Any]] | None = None
        self._proposed = 0

    def run(self) -> None:
        """Try hyperparameters until the limit, side by side; the outcome is the job's record."""
        try:
            workers = [
                threading.Thread(
                    target=contextvars.copy_context().run, args=(self._work,), daemon=True,
                    name=f"{self._name}-{number}",
                )
                for number in range(self._limits["MaxParallelTrainingJobs"])
            ]  # fmt: skip
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            self._end()
        finally:
            self._job.finish()

    def _work(self) -> None:
        while not self._job.stop.is_set():
            with self._lock:
                if self._proposed >= self._limits.get("MaxNumberOfTrainingJobs", 1):
                    return
                proposed = self._search.propose(self._tried)
                if proposed is None:
                    return
                self._proposed += 1
                number = self._proposed
            self._try(number, *proposed)

    def _try(self, number: int, parameters: dict[str, str], point: tuple[float, ...]) -> None:
        request = self._request(number, parameters)
        self._count("InProgress", 1)
        try:
            training.create(request, self._caller)
        except ApiError:
            self._count("InProgress", -1)
            self._count("NonRetryableError", 1)
            return
        child = self._at.training_jobs[request["TrainingJobName"]]
        child.record["TuningJobArn"] = self._job.record["HyperParameterTuningJobArn"]
        done = threading.Event()
        child.when_done(done.set)
        early = False
        while not done.wait(0.05):
            if child.stop.is_set():
                continue
            early = self._is_behind(child)
            if early or self._job.stop.is_set():
                with contextlib.suppress(ApiError):  # it has ended meanwhile
                    training.stop({"TrainingJobName": request["TrainingJobName"]}, self._caller)
        self._count("InProgress", -1)
        self._judge(child, parameters, point, early=early)

    def _is_behind(self, child: Job) -> bool:
        """Return whether early stopping ends a training job."""
        if not self._stops_early or child.record["TrainingJobStatus"] != "InProgress":
            return False
        with self._lock, self._at.lock:
            values = list(child.metrics.get(self._objective["MetricName"], []))
            return is_behind(values, self._epochs, self._objective["Type"])

    def _request(self, number: int, parameters: dict[str, str]) -> dict[str, Any]:
        definition = self._job.request[_DEFINITION]
        tags = self._at.tags.get(self._job.record["HyperParameterTuningJobArn"], {})
        return {
            "TrainingJobName": f"{self._name}-{number:03d}-{new_uuid()[:8]}",
            "AlgorithmSpecification": definition["AlgorithmSpecification"],
            "HyperParameters": {
                **definition.get("StaticHyperParameters", {}), **parameters,
                OBJECTIVE_PARAMETER: self._objective["MetricName"],
            },
            **{name: definition[name] for name in _DEFINED if name in definition},
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }  # fmt: skip

    def _judge(
        self, child: Job, parameters: dict[str, str], point: tuple[float, ...], *, early: bool
    ) -> None:
        """Count what came of a training job; the search learns from one that was stopped early."""
        record = child.record
        status = record["TrainingJobStatus"]
        counter = {"Completed": "Completed", "Stopped": "Stopped"}.get(status, "NonRetryableError")
        self._count(counter, 1)
        metric = self._objective["MetricName"]
        values = [m["Value"] for m in record.get("FinalMetricDataList", [])
                  if m["MetricName"] == metric]  # fmt: skip
        with self._lock, self._at.lock:
            outcome = self._job.record["ObjectiveStatusCounters"]
            if not values or (status != "Completed" and not early):
                outcome["Failed"] += 1
                return
            outcome["Succeeded"] += 1
            score = values[-1] if self._objective["Type"] == "Minimize" else -values[-1]
            self._tried.append(Trial(parameters, point, score))
            if status != "Completed":
                return
            self._epochs.append(list(child.metrics[metric]))
            if self._best is None or score < self._best[0]:
                self._best = (score, _summary(record, parameters, self._objective, values[-1]))
                self._job.record["BestTrainingJob"] = self._best[1]

    def _count(self, counter: str, by: int) -> None:
        with self._at.lock:
            self._job.record["TrainingJobStatusCounters"][counter] += by
            self._job.record["LastModifiedTime"] = now()

    def _end(self) -> None:
        with self._at.lock:
            record = self._job.record
            record["HyperParameterTuningEndTime"] = record["LastModifiedTime"] = now()
            if self._job.stop.is_set():
                record["HyperParameterTuningJobStatus"] = "Stopped"
            elif self._best is None:
                record["HyperParameterTuningJobStatus"] = "Failed"
                record["FailureReason"] = (
                    "No training job succeeded after "
                    f"{self._proposed} attempts. For more details, please take a look at the "
                    "training job failures."
                )
            else:
                record["HyperParameterTuningJobStatus"] = "Completed"


def _summary(
    record: dict[str, Any], parameters: dict[str, str], objective: dict[str, Any], value: float
) -> dict[str, Any]:
    kept = ("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "CreationTime",
            "TrainingStartTime", "TrainingEndTime")  # fmt: skip
    return {
        **{name: record[name] for name in kept if name in record},
        "TunedHyperParameters": parameters,
        "FinalHyperParameterTuningJobObjectiveMetric": {
            "Type": objective["Type"], "MetricName": objective["MetricName"], "Value": value,
        },
        "ObjectiveStatus": "Succeeded",
    }  # fmt: skip


def _find(name: str) -> Job:
    job = store.current().tuning_jobs.get(name)
    if job is None:
        raise ApiError(
            "ResourceNotFound",
            f"Amazon SageMaker can't find a tuning job with the name: {name}.",
        )
    return job


def describe(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`DescribeHyperParameterTuningJob`."""
    with store.current().lock:
        return dict(_find(params["HyperParameterTuningJobName"]).record)


def list_jobs(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListHyperParameterTuningJobs`."""
    at = store.current()
    with at.lock:
        answer = jobs.summaries(
            at.tuning_jobs, params, "HyperParameterTuningJob", "HyperParameterTuningJobStatus"
        )
    listed = answer["HyperParameterTuningJobSummaries"]
    answer["HyperParameterTuningJobSummaries"] = [
        {**{k: v for k, v in one.items() if k not in (_CONFIG, _DEFINITION)},
         "Strategy": one[_CONFIG]["Strategy"], "ResourceLimits": one[_CONFIG]["ResourceLimits"]}
        for one in listed
    ]  # fmt: skip
    return answer


def stop(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`StopHyperParameterTuningJob`: its training jobs stop too."""
    job = _find(params["HyperParameterTuningJobName"])
    with store.current().lock:
        if job.record["HyperParameterTuningJobStatus"] not in {"InProgress", "Stopping"}:
            raise invalid(
                "The request was rejected because the tuning job is in status "
                f"{job.record['HyperParameterTuningJobStatus']}."
            )
        job.record["HyperParameterTuningJobStatus"] = "Stopping"
        job.stop.set()
    return {}


def list_training_jobs(params: dict[str, Any], _caller: Principal) -> dict[str, Any]:
    """`ListTrainingJobsForHyperParameterTuningJob`, the newest first."""
    at, job = store.current(), _find(params["HyperParameterTuningJobName"])
    arn = job.record["HyperParameterTuningJobArn"]
    definition = job.request[_DEFINITION]
    static = {*definition.get("StaticHyperParameters", {}), OBJECTIVE_PARAMETER}
    objective = job.request[_CONFIG]["HyperParameterTuningJobObjective"]
    found = []
    with at.lock:
        for child in at.training_jobs.values():
            if child.record.get("TuningJobArn") != arn:
                continue
            tuned = {k: v for k, v in child.record["HyperParameters"].items() if k not in static}
            values = [m["Value"] for m in child.record.get("FinalMetricDataList", [])
                      if m["MetricName"] == objective["MetricName"]]  # fmt: skip
            summary = _summary(child.record, tuned, objective, values[-1] if values else 0.0)
            if not values:
                summary.pop("FinalHyperParameterTuningJobObjectiveMetric")
                summary["ObjectiveStatus"] = "Pending"
            found.append(summary)
    found.sort(key=lambda one: one["CreationTime"], reverse=True)
    page, token = jobs.paged(found, params)
    return {"TrainingJobSummaries": page, **({"NextToken": token} if token else {})}
