"""The sign of a signal as a position."""

import numpy as np
import pytest

from components.strategies.sign import Sign
from engine.events import Target
from engine.universe import universe_of
from tests.make import bars, book, day, signal

NAN = np.nan


def one(**options: object) -> Sign:
    return Sign(universe=universe_of(("A",)), name="sign", **options)  # type: ignore[arg-type]


def decide(strategy: Sign, k: int, score: float, qty: float, *, mark: float = 10.0) -> Target | None:
    strategy.on_bars(bars(day(k), [mark]))
    return strategy.on_signals((signal(day(k), [score]),), book(day(k), [mark], cash=1000.0 - 10 * qty, qty=[qty]))


def test_positive_is_long_and_not_positive_is_flat() -> None:
    strategy = one()
    first = decide(strategy, 0, 0.2, 0.0)
    assert first is not None
    assert first.value.tolist() == [100.0]
    last = decide(strategy, 1, -0.2, 100.0)
    assert last is not None
    assert last.value.tolist() == [0.0]


def test_short_goes_short_when_asked() -> None:
    target = decide(one(short=True, gross=0.5), 0, -0.2, 0.0)
    assert target is not None
    assert target.value.tolist() == [-50.0]


def test_a_position_that_agrees_keeps_its_shares_whatever_prices_do() -> None:
    strategy = one()
    assert decide(strategy, 0, 0.2, 0.0) is not None
    assert decide(strategy, 1, 0.9, 100.0, mark=13.0) is None
    assert decide(strategy, 2, 0.1, 100.0, mark=7.0) is None


def test_a_flat_book_that_should_be_flat_says_nothing_again() -> None:
    strategy = one()
    assert decide(strategy, 0, -1.0, 0.0) is not None
    assert decide(strategy, 1, -1.0, 0.0) is None
    assert decide(strategy, 2, 0.0, 0.0) is None


def test_the_target_follows_the_shares_when_they_change_by_a_split_or_a_cut() -> None:
    strategy = one()
    decide(strategy, 0, 0.2, 0.0)
    target = decide(strategy, 1, 0.2, 90.0)
    assert target is not None
    assert target.value.tolist() == [90.0]


def test_nan_keeps_what_is_held_and_opens_nothing() -> None:
    strategy = one()
    assert decide(strategy, 0, NAN, 0.0) is None
    decide(strategy, 1, 1.0, 0.0)
    target = decide(strategy, 2, NAN, 99.0)
    assert target is not None
    assert target.value.tolist() == [99.0]
    assert decide(strategy, 3, NAN, 99.0) is None


def test_several_names_share_gross_and_missing_ones_open_nothing() -> None:
    strategy = Sign(universe=universe_of(("A", "B", "C", "D")), name="sign", short=True)
    strategy.on_bars(bars(day(0), [10.0, 20.0, NAN, 40.0]))
    where = book(day(0), [10.0, 20.0, 30.0, 40.0], cash=4000.0)
    target = strategy.on_signals((signal(day(0), [1.0, -1.0, 1.0, 0.0]),), where)
    assert target is not None
    assert target.value.tolist() == [100.0, -50.0, 0.0, 0.0]


@pytest.mark.parametrize("gross", [0.0, -1.0, 11.0, NAN])
def test_gross_is_checked(gross: float) -> None:
    with pytest.raises(ValueError, match="gross must be above 0"):
        one(gross=gross)


def test_interval_is_checked() -> None:
    with pytest.raises(ValueError, match="interval_ns must be at least 0, got -5"):
        one(interval_ns=-5)
