"""Qlib's top-k dropout: the options that its published backtests do not touch."""

from typing import Any

import numpy as np
import pytest

from components.costs.by_side import BySide
from components.strategies.qlib_topk_dropout import QlibTopkDropout
from engine.events import DAY_NS, Book, Status
from tests.components.strategies.asked import ask, names
from tests.make import bars, book, day, signal

NAN = np.nan


def made(n: int = 6, seed: int = 0, **options: Any) -> QlibTopkDropout:
    given: dict[str, Any] = {"topk": 2, "n_drop": 1} | options
    rng = np.random.default_rng(seed)
    return QlibTopkDropout(
        universe=names(n), costs=BySide(buy_bps=5, sell_bps=15, minimum=5), chance=rng, name="q", **given
    )


def held(strategy: QlibTopkDropout, score: list[float], where: Book, **columns: Any) -> list[int]:
    target = ask(strategy, score, where, **columns)
    assert target is not None
    return [int(s) for s in np.flatnonzero(target.value)]


def later(strategy: QlibTopkDropout, score: list[float], where: Book, **columns: Any) -> list[int]:
    """As `held`, after a bar before in which the holdings were there already."""
    strategy.on_bars(bars(where.ts - DAY_NS, where.mark))
    return held(strategy, score, where, **columns)


BOUGHT = np.array([day(1)] * 2 + [0] * 4)
FLAT = book(day(0), [10.0] * 6, cash=1000.0)
TWO = book(day(0), [10.0] * 6, cash=200.0, qty=[40.0, 40.0, 0, 0, 0, 0], opened=np.array([1, 1, 0, 0, 0, 0]))
SCORE = [0.1, 0.2, 0.6, 0.5, 0.4, 0.3]


def test_budgets_come_from_cash_and_are_whole_lots() -> None:
    target = ask(made(), SCORE, FLAT)
    assert target is not None
    assert target.value.tolist() == [0, 0, 47, 47, 0, 0]  # 0.95 * 1000 / 2 / 10 = 47.5
    strategy = made()
    strategy.on_bars(bars(day(0) - DAY_NS, [10.0] * 6))
    target = ask(strategy, SCORE, TWO)
    assert target is not None
    assert target.value.tolist() == [0, 40, 56, 0, 0, 0]  # 0.95 * (200 + 400 less 5 of fees) / 10 = 56.5


def test_what_is_on_its_way_is_held_and_paid_for_before() -> None:
    working = np.array([40.0, 40.0, 0.0, 0.0, 0.0, 0.0])
    strategy = made()
    strategy.on_bars(bars(day(0) - DAY_NS, [10.0] * 6))
    target = ask(strategy, SCORE, book(day(0), [10.0] * 6, cash=1000.0, working=working))
    assert target is not None
    assert target.value.tolist() == [40, 40, 19, 0, 0, 0]  # none is sold before it was held; 0.95 * (1000 - 800) / 10


def test_the_budget_of_a_name_that_cannot_be_traded_stays_idle() -> None:
    target = ask(made(), SCORE, FLAT, status=[0, 0, Status.HALTED, 0, 0, 0])
    assert target is not None
    assert target.value.tolist() == [0, 0, 0, 47, 0, 0]
    target = ask(made(only_tradable=True), SCORE, FLAT, status=[0, 0, Status.HALTED, 0, 0, 0])
    assert target is not None
    assert target.value.tolist() == [0, 0, 0, 47, 47, 0]


def test_a_sale_that_cannot_be_made_does_not_hold_back_its_purchase() -> None:
    halted = {"status": [Status.HALTED, 0, 0, 0, 0, 0]}
    assert later(made(), SCORE, TWO, **halted) == [0, 1, 2]
    assert later(made(only_tradable=True), SCORE, TWO, **halted) == [0, 2]  # S1 is the last that can be traded


def test_a_name_is_sold_after_hold_thresh_bars_at_the_earliest() -> None:
    strategy, sold = made(hold_thresh=3), []
    for k in range(6):
        where = book(
            day(k), [10.0] * 6, cash=0.0, qty=[40.0, 40.0, 0, 0, 0, 0], opened=np.array([day(1)] * 2 + [0] * 4)
        )
        sold.append(0 not in held(strategy, SCORE, where))
    assert sold == [False, False, False, False, True, True]  # bought at the close of slice 1


def test_the_price_limit_blocks_both_ways_or_only_the_one_that_hurts() -> None:
    def after_a_move(change: float, **options: Any) -> list[int]:
        strategy = made(price_limit=0.1, **options)
        strategy.on_bars(bars(day(0), [10.0] * 6))
        moved = book(day(1), [10.0, 10.0, 10.0 * (1 + change), 10.0, 10.0, 10.0], cash=1000.0)
        return held(strategy, SCORE, moved)

    assert after_a_move(0.05) == [2, 3]
    assert after_a_move(0.11) == after_a_move(-0.11) == [3]
    assert after_a_move(0.11, forbid_all_trade_at_limit=False) == [3]
    assert after_a_move(-0.11, forbid_all_trade_at_limit=False) == [2, 3]

    def sold_after(change: float, **options: Any) -> bool:
        strategy = made(price_limit=0.1, **options)
        strategy.on_bars(bars(day(0), [10.0] * 6))
        where = book(day(1), [10.0 * (1 + change)] + [10.0] * 5, qty=[40.0, 40.0, 0, 0, 0, 0], opened=np.ones(6, int))
        return 0 not in held(strategy, SCORE, where)

    assert sold_after(0.05)
    assert not sold_after(0.11)
    assert sold_after(0.11, forbid_all_trade_at_limit=False)
    assert not sold_after(-0.11, forbid_all_trade_at_limit=False)


