"""The optimizer around all methods: what a method is told, and what becomes of its weights."""

from typing import Any

import numpy as np
import pytest

from components.costs.bps import Bps
from components.optimizers.portfolio import Portfolio
from components.optimizers.problem import Decision, Situation
from components.optimizers.remarks import plain
from engine.events import Actions, Reference
from engine.ids import OrderIds
from engine.universe import Universe, universe_of
from tests.make import bars, book, target

NAMES = ("A", "B", "C")


class Told:
    """A method of a user's own: says the weights it was made with and keeps what it was told."""

    def __init__(self, *weights: float) -> None:
        self._weights = np.array(weights)
        self.at: Situation | None = None

    def weights(self, at: Situation, /) -> Decision:
        self.at = at
        if not self._weights.size:
            return Decision(weights=None, reason="no idea")
        return Decision(weights=self._weights, remarks=(plain("hint", "as told", 1.0),))


def made(method: Any, universe: Universe | None = None, **options: Any) -> Portfolio:
    universe = universe_of(NAMES) if universe is None else universe
    given: dict[str, Any] = {"costs": Bps(), "reserve_bps": 0.0} | options
    return Portfolio(universe=universe, ids=OrderIds("s", "o"), name="o", method=method, **given)


def trades(answer: tuple[Any, ...]) -> dict[int, float]:
    orders = [event for event in answer if type(event).__name__ == "Orders"]
    return dict(zip(orders[0].symbol.tolist(), orders[0].qty.tolist(), strict=True)) if orders else {}


def kinds(answer: tuple[Any, ...]) -> list[str]:
    return [event.kind for event in answer if type(event).__name__ == "Note"]


def test_weights_become_shares_and_exits_are_sold_whole() -> None:
    optimizer = made(Told(0.5, 0.2, 0.9))
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0]))
    held = book(1, [10.0, 20.0, 50.0], cash=0.0, qty=[0.0, 10.0, 16.0])  # worth 1,000
    answer = optimizer.on_targets((target(1, [0.5, 0.5, 0.0]),), held)
    assert trades(answer) == {0: 50.0, 2: -16.0}  # B has its weight already
    assert kinds(answer)[:1] == ["hint"]


def test_what_a_method_is_told() -> None:
    method = Told(0.1, 0.1, 0.1)
    optimizer = made(method, benchmark="equal")
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, np.nan], volume=[100.0, 50.0, np.nan]))
    optimizer.on_bars(bars(ts=2, close=[10.0, 20.0, np.nan], volume=[300.0, np.nan, np.nan]))
    sectors = Reference(
        ts=2, name="sectors", rows="symbol", value=np.array([[1.0], [0.0], [np.nan]]), columns=("X", "Y")
    )
    optimizer.on_reference(sectors)
    held = book(2, [10.0, 20.0, 5.0], cash=800.0, qty=[0.0, 5.0, 20.0])
    optimizer.on_targets((target(2, [0.5, 0.25, 0.25], alpha=[1.0, np.nan, 2.0]),), held)
    at = method.at
    assert at is not None
    assert at.w0.tolist() == pytest.approx([0.0, 0.1, 0.1])
    assert at.free.tolist() == [True, True, False]  # C has no bar
    assert at.invest == pytest.approx(1.0)
    assert at.traded.tolist() == pytest.approx([2000.0, 1000.0, np.nan], nan_ok=True)
    assert at.benchmark.tolist() == pytest.approx([1 / 3] * 3)
    assert (at.sector.tolist(), at.sectors) == ([1, 0, -1], ("X", "Y"))


def test_without_an_answer_positions_are_held_exits_sold_and_the_reason_told() -> None:
    optimizer = made(Told())
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0]))
    held = book(1, [10.0, 20.0, 50.0], cash=0.0, qty=[50.0, 10.0, 6.0])
    for count in (1, 2):
        answer = optimizer.on_targets((target(1, [0.2, np.nan, 0.0]),), held)
        assert trades(answer) == {2: -6.0}
        notes = [event for event in answer if type(event).__name__ == "Note"]
        assert (notes[0].kind, notes[0].value.tolist()) == ("fallback", [float(count)])
        assert notes[0].text.startswith("no idea; positions are held, exits are sold")


