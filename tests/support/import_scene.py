"""Files that are imported into a registry on fakes."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

from steward.contracts.registry import ImportVersion, NamedFile
from steward.domain.version_archive import import_digest, import_uri
from steward.ports import Table
from steward.service.registry.imports import ImportPorts, import_version
from support.registry_scene import BUCKET, CONFIG, PROJECT, Scene, evaluation, user

IMAGE = "local/steward-jobs@sha256:" + "1" * 64
EVALUATION = json.dumps(evaluation(champion=False)).encode()
EXAMPLES = b'{"cases": []}'


def model(name: str = "model.json") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


MODEL = model()


class Image:
    def uri(self) -> str:
        return IMAGE


class Importing:
    """A registry into which files are imported."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": CONFIG})

    def upload(self, files: dict[str, bytes]) -> ImportVersion:
        """Put files where an import finds them; return the request."""
        named = {
            name: self.scene.objects.write(f"s3://{BUCKET}/given/{name}", content)
            for name, content in files.items()
        }
        request = ImportVersion(
            project=PROJECT,
            members=[NamedFile(name=name, sha256=digest) for name, digest in named.items()],
        )
        digest = import_digest(request.members)
        for name, content in files.items():
            self.scene.objects.write(import_uri(BUCKET, PROJECT, digest, name), content)
        return request

    def register(self, request: ImportVersion, caller: str = user("tess")) -> int:
        scene = self.scene
        return import_version(
            request, caller_arn=caller, person_roles=frozenset({"Approver"}),
            ports=ImportPorts(
                state=scene.state, objects=scene.objects, registry=scene.registry,
                job_image=Image(), clock=scene.clock, ids=scene.ids, environment="dev",
                data_bucket="data", artifacts_bucket=BUCKET,
            ),
        ).version  # fmt: skip

    def evidence(self, version: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.scene.objects.read(self.scene.item(version)["evidence_uri"])
        )
        return found


OWN = {"model.tar.gz": MODEL, "evaluation.json": EVALUATION, "examples.json": EXAMPLES}
