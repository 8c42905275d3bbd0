"""Streaming detectors of change, each as published, with a state that is JSON."""

from __future__ import annotations

from typing import Any

from steward.domain.monitoring.detectors.adwin import Adwin
from steward.domain.monitoring.detectors.cusum import Cusum
from steward.domain.monitoring.detectors.ddm import Ddm
from steward.domain.monitoring.detectors.kswin import Kswin
from steward.domain.monitoring.detectors.page_hinkley import PageHinkley
from steward.domain.monitoring.detectors.stream import Detector, Status

DETECTORS: dict[str, type[Detector]] = {
    kind.name: kind for kind in (Adwin, PageHinkley, Ddm, Kswin, Cusum)
}

__all__ = [
    "DETECTORS",
    "Adwin",
    "Cusum",
    "Ddm",
    "Detector",
    "Kswin",
    "PageHinkley",
    "Status",
    "restored",
]


def restored(state: dict[str, Any]) -> Detector:
    """Return the detector whose state this is.

    Raises:
        ValueError: No detector has such a state.
    """
    kind = DETECTORS.get(str(state.get("detector")))
    if kind is None:
        raise ValueError(
            f"detector must be one of {', '.join(DETECTORS)}, not {state.get('detector')!r}"
        )
    return kind.from_state(state)
