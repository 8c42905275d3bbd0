"""A look at labelled predictions, from nothing to an alarm."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from performance_simulations import answers, numbers, statistics
from steward.domain.monitoring.labelled_look import (
    LabelledLook,
    LookSettings,
    Seen,
    labelled_look,
)
from steward.domain.monitoring.performance_statistics import (
    classification_of,
    regression_of,
    scores_of,
)

SETTINGS = LookSettings(metric="brier", margin=0.02)


def test_without_labels_there_are_estimates_and_no_verdict() -> None:
    generator = np.random.default_rng(1)
    baseline = statistics(generator, 600)
    said = labelled_look(
        Seen(unlabelled=statistics(generator, 400).predictions), baseline, SETTINGS
    )
    assert (said.state, said.sentence) == ("ok", "No labels yet.")
    assert said.verdict is None
    assert said.corrected is None
    assert {one.verdict for one in said.estimates} == {"estimated"}
    nothing = labelled_look(Seen(), baseline, SETTINGS)
    assert nothing.estimates == ()


def test_some_labels_judge_the_window_and_correct_the_estimates() -> None:
    generator = np.random.default_rng(2)
    seen = Seen(
        labelled=statistics(generator, 150), unlabelled=statistics(generator, 500).predictions
    )
    said = labelled_look(seen, statistics(generator, 600), SETTINGS)
    assert said.verdict is not None
    assert said.corrected is not None
    assert said.corrected.labelled == 150
    assert said.calibration is not None
    assert {one.metric for one in said.described} >= {"brier", "roc_auc", "f1"}
    assert said.sentence.startswith("brier ")
    assert "150 labelled rows" in said.sentence
    few = labelled_look(
        Seen(labelled=statistics(generator, 80)), statistics(generator, 600),
        LookSettings(minimum=100),
    )  # fmt: skip
    assert few.verdict is not None
    assert few.verdict.needs == 100
    assert few.sentence == "Inconclusive: the window has 80 labelled rows, 100 are needed."


def _course(
    baseline: Any, generator: np.random.Generator, concept: float, looks: int, before: Any = None
) -> LabelledLook:
    said = None
    for _ in range(looks):
        chunk = statistics(generator, 60, concept=concept)
        said = labelled_look(Seen(labelled=chunk, matured=chunk), baseline, SETTINGS, before)
        before = json.loads(said.model_dump_json())["alarm"]
    assert said is not None
    return said


def test_the_alarm_is_carried_as_json_is_raised_and_ends() -> None:
    generator = np.random.default_rng(3)
    baseline = statistics(generator, 800)
    good = _course(baseline, generator, 1.0, 60)
    assert good.state == "ok"
    assert good.alarm["state"]["looks"] == 60
    assert good.alarm["run_length"] == pytest.approx(8_400)
    bad = _course(baseline, generator, -0.5, 20, good.alarm)
    assert bad.state == "alarm"
    assert "probability 0.05 at most" in bad.sentence
    assert "looks ago" in bad.sentence
    assert _course(baseline, generator, 1.0, 400, bad.alarm).state == "ok"


def test_another_baseline_or_margin_begins_the_alarm_anew() -> None:
    generator = np.random.default_rng(4)
    baseline = statistics(generator, 800)
    bad = _course(baseline, generator, -0.5, 20)
    assert bad.state == "alarm"
    chunk = statistics(generator, 5)
    same = labelled_look(Seen(matured=chunk), baseline, SETTINGS, bad.alarm)
    assert same.state == "alarm"
    for other in (
        labelled_look(Seen(matured=chunk), statistics(generator, 800), SETTINGS, bad.alarm),
        labelled_look(Seen(matured=chunk), baseline, LookSettings(margin=0.03), bad.alarm),
    ):
        assert other.state == "ok"
        assert other.alarm["state"]["looks"] == 1


def test_a_bound_that_another_processor_rounds_otherwise_goes_on() -> None:
    generator = np.random.default_rng(8)
    baseline = statistics(generator, 800)
    bad = _course(baseline, generator, -0.5, 20)
    rounded = {**bad.alarm, "plan": {**bad.alarm["plan"]}}
    rounded["plan"]["bound"] *= 1 + 1e-14
    said = labelled_look(Seen(), baseline, SETTINGS, rounded)
    assert said.state == "alarm"
    assert said.alarm["plan"] == rounded["plan"]


def test_what_has_no_alarm_over_time_says_why() -> None:
    generator = np.random.default_rng(5)
    rows = statistics(generator, 300)
    area = labelled_look(Seen(labelled=rows, matured=rows), rows, LookSettings(metric="roc_auc"))
    assert area.state == "inconclusive"
    assert area.sentence.startswith("No alarm: roc_auc has no alarm over time")
    assert area.verdict is not None
    assert area.alarm == {}
    small = labelled_look(Seen(matured=rows), statistics(generator, 60), SETTINGS)
    assert "100 held-out rows, there are 60" in small.sentence
    with pytest.raises(ValueError, match="one of accuracy"):
        labelled_look(Seen(labelled=rows), rows, LookSettings(metric="mae"))


def test_rows_that_were_counted_otherwise_are_refused() -> None:
    generator = np.random.default_rng(7)
    baseline = statistics(generator, 300)
    other = classification_of(*answers(generator, 50), threshold=0.4)
    with pytest.raises(ValueError, match="those of its baseline"):
        labelled_look(Seen(labelled=other), baseline, SETTINGS)
    number = regression_of(np.ones(40), np.ones(40), centre=0, cap=1)
    with pytest.raises(ValueError, match="one kind of model"):
        labelled_look(Seen(matured=number), baseline, SETTINGS)
    wider = regression_of(np.ones(40), np.ones(40), centre=0, cap=2)
    with pytest.raises(ValueError, match="those of its baseline"):
        labelled_look(Seen(matured=wider), number, LookSettings(metric="mae"))


def test_a_regression_is_looked_at_alike() -> None:
    generator = np.random.default_rng(6)

    def rows(n: int, extra: float = 0.0) -> Any:
        _, predictions, labels = numbers(generator, n, extra=extra)
        return regression_of(labels, predictions, centre=10, cap=8)

    baseline, settings = rows(500), LookSettings(metric="mae", margin=0.1)
    before = None
    for _ in range(10):
        chunk = rows(60, extra=2.0)
        said = labelled_look(Seen(labelled=chunk, matured=chunk), baseline, settings, before)
        before = said.alarm
    assert said.state == "alarm"
    assert said.verdict is not None
    assert said.verdict.verdict == "worse"
    assert said.calibration is None
    assert said.estimates == ()
    unlabelled = scores_of(np.full(50, 0.5))
    assert labelled_look(Seen(unlabelled=unlabelled), baseline, settings).estimates == ()
