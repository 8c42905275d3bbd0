"""The server process of the embedded AWS: `python -m steward_local.server --fd N --state-dir DIR`.

`steward_local.engine.start` opens the listening socket, starts this module in a session of
its own with a scrubbed environment, and waits until it is healthy.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from steward_local import lifecycle
from steward_local.processes import ENGINE_ID_VARIABLE, send, session_members, wait_ended

# What the stacks use, and what `sam deploy` asks for on its way.
SERVICES = (
    "cloudtrail,s3,dynamodb,dynamodbstreams,lambda,events,states,sqs,sns,iam,sts,kms,cloudformation,logs,"
    "monitoring,firehose,ssm,ecr,codebuild,scheduler,glue,athena,secretsmanager"
)


def _start_watchdog() -> subprocess.Popen[bytes]:
    """Start the process that ends this session when this server dies in any way."""
    engine_id = os.environ[ENGINE_ID_VARIABLE]
    watchdog = Path(__file__).with_name("watchdog.py")
    environment = {name: value for name, value in os.environ.items() if name != ENGINE_ID_VARIABLE}
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(watchdog)),
            *(str(os.getsid(0)), f"{ENGINE_ID_VARIABLE}={engine_id}"),
        ],
        stdin=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


async def _serve(fd: int) -> None:
    import ministack.app
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{fd}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.backlog = 512
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)

    async def stopped() -> None:
        await stop.wait()
        # Before the connections drain: a request may be waiting for a worker of ours.
        await asyncio.to_thread(lifecycle.stopped)

    app: Any = ministack.app.app
    await serve(app, config, shutdown_trigger=stopped)


def _end_children() -> None:
    own = os.getpid()
    rest = [member for member in session_members(os.getsid(0)) if member.pid != own]
    for member in rest:
        send(member, signal.SIGKILL)
    wait_ended(rest, timeout=2)


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM, then end every process of the session and exit."""
    parser = argparse.ArgumentParser(prog="steward_local.server")
    parser.add_argument("--fd", type=int, required=True, help="the listening socket")
    parser.add_argument("--state-dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.environ["STEWARD_STATE_DIR"] = str(options.state_dir)
    os.environ["SERVICES"] = SERVICES
    watchdog = _start_watchdog()

    code = 1
    try:
        from steward_local import registrations

        registrations.install()
        lifecycle.started()
        asyncio.run(_serve(options.fd))
        code = 0
    except Exception:  # noqa: BLE001  (reported in the log, and to `start` by the exit code)
        traceback.print_exc()
    finally:
        _end_children()
        watchdog.kill()
        watchdog.wait()
        os._exit(code)  # MiniStack's worker threads are not daemons and may wait for ever


if __name__ == "__main__":
    main()
