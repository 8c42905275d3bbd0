"""A DataBrew profile of 1,000 rows, made up after the form of published output, version 1.0."""

from __future__ import annotations

from typing import Any

RUN = "db_59a71d244ff350bf"
LOCATION = f"profiles/databrew/diabetes/steward-dev-diabetes-file_{RUN.removeprefix('db_')}.json"


def databrew_profile(**changes: Any) -> dict[str, Any]:
    """Return the document; ``changes`` replace keys at its top."""
    return {
        "defaultProfileConfiguration": {
            "datasetConfiguration": {"includedStatistics": ["DUPLICATE_ROWS_COUNT"]},
        },
        "datasetConfigurationOverride": {},
        "sampleSize": 1000,
        "duplicateRowsCount": 2,
        "columns": [
            {
                "name": "glucose", "type": "double", "columnConfigurationOverride": {},
                "correlations": {"glucose": 1.0},
                "distinctValuesCount": 640, "uniqueValuesCount": 410, "entropy": 9.1,
                "mostCommonValues": [{"value": 99.5, "count": 7}, {"value": 101.0, "count": 6}],
                "missingValuesCount": 40, "max": 310.5, "mean": 121.25, "min": 40.0,
                "standardDeviation": 33.5, "sum": 116400.0, "zerosCount": 0, "median": 117.0,
                "valueDistribution": [
                    {"bucket": [40.0, 130.0], "count": 600},
                    {"bucket": [130.0, 220.0], "count": 320},
                    {"bucket": [220.0, "inf"], "count": 40},
                ],
                "zScoreDistribution": [{"bucket": ["-inf", 0.1], "count": 960}],
            },
            {
                "name": "visits", "type": "int",
                "distinctValuesCount": 3, "uniqueValuesCount": 0,
                "mostCommonValues": [
                    {"value": 1, "count": 700}, {"value": 2, "count": 250},
                    {"value": 3, "count": 50},
                ],
                "missingValuesCount": 0, "max": 3, "mean": 1.35, "min": 1,
                "standardDeviation": 0.57,
                "valueDistribution": [
                    {"bucket": [1, 1], "count": 700},
                    {"bucket": [1, 1], "count": 0},
                    {"bucket": [1, 2], "count": 250},
                    {"bucket": [2, "inf"], "count": 50},
                ],
            },
            {
                "name": "ward name", "type": "string",
                "distinctValuesCount": 3, "uniqueValuesCount": 1,
                "mostCommonValues": [
                    {"value": "icu", "count": 500}, {"value": "w1", "count": 399}
                ],
                "missingValuesCount": 100, "max": 3, "mean": 2.5, "min": 2,
                "standardDeviation": 0.5, "median": 3.0, "mode": 3,
                "valueDistribution": [
                    {"bucket": [2, 3], "count": 399}, {"bucket": [3, "inf"], "count": 501}
                ],
            },
            {
                "name": "address", "type": "string",
                "distinctValuesCount": 1000, "uniqueValuesCount": 1000,
                "mostCommonValues": [{"value": "9 Wells Road", "count": 1}],
                "missingValuesCount": 0, "max": 65, "mean": 42.0, "min": 27,
                "standardDeviation": 5.0,
                "valueDistribution": [{"bucket": [27.0, 65.0], "count": 1000}],
            },
            {
                "name": "returned", "type": "boolean",
                "distinctValuesCount": 2, "uniqueValuesCount": 0, "entropy": 0.5,
                "mostCommonValues": [{"value": False, "count": 880}, {"value": True, "count": 120}],
                "missingValuesCount": 0,
            },
            {
                "name": "nothing", "type": "int",
                "distinctValuesCount": 0, "uniqueValuesCount": 0, "mostCommonValues": [],
                "missingValuesCount": 1000,
            },
        ],
        "jobName": "steward-dev-diabetes-profile",
        "jobRunId": RUN,
        "location": f"s3://artifacts/{LOCATION}",
        "startedOn": "2026-03-27T12:48:38.100164",
        "writtenOn": "2026-03-27T12:50:16.213216",
        "version": "1.0",
        **changes,
    }  # fmt: skip
