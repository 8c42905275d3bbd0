"""Models from elsewhere: brought in as files, registered as any candidate, proven by staging."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.events import VersionImported
from steward.contracts.steps.registry import (
    BaselineReference,
    GateResult,
    ImportedFrom,
    RegisteredVersion,
    RegisterVersion,
)
from steward.domain.approvals import UNKNOWN_AUTHOR
from steward.domain.digests import digest_of
from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    ProjectNotFoundError,
    RejectedError,
)
from steward.domain.names import run_id
from steward.domain.principals import identity_of, is_person
from steward.domain.version_archive import (
    DATASET,
    EVALUATION,
    EVIDENCE,
    EXAMPLES,
    MANIFEST,
    MAX_JSON_BYTES,
    MAX_MODEL_BYTES,
    MEMBERS,
    MODEL,
    Manifest,
    check_evidence_of,
    check_model,
    import_digest,
    import_uri,
    parse_manifest,
)
from steward.domain.versions import UNPROVEN
from steward.ports import (
    Absent,
    Clock,
    Ids,
    Item,
    JobImage,
    ModelRegistry,
    ObjectStore,
    Put,
    StateStore,
    Table,
)
from steward.service.emission import Cause, event
from steward.service.policy_in_force import pin_policy
from steward.service.registry.import_judging import VERDICT, judge_import
from steward.service.registry.promoting import Accepted, Promoted, check_terms
from steward.service.registry.records import versions_of
from steward.service.registry.registration import register_version

if TYPE_CHECKING:
    from steward.contracts.registry import ImportVersion
    from steward.domain.offers import Terms
    from steward.domain.policy.in_force import PinnedPolicy

_BROUGHT = ("code", "dataset", "comparison", "gate")
_BESIDE, _JUDGED, _CARD = ("baseline", "bias", "explanation"), ("bias", "explanation"), "card.json"
_EXPORTED = ("comparison", "gate")
"""A comparison with another account's champion, and its gate, prove nothing here."""


@dataclass(frozen=True)
class ImportPorts:
    """What an import needs from outside.

    Attributes:
        environment: The deployment environment.
        data_bucket: Where dataset manifests and recorded examples lie.
        artifacts_bucket: Where models, evaluations and what is imported lie.
    """

    state: StateStore
    objects: ObjectStore
    registry: ModelRegistry
    job_image: JobImage
    clock: Clock
    ids: Ids
    environment: str
    data_bucket: str
    artifacts_bucket: str


def import_version(
    request: ImportVersion, *, caller_arn: str, person_roles: frozenset[str], ports: ImportPorts
) -> RegisteredVersion:
    """Register what a verified caller has brought, as a version that waits for its staging.

    Every file is read again here and compared with the digest that was named; the model is
    walked through without being unpacked. Approvals of another account are not looked at.
    The same files again are the same version.

    Raises:
        ProjectNotFoundError: The project is not configured.
        EvidenceIncompleteError: A file is missing or is not what its digest says.
        RejectedError: A file may do harm or cannot be read; or the policy in force holds the bias
            or explanation that an archive brought.
    """
    from steward.domain.project import parse_project  # large: paid by an import

    configured = configured_project(request.project, ports.state)
    brought = _Brought(request, ports)
    brought.check()
    bringer = identity_of(caller_arn, person_roles)
    author = bringer if is_person(caller_arn, person_roles) else UNKNOWN_AUTHOR
    policy = pin_policy(ports.state, parse_project(configured["config"]))
    command = brought.judged(brought.registered(configured, author), policy)
    return _register(command, configured, bringer, policy, ports, None)


