"""Deploy the stack into a running engine with the real SAM CLI."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3

from steward_local.engine import Engine
from steward_local.errors import DeployError

_REPOSITORY = Path(__file__).resolve().parents[2]
LOCAL = "local"
"""The environment of samconfig.toml that a laptop has."""
# What a build reads; a change in any of it makes the last build stale.
_SOURCES = ("template.yaml", "stacks", "functions", "layers", "statemachines")
_STAMP = Path(".aws-sam") / "steward-build.sha256"
_BUILT = Path(".aws-sam") / "build" / "template.yaml"
# What `sam package` made of that build: the template and its artifacts.
_PACKAGE = Path(".aws-sam") / "steward-package"
_ARTIFACTS_BUCKET = "steward-local-artifacts"
_BUCKET_OF_ACCOUNT = re.compile(rb"steward-local-artifacts-\d{12}")
_LAST_LINES = 25


def sam_command() -> Path:
    """Return the SAM CLI: `STEWARD_SAM`, or the one in the repository's tool environment.

    Raises:
        DeployError: It is not there.
    """
    command = Path(os.environ.get("STEWARD_SAM") or _REPOSITORY / ".tools" / "sam" / "bin" / "sam")
    if not command.is_file():
        raise DeployError(f"The SAM CLI is not at {command}; `make setup` installs it.")
    return command


def deploy(
    engine: Engine,
    on_line: Callable[[str], None],
    *,
    project: Path = _REPOSITORY,
    parameters: Mapping[str, str] | None = None,
    environment: str = LOCAL,
) -> dict[str, str]:
    """Build, package and deploy the project's template; return the root stack's outputs.

    A build whose sources have not changed is used again, and so are its zipped artifacts: most
    of a deployment's time goes into zipping layers. Of several that begin at once, each into an
    engine of its own, one builds and packages while the others wait for it.

    Args:
        engine: Where to.
        on_line: Told every line that the SAM CLI prints.
        project: Directory of template.yaml and samconfig.toml.
        parameters: Of the template, beside and before those in samconfig.toml.
        environment: The one of samconfig.toml; an account may have several.

    Raises:
        DeployError: `sam` failed; the message ends with its last lines.
    """
    with _alone(project):
        build(engine, on_line, project=project)
        template = _package(engine, on_line, project)
    arguments = ["deploy", "--config-env", environment, "--template-file", str(template)]
    arguments += ["--config-file", str(project / "samconfig.toml")]
    if parameters:
        added = [f"{name}={value}" for name, value in parameters.items()]
        arguments += ["--parameter-overrides", *_overrides(project, environment).split(), *added]
    _run(engine, arguments, project, on_line)
    return outputs(engine, stack_name(project, environment))


@contextlib.contextmanager
def _alone(project: Path) -> Iterator[None]:
    """Hold the project's build folder: what `sam build` writes there, two cannot at once."""
    folder = project / ".aws-sam"
    folder.mkdir(exist_ok=True)
    with (folder / "steward.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _package(engine: Engine, on_line: Callable[[str], None], project: Path) -> Path:
    """Put the build's artifacts into the engine; return the template that refers to them."""
    folder = project / _PACKAGE
    template, stamp, objects = folder / "template.yaml", folder / "stamp", folder / "objects"
    digest = (project / _STAMP).read_text()
    bucket = f"{_ARTIFACTS_BUCKET}-{engine.account}"
    with contextlib.closing(_client(engine, "s3")) as s3:
        s3.create_bucket(Bucket=bucket)
        if stamp.is_file() and stamp.read_text() == digest:
            on_line("Nothing changed since the last `sam package`; uploading its artifacts.")
            for path in sorted(objects.iterdir()):
                s3.put_object(Bucket=bucket, Key=path.name, Body=_of_bucket(path, bucket))
            return _own(template, bucket)
        shutil.rmtree(folder, ignore_errors=True)
        objects.mkdir(parents=True)
        arguments = ["package", "--s3-bucket", bucket]
        _run(engine, [*arguments, "--output-template-file", str(template)], project, on_line)
        for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
            s3.download_file(bucket, item["Key"], str(objects / item["Key"]))
    # SAM names nested templates by this engine's URL, and would take it for a path; S3's own
    # name holds for every engine.
    named = template.read_text().replace(
        engine.endpoint, f"https://s3.{engine.region}.amazonaws.com"
    )
    template.write_text(named)
    stamp.write_text(digest)
    return template


def _of_bucket(path: Path, bucket: str) -> bytes:
    """Return a packaged file; a template names the artifacts in this account's bucket."""
    content = path.read_bytes()
    if path.suffix != ".template":
        return content
    return _BUCKET_OF_ACCOUNT.sub(bucket.encode(), content)


def _own(template: Path, bucket: str) -> Path:
    """Write the root template for this account's bucket beside the packaged one."""
    own = template.with_name(f"{bucket}.yaml")
    own.write_bytes(_BUCKET_OF_ACCOUNT.sub(bucket.encode(), template.read_bytes()))
    return own


def build(engine: Engine, on_line: Callable[[str], None], *, project: Path = _REPOSITORY) -> None:
    """Run `sam build --cached --parallel` unless the last build is of the same sources."""
    digest = _digest(project)
    stamp = project / _STAMP
    if (project / _BUILT).is_file() and stamp.is_file() and stamp.read_text() == digest:
        on_line("Nothing changed since the last `sam build`; using it.")
        return
    stamp.unlink(missing_ok=True)
    arguments = ["build", "--cached", "--parallel", "--config-env", LOCAL]
    _run(engine, arguments, project, on_line)
    stamp.write_text(digest)


def _environment_of(project: Path, environment: str) -> dict[str, Any]:
    """Return an environment in samconfig.toml."""
    with (project / "samconfig.toml").open("rb") as file:
        found: dict[str, Any] = tomllib.load(file).get(environment, {})
    return found


def _overrides(project: Path, environment: str) -> str:
    """Return the template's parameters in samconfig.toml."""
    parameters = _environment_of(project, environment).get("deploy", {}).get("parameters", {})
    return str(parameters.get("parameter_overrides", ""))


def stack_name(project: Path = _REPOSITORY, environment: str = LOCAL) -> str:
    """Return the root stack's name of an environment in samconfig.toml."""
    declared = _environment_of(project, environment)
    for command in ("deploy", "global"):
        name = declared.get(command, {}).get("parameters", {}).get("stack_name")
        if name:
            return str(name)
    raise DeployError(f"samconfig.toml names no stack_name for {environment}.")


def outputs(engine: Engine, stack: str) -> dict[str, str]:
    """Return the outputs of a deployed stack by key."""
    with contextlib.closing(_client(engine, "cloudformation")) as client:
        described = client.describe_stacks(StackName=stack)["Stacks"][0]
    return {item["OutputKey"]: item["OutputValue"] for item in described.get("Outputs", [])}


def _client(engine: Engine, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=engine.endpoint,
        region_name=engine.region,
        aws_access_key_id=engine.access_key,
        aws_secret_access_key=engine.secret_key,
    )


def _source_files(project: Path) -> Iterator[Path]:
    for name in _SOURCES:
        source = project / name
        found = sorted(source.rglob("*")) if source.is_dir() else [source]
        yield from (path for path in found if path.is_file() and "__pycache__" not in path.parts)


def _digest(project: Path) -> str:
    digest = hashlib.sha256(str(sam_command()).encode() + sys.version.encode())
    for path in _source_files(project):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(project)}\0{content}\n".encode())
    return digest.hexdigest()


def _environment(engine: Engine) -> dict[str, str]:
    """The caller's environment without its AWS settings, pointed at the engine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    interpreter = str(Path(sys.executable).parent)
    return {
        **kept,
        **engine.environment(),
        # SAM looks for `python3.11` with pip on the path to build for that runtime.
        "PATH": os.pathsep.join([interpreter, os.environ.get("PATH", os.defpath)]),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",
        "PYTHONUNBUFFERED": "1",
    }


def _run(
    engine: Engine, arguments: list[str], project: Path, on_line: Callable[[str], None]
) -> None:
    lines: list[str] = []
    with subprocess.Popen(
        [str(sam_command()), *arguments],
        cwd=project,
        env=_environment(engine),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            for raw in process.stdout or ():
                line = raw.rstrip()
                if line:
                    lines.append(line)
                    on_line(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        last = "\n".join(lines[-_LAST_LINES:])
        code = process.returncode
        raise DeployError(f"`sam {arguments[0]}` failed with exit code {code}:\n{last}")
