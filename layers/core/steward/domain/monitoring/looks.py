"""The record of one look: what was seen in one window of a project, and what came of it.

A record is written once, with the digests of all that it is a function of, so that anybody can
recompute its verdicts with the same or other settings. It is plain: to show a look needs neither
numpy nor the baseline.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.digests import digest_of
from steward.domain.monitoring.attribution_records import AttributionLook
from steward.domain.monitoring.opinion_records import CalibrationLook, MultivariateLook

FORMAT: Literal[1] = 1
AlarmKind = Literal["drift", "performance", "bias", "no_data", "attribution"]
AlarmState = Literal["ok", "alarm", "inconclusive", "no_data", "off"]
"""``off``: this is not watched, as declared or for want of a baseline."""

KINDS: tuple[AlarmKind, ...] = ("drift", "performance", "bias", "no_data", "attribution")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ColumnLook(_Frozen):
    """One column of a window.

    Attributes:
        state: ``changed``, ``same`` or ``inconclusive``.
        sentence: Why, for a person.
        p: Its p-value.
        adjusted_p: Over all columns.
        parts: p-values that it combines, by test.
        effect: The largest of ``effects``, corrected for chance.
        effects: By name.
        detectable: Effect that this window would have found with power 0.8.
        needs: Rows that would make the smallest effect detectable.
        missing: Share without a value here, and in the reference.
        new_values: Values that the baseline did not have.
        figures: What describes the difference, under its standard names.
        dispersion: Largest factor by which its squared statistics usually exceed those of
            independent rows, as learnt; 1 where nothing was.
    """

    name: str
    state: Literal["same", "changed", "inconclusive"]
    sentence: str
    p: float
    adjusted_p: float
    parts: dict[str, float] = Field(default_factory=dict)
    effect: float
    effects: dict[str, float] = Field(default_factory=dict)
    detectable: float
    needs: int | None = None
    missing: tuple[float, float]
    new_values: tuple[str, ...] = ()
    figures: dict[str, float | None] = Field(default_factory=dict)
    dispersion: float = 1.0


class WindowLook(_Frozen):
    """The verdict on one window: it holds for this window alone.

    Attributes:
        verdict: ``no_drift``, ``drift``, ``inconclusive`` or ``no_data``.
        sentence: Why.
        rows: Rows, or distinct entities, that were judged.
        digest: Of the window's verdict as the statistics gave it.
        inputs_digest: Of what that is a function of.
        columns: In the baseline's order.
        unknown_columns: Rows by column that the baseline lacks.
        absent_columns: Rows by column that the window lacked.
    """

    verdict: Literal["no_drift", "drift", "inconclusive", "no_data"]
    sentence: str
    rows: int
    digest: str
    inputs_digest: str
    columns: tuple[ColumnLook, ...] = ()
    unknown_columns: dict[str, int] = Field(default_factory=dict)
    absent_columns: dict[str, int] = Field(default_factory=dict)

    @property
    def changed(self) -> list[str]:
        """Names of the columns that changed."""
        return [column.name for column in self.columns if column.state == "changed"]


class AlarmColumn(_Frozen):
    """A column that alarms.

    Attributes:
        horizon: Windows of the trailing sum with the smallest p-value.
        since: Start of its first window, ISO 8601.
        p: Its p-value there.
        adjusted_p: Over the columns of that horizon.
        effect: Corrected for chance.
    """

    name: str
    horizon: int
    since: str
    p: float
    adjusted_p: float
    effect: float


class AlarmLook(_Frozen):
    """What is said over time at this look.

    Attributes:
        state: ``ok``, ``alarm``, ``inconclusive`` or ``no_data``.
        sentence: Why.
        judged: Horizons, in windows, that were judged.
        rows: Rows of the longest.
        digest: Of the verdict as the statistics gave it.
        inputs_digest: Of what that is a function of.
        windows: By horizon the digests of its sum and of what it was compared with.
        columns: Those that alarm, the surest first.
    """

    state: AlarmState
    sentence: str
    judged: tuple[int, ...] = ()
    rows: int = 0
    digest: str
    inputs_digest: str
    windows: dict[int, tuple[str, str | None]] = Field(default_factory=dict)
    columns: tuple[AlarmColumn, ...] = ()


class SegmentLook(_Frozen):
    """A declared part of the traffic in this window."""

    name: str
    window: WindowLook


class MetricLook(_Frozen):
    """One metric of labelled predictions.

    Attributes:
        verdict: ``held``, ``worse`` or ``inconclusive`` against the baseline's and the margin.
        current: In this window's labelled rows.
        baseline: On held-out rows.
        lower: One-sided lower limit of the worsening.
        upper: One-sided upper limit.
        n: Labelled rows.
        needs: Labelled rows with which it could be decided.
        reason: Why it is inconclusive.
    """

    metric: str
    verdict: Literal["held", "worse", "inconclusive"]
    method: str
    current: float | None
    baseline: float | None
    worsening: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float
    confidence: float
    n: int
    needs: int | None = None
    reason: str | None = None


class EstimateLook(_Frozen):
    """A metric estimated while labels are missing; valid under covariate shift alone.

    Attributes:
        state: ``estimated`` or ``inconclusive``.
        value: The estimate, None where there is none.
        lower: Limit of its interval.
        upper: Limit of its interval.
        method: ``cbpe`` or ``dle``, with ``prediction_powered`` once labels correct it.
        limits: What it cannot see, for a person.
    """

    metric: str
    state: Literal["estimated", "inconclusive"]
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    method: str
    n: int
    limits: str = ""
    reason: str | None = None


class GroupLook(_Frozen):
    """A bias metric of a group, or between groups.

    Attributes:
        group: Value of the group's column, or a comparison such as ``F / M``.
        state: ``ok``, ``drifted`` or ``inconclusive``.
        n: Rows behind it, of its own denominator.
    """

    column: str
    group: str
    metric: str
    state: Literal["ok", "drifted", "inconclusive"]
    current: float | None
    baseline: float | None
    n: int
    sentence: str


class PerformanceLook(_Frozen):
    """How predictions did whose labels came.

    Attributes:
        state: Of the alarm that holds over time.
        sentence: Why.
        predictions: Predictions of the windows whose time for labels is over at this look.
        labelled: Of these, those with a label.
        delay_s: Median time from prediction to label; None without labels.
        unknown: Labels of no prediction of this project, since the last look.
        contradicting: Labels that said otherwise than the first, since the last look.
        through: Start of the last window whose time for labels is over, ISO 8601.
        realised: Metrics of labelled rows.
        estimated: Metrics where labels are missing.
        groups: Group metrics.
        calibration: Of the same labelled rows; None without any.
        alarm: Carried state of the alarm, as the statistics keep it.
    """

    state: AlarmState
    sentence: str
    predictions: int = 0
    labelled: int = 0
    delay_s: float | None = None
    unknown: int = 0
    contradicting: int = 0
    through: str | None = None
    realised: tuple[MetricLook, ...] = ()
    estimated: tuple[EstimateLook, ...] = ()
    groups: tuple[GroupLook, ...] = ()
    calibration: CalibrationLook | None = None
    alarm: dict[str, Any] = Field(default_factory=dict)

    @property
    def coverage(self) -> float | None:
        """Share of these predictions that have a label."""
        return self.labelled / self.predictions if self.predictions else None


class Transition(_Frozen):
    """An alarm that changed its state at this look.

    Attributes:
        kind: Which.
        before: State until now.
        after: State from now on.
        action: What the project declares for it.
        event: Detail-type that was published.
    """

    kind: AlarmKind
    before: AlarmState
    after: AlarmState
    action: Literal["notify", "retrain", "roll_back"] | None = None
    event: str | None = None


class Captured(_Frozen):
    """What was captured in this window, and what of it could not be counted.

    Attributes:
        rows: Rows that were counted, of the version that is judged.
        entities: Distinct entities among them; an estimate above the sample's limit.
        other_versions: Rows by other version that answered.
        chunks: Digest of each chunk's profile by its id.
        duplicates: Lines whose inference id was there before.
        late: Rows of chunks that came after the window was first judged.
        quarantined: Lines that could not be counted, by reason.
    """

    rows: int
    entities: int | None = None
    other_versions: dict[int, int] = Field(default_factory=dict)
    chunks: dict[str, str] = Field(default_factory=dict)
    duplicates: int = 0
    late: int = 0
    quarantined: dict[str, int] = Field(default_factory=dict)


class Look(_Frozen):
    """One look at one window of a project.

    Attributes:
        format: Version of this form.
        window: Start of the window, ISO 8601 in UTC.
        window_s: Its length.
        revision: 1, and one more each time that late rows came.
        unit: What one count is.
        version: The version whose traffic is judged; None where nobody answered yet.
        baseline: Digest of its baseline; None where it has none.
        baseline_uri: Where that lies.
        profile: Digest of the window's profile (or entity sample).
        profile_uri: Where that lies.
        sample: Digest of the window's sample of rows; None where none is kept.
        sample_uri: Where that lies.
        history: Digest of each earlier window's profile that a horizon holds, by its start.
        settings: What was declared for this look: ``window`` and ``alarm`` as the statistics take
            them, ``declared`` as ``project.yaml`` has it.
        captured: Rows and what was wrong with others.
        window_verdict: Of this window; None where it was not judged.
        drift: Over time.
        no_data: Whether traffic is missing.
        performance: Of labelled predictions.
        bias: State of the alarm on group metrics.
        segments: Parts of the traffic.
        multivariate: Second opinions.
        attribution: Weights of the features; None where they were not looked at.
        alarms: State of each alarm after this look.
        transitions: Alarms that changed at this look.
        sentence: The look in one sentence.
    """

    format: Literal[1] = FORMAT
    project: str
    window: str
    window_s: int
    revision: int = 1
    unit: Literal["event", "entity"]
    version: int | None = None
    baseline: str | None = None
    baseline_uri: str | None = None
    profile: str | None = None
    profile_uri: str | None = None
    sample: str | None = None
    sample_uri: str | None = None
    history: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    captured: Captured
    window_verdict: WindowLook | None = None
    drift: AlarmLook
    no_data: AlarmLook
    performance: PerformanceLook | None = None
    bias: AlarmState = "off"
    segments: tuple[SegmentLook, ...] = ()
    multivariate: tuple[MultivariateLook, ...] = ()
    attribution: AttributionLook | None = None
    alarms: dict[AlarmKind, AlarmState] = Field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    sentence: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole record."""
        return digest_of(self.model_dump(mode="json"))

    @property
    def ends(self) -> str:
        """End of the window, ISO 8601."""
        start = datetime.fromisoformat(self.window).timestamp()
        return window_start(int(start // self.window_s) + 1, self.window_s)


def parse_look(content: bytes | str) -> Look:
    """Return a record from its JSON.

    Raises:
        pydantic.ValidationError: It is none.
    """
    return Look.model_validate_json(content)


def window_start(number: int, window_s: int) -> str:
    """Return the start of a window, counted since the epoch, as ISO 8601 in UTC."""
    return datetime.fromtimestamp(number * window_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def window_number(start: str, window_s: int) -> int:
    """Return which window since the epoch begins at a time, or holds it."""
    return int(datetime.fromisoformat(start).timestamp() // window_s)


def look_uri(bucket: str, look: Look) -> str:
    """Return where a record lies: by its content, so that none is ever overwritten."""
    place = look.window.replace(":", "")
    name = f"{place}-r{look.revision}-{look.digest[:12]}"
    return f"s3://{bucket}/monitoring/{look.project}/looks/{name}.json"