def import_promoted(
    request: ImportVersion, terms: Terms, *, by: str, ports: ImportPorts
) -> RegisteredVersion:
    """Register what the environment before offered, as a version that waits for its staging.

    It is checked as any import. Its author is the one of before, and its policy the one that its
    gate judged by there.

    Raises:
        ProjectNotFoundError: The project is not configured here.
        EvidenceIncompleteError: A file is not what its digest says, or the policy is another.
        RejectedError: The policy here requires more, or as for any import.
    """
    configured = configured_project(request.project, ports.state)
    brought = _Brought(request, ports)
    brought.check()
    accepted = check_terms(
        terms, brought.promoted(), by=by, configured=configured, state=ports.state
    )
    registered = brought.registered(configured, accepted.author, accepted)
    command = brought.judged(registered, accepted.policy)
    return _register(command, configured, accepted.by, accepted.policy, ports, accepted)


def configured_project(project: str, state: StateStore) -> Item:
    """Return a project's item.

    Raises:
        ProjectNotFoundError: It is not configured here.
    """
    configured = state.get(Table.PROJECTS, {"project": project})
    if configured is None:
        raise ProjectNotFoundError(
            f"no project {project!r}", field="project", value=project,
            allowed="a configured project: `steward project list`",
        )  # fmt: skip
    return configured


def _register(
    command: RegisterVersion, configured: Item, bringer: str, policy: PinnedPolicy,
    ports: ImportPorts, promoted: Accepted | None,
) -> RegisteredVersion:  # fmt: skip
    _record_run(command, configured, bringer, policy, ports, promoted)
    return register_version(
        command, state=ports.state, registry=ports.registry, clock=ports.clock, ids=ports.ids,
        environment=ports.environment,
    )  # fmt: skip


