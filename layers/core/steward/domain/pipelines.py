"""A project's delivery pipeline: what each of its actions is answered, from records alone.

The binding of one execution of a pipeline lies in the table Runs, ``run_id`` =
``pipeline#<execution id>``: ``pipeline``, ``commit_id``, ``branch``, ``repository``, ``source``,
``mode``, ``asked_by`` (job), ``asked_at``, ``attempts_before``, ``integration_id``,
``training_run_id``, ``version``, ``evidence_digest``, ``release_id``. ``piped#<version>#<execution
id>`` beside it finds the executions that carry a version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from steward.domain.names import sagemaker_name
from steward.domain.releases import ReleaseStatus
from steward.domain.runs import RunStatus
from steward.domain.versions import VersionState

MOST_OF_MESSAGE = 5000
"""Characters of a job's failure message."""

MOST_OF_SUMMARY = 512
"""Characters of the summary of an approval's answer."""

LONGEST_WAIT = timedelta(hours=23)
"""How long an action says that it goes on. CodePipeline ends a Lambda action after 24 hours, and
then says nothing of why: https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html"""

UNTAKEN_AFTER = timedelta(minutes=15)
"""A commit that has no record by then was never taken up."""

Record = Mapping[str, Any]


class Failure(StrEnum):
    """CodePipeline's types of a failed job."""

    JOB = "JobFailed"
    CONFIGURATION = "ConfigurationError"
    PERMISSION = "PermissionError"
    REVISION = "RevisionUnavailable"
    UNAVAILABLE = "SystemUnavailable"


@dataclass(frozen=True)
class Done:
    """The action succeeded; ``variables`` go to the console and to later actions."""

    summary: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Waits:
    """The action goes on; ask again later."""

    summary: str


@dataclass(frozen=True)
class Fails:
    """The action failed; the message is for a person."""

    message: str
    kind: Failure = Failure.JOB


Verdict = Done | Waits | Fails


def pipeline_name(environment: str, project: str) -> str:
    """Return the name of a project's pipeline in one environment."""
    return sagemaker_name("steward", environment, project)


def project_of_pipeline(environment: str, pipeline: str) -> str | None:
    """Return the project that a pipeline delivers, None for anybody else's pipeline."""
    prefix = f"steward-{environment}-"
    return pipeline.removeprefix(prefix) or None if pipeline.startswith(prefix) else None


def binding_item(execution_id: str) -> str:
    """Return the sort key of what an execution of a pipeline is bound to."""
    return f"pipeline#{execution_id}"


def carried_item(version: int, execution_id: str = "") -> str:
    """Return the sort key that says: this execution carries this version."""
    return f"piped#{version:08d}#{execution_id}"


CARRIED = "piped#"
"""What the sort keys of all carried versions begin with, in the order of versions."""


def judge_integration(
    found: Record | None, *, attempts_before: int, asked_for: timedelta
) -> Verdict:
    """Return how far the integration of an execution's commit is.

    Args:
        found: The newest integration of the commit.
        attempts_before: Its newest attempt when this execution asked; one that had failed by
            then is not this execution's.
        asked_for: Time since this execution asked.
    """
    stale = found is not None and (
        int(found["attempt"]) <= attempts_before and found["status"] in ("failed", "superseded")
    )
    if found is None or stale:
        if asked_for >= UNTAKEN_AFTER:
            return Fails(
                "nobody took the commit up: see the queues of StartIntegration "
                f"(field commit_id, value {found['commit_id'] if found else 'none'}, allowed a "
                "commit of the project's branch)"
            )
        return Waits("the commit is being taken up")
    return _integrated(found)


def _integrated(found: Record) -> Verdict:
    status, where = found["status"], found["run_id"]
    if status == "running":
        return Waits(f"{where} is at {found.get('step') or 'its first step'}")
    if status == "failed":
        return Fails(
            f"{where} failed at {found.get('step')}: {found.get('error')}: {found.get('cause')}"
        )
    if status == "superseded":
        return Fails(f"{where} was overtaken by a newer commit of its branch", Failure.REVISION)
    run = str(found.get("training_run_id") or "")
    if not run:
        return Fails(
            f"{where} passed and started no training: {found.get('training_outcome')} "
            "(field training_run_id, allowed a run)"
        )
    return Done(
        f"{where} passed; run {run}",
        {
            "IntegrationId": str(where), "RunId": run,
            "CodeDigest": str(found.get("code_digest") or ""),
            "ConfigDigest": str(found.get("config_digest") or ""),
        },
    )  # fmt: skip


def judge_run(run: Record | None, run_id: str) -> Verdict:
    """Return what the gate made of a training run."""
    if run is None:
        return Fails(f"there is no run {run_id} (field training_run_id)", Failure.CONFIGURATION)
    status = RunStatus(run["status"])
    if status in (RunStatus.WAITING, RunStatus.RUNNING):
        return Waits(f"run {run_id} is {status}")
    if status is RunStatus.SUCCEEDED and run.get("version") is not None:
        version = str(int(run["version"]))
        return Done(
            f"run {run_id} passed its gate as version {version}",
            {"Version": version, "Verdict": str(run.get("verdict") or "pass")},
        )
    if status is RunStatus.HELD:
        reasons = "; ".join(map(str, run.get("reasons") or [])) or "no reason was recorded"
        return Fails(f"run {run_id} was held by the gate: {reasons}")
    if status is RunStatus.SUPERSEDED:
        return Fails(f"run {run_id} lost its place to a newer one", Failure.REVISION)
    return Fails(
        f"run {run_id} {status} at {run.get('failed_state')}: {run.get('error')}: "
        f"{run.get('cause')}"
    )


