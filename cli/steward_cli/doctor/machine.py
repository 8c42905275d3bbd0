"""This machine: Python, make, git, the SAM CLI and a container engine."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steward_cli.doctor.findings import Finding
from steward_local.deploy import sam_command
from steward_local.errors import DeployError

AREA = "machine"
_SOCKETS = (Path("/var/run/docker.sock"), Path.home() / ".finch" / "finch.sock")
_PATIENCE_S = 3.0


def machine_findings() -> Iterator[Finding]:
    """Yield what is found on this machine; nothing here asks AWS."""
    yield python_finding(sys.version_info[:3])
    yield from map(_program, ("make", "git"))
    yield _sam()
    yield container_engine()


def python_finding(version: tuple[int, int, int]) -> Finding:
    """Return whether this is the Python of Lambda's runtime."""
    told = ".".join(map(str, version))
    if version[:2] == (3, 11):
        return Finding(AREA, "python", "ok", told)
    return Finding(
        AREA, "python", "fail", f"{told}; Lambda's runtime here is 3.11",
        "install python3.11 and python3.11-venv, then `make setup`",
    )  # fmt: skip


def _program(name: str) -> Finding:
    if path := shutil.which(name):
        return Finding(AREA, name, "ok", path)
    return Finding(AREA, name, "fail", "not found", f"Debian: sudo apt install {name}")


def _sam() -> Finding:
    try:
        command = sam_command()
    except DeployError as error:
        return Finding(AREA, "sam", "fail", str(error), "make setup")
    try:
        told = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(AREA, "sam", "fail", f"{command}: {error}", "remove .tools/sam, make setup")
    return Finding(AREA, "sam", "ok", told.strip().rpartition(" ")[2])


def container_engine() -> Finding:
    """Return whether a container engine answers; only ``sam local`` needs one."""
    for place in engine_places():
        if version := engine_version(place):
            return Finding(AREA, "container engine", "ok", f"{version} at {place}")
    return Finding(
        AREA, "container engine", "warn", "none answers; only `sam local invoke` needs one",
        "start Docker, Podman or Finch, or set DOCKER_HOST; all else runs without",
    )  # fmt: skip


def engine_places() -> list[str]:
    """Return where a container engine may listen: ``DOCKER_HOST`` alone, or usual sockets."""
    if named := os.environ.get("DOCKER_HOST"):
        return [named]
    return [f"unix://{path}" for path in _SOCKETS if path.exists()]


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=_PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_PATIENCE_S)
        self.sock.connect(self._path)


def engine_version(place: str) -> str | None:
    """Return the version of the container engine at ``unix://`` or ``tcp://``, None if none."""
    told = asked_engine(place, "/version")
    return str(told["Version"]) if told is not None and "Version" in told else None


def asked_engine(place: str, path: str) -> dict[str, Any] | None:
    """Return what a container engine's API says, None where none answers so."""
    parts = urlsplit(place)
    if parts.scheme not in ("unix", "tcp"):
        return None
    connection = (
        _UnixConnection(parts.path)
        if parts.scheme == "unix"
        else http.client.HTTPConnection(parts.netloc, timeout=_PATIENCE_S)
    )
    try:
        connection.request("GET", path)
        told = json.loads(connection.getresponse().read())
        return told if isinstance(told, dict) else None
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