@pytest.mark.parametrize("equity", [0.0, -5.0, np.nan, np.inf])
def test_an_account_without_equity_buys_nothing(equity: float) -> None:
    import msgspec

    optimizer = made(Told(0.5, 0.5, 0.0))
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0]))
    poor = msgspec.structs.replace(book(1, [10.0, 20.0, 50.0], cash=0.0, qty=[0.0, 3.0, 0.0]), equity=equity)
    answer = optimizer.on_targets((target(1, [0.5, 0.0, 0.0]),), poor)
    assert trades(answer) == {1: -3.0}
    assert kinds(answer)[0] == "fallback"


def weights_of_benchmark(rows: list[float]) -> Reference:
    value = np.array(rows)[:, None]
    return Reference(ts=1, name="benchmark", rows="symbol", value=value, columns=("weight",))


@pytest.mark.parametrize("rows", [[0.5, 0.4, np.nan], [0.8, 0.4, -0.2], None])
def test_weights_that_are_no_benchmark_are_told_and_nothing_is_traded(rows: list[float] | None) -> None:
    optimizer = made(Told(0.5, 0.5, 0.0), benchmark="reference")
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0]))
    if rows is not None:
        optimizer.on_reference(weights_of_benchmark(rows))
    answer = optimizer.on_targets((target(1, [0.5, 0.5, 0.5]),), book(1, [10.0, 20.0, 50.0], cash=1000.0))
    assert trades(answer) == {}
    assert "benchmark: " in answer[0].text


def test_no_more_is_traded_than_the_participation_allows() -> None:
    optimizer = made(Told(0.9, 0.1, 0.0), max_participation=0.1)
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0], volume=[100.0, 1000.0, np.nan]))
    answer = optimizer.on_targets((target(1, [0.9, 0.1, 0.5]),), book(1, [10.0, 20.0, 50.0], cash=1000.0))
    assert trades(answer) == {0: 10.0, 1: 5.0}
    assert "participation" in kinds(answer)


def test_rounding_goes_not_beyond_the_participation_and_odd_lots_leave_whole() -> None:
    optimizer = made(Told(0.0306, 0.05, 0.0), max_participation=0.1)
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0], volume=[27.0, 1000.0, 9.0]))
    held = book(1, [10.0, 20.0, 50.0], cash=965.0, qty=[0.0, 0.0, 0.7])
    answer = optimizer.on_targets((target(1, [0.5, 0.5, 0.0]),), held)
    assert trades(answer) == {2: -0.7, 0: 2.0, 1: 2.0}  # of A 2.7 may be bought, and 3.06 are wanted


def test_traded_money_is_the_same_after_a_split_and_goes_with_a_new_symbol() -> None:
    method = Told(0.1, 0.1, 0.1)
    optimizer = made(method)
    optimizer.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0], volume=[100.0, 100.0, 0.0]))
    columns = {"kind": [0, 3], "symbol": [0, 1], "ratio": [2.0, 1.0], "amount": [0.0, 0.0]}
    optimizer.on_actions(
        Actions(
            ts=1,
            kind=np.array(columns["kind"], np.int32),
            symbol=np.array(columns["symbol"], np.int32),
            ratio=np.array(columns["ratio"]),
            amount=np.array(columns["amount"]),
            pay_at=np.zeros(2, np.int64),
            successor=np.array([-1, 2], np.int32),
        )
    )
    optimizer.on_bars(bars(ts=2, close=[5.0, np.nan, 20.0], volume=[200.0, np.nan, 100.0]))
    optimizer.on_targets((target(2, [0.5, 0.5, 0.5]),), book(2, [5.0, 20.0, 20.0], cash=1000.0))
    assert method.at is not None
    assert method.at.traded.tolist() == pytest.approx([1000.0, np.nan, 2000.0], nan_ok=True)


def test_a_method_that_weighs_risk_wants_a_risk_model() -> None:
    method = Told(1.0)
    method.needs_risk = True  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="risk_model must be given: the method Told weighs risk"):
        made(method)


