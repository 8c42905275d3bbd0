"""A project whose commits are integrated, with fakes of all ports."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, BinaryIO

import yaml

from steward.contracts.events import CommitReceived, CommitSource
from steward.contracts.incoming import ExecutionStatusChange, Received, RepositoryStateChange
from steward.contracts.steps.integration import (
    ActivatedSource,
    ActivateSource,
    CheckedProject,
    CheckProject,
    FetchedSource,
    FetchSource,
    JudgedIntegration,
    JudgeIntegration,
    RecordedIntegration,
    RecordIntegration,
    StartTraining,
)
from steward.domain.datasets import request_columns
from steward.domain.errors import CommitNotFoundError, RejectedError
from steward.domain.examples import recorded_examples
from steward.domain.source_archives import Files, SourceFile
from steward.domain.versions import version_item
from steward.ports import Item, Table
from steward.service.training.integration.activating import activate_source
from steward.service.training.integration.checking import check_project
from steward.service.training.integration.fetching import Sources, fetch_source
from steward.service.training.integration.judging import judge_integration
from steward.service.training.integration.recording import (
    conclude_integration,
    record_integration,
)
from steward.service.training.integration.rehearsing import Ports as CheckPorts
from steward.service.training.integration.run_after import start_after
from steward.service.training.integration.starting import (
    Commit,
    Ignored,
    Ports,
    commit_of,
    start_integration,
)
from steward.service.training.source import Configuring
from support.builders import event_of
from support.training_scene import ARTIFACTS, DATA, Scene, csv_of, declaration

MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:steward-integrate-commit"
REPOSITORY = "steward-local-diabetes"
TESS = "arn:aws:iam::000000000000:user/tess"
CAPTURES = "captures"
A, B, C = (f"{sign}f0c9a7b2d3e" + sign * 28 for sign in "abc")


def files_of(**changes: str) -> Files:
    """Return the files of a valid project, some changed; ``__`` stands for a slash."""
    texts = {
        "project.yaml": yaml.safe_dump(declaration()),
        "src/train.py": "print('train')\n",
        "src/inference.py": "def model_fn(d): ...\ndef predict_fn(r, m): ...\n",
        "tests/test_model.py": "def test_it(): pass\n",
        "README.md": "a project\n",
    }
    return {name: SourceFile(text.encode()) for name, text in {**texts, **changes}.items()}


def tarball(files: Files, folder: str = "acme-diabetes-1f0c9a7/") -> bytes:
    """Return files as a forge packs them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, found in files.items():
            info = tarfile.TarInfo(folder + name)
            info.size = len(found.content)
            tar.addfile(info, io.BytesIO(found.content))
    return out.getvalue()


@dataclass
class FakeRepositories:
    """CodeCommit with one repository."""

    commits: dict[str, Files] = field(default_factory=dict)
    at: str | None = None
    comments: list[tuple[str, str | None, str, str]] = field(default_factory=list)

    def files(self, repository: str, commit_id: str) -> Files:
        if commit_id not in self.commits:
            raise CommitNotFoundError(f"repository {repository} has no {commit_id}")
        return self.commits[commit_id]

    def head(self, repository: str, branch: str) -> str | None:
        return self.at

    def comment(self, repository: str, before: str | None, after: str, text: str) -> None:
        self.comments.append((repository, before, after, text))


@dataclass
class FakeDownloads:
    """A forge that gives archives by URL."""

    archives: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], frozenset[str]]] = field(default_factory=list)

    def fetch(
        self, url: str, *, hosts: Collection[str], headers: Mapping[str, str], limit: int
    ) -> BinaryIO:
        self.asked.append((url, dict(headers), frozenset(hosts)))
        return io.BytesIO(self.archives[url])


@dataclass
class FakeSecrets:
    """Secrets Manager."""

    texts: dict[str, str] = field(default_factory=dict)

    def create(self, name: str, text: str) -> None:
        self.texts[name] = text

    def read(self, name: str) -> str:
        return self.texts[name]

    def delete(self, name: str) -> None:
        self.texts.pop(name, None)


