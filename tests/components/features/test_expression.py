"""Formulas of run files: each function against pandas, how far they look back, and what they never run."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.features.column import Rows
from components.features.expression import Expression
from tests.make import market

SLICES = market(4, 60, holes=0.1, seed=2)
FRAMES = {k: pd.DataFrame([getattr(s, k) for s in SLICES]) for k in ("open", "high", "low", "close", "volume", "vwap")}
C, V = FRAMES["close"], FRAMES["volume"]


def rolled(expr: str) -> np.ndarray:
    """The formula at each of the slices that have its lookback."""
    formula = Expression(column="x", expr=expr)
    d = formula.lookback
    windows = (Rows(*(f.to_numpy()[t + 1 - d : t + 1] for f in FRAMES.values())) for t in range(d - 1, len(SLICES)))
    return np.array([formula.on_rows(rows) for rows in windows])


def over(x: pd.DataFrame, d: int) -> Any:
    return x.rolling(d, min_periods=1)


def least_squares(x: np.ndarray) -> float:
    known = ~np.isnan(x)
    return float(np.polyfit(np.arange(len(x))[known], x[known], 1)[0]) if known.sum() > 1 else np.nan


FORMULAS = {
    "close / lag(close, 5) - 1": C / C.shift(5) - 1,
    "delta(close, 3)": C.diff(3),
    "-close + 2 * open ** 2": -C + 2 * FRAMES["open"] ** 2,
    "log(high / low)": np.log(FRAMES["high"] / FRAMES["low"]),
    "exp(-abs(delta(close, 1)))": np.exp(-C.diff().abs()),
    "sqrt(volume)": np.sqrt(V),
    "sign(delta(close, 1)) * tanh(close)": np.sign(C.diff()) * np.tanh(C),
    "minimum(open, close) + maximum(open, close)": FRAMES["open"] + C,
    "where(close > open, high, low)": FRAMES["high"].where(FRAMES["open"] < C, FRAMES["low"]),
    "where(delta(close, 1), 1, 2)": C.diff().notna().astype(float).replace(0.0, np.nan),
    "(close > lag(close, 1)) + 10 * (close <= lag(close, 1))": (C.shift() < C) + 10.0 * (C.shift() >= C),
    "(close == close) - (close != close)": C.notna().astype(float),
    "not (close > open)": (~(FRAMES["open"] < C)).astype(float),
    "close > open and close > lag(close, 1) and volume > 1": ((FRAMES["open"] < C) & (C.shift() < C) & (V > 1)) * 1.0,
    "close > open or close >= lag(close, 1)": ((FRAMES["open"] < C) | (C.shift() <= C)) * 1.0,
    "sum(volume, 6)": over(V, 6).sum(),
    "mean(close, 6)": over(C, 6).mean(),
    "std(close, 6)": over(C, 6).std(),
    "min(low, 6) / max(high, 6)": over(FRAMES["low"], 6).min() / over(FRAMES["high"], 6).max(),
    "median(close, 6)": over(C, 6).median(),
    "quantile(close, 7, 0.8)": over(C, 7).quantile(0.8),
    "count(close, 6)": over(C, 6).count(),
    "rank(close, 6)": over(C, 6).rank(pct=True),
    "slope(close, 6)": over(C, 6).apply(least_squares, raw=True),
    "corr(close, log(volume), 9)": over(C, 9).corr(np.log(V)),
    "mean(close / mean(close, 5), 4)": over(C / over(C, 5).mean(), 4).mean(),
    "lag(mean(delta(close, 1), 3), 2)": over(C.diff(), 3).mean().shift(2),
}


@pytest.mark.parametrize("expr", FORMULAS)
def test_a_formula_equals_pandas(expr: str) -> None:
    ours, theirs = rolled(expr), FORMULAS[expr].to_numpy()[Expression(column="x", expr=expr).lookback - 1 :]
    known = C.notna().to_numpy()[-len(ours) :]
    np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-9, atol=1e-12)
    assert np.isfinite(ours[known]).mean() > 0.7


@pytest.mark.parametrize(
    ("expr", "rows"),
    [
        ("close", 1),
        ("lag(close, 5)", 6),
        ("mean(close, 5)", 5),
        ("mean(delta(close, 1), 5)", 6),
        ("mean(lag(mean(close, 5), 2), 4) + lag(open, 3)", 10),
        ("lag(close, 0)", 1),
    ],
)
def test_how_many_rows_it_looks_at_follows_from_the_formula(expr: str, rows: int) -> None:
    assert Expression(column="x", expr=expr).lookback == rows


@pytest.mark.parametrize("expr", FORMULAS)
def test_the_oldest_of_the_rows_it_says_counts(expr: str) -> None:
    formula, kept = Expression(column="x", expr=expr), rolled(expr)
    spoilt = []
    for t in range(formula.lookback - 1, len(SLICES)):
        rows = [f.to_numpy()[t + 1 - formula.lookback : t + 1].copy() for f in FRAMES.values()]
        for column in rows:
            column[0] = np.nan
        spoilt.append(formula.on_rows(Rows(*rows)))
    assert not np.array_equal(np.array(spoilt), kept, equal_nan=True)


@pytest.mark.parametrize(
    ("expr", "said"),
    [
        ("", "must be a formula"),
        ("close +", "must be a formula"),
        ("close; open", "must be a formula"),
        ("price / 2", "'price'"),
        ("1 + 2", "must read one of"),
        ("close.T", "'close.T'"),
        ("close[0]", r"'close\[0\]'"),
        ("__import__('os').system('true')", "must be made of"),
        ("eval('1')", "no function 'eval'"),
        ("(lambda: close)()", "must be made of"),
        ("[x for x in close]", "must be made of"),
        ("close if close else open", "must be made of"),
        ("mean(close, d=5)", "must be made of"),
        ("mean(*close)", "takes 2 arguments"),
        ("f'{close}'", "must be made of"),
        ("close < open < high", "must be made of"),
        ("close @ open", "must be made of"),
        ("close // 2", "must be made of"),
        ("~close", "must be made of"),
        ("'close'", "must be made of"),
        ("True + close", "must be made of"),
        ("1" + "0" * 400 + " * close", "must be made of"),
        ("mean(close)", "mean takes 2 arguments, got 1"),
        ("mean(close, 0)", "from 1"),
        ("mean(close, 2.5)", "whole number"),
        ("mean(close, True)", "whole number"),
        ("mean(close, volume)", "whole number"),
        ("lag(close, -1)", "from 0"),
        ("delta(close, 0)", "from 1"),
        ("lag(close, 3000)", "to 2520"),
        ("lag(lag(close, 2000), 2000)", "no more than 2520"),
        ("quantile(close, 5, 2)", "from 0 to 1"),
        ("meen(close, 5)", "no function 'meen'"),
        ("-" * 60 + "close", "nest"),
        ("close +" * 400 + "close", "at most 2000 characters"),
        ("lambda:" * 250 + "close", "must be"),
    ],
)
def test_what_is_no_formula_is_refused_by_name(expr: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Expression(column="x", expr=expr)


@settings(deadline=None)
@given(st.text(alphabet="closehigvum()+-*/<>=., 0123456789'_[]:{}@andrtl\n", max_size=60))
def test_any_text_is_a_formula_or_one_error(text: str) -> None:
    try:
        formula = Expression(column="x", expr=text)
    except ValueError:
        return
    ones = np.ones((formula.lookback, 2))
    assert formula.on_rows(Rows(*[ones] * 6)).shape == (2,)


def test_the_future_cannot_be_written() -> None:
    """There is no way to say a row after the newest one."""
    for expr in ("lag(close, -1)", "delta(close, -1)", "mean(close, -5)", "lag(close, 0 - 1)"):
        with pytest.raises(ValueError, match="whole number"):
            Expression(column="x", expr=expr)


def test_a_column_is_called_by_a_plain_name() -> None:
    with pytest.raises(ValueError, match="letters, digits and _"):
        Expression(column="a b", expr="close")