class _Brought:
    """The files of one import."""

    def __init__(self, request: ImportVersion, ports: ImportPorts) -> None:
        self._ports, self._project = ports, request.project
        self._members = {member.name: member for member in request.members}
        if len(self._members) < len(request.members) or set(self._members) - MEMBERS - {MANIFEST}:
            raise RejectedError(
                "a file of an unknown name, or twice", field="members",
                value=[member.name for member in request.members],
                allowed=", ".join(sorted(MEMBERS | {MANIFEST})),
            )  # fmt: skip
        self.digest = import_digest(request.members)
        self._name = f"import-{self.digest[:12]}"
        self._manifest: Manifest | None = None

    def check(self) -> None:
        """Raise unless every file is there, is what its digest says, and does no harm."""
        from steward.domain.model_summary import summarize  # large: paid by an import

        for name in (MODEL, EVALUATION):
            if name not in self._members:
                raise EvidenceIncompleteError(
                    f"an import needs {name}", field="members", allowed=f"{MODEL}, {EVALUATION}"
                )
        for member in self._members.values():
            self._check_file(member.name, member.sha256)
        summarize(self._json(EVALUATION), None, None)
        if MANIFEST in self._members:
            self._check_manifest()
        with self._ports.objects.open(self._uri(MODEL)) as stream:
            check_model(stream)

    def _check_file(self, name: str, wanted: str) -> None:
        bucket, _, key = self._uri(name).removeprefix("s3://").partition("/")
        info = self._ports.objects.describe(bucket, key)
        most = MAX_MODEL_BYTES if name == MODEL else MAX_JSON_BYTES
        if info is None or info.size > most:
            raise EvidenceIncompleteError(
                f"{name} is not at {self._uri(name)}, or too large", field=name,
                value=info.size if info else None, allowed=f"at most {most} bytes",
            )  # fmt: skip
        found = self._ports.objects.sha256(bucket, key)
        if found != wanted:
            raise EvidenceIncompleteError(
                f"{name} is not what was named", field=name, value=found, allowed=wanted
            )

    def _check_manifest(self) -> None:
        manifest = parse_manifest(self._ports.objects.read(self._uri(MANIFEST)))
        named = {member.name: member.sha256 for member in manifest.members}
        given = {name: part.sha256 for name, part in self._members.items() if name != MANIFEST}
        if named != given:
            raise EvidenceIncompleteError(
                "the files are not those of the manifest", field="members",
                value=sorted(set(named.items()) ^ set(given.items()))[0][0],
                allowed="exactly what the manifest names",
            )  # fmt: skip
        content = self._ports.objects.read(self._uri(EVIDENCE))
        check_evidence_of(manifest, content, self._json(EVIDENCE))
        self._manifest = manifest

    def promoted(self) -> Promoted:
        """Return what a promotion is judged by: the manifest and the evidence that it names.

        Raises:
            EvidenceIncompleteError: The files are no archive.
        """
        if self._manifest is None:
            raise EvidenceIncompleteError(
                "only an archive of another environment can be promoted", field="members",
                allowed=f"{MANIFEST} and what it names",
            )  # fmt: skip
        return Promoted(self._manifest.source, self._json(EVIDENCE))

    def registered(
        self, configured: Item, author: str, promoted: Accepted | None = None
    ) -> RegisterVersion:
        """Put the files where a run would have; return the registering task's input."""
        data = f"s3://{self._ports.data_bucket}/datasets/{self._project}/{self._name}"
        artifacts = f"s3://{self._ports.artifacts_bucket}"
        evaluations = f"{artifacts}/evaluations/{self._project}/{self._name}"
        model = f"{artifacts}/models/{self._project}/{self._name}/{MODEL}"
        self._copy(EXAMPLES, f"{data}/examples.json", self._recorded_examples)
        self._copy(DATASET, f"{data}/manifest.json", self._no_dataset)
        self._copy(MODEL, model)
        self._copy(EVALUATION, f"{evaluations}/{EVALUATION}")
        beside = {name: self._beside(name, evaluations) for name in _BESIDE}
        source = self._manifest.source if self._manifest else None
        run = run_id(self.digest, 1)
        return RegisterVersion(
            project=self._project, run_id=run, correlation_id=run, author=author,
            config_digest=str(configured.get("config_digest") or digest_of(configured["config"])),
            code_digest=source.code_digest if source else UNPROVEN,
            artifact_uri=model, job_image=self._ports.job_image.uri(),
            dataset_id=self._dataset_id(), manifest_uri=f"{data}/manifest.json",
            evaluation_uri=f"{evaluations}/{EVALUATION}", **beside,
            gate=GateResult(verdict=VERDICT, reasons=[self._reason()]),
            imported=self._provenance(promoted),
        )  # fmt: skip

    def _beside(self, part: str, folder: str) -> BaselineReference | None:
        """Put a file that the evaluation wrote where a run would have.

        Bias and explanation of a single artifact are left: no evidence names them.
        """
        name = f"{part}.json"
        if name not in self._members or (part in _JUDGED and self._manifest is None):
            return None
        self._copy(name, f"{folder}/{name}")
        return BaselineReference(uri=f"{folder}/{name}", digest=self._members[name].sha256)

    def judged(self, command: RegisterVersion, policy: PinnedPolicy) -> RegisterVersion:
        """Return the registering task's input with what the policy makes of what was brought."""
        ports = self._ports
        documents = {
            part: self._json(f"{part}.json")
            for part in _JUDGED
            if getattr(command, part) is not None
        }
        evidence = {"evaluation": self._members[EVALUATION].sha256}
        evidence |= {
            part: found.digest for part in _BESIDE if (found := getattr(command, part)) is not None
        }
        if command.dataset_id != UNPROVEN:
            evidence["dataset"] = self._members[DATASET].sha256
        gate = judge_import(
            command, documents, evidence, policy, state=ports.state, objects=ports.objects,
            clock=ports.clock, bucket=ports.artifacts_bucket,
        )  # fmt: skip
        return command.model_copy(update={"gate": gate})

    def _reason(self) -> str:
        where = (
            f"account {self._manifest.source.account}, {self._manifest.source.project} "
            f"{self._manifest.source.version}"
            if self._manifest
            else "a single artifact"
        )
        return f"imported from {where}: no gate here has judged it"

    def _provenance(self, promoted: Accepted | None) -> ImportedFrom:
        manifest = self._manifest
        if manifest is None:
            return ImportedFrom(import_digest=self.digest, unproven=list(_BROUGHT))
        unproven = [*_EXPORTED, *(["dataset"] if DATASET not in self._members else [])]
        if promoted and _digest_of(manifest.source.job_image) != _digest_of(
            self._ports.job_image.uri()
        ):
            unproven.append("image")
        return ImportedFrom(
            import_digest=self.digest, export_digest=manifest.digest,
            source={
                **{k: str(v) for k, v in manifest.source.model_dump().items()},
                **({"card_digest": self._members[_CARD].sha256} if _CARD in self._members else {}),
            },
            unproven=unproven,
            promoted_by=promoted.by if promoted else None,
            approvers=promoted.approvers if promoted else [],
        )  # fmt: skip

    def _dataset_id(self) -> str:
        if DATASET not in self._members or self._manifest is None:
            return UNPROVEN
        dataset = self._json(EVIDENCE).get("dataset")
        return str(dataset["dataset_id"]) if isinstance(dataset, dict) else UNPROVEN

    def _no_dataset(self) -> bytes:
        return json.dumps({"dataset": UNPROVEN, "import_digest": self.digest}).encode()

    def _recorded_examples(self) -> bytes:
        """Return the examples of the newest version that has some: the schema is the project's."""
        for item in reversed(versions_of(self._ports.state, self._project)):
            folder = str(item.get("manifest_uri", "")).rpartition("/")[0]
            try:
                return self._ports.objects.read(f"{folder}/examples.json")
            except EvidenceIncompleteError:
                continue
        raise EvidenceIncompleteError(
            f"{self._project} has no recorded examples for the smoke test",
            field=EXAMPLES,
            allowed="--examples, or a version of the project that was trained here",
        )

    def _copy(self, name: str, target: str, otherwise: Any = None) -> None:
        if name in self._members:
            self._ports.objects.copy(self._uri(name), target)
            bucket, _, key = target.removeprefix("s3://").partition("/")
            if self._ports.objects.sha256(bucket, key) != self._members[name].sha256:
                raise EvidenceIncompleteError(
                    f"{name} changed while it was imported", field=name,
                    allowed=self._members[name].sha256,
                )  # fmt: skip
        elif otherwise is not None:
            self._ports.objects.write(target, otherwise())

    def _json(self, name: str) -> Mapping[str, Any]:
        try:
            found = json.loads(self._ports.objects.read(self._uri(name)))
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise EvidenceIncompleteError(f"{name} is no JSON object", field=name, allowed="JSON")
        return found

    def _uri(self, name: str) -> str:
        return import_uri(self._ports.artifacts_bucket, self._project, self.digest, name)


