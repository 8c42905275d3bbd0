"""Rendering project templates, refusing answers, and updating what was rendered."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from steward.domain.project import Project
from steward_cli.app import app
from steward_cli.console import CommandError, Exit
from steward_cli.project_templates import check_answers, render, templates_of, update
from steward_cli.sources import pack, read_source
from support.rendered import ROOT, TEMPLATES, rendered

GIT = ("git", "-c", "user.name=Ana", "-c", "user.email=ana@example.org", "-c",
       "commit.gpgsign=false", "-c", "init.defaultBranch=main")  # fmt: skip


def git(folder: Path, *words: str) -> str:
    done = subprocess.run([*GIT, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with nothing but the templates, with a tag."""
    root = tmp_path / "steward"
    root.mkdir()
    shutil.copy(ROOT / "copier.yml", root)
    for name in ("templates", "shared"):
        shutil.copytree(ROOT / "projects" / name, root / "projects" / name, symlinks=True)
    shutil.copy(ROOT / "projects" / "pipeline.yaml", root / "projects")
    (root / "projects" / "diabetes").mkdir()
    shutil.copy(ROOT / "projects" / "diabetes" / "buildspec.yaml", root / "projects" / "diabetes")
    git(root, "init", "-q")
    commit(root, "first")
    git(root, "tag", "v1.0.0")
    return root


def test_every_folder_of_templates_is_one_and_tells_what_it_is() -> None:
    folders = sorted(p.name for p in (ROOT / "projects" / "templates").iterdir() if p.is_dir())
    assert [template.name for template in templates_of(ROOT)] == folders
    assert all(template.title and template.about.endswith(".") for template in templates_of(ROOT))
    assert folders == list(TEMPLATES)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_rendered_project_is_whole_and_valid(template: str) -> None:
    folder = rendered(template)
    project = read_source(folder).project
    written = yaml.safe_load((folder / "project.yaml").read_text(encoding="utf-8"))
    assert project.project == "churn"
    assert set(written) | {"feature_groups"} == set(Project.model_fields)
    wanted = {"README.md", "project.yaml", ".gitignore", ".copier-answers.yml",
              "tests/test_project.py", "features/README.md", "notebooks/runs.ipynb",
              "pipeline.yaml", "buildspec.yaml"}  # fmt: skip
    assert wanted <= {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    json.loads((folder / "notebooks" / "runs.ipynb").read_text(encoding="utf-8"))
    assert not [p for p in folder.rglob("*") if p.is_symlink() or "{" in p.name]
    assert "{%" not in (folder / "project.yaml").read_text() + (folder / "README.md").read_text()


def test_answers_go_into_the_declaration() -> None:
    folder = rendered(
        "tabular-classification", owner="risk: team", description='says "yes"', risk_tier="high"
    )
    declared = yaml.safe_load((folder / "project.yaml").read_text(encoding="utf-8"))
    assert (declared["owner"], declared["risk_tier"]) == ("risk: team", "high")
    assert declared["description"] == 'says "yes"'
    assert declared["split"]["salt"] == "churn"


def test_without_code_the_built_in_model_is_pushed_and_with_it_the_folder() -> None:
    low, own = (rendered("tabular-classification", training=t) for t in ("built-in", "script"))
    assert read_source(low).project.training.source is None
    assert not (low / "src").exists()
    assert read_source(own).project.training.source == "src"
    assert read_source(low).sha256 == read_source(rendered("tabular-classification")).sha256


def test_a_script_in_src_is_taken_without_being_named(tmp_path: Path) -> None:
    folder = shutil.copytree(rendered("tabular-classification"), tmp_path / "p")
    built_in = read_source(folder).sha256
    (folder / "src").mkdir()
    (folder / "src" / "train.py").write_text("")
    assert read_source(folder).archive == pack(folder / "src")
    assert read_source(folder).sha256 != built_in


def test_another_entry_point_needs_a_source(tmp_path: Path) -> None:
    folder = shutil.copytree(rendered("tabular-classification"), tmp_path / "p")
    path = folder / "project.yaml"
    other = "\ntraining:\n  entry_point: fit.py\n"
    path.write_text(path.read_text().replace("\ntraining:\n", other))
    with pytest.raises(CommandError, match=r"src/fit.py is missing") as refused:
        read_source(folder)
    assert "train.py, of the built-in model" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("template", "answers", "says", "allowed"),
    [
        ("tabular", {}, "'tabular' is none", "tabular-classification"),
        ("../x", {}, "'../x' is none", "tabular-classification"),
        ("tabular-classification", {"colour": "red"}, "asks no 'colour'", "risk_tier"),
        ("tabular-classification", {"risk_tier": "low"}, "risk_tier: 'low'", "minimal, limited"),
        ("tabular-classification", {"training": "yes"}, "training: 'yes'", "built-in, script"),
    ],
)
def test_an_answer_that_is_not_taken_is_named(
    template: str, answers: dict[str, str], says: str, allowed: str
) -> None:
    with pytest.raises(CommandError) as refused:
        check_answers(ROOT, template, answers)
    assert refused.value.code is Exit.USAGE
    assert says in refused.value.message
    assert allowed in str(refused.value.hint)