def test_state_goes_on_where_it_was_saved_with_names_appended() -> None:
    first = made(Told(), max_participation=0.5, benchmark="reference")
    first.on_bars(bars(ts=1, close=[10.0, 20.0, 50.0], volume=[100.0, 100.0, 100.0]))
    first.on_reference(weights_of_benchmark([0.5, 0.5, 0.0]))
    held = book(1, [10.0, 20.0, 50.0], cash=1000.0)
    first.on_targets((target(1, [0.5, 0.5, 0.0]),), held)
    method = Told(0.1, 0.1, 0.1, 0.1)
    other = made(method, universe_of((*NAMES, "D")), max_participation=0.5, benchmark="reference")
    other.load(first.save())
    other.on_bars(bars(ts=2, close=[10.0, 20.0, 50.0, 5.0], volume=[100.0, 100.0, 100.0, 10.0]))
    other.on_targets((target(2, [0.1] * 4),), book(2, [10.0, 20.0, 50.0, 5.0], cash=1000.0))
    assert method.at is not None
    assert method.at.traded.tolist() == pytest.approx([1000.0, 2000.0, 5000.0, 50.0])
    assert method.at.benchmark.tolist() == [0.5, 0.5, 0.0, 0.0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"benchmark": "spx"}, "benchmark must be one of none, equal, targets, reference, got 'spx'"),
        ({"rounding": "up"}, "rounding must be one of toward, nearest, tracking, got 'up'"),
        ({"max_participation": 0}, "max_participation must be above 0"),
        ({"traded_slices": 0}, "traded_slices must be between 1 and 10,000, got 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(Told(1.0), **options)


# ---- schedules -------------------------------------------------------------------------------------------------------


def slices(optimizer: Portfolio, rows: list[tuple[list[float], list[float]]]) -> list[dict[int, float]]:
    """Trades of each slice, filled at the mark: rows of marks and targets."""
    qty, cash, found = np.zeros(3), 1000.0, []
    for k, (marks, wanted) in enumerate(rows, start=1):
        optimizer.on_bars(bars(ts=k, close=marks))
        traded = trades(optimizer.on_targets((target(k, wanted),), book(k, marks, cash=cash, qty=qty)))
        found.append(traded)
        for symbol, shares in traded.items():
            qty = qty.copy()
            qty[symbol] += shares
            cash -= shares * marks[symbol]
    return found


def test_between_two_due_slices_a_drift_of_prices_trades_nothing_and_exits_are_sold() -> None:
    from components.strategies.schedules.every import Every

    optimizer = made(Told(0.5, 0.3, 0.2), schedule=Every(slices=3))
    every = [0.5, 0.3, 0.2]
    found = slices(
        optimizer,
        [
            ([10.0, 10.0, 10.0], every),
            ([12.0, 9.0, 10.0], every),
            ([13.0, 8.0, 10.0], [0.5, 0.3, 0.0]),  # the strategy leaves C
            ([13.0, 8.0, 10.0], [0.5, 0.3, 0.0]),
            ([14.0, 8.0, 10.0], [0.5, 0.3, 0.0]),
        ],
    )
    assert found[0] == {0: 50.0, 1: 30.0, 2: 20.0}
    assert found[1] == {}
    assert found[2] == {2: -20.0}
    assert set(found[3]) == {0, 1}  # due: back to the weights
    assert found[4] == {}


def test_what_did_not_fill_is_pursued_until_the_next_due_slice() -> None:
    from components.strategies.schedules.every import Every

    optimizer = made(Told(0.5, 0.3, 0.0), schedule=Every(slices=9))
    marks = [10.0, 10.0, 10.0]
    for k, qty in ((1, [0.0, 0.0, 0.0]), (2, [20.0, 30.0, 0.0])):  # only a part of A filled
        optimizer.on_bars(bars(ts=k, close=marks))
        held = book(k, marks, cash=1000.0 - sum(qty) * 10, qty=qty)
        answer = trades(optimizer.on_targets((target(k, [0.5, 0.5, np.nan]),), held))
        if k == 2:
            other = made(Told(0.5, 0.3, 0.0), schedule=Every(slices=9))
            other.load(optimizer.save())
    assert answer == {0: 30.0}
    optimizer, held = other, book(3, marks, cash=500.0, qty=[20.0, 30.0, 0.0])
    optimizer.on_bars(bars(ts=3, close=marks))
    assert trades(optimizer.on_targets((target(3, [0.5, 0.5, np.nan]),), held)) == {0: 30.0}
