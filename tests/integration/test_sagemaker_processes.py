"""Jobs and endpoints never outlive their engine, whatever way it ends."""

import os
import signal
from pathlib import Path

import pytest

from steward_local import engine as embedded
from steward_local.errors import EngineNotRunningError
from support.embedded import Account, eventually
from support.laboratory import Laboratory, serverless

pytestmark = pytest.mark.integration


def alive(state: Path) -> list[int]:
    """Processes whose directory or environment lies in a state directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if f"SAGEMAKER_BASE_DIR={state}".encode() in environment:
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_containers_end_with_their_engine(tmp_path: Path, way: str) -> None:
    engine = embedded.start(tmp_path)
    try:
        with Account(engine) as account:
            lab = Laboratory(account)
            lab.endpoint(lab.config(serverless(lab.model())))
            request = lab.training_request({"sleep": 300, "ignore_sigterm": True})
            lab.sagemaker.create_training_job(**request)
            eventually(lambda: len(alive(tmp_path)) == 2, what="both containers")
    finally:
        if way == "stop":
            embedded.stop(tmp_path)
        else:
            os.kill(engine.pid, signal.SIGKILL)
    eventually(lambda: not alive(tmp_path), what="the end of the containers")
    if way == "kill":
        with pytest.raises(EngineNotRunningError):
            embedded.stop(tmp_path)
