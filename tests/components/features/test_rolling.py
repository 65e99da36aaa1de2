"""Rolling features: formulas against plain loops and pandas, and independence of history."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.rolling import Rolling
from components.features.rolling_kernel import feature_names
from engine.errors import StateError
from engine.events import Actions, Bars
from engine.universe import universe_of
from tests.make import bars, day, market

W = (3, 5)
N = 6


def rolling(n: int = N, windows: tuple[int, ...] = W) -> Rolling:
    return Rolling(universe=universe_of(tuple(f"S{i}" for i in range(n))), windows=windows)


def column(of: Rolling, value, name: str):
    return value[..., of.names.index(name)]


def walked(of: Rolling, events) -> np.ndarray:
    out = []
    for event in events:
        if isinstance(event, Bars):
            out.append(of.on_bars(event).value)
        else:
            of.on_actions(event)
    return np.array(out)


def action(kind: int, symbol: int, k: int, *, ratio: float = 1.0, amount: float = 0.0) -> Actions:
    """After slice k, before slice k + 1."""
    return Actions(
        ts=day(k) + 1,
        kind=np.array([kind], np.int32),
        symbol=np.array([symbol], np.int32),
        ratio=np.array([ratio]),
        amount=np.array([amount]),
        pay_at=np.array([day(k + 1)]),
        successor=np.array([-1], np.int32),
    )


def scaled(slices, k: int, symbol: int, *, price: float = 1.0, shares: float = 1.0):
    """The same slices with one symbol's prices and volumes changed from slice k on."""
    out = []
    for i, s in enumerate(slices):
        columns = {name: getattr(s, name).copy() for name in ("open", "high", "low", "close", "volume")}
        if i >= k:
            for name in ("open", "high", "low", "close"):
                columns[name][symbol] *= price
            columns["volume"][symbol] *= shares
        close = columns.pop("close")
        out.append(bars(s.ts, close, **columns))
    return out


def plain_loop(slices, t: int, i: int, w: int) -> dict[str, float]:
    """Every feature of one symbol by scalars, from the formulas of the docstring."""

    def at(name: str, k: int) -> float:
        return float(getattr(slices[k], name)[i]) if k >= 0 else math.nan

    def r(k: int) -> float:
        a, b = at("close", k), at("close", k - 1)
        return math.log(a / b) if a == a and b == b else math.nan

    def stats(values):
        known = [x for x in values if x == x]
        if len(known) < max(2, math.ceil(w / 2)):
            return math.nan, math.nan
        mean = sum(known) / len(known)
        spread = math.sqrt(sum((x - mean) ** 2 for x in known) / (len(known) - 1))
        return mean, spread

    newest = at("close", t)
    if newest != newest:
        return dict.fromkeys(
            ("return", "volatility", "reversal", "distance", "position", "balance", "surprise"), math.nan
        )
    rows = range(t - w + 1, t + 1)
    _, volatility = stats([r(k) for k in rows])
    mean, _ = stats([at("close", k) for k in rows])
    highs = [at("high", k) for k in rows if at("high", k) == at("high", k)]
    lows = [at("low", k) for k in rows if at("low", k) == at("low", k)]
    moves = [r(k) for k in rows if r(k) == r(k)]
    enough = len(moves) >= max(2, math.ceil(w / 2))
    back = at("close", t - w)
    trailing = math.log(newest / back) if back == back else math.nan
    v_mean, v_spread = stats([math.log(at("volume", k)) for k in range(t - w, t) if k >= 0])
    surprise = (math.log(at("volume", t)) - v_mean) / v_spread
    recent, _ = stats([math.log(at("volume", k)) if k >= 0 else math.nan for k in rows])
    return {
        "activity": math.log(at("volume", t)) - recent,
        "return": trailing,
        "volatility": volatility,
        "reversal": -trailing / (volatility * math.sqrt(w)),
        "distance": math.log(newest / mean) if mean == mean else math.nan,
        "position": (newest - min(lows)) / (max(highs) - min(lows)) if mean == mean else math.nan,
        "balance": sum(max(x, 0) for x in moves) / sum(map(abs, moves)) if enough else math.nan,
        "surprise": surprise,
        "shock": -surprise * r(t) / volatility,
    }


