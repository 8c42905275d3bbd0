"""A container engine, an embedded AWS that containers reach, and templates that point there.

The embedded AWS listens on loopback, which is another one inside a container. A forwarder on the
engine's bridge hands connections on. ``sam local`` passes no variable that a template does not
declare, so copies of the built templates declare where AWS is. They also give functions ten
minutes, since a cold start on a busy machine would break the shorter timeouts. Nothing else in them
is changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steward_cli.doctor.machine import asked_engine, engine_places, engine_version
from steward_local import engine as engines
from steward_local.engine import Engine
from support.layers import link_sdk
from support.templates import CHILDREN, ROOT, load, of_type

BUILT = ROOT / ".aws-sam" / "build"
_NUMBERS = {"TIME_SCALE": "1", "LOOKBACK_MINUTES": "60", "VARIANT_METRICS_PERIOD_S": "60"}


@pytest.fixture(scope="session")
def container_host() -> str:
    """The address of this machine as containers see it; skips where no engine answers."""
    if not os.environ.get("STEWARD_SAM_LOCAL"):
        pytest.skip("takes minutes: `make sam-local` runs it")
    place = next((place for place in engine_places() if engine_version(place)), None)
    if place is None:
        pytest.skip("no container engine answers; set DOCKER_HOST or start one")
    if not (BUILT / "template.yaml").is_file():
        pytest.skip("nothing is built: `sam build` first")
    network = asked_engine(place, "/networks/bridge")
    if network is None or not network.get("IPAM"):
        pytest.skip("the container engine has no bridge network")
    return str(network["IPAM"]["Config"][0]["Gateway"])


class _Forwarder(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    goal: tuple[str, int]


class _Forwarding(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, _Forwarder)
        with socket.create_connection(self.server.goal) as there:
            back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
            back.start()
            _pump(self.request, there)
            back.join(timeout=5)


def _pump(source: Any, goal: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            goal.sendall(data)
    with contextlib.suppress(OSError):
        goal.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Ground:
    """Where functions run.

    Attributes:
        engine: An embedded AWS in which nothing is deployed.
        endpoint: Its address, from a container and from here.
        template: The root template's copy, which points there.
        variables: Every variable that any function declares.
        variables_file: The same for ``--env-vars``.
        sdk: A folder with boto3 alone.
    """

    engine: Engine
    endpoint: str
    template: Path
    variables: dict[str, str]
    variables_file: Path
    sdk: Path


@pytest.fixture(scope="session")
def ground(container_host: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """The embedded AWS, the forwarder and the templates of this run."""
    folder = tmp_path_factory.mktemp("ground")
    mark = f"invoke-{os.getpid()}.yaml"
    engine = engines.start(folder / "state")
    try:
        with _Forwarder((container_host, 0), _Forwarding) as server:
            server.goal = ("127.0.0.1", engine.port)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            endpoint = f"http://{container_host}:{server.server_address[1]}"
            variables = {**declared_variables(), "AWS_ENDPOINT_URL": endpoint}
            file = folder / "variables.json"
            file.write_text(json.dumps({"Parameters": variables}), encoding="utf-8")
            sdk = folder / "sdk"
            sdk.mkdir()
            yield Ground(
                engine, endpoint, pointed(mark, endpoint), variables, file, link_sdk(sdk)
            )  # fmt: skip
            server.shutdown()
    finally:
        engines.stop(folder / "state")
        for left in BUILT.rglob(mark):
            left.unlink(missing_ok=True)


def declared_variables() -> dict[str, str]:
    """Return a value for every variable that a function's template leaves to the deployment."""
    values: dict[str, str] = {}
    for path in CHILDREN:
        for function in of_type(load(path), "AWS::Serverless::Function").values():
            variables = function["Properties"].get("Environment", {}).get("Variables", {})
            for name, value in variables.items():
                plain = name.lower().removesuffix("_bucket").replace("_", "-")
                values[name] = value if isinstance(value, str) else _NUMBERS.get(name, plain)
    return {**values, "STEWARD_ENVIRONMENT": "dev", "STEWARD_STACK": "steward-dev"}


def pointed(name: str, endpoint: str) -> Path:
    """Write patient copies of the built templates that declare where AWS is; return the root's."""
    for child in BUILT.glob("*/template.yaml"):
        text = child.read_text(encoding="utf-8")
        declared = re.sub(
            r"^( +)STEWARD_ENVIRONMENT:", rf"\1AWS_ENDPOINT_URL: {endpoint}\n\g<0>", text,
            flags=re.M,
        )  # fmt: skip
        patient = re.sub(r"^( +)Timeout: \d+$", r"\1Timeout: 600", declared, flags=re.M)
        child.with_name(name).write_text(patient, encoding="utf-8")
    root = BUILT / "template.yaml"
    text = root.read_text(encoding="utf-8").replace("/template.yaml", f"/{name}")
    root.with_name(name).write_text(text, encoding="utf-8")
    return root.with_name(name)
