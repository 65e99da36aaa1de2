"""What the broker tells the ledger about dividends and about what a split leaves below a lot."""

from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from engine.events import ActionKind, Actions, Fills
from engine.ledger import Ledger
from engine.universe import universe_of
from tests.make import bars, day

UNIVERSE = universe_of(("A",))


def broker(**options: Any) -> Simulated:
    return Simulated(universe=UNIVERSE, costs=Bps(), name="b", fill="next_open", **options)


def after(action: ActionKind, *, ratio: float = np.nan, amount: float = np.nan, **options: Any) -> tuple[float, float]:
    """Shares and equity of 5 shares at 100 and no cash, after this action."""
    ledger = Ledger(universe=UNIVERSE, cash=500.0, bookkeeping=broker(**options).bookkeeping)
    ledger.on_bars(bars(day(0), [100.0]))
    one, none = np.array([1], np.uint64), np.zeros((1, 3))
    at, five = np.array([day(0)]), np.array([5.0])
    columns: dict[str, Any] = {"exec_ids": one, "order_ids": one, "symbol": np.zeros(1, np.int32), "qty": five}
    ledger.on_fills(Fills(ts=day(0), price=five * 20, reference=five * 20, fees=none, at=at, **columns))
    kind, symbol = np.array([action], np.int32), np.zeros(1, np.int32)
    said: dict[str, Any] = {"ratio": np.array([ratio]), "amount": np.array([amount]), "pay_at": at, "successor": symbol}
    book = ledger.on_actions(Actions(ts=day(0), kind=kind, symbol=symbol, **said))
    return float(book.qty[0]), book.equity


def test_dividends_are_paid_unless_they_are_to_be_ignored() -> None:
    assert after(ActionKind.CASH_DIVIDEND, amount=2.0) == (5.0, 510.0)
    assert after(ActionKind.CASH_DIVIDEND, amount=2.0, dividends="ignored") == (5.0, 500.0)


def test_rule_25_what_a_split_leaves_below_a_lot_is_paid_out_unless_it_is_to_be_lost() -> None:
    assert after(ActionKind.SPLIT, ratio=0.5) == (2.0, 500.0)
    assert after(ActionKind.SPLIT, ratio=0.5, fractions="lost") == (2.0, 400.0)


@pytest.mark.parametrize("option", [{"dividends": "cash"}, {"fractions": "paid"}])
def test_options_are_checked(option: dict[str, str]) -> None:
    (key,) = option
    with pytest.raises(ValueError, match=f"{key} must be"):
        broker(**option)
