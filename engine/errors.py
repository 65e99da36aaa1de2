"""Errors a user may meet: each names the culprit, the value, the rule and the next step, and has an exit code."""


class SamewireError(Exception):
    """Base of all errors that are reported without a traceback."""

    exit_code = 1


class ConfigError(SamewireError):
    """A run file or an argument is wrong."""

    exit_code = 2


class DataError(SamewireError):
    """Market data or a user's own file cannot be used as it is."""

    exit_code = 3


class BrokerError(SamewireError):
    """A gateway refused, or reconciliation failed."""

    exit_code = 4


class StateError(SamewireError):
    """A saved state, journal or artefact cannot be read: other version, flipped byte, other universe."""


class ComponentError(SamewireError):
    """A component raised, or broke its contract, while the bus ran an input to completion."""

    def __init__(self, component: str, event: str, ts: int, cause: str) -> None:
        super().__init__(f"{component}: failed on {event} of {ts} ns: {cause}")
        self.component, self.event, self.ts, self.cause = component, event, ts, cause
