"""The generated market: what is in it, and that its planted relation is as strong as it says."""

import datetime as dt
import functools
from typing import Any
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import pytest

from adapters.files.market import WINDOW, feature_moments, sessions
from adapters.files.quality import defects
from adapters.files.sample import SampleFeed
from engine.errors import DataError
from engine.events import DAY_NS, ActionKind, Actions, Bars, Matrix, Reference, Status
from tests.adapters.files.made import plains, slices

SEEDS = range(8)


@functools.cache
def feed(seed: int = 7, *, permuted: bool = False) -> SampleFeed:
    return SampleFeed(seed=seed, permuted=permuted)


def columns(found: SampleFeed) -> dict[str, Matrix]:
    bars = slices(found)
    return {name: np.array([getattr(b, name) for b in bars]) for name in ("open", "close", "volume", "ts", "status")}


def legs(found: SampleFeed) -> list[tuple[int, ActionKind, int, float, float, int]]:
    """(slice after it, kind, symbol, ratio, amount, ts) of each action, in order."""
    ts = columns(found)["ts"]
    told = []
    for event in found.events():
        if isinstance(event, Actions):
            after = int(np.searchsorted(ts, event.ts))
            for k in range(len(event.kind)):
                kind = ActionKind(int(event.kind[k]))
                told.append(
                    (after, kind, int(event.symbol[k]), float(event.ratio[k]), float(event.amount[k]), event.ts)
                )
    return told


def returns(found: SampleFeed) -> Matrix:
    """(T - 1, N) open-to-open log returns with splits and dividends given back."""
    opened = columns(found)["open"]
    r: Matrix = np.log(opened[1:] / opened[:-1])
    for after, kind, symbol, ratio, amount, _ in legs(found):
        if kind == ActionKind.SPLIT:
            r[after - 1, symbol] += np.log(ratio)
        elif kind == ActionKind.CASH_DIVIDEND:
            r[after - 1, symbol] += np.log1p(amount / opened[after, symbol])
    return r


def correlations(found: SampleFeed) -> list[float]:
    """By slice t: of the feature at t with the return from the open of t+1 to that of t+2."""
    z, r = found.planted_feature(), returns(found)
    told = []
    for t in range(WINDOW, len(r) - 1):
        known = np.isfinite(z[t]) & np.isfinite(r[t + 1])
        told.append(float(np.corrcoef(z[t][known], r[t + 1][known])[0, 1]))
    return told


def test_the_planted_correlation_is_what_theory_says() -> None:
    """A sample correlation of N pairs lies (1 - ic^2) / 2N below the true one on average, relatively."""
    measured = [np.mean(correlations(feed(seed))) for seed in SEEDS]
    ic = feed().planted().ic
    error = np.std(measured, ddof=1) / np.sqrt(len(measured))
    assert error < 0.003
    assert abs(np.mean(measured) - ic * (1 - (1 - ic**2) / 100)) < 4 * error


def test_permuting_leaves_the_market_alike_and_nothing_to_find() -> None:
    measured = [np.mean(correlations(feed(seed, permuted=True))) for seed in SEEDS]
    error = np.std(measured, ddof=1) / np.sqrt(len(measured))
    # The planted part goes to one of the 49 other symbols: what is left is -ic / 49 at most.
    assert abs(np.mean(measured) + 0.07 / 49) < 4 * error
    one, other = feed(), feed(permuted=True)
    assert (other.planted().ic, other.planted().edge) == (0.0, 0.0)
    np.testing.assert_array_equal(one.planted_feature(), other.planted_feature())
    np.testing.assert_array_equal(columns(one)["volume"], columns(other)["volume"])
    assert np.nanstd(returns(one)) == pytest.approx(np.nanstd(returns(other)), rel=0.01)


def test_the_edge_is_the_slope_of_returns_on_the_feature() -> None:
    slopes = []
    for seed in SEEDS:
        z, r = feed(seed).planted_feature()[WINDOW:-2], returns(feed(seed))[WINDOW + 1 :]
        r = r - np.nanmean(r, axis=1, keepdims=True)
        known = np.isfinite(z) & np.isfinite(r)
        slopes.append(np.polyfit(z[known], r[known], 1)[0])
    error = np.std(slopes, ddof=1) / np.sqrt(len(slopes))
    assert abs(np.mean(slopes) - feed().planted().edge) < 4 * error


