"""Which OpenLineage events Steward's facts make: of training, of its dataset, of features.

A training run (job ``<project>.train``) has a START and exactly one terminal event. Its dataset
is a run of its own (``<project>.build_dataset``) with the training run as parent, and so is each
filling of a feature group (``<project>.materialise.<group>``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steward.domain.lineage import NodeFact
from steward.domain.open_lineage import Dialect, Event, EventType, Facets
from steward.domain.open_lineage_columns import Column, dataset_columns, view_columns

_SAGEMAKER, _DUCKDB = "Amazon SageMaker", "duckdb"
_TERMINAL: dict[str, frozenset[str]] = {
    "TrainingSucceeded": frozenset({"DatasetBuilt", "CandidateEvaluated", "VersionRegistered"}),
    "CandidateHeld": frozenset({"DatasetBuilt", "CandidateEvaluated"}),
    "TrainingFailed": frozenset(),
}
_ABORTED = "ExecutionAborted"
DATASET_EVENTS, START, END = "dataset", "start", "end"


@dataclass(frozen=True)
class Told:
    """What is known of a training run: one fact an event, and its dataset's manifest."""

    project: str
    run_id: str
    facts: Mapping[str, NodeFact]
    manifest: Mapping[str, Any] | None = None

    def value(self, what: str, name: str) -> Any:
        """Return one attribute that an event told, None where it did not."""
        return self.facts[what].attributes.get(name) if what in self.facts else None

    @property
    def job(self) -> str:
        """Name of the training job."""
        return f"{self.project}.train"


def by_event(facts: Iterable[NodeFact]) -> dict[str, NodeFact]:
    """Return the first fact of each event, from facts in order."""
    found: dict[str, NodeFact] = {}
    for fact in facts:
        found.setdefault(fact.what, fact)
    return found


def due(facts: Mapping[str, NodeFact]) -> list[str]:
    """Return which events can be told of a training run: of start, dataset and end.

    Each waits until all that it tells is known, so that no order of facts changes it: a run
    that succeeded ends once its dataset, its metrics and its version are known too.
    """
    if "TrainingStarted" not in facts:
        return []
    found = [START]
    if "DatasetBuilt" in facts:
        found.append(DATASET_EVENTS)
    if _ending(facts) is not None:
        found.append(END)
    return found


def _ending(facts: Mapping[str, NodeFact]) -> str | None:
    ended = (what for what, needs in _TERMINAL.items() if what in facts and needs <= set(facts))
    return next(ended, None)


def training_start(told: Told, dialect: Dialect) -> Event:
    """Return the START event of a training run."""
    return dialect.event(
        "START", told.facts["TrainingStarted"].at, told.job, told.run_id,
        run_facets=_run_facets(told, dialect), job_facets=_job_facets(told, dialect),
    )  # fmt: skip


def training_end(told: Told, dialect: Dialect) -> Event:
    """Return the one terminal event of a training run: COMPLETE, FAIL or ABORT.

    A candidate that the gate held completed: the run did what it was to do, and says so.
    """
    what = _ending(told.facts)
    assert what is not None
    event_type: EventType = "COMPLETE"
    run = _run_facets(told, dialect)
    if what == "TrainingFailed":
        error, why = told.value(what, "error"), told.value(what, "error_cause")
        event_type = "ABORT" if error == _ABORTED else "FAIL"
        message = f"{told.value(what, 'failed_state')}: {error}: {why}"
        run |= dialect.facet("errorMessage", message=message, programmingLanguage="PYTHON")
    if "CandidateEvaluated" in told.facts:
        run |= _metrics(told, dialect)
    outputs = [_model(told, dialect)] if what == "TrainingSucceeded" else []
    inputs = [_dataset(told, dialect)] if "DatasetBuilt" in told.facts else []
    return dialect.event(
        event_type, told.facts[what].at, told.job, told.run_id, run_facets=run,
        job_facets=_job_facets(told, dialect), inputs=inputs, outputs=outputs,
    )  # fmt: skip


