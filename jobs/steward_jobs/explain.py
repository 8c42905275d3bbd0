"""``explain``: what moves one model's answers on held-out rows, in a process of its own.

``evaluate`` starts it beside ``predict``. Rows are held-out ones; what stands for "feature not
known" are training rows at equally spaced ranks of the model's answer. The model is asked for at
most about 300,000 rows, however many there are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steward.domain.explanations.evidence import (
    ExplanationEvidence,
    PermutationImportance,
    feature_importances,
)
from steward.domain.explanations.linear_form import LinearForm, answers_of
from steward.domain.explanations.mixed import (
    TOLERANCE,
    Cell,
    Explained,
    MixedBackground,
    Row,
    answers_to,
    effort,
    explain_rows,
    sizes,
)
from steward.domain.explanations.shuffling import permuted
from steward.domain.explanations.values import Floats
from steward.domain.losses import row_losses
from steward.domain.monitoring.baseline import AttributionBaseline
from steward_jobs.container import JobError, log
from steward_jobs.job_config import JobConfig, read_csv
from steward_jobs.model_code import Model
from steward_jobs.model_forms import Explainable, declared_linear, explained_by_trees
from steward_jobs.model_process import run_model

MODEL_ROWS = 300_000
"""Rows that the model is asked for to explain; more only where features are many."""
FREE_ROWS = 500
"""Rows that are explained where that asks the model nothing: linear and tree models."""
SAMPLED_ROWS = 500
"""Training rows from which the background is taken."""
SHUFFLES, SHUFFLED_ROWS = 5, 300
SEED = 20


def main(arguments: list[str]) -> int:
    """Explain and return the exit code: 0, or 1 with the reason in the result file.

    Args:
        arguments: Model directory, held-out rows, training rows, ``job.json``, folder for
            ``explanation.json`` and ``attribution.json``, file for the result (``{"stage",
            "reason"}``, written on failure only).
    """
    model_dir, heldout, train, config, target, result = map(Path, arguments)
    return run_model(
        model_dir, config, result, "explain",
        lambda model, job: _explain(model, job, heldout, train, target),
    )  # fmt: skip


@dataclass(frozen=True)
class _Rows:
    """Held-out rows that count, with their labels."""

    cells: list[Row]
    labels: list[float]


def _explain(model: Model, job: JobConfig, heldout: Path, train: Path, target: Path) -> None:
    started = time.perf_counter()
    features = tuple(feature.name for feature in job.features)
    if not features:
        raise JobError("the model has no features to explain")
    asked = _Asked(model, features)
    rows = _heldout(job, heldout)
    share = effort(len(features), len(rows.cells), MODEL_ROWS)
    background = _background(asked, job, train, features, share.background)
    numbers = job.task == "regression"
    told = Explainable(model.told(), features, asked, numbers)
    form = declared_linear(told, rows.cells)
    chosen = rows.cells[: FREE_ROWS if form is not None else share.rows]
    if form is not None:
        found = form.explain(chosen, background)
    else:
        found = explain_rows(
            asked, chosen, background, coalitions=share.coalitions,
            scale="value" if numbers else "probability",
        )  # fmt: skip
    attribution = _attribution(found, features, background, form, share.coalitions)
    trees = None if form else explained_by_trees(told, rows.cells[:FREE_ROWS], background)
    method, shown = ("tree", trees) if trees is not None else (found.method, found)
    plain = answers_to(asked, rows.cells[: len(shown.values)])
    gap = _gap(shown, plain)
    evidence = ExplanationEvidence(
        method=method, scale=shown.scale, background_digest=background.digest,
        rows=len(shown.values), base=shown.base, max_gap=gap, additive=gap <= TOLERANCE,
        features=feature_importances(shown.values, features),
        permutation=_permutation(asked, rows, features, job),
    )  # fmt: skip
    target.mkdir(parents=True, exist_ok=True)
    (target / "explanation.json").write_text(evidence.model_dump_json(indent=2), encoding="utf-8")
    (target / "attribution.json").write_text(attribution.model_dump_json(), encoding="utf-8")
    log("explained", method=method, scale=shown.scale, rows=evidence.rows, max_gap=gap,
        model_rows=asked.rows, model_calls=asked.calls,
        seconds=round(time.perf_counter() - started, 3))  # fmt: skip


class _Asked:
    """The model as explanations ask it, and how often that was."""

    def __init__(self, model: Model, features: tuple[str, ...]) -> None:
        self._model, self._features = model, features
        self.rows = self.calls = 0

    def __call__(self, rows: list[list[Cell]]) -> Floats:
        """Return the answer to each row."""
        self.rows += len(rows)
        self.calls += 1
        names = self._features
        return np.array(self._model.predict([dict(zip(names, row, strict=True)) for row in rows]))


def _heldout(job: JobConfig, path: Path) -> _Rows:
    """Return rows in an order that a seed draws; where the unit is an entity, its first alone."""
    seen: set[str] = set()
    cells: list[Row] = []
    labels: list[float] = []
    for number, row in read_csv(path):
        if job.unit == "entity":
            if row[job.entity_id] in seen:
                continue
            seen.add(row[job.entity_id])
        cells.append(_typed(job, row, number, path))
        labels.append(job.target_of(row[job.label], number))
    if not cells:
        raise JobError(f"{path.name} holds no rows to explain")
    order = np.random.default_rng(SEED).permutation(len(cells)).tolist()
    return _Rows([cells[k] for k in order], [labels[k] for k in order])


def _typed(job: JobConfig, row: dict[str, str], number: int, path: Path) -> Row:
    try:
        return tuple(feature.parse(row[feature.name], number) for feature in job.features)
    except KeyError as error:
        raise JobError(f"{path.name} has no column {error}") from error


def _background(
    asked: _Asked, job: JobConfig, train: Path, features: tuple[str, ...], wanted: int
) -> MixedBackground:
    """Return training rows at equally spaced ranks of the model's answer.

    So few rows have about the mean answer of all.
    """
    count = sum(1 for _ in read_csv(train))
    drawn = set(np.random.default_rng(SEED).permutation(count)[:SAMPLED_ROWS].tolist())
    rows = [_typed(job, row, number, train) for number, row in read_csv(train) if number in drawn]
    if not rows:
        raise JobError(f"{train.name} holds no rows to explain against")
    order = np.argsort(answers_to(asked, rows), kind="stable").tolist()
    most = min(wanted, len(rows))
    ranks = [int((place + 0.5) * len(rows) / most) for place in range(most)]
    return MixedBackground(features, tuple(rows[order[rank]] for rank in ranks))


def _gap(found: Explained, plain: Floats) -> float:
    scores = found.base + found.values.sum(axis=1)
    gaps = np.abs(answers_of(scores, found.scale) - plain) / sizes(plain, found.scale)
    return float(gaps.max())


def _attribution(
    found: Explained, features: tuple[str, ...], background: MixedBackground,
    form: LinearForm | None, coalitions: int,
) -> AttributionBaseline:  # fmt: skip
    sizes = np.abs(found.values)
    kernel = found.method == "kernel"
    return AttributionBaseline(
        mean_absolute=dict(zip(features, sizes.mean(axis=0).tolist(), strict=True)),
        rows=len(sizes), scale=found.scale,
        explainer=f"kernel, {coalitions} coalitions, seed {SEED}" if kernel else found.method,
        background=background.digest, values=tuple(map(tuple, sizes.tolist())),
        background_rows=background.rows, coalitions=None if form else coalitions,
        linear=form.model_dump(mode="json") if form else None,
    )  # fmt: skip


def _permutation(
    asked: _Asked, rows: _Rows, features: tuple[str, ...], job: JobConfig
) -> tuple[PermutationImportance, ...]:
    loss = job.evaluation.get("loss", "brier")
    labels = np.array(rows.labels[:SHUFFLED_ROWS])
    some = rows.cells[:SHUFFLED_ROWS]
    return permuted(
        asked, some, features, lambda answers: row_losses(loss, labels, answers),
        repetitions=SHUFFLES, seed=SEED,
    )  # fmt: skip
