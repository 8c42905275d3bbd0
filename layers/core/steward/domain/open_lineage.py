"""OpenLineage 2-0-2 run events of Steward's runs, checked before anybody sees them.

A training run, the dataset that it builds and each filling of a feature group are runs. Ids and
times follow from the facts, so that the same facts always give the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from steward.domain.errors import RejectedError
from steward.domain.json_schema import problems
from steward.domain.open_lineage_schemas import (
    FACET_URLS,
    FACETS,
    OWN_FACETS,
    RUN_EVENT,
    RUN_EVENT_URL,
    own_url,
)

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]
Event = dict[str, Any]
Facets = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Dialect:
    """Who speaks, and where.

    Attributes:
        namespace: Of all jobs of this stack.
        producer: URI of this version of Steward.
        schemas: Base address of the schemas of our own facets.
    """

    namespace: str
    producer: str
    schemas: str

    def facet(self, name: str, /, **body: Any) -> Facets:
        """Return one facet by its name; parts that are None are left out."""
        url = own_url(self.schemas, name) if name in OWN_FACETS else FACET_URLS[name]
        given = {key: value for key, value in body.items() if value is not None}
        return {name: {"_producer": self.producer, "_schemaURL": url, **given}}

    def run_id(self, job: str, run: str) -> str:
        """Return the id of a run of a job: always the same for the same run (UUID5)."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.namespace}/{job}/{run}"))

    def parent(self, job: str, run: str) -> Facets:
        """Return the facet that names the run which this one is part of."""
        return self.facet(
            "parent", run={"runId": self.run_id(job, run)},
            job={"namespace": self.namespace, "name": job},
        )  # fmt: skip

    def job_type(self, kind: str) -> Facets:
        """Return the facet that says what kind of job it is."""
        return self.facet("jobType", processingType="BATCH", integration="STEWARD", jobType=kind)

    def event(
        self,
        event_type: EventType,
        at: str,
        job: str,
        run: str,
        *,
        run_facets: Facets,
        job_facets: Facets,
        inputs: Sequence[Event] = (),
        outputs: Sequence[Event] = (),
    ) -> Event:
        """Return one event, checked.

        Raises:
            RejectedError: It breaks OpenLineage's schema or that of a facet.
        """
        return checked(
            {
                "eventType": event_type,
                "eventTime": at,
                "producer": self.producer,
                "schemaURL": RUN_EVENT_URL,
                "run": {"runId": self.run_id(job, run), "facets": run_facets},
                "job": {"namespace": self.namespace, "name": job, "facets": job_facets},
                "inputs": list(inputs),
                "outputs": list(outputs),
            }
        )

    def stored(self, uri: str, *facets: Facets, **more: Facets) -> Event:
        """Return something in S3 as a dataset by OpenLineage's naming: bucket, then key."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        source = self.facet("dataSource", name=f"s3://{bucket}", uri=f"s3://{bucket}")
        merged: Facets = dict(source)
        for facet in facets:
            merged.update(facet)
        return {"namespace": f"s3://{bucket}", "name": key.rstrip("/"), "facets": merged, **more}


def checked(event: Event) -> Event:
    """Return an event that fits the schema of the core and of each facet.

    Raises:
        RejectedError: It does not, or has a facet that is not known here.
    """
    found = [*problems(event, RUN_EVENT), *_facet_problems(event)]
    if found:
        raise RejectedError(
            f"no OpenLineage event: {'; '.join(found[:5])}", field=found[0].partition(":")[0],
            allowed="OpenLineage 2-0-2 and its facets",
        )  # fmt: skip
    return event


def _facet_problems(event: Event) -> Iterator[str]:
    for path, place, facets in _facets_of(event):
        for name, body in facets.items():
            schema = FACETS[place].get(name)
            if schema is None:
                yield f"{path}.{name}: is no facet that is known here"
                continue
            yield from (
                problem.replace("$", f"{path}.{name}", 1) for problem in problems(body, schema)
            )


def _facets_of(event: Event) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for part in ("run", "job"):
        yield f"$.{part}.facets", part, _mapping(event.get(part), "facets")
    for part, extra in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        given = event.get(part)
        for index, dataset in enumerate(given if isinstance(given, list) else []):
            yield f"$.{part}[{index}].facets", "dataset", _mapping(dataset, "facets")
            place = f"{part[:-1]}Dataset"
            yield f"$.{part}[{index}].{extra}", place, _mapping(dataset, extra)


def _mapping(holder: object, name: str) -> Mapping[str, Any]:
    found = holder.get(name) if isinstance(holder, Mapping) else None
    return found if isinstance(found, Mapping) else {}
