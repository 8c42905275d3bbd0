"""The built-in model: what it learns, what it leaves, what it refuses."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steward.domain.built_in.columns import Columns
from steward.domain.built_in.fitting import (
    Fitted,
    NothingToLearnError,
    Options,
    answers,
    fit,
    folds_of,
    rolling_origins,
)
from steward.domain.built_in.forms import Trees, form_of
from steward.domain.built_in.serving import explain_fn, model_fn, predict_fn
from steward.domain.built_in.source import built_in_files
from steward.domain.built_in.training import main

FEATURES: list[dict[str, Any]] = [
    {"name": "age", "type": "integer"},
    {"name": "fee", "type": "float", "nullable": True},
    {"name": "plan", "type": "string", "nullable": True},
    {"name": "auto", "type": "boolean"},
]
Rows = list[dict[str, Any]]


def curved(count: int, seed: int = 1) -> tuple[Rows, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows whose label a linear model cannot tell: an interaction of plan, fee and age."""
    generator = random.Random(seed)
    rows, labels, values = [], [], []
    for _ in range(count):
        age, fee = generator.randint(18, 90), generator.choice([None, generator.uniform(0, 9)])
        plan = generator.choice(["a", "b", "c", None])
        likely = 0.9 if (40 < age < 65) == (plan in ("a", None)) else 0.1
        if fee is None:
            likely = 1 - likely
        rows.append({"age": age, "fee": fee, "plan": plan, "auto": generator.random() < 0.5})
        labels.append(float(generator.random() < likely))
        values.append(100 * likely + generator.gauss(0, 1))
    return rows, np.array(labels), np.array(values)


