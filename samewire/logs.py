"""Logs: structlog over the standard library, console on a terminal and JSON lines elsewhere, secrets never written.

Wall time is `ts`; the time of the session, where one runs, is `sim_ts`. No event of the bus is ever logged: the journal
holds those.
"""

import contextlib
import contextvars
import datetime as dt
import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any, Literal, TextIO

import structlog

from engine.clock import Clock
from engine.secret import HIDDEN
from samewire.hiding import Hider, hider

SIM_TS: contextvars.ContextVar[int] = contextvars.ContextVar("sim_ts", default=0)  # UTC ns, 0 = no session runs
_SECRET_KEY = re.compile(r"passw|passphrase|secret|token|api[_-]?key|credential|authorization|private[_-]?key", re.I)
_SECRET_TEXT = re.compile(
    r"(?i)((?:\b(?:password|passwd|passphrase|secret|token|api[_-]?key|authorization)[\"']?\s*[=:]\s*[\"']?)"
    r"(?:bearer\s+|basic\s+)?|\bbearer\s+)([^\s\"',;&]+)"
)
_URL_SECRET = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,30}://[^\s/:@]*:)([^\s/@]+)(@)")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def iso(ns: int) -> str:
    """UTC ns as ISO 8601 in microseconds.

    >>> iso(1_514_926_800_000_000_000)
    '2018-01-02T21:00:00.000000Z'
    """
    moment = dt.datetime.fromtimestamp(ns // 10**9, dt.UTC) + dt.timedelta(microseconds=ns % 10**9 // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hides values whose key or text says that they are secret, however deep they lie."""
    for key in list(event):
        event[key] = _hidden(key, event[key], 0)
    return event


def _hidden(key: str, value: Any, depth: int) -> Any:
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, str):
        return _URL_SECRET.sub(rf"\1{HIDDEN}\3", _SECRET_TEXT.sub(rf"\1{HIDDEN}", value))
    if isinstance(value, dict) and depth < 8:
        return {name: _hidden(str(name), inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple) and depth < 8:
        return [_hidden(key, inner, depth + 1) for inner in value]
    return value


def _hiding(hide: Hider) -> tuple[Any, Any]:
    """Two steps that hide what was read as a secret: in the values, before one is quoted again, and in the line."""

    def values(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: hide.inside(value) for key, value in event.items()}

    def line(logger: Any, method: str, text: str) -> str:
        return hide(text)

    return values, line


def configure(
    form: Literal["auto", "console", "json"] = "auto",
    *,
    clock: Clock,
    stream: TextIO | None = None,
    level: str | None = None,
) -> None:
    """Sends the logs of this process, those of libraries too, to the stream (stderr) in one form.

    `level` is debug, info, warning or error; SAMEWIRE_LOG says it when left out, else warning.
    """
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    number = _LEVELS.get((level or os.environ.get("SAMEWIRE_LOG", "warning")).lower(), logging.WARNING)

    def stamp(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["ts"] = iso(clock.now_ns())
        if SIM_TS.get():
            event["sim_ts"] = iso(SIM_TS.get())
        return event

    in_values, in_line = _hiding(hider())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        stamp,
        structlog.processors.format_exc_info,
        redact,
        in_values,
    ]
    last: Any = structlog.processors.JSONRenderer(default=str)
    if console:
        last = structlog.dev.ConsoleRenderer(colors=out.isatty() and "NO_COLOR" not in os.environ, timestamp_key="ts")

    keep = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    sink = logging.StreamHandler(out)
    sink.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[keep, last, in_line]))
    logging.getLogger().handlers[:] = [sink]
    logging.getLogger().setLevel(number)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


@contextlib.contextmanager
def bound_run(config: str, clock: Clock, mode: str = "replay") -> Iterator[str]:
    """Every log inside carries `run_id` and `mode`."""
    run_id = hashlib.blake2b(f"{config}{clock.now_ns()}{os.getpid()}".encode(), digest_size=8).hexdigest()
    with structlog.contextvars.bound_contextvars(run_id=run_id, mode=mode):
        yield run_id
