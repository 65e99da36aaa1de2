"""A session's figures, folded from its events in bus order, without keeping the events."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.metrics.columns import Columns
from components.metrics.flows import COST_KINDS, INCOME_KINDS, Flows
from components.metrics.growth import EqualWeight, Growth, OneName
from components.metrics.labels import SignalScore
from components.metrics.pnl import SymbolPnl
from engine.errors import ConfigError
from engine.events import (
    Actions,
    Bars,
    Book,
    Charges,
    Event,
    Fills,
    Note,
    Orders,
    Reference,
    Refusals,
    Signal,
    Status,
    Vector,
)
from engine.state import encode_hook, ext_hook, pack, unpack
from engine.universe import Universe

ROW_COLUMNS = (
    *("equity", "cash", "gross", "net", "turnover", "cost", "benchmark"),
    *COST_KINDS,
    *INCOME_KINDS,
    *("unsettled", "translation", "stale", "missing", "halted"),
)
_COSTS = len(COST_KINDS)
_VERSION = 2
_NAMES_MAX = 64  # distinct rules of refusal, and kinds of notes, that are counted apart


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What a session counted; per symbol as arrays (N,)."""

    slices: int
    bars: int  # FRESH ones
    orders: int  # new legs that the optimizer sent
    fills: int
    refusals: int
    refused_by: dict[str, int]  # rule -> legs
    notes: dict[str, int]  # component and kind -> notes
    missing: NDArray[np.int64]  # slices of each member without a bar
    halted: NDArray[np.int64]
    unpriced: int  # fills without a market price beside them: their slippage counts as zero
    large: int  # fills above a tenth of their bar's volume
    actions: int  # splits, dividends, delistings and changes of symbol


