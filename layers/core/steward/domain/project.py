"""What one ``project.yaml`` declares: data, split, training, evaluation, gates, release."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, Field, StringConstraints, ValidationError, model_validator

from steward.domain.batch_declaration import Batch
from steward.domain.bias.declaration import Bias, check_bias
from steward.domain.budget import Budget
from steward.domain.cards.declaration import CardDeclaration
from steward.domain.dataset_engine import DatasetEngine
from steward.domain.declaration import (
    MisplacedError,
    Name,
    Strict,
    check_one_margin,
    with_default_margin,
)
from steward.domain.digests import digest_of
from steward.domain.errors import InvalidProjectError, placed
from steward.domain.feature_groups import FeatureColumn, FeatureGroup, FeatureUse, feature_columns
from steward.domain.integration_declaration import Integration
from steward.domain.monitoring.declaration import Monitoring
from steward.domain.names import PRIMARY, PROJECT_PATTERN
from steward.domain.policy.requirements import MetricGate, Requirements
from steward.domain.policy.risk import Risk, check_tier
from steward.domain.release_declaration import Release, Share
from steward.domain.tables import Column, Data
from steward.domain.task_rules import check_task, with_task_defaults
from steward.domain.training_declaration import Training


class Split(Strict):
    """Who trains and who judges: shares of entities by a salted hash, or earlier and later times.

    Attributes:
        by: `entity` holds out entities, for good. `time` holds out the latest rows: those whose
            prediction was asked for within `horizon_days` of the newest one. A row trains when it
            was asked for and its label known before all that judges; a row in between does
            neither.
        horizon_days: How much of the latest time judges, with `by: time`. Four times the days
            until an outcome is known, or more: fewer blocks of days prove nothing.
        salt: Decides who belongs where; another salt would mix the parts of earlier versions, and
            a version that it makes trained on rows that judge is not compared.
        traffic: Share of entities whose requests are answered and never trained on.
        heldout: Share of entities that judge versions; without meaning for `by: time`.
    """

    by: Literal["entity", "time"] = "entity"
    horizon_days: int | None = Field(default=None, ge=1, le=3660)

    salt: str = Field(default="steward", min_length=1, max_length=64)
    traffic: Share = 0.3
    heldout: Share = 0.3

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.traffic + self.heldout >= 1:
            raise ValueError("traffic + heldout must stay below 1, so that rows are left to train")
        if (self.by == "time") != (self.horizon_days is not None):
            raise ValueError("horizon_days is how much of the time judges: it goes with by: time")
        return self


class Slice(Strict):
    """Rows judged apart: by value of a column, or by intervals between edges.

    Attributes:
        column: A column of the primary table or of a view.
        edges: Ascending; each interval between two is a slice.
    """

    column: Name
    edges: list[float] | None = None

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        edges = self.edges or []
        if sorted(set(edges)) != edges:
            raise ValueError("edges must ascend")
        return self


class Evaluation(Strict):
    """How candidate and champion are compared on the same held-out rows.

    Attributes:
        loss: Loss of a row, averaged; `brier` by default, `squared_error` of a regression, which
            has `squared_error` and `absolute_error` alone.
        margin: Mean loss that a candidate may lose and still pass (non-inferiority), in the
            unit of the loss; 0.02 of probabilities by default.
        relative_margin: Instead of it a share of the champion's mean loss; 0.05 of a regression
            by default, whose unit nobody else knows.
        confidence: One-sided, of the verdict.
        bootstrap_samples: Paired bootstrap repetitions.
        seed: Of the bootstrap.
        slices: Rows that are judged apart.
        slice_confidence: One-sided; a slice stops a candidate only when it is proved worse.
        slice_minimum_rows: Thinner slices are reported as not judged.
        season_days: Of a forecast that is split by time: the season of the seasonal-naive forecast
            that is evaluated beside it, as information. Null for none.
    """

    loss: Literal["brier", "log_loss", "squared_error", "zero_one", "absolute_error"] = "brier"
    margin: float | None = Field(default=None, gt=0)
    relative_margin: float | None = Field(default=None, gt=0, le=1)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)
    bootstrap_samples: int = Field(default=2000, ge=200, le=100_000)
    seed: int = Field(default=20, ge=0)
    slices: list[Slice] = Field(default_factory=list)
    slice_confidence: float = Field(default=0.99, ge=0.5, lt=1)
    slice_minimum_rows: int = Field(default=25, ge=2)
    season_days: int | None = Field(default=None, ge=1, le=366)

    @model_validator(mode="before")
    @classmethod
    def _has_a_margin(cls, declared: object) -> object:
        return with_default_margin(declared, 0.02)

    @model_validator(mode="after")
    def _one_margin(self) -> Self:
        check_one_margin(self.margin, self.relative_margin, "loss")
        return self


class Smoke(Strict):
    """The test of a staged version with recorded examples.

    Attributes:
        max_latency_ms: Slowest answer that passes.
        examples: Training rows that are recorded as requests.
    """

    max_latency_ms: int = Field(default=2000, ge=1)
    examples: int = Field(default=8, ge=1, le=100)


class Idle(Strict):
    """Endpoints that cost and do nothing.

    Attributes:
        after_s: Time without any request after which the stable version's endpoint is idle, if
            it costs something then; a younger endpoint is none.
        orphan_after_s: Age from which an endpoint that no route, release or staging names is an
            orphan; a younger one may be of something that is only beginning.
        policy: `propose` tells the owner what could be saved. `scale_to_zero` ends the
            provisioned concurrency of an idle serverless endpoint until requests come again.
            `delete` does so too, and deletes endpoints that nothing names; never one that a
            route names.
    """

    after_s: int = Field(default=1_209_600, ge=60)
    orphan_after_s: int = Field(default=3600, ge=1)
    policy: Literal["propose", "scale_to_zero", "delete"] = "propose"


class Variants(Strict):
    """The instances on which versions answer as production variants of one endpoint.

    Attributes:
        instance_type: Of every variant that is released from now on.
        instance_count: Instances of a new variant; those that run keep theirs.
        capture_percent: Requests that SageMaker captures, of which experiments are judged.
    """

    instance_type: str = Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")
    instance_count: int = Field(default=1, ge=1, le=100)
    capture_percent: int = Field(default=100, ge=1, le=100)


_NO_SERVERLESS_VARIANTS = (
    "SageMaker's serverless endpoints allow neither several variants nor data capture"
)


class Serving(Strict):
    """How a version answers.

    Attributes:
        router: Who shares traffic between versions; chosen before the first release.
        memory_mb: Memory of the serverless endpoint.
        max_concurrency: Requests that an endpoint answers at once.
        smoke: The test before approval.
        provisioned_concurrency: Workers that the production endpoint keeps warm, paid by the
            hour; 0 leaves cold starts to the warm-up calls of a release.
        on_drift: What is done about an endpoint that was changed or deleted from outside:
            `repair` puts it back as it was made, `hold` only tells. A release whose own
            endpoint drifts is rolled back either way.
        idle: What is done about endpoints that cost and do nothing.
        variants: Instances of the router `endpoint_variants`, which needs them; only staging
            endpoints are serverless then.
    """

    router: Literal["gateway", "endpoint_variants"] = "gateway"
    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = 2048
    max_concurrency: int = Field(default=5, ge=1, le=200)
    provisioned_concurrency: int = Field(default=0, ge=0, le=200)
    smoke: Smoke = Field(default_factory=Smoke)
    on_drift: Literal["repair", "hold"] = "repair"
    idle: Idle = Field(default_factory=Idle)
    variants: Variants | None = None

    @model_validator(mode="after")
    def _hosted_as_routed(self) -> Self:
        if self.router == "gateway":
            if self.variants is not None:
                raise MisplacedError(
                    "variants", "variants are instances for the router endpoint_variants",
                    "a mapping", "nothing, or router: endpoint_variants",
                )  # fmt: skip
            return self
        if self.variants is None:
            raise MisplacedError(
                "variants", f"router endpoint_variants needs instances: {_NO_SERVERLESS_VARIANTS}",
                None, "variants: {instance_type: ml.m5.large}",
            )  # fmt: skip
        if self.provisioned_concurrency:
            raise MisplacedError(
                "provisioned_concurrency",
                f"router endpoint_variants needs instances: {_NO_SERVERLESS_VARIANTS}",
                self.provisioned_concurrency, "0, with variants.instance_count above 1",
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _within_concurrency(self) -> Self:
        if self.provisioned_concurrency > self.max_concurrency:
            raise ValueError(
                f"provisioned_concurrency {self.provisioned_concurrency} is above "
                f"max_concurrency {self.max_concurrency}"
            )
        return self


class Approval(Strict):
    """How long an approval request stays open, and refused versions are kept.

    Attributes:
        archive_after_days: A version that was rejected, expired, rolled back, or failed its
            staging is archived after so many days; 0 keeps it.
        lifetime_s: Afterwards it expires.
        reminders: Shares of the lifetime after which approvers are reminded, ascending, besides
            the policy's `remind_before_s`. With neither, once after half of it.
    """

    archive_after_days: int = Field(default=90, ge=0, le=3650)
    lifetime_s: int = Field(default=604_800, ge=60)
    reminders: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[], max_length=5)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        shares = self.reminders
        if any(later <= sooner for sooner, later in pairwise(shares)):
            raise MisplacedError(
                "reminders", "reminders are not ascending", shares, "each above the one before"
            )
        return self


class ErrorAlarm(Strict):
    """Gross failures of the candidate: a count of failed answers per period.

    Attributes:
        threshold: Failed answers within a period that are an alarm.
        period_s: Length of a period.
        evaluation_periods: Periods that are looked at.
        datapoints_to_alarm: Of these, how many must fail.
    """

    threshold: int = Field(default=3, ge=1)
    period_s: Literal[10, 30, 60, 300] = 10
    evaluation_periods: int = Field(default=1, ge=1, le=10)
    datapoints_to_alarm: int = Field(default=1, ge=1, le=10)


class LatencyAlarm(Strict):
    """A slow candidate: p95 of its answers per period.

    Attributes:
        threshold_ms: 95th percentile of a period that is an alarm.
        period_s: Length of a period.
        evaluation_periods: Periods that are looked at.
        datapoints_to_alarm: Of these, how many must be slow.
    """

    threshold_ms: int = Field(default=2000, ge=1)
    period_s: Literal[10, 30, 60, 300] = 60
    evaluation_periods: int = Field(default=2, ge=1, le=10)
    datapoints_to_alarm: int = Field(default=2, ge=1, le=10)


class SkewAlarm(Strict):
    """Served features that differ from what training would have seen.

    Attributes:
        max_share: Share of compared reads of any one feature that may differ.
    """

    max_share: float = Field(default=0.01, ge=0, lt=1)


class Alarms(Strict):
    """CloudWatch alarms: on the candidate during a release, on served features always.

    Attributes:
        errors: Failed answers of the candidate.
        latency: Slow answers of the candidate.
        feature_skew: Served features that differ from what training would have seen.
    """

    errors: ErrorAlarm = Field(default_factory=ErrorAlarm)
    latency: LatencyAlarm = Field(default_factory=LatencyAlarm)
    feature_skew: SkewAlarm = Field(default_factory=SkewAlarm)


class Project(Strict):
    """One ``project.yaml``, whole and valid.

    Attributes:
        project: Name; part of many resources' names, so it is chosen once.
        description: One sentence for mails, reports and cards.
        owner: Who answers for the model.
        risk_tier: How strict the gate is and how many approve: two for `high`.
        data: What is delivered.
        feature_groups: What ``features/*.yaml`` declare.
        features: Views of feature groups that the model sees beside its own columns.
        dataset: What joins the views.
        split: Who trains, who judges, who is traffic.
        training: The training job.
        integration: How a commit becomes the project's.
        budget: What training may cost.
        evaluation: The comparison with the champion.
        gates: Bounds beside that comparison.
        serving: The endpoints.
        release: The way into production.
        approval: The approval request.
        alarms: What takes a candidate out of traffic.
        monitoring: What is watched of a version that serves.
        bias: Who is compared with whom, before a release and live; null for nobody.
        batch: Files that are scored whole; null for none.
        card: What people say of the model; everything else on its card comes from evidence.
        policy: Requirements beside those of the policy in force; stricter ones only, unless that
            policy allows others.
        risk: The answered questionnaire of potential harms, here or in `risk.yaml` beside it; it
            may give no higher tier than `risk_tier`.
    """

    project: Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)]
    description: str = Field(default="", max_length=500)
    owner: str = Field(min_length=1, max_length=100)
    risk_tier: Literal["minimal", "limited", "high"] = "limited"
    data: Data
    feature_groups: list[FeatureGroup] = Field(default_factory=list)
    features: list[FeatureUse] = Field(default_factory=list)
    dataset: DatasetEngine = Field(default_factory=DatasetEngine)
    split: Split = Field(default_factory=Split)
    training: Training = Field(default_factory=Training)
    integration: Integration = Field(default_factory=Integration)
    budget: Budget = Field(default_factory=Budget)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    gates: list[MetricGate] = Field(default_factory=list)
    serving: Serving = Field(default_factory=Serving)
    release: Release = Field(default_factory=Release)
    approval: Approval = Field(default_factory=Approval)
    alarms: Alarms = Field(default_factory=Alarms)
    monitoring: Monitoring = Field(default_factory=Monitoring)
    bias: Bias | None = None
    batch: Batch | None = None
    card: CardDeclaration = Field(default_factory=CardDeclaration)
    policy: Requirements = Field(default_factory=Requirements)
    risk: Risk | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_task(cls, declared: object) -> object:
        return with_task_defaults(declared) if isinstance(declared, dict) else declared

    @model_validator(mode="after")
    def _asks_what_the_task_has(self) -> Self:
        check_task(self)
        return self

    @model_validator(mode="after")
    def _declares_its_risk(self) -> Self:
        if self.risk is not None:
            check_tier(self.risk_tier, self.risk)
        return self

    @model_validator(mode="after")
    def _features_exist(self) -> Self:
        for index, group in enumerate(self.feature_groups):
            table = self.data.table(group.source)
            if table is None:
                known = ", ".join(["data", *sorted(self.data.sources)])
                raise ValueError(
                    f"{group.feature_group}: no source {group.source!r}; allowed: {known}"
                )
            try:
                group.check_against(table)
                group.check_on_demand(self.data)
            except MisplacedError as error:
                raise error.below(f"feature_groups[{index}]") from None
        if not self.model_features:
            raise ValueError("no column is left as a feature")
        return self

    @model_validator(mode="after")
    def _bias_is_of_the_data(self) -> Self:
        if self.bias is None:
            return self
        data = self.data
        roles = {
            data.entity_id: "the entity id", data.label.name: "the label",
            data.prediction_time: "a time", data.label_known_at: "a time",
        }  # fmt: skip
        try:
            check_bias(
                self.bias, {column.name: column for column in data.columns},
                {column.name: column for column in self._joined}, data.label,
                {name: role for name, role in roles.items() if name is not None},
            )  # fmt: skip
        except MisplacedError as error:
            raise error.below("bias") from None
        return self

    @model_validator(mode="after")
    def _batches_have_a_source(self) -> Self:
        if self.batch is not None:
            try:
                self.batch.check_source({PRIMARY, *self.data.sources})
            except MisplacedError as error:
                raise error.below("batch") from None
        return self

    @model_validator(mode="after")
    def _is_split_by_what_is_known(self) -> Self:
        if self.evaluation.season_days is not None and self.split.by != "time":
            raise MisplacedError(
                "evaluation.season_days", "a series that judges has no earlier rows here",
                str(self.evaluation.season_days), "null, or split.by: time",
            )  # fmt: skip
        if self.split.by == "time":
            for role in ("prediction_time", "label_known_at"):
                if getattr(self.data, role) is None:
                    raise MisplacedError(
                        "split.by", f"time needs data.{role}: without it no later row can be told "
                        "from an earlier one", "time", f"entity, or declare data.{role}",
                    )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _slices_exist(self) -> Self:
        names = {column.name for column in self.data.columns}
        names |= {column.name for column in self.feature_columns}
        for slice_ in self.evaluation.slices:
            if slice_.column not in names:
                raise ValueError(f"evaluation.slices: {slice_.column!r} is not among the columns")
        return self

    @model_validator(mode="after")
    def _watched_columns_exist(self) -> Self:
        seen = {column.name for column in self.model_features} | {"prediction"}
        for name in self.monitoring.columns or ():
            if name not in seen:
                raise ValueError(f"monitoring.columns: {name!r} is no feature and not `prediction`")
        for name in self.monitoring.labels.groups:
            if name not in seen:
                raise ValueError(f"monitoring.labels.groups: {name!r} is no feature")
        return self

    @property
    def feature_columns(self) -> list[FeatureColumn]:
        """The columns that come from feature views, in order."""
        return feature_columns(self.data, self.feature_groups, self.features)

    @property
    def model_features(self) -> list[Column]:
        """Everything that a model sees: own columns, then those of views, which may be null.

        A feature that is a column of its source as it stands keeps that column's bounds. A
        protected attribute that is no feature is left out.
        """
        withheld = set(self.bias.withheld) if self.bias is not None else set()
        own = [column for column in self.data.features if column.name not in withheld]
        return [*own, *self._joined]

    @property
    def _joined(self) -> list[Column]:
        groups = {group.feature_group: group for group in self.feature_groups}
        joined = []
        for found in self.feature_columns:
            plain = groups[found.group].plain_column(found.feature)
            table = self.data.table(groups[found.group].source)
            column = table.column(plain) if table and plain else None
            bounds = (
                column.model_dump(include={"min", "max", "allowed", "pattern"})
                if column is not None and column.type == found.type
                else {}
            )
            joined.append(Column(name=found.name, type=found.type, nullable=True, **bounds))
        return joined

    @property
    def quorum(self) -> int:
        """Approvals needed when the author is known: two for the high tier, else one."""
        return 2 if self.risk_tier == "high" else 1

    @property
    def digest(self) -> str:
        """Digest of everything that is declared, defaults included."""
        return digest_of(self.model_dump(mode="json"))


def parse_project(declared: object) -> Project:
    """Return the project that a parsed ``project.yaml`` declares.

    Raises:
        InvalidProjectError: A key is unknown, a type is wrong or a value impossible;
            ``field`` is the path of the first key at fault and the message names them all.
    """
    if not isinstance(declared, dict):
        raise InvalidProjectError(
            "project.yaml is not a mapping", field="$", value=type(declared).__name__,
            allowed=f"a mapping with the keys {', '.join(Project.model_fields)}",
        )  # fmt: skip
    try:
        return Project.model_validate(declared)
    except ValidationError as invalid:
        problems = [_problem(error) for error in invalid.errors(include_url=False)]
        first = problems[0]
        raise InvalidProjectError(
            "; ".join(placed(p["field"], p["message"]) for p in problems),
            field=first["field"], value=first["value"], allowed=first["allowed"],
        ) from None  # fmt: skip


def _problem(error: object) -> dict[str, str]:
    """Return the path of a key at fault, what is wrong, the value and what is allowed there."""
    assert isinstance(error, dict)
    path = "$"
    for part in error["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    field = path.removeprefix("$.") or "$"
    found = error.get("input")
    value = {"dict": "a mapping", "list": "a list"}.get(type(found).__name__, repr(found))
    if error["type"] == "missing":
        return {"field": field, "message": "missing", "value": "", "allowed": "it must be there"}
    if error["type"] == "extra_forbidden":
        keys = _keys_below(error["loc"][:-1])
        message = f"unknown key; allowed: {', '.join(keys)}"
        return {"field": field, "message": message, "value": value, "allowed": ", ".join(keys)}
    told = str(error["msg"]).removeprefix("Value error, ")
    context = error.get("ctx") or {}
    if error["type"] == "literal_error":
        told, among = f"not among {context['expected']} (got {value})", str(context["expected"])
        return {"field": field, "message": told, "value": value, "allowed": among}
    cause = context.get("error")
    if isinstance(cause, MisplacedError):
        within = "" if field == "$" else f"{field}."
        field, value, told = f"{within}{cause.path}", repr(cause.value), str(cause)
        message = f"{told} (got {value}"
        message += f"; allowed: {cause.allowed})" if cause.allowed != told else ")"
        return {"field": field, "message": message, "value": value, "allowed": cause.allowed}
    if error["type"] == "value_error" and isinstance(found, dict):
        # It is said of the section as a whole: what is in it would be no help.
        return {"field": field, "message": told, "value": value, "allowed": told}
    return {"field": field, "message": f"{told} (got {value})", "value": value, "allowed": told}


def _keys_below(path: tuple[str | int, ...]) -> list[str]:
    """Return the keys that are allowed in the mapping at a path of the declaration."""
    models: list[type[BaseModel]] = [Project]
    for part in path:
        # What is no field is an index, or the tag of a union, which leads to all its members.
        fields = [m.model_fields[part] for m in models if part in m.model_fields]
        if fields:
            models = [model for field in fields for model in _models_in(field.annotation)]
    return sorted({key for model in models for key in model.model_fields})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
