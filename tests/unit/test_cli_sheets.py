"""One record on the screen: short, the important first, in full where that is asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from steward.domain.project import parse_project
from steward_cli.batch_text import print_batch
from steward_cli.commands import batch, commits, project, release, report, runs, versions
from steward_cli.commit_text import print_commit
from steward_cli.console import CommandError, table
from steward_cli.project_text import print_project
from steward_cli.release_text import print_now, print_release
from steward_cli.sheet import dollars, listed, short, took
from steward_cli.version_text import print_version
from support.command_line import Done, steward
from support.training_scene import declaration

D = "acf0f04952b60d632422b99e8982dfe8adb8848588ae7eaca07f01ecf8701eed"
BUCKET = "s3://steward-dev-artifacts/evaluations/diabetes"
VERSION: dict[str, Any] = {
    "project": "diabetes", "version": 2, "state": "pending", "run_id": "ac6c-1",
    "author": "000000000000/theo", "created_at": "2026-11-30T04:49:43.324+00:00",
    "expires_at": "2026-12-14T04:49:43+00:00", "tags": {"ward": "12", "checked": ""},
    "evidence_digest": D, "code_digest": D, "config_digest": D, "dataset_id": "cb33a010d68b4528",
    "job_image": f"local/steward-jobs@sha256:{D}", "evaluation_uri": f"{BUCKET}/evaluation.json",
    "bias": {"uri": f"{BUCKET}/bias.json", "digest": D}, "quorum": 2,
    "approvals": [{"identity": "000000000000/ana", "decision": "approve", "comment": "read it",
                   "at": "2026-11-30T05:00:00.121+00:00"}],
    "policy": {"name": "platform", "tier": "limited", "requirements": {"quorum": 1}},
    "gate": {"verdict": "pass", "rules": [
        {"rule": "gate.brier", "verdict": "pass", "effect": "pass", "message": "keeps its bound"},
        {"rule": "bias.sex", "verdict": "inconclusive", "effect": "quorum", "message": "58 rows"},
    ]},
    "summary": {
        "rows": 119, "confidence": 0.95, "champion_version": 1,
        "metrics": [{"metric": "brier", "value": 0.20468250124, "lower": 0.1632, "upper": 0.25}],
        "champion_metrics": [{"metric": "brier", "value": None, "undefined_because": "no rows"}],
        "comparison": {"verdict": "pass", "loss": "brier", "difference": -0.00397045,
                       "lower": -0.0085, "upper": 0.0006, "margin": 0.02},
        "staging": {"passed": 19, "checks": 19, "latency_ms_p95": 6.37},
    },
}  # fmt: skip
RELEASES: list[dict[str, Any]] = [
    {
        "project": "diabetes", "release_id": f"0000000{version}-{attempt}", "version": version,
        "status": status, "strategy": "canary", "stable_version": 1, "step_id": "canary-1-10",
        "started_at": "2026-11-30T04:00:00+00:00", "ended_at": "2026-11-30T07:30:00+00:00",
        "plan": {"steps": [{"share": 10.0, "bake_s": 60}]}, "evidence_digest": D,
        "approvers": ["000000000000/ana"], "cause": "alarm x", "restored_version": 1,
        "shifts": [{"at": "2026-11-30T04:00:01+00:00", "step_id": "canary-1-10",
                    "shares": {"2": 10.0, "1": 90.0}}],
        "verdicts": [{"at": "2026-11-30T04:01:00+00:00", "step_id": "canary-1-10",
                      "verdict": "continue", "reason": "no harm proved", "digest": D}],
    }
    for version, attempt, status in ((1, 1, "completed"), (2, 1, "failed"), (2, 2, "rolled_back"))
]  # fmt: skip
BATCH: dict[str, Any] = {
    "project": "diabetes", "batch_id": "863b2770e3c4-1", "status": "succeeded", "version": 2,
    "rows": 30, "refused_rows": 1, "dollars": 0.000021, "started_at": "2026-11-30T05:10:46+00:00",
    "ended_at": "2026-11-30T05:11:46+00:00", "batch_arn": None,
    "trigger": {"kind": "request", "actor": "000000000000/theo", "cause": "asked for"},
    "input": [{"bucket": "data", "key": "batch-input/x/april.csv", "size": 12540, "sha256": D}],
    "delivered": {"scores_uri": "s3://data/scores/scores.csv", "least": 0.1234567, "most": 0.9,
                  "mean": 0.5, "drift": None, "scores_sha256": D, "refused_uri": None,
                  "delivered_at": "2026-11-30T05:11:45+00:00", "expires_after_days": 30},
}  # fmt: skip
COMMIT: dict[str, Any] = {
    "project": "diabetes", "run_id": f"commit#{D}#1", "commit_id": D[:40], "status": "failed",
    "attempt": 1, "branch": "main", "repository": "churn", "author": "github:theo", "error": "X",
    "step": "RehearseModel", "code_digest": D, "integration_arn": None,
    "started_at": "2026-11-30T04:50:08+00:00", "ended_at": "2026-11-30T04:50:18+00:00",
    "tests": {"summary": "3 tests passed", "passed": True, "failed": []},
    "rehearsal": {"summary": "2 of 9 requests broke the contract: a", "failed": ["a", "case beta"]},
}  # fmt: skip
ROUTE = {"arms": [{"version": 2, "share": 100.0}], "previous": {"version": 1}}


def printed(render: Callable[[Console], None], width: int = 160) -> str:
    stream = io.StringIO()
    render(Console(file=stream, width=width))
    return stream.getvalue()


def test_a_version_shows_its_state_first_and_figures_with_their_limits() -> None:
    text = printed(lambda console: print_version(console, VERSION, ["challenger"], None, []))

    assert text.splitlines()[0] == "diabetes 2: pending"
    assert "brier                 0.2047 (0.1632 to 0.2500)  no rows" in text
    assert "brier differs by -0.0040 (-0.0085 to +0.0006), margin 0.02" in text
    assert 'ana approved 2026-11-30 05:00:00: "read it"' in text
    assert "pass, 1 of 2 rules pass" in text
    assert "bias.sex    inconclusive  quorum  58 rows" in text
    assert "gate.brier" not in text  # what passed is counted
    assert "ward=12, checked" in text
    assert "steward report open diabetes 2 NAME" in text
    assert "steward --profile NAME approve diabetes 2" in text
    assert D not in text
    assert D[:12] in text


def test_a_version_whose_metrics_have_no_interval_says_why_once() -> None:
    why = "28 days judge in blocks of 28"
    metrics = [
        {"metric": name, "value": 1.64, "lower": None, "upper": None, "undefined_because": why}
        for name in ("rmse", "mae")
    ]
    version = {**VERSION, "summary": {**VERSION["summary"], "metrics": metrics}}
    text = printed(lambda console: print_version(console, version, [], None, []))
    assert "rmse                  1.6400 (no interval)" in text
    assert text.count(f"no interval: {why}") == 1


def test_a_version_of_which_little_is_known_is_shown_too() -> None:
    bare = {"project": "diabetes", "version": 1, "state": "registered",
            "imported": {"import_digest": D, "unproven": ["dataset"]}}  # fmt: skip

    text = printed(lambda console: print_version(console, bare, [], 12.5, []))

    assert text.splitlines()[0] == "diabetes 1: registered, 12.5 % of requests"
    assert f"import {D[:12]}" in text
    assert "unproven" in text


def test_a_release_shows_what_happened_and_why() -> None:
    text = printed(lambda console: print_release(console, RELEASES[2]))

    assert printed(lambda console: print_now(console, ROUTE)) == "now: v2 100 %\n"
    assert "release 00000002-2 of version 2: rolled_back, took 3 h 30 min" in text
    assert "canary: 10 % for 60 s" in text
    assert "because     alarm x" in text
    assert "v2 10 %, v1 90 %" in text
    assert "continue  no harm proved" in text
    assert "steward experiment show diabetes/00000002-2" in text


def test_a_batch_shows_its_scores_and_its_cost() -> None:
    text = printed(lambda console: print_batch(console, BATCH, None))

    assert text.splitlines()[0] == "diabetes batch 863b2770e3c4-1: succeeded, took 60.0 s"
    assert "30 scored, 1 refused" in text
    assert "0.1235 to 0.9, mean 0.5" in text
    assert "under $0.0001" in text
    assert "12,540" in text
    assert D not in text


def test_a_batch_that_failed_shows_where_and_only_the_beginning_of_a_long_cause() -> None:
    failed = {**BATCH, "status": "failed", "delivered": None, "failed_state": "CreateModel",
              "error": "AccessDenied", "cause": "x" * 5000}  # fmt: skip

    text = printed(lambda console: print_batch(console, failed, "https://console/x"), 10_000)

    assert "CreateModel" in text
    assert "x" * 601 not in text
    assert "https://console/x" in text


def test_a_commit_shows_what_its_jobs_found_each_once() -> None:
    text = printed(lambda console: print_commit(console, COMMIT, None))

    assert text.splitlines()[0] == "diabetes commit acf0f04952b6: failed, took 10.0 s"
    assert "3 tests passed" in text
    assert "broke the contract: a\n" in text
    assert [line.strip() for line in text.splitlines()].count("case beta") == 1
    assert "failed in  RehearseModel" in text


def test_a_project_shows_what_it_predicts_from_what() -> None:
    config = parse_project(declaration(budget={"per_run_usd": 0.05})).model_dump(mode="json")
    item = {"project": "diabetes", "config": config, "route": ROUTE, "code_digest": D,
            "config_digest": D, "author": "000000000000/theo"}  # fmt: skip
    label = config["data"]["label"]["name"]

    text = printed(lambda console: print_project(console, item, [VERSION, VERSION]))

    assert text.splitlines()[0] == "diabetes: active, version 2 100 % of requests"
    assert f"{label} of each {config['data']['entity_id']}" in text
    assert "$0.05 a run" in text
    assert "2 pending" in text
    assert "version 1: steward rollback diabetes" in text
    assert len(text.splitlines()) < 40
    fresh = printed(lambda console: print_project(console, {**item, "route": None}, []))
    assert fresh.splitlines()[0] == "diabetes: nothing answers yet"


class State:
    """The records above."""

    def __init__(self, _target: object = None) -> None:
        pass

    def project(self, name: str) -> dict[str, Any]:
        return {"project": name, "config": parse_project(declaration()).model_dump(mode="json")}

    def version(self, _project: str, number: int) -> dict[str, Any]:
        return {**VERSION, "version": number}

    def versions(self, _project: str) -> list[dict[str, Any]]:
        return [VERSION]

    def releases(self, _project: str) -> list[dict[str, Any]]:
        return RELEASES

    def batches(self, _project: str) -> list[dict[str, Any]]:
        return [BATCH]

    def integrations(self, _project: str) -> list[dict[str, Any]]:
        return [COMMIT]

    def runs(self, _project: str) -> list[dict[str, Any]]:
        return [{"project": "diabetes", "run_id": "ac6c-1", "status": "succeeded",
                 "code_digest": D, "dollars": 0.001685357}]  # fmt: skip

    def dollars_by_run(self, _project: str) -> dict[str, float]:
        return {}

    def aliases(self, _project: str) -> dict[str, int]:
        return {}

    def champion(self, _project: str) -> int:
        return 2

    def route(self, _project: str) -> dict[str, Any]:
        return ROUTE


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    target = type("T", (), {"console_url": lambda _self, path: None, "engine": None})()
    for module in (batch, commits, project, release, report, runs, versions):
        monkeypatch.setattr(module, "choose", lambda _choice: target)
        monkeypatch.setattr(module, "StackState", State)
    return steward


@pytest.mark.parametrize(
    "words",
    ["versions show diabetes 2", "runs show diabetes ac6c-1", "release show diabetes",
     "batch show diabetes 863b2770e3c4-1", "commits show diabetes acf0", "project show diabetes"],
)  # fmt: skip
def test_a_record_is_short_whole_with_full_and_plain_when_piped(
    ask: Callable[..., Done], words: str
) -> None:
    brief, full = ask(*words.split()), ask(*words.split(), "--full")

    assert brief.exit_code == full.exit_code == 0, brief.stderr + full.stderr
    assert D not in brief.stdout
    assert "--full" in brief.stdout
    if not words.startswith("project"):
        assert D in full.stdout
    for line in [*brief.stdout.splitlines(), *full.stdout.splitlines()]:
        assert line == line.rstrip()
        assert "\x1b" not in line
    assert json.loads(ask(*words.split(), "--json").stdout)


@pytest.mark.parametrize(
    ("words", "shown"),
    [(["diabetes"], "00000002-2"), (["diabetes", "1"], "00000001-1"),
     (["diabetes", "2"], "00000002-2"), (["diabetes", "00000002-1"], "00000002-1"),
     (["diabetes/00000001-1"], "00000001-1")],
)  # fmt: skip
def test_a_release_is_named_by_its_version_or_its_id(
    ask: Callable[..., Done], words: list[str], shown: str
) -> None:
    assert json.loads(ask("release", "show", *words, "--json").stdout)["release"][
        "release_id"
    ] == shown  # fmt: skip


def test_a_release_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(CommandError, match="no release of version 9") as refused:
        release.chosen(RELEASES, "diabetes", "9")
    assert refused.value.hint == "known: 00000001-1, 00000002-1, 00000002-2"
    assert release.chosen([], "diabetes", "") is None


def test_a_report_is_named_by_its_version(ask: Callable[..., Done]) -> None:
    found = report._of_version(None, "diabetes", 2, "bias")  # type: ignore[arg-type]
    assert found == f"{BUCKET}/bias.json"
    missing = ask("report", "open", "diabetes", "2", "card")
    assert (missing.exit_code, "allowed: evaluation, bias" in missing.stderr) == (3, True)
    assert ask("report", "open", "diabetes", "2", "nothing").exit_code == 2
    assert ask("report", "open", "diabetes").exit_code == 2


def test_figures_and_lists_are_short() -> None:
    assert [dollars(value) for value in (None, 0, 0.00001, 1.23456)] == [
        "", "$0.0000", "under $0.0001", "$1.2346",
    ]  # fmt: skip
    assert took("2026-11-30T04:50:29.738+00:00", "2026-11-30T04:53:29.201+0000") == "2 min 59 s"
    assert took("2026-11-30T04:50:29+00:00", None) == ""
    assert short(f"repository/jobs@sha256:{D}") == D[:12]
    assert listed(list("abc"), 2) == "a, b and 1 more"


def test_no_line_of_a_table_ends_with_blanks() -> None:
    made = table(("a", "b"), [("x", "long enough"), ("long", ""), ("2026-01-05T09:00:00Z", "y")])
    assert printed(lambda console: console.print(made)).splitlines() == [
        "a                    b", "x                    long enough", "long",
        "2026-01-05 09:00:00  y",
    ]  # fmt: skip