def test_every_feature_equals_a_plain_loop():
    slices = market(N, 30, holes=0.1)
    of = rolling()
    value = walked(of, slices)
    for t in range(30):
        for i in range(N):
            for w in W:
                for name, wanted in plain_loop(slices, t, i, w).items():
                    got = column(of, value[t], f"{name}_{w}")[i]
                    assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), (t, i, name, w)


def test_features_of_complete_history_equal_pandas():
    slices = market(N, 60, holes=0.0, late=0)
    of = rolling()
    value = walked(of, slices)
    close, opening, high, low, volume = (
        pd.DataFrame([getattr(s, name) for s in slices]) for name in ("close", "open", "high", "low", "volume")
    )
    r, v = np.log(close).diff(), np.log(volume)
    wanted = {
        "return_1": r,
        "gap": np.log(opening / close.shift()),
        "intraday": np.log(close / opening),
        "range": np.log(high / low),
    }
    for w in W:
        sigma = r.rolling(w).std()
        surprise = (v - v.shift().rolling(w).mean()) / v.shift().rolling(w).std()
        wanted |= {
            f"return_{w}": np.log(close / close.shift(w)),
            f"volatility_{w}": sigma,
            f"reversal_{w}": -np.log(close / close.shift(w)) / (sigma * math.sqrt(w)),
            f"distance_{w}": np.log(close / close.rolling(w).mean()),
            f"position_{w}": (close - low.rolling(w).min()) / (high.rolling(w).max() - low.rolling(w).min()),
            f"balance_{w}": r.clip(lower=0).rolling(w).sum() / r.abs().rolling(w).sum(),
            f"activity_{w}": v - v.rolling(w).mean(),
            f"surprise_{w}": surprise,
            f"shock_{w}": -surprise * r / sigma,
        }
    assert set(wanted) == set(of.names)
    for name, frame in wanted.items():
        np.testing.assert_allclose(column(of, value, name)[10:], frame.to_numpy()[10:], rtol=1e-7, atol=1e-10)


def test_a_bad_tick_long_ago_changes_no_bit():
    slices = market(N, 80, holes=0.05)
    spoilt = scaled(slices, 10, 2, price=1.0)
    tick = slices[10]
    close = tick.close.copy()
    close[2] = 1e9
    spoilt[10] = bars(tick.ts, close, open=tick.open, high=np.fmax(tick.high, close), low=tick.low, volume=tick.volume)
    clean, dirty = walked(rolling(), slices), walked(rolling(), spoilt)
    assert (clean[10, 2] != dirty[10, 2]).any()
    lookback = rolling().lookback
    np.testing.assert_array_equal(clean[10 + lookback :], dirty[10 + lookback :])


@settings(deadline=None)
@given(start=st.integers(0, 30))
def test_values_do_not_depend_on_where_history_starts(start):
    slices = market(4, 45, holes=0.1, seed=3)
    events = [*slices[:20], action(0, 1, 19, ratio=3.0), *slices[20:32], action(1, 2, 31, amount=0.5), *slices[32:]]
    whole = walked(rolling(4), events)
    from_there = [e for e in events if e.ts >= slices[start].ts]
    late = walked(rolling(4), from_there)
    lookback = rolling(4).lookback
    np.testing.assert_array_equal(whole[start + lookback - 1 :], late[lookback - 1 :])


def test_rule_25_splits_change_no_feature_when_prices_follow_them():
    slices = market(N, 30, holes=0.0, late=0)
    split = scaled(slices, 20, 1, price=0.5, shares=2.0)
    plain = walked(rolling(), slices)
    told = walked(rolling(), [*split[:20], action(0, 1, 19, ratio=2.0), *split[20:]])
    np.testing.assert_allclose(told, plain, rtol=1e-9, atol=1e-12)
    untold = walked(rolling(), split)
    assert abs(column(rolling(), untold[20, 1], "return_1")) > 0.6