def judge_staging(staging: Record | None, version: Record) -> Verdict:
    """Return how the staging of a version and its tests ended."""
    number, state = int(version["version"]), VersionState(version["state"])
    if staging is None or staging["status"] == "running":
        return Waits(f"version {number} is being staged")
    if staging["status"] != "succeeded" or state is VersionState.STAGING_FAILED:
        why = version.get("staging_error") or "see its smoke test"
        return Fails(f"staging of version {number} failed: {why} ({staging.get('smoke_uri')})")
    digest = version.get("evidence_digest")
    if not digest:
        return Waits(f"the evidence of version {number} is being frozen")
    return Done(
        f"version {number} passed its staging tests",
        {"EvidenceDigest": str(digest), "SmokeUri": str(staging.get("smoke_uri") or "")},
    )


_CARRIED = frozenset(
    {
        VersionState.APPROVED, VersionState.RELEASING, VersionState.PRODUCTION,
        VersionState.RETAINED,
    }
)  # fmt: skip


def judge_approval(version: Record, evidence_digest: str | None) -> Verdict:
    """Return whether Steward's own record approves a version for the evidence that was bound.

    Whatever somebody clicked in a console is no part of it.
    """
    from steward.domain.approvals import Ballot

    ballot = Ballot.model_validate(version)
    if not evidence_digest or ballot.evidence_digest != evidence_digest:
        return Fails(
            f"the evidence of {ballot.name} changed (field evidence_digest, value "
            f"{ballot.evidence_digest}, allowed {evidence_digest})"
        )
    if ballot.state is VersionState.PENDING:
        return Waits(f"{ballot.name} waits for {ballot.needed} approvals")
    if ballot.state not in _CARRIED:
        return Fails(f"{ballot.name} is {ballot.state} (field state, allowed approved)")
    barred = {who.casefold() for who in (ballot.author, ballot.trainer) if who}
    people = [name for name in ballot.approvers if name.casefold() not in barred]
    if len(people) < ballot.needed:
        return Fails(
            f"{ballot.name} has {len(people)} approvals (field approvals, allowed "
            f"{ballot.needed} people, not the author)"
        )
    return Done(
        f"approved by {', '.join(people)} for evidence {evidence_digest[:12]}",
        {"Approvers": ",".join(people), "EvidenceDigest": evidence_digest},
    )


def answer_to_console(version: Record, evidence_digest: str | None, newer: int | None) -> Verdict:
    """Return how the waiting approval of a pipeline is answered; `Waits` leaves it open.

    Args:
        version: The registry's record.
        evidence_digest: What the execution is bound to.
        newer: A later version of the same pipeline that makes this one's request void.
    """
    verdict = judge_approval(version, evidence_digest)
    if isinstance(verdict, Waits) and newer is not None:
        return Fails(f"version {newer} of a newer commit waits behind it")
    return verdict


def judge_release(release: Record | None, release_id: str, asked_for: timedelta) -> Verdict:
    """Return how far the one release of an execution is.

    An experiment may take weeks. The pipeline has done its part when the release still runs after
    the longest that an action may wait.
    """
    if release is None:
        if asked_for >= UNTAKEN_AFTER:
            return Fails(f"release {release_id} was not begun: see the queues of StartRelease")
        return Waits(f"release {release_id} is being begun")
    status = ReleaseStatus(release["status"])
    told = {"ReleaseId": release_id, "ReleaseStatus": status.value}
    if status is ReleaseStatus.COMPLETED:
        return Done(f"release {release_id} is complete", told)
    if status in (ReleaseStatus.RUNNING, ReleaseStatus.WAITING):
        if asked_for >= LONGEST_WAIT and status is ReleaseStatus.RUNNING:
            return Done(f"release {release_id} goes on as an experiment", told)
        return Waits(f"release {release_id} is {status}")
    why = release.get("cause") or "see steward release show"
    return Fails(f"release {release_id} is {status}: {why}")


WATCHED = (
    "candidate-errors", "candidate-latency", "stable-errors", "stable-latency", "drift",
    "performance", "bias", "no-data", "page-someone",
)  # fmt: skip
"""The alarms of a project without which nobody watches it; see ``names.alarm_name``."""


def judge_watch(
    version: Record, alarms: Mapping[str, str], wanted: Iterable[str], looks: int
) -> Verdict:
    """Return whether a version in production is watched.

    Args:
        version: The registry's record.
        alarms: States by name of the alarms that there are.
        wanted: Names of those that there must be.
        looks: Looks of monitoring since the project was released first.
    """
    number, missing = int(version["version"]), [name for name in wanted if name not in alarms]
    if missing:
        return Fails(
            f"alarms are missing (field alarms, value {', '.join(missing)}, allowed those of "
            "projects/project-stack.yaml)", Failure.CONFIGURATION,
        )  # fmt: skip
    if not version.get("baseline"):
        return Fails(f"version {number} has no baseline (field baseline)", Failure.CONFIGURATION)
    if not looks:
        return Waits(f"version {number} was not looked at yet")
    return Done(
        f"version {number} is watched: {len(alarms)} alarms, a baseline, {looks} looks",
        {"Alarms": str(len(alarms)), "Looks": str(looks)},
    )


def bounded(verdict: Verdict, waited: timedelta) -> Verdict:
    """Return a failure in place of a wait that CodePipeline would break off without a reason."""
    if isinstance(verdict, Waits) and waited >= LONGEST_WAIT:
        hours = int(LONGEST_WAIT.total_seconds() // 3600)
        return Fails(f"after {hours} hours: {verdict.summary}", Failure.UNAVAILABLE)
    return verdict


def waiting_since(token: str | None, now: datetime) -> datetime:
    """Return when an action began to wait: what its continuation token says, or now."""
    try:
        return datetime.fromisoformat(token) if token else now
    except ValueError:
        return now
