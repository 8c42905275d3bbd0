"""``steward cost``: what was recorded, what is expected, and the price table written again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from steward.domain.prices import US_EAST_1, price_table
from steward.domain.project import parse_project
from steward.domain.run_cost import PlannedRun, estimate, time_item, time_partition
from steward.ports import Table
from steward_cli import price_list
from steward_cli.app import app
from steward_cli.commands import cost
from steward_cli.console import CommandError
from steward_cli.costs import batch_costs, costs_by, per_million
from steward_cli.state import StackState
from support.training_scene import Scene, csv_of, declaration

RUN = "3f9a1c0b7d2e-1"


def entry(kind: str, dollars: float | None, at: str, run: str = RUN, **detail: Any) -> Any:
    return {
        "project": "diabetes", "entry": f"{kind}#{at}#{run}", "kind": kind, "dollars": dollars,
        "at": at, "run_id": run, "prices": "list prices of 2026-11-23", "detail": detail,
    }  # fmt: skip


TRAINED = entry("training_job", 0.5, "2026-01-31T10:00:00", billable_s=60, instance_count=1,
                instance_type="ml.m5.large")  # fmt: skip
ENDED = entry("execution", 0.25, "2026-01-31T10:05:00", machine="s-train-candidate",
              status="SUCCEEDED", transitions=30, function_dollars=0.2)  # fmt: skip
RELEASED = entry("execution", 0.125, "2026-02-01T09:00:00", machine="s-release-version",
                 status="SUCCEEDED", transitions=30, function_dollars=0.1)  # fmt: skip
UNPRICED = entry("training_job", None, "2026-02-02T09:00:00", run="other-1", billable_s=60,
                 instance_count=1, instance_type="ml.zz9.large")  # fmt: skip
PARTS = [{"name": "training", "expected": 0.7, "high": 1.1},
         {"name": "storage", "expected": 0.2, "high": 0.4}]  # fmt: skip
ENTRIES = [RELEASED, TRAINED, ENDED, UNPRICED]


def test_a_run_is_held_against_its_estimate_without_what_its_release_cost() -> None:
    runs = [{"run_id": RUN, "estimate": {"expected": 0.9, "high": 1.5, "parts": PARTS}}]

    first, other = costs_by("run", ENTRIES, runs, [])

    assert first["dollars"] == pytest.approx(0.875)
    assert first["training"] == pytest.approx(0.75)
    assert (first["expected"], first["high"]) == (pytest.approx(0.7), pytest.approx(1.1))
    assert first["difference"] == pytest.approx(first["training"] - first["expected"])
    assert first["storage"] == 0.2
    assert (other["dollars"], other["unpriced"], other["difference"]) == (0.0, 1, None)


def test_a_difference_waits_for_the_end_of_the_run_and_for_every_price() -> None:
    estimate = {"expected": 0.9, "high": 1.5, "parts": PARTS}
    running = {"run_id": RUN, "status": "running", "estimate": estimate}
    unpriced = {"run_id": "other-1", "status": "failed", "estimate": estimate}

    first, other = costs_by("run", ENTRIES, [running, unpriced], [])

    assert (first["expected"], first["difference"]) == (0.9, None)
    assert (other["expected"], other["training"], other["difference"]) == (0.9, 0, None)


SCORED = entry("transform_job", 0.5, "2026-02-03T09:00:00", run="batch-1", billable_s=60,
               instance_count=1, instance_type="ml.m5.large")  # fmt: skip
LOST = entry("execution", 0.25, "2026-02-04T09:00:00", run="batch-2", machine="s-score-batch",
             status="SUCCEEDED", transitions=9, function_dollars=0.01)  # fmt: skip
BATCHES: list[dict[str, Any]] = [
    {"batch_id": "batch-1", "status": "succeeded", "version": 4, "rows": 3000},
    {"batch_id": "batch-2", "status": "failed", "version": None, "rows": 50},
]


def test_batches_are_of_the_version_that_scored_them_and_make_no_model() -> None:
    versions = [{"run_id": RUN, "version": 4}]
    by_version = costs_by("version", [*ENTRIES, SCORED, LOST], [], versions, BATCHES)
    assert {line["version"]: line["dollars"] for line in by_version} == {"4": 1.375, "none": 0.25}
    found = batch_costs([*ENTRIES, SCORED, LOST], BATCHES)
    assert found == {"dollars": 0.75, "rows": 3000, "million": pytest.approx(250)}
    assert batch_costs(ENTRIES, [])["million"] is None


def test_months_and_versions_add_up_to_the_same() -> None:
    versions = [{"run_id": RUN, "version": 4}]

    by_version = costs_by("version", ENTRIES, [], versions)
    by_month = costs_by("month", ENTRIES, [], versions)

    assert {line["version"]: line["dollars"] for line in by_version} == {"4": 0.875, "none": 0.0}
    assert {line["month"]: line["dollars"] for line in by_month} == {
        "2026-01": 0.75, "2026-02": 0.125,
    }  # fmt: skip


def test_a_million_predictions_say_what_was_measured_and_divide_by_nothing() -> None:
    fresh = per_million(3.0, 0, 2048, None)
    used = per_million(3.0, 1500, 2048, 0.02)

    assert fresh["making"] is None
    assert fresh["measured"] is False
    assert used["making"] == pytest.approx(2000)
    # 2 GB for 20 ms at 20 millionths of a dollar a GB and second, a million times.
    assert used["endpoint"] == pytest.approx(0.8)


class Stack:
    """A target whose tables are a scene's."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.engine = None
        self.environment_name = "dev"

    def client(self, service: str) -> Any:
        assert service == "cloudwatch"
        return SimpleNamespace(get_metric_statistics=lambda **_: {"Datapoints": []})


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene(project=parse_project(declaration(budget={"per_run_usd": 0.05})))
    scene.deliver(csv_of(1, 40))

    def opened(target: Any) -> StackState:
        state = StackState.__new__(StackState)
        state._store = scene.state  # type: ignore[assignment]
        return state

    monkeypatch.setattr(cost, "choose", lambda choice: Stack(scene))
    monkeypatch.setattr(cost, "StackState", opened)
    monkeypatch.setattr(cost, "SystemClock", lambda: scene.clock)
    return scene


