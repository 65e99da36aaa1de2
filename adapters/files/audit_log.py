"""What an audit log says of a session: every control, every change of model, every state of an order."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from adapters.files.audit_file import CLOSED, SESSION, AuditFile
from engine.events import (
    Approved,
    Control,
    ControlAction,
    Event,
    Fills,
    LegAction,
    Note,
    OrderKind,
    OrderState,
    Refusals,
    Reports,
    TimeInForce,
)

_MODELS = (ControlAction.SWAP_MODEL, ControlAction.MODEL_NOT_READY)
_NAMES: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        name: tuple(member.name.lower() for member in kind)
        for name, kind in (("action", LegAction), ("kind", OrderKind), ("tif", TimeInForce), ("state", OrderState))
    }
)


class AuditLog:
    """Records completed runs of a bus as lines of a hash chain, one a control or order leg.

    kind       facts
    session    what the session is made of: configuration hash, seed, versions, artefacts; again after a restart
    control    action, component, actor, reason, latch, and who said it: `input` or a component
    latch      what of the control before it could not be done and what still holds, and who says so: text, positions
    model      the same for a change of model, with the artefact's hash
    approved   an order leg that passed the gate; `by` is who let it through
    refused    one that gate or broker refused: by, rule, value, threshold
    report     a change of an order's state: state, left
    fill       exec, order, symbol, qty, price, reference, fees, at
    cut        bytes that a kill left half-written, and their SHA-256
    closed     the end: digest of the journal, hashes of the feed's files; `failed` where the session did

    `ts` is that of the event. A number that is NaN is null. Lines reach the file with the run that made them.
    """

    def __init__(self, path: Path) -> None:
        self._file = AuditFile(path)
        self._symbols: Sequence[str] = ()

    @property
    def lines(self) -> int:
        return self._file.seq

    @property
    def head(self) -> str:
        """The hash of the last line: kept elsewhere, it shows that the log was cut."""
        return self._file.head

    def begin(self, symbols: Sequence[str], header: dict[str, Any], facts: dict[str, Any]) -> None:
        """The header, which no other line depends on, and what the session is made of."""
        self._symbols = symbols
        self._file.header(header)
        self._file.write(0, SESSION, facts)
        self._file.flush()

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        before = self._file.seq
        for origin, event in zip(origins, events, strict=True):
            for kind, facts in told(event, origin, self._symbols):
                self._file.write(event.ts, kind, facts)
        if self._file.seq != before:
            self._file.flush()

    def end(self, ts: int, facts: dict[str, Any]) -> None:
        self._file.write(ts, CLOSED, facts)
        self._file.close()

    def close(self) -> None:
        self._file.close()


Facts = Iterator[tuple[str, dict[str, Any]]]


def _control(event: Control, origin: str, symbols: Sequence[str]) -> Facts:
    fields = ("component", "artefact", "actor", "reason", "latch")
    facts = {name: value for name in fields if (value := getattr(event, name))}
    yield "model" if event.action in _MODELS else "control", {"action": event.action.value, "by": origin, **facts}


def _latch(event: Note, origin: str, symbols: Sequence[str]) -> Facts:
    """A release that was refused would read like one without it. Of other notes there is no line."""
    if event.kind == "latch":
        rows = zip(event.symbol.tolist(), event.value.tolist(), strict=True)
        positions = {_symbol(symbols, s): value for s, value in rows}
        yield "latch", {"by": origin, "text": event.text, **({"positions": positions} if positions else {})}


def _approved(event: Approved, origin: str, symbols: Sequence[str]) -> Facts:
    columns = (event.action, event.ids, event.ref, event.symbol, event.qty, event.kind, event.tif)
    prices = zip(event.limit.tolist(), event.stop.tolist(), event.trail.tolist(), event.expires.tolist(), strict=True)
    for row, (limit, stop, trail, expires) in zip(
        zip(*(c.tolist() for c in columns), strict=True), prices, strict=True
    ):
        action, id_, ref, s, qty, kind, tif = row
        facts = {
            "id": f"{id_:016x}",
            "action": _named("action", action),
            "symbol": _symbol(symbols, s),
            "qty": qty,
            "order": _named("kind", kind),
            "tif": _named("tif", tif),
            "by": origin,
        }
        if ref:
            facts["ref"] = f"{ref:016x}"
        for name, price in (("limit", limit), ("stop", stop), ("trail", trail)):
            if price == price:
                facts[name] = price
        if expires:
            facts["expires"] = expires
        yield "approved", facts


def _refused(event: Refusals, origin: str, symbols: Sequence[str]) -> Facts:
    columns = (event.ids, event.symbol, event.qty, event.value, event.threshold)
    rows = zip(*(c.tolist() for c in columns), event.rule, strict=True)
    for id_, s, qty, value, threshold, rule in rows:
        yield (
            "refused",
            {
                "id": f"{id_:016x}",
                "symbol": _symbol(symbols, s),
                "qty": qty,
                "by": event.by,
                "rule": rule,
                "value": value,
                "threshold": threshold,
            },
        )


def _report(event: Reports, origin: str, symbols: Sequence[str]) -> Facts:
    columns = (event.ids, event.symbol, event.state, event.left)
    for id_, s, state, left in zip(*(c.tolist() for c in columns), strict=True):
        facts = {"id": f"{id_:016x}", "symbol": _symbol(symbols, s), "state": _named("state", state), "left": left}
        yield "report", facts


def _fill(event: Fills, origin: str, symbols: Sequence[str]) -> Facts:
    columns = (event.exec_ids, event.order_ids, event.symbol, event.qty, event.price, event.reference, event.at)
    rows = zip(*(c.tolist() for c in columns), event.fees.tolist(), strict=True)
    for exec_, id_, s, qty, price, reference, at, fees in rows:
        yield (
            "fill",
            {
                "exec": f"{exec_:016x}",
                "id": f"{id_:016x}",
                "symbol": _symbol(symbols, s),
                "qty": qty,
                "price": price,
                "reference": reference,
                "fees": fees,
                "at": at,
            },
        )


_TELL: MappingProxyType[type[Any], Any] = MappingProxyType(
    {Control: _control, Note: _latch, Approved: _approved, Refusals: _refused, Reports: _report, Fills: _fill}
)
TOLD = frozenset(kind.__name__ for kind in _TELL)  # the events that have lines


def told(event: Event, origin: str, symbols: Sequence[str]) -> Facts:
    """Kind and facts of each line that an event has; nothing of most."""
    tell = _TELL.get(event.__class__)
    return iter(()) if tell is None else tell(event, origin, symbols)


def _symbol(symbols: Sequence[str], place: int) -> str:
    """The symbol's name; of a position outside the universe its number, as the refused order had it."""
    return symbols[place] if 0 <= place < len(symbols) else f"#{place}"


def _named(group: str, code: int) -> str:
    names = _NAMES[group]
    return names[code] if 0 <= code < len(names) else f"#{code}"
