"""How much faster than AWS time passes here.

With a time scale s, whatever AWS makes a caller wait for (Step Functions waits, alarm
periods, Firehose buffering, Scheduler delays, retry back-off) lasts 1/s of its time.
"""

import os

TIME_SCALE_VARIABLE = "STEWARD_TIME_SCALE"


def time_scale() -> float:
    """Return the factor by which waits are shortened in this server process (1.0: as on AWS)."""
    return float(os.environ.get(TIME_SCALE_VARIABLE, "1"))


def real_seconds(aws_seconds: float) -> float:
    """Return how long a wait of `aws_seconds` lasts here, in seconds."""
    return aws_seconds / time_scale()