def _digest_of(image: str) -> str:
    return image.rpartition("@")[2]


def _record_run(
    command: RegisterVersion, configured: Item, bringer: str, policy: PinnedPolicy,
    ports: ImportPorts, promoted: Accepted | None,
) -> None:  # fmt: skip
    """Pin the configuration and policy that the version is served and judged by, as a run does.

    Who promotes a version asked for it, and may not approve it.
    """
    now = ports.clock.now().isoformat(timespec="milliseconds")
    trigger = {"kind": "request", "actor": bringer} if promoted else {"kind": "import"}
    run = {
        "project": command.project, "run_id": command.run_id, "status": "succeeded",
        "trigger": trigger, "config": configured["config"], "author": bringer,
        "config_digest": command.config_digest, "code_digest": command.code_digest,
        "correlation_id": command.correlation_id, "requested_at": now, "started_at": now,
        "ended_at": now, "policy": policy.model_dump(mode="json"),
    }  # fmt: skip
    told = []
    if promoted is not None and command.imported is not None:
        payload = VersionImported(
            run_id=command.run_id, import_digest=command.imported.import_digest,
            export_digest=str(command.imported.export_digest), origin=command.imported.source,
            approvers=promoted.approvers,
        )  # fmt: skip
        cause = Cause(command.project, command.correlation_id, command.run_id, bringer)
        told = [event(payload, cause, ports.clock, ports.ids)]
    try:
        ports.state.commit([Put(Table.RUNS, run, expect=(Absent(),))], told)
    except ConflictError:
        return
