"""The tutorial, as a new user plays it: every command that it shows, in order, on the stack."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from steward.ports import Table
from steward_cli.commands.project_remove import leftovers, retained
from steward_cli.target import credentials_file, write_profile
from support.account_inventory import Inventory, counted, inventory, left_behind
from support.laboratory_stack import Laboratory, eventually
from support.rendered import plain_templates

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NAME = "tumours"


def commands() -> list[str]:
    """The commands of the tutorial."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    return re.findall(r"(?m)^\$ (.*)$", text)


@pytest.mark.timeout(900)
def test_the_tutorial_is_true(
    lab: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = inventory(lab.target)
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
        if words[1:3] == ["project", "remove"]:
            person = _administrator(lab)
        plain = [word for word in words[1:] if word not in ("--profile", person)]
        answer = lab.steward(*plain, person=person)
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
    _is_recorded(lab, len(sent))
    assert leftovers(lab.target, NAME) == {}
    _is_all_listed(lab, before, answer["retained"])
    _is_forgotten(lab)
    # What was kept does not stand in the way of coming back, nor of going again.
    declaration = tmp_path / NAME / "project.yaml"
    text = declaration.read_text(encoding="utf-8").replace("batch: null\n", "")
    section = 'batch: {input: {prefix: daily}, schedule: "rate(1 minute)"}\n'
    declaration.write_text(text + section, encoding="utf-8")
    lab.steward("project", "add", NAME)
    assert set(leftovers(lab.target, NAME)) == {"schedules", "stacks", "declarations"}
    _is_fired(lab)
    kept = lab.steward("project", "remove", NAME, "--yes", person="amy")["retained"]
    assert kept["table versions"] >= 1
    assert kept[f"versions in steward-local-{NAME}"] == 1
    assert leftovers(lab.target, NAME) == {}


def _administrator(lab: Laboratory) -> str:
    """The profile of a person who has the administrator's policy and nothing else."""
    iam = lab.target.client("iam")
    iam.create_user(UserName="amy")
    policy = lab.target.output("AdministratorPolicyArn")
    iam.attach_user_policy(UserName="amy", PolicyArn=policy)
    key = iam.create_access_key(UserName="amy")["AccessKey"]
    write_profile(
        credentials_file(lab.choice.state_dir), "amy", key["AccessKeyId"], key["SecretAccessKey"]
    )
    return "amy"


def _is_all_listed(lab: Laboratory, before: Inventory, printed: dict[str, int]) -> None:
    """What the account holds more than before is what the command lists, to the last item.

    Recorders still write of the removal itself, so both are counted until they agree.
    """
    outputs = lab.target.outputs
    tables = {outputs[f"{table.title()}Table"]: str(table) for table in Table}
    tables[outputs["LedgerTable"]] = "ledger"
    differ: dict[str, tuple[int, int]] = {}
    listed: dict[str, int] = {}

    def agree() -> bool:
        left = left_behind(before, inventory(lab.target), NAME)
        there = counted(left, NAME, tables)
        listed.clear()
        listed.update(retained(lab.target, lab.state, NAME))
        differ.clear()
        differ.update(
            (place, (there.get(place, 0), listed.get(place, 0)))
            for place in there.keys() | listed.keys()
            if there.get(place) != listed.get(place)
        )
        return not differ

    with contextlib.suppress(AssertionError):
        eventually(agree, "the same count", within=60)
    assert differ == {}, f"places with (there, listed): {differ}"
    assert printed.keys() <= listed.keys()


def _is_recorded(lab: Laboratory, rows: int) -> None:
    """The tutorial's batch: record, event's traces in cost and lineage, no model left over."""
    [batch] = lab.state.batches(NAME)
    assert (batch["status"], batch["version"], batch["rows"]) == ("succeeded", 1, rows)
    manifest = json.loads(lab.read(batch["delivered"]["manifest_uri"]))
    content = lab.read(manifest["scores_uri"])
    assert manifest["scores_sha256"] == hashlib.sha256(content).hexdigest()
    costs = eventually(
        lambda: {c["kind"] for c in lab.state.costs(NAME) if c["run_id"] == batch["batch_id"]}
        >= {"transform_job", "execution"}, "the cost of job and execution", within=120,
    )  # fmt: skip
    assert costs
    node = f"predictions:{NAME}/v1/batch/{batch['batch_id']}"
    upstream = eventually(
        lambda: lab.state.store.query(Table.LINEAGE, node), "the batch's lineage", within=120
    )
    assert any(f"version:{NAME}/1" in str(item) for item in upstream)


def _is_forgotten(lab: Laboratory) -> None:
    """The delivery whose bytes were scored too is deleted, and nothing stored holds its rows."""
    [batch] = lab.state.batches(NAME)
    delivery = batch["input"][0]["sha256"]
    gone = lab.steward("data", "delete", NAME, delivery, "--reason", "request 3", "--yes")
    assert gone["batches"] == [batch["batch_id"]]
    held = {kind: gone["objects"][kind] for kind in ("batch_inputs", "batch_work", "scores")}
    assert held == {"batch_inputs": 1, "batch_work": 2, "scores": 2}
    s3, outputs = lab.target.client("s3"), lab.target.outputs
    for bucket, folder in (
        ("DataBucketName", f"batch-input/{NAME}/"), ("DataBucketName", f"scores/{NAME}/"),
        ("ArtifactsBucketName", f"batch/{NAME}/"),
    ):  # fmt: skip
        found = s3.list_object_versions(Bucket=outputs[bucket], Prefix=folder)
        assert found.get("Versions", []) == [], folder
    [batch] = lab.state.batches(NAME)
    assert batch["status"] == "deleted"
    node = f"predictions:{NAME}/v1/batch/{batch['batch_id']}"
    eventually(
        lambda: "BatchDeleted" in str(lab.state.store.query(Table.LINEAGE, node)),
        "the deletion in the lineage", within=120,
    )  # fmt: skip


def _is_fired(lab: Laboratory) -> None:
    """The schedule of the project's stack asks for a batch, and nothing is in production."""
    batch = eventually(
        lambda: [b for b in lab.state.batches(NAME) if b["trigger"]["kind"] == "schedule"],
        "a batch by schedule", within=120,
    )[0]  # fmt: skip
    assert (batch["status"], batch["error"]) == ("failed", "NoStableVersionError")


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
    elif words[1:3] == ["release", "show"]:
        eventually(lambda: lab.state.champion(NAME), "the first version in production")
