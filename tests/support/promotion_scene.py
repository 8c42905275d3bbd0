"""Two environments in two accounts on fakes, and the events that pass between them."""

from __future__ import annotations

import json
from typing import Any

from steward.contracts.events import Event, OfferAnswered, VersionOffered
from steward.contracts.incoming import Received
from steward.contracts.registry import OfferVersion
from steward.domain.digests import canonical_json
from steward.domain.errors import AccessDeniedError
from steward.domain.offers import Neighbour
from steward.domain.policy.in_force import pinned
from steward.domain.policy.platform import platform_policy
from steward.domain.project import parse_project
from steward.ports import Item, ObjectInfo, Table
from steward.service.registry.exporting import Exporter
from steward.service.registry.imports import ImportPorts
from steward.service.registry.offering import OfferPorts, offer_version, record_answer
from steward.service.registry.receiving import ReceivePorts, receive_offer
from support.fakes import FakeObjects
from support.import_scene import EVALUATION, EXAMPLES, IMAGE, MODEL, Image
from support.registry_scene import BUCKET, CONFIG, PROJECT, Scene

DEV, PROD = "222222222222", "111111111111"
DEV_BUS = f"arn:aws:events:us-east-1:{DEV}:event-bus/steward-dev-promotions"
PROD_BUS = f"arn:aws:events:us-east-1:{PROD}:event-bus/steward-prod-promotions"
AUTHOR, APPROVER, BY = f"{DEV}/tess", f"{DEV}/ada", f"{DEV}/zoe"
EXPORTS = "dev-exports"
PACKAGE = f"arn:aws:sagemaker:us-east-1:{DEV}:model-package/steward-dev-{PROJECT}/3"
POLICY = pinned(platform_policy(), "platform", parse_project(CONFIG)).model_dump(mode="json")


class Denying(FakeObjects):
    """Objects of which the sender's bucket policy or key refuses some."""

    def __init__(self) -> None:
        super().__init__()
        self.denied: set[str] = set()

    def describe(self, bucket: str, key: str, version_id: str | None = None) -> ObjectInfo | None:
        """Refuse what another account may not read."""
        if bucket in self.denied:
            raise AccessDeniedError(f"describe s3://{bucket}/{key}: Forbidden")
        return super().describe(bucket, key, version_id)


class Crossing:
    """A version of dev that was approved, and prod, which takes versions of dev."""

    def __init__(self) -> None:
        self.objects = Denying()
        self.dev, self.prod = Scene(objects=self.objects), Scene(objects=self.objects)
        self.goals: tuple[Neighbour, ...] = (Neighbour(PROD_BUS, PROD),)
        self.origin: Neighbour | None = Neighbour(DEV_BUS, DEV)
        self.prod.state.put(Table.PROJECTS, {"project": PROJECT, "config": CONFIG})
        self.approved()

    def approved(self, **changes: Any) -> None:
        """Put an approved version with frozen evidence into dev."""
        base = f"s3://{BUCKET}-dev"
        files = {
            "artifact": MODEL, "evaluation": EVALUATION, "baseline": b"{}", "manifest": b"{}",
        }  # fmt: skip
        part = {
            name: {"uri": f"{base}/{name}", "sha256": self.objects.write(f"{base}/{name}", content)}
            for name, content in files.items()
        }
        self.objects.write(f"{base}/examples.json", EXAMPLES)
        policy = changes.get("policy", POLICY)
        named = {key: policy[key] for key in ("name", "digest", "tier")}
        evidence = canonical_json({
            "artifact": part["artifact"], "evaluation": part["evaluation"],
            "baseline": part["baseline"], "gate": {"verdict": "pass", "policy": named},
            "dataset": {"dataset_id": "d7", "manifest": part["manifest"]},
        })  # fmt: skip
        digest = self.objects.write(f"{base}/evidence.json", evidence)
        vote = {
            "identity": APPROVER, "decision": "approve", "principal_arn": "arn",
            "at": "2026-01-12T09:00:00.000+00:00", "evidence_digest": digest, "comment": "",
        }  # fmt: skip
        item: Item = {
            "project": PROJECT, "item": "version#00000003", "version": 3, "state": "approved",
            "author": AUTHOR, "trainer": AUTHOR, "job_image": IMAGE, "code_digest": "c" * 64,
            "evidence_digest": digest, "evidence_uri": f"{base}/evidence.json", "quorum": 1,
            "expires_at": "2026-01-19T09:00:00.000+00:00", "policy": policy, "approvals": [vote],
            "manifest_uri": f"{base}/manifest", "correlation_id": "run-1",
            "model_package_arn": PACKAGE,
        }  # fmt: skip
        self.dev.state.put(Table.VERSIONS, {**item, **changes})
        self.dev.registry.packages[PACKAGE] = {"ModelApprovalStatus": "Approved"}

    def offer(self, environment: str = "prod", by: str = BY, **asked: Any) -> dict[str, Any]:
        """Ask in dev."""
        wanted = OfferVersion(project=PROJECT, version=3, environment=environment, **asked)
        return offer_version(
            wanted, actor=by,
            request_id="r1",
            ports=OfferPorts(
                state=self.dev.state, objects=self.objects, clock=self.dev.clock, ids=self.dev.ids,
                exporter=Exporter(DEV, "us-east-1", "dev"), goals=self.goals,
                exports_bucket=EXPORTS,
            ),
        )  # fmt: skip

    def sent(self) -> Event:
        """Return the newest offer that dev has put onto its bus."""
        return self.dev.state.named("VersionOffered")[-1]

    def arrives(
        self, event: Event | None = None, account: str = DEV, **changes: Any
    ) -> dict[str, Any]:
        """Deliver an offer to prod."""
        return receive_offer(
            _received(event or self.sent(), account, changes),
            ReceivePorts(
                ImportPorts(
                    state=self.prod.state, objects=self.objects, registry=self.prod.registry,
                    job_image=Image(), clock=self.prod.clock, ids=self.prod.ids,
                    environment="prod", data_bucket="data", artifacts_bucket=BUCKET,
                ),
                registry_in=lambda _region: self.dev.registry,
                account=PROD, origin=self.origin,
            ),
        )  # fmt: skip

    def answers(
        self, event: Event | None = None, account: str = PROD, **changes: Any
    ) -> dict[str, Any]:
        """Deliver prod's newest answer to dev."""
        told = event or self.prod.state.named("OfferAnswered")[-1]
        return record_answer(
            _received(told, account, changes), goals=self.goals, state=self.dev.state,
            clock=self.dev.clock, ids=self.dev.ids,
        )  # fmt: skip

    def promoted(self) -> dict[str, Any]:
        """Ask, deliver the offer, deliver the answer; return what dev then knows."""
        self.offer()
        self.arrives()
        return self.answers()

    def folder(self) -> str:
        """Return where the newest offer lies."""
        data = self.sent().data
        assert isinstance(data, VersionOffered)
        return data.export_uri


def _received(event: Event, account: str, changes: dict[str, Any]) -> Received:
    """Return an event as EventBridge delivers it, some of its data changed on the way."""
    data = event.data.model_copy(update=changes)
    assert isinstance(data, VersionOffered | OfferAnswered)
    detail = json.loads(Event(**{**dict(event), "data": data}).detail_json())
    return Received(
        id=f"delivered-{event.event_id}", time=event.time, source=event.source,
        detail_type=event.detail_type, account=account, resources=[], replayed=False,
        meta=event.meta.model_validate(detail["meta"]), detail=data,
    )  # fmt: skip
