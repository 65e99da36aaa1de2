"""Several intervals in one run, large batches of fills, and what is refused at the edges of the engine."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.gates.limits import Limits
from engine.barrier import Named
from engine.bus import Bus
from engine.clock import Timers
from engine.errors import ComponentError, ConfigError, DataError, StateError
from engine.events import (
    DAY_NS,
    MINUTE_NS,
    ActionKind,
    Approved,
    Bars,
    Book,
    Event,
    Features,
    LegAction,
    Note,
    OrderKind,
    OrderState,
    Refusals,
    Reports,
    Signal,
    Target,
    TargetKind,
    Timer,
)
from engine.held import Delayed, Lagged
from engine.ids import OrderIds
from engine.journal import Journal
from engine.journal_reading import read_runs
from engine.ledger import Ledger
from engine.open_orders import OpenLegs
from engine.session import Replay, Session
from engine.state import ext_hook, pack, unpack
from engine.universe import Universe, universe_of
from engine.wiring import ModelPart, Wiring
from tests.engine.parts import BarLevel, Closes, FeatureLevel, FillAtOpen, Proportional, SlowWhole, Whole, parts
from tests.engine.test_ledger import action, fills
from tests.engine.test_wiring import Log, ran
from tests.make import bars, day, legs, signal, target

FIVE_NS = 5 * MINUTE_NS


class Five(Proportional):
    interval_ns = FIVE_NS


class FiveSlow(Five):
    slow_handlers = ("on_signals",)


def minutes(count: int) -> list[Event]:
    """One-minute slices, and behind every fifth the five-minute one of the same instant."""
    events: list[Event] = []
    for k in range(1, count + 1):
        ts, price = day(0) + k * MINUTE_NS, 10.0 + k
        events.append(bars(ts, [price, 20.0], interval_ns=MINUTE_NS, opened=ts - MINUTE_NS))
        if k % 5 == 0:
            events.append(bars(ts, [price, 20.0], open=[price - 4, 20.0], interval_ns=FIVE_NS, opened=ts - FIVE_NS))
    return events


@pytest.mark.parametrize("kind", [Five, FiveSlow])
async def test_rule_13_a_slower_strategy_decides_after_its_own_bars_with_the_latest_book(kind: Any) -> None:
    slow, fast = kind("slow"), Proportional("fast")
    models = (
        ModelPart(name="minute", model=BarLevel("minute")),
        ModelPart(name="five", model=BarLevel("five"), interval_ns=FIVE_NS),
    )
    made = parts(
        interval_ns=MINUTE_NS,
        intervals=(FIVE_NS,),
        models=models,
        features=(),
        strategies=(Named("slow", slow), Named("fast", fast)),
    )
    log = await ran(Wiring(made), minutes(10))
    at = [day(0) + k * MINUTE_NS for k in range(1, 11)]
    assert [book.ts for _, book in fast.calls] == at
    assert [book.ts for _, book in slow.calls] == [at[4], at[9]]
    assert len(log.of(Book)) == 10  # one a slice of the finest interval
    assert len([s for s in log.of(Signal) if s.source == "five"]) == 2
    (_, five), _ = fast.calls[6]  # at minute 7 the five-minute answer of minute 5 is the latest
    assert (five.source, five.asof) == ("five", at[4])
    (_, none), _ = fast.calls[3]
    assert np.isnan(none.value).all()


async def test_features_go_to_the_models_that_name_their_schema() -> None:
    class Twice(Closes):
        schema = "twice"

        def on_bars(self, slice_: Bars, /) -> Features:
            return Features(ts=slice_.ts, schema=self.schema, value=2 * slice_.close[:, None])

    made = parts(
        features=(Named("closes", Closes()), Named("twice", Twice())),
        models=(
            ModelPart(name="a", model=FeatureLevel("a"), schema="closes"),
            ModelPart(name="b", model=FeatureLevel("b"), schema="twice"),
        ),
    )
    log = await ran(Wiring(made), [bars(day(0), [10.0, 30.0])])
    assert {s.source: s.value.tolist() for s in log.of(Signal)} == {"a": [10.0, 30.0], "b": [20.0, 60.0]}


async def test_what_a_slow_optimizer_raises_names_it() -> None:
    class Stuck(SlowWhole):
        def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Any:
            raise ArithmeticError("no solution")

    with pytest.raises(ComponentError, match="optimizer: .*ArithmeticError: no solution"):
        await ran(Wiring(parts(optimizer=Named("optimizer", Stuck()))), [bars(day(0), [10.0, 30.0])])


class Wrong(BarLevel):
    """Answers with another ts, another source, or not at all."""

    def __init__(self, name: str, *, late_ns: int = 0, source: str = "", silent: bool = False) -> None:
        super().__init__(source or name)
        self._late_ns, self._silent = late_ns, silent

    def on_bars(self, slice_: Bars, /) -> Any:
        return None if self._silent else self._answer(slice_.ts + self._late_ns, slice_.close)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"late_ns": -1}, "b: .* it said Signal with ts .*; what is said has the ts of the input that it follows from"),
        ({"late_ns": 5}, "b: .* it said Signal with ts"),
        ({"source": "other"}, "b: .* its source is 'other', .* each with its own name as the source"),
        (
            {"silent": True},
            "b: failed on Bars of 2018-01-02T21:00:00Z .* it did not answer; a model answers every slice",
        ),
    ],
)
@pytest.mark.parametrize("count", [1, 3])
async def test_a_model_that_breaks_its_contract_is_named(wrong: dict[str, Any], said: str, count: int) -> None:
    models = (ModelPart(name="b", model=Wrong("b", **wrong)),)
    with pytest.raises(ComponentError, match=said):
        await ran(Wiring(parts(models=models)), [bars(day(k), [10.0, 30.0]) for k in range(count)])


async def test_a_broker_that_answers_a_slice_without_fills_is_named() -> None:
    class Mute(FillAtOpen):
        def on_bars(self, slice_: Bars, /) -> Any:
            return None

    with pytest.raises(ComponentError, match="broker: .* it answered without a Fills; each slice needs exactly one"):
        await ran(Wiring(parts(broker=Named("broker", Mute()))), [bars(day(0), [10.0, 30.0])])


def test_an_interval_that_nobody_makes_is_refused() -> None:
    with pytest.raises(ConfigError, match="slow: interval_ns is 300 s, but the feed makes bars of 86400 s only"):
        Wiring(parts(strategies=(Named("slow", Five("slow")),)))


@pytest.mark.parametrize("where", ["strategy", "optimizer", "held"])
def test_a_coroutine_where_an_answer_is_needed_at_once_is_refused(where: str) -> None:
    class Waits(Proportional):
        async def on_signals(self, signals: Any, book: Any, /) -> Any:
            return None

    class WaitsToo(Whole):
        async def on_targets(self, targets: Any, book: Any, /) -> Any:
            return None

    class Remote(BarLevel):
        async def on_bars(self, slice_: Bars, /) -> Any:
            return self._answer(slice_.ts, slice_.close)

    given: dict[str, Any] = {
        "strategy": {"strategies": (Named("x", Waits("x")),)},
        "optimizer": {"optimizer": Named("x", WaitsToo())},
        "held": {"models": (ModelPart(name="x", model=Remote("x"), lag=1),)},
    }[where]
    with pytest.raises(ConfigError, match="x: .* is a coroutine, but it must answer at once; name it in slow_handlers"):
        Wiring(parts(**given))


async def test_a_model_may_wait_for_its_answer() -> None:
    class Remote(BarLevel):
        async def on_bars(self, slice_: Bars, /) -> Any:
            return self._answer(slice_.ts, slice_.close)

    log = await ran(Wiring(parts(models=(ModelPart(name="x", model=Remote("x")),))), [bars(day(0), [10.0, 30.0])])
    assert len(log.of(Target)) == 1


@pytest.mark.parametrize("kind", [TargetKind.QUANTITY, TargetKind.WEIGHT])
async def test_rule_25_a_target_that_is_kept_follows_corporate_actions(kind: TargetKind) -> None:
    class Once(Proportional):
        def on_signals(self, signals: Any, book: Book, /) -> Target | None:
            if book.ts != day(0):
                return None
            limit = np.array([12.0, np.nan, np.nan])
            return target(day(0), [100.0, 50.0, np.nan], kind=kind, source="once", limit=limit)

    optimizer = Whole()
    made = parts(n=3, strategies=(Named("once", Once("once")),), optimizer=Named("optimizer", optimizer))
    slices: list[Event] = [bars(day(k), [10.0, 30.0, 5.0]) for k in range(4)]
    split = action(day(0) + 1, ActionKind.SPLIT, 0, ratio=3.0)
    renamed = action(day(1) + 1, ActionKind.SYMBOL_CHANGE, 0, successor=2, ratio=2.0)
    gone = action(day(2) + 1, ActionKind.DELISTING, 1, amount=1.0)
    await ran(Wiring(made), [slices[0], split, slices[1], renamed, slices[2], gone, slices[3]])
    values = [targets[0].value.tolist() for targets in optimizer.calls]
    limits = [targets[0].limit.tolist() for targets in optimizer.calls]
    shares = kind is TargetKind.QUANTITY
    np.testing.assert_array_equal(values[1], [300.0 if shares else 100.0, 50.0, np.nan])
    np.testing.assert_array_equal(values[2], [0.0, 50.0, 600.0 if shares else 100.0])
    np.testing.assert_array_equal(values[3], [0.0, 0.0, 600.0 if shares else 100.0])
    assert [row[0] for row in limits[:2]] == [12.0, 4.0]
    assert limits[2][2] == 2.0


async def test_what_a_feed_or_a_sink_raises_names_it_and_is_not_hidden_by_its_closing() -> None:
    def broken() -> Any:
        yield bars(day(0), [10.0, 30.0])
        raise KeyError("row 40")

    with pytest.raises(
        ComponentError, match="feed: failed on the input after the one of 2018-01-02.*KeyError: 'row 40'"
    ):
        await Session(Wiring(parts())).run(Replay(broken))

    class Full:
        async def write(self, event: Event, /) -> None:
            raise OSError("disk is full")

        async def aclose(self) -> None:
            raise ValueError("cannot close")

    with pytest.raises(ComponentError, match="Full: failed on Bars of .* disk is full"):
        await Session(Wiring(parts()), sinks=(Full(),)).run(Replay(lambda: iter([bars(day(0), [10.0, 30.0])])))

    class Stuck(Full):
        async def write(self, event: Event, /) -> None:
            return None

    with pytest.raises(ValueError, match="cannot close"):
        await Session(Wiring(parts()), sinks=(Stuck(),)).run(Replay(lambda: iter([bars(day(0), [10.0, 30.0])])))


async def test_rule_14_history_warms_up_whoever_keeps_estimates_and_decides_nothing() -> None:
    class Sum(BarLevel):
        lookback = 7

        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.total = np.zeros(2)

        def on_bars(self, slice_: Bars, /) -> Signal:
            self.total = self.total + slice_.close
            return self._answer(slice_.ts, self.total)

    strategy, quick, held = Proportional("s"), Sum("quick"), Sum("held")
    models = (
        ModelPart(name="quick", model=quick),
        ModelPart(name="held", model=held, latency_ns=5),
        ModelPart(name="read", model=FeatureLevel("read"), schema="closes", lag=2),
    )
    wiring = Wiring(parts(models=models, strategies=(Named("s", strategy),)))
    assert wiring.lookbacks == {DAY_NS: 7}
    log = Log()
    await Bus(wiring.warm_routes(), recorders=(log,)).run(_stream([bars(day(k), [1.0, 2.0]) for k in range(3)]))
    assert {type(e).__name__ for _, e in log.rows} == {"Bars", "Features", "Signal"}
    assert strategy.calls == []
    assert not wiring.timers.heap
    assert quick.total.tolist() == held.total.tolist() == [3.0, 6.0]
    after = await ran(wiring, [bars(day(3), [1.0, 2.0])])
    lagged = next(s for s in after.of(Signal) if s.source == "read")
    assert (lagged.asof, lagged.value.tolist()) == (day(1), [1.0, 2.0])


async def _stream(events: list[Bars]) -> Any:
    for event in events:
        yield event


def test_saved_signals_and_targets_are_longer_when_names_were_appended() -> None:
    small = Wiring(parts(models=(ModelPart(name="b", model=BarLevel("b"), lag=1),), features=()))
    small.barrier.on_bars(bars(day(0), [1.0, 2.0]))
    small.barrier.on_signal(signal(day(0), [1.0, 2.0], source="b"))
    small.held["b"].on_event(bars(day(0), [1.0, 2.0]))
    large = Wiring(parts(n=3, models=(ModelPart(name="b", model=BarLevel("b"), lag=1),), features=()))
    large.barrier.load(small.barrier.save())
    large.held["b"].load(small.held["b"].save())
    answer = large.held["b"].on_event(bars(day(1), [1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(answer.value, [1.0, 2.0, np.nan])


@pytest.mark.parametrize("invents", [False, True])
async def test_an_execution_component_stands_between_optimizer_and_gate(invents: bool) -> None:
    class Immediate:
        """Sends each parent order at once as one child, or as one of a parent that it invents."""

        def on_orders(self, orders: Any, /) -> Any:
            from engine.events import Children

            columns = {n: getattr(orders, n) for n in orders.__struct_fields__}
            ids = OrderIds("test", "execution")(ts=orders.ts, count=len(orders.ids))
            return Children(**(columns | {"ids": ids, "parent": orders.ids + np.uint64(invents)}))

        def on_bars(self, slice_: Bars, /) -> None:
            return None

        def on_fills(self, done: Any, /) -> None:
            return None

        def on_book(self, book: Book, /) -> None:
            return None

    gate = Limits(universe=universe_of(("S0", "S1")), ids=OrderIds("test", "gate"), name="gate")
    made = parts(execution=Named("execution", Immediate()), gate=Named("gate", gate))
    log = await ran(Wiring(made), [bars(day(0), [10.0, 30.0]), bars(day(1), [11.0, 29.0])])
    kinds = [type(e).__name__ for _, e in log.rows]
    assert kinds[kinds.index("Orders") :][:3] == ["Orders", "Children", "Refusals" if invents else "Approved"]
    if invents:
        assert {rule for each in log.of(Refusals) for rule in each.rule} == {"unknown_parent"}
        return
    assert log.of(Book)[1].qty.all()


batch = st.lists(
    st.tuples(st.integers(-99, 99).filter(bool).map(float), st.floats(1, 99).map(lambda p: round(p, 2))),
    min_size=60,
    max_size=60,
)


@given(st.lists(batch, min_size=2, max_size=3))
@settings(max_examples=40, deadline=None)
def test_many_fills_at_once_book_as_the_same_fills_one_by_one(batches: list[list[tuple[float, float]]]) -> None:
    universe = universe_of(tuple(f"S{i}" for i in range(60)))
    whole, single = Ledger(universe=universe, cash=1e6), Ledger(universe=universe, cash=1e6)
    for k, rows in enumerate(batches):
        for ledger in (whole, single):
            ledger.on_bars(bars(day(k), np.full(60, 10.0 + k)))
        trades = [(s, q, p, 0.5) for s, (q, p) in enumerate(rows)]
        book = whole.on_fills(fills(day(k), trades))
        for trade in trades:
            other = single.on_fills(fills(day(k), [trade]))
        for name in ("qty", "entry", "best", "opened"):
            np.testing.assert_array_equal(getattr(book, name), getattr(other, name))
        for name in ("cash", "realised", "fees"):
            np.testing.assert_allclose(getattr(book, name), getattr(other, name), atol=1e-7)
        assert book.equity == pytest.approx(other.equity, abs=1e-6)
    with pytest.raises(DataError, match="must be finite"):
        whole.on_fills(fills(day(9), [(s, 1.0, np.nan, 0.0) for s in range(60)]))


def test_fills_in_several_currencies_move_each_ones_cash() -> None:
    universe = Universe(
        symbols=tuple(f"S{i}" for i in range(60)),
        currencies=("USD", "EUR"),
        currency=np.arange(60, dtype=np.int32) % 2,
        multiplier=np.ones(60),
        lot=np.ones(60),
        tick=np.zeros(60),
    )
    ledger = Ledger(universe=universe, cash=1000.0)
    ledger.on_bars(bars(day(0), np.full(60, 1.0)))
    book = ledger.on_fills(fills(day(0), [(s, 2.0, 1.0, 0.0) for s in range(60)]))
    assert book.cash.tolist() == [940.0, -60.0]


def test_actions_on_names_that_are_not_held_move_no_money() -> None:
    ledger = Ledger(universe=universe_of(("A", "B")), cash=100.0)
    ledger.on_bars(bars(day(0), [10.0, 20.0]))
    for kind, columns in [
        (ActionKind.SPLIT, {"ratio": 2.0}),
        (ActionKind.CASH_DIVIDEND, {"amount": 1.0, "pay_at": day(1)}),
        (ActionKind.DELISTING, {"amount": 0.0}),
        (ActionKind.SYMBOL_CHANGE, {"ratio": 1.0, "successor": 1}),
    ]:
        book = ledger.on_actions(action(day(0), kind, 0, **columns))
        assert (book.equity, book.cash.tolist()) == (100.0, [100.0])
    with pytest.raises(DataError, match="split of A has ratio 0"):
        ledger.on_actions(action(day(0), ActionKind.SPLIT, 0, ratio=0.0))


def test_a_symbol_change_into_an_unseen_name_takes_its_mark_along() -> None:
    ledger = Ledger(universe=universe_of(("OLD", "NEW")), cash=1000.0)
    ledger.on_bars(bars(day(0), [10.0, np.nan]))
    ledger.on_fills(fills(day(0), [(0, 10, 10, 0)]))
    book = ledger.on_actions(action(day(0) + 1, ActionKind.SYMBOL_CHANGE, 0, successor=1, ratio=1.0))
    assert (book.mark.tolist(), book.equity) == ([10.0, 10.0], 1000.0)


def test_open_orders_pass_over_what_they_do_not_know() -> None:
    orders = OpenLegs(2)
    orders.accept(legs(Approved, symbol=[], qty=[]))
    orders.accept(legs(Approved, symbol=[0], qty=[1], action=np.array([LegAction.CANCEL], np.int32)))
    assert not orders.legs.ids.size
    unknown = np.array([99], np.uint64)
    orders.remove(unknown)
    mixed = np.array([LegAction.NEW, LegAction.CANCEL], np.int32)
    orders.accept(legs(Approved, symbol=[0, 1], qty=[5, 0], action=mixed))
    orders.accept(
        legs(Approved, symbol=[1], qty=[3], ids=np.array([7], np.uint64), kind=np.array([OrderKind.STOP], np.int32))
    )
    assert (orders.legs.ids.tolist(), orders.working.tolist()) == ([1, 7], [5, 0])
    state, left = np.array([OrderState.CANCELLED], np.int32), np.zeros(1)
    orders.report(Reports(ts=0, ids=unknown, symbol=np.zeros(1, np.int32), state=state, left=left))
    orders.fill(unknown, np.ones(1))
    assert orders.legs.ids.tolist() == [1, 7]
    both = orders.legs.ids
    ended = np.full(2, OrderState.EXPIRED, np.int32)
    orders.report(Reports(ts=0, ids=both, symbol=orders.legs.symbol, state=ended, left=np.zeros(2)))
    assert not orders.working.any()
    orders.split(0, 2.0, 0.01)
    orders.drop_symbol(0)


def test_held_signals_are_saved_bounded_and_checked() -> None:
    def answer(event: Timer) -> Signal:
        return signal(event.ts, [1.0])

    with pytest.raises(ValueError, match="lag must be at least 1 slice, got 0"):
        Lagged(answer, lag=0, name="m", n=1)
    with pytest.raises(ValueError, match="latency must be positive, got 0 ns"):
        Delayed(answer, latency_ns=0, name="m", n=1, timers=Timers())
    delayed, copy = (Delayed(answer, latency_ns=10**12, name="model", n=1, timers=Timers()) for _ in range(2))
    assert delayed.on_timer(Timer(ts=1, name="other", due=1)) is None
    for k in range(4096):
        delayed.on_event(Timer(ts=k, name="x", due=k))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="the latency is too long for this feed"):
        delayed.on_event(Timer(ts=5000, name="x", due=5000))  # type: ignore[arg-type]
    copy.load(delayed.save())
    assert copy.save() == delayed.save()


def test_blocks_that_are_no_runs_or_were_moved_are_refused() -> None:
    with pytest.raises(StateError, match="is not a run of this version"):
        list(read_runs(iter([b"\x81"])))
    with pytest.raises(StateError, match="its first block is missing"):
        list(read_runs(iter([msgspec.msgpack.encode([5, b"\x90", [], b"x" * 16])])))
    blocks: list[bytes] = []
    journal = Journal(blocks.append)
    for ts in (1, 2, 3):
        journal.append(["input"], [Timer(ts=ts, name="a", due=ts)])
    journal.end()
    opening, *rest = blocks
    with pytest.raises(StateError, match="does not match its digest"):
        list(read_runs(iter([opening, rest[0], rest[2]])))
    with pytest.raises(StateError, match="does not follow from it"):
        list(read_runs(iter([opening, rest[0], opening])))
    with pytest.raises(StateError, match="does not follow from it"):
        list(read_runs(iter([opening, rest[0], rest[-1]])))
    with pytest.raises(StateError, match="a block follows its end"):
        list(read_runs(iter([*blocks, rest[-1]])))
    assert len(list(read_runs(iter(blocks)))) == 3


def test_state_knows_scalars_and_no_other_extensions() -> None:
    assert unpack(pack("x", 1, count=np.int64(3), share=np.float64(0.5)), "x", 1) == {"count": 3, "share": 0.5}
    with pytest.raises(StateError, match="unknown extension type 9"):
        ext_hook(9, memoryview(b""))


def test_a_universe_needs_symbols_and_each_once() -> None:
    with pytest.raises(DataError, match="it has no symbol"):
        universe_of(())
    with pytest.raises(DataError, match="symbol 'A' stands twice"):
        universe_of(("A", "B", "A"))


def test_ids_go_on_beyond_the_prepared_steps() -> None:
    ids = OrderIds("s", "o")
    assert ids(ts=1, count=5000)[:10].tolist() == ids(ts=1, count=10).tolist()


async def test_a_component_of_a_slower_interval_sees_its_bars_only() -> None:
    class Watcher(Five):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            self.seen: list[int] = []

        def on_bars(self, slice_: Bars, /) -> Note | None:
            self.seen.append(slice_.interval_ns)
            return None

    watcher = Watcher("w")
    models = (ModelPart(name="minute", model=BarLevel("minute")),)
    made = parts(
        interval_ns=MINUTE_NS, intervals=(FIVE_NS,), features=(), models=models, strategies=(Named("w", watcher),)
    )
    log = Log()
    log.rows += (await ran(Wiring(made), minutes(10))).rows
    assert watcher.seen == [FIVE_NS, FIVE_NS]
    assert len(watcher.calls) == 2


def test_the_test_broker_answers_every_slice_with_fills() -> None:
    assert len(FillAtOpen().on_bars(bars(day(0), [1.0]))[-1].qty) == 0
