"""The project folders: valid declarations, code that passes its own tests and plays in the jobs."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from steward.domain.project import Project
from support.job_container import (
    DIABETES,
    ROOT,
    TABULAR,
    Container,
    job_document,
    load_project,
    part,
    serving,
    trained,
)
from support.rendered import TEMPLATES, rendered


def _customers(n: int) -> list[dict[str, Any]]:
    generator = random.Random(7)
    rows = []
    for number in range(n):
        calls = generator.choice([None, 0, 1, 2, 5, 8])
        plan = generator.choice(["basic", "plus", "premium"])
        leaves = generator.random() < 0.15 + 0.08 * (calls or 0) + 0.1 * (plan == "basic")
        rows.append(
            {
                "customer_id": f"c{number:04d}",
                "tenure_months": generator.randint(0, 90),
                "monthly_fee": round(generator.uniform(5, 60), 2),
                "support_calls": calls,
                "plan": plan,
                "autopay": "true" if generator.random() < 0.5 else "false",
                "left": "true" if leaves else "false",
            }
        )
    return rows


@pytest.mark.parametrize("folder", [TABULAR, DIABETES], ids=["tabular", "diabetes"])
def test_a_template_is_valid_and_shows_every_section(folder: Path) -> None:
    project = load_project(folder)
    written = yaml.safe_load((folder / "project.yaml").read_text(encoding="utf-8"))
    assert set(written) | {"feature_groups"} == set(Project.model_fields)
    assert project.project == written["project"]


OWN_TESTS = {
    "diabetes": DIABETES,
    "tabular-classification-script": TABULAR,
    **{template: rendered(template) for template in TEMPLATES},
}


@pytest.mark.parametrize("folder", OWN_TESTS.values(), ids=OWN_TESTS)
def test_a_projects_own_tests_pass(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_third_versions_training_is_that_of_the_first() -> None:
    first, third = (DIABETES / name / "train.py" for name in ("src", "src_v3"))
    assert first.read_bytes() == third.read_bytes()


def test_the_tabular_template_plays_train_evaluate_and_serve(tmp_path: Path) -> None:
    project = load_project(TABULAR)
    job = job_document(project)
    rows = _customers(900)
    model = trained(tmp_path / "train", TABULAR / "src", part(rows, project, "train"), job)
    container = Container(tmp_path / "evaluate")
    container.prepare_evaluation(model, part(rows, project, "heldout"), job, champion=model)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    report = container.output("evaluation.json")
    values = {metric["metric"]: metric["value"] for metric in report["metrics"]}
    assert values["roc_auc"] > 0.6
    assert report["champion"]["status"] == "evaluated"
    row = {"tenure_months": 3, "monthly_fee": 9.5, "support_calls": None, "plan": "basic",
           "autopay": True}  # fmt: skip
    with serving(tmp_path / "serve", model) as running:
        answer = running.ask({"instances": [row]})
        assert answer.status == 200, answer.body
        assert set(answer.json["predictions"][0]) == {"probability", "label"}
        refused = running.ask({"instances": [row | {"plan": "gold"}]}).json["error"]
    assert refused["field"] == "plan"
    assert refused["allowed"] == 'a string among "basic", "plus", "premium"'


def test_no_project_file_names_a_path_of_one_machine() -> None:
    for path in (ROOT / "projects").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert "/home/" not in path.read_text(encoding="utf-8")
