"""Use cases: play an action of a project's delivery pipeline, and answer its approval.

Judgement is in ``domain.pipelines``; here records are read and bound to the execution, and
CodePipeline is answered. Nothing here starts work: commits and releases are asked for by events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from steward.contracts.events import CommitReceived, CommitSource, ReleaseRequested
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    RejectedError,
    RetryableError,
)
from steward.domain.integrations import integrations_of
from steward.domain.monitoring.records import look_item
from steward.domain.names import alarm_name
from steward.domain.pipelines import (
    WATCHED,
    Done,
    Fails,
    Failure,
    Verdict,
    Waits,
    binding_item,
    bounded,
    carried_item,
    judge_approval,
    judge_integration,
    judge_release,
    judge_run,
    judge_staging,
    judge_watch,
    pipeline_name,
    waiting_since,
)
from steward.domain.releases import release_id, staging_item
from steward.domain.versions import version_item
from steward.ports import (
    Absent,
    Alarms,
    Clock,
    Condition,
    Equals,
    Ids,
    Item,
    Pipelines,
    Put,
    StateStore,
    Table,
    Update,
)
from steward.service.emission import Cause, event

if TYPE_CHECKING:
    from steward.contracts.pipeline import ActionParameters, PipelineJob

LOOKS = 50
"""How many of the newest looks are searched for one at the version."""


@dataclass(frozen=True)
class Ports:
    """What the actions need from outside."""

    state: StateStore
    pipelines: Pipelines
    alarms: Alarms
    clock: Clock
    ids: Ids
    environment: str


def drive(job: PipelineJob, ports: Ports) -> dict[str, Any]:
    """Play one job of an action and answer it.

    A job that comes twice finds what the first left and gives the same answer; CodePipeline takes
    the one that comes first. What may pass is waited for, everything else is told as a failure.

    Returns:
        What was answered; ``late`` where nobody waited for it any more.
    """
    job_id, now = job.job.id, ports.clock.now()
    since = waiting_since(job.job.data.token, now)
    verdict = _verdict(job, ports, since)
    verdict = bounded(verdict, now - since)
    if isinstance(verdict, Done):
        taken = ports.pipelines.succeed(job_id, verdict.variables, verdict.summary)
        told: dict[str, Any] = {"done": verdict.summary}
    elif isinstance(verdict, Waits):
        token = since.isoformat(timespec="seconds")
        taken = ports.pipelines.go_on(job_id, token, verdict.summary)
        told = {"waits": verdict.summary, "since": token}
    else:
        taken = ports.pipelines.fail(job_id, verdict.kind, verdict.message)
        told = {"fails": verdict.message, "type": verdict.kind.value}
    return {**told, "job": job_id, "late": not taken}


def _verdict(job: PipelineJob, ports: Ports, since: datetime) -> Verdict:
    from pydantic import ValidationError

    from steward.contracts.pipeline import action_of

    try:
        asked = action_of(job)
        wanted = pipeline_name(ports.environment, asked.project)
        if asked.pipeline != wanted:
            return Fails(
                f"the pipeline is not this project's (field pipeline, value {asked.pipeline}, "
                f"allowed {wanted})", Failure.CONFIGURATION,
            )  # fmt: skip
        return _Action(job, asked, ports, since).play()
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "UserParameters"
        return Fails(
            f"UserParameters are not valid (field {where}, value {first.get('input')!r}, allowed "
            f"{first['msg']})", Failure.CONFIGURATION,
        )  # fmt: skip
    except (RetryableError, ConflictError) as error:
        return Waits(str(error))
    except AccessDeniedError as error:
        return Fails(str(error), Failure.PERMISSION)
    except RejectedError as error:
        parts = error.as_dict()
        known = ", ".join(f"{n} {parts[n]}" for n in ("field", "value", "allowed") if n in parts)
        return Fails(f"{error.message}{f' ({known})' if known else ''}", Failure.CONFIGURATION)


@dataclass(frozen=True)
class _Action:
    """One job of an action, bound to the execution that it is of."""

    job: PipelineJob
    asked: ActionParameters
    ports: Ports
    since: datetime

    def play(self) -> Verdict:
        """Return what the records say of this action."""
        actions: dict[str, Callable[[], Verdict]] = {
            "integrate": self._integrate, "gate": self._gate, "stage": self._stage,
            "verify_approval": self._verify, "release": self._release, "watch": self._watch,
        }  # fmt: skip
        return actions[self.asked.action]()

    @property
    def _key(self) -> dict[str, str]:
        return {"project": self.asked.project, "run_id": binding_item(self.asked.execution_id)}

    @property
    def _asked_for(self) -> timedelta:
        return self.ports.clock.now() - self.since

    def _integrate(self) -> Verdict:
        state, key = self.ports.state, self._key
        binding = state.get(Table.RUNS, key)
        found = _newest_integration(state, self.asked.project, self.asked.commit_id)
        again = binding is not None and self._asks_again(binding, found)
        if binding is None or again:
            before = int(found["attempt"]) if found else 0
            self._ask_for_integration(binding, before)
            return Waits("the commit is handed to the integration")
        if binding["commit_id"] != self.asked.commit_id:
            return Fails(
                f"the execution is bound to another commit (field commit_id, value "
                f"{self.asked.commit_id}, allowed {binding['commit_id']})", Failure.CONFIGURATION,
            )  # fmt: skip
        verdict = judge_integration(
            found, attempts_before=int(binding["attempts_before"]), asked_for=self._asked_for
        )
        if isinstance(verdict, Done):
            names = {"IntegrationId": "integration_id", "RunId": "training_run_id"}
            self._bind({names[n]: v for n, v in verdict.variables.items() if n in names})
        return verdict

    def _asks_again(self, binding: Item, found: Item | None) -> bool:
        """Whether somebody retries the stage: a new job, and the attempt of before has failed."""
        fresh = self.job.job.data.token is None and binding["asked_by"] != self.job.job.id
        return fresh and found is not None and found["status"] in ("failed", "superseded")

    def _ask_for_integration(self, binding: Item | None, before: int) -> None:
        asked, ports = self.asked, self.ports
        inputs = self.job.job.data.inputs
        where = inputs[0].location.s3 if inputs else None
        if where is None:
            raise RejectedError(
                "the action has no input artifact in S3", field="inputArtifacts",
                value=[one.name for one in inputs], allowed="the source's artifact",
            )  # fmt: skip
        files = CommitSource(kind="s3", bucket=where.bucket, key=where.key)
        from pydantic import ValidationError

        try:
            received = CommitReceived(
                repository=asked.repository, branch=asked.branch, commit_id=asked.commit_id,
                files=files, author=asked.author, origin="pipeline",
            )  # fmt: skip
        except ValidationError as invalid:
            first = invalid.errors(include_url=False)[0]
            raise RejectedError(
                "the source names no commit", field=str(first["loc"][0]),
                value=first.get("input"), allowed=first["msg"],
            ) from None  # fmt: skip
        item = {
            **self._key, "pipeline": asked.pipeline, "execution_id": asked.execution_id,
            "mode": asked.mode, "commit_id": asked.commit_id, "branch": asked.branch,
            "repository": asked.repository, "author": asked.author,
            "source": files.model_dump(mode="json", exclude_none=True),
            "asked_by": self.job.job.id, "asked_at": ports.clock.now().isoformat(),
            "attempts_before": before, "status": "running",
        }  # fmt: skip
        expect: Condition = Equals("asked_by", binding["asked_by"]) if binding else Absent()
        cause = Cause(asked.project, asked.execution_id, self.job.job.id, asked.author)
        ports.state.commit(
            [Put(Table.RUNS, item, (expect,))], [event(received, cause, ports.clock, ports.ids)]
        )

    def _gate(self) -> Verdict:
        binding = self._binding("training_run_id")
        run_id = str(binding["training_run_id"])
        key = {"project": self.asked.project, "run_id": run_id}
        verdict = judge_run(self.ports.state.get(Table.RUNS, key), run_id)
        if isinstance(verdict, Done):
            self._bind({"version": int(verdict.variables["Version"])})
        return verdict

    def _stage(self) -> Verdict:
        version = self._version()
        number = int(version["version"])
        key = {"project": self.asked.project, "item": staging_item(number)}
        verdict = judge_staging(self.ports.state.get(Table.VERSIONS, key), version)
        if isinstance(verdict, Done):
            self._bind({"evidence_digest": verdict.variables["EvidenceDigest"]})
            self._carry(number)
        return verdict

    def _verify(self) -> Verdict:
        """Say whether Steward's record approves; an open request fails here.

        Whoever answered the approval action before did so without a record.
        """
        digest = str(self._binding("evidence_digest")["evidence_digest"])
        verdict = judge_approval(self._version(), digest)
        if isinstance(verdict, Waits):
            return Fails(
                f"an approval in CodePipeline alone does not count: {verdict.summary}; decide "
                f"with steward approve {self.asked.project} (field approvals)"
            )
        return verdict

    def _release(self) -> Verdict:
        binding, version = self._binding("evidence_digest"), self._version()
        number, project = int(version["version"]), self.asked.project
        wanted = release_id(number, 1)
        if binding.get("release_id") is None:
            approved = judge_approval(version, str(binding["evidence_digest"]))
            if not isinstance(approved, Done):
                return Fails(approved.summary if isinstance(approved, Waits) else approved.message)
            self._ask_for_release(number, wanted)
        found = self.ports.state.get(Table.RELEASES, {"project": project, "release_id": wanted})
        return judge_release(found, wanted, self._asked_for)

    def _ask_for_release(self, version: int, wanted: str) -> None:
        """Ask once; the approval asks as well, and the release's own id lets one begin it."""
        ports, asked = self.ports, self.asked
        request = ReleaseRequested(
            version=version, reason=f"pipeline {asked.pipeline}", release_id=wanted
        )
        cause = Cause(asked.project, asked.execution_id, self.job.job.id)
        update = Update(
            Table.RUNS, self._key, set={"release_id": wanted}, expect=(Equals("release_id", None),)
        )
        ports.state.commit([update], [event(request, cause, ports.clock, ports.ids)])

    def _watch(self) -> Verdict:
        version, project = self._version(), self.asked.project
        wanted = [alarm_name(self.ports.environment, project, signal) for signal in WATCHED]
        looks = self.ports.state.query(
            Table.MONITORING, project, prefix=look_item(""), newest_first=True, limit=LOOKS
        )
        own = [look for look in looks if look.get("version") == version["version"]]
        verdict = judge_watch(version, self.ports.alarms.states(wanted), wanted, len(own))
        if isinstance(verdict, Done):
            self._bind({"status": "succeeded"})
        return verdict

    def _binding(self, needed: str) -> Item:
        found = self.ports.state.get(Table.RUNS, self._key)
        if found is None or found.get(needed) is None:
            raise RejectedError(
                f"the execution is bound to no {needed}: an earlier action did not end",
                field=needed, value=None, allowed="what an earlier action of the pipeline bound",
            )  # fmt: skip
        return found

    def _version(self) -> Item:
        number = int(self._binding("version")["version"])
        key = {"project": self.asked.project, "item": version_item(number)}
        found = self.ports.state.get(Table.VERSIONS, key)
        if found is None:
            raise RejectedError(
                f"there is no version {number}", field="version", value=number,
                allowed="a registered version",
            )  # fmt: skip
        return found

    def _bind(self, facts: dict[str, Any]) -> None:
        self.ports.state.commit([Update(Table.RUNS, self._key, set=facts)])

    def _carry(self, version: int) -> None:
        key = {
            "project": self.asked.project,
            "run_id": carried_item(version, self.asked.execution_id),
        }
        facts = {"execution_id": self.asked.execution_id, "version": version}
        self.ports.state.commit([Put(Table.RUNS, {**key, **facts})])


def _newest_integration(state: StateStore, project: str, commit_id: str) -> Item | None:
    """Return the newest attempt at a commit; keys hold the number as text, so it is compared."""
    if not commit_id:
        return None
    found = state.query(Table.RUNS, project, prefix=integrations_of(commit_id))
    return max(found, key=lambda item: int(item["attempt"]), default=None)
