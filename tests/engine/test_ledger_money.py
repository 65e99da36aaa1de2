"""Money that moves without a trade, cash that is not settled yet, and what exchange rates alone do to equity."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.errors import DataError
from engine.events import ActionKind, Approved, ChargeKind, Charges, LegAction, OrderState, Reference, Refusals, Reports
from engine.ledger import Ledger
from engine.protocols import Bookkeeping
from engine.universe import Universe, universe_of
from tests.engine.test_ledger import action, fills
from tests.make import bars, day, legs

TWO = Universe(
    symbols=("A", "B"),
    currencies=("USD", "EUR"),
    currency=np.array([0, 1], np.int32),
    multiplier=np.ones(2),
    lot=np.ones(2),
    tick=np.zeros(2),
)


def charges(ts: int, rows: list[tuple[int, int, int, float]]) -> Charges:
    """Rows of (kind, symbol, currency, amount)."""
    columns = list(zip(*rows, strict=True))
    codes = [np.array(column, np.int32) for column in columns[:3]]
    return Charges(ts=ts, kind=codes[0], symbol=codes[1], currency=codes[2], amount=np.array(columns[3], float))


def rates(ts: int, euro: float) -> Reference:
    return Reference(ts=ts, name="rates", rows="currency", value=np.array([[1.0], [euro]]))


def started(cash: float = 10_000.0, **options: Any) -> Ledger:
    ledger = Ledger(universe=TWO, cash=cash, **options)
    ledger.on_bars(bars(day(0), [10.0, 20.0]))
    return ledger


def test_a_charge_of_a_symbol_is_a_fee_of_it_and_one_of_none_is_interest() -> None:
    ledger = started()
    ledger.on_charges(charges(day(1), [(ChargeKind.BORROW, 0, 0, -7.0), (ChargeKind.CASH_INTEREST, -1, 1, 3.0)]))
    book = ledger.on_fills(fills(day(1), []))
    assert book.cash.tolist() == [9_993.0, 3.0]
    assert book.fees.tolist() == [7.0, 0.0]
    assert book.interest.tolist() == [0.0, 3.0]
    assert book.equity == 9_996.0


def test_a_charge_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="must be finite"):
        started().on_charges(charges(day(1), [(ChargeKind.OTHER, -1, 0, float("nan"))]))


def test_proceeds_of_sales_are_unsettled_until_their_instant_and_purchases_never_are() -> None:
    ledger = started()
    ledger.on_fills(fills(day(0), [(0, 100.0, 10.0, 0.0), (1, 10.0, 20.0, 0.0)]))
    sold = replace(fills(day(1), [(0, -50.0, 10.0, 1.0), (1, 5.0, 20.0, 1.0)]), settles=np.array([day(3), day(3)]))
    book = ledger.on_fills(sold)
    assert book.unsettled.tolist() == [499.0, 0.0]
    ledger.on_bars(bars(day(2), [10.0, 20.0]))
    assert ledger.book(day(2)).unsettled.tolist() == [499.0, 0.0]
    ledger.on_bars(bars(day(3), [10.0, 20.0]))
    assert ledger.book(day(3)).unsettled.tolist() == [0.0, 0.0]
    assert ledger.book(day(3)).equity == book.equity


def test_rule_43_translation_is_what_a_change_of_rates_alone_did_to_equity() -> None:
    ledger = started()
    ledger.on_reference(rates(day(0), 1.1))
    ledger.on_fills(fills(day(0), [(1, 100.0, 20.0, 0.0)]))
    before = ledger.book(day(0))
    ledger.on_bars(bars(day(1), [10.0, 25.0]))  # a gain of 500 EUR at 1.1
    traded = ledger.book(day(1))
    assert traded.equity - before.equity == pytest.approx(550.0)
    assert traded.translation == before.translation
    ledger.on_reference(rates(day(1), 1.2))
    after = ledger.book(day(1))
    euros = -100 * 20.0 + 100 * 25.0
    assert after.translation - traded.translation == pytest.approx(euros * 0.1)
    assert after.equity - traded.equity == pytest.approx(euros * 0.1)


@pytest.mark.parametrize(("fractions", "cash"), [(True, 10_000.0 - 990.0 + 0.5 * 10.0 / 1.5), (False, 9_010.0)])
def test_rule_25_what_a_split_leaves_below_a_lot_is_paid_out_or_lost(fractions: bool, cash: float) -> None:
    ledger = started(bookkeeping=Bookkeeping(fractions=fractions))
    ledger.on_fills(fills(day(0), [(0, 99.0, 10.0, 0.0)]))
    book = ledger.on_actions(action(day(1), ActionKind.SPLIT, 0, ratio=1.5))
    assert book.qty[0] == 148.0
    assert book.cash[0] == pytest.approx(cash, abs=1e-9)
    unrealised = book.qty[0] * (book.mark[0] - book.entry[0])
    assert book.equity == pytest.approx(10_000.0 + book.realised[0] + unrealised)


def test_a_broker_that_pays_dividends_itself_is_not_helped_by_the_ledger() -> None:
    ledger = started(bookkeeping=Bookkeeping(dividends=False))
    ledger.on_fills(fills(day(0), [(0, 100.0, 10.0, 0.0)]))
    book = ledger.on_actions(action(day(1), ActionKind.CASH_DIVIDEND, 0, amount=1.0, pay_at=day(1)))
    assert book.equity == 10_000.0
    assert not book.income.any()


@given(st.lists(st.tuples(st.floats(0.5, 2.0), st.floats(-50, 50), st.integers(-80, 80)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_equity_is_start_plus_every_gain_whatever_rates_and_charges_do(steps: list[tuple[float, float, int]]) -> None:
    ledger = Ledger(universe=universe_of(("A",)), cash=5_000.0)
    ledger.on_bars(bars(day(0), [10.0]))
    for k, (price, amount, qty) in enumerate(steps, 1):
        ledger.on_charges(charges(day(k), [(ChargeKind.OTHER, -1, 0, amount), (ChargeKind.BORROW, 0, 0, -abs(amount))]))
        ledger.on_bars(bars(day(k), [10.0 * price]))
        book = ledger.on_fills(fills(day(k), [(0, float(qty), 9.0 * price, 0.5)] if qty else []))
        unrealised = book.qty[0] * (book.mark[0] - book.entry[0]) if book.qty[0] else 0.0
        gains = book.realised[0] + unrealised - book.fees[0] + book.income[0] + book.interest[0]
        assert book.equity == pytest.approx(5_000.0 + gains, rel=1e-9)


def test_what_is_owed_unsettled_and_translated_survives_a_restart() -> None:
    ledger = started()
    ledger.on_reference(rates(day(0), 1.1))
    ledger.on_fills(fills(day(0), [(1, 100.0, 20.0, 0.0)]))
    ledger.on_fills(replace(fills(day(1), [(1, -50.0, 20.0, 1.0)]), settles=np.array([day(3)])))
    ledger.on_reference(rates(day(1), 1.3))
    ledger.on_charges(charges(day(1), [(ChargeKind.CASH_INTEREST, -1, 1, 3.0)]))
    again = Ledger(universe=TWO, cash=0.0)
    again.load(ledger.save())
    for one in (ledger, again):
        one.on_bars(bars(day(3), [11.0, 21.0]))
    first, second = ledger.book(day(3)), again.book(day(3))
    for name in ("cash", "unsettled", "interest", "qty", "fees"):
        assert getattr(first, name).tolist() == getattr(second, name).tolist()
    assert first.translation == second.translation != 0.0


# ---- open orders ---------------------------------------------------------------------------------------------------


def accepted(ledger: Ledger, **columns: Any) -> None:
    ledger.on_approved(legs(Approved, day(0), symbol=[0], qty=[10.0], kind=np.array([1]), **columns))


def asked(limit: float, leg: int = 9) -> Approved:
    nothing = np.array([np.nan])
    return legs(
        *(Approved, day(1)),
        symbol=[0],
        qty=[10.0],
        action=np.array([LegAction.REPLACE]),
        ids=np.array([leg], np.uint64),
        ref=np.array([1], np.uint64),
        limit=np.array([limit]),
        stop=nothing,
    )


def report(state: OrderState, left: float) -> Reports:
    return Reports(
        ts=day(1),
        ids=np.array([1], np.uint64),
        symbol=np.array([0], np.int32),
        state=np.array([state], np.int32),
        left=np.array([left]),
    )


def test_a_replace_changes_the_price_once_the_broker_has_said_so() -> None:
    ledger = started()
    accepted(ledger, limit=np.array([9.0]))
    ledger.on_approved(asked(8.0))
    assert ledger.book(day(1)).open_orders.limit.tolist() == [9.0]
    ledger.on_reports(report(OrderState.REPLACED, 4.0))
    orders = ledger.book(day(1)).open_orders
    assert (orders.limit.tolist(), orders.left.tolist()) == ([8.0], [4.0])


def test_a_replace_that_the_broker_refused_changes_nothing_later() -> None:
    ledger = started()
    accepted(ledger, limit=np.array([9.0]))
    ledger.on_approved(asked(8.0))
    refused = Refusals(
        ts=day(1),
        by="broker",
        ids=np.array([9], np.uint64),
        symbol=np.array([0], np.int32),
        qty=np.array([10.0]),
        rule=("tick",),
        value=np.array([8.0]),
        threshold=np.array([0.5]),
    )
    ledger.on_refusals(refused)
    ledger.on_reports(report(OrderState.REPLACED, 4.0))
    assert ledger.book(day(1)).open_orders.limit.tolist() == [9.0]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_open_orders_equal_a_dict_of_them_whatever_ends_first(data: st.DataObject) -> None:
    """Fills and ends of the youngest, the oldest or any, in any order, against a plain dict."""
    ledger, plain, young = started(), {}, 1
    for k in range(data.draw(st.integers(1, 8))):
        count = data.draw(st.integers(0, 6))
        ids = np.arange(young, young + count, dtype=np.uint64)
        young += count
        if count:
            qty = [float(data.draw(st.integers(1, 9))) for _ in range(count)]
            ledger.on_approved(legs(Approved, day(k), symbol=[i % 2 for i in range(count)], qty=qty, ids=ids))
            plain |= dict(zip(ids.tolist(), qty, strict=True))
        known = data.draw(st.permutations([*plain, 10_000 + k]))
        some = known[: data.draw(st.integers(0, len(known)))]
        rows = [(0, 1.0, 10.0, 0.0) for _ in some]
        ledger.on_fills(fills(day(k), rows, [*some]))
        for order in some:
            if order in plain:
                plain[order] -= 1.0
        plain = {order: left for order, left in plain.items() if left}
        ended = [order for order in data.draw(st.permutations([*plain])) if data.draw(st.booleans())]
        if ended:
            state = np.full(len(ended), OrderState.CANCELLED, np.int32)
            zero = np.zeros(len(ended))
            ids = np.array(ended, np.uint64)
            ledger.on_reports(Reports(ts=day(k), ids=ids, symbol=zero.astype(np.int32), state=state, left=zero))
            plain = {order: left for order, left in plain.items() if order not in ended}
        orders = ledger.book(day(k)).open_orders
        assert dict(zip(orders.ids.tolist(), orders.left.tolist(), strict=True)) == plain
        assert ledger.book(day(k)).working.sum() == sum(plain.values())


@pytest.mark.parametrize(
    ("lot", "held", "ratio", "after", "paid_out"),
    [
        (100.0, 100.0, 1.5, 150.0, 0.0),  # an odd lot is kept
        (100.0, 100.0, 1.305, 130.0, 0.5),  # only what is no whole share is paid out
        (0.1, 0.1, 3.0, 0.3, 0.0),  # a division that floats do not make exact loses nothing
        (1.0, 3.0, 1 / 3, 1.0, 0.0),
        (1.0, -154.0, 7.0, -1078.0, 0.0),
        (0.01, 0.05, 0.5, 0.02, 0.005),
    ],
)
def test_rule_25_a_split_pays_out_what_is_no_whole_share_and_keeps_odd_lots(
    lot: float, held: float, ratio: float, after: float, paid_out: float
) -> None:
    ledger = Ledger(universe=universe_of(("A",), lot=lot), cash=1e6)
    ledger.on_bars(bars(day(0), [90.0]))
    ledger.on_fills(fills(day(0), [(0, held, 90.0, 0.0)]))
    book = ledger.on_actions(action(day(1), ActionKind.SPLIT, 0, ratio=ratio))
    assert book.qty[0] == pytest.approx(after, abs=1e-12)
    assert book.cash[0] == pytest.approx(1e6 - held * 90 + paid_out * 90 / ratio)
    assert book.equity == pytest.approx(1e6)
