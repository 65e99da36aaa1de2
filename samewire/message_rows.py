"""Messages of Kafka topics as rows of plain values: one an instrument where there are columns, else one a message."""

from collections.abc import Iterator
from typing import Any

import msgspec

from adapters.kafka.messages import SignalMessage, TargetMessage
from samewire.event_rows import stamp

_INSTANTS = ("ts", "asof", "slice_ts", "at", "settles", "expires", "started_at")
_COLUMNS = ("alpha", "limit", "stop")


def rows(message: Any, symbol: str = "") -> Iterator[dict[str, Any]]:
    """The rows of one message, instants as text; of one symbol only, where one is named.

    Instruments of which a signal or target says nothing have no row.

    >>> said = SignalMessage(source="m", ts=5, asof=5, horizon_ns=0, instruments=["A", "B"], values=[0.5, None])
    >>> [(row["ts"], row["instrument"], row["value"]) for row in rows(said)]
    [('1970-01-01T00:00:00.000000005Z', 'A', 0.5)]
    """
    if isinstance(message, SignalMessage | TargetMessage):
        yield from _by_instrument(message, symbol)
    elif not symbol or getattr(message, "instrument", None) == symbol:
        yield _scalars(message)


def _by_instrument(message: SignalMessage | TargetMessage, symbol: str) -> Iterator[dict[str, Any]]:
    scalars = _scalars(message)
    columns = {name: getattr(message, name) for name in _COLUMNS if hasattr(message, name)}
    for k, (instrument, value) in enumerate(zip(message.instruments, message.values, strict=False)):
        if value is not None and symbol in ("", instrument):
            cells = {name: column[k] for name, column in columns.items()}
            yield {**scalars, "instrument": instrument, "value": value, **cells}


def _scalars(message: Any) -> dict[str, Any]:
    """What is said once, the instant first. Fees are one number, further columns of a bar stand beside the others."""
    row: dict[str, Any] = {"ts": None}
    for name, value in msgspec.to_builtins(message).items():
        if name in _INSTANTS:
            row[name] = None if value is None else stamp(value)
        elif name == "extra":
            row |= value
        elif name == "fees":
            row[name] = sum(value.values())
        elif not isinstance(value, list):
            row[name] = value
    return row
