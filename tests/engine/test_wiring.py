"""The order of events, the barriers, held signals, snapshots: what the wiring promises."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.barrier import Named, followed
from engine.errors import ComponentError, ConfigError, DataError, StateError
from engine.events import (
    DAY_NS,
    HOUR_NS,
    ActionKind,
    Actions,
    Approved,
    Bars,
    Book,
    Control,
    ControlAction,
    Event,
    Fills,
    Mode,
    Note,
    Orders,
    Reference,
    Reports,
    Signal,
    Target,
    TargetKind,
    Timer,
    Watermark,
)
from engine.journal import Journal
from engine.protocols import Artefact
from engine.session import Replay, Session, merge
from engine.wiring import ModelPart, Wiring
from tests.engine.parts import (
    BarLevel,
    FeatureLevel,
    Open,
    Proportional,
    SlowFeatureLevel,
    SlowProportional,
    SlowWhole,
    Whole,
    parts,
)
from tests.engine.test_journal import one_of_each
from tests.make import bars, day, legs, market, target


class Log:
    """Keeps every event with its origin."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Event]] = []

    def append(self, origins: Sequence[str], events: Sequence[Event], /) -> None:
        self.rows += zip(origins, events, strict=True)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for _, event in self.rows if type(event) is kind]


async def ran(wiring: Wiring, *streams: Sequence[Event]) -> Log:
    log = Log()
    await Session(wiring, recorders=(log,)).run(*(Replay(lambda s=s: iter(s)) for s in streams))  # type: ignore[misc]
    return log


def two_slices() -> list[Event]:
    return [bars(day(0), [10.0, 30.0]), bars(day(1), [11.0, 29.0], open=[10.0, 29.0])]


ORDER = """
input      Bars    0
broker     Fills   0
closes     Features 0
b          Signal  0
ledger     Book    0
a          Signal  0
strategy   Target  0
optimizer  Orders  0
gate       Approved 0
broker     Reports 0
input      Bars    1
broker     Reports 1
broker     Fills   1
closes     Features 1
b          Signal  1
ledger     Book    1
a          Signal  1
strategy   Target  1
optimizer  Orders  1
gate       Approved 1
broker     Reports 1
"""