def test_what_copier_refuses_leaves_no_folder(checkout: Path, tmp_path: Path) -> None:
    goal = tmp_path / "churn"
    with pytest.raises(CommandError, match=r"owner.*1 to 100 characters"):
        render(checkout, "tabular-classification", "churn", goal, {"owner": " "})
    assert not goal.exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["churn", "--data", "training"], "allowed: KEY=VALUE"),
        (["churn", "--data", "owner=a", "--data", "owner=b"], "given twice"),
        (["churn", "--template", "nope"], "'nope' is none"),
        (["Churn_1"], "Churn_1"),
    ],
)
def test_the_command_refuses_with_a_reason(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(app, ["project", "new", *arguments])
    assert run.exit_code != 0
    told = f"{run.exception} {getattr(run.exception, 'hint', '')}"
    assert says in told
    assert not list(tmp_path.iterdir())


def test_templates_are_listed() -> None:
    run = CliRunner().invoke(app, ["project", "templates", "--json"])
    assert [found["name"] for found in json.loads(run.stdout)] == list(TEMPLATES)


def edited(folder: Path) -> Path:
    """A project under git with an edit of its owner."""
    git(folder, "init", "-q")
    commit(folder, "rendered")
    path = folder / "project.yaml"
    text = path.read_text().replace("tenure_months", "months")
    path.write_text(text.replace("roc_auc, min: 0.6", "roc_auc, min: 0.7"))
    (folder / "NOTES.md").write_text("ours\n")
    commit(folder, "our columns")
    return path


def change(root: Path, old: str, new: str, file: str = "projects/shared/release.yaml") -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    commit(root, "the templates change")


def test_an_update_brings_the_templates_change_and_keeps_the_edits(
    checkout: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "churn"
    render(checkout, "tabular-classification", "churn", folder, {"owner": "ana"})
    path = edited(folder)
    change(checkout, "bake_s: 300", "bake_s: 600")
    ignored = checkout / "projects" / "shared" / "gitignore"
    ignored.write_text(ignored.read_text() + "*.tmp\n")
    commit(checkout, "more is ignored")
    git(checkout, "tag", "v1.1.0")
    assert update(folder, {}) == []
    text = path.read_text()
    assert "bake_s: 600" in text
    assert "name: months" in text
    assert "roc_auc, min: 0.7" in text
    assert 'owner: "ana"' in text
    assert "*.tmp" in (folder / ".gitignore").read_text()
    assert (folder / "NOTES.md").read_text() == "ours\n"
    assert yaml.safe_load((folder / ".copier-answers.yml").read_text())["_commit"] == "v1.1.0"


def test_the_copier_command_itself_updates_to_a_tag(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    render(checkout, "tabular-classification", "churn", folder, {})
    path = edited(folder)
    change(checkout, "bake_s: 300", "bake_s: 600")
    git(checkout, "tag", "v1.1.0")
    done = subprocess.run(["copier", "update", "--defaults", "--quiet"], cwd=folder,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bake_s: 600" in path.read_text()
    assert "name: months" in path.read_text()


def test_lines_that_both_changed_are_told_and_marked(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    render(checkout, "tabular-classification", "churn", folder, {})
    path = edited(folder)
    change(checkout, "roc_auc, min: 0.6", "roc_auc, min: 0.65",
           "projects/templates/tabular-classification/repository/project.yaml.jinja")  # fmt: skip
    assert update(folder, {}) == ["project.yaml"]
    assert "min: 0.7" in path.read_text()
    assert "min: 0.65" in path.read_text()


def test_an_update_with_uncommitted_edits_is_refused_and_changes_nothing(
    checkout: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "churn"
    render(checkout, "tabular-classification", "churn", folder, {})
    path = edited(folder)
    change(checkout, "bake_s: 300", "bake_s: 600")
    path.write_text(path.read_text() + "# not committed\n")
    before = git(folder, "status", "--porcelain")
    with pytest.raises(CommandError, match="dirty"):
        update(folder, {})
    assert git(folder, "status", "--porcelain") == before


def test_an_update_may_change_an_answer(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    render(checkout, "tabular-classification", "churn", folder, {})
    path = edited(folder)
    assert update(folder, {"risk_tier": "high"}) == []
    assert "risk_tier: high" in path.read_text()
    with pytest.raises(CommandError, match="asks no 'tier'"):
        update(folder, {"tier": "high"})


def test_a_folder_that_was_not_rendered_cannot_be_updated(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"copier-answers.yml is missing"):
        update(tmp_path, {})


def test_what_is_rendered_beside_other_uncommitted_files_can_still_be_updated(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "scratch.txt").write_text("a person's own file")
    folder = tmp_path / "churn"
    render(checkout, "tabular-classification", "churn", folder, {})
    answers: dict[str, Any] = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    assert answers["_commit"] == "v1.0.0"