def straight(count: int) -> tuple[Rows, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Rows whose label is linear in numbers."""
    generator = random.Random(3)
    rows, labels, values = [], [], []
    for _ in range(count):
        age, fee = generator.randint(18, 90), generator.choice([None, generator.uniform(0, 9)])
        score = (age - 50) / 15 + (1.0 if fee is None else fee / 9)
        rows.append({"age": age, "fee": fee, "auto": True})
        labels.append(float(generator.random() < 1 / (1 + np.exp(-score))))
        values.append(score + generator.gauss(0, 0.3))
    return rows, np.array(labels), np.array(values)


def names(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


def fitted(task: Any, rows: Rows, labels: Any, **options: Any) -> Fitted:
    features = [f for f in FEATURES if f["name"] in rows[0]]
    return fit(features, rows, labels, names(len(rows)), task, "", Options(**options))


def trained(folder: Path, rows: Rows, labels: Any, task: str, monkeypatch: Any, *arguments: str
            ) -> int:  # fmt: skip
    """Run the entry point on channels as SageMaker lays them out."""
    features = [f for f in FEATURES if f["name"] in rows[0]]
    job = {"entity_id": "id", "features": features, "evaluation": {"loss": "brier"},
           "label": {"name": "y", "positive": True, "task": task}}  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job))
    with (folder / "train.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", *(f["name"] for f in features), "y"])
        writer.writeheader()
        for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
            y = label if task == "regression" else str(bool(label)).lower()
            cells = {k: "" if v is None else str(v).lower() if v is True or v is False else v
                     for k, v in row.items()}  # fmt: skip
            writer.writerow({"id": number, **cells, "y": y})
    for name in ("SM_CHANNEL_CONFIG", "SM_CHANNEL_TRAIN", "SM_MODEL_DIR"):
        monkeypatch.setenv(name, str(folder))
    return main(arguments)


def test_trees_are_kept_where_a_linear_model_cannot_tell() -> None:
    rows, labels, values = curved(900)
    binary, regression = (
        fitted("binary", rows, labels),
        fitted("regression", rows, values),
    )
    for found in (binary, regression):
        assert found.kind == "boosting"
        assert isinstance(found.form, Trees)
        assert found.losses["boosting"] < 0.7 * found.losses["linear"]
        assert found.losses["linear"] < 1.05 * found.losses["constant"]
    assert (binary.loss, regression.loss) == ("brier", "squared_error")


def test_the_simpler_model_is_kept_where_trees_win_nothing() -> None:
    rows, labels, values = straight(800)
    for task, target in (("binary", labels), ("regression", values)):
        found = fitted(task, rows, target)
        assert found.kind == "linear", found.losses
        assert found.losses["linear"] < found.losses["constant"]
        assert found.trees == 0


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_stored_trees_answer_as_scikit_learn_did(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Training itself compares them row by row and fails where they differ.
    rows, labels, values = curved(700)
    target = values if task == "regression" else labels
    assert trained(tmp_path, rows, target, task, monkeypatch, "--model", "boosting") == 0
    assert "kept=boosting" in capsys.readouterr().out
    model = model_fn(str(tmp_path))
    unseen, _, _ = curved(300, seed=9)
    unseen[0]["plan"] = "never seen"
    found = predict_fn(unseen, model)
    one_by_one = [predict_fn([row], model)[0] for row in unseen[:20]]
    assert found[:20] == pytest.approx(one_by_one, abs=1e-12)
    if task == "binary":
        assert 0 <= min(found) <= max(found) <= 1
    assert np.std(found) > 0.1
    assert predict_fn([], model) == []


def test_a_category_that_training_did_not_see_is_answered_as_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels, _ = curved(600)
    for kind in ("boosting", "linear"):
        assert trained(tmp_path, rows, labels, "binary", monkeypatch, "--model", kind) == 0
        model = model_fn(str(tmp_path))
        row = rows[0]
        new, missing = predict_fn([row | {"plan": "zz"}, row | {"plan": None}], model)
        assert new == missing


def test_a_linear_model_of_numbers_tells_its_form_and_the_form_answers_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steward.domain.explanations.linear_form import linear_form

    rows, labels, _ = straight(400)
    assert trained(tmp_path, rows, labels, "binary", monkeypatch, "--model", "linear") == 0
    model = model_fn(str(tmp_path))
    told = explain_fn(model)
    assert told is not None
    features = list(rows[0])
    cells = [tuple(row.values()) for row in rows]
    assert linear_form(told).answers(cells, features) == pytest.approx(predict_fn(rows, model))


def test_a_model_with_categories_tells_no_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels, _ = curved(300)
    assert trained(tmp_path, rows, labels, "binary", monkeypatch, "--model", "linear") == 0
    assert explain_fn(model_fn(str(tmp_path))) is None


def test_the_same_rows_give_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels, _ = curved(300)
    written = []
    for _ in range(2):
        assert trained(tmp_path, rows, labels, "binary", monkeypatch) == 0
        model = model_fn(str(tmp_path))
        written.append(predict_fn(rows, model))
    assert written[0] == written[1]


def test_no_entity_is_on_both_sides_of_a_fold() -> None:
    entities = [f"e{number % 17}" for number in range(100)]
    labels = np.array([float(number % 2) for number in range(100)])
    seen = 0
    for train, test in folds_of(entities, labels, Options()):
        assert not {entities[i] for i in train} & {entities[i] for i in test}
        seen += len(test)
    assert seen == 100


@pytest.mark.parametrize(
    ("labels", "task", "says"),
    [
        ([1.0] * 50, "binary", "all 50 training rows have the same label"),
        ([3.5] * 50, "regression", "all 50 training rows have the same label"),
        ([0.0, 1.0] * 6, "binary", "12 training rows; at least 20"),
        ([0.0] * 50 + [1.0] * 3, "binary", "3 of 53 training rows have the rarer label"),
    ],
)
def test_rows_that_teach_nothing_are_refused(labels: list[float], task: Any, says: str) -> None:
    rows = [{"age": number, "auto": False} for number in range(len(labels))]
    with pytest.raises(NothingToLearnError, match=says):
        fitted(task, rows, np.array(labels))


def test_a_refusal_is_the_jobs_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, _, _ = straight(30)
    assert trained(tmp_path, rows, np.ones(30), "binary", monkeypatch) == 2
    assert "all 30 training rows have the same label" in capsys.readouterr().err
    assert not (tmp_path / "model.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--model", "forest"], "invalid choice: 'forest'"), (["--C", "1"], "unrecognized"),
     (["--max_iter", "0"], "--max_iter is 0; allowed: above 0")],
)  # fmt: skip
def test_a_hyperparameter_that_is_none_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert says in capsys.readouterr().err


def test_a_column_without_any_value_does_no_harm() -> None:
    rows, labels, _ = straight(200)
    empty: Rows = [{**row, "fee": None, "plan": None} for row in rows]
    for kind in ("linear", "boosting"):
        found = fitted("binary", empty, labels, model=kind)
        table = (
            found.columns.for_linear(empty) if kind == "linear" else found.columns.for_trees(empty)
        )
        assert np.isfinite(answers(found.form.scores(table), "binary")).all()


def test_a_form_of_another_kind_is_named() -> None:
    with pytest.raises(ValueError, match=r"'forest'; allowed: linear, boosting"):
        form_of("forest", {})


def test_columns_are_read_back_as_they_were_written() -> None:
    rows, _, _ = curved(50)
    columns = Columns.learn(FEATURES, rows)
    assert Columns.read(json.loads(json.dumps(columns.as_document()))) == columns


def test_the_packed_source_answers_without_the_package_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, labels, _ = curved(200)
    assert trained(tmp_path, rows, labels, "binary", monkeypatch) == 0
    for name, content in built_in_files().items():
        path = tmp_path / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1] + '/code'); import inference as i;"
        f"print(i.predict_fn([{rows[0]!r}], i.model_fn(sys.argv[1]))[0]);"
        "assert 'sklearn' not in sys.modules and 'steward' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == predict_fn(rows[:1], model_fn(str(tmp_path)))[0]


def test_rolling_origins_judge_by_what_is_older() -> None:
    times = [f"2026-01-{1 + number % 28:02}T00:00:00.000Z" for number in range(140)]
    labels: np.ndarray[Any, Any] = np.arange(140.0)
    origins = rolling_origins(times, labels, Options(validation="rolling"))
    assert len(origins) == 5
    for train, test in origins:
        assert max(times[i] for i in train) < min(times[i] for i in test)
    assert [len(train) for train, _ in origins] == sorted(len(train) for train, _ in origins)


def test_rolling_origins_need_times() -> None:
    rows, _, values = straight(60)
    with pytest.raises(NothingToLearnError, match=r"needs data.prediction_time"):
        fitted("regression", rows, values, validation="rolling")
    with pytest.raises(NothingToLearnError, match="rows of 1 times"):
        rolling_origins(["2026-01-01"] * 60, values, Options())
