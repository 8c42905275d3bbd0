"""Use case: write the OpenLineage events that the recorded facts make due, each once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steward.contracts.events import FeaturesMaterialised, LineageEventWritten
from steward.contracts.incoming import Received
from steward.domain.digests import canonical_json
from steward.domain.errors import ConflictError, EvidenceIncompleteError
from steward.domain.lineage import (
    NodeFact,
    delivery_node,
    features_node,
    in_order,
    kind_of,
    moment,
    run_node,
)
from steward.domain.lineage_items import FACTS, fact_of, key_of
from steward.domain.open_lineage import Dialect, Event
from steward.domain.open_lineage_runs import (
    DATASET_EVENTS,
    END,
    START,
    Told,
    by_event,
    dataset_events,
    due,
    materialisation_events,
    training_end,
    training_start,
)
from steward.domain.open_lineage_schemas import own_schemas
from steward.ports import Absent, Clock, Ids, ObjectStore, Put, StateStore, Table
from steward.service.emission import Cause, event

VERSION = "0.1.0"


@dataclass(frozen=True)
class Writer:
    """Writes OpenLineage events below ``lineage/openlineage/`` of a bucket."""

    state: StateStore
    objects: ObjectStore
    clock: Clock
    ids: Ids
    bucket: str
    stack: str

    @property
    def base(self) -> str:
        """Where events and schemas lie."""
        return f"s3://{self.bucket}/lineage/openlineage"

    @property
    def dialect(self) -> Dialect:
        """Who speaks: this stack."""
        return Dialect(
            f"steward://{self.stack}", f"urn:steward:control-plane:{VERSION}",
            f"{self.base}/schemas",
        )  # fmt: skip

    def write_due(self, received: Received) -> list[str]:
        """Write the events that an event, whose facts are recorded, makes due.

        Returns:
            The URIs that were written; nothing where all that is due lies there already.
        """
        if received.meta is None:
            return []
        cause = Cause(received.own.project, received.own.correlation_id, received.id)
        if isinstance(received.detail, FeaturesMaterialised):
            return self._materialised(received.detail, received, cause)
        run_id = getattr(received.detail, "run_id", None)
        return self._of_run(run_id, cause) if run_id else []

    def _of_run(self, run_id: str, cause: Cause) -> list[str]:
        node = run_node(cause.project, run_id)
        facts = by_event(self._facts(node))
        waiting = [part for part in due(facts) if not self._is_written(node, part)]
        if not waiting:
            return []
        told = Told(cause.project, run_id, facts, self._manifest(facts))
        makes: dict[str, Callable[[], list[Event]]] = {
            START: lambda: [training_start(told, self.dialect)],
            DATASET_EVENTS: lambda: dataset_events(told, self.dialect),
            END: lambda: [training_end(told, self.dialect)],
        }
        return [uri for part in waiting for uri in self._write(node, part, makes[part](), cause)]

    def _materialised(
        self, filled: FeaturesMaterialised, received: Received, cause: Cause
    ) -> list[str]:
        node = features_node(cause.project, f"{filled.group}/v{filled.version}")
        if self._is_written(node, filled.delivery_id):
            return []
        delivered = by_event(self._facts(delivery_node(cause.project, filled.delivery_id)))
        source = delivered.get("DeliveryReceived")
        events = materialisation_events(
            self.dialect, project=cause.project, group=filled.group, version=filled.version,
            delivery_id=filled.delivery_id, files=filled.files, rows=filled.rows,
            at=moment(received.time), source=_uri(source) if source else None,
        )  # fmt: skip
        return self._write(node, filled.delivery_id, events, cause)

    def _facts(self, node: str) -> list[NodeFact]:
        assert kind_of(node)
        items = self.state.query(Table.LINEAGE, key_of(node), prefix=FACTS)
        return in_order(map(fact_of, items))

    def _manifest(self, facts: dict[str, NodeFact]) -> dict[str, Any] | None:
        """Return the manifest of a run's dataset; a deleted one makes the events poorer."""
        if "DatasetBuilt" not in facts:
            return None
        try:
            text = self.objects.read(facts["DatasetBuilt"].attributes["manifest_uri"])
        except EvidenceIncompleteError:
            return None
        manifest: dict[str, Any] = json.loads(text)
        return manifest

    def _is_written(self, node: str, part: str) -> bool:
        return self.state.get(Table.LINEAGE, _marker(node, part)) is not None

    def _write(self, node: str, part: str, events: list[Event], cause: Cause) -> list[str]:
        """Write events, then mark them and tell of them in one transaction.

        A crash in between repeats the same bytes under the same keys.
        """
        self._publish_schemas()
        told, uris = [], []
        for made in events:
            run_uuid, event_type = made["run"]["runId"], made["eventType"]
            day = made["eventTime"][:10].replace("-", "/")
            uri = f"{self.base}/{cause.project}/{day}/{run_uuid}-{event_type}.json"
            digest = self.objects.write(uri, canonical_json(made))
            written = LineageEventWritten(
                uri=uri, sha256=digest, job=made["job"]["name"], run_uuid=run_uuid,
                event_type=event_type,
            )  # fmt: skip
            told.append(event(written, cause, self.clock, self.ids))
            uris.append(uri)
        marker = {**_marker(node, part), "uris": uris}
        try:
            self.state.commit([Put(Table.LINEAGE, marker, expect=(Absent(),))], told)
        except ConflictError:
            return []  # somebody else wrote the same and told of it
        return uris

    def _publish_schemas(self) -> None:
        """Put the schemas of our own facets where ``_schemaURL`` points, unless they are there."""
        for uri, schema in own_schemas(self.dialect.schemas).items():
            content = canonical_json(schema)
            _, _, rest = uri.partition("://")
            bucket, _, key = rest.partition("/")
            known = self.objects.describe(bucket, key)
            if known is None or known.sha256 != hashlib.sha256(content).hexdigest():
                self.objects.write(uri, content)


def _marker(node: str, part: str) -> dict[str, str]:
    return {"node": key_of(node), "item": f"emitted#{part}"}


def _uri(received: NodeFact) -> str:
    return f"s3://{received.attributes['bucket']}/{received.attributes['key']}"
