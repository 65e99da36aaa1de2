"""Errors a user may meet: each names the culprit, the value, the rule and the next step, and has an exit code."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from engine.instants import instant_text


class SamewireError(Exception):
    """Base of all errors that are reported without a traceback."""

    exit_code = 1


class ConfigError(SamewireError):
    """A run file or an argument is wrong."""

    exit_code = 2


class NothingLearnedError(ConfigError):
    """A training came to its end, and what it left has one answer for all."""


class LookAheadError(ConfigError):
    """An answer changes with what came after it: whatever it is judged by is worth nothing."""


class DataError(SamewireError):
    """Market data or a user's own file cannot be used as it is."""

    exit_code = 3


class NoLabelError(DataError):
    """History is too short for a single label."""


class BrokerError(SamewireError):
    """A gateway refused, or reconciliation failed."""

    exit_code = 4


class StateError(SamewireError):
    """A saved state, journal or artefact cannot be read: other version, flipped byte, other universe."""

    exit_code = 3


class ComponentError(SamewireError):
    """A component raised, or broke its contract, while the bus ran an input to completion."""

    def __init__(self, component: str, event: str, ts: int, cause: str) -> None:
        at = instant_text(ts)
        super().__init__(f"{component}: failed on {event} of {at} ({ts} ns): {cause}")
        self.component, self.event, self.ts, self.cause = component, event, ts, cause


_FROZEN = "; an array that went out stays as it was said: put a new one, or a copy, into each event and estimate"


def failure_of(component: str, event: str, ts: int, error: BaseException) -> ComponentError:
    """What a component raised, with its name and slice; it keeps the exit code of an error of ours.

    A failure that says so already is said again by a new one, which may be raised from it.
    """
    if isinstance(error, ComponentError):
        failure = ComponentError(error.component, error.event, error.ts, error.cause)
        failure.exit_code = error.exit_code
        return failure
    kind = "" if isinstance(error, SamewireError) else f"{error.__class__.__name__}: "
    hint = _FROZEN if isinstance(error, ValueError) and "read-only" in str(error) else ""
    failure = ComponentError(component, event, ts, f"{kind}{error}{hint}")
    failure.exit_code = getattr(error, "exit_code", ComponentError.exit_code)
    return failure


_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def unwritten(place: object, error: OSError, hint: str = "") -> StateError:
    """Where something could not be written, why, and what to do; `hint` ends the advice.

    >>> str(unwritten("runs/a", OSError(errno.ENOSPC, "No space left on device"), ", or name another place"))
    'runs/a: it cannot be written (No space left on device); free some space, or name another place, and run again'
    """
    advice = "free some space" if is_full(error) else "look at who may write there"
    return StateError(f"{place}: it cannot be written ({error.strerror or error}); {advice}{hint}, and run again")


def is_full(error: BaseException) -> bool:
    """Whether there is no room: a full disk, or a limit on files or on a user."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Whatever cannot be written meanwhile is told as `unwritten` of this place."""
    try:
        yield
    except OSError as error:
        raise unwritten(place, error) from error