def dataset_events(told: Told, dialect: Dialect) -> list[Event]:
    """Return START and COMPLETE of the building of a run's dataset."""
    manifest = told.manifest or {}
    engine = manifest.get("engine") or {}
    version = engine.get("version") or engine.get("duckdb")
    facets = dialect.parent(told.job, told.run_id)
    if version:
        name = str(engine.get("name") or _DUCKDB)
        facets |= dialect.facet("processing_engine", name=name, version=str(version))
    job, kind = f"{told.project}.build_dataset", dialect.job_type("DATASET")
    sources = list(_sources(told, dialect))
    output = _dataset(told, dialect, made_from=sources)
    rows = (told.value("DatasetBuilt", "train_rows"), told.value("DatasetBuilt", "heldout_rows"))
    output["outputFacets"] = dialect.facet("outputStatistics", rowCount=sum(map(int, rows)))
    begun, built = told.facts["TrainingStarted"].at, told.facts["DatasetBuilt"].at
    return [
        dialect.event(
            "START", begun, job, told.run_id, run_facets=facets, job_facets=kind, inputs=sources
        ),
        dialect.event(
            "COMPLETE", built, job, told.run_id, run_facets=facets, job_facets=kind,
            inputs=sources, outputs=[output],
        ),
    ]  # fmt: skip


def materialisation_events(
    dialect: Dialect,
    *,
    project: str,
    group: str,
    version: int,
    delivery_id: str,
    files: Iterable[str],
    rows: int,
    at: str,
    source: str | None,
) -> list[Event]:
    """Return START and COMPLETE of the filling of a feature group version by a delivery.

    Args:
        source: The delivered object as ``s3://bucket/key``, None where it is not known.
    """
    job, run = f"{project}.materialise.{group}", f"{group}/v{version}/{delivery_id}"
    kind = dialect.job_type("FEATURES")
    inputs = [dialect.stored(source)] if source else []
    outputs = [
        dialect.stored(
            folder, dialect.facet("version", datasetVersion=f"v{version}"),
            outputFacets=dialect.facet("outputStatistics", rowCount=rows),
        )
        for folder in sorted({_group_folder(uri) for uri in files})
    ]  # fmt: skip
    return [
        dialect.event("START", at, job, run, run_facets={}, job_facets=kind, inputs=inputs),
        dialect.event(
            "COMPLETE", at, job, run, run_facets={}, job_facets=kind, inputs=inputs,
            outputs=outputs,
        ),
    ]  # fmt: skip


def _group_folder(uri: str) -> str:
    """Return the folder of a feature group version: above the delivery's folder of a file."""
    return uri.rsplit("/", 2)[0]


def _run_facets(told: Told, dialect: Dialect) -> Facets:
    started = told.facts["TrainingStarted"].attributes
    names = ("trigger", "author", "image", "config_digest", "code_digest", "execution_arn")
    facets = dialect.facet(
        "steward_run", project=told.project, run_id=told.run_id,
        **{name: started.get(name) for name in names},
    )  # fmt: skip
    image = started.get("image")
    if image:
        digest = str(image).rpartition("@")[2]
        facets |= dialect.facet("processing_engine", name=_SAGEMAKER, version=digest)
    return facets


def _job_facets(told: Told, dialect: Dialect) -> Facets:
    facets = dialect.job_type("TRAINING")
    started = told.facts["TrainingStarted"].attributes
    if started.get("code_uri"):
        facets |= dialect.facet(
            "sourceCodeLocation", type="archive", url=started["code_uri"],
            version=started.get("code_digest"),
        )  # fmt: skip
    return facets


def _metrics(told: Told, dialect: Dialect) -> Facets:
    judged = told.facts["CandidateEvaluated"].attributes
    return dialect.facet(
        "steward_metrics", metrics=judged["metrics"], verdict=judged["verdict"],
        evaluation_uri=judged.get("evaluation_uri"),
        champion_version=judged.get("champion_version"),
        held=told.value("CandidateHeld", "reasons"),
    )  # fmt: skip


