"""What all detectors of a stream share: one value at a time, and a state that is JSON."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self

Status = Literal["stable", "warning", "drift"]


@dataclass
class Detector(ABC):
    """A detector over a stream of losses, whose state goes on elsewhere bit for bit.

    None of these methods states a false-alarm probability of its own; ``docs/performance-drift.md``
    has the measured run lengths. After ``drift`` a detector begins anew, as published.
    """

    name: ClassVar[str]

    @abstractmethod
    def _take(self, value: float) -> Status: ...

    def update(self, value: float) -> Status:
        """Take the next value of the stream.

        Raises:
            ValueError: The value is NaN or infinite; the state is as it was.
        """
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"a stream takes finite numbers, not {value!r}")
        return self._take(number)

    def state(self) -> dict[str, Any]:
        """Return parameters and state as JSON values."""
        return {"detector": self.name, **asdict(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Return the detector as it was.

        Raises:
            ValueError: The state is of another detector, or lacks or adds a field.
        """
        known = {"detector", *(field.name for field in fields(cls))}
        if state.get("detector") != cls.name or set(state) != known:
            differing = sorted(set(state) ^ known)
            raise ValueError(
                f"no state of {cls.name}: it is of {state.get('detector')!r},"
                f" fields that differ: {differing}"
            )
        return cls(**{name: value for name, value in state.items() if name != "detector"})


def positive(name: str, value: float) -> None:
    """Raise unless a parameter is a positive finite number.

    Raises:
        ValueError: It is not.
    """
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive, not {value!r}")


def probability(name: str, value: float) -> None:
    """Raise unless a parameter lies between 0 and 1.

    Raises:
        ValueError: It does not.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value!r}")
