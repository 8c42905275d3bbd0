"""Where a pipeline's commits come from, as a person names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from steward_cli.console import CommandError
from steward_cli.pipeline_stack import PipelineSource, approval_minutes, parse_source

ROOT = Path(__file__).resolve().parents[2]

CONNECTION = "arn:aws:codeconnections:us-east-1:000000000000:connection/aEXAMPLE-8aad"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("codecommit:credit", PipelineSource("codecommit", "credit")),
        ("codecommit:credit@release/1", PipelineSource("codecommit", "credit", "release/1")),
        (
            f"connection:{CONNECTION}:acme/credit@main",
            PipelineSource("connection", "acme/credit", connection=CONNECTION),
        ),
        (
            "s3:sources/credit/main.zip",
            PipelineSource(
                "s3", "sources/credit/main.zip", bucket="sources", key="credit/main.zip"
            ),
        ),
    ],
)
def test_a_source_is_a_repository_a_connection_or_an_object(
    text: str, source: PipelineSource
) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    "text", ["", "credit", "git:acme/credit", "connection:acme/credit", "s3:bucket", "codecommit:"]
)
def test_anything_else_says_what_is_allowed(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        parse_source(text)
    assert "codecommit:REPOSITORY" in str(refused.value.hint)


def test_the_action_outlives_the_approval_within_codepipelines_bounds() -> None:
    assert approval_minutes(604_800) == 8 * 24 * 60
    assert approval_minutes(10_000_000) == 86_400


REPOSITORIES = sorted((ROOT / "projects" / "templates").glob("*/repository"))


@pytest.mark.parametrize("folder", REPOSITORIES, ids=lambda folder: str(folder.parent.name))
def test_every_project_template_carries_the_pipeline_and_what_its_build_does(folder: Path) -> None:
    """A copy is what a rendered project gets; here they are one file each."""
    assert (folder / "pipeline.yaml").resolve() == ROOT / "projects" / "pipeline.yaml"
    assert (folder / "buildspec.yaml").resolve() == ROOT / "projects" / "shared" / "buildspec.yaml"


@pytest.mark.parametrize("path", ["shared/buildspec.yaml", "diabetes/buildspec.yaml"])
def test_a_buildspec_lints_tests_and_packages_everything(path: str) -> None:
    spec = yaml.safe_load((ROOT / "projects" / path).read_text(encoding="utf-8"))
    commands = " ".join(c for phase in spec["phases"].values() for c in phase["commands"])
    assert "ruff check" in commands
    assert "pytest" in commands
    assert spec["artifacts"]["files"] == ["**/*"]
