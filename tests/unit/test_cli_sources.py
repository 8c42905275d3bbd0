"""Reading and packing a project folder."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import yaml

from steward_cli.console import CommandError, Exit
from steward_cli.sources import pack, read_source
from support.training_scene import declaration

PROJECTS = Path(__file__).resolve().parents[2] / "projects"


def test_packing_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        (folder / "inner").mkdir(parents=True)
        (folder / "train.py").write_text("x = 1\n")
        (folder / "inner" / "more.py").write_text("y = 2\n")
    os.utime(second / "train.py", (1, 1))
    assert pack(first) == pack(second)
    (second / "train.py").write_text("x = 2\n")
    assert pack(first) != pack(second)


def test_caches_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "train.pyc").write_bytes(b"x")
    (tmp_path / "train.py").write_text("")
    with tarfile.open(fileobj=io.BytesIO(pack(tmp_path))) as tar:
        assert tar.getnames() == ["train.py"]


def test_a_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "weights.bin").open("wb") as stream:
        stream.truncate(60 * 1024 * 1024)
    with pytest.raises(CommandError, match="more than 50 MiB"):
        pack(tmp_path)


def test_the_demo_project_is_read() -> None:
    found = read_source(PROJECTS / "diabetes")
    assert found.project.project == "diabetes"
    other = read_source(PROJECTS / "diabetes", PROJECTS / "diabetes" / "src_v3")
    assert other.project.digest == found.project.digest
    assert other.sha256 != found.sha256


def test_a_missing_declaration_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError) as refused:
        read_source(tmp_path)
    assert refused.value.code == Exit.NOT_FOUND
    assert "project.yaml is missing" in refused.value.message


def test_broken_yaml_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "project.yaml").write_text("project: x\ndata: [1,\n")
    with pytest.raises(CommandError, match=r"project.yaml:3:1"):
        read_source(tmp_path)


def test_an_invalid_declaration_names_path_and_what_is_allowed(tmp_path: Path) -> None:
    text = (PROJECTS / "diabetes" / "project.yaml").read_text(encoding="utf-8")
    (tmp_path / "project.yaml").write_text(text + "\nretraining: {}\n")
    with pytest.raises(CommandError, match="retraining: unknown key"):
        read_source(tmp_path)


def test_a_missing_entry_point_is_named(tmp_path: Path) -> None:
    declared = yaml.safe_dump(declaration(training={"source": "src"}))
    (tmp_path / "project.yaml").write_text(declared)
    with pytest.raises(CommandError, match=r"train.py is missing"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"rules": [{"name": "r", "expression": "lower(age) > 3"}]}, "data.rules[0].expression"),
        ({"rules": [{"name": "r", "expression": "age > (SELECT 1)"}]}, "rules[0].expression"),
        ({"sources": {"labs": {"columns": [
            {"name": "id", "type": "string", "pattern": "(?=x)"},
            {"name": "x", "type": "float"},
        ]}}}, "data.sources.labs.columns[0].pattern"),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_fit_is_refused_with_its_path(
    tmp_path: Path, changed: dict[str, object], path: str
) -> None:
    declared = declaration()
    declared["data"] |= changed
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(declared))
    with pytest.raises(CommandError) as refused:
        read_source(tmp_path)
    assert path in f"{refused.value.message} {refused.value.hint}"


def test_a_release_that_could_not_be_judged_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("")
    told = {
        **declaration(),
        "release": {"guardrails": {"prediction_margin": 0.05}, "bake_s": 600},
    }
    (tmp_path / "project.yaml").write_text(yaml.safe_dump(told))
    with pytest.raises(CommandError, match="canary-1-10 lasts 600 s") as refused:
        read_source(tmp_path)
    assert refused.value.code is Exit.USAGE
    assert refused.value.refusal["field"] == "release.bake_s"
    assert "allowed: at least 4020 s" in str(refused.value.hint)