def record(scene: Scene, *entries: Any) -> None:
    for item in entries:
        by_time = {"project": time_partition("diabetes"), "entry": time_item(item["at"], "e")}
        scene.state.put(Table.COSTS, item, {**item, **by_time})


def test_the_short_form_shows_runs(scene: Scene) -> None:
    record(scene, TRAINED, ENDED)

    done = CliRunner().invoke(app, ["cost", "diabetes", "--json"], catch_exceptions=False)

    assert done.exit_code == 0
    assert json.loads(done.output)["dollars"] == pytest.approx(0.75)
    shown = CliRunner().invoke(app, ["cost", "show", "diabetes"], catch_exceptions=False)
    assert "No prediction was captured yet" in shown.output


def test_projects_are_listed_with_this_month_against_their_budget(scene: Scene) -> None:
    record(scene, TRAINED, ENDED, RELEASED)
    scene.configure(parse_project(declaration(budget={"per_month_usd": 9})))

    done = CliRunner().invoke(app, ["cost", "list", "--json"], catch_exceptions=False)

    [project] = json.loads(done.output)["projects"]
    assert project["dollars"] == pytest.approx(0.875)
    assert project["month"] == pytest.approx(0.75)
    assert project["per_month_usd"] == 9


def test_an_unknown_grouping_is_wrong_usage(scene: Scene) -> None:
    done = CliRunner().invoke(app, ["cost", "diabetes", "--by", "colour"])

    assert done.exit_code == 2
    assert "allowed: run, version, month" in done.output


def test_an_estimate_that_the_budget_refuses_exits_with_1_and_says_so(scene: Scene) -> None:
    done = CliRunner().invoke(app, ["cost", "estimate", "diabetes"], catch_exceptions=False)

    assert done.exit_code == 1
    assert "A run would be refused" in done.output
    assert "budget.per_run_usd" in done.output


def test_an_estimate_from_history_that_fits_exits_with_0(scene: Scene) -> None:
    record(scene, TRAINED, ENDED)
    scene.configure(parse_project(declaration(budget={"per_run_usd": 5})))

    done = CliRunner().invoke(app, ["cost", "estimate", "diabetes", "--json"])

    assert done.exit_code == 0
    parts = {part["name"]: part for part in json.loads(done.output)["parts"]}
    assert parts["training"]["basis"].startswith("1 run: 60 s")


