"""A change that arrives as a commit: a repository, an edit, ``git push``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from steward.domain.names import package_group
from steward_cli.console import CommandError, Exit
from steward_cli.target import Target

_CONFIG = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def repository_of(target: Target, environment: str, project: str) -> str:
    """Make the CodeCommit repository that belongs to a project; return where it is cloned from."""
    made = target.client("codecommit").create_repository(
        repositoryName=package_group(environment, project)
    )
    return str(made["repositoryMetadata"]["cloneUrlHttp"])


def push_change(
    home: Path, folder: Path, remote: str, person: Target, name: str, edits: dict[str, str]
) -> str:
    """Commit a project as it is, then an edit of ``project.yaml``; push both; return the commit.

    Args:
        home: The project.
        folder: Where the clone is made.
        remote: Of the repository.
        person: Who pushes; CodeCommit's event names them.
        name: Theirs, for git.
        edits: Text of ``project.yaml`` by what it becomes.

    Raises:
        CommandError: There is no git, or it fails.
    """
    if shutil.which("git") is None:
        raise CommandError("git is not on PATH", Exit.NOT_FOUND, "install git, then run it again")
    shutil.copytree(home, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    key = person.session.get_credentials().access_key
    environment = {
        **{n: v for n, v in os.environ.items() if not n.startswith("GIT_")}, **_CONFIG,
        **{f"GIT_{who}_NAME": name for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": f"{name}@example.com" for who in ("AUTHOR", "COMMITTER")},
        "AWS_ACCESS_KEY_ID": key,
    }  # fmt: skip

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=folder, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise CommandError(f"git {words[0]} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    git("init", "-q", "--initial-branch=main")
    git("add", "-A")
    git("commit", "-qm", "The model as it is in production")
    declaration = folder / "project.yaml"
    text = declaration.read_text(encoding="utf-8")
    for old, new in edits.items():
        if text.count(old) != 1:
            raise CommandError(f"project.yaml does not hold {old!r} once")
        text = text.replace(old, new)
    declaration.write_text(text, encoding="utf-8")
    git("commit", "-qam", "Ask the laboratory for pending values")
    git("push", "-q", remote, "main")
    return git("rev-parse", "HEAD")
