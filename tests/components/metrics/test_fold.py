"""The fold of a session: events in, rows and coefficients out."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.metrics.fold import SessionFold
from engine.errors import ConfigError
from engine.events import DAY_NS, Orders, Reference, Refusals, Status
from engine.ledger import Ledger
from engine.universe import Universe, universe_of
from tests.components.metrics.folding import (
    DELISTING,
    DIVIDEND,
    NAN,
    RENAMED,
    SPLIT,
    TWO,
    actions,
    closes,
    fills,
    folded,
)
from tests.make import bars, book, day, legs, market, signal


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