def product(attributes: dict[str, str], *tiers: str) -> str:
    """Return a product as the Price List API's documents show one, as the text that it sends."""
    rates = {
        f"SKU.JRTCKXETXF.R{n}": {
            "unit": "Hrs", "endRange": "Inf", "description": "", "appliesTo": [],
            "rateCode": f"SKU.JRTCKXETXF.R{n}", "beginRange": str(n), "pricePerUnit": {"USD": usd},
        }
        for n, usd in enumerate(tiers)
    }  # fmt: skip
    term = {"priceDimensions": rates, "sku": "SKU", "effectiveDate": "2026-11-01T00:00:00Z",
            "offerTermCode": "JRTCKXETXF", "termAttributes": {}}  # fmt: skip
    return json.dumps(
        {"product": {"attributes": attributes, "sku": "SKU"}, "serviceCode": "x",
         "terms": {"OnDemand": {"SKU.JRTCKXETXF": term}}, "version": "20261120",
         "publicationDate": "2026-11-20T17:00:00Z"}
    )  # fmt: skip


def instance(name: str, kind: str, usd: str) -> str:
    return product({"instanceName": name, "component": kind, "regionCode": "eu-west-1"}, usd)


SAGEMAKER = [
    instance("ml.m5.large", "Training", "0.1280000000"),
    instance("ml.m5.large", "Hosting", "9.9"),
    instance("ml.c5.xlarge", "Training", "0.2300000000"),
]
STATES = [product({"usagetype": "EUW1-StateTransition"}, "0.0000000000", "0.0000250000")]
LAMBDA = [
    product({"group": "AWS-Lambda-Duration"}, "0.0000166667", "0.0000150000"),
    product({"group": "AWS-Lambda-Duration-Provisioned"}, "0.0000097222"),
    product({"group": "AWS-Lambda-Requests"}, "0.0000002000"),
]
ATHENA = [product({"usagetype": "EU-DataScannedInTB"}, "5.0000000000")]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "prices.json"
    path.write_text(price_list.TABLE.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def pricing(*answers: list[str]) -> Any:
    """A client whose requests and answers botocore's model of the API has to accept."""
    client = boto3.client(
        "pricing", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    stub = Stubber(client)
    for number, answer in enumerate(answers):
        first = {"FormatVersion": "aws_v1", "PriceList": answer}
        if number == 0:
            stub.add_response("get_products", {**first, "PriceList": answer[:1], "NextToken": "t"})
            stub.add_response("get_products", {**first, "PriceList": answer[1:]})
        else:
            stub.add_response("get_products", first)
    stub.activate()
    return client


def test_prices_are_written_from_the_api_the_same_for_the_same_answers(table: Path) -> None:
    _, after = price_list.refreshed(pricing(SAGEMAKER, STATES, LAMBDA, ATHENA), "eu-west-1", table)

    assert after["region"] == "eu-west-1"
    assert after["compute"]["as_of"] == "2026-11-20"
    assert after["compute"]["instance_hour"] == {"ml.c5.xlarge": 0.23, "ml.m5.large": 0.128}
    assert "further_instances" not in after
    assert after["compute"]["gb_second"] == 0.0000166667
    assert price_list.written(after, table) is True

    _, again = price_list.refreshed(
        pricing(SAGEMAKER[::-1], STATES, LAMBDA[::-1], ATHENA), "eu-west-1", table
    )
    assert price_list.written(again, table) is False


def test_nothing_is_written_where_a_price_is_missing(table: Path) -> None:
    before = table.read_bytes()

    with pytest.raises(CommandError, match="no transition, gb_second, request for eu-west-1"):
        price_list.refreshed(pricing(SAGEMAKER, [], [], ATHENA), "eu-west-1", table)

    assert table.read_bytes() == before


def test_the_table_in_the_repository_is_dated_sourced_and_as_it_would_be_written() -> None:
    known = json.loads(price_list.TABLE.read_text(encoding="utf-8"))

    assert price_list.written(known) is False
    for section in ("compute", "traffic", "hosting", "further_instances"):
        assert datetime.fromisoformat(known[section]["as_of"]).replace(tzinfo=UTC)


def test_a_price_from_elsewhere_is_told_apart_and_gives_way_to_the_regions_own() -> None:
    known = json.loads(price_list.TABLE.read_text(encoding="utf-8"))
    assert US_EAST_1.label("ml.m5.large") == US_EAST_1.label()
    assert US_EAST_1.label("ml.g5.2xlarge").endswith(
        "ml.g5.2xlarge at us-west-2 prices of 2026-09-01"
    )
    expected = estimate(PlannedRun("ml.g5.12xlarge", 3600), [])
    assert "ml.g5.12xlarge at us-west-2 prices" in expected.prices
    known["compute"]["instance_hour"]["ml.g5.2xlarge"] = 9.0
    own = price_table(known)
    assert (own.instance_hour["ml.g5.2xlarge"], own.label("ml.g5.2xlarge")) == (9.0, own.label())
    del known["further_instances"]
    assert "ml.g6.xlarge" not in price_table(known).instance_hour
