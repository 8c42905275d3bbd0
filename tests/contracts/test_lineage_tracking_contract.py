"""One behaviour of SageMaker's lineage for the fake here and the embedded SageMaker."""

from __future__ import annotations

import uuid

import pytest

from steward.domain.errors import RejectedError
from steward.domain.lineage import dataset_node, object_node, run_node
from steward.domain.sagemaker_lineage import Entity, entity_of
from steward.ports import LineageTracking
from support.fake_lineage_tracking import FakeLineageTracking


@pytest.fixture
def tracking() -> LineageTracking:
    return FakeLineageTracking()


def entity(node: str) -> Entity:
    found = entity_of(node, "steward-test")
    assert found is not None
    return found


def fresh() -> tuple[Entity, Entity, Entity]:
    """Return an object, a dataset and a run that nobody has made yet."""
    name = uuid.uuid4().hex
    return (
        entity(object_node("data", f"deliveries/p/{name}.csv", "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e")),
        entity(dataset_node("p", name)),
        entity(run_node("p", f"{name}-1")),
    )


def test_an_entity_is_made_once(tracking: LineageTracking) -> None:
    made = [tracking.ensure(one) for one in fresh()]

    assert len(set(made)) == 3
    one = fresh()[0]
    assert tracking.ensure(one) == tracking.ensure(one)


def test_actions_and_contexts_are_made_once_too(tracking: LineageTracking) -> None:
    run = fresh()[2]
    endpoint = entity(f"endpoint:e-{uuid.uuid4().hex}")

    assert tracking.ensure(run) == tracking.ensure(run)
    assert tracking.ensure(endpoint) == tracking.ensure(endpoint)


def test_an_association_is_made_once(tracking: LineageTracking) -> None:
    _, dataset, run = fresh()
    ends = tracking.ensure(dataset), tracking.ensure(run)

    tracking.associate(*ends, "ContributedTo")
    tracking.associate(*ends, "ContributedTo")


def test_an_association_with_what_is_not_there_is_refused(tracking: LineageTracking) -> None:
    known = tracking.ensure(fresh()[0])

    with pytest.raises(RejectedError):
        tracking.associate(known, known + "0", "DerivedFrom")
    with pytest.raises(RejectedError):
        tracking.associate(known, known, "DerivedFrom")
