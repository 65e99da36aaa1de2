"""The sign of a signal as a position."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.strategies.sign import Sign
from engine.events import Target
from engine.universe import Universe, universe_of
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


def test_rule_17_nan_keeps_what_is_held_and_opens_nothing() -> None:
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


@given(
    short=st.booleans(),
    steps=st.lists(
        st.tuples(
            st.sampled_from([-0.5, -0.0, 0.0, 0.3, NAN]),
            st.sampled_from([-7.0, 0.0, 12.5]),
            st.sampled_from([0.1, 33.3, NAN]),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    ),
)
def test_one_name_is_decided_as_it_is_beside_another(
    short: bool, steps: list[tuple[float, float, float, bool]]
) -> None:
    """In a currency worth 1.1, alone and beside a name without an opinion, of twice the gross."""
    alone = Sign(universe=abroad("A"), name="sign", short=short)
    beside = Sign(universe=abroad("A", "B"), name="sign", short=short, gross=2.0)
    for k, (score, qty, mark, member) in enumerate(steps):
        first = decide_abroad(alone, k, [score], [qty], [mark], [member])
        second = decide_abroad(beside, k, [score, NAN], [qty, 0.0], [mark, 1.0], [member, True])
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.value.tolist() == second.value[:1].tolist()


def abroad(*symbols: str) -> Universe:
    currency = np.ones(len(symbols), np.int32)
    return msgspec.structs.replace(universe_of(symbols), currencies=("USD", "EUR"), currency=currency)


def decide_abroad(
    strategy: Sign, k: int, score: list[float], qty: list[float], mark: list[float], member: list[bool]
) -> Target | None:
    strategy.on_bars(bars(day(k), mark, member=np.array(member)))
    where = book(day(k), mark, qty=qty, rate=np.array([1.0, 1.1]), equity=1000.0)
    return strategy.on_signals((signal(day(k), score),), where)


@pytest.mark.parametrize("gross", [0.0, -1.0, 11.0, NAN])
def test_gross_is_checked(gross: float) -> None:
    with pytest.raises(ValueError, match="gross must be above 0"):
        one(gross=gross)


def test_interval_is_checked() -> None:
    with pytest.raises(ValueError, match="interval_ns must be at least 0, got -5"):
        one(interval_ns=-5)