class SessionFold:
    """One row a slice, counts, and the coefficients of every model: all that a session reports.

    Row t is the last Book with the ts of slice t that came before a corporate action: the closing one where orders
    trade in the slice in which they were decided. Fills and charges after a slice count in the next row. Bars of a
    coarser interval than `interval_ns` are passed over; 0 takes the interval of the first. `slower` names the models
    that answer such bars, with their interval: their horizons are counted in those.
    `on_note` is shown each note.
    `benchmark` is `equal_weight`, a symbol, or `none`; it starts at `cash`. Columns are defined in docs/metrics.md.
    Memory: about 200 bytes a slice, and per model h + 16 slices of N for a horizon of h slices.
    """

    def __init__(
        self,
        *,
        universe: Universe,
        cash: float,
        interval_ns: int = 0,
        benchmark: str = "equal_weight",
        slower: Mapping[str, int] | None = None,
        on_note: Callable[[Note], None] | None = None,
    ) -> None:
        n = len(universe)
        self.cash, self.benchmark, self.interval_ns = float(cash), benchmark, interval_ns
        self.rows = Columns(ROW_COLUMNS)
        self.models: dict[str, SignalScore] = {}
        self.book: Book | None = None  # the latest
        self._universe = universe
        self._growth = Growth(n)
        self._level = _level(benchmark, universe, self.cash)
        self._flows, self._pnl = Flows(universe), SymbolPnl(universe)
        self._ts = self._index = -1
        self._slower = dict(slower or {})
        self._longer = dict.fromkeys(self._slower.values(), 0)  # bars of each longer interval so far
        self._volume: Vector | None = None  # of the row that is open
        self._marked: Book | None = None  # of the row that is open
        self._equity, self._translation = self.cash, 0.0  # of the last row
        self._qty: Vector = np.empty(0)  # the array whose exposure is known
        self._held = np.empty(0, np.int64)
        self._exposure = self._size = np.empty(0)  # money per point of price, signed and not
        self._counts: Counter[str] = Counter()
        self._rules: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()
        self._missing, self._halted = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._absent = (0, 0)  # missing and halted in the open row
        self._unpriced: NDArray[np.int64] | None = None  # names without a bar in the open row, None = all have one
        self._shown = on_note
        self._table: dict[type[Any], Callable[[Any], None]] = {
            Bars: self._on_bars,
            Charges: self._on_charges,
            Fills: self._on_fills,
            Book: self._on_book,
            Signal: self._on_signal,
            Orders: self._on_orders,
            Refusals: self._on_refusals,
            Actions: self._on_actions,
            Reference: self._on_reference,
            Note: self._on_note,
        }

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        """Takes one completed run of the bus: it fits where a recorder does."""
        del origins
        table = self._table
        for event in events:
            take = table.get(event.__class__)
            if take is not None:
                take(event)

    def add(self, event: Event, /) -> None:
        """Takes one event."""
        take = self._table.get(event.__class__)
        if take is not None:
            take(event)

    def finish(self) -> None:
        """Closes the last row. May be called at any time, and again."""
        self._close_row()
        for score in self.models.values():
            score.flush()

    @property
    def slice_ts(self) -> int:
        """The ts of the latest slice, 0 = there was none."""
        return self._ts if self._index >= 0 else 0

    # ---- events ------------------------------------------------------------------------------------------------------

    def _on_bars(self, bars: Bars) -> None:
        if bars.interval_ns != self.interval_ns:
            if self.interval_ns:
                if bars.interval_ns in self._longer:
                    self._longer[bars.interval_ns] += 1
                return
            self.interval_ns = bars.interval_ns
        self._close_row()
        before_ts, self._ts, self._volume = self._ts, bars.ts, bars.volume
        self._index += 1
        if self.models:
            opens, since = self._growth.opens(bars), before_ts
            for name, score in self.models.items():
                interval = self._slower.get(name)
                score.step(self._index if interval is None else self._longer[interval], since, opens)
        before = self._growth.on_bars(bars)
        if self._level is not None:
            self._level.step(bars, before, self._growth.value)
        self._growth.bury()
        self._count_statuses(bars)

    def _count_statuses(self, bars: Bars) -> None:
        absent = np.flatnonzero(bars.status)
        self._counts["bars"] += len(bars.status) - len(absent)
        self._absent, self._unpriced = (0, 0), absent if len(absent) else None
        if not len(absent):
            return
        absent = absent[bars.member[absent] & np.isnan(self._growth.final[absent])]
        if not len(absent):
            return
        halted = bars.status[absent] == Status.HALTED
        count = int(np.count_nonzero(halted))
        self._absent = (len(absent) - count, count)
        if count:
            self._halted[absent[halted]] += 1
            absent = absent[~halted]
        self._missing[absent] += 1

    def _on_charges(self, charges: Charges) -> None:
        if charges.ts != self._ts:
            self._close_row()
        self._flows.on_charges(charges)
        self._pnl.on_charges(charges)

    def _on_fills(self, fills: Fills) -> None:
        symbol = fills.symbol
        if not symbol.size:
            return
        if fills.ts != self._ts:
            self._close_row()
        self._flows.on_fills(fills)
        self._counts["fills"] += len(symbol)
        if self._volume is not None:
            self._counts["large"] += int(np.count_nonzero(np.abs(fills.qty) > 0.1 * self._volume[symbol]))

    def _on_book(self, book: Book) -> None:
        self.book = book
        self._flows.on_book(book)
        if self._volume is not None and book.ts == self._ts:
            self._marked = book

    def _on_signal(self, signal: Signal) -> None:
        score = self.models.get(signal.source)
        if score is None:
            if signal.horizon_ns <= 0:  # not known yet: a model that has learned nothing says nothing either
                return
            interval = self._slower.get(signal.source, self.interval_ns)
            horizon = max(1, round(signal.horizon_ns / interval)) if interval else 1
            score = self.models[signal.source] = SignalScore(len(self._universe), horizon=horizon)
        score.take(signal)

    def _on_orders(self, orders: Orders) -> None:
        self._counts["orders"] += int(np.count_nonzero(orders.action == 0))

    def _on_refusals(self, refusals: Refusals) -> None:
        self._counts["refusals"] += len(refusals.rule)
        for rule in refusals.rule:
            _count(self._rules, rule)

    def _on_note(self, note: Note) -> None:
        _count(self._notes, f"{note.source}.{note.kind}")
        if self._shown is not None:
            self._shown(note)

    def _on_actions(self, actions: Actions) -> None:
        self._close_row()
        self._growth.on_actions(actions)
        self._counts["actions"] += len(actions.kind)

    def _on_reference(self, reference: Reference) -> None:
        if reference.name == "rates":
            self._close_row()
            rate = reference.value[:, 0]
            self._pnl.revalue(self.book, rate)
            self._flows.revalue(rate)
            self._qty = np.empty(0)

    def _close_row(self) -> None:
        book, self._marked, self._volume = self._marked, None, None
        if book is None:
            return
        if book.qty is not self._qty:
            self._qty = book.qty
            self._held = np.flatnonzero(book.qty)
            self._exposure = book.qty[self._held]
            if self._flows.units is not None:
                self._exposure = self._exposure * self._flows.units[self._held]
            self._size = np.abs(self._exposure)
        gross = net = stale = 0.0
        if len(self._held):
            mark = book.mark[self._held]
            whole = book.equity if book.equity > 0 else np.nan  # shares of nothing say nothing
            gross, net = float(self._size @ mark) / whole, float(self._exposure @ mark) / whole
            if self._unpriced is not None:
                old = np.isin(self._held, self._unpriced)
                stale = float(self._size[old] @ mark[old]) / whole
        cash, unsettled = float(book.cash @ book.rate), float(book.unsettled @ book.rate)
        traded, moved = self._flows.take()
        turnover = traded / (self._equity if self._equity > 0 else np.nan) if traded else 0.0
        level = self._level.level if self._level is not None else np.nan
        shares = (book.equity, cash, gross, net, turnover, sum(moved[:_COSTS]), level)
        translated = book.translation - self._translation
        self.rows.add(book.ts, (*shares, *moved, unsettled, translated, stale, *self._absent))
        self._equity, self._translation = book.equity, book.translation

    # ---- answers -----------------------------------------------------------------------------------------------------

    def columns(self) -> dict[str, NDArray[Any]]:
        """Rows by column, `ts` first: (T,) each. What equity.parquet holds."""
        return {"ts": self.rows.ts} | {name: self.rows[name] for name in ROW_COLUMNS}

    def coefficients(self) -> dict[str, Any]:
        """Coefficients of all models by column, (R,) each: ts, source (text), ic, rank_ic, names. For ic.parquet."""
        scores = self.models.items()
        if not scores:
            return {"ts": np.empty(0, np.int64), "source": [], "ic": np.empty(0), "rank_ic": np.empty(0), "names": []}
        return {
            "ts": np.concatenate([score.rows.ts for _, score in scores]),
            "source": [name for name, score in scores for _ in range(len(score.rows))],
            "ic": np.concatenate([score.rows["ic"] for _, score in scores]),
            "rank_ic": np.concatenate([score.rows["rank_ic"] for _, score in scores]),
            "names": np.concatenate([score.rows["names"] for _, score in scores]).astype(np.int64),
        }

    def earned(self) -> dict[str, Any]:
        """P&L by symbol as of the latest book, (N + 1,) by column; the last row is of no symbol. For pnl.parquet."""
        return {"symbol": [*self._universe.symbols, ""]} | self._pnl.table(self.book)

    def counts(self) -> Counts:
        count = self._counts
        return Counts(
            slices=self._index + 1,
            bars=count["bars"],
            orders=count["orders"],
            fills=count["fills"],
            refusals=count["refusals"],
            refused_by=dict(sorted(self._rules.items())),
            notes=dict(sorted(self._notes.items())),
            missing=self._missing.copy(),
            halted=self._halted.copy(),
            unpriced=self._flows.unpriced,
            large=count["large"],
            actions=count["actions"],
        )

    # ---- state -------------------------------------------------------------------------------------------------------

    _PLAIN = ("interval_ns", "_ts", "_index", "_equity", "_translation", "_absent", "_unpriced", "_volume")
    _ARRAYS = ("_missing", "_halted")

    def save(self) -> bytes:
        return pack(
            "session_fold",
            _VERSION,
            plain={name: getattr(self, name) for name in self._PLAIN},
            arrays={name: getattr(self, name) for name in self._ARRAYS},
            row_ts=self.rows.ts,
            rows=self.rows.matrix(),
            longer=list(self._longer.items()),
            counts=dict(self._counts),
            rules=dict(self._rules),
            notes=dict(self._notes),
            growth=self._growth.state(),
            flows=self._flows.state(),
            pnl=self._pnl.state(),
            level=None if self._level is None else (self._level.level, self._level.member),
            models=[(name, score.state()) for name, score in self.models.items()],
            book=_encoder.encode(self.book),
            marked=_encoder.encode(self._marked),
        )

    def load(self, state: bytes, /) -> None:
        """Restores into a fresh fold of the same session; names may have been appended to its universe."""
        fields = unpack(state, "session_fold", _VERSION)
        n = len(self._universe)
        for name, value in fields["plain"].items():
            setattr(self, name, value)
        self._absent = (self._absent[0], self._absent[1])
        self._longer |= dict(fields["longer"])
        for name, array in fields["arrays"].items():
            setattr(self, name, np.concatenate([array, getattr(self, name)[len(array) :]]))
        self.rows.extend(fields["row_ts"], fields["rows"])
        self._counts.update(fields["counts"])
        self._rules.update(fields["rules"])
        self._notes.update(fields["notes"])
        self._growth.restore(fields["growth"])
        self._flows.restore(fields["flows"])
        self._pnl.restore(fields["pnl"])
        if self._level is not None:
            self._level.level, member = fields["level"]
            if member is not None:
                self._level.member = np.concatenate([member, np.zeros(n - len(member), bool)])
        for name, score in fields["models"]:
            self.models[name] = SignalScore(n, horizon=score["horizon"])
            self.models[name].restore(score)
        self.book, self._marked = _decoder.decode(fields["book"]), _decoder.decode(fields["marked"])


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
_decoder = msgspec.msgpack.Decoder(Book | None, ext_hook=ext_hook, dec_hook=lambda _, value: value)


def _count(counter: Counter[str], name: str) -> None:
    """Counts a name, the ones beyond the most that are told apart as `other`."""
    counter[name if name in counter or len(counter) < _NAMES_MAX else "other"] += 1


def _level(benchmark: str, universe: Universe, cash: float) -> EqualWeight | OneName | None:
    if benchmark == "none":
        return None
    if benchmark == "equal_weight":
        return EqualWeight(cash)
    if benchmark not in universe.symbols:
        raise ConfigError(
            f"session.benchmark: {benchmark!r} is not in the universe; name one of its symbols, equal_weight or none"
        )
    return OneName(cash, universe.symbols.index(benchmark))
