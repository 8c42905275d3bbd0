"""Cohorts: what is frozen of the entities that were first exposed within one span of time.

A cohort is (step, span, window): all entities whose first exposure of the release fell into the
span, in that step, with the metrics that share an attribution window. It is frozen once, when the
window and the time for what is on its way have passed since the end of its span, and written where
it cannot be replaced. Later outcomes are counted and never change it (STATISTICS rules 8 to 10).
"""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field

from steward.domain.digests import digest_of
from steward.domain.experiments.arm_statistics import ArmStatistics, Frozen


class FrozenCohort(Frozen):
    """Statistics of one cohort, frozen.

    Attributes:
        step_id: Step in which its entities were exposed first.
        span: Start of the span, ``20260102T030405Z``.
        window_s: Attribution window of its metrics.
        frozen_at: ISO 8601, when it was computed; no part of the digest.
        propensities: Probability of each arm at the step.
        exposures: Entities first exposed to each arm.
        statistics: Per metric and arm; paired metrics under ``plan.PAIRED``.
        counts: What else was seen: ``requests``, ``repeated`` exposures (the same inference id),
            ``other_arm`` (entities seen in another arm later), ``outcomes``,
            ``repeated_outcomes``, ``unknown_outcomes``, ``late_outcomes`` (after the window),
            ``unusable_values`` (NaN, infinite, or an expression that fails). Outcomes of ids
            that no request has are those observed within the span, told by the first step of
            it in each window. ``late_outcomes`` that came after the freezing are in the
            cohort's pointer.
    """

    step_id: str
    span: str
    window_s: int = Field(ge=0)
    frozen_at: str
    propensities: dict[str, float]
    exposures: dict[str, int]
    statistics: dict[str, dict[str, ArmStatistics]]
    counts: dict[str, int] = Field(default_factory=dict)

    @property
    def cohort_id(self) -> str:
        """Id within a release; ids of one step and window sort by time."""
        return cohort_id(self.step_id, self.window_s, self.span)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that a verdict may depend on."""
        return digest_of(self.model_dump(mode="json", exclude={"frozen_at"}))


def cohort_id(step_id: str, window_s: int, span: str) -> str:
    """Return the id of a cohort."""
    return f"{step_id}/w{window_s:08d}/{span}"


def span_of(at: datetime, cohort_s: int) -> str:
    """Return the start of the span of ``cohort_s`` seconds that a time lies in."""
    start = int(at.timestamp()) // cohort_s * cohort_s
    return f"{datetime.fromtimestamp(start, UTC):%Y%m%dT%H%M%SZ}"


def experiment_item(release_id: str) -> str:
    """Return the sort key of an experiment's head item."""
    return release_id


def verdict_item(release_id: str, number: int) -> str:
    """Return the sort key of a verdict, in order."""
    return f"{release_id}#verdict#{number:06d}"


def verdicts_of(release_id: str) -> str:
    """Return the prefix of an experiment's verdicts."""
    return f"{release_id}#verdict#"


def cohort_item(release_id: str, cohort: str) -> str:
    """Return the sort key of a frozen cohort's pointer."""
    return f"{release_id}#cohort#{cohort}"


def cohorts_of(release_id: str) -> str:
    """Return the prefix of an experiment's cohorts."""
    return f"{release_id}#cohort#"


def ingest_item(release_id: str, number: int) -> str:
    """Return the sort key of what was kept of some captured objects, in order."""
    return f"{release_id}#ingest#{number:06d}"


def ingests_of(release_id: str) -> str:
    """Return the prefix of all that was kept of captured objects."""
    return f"{release_id}#ingest#"


def units_item(release_id: str, span: str) -> str:
    """Return the sort key of the units of the spans from one on, in order of time."""
    return f"{release_id}#units#{span}"


def units_of(release_id: str) -> str:
    """Return the prefix of an experiment's units."""
    return f"{release_id}#units#"


def late_item(release_id: str) -> str:
    """Return the sort key of how far outcomes were looked at that came after their freezing."""
    return f"{release_id}#late"


def experiment_prefix(artifacts_bucket: str, project: str, release_id: str) -> str:
    """Return where an experiment's objects lie: ``cohorts/``, ``units/``, ``verdicts/``, report."""
    return f"s3://{artifacts_bucket}/experiments/{project}/{release_id}/"
