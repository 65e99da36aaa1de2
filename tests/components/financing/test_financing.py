"""Borrow fees and interest, against the arithmetic of a statement."""

import numpy as np
import pytest

from components.financing.borrow_fee import BorrowFee
from components.financing.cash_interest import CashInterest
from components.financing.margin_interest import MarginInterest
from engine.errors import DataError
from engine.events import ChargeKind
from engine.universe import Universe, universe_of
from tests.components.brokers.routed import mixed
from tests.make import bars, book, day

STOCKS = universe_of(("A", "B", "C"))


def two_currencies() -> Universe:
    return Universe(
        symbols=("A", "F"),
        currencies=("USD", "EUR"),
        currency=np.array([0, 1], np.int32),
        multiplier=np.array([1.0, 50.0]),
        lot=np.ones(2),
        tick=np.zeros(2),
    )


def wallet(cash: list[float], unsettled: list[float] | None = None, qty: list[float] | None = None):
    money = np.array(cash)
    n, c = len(qty or [0, 0]), len(cash)
    columns = {"rate": np.ones(c), "interest": np.zeros(c), "unsettled": np.array(unsettled or [0.0] * c)}
    one = book(day(0), [10.0, 200.0] if n == 2 else [10.0] * n, qty=qty, equity=0.0, **columns)
    return type(one)(**({name: getattr(one, name) for name in one.__struct_fields__} | {"cash": money}))


def amounts(charges) -> list[float]:
    return [] if charges is None else charges.amount.tolist()


def test_only_what_is_short_pays_a_borrow_fee():
    fee = BorrowFee(universe=STOCKS, annual_bps=100)
    charges = fee.charges(book(day(0), [10.0, 20.0, 30.0], qty=[-100, 50, 0]), 1, day(1))
    assert charges.symbol.tolist() == [0]
    assert charges.kind.tolist() == [ChargeKind.BORROW]
    assert charges.ts == day(1)
    assert amounts(charges) == [pytest.approx(-100 * 10 * 0.01 / 360, rel=1e-15)]


def test_rule_42_borrowing_accrues_by_calendar_day_over_a_weekend():
    fee = BorrowFee(universe=STOCKS, annual_bps=100)
    held = book(day(0), [10.0, 20.0, 30.0], qty=[-100, -50, 0])
    one, three = (np.array(amounts(fee.charges(held, days, day(9)))) for days in (1, 3))
    np.testing.assert_allclose(three, 3 * one, rtol=1e-15)


def test_a_symbol_may_have_a_rate_of_its_own_and_a_future_counts_its_multiplier_in_its_currency():
    fee = BorrowFee(universe=two_currencies(), annual_bps=36, rates={"F": 0.36}, day_count=360)
    charges = fee.charges(wallet([0.0, 0.0], qty=[-10.0, -2.0]), 1, day(1))
    assert charges.currency.tolist() == [0, 1]
    np.testing.assert_allclose(charges.amount, [-10 * 10 * 0.0036 / 360, -2 * 200 * 50 * 0.36 / 360], rtol=1e-15)


def test_a_rate_of_the_feed_goes_before_the_others_and_lasts_until_it_says_another():
    of = mixed(extra=("borrow_rate",))
    fee = BorrowFee(universe=of, annual_bps=36, rates={"B": 0.5}, day_count=360)
    held = wallet([0.0, 0.0, 0.0], qty=[-36.0, -36.0, -36.0, 0.0])

    def rate() -> list[float]:
        return (-fee.charges(held, 1, day(1)).amount).tolist()

    assert rate() == pytest.approx([0.0036, 0.5, 0.0036])
    fee.on_bars(bars(day(0), [10.0] * 4, extra=(np.array([0.1, 0.2, np.nan, 0.3]),)))
    fee.on_bars(bars(day(0), [10.0] * 4, extra=(np.array([np.nan, 0.4, np.nan, 0.3]),)))
    assert rate() == pytest.approx([0.1, 0.4, 0.0036])
    again = BorrowFee(universe=of, annual_bps=36, rates={"B": 0.5}, day_count=360)
    again.load(fee.save())
    fee = again
    assert rate() == pytest.approx([0.1, 0.4, 0.0036])
    with pytest.raises(DataError, match="borrow_rate of slice"):
        fee.on_bars(bars(day(1), [10.0] * 4, extra=(np.array([-0.1, 0.4, 0.0, 0.3]),)))


def test_a_short_whose_price_was_never_seen_charges_nothing_rather_than_nan():
    assert BorrowFee(universe=STOCKS, annual_bps=9).charges(book(0, [np.nan] * 3, qty=[-1, 0, 0]), 1, 1) is None


def test_margin_interest_is_owed_by_currency_whatever_another_holds():
    interest = MarginInterest(universe=two_currencies(), annual_bps=500, rates={"EUR": 0.04}, day_count=365)
    charges = interest.charges(wallet([1e6, -3650.0]), 2, day(2))
    assert (charges.currency.tolist(), charges.symbol.tolist()) == ([1], [-1])
    assert charges.kind.tolist() == [ChargeKind.MARGIN_INTEREST]
    assert amounts(charges) == [pytest.approx(-3650 * 0.04 * 2 / 365, rel=1e-15)]


def test_cash_interest_is_earned_on_settled_cash_only():
    interest = CashInterest(universe=two_currencies(), annual_bps=100)
    charges = interest.charges(wallet([1000.0, -50.0], [400.0, 0.0]), 1, day(1))
    assert charges.currency.tolist() == [0]
    assert amounts(charges) == [pytest.approx(600 * 0.01 / 360, rel=1e-15)]
    assert interest.charges(wallet([1000.0, -50.0], [1000.0, 0.0]), 1, day(1)) is None


def test_cash_may_cost_interest_where_rates_are_negative():
    interest = CashInterest(universe=two_currencies(), annual_bps=0, rates={"EUR": -0.005})
    assert amounts(interest.charges(wallet([10.0, 7200.0]), 1, day(1))) == [pytest.approx(-0.1)]


@pytest.mark.parametrize("kind", [BorrowFee, MarginInterest])
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_rate_that_is_none_is_refused(kind, bad):
    with pytest.raises(ValueError, match="annual_bps must be finite and at least 0"):
        kind(universe=STOCKS, annual_bps=bad)
    with pytest.raises(ValueError, match="rates of 'A' must be finite"):
        kind(universe=STOCKS, rates={"A": bad})


@pytest.mark.parametrize("kind", [BorrowFee, MarginInterest, CashInterest])
def test_a_day_count_of_another_year_is_refused(kind):
    with pytest.raises(ValueError, match="day_count must be 360 or 365, got 252"):
        kind(universe=STOCKS, day_count=252)


@pytest.mark.parametrize("kind", [BorrowFee, MarginInterest, CashInterest])
def test_a_rate_of_a_name_that_does_not_exist_is_not_charged_silently_as_nothing(kind):
    with pytest.raises(ValueError, match="rates name 'GMEE', which the session does not have; it has"):
        kind(universe=STOCKS, annual_bps=10, rates={"GMEE": 0.2})


def test_the_nearest_name_is_proposed():
    with pytest.raises(ValueError, match="rates name 'EURO', which the session does not have; did you mean 'EUR'?"):
        CashInterest(universe=two_currencies(), rates={"EURO": 0.2})
