"""CodeBuild for a pipeline: the commands of a buildspec as a process, with the project's role.

The phase ``install`` is left out: the tools of this Python stand for the build image's.
Buildspec: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

import fnmatch
import io
import json
import shlex
import shutil
import sys
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError
from ministack.core.responses import get_region
from ministack.services import codebuild

from steward_local import authority
from steward_local.codepipeline import roles
from steward_local.codepipeline.roles import RefusedError
from steward_local.sagemaker import container, settings
from steward_local.sagemaker.container_logs import LogStream
from steward_local.sagemaker.image import Runner

SERVICE = "codebuild.amazonaws.com"
PHASES = ("pre_build", "build", "post_build")
MOST_BYTES = 512 * 1024 * 1024


@dataclass
class Built:
    """How a build ended."""

    build_id: str
    failure: str = ""
    variables: dict[str, str] = field(default_factory=dict)


def build(
    project: str, source: tuple[str, str], outputs: dict[str, tuple[str, str]],
    encrypted: dict[str, str], *, stop: threading.Event,
) -> Built:  # fmt: skip
    """Build a source artifact and store what the buildspec names.

    Raises:
        RefusedError: There is no such project, or its role may not do it.
    """
    status, _, body = codebuild._start_build({"projectName": project})
    if status >= 300:
        raise RefusedError("ConfigurationError", json.loads(body).get("message", "no project"))
    record = codebuild._builds[json.loads(body)["build"]["id"]]
    declared = codebuild._projects[project]
    built = Built(record["id"])
    base = settings.current().state / "tmp" / "codebuild" / record["id"].replace(":", "-")
    try:
        credentials = authority.assume_for_service(declared["serviceRole"], SERVICE, "build")
        s3 = roles.client("s3", credentials, get_region())
        folder = base / "src"
        unpack(s3.get_object(Bucket=source[0], Key=source[1])["Body"].read(), folder)
        spec = _buildspec(declared, folder)
        built.failure = _run(spec, declared, credentials, base, record["id"], stop)
        if not built.failure:
            content = pack(folder, (spec.get("artifacts") or {}).get("files") or ["**/*"])
            for bucket, key in outputs.values():
                s3.put_object(Bucket=bucket, Key=key, Body=content, **encrypted)
    except (authority.AssumeRoleError, ClientError) as error:
        raise RefusedError("PermissionError", f"the build's role: {error}") from error
    finally:
        record["buildStatus"] = "FAILED" if built.failure else "SUCCEEDED"
        shutil.rmtree(base, ignore_errors=True)
    return built


def _buildspec(declared: dict[str, Any], folder: Path) -> dict[str, Any]:
    name = (declared.get("source") or {}).get("buildspec") or "buildspec.yml"
    path = folder / name
    if not path.is_file():
        raise RefusedError("ConfigurationError", f"YAML_FILE_ERROR: {name} is not in the source")
    try:
        parsed = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RefusedError("ConfigurationError", f"YAML_FILE_ERROR: {error}") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("phases"), dict):
        raise RefusedError("ConfigurationError", "YAML_FILE_ERROR: phases are missing")
    return parsed


def _run(
    spec: dict[str, Any], declared: dict[str, Any], credentials: authority.RoleCredentials,
    base: Path, build_id: str, stop: threading.Event,
) -> str:  # fmt: skip
    """Run the commands in order; return why the build failed, or nothing."""
    (base / "tmp").mkdir()
    tools = str(Path(sys.executable).parent)
    script = [f"PATH={shlex.quote(tools)}:$PATH", "export PATH", "cd src"]
    for phase in PHASES:
        for command in (spec["phases"].get(phase) or {}).get("commands") or []:
            failed = f"COMMAND_EXECUTION_ERROR in {phase}: {command}"
            script.append(f"{command} || {{ echo {shlex.quote(failed)}; exit 1; }}")
    variables = {str(k): str(v) for k, v in (spec.get("env", {}).get("variables") or {}).items()}
    variables |= {"CODEBUILD_BUILD_ID": build_id, "CODEBUILD_SRC_DIR": str(base / "src")}
    env = container.environment(Runner("build"), credentials, get_region(), base, variables)
    group = ((declared.get("logsConfig") or {}).get("cloudWatchLogs") or {}).get("groupName")
    log = LogStream(
        group or f"/aws/codebuild/{declared['name']}", build_id.rsplit(":", 1)[-1],
        authority.principal_of(credentials),
    )  # fmt: skip
    tail: list[str] = []
    ending = container.run(
        ["/bin/sh", "-c", "\n".join(script)], env, base, log,
        seconds=float(declared.get("timeoutInMinutes", 60)) * 60, stop=stop,
        on_lines=tail.extend, grace=2.0,
    )  # fmt: skip
    if ending.exit_code == 0 and not ending.timed_out and not ending.stopped:
        return ""
    why = "timed out" if ending.timed_out else f"exit {ending.exit_code}"
    return f"Build {build_id} failed ({why}): {' | '.join(tail[-4:])}"[:1500]


def unpack(content: bytes, folder: Path) -> None:
    """Unpack an artifact.

    Raises:
        RefusedError: It is no zip, too large, or leads out of the folder.
    """
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(one.file_size for one in archive.infolist()) > MOST_BYTES:
                raise RefusedError("ConfigurationError", "the source unpacks to more than 512 MB")
            for one in archive.infolist():
                target = (folder / one.filename).resolve()
                if not target.is_relative_to(folder.resolve()):
                    raise RefusedError("ConfigurationError", f"{one.filename} leads outside")
            archive.extractall(folder)
    except zipfile.BadZipFile as error:
        raise RefusedError("ConfigurationError", "DOWNLOAD_SOURCE: not a zip archive") from error


def pack(folder: Path, patterns: list[str]) -> bytes:
    """Zip the files that an artifact names, in the order of their paths."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            hit = any(p in ("**/*", "*") or fnmatch.fnmatch(name, p) for p in patterns)
            if path.is_file() and hit and "__pycache__" not in path.parts:
                archive.write(path, name)
    return buffer.getvalue()
