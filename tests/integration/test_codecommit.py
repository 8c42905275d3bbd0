"""The embedded CodeCommit: git pushes, AWS's API and exceptions, and its event."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.adapters.repositories import CodeCommitRepositories
from steward.domain.errors import ArchiveRefusedError, CommitNotFoundError
from support.embedded import Account, eventually, unique

pytestmark = pytest.mark.integration


def git(folder: Path, *words: str, **variables: str) -> str:
    """Run git in a folder and return what it says."""
    person = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in (
        ("NAME", "Tess"), ("EMAIL", "tess@example.com"))}  # fmt: skip
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **person, **variables},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(account: Account, tmp_path: Path) -> tuple[str, Path]:
    """A repository in the embedded CodeCommit, and a clone with one commit not pushed."""
    name = unique("steward-local-code")
    client = account.client("codecommit")
    made = client.create_repository(repositoryName=name)["repositoryMetadata"]
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "remote", "add", "origin", made["cloneUrlHttp"])
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("x = 1\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return name, tmp_path


def test_a_push_is_told_as_codecommit_tells_it_and_read_by_commit_id(
    account: Account, repository: tuple[str, Path]
) -> None:
    name, clone = repository
    queue = account.client("sqs").create_queue(QueueName=unique("pushes"))["QueueUrl"]
    arn = account.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])[
        "Attributes"
    ]["QueueArn"]
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage", "Resource": arn,
    }]}  # fmt: skip
    account.client("sqs").set_queue_attributes(
        QueueUrl=queue, Attributes={"Policy": json.dumps(policy)}
    )
    rule = unique("rule")
    events = account.client("events")
    pattern = {"source": ["aws.codecommit"], "detail": {"repositoryName": [name]}}
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])

    def told() -> dict[str, Any]:
        def read() -> Any:
            return account.client("sqs").receive_message(QueueUrl=queue).get("Messages")

        [message] = eventually(read, what="the event")
        account.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return dict(json.loads(message["Body"]))

    git(clone, "push", "-q", "origin", "main")
    first = git(clone, "rev-parse", "HEAD")
    created = told()
    git(clone, "commit", "-q", "--allow-empty", "-m", "second")
    git(clone, "push", "-q", "origin", "main")
    updated = told()

    assert created["detail-type"] == "CodeCommit Repository State Change"
    assert created["resources"] == [f"arn:aws:codecommit:us-east-1:000000000000:{name}"]
    assert created["detail"].pop("repositoryId")
    assert created["detail"] == {
        "callerUserArn": "arn:aws:iam::000000000000:root", "event": "referenceCreated",
        "commitId": first, "referenceFullName": "refs/heads/main", "referenceName": "main",
        "referenceType": "branch", "repositoryName": name,
    }  # fmt: skip
    assert updated["detail"]["event"] == "referenceUpdated"
    assert updated["detail"]["oldCommitId"] == first
    found = CodeCommitRepositories(account.client("codecommit"))
    files = found.files(name, first)
    assert {path: (file.content, file.executable) for path, file in files.items()} == {
        "src/train.py": (b"x = 1\n", False), "run.sh": (b"#!/bin/sh\n", True),
    }  # fmt: skip
    assert found.head(name, "main") == updated["detail"]["commitId"]
    assert found.head(name, "nowhere") is None


def test_what_does_not_exist_and_links_are_refused(
    account: Account, repository: tuple[str, Path]
) -> None:
    name, clone = repository
    git(clone, "push", "-q", "origin", "main")
    found = CodeCommitRepositories(account.client("codecommit"))
    with pytest.raises(CommitNotFoundError):
        found.files(name, "0" * 40)
    with pytest.raises(CommitNotFoundError):
        found.files("nobody", "0" * 40)
    (clone / "link").symlink_to("/etc/passwd")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "a link")
    git(clone, "push", "-q", "origin", "main")
    with pytest.raises(ArchiveRefusedError, match="link is a link"):
        found.files(name, git(clone, "rev-parse", "HEAD"))


def test_a_comment_is_said_once_by_its_token(
    account: Account, repository: tuple[str, Path]
) -> None:
    name, clone = repository
    git(clone, "push", "-q", "origin", "main")
    head = git(clone, "rev-parse", "HEAD")
    client = account.client("codecommit")
    found = CodeCommitRepositories(client)
    found.comment(name, None, head, "integrated")
    found.comment(name, None, head, "integrated")

    told = client.get_comments_for_compared_commit(repositoryName=name, afterCommitId=head)
    said = [c["content"] for one in told["commentsForComparedCommitData"] for c in one["comments"]]
    assert said == ["integrated"]
    with pytest.raises(ClientError, match="IdempotencyParameterMismatch"):
        client.post_comment_for_compared_commit(
            repositoryName=name, afterCommitId=head, content="other",
            clientRequestToken=told["commentsForComparedCommitData"][0]["comments"][0][
                "clientRequestToken"
            ],
        )  # fmt: skip
