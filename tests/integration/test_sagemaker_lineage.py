"""ML Lineage Tracking of the embedded SageMaker."""

import itertools
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.embedded import Account, unique
from support.laboratory import allow

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def sagemaker(account: Account) -> Any:
    return account.client("sagemaker")


def artifact(sagemaker: Any, kind: str = "DataSet", **changes: Any) -> str:
    arn: str = sagemaker.create_artifact(
        Source={"SourceUri": f"s3://bucket/{unique('object')}"}, ArtifactType=kind, **changes
    )["ArtifactArn"]
    return arn


def action(sagemaker: Any, kind: str = "Training", **changes: Any) -> str:
    arn: str = sagemaker.create_action(
        ActionName=unique("action"), Source={"SourceUri": "run:1"}, ActionType=kind, **changes
    )["ActionArn"]
    return arn


def context(sagemaker: Any, kind: str = "Endpoint", **changes: Any) -> str:
    arn: str = sagemaker.create_context(
        ContextName=unique("context"), Source={"SourceUri": "e:1"}, ContextType=kind, **changes
    )["ContextArn"]
    return arn


def associate(sagemaker: Any, *arns: str, kind: str = "ContributedTo") -> None:
    for source, destination in itertools.pairwise(arns):
        sagemaker.add_association(
            SourceArn=source, DestinationArn=destination, AssociationType=kind
        )


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def arns(answer: Any) -> set[str]:
    return {vertex["Arn"] for vertex in answer["Vertices"]}


def test_source_has_one_artifact_found_by_its_uri(sagemaker: Any) -> None:
    uri = f"s3://bucket/{unique('data')}?versionId=1"
    types = [{"SourceIdType": "S3Version", "Value": "1"}]
    made = sagemaker.create_artifact(
        ArtifactName=unique("data"),
        Source={"SourceUri": uri, "SourceTypes": types},
        ArtifactType="DataSet",
        Properties={"sha256": "ab"},
        Tags=[{"Key": "team", "Value": "ml"}],
    )["ArtifactArn"]
    known = sagemaker.describe_artifact(ArtifactArn=made)
    assert known["Source"] == {"SourceUri": uri, "SourceTypes": types}
    assert known["Properties"] == {"sha256": "ab"}
    assert known["CreatedBy"]["IamIdentity"]["Arn"].endswith(":root")
    assert sagemaker.list_tags(ResourceArn=made)["Tags"] == [{"Key": "team", "Value": "ml"}]
    with pytest.raises(ClientError) as error:
        sagemaker.create_artifact(Source={"SourceUri": uri}, ArtifactType="Model")
    assert refusal(error)[0] == "ValidationException"
    assert made in refusal(error)[1]
    listed = sagemaker.list_artifacts(SourceUri=uri)["ArtifactSummaries"]
    assert [item["ArtifactArn"] for item in listed] == [made]
    assert sagemaker.list_artifacts(SourceUri=uri, ArtifactType="Model")["ArtifactSummaries"] == []


def test_properties_are_replaced_and_removed(sagemaker: Any) -> None:
    made = artifact(sagemaker, Properties={"a": "1"})
    sagemaker.update_artifact(ArtifactArn=made, Properties={"b": "2", "c": "3"})
    sagemaker.update_artifact(ArtifactArn=made, PropertiesToRemove=["c"])
    assert sagemaker.describe_artifact(ArtifactArn=made)["Properties"] == {"b": "2"}
    running = action(sagemaker, Status="InProgress")
    name = running.rsplit("/", 1)[-1]
    sagemaker.update_action(ActionName=name, Status="Completed", Description="done")
    known = sagemaker.describe_action(ActionName=running)
    assert (known["Status"], known["Description"]) == ("Completed", "done")


def test_names_of_actions_and_contexts_are_unique(sagemaker: Any) -> None:
    for make, member in (("create_action", "Action"), ("create_context", "Context")):
        request = {
            f"{member}Name": unique("name"),
            "Source": {"SourceUri": "x"},
            f"{member}Type": "Y",
        }
        getattr(sagemaker, make)(**request)
        with pytest.raises(ClientError) as error:
            getattr(sagemaker, make)(**request)
        assert "already exists" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        sagemaker.describe_context(ContextName="nobody")
    assert refusal(error)[0] == "ResourceNotFound"


def test_association_needs_both_ends_once(sagemaker: Any) -> None:
    source, target = artifact(sagemaker), action(sagemaker)
    with pytest.raises(ClientError) as error:
        associate(sagemaker, source, f"{target}x")
    assert refusal(error)[0] == "ResourceNotFound"
    associate(sagemaker, source, target)
    with pytest.raises(ClientError) as error:
        associate(sagemaker, source, target)
    assert "already exists" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        associate(sagemaker, source, source)
    assert refusal(error)[0] == "ValidationException"
    (listed,) = sagemaker.list_associations(SourceArn=source)["AssociationSummaries"]
    assert listed["DestinationArn"] == target
    assert (listed["SourceType"], listed["DestinationType"]) == ("DataSet", "Training")
    assert listed["AssociationType"] == "ContributedTo"
    none = sagemaker.list_associations(SourceArn=source, AssociationType="Produced")
    assert none["AssociationSummaries"] == []