@pytest.mark.parametrize("slow", ["", "model", "strategy", "optimizer", "all"])
async def test_the_order_of_events_of_two_slices_is_this_one_whatever_is_slow(slow: str) -> None:
    given: dict[str, Any] = {}
    if slow in ("model", "all"):
        models = (
            ModelPart(name="a", model=SlowFeatureLevel("a"), schema="closes"),
            ModelPart(name="b", model=BarLevel("b")),
        )
        given["models"] = models
    if slow in ("strategy", "all"):
        given["strategies"] = (Named("strategy", SlowProportional("strategy")),)
    if slow in ("optimizer", "all"):
        given["optimizer"] = Named("optimizer", SlowWhole())
    log = await ran(Wiring(parts(**given)), two_slices())
    rows = [(getattr(e, "source", origin), type(e).__name__, (e.ts - day(0)) // DAY_NS) for origin, e in log.rows]
    assert rows == [(o, k, int(t)) for o, k, t in (line.split() for line in ORDER.split("\n") if line)]


async def test_a_strategy_is_called_once_a_slice_with_the_book_marked_at_its_closes_and_one_signal_a_model() -> None:
    strategy = Proportional("strategy")
    wiring = Wiring(parts(strategies=(Named("strategy", strategy),)))
    await ran(wiring, two_slices())
    assert [book.ts for _, book in strategy.calls] == [day(0), day(1)]
    for (signals, book), slice_ in zip(strategy.calls, two_slices(), strict=True):
        assert isinstance(slice_, Bars)
        assert [s.source for s in signals] == ["a", "b"]
        assert {s.asof for s in signals} == {book.ts}
        assert (book.mark == slice_.close).all()


async def test_several_strategies_are_all_asked_before_the_optimizer_is_asked_once() -> None:
    optimizer = Whole()
    strategies = tuple(Named(name, Proportional(name)) for name in ("x", "y"))
    log = await ran(Wiring(parts(strategies=strategies, optimizer=Named("optimizer", optimizer))), two_slices())
    assert [[t.source for t in targets] for targets in optimizer.calls] == [["x", "y"], ["x", "y"]]
    kinds = [type(e).__name__ for _, e in log.rows if type(e) in (Target, Orders)]
    assert kinds == ["Target", "Target", "Orders"] * 2


@pytest.mark.parametrize("kind", [Proportional, SlowProportional])
async def test_a_strategy_that_answers_none_keeps_its_last_target(kind: Any) -> None:
    optimizer = Whole()
    strategies = (Named("x", kind("x", only=(day(0),))), Named("y", kind("y", only=(day(1),))))
    slices = [*two_slices(), bars(day(2), [12.0, 28.0])]
    log = await ran(Wiring(parts(strategies=strategies, optimizer=Named("optimizer", optimizer))), slices)
    assert [[(t.source, t.ts) for t in targets] for targets in optimizer.calls] == [
        [("x", day(0))],
        [("x", day(0)), ("y", day(1))],
        [("x", day(0)), ("y", day(1))],
    ]
    assert len(log.of(Target)) == 2


class Explains:
    """A strategy that says of each of its targets what it wants."""

    interval_ns = 0

    def __init__(self, name: str, kind: Any) -> None:
        self._name, self._within = name, kind(name)
        self.slow_handlers = getattr(self._within, "slow_handlers", ())

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        answer: Target | None = self._within.on_signals(signals, book)
        return answer

    def on_target(self, target: Target, /) -> Note:
        return Note(ts=target.ts, source=self._name, kind="why", text=target.source)


@pytest.mark.parametrize("kind", [Proportional, SlowProportional])
async def test_a_strategy_explains_its_own_targets_before_the_optimizer_is_asked(kind: Any) -> None:
    strategies = (Named("x", Explains("x", kind)), Named("y", Explains("y", kind)), Named("z", kind("z")))
    log = await ran(Wiring(parts(strategies=strategies)), two_slices()[:1])
    rows = [(origin, type(e).__name__, getattr(e, "text", "")) for origin, e in log.rows]
    assert [row for row in rows if row[1] == "Note"] == [("x", "Note", "x"), ("y", "Note", "y")]
    kinds = [kind for _, kind, _ in rows if kind in ("Target", "Note", "Orders")]
    assert kinds == ["Target", "Target", "Target", "Note", "Note", "Orders"]


async def test_the_optimizer_is_not_asked_before_any_strategy_had_a_target() -> None:
    optimizer = Whole()
    strategies = (Named("x", Proportional("x", only=(day(5),))),)
    await ran(Wiring(parts(strategies=strategies, optimizer=Named("optimizer", optimizer))), two_slices())
    assert optimizer.calls == []


async def test_a_book_after_corporate_actions_wakes_no_barrier() -> None:
    strategy = Proportional("strategy")
    one = np.array([1], np.int32)
    split = Actions(
        ts=day(0) + HOUR_NS,
        kind=np.array([ActionKind.SPLIT], np.int32),
        symbol=one,
        ratio=np.array([2.0]),
        amount=np.array([np.nan]),
        pay_at=np.array([0]),
        successor=one,
    )
    first, second = two_slices()
    log = await ran(Wiring(parts(strategies=(Named("strategy", strategy),))), [first, split, second])
    assert [book.ts for book in log.of(Book)] == [day(0), split.ts, day(1)]
    assert len(strategy.calls) == 2


async def test_a_second_fill_in_a_slice_gives_a_closing_book_that_wakes_no_barrier() -> None:
    class SameClose:
        """Answers orders with fills at the close of the very slice."""

        def __init__(self) -> None:
            self.none: Any = None
            self.close: Any = None

        def on_bars(self, slice_: Bars, /) -> tuple[Fills, ...]:
            none, ids = np.empty(0), np.empty(0, np.uint64)
            symbol, at = np.empty(0, np.int32), np.empty(0, np.int64)
            self.close = slice_.close
            fees = np.empty((0, 3))
            self.none = Fills(
                ts=slice_.ts,
                exec_ids=ids,
                order_ids=ids,
                symbol=symbol,
                qty=none,
                price=none,
                reference=none,
                fees=fees,
                at=at,
            )
            return (self.none,)

        def on_orders(self, orders: Any, /) -> Fills:
            price = self.close[orders.symbol]
            at = np.full(len(price), orders.ts)
            fees = np.zeros((len(price), 3))
            ids, qty = orders.ids, orders.qty
            return Fills(
                ts=orders.ts,
                exec_ids=ids,
                order_ids=ids,
                symbol=orders.symbol,
                qty=qty,
                price=price,
                reference=price,
                fees=fees,
                at=at,
            )

    strategy = Proportional("strategy")
    wiring = Wiring(parts(broker=Named("broker", SameClose()), strategies=(Named("strategy", strategy),)))
    log = await ran(wiring, two_slices())
    assert [book.ts for book in log.of(Book)] == [day(0), day(0), day(1)]  # day 1 trades nothing
    assert [book.ts for _, book in strategy.calls] == [day(0), day(1)]


async def test_a_lagged_model_answers_every_slice_with_what_it_said_n_slices_before() -> None:
    model = ModelPart(name="a", model=FeatureLevel("a"), schema="closes", lag=1)
    strategy = Proportional("strategy")
    wiring = Wiring(parts(models=(model,), strategies=(Named("strategy", strategy),)))
    log = await ran(wiring, two_slices())
    first, second = log.of(Signal)
    assert (first.ts, first.asof) == (day(0), 0)
    assert np.isnan(first.value).all()
    assert (second.ts, second.asof, second.value.tolist()) == (day(1), day(0), [10.0, 30.0])
    assert len(strategy.calls) == 2


async def test_a_model_with_latency_is_not_waited_for_and_joins_when_its_timer_comes() -> None:
    model = ModelPart(name="a", model=BarLevel("a"), latency_ns=2 * HOUR_NS)
    strategy = Proportional("strategy")
    log = await ran(Wiring(parts(models=(model,), strategies=(Named("strategy", strategy),))), two_slices())
    kinds = [(type(e).__name__, e.ts) for _, e in log.rows if type(e) in (Timer, Signal)]
    assert kinds == [("Timer", day(0) + 2 * HOUR_NS), ("Signal", day(0) + 2 * HOUR_NS)]
    (nothing,), _ = strategy.calls[0]
    (joined,), _ = strategy.calls[1]
    assert np.isnan(nothing.value).all()
    assert (joined.asof, joined.value.tolist()) == (day(0), [10.0, 30.0])


async def test_rule_19_an_old_signal_expires_with_its_time_to_live() -> None:
    model = ModelPart(name="a", model=BarLevel("a"), latency_ns=HOUR_NS, ttl_ns=DAY_NS - 2 * HOUR_NS)
    strategy = Proportional("strategy")
    await ran(Wiring(parts(models=(model,), strategies=(Named("strategy", strategy),))), two_slices())
    (old,), _ = strategy.calls[1]
    assert np.isnan(old.value).all()


async def test_rule_19_a_model_is_swapped_at_a_slice_boundary_by_a_recorded_control() -> None:
    artefact = Artefact(hash="abc", files={"weight": b"-1"})
    wiring = Wiring(parts(), artefacts={"abc": artefact})
    swap = Control(ts=day(1), action=ControlAction.SWAP_MODEL, component="b", artefact="abc")
    log = await ran(wiring, two_slices(), [swap])
    b = [s for s in log.of(Signal) if s.source == "b"]
    assert [(s.value.tolist(), s.model_hash) for s in b] == [([10.0, 30.0], ""), ([-11.0, -29.0], "abc")]
    kinds = [type(e).__name__ for _, e in log.rows if e.ts == day(1)]
    assert kinds[:2] == ["Control", "Bars"]
    gate = parts().gate
    halt = Control(ts=day(1), action=ControlAction.HALT)
    log = await ran(Wiring(parts(gate=gate)), two_slices(), [halt])
    assert gate.component.controls == [halt]
    assert [book.mode for book in log.of(Book)] == [Mode.ACTIVE, Mode.HALTED]
    with pytest.raises(ComponentError, match="asked to swap to artefact xyz"):
        await ran(Wiring(parts()), [Control(ts=1, action=ControlAction.SWAP_MODEL, component="b", artefact="xyz")])


async def test_rule_07_inputs_of_one_instant_enter_by_kind_then_by_source() -> None:
    def reference(name: str) -> Reference:
        return Reference(ts=5, name=name, rows="symbol", value=np.zeros((1, 1)))

    late: list[Event] = [Watermark(ts=5)]
    streams: list[list[Event]] = [
        late,
        [reference("second")],
        [reference("third")],
        [Control(ts=5, action=ControlAction.HALT)],
    ]

    async def events(rows: list[Event]) -> Any:
        for row in rows:
            yield row

    order = [getattr(e, "name", type(e).__name__) async for e in merge([events(rows) for rows in streams])]
    assert order == ["Control", "second", "third", "Watermark"]


async def test_an_input_older_than_the_one_before_it_stops_the_session() -> None:
    with pytest.raises(DataError, match=f"Bars at {day(0)} is {DAY_NS} ns older than the input before it"):
        await ran(Wiring(parts()), list(reversed(two_slices())))


@pytest.mark.parametrize("slow", [False, True])
async def test_a_failing_strategy_is_named(slow: bool) -> None:
    class Broken:
        interval_ns = 0
        slow_handlers = ("on_signals",) if slow else ()

        def on_signals(self, signals: Any, book: Any, /) -> None:
            raise LookupError("no such sector")

    with pytest.raises(ComponentError, match="broken: failed on Signal of .*LookupError: no such sector"):
        await ran(Wiring(parts(strategies=(Named("broken", Broken()),))), two_slices())


async def test_a_strategy_that_answers_something_else_and_a_signal_of_wrong_length_are_named() -> None:
    class Odd:
        interval_ns = 0

        def on_signals(self, signals: Any, book: Any, /) -> Any:
            return Note(ts=book.ts, source="odd", kind="x")

    with pytest.raises(ComponentError, match="odd: .*answered Note, not a Target of 2 values"):
        await ran(Wiring(parts(strategies=(Named("odd", Odd()),))), two_slices())

    class Short(BarLevel):
        def on_bars(self, slice_: Bars, /) -> Signal:
            return self._answer(slice_.ts, slice_.close[:1])

    with pytest.raises(ComponentError, match="b: .*its signal has 1 values, not 2"):
        await ran(Wiring(parts(models=(ModelPart(name="b", model=Short("b")),))), two_slices())


def test_wirings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigError, match="two components are called 'b'"):
        Wiring(parts(models=(ModelPart(name="b", model=BarLevel("b")), ModelPart(name="b", model=BarLevel("b")))))
    with pytest.raises(ConfigError, match="reads features of schema other, which nothing in the wiring makes"):
        Wiring(parts(models=(ModelPart(name="b", model=FeatureLevel("b"), schema="other"),)))
    with pytest.raises(ConfigError, match="it has no on_bars; name the feature set"):
        Wiring(parts(models=(ModelPart(name="b", model=FeatureLevel("b")),)))
    with pytest.raises(ConfigError, match="lag and latency are given"):
        Wiring(parts(models=(ModelPart(name="b", model=BarLevel("b"), lag=1, latency_ns=1),)))


@pytest.mark.parametrize("cut", [1, 3, 7])
@pytest.mark.parametrize("lag", [{}, {"lag": 2}, {"latency_ns": HOUR_NS}])
async def test_rule_50_a_snapshot_and_the_tail_equal_the_whole(cut: int, lag: dict[str, int]) -> None:
    def wiring() -> Wiring:
        model = ModelPart(name="b", model=BarLevel("b"), **lag)
        return Wiring(parts(n=5, models=(model,), strategies=(Named("s", Proportional("s", only=(day(0), day(4)))),)))

    def stateless_broker(w: Wiring) -> None:
        w.parts.broker.component._held.clear()

    slices: list[Event] = [*market(5, 10, holes=0.0, late=0)]
    whole, first, second = Log(), Log(), Log()
    await Session(wiring(), recorders=(whole,)).run(Replay(lambda: iter(slices)))
    before, after = wiring(), wiring()
    head = Replay(lambda: iter(slices[:cut]))
    await Session(before, recorders=(first,)).run(head)
    after.load(before.save())
    after.parts.broker.component._held.extend(before.parts.broker.component._held)
    tail = Replay(lambda: iter(slices))
    tail.resume(head.snapshot())
    await Session(after, recorders=(second,)).run(tail)

    def digest(rows: list[tuple[str, Event]]) -> str:
        journal = Journal()
        journal.append([o for o, _ in rows], [e for _, e in rows])
        return journal.digest

    assert digest(first.rows + second.rows) == digest(whole.rows)


def test_a_snapshot_of_another_wiring_is_refused() -> None:
    with pytest.raises(StateError, match="do not have the same components: a"):
        Wiring(parts(models=(ModelPart(name="b", model=BarLevel("b")),))).load(Wiring(parts()).save())


def test_replay_resumes_behind_the_last_event_handed_out() -> None:
    replay = Replay(lambda: iter(two_slices()))
    other = Replay(lambda: iter(two_slices()))
    other.resume(replay.snapshot())
    assert other.snapshot() == replay.snapshot()


@pytest.mark.parametrize(
    ("old", "new", "kind", "after"),
    [
        (np.nan, np.nan, TargetKind.QUANTITY, np.nan),  # no wish stays no wish
        (np.nan, 30.0, TargetKind.QUANTITY, 30.0),
        (100.0, np.nan, TargetKind.QUANTITY, 50.0),
        (100.0, 50.0, TargetKind.QUANTITY, 100.0),  # the ratio is of the old shares alone
        (0.1, 0.2, TargetKind.WEIGHT, 0.3),
    ],
)
def test_rule_24_a_kept_target_follows_a_change_of_symbol(
    old: float, new: float, kind: TargetKind, after: float
) -> None:
    wish = target(1, [old, new], kind=kind, limit=np.array([10.0, np.nan]))
    change = Actions(
        ts=2,
        kind=np.array([ActionKind.SYMBOL_CHANGE], np.int32),
        symbol=np.array([0], np.int32),
        ratio=np.array([0.5]),
        amount=np.array([np.nan]),
        pay_at=np.zeros(1, np.int64),
        successor=np.array([1], np.int32),
    )
    then = followed(wish, change)
    np.testing.assert_allclose(then.value, [0.0, after])
    assert then.limit[1] == 20.0


class Forger(Proportional):
    """Says beside its target what is not its to say."""

    def __init__(self, name: str, forged: Event) -> None:
        super().__init__(name)
        self._forged = forged

    def on_control(self, control: Control, /) -> Event:
        return self._forged

    def on_fills(self, fills: Fills, /) -> Event:
        return self._forged


FORGED: list[Event] = [
    legs(Approved, day(0), symbol=[0], qty=[1.0]),
    Control(ts=day(0), action=ControlAction.RESUME, latch="max_drawdown", actor="operator"),
]
FORGED += [event for event in one_of_each() if not isinstance(event, Approved | Control | Note | Target)]


@pytest.mark.parametrize("slow", ["", "model", "gate"])
@pytest.mark.parametrize("forged", FORGED, ids=lambda event: type(event).__name__)
async def test_rule_46_only_the_gate_approves_and_nobody_inside_commands(forged: Event, slow: str) -> None:
    """Rule 46: nothing can bypass the gate, whatever else of the wiring may wait."""

    class SlowOpen(Open):
        slow_handlers = ("on_orders", "on_control")

    given: dict[str, Any] = {"strategies": (Named("forger", Forger("forger", forged)),)}
    if slow == "model":
        given["models"] = (ModelPart(name="a", model=SlowFeatureLevel("a"), schema="closes"),)
    if slow == "gate":
        given["gate"] = Named("gate", SlowOpen())
    wiring = Wiring(parts(**given))
    kind = type(forged).__name__
    with pytest.raises(ComponentError, match=f"forger: failed on {kind} .* it said {kind}, which is not for it to say"):
        await ran(wiring, two_slices())
    assert wiring.ledger.book(day(0)).open_orders.ids.size == 0


async def test_rule_46_an_approval_from_outside_is_refused_and_a_control_from_outside_is_not() -> None:
    for kept in (FORGED[1], Control(ts=day(0), action=ControlAction.HALT)):
        await ran(Wiring(parts()), [kept])
    with pytest.raises(ComponentError, match="input: failed on Approved .* does not come from outside; return Orders"):
        await ran(Wiring(parts()), [FORGED[0]])


def test_rule_46_the_wiring_lets_approved_come_from_the_gate_alone_and_a_broker_hear_nothing_else() -> None:
    wiring = Wiring(parts())
    assert [name for name, may in wiring.says.items() if Approved in may] == ["gate"]
    assert [name for name, may in wiring.says.items() if Control in may] == ["gate"]
    assert [name for name, may in wiring.says.items() if Fills in may] == ["broker"]
    assert [name for name, may in wiring.says.items() if Book in may] == ["ledger"]
    for route in wiring.routes:
        assert route.says == wiring.says[route.component], route
        takes_orders = getattr(route.handler, "__name__", "") == "on_orders"
        assert route.event is Approved or not (route.component == "broker" and takes_orders)
    with pytest.raises(ConfigError, match="two components are called 'input'"):
        Wiring(parts(gate=Named("input", Open())))


async def test_a_target_that_nobody_asked_for_is_refused() -> None:
    forger = Forger("forger", target(day(0), [1.0]))
    with pytest.raises(ComponentError, match="it said a target that nobody asked for; return targets from on_signals"):
        await ran(Wiring(parts(strategies=(Named("forger", forger),))), two_slices())


async def test_a_signal_speaks_for_its_own_model() -> None:
    models = tuple(ModelPart(name=name, model=Spoken("b")) for name in ("a", "b"))
    with pytest.raises(ComponentError, match="a: failed on Signal .* its source is 'b', which is not for it to say"):
        await ran(Wiring(parts(models=models)), two_slices())


class Spoken:
    """A model that writes its answers into one array, and says it under any name."""

    lookback = 0

    def __init__(self, source: str) -> None:
        self._source, self._value = source, np.zeros((1, 2))

    def on_bars(self, bars: Bars, /) -> Signal:
        value = self._value[0]
        value[:] = bars.close
        return Signal(ts=bars.ts, asof=bars.ts, source=self._source, value=value, horizon_ns=0)

    def swap(self, artefact: Artefact, /) -> None: ...


@pytest.mark.parametrize("held", [{}, {"lag": 1}, {"latency_ns": 5}])
async def test_what_was_said_stays_a_component_that_writes_over_it_is_named(held: dict[str, int]) -> None:
    models = (ModelPart(name="a", model=Spoken("a"), **held),)
    with pytest.raises(ComponentError, match="a: failed on Bars .* read-only; an array that went out"):
        await ran(Wiring(parts(models=models)), two_slices())


async def test_rule_46_orders_that_were_approved_are_not_changed_afterwards() -> None:
    class Rewrites(Whole):
        """Changes the quantities that it ordered once they have been approved."""

        def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Orders:
            self.sent = legs(Orders, book.ts, symbol=[0], qty=[1.0])
            return self.sent  # type: ignore[return-value]

        def on_reports(self, reports: Reports, /) -> None:
            self.sent.qty[0] = 1e6

    with pytest.raises(ComponentError, match="optimizer: failed on Reports .* read-only; an array that went out"):
        await ran(Wiring(parts(optimizer=Named("optimizer", Rewrites()))), two_slices())
