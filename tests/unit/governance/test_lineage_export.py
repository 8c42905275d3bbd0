"""What SageMaker's lineage is told: every node but predictions, in its words, once."""

from __future__ import annotations

import random
import re

import pytest

from steward.domain.lineage import object_node
from steward.domain.sagemaker_lineage import entity_of
from steward.service.governance.lineage_export import export_lineage
from support.fake_lineage_tracking import FakeLineageTracking
from support.histories import whole_life

STACK = "steward-dev"


def exported(seed: int | None = None) -> FakeLineageTracking:
    tracking, events = FakeLineageTracking(), list(whole_life().events)
    if seed is not None:
        events += events
        random.Random(seed).shuffle(events)
    for event in events:
        export_lineage(event, tracking=tracking, environment="dev", stack=STACK)
    return tracking


@pytest.mark.parametrize("seed", range(5))
def test_any_order_and_repetition_exports_the_same(seed: int) -> None:
    told, again = exported(), exported(seed)

    assert again.entities == told.entities
    assert again.associations == told.associations


def test_kinds_and_associations_are_sagemakers() -> None:
    told = exported()
    types = {(entity.kind, entity.type) for entity in told.entities.values()}
    ways = {
        (told.entities[source].type, told.entities[end].type, kind)
        for (source, end), kind in told.associations.items()
    }

    assert types == {
        ("artifact", "DataSet"), ("artifact", "Delivery"), ("artifact", "FeatureGroup"),
        ("action", "ModelTraining"), ("artifact", "Model"), ("action", "ModelDeployment"),
        ("context", "Endpoint"),
    }  # fmt: skip
    assert ("DataSet", "ModelTraining", "ContributedTo") in ways
    assert ("ModelTraining", "Model", "Produced") in ways
    assert ("Delivery", "DataSet", "DerivedFrom") in ways
    assert ("ModelDeployment", "Endpoint", "AssociatedWith") in ways


def test_names_fit_sagemaker_and_tell_stacks_apart() -> None:
    long = object_node("data", "deliveries/p/" + "é/" * 300 + "x.csv", "v1")
    entity, other = entity_of(long, STACK), entity_of("run:p/r-1", "steward-prod")
    assert entity is not None
    assert other is not None

    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}", entity.name)
    assert (entity.source_uri, entity.version_id) == (long, "v1")
    assert other.source_uri == "steward://steward-prod/run:p/r-1"
    assert other != entity_of("run:p/r-1", STACK)
    assert all(len(value) <= 256 for value in entity.properties.values())


def test_predictions_stay_out() -> None:
    assert entity_of("predictions:p/v1/2026/01/05/09", STACK) is None
