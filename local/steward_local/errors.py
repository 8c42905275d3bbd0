"""Failures of the embedded AWS, each with what a person can do about it."""


class EngineError(Exception):
    """Base of every failure of the embedded AWS."""


class EngineAlreadyRunningError(EngineError):
    """An engine already serves this state directory."""


class EngineNotRunningError(EngineError):
    """No engine serves this state directory."""


class EngineStartError(EngineError):
    """The server process ended or stayed silent before it was healthy."""


class EngineStopError(EngineError):
    """A process of the engine survived its stop."""


class PortInUseError(EngineError):
    """The requested port is taken by another process."""


class GroundMovedError(EngineError):
    """MiniStack no longer has an attribute that a registration relies on."""


class DeployError(EngineError):
    """`sam build` or `sam deploy` failed; carries the last lines it printed."""
