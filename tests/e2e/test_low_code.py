"""The tutorial, as a new user plays it: every command that it shows, in order, on the stack."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from steward_cli.commands.project_remove import leftovers
from support.laboratory_stack import Laboratory, eventually
from support.rendered import plain_templates

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NAME = "tumours"


def commands() -> list[str]:
    """The commands of the tutorial."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    return re.findall(r"(?m)^\$ (.*)$", text)


def test_the_tutorial_is_true(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("steward_cli.commands.project_new.repository_root", plain_templates)
    played = []
    for line in commands():
        words = shlex.split(line)
        if words[0] in ("make", "export") or words[:2] == ["steward", "up"]:
            continue  # The test's own stack stands for these.
        if words[0] in ("python", "pytest"):
            program = [sys.executable, *(["-m", "pytest"] if words[0] == "pytest" else [])]
            given = [str(ROOT / w) if w.startswith("docs/") else w for w in words[1:]]
            done = subprocess.run([*program, *given], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            continue
        assert words[0] == "steward"
        _wait_before(lab, words)
        person = words[words.index("--profile") + 1] if "--profile" in words else None
        plain = [word for word in words[1:] if word not in ("--profile", person)]
        lab.steward(*plain, person=person)
        played.append(" ".join(plain[:2]))
    assert played[:4] == ["project new", "project check", "project add", "data put"]
    assert played[-1] == "project remove"
    item = lab.state.versions(NAME)[0]
    evaluation = json.loads(lab.read(item["evaluation_uri"]))
    brier = next(m["value"] for m in evaluation["metrics"] if m["metric"] == "brier")
    assert brier < 0.1
    scores, sent = rows_of(tmp_path / "scores.csv"), rows_of(tmp_path / "tumours.csv")
    assert [row["id"] for row in scores] == [row["sample"] for row in sent]
    right = sum(
        (float(score["prediction"]) > 0.5) == (row["malignant"] == "true")
        for score, row in zip(scores, sent, strict=True)
    )
    assert right > 0.9 * len(sent)
    assert leftovers(lab.target, NAME) == {}
    # What was kept does not stand in the way of coming back, nor of going again.
    lab.steward("project", "add", NAME)
    assert list(leftovers(lab.target, NAME)) == ["stacks", "declarations"]
    kept = lab.steward("project", "remove", NAME, "--yes")["retained"]
    assert kept["table versions"] >= 1
    assert kept[f"versions in steward-local-{NAME}"] == 1
    assert leftovers(lab.target, NAME) == {}


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _wait_before(lab: Laboratory, words: list[str]) -> None:
    """Wait for what a person would wait for before the next command."""
    if "approve" in words:
        lab.version(NAME, 1, "pending")
    elif words[1:3] == ["project", "remove"]:
        ended = {"completed", "failed", "rolled_back"}
        eventually(
            lambda: {release["status"] for release in lab.state.releases(NAME)} <= ended,
            "the end of the release",
        )  # fmt: skip
    elif words[1:3] == ["project", "show"]:
        eventually(lambda: lab.state.champion(NAME), "the first version in production")
