"""Commits on the deployed stack: pushed with git, or told of by a forge that signs."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3

from steward_cli.commands.mail import letters
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e


def git(folder: Path, *words: str, **variables: str) -> str:
    who = {"GIT_AUTHOR_NAME": "theo", "GIT_AUTHOR_EMAIL": "theo@example.com",
           "GIT_COMMITTER_NAME": "theo", "GIT_COMMITTER_EMAIL": "theo@example.com"}  # fmt: skip
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **who, **variables}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def ended(lab: Laboratory, project: str, commit: str) -> dict[str, Any]:
    """Return the record of a commit whose integration is over."""

    def read() -> Any:
        found = [i for i in lab.state.integrations(project) if i["commit_id"] == commit]
        return found[-1] if found and found[-1]["status"] != "running" else None

    return dict(eventually(read, f"the end of commit {commit[:12]}"))


@dataclass
class Repository:
    """A project's repository in CodeCommit, and theo's clone of it."""

    lab: Laboratory
    project: str

    def __post_init__(self) -> None:
        self.home, self.name = self.lab.folder / self.project, f"steward-local-{self.project}"
        self.client = self.lab.target.client("codecommit")
        made = self.client.create_repository(repositoryName=self.name)["repositoryMetadata"]
        git(self.home, "init", "-q", "--initial-branch=main")
        git(self.home, "remote", "add", "origin", made["cloneUrlHttp"])

    def push(self, message: str) -> str:
        """Commit all files and push them as theo; return the commit's id."""
        theo = self.lab.theo.session.get_credentials()
        git(self.home, "add", "-A")
        git(self.home, "commit", "-qm", message)
        git(self.home, "push", "-q", "origin", "main", AWS_ACCESS_KEY_ID=theo.access_key)
        return git(self.home, "rev-parse", "HEAD")

    def comment(self, commit: str) -> str:
        """Return what Steward says of a commit, once it does."""

        def read() -> list[str]:
            told = self.client.get_comments_for_compared_commit(
                repositoryName=self.name, afterCommitId=commit
            )["commentsForComparedCommitData"]
            return [comment["content"] for one in told for comment in one["comments"]]

        [said] = eventually(read, "the comment")
        return said


@pytest.fixture(scope="module")
def gitted(lab: Laboratory) -> Repository:
    lab.add_project("gitted")
    return Repository(lab, "gitted")


def test_a_push_is_tested_rehearsed_and_becomes_the_projects_or_changes_nothing(
    lab: Laboratory, gitted: Repository
) -> None:
    code = gitted.home / "src" / "train.py"
    code.write_text(code.read_text() + "\n# by a commit\n")
    good = gitted.push("a comment")

    integrated = ended(lab, "gitted", good)

    assert integrated["status"] == "succeeded", integrated
    assert integrated["author"].endswith("/theo")
    assert "passed" in integrated["tests"]["summary"]
    assert "kept the contract" in integrated["rehearsal"]["summary"]
    project = lab.state.project("gitted")
    assert project["code_digest"] == integrated["code_digest"]
    assert integrated["training_outcome"] == "suppressed"  # nothing was delivered

    served = gitted.home / "src" / "inference.py"
    before = served.read_text()
    served.write_text("def model_fn(d): return 1\n")
    bad = gitted.push("no answers")
    refused = ended(lab, "gitted", bad)
    served.write_text(before)

    assert (refused["status"], refused["error"]) == ("failed", "ProjectTestsFailedError")
    assert lab.state.project("gitted") == project
    engine = lab.target.engine
    assert engine is not None
    letter = eventually(
        lambda: [m for m in letters(engine.mailbox) if bad[:12] in m.subject], "the owner's mail"
    )[0]
    assert "test_model" in letter.body
    assert "did not integrate" in gitted.comment(bad)
    assert "integrated" in gitted.comment(good)


def test_a_push_during_the_tests_of_another_one_stops_them(
    lab: Laboratory, gitted: Repository
) -> None:
    before = lab.state.project("gitted")
    slow = gitted.home / "tests" / "test_slow.py"
    slow.write_text("import time\n\n\ndef test_slow():\n    time.sleep(100)\n")
    older = gitted.push("slow tests")
    sagemaker, job = lab.target.client("sagemaker"), f"gitted-{older[:12]}-1-test"

    def status() -> str:
        found = sagemaker.list_processing_jobs(NameContains=job)["ProcessingJobSummaries"]
        return str(found[0]["ProcessingJobStatus"]) if found else ""

    eventually(lambda: status() == "InProgress", "the tests to run")
    slow.unlink()
    (gitted.home / "project.yaml").write_text("project: gitted\nno_such_key: 1\n")

    newer = gitted.push("a declaration that is not valid")

    overtaken = ended(lab, "gitted", older)
    assert (overtaken["status"], overtaken["cause"]) == (
        "superseded", f"overtaken by {newer[:12]} of main",
    )  # fmt: skip
    eventually(lambda: status() == "Stopped", "the job to be stopped")
    assert "a later commit came before" in gitted.comment(older)
    refused = ended(lab, "gitted", newer)
    assert (refused["status"], refused["error"]) == ("failed", "InvalidProjectError")
    assert lab.state.project("gitted") == before
    states = lab.target.client("stepfunctions")
    stopped = states.describe_execution(executionArn=overtaken["integration_arn"])
    assert (stopped["status"], stopped["error"]) == ("ABORTED", "CommitSupersededError")


class Forge:
    """GitHub's API as far as Steward asks it, on this machine."""

    def __init__(self, archive: bytes) -> None:
        self.statuses: list[dict[str, Any]] = []
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200 if self.headers["authorization"] == "Bearer t0p" else 401, archive)

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                forge.statuses.append({"path": self.path, **body})
                self._answer(201, b"{}")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def forge(lab: Laboratory) -> Iterator[Forge]:
    lab.add_project("forged")
    home = lab.folder / "forged"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(home, "acme-forged-1f0c9a7")
    made = Forge(out.getvalue())
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_signed_push_of_a_forge_is_integrated_once_and_its_status_set(
    lab: Laboratory, forge: Forge, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("t0p\n")
    connected = lab.steward(
        "commits", "connect", "forged", "acme/forged", "--api", forge.url,
        "--token-file", str(token),
    )  # fmt: skip
    commit = "1f0c9a7b2d3e" + "f" * 28
    body = json.dumps({
        "ref": "refs/heads/main", "after": commit, "before": "0" * 40, "deleted": False,
        "repository": {"full_name": "acme/forged", "pushed_at": int(time.time())},
        "sender": {"login": "mona"},
    }).encode()  # fmt: skip

    def send(secret: str) -> int:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={digest}",
                   "content-type": "application/json"}  # fmt: skip
        return int(
            urllib3.request("POST", connected["webhook_url"], body=body, headers=headers).status
        )

    assert send("another") == 401
    assert send(connected["secret"]) == 202
    assert send(connected["secret"]) == 409
    record = ended(lab, "forged", commit)

    assert record["status"] == "succeeded", record
    assert record["author"] == "github:mona"
    [status] = eventually(lambda: forge.statuses, "the status")
    assert (status["state"], status["path"]) == ("success", f"/repos/acme/forged/statuses/{commit}")
    listed = lab.steward("commits", "list", "forged")["commits"]
    assert [one["commit_id"] for one in listed] == [commit]
