"""A model's life as events: what the recorders of lineage are told, in the order of the life."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from steward.contracts import events as e
from steward.contracts.incoming import Received
from steward.entrypoint import parse_event

BEGAN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
PROJECT = "diabetes"
DATA, ARTIFACTS, CAPTURE = "data", "artifacts", "capture"


def received(payload: e.Payload, at: datetime, cause: str, project: str = PROJECT) -> Received:
    """Return an event of ours as a handler gets it."""
    meta = e.Meta(correlation_id=cause, causation_id=cause, project=project, actor="steward")
    event = e.Event(event_id="id", time=at.isoformat(), meta=meta, data=payload)
    return parse_event(
        {
            "id": "id", "source": event.source, "detail-type": event.detail_type,
            "time": event.time, "detail": event.detail(),
        }
    )  # fmt: skip


@dataclass
class History:
    """Events one after the other, a second apart."""

    project: str = PROJECT
    events: list[Received] = field(default_factory=list)

    def tell(self, payload: e.Payload, cause: str = "cause") -> History:
        at = BEGAN + timedelta(seconds=len(self.events))
        self.events.append(received(payload, at, cause, self.project))
        return self

    def deliver(self, delivery: str, table: str = "data") -> History:
        key = f"deliveries/{self.project}/{delivery}.csv"
        self.tell(
            e.DeliveryReceived(
                delivery_id=delivery, bucket=DATA, key=key, version_id=f"v-{delivery}",
                table=table,
            )
        )  # fmt: skip
        return self.tell(
            e.DatasetAccepted(delivery_id=delivery, key=key, rows=10, report_uri="s3://r/r.json")
        )

    def materialise(self, group: str, version: int, delivery: str) -> History:
        uri = f"s3://{DATA}/features/{self.project}/{group}/v{version}/{delivery}/00000.parquet"
        return self.tell(
            e.FeaturesMaterialised(
                group=group, version=version, delivery_id=delivery, rows=10, online_rows=10,
                files=[uri],
            )
        )  # fmt: skip

    def train(
        self, run: str, dataset: str, deliveries: list[str], features: list[str], version: int
    ) -> History:
        self.start(run)
        self.build(run, dataset, deliveries, features)
        self.tell(
            e.CandidateEvaluated(
                run_id=run, evaluation_uri="s3://artifacts/e.json", verdict="no_champion",
                metrics={"brier": 0.17},
            ),
            run,
        )  # fmt: skip
        self.register(run, version)
        return self.tell(e.TrainingSucceeded(run_id=run, version=version), run)

    def start(self, run: str) -> History:
        started = e.TrainingStarted(
            run_id=run, run_key=run, trigger="delivery", execution_arn=f"arn:{run}",
            author="tom", config_digest="c" * 64, code_digest="d" * 64,
            code_uri=f"s3://{ARTIFACTS}/code/{self.project}/code.tar.gz",
            image=f"000000000000.dkr.ecr.us-east-1.amazonaws.com/jobs@sha256:{'e' * 64}",
        )  # fmt: skip
        return self.tell(started, run)

    def build(self, run: str, dataset: str, deliveries: list[str], features: list[str]) -> History:
        uri = f"s3://{DATA}/datasets/{self.project}/{dataset}/manifest.json"
        built = e.DatasetBuilt(
            dataset_id=dataset, manifest_uri=uri, deliveries=deliveries, features=features,
            train_rows=88, heldout_rows=66, run_id=run,
        )  # fmt: skip
        return self.tell(built, run)

    def register(self, run: str, version: int) -> History:
        artifact = f"s3://{ARTIFACTS}/models/{self.project}/{run}/output/model.tar.gz"
        registered = e.VersionRegistered(
            version=version, run_id=run, model_package_arn=f"arn:package/{version}",
            artifact_uri=artifact, author="tom",
        )  # fmt: skip
        return self.tell(registered, run)

    def release(self, version: int, release: str, stable: int | None, route: int) -> History:
        started = e.ReleaseStarted(
            release_id=release, version=version, stable_version=stable, strategy="canary",
            steps=[10, 100], execution_arn="arn:release",
        )  # fmt: skip
        self.tell(started, release)
        shares = {str(version): 10.0, str(stable): 90.0} if stable else {str(version): 100.0}
        self.shift(release, route, shares)
        if stable:
            self.shift(release, route + 1, {str(version): 100.0})
        return self.tell(e.ReleaseCompleted(release_id=release, version=version), release)

    def shift(self, release: str, route: int, shares: dict[str, float]) -> History:
        at = (BEGAN + timedelta(seconds=len(self.events))).isoformat()
        shifted = e.TrafficShifted(
            release_id=release, step_id=f"{release}/{route}", route_version=route, shares=shares,
            shifted_at=at,
        )  # fmt: skip
        return self.tell(shifted, release)

    def at(self, index: int) -> str:
        """Return the time of an event of the history."""
        return self.events[index].time


def captured(key: str, at: datetime = BEGAN, **detail: Any) -> Received:
    """Return S3's event about an object in the capture bucket."""
    return parse_event(
        {
            "id": "s3", "source": "aws.s3", "detail-type": "Object Created",
            "time": at.isoformat(),
            "detail": {
                "bucket": {"name": CAPTURE}, "object": {"key": key, "version-id": "v1"}, **detail,
            },
        }
    )  # fmt: skip


def whole_life() -> History:
    """Return two deliveries, a feature group, two versions and two releases."""
    history = History().deliver("d1").deliver("l1", "labs")
    history.tell(
        e.FeatureGroupVersioned(
            group="labs", version=1, definition_digest="f" * 64, physical_name="labs-v1",
            source_table="labs",
        )
    )  # fmt: skip
    history.materialise("labs", 1, "l1")
    history.train("run1-1", "set1", ["d1"], ["labs/v1"], 1)
    history.tell(e.VersionApproved(version=1, evidence_digest="a" * 64, approvers=["ana"]))
    history.release(1, "00000001-1", None, 1)
    history.tell(e.VersionPromoted(version=1))
    history.deliver("d2").deliver("l2", "labs").materialise("labs", 1, "l2")
    history.train("run2-1", "set2", ["d1", "d2"], ["labs/v1"], 2)
    history.tell(e.VersionApproved(version=2, evidence_digest="b" * 64, approvers=["ana"]))
    history.release(2, "00000002-1", 1, 2)
    history.tell(e.VersionPromoted(version=2, previous=1))
    return history
