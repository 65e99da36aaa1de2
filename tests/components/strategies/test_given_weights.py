"""Equal and fixed weights."""

from typing import Any

import numpy as np
import pytest

from components.strategies.equal_weight import EqualWeight
from components.strategies.fixed_weights import FixedWeights
from engine.errors import DataError
from engine.events import Reference, Status
from engine.protocols import Table
from tests.components.strategies.asked import ask, names, weights
from tests.make import book, day

NAN = np.nan
FLAT = book(day(0), [10.0] * 3, cash=1000.0)
NO_SCORE = [NAN] * 3


def equal(n: int = 3, **options: Any) -> EqualWeight:
    return EqualWeight(universe=names(n), name="equal", **options)


def fixed(n: int = 3, **options: Any) -> FixedWeights:
    options = options or {"weights": {"S0": 0.5, "S1": 0.3}}
    return FixedWeights(universe=names(n), name="fixed", **options)


def table(rows: list[tuple[int, int, float]]) -> Table:
    ts, symbol, weight = zip(*rows, strict=True) if rows else ((), (), ())
    return Table(
        path="mine.csv",
        hash="",
        ts=np.array(ts, np.int64),
        symbol=np.array(symbol, np.int64),
        columns={"weight": np.array(weight, float)},
    )


# ---- equal -----------------------------------------------------------------------------------------------------------


def test_every_member_with_a_price_has_the_same_weight() -> None:
    assert weights(equal(), NO_SCORE, FLAT) == pytest.approx([1 / 3] * 3, abs=1e-9)
    member = np.array([True, False, True])
    assert weights(equal(gross=0.8), NO_SCORE, FLAT, member=member) == [0.4, 0.0, 0.4]
    unseen = book(day(0), [10.0, NAN, 10.0], cash=1000.0)
    assert ask(equal(), NO_SCORE, unseen, close=[10.0, NAN, 10.0]).value.tolist() == [50, 0, 50]  # type: ignore[union-attr]


def test_scores_are_looked_at_only_when_asked_and_then_masked_names_are_out() -> None:
    score = [0.1, NAN, -5.0]
    assert weights(equal(), score, FLAT) == pytest.approx([1 / 3] * 3, abs=1e-9)
    assert weights(equal(scored_by="model"), score, FLAT) == [0.5, 0.0, 0.5]
    assert ask(equal(scored_by="model"), NO_SCORE, FLAT) is None
    with pytest.raises(ValueError, match="no signal comes from 'other'"):
        ask(equal(scored_by="other"), score, FLAT)


def test_a_halted_holding_keeps_its_shares_and_the_others_share_the_rest() -> None:
    where = book(day(0), [10.0] * 3, cash=500.0, qty=[50.0, 0, 0])
    target = ask(equal(), NO_SCORE, where, status=[Status.HALTED, 0, 0])
    assert target is not None
    assert target.value.tolist() == [50.0, 25.0, 25.0]
    target = ask(equal(), NO_SCORE, FLAT, status=[Status.HALTED, 0, 0])
    assert target is not None
    assert target.value.tolist() == [0.0, 50.0, 50.0]


def test_a_bar_that_is_missing_trades_nothing_where_only_changes_do() -> None:
    strategy = equal(rebalance="changes")
    first = ask(strategy, NO_SCORE, FLAT)
    assert first is not None
    moved = book(day(1), [10.0, 14.0, 9.0], cash=0.0, qty=first.value)
    target = ask(strategy, NO_SCORE, moved, status=[Status.MISSING, 0, 0])
    assert target is not None
    assert target.value.tolist() == first.value.tolist()


def test_equal_weights_are_restored_from_drift_when_always() -> None:
    moved = book(day(1), [10.0, 20.0, 10.0], cash=0.0, qty=[30.0, 30.0, 30.0])
    assert weights(equal(), NO_SCORE, moved) == pytest.approx([1 / 3] * 3, abs=1e-9)


@pytest.mark.parametrize("strategy", [equal(), fixed()], ids=["equal", "fixed"])
def test_with_no_equity_all_is_closed_and_nothing_is_shorted(strategy: Any) -> None:
    where = book(day(0), [10.0] * 3, cash=-500.0, qty=[10.0, 0, 20.0])
    target = ask(strategy, NO_SCORE, where)
    assert target is not None
    assert not target.value.any()


# ---- fixed -----------------------------------------------------------------------------------------------------------


def test_given_weights_are_kept_and_the_rest_is_cash() -> None:
    assert weights(fixed(), NO_SCORE, FLAT) == [0.5, 0.3, 0.0]
    held = book(day(0), [10.0] * 3, cash=0.0, qty=[0.0, 0.0, 100.0])
    assert weights(fixed(), NO_SCORE, held) == [0.5, 0.3, 0.0]  # what is not named is sold
    assert weights(fixed(weights={"S0": 0.5, "S2": -0.4}), NO_SCORE, FLAT) == [0.5, 0.0, -0.4]