def test_rule_26_a_dividend_is_no_fall_of_the_price():
    prices = [100.0, 100.0, 100.0, 100.0, 95.0, 95.0]
    slices = [bars(day(k), [p]) for k, p in enumerate(prices)]
    value = walked(rolling(1), [*slices[:4], action(1, 0, 3, amount=5.0), *slices[4:]])
    np.testing.assert_allclose(column(rolling(1), value[4:, 0], "return_1"), 0.0, atol=1e-12)


def test_rule_27_history_is_adjusted_with_actions_known_by_then_only():
    slices = market(N, 25, holes=0.0, late=0)
    with_split = walked(rolling(), [*slices[:20], action(0, 1, 19, ratio=2.0), *slices[20:]])
    np.testing.assert_array_equal(with_split[:20], walked(rolling(), slices)[:20])


def test_rule_17_a_name_without_a_bar_has_no_feature_and_spoils_no_other():
    slices = market(N, 20, holes=0.0, late=0)
    close = slices[-1].close.copy()
    close[3] = np.nan
    one, other = rolling(), rolling()
    walked(one, slices[:-1])
    walked(other, slices[:-1])
    s = slices[-1]
    holed = other.on_bars(bars(s.ts, close, open=s.open, high=s.high, low=s.low, volume=s.volume)).value
    whole = one.on_bars(s).value
    assert np.isnan(holed[3]).all()
    np.testing.assert_array_equal(np.delete(holed, 3, axis=0), np.delete(whole, 3, axis=0))


def test_values_of_a_halted_bar_are_not_read():
    of = rolling(1)
    walked(of, [bars(day(k), [10.0 + k]) for k in range(6)])
    halted = bars(day(6), [99.0], status=[2])
    assert np.isnan(of.on_bars(halted).value).all()


def test_a_price_that_never_moves_gives_nan_and_no_warning():
    of = rolling(1)
    value = walked(of, [bars(day(k), [10.0], volume=[0.0]) for k in range(10)])
    for name in ("reversal_3", "balance_3", "surprise_3", "position_3", "shock_3"):
        assert np.isnan(column(of, value[-1], name)).all(), name
    assert column(of, value[-1], "volatility_3").item() != 0.0  # NaN, not a zero to divide by


def test_no_feature_is_ever_infinite():
    value = walked(rolling(), market(N, 40, holes=0.3))
    assert not np.isinf(value).any()


def test_the_schema_tells_windows_apart():
    assert rolling(windows=(3, 5)).schema == rolling(3, windows=(3, 5)).schema
    assert len({rolling(windows=w).schema for w in ((3, 5), (5, 3), (3,), (3, 6))}) == 4
    assert rolling().names == feature_names(W)


@pytest.mark.parametrize(("windows", "text"), [((), "at least one"), ((1,), "from 2"), ((3, 3), "differ")])
def test_windows_that_make_no_sense_are_refused(windows, text):
    with pytest.raises(ValueError, match=text):
        rolling(windows=windows)


def test_state_of_other_windows_is_refused():
    with pytest.raises(StateError, match="load it with the windows it was saved with"):
        rolling(windows=(4,)).load(rolling(windows=(3,)).save())


def test_state_moves_with_its_symbols_into_a_longer_universe():
    slices = market(2, 12, holes=0.0, late=0)
    short = rolling(2)
    walked(short, slices[:-1])
    long = rolling(3)
    long.load(short.save())
    s = slices[-1]
    wide = bars(
        s.ts, [*s.close, 5.0], open=[*s.open, 5.0], high=[*s.high, 5.0], low=[*s.low, 5.0], volume=[*s.volume, 1]
    )
    np.testing.assert_array_equal(long.on_bars(wide).value[:2], short.on_bars(s).value)
