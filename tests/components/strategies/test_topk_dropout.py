"""Top-k dropout: events in, events out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.strategies.topk_dropout import TopkDropout
from engine.events import Book, Status, Target, TargetKind
from engine.universe import universe_of
from tests.make import bars, book, day, market, signal

NAN = np.nan


def topk(n: int = 5, **options: object) -> TopkDropout:
    given_: dict[str, object] = {"topk": 2, "n_drop": 1} | options
    return TopkDropout(universe=universe_of(tuple(f"S{i}" for i in range(n))), name="top", **given_)  # type: ignore[arg-type]


def decide(strategy: TopkDropout, score: list[float], where: Book, **columns: object) -> Target:
    strategy.on_bars(bars(where.ts, columns.pop("close", np.where(np.isnan(where.mark), 1.0, where.mark)), **columns))  # type: ignore[arg-type]
    target = strategy.on_signals((signal(where.ts, score),), where)
    assert target is not None
    return target


def test_a_flat_book_buys_the_best_topk_with_equal_budgets() -> None:
    target = decide(topk(), [0.1, 0.5, 0.3, NAN, 0.2], book(day(0), [10, 20, 40, 50, 80], cash=1000))
    assert target.kind is TargetKind.QUANTITY
    assert target.value.tolist() == [0, 475 / 20, 475 / 40, 0, 0]


def test_names_that_stay_keep_their_exact_shares() -> None:
    target = decide(topk(), [0.1, 0.5, 0.3, 0, 0], book(day(0), [10, 20, 40, 50, 80], qty=[0, 7, 3, 0, 0]))
    assert target.value.tolist() == [0, 7, 3, 0, 0]


def test_at_most_n_drop_names_are_replaced() -> None:
    where = book(day(0), [10] * 5, cash=0, qty=[50, 50, 0, 0, 0])
    assert decide(topk(), [0.1, 0.2, 0.5, 0.4, 0], where).value.tolist() == [0, 50, 45, 0, 0]
    both = decide(topk(n_drop=2), [0.1, 0.2, 0.5, 0.4, 0], where)
    assert both.value.tolist() == [0, 0, 47.5, 47.5, 0]


def test_a_holding_is_dropped_only_for_a_better_candidate() -> None:
    where = book(day(0), [10] * 5, qty=[50, 50, 0, 0, 0])
    assert decide(topk(), [0.3, 0.4, 0.2, 0.1, 0], where).value.tolist() == [50, 50, 0, 0, 0]


def test_at_equal_scores_the_holding_stays_and_the_universe_order_decides() -> None:
    where = book(day(0), [10] * 5, cash=0, qty=[0, 50, 50, 0, 0])
    assert decide(topk(), [0.3, 0.3, 0.3, 0.3, 0.3], where).value.tolist() == [0, 50, 50, 0, 0]
    flat = book(day(0), [10] * 5, cash=1000)
    assert decide(topk(), [0.3, 0.3, 0.3, 0.3, 0.2], flat).value.tolist() == [47.5, 47.5, 0, 0, 0]


def test_without_any_difference_among_scores_nothing_new_is_bought() -> None:
    flat = book(day(0), [10] * 5, cash=1000)
    assert decide(topk(), [0.3, 0.3, 0.3, 0.3, NAN], flat).value.tolist() == [0] * 5
    half = book(day(0), [10] * 5, cash=500, qty=[0, 0, 0, 50, 0])
    assert decide(topk(n_drop=0), [0.3] * 5, half).value.tolist() == [0, 0, 0, 50, 0]


def test_without_any_difference_among_scores_nothing_is_sold_to_make_room() -> None:
    where = book(day(0), [10] * 5, cash=0, qty=[0, 50, 50, 0, 0])
    assert decide(topk(), [0.3, NAN, 0.3, 0.3, 0.3], where).value.tolist() == [0, 50, 50, 0, 0]


def test_equal_scores_of_names_that_all_fit_leave_no_choice_and_are_bought() -> None:
    flat = book(day(0), [10] * 5, cash=1000)
    assert decide(topk(), [NAN, 0.3, NAN, NAN, 0.3], flat).value.tolist() == [0, 47.5, 0, 0, 47.5]
    where = book(day(0), [10] * 5, cash=0, qty=[0, 50, 50, 0, 0])
    assert decide(topk(), [NAN, NAN, 0.3, 0.3, NAN], where).value.tolist() == [0, 0, 50, 45, 0]


def test_without_candidates_nothing_is_dropped() -> None:
    where = book(day(0), [10] * 5, qty=[50, 50, 0, 0, 0])
    assert decide(topk(), [NAN, 0.1, NAN, NAN, NAN], where).value.tolist() == [50, 50, 0, 0, 0]


def test_a_holding_without_a_score_is_the_first_to_go() -> None:
    where = book(day(0), [10] * 5, cash=0, qty=[50, 50, 0, 0, 0])
    assert decide(topk(), [NAN, 0.1, 0.0, NAN, NAN], where).value.tolist() == [0, 50, 45, 0, 0]


def test_n_drop_zero_replaces_nothing_but_fills_empty_slots() -> None:
    where = book(day(0), [10] * 5, cash=500, qty=[50, 0, 0, 0, 0])
    assert decide(topk(n_drop=0), [0, 0.1, 0.2, 0.3, 0.4], where).value.tolist() == [50, 0, 0, 0, 45]


def test_rule_30_a_name_that_is_not_fresh_is_neither_bought_nor_sold() -> None:
    where = book(day(0), [10] * 5, cash=0, qty=[50, 50, 0, 0, 0])
    status = [Status.MISSING, 0, Status.HALTED, 0, 0]
    target = decide(topk(), [0.1, 0.2, 0.5, 0.4, 0], where, status=status)
    assert target.value.tolist() == [50, 50, 0, 0, 0]  # the planned sale of S0 frees no slot


def test_the_next_best_name_takes_the_slot_of_one_that_cannot_be_bought() -> None:
    flat = book(day(0), [10] * 5, cash=1000)
    target = decide(topk(), [0.5, 0.4, 0.3, 0.2, 0.1], flat, status=[0, Status.MISSING, 0, 0, 0])
    assert target.value.tolist() == [47.5, 0, 47.5, 0, 0]


def test_rule_22_leaving_the_index_sells_nothing_and_buys_nothing() -> None:
    """Rule 22: point-in-time membership."""
    where = book(day(0), [10] * 5, cash=500, qty=[50, 0, 0, 0, 0])
    member = np.array([False, False, True, True, True])
    target = decide(topk(), [0.9, 0.8, 0.1, 0.2, 0.3], where, member=member)
    assert target.value.tolist() == [50, 0, 0, 0, 45]


def test_more_than_topk_holdings_are_trimmed_n_drop_a_slice() -> None:
    where = book(day(0), [10] * 5, qty=[5, 5, 5, 5, 5])
    assert decide(topk(), [0.1, 0.2, 0.3, 0.4, 0.5], where).value.tolist() == [0, 5, 5, 5, 5]


def test_new_names_share_what_the_kept_ones_leave_of_risk_degree() -> None:
    where = book(day(0), [10] * 5, cash=200, qty=[80, 0, 0, 0, 0])  # S0 has grown to 80 % of 1000
    assert decide(topk(), [0.5, 0.4, 0, 0, 0], where).value.tolist() == [80, 15, 0, 0, 0]


def test_hold_thresh_keeps_a_young_position() -> None:
    strategy = topk(hold_thresh=3)
    sold = []
    for k in range(5):
        where = book(day(k), [10] * 5, cash=0, qty=[50, 50, 0, 0, 0], opened=np.array([day(0), day(0), 0, 0, 0]))
        sold.append(decide(strategy, [0.1, 0.2, 0.5, 0.4, 0], where).value[0] == 0)
    assert sold == [False, False, True, True, True]


def test_rule_34_working_shares_count_as_held() -> None:
    """Rule 34: the next decision nets against filled and working quantity."""
    where = book(day(0), [10] * 5, cash=1000, working=np.array([0, 0, 0, 0, 47.0]))
    assert decide(topk(), [0.3, 0.2, 0.1, 0, 0.9], where).value.tolist() == [47.5, 0, 0, 0, 47]


def test_before_the_first_score_there_is_no_target_and_later_all_is_kept() -> None:
    strategy = topk()
    where = book(day(0), [10] * 5, qty=[0, 5, 0, 0, 0])
    strategy.on_bars(bars(day(0), [10.0] * 5))
    assert strategy.on_signals((signal(day(0), [NAN] * 5),), where) is None
    decide(strategy, [0.1] * 5, where)
    assert decide(strategy, [NAN] * 5, where).value.tolist() == [0, 5, 0, 0, 0]


def test_without_any_bar_nothing_is_bought() -> None:
    target = topk().on_signals((signal(day(0), [0.1] * 5),), book(day(0), [10] * 5))
    assert target is not None
    assert not target.value.any()


def test_one_of_several_signals_is_named() -> None:
    strategy = topk(signal="b")
    strategy.on_bars(bars(day(0), [10.0] * 5))
    two = (signal(day(0), [5, 4, 3, 2, 1], source="a"), signal(day(0), [1, 2, 3, 4, 5], source="b"))
    target = strategy.on_signals(two, book(day(0), [10] * 5))
    assert target is not None
    assert np.flatnonzero(target.value).tolist() == [3, 4]
    with pytest.raises(ValueError, match="reads one signal and was given 2"):
        topk().on_signals(two, book(day(0), [10] * 5))
    with pytest.raises(ValueError, match="no signal comes from 'c'"):
        topk(signal="c").on_signals(two, book(day(0), [10] * 5))


def test_currency_and_multiplier_enter_the_budget() -> None:
    import msgspec

    universe = msgspec.structs.replace(
        universe_of(("A", "B")),
        currencies=("USD", "EUR"),
        currency=np.array([0, 1], np.int32),
        multiplier=np.array([1.0, 5.0]),
    )
    strategy = TopkDropout(topk=1, n_drop=1, universe=universe, name="top")
    where = book(day(0), [10, 10], rate=np.array([1.0, 2.0]), equity=1000.0)
    assert decide(strategy, [0, 1], where).value.tolist() == [0, 950 / 100]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"topk": 0}, "topk must be at least 1, got 0"),
        ({"n_drop": -1}, "n_drop must be at least 0, got -1"),
        ({"risk_degree": 0.0}, "risk_degree must be above 0"),
        ({"hold_thresh": -1}, "hold_thresh must be at least 0"),
        ({"interval_ns": -1}, "interval_ns must be at least 0"),
    ],
)
def test_bounds_are_checked(option: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        topk(**option)


def slow_topk(score: np.ndarray, held: set[int], fresh: np.ndarray, k: int, drop: int) -> tuple[set[int], list[int]]:
    """The rules of the docstring in plain Python: names sold and names bought."""

    def rank(i: int) -> tuple[float, bool, int]:
        return (-score[i] if np.isfinite(score[i]) else np.inf, i not in held, i)

    today = sorted((i for i in range(len(score)) if i not in held and np.isfinite(score[i]) and fresh[i]), key=rank)
    able = len(today)
    today = today[: max(drop + k - len(held), 0)]

    def decided(today: list[int]) -> tuple[set[int], list[int]]:
        both = sorted([*held, *today], key=lambda i: (rank(i)[0], i not in held, today.index(i) if i in today else i))
        last = both[max(k, len(both) - drop) :]
        sold = {i for i in last if i in held and fresh[i]}
        return sold, today[: max(k - len(held) + len(sold), 0)]

    sold, bought = decided(today)
    alike = len(set(score[np.isfinite(score)].tolist())) == 1
    return decided([]) if alike and able > k - len(held) + len(sold) else (sold, bought)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_it_equals_a_plain_python_top_k(draw: st.DataObject) -> None:
    n = draw.draw(st.integers(1, 12))
    score = np.array(draw.draw(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, NAN, np.inf]), min_size=n, max_size=n)))
    held = draw.draw(st.sets(st.integers(0, n - 1)))
    fresh = np.array(draw.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    k, drop = draw.draw(st.integers(1, 6)), draw.draw(st.integers(0, 6))
    qty = np.array([3.0 if i in held else 0.0 for i in range(n)])
    strategy = topk(n, topk=k, n_drop=drop)
    strategy.on_bars(bars(day(0), np.full(n, 10.0), status=np.where(fresh, 0, 1)))
    target = strategy.on_signals((signal(day(0), score),), book(day(0), np.full(n, 10.0), qty=qty))
    if not np.isfinite(score).any():
        assert target is None
        return
    assert target is not None
    sold, bought = slow_topk(score, held, fresh, k, drop)
    expected = {i: 3.0 for i in held - sold}
    assert {int(i): target.value[i] for i in np.flatnonzero(target.value) if i not in bought} == expected
    assert {int(i) for i in np.flatnonzero(target.value)} - set(expected) == set(bought)
    assert len(set(target.value[bought])) <= 1


def test_invested_value_never_exceeds_risk_degree_of_equity() -> None:
    rows = market(8, 60, seed=3, holes=0.0, late=0)
    strategy = topk(8, topk=4, n_drop=2)
    rng = np.random.default_rng(1)
    qty, cash = np.zeros(8), 1e5
    for row in rows:
        strategy.on_bars(row)
        where = book(row.ts, row.close, cash=cash, qty=qty)
        target = strategy.on_signals((signal(row.ts, rng.normal(size=8)),), where)
        assert target is not None
        new = target.value > qty
        invested = float((target.value * row.close).sum())
        assert not new.any() or invested <= 0.95 * where.equity * (1 + 1e-12)
        cash -= float(((target.value - qty) * row.close).sum())
        qty = target.value
