"""Bare git repositories, read with git itself."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CLEAN = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C.UTF-8"}
PUSHES = "steward-pushes"
"""Folder of a repository in which its hook leaves what was pushed, a file a push."""

# Written first and renamed, so that nobody reads half of it. The key names the pusher.
_HOOK = f"""#!/bin/sh
folder="$GIT_DIR/{PUSHES}"
draft="$folder/.$$"
{{ echo "$AWS_ACCESS_KEY_ID"; cat; }} > "$draft"
mv "$draft" "$folder/$(date +%s%N)-$$"
"""


@dataclass(frozen=True)
class Entry:
    """One entry of a tree; ``kind`` is blob, tree or commit (a submodule)."""

    mode: str
    kind: str
    digest: str
    name: str


@dataclass(frozen=True)
class Commit:
    """A commit, as its object has it."""

    commit_id: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]
    committer: tuple[str, str, str]
    message: str


class Repository:
    """A bare repository in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> Repository:
        """Make an empty repository whose hook tells of pushes."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run("git", "init", "--quiet", "--bare", "--initial-branch=main", str(folder))
        (folder / PUSHES).mkdir()
        hook = folder / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK, encoding="utf-8")
        hook.chmod(0o755)
        return cls(folder)

    def git(self, *words: str) -> bytes | None:
        """Return what a command of git says, None where it fails."""
        return _run("git", f"--git-dir={self.folder}", *words)

    def branches(self) -> dict[str, str]:
        """Return the commit of each branch."""
        said = self.git("for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads")
        lines = (said or b"").decode().splitlines()
        return {name: digest for digest, _, name in (line.partition(" ") for line in lines)}

    def resolve(self, specifier: str) -> str | None:
        """Return the commit that an id, branch or HEAD names."""
        if specifier.startswith("-"):
            return None
        said = self.git("rev-parse", "--verify", "--quiet", f"{specifier}^{{commit}}")
        return said.decode().strip() if said else None

    def commit(self, commit_id: str) -> Commit | None:
        """Return a commit by its full id."""
        form = "%H%n%T%n%P%n%an%n%ae%n%ad%n%cn%n%ce%n%cd%n%B"
        said = self.git("show", "-s", "--date=raw", f"--format={form}", f"{commit_id}^{{commit}}")
        if said is None:
            return None
        lines = said.decode(errors="replace").split("\n", 9)
        return Commit(
            lines[0], lines[1], tuple(lines[2].split()),
            (lines[3], lines[4], lines[5]), (lines[6], lines[7], lines[8]),
            lines[9].removesuffix("\n"),
        )  # fmt: skip

    def tree(self, commit_id: str, path: str) -> tuple[str, list[Entry]] | None:
        """Return digest and entries of a folder, None where there is none."""
        at = f"{commit_id}:{path}" if path else f"{commit_id}^{{tree}}"
        digest = self.git("rev-parse", "--verify", "--quiet", at)
        if digest is None:
            return None
        said = self.git("ls-tree", "-z", digest.decode().strip())
        if said is None:
            return None
        entries = []
        for line in filter(None, said.decode(errors="surrogateescape").split("\0")):
            head, _, name = line.partition("\t")
            mode, kind, found = head.split()
            entries.append(Entry(mode, kind, found, name))
        return digest.decode().strip(), entries

    def blob(self, digest: str) -> bytes | None:
        """Return the content of a blob."""
        return self.git("cat-file", "blob", digest)


def _run(*words: str) -> bytes | None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(words, env={**kept, **_CLEAN}, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None
