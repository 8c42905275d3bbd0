"""``bias.json`` as the jobs write it, and what the model sees of protected attributes."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from steward.domain.bias.evidence import BiasEvidence
from steward.domain.datasets import job_description
from steward.domain.project import parse_project
from support.job_container import TABULAR, Container, trained

DECLARED: dict[str, Any] = {
    "project": "loans",
    "owner": "bank",
    "data": {
        "entity_id": "id",
        "label": {"name": "paid", "positive": True},
        "columns": [
            {"name": "id", "type": "string"},
            {"name": "sex", "type": "string", "nullable": True},
            {"name": "income", "type": "float"},
            {"name": "town", "type": "string"},
            {"name": "paid", "type": "boolean"},
        ],
    },
    "bias": {
        "attributes": [{"column": "sex", "facets": [{"values": ["f"]}], "feature": False}],
        "metrics": [{"metric": "DI", "min": 0.8, "max": 1.25}],
    },
}
JOB = job_description(parse_project(DECLARED), "run-1")


def people(n: int, seed: int, *, poorer: float) -> list[dict[str, Any]]:
    """Rows whose label depends on income alone; women earn less by ``poorer``."""
    draw = random.Random(seed)
    rows = []
    for number in range(n):
        sex = draw.choice("fm")
        income = round(draw.gauss(0, 1) - (poorer if sex == "f" else 0), 4)
        rows.append({
            "id": f"p{seed}-{number}", "sex": sex, "income": income, "town": draw.choice("xyz"),
            "paid": "true" if draw.gauss(income, 0.3) > 0 else "false",
        })  # fmt: skip
    return rows


def evaluated(folder: Path, poorer: float, job: dict[str, Any] = JOB) -> BiasEvidence:
    rows = people(1500, 1, poorer=poorer)
    model = trained(folder / "train", TABULAR / "src", rows, job)
    container = Container(folder / "evaluate")
    container.prepare_evaluation(model, people(1200, 2, poorer=poorer), job, train=rows)
    done = container.run("evaluate")
    assert done.returncode == 0, done.stderr
    assert "bias.json" in container.output("manifest.json")["files"]
    return BiasEvidence.model_validate(container.output("bias.json"))


def test_a_model_that_learnt_a_proxy_is_held_and_a_fair_one_passes(tmp_path: Path) -> None:
    unfair = evaluated(tmp_path / "unfair", 1.0)
    fair = evaluated(tmp_path / "fair", 0.0)
    assert (unfair.verdict, fair.verdict) == ("hold", "pass")
    assert unfair.facets[0].training.rows_a + unfair.facets[0].training.rows_d == 1500
    assert sum(one.rows for one in unfair.groups[0].groups) == 1200
    assert "p2-1" not in unfair.model_dump_json()


def test_the_training_script_gets_no_withheld_column_and_finds_it_nowhere(tmp_path: Path) -> None:
    script = (
        "import csv, os, pathlib, json\n"
        "train = pathlib.Path(os.environ['SM_CHANNEL_TRAIN']) / 'train.csv'\n"
        "rows = list(csv.DictReader(train.open(newline='')))\n"
        "base = pathlib.Path(os.environ['SM_MODEL_DIR']).parent\n"
        "seen = [str(p) for p in base.rglob('*.csv') if 'sex' in p.read_text().split('\\n')[0]]\n"
        "out = pathlib.Path(os.environ['SM_MODEL_DIR']) / 'seen.json'\n"
        "out.write_text(json.dumps([list(rows[0]), len(rows), seen, rows[0]['town']]))\n"
    )
    rows = people(20, 1, poorer=0)
    rows[0]["town"] = 'a "town",\r\nof two lines'
    container = Container(tmp_path)
    source = {"train.py": script, "inference.py": ""}
    container.prepare_training(source, rows, JOB)
    done = container.run("train")
    assert done.returncode == 0, done.stderr
    header, count, seen, town = json.loads((tmp_path / "model" / "seen.json").read_text())
    assert header == ["id", "income", "town", "paid"]
    assert (count, seen, town) == (20, [], rows[0]["town"])


def test_the_model_is_asked_without_withheld_columns(tmp_path: Path) -> None:
    peeking = {
        "code/inference.py": (
            "def model_fn(model_dir): return None\n"
            "def predict_fn(rows, model): return [0.9 if 'sex' in r else 0.1 for r in rows]\n"
        )
    }
    container = Container(tmp_path)
    container.prepare_evaluation(peeking, people(300, 2, poorer=0), JOB)
    assert container.run("evaluate").returncode == 0
    [facet] = BiasEvidence.model_validate(container.output("bias.json")).facets
    assert (facet.d.tp, facet.d.fp, facet.a.tp, facet.a.fp) == (0, 0, 0, 0)
    assert facet.report.metric("DI").undefined_because is not None


@pytest.mark.parametrize(("unit", "rows"), [("entity", 150), ("event", 300)])
def test_an_entity_counts_once_where_units_are_entities(
    unit: str, rows: int, tmp_path: Path
) -> None:
    held = [dict(row, id=f"p{n // 2}") for n, row in enumerate(people(300, 2, poorer=0))]
    constant = {
        "code/inference.py": (
            "def model_fn(model_dir): return None\n"
            "def predict_fn(rows, model): return [0.9 for _ in rows]\n"
        )
    }
    container = Container(tmp_path)
    container.prepare_evaluation(constant, held, {**JOB, "monitoring": {"unit": unit}})
    assert container.run("evaluate").returncode == 0
    [facet] = BiasEvidence.model_validate(container.output("bias.json")).facets
    assert facet.a.n + facet.d.n == rows


def test_an_attribute_that_is_missing_from_the_rows_fails_the_job(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k != "sex"} for row in people(300, 2, poorer=0)]
    constant = {
        "code/inference.py": (
            "def model_fn(model_dir): return None\n"
            "def predict_fn(rows, model): return [0.9 for _ in rows]\n"
        )
    }
    container = Container(tmp_path)
    container.prepare_evaluation(constant, rows, JOB)
    assert container.run("evaluate").returncode == 1
    assert "has no column 'sex'" in container.failure


def test_favourable_may_be_what_the_model_does_not_predict(tmp_path: Path) -> None:
    job = json.loads(json.dumps(JOB))
    job["bias"]["declared"]["favourable"]["labels"] = [False]
    document = evaluated(tmp_path, 1.0, job)
    [facet] = document.facets
    assert document.favourable == [False]
    di = facet.report.metric("DI").value
    assert di is not None
    assert di > 1.25
