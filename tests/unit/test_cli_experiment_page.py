"""The report of an experiment as one page, on records made by the real judge."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steward.ports import Table
from steward_cli.app import app
from steward_cli.commands import experiment, report
from steward_cli.experiment_page import page
from steward_cli.experiments import Experiments
from support import experiment_scene as stories
from support.experiment_scene import PROJECT, ExperimentScene

RELEASE = ExperimentScene.release_id
NAME = f"{PROJECT}/{RELEASE}"


@pytest.fixture(scope="module")
def made() -> dict[str, ExperimentScene]:
    names = ("won", "harmful", "mismatched", "running", "bandit", "shadow_then_ramp")
    return {name: getattr(stories, name)() for name in names}


def page_of(scene: ExperimentScene) -> str:
    read = Experiments(scene.state, scene.objects).read(PROJECT, RELEASE)
    return page(read, scene.clock.now())


class Wellformed(HTMLParser):
    """Collects what a page says and fails on tags that do not close."""

    VOID = {"meta", "br", "input", "link", "img", "hr"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Wellformed:
    page = Wellformed()
    page.feed(html)
    assert page.open == []
    return page


@pytest.mark.parametrize(
    "name", ["won", "harmful", "mismatched", "running", "bandit", "shadow_then_ramp"]
)
def test_a_page_needs_nothing_from_elsewhere_and_says_all_verdicts(
    made: dict[str, ExperimentScene], name: str
) -> None:
    found = parsed(page_of(made[name]))
    said = " ".join(" ".join(found.text).split())

    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in found.tags}
    assert not any("src" in attrs or "href" in attrs for _, attrs in found.tags)
    for verdict in made[name].verdicts[-1:]:
        assert verdict["reason"] in said
        assert verdict["digest"][:12] in said
    for digest in made[name].head["plan_digests"].values():
        assert digest in said or name == "shadow_then_ramp"
    assert f"steward experiment replay {NAME}" in said


def test_every_metric_has_its_chart_for_a_page_and_for_a_phone(
    made: dict[str, ExperimentScene],
) -> None:
    found = parsed(page_of(made["running"]))
    labels = [attrs.get("aria-label") for tag, attrs in found.tags if tag == "svg"]
    for metric in ("recovered", "stay_days", "errors", "slow", "prediction_up", "prediction_down"):
        title = f"{metric}: candidate minus stable over the verdicts"
        assert labels.count(title) == 2
    assert labels.count("Share of traffic by version") == 2


def test_a_printed_page_is_a4_and_cuts_neither_plot_nor_row(
    made: dict[str, ExperimentScene],
) -> None:
    text = page_of(made["won"])
    assert "@page { size:A4;" in text
    assert ".card, .tiles, tr, svg, table.facts, h2 + svg + p { break-inside:avoid }" in text
    assert "h2, h3, h2 + p { break-after:avoid }" in text
    assert ".scroll { overflow:visible }" in text


def test_a_plan_that_is_not_the_recorded_one_is_said() -> None:
    scene = ExperimentScene().play(2)
    digests = {**scene.head["plan_digests"], "ab_test": "0" * 64}
    scene.state.put(Table.EXPERIMENTS, {**scene.head, "plan_digests": digests})
    assert "not the one recorded at the start" in page_of(scene)


def test_a_page_of_an_experiment_without_verdicts_says_so() -> None:
    scene = ExperimentScene()
    said = " ".join(parsed(page_of(scene)).text)
    assert "none yet" in said
    assert "the first look after the traffic has moved" in said


def test_what_a_project_wrote_is_no_markup() -> None:
    scene = ExperimentScene().play(1)
    scene.state.put(Table.EXPERIMENTS, {**scene.verdicts[0], "reason": "<script>x</script>"})
    html = page_of(scene)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_the_report_is_written_where_it_is_asked_for(
    made: dict[str, ExperimentScene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Experiments(made["won"].state, made["won"].objects)
    monkeypatch.setattr(experiment, "reader", lambda choice: found)
    path = tmp_path / "reports" / "won.html"
    words = ["experiment", "report", NAME, "-o", str(path), "--json"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert json.loads(done.stdout) == {"experiment": NAME, "file": str(path)}
    parsed(path.read_text(encoding="utf-8"))


def test_report_open_makes_the_page_that_a_mail_names(
    made: dict[str, ExperimentScene], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = made["won"]
    found = Experiments(scene.state, scene.objects)
    monkeypatch.setattr(report, "reader", lambda choice: found)
    path = tmp_path / "won.html"
    uri = f"{scene.prefix}report.html"
    done = CliRunner().invoke(
        app, ["report", "open", uri, "--into", str(path), "--json"], catch_exceptions=False
    )
    assert json.loads(done.stdout) == {"uri": uri, "location": str(path)}
    parsed(path.read_text(encoding="utf-8"))
