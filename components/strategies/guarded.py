"""A strategy with filters, rules and a schedule around it, whatever strategy it is."""

import inspect
from functools import partial
from typing import Any

import msgspec
import numpy as np

from components.strategies.guards import (
    HANDLERS,
    Filter,
    Rule,
    Schedule,
    View,
    answer_of,
    apart,
    handlers_of,
    names_of,
    view_of,
)
from components.strategies.nested import answered, load_into, saved_by
from components.strategies.wishes import (
    at_full_size,
    clipped,
    closed,
    hidden,
    in_shares,
    leave_all,
    restored,
    same,
    saved,
    scaled,
    weights_of,
)
from engine.barrier import followed
from engine.errors import StateError
from engine.events import ActionKind, Actions, Bars, Book, Mask, Note, Out, Signal, Target, Vector
from engine.protocols import Strategy
from engine.sealing import copied, users_own
from engine.state import pack, placed, unpack
from engine.universe import Universe

_KIND, _VERSION = "guarded", 1


class Guarded:
    """Asks a strategy when its schedule says so, and holds its target to filters and rules in every slice.

    1. Filters look at the slice. A name that does not pass is neither bought nor added to; what is held of it may be
       kept or reduced, and with `exit: sell` it is closed. Names that rules block count as not passing.
    2. Rules look at each position. One that is to be closed is wanted at 0 until it is, and afterwards until the
       strategy asks for it anew.
    3. Where the schedule is due, the strategy is asked. Of a name that may not be bought and is not held it sees no
       score (NaN), so that a ranking takes the next one. Before its first target every slice is due. With a schedule,
       weights and values become shares in the slice that was due, so that in between a drift of prices trades nothing.
    4. What is wanted is multiplied by the factors of the rules that scale; the strategy itself sees its positions at
       full size. Then names that do not pass are cut to what is held: guards never add to such a name and never turn
       a position over.

    None where nothing has changed. Notes say which names began or ceased to pass (`filter:KIND` and `block:KIND`, value
    1 = passes now), which positions are being closed, once each, with the number behind it (`rule:KIND`, `sell:KIND`),
    and which factor holds (`rule:KIND` without a symbol). Where two filters, or two rules, are of one kind, KIND has
    its place in the list: `price[1]`. Where models have opinions and the strategy wants nothing yet, they come with a
    target that leaves all as it is. Without filters, rules and a schedule it is the strategy.

    >>> from components.strategies.rules.stop_loss import StopLoss
    >>> from components.strategies.sign import Sign
    >>> from engine.universe import universe_of
    >>> one = universe_of(("A",))
    >>> careful = Guarded(strategy=Sign(universe=one, name="s"), universe=one, name="s", rules=(StopLoss(loss=0.1),))
    >>> careful.on_bars(bars(ts=2, close=[8.0]))
    >>> held = book(2, [8.0], qty=[50.0], entry=np.array([10.0]))
    >>> careful.on_signals((signal(2, [0.3]),), held).value
    array([0.])
    >>> careful.on_target(target(2, [0.0])).kind
    'rule:stop_loss'
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        universe: Universe,
        name: str,
        filters: tuple[Filter, ...] = (),
        rules: tuple[Rule, ...] = (),
        schedule: Schedule | None = None,
    ) -> None:
        self._inner, self._universe, self._name = strategy, universe, name
        self._filters, self._schedule = tuple(zip(names_of(filters), filters, strict=True)), schedule
        called = tuple(zip(names_of(rules), rules, strict=True))
        self._exits = [(kind, rule) for kind, rule in called if hasattr(rule, "exits")]
        self._blocks = [(kind, rule) for kind, rule in called if hasattr(rule, "blocks")]
        self._scales = [(kind, rule) for kind, rule in called if hasattr(rule, "scale")]
        parts = ("strategy", *(f"filters[{k}]" for k in range(len(filters))))
        self._called = [f"{name}.{part}" for part in (*parts, *(f"rules[{k}]" for k in range(len(rules))), "schedule")]
        self.wraps: tuple[Any, ...] = (strategy, *filters, *rules, *(() if schedule is None else (schedule,)))
        self._bare, self._own_parts = len(self.wraps) == 1, any(map(users_own, self.wraps))
        self.lookback: int = max(getattr(part, "lookback", 0) for part in self.wraps)
        self.slow_handlers: tuple[str, ...] = tuple(getattr(strategy, "slow_handlers", ()))
        self._handlers = {method: handlers_of(self.wraps, method) for method in ("on_signals", *HANDLERS)}
        for method, handlers in self._handlers.items():
            if any(map(inspect.iscoroutinefunction, handlers)):
                raise ValueError(
                    f"{method} of what stands within a guarded strategy is a coroutine; it must answer at once"
                )
            if handlers and method not in ("on_signals", "on_bars", "on_actions"):
                setattr(self, method, partial(self._tell, method))  # nothing is routed that nobody takes
        n = len(universe)
        self._bars: Bars | None = None
        self._wish: Target | None = None  # the strategy's latest target, without what was closed since
        self._said: Target | None = None
        self._wanted: Vector | None = None  # (N,) weights of what was said when the strategy was asked last
        self._decided, self._slices = 0, 0
        self._leaving = np.zeros(n)  # side of each position that is being closed, 0 = none
        self._by_rule: Mask = np.zeros(n, bool)  # of them, those that a rule closes
        self._factors = [1.0] * len(self._scales)
        self._told: list[Mask] = [np.zeros(n, bool) for _ in (*filters, *self._blocks)]  # names that do not pass
        self._now = self._told
        self._notes: list[Note] = []

    @property
    def interval_ns(self) -> int:
        """Of the bars that the strategy works on, and all around it with it."""
        return int(getattr(self._inner, "interval_ns", 0))

    @interval_ns.setter
    def interval_ns(self, interval_ns: int) -> None:
        self._inner.interval_ns = interval_ns

    # ---- events ------------------------------------------------------------------------------------------------------

    def on_bars(self, bars: Bars, /) -> Out:
        self._bars = bars
        return self._tell("on_bars", bars)

    def on_actions(self, actions: Actions, /) -> Out:
        """Everything wanted follows splits, delistings and changes of symbol, as positions do."""
        self._wish = None if self._wish is None else followed(self._wish, actions)
        self._said = None if self._said is None else followed(self._said, actions)
        for i in np.flatnonzero(actions.kind == ActionKind.SYMBOL_CHANGE).tolist():
            old, new = int(actions.symbol[i]), int(actions.successor[i])
            for kept in (self._leaving, self._by_rule, self._wanted):
                if kept is not None:
                    kept[new], kept[old] = kept[old] or kept[new], 0
        return self._tell("on_actions", actions)

    def _tell(self, method: str, event: Any) -> Out:
        said: list[Any] = []
        for handler in self._handlers[method]:
            out = handler(event)
            if out is not None:
                said += out if out.__class__ is tuple else (out,)
        return tuple(self._own(each) for each in said) or None

    def _own(self, event: Any) -> Any:
        other = event.__class__ in (Note, Target) and event.source != self._name
        return msgspec.structs.replace(event, source=self._name) if other else event

    def on_target(self, target: Target, /) -> Out:
        """The notes that belong to the target that was returned last."""
        notes, self._notes = tuple(self._notes), []
        for handler in handlers_of((self._inner,), "on_target"):  # guards within guards
            within: Any = handler(target)
            said = within if within.__class__ is tuple else () if within is None else (within,)
            notes += tuple(map(self._own, map(_inner, said) if isinstance(self._inner, Guarded) else said))
        return notes if len(notes) > 1 else notes[0] if notes else None

    # ---- the decision ------------------------------------------------------------------------------------------------

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        if self._bare:
            answer = self._inner.on_signals(signals, book)
            return None if answer is None else self._own(answer)
        if self._bars is None:
            return None
        self._notes, self._slices = [], self._slices + 1
        view = msgspec.structs.replace(
            view_of(self._universe, self._bars, book), decided=self._decided, slices=self._slices, wanted=self._wanted
        )
        view = apart(view) if self._own_parts else view
        side = np.sign(book.qty)
        self._leaving = np.where(self._leaving == side, self._leaving, 0.0)  # closed or turned over: done
        self._by_rule &= self._leaving != 0
        allowed = self._filtered(view)
        self._close_by_rule(view)
        allowed &= ~self._blocked(view)
        schedule = self._schedule
        due = self._decided == 0 or schedule is None or schedule.due(view)
        asked = due and self._ask(signals, view, allowed)
        if self._wish is None and not self._leaving.any():
            return self._told_alone(view, signals)
        return self._answer(view, allowed, due, asked)

    def _filtered(self, view: View) -> Mask:
        """(2, N) what may be bought, and what may be sold short. Positions of filters that sell begin to be closed."""
        allowed = np.ones((2, len(self._universe)), bool)
        self._now = []
        for kind, each in self._filters:
            answer = answer_of(each, "passes", each.passes(view), "b", (allowed.shape[1:], allowed.shape))
            passes = np.broadcast_to(answer, allowed.shape)
            allowed &= passes
            self._now.append(np.asarray(~passes.all(axis=0)))
            if getattr(each, "exit", "hold") == "sell":
                qty = view.book.qty
                gone = ((qty > 0) & ~passes[0]) | ((qty < 0) & ~passes[1])
                self._begin(view, f"sell:{kind}", "does not pass, sold: shares held", np.where(gone, qty, np.nan))
        return allowed

    def _close_by_rule(self, view: View) -> None:
        for kind, rule in self._exits:
            value = answer_of(rule, "exits", rule.exits(view), "f", (view.position.shape,))
            began = self._begin(view, f"rule:{kind}", str(getattr(rule, "text", "closed")), value)
            self._by_rule |= began

    def _begin(self, view: View, kind: str, text: str, value: Vector) -> Mask:
        """Positions that begin to be closed where `value` is a number, told once."""
        began: Mask = ~np.isnan(value) & (view.book.qty != 0) & (self._leaving == 0)
        if began.any():
            self._leaving = np.where(began, np.sign(view.book.qty), self._leaving)
            self._note(view, kind, text, np.flatnonzero(began), value[began])
        return began

    def _blocked(self, view: View) -> Mask:
        blocked = np.zeros(len(self._universe), bool)
        for _, rule in self._blocks:
            by_this = answer_of(rule, "blocks", rule.blocks(view, self._by_rule.copy()), "b", (blocked.shape,))
            self._now.append(by_this.copy())
            blocked |= by_this
        return blocked

    def _ask(self, signals: tuple[Signal, ...], view: View, allowed: Mask) -> bool:
        """Asks the strategy. Whether it answered with a target."""
        unseen = ~allowed[0] & (view.position == 0)
        seen = tuple(hidden(signal, unseen) for signal in signals) if unseen.any() else signals
        book = at_full_size(view, float(np.prod(self._factors)))
        answer = answered(self._called[0], self._inner, seen, book)
        if answer is not None:
            self._wish = in_shares(answer, view) if self._schedule is not None else answer
        if self._wish is not None:
            self._decided, self._slices = view.ts, 0
        return answer is not None

    def _answer(self, view: View, allowed: Mask, due: bool, asked: bool) -> Target | None:
        leaving: Mask = self._leaving != 0
        if self._wish is None:
            self._wish = leave_all(view, self._name)
        self._wish = closed(self._wish, leaving)
        target = clipped(scaled(self._wish, self._factor(view)), view, allowed)
        target = msgspec.structs.replace(target, ts=view.ts, source=self._name)
        if due:
            self._wanted = np.array(weights_of(target, view))
        elif self._wanted is not None:
            self._wanted = np.where(leaving, 0.0, self._wanted)
        self._tell_changes(view)
        if not asked and not self._notes and self._said is not None and same(target, self._said):
            return None
        self._said, self._told = target, self._now
        return target

    def _told_alone(self, view: View, signals: tuple[Signal, ...]) -> Target | None:
        """Nothing is wanted yet, though there are opinions: a target that leaves all as it is carries what changed."""
        if not any(np.isfinite(signal.value).any() for signal in signals):
            return None  # nothing was held back from a strategy that is warming up
        self._tell_changes(view)
        if not self._notes:
            return None
        self._told = self._now
        return leave_all(view, self._name)

    def _factor(self, view: View) -> float:
        """What all that is wanted is multiplied by; told where it changes."""
        if not self._scales:
            return 1.0
        assert self._wish is not None
        weights = np.nan_to_num(weights_of(self._wish, view), nan=0.0)
        weights = copied(weights) if self._own_parts else weights
        before, self._factors = self._factors, [float(rule.scale(view, weights)) for _, rule in self._scales]
        for (kind, rule), now, then in zip(self._scales, self._factors, before, strict=True):
            if not 0 <= now < np.inf:
                raise ValueError(f"{kind}: it scales by {now}; a factor is a finite number of at least 0")
            if remark := str(getattr(rule, "remark", "")):
                text = f"{remark}: all that is wanted is multiplied by {now:.4g}"
                self._note(view, f"rule:{kind}", text, np.empty(0, np.int32), np.array([now]))
            elif now != then:
                text = f"all that is wanted is multiplied by {now:.4g}, by {then:.4g} before"
                self._note(view, f"rule:{kind}", text, np.empty(0, np.int32), np.array([now]))
        return float(np.prod(self._factors))

    def _tell_changes(self, view: View) -> None:
        kinds = [f"filter:{kind}" for kind, _ in self._filters] + [f"block:{kind}" for kind, _ in self._blocks]
        for kind, now, told in zip(kinds, self._now, self._told, strict=True):
            rows = np.flatnonzero(now != told)
            if rows.size:
                count = int(np.count_nonzero(now))
                text = f"{count} of {len(now)} names do not pass; of those told, 1 = passes now, 0 = does not"
                self._note(view, kind, text, rows, np.where(now[rows], 0.0, 1.0))

    def _note(self, view: View, kind: str, text: str, rows: Any, value: Vector) -> None:
        note = Note(ts=view.ts, source=self._name, kind=kind, text=text, symbol=rows.astype(np.int32), value=value)
        self._notes.append(note)

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        ts = 0 if self._bars is None else self._bars.ts
        columns = {"leaving": self._leaving, "by_rule": self._by_rule, "wanted": self._wanted, "told": self._told}
        return pack(
            _KIND,
            _VERSION,
            symbols=self._universe.symbols,
            **columns,
            decided=self._decided,
            slices=self._slices,
            factors=self._factors,
            wish=saved(self._wish),
            said=saved(self._said),
            parts=[saved_by(called, part, ts) for called, part in zip(self._called, self.wraps, strict=False)],
        )

    def load(self, state: bytes, /) -> None:
        """Restores by symbol: names appended to the universe since are not wanted and do not pass yet."""
        fields = unpack(state, _KIND, _VERSION)
        before, now = fields["symbols"], self._universe.symbols
        ours = (len(self.wraps), len(self._told), len(self._factors))
        theirs = (len(fields["parts"]), len(fields["told"]), len(fields["factors"]))
        if ours != theirs:
            raise StateError(
                f"{self._name}: the state is of {theirs[0] - 1} guards and there are {ours[0] - 1} now, or "
                "others; give the same filters, rules and schedule, or start without the state"
            )
        self._leaving = placed(fields["leaving"], before, now, 0.0)
        self._by_rule = placed(fields["by_rule"], before, now, False)
        self._wanted = None if fields["wanted"] is None else placed(fields["wanted"], before, now, 0.0)
        self._told = [placed(told, before, now, True) for told in fields["told"]]
        self._decided, self._slices, self._factors = fields["decided"], fields["slices"], list(fields["factors"])
        self._wish, self._said = (restored(fields[key], self._name, before, now) for key in ("wish", "said"))
        for called, part, kept in zip(self._called, self.wraps, fields["parts"], strict=False):
            load_into(called, part, kept)


def _inner(event: Any) -> Any:
    """A note of guards within guards, told apart from those of the outer ones."""
    return msgspec.structs.replace(event, kind=f"{event.kind}@strategy") if event.__class__ is Note else event
