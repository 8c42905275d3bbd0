"""The platform repository's own continuous integration, as far as no forge is needed to tell.

The structure is checked by hand: GitHub's and CodeBuild's schemas are not among our requirements.
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from support.linting import findings
from support.templates import ROOT, load

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
BUILDSPEC = ROOT / "ci" / "buildspec.yaml"
ROLES = ROOT / "ci" / "github-oidc.yaml"
_PINNED = re.compile(r"uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
_JOB_KEYS = {"needs", "if", "environment", "runs-on", "timeout-minutes", "permissions", "steps"}
_PHASES = {"install", "pre_build", "build", "post_build"}


def parsed(path: Any) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for true.
    found: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {"on" if key is True else str(key): value for key, value in found.items()}


def commands() -> list[str]:
    """Every command that the workflow and the buildspec run."""
    runs = [
        step["run"]
        for path in WORKFLOWS
        for job in parsed(path)["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    phases = parsed(BUILDSPEC)["phases"].values()
    return runs + [command for phase in phases for command in phase["commands"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_that_names_its_version(path: Any) -> None:
    text = path.read_text(encoding="utf-8")
    uses = [line.strip().removeprefix("- ") for line in text.splitlines() if "uses:" in line]

    assert uses
    assert [line for line in uses if not _PINNED.match(line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_what_github_asks_for_and_ends_in_time(path: Any) -> None:
    workflow = parsed(path)
    jobs = workflow["jobs"]

    assert {"name", "on", "permissions", "jobs"} <= set(workflow)
    for name, job in jobs.items():
        assert set(job) <= _JOB_KEYS, name
        assert job["timeout-minutes"] <= 60, name
        assert all(("run" in step) != ("uses" in step) for step in job["steps"]), name
        needed = job.get("needs", [])
        assert {needed} <= set(jobs) if isinstance(needed, str) else set(needed) <= set(jobs)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_only_jobs_of_an_environment_may_ask_for_a_token_and_no_key_is_kept(path: Any) -> None:
    workflow, text = parsed(path), path.read_text(encoding="utf-8")

    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text
    assert "pull_request_target" not in text
    for name, job in workflow["jobs"].items():
        asks = (job.get("permissions") or {}).get("id-token") == "write"
        assert asks == ("environment" in job), name


def test_what_is_deployed_to_prod_is_what_was_built_once() -> None:
    [path] = WORKFLOWS
    jobs = parsed(path)["jobs"]
    builders = [n for n, job in jobs.items() if "sam build" in str(job["steps"])]

    assert builders == ["build"]
    assert jobs["deploy-prod"]["needs"] == "deploy-dev"
    assert jobs["deploy-dev"]["steps"] == jobs["deploy-prod"]["steps"]


def test_the_buildspec_has_only_phases_that_codebuild_knows() -> None:
    spec = parsed(BUILDSPEC)

    assert spec["version"] == 0.2
    assert set(spec) <= {"version", "env", "phases", "artifacts", "cache", "reports"}
    assert set(spec["phases"]) <= _PHASES
    assert all(set(phase) <= {"runtime-versions", "commands"} for phase in spec["phases"].values())
    # CodeBuild runs post_build after a build that failed: nothing is deployed then.
    assert spec["phases"]["post_build"]["commands"][0] == 'test "$CODEBUILD_BUILD_SUCCEEDING" = 1'


def test_every_command_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for command in commands():
        words = command.split()
        if words[0] == "make":
            assert words[1] in targets, command
        elif "/" in words[0] and not words[0].startswith(".tools"):
            assert (ROOT / words[0]).is_file(), command
    subprocess.run(["sh", "-n", ROOT / "ci" / "deploy"], check=True)


def test_the_roles_pass_cfn_lint_and_trust_one_environment_of_one_repository() -> None:
    assert findings(ROLES.read_text(encoding="utf-8")) == []
    role = load(ROLES)["Resources"]["CallerRole"]["Properties"]
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    trusted = statement["Condition"]["StringEquals"]

    assert trusted["token.actions.githubusercontent.com:aud"] == "sts.amazonaws.com"
    subject = trusted["token.actions.githubusercontent.com:sub"]["Fn::Sub"]
    assert subject == "repo:${Repository}:environment:${GitHubEnvironment}"
    assert "*" not in subject