def test_a_name_that_cannot_be_traded_leaves_cash_or_is_made_up_for() -> None:
    halted = {"status": [0, Status.HALTED, 0]}
    given = {"S0": 0.4, "S1": 0.4, "S2": 0.2}
    assert weights(fixed(weights=given), NO_SCORE, FLAT, **halted) == [0.4, 0.0, 0.2]
    filled = fixed(weights=given, missing="renormalise")
    assert weights(filled, NO_SCORE, FLAT, **halted) == pytest.approx([2 / 3, 0.0, 1 / 3], abs=1e-9)
    where = book(day(0), [10.0] * 3, cash=700.0, qty=[0.0, 30.0, 0.0])
    assert weights(filled, NO_SCORE, where, **halted) == pytest.approx([0.7 * 2 / 3, 0.3, 0.7 / 3], abs=1e-9)
    out = {"member": np.array([True, False, True])}
    assert weights(filled, NO_SCORE, FLAT, **out) == pytest.approx([2 / 3, 0.0, 1 / 3], abs=1e-9)
    assert weights(fixed(weights=given), NO_SCORE, FLAT, **out) == [0.4, 0.0, 0.2]


def test_rule_22_a_holding_that_left_the_index_is_closed_or_held() -> None:
    where = book(day(0), [10.0] * 3, cash=700.0, qty=[0.0, 30.0, 0.0])
    out = {"member": np.array([True, False, True])}
    assert weights(fixed(), NO_SCORE, where, **out) == [0.5, 0.3, 0.0]
    options: dict[str, Any] = {"weights": {"S0": 0.5, "S1": 0.3}, "leavers": "close"}
    assert weights(fixed(**options), NO_SCORE, where, **out) == [0.5, 0.0, 0.0]


def test_buy_and_hold_lets_weights_drift() -> None:
    strategy = fixed(weights={"S0": 0.5, "S1": 0.3}, rebalance="changes")
    first = ask(strategy, NO_SCORE, FLAT)
    assert first is not None
    moved = book(day(1), [30.0, 5.0, 10.0], cash=200.0, qty=first.value)
    second = ask(strategy, NO_SCORE, moved)
    assert second is not None
    assert second.value.tolist() == first.value.tolist() == [50.0, 30.0, 0.0]


def test_rows_of_a_table_count_from_their_own_instant_on_and_whole() -> None:
    strategy = fixed(table=table([(day(3), 1, 0.6), (day(1), 0, 0.9), (day(1), 0, 0.7), (day(1), 2, 0.1)]))
    found = [ask(strategy, NO_SCORE, book(day(k), [10.0] * 3, cash=1000.0)) for k in range(5)]
    assert found[0] is None
    said = [[round(float(v), 9) for v in target.value] for target in found if target is not None]
    assert said == [[70, 0, 10], [70, 0, 10], [0, 60, 0], [0, 60, 0]]


def test_no_later_row_of_a_table_is_known() -> None:
    early = [(day(0), 0, 0.5)]
    for later in ([], [(day(2), 1, 0.9)], [(day(2), 0, -1.0)]):
        strategy = fixed(table=table(early + later))
        for k in range(2):
            assert weights(strategy, NO_SCORE, book(day(k), [10.0] * 3, cash=1000.0)) == [0.5, 0, 0]


def test_a_reference_of_the_feed_gives_the_weights() -> None:
    strategy = fixed(reference="index")
    assert ask(strategy, NO_SCORE, FLAT) is None
    for name, value in (("other", [1.0, 1.0, 1.0]), ("index", [0.2, NAN, 0.8])):
        strategy.on_reference(Reference(ts=day(0), name=name, rows="symbol", value=np.array(value)[:, None]))
    assert weights(strategy, NO_SCORE, FLAT) == [0.2, 0.0, 0.8]
    fresh = fixed(reference="index")
    fresh.load(strategy.save())
    assert weights(fresh, NO_SCORE, FLAT) == [0.2, 0.0, 0.8]
    with pytest.raises(DataError, match=r"reference 'index' .* has shape \(2, 1\)"):
        strategy.on_reference(Reference(ts=day(0), name="index", rows="symbol", value=np.ones((2, 1))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "cash"}, "weights, table or reference must say the weights"),
        ({"weights": {"S0": 1.0}, "reference": "index"}, "one of the three"),
        ({"weights": {}}, "weights must name at least one symbol"),
        ({"weights": {"SPY": 0.5}}, "weights names 'SPY', which is not in the universe"),
        ({"weights": {"S0": NAN}}, "weights: S0 must be between -10 and 10"),
        ({"weights": {"S0": 1.0}, "missing": "sell"}, "missing must be one of cash, renormalise"),
        ({"weights": {"S0": 1.0}, "interval_ns": -1}, "interval_ns must be at least 0"),
        ({"table": table([])}, "it has no row"),
        ({"table": table([(1, 0, 0.5)]), "column": "w"}, "it has no column 'w'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fixed(**options)


def test_a_weight_in_a_table_that_cannot_be_is_named() -> None:
    with pytest.raises(DataError, match="row 1 has the weight 70"):
        fixed(table=table([(1, 0, 0.5), (2, 1, 70.0)]))


@pytest.mark.parametrize(("options", "message"), [({"gross": 0.0}, "gross must"), ({"interval_ns": -1}, "interval_ns")])
def test_options_of_equal_weights_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        equal(**options)
