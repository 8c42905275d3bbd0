"""Functions in templates and in folders are the same, each with logs, trace and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steward.settings import Settings
from support.templates import CHILDREN, ROOT, load, of_type

# Read by Powertools and by the decorators before there are settings.
_OTHERS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}
# Their logs hold capture lines, as they are; the gateway's answers are on the request path, and
# have no trace segment.
_CAPTURING = {"AnswerRequestFunction", "MirrorRequestFunction"}

Function = tuple[str, str, dict[str, Any]]
FUNCTIONS: list[Function] = [
    (path.stem, name, resource["Properties"])
    for path in CHILDREN
    for name, resource in of_type(load(path), "AWS::Serverless::Function").items()
]


def _id(function: Function) -> str:
    return function[1]


def test_every_folder_is_declared_once_and_every_declaration_has_its_folder() -> None:
    declared = [properties["CodeUri"].removeprefix("../") for _, _, properties in FUNCTIONS]
    folders = [
        app.parent.relative_to(ROOT).as_posix() for app in (ROOT / "functions").glob("*/*/app.py")
    ]
    assert sorted(declared) == sorted(folders)


@pytest.mark.parametrize("function", FUNCTIONS, ids=_id)
def test_a_function_is_named_after_its_folder_in_its_domains_stack(function: Function) -> None:
    domain, name, properties = function
    folder = Path(properties["CodeUri"])
    assert folder.parent == Path("../functions") / domain
    assert name == folder.name.title().replace("_", "") + "Function"


@pytest.mark.parametrize("function", FUNCTIONS, ids=_id)
def test_the_environment_is_what_settings_read(function: Function) -> None:
    _, _, properties = function
    fields = {field.upper() for field in Settings.model_fields}
    assert set(properties["Environment"]["Variables"]) - _OTHERS <= fields


@pytest.mark.parametrize("function", FUNCTIONS, ids=_id)
def test_a_function_logs_into_its_own_group_and_is_traced(function: Function) -> None:
    domain, name, properties = function
    group = name.removesuffix("Function") + "LogGroup"
    assert properties["LoggingConfig"]["LogGroup"] == {"Ref": group}
    template = load(ROOT / "stacks" / f"{domain}.yaml")
    assert group in template["Resources"]
    defaults = template["Globals"]["Function"]
    assert (defaults["Tracing"], defaults["LoggingConfig"]["LogFormat"]) == ("Active", "JSON")
    overrides = {key for key in ("Tracing",) if key in properties}
    overrides |= {key for key in ("LogFormat",) if key in properties["LoggingConfig"]}
    assert bool(overrides) == (name in _CAPTURING)


@pytest.mark.parametrize("function", FUNCTIONS, ids=_id)
def test_control_functions_do_without_the_analytics_layer(function: Function) -> None:
    _, name, properties = function
    computes = {
        "ReceiveDeliveryFunction",
        "MaterialiseChunkFunction",
        "IngestRecordFunction",
        "ValidateDeliveriesFunction",
        "BuildDatasetFunction",
        "CompareCandidateFunction",
        "CheckProjectFunction",
        "ReadFeaturesFunction",
        "MeasureSkewFunction",
        "FreezeCohortsFunction",
        "JudgeStepFunction",
        "ProfileChunkFunction",
        "JudgeWindowFunction",
        "PrepareBatchFunction",
        "DeliverScoresFunction",
    }
    assert ("Layers" in properties) == (name in computes)


@pytest.mark.parametrize("function", FUNCTIONS, ids=_id)
def test_a_function_url_asks_iam(function: Function) -> None:
    url = function[2].get("FunctionUrlConfig")
    # A forge has no identity in IAM: this one checks the signature of each request itself.
    wanted = "NONE" if function[1] == "ReceiveWebhookFunction" else "AWS_IAM"
    assert url is None or url == {"AuthType": wanted}