def test_the_feature_has_the_variance_and_persistence_of_theory() -> None:
    z = np.concatenate([feed(seed).planted_feature()[WINDOW:] for seed in SEEDS], axis=1)
    assert np.nanstd(z) == pytest.approx(1.0, abs=0.02)
    known = np.isfinite(z[1:]) & np.isfinite(z[:-1])
    assert np.corrcoef(z[1:][known], z[:-1][known])[0, 1] == pytest.approx(feed().planted().persistence, abs=0.01)
    assert feed().planted().persistence == pytest.approx(feature_moments()[1])


def test_the_feature_is_a_function_of_the_bars_so_far() -> None:
    found = feed()
    volume = columns(found)["volume"].copy()
    for after, kind, symbol, ratio, _, _ in legs(found):
        if kind == ActionKind.SPLIT:
            volume[after:, symbol] /= ratio
    v, scale = np.log(volume), feature_moments()[0]
    for t in range(WINDOW - 1, len(v), 37):
        with np.errstate(invalid="ignore"):
            window = v[t - WINDOW + 1 : t + 1]
            seen = np.isfinite(window)
            mean = np.where(seen, window, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        np.testing.assert_allclose(found.planted_feature()[t], (v[t] - mean) / scale, atol=1e-3)


def test_ten_names_of_fifty_earn_more_than_they_cost() -> None:
    """Holds ten, gives up the two weakest a day: gains over the mean of all names, less 10 bp of what is traded."""
    gains = []
    for seed in SEEDS:
        z, r = feed(seed).planted_feature(), returns(feed(seed))
        held: list[int] = []
        for t in range(WINDOW, len(r) - 1):
            score = np.nan_to_num(z[t], nan=-9.0)
            kept = sorted(held, key=lambda s: -score[s])[: max(0, len(held) - 2)]
            fresh = [int(s) for s in np.argsort(-score, kind="stable") if s not in kept][: 10 - len(kept)]
            traded = len([s for s in fresh if s not in held]) * 2 / 10
            held = kept + fresh
            gains.append(float(np.nanmean(r[t + 1][held]) - np.nanmean(r[t + 1]) - 0.001 * traded))
    t_value = np.mean(gains) / np.std(gains) * np.sqrt(len(gains))
    assert np.mean(gains) * 252 > 0.05
    assert t_value > 4


def test_the_market_holds_what_it_says() -> None:
    found = feed()
    cols, told = columns(found), legs(found)
    kinds = [kind for _, kind, *_ in told]
    assert cols["close"].shape == (1259, 50)
    assert len({*found.sectors}) == 8
    assert kinds.count(ActionKind.SPLIT) == 4
    assert kinds.count(ActionKind.DELISTING) == 1
    assert kinds.count(ActionKind.CASH_DIVIDEND) > 300
    halted = np.argwhere(cols["status"] == Status.HALTED)
    assert len({*halted[:, 1].tolist()}) == 1
    assert np.diff(halted[:, 0]).tolist() == [1] * 5
    (end, _, gone, _, price, _) = next(leg for leg in told if leg[1] == ActionKind.DELISTING)
    assert (cols["status"][end:, gone] == Status.MISSING).all()
    assert cols["close"][end - 1, gone] == price
    elsewhere = np.delete(cols["status"], gone, axis=1)
    assert 20 < (elsewhere == Status.MISSING).sum() < 120
    assert isinstance(next(found.events()), Reference)


def test_prices_are_raw_sound_and_in_cents() -> None:
    for bars in slices(feed()):
        known = bars.status == Status.FRESH
        rows = np.array([bars.open, bars.high, bars.low, bars.close, bars.volume])
        assert defects(rows[:, known]) == {}
        assert np.isnan(rows[:, ~known]).all()
        np.testing.assert_allclose(rows[:4, known], np.round(rows[:4, known], 2), rtol=0, atol=1e-12)


def test_splits_divide_the_price_and_multiply_the_volume_at_the_same_instant() -> None:
    found = feed()
    cols = columns(found)
    for after, kind, symbol, ratio, _, _ in legs(found):
        if kind == ActionKind.SPLIT:
            before, now = cols["close"][:after, symbol], cols["open"][after:, symbol]
            step = now[np.isfinite(now)][0] / before[np.isfinite(before)][-1]
            assert step * ratio == pytest.approx(1.0, abs=0.1)


def test_actions_enter_after_the_close_before_and_before_the_open() -> None:
    found = feed()
    opened = {bars.ts: bars.opened for bars in slices(found)}
    ts = sorted(opened)
    for after, kind, _, ratio, amount, at in legs(found):
        assert ts[after - 1] < at < opened[ts[after]]
        assert np.isnan(ratio) == (kind != ActionKind.SPLIT)
        assert np.isnan(amount) == (kind == ActionKind.SPLIT)


def test_the_right_to_a_dividend_is_fixed_at_the_ex_date_and_paid_later() -> None:
    for event in feed().events():
        if isinstance(event, Actions):
            pays = event.kind == ActionKind.CASH_DIVIDEND
            assert (event.amount[pays] > 0).all()
            assert (np.abs(event.pay_at[pays] - event.ts - 21 * DAY_NS) <= 3600 * 10**9).all()
            assert (event.pay_at[~pays] == 0).all()


@pytest.mark.filterwarnings("ignore:Series.values")  # of the calendar library itself
def test_sessions_are_those_of_the_exchange() -> None:
    calendar = exchange_calendars.get_calendar("XNYS", start="2018-01-01", end="2022-12-31")
    days = sessions(5).astype("datetime64[D]").astype(str).tolist()
    assert days == [str(session.date()) for session in calendar.sessions]
    bars = slices(feed())
    closes = calendar.closes.dt.tz_convert("UTC")
    regular = [k for k, close in enumerate(calendar.closes.dt.tz_convert("America/New_York")) if close.hour == 16]
    assert len(regular) > 1200
    for k in regular:
        assert bars[k].ts == closes.iloc[k].value


def test_the_same_seed_is_the_same_market_and_another_is_not() -> None:
    assert plains(SampleFeed(symbols=10, years=1).events()) == plains(SampleFeed(symbols=10, years=1).events())
    assert SampleFeed(symbols=10, years=1).hashes() != SampleFeed(symbols=10, years=1, seed=8).hashes()


def test_a_range_is_the_slice_of_the_whole() -> None:
    whole = [event for event in feed().events() if not isinstance(event, Reference)]
    part = feed().events(whole[40].ts, whole[90].ts)
    assert isinstance(next(part), Reference)
    assert plains(part) == plains(whole[40:90])
    with pytest.raises(DataError, match="no event in the range; it covers 2018-01-02T21:00:00Z to"):
        list(feed().events(0, 1))


@pytest.mark.parametrize(
    "options", [{"symbols": 7}, {"symbols": 1001}, {"years": 0}, {"years": 6}, {"ic": 0.6}, {"seed": -1}]
)
def test_options_out_of_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        SampleFeed(**options)


def test_bars_and_actions_are_all_there_is_after_the_sectors() -> None:
    _, *rest = feed().events()
    assert {type(event) for event in rest} == {Bars, Actions}


def test_actions_of_a_span_of_days_lie_in_it_except_before_its_first_bar() -> None:
    feed = SampleFeed(symbols=20, years=1)
    actions = [event for event in feed.events() if isinstance(event, Actions)]
    day = dt.timedelta(days=1)
    for action in actions:
        ex_date = dt.datetime.fromtimestamp(action.ts / 1e9, ZoneInfo("America/New_York")).date()
        for start, end, inside in [
            (ex_date - day, ex_date, True),
            (ex_date - 4 * day, ex_date + day, True),
            (ex_date, ex_date + 4 * day, False),
            (ex_date - 4 * day, ex_date - day, False),
        ]:
            low, high = feed.bounds(start, end)
            assert low is not None
            assert high is not None
            assert (low <= action.ts < high) == inside
    assert len(actions) > 10
