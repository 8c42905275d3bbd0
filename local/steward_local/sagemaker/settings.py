"""Where the embedded SageMaker works, as the server's environment says."""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from steward_local.pace import real_seconds

JOB_SLOTS = 2
STOP_GRACE_SECONDS = 120
OFFLINE_STORE_SECONDS = 15 * 60
OFFLINE_STORE_VARIABLE = "STEWARD_OFFLINE_STORE_SECONDS"


@dataclass(frozen=True)
class Settings:
    """Where containers run.

    Attributes:
        state: The engine's state directory.
        scratch: Directory for `/opt/ml` trees; one subdirectory per job or variant.
        endpoint: URL at which containers reach the embedded AWS.
        job_slots: Jobs that run at once; further ones wait in `Starting`.
        stop_grace_seconds: Time between SIGTERM and SIGKILL of a stopped job.
        offline_store_seconds: How long the feature store buffers records before it writes them.
    """

    state: Path
    scratch: Path
    endpoint: str
    job_slots: int = JOB_SLOTS
    stop_grace_seconds: float = STOP_GRACE_SECONDS
    offline_store_seconds: float = OFFLINE_STORE_SECONDS
    python: str = sys.executable


@functools.cache
def current() -> Settings:
    """The settings of this server."""
    state = Path(os.environ.get("STEWARD_STATE_DIR", ".steward")).resolve()
    return Settings(
        state=state,
        scratch=state / "tmp" / "sagemaker",
        endpoint=f"http://127.0.0.1:{os.environ.get('GATEWAY_PORT', '4566')}",
        stop_grace_seconds=real_seconds(STOP_GRACE_SECONDS),
        offline_store_seconds=real_seconds(
            float(os.environ.get(OFFLINE_STORE_VARIABLE, OFFLINE_STORE_SECONDS))
        ),
    )
