"""Events of watches, drift and retraining."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from steward.contracts.events.envelope import Payload, Told


class WindowJudged(Payload):
    """A window of captured traffic was looked at; the record of the look lies in S3.

    Attributes:
        window: Start of the window.
        revision: Above 1 where late rows were looked at again.
        verdict: On this window alone.
        drift: State of the alarm over time.
        alarms: State of each alarm after this look.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    window: str
    window_s: int
    revision: int = 1
    version: int | None = None
    role: Literal["stable", "candidate"] = "stable"
    rows: int
    verdict: str
    drift: str
    alarms: dict[str, str] = Field(default_factory=dict)
    sentence: Told
    digest: str
    uri: str


class DriftDetected(Payload):
    """The traffic of a version is not what it was trained on any more, and has not been for a
    while.

    Attributes:
        window: Start of the window at whose look it was found.
        since: Start of the trailing sum that shows it best.
        columns: Columns that changed, the surest first; at most 20.
        p: Smallest p-value.
        effect: Of that column, corrected for chance.
        horizon: Windows of its trailing sum.
        odds: Probability of a false alarm, and in how many looks.
        action: What the project declares.
        kind: ``drift`` of values, or ``attribution``: the model leans on other features.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: Literal["drift", "attribution"] = "drift"
    version: int
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    columns: list[str]
    p: float
    effect: float
    horizon: int
    rows: int
    odds: str
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class PerformanceDegraded(Payload):
    """Labels show that a version does worse than on held-out rows, by more than the margin.

    Attributes:
        metric: What is compared.
        current: In the labelled predictions of this look.
        baseline: On held-out rows.
        labelled: Labelled predictions.
        coverage: Share of predictions that have a label.
        odds: Probability of a false alarm, and in how many looks.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    version: int
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    metric: str
    current: float | None = None
    baseline: float | None = None
    margin: float
    labelled: int
    coverage: float | None = None
    odds: str
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class BiasDrifted(Payload):
    """A group is treated otherwise than on held-out rows, by more than the margin.

    Attributes:
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    version: int
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    groups: list[str]
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class DataStale(Payload):
    """A version that serves has answered nobody for longer than the project allows.

    Attributes:
        since: End of the last window with rows.
        silent_s: How long nothing came.
    """

    source: ClassVar[str] = "steward.monitoring"
    version: int | None = None
    window: str
    since: str
    silent_s: int
    sentence: Told
    action: str
    digest: str
    uri: str
    execution_arn: str


class AlarmCleared(Payload):
    """An alarm of monitoring is over.

    Attributes:
        kind: ``drift``, ``performance``, ``bias``, ``no_data`` or ``attribution``.
        since: When it had begun.
        role: ``candidate`` where it is of the version that a release tries.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: str
    version: int | None = None
    role: Literal["stable", "candidate"] = "stable"
    window: str
    since: str
    sentence: Told
    digest: str
    uri: str


class RetrainingRequested(Payload):
    """An alarm or a schedule asks for a run, and every brake lets it pass.

    Attributes:
        kind: ``drift``, ``performance``, ``bias`` or ``schedule``.
        cause: What it is about; the same for as long as it is the same alarm.
        attempt: Name of the attempt.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: str
    cause: str
    attempt: str
    reason: str
    expected_usd: float = 0.0


class RetrainingSuppressed(Payload):
    """An alarm or a schedule asked for a run and did not get it.

    Attributes:
        code: Which brake, such as ``cool_down`` or ``breaker_open``.
        waits: It is asked again when that may have changed.
        not_before: When time alone changes it.
    """

    source: ClassVar[str] = "steward.monitoring"
    kind: str
    cause: str
    code: str
    reason: str
    waits: bool
    not_before: str | None = None


class WatchFailed(Payload):
    """A project, or none at all, could not be looked at; the next watch tries again."""

    source: ClassVar[str] = "steward.monitoring"
    run: str
    error: Told
    cause: Told
    execution_arn: str