def _model(told: Told, dialect: Dialect) -> Event:
    version = told.facts["VersionRegistered"].attributes
    return dialect.stored(
        version["artifact_uri"],
        dialect.facet("version", datasetVersion=str(version["version"])),
        dialect.facet(
            "steward_model", project=told.project, version=version["version"],
            artifact_uri=version["artifact_uri"],
            model_package_arn=version.get("model_package_arn"),
            author=told.value("TrainingStarted", "author"),
        ),
    )  # fmt: skip


def _dataset(told: Told, dialect: Dialect, made_from: Iterable[Event] | None = None) -> Event:
    manifest = told.manifest or {}
    uri = str(told.value("DatasetBuilt", "manifest_uri"))
    dataset_id = str(told.value("DatasetBuilt", "dataset_id"))
    digest = dialect.facet(
        "steward_datasetDigest", dataset_id=dataset_id, manifest_uri=uri,
        cutoff=manifest.get("cutoff"), parts=_digests(manifest) or None,
    )  # fmt: skip
    facets = [digest, dialect.facet("version", datasetVersion=dataset_id)]
    columns = dataset_columns(manifest)
    if columns:
        facets.append(_schema(columns, dialect))
    if made_from is not None and columns:
        by_view: dict[str | None, list[Event]] = {}
        for source in made_from:
            by_view.setdefault(_view_of(source), []).append(source)
        facets.append(_column_lineage(columns, by_view, dialect))
    return dialect.stored(uri.rpartition("/")[0], *facets)


def _digests(manifest: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the digests of each part, whatever digests the manifest knows."""
    parts = manifest.get("parts") or {}
    return {
        name: {
            key: value for key, value in part.items()
            if isinstance(value, str) and ("sha256" in key or "digest" in key)
        }
        for name, part in parts.items()
    }  # fmt: skip


def _sources(told: Told, dialect: Dialect) -> Iterator[Event]:
    """Yield what a dataset was made of: the delivered objects, then the feature groups."""
    manifest = told.manifest or {}
    for source in manifest.get("sources") or []:
        yield _delivered(source, dialect)
    views = {feature.get("view"): feature for feature in manifest.get("features") or []}
    folder = str(told.value("DatasetBuilt", "manifest_uri")).partition("/datasets/")[0]
    for view in told.value("DatasetBuilt", "features") or []:
        facets = [dialect.facet("version", datasetVersion=view.rpartition("/")[2])]
        columns = view_columns(views.get(view, {}))
        if columns:
            origin = [_delivered(each, dialect) for each in views[view].get("sources") or []]
            facets.append(_schema(columns, dialect))
            facets.append(_column_lineage(columns, {None: origin}, dialect))
        yield dialect.stored(f"{folder}/features/{told.project}/{view}", *facets)


def _delivered(source: Mapping[str, Any], dialect: Dialect) -> Event:
    version = source.get("version_id")
    facets = [dialect.facet("version", datasetVersion=version)] if version else []
    return dialect.stored(f"s3://{source['bucket']}/{source['key']}", *facets)


def _schema(columns: Sequence[Column], dialect: Dialect) -> Facets:
    fields = [{"name": column.name, "type": column.type} for column in columns]
    return dialect.facet("schema", fields=fields)


def _column_lineage(
    columns: Sequence[Column], sources: Mapping[str | None, Sequence[Event]], dialect: Dialect
) -> Facets:
    """Return which columns of which inputs each column is made of.

    Args:
        sources: Inputs by view; those of no view are files of the delivered table.
    """
    fields = {
        column.name: {
            "inputFields": [
                {
                    "namespace": source["namespace"], "name": source["name"],
                    "field": origin.field,
                    "transformations": [{"type": "DIRECT", "subtype": origin.how}],
                }
                for origin in column.origins
                for source in sources.get(origin.view, ())
            ]
        }
        for column in columns
    }  # fmt: skip
    return dialect.facet("columnLineage", fields=fields)


def _view_of(source: Event) -> str | None:
    """Return the view that an input is, None for a delivered object."""
    place = str(source["name"]).split("/")
    return "/".join(place[2:]) if place[0] == "features" else None
