"""What an OpenLineage event and each facet that Steward writes must look like, as JSON Schema.

Written from the specification of OpenLineage 2-0-2 and of its facets, whose own addresses are
given in each facet's ``_schemaURL``. The core says nothing of the bodies of facets, so each known
facet is checked by its own schema too.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
CORE_URL = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
RUN_EVENT_URL = f"{CORE_URL}#/$defs/RunEvent"
OWN_VERSION = "1-0-0"

_TEXT: Schema = {"type": "string"}
_NAME: Schema = {"type": "string", "minLength": 1}
_URI: Schema = {"type": "string", "format": "uri"}
_COUNT: Schema = {"type": "integer"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _map(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


_BASE = _object({"_producer": _URI, "_schemaURL": _URI})
_FACETS = _map({"$ref": "#/$defs/BaseFacet"})
_DATASET = _object({"namespace": _NAME, "name": _NAME}, {"facets": _FACETS})

RUN_EVENT: Schema = {
    "$schema": DIALECT,
    "title": "RunEvent",
    **_object(
        {
            "eventTime": {"type": "string", "format": "date-time"},
            "producer": _URI,
            "schemaURL": _URI,
            "run": _object({"runId": {"type": "string", "format": "uuid"}}, {"facets": _FACETS}),
            "job": _object({"namespace": _NAME, "name": _NAME}, {"facets": _FACETS}),
        },
        {
            "eventType": {"enum": ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]},
            "inputs": _list(
                {"allOf": [_DATASET, _object({}, {"inputFacets": _FACETS})]},
            ),
            "outputs": _list(
                {"allOf": [_DATASET, _object({}, {"outputFacets": _FACETS})]},
            ),
        },
    ),
    "$defs": {"BaseFacet": _BASE},
}  # fmt: skip

_JOB = _object({"namespace": _NAME, "name": _NAME})
_RUN = _object({"runId": {"type": "string", "format": "uuid"}})
_FIELD = _object({"name": _NAME}, {"type": _TEXT, "description": _TEXT})
_TRANSFORMATION = _object(
    {"type": {"enum": ["DIRECT", "INDIRECT"]}},
    {"subtype": _TEXT, "description": _TEXT, "masking": {"type": "boolean"}},
)
_INPUT_FIELD = _object(
    {"namespace": _NAME, "name": _NAME, "field": _NAME},
    {"transformations": _list(_TRANSFORMATION)},
)


def _facet(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {"allOf": [_BASE, _object(required, optional)]}


FACETS: dict[str, dict[str, Schema]] = {
    "run": {
        "parent": _facet({"run": _RUN, "job": _JOB}),
        "processing_engine": _facet(
            {"version": _TEXT}, {"name": _TEXT, "openlineageAdapterVersion": _TEXT}
        ),
        "errorMessage": _facet(
            {"message": _TEXT, "programmingLanguage": _TEXT}, {"stackTrace": _TEXT}
        ),
        "steward_run": _facet(
            {"project": _NAME, "run_id": _NAME},
            {
                "trigger": _TEXT, "author": _TEXT, "image": _TEXT, "config_digest": _TEXT,
                "code_digest": _TEXT, "execution_arn": _TEXT,
            },
        ),
        "steward_metrics": _facet(
            {"metrics": _map({"type": "number"}), "verdict": _NAME},
            {"evaluation_uri": _URI, "champion_version": _COUNT, "held": _list(_TEXT)},
        ),
    },
    "job": {
        "jobType": _facet(
            {"processingType": _TEXT, "integration": _TEXT}, {"jobType": _TEXT}
        ),
        "sourceCodeLocation": _facet(
            {"type": _TEXT, "url": _URI}, {"version": _TEXT, "path": _TEXT, "repoUrl": _TEXT}
        ),
    },
    "dataset": {
        "schema": _facet({}, {"fields": _list(_FIELD)}),
        "dataSource": _facet({}, {"name": _TEXT, "uri": _URI}),
        "version": _facet({"datasetVersion": _TEXT}),
        "columnLineage": _facet(
            {"fields": _map(_object({"inputFields": _list(_INPUT_FIELD)}))}
        ),
        "steward_datasetDigest": _facet(
            {"dataset_id": _NAME, "manifest_uri": _URI},
            {"cutoff": _TEXT, "parts": _map(_map(_TEXT))},
        ),
        "steward_model": _facet(
            {"project": _NAME, "version": _COUNT, "artifact_uri": _URI},
            {"model_package_arn": _TEXT, "author": _TEXT},
        ),
    },
    "inputDataset": {},
    "outputDataset": {"outputStatistics": _facet({"rowCount": _COUNT}, {"size": _COUNT})},
}  # fmt: skip
"""Schemas of facets by where they stand and by name."""

_SPEC = "https://openlineage.io/spec/facets"
FACET_URLS = {
    name: f"{_SPEC}/{version}/{model}.json#/$defs/{model}"
    for name, version, model in (
        ("parent", "1-2-0", "ParentRunFacet"),
        ("processing_engine", "1-1-1", "ProcessingEngineRunFacet"),
        ("errorMessage", "1-0-1", "ErrorMessageRunFacet"),
        ("jobType", "2-0-4", "JobTypeJobFacet"),
        ("sourceCodeLocation", "1-1-0", "SourceCodeLocationJobFacet"),
        ("schema", "1-2-0", "SchemaDatasetFacet"),
        ("dataSource", "1-0-1", "DatasourceDatasetFacet"),
        ("version", "1-0-1", "DatasetVersionDatasetFacet"),
        ("columnLineage", "1-2-0", "ColumnLineageDatasetFacet"),
        ("outputStatistics", "1-0-2", "OutputStatisticsOutputDatasetFacet"),
    )
}
"""Where the specification defines each standard facet."""

OWN_FACETS = {
    "steward_run": "StewardRunRunFacet",
    "steward_metrics": "StewardMetricsRunFacet",
    "steward_datasetDigest": "StewardDatasetDigestDatasetFacet",
    "steward_model": "StewardModelDatasetFacet",
}
"""Our own facets by the name of their definition."""


def own_schemas(base: str) -> dict[str, Schema]:
    """Return the schema document of each facet of ours by its address below ``base``."""
    bodies = {name: body for place in FACETS.values() for name, body in place.items()}
    return {
        own_url(base, name).partition("#")[0]: {
            "$schema": DIALECT,
            "$id": own_url(base, name).partition("#")[0],
            "$defs": {model: bodies[name]},
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/{model}"}},
        }
        for name, model in OWN_FACETS.items()
    }


def own_url(base: str, name: str) -> str:
    """Return the address of the definition of a facet of ours."""
    model = OWN_FACETS[name]
    return f"{base}/{OWN_VERSION}/{model}.json#/$defs/{model}"
