"""Events to records of public topics, and back: JSON bodies, CloudEvents in binary mode as headers.

Pure: the same event gives the same bytes. Numbers survive to the last bit; NaN and infinities are null, since JSON has
none, and come back as NaN.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import msgspec
import numpy as np

from adapters.kafka.envelope import (
    DeadLetter,
    Envelope,
    Origin,
    Record,
    control_event,
    control_of,
    decoded,
    digest,
    exact_text,
)
from adapters.kafka.messages import (
    BarMessage,
    ControlMessage,
    FillMessage,
    LateMessage,
    OrderMessage,
    RefusalMessage,
    SignalMessage,
    StatusMessage,
    TargetMessage,
    words,
)
from adapters.kafka.topics import interval_name
from engine.cuts import Bar
from engine.errors import DataError
from engine.events import (
    FEE_KINDS,
    Approved,
    Codes,
    Fills,
    Late,
    LegAction,
    OrderKind,
    Refusals,
    Signal,
    Target,
    TargetKind,
    TimeInForce,
    Vector,
)
from engine.ids import id_text
from engine.universe import Universe

__all__ = ["Codec", "DeadLetter", "Origin", "Record", "control_event", "control_of", "decoded", "exact_text"]
_ACTION, _KIND, _TIF = words(LegAction), words(OrderKind), words(TimeInForce)
_LEG_WORDS = (("action", LegAction), ("kind", OrderKind), ("time_in_force", TimeInForce))

_NAN = float("nan")
_bar_message = msgspec.json.Decoder(BarMessage).decode


class Codec:
    """Events of one universe to and from the records of one environment.

    >>> from engine.universe import universe_of
    >>> codec = Codec("dev", universe_of(("AAA", "BBB")), Origin(daemon="quick"))
    >>> signal = Signal(ts=5, source="m", asof=5, value=np.array([0.25, np.nan]), horizon_ns=0)
    >>> record = codec.signal(signal)
    >>> record.topic, record.key, codec.signal_of(record.value).value
    ('dev.signals.m.v1', b'm', array([0.25,  nan]))
    """

    def __init__(self, env: str, universe: Universe, origin: Origin) -> None:
        self._envelope, self._universe = Envelope(env, origin), universe
        self._record = self._envelope.record
        self._symbols = list(universe.symbols)
        self._place = {symbol: k for k, symbol in enumerate(universe.symbols)}

    # ---- to records --------------------------------------------------------------------------------------------------

    def bar(self, bar: Bar) -> Record:
        symbol = self._symbols[bar.symbol]
        message = BarMessage(
            instrument=symbol,
            ts=bar.ts,
            interval_ns=bar.interval_ns,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            vwap=bar.vwap,
            extra=dict(zip(self._universe.extra, bar.extra, strict=False)),
            revision=bar.version,
            halted=bar.halted,
        )
        name = interval_name(bar.interval_ns)
        return self._record(("bars", name), symbol, message, (f"{symbol}:{bar.version}", bar.ts))

    def signal(self, signal: Signal) -> Record:
        message = SignalMessage(
            source=signal.source,
            ts=signal.ts,
            asof=signal.asof,
            horizon_ns=signal.horizon_ns,
            instruments=self._symbols,
            values=signal.value.tolist(),
            model_hash=signal.model_hash,
        )
        more = (("model-hash", signal.model_hash),)
        return self._record(("signals", signal.source), signal.source, message, (f"{signal.asof}", signal.ts), more)

    def target(self, target: Target) -> Record:
        message = TargetMessage(
            source=target.source,
            ts=target.ts,
            kind=target.kind.value,
            instruments=self._symbols,
            values=target.value.tolist(),
            alpha=target.alpha.tolist(),
            limit=target.limit.tolist(),
            stop=target.stop.tolist(),
        )
        return self._record(("targets", target.source), target.source, message, ("", target.ts))

    def orders(self, legs: Approved, account: str) -> list[Record]:
        """One record a leg, in the order of the legs."""
        return [self._order(legs, k, account) for k in range(len(legs.ids))]

    def _order(self, legs: Approved, k: int, account: str) -> Record:
        name = id_text(int(legs.ids[k]))
        message = OrderMessage(
            id=name,
            ts=legs.ts,
            action=_ACTION[legs.action[k]],
            instrument=self._symbols[legs.symbol[k]],
            quantity=float(legs.qty[k]),
            kind=_KIND[legs.kind[k]],
            time_in_force=_TIF[legs.tif[k]],
            ref=id_text(int(legs.ref[k])) if legs.ref[k] else None,
            limit=float(legs.limit[k]),
            stop=float(legs.stop[k]),
            trail=float(legs.trail[k]),
            expires=int(legs.expires[k]) or None,
        )
        return self._record(("orders", account), name, message, (f"{name}:{message.action}", legs.ts))

    def fills(self, fills: Fills, account: str) -> list[Record]:
        """One record a fill, in their order."""
        return [self._fill(fills, k, account) for k in range(len(fills.exec_ids))]

    def _fill(self, fills: Fills, k: int, account: str) -> Record:
        order, name = id_text(int(fills.order_ids[k])), id_text(int(fills.exec_ids[k]))
        message = FillMessage(
            id=name,
            order_id=order,
            ts=fills.ts,
            instrument=self._symbols[fills.symbol[k]],
            quantity=float(fills.qty[k]),
            price=float(fills.price[k]),
            at=int(fills.at[k]),
            fees=dict(zip(FEE_KINDS, fills.fees[k].tolist(), strict=True)),
            reference=float(fills.reference[k]),
            settles=None if fills.settles is None else int(fills.settles[k]),
        )
        return self._record(("fills", account), order, message, (name, fills.ts))

    def refusals(self, refused: Refusals, account: str) -> list[Record]:
        """One record a leg, in their order. Legs of one id may be refused together: what is said is in the id."""
        return [self._refusal(refused, k, account) for k in range(len(refused.ids))]

    def _refusal(self, refused: Refusals, k: int, account: str) -> Record:
        name, place = id_text(int(refused.ids[k])), int(refused.symbol[k])
        message = RefusalMessage(
            id=name,
            ts=refused.ts,
            instrument=self._symbols[place] if 0 <= place < len(self._symbols) else "",
            quantity=float(refused.qty[k]),
            limit=refused.rule[k],
            value=float(refused.value[k]),
            threshold=float(refused.threshold[k]),
            by=refused.by,
        )
        return self._record(("refusals", account), name, message, (f"{name}:{digest(message)}", refused.ts))

    def late(self, late: Late) -> list[Record]:
        """One record a bar, in their order. A bar may be late in several revisions: what it says is in its id."""
        return [self._late(late, k) for k in range(len(late.symbol))]

    def _late(self, late: Late, k: int) -> Record:
        symbol = self._symbols[late.symbol[k]]
        message = LateMessage(
            instrument=symbol,
            ts=late.ts,
            slice_ts=late.slice_ts,
            interval_ns=late.interval_ns,
            open=float(late.open[k]),
            high=float(late.high[k]),
            low=float(late.low[k]),
            close=float(late.close[k]),
            volume=float(late.volume[k]),
        )
        name = interval_name(late.interval_ns)
        return self._record(("late", name), symbol, message, (f"{symbol}:{digest(message)}", late.ts))

    def deadletter(self, dead: DeadLetter) -> Record:
        return self._envelope.deadletter(dead)

    def control(self, said: ControlMessage) -> Record:
        return self._envelope.control(said)

    def status(self, said: StatusMessage) -> Record:
        return self._envelope.status(said)

    # ---- from bodies -------------------------------------------------------------------------------------------------

    def bar_of(self, value: bytes | None) -> Bar:
        try:
            said = _bar_message(value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = decoded(value, BarMessage)  # which says what is wrong with it
        symbol = self._place.get(said.instrument)
        more = self._universe.extra
        return Bar(
            symbol=self._placed(said.instrument, "bar") if symbol is None else symbol,
            ts=said.ts,
            interval_ns=said.interval_ns,
            open=_NAN if said.open is None else said.open,
            high=_NAN if said.high is None else said.high,
            low=_NAN if said.low is None else said.low,
            close=_NAN if said.close is None else said.close,
            volume=_NAN if said.volume is None else said.volume,
            vwap=_NAN if said.vwap is None else said.vwap,
            extra=tuple([_number(said.extra.get(name)) for name in more]) if more else (),
            version=said.revision,
            halted=said.halted,
        )

    def signal_of(self, value: bytes | None) -> Signal:
        """Symbols of the universe that the message does not speak of are NaN; one that it alone knows is an error."""
        said = decoded(value, SignalMessage)
        at = self._places(said.instruments, "signal")
        return Signal(
            ts=said.ts,
            source=said.source,
            asof=said.asof,
            value=self._column(at, said.values, "values"),
            horizon_ns=said.horizon_ns,
            model_hash=said.model_hash,
        )

    def target_of(self, value: bytes | None) -> Target:
        said = decoded(value, TargetMessage)
        at = self._places(said.instruments, "target")
        if said.kind not in [*TargetKind]:
            raise DataError(f"target: {said.kind!r} is no kind; expected one of: {', '.join(TargetKind)}")
        return Target(
            ts=said.ts,
            source=said.source,
            kind=TargetKind(said.kind),
            value=self._column(at, said.values, "values"),
            alpha=self._column(at, said.alpha, "alpha"),
            limit=self._column(at, said.limit, "limit"),
            stop=self._column(at, said.stop, "stop"),
        )

    def orders_of(self, values: Sequence[bytes]) -> Approved:
        """The legs of one instant, from as many bodies."""
        said = [decoded(value, OrderMessage) for value in values]
        codes = {name: _codes([getattr(leg, name) for leg in said], kind, name) for name, kind in _LEG_WORDS}
        return Approved(
            ts=_one_instant([leg.ts for leg in said], "orders"),
            action=codes["action"],
            ids=_ids([leg.id for leg in said]),
            ref=_ids([leg.ref or "0" for leg in said]),
            symbol=_sealed([self._placed(leg.instrument, "order") for leg in said], np.int32),
            qty=_sealed([leg.quantity for leg in said], np.float64),
            kind=codes["kind"],
            limit=_sealed([leg.limit for leg in said], np.float64),
            stop=_sealed([leg.stop for leg in said], np.float64),
            tif=codes["time_in_force"],
            expires=_sealed([leg.expires or 0 for leg in said], np.int64),
            trail=_sealed([leg.trail for leg in said], np.float64),
        )

    def fills_of(self, values: Sequence[bytes]) -> Fills:
        """The fills of one instant, from as many bodies."""
        said = [decoded(value, FillMessage) for value in values]
        for fill in said:
            if unknown := [kind for kind in fill.fees if kind not in FEE_KINDS]:
                raise DataError(f"fill {fill.id}: no fee is called {unknown[0]!r}; known are {', '.join(FEE_KINDS)}")
        fees = [[fill.fees.get(kind, 0.0) for kind in FEE_KINDS] for fill in said]
        settled = any(fill.settles is not None for fill in said)
        return Fills(
            ts=_one_instant([fill.ts for fill in said], "fills"),
            exec_ids=_ids([fill.id for fill in said]),
            order_ids=_ids([fill.order_id for fill in said]),
            symbol=_sealed([self._placed(fill.instrument, "fill") for fill in said], np.int32),
            qty=_sealed([fill.quantity for fill in said], np.float64),
            price=_sealed([fill.price for fill in said], np.float64),
            reference=_sealed([fill.reference for fill in said], np.float64),
            fees=_sealed(fees, np.float64),
            at=_sealed([fill.at for fill in said], np.int64),
            settles=_sealed([fill.settles or fill.at for fill in said], np.int64) if settled else None,
        )

    def control_of(self, value: bytes | None) -> ControlMessage:
        return control_of(value)

    def _placed(self, symbol: str, what: str) -> int:
        place = self._place.get(symbol)
        if place is None:
            raise DataError(f"{what}: {symbol!r} is not in the universe of {len(self._symbols)} symbols")
        return place

    def _places(self, symbols: Sequence[str], what: str) -> Codes:
        at: Codes = _sealed([self._placed(symbol, what) for symbol in symbols], np.int32)
        if len(np.unique(at)) < len(at):
            twice = next(s for k, s in enumerate(symbols) if s in symbols[:k])
            raise DataError(f"{what}: {twice!r} stands twice")
        return at

    def _column(self, at: Codes, values: Sequence[float | None], name: str) -> Vector:
        if len(values) != len(at):
            raise DataError(f"{name}: {len(values)} values for {len(at)} instruments")
        column = np.full(len(self._symbols), np.nan)
        column[at] = np.array(values, np.float64)
        column.flags.writeable = False
        return column


def _number(value: float | None) -> float:
    return _NAN if value is None else value


def _sealed(values: Sequence[Any], kind: type[Any]) -> Any:
    array = np.array(values, kind)
    array.flags.writeable = False
    return array


def _ids(texts: Sequence[str]) -> Any:
    return _sealed([int(text, 16) for text in texts], np.uint64)


def _codes(said: Sequence[str], kind: type[IntEnum], name: str) -> Codes:
    known = words(kind)
    for word in said:
        if word not in known:
            raise DataError(f"order: {word!r} is no {name}; expected one of: {', '.join(known)}")
    codes: Codes = _sealed([kind[word.upper()].value for word in said], np.int32)
    return codes


def _one_instant(stamps: Sequence[int], what: str) -> int:
    if len(set(stamps)) != 1:
        raise DataError(f"{what}: {len(set(stamps))} instants in what should be one batch")
    return stamps[0]