def test_entity_is_deleted_after_its_associations(sagemaker: Any) -> None:
    source, target = artifact(sagemaker), context(sagemaker)
    associate(sagemaker, source, target)
    with pytest.raises(ClientError) as error:
        sagemaker.delete_context(ContextName=target.rsplit("/", 1)[-1])
    assert "associations" in refusal(error)[1]
    sagemaker.delete_association(SourceArn=source, DestinationArn=target)
    with pytest.raises(ClientError) as error:
        sagemaker.delete_association(SourceArn=source, DestinationArn=target)
    assert refusal(error)[0] == "ResourceNotFound"
    sagemaker.delete_context(ContextName=target.rsplit("/", 1)[-1])
    uri = sagemaker.describe_artifact(ArtifactArn=source)["Source"]["SourceUri"]
    assert sagemaker.delete_artifact(Source={"SourceUri": uri})["ArtifactArn"] == source
    with pytest.raises(ClientError) as error:
        sagemaker.describe_artifact(ArtifactArn=source)
    assert refusal(error)[0] == "ResourceNotFound"
    with pytest.raises(ClientError) as error:
        sagemaker.delete_artifact()
    assert refusal(error)[0] == "ValidationException"


def test_query_walks_one_way_both_ways_and_so_deep(sagemaker: Any) -> None:
    data, other = artifact(sagemaker), artifact(sagemaker)
    run = action(sagemaker)
    model = artifact(sagemaker, "Model")
    endpoint = context(sagemaker)
    associate(sagemaker, data, run, model, endpoint)
    associate(sagemaker, other, run)
    up = sagemaker.query_lineage(StartArns=[model], Direction="Ascendants", IncludeEdges=False)
    assert arns(up) == {data, other, run}
    assert up["Edges"] == []
    down = sagemaker.query_lineage(StartArns=[data], Direction="Descendants", IncludeEdges=False)
    assert arns(down) == {run, model, endpoint}
    both = sagemaker.query_lineage(StartArns=[model], Direction="Both")
    assert arns(both) == {data, other, run, model, endpoint}
    assert {(edge["SourceArn"], edge["DestinationArn"]) for edge in both["Edges"]} == {
        (data, run),
        (other, run),
        (run, model),
        (model, endpoint),
    }
    near = sagemaker.query_lineage(StartArns=[model], MaxDepth=1, IncludeEdges=False)
    assert arns(near) == {run, endpoint}


def test_query_filters_what_it_returns_not_where_it_walks(sagemaker: Any) -> None:
    data = artifact(sagemaker, Properties={"project": "a"})
    run, aside = action(sagemaker), action(sagemaker, "Check")
    model = artifact(sagemaker, "Model", Properties={"project": "b"})
    associate(sagemaker, data, run, model)
    associate(sagemaker, data, aside)
    asked = {"StartArns": [data], "Direction": "Descendants"}
    for filters in (
        {"Types": ["Model"]},
        {"LineageTypes": ["Artifact"]},
        {"Properties": {"project": "b", "none": "x"}},
    ):
        answer = sagemaker.query_lineage(**asked, IncludeEdges=False, Filters=filters)
        assert arns(answer) == {model}, filters
    # With edges: what lies on the way to the matches, and nothing beside it.
    answer = sagemaker.query_lineage(**asked, IncludeEdges=True, Filters={"Types": ["Model"]})
    assert arns(answer) == {data, run, model}
    assert len(answer["Edges"]) == 2
    assert aside not in arns(answer)
    without_start = sagemaker.query_lineage(
        Filters={"Properties": {"project": "b"}, "Types": ["Model"]}, IncludeEdges=False
    )
    assert model in arns(without_start)


def test_query_is_paged_and_bound(sagemaker: Any) -> None:
    start = artifact(sagemaker)
    ends = {action(sagemaker) for _ in range(5)}
    for end in ends:
        associate(sagemaker, start, end)
    asked = {"StartArns": [start], "IncludeEdges": False, "MaxResults": 2}
    found: set[str] = set()
    token: dict[str, str] = {}
    for _ in range(3):
        answer = sagemaker.query_lineage(**asked, **token)
        found |= arns(answer)
        token = {"NextToken": answer.get("NextToken", "")}
    assert found == ends
    assert token == {"NextToken": ""}
    for wrong in ({"MaxDepth": 11}, {"MaxResults": 51}, {"StartArns": [start, start]}):
        with pytest.raises(ClientError) as error:
            sagemaker.query_lineage(**{**asked, **wrong})
        assert refusal(error)[0] == "ValidationException"
    with pytest.raises(ClientError) as error:
        sagemaker.query_lineage(StartArns=[f"{start}x"])
    assert refusal(error)[0] == "ResourceNotFound"
    with pytest.raises(ClientError) as error:
        sagemaker.query_lineage()
    assert refusal(error)[0] == "ValidationException"


def test_callers_are_judged_on_the_entities(account: Account, sagemaker: Any) -> None:
    mine, theirs = artifact(sagemaker), action(sagemaker)
    _, keys = account.user(
        [
            allow("sagemaker:CreateArtifact", resource="arn:aws:sagemaker:*:*:artifact/*"),
            allow("sagemaker:AddAssociation", resource=mine),
        ]
    )
    caller = account.client("sagemaker", keys)
    artifact(caller)
    with pytest.raises(ClientError) as error:
        action(caller)
    assert refusal(error)[0] == "AccessDeniedException"
    with pytest.raises(ClientError) as error:
        associate(caller, mine, theirs)
    assert refusal(error)[0] == "AccessDeniedException"
    assert theirs in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        caller.query_lineage(StartArns=[mine])
    assert "sagemaker:QueryLineage" in refusal(error)[1]
    with pytest.raises(ClientError) as error:
        caller.create_artifact(
            Source={"SourceUri": unique("x")},
            ArtifactType="D",
            Tags=[{"Key": "a", "Value": "b"}],
        )
    assert "sagemaker:AddTags" in refusal(error)[1]
