"""How a candidate is trained: what ``project.yaml`` declares below ``training``."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, field_validator, model_validator

from steward.domain.declaration import Scalar, Strict
from steward.domain.prices import US_EAST_1

StartOn = Literal["delivery", "commit", "drift", "performance", "bias", "schedule"]
Parameter = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
LONGEST_S = 432_000


class Spot(Strict):
    """Training on spare capacity, which AWS may take back at any time.

    The training script finds its checkpoints in `SM_CHECKPOINT_DIR` and writes them there; what it
    wrote is there again when the job goes on. Each job of a search has a folder of its own.

    Attributes:
        max_wait_s: Longest time of waiting and training together.
    """

    max_wait_s: int = Field(ge=1, le=LONGEST_S)


class NumberRange(Strict):
    """Numbers to search between two bounds.

    Attributes:
        min: Least value.
        max: Greatest value.
        type: `integer` tries whole numbers.
        scaling: How values are spread; `Auto` leaves it to SageMaker.
    """

    min: float
    max: float
    type: Literal["continuous", "integer"] = "continuous"
    scaling: Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"] = "Auto"

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"min {self.min:g} must be below max {self.max:g}")
        if self.type == "integer" and not (self.min.is_integer() and self.max.is_integer()):
            raise ValueError("an integer range has whole bounds")
        if self.scaling == "Logarithmic" and self.min <= 0:
            raise ValueError("a Logarithmic range is above 0")
        if self.scaling == "ReverseLogarithmic":
            if self.type == "integer":
                raise ValueError("ReverseLogarithmic is for continuous ranges")
            if self.min < 0 or self.max >= 1:
                raise ValueError("a ReverseLogarithmic range lies in 0 to 1, without 1")
        return self


class ValueRange(Strict):
    """Values to choose from.

    Attributes:
        values: At least two, each once.
    """

    values: list[str] = Field(min_length=2, max_length=30)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value is there twice")
        return self


class Objective(Strict):
    """What the search makes best, as the training script prints it.

    Measure it on a part of the training rows: the held-out rows judge the result and choose none.

    Attributes:
        metric: Name of the metric.
        regex: Finds it in a line of the script's output; the first group is the number.
        goal: Which end is better.
    """

    metric: str = Field(pattern=r"^[A-Za-z0-9_:.-]{1,255}$")
    regex: str = Field(min_length=1, max_length=500)
    goal: Literal["Minimize", "Maximize"]

    @model_validator(mode="after")
    def _finds_a_number(self) -> Self:
        import re

        try:
            groups = re.compile(self.regex).groups
        except re.error as error:
            raise ValueError(f"regex: {error}") from None
        if groups < 1:
            raise ValueError("regex needs a group around the number, such as loss=([0-9.]+)")
        return self


class Tuning(Strict):
    """A search for hyperparameters, by a SageMaker tuning job; the best model is the candidate.

    Attributes:
        objective: What the search makes best.
        ranges: By hyperparameter; one that is searched has no value in `hyperparameters`.
        strategy: `Grid` tries every combination of `values`, and takes no ranges of numbers.
        max_jobs: Training jobs altogether.
        parallel_jobs: At the same time.
        early_stopping: `Auto` stops a training job whose objective, printed after each epoch, is
            worse than the median of the running averages of those that completed before.
    """

    objective: Objective
    ranges: dict[Parameter, NumberRange | ValueRange] = Field(min_length=1, max_length=30)
    strategy: Literal["Bayesian", "Random", "Grid"] = "Bayesian"
    max_jobs: int = Field(default=10, ge=1, le=500)
    parallel_jobs: int = Field(default=2, ge=1, le=100)
    early_stopping: Literal["Off", "Auto"] = "Off"

    @field_validator("strategy", mode="before")
    @classmethod
    def _is_played(cls, strategy: object) -> object:
        if strategy == "Hyperband":
            raise ValueError(
                "Hyperband is not supported: it gives and takes resources between jobs as they "
                "train, which cannot be tried before AWS; allowed: Bayesian, Random, Grid, with "
                "early_stopping Auto"
            )
        return strategy

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.parallel_jobs > self.max_jobs:
            raise ValueError("parallel_jobs cannot exceed max_jobs")
        if self.strategy != "Grid":
            return self
        combinations = 1
        for name, searched in self.ranges.items():
            if not isinstance(searched, ValueRange):
                raise ValueError(f"ranges.{name}: Grid takes `values` alone")
            combinations *= len(searched.values)
        if combinations != self.max_jobs:
            raise ValueError(f"max_jobs of this Grid is {combinations}, one for each combination")
        return self


class Training(Strict):
    """How a candidate is trained.

    Attributes:
        source: Folder of the code, beside `project.yaml`; `src` where that holds the entry point.
            Without any the built-in model trains: boosted trees or a linear model, whichever
            loses less on rows unseen.
        entry_point: Script of SageMaker's script mode.
        instance_type: For the training and the evaluation job; one that the price table lists, GPU
            types such as `ml.g5.xlarge` among them.
        max_runtime_s: The training job is stopped after it.
        hyperparameters: Passed to the entry point as `--name value`.
        start_on: What may start a run, beside a person. Without `delivery`, deliveries are kept
            until something else starts one.
        spot: Training on spare capacity, for less; null for capacity that stays.
        tuning: A search for hyperparameters; null for one training job.
    """

    source: str | None = Field(default=None, min_length=1)
    entry_point: str = "train.py"
    instance_type: str = Field(default="ml.m5.large", pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    max_runtime_s: int = Field(default=3600, ge=1, le=LONGEST_S)
    hyperparameters: dict[str, Scalar] = Field(default_factory=dict)
    start_on: list[StartOn] = Field(default_factory=lambda: list(get_args(StartOn)))
    spot: Spot | None = None
    tuning: Tuning | None = None

    @model_validator(mode="after")
    def _has_a_price(self) -> Self:
        known = US_EAST_1.instance_hour
        if self.instance_type not in known:
            raise ValueError(
                f"instance_type {self.instance_type} is not in the price table "
                f"({US_EAST_1.label()}); allowed: {', '.join(sorted(known))}"
            )
        return self

    @model_validator(mode="after")
    def _waits_long_enough(self) -> Self:
        if self.spot is not None and self.spot.max_wait_s < self.max_runtime_s:
            raise ValueError(
                f"spot.max_wait_s {self.spot.max_wait_s} must be at least max_runtime_s "
                f"{self.max_runtime_s}: the wait includes the training"
            )
        return self

    @model_validator(mode="after")
    def _searches_what_has_no_value(self) -> Self:
        searched = set(self.tuning.ranges if self.tuning is not None else ())
        both = sorted(searched & set(self.hyperparameters))
        if both:
            raise ValueError(f"hyperparameters.{both[0]} is searched by tuning.ranges as well")
        return self

    @property
    def longest_s(self) -> int:
        """The longest that the training may take, waiting and all jobs of a search included."""
        one = self.spot.max_wait_s if self.spot is not None else self.max_runtime_s
        if self.tuning is None:
            return one
        rounds = -(-self.tuning.max_jobs // self.tuning.parallel_jobs)
        return min(LONGEST_S, rounds * (one + 600))
