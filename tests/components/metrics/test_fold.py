"""The fold of a session: events in, rows and coefficients out."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from components.metrics.fold import SessionFold
from engine.errors import ConfigError
from engine.events import DAY_NS, Actions, Fills, Orders, Reference, Refusals, Signal, Status
from engine.ledger import Ledger
from engine.universe import Universe, universe_of
from tests.make import bars, book, day, legs, market, signal

TWO = universe_of(("AAA", "BBB"))
NAN = float("nan")


def fills(ts: int, symbol: list[int], qty: list[float], price: list[float], **columns: Any) -> Fills:
    n = len(symbol)
    ids = np.arange(1, n + 1, dtype=np.uint64)
    fees = columns.pop("fees", np.zeros((n, 3)))
    reference = np.array(columns.pop("reference", price), float)
    return Fills(
        ts=ts,
        exec_ids=ids,
        order_ids=ids,
        symbol=np.array(symbol, np.int32),
        qty=np.array(qty, float),
        price=np.array(price, float),
        reference=reference,
        fees=fees,
        at=np.full(n, ts),
    )


def actions(ts: int, *rows: tuple[int, int, float, float]) -> Actions:
    """Rows of (kind, symbol, ratio, amount)."""
    kind, symbol, ratio, amount = zip(*rows, strict=True)
    zero = np.zeros(len(rows), np.int64)
    return Actions(
        ts=ts,
        kind=np.array(kind, np.int32),
        symbol=np.array(symbol, np.int32),
        ratio=np.array(ratio, float),
        amount=np.array(amount, float),
        pay_at=zero,
        successor=zero.astype(np.int32),
    )


SPLIT, DIVIDEND, DELISTING, RENAMED = 0, 1, 2, 3


def folded(
    *events: Any, universe: Universe = TWO, cash: float = 1000.0, benchmark: str = "equal_weight"
) -> SessionFold:
    fold = SessionFold(universe=universe, cash=cash, benchmark=benchmark)
    fold.append([""] * len(events), events)
    fold.finish()
    return fold


# ---- rows ------------------------------------------------------------------------------------------------------------


def test_one_row_a_slice_with_the_book_of_its_close() -> None:
    fold = folded(
        bars(day(0), [10.0, 20.0]),
        book(day(0), [10.0, 20.0], cash=1000),
        bars(day(1), [11.0, 20.0]),
        fills(day(1), [0, 1], [20.0, -10.0], [10.0, 20.0]),
        book(day(1), [11.0, 20.0], cash=1000, qty=[20, -10]),
    )
    rows = fold.columns()
    assert rows["ts"].tolist() == [day(0), day(1)]
    assert rows["equity"].tolist() == [1000.0, 1020.0]
    assert rows["cash"].tolist() == [1000.0, 1000.0]
    assert rows["gross"].tolist() == [0.0, pytest.approx(420 / 1020)]
    assert rows["net"].tolist() == [0.0, pytest.approx(20 / 1020)]


def test_the_last_book_of_a_slice_is_its_row() -> None:
    first, closing = book(day(0), [10.0, 20.0], cash=1000), book(day(0), [10.0, 20.0], cash=990)
    assert folded(bars(day(0), [10.0, 20.0]), first, closing).columns()["equity"].tolist() == [990.0]


def test_a_book_that_follows_a_corporate_action_is_no_row() -> None:
    fold = folded(
        bars(day(0), [10.0, 20.0]),
        book(day(0), [10.0, 20.0], cash=1000),
        actions(day(0), (DIVIDEND, 0, NAN, 1.0)),
        book(day(0), [10.0, 20.0], cash=1005),
    )
    assert fold.columns()["equity"].tolist() == [1000.0]
    assert fold.book is not None
    assert fold.book.equity == 1005.0


def test_a_full_switch_is_a_turnover_of_two() -> None:
    fold = folded(
        bars(day(0), [10.0, 20.0]),
        book(day(0), [10.0, 20.0], cash=0, qty=[100, 0]),
        bars(day(1), [10.0, 20.0]),
        fills(day(1), [0, 1], [-100.0, 50.0], [10.0, 20.0]),
        book(day(1), [10.0, 20.0], cash=0, qty=[0, 50]),
    )
    assert fold.columns()["turnover"].tolist() == [0.0, 2.0]


def test_costs_are_fees_by_kind_and_slippage_against_the_market() -> None:
    fees = np.array([[1.0, 0.5, 0.0], [2.0, 0.0, 0.25]])
    traded = fills(day(0), [0, 1], [10.0, -5.0], [10.1, 19.8], reference=[10.0, 20.0], fees=fees)
    rows = folded(bars(day(0), [10.0, 20.0]), traded, book(day(0), [10.0, 20.0])).columns()
    assert rows["commission"][0] == 3.0
    assert rows["exchange"][0] == 0.5
    assert rows["tax"][0] == 0.25
    assert rows["slippage"][0] == pytest.approx(10 * 0.1 + 5 * 0.2)
    assert rows["cost"][0] == pytest.approx(3.75 + 2.0)


def test_a_fill_better_than_the_market_is_a_negative_cost() -> None:
    traded = fills(day(0), [0], [10.0], [9.9], reference=[10.0])
    rows = folded(bars(day(0), [10.0, 20.0]), traded, book(day(0), [10.0, 20.0])).columns()
    assert rows["cost"][0] == pytest.approx(-1.0)


def test_a_fill_without_a_market_price_is_counted_and_costs_no_slippage() -> None:
    traded = fills(day(0), [0, 1], [10.0, 10.0], [10.0, 20.5], reference=[NAN, 20.0])
    fold = folded(bars(day(0), [10.0, 20.0]), traded, book(day(0), [10.0, 20.0]))
    assert fold.columns()["slippage"][0] == pytest.approx(5.0)
    assert fold.counts().unpriced == 1


def test_fills_after_a_slice_count_in_the_next_row() -> None:
    fold = folded(
        bars(day(0), [10.0, 20.0]),
        book(day(0), [10.0, 20.0], cash=1000),
        fills(day(0) + 5, [0], [10.0], [10.0]),
        book(day(0) + 5, [10.0, 20.0], cash=900, qty=[10, 0]),
        bars(day(1), [10.0, 20.0]),
        book(day(1), [10.0, 20.0], cash=900, qty=[10, 0]),
    )
    assert fold.columns()["turnover"].tolist() == [0.0, 0.1]


def test_money_of_other_currencies_counts_in_the_base_currency() -> None:
    universe = Universe(
        symbols=("AAA", "FUT"),
        currencies=("USD", "EUR"),
        currency=np.array([0, 1], np.int32),
        multiplier=np.array([1.0, 50.0]),
        lot=np.ones(2),
        tick=np.zeros(2),
    )
    rates = Reference(ts=day(0), name="rates", rows="currency", value=np.array([[1.0], [1.2]]))
    rate = np.array([1.0, 1.2])
    fold = folded(
        rates,
        bars(day(0), [10.0, 20.0]),
        fills(day(0), [1], [2.0], [21.0], reference=[20.0], fees=np.array([[10.0, 0.0, 0.0]])),
        msgspec.structs.replace(
            book(day(0), [10.0, 20.0], qty=[0, 2], equity=10_000.0, rate=rate),
            cash=np.array([100.0, 50.0]),
            unsettled=np.zeros(2),
            interest=np.zeros(2),
        ),
        universe=universe,
    )
    rows = fold.columns()
    assert rows["cash"][0] == pytest.approx(160.0)
    assert rows["turnover"][0] == pytest.approx(2 * 21 * 50 * 1.2 / 1000)
    assert rows["commission"][0] == pytest.approx(12.0)
    assert rows["slippage"][0] == pytest.approx(2 * 50 * 1.2)
    assert rows["gross"][0] == pytest.approx(2 * 20 * 50 * 1.2 / 10_000)


def test_bars_of_a_coarser_interval_are_passed_over() -> None:
    fold = SessionFold(universe=TWO, cash=1.0, interval_ns=DAY_NS)
    fold.add(bars(day(0), [10.0, 20.0]))
    fold.add(bars(day(0), [10.0, 20.0], interval_ns=7 * DAY_NS))
    assert fold.counts().slices == 1


def test_missing_and_halted_bars_of_members_are_counted() -> None:
    status = [Status.MISSING, Status.HALTED]
    fold = folded(
        bars(day(0), [10.0, 20.0]),
        book(day(0), [10.0, 20.0]),
        bars(day(1), [NAN, NAN], status=status),
        book(day(1), [10.0, 20.0]),
        bars(day(2), [NAN, 20.0], member=[False, True]),
        book(day(2), [10.0, 20.0]),
    )
    assert fold.columns()["missing"].tolist() == [0.0, 1.0, 0.0]
    assert fold.columns()["halted"].tolist() == [0.0, 1.0, 0.0]
    counts = fold.counts()
    assert (counts.missing.tolist(), counts.halted.tolist(), counts.bars) == ([1, 0], [0, 1], 3)


def test_a_delisted_name_is_no_longer_missing() -> None:
    fold = folded(bars(day(0), [10.0, 20.0]), actions(day(0), (DELISTING, 0, NAN, 5.0)), bars(day(1), [NAN, 20.0]))
    assert fold.counts().missing.tolist() == [0, 0]


def test_orders_fills_and_refusals_are_counted_as_legs() -> None:
    refusals = Refusals(
        ts=day(0),
        by="gate",
        ids=np.array([1, 2], np.uint64),
        symbol=np.array([0, 1], np.int32),
        qty=np.ones(2),
        rule=("max_weight", "cash"),
        value=np.ones(2),
        threshold=np.ones(2),
    )
    orders = legs(Orders, day(0), symbol=[0, 1, 1], qty=[1.0, 2.0, 0.0], action=np.array([0, 0, 1], np.int32))
    slice_ = bars(day(0), [10.0, 20.0], volume=[100.0, 100.0])
    fold = folded(slice_, fills(day(0), [0, 1], [9.0, 11.0], [10.0, 20.0]), orders, refusals)
    counts = fold.counts()
    assert (counts.orders, counts.fills, counts.refusals, counts.large) == (2, 2, 2, 1)
    assert counts.refused_by == {"cash": 1, "max_weight": 1}


def test_a_ruined_account_has_no_shares_of_equity() -> None:
    fold = folded(
        bars(day(0), [10.0, 20.0]),
        book(day(0), [10.0, 20.0], cash=-100, qty=[10, 0]),
        bars(day(1), [10.0, 20.0]),
        fills(day(1), [0], [-10.0], [10.0]),
        book(day(1), [10.0, 20.0], cash=0),
    )
    assert np.isnan(fold.columns()["gross"][0])
    assert np.isnan(fold.columns()["turnover"][1])


def test_finishing_twice_changes_nothing() -> None:
    fold = folded(bars(day(0), [10.0, 20.0]), book(day(0), [10.0, 20.0]))
    before = fold.columns()
    fold.finish()
    np.testing.assert_array_equal(before["equity"], fold.columns()["equity"])


# ---- the benchmark ---------------------------------------------------------------------------------------------------


def level(fold: SessionFold) -> list[float]:
    return [round(float(x), 9) for x in fold.columns()["benchmark"]]


def closes(*rows: list[float], between: dict[int, Any] | None = None, **columns: Any) -> list[Any]:
    events: list[Any] = []
    for k, row in enumerate(rows):
        events += [bars(day(k), row, **columns), book(day(k), row)]
        if between and k in between:
            events.append(between[k])
    return events


def test_the_benchmark_is_the_mean_return_of_the_members() -> None:
    assert level(folded(*closes([10, 20], [11, 20], [11, 10]))) == [1000.0, 1050.0, 787.5]


def test_a_missing_member_returns_zero_and_catches_up() -> None:
    assert level(folded(*closes([10, 20], [NAN, 20], [12, 20]))) == [1000.0, 1000.0, 1100.0]


def test_a_name_that_lists_late_counts_from_its_second_bar() -> None:
    assert level(folded(*closes([NAN, 20], [50, 22], [100, 22]))) == [1000.0, 1100.0, 1650.0]


def test_a_split_leaves_the_benchmark() -> None:
    split = {0: actions(day(0) + 1, (SPLIT, 0, 4.0, NAN))}
    assert level(folded(*closes([100, 20], [25, 20], between=split))) == [1000.0, 1000.0]


def test_a_dividend_is_reinvested() -> None:
    paid = {0: actions(day(0) + 1, (DIVIDEND, 0, NAN, 5.0))}
    assert level(folded(*closes([100, 20], [95, 20], [95, 20], between=paid))) == [1000.0, 1000.0, 1000.0]


def test_rule_23_a_delisted_member_ends_at_its_stated_price_and_is_gone() -> None:
    gone = {0: actions(day(0) + 1, (DELISTING, 0, NAN, 5.0))}
    assert level(folded(*closes([10, 20], [NAN, 20], [NAN, 22], between=gone))) == [1000.0, 750.0, 825.0]


def test_a_renamed_member_ends_at_its_last_close() -> None:
    renamed = {0: actions(day(0) + 1, (RENAMED, 0, 1.0, NAN))}
    assert level(folded(*closes([10, 20], [NAN, 22], between=renamed))) == [1000.0, 1050.0]


def test_a_single_symbol_may_be_the_benchmark() -> None:
    assert level(folded(*closes([10, 20], [11, 10]), benchmark="BBB")) == [1000.0, 500.0]


def test_without_a_benchmark_its_column_is_empty() -> None:
    assert np.isnan(folded(*closes([10, 20]), benchmark="none").columns()["benchmark"]).all()


def test_an_unknown_benchmark_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'SPY' is not in the universe"):
        SessionFold(universe=TWO, cash=1.0, benchmark="SPY")


# ---- signals ---------------------------------------------------------------------------------------------------------


def scored(events: list[Any], n: int) -> dict[str, Any]:
    return folded(*events, universe=universe_of(tuple(f"S{i}" for i in range(n)))).coefficients()


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_signal_is_scored_from_the_next_open_to_the_open_one_horizon_later(horizon: int) -> None:
    slices = market(12, 60, seed=3)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=12) for _ in slices]
    events: list[Any] = []
    for slice_, value in zip(slices, values, strict=True):
        value[rng.random(12) < 0.1] = NAN
        events += [
            slice_,
            Signal(ts=slice_.ts, asof=slice_.ts, source="m", value=value, horizon_ns=horizon * DAY_NS),
        ]
    found = scored(events, 12)
    assert found["ts"].tolist() == [day(k) for k in range(60 - 1 - horizon)]
    for k, (rank_ic, names) in enumerate(zip(found["rank_ic"], found["names"], strict=True)):
        label = slices[k + 1 + horizon].open / slices[k + 1].open - 1
        known = np.isfinite(label) & np.isfinite(values[k])
        assert names == known.sum()
        assert rank_ic == pytest.approx(spearmanr(label[known], values[k][known])[0], abs=1e-12)


def test_a_model_is_scored_over_the_horizon_it_names_once_it_knows_one() -> None:
    slices = market(6, 12, seed=1, holes=0, late=0)
    fold = SessionFold(universe=universe_of(tuple(f"S{i}" for i in range(6))), cash=1.0)
    for k, slice_ in enumerate(slices):
        fold.add(slice_)
        value = np.full(6, NAN) if k < 3 else np.arange(6.0)
        horizon_ns = 0 if k < 3 else 5 * DAY_NS
        fold.add(Signal(ts=slice_.ts, asof=slice_.ts, source="m", value=value, horizon_ns=horizon_ns))
        assert ("m" in fold.models) == (k >= 3)
    fold.finish()
    assert fold.models["m"].horizon == 5
    assert fold.coefficients()["ts"].tolist() == [day(k) for k in range(3, 12 - 1 - 5)]


def test_rule_25_labels_are_adjusted_for_splits_dividends_and_delistings() -> None:
    opens = [[10.0] * 5, [10.0] * 5, [10.0, 5.0, 9.0, NAN, 10.5]]
    events: list[Any] = [bars(day(0), opens[0]), signal(day(0), [1.0, 2.0, 3.0, 4.0, 5.0], source="m")]
    events += [bars(day(1), opens[1])]
    adjusted = actions(
        day(1) + 1, (SPLIT, 1, 2.0, NAN), (DIVIDEND, 2, NAN, 1.0), (DELISTING, 3, NAN, 2.0), (SPLIT, 1, 1.0, NAN)
    )
    events += [adjusted, bars(day(2), opens[2])]
    label = [1.0, 1.0, 9.0 / 9.0, 0.2, 1.05]
    found = scored(events, 5)
    assert found["names"].tolist() == [5]
    assert found["ic"][0] == pytest.approx(np.corrcoef([1, 2, 3, 4, 5], label)[0, 1])
    assert found["rank_ic"][0] == pytest.approx(spearmanr([1, 2, 3, 4, 5], label)[0])


def test_a_held_back_signal_is_scored_from_its_release() -> None:
    slices = market(6, 5, seed=1, holes=0, late=0)
    late = Signal(ts=day(2), asof=day(0), source="m", value=np.arange(6.0), horizon_ns=DAY_NS)
    found = scored([*slices[:3], late, *slices[3:]], 6)
    label = slices[4].open / slices[3].open
    assert found["ts"].tolist() == [day(2)]
    assert found["rank_ic"][0] == pytest.approx(spearmanr(np.arange(6.0), label)[0])


def test_a_signal_released_after_the_open_waits_for_the_next_open() -> None:
    slices = market(6, 4, seed=1, holes=0, late=0)
    late = Signal(ts=slices[1].opened + 1, asof=day(0), source="m", value=np.arange(6.0), horizon_ns=DAY_NS)
    found = scored([slices[0], late, *slices[1:]], 6)
    label = slices[3].open / slices[2].open
    assert found["rank_ic"].tolist() == [pytest.approx(spearmanr(np.arange(6.0), label)[0])]


def test_signals_whose_horizon_has_not_ended_are_not_scored() -> None:
    slices = market(6, 2, holes=0, late=0)
    assert len(scored([slices[0], signal(day(0), np.arange(6.0)), slices[1]], 6)["ts"]) == 0


def test_a_silent_slice_is_scored_as_unknown() -> None:
    slices = market(6, 3, holes=0, late=0)
    found = scored([slices[0], signal(day(0), [NAN] * 6), *slices[1:]], 6)
    assert np.isnan(found["rank_ic"]).all()
    assert found["names"].tolist() == [0]


def test_every_model_has_its_own_coefficients_in_the_order_of_the_wiring() -> None:
    slices = market(6, 20, holes=0, late=0)
    events: list[Any] = []
    for slice_ in slices:
        events += [
            slice_,
            signal(slice_.ts, np.arange(6.0), source="z"),
            signal(slice_.ts, -np.arange(6.0), source="a"),
        ]
    found = scored(events, 6)
    assert found["source"] == ["z"] * 18 + ["a"] * 18
    np.testing.assert_allclose(found["ic"][:18], -found["ic"][18:])


def test_a_session_without_models_has_no_coefficients() -> None:
    found = folded(*closes([10, 20])).coefficients()
    assert list(found) == ["ts", "source", "ic", "rank_ic", "names"]
    assert len(found["ts"]) == 0


# ---- as a whole ------------------------------------------------------------------------------------------------------


def test_what_later_slices_bring_changes_no_earlier_row() -> None:
    slices = market(8, 40, seed=4)
    whole, part = (SessionFold(universe=universe_of(tuple("ABCDEFGH")), cash=1.0) for _ in range(2))
    for k, slice_ in enumerate(slices):
        mark = np.nan_to_num(slice_.close, nan=1.0)
        events = [slice_, book(slice_.ts, mark), signal(slice_.ts, np.nan_to_num(slice_.volume))]
        whole.append((), events)
        if k < 25:
            part.append((), events)
    part.finish()
    whole.finish()
    for name, column in part.columns().items():
        np.testing.assert_array_equal(column, whole.columns()[name][:25])
    np.testing.assert_array_equal(part.coefficients()["ic"], whole.coefficients()["ic"][:23])


def test_no_event_is_changed() -> None:
    slices = market(5, 10, seed=5)
    fold = SessionFold(universe=universe_of(tuple("ABCDE")), cash=1.0)
    for slice_ in slices:
        value = np.arange(5.0)
        value.flags.writeable = False
        copies = [np.array(a) for a in (slice_.open, slice_.close, slice_.status)]
        fold.append((), [slice_, signal(slice_.ts, value), actions(slice_.ts, (SPLIT, 0, 2.0, NAN))])
        for copy, array in zip(copies, (slice_.open, slice_.close, slice_.status), strict=True):
            np.testing.assert_array_equal(copy, array)


def test_memory_beside_the_rows_is_bounded_by_the_horizon() -> None:
    fold = SessionFold(universe=universe_of(tuple("ABCDE")), cash=1.0)
    for k in range(500):
        fold.append((), [bars(day(k), [1.0 + k] * 5), signal(day(k), np.arange(5.0), source="m")])
    score = fold.models["m"]
    assert len(score._running) <= score.horizon + 1
    assert len(score._waiting) <= 1
    assert len(score._value) == 16


@pytest.mark.parametrize("benchmark", ["equal_weight", "B", "none"])
def test_saved_and_loaded_at_any_point_it_reports_the_same(benchmark: str) -> None:
    universe = universe_of(tuple("ABCDE"))
    runs: list[list[Any]] = []
    for k, slice_ in enumerate(market(5, 24, seed=6)):
        mark = np.nan_to_num(slice_.close, nan=1.0)
        runs.append(
            [
                slice_,
                fills(slice_.ts, [k % 5], [1.0], [10.1], reference=[10.0]),
                book(slice_.ts, mark, qty=[k, 0, 0, 0, 0]),
                signal(slice_.ts, np.nan_to_num(slice_.volume), source="m"),
            ]
        )
        if k == 10:
            runs.append([actions(slice_.ts + 1, (SPLIT, 1, 2.0, NAN), (DELISTING, 2, NAN, 3.0))])
    whole = SessionFold(universe=universe, cash=100.0, benchmark=benchmark)
    for run in runs:
        whole.append((), run)
    whole.finish()
    for cut in range(len(runs)):
        first, second = (SessionFold(universe=universe, cash=100.0, benchmark=benchmark) for _ in range(2))
        for run in runs[:cut]:
            first.append((), run)
        second.load(first.save())
        for run in runs[cut:]:
            second.append((), run)
        second.finish()
        for name, column in whole.columns().items():
            np.testing.assert_array_equal(second.columns()[name], column)
        for name, column in whole.coefficients().items():
            np.testing.assert_array_equal(second.coefficients()[name], column)
        assert second.counts().large == whole.counts().large
        assert second.counts().missing.tolist() == whole.counts().missing.tolist()


def test_names_may_be_appended_to_the_universe_between_save_and_load() -> None:
    first = SessionFold(universe=TWO, cash=100.0)
    first.append((), [bars(day(0), [10.0, 20.0]), signal(day(0), [1.0, 2.0]), book(day(0), [10.0, 20.0])])
    second = SessionFold(universe=universe_of(("AAA", "BBB", "CCC")), cash=100.0)
    second.load(first.save())
    second.append((), [bars(day(1), [11.0, 20.0, 5.0]), book(day(1), [11.0, 20.0, 5.0])])
    second.finish()
    assert level(second) == [100.0, 105.0]


@given(st.integers(0, 2**32 - 1))
def test_gross_equity_is_the_equity_of_the_same_trades_without_costs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    universe = universe_of(tuple("ABCD"))
    fold = SessionFold(universe=universe, cash=1000.0)
    real, free = (Ledger(universe=universe, cash=1000.0) for _ in range(2))
    without = []
    for slice_ in market(4, 12, seed=seed, holes=0, late=0):
        symbol = np.flatnonzero(rng.random(4) < 0.5)
        qty, opened = rng.integers(1, 9, len(symbol)) * rng.choice([-1.0, 1.0], len(symbol)), slice_.open[symbol]
        paid = opened * (1 + 0.01 * np.sign(qty))
        fees = rng.random((len(symbol), 3))
        done = fills(slice_.ts, symbol.tolist(), qty.tolist(), paid.tolist(), reference=opened, fees=fees)
        costless = fills(slice_.ts, symbol.tolist(), qty.tolist(), opened.tolist())
        for ledger in (real, free):
            ledger.on_bars(slice_)
        fold.append((), [slice_, done, real.on_fills(done)])
        without.append(free.on_fills(costless).equity)
    fold.finish()
    rows = fold.columns()
    np.testing.assert_allclose(rows["equity"] + np.cumsum(rows["cost"]), without, rtol=1e-9)


def test_the_horizon_of_a_model_of_longer_bars_is_counted_in_those_however_many_slices_they_have() -> None:
    """Days of three bars each, then of two: a daily model of a horizon of one day is scored open to open of days."""
    n, hour = 6, 3600 * 10**9
    rng = np.random.default_rng(3)
    fold = SessionFold(universe=universe_of(tuple("ABCDEF")), cash=1.0, interval_ns=hour, slower={"daily": DAY_NS})
    firsts, values, close = [], [], np.full(n, 100.0)
    for k in range(8):
        count = 3 if k < 4 else 2
        for i in range(count):
            opening = close * np.exp(rng.normal(0, 0.01, n))
            close = opening * np.exp(rng.normal(0, 0.01, n))
            ts = day(k) - (count - 1 - i) * hour
            fold.add(bars(ts, close, open=opening, interval_ns=hour, opened=ts - hour))
            if i == 0:
                firsts.append(opening)
        fold.add(bars(day(k), close, open=opening, interval_ns=DAY_NS, opened=day(k) - count * hour))
        values.append(rng.normal(size=n))
        answer = signal(day(k), values[k], source="daily")
        if k == 3:
            again = type(fold)(universe=universe_of(tuple("ABCDEF")), cash=1.0, interval_ns=hour, slower=fold._slower)
            again.load(fold.save())
            fold = again
        fold.add(answer)
    fold.finish()
    expected = [np.corrcoef(values[k], firsts[k + 2] / firsts[k + 1])[0, 1] for k in range(6)]
    np.testing.assert_allclose(fold.coefficients()["ic"], expected)
    assert fold.coefficients()["ts"].tolist() == [day(k) for k in range(6)]