@dataclass
class Commits(Scene):
    """The world of one test; a commit walks through the machine's tasks by ``integrate``."""

    repositories: FakeRepositories = field(default_factory=FakeRepositories)
    downloads: FakeDownloads = field(default_factory=FakeDownloads)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)

    def push(self, commit: str = A, files: Files | None = None, **changes: Any) -> Received:
        """Push a commit and return CodeCommit's event."""
        self.clock.advance(1)
        self.repositories.commits[commit] = files if files is not None else files_of()
        previous, self.repositories.at = self.repositories.at, commit
        detail = {
            "event": "referenceUpdated", "repositoryName": REPOSITORY, "referenceName": "main",
            "referenceType": "branch", "commitId": commit, "callerUserArn": TESS,
            **({"oldCommitId": previous} if previous else {}), **changes,
        }  # fmt: skip
        return Received(
            id=f"event-{next(self.numbers)}", time=self.clock.now().isoformat(timespec="seconds"),
            source="aws.codecommit", detail_type="CodeCommit Repository State Change",
            resources=[], replayed=False, meta=None,
            detail=RepositoryStateChange.model_validate(detail),
        )  # fmt: skip

    def asked(self, files: CommitSource, commit: str = A, **changes: Any) -> Received:
        """Return the event of a webhook or a pipeline."""
        self.clock.advance(1)
        payload = CommitReceived(**{
            "repository": "acme/diabetes", "branch": "main", "commit_id": commit, "files": files,
            "author": "github:theo", "origin": "webhook", **changes,
        })  # fmt: skip
        told = event_of(payload)
        return Received(
            id=f"event-{next(self.numbers)}", time=self.clock.now().isoformat(),
            source=told.source, detail_type=told.detail_type, resources=[], replayed=False,
            meta=told.meta.model_copy(update={"project": "diabetes"}), detail=payload,
        )  # fmt: skip

    def arrive(self, received: Received) -> dict[str, Any]:
        """Handle the arrival of a commit."""
        commit = commit_of(received, environment="local")
        if isinstance(commit, Ignored):
            return {"outcome": "ignored", "reason": commit.reason}
        assert isinstance(commit, Commit)
        ports = Ports(self.state, self.workflows, self.clock, self.ids, MACHINE)
        return start_integration(commit, ports)

    def record(self, integration_id: str) -> Item:
        """Return an integration's record."""
        return self.run(integration_id)

    def fetch(self, integration_id: str) -> FetchedSource:
        """Play FetchSource."""
        command = FetchSource(
            project="diabetes", integration_id=integration_id, correlation_id=integration_id,
            causation_id="e", actor="tess",
        )  # fmt: skip
        sources = Sources(
            self.repositories, self.downloads, lambda: self.secrets,
            frozenset({"api.github.com"}),
        )  # fmt: skip
        return fetch_source(
            command, state=self.state, objects=self.objects, sources=sources,
            artifacts_bucket=ARTIFACTS,
        )  # fmt: skip

    def with_dataset(self) -> None:
        """Let there be a version, with its dataset."""
        base = f"s3://{DATA}/datasets/diabetes/abc"
        columns = request_columns(self.project)
        row = {"age": 50, "bmi": 24.5, "sex": "F"}
        self.objects.write(f"{base}/manifest.json", b'{"dataset_id": "abc"}')
        self.objects.write(
            f"{base}/train/train.csv", b"age,bmi,sex,outcome\r\n50,24.5,F,0\r\n51,,M,1\r\n"
        )
        self.objects.write(
            f"{base}/examples.json", json.dumps(recorded_examples(columns, [row])).encode()
        )
        self.state.put(Table.VERSIONS, {
            "project": "diabetes", "item": version_item(1), "version": 1,
            "manifest_uri": f"{base}/manifest.json",
        })  # fmt: skip

    def recorded(self, received: Received) -> dict[str, Any]:
        """Check a commit; return the recorded requests that its rehearsal asks."""
        fetched = self.fetch(str(self.arrive(received)["integration_id"]))
        uri = f"{self.check(fetched).rehearsal_input_uri}/recorded.json"
        found: dict[str, Any] = json.loads(self.objects.read(uri))
        return found

    def check(self, fetched: FetchedSource) -> CheckedProject:
        """Play CheckProject."""
        command = CheckProject(
            project="diabetes", integration_id=fetched.integration_id,
            correlation_id=fetched.integration_id, prefix=fetched.prefix, name=fetched.name,
            source_uri=fetched.source_uri,
        )  # fmt: skip
        ports = CheckPorts(
            self.state, self.objects, self.job_image, self.clock, self.ids, "local", ARTIFACTS,
            CAPTURES,
        )  # fmt: skip
        return check_project(command, ports)

    def judge(self, integration_id: str, stage: Any, **found: Any) -> JudgedIntegration:
        """Let a job find something, and play the state that reads it."""
        uri = f"s3://{ARTIFACTS}/commits/diabetes/{stage}"
        document = {"passed": True, "summary": "fine", "failed": [], **found}
        self.objects.write(f"{uri}/{stage}.json", json.dumps(document).encode())
        command = JudgeIntegration(
            project="diabetes", integration_id=integration_id, correlation_id=integration_id,
            stage=stage, output_uri=uri,
        )  # fmt: skip
        return judge_integration(command, state=self.state, objects=self.objects)

    def activate(self, fetched: FetchedSource, checked: CheckedProject) -> ActivatedSource:
        """Play ActivateSource."""
        self.clock.advance(1)
        command = ActivateSource(
            project="diabetes", integration_id=fetched.integration_id,
            correlation_id=fetched.integration_id, prefix=fetched.prefix,
            code_digest=checked.code_digest, config_digest=checked.config_digest,
        )  # fmt: skip
        ports = Configuring(self.state, self.clock, self.ids, ARTIFACTS, "local")
        return activate_source(command, ports, objects=self.objects, repositories=self.repositories)

    def record_end(self, integration_id: str, outcome: Any, **facts: Any) -> RecordedIntegration:
        """Play the state that records the end."""
        command = RecordIntegration(
            project="diabetes", integration_id=integration_id, correlation_id=integration_id,
            outcome=outcome, execution_arn=f"{MACHINE}:x", **facts,
        )  # fmt: skip
        return record_integration(command, state=self.state, clock=self.clock, ids=self.ids)

    def integrate(self, received: Received) -> Item:
        """Play all tasks of a commit whose jobs find nothing; return its record."""
        name = str(self.arrive(received)["integration_id"])
        fetched = self.fetch(name)
        checked = self.check(fetched)
        self.activate(fetched, checked)
        command = StartTraining(project="diabetes", integration_id=name, correlation_id=name)
        training = start_after(command, self.ports)
        self.record_end(
            name, "succeeded", code_digest=checked.code_digest,
            config_digest=checked.config_digest, training=training,
        )  # fmt: skip
        return self.record(name)

    def conclude(self, integration_id: str, status: str, **facts: Any) -> dict[str, Any]:
        """Handle the event of an execution that ended."""
        given = {"project": "diabetes", "integration_id": integration_id}
        change = ExecutionStatusChange.model_validate({
            "executionArn": f"{MACHINE}:x", "stateMachineArn": MACHINE, "name": "x",
            "status": status, "input": json.dumps(given), **facts,
        })  # fmt: skip
        return conclude_integration(change, state=self.state, clock=self.clock, ids=self.ids)

    def with_data(self) -> Commits:
        """Accept a delivery, so that there is something to train on."""
        content = csv_of(1, 60)
        self.deliver(content)
        self.mark("accepted", content)
        for item in self.state.query(Table.RUNS, "diabetes"):
            if "execution_arn" in item:
                self.conclude_run(item)
        return self

    def conclude_run(self, run: Item) -> None:
        """Let a run end, so that its lock is free."""
        from steward.domain.runs import RunStatus
        from steward.service.training.ledger import set_status

        self.state.commit(set_status(run, RunStatus.SUCCEEDED, {}))
        self.clock.advance(timedelta(days=2).total_seconds())


def refused(call: Any) -> RejectedError:
    """Return the refusal that a call ends in."""
    try:
        call()
    except RejectedError as error:
        return error
    raise AssertionError("it was not refused")
