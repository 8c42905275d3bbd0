"""The contract of SageMaker's lineage, and a whole life exported, on the embedded SageMaker."""

from __future__ import annotations

import random
from typing import Any

import pytest

from contracts import test_lineage_tracking_contract as suite
from steward.adapters.lineage_tracking import SageMakerLineage
from steward.domain.sagemaker_lineage import entity_of
from steward.service.governance.lineage_export import export_lineage
from support.embedded import Account
from support.histories import History, whole_life
from support.suites import cases_of

globals().update(cases_of(suite))

pytestmark = pytest.mark.integration
STACK = "steward-export"


@pytest.fixture(scope="module")
def sagemaker(account: Account) -> Any:
    return account.client("sagemaker")


@pytest.fixture
def tracking(sagemaker: Any) -> SageMakerLineage:
    return SageMakerLineage(sagemaker)


def test_a_life_in_any_order_and_twice_is_one_graph_in_sagemaker(
    sagemaker: Any, tracking: SageMakerLineage
) -> None:
    history: History = whole_life()
    events = [*history.events, *history.events]
    random.Random(20).shuffle(events)
    for event in events:
        export_lineage(event, tracking=tracking, stack=STACK, environment="dev")

    model = entity_of("version:diabetes/1", STACK)
    assert model is not None
    arn = tracking.ensure(model)
    found = sagemaker.query_lineage(
        StartArns=[arn], Direction="Ascendants", IncludeEdges=True, MaxDepth=10
    )
    sources = {
        sagemaker.describe_artifact(ArtifactArn=vertex["Arn"])["Source"]["SourceUri"]
        for vertex in found["Vertices"]
        if vertex["Type"] == "DataSet"
    }

    assert "s3://data/deliveries/diabetes/d1.csv?versionId=v-d1" in sources
    assert f"steward://{STACK}/dataset:diabetes/set1" in sources
    produced = [edge for edge in found["Edges"] if edge["DestinationArn"] == arn]
    assert [edge["AssociationType"] for edge in produced] == ["Produced"]