def test_n_drop_zero_sells_the_whole_book_as_in_qlib_and_one_name_with_only_tradable() -> None:
    assert later(made(n_drop=0), SCORE, TWO) == []
    # One candidate all the same, and the last of the three is sold for it.
    assert later(made(n_drop=0, only_tradable=True), SCORE, TWO) == [1, 2]


def test_random_sales_are_drawn_anew_by_seed_and_slice_and_are_n_drop() -> None:
    score = [float(k) for k in range(20)]

    def kept(seed: int, k: int) -> tuple[int, ...]:
        where = book(day(k), [10.0] * 20, cash=0.0, qty=[0.0] * 12 + [5.0] * 8, opened=np.full(20, 1))
        found = later(made(20, seed, topk=8, n_drop=3, method_sell="random"), score, where)
        return tuple(s for s in found if s >= 12)

    assert {len(kept(seed, 1)) for seed in range(8)} == {5}
    assert len({kept(seed, 1) for seed in range(8)}) > 4
    assert len({kept(0, k) for k in range(1, 9)}) > 4
    assert kept(3, 2) == kept(3, 2)


def test_random_purchases_are_drawn_among_the_best_topk_that_are_not_held() -> None:
    score = [float(k) for k in range(20)]
    found = set()
    for seed in range(12):
        where = book(day(1), [10.0] * 20, cash=1000.0, qty=[5.0] * 6 + [0.0] * 14, opened=np.full(20, 1))
        names_held = later(made(20, seed, topk=8, n_drop=1, method_buy="random"), score, where)
        bought = [s for s in names_held if s >= 6]
        assert len(bought) == 3  # 8 - 6 and one for the sale
        assert set(bought) <= set(range(12, 20))
        found.add(tuple(bought))
    assert len(found) > 6
    few = book(day(1), [10.0] * 20, cash=1000.0, qty=[0.0] * 13 + [5.0] * 7, opened=np.full(20, 1))
    assert later(made(20, topk=8, n_drop=0, method_buy="random", method_sell="random"), score, few) == [*range(12, 20)]


def test_state_keeps_the_chance_of_the_session_it_was_saved_in() -> None:
    score = [float(k) for k in range(12)]
    where = book(day(1), [10.0] * 12, cash=100.0, qty=[5.0] * 6 + [0.0] * 6, opened=np.full(12, 1))
    one, other = made(12, 1, topk=6, method_sell="random"), made(12, 2, topk=6, method_sell="random")
    mine = held(made(12, 2, topk=6, method_sell="random"), score, where)
    first = later(one, score, where)
    other.load(one.save())
    assert held(other, score, where) == first != mine


def test_without_a_score_nothing_is_wanted_before_the_first_and_all_is_kept_after() -> None:
    strategy = made()
    assert ask(strategy, [NAN] * 6, FLAT) is None
    ask(strategy, SCORE, FLAT)
    target = ask(strategy, [NAN] * 6, TWO)
    assert target is not None
    assert target.value.tolist() == TWO.qty.tolist()


def test_foreign_money_and_multipliers_are_counted_in_the_base_currency() -> None:
    import msgspec

    universe = msgspec.structs.replace(
        names(2),
        currencies=("USD", "EUR"),
        currency=np.array([0, 1], np.int32),
        multiplier=np.array([1.0, 5.0]),
    )
    rng = np.random.default_rng(0)
    strategy = QlibTopkDropout(
        topk=1, n_drop=1, universe=universe, costs=BySide(buy_bps=0, sell_bps=0, minimum=0), chance=rng, name="q"
    )
    where = book(day(0), [10, 10], rate=np.array([1.0, 2.0]), equity=1000.0)
    where = msgspec.structs.replace(where, cash=np.array([500.0, 250.0]))
    strategy.on_bars(bars(day(0), [10.0, 10.0]))
    target = strategy.on_signals((signal(day(0), [0, 1]),), where)
    assert target is not None
    assert target.value.tolist() == [0, 9]  # 0.95 * 1000 / (10 * 5 * 2) = 9.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 0}, "topk must be at least 1"),
        ({"n_drop": -1}, "n_drop must be at least 0"),
        ({"hold_thresh": -1}, "hold_thresh must be at least 0"),
        ({"method_sell": "top"}, "method_sell must be one of bottom, random"),
        ({"method_buy": "best"}, "method_buy must be one of top, random"),
        ({"risk_degree": 11.0}, "risk_degree must be above 0 and at most 10"),
        ({"price_limit": 0.0}, "price_limit must be above 0"),
        ({"interval_ns": -1}, "interval_ns must be at least 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**options)
